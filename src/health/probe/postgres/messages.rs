//! Messages: a byte for the type, four for the length with themselves, the body.

use super::MESSAGE_MAX;
use crate::health::reason::{Reason, shown};

/// Reads from a header how long the body is. `expected` are the types that may come now.
pub(super) fn body_length(header: &[u8; 5], expected: &[u8]) -> Result<usize, Reason> {
    let [kind, length @ ..] = header;
    if !expected.contains(kind) {
        return Err(Reason::answer(format!("no PostgreSQL: the answer begins with {}", shown(header))));
    }
    let length = u32::from_be_bytes(*length) as usize;
    match length.checked_sub(4) {
        Some(body) if body <= MESSAGE_MAX => Ok(body),
        _ => Err(Reason::answer(format!(
            "a message of {length} bytes; {MESSAGE_MAX} at most are read: {}",
            shown(header)
        ))),
    }
}

/// Adds a message.
pub(super) fn write(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(body.len() + 4).expect("what we send is bounded");
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
}

/// What an ErrorResponse says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) state: String,
    pub(super) message: String,
}

impl ServerError {
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut error = Self { state: String::new(), message: String::new() };
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, text)) = field.split_first() else { break };
            let text = || String::from_utf8_lossy(text).into_owned();
            match kind {
                b'C' => error.state = text(),
                b'M' => error.message = text(),
                _ => {}
            }
        }
        error
    }

    /// Whether the login was refused because of who asked: the server itself is well.
    pub(super) fn is_about_who_asks(&self) -> bool {
        // Class 28: invalid authorization. 3D000: no such database. 42501: no right to it.
        self.state.starts_with("28") || self.state == "3D000" || self.state == "42501"
    }

    pub(super) fn reason(&self) -> Reason {
        Reason::answer(format!("{} ({})", self.message, self.state))
    }
}

/// The columns of a DataRow.
pub(super) fn columns(body: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (count, mut rest) = body.split_first_chunk()?;
    let count = u16::from_be_bytes(*count);
    let mut columns = Vec::new();
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk()?;
        let length = i32::from_be_bytes(*length);
        rest = behind;
        if length == -1 {
            columns.push(None);
            continue;
        }
        let (value, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        columns.push(Some(value));
        rest = behind;
    }
    rest.is_empty().then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_at_their_limits() {
        let header = |length: u32| {
            let [a, b, c, d] = length.to_be_bytes();
            body_length(&[b'R', a, b, c, d], b"RE")
        };
        assert_eq!(header(4), Ok(0));
        assert_eq!(header(MESSAGE_MAX as u32 + 4), Ok(MESSAGE_MAX));
        for bad in [0, 3, MESSAGE_MAX as u32 + 5, u32::MAX] {
            assert!(header(bad).unwrap_err().text().contains("at most are read"), "{bad}");
        }
        assert!(body_length(b"HTTP/", b"RE").unwrap_err().text().contains("no PostgreSQL"));
    }

    #[test]
    fn errors_and_rows_are_read() {
        let error = ServerError::parse(b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0");
        assert_eq!(error.reason().text(), "the database system is starting up (57P03)");
        assert!(!error.is_about_who_asks());
        for state in ["28000", "28P01", "3D000", "42501"] {
            let body = [b"C", state.as_bytes(), b"\0\0"].concat();
            assert!(ServerError::parse(&body).is_about_who_asks(), "{state}");
        }
        assert_eq!(ServerError::parse(b""), ServerError { state: String::new(), message: String::new() });
        let row = b"\0\x03\0\0\0\x01t\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(columns(row), Some(vec![Some(b"t".as_slice()), None, Some(b"".as_slice())]));
        for bad in
            [b"".as_slice(), b"\0", b"\0\x01", b"\0\x01\0\0\0\x05abc", b"\0\x01\xff\xff\xff\xfe", b"\0\0x"]
        {
            assert_eq!(columns(bad), None, "{bad:?}");
        }
    }
}
