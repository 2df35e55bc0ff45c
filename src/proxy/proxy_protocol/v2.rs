//! Version 2: the signature (12 bytes), version and command (1), family and transport (1), the length of
//! what follows (2, higher byte first), the addresses, and TLVs up to that length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    Addresses, Command, HEADER_MAX, Header, Invalid, TLVS_MAX, Tlvs, Transport, UnixAddresses, Version,
    canonical, tlv,
};

/// As [`super::parse`].
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    if let Some(at) = bytes.iter().zip(&SIGNATURE).position(|(byte, expected)| byte != expected) {
        return Err(Invalid::Signature { at });
    }
    let Some(&version_and_command) = bytes.get(12) else { return Ok(None) };
    if version_and_command >> 4 != 2 {
        return Err(Invalid::Version { version: version_and_command >> 4 });
    }
    let command = match version_and_command & 0xf {
        0 => Command::Local,
        1 => Command::Proxy,
        command => return Err(Invalid::Command { command }),
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    let (min, max) = match command {
        // What a local connection's block holds is not to be looked at, its family neither.
        Command::Local => (0, HEADER_MAX - FIXED),
        Command::Proxy => {
            let addresses = addresses_length(family).ok_or(Invalid::Family { family })?;
            (addresses, addresses + TLVS_MAX)
        }
    };
    let Some(&[high, low]) = bytes.get(14..FIXED).and_then(|length| length.first_chunk()) else {
        return Ok(None);
    };
    let length = u16::from_be_bytes([high, low]);
    if !(min..=max).contains(&usize::from(length)) {
        return Err(Invalid::Length { length, min: min as u16, max: max as u16 });
    }
    let whole = FIXED + usize::from(length);
    let Some(bytes) = bytes.get(..whole) else { return Ok(None) };
    let mut header = Header::unspecified(Version::V2, command);
    if command == Command::Proxy {
        (header.transport, header.addresses) = addresses(family, &bytes[FIXED..FIXED + min]);
        header.tlvs = tlvs(bytes, FIXED + min)?;
    }
    Ok(Some((header, whole)))
}

/// As [`super::write`].
pub(super) fn write(addresses: &Addresses, tlvs: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&SIGNATURE);
    match addresses {
        Addresses::Unspecified => out.extend_from_slice(&[LOCAL, 0, 0, 0]),
        Addresses::Inet { source, destination } => {
            let (source, destination) = (canonical(*source), canonical(*destination));
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    out.extend_from_slice(&[PROXY, 0x11, 0, 0]);
                    out.extend_from_slice(&from.octets());
                    out.extend_from_slice(&to.octets());
                }
                (from, to) => {
                    out.extend_from_slice(&[PROXY, 0x21, 0, 0]);
                    out.extend_from_slice(&as_ipv6(from).octets());
                    out.extend_from_slice(&as_ipv6(to).octets());
                }
            }
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
        }
        Addresses::Unix(unix) => {
            out.extend_from_slice(&[PROXY, 0x31, 0, 0]);
            out.extend_from_slice(&unix.source);
            out.extend_from_slice(&unix.destination);
        }
    }
    out.extend_from_slice(&tlvs[..fitting(tlvs)]);
    let length = (out.len() - start - FIXED) as u16;
    out[start + 14..start + FIXED].copy_from_slice(&length.to_be_bytes());
}

/// How many bytes of addresses there are; `None` for a family or transport of an unknown number.
fn addresses_length(family: u8) -> Option<usize> {
    match (family >> 4, family & 0xf) {
        (0, 0..=2) => Some(0),
        (1, 0..=2) => Some(INET),
        (2, 0..=2) => Some(INET6),
        (3, 0..=2) => Some(UNIX),
        _ => None,
    }
}

/// What a block of addresses says, given as long as [`addresses_length`] wants it.
fn addresses(family: u8, block: &[u8]) -> (Transport, Addresses) {
    let transport = match family & 0xf {
        1 => Transport::Stream,
        2 => Transport::Datagram,
        _ => return (Transport::Unspecified, Addresses::Unspecified),
    };
    let read = || match family >> 4 {
        1 => {
            let (from, rest) = block.split_first_chunk::<4>()?;
            let (to, ports) = rest.split_first_chunk::<4>()?;
            inet(Ipv4Addr::from(*from).into(), Ipv4Addr::from(*to).into(), ports)
        }
        2 => {
            let (from, rest) = block.split_first_chunk::<16>()?;
            let (to, ports) = rest.split_first_chunk::<16>()?;
            inet(Ipv6Addr::from(*from).into(), Ipv6Addr::from(*to).into(), ports)
        }
        3 => {
            let (source, rest) = block.split_first_chunk()?;
            let destination = rest.first_chunk()?;
            Some(Addresses::Unix(Box::new(UnixAddresses { source: *source, destination: *destination })))
        }
        _ => None,
    };
    read().map_or((Transport::Unspecified, Addresses::Unspecified), |addresses| (transport, addresses))
}

fn inet(from: IpAddr, to: IpAddr, ports: &[u8]) -> Option<Addresses> {
    let &[from_high, from_low, to_high, to_low] = ports.first_chunk()?;
    let source = SocketAddr::new(from, u16::from_be_bytes([from_high, from_low]));
    let destination = SocketAddr::new(to, u16::from_be_bytes([to_high, to_low]));
    Some(Addresses::inet(source, destination))
}

/// The TLVs from `start` to the end of the whole header, without those that are about this header alone.
fn tlvs(header: &[u8], start: usize) -> Result<Vec<u8>, Invalid> {
    let mut kept = Vec::new();
    let mut checksum = None;
    let mut tlvs = Tlvs::new(&header[start..]);
    let mut at = start;
    while let Some(next) = tlvs.next() {
        let end = header.len() - tlvs.rest().len();
        match next.kind {
            tlv::NOOP => {}
            tlv::CRC32C => {
                let carried = next.value.try_into().map_err(|_| Invalid::ChecksumForm { at })?;
                if checksum.replace((u32::from_be_bytes(carried), end - 4)).is_some() {
                    return Err(Invalid::ChecksumForm { at });
                }
            }
            _ => kept.extend_from_slice(&header[at..end]),
        }
        at = end;
    }
    if at != header.len() {
        return Err(Invalid::Tlv { at });
    }
    if let Some((carried, at)) = checksum {
        let computed = crc32c::crc32c(&header[..at]);
        let computed = crc32c::crc32c_append(computed, &[0; 4]);
        let computed = crc32c::crc32c_append(computed, &header[at + 4..]);
        if computed != carried {
            return Err(Invalid::Checksum { carried, computed });
        }
    }
    Ok(kept)
}

/// The length of those first TLVs that together are not longer than [`TLVS_MAX`].
fn fitting(all: &[u8]) -> usize {
    let mut tlvs = Tlvs::new(all);
    let mut length = 0;
    while tlvs.next().is_some() && all.len() - tlvs.rest().len() <= TLVS_MAX {
        length = all.len() - tlvs.rest().len();
    }
    length
}

fn as_ipv6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The version with each command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// The bytes before the addresses.
pub(super) const FIXED: usize = 16;
/// The bytes that addresses take, by family.
const INET: usize = 12;
const INET6: usize = 36;
pub(super) const UNIX: usize = 216;
