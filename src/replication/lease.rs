//! Stamps: by them a primary knows how long it is one for certain, and a replica how old what it has is.
//!
//! Every frame bears a stamp, a number that rises, near its sender's clock; and echoes the highest one of the receiver's
//! that its sender has taken in. A replica echoes a primary's stamp only when that frame renewed its promise to elect
//! nobody for a while. So:
//!
//! - a primary that finds its stamp `s` echoed by a quorum was primary when that quorum answered, and nobody else is until
//!   the promises end: a *lease* from `s` on, by its own clock. It also answers every read that came before `s`;
//! - a replica that finds its stamp `p` echoed by a primary that vouches for what was committed when it sent this has, once
//!   it has applied that, a state that is at most as old as `p`, by its own clock.
//!
//! Leases are of one epoch. When a primary tells somebody to take over, the promises to it are void for the rest of that:
//! the request may arrive late, and so may the votes it leads to. If nothing comes of it, the primary has itself elected
//! anew, which makes all that is late of no account.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::membership::Membership;
use crate::time::Instant;

/// How many vouchers are kept that cannot be used yet.
const VOUCHERS_MAX: usize = 64;

/// The stamps of one node.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    last: u64,
    /// The highest of each other node's that counts here, in this epoch.
    heard: BTreeMap<u64, u64>,
    /// The highest of ours that each other node has echoed, in this epoch.
    echoed: BTreeMap<u64, u64>,
    /// What a primary has vouched for, and is not applied yet: committed up to, as of our stamp.
    vouchers: VecDeque<(u64, u64)>,
    fresh: Option<u64>,
    /// Somebody was told to take over in this epoch.
    is_void: bool,
}

impl Stamps {
    /// The next stamp.
    pub(super) fn next(&mut self, now: Instant) -> u64 {
        self.last = (self.last + 1).max(now.as_nanos());
        self.last
    }

    /// The one given last.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// As of which of ours what is applied here is all that was committed; 0: that is not known.
    pub(super) fn fresh(&self) -> u64 {
        self.fresh.unwrap_or(0)
    }

    /// A new epoch, or another primary: what was promised before is void. What is fresh stays so.
    pub(super) fn reset(&mut self) {
        self.heard.clear();
        self.echoed.clear();
        self.vouchers.clear();
        self.is_void = false;
    }

    /// Somebody was told to take over.
    pub(super) fn void(&mut self) {
        self.is_void = true;
    }

    /// Whether somebody was.
    pub(super) fn is_void(&self) -> bool {
        self.is_void
    }

    /// Takes a stamp in that counts.
    pub(super) fn hear(&mut self, from: u64, stamp: u64) {
        let heard = self.heard.entry(from).or_default();
        *heard = stamp.max(*heard);
    }

    /// Another process runs as a node, on a machine that may have been started anew: its stamps are other ones.
    pub(super) fn forget(&mut self, from: u64) {
        self.heard.remove(&from);
    }

    /// What to echo to a node.
    pub(super) fn echo_for(&self, to: u64) -> u64 {
        self.heard.get(&to).copied().unwrap_or(0)
    }

    /// A node has echoed one of ours.
    pub(super) fn take_echo(&mut self, from: u64, echo: u64) {
        if echo > 0 && echo <= self.last {
            let echoed = self.echoed.entry(from).or_default();
            *echoed = echo.max(*echoed);
        }
    }

    /// The latest stamp that a quorum has echoed; this node counts as having echoed all.
    pub(super) fn confirmed(&self, members: &Membership, node: u64) -> u64 {
        let of = |voter| if voter == node { u64::MAX } else { self.echoed.get(&voter).copied().unwrap_or(0) };
        members.quorum_of(of).unwrap_or(0)
    }

    /// Until when nobody else is primary.
    pub(super) fn lease_until(
        &self,
        members: &Membership,
        node: u64,
        lease: Duration,
        now: Instant,
    ) -> Option<Instant> {
        if self.is_void {
            return None;
        }
        match self.confirmed(members, node) {
            0 => None,
            stamp => Some(Instant::from_nanos(stamp.min(now.as_nanos())).saturating_add(lease)),
        }
    }

    /// A primary vouches that up to `committed` all was committed when it had taken in our stamp `echo`.
    pub(super) fn vouch(&mut self, committed: u64, echo: u64, applied: u64) {
        if echo == 0 || echo > self.last {
            return;
        }
        if committed <= applied {
            self.fresh = self.fresh.max(Some(echo));
        } else if self.vouchers.len() < VOUCHERS_MAX {
            self.vouchers.push_back((committed, echo));
        }
    }

    /// Entries up to this one are applied.
    pub(super) fn applied(&mut self, applied: u64) {
        while let Some((committed, stamp)) = self.vouchers.front()
            && *committed <= applied
        {
            self.fresh = self.fresh.max(Some(*stamp));
            self.vouchers.pop_front();
        }
    }

    /// As of when what is applied here is all that was committed, by this node's clock.
    pub(super) fn fresh_since(&self) -> Option<Instant> {
        self.fresh.map(Instant::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(100);

    fn three() -> Membership {
        Membership { voters: [1, 2, 3].into(), ..Membership::default() }
    }

    #[test]
    fn a_lease_begins_when_what_a_quorum_answered_was_sent() {
        let mut stamps = Stamps::default();
        let sent = stamps.next(Instant::from_millis(10));
        let now = Instant::from_millis(50);
        assert_eq!(stamps.lease_until(&three(), 1, LEASE, now), None);
        stamps.take_echo(2, sent);
        assert_eq!(stamps.lease_until(&three(), 1, LEASE, now), Some(Instant::from_millis(110)));
        let later = stamps.next(Instant::from_millis(50));
        stamps.take_echo(3, later);
        assert_eq!(stamps.lease_until(&three(), 1, LEASE, now), Some(Instant::from_millis(150)));
        // What was never sent confirms nothing.
        stamps.take_echo(2, later + 1);
        assert_eq!(stamps.confirmed(&three(), 1), later);
        stamps.void();
        assert_eq!(stamps.lease_until(&three(), 1, LEASE, now), None);
        stamps.reset();
        assert_eq!(stamps.confirmed(&three(), 1), 0);
    }

    #[test]
    fn one_voter_needs_nobody() {
        let one = Membership { voters: [1].into(), learners: [2].into(), ..Membership::default() };
        let now = Instant::from_millis(7);
        assert_eq!(Stamps::default().lease_until(&one, 1, LEASE, now), Some(now.saturating_add(LEASE)));
    }

    #[test]
    fn what_is_vouched_for_counts_when_it_is_applied() {
        let mut stamps = Stamps::default();
        let first = stamps.next(Instant::from_millis(1));
        let second = stamps.next(Instant::from_millis(2));
        stamps.vouch(5, first, 4);
        stamps.vouch(9, second, 4);
        assert_eq!(stamps.fresh_since(), None);
        stamps.applied(6);
        assert_eq!(stamps.fresh_since(), Some(Instant::from_millis(1)));
        stamps.applied(9);
        assert_eq!(stamps.fresh_since(), Some(Instant::from_millis(2)));
    }
}
