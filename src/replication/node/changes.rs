//! Changes of who is in the cluster: which can be, and how they come into the log.

use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType};

use super::calls::refused;
use super::open::Local;
use super::{Change, Denied, Node, Ticket};
use crate::error::{Error, Result as StoreResult};
use crate::store::engine::Now;
use crate::time::Instant;

impl Node {
    /// Changes who is in the cluster: one change at a time.
    ///
    /// # Errors
    ///
    /// `Busy` while another change is under way, `Refused` for one that cannot be, `NotPrimary` and the like. A primary is
    /// not removed: hand over before.
    pub fn change(&mut self, change: &Change, deadline: Option<Instant>, now: Now) -> Result<Ticket, Denied> {
        self.pass(now);
        self.check_primary(now)?;
        self.check_waiting()?;
        self.check_change(change).map_err(refused)?;
        if self.raw.raft.has_pending_conf() || self.members.is_joint() || !self.is_settled() {
            return Err(Denied::Busy("a change of the cluster"));
        }
        let ticket = self.calls.next();
        self.propose_change(change, Some((ticket, deadline)))?;
        Ok(ticket)
    }

    fn check_change(&self, change: &Change) -> StoreResult<()> {
        let members = &self.members;
        let wrong = |why: String| Err(Error::invalid("change", why));
        let known = |node: u64| members.nodes().any(|it| it == node);
        match change {
            Change::AddLearner { node, about } => {
                if *node == 0 || known(*node) || members.removed.contains(node) {
                    return wrong(format!(
                        "node {node} is or was in the cluster; each number is used once, from 1"
                    ));
                }
                if about.len() > crate::replication::ABOUT_BYTES_MAX
                    || members.nodes().count() >= crate::replication::NODES_MAX
                {
                    return wrong(format!("node {node} is one too many, or too much is said about it"));
                }
                let most = self.engine.options().log.membership_bytes_max();
                let needed = Local::bytes_max_with(members, about.len());
                if needed > most {
                    return wrong(format!(
                        "with node {node} it may take {needed} bytes to write down who is in the cluster, and {most} fit a segment: \
                         say less about each node, or make segments longer (segment_bytes)"
                    ));
                }
            }
            Change::Promote { node } => self.check_learner(*node)?,
            Change::Remove { node } | Change::Replace { old: node, .. } => {
                if !known(*node) || *node == self.identity.node {
                    return wrong(format!(
                        "node {node} cannot be taken out: it is not there, or primary; hand over before"
                    ));
                }
                if let Change::Replace { new, .. } = change {
                    if !members.voters.contains(node) {
                        return wrong(format!("node {node} has no vote to give"));
                    }
                    self.check_learner(*new)?;
                }
            }
            Change::Initial { .. } | Change::Leave | Change::Readmit { .. } => {
                return wrong("that is a change the cluster makes by itself".into());
            }
        }
        self.check_quorum_after(change)
    }

    fn check_learner(&self, node: u64) -> StoreResult<()> {
        if !self.members.learners.contains(&node) {
            return Err(Error::invalid("change", format!("node {node} is no learner")));
        }
        if !self.has_caught_up(node) {
            let why = format!("node {node} is too far behind to vote; wait until it has caught up");
            return Err(Error::invalid("change", why));
        }
        if !self.is_heard(node) {
            let why = format!("node {node} is not heard, and would be counted on; wait until it is back");
            return Err(Error::invalid("change", why));
        }
        Ok(())
    }

    /// Whether a node was heard within the time after which an election begins.
    pub fn is_heard(&self, node: u64) -> bool {
        let silence = self.options.tick * self.options.election_ticks;
        let is_recent = |it: &super::Process| it.heard_at.saturating_add(silence) > self.now.instant;
        node == self.identity.node || self.processes.get(&node).is_some_and(is_recent)
    }

    /// Refuses what would leave too few voters that are there.
    fn check_quorum_after(&self, change: &Change) -> StoreResult<()> {
        let mut voters = self.members.voters.clone();
        match change {
            Change::Promote { node } => {
                voters.insert(*node);
            }
            Change::Remove { node } => {
                voters.remove(node);
            }
            Change::Replace { old, new } => {
                voters.remove(old);
                voters.insert(*new);
            }
            _ => return Ok(()),
        }
        let heard = voters.iter().filter(|it| self.is_heard(**it)).count();
        let needed = voters.len() / 2 + 1;
        if voters != self.members.voters && heard < needed {
            let why = format!(
                "of {} nodes that would vote then only {heard} are heard, and {needed} are needed: nothing could be written. \
                 Take out first, or bring back, those that are lost",
                voters.len()
            );
            return Err(Error::invalid("change", why));
        }
        Ok(())
    }

    /// Whether a node has all that was committed a heartbeat or two ago.
    pub fn has_caught_up(&self, node: u64) -> bool {
        let committed = self.raw.raft.raft_log.committed;
        let matched = self.raw.raft.prs().get(node).map_or(0, |it| it.matched);
        let is_whole = !self.forgetful.contains_key(&node) && !self.flagged.contains(&node);
        is_whole && matched + 64 >= committed && matched >= self.reign_from
    }

    pub(super) fn propose_change(
        &mut self,
        change: &Change,
        caller: Option<(Ticket, Option<Instant>)>,
    ) -> Result<(), Denied> {
        let Some(for_raft) = change.for_raft() else { return Ok(()) };
        if !self.engine.has_room(1 << 10) {
            return Err(Denied::Busy("the disk"));
        }
        let mut entry = Entry::default();
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        entry.data = for_raft.write_to_bytes().map_err(|_| Denied::Busy("the change"))?.into();
        entry.context = change.encode().into();
        let Some(first) = self.step_proposal(vec![entry]) else { return Err(Denied::Busy("the log")) };
        if let Some((ticket, deadline)) = caller {
            let epoch = self.raw.raft.term;
            self.calls.writes.insert_change(first, ticket, epoch, deadline, self.members.voters.len());
        }
        Ok(())
    }
}
