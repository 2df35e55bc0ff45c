//! What a server tells, as far as the text of `ctl` shows it. What another version leaves out is taken for
//! nothing, and what it adds is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) state: String,
    pub(super) pid: u32,
    pub(super) workers: u32,
    pub(super) totals: Totals,
    pub(super) listeners: Vec<Listener>,
    pub(super) pools: Vec<Pool>,
    pub(super) store: Option<Store>,
    pub(super) splits: Vec<Split>,
    pub(super) admin: Admin,
}

/// A listener that splits reads from writes.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Split {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) clients: u64,
    pub(super) maxconn: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) replica_reads: u64,
    pub(super) primary_reads: u64,
    pub(super) writes: u64,
    pub(super) retries: u64,
    pub(super) behind: u64,
    pub(super) waiting: u64,
    pub(super) held: u64,
    pub(super) unserved: u64,
    pub(super) in_doubt: u64,
    pub(super) slow: u64,
    pub(super) cut: u64,
    pub(super) links: u64,
    pub(super) link_errors: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Store {
    pub(super) node: Option<String>,
    pub(super) dir: String,
    pub(super) durability: String,
    pub(super) nodes: u64,
    pub(super) sequence: u64,
    pub(super) durable: u64,
    pub(super) snapshot: u64,
    pub(super) keys: u64,
    pub(super) memory_bytes: u64,
    pub(super) memory_max: u64,
    pub(super) disk_bytes: u64,
    pub(super) failure: Option<String>,
    pub(super) problem: Option<String>,
    pub(super) snapshot_error: Option<String>,
    pub(super) opening: Opening,
    pub(super) scrub: Scrub,
    pub(super) clock_steps: u64,
    pub(super) expiries: u64,
    pub(super) evictions: u64,
    pub(super) backup: Option<Backups>,
    pub(super) clients: Option<Clients>,
}

/// What opening a store found.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Opening {
    pub(super) was_closed: bool,
    pub(super) replayed: u64,
    pub(super) torn: Option<Torn>,
    pub(super) covered: Option<Covered>,
    pub(super) ahead_ms: u64,
    pub(super) settings_refused: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Torn {
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Covered {
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) what: String,
}

/// What reading again what lies on disk has found.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Scrub {
    pub(super) passes: u64,
    pub(super) verified_bytes: u64,
    pub(super) finished_ms: u64,
    pub(super) damages: u64,
    pub(super) mended: u64,
    pub(super) damage: Option<String>,
}

/// How a store's backups stand.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Backups {
    pub(super) running: Option<Backup>,
    pub(super) good: Option<Backup>,
    pub(super) failed: Option<Backup>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Backup {
    pub(super) to: String,
    pub(super) began_ms: u64,
    pub(super) report: Option<BackupReport>,
    pub(super) error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct BackupReport {
    pub(super) last: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Clients {
    pub(super) address: String,
    pub(super) present: u64,
    pub(super) maxclients: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) commands: u64,
    pub(super) errors: u64,
    pub(super) slow: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Totals {
    pub(super) sessions: u64,
    pub(super) waiting: u64,
    pub(super) accepted: u64,
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) retries: u64,
    pub(super) bytes_to_backends: u64,
    pub(super) bytes_to_clients: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) pool: String,
    pub(super) maxconn: u64,
    pub(super) sessions: u64,
    pub(super) accepted: u64,
    pub(super) retries: u64,
    pub(super) queued: u64,
    pub(super) bytes_to_backends: u64,
    pub(super) bytes_to_clients: u64,
    pub(super) closed: BTreeMap<String, u64>,
}

impl Listener {
    /// Sessions that ended otherwise than by themselves.
    pub(super) fn failed(&self) -> u64 {
        self.closed.iter().filter(|(cause, _)| *cause != "finished").map(|(_, count)| count).sum()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) policy: String,
    pub(super) waiting: u64,
    pub(super) serving: u64,
    pub(super) picks: u64,
    pub(super) in_flight: u64,
    pub(super) refused: u64,
    pub(super) backends: Vec<Backend>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) weight: u64,
    pub(super) maxconn: u64,
    pub(super) tier: u64,
    pub(super) admin: String,
    pub(super) observed: String,
    pub(super) serving: bool,
    pub(super) picks: u64,
    pub(super) in_flight: u64,
    pub(super) outcomes: Outcomes,
    pub(super) response_mean_ns: u64,
    pub(super) share: f64,
    /// The most in flight now, where response times decide.
    pub(super) limit: u64,
    /// The part of its weight that counts while it starts slowly.
    pub(super) slow_start: Option<f64>,
    /// Why it is observed so.
    pub(super) reason: Option<String>,
    pub(super) check: Option<Check>,
}

/// How a backend's check stands.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Check {
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) since_ms: u64,
    pub(super) probes: u64,
    pub(super) failed: u64,
    pub(super) failure: Option<String>,
    pub(super) failure_ago_ms: Option<u64>,
    pub(super) role: Option<String>,
    pub(super) lag_ms: Option<u64>,
    pub(super) lag_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcomes {
    pub(super) success: u64,
    pub(super) connect_failed: u64,
    pub(super) failed: u64,
    pub(super) timed_out: u64,
    pub(super) cancelled: u64,
}

impl Outcomes {
    /// What the backend is to blame for.
    pub(super) fn failures(&self) -> u64 {
        self.connect_failed + self.failed + self.timed_out
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Admin {
    pub(super) clients: u64,
    pub(super) followers: u64,
    pub(super) events: u64,
    pub(super) events_lost: u64,
}

/// One line of the events.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Event {
    pub(in crate::cli) event: String,
    pub(in crate::cli) unix_ms: u64,
    pub(in crate::cli) listener: Option<String>,
    pub(in crate::cli) pool: Option<String>,
    pub(in crate::cli) backend: Option<String>,
    pub(in crate::cli) node: Option<String>,
    pub(in crate::cli) value: Option<String>,
    pub(in crate::cli) detail: Option<String>,
}
