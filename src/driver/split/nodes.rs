//! [`Nodes`]: what a loop knows of the store's nodes. The store tells when something has changed; nothing is asked for now
//! and then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::balance::Address;
use crate::driver::mailbox::Sender;
use crate::driver::store::{Lane, Store};
use crate::driver::worker::Message;
use crate::error::Result;
use crate::proxy::options::Bind;
use crate::resp::{self, ClientAddress};
use crate::split::{NodeView, Topology};

/// One loop's.
pub(crate) struct Nodes {
    lane: Lane,
    /// Where this node serves Redis clients.
    own: Option<Address>,
    /// Of the nodes there were, in the order in which they came: each has the number of its place, and one.
    names: Vec<Arc<str>>,
    is_first: bool,
}

impl Nodes {
    /// Has the loop behind `sender` told, by [`Message::Nodes`], when something changes.
    ///
    /// # Errors
    ///
    /// `State` when the store is closed, `Forked`.
    pub(crate) fn new(store: &Store, own: Option<Address>, sender: Sender<Message>) -> Result<Self> {
        let lane = Lane::new(store, move || {
            // The mailbox has a place for it, and refuses only when the loop is gone.
            let _ = sender.try_send(Message::Nodes);
        })?;
        Ok(Self { lane, own, names: Vec::new(), is_first: true })
    }

    /// What is known now, if it is something else than when this was asked last.
    pub(crate) fn poll(&mut self) -> Option<Topology> {
        match self.poll_told()? {
            Some(topology) => Some(self.translate(&topology)),
            None => Some(self.alone()),
        }
    }

    /// The same as the store tells it; `Some(None)`: it is a store of its own, and primary for good.
    pub(super) fn poll_told(&mut self) -> Option<Option<Arc<resp::Topology>>> {
        let mut done = Vec::new();
        self.lane.take(&mut done);
        let told = self.lane.poll_topology();
        self.lane.rest();
        let is_first = std::mem::take(&mut self.is_first);
        if told.is_some() || is_first { Some(told) } else { None }
    }

    /// Whether this process stands still, or has done so just now.
    pub(super) fn has_stood_still(&mut self) -> bool {
        self.lane.has_stood_still()
    }

    /// From now on all nodes tell how far they are, and what they tell is news.
    pub(super) fn want_reports(&self) {
        self.lane.want_reports();
    }

    /// What the store tells now, new or not; `None`: it is a store of its own.
    pub(super) fn look(&mut self) -> Option<Arc<resp::Topology>> {
        self.lane.look()
    }

    /// Where this node serves Redis clients.
    pub(super) fn own(&self) -> Option<&Address> {
        self.own.as_ref()
    }

    fn alone(&self) -> Topology {
        let node =
            NodeView { id: 1, name: "store".into(), address: self.own.clone(), is_own: true, is_out: false };
        Topology { epoch: 0, primary: Some(1), nodes: vec![node], fenced: None }
    }

    fn translate(&mut self, from: &resp::Topology) -> Topology {
        let mut nodes = Vec::with_capacity(from.nodes.len());
        for (at, node) in from.nodes.iter().enumerate() {
            let is_own = at == from.own;
            let address = match is_own {
                true => self.own.clone(),
                false => reached(node),
            };
            let (id, name) = self.number(&node.name);
            nodes.push(NodeView { id, name, address, is_own, is_out: false });
        }
        let primary = from.primary.and_then(|at| nodes.get(at)).map(|node| node.id);
        Topology { epoch: from.epoch, primary, nodes, fenced: from.fenced.as_deref().map(Arc::from) }
    }

    fn number(&mut self, name: &str) -> (u64, Arc<str>) {
        let at = self.names.iter().position(|own| **own == *name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        (at as u64 + 1, Arc::clone(&self.names[at]))
    }
}

/// Where to connect to; `None`: it has not said, or said no more than a name.
pub(super) fn reached(node: &resp::Node) -> Option<Address> {
    node.reached_at.as_ref().or(node.address.as_ref()).and_then(address_of)
}

/// The same; `None` for a name, which is not looked up here.
fn address_of(told: &ClientAddress) -> Option<Address> {
    match told.port {
        0 => Some(Address::Unix(told.host.as_str().into())),
        port => Some(Address::Inet(SocketAddr::new(told.host.parse().ok()?, port))),
    }
}

/// Where somebody on this machine connects to who listens there.
pub(crate) fn reachable(bind: &Bind) -> Address {
    match bind {
        Bind::Unix(path) => Address::Unix(path.clone()),
        Bind::Inet(address) => {
            let ip = match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                ip => ip,
            };
            Address::Inet(SocketAddr::new(ip, address.port()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_anywhere_is_reached_here() {
        for (bind, expected) in
            [("0.0.0.0:6379", "127.0.0.1:6379"), ("[::]:1", "[::1]:1"), ("10.0.0.1:2", "10.0.0.1:2")]
        {
            let bind: Bind = bind.parse().unwrap();
            assert_eq!(reachable(&bind), Address::Inet(expected.parse().unwrap()));
        }
    }

    #[test]
    fn where_nodes_serve_clients_is_read() {
        let of = |text: &str| address_of(&ClientAddress::parse(text).unwrap());
        assert_eq!(of("[fd00::1]:7"), Some(Address::Inet("[fd00::1]:7".parse().unwrap())));
        assert_eq!(of("unix:/run/db"), Some(Address::Unix("/run/db".into())));
        assert_eq!(of("db-1.example:7"), None, "a name");
        let parse = ClientAddress::parse;
        let node = |address, reached_at| resp::Node {
            name: "a".into(),
            address,
            reached_at,
            is_voter: true,
            has_vote: true,
            is_linked: true,
            source: None,
            sequence: None,
            freshness: None,
        };
        let there = Some(Address::Inet("10.0.0.1:8".parse().unwrap()));
        assert_eq!(reached(&node(parse("db-1.example:7"), parse("10.0.0.1:8"))), there);
        assert_eq!(reached(&node(parse("10.0.0.1:8"), None)), there);
        assert_eq!(reached(&node(parse("db-1.example:7"), None)), None);
    }
}
