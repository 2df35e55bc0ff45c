//! Who waits for what, and what comes of it: the words of it, and [`Calls`], which joins writes, reads and answers.

use std::collections::VecDeque;
use std::time::Duration;

use super::reads::Reads;
use super::writes::Writes;
use super::{Fence, Node, Standing};
use crate::error::Error;
use crate::store::engine::{Durability, Now};
use crate::store::index::{Outcome, Timestamp};
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
    /// What the token speaks of was lost with a primary: it had been answered at `memory` or `local`, or a node that had it not was
    /// promoted by force.
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

/// All that waits for an answer, and the answers that are not taken yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    tickets: u64,
    pub(super) writes: Writes,
    pub(super) reads: Reads,
    completions: VecDeque<Completion>,
}

impl Calls {
    pub(super) fn next(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(super) fn complete(&mut self, ticket: Ticket, result: Result<Answer, Denied>) {
        self.completions.push_back(Completion { ticket, result });
    }

    fn count(&self) -> usize {
        self.writes.count() + self.reads.count()
    }

    /// Ends all: nothing more will come of them here.
    pub(super) fn end_all(&mut self, why: &Denied) {
        let (proposals, logged) = self.writes.take_all();
        for ticket in proposals.into_iter().chain(self.reads.take_all()) {
            self.complete(ticket, Err(why.clone()));
        }
        for ticket in logged {
            self.complete(ticket, Err(Denied::Unknown));
        }
    }
}

impl Node {
    /// The oldest answer not yet taken. What it is about is seen by then, where it says so.
    pub fn poll_completion(&mut self) -> Option<Completion> {
        self.calls.completions.pop_front()
    }

    pub(super) fn not_primary(&self) -> Denied {
        match &self.standing {
            Standing::Fenced(fence) => Denied::Fenced(fence.clone()),
            Standing::Failed(error) => refused(error.clone()),
            _ => Denied::NotPrimary { primary: self.primary().filter(|node| *node != self.identity.node) },
        }
    }

    pub(super) fn check_standing(&self) -> Result<(), Denied> {
        if self.takes_part() { Ok(()) } else { Err(self.not_primary()) }
    }

    /// That this node is primary, and holds its quorum.
    pub(super) fn check_primary(&self, now: Now) -> Result<(), Denied> {
        if !self.is_primary() {
            return Err(self.not_primary());
        }
        if self.is_handing_over() {
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

    pub(super) fn check_waiting(&self) -> Result<(), Denied> {
        let limit = self.options.waiting_max;
        if self.calls.count() >= limit as usize {
            return Err(refused(Error::Capacity { what: "waiting_max", limit: u64::from(limit) }));
        }
        Ok(())
    }

    /// Ends what has waited for too long.
    pub(super) fn end_late(&mut self) {
        for ticket in self.calls.writes.take_late(self.now.instant) {
            self.calls.complete(ticket, Err(Denied::TimedOut));
        }
    }
}

/// The caller asks for what cannot be.
pub(super) fn refused(error: Error) -> Denied {
    Denied::Refused(error)
}
