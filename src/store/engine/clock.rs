//! [`Time`]: the time that stands in commands.

use crate::store::index::Timestamp;
use crate::time::Instant;

/// The present, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For what has to wait.
    pub instant: Instant,
    /// For what expires, and for whoever reads the log: it may step in either direction.
    pub clock: Timestamp,
}

/// The time that commands bear. It never runs backwards: where the clock does, it stands still.
#[derive(Debug)]
pub(super) struct Time {
    latest: Timestamp,
    steps: u64,
}

impl Time {
    pub(super) fn new(latest: Timestamp) -> Self {
        Self { latest, steps: 0 }
    }

    /// The time of a command that is taken now.
    pub(super) fn take(&mut self, now: Now) -> Timestamp {
        if now.clock < self.latest {
            self.steps += 1;
        }
        self.latest = self.latest.max(now.clock);
        self.latest
    }

    /// What it would be.
    pub(super) fn at(&self, now: Now) -> Timestamp {
        self.latest.max(now.clock)
    }

    /// Something later was taken elsewhere.
    pub(super) fn lift(&mut self, latest: Timestamp) {
        self.latest = self.latest.max(latest);
    }

    pub(super) fn clock_ms(&self, now: Now) -> u64 {
        self.at(now).as_millis()
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}
