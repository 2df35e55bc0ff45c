//! Reads in a cluster that say how fresh what they see is to be: `trimtab_store_read`.

use crate::capi::cluster::timeout;
use crate::capi::cluster_options::{TRIMTAB_READ_DEFAULT, read_level};
use crate::capi::guard::guard;
use crate::capi::handle::{self, Sized32};
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store::{borrow, no_key, trimtab_store};
use crate::capi::store_answer::trimtab_store_answer;
use crate::capi::store_call::trimtab_store_call;
use crate::capi::store_lease::no_lease;
use crate::capi::store_operation::Keys;
use crate::capi::store_outcome::named_request;
use crate::capi::store_queue::trimtab_store_queue;
use crate::capi::store_read::{Scanned, found_answer, trimtab_store_scan};
use crate::capi::text::trimtab_bytes;
use crate::embedded::{Read, Store};
use crate::replication::Position;

/// How a call that reads is to go, in a cluster: in a store of one node it sees all that was written whatever is asked for.
/// NULL in its place, and 0 in each field, is the default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_read {
    /// `sizeof(trimtab_store_read)`, set by the caller before the call.
    pub struct_size: u32,
    /// How fresh what it sees is to be: one of `TRIMTAB_READ_...`; 0: as `trimtab_cluster_options_set_read` said.
    pub level: i32,
    /// With `TRIMTAB_READ_REPLICA`, how old it may be at most, in milliseconds; else unread.
    pub age_max_ms: u64,
    /// Where a write was that it has to see: `epoch` of the write's result.
    pub epoch: u64,
    /// And `entry` of the write's result; 0: none.
    pub entry: u64,
    /// How long to wait for that, in milliseconds; 0: the store's `timeout_ms`, negative: for ever.
    pub timeout_ms: i64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_store_read {
    const FIRST_SIZE: usize = 40;
    const UNSAID: Self = Self {
        struct_size: 0,
        level: TRIMTAB_READ_DEFAULT,
        age_max_ms: 0,
        epoch: 0,
        entry: 0,
        timeout_ms: 0,
    };
}

/// What the caller wants of a read.
///
/// # Safety
/// `read` is null or as large as its `struct_size` says.
unsafe fn read_of(read: *const trimtab_store_read) -> Result<Read, Failure> {
    // SAFETY: passed on to the caller.
    let Some(read) = unsafe { handle::in_struct(read, "read") }? else { return Ok(Read::default()) };
    let token = (read.entry != 0).then_some(Position { epoch: read.epoch, sequence: read.entry });
    Ok(Read { level: read_level(read.level, read.age_max_ms)?, token, timeout: timeout(read.timeout_ms) })
}

/// What a key has, seen as fresh as is asked, else as `trimtab_store_get` has it. What asks for an age or an entry waits here for half
/// of its time, and an election's time (400 ms) at most; then the primary reads it, unless this node does not forward.
///
/// - `read`: how it is to go; NULL for the default.
/// - `answer_out`: as for `trimtab_store_get`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND` when the key is not there, or what each
/// read in a cluster may: `TRIMTAB_E_NOT_PRIMARY` when what is here is not as fresh as was asked by the end of the time, and
/// another node is primary that was not reached, or was not to be asked; of level `TRIMTAB_READ_PRIMARY` at once from a node
/// that does not forward; `TRIMTAB_E_NO_QUORUM` when no primary was found in
/// time, or it does not hold its quorum; `TRIMTAB_E_STATE` also when the write that it has to see was lost with a primary, or this
/// node takes no part any more; `TRIMTAB_E_TIMED_OUT`.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows; not on a primary that holds its quorum.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_get_at(
    store: *const trimtab_store,
    key: trimtab_bytes,
    read: *const trimtab_store_read,
    answer_out: *mut *mut trimtab_store_answer,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live store; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `read` is null or as large as its `struct_size` says.
        let read = unsafe { read_of(read) }?;
        // SAFETY: `answer_out` is null or writable; null is refused.
        let answer_out = unsafe { handle::out(answer_out, "answer_out") }?;
        answer_out.write(found_answer(store.get_at(key, &read)?.ok_or_else(|| no_key(key))?));
        Ok(())
    })
}

/// How many keys a range has, seen as fresh as is asked, else as `trimtab_store_count` has it.
///
/// - `read`: as for `trimtab_store_get_at`. The others: as for `trimtab_store_count`.
///
/// Returns what `trimtab_store_get_at` does, but for `TRIMTAB_E_NOT_FOUND`.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows; not on a primary that holds its quorum.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_count_at(
    store: *const trimtab_store,
    range: i32,
    start: trimtab_bytes,
    end: trimtab_bytes,
    read: *const trimtab_store_read,
    count_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live store; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps what `start` and `end` point to readable during the call.
        let keys = unsafe { Keys::read(range, start, end) }?;
        // SAFETY: `read` is null or as large as its `struct_size` says.
        let read = unsafe { read_of(read) }?;
        // SAFETY: `count_out` is null or writable; null is refused.
        let count_out = unsafe { handle::out(count_out, "count_out") }?;
        count_out.write(store.count_at(&keys.range(), &read)?);
        Ok(())
    })
}

/// Begins to go through the keys of a range, seen as fresh as is asked, else as `trimtab_store_scan_new` does. It is of this node:
/// when that is not as fresh in time, it waits on for what the primary has, and does not ask that to read.
///
/// - `read`: as for `trimtab_store_get_at`. The others: as for `trimtab_store_scan_new`.
///
/// Returns what `trimtab_store_count_at` does.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows; not on a primary that holds its quorum.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_scan_new_at(
    store: *const trimtab_store,
    range: i32,
    start: trimtab_bytes,
    end: trimtab_bytes,
    limit: u64,
    reverse: i32,
    read: *const trimtab_store_read,
    scan_out: *mut *mut trimtab_store_scan,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live store; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps what `start` and `end` point to readable during the call.
        let keys = unsafe { Keys::read(range, start, end) }?;
        // SAFETY: `read` is null or as large as its `struct_size` says.
        let read = unsafe { read_of(read) }?;
        // SAFETY: `scan_out` is null or writable; null is refused.
        let scan_out = unsafe { handle::out(scan_out, "scan_out") }?;
        let scan = store.scan_at(&keys.range(), limit, reverse != 0, &read)?;
        scan_out.write(handle::give(Scanned::new(scan, Store::clone(&store))));
        Ok(())
    })
}

/// A lease, if it is alive, seen as fresh as is asked, else as `trimtab_store_lease_read` has it. It is of this node, as what
/// `trimtab_store_scan_new_at` gives.
///
/// - `read`: as for `trimtab_store_get_at`. The others: as for `trimtab_store_lease_read`.
///
/// Returns what `trimtab_store_get_at` does; `TRIMTAB_E_NOT_FOUND` when it is not alive.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows; not on a primary that holds its quorum.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_lease_read_at(
    store: *const trimtab_store,
    lease: u64,
    read: *const trimtab_store_read,
    ttl_ms_out: *mut u64,
    deadline_ms_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live store; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `read` is null or as large as its `struct_size` says.
        let read = unsafe { read_of(read) }?;
        // SAFETY: `ttl_ms_out` is null or writable.
        let ttl_ms_out = unsafe { handle::out_if_wanted(ttl_ms_out) };
        // SAFETY: `deadline_ms_out` is null or writable.
        let deadline_ms_out = unsafe { handle::out_if_wanted(deadline_ms_out) };
        let found = store.lease_at(lease, &read)?.ok_or_else(|| no_lease(lease))?;
        if let Some(ttl_ms_out) = ttl_ms_out {
            ttl_ms_out.write(found.ttl_ms);
        }
        if let Some(deadline_ms_out) = deadline_ms_out {
            deadline_ms_out.write(found.deadline.as_millis());
        }
        Ok(())
    })
}

/// Whether a read sees what `read` asks for without a wait, as far as that can be told at a glance: on a primary that holds its
/// quorum, where what is here is no older than is asked, where it is that which is asked for, and in a store of one node. Then who reads with `TRIMTAB_READ_LOCAL` from now on sees
/// that, and does not block. Otherwise have a queue tell when it is so.
///
/// - `read`: as for `trimtab_store_get_at`.
/// - `fresh_out`: 1 or 0, when it may have to be waited for. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT`, `TRIMTAB_E_STATE` when the store is
/// closed, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_is_fresh(
    store: *const trimtab_store,
    read: *const trimtab_store_read,
    fresh_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live store; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `read` is null or as large as its `struct_size` says.
        let read = unsafe { read_of(read) }?;
        // SAFETY: `fresh_out` is null or writable; null is refused.
        let fresh_out = unsafe { handle::out(fresh_out, "fresh_out") }?;
        fresh_out.write(i32::from(store.is_fresh(&read)?));
        Ok(())
    })
}

/// Asks to be told once what is here is as fresh as is asked, for the read's `timeout_ms` at most. Who reads with
/// `TRIMTAB_READ_LOCAL`, and the same `epoch` and `entry`, once it is completed sees that and does not block: by
/// `trimtab_store_scan_new_at` and `trimtab_store_lease_read_at`, and by what else reads. It is of this node: when that is not as
/// fresh in time, it waits on for what the primary has. In a store of one node it is completed at once.
///
/// - `read`: as for `trimtab_store_get_at`; copied before return.
/// - `user_data`: comes back with its answer, which fails with what `trimtab_store_scan_new_at` returns.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_CAPACITY` when `capacity` is reached, or what each
/// read in a cluster may that is known at once.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_submit_fresh(
    queue: *const trimtab_store_queue,
    read: *const trimtab_store_read,
    user_data: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: `read` is null or as large as its `struct_size` says.
        let read = unsafe { read_of(read) }?;
        Ok(queue.queue.submit_fresh(&read, user_data)?)
    })
}

/// As `trimtab_store_queue_submit_fresh`, for who reads a key then. When what is here is not as fresh in time the primary reads it,
/// as `trimtab_store_get_at` says: the answer has what that has found then, an entry, or `is_done` is 0 as the key is not there. With
/// `is_done` and without an entry it is here that the key is to be read.
///
/// - `key`: copied before return. The others: as for `trimtab_store_queue_submit_fresh`.
///
/// Returns what `trimtab_store_queue_submit_fresh` does.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_submit_get_at(
    queue: *const trimtab_store_queue,
    key: trimtab_bytes,
    read: *const trimtab_store_read,
    user_data: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `read` is null or as large as its `struct_size` says.
        let read = unsafe { read_of(read) }?;
        Ok(queue.queue.submit_get_at(key, &read, user_data)?)
    })
}

/// As `trimtab_store_queue_submit_fresh`, for who counts the keys of a range then. When what is here is not as fresh in time the
/// primary counts them: the answer's `count` is what it has found, and `version` is not 0. With `version` 0 it is here that they
/// are to be counted.
///
/// - `range`, `start`, `end`: as for `trimtab_store_count`; copied before return. The others: as for
///   `trimtab_store_queue_submit_fresh`.
///
/// Returns what `trimtab_store_queue_submit_fresh` does.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_submit_count_at(
    queue: *const trimtab_store_queue,
    range: i32,
    start: trimtab_bytes,
    end: trimtab_bytes,
    read: *const trimtab_store_read,
    user_data: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: the caller keeps what `start` and `end` point to readable during the call.
        let keys = unsafe { Keys::read(range, start, end) }?;
        // SAFETY: `read` is null or as large as its `struct_size` says.
        let read = unsafe { read_of(read) }?;
        Ok(queue.queue.submit_count_at(&keys.range(), &read, user_data)?)
    })
}

/// Asks the primary what came of a request, as `trimtab_store_outcome` says. The answer is what its retry would get, with
/// `is_repeated`, when it was applied. Without, it was not as of now when `is_done` is 1, and that is forgotten when it is 0.
///
/// - `call`: as for `trimtab_store_outcome`; copied before return.
/// - `user_data`: comes back with its answer, which fails with what `trimtab_store_outcome` returns.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT`, `TRIMTAB_E_CAPACITY` when `capacity`
/// is reached, what `trimtab_store_outcome` returns that is known at once, or `TRIMTAB_E_STATE` also for a store in no cluster, where
/// that need not wait.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_submit_outcome(
    queue: *const trimtab_store_queue,
    call: *const trimtab_store_call,
    user_data: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says; null is refused.
        let (request, timeout) = unsafe { named_request(call) }?;
        Ok(queue.queue.submit_outcome(&request, timeout, user_data)?)
    })
}
