//! Bad input: a clear error, nothing else disturbed, counters right.

use trimtab::balance::{Backend, BackendId, Options, Outcome, Pool, Request, Timings, Token};
use trimtab::error::{Error, NoBackend};

use crate::support::*;

#[test]
fn duplicates_are_refused_by_address_and_by_name() {
    let (pool, _) = pool(Options::default(), &[1, 1]);
    let error = pool.add(backend(1, 1)).unwrap_err();
    assert_eq!(error, Error::Exists { what: "address", value: "10.0.0.1:80".into() });
    let named = |n, name: &str| Backend { name: Some(name.into()), ..backend(n, 1) };
    pool.add(named(5, "web")).unwrap();
    assert_eq!(pool.add(named(6, "web")).unwrap_err(), Error::Exists { what: "name", value: "web".into() });
    // In one change too, and then nothing of it happens.
    let both = [named(7, "a"), named(8, "a")];
    assert_eq!(pool.add_all(&both).unwrap_err(), Error::Exists { what: "name", value: "a".into() });
    let both = [backend(9, 1), backend(9, 1)];
    assert!(matches!(pool.add_all(&both).unwrap_err(), Error::Exists { what: "address", .. }));
    assert_eq!(pool.statistics().backends, 3);
}

#[test]
fn weights_and_limits_out_of_range_change_nothing() {
    let (pool, ids) = pool(Options::default(), &[2]);
    for weight in [0, 65_536] {
        assert!(matches!(pool.add(backend(1, weight)), Err(Error::InvalidArgument { what: "weight", .. })));
        assert!(matches!(
            pool.set_weight(ids[0], weight),
            Err(Error::InvalidArgument { what: "weight", .. })
        ));
    }
    pool.set_weight(ids[0], 65_535).unwrap();
    let beyond = trimtab::balance::MAXCONN_MAX + 1;
    assert!(matches!(pool.set_maxconn(ids[0], beyond), Err(Error::InvalidArgument { what: "maxconn", .. })));
    pool.set_maxconn(ids[0], beyond - 1).unwrap();
    assert_eq!(pool.backend(ids[0]).unwrap().weight, 65_535);
    let nobody = BackendId::from_u64(99);
    assert!(matches!(pool.set_weight(nobody, 1), Err(Error::NotFound { .. })));
    assert!(matches!(pool.remove(nobody), Err(Error::NotFound { .. })));
    assert!(matches!(pool.find("nobody"), Err(Error::NotFound { .. })));
}

#[test]
fn a_pool_takes_65536_backends_and_refuses_the_next() {
    let pool = Pool::new(Options { lanes: 1, ..Options::default() }).unwrap();
    let backends: Vec<_> = (0..65_536).map(|n| backend(n, 1)).collect();
    let ids = pool.add_all(&backends).unwrap();
    assert_eq!(
        pool.add(backend(65_536, 1)).unwrap_err(),
        Error::Capacity { what: "backends", limit: 65_536 }
    );
    assert_eq!(pool.statistics().backends, 65_536);
    let picked: std::collections::HashSet<_> = (0..65_536).map(|_| pick(&pool).backend).collect();
    assert_eq!(picked.len(), 65_536);
    // A removed one's place in the pool can be taken though its pick is not done.
    pool.remove(ids[0]).unwrap();
    pool.add(backend(65_536, 1)).unwrap();
}

#[test]
fn an_emptied_pool_says_it_is_empty() {
    let (pool, ids) = pool(Options::default(), &[1, 1]);
    let held = pick(&pool);
    for id in ids {
        pool.remove(id).unwrap();
    }
    let request = Request::default();
    assert_eq!(pool.pick(&request).unwrap_err(), Error::NoBackend(NoBackend::Empty));
    assert_eq!(pool.explain(&request).unwrap().backends, []);
    done(&pool, held.token);
    assert_eq!(pool.statistics().picks, 0);
    pool.add(backend(0, 1)).unwrap();
    assert_eq!(pick(&pool).address, address(0));
}

#[test]
fn a_pick_is_done_once() {
    let (pool, ids) = pool(Options::default(), &[1]);
    let held = pick(&pool);
    done(&pool, held.token);
    let again = pool.done(LANE, held.token, Outcome::Failed, &Timings::default(), NOW);
    assert_eq!(again, Err(Error::StalePick));
    let statistics = pool.backend(ids[0]).unwrap();
    assert_eq!((statistics.picks, statistics.in_flight, statistics.outcomes.success), (1, 0, 1));
    assert_eq!(statistics.outcomes.failed, 0);
}

#[test]
fn a_pick_of_a_removed_backend_is_done_as_usual() {
    let (pool, ids) = pool(Options::default(), &[1, 1]);
    let held: Vec<_> = (0..4).map(|_| pick(&pool)).collect();
    pool.remove(ids[0]).unwrap();
    // Its slot waits for its picks: a new backend starts from zero, and is not charged with them.
    let new = pool.add(backend(9, 1)).unwrap();
    held.iter().for_each(|pick| done(&pool, pick.token));
    let statistics = pool.backend(new).unwrap();
    assert_eq!((statistics.picks, statistics.in_flight, statistics.outcomes.success), (0, 0, 0));
    // Now it is free, and whoever takes it starts from zero too.
    let newer = pool.add(backend(10, 1)).unwrap();
    assert_eq!(pool.backend(newer).unwrap().picks, 0);
    assert!(pool.backend(ids[0]).is_err());
}

#[test]
fn made_up_tokens_are_refused() {
    let (pool, _) = pool(Options::default(), &[1]);
    let real = pick(&pool).token.as_u64();
    for token in [0, 1, u64::MAX, real ^ 1, real ^ 1 << 26, real ^ 1 << 32, real ^ 1 << 63] {
        let result = pool.done(LANE, Token::from_u64(token), Outcome::Success, &Timings::default(), NOW);
        assert_eq!(result, Err(Error::StalePick), "{token:#x}");
    }
    let other = Pool::new(Options { seed: 5, ..Options::default() }).unwrap();
    let result = other.done(LANE, Token::from_u64(real), Outcome::Success, &Timings::default(), NOW);
    assert_eq!(result, Err(Error::StalePick), "another pool's");
    assert_eq!(pool.statistics().in_flight, 1);
}

/// Picks that are never done fill `picks_max`; then picks are refused, and one done makes room for one.
#[test]
fn picks_never_done_reach_a_limit_that_says_so() {
    let (pool, ids) = pool(Options { picks_max: 1_000, ..Options::default() }, &[1, 1]);
    let held: Vec<_> = (0..1_000).map(|_| pick(&pool)).collect();
    let request = Request { lane: LANE, now: NOW, ..Request::default() };
    for _ in 0..3 {
        assert_eq!(pool.pick(&request).unwrap_err(), Error::Capacity { what: "picks_max", limit: 1_000 });
    }
    assert_eq!(pool.statistics().in_flight, 1_000);
    done(&pool, held[500].token);
    pick(&pool);
    assert!(pool.pick(&request).is_err());
    assert_eq!(ids.iter().map(|&id| pool.backend(id).unwrap().in_flight).sum::<u64>(), 1_000);
}

/// A refused pick leaves no place taken below a `maxconn`.
#[test]
fn a_pick_refused_for_picks_max_gives_its_place_back() {
    let (pool, ids) = pool(Options { picks_max: 1, ..Options::default() }, &[1]);
    pool.set_maxconn(ids[0], 2).unwrap();
    let held = pick(&pool);
    let request = Request { lane: LANE, now: NOW, ..Request::default() };
    for _ in 0..5 {
        assert!(matches!(pool.pick(&request), Err(Error::Capacity { .. })));
    }
    done(&pool, held.token);
    pick(&pool);
}

#[test]
fn keys_up_to_a_mebibyte() {
    let (pool, _) = pool(Options::default(), &[1]);
    let long = vec![0; (1 << 20) + 1];
    let request = |key| Request { lane: LANE, key, ..Request::default() };
    assert!(pool.pick(&request(&long[1..])).is_ok());
    assert!(matches!(pool.pick(&request(&long)), Err(Error::InvalidArgument { what: "key", .. })));
    assert!(matches!(pool.explain(&request(&long)), Err(Error::InvalidArgument { what: "key", .. })));
}

#[test]
fn outcomes_are_counted_apart() {
    let (pool, ids) = pool(Options::default(), &[1]);
    let all =
        [Outcome::Success, Outcome::ConnectFailed, Outcome::Failed, Outcome::TimedOut, Outcome::Cancelled];
    for (times, outcome) in all.into_iter().enumerate() {
        for _ in 0..=times {
            pool.done(LANE, pick(&pool).token, outcome, &took(1_000), NOW).unwrap();
        }
    }
    let statistics = pool.backend(ids[0]).unwrap();
    let o = statistics.outcomes;
    assert_eq!([o.success, o.connect_failed, o.failed, o.timed_out, o.cancelled], [1, 2, 3, 4, 5]);
    assert_eq!(
        (statistics.picks, statistics.response_mean_ns),
        (15, 1_000),
        "failures tell no response time"
    );
}
