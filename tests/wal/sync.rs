//! A sync that fails: the log stops for good, and says so.

use std::path::Path;
use std::sync::mpsc;

use trimtab::Error;
use trimtab::store::log::{Epoch, Sequence};
use trimtab::wal::Mode;

use crate::bad_disk::BadDisk;
use crate::support::{Folder, child, open_checked, payload, run, small, soon};

pub(super) fn fail(dir: &Path) {
    let disk = BadDisk::of_child();
    let (wal, _, _) = open_checked(dir, small(), Mode::Threads);
    for sequence in 1..=10 {
        wal.append_durable(Epoch(1), 0, &payload(Sequence(sequence)), soon()).expect("syncs work");
    }
    disk.set("fdatasync", "5");
    let appended = wal.append(Epoch(1), 0, &payload(Sequence(11)), None).expect("it is taken");
    let (tell, told) = mpsc::channel();
    wal.on_durable(appended.ticket, Box::new(move |result| tell.send(result).expect("somebody listens")));
    let called_back = told.recv().expect("the callback is called").expect_err("the sync failed");
    let failed = wal.wait_durable(appended.ticket, soon()).expect_err("the sync failed");
    assert_eq!(called_back, failed);
    assert!(matches!(&failed, Error::Io { code: 5, .. }), "{failed}");
    assert!(failed.to_string().contains("open it again"), "{failed}");
    // The disk is well again, and nobody believes it.
    disk.mend("fdatasync");
    assert_eq!(wal.append(Epoch(1), 0, b"", None), Err(failed.clone()));
    assert_eq!(wal.durable().1, Sequence(10));
    let mut count = 0;
    wal.read(Sequence(1), Sequence(100), |_| {
        count += 1;
        true
    })
    .expect("what is durable can be read");
    assert_eq!(count, 10);
    assert_eq!(wal.close(0), Err(failed));
    let (wal, report, _) = open_checked(dir, small(), Mode::Threads);
    // The system has it, and the next opening takes it for what it is.
    assert!(report.last >= Sequence(10), "{report:?}");
    wal.append_durable(Epoch(1), 0, &payload(report.last.next()), soon()).expect("it goes on");
}

#[test]
fn a_failed_sync_stops_the_log_for_good() {
    let folder = Folder::new("sync");
    let tools = Folder::new("shim");
    let mut command = child("failing-sync", folder.path());
    command.envs(BadDisk::new(tools.path()).environment());
    run(command);
}
