//! Which picks of one lane still await their `done`, so that a pick reported twice is refused and none
//! is counted twice.
//!
//! Each outstanding pick holds one place. A place's word is read and changed as a whole:
//!
//! ```text
//! 63          32 31  30   29        0
//! | generation  | 1 | r |    slot    |   outstanding; r: holds a place below the backend's maxconn
//! | generation  | 0 |       0        |   free
//! ```
//!
//! The generation goes up when the place is given back, so a token is good once. It wraps after 2^32
//! uses of one place: a token kept that long could be taken for another.
//!
//! A pick tries the place its turn names, within a window of places, and a few after it. A window that
//! proves crowded is doubled, so it grows with the most picks ever in flight and stays in the cache.

use crate::sync::{self, AtomicU32, AtomicU64, Ordering, zeroed};

/// The places of one lane.
#[derive(Debug)]
pub(crate) struct Tickets {
    places: Box<[AtomicU64]>,
    /// The window less one: all ones, below the number of places.
    mask: AtomicU32,
    /// 1 after a search of every place found none free, until one is given back.
    full: AtomicU32,
}

/// A place taken: what a token is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) place: u32,
    pub(crate) generation: u32,
}

/// What an outstanding pick was counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) slot: u32,
    /// Whether it holds a place below the backend's `maxconn`.
    pub(crate) reserved: bool,
}

impl Tickets {
    pub(crate) fn new(places: u32) -> Self {
        let window = WINDOW.min(1 << places.max(1).ilog2());
        Self { places: zeroed(places as usize), mask: AtomicU32::new(window - 1), full: AtomicU32::new(0) }
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> u32 {
        self.places.len() as u32
    }

    /// Takes a place; `None` when all are taken.
    #[inline]
    pub(crate) fn take(&self, turn: u64, held: Held) -> Option<Ticket> {
        let mask = self.mask.load(Ordering::Relaxed);
        match self.take_at(turn as u32 & mask, held) {
            Some(ticket) => Some(ticket),
            None => self.take_further(turn, mask, held),
        }
    }

    #[cold]
    fn take_further(&self, turn: u64, mask: u32, held: Held) -> Option<Ticket> {
        (1..TRIES)
            .find_map(|further| self.take_at((turn as u32).wrapping_add(further) & mask, held))
            .or_else(|| self.take_any(turn, held))
    }

    /// Gives a place back and tells what it held; `None` when the ticket is not outstanding.
    #[inline]
    pub(crate) fn give_back(&self, ticket: Ticket) -> Option<Held> {
        let word = self.places.get(ticket.place as usize)?;
        let mut seen = word.load(Ordering::Acquire);
        loop {
            if generation(seen) != ticket.generation || seen & OUTSTANDING == 0 {
                return None;
            }
            let freed = u64::from(ticket.generation.wrapping_add(1)) << 32;
            // It fails when another thread gave it back, or when `adopt` marked it meanwhile.
            match word.compare_exchange_weak(seen, freed, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        // Pairs with the barrier in `take_any`: either its second search finds this place, or we see `full`.
        sync::barrier_after_write();
        if self.full.load(Ordering::Relaxed) != 0 {
            self.full.store(0, Ordering::Relaxed);
        }
        Some(Held { slot: (seen & SLOT) as u32, reserved: seen & RESERVED != 0 })
    }

    /// Marks every outstanding pick of `slot` as holding a place below the `maxconn`, and says how many
    /// were not marked before. Looks at every place in use.
    pub(crate) fn adopt(&self, slot: u32) -> u32 {
        let mut adopted = 0;
        for word in &self.places {
            let mut seen = word.load(Ordering::Acquire);
            while seen & (OUTSTANDING | RESERVED) == OUTSTANDING && seen & SLOT == u64::from(slot) {
                match word.compare_exchange_weak(seen, seen | RESERVED, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => {
                        adopted += 1;
                        break;
                    }
                    Err(now) => seen = now,
                }
            }
        }
        adopted
    }

    #[inline(always)]
    fn take_at(&self, place: u32, held: Held) -> Option<Ticket> {
        let word = &self.places[place as usize];
        let seen = word.load(Ordering::Relaxed);
        if seen & OUTSTANDING != 0 {
            return None;
        }
        let generation = generation(seen);
        let reserved = if held.reserved { RESERVED } else { 0 };
        let taken = u64::from(generation) << 32 | OUTSTANDING | reserved | u64::from(held.slot);
        // Release: whoever gives the place back, perhaps on another thread, sees what was counted.
        word.compare_exchange(seen, taken, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(Ticket { place, generation })
    }

    /// Widens the window, and at its widest looks at every place.
    fn take_any(&self, turn: u64, held: Held) -> Option<Ticket> {
        let len = self.places.len() as u32;
        let mut mask = self.mask.load(Ordering::Relaxed);
        while mask * 2 + 1 < len {
            mask = mask * 2 + 1;
            self.mask.fetch_max(mask, Ordering::Relaxed);
            let found =
                (0..TRIES).find_map(|further| self.take_at((turn as u32).wrapping_add(further) & mask, held));
            if found.is_some() {
                return found;
            }
        }
        if self.full.load(Ordering::Relaxed) != 0 {
            return None;
        }
        self.search(turn as u32 % len, held).or_else(|| {
            self.full.swap(1, Ordering::Relaxed);
            sync::barrier_after_write();
            // Whoever gave a place back before that may not have cleared it.
            let found = self.search(0, held);
            if found.is_some() {
                self.full.store(0, Ordering::Relaxed);
            }
            found
        })
    }

    /// Looks at every place, from `from` on.
    fn search(&self, from: u32, held: Held) -> Option<Ticket> {
        (from..self.places.len() as u32).chain(0..from).find_map(|place| self.take_at(place, held))
    }
}

/// Places in the first window: 8 KiB of words.
const WINDOW: u32 = 1 << 10;
/// Places tried before the window is widened.
const TRIES: u32 = 8;
const OUTSTANDING: u64 = 1 << 31;
const RESERVED: u64 = 1 << 30;
const SLOT: u64 = RESERVED - 1;

fn generation(word: u64) -> u32 {
    (word >> 32) as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const HELD: Held = Held { slot: 7, reserved: false };

    #[test]
    fn a_ticket_is_good_once() {
        let tickets = Tickets::new(4);
        let ticket = tickets.take(0, HELD).unwrap();
        assert_eq!(tickets.give_back(ticket), Some(HELD));
        assert_eq!(tickets.give_back(ticket), None);
        let again = tickets.take(4, HELD).unwrap();
        assert_eq!(again.place, ticket.place);
        assert_eq!(tickets.give_back(ticket), None, "an old ticket of a place in use again");
        assert_eq!(tickets.give_back(again), Some(HELD));
        assert_eq!(tickets.give_back(Ticket { place: 3, generation: 0 }), None, "never taken");
        assert_eq!(tickets.give_back(Ticket { place: 4, generation: 0 }), None, "no such place");
    }

    #[test]
    fn the_limit_is_exact_whatever_its_size() {
        for places in [1, 2, 3, 1000, 1024, 1025, 5000] {
            let tickets = Tickets::new(places);
            let taken: Vec<_> = (0..places).map(|_| tickets.take(7, HELD).unwrap()).collect();
            for _ in 0..3 {
                assert_eq!(tickets.take(9, HELD), None);
            }
            let back = taken[places as usize / 2];
            tickets.give_back(back).unwrap();
            assert_eq!(tickets.take(11, HELD).unwrap().place, back.place);
            assert_eq!(tickets.take(12, HELD), None);
        }
    }

    /// Short picks between long ones: the long ones keep their places.
    #[test]
    fn places_held_long_are_passed_over() {
        let tickets = Tickets::new(100_000);
        let long: Vec<_> = (0..3000).map(|turn| tickets.take(turn, HELD).unwrap()).collect();
        for turn in 3000..50_000 {
            let short = tickets.take(turn, HELD).unwrap();
            assert_eq!(tickets.give_back(short), Some(HELD));
        }
        assert!(long.into_iter().all(|ticket| tickets.give_back(ticket) == Some(HELD)));
    }

    #[test]
    fn adopted_picks_tell_so_when_given_back() {
        let tickets = Tickets::new(8);
        let ours = tickets.take(0, HELD).unwrap();
        let other = tickets.take(1, Held { slot: 8, reserved: false }).unwrap();
        let before = tickets.take(2, Held { slot: 7, reserved: true }).unwrap();
        assert_eq!(tickets.adopt(7), 1);
        assert_eq!(tickets.adopt(7), 0);
        assert!(tickets.give_back(ours).unwrap().reserved && tickets.give_back(before).unwrap().reserved);
        assert!(!tickets.give_back(other).unwrap().reserved);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    const HELD: Held = Held { slot: 1, reserved: false };

    /// Two threads report the same pick: exactly one is heard.
    #[test]
    fn loom_given_back_once() {
        loom::model(|| {
            let tickets = Arc::new(Tickets::new(1));
            let ticket = tickets.take(0, HELD).unwrap();
            let other = {
                let tickets = Arc::clone(&tickets);
                thread::spawn(move || tickets.give_back(ticket).is_some())
            };
            let here = tickets.give_back(ticket).is_some();
            assert!(here ^ other.join().unwrap());
            assert!(tickets.take(1, HELD).is_some());
            assert!(tickets.take(2, HELD).is_none());
        });
    }

    /// Threads taking and giving back never hold the same place.
    #[test]
    fn loom_places_are_exclusive() {
        loom::model(|| {
            let tickets = Arc::new(Tickets::new(2));
            let run = |tickets: &Tickets| {
                let first = tickets.take(0, HELD)?;
                assert_eq!(tickets.give_back(first), Some(HELD));
                tickets.take(1, HELD)
            };
            let other = {
                let tickets = Arc::clone(&tickets);
                thread::spawn(move || run(&tickets))
            };
            let here = run(&tickets);
            let there = other.join().unwrap();
            assert!(here.is_none() || here.map(|t| t.place) != there.map(|t| t.place));
        });
    }

    /// A pick adopted while it is given back is counted as reserved on both sides or on neither.
    #[test]
    fn loom_adoption_and_return_agree() {
        loom::model(|| {
            let tickets = Arc::new(Tickets::new(1));
            let ticket = tickets.take(0, HELD).unwrap();
            let other = {
                let tickets = Arc::clone(&tickets);
                thread::spawn(move || tickets.adopt(1))
            };
            let held = tickets.give_back(ticket).unwrap();
            assert_eq!(u32::from(held.reserved), other.join().unwrap());
        });
    }
}
