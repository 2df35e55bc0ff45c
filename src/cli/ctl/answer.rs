//! An answer of HTTP/1.1: its head, and how its body ends.

use crate::cli::ctl::client::Trouble;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) body: Body,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunks,
    /// With the connection.
    Rest,
}

/// The longest head that is taken, in bytes.
pub(super) const HEAD_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 64;

/// Reads the head that `bytes` begin with, and how long it is. `None`: it is not all there.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Trouble> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let status = response.code.unwrap_or_default();
            Ok(Some((Head { status, body: body(status, response.headers)? }, length)))
        }
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => Err(Trouble::Stranger(String::new())),
    }
}

fn body(status: u16, fields: &[httparse::Header<'_>]) -> Result<Body, Trouble> {
    let field = |name: &str| {
        let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value.trim_ascii()))
    };
    let server = field("server").unwrap_or_default();
    if !server.starts_with("trimtab/") {
        return Err(Trouble::Stranger(server.into_owned()));
    }
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Body::Length(0));
    }
    if let Some(coding) = field("transfer-encoding") {
        return match &*coding {
            "chunked" => Ok(Body::Chunks),
            _ => Err(Trouble::Stranger(server.into_owned())),
        };
    }
    match field("content-length") {
        None => Ok(Body::Rest),
        Some(length) => length.parse().map(Body::Length).map_err(|_| Trouble::Stranger(server.into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "Server: trimtab/0.1.0\r\n";

    #[test]
    fn heads_tell_how_the_body_ends() {
        for (fields, status, expected) in [
            ("Content-Length: 12\r\n", "200 OK", Body::Length(12)),
            ("content-length:  0 \r\n", "404 Not Found", Body::Length(0)),
            ("Transfer-Encoding: chunked\r\n", "200 OK", Body::Chunks),
            ("", "200 OK", Body::Rest),
            ("", "204 No Content", Body::Length(0)),
        ] {
            let text = format!("HTTP/1.1 {status}\r\n{SERVER}{fields}\r\n");
            let bytes = [text.as_bytes(), b"body"].concat();
            let (head, length) = parse(&bytes).unwrap().unwrap();
            assert_eq!((head.body, length), (expected, text.len()), "{text}");
            for cut in 0..text.len() {
                assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{text} up to {cut}");
            }
        }
    }

    #[test]
    fn who_is_no_trimtab_is_a_stranger() {
        for (text, name) in [
            ("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n", "nginx/1.22.1"),
            ("HTTP/1.1 200 OK\r\n\r\n", ""),
            ("-ERR unknown command\r\n", ""),
            ("SSH-2.0-OpenSSH_9.2\r\n", ""),
            ("HTTP/1.1 200 OK\r\nServer: trimtab/0\r\nTransfer-Encoding: gzip\r\n\r\n", "trimtab/0"),
            ("HTTP/1.1 200 OK\r\nServer: trimtab/0\r\nContent-Length: x\r\n\r\n", "trimtab/0"),
        ] {
            let Err(Trouble::Stranger(told)) = parse(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(told, name, "{text}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_MAX));
        assert!(parse(endless.as_bytes()).is_err());
    }
}
