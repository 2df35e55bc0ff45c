//! Calls, their answers and errors, and that what was closed is there when it is opened again.

use std::path::Path;
use std::time::Duration;

use trimtab::Error;
use trimtab::embedded::{Call, Options, PutOptions, RequestOutcome, Store, Watched};
use trimtab::store::engine::{self, Durability};
use trimtab::store::index::{
    Answer, Comparison, Condition, EventKind, Lifetime, LifetimeCondition, OnRefusal, Operand, Operation,
    Range, Relation, RequestId, Settings, Step, Transaction,
};

use crate::support::{Folder, LONG, child, local, memory, open, small, value_of};

#[test]
fn what_came_of_a_request_is_told_and_nothing_is_done() {
    let folder = Folder::new("outcomes");
    let options = Options {
        engine: engine::Options {
            settings: Settings { clients_max: 2, ..Settings::default() },
            ..small().engine
        },
        ..small()
    };
    let request = |client: u8, number| RequestId { client: [client; 16], number };
    let call = |client, number, call: Call| Call { request: Some(request(client, number)), ..call };
    let applied = |store: &Store, request| match store.outcome(&request, None).unwrap() {
        RequestOutcome::Applied(done) => Some(done),
        _ => None,
    };
    let store = Store::open(folder.path(), options.clone()).unwrap();
    assert_eq!(store.outcome(&request(1, 5), None), Ok(RequestOutcome::NotApplied));
    let done = store.put(b"key", b"1", &call(1, 5, local())).unwrap();
    let told = applied(&store, request(1, 5)).unwrap();
    let is_durable = told.durability >= Durability::Local;
    assert_eq!((told.sequence, &told.answer, told.is_repeated), (done.sequence, &done.answer, true));
    assert!(is_durable && told.nodes == 1, "{told:?}");
    // One that was refused has changed nothing, and is not remembered.
    store.put(b"text", b"none", &local()).unwrap();
    store.increment(b"text", 1, &call(1, 6, local())).unwrap_err();
    for number in [4, 6] {
        assert_eq!(store.outcome(&request(1, number), None), Ok(RequestOutcome::NotApplied));
    }
    store.close().unwrap();
    assert!(matches!(store.outcome(&request(1, 5), None), Err(Error::State { .. })));
    drop(store);

    let store = Store::open(folder.path(), options).unwrap();
    assert_eq!(applied(&store, request(1, 5)).map(|it| it.sequence), Some(done.sequence));
    store.put(b"key", b"2", &call(1, 50, local())).unwrap();
    assert_eq!(store.outcome(&request(1, 5), None), Ok(RequestOutcome::Forgotten { lowest: 19 }));
    // With as many clients as are remembered, one that is not known may have been.
    store.put(b"key", b"3", &call(2, 1, local())).unwrap();
    assert_eq!(store.outcome(&request(3, 1), None), Ok(RequestOutcome::Forgotten { lowest: 0 }));
    store.put(b"key", b"4", &call(3, 1, local())).unwrap();
    assert_eq!(store.outcome(&request(1, 50), None), Ok(RequestOutcome::Forgotten { lowest: 0 }));
    assert_eq!(store.outcome(&request(2, 2), None), Ok(RequestOutcome::NotApplied));
    assert_eq!(value_of(&store, b"key").unwrap(), b"4");
}

#[test]
fn each_call_does_what_it_says() {
    let folder = Folder::new("calls");
    let store = open(&folder);
    let done = store.put(b"a", b"1", &local()).unwrap();
    assert_eq!((done.durability, done.answer), (Durability::Local, Answer::Put { previous: None }));
    let found = store.get(b"a").unwrap().unwrap();
    assert_eq!((&*found.value, found.version), (&b"1"[..], done.sequence));

    let exchanged = store.compare_and_set(b"a", done.sequence, b"2", &memory()).unwrap();
    assert!(exchanged.is_done && exchanged.version > done.sequence);
    let exchanged = store.compare_and_set(b"a", done.sequence, b"3", &memory()).unwrap();
    assert!(!exchanged.is_done && value_of(&store, b"a").unwrap() == b"2");
    assert!(!store.compare_and_set(b"a", 0, b"3", &memory()).unwrap().is_done);

    assert_eq!(&*store.get_and_set(b"a", b"x", &memory()).unwrap().unwrap().value, b"2");
    assert_eq!(store.get_and_set(b"b", b"y", &memory()).unwrap(), None);
    assert_eq!(store.append(b"b", b"yy", &memory()).unwrap(), 3);
    assert_eq!(store.increment(b"n", 41, &memory()).unwrap(), 41);
    assert_eq!(store.increment(b"n", 1, &local()).unwrap(), 42);
    assert!(store.delete(b"b", &local()).unwrap() && !store.delete(b"b", &local()).unwrap());

    let present = PutOptions { condition: Condition::Present, previous: true, ..PutOptions::default() };
    assert!(!store.put_with(b"none", b"", &present, &memory()).unwrap().is_done);
    let gone = store.delete_with(b"n", Condition::Present, true, &memory()).unwrap();
    assert_eq!(&*gone.previous.unwrap().value, b"42");

    let steps = |value| {
        let put = |key| Step::Put {
            key,
            value,
            condition: Condition::Always,
            lifetime: Lifetime::Unbounded,
            previous: false,
        };
        vec![put(b"t/1"), put(b"t/2"), Step::Get { key: b"t/1" }]
    };
    let conditions = vec![Comparison { key: b"a", relation: Relation::Equal, operand: Operand::Value(b"x") }];
    let transaction = Transaction {
        conditions,
        then: steps(&b"then"[..]),
        otherwise: steps(&b"otherwise"[..]),
        on_refusal: OnRefusal::Abort,
    };
    let Answer::Transaction { is_met, answers } = store.transaction(transaction, &local()).unwrap().answer
    else {
        panic!("another answer");
    };
    assert!(is_met && answers.len() == 3);

    let all = Range { start: b"t/", end: Some(b"t0") };
    assert_eq!(store.count(&all).unwrap(), 2);
    let listing = store.range(&all, 1, u64::MAX, true).unwrap();
    assert!(listing.more && listing.entries[0].0 == b"t/2");
    assert_eq!(store.delete_range(&all, 0, &memory()).unwrap(), (2, false));
    assert_eq!(store.count(&Range::ALL).unwrap(), 1);

    let until = store.lease_grant(7, Duration::from_secs(600), &memory()).unwrap();
    assert!(store.lease_keep_alive(7, &memory()).unwrap() >= until);
    let leased = PutOptions { lifetime: Lifetime::Lease(7), ..PutOptions::default() };
    store.put_with(b"leased", b"", &leased, &memory()).unwrap();
    assert!(store.lease(7).unwrap().is_some());
    assert_eq!(store.lease_revoke(7, &memory()).unwrap(), 1);
    assert_eq!(value_of(&store, b"leased"), None);

    let view = store.view().unwrap();
    store.put(b"a", b"later", &memory()).unwrap();
    assert_eq!(view.get(b"a", store.present().unwrap()).unwrap().value, b"x");
    let status = store.status().unwrap();
    assert_eq!((status.keys, status.failure), (1, None));
    assert!(status.applied == status.sequence && status.durable <= status.sequence);
    assert_eq!(store.sync(None).unwrap(), status.sequence);
    assert_eq!(store.status().unwrap().durable, status.sequence);
}

#[test]
fn what_was_closed_is_there_again() {
    let folder = Folder::new("reopen");
    let identity = open(&folder).identity();
    for round in 0..5u32 {
        let store = open(&folder);
        assert_eq!(store.identity(), identity);
        // A store nobody wrote to has nothing to say of its end.
        assert!(store.report().log.is_closed == (round > 0) && store.report().log.torn.is_none());
        for at in 0..200 {
            let (key, value) = (format!("{round}/{at}"), vec![round as u8; 1_000]);
            store.put(key.as_bytes(), &value, &memory()).unwrap();
        }
        if round == 3 {
            let sequence = store.status().unwrap().sequence;
            assert_eq!(store.snapshot(None).unwrap(), sequence);
            // One that would say the same is not written again.
            assert_eq!(store.snapshot(None).unwrap(), sequence);
        }
        let hash = store.view().unwrap().hash();
        store.close().unwrap();
        store.close().unwrap();
        let store = open(&folder);
        assert_eq!(store.view().unwrap().hash(), hash);
        assert_eq!(store.count(&Range::ALL).unwrap(), u64::from(round + 1) * 200);
        if round >= 3 {
            assert!(store.report().log.snapshot.is_some());
        }
    }
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_done() {
    let folder = Folder::new("refused");
    let mut options = small();
    options.engine.settings = Settings { value_max: 1_000, ..Settings::default() };
    let store = Store::open(folder.path(), options).unwrap();
    store.put(b"text", b"abc", &memory()).unwrap();
    let before = store.view().unwrap().hash();
    for durability in [Durability::Quorum, Durability::All] {
        let call = Call { durability: Some(durability), ..Call::default() };
        let error = store.put(b"k", b"v", &call).unwrap_err();
        assert!(matches!(error, Error::Unsupported { what: "durability", .. }), "{error}");
        assert!(error.to_string().contains("replication"), "{error}");
    }
    let invalid = |error: Error, name: &str| {
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    };
    invalid(store.put(b"k", &[0; 1_001], &local()).unwrap_err(), "value_max = 1000");
    invalid(store.put(&[0; 65_537], b"", &local()).unwrap_err(), "key_max = 65536, which is fixed");
    invalid(store.increment(b"text", 1, &local()).unwrap_err(), "whole number");
    invalid(store.append(b"text", &[0; 999], &local()).unwrap_err(), "value_max = 1000");
    invalid(store.lease_grant(0, LONG, &local()).unwrap_err(), "lease");
    let error = store.lease_keep_alive(9, &local()).unwrap_err();
    assert!(matches!(error, Error::NotFound { what: "lease", .. }), "{error}");
    assert_eq!(store.view().unwrap().hash(), before);

    // A request id belongs to one operation.
    let call = Call { request: Some(RequestId { client: [1; 16], number: 1 }), ..memory() };
    store.put(b"once", b"1", &call).unwrap();
    let error = store.increment(b"n", 1, &call).unwrap_err();
    assert!(matches!(error, Error::State { what: "request", .. }), "{error}");
    assert_eq!(value_of(&store, b"n"), None);

    store.close().unwrap();
    for error in [
        store.put(b"k", b"v", &local()).unwrap_err(),
        store.get(b"k").unwrap_err(),
        store.sync(None).unwrap_err(),
        store.queue(1).unwrap_err(),
        store.watch(&Range::ALL, None).unwrap_err(),
    ] {
        assert!(matches!(error, Error::State { what: "store", .. }), "{error}");
    }
}

#[test]
fn a_scan_sees_one_moment_whole() {
    let folder = Folder::new("scan");
    let store = open(&folder);
    // More than two pages by number, and values of which few make a page.
    let key = |at: u32| format!("k/{at:04}").into_bytes();
    let value = vec![7; 3_000];
    for at in 0..600 {
        store.put(&key(at), &value, &memory()).unwrap();
    }
    let range = Range { start: b"k/", end: Some(b"k0") };
    let all = |limit, reverse| {
        let mut scan = store.scan(&range, limit, reverse).unwrap();
        std::iter::from_fn(move || scan.next_entry().unwrap()).map(|(key, _)| key).collect::<Vec<_>>()
    };
    let ordered: Vec<_> = (0..600).map(key).collect();
    assert_eq!(all(0, false), ordered);
    assert_eq!(all(0, true), ordered.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(all(257, false), ordered[..257]);
    assert_eq!(all(600, true).len(), 600);

    let mut scan = store.scan(&range, 0, false).unwrap();
    assert_eq!(scan.sequence(), store.view().unwrap().sequence());
    let first = scan.next_entry().unwrap().unwrap();
    assert_eq!((&first.0, &*first.1.value), (&key(0), &value[..]));
    let (view, now) = (store.view().unwrap(), store.present().unwrap());
    store.delete_range(&range, 0, &memory()).unwrap();
    for at in 1..600 {
        assert_eq!(scan.next_entry().unwrap().unwrap().0, key(at));
    }
    let mut scan_in = store.scan_in(view, now, &range, 2, true);
    for at in [599, 598] {
        assert_eq!(scan_in.next_entry().unwrap().unwrap().0, key(at));
    }
    assert!(scan_in.next_entry().unwrap().is_none());
    assert!(scan.next_entry().unwrap().is_none() && scan.next_entry().unwrap().is_none());

    let mut scan = store.scan(&Range::ALL, 0, false).unwrap();
    store.close().unwrap();
    assert!(matches!(scan.next_entry(), Err(Error::State { .. })));
}

#[test]
fn options_out_of_range_are_refused() {
    let folder = Folder::new("options");
    for options in [
        Options { waiting_max: 0, ..small() },
        Options { timeout: Duration::ZERO, ..small() },
        Options { engine: engine::Options { flush_bytes: 0, ..small().engine }, ..small() },
    ] {
        let error = Store::open(folder.path(), options).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Opens the store of another process, which holds it.
pub(super) fn open_in_child(dir: &Path) {
    let error = Store::open(dir, small()).unwrap_err();
    assert!(matches!(error, Error::State { .. }), "{error}");
    println!("refused: {error}");
}

#[test]
fn a_directory_is_for_one_at_a_time() {
    let folder = Folder::new("twice");
    let store = open(&folder);
    let error = Store::open(folder.path(), small()).unwrap_err();
    assert!(matches!(error, Error::State { .. }), "{error}");
    let output = child("open", folder.path()).output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("refused"), "{text}");
    assert!(text.contains(&format!("by process {}", std::process::id())), "{text}");
    // A clone holds it too; the last one gives it back.
    let clone = store.clone();
    drop(store);
    assert!(Store::open(folder.path(), small()).is_err());
    drop(clone);
    open(&folder).close().unwrap();
}

#[test]
fn a_call_whose_time_is_over_goes_on() {
    let folder = Folder::new("deadline");
    let store = open(&folder);
    let call = Call { timeout: Some(Duration::ZERO), ..local() };
    let mut timed_out = 0;
    for at in 0..200u32 {
        match store.put(&at.to_be_bytes(), b"v", &call) {
            Ok(done) => assert_eq!(done.durability, Durability::Local),
            Err(Error::TimedOut { what: "write" }) => timed_out += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(timed_out > 0, "a sync takes longer than nothing");
    store.sync(None).unwrap();
    assert_eq!(store.count(&Range::ALL).unwrap(), 200);
    let error = store.sync(Some(Duration::ZERO));
    assert!(matches!(error, Ok(_) | Err(Error::TimedOut { .. })), "{error:?}");
}

#[test]
fn a_call_is_waited_for_in_several_goes() {
    let folder = Folder::new("goes");
    let store = open(&folder);
    let step = Step::Increment { key: b"n", by: 1 };
    let mut late = 0;
    for number in 1..=50 {
        let pending = store.begin(&Operation::Step(step.clone()), &local()).unwrap();
        let done = loop {
            match pending.wait(Duration::ZERO) {
                Err(Error::TimedOut { .. }) => late += 1,
                done => break done.unwrap(),
            }
        };
        assert_eq!(done.answer, Answer::Number(number));
    }
    assert!(late > 0);
    // Dropped, it goes on; what asks for memory alone has its answer at once.
    drop(store.begin(&Operation::Step(step.clone()), &local()).unwrap());
    let synced = store.begin_sync().unwrap().wait(Duration::MAX).unwrap().sequence;
    assert_eq!(synced, store.status().unwrap().durable);
    let done = store.begin(&Operation::Step(step), &memory()).unwrap().wait(Duration::ZERO).unwrap();
    assert_eq!(done.answer, Answer::Number(52));
}

#[test]
fn keys_expire_by_themselves() {
    let folder = Folder::new("expire");
    let store = open(&folder);
    let mut watcher = store.watch(&Range::ALL, None).unwrap();
    store.put(b"k", b"v", &memory()).unwrap();
    assert!(store.expire(b"k", Duration::from_millis(50), &memory()).unwrap());
    assert!(!store.expire(b"none", Duration::from_millis(50), &memory()).unwrap());
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        match watcher.next(LONG).unwrap() {
            Watched::Events(events) => kinds.extend(events.iter().map(|event| event.kind())),
            Watched::Compacted { first } => panic!("only from {first} on"),
        }
    }
    assert_eq!(kinds, [EventKind::Put, EventKind::LifetimeSet, EventKind::Expired]);
    assert_eq!(value_of(&store, b"k"), None);
    assert_eq!(store.status().unwrap().keys, 0);
    store.put(b"k", b"v", &memory()).unwrap();
    let later = Lifetime::Until(store.present().unwrap().saturating_add(60_000));
    assert!(store.set_lifetime(b"k", later, LifetimeCondition::NoDeadline, &memory()).unwrap());
    assert!(!store.set_lifetime(b"k", later, LifetimeCondition::NoDeadline, &memory()).unwrap());
}

#[test]
fn memory_writes_come_to_disk_by_themselves() {
    let folder = Folder::new("behind");
    let mut options = small();
    options.engine.flush_interval = Duration::from_millis(20);
    let store = Store::open(folder.path(), options).unwrap();
    let done = store.put(b"k", b"v", &memory()).unwrap();
    assert_eq!(done.durability, Durability::Memory);
    let begun = std::time::Instant::now();
    while store.status().unwrap().durable < done.sequence {
        assert!(begun.elapsed() < LONG, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn many_threads_share_a_sync() {
    let folder = Folder::new("threads");
    let store = open(&folder);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let operation = Operation::Step(Step::Increment { key: b"n", by: 1 });
                    let done = store.call(&operation, &local()).unwrap();
                    assert_eq!(done.durability, Durability::Local);
                    // Whoever is answered sees it, and everything before.
                    let found = store.get(b"n").unwrap().unwrap();
                    assert!(found.version >= done.sequence);
                }
            });
        }
    });
    assert_eq!(value_of(&store, b"n").unwrap(), b"800");
    let counts = store.status().unwrap().counts;
    assert!(counts.submitted == 800 && counts.flushes < 800, "{counts:?}");
}

#[test]
fn a_bounded_disk_is_kept_by_snapshots_or_refuses() {
    let folder = Folder::new("bounded");
    let mut options = small();
    options.engine.log.disk_bytes_max = Some(5 * (256 << 10));
    // Only want of room has one written.
    options.engine.snapshot_bytes = 1 << 40;
    let store = Store::open(folder.path(), options.clone()).unwrap();
    // Twenty times what the disk may have, over and over the same keys.
    for at in 0..2_600u32 {
        let call = if at.is_multiple_of(100) { local() } else { memory() };
        store.put(&(at % 16).to_be_bytes(), &[at as u8; 10_000], &call).unwrap();
    }
    let status = store.status().unwrap();
    assert!(status.counts.snapshots > 5 && status.disk_bytes <= 6 * (256 << 10), "{status:?}");
    // Now the state itself is more than fits: it is refused, and what is there can be read and deleted.
    let mut taken = 0u32;
    let error = loop {
        match store.put(&(1_000 + taken).to_be_bytes(), &[7; 10_000], &local()) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1_000, "it was never refused");
    };
    assert!(matches!(error, Error::Capacity { what: "disk_bytes_max", .. }), "{error}");
    assert!(taken > 10, "{taken}");
    // A shorter value too: what is there is known only when it is applied.
    let error = store.put(&1_000u32.to_be_bytes(), b"", &local()).unwrap_err();
    assert!(matches!(error, Error::Capacity { what: "disk_bytes_max", .. }), "{error}");
    for at in 0..taken {
        assert_eq!(value_of(&store, &(1_000 + at).to_be_bytes()).unwrap(), [7; 10_000]);
    }
    // Deleting makes room again: a smaller snapshot takes the place of the great one.
    let all = Range { start: &1_000u32.to_be_bytes(), end: None };
    store.delete_range(&all, u64::from(taken) - 5, &local()).unwrap();
    let begun = std::time::Instant::now();
    while let Err(error) = store.put(b"again", b"v", &local()) {
        assert!(matches!(error, Error::Capacity { .. }) && begun.elapsed() < LONG, "{error}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let hash = store.view().unwrap().hash();
    store.close().unwrap();
    // More room, and it goes on.
    options.engine.log.disk_bytes_max = None;
    let store = Store::open(folder.path(), options).unwrap();
    assert_eq!(store.view().unwrap().hash(), hash);
    store.put(b"more", b"v", &local()).unwrap();
}
