//! What belongs to no handle: version, features, clock, this thread's last error.

use std::ffi::c_char;

use crate::capi::guard::{self, guard, guard_aside, guard_value};
use crate::capi::handle;
use crate::capi::status::{self, trimtab_status};
use crate::capi::text::{self, trimtab_str};
use crate::error::Error;
use crate::time::Clock;

/// The release this header belongs to. `trimtab_version_copy` tells that of the library.
pub const TRIMTAB_VERSION_MAJOR: u32 = 0;
/// The same.
pub const TRIMTAB_VERSION_MINOR: u32 = 1;
/// The same.
pub const TRIMTAB_VERSION_PATCH: u32 = 0;

const _: () = assert!(is_number(env!("CARGO_PKG_VERSION_MAJOR"), TRIMTAB_VERSION_MAJOR));
const _: () = assert!(is_number(env!("CARGO_PKG_VERSION_MINOR"), TRIMTAB_VERSION_MINOR));
const _: () = assert!(is_number(env!("CARGO_PKG_VERSION_PATCH"), TRIMTAB_VERSION_PATCH));

/// Whether `text` is `number`, so that a release that forgets the constants above does not compile.
const fn is_number(text: &str, number: u32) -> bool {
    matches!(u32::from_str_radix(text, 10), Ok(read) if read == number)
}

/// What `cargo` was built with, by the names of the package's features.
const FEATURES: [(&str, bool); 9] = [
    ("balance", true),
    ("probes", cfg!(feature = "probes")),
    ("probes-sql", cfg!(feature = "probes-sql")),
    ("proxy", cfg!(feature = "proxy")),
    ("tls", cfg!(feature = "tls")),
    ("http", cfg!(feature = "http")),
    ("store", cfg!(feature = "store")),
    ("replication", cfg!(feature = "replication")),
    ("cli", cfg!(feature = "cli")),
];

/// The library's version as text, like `0.1.0`.
///
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_version_copy(
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        buffer.fill(env!("CARGO_PKG_VERSION"));
        Ok(())
    })
}

/// The number of the binary interface: the N of `libtrimtab.so.N`. Functions, constants and fields at the
/// end of structs are added under the same number; nothing else changes under it.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn trimtab_abi_version() -> u32 {
    guard_value(0, || 0)
}

/// Whether the library was built with a part of it.
///
/// - `name`: `balance`, `proxy`, `tls`, `http`, `store`, `replication` or `cli`.
/// - `has_out`: 1 when it was, else 0; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or `TRIMTAB_E_NOT_FOUND` for a name that this
/// release does not know.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_feature_has(name: trimtab_str, has_out: *mut i32) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name = unsafe { name.text("name") }?;
        // SAFETY: `has_out` is null or writable; null is refused.
        let has_out = unsafe { handle::out(has_out, "has_out") }?;
        let known = FEATURES.iter().find(|(feature, _)| *feature == name);
        let (_, has) =
            known.ok_or_else(|| Error::NotFound { what: "feature", value: format!("{name:?}") })?;
        has_out.write(i32::from(*has));
        Ok(())
    })
}

/// The time that `now_ns` arguments mean: `CLOCK_MONOTONIC` in nanoseconds.
///
/// - `now_ns_out`: written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_now(now_ns_out: *mut u64) -> trimtab_status {
    guard(|| {
        // SAFETY: `now_ns_out` is null or writable; null is refused.
        let now_ns_out = unsafe { handle::out(now_ns_out, "now_ns_out") }?;
        now_ns_out.write(Clock.now().as_nanos());
        Ok(())
    })
}

/// What went wrong in this thread's last call that failed, in one line; empty after a call that worked.
/// Meant for people: its words may change, a program looks at the status.
///
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Leaves the last error as it is, even when it fails itself; so do `trimtab_status_name_copy`,
/// `trimtab_abi_version` and every `_free`, which may come between the failure and this call.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time; each has its own last error. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_last_error_copy(
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard_aside(|| {
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        buffer.fill(&guard::detail());
        Ok(())
    })
}

/// The name of a status, like `TRIMTAB_E_CAPACITY`.
///
/// - `status`: what a function returned.
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Leaves the last error as it is.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_NOT_FOUND` for a status that this release does not
/// know.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_status_name_copy(
    status: trimtab_status,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard_aside(|| {
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        let name = status::name(status)
            .ok_or_else(|| Error::NotFound { what: "status", value: status.to_string() })?;
        buffer.fill(name);
        Ok(())
    })
}
