//! [`Queue`]: calls that are submitted, and completed through a queue with a descriptor, for hosts with a loop of their
//! own.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::driver::lock::Mutex;

use super::Store;
use super::answer::{Done, Expected};
use super::ground::{Source, Wanted};
use super::owner::Owner;
use super::shared::{closed, deadline, now};
use crate::error::{Error, Result};
use crate::store::engine::Durability;
use crate::store::index::{Command, FETCH_MAX, Operation, RequestId, Timestamp};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::eventfd::EventFd;
use crate::time::Clock;

/// Something to submit.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// What to do.
    pub operation: Operation<'a>,
    /// Who asks, for a request that may be sent again.
    pub request: Option<RequestId>,
    /// What is to be reached; `None`: the store's default.
    pub durability: Option<Durability>,
    /// In a cluster, on how many nodes' disks it is to be; 0: as `durability` says. See [`Call::nodes`](super::Call::nodes).
    pub nodes: u32,
    /// Comes back with the completion.
    pub user_data: u64,
}

/// What came of a submission.
#[derive(Clone, Debug)]
pub struct Completed {
    /// As it was submitted.
    pub user_data: u64,
    /// The answer; the errors are those of [`Store::call`].
    pub result: Result<Done>,
}

/// Calls under way, and those that are done. Any thread may use it.
#[derive(Debug)]
pub struct Queue {
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Readable while something is done and not taken, and from the end of the store on until somebody takes.
    event: EventFd,
    capacity: usize,
    /// 1: the queue was dropped, and what is done is taken by nobody.
    gone: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    done: VecDeque<Completed>,
    under_way: usize,
    /// The store is closed, and all that was under way is done.
    is_closed: bool,
    /// Threads in [`Queue::wait`], which each are to see it.
    waiters: usize,
}

impl State {
    /// Whether nothing is there, nor will be.
    fn has_ended(&self) -> bool {
        self.is_closed && self.done.is_empty() && self.under_way == 0
    }
}

impl Shared {
    pub(super) fn is_gone(&self) -> bool {
        // Relaxed: it frees a place, sooner or later.
        self.gone.load(Ordering::Relaxed) != 0
    }

    pub(super) fn complete(&self, user_data: u64, result: Result<Done>) {
        let mut state = self.state.lock();
        state.under_way -= 1;
        state.done.push_back(Completed { user_data, result });
        if state.done.len() == 1 {
            self.event.signal();
        }
    }

    /// Whether who waits has something to look at.
    fn has_news(&self) -> bool {
        let state = self.state.lock();
        !state.done.is_empty() || state.has_ended()
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.event.signal();
    }
}

impl Queue {
    pub(super) fn new(store: &Store, capacity: usize) -> Result<Self> {
        if !(1..=1 << 24).contains(&capacity) {
            return Err(Error::invalid("capacity", format!("{capacity} is outside 1 to 16777216")));
        }
        let event = EventFd::new().map_err(|error| Error::io("make a descriptor to wait with", &error))?;
        let shared = Arc::new(Shared { state: Mutex::default(), event, capacity, gone: AtomicU32::new(0) });
        store.inner.shared.add_queue(&shared);
        Ok(Self { store: store.clone(), shared })
    }

    /// Submits all of `batch`, in order, as far as it can be: says how many were taken, and why not the next one. Each
    /// that was taken is completed exactly once. Does not block.
    ///
    /// The error is that of the first that was not taken: `Capacity` with `queue_capacity` when so many are under way or
    /// done and not taken; the others are those of [`Store::call`].
    pub fn submit(&self, batch: &[Submission<'_>]) -> (usize, Result<()>) {
        let shared = match self.store.shared() {
            Ok(shared) => shared,
            Err(error) => return (0, Err(error)),
        };
        let mut core = shared.core.lock();
        let now = now();
        let until = now.instant.saturating_add(self.store.inner.options.timeout);
        let mut taken = 0;
        let mut result = Ok(());
        for (at, submission) in batch.iter().enumerate() {
            if at.is_multiple_of(FETCH_MAX) && batch.len() > 1 && !shared.is_member() {
                // What is done at once needs this now; the others have it asked for when they are done.
                let default = self.store.inner.options.engine.durability;
                let group = &batch[at..batch.len().min(at + FETCH_MAX)];
                let now = group.iter().filter(|it| it.durability.unwrap_or(default) == Durability::Memory);
                core.engine().state().fetch(now.flat_map(|it| it.operation.keys()));
            }
            result = self.reserve().and_then(|()| {
                let Submission { operation, request, durability, nodes, user_data } = submission;
                let command =
                    Command { time: Timestamp::default(), request: *request, operation: operation.clone() };
                let owner = Owner::Queue(Arc::clone(&self.shared), *user_data, Expected::of(operation));
                let source = Some(Source::Queue(Arc::as_ptr(&self.shared) as usize));
                let wanted =
                    Wanted { durability: *durability, nodes: *nodes, deadline: until, stays: false, source };
                shared
                    .take(&mut core, &command, &wanted, owner, now)
                    .inspect_err(|_| self.shared.state.lock().under_way -= 1)
            });
            if result.is_err() {
                break;
            }
            taken += 1;
        }
        shared.settle(&mut core, now);
        (taken, result)
    }

    /// Asks to be told once the log is on this disk up to `sequence`, as [`Store::wait_durable`]: it is completed with
    /// the sequence up to which it is by then. Does not block.
    ///
    /// # Errors
    ///
    /// `Capacity` with `queue_capacity`, as for [`Queue::submit`], or with `waiting_max` when so many wait for that; `Io`
    /// when the log has failed; `State` once the store is closed; `Forked`.
    pub fn submit_durable(&self, sequence: u64, user_data: u64) -> Result<()> {
        let shared = self.store.shared()?;
        let mut core = shared.core.lock();
        self.reserve()?;
        let owner = Owner::Queue(Arc::clone(&self.shared), user_data, Expected::Any);
        shared
            .take_durable(&mut core, sequence, owner)
            .inspect_err(|_| self.shared.state.lock().under_way -= 1)
    }

    /// In a cluster: asks to be told once what is here is as fresh as `read` asks, for its `timeout` at most, as
    /// [`Store::begin_fresh`] does: then whoever reads with [`ReadLevel::Local`](super::ReadLevel::Local) sees that. Where there is
    /// nothing to wait for it is completed at once. Does not block.
    ///
    /// # Errors
    ///
    /// `Capacity` with `queue_capacity`, as for [`Queue::submit`]; those of a read in a cluster that are known at once; `State`
    /// once the store is closed; `Forked`.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub fn submit_fresh(&self, read: &super::Read, user_data: u64) -> Result<()> {
        let shared = self.store.shared()?;
        let must_wait = self.store.must_wait(read)?;
        let mut core = shared.core.lock();
        self.reserve()?;
        let owner = Owner::Queue(Arc::clone(&self.shared), user_data, Expected::Any);
        if !must_wait {
            core.tell(owner);
            return Ok(());
        }
        let timeout = read.timeout.unwrap_or(self.store.inner.options.timeout);
        let level = self.store.level_of(read);
        shared
            .take_read(&mut core, level, read.token, deadline(timeout), owner, now())
            .inspect_err(|_| self.shared.state.lock().under_way -= 1)
    }

    /// In a cluster: asks what came of a request, as [`Store::outcome`] does.
    /// [`RequestOutcome::of`](super::RequestOutcome::of) says what the answer means. Does not block.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::submit_fresh`]; `State` also outside a cluster.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub fn submit_outcome(&self, request: &RequestId, user_data: u64) -> Result<()> {
        let shared = self.store.shared()?;
        let mut core = shared.core.lock();
        self.reserve()?;
        let owner = Owner::Queue(Arc::clone(&self.shared), user_data, Expected::Any);
        let until = deadline(self.store.inner.options.timeout);
        shared
            .take_outcome(&mut core, request, until, owner, now())
            .inspect_err(|_| self.shared.state.lock().under_way -= 1)
    }

    /// Takes what is done, at most `max`, in the order in which it was. Does not block.
    pub fn take(&self, max: usize) -> Vec<Completed> {
        let mut state = self.shared.state.lock();
        let count = state.done.len().min(max);
        let done = state.done.drain(..count).collect();
        if state.done.is_empty() && !(state.is_closed && state.waiters > 0) {
            self.shared.event.clear();
        }
        done
    }

    /// Waits until something is done, at most `timeout`, and takes it.
    ///
    /// # Errors
    ///
    /// `TimedOut`; `State` once the store is closed and all is taken; `Forked`.
    pub fn wait(&self, max: usize, timeout: Duration) -> Result<Vec<Completed>> {
        let deadline = deadline(timeout);
        loop {
            self.store.check_process()?;
            let done = self.take(max);
            if !done.is_empty() {
                return Ok(done);
            }
            let left = deadline.duration_since(Clock.now());
            let shared = &self.store.inner.shared;
            {
                let mut state = self.shared.state.lock();
                if state.has_ended() {
                    return Err(closed());
                }
                if left.is_zero() {
                    return Err(Error::TimedOut { what: "completion" });
                }
                state.waiters += usize::from(shared.host.is_none());
            }
            if shared.host.is_some() {
                shared.drive(deadline, |_| self.shared.has_news().then_some(()));
            } else {
                self.shared.event.wait(left);
                self.shared.state.lock().waiters -= 1;
            }
        }
    }

    /// How many were submitted and are not done.
    pub fn under_way(&self) -> usize {
        self.shared.state.lock().under_way
    }

    fn reserve(&self) -> Result<()> {
        let mut state = self.shared.state.lock();
        if state.under_way + state.done.len() >= self.shared.capacity {
            return Err(Error::Capacity { what: "queue_capacity", limit: self.shared.capacity as u64 });
        }
        state.under_way += 1;
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.gone.store(1, Ordering::Relaxed);
    }
}

impl AsFd for Queue {
    /// Readable while something is done and not taken, and once when the store is closed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}
