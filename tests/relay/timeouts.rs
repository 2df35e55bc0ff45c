//! Each timeout at its time: not before, and not never; counted under its own cause. A loop takes the time once a turn,
//! and what comes in a turn counts from its beginning: so each test has begun to count before the turn can have.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::{Family, Listen, Mode, Setup, Stream};
use crate::system;

/// What is not tested is far away.
const FAR: &str = "1h";

fn timeouts(which: &str, time: &str) -> String {
    let names = ["connect", "header", "idle", "half_closed", "queue"];
    let all: Vec<_> =
        names.map(|name| format!("{name} = \"{}\"", if name == which { time } else { FAR })).into();
    format!("timeouts = {{ {} }}", all.join(", "))
}

#[test]
fn header() {
    for mode in Mode::BOTH {
        for sent in [&b""[..], b"PROXY TCP4 192.0.2.1", b"\r\n\r\n\0\r\nQUIT\n\x21"] {
            let listen = Listen::new(Family::V4);
            let setup = Setup::new(&[&listen.address]).listener("proxy_protocol = \"accept\"");
            let start = Instant::now();
            let relay = setup.listener(&timeouts("header", "300ms")).start(mode);
            let client = relay.connect();
            client.put(sent);
            client.expect_over();
            assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
            relay.expect_closed("header_timeout", 1);
            assert_eq!(relay.backend(0).picks, 0);
        }
    }
}

/// The time is for the whole header, not for each piece.
#[test]
fn a_header_that_trickles() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let setup = Setup::new(&[&listen.address]).listener("proxy_protocol = \"accept\"");
        let start = Instant::now();
        let relay = setup.listener(&timeouts("header", "400ms")).start(mode);
        let client = relay.connect();
        let mut writer = &client;
        for byte in b"PROXY UNKNOWN".iter().chain(std::iter::repeat(&b' ')) {
            // Also the pause between two.
            if system::is_readable(&client, Duration::from_millis(50)) || writer.write_all(&[*byte]).is_err()
            {
                break;
            }
        }
        let elapsed = start.elapsed();
        relay.expect_closed("header_timeout", 1);
        // 107 bytes would take 5 seconds.
        assert!(elapsed >= Duration::from_millis(400) && elapsed < Duration::from_secs(4), "{elapsed:?}");
    }
}

#[test]
fn idle() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let start = Instant::now();
        let relay = Setup::new(&[&listen.address]).listener(&timeouts("idle", "300ms")).start(mode);
        let (client, backend) = relay.join(&listen);
        client.expect_end();
        backend.expect_end();
        assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
        relay.expect_closed("idle_timeout", 1);
        // It counts from the last byte.
        let (client, backend) = relay.join(&listen);
        let mut start = Instant::now();
        for _ in 0..6 {
            assert!(!system::is_readable(&client, Duration::from_millis(50)));
            start = Instant::now();
            client.put(b"x");
            backend.expect(b"x");
        }
        client.expect_end();
        assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
        relay.expect_closed("idle_timeout", 2);
    }
}

#[test]
fn half_closed() {
    for mode in Mode::BOTH {
        for client_ends in [true, false] {
            let listen = Listen::new(Family::V4);
            let start = Instant::now();
            let relay =
                Setup::new(&[&listen.address]).listener(&timeouts("half_closed", "300ms")).start(mode);
            let (client, backend) = relay.join(&listen);
            let (ends, stays) = if client_ends { (&client, &backend) } else { (&backend, &client) };
            ends.end();
            stays.expect_end();
            ends.expect_over();
            assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
            relay.expect_closed("half_closed_timeout", 1);
        }
    }
}

/// The shorter time counts from the moment one half is ended, though the session was armed for the longer one,
/// and the other way round.
#[test]
fn half_closed_may_be_longer_than_idle() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let start = Instant::now();
        let relay = Setup::new(&[&listen.address])
            .listener("timeouts = { idle = \"2s\", half_closed = \"3s\" }")
            .start(mode);
        let (client, backend) = relay.join(&listen);
        client.end();
        backend.expect_end();
        client.expect_over();
        assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
        relay.expect_closed("half_closed_timeout", 1);
    }
}

#[test]
fn queue() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let setup = Setup::new(&[&listen.address]).listener(&timeouts("queue", "300ms"));
        let start = Instant::now();
        let relay = setup.backend("maxconn = 1").start(mode);
        let (first, served) = relay.join(&listen);
        let waiting: Vec<_> = (0..3).map(|_| relay.connect()).collect();
        for client in &waiting {
            client.expect_over();
            assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
        }
        relay.expect_closed("queue_timeout", 3);
        assert_eq!((relay.statistics().queued, relay.waiting()), (3, 0));
        // Who has a place keeps it.
        first.put(b"still here");
        served.expect(b"still here");
        // And the next gets one as soon as it is free.
        drop((first, served));
        let (client, backend) = relay.join(&listen);
        client.put(b"hello");
        backend.expect(b"hello");
    }
}

/// Bytes in one direction alone keep a session alive.
#[test]
fn activity_keeps_a_session_alive() {
    const STEP: Duration = Duration::from_millis(150);
    std::thread::scope(|scope| {
        for mode in Mode::BOTH {
            for (from_client, half_closed) in [(true, false), (false, false), (true, true), (false, true)] {
                scope.spawn(move || {
                    let listen = Listen::new(Family::V4);
                    let setup = Setup::new(&[&listen.address]);
                    let which = if half_closed { "half_closed" } else { "idle" };
                    let relay = setup.listener(&timeouts(which, "1500ms")).start(mode);
                    let (client, backend) = relay.join(&listen);
                    let (from, to) = if from_client { (&client, &backend) } else { (&backend, &client) };
                    if half_closed {
                        to.end();
                        from.expect_end();
                    }
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_millis(2500) {
                        assert!(
                            !system::is_readable(to, STEP),
                            "it ended {:?} after its start",
                            start.elapsed()
                        );
                        from.put(b"x");
                        to.expect(b"x");
                    }
                    let last = Instant::now();
                    to.expect_end();
                    assert!(last.elapsed() >= Duration::from_millis(1500) - STEP, "{:?}", last.elapsed());
                    relay.expect_closed(&format!("{which}_timeout"), 1);
                });
            }
        }
    });
}

/// A client that takes nothing is silence, too.
#[test]
fn a_session_that_stands_still_is_idle() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).listener(&timeouts("idle", "300ms")).start(mode);
        let (client, backend) = relay.join(&listen);
        let mut writer = &backend;
        let failed = (0..).find_map(|_| writer.write_all(&[0; 1 << 20]).err()).expect("an error");
        assert!(failed.raw_os_error().is_some(), "{failed}");
        relay.expect_closed("idle_timeout", 1);
        drop(client);
    }
}
