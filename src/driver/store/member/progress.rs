//! How far the nodes are, for pools that leave out who is too far behind: each tells those who have asked.

use super::Member;
use super::kept::What;
use crate::replication::Status;
use crate::replication::progress::{Known, Report};
use crate::replication::relay::Relay;
use crate::resp::Freshness;
use crate::store::engine::Now;
use crate::time::Instant;

impl Member {
    /// From now on the others are asked how far they are.
    pub(in crate::driver::store) fn want_reports(&mut self) {
        if self.progress.want() {
            let linked: Vec<u64> = self.people.linked().collect();
            linked.into_iter().for_each(|to| self.say(to, 0, &Relay::Ask));
        }
    }

    /// Tells those who have asked, if it is time.
    pub(super) fn report(&mut self, now: Instant) {
        let askers = self.progress.poll_askers(now);
        if askers.is_empty() {
            return;
        }
        let report = Relay::Report(own_report(&self.node.status()));
        askers.into_iter().for_each(|to| self.send(to, What::Report, 0, &report));
    }

    /// A node has told.
    pub(super) fn take_report(&mut self, from: u64, report: &Report, now: Instant) {
        let committed = self.node.status().committed;
        self.progress.handle_report(from, report, committed, now);
        self.is_reported = true;
    }

    /// Whether a node has told since this was asked last.
    pub(in crate::driver::store) fn take_reported(&mut self) -> bool {
        std::mem::take(&mut self.is_reported)
    }

    /// How far a node is; nothing is told of it where nobody has asked.
    pub(super) fn freshness(&self, status: &Status, number: u64, now: Now) -> Option<Freshness> {
        if !self.progress.wants() {
            return None;
        }
        let known = match number == self.own {
            true => {
                let report = own_report(status);
                Some(Known::new(&report, self.progress.committed(), now.instant))
            }
            false => self.progress.of(number),
        };
        known.map(|Known { fresh_since, behind, heard_at }| Freshness { fresh_since, behind, heard_at })
    }
}

/// What this node says of itself.
fn own_report(status: &Status) -> Report {
    Report { applied: status.applied, committed: status.committed, age: status.age }
}
