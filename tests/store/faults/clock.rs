//! A wall clock that steps back: time stands still in the store until the clock has caught up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trimtab::backup::{Options as BackupOptions, Point};
use trimtab::embedded::{PutOptions, Store};
use trimtab::store::index::{Lifetime, Timestamp};

use crate::support::{Folder, child, local, preloaded, run, small, value_of};

const BEHIND: Duration = Duration::from_secs(3_600);

fn clock_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_millis() as u64
}

pub(crate) fn step_back(dir: &Path) {
    let trigger = PathBuf::from(std::env::var_os("TRIMTAB_SHIM").expect("a child is told the trigger"));
    let (data, copy) = (dir.join("data"), dir.join("backup"));
    let store = Store::open(&data, small()).expect("it opens");
    let before = clock_ms();
    let soon = Lifetime::Until(Timestamp::from_millis(before + 1));
    let put = |key: &[u8], lifetime| {
        let options = PutOptions { lifetime, ..PutOptions::default() };
        store.put_with(key, b"1", &options, &local()).expect("there is room")
    };
    put(b"stays", Lifetime::Unbounded);
    put(b"expires", soon);
    while clock_ms() <= before + 1 {
        std::hint::spin_loop();
    }
    put(b"last", Lifetime::Unbounded);
    assert_eq!(value_of(&store, b"expires"), None);

    fs::write(&trigger, BEHIND.as_secs().to_string()).expect("the trigger can be made");
    assert!(clock_ms() < before, "the clock has stepped back");
    // What has expired stays so, writes go on, and bear the latest time before.
    assert_eq!(value_of(&store, b"expires"), None);
    let sequence = put(b"behind", Lifetime::Unbounded).version;
    assert_eq!(value_of(&store, b"behind"), Some(b"1".to_vec()));
    let status = store.status().expect("it is open");
    assert!(status.counts.clock_steps >= 1 && status.applied >= sequence, "{:?}", status.counts);
    let report = store.backup(&copy, &BackupOptions::default()).expect("a backup is taken");
    let span = report.manifest.spans()[0];
    assert!(span.first_ms >= before && span.last_ms >= span.first_ms, "{span:?}");
    store.close().expect("all is written");

    let store = Store::open(&data, small()).expect("it opens");
    let ahead = store.report().ahead_ms;
    assert!(ahead > 3_500_000 && ahead < 3_700_000, "{ahead}");
    for (key, value) in
        [(&b"stays"[..], Some(b"1".to_vec())), (b"expires", None), (b"last", Some(b"1".to_vec()))]
    {
        assert_eq!(value_of(&store, key), value);
    }
    let error = trimtab::backup::restore(
        &copy,
        dir.join("to"),
        &trimtab::backup::RestoreOptions { point: Point::Time(clock_ms()), identity: None },
    )
    .expect_err("by the store's clock it is later");
    assert!(error.to_string().contains("which holds the milliseconds"), "{error}");
    fs::remove_file(&trigger).expect("the trigger goes");
    let steps = store.status().expect("it is open").counts.clock_steps;
    store.put(b"again", b"1", &local()).expect("there is room");
    assert_eq!(store.status().expect("it is open").counts.clock_steps, steps, "the clock has caught up");
    store.close().expect("all is written");
}

#[test]
fn a_clock_that_steps_back_changes_nothing_that_was() {
    let (folder, tools) = (Folder::new("clock"), Folder::new("shim"));
    let mut command = child("step-back", folder.path());
    preloaded(&mut command, "tests/store/faults/clock.c", &tools);
    run(command);
}
