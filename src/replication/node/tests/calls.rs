//! Writes and reads: what is answered when, and what of it stays.

use super::*;

#[test]
fn each_level_is_answered_when_it_is_reached_and_says_so() {
    let mut net = Net::new(3, 1, None);
    let primary = net.primary();
    for (level, durability) in [
        (Level::Quorum, Durability::Quorum),
        (Level::All, Durability::All),
        (Level::AtLeast(4), Durability::All),
    ] {
        net.put(primary, "key", level).unwrap();
        let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("{level:?} is not answered") };
        assert!(done.reached.durability >= durability && done.outcome.is_some(), "{level:?}: {done:?}");
        assert!(!done.reached.is_degraded);
    }
    // What waits for nobody is answered at once, and is not seen.
    net.cut = vec![primary];
    net.put(primary, "early", Level::Memory).unwrap();
    let now = at(net.millis);
    net.node(primary).advance(now);
    let memory = net.node(primary).poll_completion().expect("it is answered").result;
    let Ok(Answer::Written(done)) = memory else { panic!("{memory:?}") };
    assert_eq!((done.reached.durability, done.outcome), (Durability::Memory, None));
    net.put(primary, "local", Level::Local).unwrap();
    let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("local is not answered") };
    assert_eq!((done.reached.durability, done.outcome), (Durability::Local, None));
    assert!(!is_there(net.node(primary), "early") && !is_there(net.node(primary), "local"));
}

/// What was told of answers with fewer nodes than were asked for.
fn degrading(node: &mut Node) -> Vec<Event> {
    std::iter::from_fn(|| node.poll_event())
        .filter(|it| matches!(it, Event::Degraded { .. } | Event::Recovered { .. }))
        .collect()
}

#[test]
fn a_primary_is_degraded_until_those_that_lacked_a_write_have_it() {
    let mut net = Net::empty(None);
    let told = Options { degrade_after: Some(Duration::from_millis(200)), ..options(None) };
    for id in 1..=4 {
        net.told.insert(id, told.clone());
        net.start(id, &begin(3, 1));
    }
    let primary = net.primary();
    // More nodes than there are: each such write is degraded, and no node lacks it.
    net.put(primary, "key", Level::AtLeast(9)).unwrap();
    net.pass(500);
    let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("it is not answered") };
    assert!(done.reached.is_degraded);
    let status = net.node(primary).status();
    assert_eq!((status.is_degraded, status.degraded_writes), (false, 1));
    assert_eq!(degrading(net.node(primary)), []);

    let lost = (1..=3).find(|id| *id != primary).unwrap();
    net.cut = vec![lost];
    for _ in 0..2 {
        net.put(primary, "key", Level::All).unwrap();
        net.pass(100);
        assert!(net.node(primary).poll_completion().is_none(), "it waits for as long as it may");
        net.pass(200);
        let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("it is not answered") };
        assert!(done.reached.is_degraded && done.reached.durability == Durability::Quorum, "{done:?}");
    }
    // One that has what it asked for changes nothing.
    net.put(primary, "key", Level::AtLeast(3)).unwrap();
    let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("it is not answered") };
    assert!(!done.reached.is_degraded);
    let status = net.node(primary).status();
    assert_eq!((status.is_degraded, status.degraded_writes), (true, 3));
    let events = degrading(net.node(primary));
    assert!(matches!(&events[..], [Event::Degraded { nodes, .. }] if *nodes == [lost]), "{events:?}");

    net.cut.clear();
    net.pass(1_000);
    let status = net.node(primary).status();
    assert_eq!((status.is_degraded, status.degraded_writes), (false, 3));
    assert_eq!(degrading(net.node(primary)), [Event::Recovered { writes: 2 }]);
}

/// A primary is cut off for a while that is too short for another one to be elected: is a read answered at its end?
fn reads_alone(planted: Option<Plant>) -> bool {
    let mut net = Net::new(3, 0, planted);
    let primary = net.primary();
    net.cut = vec![primary];
    let lease = options(None).lease().as_millis() as u64;
    // By its own clock alone: nothing is done meanwhile.
    net.millis += lease + 10;
    let now = at(net.millis);
    assert_eq!(net.put(primary, "key", Level::Quorum), Err(Denied::NoQuorum));
    let node = net.node(primary);
    assert_eq!(node.role(), Role::Primary);
    let ticket = node.read(None, now).unwrap();
    node.advance(now);
    let answer = node.poll_completion();
    assert!(answer.as_ref().is_none_or(|it| it.ticket == ticket));
    answer.is_some_and(|it| it.result.is_ok())
}

#[test]
fn a_primary_that_is_cut_off_refuses_before_another_can_be_elected() {
    assert!(options(None).lease() < options(None).tick * (options(None).election_ticks - 1));
    assert!(!reads_alone(None));
    assert!(reads_alone(Some(Plant::UncheckedRead)), "the planted bug is found");
}

#[test]
fn a_read_without_a_lease_waits_for_a_quorum() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    net.millis += options(None).lease().as_millis() as u64 + 5;
    let now = at(net.millis);
    let node = net.node(primary);
    node.read(None, now).unwrap();
    assert_eq!(node.poll_completion(), None);
    assert!(matches!(net.answer(primary), Ok(Answer::Read(_))));
}

#[test]
fn what_was_answered_early_and_lost_is_told_by_its_token() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    net.cut = vec![primary];
    net.put(primary, "lost", Level::Local).unwrap();
    let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("local is not answered") };
    let old = primary;
    net.pass(2_000);
    let now = at(net.millis).instant;
    let is_new = |it: &(SimDisk, Option<Node>)| it.1.as_ref().is_some_and(|it| it.holds_lease(now));
    let new = *net.nodes.iter().find(|(id, it)| **id != old && is_new(it)).expect("there is a new one").0;
    net.put(new, "other", Level::Quorum).unwrap();
    net.talk();
    net.cut.clear();
    net.pass(1_000);
    let now = at(net.millis);
    let bound = Bound { token: Some(done.position), age: None };
    net.node(old).read_here(bound, None, now).unwrap();
    let mut results = std::iter::from_fn(|| net.node(old).poll_completion()).map(|it| it.result);
    assert!(results.any(|it| it == Err(Denied::Lost)));
    assert!(!is_there(net.node(new), "lost"));
}

#[test]
fn what_expires_expires_by_the_log_on_all_nodes() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    let now = at(net.millis);
    let until = Timestamp::from_millis(now.clock.as_millis() + 300);
    let step = Step::Put {
        key: b"short",
        value: b"v",
        condition: Condition::Always,
        lifetime: Lifetime::Until(until),
        previous: false,
    };
    let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
    net.node(primary).submit(&command, Some(Level::All), None, now).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Written(_))));
    assert!(is_there(net.node(primary), "short"));
    net.pass(1_000);
    let first = net.node(1).state().hash();
    for id in 1..=3 {
        assert_eq!((is_there(net.node(id), "short"), net.node(id).state().hash()), (false, first));
    }
    assert_eq!(Duration::ZERO, net.node(primary).status().age.unwrap());
}

/// A number of nodes may be asked for that only a learner makes up.
/// What was asked for cannot be reached any more once a node is removed: that is no recovery.
#[test]
fn a_primary_is_degraded_as_long_as_there_are_too_few_nodes() {
    let mut net = Net::empty(None);
    for id in 1..=3 {
        net.told.insert(id, Options { degrade_after: Some(Duration::from_millis(200)), ..options(None) });
        net.start(id, &begin(3, 0));
    }
    let primary = net.primary();
    let lost = 1 + primary % 3;
    net.cut = vec![lost];
    net.put(primary, "key", Level::AtLeast(3)).unwrap();
    net.pass(500);
    assert!(matches!(net.answer(primary), Ok(Answer::Written(done)) if done.reached.is_degraded));
    let events = degrading(net.node(primary));
    assert!(matches!(&events[..], [Event::Degraded { nodes, .. }] if *nodes == [lost]), "{events:?}");
    let now = at(net.millis);
    net.node(primary).change(&Change::Remove { node: lost }, None, now).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Changed(_))));
    net.pass(1_000);
    assert_eq!(degrading(net.node(primary)), []);
    assert!(net.node(primary).status().is_degraded);
}

#[test]
fn a_primary_is_degraded_while_a_learner_lacks_what_was_asked_of_it() {
    let mut net = Net::empty(None);
    let told = Options { degrade_after: Some(Duration::from_millis(200)), ..options(None) };
    for id in 1..=2 {
        net.told.insert(id, told.clone());
        net.start(id, &begin(1, 1));
    }
    assert_eq!(net.primary(), 1);
    net.pass(500);
    net.cut = vec![2];
    net.put(1, "key", Level::AtLeast(2)).unwrap();
    net.pass(500);
    let Ok(Answer::Written(done)) = net.answer(1) else { panic!("it is not answered") };
    assert!(done.reached.is_degraded && done.reached.nodes == 1, "{done:?}");
    assert!(net.node(1).status().is_degraded);
    let events = degrading(net.node(1));
    assert!(matches!(&events[..], [Event::Degraded { nodes, .. }] if *nodes == [2]), "{events:?}");
    net.cut.clear();
    net.pass(1_000);
    assert!(!net.node(1).status().is_degraded);
    assert_eq!(degrading(net.node(1)), [Event::Recovered { writes: 1 }]);
}
