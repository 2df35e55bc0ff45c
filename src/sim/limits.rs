//! [`Limits`]: what a world's pool is limited to, and what must follow from it, worked out anew from the promise
//! rather than as the pool does it.

use std::time::Duration;

use crate::balance::{Backend, Options, RETRIES_MAX};
use crate::rng::Rng;
use crate::time::Instant;

/// So many a second, and so many at once.
#[derive(Clone, Debug)]
struct Rate {
    rate: u32,
    burst: u32,
    /// When something was picked.
    picks: Vec<Instant>,
}

/// The limits of one world.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) maxconn: u64,
    pub(super) pending_max: u64,
    budget: Option<f64>,
    retry_min: u64,
    retries_max: u64,
    pool: Option<Rate>,
    backends: Vec<Option<Rate>>,
    /// Picks of each backend that were seen.
    seen: Vec<u64>,
}

/// What a rate may be late by: waits are counted in milliseconds.
const LATE: Duration = Duration::from_millis(2);

impl Rate {
    fn draw(rng: &mut Rng) -> Option<Self> {
        let is_limited = rng.below(3) == 0;
        let (rate, burst) = (2 + rng.below(30) as u32, 1 + rng.below(4) as u32);
        is_limited.then_some(Self { rate, burst, picks: Vec::new() })
    }

    /// Whether in every stretch of time that ends at `now` one more is within the promise.
    fn has_room(&self, now: Instant) -> bool {
        self.picks.iter().rev().zip(2u32..).all(|(start, count)| {
            let allowed =
                f64::from(self.burst) + now.duration_since(*start).as_secs_f64() * f64::from(self.rate);
            f64::from(count) <= allowed + 1e-6
        })
    }
}

impl Limits {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut maybe = |most: u64| if rng.below(3) == 0 { 1 + rng.below(most) } else { 0 };
        let (maxconn, pending_max, retries_max) = (maybe(8), maybe(6), maybe(3));
        let budget = [None, Some(0.0), Some(0.2), Some(0.5)][rng.below(4) as usize];
        let retry_min = rng.below(4);
        let pool = Rate::draw(rng);
        let (backends, seen) = (Vec::new(), Vec::new());
        Self { maxconn, pending_max, budget, retry_min, retries_max, pool, backends, seen }
    }

    pub(super) fn apply(&self, options: Options) -> Options {
        Options {
            maxconn: self.maxconn as u32,
            pending_max: self.pending_max as u32,
            retry_budget: self.budget,
            retry_min: self.retry_min as u32,
            retries_max: self.retries_max as u32,
            connection_rate: self.pool.as_ref().map_or(0, |rate| rate.rate),
            connection_burst: self.pool.as_ref().map_or(0, |rate| rate.burst),
            ..options
        }
    }

    /// Draws the rate of one more backend.
    pub(super) fn limit(&mut self, backend: &mut Backend, rng: &mut Rng) {
        let rate = Rate::draw(rng);
        if let Some(rate) = &rate {
            (backend.connection_rate, backend.connection_burst) = (rate.rate, rate.burst);
        }
        self.backends.push(rate);
        self.seen.push(0);
    }

    /// The backend was picked so many times by now.
    pub(super) fn see(&mut self, at: usize, picks: u64, now: Instant) -> Result<(), String> {
        for _ in self.seen[at]..picks {
            for (whose, rate) in [("pool", &mut self.pool), ("backend", &mut self.backends[at])] {
                let Some(rate) = rate else { continue };
                if !rate.has_room(now) {
                    return Err(format!("a {whose} is picked faster than {} a second", rate.rate));
                }
                rate.picks.push(now);
            }
        }
        self.seen[at] = picks;
        Ok(())
    }

    /// Whether the rates of the pool and of this backend have had room for longer than anybody need wait.
    pub(super) fn has_room(&self, at: usize, now: Instant) -> bool {
        let earlier = Instant::from_nanos(now.as_nanos().saturating_sub(LATE.as_nanos() as u64));
        [&self.pool, &self.backends[at]].into_iter().flatten().all(|rate| {
            // What was picked since is no reason to have waited.
            rate.picks.last().is_none_or(|last| *last <= earlier) && rate.has_room(earlier)
        })
    }

    /// How many retries may be in flight while as many picks are in flight or waiting.
    pub(super) fn retries(&self, load: u64) -> u64 {
        let most = if self.retries_max > 0 { self.retries_max } else { u64::from(RETRIES_MAX) };
        let Some(share) = self.budget else { return most };
        // In thousandths, so that no rounding is shared with the pool.
        let share = (share * 1_000.0).round() as u64 * load / 1_000;
        share.max(self.retry_min).min(most)
    }
}
