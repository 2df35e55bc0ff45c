//! The hellos of TLS: a ClientHello is sent, and a ServerHello is good. No key is agreed on and no certificate
//! looked at, so this tells whether a TLS server answers there, not whether clients will trust it.
//!
//! The ClientHello offers TLS 1.3 and 1.2 (RFC 8446, RFC 5246) as common clients do. Its key share is 32 random
//! bytes, which is a valid X25519 value; since the dialogue ends with the ServerHello nobody needs its secret.
//! A HelloRetryRequest is a ServerHello and good too.

use std::sync::Arc;

use super::assemble::Packet;
use super::{Entropy, Probe, Progress, ended, fill};
use crate::error::{Error, Result};
use crate::health::facts::Facts;
use crate::health::reason::{Reason, shown};
use crate::rng::Rng;

/// The longest ServerHello, in bytes; those in use have 90 to 160.
pub const HELLO_MAX: usize = 4096;

/// How many warnings may come before the ServerHello.
pub const WARNINGS_MAX: u32 = 4;

/// What a TLS probe is told.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `server_name` | bytes | a host name of 1 to 253 | none | many servers have one certificate |
/// | `alpn` | bytes each | up to 8 names of 1 to 255 | none | what is not offered cannot be refused |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The name in SNI.
    pub server_name: Option<String>,
    /// The protocols offered in ALPN, the preferred one first.
    pub alpn: Vec<String>,
}

/// A ClientHello ready to be sent, but for its random bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    hello: Vec<u8>,
    random: [usize; 3],
}

/// Where 32 random bytes go: the random, the session id, the key share.
const RANDOM: usize = 32;

const ALPN_MAX: usize = 8;

/// What is offered: TLS 1.3's three, then ECDHE with AEAD, then RSA key exchange for the oldest.
const CIPHER_SUITES: [u16; 11] =
    [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009c, 0x009d];

impl Tls {
    /// Refuses what is out of range.
    pub fn new(options: &Options) -> Result<Self> {
        if let Some(name) = &options.server_name {
            check_server_name(name)?;
        }
        if options.alpn.len() > ALPN_MAX {
            let given = options.alpn.len();
            return Err(Error::invalid("alpn", format!("{given} protocols; {ALPN_MAX} at most are offered")));
        }
        if let Some(name) = options.alpn.iter().find(|name| name.is_empty() || name.len() > 255) {
            let length = name.len();
            return Err(Error::invalid("alpn", format!("a name of {length} bytes; 1 to 255 fit")));
        }
        Ok(Self::build(options))
    }

    fn build(options: &Options) -> Self {
        let mut hello = vec![0x16, 3, 1];
        let mut random = [0; 3];
        let mut place = |hello: &mut Vec<u8>, at: usize| {
            random[at] = hello.len();
            hello.extend_from_slice(&[0; RANDOM]);
        };
        with_length::<2>(&mut hello, |hello| {
            hello.push(1);
            with_length::<3>(hello, |hello| {
                hello.extend_from_slice(&[3, 3]);
                place(hello, 0);
                hello.push(RANDOM as u8);
                place(hello, 1);
                numbers(hello, &CIPHER_SUITES);
                // One method of compression: none.
                hello.extend_from_slice(&[1, 0]);
                with_length::<2>(hello, |hello| {
                    extensions(hello, options);
                    extension(hello, 51, |hello| {
                        with_length::<2>(hello, |hello| {
                            hello.extend_from_slice(&X25519.to_be_bytes());
                            with_length::<2>(hello, |hello| place(hello, 2));
                        });
                    });
                });
            });
        });
        Self { hello, random }
    }
}

const X25519: u16 = 29;

/// All but the key share.
fn extensions(hello: &mut Vec<u8>, options: &Options) {
    if let Some(name) = &options.server_name {
        extension(hello, 0, |hello| {
            with_length::<2>(hello, |hello| {
                hello.push(0);
                with_length::<2>(hello, |hello| hello.extend_from_slice(name.as_bytes()));
            });
        });
    }
    // Extended master secret; renegotiation info; point formats: uncompressed.
    extension(hello, 23, |_| {});
    extension(hello, 0xff01, |hello| hello.push(0));
    extension(hello, 11, |hello| hello.extend_from_slice(&[1, 0]));
    // Groups: X25519, P-256, P-384.
    extension(hello, 10, |hello| numbers(hello, &[X25519, 23, 24]));
    // Signatures: ECDSA, RSA-PSS and PKCS#1 with SHA-256, 384 and 512, Ed25519.
    let signatures =
        [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0806, 0x0601, 0x0807].as_slice();
    extension(hello, 13, |hello| numbers(hello, signatures));
    if !options.alpn.is_empty() {
        extension(hello, 16, |hello| {
            with_length::<2>(hello, |hello| {
                for name in &options.alpn {
                    with_length::<1>(hello, |hello| hello.extend_from_slice(name.as_bytes()));
                }
            });
        });
    }
    // Versions 1.3 and 1.2; PSK with DHE, which those that offer 1.3 name.
    extension(hello, 43, |hello| {
        with_length::<1>(hello, |hello| hello.extend_from_slice(&[3, 4, 3, 3]));
    });
    extension(hello, 45, |hello| hello.extend_from_slice(&[1, 1]));
}

fn extension(hello: &mut Vec<u8>, number: u16, body: impl FnOnce(&mut Vec<u8>)) {
    hello.extend_from_slice(&number.to_be_bytes());
    with_length::<2>(hello, body);
}

/// A list of 16-bit numbers with its length in bytes.
fn numbers(hello: &mut Vec<u8>, numbers: &[u16]) {
    with_length::<2>(hello, |hello| hello.extend(numbers.iter().flat_map(|number| number.to_be_bytes())));
}

/// Writes what `body` writes, with its length in `BYTES` bytes before it. The options are bounded so that
/// every length fits.
fn with_length<const BYTES: usize>(hello: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = hello.len();
    hello.extend_from_slice(&[0; BYTES]);
    body(hello);
    let length = (hello.len() - at - BYTES) as u64;
    assert!(length >> (8 * BYTES) == 0, "{length} does not fit {BYTES} bytes");
    hello[at..at + BYTES].copy_from_slice(&length.to_be_bytes()[8 - BYTES..]);
}

fn check_server_name(name: &str) -> Result<()> {
    const NAME_MAX: usize = 253;
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_good) {
        let detail = "it is no host name of 1 to 253 letters, digits, dots, - and _";
        return Err(Error::invalid("server_name", detail));
    }
    if name.parse::<std::net::IpAddr>().is_ok() || name.ends_with('.') {
        let detail = "SNI takes a host name, without a dot at its end, and no address; leave it out";
        return Err(Error::invalid("server_name", detail));
    }
    Ok(())
}

#[derive(Debug)]
pub(super) struct Dialogue {
    tls: Arc<Tls>,
    rng: Rng,
    record: Packet<5>,
    /// The type of the record at hand, and how much of it is to come.
    kind: u8,
    left: usize,
    message: Packet<4>,
    alert: Packet<2>,
    warnings: u32,
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

impl Dialogue {
    pub(super) fn new(tls: Arc<Tls>, entropy: Entropy) -> Self {
        Self {
            tls,
            rng: entropy.rng(),
            record: Packet::default(),
            kind: 0,
            left: 0,
            message: Packet::default(),
            alert: Packet::default(),
            warnings: 0,
        }
    }

    fn step(&mut self, mut input: &[u8]) -> std::result::Result<Progress, Reason> {
        loop {
            if self.left == 0 {
                let mut length = 0;
                let header = self.record.take(&mut input, |header| {
                    length = check_record(*header)?;
                    Ok(0)
                })?;
                let Some((header, _)) = header else { return Ok(Progress::More) };
                (self.kind, self.left) = (header[0], length);
            }
            let (mut part, rest) = input.split_at(self.left.min(input.len()));
            if part.is_empty() {
                return Ok(Progress::More);
            }
            let before = part.len();
            let answer = if self.kind == ALERT { self.alert(&mut part)? } else { self.message(&mut part)? };
            if answer != Progress::More {
                return Ok(answer);
            }
            let taken = before - part.len();
            self.left -= taken;
            input = if part.is_empty() { rest } else { &input[taken..] };
        }
    }

    fn alert(&mut self, part: &mut &[u8]) -> std::result::Result<Progress, Reason> {
        let Some((&[level, number], _)) = self.alert.take(part, |_| Ok(0))? else {
            return Ok(Progress::More);
        };
        self.warnings += 1;
        // `unrecognized_name` as a warning says that the server goes on with another certificate.
        if level == 1 && number != 0 && self.warnings <= WARNINGS_MAX {
            return Ok(Progress::More);
        }
        Err(Reason::answer(format!("the server refused with the TLS alert {}", alert_name(number))))
    }

    fn message(&mut self, part: &mut &[u8]) -> std::result::Result<Progress, Reason> {
        let message = self.message.take(part, |&[kind, a, b, c]| {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if kind != 2 {
                return Err(Reason::answer(format!(
                    "a TLS handshake message of type {kind}, no ServerHello"
                )));
            }
            if length > HELLO_MAX {
                return Err(Reason::answer(format!(
                    "a ServerHello of {length} bytes; {HELLO_MAX} at most are read"
                )));
            }
            Ok(length)
        })?;
        let Some((_, hello)) = message else { return Ok(Progress::More) };
        check_server_hello(hello)?;
        Ok(Progress::Good(Facts::default()))
    }
}

impl Probe for Dialogue {
    fn begin(&mut self, out: &mut Vec<u8>) -> Progress {
        self.record.clear();
        self.message.clear();
        self.alert.clear();
        (self.left, self.warnings) = (0, 0);
        let at = out.len();
        out.extend_from_slice(&self.tls.hello);
        for place in self.tls.random {
            fill(&mut out[at + place..at + place + RANDOM], &mut self.rng);
        }
        Progress::More
    }

    fn handle_bytes(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Progress {
        self.step(bytes).into()
    }

    fn handle_end(&mut self) -> Progress {
        ended("the ServerHello", self.record.part())
    }
}

/// Reads a record's length.
fn check_record(header: [u8; 5]) -> std::result::Result<usize, Reason> {
    const RECORD_MAX: usize = 16_384;
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    let is_record = matches!(header[0], ALERT | HANDSHAKE) && header[1] == 3;
    if !is_record || length == 0 || length > RECORD_MAX {
        return Err(Reason::answer(format!("no TLS: the answer begins with {}", shown(&header))));
    }
    Ok(length)
}

/// Looks at what every ServerHello of TLS 1.2 and 1.3 begins with.
fn check_server_hello(hello: &[u8]) -> std::result::Result<(), Reason> {
    let short = || Reason::answer(format!("a ServerHello of {} bytes, which is cut short", hello.len()));
    let (version, rest) = hello.split_first_chunk().ok_or_else(short)?;
    let (_random, rest) = rest.split_first_chunk::<RANDOM>().ok_or_else(short)?;
    let (session, rest) = rest.split_first().ok_or_else(short)?;
    let rest = rest.get(usize::from(*session)..).ok_or_else(short)?;
    let (&[high, low, compression], extensions) = rest.split_first_chunk().ok_or_else(short)?;
    if *version != [3, 3] {
        let [major, minor] = *version;
        return Err(Reason::answer(format!(
            "the server chose the version {major}.{minor}, older than TLS 1.2 (3.3)"
        )));
    }
    let suite = u16::from_be_bytes([high, low]);
    if *session > 32 || compression != 0 || !CIPHER_SUITES.contains(&suite) {
        return Err(Reason::answer(format!("a ServerHello with what was not offered (suite {suite:#06x})")));
    }
    match extensions.split_first_chunk() {
        None if extensions.is_empty() => Ok(()),
        Some((length, body)) if usize::from(u16::from_be_bytes(*length)) == body.len() => Ok(()),
        _ => Err(short()),
    }
}

fn alert_name(number: u8) -> String {
    let name = match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        47 => "illegal_parameter",
        50 => "decode_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name (server_name fits none of its certificates)",
        116 => "certificate_required",
        120 => "no_application_protocol (alpn fits none of its protocols)",
        _ => return number.to_string(),
    };
    format!("{number}, {name}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{answer, bytes_near, check_any, run};
    use super::super::{Kind, Progress};
    use super::*;

    fn kind(options: &Options) -> Kind {
        Kind::Tls(Arc::new(Tls::new(options).unwrap()))
    }

    fn plain() -> Kind {
        kind(&Options::default())
    }

    /// A ServerHello with this version, suite and extensions.
    fn server_hello(version: [u8; 2], suite: u16, extensions: &[u8]) -> Vec<u8> {
        let mut hello = vec![2];
        with_length::<3>(&mut hello, |hello| {
            hello.extend_from_slice(&version);
            hello.extend_from_slice(&[7; 32]);
            hello.push(4);
            hello.extend_from_slice(&[9; 4]);
            hello.extend_from_slice(&suite.to_be_bytes());
            hello.push(0);
            hello.extend_from_slice(extensions);
        });
        hello
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in message.chunks(size) {
            bytes.extend_from_slice(&[HANDSHAKE, 3, 3]);
            with_length::<2>(&mut bytes, |bytes| bytes.extend_from_slice(part));
        }
        bytes
    }

    #[test]
    fn a_server_hello_is_good_whole_or_over_records() {
        for message in [
            server_hello([3, 3], 0x1301, &[0, 6, 0, 43, 0, 2, 3, 4]),
            server_hello([3, 3], 0x009c, &[]),
            server_hello([3, 3], 0xc02f, &[0, 0]),
        ] {
            for size in [1, 5, 1000] {
                let came = [records(&message, size), b"certificates".to_vec()].concat();
                assert_eq!(*answer(&plain(), &came, false).facts(), Facts::default());
            }
        }
        let warned =
            [vec![ALERT, 3, 3, 0, 2, 1, 112], records(&server_hello([3, 3], 0x1301, &[]), 99)].concat();
        answer(&plain(), &warned, false).facts();
    }

    #[test]
    fn what_is_no_server_hello_is_told() {
        let hello =
            |version, suite, extensions: &[u8]| records(&server_hello(version, suite, extensions), 99);
        for (bytes, part) in [
            (vec![ALERT, 3, 3, 0, 2, 2, 40], "alert 40, handshake_failure"),
            (vec![ALERT, 3, 1, 0, 2, 2, 70], "protocol_version"),
            (vec![ALERT, 3, 3, 0, 2, 1, 0], "close_notify"),
            (vec![ALERT, 3, 3, 0, 2, 2, 99], "alert 99"),
            ([ALERT, 3, 3, 0, 2, 1, 90].repeat(WARNINGS_MAX as usize + 1), "alert 90"),
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "no TLS: the answer begins with \"HTTP/\""),
            (b"SSH-2.0-OpenSSH\r\n".to_vec(), "no TLS"),
            (vec![HANDSHAKE, 3, 3, 0, 0], "no TLS"),
            (vec![HANDSHAKE, 3, 3, 0x40, 1], "no TLS"),
            (vec![HANDSHAKE, 2, 3, 0, 9], "no TLS"),
            (vec![HANDSHAKE, 3, 3, 0, 4, 11, 0, 0, 0], "type 11, no ServerHello"),
            (vec![HANDSHAKE, 3, 3, 0, 4, 2, 0, 0x10, 1], "4097 bytes"),
            (hello([3, 1], 0xc02f, &[]), "version 3.1, older"),
            (hello([3, 3], 0x002f, &[]), "not offered (suite 0x002f)"),
            (hello([3, 3], 0x1301, &[0]), "cut short"),
            (hello([3, 3], 0x1301, &[0, 1]), "cut short"),
            (records(&[2, 0, 0, 3, 3, 3, 7], 99), "a ServerHello of 3 bytes"),
        ] {
            let reason = answer(&plain(), &bytes, false).reason();
            assert!(reason.contains(part), "{bytes:?}: {reason}");
        }
        let longest = [HANDSHAKE, 3, 3, 0x10, 4, 2, 0, 0x10, 0];
        assert_eq!(answer(&plain(), &longest, false).answer, Progress::More);
    }

    #[test]
    fn an_end_before_the_server_hello_is_bad() {
        assert!(answer(&plain(), b"", true).reason().contains("closed before the ServerHello"));
        assert!(answer(&plain(), &[HANDSHAKE, 3], true).reason().contains(r#"after "\x16\x03""#));
        answer(&plain(), &records(&server_hello([3, 3], 0x1301, &[]), 99)[..40], true).reason();
    }

    /// Walks every length of the ClientHello and gives its extensions.
    fn parse(hello: &[u8]) -> Vec<(u16, Vec<u8>)> {
        fn block<'a>(bytes: &mut &'a [u8], width: usize) -> &'a [u8] {
            let (length, rest) = bytes.split_at(width);
            let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            let (block, rest) = rest.split_at(length);
            *bytes = rest;
            block
        }
        assert_eq!(hello[..3], [0x16, 3, 1]);
        let mut rest = &hello[3..];
        let mut record = block(&mut rest, 2);
        assert!(rest.is_empty());
        assert_eq!(record[0], 1);
        record = &record[1..];
        let mut message = block(&mut record, 3);
        assert!(record.is_empty());
        assert_eq!(message[..2], [3, 3]);
        message = &message[34..];
        assert_eq!(block(&mut message, 1).len(), 32);
        assert_eq!(block(&mut message, 2).len(), 2 * CIPHER_SUITES.len());
        assert_eq!(block(&mut message, 1), [0]);
        let mut extensions = block(&mut message, 2);
        assert!(message.is_empty());
        let mut found = Vec::new();
        while !extensions.is_empty() {
            let number = u16::from_be_bytes([extensions[0], extensions[1]]);
            extensions = &extensions[2..];
            found.push((number, block(&mut extensions, 2).to_vec()));
        }
        found
    }

    #[test]
    fn the_client_hello_is_well_formed() {
        let bare = parse(&run(&plain(), b"", 1, false).sent);
        assert!(!bare.iter().any(|(number, _)| matches!(number, 0 | 16)));
        let full = Options {
            server_name: Some("app.example.org".to_string()),
            alpn: vec!["h2".to_string(), "http/1.1".to_string()],
        };
        let found = parse(&run(&kind(&full), b"", 1, false).sent);
        let body = |wanted: u16| found.iter().find(|(number, _)| *number == wanted).unwrap().1.clone();
        assert_eq!(body(0), [b"\0\x12\0\0\x0f".as_slice(), b"app.example.org"].concat());
        assert_eq!(body(16), b"\0\x0c\x02h2\x08http/1.1");
        assert_eq!(body(43), [4, 3, 4, 3, 3]);
        assert_eq!(body(51)[..6], [0, 36, 0, 29, 0, 32]);
        assert_ne!(body(51)[6..], [0; 32]);
        let mut numbers: Vec<u16> = found.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), found.len(), "each extension once");
    }

    #[test]
    fn each_beginning_has_random_bytes_of_its_own() {
        let mut dialogue = super::super::testing::dialogue(&plain());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        dialogue.begin(&mut first);
        dialogue.handle_bytes(b"HTTP/", &mut first);
        dialogue.begin(&mut second);
        assert_eq!(first.len(), second.len());
        assert_ne!(first, second);
    }

    #[test]
    fn options_at_their_limits() {
        let named = |name: String| Tls::new(&Options { server_name: Some(name), ..Options::default() });
        assert!(named("a".repeat(253)).is_ok());
        for bad in ["".to_string(), "a".repeat(254), "a b".into(), "10.0.0.1".into(), "a.example.".into()] {
            assert!(named(bad.clone()).unwrap_err().to_string().contains("server_name"), "{bad}");
        }
        let offered = |alpn: Vec<String>| Tls::new(&Options { alpn, ..Options::default() });
        assert!(offered(vec!["x".repeat(255); 8]).is_ok());
        assert!(offered(vec!["x".repeat(256)]).is_err() && offered(vec![String::new()]).is_err());
        assert!(offered(vec!["x".into(); 9]).is_err());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_panics(
            bytes in bytes_near(&[
                b"\x16\x03\x03\0\x04", b"\x16\x03\x03\0\x30\x02\0\0\x2c\x03\x03", b"\x02\0\0\x2c", b"\x03\x03",
                b"01234567890123456789012345678901", b"\0\x13\x01\0", b"\x15\x03\x03\0\x02\x01\x70", b"\x02\x28",
            ]),
            size in 1usize..40,
        ) {
            check_any(&plain(), &bytes, size);
        }
    }
}
