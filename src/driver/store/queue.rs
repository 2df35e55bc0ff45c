//! [`Queue`]: calls that are submitted, and completed through a queue with a descriptor, for hosts with a loop of their
//! own.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::driver::lock::Mutex;

use super::Store;
use super::answer::{Done, Expected};
use super::durable;
use super::ground::{Caller, Source, Wanted};
use super::owner::Owner;
use super::shared::{closed, deadline, now};
use crate::error::{Error, Result};
#[cfg(all(feature = "proxy", feature = "replication"))]
use crate::replication::look::Look;
use crate::store::engine::{Durability, Ticket};
#[cfg(all(feature = "proxy", feature = "replication"))]
use crate::store::index::Range;
use crate::store::index::{Command, FETCH_MAX, Operation, RequestId, Timestamp};
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

/// Calls under way, and those that are done. Any thread may use it. When it is dropped its descriptor is closed and its waits
/// are taken back; its writes are done, and nobody is told.
#[derive(Debug)]
pub struct Queue {
    store: Store,
    /// Readable while something is done and not taken, and from the end of the store on until somebody takes.
    event: Arc<EventFd>,
    shared: Arc<Shared>,
}

/// Its lock is taken with the store's in hand, or alone.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    capacity: usize,
}

/// One of those that were submitted to wait, and change nothing: which of them it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaitKey {
    pub(super) user_data: u64,
    /// Tells those of the same user data apart.
    count: u64,
}

/// Where in the store a wait is.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitPlace {
    Durable(durable::Place),
    Ticket(Ticket),
}

#[derive(Debug)]
struct State {
    /// That of the queue; `None`: it was dropped, and what is done is taken by nobody.
    event: Option<Arc<EventFd>>,
    done: VecDeque<Completed>,
    under_way: usize,
    /// Those of them that only wait, and where. `None` while one is submitted, with the store's lock held.
    waits: BTreeMap<WaitKey, Option<WaitPlace>>,
    /// Counts all waits that ever came.
    count: u64,
    /// The store is closed, and all that was under way is done.
    is_closed: bool,
    /// Threads in [`Queue::wait`], which each are to see it.
    waiters: usize,
}

impl State {
    fn reserve(&mut self, capacity: usize) -> Result<()> {
        if self.under_way + self.done.len() >= capacity {
            return Err(Error::Capacity { what: "queue_capacity", limit: capacity as u64 });
        }
        self.under_way += 1;
        Ok(())
    }

    fn complete(&mut self, user_data: u64, result: Result<Done>) {
        self.under_way -= 1;
        if self.event.is_none() {
            return;
        }
        self.done.push_back(Completed { user_data, result });
        if self.done.len() == 1 {
            self.signal();
        }
    }

    fn signal(&self) {
        if let Some(event) = &self.event {
            event.signal();
        }
    }

    /// Whether nothing is there, nor will be.
    fn has_ended(&self) -> bool {
        self.is_closed && self.done.is_empty() && self.under_way == 0
    }
}

impl Shared {
    pub(super) fn complete(&self, user_data: u64, result: Result<Done>) {
        self.state.lock().complete(user_data, result);
    }

    pub(super) fn complete_wait(&self, wait: WaitKey, result: Result<Done>) {
        let mut state = self.state.lock();
        state.waits.remove(&wait);
        state.complete(wait.user_data, result);
    }

    /// Whether who waits has something to look at.
    fn has_news(&self) -> bool {
        let state = self.state.lock();
        !state.done.is_empty() || state.has_ended()
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.signal();
    }

    fn reserve(&self) -> Result<()> {
        self.state.lock().reserve(self.capacity)
    }

    fn give_back(&self) {
        self.state.lock().under_way -= 1;
    }

    fn reserve_wait(&self, user_data: u64) -> Result<WaitKey> {
        let mut state = self.state.lock();
        state.reserve(self.capacity)?;
        state.count += 1;
        let wait = WaitKey { user_data, count: state.count };
        state.waits.insert(wait, None);
        Ok(wait)
    }

    /// A wait was taken in, and is there until it is done.
    pub(super) fn note_place(&self, wait: WaitKey, place: WaitPlace) {
        if let Some(noted) = self.state.lock().waits.get_mut(&wait) {
            *noted = Some(place);
        }
    }

    /// A wait was refused.
    fn forget_wait(&self, wait: WaitKey) {
        let mut state = self.state.lock();
        state.waits.remove(&wait);
        state.under_way -= 1;
    }

    /// Takes back the waits with this user data. Says where they were.
    fn take_back(&self, user_data: u64) -> Vec<WaitPlace> {
        let mut state = self.state.lock();
        let [first, last] = [0, u64::MAX].map(|count| WaitKey { user_data, count });
        let found: Vec<WaitKey> = state.waits.range(first..=last).map(|(wait, _)| *wait).collect();
        state.under_way -= found.len();
        found.into_iter().filter_map(|wait| state.waits.remove(&wait).flatten()).collect()
    }

    /// Nobody takes any more. Says where the waits were.
    fn end(&self) -> Vec<WaitPlace> {
        let mut state = self.state.lock();
        (state.event, state.done) = (None, VecDeque::new());
        let waits = std::mem::take(&mut state.waits);
        state.under_way -= waits.len();
        waits.into_values().flatten().collect()
    }
}

impl Queue {
    pub(super) fn new(store: &Store, capacity: usize) -> Result<Self> {
        if !(1..=1 << 24).contains(&capacity) {
            return Err(Error::invalid("capacity", format!("{capacity} is outside 1 to 16777216")));
        }
        let event = EventFd::new().map_err(|error| Error::io("make a descriptor to wait with", &error))?;
        let event = Arc::new(event);
        let state = State {
            event: Some(Arc::clone(&event)),
            done: VecDeque::new(),
            under_way: 0,
            waits: BTreeMap::new(),
            count: 0,
            is_closed: false,
            waiters: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), capacity });
        store.inner.shared.add_queue(&shared);
        Ok(Self { store: store.clone(), event, shared })
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
            result = self.shared.reserve().and_then(|()| {
                let Submission { operation, request, durability, nodes, user_data } = submission;
                let command =
                    Command { time: Timestamp::default(), request: *request, operation: operation.clone() };
                let owner = Owner::Queue(Arc::clone(&self.shared), *user_data, Expected::of(operation));
                let source = Some(Source::Queue(Arc::as_ptr(&self.shared) as usize));
                let wanted = Wanted {
                    durability: *durability,
                    nodes: *nodes,
                    deadline: until,
                    stays: false,
                    source,
                    caller: Caller::Waits,
                };
                shared.take(&mut core, &command, &wanted, owner, now).inspect_err(|_| self.shared.give_back())
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
        self.submit_wait(user_data, |owner| shared.take_durable(&mut core, sequence, owner))
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
        self.submit_read(read, None, user_data)
    }

    /// As [`Queue::submit_fresh`], for who reads a key then: where what is here is not as fresh in time it is completed with what
    /// the primary has found, an [`Answer::Got`](crate::store::index::Answer::Got), as [`Store::get_at`] says. Does not block.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::submit_fresh`].
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub fn submit_get_at(&self, key: &[u8], read: &super::Read, user_data: u64) -> Result<()> {
        self.submit_read(read, Some(Look::Get { key: key.to_vec() }), user_data)
    }

    /// As [`Queue::submit_fresh`], for who counts the keys of a range then: where what is here is not as fresh in time it is
    /// completed with what the primary has counted, an [`Answer::Length`](crate::store::index::Answer::Length), as
    /// [`Store::count_at`] says. Does not block.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::submit_fresh`].
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub fn submit_count_at(&self, range: &Range<'_>, read: &super::Read, user_data: u64) -> Result<()> {
        let (start, end) = (range.start.to_vec(), range.end.map(<[u8]>::to_vec));
        self.submit_read(read, Some(Look::Count { start, end }), user_data)
    }

    #[cfg(all(feature = "proxy", feature = "replication"))]
    fn submit_read(&self, read: &super::Read, look: Option<Look>, user_data: u64) -> Result<()> {
        let shared = self.store.shared()?;
        let must_wait = self.store.must_wait(read)?;
        let mut core = shared.core.lock();
        self.submit_wait(user_data, |owner| {
            if !must_wait {
                core.tell(owner);
                return Ok(());
            }
            let until = deadline(read.timeout.unwrap_or(self.store.inner.options.timeout));
            shared.take_read(&mut core, (self.store.level_of(read), read.token), look, until, owner)
        })
    }

    /// In a cluster: asks what came of a request, as [`Store::outcome`] does, for `timeout` at most; `None`: the store's.
    /// [`RequestOutcome::of`](super::RequestOutcome::of) says what the answer means. Does not block.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::submit_fresh`]; `State` also outside a cluster.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub fn submit_outcome(
        &self,
        request: &RequestId,
        timeout: Option<Duration>,
        user_data: u64,
    ) -> Result<()> {
        let shared = self.store.shared()?;
        let mut core = shared.core.lock();
        let until = deadline(timeout.unwrap_or(self.store.inner.options.timeout));
        self.submit_wait(user_data, |owner| shared.take_outcome(&mut core, request, until, owner))
    }

    /// Takes back what only waits and is not done: of what was submitted with `user_data`, what [`Queue::submit_durable`],
    /// `submit_fresh`, `submit_get_at`, `submit_count_at` and `submit_outcome` were asked. Gives how many. They are never completed, and
    /// their places, here and in the store, are free. Writes are done and completed as ever, and what is done is to be taken: neither
    /// is counted. Does not block.
    ///
    /// # Errors
    ///
    /// `Forked`.
    pub fn cancel(&self, user_data: u64) -> Result<usize> {
        self.store.check_process()?;
        let shared = &self.store.inner.shared;
        let mut core = shared.core.lock();
        let places = self.shared.take_back(user_data);
        places.iter().for_each(|place| core.forget_wait(*place));
        if !places.is_empty() {
            // The primary is to know.
            shared.settle(&mut core, now());
        }
        Ok(places.len())
    }

    /// Takes what is done, at most `max`, in the order in which it was. Does not block.
    pub fn take(&self, max: usize) -> Vec<Completed> {
        let mut state = self.shared.state.lock();
        let count = state.done.len().min(max);
        let done = state.done.drain(..count).collect();
        if state.done.is_empty() && !(state.is_closed && state.waiters > 0) {
            self.event.clear();
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
                self.event.wait(left);
                self.shared.state.lock().waiters -= 1;
            }
        }
    }

    /// How many were submitted and are not done.
    pub fn under_way(&self) -> usize {
        self.shared.state.lock().under_way
    }

    /// Submits what only waits, by `take`. The store is locked.
    fn submit_wait(&self, user_data: u64, take: impl FnOnce(Owner) -> Result<()>) -> Result<()> {
        let wait = self.shared.reserve_wait(user_data)?;
        take(Owner::Wait(Arc::clone(&self.shared), wait)).inspect_err(|_| self.shared.forget_wait(wait))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // In a child made by fork the locks are the parent's, and so is what waits.
        if self.store.check_process().is_ok() {
            let mut core = self.store.inner.shared.core.lock();
            self.shared.end().into_iter().for_each(|place| core.forget_wait(place));
        }
    }
}

impl AsFd for Queue {
    /// Readable while something is done and not taken, and once when the store is closed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
