//! Whom a node votes for, and what it remembers of it.

use super::*;

#[test]
fn a_founder_votes_for_nobody_before_it_knows_that_the_cluster_is_new() {
    let ask = |from, epoch| frame(from, epoch, 0, &message(MessageType::MsgRequestVote, 6, 1, 1));
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), None, at(0));
    assert_eq!(*node.standing(), Standing::Founding);
    // Also after its process was killed.
    drop(node);
    disk.restart();
    node = open(&disk, 1, &begin(3, 0), None, at(10));
    assert_eq!(*node.standing(), Standing::Founding);
    // That one is in its first election already, or the directory here was lost.
    node.handle_frame(&ask(3, 6), at(2_000)).unwrap();
    assert!(!votes(&settle(&mut node, &disk, at(2_000)), 3));
    assert!(matches!(node.standing(), Standing::Forgetful { .. }));
    node.handle_frame(&frame(2, 1, 0, &Body::Ping), at(2_010)).unwrap();
    node.handle_frame(&ask(3, 6), at(2_020)).unwrap();
    assert!(!votes(&settle(&mut node, &disk, at(2_020)), 3));

    let disk = SimDisk::new(2, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), Some(Plant::TrustedFounder), at(0));
    node.handle_frame(&ask(3, 6), at(2_000)).unwrap();
    assert!(votes(&settle(&mut node, &disk, at(2_000)), 3), "the planted bug is found");

    let disk = SimDisk::new(3, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), None, at(0));
    // It says that it is there.
    node.handle_timeout(at(200));
    assert!(settle(&mut node, &disk, at(200)).iter().any(|(to, _)| *to == 3));
    // What it has heard counts once that is on disk.
    node.handle_frame(&frame(2, 1, 0, &Body::Ping), at(210)).unwrap();
    assert!(!node.may_elect());
    found(&mut node, &disk, at(220));
    assert!(node.may_elect());
    node.handle_frame(&ask(3, 6), at(230)).unwrap();
    assert!(votes(&settle(&mut node, &disk, at(230)), 3));
}

/// Node 1 votes for node 2, its power fails, and node 3 asks for a vote in the same epoch: does it get one?
fn votes_twice(planted: Option<Plant>) -> bool {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), planted, at(0));
    found(&mut node, &disk, at(5));
    node.handle_frame(&frame(2, 5, 0, &message(MessageType::MsgRequestVote, 5, 1, 1)), at(10)).unwrap();
    assert!(votes(&settle(&mut node, &disk, at(10)), 2));
    drop(node);
    disk.restart();
    let mut node = open(&disk, 1, &begin(3, 0), planted, at(20));
    // Not so long that it begins an election of its own.
    let later = at(21 + options(None).promise().as_millis() as u64);
    node.handle_frame(&frame(3, 5, 0, &message(MessageType::MsgRequestVote, 5, 1, 1)), later).unwrap();
    votes(&settle(&mut node, &disk, later), 3)
}

#[test]
fn a_vote_is_remembered() {
    assert!(!votes_twice(None));
    assert!(votes_twice(Some(Plant::ForgottenVote)), "the planted bug is found");
}

/// Node 1 answers a primary, its process is killed, and node 3 asks for a vote while the primary counts on the answer.
fn votes_at_once(planted: Option<Plant>) -> bool {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), planted, at(0));
    found(&mut node, &disk, at(5));
    node.handle_frame(&frame(2, 5, 2, &message(MessageType::MsgHeartbeat, 5, 0, 0)), at(10)).unwrap();
    settle(&mut node, &disk, at(10));
    assert_eq!(node.primary(), Some(2));
    drop(node);
    disk.restart();
    let mut node = open(&disk, 1, &begin(3, 0), planted, at(20));
    let ask = frame(3, 6, 0, &message(MessageType::MsgRequestVote, 6, 1, 1));
    node.handle_frame(&ask, at(30)).unwrap();
    let is_hasty = votes(&settle(&mut node, &disk, at(30)), 3);
    // Later it does vote.
    let later = at(21 + options(None).promise().as_millis() as u64);
    node.handle_frame(&ask, later).unwrap();
    assert!(votes(&settle(&mut node, &disk, later), 3));
    is_hasty
}

#[test]
fn a_promise_outlasts_a_process() {
    assert!(!votes_at_once(None));
    assert!(votes_at_once(Some(Plant::HastyVote)), "the planted bug is found");
}

#[test]
fn a_node_that_hears_that_it_had_more_votes_for_nobody() {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), None, at(0));
    let mut heartbeat = Message::default();
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    (heartbeat.term, heartbeat.commit) = (5, 40);
    node.handle_frame(&frame(2, 5, 2, &Body::Consensus(heartbeat)), at(1)).unwrap();
    assert!(matches!(node.standing(), Standing::Forgetful { .. }));
    let said = settle(&mut node, &disk, at(1));
    assert!(said.iter().all(|(_, bytes)| frame::decode(bytes).unwrap().0.forgot != 0) && !said.is_empty());
    node.handle_frame(&frame(3, 9, 0, &message(MessageType::MsgRequestVote, 9, 50, 8)), at(2_000)).unwrap();
    assert!(!votes(&settle(&mut node, &disk, at(2_000)), 3));
    // It is not forgotten over a crash.
    drop(node);
    disk.restart();
    let node = open(&disk, 1, &begin(3, 0), None, at(2_100));
    assert!(matches!(node.standing(), Standing::Forgetful { .. }));
}

#[test]
fn the_primary_counts_on_the_vote_of_a_late_founder_once_it_has_been_taken_in() {
    let mut net = Net::empty(None);
    (1..=2).for_each(|id| net.start(id, &begin(3, 0)));
    let primary = net.primary();
    // It is a voter to all, and nobody has heard of it yet.
    assert!(net.node(primary).members().is_voter(3));
    let counted = |net: &mut Net| (1..=3).filter(|id| net.node(primary).has_vote(*id)).count();
    assert_eq!(counted(&mut net), 2);
    net.start(3, &begin(3, 0));
    let taken_in = (0..200).find(|_| {
        net.pass(10);
        // Not before it would vote.
        let votes = *net.node(3).standing() == Standing::Active;
        assert!(counted(&mut net) == 2 || votes);
        counted(&mut net) == 3
    });
    assert!(taken_in.is_some());
    assert!(std::iter::from_fn(|| net.node(3).poll_event()).any(|it| it == Event::Forgetful));
    // One of the first two can go now.
    net.stop(primary);
    assert_ne!(net.primary(), primary);
}

/// Who has entries, and has not yet written down who is in the cluster, may be one on whose answers a primary counts.
#[test]
fn a_promise_outlasts_a_process_that_had_written_down_no_membership() {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &Start::default(), None, at(0));
    let initial = Change::Initial {
        generation: 1,
        nodes: vec![(1, false, Vec::new()), (2, true, Vec::new()), (3, true, Vec::new())],
    };
    let mut append = Message::default();
    append.set_msg_type(MessageType::MsgAppend);
    (append.term, append.commit) = (5, 0);
    let entries = [(1, 1, initial), (2, 5, Change::Promote { node: 1 })];
    let entries = entries
        .iter()
        .map(|(index, term, it)| crate::replication::message::entry(*index, *term, &it.encode()));
    append.set_entries(entries.collect::<Vec<_>>().into());
    node.handle_frame(&frame(2, 5, 2, &Body::Consensus(append)), at(10)).unwrap();
    settle(&mut node, &disk, at(10));
    // It hears that they are committed, and answers; what it writes of it does not come to disk.
    let mut heartbeat = Message::default();
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    (heartbeat.term, heartbeat.commit) = (5, 2);
    node.handle_frame(&frame(2, 5, 2, &Body::Consensus(heartbeat)), at(15)).unwrap();
    assert!(node.members().is_voter(1));
    let mut bytes = Vec::new();
    assert!(node.poll_frame(&mut bytes, at(15)).is_some(), "the primary counts on it");
    drop(node);
    disk.restart();
    let mut node = open(&disk, 1, &Start::default(), None, at(20));
    let ask = frame(3, 6, 0, &message(MessageType::MsgRequestVote, 6, 2, 5));
    node.handle_frame(&ask, at(30)).unwrap();
    assert!(!votes(&settle(&mut node, &disk, at(30)), 3));
    let later = at(21 + options(None).promise().as_millis() as u64);
    node.handle_frame(&ask, later).unwrap();
    assert!(votes(&settle(&mut node, &disk, later), 3));
}
