//! [`Flushing`]: what has to be on disk by now, and what may still wait.

use std::time::Duration;

use crate::store::log::{Log, Ticket};
use crate::time::Instant;

/// Writes that ask for `local` go to disk at once, all that has come since the last flush with them. Others go with
/// them, or when `interval` is over, or when there are `bytes` of them.
#[derive(Debug)]
pub(super) struct Flushing {
    interval: Duration,
    bytes_max: u64,
    /// All up to this is to be on disk without further waiting.
    through: Ticket,
    /// Since when something waits that is behind `through`.
    waiting_since: Option<Instant>,
    bytes: u64,
}

impl Flushing {
    pub(super) fn new(interval: Duration, bytes_max: u64) -> Self {
        Self { interval, bytes_max, through: Ticket::default(), waiting_since: None, bytes: 0 }
    }

    /// Records were appended, `bytes` of them.
    pub(super) fn appended(&mut self, log: &Log, bytes: u64, now: Instant) {
        self.bytes += bytes;
        if log.last_ticket() > self.through {
            self.waiting_since.get_or_insert(now);
        }
        if self.bytes >= self.bytes_max {
            self.want(log, log.last_ticket());
        }
    }

    /// All up to `record` is to be on disk. If that is all there is, nothing waits any more.
    pub(super) fn want(&mut self, log: &Log, record: Ticket) {
        self.through = self.through.max(record);
        if self.through >= log.last_ticket() {
            self.waiting_since = None;
        }
    }

    /// Whether a flush is wanted now.
    pub(super) fn is_wanted(&self, log: &Log) -> bool {
        log.durable() < self.through
    }

    /// A flush takes `bytes` of what was appended: mostly all of it, and then nothing waits any more.
    pub(super) fn taken(&mut self, log: &Log, bytes: u64) {
        if bytes >= log.pending_bytes() {
            self.bytes = 0;
            self.want(log, log.last_ticket());
        }
    }

    pub(super) fn handle_timeout(&mut self, log: &Log, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.want(log, log.last_ticket());
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since.saturating_add(self.interval))
    }
}
