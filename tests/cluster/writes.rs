//! What a write gets, on the primary and elsewhere.

use trimtab::Error;
use trimtab::embedded::Call;
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
fn a_store_alone_in_its_cluster_is_its_own_quorum() {
    let cluster = Cluster::new(1, 0);
    let store = cluster.store(cluster.primary());
    let done = store.put(b"key", b"1", &at(Durability::All)).unwrap();
    assert_eq!((done.durability, done.nodes), (Durability::All, 1));
    assert_eq!(&*store.get(b"key").unwrap().unwrap().value, b"1");
    store.sync(None).unwrap();
}
