//! [`Ahead`]: what keys will have once the writes under way are done, so that one who reads before it writes need not
//! wait for who did so just before it. There is one for all who submit in turn, under the lock by which they take turns.
//!
//! It is no more than a guess: every write demands the versions of what it has read, and a write that has read ahead
//! demands the sequence the other one was submitted at. When one fails, so do all that were made up from it, its
//! chain; what a chain has left here is forgotten with its first failure.
//!
//! Only writes that read first are foreseen: of the others nobody knows beforehand what they come to. Where one has come
//! between, the keys are contested for a while, and who would write them without having read does read first. So
//! whoever has failed does not fail again and again.
//!
//! A replica foresees nothing, since what it passes on has no sequence yet. There those who would write one key stand in a
//! *line* once one of them has failed, and only the first one tries.

use std::collections::{BTreeMap, VecDeque};

use super::keys::Ticket;
use super::world::{Changed, Held};
use crate::store::index::Timestamp;

/// How long a key is contested, in milliseconds.
const CONTEST_MS: u64 = 1_000;

/// Keys that are contested at the same time, at most.
const CONTESTED_MAX: usize = 1 << 10;

/// How long one has a place in a line without having looked whether it is its turn, in milliseconds.
const PLACE_MS: u64 = 200;

/// How often it should look, in milliseconds.
pub(super) const LOOK_MS: u64 = PLACE_MS / 2;

/// Lines there are at the same time, at most, and places in one.
const LINES_MAX: usize = 1 << 10;
const LINE_MAX: usize = 1 << 7;

/// What one key will have.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The write that will have put it there.
    pub(super) ticket: Ticket,
    /// The first write of its chain.
    pub(super) root: Ticket,
    pub(super) held: Option<Held>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ahead {
    expected: BTreeMap<Vec<u8>, Expected>,
    /// Keys, and until when.
    contested: BTreeMap<Vec<u8>, Timestamp>,
    /// Who would write a key, one after the other.
    lines: BTreeMap<Vec<u8>, VecDeque<Standing>>,
}

/// Who stands in a line, and until when.
#[derive(Debug)]
struct Standing {
    who: u64,
    until: Timestamp,
}

/// What a write that has read first will have changed.
#[derive(Debug)]
pub struct Leaves {
    /// The chain it was made up from, if from any.
    pub(super) root: Option<Ticket>,
    pub(super) changed: BTreeMap<Vec<u8>, Changed>,
}

/// What a write has left here, to be forgotten when it is done.
#[derive(Debug)]
pub struct Trace {
    ticket: Ticket,
    root: Ticket,
    keys: Vec<Vec<u8>>,
}

impl Leaves {
    /// What is to be forgotten when the write, which is submitted as `ticket`, is done.
    pub fn trace(&self, ticket: Ticket) -> Trace {
        Trace { ticket, root: self.root.unwrap_or(ticket), keys: self.changed.keys().cloned().collect() }
    }
}

impl Ahead {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Expected> {
        self.expected.get(key)
    }

    /// Takes what the write `ticket` will have changed.
    pub fn put(&mut self, ticket: Ticket, leaves: Leaves) {
        let root = leaves.root.unwrap_or(ticket);
        let expected = leaves
            .changed
            .into_iter()
            .map(|(key, Changed { held, .. })| (key, Expected { ticket, root, held }));
        self.expected.extend(expected);
    }

    /// The write is done, or has failed.
    pub fn forget(&mut self, trace: &Trace, is_done: bool) {
        for key in &trace.keys {
            let is_its = self.expected.get(key).is_some_and(|expected| {
                expected.ticket == trace.ticket || (!is_done && expected.root == trace.root)
            });
            if is_its {
                self.expected.remove(key);
            }
        }
    }

    /// Somebody has read `key` and found it changed when it came to writing.
    pub fn contest(&mut self, key: &[u8], now: Timestamp) {
        let until = now.saturating_add(CONTEST_MS);
        if let Some(end) = self.contested.get_mut(key) {
            *end = until;
            return;
        }
        if self.contested.len() >= CONTESTED_MAX {
            self.contested.retain(|_, end| *end > now);
        }
        if self.contested.len() < CONTESTED_MAX {
            self.contested.insert(key.to_vec(), until);
        }
    }

    /// Whether it is the turn of `who` to write `key`. If not, it has a place in the line, or there is none free yet: it is to look
    /// again when another one has left it, or within 100 ms.
    ///
    /// - `begins`: a line is begun if there is none.
    pub fn is_turn(&mut self, key: &[u8], who: u64, begins: bool, now: Timestamp) -> bool {
        let until = now.saturating_add(PLACE_MS);
        let Some(line) = self.lines.get_mut(key) else {
            if begins && self.lines.len() >= LINES_MAX {
                self.lines.retain(|_, line| line.iter().any(|standing| standing.until > now));
            }
            if begins && self.lines.len() < LINES_MAX {
                self.lines.insert(key.to_vec(), VecDeque::from([Standing { who, until }]));
            }
            return true;
        };
        // Those who have gone have left nothing but their places.
        while line.front().is_some_and(|first| first.who != who && first.until <= now) {
            line.pop_front();
        }
        match line.iter().position(|standing| standing.who == who) {
            Some(at) => line[at].until = until,
            None if line.len() < LINE_MAX => line.push_back(Standing { who, until }),
            None => {}
        }
        line.front().is_none_or(|first| first.who == who)
    }

    /// `who` stands in the line no more. Says whether others do.
    pub fn leave_line(&mut self, key: &[u8], who: u64) -> bool {
        let Some(line) = self.lines.get_mut(key) else { return false };
        line.retain(|standing| standing.who != who);
        let is_over = line.is_empty();
        if is_over {
            self.lines.remove(key);
        }
        !is_over
    }

    /// Whether who writes `key` should read it first.
    pub fn is_contested(&mut self, key: &[u8], now: Timestamp) -> bool {
        let Some(end) = self.contested.get(key) else { return false };
        let is_contested = *end > now;
        if !is_contested {
            self.contested.remove(key);
        }
        is_contested
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_in_a_line_has_its_turn() {
        let mut ahead = Ahead::default();
        let at = Timestamp::from_millis;
        assert!(
            ahead.is_turn(b"a", 1, false, at(0)) && ahead.is_turn(b"a", 2, false, at(0)),
            "there is none"
        );
        assert!(ahead.is_turn(b"a", 1, true, at(0)) && ahead.is_turn(b"b", 2, true, at(0)));
        assert!(!ahead.is_turn(b"a", 2, true, at(0)) && !ahead.is_turn(b"a", 3, false, at(0)));
        assert!(ahead.is_turn(b"a", 1, true, at(0)), "it tries again");
        assert!(ahead.leave_line(b"a", 1));
        assert!(!ahead.is_turn(b"a", 1, false, at(1)), "it stands behind the others now");
        assert!(!ahead.is_turn(b"a", 3, false, at(1)) && ahead.is_turn(b"a", 2, false, at(1)));
        // Whoever does not look any more is no obstacle, and neither is what is full.
        assert!(!ahead.is_turn(b"a", 1, false, at(150)) && !ahead.is_turn(b"a", 3, false, at(200)));
        assert!(ahead.is_turn(b"a", 3, false, at(201)));
        assert!((10..200).all(|who| !ahead.is_turn(b"a", who, true, at(201))));
        assert_eq!(ahead.lines[&b"a"[..]].len(), LINE_MAX);
        assert!(!ahead.leave_line(b"b", 2) && !ahead.leave_line(b"b", 2));
        // Lines are bounded, and those that nobody looks at make room.
        for line in 0..LINES_MAX + 9 {
            assert!(ahead.is_turn(format!("line{line}").as_bytes(), 1, true, at(300)));
        }
        assert_eq!(ahead.lines.len(), LINES_MAX);
        assert!(ahead.is_turn(b"c", 1, true, at(500)));
        assert_eq!(ahead.lines.len(), 1);
    }

    #[test]
    fn contests_end_and_are_bounded() {
        let mut ahead = Ahead::default();
        let at = Timestamp::from_millis;
        assert!(!ahead.is_contested(b"a", at(0)));
        ahead.contest(b"a", at(0));
        assert!(ahead.is_contested(b"a", at(999)) && !ahead.is_contested(b"b", at(0)));
        ahead.contest(b"a", at(999));
        assert!(ahead.is_contested(b"a", at(1_998)) && !ahead.is_contested(b"a", at(1_999)));
        let keys: Vec<_> = (0..=CONTESTED_MAX).map(|key| key.to_string().into_bytes()).collect();
        keys.iter().for_each(|key| ahead.contest(key, at(2_000)));
        assert!(ahead.is_contested(&keys[CONTESTED_MAX - 1], at(2_000)));
        assert!(!ahead.is_contested(&keys[CONTESTED_MAX], at(2_000)), "no more than that");
        ahead.contest(&keys[CONTESTED_MAX], at(3_000));
        assert!(ahead.is_contested(&keys[CONTESTED_MAX], at(3_000)), "the others have ended");
    }
}
