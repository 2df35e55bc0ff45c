//! How a pool handles failure, as it is told when it is made: panic, slow start, limits, retries, outliers, adaptive
//! limits. The ranges are those of [`Options`](crate::balance::Options).

use std::time::Duration;

use crate::balance::{Adaptive, CONNECTION_RATE_MAX, RETRIES_MAX, Scope};
use crate::capi::guard::guard;
use crate::capi::handle::{self, Sized32};
use crate::capi::pool_options::{choice, trimtab_pool_options};
use crate::capi::status::{Failure, trimtab_status};
use crate::error::Error;
use crate::health::passive;

/// The most picks a second that a limit can be.
pub const TRIMTAB_CONNECTION_RATE_MAX: u32 = 1000000;
/// The most retries that can be in flight.
pub const TRIMTAB_RETRIES_MAX: u32 = 65536;

const _: () = assert!(TRIMTAB_CONNECTION_RATE_MAX == CONNECTION_RATE_MAX);
const _: () = assert!(TRIMTAB_RETRIES_MAX == RETRIES_MAX);

/// An adaptive limit for each backend. The default.
pub const TRIMTAB_SCOPE_BACKEND: i32 = 0;
/// One adaptive limit for the pool.
pub const TRIMTAB_SCOPE_POOL: i32 = 1;

const SCOPES: [(i32, Scope); 2] =
    [(TRIMTAB_SCOPE_BACKEND, Scope::Backend), (TRIMTAB_SCOPE_POOL, Scope::Pool)];

/// When a backend that fails more than others is ejected, and for how long. What is observed of it is
/// `TRIMTAB_OBSERVED_EJECTED` meanwhile.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_outlier {
    /// `sizeof(trimtab_outlier)`, set by the caller before the call.
    pub struct_size: u32,
    /// How many errors in a row eject, 1 to 10000; 0 for any number. Default 5.
    pub consecutive_errors: u32,
    /// How often rates are compared, in milliseconds: 100 to 3600000. Default 10000.
    pub interval_ms: u64,
    /// How long the first ejection lasts, in milliseconds: 100 to 86400000. Default 30000. The next in a row lasts
    /// twice as long, and so on.
    pub ejection_time_ms: u64,
    /// How long one lasts at most, in milliseconds: `ejection_time_ms` to 86400000. Default 300000.
    pub ejection_time_max_ms: u64,
    /// How much longer one may last, at random, in milliseconds: 0 to 3600000. Default 1000.
    pub ejection_jitter_ms: u64,
    /// How many of the backends may be ejected, in percent: 0 (never one) to 100. One may be from 1 on. Default 10.
    pub ejection_percent_max: u32,
    /// Whether success rates are compared with each other: 1, the default, or 0.
    pub success_rate: u32,
    /// How many standard deviations below the mean are too many: 0 to 10. Default 1.9.
    pub success_rate_factor: f64,
    /// How many backends must have had enough outcomes: 2 to 65536. Default 5.
    pub success_rate_hosts_min: u32,
    /// How many outcomes in an interval are enough: from 1 on. Default 100.
    pub success_rate_requests_min: u32,
    /// Which share of failures in an interval is too much, in percent: 1 to 100; 0, the default, for any.
    pub failure_percent: u32,
    /// How many backends must have had enough outcomes: 1 to 65536. Default 5.
    pub failure_hosts_min: u32,
    /// How many outcomes in an interval are enough: from 1 on. Default 50.
    pub failure_requests_min: u32,
    /// 0.
    pub reserved: u32,
}

/// How the most picks in flight are found by response times.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_adaptive {
    /// `sizeof(trimtab_adaptive)`, set by the caller before the call.
    pub struct_size: u32,
    /// Whose picks are limited: one of `TRIMTAB_SCOPE_...`. Default `TRIMTAB_SCOPE_BACKEND`.
    pub scope: i32,
    /// The least the limit is, and where it starts, in picks: 1 to 1000000. Default 3.
    pub min: u32,
    /// The most it is, in picks: `min` to 1000000. Default 1000.
    pub max: u32,
    /// How often it is set anew, in milliseconds: 10 to 60000. Default 100.
    pub window_ms: u64,
    /// Which of a window's response times stands for them, a share: 0.01 to 1. Default 0.5.
    pub percentile: f64,
    /// How often the response time of a backend that is hardly used is measured, in milliseconds: 1000 to
    /// 86400000. Default 60000.
    pub rtt_interval_ms: u64,
    /// How much later than that it may be, at random, a share: 0 to 1. Default 0.15.
    pub rtt_jitter: f64,
    /// How much slower than that is no reason for a lower limit, a share: 0 to 10. Default 0.25.
    pub rtt_buffer: f64,
    /// How many response times measuring takes: 1 to 1000000. Default 50.
    pub rtt_requests: u32,
    /// Whether the limit is `min` meanwhile: 1, the default, or 0.
    pub rtt_pins: u32,
}

// SAFETY: `repr(C)`, integers and a float only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_outlier {
    const FIRST_SIZE: usize = 80;
    const UNSAID: Self = Self {
        struct_size: 0,
        consecutive_errors: 5,
        interval_ms: 10_000,
        ejection_time_ms: 30_000,
        ejection_time_max_ms: 300_000,
        ejection_jitter_ms: 1_000,
        ejection_percent_max: 10,
        success_rate: 1,
        success_rate_factor: 1.9,
        success_rate_hosts_min: 5,
        success_rate_requests_min: 100,
        failure_percent: 0,
        failure_hosts_min: 5,
        failure_requests_min: 50,
        reserved: 0,
    };
}

impl trimtab_outlier {
    fn parsed(self) -> Result<passive::Options, Failure> {
        let success_rate = passive::SuccessRate {
            factor: self.success_rate_factor,
            hosts_min: self.success_rate_hosts_min,
            requests_min: self.success_rate_requests_min,
        };
        let failure_percentage = passive::FailurePercentage {
            percent: self.failure_percent,
            hosts_min: self.failure_hosts_min,
            requests_min: self.failure_requests_min,
        };
        Ok(passive::Options {
            consecutive_errors: (self.consecutive_errors > 0).then_some(self.consecutive_errors),
            interval: Duration::from_millis(self.interval_ms),
            ejection_time: Duration::from_millis(self.ejection_time_ms),
            ejection_time_max: Duration::from_millis(self.ejection_time_max_ms),
            ejection_jitter: Duration::from_millis(self.ejection_jitter_ms),
            ejection_percent_max: self.ejection_percent_max,
            success_rate: flag("success_rate", self.success_rate)?.then_some(success_rate),
            failure_percentage: (self.failure_percent > 0).then_some(failure_percentage),
        })
    }
}

// SAFETY: `repr(C)`, integers and floats only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_adaptive {
    const FIRST_SIZE: usize = 64;
    const UNSAID: Self = Self {
        struct_size: 0,
        scope: TRIMTAB_SCOPE_BACKEND,
        min: 3,
        max: 1_000,
        window_ms: 100,
        percentile: 0.5,
        rtt_interval_ms: 60_000,
        rtt_jitter: 0.15,
        rtt_buffer: 0.25,
        rtt_requests: 50,
        rtt_pins: 1,
    };
}

impl trimtab_adaptive {
    fn parsed(self) -> Result<Adaptive, Failure> {
        Ok(Adaptive {
            scope: choice("adaptive.scope", self.scope, &SCOPES)?,
            min: self.min,
            max: self.max,
            window: Duration::from_millis(self.window_ms),
            percentile: self.percentile,
            rtt_interval: Duration::from_millis(self.rtt_interval_ms),
            rtt_jitter: self.rtt_jitter,
            rtt_requests: self.rtt_requests,
            rtt_buffer: self.rtt_buffer,
            rtt_pins: flag("adaptive.rtt_pins", self.rtt_pins)?,
        })
    }
}

/// Yes or no from C.
fn flag(what: &'static str, given: u32) -> Result<bool, Failure> {
    match given {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::invalid(what, format!("{given} is neither 0 (no) nor 1 (yes)")).into()),
    }
}

/// Sets below which share of a tier's ready backends being usable health is ignored for it, so that all of them
/// share what the few could not carry.
///
/// - `percent`: percent, 0 to 100; 0, the default, is never: one survivor of three takes all.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_panic_threshold(
    options: *mut trimtab_pool_options,
    percent: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.panic_threshold = percent)
    })
}

/// Sets whether the lowest tier with ready backends serves when no backend of the pool is usable.
///
/// - `fail_open`: 1 or 0; default 0: a backend that is known to be down gets nothing.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_fail_open(
    options: *mut trimtab_pool_options,
    fail_open: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let fail_open = flag("fail_open", fail_open)?;
        options.change(|options| options.fail_open = fail_open)
    })
}

/// Sets over how long a backend that comes into service reaches its weight.
///
/// - `slow_start_ms`: milliseconds, 100 to 3600000; 0, the default, is at once.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_slow_start_ms(
    options: *mut trimtab_pool_options,
    slow_start_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.slow_start = Duration::from_millis(slow_start_ms))
    })
}

/// Sets how steeply a slow start begins.
///
/// - `aggression`: 0.1 to 10; default 1, a straight line; above it begins more steeply.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_slow_start_aggression(
    options: *mut trimtab_pool_options,
    aggression: f64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.slow_start_aggression = aggression)
    })
}

/// Sets the part of its weight a slow start begins with.
///
/// - `min`: a share, 0.01 to 1; default 0.1: enough traffic to warm up with.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_slow_start_min(
    options: *mut trimtab_pool_options,
    min: f64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.slow_start_min = min)
    })
}

/// Sets the most picks in flight on all backends together. Each backend may have a limit of its own.
///
/// - `maxconn`: picks, 1 to `TRIMTAB_MAXCONN_MAX`; 0, the default, is no limit.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_maxconn(
    options: *mut trimtab_pool_options,
    maxconn: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.maxconn = maxconn)
    })
}

/// Sets the most picks a second on all backends together: in any time `t` at most `burst + rate * t` go
/// through. Each backend may have a rate of its own.
///
/// - `rate`: picks a second, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0, the default, is no limit.
/// - `burst`: picks that may come at once, 1 to `TRIMTAB_CONNECTION_RATE_MAX`; 0, the default, is one second's.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_connection_rate(
    options: *mut trimtab_pool_options,
    rate: u32,
    burst: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| {
            options.connection_rate = rate;
            options.connection_burst = burst;
        })
    })
}

/// Sets how many may wait for a place at once, see `trimtab_pool_try_want`.
///
/// - `pending_max`: 1 to `TRIMTAB_MAXCONN_MAX`; 0, the default, is no limit.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_pending_max(
    options: *mut trimtab_pool_options,
    pending_max: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.pending_max = pending_max)
    })
}

/// Sets the most retries in flight in parts of the picks in flight and waiting, see `trimtab_pool_retry_begin`.
///
/// - `share`: 0 to 1; default 0.2: retries must not double the load on what fails.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_retry_budget(
    options: *mut trimtab_pool_options,
    share: f64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.retry_budget = Some(share))
    })
}

/// Takes the retry budget away: only `retries_max` bounds retries then.
///
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_retry_budget_off(
    options: *mut trimtab_pool_options,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.retry_budget = None)
    })
}

/// Sets how many retries in flight are within the budget always.
///
/// - `retry_min`: retries, 0 to `TRIMTAB_RETRIES_MAX`; default 100: all whom a backend that dies
///   refuses at one moment are sent on.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_retry_min(
    options: *mut trimtab_pool_options,
    retry_min: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.retry_min = retry_min)
    })
}

/// Sets the most retries in flight, whatever the load.
///
/// - `retries_max`: retries, 1 to `TRIMTAB_RETRIES_MAX`; 0, the default, leaves it to the budget.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_retries_max(
    options: *mut trimtab_pool_options,
    retries_max: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.retries_max = retries_max)
    })
}

/// Sets whether and how backends that fail more than others are ejected for a while. Off by default: what counts as
/// an error depends on the protocol.
///
/// - `outlier`: copied before return; its `struct_size` is read. NULL is off. Begin with
///   `trimtab_outlier_defaults_read`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_outlier(
    options: *mut trimtab_pool_options,
    outlier: *const trimtab_outlier,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: `outlier` is null or as large as its `struct_size` says.
        let outlier = unsafe { handle::in_struct(outlier, "outlier") }?;
        let outlier = outlier.map(|outlier| outlier.parsed()).transpose()?;
        options.change(|options| options.outlier = outlier)
    })
}

/// Sets whether and how the most picks in flight are found by response times. Off by default: it refuses picks
/// while it learns.
///
/// - `adaptive`: copied before return; its `struct_size` is read. NULL is off. Begin with
///   `trimtab_adaptive_defaults_read`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_adaptive(
    options: *mut trimtab_pool_options,
    adaptive: *const trimtab_adaptive,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: `adaptive` is null or as large as its `struct_size` says.
        let adaptive = unsafe { handle::in_struct(adaptive, "adaptive") }?;
        let adaptive = adaptive.map(|adaptive| adaptive.parsed()).transpose()?;
        options.change(|options| options.adaptive = adaptive)
    })
}

/// Writes the defaults of a `trimtab_outlier`, to change some of them and pass it to `trimtab_pool_options_set_outlier`.
///
/// - `outlier_out`: its `struct_size` is read, and stays; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_outlier_defaults_read(outlier_out: *mut trimtab_outlier) -> trimtab_status {
    guard(|| {
        // SAFETY: `outlier_out` is null or as large as its `struct_size` says; null is refused.
        let outlier_out = unsafe { handle::out_struct(outlier_out, "outlier_out") }?;
        let struct_size = outlier_out.size();
        outlier_out.write(trimtab_outlier { struct_size, ..trimtab_outlier::UNSAID });
        Ok(())
    })
}

/// Writes the defaults of a `trimtab_adaptive`, to change some of them and pass it to `trimtab_pool_options_set_adaptive`.
///
/// - `adaptive_out`: its `struct_size` is read, and stays; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_adaptive_defaults_read(
    adaptive_out: *mut trimtab_adaptive,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `adaptive_out` is null or as large as its `struct_size` says; null is refused.
        let adaptive_out = unsafe { handle::out_struct(adaptive_out, "adaptive_out") }?;
        let struct_size = adaptive_out.size();
        adaptive_out.write(trimtab_adaptive { struct_size, ..trimtab_adaptive::UNSAID });
        Ok(())
    })
}

const _: () = assert!(size_of::<trimtab_outlier>() == trimtab_outlier::FIRST_SIZE);
const _: () = assert!(size_of::<trimtab_adaptive>() == trimtab_adaptive::FIRST_SIZE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default() {
        let outlier = passive::Options { failure_percentage: None, ..passive::Options::default() };
        assert_eq!(trimtab_outlier::UNSAID.parsed().unwrap(), outlier);
        assert_eq!(trimtab_adaptive::UNSAID.parsed().unwrap(), Adaptive::default());
        let usual = passive::FailurePercentage::default();
        let asked = trimtab_outlier { failure_percent: usual.percent, ..trimtab_outlier::UNSAID };
        assert_eq!(asked.parsed().unwrap().failure_percentage, Some(usual));
    }

    #[test]
    fn off_is_off() {
        let off = trimtab_outlier { consecutive_errors: 0, success_rate: 0, ..trimtab_outlier::UNSAID };
        let parsed = off.parsed().unwrap();
        assert_eq!(
            (parsed.consecutive_errors, parsed.success_rate, parsed.failure_percentage),
            (None, None, None)
        );
        let wrong = trimtab_outlier { success_rate: 2, ..trimtab_outlier::UNSAID };
        assert!(wrong.parsed().unwrap_err().to_string().contains("2 is neither 0"));
    }
}
