//! What `[store]` says beyond where it is: the longest value, and notifications from the start.

use crate::support::{Served, encoded};

#[test]
fn the_longest_value_is_the_longest_argument() {
    let served = Served::start(1, "value_max = \"20MiB\"");
    let mut client = served.connect();
    assert_eq!(client.ask("CONFIG GET proto-max-bulk-len"), "*2|$18|proto-max-bulk-len|$8|20971520");
    // More than the 16 MiB of one that says nothing.
    client.send(&encoded(&[b"SET", b"key", &vec![b'v'; 20 << 20]]));
    assert_eq!(client.answer(), "+OK");
    assert_eq!(client.ask("STRLEN key"), format!(":{}", 20 << 20));
    client.send(format!("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n${}\r\n", (20 << 20) + 1).as_bytes());
    let refused = "-ERR Protocol error: invalid bulk length: an argument has at most";
    assert_eq!(client.answer(), format!("{refused} 20971520 bytes (value_max)"));
    assert!(client.is_ended());

    let served = Served::start(1, "value_max = \"100KiB\"");
    let mut client = served.connect();
    client.send(&encoded(&[b"SET", b"key", &vec![b'v'; 100 << 10]]));
    assert_eq!(client.answer(), "+OK");
    client.send(format!("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n${}\r\n", (100 << 10) + 1).as_bytes());
    assert_eq!(client.answer(), format!("{refused} 102400 bytes (value_max)"));

    // Keys may be longer than values: what is too long as a value alone is refused by the store.
    let served = Served::start(1, "value_max = 8");
    let mut client = served.connect();
    assert_eq!(client.ask("SET a-key-that-is-longer 12345678"), "+OK");
    let refused = client.ask("SET key 123456789");
    assert!(refused.starts_with("-ERR string exceeds maximum allowed size"), "{refused}");
    assert_eq!(client.ask("PING"), "+PONG");
}

#[test]
fn notifications_are_on_from_the_start() {
    let served = Served::start(2, "notify = \"KEA\"");
    let mut writer = served.connect();
    // Before anybody listens: it is told to nobody.
    assert_eq!(writer.ask("SET before 1"), "+OK");
    let mut subscribers: Vec<_> = (0..6).map(|_| served.connect()).collect();
    for subscriber in &mut subscribers {
        assert_eq!(
            subscriber.ask("CONFIG GET notify-keyspace-events"),
            "*2|$22|notify-keyspace-events|$3|AKE"
        );
        subscriber.ask("SUBSCRIBE __keyevent@0__:set");
    }
    assert_eq!(writer.ask("SET after 1"), "+OK");
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.answer(), "*3|$7|message|$18|__keyevent@0__:set|$5|after");
    }
    assert_eq!(writer.ask("CONFIG SET notify-keyspace-events Kx"), "+OK");
    assert_eq!(writer.ask("CONFIG GET notify-keyspace-events"), "*2|$22|notify-keyspace-events|$2|xK");
}
