//! A voter is replaced while another one is behind, and that one loses power as soon as it has answered for the change and its end:
//! then those that voted before are parted from those that vote now. Each of them would be a majority.

use std::collections::BTreeSet;

use crate::replication::{Change, Standing};

use super::links::{MS, SECOND};
use super::world::{Event, World};

/// After which time it is given up.
const PATIENCE: u64 = 2 * SECOND;
/// How long they are parted.
const PARTED: u64 = 3 * SECOND + SECOND / 2;

/// A replacement under way.
#[derive(Debug)]
pub(super) struct Replacement {
    primary: u64,
    /// The voter that is behind.
    late: u64,
    /// The one that is replaced.
    old: u64,
    /// Since the change is done: the entry that ended it.
    ended_by: Option<u64>,
    until: u64,
}

impl World {
    /// Begins one, where nothing else goes wrong. Once in a world.
    pub(super) fn replace(&mut self) -> Result<(), String> {
        let Some(primary) = self.primary().filter(|_| self.links.is_well()) else { return Ok(()) };
        let is_well = |id: &u64| {
            let node = self.hosts[id].node.as_ref();
            node.is_some_and(|it| *it.standing() == Standing::Active && it.engine().failure().is_none())
        };
        let node = self.hosts[&primary].node.as_ref().expect("a primary runs");
        let members = node.members().clone();
        let voters: Vec<u64> = members.voters.iter().copied().filter(|it| *it != primary).collect();
        let [late, old] = voters[..] else { return Ok(()) };
        let Some(new) = members.learners.first().copied() else { return Ok(()) };
        if members.is_joint() || ![late, old, new].iter().all(is_well) {
            return Ok(());
        }
        let host = self.hosts.get_mut(&primary).expect("it is there");
        let now = host.now(self.now);
        let node = host.node.as_mut().expect("a primary runs");
        if node.change(&Change::Replace { old, new }, None, now).is_ok() {
            self.summary.changes += 1;
            self.part(&[late]);
            let until = self.now + PATIENCE;
            self.replacement = Some(Replacement { primary, late, old, ended_by: None, until });
            self.may_replace = false;
        }
        self.settle(primary)
    }

    /// Whether one is under way, and nothing else is to go wrong.
    pub(super) fn is_replacing(&mut self) -> bool {
        if self.replacement.as_ref().is_some_and(|it| it.until <= self.now) {
            self.replacement = None;
            self.links.heal();
        }
        self.replacement.is_some()
    }

    /// A node has done what it was told, and its frames have not left. The one that is replaced does not hear that this is over.
    pub(super) fn see_replaced(&mut self, id: u64) {
        let Some(mut it) = self.replacement.take_if(|it| it.primary == id && it.ended_by.is_none()) else {
            return;
        };
        let members = self.hosts[&id].node.as_ref().map(|node| node.members());
        if let Some(members) = members.filter(|of| !of.is_joint() && !of.is_voter(it.old)) {
            it.ended_by = Some(members.sequence);
            self.part(&[it.old]);
        }
        self.replacement = Some(it);
    }

    /// The frames of a node have left, and it was looked at. The one that was behind loses power where it has answered for all of the change.
    pub(super) fn see_answered(&mut self, id: u64) -> bool {
        let has_all = |it: &mut Replacement| {
            let durable = self.hosts[&id].node.as_ref().map(|node| node.engine().durable_sequence());
            it.late == id && it.ended_by.is_some_and(|end| durable >= Some(end))
        };
        let Some(it) = self.replacement.take_if(has_all) else { return false };
        self.summary.replaced += 1;
        self.crash(id, 20 * MS);
        self.part(&[it.late, it.old]);
        self.at(self.now + PARTED, Event::Heal);
        // Nothing else goes wrong meanwhile.
        let until = self.now + PARTED;
        self.replacement = Some(Replacement { primary: 0, late: 0, old: 0, ended_by: None, until });
        true
    }

    /// Some are parted from the others, and nobody else is.
    fn part(&mut self, some: &[u64]) {
        self.links.heal();
        let ids: BTreeSet<u64> = self.hosts.keys().copied().collect();
        for a in some {
            for b in ids.iter().filter(|it| !some.contains(it)) {
                self.links.cut.extend([(*a, *b), (*b, *a)]);
            }
        }
    }
}
