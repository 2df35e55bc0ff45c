//! Bits that rot under a store that is open: they are found, told, and made up for from memory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use trimtab::Error;
use trimtab::embedded::{Options, Store};
use trimtab::store::engine;
use trimtab::store::log;

use crate::support::{Folder, LONG, local, value_of};

/// Small segments, and no snapshot that nobody asked for; read as fast as the disk gives.
fn options() -> Options {
    let log = log::Options { segment_bytes: 64 << 10, ..log::Options::default() };
    let engine = engine::Options { snapshot_bytes: 1 << 30, log, ..engine::Options::default() };
    Options {
        timeout: LONG,
        scrub_interval: None,
        scrub_bytes_per_second: 1 << 30,
        engine,
        ..Options::default()
    }
}

fn fill(store: &Store, from: u32, to: u32) {
    for number in from..to {
        store.put(&number.to_be_bytes(), &value(number), &local()).expect("there is room");
    }
}

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(250)
}

fn check(store: &Store, to: u32) {
    for number in 0..to {
        assert_eq!(value_of(store, &number.to_be_bytes()), Some(value(number)), "{number}");
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("it is there");
    bytes[at] ^= 4;
    // In place, as rot does: the store has the file open.
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("it is there");
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[at..=at], at as u64).expect("it is written");
    file.sync_all().expect("it is written");
}

fn one(dir: &Path, kind: &str) -> PathBuf {
    let entries = std::fs::read_dir(dir).expect("it is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it is read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|is| is == kind));
    paths.sort();
    paths.into_iter().next().expect("there is one")
}

fn found(store: &Store, path: &Path) -> u64 {
    let error = store.scrub(None).expect_err("it has rotted");
    let Error::Corrupt(damage) = &error else { panic!("{error}") };
    assert_eq!(damage.file, path.display().to_string(), "{error}");
    let status = store.status().expect("it is open").scrub;
    assert_eq!((status.damage.as_ref(), status.damages >= 1), (Some(&error), true));
    assert!(status.passes >= 1 && status.finished_ms > 0);
    damage.offset
}

/// Waits until there is another snapshot than so many.
fn wait_snapshot(store: &Store, written: u64) {
    let deadline = Instant::now() + LONG;
    while store.status().expect("it is open").counts.snapshots == written {
        assert!(Instant::now() < deadline, "no snapshot is written");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_log_that_rots_is_told_and_a_snapshot_stands_for_it() {
    let folder = Folder::new("rot");
    let store = Store::open(folder.path(), options()).expect("it opens");
    fill(&store, 0, 300);
    store.scrub(None).expect("all is good");
    let before = store.status().expect("it is open");
    assert!(before.scrub.verified_bytes > 300_000 && before.snapshot == 0, "{:?}", before.scrub);
    let path = one(folder.path(), "wal");
    flip(&path, 20_000);
    let offset = found(&store, &path);
    assert!((18_000..=20_000).contains(&offset), "{offset}");
    // Everything goes on.
    check(&store, 300);
    fill(&store, 300, 310);
    // What has rotted goes, since a snapshot of what is in memory takes its place.
    store.snapshot(None).expect("a snapshot is written");
    fill(&store, 310, 320);
    store.scrub(None).expect("nothing is left of it");
    let status = store.status().expect("it is open");
    assert!(status.snapshot > 0 && status.scrub.damage.is_none() && status.scrub.damages == 1);
    store.close().expect("all is written");
    check(&Store::open(folder.path(), options()).expect("it opens"), 320);
}

#[test]
fn a_snapshot_that_rots_is_written_again() {
    let folder = Folder::new("rot");
    let store = Store::open(folder.path(), options()).expect("it opens");
    fill(&store, 0, 300);
    store.snapshot(None).expect("a snapshot is written");
    let path = one(folder.path(), "snapshot");
    flip(&path, 100_000);
    let written = store.status().expect("it is open").counts.snapshots;
    found(&store, &path);
    check(&store, 300);
    // Nothing was written since, and even so there is another one, of the same sequence.
    wait_snapshot(&store, written);
    assert_eq!(one(folder.path(), "snapshot"), path);
    store.scrub(None).expect("it is good again");
    store.close().expect("all is written");
    check(&Store::open(folder.path(), options()).expect("it opens"), 300);
}

#[test]
fn files_that_are_taken_away_are_missed_and_made_up_for() {
    // The oldest of several segments, the snapshot, and the one segment that is written to.
    for (kind, before) in [("wal", 150), ("snapshot", 150), ("wal", 290)] {
        let folder = Folder::new("rot");
        let store = Store::open(folder.path(), options()).expect("it opens");
        fill(&store, 0, before);
        store.snapshot(None).expect("a snapshot is written");
        fill(&store, before, 300);
        store.scrub(None).expect("all is good");
        let path = one(folder.path(), kind);
        std::fs::remove_file(&path).expect("it was there");
        let written = store.status().expect("it is open").counts.snapshots;
        assert_eq!(found(&store, &path), 0);
        wait_snapshot(&store, written);
        fill(&store, 300, 310);
        store.scrub(None).expect("it is good again");
        store.close().expect("all is written");
        check(&Store::open(folder.path(), options()).expect("it opens"), 310);
    }
}

#[test]
fn passes_come_by_themselves_and_find_what_has_rotted() {
    let folder = Folder::new("rot");
    let options = Options { scrub_interval: Some(Duration::from_millis(1)), ..options() };
    let store = Store::open(folder.path(), options).expect("it opens");
    fill(&store, 0, 300);
    let wait = |what: &str, is_there: &dyn Fn(&trimtab::embedded::ScrubStatus) -> bool| {
        let deadline = Instant::now() + LONG;
        while !is_there(&store.status().expect("it is open").scrub) {
            assert!(Instant::now() < deadline, "{what}: {:?}", store.status().expect("it is open").scrub);
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait("passes", &|scrub| scrub.passes > 3 && scrub.verified_bytes > 300_000);
    assert_eq!(store.status().expect("it is open").scrub.damages, 0);
    flip(&one(folder.path(), "wal"), 20_000);
    wait("damage", &|scrub| scrub.damages > 0);
    // A snapshot takes its place, and a later pass finds all good.
    wait("mending", &|scrub| scrub.damage.is_none());
    check(&store, 300);
    store.close().expect("all is written");
}

#[test]
fn a_closed_store_and_odd_options_are_refused() {
    let folder = Folder::new("rot");
    for bad in [
        Options { scrub_interval: Some(Duration::ZERO), ..options() },
        Options { scrub_interval: Some(Duration::MAX), ..options() },
        Options { scrub_bytes_per_second: 1, ..options() },
    ] {
        let error = Store::open(folder.path(), bad).expect_err("it is out of range");
        assert!(matches!(&error, Error::InvalidArgument { .. }), "{error}");
    }
    let slow = Options { scrub_bytes_per_second: 64 << 10, ..options() };
    let store = Store::open(folder.path(), slow).expect("it opens");
    fill(&store, 0, 300);
    let error = store.scrub(Some(Duration::from_millis(1))).expect_err("it takes longer");
    assert!(matches!(error, Error::TimedOut { what: "scrub" }), "{error}");
    // It does not hold up the end.
    store.close().expect("all is written");
    assert!(matches!(store.scrub(None), Err(Error::State { .. })));
}

#[test]
fn a_pass_is_waited_for_in_several_goes() {
    let folder = Folder::new("scrub-goes");
    let options = Options { scrub_bytes_per_second: 64 << 10, ..options() };
    let store = Store::open(folder.path(), options).expect("it opens");
    // Beyond what is read at first.
    fill(&store, 0, 2_000);
    let pass = store.begin_scrub().expect("it is open");
    for _ in 0..2 {
        let error = store.scrubbed(pass, Duration::from_millis(1)).expect_err("it takes half a minute");
        assert!(matches!(error, Error::TimedOut { what: "scrub" }), "{error}");
    }
    let waits = std::thread::scope(|scope| {
        let waits = scope.spawn(|| store.scrubbed(pass, LONG));
        store.close().expect("all is written");
        waits.join().expect("it does not panic")
    });
    assert!(matches!(waits, Err(Error::State { what: "store", .. })), "{waits:?}");

    let store = Store::open(folder.path(), self::options()).expect("it opens");
    let pass = store.begin_scrub().expect("it is open");
    store.scrubbed(pass, LONG).expect("all is good");
    // Once it is over it is so for whoever asks again.
    store.scrubbed(pass, Duration::ZERO).expect("all was good");
    assert_eq!(store.status().expect("it is open").scrub.passes, 1);
}

#[test]
fn the_segment_that_is_written_to_is_left_when_it_rots() {
    let folder = Folder::new("rot-last");
    let store = Store::open(folder.path(), options()).expect("it opens");
    fill(&store, 0, 30);
    let path = one(folder.path(), "wal");
    flip(&path, 10_000);
    found(&store, &path);
    let deadline = Instant::now() + LONG;
    while store.status().expect("it is open").scrub.mended == 0 {
        assert!(Instant::now() < deadline, "{:?}", store.status());
        std::thread::sleep(Duration::from_millis(1));
    }
    fill(&store, 30, 40);
    store.scrub(None).expect("nothing is left of it");
    // The file goes once the log says that a snapshot stands for it.
    while path.exists() {
        assert!(Instant::now() < deadline, "{:?}", store.status());
        std::thread::sleep(Duration::from_millis(1));
    }
    store.close().expect("all is written");
    check(&Store::open(folder.path(), options()).expect("it opens"), 40);
}

/// Segments that a snapshot stands for are not all gone when the process dies, and rot then: nothing is lost with them.
#[test]
fn what_rots_where_a_snapshot_stands_for_it_is_left_out_at_the_opening() {
    let folder = Folder::new("rot");
    let store = Store::open(folder.path(), options()).expect("it opens");
    fill(&store, 0, 300);
    let segments = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder.path()).expect("it is there");
        let paths = entries.map(|entry| entry.expect("it is read").path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|is| is == "wal")).collect();
        paths.sort();
        paths
    };
    let before = segments();
    let kept: Vec<_> = before.iter().map(|path| std::fs::read(path).expect("it is read")).collect();
    store.snapshot(None).expect("a snapshot is written");
    store.close().expect("all is written");
    drop(store);
    // As if the process had died before they went.
    let oldest = one(folder.path(), "wal");
    for (path, bytes) in before.iter().zip(kept).filter(|(path, _)| **path < oldest) {
        std::fs::write(path, bytes).expect("it is written");
    }
    let first = before[0].clone();
    assert_eq!(segments()[0], first);
    flip(&first, 20_000);
    let store = Store::open(folder.path(), options()).expect("it opens");
    let report = store.report().log.covered.clone().expect("it is told");
    assert_eq!(report.file, first.display().to_string());
    assert!((18_000..=20_000).contains(&report.offset) && report.segments >= 1, "{report:?}");
    check(&store, 300);
    fill(&store, 300, 310);
    let deadline = Instant::now() + LONG;
    while first.exists() {
        assert!(Instant::now() < deadline, "it does not go");
        std::thread::sleep(Duration::from_millis(1));
    }
    store.close().expect("all is written");
    drop(store);
    let store = Store::open(folder.path(), options()).expect("it opens");
    assert_eq!(store.report().log.covered, None);
    check(&store, 310);
    // The last segment is another matter: what it has may be nowhere else.
    store.snapshot(None).expect("a snapshot is written");
    fill(&store, 310, 330);
    drop(store);
    let is_written =
        |path: &PathBuf| std::fs::read(path).expect("it is read")[4_096..].starts_with(b"trimtabS");
    let last = segments().into_iter().rfind(is_written).expect("there is one");
    flip(&last, 9_000);
    let refused = Store::open(folder.path(), options()).expect_err("it is damaged");
    assert!(refused.to_string().contains(&last.display().to_string()), "{refused}");
}
