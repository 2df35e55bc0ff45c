//! [`Deciding`]: who waits until all that this node has answered is decided: shown here, or lost with a primary. What was answered
//! before it was committed, at `memory` and `local`, is then in what is read here, unless it is nowhere any more.

use std::time::Duration;

use super::Member;
use crate::driver::store::Store;
use crate::driver::store::shared::now;
use crate::error::{Error, Result};
use crate::replication::{Position, Role};
use crate::store::engine::{Durability, Ticket};
use crate::time::Instant;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Deciding {
    /// The last position that this node has answered since it was opened.
    told: Position,
    /// Who waits, for what, and until when.
    waits: Vec<(Ticket, Position, Instant)>,
}

impl Deciding {
    /// A call is answered, of what is there.
    pub(super) fn note(&mut self, told: Position) {
        self.told = self.told.max(told);
    }

    /// All who wait: nothing more comes of it.
    pub(super) fn take_all(&mut self) -> Vec<Ticket> {
        self.waits.drain(..).map(|(ticket, ..)| ticket).collect()
    }
}

const DECIDED: &str = "what was answered before to be committed";

impl Store {
    /// Waits until all that this node has answered up to now is decided; a store of one node decides at once.
    ///
    /// # Errors
    ///
    /// `NoQuorum` where it was not, for lack of nodes, and `TimedOut`, after `timeout`; `State` once it is closed.
    pub(in crate::driver::store) fn wait_decided(&self, timeout: Duration) -> Result<()> {
        if !self.shared()?.is_member() {
            return Ok(());
        }
        let asked =
            self.ask_member(DECIDED, Some(timeout), |member, deadline, _| Ok(member.decide(deadline)));
        match asked {
            Err(error @ Error::TimedOut { .. }) => {
                let mut core = self.shared()?.core.lock();
                let node = &core.member()?.node;
                let is_led = match node.role() {
                    Role::Primary => node.reign(now().instant).is_some(),
                    _ => node.primary().is_some(),
                };
                Err(if is_led { error } else { Error::NoQuorum })
            }
            asked => asked.map(drop),
        }
    }
}

impl Member {
    fn decide(&mut self, deadline: Instant) -> Ticket {
        let ticket = self.calls.ticket();
        match self.is_decided(self.deciding.told) {
            true => self.decided(ticket),
            false => self.deciding.waits.push((ticket, self.deciding.told, deadline)),
        }
        ticket
    }

    /// What was written in an epoch is shown or lost, all of it, once something of a later one is shown.
    fn is_decided(&self, last: Position) -> bool {
        self.node.state().sequence() >= last.sequence || self.node.is_lost(last)
    }

    fn decided(&mut self, ticket: Ticket) {
        let sequence = self.node.state().sequence();
        self.reply(ticket, Ok(super::plain(sequence, 0, Durability::Quorum)));
    }

    /// Tells those for whom all is decided, and those whose time is over.
    pub(super) fn follow_deciding(&mut self, now: Instant) {
        if self.deciding.waits.is_empty() {
            return;
        }
        for (ticket, last, deadline) in std::mem::take(&mut self.deciding.waits) {
            if self.is_decided(last) {
                self.decided(ticket);
            } else if now < deadline {
                self.deciding.waits.push((ticket, last, deadline));
            } else {
                self.reply(ticket, Err(Error::TimedOut { what: DECIDED }));
            }
        }
    }
}
