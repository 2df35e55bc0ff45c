//! A store of one node that becomes the first of a cluster.

use trimtab::Error;
use trimtab::backup;
use trimtab::embedded::{Beginning, Call, ClusterOptions, Store, Watched};
use trimtab::store::index::{Range, RequestId};

use crate::support::{Cluster, LOCAL, PATIENCE, member, options, wait_role};
use trimtab::replication::{Role, Standing};

fn key(at: u32) -> Vec<u8> {
    format!("key-{at:05}").into_bytes()
}

/// Nobody but `a` yet, which is to take over what is in its directory.
fn alone() -> Cluster {
    let mut cluster = Cluster::new(0, 0);
    cluster.members.push(member("a", false));
    cluster.stores.push(None);
    cluster
}

fn adopting(cluster: &Cluster) -> ClusterOptions {
    ClusterOptions { beginning: Beginning::Adopt, ..cluster.options_of(0) }
}

#[test]
fn a_store_keeps_all_it_has_and_others_get_it() {
    let mut cluster = alone();
    let lone = Store::open(cluster.dir(0), options()).unwrap();
    // More than a snapshot's worth, so that some of it is no longer in the log.
    let value = vec![b'v'; 2_000];
    for at in 0..1_000 {
        lone.put(&key(at), &value, &Call::default()).unwrap();
    }
    let request = RequestId { client: [7; 16], number: 3 };
    let asked = Call { request: Some(request), ..Call::default() };
    let counted = lone.increment(b"counter", 5, &asked).unwrap();
    let last = lone.status().unwrap();
    lone.close().unwrap();
    drop(lone);

    // Nobody has it taken over by accident; whoever is refused is told how.
    let refused = Store::join(cluster.dir(0), options(), cluster.options_of(0)).unwrap_err();
    assert!(refused.to_string().contains("adopt = true"), "{refused}");
    let lone = Store::open(cluster.dir(0), options()).expect("it is as it was");
    assert_eq!(lone.status().unwrap().sequence, last.sequence);
    drop(lone);

    let store = Store::join(cluster.dir(0), options(), adopting(&cluster)).unwrap();
    cluster.stores[0] = Some(store);
    assert_eq!(cluster.primary(), 0);
    let store = cluster.store(0);
    assert_eq!(*store.get(&key(999)).unwrap().unwrap().value, *value);
    assert_eq!(store.count(&Range::ALL).unwrap(), 1_001);
    // What was asked for by then is done once.
    let again = store.increment(b"counter", 5, &asked).unwrap();
    assert_eq!(again, counted);
    // Sequences go on, and who watched goes on from where it was.
    let mut watcher = store.watch(&Range::ALL, Some(last.sequence)).unwrap();
    let Watched::Events(seen) = watcher.next(PATIENCE).unwrap() else { panic!("nothing is missing") };
    assert_eq!((seen[0].sequence(), seen[0].key()), (last.sequence, &b"counter"[..]));
    assert!(store.put(b"new", b"1", &Call::default()).unwrap().sequence > last.sequence);

    // It would keep the store open.
    drop(watcher);
    // Two more, which get it by snapshot; then the first is gone.
    for name in ["b", "c"] {
        let at = cluster.open_new(name);
        let address = cluster.members[at].address;
        cluster.store(0).add(name, address, Some(PATIENCE)).unwrap();
        wait_role(cluster.store(at), Role::Learner);
        cluster.store(0).promote_learner(name, Some(PATIENCE)).unwrap();
        wait_role(cluster.store(at), Role::Replica);
    }
    cluster.store(0).put(b"all", b"of three", &Call { nodes: 3, ..Call::default() }).unwrap();
    let epoch = cluster.epoch(0);
    cluster.drop(0);
    let next = cluster.primary_after(epoch);
    let store = cluster.store(next);
    assert_eq!(store.count(&Range::ALL).unwrap(), 1_003);
    assert_eq!(store.increment(b"counter", 5, &asked).unwrap(), counted);

    // It is a node like any other: it comes back without being asked to take anything over, and no store of its own any more.
    let refused = Store::open(cluster.dir(0), options()).unwrap_err();
    assert!(refused.to_string().contains("is that of a node of a cluster"), "{refused}");
    cluster.open(0);
    cluster.store(next).put(b"all", b"again", &Call { nodes: 3, ..Call::default() }).unwrap();
    cluster.wait_shown(0, b"all", b"again");
    assert!(cluster.store(0).get_at(&key(0), &LOCAL).unwrap().is_some());
}

/// What is restored of a node of a cluster has nothing of that in it: neither alone, nor for those that join it later.
#[test]
fn a_backup_of_a_node_is_a_store_of_one_node_and_begins_another_cluster() {
    let mut old = Cluster::new(3, 0);
    let primary = old.primary();
    let epoch = old.epoch(primary);
    old.store(primary).put(&key(0), b"1", &Call { nodes: 3, ..Call::default() }).unwrap();
    // Another reign, with what it begins with.
    old.drop(primary);
    let primary = old.primary_after(epoch);
    let store = old.store(primary);
    for at in 1..100 {
        store.put(&key(at), b"1", &Call::default()).unwrap();
    }
    let copy = old.folder.path().join("backup");
    store.backup(&copy, &backup::Options::default()).unwrap();

    let mut cluster = alone();
    backup::restore(&copy, cluster.dir(0), &backup::RestoreOptions::default()).unwrap();
    let lone = Store::open(cluster.dir(0), options()).unwrap();
    assert_eq!(lone.count(&Range::ALL).unwrap(), 100);
    lone.put(&key(100), b"1", &Call::default()).unwrap();
    lone.close().unwrap();
    drop(lone);

    let store = Store::join(cluster.dir(0), options(), adopting(&cluster)).unwrap();
    cluster.stores[0] = Some(store);
    assert_eq!(cluster.primary(), 0);
    for name in ["b", "c"] {
        let at = cluster.open_new(name);
        let address = cluster.members[at].address;
        cluster.store(0).add(name, address, Some(PATIENCE)).unwrap();
        wait_role(cluster.store(at), Role::Learner);
        cluster.store(0).promote_learner(name, Some(PATIENCE)).unwrap();
        wait_role(cluster.store(at), Role::Replica);
    }
    cluster.store(0).put(b"all", b"of three", &Call { nodes: 3, ..Call::default() }).unwrap();
    for (_, store) in cluster.open_ones() {
        let names: Vec<_> = store.cluster().unwrap().nodes.into_iter().map(|it| it.name).collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }
    let epoch = cluster.epoch(0);
    cluster.drop(0);
    let next = cluster.primary_after(epoch);
    assert_eq!(cluster.store(next).count(&Range::ALL).unwrap(), 102);
}

#[test]
fn there_has_to_be_a_store_and_a_vote() {
    let cluster = alone();
    let refused = Store::join(cluster.dir(0), options(), adopting(&cluster)).unwrap_err();
    assert!(matches!(&refused, Error::InvalidArgument { what: "beginning", .. }), "{refused}");
    let mut members = vec![member("a", true), member("b", false)];
    members[0].is_learner = true;
    let learner = ClusterOptions { members, ..adopting(&cluster) };
    let refused = Store::join(cluster.dir(0), options(), learner).unwrap_err();
    assert!(refused.to_string().contains("this node is a learner"), "{refused}");
}

#[test]
fn a_store_with_others_in_its_configuration_begins_alone() {
    let mut cluster = alone();
    Store::open(cluster.dir(0), options()).unwrap().put(b"key", b"1", &Call::default()).unwrap();
    cluster.members.push(member("b", false));
    cluster.stores.push(None);
    let store = Store::join(cluster.dir(0), options(), adopting(&cluster)).unwrap();
    cluster.stores[0] = Some(store);
    assert_eq!(cluster.primary(), 0);
    assert_eq!(cluster.store(0).cluster().unwrap().nodes.len(), 1);
    // The other one joins, and is added under the name it has there.
    let options_of_b = ClusterOptions { beginning: Beginning::Join, ..cluster.options_of(1) };
    let b = Store::join(cluster.dir(1), options(), options_of_b).unwrap();
    cluster.stores[1] = Some(b);
    // At once: it waits until what the reign begins with is committed.
    cluster.store(0).add("b", cluster.members[1].address, Some(PATIENCE)).unwrap();
    cluster.wait_shown(1, b"key", b"1");
    // It stays so, whether it is still asked to or not.
    cluster.drop(0);
    let store = Store::join(cluster.dir(0), options(), adopting(&cluster)).unwrap();
    cluster.stores[0] = Some(store);
    assert_eq!(cluster.primary(), 0);
    assert_eq!(*cluster.store(0).get(b"key").unwrap().unwrap().value, *b"1");
}

/// A member's directory is lost, a backup restored in its place, and `adopt` still asked for: what would be a second primary for
/// its clients takes no writes once it hears of the other.
#[test]
fn a_second_cluster_of_the_name_takes_no_writes_once_it_is_known() {
    let mut cluster = alone();
    let lone = Store::open(cluster.dir(0), options()).unwrap();
    lone.put(b"key", b"yesterday", &Call::default()).unwrap();
    let copy = cluster.folder.path().join("backup");
    lone.backup(&copy, &backup::Options::default()).unwrap();
    lone.close().unwrap();
    drop(lone);
    cluster.stores[0] = Some(Store::join(cluster.dir(0), options(), adopting(&cluster)).unwrap());
    for name in ["b", "c"] {
        let at = cluster.open_new(name);
        let address = cluster.members[at].address;
        cluster.store(0).add(name, address, Some(PATIENCE)).unwrap();
        wait_role(cluster.store(at), Role::Learner);
        cluster.store(0).promote_learner(name, Some(PATIENCE)).unwrap();
        wait_role(cluster.store(at), Role::Replica);
    }
    cluster.members.iter_mut().for_each(|it| it.is_learner = false);
    cluster.store(0).put(b"key", b"today", &Call { nodes: 3, ..Call::default() }).unwrap();
    (0..3).for_each(|at| cluster.drop(at));
    std::fs::remove_dir_all(cluster.dir(0)).unwrap();
    backup::restore(&copy, cluster.dir(0), &backup::RestoreOptions::default()).unwrap();
    cluster.stores[0] = Some(Store::join(cluster.dir(0), options(), adopting(&cluster)).unwrap());
    cluster.store(0).put(b"key", b"here", &Call::default()).unwrap();
    let mut events = cluster.store(0).cluster_events().unwrap();
    (1..3).for_each(|at| cluster.open(at));
    let store = cluster.store(0);
    let detail = loop {
        let status = store.cluster().unwrap();
        if matches!(status.standing, Standing::Fenced(_)) {
            break status.trouble.unwrap();
        }
        let told = events.next(PATIENCE);
        assert!(told.is_ok(), "{status:?}, and there {:?}", cluster.store(1).cluster());
    };
    assert!(detail.contains("another cluster of that name has it as a member"), "{detail}");
    let refused = store.put(b"key", b"here", &Call::default()).unwrap_err();
    assert!(matches!(refused, Error::State { .. }), "{refused}");
    assert_eq!(*cluster.store(1).get(b"key").unwrap().unwrap().value, *b"today");
    cluster.store(1).put(b"key", b"later", &Call::default()).unwrap();
    // As it says: with an empty directory, and asking to join.
    drop(events);
    cluster.drop(0);
    std::fs::remove_dir_all(cluster.dir(0)).unwrap();
    let joining = ClusterOptions { beginning: Beginning::Join, ..cluster.options_of(0) };
    cluster.stores[0] = Some(Store::join(cluster.dir(0), options(), joining).unwrap());
    cluster.wait_shown(0, b"key", b"later");
    wait_role(cluster.store(0), Role::Replica);
}
