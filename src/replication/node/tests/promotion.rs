//! Promotion by force of a node that has a change of the cluster which is not known to be committed.

use super::*;

/// What node 1 has to say comes to the others, and nothing of it to its own disk.
fn frames_leave(net: &mut Net, now: Now) {
    let mut frame = Vec::new();
    let mut frames = Vec::new();
    while let Some(to) = net.node(1).poll_frame(&mut frame, now) {
        frames.push((to, frame.clone()));
    }
    for (to, frame) in frames {
        net.node(to).handle_frame(&frame, now).unwrap();
    }
}

/// Node 2 is primary, and is written to.
fn goes_on(net: &mut Net) {
    for number in 0..12 {
        net.put(2, &format!("after-{number}"), Level::Quorum).unwrap();
        net.talk();
        net.pass(100);
    }
}

/// Node 1 alone votes. It proposes `change`, which its learners have on disk when it is gone; none of them knows whether it
/// counts. Node 2 is stopped.
fn unheard(change: &Change, learners: u64) -> Net {
    let mut net = Net::empty(None);
    for id in 1..=1 + learners {
        net.told.insert(id, Options { hash_interval: 4, ..options(None) });
        net.start(id, &begin(1, learners));
    }
    assert_eq!(net.primary(), 1);
    net.put(1, "both", Level::AtLeast(2)).unwrap();
    net.talk();
    net.pass(500);
    let now = at(net.millis);
    net.node(1).change(change, None, now).unwrap();
    net.node(1).advance(now);
    frames_leave(&mut net, now);
    net.cut = vec![1];
    net.stop(1);
    for id in 2..=1 + learners {
        let (disk, node) = net.nodes.get_mut(&id).expect("it is there");
        settle(node.as_mut().expect("it runs"), disk, now);
        let status = net.node(id).status();
        assert!(status.last > status.applied, "the change is there, and not known to be committed");
    }
    net.stop(2);
    net
}

/// The same, and node 2 is promoted by force, and goes on.
fn promoted_with(change: &Change, learners: u64) -> Net {
    let mut net = unheard(change, learners);
    net.start(2, &Start { is_promoted: true, ..Start::default() });
    net.pass(500);
    goes_on(&mut net);
    net
}

/// Node 3 has followed, to the same.
fn follows(net: &mut Net) {
    assert_eq!(*net.node(3).standing(), Standing::Active);
    assert!(is_there(net.node(3), "after-11"));
    let members = net.node(2).members().clone();
    assert_eq!(*net.node(3).members(), members);
    assert_eq!(members.voters, [2].into());
    assert_eq!(members.removed, [1].into());
    // And does so after a restart.
    net.stop(3);
    net.start(3, &Start::default());
    net.pass(500);
    assert_eq!(*net.node(3).standing(), Standing::Active);
    assert_eq!(*net.node(3).members(), members);
    net.put(2, "last", Level::AtLeast(2)).unwrap();
    net.talk();
    net.pass(200);
    assert!(is_there(net.node(3), "last"));
}

#[test]
fn one_that_was_to_be_added_is_in() {
    let mut net = promoted_with(&Change::AddLearner { node: 4, about: b"x".to_vec() }, 2);
    follows(&mut net);
    let members = net.node(2).members();
    assert_eq!((&members.learners, &members.about[&4]), (&[3, 4].into(), &b"x".to_vec()));
}

#[test]
fn a_learner_that_was_to_be_removed_stays() {
    let mut net = promoted_with(&Change::Remove { node: 3 }, 2);
    follows(&mut net);
    assert_eq!(net.node(2).members().learners, [3].into());
}

#[test]
fn a_learner_that_was_to_vote_stays_a_learner() {
    let mut net = promoted_with(&Change::Promote { node: 3 }, 2);
    follows(&mut net);
    assert_eq!(net.node(2).members().learners, [3].into());
}

#[test]
fn a_learner_that_was_to_replace_the_voter_stays_a_learner() {
    // The voter that is to go is not primary: of two that vote.
    let mut net = Net::empty(None);
    for id in 1..=4 {
        net.told.insert(id, Options { hash_interval: 4, ..options(None) });
        net.start(id, &begin(2, 2));
    }
    let primary = net.primary();
    let other = 3 - primary;
    net.pass(500);
    // Only the learners hear of it.
    net.apart.insert((1, 2));
    let now = at(net.millis);
    net.node(primary).change(&Change::Replace { old: other, new: 4 }, None, now).unwrap();
    net.talk();
    net.cut = vec![1, 2];
    net.stop(1);
    net.stop(2);
    let status = net.node(3).status();
    assert!(status.last > status.applied, "the change is there, and not known to be committed");
    net.stop(3);
    net.start(3, &Start { is_promoted: true, ..Start::default() });
    net.pass(500);
    for number in 0..12 {
        net.put(3, &format!("after-{number}"), Level::Quorum).unwrap();
        net.talk();
        net.pass(100);
    }
    assert_eq!(*net.node(4).standing(), Standing::Active);
    assert!(is_there(net.node(4), "after-11"));
    let members = net.node(3).members().clone();
    assert_eq!(*net.node(4).members(), members);
    assert_eq!((&members.voters, &members.learners), (&[3].into(), &[4].into()));
    assert_eq!(members.removed, [1, 2].into());
}

#[test]
fn one_that_was_to_be_removed_can_be_promoted() {
    let mut net = promoted_with(&Change::Remove { node: 2 }, 2);
    follows(&mut net);
    assert_eq!(net.node(2).members().learners, [3].into());
}

/// Node 1 alone votes, and gives node 3 a vote. Node 3 hears that this counts, node 2 does not. Node 3 may get a write, too, that node
/// 2 has not. Then node 1 is gone, and node 2 is promoted by force.
fn promoted_beside_a_voter(has_more: bool) -> Net {
    let mut net = promoted_unheard(has_more);
    net.apart.clear();
    net.pass(500);
    goes_on(&mut net);
    net
}

/// The same, and node 3 has heard nothing of it yet.
fn promoted_unheard(has_more: bool) -> Net {
    let mut net = Net::empty(None);
    for id in 1..=3 {
        net.told.insert(id, Options { hash_interval: 4, ..options(None) });
        net.start(id, &begin(1, 2));
    }
    assert_eq!(net.primary(), 1);
    net.put(1, "both", Level::AtLeast(2)).unwrap();
    net.talk();
    net.pass(500);
    let now = at(net.millis);
    net.node(1).change(&Change::Promote { node: 3 }, None, now).unwrap();
    net.node(1).advance(now);
    frames_leave(&mut net, now);
    net.apart = [(1, 2), (2, 3)].into();
    net.talk();
    net.pass(300);
    while net.node(1).poll_completion().is_some() {}
    if has_more {
        net.put(1, "more", Level::Quorum).unwrap();
        assert!(matches!(net.answer(1), Ok(Answer::Written(_))));
    }
    assert!(net.node(3).members().is_voter(3) && !net.node(2).members().is_voter(3));
    let status = net.node(2).status();
    assert!(status.last > status.applied, "the change is there, and not known to be committed");
    net.cut = vec![1];
    net.stop(1);
    net.stop(2);
    net.start(2, &Start { is_promoted: true, ..Start::default() });
    net.pass(500);
    net
}

/// A node that was killed before it wrote down that a change counts tells who votes if it does: who promotes it is told whom that puts
/// out.
#[test]
fn what_is_opened_tells_who_is_in_the_cluster_if_all_that_it_has_counts() {
    let net = unheard(&Change::Promote { node: 3 }, 2);
    let identity = Identity { cluster: CLUSTER, node: 2 };
    let disk = &net.nodes[&2].0;
    let (node, report) =
        Node::open(disk, store(), options(None), identity, &Start::default(), 7, at(net.millis)).unwrap();
    assert_eq!(node.members().voters, [1].into());
    assert_eq!(report.expected.voters, [1, 3].into());
    assert!(report.expected.learners.contains(&2));
}

/// Answers to its requests for votes, and what learners say to whom they are fed by, do not put it out.
#[test]
fn what_says_nothing_of_a_log_is_not_taken_for_another_log() {
    let mut net = promoted_unheard(false);
    let (now, epoch) = (at(net.millis), net.node(2).status().epoch);
    let header = net.node(2).header(3);
    assert_eq!(header.generation, 2);
    let answers = [MessageType::MsgRequestPreVoteResponse, MessageType::MsgRequestVoteResponse]
        .map(|kind| message(kind, epoch, 0, 0));
    for body in answers.into_iter().chain([Body::Follow { source: 3, sequence: 0 }]) {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, &header, &body);
        let told = net.node(3).handle_frame(&bytes, now);
        assert_eq!(told, Err(Fault::NewGeneration { from: 2, generation: 2 }), "{body:?}");
        assert_eq!(*net.node(3).standing(), Standing::Active);
    }
    net.apart.clear();
    net.pass(500);
    goes_on(&mut net);
    follows(&mut net);
}

#[test]
fn one_that_has_a_vote_by_a_change_of_which_the_promoted_one_had_not_heard_follows() {
    let mut net = promoted_beside_a_voter(false);
    follows(&mut net);
    // And is one like others.
    while net.node(2).poll_completion().is_some() {}
    let now = at(net.millis);
    net.node(2).change(&Change::Promote { node: 3 }, None, now).unwrap();
    assert!(matches!(net.answer(2), Ok(Answer::Changed(_))));
    net.pass(500);
    assert!(net.node(3).may_elect() && net.node(3).role() == Role::Replica);
}

#[test]
fn one_that_has_a_vote_and_what_the_promoted_one_has_not_takes_no_part() {
    let mut net = promoted_beside_a_voter(true);
    for _ in 0..2 {
        let fence = Fence::OldGeneration { generation: 2 };
        assert_eq!(*net.node(3).standing(), Standing::Fenced(fence));
        assert!(is_there(net.node(3), "more") && !is_there(net.node(3), "after-0"));
        net.stop(3);
        net.start(3, &Start::default());
        net.pass(1_000);
    }
    assert_eq!(net.node(2).role(), Role::Primary);
}

/// Node 1 begins another reign, of which node 2 does not hear: then that is promoted by force, and its first entry lies where the one
/// of that reign does.
#[test]
fn a_promotion_by_force_has_an_epoch_that_no_reign_had_before() {
    let mut net = Net::new(1, 2, None);
    assert_eq!(net.primary(), 1);
    net.put(1, "both", Level::AtLeast(3)).unwrap();
    net.talk();
    net.pass(500);
    net.cut = vec![2];
    net.stop(1);
    net.start(1, &Start::default());
    net.pass(500);
    assert!(net.node(3).status().applied > net.node(2).status().last);
    net.stop(1);
    net.cut = vec![1];
    net.stop(2);
    net.start(2, &Start { is_promoted: true, ..Start::default() });
    net.pass(500);
    let sequence = net.node(2).members().sequence;
    assert!(net.node(2).epoch_of(sequence) > net.node(3).epoch_of(sequence));
    let fence = Fence::Diverged { sequence, from: 2 };
    assert_eq!(*net.node(3).standing(), Standing::Fenced(fence), "it has what node 2 has not");
}
