//! What a pool counted.

use crate::balance::{BackendId, BackendStatistics, PoolStatistics};
use crate::capi::backend::{admin_number, observed_number};
use crate::capi::guard::guard;
use crate::capi::handle::{self, Sized32};
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
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_pool_statistics {
    const FIRST_SIZE: usize = 40;
    const UNSAID: Self =
        Self { struct_size: 0, backends: 0, serving: 0, reserved: 0, picks: 0, in_flight: 0, refused: 0 };
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
        let PoolStatistics { backends, serving, picks, in_flight, refused, .. } = pool.pool().statistics();
        let struct_size = statistics_out.size();
        statistics_out.write(trimtab_pool_statistics {
            struct_size,
            backends,
            serving,
            reserved: 0,
            picks,
            in_flight,
            refused,
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
        });
        Ok(())
    })
}

const _: () = assert!(size_of::<trimtab_pool_statistics>() == trimtab_pool_statistics::FIRST_SIZE);
const _: () = assert!(size_of::<trimtab_backend_statistics>() == trimtab_backend_statistics::FIRST_SIZE);
