//! A handover to another voter: [`Transfer`].
//!
//! The library's own ends with an election's time, and takes no entries meanwhile. A handover is one such attempt after the
//! other until its time is over: each begins when the other one answers and lacks next to nothing, and between two of them
//! writes go on. So one to a node that is gone, or far behind, holds writes up for one election's time, or not at all.

use std::time::Duration;

use raft::StateRole;
use raft::eraftpb::Message;

use super::calls::refused;
use super::{Answer, Denied, Node, Ticket};
use crate::error::Error;
use crate::store::engine::Now;
use crate::time::Instant;

/// The part of an election's time for which a handover waits for writes that are to be on more nodes than a quorum.
const SPREADS: u32 = 4;

/// A handover.
#[derive(Debug)]
pub(super) struct Transfer {
    to: u64,
    ticket: Option<Ticket>,
    deadline: Instant,
    /// The library has been told: an attempt is under way, or has just ended.
    is_begun: bool,
    /// No attempt begins before then.
    rests_until: Instant,
    /// Up to where the log was, and when: to see how long the other one takes to have that.
    mark: Option<(u64, Instant)>,
    /// Nothing more is taken, and writes that are to be on more nodes than a quorum have until then to be so: once this node is
    /// primary no longer it does not hear whether they are.
    spreads_until: Option<Instant>,
}

/// The other side of it: the primary has told this node to take over, which it could not do at once.
#[derive(Debug)]
pub(super) struct Summons {
    message: Message,
    /// By then the primary gives it up, or soon.
    until: Instant,
}

impl Transfer {
    /// Whether somebody waits for it.
    pub(super) fn is_ordered(&self) -> bool {
        self.ticket.is_some()
    }
}

impl Node {
    /// Hands over to another voter, which has all of the log by then. Writes are refused while that one is about to take
    /// over, for an election's time at most before they go on for as long; while it does not answer, or is far behind, they
    /// are taken. It ends with [`Denied::TimedOut`] after `transfer_timeout`.
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
        self.begin_transfer(to, Some(ticket), self.options.transfer_timeout);
        Ok(ticket)
    }

    /// Calls a handover off; gives whether one was under way. Writes are taken again. When the other one was told to take
    /// over already, it may do so all the same; otherwise this node has itself elected anew first, in an epoch of its own.
    ///
    /// # Errors
    ///
    /// `NotPrimary` of a node that hands nothing over since it is none.
    pub fn abort_transfer(&mut self, now: Now) -> Result<bool, Denied> {
        self.pass(now);
        if self.transfer.is_some() {
            let why = Error::State { what: "handover", detail: "was called off".into() };
            self.end_transfer(refused(why));
            return Ok(true);
        }
        if self.is_primary() { Ok(false) } else { Err(self.not_primary()) }
    }

    /// Has this primary hand over by itself, which is tried once: who decides so does it again.
    pub(super) fn begin_own_transfer(&mut self, to: u64) {
        let most = self.options.transfer_timeout.min(self.election_time());
        self.end_transfer(Denied::Busy("another handover"));
        self.begin_transfer(to, None, most);
    }

    fn begin_transfer(&mut self, to: u64, ticket: Option<Ticket>, most: Duration) {
        let now = self.now.instant;
        let deadline = now.saturating_add(most);
        self.transfer = Some(Transfer {
            to,
            ticket,
            deadline,
            is_begun: false,
            rests_until: now,
            mark: None,
            spreads_until: None,
        });
        self.push_transfer();
    }

    /// Ends a handover, if one is under way.
    pub(super) fn end_transfer(&mut self, why: Denied) {
        if let Some(transfer) = self.transfer.take() {
            self.raw.raft.abort_leader_transfer();
            if let Some(ticket) = transfer.ticket {
                self.calls.complete(ticket, Err(why));
            }
        }
    }

    /// Whether another one is about to take over: no entries are taken.
    pub(super) fn is_handing_over(&self) -> bool {
        self.raw.raft.lead_transferee.is_some()
            || self.transfer.as_ref().is_some_and(|transfer| transfer.spreads_until.is_some())
    }

    /// Looks how a handover stands.
    pub(super) fn follow_transfer(&mut self) {
        let Some(transfer) = &self.transfer else { return };
        if self.primary() == Some(transfer.to) {
            self.failed_handovers = 0;
            if let Some(ticket) = transfer.ticket {
                self.calls.complete(ticket, Ok(Answer::HandedOver));
            }
            self.transfer = None;
        } else if transfer.deadline <= self.now.instant {
            if !transfer.is_ordered() {
                // Nothing came of it, so it is tried again before it would be this node's turn: sooner at first than later.
                self.failed_handovers += 1;
                let pause = self.election_time().saturating_mul(1 << (2 * self.failed_handovers).min(16));
                self.hands_over_from = self.hands_over_from.min(self.now.instant.saturating_add(pause));
            }
            self.end_transfer(Denied::TimedOut);
        } else if self.primary().is_some_and(|node| node != self.identity.node) {
            self.end_transfer(Denied::Busy("another node that has become primary"));
        } else if !self.members.voters.contains(&transfer.to) {
            let why = format!("node {} has no vote any more", transfer.to);
            self.end_transfer(refused(Error::invalid("node", why)));
        }
    }

    /// Begins an attempt of the handover that is under way, when its time has come.
    pub(super) fn push_transfer(&mut self) {
        let (now, election) = (self.now.instant, self.election_time());
        let is_able = self.raw.raft.state == StateRole::Leader && self.raw.raft.lead_transferee.is_none();
        if self.transfer.is_none() {
            return;
        }
        let quorum = self.members.voters.len() as u32 / 2 + 1;
        let is_spread = !self.calls.writes.wait_for_more(quorum);
        let Some(transfer) = self.transfer.as_mut() else { return };
        let spreads_until = transfer.spreads_until.take();
        if !is_able {
            return;
        }
        if transfer.is_begun {
            // The library has given up, or this primary was elected anew: writes have their turn.
            (transfer.is_begun, transfer.mark) = (false, None);
            transfer.rests_until = now.saturating_add(election);
        }
        let (to, mark, rests_until) = (transfer.to, transfer.mark, transfer.rests_until);
        // Who was told to take over in this epoch and has not is waited for no more: that is mended first.
        if now < rests_until || self.stamps.is_void() {
            return;
        }
        let Some(progress) = self.raw.raft.prs().get(to).filter(|it| it.recent_active) else { return };
        let (matched, last) = (progress.matched, self.raw.raft.raft_log.last_index());
        let is_able = !self.forgetful.contains_key(&to) && matched >= self.reign_from;
        // Near is who lacks few entries, or has what there is within half the time of an attempt: that leaves enough of it.
        let is_near = is_able
            && (self.has_caught_up(to)
                || mark.is_some_and(|(sequence, since)| {
                    matched >= sequence && now.duration_since(since) <= election / 2
                }));
        let Some(transfer) = &mut self.transfer else { return };
        let until = spreads_until.unwrap_or(now.saturating_add(election / SPREADS));
        if is_near && !is_spread && now < until {
            transfer.spreads_until = Some(until);
        } else if is_near {
            transfer.is_begun = true;
            self.raw.transfer_leader(to);
        } else if mark.is_none_or(|(sequence, _)| matched >= sequence) {
            transfer.mark = Some((last, now));
        }
    }

    /// Takes a summons to take over when this node can: what it has may be on its way to the disk, and the room for the first entry
    /// of its reign still be made.
    pub(super) fn take_summons(&mut self, message: Message) {
        let until = self.now.instant.saturating_add(self.election_time() / 2);
        self.summons = Some(Summons { message, until });
    }

    /// Takes over where that was asked for, and has become possible.
    pub(super) fn follow_summons(&mut self) {
        let Some(Summons { message, until }) = &self.summons else { return };
        let raft = &self.raw.raft;
        let counts = raft.term == message.term && raft.leader_id == message.from && self.now.instant < *until;
        if counts && !self.may_campaign() {
            return;
        }
        let Some(Summons { message, .. }) = self.summons.take().filter(|_| counts) else { return };
        let _ = self.raw.step(message);
        self.observe();
    }

    /// How long the library tries to hand over.
    fn election_time(&self) -> Duration {
        self.options.tick * self.options.election_ticks
    }
}
