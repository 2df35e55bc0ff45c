//! Threads that read while one writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use trimtab::store::index::{
    Command, Condition, Index, Lifetime, OnRefusal, Operation, Options, Range, Step, Timestamp, Transaction,
};

const ACCOUNTS: usize = 40;
const SUM: i64 = 1_000 * ACCOUNTS as i64;

/// Money goes from one account to another in transactions: whoever reads sees the whole sum, in one view and in
/// whatever order, and sequences never step back.
#[test]
fn a_transaction_is_seen_whole() {
    let mut index = Index::new(&Options::default());
    let keys: Vec<Vec<u8>> = (0..ACCOUNTS).map(|n| format!("account:{n:03}").into_bytes()).collect();
    let time = Timestamp::from_millis(1);
    for (n, key) in keys.iter().enumerate() {
        let put = Step::Put {
            key,
            value: b"1000",
            condition: Condition::Always,
            lifetime: Lifetime::Unbounded,
            previous: false,
        };
        let command = Command { time, request: None, operation: Operation::Step(put) };
        index.apply_command(n as u64 + 1, &command).unwrap();
    }
    index.publish();
    let number = |value: &[u8]| std::str::from_utf8(value).unwrap().parse::<i64>().unwrap();
    let is_done = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|n| {
                let (reader, keys, is_done) = (index.reader(), &keys, &is_done);
                scope.spawn(move || {
                    let (mut last, mut reads, mut seen) = (0, 0u64, 0u64);
                    while !is_done.load(Ordering::Acquire) || reads == 0 {
                        let view = reader.view();
                        assert!(view.sequence() >= last);
                        seen += u64::from(view.sequence() > last);
                        last = view.sequence();
                        let sum: i64 = if n == 0 {
                            let page = view.range(&Range::ALL, 0, u64::MAX, false, time);
                            page.entries.iter().map(|(_, entry)| number(entry.value)).sum()
                        } else {
                            keys.iter().map(|key| number(view.get(key, time).unwrap().value)).sum()
                        };
                        assert_eq!(sum, SUM);
                        reads += 1;
                    }
                    (reads, seen)
                })
            })
            .collect();
        let mut rng = trimtab::rng::Rng::new(11);
        let mut held = Vec::new();
        for sequence in 0..30_000 {
            let (from, to) = (rng.below(ACCOUNTS as u64) as usize, rng.below(ACCOUNTS as u64) as usize);
            let by = rng.below(100) as i64;
            let then =
                vec![Step::Increment { key: &keys[from], by: -by }, Step::Increment { key: &keys[to], by }];
            let transaction =
                Transaction { conditions: vec![], then, otherwise: vec![], on_refusal: OnRefusal::Abort };
            let command = Command { time, request: None, operation: Operation::Transaction(transaction) };
            index.apply_command(sequence + 100, &command).unwrap();
            // Several in a batch now and then.
            if rng.below(4) > 0 {
                index.publish();
            }
            if sequence % 1_000 == 0 {
                held.push(index.reader().view());
            }
        }
        is_done.store(true, Ordering::Release);
        for view in held {
            let page = view.range(&Range::ALL, 0, u64::MAX, true, time);
            assert_eq!(page.entries.iter().map(|(_, entry)| number(entry.value)).sum::<i64>(), SUM);
        }
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(reads.iter().all(|(reads, seen)| *reads > 0 && *seen > 0), "{reads:?}");
}

/// An index whose readers ask for a view where there is none, and how often they did.
fn served() -> (Arc<Mutex<Index>>, Arc<AtomicU64>) {
    let index = Arc::new(Mutex::new(Index::new(&Options::default())));
    let asked = Arc::new(AtomicU64::new(0));
    let (writer, count) = (Arc::downgrade(&index), Arc::clone(&asked));
    index.lock().unwrap().serve(move || {
        count.fetch_add(1, Ordering::Relaxed);
        writer.upgrade().unwrap().lock().unwrap().view()
    });
    (index, asked)
}

fn increment(index: &Mutex<Index>, sequence: u64) {
    let mut index = index.lock().unwrap();
    let operation = Operation::Step(Step::Increment { key: b"n", by: 1 });
    let time = Timestamp::from_millis(sequence);
    index.apply_command(sequence, &Command { time, request: None, operation }).unwrap();
    index.offer();
}

#[test]
fn who_reads_after_a_while_of_writes_asks_for_a_view() {
    let (index, asked) = served();
    let reader = index.lock().unwrap().reader();
    let now = Timestamp::default();
    let value = |view: &trimtab::store::index::View| view.get(b"n", now).map(|entry| entry.value.to_vec());
    for sequence in 1..=9 {
        increment(&index, sequence);
    }
    assert_eq!(reader.time(), Timestamp::from_millis(9), "it is known without a view");
    let ninth = reader.view();
    assert_eq!((value(&ninth), asked.load(Ordering::Relaxed)), (Some(b"9".to_vec()), 1));
    assert_eq!(reader.with(value), Some(b"9".to_vec()));
    // Somebody reads: there is a view after each write.
    for sequence in 10..=12 {
        increment(&index, sequence);
        assert_eq!(reader.with(value), Some(sequence.to_string().into_bytes()));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // Nobody does: it is made for the next who comes.
    (13..=20).for_each(|sequence| increment(&index, sequence));
    assert_eq!(reader.with(value), Some(b"20".to_vec()));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(value(&ninth), Some(b"9".to_vec()), "a view never changes");
}

/// What was offered before a view is asked for is in it, however reading and writing fall together.
#[test]
fn a_reader_sees_what_was_offered_before() {
    let (index, asked) = served();
    let (offered, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for pause in [1, 7, 300] {
            let (reader, offered, is_done) = (index.lock().unwrap().reader(), &offered, &is_done);
            scope.spawn(move || {
                let mut last = 0;
                while !is_done.load(Ordering::Acquire) {
                    let least = offered.load(Ordering::Acquire).max(last);
                    last = reader.with(|view| {
                        assert!(
                            view.sequence() >= least,
                            "{} was offered, {} is seen",
                            least,
                            view.sequence()
                        );
                        let value = view.get(b"n", Timestamp::default()).map(|entry| entry.value.to_vec());
                        let expected =
                            (view.sequence() > 0).then(|| view.sequence().to_string().into_bytes());
                        assert_eq!(value, expected, "a view is of one moment");
                        view.sequence()
                    });
                    (0..pause).for_each(|_| std::thread::yield_now());
                }
            });
        }
        for sequence in 1..=2_000 {
            increment(&index, sequence);
            offered.store(sequence, Ordering::Release);
        }
        is_done.store(true, Ordering::Release);
    });
    assert!(asked.load(Ordering::Relaxed) > 0, "the view was never taken back");
}

/// What takes long is done beside a view, so that nobody waits for it.
#[test]
fn a_long_operation_leaves_a_view_to_read() {
    let (index, asked) = served();
    let reader = index.lock().unwrap().reader();
    (1..=9).for_each(|sequence| increment(&index, sequence));
    let now = Timestamp::default();
    let operation = Operation::Step(Step::DeleteRange { range: Range::ALL, limit: 0 });
    index.lock().unwrap().apply_command(10, &Command { time: now, request: None, operation }).unwrap();
    assert_eq!((reader.count(&Range::ALL, now), asked.load(Ordering::Relaxed)), (1, 0), "as it was before");
    index.lock().unwrap().offer();
    assert_eq!(reader.count(&Range::ALL, now), 0);
}
