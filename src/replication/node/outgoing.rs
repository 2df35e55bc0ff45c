//! A snapshot that goes to a node that is behind, from the view of its sender, in pieces: [`Outgoing`]. So
//! many are sent at once as the window allows; the receiver says up to where they have come and are on disk. When nothing is said for
//! a while the snapshot is offered again, and the answer has the pieces that got lost sent again, also after the connection was cut: to
//! one that takes none at present, nothing goes but the offer.

use std::collections::VecDeque;
use std::sync::Arc;

use raft::eraftpb::Message;
use raft::{ProgressState, SnapshotStatus};

use super::Node;
use crate::replication::frame::Header;
use crate::replication::message::{Body, SnapshotId};
use crate::store::engine::{Now, SNAPSHOT_PIECE_BYTES};
use crate::store::index::View;
use crate::store::index::snapshot::SnapshotWriter;
use crate::time::Instant;

/// Says that a snapshot is there already.
pub(super) const HAVE_IT: u64 = u64::MAX;

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
    /// It was offered again, and is not answered yet: what was not said to have come is sent again then.
    is_asking: bool,
    sent_at: Instant,
    progress_at: Instant,
}

impl Outgoing {
    pub(super) fn new(id: SnapshotId, view: Arc<View>, membership: Vec<u8>, now: Now) -> Self {
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
            is_asking: false,
            sent_at: now.instant,
            progress_at: now.instant,
        }
    }

    /// The last entry in it.
    pub(super) fn sequence(&self) -> u64 {
        self.id.sequence
    }

    pub(super) fn offer(&self) -> Body {
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

impl Node {
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
        if std::mem::take(&mut outgoing.is_asking) {
            for (number, is_last, bytes) in &outgoing.unacked {
                let (number, is_last, bytes) = (*number, *is_last, bytes.clone());
                self.outbox.push(to, Body::Piece { id, number, is_last, bytes });
            }
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
            let sequence = self.outgoing[&to].id.sequence;
            let is_waiting = match self.is_primary() {
                true => self.raw.raft.prs().get(to).is_some_and(|it| it.state == ProgressState::Snapshot),
                false => self.is_follower_behind(to, sequence),
            };
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
                (outgoing.sent_at, outgoing.is_asking) = (now, true);
                self.outbox.push(to, outgoing.offer());
            }
            // The first pieces wait until the offer was taken.
            if outgoing.next > 0 {
                self.pump(to);
            }
        }
    }
}
