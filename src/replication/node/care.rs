//! What is due now and then: ending what took too long, what a primary does by itself, holding states against each other.

use raft::eraftpb::Entry;
use xxhash_rust::xxh3::xxh3_64;

use super::{Change, Event, Fence, Node};
use crate::error::Error;
use crate::replication::hashes::Hash;
use crate::replication::message::Body;
use crate::time::Instant;

impl Node {
    /// Does what is due.
    pub(super) fn care(&mut self) {
        if !self.takes_part() {
            return;
        }
        self.end_late();
        if self.members_at.is_none() && self.engine.has_room(4 << 10) {
            self.write_membership();
        }
        self.follow_transfer();
        self.follow_summons();
        self.follow_snapshots();
        self.keep();
        if self.is_primary() {
            if self.is_settled() {
                self.change_own();
                self.expire();
                self.hand_over();
            }
            self.push_transfer();
            if self.stamps.is_void() && !self.is_handing_over() {
                self.renew();
            }
        }
    }

    /// Changes of the cluster that the primary makes by itself: one after the other.
    fn change_own(&mut self) {
        if self.raw.raft.has_pending_conf() || self.is_handing_over() {
            return;
        }
        if self.members.is_joint() {
            if self.members.voters.contains(&self.identity.node) {
                let _ = self.propose_change(&Change::Leave, None);
            } else {
                // Who is on its way out does not end it: once it had, nobody else might know that they need it no more.
                self.hand_to_successor();
            }
            return;
        }
        let known = |node: &u64| self.members.nodes().any(|it| it == *node);
        let is_open = |(node, incarnation): &(&u64, &u64)| {
            known(node) && self.members.readmitted.get(node) != Some(incarnation)
        };
        if let Some((node, incarnation)) = self.forgetful.iter().find(is_open) {
            let change = Change::Readmit { node: *node, incarnation: *incarnation };
            let _ = self.propose_change(&change, None);
            return;
        }
        let returned = self.members.returning.iter().find(|node| {
            self.members.learners.contains(node) && self.has_caught_up(**node) && self.is_heard(**node)
        });
        if let Some(node) = returned.copied() {
            let _ = self.propose_change(&Change::Promote { node }, None);
        }
    }

    /// Proposes what takes out what has expired, by the primary's clock.
    fn expire(&mut self) {
        if self.expiring.is_some() || self.is_handing_over() || !self.holds_lease(self.now.instant) {
            return;
        }
        if self.engine.expiry_due(self.now).is_none_or(|at| at > self.now.instant) {
            return;
        }
        let Some(payload) = self.engine.expiry(self.now) else { return };
        let entry = Entry { data: payload.into(), ..Entry::default() };
        let epoch = self.raw.raft.term;
        let Some(sequence) = self.propose_own(entry.clone()) else { return };
        self.expiring = Some((sequence, epoch));
        self.engine.note_expiry();
        self.room.push(sequence, 0, entry);
    }

    /// Hands over to the one that has most of those that stay voters.
    fn hand_to_successor(&mut self) {
        // One that was ordered may be to a node that does not answer.
        if self.transfer.as_ref().is_some_and(|it| !it.is_ordered()) {
            return;
        }
        let prs = self.raw.raft.prs();
        let staying = self.members.voters.iter().filter(|it| self.has_caught_up(**it));
        let able = staying.filter_map(|it| Some((prs.get(*it)?, *it)));
        let able = able.filter(|(progress, _)| progress.recent_active);
        if let Some((_, to)) = able.map(|(progress, it)| (progress.matched, it)).max() {
            self.begin_own_transfer(to);
        }
    }

    /// A primary whose disk is slow, or cannot make the next segment, hands over to the one that has most, once in a while. Where
    /// it is only `disk_bytes_max` that is reached, a snapshot makes room.
    fn hand_over(&mut self) {
        let now = self.now.instant;
        let is_late = |since: Instant, most| since.saturating_add(most) <= now;
        let is_slow =
            self.options.slow_flush.zip(self.flush_since).is_some_and(|(most, it)| is_late(it, most));
        let is_full = matches!(self.engine.problem(), Some(Error::Io { .. }));
        if !(is_slow || is_full) || now < self.hands_over_from || self.transfer.is_some() {
            return;
        }
        let committed = self.raw.raft.raft_log.committed;
        let prs = self.raw.raft.prs();
        let others = self.members.voters.iter().filter(|it| **it != self.identity.node);
        let able = others.filter_map(|it| Some((prs.get(*it)?, *it))).filter(|(progress, it)| {
            progress.recent_active && progress.matched >= committed && !self.forgetful.contains_key(it)
        });
        let Some((_, to)) = able.map(|(progress, it)| (progress.matched, it)).max() else { return };
        self.hands_over_from = now.saturating_add(self.options.handover_pause);
        if is_slow {
            self.events.push_back(Event::SlowDisk { to });
        }
        self.begin_own_transfer(to);
    }

    /// A point has come at which nodes say what they have come to.
    pub(super) fn compare(&mut self, sequence: u64) {
        // After an opening it may be ahead of the state.
        let is_known = self.members.sequence <= sequence;
        let membership = if is_known { xxh3_64(&self.members.encode()) } else { 0 };
        let hash = (self.engine.state().hash(), membership);
        for to in self.members.nodes().filter(|it| *it != self.identity.node) {
            self.outbox.push(to, Body::Hash { sequence, state: hash.0, membership });
        }
        self.handle_hash(self.identity.node, sequence, hash);
    }

    /// A node has come to this.
    pub(super) fn handle_hash(&mut self, node: u64, sequence: u64, hash: Hash) {
        for differs in self.hashes.take(sequence, node, hash, &self.members) {
            self.events.push_back(Event::Differs { node: differs, sequence });
            if differs == self.identity.node {
                self.fence(Fence::Differs { sequence });
            }
        }
    }
}
