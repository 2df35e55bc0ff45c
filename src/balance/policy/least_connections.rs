//! Least connections, weighted: the smallest `in flight / weight`, compared by cross-multiplication as
//! nginx does. Ties are taken in turn by weight, so that a pool with fewer connections than backends is
//! shared by weight and no light backend starves.
//!
//! Up to [`SCAN_MAX`] serving backends every one is looked at. Beyond, two choices come within a fraction
//! of a connection of that at a cost that does not grow.

use std::cmp::Ordering;

use super::{Ask, connections, onward, power_of_two, weight};
use crate::balance::draw::alias::Alias;
use crate::balance::explain::Trace;
use crate::balance::options::SCAN_MAX;
use crate::rng;

#[derive(Clone, Debug)]
pub(crate) enum Plan {
    Scan,
    TwoChoices(Alias),
}

impl Plan {
    pub(super) fn build(weights: &[u32]) -> Self {
        if weights.len() <= SCAN_MAX { Plan::Scan } else { Plan::TwoChoices(Alias::build(weights)) }
    }

    #[inline(always)]
    pub(super) fn choose(
        &self,
        ask: &Ask<'_>,
        eligible: impl Fn(u32) -> bool,
        trace: &mut impl Trace,
    ) -> Option<u32> {
        match self {
            Plan::Scan => scan(ask, eligible, trace),
            Plan::TwoChoices(alias) => {
                let load = |index| connections(ask, index);
                power_of_two::choose(alias, load, |index| weight(ask, index), ask, eligible, trace)
            }
        }
    }
}

#[inline(never)]
fn scan(ask: &Ask<'_>, eligible: impl Fn(u32) -> bool, trace: &mut impl Trace) -> Option<u32> {
    let mut best = Load::NONE;
    // The weight of all that tie with the best; 0 while there is none.
    let mut tied = 0;
    for index in 0..ask.backends.len() as u32 {
        if !eligible(index) {
            continue;
        }
        let load = Load::of(ask, index);
        trace.considered(index, load.connections as f64 / load.weight as f64);
        match load.compare(best) {
            Ordering::Greater => {}
            Ordering::Equal => tied += load.weight,
            Ordering::Less => {
                best = load;
                tied = load.weight;
            }
        }
    }
    if tied == best.weight {
        return Some(best.index);
    }
    if tied == 0 {
        return None;
    }
    // The golden-ratio sequence serves the tied ones evenly, turn by turn.
    let turn = rng::below(ask.turn.position().wrapping_mul(rng::GAMMA), tied);
    trace.draw("tie", turn);
    let mut passed = 0;
    for index in best.index..ask.backends.len() as u32 {
        let load = Load::of(ask, index);
        if load.compare(best) != Ordering::Greater && eligible(index) {
            passed += load.weight;
            if passed > turn {
                return Some(index);
            }
        }
    }
    // Others picked or finished since the first look.
    onward(ask.backends.len(), best.index, eligible)
}

#[derive(Clone, Copy)]
struct Load {
    index: u32,
    connections: u64,
    weight: u64,
}

impl Load {
    /// Above every load: a pool has at most 2^31 picks in flight.
    const NONE: Load = Load { index: 0, connections: 1 << 40, weight: 1 };

    #[inline(always)]
    fn of(ask: &Ask<'_>, index: u32) -> Self {
        let backend = ask.backends[index as usize];
        Load { index, connections: ask.view.in_flight(backend.slot), weight: u64::from(backend.weight) }
    }

    /// Which is greater for its weight.
    #[inline(always)]
    fn compare(self, other: Load) -> Ordering {
        (self.connections * other.weight).cmp(&(other.connections * self.weight))
    }
}
