//! How a cluster begins, and nodes that have begun another one, or none at all.

use super::*;

fn start_of(nodes: &[(u64, bool)]) -> Start {
    let nodes = nodes.iter().map(|(id, is_voter)| (*id, *is_voter, Vec::new())).collect();
    Start { nodes, ..Start::default() }
}

/// The state and who is in the cluster, to compare nodes by.
fn known(node: &Node) -> (u128, Membership) {
    (node.state().hash(), node.members().clone())
}

fn wait_for(net: &mut Net, what: &str, mut is_so: impl FnMut(&mut Net) -> bool) {
    let so = (0..600).find(|_| {
        net.pass(10);
        is_so(net)
    });
    assert!(so.is_some(), "{what}");
}

/// The peers in its file are not those any more that the cluster began with: what it writes down itself must not be taken for what
/// the others have.
#[test]
fn who_has_lost_its_directory_does_not_begin_the_cluster_otherwise() {
    for lost in [3, 4] {
        let mut net = Net::new(3, 1, None);
        let primary = net.primary();
        for at in 0..5 {
            net.put(primary, &format!("key-{at}"), Level::Quorum).unwrap();
            assert!(net.answer(primary).is_ok());
        }
        if primary == lost {
            let now = at(net.millis);
            net.node(primary).transfer(1, now).unwrap();
            assert_eq!(net.answer(primary), Ok(Answer::HandedOver));
        }
        net.nodes.remove(&lost);
        net.start(lost, &start_of(&[(1, true), (lost, lost == 3), (7, true)]));
        let primary = net.primary();
        wait_for(&mut net, "it is taken in, and has what the others have", |net| {
            let is_back = net.node(primary).has_vote(lost) == (lost == 3);
            is_back && known(net.node(lost)) == known(net.node(primary))
        });
        assert!(!net.node(lost).members().nodes().any(|node| node == 7));
        assert!(net.faults.is_empty(), "{:?}", net.faults);
    }
}

/// One that was told a beginning of its own without a vote, and is added to a cluster then.
#[test]
fn a_learner_that_is_added_has_the_beginning_of_the_others() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    net.start(4, &start_of(&[(1, true), (2, true), (4, false)]));
    net.pass(100);
    let now = at(net.millis);
    net.node(primary).change(&Change::AddLearner { node: 4, about: Vec::new() }, None, now).unwrap();
    wait_for(&mut net, "it follows", |net| known(net.node(4)) == known(net.node(primary)));
    assert!(net.node(4).members().learners.contains(&4));
}

/// A cluster of one node that has the same name is not merged with another, whichever is in the later epoch.
#[test]
fn a_node_that_votes_alone_follows_nobody() {
    for elections in [1, 4] {
        let mut net = Net::new(3, 0, None);
        let primary = net.primary();
        net.cut = vec![4];
        net.start(4, &start_of(&[(4, true)]));
        for round in 0..elections {
            if round > 0 {
                net.stop(4);
                net.start(4, &Start::default());
            }
            wait_for(&mut net, "it is primary", |net| net.node(4).is_settled());
        }
        net.put(4, "alone", Level::Quorum).unwrap();
        assert!(net.answer(4).is_ok());
        net.cut.clear();
        let now = at(net.millis);
        net.node(primary).change(&Change::AddLearner { node: 4, about: Vec::new() }, None, now).unwrap();
        net.pass(2_000);
        assert!(net.faults.contains(&Fault::Stranger { from: primary }), "{:?}", net.faults);
        assert!(net.node(4).is_settled() && is_there(net.node(4), "alone"));
        assert!(net.node(primary).is_settled() && !is_there(net.node(primary), "alone"));
        let now = at(net.millis);
        let promoted = net.node(primary).change(&Change::Promote { node: 4 }, None, now);
        assert!(matches!(promoted, Err(Denied::Refused(_))), "{promoted:?}");
        // Told so, it takes nothing that the other would not get.
        net.node(4).handle_stranger(primary, now);
        assert!(matches!(net.node(4).standing(), Standing::Fenced(Fence::TwoClusters { .. })));
        assert!(!net.node(4).is_settled() && is_there(net.node(4), "alone"));
        // One that does not vote alone has heard nothing of weight.
        net.node(primary).handle_stranger(4, now);
        assert!(net.node(primary).is_settled());
    }
}

/// The state of another cluster, which has three voters.
fn offer_of_strangers() -> Body {
    let membership =
        open(&SimDisk::new(2, Faults::default()), 2, &begin(3, 0), None, at(0)).members().encode();
    Body::Offer { id: crate::replication::SnapshotId { sequence: 90, epoch: 8 }, clock_ms: 5, membership }
}

/// Nor is a whole state of such another cluster taken.
#[test]
fn a_node_that_votes_alone_takes_no_snapshot() {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(1, 0), None, at(0));
    settle(&mut node, &disk, at(1));
    assert!(node.is_settled());
    let taken = node.handle_frame(&frame(2, 9, 2, &offer_of_strangers()), at(2));
    assert_eq!(taken, Err(Fault::Stranger { from: 2 }));
    let said = settle(&mut node, &disk, at(3));
    let wants = |(_, bytes): &(u64, Vec<u8>)| matches!(frame::decode(bytes), Ok((_, Body::Want { .. })));
    assert!(!said.iter().any(wants) && node.is_settled());
}

/// Not before the first entry of its reign counts either.
#[test]
fn a_node_that_votes_alone_follows_nobody_before_it_is_settled() {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(1, 0), None, at(0));
    settle(&mut node, &disk, at(1));
    drop(node);
    disk.restart();
    let mut node = open(&disk, 1, &Start::default(), None, at(2));
    // What it appends is not on disk.
    node.advance(at(2));
    for millis in 3..2_000 {
        node.handle_timeout(at(millis));
        if node.role() == Role::Primary {
            break;
        }
    }
    assert!(node.role() == Role::Primary && !node.is_settled());
    let taken = node.handle_frame(&frame(2, 9, 2, &offer_of_strangers()), at(2_001));
    assert_eq!(taken, Err(Fault::Stranger { from: 2 }));
    settle(&mut node, &disk, at(2_002));
    assert!(node.is_settled());
}

/// A process ends amidst what it writes down about the beginning: wherever that is, the next one goes on.
#[test]
fn a_beginning_that_was_cut_off_is_begun_again() {
    let whole = SimDisk::new(1, Faults::default());
    drop(open(&whole, 1, &begin(3, 0), None, at(0)));
    let segment = File::Segment(1);
    let bytes = whole.contents(segment).expect("there is one");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("something is in it") + 1;
    let mut begun = 0;
    for cut in 8_192..end {
        let disk = SimDisk::new(1, Faults::default());
        drop(open(&disk, 1, &begin(3, 0), None, at(0)));
        disk.restart();
        let mut torn = bytes[..cut].to_vec();
        torn.resize(bytes.len(), 0);
        disk.place(segment, torn);
        let node = open(&disk, 1, &begin(3, 0), None, at(0));
        assert_eq!(*node.standing(), Standing::Founding, "{cut}");
        assert_eq!((node.members().voters.len(), node.state().sequence()), (3, 1), "{cut}");
        begun += 1;
    }
    assert!(begun > 100, "{begun}");
}

/// A learner that has all entries, and was ended before it heard that any counts, can take over by force.
#[test]
fn who_has_heard_of_no_commit_is_promoted_with_what_it_has() {
    let mut net = Net::new(1, 1, None);
    let disk = SimDisk::new(2, Faults::default());
    assert_eq!(net.primary(), 1);
    net.put(1, "both", Level::Quorum).unwrap();
    assert!(net.answer(1).is_ok());
    // All that the primary sends, but for what is committed.
    let now = at(net.millis);
    let mut node = open(&disk, 2, &begin(1, 1), None, now);
    let log = &net.node(1).raw.raft.raft_log;
    let entry = |at| log.slice(at, at + 1, None, raft::GetEntriesContext::empty(false)).unwrap();
    let entries: Vec<_> = (1..=log.last_index()).flat_map(entry).collect();
    assert_eq!(entries.len(), 3);
    let mut append = Message::default();
    append.set_msg_type(MessageType::MsgAppend);
    append.term = 2;
    append.set_entries(entries.into());
    let header = Header { to: 2, ..header(1, 2, 1) };
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, &header, &Body::Consensus(append));
    node.handle_frame(&bytes, now).unwrap();
    settle(&mut node, &disk, now);
    assert!(node.members().nodes().next().is_none() && !is_there(&node, "both"));
    assert!(node.status().durable >= 3, "{:?}", node.status());
    drop(node);
    disk.restart();
    let mut node = open(&disk, 2, &Start { is_promoted: true, ..Start::default() }, None, now);
    settle(&mut node, &disk, now);
    assert!(is_there(&node, "both"), "{:?} {:?}", node.status(), node.members());
    assert_eq!((node.members().generation, node.members().voters.len()), (2, 1));
}
