//! [`Watcher`]: the changes of a range, as they come.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use super::shared::deadline;
use crate::error::{Error, Result};
use crate::store::index::{Compacted, Event, Range, Watch};
use crate::sync::{AtomicU32, Ordering, fence};
use crate::sys::eventfd::EventFd;
use crate::time::Clock;

/// What there is to wait for with.
#[derive(Debug)]
pub(super) struct Bell {
    event: EventFd,
    /// 1: somebody wants to hear it.
    is_armed: AtomicU32,
}

impl Bell {
    /// One that somebody wants to hear.
    pub(super) fn new() -> Result<Self> {
        let event = EventFd::new().map_err(|error| Error::io("make a descriptor to wait with", &error))?;
        Ok(Self { event, is_armed: AtomicU32::new(1) })
    }

    pub(super) fn ring(&self) {
        // Pairs with the fence in `arm`: either we see that it is armed, or who armed it sees what was published.
        fence(Ordering::SeqCst);
        if self.is_armed.swap(0, Ordering::Relaxed) == 1 {
            self.event.signal();
        }
    }

    /// Has the next ring be heard. What is published is to be looked at again after it.
    pub(super) fn arm(&self) {
        self.event.clear();
        self.is_armed.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Waits until it rings, at most `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        self.event.wait(timeout);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Watched {
    /// Changes, in order and without a gap behind the last ones; all those of a command together.
    Events(Vec<Event>),
    /// What comes next is not kept any more, or what was told last is not in this store: it went with a crash. Read the range in a
    /// [`Store::view`] and watch on from behind the view's sequence.
    Compacted {
        /// The first sequence that can still be watched from.
        first: u64,
    },
}

/// Follows the keys of a range. It holds a position and a descriptor; a slow one costs no memory and delays nobody.
#[derive(Debug)]
pub struct Watcher {
    store: Store,
    watch: Watch,
    bell: Arc<Bell>,
    /// What was told before it never was in this store.
    is_beyond: bool,
}

/// What one answer has at most, unless one command did more.
const EVENTS_MAX: usize = 1_024;
const BYTES_MAX: usize = 1 << 20;

impl Watcher {
    pub(super) fn new(store: &Store, range: &Range<'_>, from: u64) -> Result<Self> {
        let bell = Arc::new(Bell::new()?);
        let shared = store.shared()?;
        shared.add_bell(&bell);
        // Now: later there may be others of these numbers.
        let is_beyond = shared.is_unheard_of(from.saturating_sub(1));
        // There may be something already.
        bell.ring();
        Ok(Self { store: store.clone(), watch: Watch::new(range, from), bell, is_beyond })
    }

    /// The next changes. Waits for them, at most `timeout`; zero does not wait.
    ///
    /// # Errors
    ///
    /// `TimedOut`; `State` once the store is closed; `Forked`.
    pub fn next(&mut self, timeout: Duration) -> Result<Watched> {
        let deadline = deadline(timeout);
        loop {
            let reader = self.store.reader()?;
            let view = reader.view();
            // On a replica that was behind it comes out once it is primary.
            let told = self.watch.next_sequence().saturating_sub(1);
            if self.is_beyond || told > view.sequence() && self.store.shared()?.is_unheard_of(told) {
                self.is_beyond = true;
                return Ok(Watched::Compacted { first: view.first_watchable() });
            }
            match self.watch.next(&view, EVENTS_MAX, BYTES_MAX) {
                Ok(events) if !events.is_empty() => {
                    return Ok(Watched::Events(events));
                }
                Ok(_) => {}
                Err(Compacted { first }) => return Ok(Watched::Compacted { first }),
            }
            if self.watch.next_sequence() <= view.sequence() {
                // Much went by that is not in the range; there is more.
                continue;
            }
            self.bell.arm();
            if self.store.reader()?.with(|latest| latest.sequence()) > view.sequence() {
                continue;
            }
            let left = deadline.duration_since(Clock.now());
            if left.is_zero() {
                return Err(Error::TimedOut { what: "change" });
            }
            let shared = &self.store.inner.shared;
            if shared.host.is_some() {
                shared.drive(deadline, |core| (core.is_ending || core.told > view.sequence()).then_some(()));
            } else {
                self.bell.wait(left);
            }
        }
    }

    /// The sequence up to which everything was told is the one before this: where to watch on from later.
    pub fn next_sequence(&self) -> u64 {
        self.watch.next_sequence()
    }
}

impl AsFd for Watcher {
    /// Readable when [`Watcher::next`] is worth a call; it stays so until a call has timed out.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
