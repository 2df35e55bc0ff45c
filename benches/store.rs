//! What does it cost to read and write the store's index in the process itself?
//!
//! Keys have 16 bytes and are 1 M, in no order, as a client of a database would have them.
//!
//! - `get/<value bytes>`: one key from the published view, in nanoseconds.
//! - `get-while-writing/<threads>`: the same by threads while one more writes without a pause; wall time per get
//!   and thread, so two threads that do not disturb each other show the figure of one (given a core each).
//! - `put/<value bytes>/<batch>`: one encoded command applied; readers are shown the index after each batch.
//! - `memory`: what the process grew by for each key, printed once.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use trimtab::store::index::{
    Command, Condition, Index, Lifetime, Operation, Options, Reader, Step, Timestamp,
};

const VALUES: [usize; 2] = [8, 128];

/// 1 M keys, or a few when it is only to be seen that this works.
fn keys() -> Vec<[u8; 16]> {
    let count: u64 = if std::env::args().any(|arg| arg == "--test") { 10_000 } else { 1_000_000 };
    (0..count).map(key).collect()
}

fn key(n: u64) -> [u8; 16] {
    let number = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000_000_000_000;
    let mut key = *b"key:000000000000";
    let digits = number.to_string();
    key[16 - digits.len()..].copy_from_slice(digits.as_bytes());
    key
}

fn put(key: &[u8], value: &[u8], encoded: &mut Vec<u8>) {
    let step = Step::Put {
        key,
        value,
        condition: Condition::Always,
        lifetime: Lifetime::Unbounded,
        previous: false,
    };
    encoded.clear();
    Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) }.encode(encoded);
}

fn filled(keys: &[[u8; 16]], value: &[u8]) -> Index {
    let before = resident_bytes();
    let mut index = Index::new(&Options { history_bytes_max: 1 << 20 });
    let mut encoded = Vec::new();
    for (sequence, key) in (1..).zip(keys) {
        put(key, value, &mut encoded);
        index.apply(sequence, &encoded).expect("the sequence rises");
    }
    index.publish();
    // Only the first is told: a later one lives in what an earlier one has left.
    if value.len() == VALUES[0] {
        let grown = resident_bytes().saturating_sub(before) / keys.len() as u64;
        println!("memory: {grown} bytes a key, values of {} bytes", value.len());
    }
    index
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

/// `count` gets of keys far from each other.
fn gets(reader: &Reader, keys: &[[u8; 16]], count: u64, offset: u64) {
    let now = Timestamp::default();
    for n in 0..count {
        let key = &keys[(n.wrapping_add(offset).wrapping_mul(7_919) % keys.len() as u64) as usize];
        black_box(reader.with(|view| view.get(key, now).map(|entry| entry.version)));
    }
}

fn writes(index: &mut Index, keys: &[[u8; 16]], value: &[u8], batch: u64, count: u64) {
    let mut encoded = Vec::new();
    for n in 0..count {
        let sequence = index.state().sequence() + 1;
        let key = &keys[(sequence.wrapping_mul(104_729) % keys.len() as u64) as usize];
        put(key, value, &mut encoded);
        index.apply(sequence, &encoded).expect("the sequence rises");
        if n % batch == batch - 1 {
            index.publish();
        }
    }
    index.publish();
}

/// Wall time of `count` gets on each of `threads` while another writes.
fn gets_while_writing(
    index: &mut Index,
    keys: &[[u8; 16]],
    value: &[u8],
    threads: u64,
    count: u64,
) -> Duration {
    let (reader, is_done, start) =
        (index.reader(), AtomicBool::new(false), Barrier::new(threads as usize + 1));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|n| {
                let (reader, start) = (&reader, &start);
                scope.spawn(move || {
                    start.wait();
                    let begun = Instant::now();
                    gets(reader, keys, count, n * 1_000_003);
                    begun.elapsed()
                })
            })
            .collect();
        scope.spawn(|| {
            start.wait();
            while !is_done.load(Ordering::Relaxed) {
                writes(index, keys, value, 1, 64);
            }
        });
        let slowest = readers.into_iter().map(|reader| reader.join().expect("it does not panic")).max();
        is_done.store(true, Ordering::Relaxed);
        slowest.expect("there is one")
    })
}

fn store(criterion: &mut Criterion) {
    let keys = keys();
    for len in VALUES {
        let value = vec![b'v'; len];
        let mut index = filled(&keys, &value);
        let reader = index.reader();
        criterion.bench_function(&format!("get/{len}"), |bencher| {
            let mut offset = 0;
            bencher.iter_custom(|count| {
                offset += 1_000_003;
                let begun = Instant::now();
                gets(&reader, &keys, count, offset);
                begun.elapsed()
            });
        });
        for threads in [1, 2] {
            criterion.bench_function(&format!("get-while-writing/{len}/{threads}"), |bencher| {
                bencher.iter_custom(|count| gets_while_writing(&mut index, &keys, &value, threads, count));
            });
        }
        for batch in [1, 16] {
            criterion.bench_function(&format!("put/{len}/{batch}"), |bencher| {
                bencher.iter_custom(|count| {
                    let begun = Instant::now();
                    writes(&mut index, &keys, &value, batch, count);
                    begun.elapsed()
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = store
}
criterion_main!(benches);
