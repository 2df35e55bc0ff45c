//! The few ways in which a state changes. Each keeps the derived trees, the hash, the memory and the events in
//! step with the entries; everything else is built from them.

use std::sync::Arc;

use super::command::{Lifetime, Settings};
use super::entry::Entry;
use super::history::{EventKind, Open};
use super::outcome::Refusal;
use super::state::{LEASE_MEMORY, Lease, Part, State, entry_memory, hash_of, number_at, numbered};
use super::time::Timestamp;
use super::tree::{Cell, Scratch, Tree};

/// A state being changed by one command.
pub(super) struct Writer<'a> {
    pub(super) state: &'a mut State,
    pub(super) scratch: &'a mut Buffers,
    /// What watchers will be told, in order.
    pub(super) events: &'a mut Open,
    pub(super) sequence: u64,
}

/// Memory used again by each command.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub(super) tree: Scratch,
    small: Vec<u8>,
    key: Vec<u8>,
    hashed: Vec<u8>,
}

/// What was there, of which only this is needed once it is gone.
struct Gone {
    lifetime: Lifetime,
    hash: u128,
    memory: u64,
}

/// Why a value cannot be put as things are.
enum Obstacle {
    /// What is there has expired, and is to be taken out first.
    Expired,
    Full {
        limit: u64,
    },
}

/// A value to be put.
#[derive(Clone, Copy)]
pub(super) enum NewValue<'a> {
    Bytes(&'a [u8]),
    Shared(&'a Arc<[u8]>),
}

impl Writer<'_> {
    pub(super) fn now(&self) -> Timestamp {
        self.state.time
    }

    /// What `key` has now.
    pub(super) fn get(&self, key: &[u8]) -> Option<Entry<'_>> {
        self.state.get(key, self.state.time)
    }

    /// Puts `value` at `key`, alive until `lifetime` says (not [`Lifetime::Keep`]). A lease must be alive. What
    /// is there and has expired is taken out before.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        value: NewValue<'_>,
        lifetime: Lifetime,
        kind: EventKind,
    ) -> Result<(), Refusal> {
        let (value, shared) = match value {
            NewValue::Bytes(value) => (value, None),
            NewValue::Shared(value) => (&value[..], Some(value)),
        };
        let mut new = Entry { value, shared, version: self.sequence, created: 0, changes: 0, lifetime };
        let (mut gone, mut large) = (None, None);
        let (mut memory, mut hash) = (0, 0);
        loop {
            // Taken out for the time of the walk, since what is there is judged by other parts of the state.
            let mut entries = std::mem::take(&mut self.state.entries);
            let state = &*self.state;
            let Buffers { tree, small, hashed, .. } = &mut *self.scratch;
            let result = entries.put_by(key, tree, |old| {
                let old = old.map(|cell| (cell, Entry::of(cell)));
                if old.as_ref().is_some_and(|(_, old)| !state.is_live(old, state.time)) {
                    return Err(Obstacle::Expired);
                }
                new.created = old.map_or(new.version, |(_, old)| old.created);
                new.changes = old.map_or(1, |(_, old)| old.changes.saturating_add(1));
                memory = entry_memory(key, &new);
                let memory_before = old.map_or(0, |(_, old)| entry_memory(key, &old));
                let limit = state.settings.memory_max;
                if limit > 0 && memory > memory_before && state.memory - memory_before + memory > limit {
                    return Err(Obstacle::Full { limit });
                }
                gone = old.map(|(cell, old)| Gone {
                    lifetime: old.lifetime,
                    hash: hash_of(Part::Entry, key, cell, hashed),
                    memory: memory_before,
                });
                large = new.pack(small);
                let cell = Cell { small, large: large.as_ref() };
                hash = hash_of(Part::Entry, key, cell, hashed);
                Ok(cell)
            });
            self.state.entries = entries;
            match result {
                Ok(()) => break,
                Err(Obstacle::Full { limit }) => return Err(Refusal::MemoryFull { limit }),
                Err(Obstacle::Expired) => self.remove(key, EventKind::Expired),
            };
        }
        self.events.put(kind, key, &new, large);
        let before = gone.as_ref().map_or(Lifetime::Unbounded, |gone| gone.lifetime);
        if before != lifetime {
            let Buffers { tree, key: derived, .. } = &mut *self.scratch;
            detach(self.state, before, key, derived, tree);
            attach(self.state, lifetime, key, derived, tree);
        }
        self.account(gone, hash, memory);
        Ok(())
    }

    /// Takes `key` out, whether it has expired or not, and says whether it was there.
    pub(super) fn remove(&mut self, key: &[u8], kind: EventKind) -> bool {
        let Some(cell) = self.state.entries.get(key) else { return false };
        let entry = Entry::of(cell);
        let Buffers { tree, key: derived, hashed, .. } = &mut *self.scratch;
        let gone = Gone {
            lifetime: entry.lifetime,
            hash: hash_of(Part::Entry, key, cell, hashed),
            memory: entry_memory(key, &entry),
        };
        self.events.removed(kind, key, self.sequence, entry.created);
        self.state.removed.expired += u64::from(kind == EventKind::Expired);
        self.state.removed.evicted += u64::from(kind == EventKind::Evicted);
        self.state.entries.remove(key, tree);
        detach(self.state, gone.lifetime, key, derived, tree);
        self.account(Some(gone), 0, 0);
        true
    }

    /// Begins or prolongs a lease.
    pub(super) fn put_lease(&mut self, id: u64, lease: Lease) -> Result<(), Refusal> {
        let old = self.state.lease_of(id);
        let limit = self.state.settings.memory_max;
        if old.is_none() && limit > 0 && self.state.memory + LEASE_MEMORY > limit {
            return Err(Refusal::MemoryFull { limit });
        }
        if let Some(old) = old {
            self.forget_lease(id, old);
        }
        let Buffers { tree, key: derived, hashed, .. } = &mut *self.scratch;
        let small = lease.pack();
        let cell = Cell::small(&small);
        self.state.hash = self.state.hash.wrapping_add(hash_of(Part::Lease, &id.to_be_bytes(), cell, hashed));
        self.state.memory += LEASE_MEMORY;
        self.state.leases.put(&id.to_be_bytes(), cell, tree);
        numbered(lease.deadline.as_millis(), &id.to_be_bytes(), derived);
        self.state.lease_deadlines.put(derived, Cell::small(b""), tree);
        Ok(())
    }

    /// Ends a lease, which takes its keys along: how many.
    pub(super) fn end_lease(&mut self, id: u64, lease: Lease, kind: EventKind) -> u64 {
        let mut count = 0;
        while let Some(key) = self.key_of_lease(id) {
            self.remove(&key, kind);
            count += 1;
        }
        self.forget_lease(id, lease);
        count
    }

    /// The first key of a lease.
    pub(super) fn key_of_lease(&self, id: u64) -> Option<Vec<u8>> {
        let (key, _) = self.state.lease_keys.first_from(&id.to_be_bytes())?;
        (number_at(&key, 0) == id).then(|| key[8..].to_vec())
    }

    pub(super) fn configure(&mut self, settings: Settings) {
        let hashed = &mut self.scratch.hashed;
        let state = &mut *self.state;
        state.hash = state
            .hash
            .wrapping_sub(settings_hash(&state.settings, hashed))
            .wrapping_add(settings_hash(&settings, hashed));
        state.settings = settings;
    }

    /// Replaces what `tree` of the state has at `key`, `None` being nothing, and keeps the hash in step.
    pub(super) fn put_hashed(
        &mut self,
        part: Part,
        tree: fn(&mut State) -> &mut Tree,
        key: &[u8],
        cell: Option<Cell<'_>>,
    ) {
        let Buffers { tree: scratch, hashed, .. } = &mut *self.scratch;
        let mut hash = self.state.hash;
        if let Some(old) = tree(self.state).get(key) {
            hash = hash.wrapping_sub(hash_of(part, key, old, hashed));
        }
        match cell {
            Some(cell) => {
                hash = hash.wrapping_add(hash_of(part, key, cell, hashed));
                tree(self.state).put(key, cell, scratch);
            }
            None => {
                tree(self.state).remove(key, scratch);
            }
        }
        self.state.hash = hash;
    }

    fn forget_lease(&mut self, id: u64, lease: Lease) {
        let Buffers { tree, key: derived, hashed, .. } = &mut *self.scratch;
        let small = lease.pack();
        let hash = hash_of(Part::Lease, &id.to_be_bytes(), Cell::small(&small), hashed);
        self.state.hash = self.state.hash.wrapping_sub(hash);
        self.state.memory -= LEASE_MEMORY;
        self.state.leases.remove(&id.to_be_bytes(), tree);
        numbered(lease.deadline.as_millis(), &id.to_be_bytes(), derived);
        self.state.lease_deadlines.remove(derived, tree);
    }

    fn account(&mut self, gone: Option<Gone>, hash: u128, memory: u64) {
        let (old_hash, old_memory) = gone.map_or((0, 0), |gone| (gone.hash, gone.memory));
        let state = &mut *self.state;
        state.hash = state.hash.wrapping_sub(old_hash).wrapping_add(hash);
        state.memory = state.memory - old_memory + memory;
        state.changes = state.changes.saturating_add(1);
    }
}

pub(super) fn settings_hash(settings: &Settings, hashed: &mut Vec<u8>) -> u128 {
    let fields: Vec<u8> = settings.fields().into_iter().flat_map(u64::to_le_bytes).collect();
    hash_of(Part::Settings, b"", Cell::small(&fields), hashed)
}

pub(super) fn attach(
    state: &mut State,
    lifetime: Lifetime,
    key: &[u8],
    out: &mut Vec<u8>,
    tree: &mut Scratch,
) {
    match lifetime {
        Lifetime::Unbounded | Lifetime::Keep => {}
        Lifetime::Until(deadline) => {
            numbered(deadline.as_millis(), key, out);
            state.deadlines.put(out, Cell::small(b""), tree);
        }
        Lifetime::Lease(id) => {
            numbered(id, key, out);
            state.lease_keys.put(out, Cell::small(b""), tree);
        }
    }
}

fn detach(state: &mut State, lifetime: Lifetime, key: &[u8], out: &mut Vec<u8>, tree: &mut Scratch) {
    match lifetime {
        Lifetime::Unbounded | Lifetime::Keep => {}
        Lifetime::Until(deadline) => {
            numbered(deadline.as_millis(), key, out);
            state.deadlines.remove(out, tree);
        }
        Lifetime::Lease(id) => {
            numbered(id, key, out);
            state.lease_keys.remove(out, tree);
        }
    }
}
