//! Frames: which are believed, and what each does. What the consensus library would not survive does not get to it.

use std::collections::VecDeque;
use std::time::Duration;

use raft::StateRole;
use raft::eraftpb::{EntryType, Message, MessageType};

use super::{Event, Fence, Node, Standing};
use crate::replication::frame::{self, Fault, Header};
use crate::replication::message::{Body, Verdict, payload};
use crate::store::engine::Now;
use crate::time::Instant;

/// How many earlier processes of a node are known.
const RETIRED_MAX: usize = 8;
/// After so many frames of an earlier process that were sent long after others of it that came too late, two run at once.
const LATE_MAX: u32 = 16;
/// How long after: what is only late was sent before the other process began, and within the time that a frame may be on
/// its way.
const LATE_NANOS: u64 = 5_000_000_000;
/// A process that was not heard for so long does not run beside another one that is.
const SILENT: Duration = Duration::from_secs(2);

/// What is known of another node's process.
#[derive(Debug, Default)]
pub(super) struct Process {
    boot: u64,
    pub(super) heard_at: Instant,
    /// Earlier ones, and the lowest stamp each had since a later one was heard.
    retired: VecDeque<(u64, u64)>,
    /// Frames of those that were sent when they should not run any more.
    late: u32,
}

impl Node {
    /// Takes a frame in: all of `bytes` is one.
    ///
    /// # Errors
    ///
    /// Why it was not taken. The connection it came by is of no more use after `Cut`, `TooLong`, `Damaged`, `Newer`,
    /// `OtherCluster`, `NotForUs`; after others it may be kept.
    pub fn handle_frame(&mut self, bytes: &[u8], now: Now) -> Result<(), Fault> {
        self.pass(now);
        let (header, body) = frame::decode(bytes)?;
        self.admit(&header, &body)?;
        self.hear_of_founding(&header);
        if !self.takes_part() {
            return Ok(());
        }
        match body {
            Body::Consensus(message) => self.handle_consensus(&header, message)?,
            Body::Offer { id, clock_ms, membership } => {
                self.handle_offer(&header, id, clock_ms, &membership)?
            }
            Body::Piece { id, number, is_last, bytes } => {
                self.handle_piece(&header, id, number, is_last, bytes)
            }
            Body::Want { id, next } => self.handle_want(&header, id, next),
            Body::Hash { sequence, state, membership } => {
                self.handle_hash(header.from, sequence, (state, membership));
            }
            Body::Told { verdict, boot, generation } => {
                self.handle_told(header.from, verdict, boot, generation)
            }
            Body::Ping => {}
            Body::Follow { source, sequence } => self.handle_follow(&header, source, sequence),
            Body::Feed(feed) => self.handle_feed(&header, feed)?,
            Body::Whole => self.handle_whole(&header),
        }
        self.take_stamps(&header);
        Ok(())
    }

    /// Whether a frame is from where it should be.
    fn admit(&mut self, header: &Header, body: &Body) -> Result<(), Fault> {
        let from = header.from;
        if header.cluster != self.identity.cluster {
            return Err(Fault::OtherCluster { cluster: header.cluster });
        }
        if header.to != self.identity.node || from == self.identity.node {
            return Err(Fault::NotForUs { to: header.to });
        }
        if let Body::Told { .. } = body {
            return Ok(());
        }
        let process = self.processes.entry(from).or_default();
        if process.boot != header.boot {
            if let Some(at) = process.retired.iter().position(|(boot, _)| *boot == header.boot) {
                let least = &mut process.retired[at].1;
                *least = header.stamp.min(*least);
                let is_alive = header.stamp > least.saturating_add(LATE_NANOS);
                let is_alone = process.heard_at.saturating_add(SILENT) <= self.now.instant;
                if !is_alive || !is_alone {
                    return self.refuse_retired(header, is_alive);
                }
                // What was taken for the later one was an earlier one, of which a frame came late.
                process.retired.remove(at);
            }
            let before = std::mem::replace(process, Process { boot: header.boot, ..Process::default() });
            process.retired = before.retired;
            self.stamps.forget(from);
            if before.boot != 0 {
                process.retired.push_back((before.boot, u64::MAX));
            }
            if process.retired.len() > RETIRED_MAX {
                process.retired.pop_front();
            }
        }
        process.heard_at = self.now.instant;
        let is_old = (1..self.members.generation).contains(&header.generation);
        if self.members.removed.contains(&from) && !is_old {
            // What a crash may take back is not told, nor is what the voters may not know for good: whoever was removed may not know
            // that this one has no vote.
            if self.are_members_durable() && self.members.is_voter(self.identity.node) {
                self.tell(header, Verdict::Removed);
            }
            return Err(Fault::Removed { from });
        }
        if is_old && !self.members.nodes().any(|node| node == from) {
            if header.generation < self.durable_generation() {
                self.tell(header, Verdict::OldGeneration);
            }
            return Err(Fault::OldGeneration { from, generation: header.generation });
        }
        if header.forgot != 0 {
            self.note_forgetful(from, header.forgot);
        }
        if header.generation > self.members.generation && self.members.is_voter(self.identity.node) {
            return self.handle_newer_generation(header, body);
        }
        Ok(())
    }

    /// Another node was promoted by force, and this one had a vote before: it is out, with all that it has. One whose promotion the
    /// promoted node had not applied is a learner there, so that one sends it entries. Where its whole log goes on there nothing of
    /// what it has answered for is lost, and it follows, as one that has forgotten what it promised: it votes for nobody until it is
    /// taken in again.
    ///
    /// What says nothing of a log proves nothing, and is not taken in: who takes this node for a learner sends it entries before long, and
    /// who does not tells it so.
    fn handle_newer_generation(&mut self, header: &Header, body: &Body) -> Result<(), Fault> {
        let may_follow = !self.is_alone() && self.raw.raft.state != StateRole::Leader;
        let ignored = Err(Fault::NewGeneration { from: header.from, generation: header.generation });
        let follows = match body {
            Body::Ping | Body::Hash { .. } if may_follow => return Ok(()),
            Body::Follow { .. } | Body::Want { .. } | Body::Feed(_) if may_follow => return ignored,
            Body::Consensus(message) if may_follow => match message.get_msg_type() {
                MessageType::MsgAppend | MessageType::MsgHeartbeat => self.goes_on_in(message),
                _ => return ignored,
            },
            _ => false,
        };
        if follows {
            self.forget();
        } else {
            self.fence(Fence::OldGeneration { generation: header.generation });
        }
        Ok(())
    }

    /// Whether a message is of a primary whose log, as far as it tells, has all that this node's has.
    fn goes_on_in(&self, message: &Message) -> bool {
        if message.term < self.raw.raft.term {
            return false;
        }
        let is_other = |sequence, epoch| {
            let there = self.epoch_of(sequence).filter(|it| *it != 0);
            there.is_some_and(|it| it != epoch)
        };
        match message.get_msg_type() {
            MessageType::MsgHeartbeat => true,
            MessageType::MsgAppend => {
                !is_other(message.index, message.log_term)
                    && !message.entries.iter().any(|it| is_other(it.index, it.term))
            }
            _ => false,
        }
    }

    fn refuse_retired(&mut self, header: &Header, is_alive: bool) -> Result<(), Fault> {
        let from = header.from;
        let process = self.processes.entry(from).or_default();
        process.late += u32::from(is_alive);
        if process.late == LATE_MAX && is_alive {
            self.events.push_back(Event::TwoProcesses { node: from });
        }
        if process.late >= LATE_MAX && is_alive {
            self.tell(header, Verdict::Retired);
        }
        Err(Fault::Retired { from })
    }

    fn tell(&mut self, header: &Header, verdict: Verdict) {
        let generation = self.members.generation;
        self.outbox.push(header.from, Body::Told { verdict, boot: header.boot, generation });
    }

    fn handle_told(&mut self, from: u64, verdict: Verdict, boot: u64, generation: u64) {
        // What was said to an earlier process is none of this one's business.
        if boot != self.boot {
            return;
        }
        match verdict {
            Verdict::Removed => {
                // Only then can the others do without it: most of those that vote know, and will after a crash.
                if self.tellers.insert(from) && !self.is_leaving() {
                    // It was not told by the log, so it asks.
                    let voters = self.members.voters.iter().filter(|it| **it != self.identity.node);
                    voters.for_each(|voter| self.outbox.push(*voter, Body::Ping));
                }
                let others = self.members.voters.iter().filter(|it| **it != self.identity.node).count();
                let tellers = self.tellers.difference(&self.members.learners).count();
                if 2 * tellers > others {
                    self.fence(Fence::Removed);
                }
            }
            Verdict::OldGeneration if generation > self.members.generation => {
                self.fence(Fence::OldGeneration { generation });
            }
            Verdict::OldGeneration => {}
            Verdict::Retired => self.fence(Fence::Retired),
        }
    }

    /// Another node of `cluster` does not take this one's link, since a promotion by force put it out: `generation` counts
    /// there. That is what a frame of it would say, and does as much; one that is not later than this node's own is
    /// ignored.
    pub fn handle_put_out(&mut self, cluster: [u8; 16], generation: u64, now: Now) {
        self.pass(now);
        let own = self.members.generation;
        if cluster == self.identity.cluster && own > 0 && generation > own {
            self.fence(Fence::OldGeneration { generation });
        }
    }

    /// The stamps of a frame, once it has done what it does.
    fn take_stamps(&mut self, header: &Header) {
        if header.forgot == 0 {
            self.flagged.remove(&header.from);
        } else {
            self.flagged.insert(header.from);
        }
        let raft = &self.raw.raft;
        if header.epoch != raft.term {
            return;
        }
        if self.is_primary() && header.leader == self.identity.node {
            self.stamps.hear(header.from, header.stamp);
            if header.forgot == 0 {
                self.stamps.take_echo(header.from, header.echo);
            }
        } else if raft.leader_id == header.from && header.leader == header.from && header.attest > 0 {
            let applied = self.engine.state().sequence();
            let echo = header.echo;
            #[cfg(feature = "sim")]
            let echo = match self.is_planted(crate::replication::planted::Plant::FreshByHearsay) {
                true => self.stamps.next(self.now.instant),
                false => echo,
            };
            self.stamps.vouch(header.attest - 1, echo, applied);
        }
    }

    fn handle_consensus(&mut self, header: &Header, mut message: Message) -> Result<(), Fault> {
        message.from = header.from;
        message.to = self.identity.node;
        let kind = message.get_msg_type();
        if matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgTimeoutNow) {
            self.check_may_lead(header)?;
        }
        if kind == MessageType::MsgAppendResponse {
            self.long_entries.answered(&message);
        }
        let renews = matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat);
        if !self.survives(header, &message)? {
            return Ok(());
        }
        let term = message.term;
        let _ = self.raw.step(message);
        self.observe();
        let raft = &self.raw.raft;
        let follows = raft.state == StateRole::Follower && raft.leader_id == header.from;
        if renews && follows && raft.term == term && header.epoch == term {
            // The promise to elect nobody else begins anew here.
            self.stamps.hear(header.from, header.stamp);
        }
        self.append_ready();
        Ok(())
    }

    /// Whether what a primary says may be taken from this one. Where this node alone votes nobody else can be primary: whoever
    /// is, is another cluster's.
    pub(super) fn check_may_lead(&self, header: &Header) -> Result<(), Fault> {
        if self.is_alone() && !self.may_have_voters_to_come() {
            return Err(Fault::Stranger { from: header.from });
        }
        Ok(())
    }

    /// Whether something of what is not known to be committed may say who votes.
    fn may_have_voters_to_come(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        let (from, end) = (log.committed + 1, log.last_index() + 1);
        if from >= end {
            return false;
        }
        let tail = log.slice(from, end, None, raft::GetEntriesContext::empty(false));
        let is_change = |entry: &raft::eraftpb::Entry| entry.get_entry_type() != EntryType::EntryNormal;
        tail.map_or(true, |entries| entries.iter().any(is_change))
    }

    /// Whether the library may be given a message. `Err`: it cannot be, and says something about its sender.
    pub(super) fn survives(&mut self, header: &Header, message: &Message) -> Result<bool, Fault> {
        let from = header.from;
        let (last, committed) = (self.raw.raft.raft_log.last_index(), self.raw.raft.raft_log.committed);
        let (epoch, leader) = (self.raw.raft.term, self.raw.raft.leader_id);
        let is_current = message.term >= epoch;
        let bytes: u64 = message.entries.iter().map(|it| payload(it).len() as u64 + 64).sum();
        let kind = message.get_msg_type();
        // What comes of it may have to be written down. A summons waits for room.
        if kind != MessageType::MsgTimeoutNow && !self.engine.has_room(bytes + (4 << 10)) {
            return Ok(false);
        }
        let is_voter = self.members.is_voter(from);
        if header.forgot != 0 {
            let is_taken_in = self.members.readmitted.get(&from) == Some(&header.forgot);
            if self.forgetful.contains_key(&from) || (is_voter && !is_taken_in) {
                // What it says it has is not yet to be counted on.
                let counts =
                    matches!(kind, MessageType::MsgAppendResponse | MessageType::MsgRequestVoteResponse);
                if counts || kind == MessageType::MsgHeartbeatResponse {
                    return Ok(false);
                }
            }
        }
        match kind {
            MessageType::MsgAppend if is_current => {
                if message.index > 0 && message.log_term == 0 {
                    return Err(Fault::Malformed("there is an entry before it that has no epoch"));
                }
                if self.has_doubtful_beginning() {
                    self.outbox.push(header.leader, Body::Whole);
                    return Ok(false);
                }
                let conflict = message.entries.iter().find(|it| {
                    it.index <= committed
                        && self.epoch_of(it.index).is_some_and(|epoch| epoch != 0 && epoch != it.term)
                });
                let before = message.index;
                let differs = before > 0
                    && before <= committed
                    && self.epoch_of(before).is_some_and(|epoch| epoch != 0 && epoch != message.log_term);
                if let Some(sequence) = conflict.map(|it| it.index).or(differs.then_some(before)) {
                    self.fence(Fence::Diverged { sequence, from });
                    return Err(Fault::Diverged { from, sequence });
                }
                Ok(true)
            }
            MessageType::MsgHeartbeat if is_current && message.commit > last => {
                // It was told that this node has more than it has.
                self.forget();
                // It learns of it by this.
                self.outbox.push(from, Body::Ping);
                Ok(false)
            }
            MessageType::MsgAppendResponse if message.term == epoch && self.is_primary() => {
                if message.index > last && !message.reject {
                    return Err(Fault::Malformed("it acknowledges an entry that there is not"));
                }
                Ok(true)
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                let is_transfer = !message.context.is_empty();
                let may_vote = self.may_elect();
                Ok(may_vote && (is_transfer || self.votes_from <= self.now.instant))
            }
            MessageType::MsgTimeoutNow if leader == from && !self.may_campaign() && self.may_elect() => {
                self.take_summons(message.clone());
                Ok(false)
            }
            MessageType::MsgTimeoutNow => Ok(leader == from && self.may_campaign()),
            _ => Ok(true),
        }
    }

    /// This node has found that it has forgotten something.
    pub(super) fn forget(&mut self) {
        if !matches!(self.standing, Standing::Active | Standing::Founding) || self.is_alone() {
            return;
        }
        #[cfg(feature = "sim")]
        if self.is_planted(crate::replication::planted::Plant::TrustedCopy) {
            return;
        }
        self.standing = Standing::Forgetful { incarnation: self.boot };
        self.write_membership();
        self.events.push_back(Event::Forgetful);
    }

    /// Another one says that it has.
    fn note_forgetful(&mut self, node: u64, incarnation: u64) {
        if self.members.readmitted.get(&node) == Some(&incarnation)
            || self.forgetful.get(&node) == Some(&incarnation)
        {
            return;
        }
        self.forgetful.insert(node, incarnation);
        let last = self.raw.raft.raft_log.last_index();
        if self.is_primary()
            && let Some(progress) = self.raw.raft.mut_prs().get_mut(node)
        {
            // What it had acknowledged it may not have.
            progress.matched = 0;
            progress.become_probe();
            progress.next_idx = last + 1;
        }
    }
}
