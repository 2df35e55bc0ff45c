//! The answer's head, and what is made of it.

use std::sync::Arc;

use super::super::{Probe, Progress, ended};
use super::body::Body;
use super::{ExpectHeader, HEAD_MAX, HEADERS_MAX, Http, INTERIM_MAX};
use crate::health::facts::Facts;
use crate::health::reason::{Reason, shown};

#[derive(Debug)]
pub(in super::super) struct Dialogue {
    http: Arc<Http>,
    authority: Box<str>,
    head: Head,
    interim: u32,
    /// Once the head was good and something is wanted of the body.
    body: Option<Body>,
}

/// The bytes of a head up to its empty line.
#[derive(Debug, Default)]
struct Head {
    bytes: Vec<u8>,
    /// Whether nothing but a CR came since the last LF.
    is_line_empty: bool,
}

const BEGINS: &[u8] = b"HTTP/1.";

impl Head {
    /// Takes what belongs to the head off `input`; `true` once it is whole.
    fn take(&mut self, input: &mut &[u8]) -> Result<bool, Reason> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if self.bytes.len() == HEAD_MAX {
                return Err(Reason::answer(format!("a head of more than {HEAD_MAX} bytes")));
            }
            self.bytes.push(byte);
            if BEGINS.get(self.bytes.len() - 1).is_some_and(|expected| *expected != byte) {
                let begin = shown(&self.bytes);
                return Err(Reason::answer(format!("no HTTP/1: the answer begins with {begin}")));
            }
            match byte {
                b'\n' if self.is_line_empty => return Ok(true),
                b'\n' => self.is_line_empty = true,
                b'\r' => {}
                _ => self.is_line_empty = false,
            }
        }
        Ok(false)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.is_line_empty = false;
    }
}

impl Dialogue {
    pub(in super::super) fn new(http: Arc<Http>, authority: &str) -> Self {
        // A unix socket is no host; its path may hold anything.
        let is_host = super::is_visible(authority) && !authority.starts_with("unix:");
        let authority = if is_host { authority } else { "localhost" }.into();
        Self { http, authority, head: Head::default(), interim: 0, body: None }
    }

    fn step(&mut self, mut input: &[u8]) -> Result<Progress, Reason> {
        while self.body.is_none() {
            if !self.head.take(&mut input)? {
                return Ok(Progress::More);
            }
            self.body = read(&self.http, &self.head.bytes)?;
            if self.body.is_some() {
                break;
            }
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                return Err(Reason::answer(format!("more than {INTERIM_MAX} interim answers")));
            }
            self.head.clear();
        }
        if let (Some(body), Some(_)) = (&mut self.body, &self.http.body)
            && !body.take(input)?
        {
            return Ok(Progress::More);
        }
        self.judge().map(Progress::Good)
    }

    /// The head was good; what is left to say of the body?
    fn judge(&self) -> Result<Facts, Reason> {
        if let (Some(body), Some(pattern)) = (&self.body, &self.http.body)
            && !pattern.is_in(body.kept())
        {
            let kept = body.kept();
            return Err(Reason::answer(format!(
                "{pattern} is not in the body's first {} bytes: {}",
                kept.len(),
                shown(kept)
            )));
        }
        Ok(Facts::default())
    }
}

impl Probe for Dialogue {
    fn begin(&mut self, out: &mut Vec<u8>) -> Progress {
        self.head.clear();
        (self.interim, self.body) = (0, None);
        self.http.write(&self.authority, out);
        Progress::More
    }

    fn handle_bytes(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Progress {
        self.step(bytes).into()
    }

    fn handle_end(&mut self) -> Progress {
        match &self.body {
            None => ended("the end of the answer's head", &self.head.bytes),
            Some(body) => body.ends().and_then(|()| self.judge()).map(Progress::Good).into(),
        }
    }
}

/// Reads a head. Gives the body behind it when the head is good, `None` when the answer is an interim one.
fn read(http: &Http, head: &[u8]) -> Result<Option<Body>, Reason> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Reason::answer("a head that ends within itself")),
        Err(error) => return Err(Reason::answer(format!("no head of HTTP/1: {error}: {}", shown(head)))),
    }
    let status = response.code.unwrap_or_default();
    if (100..200).contains(&status) && status != 101 && !http.statuses.holds(status) {
        return Ok(None);
    }
    if !http.statuses.holds(status) {
        let phrase = response.reason.filter(|phrase| !phrase.is_empty());
        let phrase = phrase.map_or_else(String::new, |phrase| format!(" {phrase}"));
        return Err(Reason::answer(format!("status {status}{phrase}, wanted {}", http.statuses)));
    }
    for wanted in &http.expect_headers {
        check_header(wanted, response.headers)?;
    }
    if http.body.is_none() || status < 200 || matches!(status, 204 | 304) {
        return Ok(Some(Body::none()));
    }
    let codings = values(response.headers, "transfer-encoding");
    let lengths = values(response.headers, "content-length");
    Body::new(&codings, &lengths).map(Some)
}

fn values<'a>(headers: &[httparse::Header<'a>], name: &str) -> Vec<&'a [u8]> {
    headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
        .collect()
}

fn check_header(wanted: &ExpectHeader, headers: &[httparse::Header<'_>]) -> Result<(), Reason> {
    let values = values(headers, &wanted.name);
    match (&wanted.value, values.as_slice()) {
        (_, []) => Err(Reason::answer(format!("the answer has no header {}", wanted.name))),
        (Some(pattern), values) if !values.iter().any(|value| pattern.is_in(value)) => Err(Reason::answer(
            format!("{pattern} is not in the header {}: {}", wanted.name, shown(values[0])),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::pattern::Pattern;
    use super::super::super::testing::{answer, bytes_near, check_any};
    use super::super::super::{ANSWER_MAX, Kind};
    use super::super::{BODY_MAX, Options};
    use super::*;

    fn kind(options: Options) -> Kind {
        Kind::Http(Arc::new(Http::new(options).unwrap()))
    }

    fn plain() -> Kind {
        kind(Options::default())
    }

    fn wants(body: &str) -> Kind {
        kind(Options { body: Some(Pattern::regex(body).unwrap()), ..Options::default() })
    }

    #[test]
    fn an_accepted_status_is_good_at_the_heads_end() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
            "HTTP/1.0 302 Found\r\n\r\n",
            "HTTP/1.1 204\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert_eq!(*answer(&plain(), head.as_bytes(), false).facts(), Facts::default(), "{head}");
            let short = &head.as_bytes()[..head.len() - 1];
            assert_eq!(answer(&plain(), short, false).answer, Progress::More, "{head}");
        }
    }

    #[test]
    fn a_unix_socket_is_asked_as_localhost() {
        for (authority, host) in [
            ("[fe80::1%3]:80", "[fe80::1%3]:80"),
            ("unix:/run/app.sock", "localhost"),
            ("unix:@app", "localhost"),
            ("/run/a\r\nX: y", "localhost"),
        ] {
            let mut out = Vec::new();
            Dialogue::new(Arc::new(Http::new(Options::default()).unwrap()), authority).begin(&mut out);
            let sent = String::from_utf8(out).unwrap();
            assert_eq!(sent.lines().nth(1).unwrap(), format!("Host: {host}"));
        }
    }

    #[test]
    fn another_status_is_told() {
        let came = answer(&plain(), b"HTTP/1.1 503 Service Unavailable\r\n\r\n", false);
        assert_eq!(came.reason(), "answer: status 503 Service Unavailable, wanted 200-399");
        let only = kind(Options { statuses: "401".parse().unwrap(), ..Options::default() });
        answer(&only, b"HTTP/1.1 401 Unauthorized\r\n\r\n", false).facts();
        assert!(answer(&only, b"HTTP/1.1 200 OK\r\n\r\n", false).reason().contains("wanted 401"));
        assert!(answer(&plain(), b"HTTP/1.1 101 Switching\r\n\r\n", false).reason().contains("101"));
        let upgrade = kind(Options { statuses: "101".parse().unwrap(), ..Options::default() });
        answer(&upgrade, b"HTTP/1.1 101 Switching\r\n\r\n", false).facts();
    }

    #[test]
    fn what_is_no_answer_is_told_early() {
        let many = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
        let long = |length: usize| {
            let head = "HTTP/1.1 200 OK\r\nA: \r\n\r\n";
            head.replace("A: ", &format!("A: {}", "b".repeat(length - head.len())))
        };
        answer(&plain(), many(HEADERS_MAX).as_bytes(), false).facts();
        answer(&plain(), long(HEAD_MAX).as_bytes(), false).facts();
        let interim = "HTTP/1.1 102 Processing\r\n\r\n";
        for (bytes, part) in [
            ("SSH-2.0".to_string(), r#"no HTTP/1: the answer begins with "S""#),
            ("HTTP/2 200\r\n\r\n".to_string(), r#"begins with "HTTP/2""#),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n".to_string(), "no HTTP/1"),
            ("HTTP/1.1 2x0 OK\r\n\r\n".to_string(), "no head of HTTP/1"),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_string(), "no head of HTTP/1"),
            (many(HEADERS_MAX + 1), "too many headers"),
            (long(HEAD_MAX + 1), "more than 16384 bytes"),
            (interim.repeat(INTERIM_MAX as usize + 1), "more than 8 interim"),
        ] {
            let reason = answer(&plain(), bytes.as_bytes(), false).reason();
            assert!(reason.contains(part), "{reason}");
        }
        answer(&plain(), [&interim.repeat(8), "HTTP/1.1 200 OK\r\n\r\n"].concat().as_bytes(), false).facts();
        assert!(answer(&plain(), b"", true).reason().contains("closed before the end of the answer's head"));
        assert!(answer(&plain(), b"HTTP/1.1 200 OK\r\n", true).reason().contains("after \"HTTP/1.1 200"));
    }

    #[test]
    fn headers_are_looked_at() {
        let wants = |name: &str, value: Option<&str>| {
            let value = value.map(|value| Pattern::regex(value).unwrap());
            let expect_headers = vec![ExpectHeader { name: name.into(), value }];
            kind(Options { expect_headers, ..Options::default() })
        };
        let head = b"HTTP/1.1 200 OK\r\nX-Role: replica\r\nx-role: primary\r\n\r\n";
        answer(&wants("x-ROLE", None), head, false).facts();
        answer(&wants("X-Role", Some("^primary$")), head, false).facts();
        assert!(answer(&wants("X-Lag", None), head, false).reason().contains("no header X-Lag"));
        let reason = answer(&wants("X-Role", Some("^none")), head, false).reason();
        assert!(reason.contains(r#"/^none/ is not in the header X-Role: "replica""#), "{reason}");
    }

    #[test]
    fn a_body_ends_by_its_length_its_chunks_or_the_connection() {
        let head = "HTTP/1.1 200 OK\r\n";
        for (rest, ends) in [
            ("Content-Length: 5\r\n\r\nreadyAND MORE", false),
            ("Content-Length: 5\r\ncontent-length: 5\r\n\r\nready", false),
            ("Transfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nrea\r\n02\ndy\r\n0\r\n", false),
            ("Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nready\r\n0\r\n\r\n", false),
            ("\r\nready", true),
        ] {
            let came = answer(&wants("^ready$"), [head, rest].concat().as_bytes(), ends);
            assert_eq!(came.answer, Progress::Good(Facts::default()), "{rest}");
        }
        assert_eq!(
            answer(&wants("^ready$"), [head, "\r\nready"].concat().as_bytes(), false).answer,
            Progress::More,
            "more may come"
        );
        for (rest, part) in [
            ("Content-Length: 6\r\n\r\nunwell", r#"/^ready$/ is not in the body's first 6 bytes: "unwell""#),
            ("Content-Length: 0\r\n\r\nready", "first 0 bytes"),
            ("Content-Length: 5\r\nContent-Length: 6\r\n\r\nready", "no length: \"5, 6\""),
            ("Content-Length: +5\r\n\r\nready", "no length"),
            ("Content-Length: \r\n\r\nready", "no length"),
            ("Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding \"gzip, chunked\""),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "not understood"),
            ("Transfer-Encoding: chunked\r\n\r\nready\r\n", "no size of a chunk"),
            ("Transfer-Encoding: chunked\r\n\r\n\r\n", "no size of a chunk"),
            ("Transfer-Encoding: chunked\r\n\r\n+5\r\n", "no size of a chunk"),
            ("Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", "no size of a chunk"),
            ("Transfer-Encoding: chunked\r\n\r\n1\r\nready", "goes on behind its end"),
        ] {
            let reason = answer(&wants("^ready$"), [head, rest].concat().as_bytes(), false).reason();
            assert!(reason.contains(part), "{rest}: {reason}");
        }
        for (rest, part) in [
            ("Content-Length: 9\r\n\r\nready", "4 bytes before the body's end"),
            ("Transfer-Encoding: chunked\r\n\r\n5\r\nready\r\n", "before the last chunk"),
        ] {
            let reason = answer(&wants("^ready$"), [head, rest].concat().as_bytes(), true).reason();
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn answers_without_a_body_have_an_empty_one() {
        let head = kind(Options { method: "HEAD".into(), ..Options::default() });
        answer(&head, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false).facts();
        answer(&wants("^$"), b"HTTP/1.1 204 None\r\n\r\n", false).facts();
        assert!(answer(&wants("x"), b"HTTP/1.1 304 Same\r\n\r\n", false).reason().contains("first 0 bytes"));
    }

    #[test]
    fn of_a_long_body_the_beginning_counts() {
        let head = "HTTP/1.1 200 OK\r\n\r\n";
        let body = |at: usize| [head.as_bytes(), &vec![b'x'; at], b"ready"].concat();
        answer(&wants("ready"), &body(BODY_MAX - 5), false).facts();
        let reason = answer(&wants("ready"), &body(BODY_MAX - 4), false).reason();
        assert!(reason.contains("first 65536 bytes"), "{reason}");
        let endless = [head.as_bytes(), &vec![b'x'; ANSWER_MAX]].concat();
        assert!(answer(&wants("ready"), &endless, false).reason().contains("first 65536 bytes"));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_panics(
            bytes in bytes_near(&[
                b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Go\r\n\r\n", b"HTTP/1.1", b" 204\n", b"\r\n", b"\n",
                b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nready\r\n", b"0\r\n", b"ready",
            ]),
            size in 1usize..40,
        ) {
            check_any(&plain(), &bytes, size);
            check_any(&wants("^ready$"), &bytes, size);
        }

        #[test]
        fn bodies_come_out_as_they_went_in(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..9), 0..9),
            size in 1usize..40,
            is_chunked: bool,
        ) {
            let body = parts.concat();
            let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
            if is_chunked {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for part in &parts {
                    bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    bytes.extend_from_slice(part);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            } else {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(&body);
            }
            let exactly: String = body.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            let kind = wants(&format!("(?s)^{exactly}$"));
            let came = super::super::super::testing::run(&kind, &bytes, size, false);
            prop_assert_eq!(came.answer, Progress::Good(Facts::default()));
        }
    }
}
