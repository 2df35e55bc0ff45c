//! [`Backoff`]: how long to wait before the next attempt.

use std::time::Duration;

use crate::rng::Rng;
use crate::time::nanos;

/// Waits that double from attempt to attempt up to a bound, each shortened by a random part of its half, so that nodes
/// which lost each other at one moment do not come back at one moment ("equal jitter": Brooker, "Exponential Backoff
/// And Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    /// Waits from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, attempts: 0 }
    }

    /// The next wait, one attempt having failed: half to all of `first · 2^attempts` or of the longest.
    pub fn next(&mut self, rng: &mut Rng) -> Duration {
        // Beyond 2^32 of anything the longest is reached.
        let doubled = self.first.saturating_mul(1 << self.attempts.min(31));
        self.attempts = self.attempts.saturating_add(1);
        Self::jittered(doubled.min(self.longest), rng)
    }

    /// An attempt succeeded: the next wait is the first again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Half to all of `wait`.
    pub fn jittered(wait: Duration, rng: &mut Rng) -> Duration {
        let half = nanos(wait) / 2;
        Duration::from_nanos(half + rng.below(nanos(wait) - half + 1))
    }

    /// How many attempts failed since the last that did not.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_bounds_and_begin_again() {
        let ms = Duration::from_millis;
        let mut rng = Rng::new(1);
        let mut backoff = Backoff::new(ms(50), ms(2_000));
        for bound in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let wait = backoff.next(&mut rng);
            assert!(wait >= ms(bound) / 2 && wait <= ms(bound), "{bound}: {wait:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next(&mut rng) <= ms(2_000));
        }
        assert_eq!(backoff.attempts(), 108);
        backoff.reset();
        assert!(backoff.next(&mut rng) <= ms(50));
    }

    #[test]
    fn a_seed_gives_the_same_waits_and_another_others() {
        let waits = |seed| {
            let (mut rng, mut backoff) =
                (Rng::new(seed), Backoff::new(Duration::from_millis(50), Duration::from_secs(2)));
            (0..8).map(|_| backoff.next(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(waits(3), waits(3));
        assert_ne!(waits(3), waits(4));
    }
}
