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

/// How many places below a `maxconn` are taken.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// While picks made before the limit existed are being counted in it may be below zero for a moment, hence
    /// read as signed.
    occupied: AtomicU32,
    /// A lower limit that was found by response times; 0 for none.
    ceiling: AtomicU32,
}

impl Places {
    /// The most that may be taken: `maxconn`, or the ceiling where that is lower; 0 for no limit.
    #[inline]
    pub(crate) fn most(&self, maxconn: u32) -> u32 {
        match self.ceiling.load(Ordering::Relaxed) {
            0 => maxconn,
            ceiling if maxconn == 0 => ceiling,
            ceiling => ceiling.min(maxconn),
        }
    }

    /// Sets the ceiling and says whether it is higher than it was.
    pub(crate) fn set_ceiling(&self, ceiling: u32) -> bool {
        self.ceiling.swap(ceiling, Ordering::AcqRel) < ceiling
    }

    /// Places taken now.
    pub(crate) fn occupied(&self) -> u32 {
        (self.occupied.load(Ordering::Relaxed) as i32).max(0) as u32
    }

    /// Whether a place is free; `maxconn` 0 means always.
    #[inline]
    pub(crate) fn has_room(&self, maxconn: u32) -> bool {
        let most = self.most(maxconn);
        most == 0 || (self.occupied.load(Ordering::Relaxed) as i32) < most as i32
    }

    /// Takes a place unless `maxconn` are taken.
    pub(crate) fn reserve(&self, maxconn: u32) -> bool {
        let most = self.most(maxconn);
        let mut occupied = self.occupied.load(Ordering::Relaxed);
        loop {
            if most != 0 && (occupied as i32) >= most as i32 {
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
            assert!(shared.reserve(2));
            let other = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || shared.reserve(2))
            };
            let here = shared.reserve(2);
            let there = other.join().unwrap();
            assert!(here ^ there);
            shared.release();
            assert!(shared.has_room(2) && shared.reserve(2) && !shared.reserve(2));
        });
    }
}
