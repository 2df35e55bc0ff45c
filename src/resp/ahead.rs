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

use std::collections::BTreeMap;

use super::keys::Ticket;
use super::world::{Changed, Held};
use crate::store::index::Timestamp;

/// How long a key is contested, in milliseconds.
const CONTEST_MS: u64 = 1_000;

/// Keys that are contested at the same time, at most.
const CONTESTED_MAX: usize = 1 << 10;

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
