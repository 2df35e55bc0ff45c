//! Reaching a backend: those that refuse, that do not answer, that break off at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::{Backend, Family, Listen, Mode, Setup, Stream, refused, until};

/// A backend whose backlog is full: whoever connects gets no answer.
pub(crate) struct Silent {
    listen: Listen,
    /// Who fills it.
    _waiting: Vec<Socket>,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listen = Listen::with_backlog(Family::V4, 0);
        let address: SocketAddr = listen.address.parse().unwrap();
        let mut waiting = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            // In vain once the system drops what comes.
            if socket.connect_timeout(&address.into(), Duration::from_millis(100)).is_err() {
                return Self { listen, _waiting: waiting };
            }
            waiting.push(socket);
            assert!(waiting.len() < 16, "a backlog of 0 takes everybody");
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.listen.address
    }
}

#[test]
fn refused_means_another_backend() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let (address, _kept) = refused(family);
            let backend = Backend::echo(family);
            let relay = Setup::new(&[&address, backend.address()]).start(mode);
            for _ in 0..10 {
                let client = relay.connect();
                client.put(b"hello");
                client.end();
                assert_eq!(client.rest(), b"hello");
            }
            relay.expect_closed("finished", 10);
            let (refusing, serving) = (relay.backend(0), relay.backend(1));
            assert_eq!(serving.outcomes.success, 10);
            assert_eq!(refusing.outcomes.connect_failed, refusing.picks);
            assert!(refusing.picks > 0 && serving.outcomes.connect_failed == 0);
            assert_eq!(relay.statistics().retries, refusing.picks);
        }
    }
}

#[test]
fn all_refuse() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let all: Vec<_> = (0..2).map(|_| refused(family)).collect();
            let relay = Setup::new(&[&all[0].0, &all[1].0]).start(mode);
            for _ in 0..5 {
                let client = relay.connect();
                client.expect_over();
            }
            relay.expect_closed("connect_failed", 5);
            assert_eq!(relay.statistics().retries, 5);
            for n in 0..2 {
                assert_eq!(relay.backend(n).outcomes.connect_failed, 5, "each is tried once for each client");
            }
        }
    }
}

#[test]
fn as_many_attempts_as_configured() {
    for mode in Mode::BOTH {
        for attempts in [1, 2, 4, 6] {
            let all: Vec<_> = (0..6).map(|_| refused(Family::V4)).collect();
            let addresses: Vec<_> = all.iter().map(|(address, _)| &**address).collect();
            let setup = Setup::new(&addresses).pool(&format!("retry = {{ attempts = {attempts} }}"));
            let relay = setup.start(mode);
            relay.connect().expect_over();
            relay.expect_closed("connect_failed", 1);
            let backends = relay.pool().backends();
            let picks: u64 = backends.iter().map(|backend| backend.picks).sum();
            let failed: u64 = backends.iter().map(|backend| backend.outcomes.connect_failed).sum();
            assert_eq!((picks, failed, relay.statistics().retries), (attempts, attempts, attempts - 1));
            assert!(backends.iter().all(|backend| backend.picks <= 1), "no backend is tried twice");
        }
    }
}

/// The last backend left is not tried again and again.
#[test]
fn more_attempts_than_backends() {
    for mode in Mode::BOTH {
        let (address, _kept) = refused(Family::V4);
        let relay = Setup::new(&[&address]).pool("retry = { attempts = 100 }").start(mode);
        relay.connect().expect_over();
        relay.expect_closed("connect_failed", 1);
        assert_eq!(relay.backend(0).outcomes.connect_failed, 1);
        assert_eq!(relay.statistics().retries, 0);
    }
}

#[test]
fn no_backend_at_all() {
    for mode in Mode::BOTH {
        let relay = Setup::new(&[]).start(mode);
        relay.connect().expect_over();
        relay.expect_closed("no_backend", 1);
        let backend = Backend::echo(Family::V4);
        let relay = Setup::new(&[backend.address()]).backend("admin = \"drain\"").start(mode);
        relay.connect().expect_over();
        relay.expect_closed("no_backend", 1);
        assert_eq!(relay.backend(0).picks, 0);
    }
}

#[test]
fn no_answer_means_another_backend_when_the_time_is_over() {
    for mode in Mode::BOTH {
        let silent = Silent::new();
        let backend = Backend::echo(Family::V4);
        let setup = Setup::new(&[silent.address(), backend.address()]).pool("policy = \"first\"");
        let start = Instant::now();
        let relay = setup.listener("timeouts = { connect = \"300ms\" }").start(mode);
        let client = relay.connect();
        client.put(b"hello");
        client.expect(b"hello");
        assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
        client.end();
        client.expect_end();
        relay.expect_closed("finished", 1);
        assert_eq!((relay.backend(0).outcomes.connect_failed, relay.backend(0).picks), (1, 1));
        assert_eq!(relay.statistics().retries, 1);
    }
}

#[test]
fn nobody_answers() {
    for mode in Mode::BOTH {
        let silent = [Silent::new(), Silent::new(), Silent::new()];
        let setup = Setup::new(&[silent[0].address(), silent[1].address(), silent[2].address()]);
        let setup = setup.listener("timeouts = { connect = \"100ms\" }").pool("retry = { attempts = 2 }");
        let start = Instant::now();
        let relay = setup.start(mode);
        relay.connect().expect_over();
        assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
        relay.expect_closed("connect_failed", 1);
        assert_eq!(relay.statistics().retries, 1);
        let failed: u64 = relay.pool().backends().iter().map(|backend| backend.outcomes.connect_failed).sum();
        assert_eq!(failed, 2);
    }
}

/// Its pick is not held against the backend.
#[test]
fn a_client_that_breaks_off_meanwhile() {
    for mode in Mode::BOTH {
        let silent = Silent::new();
        let relay = Setup::new(&[silent.address()]).listener("timeouts = { connect = \"1h\" }").start(mode);
        let client = relay.connect();
        relay.until("it is on its way", |statistics| statistics.sessions == 1);
        client.reset();
        relay.expect_closed("client_left", 1);
        assert_eq!((relay.backend(0).outcomes.cancelled, relay.backend(0).in_flight), (1, 0));
    }
}

/// A connection that stands and is reset before anything was said: another backend may be tried, or the client
/// is told. It never hangs, and never goes uncounted.
#[test]
fn reset_at_once() {
    for mode in Mode::BOTH {
        let backend = Listen::new(Family::V4).serve(|socket| socket.reset());
        let relay = Setup::new(&[backend.address()]).start(mode);
        for _ in 0..50 {
            relay.connect().expect_over();
        }
        relay.until("all are over", |statistics| statistics.sessions == 0);
        let closed = relay.statistics().closed;
        assert_eq!(closed["backend_reset"] + closed["connect_failed"], 50, "{closed:?}");
        let outcomes = relay.backend(0).outcomes;
        assert_eq!(outcomes.failed, closed["backend_reset"]);
        assert_eq!(outcomes.connect_failed, closed["connect_failed"]);
    }
}

#[test]
fn a_backend_that_says_nothing() {
    for mode in Mode::BOTH {
        for send in ["off", "v2"] {
            let listen = Listen::new(Family::V4);
            let setup = Setup::new(&[&listen.address]).pool(&format!("proxy_protocol = \"{send}\""));
            let relay = setup.listener("timeouts = { idle = \"200ms\" }").start(mode);
            let (client, _backend) = relay.join(&listen);
            client.put(b"are you there?");
            client.expect_over();
            relay.expect_closed("idle_timeout", 1);
            assert_eq!(relay.backend(0).outcomes.timed_out, 1);
            // A client that asks nothing gets no answer: that is nobody's failure, whatever trimtab itself told
            // the backend.
            let (client, _backend) = relay.join(&listen);
            client.expect_over();
            relay.expect_closed("idle_timeout", 2);
            assert_eq!((relay.backend(0).outcomes.timed_out, relay.backend(0).outcomes.success), (1, 1));
        }
    }
}

/// A backend that ends before it answered has failed, one that was asked nothing has not.
#[test]
fn a_backend_that_ends_without_an_answer() {
    for mode in Mode::BOTH {
        for send in ["off", "v1"] {
            let listen = Listen::new(Family::V4);
            let relay =
                Setup::new(&[&listen.address]).pool(&format!("proxy_protocol = \"{send}\"")).start(mode);
            let (client, backend) = relay.join(&listen);
            client.put(b"!");
            while backend.receive(1) != b"!" {}
            backend.end();
            client.expect_end();
            client.end();
            relay.expect_closed("finished", 1);
            assert_eq!((relay.backend(0).outcomes.failed, relay.backend(0).outcomes.success), (1, 0));

            let (client, backend) = relay.join(&listen);
            backend.end();
            client.expect_end();
            client.end();
            relay.expect_closed("finished", 2);
            assert_eq!((relay.backend(0).outcomes.failed, relay.backend(0).outcomes.success), (1, 1));
        }
    }
}

/// From a backend that does not answer into the queue: whoever left meanwhile does not stand in it.
#[test]
fn a_client_that_left_meanwhile_does_not_queue() {
    for mode in Mode::BOTH {
        let silent = Silent::new();
        let listen = Listen::new(Family::V4);
        let setup = Setup::new(&[&listen.address, silent.address()])
            .pool("policy = \"first\"")
            .listener("timeouts = { connect = \"300ms\", queue = \"1h\" }")
            .backend("maxconn = 1");
        let relay = setup.start(mode);
        let _served = relay.join(&listen);
        let client = relay.connect();
        until("it is on its way to the second", || relay.backend(1).in_flight == 1);
        client.end();
        // Somebody waits already, so that it has to when it comes back.
        let _waiting = relay.connect();
        relay.until("it has left", |statistics| statistics.closed["client_left"] == 1);
        client.expect_over();
    }
}
