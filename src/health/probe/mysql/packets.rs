//! Packets: three bytes for the length, one for the number, the body. And the bodies before any query.

use super::PACKET_MAX;
use crate::health::reason::{Reason, shown};

/// What the client can: the protocol of 4.1, its logins, plugins for them. No TLS, no other ends of rows.
const CAPABILITIES: u32 = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION;
const LONG_PASSWORD: u32 = 1;
const PROTOCOL_41: u32 = 1 << 9;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

/// utf8mb4, which every server since 5.5 knows.
const CHARACTERS: u8 = 45;

/// Reads from a header how long the body is.
pub(super) fn body_length(header: &[u8; 4]) -> Result<usize, Reason> {
    let [a, b, c, _] = *header;
    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
    if length == 0 || length > PACKET_MAX {
        return Err(Reason::answer(format!(
            "no MySQL: the answer begins with {}, by which a packet has {length} bytes; 1 to {PACKET_MAX} are read",
            shown(header)
        )));
    }
    Ok(length)
}

/// Adds a packet.
pub(super) fn write(number: u8, body: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(body.len()).expect("what we send is bounded").to_le_bytes();
    out.extend_from_slice(&length[..3]);
    out.push(number);
    out.extend_from_slice(body);
}

/// The server's greeting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting<'a> {
    pub(super) scramble: Vec<u8>,
    /// Empty when the server knows no plugins.
    pub(super) plugin: &'a [u8],
    capabilities: u32,
}

impl<'a> Greeting<'a> {
    /// Reads protocol 10; `None` when it is not that.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let rest = body.strip_prefix(&[10])?;
        let (_version, rest) = until_zero(rest)?;
        let (_thread, rest) = rest.split_first_chunk::<4>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (_filler, rest) = rest.split_first()?;
        let (low, rest) = rest.split_first_chunk::<2>()?;
        let (_characters, rest) = rest.split_first()?;
        let (_status, rest) = rest.split_first_chunk::<2>()?;
        let (high, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first()?;
        let (_reserved, rest) = rest.split_first_chunk::<10>()?;
        let capabilities = u32::from_le_bytes([low[0], low[1], high[0], high[1]]);
        // The second part has 13 bytes at least, the last of them zero.
        let (second, rest) = rest.split_at_checked(usize::from(length.saturating_sub(8)).max(13))?;
        let second = second.strip_suffix(&[0]).unwrap_or(second);
        let plugin = if capabilities & PLUGIN_AUTH == 0 {
            b"".as_slice()
        } else {
            until_zero(rest).map_or(rest, |(plugin, _)| plugin)
        };
        Some(Self { scramble: [first.as_slice(), second].concat(), plugin, capabilities })
    }

    /// Whether the server speaks the protocol of 4.1 with the logins of that time.
    pub(super) fn is_recent(&self) -> bool {
        self.capabilities & PROTOCOL_41 != 0 && self.capabilities & SECURE_CONNECTION != 0
    }

    /// Adds the login as an answer to packet 0.
    pub(super) fn write_login(&self, user: &str, plugin: &[u8], proof: &[u8], out: &mut Vec<u8>) {
        let has_plugins = self.capabilities & PLUGIN_AUTH != 0;
        let capabilities = CAPABILITIES | if has_plugins { PLUGIN_AUTH } else { 0 };
        let mut body = capabilities.to_le_bytes().to_vec();
        body.extend_from_slice(&(PACKET_MAX as u32).to_le_bytes());
        body.push(CHARACTERS);
        body.extend_from_slice(&[0; 23]);
        body.extend_from_slice(user.as_bytes());
        body.push(0);
        body.push(u8::try_from(proof.len()).expect("a proof has 32 bytes at most"));
        body.extend_from_slice(proof);
        if has_plugins {
            body.extend_from_slice(plugin);
            body.push(0);
        }
        write(1, &body, out);
    }
}

fn until_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// A demand for a login by another plugin: its name and its scramble.
pub(super) fn switch(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (plugin, scramble) = until_zero(body.strip_prefix(&[0xfe])?)?;
    Some((plugin, scramble.strip_suffix(&[0]).unwrap_or(scramble)))
}

/// What an error packet says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) code: u16,
    pub(super) message: String,
}

impl ServerError {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (code, rest) = body.strip_prefix(&[0xff])?.split_first_chunk()?;
        // A `#` and five digits of SQLSTATE, but not in place of a greeting.
        let message = if rest.first() == Some(&b'#') { rest.get(6..).unwrap_or_default() } else { rest };
        Some(Self { code: u16::from_le_bytes(*code), message: String::from_utf8_lossy(message).into_owned() })
    }

    /// Whether a login was refused because of who asked: the server itself is well.
    pub(super) fn is_about_who_asks(&self) -> bool {
        // Access denied, with and without a password, to the database, and by an old or unknown login.
        matches!(self.code, 1044 | 1045 | 1251 | 1524 | 1698 | 2059 | 3118 | 3159)
    }

    pub(super) fn reason(&self) -> Reason {
        Reason::answer(format!("{} ({})", self.message, self.code))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A greeting with this plugin.
    pub(in super::super) fn greeting(capabilities: u32, plugin: &[u8]) -> Vec<u8> {
        let [a, b, c, d] = capabilities.to_le_bytes();
        let mut body = b"\x0a8.0.36\0".to_vec();
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(b"01234567\0");
        body.extend_from_slice(&[a, b, CHARACTERS, 2, 0, c, d, 21]);
        body.extend_from_slice(&[0; 10]);
        body.extend_from_slice(b"89abcdefghij\0");
        if capabilities & PLUGIN_AUTH != 0 {
            body.extend_from_slice(plugin);
            body.push(0);
        }
        body
    }

    pub(in super::super) const ALL: u32 = CAPABILITIES | PLUGIN_AUTH;
    pub(in super::super) const WITHOUT_PLUGINS: u32 = CAPABILITIES;

    #[test]
    fn greetings_are_read() {
        let body = greeting(ALL, b"caching_sha2_password");
        let read = Greeting::parse(&body).unwrap();
        assert_eq!(read.scramble, b"0123456789abcdefghij");
        assert_eq!(read.plugin, b"caching_sha2_password");
        assert!(read.is_recent());
        let old = greeting(WITHOUT_PLUGINS, b"");
        assert_eq!(Greeting::parse(&old).unwrap().plugin, b"");
        for length in 0..body.len() - 23 {
            assert_eq!(Greeting::parse(&body[..length]), None, "{length}");
        }
        assert_eq!(Greeting::parse(b"\x09anything"), None);
        assert!(!Greeting::parse(&greeting(PROTOCOL_41, b"")).unwrap().is_recent());
    }

    #[test]
    fn lengths_at_their_limits() {
        let header = |length: usize| {
            let [a, b, c, _] = u32::try_from(length).unwrap().to_le_bytes();
            body_length(&[a, b, c, 0])
        };
        assert_eq!(header(1), Ok(1));
        assert_eq!(header(PACKET_MAX), Ok(PACKET_MAX));
        assert!(header(0).is_err() && header(PACKET_MAX + 1).is_err() && header(0xff_ffff).is_err());
    }

    #[test]
    fn errors_and_switches_are_read() {
        let error = ServerError::parse(b"\xff\x15\x04#28000Access denied for user ''@'x'").unwrap();
        assert_eq!(error.reason().text(), "Access denied for user ''@'x' (1045)");
        assert!(error.is_about_who_asks());
        let early = ServerError::parse(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!(early.reason().text(), "Too many connections (1040)");
        assert!(!early.is_about_who_asks());
        assert_eq!(ServerError::parse(b"\xff\x10"), None);
        assert_eq!(ServerError::parse(b"\xff\x10\x04#280").unwrap().message, "");
        assert_eq!(switch(b"\xfeplugin\0scramble\0"), Some((b"plugin".as_slice(), b"scramble".as_slice())));
        assert_eq!(switch(b"\xfeplugin\0"), Some((b"plugin".as_slice(), b"".as_slice())));
        assert_eq!(switch(b"\xfeplugin"), None);
    }
}
