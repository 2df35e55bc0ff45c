//! The end of a server: in good order, at its deadline, at once.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use trimtab::Error;
use trimtab::server::{EventKind, Server, State};

use crate::support::{Backend, Family, Folder, Listen, Mode, Setup, Stream, connect_to, until};

/// Waits until nobody is let in any more.
fn until_refused(bind: &trimtab::server::config::Bind) {
    until("connections are refused", || match connect_to(bind) {
        // What was accepted just before the end ends with its own end.
        Ok(_) => false,
        Err(error) => {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::ConnectionReset
                ),
                "{error}"
            );
            true
        }
    });
}

#[test]
fn sessions_finish_and_nobody_new_comes_in() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let backend = Backend::echo(Family::V4);
            let folder = Folder::new();
            let relay = Setup::new(&[backend.address()]).bind(family.free(&folder, "front")).start(mode);
            let clients: Vec<_> = (0..6).map(|_| relay.connect()).collect();
            for client in &clients {
                client.put(b"before");
                client.expect(b"before");
            }
            assert_eq!(relay.server.state(), State::Running);
            let bind = relay.address();
            relay.server.drain(None).unwrap();
            assert_eq!(relay.server.state(), State::Draining);
            until_refused(&bind);
            for client in clients {
                client.put(b"after");
                client.expect(b"after");
                assert_eq!(relay.server.state(), State::Draining);
                client.end();
                client.expect_end();
            }
            relay.wait_stopped();
            let statistics = relay.statistics();
            assert_eq!(statistics.closed["stopped"], 0);
            assert!(statistics.closed["finished"] >= 6);
            let kinds: Vec<_> = relay.events().iter().map(|event| event.kind).collect();
            assert_eq!(kinds, [EventKind::Started, EventKind::Draining, EventKind::Stopped]);
            if family == Family::Unix {
                assert!(!std::path::Path::new(&folder.file("front")).exists(), "the socket's file is left");
            }
        }
    }
}

#[test]
fn an_empty_server_ends_at_once() {
    for mode in Mode::BOTH {
        let relay = Setup::new(&[]).start(mode);
        relay.server.drain(Some(Duration::from_secs(3600))).unwrap();
        relay.wait_stopped();
        assert_eq!(relay.server.state(), State::Stopped);
    }
}

#[test]
fn the_deadline_cuts() {
    for mode in Mode::BOTH {
        for configured in [true, false] {
            let listen = Listen::new(Family::V4);
            let start = Instant::now();
            let relay =
                Setup::new(&[&listen.address]).listener("timeouts = { drain = \"300ms\" }").start(mode);
            let (client, backend) = relay.join(&listen);
            client.put(b"x");
            backend.expect(b"x");
            relay.server.drain((!configured).then_some(Duration::from_millis(300))).unwrap();
            client.expect_over();
            backend.expect_over();
            assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
            relay.wait_stopped();
            relay.expect_closed("stopped", 1);
            assert_eq!(relay.backend(0).outcomes.cancelled, 1);
        }
    }
}

#[test]
fn a_second_order_sets_the_time_anew() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        relay.server.drain(Some(Duration::from_secs(3600))).unwrap();
        client.put(b"still");
        backend.expect(b"still");
        relay.server.drain(Some(Duration::from_millis(50))).unwrap();
        client.expect_over();
        relay.wait_stopped();
        relay.expect_closed("stopped", 1);

        // And to a later one.
        let start = Instant::now();
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, backend) = relay.join(&listen);
        relay.server.drain(Some(Duration::from_millis(500))).unwrap();
        relay.server.drain(Some(Duration::from_millis(900))).unwrap();
        client.expect_over();
        assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
        drop(backend);
    }
}

/// Who waits in a queue is served before the end.
#[test]
fn those_who_wait_are_served() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).backend("maxconn = 1").start(mode);
        let (first, served) = relay.join(&listen);
        let client = |number: u64| {
            let client = relay.connect();
            relay.until_waiting(number + 1);
            client
        };
        let waiting: Vec<_> = (0..4u64).map(client).collect();
        relay.server.drain(None).unwrap();
        drop((first, served));
        for client in &waiting {
            let backend = listen.accept();
            backend.put(b"served");
            backend.end();
            assert_eq!(client.rest(), b"served");
            client.end();
            backend.expect_end();
        }
        relay.wait_stopped();
        assert_eq!(relay.statistics().closed["stopped"], 0);
    }
}

#[test]
fn stop_cuts_at_once() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let listen = Listen::new(family);
            let folder = Folder::new();
            let setup = Setup::new(&[&listen.address]).bind(family.free(&folder, "front"));
            let relay = setup.backend("maxconn = 1").start(mode);
            let (client, backend) = relay.join(&listen);
            let waits = relay.connect();
            relay.until_waiting(1);
            let bind = relay.address();
            relay.server.stop().unwrap();
            client.expect_over();
            backend.expect_over();
            waits.expect_over();
            relay.wait_stopped();
            assert!(connect_to(&bind).is_err());
            relay.expect_closed("stopped", 2);
            relay.server.stop().unwrap();
            relay.server.drain(None).unwrap();
            relay.server.wait(None).unwrap();
            assert_eq!(relay.count_events(EventKind::Stopped), 1);
        }
    }
}

#[test]
fn stop_ends_a_drain() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = Setup::new(&[&listen.address]).start(mode);
        let (client, _backend) = relay.join(&listen);
        relay.server.drain(Some(Duration::from_secs(3600))).unwrap();
        relay.server.stop().unwrap();
        client.expect_over();
        relay.wait_stopped();
    }
}

#[test]
fn a_server_that_is_dropped_ends() {
    for hosted in [false, true] {
        let listen = Listen::new(Family::V4);
        let folder = Folder::new();
        let setup = Setup::new(&[&listen.address]).bind(Family::Unix.free(&folder, "front"));
        let server = Server::new(setup.config()).unwrap();
        if hosted { server.start_hosted() } else { server.start() }.unwrap();
        let client = connect_to(&server.address("in").unwrap()).unwrap();
        if hosted {
            while !listen.has_somebody() {
                server.turn(Some(Duration::from_millis(10))).unwrap();
            }
        }
        let backend = listen.accept();
        drop(server);
        client.expect_over();
        backend.expect_over();
        assert!(!std::path::Path::new(&folder.file("front")).exists());
    }
}

#[test]
fn states_follow_each_other() {
    let backend = Backend::echo(Family::V4);
    let server = Server::new(Setup::new(&[backend.address()]).config()).unwrap();
    let is_state = |error: Error| assert!(matches!(error, Error::State { .. }), "{error}");
    assert_eq!(server.state(), State::New);
    is_state(server.drain(None).unwrap_err());
    is_state(server.wait(None).unwrap_err());
    is_state(server.address("in").unwrap_err());
    is_state(server.turn(None).unwrap_err());
    is_state(server.poll_fd().unwrap_err());
    is_state(server.next_deadline().unwrap_err());
    assert!(matches!(server.address("out").unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(server.pool("other").err().unwrap(), Error::NotFound { .. }));
    server.start().unwrap();
    assert_eq!(server.state(), State::Running);
    is_state(server.start().unwrap_err());
    is_state(server.start_hosted().unwrap_err());
    is_state(server.turn(None).unwrap_err());
    let waited = server.wait(Some(Duration::from_millis(50))).unwrap_err();
    assert!(matches!(waited, Error::TimedOut { .. }), "{waited}");
    server.stop().unwrap();
    server.wait(None).unwrap();
    assert_eq!(server.state(), State::Stopped);
    is_state(server.start().unwrap_err());
    is_state(server.turn(None).unwrap_err());

    let server = Server::new(Setup::new(&[]).config()).unwrap();
    server.stop().unwrap();
    assert_eq!(server.state(), State::Stopped);
    is_state(server.start().unwrap_err());
}

/// An address in use is told with its place in the configuration; once it is free, the same server starts.
#[test]
fn a_start_that_fails_may_be_tried_again() {
    for family in Family::ALL {
        let folder = Folder::new();
        let taken = Listen::new(family);
        // Beside one that is free, which must not stay open.
        let text = format!(
            "{}[[listener]]\nname = \"free\"\nbind = \"{}\"\npool = \"app\"\n",
            Setup::new(&[]).bind(taken.address.clone()).text(),
            Family::Unix.free(&folder, "free"),
        );
        for hosted in [false, true] {
            let server = Server::from_toml(&text, "site.toml").unwrap();
            let start = || if hosted { server.start_hosted() } else { server.start() };
            let error = start().unwrap_err();
            assert!(matches!(&error, Error::Io { .. }), "{error}");
            assert!(error.to_string().contains("the listener in (site.toml:5:8)"), "{error}");
            assert_eq!(server.state(), State::New);
            assert!(!std::path::Path::new(&folder.file("free")).exists());
        }
        let server = Server::from_toml(&text, "site.toml").unwrap();
        server.start().unwrap_err();
        // Its folder stays, and so does the file of a unix socket.
        drop(taken.socket);
        server.start().unwrap();
        assert_eq!(server.state(), State::Running);
    }
}

/// What the configuration names may be missing at first; once it is there, the same server starts.
#[test]
fn a_password_that_comes_later() {
    let folder = Folder::new();
    let check = format!("check = {{ kind = \"redis\", password_file = \"{}\" }}", folder.file("password"));
    for hosted in [false, true] {
        let server = Server::from_toml(&Setup::new(&[]).pool(&check).text(), "site.toml").unwrap();
        let start = || if hosted { server.start_hosted() } else { server.start() };
        for _ in 0..2 {
            let error = start().unwrap_err();
            assert!(matches!(&error, Error::Io { .. }), "{error}");
            assert!(error.to_string().contains("(site.toml:"), "{error}");
            assert_eq!(server.state(), State::New);
        }
        std::fs::write(folder.file("password"), "secret\n").unwrap();
        start().unwrap();
        std::fs::remove_file(folder.file("password")).unwrap();
    }
}

/// The file of a unix socket that nobody listens on any more is replaced; one in use is not.
#[test]
fn a_file_left_behind_is_replaced() {
    let folder = Folder::new();
    let bind = Family::Unix.free(&folder, "front");
    // Its owner ended without removing it.
    drop(std::os::unix::net::UnixListener::bind(folder.file("front")).unwrap());
    assert!(std::path::Path::new(&folder.file("front")).exists());
    for mode in Mode::BOTH {
        let backend = Backend::echo(Family::V4);
        let relay = Setup::new(&[backend.address()]).bind(bind.clone()).start(mode);
        let client = relay.connect();
        client.put(b"hello");
        client.expect(b"hello");
        let second = Server::new(Setup::new(&[]).bind(bind.clone()).config()).unwrap();
        second.start().unwrap_err();
        drop(second);
        assert!(std::path::Path::new(&folder.file("front")).exists(), "it is the first one's");
    }
    // What is no socket is nobody's to remove.
    std::fs::write(folder.file("front"), "a file").unwrap();
    Server::new(Setup::new(&[]).bind(bind).config()).unwrap().start().unwrap_err();
    assert_eq!(std::fs::read_to_string(folder.file("front")).unwrap(), "a file");
}
