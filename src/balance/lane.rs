//! The counters of one lane. The first lanes belong to one worker thread each, which counts there with plain
//! loads and stores on cache lines that no other core writes; the others are shared, and counted on with
//! atomic additions.
//!
//! A backend's picks in flight are the sum over all lanes of picks made less picks done, each counted on the
//! lane of the thread that made it or reported it. A lane knows its own counts exactly and reads the others'
//! at most [`FOREIGN_NANOS`] or [`FOREIGN_TURNS`] picks after they change, whichever is sooner: often enough
//! that a pool picked from a million times a second sees nearly every change, and seldom enough that threads
//! do not wait for each other's cache lines.

use crossbeam_utils::CachePadded;

use crate::balance::chunks::Chunks;
use crate::balance::tickets::Tickets;
use crate::sync::{AtomicU64, Ordering};

/// One worker's counters.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Whether one thread counts here.
    is_own: bool,
    turns: CachePadded<Turns>,
    /// Added to the turn, so that lanes do not walk in step.
    start: u64,
    /// Picks that found no backend.
    refused: AtomicU64,
    /// Picks in flight on all backends together; kept only where bounded loads need it.
    total: Cell,
    pub(crate) tickets: CachePadded<Tickets>,
    cells: Chunks<Cell>,
}

#[derive(Debug)]
struct Turns {
    /// Picks begun: the place in every order, and the state of the random draws.
    count: AtomicU64,
    /// The first random number of the next pick, made while the one before went out. Own lanes only.
    random: AtomicU64,
}

/// What one lane knows of one backend: one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Cell {
    /// Picks made, ever.
    pub(crate) picks: AtomicU64,
    /// Picks reported done, ever.
    pub(crate) dones: AtomicU64,
    /// Sum of response times reported, in nanoseconds, and how many.
    pub(crate) latency_sum: AtomicU64,
    pub(crate) latency_count: AtomicU64,
    /// Peak EWMA: the cost in nanoseconds as the bits of an `f64`, and when it was set.
    pub(crate) cost: AtomicU64,
    pub(crate) stamp: AtomicU64,
    /// What the other lanes come to: the sum of their balances in the high half, in the low one the epoch
    /// it was read in.
    foreign: AtomicU64,
}

impl Cell {
    /// Picks made here less picks done here. Below zero where others' picks are reported.
    #[inline(always)]
    fn balance(&self) -> i64 {
        self.picks.load(Ordering::Relaxed).wrapping_sub(self.dones.load(Ordering::Relaxed)) as i64
    }
}

impl Lane {
    pub(crate) fn new(index: usize, is_own: bool, seed: u64, picks_max: u32) -> Self {
        // Seed 0 starts lane 0 at turn 0, so that a test can write the sequence down.
        let start = crate::rng::mix(seed.wrapping_add((index as u64).wrapping_mul(crate::rng::GAMMA)));
        Self {
            is_own,
            turns: CachePadded::new(Turns {
                count: AtomicU64::new(0),
                random: AtomicU64::new(random(start, 0)),
            }),
            start,
            refused: AtomicU64::new(0),
            total: Cell::default(),
            tickets: CachePadded::new(Tickets::new(picks_max)),
            cells: Chunks::new(),
        }
    }

    /// Makes the cells of the slots below `slots` exist.
    pub(crate) fn grow(&self, slots: u32) {
        self.cells.grow(slots);
    }

    #[inline]
    pub(crate) fn cell(&self, slot: u32) -> &Cell {
        self.cells.at(slot)
    }

    /// Whether a pick was ever begun here.
    pub(crate) fn has_begun(&self) -> bool {
        self.turns.count.load(Ordering::Relaxed) > 0
    }

    /// Begins a pick.
    #[inline(always)]
    pub(crate) fn next_turn(&self) -> Turn {
        let count = self.add(&self.turns.count, 1);
        let position = self.start.wrapping_add(count);
        if !self.is_own {
            return Turn { count, position, random: random(position, 0) };
        }
        let first = self.turns.random.load(Ordering::Relaxed);
        self.turns.random.store(random(position.wrapping_add(1), 0), Ordering::Relaxed);
        Turn { count, position, random: first }
    }

    /// The turn that the next pick will have.
    pub(crate) fn peek_turn(&self) -> Turn {
        let count = self.turns.count.load(Ordering::Relaxed);
        let position = self.start.wrapping_add(count);
        Turn { count, position, random: random(position, 0) }
    }

    /// Counts a pick. The read-modify-write that makes it visible to others is the ticket's.
    #[inline]
    pub(crate) fn count_pick(&self, cell: &Cell, in_total: bool) {
        self.add(&cell.picks, 1);
        if in_total {
            self.add(&self.total.picks, 1);
        }
    }

    /// Takes a pick back as if it had not been made.
    pub(crate) fn uncount_pick(&self, cell: &Cell, in_total: bool) {
        self.add(&cell.picks, 1u64.wrapping_neg());
        if in_total {
            self.add(&self.total.picks, 1u64.wrapping_neg());
        }
    }

    /// Counts a pick done, of whatever lane.
    #[inline]
    pub(crate) fn count_done(&self, cell: &Cell, in_total: bool) {
        if in_total {
            self.add(&self.total.dones, 1);
        }
        self.add(&cell.dones, 1);
    }

    /// Counts a response time.
    #[inline]
    pub(crate) fn count_latency(&self, cell: &Cell, nanos: u64) {
        self.add(&cell.latency_sum, nanos);
        self.add(&cell.latency_count, 1);
    }

    /// Counts a pick that found no backend.
    pub(crate) fn count_refused(&self) {
        self.add(&self.refused, 1);
    }

    /// Picks that found no backend.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Adds to a counter of this lane and gives what it was.
    #[inline(always)]
    fn add(&self, counter: &AtomicU64, more: u64) -> u64 {
        // Release: who sees the new count sees what was counted before it.
        if !self.is_own {
            return counter.fetch_add(more, Ordering::Release);
        }
        let before = counter.load(Ordering::Relaxed);
        counter.store(before.wrapping_add(more), Ordering::Release);
        before
    }
}

/// One pick's place in the lane's sequence, from which its position and its random draws follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    count: u64,
    position: u64,
    random: u64,
}

impl Turn {
    /// The position in a cyclic order.
    #[inline]
    pub(crate) fn position(self) -> u64 {
        self.position
    }

    /// The `index`th random number of this pick.
    #[inline]
    pub(crate) fn random(self, index: u64) -> u64 {
        if index == 0 { self.random } else { random(self.position, index) }
    }
}

/// The `index`th random number at a position: SplitMix64 with the position for its state, and a stream of its
/// own for each index.
#[inline(always)]
fn random(position: u64, index: u64) -> u64 {
    crate::rng::mix(position.wrapping_mul(crate::rng::GAMMA) ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93))
}

/// All lanes of a pool, as one of them sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    lanes: &'a [Lane],
    own: &'a Lane,
    /// Changes when what the others have in flight is to be read anew.
    epoch: u32,
}

impl<'a> View<'a> {
    /// `lanes` are those that have ever been picked on, `index` among them.
    #[inline]
    pub(crate) fn new(lanes: &'a [Lane], index: usize, turn: Turn, now: crate::time::Instant) -> Self {
        // From 1 on: a cell that was never read carries epoch 0.
        let epoch = (now.as_nanos() / FOREIGN_NANOS).wrapping_add(turn.count / FOREIGN_TURNS + 1) as u32;
        Self { lanes, own: &lanes[index], epoch }
    }

    /// What this lane knows of the backend of `slot`.
    #[inline(always)]
    pub(crate) fn own(&self, slot: u32) -> &'a Cell {
        self.own.cell(slot)
    }

    /// Picks in flight on the backend of `slot`, over all lanes.
    #[inline(always)]
    pub(crate) fn in_flight(&self, slot: u32) -> u64 {
        let own = self.own.cell(slot);
        sum(own.balance(), self.foreign(own, |lane| lane.cell(slot)))
    }

    /// Picks in flight on all backends.
    #[inline]
    pub(crate) fn total(&self) -> u64 {
        sum(self.own.total.balance(), self.foreign(&self.own.total, |lane| &lane.total))
    }

    /// What the other lanes come to.
    #[inline(always)]
    fn foreign(&self, own: &Cell, cell: impl Fn(&'a Lane) -> &'a Cell) -> i64 {
        if self.lanes.len() == 1 {
            return 0;
        }
        let foreign = own.foreign.load(Ordering::Relaxed);
        if foreign as u32 == self.epoch { foreign as i64 >> 32 } else { self.read_foreign(own, cell) }
    }

    #[cold]
    #[inline(never)]
    fn read_foreign(&self, own: &Cell, cell: impl Fn(&'a Lane) -> &'a Cell) -> i64 {
        let mut sum = 0;
        let mut newest = own.stamp.load(Ordering::Relaxed);
        for lane in self.lanes {
            if std::ptr::eq(lane, self.own) {
                continue;
            }
            let other = cell(lane);
            sum += other.balance();
            // Peak EWMA learns from whoever measured last.
            let stamp = other.stamp.load(Ordering::Relaxed);
            if stamp > newest {
                newest = stamp;
                own.cost.store(other.cost.load(Ordering::Relaxed), Ordering::Relaxed);
                own.stamp.store(stamp, Ordering::Relaxed);
            }
        }
        let sum = sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        own.foreign.store((sum << 32) as u64 | u64::from(self.epoch), Ordering::Relaxed);
        sum
    }
}

/// What one lane has and what the others have may be read at different moments: never below zero.
#[inline(always)]
fn sum(own: i64, foreign: i64) -> u64 {
    (own + foreign).max(0) as u64
}

/// Picks in flight on `slot` over all of `lanes`, read now. A zero is exact: at some moment of the call
/// nothing was in flight.
pub(crate) fn in_flight(lanes: &[Lane], slot: u32) -> u64 {
    // All dones before all picks: what comes in between makes the answer larger, never smaller.
    let dones =
        lanes.iter().fold(0u64, |sum, lane| sum.wrapping_add(lane.cell(slot).dones.load(Ordering::Acquire)));
    let picks =
        lanes.iter().fold(0u64, |sum, lane| sum.wrapping_add(lane.cell(slot).picks.load(Ordering::Acquire)));
    picks.wrapping_sub(dones)
}

/// How old, in time, what a lane knows of the others may grow: 65.5 microseconds.
pub(crate) const FOREIGN_NANOS: u64 = 1 << 16;
/// How old in picks of its own.
pub(crate) const FOREIGN_TURNS: u64 = 1 << 10;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn other_lanes_are_seen_within_the_stated_time() {
        let lanes = [Lane::new(0, true, 0, 16), Lane::new(1, true, 0, 16)];
        lanes.iter().for_each(|lane| lane.grow(1));
        let seen =
            |now: u64| View::new(&lanes, 0, lanes[0].peek_turn(), Instant::from_nanos(now)).in_flight(0);
        assert_eq!(seen(0), 0);
        lanes[1].cell(0).picks.fetch_add(3, Ordering::Relaxed);
        lanes[0].cell(0).picks.fetch_add(1, Ordering::Relaxed);
        assert!(seen(0) >= 1, "its own picks are seen at once");
        assert_eq!(seen(FOREIGN_NANOS), 4);
        lanes[1].cell(0).dones.fetch_add(3, Ordering::Relaxed);
        for _ in 0..FOREIGN_TURNS {
            lanes[0].next_turn();
        }
        assert_eq!(seen(FOREIGN_NANOS), 1, "seen after so many picks though time stood still");
    }

    #[test]
    fn a_cell_is_one_cache_line() {
        assert_eq!(size_of::<Cell>(), 64);
    }
}
