//! One function for each change of a key or a range; each blocks until it is as durable as it asked to be.

use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::status::trimtab_status;
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_answer::{answer_of, trimtab_store_answer};
use crate::capi::store_call::{call_of, do_step, place, trimtab_store_call, trimtab_store_result};
use crate::capi::store_operation::Keys;
use crate::capi::text::trimtab_bytes;
use crate::store::index::{Condition, Lifetime, LifetimeCondition, Operation, Step, Timestamp};

/// Puts a value, in any case and until it is deleted. `trimtab_store_execute` puts under a condition, for a time, or with a
/// lease.
///
/// - `key`, `value`: copied before return.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_put(
    store: *const trimtab_store,
    key: trimtab_bytes,
    value: trimtab_bytes,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: the caller keeps `value.data` readable for `value.len` bytes during the call.
        let value = unsafe { value.bytes("value") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
        do_step(&store, Step::Put { key, value, condition, lifetime, previous: false }, &call, place)
    })
}

/// Puts a value if the key has a version; `is_done` of the result tells, and `version` which one it has now.
///
/// - `key`, `value`: copied before return.
/// - `version`: as a result or `trimtab_store_get_copy` told it; 0: if the key is not there.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only, also when it was not put.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_compare_and_set(
    store: *const trimtab_store,
    key: trimtab_bytes,
    version: u64,
    value: trimtab_bytes,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: the caller keeps `value.data` readable for `value.len` bytes during the call.
        let value = unsafe { value.bytes("value") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says; null is refused.
        let place = Some(unsafe { handle::out_struct(result_out, "result_out") }?);
        let (condition, lifetime) = (Condition::Version(version), Lifetime::Unbounded);
        do_step(&store, Step::Put { key, value, condition, lifetime, previous: false }, &call, place)
    })
}

/// Puts a value, and gives what was there.
///
/// - `key`, `value`: copied before return.
/// - `call`: how it is to go; NULL for the defaults.
/// - `answer_out`: its one entry is what was there; it has none if nothing was. Written on success only; end it with
///   `trimtab_store_answer_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_get_and_set(
    store: *const trimtab_store,
    key: trimtab_bytes,
    value: trimtab_bytes,
    call: *const trimtab_store_call,
    answer_out: *mut *mut trimtab_store_answer,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: the caller keeps `value.data` readable for `value.len` bytes during the call.
        let value = unsafe { value.bytes("value") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `answer_out` is null or writable; null is refused.
        let answer_out = unsafe { handle::out(answer_out, "answer_out") }?;
        let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
        let step = Step::Put { key, value, condition, lifetime, previous: true };
        answer_out.write(answer_of(store.call(&Operation::Step(step), &call)?));
        Ok(())
    })
}

/// Deletes a key; `is_done` of the result tells whether it was there.
///
/// - `key`: copied before return.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_delete(
    store: *const trimtab_store,
    key: trimtab_bytes,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        let condition = Condition::Always;
        do_step(&store, Step::Delete { key, condition, previous: false }, &call, place)
    })
}

/// Deletes the keys of a range, seen whole or not at all; `count` of the result tells how many, and `more` whether `limit`
/// left some.
///
/// - `range`, `start`, `end`: which; see `TRIMTAB_RANGE_BETWEEN` and `TRIMTAB_RANGE_PREFIX`.
/// - `limit`: the most to delete, the first ones; 0 for all.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_delete_range(
    store: *const trimtab_store,
    range: i32,
    start: trimtab_bytes,
    end: trimtab_bytes,
    limit: u64,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps what `start` and `end` point to readable during the call.
        let keys = unsafe { Keys::read(range, start, end) }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        do_step(&store, Step::DeleteRange { range: keys.range(), limit }, &call, place)
    })
}

/// Adds to a number: a value of decimal digits, with a `-` before it if it is negative. No value is 0. `number` of the result
/// is the sum. The key lives as long as before.
///
/// - `key`: copied before return.
/// - `by`: what to add. A sum beyond 64 bits, and a value that is no number, is `TRIMTAB_E_INVALID_ARGUMENT`.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_increment(
    store: *const trimtab_store,
    key: trimtab_bytes,
    by: i64,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        do_step(&store, Step::Increment { key, by }, &call, place)
    })
}

/// Appends to a value; no value is an empty one. `count` of the result is its length. The key lives as long as before.
///
/// - `key`, `value`: copied before return.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_append(
    store: *const trimtab_store,
    key: trimtab_bytes,
    value: trimtab_bytes,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: the caller keeps `value.data` readable for `value.len` bytes during the call.
        let value = unsafe { value.bytes("value") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        do_step(&store, Step::Append { key, value }, &call, place)
    })
}

/// Has a key expire; `is_done` of the result tells whether it was there.
///
/// - `key`: copied before return.
/// - `ttl_ms`: from now on, in milliseconds; 0: it is gone at once.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_expire(
    store: *const trimtab_store,
    key: trimtab_bytes,
    ttl_ms: u64,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        let lifetime = Lifetime::Until(store.present()?.saturating_add(ttl_ms));
        let condition = LifetimeCondition::Always;
        do_step(&store, Step::SetLifetime { key, lifetime, condition }, &call, place)
    })
}

/// Has a key expire at a moment; `is_done` of the result tells whether it was there.
///
/// - `key`: copied before return.
/// - `deadline_ms`: milliseconds since the beginning of 1970 in UTC; one that is over means that it is gone at once.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_expire_at(
    store: *const trimtab_store,
    key: trimtab_bytes,
    deadline_ms: u64,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        let lifetime = Lifetime::Until(Timestamp::from_millis(deadline_ms));
        let condition = LifetimeCondition::Always;
        do_step(&store, Step::SetLifetime { key, lifetime, condition }, &call, place)
    })
}

/// Has a key live until it is deleted; `is_done` of the result tells whether it is there.
///
/// - `key`: copied before return.
/// - `call`: how it is to go; NULL for the defaults.
/// - `result_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_persist(
    store: *const trimtab_store,
    key: trimtab_bytes,
    call: *const trimtab_store_call,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(result_out) }?;
        let lifetime = Lifetime::Unbounded;
        let condition = LifetimeCondition::Always;
        do_step(&store, Step::SetLifetime { key, lifetime, condition }, &call, place)
    })
}
