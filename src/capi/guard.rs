//! The one door from C. It stops panics, turns a failure into its code and keeps the failure for
//! `trimtab_last_error_copy`. A call that works pays for one look at a thread-local flag.
//!
//! The failure is kept as a value and put into words only when somebody asks, so a host that meets
//! `TRIMTAB_E_NO_BACKEND` a million times a second formats nothing.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::capi::status::{Failure, TRIMTAB_OK, trimtab_status};

/// Runs the body of an exported function. A success clears this thread's error detail, a failure sets it.
#[inline]
pub(super) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> trimtab_status {
    // What a panic leaves behind half done can be reached only through a handle, and a handle borrowed while
    // panicking is closed (`handle::Borrowed`): hence `AssertUnwindSafe`.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => {
            if HAS_DETAIL.get() {
                set_detail(None);
            }
            TRIMTAB_OK
        }
        Ok(Err(failure)) => keep(failure),
        Err(payload) => keep(panicked(&*payload)),
    }
}

/// Like [`guard`], for what is called between a failure and the reading of its detail: leaves the detail as
/// it is, whatever happens.
#[inline]
pub(super) fn guard_aside(body: impl FnOnce() -> Result<(), Failure>) -> trimtab_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => TRIMTAB_OK,
        Ok(Err(failure)) => failure.status(),
        Err(payload) => panicked(&*payload).status(),
    }
}

/// Like [`guard_aside`], for functions that answer with a value, or with nothing: `otherwise` after a panic.
#[inline]
pub(super) fn guard_value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// The detail of this thread's last failure, in words; empty after a success.
pub(super) fn detail() -> String {
    let text = DETAIL.try_with(|detail| detail.borrow().as_ref().map(Failure::to_string));
    text.ok().flatten().unwrap_or_default()
}

#[cold]
fn keep(failure: Failure) -> trimtab_status {
    let status = failure.status();
    set_detail(Some(failure));
    status
}

#[cold]
fn set_detail(failure: Option<Failure>) {
    let has_detail = failure.is_some();
    // While a thread ends its locals go, and the host may still call from its own: then there is no detail.
    let kept = DETAIL.try_with(|detail| detail.replace(failure)).is_ok();
    HAS_DETAIL.set(kept && has_detail);
}

#[cold]
fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_string());
    Failure::Panic { message }
}

thread_local! {
    /// Whether `DETAIL` holds something. Apart from it, because a local without a destructor is the cheaper
    /// to read, and every call reads it.
    static HAS_DETAIL: Cell<bool> = const { Cell::new(false) };
    static DETAIL: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::status::{TRIMTAB_E_NULL, TRIMTAB_E_PANIC};

    #[test]
    fn a_failure_leaves_a_detail_and_a_success_clears_it() {
        assert_eq!(guard(|| Err(Failure::Null { what: "pool" })), TRIMTAB_E_NULL);
        assert_eq!(detail(), "pool is NULL");
        assert_eq!(guard_aside(|| Err(Failure::Null { what: "buffer" })), TRIMTAB_E_NULL);
        assert_eq!(guard_aside(|| Ok(())), TRIMTAB_OK);
        assert_eq!(detail(), "pool is NULL");
        assert_eq!(guard(|| Ok(())), TRIMTAB_OK);
        assert_eq!(detail(), "");
    }

    #[test]
    fn a_panic_becomes_a_code() {
        assert_eq!(guard(|| panic!("number {}", 7)), TRIMTAB_E_PANIC);
        assert_eq!(detail(), "a bug in trimtab: number 7");
        assert_eq!(guard_value(3, || panic!("again")), 3);
        assert_eq!(guard_aside(|| panic!("and again")), TRIMTAB_E_PANIC);
        assert_eq!(detail(), "a bug in trimtab: number 7");
    }

    #[test]
    fn each_thread_has_its_own_detail() {
        guard(|| Err(Failure::Null { what: "here" }));
        std::thread::spawn(|| assert_eq!(detail(), "")).join().unwrap();
        assert_eq!(detail(), "here is NULL");
    }
}
