//! Active and backup tiers, states, drain, `maxconn`, and what explain says of them.

use trimtab::balance::{Admin, Backend, Backups, Observed, Options, Pool, Request, Verdict};
use trimtab::error::{Error, NoBackend};

use crate::support::*;

/// Two active ones, two backups, one backup's backup.
fn tiered(backups: Backups) -> (Pool, Vec<trimtab::balance::BackendId>) {
    let pool = Pool::new(Options { backups, lanes: 1, ..Options::default() }).unwrap();
    let backends: Vec<_> =
        [0, 0, 1, 1, 2].iter().enumerate().map(|(n, &tier)| Backend { tier, ..backend(n, 1) }).collect();
    let ids = pool.add_all(&backends).unwrap();
    (pool, ids)
}

#[test]
fn one_backup_takes_over_then_the_next_tier() {
    let (pool, ids) = tiered(Backups::One);
    assert_eq!(counts(&pool, &ids, 100), [50, 50, 0, 0, 0]);
    pool.set_observed(ids[0], Observed::Down).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [0, 100, 0, 0, 0]);
    pool.set_admin(ids[1], Admin::Maintenance).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [0, 0, 100, 0, 0]);
    pool.set_observed(ids[2], Observed::Ejected).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [0, 0, 0, 100, 0]);
    pool.set_admin(ids[3], Admin::Drain).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [0, 0, 0, 0, 100]);
    pool.set_observed(ids[0], Observed::Up).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [100, 0, 0, 0, 0]);
}

#[test]
fn all_backups_share() {
    let (pool, ids) = tiered(Backups::All);
    pool.set_observed(ids[0], Observed::Down).unwrap();
    pool.set_observed(ids[1], Observed::Down).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [0, 0, 50, 50, 0]);
}

#[test]
fn a_drained_backend_keeps_what_it_has_and_gets_nothing_new() {
    let (pool, ids) = pool(Options::default(), &[1, 1]);
    let held: Vec<_> = (0..10).map(|_| pick(&pool)).collect();
    pool.set_admin(ids[0], Admin::Drain).unwrap();
    assert_eq!(counts(&pool, &ids, 50), [0, 50]);
    assert_eq!(pool.backend(ids[0]).unwrap().in_flight, 5);
    held.iter().for_each(|pick| done(&pool, pick.token));
    assert_eq!(pool.backend(ids[0]).unwrap().in_flight, 0);
}

#[test]
fn nobody_up_says_so_and_explain_says_why() {
    let (pool, ids) = pool(Options::default(), &[1, 1, 1, 1]);
    pool.set_admin(ids[0], Admin::Drain).unwrap();
    pool.set_admin(ids[1], Admin::Maintenance).unwrap();
    pool.set_observed(ids[2], Observed::Down).unwrap();
    pool.set_observed(ids[3], Observed::Ejected).unwrap();
    let request = Request { lane: LANE, now: NOW, ..Request::default() };
    assert_eq!(pool.pick(&request).unwrap_err(), Error::NoBackend(NoBackend::Unusable { backends: 4 }));
    let why = pool.explain(&request).unwrap();
    let verdicts: Vec<_> = why.backends.iter().map(|backend| backend.verdict).collect();
    assert_eq!(verdicts, [Verdict::Drain, Verdict::Maintenance, Verdict::Down, Verdict::Ejected]);
    assert_eq!((why.picked, why.tier), (None, None));
    assert!(why.refused.unwrap().contains("none of the 4"));
    assert_eq!(pool.statistics().refused, 1);
}

#[test]
fn maxconn_is_a_limit_and_full_is_said() {
    let (pool, ids) = pool(Options::default(), &[1, 1]);
    pool.set_maxconn(ids[0], 1).unwrap();
    pool.set_maxconn(ids[1], 2).unwrap();
    let held: Vec<_> = (0..3).map(|_| pick(&pool)).collect();
    let request = Request { lane: LANE, now: NOW, ..Request::default() };
    assert_eq!(pool.pick(&request).unwrap_err(), Error::NoBackend(NoBackend::Full { backends: 2 }));
    let why = pool.explain(&request).unwrap();
    assert!(why.backends.iter().all(|backend| backend.verdict == Verdict::Full), "{why:?}");
    done(&pool, held[0].token);
    assert_eq!(pick(&pool).backend, held[0].backend);
}

/// Picks made before there was a limit count towards it.
#[test]
fn a_limit_set_later_counts_what_is_in_flight() {
    let (pool, ids) = pool(Options::default(), &[1]);
    let held: Vec<_> = (0..5).map(|_| pick(&pool)).collect();
    pool.set_maxconn(ids[0], 3).unwrap();
    let request = Request { lane: LANE, now: NOW, ..Request::default() };
    for pick in &held[..2] {
        assert!(pool.pick(&request).is_err());
        done(&pool, pick.token);
    }
    assert!(pool.pick(&request).is_err(), "three are in flight");
    done(&pool, held[2].token);
    assert!(pool.pick(&request).is_ok());
    assert!(pool.pick(&request).is_err());
    pool.set_maxconn(ids[0], 0).unwrap();
    assert!((0..100).all(|_| pool.pick(&request).is_ok()));
    pool.set_maxconn(ids[0], 103).unwrap();
    assert!(pool.pick(&request).is_err(), "103 are in flight");
}

#[test]
fn avoided_backends_are_the_last_resort() {
    let (pool, ids) = pool(Options::default(), &[1, 1, 1]);
    for _ in 0..30 {
        let request = Request { lane: LANE, now: NOW, avoid: &ids[..2], ..Request::default() };
        assert_eq!(pool.pick(&request).unwrap().backend, ids[2]);
        let request = Request { lane: LANE, now: NOW, avoid: &ids, ..Request::default() };
        assert!(pool.pick(&request).is_ok(), "better a tried one than none");
    }
}

/// What explain announces is what the next pick does, for every policy.
#[test]
fn explain_tells_the_next_pick() {
    use trimtab::balance::Policy;
    for (name, policy) in Policy::NAMES {
        let (pool, ids) = pool(Options { policy, ..Options::default() }, &[3, 1, 2, 5]);
        pool.set_admin(ids[1], Admin::Drain).unwrap();
        pool.set_maxconn(ids[0], 4).unwrap();
        for n in 0..200u32 {
            let key = n.to_le_bytes();
            let request = Request { lane: LANE, now: NOW, key: &key, ..Request::default() };
            let why = pool.explain(&request).unwrap();
            let picked = pool.pick(&request).unwrap();
            assert_eq!(why.picked, Some(picked.backend), "{name}");
            assert_eq!(why.policy, name);
            let verdicts: Vec<_> = why.backends.iter().map(|b| (b.id, b.verdict)).collect();
            assert!(verdicts.contains(&(picked.backend, Verdict::Picked)));
            assert!(verdicts.contains(&(ids[1], Verdict::Drain)));
            if n % 3 != 0 {
                done(&pool, picked.token);
            }
        }
    }
}
