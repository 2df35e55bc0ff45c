//! Nodes that are behind: entries that are read from disk for them, and how much of the log is kept for them. Where the
//! log has let go of what they need, a snapshot is sent.

use raft::GetEntriesContext;

use super::Node;
use crate::error::Result;
use crate::replication::message::entry;
use crate::replication::storage::Ask;
use crate::store::engine::Now;
use crate::store::log::{Disk, Plan, Sequence};

/// How many times the bytes of a message are read at once for a replica that is behind.
const FETCH_MESSAGES: u64 = 4;
/// How many such reads are under way at once.
const FETCHES_MAX: usize = 2;
/// Between two marks of how long the log is.
const MARK_BYTES: u64 = 64 << 10;

/// Reads under way.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    count: usize,
}

/// Entries to be read from the log, without the node: any thread may run it.
#[derive(Debug)]
pub struct Fetch {
    plan: Plan,
    high: u64,
    bytes_max: u64,
    contexts: Vec<GetEntriesContext>,
    entries: Vec<raft::eraftpb::Entry>,
}

impl Fetch {
    /// Reads. Blocks as long as the disk does.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::read`].
    pub fn run(&mut self, disk: &impl Disk) -> Result<()> {
        let (mut bytes, most) = (0, self.bytes_max);
        let entries = &mut self.entries;
        self.plan.read(disk, |it| {
            bytes += it.payload.len() as u64;
            entries.push(entry(it.sequence.0, it.epoch.0, it.payload));
            bytes < most
        })
    }
}

impl Node {
    /// Entries to be read for a replica that is behind. [`Node::handle_fetched`] is to be told how it went.
    pub fn poll_fetch(&mut self) -> Option<Fetch> {
        while self.fetching.count < FETCHES_MAX
            && self.raw.store().is_asked()
            && self.pace.may_send(self.now.instant)
        {
            let Ask { low, high, contexts } = self.raw.mut_store().take_ask()?;
            // What is not applied may be replaced, and is in memory.
            let high = high.min(self.engine.state().sequence() + 1);
            match self.engine.plan(Sequence(low), Sequence(high.saturating_sub(1))) {
                Ok(plan) => {
                    self.fetching.count += 1;
                    let bytes_max = self.options.message_bytes * FETCH_MESSAGES;
                    return Some(Fetch { plan, high, bytes_max, contexts, entries: Vec::new() });
                }
                Err(_) => self.give_up(low, high, contexts),
            }
        }
        None
    }

    /// How it went: what [`Fetch::run`] gave.
    pub fn handle_fetched(&mut self, fetch: Fetch, result: Result<()>, now: Now) {
        self.pass(now);
        self.fetching.count -= 1;
        let Fetch { high, contexts, entries, .. } = fetch;
        let read = entries.last().map(|it| it.index);
        let bytes = entries.iter().map(|it| it.data.len() as u64).sum();
        self.pace.sent(bytes, self.now.instant);
        self.raw.mut_store().fetched(entries);
        match (result, read) {
            (Err(_), _) | (Ok(()), None) => self.give_up(high - 1, high, contexts),
            _ => self.fetched(contexts),
        }
        self.feed_all();
        self.append_ready();
    }

    /// Entries cannot be had any more: whoever needs them gets a snapshot.
    fn give_up(&mut self, low: u64, high: u64, contexts: Vec<GetEntriesContext>) {
        let first = self.engine.log().first().0;
        let first = if first > low { first } else { high };
        self.raw.mut_store().compact(first);
        self.fetched(contexts);
    }

    fn fetched(&mut self, contexts: Vec<GetEntriesContext>) {
        for context in contexts {
            self.raw.on_entries_fetched(context);
        }
    }

    /// An entry was appended.
    pub(super) fn count_appended(&mut self, sequence: u64, bytes: u64) {
        self.appended_bytes += bytes + 64;
        while self.kept.back().is_some_and(|(at, _)| *at >= sequence) {
            self.kept.pop_back();
        }
        if self.kept.back().is_none_or(|(_, total)| self.appended_bytes - total >= MARK_BYTES) {
            self.kept.push_back((sequence, self.appended_bytes));
        }
        let most = self.options.kept_bytes_max;
        while self.kept.len() > 1 && self.appended_bytes - self.kept[0].1 > most {
            self.kept.pop_front();
        }
    }

    /// Says which entries are kept for replicas that are behind, though a snapshot stands for them.
    pub(super) fn keep(&mut self) {
        let oldest = self.kept.front().map_or(u64::MAX, |(at, _)| *at);
        if !self.is_primary() {
            let behind = self.feeding.followers().map(|(_, acked)| acked).min();
            return self.engine.keep_entries(behind.map(|it| Sequence((it + 1).max(oldest))));
        }
        let prs = self.raw.raft.prs();
        let others = prs.iter().filter(|(node, _)| **node != self.identity.node);
        let behind = others.map(|(_, it)| it.matched.max(it.pending_snapshot)).min();
        self.engine.keep_entries(behind.map(|it| Sequence((it + 1).max(oldest))));
    }
}
