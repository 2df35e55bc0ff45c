//! [`Queue`]: the sessions that wait for a place at a pool's backends, first come, first served. It knows
//! nothing of threads; whoever shares one among workers puts it behind a lock.
//!
//! A place that came free is offered to the one who waits longest, who tries to pick. Who succeeds passes the
//! baton on, since there may be room for more; who fails goes back to where it stood. One tries at a time, or one
//! who came later could be served before: places that come free meanwhile are counted, so that none is missed.
//! Who will not have every place lets those behind it have what it fails to find.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::ops::Bound;

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
    /// How many places had come free by then, or when the first of those before it failed.
    seen: u64,
}

/// Who waits.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: BTreeMap<Place, Waiter<T>>,
    /// Offers their workers have not taken yet; with each, how many places had come free when those before it failed.
    offered: Vec<VecDeque<(Place, T, Option<u64>)>>,
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
        let (place, token, seen) = self.offered[worker].pop_front()?;
        Some(Offer { place, waiter: Waiter { worker, token }, seen: seen.unwrap_or(self.freed) })
    }

    /// Who was offered a place found none: back to where it stood. Returns the worker to be told when a place
    /// came free meanwhile.
    pub fn put_back(&mut self, offer: Offer<T>) -> Option<usize> {
        self.trying -= 1;
        self.waiting.insert(offer.place, offer.waiter);
        // Not counted as another one, or it would try for ever.
        if self.freed == offer.seen { None } else { self.offer() }
    }

    /// Who was offered a place found none that it would have, and somebody else may: back to where it stood, and the
    /// next behind it tries. Returns the worker to be told.
    pub fn pass_on(&mut self, offer: Offer<T>) -> Option<usize> {
        if self.freed != offer.seen {
            // One of those before may have it.
            return self.put_back(offer);
        }
        self.trying -= 1;
        let behind = self.waiting.range((Bound::Excluded(offer.place), Bound::Unbounded)).next();
        let next = behind.map(|(place, _)| *place);
        self.waiting.insert(offer.place, offer.waiter);
        self.offer_to(next?, Some(offer.seen))
    }

    fn offer(&mut self) -> Option<usize> {
        let first = *self.waiting.first_key_value()?.0;
        self.offer_to(first, None)
    }

    fn offer_to(&mut self, place: Place, seen: Option<u64>) -> Option<usize> {
        let waiter = self.waiting.remove(&place)?;
        self.trying += 1;
        self.offered[waiter.worker].push_back((place, waiter.token, seen));
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

    /// Who will not have a place lets the next try, and keeps its own turn.
    #[test]
    fn what_one_will_not_have_is_offered_to_the_next() {
        let mut queue = queue();
        queue.free();
        let offer = queue.take_offer(0).unwrap();
        assert_eq!(queue.pass_on(offer), Some(1));
        let offer = queue.take_offer(1).unwrap();
        assert_eq!((offer.waiter.token, queue.len()), (11, 3));
        // It has one: whoever waits longest is asked again.
        assert_eq!(queue.settle(), Some(0));
        let offer = queue.take_offer(0).unwrap();
        assert_eq!(offer.waiter.token, 10);
        assert_eq!(queue.pass_on(offer), Some(0));
        let offer = queue.take_offer(0).unwrap();
        assert_eq!(offer.waiter.token, 12);
        assert_eq!(queue.pass_on(offer), None, "nobody is behind it");
        assert_eq!((queue.trying, queue.len()), (0, 2));
    }

    /// A place that comes free after the first failed is not missed by it, whoever fails then.
    #[test]
    fn who_passed_on_does_not_miss_what_comes_free_behind_it() {
        for passes in [false, true] {
            let mut queue = queue();
            queue.free();
            let offer = queue.take_offer(0).unwrap();
            assert_eq!(queue.pass_on(offer), Some(1));
            assert_eq!(queue.free(), None);
            let offer = queue.take_offer(1).unwrap();
            assert_eq!(if passes { queue.pass_on(offer) } else { queue.put_back(offer) }, Some(0));
            let offer = queue.take_offer(0).unwrap();
            assert_eq!((offer.waiter.token, queue.put_back(offer)), (10, None));
        }
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
