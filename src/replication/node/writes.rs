//! Writes: taken in, put into the log as many at once as there is room for, and answered when they are as safe as was asked.

use std::collections::{BTreeMap, VecDeque};

use raft::eraftpb::{Entry, Message, MessageType};

use super::calls::refused;
use super::room::Made;
use super::{Answer, Denied, Done, Level, Node, Position, Reached, Ticket};
use crate::error::Error;
use crate::store::engine::{Durability, Now};
use crate::store::index::forecast::Plan;
use crate::store::index::{Command, Operation, Outcome};
use crate::time::Instant;

/// A write that is not in the log yet.
#[derive(Debug)]
struct Proposal {
    ticket: Ticket,
    payload: Vec<u8>,
    level: Level,
    deadline: Option<Instant>,
    /// By how much it may make the state grow, at most.
    growth: u64,
    /// Whether there has to be room for that before, where there is a limit.
    needs_room: bool,
    is_settings: bool,
}

/// A write that is in the log.
#[derive(Debug)]
struct Write {
    ticket: Ticket,
    epoch: u64,
    level: Level,
    deadline: Option<Instant>,
    is_change: bool,
    /// How many voted when it was put into the log.
    voters: usize,
    /// Once it is applied: what came of it, and since when.
    applied: Option<(Option<Outcome>, Instant)>,
}

/// Writes that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Writes {
    proposals: VecDeque<Proposal>,
    proposed_bytes: u64,
    /// By sequence, not applied yet.
    logged: BTreeMap<u64, Write>,
    /// By sequence, applied, waiting for more nodes.
    spreading: BTreeMap<u64, Write>,
    /// By sequence, changes that are applied and count beside who was in the cluster before: both majorities are needed.
    joint: BTreeMap<u64, Write>,
}

impl Writes {
    /// Writes that are not in the log yet.
    pub(super) fn proposed(&self) -> usize {
        self.proposals.len()
    }

    pub(super) fn count(&self) -> usize {
        self.proposals.len() + self.logged.len() + self.spreading.len() + self.joint.len()
    }

    /// Whether something that is in the log is to be on more nodes than so many, which are a quorum.
    pub(super) fn wait_for_more(&self, quorum: u32) -> bool {
        let mut writes = self.logged.values().chain(self.spreading.values());
        writes.any(|write| match write.level {
            Level::All => true,
            Level::AtLeast(least) => least > quorum,
            _ => false,
        })
    }

    /// A change that is in the log.
    pub(super) fn insert_change(
        &mut self,
        sequence: u64,
        ticket: Ticket,
        epoch: u64,
        deadline: Option<Instant>,
        voters: usize,
    ) {
        let (level, is_change, applied) = (Level::Quorum, true, None);
        let write = Write { ticket, epoch, level, deadline, is_change, voters, applied };
        self.logged.insert(sequence, write);
    }

    /// Takes out all: those that are not in the log, and those that are.
    pub(super) fn take_all(&mut self) -> (Vec<Ticket>, Vec<Ticket>) {
        self.proposed_bytes = 0;
        let proposals = std::mem::take(&mut self.proposals).into_iter().map(|it| it.ticket);
        let logged = std::mem::take(&mut self.logged).into_values();
        let spreading = std::mem::take(&mut self.spreading).into_values();
        let joint = std::mem::take(&mut self.joint).into_values();
        (proposals.collect(), logged.chain(spreading).chain(joint).map(|it| it.ticket).collect())
    }

    /// Takes out what has waited for too long.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<Ticket> {
        let is_late = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        let mut late = Vec::new();
        let proposed_bytes = &mut self.proposed_bytes;
        self.proposals.retain(|it| {
            if is_late(it.deadline) {
                late.push(it.ticket);
                *proposed_bytes -= it.payload.len() as u64;
            }
            !is_late(it.deadline)
        });
        for writes in [&mut self.logged, &mut self.spreading, &mut self.joint] {
            writes.retain(|_, it| {
                if is_late(it.deadline) {
                    late.push(it.ticket);
                }
                !is_late(it.deadline)
            });
        }
        late
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
        if self.calls.writes.proposed_bytes >= most {
            return Err(Denied::Busy("uncommitted_bytes_max of entries"));
        }
        #[cfg(feature = "sim")]
        let command = &if self.is_planted(crate::replication::planted::Plant::DoneTwice) {
            Command { request: None, ..command.clone() }
        } else {
            command.clone()
        };
        let payload = self.engine.encode_command(command, now).map_err(refused)?;
        // As long as the segment lasts somebody else may take over. What is longer than the rest of it must not hold up others.
        let bytes = self.calls.writes.proposed_bytes + self.options.message_bytes.max(payload.len() as u64);
        if let Some(problem) = self.engine.problem()
            && !self.engine.has_room(bytes)
        {
            return Err(refused(problem.clone()));
        }
        self.engine.check_growth(command, self.calls.writes.proposed_bytes).map_err(refused)?;
        let (growth, needs_room) = self.engine.growth(command);
        let is_settings = matches!(command.operation, Operation::Configure(_));
        let ticket = self.calls.next();
        let level = level.unwrap_or_else(|| self.engine.options().durability.into());
        self.calls.writes.proposed_bytes += payload.len() as u64;
        self.calls.writes.proposals.push_back(Proposal {
            ticket,
            payload,
            level,
            deadline,
            growth,
            needs_room,
            is_settings,
        });
        Ok(ticket)
    }

    /// Has entries appended; gives the sequence of the first.
    pub(super) fn step_proposal(&mut self, entries: Vec<Entry>) -> Option<u64> {
        let count = entries.len() as u64;
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.identity.node;
        message.set_entries(entries.into());
        self.raw.raft.step(message).ok()?;
        Some(self.raw.raft.raft_log.last_index() + 1 - count)
    }

    /// Has an entry appended that nobody waits for, at once: who looks for room behind it finds what there is.
    pub(super) fn propose_own(&mut self, entry: Entry) -> Option<u64> {
        if !self.engine.has_room(entry.data.len() as u64 + 64) {
            return None;
        }
        let sequence = self.step_proposal(vec![entry]);
        self.append_ready();
        sequence
    }

    /// Has what was submitted appended, as much as there is room for, in one go.
    pub(super) fn propose(&mut self) {
        while !self.calls.writes.proposals.is_empty() {
            if !self.is_primary() {
                let why = self.not_primary();
                while let Some(proposal) = self.calls.writes.proposals.pop_front() {
                    self.calls.complete(proposal.ticket, Err(why.clone()));
                }
                self.calls.writes.proposed_bytes = 0;
                return;
            }
            if self.is_handing_over() {
                return;
            }
            let Some((mut count, mut bytes)) = self.fitting() else { return };
            let mut plan = None;
            if count == 0 {
                let first = self.calls.writes.proposals.front().expect("there is one");
                let payload = first.payload.clone();
                let mut made = match self.make_room_in_memory(&payload) {
                    Made::Room(made) => made,
                    Made::Wait => return,
                    Made::None => {
                        self.refuse_first();
                        continue;
                    }
                };
                (count, bytes) = self.add_fitting(&mut made);
                plan = Some(made);
            }
            // What makes room in memory takes some of that in the log.
            if !self.engine.has_room(bytes) {
                return;
            }
            if !self.is_primary() {
                // It was until then.
                continue;
            }
            let entry = |it: &Proposal| Entry { data: it.payload.clone().into(), ..Entry::default() };
            let entries: Vec<Entry> = self.calls.writes.proposals.iter().take(count).map(entry).collect();
            // Too much is not committed: later.
            let Some(first) = self.step_proposal(entries.clone()) else { return };
            self.pace.begun(first, count as u64, bytes, self.now.instant);
            let epoch = self.raw.raft.term;
            let is_limited = self.engine.state().settings().memory_max > 0;
            let bounds = self.calls.writes.proposals.iter().map(|it| if is_limited { it.growth } else { 0 });
            match plan {
                Some(plan) => self.room.take(first, plan, entries.into_iter()),
                None => {
                    let pushed = (first..).zip(bounds.zip(entries));
                    pushed.for_each(|(sequence, (bound, entry))| self.room.push(sequence, bound, entry));
                }
            }
            for (at, proposal) in self.calls.writes.proposals.drain(..count).enumerate() {
                self.calls.writes.proposed_bytes -= proposal.payload.len() as u64;
                let Proposal { ticket, level, deadline, is_settings, .. } = proposal;
                let sequence = first + at as u64;
                if is_settings {
                    self.room.note_settings(sequence);
                }
                let (voters, applied) = (self.members.voters.len(), None);
                let write = Write { ticket, epoch, level, deadline, is_change: false, voters, applied };
                self.calls.writes.logged.insert(sequence, write);
            }
            self.append_ready();
            for at in 0..count as u64 {
                self.answer_early(first + at, Level::Memory);
            }
        }
    }

    /// How many proposals can go into the log at once, and their bytes: as many as fit a message, and the memory at a glance. `None`:
    /// they have to wait for what earlier primaries left in the log, which is not counted, since it comes first; or for settings
    /// that are under way, by which they will be judged.
    fn fitting(&self) -> Option<(usize, u64)> {
        let state = self.engine.state();
        let mut is_settled = self.is_settled() && !self.room.has_settings();
        let limit = match state.settings().memory_max {
            0 => u64::MAX,
            limit => limit,
        };
        let (mut bytes, mut count, mut total) = (0, 0, self.room.total(state));
        for proposal in &self.calls.writes.proposals {
            let more = proposal.payload.len() as u64 + 64;
            total = total.saturating_add(proposal.growth);
            if count > 0 && bytes + more > self.options.message_bytes {
                break;
            }
            if proposal.needs_room && !is_settled {
                return (count > 0).then_some((count, bytes));
            }
            if proposal.needs_room && total > limit {
                break;
            }
            is_settled &= !proposal.is_settings;
            (bytes, count) = (bytes + more, count + 1);
        }
        Some((count, bytes))
    }

    /// How many proposals can go into the log at once, and their bytes, where the first is in the plan: the others are added to it.
    fn add_fitting(&mut self, plan: &mut Plan) -> (usize, u64) {
        let state = self.engine.state();
        let mut proposals = self.calls.writes.proposals.iter();
        let Some(first) = proposals.next() else { return (0, 0) };
        let (mut count, mut bytes) = (1, first.payload.len() as u64 + 64);
        // What stands behind settings is judged by those.
        let fits = !plan.is_doubted() && !first.is_settings;
        for proposal in proposals.take_while(|it| fits && !it.is_settings) {
            let more = proposal.payload.len() as u64 + 64;
            let is_long = bytes + more > self.options.message_bytes;
            if is_long || !self.room.add(state, plan, &proposal.payload) {
                break;
            }
            (count, bytes) = (count + 1, bytes + more);
        }
        (count, bytes)
    }

    /// There is no room for what would be remembered of the first proposal.
    fn refuse_first(&mut self) {
        let Some(first) = self.calls.writes.proposals.pop_front() else { return };
        self.calls.writes.proposed_bytes -= first.payload.len() as u64;
        let limit = self.engine.state().settings().memory_max;
        let error = Error::Capacity { what: "memory_max", limit };
        self.calls.complete(first.ticket, Err(refused(error)));
    }

    /// Answers a write that asked for no more than this.
    fn answer_early(&mut self, sequence: u64, level: Level) {
        let Some(write) = self.calls.writes.logged.get(&sequence).filter(|it| it.level == level) else {
            return;
        };
        let (ticket, epoch) = (write.ticket, write.epoch);
        self.calls.writes.logged.remove(&sequence);
        let durability = if level == Level::Memory { Durability::Memory } else { Durability::Local };
        let reached = Reached { durability, nodes: u32::from(level == Level::Local), is_degraded: false };
        let done = Done { outcome: None, position: Position { epoch, sequence }, reached };
        self.calls.complete(ticket, Ok(Answer::Written(done)));
    }

    /// Answers what asked to be on this disk, and is.
    pub(super) fn answer_local(&mut self) {
        let durable = self.engine.durable_sequence();
        let local = self.calls.writes.logged.range(..=durable).filter(|(_, it)| it.level == Level::Local);
        let local: Vec<u64> = local.map(|(sequence, _)| *sequence).collect();
        for sequence in local {
            if self.epoch_of(sequence) == self.calls.writes.logged.get(&sequence).map(|it| it.epoch) {
                self.answer_early(sequence, Level::Local);
            }
        }
        #[cfg(feature = "sim")]
        self.answer_planted(durable);
    }

    /// The planted bugs that answer too early.
    #[cfg(feature = "sim")]
    fn answer_planted(&mut self, durable: u64) {
        use crate::replication::planted::Plant;
        let (early, learner) = (self.is_planted(Plant::EarlyAnswer), self.is_planted(Plant::VotingLearner));
        if !early && !learner {
            return;
        }
        let waiting: Vec<u64> =
            self.calls.writes.logged.range(..=durable).map(|(sequence, _)| *sequence).collect();
        for sequence in waiting {
            let write = &self.calls.writes.logged[&sequence];
            let is_enough = early || self.nodes_with(sequence) as usize > self.members.voters.len() / 2;
            if write.is_change || write.level != Level::Quorum || !is_enough {
                continue;
            }
            let write = self.calls.writes.logged.remove(&sequence).expect("it is there");
            let reached = Reached { durability: Durability::Quorum, nodes: 2, is_degraded: false };
            let position = Position { epoch: write.epoch, sequence };
            let done = Done { outcome: None, position, reached };
            self.calls.complete(write.ticket, Ok(Answer::Written(done)));
        }
    }

    /// The entry at a sequence counts.
    pub(super) fn applied(&mut self, sequence: u64, epoch: u64, outcome: Option<Outcome>, is_change: bool) {
        if is_change && !self.members.is_joint() {
            // Only now who was in the cluster before is needed no more.
            for (sequence, Write { ticket, epoch, .. }) in std::mem::take(&mut self.calls.writes.joint) {
                self.calls.complete(ticket, Ok(Answer::Changed(Position { epoch, sequence })));
            }
        }
        let Some(mut write) = self.calls.writes.logged.remove(&sequence) else { return };
        if write.epoch != epoch {
            self.calls.complete(write.ticket, Err(Denied::Superseded));
        } else if write.is_change && is_change && self.members.is_joint() {
            self.calls.writes.joint.insert(sequence, write);
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
            self.calls.writes.spreading.insert(sequence, write);
        }
    }

    /// Entries from `from` on were replaced by others: what was there was not done.
    pub(super) fn superseded(&mut self, from: u64) {
        for (_, write) in self.calls.writes.logged.split_off(&from) {
            self.calls.complete(write.ticket, Err(Denied::Superseded));
        }
    }

    /// A state from elsewhere took the place of what was there up to `through`.
    pub(super) fn overtaken(&mut self, through: u64) {
        let later = self.calls.writes.logged.split_off(&(through + 1));
        for (_, write) in std::mem::replace(&mut self.calls.writes.logged, later) {
            self.calls.complete(write.ticket, Err(Denied::Unknown));
        }
    }

    /// Whether an entry is known to be on a node's disk. For a primary.
    pub(super) fn has_entry(&self, node: u64, sequence: u64) -> bool {
        let progress = self.raw.raft.prs().get(node);
        progress.is_some_and(|it| it.matched >= sequence) && !self.forgetful.contains_key(&node)
    }

    /// On how many nodes' disks it is known to be.
    pub(super) fn nodes_with(&self, sequence: u64) -> u32 {
        let nodes = self.raw.raft.prs().iter();
        nodes.filter(|(node, _)| self.has_entry(**node, sequence)).count() as u32
    }

    /// Answers writes that are applied, and on as many nodes as they asked for.
    pub(super) fn answer_writes(&mut self) {
        self.follow_degrading();
        if self.calls.writes.spreading.is_empty() {
            return;
        }
        let mut degraded = Vec::new();
        let is_primary = self.is_primary();
        let degrade_after = self.options.degrade_after;
        let mut spreading = std::mem::take(&mut self.calls.writes.spreading);
        spreading.retain(|sequence, write| {
            // The quorum that has it may be one of fewer voters than there are by now.
            let quorum = write.voters.min(self.members.voters.len()) as u32 / 2 + 1;
            let nodes = if is_primary { self.nodes_with(*sequence) } else { 1 }.max(quorum);
            let has_all = is_primary && self.lacking(*sequence).next().is_none();
            let (_, since) = write.applied.as_ref().expect("only what is applied spreads");
            let is_enough = match write.level {
                Level::All => has_all,
                Level::AtLeast(least) => nodes >= least,
                _ => true,
            };
            let is_late = degrade_after
                .is_some_and(|most| !is_primary || since.saturating_add(most) <= self.now.instant);
            if !is_enough && !is_late {
                if !is_primary {
                    // It is done. Whether it comes to as many nodes as it is to be on is not heard here.
                    self.calls.complete(write.ticket, Err(Denied::Unknown));
                }
                return is_primary;
            }
            let durability = if has_all { Durability::All } else { Durability::Quorum };
            let reached = Reached { durability, nodes, is_degraded: !is_enough };
            if !is_enough {
                degraded.push((*sequence, write.level));
            }
            let position = Position { epoch: write.epoch, sequence: *sequence };
            let outcome = write.applied.take().and_then(|(outcome, _)| outcome);
            self.calls.complete(write.ticket, Ok(Answer::Written(Done { outcome, position, reached })));
            false
        });
        self.calls.writes.spreading = spreading;
        for (sequence, level) in degraded {
            self.degraded(sequence, level);
        }
    }
}
