//! What a node knows of who is in the cluster when it is opened again, whatever of that it came to write down.

use super::super::open::proven;
use super::*;
use crate::store::engine::replicated::Uncommitted;
use crate::store::log::Epoch;

/// Has one node do what is due, and its disk all that is wanted; gives what it says.
fn turn(net: &mut Net, id: u64) -> Vec<(u64, Vec<u8>)> {
    let now = at(net.millis);
    let (disk, node) = net.nodes.get_mut(&id).expect("it is there");
    let node = node.as_mut().expect("it runs");
    node.handle_timeout(now);
    settle(node, disk, now)
}

fn hear(net: &mut Net, id: u64, frame: &[u8]) {
    let now = at(net.millis);
    let _ = net.node(id).handle_frame(frame, now);
}

/// Has the disk do one write after the other until the entries up to `through` are on it, and no write more; gives what the node
/// says meanwhile, and whether it came to that.
fn write_through(net: &mut Net, id: u64, through: u64) -> (Vec<(u64, Vec<u8>)>, bool) {
    let now = at(net.millis);
    let (disk, node) = net.nodes.get_mut(&id).expect("it is there");
    let node = node.as_mut().expect("it runs");
    let (mut said, mut frame) = (Vec::new(), Vec::new());
    node.advance(now);
    loop {
        while let Some(to) = node.poll_frame(&mut frame, now) {
            said.push((to, frame.clone()));
        }
        if node.engine().durable_sequence() >= through {
            return (said, true);
        }
        let Some(flush) = node.poll_flush(now) else { return (said, false) };
        let result = flush.run(disk);
        node.handle_flushed(flush, result, now, |file| disk.name(file));
        node.advance(now);
    }
}

/// One of three voters is behind while another is replaced. It gets beginning and end of that in one write, answers for them, and
/// loses power before it has written down what they make of the cluster. Those that vote now answer a write; then they are parted
/// from it and from the one that voted before. Whether those two commit something else.
fn commits_twice(planted: Option<Plant>) -> bool {
    let mut net = Net::new(3, 1, planted);
    let primary = net.primary();
    let (late, old) = (1 + primary % 3, 1 + (primary + 1) % 3);
    net.put(primary, "before", Level::All).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Written(_))));
    net.pass(300);
    let now = at(net.millis);
    net.node(primary).change(&Change::Replace { old, new: 4 }, None, now).unwrap();
    // The one that is replaced does not hear that it is done.
    let mut frames = VecDeque::new();
    'changing: for _ in 0..100 {
        net.millis += 10;
        for id in [primary, old, 4] {
            frames.extend(turn(&mut net, id));
        }
        while let Some((to, bytes)) = frames.pop_front() {
            if to == late {
                continue;
            }
            hear(&mut net, to, &bytes);
            let said = turn(&mut net, to);
            let members = net.node(primary).members();
            if members.voters.contains(&4) && !members.is_joint() {
                break 'changing;
            }
            frames.extend(said);
        }
    }
    let changed = net.node(primary).members().sequence;
    assert!(!net.node(primary).members().is_joint() && !net.node(primary).members().is_voter(old));
    // The late one hears of it.
    let is_written = (0..300).any(|_| {
        net.millis += 10;
        let said = [turn(&mut net, primary), turn(&mut net, 4)].concat();
        for (to, bytes) in said.iter().filter(|(to, _)| *to != old) {
            hear(&mut net, *to, bytes);
        }
        let (said, is_written) = write_through(&mut net, late, changed);
        for (to, bytes) in said.iter().filter(|(to, _)| *to != old) {
            hear(&mut net, *to, bytes);
        }
        is_written
    });
    assert!(is_written && !net.node(late).are_members_durable());
    net.stop(late);
    net.cut = vec![old, late];
    net.talk();
    while net.node(primary).poll_completion().is_some() {}
    net.put(primary, "answered", Level::Quorum).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Written(_))));
    net.cut = vec![primary, 4];
    net.start(late, &Start::default());
    assert_eq!(net.node(late).members().is_joint(), planted.is_none());
    net.pass(5_000);
    net.cut.clear();
    net.pass(5_000);
    let is_diverged = |it: &(SimDisk, Option<Node>)| {
        let standing = it.1.as_ref().map(|node| node.standing());
        matches!(standing, Some(Standing::Fenced(Fence::Diverged { .. })))
    };
    if net.nodes.values().any(is_diverged) {
        return true;
    }
    let primary = net.primary();
    !is_there(net.node(primary), "answered")
}

#[test]
fn one_that_answered_for_a_replacement_goes_by_it_after_a_crash() {
    assert!(!commits_twice(None));
    assert!(commits_twice(Some(Plant::UnprovenChange)), "the planted bug is found");
}

#[test]
fn a_change_in_the_log_proves_the_one_before_and_a_promotion_by_force_does_not() {
    let (promote, leave) = (Change::Promote { node: 4 }.encode(), Change::Leave.encode());
    let by_force = Change::Initial { generation: 2, nodes: nodes(1, 1) }.encode();
    let through = |payloads: &[&[u8]]| {
        let entries = payloads.iter().zip(7..);
        let entries = entries.map(|(payload, sequence)| Uncommitted {
            sequence: Sequence(sequence),
            epoch: Epoch(3),
            payload: payload.to_vec(),
        });
        proven(&entries.collect()).map(|it| it.0)
    };
    assert_eq!(through(&[]), None);
    assert_eq!(through(&[b"", &promote, b"\x01", b""]), None);
    assert_eq!(through(&[b"", &promote, b"\x01", &leave, b""]), Some(8));
    assert_eq!(through(&[&promote, &leave, &promote]), Some(8));
    assert_eq!(through(&[&promote, &by_force]), None);
    assert_eq!(through(&[&promote, &leave, &by_force]), Some(7));
    assert_eq!(through(&[&promote, &by_force, &leave]), Some(8));
}

/// Who is in the cluster is not written down for want of room, and that the change counts is, or all can count here.
#[test]
fn a_change_that_was_answered_outlasts_a_restart_on_a_full_disk() {
    let mut met = [0; 2];
    for (shift, is_closed) in (0..16).flat_map(|shift| [(shift, false), (shift, true)]) {
        let mut net = Net::new(1, 0, None);
        assert_eq!(net.primary(), 1);
        let add = |net: &mut Net, node| {
            let now = at(net.millis);
            let change = Change::AddLearner { node, about: vec![b'a'; 255] };
            net.node(1).change(&change, None, now)?;
            match net.answer(1) {
                Ok(Answer::Changed(_)) => Ok::<(), Denied>(()),
                other => panic!("{other:?}"),
            }
        };
        for node in 2..=5 {
            add(&mut net, node).unwrap();
            net.pass(50);
        }
        net.nodes[&1].0.set_bytes_max(Some(0));
        for count in 0..shift {
            net.put(1, &format!("{count}{}", "s".repeat(40)), Level::Quorum).unwrap();
            assert!(matches!(net.answer(1), Ok(Answer::Written(_))));
        }
        let mut count = 0;
        while net.put(1, &format!("key-{count}{}", "k".repeat(shift)), Level::Quorum).is_ok() {
            assert!(matches!(net.answer(1), Ok(Answer::Written(_))), "{count}");
            count += 1;
            assert!(count < 2_000, "it fills its segments");
        }
        let mut last = 5;
        while net.node(1).members_at.is_some() && add(&mut net, last + 1).is_ok() {
            last += 1;
        }
        if net.node(1).members_at.is_some() {
            continue;
        }
        if is_closed {
            let now = at(net.millis);
            net.node(1).close(now);
            turn(&mut net, 1);
        } else if add(&mut net, last + 1).is_ok() {
            last += 1;
        }
        met[usize::from(is_closed)] += 1;
        let learners: BTreeSet<u64> = (2..=last).collect();
        assert_eq!(net.node(1).members().learners, learners);
        // As long as there is no room it cannot be primary, and of the last one it does not know that it counts.
        net.stop(1);
        net.start(1, &Start::default());
        let known = net.node(1).members().learners.clone();
        assert!(known.is_subset(&learners) && known.len() + 1 >= learners.len(), "shift {shift}: {known:?}");
        net.stop(1);
        net.nodes[&1].0.set_bytes_max(None);
        net.start(1, &Start::default());
        net.pass(500);
        assert_eq!(net.node(1).members().learners, learners, "shift {shift}, closed: {is_closed}");
        assert!(net.node(1).are_members_durable());
    }
    assert!(met[0] > 0 && met[1] > 0, "{met:?}");
}

/// What is said about each is written down anew with each change, into one record.
#[test]
fn a_node_about_which_no_more_can_be_written_down_is_refused() {
    let mut net = Net::new(1, 0, None);
    assert_eq!(net.primary(), 1);
    let change = |net: &mut Net, change: &Change| {
        let now = at(net.millis);
        net.node(1).change(change, None, now)?;
        let done = net.answer(1);
        assert!(matches!(done, Ok(Answer::Changed(_))), "{done:?}");
        assert!(net.node(1).are_members_durable());
        Ok::<(), Denied>(())
    };
    let add = |node| Change::AddLearner { node, about: vec![b'a'; 255] };
    let mut next = 2;
    let why = loop {
        match change(&mut net, &add(next)) {
            Ok(()) => next += 1,
            Err(why) => break why,
        }
    };
    let Denied::Refused(why) = &why else { panic!("{why:?}") };
    assert!(why.to_string().contains("segment_bytes"), "{why}");
    assert!((10..40).contains(&next), "{next}");
    // One of which less is said can be added, or when another one is taken out.
    change(&mut net, &Change::AddLearner { node: next, about: b"here".to_vec() }).unwrap();
    change(&mut net, &Change::Remove { node: 2 }).unwrap();
    change(&mut net, &add(next + 1)).unwrap();
    let members = net.node(1).members().clone();
    net.stop(1);
    net.start(1, &Start::default());
    assert_eq!(*net.node(1).members(), members);
}
