//! What a write gets, on the primary and elsewhere.

use std::time::Duration;

use trimtab::Error;
use trimtab::embedded::{Call, RequestOutcome};
use trimtab::store::engine::Durability;
use trimtab::store::index::{Answer, RequestId};

use crate::support::{Cluster, LOCAL, PATIENCE};

fn at(durability: Durability) -> Call {
    Call { durability: Some(durability), timeout: Some(PATIENCE), ..Call::default() }
}

#[test]
fn each_level_says_what_it_has_reached() {
    let cluster = Cluster::new(3, 1);
    let primary = cluster.store(cluster.primary());
    let plain = primary.put(b"key", b"1", &Call::default()).unwrap();
    assert!(plain.durability >= Durability::Quorum && plain.nodes >= 2 && !plain.is_degraded, "{plain:?}");
    assert!(plain.epoch > 0 && plain.position().sequence == plain.sequence);
    let memory = primary.put(b"key", b"2", &at(Durability::Memory)).unwrap();
    assert_eq!((memory.durability, memory.nodes), (Durability::Memory, 0));
    let local = primary.put(b"key", b"3", &at(Durability::Local)).unwrap();
    assert_eq!((local.durability, local.nodes), (Durability::Local, 1));
    let all = primary.put(b"key", b"4", &at(Durability::All)).unwrap();
    assert!(all.durability == Durability::All && all.nodes >= 3, "{all:?}");
    let four = Call { nodes: 4, ..at(Durability::Quorum) };
    let four = primary.put(b"key", b"5", &four).unwrap();
    assert!(four.nodes == 4, "{four:?}");
    // What it came to is not known before it is committed: so it is.
    let sum = primary.increment(b"number", 5, &at(Durability::Memory)).unwrap();
    assert_eq!(sum, 5);
    assert_eq!(&*primary.get(b"key").unwrap().unwrap().value, b"5");
}

#[test]
fn so_many_nodes_are_the_default_on_whatever_node_it_is_written() {
    let cluster = Cluster::with(3, 1, |options| options.nodes = 4);
    let primary = cluster.primary();
    for at in [primary, cluster.replica(), 3] {
        let done = cluster.store(at).put(b"key", b"1", &Call::default()).unwrap();
        assert!(done.nodes == 4 && !done.is_degraded, "{done:?}");
    }
    // What asks for something gets that.
    let early = cluster.store(primary).put(b"key", b"2", &at(Durability::Memory)).unwrap();
    assert_eq!((early.durability, early.nodes), (Durability::Memory, 0));
    let two = Call { nodes: 2, ..at(Durability::Quorum) };
    assert!(cluster.store(primary).put(b"key", b"3", &two).unwrap().nodes >= 2);
}

#[test]
fn a_write_on_a_replica_is_passed_on_and_seen_there() {
    let cluster = Cluster::new(3, 1);
    cluster.primary();
    let learner = cluster.store(3);
    let replica = cluster.store(cluster.replica());
    for (number, store) in [replica, learner, replica].into_iter().enumerate() {
        let value = number.to_string();
        let done = store.put(b"key", value.as_bytes(), &Call::default()).unwrap();
        assert!(done.durability >= Durability::Quorum, "{done:?}");
        // Without waiting for anybody: it was applied here before it was answered.
        assert_eq!(&*store.get_at(b"key", &LOCAL).unwrap().unwrap().value, value.as_bytes());
    }
    assert_eq!(replica.increment(b"number", 2, &Call::default()).unwrap(), 2);
    assert_eq!(learner.increment(b"number", 3, &Call::default()).unwrap(), 5);
    let refused = learner.increment(b"key", 1, &Call::default());
    assert_eq!(refused, Ok(3), "the value is the number 2");
    learner.put(b"key", b"no number", &Call::default()).unwrap();
    let refused = replica.increment(b"key", 1, &Call::default()).unwrap_err();
    assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused}");
}

#[test]
fn the_same_request_is_done_once_wherever_it_is_sent() {
    let cluster = Cluster::new(3, 0);
    cluster.primary();
    let request = Some(RequestId { client: [7; 16], number: 1 });
    let call = Call { request, ..Call::default() };
    let mut first = None;
    for (_, store) in cluster.open_ones() {
        let operation = trimtab::store::index::Operation::Step(trimtab::store::index::Step::Increment {
            key: b"n",
            by: 1,
        });
        let done = store.call(&operation, &call).unwrap();
        assert_eq!(done.answer, Answer::Number(1));
        assert_eq!(done.is_repeated, first.is_some());
        assert_eq!(*first.get_or_insert(done.sequence), done.sequence);
        // Where it is of this sending: what waits for it sees it.
        let read = trimtab::embedded::Read { token: Some(done.position()), ..LOCAL };
        assert!(store.get_at(b"n", &read).unwrap().is_some());
    }
}

#[test]
fn a_node_that_does_not_forward_says_who_is_primary() {
    let cluster = Cluster::with(3, 0, |options| options.forwards = false);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let refused = cluster.store(replica).put(b"key", b"1", &Call::default()).unwrap_err();
    assert_eq!(refused, Error::NotPrimary { primary: Some(cluster.name(primary).into()) });
    let refused = cluster.store(replica).get(b"key").unwrap_err();
    assert_eq!(refused, Error::NotPrimary { primary: Some(cluster.name(primary).into()) });
    cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    cluster.wait_shown(replica, b"key", b"1");
}

#[test]
fn what_came_of_a_request_is_told_on_any_node_and_after_a_failover() {
    let mut cluster = Cluster::new(3, 1);
    let first = cluster.primary();
    let request = |number| RequestId { client: [7; 16], number };
    let call = |number| Call { request: Some(request(number)), ..Call::default() };
    let done = cluster.store(first).put(b"key", b"1", &call(5)).unwrap();
    let check = |cluster: &Cluster| {
        for (_, store) in cluster.open_ones() {
            let told = store.outcome(&request(5), Some(PATIENCE)).unwrap();
            let RequestOutcome::Applied(told) = told else { panic!("{told:?}") };
            assert_eq!((told.sequence, &told.answer, told.is_repeated), (done.sequence, &done.answer, true));
            assert!(told.durability >= Durability::Quorum && told.nodes >= 2, "{told:?}");
            // Where it is seen.
            let read = trimtab::embedded::Read { token: Some(told.position()), ..LOCAL };
            assert!(store.get_at(b"key", &read).unwrap().is_some());
            for never in [request(6), RequestId { client: [8; 16], number: 5 }] {
                assert_eq!(store.outcome(&never, Some(PATIENCE)), Ok(RequestOutcome::NotApplied));
            }
        }
    };
    check(&cluster);
    let epoch = cluster.epoch(first);
    cluster.drop(first);
    cluster.primary_after(epoch);
    check(&cluster);
    // Asking does nothing: a retry is what it was, and one that was not done is done.
    let other = cluster.store(cluster.replica());
    assert_eq!(other.put(b"key", b"2", &call(5)).unwrap().sequence, done.sequence);
    assert_eq!(&*other.get(b"key").unwrap().unwrap().value, b"1");
    assert!(!other.put(b"key", b"6", &call(6)).unwrap().is_repeated);
    assert!(!other.put(b"key", b"7", &call(100)).unwrap().is_repeated);
    let lowest = 100 - trimtab::store::index::WINDOW + 1;
    let forgotten = Ok(RequestOutcome::Forgotten { lowest });
    for (_, store) in cluster.open_ones() {
        assert_eq!(store.outcome(&request(5), Some(PATIENCE)), forgotten);
        assert_eq!(store.outcome(&request(lowest), Some(PATIENCE)), Ok(RequestOutcome::NotApplied));
    }
}

#[test]
fn a_node_that_does_not_forward_tells_of_no_request() {
    let cluster = Cluster::with(3, 0, |options| options.forwards = false);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let request = RequestId { client: [7; 16], number: 1 };
    let refused = cluster.store(replica).outcome(&request, Some(PATIENCE));
    assert_eq!(refused, Err(Error::NotPrimary { primary: Some(cluster.name(primary).into()) }));
    let told = cluster.store(primary).outcome(&request, Some(PATIENCE));
    assert_eq!(told, Ok(RequestOutcome::NotApplied));
}

#[test]
fn a_store_alone_in_its_cluster_is_its_own_quorum() {
    let cluster = Cluster::new(1, 0);
    let store = cluster.store(cluster.primary());
    let done = store.put(b"key", b"1", &at(Durability::All)).unwrap();
    assert_eq!((done.durability, done.nodes), (Durability::All, 1));
    assert_eq!(&*store.get(b"key").unwrap().unwrap().value, b"1");
    store.sync(None).unwrap();
}

/// What the log has beside entries waits for nobody to want it; who asks for all to be on disk does.
#[test]
fn a_sync_behind_a_snapshot_does_not_wait_for_the_next_flush() {
    let mut cluster = Cluster::closed(1, 0, |_| {});
    cluster.options.engine.flush_interval = Duration::from_secs(3_600);
    cluster.open(0);
    let store = cluster.store(cluster.primary());
    let done = store.put(b"key", b"1", &Call::default()).unwrap();
    store.snapshot(Some(PATIENCE)).unwrap();
    assert!(store.sync(Some(PATIENCE)).unwrap() >= done.sequence);
    assert_eq!(store.status().unwrap().pending_bytes, 0);
}

/// It is committed elsewhere and answered so; the node says why it does not show it.
#[test]
fn a_write_on_a_node_whose_disk_is_full_is_answered_and_the_node_says_why() {
    let mut cluster = Cluster::closed(3, 0, |options| options.patience = Duration::from_secs(3));
    cluster.open(0);
    cluster.open(1);
    let primary = cluster.primary();
    cluster.options.engine.log.disk_bytes_max = Some(2 << 20);
    cluster.open(2);
    // No snapshot of so much fits there either.
    let value = vec![7; 60_000];
    let full = cluster.store(2);
    let mut key = 0u32;
    while full.cluster().unwrap().trouble.is_none_or(|it| !it.contains("takes no more of the log")) {
        cluster.store(primary).put(&key.to_be_bytes(), &value, &Call::default()).unwrap();
        key += 1;
        assert!(key < 1_000, "{:?} {:?}", full.status(), full.cluster());
    }
    // More than the rest of its segment holds.
    for key in key..key + 8 {
        cluster.store(primary).put(&key.to_be_bytes(), &value, &Call::default()).unwrap();
    }
    let began = std::time::Instant::now();
    let done = full.put(b"key", b"1", &Call::default()).unwrap();
    assert!(began.elapsed() < PATIENCE && done.nodes >= 2, "{done:?}");
    assert_eq!(&*cluster.store(primary).get(b"key").unwrap().unwrap().value, b"1");
    assert!(full.status().unwrap().applied < done.sequence);
}

/// The links have room for hardly anything beside what is going: entries and answers wait for it, and none is dropped. Who passed a write
/// on hears of it.
#[test]
fn answers_wait_for_room_in_a_full_link() {
    let cluster = Cluster::with(3, 0, |options| options.links.queue_bytes = [1 << 20, 1 << 10, 1 << 20]);
    let primary = cluster.primary();
    let replica = cluster.replica();
    let value = vec![b'v'; 20 << 10];
    let before = cluster.store(primary).cluster().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (store, value) = (cluster.store(primary), &value);
            scope.spawn(move || {
                for _ in 0..100 {
                    store.put(format!("key-{writer}").as_bytes(), value, &Call::default()).unwrap();
                }
            });
        }
        for writer in 4..8 {
            let (store, value) = (cluster.store(replica), &value);
            scope.spawn(move || {
                let key = format!("key-{writer}");
                for round in 0..100 {
                    let before = store.get_and_set(key.as_bytes(), value, &Call::default()).unwrap();
                    assert_eq!(before.is_some(), round > 0, "{key}");
                }
            });
        }
    });
    let after = cluster.store(primary).cluster().unwrap();
    assert_eq!((after.epoch, after.unsent_frames), (before.epoch, before.unsent_frames));
}
