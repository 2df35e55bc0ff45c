//! What redis-server takes for a request and what it refuses, with which words: the parser does the same. Both get
//! the same bytes, whole requests and broken ones.

#![cfg(feature = "store")]

#[path = "shared/redis.rs"]
mod redis;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;

use redis::Redis;
use trimtab::resp::{Limits, Parsed, Parser, Protocol, ProtocolError, Reply, Request};
use trimtab::rng::Rng;

#[derive(Debug)]
enum Expected {
    Exactly(Vec<u8>),
    /// The command is none, or has too few arguments: in words that are no business of the parser.
    SomeError,
}

/// What Redis must answer to `bytes` if it finds the requests in them that the parser finds.
fn expected(bytes: &[u8]) -> Vec<Expected> {
    let limits = Limits { arguments_max: i32::MAX as usize, argument_max: 512 << 20, ..Limits::default() };
    let mut parser = Parser::new(limits);
    let (mut answers, mut consumed) = (Vec::new(), 0);
    loop {
        match parser.parse(&bytes[consumed..]) {
            Ok(Parsed::Request(request, len)) => {
                answers.push(answer(&request));
                consumed += len;
            }
            Ok(Parsed::Nothing(len)) => consumed += len,
            Ok(Parsed::Incomplete { .. }) => return answers,
            // We say behind the same words how many it may have.
            Err(error @ ProtocolError::LongArgument(_)) => {
                let words = b"-ERR Protocol error: invalid bulk length";
                assert!([b"-", &error.reply()[..]].concat().starts_with(words), "{error}");
                answers.push(Expected::Exactly([&words[..], b"\r\n"].concat()));
                return answers;
            }
            Err(error) => {
                let mut out = Vec::new();
                Reply::new(&mut out, Protocol::Resp2).error(error.reply());
                answers.push(Expected::Exactly(out));
                return answers;
            }
        }
    }
}

fn answer(request: &Request<'_>) -> Expected {
    let name = request.argument(0).expect("there is one").to_ascii_uppercase();
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    match (&name[..], request.len()) {
        (b"ECHO", 2) => reply.bulk(request.argument(1).expect("there are two")),
        (b"PING", 1) => reply.simple("PONG"),
        (b"PING", 2) => reply.bulk(request.argument(1).expect("there are two")),
        _ => return Expected::SomeError,
    }
    Expected::Exactly(out)
}

fn compare(redis: &Redis, bytes: &[u8]) {
    let mut stream = redis.connect();
    // Once it has refused something it may be gone before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut stream = BufReader::new(stream);
    for expected in expected(bytes) {
        let mut told = Vec::new();
        match &expected {
            Expected::Exactly(answer) => {
                let mut all = stream.by_ref().take(answer.len() as u64);
                all.read_to_end(&mut told)
                    .unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()));
                assert_eq!(
                    told.escape_ascii().to_string(),
                    answer.escape_ascii().to_string(),
                    "{}",
                    bytes.escape_ascii()
                );
            }
            Expected::SomeError => {
                stream.read_until(b'\n', &mut told).unwrap();
                assert!(told.starts_with(b"-ERR "), "{} to {}", told.escape_ascii(), bytes.escape_ascii());
            }
        }
    }
    let mut rest = Vec::new();
    // A connection that is closed with bytes unread is reset.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest.escape_ascii().to_string(), "", "{}", bytes.escape_ascii());
}

#[test]
fn requests_and_refusals_are_those_of_redis() {
    let redis = Redis::start();
    let long = "x".repeat(70_000);
    for bytes in [
        "PING\r\n*1\r\n$4\r\nPING\r\n".into(),
        "*0\r\n*-1\r\n\r\n \r\nPING\nPING\r\n".into(),
        "ECHO \"a\\x41\\n\\\"\" \r\nECHO 'b\\'\\n'\r\nECHO \"\"\r\n".into(),
        "*1\rx$4xxPINGyy".into(),
        "get \"a\r\n".into(),
        "PING 'a'b\r\n".into(),
        long.clone(),
        format!("*{}", "1".repeat(70_000)),
        format!("*1\r\n${long}"),
        "*\r\n".into(),
        "*x\r\n".into(),
        "*03\r\n".into(),
        "*+3\r\n".into(),
        "*-0\r\n".into(),
        "*2147483648\r\n".into(),
        "*99999999999999999999\r\n".into(),
        "*1\r\n:3\r\n".into(),
        "*1\r\n\r\n".into(),
        "*1\r\n\n\r\n".into(),
        "*1\r\n$\r\n".into(),
        "*1\r\n$-1\r\n".into(),
        "*1\r\n$04\r\n".into(),
        "*1\r\n$536870913\r\n".into(),
        "PING\r\n*1\r\n$4\r\nPI".to_owned(),
    ] {
        compare(&redis, bytes.as_bytes());
    }
    compare(&redis, b"*1\r\n\xff\r\n");
    for seed in 0..400 {
        println!("seed {seed}");
        compare(&redis, &random(&mut Rng::new(seed)));
    }
}

/// Requests in a row, some of them with a byte changed, put in or left out.
fn random(rng: &mut Rng) -> Vec<u8> {
    const BYTES: &[u8] = b"*$\r\n0123456789-+: aE\"'\\x";
    let byte = |rng: &mut Rng| BYTES[rng.below(BYTES.len() as u64) as usize];
    let mut all = Vec::new();
    for _ in 0..1 + rng.below(5) {
        let word: Vec<u8> = (0..rng.below(12)).map(|_| byte(rng)).collect();
        match rng.below(4) {
            0 => all.extend_from_slice(b"PING\r\n"),
            1 => {
                all.extend_from_slice(b"ECHO \"");
                all.extend(word.iter().filter(|byte| !b"\r\n\"\\".contains(byte)));
                all.extend_from_slice(if rng.below(2) == 0 { b"\"\r\n" } else { b"\"\n" });
            }
            _ => {
                all.extend_from_slice(format!("*2\r\n$4\r\nECHO\r\n${}\r\n", word.len()).as_bytes());
                all.extend_from_slice(&word);
                all.extend_from_slice(b"\r\n");
            }
        }
    }
    for _ in 0..rng.below(3) {
        let at = rng.below(all.len() as u64) as usize;
        match rng.below(3) {
            0 => all[at] = byte(rng),
            1 => all.insert(at, byte(rng)),
            _ => drop(all.remove(at)),
        }
        if all.is_empty() {
            break;
        }
    }
    all
}
