//! Rates: so many picks a second and so many at once, exact over threads.
//!
//! A token bucket kept as one moment, the generic cell rate algorithm of ITU-T I.371: each pick moves the moment
//! at which the bucket would be full again by one interval, and is refused while that moment lies further ahead
//! than a bucket holds. In any time `t` at most `burst + rate * t` picks go through. The interval is rounded up to
//! whole nanoseconds: at the greatest rate that is a thousandth less than asked for, at most.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

/// A rate in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Nanoseconds from one pick to the next.
    interval: NonZeroU32,
    /// How many may come at once.
    burst: u32,
}

impl Pace {
    /// `rate` picks a second, 0 for no limit; `burst` 0 means one second's.
    pub(crate) fn new(rate: u32, burst: u32) -> Option<Self> {
        let interval = NonZeroU32::new(rate).and_then(|rate| NonZeroU32::new(SECOND.div_ceil(rate.get())))?;
        Some(Self { interval, burst: if burst == 0 { rate } else { burst } })
    }

    fn interval(self) -> u64 {
        u64::from(self.interval.get())
    }

    /// How far ahead the moment may lie for one more.
    fn tolerance(self) -> u64 {
        self.interval() * u64::from(self.burst - 1)
    }
}

/// What was used of a rate.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// When it is full again, in nanoseconds.
    full: AtomicU64,
}

impl Bucket {
    /// How long until one more may come; zero for now.
    #[inline]
    pub(crate) fn wait(&self, pace: Pace, now: Instant) -> Duration {
        let full = self.full.load(Ordering::Relaxed);
        Duration::from_nanos(full.saturating_sub(now.as_nanos()).saturating_sub(pace.tolerance()))
    }

    /// Counts one more, unless it is too soon.
    pub(crate) fn take(&self, pace: Pace, now: Instant) -> bool {
        let now = now.as_nanos();
        let latest = now.saturating_add(pace.tolerance());
        let more = |full: u64| (full <= latest).then(|| full.max(now).saturating_add(pace.interval()));
        self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Takes one back as if it had not been counted. Of a bucket that was reset meanwhile there is nothing to take.
    pub(crate) fn put_back(&self, pace: Pace) {
        let less = |full: u64| Some(full.saturating_sub(pace.interval()));
        let _ = self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Forgets what was used.
    pub(crate) fn reset(&self) {
        self.full.store(0, Ordering::Relaxed);
    }
}

/// The greatest rate, in picks a second, and the greatest burst.
pub const CONNECTION_RATE_MAX: u32 = 1_000_000;
const SECOND: u32 = 1_000_000_000;

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (bucket, pace) = (Bucket::default(), Pace::new(10, 3).unwrap());
        let took = |now| (0..10).filter(|_| bucket.take(pace, now)).count();
        assert_eq!(took(at(1_000)), 3);
        assert_eq!(bucket.wait(pace, at(1_000)), Duration::from_millis(100));
        assert_eq!((took(at(1_099)), took(at(1_100)), took(at(1_350))), (0, 1, 2));
        assert_eq!(took(at(60_000)), 3, "no more than a burst is saved up");
        bucket.put_back(pace);
        assert_eq!(took(at(60_000)), 1);
        assert_eq!((Pace::new(0, 5), Pace::new(7, 0).unwrap().burst), (None, 7));
    }

    /// The slot of an overtaken pick may have another owner before the pick is undone.
    #[test]
    fn what_was_forgotten_is_not_taken_back() {
        let (bucket, pace) = (Bucket::default(), Pace::new(10, 3).unwrap());
        assert!(bucket.take(pace, at(1_000)));
        bucket.reset();
        bucket.put_back(pace);
        assert_eq!(bucket.wait(pace, at(1_000)), Duration::ZERO);
        assert_eq!((0..10).filter(|_| bucket.take(pace, at(1_000))).count(), 3);
    }

    proptest! {
        /// Whenever one asks, in any stretch of time no more than the promise comes through; and who asks all the
        /// time gets the rate.
        #[test]
        fn the_promise_holds(rate in 1..CONNECTION_RATE_MAX, burst in 1..50u32,
                             steps in prop::collection::vec(0..3_000_000u64, 1..200)) {
            let (bucket, pace) = (Bucket::default(), Pace::new(rate, burst).unwrap());
            let mut now = 1_000_000_000;
            let mut passed: Vec<u64> = Vec::new();
            for step in steps {
                now += step;
                for _ in 0..3 {
                    if bucket.take(pace, Instant::from_nanos(now)) {
                        passed.push(now);
                    } else {
                        prop_assert!(bucket.wait(pace, Instant::from_nanos(now)) > Duration::ZERO);
                    }
                }
            }
            for (first, start) in passed.iter().enumerate() {
                for (count, end) in passed[first..].iter().enumerate() {
                    let allowed = f64::from(burst) + (end - start) as f64 / 1e9 * f64::from(rate);
                    prop_assert!((count + 1) as f64 <= allowed + 1e-6, "{count} in {}", end - start);
                }
            }
        }
    }

    #[test]
    fn who_waits_as_told_gets_the_rate() {
        for rate in [1, 3, 7, 999, 999_999] {
            let (bucket, pace) = (Bucket::default(), Pace::new(rate, 1).unwrap());
            let (start, mut now) = (at(1_000), at(1_000));
            for _ in 0..100 {
                now = now.saturating_add(bucket.wait(pace, now));
                assert!(bucket.take(pace, now));
            }
            let due = 99.0 / f64::from(rate);
            let took = now.duration_since(start).as_secs_f64();
            assert!(took >= due * 0.999_999 && took <= due * 1.001 + 1e-6, "{rate}: {took} for {due}");
        }
    }
}
