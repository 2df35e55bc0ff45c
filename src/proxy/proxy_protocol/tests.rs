use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 made by hand.
fn v2(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend_from_slice(&[version_and_command, family]);
    bytes.extend_from_slice(&(block.len() as u16).to_be_bytes());
    bytes.extend_from_slice(block);
    bytes
}

/// The same with one or more TLVs behind the addresses of [`inet4`].
fn v2_with(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[INET4, tlvs].concat())
}

const INET4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x9c, 0x40, 0x01, 0xbb];

fn inet4() -> Addresses {
    inet("192.0.2.1:40000", "198.51.100.2:443")
}

fn inet(source: &str, destination: &str) -> Addresses {
    Addresses::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// CRC32C as RFC 4960, appendix B has it, bit by bit: not the crate that the parser uses.
fn crc32c_by_hand(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    !crc
}

/// Fills in the checksum whose 4 bytes are at `at`.
fn sealed(mut header: Vec<u8>, at: usize) -> Vec<u8> {
    header[at..at + 4].fill(0);
    let checksum = crc32c_by_hand(&header);
    header[at..at + 4].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// Parses a header that has to be good and has to be all of `bytes`.
fn whole(bytes: &[u8]) -> Header {
    let (header, length) = parse(bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    header
}

#[test]
fn limits() {
    assert_eq!((LINE_MAX, HEADER_MAX), (107, 16 + 4096));
    assert!(size_of::<Header>() <= 128, "{}", size_of::<Header>());
}

#[test]
fn addresses_of_every_family() {
    let header = whole(&v2(0x21, 0x11, INET4));
    assert_eq!((header.version, header.command), (Version::V2, Command::Proxy));
    assert_eq!((header.transport, header.addresses), (Transport::Stream, inet4()));
    assert_eq!(whole(&v2(0x21, 0x12, INET4)).transport, Transport::Datagram);

    let mut block = [0u8; 36];
    block[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
    block[16..32].copy_from_slice(&"2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
    block[32..].copy_from_slice(&[0, 1, 0xff, 0xff]);
    let expected = inet("[2001:db8::1]:1", "[2001:db8::2]:65535");
    for (family, transport) in [(0x21, Transport::Stream), (0x22, Transport::Datagram)] {
        let header = whole(&v2(0x21, family, &block));
        assert_eq!((header.transport, &header.addresses), (transport, &expected));
    }

    let mut block = [0u8; 216];
    block[..9].copy_from_slice(b"/run/from");
    block[108..].fill(b'x');
    for family in [0x31, 0x32] {
        let Addresses::Unix(unix) = whole(&v2(0x21, family, &block)).addresses else {
            panic!("not of the family Unix");
        };
        assert_eq!((&unix.source[..], &unix.destination[..]), (&block[..108], &block[108..]));
    }
}

#[test]
fn unspecified_means_the_real_endpoints() {
    let id = tlv(super::tlv::UNIQUE_ID, b"7");
    // The family alone, the transport alone, both: the block of addresses is skipped, the TLVs count.
    for (family, addresses) in [(0x00, 0), (0x01, 0), (0x02, 0), (0x10, 12), (0x20, 36), (0x30, 216)] {
        let header = whole(&v2(0x21, family, &[&vec![0xff; addresses], &id[..]].concat()));
        assert_eq!(
            header,
            Header { tlvs: id.clone(), ..Header::unspecified(Version::V2, Command::Proxy) },
            "{family:#04x}"
        );
    }
    assert_eq!(whole(&v2(0x21, 0, &[])), Header::unspecified(Version::V2, Command::Proxy));
    // LOCAL: whatever the family is, whatever the block holds, up to the limit.
    for (family, length) in [(0x00, 0), (0x11, 12), (0xff, 1), (0x31, 4096)] {
        let header = whole(&v2(0x20, family, &vec![0xff; length]));
        assert_eq!(header, Header::unspecified(Version::V2, Command::Local));
    }
}

#[test]
fn nothing_to_tell_is_local() {
    let id = tlv(super::tlv::UNIQUE_ID, b"7");
    for tlvs in [&[][..], &id] {
        let mut out = Vec::new();
        write(Version::V2, &Addresses::Unspecified, tlvs, &mut out);
        assert_eq!(out, v2(0x20, 0x00, tlvs));
    }
}

#[test]
fn mapped_addresses_are_what_they_are() {
    let mapped = inet("[::ffff:192.0.2.1]:40000", "[::ffff:198.51.100.2]:443");
    for version in [Version::V1, Version::V2] {
        let mut out = Vec::new();
        write(version, &mapped, &[], &mut out);
        assert_eq!(whole(&out).addresses, inet4());
    }
    let mut out = Vec::new();
    write(Version::V2, &mapped, &[], &mut out);
    assert_eq!(out, v2(0x21, 0x11, INET4));

    let mut block = [0u8; 36];
    block[..16].copy_from_slice(&Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets());
    block[16..32].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
    block[32..].copy_from_slice(&[0, 1, 0, 2]);
    let mixed = inet("192.0.2.1:1", "[::1]:2");
    assert_eq!(whole(&v2(0x21, 0x21, &block)).addresses, mixed);
    out.clear();
    write(Version::V2, &mixed, &[], &mut out);
    assert_eq!(out, v2(0x21, 0x21, &block));
}

#[test]
fn tlvs_are_kept_but_for_those_of_this_header() {
    use super::tlv::*;
    let kept = [tlv(ALPN, b"h2"), tlv(AUTHORITY, b"example.org"), tlv(0xe5, b""), tlv(SSL, &[1, 0, 0, 0, 0])];
    let [alpn, authority, custom, ssl] = &kept;
    let padding = tlv(NOOP, &[0; 9]);
    let header = whole(&v2_with(&[&padding[..], alpn, authority, &padding, custom, ssl, &padding].concat()));
    assert_eq!(header.tlvs, kept.concat());
    let read: Vec<_> = Tlvs::new(&header.tlvs).map(|tlv| (tlv.kind, tlv.value)).collect();
    let ssl: (u8, &[u8]) = (SSL, &[1, 0, 0, 0, 0]);
    assert_eq!(read, [(ALPN, &b"h2"[..]), (AUTHORITY, b"example.org"), (0xe5, b""), ssl]);
}

#[test]
fn the_checksum_is_verified_and_dropped() {
    use super::tlv::*;
    assert_eq!(crc32c_by_hand(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    let id = tlv(UNIQUE_ID, b"abc");
    let first = sealed(v2_with(&[tlv(CRC32C, &[0; 4]), id.clone()].concat()), 31);
    let last = sealed(v2_with(&[id.clone(), tlv(CRC32C, &[0; 4])].concat()), 37);
    for (good, at) in [(first, 31), (last, 37)] {
        assert_eq!(whole(&good).tlvs, id);
        // Any one bit changed is noticed, but for those by which the checksum does not count: the command,
        // as LOCAL's block is skipped, and the type of the checksum's TLV.
        for bit in (0..good.len() * 8).filter(|bit| bit / 8 != 12 && bit / 8 != at - 3) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(parse(&bad), Ok(Some(_))), "bit {bit}");
        }
        let mut bad = good.clone();
        bad[20] ^= 0x40;
        let stored = good[at..].first_chunk().unwrap();
        let told = Invalid::Checksum {
            carried: u32::from_be_bytes(*stored),
            computed: u32::from_be_bytes(*sealed(bad.clone(), at)[at..].first_chunk().unwrap()),
        };
        assert_eq!(parse(&bad), Err(told));
    }
    // Twice, too short, too long, empty.
    let twice = v2_with(&[tlv(CRC32C, &[0; 4]), tlv(CRC32C, &[0; 4])].concat());
    assert_eq!(parse(&twice), Err(Invalid::ChecksumForm { at: 35 }));
    for length in [0, 3, 5, 300] {
        let header = v2_with(&[tlv(NOOP, b""), tlv(CRC32C, &vec![0; length])].concat());
        assert_eq!(parse(&header), Err(Invalid::ChecksumForm { at: 31 }), "{length}");
    }
    // In front of an address that is not said, too.
    let unspecified = sealed(v2(0x21, 0x00, &tlv(CRC32C, &[0; 4])), 19);
    assert_eq!(whole(&unspecified), Header::unspecified(Version::V2, Command::Proxy));
}

#[test]
fn what_is_wrong_is_refused_at_its_byte() {
    use Invalid::*;
    for (bytes, invalid) in [
        (&b"G"[..], Signature { at: 0 }),
        (b"\0", Signature { at: 0 }),
        (b"\n", Signature { at: 0 }),
        (b"\r\r", Signature { at: 1 }),
        (b"\r\n\r\n\0\r\nQUIT\r", Signature { at: 11 }),
    ] {
        assert_eq!(parse(bytes), Err(invalid));
        assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None));
    }
    for (version_and_command, invalid) in [
        (0x01, Version { version: 0 }),
        (0x11, Version { version: 1 }),
        (0x31, Version { version: 3 }),
        (0xf1, Version { version: 15 }),
        (0x22, Command { command: 2 }),
        (0x2f, Command { command: 15 }),
    ] {
        assert_eq!(parse(&v2(version_and_command, 0x11, INET4)[..13]), Err(invalid));
    }
    for family in [0x03, 0x13, 0x1f, 0x33, 0x40, 0x41, 0xf1] {
        assert_eq!(parse(&v2(0x21, family, INET4)[..14]), Err(Family { family }));
        assert_eq!(whole(&v2(0x20, family, INET4)).command, super::Command::Local);
    }
    for cut in [1, 2, 3] {
        let header = v2_with(&[tlv(1, b"ab"), vec![5, 0, 1][..cut].to_vec()].concat());
        assert_eq!(parse(&header), Err(Tlv { at: 33 }), "{cut}");
    }
    assert_eq!(parse(&v2_with(&[1, 0xff, 0xff, 0])), Err(Tlv { at: 28 }));
}

#[test]
fn lengths_at_their_limits() {
    for (command, family, min, max) in [
        (0x21, 0x00, 0, 3880),
        (0x21, 0x11, 12, 12 + 3880),
        (0x21, 0x21, 36, 36 + 3880),
        (0x21, 0x31, 216, 4096),
        (0x20, 0x11, 0, 4096),
    ] {
        let start = |length: u16| {
            let mut bytes = [SIGNATURE, &[command, family]].concat();
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes
        };
        for length in [max + 1, u16::MAX].into_iter().chain((min > 0).then(|| min - 1)) {
            // Refused with the length, before anything of that length comes.
            assert_eq!(parse(&start(length)[..15]), Ok(None));
            assert_eq!(parse(&start(length)), Err(Invalid::Length { length, min, max }));
        }
        let mut longest = start(max);
        assert_eq!(parse(&longest), Ok(None));
        let tlvs = tlv(0xe0, &vec![7; TLVS_MAX - 3]);
        longest.resize(16 + usize::from(max) - tlvs.len(), 0);
        longest.extend_from_slice(&tlvs);
        assert!(longest.len() <= HEADER_MAX);
        assert_eq!(parse(&longest[..longest.len() - 1]), Ok(None));
        let header = whole(&longest);
        // Whatever it is given for an address, it can be written and read again.
        let unix = UnixAddresses { source: [1; 108], destination: [2; 108] };
        for addresses in [inet4(), Addresses::Unix(Box::new(unix))] {
            let mut out = Vec::new();
            write(Version::V2, &addresses, &header.tlvs, &mut out);
            assert!(out.len() <= HEADER_MAX);
            assert_eq!((whole(&out).addresses, &whole(&out).tlvs), (addresses, &header.tlvs));
        }
    }
}

#[test]
fn tlvs_that_do_not_fit_are_left_out_whole() {
    let small = tlv(1, b"ab");
    let big = tlv(2, &vec![0; TLVS_MAX - small.len() - 3]);
    for (tlvs, kept) in [
        ([&small[..], &big].concat(), small.len() + big.len()),
        ([&small[..], &big, &small].concat(), small.len() + big.len()),
        ([&small[..], &small, &big].concat(), 2 * small.len()),
        (tlv(3, &vec![0; TLVS_MAX - 2]), 0),
        (tlv(3, &[0; 65_535]), 0),
        // What no parser gives: the end of the last one is missing.
        ([&small[..], &small[..4]].concat(), small.len()),
    ] {
        let mut out = Vec::new();
        write(Version::V2, &inet4(), &tlvs, &mut out);
        assert_eq!(whole(&out).tlvs, tlvs[..kept]);
    }
}

#[test]
fn errors_are_one_line_with_a_byte() {
    for invalid in [
        Invalid::Signature { at: 3 },
        Invalid::Protocol { at: 6 },
        Invalid::Address { at: 11 },
        Invalid::Port { at: 27 },
        Invalid::LineEnd { at: 30 },
        Invalid::LineLength,
        Invalid::Version { version: 3 },
        Invalid::Command { command: 2 },
        Invalid::Family { family: 0x41 },
        Invalid::Length { length: 3, min: 12, max: 3892 },
        Invalid::Tlv { at: 33 },
        Invalid::ChecksumForm { at: 33 },
    ] {
        let told = invalid.to_string();
        assert!(told.contains("byte ") && told.lines().count() == 1, "{told}");
    }
    let checksum = Invalid::Checksum { carried: 1, computed: 2 }.to_string();
    assert!(checksum.contains("0x00000001") && checksum.contains("0x00000002"), "{checksum}");
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::from),
        any::<Ipv6Addr>().prop_map(IpAddr::from),
        any::<Ipv4Addr>().prop_map(|ip| ip.to_ipv6_mapped().into()),
        any::<u16>().prop_map(|low| Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, low).into()),
    ]
}

fn any_addresses() -> impl Strategy<Value = Addresses> {
    let unix = |source, destination| Addresses::Unix(Box::new(UnixAddresses { source, destination }));
    prop_oneof![
        1 => Just(Addresses::Unspecified),
        6 => (ip(), any::<u16>(), ip(), any::<u16>()).prop_map(|(from, from_port, to, to_port)| {
            Addresses::Inet {
                source: SocketAddr::new(from, from_port),
                destination: SocketAddr::new(to, to_port),
            }
        }),
        1 => (any::<u8>(), any::<u8>()).prop_map(move |(from, to)| unix([from; 108], [to; 108])),
    ]
}

/// TLVs that are passed on.
fn any_tlvs() -> impl Strategy<Value = Vec<u8>> {
    let kind = any::<u8>().prop_filter("about one header alone", |kind| !matches!(kind, 3 | 4));
    let one = (kind, proptest::collection::vec(any::<u8>(), 0..200));
    proptest::collection::vec(one, 0..6)
        .prop_map(|all| all.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect())
}

/// Bytes that get far: whole headers with something changed, and anything.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let damaged = |bytes: BoxedStrategy<Vec<u8>>| {
        let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
        (bytes, changes).prop_map(|(mut bytes, changes)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    };
    let written = (any::<bool>(), any_addresses(), any_tlvs()).prop_map(|(first, addresses, tlvs)| {
        let mut out = Vec::new();
        write(if first { Version::V1 } else { Version::V2 }, &addresses, &tlvs, &mut out);
        out
    });
    let block = proptest::collection::vec(any::<u8>(), 0..300);
    let made =
        (0x1fu8..0x24, 0u8..0x42, block).prop_map(|(command, family, block)| v2(command, family, &block));
    prop_oneof![
        damaged(written.boxed()),
        damaged(made.boxed()),
        "PROXY (TCP4|TCP6|UNKNOWN|TCP)[ 0-9a-f:.]{0,100}\r\n".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        addresses in any_addresses(),
        tlvs in any_tlvs(),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        for version in [Version::V1, Version::V2] {
            let mut out = b"before".to_vec();
            write(version, &addresses, &tlvs, &mut out);
            let written = out.split_off(6);
            prop_assert_eq!(out, b"before");
            let longest = if version == Version::V1 { LINE_MAX } else { HEADER_MAX };
            prop_assert!(written.len() <= longest);
            let (header, length) = parse(&[&written[..], &behind].concat()).unwrap().unwrap();
            prop_assert_eq!(length, written.len());
            let expected = match &addresses {
                Addresses::Inet { source, destination } => Addresses::inet(*source, *destination),
                Addresses::Unix(_) if version == Version::V1 => Addresses::Unspecified,
                other => other.clone(),
            };
            prop_assert_eq!(header.transport == Transport::Stream, expected != Addresses::Unspecified);
            let local = version == Version::V2 && expected == Addresses::Unspecified;
            prop_assert_eq!(header.version, version);
            prop_assert_eq!(header.command, if local { Command::Local } else { Command::Proxy });
            prop_assert_eq!(header.addresses, expected);
            prop_assert_eq!(header.tlvs, if version == Version::V2 && !local { &tlvs[..] } else { &[] });
            for cut in 0..written.len() {
                prop_assert_eq!(parse(&written[..cut]), Ok(None), "cut at {}", cut);
            }
        }
    }

    #[test]
    fn an_answer_stands(bytes in nearly()) {
        let last = parse(&bytes);
        let mut decided = None;
        for length in 0..=bytes.len() {
            let answer = parse(&bytes[..length]);
            match (&decided, &answer) {
                (None, Ok(None)) => prop_assert!(length < HEADER_MAX),
                (None, _) => decided = Some(answer),
                (Some(before), now) => prop_assert_eq!(before, now),
            }
        }
        prop_assert_eq!(decided.unwrap_or(Ok(None)), last.clone());
        if let Ok(Some((header, length))) = last {
            prop_assert!(length <= bytes.len().min(HEADER_MAX));
            prop_assert!(header.version == Version::V2 || length <= LINE_MAX);
            prop_assert!(header.tlvs.len() <= TLVS_MAX);
            prop_assert!(Tlvs::new(&header.tlvs).all(|tlv| !matches!(tlv.kind, 3 | 4)));
        }
    }

    /// Never more than `HEADER_MAX` is asked for, whatever is announced.
    #[test]
    fn the_most_that_is_asked_for(head in proptest::collection::vec(any::<u8>(), 4), rest in any::<u8>()) {
        let mut bytes = [SIGNATURE, &head[..]].concat();
        bytes.resize(HEADER_MAX, rest);
        prop_assert_ne!(parse(&bytes), Ok(None));
    }
}
