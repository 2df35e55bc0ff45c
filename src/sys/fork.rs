//! Whether this process forked. The child has copies of all descriptors, so what the parent merely closes
//! stays open as long as the child lives: after a fork the parent says `shutdown` before it closes.
//!
//! The system copies descriptors somewhere between the beginning of a fork and its end, and other threads go
//! on meanwhile; so both are counted. A [`Moment`] is taken before a descriptor is made: forks that have begun
//! since then, or were under way, may have copied it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A moment to ask about later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u32);

impl Moment {
    /// Now.
    #[inline]
    pub(crate) fn now() -> Self {
        FORKS.now()
    }

    /// Whether a child may have a copy of what was opened after this moment. Asked right before it is closed: a
    /// fork that begins between the two would have to come as far as the descriptors before the close does.
    #[inline]
    pub(crate) fn has_forked_since(self) -> bool {
        FORKS.has_forked_since(self)
    }
}

/// Begins to count. Calling it again does nothing.
pub(crate) fn watch() {
    if WATCHED.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: the handlers are plain functions that live as long as this library; the C library forgets them
    // when the library is unloaded. A failure (no memory) leaves forks uncounted, which costs clients of a
    // forked parent a late end of their connections.
    let _ = unsafe { libc::pthread_atfork(Some(begin), Some(end), Some(born)) };
}

/// A process, to be asked about later. [`watch`] must have been called before.
#[cfg(feature = "store")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

#[cfg(feature = "store")]
impl Process {
    /// This one.
    pub(crate) fn now() -> Self {
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Whether this is still the same, and no child of it: one plain read, where a call of the system costs as much as
    /// reading a key.
    #[inline]
    pub(crate) fn is_this(self) -> bool {
        GENERATION.load(Ordering::Relaxed) == self.0
    }
}

/// Runs in the child after a fork, before anything else does.
extern "C" fn born() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Runs in the parent before a fork: one atomic addition, so it may run between any two instructions.
extern "C" fn begin() {
    FORKS.begun.fetch_add(1, Ordering::SeqCst);
}

/// Runs in the parent after a fork, also after one that failed.
extern "C" fn end() {
    FORKS.ended.fetch_add(1, Ordering::SeqCst);
}

/// How many forks lie between the first process that had this library and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static WATCHED: AtomicBool = AtomicBool::new(false);
static FORKS: Forks = Forks { begun: AtomicU32::new(0), ended: AtomicU32::new(0) };

/// Threads may fork at once; the numbers are the same while none does.
struct Forks {
    begun: AtomicU32,
    ended: AtomicU32,
}

impl Forks {
    fn now(&self) -> Moment {
        Moment(self.ended.load(Ordering::Acquire))
    }

    fn has_forked_since(&self, moment: Moment) -> bool {
        self.begun.load(Ordering::Acquire) != moment.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_may_have_copied_what_was_opened_before_its_end() {
        let forks = Forks { begun: AtomicU32::new(0), ended: AtomicU32::new(0) };
        let before = forks.now();
        assert!(!forks.has_forked_since(before));
        forks.begun.fetch_add(1, Ordering::SeqCst);
        let meanwhile = forks.now();
        assert!(forks.has_forked_since(before) && forks.has_forked_since(meanwhile));
        // Another thread forks too, and is through first.
        forks.begun.fetch_add(1, Ordering::SeqCst);
        forks.ended.fetch_add(1, Ordering::SeqCst);
        let between = forks.now();
        assert!(forks.has_forked_since(between));
        forks.ended.fetch_add(1, Ordering::SeqCst);
        for moment in [before, meanwhile, between] {
            assert!(forks.has_forked_since(moment));
        }
        assert!(!forks.has_forked_since(forks.now()));
    }

    #[cfg(feature = "store")]
    #[test]
    fn forks_of_this_process_are_counted() {
        watch();
        watch();
        let (before, process) = (Moment::now(), Process::now());
        // SAFETY: the child reads a number and calls `_exit`, which may be called there.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = if process.is_this() { 1 } else { 7 };
            // SAFETY: it ends the child at once and touches nothing.
            unsafe { libc::_exit(code) };
        }
        assert!(pid > 0 && before.has_forked_since() && process.is_this());
        let mut status = 0;
        // SAFETY: it waits for the child made above and writes its status.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(libc::WEXITSTATUS(status), 7);
    }
}
