//! What does it cost to ask which backend, and to say how it went?
//!
//! `pick+done/<policy>/<backends>/<threads>`: one pick and its `done`, in nanoseconds of wall time per
//! pair and thread. Two threads that do not disturb each other show the figure of one. The caller's time
//! is read once per 64 picks, as an event loop does, and each `done` carries a response time.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use trimtab::balance::{Address, Backend, Hash, Lane, Options, Outcome, Policy, Pool, Request, Timings};
use trimtab::time::Clock;

const POLICIES: [(&str, Policy, Hash); 14] = [
    ("round-robin", Policy::RoundRobin, Hash::Ring),
    ("static", Policy::Static, Hash::Ring),
    ("first", Policy::First, Hash::Ring),
    ("random", Policy::Random, Hash::Ring),
    ("least-connections", Policy::LeastConnections, Hash::Ring),
    ("power-of-two", Policy::PowerOfTwo, Hash::Ring),
    ("peak-ewma", Policy::PeakEwma, Hash::Ring),
    ("fastest", Policy::Fastest, Hash::Ring),
    ("observed", Policy::Observed, Hash::Ring),
    ("predictive", Policy::Predictive, Hash::Ring),
    ("ring", Policy::Hash, Hash::Ring),
    ("maglev", Policy::Hash, Hash::Maglev),
    ("rendezvous", Policy::Hash, Hash::Rendezvous),
    ("ring-bounded", Policy::Hash, Hash::Ring),
];

/// Picks between two readings of the clock.
const TURN: u64 = 64;

fn pool(name: &str, policy: Policy, hash: Hash, backends: u32) -> Pool {
    let bounded_load = (name == "ring-bounded").then_some(1.25);
    let pool = Pool::new(Options { policy, hash, bounded_load, ..Options::default() }).expect("in range");
    let backends: Vec<_> = (0..backends)
        .map(|n| {
            Backend::new(Address::Inet(([10, 0, (n >> 8) as u8, n as u8], 80 + (n >> 16) as u16).into()))
        })
        .collect();
    pool.add_all(&backends).expect("all differ");
    pool
}

/// Runs `picks` pairs on one lane.
fn run(pool: &Pool, lane: u32, picks: u64) {
    let mut now = Clock.now();
    for n in 0..picks {
        if n % TURN == 0 {
            now = Clock.now();
        }
        let key = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(lane)).to_le_bytes();
        let pick =
            pool.pick(&Request { lane: Lane::Own(lane), key: &key, now, avoid: &[] }).expect("all are up");
        let timings = Timings { first_byte: Some(1_000_000 + (n & 0xffff)), ..Timings::default() };
        pool.done(Lane::Own(lane), black_box(pick).token, Outcome::Success, &timings, now)
            .expect("picked here");
    }
}

/// The longest of `threads` threads that begin together.
fn together(pool: &Pool, threads: u32, picks: u64) -> Duration {
    let start = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        let start = &start;
        let workers: Vec<_> = (0..threads)
            .map(|lane| {
                scope.spawn(move || {
                    run(pool, lane, picks / 10);
                    start.wait();
                    let begin = Instant::now();
                    run(pool, lane, picks);
                    begin.elapsed()
                })
            })
            .collect();
        let times = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
        times.max().expect("at least one thread")
    })
}

fn pick_and_done(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick+done");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    for (name, policy, hash) in POLICIES {
        for backends in [3, 100, 10_000] {
            // Rendezvous looks at every backend by nature; its cost at 10,000 says nothing new.
            if hash == Hash::Rendezvous && backends > 100 {
                continue;
            }
            let pool = pool(name, policy, hash, backends);
            for threads in [1, 2] {
                let id = BenchmarkId::new(format!("{name}/{backends}"), threads);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|picks| together(&pool, threads, picks))
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, pick_and_done);
criterion_main!(benches);
