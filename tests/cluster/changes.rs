//! Nodes that are added, get a vote, are taken out.

use std::time::{Duration, Instant};

use trimtab::Error;
use trimtab::embedded::{Call, ClusterEvent};
use trimtab::replication::{Role, Standing};

use crate::support::{Cluster, PATIENCE, free_address, wait_role};

#[test]
fn a_new_node_catches_up_by_a_snapshot_and_gets_a_vote() {
    let mut cluster = Cluster::with(3, 0, |options| options.replication.kept_bytes_max = 0);
    let primary = cluster.primary();
    let value = vec![7; 4_000];
    for key in 0..600u32 {
        cluster.store(primary).put(&key.to_be_bytes(), &value, &Call::default()).unwrap();
    }
    // The log lets go of what the snapshot stands for.
    cluster.store(primary).snapshot(Some(PATIENCE)).unwrap();
    let new = cluster.open_new("d");
    let mut events = cluster.store(new).cluster_events().unwrap();
    let address = cluster.members[new].address;
    let trouble = cluster.store(new).cluster().unwrap().trouble.unwrap();
    assert!(trouble.contains("waits to be added to the cluster"), "{trouble}");
    // A name is used once, so what could never be reached is not taken.
    for (address, why) in [
        ("127.0.0.1:0".parse().unwrap(), "port 0"),
        ("0.0.0.0:7400".parse().unwrap(), "no address to reach a node at"),
        (cluster.members[0].address.unwrap(), "is at"),
    ] {
        let refused = cluster.store(primary).add("d", Some(address), Some(PATIENCE)).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    cluster.store(primary).add("d", address, Some(PATIENCE)).unwrap();
    let refused = cluster.store(primary).add("d", address, Some(PATIENCE)).unwrap_err();
    assert!(refused.to_string().contains("d is in the cluster already"), "{refused}");
    events
        .find(PATIENCE, |event| matches!(event, ClusterEvent::Installed { .. }).then_some(()))
        .unwrap_or_else(|error| panic!("{error}: {:?}", cluster.store(new).cluster()));
    drop(events);
    cluster.store(primary).put(b"last", b"1", &Call::default()).unwrap();
    cluster.wait_shown(new, b"last", b"1");
    assert_eq!(cluster.store(new).count(&trimtab::store::index::Range::ALL).unwrap(), 601);
    cluster.store(primary).promote_learner("d", Some(PATIENCE)).unwrap();
    wait_role(cluster.store(new), Role::Replica);
    let done = cluster.store(new).put(b"last", b"2", &Call { nodes: 4, ..Call::default() }).unwrap();
    assert_eq!(done.nodes, 4);
    let status = cluster.store(primary).cluster().unwrap();
    assert!(status.nodes.iter().all(|node| node.is_voter && node.is_linked), "{status:?}");
    // After a restart it is still one of them.
    cluster.drop(new);
    cluster.open(new);
    cluster.wait_shown(new, b"last", b"2");
}

#[test]
fn a_node_that_was_taken_out_says_so_and_its_name_does_not_come_back() {
    let mut cluster = Cluster::new(3, 1);
    let primary = cluster.primary();
    cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    cluster.wait_shown(3, b"key", b"1");
    let mut events = cluster.store(3).cluster_events().unwrap();
    cluster.store(primary).remove("d", Some(PATIENCE)).unwrap();
    let detail = events
        .find(PATIENCE, |event| match event {
            ClusterEvent::Fenced { detail } => Some(detail),
            _ => None,
        })
        .unwrap();
    assert!(detail.contains("was removed"), "{detail}");
    let status = cluster.store(3).cluster().unwrap();
    assert!(matches!(status.standing, Standing::Fenced(_)) && status.trouble.is_some(), "{status:?}");
    let refused = cluster.store(3).put(b"key", b"2", &Call::default()).unwrap_err();
    assert!(refused.to_string().contains("was removed"), "{refused}");
    let refused = cluster.store(primary).add("d", None, Some(PATIENCE)).unwrap_err();
    assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused}");
    assert!(refused.to_string().contains("each name is used once"), "{refused}");
    cluster.drop(3);
    cluster.store(primary).put(b"key", b"3", &Call::default()).unwrap();
    // One that comes back without having heard of it is told by those that do not let it in.
    let lost = (0..3).find(|at| *at != primary).unwrap();
    cluster.drop(lost);
    cluster.store(primary).remove(cluster.name(lost), Some(PATIENCE)).unwrap();
    cluster.open(lost);
    let mut events = cluster.store(lost).cluster_events().unwrap();
    let trouble = loop {
        match cluster.store(lost).cluster().unwrap().trouble {
            Some(trouble) => break trouble,
            None => drop(events.next(PATIENCE).unwrap()),
        }
    };
    assert!(trouble.contains("was removed"), "{trouble}");
    cluster.drop(lost);
    let refused = cluster.store(primary).remove(cluster.name(primary), Some(PATIENCE)).unwrap_err();
    let expected =
        format!("{} is the primary, which is not taken out; transfer first", cluster.name(primary));
    assert!(refused.to_string().contains(&expected), "{refused}");
    let refused = cluster.store(primary).remove("z", None).unwrap_err();
    assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
}

#[test]
fn a_voter_that_is_lost_is_replaced() {
    let mut cluster = Cluster::new(3, 1);
    let (primary, lost) = (cluster.primary(), cluster.replica());
    cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    cluster.wait_shown(3, b"key", b"1");
    cluster.drop(lost);
    let (old, new) = (cluster.name(lost).to_string(), cluster.name(3).to_string());
    cluster.store(primary).replace(&old, &new, Some(PATIENCE)).unwrap();
    wait_role(cluster.store(3), Role::Replica);
    let done = cluster.store(3).put(b"key", b"2", &Call { nodes: 3, ..Call::default() }).unwrap();
    assert_eq!(done.nodes, 3);
}

/// A change that waits for a node to catch up ends with the store.
#[test]
fn a_promotion_that_waits_ends_when_the_store_is_closed() {
    let mut cluster = Cluster::new(1, 0);
    let primary = cluster.primary();
    cluster.store(primary).add("d", Some(free_address()), Some(PATIENCE)).unwrap();
    let is_busy = |answer: &Result<_, Error>| {
        answer.as_ref().is_err_and(|error| error.to_string().contains("busy with a change"))
    };
    std::thread::scope(|scope| {
        let store = cluster.store(primary);
        let waiting = scope.spawn(|| {
            loop {
                let answer = store.promote_learner("d", Some(10 * PATIENCE)).map(drop);
                if !is_busy(&answer) {
                    return answer;
                }
            }
        });
        let until = Instant::now() + PATIENCE;
        while !is_busy(&store.promote_learner("d", Some(Duration::from_millis(1))).map(drop)) {
            assert!(Instant::now() < until, "it waits");
        }
        store.close().unwrap();
        let ended = waiting.join().unwrap();
        assert!(matches!(ended, Err(Error::State { what: "store", .. })), "{ended:?}");
    });
    cluster.drop(primary);
}
