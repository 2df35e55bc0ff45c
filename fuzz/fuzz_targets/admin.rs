//! The admin interface: whatever a client sends and in whatever pieces, it is answered with whole answers, the
//! pool stays one that can be, events come in whole chunks, and nothing follows the end.

#![no_main]

use std::sync::OnceLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::server::admin::AHEAD_MAX;
use trimtab::server::{Config, Server};

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    parts: Vec<Part<'a>>,
    pieces: Vec<u16>,
}

/// Text is put together from what requests are made of and from anything.
#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Any(&'a [u8]),
    Word(u8),
    Number(i64),
    /// A whole request that changes something, with this body.
    Change(u8, &'a str),
}

/// Separated by bars; `¶` is an end of line.
const WORDS: &str = "\
GET |HEAD |POST |PUT |DELETE |/v1/status|/v1/pools/app|/backends/|web-01|%2F|/v1/drain|/v1/stop|/v1/events|?|recent=3|\
follow=false|&| HTTP/1.1¶|\
 HTTP/1.0¶|Host: x¶|Content-Type: application/json¶|Content-Length: |Connection: close¶|Expect: 100-continue¶|\
Transfer-Encoding: chunked¶|Origin: x¶|¶|¶¶|{|}|\"weight\": |\"admin\": \"drain\"|\"address\": \"10.0.0.9:80\"|,";

const METHODS: [&str; 3] = ["POST", "PUT", "DELETE"];

const CONFIG: &str = "\
listener = [{ name = 'web', bind = '127.0.0.1:0', pool = 'app' }]
[[pool]]
name = 'app'
backend = [{ name = 'web-01', address = '10.0.0.1:80' }, { address = 'unix:/run/app.sock' }]
";

fuzz_target!(|run: Run<'_>| {
    static PARSED: OnceLock<Config> = OnceLock::new();
    let config = PARSED.get_or_init(|| Config::parse(CONFIG, "fuzz").expect("it is right"));
    let text = text(&run.parts);
    let server = Server::new(config.clone()).expect("it is right");
    let (mut dialogue, mut answer) = (server.admin(), Vec::new());
    let (mut rest, mut goes_on, mut taken) = (&text[..], true, 0);
    let mut checker = Checker::default();
    let mut sizes = run.pieces.iter().map(|size| usize::from(*size)).chain([usize::MAX]).cycle();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
        let (piece, after) = rest.split_at(size);
        rest = after;
        let before = answer.len();
        let went_on = goes_on;
        goes_on = dialogue.handle_bytes(piece, &mut answer);
        let answers = checker.check(&answer[before..]);
        assert!(answers <= AHEAD_MAX);
        assert!(went_on || (!goes_on && answers == 0), "it was over");
        taken += 1;
        if checker.streams != Streams::Not {
            let before = answer.len();
            goes_on = dialogue.handle_news(&mut answer);
            assert_eq!(checker.check(&answer[before..]), 0, "events are no answers");
        }
    }
    assert!(taken == 0 || !dialogue.handle_bytes(b"", &mut answer), "the client has ended");
    let pool = server.pool("app").expect("it is there");
    for backend in pool.backends() {
        assert!((1..=65_535).contains(&backend.weight) && (1..=255).contains(&backend.name.len()));
        assert!(!backend.name.contains(char::is_control));
    }
});

fn text(parts: &[Part<'_>]) -> Vec<u8> {
    let mut text = Vec::new();
    for part in parts {
        match part {
            Part::Any(bytes) => text.extend_from_slice(bytes),
            Part::Word(at) => {
                let words: Vec<&str> = WORDS.split('|').collect();
                text.extend(words[usize::from(*at) % words.len()].replace('¶', "\r\n").bytes());
            }
            Part::Number(number) => text.extend(number.to_string().bytes()),
            Part::Change(method, body) => {
                let method = METHODS[usize::from(*method) % METHODS.len()];
                text.extend(
                    format!(
                        "{method} /v1/pools/app/backends/web-01 HTTP/1.1\r\nHost: x\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                    .bytes(),
                );
            }
        }
    }
    text
}

/// Takes apart what is answered.
#[derive(Default)]
struct Checker {
    streams: Streams,
}

/// Whether events are told.
#[derive(Clone, Copy, Default, PartialEq)]
enum Streams {
    #[default]
    Not,
    Chunks,
    /// To one who speaks HTTP/1.0.
    Lines,
    Ended,
}

impl Checker {
    /// Counts the answers, each of which must be whole.
    fn check(&mut self, mut bytes: &[u8]) -> usize {
        let mut count = 0;
        while !bytes.is_empty() {
            match self.streams {
                Streams::Not => {}
                Streams::Chunks => {
                    bytes = self.chunk(bytes);
                    continue;
                }
                Streams::Lines => {
                    assert!(bytes.starts_with(b"{") && bytes.ends_with(b"}\n"));
                    return count;
                }
                Streams::Ended => panic!("something follows the end"),
            }
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends") + 4;
            let head = std::str::from_utf8(&bytes[..end]).expect("a head is ASCII");
            assert!(head.starts_with("HTTP/1.1 ") && head.is_ascii(), "{head}");
            bytes = &bytes[end..];
            if head.starts_with("HTTP/1.1 100 ") {
                continue;
            }
            count += 1;
            if head.contains("application/x-ndjson") {
                let is_chunked = head.contains("Transfer-Encoding: chunked");
                self.streams = if is_chunked { Streams::Chunks } else { Streams::Lines };
                continue;
            }
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            // A HEAD is answered without the body.
            if let Some(length) = length.filter(|_| bytes.first() == Some(&b'{')) {
                let (body, rest) = bytes.split_at(length.parse().expect("a number"));
                assert!(body.ends_with(b"}\n"));
                assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 1);
                bytes = rest;
            }
        }
        count
    }

    /// Takes one chunk, and gives what is behind it.
    fn chunk<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.windows(2).position(|window| window == b"\r\n").expect("a size ends");
        let size = std::str::from_utf8(&bytes[..end]).expect("a size is ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size is a number");
        let (chunk, rest) = bytes[end + 2..].split_at(size);
        assert!(chunk.is_empty() || (chunk.starts_with(b"{") && chunk.ends_with(b"}\n")));
        if chunk.is_empty() {
            self.streams = Streams::Ended;
        }
        rest.strip_prefix(b"\r\n").expect("a chunk ends")
    }
}
