//! The limits of a pool as a whole, rates, who may wait and who may try again.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use trimtab::balance::{
    Admin, Backend, BackendId, Backups, Lane, Options, Outcome, Policy, Pool, Request, Retry, Timings,
    Verdict,
};
use trimtab::error::{Error, NoBackend};
use trimtab::time::Instant;

use crate::support::*;

const THREADS: u32 = 4;

fn at(ms: u64) -> Request<'static> {
    Request { lane: LANE, now: Instant::from_millis(ms), ..Request::default() }
}

#[test]
fn a_pool_has_a_maxconn_of_its_own() {
    let (pool, ids) = pool(Options { maxconn: 3, ..Options::default() }, &[1, 1]);
    let mut held: Vec<_> = (0..3).map(|_| pick(&pool)).collect();
    let full = Error::NoBackend(NoBackend::PoolFull { maxconn: 3 });
    assert_eq!(pool.pick(&at(1_000)).unwrap_err(), full);
    let why = pool.explain(&at(1_000)).unwrap();
    assert!(why.backends.iter().all(|backend| backend.verdict == Verdict::Full));
    assert_eq!(why.refused, Some(full.to_string()));
    // A removed backend's picks count until they are done.
    pool.remove(ids[0]).unwrap();
    assert_eq!(pool.pick(&at(1_000)).unwrap_err(), full);
    done(&pool, held.pop().unwrap().token);
    held.push(pick(&pool));
    // The backend's own limit comes first to be reached here, and is the one told.
    held.drain(1..).for_each(|pick| done(&pool, pick.token));
    pool.set_maxconn(ids[1], 1).unwrap();
    while pool.pick(&at(1_000)).is_ok() {}
    assert_eq!(pool.pick(&at(1_000)).unwrap_err(), Error::NoBackend(NoBackend::Full { backends: 1 }));
}

#[test]
fn the_pools_maxconn_is_exact_over_threads() {
    let options = Options { policy: Policy::Random, maxconn: 5, lanes: 4, ..Options::default() };
    let pool = Pool::new(options).unwrap();
    let ids = pool.add_all(&(0..3).map(|n| backend(n, 1)).collect::<Vec<_>>()).unwrap();
    let (held, start) = (AtomicU32::new(0), Barrier::new(THREADS as usize + 1));
    std::thread::scope(|scope| {
        for lane in (0..THREADS).map(Lane::Own) {
            let (pool, held, start) = (&pool, &held, &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..10_000 {
                    let request = Request { lane, now: NOW, ..Request::default() };
                    let picks: Vec<_> = (0..3).filter_map(|_| pool.pick(&request).ok()).collect();
                    let now_held = held.fetch_add(picks.len() as u32, Ordering::SeqCst) + picks.len() as u32;
                    assert!(now_held <= 5, "{now_held} above the pool's maxconn");
                    held.fetch_sub(picks.len() as u32, Ordering::SeqCst);
                    for pick in picks {
                        pool.done(lane, pick.token, Outcome::Success, &Timings::default(), NOW).unwrap();
                    }
                }
            });
        }
        start.wait();
        // Picks that a change overtakes give back what they took.
        for weight in (1..=5).cycle().take(2_000) {
            pool.set_weight(ids[0], weight).unwrap();
        }
    });
    assert_eq!(pool.statistics().in_flight, 0);
    assert_eq!((0..10).filter(|_| pool.pick(&at(1)).is_ok()).count(), 5, "all places came back");
}

#[test]
fn rates_hold_per_backend_and_per_pool() {
    let options = Options { connection_rate: 100, connection_burst: 3, ..Options::default() };
    let (pool, _) = pool(options, &[1, 1]);
    let took = |ms| (0..10).filter(|_| pool.pick(&at(ms)).is_ok()).count();
    assert_eq!(took(1_000), 3);
    let wait = Duration::from_millis(10);
    let refused = NoBackend::PoolRateLimited { rate: 100, wait };
    assert_eq!(pool.pick(&at(1_000)).unwrap_err(), Error::NoBackend(refused));
    assert_eq!((took(1_009), took(1_010), took(1_025)), (0, 1, 1));
    assert_eq!(took(9_000), 3);

    let pool = Pool::new(Options { lanes: 1, ..Options::default() }).unwrap();
    let slow = Backend { connection_rate: 10, connection_burst: 2, ..backend(0, 1) };
    let ids = pool.add_all(&[slow, backend(1, 1)]).unwrap();
    let picked: Vec<_> = (0..10).map(|_| pool.pick(&at(1_000)).unwrap().backend).collect();
    assert_eq!(picked.iter().filter(|&&id| id == ids[0]).count(), 2, "the other one takes the rest");
    let why = pool.explain(&at(1_000)).unwrap();
    assert_eq!(why.backends[0].verdict, Verdict::Full);
    pool.set_connection_rate(ids[1], 1, 1).unwrap();
    assert_eq!(pool.pick(&at(1_000)).unwrap().backend, ids[1]);
    let refused = NoBackend::RateLimited { backends: 2, wait: Duration::from_millis(100) };
    assert_eq!(pool.pick(&at(1_000)).unwrap_err(), Error::NoBackend(refused));
    assert_eq!(pool.pick(&at(1_100)).unwrap().backend, ids[0]);
    let statistics = pool.backend(ids[0]).unwrap();
    assert_eq!((statistics.connection_rate, statistics.connection_burst), (10, 2));
    // A backend at its maxconn is no matter of waiting a while.
    pool.set_connection_rate(ids[0], 0, 0).unwrap();
    pool.set_connection_rate(ids[1], 0, 0).unwrap();
    pool.set_maxconn(ids[0], 1).unwrap();
    pool.set_maxconn(ids[1], 1).unwrap();
    assert_eq!(pool.pick(&at(1_100)).unwrap_err(), Error::NoBackend(NoBackend::Full { backends: 2 }));
    let beyond = pool.set_connection_rate(ids[0], 1_000_001, 0);
    assert!(matches!(beyond, Err(Error::InvalidArgument { what: "connection_rate", .. })));
    let beyond = pool.add(Backend { connection_burst: 1_000_001, ..backend(2, 1) });
    assert!(matches!(beyond, Err(Error::InvalidArgument { what: "connection_burst", .. })));
}

/// What was used of one rate is no debt at the next: a hundred at once of one a second would be a minute and a half.
#[test]
fn another_rate_begins_anew() {
    let (pool, ids) = pool(Options::default(), &[1]);
    let took = |ms| (0..200).filter(|_| pool.pick(&at(ms)).is_ok()).count();
    pool.set_connection_rate(ids[0], 1, 100).unwrap();
    assert_eq!(took(1_000), 100);
    pool.set_connection_rate(ids[0], 1, 100).unwrap();
    pool.set_weight(ids[0], 2).unwrap();
    assert_eq!(took(1_000), 0, "the same rate goes on");
    pool.set_connection_rate(ids[0], 1_000, 10).unwrap();
    assert_eq!((took(1_000), took(1_001), took(1_006)), (10, 1, 5));
    pool.set_connection_rate(ids[0], 1_000, 20).unwrap();
    assert_eq!(took(1_006), 20, "another burst");
    pool.set_connection_rate(ids[0], 0, 0).unwrap();
    assert_eq!(took(1_006), 200);
    pool.set_connection_rate(ids[0], 1_000, 20).unwrap();
    assert_eq!(took(1_006), 20, "nothing is counted while there is no rate");
}

/// Threads at once, while changes overtake their picks, get a burst and not one more.
#[test]
fn rates_are_exact_over_threads() {
    for round in 0..20 {
        let options =
            Options { connection_rate: 1_000, connection_burst: 50, lanes: 4, ..Options::default() };
        let pool = Pool::new(options).unwrap();
        let paced = Backend { connection_rate: 1_000, connection_burst: 20, ..backend(0, 1) };
        let ids = pool.add_all(&[paced, backend(1, 1)]).unwrap();
        let (start, counts) = (Barrier::new(THREADS as usize + 1), [AtomicU64::new(0), AtomicU64::new(0)]);
        std::thread::scope(|scope| {
            for lane in (0..THREADS).map(Lane::Own) {
                let (pool, start, counts, ids) = (&pool, &start, &counts, &ids);
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..40 {
                        if let Ok(pick) = pool.pick(&Request { lane, now: NOW, ..Request::default() }) {
                            counts[index_of(ids, pick.backend)].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            start.wait();
            for weight in (1..=5).cycle().take(20) {
                pool.set_weight(ids[1], weight).unwrap();
            }
        });
        let counts = counts.map(AtomicU64::into_inner);
        assert!(counts[0] <= 20 && counts.iter().sum::<u64>() <= 50, "{counts:?} in round {round}");
        // What a pick that came to nothing had taken is there for the next.
        while pool.pick(&Request { now: NOW, ..Request::default() }).is_ok() {}
        assert_eq!(pool.statistics().picks, 50, "round {round}");
    }
}

#[test]
fn so_many_may_wait() {
    let (pool, _) = pool(Options { pending_max: 2, ..Options::default() }, &[1]);
    assert_eq!((pool.try_want(), pool.try_want()), (Ok(()), Ok(())));
    assert_eq!(pool.try_want(), Err(Error::Capacity { what: "pending_max", limit: 2 }));
    assert_eq!((pool.pending(), pool.statistics().pending, pool.is_wanted()), (2, 2, true));
    pool.unwant();
    assert_eq!(pool.try_want(), Ok(()));
    pool.unwant();
    pool.unwant();
    assert!(!pool.is_wanted());
}

#[test]
fn the_retry_budget_follows_the_load() {
    let (pool, _) = pool(Options { retry_min: 3, ..Options::default() }, &[1, 1]);
    let begin = || pool.retry_begin(NOW);
    let first: Vec<Retry> = (0..3).map(|_| begin().unwrap()).collect();
    assert!(!pool.may_retry(NOW));
    assert_eq!(begin(), Err(Error::Capacity { what: "retry_budget", limit: 3 }));
    let held: Vec<_> = (0..20).map(|_| pick(&pool)).collect();
    assert!(pool.may_retry(NOW), "a fifth of twenty is four");
    let fourth = begin().unwrap();
    assert_eq!(begin(), Err(Error::Capacity { what: "retry_budget", limit: 4 }));
    // Who waits counts like who is in flight.
    (0..5).for_each(|_| pool.want());
    let fifth = begin().unwrap();
    assert_eq!(begin(), Err(Error::Capacity { what: "retry_budget", limit: 5 }));
    assert_eq!((pool.statistics().retries, pool.statistics().retries_refused), (5, 3));
    held.iter().for_each(|pick| done(&pool, pick.token));
    (0..5).for_each(|_| pool.unwant());
    for retry in first.iter().chain([&fourth, &fifth]) {
        assert_eq!(pool.retry_end(*retry), Ok(()));
        assert_eq!(pool.retry_end(*retry), Err(Error::StalePick), "a retry ends once");
    }
    assert_eq!(pool.statistics().retries, 0);
}

/// Whatever the threads do, never more retries are in flight than the budget has.
#[test]
fn the_retry_budget_is_exact_over_threads() {
    let pool = Pool::new(Options { lanes: 4, retry_min: 3, ..Options::default() }).unwrap();
    pool.add_all(&[backend(0, 1), backend(1, 1)]).unwrap();
    let _held: Vec<_> = (0..50).map(|_| pool.pick(&Request::default()).unwrap()).collect();
    let (now_held, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for n in 0..5_000u32 {
                    let retries: Vec<_> = (0..n % 7).filter_map(|_| pool.retry_begin(NOW).ok()).collect();
                    let count = retries.len() as u32;
                    let held = now_held.fetch_add(count, Ordering::SeqCst) + count;
                    most.fetch_max(held, Ordering::SeqCst);
                    assert!(held <= 10, "{held} retries of a budget of 10");
                    now_held.fetch_sub(count, Ordering::SeqCst);
                    retries.into_iter().for_each(|retry| pool.retry_end(retry).unwrap());
                }
            });
        }
    });
    assert_eq!(pool.statistics().retries, 0);
    assert_eq!((0..20).filter(|_| pool.retry_begin(NOW).is_ok()).count(), 10);
}

fn avoiding(avoid: &[BackendId]) -> Request<'_> {
    Request { avoid, ..at(1_000) }
}

/// A pick that avoids falls back; one of another does not, and tells whether it helps to wait.
#[test]
fn another_one_or_none() {
    let options = Options { policy: Policy::First, ..Options::default() };
    let (pool, ids) = pool(options, &[1, 1]);
    let none = |pool: &Pool, avoid: &[BackendId]| match pool.pick_other(&avoiding(avoid)).unwrap_err() {
        Error::NoBackend(why) => why,
        other => panic!("{other}"),
    };
    pool.set_maxconn(ids[1], 1).unwrap();
    let held = pool.pick_other(&avoiding(&ids[..1])).unwrap();
    assert_eq!(held.backend, ids[1]);
    assert_eq!(none(&pool, &ids[..1]), NoBackend::Full { backends: 1 });
    let fallen_back = pool.pick(&avoiding(&ids[..1])).unwrap();
    assert_eq!(fallen_back.backend, ids[0]);
    assert_eq!(none(&pool, &ids), NoBackend::Avoided { backends: 2 });
    done(&pool, held.token);
    done(&pool, fallen_back.token);
    // A rate of the one to avoid says nothing of when the other has room.
    pool.set_connection_rate(ids[0], 1, 1).unwrap();
    pool.set_connection_rate(ids[1], 100, 1).unwrap();
    pool.set_maxconn(ids[1], 0).unwrap();
    for id in &ids {
        done(
            &pool,
            pool.pick_other(&avoiding(if *id == ids[0] { &ids[1..] } else { &ids[..1] })).unwrap().token,
        );
    }
    let wait = Duration::from_millis(10);
    assert_eq!(none(&pool, &ids[..1]), NoBackend::RateLimited { backends: 1, wait });
    assert_eq!(none(&pool, &ids[1..]), NoBackend::RateLimited { backends: 1, wait: Duration::from_secs(1) });
    // In a standby tier that takes over what the first cannot carry there may be another.
    let options = Options { backups: Backups::All, ..Options::default() };
    let (pool, ids) = self::pool(options, &[1, 1]);
    pool.set_tier(ids[1], 1).unwrap();
    assert_eq!(none(&pool, &ids[..1]), NoBackend::Avoided { backends: 1 });
    pool.set_admin(ids[0], Admin::Drain).unwrap();
    assert_eq!(pool.pick_other(&avoiding(&ids[..1])).unwrap().backend, ids[1]);
}
