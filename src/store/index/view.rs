//! [`View`]: the state and its recent history at one sequence, and [`Reader`], by which any thread gets one.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::command::Range;
use super::entry::Found;
use super::history::HistoryView;
use super::state::State;
use super::time::Timestamp;
use crate::sync::{AtomicU32, AtomicU64, Ordering, Swap};

/// The index at one sequence. It never changes; whoever holds it keeps what has been replaced since in memory.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) state: State,
    pub(super) history: HistoryView,
    /// It stands for one that was taken back, and has nothing.
    pub(super) is_nothing: bool,
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

/// Reads what was applied. Any thread, at any time.
///
/// It neither waits for the writer nor holds it up, with one exception: a writer whose readers can ask it
/// ([`Index::serve`](super::Index::serve)) takes its view back when nobody has looked at it, since what a view holds
/// has to be copied before it is changed. Who reads after such a time asks for a view, and waits for what the writer
/// has in hand: short commands, since what may take long is done beside a view.
#[derive(Clone)]
pub struct Reader {
    pub(super) published: Arc<Published>,
}

/// What the writer shows.
pub(super) struct Published {
    view: Swap<View>,
    /// 1: somebody has looked at the view since it was shown.
    is_read: AtomicU32,
    /// The latest time any command had, in milliseconds since 1970.
    time_ms: AtomicU64,
    value_max: AtomicU64,
    ask: OnceLock<Ask>,
}

/// Has the writer make a view.
pub(super) type Ask = Box<dyn Fn() -> Arc<View> + Send + Sync>;

impl Published {
    pub(super) fn new(view: Arc<View>) -> Self {
        let published = Self {
            view: Swap::new(Arc::clone(&view)),
            is_read: AtomicU32::new(0),
            time_ms: AtomicU64::new(0),
            value_max: AtomicU64::new(0),
            ask: OnceLock::new(),
        };
        published.note(&view.state);
        published
    }

    /// Shows `view`.
    pub(super) fn show(&self, view: Arc<View>) {
        self.note(&view.state);
        self.view.set(view);
    }

    /// Takes back what is shown; `false`: readers could not ask for another.
    pub(super) fn take_back(&self, state: &State, nothing: &Arc<View>) -> bool {
        if self.ask.get().is_none() {
            return false;
        }
        self.note(state);
        self.view.set(Arc::clone(nothing));
        true
    }

    /// Has readers know what need not be looked up in a view.
    pub(super) fn note(&self, state: &State) {
        // Release: pairs with the Acquire of who reads it after an answer that came behind.
        self.time_ms.store(state.time.as_millis(), Ordering::Release);
        self.value_max.store(state.settings.value_max, Ordering::Release);
    }

    /// Whether somebody has looked at the view since the last call.
    pub(super) fn was_read(&self) -> bool {
        // Relaxed: it decides what copies cost, and nothing else.
        let was_read = self.is_read.load(Ordering::Relaxed) != 0;
        if was_read {
            self.is_read.store(0, Ordering::Relaxed);
        }
        was_read
    }

    /// What is shown, unless it was taken back.
    pub(super) fn view(&self) -> Option<Arc<View>> {
        Some(self.view.load_full()).filter(|view| !view.is_nothing)
    }

    /// Readers may ask by `ask` from now on.
    pub(super) fn serve(&self, ask: Ask) {
        let _ = self.ask.set(ask);
    }

    #[inline]
    fn note_read(&self) {
        // Looked at first, so that the line stays with all readers.
        if self.is_read.load(Ordering::Relaxed) == 0 {
            self.is_read.store(1, Ordering::Relaxed);
        }
    }

    #[cold]
    fn ask(&self) -> Arc<View> {
        self.ask.get().expect("a view is taken back only where readers can ask for another")()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sequence = self.published.view().map(|view| view.sequence());
        f.debug_struct("Reader").field("sequence", &sequence).finish_non_exhaustive()
    }
}

impl Reader {
    /// The view, to keep for as long as several reads are to agree.
    pub fn view(&self) -> Arc<View> {
        self.published.note_read();
        self.published.view().unwrap_or_else(|| self.published.ask())
    }

    /// The view, unless it was taken back and would have to be asked for. Never waits.
    pub fn view_if_any(&self) -> Option<Arc<View>> {
        self.published.note_read();
        self.published.view()
    }

    /// Shows the view to `read`: cheaper than [`Reader::view`] where it is short.
    pub fn with<T>(&self, read: impl FnOnce(&View) -> T) -> T {
        self.published.note_read();
        let view = self.published.view.load();
        if view.is_nothing {
            drop(view);
            return read(&self.published.ask());
        }
        read(&view)
    }

    /// The latest time any command had, of those that were answered. Never waits.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.published.time_ms.load(Ordering::Acquire))
    }

    /// The most bytes that a value may have, by the [`Settings`](super::Settings) in force. Never waits.
    pub fn value_max(&self) -> u64 {
        self.published.value_max.load(Ordering::Acquire)
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
