//! Limits found by response times, with clients that come in simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use trimtab::balance::{
    Adaptive, BackendId, Change, Lane, Observer, Options, Outcome, Pick, Policy, Pool, Request, Scope,
    Timings,
};
use trimtab::error::{Error, NoBackend};
use trimtab::time::Instant;

use crate::support::*;

/// Servers that answer after 10 ms, and later in proportion when more are asked at once than they take.
struct World {
    pool: Pool,
    ids: Vec<BackendId>,
    capacity: Vec<u64>,
    ms: u64,
    /// What ends when.
    ends: BTreeMap<u64, Vec<(Pick, u64)>>,
    refused: u64,
}

impl World {
    fn new(options: Options, capacity: &[u64]) -> Self {
        let (pool, ids) = pool(options, &vec![1; capacity.len()]);
        Self { pool, ids, capacity: capacity.to_vec(), ms: 1_000, ends: BTreeMap::new(), refused: 0 }
    }

    /// So many clients want an answer every millisecond, for so long.
    fn run(&mut self, clients: usize, ms: u64) {
        for _ in 0..ms {
            self.ms += 1;
            let now = Instant::from_millis(self.ms);
            for (pick, took) in self.ends.remove(&self.ms).unwrap_or_default() {
                let timings = Timings { first_byte: Some(took * 1_000_000), ..Timings::default() };
                self.pool.done(LANE, pick.token, Outcome::Success, &timings, now).unwrap();
            }
            for _ in 0..clients {
                match self.pool.pick(&Request { lane: LANE, now, ..Request::default() }) {
                    Ok(pick) => {
                        let index = index_of(&self.ids, pick.backend);
                        let in_flight = self.in_flight(index);
                        assert!(in_flight <= u64::from(self.limit(index)), "above the limit");
                        let took = (10 * in_flight / self.capacity[index]).max(10);
                        self.ends.entry(self.ms + took).or_default().push((pick, took));
                    }
                    Err(_) => self.refused += 1,
                }
            }
        }
    }

    fn in_flight(&self, index: usize) -> u64 {
        self.pool.backend(self.ids[index]).unwrap().in_flight
    }

    fn limit(&self, index: usize) -> u32 {
        match self.pool.backend(self.ids[index]).unwrap().limit {
            0 => u32::MAX,
            limit => limit,
        }
    }
}

fn adaptive(scope: Scope) -> Options {
    let adaptive = Adaptive { scope, rtt_interval: Duration::from_secs(3_600), ..Adaptive::default() };
    Options { policy: Policy::LeastConnections, adaptive: Some(adaptive), ..Options::default() }
}

#[test]
fn each_backend_gets_what_it_takes() {
    let mut world = World::new(adaptive(Scope::Backend), &[40, 10]);
    assert_eq!((world.limit(0), world.limit(1)), (3, 3), "where it starts");
    world.run(20, 12_000);
    // At rest 1.25 times what it takes and the root of that.
    assert!((48..=64).contains(&world.limit(0)), "{}", world.limit(0));
    assert!((11..=20).contains(&world.limit(1)), "{}", world.limit(1));
    assert!(world.refused > 0);
    let full = world.pool.pick(&Request { lane: LANE, ..Request::default() }).unwrap_err();
    assert_eq!(full, Error::NoBackend(NoBackend::Full { backends: 2 }));
    // The first becomes four times as slow under load, then recovers.
    world.capacity[0] = 10;
    world.run(20, 8_000);
    assert!((11..=20).contains(&world.limit(0)), "{}", world.limit(0));
    world.capacity[0] = 40;
    world.run(20, 8_000);
    assert!((48..=64).contains(&world.limit(0)), "{}", world.limit(0));
    // A maxconn below it goes first, and a new backend in the place of an old one begins anew.
    world.pool.set_maxconn(world.ids[0], 5).unwrap();
    assert_eq!(world.limit(0), 5);
    world.pool.set_maxconn(world.ids[0], 0).unwrap();
    world.run(0, 1_000);
    world.pool.remove(world.ids[0]).unwrap();
    world.ids[0] = world.pool.add(backend(9, 1)).unwrap();
    assert_eq!(world.limit(0), 3);
    world.run(20, 8_000);
    assert!((48..=64).contains(&world.limit(0)), "{}", world.limit(0));
}

#[test]
fn a_pool_may_have_one_limit_for_all() {
    let mut world = World::new(adaptive(Scope::Pool), &[20, 20]);
    assert_eq!(world.pool.statistics().limit, 3);
    world.run(20, 12_000);
    let limit = world.pool.statistics().limit;
    assert!((48..=64).contains(&limit), "{limit}");
    assert_eq!(world.pool.backend(world.ids[0]).unwrap().limit, 0);
    let full = world.pool.pick(&Request { lane: LANE, ..Request::default() }).unwrap_err();
    assert_eq!(full, Error::NoBackend(NoBackend::PoolFull { maxconn: limit }));
}

#[test]
fn a_pool_at_rest_asks_for_nothing() {
    let mut world = World::new(adaptive(Scope::Backend), &[10]);
    assert_eq!(world.pool.next_deadline(), None);
    world.run(1, 5);
    world.run(0, 20);
    let due = world.pool.next_deadline().unwrap();
    assert!(due <= Instant::from_millis(world.ms + 100), "{due:?}");
    while let Some(due) = world.pool.next_deadline() {
        assert!(due <= Instant::from_millis(world.ms + 1_000), "it goes on for ever");
        world.pool.handle_timeout(due);
    }
}

/// Timeouts count as the slowest answers, failures not at all, and the time to connect where nothing else is known.
#[test]
fn what_counts_as_a_response_time() {
    let options = adaptive(Scope::Backend);
    let outcome_limits = |outcome: Outcome, timings: Timings| {
        let (pool, ids) = pool(options.clone(), &[1]);
        let mut now = 1_000;
        let mut round = |outcome: Outcome, timings: &Timings| {
            now += 10;
            let at = Instant::from_millis(now);
            let request = Request { lane: LANE, now: at, ..Request::default() };
            let picks: Vec<_> = std::iter::from_fn(|| pool.pick(&request).ok()).collect();
            for pick in picks {
                pool.done(LANE, pick.token, outcome, timings, at).unwrap();
            }
        };
        let connect = Timings { connect: Some(5_000_000), ..Timings::default() };
        (0..100).for_each(|_| round(Outcome::Success, &connect));
        // What is left of the last window.
        pool.handle_timeout(Instant::from_millis(2_100));
        assert!(pool.next_deadline().is_some_and(|due| due <= Instant::from_millis(2_200)));
        let before = pool.backend(ids[0]).unwrap().limit;
        (0..100).for_each(|_| round(outcome, &timings));
        (before, pool.backend(ids[0]).unwrap().limit)
    };
    let quick = Timings { total: Some(5_000_000), ..Timings::default() };
    let (before, after) = outcome_limits(Outcome::Success, quick);
    assert!(before > 3 && after > before, "{before} {after}");
    let (before, after) = outcome_limits(Outcome::TimedOut, Timings::default());
    assert!(after < before, "{before} {after}");
    for outcome in [Outcome::Failed, Outcome::ConnectFailed, Outcome::Cancelled] {
        let (before, after) = outcome_limits(outcome, took(1));
        assert_eq!(before, after, "{outcome:?}");
    }
}

/// Counts how often a place may have come free.
struct Rooms(Arc<AtomicU32>);

impl Observer for Rooms {
    fn handle_room(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn handle_change(&self, _change: &Change) {}
}

#[test]
fn who_waits_is_told_when_the_limit_grows() {
    let mut world = World::new(adaptive(Scope::Backend), &[40]);
    world.run(20, 640);
    let rooms = Arc::default();
    assert!(world.pool.observe(Box::new(Rooms(Arc::clone(&rooms)))));
    let before = world.limit(0);
    world.pool.want();
    // Nothing ends meanwhile: only the limit can make room.
    world.pool.handle_timeout(world.pool.next_deadline().unwrap());
    assert!(world.limit(0) > before, "{} {before}", world.limit(0));
    assert_eq!(rooms.load(Ordering::SeqCst), 1);
}

/// The limit holds over threads that report and so move it.
#[test]
fn limits_hold_over_threads() {
    let most = Adaptive { max: 10, window: Duration::from_millis(10), ..Adaptive::default() };
    let options = Options { adaptive: Some(most), lanes: 4, ..Options::default() };
    let pool = Pool::new(options).unwrap();
    let ids = pool.add_all(&[backend(0, 1), backend(1, 1)]).unwrap();
    let held = [AtomicU32::new(0), AtomicU32::new(0)];
    std::thread::scope(|scope| {
        for lane in 0..4u32 {
            let (pool, held, ids) = (&pool, &held, &ids);
            scope.spawn(move || {
                let lane = Lane::Own(lane);
                for ms in 0..10_000 {
                    let now = Instant::from_millis(1_000 + ms);
                    let request = Request { lane, now, ..Request::default() };
                    let picks: Vec<_> = (0..8).filter_map(|_| pool.pick(&request).ok()).collect();
                    for pick in &picks {
                        let count = held[index_of(ids, pick.backend)].fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(count <= 10, "{count} above the highest limit");
                    }
                    for pick in picks {
                        held[index_of(ids, pick.backend)].fetch_sub(1, Ordering::SeqCst);
                        pool.done(lane, pick.token, Outcome::Success, &took(5_000_000), now).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(pool.statistics().in_flight, 0);
    for id in ids {
        assert!((3..=10).contains(&pool.backend(id).unwrap().limit));
    }
}
