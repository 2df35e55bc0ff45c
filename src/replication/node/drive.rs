//! The consensus library: time and messages go in, what it has ready comes out, and becomes records, frames and applied
//! commands.
//!
//! Persistence is asynchronous. What the library wants to be kept is appended to the log at once; messages that speak of it
//! (votes, acknowledgements) leave when the log says that it is durable, in order. A primary's own messages leave at once,
//! and so do answers to its heartbeats, which speak of nothing on disk: a slow disk costs no election.

use raft::eraftpb::{Entry, Message, MessageType};
use raft::{Ready, StateRole};

use super::founding::FOUNDING;
use super::open::Local;
use super::{Change, Event, Node, Standing};
use crate::replication::membership::Membership;
use crate::replication::message::{self, Body, payload};
use crate::store::engine::Now;
use crate::store::engine::replicated::is_command;
use crate::store::index::FETCH_MAX;
use crate::store::log::record::Vote;
use crate::store::log::{self, Epoch, Sequence};

/// The most ticks that are made up for; of a longer pause the rest counts as nothing.
const TICKS_MAX: u32 = 64;

/// What waits until the log is durable that far.
#[derive(Debug)]
pub(super) struct Persisting {
    number: u64,
    ticket: log::Ticket,
    messages: Vec<Message>,
}

impl Node {
    /// Time has come to `now`: ticks that are due come before anything else does, so that what happens now counts as
    /// happening now.
    pub(super) fn pass(&mut self, now: Now) {
        if now.instant < self.now.instant {
            self.now.clock = now.clock;
            return;
        }
        self.now = now;
        let mut ticks = 0;
        while self.next_tick <= now.instant {
            ticks += 1;
            if ticks > TICKS_MAX.max(4 * self.options.election_ticks) {
                self.next_tick = now.instant.saturating_add(self.options.tick);
                break;
            }
            self.next_tick = self.next_tick.saturating_add(self.options.tick);
            self.tick();
        }
        if ticks > 0 {
            self.care();
        }
    }

    fn tick(&mut self) {
        if !self.takes_part() {
            return;
        }
        if self.is_leaving() {
            self.tick_leaving();
            // It asks for no votes, but must see that no primary is heard: before, it gives its own to nobody.
            self.raw.tick();
            self.miss_primary();
            self.observe();
            return;
        }
        self.tick_source();
        self.tick_feeding();
        self.tick_founding();
        let is_primary = self.raw.raft.state == StateRole::Leader;
        // Who may not become primary now does not ask for votes either.
        if !is_primary && !self.may_campaign() {
            return;
        }
        if self.raw.tick() && !is_primary {
            self.attempts += 1;
        }
        self.miss_primary();
        self.observe();
    }

    /// Who has no vote holds no election, and has to see for itself that nobody is primary: nothing came from one, nor from who
    /// is up to date with one, for as long as the longest time before an election.
    fn miss_primary(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.leader_id == 0 || self.members.is_voter(self.identity.node) {
            return;
        }
        let ticks = 2 * self.options.election_ticks;
        let silence = self.options.tick * ticks;
        let is_fresh =
            self.stamps.fresh_since().is_some_and(|at| at.saturating_add(silence) > self.now.instant);
        if raft.election_elapsed >= ticks as usize && !is_fresh {
            raft.become_follower(raft.term, raft::INVALID_ID);
        }
    }

    /// Whether it was taken out, and does not know that the others know. It goes on to vote and to take entries: a crash
    /// may leave the others with no more than that its removal was proposed, and then they need it.
    pub(super) fn is_leaving(&self) -> bool {
        self.members.removed.contains(&self.identity.node) && self.takes_part()
    }

    /// Asks the voters, once in the time of an election, to say that it was taken out.
    fn tick_leaving(&mut self) {
        self.leaving_ticks += 1;
        if self.leaving_ticks >= self.options.election_ticks {
            self.leaving_ticks = 0;
            self.members.voters.iter().for_each(|voter| self.outbox.push(*voter, Body::Ping));
        }
    }

    /// Whether this node may ask for votes: it remembers what it promised, what it has is on disk, and there is room for
    /// the first entry of its reign.
    pub(super) fn may_campaign(&self) -> bool {
        self.may_elect() && self.persisting.is_empty() && self.engine.has_room(4 << 10)
    }

    pub(super) fn campaign(&mut self) {
        if self.may_campaign() && self.raw.campaign().is_ok() {
            self.attempts += 1;
        }
        self.observe();
    }

    /// Has this primary elected anew, in an epoch of its own, since in this one somebody else was told to take over and has
    /// not. It is the one whom the others promised to, so they need not wait.
    pub(super) fn renew(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.raft_log.applied != raft.raft_log.committed {
            return;
        }
        let term = raft.term;
        raft.become_follower(term, raft::INVALID_ID);
        raft.campaign(raft::CAMPAIGN_TRANSFER);
        self.attempts += 1;
        self.observe();
    }

    /// Looks what the library has made of what it was told: role, epoch, primary.
    pub(super) fn observe(&mut self) {
        self.draw();
        let raft = &self.raw.raft;
        let seen = (raft.term, raft.leader_id, raft.state);
        if seen == self.seen {
            return;
        }
        let before = std::mem::replace(&mut self.seen, seen);
        if (before.0, before.1) != (seen.0, seen.1) {
            self.stamps.reset();
        }
        if seen.2 == StateRole::Leader && (before.2 != StateRole::Leader || before.0 != seen.0) {
            self.elected_at = self.now.instant;
            self.reign_from = self.raw.raft.raft_log.last_index();
            self.expiring = None;
            // To whom this node passed entries on as one that was none.
            self.outgoing.clear();
            self.feeding.clear();
            self.room.clear();
        }
        if seen.2 != StateRole::Leader && before.2 == StateRole::Leader {
            self.outgoing.clear();
            self.pace.reset(self.now.instant);
        }
        if matches!(self.standing, Standing::Forgetful { .. }) && seen.1 != 0 && self.raw.raft.vote == 0 {
            // It may have voted in this epoch; it does not do so again.
            self.raw.raft.vote = seen.1;
        }
        self.follow_transfer();
        let (role, primary) = (self.role(), self.primary());
        self.events.push_back(Event::Role { role, epoch: seen.0, primary });
    }

    /// Election timeouts are drawn from our own generator, anew with each epoch, role and attempt.
    pub(super) fn draw(&mut self) {
        let raft = &self.raw.raft;
        let drawn = (raft.term, raft.state, self.attempts);
        if drawn != self.drawn || self.election_ticks == 0 {
            self.drawn = drawn;
            let least = u64::from(self.options.election_ticks);
            self.election_ticks = (least + self.rng.below(least)) as usize;
        }
        self.raw.raft.set_randomized_election_timeout(self.election_ticks);
    }

    /// Does all that follows.
    pub(super) fn drive(&mut self) {
        if !self.takes_part() {
            return;
        }
        self.append_ready();
        self.propose();
        self.care();
        self.append_ready();
        self.engine.publish();
        self.feed_all();
        self.answer_writes();
        self.push_transfer();
        self.answer_reads();
    }

    /// Takes what the library has ready, until it has nothing more.
    pub(super) fn append_ready(&mut self) {
        while self.takes_part() && self.raw.has_ready() {
            let ready = self.raw.ready();
            self.take(ready);
            self.persisted();
        }
    }

    fn take(&mut self, mut ready: Ready) {
        let number = ready.number();
        self.observe();
        let snapshot = ready.snapshot().get_metadata();
        if snapshot.index != 0
            && let Err(error) = self.install(snapshot.index, snapshot.term)
        {
            return self.fail(error);
        }
        if let Err(error) = self.append(&mut ready) {
            return self.fail(error);
        }
        let ticket = self.engine.log().last_ticket();
        let messages = ready.take_messages();
        let later = ready.take_persisted_messages();
        messages.into_iter().for_each(|it| self.send(it));
        let is_early = |it: &Message| it.get_msg_type() == MessageType::MsgHeartbeatResponse;
        #[cfg(feature = "sim")]
        let is_early = |it: &Message| {
            is_early(it) || self.options.planted == Some(crate::replication::planted::Plant::EarlyMessages)
        };
        let (early, later): (Vec<_>, Vec<_>) = later.into_iter().partition(is_early);
        early.into_iter().for_each(|it| self.send(it));
        self.persisting.push_back(Persisting { number, ticket, messages: later });
        let committed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        if let Err(error) = self.apply(&committed) {
            self.fail(error);
        }
    }

    /// Appends what is to be kept.
    fn append(&mut self, ready: &mut Ready) -> crate::error::Result<()> {
        let now = self.now;
        let entries = ready.take_entries();
        if let Some(first) = entries.first() {
            self.engine.note_commit(Sequence(self.engine.state().sequence()), now);
            let last = self.engine.last_sequence();
            if first.index <= last {
                self.superseded(first.index);
                let before = self.raw.store().epoch_of(first.index - 1).unwrap_or(0);
                #[cfg(feature = "sim")]
                if self.is_planted(crate::replication::planted::Plant::KeptSuffix) {
                    return self.append_planted(&entries);
                }
                self.engine.replace_entries(Sequence(first.index), Epoch(before), now)?;
            }
        }
        if let Some(hard) = ready.hs() {
            let vote = Vote { epoch: Epoch(hard.term), node: hard.vote };
            let is_new = vote != self.engine.log().state().vote;
            #[cfg(feature = "sim")]
            let is_new = is_new && !self.is_planted(crate::replication::planted::Plant::ForgottenVote);
            if is_new {
                self.engine.append_vote(vote, now)?;
            }
        }
        for entry in &entries {
            let bytes = payload(entry);
            let appended = self.engine.append_entry(Epoch(entry.term), bytes, now)?;
            assert_eq!(appended.sequence.0, entry.index, "the log and the library count alike");
            self.count_appended(entry.index, bytes.len() as u64);
        }
        self.raw.mut_store().append(&entries);
        Ok(())
    }

    /// What this planted bug does: of entries that replace others only those go into the log that fit behind them.
    #[cfg(feature = "sim")]
    fn append_planted(&mut self, entries: &[Entry]) -> crate::error::Result<()> {
        for entry in entries {
            let last = self.engine.log().state();
            if entry.index == last.last.0 + 1 && Epoch(entry.term) >= last.epoch {
                self.engine.append_entry(Epoch(entry.term), payload(entry), self.now)?;
            }
        }
        self.raw.mut_store().append(entries);
        Ok(())
    }

    /// The log is durable further than before: what speaks of it may leave.
    pub(super) fn persisted(&mut self) {
        let durable = self.engine.log().durable();
        let mut number = None;
        while let Some(first) = self.persisting.front()
            && first.ticket <= durable
        {
            let first = self.persisting.pop_front().expect("there is a first");
            number = Some(first.number);
            first.messages.into_iter().for_each(|it| self.send(it));
        }
        if let Some(number) = number {
            self.raw.on_persist_ready(number);
            // A snapshot counts as applied once it is on disk.
            let (log, applied) = (&self.raw.raft.raft_log, self.engine.state().sequence());
            if log.applied < applied && applied <= log.committed.min(log.persisted) {
                self.raw.advance_apply_to(applied);
            }
        }
        self.answer_local();
        #[cfg(feature = "sim")]
        self.apply_planted();
    }

    /// What this planted bug does: it applies what is on this disk.
    #[cfg(feature = "sim")]
    fn apply_planted(&mut self) {
        if !self.is_planted(crate::replication::planted::Plant::EarlyApply) || !self.is_primary() {
            return;
        }
        let (applied, durable) = (self.engine.state().sequence(), self.engine.durable_sequence());
        let context = raft::GetEntriesContext::empty(false);
        let log = &self.raw.raft.raft_log;
        if applied < durable
            && let Ok(entries) = log.slice(applied + 1, durable + 1, None, context)
        {
            for entry in entries {
                let _ = self.apply_one(&entry);
            }
        }
    }

    /// Applies committed entries.
    fn apply(&mut self, entries: &[Entry]) -> crate::error::Result<()> {
        let Some(last) = entries.last() else { return Ok(()) };
        self.pace.committed(last.index, self.now.instant);
        for group in entries.chunks(FETCH_MAX) {
            self.engine.fetch(group.iter().map(payload));
            for entry in group {
                #[cfg(feature = "sim")]
                if entry.index <= self.engine.state().sequence() {
                    if !is_command(payload(entry)) {
                        self.apply_change(entry);
                    }
                    continue;
                }
                self.apply_one(entry)?;
            }
        }
        self.raw.mut_store().applied(last.index, None);
        self.raw.advance_apply_to(last.index);
        self.stamps.applied(last.index);
        let bytes = self.options.tail_bytes;
        self.raw.mut_store().trim(bytes);
        Ok(())
    }

    fn apply_one(&mut self, entry: &Entry) -> crate::error::Result<()> {
        let bytes = payload(entry);
        let (sequence, epoch) = (entry.index, entry.term);
        let is_change = !bytes.is_empty() && !is_command(bytes);
        if is_change {
            self.apply_change(entry);
        }
        let outcome = self.engine.apply_entry(Sequence(sequence), Epoch(epoch), bytes)?;
        if self.expiring.is_some_and(|(at, _)| at <= sequence) {
            self.expiring = None;
        }
        self.room.applied(self.engine.state(), sequence);
        self.applied(sequence, epoch, outcome, is_change);
        if sequence.is_multiple_of(self.options.hash_interval) {
            self.compare(sequence);
        }
        Ok(())
    }

    /// Takes in a change of the cluster that counts from now on.
    fn apply_change(&mut self, entry: &Entry) {
        // After an opening the membership may be ahead of the state.
        if entry.index <= self.members.sequence {
            return;
        }
        let Ok(change) = Change::decode(payload(entry)) else { return };
        let mut members = self.members.clone();
        match &change {
            Change::Initial { .. } => {
                members.take_initial(entry.index, &change);
                if !self.reconfigure(&members) {
                    return;
                }
            }
            other => {
                let Some(for_raft) = other.for_raft() else { return };
                // One that cannot be is none, on every node alike.
                let Ok(state) = self.raw.apply_conf_change(&for_raft) else { return };
                members.take(entry.index, &change, &state);
            }
        }
        self.members = members;
        if self.raw.raft.state == StateRole::Leader && !self.members.is_voter(self.identity.node) {
            // It became primary while its removal was under way. The library does not survive a primary that is not there.
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, raft::INVALID_ID);
        }
        let conf = self.members.for_raft();
        self.raw.mut_store().applied(entry.index, Some(conf));
        self.observe();
        self.check_readmitted();
        if let Change::Readmit { node, incarnation } = &change
            && self.forgetful.get(node) == Some(incarnation)
        {
            self.forgetful.remove(node);
        }
        self.write_membership();
        self.events.push_back(Event::Members(self.members.clone()));
    }

    /// Writes down who is in the cluster. Where there is no room it is in the entries, where opening looks for it, and in the next
    /// snapshot.
    pub(super) fn write_membership(&mut self) {
        let incarnation = match self.standing {
            Standing::Forgetful { incarnation } => incarnation,
            Standing::Founding => FOUNDING,
            _ => 0,
        };
        let local = Local { incarnation, put_out: self.put_out, membership: self.members.clone() };
        let of_state = self.members.encode();
        let encoded = local.encode();
        self.members_at = match self.engine.has_room_for_membership(encoded.len()) {
            true => self.engine.append_membership(&encoded, &of_state, self.now).ok().map(|it| it.ticket),
            false => None,
        };
        if self.members_at.is_none() {
            self.engine.set_membership(&of_state);
        }
    }

    /// Whether who is in the cluster is written down for good, as this node knows it.
    pub(super) fn are_members_durable(&self) -> bool {
        self.members_at.is_some_and(|at| at <= self.engine.log().durable())
    }

    /// The generation this node is in, once a crash cannot take that back; 0 until then.
    pub fn durable_generation(&self) -> u64 {
        let is_durable =
            self.are_members_durable() && self.members.sequence <= self.engine.durable_sequence();
        if is_durable { self.members.generation } else { 0 }
    }

    /// Tells the library of a membership that has nothing to do with the one before.
    fn reconfigure(&mut self, to: &Membership) -> bool {
        use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
        let single = |node, kind| {
            let mut single = ConfChangeSingle { node_id: node, ..ConfChangeSingle::default() };
            single.set_change_type(kind);
            single
        };
        let kind = |node| {
            if to.voters.contains(&node) { ConfChangeType::AddNode } else { ConfChangeType::AddLearnerNode }
        };
        let mut changes: Vec<_> =
            to.voters.iter().chain(&to.learners).map(|it| single(*it, kind(*it))).collect();
        if self.members.voters.is_empty() {
            // A first one is made voter by voter.
            for change in changes {
                let mut one = ConfChangeV2::default();
                one.set_changes(vec![change].into());
                if self.raw.apply_conf_change(&one).is_err() {
                    return false;
                }
            }
            return true;
        }
        let gone = self.members.nodes().filter(|node| !to.nodes().any(|it| it == *node));
        changes.extend(gone.map(|node| single(node, ConfChangeType::RemoveNode)));
        let leave = ConfChangeV2::default();
        if self.members.is_joint() && self.raw.apply_conf_change(&leave).is_err() {
            return false;
        }
        let mut all = ConfChangeV2::default();
        all.set_transition(ConfChangeTransition::Explicit);
        all.set_changes(changes.into());
        self.raw.apply_conf_change(&all).is_ok() && self.raw.apply_conf_change(&leave).is_ok()
    }

    /// Sends a message of the library.
    fn send(&mut self, message: Message) {
        let kind = message.get_msg_type();
        if matches!(kind, MessageType::MsgAppend | MessageType::MsgSnapshot)
            && self.members.learners.contains(&message.to)
            && self.feeding.is_elsewhere(message.to, self.now.instant)
        {
            return;
        }
        if kind == MessageType::MsgAppend {
            let (long, patience) = (self.options.message_bytes, self.options.promise());
            if !self.long_entries.may_send(&message, long, patience, self.now.instant) {
                return;
            }
        }
        match kind {
            MessageType::MsgSnapshot => self.send_snapshot(message),
            MessageType::MsgTimeoutNow => {
                self.stamps.void();
                self.outbox.push(message.to, Body::Consensus(message));
            }
            _ if message::is_sent(&message) => self.outbox.push(message.to, Body::Consensus(message)),
            _ => {}
        }
    }
}
