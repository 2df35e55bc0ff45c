//! What is wrong with a node, in words: what an operator reads in its status, and what to do about it.

use super::Member;
use crate::error::Error;
use crate::replication::{Role, Standing, damage};

impl Member {
    /// What keeps the node from its part, or writes from being done, if anything does.
    pub(super) fn trouble(&self, role: Role) -> Option<String> {
        let members = self.node.members();
        match self.node.standing() {
            Standing::Active | Standing::Forgetful { .. } if let Some(error) = self.node.failed_install() => Some(format!(
                "cannot keep the snapshot that the others send: {error}; it is tried again within 30 s"
            )),
            Standing::Active if members.nodes().next().is_none() && self.misses_primary() => Some(
                "waits to hear from the cluster's primary who is in the cluster; that is none of the nodes in this one's peers: name \
                 it there, as trimtab store status of another node tells it, and start this one again"
                    .into(),
            ),
            Standing::Active if members.nodes().next().is_none() => {
                Some("waits to hear from the cluster's primary who is in the cluster".into())
            }
            Standing::Active => self.refusals.removed().map(str::to_owned).or_else(|| {
                let problem = self.engine().problem()?;
                // A limit of its own is mostly reached for a moment: a snapshot makes room, unless it is there already.
                let engine = self.engine();
                let is_snapshotted = engine.snapshot_sequence() >= engine.state().sequence();
                let has_room = engine.has_room(self.options.replication.message_bytes);
                let is_stuck = matches!(problem, Error::Io { .. }) || is_snapshotted || !has_room;
                is_stuck.then(|| format!("its disk takes no more of the log: {problem}"))
            })
            .or_else(|| {
                let (asked, there) = (self.options.nodes as usize, members.nodes().count());
                (asked > there && role == Role::Primary).then(|| {
                    format!(
                        "durability asks for {asked} nodes, and the cluster has {there}: no write reaches that; add one, or ask for less"
                    )
                })
            }),
            Standing::Founding => Some(
                "begins a new cluster, and waits until enough of its voters say that they are new too".into(),
            ),
            Standing::Forgetful { .. } if self.misses_primary() => Some(
                "has forgotten what it promised, and votes for nobody until the cluster's primary takes it in again; that is none of \
                 the nodes in this one's peers: name it there, as trimtab store status of another node tells it, and start this \
                 one again"
                    .into(),
            ),
            Standing::Forgetful { .. } if !members.nodes().any(|it| it == self.own) => {
                let (name, address) = (&self.options.node, self.options.own().and_then(|it| it.address));
                let address = address.map(|it| format!(" {it}")).unwrap_or_default();
                Some(format!(
                    "waits to be added to the cluster; have the primary do so: trimtab store add {name}{address}"
                ))
            }
            Standing::Forgetful { .. }
                if members.is_voter(self.own) && members.voters.len() < damage::VOTERS_MIN =>
            {
                Some(format!(
                    "has forgotten what it promised, votes for nobody, and with fewer than {} voters cannot be taken in \
                     again: stop the node that has most, mostly a learner, and promote its directory by force: trimtab store \
                     promote --dir DIR --force",
                    damage::VOTERS_MIN
                ))
            }
            Standing::Forgetful { .. } => {
                Some("has forgotten what it promised, and votes for nobody until it is taken in again".into())
            }
            Standing::Fenced(fence) => Some(fence.describe()),
            Standing::Failed(error) => Some(error.to_string()),
        }
    }

    /// Others say that there is a primary, and this node does not know where that is.
    fn misses_primary(&self) -> bool {
        let primary = self.node.primary().or(self.node.primary_by_hearsay());
        primary.is_some_and(|it| self.people.get(it).is_none())
    }
}
