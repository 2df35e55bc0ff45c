//! [`Freshness`]: whether what a replica showed was as fresh as it promises. Pure.
//!
//! Times are written to the store, one after the other, and read of a replica. What it shows may lag behind: but not behind a
//! time that was acknowledged before the read began less the bound.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Instant;

/// What was written, and what reads showed.
#[derive(Clone, Debug)]
pub(super) struct Freshness {
    bound: Duration,
    /// Beats that were acknowledged, and when.
    acknowledged: VecDeque<(u64, Instant)>,
    /// Answered.
    pub(super) reads: u64,
    /// Of these, older than they may be.
    pub(super) stale: u64,
    /// Not answered: it did not know that it was fresh enough, or there was no answer.
    pub(super) refused: u64,
}

/// Acknowledged beats that are remembered; more than come within any bound.
const REMEMBERED: usize = 4_096;

impl Freshness {
    pub(super) fn new(bound: Duration) -> Self {
        Self { bound, acknowledged: VecDeque::new(), reads: 0, stale: 0, refused: 0 }
    }

    /// A beat was acknowledged. They rise.
    pub(super) fn acknowledge(&mut self, beat: u64, at: Instant) {
        self.acknowledged.push_back((beat, at));
        if self.acknowledged.len() > REMEMBERED {
            self.acknowledged.pop_front();
        }
    }

    /// A read that began at `begun` showed `beat`; 0: none.
    pub(super) fn read(&mut self, beat: u64, begun: Instant) {
        self.reads += 1;
        let settled = self.acknowledged.iter().rev().find(|(_, at)| at.saturating_add(self.bound) < begun);
        if settled.is_some_and(|(least, _)| beat < *least) {
            self.stale += 1;
        }
    }

    /// A read was not answered.
    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_longer_ago_than_the_bound_must_be_seen() {
        let mut fresh = Freshness::new(Duration::from_millis(100));
        let at = Instant::from_millis;
        fresh.read(0, at(1));
        fresh.acknowledge(1, at(10));
        fresh.acknowledge(2, at(30));
        for (beat, begun, stale) in [
            (0, 110, 0),
            // 1 was acknowledged more than 100 ms before.
            (0, 111, 1),
            (1, 130, 1),
            (1, 131, 2),
            (2, 1_000, 2),
            (3, 1_000, 2),
        ] {
            fresh.read(beat, at(begun));
            assert_eq!(fresh.stale, stale, "{beat} at {begun}");
        }
        fresh.refuse();
        assert_eq!((fresh.reads, fresh.refused), (7, 1));
    }
}
