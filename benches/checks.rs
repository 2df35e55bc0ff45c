//! What do 10,000 checks cost, and do they come in bursts?
//!
//! A server with one worker checks 10,000 backends by TCP each 2 s: addresses of 127.0.0.0/8, behind which one
//! listening socket of this process accepts and closes. After two intervals it is watched for ten seconds:
//!
//! - the processor's time of the worker's thread alone, of which a part is the system's for making loopback connections,
//!   theirs and the other side's: it delivers a packet in the thread that sends it;
//! - how many probes began in each 50 ms, by when they were accepted.
//!
//! `--test` is a short run of few backends, which only shows that it works.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trimtab::balance::Observed;
use trimtab::server::Server;

/// The span that probes are counted in.
const BUCKET: Duration = Duration::from_millis(50);
/// From one probe of a backend to the next.
const INTERVAL: Duration = Duration::from_secs(2);
/// What the worker may take of a core, and a bucket of the mean.
const SHARE_MAX: f64 = 0.15;
const BURST_MAX: f64 = 2.0;

fn main() {
    let is_smoke = std::env::args().any(|argument| argument == "--test");
    let (backends, watched) =
        if is_smoke { (200, Duration::from_millis(500)) } else { (10_000, Duration::from_secs(10)) };

    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let begun = Instant::now();
    let buckets: Arc<Vec<AtomicU64>> = Arc::new((0..4_096).map(|_| AtomicU64::new(0)).collect());
    let is_over = Arc::new(AtomicBool::new(false));
    let target = {
        let (buckets, is_over) = (Arc::clone(&buckets), Arc::clone(&is_over));
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok(_) => {
                        let bucket = (begun.elapsed().as_nanos() / BUCKET.as_nanos()) as usize;
                        buckets[bucket.min(buckets.len() - 1)].fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    Err(error) => panic!("the target cannot accept: {error}"),
                }
            }
        })
    };

    let lines: Vec<String> = (0..backends)
        .map(|n| {
            format!("{{ address = \"127.{}.{}.{}:{port}\" }}", 1 + n / 62_500, n / 250 % 250, 1 + n % 250)
        })
        .collect();
    let server = Server::from_toml(
        &format!(
            "[runtime]\nworkers = 1\n[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n[[pool]]\n\
             name = \"app\"\ncheck = {{ kind = \"tcp\", interval = \"{}s\" }}\nbackend = [\n{}\n]\n",
            INTERVAL.as_secs(),
            lines.join(",\n")
        ),
        "benches/checks.rs",
    )
    .expect("the configuration is good");
    server.start().expect("the server starts");

    // Until each has had its two good probes, and so the first burst of changes is over.
    let pool = server.pool("app").expect("it is configured");
    let end = Instant::now() + 30 * INTERVAL;
    let up = || pool.backends().iter().filter(|backend| backend.observed == Observed::Up).count();
    while up() < backends {
        assert!(Instant::now() < end, "{} of {backends} are up", up());
        std::thread::sleep(INTERVAL / 4);
    }

    let (from, took) = (bucket_now(begun) + 1, worker_time());
    let since = Instant::now();
    std::thread::sleep(watched);
    let (elapsed, took) = (since.elapsed(), worker_time() - took);
    let until = bucket_now(begun);
    let counts: Vec<u64> = buckets[from..until].iter().map(|count| count.load(Ordering::Relaxed)).collect();
    report(backends, elapsed, took, &counts);
    if !is_smoke {
        judge(backends, elapsed, took, &counts);
    }

    server.stop().expect("it runs");
    server.wait(None).expect("it ends");
    is_over.store(true, Ordering::Relaxed);
    // Gets the target out of `accept`.
    let _ = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    target.join().expect("the target does not panic");
}

fn bucket_now(begun: Instant) -> usize {
    (begun.elapsed().as_nanos() / BUCKET.as_nanos()) as usize
}

/// The processor's time that the server's one worker took so far.
fn worker_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    for task in tasks.map_while(Result::ok) {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        if read("comm").trim() == "trimtab/0" {
            let schedstat = read("schedstat");
            let nanos = schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok());
            return Duration::from_nanos(nanos.expect("the system counts the time of threads"));
        }
    }
    panic!("the server's worker is gone");
}

fn report(backends: usize, elapsed: Duration, took: Duration, counts: &[u64]) {
    let share = took.as_secs_f64() / elapsed.as_secs_f64();
    let probes: u64 = counts.iter().sum();
    let mean = backends as f64 * BUCKET.as_secs_f64() / INTERVAL.as_secs_f64();
    let most = counts.iter().copied().max().unwrap_or(0);
    println!("{backends} backends, a TCP check each {INTERVAL:?}, one worker, watched for {elapsed:.1?}");
    println!("the worker took {:.2} % of a core, {:.1?} a probe", share * 100.0, took / probes.max(1) as u32);
    println!("probes in {BUCKET:?}: {mean:.0} due, {most} at most");
    // A line for each twentieth of the mean.
    let step = (mean / 20.0).max(1.0);
    let mut histogram = std::collections::BTreeMap::new();
    for count in counts {
        *histogram.entry((*count as f64 / step) as u64).or_insert(0u64) += 1;
    }
    for (place, times) in histogram {
        let (low, high) = (place as f64 * step, (place + 1) as f64 * step);
        println!("  {low:>5.0} to {high:>5.0}: {}", "#".repeat(times as usize));
    }
}

/// Says whether the figures are what they should be. A busy machine makes both worse.
fn judge(backends: usize, elapsed: Duration, took: Duration, counts: &[u64]) {
    let share = took.as_secs_f64() / elapsed.as_secs_f64();
    let mean = backends as f64 * BUCKET.as_secs_f64() / INTERVAL.as_secs_f64();
    let most = counts.iter().copied().max().unwrap_or(0);
    let judged = |is_met: bool| if is_met { "met" } else { "MISSED" };
    println!("below {:.0} % of a core: {}", SHARE_MAX * 100.0, judged(share < SHARE_MAX));
    println!("no burst above {BURST_MAX} times the mean: {}", judged((most as f64) <= BURST_MAX * mean));
}
