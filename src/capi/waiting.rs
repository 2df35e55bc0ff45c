//! Times to wait, as C has them.

use std::time::Duration;

use crate::time::Instant;

/// How long to wait at most; negative is for ever.
pub(super) fn timeout(timeout_ms: i64) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}

/// Whole milliseconds from `now` to `deadline`, rounded up, as far as an `int` goes.
pub(super) fn until(deadline: Instant, now: Instant) -> i32 {
    let millis = deadline.as_nanos().saturating_sub(now.as_nanos()).div_ceil(1_000_000);
    i32::try_from(millis).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_and_fits_an_int() {
        let now = Instant::from_nanos(5_000_000);
        for (deadline, millis) in
            [(0, 0), (5_000_000, 0), (5_000_001, 1), (6_000_000, 1), (6_000_001, 2), (u64::MAX, i32::MAX)]
        {
            assert_eq!(until(Instant::from_nanos(deadline), now), millis, "{deadline}");
        }
    }
}
