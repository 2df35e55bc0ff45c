//! A write-ahead log on files: [`Wal`] joins the log's state machine with a directory and, unless the host does that
//! itself, with two threads: one that writes and syncs, one that makes and takes away segments.

mod disk;
#[cfg_attr(
    not(all(feature = "proxy", feature = "replication")),
    allow(dead_code, reason = "members keep more than a log in it")
)]
mod folder;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::driver::lock::{Condvar, Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::store::log::record::Vote;
use crate::store::log::snapshot_format::SnapshotHeader;
use crate::store::log::{
    Appended, Disk, Entry, Epoch, Identity, Log, Options, Replayed, Report, Scrub, Sequence, SnapshotReader,
    SnapshotWriter, State, Ticket, open,
};
use crate::sys;
use crate::time::{Clock, Instant};

pub use disk::FileDisk;
pub(crate) use folder::Folder;

/// How long closing waits for room to say so.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// Who does the work on files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Two threads of the log's own.
    Threads,
    /// Whoever calls [`Wal::turn`], or waits.
    Inline,
}

/// Called once, when the records up to a ticket are durable, or when they will not be. It runs on the thread that
/// syncs and holds up the next batch, and must not call back into the log.
pub type Callback = Box<dyn FnOnce(Result<()>) + Send>;

/// A write-ahead log in a directory.
///
/// Any thread may call anything at any time. What blocks says so. A child made by fork can only drop it.
pub struct Wal {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    core: Mutex<Core>,
    /// There is something to write.
    written: Condvar,
    /// There may be something to make or to take away.
    kept: Condvar,
    /// More is durable, or there is more room, or the log has stopped.
    moved: Condvar,
    disk: FileDisk,
    identity: Identity,
    mode: Mode,
    process: u32,
}

struct Core {
    log: Log,
    /// In the order of tickets.
    callbacks: Vec<(Ticket, Callback)>,
    is_ending: bool,
    /// The thread that writes has nothing to do.
    is_writer_idle: bool,
}

impl Wal {
    /// Opens the log in `dir`, or makes one there; everything durable goes to `replay` first. See
    /// [`open`](crate::store::log::open) for what it finds and what it refuses. Blocks while it reads.
    pub fn open(
        dir: impl Into<std::path::PathBuf>,
        options: Options,
        identity: Identity,
        mode: Mode,
        replay: &mut dyn FnMut(&FileDisk, Replayed<'_>),
    ) -> Result<(Self, Report)> {
        options.check()?;
        let disk = FileDisk::new(dir)?;
        let random = sys::entropy::bytes().map_err(|error| Error::io("read random numbers", &error))?;
        let seed = u64::from_le_bytes(random[..8].try_into().expect("eight bytes"));
        let (log, report) = open(&disk, options, identity, seed, &mut |replayed| replay(&disk, replayed))?;
        let shared = Arc::new(Shared {
            core: Mutex::new(Core { log, callbacks: Vec::new(), is_ending: false, is_writer_idle: false }),
            written: Condvar::new(),
            kept: Condvar::new(),
            moved: Condvar::new(),
            disk,
            identity,
            mode,
            process: std::process::id(),
        });
        let mut wal = Self { shared, threads: Vec::new() };
        if mode == Mode::Threads {
            let _masked = sys::signal::mask_all();
            wal.spawn("trimtab-wal", Shared::write_all)?;
            wal.spawn("trimtab-upkeep", Shared::keep_up)?;
        }
        Ok((wal, report))
    }

    /// Appends an entry. While too much waits for the disk, or the next segment is being made, it waits for room until
    /// `deadline`: `TimedOut`; `None` does not wait: `Capacity`. Otherwise as [`Log::append`], and does not block.
    pub fn append(
        &self,
        epoch: Epoch,
        clock_ms: u64,
        payload: &[u8],
        deadline: Option<Instant>,
    ) -> Result<Appended> {
        self.update(deadline, |log| log.append(epoch, clock_ms, payload))
    }

    /// Appends an entry and waits until it is durable, until `deadline` at the latest. After `TimedOut` it may be
    /// appended, and become durable. Blocks.
    pub fn append_durable(
        &self,
        epoch: Epoch,
        clock_ms: u64,
        payload: &[u8],
        deadline: Instant,
    ) -> Result<Appended> {
        let appended = self.append(epoch, clock_ms, payload, Some(deadline))?;
        self.wait_durable(appended.ticket, deadline)?;
        Ok(appended)
    }

    /// Appends a vote and waits until it is durable, as [`Wal::append_durable`].
    pub fn vote(&self, vote: Vote, clock_ms: u64, deadline: Instant) -> Result<Appended> {
        let appended = self.update(Some(deadline), |log| log.vote(vote, clock_ms))?;
        self.wait_durable(appended.ticket, deadline)?;
        Ok(appended)
    }

    /// Has `change` append something, under the lock: several records at once, a replacement, a commit. Waits for room
    /// as [`Wal::append`] does, and then calls it again.
    pub fn update<T>(
        &self,
        deadline: Option<Instant>,
        mut change: impl FnMut(&mut Log) -> Result<T>,
    ) -> Result<T> {
        self.check_process()?;
        let mut core = self.shared.core.lock();
        loop {
            let result = change(&mut core.log);
            self.shared.wake(&mut core);
            match (&result, deadline) {
                (Err(Error::Capacity { .. }), Some(deadline)) if core.log.is_stalled() => {
                    self.shared.wait(&mut core, deadline, "room in the log")?;
                }
                _ => return result,
            }
        }
    }

    /// Waits until the records up to this one are durable, until `deadline` at the latest. `Io` when the log has
    /// stopped, `TimedOut`.
    pub fn wait_durable(&self, ticket: Ticket, deadline: Instant) -> Result<()> {
        self.check_process()?;
        let mut core = self.shared.core.lock();
        while core.log.durable() < ticket {
            if let Some(failure) = core.log.failure() {
                return Err(failure.clone());
            }
            self.shared.wait(&mut core, deadline, "the log to be durable")?;
        }
        Ok(())
    }

    /// Has `callback` called when the records up to this one are durable: at once, on this thread, if they are.
    pub fn on_durable(&self, ticket: Ticket, callback: Callback) {
        let mut core = self.shared.core.lock();
        let done = match core.log.failure() {
            _ if core.log.durable() >= ticket => Ok(()),
            Some(failure) => Err(failure.clone()),
            None => {
                let at = core.callbacks.partition_point(|(it, _)| *it <= ticket);
                core.callbacks.insert(at, (ticket, callback));
                return;
            }
        };
        drop(core);
        callback(done);
    }

    /// The last record that is durable, and the last entry that is.
    pub fn durable(&self) -> (Ticket, Sequence) {
        let core = self.shared.core.lock();
        (core.log.durable(), core.log.durable_sequence())
    }

    /// What the records add up to.
    pub fn state(&self) -> State {
        self.shared.core.lock().log.state().clone()
    }

    /// Has `look` look at the log.
    pub fn inspect<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.shared.core.lock().log)
    }

    /// Gives the durable entries from `from` through `to` to `take`, in order, until that answers `false`. Blocks for
    /// the disk; the log is not held up. Errors as [`Log::plan`] and [`Plan::read`](crate::store::log::Plan::read).
    pub fn read(&self, from: Sequence, to: Sequence, take: impl FnMut(&Entry<'_>) -> bool) -> Result<()> {
        let plan = self.shared.core.lock().log.plan(from, to)?;
        plan.read(&self.shared.disk, take)
    }

    /// Writes a snapshot: `fill` gives the state in pieces, as it was after the entry `sequence` of this `epoch`. When
    /// it is durable the log lets go of what is older. Blocks; the log is not held up.
    pub fn snapshot(
        &self,
        sequence: Sequence,
        epoch: Epoch,
        clock_ms: u64,
        fill: impl FnOnce(&mut SnapshotWriter, &FileDisk) -> Result<()>,
    ) -> Result<()> {
        self.write_snapshot(
            SnapshotHeader { identity: self.shared.identity, sequence, epoch, clock_ms },
            false,
            fill,
        )
    }

    /// Writes a snapshot that came from another node, and goes on behind it: the log's own entries no longer count.
    /// Nothing else is appended meanwhile.
    pub fn install(
        &self,
        sequence: Sequence,
        epoch: Epoch,
        clock_ms: u64,
        fill: impl FnOnce(&mut SnapshotWriter, &FileDisk) -> Result<()>,
    ) -> Result<()> {
        self.write_snapshot(
            SnapshotHeader { identity: self.shared.identity, sequence, epoch, clock_ms },
            true,
            fill,
        )
    }

    /// The newest snapshot, to be read on [`Wal::disk`]; `None` when there is none.
    pub fn newest_snapshot(&self) -> Result<Option<SnapshotReader>> {
        let sequence = self.shared.core.lock().log.state().snapshot.sequence;
        if sequence == Sequence(0) {
            return Ok(None);
        }
        let file = crate::store::log::File::Snapshot(sequence);
        SnapshotReader::open(&self.shared.disk, file, self.shared.identity).map(Some)
    }

    /// A pass over all that is durable, at so many bytes a second. Its steps are taken on [`Wal::disk`].
    pub fn scrub(&self, bytes_per_second: u64) -> Scrub {
        let core = self.shared.core.lock();
        Scrub::new(&core.log, self.shared.identity, bytes_per_second, Clock.now())
    }

    /// The directory.
    pub fn disk(&self) -> &FileDisk {
        &self.shared.disk
    }

    /// In [`Mode::Inline`]: does one write and one piece of upkeep, if there are any. Gives whether it did something.
    /// Blocks for the disk.
    pub fn turn(&self) -> Result<bool> {
        self.check_process()?;
        let mut core = self.shared.core.lock();
        let wrote = self.shared.write(&mut core);
        let kept = self.shared.upkeep(&mut core);
        Ok(wrote || kept)
    }

    /// Says in the log that it was closed in order, and waits until all of it is durable. Blocks.
    pub fn close(mut self, clock_ms: u64) -> Result<()> {
        self.check_process()?;
        let deadline = Clock.now().saturating_add(CLOSE_WAIT);
        let mut core = self.shared.core.lock();
        let _ = core.log.close(clock_ms);
        self.shared.wake(&mut core);
        // The record that says so may need a further segment, which is being made.
        while core.log.is_closing() && self.shared.wait(&mut core, deadline, "room to close the log").is_ok()
        {
        }
        let closed = core.log.close(clock_ms);
        drop(core);
        self.end();
        let core = self.shared.core.lock();
        match core.log.failure() {
            Some(failure) => Err(failure.clone()),
            None => closed,
        }
    }

    fn write_snapshot(
        &self,
        header: SnapshotHeader,
        is_restart: bool,
        fill: impl FnOnce(&mut SnapshotWriter, &FileDisk) -> Result<()>,
    ) -> Result<()> {
        self.check_process()?;
        let disk = &self.shared.disk;
        let write = || {
            let mut writer = SnapshotWriter::begin(disk, header)?;
            fill(&mut writer, disk)?;
            writer.finish(disk)
        };
        let written = write().inspect_err(|_| {
            // What is half written is of no use, and may be what fills the disk.
            let _ = disk.remove(crate::store::log::File::Unfinished(header.sequence));
        })?;
        let mut core = self.shared.core.lock();
        let taken = core.log.handle_snapshot(&written, is_restart, header.clock_ms);
        self.shared.wake(&mut core);
        taken
    }

    fn check_process(&self) -> Result<()> {
        match std::process::id() == self.shared.process {
            true => Ok(()),
            false => Err(Error::Forked { what: "log" }),
        }
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce(&Shared) + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(&shared));
        self.threads.push(thread.map_err(|error| Error::io(format!("start the thread {name}"), &error))?);
        Ok(())
    }

    /// Writes what is still to be written and ends the threads.
    fn end(&mut self) {
        let mut core = self.shared.core.lock();
        core.is_ending = true;
        if self.shared.mode == Mode::Inline {
            while self.shared.write(&mut core) {}
        }
        drop(core);
        self.shared.written.notify_all();
        self.shared.kept.notify_all();
        for thread in self.threads.drain(..) {
            // It does not panic; if it did, that was told on standard error.
            let _ = thread.join();
        }
    }
}

impl Drop for Wal {
    /// Writes what was appended, as far as it can be, and ends the threads. Blocks.
    fn drop(&mut self) {
        if std::process::id() == self.shared.process {
            self.end();
        } else {
            // A child made by fork: the threads are the parent's.
            self.threads.drain(..).for_each(std::mem::forget);
        }
    }
}

impl Shared {
    /// The thread that writes.
    fn write_all(&self) {
        let mut core = self.core.lock();
        loop {
            if self.write(&mut core) {
                continue;
            }
            if core.is_ending || core.log.failure().is_some() {
                return;
            }
            core.is_writer_idle = true;
            self.written.wait(&mut core);
            core.is_writer_idle = false;
        }
    }

    /// The thread that makes segments and takes them away.
    fn keep_up(&self) {
        let mut core = self.core.lock();
        while !core.is_ending && core.log.failure().is_none() {
            if self.upkeep(&mut core) {
                continue;
            }
            match core.log.next_deadline() {
                Some(at) => {
                    self.kept.wait_for(&mut core, until(at));
                }
                None => self.kept.wait(&mut core),
            }
        }
    }

    /// Does the next write, if there is one. The lock is not held meanwhile.
    fn write(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        let Some(flush) = core.log.poll_flush() else { return false };
        let result = MutexGuard::unlocked(core, || flush.run(&self.disk));
        core.log.handle_flushed(flush, result, |file| self.disk.name(file));
        // What became durable may let go of segments.
        if core.log.wants_upkeep() {
            self.kept.notify_one();
        }
        self.moved.notify_all();
        self.call_back(core);
        true
    }

    fn call_back(&self, core: &mut MutexGuard<'_, Core>) {
        let durable = core.log.durable();
        let failure = core.log.failure().cloned();
        let count = match failure {
            Some(_) => core.callbacks.len(),
            None => core.callbacks.partition_point(|(ticket, _)| *ticket <= durable),
        };
        if count == 0 {
            return;
        }
        let due: Vec<_> = core.callbacks.drain(..count).collect();
        MutexGuard::unlocked(core, || {
            for (ticket, callback) in due {
                callback(match &failure {
                    Some(failure) if ticket > durable => Err(failure.clone()),
                    _ => Ok(()),
                });
            }
        });
    }

    /// Does the next piece of upkeep, if there is one. The lock is not held meanwhile.
    fn upkeep(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        core.log.handle_timeout(Clock.now());
        let Some(work) = core.log.poll_upkeep() else { return false };
        let result = MutexGuard::unlocked(core, || work.run(&self.disk));
        core.log.handle_upkeep(&work, result, Clock.now(), |file| self.disk.name(file));
        self.moved.notify_all();
        true
    }

    /// Something may have been appended.
    fn wake(&self, core: &mut MutexGuard<'_, Core>) {
        if core.is_writer_idle && core.log.pending_bytes() > 0 {
            core.is_writer_idle = false;
            self.written.notify_one();
        }
        if core.log.wants_upkeep() {
            self.kept.notify_one();
        }
    }

    /// Waits for something to move, or has it move.
    fn wait(&self, core: &mut MutexGuard<'_, Core>, deadline: Instant, what: &'static str) -> Result<()> {
        if self.mode == Mode::Inline {
            let wrote = self.write(core);
            let kept = self.upkeep(core);
            if wrote || kept {
                return Ok(());
            }
        }
        if Clock.now() >= deadline {
            return Err(Error::TimedOut { what });
        }
        self.moved.wait_for(core, until(deadline));
        Ok(())
    }
}

fn until(at: Instant) -> Duration {
    at.duration_since(Clock.now())
}
