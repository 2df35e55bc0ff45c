//! What a read sees.

use std::time::Duration;

use trimtab::embedded::{Call, Read, ReadLevel, Watched};
use trimtab::store::engine::Durability;
use trimtab::store::index::Range;

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

/// No replica knows that what it has is of this very moment.
const NEWEST: Option<ReadLevel> = Some(ReadLevel::Replica { age_max: Duration::ZERO });

#[test]
fn a_read_whose_bound_is_over_is_done_by_the_primary() {
    let cluster = Cluster::new(3, 1);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let read = Read { level: NEWEST, timeout: Some(PATIENCE), token: None };
    for round in 0..3u32 {
        for at in [replica, 3] {
            let value = [round.to_le_bytes(), (at as u32).to_le_bytes()].concat();
            let done = cluster.store(primary).put(b"key", &value, &Call::default()).unwrap();
            let store = cluster.store(at);
            let found = store.get_at(b"key", &read).unwrap().unwrap();
            assert_eq!((&*found.value, found.version), (&value[..], done.sequence));
            assert_eq!(store.get_at(b"none", &read).unwrap(), None);
            let read = Read { token: Some(done.position()), ..read };
            assert_eq!(store.count_at(&Range::ALL, &read).unwrap(), 1);
            let listing = store.range_at(&Range::ALL, 0, 1 << 20, true, &read).unwrap();
            assert_eq!(listing.entries, [(b"key".to_vec(), found.clone())]);
            assert!(!listing.more);
            let view = store.view_at(&read).unwrap();
            assert_eq!(view.get(b"key", view.time()).map(|it| it.to_found()), Some(found));
        }
    }
}

#[test]
fn the_primary_waits_for_a_position_that_a_read_asks_for() {
    let cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let done = cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    let mut token = done.position();
    token.sequence += 1;
    let read = Read { level: NEWEST, token: Some(token), timeout: Some(PATIENCE) };
    let (asked, asks) = std::sync::mpsc::channel();
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            asked.send(()).unwrap();
            cluster.store(replica).get_at(b"key", &read)
        });
        asks.recv().unwrap();
        cluster.store(primary).put(b"key", b"2", &Call::default()).unwrap();
        reader.join().unwrap()
    });
    assert_eq!(&*seen.unwrap().unwrap().value, b"2");
}

#[test]
fn a_read_whose_bound_is_over_is_refused_where_the_primary_is_not_asked_or_not_there() {
    let mut cluster = Cluster::with(3, 0, |options| options.forwards = false);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    let read = Read { level: NEWEST, token: None, timeout: Some(Duration::from_millis(60)) };
    let named = trimtab::Error::NotPrimary { primary: Some(cluster.name(primary).into()) };
    let late = trimtab::Error::TimedOut { what: "read" };
    let refused = cluster.store(replica).get_at(b"key", &read).unwrap_err();
    assert!(refused == named || refused == late, "{refused:?}");
    // With nobody else there, one that asks has nobody to ask.
    (0..3).filter(|at| *at != replica).collect::<Vec<_>>().into_iter().for_each(|at| cluster.drop(at));
    cluster.drop(replica);
    cluster.tune = |_| {};
    cluster.open(replica);
    for refused in [
        cluster.store(replica).get_at(b"key", &read).unwrap_err(),
        cluster.store(replica).view_at(&read).map(drop).unwrap_err(),
    ] {
        assert!(refused == trimtab::Error::NoQuorum || refused == late, "{refused:?}");
    }
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
    // Whoever was primary has counted it.
    let counted = cluster.open_ones().map(|(_, store)| store.status().unwrap().counts.expiries);
    assert_eq!(counted.sum::<u64>(), 1);
}

/// A position whose write was answered in memory alone, and was lost with its primary, is told on every node and at every
/// level, also on the node that wrote it.
#[test]
fn a_position_that_is_lost_with_its_primary_is_told() {
    // A primary that has lost the others believes for a while that it has not.
    let mut cluster = Cluster::with(3, 0, |options| options.replication.election_ticks = 150);
    let primary = cluster.primary();
    let others: Vec<usize> = (0..3).filter(|at| *at != primary).collect();
    let kept = cluster.store(primary).put(b"kept", b"1", &Call { nodes: 3, ..Call::default() }).unwrap();
    others.iter().for_each(|at| cluster.drop(*at));
    let call = Call { durability: Some(Durability::Memory), ..Call::default() };
    let lost = cluster.store(primary).put(b"lost", b"1", &call).unwrap();
    assert_eq!((lost.durability, lost.position().epoch), (Durability::Memory, kept.position().epoch));
    cluster.drop(primary);
    others.iter().for_each(|at| cluster.open(*at));
    let next = cluster.primary_after(lost.position().epoch);
    cluster.store(next).put(b"next", b"1", &Call::default()).unwrap();
    let check = |cluster: &Cluster, at: usize| {
        for level in [ReadLevel::Local, ReadLevel::Replica { age_max: PATIENCE }, ReadLevel::Primary] {
            let read = |position| Read { level: Some(level), token: Some(position), timeout: Some(PATIENCE) };
            let told = cluster.store(at).get_at(b"lost", &read(lost.position())).unwrap_err();
            assert!(told.to_string().contains("was lost with a primary"), "{at} {level:?}: {told}");
            assert!(cluster.store(at).get_at(b"kept", &read(kept.position())).unwrap().is_some());
        }
    };
    others.iter().for_each(|at| check(&cluster, *at));
    cluster.open(primary);
    cluster.wait_shown(primary, b"next", b"1");
    check(&cluster, primary);
    assert!(cluster.store(primary).get(b"lost").unwrap().is_none());
}

#[test]
fn a_read_that_is_taken_back_keeps_no_place() {
    let cluster = Cluster::new(3, 0);
    let store = cluster.store(cluster.replica());
    let done = store.put(b"key", b"1", &Call::default()).unwrap();
    let mut token = done.position();
    token.sequence += 1_000;
    let read = Read { token: Some(token), timeout: Some(PATIENCE), ..LOCAL };
    let queue = store.queue(2).unwrap();
    for user_data in 0..20 {
        queue.submit_fresh(&read, 7).unwrap();
        queue.submit_fresh(&read, user_data).unwrap();
        let expected = if user_data == 7 { 2 } else { 1 };
        assert_eq!(queue.cancel(7), Ok(expected));
        assert_eq!(queue.cancel(user_data), Ok(2 - expected));
        assert_eq!(queue.under_way(), 0);
    }
    // One that is gone takes nothing of the others' with it.
    queue.submit_fresh(&Read { timeout: Some(PATIENCE), ..Read::default() }, 1).unwrap();
    let done = queue.wait(1, PATIENCE).unwrap();
    assert!(done.len() == 1 && done[0].user_data == 1 && done[0].result.is_ok(), "{done:?}");
}

/// What was asked of the node, and of the primary, is forgotten there too: before their deadlines.
#[test]
fn reads_that_are_taken_back_keep_no_place_where_they_wait() {
    let cluster = Cluster::with(3, 0, |options| {
        // Another primary would know that nothing comes at what is waited for.
        options.replication.election_ticks = 150;
        options.forward_max = 8;
        options.replication.waiting_max = 8;
    });
    for at in [cluster.primary(), cluster.replica()] {
        let store = cluster.store(at);
        let mut token = store.put(b"key", b"1", &Call::default()).unwrap().position();
        token.sequence += 1_000_000;
        let read = Read { token: Some(token), timeout: Some(PATIENCE), ..LOCAL };
        let queue = store.queue(100).unwrap();
        for _ in 0..8 {
            for user_data in 0..5 {
                queue.submit_get_at(b"key", &read, user_data).unwrap();
            }
            if at != cluster.primary() {
                let since = std::time::Instant::now();
                while store.cluster().unwrap().forwarded < 5 {
                    assert!(since.elapsed() < PATIENCE, "they are not passed on");
                    std::thread::yield_now();
                }
            }
            assert_eq!((0..5).map(|it| queue.cancel(it).unwrap()).sum::<usize>(), 5);
            store.put(b"key", b"2", &Call::default()).unwrap();
            assert_eq!(store.get(b"key").unwrap().map(|it| it.value.to_vec()), Some(b"2".to_vec()));
        }
    }
}

/// Whoever is primary knows that nobody was told of it; a replica may be behind, and waits.
#[test]
fn a_watch_from_beyond_the_last_write_is_told_so_by_the_primary() {
    let cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let done = cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    cluster.wait_shown(replica, b"key", b"1");
    let range = trimtab::store::index::Range { start: b"key", end: None };
    let watch = |at: usize, from| cluster.store(at).watch(&range, Some(from)).unwrap();
    let told = watch(primary, done.sequence + 100).next(PATIENCE).unwrap();
    assert!(matches!(told, Watched::Compacted { .. }), "{told:?}");
    let waits = watch(replica, done.sequence + 100).next(Duration::ZERO);
    assert!(matches!(waits, Err(trimtab::Error::TimedOut { .. })), "{waits:?}");
    for at in [primary, replica] {
        let mut next = watch(at, done.sequence + 1);
        cluster.store(primary).put(b"key", b"2", &Call::default()).unwrap();
        let told = next.next(PATIENCE).unwrap();
        assert!(matches!(told, Watched::Events(_)), "{told:?}");
    }
}
