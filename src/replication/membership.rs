//! Who is in the cluster: [`Membership`], and [`Change`], the entries of the log that change it.
//!
//! The consensus library decides what a change means for its quorums; this is what is written down of it, in encodings of
//! our own: the library's decoder sees nothing that came from a disk or a wire.

use std::collections::{BTreeMap, BTreeSet};

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use super::frame::Fault;
use super::wire::{Reader, put_bytes, put_u32, put_u64};
use crate::store::engine::replicated::CHANGE;

/// The version that is written, the only one read.
const VERSION: u8 = 1;
/// The most nodes a cluster has.
pub const NODES_MAX: usize = 64;
/// The most bytes said about a node, such as its address.
pub const ABOUT_BYTES_MAX: usize = 255;
/// How many nodes that were removed are remembered.
const REMOVED_MAX: usize = 256;

/// Who is in the cluster, as of an entry of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The entry that changed it last; 0 when it is empty.
    pub sequence: u64,
    /// Counts promotions by force: what is of an older generation takes no part any more.
    pub generation: u64,
    /// Nodes that vote.
    pub voters: BTreeSet<u64>,
    /// Nodes that follow without a vote.
    pub learners: BTreeSet<u64>,
    /// While a change of several voters is under way, those of before.
    pub outgoing: BTreeSet<u64>,
    /// Voters of before that will be learners.
    pub learners_next: BTreeSet<u64>,
    /// Nodes that were removed; each number is used once.
    pub removed: BTreeSet<u64>,
    /// Nodes that had forgotten something and were taken in again: the number under which they were.
    pub readmitted: BTreeMap<u64, u64>,
    /// Learners that had a vote before they forgot something, and get it again when they have caught up.
    pub returning: BTreeSet<u64>,
    /// What was said about each node, such as its address.
    pub about: BTreeMap<u64, Vec<u8>>,
}

/// A change of who is in the cluster, an entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The first entry of a cluster, or the first after a promotion by force: who is in it.
    Initial {
        /// The generation that it opens.
        generation: u64,
        /// Each node: its number, whether it votes, what is said about it.
        nodes: Vec<(u64, bool, Vec<u8>)>,
    },
    /// Takes a node in that follows without a vote.
    AddLearner {
        /// Its number, never used before.
        node: u64,
        /// What is said about it, such as its address.
        about: Vec<u8>,
    },
    /// Gives a learner a vote.
    Promote {
        /// The learner.
        node: u64,
    },
    /// Takes a node out, for good.
    Remove {
        /// The node.
        node: u64,
    },
    /// Gives the vote of one node, which is taken out, to a learner.
    Replace {
        /// Who goes.
        old: u64,
        /// The learner that takes its place.
        new: u64,
    },
    /// Ends a change of several voters.
    Leave,
    /// Takes a node in again that has forgotten something: it follows without a vote until it has caught up.
    Readmit {
        /// The node.
        node: u64,
        /// The number it gave itself when it found that it had forgotten something.
        incarnation: u64,
    },
}

impl Change {
    /// As an entry of the log.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = vec![CHANGE, VERSION];
        match self {
            Change::Initial { generation, nodes } => {
                to.push(1);
                put_u64(&mut to, *generation);
                put_u32(&mut to, nodes.len() as u32);
                for (node, is_voter, about) in nodes {
                    put_u64(&mut to, *node);
                    to.push(u8::from(*is_voter));
                    put_bytes(&mut to, about);
                }
            }
            Change::AddLearner { node, about } => {
                to.push(2);
                put_u64(&mut to, *node);
                put_bytes(&mut to, about);
            }
            Change::Promote { node } => {
                to.push(3);
                put_u64(&mut to, *node);
            }
            Change::Remove { node } => {
                to.push(4);
                put_u64(&mut to, *node);
            }
            Change::Replace { old, new } => {
                to.push(5);
                put_u64(&mut to, *old);
                put_u64(&mut to, *new);
            }
            Change::Leave => to.push(6),
            Change::Readmit { node, incarnation } => {
                to.push(7);
                put_u64(&mut to, *node);
                put_u64(&mut to, *incarnation);
            }
        }
        to
    }

    /// What an entry says.
    ///
    /// # Errors
    ///
    /// `Newer` for one of a later release, `Cut` and `Malformed` for what is none.
    pub fn decode(entry: &[u8]) -> Result<Self, Fault> {
        let mut from = Reader(entry);
        if from.u8()? != CHANGE {
            return Err(Fault::Malformed("the entry is no change of the cluster"));
        }
        let version = from.u8()?;
        if version != VERSION {
            return Err(Fault::Newer { version: u16::from(version) });
        }
        let about = |from: &mut Reader<'_>| -> Result<Vec<u8>, Fault> {
            let bytes = from.bytes()?;
            if bytes.len() > ABOUT_BYTES_MAX {
                return Err(Fault::Malformed("what is said about a node is too long"));
            }
            Ok(bytes.to_vec())
        };
        let node = |from: &mut Reader<'_>| match from.u64()? {
            0 => Err(Fault::Malformed("a node has the number 0")),
            node => Ok(node),
        };
        let change = match from.u8()? {
            1 => {
                let generation = from.u64()?;
                let count = from.count(13)?;
                if count > NODES_MAX {
                    return Err(Fault::Malformed("there are too many nodes"));
                }
                let mut nodes: Vec<(u64, bool, Vec<u8>)> = Vec::new();
                for _ in 0..count {
                    let number = node(&mut from)?;
                    let is_voter = match from.u8()? {
                        0 => false,
                        1 => true,
                        _ => return Err(Fault::Malformed("a node neither votes nor does it not")),
                    };
                    if nodes.last().is_some_and(|(last, ..)| *last >= number) {
                        return Err(Fault::Malformed("nodes are out of order"));
                    }
                    nodes.push((number, is_voter, about(&mut from)?));
                }
                if !nodes.iter().any(|(_, is_voter, _)| *is_voter) {
                    return Err(Fault::Malformed("nobody votes"));
                }
                Change::Initial { generation, nodes }
            }
            2 => Change::AddLearner { node: node(&mut from)?, about: about(&mut from)? },
            3 => Change::Promote { node: node(&mut from)? },
            4 => Change::Remove { node: node(&mut from)? },
            5 => Change::Replace { old: node(&mut from)?, new: node(&mut from)? },
            6 => Change::Leave,
            7 => Change::Readmit { node: node(&mut from)?, incarnation: from.u64()? },
            _ => return Err(Fault::Malformed("the change is of no known kind")),
        };
        from.end()?;
        Ok(change)
    }

    /// What the consensus library is told; `None` for an initial one, which is made of several.
    pub(super) fn for_raft(&self) -> Option<ConfChangeV2> {
        let single = |node, kind| {
            let mut single = ConfChangeSingle { node_id: node, ..ConfChangeSingle::default() };
            single.set_change_type(kind);
            single
        };
        let mut change = ConfChangeV2::default();
        let changes = match *self {
            Change::Initial { .. } => return None,
            Change::AddLearner { node, .. } | Change::Readmit { node, .. } => {
                vec![single(node, ConfChangeType::AddLearnerNode)]
            }
            Change::Promote { node } => vec![single(node, ConfChangeType::AddNode)],
            Change::Remove { node } => vec![single(node, ConfChangeType::RemoveNode)],
            Change::Replace { old, new } => {
                change.set_transition(ConfChangeTransition::Explicit);
                vec![single(old, ConfChangeType::RemoveNode), single(new, ConfChangeType::AddNode)]
            }
            Change::Leave => Vec::new(),
        };
        change.set_changes(changes.into());
        Some(change)
    }
}

impl Membership {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = vec![VERSION];
        put_u64(&mut to, self.sequence);
        put_u64(&mut to, self.generation);
        for nodes in [
            &self.voters,
            &self.learners,
            &self.outgoing,
            &self.learners_next,
            &self.removed,
            &self.returning,
        ] {
            put_u32(&mut to, nodes.len() as u32);
            nodes.iter().for_each(|node| put_u64(&mut to, *node));
        }
        put_u32(&mut to, self.readmitted.len() as u32);
        for (node, incarnation) in &self.readmitted {
            put_u64(&mut to, *node);
            put_u64(&mut to, *incarnation);
        }
        put_u32(&mut to, self.about.len() as u32);
        for (node, about) in &self.about {
            put_u64(&mut to, *node);
            put_bytes(&mut to, about);
        }
        to
    }

    /// What bytes say; the empty ones are the empty membership.
    ///
    /// # Errors
    ///
    /// `Newer` for one of a later release, `Cut` and `Malformed` for what is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut from = Reader(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(Fault::Newer { version: u16::from(version) });
        }
        let (sequence, generation) = (from.u64()?, from.u64()?);
        let mut nodes = || -> Result<BTreeSet<u64>, Fault> {
            let mut nodes = BTreeSet::new();
            for _ in 0..from.count(8)? {
                let node = from.u64()?;
                if node == 0 || nodes.last().is_some_and(|last| *last >= node) {
                    return Err(Fault::Malformed("nodes are out of order"));
                }
                nodes.insert(node);
            }
            Ok(nodes)
        };
        let (voters, learners, outgoing) = (nodes()?, nodes()?, nodes()?);
        let (learners_next, removed, returning) = (nodes()?, nodes()?, nodes()?);
        let mut readmitted = BTreeMap::new();
        for _ in 0..from.count(16)? {
            readmitted.insert(from.u64()?, from.u64()?);
        }
        let mut about = BTreeMap::new();
        for _ in 0..from.count(12)? {
            let node = from.u64()?;
            about.insert(node, from.bytes()?.to_vec());
        }
        from.end()?;
        let members = Self {
            sequence,
            generation,
            voters,
            learners,
            outgoing,
            learners_next,
            removed,
            readmitted,
            returning,
            about,
        };
        members.check()?;
        Ok(members)
    }

    /// Takes in an initial change: all who are not in it are out, and all who are in it are in.
    pub(super) fn take_initial(&mut self, sequence: u64, change: &Change) {
        let Change::Initial { generation, nodes } = change else { return };
        let before: BTreeSet<u64> = self.nodes().collect();
        let of = |votes: bool| nodes.iter().filter(move |it| it.1 == votes).map(|it| it.0).collect();
        self.sequence = sequence;
        self.generation = *generation;
        (self.voters, self.learners) = (of(true), of(false));
        self.outgoing.clear();
        self.learners_next.clear();
        self.readmitted.clear();
        self.returning.clear();
        let all: BTreeSet<u64> = self.nodes().collect();
        self.removed.extend(before.difference(&all));
        // One whose removal was not known to be committed is in it again.
        self.removed.retain(|node| !all.contains(node));
        self.about = nodes.iter().map(|(node, _, about)| (*node, about.clone())).collect();
    }

    /// What the consensus library would not take.
    fn check(&self) -> Result<(), Fault> {
        let is_empty = self.voters.is_empty();
        let is_right = self.nodes().count() <= NODES_MAX
            && self.learners.is_disjoint(&self.voters)
            && self.learners.is_disjoint(&self.outgoing)
            && self.learners_next.is_subset(&self.outgoing)
            && self.learners_next.is_disjoint(&self.voters)
            && !(is_empty && !(self.learners.is_empty() && self.outgoing.is_empty()));
        if is_right { Ok(()) } else { Err(Fault::Malformed("the membership contradicts itself")) }
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = u64> {
        let all: BTreeSet<u64> =
            self.voters.iter().chain(&self.learners).chain(&self.outgoing).copied().collect();
        all.into_iter()
    }

    /// Whether a node votes, in what is coming or in what was.
    pub fn is_voter(&self, node: u64) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether a change of several voters is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The least value that more than half of the voters reach, of those in charge, and of those of before while a change
    /// is under way. `of` gives that of a voter.
    pub fn quorum_of<T: Ord + Copy>(&self, of: impl Fn(u64) -> T) -> Option<T> {
        let half = |voters: &BTreeSet<u64>| {
            let mut values: Vec<T> = voters.iter().map(|node| of(*node)).collect();
            values.sort_unstable_by(|a, b| b.cmp(a));
            values.get(voters.len() / 2).copied()
        };
        match (half(&self.voters), half(&self.outgoing)) {
            (Some(incoming), Some(outgoing)) => Some(incoming.min(outgoing)),
            (incoming, _) => incoming,
        }
    }

    /// For the consensus library.
    pub(super) fn for_raft(&self) -> ConfState {
        let mut state = ConfState::default();
        state.set_voters(self.voters.iter().copied().collect());
        state.set_learners(self.learners.iter().copied().collect());
        state.set_voters_outgoing(self.outgoing.iter().copied().collect());
        state.set_learners_next(self.learners_next.iter().copied().collect());
        state
    }

    /// Takes in a change that the consensus library made `state` of.
    pub(super) fn take(&mut self, sequence: u64, change: &Change, state: &ConfState) {
        let was_voter = |node: &u64| self.is_voter(*node);
        if let Change::Readmit { node, .. } = change
            && was_voter(node)
        {
            self.returning.insert(*node);
        }
        let before: BTreeSet<u64> = self.nodes().collect();
        self.sequence = sequence;
        self.voters = state.get_voters().iter().copied().collect();
        self.learners = state.get_learners().iter().copied().collect();
        self.outgoing = state.get_voters_outgoing().iter().copied().collect();
        self.learners_next = state.get_learners_next().iter().copied().collect();
        match change {
            Change::Initial { .. } => self.take_initial(sequence, change),
            Change::AddLearner { node, about } => {
                self.about.insert(*node, about.clone());
            }
            Change::Promote { node } => {
                self.returning.remove(node);
            }
            Change::Remove { .. } | Change::Replace { .. } | Change::Leave => {}
            Change::Readmit { node, incarnation } => {
                self.readmitted.insert(*node, *incarnation);
            }
        }
        // Who is replaced counts until the change ends.
        let after: BTreeSet<u64> = self.nodes().collect();
        for gone in before.difference(&after) {
            self.removed.insert(*gone);
            self.about.remove(gone);
            self.returning.remove(gone);
            self.readmitted.remove(gone);
        }
        while self.removed.len() > REMOVED_MAX {
            self.removed.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_back_and_nothing_else_does() {
        for change in [
            Change::Initial { generation: 3, nodes: vec![(1, true, b"a".to_vec()), (7, false, Vec::new())] },
            Change::AddLearner { node: 4, about: b"10.0.0.4:7400".to_vec() },
            Change::Promote { node: 4 },
            Change::Remove { node: 4 },
            Change::Replace { old: 1, new: 4 },
            Change::Leave,
            Change::Readmit { node: 2, incarnation: 99 },
        ] {
            let bytes = change.encode();
            assert_eq!(Change::decode(&bytes).unwrap(), change);
            for len in 0..bytes.len() {
                assert!(Change::decode(&bytes[..len]).is_err(), "{change:?} cut to {len}");
            }
            assert!(Change::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        let empty = Change::Initial { generation: 1, nodes: vec![(1, false, Vec::new())] };
        assert!(Change::decode(&empty.encode()).is_err(), "nobody votes");
    }

    #[test]
    fn a_membership_reads_back_and_one_that_cannot_be_does_not() {
        let good = Membership {
            sequence: 9,
            generation: 1,
            voters: [1, 2, 4].into(),
            learners: [5].into(),
            outgoing: [1, 2, 3].into(),
            learners_next: [3].into(),
            removed: [8].into(),
            readmitted: [(5, 77)].into(),
            returning: [5].into(),
            about: [(1, b"here".to_vec())].into(),
        };
        let bytes = good.encode();
        assert_eq!(Membership::decode(&bytes).unwrap(), good);
        for len in 1..bytes.len() {
            assert!(Membership::decode(&bytes[..len]).is_err());
        }
        let bad = Membership { learners: [1].into(), ..good.clone() };
        assert!(Membership::decode(&bad.encode()).is_err());
        let bad = Membership { voters: [].into(), ..good };
        assert!(Membership::decode(&bad.encode()).is_err());
    }

    #[test]
    fn more_than_half_of_both_sides_count() {
        let of = |node: u64| [0, 50, 40, 30, 20, 10][node as usize];
        let three = Membership { voters: [1, 2, 3].into(), ..Membership::default() };
        assert_eq!(three.quorum_of(of), Some(40));
        let joint = Membership { outgoing: [3, 4, 5].into(), ..three };
        assert_eq!(joint.quorum_of(of), Some(20));
        let two = Membership { voters: [1, 2].into(), ..Membership::default() };
        assert_eq!(two.quorum_of(of), Some(40));
        assert_eq!(Membership::default().quorum_of(of), None);
    }
}
