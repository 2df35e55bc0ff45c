//! What has happened lately, for watchers: a bounded history of events that is written once and read by any
//! number of threads meanwhile.
//!
//! Events are written one behind the other into a run that is open while nobody looks. It is closed when it is long
//! enough or a view is made, and never changes from then on: so an event costs a copy of its bytes, and memory is asked
//! for once for many. Runs lie in chunks of cells that are each set once. A view holds the chunks and how far they were
//! filled when it was published, so appending copies nothing. The oldest chunks are dropped whole when the history is
//! larger than its bound; the last one stays, so the latest changes can be watched whatever the bound.
//!
//! ```text
//! event: kind, 128 more if the value lies beside the run; sequence, age (sequence less creation), length of the key:
//!        varints; key; of those with a value in the run: its length (varint) and value
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::entry::{Entry, INLINE_MAX};
use super::wire::{put_bytes, put_varint, take_bytes, take_varint};

/// The most runs in a chunk.
const CHUNK_MAX: u64 = 512;
/// A chunk has this share of the bound at most, give or take a run: by so much the history may be shorter.
const SHARES: u64 = 16;
/// What a run counts at most, give or take a command.
const RUN_MAX: u64 = 64 << 10;
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

impl EventKind {
    const ALL: [Self; 8] = [
        Self::Put,
        Self::Incremented,
        Self::Appended,
        Self::LifetimeSet,
        Self::Deleted,
        Self::Expired,
        Self::Evicted,
        Self::Revoked,
    ];

    /// Whether the key has a value behind it.
    fn has_value(self) -> bool {
        matches!(self, Self::Put | Self::Incremented | Self::Appended | Self::LifetimeSet)
    }
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
        let value = || self.shared.as_deref().unwrap_or(&self.data[self.key_len as usize..]);
        self.kind.has_value().then(value)
    }
}

/// An event where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) sequence: u64,
    pub(super) key: &'a [u8],
    created: u64,
    kind: EventKind,
    /// In the run; empty when there is none, or it lies beside it.
    value: &'a [u8],
    shared: Option<&'a Arc<[u8]>>,
}

impl Told<'_> {
    /// Bytes of the value.
    pub(super) fn value_bytes(&self) -> usize {
        self.shared.map_or(self.value.len(), |shared| shared.len())
    }

    /// A copy to keep.
    pub(super) fn to_event(self) -> Event {
        Event {
            sequence: self.sequence,
            created: self.created,
            data: [self.key, self.value].concat().into_boxed_slice(),
            shared: self.shared.cloned(),
            key_len: self.key.len() as u32,
            kind: self.kind,
        }
    }
}

/// The run that is being written.
#[derive(Debug, Default)]
pub(super) struct Open {
    bytes: Vec<u8>,
    shared: Vec<Arc<[u8]>>,
    /// The sequence of the last event.
    last: u64,
    events: u64,
    /// What it counts towards the bound.
    weight: u64,
}

/// How far a run had come.
pub(super) struct Mark {
    bytes: usize,
    shared: usize,
    last: u64,
    events: u64,
    weight: u64,
}

const SHARED: u8 = 0x80;

impl Open {
    pub(super) fn put(&mut self, kind: EventKind, key: &[u8], entry: &Entry<'_>, large: Option<Arc<[u8]>>) {
        self.begin(kind, key, entry.version, entry.created, large.is_some());
        self.weight += entry.value.len() as u64;
        match large {
            Some(large) => self.shared.push(large),
            None => {
                debug_assert!(entry.value.len() <= INLINE_MAX);
                put_bytes(&mut self.bytes, entry.value);
            }
        }
    }

    pub(super) fn removed(&mut self, kind: EventKind, key: &[u8], sequence: u64, created: u64) {
        self.begin(kind, key, sequence, created, false);
    }

    /// Where [`Open::go_back`] goes back to.
    pub(super) fn mark(&self) -> Mark {
        let Self { bytes, shared, last, events, weight } = self;
        Mark { bytes: bytes.len(), shared: shared.len(), last: *last, events: *events, weight: *weight }
    }

    /// Forgets the events since `mark`.
    pub(super) fn go_back(&mut self, mark: &Mark) {
        self.bytes.truncate(mark.bytes);
        self.shared.truncate(mark.shared);
        (self.last, self.events, self.weight) = (mark.last, mark.events, mark.weight);
    }

    fn begin(&mut self, kind: EventKind, key: &[u8], sequence: u64, created: u64, is_shared: bool) {
        self.bytes.push(kind as u8 | if is_shared { SHARED } else { 0 });
        put_varint(&mut self.bytes, sequence);
        put_varint(&mut self.bytes, sequence - created);
        put_bytes(&mut self.bytes, key);
        self.last = sequence;
        self.events += 1;
        self.weight += EVENT_BYTES + key.len() as u64;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.shared.clear();
        (self.events, self.weight) = (0, 0);
    }
}

/// Events in a row, closed.
#[derive(Debug)]
struct Run {
    bytes: Box<[u8]>,
    shared: Box<[Arc<[u8]>]>,
    /// The sequence of the last event.
    last: u64,
}

impl Run {
    fn iter(&self) -> impl Iterator<Item = Told<'_>> {
        let mut rest = &self.bytes[..];
        let mut shared = self.shared.iter();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let told = take_event(&mut rest, &mut shared);
            Some(told.expect("an event is written by us"))
        })
    }
}

fn take_event<'a>(
    bytes: &mut &'a [u8],
    shared: &mut impl Iterator<Item = &'a Arc<[u8]>>,
) -> Option<Told<'a>> {
    let (flags, rest) = bytes.split_first()?;
    *bytes = rest;
    let kind = *EventKind::ALL.get(usize::from(flags & !SHARED))?;
    let sequence = take_varint(bytes)?;
    let created = sequence.checked_sub(take_varint(bytes)?)?;
    let key = take_bytes(bytes)?;
    let (value, shared) = match flags & SHARED {
        0 if kind.has_value() => (take_bytes(bytes)?, None),
        0 => (&[][..], None),
        _ => (&[][..], Some(shared.next()?)),
    };
    Some(Told { sequence, key, created, kind, value, shared })
}

/// Some runs in a row. The cells behind `used` of a chunk that others came behind are never set.
#[derive(Clone, Debug)]
struct Chunk {
    cells: Arc<[OnceLock<Run>]>,
    /// How many are set, once another chunk came behind.
    used: usize,
}

/// The history as its one writer has it.
#[derive(Debug)]
pub(super) struct History {
    view: HistoryView,
    open: Open,
    /// What the runs in each chunk count.
    weights: VecDeque<u64>,
    weight: u64,
    bytes_max: u64,
}

/// The history as it was when a view was published.
#[derive(Clone, Debug)]
pub(super) struct HistoryView {
    chunks: Arc<Vec<Chunk>>,
    /// Runs in the last chunk.
    last_used: usize,
    /// All events up to this sequence may be gone.
    compacted: u64,
}

impl History {
    /// A history that begins behind `sequence`.
    pub(super) fn new(bytes_max: u64, sequence: u64) -> Self {
        Self {
            view: HistoryView { chunks: Arc::default(), last_used: 0, compacted: sequence },
            open: Open::default(),
            weights: VecDeque::new(),
            weight: 0,
            bytes_max,
        }
    }

    /// An empty one that begins behind `sequence`, as long as this one may be.
    pub(super) fn emptied(&self, sequence: u64) -> Self {
        Self::new(self.bytes_max, sequence)
    }

    /// Where events are written; [`History::settle`] is to follow behind those of a command.
    pub(super) fn open(&mut self) -> &mut Open {
        &mut self.open
    }

    /// The events of a command are written, all those behind `before`.
    pub(super) fn settle(&mut self, before: &Mark) {
        let (events, weight) = (self.open.events - before.events, self.open.weight - before.weight);
        if events > 1 && weight > self.bytes_max {
            // They would be told together, and cannot be kept.
            *self = self.emptied(self.open.last);
        } else if self.open.weight >= (self.bytes_max / SHARES).clamp(1, RUN_MAX) {
            self.close();
        }
    }

    /// What there is, to be read by others.
    pub(super) fn view(&mut self) -> HistoryView {
        self.close();
        self.view.clone()
    }

    /// Closes the open run, if it has anything.
    fn close(&mut self) {
        if self.open.events == 0 {
            return;
        }
        if self.is_last_full() {
            self.begin_chunk();
        }
        *self.weights.back_mut().expect("there is a chunk") += self.open.weight;
        self.weight += self.open.weight;
        let run = Run {
            bytes: Box::from(&self.open.bytes[..]),
            shared: self.open.shared.drain(..).collect(),
            last: self.open.last,
        };
        self.open.clear();
        let last = self.view.chunks.last().expect("there is a chunk");
        last.cells[self.view.last_used].set(run).expect("each cell is set once");
        self.view.last_used += 1;
        self.trim();
    }

    fn is_last_full(&self) -> bool {
        match (self.view.chunks.last(), self.weights.back()) {
            (Some(last), Some(weight)) => {
                self.view.last_used == last.cells.len() || *weight >= (self.bytes_max / SHARES).max(1)
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
        self.weights.push_back(0);
    }

    /// Drops the oldest chunks while there is more than `bytes_max`; the last one stays.
    fn trim(&mut self) {
        let mut dropped = 0;
        while self.weight > self.bytes_max && self.weights.len() > 1 {
            self.weight -= self.weights.pop_front().expect("there are two");
            dropped += 1;
        }
        if dropped > 0 {
            let chunks = Arc::make_mut(&mut self.view.chunks);
            self.view.compacted = chunks[dropped - 1].last().last;
            chunks.drain(..dropped);
        }
    }
}

impl HistoryView {
    pub(super) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// The events from `sequence` on.
    pub(super) fn from(&self, sequence: u64) -> impl Iterator<Item = Told<'_>> {
        let last = self.chunks.len().saturating_sub(1);
        let first = self.chunks[..last].partition_point(|chunk| chunk.last().last < sequence);
        let chunks = self.chunks.iter().enumerate().skip(first);
        let cells = chunks.flat_map(move |(at, chunk)| {
            let used = if at == last { self.last_used } else { chunk.used };
            let cells = &chunk.cells[..used];
            let before =
                if at == first { cells.partition_point(|cell| run(cell).last < sequence) } else { 0 };
            &cells[before..]
        });
        cells.flat_map(|cell| run(cell).iter()).skip_while(move |told| told.sequence < sequence)
    }
}

impl Chunk {
    /// Its last run, once another chunk came behind.
    fn last(&self) -> &Run {
        run(&self.cells[self.used - 1])
    }
}

fn run(cell: &OnceLock<Run>) -> &Run {
    cell.get().expect("it was set before the length was published")
}
