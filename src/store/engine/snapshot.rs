//! When a snapshot is written, and how: [`SnapshotJob`] writes one beside everything else, from a view that does not
//! change.
//!
//! The index gives its state as chunks that are each as long as their longest value makes them; the log's snapshot
//! files take pieces of bounded length. So each chunk is cut into pieces, and the first byte of a piece says whether it
//! is the last of its chunk (1) or not (0).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::clock::Now;
use crate::error::{Damage, Error, Result};
use crate::store::index::snapshot::{SnapshotError, SnapshotReader, SnapshotWriter};
use crate::store::index::{State, View};
use crate::store::log::snapshot_format::SnapshotHeader;
use crate::store::log::{self, Disk, File, Identity, Part, Sequence, Written};
use crate::time::Instant;

/// The longest piece, in bytes, and about what one [`SnapshotJob::step`] writes.
pub const SNAPSHOT_PIECE_BYTES: usize = 256 << 10;

/// What a snapshot may take beyond what the state's memory comes to, an eighth of that aside.
const SNAPSHOT_MARGIN_BYTES: u64 = 16 << 10;

/// How much is written between two syncs: one great sync at the end would hold up the log's.
const SYNC_BYTES: usize = 4 << 20;

/// So many segments of `disk_bytes_max` a snapshot is to leave to the log.
const SEGMENTS_LEFT: u64 = 3;

/// When the next snapshot is written.
#[derive(Debug)]
pub(super) struct Snapshots {
    bytes_min: u64,
    retry: Duration,
    /// Bytes of the log since the last one.
    log_bytes: u64,
    /// Of these, those of entries that are not applied yet.
    unapplied_bytes: u64,
    /// The last one's length.
    last_bytes: u64,
    /// The memory of the state it is of; `u64::MAX` when that is not known.
    last_memory: u64,
    is_wanted: bool,
    /// What lies on disk is damaged: a snapshot is to stand for it, also one of the last one's sequence.
    is_mending: bool,
    is_under_way: bool,
    /// The sequences of snapshots that are being written, or come from elsewhere: the files of each are one writer's.
    claimed: BTreeSet<Sequence>,
    /// The last one found no room; the next is tried as soon as there are so many bytes, and what it needs.
    seeks_bytes: Option<u64>,
    retry_at: Option<Instant>,
}

impl Snapshots {
    pub(super) fn new(bytes_min: u64, retry: Duration, log_bytes: u64, last_bytes: u64) -> Self {
        Self {
            bytes_min,
            retry,
            log_bytes,
            unapplied_bytes: 0,
            last_bytes,
            last_memory: u64::MAX,
            is_wanted: false,
            is_mending: false,
            is_under_way: false,
            claimed: BTreeSet::new(),
            seeks_bytes: None,
            retry_at: None,
        }
    }

    pub(super) fn appended(&mut self, bytes: u64) {
        self.log_bytes += bytes;
        self.unapplied_bytes += bytes;
    }

    /// An entry is in the state.
    ///
    /// - `is_last`: there is none behind it. What was replaced before it was applied counts no more then.
    pub(super) fn applied(&mut self, bytes: u64, is_last: bool) {
        self.unapplied_bytes = if is_last { 0 } else { self.unapplied_bytes.saturating_sub(bytes) };
    }

    /// One came from elsewhere, and the log goes on behind it.
    pub(super) fn installed(&mut self, bytes: u64) {
        (self.log_bytes, self.unapplied_bytes, self.seeks_bytes) = (0, 0, None);
        (self.last_bytes, self.last_memory) = (bytes, u64::MAX);
    }

    /// When a failed one is to be tried again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry_at.filter(|_| !self.is_under_way)
    }
}

impl Engine {
    /// Asks for a snapshot, however short the log is.
    pub fn want_snapshot(&mut self) {
        self.snapshots.is_wanted = true;
    }

    /// Something that lies on disk was found damaged: a snapshot is written of what is in memory, which does without all
    /// that is older, and takes the place of one of the same sequence. What is appended from now on goes into another
    /// segment than the damaged one, and the snapshot waits until all that lies in that is applied.
    ///
    /// - `segment`: the last that is damaged; `None`: it is the snapshot.
    pub fn handle_damage(&mut self, segment: Option<u64>, now: Now) {
        self.snapshots.is_wanted = true;
        self.snapshots.is_mending = true;
        if let Some(ordinal) = segment {
            self.leave_damaged(ordinal, now);
        }
    }

    /// Whether something on disk is known to be damaged, and no snapshot stands for it yet.
    pub fn is_mending(&self) -> bool {
        self.snapshots.is_mending || !self.log.is_mended()
    }

    fn leave_damaged(&mut self, ordinal: u64, now: Now) {
        self.log.leave_damaged(ordinal, self.time.clock_ms(now));
        self.flushing.want(&self.log, self.log.last_ticket());
    }

    /// Whether a snapshot of this sequence stands for all that is known to be damaged.
    fn mends(&self, sequence: u64) -> bool {
        self.log.is_mended() || self.log.damaged_through().is_some_and(|through| through.0 <= sequence)
    }

    /// A snapshot to be written, when one is due and none is under way: the log has grown to `snapshot_bytes` and to the
    /// length of the last one, or it lacks room, or one was asked for. [`Engine::handle_snapshot`] is to be told how it
    /// went; dropping the job counts for nothing.
    pub fn poll_snapshot(&mut self, now: Now) -> Option<SnapshotJob> {
        if !self.log.is_mended() && self.log.damaged_through().is_none() {
            self.leave_damaged(0, now);
        }
        let is_due = self.is_snapshot_due();
        let is_worthwhile = self.is_snapshot_worthwhile();
        let policy = &mut self.snapshots;
        if policy.is_under_way || policy.retry_at.is_some_and(|at| at > now.instant) {
            return None;
        }
        if !is_worthwhile {
            policy.is_wanted = false;
            policy.retry_at = None;
            policy.seeks_bytes = None;
            return None;
        }
        if !is_due {
            return None;
        }
        if !self.claim_snapshot(Sequence(self.index.state().sequence())) {
            // Whoever has the names tells when it goes on; until then nothing is due.
            self.snapshots.retry_at = None;
            return None;
        }
        let policy = &mut self.snapshots;
        policy.is_under_way = true;
        policy.is_wanted = false;
        policy.retry_at = None;
        Some(self.view_job(now))
    }

    /// Takes the names under which a snapshot of this sequence is written: nobody else writes such files, or has them taken away,
    /// before [`Engine::give_back_snapshot`]. `false`: somebody has them, or files of these names are still to go.
    pub fn claim_snapshot(&mut self, sequence: Sequence) -> bool {
        !self.log.is_snapshot_going(sequence) && self.snapshots.claimed.insert(sequence)
    }

    /// Whoever had the names of a snapshot of this sequence writes no more.
    ///
    /// - `left`: what it has left, which goes.
    pub fn give_back_snapshot(&mut self, sequence: Sequence, left: Option<File>) {
        self.snapshots.claimed.remove(&sequence);
        if let Some(file) = left {
            self.log.discard(file);
        }
    }

    /// A snapshot of what is applied now, to be written anywhere but into the log's own directory: a backup's. The log
    /// lets go of nothing for it, and need not be told how it went.
    pub fn view_job(&mut self, now: Now) -> SnapshotJob {
        let view = self.view();
        let header = SnapshotHeader {
            identity: self.identity,
            sequence: Sequence(view.sequence()),
            epoch: self.epoch,
            clock_ms: self.time.clock_ms(now),
        };
        let membership = self.replica.as_ref().map_or(&[][..], |replica| &replica.membership).to_vec();
        let policy = &self.snapshots;
        SnapshotJob::new(view, header, membership, policy.log_bytes.saturating_sub(policy.unapplied_bytes))
    }

    /// Whether one is being written, or will be when it is asked for: what it lets go of makes room.
    pub(super) fn is_snapshot_coming(&self) -> bool {
        let is_next =
            self.is_snapshot_due() && self.is_snapshot_worthwhile() && self.snapshots.retry_at.is_none();
        self.snapshots.is_under_way || is_next
    }

    /// Whether one is being written.
    pub fn is_snapshotting(&self) -> bool {
        self.snapshots.is_under_way
    }

    fn is_snapshot_worthwhile(&self) -> bool {
        let sequence = self.index.state().sequence();
        sequence > self.snapshot_sequence() || self.snapshots.is_mending && sequence > 0
    }

    fn is_snapshot_due(&self) -> bool {
        let policy = &self.snapshots;
        let is_wanted = policy.is_wanted && (!policy.is_mending || self.mends(self.index.state().sequence()));
        let is_long = policy.log_bytes >= policy.bytes_min.max(policy.last_bytes);
        // A snapshot right after another would let go of nothing.
        let lacks_room = self.log.problem().is_some()
            && policy.log_bytes >= self.options.log.segment_bytes / 4
            || self.log.is_freed_by(Sequence(self.index.state().sequence()));
        self.log.failure().is_none() && (is_wanted || is_long || lacks_room || self.may_take_less())
    }

    /// Whether what may make the state grow is refused, or soon will be, since it is not known how long the next snapshot is: it may be
    /// shorter than could be.
    fn may_take_less(&self) -> bool {
        let Some(most) = self.snapshot_bytes_max() else { return false };
        let (policy, memory) = (&self.snapshots, self.index.state().memory());
        let segment_bytes = self.options.log.segment_bytes;
        let is_near = self.snapshot_needs().saturating_add(segment_bytes) > most
            && policy.last_bytes + policy.log_bytes > most;
        // One is not written for each write: the last one let more be taken, or so much has gone since that the next one may.
        let is_less = || {
            let gone = policy.last_memory.saturating_sub(memory);
            gone > policy.last_memory / 4 || gone >= policy.last_bytes - most + segment_bytes / 2
        };
        is_near
            && match policy.last_bytes <= most {
                true => policy.log_bytes >= segment_bytes / 2,
                false => is_less(),
            }
    }

    /// How long a snapshot may be for `disk_bytes_max` to leave the log what it needs.
    fn snapshot_bytes_max(&self) -> Option<u64> {
        let log = &self.options.log;
        log.disk_bytes_max.map(|limit| limit.saturating_sub(SEGMENTS_LEFT * log.segment_bytes))
    }

    /// Refuses what may make the state grow by `bytes`, where the next snapshot may then be longer than it is to be: by what the state
    /// takes with what is not applied yet, and by what was written since the last one. The latter counts from three quarters of a
    /// segment on, so that there is something to write the next one for.
    pub(super) fn check_disk_limit(&self, bytes: u64) -> Result<()> {
        let Some(most) = self.snapshot_bytes_max() else { return Ok(()) };
        let (policy, log) = (&self.snapshots, &self.options.log);
        let passed_over = log.segment_bytes / 4 * 3;
        let by_state = self.snapshot_needs().saturating_add(policy.unapplied_bytes + bytes);
        let by_log = policy.last_bytes + (policy.log_bytes + bytes).saturating_sub(passed_over);
        match by_state.min(by_log) <= most {
            true => Ok(()),
            false => {
                Err(Error::Capacity { what: "disk_bytes_max", limit: log.disk_bytes_max.unwrap_or_default() })
            }
        }
    }

    /// Tells the log what the next snapshot needs, and has it look for that where the last one found no room.
    pub(super) fn reserve_room(&mut self) {
        let needed = self.snapshot_needs();
        self.log.reserve(needed);
        self.log.seek_room(self.snapshots.seeks_bytes.map(|least| needed.max(least)));
    }

    /// There may be room for a snapshot that found none.
    pub(super) fn look_for_room(&mut self) {
        if self.log.take_room() {
            self.snapshots.seeks_bytes = None;
            self.snapshots.retry_at = None;
        }
    }

    /// What the next snapshot takes, about.
    fn snapshot_needs(&self) -> u64 {
        let memory = self.index.state().memory();
        let membership = self.replica.as_ref().map_or(0, |replica| replica.membership.len() as u64);
        memory.saturating_add(memory / 8 + SNAPSHOT_MARGIN_BYTES + membership)
    }

    /// How a snapshot went: what [`SnapshotJob::step`] gave last. The log lets go of what it stands for. One that was overtaken by
    /// another that came from elsewhere is taken away.
    pub fn handle_snapshot(&mut self, job: &SnapshotJob, result: Result<Written>, now: Now) -> Result<()> {
        self.snapshots.is_under_way = false;
        let sequence = job.header.sequence;
        self.give_back_snapshot(sequence, None);
        if result.is_ok() && sequence.0 < self.snapshot_sequence() {
            self.log.discard(File::Snapshot(sequence));
            self.snapshots.is_wanted |= self.snapshots.is_mending;
            return Ok(());
        }
        let clock_ms = self.time.clock_ms(now);
        let taken = result.and_then(|written| {
            let taken = self.log.handle_snapshot(&written, false, clock_ms);
            taken.inspect_err(|_| self.log.discard(File::Snapshot(sequence)))?;
            Ok(written)
        });
        match taken {
            Ok(written) => {
                self.counts.snapshots += 1;
                self.snapshots.seeks_bytes = None;
                self.snapshots.last_bytes = written.bytes;
                self.snapshots.last_memory = job.memory;
                if self.snapshots.is_mending {
                    let is_mended = self.mends(written.header.sequence.0);
                    self.snapshots.is_mending = !is_mended;
                    self.snapshots.is_wanted |= !is_mended;
                    self.counts.mended += u64::from(is_mended);
                }
                self.snapshots.log_bytes = self.snapshots.log_bytes.saturating_sub(job.log_bytes);
                self.flushing.appended(&self.log, 0, now.instant);
                Ok(())
            }
            Err(error) => {
                // Where there was room enough, as far as could be told, it has to be more.
                let (needed, left) = (self.snapshot_needs(), job.left_bytes.unwrap_or(0));
                let least = if left < needed { 0 } else { left + needed / 8 };
                self.snapshots.seeks_bytes = self.log.handle_snapshot_failure(&error).then_some(least);
                self.counts.snapshots_failed += 1;
                self.snapshots.is_wanted = true;
                self.snapshots.retry_at = Some(now.instant.saturating_add(self.snapshots.retry));
                Err(error)
            }
        }
    }
}

/// A snapshot being written. It needs nothing of the engine: a thread of its own may run it, or a host may take a step
/// between other work.
#[derive(Debug)]
pub struct SnapshotJob {
    header: SnapshotHeader,
    from: SnapshotWriter,
    /// Who is in the cluster; empty on one node.
    membership: Vec<u8>,
    to: Option<log::SnapshotWriter>,
    /// A chunk, one byte before it.
    buffer: Vec<u8>,
    /// What was written since the last sync.
    unsynced_bytes: usize,
    /// Of the log since the last one, that it stands for.
    log_bytes: u64,
    /// Of the state.
    memory: u64,
    /// What was free when it had failed.
    left_bytes: Option<u64>,
}

impl SnapshotJob {
    fn new(view: Arc<View>, header: SnapshotHeader, membership: Vec<u8>, log_bytes: u64) -> Self {
        let (memory, buffer) = (view.memory(), Vec::new());
        let from = SnapshotWriter::new(view);
        Self {
            header,
            from,
            membership,
            to: None,
            buffer,
            unsynced_bytes: 0,
            log_bytes,
            memory,
            left_bytes: None,
        }
    }

    /// What it is of.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Writes the next chunk; gives what was written when that was the last, and then must not be called again. Blocks
    /// as long as the disk does, for its syncs at the end.
    ///
    /// # Errors
    ///
    /// `Io` when the system refuses; then the job is over, and what it wrote is taken away.
    pub fn step(&mut self, disk: &impl Disk) -> Result<Option<Written>> {
        self.write(disk).inspect_err(|_| {
            // It may be what fills the disk. If it stays, the next open takes it away.
            let _ = disk.remove(File::Unfinished(self.header.sequence));
            self.left_bytes = disk.free_bytes();
        })
    }

    fn write(&mut self, disk: &impl Disk) -> Result<Option<Written>> {
        let mut to = match self.to.take() {
            Some(to) => to,
            None => {
                let mut to = log::SnapshotWriter::begin(disk, self.header)?;
                if !self.membership.is_empty() {
                    to.membership(disk, &self.membership)?;
                }
                to
            }
        };
        self.buffer.clear();
        self.buffer.push(1);
        if !self.from.next_chunk(SNAPSHOT_PIECE_BYTES - 1, &mut self.buffer) {
            return to.finish(disk).map(Some);
        }
        // What was sent is not needed any more: its last byte bears the mark of the next piece.
        let mut from = 0;
        while self.buffer.len() - from > SNAPSHOT_PIECE_BYTES {
            self.buffer[from] = 0;
            let end = from + SNAPSHOT_PIECE_BYTES;
            to.data(disk, &self.buffer[from..end])?;
            from = end - 1;
        }
        self.buffer[from] = 1;
        to.data(disk, &self.buffer[from..])?;
        self.unsynced_bytes += self.buffer.len();
        if self.unsynced_bytes >= SYNC_BYTES {
            self.unsynced_bytes = 0;
            let file = File::Unfinished(self.header.sequence);
            disk.sync(file)
                .map_err(|error| Error::io(format!("write {} durably", disk.name(file)), &error))?;
        }
        self.to = Some(to);
        Ok(None)
    }
}

/// What a snapshot file holds.
pub(super) struct Restored {
    pub(super) state: State,
    /// Who is in the cluster; empty when nobody said so.
    pub(super) membership: Vec<u8>,
}

/// Reads the state in a snapshot file.
pub(super) fn restore(disk: &impl Disk, sequence: Sequence, identity: Identity) -> Result<Restored> {
    let mut membership = Vec::new();
    let file = File::Snapshot(sequence);
    let mut from = log::SnapshotReader::open(disk, file, identity)?;
    let mut to = SnapshotReader::new();
    let mut chunk = Vec::new();
    loop {
        let offset = from.offset();
        let wrong = |what: String| damaged(disk, file, offset, what);
        match from.next(disk)? {
            Some(Part::Data([is_last, piece @ ..])) => {
                chunk.extend_from_slice(piece);
                if *is_last == 1 {
                    to.chunk(&chunk).map_err(|error| not_taken(disk, file, offset, &error))?;
                    chunk.clear();
                }
            }
            Some(Part::Data([])) => return Err(wrong("a piece of the state is empty".into())),
            Some(Part::Membership(bytes)) => membership = bytes.to_vec(),
            None => break,
        }
    }
    let state = to.finish().map_err(|error| not_taken(disk, file, from.offset(), &error))?;
    if state.sequence() != sequence.0 {
        let what = format!("the state in it is that at sequence {}", state.sequence());
        return Err(damaged(disk, file, 0, what));
    }
    Ok(Restored { state, membership })
}

fn not_taken(disk: &impl Disk, file: File, offset: u64, error: &SnapshotError) -> Error {
    match error {
        SnapshotError::Version { .. } => Error::Unsupported {
            what: "snapshot version",
            detail: format!("{}: {error}", disk.name(file)).into(),
        },
        _ => damaged(disk, file, offset, error.to_string()),
    }
}

fn damaged(disk: &impl Disk, file: File, offset: u64, what: String) -> Error {
    let hint = "restore the directory from a backup, or fetch the state from another node".into();
    Error::Corrupt(Box::new(Damage { file: disk.name(file), offset, what, hint }))
}
