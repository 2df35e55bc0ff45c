//! The `redis` crate, as it is.

use std::time::Duration;

use redis::{Commands, Connection, RedisResult};

use crate::support::Served;

fn connect(served: &Served, protocol: &str) -> Connection {
    let client = redis::Client::open(format!("redis://{}/{protocol}", served.address())).unwrap();
    let connection = client.get_connection().unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection
}

#[test]
fn the_redis_crate_in_both_protocols() {
    for protocol in ["", "?protocol=resp3"] {
        let served = Served::start(2, "durability = \"memory\"");
        let mut connection = connect(&served, protocol);
        let _: () = connection.set("key", "value").unwrap();
        assert_eq!(connection.get::<_, String>("key").unwrap(), "value");
        assert_eq!(connection.get::<_, Option<String>>("none").unwrap(), None);
        let _: () = connection.hset_multiple("hash", &[("a", 1), ("b", 2)]).unwrap();
        let pairs: Vec<(String, i64)> = connection.hgetall("hash").unwrap();
        assert_eq!(pairs, [("a".to_string(), 1), ("b".to_string(), 2)]);
        let _: () = connection.set_ex("brief", 1, 100).unwrap();
        assert!((1..=100).contains(&connection.ttl::<_, i64>("brief").unwrap()));
        let mut keys: Vec<String> = connection.scan::<String>().unwrap().map(Result::unwrap).collect();
        keys.sort();
        assert_eq!(keys, ["brief", "hash", "key"]);

        let mut pipe = redis::pipe();
        for _ in 0..500 {
            pipe.incr("count", 2);
        }
        let sums: Vec<i64> = pipe.query(&mut connection).unwrap();
        assert_eq!(sums, (1..=500).map(|sum| 2 * sum).collect::<Vec<_>>());

        let wrong: RedisResult<i64> = connection.incr("hash", 1);
        let wrong = wrong.unwrap_err();
        assert_eq!(wrong.code(), Some("WRONGTYPE"), "{wrong}");
        let text: String = redis::cmd("INFO").arg("server").query(&mut connection).unwrap();
        assert!(text.contains("redis_version:7."), "{text}");
    }
}

#[test]
fn its_transactions_are_made_anew_when_a_watched_key_changes() {
    let served = Served::start(2, "durability = \"memory\"");
    let (mut one, mut other) = (connect(&served, ""), connect(&served, ""));
    let _: () = one.set("balance", 10).unwrap();
    let mut attempts = 0;
    let (sum,): (i64,) = redis::transaction(&mut one, &["balance"], |connection, pipe| {
        attempts += 1;
        let before: i64 = connection.get("balance")?;
        if attempts == 1 {
            let _: () = other.set("balance", 20)?;
        }
        pipe.set("balance", before + 1).ignore().get("balance").query(connection)
    })
    .unwrap();
    assert_eq!((sum, attempts), (21, 2));
}

#[test]
fn its_subscribers_are_told() {
    let served = Served::start(2, "");
    let (mut one, mut other) = (connect(&served, ""), connect(&served, ""));
    let mut subscriber = one.as_pubsub();
    subscriber.subscribe("news").unwrap();
    subscriber.psubscribe("n*").unwrap();
    assert_eq!(other.publish::<_, _, i64>("news", "hello").unwrap(), 2);
    for pattern in [None, Some("n*".to_string())] {
        let message = subscriber.get_message().unwrap();
        assert_eq!(message.get_channel_name(), "news");
        assert_eq!(message.get_payload::<String>().unwrap(), "hello");
        assert_eq!(message.get_pattern::<Option<String>>().unwrap(), pattern);
    }
}
