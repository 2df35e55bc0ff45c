//! Bytes both ways, over every kind of address and in pieces of every size.

use std::io::Write;
use std::net::Shutdown;

use socket2::Socket;

use crate::support::{Backend, Family, Folder, Listen, Mode, Setup, Stream, connect_with, payload};

/// Sends `out` in pieces of `chunk` bytes while it receives `back`, and ends its half behind the last.
fn exchange(socket: &Socket, out: &[u8], chunk: usize, back: &[u8]) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut socket = socket;
            for piece in out.chunks(chunk) {
                socket.write_all(piece).unwrap();
            }
            socket.shutdown(Shutdown::Write).unwrap();
        });
        let got = socket.rest();
        assert!(got == back, "{} bytes came, not these {}", got.len(), back.len());
    });
}

/// `len` bytes each way at once, in pieces of `chunk`.
fn both_ways(mode: Mode, front: Family, rear: Family, len: usize, chunk: usize) {
    let listen = Listen::new(rear);
    let folder = Folder::new();
    let relay = Setup::new(&[&listen.address]).bind(front.free(&folder, "front")).start(mode);
    let (request, answer) = (payload(len, 1), payload(len, 2));
    let (client, backend) = relay.join(&listen);
    std::thread::scope(|scope| {
        scope.spawn(|| exchange(&backend, &answer, chunk, &request));
        exchange(&client, &request, chunk, &answer);
    });
    relay.expect_closed("finished", 1);
    let statistics = relay.statistics();
    assert_eq!((statistics.bytes_to_backends, statistics.bytes_to_clients), (len as u64, len as u64));
    assert_eq!(relay.backend(0).outcomes.success, 1);
}

#[test]
fn bulk_both_ways_at_once() {
    for mode in Mode::BOTH {
        both_ways(mode, Family::V4, Family::V4, 32 << 20, 1 << 20);
    }
}

#[test]
fn every_kind_of_address_on_both_sides() {
    for mode in Mode::BOTH {
        for front in Family::ALL {
            for rear in Family::ALL {
                both_ways(mode, front, rear, 1 << 20, 100_000);
            }
        }
    }
}

/// Pieces up to the size of a read are copied, larger ones move by splice; each must arrive before the next is
/// sent, so nothing may lie about until more comes.
#[test]
fn pieces_of_every_size_arrive_at_once() {
    const SIZES: [usize; 13] =
        [1, 2, 3, 1000, 1460, 16_383, 65_535, 65_536, 65_537, 131_072, 200_000, 1_000_003, 1 << 20];
    let largest = payload(1 << 20, 3);
    for mode in Mode::BOTH {
        for family in [Family::V4, Family::Unix] {
            let backend = Backend::echo(family);
            let folder = Folder::new();
            let relay = Setup::new(&[backend.address()]).bind(family.free(&folder, "front")).start(mode);
            let client = relay.connect();
            // Up and down, so that the way of moving changes in both directions.
            for &size in SIZES.iter().chain(SIZES.iter().rev()) {
                let piece = &largest[..size];
                std::thread::scope(|scope| {
                    scope.spawn(|| client.put(piece));
                    client.expect(piece);
                });
            }
            client.end();
            client.expect_end();
            relay.expect_closed("finished", 1);
        }
    }
}

#[test]
fn one_byte_at_a_time() {
    for mode in Mode::BOTH {
        both_ways(mode, Family::V4, Family::V4, 20_000, 1);
    }
}

/// Bulk in one direction with small messages in the other: each has its own way of moving.
#[test]
fn bulk_against_small_messages() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        let (bulk, note) = (payload(8 << 20, 4), payload(2000, 5));
        std::thread::scope(|scope| {
            scope.spawn(|| exchange(&backend, &bulk, 1 << 20, &note));
            exchange(&client, &note, 1, &bulk);
        });
        relay.expect_closed("finished", 1);
    }
}

#[test]
fn the_backend_speaks_first() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        backend.put(b"220 ready\r\n");
        client.expect(b"220 ready\r\n");
        client.put(b"QUIT\r\n");
        backend.expect(b"QUIT\r\n");
        backend.put(b"221 bye\r\n");
        backend.end();
        assert_eq!(client.rest(), b"221 bye\r\n");
        client.end();
        backend.expect_end();
        relay.expect_closed("finished", 1);
    }
}

/// What came before the backend's connection stood is not lost.
#[test]
fn the_client_speaks_at_once() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let backend = Backend::echo(family);
            let folder = Folder::new();
            let relay = Setup::new(&[backend.address()]).bind(family.free(&folder, "front")).start(mode);
            for _ in 0..20 {
                let client = relay.connect();
                client.put(b"early");
                client.end();
                assert_eq!(client.rest(), b"early");
            }
            relay.expect_closed("finished", 20);
        }
    }
}

/// A client that says something and goes, and never waits for an answer.
#[test]
fn fire_and_forget() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let listen = Listen::new(Family::V4);
            let folder = Folder::new();
            let relay = Setup::new(&[&listen.address]).bind(family.free(&folder, "front")).start(mode);
            for _ in 0..20 {
                let client = relay.connect();
                client.put(b"one line of a log");
                drop(client);
                let backend = listen.accept();
                assert_eq!(backend.rest(), b"one line of a log", "{family:?}");
                drop(backend);
            }
            relay.expect_closed("finished", 20);
        }
    }
}

/// A read stops before urgent data, though there is more behind it.
#[test]
fn urgent_data_does_not_hold_up_the_rest() {
    for mode in Mode::BOTH {
        for before in [10, 64 * 1024, 300_000] {
            let listen = Listen::new(Family::V4);
            let relay = Setup::new(&[&listen.address]).start(mode);
            let (client, backend) = relay.join(&listen);
            let bytes = payload(before + 1000, 6);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    client.put(&bytes[..before]);
                    // The urgent byte itself is no part of the stream.
                    assert_eq!(client.send_out_of_band(b"!").unwrap(), 1);
                    client.put(&bytes[before..]);
                });
                backend.expect(&bytes);
            });
        }
    }
}

/// Many at once, each with its own bytes.
#[test]
fn sessions_do_not_mix() {
    for mode in Mode::BOTH {
        let backend = Backend::echo(Family::V4);
        let relay = Setup::new(&[backend.address()]).start(mode);
        std::thread::scope(|scope| {
            for number in 0..16 {
                let relay = &relay;
                scope.spawn(move || {
                    for round in 0..8 {
                        let bytes = payload(1 + number * 7919 + round * 20_000, (number * 8 + round) as u64);
                        exchange(&relay.connect(), &bytes, 1 + number * 1000, &bytes);
                    }
                });
            }
        });
        relay.expect_closed("finished", 16 * 8);
        assert_eq!(relay.statistics().bytes_to_backends, relay.statistics().bytes_to_clients);
    }
}

/// With the smallest buffers the system has, every write is taken in part.
#[test]
fn small_socket_buffers() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        // What is accepted inherits it.
        listen.socket.set_recv_buffer_size(1).unwrap();
        let relay = Setup::new(&[&listen.address]).start(mode);
        let client =
            connect_with(&relay.address(), |socket| socket.set_recv_buffer_size(1).unwrap()).unwrap();
        let backend = listen.accept();
        let (request, answer) = (payload(500_000, 7), payload(500_000, 8));
        std::thread::scope(|scope| {
            scope.spawn(|| exchange(&backend, &answer, 1 << 20, &request));
            exchange(&client, &request, 1 << 20, &answer);
        });
        relay.expect_closed("finished", 1);
    }
}
