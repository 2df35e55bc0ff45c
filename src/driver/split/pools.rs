//! [`StorePools`]: pools whose backends are the nodes of the store: who is there, and up, comes from the cluster's own events.
//!
//! Every node that says where its clients are served is a backend, under its name. It is up while it has the role that the
//! pool asks for and there is a link to it; so with `on_down = "close"` the sessions of a primary end with its epoch.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::nodes::{Nodes, address_of};
use crate::balance::{Address, Backend, Observed, Pool};
use crate::driver::mailbox::Sender;
use crate::driver::store::Store;
use crate::driver::worker::Message;
use crate::error::Result;
use crate::resp::Topology;
use crate::time::Instant;

/// Which nodes a pool sends connections to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Primary,
    Replicas,
    Any,
}

/// A pool that follows the store.
pub(crate) struct Follower {
    pub(crate) pool: Arc<Pool>,
    pub(crate) wanted: Wanted,
    /// In place of the port at which Redis clients are served.
    pub(crate) port: Option<u16>,
}

/// On one worker of a server.
pub(crate) struct StorePools {
    nodes: Nodes,
    followers: Vec<(Follower, Told)>,
}

/// What a pool was told last of each node.
type Told = BTreeMap<Arc<str>, (Address, Verdict)>;

/// Whether a node is up for a pool, and why not.
type Verdict = std::result::Result<(), &'static str>;

/// A node, and why it is not up.
struct Seen {
    name: Arc<str>,
    address: Address,
    is_primary: bool,
    is_linked: bool,
}

impl StorePools {
    /// Tells `followers`, now and whenever the loop behind `sender` is told that something has changed.
    ///
    /// # Errors
    ///
    /// `State` when the store is closed, `Forked`.
    pub(crate) fn new(
        store: &Store,
        own: Option<Address>,
        sender: Sender<Message>,
        followers: Vec<Follower>,
    ) -> Result<Self> {
        let nodes = Nodes::new(store, own, sender)?;
        let followers = followers.into_iter().map(|follower| (follower, Told::new())).collect();
        Ok(Self { nodes, followers })
    }

    /// Something may have changed.
    pub(crate) fn handle_news(&mut self, now: Instant) {
        let Some(told) = self.nodes.poll_told() else { return };
        let seen = match told {
            Some(topology) => seen(&topology, self.nodes.own()),
            // A store of its own is primary for good.
            None => {
                let alone = |address: &Address| Seen {
                    name: "store".into(),
                    address: address.clone(),
                    is_primary: true,
                    is_linked: true,
                };
                self.nodes.own().map(alone).into_iter().collect()
            }
        };
        for (follower, told) in &mut self.followers {
            follower.apply(&seen, told, now);
        }
    }
}

fn seen(topology: &Topology, own: Option<&Address>) -> Vec<Seen> {
    let nodes = topology.nodes.iter().enumerate();
    let seen = nodes.filter_map(|(at, node)| {
        let address = match at == topology.own {
            true => own.cloned(),
            false => node.address.as_ref().and_then(address_of),
        };
        let is_primary = topology.primary == Some(at);
        Some(Seen {
            name: node.name.as_str().into(),
            address: address?,
            is_primary,
            is_linked: node.is_linked,
        })
    });
    seen.collect()
}

impl Follower {
    fn apply(&self, seen: &[Seen], told: &mut Told, now: Instant) {
        let mut wanted = Told::new();
        for node in seen {
            let address = match (self.port, &node.address) {
                (Some(port), Address::Inet(address)) => Address::Inet(SocketAddr::new(address.ip(), port)),
                (_, address) => address.clone(),
            };
            wanted.insert(Arc::clone(&node.name), (address, self.judge(node)));
        }
        for (name, (address, _)) in told.iter() {
            if wanted.get(name).is_none_or(|(new, _)| new != address)
                && let Ok(id) = self.pool.find(name)
            {
                // Somebody else has taken it out already, then.
                let _ = self.pool.remove(id);
            }
        }
        told.retain(|name, (address, _)| wanted.get(name).is_some_and(|(new, _)| new == address));
        // Who goes down first has its sessions cut before another one is up.
        let mut order: Vec<_> = wanted.iter().collect();
        order.sort_by_key(|(_, (_, verdict))| verdict.is_ok());
        for (name, (address, verdict)) in order {
            if told.get(name).is_some_and(|(_, before)| before == verdict) {
                continue;
            }
            let id = match self.pool.find(name) {
                Ok(id) => Ok(id),
                Err(_) => {
                    self.pool.add(Backend { name: Some(name.to_string()), ..Backend::new(address.clone()) })
                }
            };
            // A pool that takes no more has said so where it is looked at.
            let Ok(id) = id else { continue };
            let (observed, reason) = match verdict {
                Ok(()) => (Observed::Up, ""),
                Err(reason) => (Observed::Down, *reason),
            };
            let _ = self.pool.set_observed_with(id, observed, reason, now);
        }
        *told = wanted;
    }

    /// Whether a node is up for this pool, and why not.
    fn judge(&self, node: &Seen) -> Verdict {
        match (self.wanted, node.is_primary) {
            _ if !node.is_linked => Err("there is no link to it"),
            (Wanted::Primary, false) => Err("it is not primary"),
            (Wanted::Replicas, true) => Err("it is primary"),
            _ => Ok(()),
        }
    }
}
