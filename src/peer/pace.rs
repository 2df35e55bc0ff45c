//! [`Pace`]: bytes a second.

use std::time::Duration;

use crate::time::{Instant, nanos};

/// Lets so many bytes a second go, and a burst of up to 64 KiB at once. The generic cell rate algorithm (ITU-T I.371,
/// annex A) in its form with a virtual time: one number, whatever the rate.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Bytes a second; 0: no limit.
    rate: u64,
    /// When all that went would have gone, had it gone evenly.
    paid_until: Instant,
}

const BURST_BYTES: u64 = 64 << 10;

impl Pace {
    pub(super) fn new(rate: u64) -> Self {
        Self { rate, paid_until: Instant::START }
    }

    /// Another rate, from now on.
    pub(super) fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
        self.paid_until = Instant::START;
    }

    /// When something may go next; `None`: at once.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        if self.rate == 0 {
            return None;
        }
        let from = self.paid_until.as_nanos().saturating_sub(nanos(self.time_of(BURST_BYTES)));
        (from > now.as_nanos()).then(|| Instant::from_nanos(from))
    }

    /// So many bytes went.
    pub(super) fn spend(&mut self, bytes: u64, now: Instant) {
        if self.rate > 0 {
            self.paid_until = self.paid_until.max(now).saturating_add(self.time_of(bytes));
        }
    }

    fn time_of(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_ten_seconds_is_ten_times_the_rate_and_a_burst() {
        for rate in [10_000u64, 1_000_000, 100_000_000] {
            let mut pace = Pace::new(rate);
            let mut now = Instant::from_millis(500);
            let end = now.saturating_add(Duration::from_secs(10));
            let mut went = 0;
            loop {
                match pace.wait(now) {
                    Some(next) if next > end => break,
                    Some(next) => now = next,
                    None => {
                        pace.spend(1_000, now);
                        went += 1_000;
                    }
                }
            }
            let bound = rate * 10 + BURST_BYTES;
            assert!(went >= rate * 10 && went <= bound + 1_000, "{rate}: {went}");
        }
    }

    #[test]
    fn silence_saves_up_one_burst_and_no_limit_is_none() {
        let mut pace = Pace::new(1_000);
        let now = Instant::from_millis(1_000_000);
        let mut went = 0;
        while pace.wait(now).is_none() {
            pace.spend(1_000, now);
            went += 1_000;
        }
        assert!(went <= BURST_BYTES + 1_000, "{went}");
        pace.set_rate(0);
        pace.spend(u64::MAX, now);
        assert_eq!(pace.wait(now), None);
    }
}
