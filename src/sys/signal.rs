//! Signals: a library neither installs handlers nor lets its threads take what is meant for the host's.

use std::mem::MaybeUninit;
use std::ptr;

/// This thread's mask as it was; dropping it puts that mask back, so it must be dropped on the same thread.
pub(crate) struct Masked {
    before: libc::sigset_t,
    /// A SIGPIPE that comes while it is masked is ours, and is taken away at the end.
    takes_pipe: bool,
}

/// Masks every signal, so that a thread made now never takes one.
pub(crate) fn mask_all() -> Masked {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `set` is writable memory of a sigset_t.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: filled just before.
    mask(unsafe { set.assume_init() }, false)
}

/// Masks SIGPIPE, which `splice` raises when the reader of a socket is gone and no flag prevents. `None` when
/// it was masked before or is already waiting: then it is somebody else's affair.
pub(crate) fn mask_pipe() -> Option<Masked> {
    let set = pipe_set();
    if is_pipe_pending() {
        return None;
    }
    let masked = mask(set, true);
    // SAFETY: `before` was filled by the system.
    if unsafe { libc::sigismember(&raw const masked.before, libc::SIGPIPE) } == 1 {
        let mut masked = masked;
        masked.takes_pipe = false;
        return None;
    }
    Some(masked)
}

fn mask(set: libc::sigset_t, takes_pipe: bool) -> Masked {
    let mut before = MaybeUninit::uninit();
    // SAFETY: `set` is a filled set and `before` writable memory of one.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, before.as_mut_ptr()) };
    assert_eq!(result, 0, "SIG_BLOCK is a valid request");
    // SAFETY: the call returned 0, so it filled `before`.
    let before = unsafe { before.assume_init() };
    Masked { before, takes_pipe }
}

fn pipe_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `set` is writable memory of a sigset_t.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was made empty just before, and SIGPIPE is a signal.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE) };
    // SAFETY: filled by the two calls.
    unsafe { set.assume_init() }
}

fn is_pipe_pending() -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: `pending` is writable memory of a sigset_t.
    if unsafe { libc::sigpending(pending.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call returned 0, so it filled the set.
    let pending = unsafe { pending.assume_init() };
    // SAFETY: a filled set and a signal.
    unsafe { libc::sigismember(&raw const pending, libc::SIGPIPE) == 1 }
}

impl Drop for Masked {
    fn drop(&mut self) {
        if self.takes_pipe && is_pipe_pending() {
            let set = pipe_set();
            let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: a filled set and a time; the signal's details are not asked for.
            unsafe { libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const none) };
        }
        // SAFETY: `before` was filled by the system; the earlier mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_signal_is_taken_away() {
        let masked = mask_pipe().expect("the test harness does not mask it");
        // SAFETY: raising a masked signal.
        unsafe { libc::raise(libc::SIGPIPE) };
        assert!(is_pipe_pending());
        drop(masked);
        assert!(!is_pipe_pending());
    }

    #[test]
    fn a_thread_made_while_all_is_masked_takes_no_signal() {
        let masked = mask_all();
        let thread = std::thread::spawn(|| mask_pipe().is_none());
        drop(masked);
        assert!(thread.join().unwrap());
    }
}
