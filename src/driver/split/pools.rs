//! [`StorePools`]: pools whose backends are the nodes of the store: who is there, and up, comes from the cluster's own events.
//!
//! Every node that says where its clients are served is a backend, under its name. It is up while it has the role that the
//! pool asks for and there is a link to it; so with `on_down = "close"` the sessions of a primary end with its epoch. Where the
//! pool bounds how far behind a node may be, the nodes tell each other how far they are, and a timer says when what they told
//! last is too long ago.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::nodes::{Nodes, reached};
use crate::balance::{Address, Backend, Observed, Pool};
use crate::driver::mailbox::Sender;
use crate::driver::store::Store;
use crate::driver::timer::TimerId;
use crate::driver::worker::{Core, Message, Timer};
use crate::error::Result;
use crate::replication::progress::TELL_INTERVAL;
use crate::resp::{Freshness, Topology};
use crate::split::lag::{Lag, LagBound, Late};
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
    /// How far behind a node may be that is not primary.
    pub(crate) bound: LagBound,
}

/// On one worker of a server.
pub(crate) struct StorePools {
    nodes: Nodes,
    followers: Vec<(Follower, Told)>,
    /// Some of them bound how far behind a node may be.
    is_bounded: bool,
    timer: Option<TimerId>,
}

/// What a pool was told last of each node.
type Told = BTreeMap<Arc<str>, Known>;

struct Known {
    address: Address,
    verdict: Verdict,
    lag: Lag,
}

/// Whether a node is up for a pool, and why not.
type Verdict = std::result::Result<(), Cow<'static, str>>;

/// A node.
struct Seen {
    name: Arc<str>,
    address: Address,
    is_primary: bool,
    is_linked: bool,
    is_own: bool,
    freshness: Option<Freshness>,
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
        let is_bounded = followers.iter().any(|follower| follower.bound.is_set());
        if is_bounded {
            nodes.want_reports();
        }
        let followers = followers.into_iter().map(|follower| (follower, Told::new())).collect();
        Ok(Self { nodes, followers, is_bounded, timer: None })
    }

    /// Something may have changed.
    pub(crate) fn handle_news(&mut self, core: &mut Core) {
        if let Some(told) = self.nodes.poll_told() {
            self.apply(told, core);
        }
    }

    /// What was told last of a node may be too long ago.
    pub(crate) fn handle_timeout(&mut self, core: &mut Core) {
        self.timer = None;
        let told = self.nodes.look();
        self.apply(told, core);
    }

    fn apply(&mut self, told: Option<Arc<Topology>>, core: &mut Core) {
        let fenced = told.as_ref().and_then(|topology| topology.fenced.as_ref());
        let fenced = fenced.map(|why| format!("this node {why}"));
        let seen = match told {
            Some(topology) => seen(&topology, self.nodes.own()),
            // A store of its own is primary for good.
            None => {
                let alone = |address: &Address| Seen {
                    name: "store".into(),
                    address: address.clone(),
                    is_primary: true,
                    is_linked: true,
                    is_own: true,
                    freshness: None,
                };
                self.nodes.own().map(alone).into_iter().collect()
            }
        };
        let mut next: Option<Instant> = None;
        for (follower, told) in &mut self.followers {
            let until = follower.apply(&seen, fenced.as_deref(), told, core.now);
            next = [next, until].into_iter().flatten().min();
        }
        if let Some(next) = next.filter(|_| self.is_bounded) {
            core.set_timer(&mut self.timer, next, Timer::StorePools);
        }
    }
}

fn seen(topology: &Topology, own: Option<&Address>) -> Vec<Seen> {
    let nodes = topology.nodes.iter().enumerate();
    let seen = nodes.filter_map(|(at, node)| {
        let address = match at == topology.own {
            true => own.cloned(),
            false => reached(node),
        };
        let is_primary = topology.primary == Some(at);
        Some(Seen {
            name: node.name.as_str().into(),
            address: address?,
            is_primary,
            is_linked: node.is_linked,
            is_own: at == topology.own,
            freshness: node.freshness,
        })
    });
    seen.collect()
}

impl Follower {
    /// Tells the pool. Gives when to look again if nothing is heard until then.
    ///
    /// - `fenced`: why nothing is known here of the nodes any more.
    fn apply(&self, seen: &[Seen], fenced: Option<&str>, told: &mut Told, now: Instant) -> Option<Instant> {
        let mut wanted = Told::new();
        let mut next: Option<Instant> = None;
        for node in seen {
            let address = match (self.port, &node.address) {
                (Some(port), Address::Inet(address)) => Address::Inet(SocketAddr::new(address.ip(), port)),
                (_, address) => address.clone(),
            };
            let mut lag = told.get(&node.name).map_or_else(Lag::default, |before| before.lag);
            let (verdict, until) = match fenced {
                Some(why) => (Err(why.to_owned().into()), None),
                None => self.judge(node, &mut lag, now),
            };
            next = [next, until].into_iter().flatten().min();
            wanted.insert(Arc::clone(&node.name), Known { address, verdict, lag });
        }
        for (name, before) in told.iter() {
            if wanted.get(name).is_none_or(|new| new.address != before.address)
                && let Ok(id) = self.pool.find(name)
            {
                // Somebody else has taken it out already, then.
                let _ = self.pool.remove(id);
            }
        }
        told.retain(|name, before| wanted.get(name).is_some_and(|new| new.address == before.address));
        // Who goes down first has its sessions cut before another one is up.
        let mut order: Vec<_> = wanted.iter().collect();
        order.sort_by_key(|(_, known)| known.verdict.is_ok());
        for (name, Known { address, verdict, .. }) in order {
            if told.get(name).is_some_and(|before| before.verdict == *verdict) {
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
                Err(reason) => (Observed::Down, &**reason),
            };
            let _ = self.pool.set_observed_with(id, observed, reason, now);
        }
        *told = wanted;
        next
    }

    /// Whether a node is up for this pool, and why not; and when to look again if nothing is heard until then.
    fn judge(&self, node: &Seen, lag: &mut Lag, now: Instant) -> (Verdict, Option<Instant>) {
        match (self.wanted, node.is_primary) {
            _ if !node.is_linked => (Err("there is no link to it".into()), None),
            (Wanted::Primary, false) => (Err("it is not primary".into()), None),
            (Wanted::Replicas, true) => (Err("it is primary".into()), None),
            // Nobody is ahead of it.
            (_, true) => (Ok(()), None),
            (_, false) => match lag.judge(&self.bound, node.freshness.as_ref(), now) {
                (Ok(()), until) => (Ok(()), until),
                // The others say when they have come nearer; this node does not tell itself.
                (Err(late), _) => {
                    (Err(reason(late).into()), node.is_own.then(|| now.saturating_add(TELL_INTERVAL)))
                }
            },
        }
    }
}

fn reason(late: Late) -> &'static str {
    match late {
        Late::Unknown => "how far behind it is is not known",
        Late::Age => "it is farther behind than lag_max",
        Late::Entries => "it lacks more entries than lag_entries_max",
    }
}
