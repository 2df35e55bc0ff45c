//! The store in a server, for the program that the server is part of.

use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::server::{borrow, trimtab_server};
use crate::capi::status::trimtab_status;
use crate::capi::store::trimtab_store;

/// The store in the server, open from the server's start until its end: everything that `trimtab_store_...` can do, to
/// the same keys that Redis clients see. Each call gives another handle of the same store.
///
/// - `store_out`: written on success only. End it with `trimtab_store_free`, before the server or after it, which gives back
///   the handle alone: `trimtab_store_close` is refused, for the server closes the store when it ends. Whatever takes the
///   handle, or what was made of it, answers `TRIMTAB_E_STATE` from then on; calls under way are answered.
///
/// A call that waits holds up its thread alone, so in a callback for events it holds up a worker.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` when the configuration has no `[store]`,
/// `TRIMTAB_E_STATE` before the server is started and once it has ended, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_store(
    server: *const trimtab_server,
    store_out: *mut *mut trimtab_store,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: `store_out` is null or writable; null is refused.
        let store_out = unsafe { handle::out(store_out, "store_out") }?;
        store_out.write(handle::give(server.server()?.store()?));
        Ok(())
    })
}
