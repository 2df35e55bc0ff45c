//! [`State`]: all that the commands so far have led to, and what may be read of it.
//!
//! A state is a handful of trees. Two are derived from the others (which key is due when, which key belongs to
//! which lease) and so are never written into a snapshot. A clone shares everything and never changes.

use std::ops::ControlFlow;

use super::clients::{self, Recalled};
use super::command::{Lifetime, Range, RequestId, Settings};
use super::entry::{Entry, Found};
use super::time::Timestamp;
use super::tree::{Cell, Tree};
use super::wire::{put_varint, take_varint};

/// Everything that is replicated, at one sequence. What is read of it takes the present time, and an expired
/// key is never seen, whether or not the primary has had it taken out.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Key to [`Entry`].
    pub(super) entries: Tree,
    /// Deadline (8 bytes, big-endian) and key, to nothing.
    pub(super) deadlines: Tree,
    /// Lease (8 bytes, big-endian) to [`Lease`].
    pub(super) leases: Tree,
    /// Deadline and lease (8 bytes each, big-endian), to nothing.
    pub(super) lease_deadlines: Tree,
    /// Lease (8 bytes, big-endian) and key, to nothing.
    pub(super) lease_keys: Tree,
    /// Client to what is remembered of it; `clients.rs`.
    pub(super) clients: Tree,
    /// Sequence of its last request (8 bytes, big-endian) to client.
    pub(super) client_order: Tree,
    pub(super) client_bytes: u64,
    /// There may have been clients that are remembered no more. Never unset. It follows from the commands, and does not count
    /// towards the hash: releases before did not keep it.
    pub(super) may_have_forgotten: bool,
    pub(super) settings: Settings,
    pub(super) hash: u128,
    pub(super) memory: u64,
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) changes: u64,
    pub(super) removed: Removed,
}

/// How many keys were taken out since the index was opened. No part of what is replicated: a node that was opened later has counted
/// fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Since they, or their leases, had expired.
    pub expired: u64,
    /// To make room.
    pub evicted: u64,
}

/// A lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How long it lives without a keep-alive, in milliseconds.
    pub ttl_ms: u64,
    /// When it ends without one.
    pub deadline: Timestamp,
}

/// Entries of a range, in the order asked for.
#[derive(Clone, Debug, Default)]
pub struct Page<'a> {
    /// Keys and what they have.
    pub entries: Vec<(Vec<u8>, Entry<'a>)>,
    /// Whether a limit left some: go on behind (with `reverse`, before) the last.
    pub more: bool,
}

impl State {
    /// The sequence of the last command that was applied.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The latest time any command had.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// How many times a key was put, changed or taken out, since the beginning.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many keys were taken out otherwise than by who asked for it.
    pub fn removed(&self) -> Removed {
        self.removed
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A hash of all that is replicated. Two nodes at the same sequence have the same, unless something is wrong
    /// with one. It is the sum of one hash for each entry, lease, client and the settings, so each change
    /// costs what it changes, and the order in which they came about does not matter.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// How many bytes all comes to, by this formula: for an entry 64 and its key and value, and 32 and its key
    /// again if it has a deadline or lease; for a lease 128; for a client 128 and its remembered answers. It is
    /// a measure on which nodes agree, not what the allocator has handed out, which is less for small entries.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// How many keys there are, those included that have expired and not been taken out.
    pub fn len(&self) -> u64 {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have a deadline.
    pub fn keys_with_deadline(&self) -> u64 {
        self.deadlines.len()
    }

    /// How many leases there are.
    pub fn lease_count(&self) -> u64 {
        self.leases.len()
    }

    /// How many clients' requests are remembered.
    pub fn client_count(&self) -> u64 {
        self.clients.len()
    }

    /// Bytes of the answers remembered for them.
    pub fn client_bytes(&self) -> u64 {
        self.client_bytes
    }

    /// What is remembered of a request that a client has sent, or has not.
    pub fn recall(&self, request: &RequestId) -> Recalled {
        clients::recall(self, request)
    }

    /// What `key` has at `now`.
    pub fn get(&self, key: &[u8], now: Timestamp) -> Option<Entry<'_>> {
        self.entries.get(key).map(Entry::of).filter(|entry| self.is_live(entry, now))
    }

    /// Likewise, for who need not look at the clock where nothing depends on it.
    pub fn get_by(&self, key: &[u8], now: impl FnOnce() -> Timestamp) -> Option<Entry<'_>> {
        let entry = self.entries.get(key).map(Entry::of)?;
        match entry.lifetime {
            Lifetime::Unbounded | Lifetime::Keep => Some(entry),
            Lifetime::Until(_) | Lifetime::Lease(_) => self.is_live(&entry, now()).then_some(entry),
        }
    }

    /// Has the memory fetched that reading these keys one after the other will need, for
    /// [`FETCH_MAX`](super::FETCH_MAX) of them together. It changes nothing.
    pub fn fetch<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) {
        self.entries.fetch(keys);
    }

    /// The lease `id`, if it is alive at `now`.
    pub fn lease(&self, id: u64, now: Timestamp) -> Option<Lease> {
        self.lease_of(id).filter(|lease| lease.deadline > now)
    }

    /// The keys of `range` at `now`, at most `limit` of them (0: no limit) and `bytes_max` of keys and values
    /// together, but one in any case.
    pub fn range(
        &self,
        range: &Range<'_>,
        limit: u64,
        bytes_max: u64,
        reverse: bool,
        now: Timestamp,
    ) -> Page<'_> {
        let mut page = Page::default();
        let mut bytes = 0u64;
        let _ = self.entries.scan(range.start, range.end, reverse, |key, cell| {
            let entry = Entry::of(cell);
            if !self.is_live(&entry, now) {
                return ControlFlow::Continue(());
            }
            bytes += (key.len() + entry.value.len()) as u64;
            let count = page.entries.len() as u64;
            if (limit > 0 && count == limit) || (count > 0 && bytes > bytes_max) {
                page.more = true;
                return ControlFlow::Break(());
            }
            page.entries.push((key.to_vec(), entry));
            ControlFlow::Continue(())
        });
        page
    }

    /// How many keys `range` has at `now`. Costs a little more for each that has expired and not been taken
    /// out, nothing for the others.
    pub fn count(&self, range: &Range<'_>, now: Timestamp) -> u64 {
        let mut expired = 0;
        self.for_each_due(now, |key| {
            expired += u64::from(range.contains(key));
            ControlFlow::Continue(())
        });
        self.entries.count(range.start, range.end) - expired
    }

    /// The entry with `at` keys before it, for who wants one at random.
    pub fn nth(&self, at: u64) -> Option<(Vec<u8>, Entry<'_>)> {
        let mut key = Vec::new();
        let cell = self.entries.nth(at, &mut key)?;
        Some((key, Entry::of(cell)))
    }

    /// When the next key or lease expires: then an [`Expire`](super::Operation::Expire) has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let first =
            |tree: &Tree| tree.first_from(b"").map(|(key, _)| Timestamp::from_millis(number_at(&key, 0)));
        match (first(&self.deadlines), first(&self.lease_deadlines)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The time by which keys and leases expire for who reads at `clock`: that, or the latest time that a command had if that
    /// is later.
    ///
    /// - `by_log`: only what a command has said to be over is over: time stands before the first deadline that none has come to.
    pub fn present(&self, clock: Timestamp, by_log: bool) -> Timestamp {
        let now = clock.max(self.time);
        if !by_log || now == self.time {
            return now;
        }
        let from = self.time.as_millis().saturating_add(1).to_be_bytes();
        let first = |tree: &Tree| tree.first_from(&from).map(|(key, _)| number_at(&key, 0));
        let first = [first(&self.deadlines), first(&self.lease_deadlines)].into_iter().flatten().min();
        first.map_or(now, |first| now.min(Timestamp::from_millis(first - 1)))
    }

    /// The keys with a deadline, the next due first, at most `limit`.
    pub fn next_due(&self, limit: usize) -> Vec<(Timestamp, Vec<u8>)> {
        let mut due = Vec::new();
        let _ = self.deadlines.scan(b"", None, false, |key, _| {
            if due.len() == limit {
                return ControlFlow::Break(());
            }
            due.push((Timestamp::from_millis(number_at(key, 0)), key[8..].to_vec()));
            ControlFlow::Continue(())
        });
        due
    }

    /// Whether `entry` has not expired at `now`.
    pub fn is_live(&self, entry: &Entry<'_>, now: Timestamp) -> bool {
        match entry.lifetime {
            Lifetime::Unbounded | Lifetime::Keep => true,
            Lifetime::Until(deadline) => deadline > now,
            Lifetime::Lease(id) => self.lease(id, now).is_some(),
        }
    }

    /// Shows the keys that have expired at `now` and are still there.
    pub(super) fn for_each_due(&self, now: Timestamp, mut visit: impl FnMut(&[u8]) -> ControlFlow<()>) {
        let end = now.as_millis().checked_add(1).map(u64::to_be_bytes);
        let end = end.as_ref().map(|end| &end[..]);
        let _ = self.deadlines.scan(b"", end, false, |key, _| visit(&key[8..]));
        let _ = self.lease_deadlines.scan(b"", end, false, |key, _| {
            let id = number_at(key, 8);
            self.for_each_of_lease(id, &mut visit)
        });
    }

    pub(super) fn for_each_of_lease(
        &self,
        id: u64,
        mut visit: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let end = id.checked_add(1).map(u64::to_be_bytes);
        self.lease_keys
            .scan(&id.to_be_bytes(), end.as_ref().map(|end| &end[..]), false, |key, _| visit(&key[8..]))
    }

    /// The lease, whether alive or not.
    pub(super) fn lease_of(&self, id: u64) -> Option<Lease> {
        self.leases
            .get(&id.to_be_bytes())
            .map(|cell| Lease::parse(cell.small).expect("a lease is written by us"))
    }
}

impl Lease {
    pub(super) fn parse(mut small: &[u8]) -> Option<Self> {
        let ttl_ms = take_varint(&mut small)?;
        let deadline = Timestamp::from_millis(take_varint(&mut small)?);
        small.is_empty().then_some(Self { ttl_ms, deadline })
    }

    pub(super) fn pack(&self) -> Vec<u8> {
        let mut small = Vec::new();
        put_varint(&mut small, self.ttl_ms);
        put_varint(&mut small, self.deadline.as_millis());
        small
    }
}

impl Page<'_> {
    /// Copies to keep.
    pub(super) fn to_found(&self) -> Vec<(Vec<u8>, Found)> {
        self.entries.iter().map(|(key, entry)| (key.clone(), entry.to_found())).collect()
    }
}

/// The big-endian number at `at` of a key of one of the derived trees.
pub(super) fn number_at(key: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(*key[at..].first_chunk().expect("the key begins with numbers"))
}

/// The key of a derived tree.
pub(super) fn numbered(number: u64, key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(key);
}

/// What one part of the state adds to its hash.
pub(super) fn hash_of(part: Part, key: &[u8], cell: Cell<'_>, buffer: &mut Vec<u8>) -> u128 {
    buffer.clear();
    put_varint(buffer, key.len() as u64);
    buffer.extend_from_slice(key);
    buffer.extend_from_slice(cell.small);
    if let Some(large) = cell.large {
        buffer.extend_from_slice(&xxhash_rust::xxh3::xxh3_128(large).to_le_bytes());
    }
    xxhash_rust::xxh3::xxh3_128_with_seed(buffer, part as u64)
}

/// The parts that count towards the hash; the number is the seed.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Entry = 1,
    Lease = 2,
    Client = 3,
    Settings = 4,
}

pub(super) fn entry_memory(key: &[u8], entry: &Entry<'_>) -> u64 {
    let bounded = match entry.lifetime {
        Lifetime::Unbounded | Lifetime::Keep => 0,
        Lifetime::Until(_) | Lifetime::Lease(_) => 32 + key.len(),
    };
    (64 + key.len() + entry.value.len() + bounded) as u64
}

pub(super) const LEASE_MEMORY: u64 = 128;
pub(super) const CLIENT_MEMORY: u64 = 128;
