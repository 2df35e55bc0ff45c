//! Nodes that hand over, are added, promoted, removed, or come from far behind.

use super::*;

#[test]
fn a_handover_and_changes_say_when_they_are_done() {
    let mut net = Net::new(3, 1, None);
    let primary = net.primary();
    let now = at(net.millis);
    let to = 1 + primary % 3;
    let refused = |it| matches!(it, Err(Denied::Refused(_)));
    assert!(refused(net.node(primary).transfer(4, now)) && refused(net.node(primary).transfer(primary, now)));
    net.node(primary).transfer(to, now).unwrap();
    assert_eq!(net.answer(primary), Ok(Answer::HandedOver));
    assert_eq!((net.primary(), net.node(primary).role()), (to, Role::Replica));

    let now = at(net.millis);
    for bad in [
        Change::AddLearner { node: 4, about: Vec::new() },
        Change::Promote { node: primary },
        Change::Remove { node: to },
        Change::Replace { old: 9, new: 4 },
        Change::Leave,
    ] {
        assert!(refused(net.node(to).change(&bad, None, now)), "{bad:?}");
    }
    net.node(to).change(&Change::Replace { old: primary, new: 4 }, None, now).unwrap();
    let done = (0..40).find_map(|_| {
        net.pass(10);
        net.node(to).poll_completion()
    });
    assert!(matches!(done.expect("it is answered").result, Ok(Answer::Changed(_))));
    // Not before who is out is needed no more.
    let members = net.node(to).members().clone();
    assert!(!members.is_joint() && members.voters.contains(&4) && members.removed.contains(&primary));
    net.pass(3_000);
    assert_eq!(*net.node(primary).standing(), Standing::Fenced(Fence::Removed));
    assert_eq!(net.primary(), to);
}

#[test]
fn two_nodes_a_primary_and_a_replica_and_the_replica_is_promoted() {
    let mut net = Net::new(1, 1, None);
    assert_eq!(net.primary(), 1);
    net.put(1, "both", Level::AtLeast(2)).unwrap();
    net.talk();
    net.pass(100);
    net.cut = vec![2];
    net.put(1, "one", Level::Quorum).unwrap();
    assert!(matches!(net.answer(1), Ok(Answer::Written(_))));
    // The primary is gone for good, as far as anybody can tell.
    net.stop(2);
    net.start(2, &Start { is_promoted: true, ..Start::default() });
    net.cut = vec![1];
    net.pass(100);
    assert_eq!((net.node(2).role(), net.node(2).members().generation), (Role::Primary, 2));
    net.put(2, "two", Level::Quorum).unwrap();
    assert!(matches!(net.answer(2), Ok(Answer::Written(_))));
    assert!(is_there(net.node(2), "both") && !is_there(net.node(2), "one"));
    // It comes back: whoever hears of the other takes no part any more.
    net.cut.clear();
    net.pass(1_000);
    let fence = Fence::OldGeneration { generation: 2 };
    assert_eq!(*net.node(1).standing(), Standing::Fenced(fence));
    let denied = net.put(1, "three", Level::Quorum);
    assert!(matches!(denied, Err(Denied::Fenced(_))), "{denied:?}");
    assert_eq!(net.node(2).role(), Role::Primary);
}

/// What a refused link says of the generation that counts does as much as a frame would, and no more.
#[test]
fn a_primary_that_was_put_out_takes_no_part_and_only_a_later_generation_of_its_cluster_does_it() {
    let mut net = Net::new(1, 1, None);
    assert_eq!(net.primary(), 1);
    let (now, cluster) = (at(net.millis), net.node(1).identity.cluster);
    let mut other = cluster;
    other[0] ^= 1;
    for (cluster, generation) in [(cluster, 0), (cluster, 1), (other, 2), (other, u64::MAX)] {
        net.node(1).handle_put_out(cluster, generation, now);
        assert_eq!(*net.node(1).standing(), Standing::Active, "{generation}");
    }
    net.put(1, "one", Level::Quorum).unwrap();
    assert!(matches!(net.answer(1), Ok(Answer::Written(_))));
    net.node(1).handle_put_out(cluster, 3, now);
    let fence = Fence::OldGeneration { generation: 3 };
    assert_eq!(*net.node(1).standing(), Standing::Fenced(fence.clone()));
    let denied = net.put(1, "two", Level::Memory);
    assert!(matches!(denied, Err(Denied::Fenced(_))), "{denied:?}");
    // It is told once.
    net.node(1).handle_put_out(cluster, 4, now);
    let events: Vec<Event> = std::iter::from_fn(|| net.node(1).poll_event()).collect();
    let fences: Vec<&Event> = events.iter().filter(|it| matches!(it, Event::Fenced(_))).collect();
    assert_eq!(fences, [&Event::Fenced(fence)]);
    // Who is in no cluster yet has nothing to be put out of.
    net.start(3, &Start::default());
    net.node(3).handle_put_out(cluster, 5, now);
    assert!(!matches!(net.node(3).standing(), Standing::Fenced(_)));
}

/// Where nobody is there to tell it again, it still takes nothing, until it is promoted itself; then it is the later one.
#[test]
fn a_primary_that_was_put_out_knows_it_after_a_power_failure() {
    let mut net = Net::new(1, 1, None);
    let (now, cluster) = (at(net.millis), net.node(1).identity.cluster);
    net.put(1, "one", Level::Quorum).unwrap();
    assert!(matches!(net.answer(1), Ok(Answer::Written(_))));
    net.node(1).handle_put_out(cluster, 3, now);
    net.talk();
    let fence = Fence::OldGeneration { generation: 3 };
    net.cut = vec![1];
    for _ in 0..2 {
        net.stop(1);
        net.start(1, &Start::default());
        net.pass(3_000);
        assert_eq!(*net.node(1).standing(), Standing::Fenced(fence.clone()));
        assert_eq!(net.node(1).role(), Role::Idle);
        assert_eq!(net.node(1).poll_event(), Some(Event::Fenced(fence.clone())));
        let denied = net.put(1, "two", Level::Memory);
        assert!(matches!(denied, Err(Denied::Fenced(_))), "{denied:?}");
        assert!(is_there(net.node(1), "one"));
    }
    net.stop(1);
    net.start(1, &Start { is_promoted: true, ..Start::default() });
    net.pass(100);
    assert_eq!((net.node(1).role(), net.node(1).durable_generation()), (Role::Primary, 4));
    net.stop(1);
    net.start(1, &Start::default());
    net.pass(100);
    assert_eq!((net.node(1).role(), net.node(1).durable_generation()), (Role::Primary, 4));
    net.put(1, "two", Level::Quorum).unwrap();
    assert!(matches!(net.answer(1), Ok(Answer::Written(_))));
}

/// A promotion is on disk before anybody hears of it.
#[test]
fn a_promotion_that_was_told_outlasts_a_power_failure() {
    let mut net = Net::new(1, 1, None);
    assert_eq!(net.primary(), 1);
    net.pass(100);
    assert_eq!((net.node(1).durable_generation(), net.node(2).durable_generation()), (1, 1));
    net.stop(2);
    net.start(2, &Start { is_promoted: true, ..Start::default() });
    assert_eq!((net.node(2).members().generation, net.node(2).durable_generation()), (2, 2));
    net.stop(2);
    net.start(2, &Start::default());
    assert_eq!((net.node(2).durable_generation(), net.node(1).durable_generation()), (2, 1));
}

#[test]
fn a_replica_far_behind_gets_a_snapshot_and_goes_on() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    let behind = 1 + primary % 3;
    net.stop(behind);
    for at_ in 0..300 {
        net.put(primary, &format!("key-{at_}"), Level::Quorum).unwrap();
        net.talk();
    }
    let now = at(net.millis);
    let (disk, node) = net.nodes.get_mut(&primary).expect("it is there");
    let node = node.as_mut().expect("it runs");
    node.options.kept_bytes_max = 0;
    node.kept.clear();
    node.want_snapshot();
    let mut job = node.poll_snapshot(now).expect("one is wanted");
    let written = write(&mut job, disk);
    node.handle_snapshot(&job, written, now).unwrap();
    // The log lets go of what it can when more is on disk.
    for _ in 0..3 {
        net.put(primary, "more", Level::Quorum).unwrap();
        net.talk();
    }
    net.start(behind, &Start::default());
    net.pass(3_000);
    let (theirs, ours) = (net.node(primary).state().hash(), net.node(behind).state().hash());
    assert_eq!(theirs, ours);
    let mut events = Vec::new();
    while let Some(event) = net.node(behind).poll_event() {
        events.push(event);
    }
    assert!(events.iter().any(|it| matches!(it, Event::Installed { .. })), "{events:?}");
    // What came is there after a crash too.
    net.stop(behind);
    net.start(behind, &Start::default());
    net.pass(500);
    assert_eq!(net.node(behind).state().hash(), theirs);
}

/// A primary, and another node that needs a snapshot of it in many pieces.
pub(super) fn far_behind() -> (Net, u64, u64) {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    let behind = 1 + primary % 3;
    net.stop(behind);
    let now = at(net.millis);
    for number in 0..150 {
        let (key, value) = (format!("key-{number}"), vec![b'v'; 20_000]);
        let step = Step::Put {
            key: key.as_bytes(),
            value: &value,
            condition: Condition::Always,
            lifetime: Lifetime::Unbounded,
            previous: false,
        };
        let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
        net.node(primary).submit(&command, Some(Level::Quorum), None, now).unwrap();
        net.talk();
    }
    let (disk, node) = net.nodes.get_mut(&primary).expect("it is there");
    let node = node.as_mut().expect("it runs");
    node.options.kept_bytes_max = 0;
    node.kept.clear();
    node.want_snapshot();
    let mut job = node.poll_snapshot(now).expect("one is wanted");
    let written = write(&mut job, disk);
    node.handle_snapshot(&job, written, now).unwrap();
    for _ in 0..3 {
        net.put(primary, "more", Level::Quorum).unwrap();
        net.talk();
    }
    (net, primary, behind)
}

#[test]
fn a_snapshot_goes_on_where_a_link_was_cut() {
    let (mut net, primary, behind) = far_behind();
    net.node(primary).options.snapshot_window = 2;
    net.cut_after = Some((behind, 9));
    net.start(behind, &Start::default());
    net.pass(700);
    assert_eq!(net.pieces, (0..9).collect::<Vec<_>>(), "as many came as were let through");
    net.cut_after = None;
    net.pass(3_000);
    assert_eq!(net.node(primary).state().hash(), net.node(behind).state().hash());
    let last = *net.pieces.last().expect("some came");
    assert!(last > 12, "{:?}", net.pieces);
    // What was on its way, two pieces, may come again, and nothing before that.
    assert!(net.pieces[9..].iter().all(|number| *number >= 7), "{:?}", net.pieces);
    assert!(net.pieces.len() as u64 <= last + 1 + 2, "{:?}", net.pieces);
    assert_eq!(net.pieces.iter().copied().collect::<BTreeSet<u64>>(), (0..=last).collect());
}

#[test]
fn a_snapshot_that_could_not_be_written_begins_anew() {
    let (mut net, primary, behind) = far_behind();
    net.cut_after = Some((behind, 5));
    net.start(behind, &Start::default());
    net.pass(700);
    // The disk refuses the rest: what was written of it counts for nothing.
    net.nodes[&behind].0.set_bytes_max(Some(0));
    net.cut_after = None;
    net.pass(20_000);
    let failed = |net: &mut Net| {
        let events = std::iter::from_fn(|| net.node(behind).poll_event());
        events.filter(|it| matches!(it, Event::InstallFailed { from, .. } if *from == primary)).count()
    };
    // It is tried again after 1, 2, 4 and 8 s, and between that only the offer goes.
    assert_eq!(failed(&mut net), 5, "{:?}", net.pieces);
    assert!(net.pieces.len() <= 5 + 5 * 16, "{:?}", net.pieces);
    let full = net.node(behind).failed_install().expect("it says so").to_string();
    assert!(full.contains(".unfinished") && full.contains("No space left"), "{full}");
    net.nodes[&behind].0.set_bytes_max(None);
    net.pass(20_000);
    assert_eq!(failed(&mut net), 0);
    assert!(net.node(behind).failed_install().is_none());
    assert_eq!(net.node(primary).state().hash(), net.node(behind).state().hash());
}

#[test]
fn a_primary_with_a_slow_disk_hands_over() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    net.put(primary, "key", Level::Quorum).unwrap();
    let now = at(net.millis);
    net.node(primary).advance(now);
    let flush = net.node(primary).poll_flush(now).expect("one is wanted");
    // Others take part meanwhile; this one's disk is at it.
    for _ in 0..30 {
        net.millis += 50;
        let now = at(net.millis);
        let mut frames = Vec::new();
        for (id, (disk, node)) in &mut net.nodes {
            let node = node.as_mut().expect("it runs");
            node.handle_timeout(now);
            if *id == primary {
                let mut bytes = Vec::new();
                while let Some(to) = node.poll_frame(&mut bytes, now) {
                    frames.push((to, bytes.clone()));
                }
            } else {
                frames.extend(settle(node, disk, now));
            }
        }
        for (to, bytes) in frames {
            net.node(to).handle_frame(&bytes, now).unwrap();
        }
    }
    assert_ne!(net.node(primary).role(), Role::Primary);
    assert!(is_there(net.node(1 + primary % 3), "key"));
    let mut events = std::iter::from_fn(|| net.node(primary).poll_event());
    assert!(events.any(|it| matches!(it, Event::SlowDisk { .. })));
    drop(flush);
}

#[test]
fn a_primary_that_finds_itself_removed_steps_down_and_the_others_go_on() {
    let mut net = Net::new(3, 0, None);
    let old = net.primary();
    let (next, third) = (1 + old % 3, 1 + (old + 1) % 3);
    // Its removal is in its log, and committed by nobody, when the primary's power fails.
    let now = at(net.millis);
    net.node(old).change(&Change::Remove { node: next }, None, now).unwrap();
    net.node(old).advance(now);
    let mut frame = Vec::new();
    while let Some(to) = net.node(old).poll_frame(&mut frame, now) {
        if to == next {
            net.node(next).handle_frame(&frame, now).unwrap();
        }
    }
    net.stop(old);
    net.pass(3_000);
    // It goes on to vote: only one of the two others knows that it was taken out.
    assert_eq!(*net.node(next).standing(), Standing::Active);
    assert_eq!(net.node(next).role(), Role::Idle);
    net.start(old, &Start::default());
    let primary = net.primary();
    net.pass(3_000);
    assert_eq!(*net.node(next).standing(), Standing::Fenced(Fence::Removed));
    assert!(primary == old || primary == third);
    net.put(primary, "key", Level::All).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Written(_))));
}

/// A primary that can make no further segment hands over while the present one has room: no write is refused, and the others go on.
#[test]
fn a_primary_whose_disk_is_full_hands_over_before_it_refuses() {
    let mut net = Net::new(3, 0, None);
    let full = net.primary();
    net.nodes[&full].0.set_bytes_max(Some(0));
    let mut count = 0;
    while net.primary() == full {
        assert!(count < 2_000, "it fills its segments");
        net.put(full, &format!("key-{count}"), Level::Quorum).unwrap();
        assert!(matches!(net.answer(full), Ok(Answer::Written(_))), "{count}");
        count += 1;
        net.pass(20);
    }
    assert!(net.node(full).engine().problem().is_some() && net.node(full).engine().has_room(4 << 10));
    let events: Vec<Event> = std::iter::from_fn(|| net.node(full).poll_event()).collect();
    assert!(!events.iter().any(|it| matches!(it, Event::SlowDisk { .. })), "{events:?}");
    let other = net.primary();
    for at_ in 0..2_000 {
        net.put(other, &format!("more-{at_}"), Level::Quorum).unwrap();
        assert!(matches!(net.answer(other), Ok(Answer::Written(_))), "{at_}");
    }
    assert_eq!(net.primary(), other);
    // When there is room again it follows.
    net.nodes[&full].0.set_bytes_max(None);
    net.pass(5_000);
    assert!(is_there(net.node(full), "more-1999"));
}

/// What is longer than what is left of the segment is refused, and holds up nobody.
#[test]
fn a_full_disk_refuses_what_does_not_fit_and_takes_what_does() {
    let mut net = Net::new(1, 0, None);
    assert_eq!(net.primary(), 1);
    net.nodes[&1].0.set_bytes_max(Some(0));
    let long = "k".repeat(40_000);
    let mut count = 0;
    while net.node(1).engine().problem().is_none() || net.node(1).engine().has_room(40_000) {
        assert!(count < 2_000, "it fills its segments");
        net.put(1, &format!("key-{count}"), Level::Quorum).unwrap();
        assert!(matches!(net.answer(1), Ok(Answer::Written(_))), "{count}");
        count += 1;
    }
    let denied = net.put(1, &long, Level::Quorum);
    assert!(matches!(denied, Err(Denied::Refused(crate::error::Error::Io { .. }))), "{denied:?}");
    net.put(1, "short", Level::Quorum).unwrap();
    assert!(matches!(net.answer(1), Ok(Answer::Written(_))));
    assert_eq!(net.primary(), 1);
}

/// Who is not there is not counted on.
#[test]
fn a_change_that_would_leave_no_quorum_is_refused() {
    let mut net = Net::new(1, 1, None);
    assert_eq!(net.primary(), 1);
    net.put(1, "both", Level::AtLeast(2)).unwrap();
    net.pass(100);
    net.stop(2);
    net.pass(3_000);
    let now = at(net.millis);
    let promoted = net.node(1).change(&Change::Promote { node: 2 }, None, now);
    assert!(
        matches!(&promoted, Err(Denied::Refused(why)) if why.to_string().contains("not heard")),
        "{promoted:?}"
    );
    net.start(2, &Start::default());
    net.pass(500);
    let now = at(net.millis);
    net.node(1).change(&Change::Promote { node: 2 }, None, now).unwrap();

    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    let (lost, other) = (1 + primary % 3, 1 + (primary + 1) % 3);
    net.stop(lost);
    net.pass(3_000);
    let now = at(net.millis);
    let removed = net.node(primary).change(&Change::Remove { node: other }, None, now);
    let is_told = |why: &Error| why.to_string().contains("of 2 nodes that would vote then only 1");
    assert!(matches!(&removed, Err(Denied::Refused(why)) if is_told(why)), "{removed:?}");
    // The lost one may go, and then the other.
    for node in [lost, other] {
        let now = at(net.millis);
        net.node(primary).change(&Change::Remove { node }, None, now).unwrap();
        net.pass(500);
        assert_eq!(net.primary(), primary);
    }
    assert_eq!(net.node(primary).members().voters.len(), 1);
}

/// Who holds no elections sees for itself that there is no primary, and when there is one again.
#[test]
fn a_learner_misses_its_primary() {
    let mut net = Net::new(1, 1, None);
    assert_eq!(net.primary(), 1);
    net.put(1, "both", Level::AtLeast(2)).unwrap();
    net.pass(5_000);
    assert_eq!(net.node(2).primary(), Some(1));
    while net.node(2).poll_event().is_some() {}
    net.cut = vec![1];
    net.pass(2_000);
    assert_eq!(net.node(2).primary(), None);
    let told: Vec<_> = std::iter::from_fn(|| net.node(2).poll_event()).collect();
    assert!(told.iter().any(|it| matches!(it, Event::Role { primary: None, .. })), "{told:?}");
    net.cut.clear();
    net.pass(500);
    assert_eq!(net.node(2).primary(), Some(1));
}

/// What learners know says nothing of what the voters will know after a crash.
#[test]
fn that_it_was_removed_a_node_hears_from_voters() {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 2), None, at(0));
    found(&mut node, &disk, at(5));
    let boot = node.boot;
    let told = |from| frame(from, 1, 0, &Body::Told { verdict: Verdict::Removed, boot, generation: 1 });
    for learner in [4, 5] {
        node.handle_frame(&told(learner), at(10)).unwrap();
    }
    assert_eq!(*node.standing(), Standing::Active);
    node.handle_frame(&told(2), at(10)).unwrap();
    assert_eq!(*node.standing(), Standing::Active);
    node.handle_frame(&told(3), at(10)).unwrap();
    assert_eq!(*node.standing(), Standing::Fenced(Fence::Removed));
}

/// The one that is removed may not know who is a learner, so learners do not tell it.
#[test]
fn learners_do_not_say_that_a_node_was_removed() {
    let mut net = Net::new(3, 1, None);
    let primary = net.primary();
    let removed = 1 + primary % 3;
    net.cut = vec![removed];
    let now = at(net.millis);
    net.node(primary).change(&Change::Remove { node: removed }, None, now).unwrap();
    net.pass(500);
    let now = at(net.millis);
    for (to, tells) in [(4, false), (primary, true)] {
        assert!(net.node(to).members().removed.contains(&removed));
        let boot = 77;
        let header = Header { from: removed, to, boot, ..header(removed, 1, 0) };
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, &header, &Body::Ping);
        let (disk, node) = net.nodes.get_mut(&to).expect("it is there");
        let node = node.as_mut().expect("it runs");
        assert_eq!(node.handle_frame(&bytes, now), Err(Fault::Removed { from: removed }));
        let said = settle(node, disk, now);
        let is_told = |it: &(u64, Vec<u8>)| {
            it.0 == removed && matches!(frame::decode(&it.1).unwrap().1, Body::Told { .. })
        };
        assert_eq!(said.iter().any(is_told), tells, "{to}");
    }
}

/// One of four is taken out, and hears that it is, or does not; the two others that stay have that in their logs, and have not heard
/// that it counts. The primary is lost: they need the vote of the one that was taken out.
#[test]
fn one_that_was_taken_out_votes_as_long_as_it_is_needed() {
    for hears in [false, true] {
        let mut net = Net::new(4, 0, None);
        let primary = net.primary();
        net.put(primary, "before", Level::All).unwrap();
        assert!(matches!(net.answer(primary), Ok(Answer::Written(_))));
        net.pass(300);
        let others: Vec<u64> = (1..=4).filter(|id| *id != primary).collect();
        let removed = others[2];
        let now = at(net.millis);
        net.node(primary).change(&Change::Remove { node: removed }, None, now).unwrap();
        let turn = |net: &mut Net, id: u64| {
            let (disk, node) = net.nodes.get_mut(&id).expect("it is there");
            settle(node.as_mut().expect("it runs"), disk, now)
        };
        for (to, bytes) in turn(&mut net, primary) {
            net.node(to).handle_frame(&bytes, now).unwrap();
        }
        let answers: Vec<_> = others.iter().flat_map(|id| turn(&mut net, *id)).collect();
        for (_, bytes) in answers.iter().filter(|(to, _)| *to == primary) {
            // The last of them counts no more, where that is whose removal the others have made count.
            let _ = net.node(primary).handle_frame(bytes, now);
        }
        let told = turn(&mut net, primary);
        assert!(net.node(primary).members().removed.contains(&removed), "it counts");
        for (_, bytes) in told.iter().filter(|(to, _)| hears && *to == removed) {
            net.node(removed).handle_frame(bytes, now).unwrap();
        }
        turn(&mut net, removed);
        assert_eq!(net.node(removed).is_leaving(), hears);
        net.stop(primary);
        assert!(others[..2].contains(&net.primary()), "hears: {hears}");
        // Then it is told, and is needed no more.
        net.pass(3_000);
        assert_eq!(*net.node(removed).standing(), Standing::Fenced(Fence::Removed));
    }
}
