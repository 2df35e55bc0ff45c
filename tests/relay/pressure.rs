//! Back-pressure: what one side does not take, the other cannot send.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use socket2::Socket;

use crate::support::{DEADLINE, Family, Listen, Mode, Setup, Stream, payload, until};
use crate::system;

/// What a relay may hold of one direction beside the system's socket buffers: a full read, and a full pipe.
const HELD_MAX: u64 = (64 << 10) + (1 << 20);

/// What lies in the buffers of one connection's socket, as the system tells: not sent or acknowledged yet, and
/// not read yet.
#[derive(Clone, Copy, Debug)]
struct Queues {
    sending: u64,
    received: u64,
}

/// Those of every TCP connection over IPv4, by own and other port.
fn queues() -> HashMap<(u16, u16), Queues> {
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut queues = HashMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = |field: &str| u16::from_str_radix(field.split_once(':').unwrap().1, 16).unwrap();
        let (sending, received) = fields[4].split_once(':').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let both = Queues { sending: number(sending), received: number(received) };
        queues.insert((port(fields[1]), port(fields[2])), both);
    }
    queues
}

/// Own and other port.
fn ports(socket: &Socket) -> (u16, u16) {
    let port = |address: socket2::SockAddr| address.as_socket().unwrap().port();
    (port(socket.local_addr().unwrap()), port(socket.peer_addr().unwrap()))
}

/// Sends until nothing more is taken for a while. Answers how much was.
fn fill(socket: &Socket, bytes: &[u8]) -> usize {
    socket.set_nonblocking(true).unwrap();
    let mut sent = 0;
    loop {
        let mut writer = socket;
        match writer.write(&bytes[sent..]) {
            Ok(more) => sent += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // Long enough for everything under way to come to rest.
                if !system::is_writable(socket, Duration::from_millis(500)) {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < bytes.len(), "all {sent} bytes were taken though nobody reads");
    }
    socket.set_nonblocking(false).unwrap();
    sent
}

/// One sends and the other does not read; then it does.
fn hold_up(from: &Socket, to: &Socket) {
    let bytes = payload(64 << 20, 1);
    let sent = fill(from, &bytes);
    let queues = queues();
    let (own, other) = ports(from);
    let (last_own, last_other) = ports(to);
    let [first, second] = [(own, other), (other, own)].map(|ports| queues[&ports]);
    let [third, fourth] = [(last_other, last_own), (last_own, last_other)].map(|ports| queues[&ports]);
    let in_buffers = first.sending + second.received + third.sending + fourth.received;
    let held = (sent as u64).checked_sub(in_buffers).expect("what was sent and is not in a buffer");
    assert!(
        held <= HELD_MAX,
        "{held} bytes are held: {sent} sent, {first:?} {second:?} {third:?} {fourth:?}"
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            from.put(&bytes[sent..]);
            from.end();
        });
        assert!(to.rest() == bytes);
    });
}

#[test]
fn a_client_that_does_not_read_holds_up_the_backend() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        hold_up(&backend, &client);
        client.end();
        relay.expect_closed("finished", 1);
    }
}

#[test]
fn a_backend_that_does_not_read_holds_up_the_client() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        hold_up(&client, &backend);
        backend.end();
        relay.expect_closed("finished", 1);
    }
}

/// One direction stands still; the other does not care.
#[test]
fn the_other_direction_goes_on() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        let bulk = payload(64 << 20, 2);
        let sent = fill(&backend, &bulk);
        let other = payload(4 << 20, 3);
        std::thread::scope(|scope| {
            scope.spawn(|| client.put(&other));
            backend.expect(&other);
        });
        client.expect(&bulk[..sent]);
        assert!(!system::is_readable(&client, Duration::from_millis(20)));
    }
}

/// Waits until the sender is held up, or has sent everything.
fn until_still(from: &Socket) {
    let ports = ports(from);
    let mut before = None;
    until("the sender stands still", || {
        let now = queues().get(&ports).map_or(0, |queues| queues.sending);
        before.replace(now) == Some(now)
    });
}

/// A reader that stops and goes on, over and over.
#[test]
fn stop_and_go() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        let bytes = payload(24 << 20, 4);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                backend.put(&bytes);
                backend.end();
            });
            let mut at = 0;
            for round in 0.. {
                if at == bytes.len() {
                    break;
                }
                if round % 50 == 0 {
                    until_still(&backend);
                }
                let len = (bytes.len() - at).min(1 + round * 4099 % 300_000);
                assert!(client.receive(len) == bytes[at..at + len]);
                at += len;
            }
            client.expect_end();
        });
        client.end();
        relay.expect_closed("finished", 1);
    }
}

/// Many sessions that all stand still keep nobody else waiting.
#[test]
fn a_session_that_stands_still_stops_nobody_else() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let stuck: Vec<_> = (0..8).map(|_| relay.join(&listen)).collect();
        let bulk = payload(64 << 20, 5);
        std::thread::scope(|scope| {
            for (_, backend) in &stuck {
                scope.spawn(|| fill(backend, &bulk));
            }
        });
        for _ in 0..10 {
            let (client, backend) = relay.join(&listen);
            client.put(b"ping");
            backend.expect(b"ping");
            backend.put(b"pong");
            client.expect(b"pong");
        }
        assert!(system::is_readable(&stuck[0].0, DEADLINE));
    }
}
