//! The PROXY protocol, versions 1 and 2: what a proxy says of a connection before its first byte. Written
//! from HAProxy's specification, `doc/proxy-protocol.txt`. [`parse`] takes a header off the front of what
//! came, [`write()`] puts one together; both are pure and hold no state.
//!
//! Where the specification leaves a choice:
//!
//! | case | here |
//! |---|---|
//! | version 1, `UNKNOWN` | taken; the rest of the line is skipped; the addresses are unspecified |
//! | version 1, an address in dotted form at the end of an IPv6 one | taken, never written |
//! | version 2, `LOCAL` | taken; its block is skipped whatever it holds, TLVs too |
//! | version 2, family or transport unspecified | taken; the addresses are unspecified, the TLVs count |
//! | version 2, family or transport of an unknown number | refused |
//! | TLVs that do not end where the header ends | refused |
//! | TLV `CRC32C` | verified; refused when wrong, of another length than 4, or there twice; then dropped |
//! | TLV `NOOP` | dropped: the place it padded is no more |
//! | any other TLV | kept as it came, in its order |
//! | IPv4 mapped into IPv6 | read as the IPv4 address it is, and written as such where both ends are IPv4 |
//!
//! | limit | value | reason |
//! |---|---|---|
//! | [`LINE_MAX`] | 107 bytes | the specification's |
//! | [`TLVS_MAX`] | 3880 bytes | with the longest addresses they make a block of 4096 bytes |
//! | [`HEADER_MAX`] | 4112 bytes | a header of version 2 with that block |
//!
//! What was taken can be written again whatever addresses it is then given: no limit is passed by that.

use std::fmt;
use std::net::SocketAddr;

pub mod tlv;
mod v1;
mod v2;

pub use tlv::{Tlv, Tlvs};

/// The longest line of version 1, with its CRLF, in bytes.
pub const LINE_MAX: usize = 107;

/// The longest header of either version, in bytes; [`parse`] never asks for more.
pub const HEADER_MAX: usize = v2::FIXED + v2::UNIX + TLVS_MAX;

/// The most bytes of TLVs, their types and lengths included, in one header.
pub const TLVS_MAX: usize = 3880;

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with TLVs.
    V2,
}

/// On whose behalf the connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A client's, which the header tells of.
    Proxy,
    /// The sender's own, such as a health check. The real endpoints are the ones that count.
    Local,
}

/// What carried the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Not said.
    Unspecified,
    /// TCP or a Unix stream.
    Stream,
    /// UDP or Unix datagrams.
    Datagram,
}

/// The two ends of the client's connection, as the sender saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Not said: the receiver uses the real endpoints.
    Unspecified,
    /// Internet addresses, in canonical form when parsed: none is an IPv4 address mapped into IPv6, so the
    /// two may be of different families.
    Inet {
        /// Who connected.
        source: SocketAddr,
        /// Where to.
        destination: SocketAddr,
    },
    /// Unix sockets.
    Unix(Box<UnixAddresses>),
}

/// Paths of Unix sockets as `sun_path` holds them: ended by a zero byte or full; abstract names begin with
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixAddresses {
    /// Who connected; mostly all zero, as clients seldom bind.
    pub source: [u8; 108],
    /// Where to.
    pub destination: [u8; 108],
}

/// A header as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it was written.
    pub version: Version,
    /// On whose behalf the connection was made.
    pub command: Command,
    /// What carried the client's connection; unspecified whenever `addresses` are.
    pub transport: Transport,
    /// The client's connection.
    pub addresses: Addresses,
    /// The TLVs to pass on, as they came, without `CRC32C` and `NOOP`: at most [`TLVS_MAX`] bytes, to be
    /// read with [`Tlvs`]. Empty with version 1 and with [`Command::Local`].
    pub tlvs: Vec<u8>,
}

/// Takes a header off the front of `bytes`, and gives it with its length; what follows is the client's.
///
/// `Ok(None)`: so far this may become one; call again with more behind it, from the start. That is never the
/// answer to [`HEADER_MAX`] bytes or more. What cannot become a header is refused at the first byte that
/// says so, at the latest at the end of its field. More bytes never change an answer other than `Ok(None)`.
///
/// The header says what its sender wants it to: read it only where the configuration says that the sender is
/// a proxy of one's own, and never guess whether there is one.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => v1::parse(bytes),
        Some(b'\r') => v2::parse(bytes),
        Some(_) => Err(Invalid::Signature { at: 0 }),
    }
}

/// Appends a header for a relayed stream connection to `out`: [`LINE_MAX`] bytes at most in version 1,
/// [`HEADER_MAX`] in version 2.
///
/// - `addresses`: IPv4 and IPv6 mixed are both written as IPv6, the former mapped. Unspecified ones are
///   written as `UNKNOWN` in version 1, and so are Unix sockets, for which it has no words. In version 2
///   unspecified ones make it a `LOCAL` header: HAProxy sends that, and refuses `PROXY` without addresses
///   (also with those of Unix sockets, which are written as they are). Flow labels and scopes of IPv6
///   addresses are left out.
/// - `tlvs`: as [`Header::tlvs`] holds them. Version 1 has none and leaves them out. Version 2 leaves out
///   what is beyond [`TLVS_MAX`], from the first TLV that does not fit. Behind `LOCAL` a receiver may skip
///   them, and [`parse`] does. No checksum is added.
pub fn write(version: Version, addresses: &Addresses, tlvs: &[u8], out: &mut Vec<u8>) {
    match version {
        Version::V1 => v1::write(addresses, out),
        Version::V2 => v2::write(addresses, tlvs, out),
    }
}

/// Why bytes are no PROXY header. Positions are in bytes from the header's first, which is 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The bytes begin neither as version 1 nor as version 2 does.
    Signature {
        /// The first byte that differs.
        at: usize,
    },
    /// Version 1: a protocol other than `TCP4`, `TCP6` and `UNKNOWN`.
    Protocol {
        /// The first byte that differs.
        at: usize,
    },
    /// Version 1: an address that is none, or none of the family announced.
    Address {
        /// The byte that cannot be in it, or its first one.
        at: usize,
    },
    /// Version 1: a port that is no number from 0 to 65535, or has a zero in front.
    Port {
        /// The byte that cannot be in it, or its first one.
        at: usize,
    },
    /// Version 1: CR or LF on its own.
    LineEnd {
        /// The CR without LF behind it, or the LF without CR before it.
        at: usize,
    },
    /// Version 1: no CRLF within [`LINE_MAX`] bytes.
    LineLength,
    /// The signature of version 2, but another version behind it.
    Version {
        /// The version given.
        version: u8,
    },
    /// Version 2: a command other than `LOCAL` (0) and `PROXY` (1).
    Command {
        /// The command given.
        command: u8,
    },
    /// Version 2: an address family (upper half) or a transport (lower half) of an unknown number.
    Family {
        /// The byte given.
        family: u8,
    },
    /// Version 2: the length announced is below what the addresses take, or above the limit.
    Length {
        /// The length given, of what follows the first 16 bytes.
        length: u16,
        /// The least that can be.
        min: u16,
        /// The most that is taken.
        max: u16,
    },
    /// Version 2: a TLV that reaches beyond the end of the header.
    Tlv {
        /// Its first byte.
        at: usize,
    },
    /// Version 2: a checksum that is not 4 bytes long, or a second one.
    ChecksumForm {
        /// The first byte of its TLV.
        at: usize,
    },
    /// Version 2: the checksum of the header is not the one it carries.
    Checksum {
        /// The checksum it carries.
        carried: u32,
        /// The checksum it has.
        computed: u32,
    },
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::Signature { at } => write!(
                f,
                "no PROXY header: byte {at} does not fit; have the sender send one, or do not expect one here"
            ),
            Invalid::Protocol { at } => {
                write!(f, "PROXY header: byte {at}: the protocol is none of TCP4, TCP6 and UNKNOWN")
            }
            Invalid::Address { at } => {
                write!(f, "PROXY header: byte {at}: not an address of the family announced")
            }
            Invalid::Port { at } => {
                write!(f, "PROXY header: byte {at}: not a port from 0 to 65535 without a leading zero")
            }
            Invalid::LineEnd { at } => {
                write!(f, "PROXY header: byte {at}: CR or LF alone; the line ends with both, in this order")
            }
            Invalid::LineLength => {
                write!(f, "PROXY header: byte {LINE_MAX}: the line is not at its end by then")
            }
            Invalid::Version { version } => {
                write!(f, "PROXY header: byte 12: version {version}; only 1 and 2 are known")
            }
            Invalid::Command { command } => {
                write!(f, "PROXY header: byte 12: command {command}; only LOCAL (0) and PROXY (1) are known")
            }
            Invalid::Family { family } => {
                write!(f, "PROXY header: byte 13: unknown address family or transport {family:#04x}")
            }
            Invalid::Length { length, min, max } => {
                write!(f, "PROXY header: byte 14: length {length} is outside {min} to {max}")
            }
            Invalid::Tlv { at } => {
                write!(f, "PROXY header: byte {at}: the TLV reaches beyond the end of the header")
            }
            Invalid::ChecksumForm { at } => {
                write!(f, "PROXY header: byte {at}: a checksum that is not 4 bytes long, or a second one")
            }
            Invalid::Checksum { carried, computed } => write!(
                f,
                "PROXY header: its CRC32C is {computed:#010x}, it carries {carried:#010x}; it was damaged on \
                 its way"
            ),
        }
    }
}

impl std::error::Error for Invalid {}

impl Header {
    /// A header that tells nothing but that there was one.
    fn unspecified(version: Version, command: Command) -> Self {
        Self {
            version,
            command,
            transport: Transport::Unspecified,
            addresses: Addresses::Unspecified,
            tlvs: Vec::new(),
        }
    }
}

impl Addresses {
    fn inet(source: SocketAddr, destination: SocketAddr) -> Self {
        Addresses::Inet { source: canonical(source), destination: canonical(destination) }
    }
}

/// The address itself, without the coat of IPv6 around an IPv4 one.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;
