//! [`View`]: the state and its recent history at one sequence, and [`Reader`], by which any thread gets one.

use std::ops::Deref;
use std::sync::Arc;

use super::command::Range;
use super::entry::Found;
use super::history::HistoryView;
use super::state::State;
use super::time::Timestamp;
use crate::sync::Swap;

/// The index at one sequence. It never changes; whoever holds it keeps what has been replaced since in memory.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) state: State,
    pub(super) history: HistoryView,
}

impl Deref for View {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl View {
    /// The first sequence that can be watched from.
    pub fn first_watchable(&self) -> u64 {
        self.history.compacted().saturating_add(1)
    }
}

/// Reads what was last published. Any thread, at any time; it neither waits for the writer nor holds it up.
#[derive(Clone)]
pub struct Reader {
    pub(super) published: Arc<Swap<View>>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("sequence", &self.published.load().sequence()).finish_non_exhaustive()
    }
}

impl Reader {
    /// The view, to keep for as long as several reads are to agree.
    pub fn view(&self) -> Arc<View> {
        self.published.load_full()
    }

    /// Shows the view to `read`: cheaper than [`Reader::view`] where it is short.
    pub fn with<T>(&self, read: impl FnOnce(&View) -> T) -> T {
        read(&self.published.load())
    }

    /// A copy of what `key` has at `now`.
    pub fn get(&self, key: &[u8], now: Timestamp) -> Option<Found> {
        self.with(|view| view.get(key, now).map(|entry| entry.to_found()))
    }

    /// How many keys `range` has at `now`.
    pub fn count(&self, range: &Range<'_>, now: Timestamp) -> u64 {
        self.with(|view| view.count(range, now))
    }
}
