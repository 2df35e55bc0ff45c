//! Handovers that do not end at once: to a node that is gone, or far behind, and called off.

use super::*;

/// Three voters, a handover of which may take so long.
fn three(transfer_timeout: Duration) -> Net {
    let mut net = Net::empty(None);
    for id in 1..=3 {
        net.told.insert(id, Options { transfer_timeout, ..options(None) });
        net.start(id, &begin(3, 0));
    }
    net
}

/// What has come of a call, if anything has; what has come of others is of no interest.
fn came_of(net: &mut Net, id: u64, ticket: Ticket) -> Option<std::result::Result<Answer, Denied>> {
    let mut completions = std::iter::from_fn(|| net.node(id).poll_completion());
    completions.find(|it| it.ticket == ticket).map(|it| it.result)
}

/// Whether a write is taken, and done before long.
fn writes(net: &mut Net, id: u64) -> bool {
    let Ok(ticket) = net.put(id, "key", Level::Quorum) else { return false };
    net.talk();
    matches!(came_of(net, id, ticket), Some(Ok(Answer::Written(_))))
}

#[test]
fn one_to_a_node_that_is_gone_lasts_as_long_as_it_may_and_writes_go_on() {
    let mut net = three(Duration::from_secs(5));
    let primary = net.primary();
    let to = 1 + primary % 3;
    net.stop(to);
    let now = at(net.millis);
    let ticket = net.node(primary).transfer(to, now).unwrap();
    let begun = net.millis;
    assert_eq!(net.put(primary, "key", Level::Quorum), Err(Denied::Busy("a handover")));
    assert_eq!(net.node(primary).transfer(to, now), Err(Denied::Busy("a handover")));
    // The other one is not known to be gone at first: that costs an election's time, and once.
    net.pass(450);
    let mut ended = None;
    let mut refused = 0;
    while ended.is_none() {
        assert!(net.millis < begun + 5_100, "it does not end");
        net.pass(50);
        ended = came_of(&mut net, primary, ticket);
        if ended.is_none() {
            refused += u32::from(!writes(&mut net, primary));
        }
    }
    assert_eq!(ended, Some(Err(Denied::TimedOut)));
    assert!(net.millis >= begun + 5_000, "it ended after {} ms", net.millis - begun);
    assert!(refused <= 2, "{refused} writes were not done");
    assert!(writes(&mut net, primary) && net.node(primary).role() == Role::Primary);
}

#[test]
fn one_to_a_node_that_comes_back_is_done_when_it_has_all_of_the_log() {
    let mut net = three(Duration::from_secs(60));
    let primary = net.primary();
    let to = 1 + primary % 3;
    net.stop(to);
    // Nobody takes it for one that answers any more.
    net.pass(1_000);
    for at_ in 0..300 {
        net.put(primary, &format!("key-{at_}"), Level::Quorum).unwrap();
        net.talk();
    }
    let now = at(net.millis);
    let ticket = net.node(primary).transfer(to, now).unwrap();
    for _ in 0..40 {
        net.pass(50);
        assert!(writes(&mut net, primary), "nothing holds writes up while the other one is gone");
    }
    net.start(to, &Start::default());
    let mut ended = None;
    for _ in 0..200 {
        net.pass(10);
        ended = ended.or_else(|| came_of(&mut net, primary, ticket));
    }
    assert_eq!(ended, Some(Ok(Answer::HandedOver)));
    assert_eq!(net.primary(), to);
    assert!(is_there(net.node(to), "key-299"));
}

#[test]
fn one_that_is_called_off_is_over_and_writes_go_on() {
    let mut net = three(Duration::from_secs(3_600));
    let primary = net.primary();
    let (to, other) = (1 + primary % 3, 1 + (primary + 1) % 3);
    let now = at(net.millis);
    assert_eq!(net.node(primary).abort_transfer(now), Ok(false));
    assert_eq!(net.node(other).abort_transfer(now), Err(Denied::NotPrimary { primary: Some(primary) }));
    // It is told to take over, and does not hear it.
    net.cut = vec![to];
    let ticket = net.node(primary).transfer(to, now).unwrap();
    net.talk();
    assert_eq!(net.put(primary, "key", Level::Quorum), Err(Denied::Busy("a handover")));
    assert_eq!(net.node(primary).abort_transfer(now), Ok(true));
    assert_eq!(net.node(primary).abort_transfer(now), Ok(false));
    let called_off = Error::State { what: "handover", detail: "was called off".into() };
    assert_eq!(came_of(&mut net, primary, ticket), Some(Err(Denied::Refused(called_off))));
    assert!(writes(&mut net, primary), "at once");
    // It has itself elected anew, since in its epoch another one was told to take over: reads at once again.
    net.cut.clear();
    let epoch = net.node(primary).status().epoch;
    assert_eq!(net.primary(), primary);
    let now = at(net.millis).instant;
    assert!(net.node(primary).reign(now).is_some_and(|it| it.0 >= epoch));
    net.pass(1_000);
    assert_eq!(net.primary(), primary);
}

#[test]
fn whoever_waits_for_one_is_told_when_its_node_is_closed() {
    let mut net = three(Duration::from_secs(3_600));
    let primary = net.primary();
    net.stop(1 + primary % 3);
    let now = at(net.millis);
    let ticket = net.node(primary).transfer(1 + primary % 3, now).unwrap();
    net.node(primary).close(now);
    assert!(matches!(came_of(&mut net, primary, ticket), Some(Err(Denied::Refused(Error::State { .. })))));
}

#[test]
fn what_is_to_be_on_all_is_there_before_the_handover() {
    let mut net = three(Duration::from_secs(5));
    let primary = net.primary();
    let to = 1 + primary % 3;
    let write = net.put(primary, "key", Level::All).unwrap();
    let now = at(net.millis);
    net.node(primary).advance(now);
    let ticket = net.node(primary).transfer(to, now).unwrap();
    assert_eq!(net.put(primary, "other", Level::Quorum), Err(Denied::Busy("a handover")));
    net.pass(100);
    let came: Vec<_> = std::iter::from_fn(|| net.node(primary).poll_completion()).collect();
    let of = |ticket| came.iter().find(|it| it.ticket == ticket).map(|it| it.result.clone());
    let Some(Ok(Answer::Written(done))) = of(write) else { panic!("{came:?}") };
    assert_eq!((done.reached.durability, done.reached.is_degraded), (Durability::All, false));
    assert_eq!(of(ticket), Some(Ok(Answer::HandedOver)));
}

#[test]
fn what_is_not_known_to_be_on_all_is_not_answered_as_done_when_the_primary_changes() {
    for level in [Level::All, Level::AtLeast(3)] {
        let mut net = three(Duration::from_secs(5));
        let primary = net.primary();
        let (to, gone) = (1 + primary % 3, 1 + (primary + 1) % 3);
        net.stop(gone);
        let write = net.put(primary, "key", level).unwrap();
        net.talk();
        assert_eq!(came_of(&mut net, primary, write), None);
        let now = at(net.millis);
        let ticket = net.node(primary).transfer(to, now).unwrap();
        net.pass(400);
        let came: Vec<_> = std::iter::from_fn(|| net.node(primary).poll_completion()).collect();
        let of = |ticket| came.iter().find(|it| it.ticket == ticket).map(|it| it.result.clone());
        assert_eq!(of(write), Some(Err(Denied::Unknown)), "{level:?}");
        assert_eq!(of(ticket), Some(Ok(Answer::HandedOver)), "that is not held up by it");
        assert!(is_there(net.node(to), "key"));
        // As before where fewer will do.
        net.node(to).options.degrade_after = Some(Duration::from_secs(60));
        let write = net.put(to, "later", level).unwrap();
        net.talk();
        let now = at(net.millis);
        net.node(to).transfer(primary, now).unwrap();
        net.pass(400);
        let Some(Ok(Answer::Written(done))) = came_of(&mut net, to, write) else { panic!("{level:?}") };
        assert!(done.reached.is_degraded, "{done:?}");
    }
}

#[test]
fn one_that_is_told_to_take_over_while_its_disk_is_at_work_does_so_afterwards() {
    for is_in_time in [true, false] {
        let mut net = three(Duration::from_secs(5));
        let primary = net.primary();
        let to = 1 + primary % 3;
        let epoch = net.node(primary).status().epoch;
        net.put(primary, "key", Level::Quorum).unwrap();
        let now = at(net.millis);
        net.node(primary).advance(now);
        let mut bytes = Vec::new();
        while let Some(id) = net.node(primary).poll_frame(&mut bytes, now) {
            if id == to {
                net.node(to).handle_frame(&bytes, now).unwrap();
            }
        }
        let header = net.node(primary).header(to);
        let mut summons = Vec::new();
        frame::encode(&mut summons, &header, &message(MessageType::MsgTimeoutNow, epoch, 0, 0));
        net.node(to).handle_frame(&summons, now).unwrap();
        assert_eq!(net.node(to).status().epoch, epoch, "it does not ask for votes yet");
        if !is_in_time {
            // Its disk has the entry, and the primary goes on, before it has its turn.
            let later = at(net.millis + 300);
            net.node(to).handle_timeout(later);
        }
        net.pass(100);
        let follows = net.node(primary).status().epoch;
        assert_eq!(follows > epoch, is_in_time, "{follows}");
        assert_eq!(net.primary(), if is_in_time { to } else { primary });
        net.pass(1_000);
        assert!(is_there(net.node(to), "key") && net.faults.is_empty(), "{:?}", net.faults);
    }
}
