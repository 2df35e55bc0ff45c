//! PROXY headers taken from clients and sent to backends. That others understand them is tested beside.

use std::collections::HashMap;
use std::net::SocketAddr;

use socket2::Socket;
use trimtab::balance::Request;
use trimtab::proxy::proxy_protocol::{Addresses, Header, Tlvs, Version, parse, write};

use crate::support::{Family, Folder, Listen, Mode, Relay, Setup, Stream, payload};

const SOURCE: &str = "192.0.2.7:40000";
const DESTINATION: &str = "198.51.100.9:443";

fn inet(source: &str, destination: &str) -> Addresses {
    Addresses::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn header(version: Version, addresses: &Addresses, tlvs: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(version, addresses, tlvs, &mut bytes);
    bytes
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, (value.len() >> 8) as u8, value.len() as u8][..], value].concat()
}

/// A listener that expects headers.
fn accepting(listen: &Listen) -> Setup {
    Setup::new(&[&listen.address]).listener("proxy_protocol = \"accept\"")
}

/// Reads the header a backend is sent, and nothing behind it.
fn receive_header(backend: &Socket) -> Header {
    let mut bytes = Vec::new();
    loop {
        bytes.extend(backend.receive(1));
        if let Some((header, length)) = parse(&bytes).unwrap() {
            assert_eq!(length, bytes.len());
            return header;
        }
    }
}

/// The address of this end and that of the other.
fn ends(socket: &Socket) -> (SocketAddr, SocketAddr) {
    let inet = |address: socket2::SockAddr| address.as_socket().unwrap();
    (inet(socket.local_addr().unwrap()), inet(socket.peer_addr().unwrap()))
}

#[test]
fn a_header_is_taken_off() {
    let addresses =
        [inet(SOURCE, DESTINATION), inet("[2001:db8::1]:1", "[2001:db8::2]:2"), Addresses::Unspecified];
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = accepting(&listen).start(mode);
        for version in [Version::V1, Version::V2] {
            for addresses in &addresses {
                let header = header(version, addresses, &[]);
                // With the request in one segment.
                let client = relay.connect();
                client.put(&[&header, &b"request"[..]].concat());
                let backend = listen.accept();
                backend.expect(b"request");
                // Alone, and the request later, or the backend first.
                let client = relay.connect();
                client.put(&header);
                let backend = listen.accept();
                backend.put(b"welcome");
                client.expect(b"welcome");
                client.put(b"request");
                backend.expect(b"request");
                // With the request and its end.
                let client = relay.connect();
                client.put(&[&header, &b"request"[..]].concat());
                client.end();
                assert_eq!(listen.accept().rest(), b"request");
            }
        }
    }
}

#[test]
fn a_header_in_pieces_of_one_byte() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = accepting(&listen).pool("proxy_protocol = \"v2\"").start(mode);
        for version in [Version::V1, Version::V2] {
            let addresses = inet(SOURCE, DESTINATION);
            let tlvs = if version == Version::V2 { tlv(0xe0, b"ours") } else { Vec::new() };
            let client = relay.connect();
            client.set_tcp_nodelay(true).unwrap();
            for byte in [&header(version, &addresses, &tlvs)[..], b"request"].concat() {
                client.put(&[byte]);
                // Somebody else in between, so that each byte has its own turn.
                relay.statistics();
                std::thread::yield_now();
            }
            let backend = listen.accept();
            let got = receive_header(&backend);
            assert_eq!((got.addresses, got.tlvs), (addresses, tlvs));
            backend.expect(b"request");
        }
    }
}

/// More behind the header than one read takes.
#[test]
fn a_header_before_bulk() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = accepting(&listen).pool("proxy_protocol = \"v1\"").start(mode);
        let client = relay.connect();
        let bulk = payload(8 << 20, 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                client.put(&[&header(Version::V2, &inet(SOURCE, DESTINATION), &[])[..], &bulk].concat());
                client.end();
            });
            let backend = listen.accept();
            assert_eq!(receive_header(&backend).addresses, inet(SOURCE, DESTINATION));
            assert!(backend.rest() == bulk);
        });
    }
}

#[test]
fn what_was_received_is_passed_on() {
    let kept = [tlv(0x02, b"example.org"), tlv(0xe5, &[7; 3000]), tlv(0x05, b"id")].concat();
    let received = [tlv(0x04, &[0; 10]), kept.clone()].concat();
    let all = [
        inet(SOURCE, DESTINATION),
        inet("[2001:db8::1]:1", "[2001:db8::2]:2"),
        Addresses::Unix(Box::new(trimtab::proxy::proxy_protocol::UnixAddresses {
            source: [0; 108],
            destination: std::array::from_fn(|at| *b"/run/web.sock".get(at).unwrap_or(&0)),
        })),
    ];
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = accepting(&listen).pool("proxy_protocol = \"v2\"").start(mode);
        for addresses in &all {
            let client = relay.connect();
            client.put(&header(Version::V2, addresses, &received));
            let got = receive_header(&listen.accept());
            assert_eq!(&got.addresses, addresses);
            // The padding was for the header it came in.
            assert_eq!(got.tlvs, kept);
            assert_eq!(Tlvs::new(&got.tlvs).count(), 3);
        }
        // What has no addresses gets the connection's own, with its TLVs.
        let client = relay.connect();
        let mut unspecified = header(Version::V2, &Addresses::Unspecified, &kept);
        assert_eq!(unspecified[12], 0x20, "the command LOCAL");
        unspecified[12] = 0x21;
        client.put(&unspecified);
        let got = receive_header(&listen.accept());
        let (source, destination) = ends(&client);
        assert_eq!((got.addresses, got.tlvs), (Addresses::Inet { source, destination }, kept.clone()));
        // What the sender says of a connection of its own is not to be looked at.
        let client = relay.connect();
        client.put(&header(Version::V2, &Addresses::Unspecified, &kept));
        let got = receive_header(&listen.accept());
        let (source, destination) = ends(&client);
        assert_eq!((got.addresses, got.tlvs), (Addresses::Inet { source, destination }, vec![]));
        // The same from a check of the sender's own.
        let client = relay.connect();
        client.put(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00");
        let got = receive_header(&listen.accept());
        let (source, destination) = ends(&client);
        assert_eq!(got.addresses, Addresses::Inet { source, destination });
    }
}

#[test]
fn the_clients_own_addresses_are_sent() {
    for mode in Mode::BOTH {
        for version in ["v1", "v2"] {
            for family in Family::ALL {
                let listen = Listen::new(Family::V4);
                let folder = Folder::new();
                let setup = Setup::new(&[&listen.address]).pool(&format!("proxy_protocol = \"{version}\""));
                let relay = setup.bind(family.free(&folder, "front")).start(mode);
                // It goes out before the client says a word.
                let (client, backend) = relay.join(&listen);
                let got = receive_header(&backend);
                if matches!(family, Family::V4 | Family::V6) {
                    let (source, destination) = ends(&client);
                    assert_eq!(got.addresses, Addresses::Inet { source, destination });
                } else {
                    assert_eq!(got.addresses, Addresses::Unspecified);
                }
                assert!(backend.is_silent());
                client.put(b"request");
                backend.expect(b"request");
                backend.put(b"answer");
                client.expect(b"answer");
            }
        }
    }
}

#[test]
fn what_is_no_header_is_refused_by_a_reset() {
    let bulk = payload(100_000, 9);
    let wrong: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP5 ",
        b"PROXY TCP4 999.0.0.1 ",
        b"PROXY UNKNOWN\n",
        &[b'P'; 200],
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        &bulk,
    ];
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = accepting(&listen).start(mode);
        for (number, bytes) in wrong.iter().enumerate() {
            let client = relay.connect();
            // It may be told before all of it is sent.
            let _ = std::io::Write::write_all(&mut &client, bytes);
            client.expect_reset();
            relay.expect_closed("header_invalid", number as u64 + 1);
        }
        assert!(!listen.has_somebody());
        assert_eq!(relay.backend(0).picks, 0);
    }
}

/// Bytes as they may come: nothing panics, each client is seen off.
#[test]
fn random_bytes() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = accepting(&listen).start(mode);
        let good = header(Version::V2, &inet(SOURCE, DESTINATION), &tlv(0xe0, &[1; 20]));
        for seed in 0..100 {
            let client = relay.connect();
            let noise = payload(64, seed);
            // A good header with one byte changed, or nothing but noise.
            let mut bytes = if seed % 2 == 0 { good.clone() } else { noise.clone() };
            let at = noise[0] as usize % bytes.len();
            bytes[at] ^= noise[1] | 1;
            let _ = std::io::Write::write_all(&mut &client, &bytes);
            let _ = client.shutdown(std::net::Shutdown::Write);
            if parse(&bytes).is_ok_and(|parsed| parsed.is_some()) {
                // Another address, say.
                drop(listen.accept());
            }
            client.expect_over();
        }
        relay.until("all are over", |statistics| statistics.sessions == 0);
        let closed = relay.statistics().closed;
        assert!(closed["header_invalid"] >= 50, "{closed:?}");
    }
}

#[test]
fn a_client_that_goes_before_its_header_is_there() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = accepting(&listen).start(mode);
        // In the middle: what came is none.
        let client = relay.connect();
        client.put(b"PROXY TCP4 192.0");
        client.end();
        client.expect_reset();
        relay.expect_closed("header_invalid", 1);

        let relay = accepting(&listen).start(mode);
        // Without a word, as checks of a port do.
        drop(relay.connect());
        relay.expect_closed("client_left", 1);
        // By a reset, before and in the middle.
        relay.connect().reset();
        relay.expect_closed("client_left", 2);
        let client = relay.connect();
        client.put(b"PROXY TCP4 192.0");
        relay.until("it is there", |statistics| statistics.sessions == 1);
        client.reset();
        relay.expect_closed("client_left", 3);
        assert!(!listen.has_somebody());
    }
}

/// The policy `source` goes by the address that the header carries, not by that of the balancer in front.
#[test]
fn the_headers_address_decides() {
    for mode in Mode::BOTH {
        let listens: Vec<_> = (0..4).map(|_| Listen::new(Family::V4)).collect();
        let addresses: Vec<_> = listens.iter().map(|listen| &*listen.address).collect();
        let setup =
            Setup::new(&addresses).pool("policy = \"source\"").listener("proxy_protocol = \"accept\"");
        let relay = setup.start(mode);
        let mut used = HashMap::new();
        for number in 0..32u8 {
            let source = if number % 2 == 0 {
                SocketAddr::from(([203, 0, 113, number], 1))
            } else {
                SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number)], 1))
            };
            let destination = SocketAddr::new(source.ip(), 80);
            let expected = expected(&relay, source);
            let client = relay.connect();
            client.put(&header(Version::V1, &Addresses::Inet { source, destination }, &[]));
            client.put(b"x");
            let backend = listens[expected].accept();
            backend.expect(b"x");
            *used.entry(expected).or_insert(0) += 1;
        }
        assert!(used.len() > 1, "all went to one: {used:?}");
    }
}

/// Which backend a client at `source` is due.
fn expected(relay: &Relay, source: SocketAddr) -> usize {
    let octets = match source {
        SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
        SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
    };
    let pool = relay.pool();
    let explained = pool.explain(&Request { key: &octets, ..Request::default() }).unwrap();
    let picked = explained.picked.unwrap();
    pool.ids().iter().position(|id| *id == picked).unwrap()
}
