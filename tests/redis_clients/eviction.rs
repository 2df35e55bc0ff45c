//! What clients see when the memory is full.

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
}
