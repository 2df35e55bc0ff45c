//! What a pool counted.

use std::mem::offset_of;

use crate::balance::{BackendId, BackendStatistics, PoolStatistics};
use crate::capi::backend::{admin_number, observed_number};
use crate::capi::guard::guard;
use crate::capi::handle::{self, Sized32};
use crate::capi::pick::TRIMTAB_NO_TIME;
use crate::capi::pool::trimtab_pool;
use crate::capi::status::trimtab_status;

/// What a pool counted. The figures of one answer are read one after another, so under load they may differ
/// by what happened in between.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_pool_statistics {
    /// `sizeof(trimtab_pool_statistics)`, set by the caller before the call.
    pub struct_size: u32,
    /// Backends in the pool.
    pub backends: u32,
    /// Backends that may be picked now.
    pub serving: u32,
    /// 0.
    pub reserved: u32,
    /// Picks made of the backends now in the pool.
    pub picks: u64,
    /// Of these, not reported done.
    pub in_flight: u64,
    /// Picks that found no backend.
    pub refused: u64,
    /// The most picks in flight now: the pool's `maxconn`, or a lower one found by response times; 0 for none.
    pub limit: u32,
    /// Whether a tier panics: it serves whatever is observed of its backends. 1 or 0; explain tells which tier.
    pub panic: u32,
    /// How many wait for a place.
    pub pending: u64,
    /// Retries in flight.
    pub retries: u32,
    /// Backends that are ejected now, by whoever it was.
    pub ejected: u32,
    /// Retries that were not within the budget.
    pub retries_refused: u64,
    /// How often a backend was ejected as an outlier.
    pub ejections: u64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_pool_statistics {
    const FIRST_SIZE: usize = 40;
    const UNSAID: Self = Self {
        struct_size: 0,
        backends: 0,
        serving: 0,
        reserved: 0,
        picks: 0,
        in_flight: 0,
        refused: 0,
        limit: 0,
        panic: 0,
        pending: 0,
        retries: 0,
        ejected: 0,
        retries_refused: 0,
        ejections: 0,
    };
}

/// What was counted of one backend since it was added.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_backend_statistics {
    /// `sizeof(trimtab_backend_statistics)`, set by the caller before the call.
    pub struct_size: u32,
    /// Its weight now.
    pub weight: u32,
    /// Its limit; 0 for none.
    pub maxconn: u32,
    /// Its tier.
    pub tier: u32,
    /// What was ordered, one of `TRIMTAB_ADMIN_...`.
    pub admin: i32,
    /// What was observed, one of `TRIMTAB_OBSERVED_...`.
    pub observed: i32,
    /// Whether it may be picked now, its `maxconn` aside: 1 or 0.
    pub serving: u32,
    /// 0.
    pub reserved: u32,
    /// Which one.
    pub id: u64,
    /// The host's own number for it.
    pub tag: u64,
    /// Picks made.
    pub picks: u64,
    /// Picks not reported done.
    pub in_flight: u64,
    /// Picks reported done, by how they went: it answered.
    pub success: u64,
    /// It could not be reached.
    pub connect_failed: u64,
    /// It answered with an error, or broke off.
    pub failed: u64,
    /// It did not answer in time.
    pub timed_out: u64,
    /// The client left.
    pub cancelled: u64,
    /// The mean of the response times reported with success, in nanoseconds; 0 when there was none.
    pub response_mean_ns: u64,
    /// The part of new picks it is due, 0 to 1: its weight over all, or what its policy measured.
    pub share: f64,
    /// The most picks in flight now: its `maxconn`, or a lower one found by response times; 0 for none.
    pub limit: u32,
    /// Errors in a row, where outliers are ejected.
    pub consecutive_errors: u32,
    /// The most picks a second; 0 for no limit.
    pub connection_rate: u32,
    /// How many of them may come at once; 0 for one second's.
    pub connection_burst: u32,
    /// When it came to be observed so, on the pool's clock; `TRIMTAB_NO_TIME` while nobody has said. The reason is
    /// `trimtab_pool_reason_copy`'s.
    pub observed_since_ns: u64,
    /// The part of its weight that counts: below 1 while it starts slowly.
    pub slow_start: f64,
}

// SAFETY: `repr(C)`, integers and a float only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_backend_statistics {
    const FIRST_SIZE: usize = 120;
    const UNSAID: Self = Self {
        struct_size: 0,
        weight: 0,
        maxconn: 0,
        tier: 0,
        admin: 0,
        observed: 0,
        serving: 0,
        reserved: 0,
        id: 0,
        tag: 0,
        picks: 0,
        in_flight: 0,
        success: 0,
        connect_failed: 0,
        failed: 0,
        timed_out: 0,
        cancelled: 0,
        response_mean_ns: 0,
        share: 0.0,
        limit: 0,
        consecutive_errors: 0,
        connection_rate: 0,
        connection_burst: 0,
        observed_since_ns: 0,
        slow_start: 0.0,
    };
}

/// Reads what a pool counted.
///
/// - `statistics_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: any thread, at any time. Does not block, and holds nobody up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_statistics_read(
    pool: *const trimtab_pool,
    statistics_out: *mut trimtab_pool_statistics,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: `statistics_out` is null or as large as its `struct_size` says; null is refused.
        let statistics_out = unsafe { handle::out_struct(statistics_out, "statistics_out") }?;
        let read: PoolStatistics = pool.pool().statistics();
        let struct_size = statistics_out.size();
        statistics_out.write(trimtab_pool_statistics {
            struct_size,
            backends: read.backends,
            serving: read.serving,
            reserved: 0,
            picks: read.picks,
            in_flight: read.in_flight,
            refused: read.refused,
            limit: read.limit,
            panic: u32::from(read.panic),
            pending: read.pending,
            retries: read.retries,
            ejected: read.ejected,
            retries_refused: read.retries_refused,
            ejections: read.ejections,
        });
        Ok(())
    })
}

/// Reads what was counted of one backend.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `statistics_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_NOT_FOUND`.
/// Thread safety: any thread, at any time. Does not block, and holds nobody up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_backend_statistics_read(
    pool: *const trimtab_pool,
    id: u64,
    statistics_out: *mut trimtab_backend_statistics,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: `statistics_out` is null or as large as its `struct_size` says; null is refused.
        let statistics_out = unsafe { handle::out_struct(statistics_out, "statistics_out") }?;
        let read: BackendStatistics = pool.pool().backend(BackendId::from_u64(id))?;
        let struct_size = statistics_out.size();
        statistics_out.write(trimtab_backend_statistics {
            struct_size,
            weight: read.weight,
            maxconn: read.maxconn,
            tier: u32::from(read.tier),
            admin: admin_number(read.admin),
            observed: observed_number(read.observed),
            serving: u32::from(read.serving),
            reserved: 0,
            id: read.id.as_u64(),
            tag: read.tag,
            picks: read.picks,
            in_flight: read.in_flight,
            success: read.outcomes.success,
            connect_failed: read.outcomes.connect_failed,
            failed: read.outcomes.failed,
            timed_out: read.outcomes.timed_out,
            cancelled: read.outcomes.cancelled,
            response_mean_ns: read.response_mean_ns,
            share: read.share,
            limit: read.limit,
            consecutive_errors: read.consecutive_errors,
            connection_rate: read.connection_rate,
            connection_burst: read.connection_burst,
            observed_since_ns: read.observed_since_ns.unwrap_or(TRIMTAB_NO_TIME),
            slow_start: read.slow_start,
        });
        Ok(())
    })
}

// As far as the first release had them.
const _: () = assert!(offset_of!(trimtab_pool_statistics, limit) == trimtab_pool_statistics::FIRST_SIZE);
const _: () =
    assert!(offset_of!(trimtab_backend_statistics, limit) == trimtab_backend_statistics::FIRST_SIZE);
