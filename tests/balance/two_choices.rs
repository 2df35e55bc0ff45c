//! Least connections, power of two, peak EWMA: load decides.

use trimtab::balance::{Options, Outcome, Policy, Pool, Request};
use trimtab::time::Instant;

use crate::support::*;

fn with(policy: Policy) -> Options {
    Options { policy, ..Options::default() }
}

fn in_flight(pool: &Pool) -> Vec<u64> {
    pool.backends().iter().map(|backend| backend.in_flight).collect()
}

#[test]
fn least_connections_levels_in_flight_by_weight() {
    let (pool, ids) = pool(with(Policy::LeastConnections), &[3, 2, 1]);
    let picks: Vec<_> = (0..60).map(|_| pick(&pool)).collect();
    assert_eq!(in_flight(&pool), [30, 20, 10]);
    // Whoever finishes is next.
    for pick in picks.iter().filter(|pick| pick.backend == ids[2]).take(3) {
        done(&pool, pick.token);
    }
    assert!((0..3).all(|_| pick(&pool).backend == ids[2]));
}

/// The complaint about balancers with fewer requests in flight than servers: light ones starve, or all
/// share alike whatever their weight.
#[test]
fn an_idle_pool_is_shared_by_weight() {
    for policy in [Policy::LeastConnections, Policy::PowerOfTwo] {
        let (pool, ids) = pool(with(policy), &[10, 5, 1]);
        let counts = counts(&pool, &ids, 16_000);
        for (had, due) in counts.iter().zip([10_000, 5_000, 1_000usize]) {
            assert!(had.abs_diff(due) < due / 5, "{policy:?}: {counts:?}");
        }
    }
    // One long request occupies the heavy one: the rest is shared by the others' weights.
    let (pool, ids) = pool(with(Policy::LeastConnections), &[10, 5, 1]);
    while pick(&pool).backend != ids[0] {}
    let counts = counts(&pool, &ids, 6_000);
    assert_eq!(counts.iter().sum::<usize>(), 6_000);
    assert!(counts[2] > 0, "{counts:?}");
}

#[test]
fn least_connections_is_exact_to_the_documented_size_and_close_beyond() {
    for (backends, above) in [(256, 0), (1000, 3)] {
        let (pool, _) = pool(with(Policy::LeastConnections), &vec![1; backends]);
        for _ in 0..backends * 8 {
            pick(&pool);
        }
        let most = in_flight(&pool).into_iter().max().unwrap();
        assert!(most <= 8 + above, "{backends}: {most}");
    }
}

/// Two choices keep the greatest load near the mean where one choice does not (Mitzenmacher).
#[test]
fn power_of_two_beats_random() {
    let greatest = |policy| {
        let (pool, _) = pool(with(policy), &[1; 100]);
        for _ in 0..10_000 {
            pick(&pool);
        }
        in_flight(&pool).into_iter().max().unwrap()
    };
    let (two, one) = (greatest(Policy::PowerOfTwo), greatest(Policy::Random));
    assert!(two <= 104, "{two}");
    assert!(one >= 115, "{one}");
}

/// Feeds a pool from a simulated set of servers: each pick is done after its server's response time.
fn serve(
    pool: &Pool,
    ids: &[trimtab::balance::BackendId],
    times_ms: &[u64],
    from_ms: u64,
    picks: u64,
) -> Vec<usize> {
    let mut counts = vec![0; ids.len()];
    let mut open: Vec<(u64, trimtab::balance::Token, u64)> = Vec::new();
    for n in 0..picks {
        let now = from_ms + n;
        open.retain(|&(at, token, took_ms)| {
            if at <= now {
                let time = Instant::from_millis(at);
                pool.done(LANE, token, Outcome::Success, &took(took_ms * 1_000_000), time).unwrap();
            }
            at > now
        });
        let pick =
            pool.pick(&Request { lane: LANE, now: Instant::from_millis(now), ..Request::default() }).unwrap();
        let index = index_of(ids, pick.backend);
        counts[index] += 1;
        open.push((now + times_ms[index], pick.token, times_ms[index]));
    }
    for (_, token, took_ms) in open {
        pool.done(
            LANE,
            token,
            Outcome::Success,
            &took(took_ms * 1_000_000),
            Instant::from_millis(from_ms + picks),
        )
        .unwrap();
    }
    counts
}

#[test]
fn peak_ewma_leaves_a_slow_server_and_comes_back_when_it_recovers() {
    let (pool, ids) = pool(with(Policy::PeakEwma), &[1, 1, 1]);
    let even = serve(&pool, &ids, &[10, 10, 10], 1_000, 3_000);
    assert!(even.iter().all(|&count| count > 700), "{even:?}");
    let slow = serve(&pool, &ids, &[10, 10, 200], 10_000, 3_000);
    assert!(slow[2] < 300, "{slow:?}");
    // Its cost decays with 10 s; a minute later it is tried again and found fast.
    let recovered = serve(&pool, &ids, &[10, 10, 10], 80_000, 3_000);
    assert!(recovered[2] > 700, "{recovered:?}");
}

#[test]
fn peak_ewma_does_not_run_to_a_server_that_fails_fast() {
    let (pool, ids) = pool(with(Policy::PeakEwma), &[1, 1]);
    let mut counts = [0; 2];
    for n in 0..2_000 {
        let now = Instant::from_millis(1_000 + n * 10);
        let pick = pool.pick(&Request { lane: LANE, now, ..Request::default() }).unwrap();
        let index = index_of(&ids, pick.backend);
        counts[index] += 1;
        let (outcome, took_ns) =
            if index == 0 { (Outcome::Success, 5_000_000) } else { (Outcome::Failed, 1_000) };
        pool.done(LANE, pick.token, outcome, &took(took_ns), now).unwrap();
    }
    assert!(counts[1] <= counts[0], "{counts:?}");
}
