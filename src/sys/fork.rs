//! Whether this process forked. The child has copies of all descriptors, so what the parent merely closes
//! stays open as long as the child lives: after a fork the parent says `shutdown` before it closes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Begins to count. Calling it again does nothing.
pub(crate) fn watch() {
    if WATCHED.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: the handler is a plain function that lives as long as this library; the C library forgets it
    // when the library is unloaded. A failure (no memory) leaves forks uncounted, which costs clients of a
    // forked parent a late end of their connections.
    let _ = unsafe { libc::pthread_atfork(None, Some(count_one), None) };
}

/// How often this process has forked since [`watch`].
#[inline]
pub(crate) fn count() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Runs in the parent after a fork: one atomic addition, so it may run between any two instructions.
extern "C" fn count_one() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

static WATCHED: AtomicBool = AtomicBool::new(false);
static FORKS: AtomicU32 = AtomicU32::new(0);
