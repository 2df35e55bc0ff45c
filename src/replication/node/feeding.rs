//! Whom this node feeds: learners that have asked for it ([`Follower`]), instead of the primary.
//!
//! Only what is committed and applied here is passed on, in the name of the primary this node follows: that might have
//! sent it as well, so the rules of consensus hold for who takes it in. A follower says up to where it has what is
//! committed; what does not come is sent again from there. How old a follower's state may be comes from the primary, step by step:
//! a follower's stamp is vouched for when what is known here is of a moment after that stamp had come.

use std::collections::{BTreeMap, VecDeque};

use raft::{GetEntriesContext, Storage as _, StorageError};

use super::long_entries::time_of;
use super::outgoing::Outgoing;
use super::{Node, Standing};
use crate::replication::frame::Header;
use crate::replication::message::{Body, Feed, SnapshotId, payload};
use crate::time::Instant;

/// How many stamps of a follower wait for being vouched for.
const STAMPS_MAX: usize = 64;

/// A node that is fed from here.
#[derive(Debug)]
struct Follower {
    boot: u64,
    /// Until when it is fed without asking again.
    until: Instant,
    /// Up to where it has what is committed.
    acked: u64,
    /// The next entry for it.
    next: u64,
    /// The last entry of each message that it has not said to have, and the bytes of its entries.
    inflight: VecDeque<(u64, u64)>,
    /// When an entry was sent, or it said that it has one, last.
    moved_at: Instant,
    /// Stamps of its that came after this of ours.
    stamps: VecDeque<(u64, u64)>,
    /// The latest of its stamps that is vouched for.
    vouched: u64,
}

/// All of them; and on a primary, whom it need not feed.
#[derive(Debug, Default)]
pub(super) struct Feeding {
    followers: BTreeMap<u64, Follower>,
    /// Who is fed by whom, and until when that counts.
    elsewhere: BTreeMap<u64, (u64, Instant)>,
    ticks: u32,
}

impl Feeding {
    pub(super) fn clear(&mut self) {
        self.followers.clear();
        self.elsewhere.clear();
    }

    /// Whom this node feeds, and up to where each has what is committed.
    pub(super) fn followers(&self) -> impl Iterator<Item = (u64, u64)> {
        self.followers.iter().map(|(node, it)| (*node, it.acked))
    }

    /// Whether somebody else feeds a node.
    pub(super) fn is_elsewhere(&self, node: u64, now: Instant) -> bool {
        self.elsewhere.get(&node).is_some_and(|(_, until)| now < *until)
    }

    /// Who is fed by somebody else, and by whom.
    pub(super) fn elsewhere(&self, now: Instant) -> impl Iterator<Item = (u64, u64)> {
        self.elsewhere
            .iter()
            .filter(move |(_, (_, until))| now < *until)
            .map(|(node, (source, _))| (*node, *source))
    }
}

impl Node {
    /// A node says who feeds it, and up to where it has what is committed.
    pub(super) fn handle_follow(&mut self, header: &Header, source: u64, sequence: u64) {
        let from = header.from;
        let now = self.now.instant;
        let is_ours = source == self.identity.node;
        if self.is_primary() {
            self.feeding.followers.clear();
            if source == 0 || is_ours || !self.members.learners.contains(&from) {
                self.feed_again(from);
            } else {
                let until = now.saturating_add(self.options.tick * 3 * self.options.election_ticks);
                self.feeding.elsewhere.insert(from, (source, until));
                self.outgoing.remove(&from);
            }
            return;
        }
        if !is_ours || !self.members.learners.contains(&from) {
            self.drop_follower(from);
            return;
        }
        let until = now.saturating_add(self.options.tick * self.options.election_ticks);
        let mark = self.stamps.last();
        let follower = self.feeding.followers.entry(from).or_insert_with(|| Follower {
            boot: 0,
            until,
            acked: 0,
            next: 1,
            inflight: VecDeque::new(),
            moved_at: now,
            stamps: VecDeque::new(),
            vouched: 0,
        });
        if follower.boot != header.boot {
            follower.boot = header.boot;
            (follower.acked, follower.next, follower.vouched) = (sequence, sequence + 1, 0);
            follower.inflight.clear();
            follower.stamps.clear();
        }
        follower.until = until;
        if follower.stamps.len() < STAMPS_MAX
            && follower.stamps.back().is_none_or(|(_, last)| *last < header.stamp)
        {
            follower.stamps.push_back((mark, header.stamp));
        }
        if sequence > follower.acked {
            (follower.acked, follower.moved_at) = (sequence, now);
            follower.next = follower.next.max(sequence + 1);
        }
        while follower.inflight.front().is_some_and(|(last, _)| *last <= follower.acked) {
            follower.inflight.pop_front();
        }
        // What is long takes its time.
        let bytes: u64 = follower.inflight.iter().map(|(_, bytes)| bytes).sum();
        let retry = self.options.tick * self.options.election_ticks / 2 + time_of(bytes);
        if !follower.inflight.is_empty() && follower.moved_at.saturating_add(retry) <= now {
            self.refeed(from);
        }
        if self.outgoing.get(&from).is_some_and(|it| it.sequence() <= sequence) {
            self.outgoing.remove(&from);
        }
        self.feed(from, false);
    }

    /// A primary feeds a node by itself again.
    pub(super) fn feed_again(&mut self, node: u64) {
        if self.feeding.elsewhere.remove(&node).is_some()
            && let Some(progress) = self.raw.raft.mut_prs().get_mut(node)
        {
            // What was kept from it counts as lost.
            progress.become_probe();
        }
    }

    /// The link to a node is a new one, or gone: what was on its way to it is sent again.
    pub(super) fn refeed(&mut self, node: u64) {
        if let Some(follower) = self.feeding.followers.get_mut(&node) {
            follower.inflight.clear();
            follower.next = follower.acked + 1;
        }
    }

    fn drop_follower(&mut self, node: u64) {
        if self.feeding.followers.remove(&node).is_some() {
            self.outgoing.remove(&node);
        }
    }

    /// Time goes on: who was not heard is let go of, the others hear that this node is there.
    pub(super) fn tick_feeding(&mut self) {
        let now = self.now.instant;
        let is_primary = self.is_primary();
        if is_primary {
            let is_over = |node: &u64, until: Instant| until <= now || !self.members.learners.contains(node);
            let over = self.feeding.elsewhere.iter().filter(|(node, (_, until))| is_over(node, *until));
            let over: Vec<u64> = over.map(|(node, _)| *node).collect();
            over.into_iter().for_each(|node| self.feed_again(node));
        } else {
            self.feeding.elsewhere.clear();
        }
        let over = self
            .feeding
            .followers
            .iter()
            .filter(|(node, it)| is_primary || it.until <= now || !self.members.learners.contains(node));
        let over: Vec<u64> = over.map(|(node, _)| *node).collect();
        over.into_iter().for_each(|node| self.drop_follower(node));
        self.feeding.ticks += 1;
        if self.feeding.ticks >= self.options.heartbeat_ticks {
            self.feeding.ticks = 0;
            let nodes: Vec<u64> = self.feeding.followers.keys().copied().collect();
            nodes.into_iter().for_each(|node| self.feed(node, true));
        }
    }

    /// There may be more to pass on.
    pub(super) fn feed_all(&mut self) {
        if self.feeding.followers.is_empty() {
            return;
        }
        let nodes: Vec<u64> = self.feeding.followers.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.feed(node, false));
    }

    /// Whether a snapshot that is on its way to a node is still wanted.
    pub(super) fn is_follower_behind(&self, node: u64, sequence: u64) -> bool {
        self.feeding.followers.get(&node).is_some_and(|it| it.acked < sequence)
    }

    /// Passes on what there is for a follower; `is_due`: something, be it nothing.
    fn feed(&mut self, to: u64, is_due: bool) {
        // Without a primary there is nobody in whose name to speak.
        let leader = self.raw.raft.leader_id;
        if leader == 0 || leader == self.identity.node {
            return;
        }
        let through = self.passed_on_through();
        let mut is_due = is_due;
        while let Some(follower) = self.feeding.followers.get(&to)
            && !self.outgoing.contains_key(&to)
            && follower.inflight.len() < self.options.inflight_messages as usize
            && follower.next <= through
        {
            let next = follower.next;
            let context = GetEntriesContext::empty(true);
            let entries =
                match self.raw.store().entries(next, through + 1, self.options.message_bytes, context) {
                    Ok(entries) => entries,
                    Err(raft::Error::Store(StorageError::Compacted)) => {
                        self.feed_snapshot(to);
                        break;
                    }
                    // They are read from disk.
                    Err(_) => break,
                };
            let (Some(epoch), Some(last)) = (self.epoch_of(next - 1), entries.last().map(|it| it.index))
            else {
                break;
            };
            let now = self.now.instant;
            let bytes = entries.iter().map(|it| payload(it).len() as u64).sum();
            if let Some(follower) = self.feeding.followers.get_mut(&to) {
                if follower.inflight.is_empty() {
                    follower.moved_at = now;
                }
                follower.inflight.push_back((last, bytes));
                follower.next = last + 1;
            }
            self.send_feed(to, (next - 1, epoch), entries);
            is_due = false;
        }
        if is_due && let Some(acked) = self.feeding.followers.get(&to).map(|it| it.acked) {
            // A place that it has for certain, as far as it is known here.
            let epoch = self.epoch_of(acked.min(through)).unwrap_or(0);
            self.send_feed(to, (acked.min(through), epoch), Vec::new());
        }
    }

    /// Up to where entries are passed on.
    fn passed_on_through(&self) -> u64 {
        #[cfg(feature = "sim")]
        if self.is_planted(crate::replication::planted::Plant::UncommittedFeed) {
            return self.raw.raft.raft_log.last_index();
        }
        self.engine.state().sequence()
    }

    fn send_feed(&mut self, to: u64, before: (u64, u64), entries: Vec<raft::eraftpb::Entry>) {
        let fresh = self.stamps.fresh();
        #[cfg(feature = "sim")]
        let fresh = match self.is_planted(crate::replication::planted::Plant::FedHearsay) {
            true => u64::MAX,
            false => fresh,
        };
        let through = self.engine.state().sequence();
        let path = self.source.path();
        let Some(follower) = self.feeding.followers.get_mut(&to) else { return };
        while let Some((mark, stamp)) = follower.stamps.front()
            && *mark < fresh
        {
            follower.vouched = *stamp;
            follower.stamps.pop_front();
        }
        let feed = Feed { path, boot: follower.boot, echo: follower.vouched, through, before, entries };
        self.outbox.push(to, Body::Feed(feed));
    }

    /// The log has let go of what a follower needs: it gets the state.
    fn feed_snapshot(&mut self, to: u64) {
        let view = self.engine.view();
        let sequence = view.sequence();
        let Some(epoch) = self.epoch_of(sequence).filter(|epoch| *epoch > 0) else { return };
        // What has forgotten something may have forgotten who is in the cluster.
        if self.standing != Standing::Active || self.members.sequence > sequence {
            return;
        }
        let outgoing = Outgoing::new(SnapshotId { sequence, epoch }, view, self.members.encode(), self.now);
        self.outbox.push(to, outgoing.offer());
        self.outgoing.insert(to, outgoing);
    }
}
