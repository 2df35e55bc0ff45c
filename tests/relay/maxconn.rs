//! Limits of sessions at once: exact over all workers, whatever storm comes.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use socket2::Socket;

use crate::support::{DEADLINE, Family, Folder, Listen, Mode, Setup, Stream, connect_to, until};
use crate::system;

/// How many are served at once, and the most there ever were.
#[derive(Default)]
struct Places {
    now: Mutex<u32>,
    most: AtomicU32,
    changed: Condvar,
}

impl Places {
    /// Takes one for as long as `serve` runs; the first wait until `full` of them are taken.
    fn take(&self, full: u32, serve: impl FnOnce()) {
        let mut now = self.now.lock().unwrap();
        *now += 1;
        self.most.fetch_max(*now, Ordering::Relaxed);
        self.changed.notify_all();
        let (now, timeout) = self
            .changed
            .wait_timeout_while(now, DEADLINE, |_| self.most.load(Ordering::Relaxed) < full)
            .unwrap();
        assert!(!timeout.timed_out(), "never were {full} served at once");
        drop(now);
        serve();
        *self.now.lock().unwrap() -= 1;
    }
}

/// The limit is reached and never exceeded, and all are served.
#[test]
fn a_storm_of_clients() {
    const LIMIT: u32 = 3;
    for mode in Mode::BOTH {
        for family in [Family::V4, Family::Unix] {
            let places: [Arc<Places>; 2] = Default::default();
            let backends = places.each_ref().map(|places| {
                let places = Arc::clone(places);
                Listen::new(family).serve(move |socket| {
                    let mut request = Vec::new();
                    // It is over for the backend before the relay can know: what is counted is never more than
                    // what the relay has open.
                    places.take(LIMIT, || request = socket.receive(4));
                    socket.put(&request);
                })
            });
            let folder = Folder::new();
            let setup = Setup::new(&[backends[0].address(), backends[1].address()])
                .bind(family.free(&folder, "front"))
                .backend(&format!("maxconn = {LIMIT}"));
            let relay = setup.listener("timeouts = { queue = \"1h\" }").start(mode);
            std::thread::scope(|scope| {
                for thread in 0..16u8 {
                    let relay = &relay;
                    scope.spawn(move || {
                        for round in 0..20u8 {
                            let client = relay.connect();
                            client.put(&[thread, round, 0, 0]);
                            client.end();
                            assert_eq!(client.rest(), [thread, round, 0, 0]);
                        }
                    });
                }
            });
            relay.expect_closed("finished", 16 * 20);
            for places in &places {
                assert_eq!(places.most.load(Ordering::Relaxed), LIMIT);
            }
            assert!(relay.statistics().queued > 0);
        }
    }
}

/// A place is free once the connection that had it is closed, not a moment before: the backend looks, each time
/// somebody comes, who of the others is still there.
#[test]
fn a_place_is_free_when_its_connection_is_closed() {
    const LIMIT: usize = 2;
    for mode in Mode::BOTH {
        // A unix socket is closed at both ends at once; with TCP the news travels.
        let listen = Listen::new(Family::Unix);
        let setup = Setup::new(&[&listen.address]).backend(&format!("maxconn = {LIMIT}"));
        let relay = setup.listener("timeouts = { queue = \"1h\" }").start(mode);
        let (is_over, came) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut there: Vec<Socket> = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    if !system::is_readable(&listen.socket, std::time::Duration::from_millis(10)) {
                        continue;
                    }
                    there.push(listen.accept());
                    let came = came.fetch_add(1, Ordering::Relaxed) + 1;
                    there.retain(|socket| {
                        socket.set_nonblocking(true).unwrap();
                        let mut reader = socket;
                        loop {
                            match reader.read(&mut [0; 64]) {
                                Ok(0) => return false,
                                Ok(_) => {}
                                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
                            }
                        }
                    });
                    assert!(there.len() <= LIMIT, "{} at once, after {came}", there.len());
                }
            });
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        for round in 0..150 {
                            let client = relay.connect();
                            client.put(b"request");
                            if round % 2 == 0 {
                                client.reset();
                            } else {
                                client.end();
                                drop(client);
                            }
                        }
                    })
                })
                .collect();
            for client in clients {
                client.join().unwrap();
            }
            // Those that ended in good order wait for the backend, which says nothing.
            until("every place is taken", || came.load(Ordering::Relaxed) >= LIMIT);
            is_over.store(true, Ordering::Relaxed);
        });
    }
}

/// Beyond the listener's limit clients wait in the system's backlog, and are served when there is room.
#[test]
fn a_listeners_limit() {
    const LIMIT: u64 = 4;
    for mode in Mode::BOTH {
        for family in [Family::V4, Family::Unix] {
            let listen = Listen::new(Family::V4);
            let folder = Folder::new();
            let setup = Setup::new(&[&listen.address]).bind(family.free(&folder, "front"));
            let relay = setup.listener(&format!("maxconn = {LIMIT}")).start(mode);
            let clients: Vec<_> = (0..24).map(|_| relay.connect()).collect();
            let mut served: std::collections::VecDeque<_> = (0..LIMIT).map(|_| listen.accept()).collect();
            for (number, client) in clients.iter().enumerate() {
                client.put(&[number as u8]);
            }
            let mut done = 0;
            while let Some(backend) = served.pop_front() {
                let client = &clients[usize::from(backend.receive(1)[0])];
                backend.put(b"answer");
                client.expect(b"answer");
                // Served, and still nobody else was let in.
                let statistics = relay.statistics();
                let expected = ((LIMIT + done).min(24), LIMIT.min(24 - done));
                assert_eq!((statistics.accepted, statistics.sessions), expected);
                assert!(!listen.has_somebody());
                client.end();
                backend.expect_end();
                drop(backend);
                done += 1;
                relay.until("its place is free", |statistics| statistics.closed["finished"] == done);
                if done + LIMIT <= 24 {
                    served.push_back(listen.accept());
                }
            }
            assert_eq!(done, 24);
        }
    }
}

#[test]
fn a_listeners_limit_in_a_storm() {
    const LIMIT: u32 = 3;
    for mode in Mode::BOTH {
        for family in [Family::V4, Family::Unix] {
            let places = Arc::new(Places::default());
            let backend = {
                let places = Arc::clone(&places);
                Listen::new(Family::V4).serve(move |socket| {
                    let mut request = Vec::new();
                    places.take(LIMIT, || request = socket.receive(4));
                    socket.put(&request);
                })
            };
            let folder = Folder::new();
            let setup = Setup::new(&[backend.address()]).bind(family.free(&folder, "front"));
            let relay = setup.listener(&format!("maxconn = {LIMIT}")).start(mode);
            std::thread::scope(|scope| {
                for thread in 0..12u8 {
                    let address = relay.address();
                    scope.spawn(move || {
                        for round in 0..20u8 {
                            let client = connect_to(&address).unwrap();
                            client.put(&[thread, round, 0, 0]);
                            client.expect(&[thread, round, 0, 0]);
                        }
                    });
                }
            });
            relay.until("all are over", |statistics| statistics.sessions == 0);
            assert_eq!(relay.statistics().accepted, 12 * 20);
            assert_eq!(places.most.load(Ordering::Relaxed), LIMIT);
        }
    }
}
