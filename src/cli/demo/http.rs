//! As much HTTP/1.1 as the demo speaks: requests without a body, answers with one. Bytes in, bytes out; both
//! ends of a connection use it, so that each checks the other.

use httparse::{EMPTY_HEADER, Header, Status};

/// What the bytes read so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    /// The beginning of a message.
    Partial,
    /// A message, and how many bytes of them it takes.
    Whole(T, usize),
    /// Nothing the demo would say; the reason in a few words.
    Wrong(&'static str),
}

/// What a backend is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) target: String,
    pub(super) keep_alive: bool,
}

/// What a client is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The backend that answered, by its own word.
    pub(super) backend: String,
    /// The target it was asked for, by its own word.
    pub(super) target: String,
    pub(super) keep_alive: bool,
}

/// The longest message taken, head and body.
pub(super) const MESSAGE_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 32;
/// Names the backend that answers.
const BACKEND: &str = "x-backend";
/// Repeats the target asked for: an answer that went to another client than asked would be noticed.
const TARGET: &str = "x-target";

impl Request {
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(bytes) {
            Ok(Status::Complete(head)) if head <= MESSAGE_MAX => head,
            Ok(Status::Partial) if bytes.len() < MESSAGE_MAX => return Parsed::Partial,
            Ok(_) => return Parsed::Wrong("a head above 8 KiB"),
            Err(_) => return Parsed::Wrong("no HTTP/1"),
        };
        if request.method != Some("GET") {
            return Parsed::Wrong("another method than GET");
        }
        let has_body = value(request.headers, "content-length").is_some_and(|length| length != "0")
            || value(request.headers, "transfer-encoding").is_some();
        if has_body {
            return Parsed::Wrong("a request with a body");
        }
        let keep_alive = keeps_alive(request.version, request.headers);
        Parsed::Whole(Self { target: request.path.unwrap_or("/").to_string(), keep_alive }, head)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { target, keep_alive } = self;
        format!("GET {target} HTTP/1.1\r\nHost: demo\r\n{}\r\n", connection(*keep_alive)).into_bytes()
    }
}

impl Answer {
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(bytes) {
            Ok(Status::Complete(head)) => head,
            Ok(Status::Partial) if bytes.len() < MESSAGE_MAX => return Parsed::Partial,
            Ok(Status::Partial) => return Parsed::Wrong("an answer above 8 KiB"),
            Err(_) => return Parsed::Wrong("an answer that is no HTTP/1"),
        };
        if response.code != Some(200) {
            return Parsed::Wrong("another status than 200");
        }
        let headers = &*response.headers;
        let (Some(backend), Some(target)) = (value(headers, BACKEND), value(headers, TARGET)) else {
            return Parsed::Wrong("an answer that names no backend");
        };
        let body = body(backend);
        if value(headers, "content-length").and_then(|length| length.parse().ok()) != Some(body.len()) {
            return Parsed::Wrong("an answer of another length");
        }
        let rest = &bytes[head..];
        if rest.len() < body.len() {
            return match body.as_bytes().starts_with(rest) {
                true => Parsed::Partial,
                false => Parsed::Wrong("an answer with another body"),
            };
        }
        if !rest.starts_with(body.as_bytes()) {
            return Parsed::Wrong("an answer with another body");
        }
        let keep_alive = keeps_alive(response.version, headers);
        let answer = Self { backend: backend.to_string(), target: target.to_string(), keep_alive };
        Parsed::Whole(answer, head + body.len())
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { backend, target, keep_alive } = self;
        let body = body(backend);
        format!(
            "HTTP/1.1 200 OK\r\n{BACKEND}: {backend}\r\n{TARGET}: {target}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n{}\r\n{body}",
            body.len(),
            connection(*keep_alive)
        )
        .into_bytes()
    }
}

/// What is said to a request that is [`Parsed::Wrong`], before the connection is closed.
pub(super) const REFUSAL: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn body(backend: &str) -> String {
    format!("{backend} says hello\n")
}

fn connection(keep_alive: bool) -> &'static str {
    if keep_alive { "" } else { "Connection: close\r\n" }
}

fn keeps_alive(version: Option<u8>, headers: &[Header<'_>]) -> bool {
    version == Some(1)
        && !value(headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

fn value<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(keep_alive: bool) -> Request {
        Request { target: "/7".into(), keep_alive }
    }

    fn answer(keep_alive: bool) -> Answer {
        Answer { backend: "web-01".into(), target: "/7".into(), keep_alive }
    }

    #[test]
    fn what_is_written_is_read_back_however_it_is_cut() {
        for keep_alive in [true, false] {
            let bytes = request(keep_alive).to_bytes();
            for end in 0..bytes.len() {
                assert_eq!(Request::parse(&bytes[..end]), Parsed::Partial, "{end}");
            }
            let two = [&bytes[..], &bytes[..]].concat();
            assert_eq!(Request::parse(&two), Parsed::Whole(request(keep_alive), bytes.len()));

            let bytes = answer(keep_alive).to_bytes();
            for end in 0..bytes.len() {
                assert_eq!(Answer::parse(&bytes[..end]), Parsed::Partial, "{end}");
            }
            let two = [&bytes[..], b"HTTP"].concat();
            assert_eq!(Answer::parse(&two), Parsed::Whole(answer(keep_alive), bytes.len()));
        }
    }

    #[test]
    fn an_answer_that_is_not_quite_one_is_wrong() {
        let good = String::from_utf8(answer(true).to_bytes()).unwrap();
        for (from, to) in [
            ("200 OK", "502 Bad Gateway"),
            ("x-backend: web-01", "x-backend: web-02"),
            ("x-target", "x-goal"),
            ("says", "said"),
            ("Content-Length: 18", "Content-Length: 17"),
            ("HTTP/1.1", "SPDY/3"),
        ] {
            assert!(good.contains(from), "{good}");
            let bad = good.replace(from, to);
            assert!(matches!(Answer::parse(bad.as_bytes()), Parsed::Wrong(_)), "{bad}");
        }
        // A body that begins wrong is wrong before it is whole.
        let bad = good.replace("says", "said");
        assert!(matches!(Answer::parse(&bad.as_bytes()[..bad.len() - 2]), Parsed::Wrong(_)));
    }

    #[test]
    fn requests_beyond_the_demo_are_refused() {
        for bad in [
            "POST / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "\u{1}\u{2}\u{3}",
        ] {
            assert!(matches!(Request::parse(bad.as_bytes()), Parsed::Wrong(_)), "{bad}");
        }
        let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MESSAGE_MAX));
        assert!(matches!(Request::parse(endless.as_bytes()), Parsed::Wrong(_)));
        let old = b"GET / HTTP/1.0\r\n\r\n";
        let expected = Request { target: "/".into(), keep_alive: false };
        assert_eq!(Request::parse(old), Parsed::Whole(expected, old.len()));
    }
}
