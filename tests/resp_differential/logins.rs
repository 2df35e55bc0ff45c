//! A server with a password: who is let in, and what a stranger is told.

use trimtab::resp::Options;

use crate::client::Client;
use crate::local::Local;
use crate::redis::Redis;
use crate::{encoded, masked, words};

/// Each is one connection.
const TALKS: [&[&str]; 13] = [
    &["AUTH secret", "CONFIG SET save x y", "CONFIG SET notify-keyspace-events KEA x", "CONFIG SET save"],
    &["HELLO 3 SETNAME early", "AUTH secret", "CLIENT GETNAME"],
    &[
        "HELLO 2 AUTH default secret SETNAME a\u{1}b",
        "CLIENT GETNAME",
        "HELLO 2 SETNAME good AUTH default bad",
        "CLIENT GETNAME",
    ],
    &["HELLO 2 SETNAME a\u{1}b AUTH default secret", "CLIENT GETNAME"],
    &["HELLO 2 AUTH default secret SETNAME good NOPE", "CLIENT GETNAME", "EXEC x"],
    &[
        "GET a",
        "PING",
        "NOPE",
        "GET",
        "MULTI",
        "SUBSCRIBE a",
        "COMMAND COUNT",
        "CLIENT ID",
        "CONFIG GET save",
        "INFO",
    ],
    &[
        "AUTH wrong",
        "GET a",
        "AUTH default wrong",
        "AUTH nobody secret",
        "AUTH a b c",
        "AUTH",
        "AUTH secret",
        "GET a",
    ],
    &["HELLO", "HELLO 3", "HELLO 2", "HELLO 4", "HELLO x", "HELLO 3 SETNAME me", "HELLO 3 AUTH default"],
    &[
        "HELLO 3 AUTH default wrong",
        "HELLO 3 AUTH nobody secret",
        "PING",
        "HELLO 3 AUTH default secret SETNAME me",
    ],
    &[
        "HELLO 3 AUTH default secret",
        "CLIENT GETNAME",
        "HGETALL nothere",
        "RESET",
        "GET a",
        "AUTH secret",
        "HGETALL nothere",
    ],
    &[
        "HELLO 2 AUTH default secret",
        "GET a",
        "AUTH wrong",
        "GET a",
        "HELLO 3",
        "HELLO 3 AUTH default wrong",
        "HGETALL nothere",
    ],
    &[
        "AUTH default secret",
        "MULTI",
        "AUTH wrong",
        "PING",
        "EXEC",
        "MULTI",
        "RESET",
        "EXEC",
        "AUTH secret",
        "EXEC",
    ],
    &[
        "AUTH secret",
        "SUBSCRIBE a",
        "AUTH secret",
        "HELLO 3",
        "RESET",
        "PING",
        "AUTH secret",
        "PING",
        "RESET",
        "QUIT",
    ],
];

#[test]
fn who_logs_in_is_told_what_redis_tells() {
    let redis = Redis::start_with(&["--requirepass", "secret"]);
    let mut local = Local::with(Options::default(), Some(b"secret"));
    let mut different = Vec::new();
    for talk in TALKS {
        let (mut theirs, ours) = (Client::connect(&redis), local.connect());
        for line in talk {
            let request = encoded(&words(line));
            let (expected, now) = theirs.ask(&request);
            let answer = local.ask(ours, &request, now);
            let (answer, expected) = (masked(&answer), masked(&expected));
            if answer != expected {
                different.push(format!("{talk:?}: {line}\n  ours  {answer}\n  Redis {expected}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
