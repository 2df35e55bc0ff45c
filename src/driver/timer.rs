//! The timer wheel: which of many deadlines comes next. No clock of its own; the loop says what time it is.
//!
//! Hierarchical timing wheels (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987,
//! scheme 7): eight wheels of 64 slots. The first turns by one tick a slot, each further one by a whole turn
//! of the one before it. A deadline lies on the wheel of the highest digit, base 64, in which it differs from
//! the present; when that slot comes up, its entries move to lower wheels. So inserting, cancelling and
//! moving cost the same whatever their number, and an entry is moved on by the wheel itself seven times at
//! most. All entries of a slot are moved in one call: half a millisecond for 100,000 deadlines a minute away
//! that were set within four seconds, 20 ms for a million. Departures:
//!
//! - The wheels hold every tick that an [`Instant`] can, so nothing overflows and nothing is clamped.
//! - No tick is counted one by one: a word of bits for each wheel gives the next slot in use, so a jump over
//!   a year costs what one over a tick does.
//!
//! Promises: a key comes out never before its deadline, and as soon as [`Wheel::expire`] is called one
//! [`TICK_NANOS`] after it (after its insertion, when the deadline had passed by then).

use std::num::NonZeroU32;

use crate::time::Instant;

/// The granularity: 2^20 nanoseconds, 1.05 ms.
pub(crate) const TICK_NANOS: u64 = 1 << TICK_SHIFT;

/// Names one armed timer. One whose timer has fired or was cancelled is recognised and does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    index: u32,
    generation: NonZeroU32,
}

/// Deadlines, each with a key to hand back. An entry takes 32 bytes with a key of 8; memory grows to the
/// greatest number of timers armed at once and is kept.
#[derive(Debug)]
pub(crate) struct Wheel<K: Copy> {
    entries: Vec<Entry<K>>,
    /// The first entry not in use, [`NONE`] when there is none. Linked by `next`.
    free: u32,
    /// The first entry of each slot, [`NONE`] for none. The slots are rings: before the first is the last.
    slots: [[u32; SLOTS]; LEVELS],
    /// A bit for each slot in use.
    used: [u64; LEVELS],
    /// Every entry lies where this tick puts it: on the wheel of the highest digit that differs from it. No
    /// entry's tick is before it.
    position: u64,
    /// The greatest tick that `expire` was called with. What is armed comes after it.
    seen: u64,
}

#[derive(Debug)]
struct Entry<K> {
    tick: u64,
    key: K,
    previous: u32,
    next: u32,
    /// Counted up when the entry is given back, so that ids of the past do not fit.
    generation: NonZeroU32,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        let tick = now.as_nanos() >> TICK_SHIFT;
        Self {
            entries: Vec::new(),
            free: NONE,
            slots: [[NONE; SLOTS]; LEVELS],
            used: [0; LEVELS],
            position: tick,
            seen: tick,
        }
    }

    /// Arms a timer. A deadline that has passed falls due with the next tick, never in the run of `expire`
    /// calls under way. One within the last tick before the greatest [`Instant`] means never.
    pub(crate) fn insert(&mut self, deadline: Instant, key: K) -> TimerId {
        let tick = self.tick_of(deadline);
        let index = self.free;
        let index = if index == NONE {
            let index = self.entries.len();
            assert!(index < NONE as usize, "more timers than an index can name");
            let generation = NonZeroU32::MIN;
            self.entries.push(Entry { tick, key, previous: NONE, next: NONE, generation });
            index as u32
        } else {
            let entry = &mut self.entries[index as usize];
            self.free = entry.next;
            entry.tick = tick;
            entry.key = key;
            index
        };
        self.link(index);
        TimerId { index, generation: self.entries[index as usize].generation }
    }

    /// Disarms a timer; false when it has fired or was cancelled before.
    pub(crate) fn cancel(&mut self, id: TimerId) -> bool {
        if !self.is_armed(id) {
            return false;
        }
        self.unlink(id.index);
        self.give_back(id.index);
        true
    }

    /// Gives an armed timer another deadline, as [`insert`](Self::insert) would; false when it has fired or
    /// was cancelled. Cheapest when the new deadline lies in the same slot, as it mostly does for a distant
    /// deadline put off again and again.
    pub(crate) fn move_to(&mut self, id: TimerId, deadline: Instant) -> bool {
        if !self.is_armed(id) {
            return false;
        }
        let tick = self.tick_of(deadline);
        if self.place(self.entries[id.index as usize].tick) == self.place(tick) {
            self.entries[id.index as usize].tick = tick;
        } else {
            self.unlink(id.index);
            self.entries[id.index as usize].tick = tick;
            self.link(id.index);
        }
        true
    }

    /// The key of a timer whose deadline is at or before `now`, which is disarmed by that; `None` when there
    /// is none (left). Earlier ticks come first; within one tick those never moved come as they were
    /// inserted. Called until `None` it ends: what is armed meanwhile has to wait for a later `now`.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<K> {
        let limit = now.as_nanos() >> TICK_SHIFT;
        self.seen = self.seen.max(limit);
        while let Some((level, slot, start)) = self.earliest() {
            if start > limit {
                break;
            }
            self.position = start;
            if level == 0 {
                let index = self.slots[0][slot];
                let key = self.entries[index as usize].key;
                self.unlink(index);
                self.give_back(index);
                return Some(key);
            }
            self.spread(level, slot);
        }
        // No slot begins up to `limit`, so seen from there every entry lies where it should.
        self.position = self.position.max(limit);
        None
    }

    /// When to call [`expire`](Self::expire) next; `None` without timers. Never later than the first
    /// deadline rounded up to its tick. Exact when that deadline is on the first wheel; otherwise the moment
    /// when its slot comes up and is spread over lower wheels, which is up to a slot of its wheel too early
    /// (64 ticks, 64 * 64 ticks, ...). A timer causes seven such calls in vain at most. Constant time.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let (_, _, start) = self.earliest()?;
        Some(Instant::from_nanos(start.saturating_mul(TICK_NANOS)))
    }

    /// The first tick that is not before `deadline` and can still be waited for.
    fn tick_of(&self, deadline: Instant) -> u64 {
        deadline.as_nanos().div_ceil(TICK_NANOS).max(self.seen + 1)
    }

    fn is_armed(&self, id: TimerId) -> bool {
        self.entries.get(id.index as usize).is_some_and(|entry| entry.generation == id.generation)
    }

    /// The slot in use that comes first: its wheel, its number, its first tick. Entries on a lower wheel
    /// agree with the present in more digits, so they are earlier than all those on a higher one.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let level = self.used.iter().position(|used| *used != 0)?;
        let slot = self.used[level].trailing_zeros() as usize;
        let shift = DIGIT_BITS * level as u32;
        let above = self.position >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        Some((level, slot, above | (slot as u64) << shift))
    }

    /// The wheel and slot for `tick`, which is not before `position`.
    fn place(&self, tick: u64) -> (usize, usize) {
        // The lowest digit is set so that "no digit differs" counts as the lowest one.
        let differs = (tick ^ self.position) | (SLOTS as u64 - 1);
        let level = differs.ilog2() / DIGIT_BITS;
        (level as usize, (tick >> (DIGIT_BITS * level)) as usize % SLOTS)
    }

    /// Puts the entry last into the slot of its tick.
    fn link(&mut self, index: u32) {
        let (level, slot) = self.place(self.entries[index as usize].tick);
        let first = self.slots[level][slot];
        if first == NONE {
            self.slots[level][slot] = index;
            self.used[level] |= 1 << slot;
            let entry = &mut self.entries[index as usize];
            entry.previous = index;
            entry.next = index;
        } else {
            let last = self.entries[first as usize].previous;
            self.entries[first as usize].previous = index;
            self.entries[last as usize].next = index;
            let entry = &mut self.entries[index as usize];
            entry.previous = last;
            entry.next = first;
        }
    }

    /// Takes the entry out of its slot.
    fn unlink(&mut self, index: u32) {
        let Entry { tick, previous, next, .. } = self.entries[index as usize];
        let (level, slot) = self.place(tick);
        if next == index {
            self.slots[level][slot] = NONE;
            self.used[level] &= !(1 << slot);
            return;
        }
        self.entries[previous as usize].next = next;
        self.entries[next as usize].previous = previous;
        if self.slots[level][slot] == index {
            self.slots[level][slot] = next;
        }
    }

    /// Moves the entries of a slot that has come up to lower wheels, in their order.
    fn spread(&mut self, level: usize, slot: usize) {
        let first = std::mem::replace(&mut self.slots[level][slot], NONE);
        self.used[level] &= !(1 << slot);
        let last = self.entries[first as usize].previous;
        let mut index = first;
        loop {
            let next = self.entries[index as usize].next;
            self.link(index);
            if index == last {
                return;
            }
            index = next;
        }
    }

    /// Makes an unlinked entry free for another timer. One whose generations are used up stays unused for
    /// good, 32 bytes after four thousand million timers, so that no id ever fits twice.
    fn give_back(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.saturating_add(1);
        if entry.generation < NonZeroU32::MAX {
            entry.next = self.free;
            self.free = index;
        }
    }
}

const TICK_SHIFT: u32 = 20;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Ticks go up to 2^44, which is beyond the greatest [`Instant`]; eight digits hold 48 bits.
const LEVELS: usize = 8;
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn tick(tick: u64) -> Instant {
        Instant::from_nanos(tick * TICK_NANOS)
    }

    fn drain(wheel: &mut Wheel<u64>, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| wheel.expire(now)).collect()
    }

    #[test]
    fn sizes() {
        assert_eq!(size_of::<TimerId>(), 8);
        assert_eq!(size_of::<Option<TimerId>>(), 8);
        assert_eq!(size_of::<Entry<u64>>(), 32);
        assert_eq!((u64::MAX.div_ceil(TICK_NANOS)) >> (DIGIT_BITS as usize * LEVELS), 0);
    }

    #[test]
    fn never_early_and_at_most_a_tick_late() {
        for start in [0, 1, TICK_NANOS - 1, TICK_NANOS, 63 * TICK_NANOS + 7, 1 << 50] {
            for after in [0, 1, TICK_NANOS - 1, TICK_NANOS, TICK_NANOS + 1, 64 * TICK_NANOS, 1 << 40] {
                let mut wheel = Wheel::new(Instant::from_nanos(start));
                let deadline = start + after;
                wheel.insert(Instant::from_nanos(deadline), 7);
                assert_eq!(wheel.expire(Instant::from_nanos(deadline.saturating_sub(1))), None);
                assert_eq!(wheel.expire(Instant::from_nanos(deadline + TICK_NANOS)), Some(7));
                assert_eq!(wheel.expire(Instant::from_nanos(u64::MAX)), None);
                assert_eq!(wheel.next_deadline(), None);
            }
        }
    }

    #[test]
    fn a_deadline_on_a_tick_is_exact() {
        let mut wheel = Wheel::new(tick(5));
        wheel.insert(tick(9), 1);
        assert_eq!(wheel.next_deadline(), Some(tick(9)));
        assert_eq!(wheel.expire(Instant::from_nanos(9 * TICK_NANOS - 1)), None);
        assert_eq!(wheel.expire(tick(9)), Some(1));
    }

    #[test]
    fn an_empty_wheel_keeps_up() {
        let mut wheel = Wheel::new(Instant::START);
        assert_eq!(wheel.expire(tick(10_000)), None);
        // From 0 this would be three wheels up, and the first moment to look at tick 8192.
        wheel.insert(tick(10_010), 1);
        assert_eq!(wheel.next_deadline(), Some(tick(10_010)));
    }

    #[test]
    fn what_has_passed_falls_due_with_the_next_tick() {
        let mut wheel = Wheel::new(tick(100));
        wheel.insert(tick(3), 1);
        assert_eq!(wheel.next_deadline(), Some(tick(101)));
        assert!(drain(&mut wheel, tick(100)).is_empty());
        assert_eq!(drain(&mut wheel, tick(101)), [1]);
    }

    #[test]
    fn arming_while_expiring_ends() {
        let mut wheel = Wheel::new(Instant::START);
        for key in 0..3 {
            wheel.insert(tick(1), key);
        }
        let now = tick(1_000_000);
        let mut fired = Vec::new();
        while let Some(key) = wheel.expire(now) {
            fired.push(key);
            wheel.insert(Instant::START, 10 + key);
            let moved = wheel.insert(tick(2_000_000), 20 + key);
            assert!(wheel.move_to(moved, tick(2)));
        }
        assert_eq!(fired, [0, 1, 2]);
        assert_eq!(wheel.next_deadline(), Some(tick(1_000_001)));
        assert_eq!(drain(&mut wheel, tick(1_000_001)), [10, 20, 11, 21, 12, 22]);
    }

    #[test]
    fn one_tick_comes_as_it_was_inserted() {
        let mut wheel = Wheel::new(Instant::START);
        // The same tick from four wheels up, and again from nearer by.
        let deadline = 3 * 64 * 64 * 64 + 5;
        wheel.insert(tick(deadline), 0);
        wheel.insert(tick(deadline), 1);
        for (near, key) in [(64 * 64, 2), (64, 3), (1, 4)] {
            assert_eq!(wheel.expire(tick(deadline - near)), None);
            wheel.insert(tick(deadline), key);
        }
        assert_eq!(drain(&mut wheel, tick(deadline)), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_stale_id_does_nothing() {
        let mut wheel = Wheel::new(Instant::START);
        let first = wheel.insert(tick(1), 1);
        assert_eq!(wheel.expire(tick(1)), Some(1));
        assert!(!wheel.cancel(first));
        let second = wheel.insert(tick(5), 2);
        assert_eq!(second.index, first.index, "the entry is used again");
        assert!(!wheel.cancel(first) && !wheel.move_to(first, tick(9)));
        assert!(wheel.cancel(second));
        assert!(!wheel.cancel(second) && !wheel.move_to(second, tick(9)));
        assert_eq!(wheel.next_deadline(), None);
        let other = Wheel::<u64>::new(Instant::START).insert(tick(1), 1);
        assert!(!Wheel::<u64>::new(Instant::START).cancel(other), "an index beyond the entries");
    }

    #[test]
    fn an_entry_out_of_generations_is_not_used_again() {
        let mut wheel = Wheel::new(Instant::START);
        wheel.insert(tick(1), 1);
        let last = NonZeroU32::new(u32::MAX - 1).expect("not zero");
        wheel.entries[0].generation = last;
        let id = TimerId { index: 0, generation: last };
        assert!(wheel.cancel(id) && !wheel.cancel(id));
        assert_eq!(wheel.insert(tick(1), 2).index, 1);
        assert!(!wheel.cancel(TimerId { index: 0, generation: last }));
        assert_eq!(drain(&mut wheel, tick(1)), [2]);
    }

    #[test]
    fn a_clock_that_steps_back_fires_nothing_early() {
        let mut wheel = Wheel::new(tick(50));
        wheel.insert(tick(60), 1);
        wheel.insert(tick(60), 2);
        assert_eq!(wheel.expire(tick(70)), Some(1));
        assert_eq!(wheel.expire(tick(59)), None);
        wheel.insert(tick(61), 3);
        assert_eq!(wheel.expire(tick(60)), Some(2));
        // 70 was seen, so what is armed after it waits for 71.
        assert_eq!(wheel.expire(tick(70)), None);
        assert_eq!(wheel.expire(tick(71)), Some(3));
    }

    #[test]
    fn the_ends_of_time() {
        let end = u64::MAX >> TICK_SHIFT;
        let mut wheel = Wheel::new(Instant::START);
        wheel.insert(Instant::from_nanos(u64::MAX), 1);
        wheel.insert(Instant::from_nanos(end * TICK_NANOS + 1), 2);
        wheel.insert(tick(end), 3);
        wheel.insert(tick(end - 1), 4);
        let sixty_days = Instant::from_millis(60 * 86_400_000);
        wheel.insert(sixty_days, 5);
        assert!(wheel.next_deadline().is_some_and(|next| next <= sixty_days));
        assert_eq!(wheel.expire(Instant::from_nanos(sixty_days.as_nanos() - 1)), None);
        assert_eq!(drain(&mut wheel, tick(end - 2)), [5]);
        // The last tick of all and what lies in it after its first nanosecond: the latter never comes.
        assert_eq!(drain(&mut wheel, Instant::from_nanos(u64::MAX)), [4, 3]);
        assert_eq!(wheel.next_deadline(), Some(Instant::from_nanos(u64::MAX)));
        wheel.insert(Instant::START, 6);
        assert!(drain(&mut wheel, Instant::from_nanos(u64::MAX)).is_empty());
    }

    #[test]
    fn following_next_deadline_takes_few_wakes() {
        for start in [0, 63, 4095, 262_143, (1 << 40) - 1, 1 << 43] {
            for after in [1, 63, 64, 65, 4095, 4096, 262_144, 1 << 30, (1 << 43) - 1] {
                let mut wheel = Wheel::new(tick(start));
                wheel.insert(tick(start + after), 1);
                let mut in_vain = 0;
                loop {
                    let next = wheel.next_deadline().expect("a timer is armed");
                    assert!(next <= tick(start + after));
                    if wheel.expire(next).is_some() {
                        assert_eq!(next, tick(start + after));
                        break;
                    }
                    in_vain += 1;
                }
                assert!(in_vain < LEVELS, "{start} {after}: {in_vain}");
            }
        }
    }

    #[test]
    fn memory_does_not_grow_with_time() {
        let mut wheel = Wheel::new(Instant::START);
        let mut ids: Vec<TimerId> = (0..100).map(|key| wheel.insert(tick(500), key)).collect();
        let capacity = wheel.entries.capacity();
        for turn in 0..10_000u64 {
            let slot = (turn % 100) as usize;
            assert!(wheel.move_to(ids[slot], tick(turn + 600)));
            assert!(wheel.cancel(ids[slot]));
            ids[slot] = wheel.insert(tick(turn + 700), turn);
            assert_eq!(wheel.expire(tick(turn)), None);
        }
        assert_eq!((wheel.entries.len(), wheel.entries.capacity()), (100, capacity));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Cancel(prop::sample::Index),
        Move(prop::sample::Index, u64),
        /// Advances by that much; expires all, arming that many new ones meanwhile.
        Advance(u64, u64),
        /// Advances to where `next_deadline` says.
        Follow,
        /// Takes one key, and leaves the rest for later.
        One(u64),
    }

    /// From below a tick to beyond a year.
    fn distance() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..4 * TICK_NANOS,
            (0u32..56, any::<u64>()).prop_map(|(bits, random)| random & ((2 << bits) - 1)),
            // On and beside the borders of slots.
            (0u32..7, 1u64..5, 0u64..3)
                .prop_map(|(level, turns, off)| { (turns << (DIGIT_BITS * level)) * TICK_NANOS + off - 1 }),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => distance().prop_map(Step::Insert),
            2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            3 => (any::<prop::sample::Index>(), distance()).prop_map(|(which, by)| Step::Move(which, by)),
            3 => (distance(), 0u64..3).prop_map(|(by, new)| Step::Advance(by, new)),
            3 => Just(Step::Follow),
            1 => distance().prop_map(Step::One),
        ]
    }

    /// The wheel and what it should do: armed keys by tick.
    struct Pair {
        wheel: Wheel<u64>,
        model: BTreeMap<u64, Vec<u64>>,
        ids: Vec<TimerId>,
        ticks: Vec<Option<u64>>,
        seen: u64,
        now: u64,
    }

    impl Pair {
        fn tick_after(&self, by: u64) -> (Instant, u64) {
            let deadline = self.now + by;
            (Instant::from_nanos(deadline), deadline.div_ceil(TICK_NANOS).max(self.seen + 1))
        }

        fn insert(&mut self, by: u64) {
            let (deadline, tick) = self.tick_after(by);
            let key = self.ids.len() as u64;
            self.ids.push(self.wheel.insert(deadline, key));
            self.ticks.push(Some(tick));
            self.model.entry(tick).or_default().push(key);
        }

        fn forget(&mut self, key: usize) -> bool {
            let Some(tick) = self.ticks[key].take() else { return false };
            let keys = self.model.get_mut(&tick).expect("armed at that tick");
            keys.retain(|other| *other != key as u64);
            if keys.is_empty() {
                self.model.remove(&tick);
            }
            true
        }

        /// Takes one key from both; false when none is due.
        fn expire_one(&mut self) -> Result<bool, TestCaseError> {
            let limit = self.now / TICK_NANOS;
            self.seen = self.seen.max(limit);
            let due = self.model.first_key_value().filter(|(tick, _)| **tick <= limit);
            match (self.wheel.expire(Instant::from_nanos(self.now)), due) {
                (None, None) => Ok(false),
                (Some(key), Some((_, keys))) => {
                    prop_assert!(keys.contains(&key), "{key} is not among the first, {keys:?}");
                    self.forget(key as usize);
                    Ok(true)
                }
                (got, expected) => {
                    prop_assert!(false, "got {got:?}, expected {expected:?} at {limit}");
                    Ok(false)
                }
            }
        }

        fn check(&self) -> Result<(), TestCaseError> {
            let first = self.model.first_key_value().map(|(tick, _)| *tick);
            match (self.wheel.next_deadline(), first) {
                (None, None) => {}
                (Some(next), Some(first)) => {
                    prop_assert!(next <= tick(first));
                    // Exact once the deadline is within the first wheel's turn.
                    if first / SLOTS as u64 == self.wheel.position / SLOTS as u64 {
                        prop_assert_eq!(next, tick(first));
                    }
                }
                (next, first) => prop_assert!(false, "{next:?} {first:?}"),
            }
            let armed: usize = self.model.values().map(Vec::len).sum();
            let mut linked = 0;
            for (level, slots) in self.wheel.slots.iter().enumerate() {
                for (slot, first) in slots.iter().enumerate() {
                    prop_assert_eq!(self.wheel.used[level] >> slot & 1 == 1, *first != NONE);
                    let mut index = *first;
                    while index != NONE {
                        linked += 1;
                        let entry = &self.wheel.entries[index as usize];
                        prop_assert_eq!(self.wheel.place(entry.tick), (level, slot));
                        prop_assert_eq!(self.wheel.entries[entry.next as usize].previous, index);
                        index = if entry.next == *first { NONE } else { entry.next };
                    }
                }
            }
            prop_assert_eq!(linked, armed);
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn does_what_a_sorted_map_does(
            start in prop_oneof![0..1u64 << 30, 0..1u64 << 62],
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let mut pair = Pair {
                wheel: Wheel::new(Instant::from_nanos(start)),
                model: BTreeMap::new(),
                ids: Vec::new(),
                ticks: Vec::new(),
                seen: start / TICK_NANOS,
                now: start,
            };
            for step in steps {
                match step {
                    Step::Insert(by) => pair.insert(by),
                    Step::Cancel(which) if !pair.ids.is_empty() => {
                        let key = which.index(pair.ids.len());
                        let cancelled = pair.wheel.cancel(pair.ids[key]);
                        prop_assert_eq!(cancelled, pair.forget(key));
                    }
                    Step::Move(which, by) if !pair.ids.is_empty() => {
                        let key = which.index(pair.ids.len());
                        let (deadline, tick) = pair.tick_after(by);
                        let moved = pair.wheel.move_to(pair.ids[key], deadline);
                        prop_assert_eq!(moved, pair.forget(key));
                        if moved {
                            pair.ticks[key] = Some(tick);
                            pair.model.entry(tick).or_default().push(key as u64);
                        }
                    }
                    Step::Cancel(_) | Step::Move(..) => {}
                    Step::Advance(by, new) => {
                        pair.now += by;
                        let mut new = new;
                        while pair.expire_one()? {
                            if new > 0 {
                                pair.insert(new - 1);
                                new -= 1;
                            }
                        }
                    }
                    Step::Follow => {
                        if let Some(next) = pair.wheel.next_deadline() {
                            pair.now = pair.now.max(next.as_nanos());
                            while pair.expire_one()? {}
                            // There was progress: the next one is later.
                            prop_assert!(pair.wheel.next_deadline().is_none_or(|after| after > next));
                        }
                    }
                    Step::One(by) => {
                        pair.now += by;
                        pair.expire_one()?;
                    }
                }
                pair.check()?;
            }
        }
    }
}
