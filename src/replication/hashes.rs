//! What nodes have come to, held against each other: the hash of the state at the same sequences.

use std::collections::BTreeMap;

use super::membership::Membership;

/// How many sequences are remembered.
const POINTS_MAX: usize = 16;

/// The hash of the state, and of who was in the cluster; the latter 0 when it is not known.
pub(super) type Hash = (u128, u64);

#[derive(Debug, Default)]
pub(super) struct Hashes {
    /// Of which generation the nodes are that the points are of.
    generation: u64,
    points: BTreeMap<u64, BTreeMap<u64, Hash>>,
}

impl Hashes {
    /// Takes in what a node had at a sequence. Gives the nodes that have come to something else there than more than half of
    /// the voters, which have come to the same.
    pub(super) fn take(&mut self, sequence: u64, node: u64, hash: Hash, members: &Membership) -> Vec<u64> {
        if std::mem::replace(&mut self.generation, members.generation) != members.generation {
            // Those that a promotion by force put out have come to what they have, and are judged no more.
            self.points.clear();
        }
        self.points.entry(sequence).or_default().insert(node, hash);
        while self.points.len() > POINTS_MAX {
            self.points.pop_first();
        }
        let Some(point) = self.points.get(&sequence) else { return Vec::new() };
        let half = members.voters.len() / 2;
        let is_same = |a: &Hash, b: &Hash| a.0 == b.0 && (a.1 == b.1 || a.1 == 0 || b.1 == 0);
        let is_right = |hash: &&Hash| {
            let same = point.iter().filter(|(node, it)| members.voters.contains(node) && is_same(it, hash));
            same.count() > half
        };
        let Some(right) = point.values().find(is_right) else { return Vec::new() };
        point.iter().filter(|(_, hash)| !is_same(hash, right)).map(|(node, _)| *node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_differs_from_more_than_half_is_named() {
        let members = Membership { voters: [1, 2, 3].into(), learners: [4].into(), ..Membership::default() };
        let mut hashes = Hashes::default();
        assert_eq!(hashes.take(10, 1, (7, 1), &members), Vec::<u64>::new());
        assert_eq!(hashes.take(10, 2, (8, 1), &members), Vec::<u64>::new(), "one against one says nothing");
        assert_eq!(hashes.take(10, 4, (8, 1), &members), Vec::<u64>::new(), "a learner has no say");
        assert_eq!(hashes.take(10, 3, (7, 0), &members), [2, 4]);
        assert_eq!(hashes.take(20, 3, (7, 1), &members), Vec::<u64>::new());
    }
    #[test]
    fn who_was_put_out_by_force_is_not_held_against_the_others() {
        let before = Membership {
            generation: 1,
            voters: [1, 2, 3].into(),
            learners: [4].into(),
            ..Membership::default()
        };
        let after =
            Membership { generation: 2, voters: [1].into(), learners: [4].into(), ..Membership::default() };
        let mut hashes = Hashes::default();
        assert_eq!(hashes.take(10, 2, (7, 1), &before), Vec::<u64>::new());
        assert_eq!(hashes.take(10, 4, (8, 1), &after), Vec::<u64>::new());
        assert_eq!(hashes.take(10, 1, (8, 1), &after), Vec::<u64>::new(), "2 is out");
        assert_eq!(hashes.take(10, 4, (9, 1), &after), [4]);
    }
}
