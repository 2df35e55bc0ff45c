//! What was observed, since when and why.

use std::sync::{Arc, Mutex};

use trimtab::balance::observation::REASON_MAX;
use trimtab::balance::{Change, ChangeKind, Observed, Observer, Options, Request};
use trimtab::time::Instant;

use crate::support::*;

/// What changed and why.
type Changes = Vec<(ChangeKind, Option<String>)>;

/// Keeps them.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Changes>>);

impl Observer for Told {
    fn handle_room(&self) {}

    fn handle_change(&self, change: &Change) {
        let reason = change.reason.as_deref().map(String::from);
        self.0.lock().unwrap().push((change.kind, reason));
    }
}

#[test]
fn the_reason_is_in_statistics_explain_and_changes() {
    let (pool, ids) = pool(Options::default(), &[1, 1]);
    let told = Told::default();
    assert!(pool.observe(Box::new(told.clone())));
    let down = Instant::from_millis(7);
    pool.set_observed_with(ids[0], Observed::Down, "connection refused", down).unwrap();

    let statistics = pool.backend(ids[0]).unwrap();
    assert_eq!(statistics.observed, Observed::Down);
    assert_eq!(statistics.observed_since_ns, Some(down.as_nanos()));
    assert_eq!(statistics.reason.as_deref(), Some("connection refused"));
    let why = pool.explain(&Request { lane: LANE, now: NOW, ..Request::default() }).unwrap();
    assert_eq!(why.backends[0].reason.as_deref(), Some("connection refused"));
    assert_eq!(why.backends[0].observed_since_ns, Some(down.as_nanos()));
    assert_eq!((&why.backends[1].reason, why.backends[1].observed_since_ns), (&None, None));

    // The same state for another reason is no change of state.
    pool.set_observed_with(ids[0], Observed::Down, "timed out", NOW).unwrap();
    let statistics = pool.backend(ids[0]).unwrap();
    assert_eq!(statistics.reason.as_deref(), Some("timed out"));
    assert_eq!(statistics.observed_since_ns, Some(down.as_nanos()));
    pool.set_observed_at(ids[0], Observed::Up, NOW).unwrap();
    let statistics = pool.backend(ids[0]).unwrap();
    assert_eq!((statistics.reason, statistics.observed_since_ns), (None, Some(NOW.as_nanos())));
    pool.set_weight(ids[0], 3).unwrap();

    let expected = [
        (ChangeKind::Observed(Observed::Down), Some("connection refused".to_string())),
        (ChangeKind::Observed(Observed::Up), None),
        (ChangeKind::Weight(3), None),
    ];
    assert_eq!(*told.0.lock().unwrap(), expected);
}

#[test]
fn a_reason_a_peer_sent_is_cut_and_cleaned() {
    let (pool, ids) = pool(Options::default(), &[1]);
    let sent = format!("bad\r\nanswer \u{1b}[31m{}", "é".repeat(1_000));
    pool.set_observed_with(ids[0], Observed::Down, &sent, NOW).unwrap();
    let reason = pool.backend(ids[0]).unwrap().reason.unwrap();
    assert!(reason.len() <= REASON_MAX && !reason.chars().any(char::is_control), "{reason:?}");
    assert!(reason.starts_with("bad··answer ·[31mé") && reason.ends_with('…'), "{reason:?}");
}
