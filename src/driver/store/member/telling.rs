//! What Redis clients are told of the cluster.

use super::Member;
use crate::driver::store::shared::Core;
use crate::error::Result;
use crate::replication::{Position, Role, Standing};
use crate::resp::{ClientAddress, Node, Topology};
use crate::store::engine::Now;

impl Member {
    /// What is known now.
    pub(in crate::driver::store) fn topology(&self, now: Now) -> Topology {
        let status = self.node.status();
        let members = self.node.members();
        let mut numbers: Vec<u64> = members.nodes().collect();
        if !numbers.contains(&self.own) {
            // It is yet to be added, or was taken out.
            numbers.push(self.own);
        }
        let nodes: Vec<Node> = numbers
            .iter()
            .map(|number| {
                let person = self.people.get(*number);
                let is_own = *number == self.own;
                let matched = status.matched.iter().find(|it| it.0 == *number).map(|it| it.1);
                Node {
                    name: self.people.name(*number),
                    address: person.and_then(|it| ClientAddress::parse(it.client_address.as_ref()?)),
                    reached_at: person.and_then(|it| ClientAddress::parse(it.reached_at.as_ref()?)),
                    is_voter: members.is_voter(*number),
                    has_vote: self.node.has_vote(*number),
                    is_linked: is_own || self.people.is_linked(*number),
                    source: self.source_of(&status, *number).map(|it| self.people.name(it)),
                    sequence: if is_own { Some(status.applied) } else { matched },
                    freshness: self.freshness(&status, *number, now),
                }
            })
            .collect();
        let own = numbers.iter().position(|it| *it == self.own).expect("it is among them");
        let is_sure = status.role != Role::Primary || self.node.reign(now.instant).is_some();
        let primary = status.primary.filter(|_| is_sure);
        Topology {
            cluster: self.options.cluster.clone(),
            generation: members.generation,
            epoch: status.epoch,
            primary: primary.and_then(|it| numbers.iter().position(|number| *number == it)),
            nodes,
            own,
            forwards: self.options.forwards,
            is_degraded: status.is_degraded,
            degraded_writes: status.degraded_writes,
            fenced: match self.node.standing() {
                Standing::Fenced(fence) => Some(fence.describe()),
                _ => None,
            },
        }
    }

    /// How many other nodes have all up to `position` on their disks, as far as is known: a primary knows of each, another node that
    /// what is applied is on more than half of the voters. What is lost no node has: before something is applied in its place
    /// only the primary that wrote it can tell.
    pub(in crate::driver::store) fn replicas_with(&self, position: Position) -> u64 {
        let Position { epoch, sequence } = position;
        let status = self.node.status();
        let is_applied = status.applied >= sequence;
        if self.node.is_lost(position) {
            return 0;
        }
        if status.role == Role::Primary {
            let is_certain = is_applied || epoch == status.epoch;
            return status.matched.iter().filter(|it| is_certain && it.1 >= sequence).count() as u64;
        }
        let voters = &self.node.members().voters;
        let quorum = if voters.is_empty() { 0 } else { voters.len() as u64 / 2 + 1 };
        let others = quorum.saturating_sub(u64::from(voters.contains(&self.own)));
        if is_applied { others } else { 0 }
    }

    /// The place of an entry that is applied; where the log has let go of it, that of the last one that is.
    pub(in crate::driver::store) fn place_of(&self, sequence: u64) -> Position {
        match self.node.epoch_of(sequence).filter(|epoch| *epoch > 0) {
            Some(epoch) => Position { epoch, sequence },
            None => Position {
                epoch: self.engine().applied_epoch().0,
                sequence: self.node.state().sequence().max(sequence),
            },
        }
    }

    /// The epoch of which this node is primary.
    pub(in crate::driver::store) fn reign(&self) -> Option<u64> {
        self.node.ruled_epoch()
    }

    /// Whether what was at a position is lost with a primary.
    pub(in crate::driver::store) fn is_lost(&self, position: Position) -> bool {
        self.node.is_lost(position)
    }

    /// Whether other nodes have come further since this was asked last.
    pub(in crate::driver::store) fn take_progress(&mut self) -> bool {
        let status = self.node.status();
        let others: u64 = match status.role {
            Role::Primary => status.matched.iter().map(|it| it.1).sum(),
            _ => 0,
        };
        // What is applied tells what is lost, too.
        let progress = others.saturating_add(status.applied);
        std::mem::replace(&mut self.told_progress, progress) != progress
    }

    /// Whether what is told of the cluster has changed since this was asked last.
    pub(in crate::driver::store) fn take_topology_news(&mut self) -> bool {
        std::mem::take(&mut self.is_topology_new)
    }

    /// Begins to hand over. What comes of it is told as an event.
    pub(in crate::driver::store) fn begin_transfer(&mut self, to: &str, now: Now) -> Result<()> {
        let number = self.people.number(to)?;
        self.node.transfer(number, now).map(drop).map_err(|why| self.error(why))
    }
}

impl Core {
    /// In a cluster: tells the loops that serve Redis clients what has changed.
    pub(in crate::driver::store) fn tell_lanes(&mut self) {
        let wants_progress = self.lanes.want_progress();
        let Some(member) = self.ground.member() else { return };
        let is_progress = wants_progress && member.take_progress();
        let is_changed = member.take_topology_news();
        let is_reported = member.take_reported();
        let heard = member.take_heard();
        self.lanes.hear(heard);
        self.lanes.note_cluster(is_progress, is_changed, is_reported);
        self.lanes.ring();
    }
}
