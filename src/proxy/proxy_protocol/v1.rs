//! Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 40000 443` and CRLF.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Addresses, Command, Header, Invalid, LINE_MAX, Transport, Version, canonical};

/// As [`super::parse`].
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    let mut line = Line { bytes: &bytes[..bytes.len().min(LINE_MAX)], at: 0 };
    match line.header() {
        Ok(header) => Ok(Some((header, line.at))),
        Err(Stop::Invalid(invalid)) => Err(invalid),
        Err(Stop::Short) if bytes.len() >= LINE_MAX => Err(Invalid::LineLength),
        Err(Stop::Short) => Ok(None),
    }
}

/// As [`super::write`].
pub(super) fn write(addresses: &Addresses, out: &mut Vec<u8>) {
    let Addresses::Inet { source, destination } = addresses else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let (source, destination) = (canonical(*source), canonical(*destination));
    let written = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => write!(out, "PROXY TCP4 {from} {to}"),
        (from, to) => {
            write!(out, "PROXY TCP6 {} {}", Hex(from), Hex(to))
        }
    };
    written
        .and_then(|()| write!(out, " {} {}\r\n", source.port(), destination.port()))
        .expect("a vector takes everything");
}

/// Why the line is not read to its end.
enum Stop {
    /// The bytes end before it does.
    Short,
    Invalid(Invalid),
}

/// The line, with how far it is read.
struct Line<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Line<'a> {
    fn header(&mut self) -> Result<Header, Stop> {
        self.literal(b"PROXY ", |at| Invalid::Signature { at })?;
        let protocol = |at| Invalid::Protocol { at };
        if self.peek()? == b'U' {
            self.literal(b"UNKNOWN", protocol)?;
            if !matches!(self.peek()?, b' ' | b'\r') {
                return Err(Stop::Invalid(protocol(self.at)));
            }
            self.skip_to_end()?;
            return Ok(Header::unspecified(Version::V1, Command::Proxy));
        }
        self.literal(b"TCP", protocol)?;
        let family = self.peek()?;
        if !matches!(family, b'4' | b'6') {
            return Err(Stop::Invalid(protocol(self.at)));
        }
        self.at += 1;
        self.literal(b" ", protocol)?;
        let (source, destination) = if family == b'4' {
            (self.address::<Ipv4Addr>(is_ipv4)?.into(), self.address::<Ipv4Addr>(is_ipv4)?.into())
        } else {
            (self.address::<Ipv6Addr>(is_ipv6)?.into(), self.address::<Ipv6Addr>(is_ipv6)?.into())
        };
        let source = SocketAddr::new(source, self.port(b' ')?);
        let destination = SocketAddr::new(destination, self.port(b'\r')?);
        // The CR is read.
        self.literal(b"\n", |at| Invalid::LineEnd { at: at - 1 })?;
        Ok(Header {
            transport: Transport::Stream,
            addresses: Addresses::inet(source, destination),
            ..Header::unspecified(Version::V1, Command::Proxy)
        })
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::Short)
    }

    /// Reads exactly `text`.
    fn literal(&mut self, text: &[u8], invalid: impl Fn(usize) -> Invalid) -> Result<(), Stop> {
        for &expected in text {
            if self.peek()? != expected {
                return Err(Stop::Invalid(invalid(self.at)));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Reads up to `end` and over it. `invalid` tells of a byte that is not `allowed` before it, and of none
    /// there at all.
    fn field(
        &mut self,
        end: u8,
        allowed: impl Fn(u8) -> bool,
        invalid: impl Fn(usize) -> Invalid,
    ) -> Result<&'a str, Stop> {
        let start = self.at;
        loop {
            let byte = self.peek()?;
            if byte == end {
                break;
            }
            if !allowed(byte) {
                return Err(Stop::Invalid(if byte == b'\n' {
                    Invalid::LineEnd { at: self.at }
                } else {
                    invalid(self.at)
                }));
            }
            self.at += 1;
        }
        self.at += 1;
        std::str::from_utf8(&self.bytes[start..self.at - 1]).map_err(|_| Stop::Invalid(invalid(start)))
    }

    fn address<A: FromStr>(&mut self, allowed: fn(u8) -> bool) -> Result<A, Stop> {
        let start = self.at;
        let text = self.field(b' ', allowed, |at| Invalid::Address { at })?;
        text.parse().map_err(|_| Stop::Invalid(Invalid::Address { at: start }))
    }

    fn port(&mut self, end: u8) -> Result<u16, Stop> {
        let start = self.at;
        let text = self.field(end, |byte| byte.is_ascii_digit(), |at| Invalid::Port { at })?;
        let padded = text.len() > 1 && text.starts_with('0');
        text.parse().ok().filter(|_| !padded).ok_or(Stop::Invalid(Invalid::Port { at: start }))
    }

    /// Reads over whatever is before the CRLF, and over that.
    fn skip_to_end(&mut self) -> Result<(), Stop> {
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'\r' => return self.literal(b"\n", |at| Invalid::LineEnd { at: at - 1 }),
                b'\n' => return Err(Stop::Invalid(Invalid::LineEnd { at: self.at - 1 })),
                _ => {}
            }
        }
    }
}

fn is_ipv4(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

/// Dots too: some systems write an IPv4 address mapped into IPv6 with its last part dotted.
fn is_ipv6(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

/// An address as IPv6, in hexadecimal throughout, as the specification wants it.
struct Hex(IpAddr);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                write!(f, "::ffff:{high:x}:{low:x}")
            }
            IpAddr::V6(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_example() {
        let bytes = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
        let (header, length) = parse(bytes).unwrap().unwrap();
        assert_eq!(&bytes[length..], b"GET / HTTP/1.1\r\n");
        assert_eq!(header, inet("192.168.0.1:56324", "192.168.0.11:443"));
    }

    fn inet(source: &str, destination: &str) -> Header {
        Header {
            version: Version::V1,
            command: Command::Proxy,
            transport: Transport::Stream,
            addresses: Addresses::Inet {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
            },
            tlvs: Vec::new(),
        }
    }

    #[test]
    fn the_longest_and_the_shortest() {
        let ip = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let longest = format!("PROXY TCP6 {ip} {ip} 65535 65535\r\n");
        assert_eq!(longest.len(), 104);
        let address = format!("[{ip}]:65535");
        assert_eq!(parse(longest.as_bytes()), Ok(Some((inet(&address, &address), 104))));
        let unknown = Header::unspecified(Version::V1, Command::Proxy);
        let worst = format!("PROXY UNKNOWN {ip} {ip} 65535 65535\r\n");
        assert_eq!(worst.len(), LINE_MAX);
        assert_eq!(parse(worst.as_bytes()), Ok(Some((unknown.clone(), LINE_MAX))));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Ok(Some((unknown.clone(), 15))));
        assert_eq!(parse(b"PROXY UNKNOWN \x00\xff anything\r\nX"), Ok(Some((unknown, 27))));
        let address = inet("0.0.0.0:0", "255.255.255.255:65535");
        assert_eq!(parse(b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"), Ok(Some((address, 44))));
        let short = inet("[::]:1", "[::1]:2");
        assert_eq!(parse(b"PROXY TCP6 :: 0:0:0:0:0:0:0:0001 1 2\r\n"), Ok(Some((short, 38))));
    }

    #[test]
    fn a_line_ends_within_its_limit() {
        let line = |length: usize| {
            let mut line = b"PROXY UNKNOWN ".to_vec();
            line.resize(length - 2, b'x');
            line.extend_from_slice(b"\r\n");
            line
        };
        assert!(matches!(parse(&line(LINE_MAX)), Ok(Some((_, LINE_MAX)))));
        assert_eq!(parse(&line(LINE_MAX)[..LINE_MAX - 1]), Ok(None));
        let over = line(LINE_MAX + 1);
        assert_eq!(parse(&over), Err(Invalid::LineLength));
        assert_eq!(parse(&over[..LINE_MAX]), Err(Invalid::LineLength));
        assert_eq!(parse(&over[..LINE_MAX - 1]), Ok(None));
        // Too many digits are refused when their field ends, and by the line's limit at the latest.
        let zeros = format!("PROXY TCP4 {}", "0".repeat(LINE_MAX));
        assert_eq!(parse(zeros.as_bytes()), Err(Invalid::LineLength));
    }

    #[test]
    fn what_is_wrong_is_refused_where_it_is_wrong() {
        use Invalid::*;
        for (line, invalid) in [
            ("PROXZ", Signature { at: 4 }),
            ("PROXY\r", Signature { at: 5 }),
            ("PROXYTCP4", Signature { at: 5 }),
            ("PROXY  TCP4", Protocol { at: 6 }),
            ("PROXY tcp4", Protocol { at: 6 }),
            ("PROXY TCP5", Protocol { at: 9 }),
            ("PROXY TCP44", Protocol { at: 10 }),
            ("PROXY TCP4\r\n", Protocol { at: 10 }),
            ("PROXY UNKNOWNX", Protocol { at: 13 }),
            ("PROXY UNKNOWX", Protocol { at: 12 }),
            ("PROXY TCP4  1.2.3.4 ", Address { at: 11 }),
            ("PROXY TCP4 1.2.3.4  ", Address { at: 19 }),
            ("PROXY TCP4 1.2.3 ", Address { at: 11 }),
            ("PROXY TCP4 1.2.3.04 ", Address { at: 11 }),
            ("PROXY TCP4 1.2.3.256 ", Address { at: 11 }),
            ("PROXY TCP4 1.2.3.4.5 ", Address { at: 11 }),
            ("PROXY TCP4 ::1", Address { at: 11 }),
            ("PROXY TCP4 1.2.3.4\t", Address { at: 18 }),
            ("PROXY TCP6 1.2.3.4 ", Address { at: 11 }),
            ("PROXY TCP6 ::1::2 ", Address { at: 11 }),
            ("PROXY TCP6 1:2:3:4:5:6:7 ", Address { at: 11 }),
            ("PROXY TCP6 1:2:3:4:5:6:7:8:9 ", Address { at: 11 }),
            ("PROXY TCP6 00001:: ", Address { at: 11 }),
            ("PROXY TCP6 fe80::1%", Address { at: 18 }),
            ("PROXY TCP6 ::g", Address { at: 13 }),
            ("PROXY TCP6 [", Address { at: 11 }),
            ("PROXY TCP4 1.2.3.4\r\n", Address { at: 18 }),
            ("PROXY TCP4 1.2.3.4\n", LineEnd { at: 18 }),
            ("PROXY TCP4 1.2.3.4 ::1", Address { at: 19 }),
            ("PROXY TCP6 ::1 1.2.3.4 ", Address { at: 15 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8  ", Port { at: 27 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 01 ", Port { at: 27 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 00 ", Port { at: 27 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 ", Port { at: 27 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 +1", Port { at: 27 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 -1", Port { at: 27 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r", Port { at: 28 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 \r", Port { at: 29 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ", Port { at: 30 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", LineEnd { at: 30 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX", LineEnd { at: 30 }),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", LineEnd { at: 30 }),
            ("PROXY UNKNOWN\n", Protocol { at: 13 }),
            ("PROXY UNKNOWN \n", LineEnd { at: 14 }),
            ("PROXY UNKNOWN\rX", LineEnd { at: 13 }),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(invalid), "{line:?}");
            // All before the byte it is told by might still have become a header.
            assert!(matches!(parse(&line.as_bytes()[..line.len() - 1]), Ok(None) | Err(_)));
        }
    }

    #[test]
    fn mapped_addresses_are_what_they_are() {
        for line in [
            "PROXY TCP6 ::ffff:1.2.3.4 ::FFFF:506:708 9 10\r\n",
            "PROXY TCP6 0:0:0:0:0:ffff:102:304 ::ffff:5.6.7.8 9 10\r\n",
        ] {
            let header = inet("1.2.3.4:9", "5.6.7.8:10");
            assert_eq!(parse(line.as_bytes()), Ok(Some((header, line.len()))));
        }
        let mixed = inet("1.2.3.4:9", "[2001:db8::1]:10");
        let line = "PROXY TCP6 ::ffff:1.2.3.4 2001:db8::1 9 10\r\n";
        assert_eq!(parse(line.as_bytes()), Ok(Some((mixed.clone(), line.len()))));

        let mut out = Vec::new();
        write(&mixed.addresses, &mut out);
        assert_eq!(out, b"PROXY TCP6 ::ffff:102:304 2001:db8::1 9 10\r\n");
        out.clear();
        write(&inet("[::ffff:1.2.3.4]:9", "[::ffff:5.6.7.8]:10").addresses, &mut out);
        assert_eq!(out, b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n");
    }

    #[test]
    fn what_has_no_words_is_unknown() {
        let unix = super::super::UnixAddresses { source: [0; 108], destination: [1; 108] };
        for addresses in [Addresses::Unspecified, Addresses::Unix(Box::new(unix))] {
            let mut out = b"before".to_vec();
            write(&addresses, &mut out);
            assert_eq!(out, b"beforePROXY UNKNOWN\r\n");
        }
    }
}
