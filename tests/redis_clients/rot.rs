//! Bits that rot on the disk of a server while it runs: it tells of it, loses nothing, and opens again after a kill.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::folder::Folder;
use crate::process::{Running, until};
use crate::support::{Client, config};

/// Small segments that are read again twice a second, and no snapshot but of what is damaged.
const LINES: &str = "segment_bytes = \"64KiB\"\nvalue_max = \"4KiB\"\nsnapshot_bytes = \"1GiB\"\nscrub_interval = \"500ms\"\n\
                     scrub_bytes_per_second = \"1GiB\"\n";

fn connect(running: &Running) -> Client {
    let address = running.status()["store"]["clients"]["address"].as_str().expect("a text").to_owned();
    Client::connect(address.parse().expect("an address"))
}

fn ctl(running: &Running, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    let output =
        command.args(["ctl", "--admin", &running.admin()]).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn value(number: u32) -> String {
    format!("{number:04}").repeat(250)
}

fn fill(client: &mut Client, from: u32, to: u32) {
    for number in from..to {
        assert_eq!(client.ask(&format!("SET key{number} {}", value(number))), "+OK");
    }
}

fn check(client: &mut Client, to: u32) {
    for number in 0..to {
        assert_eq!(client.bytes(&format!("GET key{number}")), value(number).as_bytes(), "{number}");
    }
    assert_eq!(client.number("DBSIZE"), i64::from(to));
}

/// The first of its files of this kind.
fn first(dir: &Path, kind: &str) -> PathBuf {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == kind)).collect();
    files.sort();
    files.into_iter().next().expect("there is one")
}

/// In place, as rot does: the server has the file open.
fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    file.sync_all().unwrap();
}

/// Lets a file rot, and waits until that was found, told and mended, for the time numbered `time`.
fn rots(running: &Running, path: &Path, at: u64, time: usize) {
    flip(path, at);
    running.until_told("the damage and its end", |count| {
        count("store-damaged") >= time && count("store-mended") >= time
    });
    let told = running.details("store-damaged");
    let file = path.display().to_string();
    // Where the server looked only after a pass had found all good again it does not know any more where it was.
    let is_told = |it: &String| it.contains(&file) || it.starts_with("what was found is not there any more");
    assert!(told.iter().any(is_told), "{told:?}");
    assert!(
        told.iter().all(|it| it.ends_with("a snapshot of what is in memory takes its place")),
        "{told:?}"
    );
    let sequence = running.status()["store"]["sequence"].as_u64().unwrap();
    let mended = running.told("store-mended")[time - 1]["value"].clone();
    let mended = mended.as_u64().or_else(|| mended.as_str()?.parse().ok()).expect("a sequence");
    assert!(mended > 0 && mended <= sequence, "{mended} of {sequence}");
    // A later pass finds all good, and the status says so.
    until("all is good", || running.status()["store"]["scrub"]["damage"].is_null());
    let scrub = &running.status()["store"]["scrub"];
    assert!(scrub["damages"].as_u64().unwrap() >= time as u64, "{scrub}");
    assert_eq!(scrub["mended"].as_u64(), Some(time as u64), "{scrub}");
    let shown = ctl(running, &["status"]);
    assert!(shown.contains("; found damaged ") && shown.contains(&format!(", mended {time}\n")), "{shown}");
    assert!(!shown.contains("damaged on disk"), "{shown}");
}

#[test]
fn a_segment_and_a_snapshot_that_rot_are_told_and_nothing_is_lost() {
    let folder = Folder::new();
    let dir = folder.file("data");
    let start = || Running::start(&config(&dir, 1, LINES), None);
    let running = start();
    let mut client = connect(&running);
    fill(&mut client, 0, 300);
    assert_eq!(running.count("store-damaged"), 0);

    // One that was written long ago.
    let segment = first(Path::new(&dir), "wal");
    rots(&running, &segment, 20_000, 1);
    until("the file is gone", || !segment.exists());
    check(&mut client, 300);
    fill(&mut client, 300, 320);
    // The one that stands for it.
    rots(&running, &first(Path::new(&dir), "snapshot"), 100_000, 2);
    check(&mut client, 320);
    fill(&mut client, 320, 340);
    // Who asks later is told too.
    let told = ctl(&running, &["events", "--recent", "1000", "--no-follow"]);
    assert_eq!(told.matches("store-damaged").count(), running.count("store-damaged"), "{told}");
    assert!(told.contains("store-mended"), "{told}");

    // `kill -9`.
    drop((client, running));
    let running = start();
    let opening = &running.status()["store"]["opening"];
    assert_eq!((&opening["torn"], &opening["was_closed"]), (&Value::Null, &false.into()), "{opening}");
    let mut client = connect(&running);
    check(&mut client, 340);
    fill(&mut client, 340, 350);
    until("all was read again", || {
        running.status()["store"]["scrub"]["passes"].as_u64().is_some_and(|passes| passes > 1)
    });
    assert_eq!((running.count("store-damaged"), running.count("store-failed")), (0, 0));
    running.end();
}
