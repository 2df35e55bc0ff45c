//! A sync that fails: the store takes nothing more, reads go on, and what was answered is there when it is opened again.

use std::path::Path;
use std::time::Duration;

use trimtab::Error;
use trimtab::backup::{Options as BackupOptions, verify};
use trimtab::embedded::{Options, Store};

use crate::bad_disk::BadDisk;
use crate::support::{Folder, child, local, memory, run, small, value_of};

pub(crate) fn fail(dir: &Path, is_hosted: bool) {
    let options = || Options { is_hosted, ..small() };
    let disk = BadDisk::of_child();
    let (data, copy) = (dir.join("data"), dir.join("backup"));
    let store = Store::open(&data, options()).expect("it opens");
    for number in 0..10_u8 {
        store.put(&[number], b"answered", &local()).expect("syncs work");
    }
    store.backup(&copy, &BackupOptions::default()).expect("syncs work");
    store.put(b"later", b"answered", &local()).expect("syncs work");
    disk.set("fdatasync", "5");
    // First the backup's own: that is the backup's matter, unless the store has something to sync too.
    let error = store.backup(&copy, &BackupOptions::default()).expect_err("the sync fails");
    assert!(matches!(&error, Error::Io { code: 5, .. }), "{error}");
    assert!(error.to_string().contains("backup/"), "{error}");
    assert!(store.status().expect("it is open").failure.is_none());

    let last = store.status().expect("it is open").sequence;
    let waits = store.begin_wait_durable(last + 1).expect("it is open");
    let failed = store.put(b"lost", b"?", &local()).expect_err("the sync fails");
    assert!(matches!(&failed, Error::Io { code: 5, .. }), "{failed}");
    assert!(failed.to_string().contains("open it again"), "{failed}");
    // The disk is well again, and nobody believes it.
    disk.mend("fdatasync");
    for call in [memory(), local()] {
        assert_eq!(store.put(b"more", b"1", &call).expect_err("it has stopped"), failed);
    }
    assert_eq!(store.snapshot(None).expect_err("it has stopped"), failed);
    assert_eq!(waits.wait(Duration::ZERO).expect_err("it has stopped"), failed);
    assert_eq!(store.wait_durable(last + 1, None).expect_err("it has stopped"), failed);
    assert!(store.wait_durable(last, None).expect("that is on disk") >= last);
    assert_eq!(store.backup(&copy, &BackupOptions::default()).expect_err("it has stopped"), failed);
    assert_eq!(store.status().expect("it is open").failure, Some(failed.clone()));
    assert_eq!(value_of(&store, b"later"), Some(b"answered".to_vec()));
    assert_eq!(value_of(&store, b"lost"), None, "what was not answered was not seen");
    assert_eq!(store.close().expect_err("it has stopped"), failed);

    let store = Store::open(&data, options()).expect("it opens");
    for number in 0..10_u8 {
        assert_eq!(value_of(&store, &[number]), Some(b"answered".to_vec()));
    }
    assert_eq!(value_of(&store, b"later"), Some(b"answered".to_vec()));
    store.put(b"more", b"1", &local()).expect("it goes on");
    assert_eq!(verify(&copy).expect("it is as it was").last().0, 10);
    let report = store.backup(&copy, &BackupOptions::default()).expect("syncs work");
    assert!(report.sequence >= 12, "{}", report.sequence);
    store.close().expect("all is written");
}

#[test]
fn a_failed_sync_stops_the_store_and_loses_nothing() {
    for part in ["failing-sync", "failing-sync-hosted"] {
        let (folder, tools) = (Folder::new("sync"), Folder::new("shim"));
        let mut command = child(part, folder.path());
        command.envs(BadDisk::new(tools.path()).environment());
        run(command);
    }
}
