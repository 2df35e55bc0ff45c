//! The counters of one lane. A lane belongs to one worker thread as long as there are no more threads
//! than lanes, so counting touches no cache line that another core writes.
//!
//! A backend's picks in flight are the sum over all lanes. A lane knows its own share exactly and reads
//! the others' at most [`FOREIGN_NANOS`] or [`FOREIGN_TURNS`] picks after they change, whichever is
//! sooner: often enough that a pool picked from a million times a second sees nearly every change, and
//! seldom enough that threads do not wait for each other's cache lines.

use crossbeam_utils::CachePadded;

use crate::balance::chunks::Chunks;
use crate::balance::tickets::Tickets;
use crate::sync::{AtomicU64, Ordering};

/// One worker's counters.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Picks begun: the place in every order, and the state of the random draws.
    turn: CachePadded<AtomicU64>,
    /// Added to the turn, so that lanes do not walk in step.
    start: u64,
    /// Picks that found no backend.
    pub(crate) refused: AtomicU64,
    /// Picks in flight on all backends together; kept only where bounded loads need it.
    pub(crate) total: Cell,
    pub(crate) tickets: CachePadded<Tickets>,
    cells: Chunks<Cell>,
}

/// What one lane knows of one backend: one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Cell {
    /// Picks made, ever.
    pub(crate) picks: AtomicU64,
    /// Picks reported done, ever.
    pub(crate) dones: AtomicU64,
    /// Sum of response times reported, in nanoseconds, and how many. Two threads that share a lane may
    /// lose one of two samples added at the same moment; averages bear that.
    pub(crate) latency_sum: AtomicU64,
    pub(crate) latency_count: AtomicU64,
    /// Peak EWMA: the cost in nanoseconds as the bits of an `f64`, and when it was set.
    pub(crate) cost: AtomicU64,
    pub(crate) stamp: AtomicU64,
    /// What the other lanes have in flight: the count in the high half, in the low one the epoch it was
    /// read in.
    foreign: AtomicU64,
}

impl Cell {
    /// Picks in flight that were made on this lane.
    #[inline]
    pub(crate) fn in_flight(&self) -> u64 {
        // Dones first: what is counted in between can only make the answer larger, never negative.
        let dones = self.dones.load(Ordering::Acquire);
        self.picks.load(Ordering::Relaxed).wrapping_sub(dones)
    }
}

impl Cell {
    #[inline]
    pub(crate) fn add_latency(&self, nanos: u64) {
        let sum = self.latency_sum.load(Ordering::Relaxed).wrapping_add(nanos);
        self.latency_sum.store(sum, Ordering::Relaxed);
        self.latency_count.store(self.latency_count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl Lane {
    pub(crate) fn new(index: usize, seed: u64, picks_max: u32) -> Self {
        // Seed 0 starts lane 0 at turn 0, so that a test can write the sequence down.
        let start = crate::rng::mix(seed.wrapping_add((index as u64).wrapping_mul(crate::rng::GAMMA)));
        Self {
            turn: CachePadded::new(AtomicU64::new(0)),
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

    /// Begins a pick.
    #[inline]
    pub(crate) fn next_turn(&self) -> Turn {
        Turn { count: self.turn.fetch_add(1, Ordering::Relaxed), start: self.start }
    }

    /// The turn that the next pick will have.
    pub(crate) fn peek_turn(&self) -> Turn {
        Turn { count: self.turn.load(Ordering::Relaxed), start: self.start }
    }
}

/// One pick's place in the lane's sequence, from which its position and its random draws follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    count: u64,
    start: u64,
}

impl Turn {
    /// The position in a cyclic order.
    #[inline]
    pub(crate) fn position(self) -> u64 {
        self.start.wrapping_add(self.count)
    }

    /// The `index`th random number of this pick.
    #[inline]
    pub(crate) fn random(self, index: u64) -> u64 {
        // SplitMix64 with the turn as its state; a second stream for each further draw of one pick.
        let state =
            self.position().wrapping_mul(crate::rng::GAMMA) ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93);
        crate::rng::mix(state)
    }
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
        own.in_flight() + self.foreign(own, |lane| lane.cell(slot))
    }

    /// Picks in flight on all backends.
    #[inline]
    pub(crate) fn total(&self) -> u64 {
        self.own.total.in_flight() + self.foreign(&self.own.total, |lane| &lane.total)
    }

    /// What the other lanes have in flight.
    #[inline(always)]
    fn foreign(&self, own: &Cell, cell: impl Fn(&'a Lane) -> &'a Cell) -> u64 {
        if self.lanes.len() == 1 {
            return 0;
        }
        let foreign = own.foreign.load(Ordering::Relaxed);
        if foreign as u32 == self.epoch { foreign >> 32 } else { self.read_foreign(own, cell) }
    }

    #[cold]
    #[inline(never)]
    fn read_foreign(&self, own: &Cell, cell: impl Fn(&'a Lane) -> &'a Cell) -> u64 {
        let mut sum = 0;
        let mut newest = own.stamp.load(Ordering::Relaxed);
        for lane in self.lanes {
            if std::ptr::eq(lane, self.own) {
                continue;
            }
            let other = cell(lane);
            sum += other.in_flight();
            // Peak EWMA learns from whoever measured last.
            let stamp = other.stamp.load(Ordering::Relaxed);
            if stamp > newest {
                newest = stamp;
                own.cost.store(other.cost.load(Ordering::Relaxed), Ordering::Relaxed);
                own.stamp.store(stamp, Ordering::Relaxed);
            }
        }
        let sum = sum.min(u64::from(u32::MAX));
        own.foreign.store(sum << 32 | u64::from(self.epoch), Ordering::Relaxed);
        sum
    }
}

/// Picks in flight on `slot` over all of `lanes`, read now.
pub(crate) fn in_flight(lanes: &[Lane], slot: u32) -> u64 {
    lanes.iter().map(|lane| lane.cell(slot).in_flight()).sum()
}

/// How old, in time, what a lane knows of the others may grow: 16.4 microseconds.
pub(crate) const FOREIGN_NANOS: u64 = 1 << 14;
/// How old in picks of its own.
pub(crate) const FOREIGN_TURNS: u64 = 1 << 10;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn other_lanes_are_seen_within_the_stated_time() {
        let lanes = [Lane::new(0, 0, 16), Lane::new(1, 0, 16)];
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
