//! What opening its store finds, as a server tells it: in its events, in its status, and by `trimtab ctl status`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use trimtab::store::engine::{self, Durability, Now};
use trimtab::store::index::{Command as Write, Condition, Lifetime, Operation, Step, Timestamp};
use trimtab::store::log::{Disk, Identity};
use trimtab::time::Instant;
use trimtab::wal::FileDisk;

use crate::folder::Folder;
use crate::process::Running;
use crate::support::Client;

fn config(dir: &str) -> String {
    format!("[runtime]\nworkers = 1\n[store]\ndir = {dir:?}\nresp = \"127.0.0.1:0\"\n")
}

fn connect(running: &Running) -> Client {
    let address = running.status()["store"]["clients"]["address"].as_str().expect("a text").to_owned();
    Client::connect(address.parse().expect("an address"))
}

fn ctl_status(running: &Running) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(["ctl", "--admin", &running.admin(), "status"])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The segment that was written to last, and its last byte that is not 0.
fn end_of_log(dir: &Path) -> (PathBuf, usize) {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|it| it == "wal"));
    let written = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        // What a segment begins with is in one that has no records yet, too.
        let end = bytes.iter().rposition(|byte| *byte != 0).filter(|end| *end >= 8_192)?;
        Some((path, end))
    };
    segments.filter_map(written).max().expect("something was written")
}

#[test]
fn a_torn_tail_is_told_by_the_command() {
    let folder = Folder::new();
    let dir = folder.file("data");
    let running = Running::start(&config(&dir), None);
    let mut client = connect(&running);
    for number in 0..20 {
        assert_eq!(client.ask(&format!("SET key{number} value")), "+OK");
    }
    // `kill -9`, and the last sector did not come to disk.
    drop(running);
    let (segment, end) = end_of_log(Path::new(&dir));
    let mut bytes = fs::read(&segment).unwrap();
    bytes[end] ^= 0xff;
    fs::write(&segment, bytes).unwrap();

    let running = Running::start(&config(&dir), None);
    let told = running.details("store-opened");
    let file = segment.display().to_string();
    assert!(told.len() == 1 && told[0].starts_with("a torn tail was cut off: "), "{told:?}");
    assert!(told[0].contains(&file), "{told:?}");
    let opening = &running.status()["store"]["opening"];
    let torn = &opening["torn"];
    assert_eq!((&torn["file"], &opening["was_closed"]), (&file.clone().into(), &false.into()));
    let (offset, bytes) = (torn["offset"].as_u64().unwrap(), torn["bytes"].as_u64().unwrap());
    assert!(offset <= end as u64 && offset + bytes > end as u64, "{torn}: {end}");
    assert!(opening["replayed"].as_u64().unwrap() >= 19, "{opening}");
    let shown = ctl_status(&running);
    let line = format!("  opening cut a torn tail off: {bytes} bytes behind byte {offset} of {file}\n");
    assert!(shown.contains(&line) && shown.contains("from the log, not closed before\n"), "{shown}");
    let mut client = connect(&running);
    assert_eq!(client.ask("EXISTS key18 key19"), ":1");
    assert_eq!(client.ask("SET key19 value"), "+OK");
    running.end();

    // Once something is written where it was, it is gone.
    let running = Running::start(&config(&dir), None);
    assert_eq!(running.details("store-opened"), [""; 0]);
    let opening = &running.status()["store"]["opening"];
    assert_eq!((&opening["torn"], &opening["was_closed"]), (&serde_json::Value::Null, &true.into()));
    assert!(ctl_status(&running).contains("from the log, closed in order before\n"));
    running.end();
}

#[test]
fn a_clock_that_is_behind_is_told_by_the_command() {
    let folder = Folder::new();
    let dir = folder.file("data");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hour_ms = 3_600_000;
    let clock = Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap() + hour_ms);
    let now = Now { instant: Instant::START, clock };
    {
        let disk = FileDisk::new(&dir).unwrap();
        let identity = Identity { cluster: [7; 16], node: 1 };
        let (mut engine, _) = engine::open(&disk, engine::Options::default(), identity, 1, now).unwrap();
        let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
        let step = Step::Put { key: b"key", value: b"1", condition, lifetime, previous: false };
        let write = Write { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
        engine.submit(&write, Some(Durability::Local), now).unwrap();
        loop {
            if let Some(flush) = engine.poll_flush() {
                let result = flush.run(&disk);
                engine.handle_flushed(flush, result, |file| disk.name(file));
            } else if let Some(work) = engine.poll_upkeep() {
                let result = work.run(&disk);
                engine.handle_upkeep(&work, result, now.instant, |file| disk.name(file));
            } else {
                break;
            }
        }
        assert!(engine.poll_completion().is_some_and(|done| done.result.is_ok()));
    }
    let running = Running::start(&config(&dir), None);
    let told = running.details("store-opened");
    assert!(
        told.len() == 1 && told[0].starts_with("the clock is ") && told[0].contains(" ms behind"),
        "{told:?}"
    );
    let ahead = running.status()["store"]["opening"]["ahead_ms"].as_u64().unwrap();
    assert!(ahead > hour_ms / 2 && ahead <= hour_ms, "{ahead}");
    let mut client = connect(&running);
    // Time stands still, and each write counts as one for which it did.
    assert_eq!(client.ask("SET key 2"), "+OK");
    assert!(running.status()["store"]["clock_steps"].as_u64().unwrap() >= 1);
    let shown = ctl_status(&running);
    assert!(
        shown.contains(&format!("  opening found the clock {ahead} ms behind the latest time")),
        "{shown}"
    );
    running.end();
}

#[test]
fn what_was_counted_is_shown() {
    let folder = Folder::new();
    let lines = "memory_max = \"64KiB\"\neviction = \"lru\"\nscrub_interval = \"1ms\"\n";
    let running = Running::start(&format!("{}{lines}", config(&folder.file("data"))), None);
    let mut client = connect(&running);
    let value = "v".repeat(1_000);
    for number in 0..200 {
        assert_eq!(client.ask(&format!("SET key{number} {value}")), "+OK");
    }
    assert_eq!(client.ask("SET brief 1 PX 1"), "+OK");
    crate::process::until("it has expired, keys have gone, and all was read again", || {
        let store = &running.status()["store"];
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        number(&store["evictions"]) > 0
            && number(&store["expiries"]) > 0
            && number(&store["scrub"]["passes"]) > 0
            && number(&store["scrub"]["verified_bytes"]) > 0
    });
    let scrub = &running.status()["store"]["scrub"];
    assert_eq!((&scrub["damages"], &scrub["damage"]), (&0.into(), &serde_json::Value::Null));
    let shown = ctl_status(&running);
    assert!(shown.contains("  read again ") && shown.contains(" found good\n"), "{shown}");
    running.end();
}
