//! [`Scan`]: the keys of a range, one after the other, as they were at one moment.

use std::sync::Arc;
use std::vec;

use super::Store;
use crate::error::Result;
use crate::store::index::{Found, Range, Timestamp, View};

/// Goes through the keys of a range as they were when it began, whatever is written meanwhile. It copies a page at a time;
/// what has been replaced since it began stays in memory until it is dropped.
#[derive(Debug)]
pub struct Scan {
    store: Store,
    view: Arc<View>,
    /// By which keys expire: the moment it began.
    now: Timestamp,
    /// What is left of the range.
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    reverse: bool,
    /// How many it may give still; `None`: all there are.
    left: Option<u64>,
    page: vec::IntoIter<(Vec<u8>, Found)>,
    is_last: bool,
}

/// What one page has at most, but one key in any case.
const PAGE_KEYS: u64 = 256;
const PAGE_BYTES: u64 = 256 << 10;

impl Store {
    /// Begins to go through the keys of `range`, at most `limit` (0: all), in order or from the last to the first. The
    /// errors are those of the other reads.
    pub fn scan(&self, range: &Range<'_>, limit: u64, reverse: bool) -> Result<Scan> {
        let view = self.view()?;
        let now = self.time_in(&view);
        Ok(self.scan_in(view, now, range, limit, reverse))
    }

    /// Goes through the keys that `range` has in `view` at `now`, as [`Store::scan`] does.
    pub fn scan_in(
        &self,
        view: Arc<View>,
        now: Timestamp,
        range: &Range<'_>,
        limit: u64,
        reverse: bool,
    ) -> Scan {
        Scan {
            store: self.clone(),
            view,
            now,
            start: range.start.to_vec(),
            end: range.end.map(<[u8]>::to_vec),
            reverse,
            left: (limit > 0).then_some(limit),
            page: Vec::new().into_iter(),
            is_last: false,
        }
    }
}

impl Scan {
    /// The next key and what it has; `None` behind the last. Does not block.
    ///
    /// # Errors
    ///
    /// `State` once the store is closed, `Forked`.
    pub fn next_entry(&mut self) -> Result<Option<(Vec<u8>, Found)>> {
        self.store.shared()?;
        if self.page.len() == 0 && !self.is_last {
            self.turn();
        }
        Ok(self.page.next())
    }

    /// The sequence of what it sees: where a watch goes on that is to miss nothing is behind it.
    pub fn sequence(&self) -> u64 {
        self.view.sequence()
    }

    fn turn(&mut self) {
        let range = Range { start: &self.start, end: self.end.as_deref() };
        let limit = self.left.map_or(PAGE_KEYS, |left| left.min(PAGE_KEYS));
        let page = self.view.range(&range, limit, PAGE_BYTES, self.reverse, self.now);
        let entries: Vec<_> = page.entries.into_iter().map(|(key, entry)| (key, entry.to_found())).collect();
        if let Some(left) = &mut self.left {
            *left -= entries.len() as u64;
        }
        self.is_last = !page.more || self.left == Some(0);
        if let Some((last, _)) = entries.last() {
            let mut bound = last.clone();
            if self.reverse {
                self.end = Some(bound);
            } else {
                // The first key behind it.
                bound.push(0);
                self.start = bound;
            }
        }
        self.page = entries.into_iter();
    }
}
