//! What is bounded, and what waits.

use super::*;

#[test]
fn who_does_not_read_is_not_listened_to_and_then_cut() {
    let options = Options { output_pause: 50, output_max: 100, messages_max: 100, ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 2);
    let long = "x".repeat(40);
    world.send(0, &format!("ECHO {long}\nECHO {long}\nECHO {long}"));
    assert_eq!(world.connections[0].output().len(), 2 * 47, "the third is not taken");
    assert!(!world.connections[0].wants_bytes(&world.hub));
    world.told(0);
    world.advance(0);
    assert_eq!(world.told(0), format!("$40 {long}"));
    world.ask(0, "SUBSCRIBE c");
    world.send(1, &format!("PUBLISH c {long}\nPUBLISH c {long}"));
    world.deliver();
    assert!(world.connections[0].is_cut() && world.connections[0].is_finished());
    assert_eq!(world.hub.counters().slow_readers, 1);
    assert!(world.connections[0].output().is_empty());
    assert_eq!(world.told(1), ":1 :1");
    // One answer that is too long.
    world.ask(1, &format!("SET a {long}"));
    world.send(1, "MGET a a a a a a a");
    assert!(world.connections[1].is_cut());
}

/// A balancer's connection is that of several clients: what is too long for one of them is no reason to cut it.
#[test]
fn who_asks_for_several_is_told_that_an_answer_is_too_long() {
    let options = Options { output_pause: 50, output_max: 100, messages_max: 100, ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 2);
    let long = "x".repeat(40);
    world.ask(1, &format!("SET a {long}\nHSET h f v"));
    assert_eq!(world.ask(0, "TRIMTAB BOUND 0"), "+OK");
    let too_long = "-TOOLONG this answer has more than 100 bytes";
    for line in
        ["MGET a a a", "HRANDFIELD h -1000000000000", "HRANDFIELD h -1000000000000 WITHVALUES", "KEYS *"]
    {
        if line == "KEYS *" {
            world.ask(1, &(0..20).map(|at| format!("SET key{at} 1\n")).collect::<String>());
        }
        assert_eq!(world.ask(0, &format!("{line}\nGET a")), format!("{too_long} $40 {long}"), "{line}");
    }
    // What is not read yet of others does not count, and a transaction is not done.
    assert_eq!(
        world.ask(0, "GET a\nMGET a a\nMULTI\nSET b 1\nGET a\nGET a\nGET a\nEXEC\nEXISTS b"),
        format!("$40 {long} *2 $40 {long} $40 {long}"),
    );
    world.advance(0);
    assert_eq!(world.told(0), format!("+OK +QUEUED +QUEUED +QUEUED +QUEUED {too_long}"));
    world.advance(0);
    assert_eq!(world.told(0), ":0");
    assert_eq!(world.hub.counters().slow_readers, 0);
    // One that speaks for itself is cut, and nothing is made up that is not told.
    world.send(1, "HRANDFIELD h -1000000000000");
    assert!(world.connections[1].is_cut());
    assert_eq!(world.hub.counters().slow_readers, 1);
}

/// A transaction publishes all it has before any of it is delivered.
#[test]
fn what_is_published_at_once_is_bounded() {
    let options = Options { messages_max: 1_000, ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 3);
    world.ask(0, &(1..=20).map(|stars| format!("PSUBSCRIBE {}\n", "*".repeat(stars))).collect::<String>());
    world.ask(1, "SUBSCRIBE c");
    let requests = "PUBLISH c x\n".repeat(20);
    world.send(2, &format!("MULTI\n{requests}EXEC"));
    assert!(world.told(2).ends_with(":21 :21"), "all that had subscribed are counted");
    assert!(!world.hub.is_crowded());
    let mut left = 0;
    while let Some((id, message)) = world.hub.poll_delivery() {
        left += 1;
        let to = world.connections.iter_mut().find(|connection| connection.id() == id).unwrap();
        to.handle_message(&message, &mut world.hub);
    }
    assert_eq!(left, 1 + 20, "nothing is kept for who is cut");
    assert!(world.connections[0].is_cut() && !world.connections[1].is_cut());
    assert_eq!(world.hub.counters().slow_readers, 1);
    assert_eq!(world.told(1).matches("message").count(), 20);
    let gone = world.connections.remove(0);
    gone.close(&mut world.hub);
    assert_eq!(world.ask(1, "PUBLISH c y"), ":1");
}

/// More has happened than the history keeps: whoever has missed something is cut, and nobody else.
#[test]
fn who_has_missed_notifications_is_cut() {
    let mut world = World::new(HubOptions::default(), Options::default(), 8);
    world.ask(7, "CONFIG SET notify-keyspace-events KEA");
    let listeners =
        ["SUBSCRIBE a __keyevent@0__:set", "PSUBSCRIBE __key*", "PSUBSCRIBE *", "PSUBSCRIBE [_]*"];
    let others = ["SUBSCRIBE __keyspace", "PSUBSCRIBE a*", "PING"];
    for (at, request) in listeners.iter().chain(&others).enumerate() {
        world.ask(at, request);
    }
    let value = "v".repeat(64 << 10);
    world.ask(7, "SET first 1");
    world.deliver();
    assert!(world.told(0).ends_with("first"));
    world.send(7, &format!("SET key {value}\n").repeat(300));
    while world.apply() {}
    let view = world.store.view();
    world.hub.handle_view(&view);
    let mut cut: Vec<u64> = std::iter::from_fn(|| world.hub.poll_killed()).collect();
    cut.sort_unstable();
    let meant: Vec<u64> = world.connections[..listeners.len()].iter().map(Connection::id).collect();
    assert_eq!(cut, meant);
    assert_eq!(world.hub.counters().left_out, 4);
}

/// A gap is of those who listened when it came about; who begins behind it hears all that happens from then on.
#[test]
fn who_subscribes_behind_a_gap_is_not_cut_for_it() {
    let mut world = World::new(HubOptions::default(), Options::default(), 3);
    world.ask(2, "CONFIG SET notify-keyspace-events EA");
    world.ask(0, "PSUBSCRIBE __key*");
    let put = format!("SET key {}\n", "v".repeat(64 << 10));
    world.send(2, &put.repeat(300));
    while world.apply() {}
    let view = world.store.view();
    world.hub.handle_view(&view);
    assert_eq!(std::iter::from_fn(|| world.hub.poll_killed()).count(), 1);
    world.ask(1, "PSUBSCRIBE __key*");
    world.told(1);
    // Almost a history more, and all of it is told.
    for _ in 0..100 {
        world.send(2, &put);
        while world.apply() {}
    }
    world.deliver();
    assert_eq!(world.hub.poll_killed(), None);
    assert_eq!((world.hub.counters().left_out, world.told(1).matches("pmessage").count()), (1, 100));
    // More than one: it has missed some.
    world.send(2, &put.repeat(300));
    while world.apply() {}
    let view = world.store.view();
    world.hub.handle_view(&view);
    let late = world.connections[1].id();
    assert!(std::iter::from_fn(|| world.hub.poll_killed()).any(|it| it == late));
}

/// However many events there are, and subscribers to them, no more of them waits than may.
#[test]
fn what_has_happened_is_told_a_part_at_a_time() {
    let hub_options = HubOptions { deliveries_max: 10, ..HubOptions::default() };
    let mut world = World::new(hub_options, Options::default(), 2);
    world.ask(1, "CONFIG SET notify-keyspace-events KEA");
    world.ask(0, &(1..=8).map(|stars| format!("PSUBSCRIBE {}\n", "*".repeat(stars))).collect::<String>());
    world.ask(1, &(0..30).map(|at| format!("SET key{at} 1\n")).collect::<String>());
    let view = world.store.view();
    let mut calls = 0;
    loop {
        let has_more = world.hub.handle_view(&view);
        let mut waited = 0;
        while let Some((_, message)) = world.hub.poll_delivery() {
            waited += 1;
            world.connections[0].handle_message(&message, &mut world.hub);
        }
        // One event more, of two channels.
        assert!(waited <= 10 + 16, "{waited}");
        calls += 1;
        if !has_more {
            break;
        }
    }
    assert!(calls >= 30);
    assert_eq!(world.told(0).matches("pmessage").count(), 30 * 2 * 8);
}

#[test]
fn strangers_log_in_first() {
    let hub_options = HubOptions { password: Some(b"secret".to_vec()), ..HubOptions::default() };
    let mut world = World::new(hub_options, Options::default(), 2);
    let noauth = "-NOAUTH Authentication required.";
    assert_eq!(
        world.ask(0, "GET a\nNOPE"),
        format!("{noauth} -ERR unknown command 'NOPE', with args beginning with:")
    );
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(world.ask(0, "AUTH secre\nAUTH secrets\nAUTH other secret"), [wrong; 3].join(" "));
    assert!(world.ask(0, "HELLO 3").starts_with("-NOAUTH HELLO must be called"));
    assert_eq!(world.ask(0, "AUTH secret\nGET a\nRESET\nGET a"), format!("+OK $-1 +RESET {noauth}"));
    assert!(world.ask(1, "HELLO 3 AUTH default secret SETNAME me").starts_with("%7 $6 server"));
    assert_eq!(world.ask(1, "CLIENT GETNAME"), "$2 me");
    // Ten arguments at most from a stranger.
    assert_eq!(world.ask(0, "*11"), "-ERR Protocol error: unauthenticated multibulk length");
    assert!(world.connections[0].is_finished() && !world.connections[0].is_cut());
}

#[test]
fn waiting_ends_when_it_is_done_or_too_late() {
    let mut world = World::plain(1);
    assert_eq!(world.ask(0, "SET a 1\nWAITAOF 1 0 0\nPING"), "+OK");
    world.store.durable = 1;
    world.advance(0);
    assert_eq!(world.told(0), "*2 :1 :0 +PONG");
    world.send(0, "WAIT 1 100");
    assert_eq!(world.connections[0].next_deadline(), Some(world.now.saturating_add(100)));
    world.now = world.now.saturating_add(99);
    world.advance(0);
    assert_eq!(world.told(0), "");
    world.now = world.now.saturating_add(1);
    let World { connections, hub, store, now, .. } = &mut world;
    connections[0].handle_timeout(hub, store, *now);
    assert_eq!(world.told(0), ":0");
    world.store.replicas = 2;
    assert_eq!(world.ask(0, "WAIT 1 0"), ":2");
}

#[test]
fn a_scan_tells_each_key_once() {
    let mut world = World::plain(1);
    let keys: String = (0..25).map(|at| format!("SET key{at:02} 1\n")).collect();
    world.ask(0, &keys);
    world.ask(0, "HSET key00 f v\nDEL key00\nHSET hash f v");
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let told = world.ask(0, &format!("SCAN {cursor} COUNT 7 MATCH key* TYPE string"));
        let words: Vec<&str> = told.split(' ').collect();
        cursor = words[2].to_owned();
        found.extend(words[4..].chunks(2).map(|pair| pair[1].to_owned()));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, (1..25).map(|at| format!("key{at:02}")).collect::<Vec<_>>());
    assert!(world.ask(0, "SCAN 999").starts_with("-ERR this scan is forgotten"));
}

#[test]
fn requests_in_pieces_are_answered_as_whole_ones() {
    let bytes = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\nxyz\r\nGET a\r\n*1\r\n$4\r\nQUIT\r\nPING\r\n";
    let mut world = World::plain(1);
    for byte in bytes {
        world.connections[0].handle_bytes(&[*byte]);
        world.advance(0);
        while world.apply() {}
    }
    assert_eq!(world.told(0), "+OK $3 xyz +OK");
    assert!(world.connections[0].is_finished());
}

#[test]
fn a_request_of_http_is_cut_without_a_word() {
    let mut world = World::plain(2);
    world.send(0, "SET a 1\nPOST / HTTP/1.1\nHost: x\nSET pwned yes");
    while world.apply() {}
    assert!(world.connections[0].is_cut() && world.connections[0].output().is_empty());
    assert!(!world.connections[0].may_send_on());
    let counters = world.hub.counters();
    assert_eq!((counters.protocol_errors, counters.slow_readers), (1, 0));
    assert_eq!(world.ask(1, "MGET a pwned"), "*2 $1 1 $-1");
}

#[test]
fn who_is_closed_for_what_it_sent_may_send_on_and_nobody_else() {
    let mut world = World::plain(2);
    world.connections[0].handle_bytes(b"*1\r\n$4\r\nPING\r\n*1\r\n$16777217\r\n");
    world.advance(0);
    world.send(1, "QUIT");
    assert!([0, 1].iter().all(|at| world.connections[*at].is_finished()));
    assert!(world.connections[0].may_send_on() && !world.connections[1].may_send_on());
    // What it sends is not kept.
    world.connections[0].handle_bytes(&[b'v'; 100_000]);
    world.advance(0);
    assert!(!world.connections[0].wants_bytes(&world.hub) && !world.connections[0].has_requests(&world.hub));
    assert!(world.told(0).starts_with("+PONG -ERR Protocol error: invalid bulk length: an argument has"));
}

/// As Redis does it, whatever the byte is.
#[test]
fn a_byte_that_is_wrong_is_sent_back_as_it_is() {
    for byte in [b'x', 0x80, 0xff] {
        let mut world = World::plain(1);
        world.connections[0].handle_bytes(&[b"*1\r\n", &[byte][..], b"\r\n"].concat());
        world.advance(0);
        let expected = [b"-ERR Protocol error: expected '$', got '", &[byte][..], b"'\r\n"].concat();
        assert_eq!(world.connections[0].output(), expected);
    }
}

/// What is read bit by bit stays where it is, and counts for no more than what is left of it.
#[test]
fn what_is_sent_in_parts_is_not_moved() {
    let options = Options { output_pause: 50, output_max: 150, messages_max: 120, ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 2);
    let long = "x".repeat(40);
    world.send(0, &format!("SUBSCRIBE c\nPING {long}"));
    let mut expected = world.connections[0].output().to_vec();
    world.connections[0].consume_output(1);
    let first = world.connections[0].output().as_ptr();
    let mut read = expected[..1].to_vec();
    // More comes behind it, up to the bound.
    for round in 0..3 {
        world.ask(1, &format!("PUBLISH c {round}"));
        world.deliver();
        expected.extend_from_slice(format!("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n{round}\r\n").as_bytes());
        let connection = &mut world.connections[0];
        read.extend_from_slice(&connection.output()[..30]);
        connection.consume_output(30);
        if round == 0 {
            assert_eq!(connection.output().as_ptr(), first.wrapping_add(30), "it is where it was");
        }
        assert!(!connection.is_cut() && !connection.wants_bytes(&world.hub));
    }
    while !world.connections[0].output().is_empty() {
        read.push(world.connections[0].output()[0]);
        world.connections[0].consume_output(1);
    }
    assert_eq!(String::from_utf8(read), String::from_utf8(expected));
    assert!(world.connections[0].wants_bytes(&world.hub));
    // What is left of the first part counts.
    world.send(0, &format!("PING {long}"));
    world.connections[0].consume_output(1);
    for _ in 0..3 {
        assert!(!world.connections[0].is_cut());
        world.ask(1, "PUBLISH c x");
        world.deliver();
    }
    assert!(world.connections[0].is_cut());
}
