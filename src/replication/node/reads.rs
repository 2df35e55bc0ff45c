//! Reads: answered when what they see is as fresh as was asked.

use std::collections::VecDeque;

use super::{Answer, Bound, Denied, Granted, Node, Position, Ticket};
use crate::store::engine::Now;
use crate::time::Instant;

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

/// Reads that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Reads {
    strong: VecDeque<Read>,
    waiters: VecDeque<Waiter>,
}

impl Reads {
    pub(super) fn count(&self) -> usize {
        self.strong.len() + self.waiters.len()
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> Vec<Ticket> {
        let strong = std::mem::take(&mut self.strong).into_iter().map(|it| it.ticket);
        let waiters = std::mem::take(&mut self.waiters).into_iter().map(|it| it.ticket);
        strong.chain(waiters).collect()
    }
}

impl Node {
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
        self.calls.reads.strong.push_back(Read { ticket, stamp, sequence, deadline });
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
        self.calls.reads.waiters.push_back(Waiter {
            ticket,
            bound,
            deadline: deadline.or(Some(now.instant)),
        });
        self.answer_reads();
        Ok(ticket)
    }

    /// Nobody waits for a read any more: there is no answer.
    pub fn forget_read(&mut self, ticket: Ticket) {
        // Tickets rise.
        let reads = &mut self.calls.reads;
        if let Ok(at) = reads.strong.binary_search_by_key(&ticket, |it| it.ticket) {
            reads.strong.remove(at);
        } else if let Ok(at) = reads.waiters.binary_search_by_key(&ticket, |it| it.ticket) {
            reads.waiters.remove(at);
        }
    }

    /// Whether what was at a position never counts, since another entry has taken its place: it had been answered at `memory` or
    /// `local`, and its primary was lost, or a node that had it not was promoted by force. The other entry may be of a later primary, or of
    /// an earlier one, of which the later ones knew nothing when they were elected. As far as is known here: of entries that the log has let
    /// go of only that none of them is of a later epoch than the first behind them that is known; of a position that nothing has been
    /// applied behind yet, nothing is.
    pub fn is_lost(&self, position: Position) -> bool {
        if position.sequence == 0 || position.epoch == 0 {
            return false;
        }
        if position.sequence > self.engine.state().sequence() {
            // Epochs do not go back: nothing of an earlier one comes behind what is applied.
            return self.engine.applied_epoch().0 > position.epoch;
        }
        match self.epoch_of(position.sequence).filter(|epoch| *epoch > 0) {
            Some(epoch) => epoch != position.epoch,
            None => {
                let behind = self.raw.raft.raft_log.first_index() - 1;
                let most = self.epoch_of(behind).filter(|epoch| *epoch > 0);
                most.is_some_and(|most| position.sequence <= behind && most < position.epoch)
            }
        }
    }

    /// Answers reads that may be done now.
    pub(super) fn answer_reads(&mut self) {
        if self.calls.reads.strong.is_empty() && self.calls.reads.waiters.is_empty() {
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
        let holds =
            holds || (is_primary && self.is_planted(crate::replication::planted::Plant::UncheckedRead));
        let committed = self.raw.raft.raft_log.committed;
        let why = self.not_primary();
        let mut reads = std::mem::take(&mut self.calls.reads.strong);
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
        self.calls.reads.strong = reads;

        let fresh = if holds && is_settled { Some(now) } else { self.stamps.fresh_since() };
        let mut waiters = std::mem::take(&mut self.calls.reads.waiters);
        waiters.retain(|waiter| {
            let is_fresh = waiter.bound.age.is_none_or(|most| {
                // By a clock that may go slower than it should.
                let most = most * (1_000 - self.options.clock_drift_permille) / 1_000;
                fresh.is_some_and(|since| now.duration_since(since) <= most)
            });
            let token = waiter.bound.token.unwrap_or_default();
            let is_there = token.sequence <= granted.sequence;
            #[cfg(feature = "sim")]
            let is_there = is_there || self.is_planted(crate::replication::planted::Plant::IgnoredToken);
            let is_lost = self.is_lost(token);
            let result = match () {
                () if is_lost => Err(Denied::Lost),
                () if is_fresh && is_there => Ok(Answer::Read(granted)),
                () if waiter.deadline.is_none_or(|at| at <= now) => Err(why.clone()),
                () => return true,
            };
            self.calls.complete(waiter.ticket, result);
            false
        });
        self.calls.reads.waiters = waiters;
    }
}
