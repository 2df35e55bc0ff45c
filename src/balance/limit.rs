//! `maxconn`: a count shared by all lanes, so that the limit is exact over threads. Only backends that
//! have ever had a limit pay for it.

use crate::balance::pace::Bucket;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// What the lanes share about one backend.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) places: Places,
    /// Of its connection rate, where it has one.
    pub(crate) bucket: Bucket,
    /// Picks reported done without success: connect failed, failed, timed out, cancelled.
    pub(crate) unsuccessful: [AtomicU64; 4],
}

/// The most places that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Most(i32);

impl Most {
    /// As a `maxconn` has it: 0 for no limit.
    pub(crate) fn of(maxconn: u32) -> Self {
        // Above MAXCONN_MAX, which is as many as there can ever be.
        Self(if maxconn == 0 { i32::MAX } else { maxconn as i32 })
    }

    /// As a `maxconn` has it.
    pub(crate) fn maxconn(self) -> u32 {
        if self.0 == i32::MAX { 0 } else { self.0 as u32 }
    }
}

/// How many places below a `maxconn` are taken.
#[derive(Debug)]
pub(crate) struct Places {
    /// While picks made before the limit existed are being counted in it may be below zero for a moment, hence
    /// read as signed.
    occupied: AtomicU32,
    /// A [`Most`] of its own, found by response times.
    ceiling: AtomicU32,
}

impl Default for Places {
    fn default() -> Self {
        Self { occupied: AtomicU32::new(0), ceiling: AtomicU32::new(Most::of(0).0 as u32) }
    }
}

impl Places {
    /// The most that may be taken: as told, or less where the ceiling is lower.
    #[inline]
    pub(crate) fn most(&self, most: Most) -> Most {
        most.min(Most(self.ceiling.load(Ordering::Relaxed) as i32))
    }

    /// Sets the ceiling and says whether it is higher than it was.
    pub(crate) fn set_ceiling(&self, ceiling: u32) -> bool {
        let ceiling = Most::of(ceiling).0 as u32;
        self.ceiling.swap(ceiling, Ordering::AcqRel) < ceiling
    }

    /// Places taken now.
    pub(crate) fn occupied(&self) -> u32 {
        (self.occupied.load(Ordering::Relaxed) as i32).max(0) as u32
    }

    /// Whether a place is free.
    #[inline]
    pub(crate) fn has_room(&self, most: Most) -> bool {
        (self.occupied.load(Ordering::Relaxed) as i32) < self.most(most).0
    }

    /// Takes a place unless so many are taken.
    #[inline]
    pub(crate) fn reserve(&self, most: Most) -> bool {
        let most = self.most(most).0;
        let mut occupied = self.occupied.load(Ordering::Relaxed);
        loop {
            if (occupied as i32) >= most {
                return false;
            }
            match self.occupied.compare_exchange_weak(
                occupied,
                occupied.wrapping_add(1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => occupied = now,
            }
        }
    }

    /// Gives a place back.
    #[inline]
    pub(crate) fn release(&self) {
        self.occupied.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts in picks that were made before there was a limit.
    pub(crate) fn adopt(&self, picks: u32) {
        self.occupied.fetch_add(picks, Ordering::AcqRel);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    /// Threads race for the last place: one gets it.
    #[test]
    fn loom_maxconn_is_exact() {
        loom::model(|| {
            let shared = Arc::new(Places::default());
            assert!(shared.reserve(Most::of(2)));
            let other = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || shared.reserve(Most::of(2)))
            };
            let here = shared.reserve(Most::of(2));
            let there = other.join().unwrap();
            assert!(here ^ there);
            shared.release();
            assert!(
                shared.has_room(Most::of(2)) && shared.reserve(Most::of(2)) && !shared.reserve(Most::of(2))
            );
        });
    }
}
