//! Chunks to a state.

use std::sync::Arc;

use super::{
    CLIENT, END, ENTRY, HEADER, LEASE, MAGIC, MAY_HAVE_FORGOTTEN, Position, SNAPSHOT_VERSION, SnapshotError,
    WITHOUT_FLAGS,
};
use crate::store::index::clients;
use crate::store::index::command::{KEY_MAX, Lifetime, Settings};
use crate::store::index::entry::{Entry, INLINE_MAX};
use crate::store::index::state::{
    CLIENT_MEMORY, LEASE_MEMORY, Lease, Part, State, entry_memory, hash_of, number_at, numbered,
};
use crate::store::index::time::Timestamp;
use crate::store::index::tree::{Cell, Scratch};
use crate::store::index::wire::{take, take_bytes, take_varint};
use crate::store::index::writer::{attach, settings_hash};

/// Builds a state out of chunks, in their order. What it takes is checked: a state that is not one in itself, or
/// has not the hash that the writer's had, is refused.
#[derive(Debug)]
pub struct SnapshotReader {
    state: State,
    at: Position,
    /// The version of the first chunk, which all have.
    version: u8,
    /// What was wrong, once something was.
    failed: Option<SnapshotError>,
    scratch: Scratch,
    buffer: Vec<u8>,
}

impl Default for SnapshotReader {
    fn default() -> Self {
        Self::new()
    }
}

impl SnapshotReader {
    /// One that waits for the first chunk.
    pub fn new() -> Self {
        let state = State::default();
        let (scratch, buffer) = (Scratch::default(), Vec::new());
        Self { state, at: Position::START, version: 0, failed: None, scratch, buffer }
    }

    /// Where it stands: what to ask a writer for.
    pub fn position(&self) -> &Position {
        &self.at
    }

    /// What has come so far; whole only when [complete](Self::is_complete).
    pub fn so_far(&self) -> &State {
        &self.state
    }

    /// Whether the last chunk has come.
    pub fn is_complete(&self) -> bool {
        self.failed.is_none() && self.at.kind == END
    }

    /// Takes the next chunk, all of it and nothing else.
    ///
    /// # Errors
    ///
    /// After [`SnapshotError::Invalid`] the reader takes nothing more. After any other it stands where it stood
    /// and takes the right chunk.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let body = self.body(bytes)?;
        if let Err(what) = self.records(body) {
            let failed = SnapshotError::Invalid { chunk: self.at.chunk, what };
            self.failed = Some(failed);
            return Err(failed);
        }
        self.at.chunk += 1;
        Ok(())
    }

    /// The state, once complete.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Incomplete`], or what had been wrong before.
    pub fn finish(self) -> Result<State, SnapshotError> {
        match self.failed {
            Some(failed) => Err(failed),
            None if self.at.kind == END => Ok(self.state),
            None => Err(SnapshotError::Incomplete { expected: self.at.chunk }),
        }
    }

    /// The records of a chunk that is the one due and has come as it was sent.
    fn body<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], SnapshotError> {
        let damaged = SnapshotError::Damaged { chunk: self.at.chunk };
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(SnapshotError::NotASnapshot) };
        let version = match rest.first() {
            Some(&version @ WITHOUT_FLAGS..=SNAPSHOT_VERSION) => version,
            Some(&found) => return Err(SnapshotError::Version { found }),
            None => return Err(damaged),
        };
        let (summed, sum) = bytes.split_last_chunk::<8>().ok_or(damaged)?;
        if xxhash_rust::xxh3::xxh3_64(summed) != u64::from_le_bytes(*sum) {
            return Err(damaged);
        }
        let mut rest = summed.get(MAGIC.len() + 1..).ok_or(damaged)?;
        let sequence = take_varint(&mut rest).ok_or(damaged)?;
        let chunk = take_varint(&mut rest).ok_or(damaged)?;
        if self.at.kind != 0 && sequence != self.at.sequence {
            return Err(SnapshotError::Other { expected: self.at.sequence, found: sequence });
        }
        if chunk != self.at.chunk || self.at.kind == END {
            return Err(SnapshotError::OutOfOrder { expected: self.at.chunk, found: chunk });
        }
        if self.at.kind == 0 {
            self.version = version;
        } else if self.version != version {
            return Err(damaged);
        }
        self.at.sequence = sequence;
        self.state.sequence = sequence;
        Ok(rest)
    }

    fn records(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        if bytes.is_empty() {
            return Err("no record");
        }
        while let Some((kind, rest)) = bytes.split_first() {
            bytes = rest;
            match (*kind, self.at.kind) {
                (_, END) => return Err("records behind the end"),
                (HEADER, 0) => self.header(&mut bytes)?,
                (HEADER, _) | (_, 0) => return Err("the header is not the first record"),
                (END, _) => self.end(&mut bytes)?,
                (LEASE | ENTRY | CLIENT, _) => self.record(*kind, &mut bytes)?,
                _ => return Err("a record of an unknown kind"),
            }
        }
        Ok(())
    }

    fn header(&mut self, bytes: &mut &[u8]) -> Result<(), &'static str> {
        let mut number = || take_varint(bytes).ok_or("the header is cut");
        self.state.time = Timestamp::from_millis(number()?);
        self.state.changes = number()?;
        let mut fields = [0; 5];
        for field in &mut fields {
            *field = number()?;
        }
        let flags = if self.version == WITHOUT_FLAGS { 0 } else { number()? };
        if flags & !MAY_HAVE_FORGOTTEN != 0 {
            return Err("the header has a flag of an unknown kind");
        }
        self.state.may_have_forgotten = flags != 0;
        self.state.settings = Settings::from_fields(fields).map_err(|_| "the settings are out of range")?;
        self.state.hash = settings_hash(&self.state.settings, &mut self.buffer);
        self.at.kind = HEADER;
        Ok(())
    }

    fn record(&mut self, kind: u8, bytes: &mut &[u8]) -> Result<(), &'static str> {
        const CUT: &str = "a record is cut";
        let key = take_bytes(bytes).ok_or(CUT)?;
        let small = take_bytes(bytes).ok_or(CUT)?;
        let large: Option<Arc<[u8]>> = match take(bytes, 1).ok_or(CUT)? {
            [0] => None,
            [1] => Some(Arc::from(take_bytes(bytes).ok_or(CUT)?)),
            _ => return Err("a value that is neither small nor large"),
        };
        if kind < self.at.kind || (kind == self.at.kind && key <= self.at.key.as_slice()) {
            return Err("records out of order");
        }
        let cell = Cell { small, large: large.as_ref() };
        match kind {
            LEASE => self.lease(key, cell)?,
            ENTRY => self.entry(key, cell)?,
            _ => self.client(key, cell)?,
        }
        self.at.kind = kind;
        self.at.key.clear();
        self.at.key.extend_from_slice(key);
        Ok(())
    }

    fn lease(&mut self, key: &[u8], cell: Cell<'_>) -> Result<(), &'static str> {
        let lease = Lease::parse(cell.small).filter(|_| cell.large.is_none() && key.len() == 8);
        let lease =
            lease.filter(|lease| lease.ttl_ms > 0 && number_at(key, 0) > 0).ok_or("a lease is wrong")?;
        let State { leases, lease_deadlines, .. } = &mut self.state;
        leases.put(key, cell, &mut self.scratch);
        let mut derived = Vec::new();
        numbered(lease.deadline.as_millis(), key, &mut derived);
        lease_deadlines.put(&derived, Cell::small(b""), &mut self.scratch);
        self.count(Part::Lease, key, cell, LEASE_MEMORY);
        Ok(())
    }

    fn entry(&mut self, key: &[u8], cell: Cell<'_>) -> Result<(), &'static str> {
        let entry = Entry::parse(cell).filter(|_| key.len() <= KEY_MAX).ok_or("an entry is wrong")?;
        let is_large = entry.value.len() > INLINE_MAX;
        if entry.created == 0
            || entry.changes == 0
            || entry.version > self.state.sequence
            || is_large != cell.large.is_some()
        {
            return Err("an entry cannot be");
        }
        if let Lifetime::Lease(id) = entry.lifetime
            && self.state.lease_of(id).is_none()
        {
            return Err("an entry has a lease that is not there");
        }
        self.state.entries.put(key, cell, &mut self.scratch);
        attach(&mut self.state, entry.lifetime, key, &mut self.buffer, &mut self.scratch);
        self.count(Part::Entry, key, cell, entry_memory(key, &entry));
        Ok(())
    }

    fn client(&mut self, key: &[u8], cell: Cell<'_>) -> Result<(), &'static str> {
        let (last, len) = clients::check(cell).filter(|_| key.len() == 16).ok_or("a client is wrong")?;
        let order = last.to_be_bytes();
        if last > self.state.sequence || self.state.client_order.get(&order).is_some() {
            return Err("a client cannot be");
        }
        self.state.client_order.put(&order, Cell::small(key), &mut self.scratch);
        self.state.clients.put(key, cell, &mut self.scratch);
        self.state.client_bytes += len;
        self.count(Part::Client, key, cell, CLIENT_MEMORY + len);
        Ok(())
    }

    fn end(&mut self, bytes: &mut &[u8]) -> Result<(), &'static str> {
        let state = &self.state;
        for count in [state.leases.len(), state.entries.len(), state.clients.len(), state.memory] {
            if take_varint(bytes) != Some(count) {
                return Err("the counts at its end are not those of its records");
            }
        }
        if take(bytes, 16) != Some(&state.hash.to_le_bytes()) {
            return Err("its hash is not that of its records");
        }
        self.state.may_have_forgotten |= clients::shows_forgetting(&self.state);
        self.at.kind = END;
        self.at.key.clear();
        Ok(())
    }

    fn count(&mut self, part: Part, key: &[u8], cell: Cell<'_>, memory: u64) {
        self.state.hash = self.state.hash.wrapping_add(hash_of(part, key, cell, &mut self.buffer));
        self.state.memory += memory;
    }
}
