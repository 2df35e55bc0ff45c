//! What only the tests call, in a build with the feature `test-hook`. Not in the header.

use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::pool::trimtab_pool;
use crate::capi::status::trimtab_status;

/// Panics while it holds `pool`, as a bug would.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_test_panic(pool: *const trimtab_pool) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let _pool = unsafe { handle::borrow(pool, "pool") }?;
        panic!("asked for by a test");
    })
}
