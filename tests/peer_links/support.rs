//! Nodes that are turned one after the other on the test's own thread.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trimtab::links::{Event, Links, Notice, PeerAddress, PeerStatus, Setup};
use trimtab::peer::{End, Identity, Message, NodeName, Options, Security};

use crate::address::own_address;

/// How long anything may take, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node and what it was told.
pub(crate) struct Node {
    pub(crate) links: Links,
    pub(crate) notices: Vec<Notice>,
    pub(crate) messages: Vec<(NodeName, Message)>,
    /// Messages are left where they are.
    pub(crate) is_deaf: bool,
}

pub(crate) fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

/// An address that nobody else has.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from((own_address(), 7400))
}

/// A node in plaintext that knows `peers`.
pub(crate) fn setup(own: &str, listen: SocketAddr, peers: &[(&str, Option<SocketAddr>)]) -> Setup {
    let peer = |(peer, address): &(&str, Option<SocketAddr>)| PeerAddress {
        name: name(peer),
        address: *address,
        number: 0,
    };
    static BOOTS: AtomicU64 = AtomicU64::new(1_000);
    // As if it were a process of its own; others may be told apart by numbers near this one.
    let boot = BOOTS.fetch_add(1_000, Ordering::Relaxed);
    Setup {
        identity: Identity {
            name: name(own),
            cluster: Some([1; 16]),
            number: 0,
            boot,
            address: Some(listen),
        },
        listen: Some(listen),
        peers: peers.iter().map(peer).collect(),
        security: Security::InsecurePlaintext,
        options: Options::default(),
        seed: boot,
    }
}

/// Setups of nodes that know each other.
pub(crate) fn setups(names: &[&str]) -> Vec<Setup> {
    let addresses: Vec<SocketAddr> = names.iter().map(|_| free_address()).collect();
    let all: Vec<(&str, Option<SocketAddr>)> =
        names.iter().copied().zip(addresses.iter().copied().map(Some)).collect();
    let others = |own: &str| all.iter().filter(|(name, _)| *name != own).copied().collect::<Vec<_>>();
    names.iter().zip(&addresses).map(|(own, address)| setup(own, *address, &others(own))).collect()
}

impl Node {
    pub(crate) fn open(setup: Setup) -> Self {
        let links = Links::open(setup).unwrap_or_else(|error| panic!("{error}"));
        Self { links, notices: Vec::new(), messages: Vec::new(), is_deaf: false }
    }

    /// One turn, and takes what there is.
    pub(crate) fn turn(&mut self) {
        self.links.turn(Some(Duration::ZERO)).unwrap();
        if self.is_deaf {
            return;
        }
        while let Some(event) = self.links.poll_event() {
            match event {
                Event::Notice(notice) => self.notices.push(notice),
                Event::Message { from, message } => self.messages.push((from, message)),
            }
        }
    }

    pub(crate) fn status(&self, peer: &str) -> PeerStatus {
        self.links.status(&name(peer)).unwrap()
    }

    pub(crate) fn is_up(&self, peer: &str) -> bool {
        self.status(peer).is_up
    }

    /// Why attempts to dial came to nothing.
    pub(crate) fn failures(&self) -> Vec<&End> {
        self.notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Failed { end, .. } => Some(end),
                _ => None,
            })
            .collect()
    }

    /// Why those who came were not taken.
    pub(crate) fn refused(&self) -> Vec<&End> {
        self.notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Refused { end, .. } => Some(end),
                _ => None,
            })
            .collect()
    }
}

/// Turns all nodes until `is_done`, with a short sleep of the system's when none has anything to do.
pub(crate) fn until(nodes: &mut [Node], what: &str, mut is_done: impl FnMut(&mut [Node]) -> bool) {
    let begun = Instant::now();
    loop {
        nodes.iter_mut().for_each(Node::turn);
        if is_done(nodes) {
            return;
        }
        if begun.elapsed() > PATIENCE {
            let told: Vec<_> = nodes.iter().map(|node| &node.notices).collect();
            panic!("it never came to {what}: {told:#?}");
        }
        // The wait of the first node is one for all: what it waits for is small beside the patience.
        if let Some(node) = nodes.first_mut() {
            node.links.turn(Some(Duration::from_millis(1))).unwrap();
        }
    }
}
