//! Whether a history of reads and writes of one key is linearizable: whether each can be given a moment between its
//! beginning and its end so that every read sees the write before it.
//!
//! The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of what was
//! tried ("Testing for linearizability", 2017): an operation may come next when no other has ended before it began; a set
//! of operations done and a value are tried once. A write whose outcome nobody was told may be done at any time after its
//! beginning, or never.

use std::collections::HashSet;

/// What was done to a key. Values are numbers, each written once; 0 is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A value was written.
    Write(u64),
    /// A value was seen.
    Read(u64),
}

/// An operation on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub action: Action,
    /// When it was asked for.
    pub start: u64,
    /// When it was answered; `None`: never.
    pub end: Option<u64>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    Impossible,
    /// It was not found within the steps allowed, or there are too many operations.
    Unknown,
}

/// The most operations of one key.
const OPERATIONS_MAX: usize = 128;
/// The most sets that are tried.
const STEPS_MAX: usize = 400_000;

/// Checks the history of one key, which has no value in the beginning.
pub fn check(history: &[Operation]) -> Verdict {
    // A read that nobody was answered says nothing.
    let is_telling = |it: &&Operation| it.end.is_some() || matches!(it.action, Action::Write(_));
    let mut operations: Vec<Operation> = history.iter().filter(is_telling).copied().collect();
    // A write that nobody was told of and nobody has seen need not have been.
    let seen: HashSet<u64> = operations
        .iter()
        .filter_map(|it| if let Action::Read(value) = it.action { Some(value) } else { None })
        .collect();
    operations
        .retain(|it| it.end.is_some() || matches!(it.action, Action::Write(value) if seen.contains(&value)));
    operations.sort_by_key(|it| it.start);
    if operations.len() > OPERATIONS_MAX {
        return Verdict::Unknown;
    }
    let mut required = 0u128;
    for (at, operation) in operations.iter().enumerate() {
        if operation.end.is_some() {
            required |= 1 << at;
        }
    }
    let mut tried = HashSet::new();
    let mut stack = vec![(0u128, 0u64)];
    while let Some((done, value)) = stack.pop() {
        if done & required == required {
            return Verdict::Linearizable;
        }
        if !tried.insert((done, value)) {
            continue;
        }
        if tried.len() > STEPS_MAX {
            return Verdict::Unknown;
        }
        let left = || operations.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        let first_end = left().filter_map(|(_, it)| it.end).min().unwrap_or(u64::MAX);
        for (at, operation) in left().take_while(|(_, it)| it.start <= first_end) {
            let next = done | 1 << at;
            match operation.action {
                Action::Write(written) => stack.push((next, written)),
                Action::Read(seen) if seen == value => stack.push((next, value)),
                Action::Read(_) => {}
            }
        }
    }
    Verdict::Impossible
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: u64, start: u64, end: u64) -> Operation {
        Operation { action: Action::Write(value), start, end: (end > 0).then_some(end) }
    }

    fn read(value: u64, start: u64, end: u64) -> Operation {
        Operation { action: Action::Read(value), start, end: Some(end) }
    }

    #[test]
    fn one_after_the_other_is_in_order() {
        let history = [read(0, 1, 2), write(1, 3, 4), read(1, 5, 6), write(2, 7, 8), read(2, 9, 10)];
        assert_eq!(check(&history), Verdict::Linearizable);
    }

    #[test]
    fn what_was_answered_is_seen_from_then_on() {
        assert_eq!(check(&[write(1, 1, 2), read(0, 3, 4)]), Verdict::Impossible);
        assert_eq!(check(&[write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)]), Verdict::Impossible);
    }

    #[test]
    fn at_the_same_time_either_may_come_first() {
        let both = [write(1, 1, 10), write(2, 2, 9)];
        for (first, second) in [(1, 2), (2, 1)] {
            let reads = [read(first, 3, 4), read(second, 5, 6)];
            assert_eq!(check(&[&both[..], &reads].concat()), Verdict::Linearizable);
        }
        let back = [read(1, 3, 4), read(2, 5, 6), read(1, 7, 8)];
        assert_eq!(check(&[&both[..], &back].concat()), Verdict::Impossible);
    }

    #[test]
    fn what_one_has_read_the_next_does_not_miss() {
        let history = [write(1, 1, 20), read(1, 2, 3), read(0, 4, 5)];
        assert_eq!(check(&history), Verdict::Impossible);
    }

    #[test]
    fn a_write_nobody_was_told_of_may_come_late_or_never() {
        assert_eq!(check(&[write(1, 1, 0), read(0, 5, 6), read(1, 7, 8)]), Verdict::Linearizable);
        assert_eq!(check(&[write(1, 1, 0), read(0, 5, 6)]), Verdict::Linearizable);
        assert_eq!(check(&[write(1, 1, 0), read(1, 5, 6), read(0, 7, 8)]), Verdict::Impossible);
        assert_eq!(check(&[read(1, 1, 2), write(1, 3, 0)]), Verdict::Impossible, "not before its beginning");
    }

    /// Random histories made by doing operations at a moment within each are found to be in order; with one read changed
    /// to a value that was overwritten long before, they are not.
    #[test]
    fn histories_that_were_in_order_are_and_spoilt_ones_are_not() {
        let mut rng = crate::rng::Rng::new(7);
        for _ in 0..200 {
            let (mut value, mut history, mut now) = (0, Vec::new(), 0);
            for at in 1..40u64 {
                now += 2 + rng.below(6);
                let (start, end) = (now.saturating_sub(rng.below(10)), now + rng.below(10));
                let action = if rng.below(2) == 0 {
                    value = at;
                    Action::Write(at)
                } else {
                    Action::Read(value)
                };
                history.push(Operation { action, start, end: Some(end) });
            }
            assert_eq!(check(&history), Verdict::Linearizable);
            history.push(write(100, now + 20, now + 21));
            history.push(write(101, now + 22, now + 23));
            history.push(read(100, now + 24, now + 25));
            assert_eq!(check(&history), Verdict::Impossible);
        }
    }
}
