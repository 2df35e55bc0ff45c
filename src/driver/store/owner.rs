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
}

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
        let owner = self.queue[at].1.take();
        while self.queue.front().is_some_and(|(_, owner)| owner.is_none()) {
            self.queue.pop_front();
        }
        owner
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
