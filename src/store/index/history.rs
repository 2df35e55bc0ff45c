//! What has happened lately, for watchers: a bounded history of events that is written once and read by any
//! number of threads meanwhile.
//!
//! Events lie in chunks of cells that are each set once. A view holds the chunks and how far they were filled
//! when it was published, so appending copies nothing. The oldest chunks are dropped whole when the history is
//! larger than its bound.

use std::sync::{Arc, OnceLock};

use super::entry::{Entry, INLINE_MAX};

/// Events in a chunk.
const CHUNK: usize = 512;

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
        (128 + self.data.len() + self.shared.as_ref().map_or(0, |shared| shared.len())) as u64
    }
}

type Chunk = Arc<[OnceLock<Event>]>;

/// The history as its one writer has it.
#[derive(Debug)]
pub(super) struct History {
    view: HistoryView,
    /// Bytes of the events in each chunk.
    bytes: std::collections::VecDeque<u64>,
    bytes_total: u64,
    bytes_max: u64,
}

/// The history as it was when a view was published.
#[derive(Clone, Debug)]
pub(super) struct HistoryView {
    chunks: Arc<Vec<Chunk>>,
    /// Events in the chunks.
    len: usize,
    /// All events up to this sequence may be gone.
    compacted: u64,
}

impl History {
    /// A history that begins behind `sequence`.
    pub(super) fn new(bytes_max: u64, sequence: u64) -> Self {
        Self {
            view: HistoryView { chunks: Arc::default(), len: 0, compacted: sequence },
            bytes: std::collections::VecDeque::new(),
            bytes_total: 0,
            bytes_max,
        }
    }

    pub(super) fn append(&mut self, events: impl Iterator<Item = Event>) {
        for event in events {
            let at = self.view.len % CHUNK;
            if at == 0 {
                let chunk: Chunk = (0..CHUNK).map(|_| OnceLock::new()).collect();
                Arc::make_mut(&mut self.view.chunks).push(chunk);
                self.bytes.push_back(0);
            }
            let bytes = event.bytes();
            *self.bytes.back_mut().expect("there is a chunk") += bytes;
            self.bytes_total += bytes;
            let last = self.view.chunks.last().expect("there is a chunk");
            last[at].set(event).expect("each cell is set once");
            self.view.len += 1;
        }
        self.trim();
    }

    pub(super) fn view(&self) -> HistoryView {
        self.view.clone()
    }

    /// Drops the oldest chunks while there is more than `bytes_max`; the last one stays.
    fn trim(&mut self) {
        let mut dropped = 0;
        while self.bytes_total > self.bytes_max && self.bytes.len() > 1 {
            self.bytes_total -= self.bytes.pop_front().expect("there are two");
            dropped += 1;
        }
        if dropped > 0 {
            let last = self.view.event(dropped * CHUNK - 1);
            self.view.compacted = last.sequence;
            Arc::make_mut(&mut self.view.chunks).drain(..dropped);
            self.view.len -= dropped * CHUNK;
        }
    }
}

impl HistoryView {
    pub(super) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// The events from `sequence` on.
    pub(super) fn from(&self, sequence: u64) -> impl Iterator<Item = &Event> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = (low + high) / 2;
            if self.event(middle).sequence < sequence { low = middle + 1 } else { high = middle }
        }
        (low..self.len).map(|at| self.event(at))
    }

    fn event(&self, at: usize) -> &Event {
        self.chunks[at / CHUNK][at % CHUNK].get().expect("it was set before the length was published")
    }
}
