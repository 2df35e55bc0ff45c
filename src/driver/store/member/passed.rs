//! [`Passed`]: writes that other nodes have passed on to this primary, and that wait until it has room.
//!
//! A node passes on what its connections ask for in their order, and goes on without an answer. If this primary refused one for want of
//! room and did a younger one, the older could not be done behind it any more ([`Held`](super::held::Held)). So they wait here, all in one
//! line, in the order in which they came. A node has no more under way than one passes on at a time, which bounds the line.

use std::collections::{BTreeMap, VecDeque};

use crate::replication::Level;
use crate::time::Instant;

/// A write of another node's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// Who passed it on, and the number by which it knows it.
    pub(super) from: u64,
    pub(super) id: u64,
    /// Encoded.
    pub(super) command: Vec<u8>,
    pub(super) level: Level,
    pub(super) deadline: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Passed {
    line: VecDeque<Write>,
    /// Those in the line, by node and number: whether each was withdrawn.
    withdrawn: BTreeMap<(u64, u64), bool>,
    /// Whose turn it was last when there was room: the line's, or that of what this node's own callers ask for.
    was_first: bool,
}

impl Passed {
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// One more, behind the others.
    pub(super) fn push(&mut self, write: Write) {
        self.withdrawn.insert((write.from, write.id), false);
        self.line.push_back(write);
    }

    /// One that was taken, and finds no room.
    pub(super) fn put_back(&mut self, write: Write) {
        self.withdrawn.insert((write.from, write.id), false);
        self.line.push_front(write);
    }

    /// Whoever asked for one has left: if it waits, it is not to be done any more.
    pub(super) fn withdraw(&mut self, from: u64, id: u64) {
        if let Some(is_withdrawn) = self.withdrawn.get_mut(&(from, id)) {
            *is_withdrawn = true;
        }
    }

    /// The one that came first, and whether it was withdrawn.
    pub(super) fn take(&mut self) -> Option<(Write, bool)> {
        let write = self.line.pop_front()?;
        let is_withdrawn = self.withdrawn.remove(&(write.from, write.id)).unwrap_or(false);
        Some((write, is_withdrawn))
    }

    /// Whether the line goes before what else waits.
    pub(super) fn goes_first(&self) -> bool {
        !self.was_first
    }

    /// One of the two had room, so next time it is the other's turn.
    pub(super) fn note_turn(&mut self) {
        self.was_first = !self.was_first;
    }

    /// A link is over: nobody is to be answered over it.
    pub(super) fn lose(&mut self, from: u64) {
        self.line.retain(|write| write.from != from);
        self.withdrawn.retain(|(of, _), _| *of != from);
    }

    /// Takes out those for which nobody waits any more.
    pub(super) fn take_late(&mut self, now: Instant) -> VecDeque<Write> {
        if self.line.iter().all(|write| write.deadline > now) {
            return VecDeque::new();
        }
        let (late, line): (VecDeque<Write>, _) =
            std::mem::take(&mut self.line).into_iter().partition(|it| it.deadline <= now);
        self.line = line;
        for write in &late {
            self.withdrawn.remove(&(write.from, write.id));
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn write(from: u64, id: u64, ms: u64) -> Write {
        let deadline = Instant::START.saturating_add(Duration::from_millis(ms));
        Write { from, id, command: Vec::new(), level: Level::Quorum, deadline }
    }

    #[test]
    fn they_have_their_turn_in_the_order_in_which_they_came() {
        let mut passed = Passed::default();
        for (from, id, ms) in [(1, 1, 9), (2, 1, 5), (1, 2, 5), (2, 2, 9), (1, 3, 9)] {
            passed.push(write(from, id, ms));
        }
        let (first, is_withdrawn) = passed.take().unwrap();
        assert_eq!((first.from, first.id, is_withdrawn), (1, 1, false));
        passed.put_back(first);
        passed.withdraw(2, 2);
        let at = |ms| Instant::START.saturating_add(Duration::from_millis(ms));
        assert!(passed.take_late(at(4)).is_empty());
        assert_eq!(passed.take_late(at(5)), [write(2, 1, 5), write(1, 2, 5)]);
        passed.lose(1);
        assert_eq!((passed.take(), passed.is_empty()), (Some((write(2, 2, 9), true)), true));
        assert_eq!(passed.take(), None);
        passed.withdraw(2, 3);
        passed.push(write(2, 3, 9));
        assert_eq!(passed.take(), Some((write(2, 3, 9), false)), "that was another one's");
        let goes_first = passed.goes_first();
        passed.note_turn();
        assert_ne!(passed.goes_first(), goes_first);
    }

    #[test]
    fn nothing_is_kept_of_what_does_not_wait() {
        let mut passed = Passed::default();
        passed.push(write(1, 1, 9));
        // These were begun before.
        (2..1_000).for_each(|id| passed.withdraw(1, id));
        passed.push(write(1, 2, 5));
        passed.push(write(2, 1, 9));
        assert_eq!(passed.withdrawn.len(), 3);
        (1..=2).for_each(|id| passed.withdraw(1, id));
        assert_eq!(passed.take_late(Instant::START.saturating_add(Duration::from_millis(5))).len(), 1);
        // Whatever has the number later is another one, of the same process or the next.
        passed.push(write(1, 2, 9));
        passed.withdraw(2, 1);
        passed.lose(1);
        passed.push(write(1, 1, 9));
        let taken: Vec<_> = std::iter::from_fn(|| passed.take()).collect();
        assert_eq!(taken, [(write(2, 1, 9), true), (write(1, 1, 9), false)]);
        assert!(passed.withdrawn.is_empty());
    }
}
