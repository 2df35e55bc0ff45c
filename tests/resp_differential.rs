//! The same random commands to redis-server 7 and to [`trimtab::resp::Connection`] over an index, in both versions of
//! the protocol: the answers are the same, byte by byte. `docs/resp.md` has what is not compared.
//!
//! `SEED=n` runs that seed alone.

#![cfg(feature = "store")]

#[path = "resp_differential/channels.rs"]
mod channels;
#[path = "resp_differential/client.rs"]
mod client;
#[path = "resp_differential/local.rs"]
mod local;
#[path = "resp_differential/logins.rs"]
mod logins;
#[path = "resp_differential/lookups.rs"]
mod lookups;
#[path = "shared/redis.rs"]
mod redis;
#[path = "resp_differential/scans.rs"]
mod scans;
#[path = "resp_differential/words.rs"]
mod words;

use client::Client;
use local::Local;
use redis::Redis;
use trimtab::resp::Options;
use trimtab::rng::Rng;
use words::Words;

/// Seeds of each run, and commands of each seed.
const SEEDS: u64 = 12;
const COMMANDS: usize = 1_500;
/// All keys are scanned once in so many commands.
const SCANNED_EACH: usize = 50;

/// A request as clients write it.
fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// Where the reply ends that begins at `at`.
fn end(bytes: &[u8], at: usize) -> usize {
    let line = bytes[at..].iter().position(|byte| *byte == b'\n').expect("a reply is whole") + at + 1;
    let number = || std::str::from_utf8(&bytes[at + 1..line - 2]).unwrap().parse::<i64>().unwrap();
    match bytes[at] {
        b'$' | b'=' if number() >= 0 => line + number() as usize + 2,
        b'*' | b'~' | b'>' => (0..number()).fold(line, |at, _| end(bytes, at)),
        b'%' => (0..number() * 2).fold(line, |at, _| end(bytes, at)),
        _ => line,
    }
}

/// The elements of an array; none of anything else.
fn elements(answer: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if answer.first() == Some(&b'*') {
        let mut at = answer.iter().position(|byte| *byte == b'\n').expect("a reply is whole") + 1;
        while at < answer.len() {
            let next = end(answer, at);
            found.push(answer[at..next].to_vec());
            at = next;
        }
    }
    found
}

/// Sorts the keys that `KEYS` has found, by itself or in a transaction of `queued` commands.
fn normalised(name: &[u8], answer: Vec<u8>, queued: &[Vec<u8>]) -> Vec<u8> {
    let mut parts = elements(&answer);
    match name {
        _ if parts.is_empty() => return answer,
        b"keys" => parts.sort_unstable(),
        b"exec" if parts.len() == queued.len() => {
            let each = parts.into_iter().zip(queued);
            parts = each.map(|(part, name)| normalised(name, part, &[])).collect();
        }
        _ => return answer,
    }
    [&answer[..3], &parts.concat()].concat()
}

fn shown(request: &[Vec<u8>]) -> String {
    request.iter().map(|word| format!("\"{}\" ", word.escape_ascii())).collect()
}

/// An answer as text, without what is another one on each server: the number of a client in the answer of `HELLO`.
fn masked(answer: &[u8]) -> String {
    let text = answer.escape_ascii().to_string();
    let begin = r"$2\r\nid\r\n:";
    match text.split_once(begin) {
        Some((before, rest)) => {
            let (_, behind) = rest.split_once(r"\r\n").expect("a number ends");
            format!("{before}{begin}{behind}")
        }
        None => text,
    }
}

fn compare(redis: &Redis, seed: u64, protocol: u8) {
    let mut rng = Rng::new(seed);
    let mut theirs = Client::connect(redis);
    let mut other_theirs = Client::connect(redis);
    let mut local = Local::new(Options::default());
    let (ours, other_ours) = (local.connect(), local.connect());
    theirs.ask(&encoded(&words("FLUSHALL")));
    local.ask(ours, &encoded(&words("FLUSHALL")), 0);
    if protocol == 3 {
        theirs.ask(&encoded(&words("HELLO 3")));
        local.ask(ours, &encoded(&words("HELLO 3")), 0);
    }
    let mut source = Words::new();
    let mut history: Vec<String> = Vec::new();
    let mut queued = Vec::new();
    for _ in 0..COMMANDS {
        // Now and then somebody else writes, for the sake of WATCH.
        let is_other = rng.below(8) == 0;
        let request = if is_other { source.write(&mut rng) } else { source.next(&mut rng) };
        let bytes = encoded(&request);
        history.push(format!("{}{}", if is_other { "(other) " } else { "" }, shown(&request)));
        let (expected, now) = if is_other { other_theirs.ask(&bytes) } else { theirs.ask(&bytes) };
        let answer = local.ask(if is_other { other_ours } else { ours }, &bytes, now);
        let name = request[0].to_ascii_lowercase();
        let answer = normalised(&name, answer, &queued);
        let expected = normalised(&name, expected, &queued);
        match (&expected[..], &name[..]) {
            _ if is_other => {}
            (b"+QUEUED\r\n", _) => queued.push(name),
            (_, b"exec" | b"discard") => queued.clear(),
            _ => {}
        }
        if history.len().is_multiple_of(SCANNED_EACH) {
            // The other one begins no transactions.
            scans::compare(&mut other_theirs, &mut local, other_ours, &mut rng, now);
        }
        let first = history.len().saturating_sub(12);
        assert_eq!(
            answer.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "SEED={seed} RESP{protocol}, ours first, the last of:\n{}",
            history[first..].join("\n")
        );
    }
    assert!(source.kinds() > 70, "{} commands were drawn", source.kinds());
}

#[test]
fn answers_are_those_of_redis() {
    let redis = Redis::start();
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seeds = given.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        compare(&redis, seed, 2);
        compare(&redis, seed, 3);
    }
}

/// Many requests at once, in one piece or cut anywhere.
#[test]
fn pipelined_answers_are_those_of_redis() {
    let redis = Redis::start();
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let mut theirs = Client::connect(&redis);
        let mut local = Local::new(Options { pending_max: 5, ..Options::default() });
        let ours = local.connect();
        theirs.ask(&encoded(&words("FLUSHALL")));
        let mut source = Words::new();
        for _ in 0..COMMANDS / 25 {
            let mut requests = Vec::new();
            for _ in 0..1 + rng.below(50) {
                let request = source.next(&mut rng);
                // Keys come in an order of their own.
                if !request[0].eq_ignore_ascii_case(b"keys") {
                    requests.push(request);
                }
            }
            let bytes: Vec<u8> = requests.iter().flat_map(|request| encoded(request)).collect();
            let (expected, now) = theirs.ask_all(&bytes, requests.len());
            let cut = rng.below(bytes.len() as u64 + 1) as usize;
            let mut answer = local.ask(ours, &bytes[..cut], now);
            answer.extend(local.ask(ours, &bytes[cut..], now));
            assert_eq!(
                answer.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "seed {seed}, ours first:\n{}",
                requests.iter().map(|request| shown(request) + "\n").collect::<String>()
            );
        }
    }
}

/// What the drawn commands do not come to: errors word by word, and cases that are easily got wrong.
#[test]
fn chosen_cases_are_those_of_redis() {
    let redis = Redis::start();
    let mut different = Vec::new();
    for protocol in [2, 3] {
        let mut theirs = Client::connect(&redis);
        let mut local = Local::new(Options::default());
        let ours = local.connect();
        theirs.ask(&encoded(&words("FLUSHALL")));
        if protocol == 3 {
            theirs.ask(&encoded(&words("HELLO 3")));
            local.ask(ours, &encoded(&words("HELLO 3")), 0);
        }
        for line in CASES.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let bytes = format!("{line}\r\n").into_bytes();
            let (expected, now) = theirs.ask(&bytes);
            let answer = local.ask(ours, &bytes, now);
            if answer != expected {
                let (answer, expected) = (answer.escape_ascii(), expected.escape_ascii());
                different.push(format!("RESP{protocol} {line}\n  ours  {answer}\n  Redis {expected}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The lines of an answer of `CLIENT LIST`, as far as they are compared, sorted.
fn listed(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8(answer.to_vec()).unwrap();
    let lines = text.lines().filter(|line| line.contains("addr="));
    let told = |line: &str| {
        let is_compared = |field: &&str| {
            ["name", "flags", "db", "sub", "psub", "ssub", "multi", "cmd", "user", "redir", "resp"]
                .contains(&field.split('=').next().unwrap())
        };
        line.split(' ').filter(is_compared).collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = lines.map(told).collect();
    lines.sort_unstable();
    lines
}

/// The names of the fields in an answer of `CLIENT LIST`.
fn fields(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().find(|line| line.contains("addr=")).unwrap_or_default();
    line.split(' ').filter_map(|field| Some(field.split_once('=')?.0.to_owned())).collect()
}

/// Several clients: who is there, and who is told to go.
#[test]
fn clients_are_told_and_ended_as_by_redis() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let redis = Redis::start();
    let mut local = Local::new(Options::default());
    let mut theirs: Vec<_> = NAMES.iter().map(|_| Client::connect(&redis)).collect();
    let ours: Vec<_> = NAMES.iter().map(|_| local.connect()).collect();
    let number = |answer: &[u8]| String::from_utf8_lossy(answer).trim()[1..].to_owned();
    let mut ids = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let request = encoded(&words(&format!("CLIENT SETNAME {name}")));
        theirs[at].ask(&request);
        local.ask(ours[at], &request, 0);
        let request = encoded(&words("CLIENT ID"));
        ids.push((number(&theirs[at].ask(&request).0), number(&local.ask(ours[at], &request, 0))));
    }
    // `$b` is the number of the client b.
    for line in [
        "a CLIENT LIST",
        "b SUBSCRIBE news",
        "c HELLO 3",
        "c PSUBSCRIBE n*",
        "d MULTI",
        "d PING",
        "a CLIENT LIST",
        "a CLIENT LIST TYPE pubsub",
        "a CLIENT LIST TYPE normal",
        "a CLIENT LIST TYPE replica",
        "a CLIENT LIST ID $d",
        "a CLIENT LIST ID $d 99999 $b -1",
        "a CLIENT INFO",
        "a CLIENT KILL ID $a",
        "a CLIENT KILL ID $d TYPE pubsub",
        "a CLIENT KILL ID $d LADDR x",
        "a CLIENT KILL ID $d TYPE normal USER default SKIPME yes",
        "a CLIENT KILL ID $d",
        "a CLIENT LIST",
        "a CLIENT KILL TYPE pubsub",
        "a CLIENT LIST",
        "e MULTI",
        "e CLIENT KILL ID $f",
        "e CLIENT LIST ID $c",
        "e CLIENT KILL ID $e",
        "e EXEC",
        "a CLIENT LIST",
        "e CLIENT KILL ID $a SKIPME no",
        "e CLIENT KILL ID $e SKIPME no",
    ] {
        let who = (line.as_bytes()[0] - b'a') as usize;
        let filled = |pick: fn(&(String, String)) -> &String| {
            let mut words = words(&line[2..]);
            for word in &mut words {
                if let [b'$', name] = word[..] {
                    *word = pick(&ids[(name - b'a') as usize]).clone().into_bytes();
                }
            }
            encoded(&words)
        };
        let (expected, now) = theirs[who].ask(&filled(|ids| &ids.0));
        let answer = local.ask(ours[who], &filled(|ids| &ids.1), now);
        if line.contains(" HELLO ") {
            continue;
        }
        if !listed(&expected).is_empty() {
            let ours = fields(&answer);
            let missing: Vec<_> = fields(&expected).into_iter().filter(|it| !ours.contains(it)).collect();
            assert!(missing.is_empty(), "{line}: {missing:?}");
            assert_eq!(listed(&answer), listed(&expected), "{line}, ours first");
        } else {
            assert_eq!(answer.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{line}");
        }
    }
    for (at, name) in NAMES.iter().enumerate() {
        assert!(theirs[at].is_ended() && local.is_finished(ours[at]), "{name}");
    }
}

const CASES: &str = r#"
    PING
    PING hello
    PING a b
    ECHO
    ECHO x
    NOPE
    NOPE a "b c" d
    NOPE "a\x00b" c
    GET
    get a b
    SET a
    SELECT 0
    SELECT 1
    SELECT x
    SELECT 99999999999
    AUTH x
    AUTH default x
    AUTH nobody x
    AUTH a b c
    HELLO 4
    HELLO x
    HELLO 2 BAD
    HELLO 2 SETNAME "a b"
    HELLO 2 AUTH nobody x
    CLIENT
    CLIENT NOPE
    CLIENT GETNAME
    CLIENT SETNAME "a b"
    CLIENT SETNAME me
    CLIENT GETNAME
    CLIENT SETNAME ""
    CLIENT GETNAME
    CLIENT ID x
    CLIENT KILL
    CLIENT KILL 1.2.3.4:5
    CLIENT KILL ID
    CLIENT KILL ID x
    CLIENT KILL ID 0
    CLIENT KILL ID -1
    CLIENT KILL ID 9223372036854775808
    CLIENT KILL ID 987654321
    CLIENT KILL ADDR 1.2.3.4:5
    CLIENT KILL LADDR 1.2.3.4:5
    CLIENT KILL ADDR 1.2.3.4:5 TYPE normal SKIPME yes
    CLIENT KILL TYPE nope
    CLIENT KILL TYPE master
    CLIENT KILL TYPE pubsub
    CLIENT KILL type Replica
    CLIENT KILL USER nobody
    CLIENT KILL ID 987654321 USER default
    CLIENT KILL SKIPME maybe
    CLIENT KILL SKIPME yes NOPE x
    CLIENT KILL SKIPME yes ID
    CLIENT LIST NOPE
    CLIENT LIST TYPE
    CLIENT LIST TYPE nope
    CLIENT LIST TYPE replica
    CLIENT LIST TYPE pubsub
    CLIENT LIST ID
    CLIENT LIST ID x
    CLIENT LIST ID 987654321
    CLIENT INFO x
    READONLY
    READWRITE
    READONLY x
    ROLE x
    SENTINEL masters
    CLIENT NO-EVICT x
    CLIENT NO-EVICT on
    CONFIG NOPE
    CONFIG GET
    CONFIG SET
    CONFIG SET nope 1
    CONFIG GET databases
    CONFIG GET save
    CONFIG SET notify-keyspace-events q
    CONFIG SET notify-keyspace-events KEA
    CONFIG GET notify-keyspace-events
    CONFIG SET notify-keyspace-events KEgx$
    CONFIG GET notify-keyspace-events
    CONFIG SET notify-keyspace-events Kgn
    CONFIG GET notify-keyspace-events
    CONFIG SET notify-keyspace-events AKnm
    CONFIG GET notify-keyspace-events
    CONFIG SET notify-keyspace-events K NOTIFY-keyspace-events E
    CONFIG SET notify-keyspace-events q notify-keyspace-events K
    CONFIG SET notify-keyspace-events K notify-keyspace-events K nope 1
    CONFIG SET notify-keyspace-events K databases 1
    CONFIG SET databases 1 notify-keyspace-events K notify-keyspace-events K
    CONFIG SET nope 1 notify-keyspace-events K notify-keyspace-events K
    CONFIG GET notify-keyspace-events
    CONFIG SET notify-keyspace-events ""
    CONFIG HELP x
    COMMAND HELP x
    CLIENT HELP x y
    OBJECT HELP x
    PUBSUB HELP x
    PUBSUB CHANNELS a b
    PUBSUB shardchannels a b c
    DEBUG SLEEP 0
    DEBUG
    MULTI
    DEBUG SLEEP 0
    EXEC
    MULTI
    OBJECT HELP x
    EXEC
    OBJECT NOPE a
    OBJECT ENCODING nothere
    OBJECT FREQ nothere
    OBJECT FREQ
    SET e 12
    OBJECT ENCODING e
    SET e abc
    OBJECT ENCODING e
    SET e aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    OBJECT ENCODING e
    HSET oh a b
    OBJECT ENCODING oh
    OBJECT REFCOUNT oh
    OBJECT FREQ oh
    CONFIG GET timeout
    COMMAND LIST FILTERBY
    COMMAND LIST FILTERBY NOPE x
    COMMAND LIST NOPE x y
    COMMAND LIST FILTERBY PATTERN a FILTERBY
    COMMAND LIST FILTERBY MODULE x
    COMMAND LIST FILTERBY ACLCAT nope
    COMMAND LIST FILTERBY PATTERN HSETN*
    COMMAND LIST filterby pattern mge?
    COMMAND GETKEYS
    COMMAND GETKEYS GET
    COMMAND GETKEYS GET a
    COMMAND GETKEYS GET a b
    COMMAND GETKEYS get
    COMMAND GETKEYS nope a
    COMMAND GETKEYS PING a
    COMMAND GETKEYS MSET a 1 b 2
    COMMAND GETKEYS MSET a 1 b
    COMMAND GETKEYS MGET a b c
    COMMAND GETKEYS LCS a b IDX
    COMMAND GETKEYS RENAME a b
    COMMAND GETKEYS COPY a b REPLACE
    COMMAND GETKEYS OBJECT ENCODING a
    COMMAND GETKEYS OBJECT nope a
    COMMAND GETKEYS OBJECT HELP
    COMMAND GETKEYS CONFIG GET x
    COMMAND GETKEYS WATCH a b
    SET l1 ohmytext
    SET l2 mynewtext
    LCS l1
    LCS l1 l2
    LCS l1 l2 LEN
    LCS l1 l2 IDX
    LCS l1 l2 IDX MINMATCHLEN 4
    LCS l1 l2 IDX MINMATCHLEN 4 WITHMATCHLEN
    LCS l1 l2 IDX WITHMATCHLEN MINMATCHLEN -9223372036854775808
    LCS l1 l2 MINMATCHLEN 5
    LCS l1 l2 LEN MINMATCHLEN 5 WITHMATCHLEN
    LCS l1 l2 IDX LEN
    LCS l1 l2 MINMATCHLEN
    LCS l1 l2 MINMATCHLEN x
    LCS l1 l2 NOPE
    LCS l1 nothere
    LCS nothere nothere IDX
    LCS l1 l1 IDX WITHMATCHLEN
    LCS l1 oh
    LCS oh l1 NOPE
    SET l1 aaaaabaaaacaaaa
    SET l2 aaabaaaaaacaaad
    LCS l1 l2 IDX WITHMATCHLEN
    LCS l2 l1 IDX WITHMATCHLEN
    LCS l2 l1
    WAIT 0 0
    WAIT 1 1
    WAIT x 1
    WAIT 0 -1
    WAIT 0 x
    COMMAND NOPE
    COMMAND INFO nope
    SCAN x
    SCAN 0 COUNT 0
    SCAN 0 COUNT x
    SCAN 0 NOPE
    SCAN 0 MATCH
    SCAN 0 COUNT 1000 MATCH nothing*
    HSCAN nothere 0
    HSCAN nothere x
    HSCAN oh 0 MATCH
    HSCAN oh 0 COUNT 0
    HSCAN oh 5 MATCH a*
    HSCAN oh 0 MATCH b*
    HRANDFIELD nothere
    HRANDFIELD nothere 2
    HRANDFIELD oh
    HRANDFIELD oh 3
    HRANDFIELD oh -3
    HRANDFIELD oh 3 WITHVALUES
    HRANDFIELD oh -2 WITHVALUES
    HRANDFIELD oh 0
    HRANDFIELD oh x
    HRANDFIELD oh 1 NOPE
    HRANDFIELD oh 1 WITHVALUES x
    HRANDFIELD oh -9223372036854775808
    HRANDFIELD oh -9223372036854775807 WITHVALUES
    MULTI
    MULTI
    WATCH a
    NOPE
    EXEC
    EXEC
    EXEC x
    MULTI
    EXEC x
    EXEC
    DISCARD
    MULTI
    PING
    ECHO hi
    CLIENT GETNAME
    SET a 1
    INCR a
    HSET a b c
    GET a
    DEL a
    DEL a
    DBSIZE
    WAIT 3 1000
    UNWATCH
    SELECT 3
    PUBLISH c x
    EXEC
    MULTI
    EXEC
    MULTI
    SET z z
    DISCARD
    GET z
    WATCH z
    SET z z
    DEL z
    MULTI
    PING
    EXEC
    WATCH z
    DEL z
    MULTI
    PING
    EXEC
    WATCH z
    SET z 1
    UNWATCH
    MULTI
    GET z
    EXEC
    SET big 9223372036854775807
    INCR big
    INCRBY big x
    DECRBY big -1
    DECRBY big -9223372036854775808
    DECRBY nothere -9223372036854775808
    INCR oh
    INCRBYFLOAT oh 1
    INCRBYFLOAT big 0.5
    INCRBYFLOAT big x
    INCRBYFLOAT f 1e400
    INCRBYFLOAT f 3.0e3
    INCRBYFLOAT f -0.1
    INCRBYFLOAT f -2999.9
    INCRBYFLOAT f 1e-17
    INCRBYFLOAT f " 1"
    INCRBYFLOAT f "1 "
    SET f 0
    INCRBYFLOAT f 1e19
    INCRBYFLOAT f 1
    INCRBYFLOAT f 0.5
    SET f 1e30
    INCRBYFLOAT f 0
    SET f 1e4000
    INCRBYFLOAT f 1e3990
    INCRBYFLOAT f -1e4932
    SET f 1e4932
    INCRBYFLOAT f 1e4932
    SET f 0.1
    INCRBYFLOAT f 0.2
    INCRBYFLOAT f 1e-30
    SET f -0
    INCRBYFLOAT f 0
    SET f 123456789.123456789
    INCRBYFLOAT f 987654321.987654321
    INCRBYFLOAT f -1111111111.11111111
    SET f 0.30000000000000004441
    INCRBYFLOAT f -0.3
    INCRBYFLOAT f .
    INCRBYFLOAT f 1.
    INCRBYFLOAT f +1
    INCRBYFLOAT f 1e
    INCRBYFLOAT f 1e+2
    INCRBYFLOAT f ""
    INCRBYFLOAT f nan
    HINCRBYFLOAT oh x 0.1
    HINCRBYFLOAT oh x 0.2
    HINCRBYFLOAT oh a 0.2
    HINCRBYFLOAT oh x y
    HINCRBY oh x 1
    HINCRBY oh n 9223372036854775807
    HINCRBY oh n 1
    HINCRBY oh n y
    SETRANGE s 3 abc
    GETRANGE s 0 -1
    SETRANGE s -1 x
    SETRANGE s x x
    SETRANGE t 5 ""
    EXISTS t
    SETRANGE oh 0 x
    SETRANGE t 4611686018427387904 x
    GETRANGE s -100 -1
    GETRANGE s -1 -100
    GETRANGE s -100 -90
    GETRANGE s 5 1
    GETRANGE s 0 x
    SET a 1 EX 0
    SET a 1 EX x
    SET a 1 EX
    SET a 1 EX 9223372036854775807
    SET a 1 PX 9223372036854775807
    SET a 1 EX 5 PX 5
    SET a 1 NX XX
    SET a 1 KEEPTTL EX 1
    SET a 1 NOPE
    SET a 1 GET NX
    SET a 2 GET NX
    SET a 2 XX GET
    SET oh 2 GET
    SETEX a 0 1
    PSETEX a -1 1
    SETEX a x 1
    GETEX a EX 0
    GETEX a PERSIST EX 1
    GETEX a NX
    GETEX nothere EX 0
    GETEX oh
    GETEX a EXAT 1
    GET a
    EXPIRE a 1 NX XX
    EXPIRE a 1 GT LT
    EXPIRE a 1 NOPE
    EXPIRE a x
    EXPIRE a 9223372036854775807
    PEXPIRE a 9223372036854775807
    EXPIRE a -9223372036854775808
    SET a 1
    EXPIRE a -1
    GET a
    SET a 1 EXAT 4000000000
    EXPIRETIME a
    PEXPIRETIME a
    PEXPIREAT a 4000000000499
    EXPIRETIME a
    PEXPIREAT a 4000000000500 GT
    EXPIRETIME a
    EXPIREAT a 4000000000 GT
    EXPIREAT a 4000000000 LT
    EXPIREAT a 4000000000 XX LT
    EXPIREAT a 4000000000 NX
    PERSIST a
    EXPIREAT a 4000000000 XX
    EXPIREAT a 4000000000 GT
    EXPIREAT a 4000000000 LT
    RENAME a b
    EXPIRETIME b
    COPY b c
    PEXPIRETIME c
    GETEX b PERSIST
    TTL b
    SET b 1 EX 1000
    TTL b
    INCR b
    TTL b
    APPEND b 1
    TTL b
    SETRANGE b 0 2
    TTL b
    SET b 2 KEEPTTL
    TTL b
    SET b 2
    TTL b
    SETEX b 1000 v
    GETSET b w
    TTL b
    HSET ttl f v
    EXPIRE ttl 1000
    HSET ttl f w
    HINCRBY ttl n 1
    HDEL ttl f
    TTL ttl
    HDEL ttl n
    EXISTS ttl
    MSET a
    MSET a 1 b
    MSETNX a 1 b
    HSET h a
    HSET h a 1 b
    HMSET h a 1 b
    RENAME nothere x
    RENAMENX nothere nothere
    RENAME oh oh
    RENAMENX oh oh
    COPY oh oh
    COPY oh o2 DB
    COPY oh o2 DB 7
    COPY oh o2 DB x
    COPY oh o2 NOPE
    COPY oh o2
    COPY oh o2
    COPY oh o2 REPLACE
    HGETALL o2
    FLUSHDB NOPE
    PUBLISH a b
    PUBSUB CHANNELS
    PUBSUB NUMSUB
    PUBSUB NUMSUB a b
    PUBSUB NUMPAT
    PUBSUB NOPE
    UNSUBSCRIBE
    PUNSUBSCRIBE
    UNSUBSCRIBE a
    RESET
    QUIT
"#;
