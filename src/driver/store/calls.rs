//! One call for each operation. Those that write block until the answer is there, or the time is over.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use super::answer::{Done, Expected};
use super::ground::{Caller, Wanted, time_in};
use super::owner::Submitted;
use super::shared::{Shared, clock, deadline};
use crate::error::{Error, Result};
use crate::store::engine::Durability;
use crate::store::index::{
    Answer, Command, Condition, Entry, Found, Lease, Lifetime, LifetimeCondition, Operation, Range,
    RequestId, Step, Timestamp, Transaction, View,
};
use crate::sys::fork;
use crate::time::{Clock, Instant};

/// How a call that writes is to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// What is to be reached before it is answered; `None`: the store's default.
    pub durability: Option<Durability>,
    /// In a cluster, on how many nodes' disks it is to be, learners among them, beside a quorum; 0: as `durability` says.
    pub nodes: u32,
    /// How long to wait for the answer; `None`: the store's `timeout`. A call whose time is over may be done even so.
    pub timeout: Option<Duration>,
    /// Who asks, so that the call may be sent again without being done twice. An id names one request: sent again it is with the
    /// same operation, which the store does not compare.
    pub request: Option<RequestId>,
}

impl Call {
    pub(super) fn wanted(&self, deadline: Instant) -> Wanted {
        Wanted {
            durability: self.durability,
            nodes: self.nodes,
            deadline,
            stays: false,
            source: None,
            caller: Caller::Waits,
        }
    }
}

/// What a put is to keep to.
#[derive(Clone, Copy, Debug)]
pub struct PutOptions {
    /// When to do so.
    pub condition: Condition,
    /// How long the key lives.
    pub lifetime: Lifetime,
    /// Whether the answer has what was there before.
    pub previous: bool,
}

impl Default for PutOptions {
    /// In any case, until it is deleted, without what was there.
    fn default() -> Self {
        Self { condition: Condition::Always, lifetime: Lifetime::Unbounded, previous: false }
    }
}

/// What came of a change that depends on what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// Whether the condition held and it was done.
    pub is_done: bool,
    /// The version of the key now; 0: it is not there.
    pub version: u64,
    /// What was there before, or is there if it was not done, if it was asked for.
    pub previous: Option<Found>,
    /// What was reached.
    pub durability: Durability,
}

/// Keys of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Keys and what they have, in the order asked for.
    pub entries: Vec<(Vec<u8>, Found)>,
    /// Whether a limit left some: go on behind (with `reverse`, before) the last.
    pub more: bool,
}

/// A call under way, whose answer is given once. Dropping it does not end the call.
pub struct Pending {
    submitted: Submitted,
    shared: Arc<Shared>,
    expected: Expected,
    process: fork::Process,
}

impl Pending {
    /// Waits for the answer, at most `timeout`; zero only looks. After `TimedOut` it may be waited for again.
    ///
    /// # Errors
    ///
    /// `TimedOut`, `Forked`, and what the call failed with.
    pub fn wait(&self, timeout: Duration) -> Result<Done> {
        if !self.process.is_this() {
            return Err(Error::Forked { what: "store" });
        }
        self.expected.check(self.submitted.wait(&self.shared, timeout)?)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// # Writes
///
/// Each blocks until it is as durable as it asked to be, and is seen by all readers then. The errors, of all of them:
///
/// - `InvalidArgument`: a key or value that is too long, a value that is no number, and the like; nothing was done;
/// - `Unsupported`: `quorum` and `all`, which need replication; nothing was done;
/// - `Capacity`: `memory_max`, `disk_bytes_max` or `waiting_max` is reached; nothing was done;
/// - `NotFound`: the lease has ended; nothing was done;
/// - in a cluster `NotPrimary`, from a node that does not forward, `NoQuorum` and `Superseded`; nothing was done;
/// - `TimedOut`, and in a cluster `UnknownOutcome`: it may be done, or not, or still be; with a request id it can be sent again
///   to find out;
/// - `Io`: the disk is full (nothing was done) or has failed (nothing more is taken; whether it was done is known when
///   the store is opened again);
/// - `State`: the store is closed, or the request's answer is forgotten, or is none of this kind of operation: a request's id
///   names one request for good, and no more of it is compared than which kind of answer it has; `Forked`.
impl Store {
    /// Puts `value` at `key`.
    pub fn put(&self, key: &[u8], value: &[u8], call: &Call) -> Result<Done> {
        self.step(put(key, value, &PutOptions::default()), call)
    }

    /// Puts `value` at `key`, under a condition, for a time, or giving back what was there.
    pub fn put_with(&self, key: &[u8], value: &[u8], options: &PutOptions, call: &Call) -> Result<Exchanged> {
        exchanged(self.step(put(key, value, options), call)?)
    }

    /// Puts `value` if the key has `version`; 0: if it is not there.
    pub fn compare_and_set(&self, key: &[u8], version: u64, value: &[u8], call: &Call) -> Result<Exchanged> {
        let condition = Condition::Version(version);
        self.put_with(key, value, &PutOptions { condition, ..PutOptions::default() }, call)
    }

    /// Puts `value` and gives what was there.
    pub fn get_and_set(&self, key: &[u8], value: &[u8], call: &Call) -> Result<Option<Found>> {
        let options = PutOptions { previous: true, ..PutOptions::default() };
        Ok(self.put_with(key, value, &options, call)?.previous)
    }

    /// Deletes a key; says whether it was there.
    pub fn delete(&self, key: &[u8], call: &Call) -> Result<bool> {
        let step = Step::Delete { key, condition: Condition::Always, previous: false };
        match self.step(step, call)?.answer {
            Answer::Deleted { count, .. } => Ok(count > 0),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes a key under a condition; gives what was there, if asked to.
    pub fn delete_with(
        &self,
        key: &[u8],
        condition: Condition,
        previous: bool,
        call: &Call,
    ) -> Result<Exchanged> {
        exchanged(self.step(Step::Delete { key, condition, previous }, call)?)
    }

    /// Deletes the keys of a range, at most `limit` (0: all); gives how many, and whether the limit left some.
    pub fn delete_range(&self, range: &Range<'_>, limit: u64, call: &Call) -> Result<(u64, bool)> {
        match self.step(Step::DeleteRange { range: *range, limit }, call)?.answer {
            Answer::Deleted { count, more, .. } => Ok((count, more)),
            other => Err(unexpected(&other)),
        }
    }

    /// Adds `by` to a number in decimal digits (no value is 0) and gives the sum.
    pub fn increment(&self, key: &[u8], by: i64, call: &Call) -> Result<i64> {
        match self.step(Step::Increment { key, by }, call)?.answer {
            Answer::Number(sum) => Ok(sum),
            other => Err(unexpected(&other)),
        }
    }

    /// Appends to a value (no value is an empty one) and gives its length.
    pub fn append(&self, key: &[u8], value: &[u8], call: &Call) -> Result<u64> {
        match self.step(Step::Append { key, value }, call)?.answer {
            Answer::Length(length) => Ok(length),
            other => Err(unexpected(&other)),
        }
    }

    /// Has a key expire after `ttl`, to the millisecond; says whether it was there.
    pub fn expire(&self, key: &[u8], ttl: Duration, call: &Call) -> Result<bool> {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let deadline = self.present()?.saturating_add(millis);
        self.set_lifetime(key, Lifetime::Until(deadline), LifetimeCondition::Always, call)
    }

    /// Changes how long a key lives; says whether that was done: it is there, and the condition holds.
    pub fn set_lifetime(
        &self,
        key: &[u8],
        lifetime: Lifetime,
        condition: LifetimeCondition,
        call: &Call,
    ) -> Result<bool> {
        match self.step(Step::SetLifetime { key, lifetime, condition }, call)?.answer {
            Answer::LifetimeSet => Ok(true),
            Answer::NotMet { .. } => Ok(false),
            other => Err(unexpected(&other)),
        }
    }

    /// Does several steps as one: all are seen, or none. The answer is [`Answer::Transaction`].
    pub fn transaction(&self, transaction: Transaction<'_>, call: &Call) -> Result<Done> {
        self.call(&Operation::Transaction(transaction), call)
    }

    /// Begins a lease that lives for `ttl` (1 ms to 2^48 ms) without a keep-alive. Keys put with it go when it ends.
    ///
    /// - `id`: not 0, and none that is alive.
    pub fn lease_grant(&self, id: u64, ttl: Duration, call: &Call) -> Result<Timestamp> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.lease_call(&Operation::LeaseGrant { id, ttl_ms }, call)
    }

    /// Prolongs a lease to its whole time from now; gives until when.
    pub fn lease_keep_alive(&self, id: u64, call: &Call) -> Result<Timestamp> {
        self.lease_call(&Operation::LeaseKeepAlive { id }, call)
    }

    /// Ends a lease and deletes its keys; gives how many.
    pub fn lease_revoke(&self, id: u64, call: &Call) -> Result<u64> {
        match self.call(&Operation::LeaseRevoke { id }, call)?.answer {
            Answer::Revoked { keys } => Ok(keys),
            other => Err(unexpected(&other)),
        }
    }

    /// Does whatever operation.
    pub fn call(&self, operation: &Operation<'_>, call: &Call) -> Result<Done> {
        let command =
            Command { time: Timestamp::default(), request: call.request, operation: operation.clone() };
        let shared = self.shared()?;
        let timeout = call.timeout.unwrap_or(self.inner.options.timeout);
        let deadline = deadline(timeout);
        let mut is_doubtful = false;
        // What is refused now may have been done the time before.
        let refused = |why, is_doubtful| if is_doubtful { Error::UnknownOutcome } else { why };
        loop {
            let wanted = call.wanted(deadline);
            let submitted = shared
                .submit(&command, &wanted)
                .inspect_err(|_| shared.catch_up())
                .map_err(|why| refused(why, is_doubtful))?;
            let left = if shared.is_member() { deadline.duration_since(Clock.now()) } else { timeout };
            match submitted.into_answer(shared, left) {
                // It was not done; or it is done once, whoever is primary by now.
                Err(Error::Superseded) if shared.is_member() => {}
                Err(Error::UnknownOutcome) if call.request.is_some() && shared.is_member() => {
                    is_doubtful = true;
                }
                Ok(done) => return Expected::of(operation).check(done),
                Err(why @ Error::TimedOut { .. }) => return Err(why),
                Err(why) => return Err(refused(why, is_doubtful)),
            }
            if Clock.now() >= deadline {
                return Err(Error::TimedOut { what: "write" });
            }
        }
    }

    /// Begins what [`Store::call`] does, for one who waits in several goes. Does not block. In a cluster
    /// nobody waits for it any more when its `timeout` is over; elsewhere that is left unread.
    pub fn begin(&self, operation: &Operation<'_>, call: &Call) -> Result<Pending> {
        let command =
            Command { time: Timestamp::default(), request: call.request, operation: operation.clone() };
        let wanted = call.wanted(deadline(call.timeout.unwrap_or(self.inner.options.timeout)));
        let submitted = self.shared()?.submit(&command, &wanted)?;
        Ok(self.pending(submitted, Expected::of(operation)))
    }

    /// Waits until all that was written before is on disk; gives the last sequence of it.
    pub fn sync(&self, timeout: Option<Duration>) -> Result<u64> {
        let shared = self.shared()?;
        let submitted = shared.sync()?;
        Ok(submitted.wait(shared, timeout.unwrap_or(self.inner.options.timeout))?.sequence)
    }

    /// Begins what [`Store::sync`] does. Does not block.
    pub fn begin_sync(&self) -> Result<Pending> {
        Ok(self.pending(self.shared()?.sync()?, Expected::Any))
    }

    /// Waits until the log is on this disk up to `sequence`, such as that of a `memory` write; gives the sequence up to
    /// which it is. It hurries nobody: what was written in `memory` comes there with the next flush, within
    /// `flush_interval`; [`Store::sync`] has it come at once. A sequence that is not written yet is waited for.
    ///
    /// In a cluster it is this node's log. What a primary that was lost has written there may be replaced by others'
    /// entries; what was answered at `quorum` is not.
    ///
    /// # Errors
    ///
    /// `TimedOut`; `Capacity` with `waiting_max` when so many wait for that; `Io` when the log has failed before; `State`
    /// once the store is closed; `Forked`.
    pub fn wait_durable(&self, sequence: u64, timeout: Option<Duration>) -> Result<u64> {
        let pending = self.begin_wait_durable(sequence)?;
        Ok(pending.wait(timeout.unwrap_or(self.inner.options.timeout))?.sequence)
    }

    /// Begins what [`Store::wait_durable`] does. Does not block.
    pub fn begin_wait_durable(&self, sequence: u64) -> Result<Pending> {
        Ok(self.pending(self.shared()?.wait_durable(sequence)?, Expected::Any))
    }

    pub(super) fn pending(&self, submitted: Submitted, expected: Expected) -> Pending {
        let shared = Arc::clone(&self.inner.shared);
        Pending { submitted, shared, expected, process: self.inner.process }
    }

    fn step(&self, step: Step<'_>, call: &Call) -> Result<Done> {
        self.call(&Operation::Step(step), call)
    }

    fn lease_call(&self, operation: &Operation<'_>, call: &Call) -> Result<Timestamp> {
        match self.call(operation, call)?.answer {
            Answer::Lease { deadline } => Ok(deadline),
            other => Err(unexpected(&other)),
        }
    }
}

/// # Reads
///
/// They see all that was applied. They never wait for the disk; for other threads only where nobody has read for a while, and
/// then for the short writes in hand. Errors: `State` once the store is closed, `Forked`.
///
/// In a cluster they are as fresh as the store's `read` level asks, [`ReadLevel::Primary`](super::ReadLevel::Primary) unless
/// it says otherwise: they see every write that was answered at `quorum` before, on any node. On a primary that holds its
/// quorum that costs nothing; elsewhere the primary is asked, and they block until it has answered, with the errors of
/// [`Store::get_at`], which takes another level.
impl Store {
    /// A copy of what `key` has.
    pub fn get(&self, key: &[u8]) -> Result<Option<Found>> {
        #[cfg(all(feature = "proxy", feature = "replication"))]
        if self.is_member() {
            return self.get_at(key, &super::Read::default());
        }
        self.get_with(key, |entry| entry.to_found())
    }

    /// What `read` makes of what `key` has, without a copy of it. It is to be quick: what is replaced meanwhile stays in
    /// memory.
    pub fn get_with<T>(&self, key: &[u8], read: impl FnOnce(&Entry<'_>) -> T) -> Result<Option<T>> {
        self.note_use(key);
        if self.is_member() {
            return self.look(|view, time| view.get(key, time).as_ref().map(read));
        }
        let reader = self.reader()?;
        Ok(reader.with(|view| view.get_by(key, || clock().max(view.time())).as_ref().map(read)))
    }

    /// `key` is read: with `lru` it stays longer.
    pub(super) fn note_use(&self, key: &[u8]) {
        if let Some(uses) = &self.inner.uses {
            uses.note(key, clock());
        }
    }

    /// The keys of `range` in order, at most `limit` (0: as many as have `bytes_max` together; one in any case).
    pub fn range(&self, range: &Range<'_>, limit: u64, bytes_max: u64, reverse: bool) -> Result<Listing> {
        #[cfg(all(feature = "proxy", feature = "replication"))]
        if self.is_member() {
            return self.range_at(range, limit, bytes_max, reverse, &super::Read::default());
        }
        self.look(|view, time| listing(view, range, limit, bytes_max, reverse, time))
    }

    /// How many keys `range` has.
    pub fn count(&self, range: &Range<'_>) -> Result<u64> {
        #[cfg(all(feature = "proxy", feature = "replication"))]
        if self.is_member() {
            return self.count_at(range, &super::Read::default());
        }
        self.look(|view, time| view.count(range, time))
    }

    /// A lease, if it is alive.
    pub fn lease(&self, id: u64) -> Result<Option<Lease>> {
        self.look(|view, time| view.lease(id, time))
    }

    /// All of it as it is now, for several reads that agree. Whoever holds it keeps what has been replaced since in
    /// memory.
    pub fn view(&self) -> Result<Arc<View>> {
        #[cfg(all(feature = "proxy", feature = "replication"))]
        if self.is_member() {
            return self.view_at(&super::Read::default());
        }
        Ok(self.reader()?.view())
    }

    /// The time by which keys expire now: this machine's, or the latest that a command had if that is later.
    ///
    /// In a cluster it is the primary's time, as far as the log tells.
    pub fn present(&self) -> Result<Timestamp> {
        let clock = self.clock();
        Ok(self.reader()?.with(|view| clock.max(view.time())))
    }

    /// What `look` makes of what is there now, and of the time by which it expires.
    fn look<T>(&self, look: impl FnOnce(&View, Timestamp) -> T) -> Result<T> {
        #[cfg(all(feature = "proxy", feature = "replication"))]
        if self.is_member() {
            let told = |other| Err(unexpected(&other));
            return self.see(&super::Read::default(), || None, look, told);
        }
        Ok(self.reader()?.with(|view| look(view, self.time_in(view))))
    }

    /// The time by which keys in `view` expire.
    pub(super) fn time_in(&self, view: &View) -> Timestamp {
        time_in(view, self.is_member(), clock())
    }

    /// This machine's time; that of the primary's machine, as far as it is known, in a cluster.
    pub(super) fn clock(&self) -> Timestamp {
        #[cfg(all(feature = "proxy", feature = "replication"))]
        if let Some(sight) = &self.inner.shared.sight {
            return sight.clock(clock());
        }
        clock()
    }

    pub(crate) fn is_member(&self) -> bool {
        self.inner.shared.is_member()
    }
}

/// The keys of a range of a view.
pub(super) fn listing(
    view: &View,
    range: &Range<'_>,
    limit: u64,
    bytes_max: u64,
    reverse: bool,
    time: Timestamp,
) -> Listing {
    let page = view.range(range, limit, bytes_max, reverse, time);
    let entries = page.entries.iter().map(|(key, entry)| (key.clone(), entry.to_found())).collect();
    Listing { entries, more: page.more }
}

fn put<'a>(key: &'a [u8], value: &'a [u8], options: &PutOptions) -> Step<'a> {
    let PutOptions { condition, lifetime, previous } = *options;
    Step::Put { key, value, condition, lifetime, previous }
}

fn exchanged(done: Done) -> Result<Exchanged> {
    let (is_done, version, previous) = match done.answer {
        Answer::Put { previous } => (true, done.sequence, previous),
        Answer::Deleted { count, previous, .. } => (count > 0, 0, previous),
        Answer::NotMet { version, previous } => (false, version, previous),
        other => return Err(unexpected(&other)),
    };
    Ok(Exchanged { is_done, version, previous, durability: done.durability })
}

/// A request id that was used for another operation before: the answer is that one's.
pub(super) fn unexpected(answer: &Answer) -> Error {
    Error::State {
        what: "request",
        detail: format!("was used for another operation, whose answer is {answer:?}; count its number up")
            .into(),
    }
}
