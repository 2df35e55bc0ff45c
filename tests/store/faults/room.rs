//! A file system without room.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use trimtab::Error;
use trimtab::backup::{self, Options as BackupOptions, verify};
use trimtab::embedded::{Options, Store};
use trimtab::store::engine;
use trimtab::store::index::Range;
use trimtab::store::log;

use crate::support::{Folder, LONG, child_on_small_disk, local, memory, run, value_of};

const BYTES: u64 = 10 << 20;

fn options(is_hosted: bool) -> Options {
    let log = log::Options {
        segment_bytes: 256 << 10,
        retry: Duration::from_millis(10),
        ..log::Options::default()
    };
    // No snapshot makes room: that is what is to be missing.
    let engine =
        engine::Options { snapshot_bytes: 1 << 30, snapshot_retry: LONG, log, ..engine::Options::default() };
    Options { timeout: LONG, is_hosted, engine, ..Options::default() }
}

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(64)
}

fn check(store: &Store, count: u32) {
    for number in 0..count {
        assert_eq!(value_of(store, &key(number)), Some(value(number)), "{number}");
    }
}

/// Puts until it is refused for want of room.
fn fill(store: &Store, count: &mut u32) {
    loop {
        match store.put(&key(*count), &value(*count), &local()) {
            Ok(_) => *count += 1,
            Err(Error::Io { code: 28, .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Puts until it is taken: the store looks for room by itself.
fn put_when_there_is_room(store: &Store, count: &mut u32) {
    let deadline = Instant::now() + LONG;
    loop {
        match store.put(&key(*count), &value(*count), &local()) {
            Ok(_) => {
                *count += 1;
                return;
            }
            Err(Error::Io { code: 28, .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "there is room, and writes are refused");
    }
}

pub(crate) fn fill_the_disk(dir: &Path, is_hosted: bool) {
    let options = || options(is_hosted);
    let (data, copy) = (dir.join("data"), dir.join("backup"));
    let filler = dir.join("filler");
    let store = Store::open(&data, options()).expect("it opens");
    let mut count = 0;
    for _ in 0..100 {
        store.put(&key(count), &value(count), &local()).expect("there is room");
        count += 1;
    }
    store.backup(&copy, &BackupOptions::default()).expect("there is room");
    fs::write(&filler, vec![1; 6 << 20]).expect("there is room for the filler");
    fill(&store, &mut count);
    assert!(count > 1_000, "{count}");
    let status = store.status().expect("it is open");
    assert!(matches!(&status.problem, Some(Error::Io { code: 28, .. })), "{:?}", status.problem);
    assert!(status.failure.is_none(), "{:?}", status.failure);
    // Reading goes on, of `memory` too nothing is taken, and what waits is not lost.
    check(&store, count);
    assert!(matches!(store.put(b"more", b"1", &memory()), Err(Error::Io { code: 28, .. }) | Ok(_)));

    // A backup finds no room either, and is as it was before.
    let mut crumbs = fs::OpenOptions::new().append(true).open(&filler).expect("it is there");
    while crumbs.write_all(&[1; 4096]).is_ok() {}
    drop(crumbs);
    let error = store.backup(&copy, &BackupOptions::default()).expect_err("there is no room");
    assert!(matches!(&error, Error::Io { code: 28, .. }), "{error}");
    let manifest = verify(&copy).expect("it is as it was");
    assert_eq!(manifest.last().0, 100);
    // So does a restore: nothing is left of it.
    let to = dir.join("restored");
    let error =
        backup::restore(&copy, &to, &backup::RestoreOptions::default()).expect_err("there is no room");
    assert!(matches!(&error, Error::Io { code: 28, .. }), "{error}");
    let left: Vec<_> =
        fs::read_dir(&to).expect("it is there").map(|it| it.expect("it is read").file_name()).collect();
    assert!(left.iter().all(|name| name == "lock"), "{left:?}");

    // Another opening finds all of it, on the full disk.
    store.close().expect("what was taken has room");
    let store = Store::open(&data, options()).expect("it opens without room");
    check(&store, count);
    fill(&store, &mut count);

    // With room, without a restart.
    fs::remove_file(&filler).expect("the filler goes");
    put_when_there_is_room(&store, &mut count);
    check(&store, count);
    let report = store.backup(&copy, &BackupOptions::default()).expect("there is room");
    assert!(report.sequence > 100);
    store.close().expect("it closes");
    check(&Store::open(&data, options()).expect("it opens"), count);
    fs::remove_dir_all(&to).expect("it goes");
    fs::remove_dir_all(&data).expect("it goes");
    backup::restore(&copy, &to, &backup::RestoreOptions::default()).expect("there is room");
    check(&Store::open(&to, options()).expect("it opens"), count);
}

/// More than the disk has room for is written, of which little counts: snapshots make room before there is none for them.
pub(crate) fn overwrite(dir: &Path, is_hosted: bool) {
    let mut options = options(is_hosted);
    options.engine.snapshot_retry = Duration::from_millis(10);
    options.engine.log.segment_bytes = 64 << 10;
    let value = |number: u32| number.to_be_bytes().repeat(1_000);
    let count = 10_000;
    let store = Store::open(dir.join("data"), options.clone()).expect("it opens");
    for number in 0..count {
        store.put(&key(number % 150), &value(number), &memory()).expect("there is room");
    }
    let status = store.status().expect("it is open");
    assert!(status.counts.snapshots > 2, "{status:?}");
    assert_eq!(status.counts.snapshots_failed, 0, "there was room for each: {status:?}");
    store.close().expect("what was taken has room");
    let store = Store::open(dir.join("data"), options).expect("it opens");
    for number in count - 150..count {
        assert_eq!(value_of(&store, &key(number % 150)), Some(value(number)), "{number}");
    }
    store.put(b"more", b"1", &local()).expect("there is room");
}

/// The state itself outgrows the disk: writes are refused, and what is there stays; with a larger share of the disk it goes on.
pub(crate) fn grow(dir: &Path) {
    let mut options = options(false);
    options.engine.snapshot_retry = Duration::from_millis(10);
    options.engine.log.segment_bytes = 64 << 10;
    let data = dir.join("data");
    fs::write(dir.join("filler"), vec![1; 4 << 20]).expect("there is room for the filler");
    let store = Store::open(&data, options.clone()).expect("it opens");
    let mut count = 0;
    fill(&store, &mut count);
    assert!(count > 4_000, "{count}");
    check(&store, count);
    store.close().expect("what was taken has room");
    let store = Store::open(&data, options).expect("it opens without room");
    check(&store, count);
    fs::remove_file(dir.join("filler")).expect("the filler goes");
    for _ in 0..1_000 {
        put_when_there_is_room(&store, &mut count);
    }
    check(&store, count);
}

/// The state has outgrown the disk, and writes are refused: what is deleted gets through, and makes room.
pub(crate) fn shrink(dir: &Path) {
    let mut options = options(false);
    options.engine.snapshot_retry = Duration::from_millis(10);
    options.engine.log.segment_bytes = 64 << 10;
    fs::write(dir.join("filler"), vec![1; 4 << 20]).expect("there is room for the filler");
    let store = Store::open(dir.join("data"), options).expect("it opens");
    let mut count = 0;
    fill(&store, &mut count);
    // As often as it likes: what may make the state grow does not take the room of what makes it smaller.
    for _ in 0..1_000 {
        assert!(store.put(&key(0), &value(0), &memory()).is_err());
    }
    let from = key(count / 4);
    store
        .delete_range(&Range { start: &from, end: None }, 0, &local())
        .expect("there is room for a small record");
    count /= 4;
    put_when_there_is_room(&store, &mut count);
    for _ in 0..1_000 {
        put_when_there_is_room(&store, &mut count);
    }
    check(&store, count);
}

/// Others take all that is left, and give back what the store says it lacks, and then all: it goes on by itself, and what it is
/// given is not filled with log.
pub(crate) fn give_back(dir: &Path, is_hosted: bool) {
    let mut options = options(is_hosted);
    options.engine.log.segment_bytes = 64 << 10;
    let value = |number: u32| number.to_be_bytes().repeat(1_000);
    let store = Store::open(dir.join("data"), options.clone()).expect("it opens");
    let mut number = 0;
    let mut put = || {
        let done = store.put(&key(number % 150), &value(number), &memory());
        number += u32::from(done.is_ok());
        done
    };
    for _ in 0..600 {
        put().expect("there is room");
    }
    let mut filler = fs::File::create(dir.join("filler")).expect("it can be made");
    let lacking = loop {
        while filler.write_all(&[1; 4096]).is_ok() {}
        let Err(error) = put() else { continue };
        assert!(matches!(error, Error::Io { code: 28, .. }), "{error}");
        let status = store.status().expect("it is open");
        // By now it has looked for room, what it could do without is gone, and others have taken that.
        let Some(Error::Io { detail, .. }) = status.problem.filter(|_| status.counts.snapshots_failed > 0)
        else {
            continue;
        };
        assert_eq!(status.counts.snapshots, 0);
        let told = detail.split(" for ").last().and_then(|it| it.strip_suffix(" bytes more"));
        let Some(told) = told.map(|it| it.parse::<u64>().expect("it is a number")) else { continue };
        if filler.write_all(&[1; 4096]).is_err() {
            break told;
        }
    };
    assert!((500_000..1_000_000).contains(&lacking), "{lacking}");
    // Of the values alone, which a snapshot has; rounded to what a file system gives.
    let bytes = filler.metadata().expect("it is open").len();
    filler.set_len(bytes - lacking.next_multiple_of(4096)).expect("it can be made shorter");
    let mut put_soon = || {
        let deadline = Instant::now() + LONG;
        while let Err(error) = put() {
            assert!(matches!(error, Error::Io { code: 28, .. }), "{error}");
            assert!(Instant::now() < deadline, "there is room, and writes are refused: {error}");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    put_soon();
    assert!(store.status().expect("it is open").counts.snapshots > 0);
    fs::remove_file(dir.join("filler")).expect("it goes");
    drop(filler);
    for _ in 0..5_000 {
        put_soon();
    }
    let status = store.status().expect("it is open");
    assert!(status.problem.is_none(), "{:?}", status.problem);
    store.close().expect("what was taken has room");
    let store = Store::open(dir.join("data"), options).expect("it opens");
    for number in number - 150..number {
        assert_eq!(value_of(&store, &key(number % 150)), Some(value(number)), "{number}");
    }
}

#[test]
fn what_others_took_of_a_disk_and_gave_back_is_not_filled_with_log() {
    for part in ["give-back", "give-back-hosted"] {
        let folder = Folder::new("room");
        run(child_on_small_disk(part, folder.path(), BYTES));
    }
}

#[test]
fn a_snapshot_is_written_while_there_is_room_for_it() {
    for part in ["overwrite", "overwrite-hosted", "grow", "shrink"] {
        let folder = Folder::new("room");
        run(child_on_small_disk(part, folder.path(), BYTES));
    }
}

#[test]
fn a_full_disk_refuses_writes_keeps_reads_and_recovers_without_a_restart() {
    for part in ["fill", "fill-hosted"] {
        let folder = Folder::new("room");
        run(child_on_small_disk(part, folder.path(), BYTES));
    }
}
