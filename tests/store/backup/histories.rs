//! Two histories of one store are never in one span of a backup.

use trimtab::Error;
use trimtab::backup::{self, Options, Point, RestoreOptions, backup_closed, read_manifest};
use trimtab::embedded::{Options as StoreOptions, Store};
use trimtab::wal::FileDisk;

use super::{content, restored, tiny};
use crate::support::{Folder, local, memory};

/// Segments as small as they get, and snapshots only when they are asked for.
fn quiet() -> StoreOptions {
    let mut options = tiny();
    options.engine.snapshot_bytes = 1 << 30;
    options
}

/// A backup of two entries, and one of the state after many more, of which the log has let go; and a store with the
/// same name and another history behind the second entry, at the sequence of that snapshot.
fn forked() -> (Folder, Folder, Folder, u64) {
    let (folder, backup, other) = (Folder::new("one"), Folder::new("backup"), Folder::new("other"));
    let store = Store::open(folder.path(), quiet()).expect("it opens");
    let identity = store.identity();
    for value in [b"1", b"2"] {
        store.put(b"a", value, &local()).expect("there is room");
    }
    store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    for number in 0..300_u32 {
        store.put(&(number % 60).to_be_bytes(), &[7; 100], &memory()).expect("there is room");
    }
    store.snapshot(None).expect("a snapshot is written");
    store.put(b"history", b"one", &local()).expect("there is room");
    let report = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!((report.sequence, report.snapshot, report.entries), (303, 303, 0));
    store.close().expect("all is written");
    let to = RestoreOptions { point: Point::Sequence(2), identity: Some(identity) };
    backup::restore(backup.path(), other.path(), &to).expect("it is restored");
    let store = Store::open(other.path(), quiet()).expect("it opens");
    for number in 0..301_u32 {
        store.put(&number.to_be_bytes(), b"another way", &memory()).expect("there is room");
    }
    assert_eq!(store.status().expect("it is open").applied, 303);
    store.close().expect("all is written");
    (folder, other, backup, 303)
}

#[test]
fn a_store_that_went_another_way_is_known_by_a_snapshot_too() {
    let (folder, other, backup, last) = forked();
    let refused = |error: Error| {
        assert!(error.to_string().contains(&format!("has another entry {last} than the backup")), "{error}");
    };
    // Also when there is nothing to add.
    refused(backup_closed(other.path(), backup.path(), &Options::default()).expect_err("another history"));
    let store = Store::open(other.path(), quiet()).expect("it opens");
    refused(store.backup(backup.path(), &Options::default()).expect_err("another history"));
    store.put(b"other", b"y", &local()).expect("there is room");
    for is_full in [false, true] {
        refused(store.backup(backup.path(), &Options { is_full }).expect_err("another history"));
    }
    store.close().expect("all is written");
    for is_full in [false, true] {
        let error = backup_closed(other.path(), backup.path(), &Options { is_full });
        refused(error.expect_err("another history"));
    }
    // The one that was backed up is known again, and goes on.
    let none = backup_closed(folder.path(), backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!((none.sequence, none.bytes), (last, 0));
    let store = Store::open(folder.path(), quiet()).expect("it opens");
    store.put(b"history", b"more", &local()).expect("there is room");
    let report = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!((report.sequence, report.snapshot, report.entries), (last + 1, 0, 1));
    assert_eq!(restored(backup.path(), Point::End).0, content(&store));
}

/// Earlier releases did not say of a snapshot what its last entry was.
#[test]
fn behind_a_snapshot_that_does_not_say_what_it_is_of_a_backup_begins_anew() {
    for is_closed in [false, true] {
        let (_folder, other, backup, last) = forked();
        let disk = FileDisk::new(backup.path()).expect("it is there");
        let mut manifest = read_manifest(backup.path()).expect("it is whole");
        manifest.parts.last_mut().expect("there are parts").last_payload_crc32c = None;
        manifest.write(&disk).expect("there is room");
        let store = Store::open(other.path(), quiet()).expect("it opens");
        let none = store.backup(backup.path(), &Options { is_full: true }).expect("there is nothing new");
        assert_eq!((none.sequence, none.bytes), (last, 0));
        store.put(b"other", b"y", &local()).expect("there is room");
        let there = content(&store);
        let report = match is_closed {
            false => store.backup(backup.path(), &Options::default()),
            true => {
                store.close().expect("all is written");
                backup_closed(other.path(), backup.path(), &Options::default())
            }
        };
        let report = report.expect("a backup is taken");
        assert_eq!((report.sequence, report.snapshot, report.entries), (last + 1, last + 1, 0));
        let spans = report.manifest.spans();
        let spans: Vec<_> = spans.iter().map(|span| (span.first, span.last)).collect();
        assert_eq!(spans, [(1, 2), (last, last), (last + 1, last + 1)]);
        let (before, _) = restored(backup.path(), Point::Sequence(last));
        assert_eq!((before.get(&b"history"[..]), before.len()), (Some(&b"one".to_vec()), 62));
        assert_eq!(restored(backup.path(), Point::End).0, there);
        // From there on it is known.
        drop(store);
        let store = Store::open(other.path(), quiet()).expect("it opens");
        store.put(b"other", b"z", &local()).expect("there is room");
        let report = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
        assert_eq!((report.snapshot, report.entries), (0, 1));
        assert_eq!(restored(backup.path(), Point::End).0, content(&store));
    }
}
