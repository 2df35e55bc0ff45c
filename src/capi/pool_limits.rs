//! What a host that connects by itself asks of a pool beside picks: whether it may try again, whether it may wait for
//! a place; and what it says of a backend: its rate, what was observed of it and why.

use std::ffi::c_char;

use crate::balance::{BackendId, Retry};
use crate::capi::backend::observed_from;
use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::pool::{time_of, trimtab_pool};
use crate::capi::status::trimtab_status;
use crate::capi::text::{self, trimtab_str};

/// Changes the most picks a second. Another rate than before begins with all that may come at once.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `rate`: picks a second, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0 is no limit.
/// - `burst`: picks that may come at once, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0 is one second's.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_set_connection_rate(
    pool: *const trimtab_pool,
    id: u64,
    rate: u32,
    burst: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        pool.watch_rate(rate);
        Ok(pool.pool().set_connection_rate(BackendId::from_u64(id), rate, burst)?)
    })
}

/// Takes note of what probes or traffic showed, when and why: the host's own verdict. Slow start and the backend's
/// statistics count from that time; events and explain tell the reason.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `observed`: one of `TRIMTAB_OBSERVED_...`.
/// - `reason`: one line of at most 200 bytes is kept, control characters replaced; empty is none.
/// - `now_ns`: as for `trimtab_pool_pick`; with 0 trimtab reads the clock.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_NOT_FOUND` or
/// `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_set_observed_with(
    pool: *const trimtab_pool,
    id: u64,
    observed: i32,
    reason: trimtab_str,
    now_ns: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: the caller keeps `reason.data` readable for `reason.len` bytes during the call.
        let reason = unsafe { reason.text("reason") }?;
        let (id, observed) = (BackendId::from_u64(id), observed_from(observed)?);
        Ok(pool.pool().set_observed_with(id, observed, reason, time_of(now_ns))?)
    })
}

/// Why a backend is observed to be what it is, in one line; empty while nobody has said.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_reason_copy(
    pool: *const trimtab_pool,
    id: u64,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        let backend = pool.pool().backend(BackendId::from_u64(id))?;
        buffer.fill(backend.reason.as_deref().unwrap_or_default());
        Ok(())
    })
}

/// Begins a retry: another pick, or another try at a connection, for what failed. It is in flight until
/// `trimtab_pool_retry_end`, and so many may be as the retry budget has. When it is refused, do not try again.
///
/// - `now_ns`: as for `trimtab_pool_pick`; with 0 trimtab reads the clock.
/// - `retry_out`: written on success only; good for one `trimtab_pool_retry_end`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_CAPACITY`, whose detail names the limit that is reached:
/// `retry_budget`, `retries_max` or `retries`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_retry_begin(
    pool: *const trimtab_pool,
    now_ns: u64,
    retry_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: `retry_out` is null or writable; null is refused before anything changes.
        let retry_out = unsafe { handle::out(retry_out, "retry_out") }?;
        retry_out.write(pool.pool().retry_begin(time_of(now_ns))?.as_u64());
        Ok(())
    })
}

/// Ends a retry, however it went: a request's when it is answered, a lasting connection's when it stands.
///
/// - `retry`: as `trimtab_pool_retry_begin` gave it.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STALE_PICK` when it ended before or is none of this pool's.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_retry_end(pool: *const trimtab_pool, retry: u64) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool().retry_end(Retry::from_u64(retry))?)
    })
}

/// Whether `trimtab_pool_retry_begin` would find room in the budget now. Nothing is taken, and another thread may come
/// first.
///
/// - `now_ns`: as for `trimtab_pool_pick`; with 0 trimtab reads the clock.
/// - `may_out`: 1 or 0, written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_may_retry(
    pool: *const trimtab_pool,
    now_ns: u64,
    may_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: `may_out` is null or writable; null is refused.
        let may_out = unsafe { handle::out(may_out, "may_out") }?;
        may_out.write(i32::from(pool.pool().may_retry(time_of(now_ns))));
        Ok(())
    })
}

/// Says that one more waits for a place below a limit, which counts for the retry budget and has
/// `TRIMTAB_EVENT_ROOM` told when one may have come free. Pick once more after this, for a place may have come free
/// before it. Each is good for one `trimtab_pool_unwant`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_CAPACITY` when `pending_max` wait already.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_try_want(pool: *const trimtab_pool) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool().try_want()?)
    })
}

/// Says that one less waits for a place: it has one, or has given up.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` when nobody waits.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_unwant(pool: *const trimtab_pool) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool().try_unwant()?)
    })
}
