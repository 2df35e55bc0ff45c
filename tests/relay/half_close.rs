//! How connections end: one half at a time, and by breaking off.

use std::io::Write;
use std::time::Duration;

use crate::support::{DEADLINE, Family, Folder, Listen, Mode, Setup, Stream, payload};
use crate::system;

#[test]
fn the_client_ends_first_and_gets_the_answer() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let listen = Listen::new(family);
            let folder = Folder::new();
            let relay = Setup::new(&[&listen.address]).bind(family.free(&folder, "front")).start(mode);
            let (client, backend) = relay.join(&listen);
            client.put(b"request");
            client.end();
            assert_eq!(backend.rest(), b"request");
            let answer = payload(3 << 20, 1);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    backend.put(&answer);
                    backend.end();
                });
                assert!(client.rest() == answer);
            });
            relay.expect_closed("finished", 1);
            assert_eq!(relay.backend(0).outcomes.success, 1);
        }
    }
}

#[test]
fn the_backend_ends_first_and_gets_the_rest() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let listen = Listen::new(family);
            let folder = Folder::new();
            let relay = Setup::new(&[&listen.address]).bind(family.free(&folder, "front")).start(mode);
            let (client, backend) = relay.join(&listen);
            backend.put(b"answer");
            backend.end();
            assert_eq!(client.rest(), b"answer");
            let rest = payload(3 << 20, 2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    client.put(&rest);
                    client.end();
                });
                assert!(backend.rest() == rest);
            });
            relay.expect_closed("finished", 1);
            assert_eq!(relay.backend(0).outcomes.success, 1);
        }
    }
}

#[test]
fn both_end_without_a_word() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        client.end();
        backend.expect_end();
        backend.end();
        client.expect_end();
        relay.expect_closed("finished", 1);
    }
}

#[test]
fn a_clients_reset_reaches_the_backend() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        client.put(b"half a requ");
        backend.expect(b"half a requ");
        client.reset();
        backend.expect_reset();
        relay.expect_closed("client_reset", 1);
        assert_eq!(relay.backend(0).outcomes.cancelled, 1);
    }
}

#[test]
fn a_backends_reset_reaches_the_client() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        client.put(b"request");
        backend.expect(b"request");
        backend.put(b"half an answ");
        client.expect(b"half an answ");
        backend.reset();
        client.expect_reset();
        relay.expect_closed("backend_reset", 1);
        assert_eq!(relay.backend(0).outcomes.failed, 1);
    }
}

/// A reset after the own half was ended, on either side.
#[test]
fn a_reset_behind_an_end() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        client.put(b"request");
        client.end();
        assert_eq!(backend.rest(), b"request");
        backend.put(b"half");
        client.expect(b"half");
        backend.reset();
        client.expect_reset();
        relay.expect_closed("backend_reset", 1);

        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        backend.end();
        client.expect_end();
        client.put(b"half");
        backend.expect(b"half");
        client.reset();
        backend.expect_reset();
        relay.expect_closed("client_reset", 1);
    }
}

/// Who closes with bytes unread tells the other side by a reset.
#[test]
fn a_close_with_unread_bytes() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let listen = Listen::new(family);
            let folder = Folder::new();
            let relay = Setup::new(&[&listen.address]).bind(family.free(&folder, "front")).start(mode);
            let (client, backend) = relay.join(&listen);
            backend.put(b"nobody reads this");
            assert!(system::is_readable(&client, DEADLINE));
            drop(client);
            // A unix socket has no reset that could be passed on.
            backend.expect_over();
            relay.expect_closed("client_reset", 1);

            let relay = Setup::new(&[&listen.address]).bind(family.free(&folder, "other")).start(mode);
            let (client, backend) = relay.join(&listen);
            client.put(b"nobody reads this");
            assert!(system::is_readable(&backend, DEADLINE));
            drop(backend);
            client.expect_over();
            relay.expect_closed("backend_reset", 1);
        }
    }
}

/// A client that takes no answer any more, to a backend that goes on: the next bytes find it gone.
#[test]
fn a_client_that_closed_is_found_gone() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let listen = Listen::new(Family::V4);
            let folder = Folder::new();
            let relay = Setup::new(&[&listen.address]).bind(family.free(&folder, "front")).start(mode);
            let (client, backend) = relay.join(&listen);
            backend.put(b"hello");
            client.expect(b"hello");
            drop(client);
            backend.expect_end();
            let mut writer = &backend;
            let failed = (0..).find_map(|_| writer.write_all(&[0; 100_000]).err()).expect("an error");
            assert!(failed.raw_os_error().is_some(), "{failed}");
            relay.expect_closed("client_reset", 1);
            assert_eq!(relay.backend(0).outcomes.cancelled, 1);
        }
    }
}

/// The backend answers before it has the request and breaks off, as a web server does with a body that is too
/// large: the client gets the answer, though its own bytes have nowhere to go.
#[test]
fn an_early_answer_arrives() {
    const ANSWER: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n";
    // More than all buffers on the way take.
    let body = payload(64 << 20, 1);
    for mode in Mode::BOTH {
        for family in [Family::V4, Family::V6, Family::Unix] {
            let listen = Listen::new(family);
            let relay = Setup::new(&[&listen.address]).start(mode);
            for _ in 0..10 {
                let (client, backend) = relay.join(&listen);
                std::thread::scope(|scope| {
                    let sent = scope.spawn(|| (&client).write_all(&body));
                    backend.receive(1000);
                    backend.put(ANSWER);
                    // With bytes unread, so this is a reset.
                    drop(backend);
                    assert!(sent.join().unwrap().is_err(), "the body went nowhere");
                });
                client.expect(ANSWER);
                client.expect_over();
            }
            relay.expect_closed("backend_reset", 10);
            assert_eq!(relay.backend(0).outcomes.failed, 10);
        }
    }
}

/// The same from a backend that ends in good order and takes nothing more.
#[test]
fn an_early_answer_and_an_end() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        backend.put(b"answer");
        backend.end();
        client.expect(b"answer");
        client.expect_end();
        drop(backend);
        let mut writer = &client;
        let failed = (0..).find_map(|_| writer.write_all(&[0; 100_000]).err()).expect("an error");
        assert!(failed.raw_os_error().is_some(), "{failed}");
        relay.expect_closed("backend_reset", 1);
    }
}

/// Bytes under way in both directions when one side breaks off: nothing hangs, nothing is left.
#[test]
fn a_reset_in_the_midst_of_bulk() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let bulk = payload(4 << 20, 3);
        for round in 0..10 {
            let (client, backend) = relay.join(&listen);
            let (breaks, stays) = if round % 2 == 0 { (client, backend) } else { (backend, client) };
            std::thread::scope(|scope| {
                let sent = scope.spawn(|| (&stays).write_all(&bulk));
                breaks.receive(100_000);
                let _ = (&breaks).write_all(&bulk[..100_000]);
                breaks.reset();
                // Stuck behind a reader that is gone, until the reset comes.
                let _ = sent.join().unwrap();
            });
            stays.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut reader = &stays;
            let mut buffer = vec![0; 1 << 20];
            while std::io::Read::read(&mut reader, &mut buffer).is_ok_and(|bytes| bytes > 0) {}
        }
        relay.until("all are over", |statistics| statistics.sessions == 0);
        let statistics = relay.statistics();
        assert_eq!((statistics.closed["client_reset"], statistics.closed["backend_reset"]), (5, 5));
    }
}

/// A long silence is no end: what comes after it arrives.
#[test]
fn half_open_is_as_good_as_open() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay =
            Setup::new(&[&listen.address]).listener("timeouts = { half_closed = \"1h\" }").start(mode);
        let (client, backend) = relay.join(&listen);
        client.end();
        backend.expect_end();
        for round in 0..5u8 {
            assert!(!system::is_readable(&client, Duration::from_millis(20)));
            backend.put(&[round]);
            client.expect(&[round]);
        }
        backend.end();
        client.expect_end();
        relay.expect_closed("finished", 1);
    }
}
