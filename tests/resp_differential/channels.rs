//! Channels: who has subscribed to what, what is delivered, and what is refused meanwhile.

use trimtab::resp::Options;
use trimtab::rng::Rng;

use crate::client::Client;
use crate::local::Local;
use crate::redis::Redis;
use crate::{encoded, end, masked, shown, words};

const CLIENTS: usize = 3;
const SEEDS: u64 = 8;
const COMMANDS: usize = 400;

/// Each answer or message of what was received.
fn replies(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (one, rest) = bytes.split_at(end(bytes, 0));
        all.push(one.to_vec());
        bytes = rest;
    }
    all
}

/// What a client was told, as text. A message comes once for each pattern it fits, in an order that is not promised.
fn told(bytes: &[u8], is_sorted: bool) -> String {
    let mut all: Vec<String> = replies(bytes).iter().map(|reply| masked(reply)).collect();
    if is_sorted {
        all.sort_unstable();
    }
    all.join(" ")
}

struct Pair {
    theirs: Client,
    ours: u64,
}

/// Both at once, with as many of each as there are clients.
struct Both {
    local: Local,
    pairs: Vec<Pair>,
    now: u64,
    history: Vec<String>,
}

impl Both {
    fn connect(redis: &Redis, clients: usize) -> Self {
        let mut local = Local::new(Options::default());
        let pairs =
            (0..clients).map(|_| Pair { theirs: Client::connect(redis), ours: local.connect() }).collect();
        Self { local, pairs, now: 0, history: Vec::new() }
    }

    /// Asks both, and holds what all of their clients are told against each other.
    fn ask(&mut self, who: usize, line: &str) {
        let request = words(line);
        self.history.push(format!("{who}: {}", shown(&request)));
        let bytes = encoded(&request);
        let pair = &mut self.pairs[who];
        let (mut expected, now) = pair.theirs.ask(&bytes);
        self.now = self.now.max(now);
        let answer = self.local.ask(pair.ours, &bytes, self.now);
        expected.extend(pair.theirs.told(replies(&answer).len().saturating_sub(1)));
        self.check(who, told(&answer, false), told(&expected, false));
        for other in 0..self.pairs.len() {
            let pair = &mut self.pairs[other];
            let answer = self.local.told(pair.ours);
            let expected = pair.theirs.told(replies(&answer).len());
            self.check(other, told(&answer, true), told(&expected, true));
        }
    }

    fn check(&self, who: usize, answer: String, expected: String) {
        let first = self.history.len().saturating_sub(12);
        let last = self.history[first..].join("\n");
        assert_eq!(answer, expected, "what {who} was told, ours first, behind:\n{last}");
    }
}

fn choose<'a>(from: &[&'a str], rng: &mut Rng) -> &'a str {
    from[rng.below(from.len() as u64) as usize]
}

fn drawn(rng: &mut Rng) -> String {
    let channel = |rng: &mut Rng| choose(&["a", "b", "ab", "c", ""], rng);
    let pattern = |rng: &mut Rng| choose(&["a*", "?", "[ab]", "c"], rng);
    match rng.below(26) {
        0..4 => format!("SUBSCRIBE {}", channel(rng)),
        4 => format!("SUBSCRIBE {} {}", channel(rng), channel(rng)),
        5..8 => format!("PSUBSCRIBE {}", pattern(rng)),
        8..10 => format!("UNSUBSCRIBE {}", channel(rng)),
        10 => format!("UNSUBSCRIBE {} {}", channel(rng), channel(rng)),
        11 => format!("PUNSUBSCRIBE {}", pattern(rng)),
        12 => choose(&["PING", "PING text", "PING a b"], rng).to_owned(),
        13 => choose(&["RESET", "HELLO 2", "HELLO 3", "HELLO 4"], rng).to_owned(),
        14 => choose(&["MULTI", "EXEC", "DISCARD", "WATCH k"], rng).to_owned(),
        15 => choose(&["GET k", "SET k v", "DEL k", "nope", "GET"], rng).to_owned(),
        16 => {
            choose(&["AUTH x", "AUTH default x", "CONFIG GET timeout", "ECHO x", "SELECT 0"], rng).to_owned()
        }
        17 => choose(&["SUBSCRIBE", "PSUBSCRIBE", "PUBSUB NUMPAT", "CLIENT GETNAME"], rng).to_owned(),
        18 => format!("PUBSUB NUMSUB {} {}", channel(rng), channel(rng)),
        _ => String::new(),
    }
}

#[test]
fn subscribers_are_told_what_redis_tells() {
    let redis = Redis::start();
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        // The last one does not subscribe: a client that publishes to itself is told the message before the answer or behind it.
        let mut both = Both::connect(&redis, CLIENTS + 1);
        both.ask(CLIENTS, "FLUSHALL");
        for _ in 0..COMMANDS {
            match drawn(&mut rng) {
                line if line.is_empty() => {
                    let channel = choose(&["a", "b", "ab", "c", "d"], &mut rng);
                    both.ask(CLIENTS, &format!("PUBLISH {channel} m{}", rng.below(10)));
                }
                line => both.ask(rng.below(CLIENTS as u64) as usize, &line),
            }
        }
    }
}

/// Where what happened to a key is told by the same name.
#[test]
fn what_happens_to_keys_is_told_as_by_redis() {
    let redis = Redis::start();
    for classes in ["KEA", "K$", "Eg", "Kh$", ""] {
        let mut both = Both::connect(&redis, 3);
        both.ask(2, "FLUSHALL");
        both.ask(2, &format!("CONFIG SET notify-keyspace-events {classes}"));
        both.ask(2, "CONFIG GET notify-keyspace-events");
        both.ask(0, "PSUBSCRIBE __key*__:*");
        both.ask(1, "HELLO 3");
        both.ask(1, "SUBSCRIBE __keyspace@0__:a __keyevent@0__:del");
        for line in [
            "SET a 1",
            "SET a 2 NX",
            "SETNX b 1",
            "SETNX b 2",
            "INCR a",
            "DECRBY a 7",
            "DEL a",
            "DEL a",
            "DEL a b nothere",
            "MSET a 1 b 2",
            "EXPIRE a 1000",
            "EXPIRE nothere 1000",
            "HSET h f v",
            "HSET h f w g x",
            "HMSET h f v",
            "HSETNX h new v",
            "UNLINK h",
            "GETDEL b",
            "SET k v",
            "GET k",
            "MULTI",
            "SET k 1",
            "DEL k",
            "SET a 3",
            "EXEC",
        ] {
            both.ask(2, line);
        }
    }
}
