//! The store in a directory: [`Store`], for whoever links it in. It needs nothing of the relay.
//!
//! ```no_run
//! use trimtab::embedded::{Call, Options, Store};
//!
//! let store = Store::open("data", Options::default())?;
//! store.put(b"greeting", b"hello", &Call::default())?;
//! assert_eq!(&*store.get(b"greeting")?.expect("it was just put").value, b"hello");
//! store.close()?;
//! # Ok::<(), trimtab::Error>(())
//! ```
//!
//! | file | what |
//! |---|---|
//! | `calls` | one call for each operation |
//! | `recalled` | what came of a request, asked without sending it again |
//! | `scan` | the keys of a range, as they were at one moment |
//! | `queue` | calls submitted, and completed through a descriptor |
//! | `lane` | a loop's way in: a turn's calls under one lock, their answers by one wake |
//! | `watcher` | changes as they come |
//! | `scrubbing` | when what lies on disk is read again, and what was found |
//! | `hosted` | a store without threads, turned by its host |
//! | `opening` | reading the log and making the index of it, by two threads |
//! | `shared` | the engine behind its lock |
//! | `ground` | what is behind the lock: an engine alone, or a node of a cluster |
//! | `member` | the node of a cluster, and all that others have to do with |
//! | `owner` | who waits for what |
//! | `durable` | who is to be told once the log is on disk so far |
//! | `syncing` | who writes and syncs: the thread for it, or the loop that has submitted |
//! | `threads` | what writes, syncs, makes segments and snapshots |
//! | `answer`, `options` | what calls give back; what a store is told |
//!
//! `docs/store.md` says what is promised.

mod answer;
mod calls;
mod durable;
mod ground;
mod hosted;
#[cfg(feature = "proxy")]
mod lane;
#[cfg(all(feature = "proxy", feature = "replication"))]
mod member;
mod opening;
mod options;
mod owner;
mod queue;
mod recalled;
mod scan;
mod scrubbing;
mod shared;
#[cfg_attr(not(feature = "proxy"), expect(dead_code, reason = "of loops that have clients"))]
mod syncing;
mod threads;
mod watcher;

use std::fmt;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::driver::lock::Mutex;

pub use self::answer::Done;
#[cfg(all(feature = "proxy", feature = "replication"))]
use self::calls::listing;
pub use self::calls::{Call, Exchanged, Listing, Pending, PutOptions};
#[cfg(feature = "proxy")]
pub(crate) use self::ground::Caller;
use self::ground::Ground;
use self::hosted::{Host, Hosted};
#[cfg(all(feature = "proxy", feature = "replication"))]
use self::lane::Heard;
#[cfg(feature = "proxy")]
pub(crate) use self::lane::{Finished, Lane};
#[cfg(all(feature = "proxy", feature = "replication"))]
use self::member::Sight;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub use self::member::{
    Beginning, ClusterEvent, ClusterEvents, ClusterOptions, ClusterStatus, Directory, Marked, MemberOptions,
    NodeStatus, Promoted, Read, ReadLevel, look_at_directory, mark_directory, promote_directory,
};
#[cfg(all(feature = "cli", feature = "replication"))]
pub(crate) use self::member::{Forgetting, forgetting, mark_forgetting};
pub use self::options::Options;
pub use self::queue::{Completed, Queue, Submission};
pub use self::recalled::RequestOutcome;
pub use self::scan::Scan;
pub use self::scrubbing::ScrubStatus;
pub(in crate::driver) use self::shared::{Shared, now};
use self::syncing::Syncing;
pub use self::watcher::{Watched, Watcher};
use crate::driver::backup;
use crate::driver::log::FileDisk;
use crate::error::{Error, Result};
use crate::store::engine::{Counts, Report};
use crate::store::index::evict::{Eviction, Uses};
use crate::store::index::{Range, Reader};
use crate::store::log::{Identity, find_identity};
use crate::sys::{entropy, fork, signal};
use crate::time::Instant;

/// A store in a directory. A clone is the same store.
///
/// Any thread may call anything at any time. Reads never wait for the disk; where nobody has read for a
/// while, they wait for the short writes in hand. The store is closed by [`Store::close`], or
/// when its last clone, queue and watcher is dropped. In a child made by `fork` every call gives [`Error::Forked`], and
/// dropping it does nothing to the parent's.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// Somebody else closes it.
    is_lent: bool,
}

/// In the directory of a member of a cluster: says whose it is.
pub(crate) const MEMBER_FILE: &str = "member";

struct Inner {
    shared: Arc<Shared>,
    reader: Reader,
    /// With `lru` alone.
    uses: Option<Uses>,
    threads: Mutex<Threads>,
    report: Report,
    identity: Identity,
    options: Options,
    /// What a read in a cluster gets that asks for nothing.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    read_level: ReadLevel,
    process: fork::Process,
}

/// What a store is made of.
struct Founded {
    ground: Ground,
    reader: Reader,
    uses: Option<Uses>,
    #[cfg(all(feature = "proxy", feature = "replication"))]
    sight: Option<Arc<Sight>>,
    #[cfg(all(feature = "proxy", feature = "replication"))]
    read_level: ReadLevel,
    report: Report,
    identity: Identity,
}

/// What ends with the store.
#[derive(Default)]
struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Dropped last: then the directory is free.
    disk: Option<Arc<FileDisk>>,
}

/// A pass over all that lies on a store's disk, that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPass(u64);

/// How a store is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Whose it is.
    pub identity: Identity,
    /// The last entry of the log.
    pub sequence: u64,
    /// The last one on disk.
    pub durable: u64,
    /// The last one applied.
    pub applied: u64,
    /// The sequence of the last snapshot; 0: none.
    pub snapshot: u64,
    /// Keys, those included that have expired and not been taken out.
    pub keys: u64,
    /// Bytes, as [`State::memory`](crate::store::index::State::memory) counts.
    pub memory_bytes: u64,
    /// Bytes of segments and snapshots.
    pub disk_bytes: u64,
    /// Bytes that wait to be on disk.
    pub pending_bytes: u64,
    /// Why nothing is taken any more, if so.
    pub failure: Option<Error>,
    /// Why there is no room for more at present, if so.
    pub problem: Option<Error>,
    /// What the last snapshot failed with, if it did.
    pub snapshot_error: Option<Error>,
    /// What reading again what lies on disk has found.
    pub scrub: ScrubStatus,
    /// What was counted since it was opened.
    pub counts: Counts,
}

impl Store {
    /// Opens the store in the directory `path`, or makes one there. Blocks while it reads the log.
    ///
    /// # Errors
    ///
    /// `State` when it is open already, here or in another process; `InvalidArgument` for an option out of range or a
    /// directory of another cluster, node or segment length; `Unsupported` when a later release wrote it; `Corrupt`
    /// when something that was durable is damaged; `Io` when the system refuses.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        options.check()?;
        fork::watch();
        let random = entropy::bytes().map_err(|error| Error::io("read random bytes", &error))?;
        let disk = Arc::new(FileDisk::new(path.as_ref())?);
        // What the others count on is theirs too.
        let is_member = disk.folder().has(MEMBER_FILE).map_err(|error| {
            Error::io(format!("look for {MEMBER_FILE} in {}", disk.dir().display()), &error)
        })?;
        if is_member {
            let why = format!(
                "{} is that of a node of a cluster; open it as one, with node in [store] or with join",
                disk.dir().display()
            );
            return Err(Error::invalid("directory", why));
        }
        let cluster: [u8; 16] = *random.first_chunk().expect("32 bytes begin with 16");
        let seed = u64::from_le_bytes(*random.last_chunk().expect("32 bytes end with 8"));
        let identity = match options.identity {
            Some(identity) => identity,
            None => match find_identity(&*disk) {
                Err(Error::NotFound { .. }) => Identity { cluster, node: 1 },
                found => found?,
            },
        };
        let (engine, report) = opening::open(&disk, &options, identity, seed)?;
        let reader = engine.reader();
        let uses = (options.engine.eviction == Eviction::Lru).then(|| engine.uses());
        let host = if options.is_hosted { Some((Host::new()?, Hosted::new(&disk))) } else { None };
        let founded = Founded {
            ground: Ground::Lone(Box::new(engine)),
            reader,
            uses,
            #[cfg(all(feature = "proxy", feature = "replication"))]
            sight: None,
            #[cfg(all(feature = "proxy", feature = "replication"))]
            read_level: ReadLevel::default(),
            report,
            identity,
        };
        Self::on(founded, &disk, options, host)
    }

    /// The store on what it stands on, with its threads.
    fn on(
        founded: Founded,
        disk: &Arc<FileDisk>,
        options: Options,
        host: Option<(Host, Hosted)>,
    ) -> Result<Self> {
        let is_hosted = host.is_some();
        let syncing = Syncing::new((!is_hosted).then_some(disk));
        #[cfg_attr(
            not(all(feature = "proxy", feature = "replication")),
            expect(unused_mut, reason = "of clusters")
        )]
        let mut shared = Shared::new(founded.ground, &options, syncing, host);
        #[cfg(all(feature = "proxy", feature = "replication"))]
        {
            shared.sight = founded.sight;
        }
        let inner = Inner {
            shared: Arc::new(shared),
            reader: founded.reader,
            uses: founded.uses,
            threads: Mutex::new(Threads { handles: Vec::new(), disk: Some(Arc::clone(disk)) }),
            report: founded.report,
            identity: founded.identity,
            options,
            #[cfg(all(feature = "proxy", feature = "replication"))]
            read_level: founded.read_level,
            process: fork::Process::now(),
        };
        inner.shared.serve_readers();
        if !is_hosted {
            inner.spawn("trimtab-flush", disk, Shared::run_flusher)?;
            inner.spawn("trimtab-tend", disk, Shared::run_tender)?;
            inner.spawn("trimtab-snap", disk, Shared::run_snapshots)?;
        }
        Ok(Self { inner: Arc::new(inner), is_lent: false })
    }

    /// The same store, for those who may not close it.
    #[cfg(feature = "proxy")]
    pub(crate) fn lend(&self) -> Self {
        Self { is_lent: true, ..self.clone() }
    }

    /// Whether it was opened by a server, which closes it when it ends: [`Store::close`] is refused.
    pub fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// What opening found.
    pub fn report(&self) -> &Report {
        &self.inner.report
    }

    /// Whose store it is.
    pub fn identity(&self) -> Identity {
        self.inner.identity
    }

    /// How it is. Does not block for the disk.
    ///
    /// # Errors
    ///
    /// `State` once it is closed, `Forked`.
    pub fn status(&self) -> Result<Status> {
        let core = self.shared()?.core.lock();
        let engine = core.engine();
        let (state, log) = (engine.state(), engine.log());
        Ok(Status {
            identity: self.inner.identity,
            sequence: engine.last_sequence(),
            durable: engine.durable_sequence(),
            applied: state.sequence(),
            snapshot: engine.snapshot_sequence(),
            keys: state.len(),
            memory_bytes: state.memory(),
            disk_bytes: log.disk_bytes(),
            pending_bytes: log.pending_bytes(),
            failure: engine.failure().cloned(),
            problem: engine.problem().cloned(),
            snapshot_error: core.snapshot_error.clone(),
            scrub: ScrubStatus { mended: core.ground.mended(), ..core.scrubbing.status().clone() },
            counts: engine.counts(),
        })
    }

    /// Has a snapshot written of what is there now, beside everything else, and waits for it; gives its sequence. The
    /// log lets go of what it stands for. The store does so by itself when the log grows long.
    ///
    /// # Errors
    ///
    /// `TimedOut`: it goes on; `Io` when the disk is full or has failed; `State` once it is closed; `Forked`.
    pub fn snapshot(&self, timeout: Option<Duration>) -> Result<u64> {
        self.shared()?.snapshot(shared::deadline(timeout.unwrap_or(self.inner.options.timeout)))
    }

    /// Has all that lies on disk read again now, beside everything else, at `scrub_bytes_per_second`, and waits for it. The
    /// store does so by itself each `scrub_interval`; [`Status::scrub`] tells what was found. When something is damaged a
    /// snapshot is written of what is in memory, which is right, and stands for all that is older.
    ///
    /// # Errors
    ///
    /// `Corrupt` for the first that is damaged: which file, at which byte; `Io` when it cannot be read; `TimedOut`: it goes
    /// on; `State` once it is closed; `Forked`.
    pub fn scrub(&self, timeout: Option<Duration>) -> Result<()> {
        self.scrubbed(self.begin_scrub()?, timeout.unwrap_or(self.inner.options.timeout))
    }

    /// Begins what [`Store::scrub`] does, for one who waits in several goes. Does not block.
    ///
    /// # Errors
    ///
    /// `State` once it is closed, `Forked`.
    pub fn begin_scrub(&self) -> Result<ScrubPass> {
        Ok(ScrubPass(self.shared()?.begin_scrub()))
    }

    /// Waits for a pass of this store that [`Store::begin_scrub`] has begun, at most `timeout`; zero only looks. After
    /// `TimedOut` it may be waited for again. When later passes are over too it tells what the last of them has found.
    ///
    /// # Errors
    ///
    /// As for [`Store::scrub`].
    pub fn scrubbed(&self, pass: ScrubPass, timeout: Duration) -> Result<()> {
        self.shared()?.wait_scrub(pass.0, shared::deadline(timeout))
    }

    /// Backs the store up to the directory `to`, beside everything else: all of it, or what came since the last time. All
    /// that was answered before the call is in it. If it stops midway the backup is as it was before. Blocks for the
    /// disk; nobody else does.
    ///
    /// On a member of a cluster that is what this node has answered. What was answered at `memory` or `local` is waited for
    /// first, for the store's `timeout` at most, until it is committed and here, or lost with a primary.
    ///
    /// # Errors
    ///
    /// `State` when another is adding to the backup, when that takes no more (its manifest would have more than 64 MiB: begin another
    /// one), when the store is behind it or has gone another way since, or is closed; `InvalidArgument` when there is something else in `to`, a backup of another store, or when it is in the store's own
    /// directory; `Corrupt` when what is read is damaged; `Io`; `TimedOut` when what was written does not come to disk; of a member
    /// `NoQuorum`, and `TimedOut`, when what it had answered is not committed; `Forked`.
    pub fn backup(&self, to: impl AsRef<Path>, options: &backup::Options) -> Result<backup::Report> {
        let shared = self.shared()?;
        let source = backup::open::source(self.inner.threads.lock().disk.as_deref())?;
        let sync = || self.sync(None);
        let decided = || {
            #[cfg(all(feature = "proxy", feature = "replication"))]
            self.wait_decided(self.inner.options.timeout)?;
            Ok(())
        };
        let (identity, segment_bytes) = (self.inner.identity, self.inner.options.engine.log.segment_bytes);
        let job =
            backup::open::Job { shared, source, identity, segment_bytes, sync: &sync, decided: &decided };
        job.run(to.as_ref(), options)
    }

    /// The descriptor of a hosted store: readable while [`Store::turn`] has something to do. For poll, epoll and whatever is
    /// built on them, level-triggered. It is the store's: neither read nor close it. It is closed when the last of the
    /// store's clones, queues and watchers is dropped.
    ///
    /// # Errors
    ///
    /// `State` when it is not hosted, is a server's, which turns it, or is closed; `Forked`.
    pub fn poll_fd(&self) -> Result<RawFd> {
        self.to_turn()?.poll_fd()
    }

    /// When [`Store::turn`] is needed even if the descriptor is not readable; `None` while nothing is pending. In the past,
    /// or now, for at once. Ask again after each turn: what other threads do in between makes the descriptor readable.
    ///
    /// # Errors
    ///
    /// `State` when it is not hosted, is a server's, which turns it, or is closed; `Forked`.
    pub fn next_deadline(&self) -> Result<Option<Instant>> {
        self.to_turn()?.next_deadline()
    }

    /// Does what is due on a hosted store, a bounded piece of each kind: one write and one sync for all that was taken; what
    /// expires; a step of making a segment; a chunk of a snapshot; a MiB read again. Queues and watchers are told. Waits for
    /// something to do for at most `timeout` first (`None`: until there is something), and may return early, after a signal
    /// or a minute. Gives how many pieces there were. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// `State` when it is not hosted, is a server's, is closed, or is being turned already by another thread; `Forked`.
    /// When the disk fails those who wait are told, and [`Status::failure`].
    pub fn turn(&self, timeout: Option<Duration>) -> Result<usize> {
        self.to_turn()?.turn(timeout)
    }

    /// Whether it was opened hosted: it has no threads.
    #[cfg(feature = "proxy")]
    pub(crate) fn is_hosted(&self) -> bool {
        self.inner.options.is_hosted
    }

    /// For who turns it.
    fn to_turn(&self) -> Result<&Shared> {
        let shared = self.shared()?;
        if self.is_lent && self.inner.options.is_hosted {
            let detail = "is the server's, which turns it along with its own work; turn the server".into();
            return Err(Error::State { what: "store", detail });
        }
        Ok(shared)
    }

    /// A queue for submitted calls, of which `capacity` may be under way or done and not taken; 1 to 2^24.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, `Io` when there is no descriptor, `State` once it is closed, `Forked`.
    pub fn queue(&self, capacity: usize) -> Result<Queue> {
        self.shared()?;
        Queue::new(self, capacity)
    }

    /// Follows `range`; the change at the sequence `from` is the first it tells. `None`: what comes from now on. Where nothing that was
    /// ever here can have come right before `from`, it is of writes that a crash took, whose numbers are given again: the watcher tells
    /// [`Watched::Compacted`] at once. A replica may be behind, and waits for it.
    ///
    /// # Errors
    ///
    /// `Io` when there is no descriptor, `State` once it is closed, `Forked`.
    pub fn watch(&self, range: &Range<'_>, from: Option<u64>) -> Result<Watcher> {
        let from = match from {
            Some(from) => from,
            None => self.reader()?.with(|view| view.sequence()) + 1,
        };
        Watcher::new(self, range, from)
    }

    /// Takes nothing more, writes what was taken, whatever durability it asked for, and frees the directory. Calls under
    /// way are answered. Calling it again does nothing. Blocks for the disk. A cluster's primary hands over before, to a node
    /// that can take over at once.
    ///
    /// # Errors
    ///
    /// What the log has failed with, if it has: then `memory` writes may be lost. `State` for a server's, which is its
    /// own to close; `Forked`.
    pub fn close(&self) -> Result<()> {
        self.check_process()?;
        if self.is_lent {
            let detail = "is the server's, which closes it when it ends; end the server".into();
            return Err(Error::State { what: "store", detail });
        }
        #[cfg(all(feature = "proxy", feature = "replication"))]
        self.hand_over();
        self.inner.close()
    }

    /// What was taken and is not known to be on disk, the first and the last of it; also of one that is closed.
    #[cfg(feature = "proxy")]
    pub(crate) fn not_durable(&self) -> Option<(u64, u64)> {
        let core = self.inner.shared.core.lock();
        let (first, last) = (core.engine().durable_sequence() + 1, core.engine().last_sequence());
        (first <= last).then_some((first, last))
    }

    /// `Forked` in a child made by `fork`, whether it is closed or not.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.inner.process.is_this() { Ok(()) } else { Err(Error::Forked { what: "store" }) }
    }

    fn shared(&self) -> Result<&Shared> {
        self.check_process()?;
        self.inner.shared.check_open()?;
        Ok(&self.inner.shared)
    }

    fn reader(&self) -> Result<&Reader> {
        self.shared()?;
        Ok(&self.inner.reader)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("identity", &self.inner.identity).finish_non_exhaustive()
    }
}

impl Inner {
    fn spawn(
        &self,
        name: &str,
        disk: &Arc<FileDisk>,
        run: impl FnOnce(&Shared, &FileDisk) + Send + 'static,
    ) -> Result<()> {
        let (shared, disk) = (Arc::clone(&self.shared), Arc::clone(disk));
        // The host's threads take its signals, not ours.
        let masked = signal::mask_all();
        let thread = thread::Builder::new().name(name.into()).spawn(move || run(&shared, &disk));
        drop(masked);
        let thread = thread.map_err(|error| Error::io(format!("start the thread {name}"), &error))?;
        self.threads.lock().handles.push(thread);
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.shared.begin_end();
        // Whoever closes beside us waits here until it is done.
        let mut threads = self.threads.lock();
        for thread in threads.handles.drain(..) {
            // They do not panic; if one did, that was told on standard error.
            let _ = thread.join();
        }
        self.shared.drain();
        self.shared.core.lock().syncing.end();
        threads.disk = None;
        self.shared.end()
    }
}

impl Drop for Inner {
    /// Closes it. Blocks for the disk.
    fn drop(&mut self) {
        if self.process.is_this() {
            // Whoever wants to know calls `close`.
            let _ = self.close();
            return;
        }
        // A child made by fork: the threads are the parent's, and one may have been amidst a change.
        self.threads.get_mut().handles.drain(..).for_each(std::mem::forget);
        std::mem::forget(Arc::clone(&self.shared));
    }
}
