//! The policies. A [`Plan`] is a policy's own arrays over the serving backends; choosing reads them and
//! the counters, and changes nothing.

mod first;
mod hashed;
mod least_connections;
pub(crate) mod measured;
pub(crate) mod peak_ewma;
mod power_of_two;
mod random;
mod round_robin;

use std::sync::Arc;

use crate::balance::draw::alias::Alias;
use crate::balance::draw::golden::Golden;
use crate::balance::draw::order::Order;
use crate::balance::explain::Trace;
use crate::balance::lane::{Turn, View};
use crate::balance::member::{Hot, Member};
use crate::balance::options::{Options, Policy};
use crate::balance::slow_start;
use crate::time::Instant;

/// A policy over the serving backends of one table. Indices count these. A clone shares the arrays.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Nothing serves.
    Nobody,
    /// Round robin and static.
    Turns(Order),
    First,
    Random(Alias),
    LeastConnections(least_connections::Plan),
    PowerOfTwo(Alias),
    PeakEwma(peak_ewma::Plan),
    /// Fastest, observed and predictive: turns by weights that change in place.
    Measured(Golden),
    Hashed(hashed::Plan),
}

/// One pick as a policy sees it.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) backends: &'a [Hot],
    pub(crate) total_weight: u64,
    pub(crate) view: View<'a>,
    pub(crate) turn: Turn,
    pub(crate) key: &'a [u8],
    pub(crate) now: Instant,
}

impl Plan {
    /// `hot` are the weights by which `serving` share.
    pub(crate) fn build(
        options: &Options,
        serving: &[&Member],
        hot: &[Hot],
        share: &dyn Fn(u32) -> f64,
    ) -> Self {
        if serving.is_empty() {
            return Plan::Nobody;
        }
        let weights: Vec<u32> = hot.iter().map(|backend| backend.weight).collect();
        match options.policy {
            Policy::RoundRobin => Plan::Turns(Order::build(&weights)),
            Policy::Static => {
                let weights: Vec<u32> = serving.iter().map(|member| member.first_weight).collect();
                Plan::Turns(Order::build(&weights))
            }
            Policy::First => Plan::First,
            Policy::Random => Plan::Random(Alias::build(&weights)),
            Policy::LeastConnections => Plan::LeastConnections(least_connections::Plan::build(&weights)),
            Policy::PowerOfTwo => Plan::PowerOfTwo(Alias::build(&weights)),
            Policy::PeakEwma => {
                let is_starting = serving.iter().any(|member| member.start.is_some());
                let whole = |member: &&Member| slow_start::weight(options, member.weight, None);
                let whole = if is_starting { serving.iter().map(whole).collect() } else { Arc::default() };
                Plan::PeakEwma(peak_ewma::Plan::build(&weights, whole, options.decay))
            }
            Policy::Fastest | Policy::Observed | Policy::Predictive => {
                let turns = Golden::from_weights(&weights);
                turns.update(|index| f64::from(weights[index]) * share(serving[index].slot));
                Plan::Measured(turns)
            }
            Policy::Source | Policy::Hash => Plan::Hashed(hashed::Plan::build(options, serving)),
        }
    }

    /// The index of the backend to pick among those that `eligible` admits; `None` when there is none.
    #[inline(always)]
    pub(crate) fn choose(
        &self,
        ask: &Ask<'_>,
        eligible: impl Fn(u32) -> bool,
        trace: &mut impl Trace,
    ) -> Option<u32> {
        match self {
            Plan::Nobody => None,
            Plan::Turns(order) => round_robin::choose(|at| order.at(at), ask, eligible, trace),
            Plan::First => first::choose(ask, eligible, trace),
            Plan::Random(alias) => random::choose(alias, ask, eligible, trace),
            Plan::LeastConnections(plan) => plan.choose(ask, eligible, trace),
            Plan::PowerOfTwo(alias) => {
                let load = |index| connections(ask, index);
                power_of_two::choose(alias, load, |index| weight(ask, index), ask, eligible, trace)
            }
            Plan::PeakEwma(plan) => plan.choose(ask, eligible, trace),
            Plan::Measured(turns) => round_robin::choose(|at| turns.at(at), ask, eligible, trace),
            Plan::Hashed(plan) => plan.choose(ask, eligible, trace),
        }
    }

    /// Whether it has its arrays from `other`, for policies whose arrays take long to build or are measured.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Plan::Measured(turns), Plan::Measured(others)) => turns.is_clone_of(others),
            (Plan::Hashed(plan), Plan::Hashed(other)) => plan.is_clone_of(other),
            _ => false,
        }
    }

    /// The part of new picks that the serving backend at `index` is due, all else being equal.
    pub(crate) fn share(&self, index: u32, weight: u32, total_weight: u64) -> f64 {
        match self {
            Plan::Measured(turns) => turns.share(index),
            _ => f64::from(weight) / total_weight as f64,
        }
    }
}

/// Connections in flight.
#[inline(always)]
fn connections(ask: &Ask<'_>, index: u32) -> u64 {
    ask.view.in_flight(ask.backends[index as usize].slot)
}

/// By what the policy weighs.
#[inline(always)]
fn weight(ask: &Ask<'_>, index: u32) -> u32 {
    ask.backends[index as usize].weight
}

/// The first eligible index from `from` on, round the table once.
#[cold]
fn onward(len: usize, from: u32, eligible: impl Fn(u32) -> bool) -> Option<u32> {
    let len = len as u32;
    (from..len).chain(0..from.min(len)).find(|&index| eligible(index))
}

/// How often a policy tries its own way before it takes the next eligible backend in line. It comes to
/// that only when many backends are at their `maxconn`.
const TRIES: u64 = 16;
