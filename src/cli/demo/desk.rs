//! [`Desk`]: where the threads of the demo meet. One lock over the ledger, and two things to wait for.

use std::time::Duration;

use parking_lot::{Condvar, MappedMutexGuard, Mutex, MutexGuard};

use super::ledger::Ledger;
use crate::time::{Clock, Instant};

pub(super) struct Desk {
    state: Mutex<State>,
    /// Something was written, or the demo was interrupted.
    changed: Condvar,
    /// The clients are to end.
    over: Condvar,
}

struct State {
    ledger: Ledger,
    is_over: bool,
    is_interrupted: bool,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// What was waited for is there.
    Seen,
    /// The time is over.
    TimedOut,
    /// Somebody wants it to end.
    Interrupted,
}

impl Desk {
    pub(super) fn new(ledger: Ledger) -> Self {
        let state = State { ledger, is_over: false, is_interrupted: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), over: Condvar::new() }
    }

    /// The ledger, to read and to write what who waits need not know.
    pub(super) fn ledger(&self) -> MappedMutexGuard<'_, Ledger> {
        MutexGuard::map(self.state.lock(), |state| &mut state.ledger)
    }

    /// Writes, and has who waits look again.
    pub(super) fn write(&self, write: impl FnOnce(&mut Ledger)) {
        write(&mut self.state.lock().ledger);
        self.changed.notify_one();
    }

    /// Waits until `seen` holds, at most until `until`.
    pub(super) fn wait(&self, until: Instant, seen: impl Fn(&Ledger) -> bool) -> Waited {
        let mut state = self.state.lock();
        loop {
            if state.is_interrupted {
                return Waited::Interrupted;
            }
            if seen(&state.ledger) {
                return Waited::Seen;
            }
            let left = until.duration_since(Clock.now());
            if left == Duration::ZERO {
                return Waited::TimedOut;
            }
            self.changed.wait_for(&mut state, left);
        }
    }

    /// A client waits for its next turn. `false` when it is to end.
    pub(super) fn wait_for_turn(&self, until: Instant) -> bool {
        let mut state = self.state.lock();
        loop {
            let left = until.duration_since(Clock.now());
            if state.is_over || left == Duration::ZERO {
                return !state.is_over;
            }
            self.over.wait_for(&mut state, left);
        }
    }

    /// Has the clients end.
    pub(super) fn end(&self) {
        self.state.lock().is_over = true;
        self.over.notify_all();
    }

    /// Somebody wants it all to end.
    pub(super) fn interrupt(&self) {
        self.state.lock().is_interrupted = true;
        self.changed.notify_one();
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.state.lock().is_interrupted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn desk() -> Desk {
        Desk::new(Ledger::new(1, 1))
    }

    #[test]
    fn a_wait_ends_with_what_it_is_for() {
        let desk = desk();
        let late = Clock.now().saturating_add(LONG);
        std::thread::scope(|scope| {
            scope.spawn(|| desk.write(|ledger| ledger.begin(0)));
            assert_eq!(desk.wait(late, |ledger| ledger.begun() == 1), Waited::Seen);
        });
        assert_eq!(desk.wait(Clock.now(), |_| false), Waited::TimedOut);
        assert_eq!(desk.wait(Clock.now(), |_| true), Waited::Seen);
        std::thread::scope(|scope| {
            scope.spawn(|| desk.interrupt());
            assert_eq!(desk.wait(late, |_| false), Waited::Interrupted);
        });
        assert!(desk.is_interrupted());
    }

    #[test]
    fn a_turn_comes_or_is_none() {
        let desk = desk();
        assert!(desk.wait_for_turn(Clock.now()));
        std::thread::scope(|scope| {
            scope.spawn(|| desk.end());
            assert!(!desk.wait_for_turn(Clock.now().saturating_add(LONG)));
        });
        assert!(!desk.wait_for_turn(Instant::START));
    }
}
