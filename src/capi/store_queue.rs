//! Calls that are submitted, and completed through a queue with a descriptor: `trimtab_store_queue`.

use std::os::fd::{AsFd, AsRawFd};

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle};
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_answer::{outcome_of, trimtab_store_answer};
use crate::capi::store_call::{call_of, trimtab_store_call, wait};
use crate::capi::store_operation::{Asked, trimtab_store_operation};
use crate::capi::store_txn::trimtab_txn;
use crate::embedded::{Queue, Store, Submission};
use crate::error::Error;
use crate::store::index::RequestId;

/// Calls under way, and those that are done and not taken, for hosts with a loop of their own: submit, wait for the
/// descriptor to be readable (`poll`, `epoll`), take what is done.
///
/// Each call that was taken in is completed exactly once, also when the store is closed meanwhile. Any thread may use the
/// same queue at any time.
pub struct trimtab_store_queue {
    _opaque: (),
}

impl Handle for trimtab_store_queue {
    type Value = OwnedQueue;
    const LIVE: u32 = 0x7474_712a;
}

/// What the handle stands for.
pub(super) struct OwnedQueue {
    pub(super) queue: Queue,
    store: Store,
}

/// Makes a queue.
///
/// - `capacity`: how many calls may be under way or done and not taken; 1 to 16777216.
/// - `queue_out`: written on success only; end it with `trimtab_store_queue_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_INVALID_ARGUMENT`, or `TRIMTAB_E_IO` when there is no descriptor.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_new(
    store: *const trimtab_store,
    capacity: usize,
    queue_out: *mut *mut trimtab_store_queue,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `queue_out` is null or writable; null is refused.
        let queue_out = unsafe { handle::out(queue_out, "queue_out") }?;
        let queue = store.queue(capacity)?;
        queue_out.write(handle::give(OwnedQueue { queue, store: Store::clone(&store) }));
        Ok(())
    })
}

/// Ends a queue, and closes its descriptor. Writes under way go on; nobody is told what comes of them. What only waits is taken
/// back, as `trimtab_store_queue_cancel` does.
///
/// - `queue`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `queue`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_free(queue: *mut trimtab_store_queue) {
    guard_value((), || {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new` that nobody else uses.
        unsafe { handle::free(queue) }
    })
}

/// The descriptor to wait with: readable while something is done and not taken, and once when the store is closed. It is the queue's: wait with it, and
/// neither read nor close it.
///
/// - `fd_out`: written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_poll_fd(
    queue: *const trimtab_store_queue,
    fd_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: `fd_out` is null or writable; null is refused.
        let fd_out = unsafe { handle::out(fd_out, "fd_out") }?;
        queue.store.check_process()?;
        fd_out.write(queue.queue.as_fd().as_raw_fd());
        Ok(())
    })
}

/// Submits operations, in order, as far as they can be taken in.
///
/// - `operations`: `count` pointers; what they point to is copied before return. `user_data` of each comes back with its
///   answer.
/// - `call`: how they are to go; NULL for the defaults. With a `client` the first has `number`, the next the one behind it,
///   and so on, up to 2^64 - 1: beyond it is `TRIMTAB_E_INVALID_ARGUMENT`, and none is submitted. One whose number is
///   remembered with another kind of answer fails with `TRIMTAB_E_STATE`, see `trimtab_store_call`.
/// - `taken_out`: how many were taken in, 1 at least if `count` is; fewer than `count` when the next one was refused: submit
///   the rest again, and it says why. Written on success only.
///
/// Returns `TRIMTAB_OK`, or why the first was not taken in: `TRIMTAB_E_CAPACITY` also when `capacity` is reached,
/// `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write may (see `trimtab_store`). When one of `operations` is NULL
/// or cannot be, none is submitted.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_submit(
    queue: *const trimtab_store_queue,
    operations: *const *const trimtab_store_operation,
    count: usize,
    call: *const trimtab_store_call,
    taken_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: the caller keeps `count` pointers readable at `operations`; null is fine for none.
        let operations = unsafe { handle::slice(operations, count, "operations") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `taken_out` is null or writable; null is refused.
        let taken_out = unsafe { handle::out(taken_out, "taken_out") }?;
        let read = |operation: &*const trimtab_store_operation| {
            // SAFETY: it is null or as large as its `struct_size` says, and what it points to readable.
            unsafe { Asked::read(*operation) }
        };
        let asked = operations.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
        let now = queue.store.present()?;
        let mut batch = Vec::with_capacity(asked.len());
        for (asked, at) in asked.iter().zip(0..) {
            batch.push(Submission {
                operation: asked.operation(now)?,
                request: call.request.map(|first| later(first, at)).transpose()?,
                durability: call.durability,
                nodes: call.nodes,
                user_data: asked.user_data(),
            });
        }
        let (taken, result) = queue.queue.submit(&batch);
        if taken == 0 {
            result?;
        }
        taken_out.write(taken);
        Ok(())
    })
}

/// The request so many numbers behind `first`.
fn later(first: RequestId, at: u64) -> Result<RequestId, Error> {
    let number = first.number.checked_add(at).ok_or_else(|| {
        let from = first.number;
        Error::invalid("number", format!("from {from} on the last of these would be beyond 2^64 - 1"))
    })?;
    Ok(RequestId { number, ..first })
}

/// Submits a transaction.
///
/// - `txn`: nothing of it is changed; copied before return.
/// - `call`: how it is to go; NULL for the defaults.
/// - `user_data`: comes back with its answer.
///
/// Returns what `trimtab_store_queue_submit` does.
/// Thread safety: any thread, while none changes `txn`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_submit_txn(
    queue: *const trimtab_store_queue,
    txn: *const trimtab_txn,
    call: *const trimtab_store_call,
    user_data: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: `txn` is null or live and no other call changes it; null is refused.
        let txn = unsafe { handle::borrow(txn, "txn") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        let operation = txn.operation(queue.store.present()?)?;
        let (request, durability, nodes) = (call.request, call.durability, call.nodes);
        Ok(queue.queue.submit(&[Submission { operation, request, durability, nodes, user_data }]).1?)
    })
}

/// Asks to be told once the log is on this disk up to a sequence, as `trimtab_store_wait_durable` says. The `sequence` of its
/// answer is that up to which it is by then.
///
/// - `user_data`: comes back with its answer.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_CAPACITY` when `capacity` is reached, or `waiting_max` wait for that, or
/// `TRIMTAB_E_IO` when the log has failed.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_submit_durable(
    queue: *const trimtab_store_queue,
    sequence: u64,
    user_data: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        Ok(queue.queue.submit_durable(sequence, user_data)?)
    })
}

/// Takes back waits that are not done: of what was submitted with `user_data`, what `trimtab_store_queue_submit_durable`, `_fresh`,
/// `_get_at`, `_count_at` and `_outcome` were asked. One that is taken back is never completed; its place in the queue is free, and so is
/// that among the `waiting_max` who wait in the store. So each wait is either counted here once, or completed once.
///
/// Writes are left alone: they are done, and completed. So is what is done and not taken: it is to be taken as ever.
///
/// - `user_data`: as it was submitted. Of several with the same all are taken back.
/// - `count_out`: how many were; 0 when there was none. May be NULL. Written on success only.
///
/// Returns `TRIMTAB_OK`, also when the store is closed, or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_cancel(
    queue: *const trimtab_store_queue,
    user_data: u64,
    count_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: `count_out` is null or writable.
        let count_out = unsafe { handle::out_if_wanted(count_out) };
        let count = queue.queue.cancel(user_data)?;
        if let Some(count_out) = count_out {
            count_out.write(count);
        }
        Ok(())
    })
}

/// Takes the next that is done, in the order in which they were.
///
/// - `timeout_ms`: waits at most so many milliseconds for one; 0 not at all, negative for ever.
/// - `user_data_out`: gets that of what was submitted; may be NULL. Written on success only.
/// - `answer_out`: gets its answer, also when it failed: `trimtab_store_answer_read` returns what it failed with. End it
///   with `trimtab_store_answer_free`. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT`, or `TRIMTAB_E_STATE` once the store is closed and all are
/// taken.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_next(
    queue: *const trimtab_store_queue,
    timeout_ms: i64,
    user_data_out: *mut u64,
    answer_out: *mut *mut trimtab_store_answer,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: `user_data_out` is null or writable.
        let user_data_out = unsafe { handle::out_if_wanted(user_data_out) };
        // SAFETY: `answer_out` is null or writable; null is refused.
        let answer_out = unsafe { handle::out(answer_out, "answer_out") }?;
        let done = queue.queue.wait(1, wait(timeout_ms))?.pop().expect("what waited well has one");
        if let Some(user_data_out) = user_data_out {
            user_data_out.write(done.user_data);
        }
        answer_out.write(outcome_of(done.result));
        Ok(())
    })
}

/// How many were submitted and are not done.
///
/// - `count_out`: written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_queue_under_way(
    queue: *const trimtab_store_queue,
    count_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `queue` is null or a live result of `trimtab_store_queue_new`; null is refused.
        let queue = unsafe { handle::borrow(queue, "queue") }?;
        // SAFETY: `count_out` is null or writable; null is refused.
        let count_out = unsafe { handle::out(count_out, "count_out") }?;
        queue.store.check_process()?;
        count_out.write(queue.queue.under_way());
        Ok(())
    })
}
