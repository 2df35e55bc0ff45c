//! An answer that has more to it than a result: `trimtab_store_answer`, and `trimtab_store_entry`, what a key has.

use std::ffi::c_void;

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle, Sized32};
use crate::capi::pick::TRIMTAB_NO_TIME;
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store_call::{result_of, trimtab_store_result};
use crate::embedded::Done;
use crate::error::Error;
use crate::store::index::{Answer, Found, Lifetime};

/// What a call gave back: its result, and entries. Whoever got it ends it with `trimtab_store_answer_free`. It is not the
/// store's: it stays as it is when the store is closed or freed, and in a child made by `fork`.
///
/// Any number of threads may read the same answer.
pub struct trimtab_store_answer {
    _opaque: (),
}

impl Handle for trimtab_store_answer {
    type Value = Answered;
    const LIVE: u32 = 0x7474_6124;
}

/// What the handle stands for.
pub(super) struct Answered(Result<Done, Error>);

/// The answer's handle, for C to hold.
pub(super) fn answer_of(done: Done) -> *mut trimtab_store_answer {
    handle::give(Answered(Ok(done)))
}

/// Likewise, for what may have failed.
pub(super) fn outcome_of(result: Result<Done, Error>) -> *mut trimtab_store_answer {
    handle::give(Answered(result))
}

impl Answered {
    fn done(&self) -> Result<&Done, Failure> {
        self.0.as_ref().map_err(|error| error.clone().into())
    }

    /// The answer of a step of a transaction.
    fn step(&self, step: u64) -> Result<(&Done, &Answer), Failure> {
        let done = self.done()?;
        let Answer::Transaction { answers, .. } = &done.answer else {
            return Err(
                Error::NotFound { what: "step", value: format!("{step}: this is no transaction's") }.into()
            );
        };
        let answer = usize::try_from(step).ok().and_then(|at| answers.get(at)).ok_or_else(|| {
            Error::NotFound { what: "step", value: format!("{step}, of {} from 0", answers.len()) }
        })?;
        match answer {
            Ok(answer) => Ok((done, answer)),
            Err(refusal) => Err(Error::from(*refusal).into()),
        }
    }
}

/// What a key has.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_entry {
    /// `sizeof(trimtab_store_entry)`, set by the caller before the call.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The key; NULL where whoever asked named it.
    pub key: *const c_void,
    /// How many bytes.
    pub key_len: usize,
    /// The value.
    pub value: *const c_void,
    /// How many bytes.
    pub value_len: usize,
    /// The sequence of its last change.
    pub version: u64,
    /// The sequence that created it.
    pub created: u64,
    /// How often it was changed since, its creation included.
    pub changes: u64,
    /// When it expires, in milliseconds since the beginning of 1970 in UTC; `TRIMTAB_NO_TIME`: not by itself.
    pub deadline_ms: u64,
    /// The lease it goes with; 0: none.
    pub lease: u64,
}

// SAFETY: `repr(C)`, integers and raw pointers only, for which every pattern of bits is a value, and begins with
// `struct_size`.
unsafe impl Sized32 for trimtab_store_entry {
    const FIRST_SIZE: usize = 80;
    const UNSAID: Self = Self {
        struct_size: 0,
        reserved: 0,
        key: std::ptr::null(),
        key_len: 0,
        value: std::ptr::null(),
        value_len: 0,
        version: 0,
        created: 0,
        changes: 0,
        deadline_ms: 0,
        lease: 0,
    };
}

/// An entry in C's terms. It points into `key` and `found`.
pub(super) fn entry_of(struct_size: u32, key: Option<&[u8]>, found: &Found) -> trimtab_store_entry {
    let (deadline_ms, lease) = match found.lifetime {
        Lifetime::Unbounded | Lifetime::Keep => (TRIMTAB_NO_TIME, 0),
        Lifetime::Until(deadline) => (deadline.as_millis(), 0),
        Lifetime::Lease(lease) => (TRIMTAB_NO_TIME, lease),
    };
    trimtab_store_entry {
        struct_size,
        reserved: 0,
        key: key.map_or(std::ptr::null(), |key| key.as_ptr().cast::<c_void>()),
        key_len: key.map_or(0, <[u8]>::len),
        value: found.value.as_ptr().cast::<c_void>(),
        value_len: found.value.len(),
        version: found.version,
        created: found.created,
        changes: found.changes,
        deadline_ms,
        lease,
    }
}

/// The entry `at` of an answer, with its key if that was not asked for by name.
fn entry(answer: &Answer, at: u64) -> Result<(Option<&[u8]>, &Found), Failure> {
    let none = || Error::NotFound { what: "entry", value: at.to_string() };
    let found = match answer {
        Answer::Put { previous } | Answer::NotMet { previous, .. } | Answer::Deleted { previous, .. } => {
            previous
        }
        Answer::Got(found) => found,
        Answer::Range { entries, .. } => {
            let entry = usize::try_from(at).ok().and_then(|at| entries.get(at)).ok_or_else(none)?;
            return Ok((Some(&entry.0), &entry.1));
        }
        _ => &None,
    };
    Ok((None, found.as_ref().filter(|_| at == 0).ok_or_else(none)?))
}

/// Ends an answer, and what its entries point to.
///
/// - `answer`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `answer`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_answer_free(answer: *mut trimtab_store_answer) {
    guard_value((), || {
        // SAFETY: `answer` is null or a live answer that nobody else uses.
        unsafe { handle::free(answer) }
    })
}

/// What came of the call.
///
/// - `result_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what a submitted call failed with, detail included.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_answer_read(
    answer: *const trimtab_store_answer,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `answer` is null or a live answer; null is refused.
        let answer = unsafe { handle::borrow(answer, "answer") }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says; null is refused.
        let result_out = unsafe { handle::out_struct(result_out, "result_out") }?;
        let done = answer.done()?;
        let struct_size = result_out.size();
        result_out.write(trimtab_store_result { struct_size, ..result_of(done, &done.answer) });
        Ok(())
    })
}

/// An entry of the answer: what was there before, what a key has, or one of a range, in the order asked for.
///
/// - `at`: from 0 to below `entries` of the result.
/// - `entry_out`: its `struct_size` is read; written on success only. What it points to is good until
///   `trimtab_store_answer_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND` when there are not so many, or
/// what a submitted call failed with.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_answer_entry(
    answer: *const trimtab_store_answer,
    at: u64,
    entry_out: *mut trimtab_store_entry,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `answer` is null or a live answer; null is refused.
        let answer = unsafe { handle::borrow(answer, "answer") }?;
        // SAFETY: `entry_out` is null or as large as its `struct_size` says; null is refused.
        let entry_out = unsafe { handle::out_struct(entry_out, "entry_out") }?;
        let (key, found) = entry(&answer.done()?.answer, at)?;
        let struct_size = entry_out.size();
        entry_out.write(entry_of(struct_size, key, found));
        Ok(())
    })
}

/// What came of a step of a transaction.
///
/// - `step`: from 0 to below `count` of the transaction's result, in the order in which they were added to the branch that
///   was done.
/// - `result_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND` when there are not so many, what
/// a submitted transaction failed with, or what this step was refused with, if the others were done even so.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_answer_step_read(
    answer: *const trimtab_store_answer,
    step: u64,
    result_out: *mut trimtab_store_result,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `answer` is null or a live answer; null is refused.
        let answer = unsafe { handle::borrow(answer, "answer") }?;
        // SAFETY: `result_out` is null or as large as its `struct_size` says; null is refused.
        let result_out = unsafe { handle::out_struct(result_out, "result_out") }?;
        let (done, answer) = answer.step(step)?;
        let struct_size = result_out.size();
        result_out.write(trimtab_store_result { struct_size, ..result_of(done, answer) });
        Ok(())
    })
}

/// An entry of what a step of a transaction answered.
///
/// - `step`: as for `trimtab_store_answer_step_read`.
/// - `at`: from 0 to below `entries` of the step's result.
/// - `entry_out`: as for `trimtab_store_answer_entry`.
///
/// Returns what `trimtab_store_answer_step_read` does.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_answer_step_entry(
    answer: *const trimtab_store_answer,
    step: u64,
    at: u64,
    entry_out: *mut trimtab_store_entry,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `answer` is null or a live answer; null is refused.
        let answer = unsafe { handle::borrow(answer, "answer") }?;
        // SAFETY: `entry_out` is null or as large as its `struct_size` says; null is refused.
        let entry_out = unsafe { handle::out_struct(entry_out, "entry_out") }?;
        let (key, found) = entry(answer.step(step)?.1, at)?;
        let struct_size = entry_out.size();
        entry_out.write(entry_of(struct_size, key, found));
        Ok(())
    })
}
