//! [`Queue`]: the sessions that wait for a place at a pool's backends, first come, first served. It knows
//! nothing of threads; whoever shares one among workers puts it behind a lock.
//!
//! A place that came free is offered to the one who waits longest, who tries to pick. Who succeeds passes the
//! baton on, since there may be room for more; who fails goes back to where it stood. One tries at a time, or one
//! who came later could be served before: places that come free meanwhile are counted, so that none is missed.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;

/// Names one place in the queue; earlier ones are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(NonZeroU64);

/// Somebody who waits: its worker and what that worker calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter<T> {
    /// Which worker it belongs to.
    pub worker: usize,
    /// What the worker calls it.
    pub token: T,
}

/// A place that came free, offered to one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<T> {
    /// Where it stood.
    pub place: Place,
    /// Who it is.
    pub waiter: Waiter<T>,
    /// How many places had come free by then.
    seen: u64,
}

/// Who waits.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: BTreeMap<Place, Waiter<T>>,
    /// Offers their workers have not taken yet.
    offered: Vec<VecDeque<(Place, T)>>,
    /// Offers under way: made, and neither put back nor settled.
    trying: usize,
    next: NonZeroU64,
    /// How often a place came free.
    freed: u64,
    max: usize,
}

impl<T: Copy> Queue<T> {
    /// A queue of at most `max` over `workers` workers.
    pub fn new(max: usize, workers: usize) -> Self {
        let offered = (0..workers).map(|_| VecDeque::new()).collect();
        Self { waiting: BTreeMap::new(), offered, trying: 0, next: NonZeroU64::MIN, freed: 0, max }
    }

    /// How many wait, those with an offer too.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.trying
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts somebody at the end; `None` when the queue is full.
    pub fn push(&mut self, waiter: Waiter<T>) -> Option<Place> {
        if self.len() >= self.max {
            return None;
        }
        let place = Place(self.next);
        self.next = self.next.checked_add(1).expect("nobody lives to see so many clients");
        self.waiting.insert(place, waiter);
        Some(place)
    }

    /// Takes somebody out who does not wait any more. `false` when it was offered a place already: then the
    /// offer must be passed on by [`Queue::settle`] once its worker takes it.
    pub fn leave(&mut self, place: Place) -> bool {
        self.waiting.remove(&place).is_some()
    }

    /// A place came free, or may have: offers it to who waits longest, unless somebody is trying, who then passes
    /// it on or tries again. Returns the worker to be told.
    pub fn free(&mut self) -> Option<usize> {
        self.freed += 1;
        if self.trying > 0 { None } else { self.offer() }
    }

    /// Who was offered a place has one, or left: it waits no more, and there may be room for the next. Returns
    /// the worker to be told.
    pub fn settle(&mut self) -> Option<usize> {
        self.trying -= 1;
        self.free()
    }

    /// The next offer to one of this worker's.
    pub fn take_offer(&mut self, worker: usize) -> Option<Offer<T>> {
        let (place, token) = self.offered[worker].pop_front()?;
        Some(Offer { place, waiter: Waiter { worker, token }, seen: self.freed })
    }

    /// Who was offered a place found none: back to where it stood. Returns the worker to be told when a place
    /// came free meanwhile.
    pub fn put_back(&mut self, offer: Offer<T>) -> Option<usize> {
        self.trying -= 1;
        self.waiting.insert(offer.place, offer.waiter);
        // Not counted as another one, or it would try for ever.
        if self.freed == offer.seen { None } else { self.offer() }
    }

    fn offer(&mut self) -> Option<usize> {
        let (place, waiter) = self.waiting.pop_first()?;
        self.trying += 1;
        self.offered[waiter.worker].push_back((place, waiter.token));
        Some(waiter.worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue<u32> {
        let mut queue = Queue::new(3, 2);
        for (worker, token) in [(0, 10), (1, 11), (0, 12)] {
            queue.push(Waiter { worker, token }).unwrap();
        }
        queue
    }

    #[test]
    fn first_come_first_served_and_no_more_than_max() {
        let mut queue = queue();
        assert_eq!(queue.push(Waiter { worker: 0, token: 13 }), None);
        assert_eq!(queue.free(), Some(0));
        assert_eq!(queue.take_offer(1), None);
        assert_eq!(queue.take_offer(0).unwrap().waiter.token, 10);
        assert_eq!(queue.free(), None, "the next has its turn when the first has a place");
        assert_eq!(queue.take_offer(1), None);
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.push(Waiter { worker: 0, token: 13 }), None, "who tries may have to wait on");
        assert_eq!(queue.settle(), Some(1));
        assert_eq!(queue.take_offer(1).unwrap().waiter.token, 11);
        assert_eq!(queue.len(), 2);
        assert!(queue.push(Waiter { worker: 0, token: 13 }).is_some());
    }

    #[test]
    fn who_finds_none_keeps_its_place() {
        let mut queue = queue();
        queue.free();
        let offer = queue.take_offer(0).unwrap();
        assert_eq!(queue.put_back(offer), None);
        queue.free();
        assert_eq!(queue.take_offer(0).unwrap().waiter.token, 10);
    }

    #[test]
    fn a_place_that_comes_free_during_a_try_is_not_missed() {
        let mut queue = Queue::new(1, 1);
        queue.push(Waiter { worker: 0, token: 1 }).unwrap();
        queue.free();
        let offer = queue.take_offer(0).unwrap();
        assert_eq!(queue.free(), None);
        assert_eq!(queue.put_back(offer), Some(0));
        assert_eq!(queue.take_offer(0).unwrap().waiter.token, 1);
    }

    #[test]
    fn who_left_after_an_offer_is_known_by_it() {
        let mut queue = Queue::new(2, 1);
        let first = queue.push(Waiter { worker: 0, token: 1 }).unwrap();
        let second = queue.push(Waiter { worker: 0, token: 2 }).unwrap();
        queue.free();
        assert!(!queue.leave(first));
        assert!(queue.leave(second));
        assert_eq!(queue.take_offer(0).unwrap().waiter.token, 1);
        assert_eq!(queue.settle(), None);
        assert!(queue.is_empty());
    }

    /// Whoever is first stays first, however often others free places while it tries in vain.
    #[test]
    fn nobody_overtakes_who_tries() {
        let mut queue = Queue::new(4, 2);
        for worker in [0, 1] {
            queue.push(Waiter { worker, token: worker }).unwrap();
        }
        queue.free();
        for _ in 0..3 {
            let offer = queue.take_offer(0).unwrap();
            assert_eq!(queue.free(), None);
            assert_eq!(queue.take_offer(1), None);
            assert_eq!(queue.put_back(offer), Some(0));
        }
        let offer = queue.take_offer(0).unwrap();
        assert_eq!(queue.put_back(offer), None, "no place came free meanwhile");
        assert_eq!((queue.trying, queue.len()), (0, 2));
    }
}
