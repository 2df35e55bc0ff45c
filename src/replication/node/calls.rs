//! Who waits for what: writes until they are as safe as was asked, reads until what they see is as fresh as was asked,
//! changes of the cluster, a handover.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use super::{Change, Fence, Node, Standing};
use crate::error::{Error, Result as StoreResult};
use crate::store::engine::{Durability, Now};
use crate::store::index::{Command, Outcome, Timestamp};
use crate::time::Instant;

/// What a caller waits for; given once in the life of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How safe a write is to be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// It is in the primary's memory: answered at once, not seen by anybody yet, and gone with the primary perhaps.
    Memory,
    /// It is on the primary's disk: not seen by anybody yet, and gone if another becomes primary without it.
    Local,
    /// It is on the disks of a quorum, and seen: it stays.
    Quorum,
    /// Beside that, it is on the disks of so many nodes, learners among them.
    AtLeast(u32),
    /// Beside that, it is on the disks of all voters.
    All,
}

impl From<Durability> for Level {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Memory => Level::Memory,
            Durability::Local => Level::Local,
            Durability::Quorum => Level::Quorum,
            Durability::All => Level::All,
        }
    }
}

/// How safe a write was when it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// As the store names it.
    pub durability: Durability,
    /// On how many nodes' disks it is known to be, this one's among them.
    pub nodes: u32,
    /// It is less than was asked for: those who lack it did not answer in time.
    pub is_degraded: bool,
}

/// A place in the log: what a client carries along to see its own writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The epoch it was written in.
    pub epoch: u64,
    /// The sequence.
    pub sequence: u64,
}

/// A write that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What came of it; `None` when it was answered before it was applied: at `memory` and `local`.
    pub outcome: Option<Outcome>,
    /// Where it is.
    pub position: Position,
    /// How safe it is.
    pub reached: Reached,
}

/// A read that may be done: on any view from [`Node::reader`] taken from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Views have all up to this.
    pub sequence: u64,
    /// By which what has expired is told: the time in the log, the same on all nodes.
    pub time: Timestamp,
}

/// What a replica's read asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// How old what it sees may be; `None`: as old as it likes.
    pub age: Option<Duration>,
    /// What it has to see.
    pub token: Option<Position>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of a write.
    Written(Done),
    /// Of a read.
    Read(Granted),
    /// A change of the cluster is committed and counts.
    Changed(Position),
    /// The other one is primary.
    HandedOver,
}

/// Why a call came to nothing, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// This node is not primary: nothing was done. For the reads of a replica: it is not as fresh as was asked.
    NotPrimary {
        /// Who is, as far as is known.
        primary: Option<u64>,
    },
    /// This primary does not hold its quorum: nothing was done.
    NoQuorum,
    /// Something else of its kind is under way: nothing was done.
    Busy(&'static str),
    /// It asks for what cannot be: nothing was done.
    Refused(Error),
    /// Another primary's entries took the place of it: it was not done, and will not be.
    Superseded,
    /// Whether it was or will be done is not known here: to be asked again, with the same client and number.
    Unknown,
    /// Its time is over; as `Unknown`.
    TimedOut,
    /// What the token speaks of was lost with a primary: it had been answered at `memory` or `local`.
    Lost,
    /// This node takes no part any more.
    Fenced(Fence),
}

/// What came of a call, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Whose.
    pub ticket: Ticket,
    /// What came of it.
    pub result: Result<Answer, Denied>,
}

/// A write that is not in the log yet.
#[derive(Debug)]
struct Proposal {
    ticket: Ticket,
    payload: Vec<u8>,
    level: Level,
    deadline: Option<Instant>,
}

/// A write that is in the log.
#[derive(Debug)]
struct Write {
    ticket: Ticket,
    epoch: u64,
    level: Level,
    deadline: Option<Instant>,
    is_change: bool,
    /// Once it is applied: what came of it, and since when.
    applied: Option<(Option<Outcome>, Instant)>,
}

/// A read of the primary.
#[derive(Debug)]
struct Read {
    ticket: Ticket,
    stamp: u64,
    /// What it has to see; `None` until that is known.
    sequence: Option<u64>,
    deadline: Option<Instant>,
}

/// A read of a replica.
#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    bound: Bound,
    deadline: Option<Instant>,
}

/// A handover.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) to: u64,
    ticket: Option<Ticket>,
    deadline: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    tickets: u64,
    proposals: VecDeque<Proposal>,
    proposed_bytes: u64,
    /// By sequence, not applied yet.
    writes: BTreeMap<u64, Write>,
    /// By sequence, applied, waiting for more nodes.
    spreading: BTreeMap<u64, Write>,
    reads: VecDeque<Read>,
    waiters: VecDeque<Waiter>,
    completions: VecDeque<Completion>,
}

impl Calls {
    fn next(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn complete(&mut self, ticket: Ticket, result: Result<Answer, Denied>) {
        self.completions.push_back(Completion { ticket, result });
    }

    /// Writes that are not in the log yet.
    pub(super) fn proposed(&self) -> usize {
        self.proposals.len()
    }

    fn count(&self) -> usize {
        let writes = self.proposals.len() + self.writes.len() + self.spreading.len();
        writes + self.reads.len() + self.waiters.len()
    }

    /// Ends all: nothing more will come of them here.
    pub(super) fn end_all(&mut self, why: &Denied) {
        let proposals = std::mem::take(&mut self.proposals).into_iter().map(|it| it.ticket);
        let reads = std::mem::take(&mut self.reads).into_iter().map(|it| it.ticket);
        let waiters = std::mem::take(&mut self.waiters).into_iter().map(|it| it.ticket);
        let mut ended: Vec<_> = proposals.chain(reads).chain(waiters).map(|it| (it, why.clone())).collect();
        for write in std::mem::take(&mut self.writes)
            .into_values()
            .chain(std::mem::take(&mut self.spreading).into_values())
        {
            ended.push((write.ticket, Denied::Unknown));
        }
        self.proposed_bytes = 0;
        for (ticket, why) in ended {
            self.complete(ticket, Err(why));
        }
    }
}

impl Node {
    /// Takes a command, to be done when it is committed; [`Node::poll_completion`] gives its ticket back. Its time is
    /// replaced by the primary's.
    ///
    /// - `level`: how safe it is to be before it is answered; `None`: the store's default.
    /// - `deadline`: when to give up waiting; `None`: never. What is in the log by then may still be done.
    ///
    /// A request that comes again, with the same client and number, is done once, whichever node was primary.
    ///
    /// # Errors
    ///
    /// Nothing was done then, and there is no ticket.
    pub fn submit(
        &mut self,
        command: &Command<'_>,
        level: Option<Level>,
        deadline: Option<Instant>,
        now: Now,
    ) -> Result<Ticket, Denied> {
        self.pass(now);
        self.check_primary(now)?;
        self.check_waiting()?;
        let most = self.options.uncommitted_bytes_max;
        if self.calls.proposed_bytes >= most {
            return Err(refused(Error::Capacity { what: "uncommitted_bytes_max", limit: most }));
        }
        if let Some(problem) = self.engine.problem() {
            return Err(refused(problem.clone()));
        }
        #[cfg(feature = "sim")]
        let command = &if self.is_planted(super::super::planted::Plant::DoneTwice) {
            Command { request: None, ..command.clone() }
        } else {
            command.clone()
        };
        let payload = self.engine.encode_command(command, now).map_err(refused)?;
        let ticket = self.calls.next();
        let level = level.unwrap_or_else(|| self.engine.options().durability.into());
        self.calls.proposed_bytes += payload.len() as u64;
        self.calls.proposals.push_back(Proposal { ticket, payload, level, deadline });
        Ok(ticket)
    }

    /// Asks to read what is true now: every write that was answered at `quorum` before is seen. While the primary holds its
    /// lease that is at once, otherwise when a quorum has answered.
    ///
    /// # Errors
    ///
    /// `NotPrimary` and the like; there is no ticket then.
    pub fn read(&mut self, deadline: Option<Instant>, now: Now) -> Result<Ticket, Denied> {
        self.pass(now);
        if !self.is_primary() {
            return Err(self.not_primary());
        }
        self.check_waiting()?;
        let ticket = self.calls.next();
        let stamp = self.stamps.next(now.instant);
        let sequence = self.raw.raft.commit_to_current_term().then_some(self.raw.raft.raft_log.committed);
        if !self.holds_lease(now.instant) {
            // Do not wait for the next heartbeat.
            self.raw.ping();
        }
        self.calls.reads.push_back(Read { ticket, stamp, sequence, deadline });
        self.answer_reads();
        Ok(ticket)
    }

    /// Asks to read here, whatever this node is, as soon as what is here is as fresh as `bound` asks. Without a deadline it is
    /// not waited for; when it is over, the answer is `NotPrimary`, and to whom to go.
    ///
    /// # Errors
    ///
    /// `Fenced`, `Refused` when too many wait.
    pub fn read_here(&mut self, bound: Bound, deadline: Option<Instant>, now: Now) -> Result<Ticket, Denied> {
        self.pass(now);
        self.check_standing()?;
        self.check_waiting()?;
        let ticket = self.calls.next();
        self.calls.waiters.push_back(Waiter { ticket, bound, deadline: deadline.or(Some(now.instant)) });
        self.answer_reads();
        Ok(ticket)
    }

    /// Changes who is in the cluster: one change at a time.
    ///
    /// # Errors
    ///
    /// `Busy` while another change is under way, `Refused` for one that cannot be, `NotPrimary` and the like. A primary is
    /// not removed: hand over before.
    pub fn change(&mut self, change: &Change, deadline: Option<Instant>, now: Now) -> Result<Ticket, Denied> {
        self.pass(now);
        self.check_primary(now)?;
        self.check_waiting()?;
        self.check_change(change).map_err(refused)?;
        if self.raw.raft.has_pending_conf() || self.members.is_joint() || !self.is_settled() {
            return Err(Denied::Busy("a change of the cluster"));
        }
        let ticket = self.calls.next();
        self.propose_change(change, Some((ticket, deadline)))?;
        Ok(ticket)
    }

    /// Hands over to another voter, which waits until that has all of the log; writes are refused meanwhile. Called off when
    /// it takes longer than `transfer_timeout`.
    ///
    /// # Errors
    ///
    /// `Refused` for a node that has no vote, `Busy` while another handover is under way, `NotPrimary`.
    pub fn transfer(&mut self, to: u64, now: Now) -> Result<Ticket, Denied> {
        self.pass(now);
        self.check_primary(now)?;
        if to == self.identity.node || !self.members.voters.contains(&to) {
            let why = format!("node {to} is none to hand over to: it has no vote, or is primary already");
            return Err(refused(Error::invalid("node", why)));
        }
        if self.transfer.is_some() {
            return Err(Denied::Busy("a handover"));
        }
        let ticket = self.calls.next();
        self.begin_transfer(to, Some(ticket));
        Ok(ticket)
    }

    /// Calls a handover off, if one is under way. It may have happened all the same.
    pub fn abort_transfer(&mut self) {
        self.end_transfer(Denied::Busy("a handover that was called off"));
    }

    /// The oldest answer not yet taken. What it is about is seen by then, where it says so.
    pub fn poll_completion(&mut self) -> Option<Completion> {
        self.calls.completions.pop_front()
    }

    pub(super) fn begin_transfer(&mut self, to: u64, ticket: Option<Ticket>) {
        let deadline = self.now.instant.saturating_add(self.options.transfer_timeout);
        self.transfer = Some(Transfer { to, ticket, deadline });
        self.raw.transfer_leader(to);
    }

    fn end_transfer(&mut self, why: Denied) {
        if let Some(transfer) = self.transfer.take() {
            self.raw.raft.abort_leader_transfer();
            if let Some(ticket) = transfer.ticket {
                self.calls.complete(ticket, Err(why));
            }
        }
    }

    /// Looks how a handover stands.
    pub(super) fn follow_transfer(&mut self) {
        let Some(transfer) = &self.transfer else { return };
        if self.primary() == Some(transfer.to) {
            if let Some(ticket) = transfer.ticket {
                self.calls.complete(ticket, Ok(Answer::HandedOver));
            }
            self.transfer = None;
        } else if transfer.deadline <= self.now.instant {
            self.end_transfer(Denied::TimedOut);
        } else if self.is_primary() && self.raw.raft.lead_transferee.is_none() {
            // The library gives up after an election's time.
            self.end_transfer(Denied::TimedOut);
        } else if self.primary().is_some_and(|node| node != self.identity.node) {
            self.end_transfer(Denied::Busy("another node that has become primary"));
        }
    }

    fn not_primary(&self) -> Denied {
        match &self.standing {
            Standing::Fenced(fence) => Denied::Fenced(fence.clone()),
            Standing::Failed(error) => refused(error.clone()),
            _ => Denied::NotPrimary { primary: self.primary().filter(|node| *node != self.identity.node) },
        }
    }

    fn check_standing(&self) -> Result<(), Denied> {
        if self.takes_part() { Ok(()) } else { Err(self.not_primary()) }
    }

    /// That this node is primary, and holds its quorum.
    fn check_primary(&self, now: Now) -> Result<(), Denied> {
        if !self.is_primary() {
            return Err(self.not_primary());
        }
        if self.transfer.is_some() || self.raw.raft.lead_transferee.is_some() {
            return Err(Denied::Busy("a handover"));
        }
        let lease = self.options.lease();
        let confirmed = self.stamps.confirmed(&self.members, self.identity.node);
        let since = Instant::from_nanos(confirmed.min(now.instant.as_nanos())).max(self.elected_at);
        if since.saturating_add(lease) <= now.instant {
            return Err(Denied::NoQuorum);
        }
        Ok(())
    }

    fn check_waiting(&self) -> Result<(), Denied> {
        let limit = self.options.waiting_max;
        if self.calls.count() >= limit as usize {
            return Err(refused(Error::Capacity { what: "waiting_max", limit: u64::from(limit) }));
        }
        Ok(())
    }

    fn check_change(&self, change: &Change) -> StoreResult<()> {
        let members = &self.members;
        let wrong = |why: String| Err(Error::invalid("change", why));
        let known = |node: u64| members.nodes().any(|it| it == node);
        match change {
            Change::AddLearner { node, about } => {
                if *node == 0 || known(*node) || members.removed.contains(node) {
                    return wrong(format!(
                        "node {node} is or was in the cluster; each number is used once, from 1"
                    ));
                }
                if about.len() > super::super::ABOUT_BYTES_MAX
                    || members.nodes().count() >= super::super::NODES_MAX
                {
                    return wrong(format!("node {node} is one too many, or too much is said about it"));
                }
            }
            Change::Promote { node } => self.check_learner(*node)?,
            Change::Remove { node } | Change::Replace { old: node, .. } => {
                if !known(*node) || *node == self.identity.node {
                    return wrong(format!(
                        "node {node} cannot be taken out: it is not there, or primary; hand over before"
                    ));
                }
                if let Change::Replace { new, .. } = change {
                    if !members.voters.contains(node) {
                        return wrong(format!("node {node} has no vote to give"));
                    }
                    self.check_learner(*new)?;
                }
            }
            Change::Initial { .. } | Change::Leave | Change::Readmit { .. } => {
                return wrong("that is a change the cluster makes by itself".into());
            }
        }
        Ok(())
    }

    fn check_learner(&self, node: u64) -> StoreResult<()> {
        if !self.members.learners.contains(&node) {
            return Err(Error::invalid("change", format!("node {node} is no learner")));
        }
        if !self.has_caught_up(node) {
            let why = format!("node {node} is too far behind to vote; wait until it has caught up");
            return Err(Error::invalid("change", why));
        }
        Ok(())
    }

    /// Whether a node has all that was committed a heartbeat or two ago.
    pub(super) fn has_caught_up(&self, node: u64) -> bool {
        let committed = self.raw.raft.raft_log.committed;
        let matched = self.raw.raft.prs().get(node).map_or(0, |it| it.matched);
        let is_whole = !self.forgetful.contains_key(&node) && !self.flagged.contains(&node);
        is_whole && matched + 64 >= committed && matched >= self.reign_from
    }

    pub(super) fn propose_change(
        &mut self,
        change: &Change,
        caller: Option<(Ticket, Option<Instant>)>,
    ) -> Result<(), Denied> {
        let Some(for_raft) = change.for_raft() else { return Ok(()) };
        if !self.engine.has_room(1 << 10) {
            return Err(Denied::Busy("the disk"));
        }
        let mut entry = Entry::default();
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        entry.data = for_raft.write_to_bytes().map_err(|_| Denied::Busy("the change"))?.into();
        entry.context = change.encode().into();
        let Some(first) = self.step_proposal(vec![entry]) else { return Err(Denied::Busy("the log")) };
        if let Some((ticket, deadline)) = caller {
            let (epoch, level) = (self.raw.raft.term, Level::Quorum);
            self.calls
                .writes
                .insert(first, Write { ticket, epoch, level, deadline, is_change: true, applied: None });
        }
        Ok(())
    }

    /// Has entries appended; gives the sequence of the first.
    fn step_proposal(&mut self, entries: Vec<Entry>) -> Option<u64> {
        let count = entries.len() as u64;
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.identity.node;
        message.set_entries(entries.into());
        self.raw.raft.step(message).ok()?;
        Some(self.raw.raft.raft_log.last_index() + 1 - count)
    }

    /// Has an entry appended that nobody waits for.
    pub(super) fn propose_own(&mut self, payload: Vec<u8>) -> Option<u64> {
        if !self.engine.has_room(payload.len() as u64 + 64) {
            return None;
        }
        self.step_proposal(vec![Entry { data: payload.into(), ..Entry::default() }])
    }

    /// Has what was submitted appended, as much as there is room for, in one go.
    pub(super) fn propose(&mut self) {
        while !self.calls.proposals.is_empty() {
            if !self.is_primary() {
                let why = self.not_primary();
                while let Some(proposal) = self.calls.proposals.pop_front() {
                    self.calls.complete(proposal.ticket, Err(why.clone()));
                }
                self.calls.proposed_bytes = 0;
                return;
            }
            if self.transfer.is_some() || self.raw.raft.lead_transferee.is_some() {
                return;
            }
            let (mut bytes, mut count) = (0, 0);
            for proposal in &self.calls.proposals {
                let more = proposal.payload.len() as u64 + 64;
                if count > 0 && bytes + more > self.options.message_bytes {
                    break;
                }
                (bytes, count) = (bytes + more, count + 1);
            }
            if !self.engine.has_room(bytes) {
                return;
            }
            let entry = |it: &Proposal| Entry { data: it.payload.clone().into(), ..Entry::default() };
            let entries = self.calls.proposals.iter().take(count).map(entry);
            // Too much is not committed: later.
            let Some(first) = self.step_proposal(entries.collect()) else { return };
            self.pace.begun(first, bytes, self.now.instant);
            let epoch = self.raw.raft.term;
            for (at, proposal) in self.calls.proposals.drain(..count).enumerate() {
                self.calls.proposed_bytes -= proposal.payload.len() as u64;
                let Proposal { ticket, level, deadline, .. } = proposal;
                let sequence = first + at as u64;
                let write = Write { ticket, epoch, level, deadline, is_change: false, applied: None };
                self.calls.writes.insert(sequence, write);
            }
            self.append_ready();
            for at in 0..count as u64 {
                self.answer_early(first + at, Level::Memory);
            }
        }
    }

    /// Answers a write that asked for no more than this.
    fn answer_early(&mut self, sequence: u64, level: Level) {
        let Some(write) = self.calls.writes.get(&sequence).filter(|it| it.level == level) else { return };
        let (ticket, epoch) = (write.ticket, write.epoch);
        self.calls.writes.remove(&sequence);
        let durability = if level == Level::Memory { Durability::Memory } else { Durability::Local };
        let reached = Reached { durability, nodes: u32::from(level == Level::Local), is_degraded: false };
        let done = Done { outcome: None, position: Position { epoch, sequence }, reached };
        self.calls.complete(ticket, Ok(Answer::Written(done)));
    }

    /// Answers what asked to be on this disk, and is.
    pub(super) fn answer_local(&mut self) {
        let durable = self.engine.durable_sequence();
        let local = self.calls.writes.range(..=durable).filter(|(_, it)| it.level == Level::Local);
        let local: Vec<u64> = local.map(|(sequence, _)| *sequence).collect();
        for sequence in local {
            if self.epoch_of(sequence) == self.calls.writes.get(&sequence).map(|it| it.epoch) {
                self.answer_early(sequence, Level::Local);
            }
        }
        #[cfg(feature = "sim")]
        self.answer_planted(durable);
    }

    /// The planted bugs that answer too early.
    #[cfg(feature = "sim")]
    fn answer_planted(&mut self, durable: u64) {
        use super::super::planted::Plant;
        let (early, learner) = (self.is_planted(Plant::EarlyAnswer), self.is_planted(Plant::VotingLearner));
        if !early && !learner {
            return;
        }
        let waiting: Vec<u64> = self.calls.writes.range(..=durable).map(|(sequence, _)| *sequence).collect();
        for sequence in waiting {
            let write = &self.calls.writes[&sequence];
            let is_enough = early || self.nodes_with(sequence) as usize > self.members.voters.len() / 2;
            if write.is_change || write.level != Level::Quorum || !is_enough {
                continue;
            }
            let write = self.calls.writes.remove(&sequence).expect("it is there");
            let reached = Reached { durability: Durability::Quorum, nodes: 2, is_degraded: false };
            let position = Position { epoch: write.epoch, sequence };
            let done = Done { outcome: None, position, reached };
            self.calls.complete(write.ticket, Ok(Answer::Written(done)));
        }
    }

    /// The entry at a sequence counts.
    pub(super) fn applied(&mut self, sequence: u64, epoch: u64, outcome: Option<Outcome>, is_change: bool) {
        let Some(mut write) = self.calls.writes.remove(&sequence) else { return };
        if write.epoch != epoch {
            self.calls.complete(write.ticket, Err(Denied::Superseded));
        } else if write.is_change {
            let answer = if is_change {
                Ok(Answer::Changed(Position { epoch, sequence }))
            } else {
                // The library puts nothing in its place when another change is not applied yet.
                Err(Denied::Busy("a change of the cluster"))
            };
            self.calls.complete(write.ticket, answer);
        } else {
            write.applied = Some((outcome, self.now.instant));
            self.calls.spreading.insert(sequence, write);
        }
    }

    /// Entries from `from` on were replaced by others: what was there was not done.
    pub(super) fn superseded(&mut self, from: u64) {
        for (_, write) in self.calls.writes.split_off(&from) {
            self.calls.complete(write.ticket, Err(Denied::Superseded));
        }
    }

    /// A state from elsewhere took the place of what was there up to `through`.
    pub(super) fn overtaken(&mut self, through: u64) {
        let later = self.calls.writes.split_off(&(through + 1));
        for (_, write) in std::mem::replace(&mut self.calls.writes, later) {
            self.calls.complete(write.ticket, Err(Denied::Unknown));
        }
    }

    /// On how many nodes' disks an entry is known to be.
    pub(super) fn nodes_with(&self, sequence: u64) -> u32 {
        let progress = self.raw.raft.prs().iter();
        progress.filter(|(node, it)| it.matched >= sequence && !self.forgetful.contains_key(node)).count()
            as u32
    }

    /// Answers writes that are applied, and on as many nodes as they asked for.
    pub(super) fn answer_writes(&mut self) {
        if self.calls.spreading.is_empty() {
            return;
        }
        let is_primary = self.is_primary();
        let degrade_after = self.options.degrade_after;
        let mut spreading = std::mem::take(&mut self.calls.spreading);
        spreading.retain(|sequence, write| {
            let nodes = if is_primary { self.nodes_with(*sequence) } else { 1 };
            let prs = self.raw.raft.prs();
            let voters = self.members.nodes().filter(|it| self.members.is_voter(*it));
            let has_all = is_primary
                && voters.into_iter().all(|it| {
                    !self.forgetful.contains_key(&it) && prs.get(it).is_some_and(|it| it.matched >= *sequence)
                });
            let (_, since) = write.applied.as_ref().expect("only what is applied spreads");
            let is_enough = match write.level {
                Level::All => has_all,
                Level::AtLeast(least) => nodes >= least,
                _ => true,
            };
            let is_late = !is_primary
                || degrade_after.is_some_and(|most| since.saturating_add(most) <= self.now.instant);
            if !is_enough && !is_late {
                return true;
            }
            let durability = if has_all { Durability::All } else { Durability::Quorum };
            let least = self.members.voters.len() as u32 / 2 + 1;
            let reached = Reached { durability, nodes: nodes.max(least), is_degraded: !is_enough };
            let position = Position { epoch: write.epoch, sequence: *sequence };
            let outcome = write.applied.take().and_then(|(outcome, _)| outcome);
            self.calls.complete(write.ticket, Ok(Answer::Written(Done { outcome, position, reached })));
            false
        });
        self.calls.spreading = spreading;
    }

    /// Answers reads that may be done now.
    pub(super) fn answer_reads(&mut self) {
        if self.calls.reads.is_empty() && self.calls.waiters.is_empty() {
            return;
        }
        self.engine.publish();
        let state = self.engine.state();
        let granted = Granted { sequence: state.sequence(), time: state.time() };
        let now = self.now.instant;
        let (is_primary, is_settled) = (self.is_primary(), self.is_settled());
        let holds = self.holds_lease(now);
        let confirmed = self.stamps.confirmed(&self.members, self.identity.node);
        #[cfg(feature = "sim")]
        let holds = holds || (is_primary && self.is_planted(super::super::planted::Plant::UncheckedRead));
        let committed = self.raw.raft.raft_log.committed;
        let why = self.not_primary();
        let mut reads = std::mem::take(&mut self.calls.reads);
        reads.retain_mut(|read| {
            if is_settled {
                read.sequence.get_or_insert(committed);
            }
            let is_there = is_settled && read.sequence.is_some_and(|sequence| sequence <= granted.sequence);
            let result = match () {
                () if !is_primary => Err(why.clone()),
                () if is_there && (holds || confirmed > read.stamp) => Ok(Answer::Read(granted)),
                () if read.deadline.is_some_and(|at| at <= now) => Err(Denied::NoQuorum),
                () => return true,
            };
            self.calls.complete(read.ticket, result);
            false
        });
        self.calls.reads = reads;

        let fresh = if holds && is_settled { Some(now) } else { self.stamps.fresh_since() };
        let mut waiters = std::mem::take(&mut self.calls.waiters);
        waiters.retain(|waiter| {
            let is_fresh = waiter.bound.age.is_none_or(|most| {
                // By a clock that may go slower than it should.
                let most = most * (1_000 - self.options.clock_drift_permille) / 1_000;
                fresh.is_some_and(|since| now.duration_since(since) <= most)
            });
            let token = waiter.bound.token.unwrap_or_default();
            let is_there = token.sequence <= granted.sequence;
            #[cfg(feature = "sim")]
            let is_there = is_there || self.is_planted(super::super::planted::Plant::IgnoredToken);
            let is_lost = is_there
                && token.sequence > 0
                && self.epoch_of(token.sequence).is_some_and(|epoch| epoch != token.epoch && epoch > 0);
            let result = match () {
                () if is_lost => Err(Denied::Lost),
                () if is_fresh && is_there => Ok(Answer::Read(granted)),
                () if waiter.deadline.is_none_or(|at| at <= now) => Err(why.clone()),
                () => return true,
            };
            self.calls.complete(waiter.ticket, result);
            false
        });
        self.calls.waiters = waiters;
    }

    /// Ends what has waited for too long.
    pub(super) fn end_late(&mut self) {
        let now = self.now.instant;
        let is_late = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        let mut late = Vec::new();
        let calls = &mut self.calls;
        calls.proposals.retain(|it| {
            if is_late(it.deadline) {
                late.push(it.ticket);
                calls.proposed_bytes -= it.payload.len() as u64;
            }
            !is_late(it.deadline)
        });
        for writes in [&mut calls.writes, &mut calls.spreading] {
            writes.retain(|_, it| {
                if is_late(it.deadline) {
                    late.push(it.ticket);
                }
                !is_late(it.deadline)
            });
        }
        for ticket in late {
            self.calls.complete(ticket, Err(Denied::TimedOut));
        }
    }
}

fn refused(error: Error) -> Denied {
    Denied::Refused(error)
}
