//! [`Mutex`] and [`Condvar`] for what works beside a host that may fork: those of the standard library, which are a word
//! each and know nothing of who waits, with the calls of `parking_lot`, whose table of waiting threads is the whole
//! process's. In a child made by `fork` that table still has the parent's threads in it, at addresses that the child's
//! own threads get: theirs would wait for ever.
//!
//! ThreadSanitizer does not see these where the standard library is not built for it.
//!
//! A panic while one is held does not close it: the threads that have these do not panic, and if one did, the others
//! must be able to end.

use std::ops::{Deref, DerefMut};
use std::sync::{self, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

/// Always has the lock but within `unlocked` and a wait.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: Option<sync::MutexGuard<'a, T>>,
}

const HELD: &str = "held but while waiting";

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> MutexGuard<'_, T> {
    /// Runs `work` without the lock.
    pub(crate) fn unlocked<U>(guard: &mut Self, work: impl FnOnce() -> U) -> U {
        guard.held = None;
        let result = work();
        guard.held = guard.mutex.lock().held;
        result
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect(HELD)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Waits without the lock. It may return without a reason.
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect(HELD);
        guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// Likewise, for `timeout` at most.
    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) {
        let held = guard.held.take().expect(HELD);
        let waited = self.0.wait_timeout(held, timeout);
        guard.held = Some(waited.unwrap_or_else(PoisonError::into_inner).0);
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn others_have_it_while_one_waits_or_works_without_it() {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut number = shared.0.lock();
                while *number == 0 {
                    shared.1.wait(&mut number);
                }
                *number += 1;
                shared.1.notify_all();
            })
        };
        let mut number = shared.0.lock();
        MutexGuard::unlocked(&mut number, || *shared.0.lock() = 7);
        shared.1.notify_one();
        while *number == 7 {
            shared.1.wait_for(&mut number, Duration::from_secs(60));
        }
        assert_eq!(*number, 8);
        drop(number);
        other.join().unwrap();
    }

    #[test]
    fn a_panic_does_not_close_it() {
        let mutex = Arc::new(Mutex::new(1));
        let held = Arc::clone(&mutex);
        thread::spawn(move || {
            let _held = held.lock();
            panic!("on purpose");
        })
        .join()
        .unwrap_err();
        assert_eq!(*mutex.lock(), 1);
        let mut mutex = Arc::into_inner(mutex).unwrap();
        assert_eq!(*mutex.get_mut(), 1);
    }
}
