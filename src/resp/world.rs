//! [`World`]: the store as one command, or one transaction, sees it: its state, and over that what it has changed itself.
//!
//! Nothing is changed until the changes, as one transaction of the index, are applied; and they are only if every key
//! that was read still has the version it had. So a command that reads, decides and writes needs no operation of the
//! index's own, and `MULTI` needs nothing more than a command does.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::index::{
    Comparison, Condition, Entry, KEY_MAX, Lifetime, OnRefusal, Operand, Operation, Range, Relation, State,
    Step, Timestamp, Transaction,
};

use super::ahead::{Ahead, Leaves};
use super::keys::Ticket;
use super::value::{Pairs, Value, of_pairs, of_string};

/// Why a command does nothing: the text of the error, with its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) Cow<'static, [u8]>);

pub(super) const SYNTAX: Failure = fail("ERR syntax error");
pub(super) const NOT_AN_INTEGER: Failure = fail("ERR value is not an integer or out of range");
pub(super) const WRONG_TYPE: Failure =
    fail("WRONGTYPE Operation against a key holding the wrong kind of value");
pub(super) const TOO_LONG: Failure = fail("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
pub(super) const KEY_TOO_LONG: Failure = fail("ERR a key is longer than 65536 bytes; use a shorter one");

/// An error with a text that is always the same.
pub(super) const fn fail(text: &'static str) -> Failure {
    Failure(Cow::Borrowed(text.as_bytes()))
}

/// Values written by one transaction, in bytes, are at most so many times `value_max`.
const WRITTEN_MAX: u64 = 4;

/// What a key has: its value, the same if it is shared, its lifetime.
type Seen<'s> = (&'s [u8], Option<&'s Arc<[u8]>>, Lifetime);

/// What a key has, to keep.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: Arc<[u8]>,
    pub(super) lifetime: Lifetime,
}

#[derive(Debug)]
enum Change {
    Put(Vec<u8>, Held),
    Lifetime(Vec<u8>, Lifetime),
    Delete(Vec<u8>),
    Clear,
}

/// See the module.
#[derive(Debug)]
pub(super) struct World<'a> {
    state: &'a State,
    now: Timestamp,
    draft: Draft,
    /// Whether the state is not seen any more: all keys were deleted.
    is_cleared: bool,
    random: u64,
    ahead: Option<&'a Ahead>,
    /// Since they were taken last.
    lookups: Lookups,
    /// Of these, what counts in a command that writes.
    read: Lookups,
    /// Whether the key looked up last was there.
    found: bool,
}

/// How many keys were looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lookups {
    /// And found.
    pub(super) hits: u64,
    /// And were not there.
    pub(super) misses: u64,
}

impl Lookups {
    fn count(&mut self, found: bool) {
        self.hits += u64::from(found);
        self.misses += u64::from(!found);
    }
}

/// What is to be applied.
#[derive(Debug)]
pub(super) struct Draft {
    /// Keys changed here, and what they have since.
    changed: BTreeMap<Vec<u8>, Option<Held>>,
    /// Keys read of the state, and their versions there.
    read: Option<BTreeMap<Vec<u8>, u64>>,
    changes: Vec<Change>,
    written: u64,
    /// The chain of what was read ahead.
    root: Option<Ticket>,
}

impl<'a> World<'a> {
    /// One for what only reads if not `writes`; then it remembers nothing.
    pub(super) fn new(state: &'a State, now: Timestamp, writes: bool, random: u64) -> Self {
        let draft = Draft {
            changed: BTreeMap::new(),
            read: writes.then(BTreeMap::new),
            changes: Vec::new(),
            written: 0,
            root: None,
        };
        Self {
            state,
            now,
            draft,
            is_cleared: false,
            random,
            ahead: None,
            lookups: Lookups::default(),
            read: Lookups::default(),
            found: false,
        }
    }

    /// Reads what keys will have, where that is expected.
    pub(super) fn read_ahead(&mut self, ahead: &'a Ahead) {
        self.ahead = Some(ahead);
    }

    /// The keys looked up by a command since this was asked last, as `keyspace_hits` and `keyspace_misses` count them: all, or
    /// if it `writes` those it was sent for.
    pub(super) fn take_lookups(&mut self, writes: bool) -> Lookups {
        let (all, read) = (std::mem::take(&mut self.lookups), std::mem::take(&mut self.read));
        if writes { read } else { all }
    }

    /// What was looked up last counts in a command that writes too: it answers what it found.
    pub(super) fn counts(&mut self) {
        self.read.count(self.found);
    }

    /// What is to be applied.
    pub(super) fn draft(&self) -> &Draft {
        &self.draft
    }

    pub(super) fn into_draft(self) -> Draft {
        self.draft
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// A number nobody foresees, another one each time.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random
    }

    pub(super) fn state(&self) -> &'a State {
        self.state
    }

    pub(super) fn value_max(&self) -> u64 {
        self.state.settings().value_max
    }

    /// Demands that `key` still has `version`, which it had when somebody looked at it before.
    pub(super) fn demand(&mut self, key: &[u8], version: u64) {
        if let Some(read) = &mut self.draft.read {
            read.insert(key.to_vec(), version);
        }
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<Held> {
        self.with(key, |entry| {
            entry.map(|(value, shared, lifetime)| Held {
                value: shared.cloned().unwrap_or_else(|| Arc::from(value)),
                lifetime,
            })
        })
    }

    /// Shows `then` what `key` has, without a copy, and counts it as looked up.
    fn with<T>(&mut self, key: &[u8], then: impl FnOnce(Option<Seen<'_>>) -> T) -> T {
        let (value, found) = self.look_up(key, |seen| {
            let found = seen.is_some();
            (then(seen), found)
        });
        self.found = found;
        self.lookups.count(found);
        value
    }

    fn look_up<T>(&mut self, key: &[u8], then: impl FnOnce(Option<Seen<'_>>) -> T) -> T {
        if let Some(held) = self.draft.changed.get(key) {
            let alive = held.as_ref().filter(|held| !is_past(held.lifetime, self.now));
            return then(alive.map(|held| (&held.value[..], Some(&held.value), held.lifetime)));
        }
        if self.is_cleared {
            return then(None);
        }
        if let Some(expected) = self.ahead.and_then(|ahead| ahead.get(key)) {
            self.draft.root = self.draft.root.or(Some(expected.root));
            let alive = expected.held.as_ref().filter(|held| !is_past(held.lifetime, self.now));
            let version = alive.map_or(0, |_| expected.ticket.0);
            self.draft.read.get_or_insert_default().entry(key.to_vec()).or_insert(version);
            return then(alive.map(|held| (&held.value[..], Some(&held.value), held.lifetime)));
        }
        let entry = self.state.get(key, self.now);
        if let Some(read) = &mut self.draft.read
            && !read.contains_key(key)
        {
            read.insert(key.to_vec(), entry.map_or(0, |entry| entry.version));
        }
        then(entry.map(|Entry { value, shared, lifetime, .. }| (value, shared, lifetime)))
    }

    pub(super) fn exists(&mut self, key: &[u8]) -> bool {
        self.with(key, |entry| entry.is_some())
    }

    pub(super) fn lifetime(&mut self, key: &[u8]) -> Option<Lifetime> {
        self.with(key, |entry| entry.map(|(_, _, lifetime)| lifetime))
    }

    /// Shows `then` the value of `key`.
    pub(super) fn value<T>(&mut self, key: &[u8], then: impl FnOnce(Option<Value<'_>>) -> T) -> T {
        self.with(key, |entry| then(entry.map(|(value, _, _)| Value::parse(value))))
    }

    /// Shows `then` the string at `key`.
    pub(super) fn string<T>(
        &mut self,
        key: &[u8],
        then: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, Failure> {
        self.value(key, |value| match value {
            None => Ok(then(None)),
            Some(Value::String(string)) => Ok(then(Some(string))),
            Some(_) => Err(WRONG_TYPE),
        })
    }

    /// Shows `then` the hash at `key`.
    pub(super) fn hash<T>(
        &mut self,
        key: &[u8],
        then: impl FnOnce(Option<Pairs<'_>>) -> T,
    ) -> Result<T, Failure> {
        self.value(key, |value| match value {
            None => Ok(then(None)),
            Some(Value::Hash(pairs)) => Ok(then(Some(pairs))),
            Some(_) => Err(WRONG_TYPE),
        })
    }

    pub(super) fn put_string(
        &mut self,
        key: &[u8],
        string: &[u8],
        lifetime: Lifetime,
    ) -> Result<(), Failure> {
        self.put(key, Arc::from(&*of_string(string)), lifetime)
    }

    /// Puts a hash; without fields it is deleted. Its lifetime stays.
    pub(super) fn put_hash<'p>(
        &mut self,
        key: &[u8],
        pairs: impl ExactSizeIterator<Item = (&'p [u8], &'p [u8])>,
    ) -> Result<(), Failure> {
        if pairs.len() == 0 {
            self.delete(key);
            return Ok(());
        }
        self.put(key, Arc::from(of_pairs(pairs)), Lifetime::Keep)
    }

    /// Puts what another key has, or had.
    pub(super) fn put(&mut self, key: &[u8], value: Arc<[u8]>, lifetime: Lifetime) -> Result<(), Failure> {
        if key.len() > KEY_MAX {
            return Err(KEY_TOO_LONG);
        }
        if value.len() as u64 > self.value_max() {
            return Err(TOO_LONG);
        }
        self.draft.written += (key.len() + value.len()) as u64;
        if self.draft.written > self.value_max() * WRITTEN_MAX {
            return Err(fail("ERR too many bytes are written by one transaction; split it"));
        }
        let lifetime = match lifetime {
            Lifetime::Keep => self.lifetime(key).unwrap_or(Lifetime::Unbounded),
            other => other,
        };
        let held = Held { value, lifetime };
        self.draft.changed.insert(key.to_vec(), Some(held.clone()));
        self.draft.changes.push(Change::Put(key.to_vec(), held));
        Ok(())
    }

    /// Changes when `key`, which is there, expires.
    pub(super) fn set_lifetime(&mut self, key: &[u8], lifetime: Lifetime) {
        let Some(held) = self.get(key) else { return };
        self.draft.changed.insert(key.to_vec(), Some(Held { lifetime, ..held }));
        self.draft.changes.push(Change::Lifetime(key.to_vec(), lifetime));
    }

    /// Deletes `key` and says whether it was there.
    pub(super) fn delete(&mut self, key: &[u8]) -> bool {
        let is_there = self.exists(key);
        if is_there {
            self.draft.changed.insert(key.to_vec(), None);
            self.draft.changes.push(Change::Delete(key.to_vec()));
        }
        is_there
    }

    /// Deletes all keys.
    pub(super) fn clear(&mut self) {
        self.draft.changed.clear();
        self.is_cleared = true;
        self.draft.changes.push(Change::Clear);
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> u64 {
        let of_view = if self.is_cleared { 0 } else { self.state.count(&Range::ALL, self.now) };
        self.draft.changed.iter().fold(of_view, |count, (key, held)| {
            let was = !self.is_cleared && self.state.get(key, self.now).is_some();
            let is = held.as_ref().is_some_and(|held| !is_past(held.lifetime, self.now));
            count + u64::from(is) - u64::from(was)
        })
    }

    /// Up to `limit` keys behind `after` (`None`: from the first on), and whether there are more.
    pub(super) fn keys(&self, after: Option<&[u8]>, limit: u64) -> (Vec<Vec<u8>>, bool) {
        let start = after.map_or_else(Vec::new, |after| [after, &[0]].concat());
        let mut more = false;
        let mut keys: Vec<Vec<u8>> = Vec::new();
        if !self.is_cleared {
            let range = Range { start: &start, end: None };
            let page = self.state.range(&range, limit, u64::MAX, false, self.now);
            more = page.more;
            keys = page.entries.into_iter().map(|(key, _)| key).collect();
        }
        if !self.draft.changed.is_empty() {
            let end = if more { keys.last().cloned() } else { None };
            keys.retain(|key| !self.draft.changed.contains_key(key));
            let own = self.draft.changed.range(start..).filter(|(key, held)| {
                held.as_ref().is_some_and(|held| !is_past(held.lifetime, self.now))
                    && end.as_ref().is_none_or(|end| *key <= end)
            });
            keys.extend(own.map(|(key, _)| key.clone()));
            keys.sort_unstable();
        }
        (keys, more)
    }
}

impl Draft {
    /// The chain of writes under way on which this depends.
    pub(super) fn root(&self) -> Option<Ticket> {
        self.root
    }

    /// Bytes of what was put.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// What keys will have been changed to; it is given once.
    pub(super) fn take_leaves(&mut self) -> Leaves {
        Leaves { root: self.root, changed: std::mem::take(&mut self.changed) }
    }

    /// The keys that were read.
    pub(super) fn read(&self) -> impl Iterator<Item = &[u8]> {
        self.read.iter().flatten().map(|(key, _)| &key[..])
    }

    /// Whether there is something to be applied.
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// What is to be applied.
    pub(super) fn operation(&self) -> Operation<'_> {
        let conditions = self.read.iter().flatten().map(|(key, version)| Comparison {
            key,
            relation: Relation::Equal,
            operand: Operand::Version(*version),
        });
        let then = self.changes.iter().map(|change| match change {
            Change::Put(key, held) => Step::Put {
                key,
                value: &held.value,
                condition: Condition::Always,
                lifetime: held.lifetime,
                previous: false,
            },
            Change::Lifetime(key, lifetime) => Step::SetLifetime {
                key,
                lifetime: *lifetime,
                condition: crate::store::index::LifetimeCondition::Always,
            },
            Change::Delete(key) => Step::Delete { key, condition: Condition::Always, previous: false },
            Change::Clear => Step::DeleteRange { range: Range::ALL, limit: 0 },
        });
        Operation::Transaction(Transaction {
            conditions: conditions.filter(|comparison| comparison.key.len() <= KEY_MAX).collect(),
            then: then.collect(),
            otherwise: Vec::new(),
            on_refusal: OnRefusal::Abort,
        })
    }

    /// How many conditions and steps there are.
    pub(super) fn operations(&self) -> u64 {
        (self.read.as_ref().map_or(0, BTreeMap::len) + self.changes.len()) as u64
    }
}

/// Whether what lives as `lifetime` says has expired.
pub(super) fn is_past(lifetime: Lifetime, now: Timestamp) -> bool {
    matches!(lifetime, Lifetime::Until(deadline) if deadline <= now)
}
