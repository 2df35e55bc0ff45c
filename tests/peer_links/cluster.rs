//! Nodes that know each other.

use std::time::Duration;

use trimtab::links::{Links, Notice, PeerAddress, Setup};
use trimtab::peer::{Class, End, NotSent, Options, Reason};

use crate::support::{Node, free_address, name, setup, setups, until};

fn all_up(nodes: &[Node], names: &[&str]) -> bool {
    nodes.iter().zip(names).all(|(node, own)| names.iter().all(|peer| peer == own || node.is_up(peer)))
}

#[test]
fn three_nodes_have_one_link_a_pair() {
    let names = ["db-1", "db-2", "db-3"];
    let mut nodes: Vec<Node> = setups(&names).into_iter().map(Node::open).collect();
    until(&mut nodes, "all links", |nodes| all_up(nodes, &names));
    for node in &nodes {
        let ups = node.notices.iter().filter(|notice| matches!(notice, Notice::Up { .. })).count();
        assert_eq!(ups, 2, "{:?}", node.notices);
        assert!(node.failures().len() <= 4 && node.refused().is_empty(), "{:?}", node.notices);
    }
    assert_eq!(nodes[0].links.totals().accepted, 0, "the first name dials");
    assert_eq!(nodes[2].links.totals().accepted, 2);
    assert_eq!(nodes[0].links.send(&name("db-9"), Class::Normal, vec![1]), Err(NotSent::Unknown));
    assert_eq!(nodes[0].links.send(&name("db-2"), Class::Normal, Vec::new()), Err(NotSent::Length));
}

#[test]
fn a_hundred_thousand_messages_arrive_in_order_and_heartbeats_pass_bulk() {
    const EACH: u32 = 100_000 / 6;
    let names = ["db-1", "db-2", "db-3"];
    let mut nodes: Vec<Node> = setups(&names).into_iter().map(Node::open).collect();
    until(&mut nodes, "all links", |nodes| all_up(nodes, &names));
    let mut sent = [[0u32; 3]; 3];
    let mut beats = [[0u64; 3]; 3];
    let mut next = [[0u32; 3]; 3];
    let mut heard = [[0u64; 3]; 3];
    // How many beats of a sender were on their way when bulk of it was handed out.
    let mut most_behind = 0;
    let mut bulk = 0u64;
    until(&mut nodes, "all messages", |nodes| {
        for from in 0..3 {
            for to in (0..3).filter(|to| *to != from) {
                let peer = name(names[to]);
                // As much of the bulk as there is room for, always; and one beat a round.
                while nodes[from].links.send(&peer, Class::Bulk, vec![7; 100_000]).is_ok() {}
                while sent[from][to] < EACH {
                    let message = sent[from][to].to_le_bytes().to_vec();
                    if nodes[from].links.send(&peer, Class::Normal, message).is_err() {
                        break;
                    }
                    sent[from][to] += 1;
                }
                beats[from][to] += 1;
                nodes[from].links.send(&peer, Class::Urgent, beats[from][to].to_le_bytes().to_vec()).unwrap();
            }
        }
        for to in 0..3 {
            nodes[to].turn();
            for (peer, message) in std::mem::take(&mut nodes[to].messages) {
                let from = names.iter().position(|name| *name == peer.as_str()).unwrap();
                match message.class {
                    Class::Normal => {
                        let number = u32::from_le_bytes(message.bytes.try_into().unwrap());
                        assert_eq!(number, next[from][to], "from {from} to {to}");
                        next[from][to] += 1;
                    }
                    Class::Urgent => {
                        let beat = u64::from_le_bytes(message.bytes.try_into().unwrap());
                        assert_eq!(beat, heard[from][to] + 1, "from {from} to {to}");
                        heard[from][to] = beat;
                    }
                    Class::Bulk => {
                        assert_eq!(message.bytes.len(), 100_000);
                        bulk += 1;
                        most_behind = most_behind.max(beats[from][to] - heard[from][to]);
                    }
                }
            }
        }
        next.iter().flatten().all(|next| *next == 0 || *next == EACH)
            && next.iter().flatten().sum::<u32>() == EACH * 6
    });
    // Bulk flowed all the time, megabytes of it waiting; had beats waited behind it, hundreds would have been.
    assert!(bulk > 50, "{bulk}");
    assert!(most_behind <= 64, "{most_behind} beats behind");
}

#[test]
fn a_peer_that_takes_nothing_holds_up_nobody_and_bounds_what_is_kept() {
    let mut setups = setups(&["db-1", "db-2", "db-3"]);
    for setup in &mut setups {
        setup.options = Options {
            queue_bytes: [1 << 16; 3],
            window_bytes: [1 << 16; 3],
            message_bytes_max: 1 << 16,
            ..Options::default()
        };
    }
    let mut nodes: Vec<Node> = setups.into_iter().map(Node::open).collect();
    until(&mut nodes, "all links", |nodes| all_up(nodes, &["db-1", "db-2", "db-3"]));
    nodes[1].is_deaf = true;
    // Its window and the queue before it fill; then there is no room, and that is said.
    let mut taken = 0u64;
    let mut full = 0;
    until(&mut nodes, "a full queue", |nodes| {
        match nodes[0].links.send(&name("db-2"), Class::Normal, vec![1; 936]) {
            Ok(()) => taken += 1_000,
            Err(NotSent::Full) => full += 1,
            Err(other) => panic!("{other}"),
        }
        full >= 100
    });
    // A message that has begun is in neither.
    assert!(taken <= (1 << 17) + 2_000, "{taken} bytes were taken");
    assert_eq!(nodes[0].status("db-2").counters.full, [0, 100, 0]);
    // Other classes and other nodes go on, and it is known to be there all the while.
    nodes[0].links.send(&name("db-3"), Class::Normal, b"on".to_vec()).unwrap();
    nodes[0].links.send(&name("db-2"), Class::Urgent, b"beat".to_vec()).unwrap();
    until(&mut nodes, "the other node's message", |nodes| !nodes[2].messages.is_empty());
    nodes[1].is_deaf = false;
    until(&mut nodes, "all that was taken", |nodes| nodes[1].messages.len() as u64 == taken / 1_000 + 1);
    assert_eq!(nodes[1].messages[0].1.class, Class::Urgent, "urgent ones are handed out first");
}

#[test]
fn a_node_that_comes_late_or_again_is_linked() {
    let mut setups = setups(&["db-1", "db-2"]);
    let second = setups.pop().unwrap();
    let mut nodes = vec![Node::open(setups.pop().unwrap())];
    until(&mut nodes, "two failed attempts", |nodes| nodes[0].failures().len() >= 2);
    assert!(nodes[0].failures().iter().all(|end| matches!(end, End::Io { code: libc::ECONNREFUSED, .. })));
    assert_eq!(nodes[0].links.send(&name("db-2"), Class::Urgent, vec![1]), Err(NotSent::Down));
    assert_eq!(nodes[0].status("db-2").down, 1);
    nodes.push(Node::open(second.clone()));
    until(&mut nodes, "the link", |nodes| nodes[0].is_up("db-2") && nodes[1].is_up("db-1"));

    // It ends with a word, and comes again as another process.
    nodes[1].links.close(Duration::from_secs(10)).unwrap();
    nodes.truncate(1);
    until(&mut nodes, "the end", |nodes| !nodes[0].is_up("db-2"));
    assert!(
        nodes[0].notices.contains(&Notice::Down { peer: name("db-2"), end: End::Left }),
        "{:?}",
        nodes[0].notices
    );
    let mut again = second;
    again.identity.boot += 1;
    nodes.push(Node::open(again.clone()));
    until(&mut nodes, "the link again", |nodes| nodes[0].is_up("db-2") && nodes[1].is_up("db-1"));

    // It is broken off, as a killed process is.
    nodes.truncate(1);
    until(&mut nodes, "the end again", |nodes| !nodes[0].is_up("db-2"));
    assert!(
        nodes[0].notices.contains(&Notice::Down { peer: name("db-2"), end: End::Gone }),
        "{:?}",
        nodes[0].notices
    );
    again.identity.boot += 1;
    nodes.push(Node::open(again));
    until(&mut nodes, "the third link", |nodes| nodes[0].is_up("db-2"));
    assert_eq!(nodes[0].status("db-2").links, 3);
}

#[test]
fn that_a_link_is_over_is_told_before_the_next_one_of_the_same_process() {
    let mut setups = setups(&["db-1", "db-2"]);
    let first = setups.remove(0);
    let mut nodes = vec![Node::open(setups.remove(0)), Node::open(first.clone())];
    until(&mut nodes, "the link", |nodes| nodes[0].is_up("db-1"));
    // As if its old connection had broken unseen.
    nodes.push(Node::open(Setup { listen: None, ..first }));
    let is_over = |it: &Notice| matches!(it, Notice::Down { end: End::Replaced, .. });
    until(&mut nodes, "the end of the first", |nodes| nodes[0].notices.iter().any(is_over));
    until(&mut nodes, "the next one", |nodes| nodes[0].is_up("db-1"));
    let is_up: Vec<bool> = nodes[0]
        .notices
        .iter()
        .filter_map(|it| match it {
            Notice::Up { .. } => Some(true),
            Notice::Down { .. } => Some(false),
            _ => None,
        })
        .collect();
    assert!(is_up.len() >= 3 && is_up.iter().step_by(2).all(|it| *it), "{is_up:?}");
    assert!(is_up.iter().skip(1).step_by(2).all(|it| !*it), "{is_up:?}");
}

#[test]
fn a_storm_of_reconnects_ends_with_one_link() {
    let mut setups = setups(&["db-1", "db-2"]);
    for setup in &mut setups {
        setup.options.backoff_min = Duration::from_millis(1);
        setup.options.backoff_max = Duration::from_millis(10);
    }
    let first = setups.remove(0);
    let mut nodes = vec![Node::open(setups.remove(0))];
    for round in 0..100 {
        let mut again = first.clone();
        again.identity.boot += round;
        nodes.push(Node::open(again));
        until(&mut nodes, "a link", |nodes| nodes[0].is_up("db-1"));
        nodes.truncate(1);
    }
    nodes.push(Node::open(first));
    until(&mut nodes, "the last link", |nodes| nodes[1].is_up("db-2") && nodes[0].is_up("db-1"));
    assert_eq!(nodes[0].status("db-1").links, 101);
}

#[test]
fn a_learner_without_an_address_dials_everybody() {
    let (first, second) = (free_address(), free_address());
    let known = [("db-1", Some(first)), ("db-2", Some(second)), ("aa-learner", None)];
    let others = |own: &str| known.iter().filter(|(name, _)| *name != own).copied().collect::<Vec<_>>();
    let mut learner = setup("aa-learner", free_address(), &others("aa-learner"));
    learner.listen = None;
    learner.identity.address = None;
    let mut nodes = vec![
        Node::open(setup("db-1", first, &others("db-1"))),
        Node::open(setup("db-2", second, &others("db-2"))),
        Node::open(learner),
    ];
    until(&mut nodes, "all links", |nodes| all_up(nodes, &["db-1", "db-2", "aa-learner"]));
    assert_eq!(nodes[2].links.local_address(), None);
}

#[test]
fn nodes_are_added_moved_and_removed_while_it_runs() {
    let mut setups = setups(&["db-1", "db-2"]);
    let second = setups.pop().unwrap();
    let mut first = setups.pop().unwrap();
    let address = second.listen;
    first.peers.clear();
    let mut nodes = vec![Node::open(first), Node::open(second)];
    // An address where nobody is, then the right one.
    let peer = |address| PeerAddress { name: name("db-2"), address, number: 2 };
    nodes[0].links.add_peer(peer(Some(free_address()))).unwrap();
    until(&mut nodes, "a failed attempt", |nodes| !nodes[0].failures().is_empty());
    nodes[0].links.add_peer(peer(address)).unwrap();
    until(&mut nodes, "the link", |nodes| nodes[0].is_up("db-2") && nodes[1].is_up("db-1"));

    nodes[1].links.remove_peer(&name("db-1"));
    until(&mut nodes, "a refusal", |nodes| {
        nodes[0]
            .failures()
            .iter()
            .any(|end| matches!(end, End::Refused(why) if why.reason == Reason::RemovedNode))
    });
    assert!(nodes[0].notices.contains(&Notice::Down { peer: name("db-2"), end: End::Left }));
    assert_eq!(nodes[1].links.peers().count(), 0);
    nodes[0].links.remove_peer(&name("db-2"));
    assert_eq!(nodes[0].links.status(&name("db-2")), None);
}

#[test]
fn bulk_keeps_to_its_rate() {
    let mut setups = setups(&["db-1", "db-2"]);
    setups[0].options.bulk_rate = 512 << 10;
    let mut nodes: Vec<Node> = setups.into_iter().map(Node::open).collect();
    until(&mut nodes, "the link", |nodes| nodes[0].is_up("db-2") && nodes[1].is_up("db-1"));
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        nodes[0].links.send(&name("db-2"), Class::Bulk, vec![1; 100 << 10]).unwrap();
    }
    until(&mut nodes, "the bulk", |nodes| nodes[1].messages.len() == 3);
    // 300 KiB, of which a burst of 64 went at once. Slower machines take longer, none less.
    assert!(begun.elapsed() >= Duration::from_millis(430), "{:?}", begun.elapsed());
    nodes[0].links.set_bulk_rate(0);
    nodes[0].links.send(&name("db-2"), Class::Bulk, vec![1; 4 << 20]).unwrap();
    until(&mut nodes, "the rest", |nodes| nodes[1].messages.len() == 4);
}

#[test]
fn another_thread_ends_a_wait() {
    let mut node = Node::open(setup("db-1", free_address(), &[]));
    let waker = node.links.waker();
    let waiting = std::thread::spawn(move || {
        node.links.turn(Some(Duration::from_secs(3_600))).unwrap();
        node
    });
    waker.wake().unwrap();
    waiting.join().unwrap();
}

#[test]
#[allow(unsafe_code)]
fn a_child_made_by_fork_does_not_keep_the_address() {
    let listen = free_address();
    let mut links = Links::open(setup("db-1", listen, &[])).unwrap();
    // SAFETY: the child waits for a signal and does nothing else.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        loop {
            // SAFETY: it only waits.
            unsafe { libc::pause() };
        }
    }
    links.close(Duration::ZERO).unwrap();
    let again = Links::open(setup("db-1", listen, &[]));
    // SAFETY: the child made above, which was not waited for yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: it waits for that child and writes no status.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    again.unwrap();
}
