//! Directories and names that do not belong.

use std::fs;
use std::path::Path;

use trimtab::Error;
use trimtab::embedded::{
    Beginning, Call, ClusterEvent, ClusterOptions, Directory, MemberOptions, Options, ReadLevel, Store,
    look_at_directory, mark_directory,
};
use trimtab::replication::{Role, Standing};

use crate::support::{Cluster, LOCAL, PATIENCE, free_address, options, wait_role};

#[test]
fn a_directory_of_another_cluster_node_or_kind_is_refused() {
    let mut cluster = Cluster::new(1, 0);
    cluster.store(cluster.primary()).put(b"key", b"1", &Call::default()).unwrap();
    let refused = Store::join(cluster.dir(0), options(), cluster.options_of(0)).unwrap_err();
    assert!(matches!(refused, Error::State { .. }), "{refused}");
    cluster.drop(0);
    let told = |options_here: ClusterOptions| {
        Store::join(cluster.dir(0), options(), options_here).unwrap_err().to_string()
    };
    let other = ClusterOptions { cluster: "other".into(), ..cluster.options_of(0) };
    assert!(told(other).contains("is of the cluster trimtab, and this is other"));
    let z = MemberOptions { name: "z".parse().unwrap(), address: Some(free_address()), is_learner: false };
    let other = ClusterOptions { node: z.name.clone(), members: vec![z], ..cluster.options_of(0) };
    assert!(told(other).contains("is of the node a, and this is z"));
    let alone = cluster.folder.path().join("alone");
    Store::open(&alone, options()).unwrap().put(b"key", b"1", &Call::default()).unwrap();
    let refused = Store::join(&alone, options(), cluster.options_of(0)).unwrap_err();
    assert!(refused.to_string().contains("belongs to no cluster"), "{refused}");
    let hosted = Options { is_hosted: true, ..options() };
    let refused = Store::join(cluster.dir(0), hosted, cluster.options_of(0)).unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
}

#[test]
fn a_node_of_another_cluster_is_not_let_in_and_both_are_told_why() {
    let cluster = Cluster::new(3, 0);
    let primary = cluster.primary();
    let mut events = cluster.store(primary).cluster_events().unwrap();
    // It means to be the fourth, and is of another.
    let own = MemberOptions { name: "zz".parse().unwrap(), address: None, is_learner: true };
    let members = [cluster.members.clone(), vec![own.clone()]].concat();
    let stranger = ClusterOptions {
        cluster: "other".into(),
        node: own.name,
        members,
        beginning: Beginning::Join,
        ..cluster.options_of(primary)
    };
    let stranger = ClusterOptions { listen: None, ..stranger };
    let store = Store::join(cluster.folder.path().join("zz"), options(), stranger).unwrap();
    let refused = |event| match event {
        ClusterEvent::Refused { detail, .. } if detail.contains("belongs to the cluster") => Some(()),
        _ => None,
    };
    store.cluster_events().unwrap().find(PATIENCE, refused).unwrap();
    events.find(PATIENCE, refused).unwrap();
    assert_eq!(store.cluster().unwrap().role, Role::Idle);
}

#[test]
fn a_directory_that_was_put_back_votes_for_nobody_until_it_is_taken_in_again() {
    let mut cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    cluster.wait_shown(replica, b"key", b"1");
    cluster.drop(replica);
    let (dir, copy) = (cluster.dir(replica), cluster.folder.path().join("copy"));
    copy_dir(&dir, &copy);
    cluster.open(replica);
    cluster.store(primary).put(b"key", b"2", &Call { nodes: 3, ..Call::default() }).unwrap();
    cluster.drop(replica);
    fs::remove_dir_all(&dir).unwrap();
    copy_dir(&copy, &dir);
    cluster.open(replica);
    let store = cluster.store(replica);
    let mut events = store.cluster_events().unwrap();
    if store.cluster().unwrap().standing == Standing::Active {
        let status = store.cluster().unwrap();
        // It was taken in already, and says so.
        events
            .find(PATIENCE, |event| (event == ClusterEvent::Readmitted).then_some(()))
            .unwrap_or_else(|error| panic!("the copy was not seen: {error}: {status:?}"));
    }
    cluster.wait_shown(replica, b"key", b"2");
    wait_role(store, Role::Replica);
    let mut events = store.cluster_events().unwrap();
    while store.cluster().unwrap().standing != Standing::Active {
        events.next(PATIENCE).unwrap();
    }
}

#[test]
fn a_copy_is_seen_however_it_was_put_back() {
    let mut cluster = Cluster::new(1, 0);
    let node = cluster.primary();
    cluster.store(node).put(b"key", b"1", &Call::default()).unwrap();
    cluster.drop(node);
    let (dir, copy) = (cluster.dir(node), cluster.folder.path().join("copy"));
    let seen = || look_at_directory(&dir).unwrap().seen;
    copy_dir(&dir, &copy);
    assert_eq!(seen(), "original");
    for way in ["over what is there", "after what was there is gone", "after all of it is gone"] {
        cluster.open(node);
        cluster.store(node).put(b"key", b"2", &Call::default()).unwrap();
        cluster.drop(node);
        assert_eq!(seen(), "original", "{way}");
        match way {
            // The files stay the ones that they were, and so does the directory.
            "over what is there" => {}
            "after what was there is gone" => {
                for entry in fs::read_dir(&dir).unwrap() {
                    fs::remove_file(entry.unwrap().path()).unwrap();
                }
            }
            _ => fs::remove_dir_all(&dir).unwrap(),
        }
        copy_dir(&copy, &dir);
        assert_eq!(seen(), "copy", "{way}");
        mark_directory(&dir, Directory::Original).unwrap();
    }
    let moved = cluster.folder.path().join("moved");
    fs::rename(&dir, &moved).unwrap();
    assert_eq!(look_at_directory(&moved).unwrap().seen, "original");
}

#[test]
fn a_node_whose_directory_was_lost_is_taken_in_again() {
    let mut cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    cluster.store(primary).put(b"key", b"1", &Call { nodes: 3, ..Call::default() }).unwrap();
    cluster.drop(replica);
    fs::remove_dir_all(cluster.dir(replica)).unwrap();
    let options_here = ClusterOptions { beginning: Beginning::Join, ..cluster.options_of(replica) };
    let store = Store::join(cluster.dir(replica), options(), options_here).unwrap();
    assert!(matches!(store.cluster().unwrap().standing, Standing::Forgetful { .. }));
    cluster.stores[replica] = Some(store);
    cluster.wait_shown(replica, b"key", b"1");
    wait_role(cluster.store(replica), Role::Replica);
    let done = cluster.store(primary).put(b"key", b"2", &Call { nodes: 3, ..Call::default() }).unwrap();
    assert_eq!(done.nodes, 3);
}

#[test]
fn a_founder_whose_directory_was_lost_finds_out_by_itself() {
    let mut cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    cluster.store(primary).put(b"key", b"1", &Call { nodes: 3, ..Call::default() }).unwrap();
    cluster.drop(replica);
    fs::remove_dir_all(cluster.dir(replica)).unwrap();
    // It is told nothing: it takes itself for one of a new cluster, and votes for nobody until it knows.
    cluster.open(replica);
    let mut events = cluster.store(replica).cluster_events().unwrap();
    events.find(PATIENCE, |event| (event == ClusterEvent::Forgetful).then_some(())).unwrap();
    events.find(PATIENCE, |event| (event == ClusterEvent::Readmitted).then_some(())).unwrap();
    cluster.wait_shown(replica, b"key", b"1");
    wait_role(cluster.store(replica), Role::Replica);
    let done = cluster.store(primary).put(b"key", b"2", &Call { nodes: 3, ..Call::default() }).unwrap();
    assert_eq!(done.nodes, 3);
}

#[test]
fn a_founder_votes_once_enough_others_are_new_too() {
    let mut cluster = Cluster::closed(3, 0, |_| {});
    cluster.open(0);
    let status = cluster.store(0).cluster().unwrap();
    assert_eq!((status.standing, status.role), (Standing::Founding, Role::Replica));
    assert!(status.trouble.unwrap().contains("waits until enough of its voters say"));
    cluster.open(1);
    let primary = cluster.primary();
    cluster.store(primary).put(b"key", b"1", &Call::default()).unwrap();
    for at in [0, 1] {
        assert_eq!(cluster.store(at).cluster().unwrap().standing, Standing::Active);
    }
    // The third comes late. What it may have promised before is not known, so it is taken in as if it had forgotten that.
    cluster.open(2);
    let mut events = cluster.store(2).cluster_events().unwrap();
    events.find(PATIENCE, |event| (event == ClusterEvent::Readmitted).then_some(())).unwrap();
    cluster.wait_shown(2, b"key", b"1");
    wait_role(cluster.store(2), Role::Replica);
    assert_eq!(cluster.store(2).cluster().unwrap().standing, Standing::Active);
}

/// A key on all nodes, then the learner is ended. Gives the primary. Whatever the learner has is on all three others: one
/// that lacked something of it could not be followed by it once it was promoted by force.
fn everywhere_and_the_learner_gone(cluster: &mut Cluster) -> usize {
    let primary = cluster.primary();
    cluster.store(primary).put(b"key", b"1", &Call { nodes: 4, ..Call::default() }).unwrap();
    cluster.drop(3);
    let primary = cluster.primary();
    cluster.store(primary).put(b"key", b"1", &Call { nodes: 3, ..Call::default() }).unwrap();
    primary
}

#[test]
fn a_node_is_promoted_by_force_when_the_others_are_gone() {
    let mut cluster = Cluster::new(3, 1);
    let primary = everywhere_and_the_learner_gone(&mut cluster);
    let replica = (primary + 1) % 3;
    (0..3).for_each(|at| cluster.drop(at));
    let options_here = ClusterOptions { directory: Directory::Promoted, ..cluster.options_of(replica) };
    cluster.stores[replica] = Some(Store::join(cluster.dir(replica), options(), options_here).unwrap());
    let store = cluster.store(replica);
    wait_role(store, Role::Primary);
    let done = store.put(b"key", b"2", &Call::default()).unwrap();
    assert_eq!(done.nodes, 1);
    assert_eq!(store.cluster().unwrap().generation, 2);
    // The learner follows it.
    cluster.open(3);
    cluster.wait_shown(3, b"key", b"2");
    // One of those before takes no part any more.
    cluster.open(primary);
    let mut events = cluster.store(primary).cluster_events().unwrap();
    let detail = events.find(PATIENCE, |event| match event {
        ClusterEvent::Fenced { detail } => Some(detail),
        ClusterEvent::Refused { detail, .. } if detail.contains("was removed") => Some(detail),
        _ => None,
    });
    assert!(detail.is_ok(), "{:?}", cluster.store(primary).cluster());
    assert_eq!(&*cluster.store(primary).get_at(b"key", &LOCAL).unwrap().unwrap().value, b"1");
}

#[test]
fn a_directory_is_promoted_by_force_while_nobody_has_it_open() {
    let mut cluster = Cluster::new(3, 1);
    let primary = everywhere_and_the_learner_gone(&mut cluster);
    let replica = (primary + 1) % 3;
    let dir = cluster.dir(replica);
    let open = trimtab::embedded::promote_directory(&dir).unwrap_err();
    assert!(matches!(open, trimtab::Error::State { .. }), "{open}");
    (0..3).for_each(|at| cluster.drop(at));
    let promoted = trimtab::embedded::promote_directory(&dir).unwrap();
    let mut others: Vec<&str> = (0..3).filter(|at| *at != replica).map(|at| cluster.name(at)).collect();
    others.sort_unstable();
    let mut told = promoted.out.clone();
    told.sort_unstable();
    assert_eq!(
        (told, promoted.learners),
        (others.iter().map(|it| (*it).to_owned()).collect(), vec!["d".into()])
    );
    assert_eq!((promoted.cluster.as_str(), promoted.generation), ("trimtab", 2));
    assert_eq!(promoted.node, cluster.name(replica));
    // It is opened as ever, and so is the learner.
    cluster.open(replica);
    wait_role(cluster.store(replica), Role::Primary);
    assert_eq!(&*cluster.store(replica).get(b"key").unwrap().unwrap().value, b"1");
    let done = cluster.store(replica).put(b"key", b"2", &Call::default()).unwrap();
    assert!(done.nodes == 1 && done.entry > promoted.last, "{done:?}");
    cluster.open(3);
    cluster.wait_shown(3, b"key", b"2");
    let nobody = (cluster.folder.path().join("nobody"), "there is no directory ");
    let stranger = (cluster.folder.path().to_owned(), "is no directory of a node of a cluster");
    for (nothing, what) in [nobody, stranger] {
        let why = trimtab::embedded::promote_directory(&nothing).unwrap_err();
        assert!(why.to_string().contains(what), "{why}");
    }
    assert!(!cluster.folder.path().join("nobody").exists());
}

#[test]
fn a_first_opening_that_came_to_no_end_is_begun_anew_and_a_log_that_is_gone_is_not() {
    let mut cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    cluster.store(primary).put(b"key", b"1", &Call { nodes: 3, ..Call::default() }).unwrap();
    cluster.drop(replica);
    let dir = cluster.dir(replica);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "member") {
            fs::remove_file(path).unwrap();
        }
    }
    // It was a member: what it promised is not known, so it votes for nobody.
    cluster.open(replica);
    cluster.wait_shown(replica, b"key", b"1");
    wait_role(cluster.store(replica), Role::Replica);
    // Nor is it where the log is there, and nothing else says whose it is: it may be a copy. There is nothing to be adopted.
    cluster.drop(replica);
    fs::remove_file(dir.join("member")).unwrap();
    let adopting = ClusterOptions { beginning: Beginning::Adopt, ..cluster.options_of(replica) };
    cluster.stores[replica] = Some(Store::join(&dir, options(), adopting).unwrap());
    let mut events = cluster.store(replica).cluster_events().unwrap();
    events.find(PATIENCE, |event| (event == ClusterEvent::Readmitted).then_some(())).unwrap();
    wait_role(cluster.store(replica), Role::Replica);
    // Whereas here nothing had begun.
    let alone = cluster.folder.path().join("first");
    let own =
        MemberOptions { name: "first".parse().unwrap(), address: Some(free_address()), is_learner: false };
    let first = || ClusterOptions {
        node: own.name.clone(),
        members: vec![own.clone()],
        ..cluster.options_of(primary)
    };
    drop(Store::join(&alone, options(), first()).unwrap());
    for entry in fs::read_dir(&alone).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "member") {
            fs::remove_file(path).unwrap();
        }
    }
    let mark = fs::read_to_string(alone.join("member")).unwrap();
    fs::write(alone.join("member"), format!("{mark}opening\n")).unwrap();
    let store = Store::join(&alone, options(), first()).unwrap();
    wait_role(&store, Role::Primary);
    store.put(b"key", b"1", &Call::default()).unwrap();
}

#[test]
fn reads_may_be_local_by_default() {
    let cluster = Cluster::with(3, 0, |options| options.read = ReadLevel::Local);
    cluster.primary();
    for (_, store) in cluster.open_ones() {
        assert!(store.get(b"nothing").unwrap().is_none());
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Who lost its directory may know only some of the others by its configuration, and the primary is not among them: it says so.
#[test]
fn a_node_whose_directory_was_lost_says_that_it_does_not_know_the_primary() {
    let mut cluster = Cluster::new(3, 0);
    let primary = cluster.primary();
    let at = cluster.open_new("d");
    let store = cluster.store(primary);
    store.add("d", cluster.members[at].address, Some(PATIENCE)).unwrap();
    store.promote_learner("d", Some(PATIENCE)).unwrap();
    store.put(b"key", b"1", &Call { nodes: 4, ..Call::default() }).unwrap();
    store.transfer("d", Some(PATIENCE)).unwrap();
    wait_role(cluster.store(at), Role::Primary);
    cluster.members[at].is_learner = false;
    cluster.drop(0);
    for beginning in [Beginning::New, Beginning::Join] {
        fs::remove_dir_all(cluster.dir(0)).unwrap();
        let full = cluster.options_of(0);
        let members = full.members[..3].to_vec();
        let older = ClusterOptions { members, beginning, ..full };
        let store = Store::join(cluster.dir(0), options(), older).unwrap();
        let mut events = store.cluster_events().unwrap();
        let is_told = |store: &Store| {
            let trouble = store.cluster().unwrap().trouble;
            trouble.is_some_and(|it| it.contains("none of the nodes in this one's peers"))
        };
        let begun = std::time::Instant::now();
        while !is_told(&store) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", store.cluster());
            // No event need tell of it.
            let _ = events.next(std::time::Duration::from_millis(100));
        }
        let refused = cluster.store(at).add("a", cluster.members[0].address, Some(PATIENCE)).unwrap_err();
        assert!(refused.to_string().contains("name that in its peers (d = "), "{refused}");
    }
    // Told of it, it is taken in.
    cluster.open(0);
    cluster.wait_shown(0, b"key", b"1");
    wait_role(cluster.store(0), Role::Replica);
}
