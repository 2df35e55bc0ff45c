//! The log as the consensus library sees it: the end of it in memory, the epochs of all of it, and what has to be read from
//! disk first is asked for and comes later.

use std::cell::RefCell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, StorageError};

use super::message::payload;

/// How many blocks of entries read from disk are kept.
const BLOCKS_MAX: usize = 4;
/// How many asks for entries are remembered at once; others are asked again with the next heartbeat.
const ASKS_MAX: usize = 16;
/// What an entry counts beside its bytes.
const ENTRY_BYTES: u64 = 96;

/// Entries that are to be read. Of them only applied ones are: others may be replaced meanwhile.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) contexts: Vec<GetEntriesContext>,
}

/// The log as far as it is appended, on disk or on its way there.
#[derive(Debug)]
pub(super) struct Storage {
    /// The first entry that can be had.
    first: u64,
    last: u64,
    /// Where each epoch begins, the first at or before `first - 1`.
    epochs: Vec<(u64, u64)>,
    /// The last entries, without a gap up to `last`.
    tail: VecDeque<Entry>,
    tail_bytes: u64,
    /// What was read from disk.
    blocks: VecDeque<Vec<Entry>>,
    asks: RefCell<Vec<Ask>>,
    hard: HardState,
    conf: ConfState,
    /// The last entry applied.
    applied: u64,
}

impl Storage {
    pub(super) fn new(
        first: u64,
        last: u64,
        epochs: Vec<(u64, u64)>,
        hard: HardState,
        conf: ConfState,
        applied: u64,
    ) -> Self {
        Self {
            first,
            last,
            epochs,
            tail: VecDeque::new(),
            tail_bytes: 0,
            blocks: VecDeque::new(),
            asks: RefCell::default(),
            hard,
            conf,
            applied,
        }
    }

    /// Entries found when the log was opened.
    pub(super) fn found(&mut self, entry: Entry) {
        self.tail_bytes += bytes(&entry);
        self.tail.push_back(entry);
    }

    /// Entries were appended to the log, in place of those from the first one on.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        while self.tail.back().is_some_and(|entry| entry.index >= first.index) {
            let gone = self.tail.pop_back().expect("there is a last");
            self.tail_bytes -= bytes(&gone);
        }
        // Where nothing of what is kept comes right before.
        if self.tail.back().is_some_and(|entry| entry.index + 1 != first.index) {
            self.tail.clear();
            self.tail_bytes = 0;
        }
        while self.epochs.len() > 1 && self.epochs.last().is_some_and(|(from, _)| *from >= first.index) {
            self.epochs.pop();
        }
        for entry in entries {
            if self.epochs.last().is_none_or(|(_, epoch)| *epoch != entry.term) {
                self.epochs.push((entry.index, entry.term));
            }
            self.tail_bytes += bytes(entry);
            self.tail.push_back(entry.clone());
            self.last = entry.index;
        }
    }

    /// The log goes on behind a snapshot.
    pub(super) fn restart(&mut self, sequence: u64, epoch: u64, conf: ConfState) {
        (self.first, self.last, self.applied) = (sequence + 1, sequence, sequence);
        self.epochs = vec![(sequence, epoch)];
        self.tail.clear();
        self.tail_bytes = 0;
        self.blocks.clear();
        self.conf = conf;
    }

    /// Entries up to this one are applied, and who is in the cluster is this.
    pub(super) fn applied(&mut self, sequence: u64, conf: Option<ConfState>) {
        self.applied = sequence;
        if let Some(conf) = conf {
            self.conf = conf;
        }
    }

    /// Lets go of applied entries beyond `bytes_max`.
    pub(super) fn trim(&mut self, bytes_max: u64) {
        while self.tail_bytes > bytes_max
            && let Some(entry) = self.tail.front()
            && entry.index <= self.applied
        {
            self.tail_bytes -= bytes(entry);
            self.tail.pop_front();
        }
    }

    /// Entries before `first` cannot be had any more.
    pub(super) fn compact(&mut self, first: u64) {
        if first <= self.first {
            return;
        }
        // What is in memory can still be had.
        let kept = self.tail.front().map_or(self.last + 1, |entry| entry.index);
        self.first = first.min(self.applied + 1);
        if kept < self.first {
            let drop = (self.first - kept) as usize;
            for entry in self.tail.drain(..drop.min(self.tail.len())) {
                self.tail_bytes -= bytes(&entry);
            }
        }
        let keep = self.epochs.partition_point(|(from, _)| *from < self.first).saturating_sub(1);
        self.epochs.drain(..keep);
    }

    /// What is to be read from disk.
    pub(super) fn take_ask(&mut self) -> Option<Ask> {
        let asks = self.asks.get_mut();
        (!asks.is_empty()).then(|| asks.remove(0))
    }

    /// Whether something is to be read from disk.
    pub(super) fn is_asked(&self) -> bool {
        !self.asks.borrow().is_empty()
    }

    /// What was read from disk.
    pub(super) fn fetched(&mut self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        if self.blocks.len() == BLOCKS_MAX {
            self.blocks.pop_front();
        }
        self.blocks.push_back(entries);
    }

    /// The epoch of an entry, as far as it is known.
    pub(super) fn epoch_of(&self, sequence: u64) -> Option<u64> {
        if sequence + 1 < self.first || sequence > self.last {
            return None;
        }
        let after = self.epochs.partition_point(|(from, _)| *from <= sequence);
        self.epochs[..after].last().map(|(_, epoch)| *epoch)
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    #[cfg(test)]
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The bytes kept in memory.
    pub(super) fn tail_bytes(&self) -> u64 {
        let blocks: u64 = self.blocks.iter().flatten().map(bytes).sum();
        self.tail_bytes + blocks
    }
}

fn bytes(entry: &Entry) -> u64 {
    ENTRY_BYTES + (entry.data.len() + entry.context.len()) as u64
}

/// The first of `entries`, as many as have `bytes_max` together, but one at least.
fn some<'a>(entries: impl Iterator<Item = &'a Entry>, bytes_max: Option<u64>) -> Vec<Entry> {
    let mut total = 0;
    let mut some: Vec<Entry> = Vec::new();
    for entry in entries {
        total += payload(entry).len() as u64 + 24;
        if !some.is_empty() && bytes_max.is_some_and(|most| total > most) {
            break;
        }
        some.push(entry.clone());
    }
    some
}

impl raft::Storage for Storage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), self.conf.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let max_size = max_size.into();
        if low < self.first {
            return Err(Error::Store(StorageError::Compacted));
        }
        if let Some(kept) = self.tail.front()
            && low >= kept.index
        {
            let from = (low - kept.index) as usize;
            let count = (high - low) as usize;
            return Ok(some(self.tail.iter().skip(from).take(count), max_size));
        }
        for block in &self.blocks {
            let (Some(first), Some(last)) = (block.first(), block.last()) else { continue };
            if (first.index..=last.index).contains(&low) {
                let from = (low - first.index) as usize;
                let count = (high - low) as usize;
                return Ok(some(block[from..].iter().take(count), max_size));
            }
        }
        if !context.can_async() {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let mut asks = self.asks.borrow_mut();
        if let Some(ask) = asks.iter_mut().find(|ask| ask.low == low) {
            if ask.contexts.len() < ASKS_MAX {
                ask.contexts.push(context);
            }
        } else if asks.len() < ASKS_MAX {
            asks.push(Ask { low, high, contexts: vec![context] });
        }
        Err(Error::Store(StorageError::LogTemporarilyUnavailable))
    }

    fn term(&self, idx: u64) -> raft::Result<u64> {
        if idx + 1 < self.first {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.epoch_of(idx).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last)
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        let epoch = self.epoch_of(self.applied);
        match epoch {
            Some(epoch) if self.applied >= request_index && self.applied > 0 => {
                let mut snapshot = Snapshot::default();
                let metadata = snapshot.mut_metadata();
                (metadata.index, metadata.term) = (self.applied, epoch);
                metadata.set_conf_state(self.conf.clone());
                Ok(snapshot)
            }
            _ => Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable)),
        }
    }
}

#[cfg(test)]
mod tests {
    use raft::Storage as _;

    use super::super::message::entry;
    use super::*;

    fn storage() -> Storage {
        let mut storage = Storage::new(1, 0, vec![(0, 0)], HardState::default(), ConfState::default(), 0);
        let entries: Vec<Entry> = (1..=10).map(|at| entry(at, 1 + at / 5, &[1; 100])).collect();
        storage.append(&entries);
        storage
    }

    #[test]
    fn epochs_are_known_and_a_suffix_is_replaced() {
        let mut storage = storage();
        assert_eq!([0, 4, 5, 9, 10].map(|at| storage.term(at).unwrap()), [0, 1, 2, 2, 3]);
        storage.append(&[entry(8, 7, &[1]), entry(9, 7, &[1])]);
        assert_eq!([7, 8, 9].map(|at| storage.term(at).unwrap()), [2, 7, 7]);
        assert_eq!((storage.last(), storage.term(10).is_err()), (9, true));
    }

    #[test]
    fn what_was_let_go_of_is_asked_for_and_comes_later() {
        let mut storage = storage();
        storage.applied(9, None);
        storage.trim(0);
        let context = || GetEntriesContext::empty(true);
        assert_eq!(storage.entries(10, 11, None, context()).unwrap().len(), 1);
        let later = Err(Error::Store(StorageError::LogTemporarilyUnavailable));
        assert_eq!(storage.entries(3, 8, None, context()), later);
        assert_eq!(storage.entries(3, 8, None, context()), later);
        let ask = storage.take_ask().unwrap();
        assert_eq!((ask.low, ask.high, ask.contexts.len()), (3, 8, 2));
        storage.fetched((3..8).map(|at| entry(at, 1, &[1; 100])).collect());
        assert_eq!(storage.entries(3, 8, Some(300), context()).unwrap().len(), 2);
        assert_eq!(storage.entries(7, 8, None, context()).unwrap()[0].index, 7);
    }

    #[test]
    fn what_is_gone_is_gone() {
        let mut storage = storage();
        storage.applied(6, None);
        storage.compact(6);
        assert_eq!((storage.first(), storage.term(5).unwrap(), storage.term(4).is_err()), (6, 2, true));
        storage.compact(100);
        assert_eq!(storage.first(), 7, "what is not applied stays");
        let gone = storage.entries(3, 5, None, GetEntriesContext::empty(true));
        assert_eq!(gone, Err(Error::Store(StorageError::Compacted)));
    }
}
