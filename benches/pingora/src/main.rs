//! trimtab's pick+done beside pingora-load-balancing's `select`, in one run.
//!
//! `select` finds a backend and counts nothing; pick+done also counts what is in flight and takes in how it
//! went. So the two do not do the same work: this says what the question costs a host of either.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Consistent, Random, RoundRobin};
use trimtab::balance::{Address, Backend, Hash, Lane, Options, Outcome, Policy, Pool, Request, Timings};
use trimtab::time::Clock;

const SIZES: [u32; 3] = [3, 100, 10_000];
/// How many backends `select` may look at before it gives up; all are up, so the first one will do.
const LOOKS: usize = 16;

fn address(n: u32) -> std::net::SocketAddr {
    ([10, 0, (n >> 8) as u8, n as u8], 80).into()
}

fn key(n: u64) -> [u8; 8] {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

fn ours(criterion: &mut Criterion, name: &str, policy: Policy) {
    let mut group = criterion.benchmark_group(name);
    for size in SIZES {
        let options = Options { policy, hash: Hash::Ring, ..Options::default() };
        let pool = Pool::new(options).expect("in range");
        let backends: Vec<_> = (0..size).map(|n| Backend::new(Address::Inet(address(n)))).collect();
        pool.add_all(&backends).expect("all differ");
        let mut n = 0u64;
        let mut now = Clock.now();
        group.bench_function(BenchmarkId::new("trimtab", size), |bencher| {
            bencher.iter(|| {
                n += 1;
                if n % 64 == 0 {
                    now = Clock.now();
                }
                let key = key(n);
                let pick = pool.pick(&Request { lane: Lane::Own(0), key: &key, now, avoid: &[] });
                let token = black_box(pick.expect("all are up")).token;
                let timings = Timings { first_byte: Some(1_000_000), ..Timings::default() };
                pool.done(Lane::Own(0), token, Outcome::Success, &timings, now).expect("picked here");
            });
        });
    }
    group.finish();
}

fn theirs<S>(criterion: &mut Criterion, name: &str)
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    let mut group = criterion.benchmark_group(name);
    for size in SIZES {
        let balancer = LoadBalancer::<S>::try_from_iter((0..size).map(address)).expect("all parse");
        let mut n = 0u64;
        group.bench_function(BenchmarkId::new("pingora", size), |bencher| {
            bencher.iter(|| {
                n += 1;
                black_box(balancer.select(&key(n), LOOKS).expect("all are up"))
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    ours(&mut criterion, "round-robin", Policy::RoundRobin);
    theirs::<RoundRobin>(&mut criterion, "round-robin");
    ours(&mut criterion, "random", Policy::Random);
    theirs::<Random>(&mut criterion, "random");
    ours(&mut criterion, "ring", Policy::Hash);
    theirs::<Consistent>(&mut criterion, "ring");
    criterion.final_summary();
}
