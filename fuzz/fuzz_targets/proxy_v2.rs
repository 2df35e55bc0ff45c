//! PROXY headers of version 2, made from parts so that the signature and the length are right mostly: each
//! cut waits for more or is refused, checksums count, TLVs are kept in their order, and what was read can be
//! written and read again.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::proxy::proxy_protocol::{
    Addresses, Command, HEADER_MAX, TLVS_MAX, Tlvs, Version, parse, tlv, write,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    command: u8,
    family: u8,
    /// Announced beyond what the block has.
    more: i8,
    addresses: [u8; 36],
    unix: bool,
    parts: Vec<Part<'a>>,
    /// Bytes where TLVs should be.
    raw: &'a [u8],
    behind: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Tlv(u8, &'a [u8]),
    Padding(u8),
    /// The right checksum, with these bits changed.
    Checksum(u32),
}

fuzz_target!(|input: Input<'_>| {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    // Mostly a good version, command and family; any from time to time.
    header.push(if input.command < 0xc0 { 0x20 | (input.command & 1) } else { input.command });
    let family = match input.family {
        family @ 0..0xc0 => [0x00, 0x11, 0x12, 0x21, 0x22, 0x31][usize::from(family) % 6],
        family => family,
    };
    header.extend_from_slice(&[family, 0, 0]);
    match family >> 4 {
        1 => header.extend_from_slice(&input.addresses[..12]),
        2 => header.extend_from_slice(&input.addresses),
        3 => header.extend_from_slice(&if input.unix { [0x61; 216] } else { [0; 216] }),
        _ => {}
    }
    let tlvs_at = header.len();
    let mut kept = Vec::new();
    let mut checksums = Vec::new();
    for part in &input.parts {
        let (kind, value) = match part {
            Part::Tlv(kind, value) => (*kind, value[..value.len().min(0xffff)].to_vec()),
            Part::Padding(length) => (tlv::NOOP, vec![0; usize::from(*length)]),
            Part::Checksum(flipped) => {
                checksums.push((header.len() + 3, *flipped));
                (tlv::CRC32C, vec![0; 4])
            }
        };
        let start = header.len();
        header.push(kind);
        header.extend_from_slice(&(value.len() as u16).to_be_bytes());
        header.extend_from_slice(&value);
        if !matches!(kind, tlv::NOOP | tlv::CRC32C) {
            kept.extend_from_slice(&header[start..]);
        }
    }
    header.extend_from_slice(input.raw);
    let length = (header.len() as i64 - 16 + i64::from(input.more)).clamp(0, i64::from(u16::MAX)) as u16;
    header[14..16].copy_from_slice(&length.to_be_bytes());
    let end = 16 + usize::from(length);
    let exact = end == header.len() && input.raw.is_empty();
    header.extend_from_slice(input.behind);
    if let [(at, flipped)] = checksums[..]
        && (at + 4..=header.len()).contains(&end)
    {
        let checksum = crc32c(&header[..end]) ^ flipped;
        header[at..at + 4].copy_from_slice(&checksum.to_be_bytes());
    }

    let answer = parse(&header);
    for cut in 0..header.len().min(end) {
        let so_far = parse(&header[..cut]);
        assert!(so_far == Ok(None) || so_far == answer, "{cut} bytes: {so_far:?} {answer:?}");
        assert!(cut < HEADER_MAX || so_far != Ok(None));
    }
    match answer {
        Err(invalid) => {
            assert_eq!(invalid.to_string().lines().count(), 1);
            assert!(header.len() >= 13);
        }
        Ok(None) => assert!(header.len() < end && end <= HEADER_MAX),
        Ok(Some((read, length))) => {
            assert_eq!(length, end);
            assert!(end <= HEADER_MAX && read.tlvs.len() <= TLVS_MAX);
            assert_eq!(Tlvs::new(&read.tlvs).last().is_some(), !read.tlvs.is_empty());
            if read.command == Command::Local {
                assert_eq!((&read.addresses, read.tlvs.len()), (&Addresses::Unspecified, 0));
            } else if exact {
                assert_eq!(read.tlvs, kept, "behind byte {tlvs_at}");
                assert!(checksums.len() <= 1 && checksums.iter().all(|(_, flipped)| *flipped == 0));
            }
            let mut written = Vec::new();
            write(Version::V2, &read.addresses, &read.tlvs, &mut written);
            let (again, whole) = parse(&written).expect("it is ours").expect("it is whole");
            assert_eq!(whole, written.len());
            // Without addresses it is LOCAL, and the TLVs behind that are skipped.
            let local = read.addresses == Addresses::Unspecified;
            assert_eq!(again.command == Command::Local, local);
            assert_eq!(again.tlvs, if local { Vec::new() } else { read.tlvs });
            assert_eq!(again.addresses, read.addresses);
        }
    }
});

/// Bit by bit, so that it is not the parser's own.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}
