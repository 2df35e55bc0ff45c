//! A request of HTTP/1.1 (RFC 9110, RFC 9112) and what its answer must be: an accepted status, headers that hold
//! what they must, and a body that does. The connection is for this one request.
//!
//! | file | owns |
//! |---|---|
//! | `mod` | the request, and what is wanted of the answer |
//! | `status` | sets of statuses |
//! | `dialogue` | the answer's head |
//! | `body` | where the body ends, and its first bytes |
//!
//! The body is looked at only where something is wanted of it; then its length, chunks or the end of the
//! connection tell where it ends, and of a longer one the first [`BODY_MAX`] bytes count.

use std::fmt;

use super::pattern::Pattern;
use crate::error::{Error, Result};

mod body;
mod dialogue;
pub mod status;

pub(super) use dialogue::Dialogue;
pub use status::Statuses;

/// The longest head of an answer, in bytes.
pub const HEAD_MAX: usize = 16_384;
/// The most headers of an answer.
pub const HEADERS_MAX: usize = 128;
/// How many interim answers (100 to 199) may come first.
pub const INTERIM_MAX: u32 = 8;
/// How much of a body is looked at, in bytes.
pub const BODY_MAX: usize = 65_536;
/// The longest request, in bytes.
pub const REQUEST_MAX: usize = 16_384;

/// What an HTTP probe is told.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `method` | | a token of 1 to 32 bytes, not `CONNECT` | `GET` | every server knows it; `HEAD` spares the body |
/// | `path` | bytes | begins with `/`, or `*`; visible ASCII | `/` | every server has it |
/// | `host` | bytes | visible ASCII | the backend's address | what a client that knows no name sends |
/// | `headers` | | up to 32, not those of the framing | `User-Agent` alone | |
/// | `statuses` | | 100 to 599 | 200 to 399 | HAProxy's |
/// | `expect_headers` | | up to 16 | none | |
/// | `body` | | a pattern; not with `HEAD` | none | the status is the answer |
///
/// A request has at most [`REQUEST_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The request's method.
    pub method: String,
    /// The request's path, with a query where there is one.
    pub path: String,
    /// The header `Host`.
    pub host: Option<String>,
    /// More headers. A `User-Agent` replaces ours.
    pub headers: Vec<(String, String)>,
    /// Which statuses are good.
    pub statuses: Statuses,
    /// Headers the answer must have.
    pub expect_headers: Vec<ExpectHeader>,
    /// What the body must hold.
    pub body: Option<Pattern>,
}

/// A header the answer must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectHeader {
    /// Its name, in any case.
    pub name: String,
    /// What one of its values must hold; any value will do without.
    pub value: Option<Pattern>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: "GET".to_string(),
            path: "/".to_string(),
            host: None,
            headers: Vec::new(),
            statuses: Statuses::default(),
            expect_headers: Vec::new(),
            body: None,
        }
    }
}

/// A request ready to be sent, and what is wanted of the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// Up to the value of `Host`, and from behind it.
    before_host: Vec<u8>,
    host: Option<String>,
    behind_host: Vec<u8>,
    statuses: Statuses,
    expect_headers: Vec<ExpectHeader>,
    body: Option<Pattern>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The headers may hold credentials.
        let line = self.before_host.split(|byte| *byte == b'\r').next().unwrap_or_default();
        f.debug_struct("Http")
            .field("request", &String::from_utf8_lossy(line))
            .field("host", &self.host)
            .field("statuses", &self.statuses)
            .field("expect_headers", &self.expect_headers)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl Http {
    /// Refuses what is out of range or would not be one request.
    pub fn new(options: Options) -> Result<Self> {
        check_method(&options.method)?;
        check_path(&options.path)?;
        if options.host.as_ref().is_some_and(|host| host.is_empty() || !is_visible(host)) {
            return Err(Error::invalid("host", "it is empty or holds other than visible ASCII characters"));
        }
        if options.method == "HEAD" && options.body.is_some() {
            let detail = "an answer to HEAD has no body, so what is wanted of it is never there; use GET";
            return Err(Error::invalid("method", detail));
        }
        if options.statuses.is_empty() {
            return Err(Error::invalid("statuses", "no status is accepted, so no answer could be good"));
        }
        if options.headers.len() > HEADERS {
            let given = options.headers.len();
            return Err(Error::invalid("headers", format!("{given} headers; {HEADERS} at most are sent")));
        }
        if options.expect_headers.len() > EXPECT_HEADERS {
            let given = options.expect_headers.len();
            let detail = format!("{given} headers; {EXPECT_HEADERS} at most are looked for");
            return Err(Error::invalid("expect_headers", detail));
        }
        for (name, value) in &options.headers {
            check_header(name, value)?;
        }
        for header in &options.expect_headers {
            check_name("expect_headers", &header.name)?;
        }
        let before_host = format!("{} {} HTTP/1.1\r\nHost: ", options.method, options.path).into_bytes();
        let mut behind_host = b"\r\n".to_vec();
        if !options.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            behind_host.extend_from_slice(b"User-Agent: trimtab\r\n");
        }
        for (name, value) in &options.headers {
            behind_host.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if ["POST", "PUT", "PATCH"].contains(&options.method.as_str()) {
            behind_host.extend_from_slice(b"Content-Length: 0\r\n");
        }
        behind_host.extend_from_slice(b"Connection: close\r\n\r\n");
        let length = before_host.len() + options.host.as_ref().map_or(0, String::len) + behind_host.len();
        if length > REQUEST_MAX {
            let detail = format!("the request has {length} bytes; {REQUEST_MAX} at most are sent");
            return Err(Error::invalid("headers", detail));
        }
        Ok(Self {
            before_host,
            host: options.host,
            behind_host,
            statuses: options.statuses,
            expect_headers: options.expect_headers,
            body: options.body,
        })
    }

    fn write(&self, authority: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before_host);
        out.extend_from_slice(self.host.as_deref().unwrap_or(authority).as_bytes());
        out.extend_from_slice(&self.behind_host);
    }
}

/// The most headers that are sent and looked for.
const HEADERS: usize = 32;
const EXPECT_HEADERS: usize = 16;
const METHOD_MAX: usize = 32;

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_token(text: &str) -> bool {
    let is_sign = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

fn check_method(method: &str) -> Result<()> {
    if method.len() > METHOD_MAX || !is_token(method) {
        return Err(Error::invalid("method", format!("it is no word of 1 to {METHOD_MAX} letters")));
    }
    if method == "CONNECT" {
        return Err(Error::invalid("method", "CONNECT makes a tunnel and asks nothing; use GET or HEAD"));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<()> {
    if !(path.starts_with('/') || path == "*") {
        let detail = "it does not begin with /; the scheme and the host do not belong in it";
        return Err(Error::invalid("path", detail));
    }
    if !is_visible(path) || path.contains('#') {
        let detail =
            "it holds a blank, a # or other than visible ASCII characters; write them as %20, %23 and so on";
        return Err(Error::invalid("path", detail));
    }
    Ok(())
}

fn check_name(what: &'static str, name: &str) -> Result<()> {
    if is_token(name) {
        return Ok(());
    }
    Err(Error::invalid(what, format!("{name:?} is no name of a header")))
}

fn check_header(name: &str, value: &str) -> Result<()> {
    check_name("headers", name)?;
    let ours =
        ["host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect", "trailer"];
    if let Some(ours) = ours.iter().find(|ours| name.eq_ignore_ascii_case(ours)) {
        let instead = if *ours == "host" { "use the option host" } else { "leave it out" };
        return Err(Error::invalid("headers", format!("{name} is set by the probe itself; {instead}")));
    }
    if value.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
        return Err(Error::invalid("headers", format!("the value of {name} holds a control character")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::testing::run;
    use super::*;
    use std::sync::Arc;

    fn sent(options: Options) -> String {
        let kind = Kind::Http(Arc::new(Http::new(options).unwrap()));
        String::from_utf8(run(&kind, b"", 1, false).sent).unwrap()
    }

    #[test]
    fn the_request_is_what_was_told() {
        assert_eq!(
            sent(Options::default()),
            "GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: trimtab\r\nConnection: close\r\n\r\n"
        );
        let full = Options {
            method: "POST".into(),
            path: "/check?deep=1".into(),
            host: Some("app.example.org".into()),
            headers: vec![("X-Probe".into(), "lb 1".into()), ("user-agent".into(), "mine".into())],
            ..Options::default()
        };
        assert_eq!(
            sent(full),
            "POST /check?deep=1 HTTP/1.1\r\nHost: app.example.org\r\nX-Probe: lb 1\r\nuser-agent: mine\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn what_would_not_be_one_request_is_refused() {
        let good = Options::default;
        let header =
            |name: &str, value: &str| Options { headers: vec![(name.into(), value.into())], ..good() };
        for (what, part, options) in [
            ("method", "no word", Options { method: "".into(), ..good() }),
            ("method", "no word", Options { method: "GET /x".into(), ..good() }),
            ("method", "no word", Options { method: "G".repeat(33), ..good() }),
            ("method", "CONNECT", Options { method: "CONNECT".into(), ..good() }),
            (
                "method",
                "use GET",
                Options { method: "HEAD".into(), body: Some(Pattern::bytes(*b"ok").unwrap()), ..good() },
            ),
            ("path", "begin with /", Options { path: "".into(), ..good() }),
            ("path", "begin with /", Options { path: "http://x/".into(), ..good() }),
            ("path", "%20", Options { path: "/a b".into(), ..good() }),
            ("path", "%23", Options { path: "/a#b".into(), ..good() }),
            ("path", "ASCII", Options { path: "/ä".into(), ..good() }),
            ("path", "ASCII", Options { path: "/\r\n".into(), ..good() }),
            ("host", "ASCII", Options { host: Some("a\r\nb".into()), ..good() }),
            ("host", "empty", Options { host: Some("".into()), ..good() }),
            ("statuses", "no status", Options { statuses: Statuses::none(), ..good() }),
            ("headers", "no name", header("X Y", "z")),
            ("headers", "no name", header("", "z")),
            ("headers", "control character", header("X", "a\r\nEvil: 1")),
            ("headers", "use the option host", header("HOST", "x")),
            ("headers", "leave it out", header("Content-Length", "5")),
            ("headers", "33 headers", Options { headers: vec![("X".into(), "".into()); 33], ..good() }),
            ("headers", "16384 at most", header("X", &"y".repeat(REQUEST_MAX))),
            (
                "expect_headers",
                "no name",
                Options { expect_headers: vec![ExpectHeader { name: "".into(), value: None }], ..good() },
            ),
            (
                "expect_headers",
                "17 headers",
                Options {
                    expect_headers: vec![ExpectHeader { name: "X".into(), value: None }; 17],
                    ..good()
                },
            ),
        ] {
            let error = Http::new(options).unwrap_err();
            let Error::InvalidArgument { what: named, .. } = &error else { panic!("{error:?}") };
            assert!(*named == what && error.to_string().contains(part), "{error}");
        }
        assert!(Http::new(Options { path: "*".into(), method: "OPTIONS".into(), ..good() }).is_ok());
    }

    #[test]
    fn credentials_are_not_shown() {
        let options = Options {
            headers: vec![("Authorization".into(), "Basic aHVudGVyMg==".into())],
            ..Options::default()
        };
        let shown = format!("{:?}", Http::new(options).unwrap());
        assert!(shown.contains("GET / HTTP/1.1") && !shown.contains("aHVudGVyMg"), "{shown}");
    }
}
