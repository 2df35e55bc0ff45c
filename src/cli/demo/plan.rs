//! How much of everything: the figures of the demo, and what follows from them. Pure.

use std::time::Duration;

/// Clients that ask over a connection they keep.
pub(super) const KEPT_CLIENTS: usize = 6;
/// These, and those that connect anew for each request.
pub(super) const CLIENTS: usize = KEPT_CLIENTS + 3;
/// How often a client of either kind asks. Together 480 requests a second: enough to count, and little for
/// two cores.
pub(super) const KEPT_EVERY: Duration = Duration::from_millis(25);
pub(super) const FRESH_EVERY: Duration = Duration::from_micros(12_500);
/// Requests over one kept connection: half a second, so that a drained backend is soon without one.
pub(super) const KEPT_REQUESTS: u32 = 20;

/// The loops of the server: two, so that it is more than one, whatever machine it runs on.
pub(super) const WORKERS: u32 = 2;
pub(super) const BACKENDS: [&str; 3] = ["web-01", "web-02", "web-03"];

/// The nodes of the store: those that vote, and one that follows without a vote.
pub(super) const STORE_NODES: [&str; 4] = ["db-1", "db-2", "db-3", "db-4"];
pub(super) const VOTERS: usize = 3;
pub(super) const LEARNER: usize = 3;
/// What a replica shows is no older than this.
pub(super) const STALE_MAX: Duration = Duration::from_millis(500);
/// How often a time is written to the store, and read of the replica without a vote.
pub(super) const BEAT_EVERY: Duration = Duration::from_millis(20);

/// How long a backend works on an answer, so that there are requests on their way whenever it is stopped.
pub(super) const WORK: Duration = Duration::from_millis(4);

/// How long a client waits for anything before it takes it for lost. Far beyond what a busy machine needs:
/// nothing is to fail by being late.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a step waits, beyond its time, for what it needs to be judged by.
pub(super) const PATIENCE_OF_STEP: Duration = Duration::from_secs(30);
/// After so many failures in one step there is no more to learn.
pub(super) const FAILURES_MAX: u64 = 50;

/// By how many connections a backend's count may differ from an equal share, while all are up.
///
/// Round robin is exact on each worker, so at any time a backend is less than one connection off for each of
/// them. A client connects at most once at a time: so at the beginning of a step, and again at its end, at
/// most one connection for each client is given to a backend and not counted.
pub(super) const TOLERANCE: u64 = WORKERS as u64 + 2 * CLIENTS as u64;

/// Connections before equal shares are judged: so many that a share is twice the tolerance.
pub(super) const CONNECTIONS_FOR_SHARES: u64 = 2 * TOLERANCE * BACKENDS.len() as u64;
/// Counts the store takes after it was killed before that is judged.
pub(super) const COUNTS_AFTER_KILL: u64 = 30;
/// Reads of the replica after that, likewise.
pub(super) const READS_AFTER_KILL: u64 = 10;
/// Connections before it is judged that a backend got none of them.
pub(super) const CONNECTIONS_FOR_NONE: u64 = 30;

pub(super) const SECONDS_DEFAULT: u32 = 12;
pub(super) const SECONDS_MAX: u32 = 3600;

/// The time of a step that takes `weight` of `weights` parts of all `seconds`.
pub(super) fn step_time(seconds: u32, weight: u32, weights: u32) -> Duration {
    Duration::from_secs(seconds.into()) * weight / weights
}

/// Requests that all clients make in a second.
pub(super) fn requests_per_second() -> u32 {
    let rate = |clients: usize, every: Duration| clients as f64 / every.as_secs_f64();
    (rate(KEPT_CLIENTS, KEPT_EVERY) + rate(CLIENTS - KEPT_CLIENTS, FRESH_EVERY)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_fit_together() {
        assert_eq!(requests_per_second(), 480);
        let share = CONNECTIONS_FOR_SHARES / BACKENDS.len() as u64;
        assert!(TOLERANCE < share, "a backend that got nothing would pass");
        assert_eq!(step_time(12, 3, 12), Duration::from_secs(3));
        assert_eq!(step_time(SECONDS_MAX, 1, 2), Duration::from_secs(1800));
        assert_eq!(step_time(1, 1, 4), Duration::from_millis(250));
    }
}
