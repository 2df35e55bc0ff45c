//! `keyspace_hits` and `keyspace_misses`: the keys that commands look up which only read.

use trimtab::resp::Options;

use crate::client::Client;
use crate::local::Local;
use crate::redis::Redis;
use crate::{encoded, words};

fn counted(info: &[u8]) -> (u64, u64) {
    let text = String::from_utf8_lossy(info);
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("INFO has it");
        line.parse().expect("a number")
    };
    (number("keyspace_hits:"), number("keyspace_misses:"))
}

/// What each command adds to them is what it adds in redis-server.
#[test]
fn keys_looked_up_are_counted_alike() {
    const PREPARED: [&str; 3] = ["SET s 12", "SET other 1 PX 100000", "HSET h a 1 b 2"];
    const ASKED: [&str; 58] = [
        "GET s",
        "GET none",
        "GET h",
        "STRLEN s",
        "STRLEN none",
        "GETRANGE s 0 1",
        "SUBSTR none 0 1",
        "MGET s none other h",
        "EXISTS s none s",
        "TYPE s",
        "TYPE none",
        "TTL other",
        "PTTL none",
        "EXPIRETIME s",
        "HGET h a",
        "HGET h none",
        "HGET none a",
        "HMGET h a none",
        "HGETALL h",
        "HKEYS none",
        "HLEN h",
        "HEXISTS h a",
        "HSTRLEN h a",
        "HSCAN h 0",
        "HSCAN none 0",
        "LCS s other",
        "OBJECT ENCODING s",
        "SCAN 0 COUNT 100",
        "KEYS *",
        "DBSIZE",
        "SET s 13",
        "INCR s",
        "HVALS h",
        "HRANDFIELD h",
        "HRANDFIELD none",
        "OBJECT ENCODING none",
        "SCAN 0 COUNT 100 TYPE string",
        "TOUCH s none",
        "RANDOMKEY",
        "GETSET s 1",
        "GETSET new 1",
        "GETSET h 1",
        "GETDEL new",
        "GETDEL none",
        "GETEX s",
        "GETEX none",
        "GETEX s PX 100000",
        "SET s 2 GET",
        "SET newer 2 GET",
        "SET s 2 NX",
        "SETNX s 1",
        "APPEND s 1",
        "EXPIRE s 100",
        "COPY s copy",
        "COPY s copy",
        "COPY none copied",
        "RENAME copy renamed",
        "DEL renamed none",
    ];
    let redis = Redis::start();
    let mut theirs = Client::connect(&redis);
    let mut local = Local::new(Options::default());
    let ours = local.connect();
    let mut ask = |line: &str| {
        let request = encoded(&words(line));
        (theirs.ask(&request).0, local.ask(ours, &request, 0))
    };
    PREPARED.iter().for_each(|line| drop(ask(line)));
    let mut different = Vec::new();
    let mut check = |lines: &[&str]| {
        let mut counts = Vec::new();
        let before = ask("INFO stats");
        lines.iter().for_each(|line| drop(ask(line)));
        let after = ask("INFO stats");
        for (before, after) in [(before.0, after.0), (before.1, after.1)] {
            let (before, after) = (counted(&before), counted(&after));
            counts.push((after.0 - before.0, after.1 - before.1));
        }
        if counts[0] != counts[1] {
            different.push(format!("{lines:?}: {:?} by redis-server, {:?} by this", counts[0], counts[1]));
        }
    };
    ASKED.iter().for_each(|line| check(&[line]));
    check(&["MULTI", "GET s", "GET none", "SET s 1", "INCR none", "MGET s h", "EXEC"]);
    check(&["MULTI", "GET s", "DISCARD"]);
    check(&["MULTI", "GET s", "GET none", "EXEC"]);
    assert!(different.is_empty(), "{}", different.join("\n"));
}
