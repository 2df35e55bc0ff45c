//! One server as it is handed to a pool: `trimtab_backend`.

use crate::balance::backend::{check_name, check_weight};
use crate::balance::check_rate;
use crate::balance::{Admin, Backend, MAXCONN_MAX, Observed};
use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle};
use crate::capi::pool_options::choice;
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::text::trimtab_str;
use crate::error::Error;

/// The most backends a pool takes.
pub const TRIMTAB_BACKENDS_MAX: u32 = 65536;
/// The heaviest weight; the lightest is 1.
pub const TRIMTAB_WEIGHT_MAX: u32 = 65535;
/// The largest `maxconn`.
pub const TRIMTAB_MAXCONN_MAX: u32 = 1073741824;

const _: () = assert!(TRIMTAB_BACKENDS_MAX as usize == crate::balance::options::BACKENDS_MAX);
const _: () = assert!(TRIMTAB_WEIGHT_MAX == crate::balance::options::WEIGHT_MAX);
const _: () = assert!(TRIMTAB_MAXCONN_MAX == MAXCONN_MAX);

/// The operator's order: may be picked. The default.
pub const TRIMTAB_ADMIN_READY: i32 = 0;
/// No new picks; what is in flight goes on.
pub const TRIMTAB_ADMIN_DRAIN: i32 = 1;
/// Out of service.
pub const TRIMTAB_ADMIN_MAINTENANCE: i32 = 2;

/// What was observed: nothing yet. Picked, if ready. The default.
pub const TRIMTAB_OBSERVED_UNKNOWN: i32 = 0;
/// It answers. Picked, if ready.
pub const TRIMTAB_OBSERVED_UP: i32 = 1;
/// It does not answer. Not picked.
pub const TRIMTAB_OBSERVED_DOWN: i32 = 2;
/// Set aside for a while because of its failures. Not picked.
pub const TRIMTAB_OBSERVED_EJECTED: i32 = 3;

const ADMINS: [(i32, Admin); 3] = [
    (TRIMTAB_ADMIN_READY, Admin::Ready),
    (TRIMTAB_ADMIN_DRAIN, Admin::Drain),
    (TRIMTAB_ADMIN_MAINTENANCE, Admin::Maintenance),
];
const OBSERVED: [(i32, Observed); 4] = [
    (TRIMTAB_OBSERVED_UNKNOWN, Observed::Unknown),
    (TRIMTAB_OBSERVED_UP, Observed::Up),
    (TRIMTAB_OBSERVED_DOWN, Observed::Down),
    (TRIMTAB_OBSERVED_EJECTED, Observed::Ejected),
];

pub(super) fn admin_from(number: i32) -> Result<Admin, Failure> {
    choice("admin", number, &ADMINS)
}

pub(super) fn observed_from(number: i32) -> Result<Observed, Failure> {
    choice("observed", number, &OBSERVED)
}

pub(super) fn admin_number(admin: Admin) -> i32 {
    match admin {
        Admin::Ready => TRIMTAB_ADMIN_READY,
        Admin::Drain => TRIMTAB_ADMIN_DRAIN,
        Admin::Maintenance => TRIMTAB_ADMIN_MAINTENANCE,
    }
}

pub(super) fn observed_number(observed: Observed) -> i32 {
    match observed {
        Observed::Unknown => TRIMTAB_OBSERVED_UNKNOWN,
        Observed::Up => TRIMTAB_OBSERVED_UP,
        Observed::Down => TRIMTAB_OBSERVED_DOWN,
        Observed::Ejected => TRIMTAB_OBSERVED_EJECTED,
    }
}

/// A tier from C.
pub(super) fn tier_from(tier: u32) -> Result<u8, Failure> {
    u8::try_from(tier).map_err(|_| Error::invalid("tier", format!("{tier} is outside 0 to 255")).into())
}

/// A backend to add to a pool. Adding copies it, so one description may be changed and added again, to this
/// pool or another.
pub struct trimtab_backend {
    _opaque: (),
}

impl Handle for trimtab_backend {
    type Value = Backend;
    const LIVE: u32 = 0x7474_6204;
}

/// Describes a backend, with defaults for all but its address.
///
/// - `address`: `ip:port`, `[ipv6]:port`, `unix:/path` or `unix:@abstract`; copied before return. Names of
///   hosts are not looked up.
/// - `backend_out`: written on success only; end it with `trimtab_backend_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_new(
    address: trimtab_str,
    backend_out: *mut *mut trimtab_backend,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `address.data` readable for `address.len` bytes during the call.
        let address = unsafe { address.text("address") }?;
        // SAFETY: `backend_out` is null or writable; null is refused.
        let backend_out = unsafe { handle::out(backend_out, "backend_out") }?;
        let backend = Backend::parse(address)?;
        backend_out.write(handle::give(backend));
        Ok(())
    })
}

/// Ends a description. What was added from it stays in its pool.
///
/// - `backend`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_free(backend: *mut trimtab_backend) {
    guard_value((), || {
        // SAFETY: `backend` is null or a live result of `trimtab_backend_new` that nobody else uses.
        unsafe { handle::free(backend) }
    })
}

/// Names a backend.
///
/// - `name`: 1 to 255 bytes without control characters, unique in its pool; copied before return. Default:
///   the address. The hash policies place by address, not by name.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_set_name(
    backend: *mut trimtab_backend,
    name: trimtab_str,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `backend` is null or live and no other call uses it; null is refused.
        let mut backend = unsafe { handle::borrow_mut(backend, "backend") }?;
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name = unsafe { name.text("name") }?;
        check_name(name)?;
        backend.name = Some(name.to_string());
        Ok(())
    })
}

/// Sets the weight: the share relative to the others in the pool.
///
/// - `weight`: 1 to `TRIMTAB_WEIGHT_MAX`; default 1.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_set_weight(
    backend: *mut trimtab_backend,
    weight: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `backend` is null or live and no other call uses it; null is refused.
        let mut backend = unsafe { handle::borrow_mut(backend, "backend") }?;
        check_weight(weight)?;
        backend.weight = weight;
        Ok(())
    })
}

/// Sets the most picks in flight.
///
/// - `maxconn`: picks, 1 to `TRIMTAB_MAXCONN_MAX`; 0, the default, is no limit.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_set_maxconn(
    backend: *mut trimtab_backend,
    maxconn: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `backend` is null or live and no other call uses it; null is refused.
        let mut backend = unsafe { handle::borrow_mut(backend, "backend") }?;
        check_maxconn(maxconn)?;
        backend.maxconn = maxconn;
        Ok(())
    })
}

/// Sets the most picks a second.
///
/// - `rate`: picks a second, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0, the default, is no limit.
/// - `burst`: picks that may come at once, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0 is one second's.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_set_connection_rate(
    backend: *mut trimtab_backend,
    rate: u32,
    burst: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `backend` is null or live and no other call uses it; null is refused.
        let mut backend = unsafe { handle::borrow_mut(backend, "backend") }?;
        check_rate(rate, burst)?;
        backend.connection_rate = rate;
        backend.connection_burst = burst;
        Ok(())
    })
}

/// Sets the tier. The lowest tier that has a usable backend serves.
///
/// - `tier`: 0, the default, serves; 1 to 255 stand by.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_set_tier(
    backend: *mut trimtab_backend,
    tier: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `backend` is null or live and no other call uses it; null is refused.
        let mut backend = unsafe { handle::borrow_mut(backend, "backend") }?;
        backend.tier = tier_from(tier)?;
        Ok(())
    })
}

/// Sets the host's own number for the backend, which comes with every pick: an index or a pointer.
///
/// - `tag`: any; default 0.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_set_tag(backend: *mut trimtab_backend, tag: u64) -> trimtab_status {
    guard(|| {
        // SAFETY: `backend` is null or live and no other call uses it; null is refused.
        let mut backend = unsafe { handle::borrow_mut(backend, "backend") }?;
        backend.tag = tag;
        Ok(())
    })
}

/// Sets the operator's order it enters the pool with.
///
/// - `admin`: one of `TRIMTAB_ADMIN_...`; default `TRIMTAB_ADMIN_READY`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_set_admin(
    backend: *mut trimtab_backend,
    admin: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `backend` is null or live and no other call uses it; null is refused.
        let mut backend = unsafe { handle::borrow_mut(backend, "backend") }?;
        backend.admin = admin_from(admin)?;
        Ok(())
    })
}

/// Sets what is known of it when it enters the pool.
///
/// - `observed`: one of `TRIMTAB_OBSERVED_...`; default `TRIMTAB_OBSERVED_UNKNOWN`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `backend`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_backend_set_observed(
    backend: *mut trimtab_backend,
    observed: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `backend` is null or live and no other call uses it; null is refused.
        let mut backend = unsafe { handle::borrow_mut(backend, "backend") }?;
        backend.observed = observed_from(observed)?;
        Ok(())
    })
}

fn check_maxconn(maxconn: u32) -> Result<(), Failure> {
    if maxconn <= MAXCONN_MAX {
        return Ok(());
    }
    Err(Error::invalid("maxconn", format!("{maxconn} is outside 0 (no limit) to {MAXCONN_MAX}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_go_both_ways() {
        for (number, admin) in ADMINS {
            assert_eq!((admin_from(number).unwrap(), admin_number(admin)), (admin, number));
        }
        for (number, observed) in OBSERVED {
            assert_eq!((observed_from(number).unwrap(), observed_number(observed)), (observed, number));
        }
        assert!(admin_from(3).is_err() && observed_from(-1).is_err() && tier_from(256).is_err());
    }
}
