//! A panic inside stops at the C boundary, in a build with the feature `test-hook`.
#![cfg(feature = "test-hook")]
#![allow(unsafe_code)]

use std::ptr::{null, null_mut};

use trimtab::capi::{
    TRIMTAB_E_CLOSED, TRIMTAB_E_PANIC, TRIMTAB_OK, trimtab_last_error_copy, trimtab_pool, trimtab_pool_free,
    trimtab_pool_new, trimtab_pool_remove, trimtab_pool_test_panic,
};

fn last_error() -> String {
    let mut buffer = vec![0u8; 256];
    let mut length = 0;
    // SAFETY: `buffer` is as long as it says, and both outlive the call.
    let status =
        unsafe { trimtab_last_error_copy(buffer.as_mut_ptr().cast(), buffer.len(), &raw mut length) };
    assert_eq!(status, TRIMTAB_OK);
    buffer.truncate(length);
    String::from_utf8(buffer).unwrap()
}

fn new_pool() -> *mut trimtab_pool {
    let mut pool = null_mut();
    // SAFETY: null options are the defaults, and `pool` is writable.
    assert_eq!(unsafe { trimtab_pool_new(null(), &raw mut pool) }, TRIMTAB_OK);
    pool
}

#[test]
fn a_panic_closes_its_handle_and_no_other() {
    let (pool, other) = (new_pool(), new_pool());
    // SAFETY: `pool` is live.
    assert_eq!(unsafe { trimtab_pool_test_panic(pool) }, TRIMTAB_E_PANIC);
    assert!(last_error().contains("asked for by a test"), "{}", last_error());
    // SAFETY: a closed handle is still a live one.
    assert_eq!(unsafe { trimtab_pool_remove(pool, 1) }, TRIMTAB_E_CLOSED);
    assert!(last_error().contains("free it"), "{}", last_error());
    // SAFETY: `other` is live.
    assert_ne!(unsafe { trimtab_pool_remove(other, 1) }, TRIMTAB_E_CLOSED);
    // SAFETY: nobody uses either any more.
    unsafe { trimtab_pool_free(pool) };
    // SAFETY: as above.
    unsafe { trimtab_pool_free(other) };
}
