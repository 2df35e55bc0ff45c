//! What a pool counted. Reading takes no lock and stops nobody; the figures of one answer are read one
//! after another, so under load they may differ by what happened in between.

use serde::Serialize;

use crate::balance::backend::{Admin, BackendId, Observed};
use crate::balance::lane::Lane;
use crate::sync::{AtomicU64, Ordering};

/// One pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolStatistics {
    /// Backends in the pool.
    pub backends: u32,
    /// Backends that may be picked now.
    pub serving: u32,
    /// Whether a tier panics: it serves whatever was observed of its backends.
    pub panic: bool,
    /// Picks made of the backends now in the pool.
    pub picks: u64,
    /// Of these, not reported done.
    pub in_flight: u64,
    /// Picks that found no backend.
    pub refused: u64,
    /// The most picks in flight now: the pool's `maxconn`, or a lower one found by response times; 0 for none.
    pub limit: u32,
    /// How many wait for a place.
    pub pending: u64,
    /// Retries in flight.
    pub retries: u32,
    /// Retries that were not within the budget.
    pub retries_refused: u64,
    /// How often a backend was ejected as an outlier.
    pub ejections: u64,
    /// Backends that are ejected now, by whoever it was.
    pub ejected: u32,
}

/// One backend, since it was added.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackendStatistics {
    /// Which one.
    pub id: BackendId,
    /// Its name.
    pub name: String,
    /// Its address as text.
    pub address: String,
    /// Its weight now.
    pub weight: u32,
    /// Its limit; 0 for none.
    pub maxconn: u32,
    /// The most picks in flight now: its `maxconn`, or a lower one found by response times; 0 for none.
    pub limit: u32,
    /// The most picks a second; 0 for no limit.
    pub connection_rate: u32,
    /// How many of them may come at once; 0 for one second's.
    pub connection_burst: u32,
    /// Its tier.
    pub tier: u8,
    /// The owner's number.
    pub tag: u64,
    /// What was ordered.
    pub admin: Admin,
    /// What was observed.
    pub observed: Observed,
    /// When that came to be, on the pool's clock; `None` while nobody has said.
    pub observed_since_ns: Option<u64>,
    /// Why, in one line, when that was said.
    pub reason: Option<String>,
    /// Whether it may be picked now, its `maxconn` aside.
    pub serving: bool,
    /// The part of its weight that counts: below 1 while it starts slowly.
    pub slow_start: f64,
    /// Errors in a row, where outliers are ejected.
    pub consecutive_errors: u32,
    /// Picks made.
    pub picks: u64,
    /// Picks not reported done.
    pub in_flight: u64,
    /// Reported done, by outcome.
    pub outcomes: Outcomes,
    /// The mean of the response times reported, in nanoseconds; 0 when there was none.
    pub response_mean_ns: u64,
    /// The part of new picks it is due: its weight over all, or what its policy measured. 0 to 1.
    pub share: f64,
}

/// Picks reported done, by how they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// It answered.
    pub success: u64,
    /// It could not be reached.
    pub connect_failed: u64,
    /// It answered with an error, or broke off.
    pub failed: u64,
    /// It did not answer in time.
    pub timed_out: u64,
    /// The client left, which says nothing about the backend.
    pub cancelled: u64,
}

/// One slot's monotonic counters, over all lanes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) picks: u64,
    pub(crate) dones: u64,
    pub(crate) latency_sum: u64,
    pub(crate) latency_count: u64,
    /// Connect failed, failed, timed out, cancelled.
    pub(crate) unsuccessful: [u64; 4],
}

impl Totals {
    pub(crate) fn read(lanes: &[Lane], slot: u32, unsuccessful: &[AtomicU64; 4]) -> Self {
        let mut totals = Totals::default();
        // All dones before all picks: a pick made on one lane and done on another is not seen done only.
        for lane in lanes {
            totals.dones += lane.cell(slot).dones.load(Ordering::Acquire);
        }
        for lane in lanes {
            let cell = lane.cell(slot);
            totals.picks += cell.picks.load(Ordering::Relaxed);
            totals.latency_count += cell.latency_count.load(Ordering::Relaxed);
            totals.latency_sum = totals.latency_sum.wrapping_add(cell.latency_sum.load(Ordering::Relaxed));
        }
        totals.unsuccessful = std::array::from_fn(|kind| unsuccessful[kind].load(Ordering::Relaxed));
        totals
    }

    /// What came since `base`.
    pub(crate) fn since(self, base: Totals) -> Self {
        Totals {
            picks: self.picks.saturating_sub(base.picks),
            dones: self.dones.saturating_sub(base.dones),
            latency_sum: self.latency_sum.wrapping_sub(base.latency_sum),
            latency_count: self.latency_count.saturating_sub(base.latency_count),
            unsuccessful: std::array::from_fn(|kind| {
                self.unsuccessful[kind].saturating_sub(base.unsuccessful[kind])
            }),
        }
    }

    pub(crate) fn outcomes(&self) -> Outcomes {
        let [connect_failed, failed, timed_out, cancelled] = self.unsuccessful;
        let unsuccessful = connect_failed + failed + timed_out + cancelled;
        Outcomes {
            success: self.dones.saturating_sub(unsuccessful),
            connect_failed,
            failed,
            timed_out,
            cancelled,
        }
    }

    pub(crate) fn response_mean_ns(&self) -> u64 {
        self.latency_sum.checked_div(self.latency_count).unwrap_or(0)
    }
}
