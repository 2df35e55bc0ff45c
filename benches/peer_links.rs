//! What does a message between two nodes cost, and how much goes over a link?
//!
//! Two nodes of one process, joined by loopback and turned by one thread in turn, so a figure is the time of one core for
//! both ends: sending, the system's sockets, receiving, and encryption and decryption where it is TLS.
//!
//! - `messages/<plain or tls>/<bytes>`: messages sent as fast as they are taken, time for each.
//! - `round-trip/<plain or tls>`: one urgent message there and one back, nothing else under way.
//! - `handshake/<plain or tls>`: from the connection to a link that is up on both sides.

#[path = "../tests/shared/certificates.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod certificates;
#[path = "../tests/shared/folder.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod folder;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trimtab::links::{Event, Links, PeerAddress, Setup};
use trimtab::peer::{Class, Identity, NodeName, Options, Security};

use certificates::Authority;
use folder::Folder;

struct Pair {
    first: Links,
    second: Links,
    names: [NodeName; 2],
}

fn open(own: &NodeName, peers: Vec<PeerAddress>, security: &Security) -> Links {
    let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    Links::open(Setup {
        identity: Identity { name: own.clone(), cluster: None, number: 0, boot: 1, address: Some(address) },
        listen: Some(address),
        peers,
        security: security.clone(),
        options: Options::default(),
        seed: 1,
    })
    .expect("it opens")
}

impl Pair {
    fn new(securities: &[Security; 2]) -> Self {
        let names: [NodeName; 2] = ["db-1", "db-2"].map(|name| name.parse().expect("a name"));
        let peer = |at: usize, address| PeerAddress { name: names[at].clone(), address, number: 0 };
        let first_address = "127.0.0.1:1".parse().ok();
        let second = open(&names[1], vec![peer(0, first_address)], &securities[1]);
        let first = open(&names[0], vec![peer(1, second.local_address())], &securities[0]);
        let mut pair = Self { first, second, names };
        while !pair.is_up() {
            pair.turn();
            while pair.first.poll_event().is_some() {}
            while pair.second.poll_event().is_some() {}
        }
        pair
    }

    fn is_up(&self) -> bool {
        let is_up = |links: &Links, name| links.status(name).is_some_and(|status| status.is_up);
        is_up(&self.first, &self.names[1]) && is_up(&self.second, &self.names[0])
    }

    fn turn(&mut self) {
        self.first.turn(Some(Duration::ZERO)).expect("it turns");
        self.second.turn(Some(Duration::ZERO)).expect("it turns");
    }

    /// Sends so many messages from the first to the second, as fast as they are taken.
    fn send(&mut self, count: u64, bytes: usize) -> Duration {
        let begun = Instant::now();
        let (mut sent, mut received) = (0, 0);
        while received < count {
            while sent < count && self.first.send(&self.names[1], Class::Normal, vec![7; bytes]).is_ok() {
                sent += 1;
            }
            self.turn();
            while let Some(event) = self.second.poll_event() {
                received += u64::from(matches!(event, Event::Message { .. }));
            }
        }
        begun.elapsed()
    }

    fn exchange(&mut self, count: u64) -> Duration {
        let begun = Instant::now();
        for _ in 0..count {
            self.first.send(&self.names[1], Class::Urgent, vec![7; 64]).expect("there is room");
            let mut is_back = false;
            while !is_back {
                self.turn();
                while let Some(event) = self.second.poll_event() {
                    if let Event::Message { message, .. } = event {
                        self.second
                            .send(&self.names[0], Class::Urgent, message.bytes)
                            .expect("there is room");
                    }
                }
                while let Some(event) = self.first.poll_event() {
                    is_back |= matches!(event, Event::Message { .. });
                }
            }
        }
        begun.elapsed()
    }
}

fn links(criterion: &mut Criterion) {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let tls = ["db-1", "db-2"].map(|name| {
        let issued = authority.issue(&folder, name);
        Security::Tls {
            certificates: vec![issued.certificate],
            key: Some(issued.key),
            ca: authority.ca.clone(),
        }
    });
    let plain = [Security::InsecurePlaintext, Security::InsecurePlaintext];
    for (name, securities) in [("plain", &plain), ("tls", &tls)] {
        let mut pair = Pair::new(securities);
        let mut group = criterion.benchmark_group(format!("messages/{name}"));
        for bytes in [64usize, 1_024, 16_384, 262_144] {
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(bytes.to_string(), |bencher| {
                bencher.iter_custom(|count| pair.send(count, bytes));
            });
        }
        group.finish();
        criterion.bench_function(&format!("round-trip/{name}"), |bencher| {
            bencher.iter_custom(|count| pair.exchange(count));
        });
        criterion.bench_function(&format!("handshake/{name}"), |bencher| {
            bencher.iter(|| Pair::new(securities));
        });
    }
}

criterion_group!(benches, links);
criterion_main!(benches);
