//! What a pool as a whole is limited to, and rates: who meets a limit waits.

use std::time::{Duration, Instant};

use trimtab::server::{Server, State};
use trimtab::time::Clock;

use crate::support::{Backend, Family, Listen, Mode, Setup, Stream, connect_to, until};
use crate::system;

const LONG: &str = "timeouts = { queue = \"1h\" }";

/// The pool's places are over all its backends.
#[test]
fn a_full_pool_is_waited_for() {
    for mode in Mode::BOTH {
        let (first, second) = (Listen::new(Family::V4), Listen::new(Family::V4));
        let setup = Setup::new(&[&first.address, &second.address]).pool("maxconn = 2").listener(LONG);
        let relay = setup.pool("policy = \"least-connections\"").start(mode);
        let one = (relay.connect(), relay.connect());
        let (at_first, at_second) = (first.accept(), second.accept());
        let client = relay.connect();
        relay.until_waiting(1);
        assert!(!first.has_somebody() && !second.has_somebody());
        client.put(b"?");
        drop((at_first, one.0, one.1));
        // Wherever the place was.
        until("it has a backend", || first.has_somebody() || second.has_somebody());
        let backend = if first.has_somebody() { first.accept() } else { second.accept() };
        backend.expect(b"?");
        backend.put(b"!");
        client.expect(b"!");
        assert_eq!(relay.server.status().unwrap().pools[0].limit, 2);
        drop(at_second);
    }
}

/// However many come at once, in any time no more go through than the burst and the rate; none is sent away.
fn paced(setup: Setup, mode: Mode, clients: usize, least: Duration) {
    let start = Instant::now();
    let relay = setup.listener(LONG).start(mode);
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let client = relay.connect();
            client.put(b"hello");
            client.end();
            client
        })
        .collect();
    for client in &clients {
        assert_eq!(client.rest(), b"hello");
    }
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
    relay.expect_closed("finished", clients.len() as u64);
    assert!(relay.statistics().queued > 0);
    assert_eq!(relay.waiting(), 0);
}

#[test]
fn the_rate_of_a_pool_is_waited_for() {
    for mode in Mode::BOTH {
        let backend = Backend::echo(Family::V4);
        let setup = Setup::new(&[backend.address()]).pool("connection_rate = 10\nconnection_burst = 2");
        // Two at once, then one each tenth of a second.
        paced(setup, mode, 8, Duration::from_millis(600));
    }
}

#[test]
fn the_rates_of_backends_are_waited_for() {
    for mode in Mode::BOTH {
        let backends = [Backend::echo(Family::V4), Backend::echo(Family::V4)];
        let setup = Setup::new(&[backends[0].address(), backends[1].address()]);
        let setup = setup.backend("connection_rate = 10\nconnection_burst = 1");
        // One at each, then one at each for each tenth of a second.
        paced(setup, mode, 10, Duration::from_millis(400));
    }
}

/// A rate and a limit on sessions beside each other: whichever is met, nobody is forgotten.
#[test]
fn a_rate_and_a_maxconn() {
    for mode in Mode::BOTH {
        let backend = Backend::echo(Family::V4);
        let setup = Setup::new(&[backend.address()]).pool("maxconn = 3\nconnection_rate = 100");
        paced(
            setup.pool("connection_burst = 1").backend("maxconn = 2"),
            mode,
            40,
            Duration::from_millis(390),
        );
    }
}

#[test]
fn a_rate_is_not_waited_for_without_end() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let setup = Setup::new(&[&listen.address]).pool("connection_rate = 1\nconnection_burst = 1");
        let relay = setup.listener("timeouts = { queue = \"100ms\" }").start(mode);
        let _served = relay.join(&listen);
        // Two of them, for on a slow machine the second comes a second later.
        let (one, other) = (relay.connect(), relay.connect());
        one.put(b"?");
        relay.until("one has waited long enough", |statistics| statistics.closed["queue_timeout"] >= 1);
        drop((one, other));
    }
}

/// Between the moments at which something can be done the loop sleeps.
#[test]
fn waiting_for_a_rate_costs_nothing() {
    let listen = Listen::new(Family::V4);
    let setup =
        Setup::new(&[&listen.address]).pool("connection_rate = 2\nconnection_burst = 1").listener(LONG);
    let server = Server::with_events(setup.config(), |_| {}).unwrap();
    server.start_hosted().unwrap();
    let address = server.address("in").unwrap();
    let _clients = [connect_to(&address).unwrap(), connect_to(&address).unwrap()];
    let (mut turns, mut accepted) = (0, Vec::new());
    while accepted.len() < 2 {
        let (fd, deadline) = (server.poll_fd().unwrap(), server.next_deadline().unwrap());
        system::poll(fd, deadline.map_or(Duration::MAX, |deadline| deadline.duration_since(Clock.now())));
        server.turn(Some(Duration::ZERO)).unwrap();
        turns += 1;
        if listen.has_somebody() {
            accepted.push(listen.accept());
        }
    }
    assert!(turns < 50, "{turns} turns in half a second");
    server.stop().unwrap();
    while server.state() != State::Stopped {
        server.turn(Some(Duration::ZERO)).unwrap();
    }
}

/// The clients that wait and whoever an embedding program has wait are counted together.
#[test]
fn as_many_wait_as_may() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let setup = Setup::new(&[&listen.address]).backend("maxconn = 1").listener(LONG);
        let relay = setup.pool("pending_max = 3").start(mode);
        let served = relay.join(&listen);
        let mut waiting = Vec::new();
        for count in 1..=2 {
            waiting.push(relay.connect());
            relay.until_waiting(count);
        }
        relay.pool().try_want().unwrap();
        relay.connect().expect_over();
        relay.expect_closed("pending_full", 1);
        relay.pool().unwant();
        waiting.push(relay.connect());
        relay.until_waiting(3);
        assert!(relay.pool().try_want().is_err());
        relay.connect().expect_over();
        relay.expect_closed("pending_full", 2);
        drop(served);
        for client in waiting {
            let backend = listen.accept();
            client.put(b"?");
            backend.expect(b"?");
        }
    }
}

/// A limit found by response times begins at its least, and is waited for as any other.
#[test]
fn an_adaptive_limit_is_waited_for() {
    for mode in Mode::BOTH {
        for scope in ["backend", "pool"] {
            let listen = Listen::new(Family::V4);
            let adaptive = format!("adaptive = {{ scope = \"{scope}\", min = 2, max = 5 }}");
            let relay = Setup::new(&[&listen.address]).pool(&adaptive).listener(LONG).start(mode);
            let (one, _other) = (relay.join(&listen), relay.join(&listen));
            let client = relay.connect();
            relay.until_waiting(1);
            drop(one);
            client.put(b"?");
            listen.accept().expect(b"?");
        }
    }
}
