//! Time as the state machines see it: an argument, never something they read.
//!
//! [`Instant`] is a count of nanoseconds from an arbitrary start, so a test can write one down, a
//! simulator can make one up and C can carry one. [`Clock`] is what the ring of I/O reads.

use std::time::Duration;

/// A moment: nanoseconds from an arbitrary start, the same start for one pool, server or store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start itself.
    pub const START: Instant = Instant(0);

    /// The moment `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `millis` milliseconds after the start, at most the last one that fits.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Nanoseconds from `earlier` to `self`, 0 when `earlier` is later.
    pub const fn nanos_since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from `earlier` to `self`, zero when `earlier` is later.
    pub const fn duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// The moment `duration` later, at most the last one that fits.
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// `duration` in whole nanoseconds, at most `u64::MAX` (584 years).
pub const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// Year, month and day of the Gregorian calendar, so many days after the first of 1970 in UTC; as in Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
#[cfg(any(feature = "cli", feature = "tls"))]
pub(crate) const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // From the first of March of the year 0, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month, day)
}

/// The machine's monotonic clock (`CLOCK_MONOTONIC`), the one `time.monotonic_ns()` in Python, Go's
/// runtime and `uv_hrtime` read, so a host may mix its own readings with ours. A reading costs 20 to
/// 30 ns; it does not block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The present moment.
    pub fn now(&self) -> Instant {
        Instant(crate::sys::clock::monotonic_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_stop_at_zero_and_sums_at_the_end() {
        let early = Instant::from_nanos(5);
        let late = Instant::from_millis(1);
        assert_eq!(late.duration_since(early), Duration::from_nanos(999_995));
        assert_eq!(early.duration_since(late), Duration::ZERO);
        assert_eq!(early.saturating_add(Duration::MAX).as_nanos(), u64::MAX);
    }

    #[test]
    fn the_clock_does_not_step_back() {
        let first = Clock.now();
        let second = Clock.now();
        assert!(second >= first && first > Instant::START);
    }
}
