//! A server in the host's own loop: no thread of its own, one descriptor to poll, one deadline.

use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::pick::TRIMTAB_NO_TIME;
use crate::capi::server::{borrow, trimtab_server};
use crate::capi::status::trimtab_status;
use crate::capi::waiting::{timeout, until};
use crate::time::{Clock, Instant};

/// Starts it on the caller's threads: it makes none, and relays only in `trimtab_server_turn`. Every listener
/// listens when this returns. A loop does three things:
///
/// 1. wait until the descriptor of `trimtab_server_poll_fd` is readable, for as long as
///    `trimtab_server_next_timeout` says at most;
/// 2. call `trimtab_server_turn` with 0;
/// 3. go on until `trimtab_server_state` says stopped.
///
/// A drain or a stop, by whatever thread, makes the descriptor readable, and the next turn carries it out.
///
/// Its store, if it has one, has no threads either: a turn does its work too, and waits for the disk where that writes. Only
/// a node of a cluster has threads of its own, and a backup ordered through the admin interface one while it is made.
///
/// Returns what `trimtab_server_start` does.
/// Thread safety: any thread, at any time. Blocks while the log of its store is read, otherwise not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_start_hosted(server: *const trimtab_server) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        Ok(server.server()?.start_hosted()?)
    })
}

/// The descriptor of a hosted server: it is readable when a turn has something to do. For poll, epoll, kqueue
/// and whatever is built on them, level-triggered.
///
/// - `fd_out`: it stays the server's: neither read nor close it. It is closed in the turn that ends the
///   server, or in `trimtab_server_free`; the system takes it out of an epoll set then. Written on success
///   only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when it is not hosted, not started or has ended,
/// or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_poll_fd(
    server: *const trimtab_server,
    fd_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: `fd_out` is null or writable; null is refused.
        let fd_out = unsafe { handle::out(fd_out, "fd_out") }?;
        fd_out.write(server.server()?.poll_fd()?);
        Ok(())
    })
}

/// When `trimtab_server_turn` is needed even if the descriptor is not readable. Ask again after each turn;
/// what other threads do in between makes the descriptor readable.
///
/// - `deadline_ns_out`: on the clock of `trimtab_now`; in the past (0, it may be) for at once;
///   `TRIMTAB_NO_TIME` while nothing is pending. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when it is not hosted, not started or has ended,
/// or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_next_deadline(
    server: *const trimtab_server,
    deadline_ns_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: `deadline_ns_out` is null or writable; null is refused.
        let deadline_ns_out = unsafe { handle::out(deadline_ns_out, "deadline_ns_out") }?;
        let deadline = server.server()?.next_deadline()?;
        deadline_ns_out.write(deadline.map_or(TRIMTAB_NO_TIME, Instant::as_nanos));
        Ok(())
    })
}

/// The same as `poll` and `epoll_wait` take it: how long from now.
///
/// - `timeout_ms_out`: milliseconds, rounded up so that the deadline has come when they are over; 0 for at
///   once, -1 while nothing is pending. Written on success only.
///
/// Returns what `trimtab_server_next_deadline` does.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_next_timeout(
    server: *const trimtab_server,
    timeout_ms_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: `timeout_ms_out` is null or writable; null is refused.
        let timeout_ms_out = unsafe { handle::out(timeout_ms_out, "timeout_ms_out") }?;
        let deadline = server.server()?.next_deadline()?;
        timeout_ms_out.write(deadline.map_or(-1, |deadline| until(deadline, Clock.now())));
        Ok(())
    })
}

/// Handles what has happened on a hosted server: accepts, relays, lets deadlines pass, turns its store. It returns early
/// when the thread takes a signal.
///
/// - `timeout_ms`: waits at most so many milliseconds for something to happen; negative for as long as it
///   takes, 0 not at all.
/// - `count_out`: how much there was; may be NULL. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when it is not hosted, not started, has ended,
/// or is being turned already, by another thread or around this call (in a callback), `TRIMTAB_E_IO` when
/// the system refuses to wait, which ends it, or `TRIMTAB_E_FORKED`.
/// Thread safety: one thread at a time. Blocks for as long as `timeout_ms` allows, and for the disk where its store
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_turn(
    server: *const trimtab_server,
    timeout_ms: i64,
    count_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: `count_out` is null or writable.
        let count_out = unsafe { handle::out_if_wanted(count_out) };
        let count = server.server()?.turn(timeout(timeout_ms))?;
        if let Some(count_out) = count_out {
            count_out.write(count);
        }
        Ok(())
    })
}
