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
