//! What a read sees.

use std::time::Duration;

use trimtab::embedded::{Call, Read, ReadLevel};

use crate::support::{Cluster, LOCAL, PATIENCE};

#[test]
fn a_read_sees_all_that_was_answered_before_on_any_node() {
    let cluster = Cluster::new(3, 1);
    cluster.primary();
    for round in 0..20u32 {
        let writer = cluster.store(round as usize % 4);
        writer.put(b"key", &round.to_le_bytes(), &Call::default()).unwrap();
        for (at, store) in cluster.open_ones() {
            let seen = store.get(b"key").unwrap().unwrap();
            assert_eq!(*seen.value, round.to_le_bytes(), "{} in round {round}", cluster.name(at));
        }
    }
}

#[test]
fn a_token_is_waited_for_and_an_age_is_kept() {
    let cluster = Cluster::new(3, 1);
    let primary = cluster.primary();
    for round in 0..20u32 {
        let done = cluster.store(primary).put(b"key", &round.to_le_bytes(), &Call::default()).unwrap();
        for (_, store) in cluster.open_ones() {
            let read = Read { token: Some(done.position()), timeout: Some(PATIENCE), ..LOCAL };
            let seen = store.get_at(b"key", &read).unwrap().unwrap();
            assert_eq!(*seen.value, round.to_le_bytes());
            assert_eq!(store.count_at(&trimtab::store::index::Range::ALL, &read).unwrap(), 1);
        }
    }
    for (_, store) in cluster.open_ones() {
        let level = Some(ReadLevel::Replica { age_max: Duration::from_secs(5) });
        let read = Read { level, timeout: Some(PATIENCE), token: None };
        assert!(store.get_at(b"key", &read).unwrap().is_some());
        assert!(store.view_at(&read).unwrap().sequence() > 0);
    }
}

#[test]
fn a_token_of_what_is_not_there_yet_names_the_primary_when_the_time_is_over() {
    let cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let done = cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    let mut token = done.position();
    token.sequence += 1_000;
    let read = Read { token: Some(token), timeout: Some(Duration::from_millis(60)), ..LOCAL };
    let refused = cluster.store(replica).get_at(b"key", &read).unwrap_err();
    let expected = [
        trimtab::Error::NotPrimary { primary: Some(cluster.name(primary).into()) },
        trimtab::Error::TimedOut { what: "read" },
    ];
    assert!(expected.contains(&refused), "{refused:?}");
}

#[test]
fn keys_expire_by_the_log_on_all_nodes_alike() {
    let cluster = Cluster::new(3, 0);
    let primary = cluster.store(cluster.primary());
    primary.put(b"key", b"1", &Call::default()).unwrap();
    assert!(primary.expire(b"key", Duration::from_millis(30), &Call::default()).unwrap());
    let range = trimtab::store::index::Range { start: b"key", end: None };
    for (_, store) in cluster.open_ones() {
        let mut watcher = store.watch(&range, None).unwrap();
        while store.get_at(b"key", &LOCAL).unwrap().is_some() {
            watcher.next(PATIENCE).unwrap();
        }
    }
}
