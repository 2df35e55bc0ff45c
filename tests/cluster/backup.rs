//! Backups of a node that runs: what it had answered before is in them, however early that was.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use trimtab::Error;
use trimtab::backup::Options;
use trimtab::embedded::Call;
use trimtab::store::engine::Durability;

use crate::support::{Cluster, PATIENCE};

fn early(durability: Durability) -> Call {
    Call { durability: Some(durability), timeout: Some(PATIENCE), ..Call::default() }
}

#[test]
fn what_was_answered_before_it_was_committed_is_in_a_backup() {
    let cluster = Cluster::new(3, 0);
    let nodes = [cluster.primary(), cluster.replica()];
    for number in 0..60_u32 {
        let durability = if number % 2 == 0 { Durability::Memory } else { Durability::Local };
        for at in nodes {
            let store = cluster.store(at);
            let mut last = 0;
            for key in 0..20_u32 {
                let done = store.put(&key.to_be_bytes(), &number.to_be_bytes(), &early(durability)).unwrap();
                last = last.max(done.sequence);
            }
            let to = cluster.folder.path().join(format!("backup-{at}"));
            let report = store.backup(&to, &Options::default()).unwrap();
            assert!(report.sequence >= last, "{durability:?}: {} of {last}", report.sequence);
        }
    }
}

#[test]
fn without_a_quorum_a_backup_that_would_lack_what_was_answered_is_refused() {
    let mut cluster = Cluster::with(3, 0, |options| options.patience = Duration::from_millis(100));
    cluster.options.timeout = Duration::from_secs(2);
    (0..3).for_each(|at| {
        cluster.drop(at);
        cluster.open(at);
    });
    let primary = cluster.primary();
    let others = [(primary + 1) % 3, (primary + 2) % 3];
    let to = cluster.folder.path().join("backup");
    let store = cluster.store(primary).clone();
    store.put(b"key", b"1", &early(Durability::Quorum)).unwrap();
    store.backup(&to, &Options::default()).unwrap();
    // It answers at `local` as long as it may believe that it has its quorum.
    let (begun, begins) = mpsc::channel();
    let writer = thread::spawn(move || {
        let mut last = 0;
        while let Ok(done) = store.put(b"key", b"2", &early(Durability::Local)) {
            last = done.sequence;
            let _ = begun.send(());
        }
        last
    });
    begins.recv_timeout(PATIENCE).unwrap();
    others.iter().for_each(|at| cluster.drop(*at));
    let last = writer.join().unwrap();
    assert!(cluster.store(primary).cluster().unwrap().applied < last);
    let refused = cluster.store(primary).backup(&to, &Options::default()).unwrap_err();
    assert_eq!(refused, Error::NoQuorum);
    // Whatever becomes of it, with the others it is decided.
    others.iter().for_each(|at| cluster.open(*at));
    cluster.primary();
    let store = cluster.store(primary);
    let call = early(Durability::Quorum);
    let done = loop {
        match store.put(b"key", b"3", &call) {
            Ok(done) => break done,
            Err(error) => assert!(
                matches!(error, Error::NoQuorum | Error::Superseded | Error::UnknownOutcome),
                "{error}"
            ),
        }
    };
    assert!(store.backup(&to, &Options::default()).unwrap().sequence >= done.sequence);
}
