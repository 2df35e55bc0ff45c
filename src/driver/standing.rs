//! [`Standing`]: what the checks of a pool know of its backends, for whoever asks. The worker that checks writes,
//! anybody reads; the lock is held for a few steps in memory.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use serde::Serialize;

use crate::balance::BackendId;
use crate::health::{Check, State};
use crate::time::Instant;

/// How one backend's check stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckStatus {
    /// What it asks.
    pub kind: &'static str,
    /// What it knows: unknown, up or down.
    pub state: &'static str,
    /// For how long, in milliseconds.
    pub since_ms: u64,
    /// Good verdicts in a row.
    pub good_in_a_row: u32,
    /// Bad verdicts in a row.
    pub bad_in_a_row: u32,
    /// Probes begun.
    pub probes: u64,
    /// Probes that were bad, timeouts included.
    pub failed: u64,
    /// Where the last bad verdict came from: connection, timeout, answer, requirement or agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_source: Option<&'static str>,
    /// Why, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How long ago that was, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_ago_ms: Option<u64>,
    /// Whether it takes writes: primary or replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// How far a replica is behind, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// The same in bytes of log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
}

/// The checks of one pool.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    checks: Mutex<BTreeMap<BackendId, Noted>>,
    /// Backends that a session could not reach since the worker that checks last looked.
    suspects: Mutex<BTreeSet<BackendId>>,
}

/// Times as they are, since their distance from now is what is shown.
#[derive(Debug)]
struct Noted {
    status: CheckStatus,
    since: Instant,
    failed: Option<Instant>,
}

impl Standing {
    /// Writes down how a backend's check stands.
    pub(crate) fn note(&self, backend: BackendId, check: &Check) {
        let (good_in_a_row, bad_in_a_row) = check.in_a_row();
        let (counts, facts, failure) = (check.counts(), check.facts(), check.last_failure());
        let status = CheckStatus {
            kind: check.settings().options().kind.name(),
            state: match check.state() {
                State::Unknown => "unknown",
                State::Up => "up",
                State::Down => "down",
            },
            since_ms: 0,
            good_in_a_row,
            bad_in_a_row,
            probes: counts.started,
            failed: counts.bad,
            failure_source: failure.map(|failure| failure.reason.source().name()),
            failure: failure.map(|failure| failure.reason.text().to_string()),
            failure_ago_ms: None,
            role: facts.role.map(|role| role.name()),
            lag_ms: facts.lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
            lag_bytes: facts.lag_bytes,
        };
        let noted = Noted { status, since: check.since(), failed: failure.map(|failure| failure.at) };
        self.checks.lock().insert(backend, noted);
    }

    /// A session could not reach this backend. `true` for the first since they were last taken: the worker that
    /// checks is to be told.
    pub(crate) fn suspect(&self, backend: BackendId) -> bool {
        let mut suspects = self.suspects.lock();
        let is_first = suspects.is_empty();
        suspects.insert(backend);
        is_first
    }

    /// The backends that sessions could not reach since the last time.
    pub(crate) fn take_suspects(&self) -> BTreeSet<BackendId> {
        std::mem::take(&mut *self.suspects.lock())
    }

    /// A backend is gone.
    pub(crate) fn forget(&self, backend: BackendId) {
        self.checks.lock().remove(&backend);
    }

    /// How a backend's check stands; `None` before its first verdict, and when there is no check.
    pub(crate) fn of(&self, backend: BackendId, now: Instant) -> Option<CheckStatus> {
        let ago = |then: Instant| now.nanos_since(then) / 1_000_000;
        let checks = self.checks.lock();
        checks.get(&backend).map(|noted| CheckStatus {
            since_ms: ago(noted.since),
            failure_ago_ms: noted.failed.map(ago),
            ..noted.status.clone()
        })
    }
}
