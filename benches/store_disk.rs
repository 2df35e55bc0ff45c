//! What do the store's log, its start and its snapshots cost, beside what the disk and the machine can do?
//!
//! - `log`: records of 160 bytes made durable, one at a time and 50 at a time, by a [`Wal`] on its threads, which are
//!   woken and wake, and by one that its caller turns; beside it the bare calls for as many bytes: `pwrite` and
//!   `fdatasync` over blocks that were written before, and into a file of which only the room was allocated. The rounds
//!   take turns; the ratio is that of the same round.
//! - `start`: a store opened that has a log and no snapshot, in bytes of log a second. The files are in the page cache.
//! - `snapshot`: a snapshot of a large store while one thread puts and one reads, each at a pace: by how much the
//!   process grows, and what the slowest hundredth of calls takes with the snapshot and without.
//!
//! `cargo bench --bench store_disk`, or with `-- --rounds N --only NAME --dir DIRECTORY`, which should lie on the disk
//! that is asked about; `-- --test` makes one short round of each. Figures are medians (least to greatest round).

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use trimtab::embedded::{Call, Options, Store};
use trimtab::store::engine::Durability;
use trimtab::store::log::{Disk, Epoch, Identity};
use trimtab::time::Clock;
use trimtab::wal::{FileDisk, Mode, Wal};

/// A record as a put of 128 bytes leaves it.
const PAYLOAD: usize = 152;
const VALUE: usize = 128;

struct Plan {
    rounds: usize,
    round: Duration,
    dir: PathBuf,
    only: Option<String>,
    /// Keys of the store that is started.
    start_keys: u64,
    /// Bytes of values of the store of which a snapshot is written.
    snapshot_bytes: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1).unwrap_or_else(|| panic!("{name} wants a value")).clone())
    };
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let parent = value("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let plan = Plan {
        rounds: value("--rounds").map_or(if is_test { 1 } else { 9 }, |text| text.parse().expect("a number")),
        round: Duration::from_millis(if is_test { 10 } else { 500 }),
        dir: parent.join(format!("trimtab-bench-store-{}", std::process::id())),
        only: value("--only"),
        start_keys: if is_test { 2_000 } else { 2_000_000 },
        snapshot_bytes: if is_test { 1 << 20 } else { 1 << 30 },
    };
    fs::create_dir_all(&plan.dir).expect("the directory can be made");
    for (name, run) in [("log", log as fn(&Plan)), ("start", start), ("snapshot", snapshot)] {
        if plan.only.as_deref().is_none_or(|only| only == name) {
            run(&plan);
        }
    }
    fs::remove_dir_all(&plan.dir).expect("the directory can be removed");
}

fn median(mut all: Vec<f64>) -> (f64, f64, f64) {
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[0], all[all.len() - 1])
}

fn print(name: &str, all: Vec<f64>, unit: &str) {
    let (middle, least, greatest) = median(all);
    println!("{name:<52} {middle:>10.2} ({least:.2} to {greatest:.2}) {unit}");
}

// --- log -------------------------------------------------------------------------------------------------

const FILE_BYTES: u64 = 64 << 20;

/// A file of that length, allocated and no more, or with all of its blocks written.
fn file(dir: &Path, is_written: bool) -> File {
    let name = trimtab::store::log::File::Segment(1);
    fs::create_dir_all(dir).expect("the directory can be made");
    let disk = FileDisk::new(dir).expect("the directory opens");
    disk.create(name, FILE_BYTES).expect("it has room");
    let file = OpenOptions::new().write(true).open(disk.name(name)).expect("it is there");
    if is_written {
        let block = vec![1; 1 << 20];
        for at in 0..FILE_BYTES >> 20 {
            file.write_all_at(&block, at << 20).expect("it has room");
        }
    }
    file.sync_all().expect("it is synced");
    file
}

/// Microseconds for each write and sync of so many bytes, one behind the other.
fn bare(file: &File, offset: &mut u64, bytes: usize, round: Duration) -> f64 {
    let data = vec![2; bytes];
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < round {
        if *offset + bytes as u64 > FILE_BYTES {
            *offset = 0;
        }
        file.write_all_at(&data, *offset).expect("it has room");
        file.sync_data().expect("it is synced");
        *offset += bytes as u64;
        count += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// Microseconds until `batch` records are durable.
fn durable(wal: &Wal, batch: usize, round: Duration) -> f64 {
    let payload = [3; PAYLOAD];
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < round {
        let deadline = Clock.now().saturating_add(Duration::from_secs(60));
        let append = |log: &mut trimtab::store::log::Log| {
            let mut last = None;
            for _ in 0..batch {
                last = Some(log.append(Epoch(1), 0, &payload)?);
            }
            Ok(last.expect("there is one"))
        };
        let last = wal.update(Some(deadline), append).expect("the log takes it");
        wal.wait_durable(last.ticket, deadline).expect("the disk works");
        count += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn log(plan: &Plan) {
    for (mode, name) in [(Mode::Threads, "by its thread"), (Mode::Inline, "by who waits")] {
        log_by(plan, mode, name);
    }
}

fn log_by(plan: &Plan, mode: Mode, name: &str) {
    let identity = Identity { cluster: [1; 16], node: 1 };
    let options = trimtab::store::log::Options::default();
    let dir = plan.dir.join(name);
    fs::create_dir_all(&dir).expect("the directory can be made");
    let (wal, _) =
        Wal::open(dir.join("wal"), options, identity, mode, &mut |_, _| ()).expect("the log is made");
    let (written, allocated) = (file(&dir.join("written"), true), file(&dir.join("allocated"), false));
    for batch in [1, 50] {
        let bytes = batch * trimtab::store::log::record::record_bytes(PAYLOAD);
        let (mut over, mut into) = (0, 0);
        let [mut ours, mut overwrites, mut fills, mut ratios] = [const { Vec::new() }; 4];
        for round in 0..=plan.rounds {
            let overwrite = bare(&written, &mut over, bytes, plan.round);
            let own = durable(&wal, batch, plan.round);
            let fill = bare(&allocated, &mut into, bytes, plan.round);
            // The first warms up.
            if round > 0 {
                ours.push(own);
                overwrites.push(overwrite);
                fills.push(fill);
                ratios.push(own / overwrite);
            }
        }
        print(&format!("log, {batch} records ({bytes} bytes) durable, {name}"), ours, "us");
        print("  pwrite and fdatasync over written blocks", overwrites, "us");
        print("  pwrite and fdatasync into an allocated file", fills, "us");
        print("  the log's time to that over written blocks", ratios, "times");
    }
    wal.close(0).expect("it is closed");
}

// --- start -----------------------------------------------------------------------------------------------

fn key(n: u64) -> [u8; 16] {
    let mut key = *b"key0000000000000";
    let digits = format!("{:013x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12);
    key[3..].copy_from_slice(digits.as_bytes());
    key
}

fn memory(store: &Store, key: &[u8], value: &[u8]) {
    let call = Call { durability: Some(Durability::Memory), ..Call::default() };
    store.put(key, value, &call).expect("the store takes it");
}

fn start(plan: &Plan) {
    let dir = plan.dir.join("start");
    let mut options = Options::default();
    options.engine.snapshot_bytes = 1 << 40;
    let bytes = {
        let store = Store::open(&dir, options.clone()).expect("the store is made");
        for n in 0..plan.start_keys {
            // Half of the writes are of keys that are there already.
            memory(&store, &key(n / 2), &[b'v'; VALUE]);
        }
        store.sync(None).expect("the disk works");
        let bytes = store.status().expect("it is open").counts.flushed_bytes as f64;
        store.close().expect("it is closed");
        bytes
    };
    let mut rates = Vec::new();
    for _ in 0..plan.rounds {
        let begun = Instant::now();
        let store = Store::open(&dir, options.clone()).expect("the store opens");
        rates.push(bytes / 1e6 / begun.elapsed().as_secs_f64());
        assert_eq!(store.status().expect("it is open").keys, plan.start_keys.div_ceil(2));
        store.close().expect("it is closed");
    }
    print(&format!("start, a log of {:.0} MB", bytes / 1e6), rates, "MB/s");
    fs::remove_dir_all(dir).expect("it can be removed");
}

// --- snapshot --------------------------------------------------------------------------------------------

const PUTS_PER_SECOND: u32 = 5_000;
const GETS_PER_SECOND: u32 = 20_000;

fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

/// Calls `work` so many times a second until told to stop; the times of all calls in nanoseconds, the waiting for a
/// processor included that a caller would have too.
fn paced(per_second: u32, is_over: &AtomicBool, mut work: impl FnMut(u64)) -> Vec<u64> {
    let pause = Duration::from_secs(1) / per_second;
    let (mut due, mut number, mut times) = (Instant::now(), 0, Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // What fell due while this thread slept is done in a row.
        while due <= Instant::now() {
            let begun = Instant::now();
            work(number);
            times.push(begun.elapsed().as_nanos() as u64);
            number += 1;
            due += pause;
        }
    }
    times
}

fn percentile(times: &mut [u64], part: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize] as f64 / 1e3
}

/// Puts and gets at their pace while `beside` runs; the 99th percentile of each in microseconds, and the most that the
/// process had meanwhile.
fn under_load(store: &Store, keys: u64, value: &[u8], beside: impl FnOnce()) -> (f64, f64, u64) {
    let is_over = AtomicBool::new(false);
    let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys;
    std::thread::scope(|scope| {
        let puts =
            scope.spawn(|| paced(PUTS_PER_SECOND, &is_over, |n| memory(store, &key(spread(n)), value)));
        let gets = scope.spawn(|| {
            paced(GETS_PER_SECOND, &is_over, |n| {
                let found = store.get_with(&key(spread(n + 7)), |entry| entry.value.len());
                assert_eq!(found.expect("it is open"), Some(value.len()));
            })
        });
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(resident_bytes());
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        beside();
        is_over.store(true, Ordering::Relaxed);
        let mut puts = puts.join().expect("it does not panic");
        let mut gets = gets.join().expect("it does not panic");
        let most = watch.join().expect("it does not panic");
        (percentile(&mut puts, 0.99), percentile(&mut gets, 0.99), most)
    })
}

fn snapshot(plan: &Plan) {
    let value = [b'v'; 1_000];
    let keys = plan.snapshot_bytes / value.len() as u64;
    let mut options = Options::default();
    // One is written when it is asked for, and at no other time.
    options.engine.snapshot_bytes = 1 << 40;
    let dir = plan.dir.join("snapshot");
    let store = Store::open(&dir, options).expect("the store is made");
    for n in 0..keys {
        memory(&store, &key(n), &value);
    }
    store.sync(None).expect("the disk works");
    let [mut puts, mut gets, mut growth, mut took] = [const { Vec::new() }; 4];
    for round in 0..=plan.rounds {
        let (quiet_put, quiet_get, before) =
            under_load(&store, keys, &value, || std::thread::sleep(plan.round * 4));
        let begun = Instant::now();
        let (put, get, most) = under_load(&store, keys, &value, || {
            store.snapshot(Some(Duration::from_secs(600))).expect("it is written");
        });
        // The first warms up.
        if round > 0 {
            took.push(begun.elapsed().as_secs_f64());
            puts.push(put / quiet_put);
            gets.push(get / quiet_get);
            growth.push(100.0 * (most as f64 / before as f64 - 1.0));
        }
    }
    print(&format!("snapshot of {} MB under load", plan.snapshot_bytes / 1_000_000), took, "s");
    print("  p99 of a put, to that without one", puts, "times");
    print("  p99 of a get, to that without one", gets, "times");
    print("  growth of the process", growth, "%");
    store.close().expect("it is closed");
}
