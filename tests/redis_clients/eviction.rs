//! What clients see when the memory is full.

use crate::process::until;
use crate::support::{Client, Served, encoded};

const VALUE: [u8; 1000] = [b'x'; 1000];

fn set(client: &mut Client, key: &str) -> String {
    client.send(&encoded(&[b"SET", key.as_bytes(), &VALUE]));
    client.answer()
}

#[test]
fn without_eviction_writes_are_refused_until_there_is_room() {
    let served = Served::start(1, "memory_max = \"256KiB\"\ndurability = \"memory\"");
    let mut client = served.connect();
    client.ask("HSET hash field 1");
    let mut count = 0;
    let refused = loop {
        match set(&mut client, &format!("key:{count}")) {
            done if done == "+OK" => count += 1,
            other => break other,
        }
        assert!(count < 1000, "it is bounded");
    };
    assert_eq!(refused, "-OOM command not allowed when used memory > 'maxmemory'.");
    assert!(count > 100);
    // All other ways to write more, too, and nothing of a transaction is done.
    client.send(&encoded(&[b"HSET", b"hash", b"more", &VALUE]));
    assert!(client.answer().starts_with("-OOM "));
    assert_eq!(client.ask("MULTI"), "+OK");
    assert_eq!(client.ask("SET small 1"), "+QUEUED");
    assert_eq!(set(&mut client, "large"), "+QUEUED");
    let answer = client.ask("EXEC");
    assert!(answer.contains("OOM "), "{answer}");
    assert_eq!(client.ask("EXISTS small large"), ":0");
    // Reads go on, and what makes room.
    assert_eq!(client.number("DBSIZE"), count + 1);
    assert_eq!(client.ask("HGET hash field"), "$1|1");
    assert_eq!(client.ask("STRLEN key:0"), ":1000");
    assert_eq!(client.ask("DEL key:0 key:1"), ":2");
    assert_eq!(set(&mut client, "key:0"), "+OK");
}

#[test]
fn with_lru_writes_go_on_and_others_go() {
    let served = Served::start(1, "memory_max = \"256KiB\"\neviction = \"lru\"\ndurability = \"memory\"");
    let mut client = served.connect();
    client.ask("CONFIG SET notify-keyspace-events Ee");
    let mut told = served.connect();
    told.ask("SUBSCRIBE __keyevent@0__:evicted");
    for at in 0..2000 {
        assert_eq!(set(&mut client, &format!("key:{at}")), "+OK");
    }
    let left = client.number("DBSIZE");
    assert!((100..300).contains(&left), "{left} are left");
    assert_eq!(client.ask("EXISTS key:0 key:1999"), ":1");
    for _ in 0..2000 - left {
        let evicted = told.answer();
        assert!(evicted.starts_with("*3|$7|message|$22|__keyevent@0__:evicted|"), "{evicted}");
    }
    let counted = client.ask("INFO stats");
    assert!(counted.contains(&format!("|expired_keys:0|evicted_keys:{}|", 2000 - left)), "{counted}");
    assert_eq!(client.ask("SET brief 1 PX 1"), "+OK");
    until("it is counted", || client.ask("INFO stats").contains("|expired_keys:1|"));
}

/// What the server's clock says, in milliseconds.
fn clock(client: &mut Client) -> u64 {
    let told = client.ask("TIME");
    let parts: Vec<u64> = told.split('|').filter_map(|part| part.parse().ok()).collect();
    let [seconds, micros] = parts[..] else { panic!("{told}") };
    seconds * 1_000 + micros / 1_000
}

#[test]
fn lru_spares_what_is_used() {
    let served = Served::start(1, "memory_max = \"256KiB\"\neviction = \"lru\"\ndurability = \"memory\"");
    let mut client = served.connect();
    let mut count = 0;
    let mut fill = |client: &mut Client, more: u32| {
        for _ in 0..more {
            assert_eq!(set(client, &format!("key:{count}")), "+OK");
            count += 1;
        }
    };
    fill(&mut client, 200);
    assert_eq!(client.ask("EXISTS key:0 key:1 key:2"), ":3");
    for _ in 0..30 {
        // Uses count by the sixteenth millisecond: what was used in the same one is as old.
        let now = clock(&mut client);
        while clock(&mut client) < now + 32 {}
        // Each way of using it counts.
        assert!(client.ask("GET key:0").starts_with("$1000|"), "it was used, and others were not");
        assert_eq!(client.ask("STRLEN key:1"), ":1000");
        assert_eq!(set(&mut client, "key:2"), "+OK");
        fill(&mut client, 20);
    }
    let others: Vec<String> = (3..150).map(|at| format!("key:{at}")).collect();
    let left = client.number(&format!("EXISTS {}", others.join(" ")));
    assert_eq!(left, 0, "of those that nobody used for 600 writes");
}

#[test]
fn what_is_written_anew_has_nothing_evicted() {
    for durability in ["memory", "local"] {
        let settings = format!("memory_max = \"256KiB\"\neviction = \"lru\"\ndurability = \"{durability}\"");
        let served = Served::start(1, &settings);
        let mut client = served.connect();
        for at in 0..50 {
            assert_eq!(set(&mut client, &format!("key:{at}")), "+OK");
        }
        let long = vec![b'y'; 150_000];
        // A hash that comes to most of the memory, one field after the other, which writes it anew each time.
        for at in 0..80 {
            client.send(&encoded(&[b"HSET", b"hash", format!("field:{at}").as_bytes(), &VALUE]));
        }
        for _ in 0..80 {
            assert_eq!(client.answer(), ":1");
        }
        for _ in 0..3 {
            client.ask("HINCRBY hash number 1");
        }
        assert_eq!(client.ask("HLEN hash"), ":81");
        assert_eq!(client.ask("DEL hash"), ":1");
        client.send(&encoded(&[b"SET", b"from", &long]));
        assert_eq!(client.answer(), "+OK");
        assert_eq!(client.ask("RENAME from to"), "+OK");
        assert_eq!(client.ask("SETRANGE to 5 abc"), ":150000");
        assert_eq!(client.ask("APPEND to x"), ":150001");
        assert_eq!(client.ask("RENAME to from"), "+OK");
        for _ in 0..20 {
            client.send(&encoded(&[b"SET", b"from", &long]));
        }
        for _ in 0..20 {
            assert_eq!(client.answer(), "+OK");
        }
        assert_eq!(client.ask("DBSIZE"), ":51");
        let counted = client.ask("INFO stats");
        assert!(counted.contains("|evicted_keys:0|"), "{counted}");
    }
}

#[test]
fn without_eviction_a_key_is_renamed_where_two_do_not_fit() {
    let served = Served::start(1, "memory_max = \"256KiB\"");
    let mut client = served.connect();
    client.send(&encoded(&[b"SET", b"from", &[b'y'; 150_000]]));
    assert_eq!(client.answer(), "+OK");
    assert_eq!(client.ask("RENAME from to"), "+OK");
    assert_eq!(client.ask("RENAMENX to from"), ":1");
    assert!(client.ask("COPY from to").starts_with("-OOM "));
    assert_eq!(client.ask("STRLEN from"), ":150000");
    assert_eq!(client.ask("EXISTS from to"), ":1");
}
