//! Nodes that are behind: entries that are read from disk for them, and where the log has let go of those, a snapshot.
//!
//! A snapshot is sent from the view of its sender, in pieces, so many at once as the window allows; the receiver says up to
//! where they have come and are on disk. Pieces that got lost are sent again from there, also after the connection was cut.
//! It gets its name on the receiver's disk when it is whole, and only then counts.

use std::collections::VecDeque;
use std::sync::Arc;

use raft::eraftpb::{Message, MessageType};
use raft::{GetEntriesContext, ProgressState, SnapshotStatus};

use super::{Event, Node, Standing};
use crate::error::{Error, Result};
use crate::replication::frame::{Fault, Header};
use crate::replication::membership::Membership;
use crate::replication::message::{Body, SnapshotId, entry};
use crate::replication::storage::Ask;
use crate::store::engine::{Now, SNAPSHOT_PIECE_BYTES};
use crate::store::index::snapshot::{SnapshotReader, SnapshotWriter};
use crate::store::index::{State, View};
use crate::store::log::snapshot_format::SnapshotHeader;
use crate::store::log::{self, Disk, Epoch, File, Plan, Sequence, Written};
use crate::time::Instant;

/// How many times the bytes of a message are read at once for a replica that is behind.
const FETCH_MESSAGES: u64 = 4;
/// How many such reads are under way at once.
const FETCHES_MAX: usize = 2;
/// How much of a snapshot is written between two syncs.
const SYNC_BYTES: usize = 4 << 20;
/// Says that a snapshot is there already.
const HAVE_IT: u64 = u64::MAX;
/// Between two marks of how long the log is.
const MARK_BYTES: u64 = 64 << 10;

/// Reads under way.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    count: usize,
}

/// Entries to be read from the log, without the node: any thread may run it.
#[derive(Debug)]
pub struct Fetch {
    plan: Plan,
    high: u64,
    bytes_max: u64,
    contexts: Vec<GetEntriesContext>,
    entries: Vec<raft::eraftpb::Entry>,
}

impl Fetch {
    /// Reads. Blocks as long as the disk does.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::read`].
    pub fn run(&mut self, disk: &impl Disk) -> Result<()> {
        let (mut bytes, most) = (0, self.bytes_max);
        let entries = &mut self.entries;
        self.plan.read(disk, |it| {
            bytes += it.payload.len() as u64;
            entries.push(entry(it.sequence.0, it.epoch.0, it.payload));
            bytes < most
        })
    }
}

/// A snapshot being sent to one node.
#[derive(Debug)]
pub(super) struct Outgoing {
    id: SnapshotId,
    view: Arc<View>,
    clock_ms: u64,
    membership: Vec<u8>,
    from: SnapshotWriter,
    /// What of a chunk is not sent yet.
    chunk: VecDeque<Vec<u8>>,
    next: u64,
    /// Sent, and not said to have come: number, whether it is the last, bytes.
    unacked: VecDeque<(u64, bool, Vec<u8>)>,
    is_done: bool,
    sent_at: Instant,
    progress_at: Instant,
}

impl Outgoing {
    fn new(id: SnapshotId, view: Arc<View>, membership: Vec<u8>, now: Now) -> Self {
        Self {
            id,
            clock_ms: now.clock.as_millis(),
            membership,
            from: SnapshotWriter::new(view.clone()),
            view,
            chunk: VecDeque::new(),
            next: 0,
            unacked: VecDeque::new(),
            is_done: false,
            sent_at: now.instant,
            progress_at: now.instant,
        }
    }

    fn offer(&self) -> Body {
        Body::Offer { id: self.id, clock_ms: self.clock_ms, membership: self.membership.clone() }
    }

    /// Cuts the next chunk into pieces, when there is nothing left of the one before.
    fn refill(&mut self) {
        while self.chunk.len() < 2 {
            let mut chunk = Vec::new();
            if !self.from.next_chunk(SNAPSHOT_PIECE_BYTES - 1, &mut chunk) {
                return;
            }
            let count = chunk.len().div_ceil(SNAPSHOT_PIECE_BYTES - 1);
            for (at, piece) in chunk.chunks(SNAPSHOT_PIECE_BYTES - 1).enumerate() {
                let mut bytes = Vec::with_capacity(piece.len() + 1);
                bytes.push(u8::from(at + 1 == count));
                bytes.extend_from_slice(piece);
                self.chunk.push_back(bytes);
            }
        }
    }

    /// The next piece.
    fn piece(&mut self) -> Option<(u64, bool, Vec<u8>)> {
        if self.is_done {
            return None;
        }
        self.refill();
        let bytes = self.chunk.pop_front()?;
        self.is_done = self.chunk.is_empty();
        let number = self.next;
        self.next += 1;
        Some((number, self.is_done, bytes))
    }

    /// Begins anew, behind `next` pieces.
    fn rewind(&mut self, next: u64) {
        self.from = SnapshotWriter::new(self.view.clone());
        self.chunk.clear();
        self.unacked.clear();
        (self.next, self.is_done) = (0, false);
        while self.next < next && self.piece().is_some() {}
    }
}

/// A snapshot that comes from another node.
#[derive(Debug)]
pub(super) struct Incoming {
    from: u64,
    boot: u64,
    id: SnapshotId,
    epoch: u64,
    membership: Membership,
    /// The next piece.
    next: u64,
    written: u64,
    queue: VecDeque<(bool, Vec<u8>)>,
    /// What writes them; `None` while it is at it.
    job: Option<InstallJob>,
}

/// Pieces of a snapshot to be written, without the node: any thread may run it.
#[derive(Debug)]
pub struct InstallJob {
    header: SnapshotHeader,
    membership: Vec<u8>,
    pieces: VecDeque<(bool, Vec<u8>)>,
    count: u64,
    to: Option<log::SnapshotWriter>,
    reader: SnapshotReader,
    chunk: Vec<u8>,
    unsynced_bytes: usize,
}

impl InstallJob {
    /// Writes what has come. Gives the state and its file when that was all. Blocks as long as the disk does.
    ///
    /// # Errors
    ///
    /// `Io` when the system refuses; `Corrupt` when the pieces are none of a snapshot; the job is over then, and what it
    /// wrote is taken away.
    pub fn run(&mut self, disk: &impl Disk) -> Result<Option<(Written, State)>> {
        self.write(disk).inspect_err(|_| {
            let _ = disk.remove(File::Unfinished(self.header.sequence));
        })
    }

    fn write(&mut self, disk: &impl Disk) -> Result<Option<(Written, State)>> {
        let mut to = match self.to.take() {
            Some(to) => to,
            None => {
                let mut to = log::SnapshotWriter::begin(disk, self.header)?;
                to.membership(disk, &self.membership)?;
                to
            }
        };
        let file = File::Unfinished(self.header.sequence);
        let wrong = |what: String| Error::invalid("snapshot", format!("{}: {what}", disk.name(file)));
        self.count = self.pieces.len() as u64;
        while let Some((is_last, bytes)) = self.pieces.pop_front() {
            to.data(disk, &bytes)?;
            self.unsynced_bytes += bytes.len();
            self.chunk.extend_from_slice(&bytes[1..]);
            if bytes[0] == 1 {
                self.reader.chunk(&self.chunk).map_err(|error| wrong(error.to_string()))?;
                self.chunk.clear();
            }
            if self.unsynced_bytes >= SYNC_BYTES {
                self.unsynced_bytes = 0;
                disk.sync(file)
                    .map_err(|error| Error::io(format!("write {} durably", disk.name(file)), &error))?;
            }
            if is_last {
                let state =
                    std::mem::take(&mut self.reader).finish().map_err(|error| wrong(error.to_string()))?;
                if state.sequence() != self.header.sequence.0 {
                    return Err(wrong(format!("the state in it is that at sequence {}", state.sequence())));
                }
                return to.finish(disk).map(|written| Some((written, state)));
            }
        }
        self.to = Some(to);
        Ok(None)
    }
}

impl Node {
    /// Entries to be read for a replica that is behind. [`Node::handle_fetched`] is to be told how it went.
    pub fn poll_fetch(&mut self) -> Option<Fetch> {
        while self.fetching.count < FETCHES_MAX
            && self.raw.store().is_asked()
            && self.pace.may_send(self.now.instant)
        {
            let Ask { low, high, contexts } = self.raw.mut_store().take_ask()?;
            // What is not applied may be replaced, and is in memory.
            let high = high.min(self.engine.state().sequence() + 1);
            match self.engine.plan(Sequence(low), Sequence(high.saturating_sub(1))) {
                Ok(plan) => {
                    self.fetching.count += 1;
                    let bytes_max = self.options.message_bytes * FETCH_MESSAGES;
                    return Some(Fetch { plan, high, bytes_max, contexts, entries: Vec::new() });
                }
                Err(_) => self.give_up(low, high, contexts),
            }
        }
        None
    }

    /// How it went: what [`Fetch::run`] gave.
    pub fn handle_fetched(&mut self, fetch: Fetch, result: Result<()>, now: Now) {
        self.pass(now);
        self.fetching.count -= 1;
        let Fetch { high, contexts, entries, .. } = fetch;
        let read = entries.last().map(|it| it.index);
        let bytes = entries.iter().map(|it| it.data.len() as u64).sum();
        self.pace.sent(bytes, self.now.instant);
        self.raw.mut_store().fetched(entries);
        match (result, read) {
            (Err(_), _) | (Ok(()), None) => self.give_up(high - 1, high, contexts),
            _ => self.fetched(contexts),
        }
        self.append_ready();
    }

    /// Entries cannot be had any more: whoever needs them gets a snapshot.
    fn give_up(&mut self, low: u64, high: u64, contexts: Vec<GetEntriesContext>) {
        let first = self.engine.log().first().0;
        let first = if first > low { first } else { high };
        self.raw.mut_store().compact(first);
        self.fetched(contexts);
    }

    fn fetched(&mut self, contexts: Vec<GetEntriesContext>) {
        for context in contexts {
            self.raw.on_entries_fetched(context);
        }
    }

    /// The library wants a snapshot to be sent.
    pub(super) fn send_snapshot(&mut self, message: Message) {
        let (to, metadata) = (message.to, message.get_snapshot().get_metadata());
        let id = SnapshotId { sequence: metadata.index, epoch: metadata.term };
        // One that is under way goes on, when the log goes on behind it.
        if let Some(outgoing) = self.outgoing.get(&to)
            && outgoing.id.sequence + 1 >= self.raw.store().first()
        {
            let pending = outgoing.id.sequence;
            if let Some(progress) = self.raw.raft.mut_prs().get_mut(to) {
                progress.pending_snapshot = pending;
            }
            return;
        }
        let view = self.engine.view();
        if view.sequence() != id.sequence {
            return self.raw.report_snapshot(to, SnapshotStatus::Failure);
        }
        let outgoing = Outgoing::new(id, view, self.members.encode(), self.now);
        self.outbox.push(to, outgoing.offer());
        self.outgoing.insert(to, outgoing);
    }

    /// The other side says what it has.
    pub(super) fn handle_want(&mut self, header: &Header, id: SnapshotId, next: u64) {
        let to = header.from;
        let Some(outgoing) = self.outgoing.get_mut(&to).filter(|it| it.id == id) else { return };
        if next == HAVE_IT {
            self.outgoing.remove(&to);
            self.raw.report_snapshot(to, SnapshotStatus::Finish);
            return;
        }
        let first = outgoing.unacked.front().map_or(outgoing.next, |(number, ..)| *number);
        if next > outgoing.next {
            return;
        }
        if next < first {
            outgoing.rewind(next);
        } else if next > first {
            outgoing.unacked.drain(..(next - first) as usize);
            outgoing.progress_at = self.now.instant;
        }
        self.pump(to);
    }

    /// Sends as many pieces as window and rate allow.
    fn pump(&mut self, to: u64) {
        let (window, rate) = (self.options.snapshot_window as usize, self.options.snapshot_rate);
        let Some(outgoing) = self.outgoing.get_mut(&to) else { return };
        while outgoing.unacked.len() < window {
            if rate > 0 {
                let elapsed = self.now.instant.nanos_since(self.rate.0);
                let earned = (u128::from(elapsed) * u128::from(rate) / 1_000_000_000) as u64;
                let most = rate.max(2 * SNAPSHOT_PIECE_BYTES as u64);
                self.rate = (self.now.instant, (self.rate.1 + earned).min(most));
                if self.rate.1 < SNAPSHOT_PIECE_BYTES as u64 {
                    return;
                }
            }
            if !self.pace.may_send(self.now.instant) {
                return;
            }
            let Some((number, is_last, bytes)) = outgoing.piece() else { return };
            self.pace.sent(bytes.len() as u64, self.now.instant);
            self.rate.1 = self.rate.1.saturating_sub(bytes.len() as u64);
            outgoing.sent_at = self.now.instant;
            self.outbox.push(to, Body::Piece { id: outgoing.id, number, is_last, bytes: bytes.clone() });
            outgoing.unacked.push_back((number, is_last, bytes));
        }
    }

    /// Sends again what did not come, gives up what does not get on.
    pub(super) fn follow_snapshots(&mut self) {
        let now = self.now.instant;
        let nodes: Vec<u64> = self.outgoing.keys().copied().collect();
        for to in nodes {
            let is_waiting =
                self.raw.raft.prs().get(to).is_some_and(|it| it.state == ProgressState::Snapshot);
            let outgoing = self.outgoing.get_mut(&to).expect("it was there");
            if !is_waiting {
                self.outgoing.remove(&to);
                continue;
            }
            if outgoing.progress_at.saturating_add(self.options.snapshot_timeout) <= now {
                self.outgoing.remove(&to);
                self.raw.report_snapshot(to, SnapshotStatus::Failure);
                continue;
            }
            if outgoing.sent_at.saturating_add(self.options.snapshot_retry) <= now {
                outgoing.sent_at = now;
                self.outbox.push(to, outgoing.offer());
                for (number, is_last, bytes) in &outgoing.unacked {
                    let piece = Body::Piece {
                        id: outgoing.id,
                        number: *number,
                        is_last: *is_last,
                        bytes: bytes.clone(),
                    };
                    self.outbox.push(to, piece);
                }
            }
            // The first pieces wait until the offer was taken.
            if outgoing.next > 0 {
                self.pump(to);
            }
        }
    }

    /// A snapshot is offered.
    pub(super) fn handle_offer(
        &mut self,
        header: &Header,
        id: SnapshotId,
        clock_ms: u64,
        membership: &[u8],
    ) -> std::result::Result<(), Fault> {
        let membership = Membership::decode(membership)?;
        if !membership.nodes().any(|node| node == self.identity.node) || id.sequence == 0 || id.epoch == 0 {
            return Err(Fault::Malformed("the snapshot is none for this node"));
        }
        let (to, epoch) = (header.from, header.epoch);
        if epoch < self.raw.raft.term {
            return Ok(());
        }
        if id.sequence <= self.raw.raft.raft_log.committed {
            self.outbox.push(to, Body::Want { id, next: HAVE_IT });
            return Ok(());
        }
        let is_same = |it: &Incoming| (it.from, it.boot, it.id) == (to, header.boot, id);
        if !self.incoming.as_ref().is_some_and(is_same) {
            if let Some(before) = self.incoming.take() {
                self.engine.discard(File::Unfinished(Sequence(before.id.sequence)));
            }
            let header_here = SnapshotHeader {
                identity: self.identity,
                sequence: Sequence(id.sequence),
                epoch: Epoch(id.epoch),
                clock_ms,
            };
            let job = InstallJob {
                header: header_here,
                membership: membership.encode(),
                pieces: VecDeque::new(),
                count: 0,
                to: None,
                reader: SnapshotReader::new(),
                chunk: Vec::new(),
                unsynced_bytes: 0,
            };
            self.incoming = Some(Incoming {
                from: to,
                boot: header.boot,
                id,
                epoch,
                membership,
                next: 0,
                written: 0,
                queue: VecDeque::new(),
                job: Some(job),
            });
        }
        let incoming = self.incoming.as_mut().expect("it was put there");
        incoming.epoch = epoch;
        let next = incoming.written;
        self.outbox.push(to, Body::Want { id, next });
        Ok(())
    }

    /// A piece has come. One out of order is left: it comes again.
    pub(super) fn handle_piece(
        &mut self,
        header: &Header,
        id: SnapshotId,
        number: u64,
        is_last: bool,
        bytes: Vec<u8>,
    ) {
        let most = 4 * self.options.snapshot_window as usize;
        let Some(incoming) = self.incoming.as_mut() else { return };
        let is_same = (incoming.from, incoming.boot, incoming.id) == (header.from, header.boot, id);
        if is_same && number == incoming.next && incoming.queue.len() < most {
            incoming.queue.push_back((is_last, bytes));
            incoming.next += 1;
        }
    }

    /// Pieces of a snapshot to be written. [`Node::handle_install`] is to be told how it went.
    pub fn poll_install(&mut self) -> Option<InstallJob> {
        let incoming = self.incoming.as_mut()?;
        if incoming.queue.is_empty() {
            return None;
        }
        let mut job = incoming.job.take()?;
        job.pieces.append(&mut incoming.queue);
        Some(job)
    }

    /// How it went: what [`InstallJob::run`] gave.
    pub fn handle_install(&mut self, job: InstallJob, result: Result<Option<(Written, State)>>, now: Now) {
        self.pass(now);
        let (sequence, epoch) = (job.header.sequence, job.header.epoch);
        let is_current =
            |it: &Incoming| it.id == SnapshotId { sequence: sequence.0, epoch: epoch.0 } && it.job.is_none();
        let Some(mut incoming) = self.incoming.take_if(|it| is_current(it)) else {
            // Another one was offered meanwhile.
            let file = match result {
                Ok(Some(_)) => File::Snapshot(sequence),
                _ => File::Unfinished(sequence),
            };
            return self.engine.discard(file);
        };
        match result {
            // It is offered again, and begun anew.
            Err(_) => {}
            Ok(None) => {
                incoming.written += job.count;
                let want = Body::Want { id: incoming.id, next: incoming.written };
                self.outbox.push(incoming.from, want);
                incoming.job = Some(job);
                self.incoming = Some(incoming);
            }
            Ok(Some((written, state))) => self.restore(incoming, written, state),
        }
    }

    /// A snapshot is whole, and on disk: the library decides whether it counts.
    fn restore(&mut self, incoming: Incoming, written: Written, state: State) {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgSnapshot);
        (message.from, message.to) = (incoming.from, self.identity.node);
        let is_followed = self.raw.raft.leader_id == incoming.from;
        message.term = if is_followed { self.raw.raft.term } else { incoming.epoch };
        let metadata = message.mut_snapshot().mut_metadata();
        (metadata.index, metadata.term) = (incoming.id.sequence, incoming.id.epoch);
        metadata.set_conf_state(incoming.membership.for_raft());
        self.installed = Some((written, state, incoming.membership));
        let _ = self.raw.step(message);
        self.observe();
        self.append_ready();
        if self.installed.take().is_some() {
            // What it has was here already, or its sender is primary no more.
            self.engine.discard(File::Snapshot(Sequence(incoming.id.sequence)));
        }
    }

    /// The library has taken a snapshot.
    pub(super) fn install(&mut self, sequence: u64, epoch: u64) -> Result<()> {
        let Some((written, state, members)) = self.installed.take() else {
            return Err(Error::State {
                what: "node",
                detail: "was to install a snapshot that is not there".into(),
            });
        };
        self.overtaken(sequence);
        self.engine.install(&written, state, self.now)?;
        self.members = members;
        self.raw.mut_store().restart(sequence, epoch, self.members.for_raft());
        self.kept.clear();
        self.stamps.applied(sequence);
        self.check_readmitted();
        self.write_membership();
        self.events.push_back(Event::Installed { sequence });
        self.events.push_back(Event::Members(self.members.clone()));
        Ok(())
    }

    /// Whether the others have taken this node in again.
    pub(super) fn check_readmitted(&mut self) {
        if let Standing::Forgetful { incarnation } = self.standing
            && self.members.readmitted.get(&self.identity.node) == Some(&incarnation)
        {
            self.standing = Standing::Active;
            self.events.push_back(Event::Readmitted);
        }
    }

    /// An entry was appended.
    pub(super) fn count_appended(&mut self, sequence: u64, bytes: u64) {
        self.appended_bytes += bytes + 64;
        while self.kept.back().is_some_and(|(at, _)| *at >= sequence) {
            self.kept.pop_back();
        }
        if self.kept.back().is_none_or(|(_, total)| self.appended_bytes - total >= MARK_BYTES) {
            self.kept.push_back((sequence, self.appended_bytes));
        }
        let most = self.options.kept_bytes_max;
        while self.kept.len() > 1 && self.appended_bytes - self.kept[0].1 > most {
            self.kept.pop_front();
        }
    }

    /// Says which entries are kept for replicas that are behind, though a snapshot stands for them.
    pub(super) fn keep(&mut self) {
        if !self.is_primary() {
            return self.engine.keep_entries(None);
        }
        let prs = self.raw.raft.prs();
        let others = prs.iter().filter(|(node, _)| **node != self.identity.node);
        let behind = others.map(|(_, it)| it.matched.max(it.pending_snapshot)).min();
        let oldest = self.kept.front().map_or(u64::MAX, |(at, _)| *at);
        self.engine.keep_entries(behind.map(|it| Sequence((it + 1).max(oldest))));
    }
}
