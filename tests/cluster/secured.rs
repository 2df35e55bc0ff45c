//! Mutual TLS between the nodes.

use trimtab::embedded::{Call, ClusterEvent, ClusterOptions, MemberOptions, Store};
use trimtab::peer::Security;
use trimtab::replication;

use crate::certificates::Authority;
use crate::folder::Folder;
use crate::support::{PATIENCE, member, options};

fn join(folder: &Folder, authority: &Authority, members: &[MemberOptions], at: usize) -> Store {
    let name = members[at].name.as_str();
    let issued = authority.issue(folder, name);
    let security = Security::Tls {
        certificates: vec![issued.certificate],
        key: Some(issued.key),
        ca: authority.ca.clone(),
    };
    let mut cluster = ClusterOptions::new(members[at].name.clone(), members.to_vec(), security);
    cluster.replication = replication::Options { message_bytes: 16 << 10, ..replication::Options::default() };
    cluster.patience = PATIENCE;
    Store::join(folder.path().join(name), options(), cluster).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn nodes_that_know_each_other_by_their_certificates_are_a_cluster_and_others_stay_out() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ours");
    let members = [member("a", false), member("b", false), member("c", false)];
    let (a, b) = (join(&folder, &authority, &members, 0), join(&folder, &authority, &members, 1));
    // Two of three are a quorum.
    for (number, store) in [&a, &b].into_iter().enumerate() {
        let value = [number as u8];
        store.put(b"key", &value, &Call::default()).unwrap();
        assert_eq!(*a.get(b"key").unwrap().unwrap().value, value);
        assert_eq!(*b.get(b"key").unwrap().unwrap().value, value);
    }
    let theirs = Authority::new(&folder, "theirs");
    let c = join(&folder, &theirs, &members, 2);
    let refused = |event| matches!(event, ClusterEvent::Refused { .. }).then_some(());
    a.cluster_events().unwrap().find(PATIENCE, refused).unwrap();
    assert_eq!(c.cluster().unwrap().primary, None);
}

#[test]
fn certificates_that_are_renewed_under_a_cluster_are_those_of_new_links() {
    let folder = Folder::new();
    let (old, mut new) = (Authority::new(&folder, "old"), Authority::new(&folder, "new"));
    let members = [member("a", false), member("b", false), member("c", false)];
    let (a, b) = (join(&folder, &old, &members, 0), join(&folder, &old, &members, 1));
    a.put(b"key", b"1", &Call::default()).unwrap();
    let mut events = a.cluster_events().unwrap();
    // The new authority is one of theirs too, for who is new: nobody has read it yet.
    let bundle = [&old.ca, &new.ca].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    new.ca = folder.write("both.pem", &bundle);
    let c = join(&folder, &new, &members, 2);
    let refused = |event| matches!(event, ClusterEvent::Refused { .. }).then_some(());
    events.find(PATIENCE, refused).unwrap();
    std::fs::write(&old.ca, &bundle).unwrap();
    for store in [&a, &b] {
        store.reload_certificates().unwrap();
    }
    let c_is_up = |event| matches!(event, ClusterEvent::LinkUp { node } if node == "c").then_some(());
    events.find(PATIENCE, c_is_up).unwrap();
    a.put(b"key", b"2", &Call::default()).unwrap();
    assert_eq!(*c.get(b"key").unwrap().unwrap().value, *b"2");

    // Half a renewal is none, and says where it hurts; what was read before is used on.
    std::fs::write(folder.path().join("c.key"), "no key").unwrap();
    let told = c.reload_certificates().unwrap_err().to_string();
    assert!(told.contains("c.key"), "{told}");
    drop(b);
    let again = |event| matches!(event, ClusterEvent::LinkUp { node } if node == "b").then_some(());
    let mut events = c.cluster_events().unwrap();
    let b = join(&folder, &old, &members, 1);
    events.find(PATIENCE, again).unwrap();
    assert_eq!(*b.get(b"key").unwrap().unwrap().value, *b"2");
}

#[test]
fn without_certificates_there_are_none_to_renew() {
    let folder = Folder::new();
    let members = [member("a", false)];
    let mut cluster =
        ClusterOptions::new(members[0].name.clone(), members.to_vec(), Security::InsecurePlaintext);
    cluster.replication = replication::Options { message_bytes: 16 << 10, ..replication::Options::default() };
    let store = Store::join(folder.path().join("a"), options(), cluster).unwrap();
    let told = store.reload_certificates().unwrap_err().to_string();
    assert!(told.contains("are in plaintext"), "{told}");
}
