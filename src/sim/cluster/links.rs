//! What becomes of a frame on its way.

use std::collections::BTreeSet;

use crate::rng::Rng;

/// A microsecond, in nanoseconds.
pub(super) const US: u64 = 1_000;
/// A millisecond.
pub(super) const MS: u64 = 1_000_000;
/// A second.
pub(super) const SECOND: u64 = 1_000_000_000;

/// All links. Each goes one way.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Nothing gets through from the first to the second.
    pub(super) cut: BTreeSet<(u64, u64)>,
    /// Out of 1000 frames, how many are lost.
    pub(super) loss: u64,
    /// How many come twice.
    pub(super) doubled: u64,
    /// How many come very late.
    pub(super) late: u64,
}

impl Links {
    /// After how long a frame arrives, each time it does.
    pub(super) fn carry(&self, rng: &mut Rng, from: u64, to: u64) -> Vec<u64> {
        if self.cut.contains(&(from, to)) || rng.below(1_000) < self.loss {
            return Vec::new();
        }
        let once = |rng: &mut Rng| match rng.below(1_000) < self.late {
            true => 20 * MS + rng.below(1_500 * MS),
            false => 50 * US + rng.below(2 * MS),
        };
        let mut arrivals = vec![once(rng)];
        if rng.below(1_000) < self.doubled {
            arrivals.push(once(rng));
        }
        arrivals
    }

    pub(super) fn is_well(&self) -> bool {
        self.cut.is_empty() && self.loss == 0
    }

    pub(super) fn heal(&mut self) {
        *self = Self::default();
    }
}
