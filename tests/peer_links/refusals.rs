//! Nodes that do not belong together, each refused for what it is.

use std::net::SocketAddr;
use std::time::Duration;

use trimtab::links::{Links, Notice, Setup};
use trimtab::peer::{End, Reason, Security};

use crate::support::{Node, free_address, name, setup, setups, until};

/// `first` dials `second`: what each is told.
fn refused(first: Setup, second: Setup, reason: Reason) -> (String, String) {
    let mut nodes = vec![Node::open(first), Node::open(second)];
    let is_told = |end: &End| match end {
        End::Refused(why) | End::RefusedHere(why) => why.reason == reason,
        _ => false,
    };
    until(&mut nodes, "a refusal on both sides", |nodes| {
        nodes[0].failures().into_iter().any(is_told) && nodes[1].refused().into_iter().any(is_told)
    });
    let text = |ends: Vec<&End>| ends.into_iter().find(|end| is_told(end)).unwrap().to_string();
    (text(nodes[0].failures()), text(nodes[1].refused()))
}

fn pair() -> (Setup, Setup) {
    let mut setups = setups(&["db-1", "db-2"]);
    let second = setups.pop().unwrap();
    (setups.pop().unwrap(), second)
}

#[test]
fn a_node_of_another_cluster() {
    let (first, mut second) = pair();
    second.identity.cluster = Some([2; 16]);
    let (told, _) = refused(first, second, Reason::OtherCluster);
    assert!(told.contains("0101") && told.contains("0202"), "{told}");
}

#[test]
fn a_node_that_belongs_to_none_yet_is_taken() {
    let (mut first, second) = pair();
    first.identity.cluster = None;
    let mut nodes = vec![Node::open(first), Node::open(second)];
    until(&mut nodes, "the link", |nodes| nodes[0].is_up("db-2") && nodes[1].is_up("db-1"));
}

#[test]
fn a_node_that_is_not_known() {
    let (first, mut second) = pair();
    second.peers.clear();
    let (told, here) = refused(first, second, Reason::UnknownNode);
    assert_eq!(told, "it refused this node: db-2 knows no node db-1; add it to the cluster, or to peers");
    assert_eq!(here, "it was refused: db-2 knows no node db-1; add it to the cluster, or to peers");
}

#[test]
fn a_node_with_the_number_of_one_that_was_removed() {
    let (mut first, second) = pair();
    first.identity.number = 7;
    let mut nodes = vec![Node::open(first), Node::open(second)];
    nodes[1].links.set_removed([7]);
    until(&mut nodes, "a refusal", |nodes| {
        nodes[0]
            .failures()
            .iter()
            .any(|end| matches!(end, End::Refused(why) if why.reason == Reason::RemovedNode))
    });
}

/// Whoever of the two dials, it is the one of the older generation that is told, and again each time.
#[test]
fn a_node_that_was_put_out_by_force() {
    for old in [0, 1] {
        let (first, second) = pair();
        let cluster = first.identity.cluster.unwrap();
        let mut nodes = vec![Node::open(first), Node::open(second)];
        let (new, names) = (1 - old, ["db-1", "db-2"]);
        until(&mut nodes, "the link", |nodes| nodes[0].is_up("db-2") && nodes[1].is_up("db-1"));
        nodes[old].links.set_generation(1);
        nodes[new].links.set_generation(2);
        nodes[new].links.put_out(&name(names[old]));
        let reason = Reason::OldGeneration { cluster, generation: 2 };
        let is_it = |end: &End| matches!(end, End::Refused(why) if why.reason == reason);
        until(&mut nodes, "two refusals", |nodes| {
            let told = nodes[old].notices.iter().filter(|notice| match notice {
                Notice::Failed { peer, end, .. } => old == 0 && peer.as_str() == names[new] && is_it(end),
                Notice::Refused { peer: Some(peer), end, .. } => {
                    old == 1 && peer.as_str() == names[new] && is_it(end)
                }
                _ => false,
            });
            told.count() >= 2
        });
        assert!(!nodes[old].is_up(names[new]) && !nodes[new].is_up(names[old]));
        assert_eq!(nodes[new].links.peers().count(), 1, "it is kept, to be dialled");
    }
}

#[test]
fn an_address_that_leads_to_another_node() {
    // db-1 has the address of db-3 for db-2.
    let third = free_address();
    let first = setup("db-1", free_address(), &[("db-2", Some(third))]);
    let third = setup("db-3", third, &[("db-1", first.listen)]);
    let (told, _) = refused(first, third, Reason::WrongNode);
    assert!(told.contains("db-1 meant to reach db-2, and this is db-3"), "{told}");
}

#[test]
fn an_address_that_leads_to_the_node_itself() {
    let address = free_address();
    let mut nodes = vec![Node::open(setup("db-1", address, &[("db-2", Some(address))]))];
    until(&mut nodes, "a refusal", |nodes| {
        nodes[0].failures().iter().any(|end| matches!(end, End::Refused(why) if why.reason == Reason::Itself))
    });
}

#[test]
fn two_processes_with_one_name() {
    let (first, second) = pair();
    let mut double = first.clone();
    double.identity.boot += 1;
    double.listen = Some(free_address());
    double.identity.address = double.listen;
    let mut nodes = vec![Node::open(first), Node::open(second)];
    until(&mut nodes, "the link", |nodes| nodes[1].is_up("db-1"));
    nodes.push(Node::open(double));
    let is_double = |end: &&End| matches!(end, End::Refused(why) if why.reason == Reason::DuplicateName);
    until(&mut nodes, "three refusals", |nodes| {
        nodes[2].failures().iter().filter(|end| is_double(end)).count() >= 3
    });
    assert!(nodes[0].is_up("db-2") && nodes[0].status("db-2").links == 1, "the first one stays");
    let told = nodes[2].failures().into_iter().find(is_double).unwrap().to_string();
    assert!(told.contains("another node db-1 is linked already"), "{told}");
    // The first one goes, and the second has the name.
    nodes.remove(0);
    until(&mut nodes, "the other link", |nodes| nodes[1].is_up("db-2"));
}

#[test]
fn a_process_that_is_gone_without_a_word_makes_room_for_the_next() {
    let (mut first, mut second) = pair();
    for setup in [&mut first, &mut second] {
        setup.options.ping_interval = Duration::from_millis(100);
        setup.options.silence_max = Duration::from_millis(500);
    }
    let mut again = first.clone();
    again.identity.boot += 1;
    again.listen = Some(free_address());
    again.identity.address = again.listen;
    let mut nodes = vec![Node::open(second), Node::open(first)];
    until(&mut nodes, "the link", |nodes| nodes[0].is_up("db-1") && nodes[1].is_up("db-2"));
    // Its machine stands still: its socket is open, and nothing answers.
    let frozen = nodes.pop().unwrap();
    nodes.push(Node::open(again));
    until(&mut nodes, "the link of the next", |nodes| nodes[1].is_up("db-2"));
    assert!(
        nodes[0].notices.iter().any(|notice| matches!(
            notice,
            trimtab::links::Notice::Down { end: End::Silent | End::Gone, .. }
        ))
    );
    drop(frozen);
}

#[test]
fn plaintext_beyond_this_machine_must_be_asked_for() {
    let far: SocketAddr = "10.255.255.1:7400".parse().unwrap();
    let mut listening = setup("db-1", "0.0.0.0:0".parse().unwrap(), &[]);
    let told = Links::open(listening.clone()).err().expect("refused").to_string();
    assert!(told.contains("invalid listen: 0.0.0.0:0 is not of this machine"), "{told}");
    let dialling = setup("db-1", free_address(), &[("db-2", Some(far))]);
    let told = Links::open(dialling).err().expect("refused").to_string();
    assert!(told.contains("invalid peers: 10.255.255.1:7400 is not of this machine"), "{told}");
    listening.security = Security::InsecurePlaintextAnywhere;
    Links::open(listening).unwrap();
}

#[test]
fn an_address_in_use_and_options_out_of_range() {
    let node = Node::open(setup("db-1", free_address(), &[]));
    let mut again = setup("db-2", node.links.local_address().unwrap(), &[]);
    let told = Links::open(again.clone()).err().expect("refused").to_string();
    assert!(told.contains("for peers") && told.contains("in use"), "{told}");
    again.options.pending_max = 0;
    assert!(Links::open(again).err().expect("refused").to_string().contains("pending_max"));
    let itself = setup("db-1", free_address(), &[("db-1", Some(free_address()))]);
    assert!(Links::open(itself).err().expect("refused").to_string().contains("is this node itself"));
    assert_eq!(name("db-1").to_string(), "db-1");
}
