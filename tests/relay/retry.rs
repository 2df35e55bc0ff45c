//! The retry budget.

use socket2::Socket;

use crate::connect::Silent;
use crate::support::{Backend, Family, Mode, Setup, Stream, refused, until};

/// Without a budget nothing is tried again, and that is told for what it is.
#[test]
fn a_budget_of_nothing() {
    for mode in Mode::BOTH {
        let (address, _kept) = refused(Family::V4);
        let backend = Backend::echo(Family::V4);
        let setup = Setup::new(&[&address, backend.address()]).pool("policy = \"first\"");
        let relay = setup.pool("retry = { budget = 0, min = 0 }").start(mode);
        for _ in 0..3 {
            relay.connect().expect_over();
        }
        relay.expect_closed("retry_refused", 3);
        assert_eq!((relay.backend(0).outcomes.connect_failed, relay.backend(1).picks), (3, 0));
        assert_eq!(relay.statistics().retries, 0);
        let pool = &relay.server.status().unwrap().pools[0];
        assert_eq!((pool.retries, pool.retries_refused), (0, 3));
    }
}

/// Three at once in a pool that has little else to do. Each is in flight until its connection stands or its client has left.
#[test]
fn the_budget_is_on_and_gives_back() {
    for mode in Mode::BOTH {
        let (address, _kept) = refused(Family::V4);
        let silent = Silent::new();
        let setup = Setup::new(&[&address, silent.address()]).pool("policy = \"first\"\nretry = { min = 3 }");
        let relay = setup.listener("timeouts = { connect = \"1h\" }").start(mode);
        let retrying =
            |count: u32| until("as many are at another try", || relay.pool().statistics().retries == count);
        let mut clients: Vec<_> = (0..3).map(|_| relay.connect()).collect();
        retrying(3);
        relay.connect().expect_over();
        relay.expect_closed("retry_refused", 1);
        // Who leaves makes room for one.
        clients.pop().unwrap().reset();
        retrying(2);
        let _another = relay.connect();
        retrying(3);
        relay.connect().expect_over();
        relay.until("another one is refused", |statistics| statistics.closed["retry_refused"] == 2);
        assert_eq!(relay.statistics().retries, 4);
    }
}

/// One that stands is a retry no more: as many as like can be served so, one after the other and at once.
#[test]
fn a_connection_that_stands_is_none() {
    for mode in Mode::BOTH {
        let (address, _kept) = refused(Family::V4);
        let backend = Backend::echo(Family::V4);
        let setup = Setup::new(&[&address, backend.address()]).pool("policy = \"first\"");
        let relay = setup.pool("retry = { budget = 0, min = 2 }\nretries_max = 2").start(mode);
        let mut clients = Vec::new();
        for _ in 0..20 {
            let client = relay.connect();
            client.put(b"hello");
            client.expect(b"hello");
            clients.push(client);
        }
        assert_eq!((relay.statistics().retries, relay.pool().statistics().retries), (20, 0));
        assert_eq!(relay.backend(0).outcomes.connect_failed, 20);
        drop(clients);
        relay.until("all are over", |statistics| statistics.sessions == 0);
        assert_eq!(relay.statistics().closed["retry_refused"], 0);
    }
}

/// One that waits for a backend that it has not tried lets those behind it have the one that it has.
#[test]
fn who_waits_for_another_keeps_nobody_from_the_first() {
    for mode in Mode::BOTH {
        let (address, first) = refused(Family::V4);
        let second = Backend::echo(Family::V4);
        let setup =
            Setup::new(&[&address, second.address()]).pool("policy = \"first\"").backend("maxconn = 1");
        let relay = setup.start(mode);
        let echo = |client: &Socket| {
            client.put(b"hello");
            client.expect(b"hello");
        };
        let one = relay.connect();
        echo(&one);
        let other = relay.connect();
        until("it waits for the second", || relay.waiting() == 1);
        // The first one serves now.
        let first = first.unwrap();
        first.listen(16).unwrap();
        let third = relay.connect();
        let at_first = first.accept().unwrap().0;
        third.put(b"hello");
        at_first.expect(b"hello");
        assert_eq!(relay.waiting(), 1);
        drop(one);
        echo(&other);
        until("nobody waits", || relay.waiting() == 0);
        assert_eq!((relay.backend(0).picks, relay.backend(1).picks), (3, 2));
        assert_eq!(relay.statistics().closed["connect_failed"], 0);
    }
}
