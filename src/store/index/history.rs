//! What has happened lately, for watchers: a bounded history of events that is written once and read by any
//! number of threads meanwhile.
//!
//! Events lie in chunks of cells that are each set once. A view holds the chunks and how far they were filled
//! when it was published, so appending copies nothing. The oldest chunks are dropped whole when the history is
//! larger than its bound; the last one stays, so the latest changes can be watched whatever the bound.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::entry::{Entry, INLINE_MAX};

/// The most events in a chunk.
const CHUNK_MAX: u64 = 512;
/// A chunk has this share of the bound at most, give or take an event: by so much the history may be shorter.
const SHARES: u64 = 16;
/// What an event counts beside its key and value.
const EVENT_BYTES: u64 = 128;

/// Why an event came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A value was put.
    Put,
    /// A number was added to.
    Incremented,
    /// A value was appended to.
    Appended,
    /// The lifetime was changed, the value not.
    LifetimeSet,
    /// The key was deleted.
    Deleted,
    /// The key, or its lease, has expired.
    Expired,
    /// The key was taken out to make room.
    Evicted,
    /// The lease of the key was revoked.
    Revoked,
}

/// One change of one key.
#[derive(Clone, Debug)]
pub struct Event {
    sequence: u64,
    created: u64,
    /// The key, and behind it the value unless that is shared.
    data: Box<[u8]>,
    shared: Option<Arc<[u8]>>,
    key_len: u32,
    kind: EventKind,
}

impl Event {
    pub(super) fn put(kind: EventKind, key: &[u8], entry: &Entry<'_>, large: Option<Arc<[u8]>>) -> Self {
        let value = if large.is_some() { &[][..] } else { entry.value };
        debug_assert!(value.len() <= INLINE_MAX);
        Self {
            sequence: entry.version,
            created: entry.created,
            data: [key, value].concat().into_boxed_slice(),
            shared: large,
            key_len: key.len() as u32,
            kind,
        }
    }

    pub(super) fn removed(kind: EventKind, key: &[u8], sequence: u64, created: u64) -> Self {
        Self { sequence, created, data: Box::from(key), shared: None, key_len: key.len() as u32, kind }
    }

    /// The sequence of the change: the version the key has now, if it is there.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The sequence that created the key; the same as `sequence` if this change did.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// Why it came about.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.data[..self.key_len as usize]
    }

    /// The value the key has now; `None`: it is gone.
    pub fn value(&self) -> Option<&[u8]> {
        match self.kind {
            EventKind::Put | EventKind::Incremented | EventKind::Appended | EventKind::LifetimeSet => {
                Some(self.shared.as_deref().unwrap_or(&self.data[self.key_len as usize..]))
            }
            EventKind::Deleted | EventKind::Expired | EventKind::Evicted | EventKind::Revoked => None,
        }
    }

    /// What it counts towards the bound: key, value and 128 bytes.
    fn bytes(&self) -> u64 {
        EVENT_BYTES + (self.data.len() + self.shared.as_ref().map_or(0, |shared| shared.len())) as u64
    }
}

/// Some events in a row. The cells behind `used` of a chunk that others came behind are never set.
#[derive(Clone, Debug)]
struct Chunk {
    cells: Arc<[OnceLock<Event>]>,
    /// How many are set, once another chunk came behind.
    used: usize,
}

/// The history as its one writer has it.
#[derive(Debug)]
pub(super) struct History {
    view: HistoryView,
    /// Bytes of the events in each chunk.
    bytes: VecDeque<u64>,
    bytes_total: u64,
    bytes_max: u64,
}

/// The history as it was when a view was published.
#[derive(Clone, Debug)]
pub(super) struct HistoryView {
    chunks: Arc<Vec<Chunk>>,
    /// Events in the last chunk.
    last_used: usize,
    /// All events up to this sequence may be gone.
    compacted: u64,
}

impl History {
    /// A history that begins behind `sequence`.
    pub(super) fn new(bytes_max: u64, sequence: u64) -> Self {
        Self {
            view: HistoryView { chunks: Arc::default(), last_used: 0, compacted: sequence },
            bytes: VecDeque::new(),
            bytes_total: 0,
            bytes_max,
        }
    }

    /// An empty one that begins behind `sequence`, as long as this one may be.
    pub(super) fn emptied(&self, sequence: u64) -> Self {
        Self::new(self.bytes_max, sequence)
    }

    pub(super) fn append(&mut self, events: impl Iterator<Item = Event>) {
        for event in events {
            if self.is_last_full() {
                self.begin_chunk();
            }
            let bytes = event.bytes();
            *self.bytes.back_mut().expect("there is a chunk") += bytes;
            self.bytes_total += bytes;
            let last = self.view.chunks.last().expect("there is a chunk");
            last.cells[self.view.last_used].set(event).expect("each cell is set once");
            self.view.last_used += 1;
        }
        self.trim();
    }

    pub(super) fn view(&self) -> HistoryView {
        self.view.clone()
    }

    fn is_last_full(&self) -> bool {
        match (self.view.chunks.last(), self.bytes.back()) {
            (Some(last), Some(bytes)) => {
                self.view.last_used == last.cells.len() || *bytes >= (self.bytes_max / SHARES).max(1)
            }
            _ => true,
        }
    }

    fn begin_chunk(&mut self) {
        let len = (self.bytes_max / SHARES / EVENT_BYTES).clamp(1, CHUNK_MAX) as usize;
        let chunks = Arc::make_mut(&mut self.view.chunks);
        if let Some(last) = chunks.last_mut() {
            last.used = self.view.last_used;
        }
        chunks.push(Chunk { cells: (0..len).map(|_| OnceLock::new()).collect(), used: 0 });
        self.view.last_used = 0;
        self.bytes.push_back(0);
    }

    /// Drops the oldest chunks while there is more than `bytes_max`; the last one stays.
    fn trim(&mut self) {
        let mut dropped = 0;
        while self.bytes_total > self.bytes_max && self.bytes.len() > 1 {
            self.bytes_total -= self.bytes.pop_front().expect("there are two");
            dropped += 1;
        }
        if dropped > 0 {
            let chunks = Arc::make_mut(&mut self.view.chunks);
            self.view.compacted = chunks[dropped - 1].last().sequence;
            chunks.drain(..dropped);
        }
    }
}

impl HistoryView {
    pub(super) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// The events from `sequence` on.
    pub(super) fn from(&self, sequence: u64) -> impl Iterator<Item = &Event> {
        let last = self.chunks.len().saturating_sub(1);
        let first = self.chunks[..last].partition_point(|chunk| chunk.last().sequence < sequence);
        let chunks = self.chunks.iter().enumerate().skip(first);
        let cells = chunks.flat_map(move |(at, chunk)| {
            let used = if at == last { self.last_used } else { chunk.used };
            let cells = &chunk.cells[..used];
            let before =
                if at == first { cells.partition_point(|cell| event(cell).sequence < sequence) } else { 0 };
            &cells[before..]
        });
        cells.map(event)
    }
}

impl Chunk {
    /// Its last event, once another chunk came behind.
    fn last(&self) -> &Event {
        event(&self.cells[self.used - 1])
    }
}

fn event(cell: &OnceLock<Event>) -> &Event {
    cell.get().expect("it was set before the length was published")
}
