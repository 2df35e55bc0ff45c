//! Whatever clients send, whole requests and broken ones, in pieces: nothing panics, and what they are sent stays within
//! its bound and is whole replies.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::resp::{Limits, Options};

#[path = "../../tests/resp_differential/local.rs"]
mod local;

#[derive(Arbitrary, Debug)]
enum Piece {
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// A request of known words.
    Words(u8, Vec<Word>),
}

#[derive(Arbitrary, Debug)]
enum Word {
    Known(u8),
    Other(Vec<u8>),
}

const NAMES: &str = "ping echo hello auth select quit reset command client info config dbsize flushall time get set setnx \
    setex psetex getset getdel getex mget mset msetnx append strlen getrange setrange incr decr incrby decrby \
    incrbyfloat del unlink exists type rename renamenx copy touch keys scan randomkey expire pexpire expireat \
    pexpireat ttl pttl expiretime pexpiretime persist multi exec discard watch unwatch hset hsetnx hget hmget hmset \
    hgetall hdel hlen hexists hkeys hvals hincrby hincrbyfloat hstrlen hscan hrandfield subscribe psubscribe \
    unsubscribe punsubscribe publish pubsub wait waitaof object debug";
const WORDS: &str = "a b c 0 1 -1 2 3 9223372036854775807 -9223372036854775808 1.5 1e300 1e-300 x* * nx xx gt lt ex px \
    exat pxat keepttl persist get set match count type string hash withvalues replace db list id docs channels \
    numsub notify-keyspace-events KEA setname on off encoding 4000000000";

const OUTPUT_MAX: usize = 4_000;

fuzz_target!(|pieces: Vec<(bool, Piece)>| {
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
    let names: Vec<&str> = NAMES.split_whitespace().collect();
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut local = local::Local::new(options);
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
