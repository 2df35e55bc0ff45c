//! What is not backed up, and not restored, and why it says so.

use std::fs;
use std::path::{Path, PathBuf};

use trimtab::Error;
use trimtab::backup::{self, Options, Point, RestoreOptions, backup_closed, verify};
use trimtab::embedded::Store;

use super::{restore, restored, tiny};
use crate::support::{Folder, local};

/// A store with entries 1 to 60, and a backup of it in two parts and a snapshot.
fn backed_up() -> (Folder, Folder) {
    let (folder, backup) = (Folder::new("refusals"), Folder::new("backup"));
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    for part in 0..3_u32 {
        for number in 0..20 {
            let key = (part * 20 + number).to_be_bytes();
            store.put(&key, &[part as u8; 50], &local()).expect("there is room");
        }
        store.backup(backup.path(), &Options { is_full: part == 1 }).expect("a backup is taken");
    }
    store.close().expect("all is written");
    (folder, backup)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("it is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it is read").path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name != "lock"));
    files.sort();
    files
}

#[test]
fn a_bit_flipped_in_a_backup_is_found() {
    let (_folder, backup) = backed_up();
    let to = Folder::new("to");
    let (whole, _) = restored(backup.path(), Point::End);
    assert_eq!(files(backup.path()).len(), 5, "{:?}", files(backup.path()));
    let mut refused = 0;
    for path in files(backup.path()) {
        let mut bytes = fs::read(&path).expect("it is read");
        for at in 0..bytes.len() {
            if at > 100 && at % 7 != 0 {
                continue;
            }
            bytes[at] ^= 1 << (at % 8);
            if path.extension().is_some_and(|kind| kind == "snapshot") && (68..72).contains(&at) {
                // These bytes say nothing.
                bytes[at] ^= 1 << (at % 8);
                continue;
            }
            fs::write(&path, &bytes).expect("it is written");
            let error = verify(backup.path()).expect_err("a bit is another");
            match &error {
                Error::Corrupt(damage) => {
                    assert_eq!(damage.file, path.display().to_string(), "{error}");
                    assert!(damage.offset <= at as u64 + 1 || damage.file.ends_with("json"), "{at}: {error}");
                }
                // Version and identity say what they are, also when that is wrong.
                Error::Unsupported { .. } => assert!(matches!(at, 8 | 9), "{at}: {error}"),
                _ => panic!("{} byte {at}: {error}", path.display()),
            }
            if at % 70 == 0 {
                // Restoring needs not all of it, and never gives anything else.
                match restore(backup.path(), to.path(), Point::End) {
                    Ok(_) => {
                        let store = Store::open(to.path(), tiny()).expect("it opens");
                        assert_eq!(super::content(&store), whole);
                        store.close().expect("all is written");
                        fs::remove_dir_all(to.path()).expect("it goes");
                    }
                    Err(_) => {
                        refused += 1;
                        assert_eq!(files(to.path()), Vec::<PathBuf>::new(), "nothing is left");
                    }
                }
            }
            bytes[at] ^= 1 << (at % 8);
        }
        // Cut short, and gone.
        fs::write(&path, &bytes[..bytes.len() - 1]).expect("it is written");
        assert!(matches!(verify(backup.path()), Err(Error::Corrupt(_))));
        fs::remove_file(&path).expect("it goes");
        assert!(matches!(verify(backup.path()), Err(Error::Corrupt(_) | Error::NotFound { .. })));
        fs::write(&path, &bytes).expect("it is written");
        verify(backup.path()).expect("it is as it was");
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn points_outside_say_what_there_is() {
    let (_folder, backup) = backed_up();
    let to = Folder::new("to");
    for point in [Point::Sequence(61), Point::Time(1), Point::Time(u64::MAX)] {
        let error = restore(backup.path(), to.path(), point).expect_err("it is outside");
        let what = if let Point::Time(_) = point { "time" } else { "sequence" };
        assert!(matches!(&error, Error::InvalidArgument { what: is, .. } if *is == what), "{error}");
        assert!(error.to_string().contains("which holds the"), "{error}");
    }
    restore(backup.path(), to.path(), Point::Sequence(60)).expect("nothing was left there");
}

#[test]
fn of_what_begins_later_nothing_at_all_is_no_point() {
    let (folder, backup) = backed_up();
    let (to, later) = (Folder::new("to"), Folder::new("later"));
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    store.backup(later.path(), &Options { is_full: true }).expect("a backup is taken");
    let first = backup::read_manifest(later.path()).expect("it is there").spans()[0].first;
    assert!(first > 1, "it has a snapshot and nothing before it");
    let error = restore(later.path(), to.path(), Point::Sequence(0)).expect_err("it is before the first");
    assert!(error.to_string().contains("which holds the"), "{error}");
    restore(backup.path(), to.path(), Point::Sequence(0)).expect("the other has the first entry");
}

#[test]
fn directories_with_something_else_in_them() {
    let (folder, backup) = backed_up();
    // A store, a backup, anything.
    for dir in [folder.path(), backup.path()] {
        let before = files(dir);
        let error = restore(backup.path(), dir, Point::End).expect_err("it is not empty");
        assert!(matches!(&error, Error::InvalidArgument { what: "directory", .. }), "{error}");
        assert_eq!(files(dir), before);
    }
    let other = Folder::new("other");
    fs::write(other.path().join("letter"), "dear").expect("it is written");
    for error in [
        restore(backup.path(), other.path(), Point::End).expect_err("it is not empty"),
        backup_closed(folder.path(), other.path(), &Options::default()).expect_err("it is not empty"),
        backup_closed(folder.path(), folder.path(), &Options::default()).expect_err("it is a store"),
    ] {
        assert!(
            matches!(&error, Error::InvalidArgument { what: "directory", .. } | Error::State { .. }),
            "{error}"
        );
    }
    // A backup is no store.
    let error = Store::open(backup.path(), tiny()).expect_err("it is a backup");
    assert!(error.to_string().contains("is a backup"), "{error}");
    let error = restore(folder.path(), &other.path().join("new"), Point::End).expect_err("it is no backup");
    assert!(matches!(&error, Error::NotFound { what: "backup", .. }), "{error}");
    let nowhere = other.path().join("nowhere");
    let error = backup_closed(&nowhere, other.path().join("new"), &Options::default()).unwrap_err();
    assert!(matches!(&error, Error::NotFound { what: "store", .. }), "{error}");
    assert!(!nowhere.exists() && error.to_string().contains("no such directory"), "{error}");
    for error in [
        verify(&nowhere).unwrap_err(),
        backup::read_manifest(&nowhere).unwrap_err(),
        restore(&nowhere, &other.path().join("new"), Point::End).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::NotFound { what: "backup", .. }), "{error}");
    }
}

#[test]
fn a_backup_is_not_put_into_the_stores_own_directory() {
    let (folder, _backup) = backed_up();
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    let links = Folder::new("links");
    let link = links.path().join("to-the-store");
    std::os::unix::fs::symlink(folder.path(), &link).expect("it is made");
    for dir in [folder.path().join("a/backup"), link.join("backup")] {
        let error = store.backup(&dir, &Options::default()).expect_err("it would go with the store");
        assert!(matches!(&error, Error::InvalidArgument { what: "directory", .. }), "{error}");
        assert!(!dir.exists(), "nothing is made");
    }
    store.close().expect("all is written");
    let inside = folder.path().join("backup");
    let error = backup_closed(&link, &inside, &Options::default()).expect_err("it would go with the store");
    assert!(error.to_string().contains("in that of the store"), "{error}");
    assert!(!inside.exists(), "nothing is made");
    let beside = links.path().join("backup");
    backup_closed(&link, &beside, &Options::default()).expect("it is elsewhere");
}

#[test]
fn a_store_that_is_open_is_not_backed_up_from_outside() {
    let (folder, backup) = backed_up();
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    let error = backup_closed(folder.path(), backup.path(), &Options::default()).expect_err("it is open");
    assert!(matches!(&error, Error::State { what: "log", .. }), "{error}");
    assert!(error.to_string().contains("is open already"), "{error}");
    store.close().expect("all is written");
    let error = store.backup(backup.path(), &Options::default()).expect_err("it is closed");
    assert!(matches!(&error, Error::State { what: "store", .. }), "{error}");
    backup_closed(folder.path(), backup.path(), &Options::default()).expect("nobody has it");
}

#[test]
fn a_store_that_went_another_way_is_not_added() {
    let (folder, backup) = backed_up();
    let original = Store::open(folder.path(), tiny()).expect("it opens").identity();
    let back = Folder::new("back");
    let options = RestoreOptions { point: Point::Sequence(50), identity: Some(original) };
    backup::restore(backup.path(), back.path(), &options).expect("it is restored");
    let store = Store::open(back.path(), tiny()).expect("it opens");
    assert_eq!(store.identity(), original);
    let error = store.backup(backup.path(), &Options::default()).expect_err("it is behind");
    assert!(error.to_string().contains("is at entry 50, behind the backup, which has 60"), "{error}");
    for number in 0..15_u32 {
        store.put(&number.to_be_bytes(), b"another way", &local()).expect("there is room");
    }
    let error = store.backup(backup.path(), &Options::default()).expect_err("it is another history");
    assert!(error.to_string().contains("has another entry 60"), "{error}");
    let error = store.backup(backup.path(), &Options { is_full: true }).expect_err("it is another history");
    assert!(error.to_string().contains("has another entry 60"), "{error}");
    verify(backup.path()).expect("it is as it was");
    assert_eq!(restored(backup.path(), Point::End).1, 60);
}

#[test]
fn one_adds_to_a_backup_at_a_time() {
    let (folder, backup) = backed_up();
    let lock = fs::File::open(backup.path().join("lock")).expect("it is there");
    lock.lock().expect("nobody has it");
    let error = backup_closed(folder.path(), backup.path(), &Options::default()).expect_err("it is locked");
    assert!(matches!(&error, Error::State { what: "backup", .. }), "{error}");
}

#[test]
fn what_an_addition_left_is_taken_away_and_counts_for_nothing() {
    let (folder, backup) = backed_up();
    for name in [
        "000000000000003d.unfinished",
        "000000000000003d.entries",
        "0000000000000100.snapshot",
        "manifest.next",
    ] {
        fs::write(backup.path().join(name), "half").expect("it is written");
    }
    verify(backup.path()).expect("it is as it was");
    assert_eq!(restored(backup.path(), Point::End).1, 60);
    backup_closed(folder.path(), backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!(files(backup.path()).len(), 5);
}
