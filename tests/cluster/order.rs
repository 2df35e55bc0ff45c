//! What is asked for without waiting for answers is done in the order in which it was asked for, whoever is primary meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use trimtab::embedded::{Call, Queue, Submission};
use trimtab::store::index::{Condition, Lifetime, Operation, Step};

use crate::support::{Cluster, PATIENCE};

fn put<'a>(key: &'a [u8], value: &'a [u8], user_data: u64) -> Submission<'a> {
    let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
    let operation = Operation::Step(Step::Put { key, value, condition, lifetime, previous: false });
    Submission { operation, request: None, durability: None, nodes: 0, user_data }
}

/// Submits a row of writes of one key; answers whether all were done.
fn write_row(queue: &Queue, key: &[u8]) -> bool {
    const ROW: u64 = 10;
    let values: Vec<[u8; 1]> = (0..ROW).map(|value| [value as u8]).collect();
    let row: Vec<_> = (0..).zip(&values).map(|(at, value)| put(key, value, at)).collect();
    let (taken, result) = queue.submit(&row);
    assert_eq!((taken as u64, result), (ROW, Ok(())));
    let mut done = Vec::new();
    while (done.len() as u64) < ROW {
        done.extend(queue.wait(16, PATIENCE).expect("they are answered"));
    }
    done.iter().all(|it| it.result.is_ok())
}

#[test]
fn writes_of_a_queue_keep_their_order_while_the_primary_changes() {
    let cluster = Cluster::new(3, 0);
    let first = cluster.primary();
    let others: Vec<usize> = (0..3).filter(|at| *at != first).collect();
    let (is_over, rows) = (AtomicBool::new(false), AtomicUsize::new(0));
    // On one that is primary now and then, and on one that never is.
    std::thread::scope(|scope| {
        let (cluster, is_over, rows) = (&cluster, &is_over, &rows);
        for at in [first, others[1]] {
            scope.spawn(move || {
                let store = cluster.store(at);
                let queue = store.queue(64).unwrap();
                for number in 0u32.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = [b"row-", &[at as u8][..], &number.to_be_bytes()[..]].concat();
                    if write_row(&queue, &key) {
                        let found = store.get(&key).unwrap().expect("it was written");
                        assert_eq!(&*found.value, [9], "row {number} on node {at}");
                        rows.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let (mut primary, mut handovers) = (first, 0);
        while handovers < 40 || handovers < 4_000 && rows.load(Ordering::Relaxed) < 100 {
            let next = if primary == first { others[0] } else { first };
            cluster.store(primary).transfer(cluster.name(next), Some(PATIENCE)).unwrap();
            (primary, handovers) = (next, handovers + 1);
            // That one takes writes.
            cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
