//! Nodes that go and come back.

use std::time::{Duration, Instant};

use trimtab::Error;
use trimtab::embedded::{Call, ClusterEvent};
use trimtab::replication::Role;
use trimtab::store::index::RequestId;

use crate::support::{Cluster, PATIENCE, wait_role};

#[test]
fn another_one_takes_over_and_nothing_that_was_answered_is_lost() {
    let mut cluster = Cluster::new(3, 0);
    let first = cluster.primary();
    let mut written = 0u32;
    for _ in 0..50 {
        let key = written.to_be_bytes();
        cluster.store(written as usize % 3).put(&key, b"x", &Call::default()).unwrap();
        written += 1;
    }
    let epoch = cluster.epoch(first);
    cluster.drop(first);
    let others: Vec<usize> = cluster.open_ones().map(|(at, _)| at).collect();
    // Writes wait for the next primary by themselves.
    for round in 0..50u32 {
        let request = Some(RequestId { client: [1; 16], number: u64::from(round) + 1 });
        let call = Call { request, ..Call::default() };
        cluster.store(others[round as usize % 2]).put(&written.to_be_bytes(), b"x", &call).unwrap();
        written += 1;
    }
    assert!(cluster.primary_after(epoch) != first);
    cluster.open(first);
    cluster.wait_shown(first, &(written - 1).to_be_bytes(), b"x");
    for (_, store) in cluster.open_ones() {
        for key in 0..written {
            assert!(store.get(&key.to_be_bytes()).unwrap().is_some(), "{key}");
        }
    }
}

#[test]
fn a_primary_that_is_closed_hands_over() {
    let mut cluster = Cluster::new(3, 0);
    let first = cluster.primary();
    cluster.store(first).put(b"key", b"1", &Call::default()).unwrap();
    let store = cluster.stores[first].take().unwrap();
    let mut events = store.cluster_events().unwrap();
    store.close().unwrap();
    let stepped_down = events.find(PATIENCE, |event| match event {
        ClusterEvent::Role { role: Role::Replica, primary: Some(_), .. } => Some(()),
        _ => None,
    });
    // It may have known somebody else before it was primary; in the end it was told who is.
    stepped_down.unwrap();
    drop((store, events));
    let second = cluster.primary();
    assert_ne!(second, first);
    assert_eq!(&*cluster.store(second).get(b"key").unwrap().unwrap().value, b"1");
}

#[test]
fn without_a_quorum_nothing_is_written_and_nothing_is_read_as_if_it_were_true() {
    let mut cluster = Cluster::with(3, 0, |options| options.patience = Duration::from_millis(300));
    let primary = cluster.primary();
    cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    for at in 0..3 {
        if at != primary {
            cluster.drop(at);
        }
    }
    let store = cluster.store(primary);
    let mut events = store.cluster_events().unwrap();
    while store.cluster().unwrap().role == Role::Primary {
        events.next(PATIENCE).unwrap();
    }
    let refused = store.put(b"key", b"2", &Call::default()).unwrap_err();
    assert_eq!(refused, Error::NoQuorum);
    let refused = store.get(b"key").unwrap_err();
    assert_eq!(refused, Error::NoQuorum);
    let request = RequestId { client: [1; 16], number: 1 };
    assert_eq!(store.outcome(&request, None), Err(Error::NoQuorum));
    let seen = store.get_at(b"key", &crate::support::LOCAL).unwrap().unwrap();
    assert_eq!(&*seen.value, b"1");
    (0..3).filter(|at| *at != primary).collect::<Vec<_>>().into_iter().for_each(|at| cluster.open(at));
    cluster.primary();
    let call = Call { timeout: Some(PATIENCE), ..Call::default() };
    let done = loop {
        match cluster.store(primary).put(b"key", b"3", &call) {
            // Those who came back promise nothing for a while.
            Err(Error::NoQuorum) => {}
            done => break done,
        }
    };
    done.unwrap();
}

#[test]
fn a_write_on_a_primary_that_loses_its_quorum_is_told_that_nobody_knows() {
    let mut cluster = Cluster::with(3, 0, |options| options.patience = Duration::from_millis(300));
    let primary = cluster.primary();
    let store = cluster.store(primary).clone();
    let request = RequestId { client: [1; 16], number: 1 };
    for call in [Call::default(), Call { request: Some(request), ..Call::default() }] {
        let (written, writes) = std::sync::mpsc::channel();
        let told = std::thread::scope(|scope| {
            let (store, call) = (&store, &call);
            let writer = scope.spawn(move || {
                for number in 1u64.. {
                    let request = call.request.map(|it| RequestId { number, ..it });
                    let call = Call { request, ..*call };
                    match store.increment(b"key", 1, &call) {
                        Ok(_) => written.send(()).unwrap(),
                        Err(why) => return why,
                    }
                }
                unreachable!("numbers do not end")
            });
            writes.recv().unwrap();
            (0..3).filter(|at| *at != primary).for_each(|at| cluster.drop(at));
            writer.join().unwrap()
        });
        assert_eq!(told, Error::UnknownOutcome);
        (0..3).filter(|at| *at != primary).for_each(|at| cluster.open(at));
        // The same node again: it has what the others may lack.
        let next = cluster.primary();
        if next != primary {
            cluster.store(next).transfer(cluster.name(primary), Some(PATIENCE)).unwrap();
        }
        wait_role(&store, Role::Primary);
        while store.put(b"key", b"0", &Call::default()).is_err() {}
    }
}

#[test]
fn reads_on_any_node_wait_while_another_takes_over() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let cluster = Cluster::new(3, 0);
    let primary = cluster.primary();
    cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for (at, store) in cluster.open_ones() {
            let is_over = &is_over;
            readers.push(scope.spawn(move || {
                let mut count = 0u32;
                while !is_over.load(Ordering::Relaxed) {
                    let told = match count % 4 {
                        0 => store.get(b"key").map(drop),
                        1 => store.view().map(drop),
                        2 => store.lease(5).map(drop),
                        _ => store.count(&trimtab::store::index::Range::ALL).map(drop),
                    };
                    told.unwrap_or_else(|why| panic!("read {count} of node {at}: {why}"));
                    count += 1;
                }
                count
            }));
        }
        for _ in 0..40 {
            let (primary, to) = (cluster.primary(), cluster.replica());
            // Who was told to hand over may be asked again too soon.
            let _ = cluster.store(primary).transfer(cluster.name(to), Some(PATIENCE));
        }
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}

#[test]
fn a_handover_to_a_node_that_is_gone_takes_as_long_as_it_may_and_writes_go_on() {
    const TIMEOUT: Duration = Duration::from_millis(1_500);
    let mut cluster = Cluster::with(3, 0, |options| options.replication.transfer_timeout = TIMEOUT);
    let (primary, to) = (cluster.primary(), cluster.replica());
    let name = cluster.name(to).to_owned();
    cluster.drop(to);
    let store = cluster.store(primary);
    let (began, mut written) = (Instant::now(), 0);
    let ended = std::thread::scope(|scope| {
        let handover = scope.spawn(|| store.transfer(&name, Some(PATIENCE)));
        while !handover.is_finished() {
            store.put(b"key", b"1", &Call::default()).unwrap();
            written += 1;
        }
        handover.join().unwrap()
    });
    assert_eq!(ended, Err(Error::TimedOut { what: "handover" }));
    assert!(began.elapsed() >= TIMEOUT && written > 0, "{written} after {:?}", began.elapsed());
    assert_eq!(store.cluster().unwrap().role, Role::Primary);
}

#[test]
fn a_handover_outlasts_who_waits_for_it_and_is_called_off() {
    let mut cluster =
        Cluster::with(3, 0, |options| options.replication.transfer_timeout = Duration::from_secs(3_600));
    let (primary, to) = (cluster.primary(), cluster.replica());
    let other = (0..3).find(|at| *at != primary && *at != to).unwrap();
    let name = cluster.name(to).to_owned();
    let store = cluster.store(primary);
    assert_eq!(store.abort_transfer(), Ok(false));
    let not_primary = Error::NotPrimary { primary: Some(cluster.name(primary).into()) };
    assert_eq!(cluster.store(other).abort_transfer(), Err(not_primary));
    cluster.drop(to);
    let store = cluster.store(primary);
    let short = Some(Duration::from_millis(1));
    assert_eq!(store.transfer(&name, short), Err(Error::TimedOut { what: "handover" }));
    let busy = store.transfer(&name, short).unwrap_err();
    assert!(busy.to_string().contains("busy with a handover"), "{busy}");
    assert_eq!(store.abort_transfer(), Ok(true));
    // If the one that is gone was told to take over, this one has itself elected anew first.
    let again = loop {
        match store.abort_transfer() {
            Err(Error::NotPrimary { primary: None }) => wait_role(store, Role::Primary),
            told => break told,
        }
    };
    assert_eq!(again, Ok(false));
    store.put(b"key", b"1", &Call::default()).unwrap();
    cluster.open(to);
    cluster.wait_shown(to, b"key", b"1");
    // The next one is of its own.
    let next = cluster.primary();
    let name = cluster.name((0..3).find(|at| *at != next).unwrap()).to_owned();
    cluster.store(next).transfer(&name, Some(PATIENCE)).unwrap();
}

#[test]
fn handing_over_names_the_next_one_and_comes_back() {
    let cluster = Cluster::new(3, 0);
    for _ in 0..3 {
        let (primary, to) = (cluster.primary(), cluster.replica());
        cluster.store(primary).transfer(cluster.name(to), Some(PATIENCE)).unwrap();
        wait_role(cluster.store(to), Role::Primary);
        cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
        let refused = cluster.store(primary).transfer(cluster.name(primary), None).unwrap_err();
        assert_eq!(refused, Error::NotPrimary { primary: Some(cluster.name(to).into()) });
    }
}
