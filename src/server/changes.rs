//! [`ClusterChanges`]: what is ordered to be changed about the cluster of a server's store, one at a time, each on a thread
//! of its own: who orders is told at once, and asks later what came of it.
//!
//! A change ends with the server: when the store closes, who waits for one is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::embedded::{ClusterStatus, Store};
use crate::error::{Error, Result};
use crate::server::journal::Journal;
use crate::sys::signal;

/// A change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClusterOrder {
    /// The primary hands over; `None`: to whoever takes over best.
    Transfer { to: Option<String> },
    /// A node is taken in, without a vote.
    Add { node: String, address: Option<SocketAddr> },
    /// A learner gets a vote, as soon as it has caught up.
    Promote { node: String },
    /// A node is taken out, for good.
    Remove { node: String },
    /// A learner gets the vote of a node that is lost, which is taken out.
    Replace { lost: String, with: String },
    /// The certificates of this node's links are read anew.
    Reload,
}

impl ClusterOrder {
    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "transfer",
            Self::Add { .. } => "add",
            Self::Promote { .. } => "promote",
            Self::Remove { .. } => "remove",
            Self::Replace { .. } => "replace",
            Self::Reload => "reload",
        }
    }

    /// Does it. Blocks until it is done, or the time is over.
    fn carry_out(&self, store: &Store, timeout: Option<Duration>) -> Result<()> {
        match self {
            Self::Transfer { to: Some(to) } => store.transfer(to, timeout),
            Self::Transfer { to: None } => store.transfer(&successor(&store.cluster()?)?, timeout),
            Self::Add { node, address } => store.add(node, *address, timeout).map(drop),
            Self::Promote { node } => store.promote_learner(node, timeout).map(drop),
            Self::Remove { node } => store.remove(node, timeout).map(drop),
            Self::Replace { lost, with } => store.replace(lost, with, timeout).map(drop),
            Self::Reload => store.reload_certificates(),
        }
    }

    /// What it is about, in a few words.
    fn describe(&self) -> String {
        match self {
            Self::Transfer { to: Some(to) } => format!("hand over to {to}"),
            Self::Transfer { to: None } => "hand over".into(),
            Self::Add { node, address: Some(address) } => format!("add {node} at {address}"),
            Self::Add { node, address: None } => format!("add {node}"),
            Self::Promote { node } => format!("give {node} a vote"),
            Self::Remove { node } => format!("remove {node}"),
            Self::Replace { lost, with } => format!("replace {lost} with {with}"),
            Self::Reload => "read the certificates of the links anew".into(),
        }
    }
}

/// Who takes over best: of the other voters that are linked the one that has most.
fn successor(status: &ClusterStatus) -> Result<String> {
    let others = status.nodes.iter().filter(|node| node.is_voter && node.is_linked && !node.is_primary);
    let best = others.filter(|node| node.name != status.node).max_by_key(|node| node.matched);
    best.map(|node| node.name.clone()).ok_or(Error::State {
        what: "cluster",
        detail: "has no other voter that could take over; see to it that one is up".into(),
    })
}

/// A change, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterChange {
    /// Its number, from 1, anew with each server.
    pub change: u64,
    /// What was ordered.
    pub order: &'static str,
    /// In words.
    pub what: String,
    /// How long it has taken, or did, in milliseconds.
    pub took_ms: u64,
    /// Whether it is under way.
    pub is_running: bool,
    /// Why it came to nothing, or may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether what was ordered can never be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_misuse: bool,
}

/// See the module. Any thread may ask; nothing here waits but [`ClusterChanges::end`].
#[derive(Default)]
pub(super) struct ClusterChanges(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    newest: u64,
    running: Option<(ClusterChange, Instant)>,
    /// The newest first.
    ended: VecDeque<ClusterChange>,
    thread: Option<JoinHandle<()>>,
    is_over: bool,
}

/// How many that have ended are kept.
const ENDED_MAX: usize = 16;

impl ClusterChanges {
    /// Begins one, and gives its number. Does not wait for it.
    ///
    /// Errors: `State` while another is under way, when the store is in no cluster and when the server ends; `Io` for lack
    /// of a thread.
    pub(super) fn begin(
        self: &Arc<Self>,
        order: ClusterOrder,
        timeout: Option<Duration>,
        store: Store,
        journal: Arc<Journal>,
    ) -> Result<u64> {
        store.cluster()?;
        let mut kept = self.0.lock();
        let refuse = |what, detail: String| Err(Error::State { what, detail: detail.into() });
        if kept.is_over {
            return refuse("server", "ends; order it elsewhere".into());
        }
        if let Some((running, _)) = &kept.running {
            let detail = format!(
                "is to {} already (change {}); ask again when that has ended",
                running.what, running.change
            );
            return refuse("cluster", detail);
        }
        kept.newest += 1;
        let change = ClusterChange {
            change: kept.newest,
            order: order.name(),
            what: order.describe(),
            took_ms: 0,
            is_running: true,
            error: None,
            is_misuse: false,
        };
        let changes = Arc::clone(self);
        // The host's threads take its signals, not ours.
        let masked = signal::mask_all();
        let thread = thread::Builder::new()
            .name("trimtab/change".into())
            .spawn(move || changes.run(&order, timeout, &store, &journal));
        drop(masked);
        kept.running = Some((change, Instant::now()));
        match thread {
            Ok(handle) => kept.thread = Some(handle),
            Err(error) => {
                kept.running = None;
                return Err(Error::io("make a thread", &error));
            }
        }
        Ok(kept.newest)
    }

    /// The body of a change's thread. Who follows it is told when it has ended.
    fn run(&self, order: &ClusterOrder, timeout: Option<Duration>, store: &Store, journal: &Journal) {
        self.carry_out(order, timeout, store);
        journal.ring();
    }

    fn carry_out(&self, order: &ClusterOrder, timeout: Option<Duration>, store: &Store) {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| order.carry_out(store, timeout)));
        let error = match result {
            Ok(result) => result.err(),
            Err(_) => {
                let detail = "panicked, which is a bug in trimtab".into();
                Some(Error::State { what: "thread of the change", detail })
            }
        };
        // `begin` has the lock until it has noted what runs.
        let mut kept = self.0.lock();
        let Some((mut change, began)) = kept.running.take() else { return };
        change.took_ms = millis(began);
        change.is_running = false;
        change.is_misuse = matches!(error, Some(Error::InvalidArgument { .. } | Error::NotFound { .. }));
        change.error = error.map(|error| error.to_string());
        kept.ended.truncate(ENDED_MAX - 1);
        kept.ended.push_front(change);
    }

    /// The last ones, the newest first, the one under way before all.
    pub(super) fn recent(&self) -> Vec<ClusterChange> {
        let kept = self.0.lock();
        let running = kept
            .running
            .as_ref()
            .map(|(change, began)| ClusterChange { took_ms: millis(*began), ..change.clone() });
        running.into_iter().chain(kept.ended.iter().cloned()).collect()
    }

    /// Follows a change to its end.
    ///
    /// Errors: `NotFound` when it is not among the last ones.
    pub(super) fn follow(self: &Arc<Self>, number: u64) -> Result<FollowedChange> {
        if self.recent().iter().all(|change| change.change != number) {
            return Err(Error::NotFound { what: "change", value: number.to_string() });
        }
        Ok(FollowedChange { changes: Arc::clone(self), number, is_over: false })
    }

    /// Has none begin any more. One that is under way gives up once the store is closed.
    pub(super) fn forbid(&self) {
        self.0.lock().is_over = true;
    }

    /// Waits for the thread, once the store is closed.
    pub(super) fn end(&self) {
        let thread = self.0.lock().thread.take();
        if let Some(thread) = thread {
            // What it panicked of was taken down.
            let _ = thread.join();
        }
    }
}

/// Somebody who waits for the end of a change.
pub(super) struct FollowedChange {
    changes: Arc<ClusterChanges>,
    number: u64,
    is_over: bool,
}

impl FollowedChange {
    /// Appends what came of it as a line of JSON, once it has ended; nothing before.
    pub(super) fn read(&mut self, to: &mut Vec<u8>) {
        if self.is_over {
            return;
        }
        let found = self.changes.recent().into_iter().find(|change| change.change == self.number);
        if let Some(change) = &found
            && !change.is_running
        {
            to.extend_from_slice(&serde_json::to_vec(change).expect("it has no keys but text"));
            to.push(b'\n');
        }
        self.is_over = found.is_none_or(|change| !change.is_running);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How the cluster of a store is, as `GET /v1/store/cluster` tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterTold {
    /// The cluster's name.
    pub cluster: String,
    /// The name of the node that tells.
    pub node: String,
    /// What that is: `primary`, `replica`, `learner`, `candidate` or `idle`.
    pub role: &'static str,
    /// Whether that may be believed: `active`, `founding`, `forgetful`, `fenced` or `failed`.
    pub standing: &'static str,
    /// Why it takes no part, and what to do, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The epoch.
    pub epoch: u64,
    /// Counts promotions by force.
    pub generation: u64,
    /// The primary, as far as it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Whether it is primary and holds its quorum.
    pub holds_quorum: bool,
    /// The last entry of its log, the last that is committed, applied, on its disk.
    pub last: u64,
    /// See `last`.
    pub committed: u64,
    /// See `last`.
    pub applied: u64,
    /// See `last`.
    pub durable: u64,
    /// How old what it shows may be, in milliseconds; `None`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Frames of other nodes that were refused.
    pub refused_frames: u64,
    /// Connections of others that were refused.
    pub refused_peers: u64,
    /// Who was refused last, from where and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
    /// Whether this primary answers writes with fewer nodes than they asked for, at present.
    pub is_degraded: bool,
    /// How many writes it has so answered.
    pub degraded_writes: u64,
    /// All nodes, this one too.
    pub nodes: Vec<NodeTold>,
    /// What was ordered here, the newest first.
    pub changes: Vec<ClusterChange>,
}

/// A node of a [`ClusterTold`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeTold {
    /// Its name.
    pub name: String,
    /// Where it listens for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where its clients reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_address: Option<String>,
    /// `primary`, `replica` or `learner`.
    pub role: &'static str,
    /// Whether there is a link to it, or it is the node that tells.
    pub is_linked: bool,
    /// The last entry known to be on its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<u64>,
    /// How many entries it is behind, told by a primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    /// Who feeds it instead of the primary, told by a primary and by both of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why there is no link to it, or what was refused last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl ClusterTold {
    /// What `status` says, and what was ordered.
    pub(super) fn new(status: ClusterStatus, changes: Vec<ClusterChange>) -> Self {
        let nodes = status.nodes.into_iter().map(|node| NodeTold {
            role: match (node.is_primary, node.is_voter) {
                (true, _) => "primary",
                (false, true) => "replica",
                (false, false) => "learner",
            },
            name: node.name,
            address: node.address.map(|address| address.to_string()),
            client_address: node.client_address,
            is_linked: node.is_linked,
            on_disk: node.matched,
            behind: node.lag,
            source: node.source,
            trouble: node.trouble,
        });
        Self {
            nodes: nodes.collect(),
            cluster: status.cluster,
            node: status.node,
            role: status.role.name(),
            standing: status.standing.name(),
            trouble: status.trouble,
            epoch: status.epoch,
            generation: status.generation,
            primary: status.primary,
            holds_quorum: status.lease.is_some(),
            last: status.last,
            committed: status.committed,
            applied: status.applied,
            durable: status.durable,
            refused_frames: status.refused_frames,
            refused_peers: status.refused_peers,
            last_refusal: status.last_refusal,
            is_degraded: status.is_degraded,
            degraded_writes: status.degraded_writes,
            age_ms: status.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            changes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_a_change_is_told_once_it_has_ended() {
        let changes = Arc::new(ClusterChanges::default());
        let change = ClusterChange {
            change: 1,
            order: "transfer",
            what: "hand over".into(),
            took_ms: 0,
            is_running: true,
            error: None,
            is_misuse: false,
        };
        changes.0.lock().running = Some((change.clone(), Instant::now()));
        assert!(matches!(changes.follow(2), Err(Error::NotFound { .. })));
        let mut followed = changes.follow(1).unwrap();
        let mut told = Vec::new();
        followed.read(&mut told);
        assert!(told.is_empty() && !followed.is_over());
        {
            let mut kept = changes.0.lock();
            kept.running = None;
            kept.ended.push_front(ClusterChange { is_running: false, took_ms: 7, ..change });
        }
        followed.read(&mut told);
        followed.read(&mut told);
        let line = "{\"change\":1,\"order\":\"transfer\",\"what\":\"hand over\",\"took_ms\":7,\"is_running\":false}\n";
        assert_eq!(String::from_utf8(told).unwrap(), line);
        assert!(followed.is_over());
    }
}
