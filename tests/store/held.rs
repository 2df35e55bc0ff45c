//! A store stays in the directory that it was opened in, whatever becomes of its name and of the working directory.

use std::env;
use std::fs;
use std::path::Path;

use trimtab::backup::{self, RestoreOptions};
use trimtab::embedded::Store;

use crate::support::{Folder, child, local, run, small, value_of};

const LONG_VALUE: [u8; 4_096] = [b'v'; 4_096];
/// So many that segments come and go.
const VALUES: usize = 200;

fn open(dir: impl AsRef<Path>) -> Store {
    Store::open(dir, small()).expect("it opens")
}

fn put(store: &Store, names: &str, count: usize) {
    for at in 0..count {
        let key = format!("{names}{at}");
        store.put(key.as_bytes(), &LONG_VALUE, &local()).expect("there is room");
    }
}

/// All of these, and none of those.
fn check(store: &Store, names: &str, count: usize, others: &str) {
    for at in 0..count {
        assert!(value_of(store, format!("{names}{at}").as_bytes()).is_some(), "{names}{at} is lost");
    }
    assert!(value_of(store, format!("{others}0").as_bytes()).is_none(), "{others}0 is of another store");
}

/// Has `a` do all that there is to do on files, and looks at both directories then.
fn go_on(a: Store, dir_a: &Path, dir_b: &Path, backup: &Path) {
    let before = listed(dir_b);
    put(&a, "a", VALUES);
    a.snapshot(None).expect("one is written");
    let report = a.backup(backup, &backup::Options::default()).expect("a backup is taken");
    assert!(report.entries > 0 || report.snapshot > 0);
    put(&a, "a", VALUES);
    a.close().expect("all is written");
    assert_eq!(listed(dir_b), before, "another store's files are its own");
    check(&open(dir_a), "a", VALUES, "b");
    check(&open(dir_b), "b", VALUES, "a");
    let restored = Folder::new("restored");
    backup::restore(backup, restored.path(), &RestoreOptions::default()).expect("it is whole");
    check(&open(restored.path()), "a", VALUES, "b");
}

/// What is there, with its length and when it was written.
fn listed(dir: &Path) -> Vec<(String, u64, std::time::SystemTime)> {
    let entries = fs::read_dir(dir).expect("it is there").map(|entry| {
        let entry = entry.expect("it can be read");
        let about = entry.metadata().expect("it can be read");
        (entry.file_name().to_string_lossy().into_owned(), about.len(), about.modified().expect("there is"))
    });
    let mut listed: Vec<_> = entries.collect();
    listed.sort();
    listed
}

#[test]
fn a_directory_that_is_renamed_stays_the_stores_and_another_one_there_is_another() {
    let folder = Folder::new("renamed");
    let (data, moved) = (folder.path().join("data"), folder.path().join("moved"));
    let a = open(&data);
    put(&a, "a", 1);
    fs::rename(&data, &moved).expect("it is ours");
    let b = open(&data);
    put(&b, "b", VALUES);
    b.close().expect("all is written");
    go_on(a, &moved, &data, &folder.path().join("backup"));
}

#[test]
fn a_path_is_that_of_the_working_directory_at_opening() {
    let folder = Folder::new("relative");
    run(child("step-aside", folder.path()));
}

/// Opens a store by a relative path, and goes where the same path leads to another.
pub(super) fn step_aside(dir: &Path) {
    let (here, there) = (dir.join("here"), dir.join("there"));
    for at in [&here, &there] {
        fs::create_dir(at).expect("it is ours");
    }
    env::set_current_dir(&there).expect("it is there");
    let b = open("data");
    put(&b, "b", VALUES);
    b.close().expect("all is written");
    env::set_current_dir(&here).expect("it is there");
    let a = open("data");
    put(&a, "a", 1);
    env::set_current_dir(&there).expect("it is there");
    go_on(a, &here.join("data"), &there.join("data"), &dir.join("backup"));
}
