//! What came of a request, asked by client and number.

use std::time::Duration;

use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_answer::{answer_of, trimtab_store_answer};
use crate::capi::store_call::{call_of, trimtab_store_call};
use crate::embedded::RequestOutcome;
use crate::error::Error;
use crate::store::index::RequestId;

/// It was done: the answer is what its retry would get.
pub const TRIMTAB_REQUEST_APPLIED: i32 = 1;
/// It was not, as of now: it was refused, was lost, or has not come yet. One that is still under way may be done later.
pub const TRIMTAB_REQUEST_NOT_APPLIED: i32 = 2;
/// That is not known any more: its number is too far below the client's highest, or nothing is remembered of the client where
/// others may have been forgotten.
pub const TRIMTAB_REQUEST_FORGOTTEN: i32 = 3;

/// What came of a request, without sending it again: every write that was answered at `TRIMTAB_DURABILITY_QUORUM` before is seen.
/// Changes nothing. In a cluster the primary is asked.
///
/// - `call`: `client`, not all 0, and `number` say which; `timeout_ms` how long to wait. The rest is left unread.
/// - `outcome_out`: one of `TRIMTAB_REQUEST_...`; written on success only.
/// - `answer_out`: with `TRIMTAB_REQUEST_APPLIED` what its retry would get, `is_repeated`, to be ended with
///   `trimtab_store_answer_free`; otherwise NULL. In a cluster it stays, and `epoch` and `entry` are a place in the log that has
///   it; in a store of one node `durability` says whether it is on the disk yet. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT`, `TRIMTAB_E_STATE` when the store
/// is closed, `TRIMTAB_E_FORKED`, or in a cluster `TRIMTAB_E_NOT_PRIMARY` from a node that does not forward,
/// `TRIMTAB_E_NO_QUORUM` and `TRIMTAB_E_TIMED_OUT`.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows, in a cluster alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_outcome(
    store: *const trimtab_store,
    call: *const trimtab_store_call,
    outcome_out: *mut i32,
    answer_out: *mut *mut trimtab_store_answer,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live store; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `outcome_out` is null or writable; null is refused.
        let outcome_out = unsafe { handle::out(outcome_out, "outcome_out") }?;
        // SAFETY: `answer_out` is null or writable; null is refused.
        let answer_out = unsafe { handle::out(answer_out, "answer_out") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says; null is refused.
        let (request, timeout) = unsafe { named_request(call) }?;
        let (outcome, answer) = match store.outcome(&request, timeout)? {
            RequestOutcome::Applied(done) => (TRIMTAB_REQUEST_APPLIED, answer_of(done)),
            RequestOutcome::NotApplied => (TRIMTAB_REQUEST_NOT_APPLIED, std::ptr::null_mut()),
            RequestOutcome::Forgotten { .. } => (TRIMTAB_REQUEST_FORGOTTEN, std::ptr::null_mut()),
        };
        outcome_out.write(outcome);
        answer_out.write(answer);
        Ok(())
    })
}

/// Which request is asked about, and how long to wait for what came of it.
///
/// # Safety
/// `call` is null, which is refused, or as large as its `struct_size` says.
pub(super) unsafe fn named_request(
    call: *const trimtab_store_call,
) -> Result<(RequestId, Option<Duration>), Failure> {
    if call.is_null() {
        return Err(Failure::Null { what: "call" });
    }
    // SAFETY: passed on to the caller.
    let asked = unsafe { call_of(call) }?;
    let request = asked.request.ok_or_else(|| {
        Error::invalid("call", "it names no request; say whose by client, and which by number")
    })?;
    Ok((request, asked.timeout))
}
