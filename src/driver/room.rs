//! [`Room`]: a pool's wait queue as its workers share it. The lock is held for a few steps in memory, never
//! over a pick, a wake or a system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::balance::Pool;
use crate::driver::mailbox::Sender;
use crate::driver::token::Key;
use crate::driver::worker::Message;
use crate::proxy::queue::{Offer, Place, Queue, Waiter};
use crate::proxy::session::Cause;

/// Who waits for a place at one pool's backends.
pub(crate) struct Room {
    pool_index: usize,
    queue: Mutex<Queue<Key>>,
    /// For each worker, whether it has a [`Message::Room`] of this pool on its way: one is enough.
    told: Box<[AtomicBool]>,
    senders: Box<[Sender<Message>]>,
}

impl Room {
    pub(crate) fn new(pool_index: usize, queue_max: usize, senders: &[Sender<Message>]) -> Self {
        Self {
            pool_index,
            queue: Mutex::new(Queue::new(queue_max, senders.len())),
            told: senders.iter().map(|_| AtomicBool::new(false)).collect(),
            senders: senders.into(),
        }
    }

    /// Waits at the end of the queue; `Err` says why it may not. From here to [`Room::settle`] the pool says when
    /// a place comes free; one that came free before is found by the offer this makes.
    pub(crate) fn enter(&self, pool: &Pool, worker: usize, token: Key) -> Result<Place, Cause> {
        pool.try_want().map_err(|_| Cause::PendingFull)?;
        let Some(place) = self.queue.lock().push(Waiter { worker, token }) else {
            pool.unwant();
            return Err(Cause::QueueFull);
        };
        self.free();
        Ok(place)
    }

    /// Waits no more. With an offer on its way already, that is said by [`Room::settle`] when it comes.
    pub(crate) fn leave(&self, pool: &Pool, place: Place) {
        if self.queue.lock().leave(place) {
            pool.unwant();
        }
    }

    /// Somebody who took an offer waits no more; there may be room for the next.
    pub(crate) fn settle(&self, pool: &Pool) {
        pool.unwant();
        let worker = self.queue.lock().settle();
        self.tell(worker);
    }

    /// A place may have come free.
    pub(crate) fn free(&self) {
        let worker = self.queue.lock().free();
        self.tell(worker);
    }

    /// Whoever took this offer found no place.
    pub(crate) fn put_back(&self, offer: Offer<Key>) {
        let worker = self.queue.lock().put_back(offer);
        self.tell(worker);
    }

    /// Whoever took this offer found no place that it would have.
    pub(crate) fn pass_on(&self, offer: Offer<Key>) {
        let worker = self.queue.lock().pass_on(offer);
        self.tell(worker);
    }

    /// Begins a round of taking offers: from now on a new one tells the worker.
    pub(crate) fn begin(&self, worker: usize) {
        // A read-modify-write, so that the taking that follows is not done before it.
        self.told[worker].swap(false, Ordering::AcqRel);
    }

    /// The next offer to one of this worker's sessions.
    pub(crate) fn take_offer(&self, worker: usize) -> Option<Offer<Key>> {
        self.queue.lock().take_offer(worker)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().len()
    }

    fn tell(&self, worker: Option<usize>) {
        let Some(worker) = worker else { return };
        if !self.told[worker].swap(true, Ordering::AcqRel) {
            // The mailbox has a place for one message of each pool and listener. It refuses only when the
            // worker is gone, and its sessions with it.
            let _ = self.senders[worker].try_send(Message::Room(self.pool_index));
        }
    }
}

/// Passes a pool's word that a place came free on to who waits, and the rest on to who tells it.
pub(crate) struct RoomObserver {
    /// Whose waiters they are. A child made by fork has a copy of the pool, and no server.
    pub(crate) pid: u32,
    pub(crate) room: Arc<Room>,
    pub(crate) on_change: Box<dyn Fn(&crate::balance::Change) + Send + Sync>,
    pub(crate) on_panic: Box<dyn Fn(u8, bool) + Send + Sync>,
}

impl crate::balance::Observer for RoomObserver {
    fn handle_room(&self) {
        if self.pid == std::process::id() {
            self.room.free();
        }
    }

    fn handle_change(&self, change: &crate::balance::Change) {
        if self.pid == std::process::id() {
            (self.on_change)(change);
        }
    }

    fn handle_panic(&self, tier: u8, panics: bool) {
        if self.pid == std::process::id() {
            (self.on_panic)(tier, panics);
        }
    }
}
