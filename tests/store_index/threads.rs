//! Threads that read while one writes.

use std::sync::atomic::{AtomicBool, Ordering};

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
