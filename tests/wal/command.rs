//! `trimtab wal` as an operator runs it.

use std::path::Path;
use std::process::{Command, Output};

use trimtab::store::log::snapshot_format::SnapshotHeader;
use trimtab::store::log::{Epoch, File, Sequence, SnapshotWriter};
use trimtab::wal::{FileDisk, Mode};

use crate::support::{Folder, IDENTITY, open_checked, payload, small, soon};

fn wal(arguments: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .arg("wal")
        .args(arguments)
        .arg(dir)
        .output()
        .expect("the command is built")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn written(name: &str, entries: u64) -> Folder {
    let folder = Folder::new(name);
    let (wal, _, _) = open_checked(folder.path(), small(), Mode::Inline);
    for sequence in 1..=entries {
        wal.append_durable(Epoch(1), 7, &payload(Sequence(sequence)), soon()).expect("it is appended");
    }
    wal.close(0).expect("it closes");
    folder
}

/// Flips a bit of the entry's payload.
fn damage(folder: &Folder, sequence: Sequence) {
    let path = folder.path().join(File::Segment(1).to_string());
    let mut bytes = std::fs::read(&path).expect("it is there");
    let is_it = |at: &usize| bytes[at + 24..at + 32] == sequence.0.to_le_bytes() && bytes[at + 40] == 1;
    let at = (8192..bytes.len() - 44).step_by(8).find(is_it).expect("it is in it");
    bytes[at + 44] ^= 1;
    std::fs::write(&path, bytes).expect("it can be written");
}

#[test]
fn a_whole_log_is_told() {
    let folder = written("whole", 12);
    let output = wal(&["check"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let told = out(&output);
    assert!(told.contains("entries 1 to 12, committed up to 0"), "{told}");
    assert!(told.ends_with("closed in order\ngood\n"), "{told}");
    let told: serde_json::Value =
        serde_json::from_str(&out(&wal(&["check", "--json"], folder.path()))).expect("one value");
    assert_eq!((&told["good"], &told["last"], &told["closed"]), (&true.into(), &12.into(), &true.into()));
    assert_eq!(told["node"], 1, "{told}");

    let output = wal(&["dump", "--from", "11"], folder.path());
    let lines = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(lines.lines().filter(|line| line.contains(" entry ")).count(), 2, "{lines}");
    let json = out(&wal(&["dump", "--json", "--payload"], folder.path()));
    let entries: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("a value a line")).collect();
    let second = entries.iter().find(|it| it["kind"] == "entry" && it["sequence"] == 2).expect("it is there");
    let digits: String = payload(Sequence(2)).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&second["payload"], &second["clock_ms"]), (&digits.into(), &7.into()));
    assert_eq!(out(&wal(&["repair"], folder.path())), "good: there is nothing to repair\n");
}

#[test]
fn a_damaged_log_is_told_and_cut() {
    let folder = written("damaged", 12);
    damage(&folder, Sequence(9));
    let output = wal(&["check"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("0000000000000001.wal is damaged at byte "), "{}", err(&output));
    let told: serde_json::Value =
        serde_json::from_str(&out(&wal(&["check", "--json"], folder.path()))).expect("one value");
    assert!(told["good"] == false && told["damage"]["offset"].as_u64() > Some(8192), "{told}");
    let output = wal(&["dump"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output).lines().filter(|line| line.contains(" entry ")).count(), 8);

    let output = wal(&["repair"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("nothing was done"), "{}", out(&output));
    assert_eq!(wal(&["check"], folder.path()).status.code(), Some(1), "nothing was done");
    let output = wal(&["repair", "--yes"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("done: the last entry is 8"), "{}", out(&output));
    assert!(folder.path().join("damaged/0000000000000001.wal").exists());
    assert_eq!(wal(&["check"], folder.path()).status.code(), Some(0));
    let (log, report, _) = open_checked(folder.path(), small(), Mode::Inline);
    assert_eq!(report.last, Sequence(8));
    log.append_durable(Epoch(1), 0, &payload(Sequence(9)), soon()).expect("it goes on");
    drop(log);
    let (_, report, _) = open_checked(folder.path(), small(), Mode::Inline);
    assert_eq!(report.last, Sequence(9));
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = Folder::new("empty");
    let output = wal(&["check"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("there is no log in this directory"), "{}", err(&output));
    let output = wal(&["check"], &folder.path().join("nowhere"));
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("No such file or directory"), "{}", err(&output));
    let output = wal(&["inspect"], folder.path());
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_open_log_is_not_repaired() {
    let folder = written("open", 12);
    let (log, _, _) = open_checked(folder.path(), small(), Mode::Inline);
    damage(&folder, Sequence(9));
    let output = wal(&["repair", "--yes"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("is open already"), "{}", err(&output));
    assert!(!folder.path().join("damaged").exists(), "nothing was done");
    drop(log);
}

#[test]
fn the_recorded_log_reads() {
    let output = wal(&["check"], &crate::golden::dir());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("node 3 of cluster 676f6c64656e"), "{}", out(&output));
    assert!(
        out(&output).contains("entries 1 to 4, committed up to 4\nsnapshot at entry 2\n"),
        "{}",
        out(&output)
    );
}

#[test]
fn damage_that_a_snapshot_stands_for_is_told_and_needs_no_repair() {
    let folder = Folder::new("covered");
    let (wal, _, _) = open_checked(folder.path(), small(), Mode::Inline);
    let mut sequence = 0;
    let second = folder.path().join(File::Segment(2).to_string());
    let started = || std::fs::read(&second).is_ok_and(|bytes| bytes[8_192..].iter().any(|byte| *byte != 0));
    while !started() {
        sequence += 1;
        wal.append_durable(Epoch(1), 7, &payload(Sequence(sequence)), soon()).expect("it is appended");
    }
    sequence += 1;
    wal.append_durable(Epoch(1), 7, &payload(Sequence(sequence)), soon()).expect("it is appended");
    drop(wal);
    damage(&folder, Sequence(2));
    assert_eq!(wal_check(&folder).0, Some(1), "nothing stands for it");
    // A snapshot that had its name when the process died.
    let disk = FileDisk::new(folder.path()).expect("it is there");
    let header =
        SnapshotHeader { identity: IDENTITY, sequence: Sequence(sequence), epoch: Epoch(1), clock_ms: 0 };
    let mut writer = SnapshotWriter::begin(&disk, header).expect("a snapshot");
    writer.data(&disk, b"state").expect("a snapshot");
    writer.finish(&disk).expect("a snapshot");
    drop(disk);
    let (code, told) = wal_check(&folder);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("0000000000000001.wal is damaged at byte "), "{told}");
    assert!(
        told.contains("the snapshot stands for all in it, and opening the log takes 1 segment away"),
        "{told}"
    );
    assert!(told.ends_with("good\n"), "{told}");
    let json: serde_json::Value = serde_json::from_str(&out(&wal_json(&folder))).expect("one value");
    assert_eq!((&json["good"], &json["covered"]["segments"]), (&true.into(), &1.into()), "{json}");
    let repair = self::wal(&["repair"], folder.path());
    assert_eq!(out(&repair), "good: there is nothing to repair\n");
}

fn wal_check(folder: &Folder) -> (Option<i32>, String) {
    let output = wal(&["check"], folder.path());
    (output.status.code(), out(&output))
}

fn wal_json(folder: &Folder) -> Output {
    wal(&["check", "--json"], folder.path())
}
