//! What a server counted. Reading stops nobody; the figures of one answer are read one after another, so under
//! load they may differ by what happened in between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::balance::{BackendStatistics, Pool, PoolStatistics};
use crate::driver::shared::{Counters, Shared, SharedListener, SharedPool};
pub use crate::driver::standing::CheckStatus;
use crate::proxy::session::Cause;
use crate::server::journal::{Counts, Journal};
#[cfg(feature = "replication")]
pub use crate::server::split::SplitStatus;
#[cfg(feature = "store")]
pub use crate::server::store::{ClientsStatus, OpeningStatus, ScrubbingStatus, StoreStatus, TornStatus};
use crate::time::Clock;

/// A server, all listeners together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerStatistics {
    /// Sessions at present.
    pub sessions: u64,
    /// Clients that wait for a place at a backend.
    pub waiting: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Sessions that ended after both sides had.
    pub finished: u64,
    /// Sessions that ended otherwise; the listeners' `closed` tells how.
    pub failed: u64,
    /// Attempts at another backend after one could not be reached.
    pub retries: u64,
    /// Bytes delivered to backends.
    pub bytes_to_backends: u64,
    /// Bytes delivered to clients.
    pub bytes_to_clients: u64,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerStatistics {
    /// Its name.
    pub name: String,
    /// Where it listens in truth: with the port the system chose, when it was asked to.
    pub address: String,
    /// The pool it sends connections to.
    pub pool: String,
    /// Its limit; 0 for none.
    pub maxconn: u32,
    /// Sessions at present.
    pub sessions: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Attempts to accept that failed: aborted connections, and each time no descriptor was free.
    pub accept_errors: u64,
    /// Attempts at another backend after one could not be reached.
    pub retries: u64,
    /// Sessions that had to wait for a place at a backend.
    pub queued: u64,
    /// Bytes delivered to backends.
    pub bytes_to_backends: u64,
    /// Bytes delivered to clients.
    pub bytes_to_clients: u64,
    /// Sessions that ended, by cause.
    pub closed: BTreeMap<&'static str, u64>,
}

/// A server with everything in it, as `trimtab ctl status` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// This library's version.
    pub version: &'static str,
    /// What it does.
    pub state: &'static str,
    /// Its process.
    pub pid: u32,
    /// Its threads; 0 when the host drives it.
    pub workers: u32,
    /// All listeners together.
    pub totals: ServerStatistics,
    /// Its listeners.
    pub listeners: Vec<ListenerStatistics>,
    /// Its pools.
    pub pools: Vec<PoolStatus>,
    /// The store in it, while it is open.
    #[cfg(feature = "store")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
    /// Its listeners that split reads from writes.
    #[cfg(feature = "replication")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SplitStatus>,
    /// Its admin interface.
    pub admin: AdminStatistics,
}

/// What the admin interface of a [`Status`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AdminStatistics {
    /// Clients at present.
    pub clients: u64,
    /// Of all there are, those that follow events.
    pub followers: u64,
    /// Clients accepted.
    pub accepted: u64,
    /// Clients that stood still and were ended to make room for others, idle ones first.
    pub displaced: u64,
    /// Clients whose request did not come to its end in time.
    pub late: u64,
    /// Clients that did not take what they were answered.
    pub stalled: u64,
    /// Events so far; also the number of the latest.
    pub events: u64,
    /// Events that followers were too slow for, over all followers.
    pub events_lost: u64,
}

/// One pool of a [`Status`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// How it picks.
    pub policy: &'static str,
    /// Clients that wait for a place.
    pub waiting: u64,
    /// Backends that may be picked now.
    pub serving: u32,
    /// Picks made of the backends now in the pool.
    pub picks: u64,
    /// Of these, not reported done.
    pub in_flight: u64,
    /// Picks that found no backend.
    pub refused: u64,
    /// The most picks in flight now: its `maxconn`, or a lower one found by response times; 0 for none.
    pub limit: u32,
    /// Retries in flight.
    pub retries: u32,
    /// Retries that were not within the budget.
    pub retries_refused: u64,
    /// Its backends.
    pub backends: Vec<BackendStatus>,
}

/// One backend of a [`PoolStatus`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackendStatus {
    /// What was counted of it.
    #[serde(flatten)]
    pub statistics: BackendStatistics,
    /// How its check stands; `None` before the first verdict, and when there is no check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckStatus>,
}

fn sum(listener: &SharedListener, counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
    listener.all_counters().map(|counters| counter(counters).load(Ordering::Relaxed)).sum()
}

fn closed(listener: &SharedListener, cause: Cause) -> u64 {
    listener.all_counters().map(|counters| counters.closed(cause)).sum()
}

impl ServerStatistics {
    pub(super) fn read(shared: &Shared) -> Self {
        let mut totals = Self {
            waiting: shared.pools.iter().map(|pool| pool.room.waiting() as u64).sum(),
            ..Self::default()
        };
        for listener in &shared.listeners {
            for (_, cause) in Cause::NAMES {
                let count = closed(listener, cause);
                if cause == Cause::Finished {
                    totals.finished += count;
                } else {
                    totals.failed += count;
                }
            }
            totals.accepted += sum(listener, |counters| &counters.accepted);
            totals.retries += sum(listener, |counters| &counters.retries);
            totals.bytes_to_backends += sum(listener, |counters| &counters.to_backends);
            totals.bytes_to_clients += sum(listener, |counters| &counters.to_clients);
        }
        // What ended was read before what began.
        totals.sessions = totals.accepted.saturating_sub(totals.finished + totals.failed);
        totals
    }
}

impl AdminStatistics {
    pub(super) fn read(shared: Option<&Shared>, journal: &Journal) -> Self {
        let Counts { newest, followers, lost } = journal.counts();
        let all = Self { followers: followers as u64, events: newest, events_lost: lost, ..Self::default() };
        let Some(shared) = shared else { return all };
        let counters = &shared.conversations;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            clients: load(&counters.present),
            accepted: load(&counters.accepted),
            displaced: load(&counters.displaced),
            late: load(&counters.late),
            stalled: load(&counters.stalled),
            ..all
        }
    }
}

impl ListenerStatistics {
    pub(super) fn read(shared: &Shared, index: usize, address: String) -> Self {
        let listener = &shared.listeners[index];
        let closed: BTreeMap<_, _> =
            Cause::NAMES.iter().map(|(name, cause)| (*name, closed(listener, *cause))).collect();
        let accepted = sum(listener, |counters| &counters.accepted);
        Self {
            name: listener.name.to_string(),
            address,
            pool: shared.pools[listener.pool].name.to_string(),
            maxconn: listener.maxconn,
            sessions: accepted.saturating_sub(closed.values().sum()),
            accepted,
            accept_errors: sum(listener, |counters| &counters.accept_errors),
            retries: sum(listener, |counters| &counters.retries),
            queued: sum(listener, |counters| &counters.queued),
            bytes_to_backends: sum(listener, |counters| &counters.to_backends),
            bytes_to_clients: sum(listener, |counters| &counters.to_clients),
            closed,
        }
    }
}

impl BackendStatus {
    pub(super) fn read(statistics: BackendStatistics, shared: Option<&SharedPool>) -> Self {
        Self { check: shared.and_then(|shared| shared.standing.of(statistics.id, Clock.now())), statistics }
    }
}

impl PoolStatus {
    pub(super) fn read(name: &str, pool: &Pool, shared: Option<&SharedPool>) -> Self {
        let counted = pool.statistics();
        let PoolStatistics { serving, picks, in_flight, refused, limit, .. } = counted;
        Self {
            name: name.to_string(),
            policy: pool.options().policy.name(),
            waiting: shared.map_or(0, |shared| shared.room.waiting() as u64),
            serving,
            picks,
            in_flight,
            refused,
            limit,
            retries: counted.retries,
            retries_refused: counted.retries_refused,
            backends: pool
                .backends()
                .into_iter()
                .map(|backend| BackendStatus::read(backend, shared))
                .collect(),
        }
    }
}
