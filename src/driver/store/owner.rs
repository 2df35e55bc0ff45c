//! Who waits for what: [`Owner`], and where a call finds its answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::lock::{Condvar, Mutex};

use super::answer::{Done, Expected};
#[cfg(feature = "proxy")]
use super::lane;
use super::queue::{self, WaitPlace};
use super::shared::{Shared, deadline};
use crate::error::{Error, Result};
use crate::store::engine::Ticket;
use crate::time::{Clock, Instant};

/// Whose a ticket is.
pub(super) enum Owner {
    /// A call that waits.
    Call(Arc<Slot>),
    /// A submitted one, with its user data, and which answers it may get.
    Queue(Arc<queue::Shared>, u64, Expected),
    /// A submitted wait, which its queue may take back.
    Wait(Arc<queue::Shared>, queue::WaitKey),
    /// One of a loop's.
    #[cfg(feature = "proxy")]
    Lane(lane::Place),
}

impl Owner {
    /// Whether nobody is interested in the answer any more, as far as that can be told.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Owner::Call(slot) => Arc::strong_count(slot) == 1,
            Owner::Queue(..) | Owner::Wait(..) => false,
            #[cfg(feature = "proxy")]
            Owner::Lane(_) => false,
        }
    }
}

/// Who waits for which ticket. Tickets rise, and are answered nearly in order: so a queue will do, and no hashing.
#[derive(Default)]
pub(super) struct Owners {
    /// Rising tickets; `None` where it was answered before others that came earlier.
    queue: VecDeque<(Ticket, Option<Owner>)>,
    /// How many of them are `None`. There are no more than of the others, but for a few.
    answered: usize,
}

/// So many that were answered are let be.
const ANSWERED_MIN: usize = 64;

impl Owners {
    pub(super) fn insert(&mut self, ticket: Ticket, owner: Owner) {
        debug_assert!(self.queue.back().is_none_or(|(last, _)| *last < ticket), "tickets rise");
        if let Owner::Wait(queue, wait) = &owner {
            queue.note_place(*wait, WaitPlace::Ticket(ticket));
        }
        self.queue.push_back((ticket, Some(owner)));
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Owner> {
        let at = match self.queue.front() {
            Some((first, _)) if *first == ticket => 0,
            _ => self.queue.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?,
        };
        let owner = self.queue[at].1.take()?;
        self.answered += 1;
        while self.queue.front().is_some_and(|(_, owner)| owner.is_none()) {
            self.queue.pop_front();
            self.answered -= 1;
        }
        // One that waits for long keeps the places of those behind it.
        if self.answered > ANSWERED_MIN && self.answered * 2 > self.queue.len() {
            self.queue.retain(|(_, owner)| owner.is_some());
            self.answered = 0;
        }
        Some(owner)
    }
}

/// What a submitted call gives.
pub(super) enum Submitted {
    /// The answer, at once.
    Done(Done),
    /// Where it will be.
    Waits(Arc<Slot>),
}

impl Submitted {
    /// The answer, once it is there, for `timeout` at most. Where it was waited for, it is given once.
    pub(super) fn wait(&self, shared: &Shared, timeout: Duration) -> Result<Done> {
        match self {
            Submitted::Done(done) => Ok(done.clone()),
            Submitted::Waits(slot) if shared.host.is_some() => shared.drive_for(slot, deadline(timeout)),
            Submitted::Waits(slot) => slot.wait(deadline(timeout)),
        }
    }

    /// Likewise, for one who asks once: what is there is not copied.
    pub(super) fn into_answer(self, shared: &Shared, timeout: Duration) -> Result<Done> {
        match self {
            Submitted::Done(done) => Ok(done),
            waits @ Submitted::Waits(_) => waits.wait(shared, timeout),
        }
    }
}

/// Where a call finds its answer.
#[derive(Default)]
pub(super) struct Slot {
    result: Mutex<Option<Result<Done>>>,
    filled: Condvar,
}

impl Slot {
    pub(super) fn fill(&self, result: Result<Done>) {
        *self.result.lock() = Some(result);
        self.filled.notify_one();
    }

    /// The answer, if it is there.
    pub(super) fn take(&self) -> Option<Result<Done>> {
        self.result.lock().take()
    }

    /// The answer, once it is there.
    fn wait(&self, deadline: Instant) -> Result<Done> {
        let mut result = self.result.lock();
        loop {
            if let Some(result) = result.take() {
                return result;
            }
            let left = deadline.duration_since(Clock.now());
            if left.is_zero() {
                return Err(Error::TimedOut { what: "write" });
            }
            self.filled.wait_for(&mut result, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_long_keeps_no_place_but_its_own() {
        let mut owners = Owners::default();
        let slots: Vec<Arc<Slot>> = (0..10_000).map(|_| Arc::new(Slot::default())).collect();
        let is_of = |owner: Option<Owner>, at: usize| matches!(owner, Some(Owner::Call(slot)) if Arc::ptr_eq(&slot, &slots[at]));
        for (at, slot) in slots.iter().enumerate() {
            owners.insert(Ticket(at as u64 + 1), Owner::Call(Arc::clone(slot)));
            // The first and the hundredth wait; the others are answered one behind the other.
            if at > 1 && at != 101 {
                assert!(is_of(owners.remove(Ticket(at as u64)), at - 1), "{at}");
            }
            assert!(owners.queue.len() <= 3 * ANSWERED_MIN, "{at}: {}", owners.queue.len());
        }
        assert!(owners.remove(Ticket(50)).is_none() && owners.remove(Ticket(20_000)).is_none());
        assert!(is_of(owners.remove(Ticket(101)), 100));
        assert!(owners.remove(Ticket(101)).is_none(), "it is given once");
        assert!(is_of(owners.remove(Ticket(10_000)), 9_999));
        assert!(is_of(owners.remove(Ticket(1)), 0));
        assert!(owners.queue.is_empty() && owners.answered == 0);
    }
}
