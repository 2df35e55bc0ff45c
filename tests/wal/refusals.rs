//! What is not opened, and why it says so.

use std::path::Path;
use std::process::Command;

use trimtab::Error;
use trimtab::store::log::{Epoch, File, Identity, Options, Sequence};
use trimtab::wal::{Mode, Wal};

use crate::support::{Folder, IDENTITY, child_on_small_disk, open_checked, payload, run, small, soon};

fn refused(dir: &Path, options: Options, identity: Identity) -> Error {
    match Wal::open(dir, options, identity, Mode::Inline, &mut |_, _| {}) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

fn written() -> Folder {
    let folder = Folder::new("refusals");
    let (wal, _, _) = open_checked(folder.path(), small(), Mode::Inline);
    for sequence in 1..=20 {
        wal.append_durable(Epoch(1), 0, &payload(Sequence(sequence)), soon()).expect("it is appended");
    }
    wal.close(0).expect("it closes");
    folder
}

#[test]
fn a_log_that_is_open_already() {
    let folder = Folder::new("twice");
    let (wal, _, _) = open_checked(folder.path(), small(), Mode::Threads);
    let error = refused(folder.path(), small(), IDENTITY);
    assert!(matches!(&error, Error::State { what: "log", .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(wal);
    open_checked(folder.path(), small(), Mode::Threads);
}

#[test]
fn a_log_that_is_open_though_its_lock_file_is_gone() {
    let folder = Folder::new("unlocked");
    let (wal, _, _) = open_checked(folder.path(), small(), Mode::Inline);
    wal.append_durable(Epoch(1), 0, &payload(Sequence(1)), soon()).expect("it is appended");
    let lock = folder.path().join(File::Lock.to_string());
    std::fs::remove_file(&lock).expect("it is there");
    for _ in 0..2 {
        // The second time there is another file.
        let error = refused(folder.path(), small(), IDENTITY);
        assert!(matches!(&error, Error::State { what: "log", .. }), "{error}");
        assert!(
            error.to_string().contains("lock is held (by another, whose lock on the directory stays"),
            "{error}"
        );
    }
    assert!(lock.exists());
    wal.append_durable(Epoch(1), 0, &payload(Sequence(2)), soon()).expect("it goes on");
    drop(wal);
    let (_, report, _) = open_checked(folder.path(), small(), Mode::Inline);
    assert_eq!(report.last, Sequence(2));
}

#[test]
fn a_directory_of_another_cluster_node_or_make() {
    let folder = written();
    let other = Identity { cluster: [1; 16], ..IDENTITY };
    let error = refused(folder.path(), small(), other);
    assert!(matches!(&error, Error::InvalidArgument { what: "cluster", .. }), "{error}");
    let error = refused(folder.path(), small(), Identity { node: 2, ..IDENTITY });
    assert!(matches!(&error, Error::InvalidArgument { what: "node", .. }), "{error}");
    assert!(error.to_string().contains("belongs to node 1"), "{error}");
    let error = refused(folder.path(), small(), Identity { node: 0, ..IDENTITY });
    assert!(matches!(&error, Error::InvalidArgument { what: "node", .. }), "{error}");
    let error = refused(folder.path(), Options::default(), IDENTITY);
    assert!(matches!(&error, Error::InvalidArgument { what: "segment_bytes", .. }), "{error}");
    let (_, report, _) = open_checked(folder.path(), small(), Mode::Inline);
    assert!(report.is_closed && report.last == Sequence(20));
}

#[test]
fn a_segment_of_a_later_version() {
    let folder = written();
    let path = folder.path().join(File::Segment(1).to_string());
    let mut bytes = std::fs::read(&path).expect("it is there");
    bytes[8] = 2;
    std::fs::write(&path, bytes).expect("it can be written");
    let error = refused(folder.path(), small(), IDENTITY);
    assert!(matches!(&error, Error::Unsupported { what: "segment version", .. }), "{error}");
    assert!(error.to_string().contains("0000000000000001.wal has version 2"), "{error}");
}

#[test]
fn damage_before_the_end_names_file_and_offset() {
    let folder = written();
    let path = folder.path().join(File::Segment(1).to_string());
    let mut bytes = std::fs::read(&path).expect("it is there");
    // In the payload of one of the first entries.
    bytes[8192 + 200] ^= 0x10;
    std::fs::write(&path, &bytes).expect("it can be written");
    let error = refused(folder.path(), small(), IDENTITY);
    let Error::Corrupt(damage) = &error else { panic!("{error}") };
    assert_eq!(damage.file, path.display().to_string());
    assert!((8192..8192 + 200).contains(&damage.offset), "{error}");
    assert!(error.to_string().contains("trimtab wal repair"), "{error}");
    assert_eq!(std::fs::read(&path).expect("it is there"), bytes, "nothing was changed");
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let folder = Folder::new("torn");
    let (wal, _, _) = open_checked(folder.path(), small(), Mode::Inline);
    for sequence in 1..=20 {
        wal.append_durable(Epoch(1), 0, &payload(Sequence(sequence)), soon()).expect("it is appended");
    }
    let before = wal.disk().dir().join(File::Segment(1).to_string());
    drop(wal);
    let mut bytes = std::fs::read(&before).expect("it is there");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("there are records");
    bytes[end - 10..=end].fill(0);
    std::fs::write(&before, bytes).expect("it can be written");
    let (wal, report, _) = open_checked(folder.path(), small(), Mode::Inline);
    let torn = report.torn.expect("it is told");
    assert_eq!((report.last, torn.file), (Sequence(19), before.display().to_string()));
    assert!(torn.offset < end as u64 && torn.bytes > 44, "{} {}", torn.offset, torn.bytes);
    wal.append_durable(Epoch(1), 0, &payload(Sequence(20)), soon()).expect("it goes on");
    drop(wal);
    let (_, report, _) = open_checked(folder.path(), small(), Mode::Inline);
    assert_eq!((report.last, report.torn), (Sequence(20), None));
}

pub(super) fn read_only(dir: &Path) {
    let (wal, _, _) = open_checked(dir, small(), Mode::Inline);
    wal.append_durable(Epoch(1), 0, &payload(Sequence(1)), soon()).expect("it is appended");
    wal.close(0).expect("it closes");
    let done = Command::new("mount").args(["-o", "remount,ro"]).arg(dir).status().expect("mount can be run");
    assert!(done.success());
    let error = refused(dir, small(), IDENTITY);
    assert!(matches!(&error, Error::Io { code: 30, .. }), "{error}");
    assert!(error.to_string().contains("lock: Read-only file system"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_to() {
    let folder = Folder::new("read-only");
    run(child_on_small_disk("read-only", folder.path(), 4 << 20));
}
