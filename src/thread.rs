//! Numbers for threads. Each takes the lowest that no other holds and gives it back when it ends, so as many
//! threads as a pool has lanes each count on a lane of their own, however many came and went before.
//!
//! This is the one thing here that a whole process shares, and it decides nothing but who counts where.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The calling thread's number: no other running thread has it.
///
/// `Lane::Own(thread::number())` is the lane of whoever calls from threads that come and go. Does not block.
#[inline]
pub fn number() -> u32 {
    let lane = LANE.get();
    if lane == NONE { take() } else { lane }
}

#[cold]
fn take() -> u32 {
    let lane = lowest_free().unwrap_or_else(|| NUMBERS + BEYOND.fetch_add(1, Ordering::Relaxed) % NUMBERS);
    LANE.set(lane);
    // While a thread ends there is nobody left to give the number back: then it stays taken.
    let _ = KEEPER.try_with(|keeper| keeper.0.set(lane));
    lane
}

fn lowest_free() -> Option<u32> {
    let mut taken = TAKEN.load(Ordering::Relaxed);
    loop {
        let lane = taken.trailing_ones();
        if lane == NUMBERS {
            return None;
        }
        // Acquire: pairs with the Release in `Keeper`; what the thread before us counted on this lane is seen.
        match TAKEN.compare_exchange_weak(taken, taken | 1 << lane, Ordering::Acquire, Ordering::Relaxed) {
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
        if lane < NUMBERS {
            // A call from a destructor that runs after this one takes a number anew.
            LANE.set(NONE);
            TAKEN.fetch_and(!(1 << lane), Ordering::Release);
        }
    }
}

/// How many threads can have a number of their own at once.
const NUMBERS: u32 = u64::BITS;
/// No number yet.
const NONE: u32 = u32::MAX;

/// The numbers that threads hold, one bit each. In a child made by `fork` those of the
/// parent's other threads stay taken, which costs a lane and harms nothing.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// How many threads found none of these free; they share numbers above, which are no lane of one's own.
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
        let mine = number();
        assert_eq!(number(), mine);
        let other = std::thread::spawn(number).join().unwrap();
        assert_ne!(other, mine);
    }

    #[test]
    fn numbers_come_back() {
        for _ in 0..500 {
            assert!(std::thread::spawn(number).join().unwrap() < NUMBERS);
        }
    }
}
