//! Learners that are fed by others than the primary.

use std::time::Instant;

use trimtab::embedded::{Call, ClusterEvent, ClusterOptions, Read, ReadLevel, Store};

use crate::support::{Cluster, LOCAL, PATIENCE};

/// `d` is fed by `b` or `c`, whichever is not primary, and `e` by `d`.
fn chain(options: &mut ClusterOptions) {
    let sources: &[&str] = match options.node.as_str() {
        "d" => &["b", "c"],
        "e" => &["d"],
        _ => &[],
    };
    options.feed_from = sources.iter().map(|name| name.parse().unwrap()).collect();
}

/// Who feeds a node, as a store knows it.
fn told(store: &Store, name: &str) -> Option<String> {
    let status = store.cluster().unwrap();
    status.nodes.iter().find(|node| node.name == name).and_then(|node| node.source.clone())
}

/// Waits until one of the nodes knows who feeds another. What nodes tell each other comes with the writes.
fn wait_told(cluster: &Cluster, at: usize, name: &str, source: &str) {
    let until = Instant::now() + PATIENCE;
    while told(cluster.store(at), name).as_deref() != Some(source) {
        assert!(Instant::now() < until, "{name} is not fed by {source}: {:?}", cluster.store(at).cluster());
        let all = Call { nodes: 5, timeout: Some(PATIENCE), ..Call::default() };
        cluster.store(cluster.primary()).put(b"told", b"", &all).unwrap();
    }
}

/// Waits until a store is fed by what is wanted.
fn wait_source(store: &Store, is_wanted: impl Fn(Option<&str>) -> bool) {
    let node = store.cluster().unwrap().node;
    let mut events = store.cluster_events().unwrap();
    loop {
        let source = told(store, &node);
        if is_wanted(source.as_deref()) {
            return;
        }
        events
            // One without a vote may be fed before it is told who is in the cluster.
            .find(PATIENCE, |event| {
                matches!(event, ClusterEvent::Source { .. } | ClusterEvent::Members { .. }).then_some(())
            })
            .unwrap_or_else(|error| panic!("it is fed by {source:?}: {error}: {:?}", store.cluster()));
    }
}

#[test]
fn learners_are_fed_along_a_chain_and_their_reads_keep_what_they_promise() {
    let cluster = Cluster::with(3, 2, chain);
    let primary = cluster.primary();
    let (d, e) = (cluster.store(3), cluster.store(4));
    // The first that is not primary. The second may do so before: it may have answered first.
    let feeder = if cluster.name(primary) == "b" { "c" } else { "b" };
    wait_source(d, |source| source == Some(feeder));
    wait_source(e, |source| source == Some("d"));
    for round in 0..50u32 {
        let done = cluster.store(primary).put(b"key", &round.to_le_bytes(), &Call::default()).unwrap();
        let read = Read { token: Some(done.position()), timeout: Some(PATIENCE), ..LOCAL };
        assert_eq!(*e.get_at(b"key", &read).unwrap().unwrap().value, round.to_le_bytes());
        // Of the primary's freshness, and of an age.
        assert_eq!(*e.get(b"key").unwrap().unwrap().value, round.to_le_bytes());
        let level = Some(ReadLevel::Replica { age_max: std::time::Duration::from_secs(5) });
        let read = Read { level, timeout: Some(PATIENCE), token: None };
        assert!(e.get_at(b"key", &read).unwrap().is_some());
    }
    // A learner counts among the nodes whose disks have it, also at the end of a chain.
    let call = Call { nodes: 5, timeout: Some(PATIENCE), ..Call::default() };
    let done = cluster.store(primary).put(b"all", b"of them", &call).unwrap();
    assert_eq!((done.nodes, done.is_degraded), (5, false));
    // Each end of a link in the chain, and the primary, say who feeds whom.
    wait_told(&cluster, primary, "e", "d");
    wait_told(&cluster, 3, "e", "d");
    wait_told(&cluster, primary, "d", feeder);
    assert_eq!(told(e, "a"), None);
}

#[test]
fn a_learner_whose_source_is_gone_goes_on_and_comes_back_to_it() {
    let mut cluster = Cluster::with(3, 2, chain);
    let primary = cluster.primary();
    wait_source(cluster.store(3), |source| source.is_some());
    wait_source(cluster.store(4), |source| source == Some("d"));
    cluster.drop(3);
    wait_source(cluster.store(4), |source| source.is_none());
    cluster.store(primary).put(b"key", b"without", &Call::default()).unwrap();
    cluster.wait_shown(4, b"key", b"without");
    cluster.open(3);
    wait_source(cluster.store(4), |source| source == Some("d"));
    let primary = cluster.primary();
    cluster.store(primary).put(b"key", b"again", &Call::default()).unwrap();
    cluster.wait_shown(4, b"key", b"again");
}

#[test]
fn a_chain_goes_on_under_another_primary() {
    let mut cluster = Cluster::with(3, 2, chain);
    let primary = cluster.primary();
    wait_source(cluster.store(4), |source| source == Some("d"));
    let epoch = cluster.epoch(primary);
    cluster.drop(primary);
    let next = cluster.primary_after(epoch);
    cluster.store(next).put(b"key", b"of another", &Call::default()).unwrap();
    cluster.wait_shown(3, b"key", b"of another");
    cluster.wait_shown(4, b"key", b"of another");
}
