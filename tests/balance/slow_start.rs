//! Slow start: how a backend comes into service, under every policy.

use std::time::Duration;

use trimtab::balance::{Admin, BackendId, Lane, Observed, Options, Outcome, Policy, Pool, Request, Timings};
use trimtab::time::Instant;

use crate::support::*;

const WINDOW: Duration = Duration::from_secs(10);

fn slowly(policy: Policy) -> Options {
    Options { policy, slow_start: WINDOW, ..Options::default() }
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// How many of `count` picks at `now` each gets.
fn counts_at(pool: &Pool, ids: &[BackendId], count: usize, now: Instant) -> Vec<usize> {
    let mut counts = vec![0; ids.len()];
    for _ in 0..count {
        let pick = pool.pick(&Request { lane: LANE, now, ..Request::default() }).unwrap();
        pool.done(LANE, pick.token, Outcome::Success, &took(1_000_000), now).unwrap();
        counts[index_of(ids, pick.backend)] += 1;
    }
    counts
}

fn share(pool: &Pool, id: BackendId) -> f64 {
    pool.backend(id).unwrap().share
}

#[test]
fn a_backend_that_comes_back_gets_its_share_little_by_little() {
    let (pool, ids) = pool(slowly(Policy::RoundRobin), &[1, 1]);
    assert_eq!(counts_at(&pool, &ids, 100, at(1_000)), [50, 50], "nothing starts slowly with the pool");
    assert_eq!(pool.next_deadline(), None);
    pool.set_observed_at(ids[0], Observed::Down, at(2_000)).unwrap();
    assert_eq!(counts_at(&pool, &ids, 100, at(2_000)), [0, 100]);
    pool.set_observed_at(ids[0], Observed::Up, at(3_000)).unwrap();
    assert_eq!(counts_at(&pool, &ids, 110, at(3_000)), [10, 100], "a tenth of its weight");
    assert_eq!(counts_at(&pool, &ids, 150, at(8_000)), [50, 100], "half way");
    assert_eq!(pool.backend(ids[0]).unwrap().slow_start, 0.5);
    assert_eq!(counts_at(&pool, &ids, 190, at(12_000)), [90, 100]);
    assert_eq!(counts_at(&pool, &ids, 100, at(13_000)), [50, 50]);
    assert_eq!((pool.backend(ids[0]).unwrap().slow_start, pool.next_deadline()), (1.0, None));
}

/// Each way into service begins it, and a way in that is none does not.
#[test]
fn it_begins_when_a_backend_becomes_usable() {
    let start = |pool: &Pool, id| pool.backend(id).unwrap().slow_start;
    let (pool, ids) = pool(slowly(Policy::Random), &[1, 1, 1]);
    pool.set_observed(ids[0], Observed::Down).unwrap();
    pool.set_observed(ids[0], Observed::Up).unwrap();
    assert_eq!(start(&pool, ids[0]), 1.0, "before the first pick");
    counts_at(&pool, &ids, 1, at(1_000));

    pool.set_observed(ids[1], Observed::Up).unwrap();
    assert_eq!(start(&pool, ids[1]), 1.0, "unknown was usable");
    for state in [Observed::Down, Observed::Ejected] {
        pool.set_observed(ids[1], state).unwrap();
        pool.set_observed(ids[1], Observed::Unknown).unwrap();
        assert_eq!(start(&pool, ids[1]), 0.1, "after {state:?}");
    }
    for order in [Admin::Drain, Admin::Maintenance] {
        pool.set_admin(ids[2], order).unwrap();
        assert_eq!(start(&pool, ids[2]), 1.0);
        pool.set_admin(ids[2], Admin::Ready).unwrap();
        assert_eq!(start(&pool, ids[2]), 0.1, "after {order:?}");
    }
    let added = pool.add(backend(7, 1)).unwrap();
    assert_eq!(start(&pool, added), 0.1);
    // Nobody has said when these began: with the first pick, then.
    counts_at(&pool, &[&ids[..], &[added]].concat(), 1, at(5_000));
    pool.handle_timeout(at(10_000));
    assert_eq!([ids[1], ids[2], added].map(|id| start(&pool, id)), [0.5; 3]);
    // Who leaves service and comes back begins anew.
    pool.set_observed_at(added, Observed::Down, at(10_000)).unwrap();
    pool.handle_timeout(at(12_500));
    pool.set_observed_at(added, Observed::Up, at(12_500)).unwrap();
    assert_eq!(start(&pool, added), 0.1);
    pool.handle_timeout(at(15_000));
    assert_eq!((start(&pool, ids[1]), start(&pool, added)), (1.0, 0.25));
}

#[test]
fn every_policy_that_weighs_follows_it() {
    for policy in [
        Policy::RoundRobin,
        Policy::Random,
        Policy::LeastConnections,
        Policy::PowerOfTwo,
        Policy::PeakEwma,
        Policy::Fastest,
        Policy::Observed,
        Policy::Predictive,
    ] {
        let (pool, ids) = pool(slowly(policy), &[65_535; 8]);
        counts_at(&pool, &ids, 8, at(1));
        pool.set_observed_at(ids[3], Observed::Down, at(2)).unwrap();
        pool.set_observed_at(ids[3], Observed::Up, at(3)).unwrap();
        let first = counts_at(&pool, &ids, 7_100, at(4))[3];
        let middle = counts_at(&pool, &ids, 7_500, at(5_003))[3];
        let last = counts_at(&pool, &ids, 8_000, at(10_004))[3];
        // Weight decides how often two choices see it, too; with idle backends the first drawn wins.
        assert!((60..=140).contains(&first), "{policy:?}: {first} of about 100");
        assert!((400..=600).contains(&middle), "{policy:?}: {middle} of about 500");
        assert!((850..=1_150).contains(&last), "{policy:?}: {last} of about 1000");
    }
}

/// Where weights decide nothing, or place keys, nothing changes.
#[test]
fn static_first_and_the_hash_policies_start_at_once() {
    for policy in [Policy::Static, Policy::First, Policy::Source, Policy::Hash] {
        let (pool, ids) = pool(slowly(policy), &[2, 1]);
        let keys: Vec<_> = (0..100u32).map(|n| pick_key(&pool, &n.to_le_bytes()).backend).collect();
        let (before, shares) = (share(&pool, ids[0]), ids.iter().map(|&id| share(&pool, id)).sum::<f64>());
        pool.set_observed_at(ids[0], Observed::Down, at(2)).unwrap();
        pool.set_observed_at(ids[0], Observed::Up, at(3)).unwrap();
        assert_eq!((share(&pool, ids[0]), shares), (before, 1.0), "{policy:?}");
        assert_eq!((pool.backend(ids[0]).unwrap().slow_start, pool.next_deadline()), (1.0, None));
        if matches!(policy, Policy::Source | Policy::Hash) {
            let again: Vec<_> = (0..100u32).map(|n| pick_key(&pool, &n.to_le_bytes()).backend).collect();
            assert_eq!(keys, again, "{policy:?}: a key moved");
        }
    }
}

/// However many start, and however often one asks, the table is built twenty times in a window.
#[test]
fn the_table_is_built_at_most_so_often() {
    let (pool, ids) = pool(slowly(Policy::RoundRobin), &[1; 50]);
    counts_at(&pool, &ids, 1, at(1));
    let mut seen = Vec::new();
    for ms in 0..10_000 {
        let now = at(1_000 + ms);
        if ms % 200 == 0 {
            let id = ids[ms as usize / 200];
            pool.set_observed_at(id, Observed::Down, now).unwrap();
            pool.set_observed_at(id, Observed::Up, now).unwrap();
        }
        pool.pick(&Request { lane: LANE, now, ..Request::default() }).unwrap();
        if ms % 200 != 0 {
            // Between the changes above only steps change what is due to the first one.
            seen.push(pool.backend(ids[0]).unwrap().slow_start);
        }
    }
    seen.dedup();
    assert!(seen.len() <= 20 && seen.len() >= 15, "{} steps: {seen:?}", seen.len());
    assert!(seen.is_sorted(), "{seen:?}");
}

/// A loop of its own takes the steps when it is told to, and needs no pick for it.
#[test]
fn deadlines_lead_through_the_window() {
    let (pool, ids) = pool(slowly(Policy::LeastConnections), &[1, 1]);
    counts_at(&pool, &ids, 1, at(500));
    pool.set_admin(ids[1], Admin::Maintenance).unwrap();
    pool.set_admin(ids[1], Admin::Ready).unwrap();
    let mut now = at(1_000);
    let mut steps = 0;
    while let Some(due) = pool.next_deadline() {
        assert!(steps < 22, "{due:?}");
        now = now.max(due);
        pool.handle_timeout(now);
        steps += 1;
    }
    assert_eq!(steps, 21, "one tells when it began, twenty lead through the window");
    assert_eq!(pool.backend(ids[1]).unwrap().slow_start, 1.0);
    assert_eq!(now, at(11_000));
}

/// Threads that pick meanwhile take the steps once each, whoever comes first.
#[test]
fn threads_share_the_steps() {
    let pool = Pool::new(Options { lanes: 4, ..slowly(Policy::RoundRobin) }).unwrap();
    let ids = pool.add_all(&[backend(0, 1), backend(1, 1)]).unwrap();
    pool.pick(&Request::default()).unwrap();
    pool.set_observed_at(ids[0], Observed::Down, at(0)).unwrap();
    pool.set_observed_at(ids[0], Observed::Up, at(0)).unwrap();
    std::thread::scope(|scope| {
        for lane in (0..4).map(Lane::Own) {
            let pool = &pool;
            scope.spawn(move || {
                for ms in 0..20_000 {
                    let pick = pool.pick(&Request { lane, now: at(ms), ..Request::default() }).unwrap();
                    pool.done(lane, pick.token, Outcome::Success, &Timings::default(), at(ms)).unwrap();
                }
            });
        }
    });
    assert_eq!((pool.backend(ids[0]).unwrap().slow_start, pool.statistics().in_flight), (1.0, 1));
}
