//! A store in the host's own loop: no thread of its own, one descriptor to poll, one deadline.

use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::pick::TRIMTAB_NO_TIME;
use crate::capi::status::trimtab_status;
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_options::trimtab_store_options;
use crate::capi::waiting::{timeout, until};
use crate::error::Error;
use crate::time::{Clock, Instant};

/// Sets whether a store runs on its caller's threads: it makes none, and does what is due in `trimtab_store_turn` and in
/// calls that wait, on the thread that calls. A loop does three things:
///
/// 1. wait until the descriptor of `trimtab_store_poll_fd` is readable, for as long as `trimtab_store_next_deadline` says at
///    most;
/// 2. call `trimtab_store_turn` with 0;
/// 3. take what is done from its queues and watches, whose descriptors are readable then.
///
/// Calls that wait may be made beside it, by any threads: one of them writes for all.
///
/// - `is_hosted`: 1 or 0; default 0, threads of its own.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_hosted(
    options: *mut trimtab_store_options,
    is_hosted: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        if !matches!(is_hosted, 0 | 1) {
            return Err(Error::invalid("is_hosted", format!("is {is_hosted}; it is 0 or 1")).into());
        }
        options.change(|options| options.is_hosted = is_hosted == 1)
    })
}

/// The descriptor of a hosted store: it is readable when a turn has something to do. For poll, epoll and whatever is
/// built on them, level-triggered.
///
/// - `fd_out`: it stays the store's: neither read nor close it. It is closed in `trimtab_store_free`, or when the last of the
///   store's queues and watches is freed, if that is later. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` also when it is not hosted, or is a server's.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_poll_fd(
    store: *const trimtab_store,
    fd_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `fd_out` is null or writable; null is refused.
        let fd_out = unsafe { handle::out(fd_out, "fd_out") }?;
        fd_out.write(store.poll_fd()?);
        Ok(())
    })
}

/// When `trimtab_store_turn` is needed even if the descriptor is not readable. Ask again after each turn; what other
/// threads do in between makes the descriptor readable.
///
/// - `deadline_ns_out`: on the clock of `trimtab_now`; now or in the past for at once; `TRIMTAB_NO_TIME` while nothing is
///   pending. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` also when it is not hosted, or is a server's.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_next_deadline(
    store: *const trimtab_store,
    deadline_ns_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `deadline_ns_out` is null or writable; null is refused.
        let deadline_ns_out = unsafe { handle::out(deadline_ns_out, "deadline_ns_out") }?;
        deadline_ns_out.write(store.next_deadline()?.map_or(TRIMTAB_NO_TIME, Instant::as_nanos));
        Ok(())
    })
}

/// The same as `poll` and `epoll_wait` take it: how long from now.
///
/// - `timeout_ms_out`: milliseconds, rounded up so that the deadline has come when they are over; 0 for at once, -1 while
///   nothing is pending. Written on success only.
///
/// Returns what `trimtab_store_next_deadline` does.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_next_timeout(
    store: *const trimtab_store,
    timeout_ms_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `timeout_ms_out` is null or writable; null is refused.
        let timeout_ms_out = unsafe { handle::out(timeout_ms_out, "timeout_ms_out") }?;
        let deadline = store.next_deadline()?;
        timeout_ms_out.write(deadline.map_or(-1, |deadline| until(deadline, Clock.now())));
        Ok(())
    })
}

/// Does what is due on a hosted store, a bounded piece of each kind: one write and one sync for all that was taken; what
/// expires; a MiB of the next segment; a quarter of a MiB of a snapshot; a MiB read again. Queues and watches are told. It may
/// return early, after a signal or a minute.
///
/// - `timeout_ms`: waits at most so many milliseconds for something to do; negative for as long as it takes, 0 not at all.
/// - `count_out`: how many pieces there were; may be NULL. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` also when it is not hosted, is a server's, or is being turned already, by another
/// thread. What fails on the disk is told to those who wait for it, and stands in `trimtab_store_status`.
/// Thread safety: one thread at a time. Blocks for as long as `timeout_ms` allows, and for the disk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_turn(
    store: *const trimtab_store,
    timeout_ms: i64,
    count_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `count_out` is null or writable.
        let count_out = unsafe { handle::out_if_wanted(count_out) };
        let count = store.turn(timeout(timeout_ms))?;
        if let Some(count_out) = count_out {
            count_out.write(count);
        }
        Ok(())
    })
}
