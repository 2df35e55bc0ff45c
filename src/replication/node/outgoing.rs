//! A snapshot that goes to a node that is behind, from the view of its sender, in pieces: [`Outgoing`]. The receiver says up to where
//! they have come and are on disk.
//!
//! A slow link is no loss. What is sent to a node keeps its order, the offer too, so a receiver that answers an offer has all that went
//! before it and was not lost. So where something may be lost (what went did not leave, the link went down, nothing was heard for far
//! longer than it took before) the snapshot is offered again, and nothing else goes. Only an answer that says no more than what
//! was known has the pieces sent again behind which it came; each one that says more is followed by another offer.
//!
//! So many pieces are under way as are there within about [`QUEUE_TIME`], as the link and the receiver's disk take them, one at least and
//! the window at most: what else goes to that node is not to wait behind them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use raft::eraftpb::Message;
use raft::{ProgressState, SnapshotStatus};

use super::Node;
use crate::replication::frame::Header;
use crate::replication::message::{Body, SnapshotId};
use crate::replication::options::Options;
use crate::store::engine::{Now, SNAPSHOT_PIECE_BYTES};
use crate::store::index::View;
use crate::store::index::snapshot::SnapshotWriter;
use crate::time::Instant;

/// Says that a snapshot is there already.
pub(super) const HAVE_IT: u64 = u64::MAX;
/// How long a piece may take beyond the least that one took, before fewer are under way.
const QUEUE_TIME: Duration = Duration::from_secs(1);

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
    /// Not said to have come.
    unacked: VecDeque<Piece>,
    /// How many of those are under way, the first ones; the others are to be sent again.
    under_way: usize,
    /// How many may be.
    window: usize,
    is_done: bool,
    /// It was offered, and is not answered yet.
    is_asking: bool,
    asked_at: Instant,
    /// When something was heard last, or sent when nothing was under way.
    quiet_since: Instant,
    progress_at: Instant,
    /// How long the last piece took that has come, and the one that took least.
    took: Duration,
    least: Duration,
}

/// A piece that was sent.
#[derive(Debug)]
struct Piece {
    number: u64,
    is_last: bool,
    bytes: Vec<u8>,
    /// The first time.
    sent_at: Instant,
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
            under_way: 0,
            window: 1,
            is_done: false,
            is_asking: true,
            asked_at: now.instant,
            quiet_since: now.instant,
            progress_at: now.instant,
            took: Duration::ZERO,
            least: Duration::MAX,
        }
    }

    /// The last entry in it.
    pub(super) fn sequence(&self) -> u64 {
        self.id.sequence
    }

    /// It is offered, or offered again.
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

    /// Goes on behind `next` pieces, whatever was sent.
    fn seek(&mut self, next: u64) {
        if next < self.next {
            self.from = SnapshotWriter::new(self.view.clone());
            self.chunk.clear();
            (self.next, self.is_done) = (0, false);
        }
        self.unacked.clear();
        self.under_way = 0;
        while self.next < next && self.piece().is_some() {}
    }

    /// The first piece that was not said to have come.
    fn first(&self) -> u64 {
        self.unacked.front().map_or(self.next, |it| it.number)
    }

    /// Pieces up to this one have come.
    fn acked(&mut self, next: u64, window_max: usize, now: Instant) {
        let count = (next - self.first()) as usize;
        self.under_way = self.under_way.saturating_sub(count);
        if let Some(last) = self.unacked.drain(..count).next_back() {
            self.took = now.duration_since(last.sent_at);
            self.least = self.least.min(self.took);
        }
        self.window = match self.took <= self.least.saturating_add(QUEUE_TIME) {
            true => (self.window + count).min(window_max),
            false => self.window.saturating_sub(count).max(1),
        };
        (self.quiet_since, self.progress_at) = (now, now);
    }

    /// What is under way is lost.
    fn lost(&mut self) {
        if self.under_way > 0 {
            self.under_way = 0;
            self.window = (self.window / 2).max(1);
        }
    }

    /// Whether something is to be heard, and nothing was for far longer than the last piece took.
    fn is_silent(&self, options: &Options, now: Instant) -> bool {
        let patience = options.snapshot_retry.saturating_add(self.took * 2).min(options.snapshot_timeout / 2);
        (self.under_way > 0 || self.is_done && self.unacked.is_empty())
            && self.quiet_since.saturating_add(patience) <= now
    }

    /// As if so many pieces had come in time.
    #[cfg(all(test, feature = "sim"))]
    pub(super) fn widen(&mut self, window: usize) {
        self.window = window;
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
        let (first, now) = (outgoing.first(), self.now.instant);
        if (first + 1..=outgoing.next).contains(&next) {
            outgoing.acked(next, self.options.snapshot_window as usize, now);
            // It may have been said before the offer came.
            if outgoing.is_asking && !outgoing.unacked.is_empty() {
                return self.ask(to);
            }
        } else if outgoing.is_asking {
            if next == first {
                outgoing.lost();
            } else {
                // It has begun anew, or had some of it already.
                outgoing.seek(next);
            }
        }
        outgoing.is_asking = false;
        self.pump(to);
    }

    /// What was sent to a node may be lost.
    pub(super) fn snapshot_unreachable(&mut self, to: u64) {
        if self.outgoing.get(&to).is_some_and(|it| !it.is_asking) {
            self.ask(to);
        }
    }

    /// Offers it again: the answer tells what has come.
    fn ask(&mut self, to: u64) {
        let Some(outgoing) = self.outgoing.get_mut(&to) else { return };
        (outgoing.is_asking, outgoing.asked_at) = (true, self.now.instant);
        self.outbox.push(to, outgoing.offer());
    }

    /// Sends as many pieces as window and rate allow.
    fn pump(&mut self, to: u64) {
        let (window, rate) = (self.options.snapshot_window as usize, self.options.snapshot_rate);
        let Some(outgoing) = self.outgoing.get_mut(&to) else { return };
        while outgoing.under_way < outgoing.window.min(window) {
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
            if outgoing.under_way == outgoing.unacked.len() {
                let Some((number, is_last, bytes)) = outgoing.piece() else { return };
                outgoing.unacked.push_back(Piece { number, is_last, bytes, sent_at: self.now.instant });
            }
            if outgoing.under_way == 0 {
                outgoing.quiet_since = self.now.instant;
            }
            let Piece { number, is_last, bytes, .. } = &outgoing.unacked[outgoing.under_way];
            let (number, is_last, bytes) = (*number, *is_last, bytes.clone());
            outgoing.under_way += 1;
            self.pace.sent(bytes.len() as u64, self.now.instant);
            self.rate.1 = self.rate.1.saturating_sub(bytes.len() as u64);
            self.outbox.push(to, Body::Piece { id: outgoing.id, number, is_last, bytes });
        }
    }

    /// Sends what may be sent by now, asks about what may be lost, gives up what does not get on.
    pub(super) fn follow_snapshots(&mut self) {
        let now = self.now.instant;
        let nodes: Vec<u64> = self.outgoing.keys().copied().collect();
        for to in nodes {
            let sequence = self.outgoing[&to].id.sequence;
            let is_waiting = match self.is_primary() {
                true => self.raw.raft.prs().get(to).is_some_and(|it| it.state == ProgressState::Snapshot),
                false => self.is_follower_behind(to, sequence),
            };
            let outgoing = &self.outgoing[&to];
            if !is_waiting {
                self.outgoing.remove(&to);
                continue;
            }
            if outgoing.progress_at.saturating_add(self.options.snapshot_timeout) <= now {
                self.outgoing.remove(&to);
                self.raw.report_snapshot(to, SnapshotStatus::Failure);
                continue;
            }
            let is_due = match outgoing.is_asking {
                true => outgoing.asked_at.saturating_add(self.options.snapshot_retry) <= now,
                false => outgoing.is_silent(&self.options, now),
            };
            if is_due {
                self.ask(to);
            } else if !outgoing.is_asking {
                self.pump(to);
            }
        }
    }
}
