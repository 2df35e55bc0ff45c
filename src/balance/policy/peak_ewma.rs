//! Peak EWMA (Finagle's `PeakEwma`): two choices by expected wait, `cost * (in flight + 1)`, where the cost
//! jumps to any higher response time at once and comes down with the time constant `decay`.
//!
//! Departures. In Finagle a look at the load also moves the stamp, which under frequent looks turns the
//! average into a decaying maximum; here a look leaves no trace. A failure never lowers the cost, since a
//! backend that fails fast is not a fast one. Each lane measures for itself and takes over whatever
//! another lane measured later (`lane.rs`). A weight divides the load. `exp` is computed to 10^-6.

use std::sync::Arc;
use std::time::Duration;

use super::{Ask, power_of_two, weight};
use crate::balance::draw::alias::Alias;
use crate::balance::explain::Trace;
use crate::balance::lane::Cell;
use crate::sync::Ordering;
use crate::time::{self, Instant};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    alias: Alias,
    /// The weights that divide loads, when they are others than those of the draws.
    whole: Arc<[u32]>,
    per_nano: f64,
    /// So many nanoseconds change a cost by less than a millionth.
    still: u64,
}

impl Plan {
    /// Backends are drawn by `weights`. Whoever starts slowly is compared by its `whole` weight: a load of ten
    /// times its worth would never be the lower of two, and it would get nothing in place of little.
    pub(super) fn build(weights: &[u32], whole: Arc<[u32]>, decay: Duration) -> Self {
        Self {
            alias: Alias::build(weights),
            whole,
            per_nano: per_nano(decay),
            still: time::nanos(decay) / 1_000_000,
        }
    }

    #[inline(always)]
    pub(super) fn choose(
        &self,
        ask: &Ask<'_>,
        eligible: impl Fn(u32) -> bool,
        trace: &mut impl Trace,
    ) -> Option<u32> {
        let load = |index| self.load(ask, index);
        let weight =
            |index: u32| self.whole.get(index as usize).copied().unwrap_or_else(|| weight(ask, index));
        power_of_two::choose(&self.alias, load, weight, ask, eligible, trace)
    }

    #[inline(always)]
    fn load(&self, ask: &Ask<'_>, index: u32) -> f64 {
        let slot = ask.backends[index as usize].slot;
        // In flight first: reading the other lanes may bring a newer cost along.
        let pending = ask.view.in_flight(slot) as f64;
        let cell = ask.view.own(slot);
        let cost = f64::from_bits(cell.cost.load(Ordering::Relaxed));
        if cost == 0.0 {
            // Nothing is known of it: let one pick find out, and keep the others away meanwhile.
            return if pending == 0.0 { 0.0 } else { PENALTY_NANOS + pending };
        }
        let since = ask.now.nanos_since(Instant::from_nanos(cell.stamp.load(Ordering::Relaxed)));
        let cost = if since < self.still { cost } else { cost * remaining(since as f64 * self.per_nano) };
        cost * (pending + 1.0)
    }
}

/// Takes a response time into the cost that `cell` holds.
#[inline]
pub(crate) fn observe(cell: &Cell, nanos: u64, failed: bool, now: Instant, per_nano: f64) {
    let sample = nanos as f64;
    let cost = f64::from_bits(cell.cost.load(Ordering::Relaxed));
    let next = if failed {
        if cost == 0.0 { PENALTY_NANOS } else { cost.max(sample) }
    } else if sample > cost {
        sample
    } else {
        let since = now.nanos_since(Instant::from_nanos(cell.stamp.load(Ordering::Relaxed)));
        let kept = remaining(since as f64 * per_nano);
        cost * kept + sample * (1.0 - kept)
    };
    // Two threads that share a lane may lose one of two samples taken at the same moment; the next one
    // mends it.
    cell.cost.store(next.to_bits(), Ordering::Relaxed);
    cell.stamp.store(now.as_nanos().max(1), Ordering::Relaxed);
}

/// The load of a backend nothing is known of while it has a pick in flight: above any response time.
const PENALTY_NANOS: f64 = 1e15;

/// How many time constants a nanosecond is.
pub(crate) fn per_nano(decay: Duration) -> f64 {
    1.0 / time::nanos(decay) as f64
}

/// `exp(-x)` for `x >= 0`, to a relative 10^-7: a power of two put into the exponent, times a polynomial
/// for the fraction. Only additions and multiplications, so every machine gets the same bits.
#[inline]
fn remaining(x: f64) -> f64 {
    if x < SHORT {
        // Busy backends were looked at a moment ago; the term left out is below 2e-10.
        return 1.0 - x + x * x * 0.5;
    }
    let turns = x * std::f64::consts::LOG2_E;
    if turns >= 1000.0 {
        return 0.0;
    }
    let whole = (turns + 0.5) as u64;
    let rest = (whole as f64 - turns) * std::f64::consts::LN_2;
    // The Taylor series within ln 2 / 2 of zero; the first term left out is below 6e-9.
    let power = 1.0
        + rest
            * (1.0
                + rest
                    * (1.0 / 2.0
                        + rest
                            * (1.0 / 6.0
                                + rest
                                    * (1.0 / 24.0
                                        + rest * (1.0 / 120.0 + rest * (1.0 / 720.0 + rest / 5040.0))))));
    power * f64::from_bits((1023 - whole) << 52)
}

const SHORT: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: f64 = 1e-10;

    fn cost(cell: &Cell) -> f64 {
        f64::from_bits(cell.cost.load(Ordering::Relaxed))
    }

    #[test]
    fn exp_is_close_everywhere() {
        for step in 0..4000 {
            let x = f64::from(step) * 0.01;
            let wanted = (-x).exp();
            assert!((remaining(x) - wanted).abs() <= wanted * 1.5e-7, "{x}: {} {wanted}", remaining(x));
        }
        assert_eq!(remaining(1e9), 0.0);
    }

    #[test]
    fn jumps_up_at_once_and_comes_down_slowly() {
        let cell = Cell::default();
        let second = |s: u64| Instant::from_millis(s * 1000);
        observe(&cell, 1_000, false, second(1), DECAY);
        observe(&cell, 9_000, false, second(1), DECAY);
        assert_eq!(cost(&cell), 9_000.0);
        observe(&cell, 1_000, false, second(11), DECAY);
        let wanted = 9_000.0 * (-1f64).exp() + 1_000.0 * (1.0 - (-1f64).exp());
        assert!((cost(&cell) - wanted).abs() < 0.01, "{} {wanted}", cost(&cell));
    }

    #[test]
    fn a_failure_never_makes_a_backend_look_fast() {
        let cell = Cell::default();
        observe(&cell, 10, true, Instant::from_millis(1), DECAY);
        assert_eq!(cost(&cell), PENALTY_NANOS);
        let cell = Cell::default();
        observe(&cell, 5_000, false, Instant::from_millis(1), DECAY);
        observe(&cell, 10, true, Instant::from_millis(60_000), DECAY);
        assert_eq!(cost(&cell), 5_000.0);
    }
}
