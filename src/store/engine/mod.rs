//! The engine: the join of log and index. It says when a write is seen, and when it is acknowledged.
//!
//! [`Engine`] is a state machine without disk, clock or thread. Commands are submitted and are in the log at once, in
//! memory; [`Engine::poll_flush`] hands out what is to be written, [`Engine::handle_flushed`] is told how that went,
//! and [`Engine::poll_completion`] says what came of each. Any number of threads read meanwhile, see
//! [`Engine::reader`].
//!
//! # When a write is seen
//!
//! The order of the log is the order in which everything is applied. A write is applied, and so seen by readers and
//! watchers, when each write before it that asked for `local` is on disk, and itself if it asked. So:
//!
//! - a `memory` write is seen at once when no `local` one is under way;
//! - what asked for `local` is never seen before it is durable: nobody reads what a crash then takes back;
//! - a crash leaves a beginning of the log: of `memory` writes it takes the last ones, none from the middle.
//!
//! # When nothing is taken any more
//!
//! A failed flush stops the log for good, since what a second one would report is not to be trusted. All writes under
//! way are answered with that error (whether they are on disk is known when the store is opened again: a retry with
//! the same client id and number is harmless), reading goes on. A full disk refuses writes until there is room.
//!
//! | file | owns |
//! |---|---|
//! | `durability` | what a write asks for |
//! | `pending` | what is in the log and not yet in the index |
//! | `flush` | what has to be on disk by now |
//! | `clock` | time in commands, which never runs backwards |
//! | `submit` | what is taken, and what is refused at once |
//! | `own` | what the engine itself appends: expiry, eviction |
//! | `snapshot` | when a snapshot is written, and how |
//! | `recover` | opening |
//! | `replicated` | the engine in a cluster, where consensus says what is committed |
//! | `options` | what an engine is told |

mod clock;
mod durability;
mod flush;
mod options;
mod own;
mod pending;
mod recover;
pub mod replicated;
mod snapshot;
mod submit;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

pub use self::clock::Now;
use self::clock::Time;
pub use self::durability::Durability;
use self::flush::Flushing;
pub use self::options::Options;
use self::own::Own;
use self::pending::{Entry, Pending};
pub use self::recover::{Batch, Build, Found, Report, open, read};
use self::snapshot::Snapshots;
pub use self::snapshot::{SNAPSHOT_PIECE_BYTES, SnapshotJob};
use crate::error::{Error, Result};
use crate::store::index::{FETCH_MAX, Index, Outcome, Reader, State, View};
use crate::store::log::record::record_bytes;
use crate::store::log::{self, Epoch, File, Flush, Identity, Log, Upkeep};
use crate::time::Instant;

/// Buffers of commands that are kept for the next, and bytes of one.
const BUFFERS_MAX: usize = 256;
const BUFFER_MAX: usize = 4 << 10;

/// What a caller waits for; given once in the life of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What came of something submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Whose.
    pub ticket: Ticket,
    /// `Err`: the log stopped before it was durable; whether it is on disk is not known.
    pub result: Result<Done>,
}

/// What [`Engine::submit_now`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is done.
    Done(Done),
    /// It will be: [`Engine::poll_completion`] says when.
    UnderWay(Ticket),
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What came of the command; `None` for [`Engine::submit_sync`].
    pub outcome: Option<Outcome>,
    /// Where in the log it is; for a sync, the last entry before it.
    pub sequence: u64,
    /// What was reached when this was said, which may be more than was asked for.
    pub durability: Durability,
}

/// What an engine has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commands taken.
    pub submitted: u64,
    /// Commands that joined the same request on its way.
    pub joined: u64,
    /// Commands refused at once.
    pub refused: u64,
    /// Entries applied.
    pub applied: u64,
    /// Writes to disk, each with a sync.
    pub flushes: u64,
    /// Bytes of them.
    pub flushed_bytes: u64,
    /// Commands for which the clock had gone back, and stood still instead.
    pub clock_steps: u64,
    /// Commands that take out what has expired.
    pub expiries: u64,
    /// Commands that make room.
    pub evictions: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Snapshots that failed.
    pub snapshots_failed: u64,
    /// Times that a snapshot took the place of something that was found damaged.
    pub mended: u64,
}

/// Somebody waits until all up to a record is on disk.
#[derive(Clone, Copy, Debug)]
struct Sync {
    record: log::Ticket,
    sequence: u64,
    ticket: Ticket,
}

/// Log and index, joined. One owner calls it; see the module for what it promises.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    identity: Identity,
    log: Log,
    epoch: Epoch,
    index: Index,
    pending: Pending,
    syncs: VecDeque<Sync>,
    completions: VecDeque<Completion>,
    tickets: u64,
    time: Time,
    flushing: Flushing,
    own: Own,
    snapshots: Snapshots,
    /// Applied, and not yet shown to readers.
    is_unseen: bool,
    /// The log's failure was told to all who waited.
    is_failed: bool,
    is_closed: bool,
    counts: Counts,
    /// What it is to do in a cluster; `None` on one node.
    replica: Option<replicated::Replica>,
    /// Memory of commands, to be used again.
    buffers: Vec<Vec<u8>>,
}

impl Engine {
    /// The oldest answer not yet taken. Readers see what it is about before it is given.
    ///
    /// To be called until `None` after whatever was submitted or handled.
    pub fn poll_completion(&mut self) -> Option<Completion> {
        if self.is_unseen {
            self.is_unseen = false;
            self.index.offer();
        }
        self.completions.pop_front()
    }

    /// Whether a write to disk is wanted, whether or not one is under way.
    pub fn is_flush_wanted(&self) -> bool {
        self.log.failure().is_none() && self.flushing.is_wanted(&self.log)
    }

    /// The next write to disk, when one is wanted and none is under way. [`Engine::handle_flushed`] is to be told how
    /// it went. What is appended meanwhile goes out with the next.
    pub fn poll_flush(&mut self) -> Option<Flush> {
        if !self.flushing.is_wanted(&self.log) {
            return None;
        }
        let flush = self.log.poll_flush()?;
        self.flushing.taken(&self.log, flush.bytes().len() as u64);
        Some(flush)
    }

    /// How a write to disk went; `name` is [`Disk::name`](log::Disk::name).
    pub fn handle_flushed(&mut self, flush: Flush, result: io::Result<()>, name: impl Fn(File) -> String) {
        self.counts.flushes += 1;
        self.counts.flushed_bytes += flush.bytes().len() as u64;
        self.log.handle_flushed(flush, result, name);
        self.want_all_if_closed();
        if self.log.failure().is_some() {
            self.fail();
        } else {
            self.apply_ready();
        }
    }

    /// The next work on files beside the records, see [`Log::poll_upkeep`].
    pub fn poll_upkeep(&mut self) -> Option<Upkeep> {
        self.reserve_room();
        self.log.poll_upkeep()
    }

    /// How it went.
    pub fn handle_upkeep(
        &mut self,
        work: &Upkeep,
        result: io::Result<()>,
        now: Instant,
        name: impl Fn(File) -> String,
    ) {
        self.log.handle_upkeep(work, result, now, name);
        self.look_for_room();
        self.want_all_if_closed();
    }

    /// Does what is due at or before `now`. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        self.log.handle_timeout(now.instant);
        self.flushing.handle_timeout(&self.log, now.instant);
        self.handle_expiry(now);
    }

    /// When `handle_timeout` is next needed, also for [`Engine::poll_snapshot`]; `None` while nothing is pending.
    pub fn next_deadline(&self, now: Now) -> Option<Instant> {
        let (flush, snapshot) = match self.log.failure() {
            None => (self.flushing.deadline(), self.snapshots.deadline()),
            Some(_) => (None, None),
        };
        // In a cluster the primary proposes what expires.
        let own = self.expiry_deadline(now).filter(|_| self.replica.is_none());
        [self.log.next_deadline(), flush, own, snapshot].into_iter().flatten().min()
    }

    /// Takes nothing more. What was taken is still to be flushed: until [`Engine::is_drained`] says so.
    pub fn close(&mut self, now: Now) {
        // A log that has no room, and is to have none, is closed without a word of it: the next open reads as after a crash.
        self.is_closed = true;
        let _ = self.log.close(self.time.clock_ms(now));
        self.want_all_if_closed();
    }

    fn want_all_if_closed(&mut self) {
        if self.is_closed {
            self.flushing.want(&self.log, self.log.last_ticket());
        }
    }

    /// Whether all that was taken is on disk, or the log has stopped.
    pub fn is_drained(&self) -> bool {
        self.log.failure().is_some()
            || (self.log.durable() == self.log.last_ticket() && !self.log.is_closing())
    }

    /// Whether a refused submission may be taken when what is under way, or due, is done: a flush, a segment being made,
    /// keys being evicted, a snapshot that lets go of segments.
    pub fn is_worth_waiting(&self, error: &Error) -> bool {
        match error {
            Error::Capacity { what: "pending_bytes_max" | "segment_bytes", .. } => self.log.is_stalled(),
            Error::Capacity { what: "memory_max", .. } => !self.pending.is_empty(),
            // A snapshot lets go of segments, once what they say is said again in a later one, and that is on disk.
            Error::Capacity { what: "disk_bytes_max", .. } => {
                self.is_snapshot_coming() || self.log.pending_bytes() > 0
            }
            // What is left of the disk may be left for a snapshot.
            Error::Io { code: libc::ENOSPC, .. } => self.is_snapshot_coming() || self.log.pending_bytes() > 0,
            _ => false,
        }
    }

    /// The state with all that was applied, kept as it is. Readers see it too from now on.
    pub fn view(&mut self) -> Arc<View> {
        self.is_unseen = false;
        self.index.view()
    }

    /// Has readers ask by `ask` when there is no view for them, which is to give [`Engine::view`]. Once in the life of an
    /// engine; without it there is always one. See [`Reader`].
    pub fn serve(&self, ask: impl Fn() -> Arc<View> + Send + std::marker::Sync + 'static) {
        self.index.serve(ask);
    }

    /// By which other threads read.
    pub fn reader(&self) -> Reader {
        self.index.reader()
    }

    /// The state with all that was applied.
    pub fn state(&self) -> &State {
        self.index.state()
    }

    /// The last entry of the log.
    pub fn last_sequence(&self) -> u64 {
        self.log.state().last.0
    }

    /// The last entry that is on disk.
    pub fn durable_sequence(&self) -> u64 {
        self.log.durable_sequence().0
    }

    /// The sequence of the last snapshot; 0 when there is none.
    pub fn snapshot_sequence(&self) -> u64 {
        self.log.state().snapshot.sequence.0
    }

    /// Whose store it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The time that a command taken now would bear, in milliseconds since 1970.
    pub fn clock_ms(&self, now: Now) -> u64 {
        self.time.clock_ms(now)
    }

    /// Why the log has stopped, if it has.
    pub fn failure(&self) -> Option<&Error> {
        self.log.failure()
    }

    /// Why there is no room for more at present, if so. Nothing is called full while a snapshot is on its way that makes room.
    pub fn problem(&self) -> Option<&Error> {
        let problem = self.log.problem()?;
        let is_full = matches!(problem, Error::Io { code: libc::ENOSPC, .. } | Error::Capacity { .. });
        (!is_full || !self.is_snapshot_coming()).then_some(problem)
    }

    /// How many writes are in the log and not yet applied.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        Counts { clock_steps: self.time.steps(), ..self.counts }
    }

    /// The log, for reading what is durable and for looking through it again.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Applies what may be applied by now.
    fn apply_ready(&mut self) {
        let durable = self.log.durable();
        loop {
            let count = self.pending.ready(durable).take(FETCH_MAX).count();
            if count > 1 {
                let ready = self.pending.ready(durable).take(FETCH_MAX);
                self.index.fetch_encoded(ready.map(|entry| entry.what.command()));
            }
            for _ in 0..count {
                let Some(entry) = self.pending.pop() else { break };
                let is_durable = entry.record <= durable;
                let outcome = self.apply(entry.sequence, entry.what.command());
                self.pending.applied(self.index.state(), entry.sequence, entry.bound);
                self.complete(entry, outcome, is_durable);
            }
            if count < FETCH_MAX {
                break;
            }
        }
        while let Some(sync) = self.syncs.front().filter(|sync| sync.record <= durable) {
            let done = Done { outcome: None, sequence: sync.sequence, durability: Durability::Local };
            self.completions.push_back(Completion { ticket: sync.ticket, result: Ok(done) });
            self.syncs.pop_front();
        }
    }

    fn apply(&mut self, sequence: u64, command: &[u8]) -> Outcome {
        self.counts.applied += 1;
        self.is_unseen = true;
        let outcome = self.index.apply(sequence, command);
        self.note_in_state(command);
        outcome.expect("the log numbers entries one after the other")
    }

    fn note_in_state(&mut self, payload: &[u8]) {
        let is_last = self.index.state().sequence() == self.log.state().last.0;
        self.snapshots.applied(record_bytes(payload.len()) as u64, is_last);
    }

    fn complete(&mut self, entry: Entry, outcome: Outcome, is_durable: bool) {
        let durability = if is_durable { Durability::Local } else { Durability::Memory };
        let Entry { sequence, waiting, what, .. } = entry;
        let mut done = |ticket, outcome| {
            let done = Done { outcome: Some(outcome), sequence, durability };
            self.completions.push_back(Completion { ticket, result: Ok(done) });
        };
        if let Some((last, others)) = waiting.split_last() {
            others.iter().for_each(|ticket| done(*ticket, outcome.clone()));
            done(*last, outcome);
        }
        self.keep_buffer(what.into_bytes());
    }

    /// Keeps the memory of a command for the next.
    fn keep_buffer(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_MAX && self.buffers.len() < BUFFERS_MAX {
            self.buffers.push(buffer);
        }
    }

    /// Tells all who wait that the log has stopped.
    fn fail(&mut self) {
        let Some(failure) = self.log.failure().filter(|_| !self.is_failed) else { return };
        self.is_failed = true;
        let mut waiting = Vec::new();
        while let Some(entry) = self.pending.pop() {
            self.pending.applied(self.index.state(), entry.sequence, entry.bound);
            waiting.extend(entry.waiting);
        }
        waiting.extend(self.syncs.drain(..).map(|sync| sync.ticket));
        let failed = |ticket| Completion { ticket, result: Err(failure.clone()) };
        self.completions.extend(waiting.into_iter().map(failed));
    }

    fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}
