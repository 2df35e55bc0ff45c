//! Leases: keys that were put with one go when it ends.

use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::status::trimtab_status;
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_call::{call_of, do_operation, place, trimtab_store_call, trimtab_store_result};
use crate::error::Error;
use crate::store::index::Operation;

/// Begins a lease. Keys put with it go when it ends. `deadline_ms` of the result tells when that is.
///
/// - `lease`: its number, chosen by the caller; not 0, and none that is alive: that is `TRIMTAB_E_INVALID_ARGUMENT`.
/// - `ttl_ms`: how long it lives without a keep-alive, in milliseconds; 1 to 2^48.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_lease_grant(
    store: *const trimtab_store,
    lease: u64,
    ttl_ms: u64,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        do_operation(&store, &Operation::LeaseGrant { id: lease, ttl_ms }, &call, place)
    })
}

/// Prolongs a lease to its whole time from now; `deadline_ms` of the result tells until when.
///
/// - `lease`: its number.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_lease_keep_alive(
    store: *const trimtab_store,
    lease: u64,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        do_operation(&store, &Operation::LeaseKeepAlive { id: lease }, &call, place)
    })
}

/// Ends a lease and deletes its keys; `count` of the result tells how many.
///
/// - `lease`: its number.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_lease_revoke(
    store: *const trimtab_store,
    lease: u64,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        do_operation(&store, &Operation::LeaseRevoke { id: lease }, &call, place)
    })
}

/// A lease, if it is alive.
///
/// - `lease`: its number.
/// - `ttl_ms_out`: gets how long it lives without a keep-alive, in milliseconds; may be NULL.
/// - `deadline_ms_out`: gets when it ends without one, in milliseconds since the beginning of 1970 in UTC; may be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_NOT_FOUND` when it is not alive.
/// Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_lease_read(
    store: *const trimtab_store,
    lease: u64,
    ttl_ms_out: *mut u64,
    deadline_ms_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `ttl_ms_out` is null or writable.
        let ttl_ms_out = unsafe { handle::out_if_wanted(ttl_ms_out) };
        // SAFETY: `deadline_ms_out` is null or writable.
        let deadline_ms_out = unsafe { handle::out_if_wanted(deadline_ms_out) };
        let found = store.lease(lease)?.ok_or_else(|| no_lease(lease))?;
        if let Some(ttl_ms_out) = ttl_ms_out {
            ttl_ms_out.write(found.ttl_ms);
        }
        if let Some(deadline_ms_out) = deadline_ms_out {
            deadline_ms_out.write(found.deadline.as_millis());
        }
        Ok(())
    })
}

pub(super) fn no_lease(lease: u64) -> Error {
    Error::NotFound { what: "lease", value: lease.to_string() }
}
