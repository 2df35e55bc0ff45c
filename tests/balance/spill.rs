//! Tiers that share the load by how many of their backends are usable.

use trimtab::balance::{BackendId, Backups, Hash, Observed, Options, Policy, Pool, Request, Verdict};
use trimtab::error::{Error, NoBackend};

use crate::support::*;

/// Tiers of so many backends each.
fn tiers(options: Options, sizes: &[usize]) -> (Pool, Vec<Vec<BackendId>>) {
    let (pool, ids) =
        pool(Options { backups: Backups::Spill, ..options }, &vec![1; sizes.iter().sum::<usize>()]);
    let mut rest = ids.into_iter();
    let tiers: Vec<Vec<_>> = sizes.iter().map(|&size| rest.by_ref().take(size).collect()).collect();
    pool.update(|edit| {
        let numbered = (0u8..).zip(&tiers).flat_map(|(number, ids)| ids.iter().map(move |&id| (number, id)));
        numbered.into_iter().try_for_each(|(number, id)| edit.set_tier(id, number))
    })
    .unwrap();
    (pool, tiers)
}

fn down(pool: &Pool, ids: &[BackendId]) {
    pool.update(|edit| ids.iter().try_for_each(|&id| edit.set_observed(id, Observed::Down))).unwrap();
}

/// How many of `count` picks, of as many keys, each tier gets.
fn per_tier(pool: &Pool, tiers: &[Vec<BackendId>], count: u32) -> Vec<u32> {
    let mut counts = vec![0; tiers.len()];
    for n in 0..count {
        let pick = pick_key(pool, &n.to_le_bytes());
        done(pool, pick.token);
        counts[tiers.iter().position(|ids| ids.contains(&pick.backend)).unwrap()] += 1;
    }
    counts
}

/// The examples of Envoy's documentation, under every policy.
#[test]
fn tiers_take_what_those_below_leave() {
    for (name, policy) in Policy::NAMES {
        let (pool, tiers) = tiers(Options { policy, ..Options::default() }, &[4, 4, 4]);
        let near = |expected: [u32; 3]| {
            let had = per_tier(&pool, &tiers, 4_000);
            let slack = if matches!(policy, Policy::Source | Policy::Hash) { 120 } else { 8 };
            let close = had.iter().zip(expected).all(|(had, due)| had.abs_diff(due * 40) <= slack);
            assert!(close, "{name}: {had:?} is not {expected:?} percent");
        };
        near([100, 0, 0]);
        down(&pool, &tiers[0][..1]);
        near([100, 0, 0]);
        down(&pool, &tiers[0][..2]);
        near([70, 30, 0]);
        down(&pool, &tiers[0][..3]);
        near([35, 65, 0]);
        down(&pool, &tiers[1][..3]);
        near([35, 35, 30]);
        down(&pool, &tiers[2][..3]);
        near([35, 35, 30]);
        // 35 % and 35 %: in proportion, and nobody panics without a threshold.
        down(&pool, &tiers[2]);
        near([50, 50, 0]);
        assert!(!pool.statistics().panic, "{name}");
        down(&pool, &tiers.concat());
        let request = Request { lane: LANE, now: NOW, ..Request::default() };
        let refused = pool.pick(&request).unwrap_err();
        assert_eq!(refused, Error::NoBackend(NoBackend::Unusable { backends: 12 }), "{name}");
    }
}

#[test]
fn within_a_tier_its_backends_share_evenly() {
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastConnections, Policy::Fastest] {
        let (pool, tiers) = tiers(Options { policy, ..Options::default() }, &[4, 3]);
        down(&pool, &tiers[0][..2]);
        let mut counts = [0u32; 7];
        let ids = tiers.concat();
        for _ in 0..12_000 {
            let pick = pick(&pool);
            done(&pool, pick.token);
            counts[index_of(&ids, pick.backend)] += 1;
        }
        // 70 % over two, 30 % over three.
        let due = [0, 0, 4_200, 4_200, 1_200, 1_200, 1_200];
        let slack = if policy == Policy::Random { 250 } else { 40 };
        assert!(
            counts.iter().zip(due).all(|(had, due)| had.abs_diff(due) <= slack),
            "{policy:?}: {counts:?}"
        );
        let shares: Vec<_> = ids.iter().map(|&id| (pool.backend(id).unwrap().share * 1e4) as u32).collect();
        assert!(shares.iter().zip([0, 0, 3_500, 3_500, 1_000, 1_000, 1_000]).all(|(a, b)| a.abs_diff(b) < 3));
    }
}

#[test]
fn a_key_keeps_its_tier_while_the_loads_stay() {
    for hash in [Hash::Ring, Hash::Maglev, Hash::Rendezvous] {
        let (pool, tiers) = tiers(Options { policy: Policy::Hash, hash, ..Options::default() }, &[4, 4]);
        down(&pool, &tiers[0][..2]);
        let place = |n: u32| {
            let pick = pick_key(&pool, &n.to_le_bytes());
            done(&pool, pick.token);
            pick.backend
        };
        let first: Vec<_> = (0..500).map(place).collect();
        assert_eq!(first, (0..500).map(place).collect::<Vec<_>>());
        assert!(first.iter().any(|id| tiers[0].contains(id)) && first.iter().any(|id| tiers[1].contains(id)));
    }
}

#[test]
fn panic_follows_envoys_table() {
    let options = Options { panic_threshold: 50, ..Options::default() };
    let (pool, tiers) = tiers(options, &[4, 4]);
    down(&pool, &tiers[0][..3]);
    assert!(!pool.statistics().panic, "35 % and 100 % are enough");
    down(&pool, &tiers[1][..3]);
    assert!(pool.statistics().panic);
    assert_eq!(pool.statistics().serving, 8);
    let had = per_tier(&pool, &tiers, 1_000);
    assert!(had.iter().all(|had| had.abs_diff(500) < 4), "{had:?}");
    let why = pool.explain(&Request { lane: LANE, now: NOW, ..Request::default() }).unwrap();
    let told: Vec<_> = why.tiers.iter().map(|t| (t.tier, t.ready, t.usable, t.load, t.panic)).collect();
    assert_eq!(told, [(0, 4, 1, 0.5, true), (1, 4, 1, 0.5, true)]);
    assert!(why.panic);
}

/// A tier without room is no reason to refuse while another that serves has some.
#[test]
fn a_full_tier_gives_way_to_the_next() {
    let (pool, tiers) = tiers(Options::default(), &[2, 1, 1]);
    down(&pool, &tiers[0][..1]);
    for id in [tiers[0][1], tiers[1][0]] {
        pool.set_maxconn(id, 10).unwrap();
    }
    let held: Vec<_> = (0..20).map(|_| pick(&pool)).collect();
    for id in [tiers[0][1], tiers[1][0]] {
        assert_eq!(pool.backend(id).unwrap().in_flight, 10);
    }
    let request = Request { lane: LANE, now: NOW, ..Request::default() };
    // The third tier has no part of the load: it stands by.
    assert_eq!(pool.pick(&request).unwrap_err(), Error::NoBackend(NoBackend::Full { backends: 2 }));
    let why = pool.explain(&request).unwrap();
    assert_eq!((why.backends[3].verdict, why.tiers[2].load), (Verdict::Standby, 0.0));
    held.iter().for_each(|pick| done(&pool, pick.token));
    // One to avoid likewise, whichever tier is drawn.
    for _ in 0..20 {
        let request = Request { avoid: &tiers[0], ..request };
        let pick = pool.pick(&request).unwrap();
        assert_eq!(pick.backend, tiers[1][0]);
        done(&pool, pick.token);
    }
}

#[test]
fn bounded_loads_hold_within_each_tier() {
    let options = Options { policy: Policy::Hash, bounded_load: Some(1.25), ..Options::default() };
    let (pool, tiers) = tiers(options, &[4, 2]);
    down(&pool, &tiers[0][..2]);
    let _held: Vec<_> = (0..1_000u32).map(|n| pick_key(&pool, &n.to_le_bytes())).collect();
    let in_flight = |id| pool.backend(id).unwrap().in_flight;
    for (ids, share) in [(&tiers[0][2..], 0.35), (&tiers[1][..], 0.15)] {
        for &id in ids {
            assert!(in_flight(id) as f64 <= 1.25 * share * 1_001.0 + 1.0, "{} of {share}", in_flight(id));
        }
    }
}

/// What explain announces is what the next pick does, tiers included.
#[test]
fn explain_tells_the_tier() {
    for (name, policy) in Policy::NAMES {
        let (pool, tiers) = tiers(Options { policy, ..Options::default() }, &[4, 4]);
        down(&pool, &tiers[0][..2]);
        for n in 0..200u32 {
            let key = n.to_le_bytes();
            let request = Request { lane: LANE, now: NOW, key: &key, ..Request::default() };
            let why = pool.explain(&request).unwrap();
            let picked = pool.pick(&request).unwrap();
            assert_eq!(why.picked, Some(picked.backend), "{name}");
            let tier = tiers.iter().position(|ids| ids.contains(&picked.backend)).unwrap();
            assert_eq!(why.tier, Some(tier as u8), "{name}");
            done(&pool, picked.token);
        }
    }
}
