//! A file system without room.

use std::fs;
use std::path::Path;
use std::time::Duration;

use trimtab::Error;
use trimtab::store::log::{Epoch, Sequence};
use trimtab::wal::Mode;

use crate::support::{Folder, child_on_small_disk, open_checked, payload, run, small, soon};

const BYTES: u64 = 2 << 20;

pub(super) fn fill(dir: &Path) {
    let (wal, _, _) = open_checked(dir, small(), Mode::Threads);
    fs::write(dir.join("filler"), vec![1; 1 << 20]).expect("there is room for the filler");
    let mut last = Sequence(0);
    let refused = loop {
        let bytes = payload(last.next());
        match wal.append(Epoch(1), 0, &bytes, Some(soon())) {
            Ok(appended) => last = appended.sequence,
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, Error::Io { code: 28, .. }), "{refused}");
    assert!(refused.to_string().contains("appends are taken again when there is room"), "{refused}");
    assert!(last.0 > 1_000, "{last}");

    // What was taken is durable before long, and can be read.
    let ticket = wal.inspect(trimtab::store::log::Log::last_ticket);
    wal.wait_durable(ticket, soon()).expect("what was taken has room");
    let mut next = Sequence(1);
    wal.read(Sequence(1), last, |entry| {
        assert_eq!((entry.sequence, entry.payload), (next, &payload(next)[..]));
        next = next.next();
        true
    })
    .expect("it can be read");
    assert_eq!(next, last.next());

    // Another opening finds all of it, on the full disk, and refuses as well.
    drop(wal);
    let (wal, report, _) = open_checked(dir, small(), Mode::Threads);
    assert_eq!(report.last, last);
    let refused = loop {
        match wal.append(Epoch(1), 0, &payload(wal.state().last.next()), Some(soon())) {
            Ok(appended) => last = appended.sequence,
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, Error::Io { code: 28, .. }), "{refused}");

    // With room, without a restart.
    fs::remove_file(dir.join("filler")).expect("the filler goes");
    let deadline = soon();
    let appended = loop {
        match wal.append_durable(Epoch(1), 0, &payload(last.next()), deadline) {
            Ok(appended) => break appended,
            // The log asks again by itself, every 10 ms.
            Err(Error::Io { code: 28, .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
        assert!(trimtab::time::Clock.now() < deadline, "there is room, and appends are refused");
    };
    assert_eq!(appended.sequence, last.next());
    wal.close(0).expect("it closes");
    let (_, report, _) = open_checked(dir, small(), Mode::Inline);
    assert!(report.is_closed && report.last == appended.sequence, "{report:?}");
}

#[test]
fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let folder = Folder::new("room");
    run(child_on_small_disk("fill", folder.path(), BYTES));
}

#[test]
fn a_log_without_room_makes_some_to_say_that_it_is_closed() {
    for mode in [Mode::Inline, Mode::Threads] {
        let folder = Folder::new("closing");
        let (wal, _, _) = open_checked(folder.path(), small(), mode);
        let mut last = Sequence(0);
        let refused = loop {
            match wal.append(Epoch(1), 0, &payload(last.next()), None) {
                Ok(appended) => last = appended.sequence,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Capacity { .. }), "{refused}");
        wal.close(0).expect("it closes");
        let (_, report, _) = open_checked(folder.path(), small(), Mode::Inline);
        assert!(report.is_closed && report.last == last, "{report:?}");
    }
}
