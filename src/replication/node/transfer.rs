//! A handover to another voter: [`Transfer`].

use super::calls::refused;
use super::{Answer, Denied, Node, Ticket};
use crate::error::Error;
use crate::store::engine::Now;
use crate::time::Instant;

/// A handover.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) to: u64,
    ticket: Option<Ticket>,
    deadline: Instant,
}

impl Node {
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
}
