//! What the workers of one server share: pools, wait queues, the listeners' limits and counters. Everything
//! else belongs to one worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::balance::{BackendId, Pool};
use crate::driver::conversation;
use crate::driver::cutting::Cutting;
use crate::driver::event::{Event, EventKind, Sink};
use crate::driver::mailbox::Sender;
use crate::driver::room::Room;
use crate::driver::standing::Standing;
use crate::driver::worker::Message;
use crate::proxy::options::Options;
use crate::proxy::session::Cause;
use crate::time::Instant;

/// The worker that runs the checks.
pub(crate) const CHECKER: usize = 0;

pub(crate) struct Shared {
    pub(crate) pools: Vec<SharedPool>,
    pub(crate) listeners: Vec<SharedListener>,
    /// Into each worker's mailbox.
    pub(crate) senders: Box<[Sender<Message>]>,
    pub(crate) sink: Sink,
    pub(crate) orders: Orders,
    pub(crate) conversations: conversation::Counters,
    /// Workers that are not over.
    pub(crate) present: AtomicUsize,
}

/// What the owner ordered. Kept here rather than sent, so that no mailbox can be too full for it.
#[derive(Default)]
pub(crate) struct Orders {
    is_stopped: AtomicBool,
    /// Nanoseconds; 0: no drain was ordered.
    drain_until: AtomicU64,
}

impl Orders {
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    pub(crate) fn drain_until(&self) -> Option<Instant> {
        match self.drain_until.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Instant::from_nanos(nanos)),
        }
    }
}

pub(crate) struct SharedPool {
    pub(crate) name: Arc<str>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) room: Arc<Room>,
    /// Whose sessions are to be cut; none where they go on.
    pub(crate) cutting: Option<Arc<Cutting>>,
    /// Whether its backends are checked.
    pub(crate) is_checked: bool,
    /// What the checks know of its backends.
    pub(crate) standing: Arc<Standing>,
    /// Whether the worker that checks has a [`Message::Pool`] of this pool on its way: one is enough.
    pub(crate) is_change_told: Arc<AtomicBool>,
}

impl SharedPool {
    /// The worker that checks has taken its [`Message::Pool`], and looks at the pool after this.
    pub(crate) fn begin_change(&self) {
        // A read-modify-write, so that the looking that follows is not done before it.
        self.is_change_told.swap(false, Ordering::AcqRel);
    }
}

pub(crate) struct SharedListener {
    pub(crate) name: Arc<str>,
    pub(crate) pool: usize,
    pub(crate) options: Options,
    /// The most sessions at once; 0: no limit.
    pub(crate) maxconn: u32,
    /// Sessions at present, over all workers, and attempts to accept one.
    active: CachePadded<AtomicU32>,
    /// For each worker, whether it waits for a session to end before it accepts again.
    is_waiting: Box<[AtomicBool]>,
    /// For each worker, whether it has a [`Message::Resume`] of this listener on its way: one is enough.
    is_told: Box<[AtomicBool]>,
    /// Whether some worker is paused for want of descriptors, which is told once.
    starved: AtomicU32,
    counters: Box<[CachePadded<Counters>]>,
}

/// What one worker counted for one listener. Only that worker writes.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) queued: AtomicU64,
    pub(crate) to_backends: AtomicU64,
    pub(crate) to_clients: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    closed: [AtomicU64; Cause::NAMES.len()],
}

/// Adds to a counter that this thread alone writes.
#[inline]
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Counters {
    #[inline]
    pub(crate) fn count_closed(&self, cause: Cause) {
        add(&self.closed[cause as usize], 1);
    }

    /// Sessions that ended for this reason.
    pub(crate) fn closed(&self, cause: Cause) -> u64 {
        self.closed[cause as usize].load(Ordering::Relaxed)
    }
}

impl SharedListener {
    pub(crate) fn new(name: &str, pool: usize, options: Options, maxconn: u32, workers: usize) -> Self {
        Self {
            name: name.into(),
            pool,
            options,
            maxconn,
            active: CachePadded::new(AtomicU32::new(0)),
            is_waiting: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            is_told: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            starved: AtomicU32::new(0),
            counters: (0..workers).map(|_| CachePadded::new(Counters::default())).collect(),
        }
    }

    /// The counters of one worker.
    #[inline]
    pub(crate) fn counters(&self, worker: usize) -> &Counters {
        &self.counters[worker]
    }

    /// All counters, worker by worker.
    pub(crate) fn all_counters(&self) -> impl Iterator<Item = &Counters> {
        self.counters.iter().map(|padded| &**padded)
    }

    /// Takes a place below `maxconn`. `false`: there is none, and this worker will be sent
    /// [`Message::Resume`] when there may be.
    pub(crate) fn enter(&self, worker: usize) -> bool {
        if self.try_enter() {
            return true;
        }
        // Whoever leaves gives its place back and then looks who waits; we say that we wait and then look for
        // a place: one of the two sees the other. All of these are SeqCst.
        self.is_waiting[worker].store(true, Ordering::SeqCst);
        if self.try_enter() {
            self.is_waiting[worker].store(false, Ordering::SeqCst);
            return true;
        }
        false
    }

    fn try_enter(&self) -> bool {
        let room = |active: u32| (self.maxconn == 0 || active < self.maxconn).then_some(active + 1);
        self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_ok()
    }

    /// Gives a place back.
    pub(crate) fn leave(&self, index: usize, senders: &[Sender<Message>]) {
        self.active.fetch_sub(1, Ordering::SeqCst);
        if self.maxconn == 0 {
            return;
        }
        for (worker, is_waiting) in self.is_waiting.iter().enumerate() {
            if is_waiting.load(Ordering::SeqCst)
                && is_waiting.swap(false, Ordering::SeqCst)
                && !self.is_told[worker].swap(true, Ordering::SeqCst)
            {
                // The mailbox has a place for one message of each pool and listener.
                let _ = senders[worker].try_send(Message::Resume(index));
            }
        }
    }

    /// A worker has taken its [`Message::Resume`], and looks for a place after this.
    pub(crate) fn resume(&self, worker: usize) {
        self.is_told[worker].swap(false, Ordering::SeqCst);
    }

    /// A worker has no descriptor for another connection. `true` for the first.
    pub(crate) fn starve(&self) -> bool {
        self.starved.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// A worker accepts again. `true` for the last.
    pub(crate) fn recover(&self) -> bool {
        self.starved.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Shared {
    /// A session could not reach this backend: its next probe need not wait.
    #[cold]
    pub(crate) fn suspect(&self, pool: usize, backend: BackendId) {
        let shared = &self.pools[pool];
        if shared.is_checked && shared.standing.suspect(backend) {
            // The mailbox has a place for one such message of each pool.
            let _ = self.senders[CHECKER].try_send(Message::Suspects(pool));
        }
    }

    /// Orders every worker to end now.
    pub(crate) fn order_stop(&self) {
        self.orders.is_stopped.store(true, Ordering::Release);
        self.tell_order();
    }

    /// Orders every worker to accept nothing new, and to end when its sessions have, or at `until`.
    pub(crate) fn order_drain(&self, until: Instant) {
        self.orders.drain_until.store(until.as_nanos().max(1), Ordering::Release);
        self.tell_order();
    }

    fn tell_order(&self) {
        for sender in &self.senders {
            // A full mailbox has an order in it already: nothing else may fill it.
            let _ = sender.try_send(Message::Order);
        }
    }

    /// Whether one worker is left.
    pub(crate) fn is_alone(&self) -> bool {
        self.present.load(Ordering::Acquire) <= 1
    }

    pub(crate) fn tell_listener(&self, kind: EventKind, listener: usize, detail: impl Into<String>) {
        (self.sink)(&Event::of_listener(kind, &self.listeners[listener].name, detail));
    }

    #[cfg(feature = "store")]
    pub(crate) fn tell_named(&self, kind: EventKind, listener: &Arc<str>, detail: impl Into<String>) {
        (self.sink)(&Event::of_listener(kind, listener, detail));
    }
}

/// That a worker is not over. Dropping it, be it by a panic, tells the last one left.
pub(crate) struct Presence(Arc<Shared>);

impl Presence {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.present.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.0.present.fetch_sub(1, Ordering::AcqRel) != 2 {
            return;
        }
        for sender in &self.0.senders {
            // Once in a server's life, so each mailbox has a place for it; those of the others are gone.
            let _ = sender.try_send(Message::Alone);
        }
    }
}
