//! The retry budget: how many picks may be another try at what failed, so that a pool that fails is not failed
//! at twice as often.
//!
//! Envoy's (`RetryBudget` in its circuit breakers): as many retries in flight as `retry_budget` of the picks in
//! flight and waiting, and `retry_min` always. Departures: on by default, and with a `retry_min` that lets all be sent
//! on whom a backend that dies refuses at one moment. A retry is in flight from `retry_begin` to `retry_end`, counted
//! exactly.

use crate::balance::options::Options;
use crate::balance::tickets::{Held, Ticket, Tickets};
use crate::error::{Error, Result};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::Instant;

/// Names one retry in flight of one pool; good for one `retry_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a retry is in flight until it is given to retry_end"]
pub struct Retry(u64);

impl Retry {
    /// The number as C carries it.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The retry that C carried. A made-up number is refused by `retry_end`.
    pub const fn from_u64(retry: u64) -> Self {
        Self(retry)
    }
}

/// The retries of one pool.
#[derive(Debug)]
pub(crate) struct Retries {
    in_flight: AtomicU32,
    refused: AtomicU64,
    /// Spreads tickets over their places.
    turns: AtomicU32,
    tickets: Tickets,
    /// The picks that were in flight when last counted in a pool too large to count every time, and when.
    active: AtomicU64,
    counted: AtomicU64,
}

impl Retries {
    pub(crate) fn new(options: &Options) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            in_flight: AtomicU32::new(0),
            refused: zero(),
            turns: AtomicU32::new(0),
            tickets: Tickets::new(options.picks_max.min(RETRIES_MAX)),
            active: zero(),
            counted: zero(),
        }
    }

    /// How many are in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How many were refused, ever.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Begins one; `None` when as many as `limit` allows are in flight.
    pub(crate) fn begin(&self, limit: Limit, salt: u32) -> Option<Result<Retry>> {
        let more = |count: u32| (u64::from(count) < limit.most).then(|| count + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).ok()?;
        let turn = u64::from(self.turns.fetch_add(1, Ordering::Relaxed));
        let Some(ticket) = self.tickets.take(turn, Held { slot: 0, reserved: false }) else {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            return Some(Err(self.refuse(Limit::places(self.tickets.places()))));
        };
        Some(Ok(Retry(u64::from(ticket.generation ^ salt) << 32 | u64::from(ticket.place))))
    }

    /// Counts one that may not begin, and says why.
    pub(crate) fn refuse(&self, limit: Limit) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::Capacity { what: limit.what, limit: limit.most }
    }

    /// Ends one, once.
    pub(crate) fn end(&self, retry: Retry, salt: u32) -> Result<()> {
        let ticket = Ticket { place: retry.0 as u32, generation: (retry.0 >> 32) as u32 ^ salt };
        self.tickets.give_back(ticket).ok_or(Error::StalePick)?;
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }

    /// How many may be in flight while `pending` wait and as many picks are in flight as `active` counts. In a pool
    /// of more than [`CELLS_COUNTED`] `cells` that count is up to [`ACTIVE_NANOS`] old.
    pub(crate) fn limit(
        &self,
        options: &Options,
        pending: u64,
        cells: usize,
        active: impl Fn() -> u64,
        now: Instant,
    ) -> Limit {
        let fixed = match options.retries_max {
            0 => Limit::places(self.tickets.places()),
            most => Limit { what: "retries_max", most: u64::from(most), is_counted: true },
        };
        let Some(share) = options.retry_budget else { return fixed };
        let least = u64::from(options.retry_min);
        // So many are within the budget whatever the load is: no need to count it.
        let is_counted = u64::from(self.in_flight()) >= least;
        let budget = if is_counted {
            let active = if cells <= CELLS_COUNTED { active() } else { self.recent(active, now) };
            // A tenth of thirty is three, not a little less.
            ((share * (active + pending) as f64 + 1e-9) as u64).max(least)
        } else {
            least
        };
        if budget > fixed.most { fixed } else { Limit { what: "retry_budget", most: budget, is_counted } }
    }

    fn recent(&self, active: impl Fn() -> u64, now: Instant) -> u64 {
        let counted = self.counted.load(Ordering::Acquire);
        if counted != 0 && now.nanos_since(Instant::from_nanos(counted)) < ACTIVE_NANOS {
            return self.active.load(Ordering::Relaxed);
        }
        let active = active();
        self.active.store(active, Ordering::Relaxed);
        self.counted.store(now.as_nanos().max(1), Ordering::Release);
        active
    }
}

/// How many retries may be in flight, and by which option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) what: &'static str,
    pub(crate) most: u64,
    /// Whether it is the limit, and not a part of it that needs no counting.
    pub(crate) is_counted: bool,
}

impl Limit {
    /// As many as there are tokens.
    fn places(places: u32) -> Self {
        Self { what: "retries", most: u64::from(places), is_counted: true }
    }
}

/// The most retries that can be in flight.
pub const RETRIES_MAX: u32 = 1 << 16;
/// Up to how many counters are read for every retry.
const CELLS_COUNTED: usize = 4096;
/// How old the count may be beyond: a millisecond.
const ACTIVE_NANOS: u64 = 1_000_000;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn most(options: &Options, active: u64, pending: u64, in_flight: u32) -> (&'static str, u64) {
        let retries = Retries::new(options);
        retries.in_flight.store(in_flight, Ordering::Relaxed);
        let limit = retries.limit(options, pending, 1, || active, Instant::START);
        (limit.what, limit.most)
    }

    #[test]
    fn the_budget_is_envoys() {
        let options = Options { retry_min: 3, ..Options::default() };
        assert_eq!(most(&Options::default(), 499, 0, 100), ("retry_budget", 100));
        assert_eq!(most(&Options::default(), 505, 0, 100), ("retry_budget", 101));
        assert_eq!(most(&options, 100, 0, 3), ("retry_budget", 20));
        assert_eq!(most(&options, 100, 50, 3), ("retry_budget", 30));
        assert_eq!(most(&options, 10, 0, 3), ("retry_budget", 3));
        assert_eq!(most(&options, 100, 0, 2), ("retry_budget", 3), "not counted while few are in flight");
        let capped = Options { retries_max: 10, ..options.clone() };
        assert_eq!(most(&capped, 100, 0, 3), ("retries_max", 10));
        assert_eq!(most(&capped, 20, 0, 3), ("retry_budget", 4));
        let fixed = Options { retry_budget: None, ..capped };
        assert_eq!(most(&fixed, 0, 0, 3), ("retries_max", 10));
        let free = Options { retries_max: 0, ..fixed };
        assert_eq!(most(&free, 0, 0, 3), ("retries", 65_536));
        let none = Options { retry_budget: Some(0.0), retry_min: 0, ..Options::default() };
        assert_eq!(most(&none, 1_000, 0, 0), ("retry_budget", 0));
    }

    #[test]
    fn a_retry_ends_once() {
        let retries = Retries::new(&Options::default());
        let limit = Limit { what: "retry_budget", most: 2, is_counted: true };
        let first = retries.begin(limit, 7).unwrap().unwrap();
        let second = retries.begin(limit, 7).unwrap().unwrap();
        assert_eq!(retries.begin(limit, 7), None);
        assert_eq!(retries.refuse(limit), Error::Capacity { what: "retry_budget", limit: 2 });
        assert_eq!(retries.end(first, 8), Err(Error::StalePick), "another pool's");
        assert_eq!((retries.end(first, 7), retries.end(first, 7)), (Ok(()), Err(Error::StalePick)));
        assert_eq!((retries.in_flight(), retries.refused()), (1, 1));
        assert_eq!(retries.end(Retry::from_u64(second.as_u64()), 7), Ok(()));
        assert_eq!(retries.end(Retry::from_u64(12_345), 7), Err(Error::StalePick));
    }

    #[test]
    fn a_large_pool_is_counted_once_a_millisecond() {
        let options = Options { retry_min: 3, ..Options::default() };
        let retries = Retries::new(&options);
        retries.in_flight.store(3, Ordering::Relaxed);
        let most = |active: u64, ms: u64| {
            let limit = retries.limit(&options, 0, CELLS_COUNTED + 1, || active, Instant::from_millis(ms));
            limit.most
        };
        assert_eq!((most(100, 5), most(1_000, 5), most(1_000, 6)), (20, 20, 200));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    /// Threads race for the last retry of the budget: one gets it, and what ended can be begun again.
    #[test]
    fn loom_the_budget_is_exact() {
        loom::model(|| {
            let retries = Arc::new(Retries::new(&Options { picks_max: 2, ..Options::default() }));
            let limit = Limit { what: "retry_budget", most: 1, is_counted: true };
            let run = move |retries: &Retries| {
                let begun = retries.begin(limit, 1).map(|begun| begun.unwrap());
                begun.inspect(|retry| retries.end(*retry, 1).unwrap()).is_some()
            };
            let other = {
                let retries = Arc::clone(&retries);
                loom::thread::spawn(move || run(&retries))
            };
            let here = run(&retries);
            assert!(here | other.join().unwrap());
            assert_eq!(retries.in_flight(), 0);
            assert!(retries.begin(limit, 1).is_some() && retries.begin(limit, 1).is_none());
        });
    }
}
