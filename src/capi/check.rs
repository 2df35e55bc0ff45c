//! A check in the hands of the host's loop: `trimtab_check`.

use std::ffi::{c_char, c_void};

use crate::capi::backend::{
    TRIMTAB_ADMIN_DRAIN, TRIMTAB_ADMIN_MAINTENANCE, TRIMTAB_ADMIN_READY, TRIMTAB_OBSERVED_DOWN,
    TRIMTAB_OBSERVED_UNKNOWN, TRIMTAB_OBSERVED_UP,
};
use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle, Sized32};
use crate::capi::pick::TRIMTAB_NO_TIME;
use crate::capi::pool::time_of;
use crate::capi::status::trimtab_status;
use crate::capi::text::{self, trimtab_bytes, trimtab_str};
use crate::health::facts::Ordered;
use crate::health::{Role, State, Step};
use crate::server::Checker;
use crate::time::{Instant, nanos};

/// Nothing is to be done until something happens to the connection, or the deadline is there.
pub const TRIMTAB_STEP_WAIT: i32 = 0;
/// Connect to `trimtab_check_target_copy`, without waiting for it, and tell how that went.
pub const TRIMTAB_STEP_CONNECT: i32 = 1;
/// Write the data as far as the socket takes it, and tell how far. When it takes no more, wait for it to be writable, or
/// for the deadline.
pub const TRIMTAB_STEP_WRITE: i32 = 2;
/// Close the connection, or give up making it. If there are data they may be written before, should the socket take
/// them at once.
pub const TRIMTAB_STEP_CLOSE: i32 = 3;
/// The backend is observed to be something else: `trimtab_check_status_read` and `trimtab_check_reason_copy` tell what
/// and why, for `trimtab_pool_set_observed_with`.
pub const TRIMTAB_STEP_CHANGE: i32 = 4;
/// A good probe learnt something new of the backend: its role, its lag or an agent's orders.
pub const TRIMTAB_STEP_LEARN: i32 = 5;

/// The role is not known.
pub const TRIMTAB_ROLE_UNKNOWN: i32 = 0;
/// It takes writes.
pub const TRIMTAB_ROLE_PRIMARY: i32 = 1;
/// It follows a primary.
pub const TRIMTAB_ROLE_REPLICA: i32 = 2;

/// An agent did not order anything of this kind: it is to stay as it is.
pub const TRIMTAB_NOT_ORDERED: i32 = -1;

/// A health check of one backend, for a host that runs probes on its own loop. It has no socket, clock or thread: the
/// host tells what happened to the probe's connection, of which there is one at a time, and takes steps:
///
/// ```c
/// for (;;) {
///     trimtab_check_take_step(check, 0, &step);
///     if (step.kind == TRIMTAB_STEP_WAIT) break;
///     ... do it ...
/// }
/// ... wait for the connection, until step.deadline_ns at most ...
/// ```
///
/// One thread at a time may use the same check. It keeps nothing that a child made by `fork` must not use.
pub struct trimtab_check {
    _opaque: (),
}

impl Handle for trimtab_check {
    type Value = Checker;
    const LIVE: u32 = 0x7474_6316;
}

/// What a check wants done.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_check_step {
    /// `sizeof(trimtab_check_step)`, set by the caller before the call.
    pub struct_size: u32,
    /// One of `TRIMTAB_STEP_...`.
    pub kind: i32,
    /// When to take the next step if nothing happens before, on the clock of the `now_ns` arguments, or
    /// `TRIMTAB_NO_TIME` for never.
    pub deadline_ns: u64,
    /// What is to be written. It is the check's, good until the next call on it.
    pub data: *const c_void,
    /// How many bytes.
    pub len: usize,
}

// SAFETY: `repr(C)`, integers and a raw pointer only, for which every pattern of bits is a value, and begins with
// `struct_size`.
unsafe impl Sized32 for trimtab_check_step {
    const FIRST_SIZE: usize = 32;
    const UNSAID: Self = Self { struct_size: 0, kind: 0, deadline_ns: 0, data: std::ptr::null(), len: 0 };
}

/// How a backend stands by its check.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_check_status {
    /// `sizeof(trimtab_check_status)`, set by the caller before the call.
    pub struct_size: u32,
    /// What is observed: `TRIMTAB_OBSERVED_UNKNOWN`, `TRIMTAB_OBSERVED_UP` or `TRIMTAB_OBSERVED_DOWN`.
    pub observed: i32,
    /// Since when, on the clock of the `now_ns` arguments.
    pub since_ns: u64,
    /// Good verdicts in a row.
    pub good_in_a_row: u32,
    /// Bad verdicts in a row.
    pub bad_in_a_row: u32,
    /// Probes begun.
    pub probes: u64,
    /// Bad verdicts, timeouts included.
    pub failed: u64,
    /// What the last good probe learnt: one of `TRIMTAB_ROLE_...`.
    pub role: i32,
    /// 0.
    pub reserved: u32,
    /// How far a replica is behind, in nanoseconds; `TRIMTAB_NO_TIME` where that is not told.
    pub lag_ns: u64,
    /// How far it is behind what it has received, in bytes of log; UINT64_MAX where that is not told.
    pub lag_bytes: u64,
    /// What the last answer of an agent ordered, one of `TRIMTAB_ADMIN_...` for `trimtab_pool_set_admin`, or
    /// `TRIMTAB_NOT_ORDERED`. It is the host's to carry out.
    pub ordered_admin: i32,
    /// The weight it ordered, in percent of the configured one, 0 to 10,000, or `TRIMTAB_NOT_ORDERED`. A server takes 0
    /// for an order to drain.
    pub ordered_weight_percent: i32,
    /// The most connections it ordered, 0 to 4,294,967,295, or `TRIMTAB_NOT_ORDERED`. A server takes `TRIMTAB_MAXCONN_MAX`
    /// for what is above that.
    pub ordered_maxconn: i64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_check_status {
    const FIRST_SIZE: usize = 64;
    const UNSAID: Self = Self {
        struct_size: 0,
        observed: 0,
        since_ns: 0,
        good_in_a_row: 0,
        bad_in_a_row: 0,
        probes: 0,
        failed: 0,
        role: 0,
        reserved: 0,
        lag_ns: 0,
        lag_bytes: 0,
        ordered_admin: TRIMTAB_NOT_ORDERED,
        ordered_weight_percent: TRIMTAB_NOT_ORDERED,
        ordered_maxconn: TRIMTAB_NOT_ORDERED as i64,
    };
}

fn observed(state: State) -> i32 {
    match state {
        State::Unknown => TRIMTAB_OBSERVED_UNKNOWN,
        State::Up => TRIMTAB_OBSERVED_UP,
        State::Down => TRIMTAB_OBSERVED_DOWN,
    }
}

fn role(role: Option<Role>) -> i32 {
    match role {
        None => TRIMTAB_ROLE_UNKNOWN,
        Some(Role::Primary) => TRIMTAB_ROLE_PRIMARY,
        Some(Role::Replica) => TRIMTAB_ROLE_REPLICA,
    }
}

fn ordered_admin(ordered: Ordered) -> i32 {
    match ordered {
        Ordered::Ready => TRIMTAB_ADMIN_READY,
        Ordered::Drain => TRIMTAB_ADMIN_DRAIN,
        Ordered::Maintenance => TRIMTAB_ADMIN_MAINTENANCE,
    }
}

/// Makes a check of one backend. Its first probe falls due within one `interval` of `now_ns`.
///
/// - `config`: TOML, the keys `check`, `role` and `lag_max` as a `[[pool]]` of a configuration has them, like
///   `check = { kind = "http", path = "/up" }`; copied before return.
/// - `address`: the backend's, `ip:port`, `[ipv6]:port`, `unix:/path` or `unix:@abstract`; copied before return.
/// - `now_ns`: nanoseconds of `CLOCK_MONOTONIC`, or of a clock of the host's own, then in all calls on this check;
///   with 0 trimtab reads the clock.
/// - `check_out`: written on success only; end it with `trimtab_check_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_CONFIG`, whose detail gives line, column and
/// what to write instead, `TRIMTAB_E_INVALID_ARGUMENT`, or `TRIMTAB_E_IO` when a password cannot be read.
/// Thread safety: any thread, at any time. Blocks while a `password_file` is read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_new(
    config: trimtab_str,
    address: trimtab_str,
    now_ns: u64,
    check_out: *mut *mut trimtab_check,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `config.data` readable for `config.len` bytes during the call.
        let config = unsafe { config.text("config") }?;
        // SAFETY: the caller keeps `address.data` readable for `address.len` bytes during the call.
        let address = unsafe { address.text("address") }?;
        // SAFETY: `check_out` is null or writable; null is refused.
        let check_out = unsafe { handle::out(check_out, "check_out") }?;
        check_out.write(handle::give(Checker::new(config, address, time_of(now_ns))?));
        Ok(())
    })
}

/// Ends a check. The probe's connection is the host's to close.
///
/// - `check`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_free(check: *mut trimtab_check) {
    guard_value((), || {
        // SAFETY: `check` is null or a live result of `trimtab_check_new` that nobody else uses.
        unsafe { handle::free(check) }
    })
}

/// Does what is due, and says what to do next. Take steps until it is `TRIMTAB_STEP_WAIT`, or `TRIMTAB_STEP_WRITE` and
/// the socket takes no more now.
///
/// - `now_ns`: as for `trimtab_check_new`.
/// - `step_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_take_step(
    check: *mut trimtab_check,
    now_ns: u64,
    step_out: *mut trimtab_check_step,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call uses it; null is refused.
        let mut check = unsafe { handle::borrow_mut(check, "check") }?;
        // SAFETY: `step_out` is null or as large as its `struct_size` says; null is refused.
        let step_out = unsafe { handle::out_struct(step_out, "step_out") }?;
        let prober = check.prober_mut();
        let kind = match prober.take_step(time_of(now_ns)) {
            Step::Wait => TRIMTAB_STEP_WAIT,
            Step::Connect => TRIMTAB_STEP_CONNECT,
            Step::Write => TRIMTAB_STEP_WRITE,
            Step::Close => TRIMTAB_STEP_CLOSE,
            Step::Change => TRIMTAB_STEP_CHANGE,
            Step::Learn => TRIMTAB_STEP_LEARN,
        };
        let data = match kind {
            TRIMTAB_STEP_WRITE | TRIMTAB_STEP_CLOSE => prober.outgoing(),
            _ => &[],
        };
        let struct_size = step_out.size();
        step_out.write(trimtab_check_step {
            struct_size,
            kind,
            deadline_ns: prober.next_deadline().map_or(TRIMTAB_NO_TIME, Instant::as_nanos),
            data: data.as_ptr().cast::<c_void>(),
            len: data.len(),
        });
        Ok(())
    })
}

/// The probe's connection stands.
///
/// - `now_ns`: as for `trimtab_check_new`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_handle_connected(
    check: *mut trimtab_check,
    now_ns: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call uses it; null is refused.
        let mut check = unsafe { handle::borrow_mut(check, "check") }?;
        check.prober_mut().handle_connected(time_of(now_ns));
        Ok(())
    })
}

/// The socket took so much of a step's data.
///
/// - `bytes`: how many, from the first on.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_handle_written(
    check: *mut trimtab_check,
    bytes: usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call uses it; null is refused.
        let mut check = unsafe { handle::borrow_mut(check, "check") }?;
        check.prober_mut().handle_written(bytes);
        Ok(())
    })
}

/// This came on the probe's connection.
///
/// - `bytes`: in whatever pieces they come; read during the call only.
/// - `now_ns`: as for `trimtab_check_new`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_handle_bytes(
    check: *mut trimtab_check,
    bytes: trimtab_bytes,
    now_ns: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call uses it; null is refused.
        let mut check = unsafe { handle::borrow_mut(check, "check") }?;
        // SAFETY: the caller keeps `bytes.data` readable for `bytes.len` bytes during the call.
        let bytes = unsafe { bytes.bytes("bytes") }?;
        check.prober_mut().handle_bytes(bytes, time_of(now_ns));
        Ok(())
    })
}

/// The backend ended its half of the probe's connection: nothing more will come.
///
/// - `now_ns`: as for `trimtab_check_new`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_handle_end(check: *mut trimtab_check, now_ns: u64) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call uses it; null is refused.
        let mut check = unsafe { handle::borrow_mut(check, "check") }?;
        check.prober_mut().handle_end(time_of(now_ns));
        Ok(())
    })
}

/// The probe's connection could not be made, or broke: a bad verdict.
///
/// - `why`: one line for the reason, like the system's words for the error.
/// - `now_ns`: as for `trimtab_check_new`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_UTF8`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_handle_failed(
    check: *mut trimtab_check,
    why: trimtab_str,
    now_ns: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call uses it; null is refused.
        let mut check = unsafe { handle::borrow_mut(check, "check") }?;
        // SAFETY: the caller keeps `why.data` readable for `why.len` bytes during the call.
        let why = unsafe { why.text("why") }?;
        check.prober_mut().handle_failed(why, time_of(now_ns));
        Ok(())
    })
}

/// The probe could not be made for a reason of the host's own, such as a want of descriptors. It is no verdict; the next
/// probe comes at its time.
///
/// - `now_ns`: as for `trimtab_check_new`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_handle_abandoned(
    check: *mut trimtab_check,
    now_ns: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call uses it; null is refused.
        let mut check = unsafe { handle::borrow_mut(check, "check") }?;
        check.prober_mut().handle_abandoned(time_of(now_ns));
        Ok(())
    })
}

/// Traffic gave cause for doubt: the next probe comes as soon as `interval_transition` allows. However often it is said,
/// the backend is not asked more often than that.
///
/// - `now_ns`: as for `trimtab_check_new`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_handle_suspicion(
    check: *mut trimtab_check,
    now_ns: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call uses it; null is refused.
        let mut check = unsafe { handle::borrow_mut(check, "check") }?;
        check.prober_mut().handle_suspicion(time_of(now_ns));
        Ok(())
    })
}

/// Where the check's probes connect, as an address is written: the backend's address, or what the check asks for.
///
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_target_copy(
    check: *const trimtab_check,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call changes it; null is refused.
        let check = unsafe { handle::borrow(check, "check") }?;
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        buffer.fill(&check.target().to_string());
        Ok(())
    })
}

/// How the backend stands.
///
/// - `status_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_status_read(
    check: *const trimtab_check,
    status_out: *mut trimtab_check_status,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call changes it; null is refused.
        let check = unsafe { handle::borrow(check, "check") }?;
        // SAFETY: `status_out` is null or as large as its `struct_size` says; null is refused.
        let status_out = unsafe { handle::out_struct(status_out, "status_out") }?;
        let struct_size = status_out.size();
        let check = check.prober().check();
        let (good_in_a_row, bad_in_a_row) = check.in_a_row();
        let (counts, facts) = (check.counts(), check.facts());
        let orders = facts.orders.as_ref();
        let weight_percent = orders.and_then(|orders| orders.weight_percent);
        let maxconn = orders.and_then(|orders| orders.maxconn);
        status_out.write(trimtab_check_status {
            struct_size,
            observed: observed(check.state()),
            since_ns: check.since().as_nanos(),
            good_in_a_row,
            bad_in_a_row,
            probes: counts.started,
            failed: counts.bad,
            role: role(facts.role),
            reserved: 0,
            lag_ns: facts.lag.map_or(TRIMTAB_NO_TIME, nanos),
            lag_bytes: facts.lag_bytes.unwrap_or(u64::MAX),
            ordered_admin: orders.and_then(|orders| orders.admin).map_or(TRIMTAB_NOT_ORDERED, ordered_admin),
            ordered_weight_percent: weight_percent.map_or(TRIMTAB_NOT_ORDERED, |percent| percent as i32),
            ordered_maxconn: maxconn.map_or(i64::from(TRIMTAB_NOT_ORDERED), i64::from),
        });
        Ok(())
    })
}

/// Why the backend is observed to be what it is, in one line; empty while nothing is known.
///
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_reason_copy(
    check: *const trimtab_check,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call changes it; null is refused.
        let check = unsafe { handle::borrow(check, "check") }?;
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        buffer.fill(&check.prober().why());
        Ok(())
    })
}

/// Why the last bad probe was bad, in one line, though good ones may have followed; empty when there was none.
///
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `check`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_check_failure_copy(
    check: *const trimtab_check,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `check` is null or live and no other call changes it; null is refused.
        let check = unsafe { handle::borrow(check, "check") }?;
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        let failure = check.prober().check().last_failure();
        buffer.fill(&failure.map(|failure| failure.reason.to_string()).unwrap_or_default());
        Ok(())
    })
}

const _: () = assert!(size_of::<trimtab_check_step>() == trimtab_check_step::FIRST_SIZE);
const _: () = assert!(size_of::<trimtab_check_status>() == 80);
