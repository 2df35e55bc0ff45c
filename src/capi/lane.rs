//! Which lane a thread counts on. Each thread takes the lowest number that no other holds and gives it back
//! when it ends, so as many threads as a pool has lanes each count on lines of their own, however many came
//! and went before.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::balance::options::LANES_MAX;

/// The calling thread's number.
#[inline]
pub(super) fn of_this_thread() -> u32 {
    let lane = LANE.get();
    if lane == NONE { take() } else { lane }
}

#[cold]
fn take() -> u32 {
    let lane = lowest_free().unwrap_or_else(|| BEYOND.fetch_add(1, Ordering::Relaxed) % NONE);
    LANE.set(lane);
    // While a thread ends there is nobody left to give the number back: then it stays taken.
    let _ = KEEPER.try_with(|keeper| keeper.0.set(lane));
    lane
}

fn lowest_free() -> Option<u32> {
    let mut taken = TAKEN.load(Ordering::Relaxed);
    loop {
        let lane = taken.trailing_ones();
        if lane == LANES_MAX {
            return None;
        }
        match TAKEN.compare_exchange_weak(taken, taken | 1 << lane, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Some(lane),
            Err(now) => taken = now,
        }
    }
}

/// Gives the number back when its thread ends.
struct Keeper(Cell<u32>);

impl Drop for Keeper {
    fn drop(&mut self) {
        let lane = self.0.get();
        if lane < LANES_MAX {
            TAKEN.fetch_and(!(1 << lane), Ordering::Relaxed);
        }
    }
}

/// No number yet.
const NONE: u32 = u32::MAX;

/// The numbers below `LANES_MAX` that threads hold, one bit each. In a child made by `fork` those of the
/// parent's other threads stay taken, which costs a lane and harms nothing.
static TAKEN: AtomicU64 = AtomicU64::new(0);
const _: () = assert!(LANES_MAX == u64::BITS);
/// The numbers of threads that found none of these free; they share lanes.
static BEYOND: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Apart from its keeper, because a local without a destructor is the cheaper to read.
    static LANE: Cell<u32> = const { Cell::new(NONE) };
    static KEEPER: Keeper = const { Keeper(Cell::new(NONE)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_number_and_no_two_share_one() {
        let mine = of_this_thread();
        assert_eq!(of_this_thread(), mine);
        let other = std::thread::spawn(of_this_thread).join().unwrap();
        assert_ne!(other, mine);
    }

    #[test]
    fn numbers_come_back() {
        for _ in 0..500 {
            assert!(std::thread::spawn(of_this_thread).join().unwrap() < LANES_MAX);
        }
    }
}
