//! A view to chunks.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{
    CLIENT, END, ENTRY, HEADER, LEASE, MAGIC, MAY_HAVE_FORGOTTEN, Position, SNAPSHOT_VERSION, SnapshotError,
    WITHOUT_FLAGS,
};
use crate::store::index::clients::shows_forgetting;
use crate::store::index::tree::{Cell, Tree};
use crate::store::index::view::View;
use crate::store::index::wire::{put_bytes, put_varint};

/// Writes a view, chunk by chunk.
#[derive(Clone, Debug)]
pub struct SnapshotWriter {
    view: Arc<View>,
    at: Position,
}

impl SnapshotWriter {
    /// Writes `view` from the beginning.
    pub fn new(view: Arc<View>) -> Self {
        let at = Position { sequence: view.sequence(), ..Position::START };
        Self { view, at }
    }

    /// Writes `view` on from where a reader stands.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Gone`] if the reader began with another view.
    pub fn resume(view: Arc<View>, position: &Position) -> Result<Self, SnapshotError> {
        if *position == Position::START {
            return Ok(Self::new(view));
        }
        if position.sequence != view.sequence() {
            return Err(SnapshotError::Gone { sequence: position.sequence });
        }
        Ok(Self { view, at: position.clone() })
    }

    /// Where it stands.
    pub fn position(&self) -> &Position {
        &self.at
    }

    /// Appends the next chunk to `out` and says so, or says that there is none. A chunk ends behind the record
    /// that reaches `bytes`, so it is longer by one key and value at most. Costs what the chunk has.
    pub fn next_chunk(&mut self, bytes: usize, out: &mut Vec<u8>) -> bool {
        if self.at.kind == END {
            return false;
        }
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.push(self.version());
        put_varint(out, self.at.sequence);
        put_varint(out, self.at.chunk);
        let full = out.len().saturating_add(bytes.max(1));
        if self.at.kind == 0 {
            self.header(out);
        }
        self.records(out, full);
        let sum = xxhash_rust::xxh3::xxh3_64(&out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
        self.at.chunk = self.at.chunk.saturating_add(1);
        true
    }

    fn version(&self) -> u8 {
        let state = &self.view.state;
        if state.may_have_forgotten && !shows_forgetting(state) { SNAPSHOT_VERSION } else { WITHOUT_FLAGS }
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        let state = &self.view.state;
        out.push(HEADER);
        put_varint(out, state.time.as_millis());
        put_varint(out, state.changes);
        state.settings.fields().into_iter().for_each(|field| put_varint(out, field));
        if self.version() != WITHOUT_FLAGS {
            put_varint(out, MAY_HAVE_FORGOTTEN);
        }
        self.at.kind = HEADER;
    }

    fn records(&mut self, out: &mut Vec<u8>, full: usize) {
        let state = &self.view.state;
        for (kind, tree) in [(LEASE, &state.leases), (ENTRY, &state.entries), (CLIENT, &state.clients)] {
            if kind >= self.at.kind && put_section(kind, tree, &mut self.at, out, full).is_break() {
                return;
            }
        }
        out.push(END);
        for count in [state.leases.len(), state.entries.len(), state.clients.len(), state.memory] {
            put_varint(out, count);
        }
        out.extend_from_slice(&state.hash.to_le_bytes());
        self.at = Position { kind: END, key: Vec::new(), ..self.at.clone() };
    }
}

/// Writes what of a section comes behind `at`, until `out` is full.
fn put_section(kind: u8, tree: &Tree, at: &mut Position, out: &mut Vec<u8>, full: usize) -> ControlFlow<()> {
    let mut start = Vec::new();
    if at.kind == kind {
        // The first key behind the last one.
        start.extend_from_slice(&at.key);
        start.push(0);
    }
    tree.scan(&start, None, false, |key, cell| {
        if out.len() >= full {
            return ControlFlow::Break(());
        }
        put_record(kind, key, cell, out);
        at.kind = kind;
        at.key.clear();
        at.key.extend_from_slice(key);
        ControlFlow::Continue(())
    })
}

fn put_record(kind: u8, key: &[u8], cell: Cell<'_>, out: &mut Vec<u8>) {
    out.push(kind);
    put_bytes(out, key);
    put_bytes(out, cell.small);
    out.push(u8::from(cell.large.is_some()));
    if let Some(large) = cell.large {
        put_bytes(out, large);
    }
}
