//! Processes that back up, and that restore, are killed again and again. `TRIMTAB_STORE_ROUNDS=N` has them killed so
//! often.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use trimtab::backup::{Options, Point, verify};
use trimtab::embedded::Store;
use trimtab::rng::Rng;
use trimtab::store::index::{Condition, Lifetime, OnRefusal, Step, Transaction};

use super::{content, restore, restored, tiny};
use crate::support::{Folder, LONG, child, memory};

const ROUNDS: u64 = 40;

fn rounds() -> u64 {
    std::env::var("TRIMTAB_STORE_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"))
}

fn say(line: &str) {
    // One write: what is killed in between has not said it.
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("the parent reads");
}

/// Counts up and backs up until it is killed; says how far each backup goes.
pub(crate) fn back_up(dir: &Path) {
    let store = Store::open(dir.join("store"), tiny()).expect("the store opens");
    let mut rng = Rng::new(u64::from(std::process::id()));
    loop {
        for _ in 0..rng.below(40) {
            let filler = vec![b'.'; rng.below(300) as usize];
            let key = format!("{:02}", rng.below(100));
            let put = Step::Put {
                key: key.as_bytes(),
                value: &filler,
                condition: Condition::Always,
                lifetime: Lifetime::Unbounded,
                previous: false,
            };
            let then = vec![put, Step::Increment { key: b"count", by: 1 }];
            let both =
                Transaction { conditions: vec![], then, otherwise: vec![], on_refusal: OnRefusal::Abort };
            store.transaction(both, &memory()).expect("there is room");
        }
        if rng.below(5) == 0 {
            store.snapshot(None).expect("a snapshot is written");
        }
        let options = Options { is_full: rng.below(5) == 0 };
        let report = store.backup(dir.join("backup"), &options).expect("a backup is taken");
        say(&format!("backed up {}", report.sequence));
    }
}

/// Restores once, after it has said that it begins.
pub(crate) fn restore_once(dir: &Path) {
    say("begins");
    restore(&dir.join("backup"), &dir.join("to"), Point::End).expect("it is restored");
}

/// Starts a child, reads lines until `enough` says so, and kills it when `moment` returns. Gives all it said.
fn kill_after(
    part: &str,
    dir: &Path,
    moment: impl FnOnce(),
    enough: &mut dyn FnMut(&str) -> bool,
) -> Vec<String> {
    let mut process =
        child(part, dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the child starts");
    let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
    let mut said = Vec::new();
    for line in lines.by_ref() {
        let line = line.expect("it is text");
        let is_enough = enough(&line);
        said.push(line);
        if is_enough {
            break;
        }
    }
    moment();
    process.kill().expect("it was started");
    process.wait().expect("it ends");
    said.extend(lines.map(|line| line.expect("it is text")));
    said
}

/// Whether an addition has begun a file and not named it.
fn is_amidst(backup: &Path) -> bool {
    let names = std::fs::read_dir(backup).expect("it is there");
    names.into_iter().any(|name| {
        let name = name.expect("it is read").file_name();
        matches!(Path::new(&name).extension(), Some(kind) if kind == "unfinished" || kind == "next")
    })
}

#[test]
fn a_backup_survives_whoever_takes_it() {
    let folder = Folder::new("killed");
    let backup = folder.path().join("backup");
    let mut rng = Rng::new(rounds());
    let mut told = 0;
    let mut unfinished = 0;
    for round in 0..rounds() {
        let (mut count, wanted) = (0, 1 + rng.below(4));
        let delay = if round % 2 == 0 { Duration::ZERO } else { Duration::from_micros(rng.below(4_000)) };
        let moment = || {
            let deadline = Instant::now() + LONG;
            // As soon as a file is begun, or at any time.
            while round % 2 == 0 && !is_amidst(&backup) && Instant::now() < deadline {}
            std::thread::sleep(delay);
        };
        let said = kill_after("back-up", folder.path(), moment, &mut |line| {
            count += u64::from(line.starts_with("backed up "));
            count >= wanted
        });
        for line in said.iter().filter_map(|line| line.strip_prefix("backed up ")) {
            told = told.max(line.parse::<u64>().expect("a number"));
        }
        assert!(told > 0, "round {round}: {said:?}");
        unfinished += u64::from(is_amidst(&backup));
        let manifest = verify(&backup).expect("it is whole");
        assert!(manifest.last().0 >= told, "round {round}: {told} was told, {} is there", manifest.last());
        if round % 4 == 0 {
            let (content, sequence) = restored(&backup, Point::End);
            assert_eq!(sequence, manifest.last().0);
            // Each entry counts itself.
            let count = content.get(&b"count"[..]).map_or("0", |count| std::str::from_utf8(count).unwrap());
            assert_eq!(count.parse::<u64>().expect("a number"), sequence, "round {round}");
        }
    }
    assert!(rounds() < 40 || unfinished > 0, "none was killed midway");
}

#[test]
fn a_restore_that_was_killed_leaves_no_store_and_is_done_again() {
    let folder = Folder::new("killed");
    let (backup, to) = (folder.path().join("backup"), folder.path().join("to"));
    let store = Store::open(folder.path().join("store"), tiny()).expect("it opens");
    let mut whole = super::Content::new();
    for part in 0..3_u32 {
        for number in 0..1_000_u32 {
            store.put(&number.to_be_bytes(), &[part as u8; 100], &memory()).expect("there is room");
        }
        store.backup(&backup, &Options { is_full: part == 0 }).expect("a backup is taken");
        whole = content(&store);
    }
    let mut rng = Rng::new(rounds());
    let (mut midway, mut begun) = (0, 0);
    for round in 0..rounds() {
        let delay = Duration::from_micros(rng.below(4_000));
        let moment = || std::thread::sleep(delay);
        kill_after("restore", folder.path(), moment, &mut |line| line.ends_with("begins"));
        let is_midway = to.join("restoring").exists();
        let has_store = to.join("0000000000000001.wal").exists();
        if is_midway {
            let error = Store::open(&to, tiny()).expect_err("it is half");
            assert!(error.to_string().contains("did not finish"), "round {round}: {error}");
            midway += 1;
            if rng.below(2) == 0 {
                // The next child finds it so.
                continue;
            }
            restore(&backup, &to, Point::End).expect("it is restored");
        } else if !has_store {
            begun += 1;
            continue;
        }
        let store = Store::open(&to, tiny()).expect("it is whole");
        assert!(content(&store) == whole, "round {round}");
        drop(store);
        std::fs::remove_dir_all(&to).expect("it goes");
    }
    assert!(rounds() < 40 || midway > 0, "none was killed midway, {begun} before");
}
