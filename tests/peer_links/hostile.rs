//! Whoever connects and is no node, or is one that does not behave.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use trimtab::links::Setup;
use trimtab::peer::{Class, End, Fault, Frame, Hello, Kind, PREAMBLE, Splitter};

use crate::certificates::Authority;
use crate::folder::Folder;
use crate::support::{Node, free_address, name, setup, until};

/// A frame, made by hand from its description.
pub(crate) fn frame(kind: Kind, class: Class, payload: &[u8]) -> Vec<u8> {
    let mut header = (payload.len() as u32).to_le_bytes().to_vec();
    header.extend([kind as u8, class as u8, 0, 0]);
    let crc = crc32c(&[&header[..], payload].concat());
    [&header[..], &crc.to_le_bytes(), payload].concat()
}

/// Bit by bit, so that it shares nothing with what it checks.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// What the node `own` says first.
pub(crate) fn hello_bytes(own: &str, target: &str) -> Vec<u8> {
    let hello = Hello {
        versions: (1, 1),
        cluster: Some([1; 16]),
        number: 0,
        boot: 42,
        windows: [1 << 20; 3],
        message_bytes_max: 1 << 20,
        name: name(own),
        target: name(target),
        address: String::new(),
        generation: 0,
    };
    [&PREAMBLE[..], &frame(Kind::Hello, Class::Urgent, &hello.encode())].concat()
}

/// A node that knows db-1, short of patience.
fn victim() -> (Setup, SocketAddr) {
    let address = free_address();
    let mut setup = setup("db-2", address, &[("db-1", Some(free_address()))]);
    setup.options.ping_interval = Duration::from_millis(50);
    setup.options.silence_max = Duration::from_millis(300);
    setup.options.hello_max = Duration::from_millis(300);
    (setup, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Reads what there is; `false` once the other side has ended.
fn read(socket: &mut TcpStream, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 << 10];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(bytes) => into.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
    }
}

/// Says hello as db-1 and is taken.
fn join(nodes: &mut [Node], address: SocketAddr) -> TcpStream {
    let mut socket = connect(address);
    socket.write_all(&hello_bytes("db-1", "db-2")).unwrap();
    let mut heard = Vec::new();
    until(nodes, "a welcome", |_| {
        read(&mut socket, &mut heard);
        let mut splitter = Splitter::new();
        let mut input = &heard[..];
        matches!(splitter.next(&mut input), Ok(Some(Frame { kind: Kind::Welcome, .. })))
    });
    socket.write_all(&frame(Kind::Ready, Class::Urgent, &[])).unwrap();
    until(nodes, "the link", |nodes| nodes[0].is_up("db-1"));
    socket
}

#[test]
fn garbage_strangers_and_impossible_lengths_are_cut_off() {
    let (setup, address) = victim();
    let mut nodes = vec![Node::open(setup)];
    let long = [&PREAMBLE[..], &u32::MAX.to_le_bytes(), &[9, 0, 0, 0, 0, 0, 0, 0]].concat();
    let mut damaged = hello_bytes("db-1", "db-2");
    damaged[40] ^= 1;
    for (bytes, fault) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Fault::Stranger),
        (b"\0\0\0\0", Fault::Stranger),
        (&[0x16, 3, 1, 2, 0], Fault::Tls),
        (&long, Fault::TooLong { bytes: u64::from(u32::MAX), limit: 16_372 }),
        (&damaged, Fault::Damaged),
    ] {
        nodes[0].notices.clear();
        let mut socket = connect(address);
        socket.write_all(bytes).unwrap();
        until(&mut nodes, "the end", |nodes| {
            !read(&mut socket, &mut Vec::new()) && !nodes[0].refused().is_empty()
        });
        assert_eq!(nodes[0].refused(), [&End::Fault(fault)]);
    }
    assert_eq!(nodes[0].links.totals().refused, 5);
    // It goes on as if nothing had been.
    join(&mut nodes, address);
}

#[test]
fn a_hello_cut_at_every_byte_and_one_that_comes_byte_by_byte() {
    let (setup, address) = victim();
    let mut nodes = vec![Node::open(setup)];
    let hello = hello_bytes("db-1", "db-2");
    for len in 0..hello.len() {
        connect(address).write_all(&hello[..len]).unwrap();
        until(&mut nodes, "the end", |nodes| nodes[0].refused().len() == len + 1);
        assert_eq!(nodes[0].refused()[len], &End::Gone, "{len}");
    }
    let mut socket = connect(address);
    for byte in &hello {
        socket.write_all(&[*byte]).unwrap();
        nodes[0].turn();
    }
    let mut heard = Vec::new();
    until(&mut nodes, "a welcome", |_| {
        read(&mut socket, &mut heard);
        heard.len() > 60
    });
}

#[test]
fn the_tls_handshake_of_a_link_cut_at_many_places() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let (mut setup, address) = victim();
    setup.options.hello_max = Duration::from_secs(30);
    let issued = authority.issue(&folder, "db-2");
    setup.security = trimtab::peer::Security::Tls {
        certificates: vec![issued.certificate],
        key: Some(issued.key),
        ca: authority.ca.clone(),
    };
    let mut nodes = vec![Node::open(setup)];
    let own = authority.issue(&folder, "db-1");
    let identity = trimtab::tls::Identity::load(&[own.certificate], Some(&own.key)).unwrap();
    let roots = trimtab::tls::Roots::load(&authority.ca).unwrap();
    let alpn: &[&[u8]] = &[b"trimtab-peer/1"];
    let (versions, time) = (trimtab::tls::Versions::Newest, trimtab::tls::WallTime::System);
    let client = trimtab::tls::Client::new(&roots, Some(&identity), alpn, versions, time).unwrap();
    // So many bytes are said, then no more; the last of them are within the hello.
    let mut said_all = 0;
    for limit in (0..).step_by(5) {
        let mut pump = trimtab::tls::Pump::client(&client, "db-2").unwrap();
        pump.write(&hello_bytes("db-1", "db-2"));
        let mut socket = connect(address);
        let (mut out, mut said, mut is_taken) = (Vec::new(), 0, false);
        let before = nodes[0].refused().len();
        until(&mut nodes, "the end of what is said", |nodes| {
            pump.poll_transmit(&mut out);
            let part = out.len().min(limit - said);
            let _ = socket.write_all(&out[..part]);
            out.drain(..part);
            said += part;
            let mut heard = Vec::new();
            read(&mut socket, &mut heard);
            pump.handle_bytes(&mut &heard[..]).unwrap();
            let mut plain = [0; 512];
            is_taken |= matches!(pump.read(&mut plain), trimtab::tls::Read::Bytes(_));
            let _ = nodes;
            said == limit || is_taken
        });
        drop(socket);
        until(&mut nodes, "the end", |nodes| nodes[0].refused().len() == before + 1);
        let end = nodes[0].refused()[before];
        assert!(matches!(end, End::Gone), "{limit}: {end:?}");
        if is_taken {
            said_all = limit;
            break;
        }
    }
    assert!(said_all > 700, "{said_all} bytes make a handshake and a hello");
}

#[test]
fn who_says_nothing_makes_room_and_who_is_many_keeps_nobody_out() {
    let (mut setup, address) = victim();
    setup.options.pending_max = 16;
    setup.options.hello_max = Duration::from_secs(30);
    let mut nodes = vec![Node::open(setup)];
    let sockets: Vec<TcpStream> = (0..200).map(|_| connect(address)).collect();
    until(&mut nodes, "all of them", |nodes| nodes[0].links.totals().accepted == 200);
    assert_eq!(nodes[0].links.totals().displaced, 184);
    assert_eq!(nodes[0].refused().iter().filter(|end| ***end == End::Displaced).count(), 184);
    join(&mut nodes, address);
    drop(sockets);
    let (setup, address) = victim();
    nodes[0] = Node::open(setup);
    let _socket = connect(address);
    until(&mut nodes, "the end of its patience", |nodes| nodes[0].refused() == [&End::Late]);
}

#[test]
fn a_peer_that_stops_reading_is_found() {
    let (setup, address) = victim();
    let mut nodes = vec![Node::open(setup)];
    let mut socket = join(&mut nodes, address);
    // It sends heartbeats for ever, and reads nothing: not even the questions whether it is there.
    let beat = frame(Kind::Begin, Class::Urgent, &[1, 0, 0, 0, 7]);
    until(&mut nodes, "the end", |nodes| {
        let _ = socket.write(&beat);
        let _ = nodes[0].links.send(&name("db-1"), Class::Bulk, vec![0; 60_000]);
        !nodes[0].is_up("db-1")
    });
    let ends = nodes[0].notices.iter().filter_map(|notice| match notice {
        trimtab::links::Notice::Down { end, .. } => Some(end.clone()),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [End::Silent]);
}

#[test]
fn who_sends_more_than_it_may_is_cut_off() {
    let (mut setup, address) = victim();
    setup.options.window_bytes = [1_024; 3];
    let mut nodes = vec![Node::open(setup)];
    let mut socket = join(&mut nodes, address);
    nodes[0].is_deaf = true;
    for _ in 0..20 {
        let message = [&100u32.to_le_bytes()[..], &[1; 100]].concat();
        socket.write_all(&frame(Kind::Begin, Class::Normal, &message)).unwrap();
    }
    until(&mut nodes, "the end", |nodes| !nodes[0].is_up("db-1"));
    nodes[0].is_deaf = false;
    let fault = End::Fault(Fault::Window(Class::Normal));
    until(&mut nodes, "the notice", |nodes| {
        nodes[0]
            .notices
            .iter()
            .any(|notice| matches!(notice, trimtab::links::Notice::Down { end, .. } if *end == fault))
    });
}

#[test]
fn a_flood_of_small_frames_keeps_no_other_link_waiting() {
    let (setup, address) = victim();
    let other_address = free_address();
    let mut nodes = vec![Node::open(setup)];
    nodes[0]
        .links
        .add_peer(trimtab::links::PeerAddress { name: name("db-3"), address: Some(other_address), number: 0 })
        .unwrap();
    nodes.push(Node::open(crate::support::setup("db-3", other_address, &[("db-2", Some(address))])));
    let mut socket = join(&mut nodes, address);
    until(&mut nodes, "the other link", |nodes| nodes[0].is_up("db-3") && nodes[1].is_up("db-2"));
    let flood: Vec<u8> =
        (0..1_000u64).flat_map(|n| frame(Kind::Ping, Class::Urgent, &n.to_le_bytes())).collect();
    let mut sent = 0usize;
    for round in 0..50u8 {
        nodes[1].links.send(&name("db-2"), Class::Urgent, vec![round]).unwrap();
        until(&mut nodes, "the message of the other", |nodes| {
            // What a part of a frame would be is sent whole in the end: it goes on where it was.
            let at = sent % flood.len();
            if let Ok(bytes) = socket.write(&flood[at..]) {
                sent += bytes;
            }
            read(&mut socket, &mut Vec::new());
            nodes[0].messages.iter().any(|(_, message)| message.bytes == [round])
        });
    }
    assert!(sent > flood.len(), "{sent}");
}

#[test]
fn what_answers_a_dialler_and_is_no_node() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let setup = setup("db-1", free_address(), &[("db-2", Some(listener.local_addr().unwrap()))]);
    let mut nodes = vec![Node::open(setup)];
    let mut sockets = Vec::new();
    until(&mut nodes, "a failure", |nodes| {
        if let Ok((mut socket, _)) = listener.accept() {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            sockets.push(socket);
        }
        !nodes[0].failures().is_empty()
    });
    let told = nodes[0].failures()[0].to_string();
    assert_eq!(told, "what answers there is no node of trimtab; check the address");
}
