//! Keys of the longest length, and of one byte more.

use super::*;
use crate::store::index::KEY_MAX;

const REFUSED: &str = "-ERR a key is longer than 65536 bytes; use a shorter one";

fn long() -> (String, String) {
    ("k".repeat(KEY_MAX), "k".repeat(KEY_MAX + 1))
}

/// Each is sent with one key and the other: what it is answered with the one that is not too long, and whether the other is
/// refused.
const WRITES: [(&str, &str, bool); 20] = [
    ("SET {} v", "+OK", true),
    ("SET {} v NX", "$-1", true),
    ("SETNX {} v", ":0", true),
    ("SETEX {} 100 v", "+OK", true),
    ("PSETEX {} 100000 v", "+OK", true),
    ("GETSET {} 1", "$1 v", true),
    ("INCR {}", ":2", true),
    ("DECR {}", ":1", true),
    ("INCRBY {} 5", ":6", true),
    ("DECRBY {} 5", ":1", true),
    ("INCRBYFLOAT {} 1", "$1 2", true),
    ("APPEND {} x", ":2", true),
    ("SETRANGE {} 0 y", ":2", true),
    ("MSET a 1 {} v", "+OK", true),
    ("SET {} v EX 100 GET", "$1 v", true),
    ("RENAME source {}", "+OK", true),
    ("COPY target {} REPLACE", ":1", true),
    // Where nothing would be written, nothing is refused.
    ("SET {} v XX", "+OK", false),
    ("SETRANGE {} 0 z", ":1", true),
    ("DEL {}", ":1", false),
];

fn filled(line: &str, key: &str) -> Vec<String> {
    line.split(' ').map(|word| word.replace("{}", key)).collect()
}

fn ask(world: &mut World, line: &str, key: &str) -> String {
    let words = filled(line, key);
    world.ask_words(0, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_key_of_the_longest_length_is_written_and_one_longer_is_refused() {
    let (longest, too_long) = long();
    let mut world = World::plain(1);
    world.ask(0, "SET source v\nSET target v");
    for (line, expected, is_refused) in WRITES {
        assert_eq!(ask(&mut world, line, &longest), expected, "{line}");
        if line.starts_with("RENAME") {
            world.ask(0, "SET source v");
        }
        let told = ask(&mut world, line, &too_long);
        let expected = match line {
            _ if is_refused => REFUSED,
            "DEL {}" => ":0",
            _ => "$-1",
        };
        assert_eq!(told, expected, "{line}, too long");
    }
    assert_eq!(ask(&mut world, "MSET b 1 {} v", &too_long), REFUSED);
    assert_eq!(world.ask(0, "GET source\nGET b"), "$1 v $-1", "what is refused is done in no part");
    for line in ["HSET {} f v", "HSETNX {} f v", "HINCRBY {} n 1", "HINCRBYFLOAT {} n 1"] {
        assert_ne!(ask(&mut world, line, &longest), REFUSED, "{line}");
        assert_eq!(ask(&mut world, line, &too_long), REFUSED, "{line}");
    }
}

#[test]
fn a_key_that_is_too_long_is_read_as_one_that_is_not_there() {
    let (_, too_long) = long();
    let mut world = World::plain(1);
    for (line, expected) in [
        ("GET {}", "$-1"),
        ("MGET {} a", "*2 $-1 $-1"),
        ("EXISTS {}", ":0"),
        ("TYPE {}", "+none"),
        ("TTL {}", ":-2"),
        ("STRLEN {}", ":0"),
        ("HGETALL {}", "*0"),
        ("GETDEL {}", "$-1"),
        ("GETEX {} PERSIST", "$-1"),
        ("EXPIRE {} 10", ":0"),
        ("PERSIST {}", ":0"),
        ("UNLINK {} a", ":0"),
        ("HDEL {} f", ":0"),
        ("RENAME {} a", "-ERR no such key"),
        ("LCS {} a LEN", ":0"),
    ] {
        assert_eq!(ask(&mut world, line, &too_long), expected, "{line}");
    }
}

#[test]
fn in_a_transaction_a_key_that_is_too_long_is_refused_by_itself() {
    let (longest, too_long) = long();
    let mut world = World::plain(2);
    for line in ["MULTI", "SET {} 1", "INCR {}", "DEL {}", "GET {}", "SET {} 1 XX", "SET a 1"] {
        let told = ask(&mut world, line, &too_long);
        assert!(["+OK", "+QUEUED"].contains(&told.as_str()), "{line}: {told}");
    }
    assert_eq!(world.ask(0, "EXEC"), format!("*6 {REFUSED} {REFUSED} :0 $-1 $-1 +OK"));
    // Both are watched, and only the one that can be there is changed.
    for (key, expected) in [(&too_long, "*1 +OK"), (&longest, "*-1")] {
        assert_eq!(ask(&mut world, "WATCH {}", key), "+OK");
        world.ask_words(1, &["SET", key, "2"]);
        assert_eq!(world.ask(0, "MULTI\nSET a 2\nEXEC"), format!("+OK +QUEUED {expected}"));
    }
    assert_eq!(ask(&mut world, "WATCH {}", &longest), "+OK");
    assert_eq!(world.ask(0, "MULTI\nSET a 3\nEXEC"), "+OK +QUEUED *1 +OK");
}
