//! Learners that are fed by others than the primary.

use super::*;

/// Three voters, and learners 4 and 5: 4 is fed by voter 2 or 3, whichever is not primary first, 5 by 4.
fn chain(planted: Option<Plant>) -> (Net, u64) {
    let mut net = Net::empty(planted);
    for id in 1..=3 {
        net.told.insert(id, Options { kept_bytes_max: 0, ..options(planted) });
    }
    for (id, feed_from) in [(4, vec![2, 3, 1]), (5, vec![4])] {
        net.told.insert(id, Options { feed_from, ..options(planted) });
    }
    for id in 1..=5 {
        net.start(id, &begin(3, 2));
    }
    let primary = net.primary();
    net.pass(2_000);
    (net, primary)
}

fn put(net: &mut Net, primary: u64, key: &str) {
    net.put(primary, key, Level::Quorum).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Written(_))), "{key}");
}

fn source(net: &mut Net, id: u64) -> Option<u64> {
    net.node(id).status().source
}

fn age(net: &mut Net, id: u64) -> u64 {
    net.node(id).status().age.map_or(u64::MAX, |age| age.as_millis() as u64)
}

/// Who feeds 4, when it is not the primary.
fn feeder(net: &mut Net) -> u64 {
    source(net, 4).expect("it is fed by a voter that is not primary")
}

#[test]
fn learners_are_fed_along_a_chain_and_the_primary_sends_them_nothing() {
    let (mut net, primary) = chain(None);
    let feeder = feeder(&mut net);
    assert_ne!(feeder, primary);
    assert_eq!(source(&mut net, 5), Some(4));
    net.carried.clear();
    for at in 0..20 {
        put(&mut net, primary, &format!("key-{at}"));
    }
    net.pass(300);
    for id in [4, 5] {
        assert!(is_there(net.node(id), "key-19"));
        assert_eq!(net.node(id).state().hash(), net.node(primary).state().hash());
        assert!(age(&mut net, id) < 400, "{}", age(&mut net, id));
        assert_eq!(net.carried.get(&(primary, id)), None, "{:?}", net.carried);
    }
    assert!(net.carried[&(feeder, 4)] > 10_000 && net.carried[&(4, 5)] > 10_000);
    let status = net.node(feeder).status();
    assert_eq!(status.followers, [(4, status.committed)]);
    let status = net.node(primary).status();
    assert_eq!(status.chained, [(4, feeder), (5, 4)]);
    // What a learner has said to have counts, though it came by another.
    assert!(status.matched.contains(&(5, status.last)), "{status:?}");
    assert!(net.faults.is_empty(), "{:?}", net.faults);
}

#[test]
fn a_learner_without_a_link_to_the_primary_goes_on_and_knows_how_old_it_is() {
    let (mut net, primary) = chain(None);
    for id in [4, 5] {
        net.apart.insert((primary, id));
    }
    for at in 0..20 {
        put(&mut net, primary, &format!("key-{at}"));
        net.pass(100);
    }
    for id in [4, 5] {
        assert!(is_there(net.node(id), "key-19"), "node {id}");
        assert!(age(&mut net, id) < 500, "{}", age(&mut net, id));
    }
    // The one that feeds the other is cut off: both are as old as they are.
    net.cut = vec![1, 2, 3];
    let (four, five) = (age(&mut net, 4), age(&mut net, 5));
    net.pass(1_000);
    assert!(age(&mut net, 4) >= four + 1_000 - 100 && age(&mut net, 5) >= five + 1_000 - 400);
}

#[test]
fn a_learner_leaves_a_source_that_is_gone_and_comes_back_to_it() {
    let (mut net, primary) = chain(None);
    let first = feeder(&mut net);
    net.stop(first);
    net.pass(2_500);
    assert_ne!(source(&mut net, 4), Some(first));
    put(&mut net, primary, "without");
    net.pass(1_000);
    assert!(is_there(net.node(4), "without") && is_there(net.node(5), "without"));
    // It is the best for it, so it goes back when that is there again.
    net.start(first, &begin(3, 2));
    net.pass(12_000);
    assert_eq!(source(&mut net, 4), Some(first));
    put(&mut net, primary, "again");
    net.pass(200);
    assert!(is_there(net.node(5), "again"));
}

#[test]
fn a_source_that_hears_nothing_itself_is_left() {
    let (mut net, primary) = chain(None);
    let first = feeder(&mut net);
    // It talks to the learner alone.
    for id in 1..=3 {
        net.apart.insert((id.min(first), id.max(first)));
    }
    let timeout = options(None).feed_timeout.as_millis() as u64;
    net.pass(2 * timeout);
    assert_ne!(source(&mut net, 4), Some(first));
    put(&mut net, primary, "key");
    net.pass(1_000);
    assert!(is_there(net.node(4), "key") && is_there(net.node(5), "key"));
}

#[test]
fn a_learner_far_behind_gets_a_snapshot_from_its_source() {
    let (mut net, primary) = chain(None);
    let feeder = feeder(&mut net);
    let had = net.node(4).status().last;
    net.stop(4);
    for at in 0..400 {
        put(&mut net, primary, &format!("key-{}", at % 20));
        if at % 50 == 49 {
            // All let go of the log up to here.
            for id in [1, 2, 3] {
                let now = at_now(&net);
                let node = net.node(id);
                node.want_snapshot();
                let job = node.poll_snapshot(now);
                let Some(mut job) = job else { panic!("a snapshot was wanted") };
                let disk = &net.nodes[&id].0;
                let written = loop {
                    match job.step(disk) {
                        Ok(None) => {}
                        Ok(Some(written)) => break written,
                        Err(error) => panic!("{error}"),
                    }
                };
                net.node(id).handle_snapshot(&job, Ok(written), now).unwrap();
            }
            net.pass(100);
        }
    }
    for id in [1, 2, 3] {
        assert!(net.node(id).engine().log().first().0 > had + 1);
    }
    net.told.get_mut(&4).unwrap().feed_from = vec![feeder];
    net.apart.insert((primary, 4));
    let other = 6 - primary - feeder;
    net.apart.insert((other, 4));
    net.start(4, &begin(3, 2));
    net.pass(6_000);
    assert_eq!(net.node(4).state().hash(), net.node(primary).state().hash());
    let mut is_installed = false;
    while let Some(event) = net.node(4).poll_event() {
        is_installed |= matches!(event, Event::Installed { .. });
    }
    assert!(is_installed && source(&mut net, 4) == Some(feeder));
    assert!(is_there(net.node(5), "key-19"));
}

fn at_now(net: &Net) -> Now {
    at(net.millis)
}

#[test]
fn what_is_not_committed_is_not_passed_on() {
    let (mut net, primary) = chain(None);
    let feeder = feeder(&mut net);
    let other = 6 - primary - feeder;
    // The source takes an entry that is not committed.
    net.cut = vec![other];
    net.apart.insert((4, primary));
    let now = at_now(&net);
    let step = Step::Append { key: b"lost", value: b"v" };
    let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
    net.node(primary).submit(&command, Some(Level::Quorum), None, now).unwrap();
    let (disk, node) = net.nodes.get_mut(&primary).unwrap();
    let frames = settle(node.as_mut().unwrap(), disk, now);
    for (_, bytes) in frames.into_iter().filter(|(to, _)| *to == feeder) {
        net.node(feeder).handle_frame(&bytes, now).unwrap();
    }
    let (disk, node) = net.nodes.get_mut(&feeder).unwrap();
    let answers = settle(node.as_mut().unwrap(), disk, now);
    let (last, committed) = (net.node(feeder).status().last, net.node(feeder).status().committed);
    assert!(last > committed, "the source has an entry that is not committed");
    // It tells its learner, but the primary does not hear that it has it.
    for (_, bytes) in answers.into_iter().filter(|(to, _)| *to == 4) {
        net.node(4).handle_frame(&bytes, now).unwrap();
    }
    net.cut = vec![primary, feeder];
    net.pass(300);
    assert!(net.node(4).status().last < last);
}

#[test]
fn two_learners_told_of_each_other_do_not_feed_each_other() {
    let mut net = Net::empty(None);
    for (id, feed_from) in [(4, vec![5, 2]), (5, vec![4, 3])] {
        net.told.insert(id, Options { feed_from, ..options(None) });
    }
    for id in 1..=5 {
        net.start(id, &begin(3, 2));
    }
    let primary = net.primary();
    net.pass(30_000);
    let sources = (source(&mut net, 4), source(&mut net, 5));
    assert_ne!(sources, (Some(5), Some(4)));
    for at in 0..10 {
        put(&mut net, primary, &format!("key-{at}"));
        net.pass(500);
        for id in [4, 5] {
            assert!(is_there(net.node(id), &format!("key-{at}")), "node {id}");
        }
    }
}

#[test]
fn a_chained_learner_is_promoted_and_removed_like_another() {
    let (mut net, primary) = chain(None);
    let now = at_now(&net);
    net.node(primary).change(&Change::Promote { node: 4 }, None, now).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Changed(_))));
    net.pass(1_000);
    assert_eq!(net.node(4).role(), Role::Replica);
    assert_eq!(source(&mut net, 4), None, "who votes is fed by the primary");
    put(&mut net, primary, "voter");
    net.pass(300);
    assert!(is_there(net.node(4), "voter") && is_there(net.node(5), "voter"));
    // A voter feeds on.
    assert_eq!(source(&mut net, 5), Some(4));
    let now = at_now(&net);
    net.node(primary).change(&Change::Remove { node: 5 }, None, now).unwrap();
    net.pass(6_000);
    assert_eq!(*net.node(5).standing(), Standing::Fenced(Fence::Removed));
    assert_eq!(net.node(4).status().followers, []);
}

#[test]
fn a_new_learner_with_nothing_gets_all_from_its_source() {
    let (mut net, primary) = chain(None);
    for at in 0..20 {
        put(&mut net, primary, &format!("key-{at}"));
    }
    let now = at_now(&net);
    net.node(primary).change(&Change::AddLearner { node: 6, about: Vec::new() }, None, now).unwrap();
    net.apart.insert((primary, 6));
    net.told.insert(6, Options { feed_from: vec![5], ..options(None) });
    net.start(6, &Start::default());
    net.pass(2_000);
    assert_eq!((net.node(6).role(), source(&mut net, 6)), (Role::Learner, Some(5)));
    assert_eq!(net.node(6).state().hash(), net.node(primary).state().hash());
    assert!(age(&mut net, 6) < 800, "{}", age(&mut net, 6));
}
