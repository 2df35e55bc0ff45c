//! [`Watch`]: the changes of a range from a sequence on, without gaps.

use super::command::Range;
use super::history::Event;
use super::view::View;

/// Follows the keys of a range. It holds a position and nothing else: a watcher that falls behind costs no
/// memory and delays nobody. When what it has not seen yet is no longer kept, it is told so.
#[derive(Clone, Debug)]
pub struct Watch {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    next: u64,
}

/// What a watcher has not seen is gone. It reads the range in a view and watches on from behind that view's
/// sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The first sequence that can still be watched from.
    pub first: u64,
}

impl Watch {
    /// Watches `range` from `sequence` on: the change of that very sequence is the first it tells.
    pub fn new(range: &Range<'_>, sequence: u64) -> Self {
        Self { start: range.start.to_vec(), end: range.end.map(<[u8]>::to_vec), next: sequence }
    }

    /// The sequence up to which everything was told is the one before this.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The changes up to `view` that were not told yet. It stops behind `events_max` and `bytes_max` of keys and
    /// values, though never amidst the changes of one command: what was done together is told together. Ask
    /// again until there are none. [`Compacted`] leaves the watch where it is.
    pub fn next(
        &mut self,
        view: &View,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Event>, Compacted> {
        let compacted = view.history.compacted();
        if self.next <= compacted {
            return Err(Compacted { first: compacted.saturating_add(1) });
        }
        let range = Range { start: &self.start, end: self.end.as_deref() };
        let mut told: Vec<Event> = Vec::new();
        let mut bytes = 0;
        for event in view.history.from(self.next) {
            let is_next = told.last().is_some_and(|last| last.sequence() != event.sequence);
            if is_next && (told.len() >= events_max || bytes >= bytes_max) {
                self.next = event.sequence;
                return Ok(told);
            }
            if range.contains(event.key) {
                bytes += event.key.len() + event.value_bytes();
                told.push(event.to_event());
            }
        }
        self.next = self.next.max(view.sequence().saturating_add(1));
        Ok(told)
    }
}
