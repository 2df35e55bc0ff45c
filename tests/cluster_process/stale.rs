//! Replicas that show less than clients of Redis ask: what the primary answers in their place.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::folder::Folder;
use crate::process::{Running, until};
use crate::support::{Client, Cluster};

/// The one voter: nobody else is ever primary.
const VOTER: usize = 0;
const LEARNER: usize = 1;
/// A learner that does not pass on what it is asked.
const ALONE: usize = 2;

struct Nodes {
    addresses: [Ipv4Addr; 3],
    lines: &'static str,
    nodes: [Option<Running>; 3],
    folder: Folder,
}

impl Nodes {
    /// The voter, with these lines in `[store]`, as the others will have.
    fn start(lines: &'static str) -> Self {
        let addresses = [0; 3].map(|_| Cluster::free_ip());
        let mut nodes = Self { addresses, lines, nodes: [None, None, None], folder: Folder::new() };
        nodes.begin(VOTER);
        until("a write is answered", || nodes.connect(VOTER).ask("SET key 0").as_deref() == Some("+OK"));
        nodes
    }

    fn begin(&mut self, at: usize) {
        let (dir, address, lines) = (self.folder.file(&format!("n{at}")), self.addresses[at], self.lines);
        let [first, second, third] = self.addresses;
        let forward = at != ALONE;
        self.nodes[at] = Some(Running::start(
            &format!(
                "[store]\ndir = {dir:?}\nresp = \"{address}:6379\"\nnode = \"n{at}\"\nforward = {forward}\n\
                 peers = {{ n0 = \"{first}:7400\", n1 = \"{second}:7400\", n2 = \"{third}:7400\" }}\n\
                 learners = [\"n1\", \"n2\"]\npeer_tls = \"insecure-plaintext\"\n{lines}\n"
            ),
            None,
        ));
    }

    fn connect(&self, at: usize) -> Client {
        Client::connect((self.addresses[at], 6379).into()).expect("it listens")
    }

    /// A client that is told what its node has, however old.
    fn here(&self, at: usize) -> Client {
        let mut client = self.connect(at);
        assert_eq!(client.ask("READONLY").as_deref(), Some("+OK"));
        client
    }

    /// Writes another value, of eight digits, and gives it.
    fn write(&self, number: &mut u64) -> String {
        *number += 1;
        let text = format!("{:08}", *number);
        assert_eq!(self.connect(VOTER).ask(&format!("SET key {text}")).as_deref(), Some("+OK"));
        text
    }
}

/// Whether a node says that it is too far behind and has nobody to ask, as it may while a link is made.
fn is_refused(told: &str) -> bool {
    told.starts_with("-MASTERDOWN ")
}

/// Asks all of these at once. Whether each was answered; an answer that is another than this fails the test.
fn is_answered(client: &mut Client, asked: &[(&str, String)]) -> bool {
    assert!(asked.iter().all(|(command, _)| client.say(command)));
    let told: Vec<String> = asked.iter().map(|_| client.answer().expect("it is there")).collect();
    for ((command, right), told) in asked.iter().zip(&told) {
        assert!(told == right || is_refused(told), "{command}: {told}");
    }
    !told.iter().any(|told| is_refused(told))
}

/// The learners get a snapshot that takes longer than any test: what they have themselves is nothing, as long as it
/// goes on.
#[test]
fn a_replica_that_is_far_behind_answers_what_the_primary_does() {
    let mut nodes = Nodes::start(
        "segment_bytes = \"1MiB\"\nmessage_bytes = \"64KiB\"\nsnapshot_bytes = \"1MiB\"\nkept_bytes_max = 0\n\
         tail_bytes = 0\nsnapshot_rate = \"1KiB\"",
    );
    let mut writer = nodes.connect(VOTER);
    let long = "v".repeat(256 << 10);
    for at in 0..24 {
        assert_eq!(writer.ask(&format!("SET fill{at} {long}")).as_deref(), Some("+OK"));
    }
    assert_eq!(writer.ask("HSET hash field value").as_deref(), Some(":1"));
    until("the beginning of the log is gone", || {
        nodes.nodes[VOTER].as_ref().expect("it runs").status()["store"]["snapshots"].as_u64() > Some(0)
    });
    nodes.begin(LEARNER);
    nodes.begin(ALONE);
    let (mut here, mut alone) = (nodes.here(LEARNER), nodes.connect(ALONE));
    let mut number = 0;
    let (mut client, mut newer) = (nodes.connect(LEARNER), nodes.connect(LEARNER));
    assert!(newer.ask("HELLO 3").is_some_and(|told| told.starts_with('%')));
    for (client, none, map) in [(&mut client, "$-1", "*2"), (&mut newer, "_", "%1")] {
        until("all of it is answered, in order", || {
            let text = nodes.write(&mut number);
            let value = format!("$8|{text}");
            let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
            let asked = [
                ("PING", "+PONG".to_string()),
                ("GET key", value.clone()),
                ("GET none", none.to_string()),
                ("ECHO a", "$1|a".into()),
                ("MGET key none key", format!("*3|{value}|{none}|{value}")),
                ("STRLEN key", ":8".into()),
                ("HGET key field", wrong.into()),
                ("HGETALL hash", format!("{map}|$5|field|$5|value")),
                ("EXISTS key none key", ":2".into()),
                ("TTL key", ":-1".into()),
                ("TYPE hash", "+hash".into()),
                ("GETRANGE key 7 7", format!("$1|{}", &text[7..])),
                ("STRLEN fill0", format!(":{}", long.len())),
                ("PING", "+PONG".into()),
            ];
            is_answered(client, &asked)
        });
    }
    // Behind a position, beyond what is waited for here.
    until("it is answered from behind a position", || {
        let text = nodes.write(&mut number);
        let told = nodes.connect(VOTER).ask("TRIMTAB POSITION").unwrap();
        let place: Vec<&str> = told.split('|').filter_map(|it| it.strip_prefix(':')).collect();
        let after = format!("TRIMTAB AFTER {} {} 1 GET key", place[0], place[1]);
        let told = nodes.connect(LEARNER).ask(&after).unwrap();
        assert!(told == format!("$8|{text}") || told.starts_with("-BEHIND "), "{told}");
        !told.starts_with('-')
    });
    let told = alone.ask("GET key").unwrap();
    assert!(is_refused(&told), "it is not to ask: {told}");
    assert_eq!(here.ask("GET key").as_deref(), Some("$-1"), "all of that was the primary's");
}

/// A learner that has what there is, but never knows it for more than a millisecond.
#[test]
fn what_is_not_asked_by_keys_is_answered_once_all_is_here() {
    const STALE_MAX: Duration = Duration::from_millis(1);
    let mut nodes = Nodes::start("stale_max = \"1ms\"");
    nodes.begin(LEARNER);
    let mut client = nodes.connect(LEARNER);
    let mut number = 0;
    until("all of it is answered, in order", || {
        let text = nodes.write(&mut number);
        // What was answered before may be hidden for so long; there is nothing else to be waited for.
        std::thread::sleep(2 * STALE_MAX);
        let value = format!("$8|{text}");
        let asked = [
            ("GET key", value.clone()),
            ("KEYS *", "*1|$3|key".into()),
            ("SCAN 0", "*2|$1|0|*1|$3|key".into()),
            ("DBSIZE", ":1".into()),
            ("RANDOMKEY", "$3|key".into()),
            ("LCS key key", value.clone()),
            ("MULTI", "+OK".into()),
            ("GET key", "+QUEUED".into()),
            ("EXEC", format!("*1|{value}")),
            ("DEL none nor", ":0".into()),
            ("PING", "+PONG".into()),
        ];
        is_answered(&mut client, &asked)
    });
    // Nobody is left to be asked.
    drop(nodes.nodes[VOTER].take());
    for command in ["GET key", "KEYS *", "SCAN 0"] {
        until("it is told that nobody is", || is_refused(&client.ask(command).unwrap()));
    }
    assert!(nodes.here(LEARNER).ask("GET key").is_some_and(|told| told.starts_with("$8|")));
}
