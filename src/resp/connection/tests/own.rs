//! Writes that are answered before they are applied, as in a cluster whose durability is less than a quorum's.

use super::*;

/// One client of a node in a cluster, whose `SET own 1` has been answered, and is not applied.
fn early() -> World {
    let mut world = World::plain(2);
    world.store.epoch = 3;
    world.send(0, "SET own 1");
    let done = Done {
        outcome: index::Outcome {
            sequence: 1,
            is_repeated: false,
            answer: Ok(Answer::Put { previous: None }),
        },
        epoch: 3,
    };
    world.connections[0].handle_completion(Ticket(1), Ok(done), &mut world.hub, &mut world.store, world.now);
    assert_eq!(world.told(0), "+OK");
    world
}

#[test]
fn a_client_sees_what_was_answered_to_it_early() {
    for (read, seen) in [
        ("GET own", "$1 1"),
        ("EXISTS own", ":1"),
        ("SCAN 0", "*2 $1 0 *1 $3 own"),
        ("DBSIZE", ":1"),
        ("GETEX own", "$1 1"),
        ("SET own 2 NX GET", "$1 1"),
        ("MULTI\nGET own\nEXEC", "+OK +QUEUED *1 $1 1"),
        ("WATCH own\nMULTI\nGET own\nEXEC", "+OK +OK +QUEUED *1 $1 1"),
        ("TRIMTAB POSITION\nGET own", "*2 :3 :1 $1 1"),
    ] {
        let mut world = early();
        world.send(0, read);
        assert!(world.connections[0].waits_for_log(), "{read}");
        // Others have not been told of it.
        assert_eq!(world.ask_at_once(1, "GET own"), "$-1");
        assert!(world.apply(), "{read}");
        world.advance(0);
        assert_eq!(world.told(0), seen, "{read}");
    }
    // What was watched before it was written is touched by it.
    let mut world = World::plain(1);
    world.store.epoch = 3;
    assert_eq!(world.ask(0, "WATCH own"), "+OK");
    world.send(0, "SET own 1");
    let outcome =
        index::Outcome { sequence: 1, is_repeated: false, answer: Ok(Answer::Put { previous: None }) };
    let done = Ok(Done { outcome, epoch: 3 });
    world.connections[0].handle_completion(Ticket(1), done, &mut world.hub, &mut world.store, world.now);
    world.send(0, "MULTI\nGET own\nEXEC");
    world.apply();
    world.advance(0);
    assert_eq!(world.told(0), "+OK +OK +QUEUED *-1");
}

#[test]
fn what_does_not_come_or_is_lost_is_not_waited_for_without_end() {
    const STALE: &str = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    let mut world = early();
    world.send(0, "GET own");
    world.now = world.now.saturating_add(2_999);
    world.advance(0);
    assert_eq!(world.told(0), "");
    world.now = world.now.saturating_add(1);
    world.advance(0);
    assert_eq!(world.told(0), STALE);
    // The primary is asked where there is one.
    world.store.has_primary = true;
    world.send(0, "GET own");
    world.now = world.now.saturating_add(3_000);
    world.advance(0);
    let (ticket, errand, position) = world.store.asked.pop_front().expect("it was asked");
    assert!(errand.is_some() && position == Some(Position { epoch: 3, sequence: 1 }));
    let told = Told { position: Position { epoch: 3, sequence: 1 }, answer: Some(b"$1\r\n1\r\n".to_vec()) };
    world.connections[0].take_told(ticket, Ok(told), &mut world.hub, &mut world.store, world.now);
    world.advance(0);
    assert_eq!(world.told(0), "$1 1");
    // What is lost is not waited for, and what others have is seen.
    world.store.is_lost = true;
    assert_eq!(world.ask_at_once(0, "GET own\nEXISTS own"), "$-1 :0");
}
