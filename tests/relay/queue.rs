//! Waiting for a place at a backend.

use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use socket2::Socket;
use trimtab::balance::{Admin, Backend};

use crate::support::{DEADLINE, Family, Folder, Listen, Mode, Relay, Setup, Stream, until};
use crate::system;

/// One backend for one session at a time, and a queue to wait in for as long as it takes.
fn full(listen: &Listen) -> Setup {
    Setup::new(&[&listen.address]).backend("maxconn = 1").listener("timeouts = { queue = \"1h\" }")
}

/// Connects so many clients, one behind the other, that each wait.
fn queue_up(relay: &Relay, count: u64) -> Vec<Socket> {
    let before = relay.waiting();
    let client = |number: u64| {
        let client = relay.connect();
        client.put(&[number as u8]);
        relay.until_waiting(before + number + 1);
        client
    };
    (0..count).map(client).collect()
}

#[test]
fn first_come_first_served() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = full(&listen).start(mode);
        let mut at = relay.join(&listen);
        let mut waiting = queue_up(&relay, 12).into_iter();
        for number in 0..12 {
            assert!(!listen.has_somebody());
            at = (waiting.next().unwrap(), {
                drop(at);
                listen.accept()
            });
            at.1.expect(&[number]);
            at.1.put(&[number]);
            at.0.expect(&[number]);
            assert_eq!(relay.waiting(), 11 - u64::from(number));
        }
        assert_eq!(relay.statistics().queued, 12);
    }
}

#[test]
fn a_queue_takes_as_many_as_configured() {
    for mode in Mode::BOTH {
        for max in [0, 1, 5] {
            let listen = Listen::new(Family::V4);
            let relay = full(&listen).pool(&format!("queue_max = {max}")).start(mode);
            let (first, served) = relay.join(&listen);
            let waiting = queue_up(&relay, max);
            relay.connect().expect_over();
            relay.expect_closed("queue_full", 1);
            assert_eq!(relay.waiting(), max);
            drop((first, served));
            for client in waiting {
                let backend = listen.accept();
                backend.receive(1);
                backend.put(b"ok");
                client.expect(b"ok");
            }
        }
    }
}

/// All at once, which is when a count that lags behind would let too many in.
#[test]
fn a_burst_does_not_overfill_the_queue() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = full(&listen).pool("queue_max = 5").start(mode);
        let _served = relay.join(&listen);
        let clients = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    let mine: Vec<_> = (0..10).map(|_| relay.connect()).collect();
                    clients.lock().unwrap().extend(mine);
                });
            }
        });
        relay.until("everybody was seen to", |statistics| {
            statistics.accepted == 101 && statistics.sessions <= 6
        });
        relay.expect_closed("queue_full", 95);
        relay.until_waiting(5);
    }
}

/// Nobody reads from a client that waits, and yet it is seen to leave.
#[test]
fn a_client_that_leaves_is_noticed_at_once() {
    for mode in Mode::BOTH {
        for family in Family::ALL {
            let listen = Listen::new(Family::V4);
            let folder = Folder::new();
            let relay = full(&listen).bind(family.free(&folder, "front")).start(mode);
            let _served = relay.join(&listen);
            // In good order, without a word.
            let client = relay.connect();
            relay.until_waiting(1);
            client.end();
            client.expect_over();
            relay.expect_closed("client_left", 1);
            // Altogether.
            let client = relay.connect();
            relay.until_waiting(1);
            drop(client);
            relay.expect_closed("client_left", 2);
            if matches!(family, Family::V4 | Family::V6) {
                // By a reset, after it has said something.
                let client = relay.connect();
                client.put(b"request");
                relay.until_waiting(1);
                client.reset();
                relay.expect_closed("client_left", 3);
            }
            assert_eq!(relay.waiting(), 0);
            assert_eq!(relay.backend(0).picks, 1, "no place was taken for them");
        }
    }
}

/// An end behind bytes: with `abort_on_close` it left, without it waits for the answer to them.
#[test]
fn an_end_behind_a_request() {
    for mode in Mode::BOTH {
        for family in [Family::V4, Family::Unix] {
            let listen = Listen::new(Family::V4);
            let folder = Folder::new();
            let setup = full(&listen).listener("abort_on_close = true");
            let relay = setup.bind(family.free(&folder, "aborts")).start(mode);
            let _served = relay.join(&listen);
            let client = relay.connect();
            client.put(b"request");
            relay.until_waiting(1);
            client.end();
            client.expect_over();
            relay.expect_closed("client_left", 1);

            let relay = full(&listen).bind(family.free(&folder, "waits")).start(mode);
            let (first, served) = relay.join(&listen);
            let client = relay.connect();
            client.put(b"request");
            relay.until_waiting(1);
            client.end();
            // Noticed in the time that another client takes to queue, if it is at all.
            let other = relay.connect();
            relay.until_waiting(2);
            assert_eq!(relay.statistics().closed["client_left"], 0);
            drop((first, served));
            let backend = listen.accept();
            assert_eq!(backend.rest(), b"request");
            backend.put(b"answer");
            backend.end();
            assert_eq!(client.rest(), b"answer");
            drop(other);
        }
    }
}

/// With the PROXY header taken, what came behind it counts as said.
#[test]
fn an_end_behind_a_header() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = full(&listen).listener("proxy_protocol = \"accept\"").start(mode);
        let first = relay.connect();
        first.put(b"PROXY UNKNOWN\r\n");
        let served = listen.accept();
        let left = relay.connect();
        left.put(b"PROXY UNKNOWN\r\n");
        left.end();
        left.expect_over();
        relay.expect_closed("client_left", 1);
        let stays = relay.connect();
        stays.put(b"PROXY UNKNOWN\r\nrequest");
        stays.end();
        relay.until_waiting(1);
        drop((first, served));
        assert_eq!(listen.accept().rest(), b"request");
    }
}

/// What the pool is told while somebody waits takes effect at once.
#[test]
fn a_change_of_the_pool_makes_room() {
    for mode in Mode::BOTH {
        let (listen, second) = (Listen::new(Family::V4), Listen::new(Family::V4));
        let relay = full(&listen).start(mode);
        let pool = relay.pool();
        let (client, backend) = relay.join(&listen);
        let (mut sessions, mut backends) = (vec![client], vec![backend]);
        let mut waiting = queue_up(&relay, 8).into_iter();
        let mut first = 0;
        // The next so many are offered places at once, and may be of two workers: which of them connects first is
        // open.
        let mut next = |from: &Listen, count: u8| {
            let clients: Vec<Socket> = waiting.by_ref().take(count.into()).collect();
            let mut numbers = Vec::new();
            for _ in 0..count {
                let backend = from.accept();
                let number = backend.receive(1)[0];
                backend.put(&[number]);
                numbers.push(number);
                backends.push(backend);
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (first..first + count).collect::<Vec<_>>());
            clients.iter().zip(&numbers).for_each(|(client, number)| client.expect(&[*number]));
            sessions.extend(clients);
            first += count;
        };
        // More room at the backend there is: as many as fit, and no more.
        let there = pool.find("b0").unwrap();
        pool.set_maxconn(there, 3).unwrap();
        next(&listen, 2);
        relay.until_waiting(6);
        // Another backend.
        let mut added = Backend::parse(&second.address).unwrap();
        added.maxconn = 2;
        added.admin = Admin::Drain;
        let added = pool.add(added).unwrap();
        assert!(!listen.has_somebody() && !second.has_somebody());
        // One that is ready again.
        pool.set_admin(added, Admin::Ready).unwrap();
        next(&second, 2);
        relay.until_waiting(4);
        // No limit any more.
        pool.set_maxconn(added, 0).unwrap();
        next(&second, 4);
        relay.until_waiting(0);
        assert!(!listen.has_somebody());
    }
}

/// Those who wait and those who come later are served in turn whichever worker they are on: nobody is
/// forgotten when the places go round quickly.
#[test]
fn nobody_is_forgotten() {
    const CLIENTS: usize = 300;
    for mode in Mode::BOTH {
        for family in [Family::V4, Family::Unix] {
            let backend = Listen::new(Family::V4).serve(|socket| {
                let mut byte = [0];
                if matches!((&socket).read(&mut byte), Ok(1)) {
                    socket.put(&byte);
                }
            });
            let folder = Folder::new();
            let setup = Setup::new(&[backend.address()]).bind(family.free(&folder, "front"));
            let relay = setup.backend("maxconn = 2").listener("timeouts = { queue = \"1h\" }").start(mode);
            std::thread::scope(|scope| {
                for thread in 0..10 {
                    let relay = &relay;
                    scope.spawn(move || {
                        for round in 0..CLIENTS / 10 {
                            let client = relay.connect();
                            // Some leave at once.
                            if (thread + round) % 7 != 0 {
                                client.put(b"x");
                                client.expect(b"x");
                            }
                        }
                    });
                }
            });
            relay.until("all are over", |statistics| statistics.sessions == 0);
            assert_eq!(relay.statistics().accepted, CLIENTS as u64);
            assert_eq!(relay.waiting(), 0);
            // The pool is not taken to be wanted any more: the next is served without a detour.
            let queued = relay.statistics().queued;
            let client = relay.connect();
            client.put(b"x");
            client.expect(b"x");
            assert_eq!(relay.statistics().queued, queued);
        }
    }
}

/// Waiting costs nothing: nobody calls anybody while all places are taken.
#[test]
fn those_who_wait_are_left_alone() {
    for mode in Mode::BOTH {
        let listen = Listen::new(Family::V4);
        let relay = full(&listen).start(mode);
        let (first, served) = relay.join(&listen);
        let _waiting = queue_up(&relay, 20);
        // Bytes for somebody who waits stay where they are.
        for client in &_waiting {
            client.put(&[0; 1000]);
            assert!(client.is_silent());
        }
        first.put(b"still");
        served.expect(b"still");
        assert!(!system::is_readable(&listen.socket, Duration::from_millis(50)));
        drop((first, served));
        assert!(system::is_readable(&listen.socket, DEADLINE));
        until("one has gone on", || relay.waiting() == 19);
    }
}
