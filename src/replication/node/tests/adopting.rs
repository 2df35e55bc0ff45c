//! A store of one node that becomes the first of a cluster.

use super::*;

#[test]
fn a_store_of_one_node_becomes_a_cluster() {
    let disk = SimDisk::new(1, Faults::default());
    let identity = Identity { cluster: CLUSTER, node: 1 };
    let (mut alone, _) = engine::open(&disk, store(), identity, 9, at(0)).unwrap();
    let step = Step::Append { key: b"before", value: b"v" };
    let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
    alone.submit(&command, None, at(0)).unwrap();
    while let Some(flush) = alone.poll_flush() {
        let result = flush.run(&disk);
        alone.handle_flushed(flush, result, |file| disk.name(file));
    }
    drop(alone);
    disk.restart();
    let refused = Node::open(&disk, store(), options(None), identity, &begin(3, 0), 1, at(0));
    assert!(matches!(refused, Err(Error::InvalidArgument { what: "nodes", .. })));
    disk.restart();

    let mut net = Net::empty(None);
    net.nodes.insert(1, (disk, None));
    net.start(1, &begin(1, 0));
    assert_eq!(net.primary(), 1);
    assert!(is_there(net.node(1), "before"));
    let now = at(net.millis);
    net.node(1).change(&Change::AddLearner { node: 2, about: b"there".to_vec() }, None, now).unwrap();
    net.talk();
    net.start(2, &Start::default());
    net.pass(1_000);
    assert!(is_there(net.node(2), "before"));
    assert_eq!(net.node(2).state().hash(), net.node(1).state().hash());
    assert_eq!(net.node(2).role(), Role::Learner);
    let now = at(net.millis);
    net.node(1).change(&Change::Promote { node: 2 }, None, now).unwrap();
    net.pass(200);
    assert_eq!(net.node(2).role(), Role::Replica);
}

/// What a store of one node has: entries, and a client's request.
fn lone(disk: &SimDisk, identity: Identity) -> u64 {
    let (mut alone, _) = engine::open(disk, store(), identity, 9, at(0)).unwrap();
    for number in 1..=20 {
        let key = format!("key-{number}");
        let step = Step::Append { key: key.as_bytes(), value: b"v" };
        let request = Some(RequestId { client: [1; 16], number });
        let command = Command { time: Timestamp::default(), request, operation: Operation::Step(step) };
        alone.submit(&command, None, at(0)).unwrap();
    }
    alone.close(at(0));
    while let Some(flush) = alone.poll_flush() {
        let result = flush.run(disk);
        alone.handle_flushed(flush, result, |file| disk.name(file));
    }
    alone.last_sequence()
}

/// The power fails in the midst of the change, at each of the calls of the disk: the next opening, as what it is to become,
/// finds all that was there, and goes on.
#[test]
fn a_store_whose_power_fails_while_it_becomes_a_node_becomes_one_later() {
    let identity = Identity { cluster: CLUSTER, node: 1 };
    let label = Identity { cluster: *b"of a lone store.", node: 7 };
    let start = Start { label: Some(label), ..begin(1, 0) };
    let (mut seed, mut calls, mut crashes, mut lone_again) = (0, 0, 0, 0);
    let open = |disk: &SimDisk, drawn| {
        Node::open(disk, store(), options(None), identity, &start, drawn, at(1_000)).map(|(node, _)| node)
    };
    // What a crash leaves of what was not synced is drawn anew with each seed.
    while seed < 24 {
        let disk = SimDisk::new(seed, Faults::default());
        let last = lone(&disk, label);
        disk.restart();
        disk.crash_in(calls);
        let opened = open(&disk, 5);
        let is_whole = opened.is_ok() && !disk.is_crashed();
        drop(opened);
        disk.abandon_crash();
        disk.restart();
        // Until then it may be opened as what it was.
        if !is_whole && seed % 3 == 0 {
            match engine::open(&disk, store(), label, 6, at(2_000)) {
                Ok((again, _)) => {
                    lone_again += 1;
                    assert!(again.state().sequence() >= last, "after {calls} calls");
                }
                // The first entry of the cluster is there: it is a node.
                Err(error) => {
                    assert!(matches!(error, Error::Unsupported { .. }), "after {calls} calls: {error}")
                }
            }
            disk.restart();
        }
        let mut node = open(&disk, 7).unwrap_or_else(|error| panic!("after {calls} calls: {error}"));
        settle(&mut node, &disk, at(1_000));
        assert_eq!(node.role(), Role::Primary, "after {calls} calls");
        for number in 1..=20 {
            assert!(is_there(&node, &format!("key-{number}")), "after {calls} calls");
        }
        assert_eq!((node.members().voters.len(), node.members().generation), (1, 1));
        let step = Step::Append { key: b"key-20", value: b"v" };
        let request = Some(RequestId { client: [1; 16], number: 20 });
        let command = Command { time: Timestamp::default(), request, operation: Operation::Step(step) };
        node.submit(&command, Some(Level::Quorum), None, at(1_000)).unwrap();
        settle(&mut node, &disk, at(1_000));
        let Some(Completion { result: Ok(Answer::Written(done)), .. }) = node.poll_completion() else {
            panic!("it is not answered, after {calls} calls")
        };
        assert!(done.outcome.is_some_and(|outcome| outcome.is_repeated) && done.position.sequence > last);
        (seed, calls) = if is_whole { (seed + 1, 0) } else { (seed, calls + 1) };
        crashes += u32::from(!is_whole);
    }
    assert!(crashes >= 24 && lone_again > 0, "{crashes} crashes, {lone_again} times still what it was");
}
