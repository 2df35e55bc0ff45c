//! What is answered, as bytes.

use serde::Serialize;

use crate::error::Error;

/// An answer without its framing.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// JSON, ending in a newline; empty for none.
    pub(super) body: Vec<u8>,
    /// The methods that would have been right.
    pub(super) allow: Option<&'static str>,
    /// Whether nothing more is to be expected of this connection.
    pub(super) is_last: bool,
}

/// The statuses there are, with their phrases.
const STATUSES: [(u16, &str); 19] = [
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (204, "No Content"),
    (400, "Bad Request"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (411, "Length Required"),
    (413, "Content Too Large"),
    (415, "Unsupported Media Type"),
    (417, "Expectation Failed"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (503, "Service Unavailable"),
    (505, "HTTP Version Not Supported"),
];

/// What every answer bears. A client knows by `Server` whom it speaks with.
const ALWAYS: &str = concat!(
    "Server: trimtab/",
    env!("CARGO_PKG_VERSION"),
    "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
);

#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
}

impl Answer {
    pub(super) fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self { status, body, allow: None, is_last: false }
            }
            // Nothing that is told here has a map with keys that are no text; should it, this says so.
            Err(error) => Self::error(500, &error.to_string()),
        }
    }

    pub(super) fn nothing() -> Self {
        Self { status: 204, body: Vec::new(), allow: None, is_last: false }
    }

    pub(super) fn error(status: u16, why: &str) -> Self {
        Self::json(status, &Told { error: why })
    }

    /// As the last one of the connection: what follows cannot be told apart from what was refused.
    pub(super) fn last(self) -> Self {
        Self { is_last: true, ..self }
    }

    /// Appends it as it goes over the wire.
    pub(super) fn write(&self, is_last: bool, without_body: bool, to: &mut Vec<u8>) {
        let phrase =
            STATUSES.iter().find(|(status, _)| *status == self.status).map_or("", |(_, phrase)| phrase);
        let mut head = format!("HTTP/1.1 {} {phrase}\r\n{ALWAYS}", self.status);
        if self.status != 204 {
            head.push_str("Content-Type: application/json\r\n");
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        if let Some(allow) = self.allow {
            head.push_str(&format!("Allow: {allow}\r\n"));
        }
        if is_last {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        to.extend_from_slice(head.as_bytes());
        if !without_body {
            to.extend_from_slice(&self.body);
        }
    }
}

/// Lines of JSON, one by one, for as long as it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// In chunks, so that a cut can be told from an end. HTTP/1.0 has none.
    pub(super) is_chunked: bool,
}

impl Stream {
    /// Appends the head of the answer.
    pub(super) fn begin(self, to: &mut Vec<u8>) {
        let chunked = if self.is_chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\n{ALWAYS}Content-Type: application/x-ndjson\r\n{chunked}Connection: close\r\n\r\n"
        );
        to.extend_from_slice(head.as_bytes());
    }

    /// Appends some lines.
    pub(super) fn write(self, lines: &[u8], to: &mut Vec<u8>) {
        if lines.is_empty() {
            // A chunk of nothing would be the end.
            return;
        }
        if self.is_chunked {
            to.extend_from_slice(format!("{:x}\r\n", lines.len()).as_bytes());
        }
        to.extend_from_slice(lines);
        if self.is_chunked {
            to.extend_from_slice(b"\r\n");
        }
    }

    /// Appends the end.
    pub(super) fn end(self, to: &mut Vec<u8>) {
        if self.is_chunked {
            to.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::InvalidArgument { .. } => 400,
            Error::NotFound { .. } => 404,
            Error::Exists { .. } | Error::Capacity { .. } | Error::State { .. } => 409,
            Error::NotPrimary { .. } | Error::NoQuorum | Error::Superseded => 409,
            Error::Forked { .. } => 503,
            _ => 500,
        };
        Self::error(status, &error.to_string())
    }
}
