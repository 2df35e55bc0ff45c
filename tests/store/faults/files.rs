//! Calls on files that fail beside those that make records durable: making and naming segments and snapshots, and having the
//! directory durable. The store says so, goes on as far as it can, and does it anew by itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use trimtab::Error;
use trimtab::embedded::{Options, Store};
use trimtab::store::{engine, log};

use crate::bad_disk::BadDisk;
use crate::support::{Folder, LONG, child, local, run, until, value_of};

const CALLS: [&str; 4] = ["pwrite", "fdatasync", "rename", "fsync"];
/// The threads that make segments, and that write snapshots.
const TENDER: &str = "trimtab-tend";
const SNAPSHOTS: &str = "trimtab-snap";

fn options() -> Options {
    let retry = Duration::from_millis(10);
    let log = log::Options { segment_bytes: 64 << 10, retry, ..log::Options::default() };
    // Only snapshots that are asked for.
    let engine =
        engine::Options { snapshot_bytes: 1 << 30, snapshot_retry: retry, log, ..engine::Options::default() };
    Options { timeout: LONG, engine, ..Options::default() }
}

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(1_000)
}

fn put(store: &Store, count: &mut u32) -> Result<(), Error> {
    store.put(&count.to_be_bytes(), &value(*count), &local())?;
    *count += 1;
    Ok(())
}

fn check(store: &Store, count: u32) {
    for number in 0..count {
        assert_eq!(value_of(store, &number.to_be_bytes()), Some(value(number)), "{number}");
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it is there");
    entries.map(|it| it.expect("it is read").file_name().into_string().expect("UTF-8")).collect()
}

fn is_of(error: &Error, what: &str) -> bool {
    matches!(error, Error::Io { code: 5, .. }) && error.to_string().contains(what)
}

/// No segment can be made: writes go on until the present ones are full, and again by themselves.
pub(crate) fn fail_segments(dir: &Path) {
    let disk = BadDisk::of_child();
    let data = dir.join("data");
    let store = Store::open(&data, options()).expect("it opens");
    let mut count = 0;
    for call in CALLS {
        put(&store, &mut count).expect("there is room");
        disk.set(call, &format!("5 {TENDER}"));
        let refused = loop {
            if let Err(error) = put(&store, &mut count) {
                break error;
            }
        };
        // Whichever of its work it was at last.
        let words: &[&str] = match call {
            "pwrite" => &["fill ", "prepare "],
            "fdatasync" => &["prepare "],
            _ => &["prepare ", "retire ", "remove "],
        };
        let is_told = |error: &Error| words.iter().any(|word| is_of(error, word));
        assert!(is_told(&refused), "{call}: {refused}");
        let status = store.status().expect("it is open");
        assert!(status.failure.is_none(), "{call}: {:?}", status.failure);
        assert!(status.problem.as_ref().is_some_and(is_told), "{call}");
        check(&store, count);
        // It tries again and again, and leaves nothing behind.
        let met = disk.met().len();
        until("it tries again", || disk.met().len() > met + 20);
        let spares = names(&data).iter().filter(|name| name.contains("spare")).count();
        assert!(spares <= 4, "{call}: {:?}", names(&data));
        assert!(disk.met().iter().all(|thread| thread == TENDER), "{:?}", disk.met());
        disk.mend(call);
        until("writes are taken again", || match put(&store, &mut count) {
            Ok(()) => true,
            Err(error) => {
                assert!(is_of(&error, ""), "{error}");
                false
            }
        });
        assert_eq!(store.status().expect("it is open").problem, None);
    }
    assert!(store.status().expect("it is open").failure.is_none());
    store.close().expect("all is written");
    check(&Store::open(&data, options()).expect("it opens"), count);
}

/// No snapshot can be written: that is all that comes of it.
pub(crate) fn fail_snapshots(dir: &Path) {
    let disk = BadDisk::of_child();
    let data = dir.join("data");
    let mut count = 0;
    for call in CALLS {
        let store = Store::open(&data, options()).expect("it opens");
        check(&store, count);
        put(&store, &mut count).expect("there is room");
        let before = store.snapshot(None).expect("the disk is good");
        disk.set(call, &format!("5 {SNAPSHOTS}"));
        for _ in 0..5 {
            put(&store, &mut count).expect("writes go on");
            let error = store.snapshot(None).expect_err("it cannot be written");
            assert!(is_of(&error, ".snapshot") || is_of(&error, ".unfinished"), "{call}: {error}");
            // The one before, and nothing of those that failed.
            let only = [format!("{before:016x}.snapshot")];
            until("what came to nothing is gone", || {
                let names = names(&data).into_iter();
                names.filter(|name| name.contains("snapshot") || name.contains("unfinished")).eq(only.clone())
            });
        }
        let status = store.status().expect("it is open");
        assert!(status.failure.is_none() && status.snapshot == before, "{call}: {status:?}");
        if call == "rename" {
            // The next one finds nothing of it, and everything else.
            store.close().expect("all is written");
            disk.mend(call);
            let store = Store::open(&data, options()).expect("it opens");
            check(&store, count);
            assert_eq!(store.status().expect("it is open").snapshot, before);
            store.close().expect("all is written");
            continue;
        }
        disk.mend(call);
        let after = store.snapshot(None).expect("the disk is good again");
        assert!(after > before);
        store.close().expect("all is written");
    }
    check(&Store::open(&data, options()).expect("it opens"), count);
}

/// The names of directories that are made for a store must be durable before anything in it is.
pub(crate) fn fail_directories(dir: &Path) {
    let disk = BadDisk::of_child();
    let data = dir.join("above").join("data");
    disk.set("fsync", "5");
    for _ in 0..2 {
        let error = Store::open(&data, options()).expect_err("it is not known to be there");
        assert!(is_of(&error, &format!("make the directory {}", data.display())), "{error}");
    }
    assert_eq!(disk.met().len(), 2);
    disk.mend("fsync");
    let mut count = 0;
    let store = Store::open(&data, options()).expect("it opens");
    put(&store, &mut count).expect("there is room");
    store.close().expect("all is written");
    check(&Store::open(&data, options()).expect("it opens"), count);
}

fn on_a_bad_disk(part: &str) {
    let (folder, tools) = (Folder::new("files"), Folder::new("shim"));
    let mut command = child(part, folder.path());
    command.envs(BadDisk::new(tools.path()).environment());
    run(command);
}

#[test]
fn segments_that_cannot_be_made_are_made_later() {
    on_a_bad_disk("failing-segments");
}

#[test]
fn snapshots_that_cannot_be_written_leave_the_one_before() {
    on_a_bad_disk("failing-snapshots");
}

#[test]
fn directories_whose_names_are_not_durable_are_not_written_to() {
    on_a_bad_disk("failing-directories");
}
