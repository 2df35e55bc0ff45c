//! A full memory in a cluster: the primary has keys go, and all nodes do it alike.

use std::time::Duration;

use trimtab::embedded::{Call, PutOptions, Read, ReadLevel, Store};
use trimtab::replication::Position;
use trimtab::store::index::evict::Eviction;
use trimtab::store::index::{Condition, Lifetime, Timestamp};

use crate::support::{Cluster, PATIENCE};

const MEMORY_MAX: u64 = 128 << 10;
const VALUE: [u8; 400] = [b'v'; 400];

fn cluster(eviction: Eviction) -> Cluster {
    let mut cluster = Cluster::closed(3, 0, |_| {});
    cluster.options.engine.settings.memory_max = MEMORY_MAX;
    cluster.options.engine.eviction = eviction;
    (0..3).for_each(|at| cluster.open(at));
    cluster
}

/// All nodes have come to the same, within bounds.
fn agree(cluster: &Cluster, position: Position) {
    let mut seen = Vec::new();
    for (at, store) in cluster.open_ones() {
        let read = Read { level: Some(ReadLevel::Local), token: Some(position), timeout: Some(PATIENCE) };
        let view = store.view_at(&read).unwrap();
        assert!(view.memory() <= MEMORY_MAX, "{} has {}", cluster.name(at), view.memory());
        seen.push((view.sequence(), view.hash(), view.len()));
    }
    seen.sort_unstable();
    for pair in seen.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        assert_eq!(pair[0], pair[1]);
    }
}

fn put(store: &Store, number: u32) -> Position {
    store.put(&number.to_be_bytes(), &VALUE, &Call::default()).unwrap().position()
}

#[test]
fn keys_go_that_were_not_used_for_long_on_all_nodes_alike() {
    let mut cluster = cluster(Eviction::Lru);
    let primary = cluster.primary();
    let replica = cluster.replica();
    // Far more than there is room for, on either node: none is refused.
    let mut last = Position::default();
    for number in 0..600 {
        last = put(cluster.store(if number % 3 == 0 { replica } else { primary }), number);
        // Read all along where it counts.
        assert!(cluster.store(primary).get(&0u32.to_be_bytes()).unwrap().is_some(), "{number}");
    }
    agree(&cluster, last);
    let status = cluster.store(primary).status().unwrap();
    assert!(status.counts.evictions > 10 && status.keys < 300, "{status:?}");
    assert_eq!(cluster.store(replica).status().unwrap().counts.evictions, 0);
    // The next primary goes on so.
    let epoch = cluster.epoch(replica);
    cluster.drop(primary);
    let next = cluster.primary_after(epoch);
    for number in 600..900 {
        last = put(cluster.store(next), number);
    }
    agree(&cluster, last);
    assert!(cluster.store(next).status().unwrap().counts.evictions > 10);
    cluster.open(primary);
    agree(&cluster, last);
}

#[test]
fn keys_go_that_are_due_next_and_others_stay() {
    let cluster = cluster(Eviction::Ttl);
    let store = cluster.store(cluster.primary());
    store.put(b"stays", b"1", &Call::default()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let hour = Duration::from_secs(3_600);
    for number in 0..600u32 {
        let due = now + hour + Duration::from_secs(u64::from(number));
        let options = PutOptions {
            condition: Condition::Always,
            lifetime: Lifetime::Until(Timestamp::from_millis(due.as_millis() as u64)),
            ..PutOptions::default()
        };
        assert!(store.put_with(&number.to_be_bytes(), &VALUE, &options, &Call::default()).unwrap().is_done);
    }
    let last = store.put(b"stays", b"2", &Call::default()).unwrap().position();
    agree(&cluster, last);
    let view = store.view_at(&Read::default()).unwrap();
    assert!(view.get(b"stays", view.time()).is_some());
    // The later ones are there, the earlier ones went.
    let is_there = |number: u32| view.get(&number.to_be_bytes(), view.time()).is_some();
    assert!((0..300).all(|number| !is_there(number)) && (500..600).all(is_there));
    // What has no deadline makes those go that have one; when there are none left it is refused.
    let mut number = 1_000u32;
    let refused = loop {
        match store.put(&number.to_be_bytes(), &VALUE, &Call::default()) {
            Ok(_) => number += 1,
            Err(refused) => break refused,
        }
    };
    assert!(refused.to_string().contains("memory_max"), "{refused}");
    assert!(number > 1_200, "{number}");
    assert!(!view.is_empty() && store.status().unwrap().memory_bytes <= MEMORY_MAX);
}
