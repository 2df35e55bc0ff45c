//! Whatever clients send, whole requests and broken ones, in pieces: nothing panics, and what they are sent stays within
//! its bound and is whole replies.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::resp::{ClientAddress, Limits, Node, Options, Topology};

#[path = "../../tests/resp_differential/local.rs"]
mod local;

#[derive(Arbitrary, Debug)]
enum Piece {
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// A request of known words.
    Words(u8, Vec<Word>),
}

/// What the server is.
#[derive(Arbitrary, Debug)]
enum Place {
    Alone,
    Primary,
    Replica,
}

#[derive(Arbitrary, Debug)]
enum Word {
    Known(u8),
    Other(Vec<u8>),
}

const WORDS: &str = "help a b c 0 1 -1 2 3 9223372036854775807 -9223372036854775808 1.5 1e300 1e-300 x* * nx xx gt lt ex px \
    exat pxat keepttl persist get set match count type string hash withvalues replace db list id docs channels \
    numsub notify-keyspace-events KEA setname on off encoding 4000000000";

const OUTPUT_MAX: usize = 4_000;

/// The names of all commands, as the server lists them; the words that others may be, subcommands among them.
static KNOWN: LazyLock<(Vec<String>, Vec<String>)> = LazyLock::new(|| {
    let mut local = local::Local::new(Options::default());
    let client = local.connect();
    let told = String::from_utf8(local.ask(client, b"COMMAND LIST\r\n", 0)).expect("names are ASCII");
    let listed = told.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$']));
    let (mut names, mut words) = (Vec::new(), WORDS.split_whitespace().map(String::from).collect::<Vec<_>>());
    for name in listed {
        match name.split_once('|') {
            Some((_, subcommand)) => words.push(subcommand.into()),
            None => names.push(name.into()),
        }
    }
    let count = String::from_utf8(local.ask(client, b"COMMAND COUNT\r\n", 0)).expect("a number");
    assert_eq!(count, format!(":{}\r\n", names.len()), "all are listed");
    words.sort_unstable();
    words.dedup();
    (names, words)
});

/// Three nodes, the last without a vote; the first is asked.
fn topology(is_primary: bool) -> Topology {
    let node = |at: u16| Node {
        name: format!("n{at}"),
        address: Some(ClientAddress { host: "10.0.0.1".into(), port: 7_001 + at }),
        reached_at: None,
        is_voter: at < 2,
        has_vote: at < 2,
        is_linked: true,
        source: None,
        sequence: Some(100),
        freshness: None,
    };
    Topology {
        cluster: "c".into(),
        generation: 1,
        epoch: 5,
        nodes: (0..3).map(node).collect(),
        own: 0,
        primary: Some(usize::from(!is_primary)),
        forwards: true,
        is_degraded: false,
        degraded_writes: 0,
        fenced: None,
    }
}

fuzz_target!(|given: (Place, Vec<(bool, Piece)>)| {
    let (place, pieces) = given;
    let limits = Limits { inline_max: 200, arguments_max: 20, argument_max: 300, request_max: 1_000 };
    let options = Options {
        limits,
        pending_max: 4,
        output_pause: 1_000,
        output_max: OUTPUT_MAX,
        messages_max: 2_000,
        queue_max: 2_000,
        attempts_max: 3,
        ..Options::default()
    };
    let (names, words) = &*KNOWN;
    let mut local = local::Local::new(options);
    match place {
        Place::Alone => {}
        Place::Primary => local.join(topology(true)),
        Place::Replica => local.join(topology(false)),
    }
    let clients = [local.connect(), local.connect()];
    for (is_second, piece) in pieces {
        let bytes = match piece {
            Piece::Raw(bytes) => bytes,
            Piece::Words(name, others) => {
                let mut request = vec![names[usize::from(name) % names.len()].as_bytes().to_vec()];
                request.extend(others.into_iter().map(|word| match word {
                    Word::Known(at) => words[usize::from(at) % words.len()].as_bytes().to_vec(),
                    Word::Other(bytes) => bytes,
                }));
                let mut out = format!("*{}\r\n", request.len()).into_bytes();
                for word in request {
                    out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                    out.extend_from_slice(&word);
                    out.extend_from_slice(b"\r\n");
                }
                out
            }
        };
        let client = clients[usize::from(is_second)];
        if local.is_finished(client) {
            continue;
        }
        // Heads and small replies may come on top of what is bounded.
        let output = local.ask(client, &bytes, 1_000);
        assert!(output.len() <= OUTPUT_MAX + 64, "{} bytes", output.len());
        assert!(output.is_empty() || output.ends_with(b"\r\n"));
    }
});
