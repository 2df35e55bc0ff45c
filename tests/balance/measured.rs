//! Fastest, observed, predictive: weights follow what is measured.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use trimtab::balance::{BackendId, Formula, Options, Outcome, Policy, Pool, Request, Token};
use trimtab::time::Instant;

use crate::support::*;

/// Servers whose response time is a function of time, asked at a steady rate.
struct World {
    pool: Pool,
    ids: Vec<BackendId>,
    now_ms: u64,
    open: BinaryHeap<Reverse<(u64, u64, u64)>>,
}

impl World {
    fn new(options: Options, weights: &[u32]) -> Self {
        let (pool, ids) = pool(options, weights);
        World { pool, ids, now_ms: 1_000, open: BinaryHeap::new() }
    }

    /// Runs for `ms`, one request every `every_ms`; `time(server, now)` is its response time. Gives the share
    /// each server got.
    fn run(&mut self, ms: u64, every_ms: u64, time: impl Fn(usize, u64) -> u64) -> Vec<f64> {
        let mut counts = vec![0.0; self.ids.len()];
        let end = self.now_ms + ms;
        while self.now_ms < end {
            while let Some(&Reverse((at, token, took_ms))) = self.open.peek()
                && at <= self.now_ms
            {
                self.open.pop();
                let now = Instant::from_millis(at);
                self.pool
                    .done(LANE, Token::from_u64(token), Outcome::Success, &took(took_ms * 1_000_000), now)
                    .unwrap();
            }
            let now = Instant::from_millis(self.now_ms);
            let pick = self.pool.pick(&Request { lane: LANE, now, ..Request::default() }).unwrap();
            let server = index_of(&self.ids, pick.backend);
            counts[server] += 1.0;
            let took_ms = time(server, self.now_ms);
            self.open.push(Reverse((self.now_ms + took_ms, pick.token.as_u64(), took_ms)));
            self.now_ms += every_ms;
        }
        let total: f64 = counts.iter().sum();
        counts.iter().map(|count| count / total).collect()
    }
}

fn with(policy: Policy) -> Options {
    Options { policy, ..Options::default() }
}

#[test]
fn fastest_serves_most_and_leaves_the_others_a_floor() {
    let mut world = World::new(with(Policy::Fastest), &[1, 1, 1]);
    world.run(10_000, 2, |server, _| [50, 10, 50][server]);
    let shares = world.run(20_000, 2, |server, _| [50, 10, 50][server]);
    assert!(shares[1] > 0.94, "{shares:?}");
    assert!((0.015..0.025).contains(&shares[0]) && (0.015..0.025).contains(&shares[2]), "{shares:?}");
}

#[test]
fn near_equals_share_the_traffic() {
    let mut world = World::new(with(Policy::Fastest), &[1, 3, 1]);
    world.run(10_000, 2, |server, _| [100, 103, 300][server]);
    let shares = world.run(20_000, 2, |server, _| [100, 103, 300][server]);
    assert!((0.22..0.27).contains(&shares[0]) && (0.70..0.77).contains(&shares[1]), "{shares:?}");
}

#[test]
fn a_server_that_became_fast_again_is_found() {
    for policy in [Policy::Fastest, Policy::Observed, Policy::Predictive, Policy::PeakEwma] {
        let mut world = World::new(with(policy), &[1, 1]);
        let sick = world.run(60_000, 5, |server, _| [20, 400][server]);
        assert!(sick[1] < 0.35, "{policy:?}: {sick:?}");
        let well = |server: usize, _: u64| [20, 2][server];
        world.run(60_000, 5, well);
        let shares = world.run(20_000, 5, well);
        let due = if policy == Policy::PeakEwma { 0.45 } else { 0.55 };
        assert!(shares[1] > due, "{policy:?}: {shares:?}");
    }
}

#[test]
fn observed_shares_in_proportion_and_never_takes_all() {
    let mut world = World::new(with(Policy::Observed), &[1, 1]);
    world.run(20_000, 5, |server, _| [20, 60][server]);
    let shares = world.run(40_000, 5, |server, _| [20, 60][server]);
    assert!((0.6..0.95).contains(&shares[0]), "{shares:?}");
    assert!(shares[1] > 0.05, "{shares:?}");
}

/// Response times cross: A goes from 80 to 20 ms, B from 20 to 80 ms, over 30 s, at 200 requests a second.
/// Observed gives A half the traffic after the lines cross; predictive must do so before observed does, and
/// before the crossing.
#[test]
fn predictive_leads_observed_at_a_crossing() {
    let crossing = |policy| {
        let mut world = World::new(with(policy), &[1, 1]);
        let steady = |server: usize, _: u64| [80, 20][server];
        world.run(30_000, 5, steady);
        let start = world.now_ms;
        let change = move |server: usize, now: u64| {
            let moved = ((now - start) * 60 / 30_000).min(60);
            [80 - moved, 20 + moved][server]
        };
        (0..60)
            .find(|_| world.run(500, 5, change)[0] >= 0.5)
            .map(|half| (half + 1) as f64 * 0.5)
            .expect("A is the faster one at the end")
    };
    let (observed, predictive) = (crossing(Policy::Observed), crossing(Policy::Predictive));
    assert!(predictive + 1.0 <= observed, "observed after {observed} s, predictive after {predictive} s");
    assert!(
        predictive < 15.0 && observed > 14.0,
        "observed after {observed} s, predictive after {predictive} s"
    );
}

#[test]
fn predictive_is_observed_while_nothing_changes() {
    let shares = |policy| {
        let mut world = World::new(with(policy), &[2, 1, 1]);
        world.run(60_000, 5, |server, _| [30, 30, 90][server]);
        world.run(30_000, 5, |server, _| [30, 30, 90][server])
    };
    let (observed, predictive) = (shares(Policy::Observed), shares(Policy::Predictive));
    for (one, other) in observed.iter().zip(&predictive) {
        assert!((one - other).abs() < 0.03, "{observed:?} {predictive:?}");
    }
}

/// F5's published ratios: 3 below the average count, 2 above; and 1 to 4 by its movement.
#[test]
fn the_f5_formula_counts_connections_only() {
    let options = Options { formula: Formula::F5K6406, ..with(Policy::Observed) };
    let mut world = World::new(options, &[1, 1]);
    world.run(30_000, 5, |server, _| [20, 200][server]);
    let shares = world.run(10_000, 5, |server, _| [20, 200][server]);
    assert!((0.58..0.62).contains(&shares[0]), "3 to 2: {shares:?}");

    let options = Options { formula: Formula::F5K6406, ..with(Policy::Predictive) };
    let (pool, ids) = pool(options, &[1, 1]);
    let at = |ms| Instant::from_millis(ms);
    let mut held = Vec::new();
    // The first backend's count rises every second, the second one's falls to none and stays.
    for second in 1..=8u64 {
        for part in 0..8 {
            pool.handle_timeout(at(second * 1_000 + part * 125));
        }
        for _ in 0..4 {
            let pick = pool
                .pick(&Request { lane: LANE, now: at(second * 1_000 + 900), ..Request::default() })
                .unwrap();
            if pick.backend == ids[0] { held.push(pick) } else { done(&pool, pick.token) }
        }
    }
    let shares = [pool.backend(ids[0]).unwrap().share, pool.backend(ids[1]).unwrap().share];
    assert!((shares[0] - 1.0 / 3.0).abs() < 0.01, "1 to 2: {shares:?}");
}

#[test]
fn the_deadline_is_an_eighth_of_a_tick() {
    let (pool, _) = pool(with(Policy::Observed), &[1, 1]);
    pool.handle_timeout(Instant::from_millis(5_000));
    assert_eq!(pool.next_deadline(), Some(Instant::from_millis(5_125)));
    pool.handle_timeout(Instant::from_millis(5_124));
    assert_eq!(pool.next_deadline(), Some(Instant::from_millis(5_125)), "too early changes nothing");
    pool.handle_timeout(Instant::from_millis(9_000));
    assert_eq!(pool.next_deadline(), Some(Instant::from_millis(9_125)), "missed ones are not made up for");
    let (plain, _) = crate::support::pool(Options::default(), &[1]);
    assert_eq!(plain.next_deadline(), None);
}
