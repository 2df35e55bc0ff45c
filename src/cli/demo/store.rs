//! [`Store`]: a replicated store, each node a process of its own with a directory that is taken away at the end.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::counters::{self, Client, Said};
use super::node::Node;
use super::plan::{BACKENDS, LEARNER, PATIENCE, STALE_MAX, STORE_NODES, VOTERS};
use crate::error::{Error, Result};
use crate::time::{Clock, Instant};

pub(super) struct Store {
    /// In the order of [`STORE_NODES`].
    nodes: Vec<Node>,
    addresses: Vec<SocketAddr>,
    /// Bound to the addresses and never listening, so that the ports are nobody else's while a node is down.
    _held: Vec<Socket>,
    /// The first node's configuration.
    text: String,
    /// With the configurations and what the nodes write; it goes last.
    _directory: TempDir,
}

/// What came of losing the primary.
pub(super) struct Failover {
    /// From its end until a write was answered that was begun after it, in nanoseconds.
    pub(super) nanos: u64,
    /// Who is primary now.
    pub(super) primary: usize,
}

impl Store {
    /// Starts all nodes on ports that the system chooses; returns when one of them is primary.
    pub(super) fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("trimtab-demo-").tempdir();
        let directory = directory.map_err(|error| Error::io("make a directory for the store", &error))?;
        let (mut addresses, mut held) = (Vec::new(), Vec::new());
        for _ in 0..STORE_NODES.len() + VOTERS {
            let (address, socket) =
                hold_port().map_err(|error| Error::io("find a port for the store", &error))?;
            addresses.push(address);
            held.push(socket);
        }
        let peers = addresses.split_off(STORE_NODES.len());
        let mut nodes = Vec::new();
        for (index, name) in STORE_NODES.into_iter().enumerate() {
            let place = directory.path().join(name);
            std::fs::create_dir(&place).map_err(|error| Error::io("make a directory for a node", &error))?;
            nodes.push(Node::start(&place, &text(index, addresses[index], &peers))?);
        }
        let text = text(0, addresses[0], &peers);
        let store = Self { nodes, addresses, _held: held, text, _directory: directory };
        store.primary()?;
        Ok(store)
    }

    /// Kills a node with SIGKILL; when this returns it is gone.
    pub(super) fn kill(&mut self, node: usize) -> Result<()> {
        self.nodes[node].kill()
    }

    /// Kills all nodes likewise.
    pub(super) fn kill_all(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::kill)
    }

    /// Starts each node that was killed; returns when they take clients and one of them is primary.
    pub(super) fn start_again(&mut self) -> Result<()> {
        for node in self.nodes.iter_mut().filter(|node| !node.is_running()) {
            node.start_again()?;
        }
        self.primary().map(drop)
    }

    /// The primary, once there is one.
    pub(super) fn primary(&self) -> Result<usize> {
        let end = Clock.now().saturating_add(PATIENCE);
        loop {
            let is_primary = |node: &usize| {
                let role = Client::connect(self.addresses[*node]).and_then(|mut it| it.ask(&["ROLE"]));
                matches!(role, Ok(Said::Many(role)) if role.first() == Some(&Said::Text("master".into())))
            };
            if let Some(node) = (0..VOTERS).filter(|node| self.nodes[*node].is_running()).find(is_primary) {
                return Ok(node);
            }
            if Clock.now() > end {
                return Err(Error::TimedOut { what: "a node of the store to become primary" });
            }
        }
    }

    /// Writes through the nodes that are left until one answers. `since`: when the primary was lost.
    pub(super) fn fail_over(&self, since: Instant) -> Result<Failover> {
        let end = since.saturating_add(PATIENCE);
        loop {
            for node in (0..VOTERS).filter(|node| self.nodes[*node].is_running()) {
                let asked = Client::connect(self.addresses[node]);
                let said = asked.and_then(|mut it| it.ask(&["SET", "probe", "there"]));
                if let Ok(Said::Text(_)) = said {
                    let nanos = Clock.now().nanos_since(since);
                    return Ok(Failover { nanos, primary: self.primary()? });
                }
            }
            if Clock.now() > end {
                return Err(Error::TimedOut { what: "another node of the store to take over" });
            }
        }
    }

    /// What it has counted, for each backend, as the primary has it.
    pub(super) fn counters(&self) -> Result<Vec<u64>> {
        let failed = |error| Error::io("read the counters in the store", &error);
        let mut client = Client::connect(self.addresses[self.primary()?]).map_err(failed)?;
        let read = |name: &&str| match client.ask(&["GET", &counters::key(name)]).map_err(failed)? {
            Said::Nothing => Ok(0),
            Said::Text(text) if let Ok(number) = text.parse() => Ok(number),
            other => {
                let detail = format!("has {other:?} where a counter should be").into();
                Err(Error::State { what: "store", detail })
            }
        };
        BACKENDS.iter().map(read).collect()
    }

    /// Where clients find the nodes that vote.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses[..VOTERS]
    }

    /// Where clients find the one that does not.
    pub(super) fn learner(&self) -> SocketAddr {
        self.addresses[LEARNER]
    }

    /// The configuration of the first node.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn hold_port() -> std::io::Result<(SocketAddr, Socket)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = socket.local_addr()?.as_socket().expect("it was bound to an IP address");
    Ok((address, socket))
}

fn text(node: usize, address: SocketAddr, peers: &[SocketAddr]) -> String {
    let peers = STORE_NODES.iter().zip(peers).map(|(name, peer)| format!("{name} = \"{peer}\""));
    format!(
        "\
[store]
node = \"{}\"
dir = \"data\"               # below where it is started
resp = \"{address}\"   # any Redis client
peers = {{ {} }}
learners = [\"{}\"]        # follows without a vote
peer_tls = \"insecure-plaintext\"   # for nodes on one machine
durability = \"quorum\"      # what it acknowledges is on the disks of two
stale_max = \"{}ms\"        # what a replica shows is no older
",
        STORE_NODES[node],
        peers.collect::<Vec<_>>().join(", "),
        STORE_NODES[LEARNER],
        STALE_MAX.as_millis(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Config;

    #[test]
    fn the_configurations_are_good() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let peers = [7401, 7402, 7403].map(address);
        for (node, port) in (0..STORE_NODES.len()).zip(6379..) {
            Config::parse(&text(node, address(port), &peers), "store.toml").unwrap();
        }
    }
}
