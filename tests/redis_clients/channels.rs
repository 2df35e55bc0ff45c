//! Messages of channels, and notifications of what happens to keys.

use trimtab::embedded::Call;

use crate::process::until;
use crate::support::Served;

#[test]
fn keys_tell_what_happens_to_them_whoever_does_it() {
    let served = Served::start(1, "");
    let mut subscriber = served.connect();
    assert_eq!(subscriber.ask("CONFIG SET notify-keyspace-events KEA"), "+OK");
    subscriber.ask("PSUBSCRIBE __key*@0__:*");
    let mut writer = served.connect();
    writer.ask("SET a 1");
    let told = |event: &str, key: &str| {
        [
            format!(
                "*4|$8|pmessage|$12|__key*@0__:*|${}|__keyspace@0__:{key}|${}|{event}",
                15 + key.len(),
                event.len()
            ),
            format!(
                "*4|$8|pmessage|$12|__key*@0__:*|${}|__keyevent@0__:{event}|${}|{key}",
                15 + event.len(),
                key.len()
            ),
        ]
    };
    assert_eq!([subscriber.answer(), subscriber.answer()], told("set", "a"));
    writer.ask("DEL a");
    assert_eq!([subscriber.answer(), subscriber.answer()], told("del", "a"));
    served.server.store().unwrap().put(b"own", b"1", &Call::default()).unwrap();
    assert_eq!([subscriber.answer(), subscriber.answer()], told("set", "own"));
    writer.ask("SET brief 1 PX 20");
    assert_eq!([subscriber.answer(), subscriber.answer()], told("set", "brief"));
    assert_eq!([subscriber.answer(), subscriber.answer()], told("expired", "brief"));
}

/// Clients that the system gives to loops as it likes: all that is published comes to all, and is counted once.
#[test]
fn messages_come_to_all_loops_and_are_counted() {
    let served = Served::start(4, "");
    let mut subscribers: Vec<_> = (0..24).map(|_| served.connect()).collect();
    let mut ids: Vec<i64> = subscribers.iter_mut().map(|client| client.number("CLIENT ID")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 24, "each has a number of its own");
    for (at, client) in subscribers.iter_mut().enumerate() {
        match at % 2 {
            0 => client.ask("SUBSCRIBE news"),
            _ => client.ask("PSUBSCRIBE n*"),
        };
    }
    let mut publishers: Vec<_> = (0..6).map(|_| served.connect()).collect();
    for (at, publisher) in publishers.iter_mut().enumerate() {
        assert_eq!(publisher.number(&format!("PUBLISH news {at}")), 24);
        assert_eq!(publisher.ask("PUBSUB NUMSUB news"), "*2|$4|news|:12");
        assert_eq!(publisher.ask("PUBSUB CHANNELS"), "*1|$4|news");
        assert_eq!(publisher.ask("PUBSUB NUMPAT"), ":1");
        // Who has said nothing yet may not be counted.
        until("all are counted", || publisher.ask("INFO clients").contains("connected_clients:30"));
    }
    for (at, client) in subscribers.iter_mut().enumerate() {
        for number in 0..6 {
            let expected = match at % 2 {
                0 => format!("*3|$7|message|$4|news|$1|{number}"),
                _ => format!("*4|$8|pmessage|$2|n*|$4|news|$1|{number}"),
            };
            assert_eq!(client.answer(), expected);
        }
    }
    // Who has gone is not counted any more.
    subscribers.truncate(5);
    until("the others have gone", || served.status().clients.unwrap().present == 11);
    assert_eq!(publishers[0].number("PUBLISH news x"), 5);
    assert_eq!(publishers[0].ask("CONFIG SET notify-keyspace-events E$"), "+OK");
    let mut listeners: Vec<_> = (0..12).map(|_| served.connect()).collect();
    for client in &mut listeners {
        client.ask("SUBSCRIBE __keyevent@0__:set");
        assert_eq!(
            publishers[1].ask("CONFIG GET notify-keyspace-events"),
            "*2|$22|notify-keyspace-events|$2|$E"
        );
    }
    publishers[2].ask("SET a 1");
    for client in &mut listeners {
        assert_eq!(client.answer(), "*3|$7|message|$18|__keyevent@0__:set|$1|a");
    }
}

#[test]
fn resetstat_is_about_what_all_loops_have_counted() {
    let served = Served::start(4, "");
    let mut clients: Vec<_> = (0..12).map(|_| served.connect()).collect();
    for client in &mut clients {
        (0..10).for_each(|_| assert_eq!(client.ask("GET nokey"), "$-1"));
    }
    // What a loop has counted is seen by others once its turn is over.
    until("all are counted", || clients[0].ask("INFO stats").contains("keyspace_misses:120|"));
    assert_eq!(clients[0].ask("CONFIG RESETSTAT"), "+OK");
    for client in &mut clients {
        let told = client.ask("INFO stats");
        assert!(
            told.contains("keyspace_misses:0|") && told.contains("total_connections_received:0|"),
            "{told}"
        );
    }
    assert_eq!(clients[1].ask("GET nokey"), "$-1");
    until("it is counted", || clients[2].ask("INFO stats").contains("keyspace_misses:1|"));
    assert!(served.status().clients.unwrap().commands > 120, "the server's own counters go on");
}

/// More than are looked at between two looks at who has subscribed.
#[test]
fn many_patterns_are_all_seen_by_all_loops() {
    let served = Served::start(4, "");
    let mut subscriber = served.connect();
    for at in 0..600 {
        subscriber.ask(&format!("SUBSCRIBE c{at}"));
        subscriber.ask(&format!("PSUBSCRIBE c{at}*"));
    }
    for _ in 0..8 {
        let mut publisher = served.connect();
        assert_eq!(publisher.ask("PUBSUB NUMPAT"), ":600");
        assert_eq!(publisher.ask("PUBSUB NUMSUB c0 c599 d"), "*6|$2|c0|:1|$4|c599|:1|$1|d|:0");
        assert!(publisher.ask("PUBSUB CHANNELS c59?").starts_with("*10|$4|c590|$4|c591|"));
        assert!(publisher.ask("INFO stats").contains("pubsub_channels:600|pubsub_patterns:600"));
        assert_eq!(publisher.number("PUBLISH c599 x"), 4);
        assert_eq!(subscriber.answer(), "*3|$7|message|$4|c599|$1|x");
        for pattern in ["c5*", "c59*", "c599*"] {
            let head = format!("*4|$8|pmessage|${}|{pattern}|", pattern.len());
            assert_eq!(subscriber.answer(), format!("{head}$4|c599|$1|x"));
        }
    }
}
