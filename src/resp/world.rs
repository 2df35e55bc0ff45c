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
use super::fields::Fields;
use super::keys::Ticket;
use super::value::{Pairs, Value, of_string};

/// Why a command does nothing: the text of the error, with its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) Cow<'static, [u8]>);

pub(super) const SYNTAX: Failure = fail("ERR syntax error");
pub(super) const NOT_AN_INTEGER: Failure = fail("ERR value is not an integer or out of range");
pub(super) const WRONG_TYPE: Failure =
    fail("WRONGTYPE Operation against a key holding the wrong kind of value");
pub(super) const TOO_LONG: Failure = fail("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
/// Why a transaction is not done at all.
const TOO_MUCH: Failure = fail("ERR too many bytes are written by one transaction; split it");
pub(super) const KEY_TOO_LONG: Failure = fail("ERR a key is longer than 65536 bytes; use a shorter one");

/// An error with a text that is always the same.
pub(super) const fn fail(text: &'static str) -> Failure {
    Failure(Cow::Borrowed(text.as_bytes()))
}

/// Values written by one transaction, in bytes, are at most so many times `value_max`: what it comes to.
const WRITTEN_MAX: u64 = 4;
/// The same with all that it writes in between and replaces itself.
const REPLACED_MAX: u64 = 64;

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
    /// A later one took its place.
    Replaced,
}

/// What a key has been changed to.
#[derive(Debug)]
pub(super) struct Changed {
    /// `None`: it is deleted.
    pub(super) held: Option<Held>,
    /// Where the last change of it is.
    at: usize,
}

/// A hash that is not put yet, since more may come.
#[derive(Debug, Default)]
struct Edited {
    fields: Fields,
    /// As how many bytes it counts.
    bytes: u64,
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
    changed: BTreeMap<Vec<u8>, Changed>,
    /// Hashes to be put before anybody looks at their keys.
    edited: BTreeMap<Vec<u8>, Edited>,
    /// Keys read of the state, and their versions there.
    read: Option<BTreeMap<Vec<u8>, u64>>,
    changes: Vec<Change>,
    /// How many of them count.
    count: usize,
    /// Bytes of keys and values that will be written.
    written: u64,
    /// And that were written here in all.
    worked: u64,
    /// Why nothing is to be done at all.
    failure: Option<Failure>,
    /// The chain of what was read ahead.
    root: Option<Ticket>,
}

impl<'a> World<'a> {
    /// One for what only reads if not `writes`; then it remembers nothing.
    pub(super) fn new(state: &'a State, now: Timestamp, writes: bool, random: u64) -> Self {
        let draft = Draft {
            changed: BTreeMap::new(),
            edited: BTreeMap::new(),
            read: writes.then(BTreeMap::new),
            changes: Vec::new(),
            count: 0,
            written: 0,
            worked: 0,
            failure: None,
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
        self.put_edited(key);
        if let Some(changed) = self.draft.changed.get(key) {
            let alive = changed.held.as_ref().filter(|held| !is_past(held.lifetime, self.now));
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

    /// The bytes of the string at `key`, which does not count as looked up.
    pub(super) fn string_len(&mut self, key: &[u8]) -> usize {
        self.look_up(key, |seen| match seen.map(|(value, _, _)| Value::parse(value)) {
            Some(Value::String(string)) => string.len(),
            _ => 0,
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

    /// Has a hash changed, which is none before its first field and after its last. Its lifetime stays. Where `change` fails,
    /// or it would be too long, it is as it was.
    pub(super) fn change_hash<T>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut Fields) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (mut edited, is_pending) = match self.draft.edited.remove(key) {
            Some(edited) => {
                self.found = true;
                self.lookups.count(true);
                (edited, true)
            }
            None => (Edited { fields: self.hash(key, |pairs| Fields::of(pairs.as_ref()))?, bytes: 0 }, false),
        };
        edited.fields.begin();
        let mut result = change(&mut edited.fields);
        if result.is_ok() && edited.fields.is_changed() {
            let bytes = (key.len() + edited.fields.value_bytes()) as u64;
            if edited.fields.len() == 0 {
                edited.fields.take_back();
                if is_pending {
                    self.draft.edited.insert(key.to_vec(), edited);
                }
                self.delete(key);
                return result;
            }
            if let Err(failure) = self.check_put(key, edited.fields.value_bytes(), edited.bytes) {
                result = Err(failure);
            } else {
                self.draft.written += bytes - edited.bytes;
                edited.bytes = bytes;
                self.draft.edited.insert(key.to_vec(), edited);
                return result;
            }
        }
        if is_pending {
            edited.fields.take_back();
            self.draft.edited.insert(key.to_vec(), edited);
        }
        result
    }

    /// Puts a hash that was changed, if this is one.
    fn put_edited(&mut self, key: &[u8]) {
        if self.draft.edited.is_empty() {
            return;
        }
        if let Some(Edited { fields, bytes }) = self.draft.edited.remove(key) {
            self.draft.written -= bytes;
            let counted = (self.lookups, self.read, self.found);
            let put = self.put(key, Arc::from(fields.encode()), Lifetime::Keep);
            (self.lookups, self.read, self.found) = counted;
            // Its length was looked at when it was changed, and it has to be put: what was answered rests on it.
            self.draft.failure = self.draft.failure.take().or(put.err());
        }
    }

    /// Puts all hashes that were changed.
    pub(super) fn put_all_edited(&mut self) {
        while let Some((key, edited)) = self.draft.edited.pop_first() {
            self.draft.edited.insert(key.clone(), edited);
            self.put_edited(&key);
        }
    }

    /// Puts what another key has, or had.
    pub(super) fn put(&mut self, key: &[u8], value: Arc<[u8]>, lifetime: Lifetime) -> Result<(), Failure> {
        self.put_edited(key);
        let bytes = (key.len() + value.len()) as u64;
        let replaced = self.replaced(key);
        self.check_put(key, value.len(), replaced)?;
        self.draft.worked += bytes;
        if self.draft.worked > self.value_max() * REPLACED_MAX {
            return Err(self.draft.fail(TOO_MUCH));
        }
        self.draft.written = self.draft.written - replaced + bytes;
        let lifetime = match lifetime {
            Lifetime::Keep => self.lifetime(key).unwrap_or(Lifetime::Unbounded),
            other => other,
        };
        let held = Held { value, lifetime };
        self.draft.change(key, Some(held.clone()), Change::Put(key.to_vec(), held));
        Ok(())
    }

    /// Whether a value so long may be put at `key`: for who changes something else before.
    pub(super) fn check(&mut self, key: &[u8], value_bytes: usize) -> Result<(), Failure> {
        self.put_edited(key);
        let replaced = self.replaced(key);
        self.check_put(key, value_bytes, replaced)
    }

    /// Bytes of what was put at `key` and is not written when something else is.
    fn replaced(&self, key: &[u8]) -> u64 {
        match self.draft.changed.get(key).map(|changed| &self.draft.changes[changed.at]) {
            Some(Change::Put(_, held)) => (key.len() + held.value.len()) as u64,
            _ => 0,
        }
    }

    /// Whether `key` may have a value that long, in place of what counts as `replaced` bytes.
    fn check_put(&mut self, key: &[u8], value_bytes: usize, replaced: u64) -> Result<(), Failure> {
        if key.len() > KEY_MAX {
            return Err(KEY_TOO_LONG);
        }
        if value_bytes as u64 > self.value_max() {
            return Err(TOO_LONG);
        }
        let written = self.draft.written - replaced + (key.len() + value_bytes) as u64;
        if written > self.value_max() * WRITTEN_MAX {
            return Err(self.draft.fail(TOO_MUCH));
        }
        Ok(())
    }

    /// Changes when `key`, which is there, expires.
    pub(super) fn set_lifetime(&mut self, key: &[u8], lifetime: Lifetime) {
        let Some(held) = self.get(key) else { return };
        self.draft.change(key, Some(Held { lifetime, ..held }), Change::Lifetime(key.to_vec(), lifetime));
    }

    /// Deletes `key` and says whether it was there.
    pub(super) fn delete(&mut self, key: &[u8]) -> bool {
        let is_there = self.exists(key);
        if is_there {
            self.draft.change(key, None, Change::Delete(key.to_vec()));
        }
        is_there
    }

    /// Deletes all keys.
    pub(super) fn clear(&mut self) {
        self.put_all_edited();
        self.draft.changed.clear();
        self.is_cleared = true;
        self.draft.changes.push(Change::Clear);
        self.draft.count += 1;
    }

    /// How many keys there are.
    pub(super) fn len(&mut self) -> u64 {
        self.put_all_edited();
        let of_view = if self.is_cleared { 0 } else { self.state.count(&Range::ALL, self.now) };
        self.draft.changed.iter().fold(of_view, |count, (key, changed)| {
            let was = !self.is_cleared && self.state.get(key, self.now).is_some();
            let is = changed.held.as_ref().is_some_and(|held| !is_past(held.lifetime, self.now));
            count + u64::from(is) - u64::from(was)
        })
    }

    /// Up to `limit` keys behind `after` (`None`: from the first on), and whether there are more.
    pub(super) fn keys(&mut self, after: Option<&[u8]>, limit: u64) -> (Vec<Vec<u8>>, bool) {
        self.put_all_edited();
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
            let own = self.draft.changed.range(start..).filter(|(key, changed)| {
                changed.held.as_ref().is_some_and(|held| !is_past(held.lifetime, self.now))
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

    /// Why nothing is to be done, if so.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Nothing is to be done at all.
    fn fail(&mut self, failure: Failure) -> Failure {
        self.failure.get_or_insert(failure).clone()
    }

    /// Takes a change of a key. What it makes of no account is not written: a value that another one follows, a lifetime.
    fn change(&mut self, key: &[u8], held: Option<Held>, change: Change) {
        if let Some(before) = self.changed.get(key).map(|changed| &mut self.changes[changed.at])
            && matches!(
                (&*before, &change),
                (Change::Put(..) | Change::Lifetime(..), Change::Put(..))
                    | (Change::Lifetime(..), Change::Lifetime(..))
            )
        {
            *before = Change::Replaced;
            self.count -= 1;
        }
        let at = self.changes.len();
        self.changes.push(change);
        self.count += 1;
        self.changed.insert(key.to_vec(), Changed { held, at });
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
        self.count > 0
    }

    /// What is to be applied.
    pub(super) fn operation(&self) -> Operation<'_> {
        let conditions = self.read.iter().flatten().map(|(key, version)| Comparison {
            key,
            relation: Relation::Equal,
            operand: Operand::Version(*version),
        });
        let then = self.changes.iter().filter_map(|change| {
            Some(match change {
                Change::Replaced => return None,
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
            })
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
        (self.read.as_ref().map_or(0, BTreeMap::len) + self.count) as u64
    }
}

/// Whether what lives as `lifetime` says has expired.
pub(super) fn is_past(lifetime: Lifetime, now: Timestamp) -> bool {
    matches!(lifetime, Lifetime::Until(deadline) if deadline <= now)
}
