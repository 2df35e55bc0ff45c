//! What becomes of sessions whose backend goes down.

use std::io::{ErrorKind, Read};

use socket2::Socket;
use trimtab::balance::{Admin, Observed};
use trimtab::server::EventKind;

use crate::connect::Silent;
use crate::support::{Family, Listen, Mode, Relay, Setup, Stream, until};

const CLOSE: &str = "on_down = \"close\"";

/// So many sessions at the `n`th backend, which alone is ready meanwhile.
fn joined(relay: &Relay, listens: &[Listen], n: usize, count: usize) -> Vec<(Socket, Socket)> {
    let pool = relay.pool();
    let ids = pool.ids();
    for (at, id) in ids.iter().enumerate() {
        pool.set_admin(*id, if at == n { Admin::Ready } else { Admin::Drain }).unwrap();
    }
    let all = (0..count).map(|_| relay.join(&listens[n])).collect();
    ids.iter().for_each(|id| pool.set_admin(*id, Admin::Ready).unwrap());
    all
}

fn still(session: &(Socket, Socket)) {
    session.0.put(b"ping");
    session.1.expect(b"ping");
    session.1.put(b"pong");
    session.0.expect(b"pong");
}

fn cut(session: &(Socket, Socket)) {
    session.0.expect_reset();
    session.1.expect_reset();
}

/// How many sessions were told of as cut.
fn told(relay: &Relay) -> u64 {
    let counts = relay.events().into_iter().filter_map(|event| match event.kind {
        EventKind::SessionsCut(count) => {
            assert_eq!((event.pool.as_deref(), event.backend.as_deref()), (Some("app"), Some("b0")));
            Some(count)
        }
        _ => None,
    });
    counts.sum()
}

/// More than are cut in a turn: all of that backend's, on every worker, and nobody else's.
#[test]
fn those_of_the_backend_and_nobody_else() {
    const EACH: usize = 150;
    for mode in Mode::BOTH {
        let listens = [Listen::new(Family::V4), Listen::new(Family::V4)];
        let relay = Setup::new(&[&listens[0].address, &listens[1].address]).pool(CLOSE).start(mode);
        let (first, second) = (joined(&relay, &listens, 0, EACH), joined(&relay, &listens, 1, EACH));
        first.iter().chain(&second).for_each(still);
        relay.pool().set_observed(relay.pool().ids()[0], Observed::Down).unwrap();
        first.iter().for_each(cut);
        relay.expect_closed("backend_down", EACH as u64);
        until("it is told", || told(&relay) == EACH as u64);
        second.iter().for_each(still);
        let (down, other) = (relay.backend(0), relay.backend(1));
        assert_eq!((down.outcomes.cancelled, down.in_flight, other.in_flight), (EACH as u64, 0, EACH as u64));
        // Who comes now is served elsewhere.
        still(&relay.join(&listens[1]));
        assert!(!listens[0].has_somebody());
    }
}

#[test]
fn what_cuts_and_what_does_not() {
    for mode in Mode::BOTH {
        let listens = [Listen::new(Family::V4)];
        let relay = Setup::new(&[&listens[0].address]).pool(CLOSE).start(mode);
        let pool = relay.pool();
        let id = pool.ids()[0];
        let mut expected = 0;
        for observed in [Observed::Up, Observed::Ejected, Observed::Down] {
            let session = joined(&relay, &listens, 0, 1).remove(0);
            pool.set_observed(id, observed).unwrap();
            if observed == Observed::Down {
                expected += 1;
                cut(&session);
            } else {
                still(&session);
            }
            pool.set_observed(id, Observed::Up).unwrap();
            still(&joined(&relay, &listens, 0, 1)[0]);
        }
        for admin in [Admin::Drain, Admin::Maintenance] {
            let session = joined(&relay, &listens, 0, 1).remove(0);
            pool.set_admin(id, admin).unwrap();
            if admin == Admin::Maintenance {
                expected += 1;
                cut(&session);
            } else {
                still(&session);
            }
        }
        relay.until("as many are cut", |statistics| statistics.closed["backend_down"] == expected);
        // Removed: what it has goes on, though nobody comes any more.
        let session = joined(&relay, &listens, 0, 1).remove(0);
        pool.remove(id).unwrap();
        still(&session);
        until("they are told", || told(&relay) == expected);
    }
}

/// Unless told otherwise what stands goes on.
#[test]
fn by_default_they_go_on() {
    for mode in Mode::BOTH {
        let listens = [Listen::new(Family::V4)];
        let relay = Setup::new(&[&listens[0].address]).start(mode);
        let session = joined(&relay, &listens, 0, 1).remove(0);
        relay.pool().set_observed(relay.pool().ids()[0], Observed::Down).unwrap();
        relay.pool().set_admin(relay.pool().ids()[0], Admin::Maintenance).unwrap();
        still(&session);
        assert_eq!(told(&relay), 0);
    }
}

/// Nothing was said to that backend yet: another one does as well.
#[test]
fn who_is_on_its_way_goes_elsewhere() {
    for mode in Mode::BOTH {
        let (silent, listen) = (Silent::new(), Listen::new(Family::V4));
        let setup = Setup::new(&[silent.address(), &listen.address]).pool("policy = \"first\"").pool(CLOSE);
        let relay = setup.listener("timeouts = { connect = \"1h\" }").start(mode);
        let client = relay.connect();
        until("it is on its way", || relay.backend(0).in_flight == 1);
        relay.pool().set_observed(relay.pool().ids()[0], Observed::Down).unwrap();
        still(&(client, listen.accept()));
        assert_eq!((relay.backend(0).outcomes.cancelled, relay.statistics().retries), (1, 1));
    }
}

/// By a check that fails, though the session itself works.
#[test]
fn a_check_that_fails_cuts() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let check = "check = { interval = \"50ms\", fall = 1, rise = 1, timeout = \"5s\" }";
        let relay = Setup::new(&[&listen.address]).pool(CLOSE).pool(check).start(mode);
        let client = relay.connect();
        client.put(b"mine");
        // Checks come too, and say nothing.
        let backend = loop {
            let backend = listen.accept();
            let mut bytes = [0; 4];
            match (&backend).read(&mut bytes) {
                Ok(4) => break backend,
                Ok(0) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                other => panic!("{other:?}"),
            }
        };
        backend.put(b"yours");
        client.expect(b"yours");
        // It refuses from now on.
        listen.socket.shutdown(std::net::Shutdown::Both).unwrap();
        client.expect_reset();
        backend.expect_reset();
        relay.expect_closed("backend_down", 1);
        until("it is told", || told(&relay) == 1);
    }
}
