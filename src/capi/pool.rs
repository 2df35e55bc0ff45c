//! The set of backends: `trimtab_pool`, and how it is changed.

use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::balance::{Backend, BackendId, Options, Policy, Pool};
use crate::capi::backend::{admin_from, observed_from, tier_from, trimtab_backend};
use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle};
use crate::capi::pool_events::is_telling_here;
use crate::capi::pool_options::{PoolOptions, trimtab_pool_options};
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::text::{self, trimtab_str};
use crate::time::{Clock, Instant};

/// A set of backends a policy picks from. Every function that takes one may be called by any thread at any
/// time; `trimtab_pool_free` alone must come last.
///
/// A change takes effect as a whole, and when its function returns no pick that contradicts it is handed out
/// any more. Changes cost time in proportion to the number of backends; picks do not wait for them.
///
/// After `fork` parent and child go on with a pool each, with the same backends and the picks then in
/// flight; the child's is no server's any more. Their draws go on in step too: make a pool per worker, or
/// fork first.
pub struct trimtab_pool {
    _opaque: (),
}

impl Handle for trimtab_pool {
    type Value = TimedPool;
    const LIVE: u32 = 0x7474_7006;
}

/// What the handle stands for.
pub(super) struct TimedPool {
    /// Whether a pick, or a done, that comes without a time is given one.
    times_picks: AtomicBool,
    times_dones: bool,
    /// A server may have a part in it.
    pool: Arc<Pool>,
}

impl TimedPool {
    fn new(options: Options) -> Result<Self, Failure> {
        Ok(Self::sharing(Arc::new(Pool::new(options)?)))
    }

    /// A part in a pool that others have one in too.
    pub(super) fn sharing(pool: Arc<Pool>) -> Self {
        let options = pool.options();
        let measures = options.policy == Policy::PeakEwma || options.needs_time();
        // By the time a pick tells how old what it knows of other threads' picks in flight has grown.
        let compares = matches!(options.policy, Policy::LeastConnections | Policy::PowerOfTwo)
            || options.bounded_load.is_some();
        // Others may give a backend of a shared pool a rate, which is measured on the time of each pick.
        let times_picks = AtomicBool::new(measures || compares || Arc::strong_count(&pool) > 1);
        Self { times_picks, times_dones: measures, pool }
    }

    #[inline]
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A backend is to have this rate: from now on picks need the time.
    pub(super) fn watch_rate(&self, rate: u32) {
        if rate > 0 {
            self.times_picks.store(true, Ordering::Relaxed);
        }
    }

    /// The time of a pick that C calls `now_ns`.
    #[inline]
    pub(super) fn pick_time(&self, now_ns: u64) -> Instant {
        if now_ns == 0 && self.times_picks.load(Ordering::Relaxed) {
            Clock.now()
        } else {
            Instant::from_nanos(now_ns)
        }
    }

    /// The time of a done that C calls `now_ns`.
    #[inline]
    pub(super) fn done_time(&self, now_ns: u64) -> Instant {
        if now_ns == 0 && self.times_dones { Clock.now() } else { Instant::from_nanos(now_ns) }
    }
}

/// The time that C calls `now_ns`, where one is needed.
pub(super) fn time_of(now_ns: u64) -> Instant {
    if now_ns == 0 { Clock.now() } else { Instant::from_nanos(now_ns) }
}

/// Makes an empty pool.
///
/// - `options`: copied before return; NULL for the defaults.
/// - `pool_out`: written on success only; end it with `trimtab_pool_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_INVALID_ARGUMENT` when two options contradict each
/// other (a bounded load goes with source and hash only).
/// Thread safety: any thread, while none changes `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_new(
    options: *const trimtab_pool_options,
    pool_out: *mut *mut trimtab_pool,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool_out` is null or writable; null is refused.
        let pool_out = unsafe { handle::out(pool_out, "pool_out") }?;
        let options = if options.is_null() {
            PoolOptions::with_defaults().for_a_pool()
        } else {
            // SAFETY: not null, so a live result of `trimtab_pool_options_new` that nobody changes now.
            unsafe { handle::borrow(options, "options") }?.for_a_pool()
        };
        pool_out.write(handle::give(TimedPool::new(options)?));
        Ok(())
    })
}

/// Ends a pool and all that belongs to it; one of a server (`trimtab_server_pool`) goes on as long as the
/// server does. Its picks in flight need not be reported.
///
/// - `pool`: may be NULL. Nothing happens to one whose event this thread is being told (`trimtab_pool_event_fn`).
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `pool`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_free(pool: *mut trimtab_pool) {
    guard_value((), || {
        if is_telling_here(pool.addr()) {
            return;
        }
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new` that nobody else uses.
        unsafe { handle::free(pool) }
    })
}

/// Adds a backend and gives its id.
///
/// - `backend`: copied before return.
/// - `id_out`: written on success only. Ids start at 1, and a pool never uses one again.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_EXISTS` when its name or address is in the pool, or
/// `TRIMTAB_E_CAPACITY` at `TRIMTAB_BACKENDS_MAX`.
/// Thread safety: any thread, at any time, while none changes `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_add(
    pool: *const trimtab_pool,
    backend: *const trimtab_backend,
    id_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: `backend` is null or live and nobody changes it now; null is refused.
        let backend = unsafe { handle::borrow(backend, "backend") }?;
        // SAFETY: `id_out` is null or writable; null is refused before anything changes.
        let id_out = unsafe { handle::out(id_out, "id_out") }?;
        pool.watch_rate(backend.connection_rate);
        id_out.write(pool.pool.add(backend.clone())?.as_u64());
        Ok(())
    })
}

/// Adds a backend of which only address and weight are to be told, and gives its id. It is ready, so it gets
/// traffic at once.
///
/// - `address`: `ip:port`, `[ipv6]:port`, `unix:/path` or `unix:@abstract`; copied before return.
/// - `weight`: 1 to `TRIMTAB_WEIGHT_MAX`, relative to the others in the pool.
/// - `id_out`: written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_INVALID_ARGUMENT`,
/// `TRIMTAB_E_EXISTS` when the address is in the pool, or `TRIMTAB_E_CAPACITY` at `TRIMTAB_BACKENDS_MAX`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_add_backend(
    pool: *const trimtab_pool,
    address: trimtab_str,
    weight: u32,
    id_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: the caller keeps `address.data` readable for `address.len` bytes during the call.
        let address = unsafe { address.text("address") }?;
        // SAFETY: `id_out` is null or writable; null is refused before anything changes.
        let id_out = unsafe { handle::out(id_out, "id_out") }?;
        let backend = Backend { weight, ..Backend::parse(address)? };
        id_out.write(pool.pool.add(backend)?.as_u64());
        Ok(())
    })
}

/// Adds many backends in one change: all of them or, when one is refused, none. Far quicker than one by one.
///
/// - `backends`: `count` of them, each copied before return; may be NULL when `count` is 0.
/// - `ids_out`: room for `count` ids, in the same order, written on success only; may be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_INVALID_ARGUMENT`, `TRIMTAB_E_EXISTS` or
/// `TRIMTAB_E_CAPACITY`, as `trimtab_pool_add`.
/// Thread safety: any thread, at any time, while none changes `backends`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_add_all(
    pool: *const trimtab_pool,
    backends: *const *const trimtab_backend,
    count: usize,
    ids_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: the caller keeps `count` pointers readable during the call; null is refused unless for none.
        let backends = unsafe { handle::slice(backends, count, "backends") }?;
        let wanted = if ids_out.is_null() { 0 } else { count };
        // SAFETY: `ids_out` is null or writable for `count` ids.
        let ids_out = unsafe { handle::out_slice(ids_out, wanted, "ids_out") }?;
        let mut described = Vec::with_capacity(backends.len());
        for &backend in backends {
            // SAFETY: `backend` is null or live and nobody changes it now; null is refused.
            let backend = unsafe { handle::borrow(backend, "backends") }?;
            pool.watch_rate(backend.connection_rate);
            described.push(backend.clone());
        }
        let ids = pool.pool.add_all(&described)?;
        for (place, id) in ids_out.iter_mut().zip(ids) {
            place.write(id.as_u64());
        }
        Ok(())
    })
}

/// Takes a backend out. Its picks in flight may still be reported done.
///
/// - `id`: as `trimtab_pool_add` gave it.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_remove(pool: *const trimtab_pool, id: u64) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool.remove(BackendId::from_u64(id))?)
    })
}

/// Changes a weight.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `weight`: 1 to `TRIMTAB_WEIGHT_MAX`. To give a backend no new traffic, drain it.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND`, or `TRIMTAB_E_INVALID_ARGUMENT` for a
/// weight out of range and under the policy static.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_set_weight(
    pool: *const trimtab_pool,
    id: u64,
    weight: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool.set_weight(BackendId::from_u64(id), weight)?)
    })
}

/// Changes the most picks in flight. Picks beyond a lowered limit go on.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `maxconn`: picks, 1 to `TRIMTAB_MAXCONN_MAX`; 0 is no limit.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_set_maxconn(
    pool: *const trimtab_pool,
    id: u64,
    maxconn: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool.set_maxconn(BackendId::from_u64(id), maxconn)?)
    })
}

/// Changes the tier.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `tier`: 0 serves; 1 to 255 stand by, and serve when no lower tier has a usable backend.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_set_tier(
    pool: *const trimtab_pool,
    id: u64,
    tier: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool.set_tier(BackendId::from_u64(id), tier_from(tier)?)?)
    })
}

/// Changes the host's own number for a backend, which comes with every pick.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `tag`: any.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_set_tag(
    pool: *const trimtab_pool,
    id: u64,
    tag: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool.set_tag(BackendId::from_u64(id), tag)?)
    })
}

/// Carries out an operator's order. Drained or in maintenance, a backend gets nothing new whatever is
/// observed of it.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `admin`: one of `TRIMTAB_ADMIN_...`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_set_admin(
    pool: *const trimtab_pool,
    id: u64,
    admin: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool.set_admin(BackendId::from_u64(id), admin_from(admin)?)?)
    })
}

/// Takes note of what probes or traffic showed. Down or ejected, a backend gets nothing new. Who knows when and
/// why says so with `trimtab_pool_set_observed_with`.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `observed`: one of `TRIMTAB_OBSERVED_...`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_set_observed(
    pool: *const trimtab_pool,
    id: u64,
    observed: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        Ok(pool.pool.set_observed(BackendId::from_u64(id), observed_from(observed)?)?)
    })
}

/// The id of the backend of a name.
///
/// - `name`: the name it was given, or its address when it was given none.
/// - `id_out`: written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_NOT_FOUND`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_find(
    pool: *const trimtab_pool,
    name: trimtab_str,
    id_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name = unsafe { name.text("name") }?;
        // SAFETY: `id_out` is null or writable; null is refused.
        let id_out = unsafe { handle::out(id_out, "id_out") }?;
        id_out.write(pool.pool.find(name)?.as_u64());
        Ok(())
    })
}

/// The ids of all backends, in the order added.
///
/// - `ids`: room for `size` ids; as many as fit are written. May be NULL when `size` is 0.
/// - `count_out`: how many there are, which may be more than fit; may be NULL.
///
/// Returns `TRIMTAB_OK`, also when not all fit, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_ids_copy(
    pool: *const trimtab_pool,
    ids: *mut u64,
    size: usize,
    count_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: `ids` is null or writable for `size` ids; null is refused unless for none.
        let places = unsafe { handle::out_slice(ids, size, "ids") }?;
        // SAFETY: `count_out` is null or writable.
        let count_out = unsafe { handle::out_if_wanted(count_out) };
        let ids = pool.pool.ids();
        for (place, id) in places.iter_mut().zip(&ids) {
            place.write(id.as_u64());
        }
        if let Some(count_out) = count_out {
            count_out.write(ids.len());
        }
        Ok(())
    })
}

/// A backend's address as text, as it was given.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_address_copy(
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
        buffer.fill(&pool.pool.backend(BackendId::from_u64(id))?.address);
        Ok(())
    })
}

/// A backend's name; its address when it was given none.
///
/// - `id`: as `trimtab_pool_add` gave it.
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_NOT_FOUND`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_name_copy(
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
        buffer.fill(&pool.pool.backend(BackendId::from_u64(id))?.name);
        Ok(())
    })
}
