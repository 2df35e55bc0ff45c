//! Submitted calls.

use std::os::fd::AsRawFd;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use trimtab::Error;
use trimtab::embedded::{Completed, Options, Queue, Store, Submission};
use trimtab::store::engine::Durability;
use trimtab::store::index::{Answer, Operation, RequestId, Step};

use crate::support::{Folder, LONG, local, memory, open, small, value_of};

fn increment(user_data: u64, durability: Durability) -> Submission<'static> {
    let operation = Operation::Step(Step::Increment { key: b"n", by: 1 });
    Submission { operation, request: None, durability: Some(durability), nodes: 0, user_data }
}

#[allow(unsafe_code)]
fn is_readable(queue: &Queue, timeout: Duration) -> bool {
    use std::os::fd::AsFd;
    let mut poll = libc::pollfd { fd: queue.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one writable pollfd.
    unsafe { libc::poll(&raw mut poll, 1, timeout.as_millis() as i32) == 1 }
}

#[test]
fn each_submission_is_completed_once_and_in_order() {
    let folder = Folder::new("queue");
    let store = open(&folder);
    let queue = store.queue(10_000).unwrap();
    assert!(!is_readable(&queue, Duration::ZERO) && queue.take(10).is_empty());
    let mut seen = 0;
    for round in 0..10 {
        let durability = |at: u64| if at.is_multiple_of(3) { Durability::Local } else { Durability::Memory };
        let batch: Vec<_> =
            (round * 100..round * 100 + 100).map(|at| increment(at, durability(at))).collect();
        let (taken, result) = queue.submit(&batch);
        assert!(taken == 100 && result.is_ok());
        while seen < (round + 1) * 100 {
            assert!(is_readable(&queue, LONG));
            for completed in queue.take(7) {
                assert_eq!(completed.user_data, seen);
                let done = completed.result.unwrap();
                assert!(done.durability >= durability(seen));
                seen += 1;
                assert_eq!(done.answer, Answer::Number(seen as i64));
            }
        }
        assert!(!is_readable(&queue, Duration::ZERO) && queue.under_way() == 0);
    }
    assert!(matches!(queue.wait(1, Duration::from_millis(5)), Err(Error::TimedOut { .. })));
    assert_eq!(value_of(&store, b"n").unwrap(), b"1000");
}

#[test]
fn a_full_queue_refuses_and_a_closed_store_answers() {
    let folder = Folder::new("queue-full");
    let store = open(&folder);
    let queue = store.queue(4).unwrap();
    let batch: Vec<_> = (0..6).map(|at| increment(at, Durability::Local)).collect();
    let (taken, result) = queue.submit(&batch);
    assert_eq!(taken, 4);
    assert!(matches!(result, Err(Error::Capacity { what: "queue_capacity", limit: 4 })));
    // Done and not taken counts as well.
    store.sync(None).unwrap();
    assert_eq!(queue.submit(&batch).0, 0);
    assert_eq!(queue.wait(2, LONG).unwrap().len(), 2);
    let (taken, result) = queue.submit(&batch);
    assert!(taken == 2 && result.is_err());
    let wrong = Submission { durability: Some(Durability::All), ..increment(9, Durability::Local) };
    assert_eq!(queue.take(1).len(), 1);
    let (taken, result) = queue.submit(&[wrong]);
    assert!(taken == 0 && matches!(result, Err(Error::Unsupported { .. })));
    store.close().unwrap();
    // What was taken was done before the end, and can still be fetched.
    let done = queue.take(10);
    assert!(done.len() == 3 && done.iter().all(|completed| completed.result.is_ok()), "{done:?}");
    let (taken, result) = queue.submit(&batch);
    assert!(taken == 0 && matches!(result, Err(Error::State { .. })));
    for capacity in [0, 1 << 25] {
        assert!(matches!(open(&folder).queue(capacity), Err(Error::InvalidArgument { .. })));
    }
}

/// Each of several threads that wait is told, whoever takes what was under way; and so is who asks later, or polls.
#[test]
fn who_waits_is_told_of_the_end() {
    for is_hosted in [false, true] {
        let folder = Folder::new("queue-end");
        let store = Store::open(folder.path(), Options { is_hosted, ..small() }).unwrap();
        let queue = store.queue(4).unwrap();
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            let (queue, barrier) = (&queue, &barrier);
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(move || {
                        barrier.wait();
                        let mut taken = 0;
                        loop {
                            match queue.wait(1, LONG) {
                                Ok(done) => taken += done.len(),
                                Err(error) => return (taken, error),
                            }
                        }
                    })
                })
                .collect();
            barrier.wait();
            assert_eq!(queue.submit(&[increment(1, Durability::Local)]).0, 1);
            store.close().unwrap();
            let ends: Vec<_> = waiting.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(ends.iter().map(|(taken, _)| taken).sum::<usize>(), 1);
            for (_, error) in ends {
                assert!(matches!(error, Error::State { what: "store", .. }), "{error}");
            }
        });
        assert!(matches!(queue.wait(1, Duration::ZERO), Err(Error::State { .. })));
        assert!(queue.take(1).is_empty() && !is_readable(&queue, Duration::ZERO), "who polls is told once");
    }
}

#[test]
fn more_than_fits_waits_for_its_turn() {
    let folder = Folder::new("queue-stall");
    let mut options = crate::support::small();
    options.engine.log.pending_bytes_max = 64 << 10;
    options.engine.log.segment_bytes = 16 << 10;
    options.engine.snapshot_bytes = 64 << 10;
    let store = trimtab::embedded::Store::open(folder.path(), options).unwrap();
    let queue = store.queue(4_096).unwrap();
    // Each append writes the whole value into the index: it stays a small one.
    let value = [7; 200];
    let put = |at: u64| Submission {
        operation: Operation::Step(Step::Append { key: b"all", value: &value[..(at % 200) as usize] }),
        request: None,
        durability: Some(if at.is_multiple_of(2) { Durability::Local } else { Durability::Memory }),
        nodes: 0,
        user_data: at,
    };
    // More than the log may hold in memory, and than several segments do.
    let batch: Vec<_> = (0..2_000).map(put).collect();
    assert_eq!(queue.submit(&batch).0, 2_000);
    // A sync comes behind all of them, those included that still wait.
    let sequence = store.sync(None).unwrap();
    assert_eq!((sequence, queue.under_way()), (2_000, 0));
    let (mut next, mut length) = (0, 0);
    while next < 2_000 {
        for completed in queue.wait(usize::MAX, LONG).unwrap() {
            assert_eq!(completed.user_data, next);
            length += next % 200;
            assert_eq!(completed.result.unwrap().answer, Answer::Length(length));
            next += 1;
        }
    }
}

#[test]
fn a_number_that_was_used_for_another_operation_is_refused_and_nothing_done() {
    let folder = Folder::new("queue-request");
    let store = open(&folder);
    let queue = store.queue(8).unwrap();
    let request = Some(RequestId { client: [1; 16], number: 7 });
    let put = Submission {
        operation: Operation::Step(Step::Append { key: b"k", value: b"v" }),
        request,
        durability: Some(Durability::Local),
        nodes: 0,
        user_data: 1,
    };
    let other = Submission { request, user_data: 2, ..increment(0, Durability::Local) };
    // Together, so that the second joins the first on its way; and when that is long since done.
    let (taken, result) = queue.submit(&[put.clone(), other.clone()]);
    assert_eq!((taken, result), (2, Ok(())));
    for round in 0..2 {
        let mut done = Vec::new();
        while done.len() < 2 {
            done.extend(queue.wait(2, LONG).unwrap());
        }
        done.sort_by_key(|completed| completed.user_data);
        assert_eq!(done[0].result.as_ref().unwrap().answer, Answer::Length(1), "{round}");
        let error = done[1].result.as_ref().unwrap_err();
        assert!(matches!(error, Error::State { what: "request", .. }), "{error}");
        assert_eq!(value_of(&store, b"n"), None);
        if round == 0 {
            assert_eq!(queue.submit(&[other.clone(), put.clone()]).0, 2);
        }
    }
    assert_eq!(value_of(&store, b"k"), Some(b"v".to_vec()));
}

#[test]
fn who_waits_for_the_disk_is_told_and_hurries_nobody() {
    for is_hosted in [false, true] {
        let folder = Folder::new("queue-durable");
        let mut options = Options { is_hosted, ..small() };
        options.engine.flush_interval = Duration::from_secs(3_600);
        let store = Store::open(folder.path(), options).unwrap();
        let queue = store.queue(3).unwrap();
        let sequence = store.call(&increment(0, Durability::Memory).operation, &memory()).unwrap().sequence;
        queue.submit_durable(sequence, 1).unwrap();
        queue.submit_durable(sequence + 1, 2).unwrap();
        assert!(!is_readable(&queue, Duration::from_millis(20)) && queue.under_way() == 2);
        let waited = store.wait_durable(sequence, Some(Duration::from_millis(20)));
        assert!(matches!(waited, Err(Error::TimedOut { .. })), "{waited:?}");
        let (soon, never) = (store.begin_wait_durable(sequence), store.begin_wait_durable(sequence + 2));
        let durable = store.sync(None).unwrap();
        assert_eq!(durable, sequence);
        assert_eq!(soon.unwrap().wait(LONG).unwrap().sequence, durable);
        let done = queue.wait(3, LONG).unwrap();
        let [Completed { user_data: 1, result: Ok(done) }] = &done[..] else { panic!("{done:?}") };
        assert_eq!((done.sequence, done.durability, done.nodes), (durable, Durability::Local, 1));
        assert_eq!(store.wait_durable(sequence, Some(Duration::ZERO)).unwrap(), durable);
        // What is there by now is told at once, and has its place like all else.
        queue.submit_durable(1, 3).unwrap();
        queue.submit_durable(sequence, 4).unwrap();
        let refused = queue.submit_durable(sequence, 5);
        assert!(matches!(refused, Err(Error::Capacity { what: "queue_capacity", .. })), "{refused:?}");
        assert_eq!(queue.take(9).iter().map(|it| it.user_data).collect::<Vec<_>>(), [3, 4]);
        store.close().unwrap();
        // Nothing more comes to the disk.
        let ended = never.unwrap().wait(Duration::ZERO);
        assert!(matches!(ended, Err(Error::State { .. })), "{ended:?}");
        let done = queue.take(9);
        let [Completed { user_data: 2, result: Err(Error::State { .. }) }] = &done[..] else {
            panic!("{done:?}")
        };
        assert!(matches!(queue.submit_durable(1, 6), Err(Error::State { .. })));
        assert!(matches!(store.wait_durable(1, None), Err(Error::State { .. })));
    }
}

#[test]
fn a_wait_that_is_taken_back_is_never_completed_and_keeps_no_place() {
    for is_hosted in [false, true] {
        let folder = Folder::new("queue-cancel");
        let store = Store::open(folder.path(), Options { is_hosted, waiting_max: 2, ..small() }).unwrap();
        let queue = store.queue(2).unwrap();
        for _ in 0..3 {
            queue.submit_durable(1_000, 1).unwrap();
            queue.submit_durable(1_001, 1).unwrap();
            assert!(matches!(queue.submit_durable(1_000, 2), Err(Error::Capacity { .. })));
            assert_eq!((queue.cancel(2), queue.cancel(1), queue.cancel(1)), (Ok(0), Ok(2), Ok(0)));
            assert_eq!(queue.under_way(), 0);
        }
        // A write is done, and what is done is to be taken.
        let sequence = store.call(&increment(0, Durability::Local).operation, &local()).unwrap().sequence;
        queue.submit_durable(sequence, 3).unwrap();
        assert_eq!(queue.submit(&[increment(3, Durability::Local)]).0, 1);
        assert_eq!(queue.cancel(3), Ok(0));
        let mut done = Vec::new();
        while done.len() < 2 {
            done.extend(queue.wait(2, LONG).unwrap());
        }
        assert!(done.iter().all(|it| it.user_data == 3 && it.result.is_ok()), "{done:?}");
        // What another waits for is its own.
        let other = store.queue(2).unwrap();
        other.submit_durable(1_000, 4).unwrap();
        queue.submit_durable(1_000, 4).unwrap();
        assert_eq!((queue.cancel(4), other.under_way()), (Ok(1), 1));
        store.close().unwrap();
        assert_eq!(queue.cancel(4), Ok(0));
        assert!(matches!(&other.take(2)[..], [Completed { user_data: 4, result: Err(_) }]));
        assert!(queue.take(2).is_empty());
    }
}

#[test]
fn what_waits_for_a_queue_that_is_gone_waits_no_more() {
    let folder = Folder::new("queue-gone");
    let store = Store::open(folder.path(), Options { waiting_max: 2, ..small() }).unwrap();
    for _ in 0..3 {
        let queue = store.queue(3).unwrap();
        queue.submit_durable(1_000, 1).unwrap();
        queue.submit_durable(1_000, 2).unwrap();
        // A call that waits elsewhere is told apart from one that gave up.
        assert!(matches!(store.begin_wait_durable(1_000), Err(Error::Capacity { what: "waiting_max", .. })));
        assert_eq!(queue.submit(&[increment(3, Durability::Local)]).0, 1);
    }
    let queue = store.queue(2).unwrap();
    queue.submit_durable(1_000, 1).unwrap();
    queue.submit_durable(1_000, 2).unwrap();
    store.sync(None).unwrap();
    assert_eq!(value_of(&store, b"n").unwrap(), b"3", "writes are done");
    assert_eq!(queue.under_way(), 2);
}
