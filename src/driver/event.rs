//! What a running server tells its owner.

#[cfg(feature = "replication")]
mod cluster;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "replication")]
pub use self::cluster::ClusterKind;
use crate::balance::{ChangeKind, Observed};

/// Something an operator would want to know. Nothing is told per connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The listener it happened to.
    pub listener: Option<Arc<str>>,
    /// The pool it happened in.
    pub pool: Option<Arc<str>>,
    /// The backend it happened to, by name.
    pub backend: Option<Arc<str>>,
    /// The node of the store's cluster that it is about, by name.
    pub node: Option<Arc<str>>,
    /// More in words, one line; empty when there is no more.
    pub detail: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The server listens.
    Started,
    /// It accepts nothing new and waits for its sessions to end.
    Draining,
    /// It has ended: no session, no listener.
    Stopped,
    /// A listener pauses, for the system has no descriptor or memory left; the detail tells which.
    AcceptPaused,
    /// The listener goes on.
    AcceptResumed,
    /// A thread of the server's own ended before it was told to; the detail says why. The others go on.
    WorkerFailed,
    /// Members could not be found out, by name or from a file, or some of them are left out; the detail says why, and
    /// what becomes of those there were.
    DiscoveryFailed,
    /// The store was opened, and found something to be looked at: a torn tail that was cut off, a clock that is behind, settings
    /// that are not in force; the detail says which.
    StoreOpened,
    /// The store takes no writes any more until it is opened again; the detail says why. Reading goes on.
    StoreFailed,
    /// There is no room on disk for the log's next segment; the detail says more. Once the present one is full the store takes no
    /// writes; reading goes on.
    StoreFull,
    /// The store takes writes again.
    StoreRecovered,
    /// Something that lies on disk was found damaged, by reading it again or when the store was opened; the detail says what,
    /// where, and what is done about it.
    StoreDamaged,
    /// What was found damaged is not needed any more: a snapshot up to this entry stands for it.
    StoreMended(u64),
    /// The backup of this number has been taken; the detail says what was added.
    StoreBackupEnded(u64),
    /// The backup of this number could not be taken, and is as it was before; the detail says why.
    StoreBackupFailed(u64),
    /// So many sessions of a backend that went down were cut, by one of the workers.
    SessionsCut(u64),
    /// A tier of a pool panics: it serves whatever is observed of its backends.
    PanicBegan(u8),
    /// A tier no longer panics.
    PanicEnded(u8),
    /// Something in a pool changed.
    Pool(ChangeKind),
    /// Something happened to the store's cluster, as this node sees it.
    #[cfg(feature = "replication")]
    Cluster(ClusterKind),
}

impl EventKind {
    /// Its name: in logs, in JSON and in the bindings.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Started => "started",
            EventKind::Draining => "draining",
            EventKind::Stopped => "stopped",
            EventKind::AcceptPaused => "accept-paused",
            EventKind::AcceptResumed => "accept-resumed",
            EventKind::WorkerFailed => "worker-failed",
            EventKind::DiscoveryFailed => "discovery-failed",
            EventKind::StoreOpened => "store-opened",
            EventKind::StoreFailed => "store-failed",
            EventKind::StoreFull => "store-full",
            EventKind::StoreRecovered => "store-recovered",
            EventKind::StoreDamaged => "store-damaged",
            EventKind::StoreMended(_) => "store-mended",
            EventKind::StoreBackupEnded(_) => "store-backup-ended",
            EventKind::StoreBackupFailed(_) => "store-backup-failed",
            EventKind::SessionsCut(_) => "sessions-cut",
            EventKind::PanicBegan(_) => "panic-began",
            EventKind::PanicEnded(_) => "panic-ended",
            EventKind::Pool(ChangeKind::Added) => "backend-added",
            EventKind::Pool(ChangeKind::Removed) => "backend-removed",
            EventKind::Pool(ChangeKind::Admin(_)) => "backend-admin",
            EventKind::Pool(ChangeKind::Observed(_)) => "backend-observed",
            EventKind::Pool(ChangeKind::Weight(_)) => "backend-weight",
            EventKind::Pool(ChangeKind::Maxconn(_)) => "backend-maxconn",
            EventKind::Pool(ChangeKind::Tier(_)) => "backend-tier",
            #[cfg(feature = "replication")]
            EventKind::Cluster(kind) => kind.name(),
        }
    }

    /// What the change was to, in a word or a number; empty for what has none.
    pub fn value(self) -> String {
        match self {
            EventKind::Pool(ChangeKind::Admin(admin)) => admin.name().into(),
            EventKind::Pool(ChangeKind::Observed(observed)) => match observed {
                Observed::Unknown => "unknown".into(),
                Observed::Up => "up".into(),
                Observed::Down => "down".into(),
                Observed::Ejected => "ejected".into(),
            },
            EventKind::Pool(ChangeKind::Weight(number) | ChangeKind::Maxconn(number)) => number.to_string(),
            EventKind::Pool(ChangeKind::Tier(tier))
            | EventKind::PanicBegan(tier)
            | EventKind::PanicEnded(tier) => tier.to_string(),
            EventKind::SessionsCut(count) => count.to_string(),
            EventKind::StoreBackupEnded(number)
            | EventKind::StoreBackupFailed(number)
            | EventKind::StoreMended(number) => number.to_string(),
            #[cfg(feature = "replication")]
            EventKind::Cluster(kind) => kind.value(),
            _ => String::new(),
        }
    }
}

/// One line: the event's name and `key=value` facts.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        let names = [
            ("listener", &self.listener),
            ("pool", &self.pool),
            ("backend", &self.backend),
            ("node", &self.node),
        ];
        for (key, value) in names {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        let value = self.kind.value();
        if !value.is_empty() {
            write!(f, " value={value}")?;
        }
        if !self.detail.is_empty() {
            write!(f, " detail={:?}", self.detail)?;
        }
        Ok(())
    }
}

/// Where events go. Called on the thread that noticed, with no lock held; must not block for long.
pub(crate) type Sink = Arc<dyn Fn(&Event) + Send + Sync>;

impl Event {
    /// The event as one JSON object in one line; what it does not have is left out.
    pub fn to_json(&self) -> String {
        serde_json::Value::Object(self.to_object()).to_string()
    }

    pub(crate) fn to_object(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut object = serde_json::Map::new();
        let value = self.kind.value();
        let facts = [
            ("event", Some(self.kind.name())),
            ("listener", self.listener.as_deref()),
            ("pool", self.pool.as_deref()),
            ("backend", self.backend.as_deref()),
            ("node", self.node.as_deref()),
            ("value", Some(&*value)),
            ("detail", Some(&*self.detail)),
        ];
        for (key, fact) in facts {
            if let Some(fact) = fact.filter(|fact| !fact.is_empty()) {
                object.insert(key.into(), fact.into());
            }
        }
        object
    }

    /// An event of the server as a whole.
    pub(crate) fn of_server(kind: EventKind, detail: impl Into<String>) -> Self {
        Self { kind, listener: None, pool: None, backend: None, node: None, detail: detail.into() }
    }

    /// An event of one pool.
    pub(crate) fn of_pool(kind: EventKind, pool: &Arc<str>, detail: impl Into<String>) -> Self {
        Self { pool: Some(Arc::clone(pool)), ..Self::of_server(kind, detail) }
    }

    /// An event of one listener.
    pub(crate) fn of_listener(kind: EventKind, listener: &Arc<str>, detail: impl Into<String>) -> Self {
        Self { listener: Some(Arc::clone(listener)), ..Self::of_server(kind, detail) }
    }
}
