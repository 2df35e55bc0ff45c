//! A store without threads: turned by a loop, or by whoever waits in a call.
#![allow(unsafe_code)]

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use trimtab::Error;
use trimtab::backup;
use trimtab::embedded::{Call, Options, PutOptions, Queue, Store, Submission, Watched};
use trimtab::store::engine::{self, Durability};
use trimtab::store::index::{
    Answer, Condition, Lifetime, OnRefusal, Operation, Range, Step, Timestamp, Transaction,
};
use trimtab::time::Clock;

use crate::support::{Folder, LONG, child, local, memory, open, run, small, value_of};

pub(super) fn options() -> Options {
    Options { is_hosted: true, ..small() }
}

fn open_hosted(folder: &Folder) -> Store {
    Store::open(folder.path(), options()).expect("the store opens")
}

/// Waits as a loop does: for the descriptor, until the deadline. Says whether it was the descriptor.
fn wait(store: &Store) -> bool {
    let until = store.next_deadline().expect("it is open").map(|at| at.duration_since(Clock.now()));
    is_readable(store, until.unwrap_or(LONG).min(LONG))
}

fn is_readable(store: &Store, timeout: Duration) -> bool {
    let fd = store.poll_fd().expect("it is hosted");
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let millis = timeout.as_nanos().div_ceil(1_000_000) as i32;
    // SAFETY: one writable pollfd.
    unsafe { libc::poll(&raw mut poll, 1, millis) == 1 }
}

/// Turns it until it has nothing to do.
fn turn_to_rest(store: &Store) {
    while store.turn(Some(Duration::ZERO)).expect("it is open") > 0 {}
    assert!(!is_readable(store, Duration::ZERO));
}

fn put(key: &[u8], user_data: u64, durability: Durability) -> Submission<'_> {
    let step = Step::Put {
        key,
        value: b"v",
        condition: Condition::Always,
        lifetime: Lifetime::Unbounded,
        previous: false,
    };
    Submission {
        operation: Operation::Step(step),
        request: None,
        durability: Some(durability),
        nodes: 0,
        user_data,
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("it is there").count()
}

/// Everything there is, on one thread.
pub(super) fn use_all_of_it(dir: &Path) {
    let before = threads();
    let store = Store::open(dir.join("data"), options()).expect("it opens");
    let mut watcher = store.watch(&Range::ALL, None).unwrap();
    for call in [memory(), local()] {
        store.put(b"k", b"v", &call).unwrap();
        let version = store.get(b"k").unwrap().unwrap().version;
        assert!(store.compare_and_set(b"k", version, b"w", &call).unwrap().is_done);
        assert_eq!(&*store.get_and_set(b"k", b"x", &call).unwrap().unwrap().value, b"w");
        assert_eq!(store.increment(b"n", 1, &call).unwrap(), 1);
        assert_eq!(store.append(b"log", b"ab", &call).unwrap(), 2);
        assert!(store.expire(b"log", LONG, &call).unwrap());
        assert!(store.delete(b"log", &call).unwrap());
        let steps = vec![Step::Increment { key: b"n", by: 1 }, Step::Increment { key: b"m", by: 1 }];
        let transaction =
            Transaction { conditions: vec![], then: steps, otherwise: vec![], on_refusal: OnRefusal::Abort };
        store.transaction(transaction, &call).unwrap();
        store.lease_grant(7, LONG, &call).unwrap();
        store.lease_keep_alive(7, &call).unwrap();
        assert_eq!(store.lease_revoke(7, &call).unwrap(), 0);
        assert_eq!(store.delete_range(&Range::ALL, 0, &call).unwrap(), (3, false));
    }
    assert!(matches!(watcher.next(LONG).unwrap(), Watched::Events(events) if events.len() > 10));
    assert!(matches!(watcher.next(Duration::from_millis(2)), Err(Error::TimedOut { .. })));

    let step = Step::Increment { key: b"n", by: 5 };
    let pending = store.begin(&Operation::Step(step), &local()).unwrap();
    assert!(matches!(pending.wait(Duration::ZERO), Err(Error::TimedOut { .. })), "nobody has turned it");
    assert_eq!(pending.wait(LONG).unwrap().answer, Answer::Number(5));
    store.put(b"later", b"1", &memory()).unwrap();
    let sequence = store.begin_sync().unwrap().wait(LONG).unwrap().sequence;
    assert_eq!(store.status().unwrap().durable, sequence);

    let queue = store.queue(8).unwrap();
    let batch = [put(b"a", 1, Durability::Memory), put(b"b", 2, Durability::Local)];
    assert_eq!(queue.submit(&batch).0, 2);
    let mut done = Vec::new();
    while done.len() < 2 {
        done.extend(queue.wait(8, LONG).unwrap());
    }
    assert!(done.iter().all(|completed| completed.result.is_ok()));

    assert!(store.snapshot(None).unwrap() >= sequence);
    store.scrub(None).unwrap();
    let copy = dir.join("copy");
    let report = store.backup(&copy, &backup::Options::default()).unwrap();
    assert_eq!(report.sequence, store.sync(None).unwrap());
    for number in 0..3_000_u32 {
        store.put(&number.to_be_bytes(), &[7; 500], &memory()).unwrap();
    }
    let status = store.status().unwrap();
    turn_to_rest(&store);
    assert!(store.status().unwrap().counts.snapshots > status.counts.snapshots.min(1), "{:?}", status.counts);
    assert_eq!(threads(), before);
    store.close().unwrap();
    store.close().unwrap();
    assert!(matches!(store.turn(None), Err(Error::State { .. })));
    assert!(matches!(store.put(b"k", b"v", &local()), Err(Error::State { .. })));
    assert!(matches!(watcher.next(LONG), Err(Error::State { .. })));
    drop((queue, watcher, store));
    let store = Store::open(dir.join("data"), options()).expect("it opens");
    assert_eq!(store.count(&Range::ALL).unwrap(), 3_004);
    // Dropped without being closed, it writes what it has even so.
    store.put(b"last", b"1", &memory()).unwrap();
    drop(store);
    let store = Store::open(dir.join("data"), options()).expect("it opens");
    assert_eq!(value_of(&store, b"last").unwrap(), b"1");
    assert_eq!(threads(), before);
}

#[test]
fn all_calls_work_and_no_thread_appears() {
    let folder = Folder::new("hosted");
    run(child("hosted", folder.path()));
}

#[test]
fn one_turn_writes_all_that_was_submitted_with_one_sync() {
    let folder = Folder::new("hosted-batch");
    let store = open_hosted(&folder);
    // The log has begun.
    store.put(b"first", b"v", &local()).unwrap();
    store.delete(b"first", &local()).unwrap();
    turn_to_rest(&store);
    let queue = store.queue(1_000).unwrap();
    let before = store.status().unwrap().counts.flushes;
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let queue = &queue;
            scope.spawn(move || {
                for number in 0..100 {
                    let key = [thread as u8, number as u8];
                    let (taken, result) = queue.submit(&[put(&key, thread, Durability::Local)]);
                    assert!(taken == 1 && result.is_ok());
                }
            });
        }
    });
    // Nobody has written yet, and nobody sees it; the descriptor says that there is something to do.
    assert_eq!((store.count(&Range::ALL).unwrap(), queue.under_way()), (0, 400));
    assert!(wait(&store));
    assert!(store.turn(Some(Duration::ZERO)).unwrap() >= 1);
    assert_eq!(queue.take(1_000).len(), 400);
    assert_eq!(store.status().unwrap().counts.flushes, before + 1);
    assert_eq!(store.count(&Range::ALL).unwrap(), 400);
    turn_to_rest(&store);
    // What a call on this thread has done leaves nothing to be woken for.
    store.put(b"k", b"v", &local()).unwrap();
    turn_to_rest(&store);
    store.put(b"k", b"w", &local()).unwrap();
    assert!(!is_readable(&store, Duration::ZERO));
}

#[test]
fn threads_that_wait_have_one_sync_together() {
    const THREADS: u64 = 8;
    const PUTS: u64 = 100;
    let folder = Folder::new("hosted-group");
    let store = open_hosted(&folder);
    let barrier = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                for number in 0..PUTS {
                    // All of them at once: whoever comes first writes, and the others go with the next.
                    barrier.wait();
                    store.put(&(thread * PUTS + number).to_be_bytes(), b"v", &local()).unwrap();
                }
            });
        }
    });
    let counts = store.status().unwrap().counts;
    assert_eq!(store.count(&Range::ALL).unwrap(), THREADS * PUTS);
    assert!(counts.flushes < THREADS * PUTS * 3 / 4, "{counts:?}");
    store.close().unwrap();
    assert_eq!(open(&folder).count(&Range::ALL).unwrap(), THREADS * PUTS);
}

#[test]
fn calls_and_a_loop_beside_each_other_miss_nothing() {
    let folder = Folder::new("hosted-both");
    let store = open_hosted(&folder);
    let queue = store.queue(64).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| while store.turn(None).is_ok() {});
        let writers: Vec<_> = (0..3_u8)
            .map(|thread| {
                let (store, queue) = (&store, &queue);
                scope.spawn(move || {
                    for number in 0..200_u32 {
                        let key = [&[thread][..], &number.to_be_bytes()].concat();
                        match thread {
                            0 => drop(store.put(&key, &[1; 2_000], &local()).unwrap()),
                            1 => drop(store.put(&key, &[1; 2_000], &memory()).unwrap()),
                            _ => {
                                assert_eq!(queue.submit(&[put(&key, 0, Durability::Local)]).0, 1);
                                assert!(queue.wait(1, LONG).unwrap()[0].result.is_ok());
                            }
                        }
                    }
                    store.sync(None).unwrap();
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        // It ends the turn that waits, too.
        store.close().unwrap();
    });
    assert_eq!(open(&folder).count(&Range::ALL).unwrap(), 600);
}

/// Takes what is done, which must be all.
fn take_all(queue: &Queue, count: usize) {
    let done = queue.take(usize::MAX);
    assert!(done.len() == count && done.iter().all(|completed| completed.result.is_ok()), "{done:?}");
}

#[test]
fn a_snapshot_goes_a_chunk_each_turn_and_holds_up_no_write() {
    const KEYS: u32 = 1_000;
    let folder = Folder::new("hosted-snapshot");
    let log = trimtab::store::log::Options { segment_bytes: 8 << 20, ..options().engine.log };
    let engine = engine::Options { snapshot_bytes: 3 << 20, log, ..options().engine };
    let store = Store::open(folder.path(), Options { engine, ..options() }).unwrap();
    let queue = store.queue(8).unwrap();
    for number in 0..KEYS {
        store.put(&number.to_be_bytes(), &[number as u8; 4_000], &memory()).unwrap();
    }
    // 3 MiB or more in chunks of a quarter of a MiB.
    let mut turns = 0_u64;
    while store.status().unwrap().counts.snapshots == 0 {
        assert_eq!(queue.submit(&[put(&turns.to_be_bytes(), 0, Durability::Local)]).0, 1);
        let done = store.turn(Some(LONG)).unwrap();
        assert!(done <= 5, "{done}");
        take_all(&queue, 1);
        turns += 1;
        assert!(turns < 10_000, "no snapshot comes of it");
    }
    assert!(turns >= 10, "{turns}");
    store.close().unwrap();
    let store = open_with_segments(&folder, 8 << 20);
    assert!(store.status().unwrap().snapshot > 0);
    assert_eq!(store.count(&Range::ALL).unwrap(), u64::from(KEYS) + turns);
}

fn open_with_segments(folder: &Folder, segment_bytes: u64) -> Store {
    let mut options = small();
    options.engine.log.segment_bytes = segment_bytes;
    Store::open(folder.path(), options).expect("the store opens")
}

#[test]
fn time_comes_by_the_deadline() {
    let folder = Folder::new("hosted-time");
    let mut options = options();
    options.engine.flush_interval = Duration::from_millis(20);
    options.scrub_interval = Some(Duration::from_millis(50));
    options.scrub_bytes_per_second = 1 << 30;
    let store = Store::open(folder.path(), options).unwrap();
    turn_to_rest(&store);
    let mut watcher = store.watch(&Range::ALL, None).unwrap();
    let lifetime = Lifetime::Until(Timestamp::from_millis(store.present().unwrap().as_millis() + 40));
    let ttl = PutOptions { lifetime, ..PutOptions::default() };
    store.put_with(b"k", b"v", &ttl, &memory()).unwrap();
    let begun = Instant::now();
    // Nothing but the loop: what is in memory comes to disk, what expires goes, all is read again.
    loop {
        let status = store.status().unwrap();
        if status.durable == status.sequence && status.counts.expiries > 0 && status.scrub.passes > 0 {
            break;
        }
        assert!(begun.elapsed() < LONG, "{status:?}");
        wait(&store);
        store.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(store.count(&Range::ALL).unwrap(), 0);
    assert!(matches!(watcher.next(Duration::ZERO).unwrap(), Watched::Events(events) if events.len() == 2));
}

#[test]
fn what_becomes_due_sooner_than_was_told_wakes_the_loop() {
    let folder = Folder::new("hosted-sooner");
    let store = open_hosted(&folder);
    turn_to_rest(&store);
    let told = store.next_deadline().unwrap().expect("it is read again in a day");
    assert!(told.duration_since(Clock.now()) > Duration::from_secs(3_600));
    assert!(!is_readable(&store, Duration::ZERO));
    std::thread::scope(|scope| {
        scope.spawn(|| store.put(b"k", b"v", &memory()).unwrap());
    });
    assert!(is_readable(&store, Duration::ZERO), "it is to be on disk within a second");
    turn_to_rest(&store);
    let told = store.next_deadline().unwrap().expect("it is to be on disk");
    assert!(told.duration_since(Clock.now()) <= Duration::from_secs(1));
    store.put(b"l", b"v", &memory()).unwrap();
    assert!(!is_readable(&store, Duration::ZERO), "it goes with the first");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new("hosted-refused");
    let store = open(&folder);
    for error in [
        store.turn(None).map(drop).unwrap_err(),
        store.poll_fd().map(drop).unwrap_err(),
        store.next_deadline().map(drop).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::State { what: "store", .. }), "{error}");
        assert!(error.to_string().contains("open it hosted"), "{error}");
    }
    store.close().unwrap();

    let store = open_hosted(&folder);
    turn_to_rest(&store);
    let call = Call { timeout: Some(Duration::ZERO), ..local() };
    // It waits for nothing, so nobody writes; the next one does.
    assert!(matches!(store.put(b"k", b"v", &call), Err(Error::TimedOut { .. })));
    assert_eq!(value_of(&store, b"k"), None);
    store.sync(None).unwrap();
    assert_eq!(value_of(&store, b"k").unwrap(), b"v");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Until it is closed; beside the other one's turn it is refused itself.
            while !matches!(store.turn(None), Err(error) if error.to_string().contains("closed")) {}
        });
        loop {
            match store.turn(Some(Duration::ZERO)) {
                Ok(_) => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => {
                    assert!(error.to_string().contains("turned already"), "{error}");
                    break;
                }
            }
        }
        store.close().unwrap();
    });
}

/// Nobody asks for the disk: what is in memory comes there in its time, by the loop's turns or by who waits for it.
#[test]
fn the_disk_is_waited_for_by_turns_and_by_calls() {
    let folder = Folder::new("hosted-durable");
    let mut options = options();
    options.engine.flush_interval = Duration::from_millis(5);
    let store = Store::open(folder.path(), options).expect("the store opens");
    let queue = store.queue(8).expect("there is room");
    let first = store.call(&put(b"a", 0, Durability::Memory).operation, &memory()).expect("there is room");
    queue.submit_durable(first.sequence, 1).expect("there is room");
    let done = loop {
        if let Some(done) = queue.take(1).pop() {
            break done;
        }
        wait(&store);
        store.turn(Some(Duration::ZERO)).expect("it is open");
    };
    assert!(done.user_data == 1 && done.result.expect("the disk works").sequence >= first.sequence);
    let second = store.call(&put(b"b", 0, Durability::Memory).operation, &memory()).expect("there is room");
    assert!(store.wait_durable(second.sequence, Some(LONG)).expect("the disk works") >= second.sequence);
}
