//! [`Ahead`]: what keys will have once the writes under way are done, so that one who reads before it writes need not
//! wait for who did so just before it.
//!
//! It is no more than a guess: every write demands the versions of what it has read, and a write that has read ahead
//! demands the sequence the other one was submitted at. When one fails, so do all that were made up from it, its
//! chain; what a chain has left here is forgotten with its first failure.

use std::collections::BTreeMap;

use super::keys::Ticket;
use super::world::Held;

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
pub(super) struct Ahead(BTreeMap<Vec<u8>, Expected>);

/// What a write has left here, to be forgotten when it is done.
#[derive(Debug)]
pub(super) struct Trace {
    ticket: Ticket,
    root: Ticket,
    keys: Vec<Vec<u8>>,
}

impl Ahead {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Expected> {
        self.0.get(key)
    }

    /// Takes what the write `ticket`, made up from the chain `root` if from any, will have changed.
    pub(super) fn put(
        &mut self,
        ticket: Ticket,
        root: Option<Ticket>,
        changed: BTreeMap<Vec<u8>, Option<Held>>,
    ) -> Trace {
        let root = root.unwrap_or(ticket);
        let keys = changed.keys().cloned().collect();
        let expected = changed.into_iter().map(|(key, held)| (key, Expected { ticket, root, held }));
        self.0.extend(expected);
        Trace { ticket, root, keys }
    }

    /// The write is done, or has failed.
    pub(super) fn forget(&mut self, trace: &Trace, is_done: bool) {
        for key in &trace.keys {
            let is_its = self.0.get(key).is_some_and(|expected| {
                expected.ticket == trace.ticket || (!is_done && expected.root == trace.root)
            });
            if is_its {
                self.0.remove(key);
            }
        }
    }
}
