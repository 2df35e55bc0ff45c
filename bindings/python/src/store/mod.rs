//! [`Store`]: the library's store with a door that can be shut. `trimtab.Store`, in Python, adds to it what needs no more
//! than this.
//!
//! | file | owns |
//! |---|---|
//! | `arguments` | keys, ranges, lifetimes, durability, requests, as Python passes them |
//! | `options` | keywords to the options of a store |
//! | `operation` | `Operation`, and what transactions are made of |
//! | `answer` | `StoreResult` and `Entry` |
//! | `scan` | `StoreView` and what goes through a range |
//! | `queue` | `StoreQueue` and `Completion` |
//! | `watch` | what follows a range, `Change`, `Compacted` |
//! | `backup` | backups, what they hold, and restoring |
//! | `status` | how a store is, and what opening found |
//! | `hosted` | a store in a loop that Python has |
//! | `cluster` | a store as a member of a cluster, and `ClusterEvents` |
//! | `door` | how a closed, panicked or forked store refuses; calls without the interpreter; the end of it |
//!
//! Reads keep the interpreter: they wait for nobody, but where none was made for a while for the short writes in hand, whose
//! threads need no interpreter. Whatever writes or waits for more lets go of it; so do reads of a
//! member of a cluster, which may wait for its primary first, in slices as writes do, and then read what is here.

mod answer;
mod arguments;
mod backup;
pub(crate) mod cluster;
mod door;
mod hosted;
mod operation;
mod options;
mod queue;
mod scan;
mod status;
mod watch;

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use trimtab::embedded::{self, Call};
use trimtab::store::index::{Condition, Step, Timestamp};
use trimtab::store::{index, log};
use trimtab::time::Clock;

pub(crate) use self::answer::{Entry, StoreResult};
use self::arguments::{Keys, Life, Reach, Request, Value, Wait};
pub(crate) use self::backup::{backup_closed, backup_verify, restore};
pub(crate) use self::cluster::{ClusterEvents, promote_directory};
use self::door::{Core, Door};
pub(crate) use self::door::{close_all, forget_calls};
use self::hosted::Hosted;
pub(crate) use self::operation::Operation;
pub(crate) use self::queue::{Completion, Queue};
use self::scan::Gives;
pub(crate) use self::scan::{Scan, View};
pub(crate) use self::watch::{Change, Compacted, Watch};
use crate::convert::{self, Key, Timeout};
use crate::errors;
use crate::server::Server;
use crate::wait::Until;

/// What trimtab.Store is made of.
#[pyclass(frozen, subclass, weakref, name = "_Store", module = "trimtab")]
pub(crate) struct Store {
    door: Door,
    /// What opening found.
    report: trimtab::store::engine::Report,
    identity: log::Identity,
    hosted: Hosted,
    is_member: bool,
    /// A warning about its being dropped open was given, or is not wanted.
    is_settled: AtomicBool,
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (path, **options))]
    fn new(py: Python<'_>, path: &Bound<'_, PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        if let Ok(server) = path.cast::<Server>() {
            return Ok(Self::made(server.get().store_of_it(py)?, &embedded::Options::default()));
        }
        let path: PathBuf = path.extract()?;
        let cluster = options.map(|options| options.get_item("cluster")).transpose()?.flatten();
        let cluster = cluster.filter(|it| !it.is_none()).map(|it| cluster::options(&it)).transpose()?;
        let durability = options.map(|options| options.get_item("durability")).transpose()?.flatten();
        if cluster.is_some() && durability.is_some_and(|it| !it.is_none()) {
            let detail = "of a member of a cluster ClusterOptions says it".into();
            return Err(errors::invalid(py, "durability", detail));
        }
        let options = options.map_or_else(|| Ok(embedded::Options::default()), options::read)?;
        let kept = options.clone();
        let open = move || match cluster {
            Some(cluster) => embedded::Store::join(&path, options, cluster),
            None => embedded::Store::open(&path, options),
        };
        let store = door::guarded(py, open)?.map_err(|error| errors::raised(py, &error))?;
        Ok(Self::made(store, &kept))
    }

    /// Takes nothing more, writes what was taken, whatever durability it asked for, and frees the directory; once is
    /// enough, and more does no harm. Calls under way are answered. What is called afterwards raises ClosedError. Blocks
    /// for the disk, and does not end by Ctrl-C: what was promised is being kept. Of a server's store it lets go of this
    /// handle and what was made of it alone.
    ///
    /// Raises what the log has failed with, if it has; it is closed then too. In a child made by fork it lets go of the
    /// parent's store.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.door.close(py)
    }

    /// Whether close was called, or a panic closed the store.
    #[getter]
    fn closed(&self) -> bool {
        self.door.is_closed()
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    /// The value of a key; default when it is not there.
    #[pyo3(signature = (key, default = None))]
    #[inline]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: Key<'_>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.value(py, &key)?.map(Bound::into_any).or(default))
    }

    /// All that a key has, as an Entry; None when it is not there.
    fn entry(&self, py: Python<'_>, key: Key<'_>) -> PyResult<Option<Entry>> {
        self.freshen(py)?;
        self._entry_here(py, key)
    }

    /// The same as it is on this node.
    fn _entry_here(&self, py: Python<'_>, key: Key<'_>) -> PyResult<Option<Entry>> {
        let found = self.found_here(py, &key)?;
        Ok(found.map(|found| Entry::new(py, &key.0, &found)))
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: Key<'_>) -> PyResult<Bound<'py, PyBytes>> {
        self.value(py, &key)?.ok_or_else(|| scan::no_key(py, &key))
    }

    fn __setitem__(&self, py: Python<'_>, key: Key<'_>, value: Value<'_>) -> PyResult<()> {
        let (condition, life) = (Condition::Always, Life::Fixed(index::Lifetime::Unbounded));
        self.put_step(py, &key, &value, condition, life, false, Call::default(), Wait::Usual).map(drop)
    }

    fn __delitem__(&self, py: Python<'_>, key: Key<'_>) -> PyResult<()> {
        let step = Step::Delete { key: &key.0, condition: Condition::Always, previous: false };
        let result = self.execute_step(py, step, Call::default(), Wait::Usual)?;
        if result.is_done() { Ok(()) } else { Err(scan::no_key(py, &key)) }
    }

    fn __contains__(&self, py: Python<'_>, key: Key<'_>) -> PyResult<bool> {
        if self.is_member {
            self.freshen(py)?;
            return Ok(self.found_here(py, &key)?.is_some());
        }
        Ok(self.read(py, |store| store.get_with(&key.0, |_| ()))?.is_some())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.freshen(py)?;
        Ok(self.read(py, |store| store.count_at(&Keys::ALL.range(), &HERE))? as usize)
    }

    /// Also when it is empty.
    fn __bool__(&self) -> bool {
        true
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<Scan> {
        Self::_scan(slf, "keys", None, None, None, false, None)
    }

    fn __reversed__(slf: &Bound<'_, Self>) -> PyResult<Scan> {
        Self::_scan(slf, "keys", None, None, None, true, None)
    }

    /// How many keys a range has: those from start on and before end, or those that begin with prefix; all (default).
    #[pyo3(signature = (start = None, end = None, *, prefix = None))]
    fn count(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let keys = Keys::new(py, start, end, prefix)?;
        self.freshen(py)?;
        self.detached(py, |store| store.count_at(&keys.range(), &HERE))
    }

    /// Goes through a range.
    fn _scan(
        slf: &Bound<'_, Self>,
        gives: &str,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: bool,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Scan> {
        let py = slf.py();
        let (keys, limit) = (Keys::new(py, start, end, prefix)?, arguments::limit(limit)?);
        slf.get().freshen(py)?;
        let scan = slf.get().read(py, |store| store.scan_at(&keys.range(), limit, reverse, &HERE))?;
        let gives = match gives {
            "keys" => Gives::Keys,
            "values" => Gives::Values,
            "items" => Gives::Items,
            _ => Gives::Entries,
        };
        Ok(Scan::new(py, scan, gives, &slf.clone().unbind()))
    }

    /// Puts a value.
    ///
    /// - version, absent, present: at most one: only if the key has this version (0: is not there), is not there, is there.
    /// - ttl: it lives so long, in seconds or as a timedelta, from 0, which is gone at once; at: until then, as time.time() has
    ///   it or as a datetime; lease: as long as this lease; keep_lifetime: as long as before. At most one; none: until it is
    ///   deleted.
    /// - previous: the result has what was there before.
    /// - durability: what is to be reached before it is answered, a Durability or its name; None (default): the store's.
    /// - timeout: how long to wait for the answer, in seconds or as a timedelta; left out: the store's; None: as long as it
    ///   takes. Ctrl-C ends the wait. It may be done even so.
    /// - request: a Request, so that it may be sent again without being done twice.
    ///
    /// Gives a StoreResult: true if it was done. Raises InvalidArgumentError, UnsupportedError, CapacityError and
    /// NotFoundError (the lease has ended) when nothing was done, and so NotPrimaryError, NoQuorumError and SupersededError in a
    /// cluster; TimedOutError, and UnknownOutcomeError in a cluster, when that is not known; IoError when the disk is full
    /// (nothing was done) or has failed; StateError when the answer of a request is forgotten, or another operation's.
    #[pyo3(signature = (key, value, *, version = None, absent = false, present = false, ttl = None, at = None,
        lease = None, keep_lifetime = false, previous = false, durability = None, timeout = Wait::Usual, request = None),
        text_signature = "($self, key, value, *, version=None, absent=False, present=False, ttl=None, at=None, \
        lease=None, keep_lifetime=False, previous=False, durability=None, timeout=..., request=None)")]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn put(
        &self,
        py: Python<'_>,
        key: Key<'_>,
        value: Value<'_>,
        version: Option<&Bound<'_, PyAny>>,
        absent: bool,
        present: bool,
        ttl: Option<&Bound<'_, PyAny>>,
        at: Option<&Bound<'_, PyAny>>,
        lease: Option<&Bound<'_, PyAny>>,
        keep_lifetime: bool,
        previous: bool,
        durability: Option<Reach>,
        timeout: Wait,
        request: Option<Request>,
    ) -> PyResult<StoreResult> {
        let condition = arguments::condition(py, version, absent, present)?;
        let life = Life::new(py, ttl, at, lease, keep_lifetime)?;
        let call = arguments::call(durability, request);
        self.put_step(py, &key, &value, condition, life, previous, call, timeout)
    }

    /// What came of a Request, without sending it again: a RequestState, and with APPLIED the StoreResult that its retry
    /// would get, else None. Every write that was answered at quorum before is seen. In a cluster the primary is asked; what is
    /// applied stays, and position is a place in the log that has it. A store of one node says by durability whether it is
    /// on its disk yet.
    ///
    /// - timeout: as for put.
    ///
    /// Raises, in a cluster, NotPrimaryError from a node that does not forward, NoQuorumError and TimedOutError.
    #[pyo3(signature = (request, *, timeout = Wait::Usual), text_signature = "($self, request, *, timeout=...)")]
    fn outcome<'py>(
        &self,
        py: Python<'py>,
        request: Request,
        timeout: Wait,
    ) -> PyResult<(Bound<'py, PyAny>, Option<StoreResult>)> {
        let (request, timeout) = (request.0, timeout.duration());
        outcome(py, self.door.stated_aside(py, move |store| store.outcome(&request, timeout))?)
    }

    /// The same of the result that StoreQueue._submit_outcome brought.
    fn _outcome_of<'py>(
        &self,
        py: Python<'py>,
        result: &StoreResult,
    ) -> PyResult<(Bound<'py, PyAny>, Option<StoreResult>)> {
        let done = result.done().expect("what a queue brought is no step");
        outcome(py, embedded::RequestOutcome::of(done))
    }

    /// Deletes a key; the result is true if it was there.
    ///
    /// - version, present: at most one: only if the key has this version, is there.
    /// - previous, durability, timeout, request, and what it raises: as for put.
    #[pyo3(signature = (key, *, version = None, present = false, previous = false, durability = None,
        timeout = Wait::Usual, request = None), text_signature = "($self, key, *, version=None, present=False, \
        previous=False, durability=None, timeout=..., request=None)")]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn delete(
        &self,
        py: Python<'_>,
        key: Key<'_>,
        version: Option<&Bound<'_, PyAny>>,
        present: bool,
        previous: bool,
        durability: Option<Reach>,
        timeout: Wait,
        request: Option<Request>,
    ) -> PyResult<StoreResult> {
        let condition = arguments::condition(py, version, false, present)?;
        let step = Step::Delete { key: &key.0, condition, previous };
        self.execute_step(py, step, arguments::call(durability, request), timeout)
    }

    /// Adds by (1) to a number in decimal digits; no value is 0. The result's number is the sum. A key that is there keeps
    /// its lifetime. What it raises, and other keywords, as for put.
    #[pyo3(signature = (key, by = None, *, durability = None, timeout = Wait::Usual, request = None),
        text_signature = "($self, key, by=1, *, durability=None, timeout=..., request=None)")]
    fn increment(
        &self,
        py: Python<'_>,
        key: Key<'_>,
        by: Option<&Bound<'_, PyAny>>,
        durability: Option<Reach>,
        timeout: Wait,
        request: Option<Request>,
    ) -> PyResult<StoreResult> {
        let by = by.map_or(Ok(1), |by| arguments::signed("by", by))?;
        let step = Step::Increment { key: &key.0, by };
        self.execute_step(py, step, arguments::call(durability, request), timeout)
    }

    /// Does whatever operation. Keywords, and what it raises, as for put.
    #[pyo3(signature = (operation, *, durability = None, timeout = Wait::Usual, request = None),
        text_signature = "($self, operation, *, durability=None, timeout=..., request=None)")]
    fn execute(
        &self,
        py: Python<'_>,
        operation: PyRef<'_, Operation>,
        durability: Option<Reach>,
        timeout: Wait,
        request: Option<Request>,
    ) -> PyResult<StoreResult> {
        let now = if operation.needs_time() { self.present(py)? } else { Timestamp::default() };
        self.run(py, &operation.at(now), arguments::call(durability, request), timeout)
    }

    /// Waits until all that was written before is on disk; gives the last sequence of it. timeout as for put.
    #[pyo3(signature = (*, timeout = Wait::Usual), text_signature = "($self, *, timeout=...)")]
    fn sync(&self, py: Python<'_>, timeout: Wait) -> PyResult<u64> {
        Ok(self.answer(py, embedded::Store::begin_sync, timeout)?.sequence)
    }

    /// Waits until the log is on this disk up to sequence, such as that of a write in memory; gives the sequence up to which
    /// it is. It hurries nobody: what was written in memory comes there within flush_interval; sync has it come at once. A
    /// sequence that is not written yet is waited for. timeout as for put.
    #[pyo3(signature = (sequence, *, timeout = Wait::Usual), text_signature = "($self, sequence, *, timeout=...)")]
    fn wait_durable(&self, py: Python<'_>, sequence: &Bound<'_, PyAny>, timeout: Wait) -> PyResult<u64> {
        let sequence = convert::whole("sequence", 64, sequence)?;
        Ok(self.answer(py, move |store| store.begin_wait_durable(sequence), timeout)?.sequence)
    }

    /// Has a snapshot written of what is there now, beside everything else, and waits for it; gives its sequence. The
    /// store does so by itself when the log grows long. timeout as for put; when it is over, the snapshot goes on.
    #[pyo3(signature = (*, timeout = Wait::Usual), text_signature = "($self, *, timeout=...)")]
    fn snapshot(&self, py: Python<'_>, timeout: Wait) -> PyResult<u64> {
        self.door.snapshot(py, timeout)
    }

    /// Backs the store up to the directory to, beside everything else: all of it, or what came since the last time if a
    /// backup is there already. All that was answered before the call is in it. If it stops midway the backup is as it was
    /// before. Lets other threads run, and blocks for the disk; Ctrl-C ends the wait, and the backup goes on until it is done
    /// or the store is closed. In asyncio: await asyncio.to_thread(store.backup, to).
    ///
    /// - to: made if it is not there.
    /// - full: begin anew with a snapshot, so that restoring is quick.
    ///
    /// Gives a BackupReport. Raises StateError when another is adding to the backup, or when the store is behind it or has gone
    /// another way since; InvalidArgumentError when there is something else in the directory or a backup of another store;
    /// CorruptError when what is read is damaged (it says where), TimedOutError, IoError.
    #[pyo3(signature = (to, *, full = false))]
    fn backup<'py>(&self, py: Python<'py>, to: PathBuf, full: bool) -> PyResult<Bound<'py, PyAny>> {
        let options = trimtab::backup::Options { is_full: full };
        backup::reported(py, &self.door.aside(py, move |store| store.backup(to, &options))?)
    }

    /// Has all that lies on the store's disk read again now, at scrub_bytes_per_second, and waits for it. The store does so by
    /// itself each scrub_interval; status() tells what was found. When something has rotted a snapshot is written of what is
    /// in memory, which is right, and stands for all that is older. timeout as for put; when it is over, or Ctrl-C comes, the
    /// pass goes on. In asyncio: await asyncio.to_thread(store.scrub).
    ///
    /// Raises CorruptError when something is damaged (it says which file, and where), TimedOutError, IoError when
    /// something cannot be read.
    #[pyo3(signature = (*, timeout = Wait::Usual), text_signature = "($self, *, timeout=...)")]
    fn scrub(&self, py: Python<'_>, timeout: Wait) -> PyResult<()> {
        self.door.scrub(py, timeout)
    }

    /// A lease: how long it lives without a keep-alive, in seconds, and when it ends without one, as time.time() has it;
    /// None when it is not alive.
    fn _lease(&self, py: Python<'_>, id: &Bound<'_, PyAny>) -> PyResult<Option<(f64, f64)>> {
        self.freshen(py)?;
        self._lease_here(py, id)
    }

    /// The same as it is on this node.
    fn _lease_here(&self, py: Python<'_>, id: &Bound<'_, PyAny>) -> PyResult<Option<(f64, f64)>> {
        let id = arguments::lease_id(id)?;
        let lease = self.read(py, |store| store.lease_at(id, &HERE))?;
        Ok(lease.map(|lease| (lease.ttl_ms as f64 / 1e3, arguments::seconds_of(lease.deadline))))
    }

    /// Raises StateError when the write at this position was lost with a primary.
    fn _check_position(&self, py: Python<'_>, position: cluster::At) -> PyResult<()> {
        self.detached(py, move |store| store.check_position(position.0))
    }

    /// How it is, as a StoreStatus. Does not block for the disk.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let status = self.detached(py, embedded::Store::status)?;
        status::described(py, &status)
    }

    /// What opening found, as a StoreReport.
    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        status::reported(py, &self.report)
    }

    /// Whose store it is: the 16 bytes of the cluster, and the number of the node.
    #[getter]
    fn identity<'py>(&self, py: Python<'py>) -> (Bound<'py, PyBytes>, u64) {
        (PyBytes::new(py, &self.identity.cluster), self.identity.node)
    }

    /// The store as it is now, for reads that agree with each other. In a cluster it is as fresh as is asked, and waits for
    /// that; a store of one node shows all that was written whatever is asked.
    ///
    /// - level: "primary", which sees all that was answered before, "replica" or "local", what is on this node; a ReadLevel
    ///   or its name; None (default): what ClusterOptions said.
    /// - age_max: how old it may be at most, of level replica, in seconds or as a timedelta.
    /// - position: where a write was that it has to see, from a StoreResult.
    /// - timeout: as for put.
    ///
    /// Raises NotPrimaryError, NoQuorumError or TimedOutError when that is not had in time; StateError when the write it
    /// has to see was lost with a primary, or this node takes no part any more.
    #[pyo3(signature = (*, level = None, age_max = None, position = None, timeout = Wait::Usual),
        text_signature = "($self, *, level=None, age_max=None, position=None, timeout=...)")]
    fn view(
        slf: &Bound<'_, Self>,
        level: Option<&Bound<'_, PyAny>>,
        age_max: Option<&Bound<'_, PyAny>>,
        position: Option<cluster::At>,
        timeout: Wait,
    ) -> PyResult<View> {
        View::new(slf, cluster::read(slf.py(), level, age_max, position, timeout)?)
    }

    /// How the cluster is, as a ClusterStatus. Raises StateError when it is in none.
    fn cluster<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let status = self.of_member(py, embedded::Store::cluster)?;
        cluster::described(py, &status)
    }

    /// Hands over to the voter of this name, which has all of the log by then. Writes wait while that one is about to take
    /// over; while it does not answer, or is far behind, they go on. timeout as for put; when that is over the handover goes
    /// on. It is called off when it takes longer than transfer_timeout, and by abort_transfer.
    ///
    /// Raises what each change of the cluster may: NotPrimaryError from another node than the primary, which is to be
    /// asked; NoQuorumError; NotFoundError for a node that is not known; InvalidArgumentError for what cannot be; StateError
    /// when the cluster is busy with another change, there is none, or the handover was called off; TimedOutError and UnknownOutcomeError when it is not
    /// known what came of it. Ctrl-C ends the wait, not the change.
    #[pyo3(signature = (to, *, timeout = Wait::Usual), text_signature = "($self, to, *, timeout=...)")]
    fn transfer(&self, py: Python<'_>, to: String, timeout: Wait) -> PyResult<()> {
        let timeout = timeout.duration();
        self.door.stated_aside(py, move |store| store.transfer(&to, timeout))
    }

    /// Calls off the handover that is under way, and returns whether there was one: whoever waits for it gets StateError, and
    /// writes go on. The other node may take over all the same, when it had been told to already.
    ///
    /// Raises NotPrimaryError from another node than the primary, and StateError when there is no cluster.
    fn abort_transfer(&self, py: Python<'_>) -> PyResult<bool> {
        self.of_member(py, embedded::Store::abort_transfer)
    }

    /// Reads the certificates, key and authorities of the links anew, from the files that ClusterOptions.security names. Links made
    /// from now on use them; those that are up stay with what they were made with. Whole or not at all.
    ///
    /// Raises InvalidArgumentError for certificates that the other nodes would not take, IoError for files that cannot be read,
    /// StateError when the store is in no cluster, or its links are in plaintext.
    fn reload_certificates(&self, py: Python<'_>) -> PyResult<()> {
        self.door.stated_aside(py, |store| store.reload_certificates())
    }

    /// Takes a node in, which follows without a vote: see promote_learner. It is opened with beginning="join", before or after.
    ///
    /// - name: a new one; what was removed comes back under another.
    /// - address: where it listens; None: nowhere, it dials the others.
    ///
    /// timeout, and what it raises, as for transfer.
    #[pyo3(signature = (name, address = None, *, timeout = Wait::Usual),
        text_signature = "($self, name, address=None, *, timeout=...)")]
    fn add_node(
        &self,
        py: Python<'_>,
        name: String,
        address: Option<&Bound<'_, PyAny>>,
        timeout: Wait,
    ) -> PyResult<()> {
        let address = address.map(|it| cluster::address("address", it)).transpose()?;
        let timeout = timeout.duration();
        self.door.stated_aside(py, move |store| store.add(&name, address, timeout)).map(drop)
    }

    /// Gives a learner a vote, as soon as it has caught up; waits for that. timeout, and what it raises, as for transfer.
    #[pyo3(signature = (name, *, timeout = Wait::Usual), text_signature = "($self, name, *, timeout=...)")]
    fn promote_learner(&self, py: Python<'_>, name: String, timeout: Wait) -> PyResult<()> {
        let timeout = timeout.duration();
        self.door.stated_aside(py, move |store| store.promote_learner(&name, timeout)).map(drop)
    }

    /// Takes a node out, for good: its name is not used again. A primary is not taken out: have it hand over first. timeout, and what it raises, as
    /// for transfer.
    #[pyo3(signature = (name, *, timeout = Wait::Usual), text_signature = "($self, name, *, timeout=...)")]
    fn remove_node(&self, py: Python<'_>, name: String, timeout: Wait) -> PyResult<()> {
        let timeout = timeout.duration();
        self.door.stated_aside(py, move |store| store.remove(&name, timeout)).map(drop)
    }

    /// Gives the vote of a node that is lost to a learner that has caught up, and takes the other out: one change. timeout,
    /// and what it raises, as for transfer.
    #[pyo3(signature = (lost, learner, *, timeout = Wait::Usual),
        text_signature = "($self, lost, learner, *, timeout=...)")]
    fn replace_node(&self, py: Python<'_>, lost: String, learner: String, timeout: Wait) -> PyResult<()> {
        let timeout = timeout.duration();
        self.door.stated_aside(py, move |store| store.replace(&lost, &learner, timeout)).map(drop)
    }

    /// Whether it is a member of a cluster, so that reads may wait.
    #[getter]
    fn _is_member(&self) -> bool {
        self.is_member
    }

    /// Whether it was opened without threads of its own, for turn.
    #[getter]
    fn hosted(&self) -> bool {
        self.hosted.is_hosted
    }

    /// The descriptor of a hosted store, readable when turn has something to do; -1 once it is closed. It is the store's:
    /// neither read nor close it, and take it out of a selector before close. Raises StateError when it is not hosted, or is
    /// a server's.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.door.poll_fd(py)
    }

    /// Does what is due on a hosted store, a bounded piece of each kind, and tells how many there were: one write and one
    /// sync for all that was taken; what expires; a step of making a segment; a chunk of a snapshot; a MiB read again.
    /// Queues and watches are told. Blocks for the disk.
    ///
    /// - timeout: waits for something to do so many seconds at most (or a timedelta); 0 (default) only looks, None waits as
    ///   long as it takes. Ctrl-C ends the wait.
    ///
    /// Raises StateError when it is not hosted, is a server's, or is being turned already by another thread. What fails on the disk is told
    /// to those who wait for it, and stands in status().
    #[pyo3(signature = (timeout = Timeout::NONE), text_signature = "($self, timeout=0.0)")]
    fn turn(&self, py: Python<'_>, timeout: Timeout) -> PyResult<usize> {
        self.door.turn(py, &Until::new(&timeout))
    }

    /// When turn is needed even if nothing happens, in seconds on the clock of time.monotonic(); None while nothing is
    /// pending. Ask again after each turn. Raises StateError when it is not hosted, or is a server's.
    fn next_deadline(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        Ok(self.door.next_deadline(py)?.map(convert::seconds_of))
    }

    /// The same as select takes it: seconds from now, 0.0 for at once.
    fn next_timeout(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let deadline = self.door.next_deadline(py)?;
        Ok(deadline.map(|deadline| deadline.duration_since(Clock.now()).as_secs_f64()))
    }

    /// Has nobody else attach it. For trimtab.aio.
    fn _take_turns(&self, py: Python<'_>) -> PyResult<()> {
        self.hosted.take(py)
    }

    fn _give_turns_back(&self) {
        self.hosted.give_back();
    }

    /// A queue for operations that are submitted, of which capacity (1 to 2^24) may be under way or done and not taken.
    #[pyo3(signature = (capacity = None), text_signature = "($self, capacity=1024)")]
    fn queue(slf: &Bound<'_, Self>, capacity: Option<&Bound<'_, PyAny>>) -> PyResult<Queue> {
        let capacity = capacity.map_or(Ok(1024), |given| convert::within("capacity", 1..=1 << 24, given))?;
        Queue::new(slf, usize::try_from(capacity).expect("2^24 fits"))
    }

    fn __repr__(&self) -> String {
        match (self.door.is_foreign(), self.door.is_closed()) {
            (true, _) => "<trimtab.Store of another process>".into(),
            (_, true) => "<trimtab.Store closed>".into(),
            _ => format!("<trimtab.Store {}>", self.identity),
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::stays("Store"))
    }

    /// Panics inside the store.
    #[cfg(feature = "test-hook")]
    fn _test_panic(&self, py: Python<'_>) -> PyResult<()> {
        self.detached(py, |_| panic!("asked to"))
    }
}

impl Store {
    fn made(store: embedded::Store, options: &embedded::Options) -> Self {
        let (report, identity) = (store.report().clone(), store.identity());
        let is_settled = AtomicBool::new(store.is_lent());
        let hosted = Hosted::new(options.is_hosted);
        let is_member = store.cluster().is_ok();
        Self { door: Door::new(store, options.timeout), report, identity, hosted, is_member, is_settled }
    }

    /// The exception for an error of an open store.
    pub(crate) fn raised(py: Python<'_>, error: &trimtab::Error) -> PyErr {
        door::raised(py, error)
    }

    /// `ClosedError` and `ForkedError`, if that is how it is.
    pub(crate) fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.door.check(py)
    }

    pub(crate) fn core(&self, py: Python<'_>) -> PyResult<Arc<Core>> {
        self.door.core(py)
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.door.is_foreign()
    }

    /// Reads, which neither blocks nor lets other threads run.
    #[inline]
    pub(crate) fn read<T>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&embedded::Store) -> trimtab::Result<T>,
    ) -> PyResult<T> {
        self.door.read(py, read)
    }

    /// Calls into the store while other Python threads run.
    pub(crate) fn detached<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&embedded::Store) -> trimtab::Result<R> + Send,
    ) -> PyResult<R> {
        self.door.detached(py, call)
    }

    /// Calls what only a member of a cluster can.
    pub(crate) fn of_member<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&embedded::Store) -> trimtab::Result<R> + Send,
    ) -> PyResult<R> {
        self.door.stated(py, call)
    }

    /// Waits, in a cluster, until what is here is as fresh as the store's reads are. Ctrl-C ends the wait.
    #[inline]
    fn freshen(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_member { self.door.freshen(py, &embedded::Read::default()) } else { Ok(()) }
    }

    /// What a key has here.
    fn found_here(&self, py: Python<'_>, key: &Key<'_>) -> PyResult<Option<index::Found>> {
        self.read(py, |store| store.get_at(&key.0, &HERE))
    }

    /// The store as it is once it is as fresh as `read` asks. Ctrl-C ends the wait.
    pub(crate) fn view_at(&self, py: Python<'_>, read: &embedded::Read) -> PyResult<Arc<index::View>> {
        self.door.freshen(py, read)?;
        self.read(py, |store| store.view_at(&HERE))
    }

    /// The time by which keys expire in a view that was just taken.
    pub(crate) fn now_in(&self, py: Python<'_>, view: &index::View) -> PyResult<Timestamp> {
        // In a cluster by the log alone, on all nodes alike.
        if self.is_member { Ok(view.time()) } else { Ok(self.present(py)?.max(view.time())) }
    }

    fn present(&self, py: Python<'_>) -> PyResult<Timestamp> {
        self.read(py, embedded::Store::present)
    }

    #[inline]
    fn value<'py>(&self, py: Python<'py>, key: &Key<'_>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        if self.is_member {
            self.freshen(py)?;
            return Ok(self.found_here(py, key)?.map(|found| PyBytes::new(py, &found.value)));
        }
        self.read(py, |store| store.get_with(&key.0, |entry| PyBytes::new(py, entry.value)))
    }

    #[expect(clippy::too_many_arguments, reason = "they are keywords of Python's")]
    fn put_step(
        &self,
        py: Python<'_>,
        key: &Key<'_>,
        value: &Value<'_>,
        condition: Condition,
        life: Life,
        previous: bool,
        call: Call,
        timeout: Wait,
    ) -> PyResult<StoreResult> {
        let now = if matches!(life, Life::For(_)) { self.present(py)? } else { Timestamp::default() };
        let lifetime = life.lifetime(now);
        let step = Step::Put { key: &key.0, value: &value.0, condition, lifetime, previous };
        self.execute_step(py, step, call, timeout)
    }

    fn execute_step(
        &self,
        py: Python<'_>,
        step: Step<'_>,
        call: Call,
        timeout: Wait,
    ) -> PyResult<StoreResult> {
        self.run(py, &index::Operation::Step(step), call, timeout)
    }

    fn run(
        &self,
        py: Python<'_>,
        operation: &index::Operation<'_>,
        call: Call,
        timeout: Wait,
    ) -> PyResult<StoreResult> {
        let call = Call { timeout: timeout.duration(), ..call };
        let done = self.answer(py, |store| store.begin(operation, &call), timeout)?;
        Ok(StoreResult::new(done))
    }

    fn answer(
        &self,
        py: Python<'_>,
        begin: impl FnOnce(&embedded::Store) -> trimtab::Result<embedded::Pending> + Send,
        timeout: Wait,
    ) -> PyResult<embedded::Done> {
        self.door.answer(py, begin, timeout)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.is_settled.swap(true, Ordering::Relaxed) {
            self.door.drop_open();
        }
    }
}

/// What came of a request, for Python.
fn outcome(
    py: Python<'_>,
    told: embedded::RequestOutcome,
) -> PyResult<(Bound<'_, PyAny>, Option<StoreResult>)> {
    let (state, result) = match told {
        embedded::RequestOutcome::Applied(done) => (1, Some(StoreResult::new(done))),
        embedded::RequestOutcome::NotApplied => (2, None),
        embedded::RequestOutcome::Forgotten { .. } => (3, None),
    };
    Ok((errors::class(py, "trimtab._enums", "RequestState")?.call1((state,))?, result))
}

/// How to read what is on this node, which waits for nothing.
const HERE: embedded::Read =
    embedded::Read { level: Some(embedded::ReadLevel::Local), token: None, timeout: None };
