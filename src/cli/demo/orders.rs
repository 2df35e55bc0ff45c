//! [`Orders`]: what a backend's loop is told, and how far it has done it.

use std::time::Duration;

use mio::Waker;
use parking_lot::{Condvar, Mutex};

#[derive(Default)]
pub(super) struct Orders {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_over: bool,
    /// It is to stand still.
    freezes: bool,
    /// It does.
    is_frozen: bool,
}

/// A loop that ended by itself tells nobody that it stands still.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Orders {
    /// The loop does what it is told: stands still until it may go on. `true` when it is over.
    pub(super) fn obey(&self) -> bool {
        let mut state = self.state.lock();
        while state.freezes && !state.is_over {
            state.is_frozen = true;
            self.changed.notify_all();
            self.changed.wait(&mut state);
        }
        state.is_frozen = false;
        state.is_over
    }

    /// Has it end.
    pub(super) fn end(&self, waker: &Waker) {
        self.state.lock().is_over = true;
        self.changed.notify_all();
        // A loop that cannot be woken has ended.
        let _ = waker.wake();
    }

    /// Has it stand still, and returns when it does, or when it `has_ended`.
    pub(super) fn freeze(&self, waker: &Waker, has_ended: impl Fn() -> bool) {
        let mut state = self.state.lock();
        state.freezes = true;
        let _ = waker.wake();
        while !state.is_frozen && !has_ended() {
            self.changed.wait_for(&mut state, LOOK_AGAIN);
        }
    }

    /// Has it go on.
    pub(super) fn thaw(&self) {
        self.state.lock().freezes = false;
        self.changed.notify_all();
    }
}
