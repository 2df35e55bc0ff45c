//! Who feeds this node: [`Source`]. The primary does, unless it is a learner that was told of others
//! ([`feed_from`](crate::replication::Options::feed_from)).
//!
//! It asks each of those, and takes the first in the list that shows that it is itself up to date; it tells the primary, which
//! then need not. When nothing new comes from there for `feed_timeout` it is back with the primary at once, and asks the others on.
//! Who is fed by this node, however far away, is not taken: what feeds a node says who feeds that.

use std::collections::BTreeMap;

use raft::eraftpb::{Entry, Message, MessageType};

use super::{Event, Node};
use crate::replication::frame::{Fault, Header};
use crate::replication::message::{Body, Feed, PATH_MAX};
use crate::time::Instant;

/// Who feeds a node, as that knows it.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// `None`: the primary.
    current: Option<u64>,
    /// Who feeds that, and so on.
    above: Vec<u64>,
    /// When it was heard last, and when something new came.
    heard_at: Instant,
    moved_at: Instant,
    /// What was there then: entries, how fresh, pieces of a snapshot.
    had: (u64, u64, u64),
    /// Who is not asked until then.
    avoided: BTreeMap<u64, Instant>,
    ticks: u32,
    followed: bool,
}

impl Source {
    /// Who feeds the node, if that is not the primary.
    pub(super) fn current(&self) -> Option<u64> {
        self.current
    }

    /// All between the primary and the node, the nearest first.
    pub(super) fn path(&self) -> Vec<u64> {
        self.current.into_iter().chain(self.above.iter().copied()).take(PATH_MAX).collect()
    }
}

impl Node {
    /// Whether this node may be fed by others than the primary.
    fn may_be_fed(&self) -> bool {
        // One that is not known yet is to be told by the log that it is.
        let (members, node) = (&self.members, self.identity.node);
        !self.options.feed_from.is_empty() && !members.is_voter(node) && !members.removed.contains(&node)
    }

    /// Time goes on.
    pub(super) fn tick_source(&mut self) {
        if !self.may_be_fed() {
            if self.source.current.is_some() {
                self.set_source(None);
            }
            return;
        }
        let now = self.now.instant;
        let leader = self.raw.raft.leader_id;
        if let Some(current) = self.source.current {
            let pieces = self.incoming.as_ref().map_or(0, |it| it.written());
            let have = (self.raw.raft.raft_log.committed, self.stamps.fresh(), pieces);
            if have != self.source.had {
                (self.source.had, self.source.moved_at) = (have, now);
            }
            let timeout = self.options.feed_timeout;
            let is_lost = self.source.heard_at.min(self.source.moved_at).saturating_add(timeout) <= now;
            if current == leader {
                self.set_source(None);
            } else if is_lost {
                self.lose_source();
            }
        }
        self.source.ticks += 1;
        if self.source.ticks.is_multiple_of(self.options.heartbeat_ticks)
            && let Some(current) = self.source.current
        {
            self.follow(current, current);
        }
        if self.source.ticks >= self.options.election_ticks {
            self.source.ticks = 0;
            self.source.avoided.retain(|_, until| now < *until);
            for node in self.better_sources() {
                self.follow(node, node);
            }
            self.tell_primary();
        }
    }

    /// Those that are better than the one there is.
    fn better_sources(&self) -> Vec<u64> {
        let source = &self.source;
        let better = self.options.feed_from.iter().take_while(|node| source.current != Some(**node));
        let able = better.filter(|node| {
            let is_there = !self.members.removed.contains(node) && **node != self.identity.node;
            is_there && **node != self.raw.raft.leader_id && !source.avoided.contains_key(node)
        });
        able.copied().collect()
    }

    /// Tells the primary who feeds this node.
    fn tell_primary(&mut self) {
        let leader = self.raw.raft.leader_id;
        if leader != 0
            && leader != self.identity.node
            && (self.source.current.is_some() || self.source.followed)
        {
            self.source.followed = self.source.current.is_some();
            self.follow(leader, self.source.current.unwrap_or(0));
        }
    }

    /// Says who feeds this node, and up to where it has what is committed.
    fn follow(&mut self, to: u64, source: u64) {
        let sequence = self.raw.raft.raft_log.committed;
        self.outbox.push(to, Body::Follow { source, sequence });
    }

    fn set_source(&mut self, to: Option<u64>) {
        let now = self.now.instant;
        self.source.current = to;
        self.source.above.clear();
        (self.source.heard_at, self.source.moved_at) = (now, now);
        self.source.followed = true;
        self.tell_primary();
        self.events.push_back(Event::Source { node: to });
    }

    /// Nothing comes from it any more: the primary has to feed this node until another one shows that it can.
    fn lose_source(&mut self) {
        let Some(current) = self.source.current else { return };
        self.avoid(current);
        self.set_source(None);
    }

    /// Does not ask a node for a while. Two that would each be fed by the other do not do so in step.
    fn avoid(&mut self, node: u64) {
        let timeout = self.options.feed_timeout;
        let pause = timeout + timeout * self.rng.below(4) as u32;
        self.source.avoided.insert(node, self.now.instant.saturating_add(pause));
    }

    /// A node cannot be reached.
    pub(super) fn source_unreachable(&mut self, node: u64) {
        if self.source.current == Some(node) {
            self.lose_source();
        }
    }

    /// Committed entries from a node that is not primary, or nothing but that it is there.
    pub(super) fn handle_feed(&mut self, header: &Header, feed: Feed) -> Result<(), Fault> {
        let from = header.from;
        let (epoch, leader) = (header.epoch, header.leader);
        let is_asked = self.options.feed_from.contains(&from) && self.may_be_fed();
        if !is_asked
            || self.is_primary()
            || epoch < self.raw.raft.term
            || leader == 0
            || leader == self.identity.node
        {
            return Ok(());
        }
        if feed.path.contains(&self.identity.node) || feed.path.len() >= PATH_MAX {
            self.avoid(from);
            if self.source.current == Some(from) {
                self.set_source(None);
            }
            return Ok(());
        }
        let Feed { path, boot, echo, through, before, entries } = feed;
        let echo = if boot == self.boot { echo } else { 0 };
        // It is up to date if it was a moment ago.
        let since = Instant::from_nanos(echo).saturating_add(self.options.feed_timeout);
        let is_fresh = echo > 0 && since > self.now.instant;
        if is_fresh && leader != from && self.better_sources().contains(&from) {
            self.set_source(Some(from));
        }
        if self.source.current == Some(from) {
            self.source.heard_at = self.now.instant;
            self.source.above = path;
        }
        let count = entries.len();
        let raft = &mut self.raw.raft;
        if is_fresh && raft.leader_id == 0 && raft.term == epoch {
            // It was not heard of for a while.
            raft.become_follower(epoch, leader);
            self.observe();
        }
        self.take_fed(header, before, entries)?;
        let applied = self.engine.state().sequence();
        self.stamps.vouch(through, echo, applied);
        if count > 0 {
            self.follow(from, from);
        }
        Ok(())
    }

    /// Whether a node that is not primary feeds this one, in the name of one that may be.
    pub(super) fn is_fed_by(&self, header: &Header) -> bool {
        let is_source = self.source.current == Some(header.from);
        let leads = header.leader != 0 && header.leader != self.identity.node;
        self.may_be_fed() && is_source && leads && !self.is_primary()
    }

    /// Gives the library what the primary might have sent.
    fn take_fed(&mut self, header: &Header, before: (u64, u64), entries: Vec<Entry>) -> Result<(), Fault> {
        if entries.is_empty() {
            return Ok(());
        }
        if before.0 > 0 && before.1 == 0 {
            return Err(Fault::Malformed("there is an entry before it that has no epoch"));
        }
        let mut message = Message { term: header.epoch, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        (message.from, message.to) = (header.leader, self.identity.node);
        (message.index, message.log_term) = before;
        message.commit = before.0 + entries.len() as u64;
        message.set_entries(entries.into());
        if !self.survives(header, &message)? {
            return Ok(());
        }
        // The library would leave all of it where it begins before what is committed.
        let has = message.commit.min(self.raw.raft.raft_log.committed);
        if has > before.0 {
            let mut entries = message.take_entries().into_vec();
            entries.drain(..(has - before.0) as usize);
            message.set_entries(entries.into());
            let Some(epoch) = self.epoch_of(has) else { return Ok(()) };
            (message.index, message.log_term) = (has, epoch);
        }
        let fits = self.epoch_of(message.index) == Some(message.log_term);
        if message.entries.is_empty() || !fits {
            // Nothing new; or what comes before is missing: it is sent again.
            return Ok(());
        }
        let _ = self.raw.step(message);
        self.observe();
        self.append_ready();
        Ok(())
    }
}
