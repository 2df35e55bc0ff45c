//! Positions that are lost with a primary, and how old a node knows itself to be.

use super::*;

/// A position that was answered at `quorum`, in a later epoch than the entry that a promoted node has in its place.
#[test]
fn a_position_that_a_promotion_by_force_lost_is_told_to_be_lost() {
    let mut net = Net::new(3, 0, None);
    let old = net.primary();
    net.put(old, "before", Level::All).unwrap();
    net.answer(old).unwrap();
    net.pass(300);
    // The primary is parted from the others, with entries of its own behind.
    net.cut = vec![old];
    for n in 0..6 {
        net.put(old, &format!("local-{n}"), Level::Local).unwrap();
        assert!(matches!(net.answer(old), Ok(Answer::Written(_))));
    }
    net.pass(3_000);
    let others: Vec<u64> = (1..=3).filter(|it| *it != old).collect();
    let now = at(net.millis).instant;
    let new = *others.iter().find(|it| net.nodes[it].1.as_ref().unwrap().holds_lease(now)).expect("elected");
    while net.node(new).poll_completion().is_some() {}
    net.put(new, "answered", Level::Quorum).unwrap();
    let Ok(Answer::Written(done)) = net.answer(new) else { panic!() };
    let token = done.position;
    // Both are lost; the first is promoted by force.
    net.stop(1);
    net.stop(2);
    net.stop(3);
    net.cut = others;
    net.start(old, &Start { is_promoted: true, ..Start::default() });
    net.pass(500);
    let now = at(net.millis);
    let node = net.node(old);
    assert!(!is_there(node, "answered"));
    let ticket = node.read_here(Bound { age: None, token: Some(token) }, Some(now.instant), now).unwrap();
    let done = node.poll_completion().unwrap();
    assert_eq!(done.ticket, ticket);
    assert_eq!(done.result, Err(Denied::Lost));
}

/// Without any promotion by force: what was answered at `local` is lost, and an entry of an *earlier* epoch comes to count in its place.
#[test]
fn a_position_in_whose_place_an_older_entry_counts_is_told_to_be_lost() {
    let mut net = Net::new(3, 0, None);
    let a = net.primary();
    net.put(a, "before", Level::All).unwrap();
    net.answer(a).unwrap();
    net.pass(300);
    net.cut = vec![a];
    for n in 0..6 {
        net.put(a, &format!("local-{n}"), Level::Local).unwrap();
        assert!(matches!(net.answer(a), Ok(Answer::Written(_))));
    }
    // The others elect one, whose first entry does not leave.
    let others: Vec<u64> = (1..=3).filter(|it| *it != a).collect();
    let mut b = 0;
    'electing: for _ in 0..500 {
        net.millis += 10;
        let now = at(net.millis);
        for (_, node) in net.nodes.values_mut() {
            node.as_mut().unwrap().handle_timeout(now);
        }
        let mut frames = VecDeque::new();
        loop {
            for id in [1, 2, 3] {
                let (disk, node) = net.nodes.get_mut(&id).unwrap();
                let said = settle(node.as_mut().unwrap(), disk, now);
                frames.extend(said.into_iter().map(|(to, bytes)| (id, to, bytes)));
                if let Some(id) =
                    others.iter().find(|it| net.nodes[it].1.as_ref().unwrap().role() == Role::Primary)
                {
                    b = *id;
                    break 'electing;
                }
            }
            let Some((from, to, bytes)) = frames.pop_front() else { break };
            if from != a && to != a {
                net.node(to).handle_frame(&bytes, now).unwrap();
                if net.node(to).role() == Role::Primary {
                    b = to;
                    break 'electing;
                }
            }
        }
    }
    assert_ne!(b, 0);
    let c = *others.iter().find(|it| **it != b).unwrap();
    net.cut = vec![a, b];
    net.put(b, "answered", Level::Local).unwrap();
    net.talk();
    let done = std::iter::from_fn(|| net.node(b).poll_completion()).find_map(|it| match it.result {
        Ok(Answer::Written(done)) => Some(done),
        _ => None,
    });
    let token = done.expect("it is answered at local").position;
    net.stop(b);
    net.cut = vec![b];
    net.pass(3_000);
    for id in [a, c] {
        let now = at(net.millis);
        let node = net.node(id);
        assert!(!is_there(node, "answered"));
        while node.poll_completion().is_some() {}
        node.read_here(Bound { age: None, token: Some(token) }, Some(now.instant), now).unwrap();
        let done = node.poll_completion().unwrap();
        assert_eq!(done.result, Err(Denied::Lost));
    }
}

/// Lets all talk; the clock of each is so far ahead.
fn talk_apart(net: &mut Net, ahead: &BTreeMap<u64, u64>) {
    let mut frames = VecDeque::new();
    loop {
        for (id, (disk, node)) in &mut net.nodes {
            if let Some(node) = node {
                let now = at(net.millis + ahead.get(id).copied().unwrap_or(0));
                let said = settle(node, disk, now);
                frames.extend(said.into_iter().map(|(to, bytes)| (*id, to, bytes)));
            }
        }
        let Some((_, to, bytes)) = frames.pop_front() else { return };
        let now = at(net.millis + ahead.get(&to).copied().unwrap_or(0));
        if let Some((_, Some(node))) = net.nodes.get_mut(&to) {
            let _ = node.handle_frame(&bytes, now);
        }
    }
}

fn pass_apart(net: &mut Net, millis: u64, ahead: &BTreeMap<u64, u64>) {
    for _ in 0..millis / 10 {
        net.millis += 10;
        for (id, (_, node)) in &mut net.nodes {
            if let Some(node) = node {
                node.handle_timeout(at(net.millis + ahead.get(id).copied().unwrap_or(0)));
            }
        }
        talk_apart(net, ahead);
    }
}

/// A machine that is started anew counts from 0 again.
#[test]
fn a_replica_whose_machine_was_started_anew_knows_how_old_it_is() {
    for learner in [false, true] {
        let mut net = if learner { Net::new(2, 1, None) } else { Net::new(3, 0, None) };
        let day = 86_400_000;
        let mut ahead: BTreeMap<u64, u64> = BTreeMap::new();
        let replica = 3;
        // It is opened anew below on a clock that is a day ahead, as if it had run so long.
        net.stop(replica);
        ahead.insert(replica, day);
        let now = at(net.millis + day);
        let (disk, node) = net.nodes.get_mut(&replica).unwrap();
        *node = Some(open(disk, replica, &begin(if learner { 2 } else { 3 }, u64::from(learner)), None, now));
        pass_apart(&mut net, 5_000, &ahead);
        let age =
            |net: &mut Net, now: u64| net.node(3).fresh_since().map(|it| at(now).instant.duration_since(it));
        if net.node(3).role() == Role::Primary {
            continue;
        }
        // Its machine is started anew.
        net.stop(replica);
        ahead.clear();
        net.start(replica, &Start::default());
        pass_apart(&mut net, 60_000, &ahead);
        let now = net.millis;
        let age = age(&mut net, now);
        assert!(age.is_some_and(|it| it < Duration::from_secs(1)), "learner {learner}: {age:?}");
    }
}
