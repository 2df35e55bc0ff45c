//! Directories that cannot be used: each says what is the matter, and nothing is changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use trimtab::Error;
use trimtab::backup::{self, RestoreOptions};
use trimtab::embedded::{Options, Store};
use trimtab::store::log::Identity;

use crate::support::{Folder, child, child_on_small_disk, child_without_rights, local, run, small, value_of};

/// A store with one key, closed; and its identity.
fn written(dir: &Path) -> Identity {
    let store = Store::open(dir, small()).expect("it opens");
    store.put(b"a", b"1", &local()).expect("there is room");
    store.close().expect("all is written");
    store.identity()
}

fn refused(dir: &Path, options: Options) -> Error {
    Store::open(dir, options).expect_err("it is refused")
}

fn check(dir: &Path) {
    let store = Store::open(dir, small()).expect("it is as it was");
    assert_eq!(value_of(&store, b"a"), Some(b"1".to_vec()));
    assert!(store.report().log.torn.is_none());
}

#[test]
fn one_that_is_open_by_whatever_name() {
    let (folder, links) = (Folder::new("twice"), Folder::new("links"));
    let link = links.path().join("link");
    symlink(folder.path(), &link).expect("it can be linked");
    let store = Store::open(folder.path(), small()).expect("it opens");
    let roundabout = folder.path().join("..").join(folder.path().file_name().expect("it has a name"));
    for path in [folder.path(), &link, &roundabout] {
        let error = refused(path, small());
        assert!(matches!(&error, Error::State { what: "log", .. }), "{error}");
        assert!(error.to_string().contains(&format!("by process {}", std::process::id())), "{error}");
        run(child("open-refused", path));
    }
    store.put(b"a", b"1", &local()).expect("it was not disturbed");
    store.close().expect("all is written");
    check(&link);
}

/// Opens what another process holds.
pub(crate) fn open_refused(dir: &Path) {
    let error = refused(dir, small());
    assert!(matches!(&error, Error::State { what: "log", .. }), "{error}");
}

#[test]
fn one_of_another_cluster_node_or_make() {
    let folder = Folder::new("other");
    let identity = written(folder.path());
    let with = |identity| Options { identity: Some(identity), ..small() };
    let error = refused(folder.path(), with(Identity { cluster: [9; 16], ..identity }));
    assert!(matches!(&error, Error::InvalidArgument { what: "cluster", .. }), "{error}");
    let error = refused(folder.path(), with(Identity { node: 2, ..identity }));
    assert!(matches!(&error, Error::InvalidArgument { what: "node", .. }), "{error}");
    assert!(error.to_string().contains("belongs to node 1 of cluster"), "{error}");
    let mut longer = small();
    longer.engine.log.segment_bytes *= 2;
    let error = refused(folder.path(), longer);
    assert!(matches!(&error, Error::InvalidArgument { what: "segment_bytes", .. }), "{error}");
    check(folder.path());
}

#[test]
fn one_of_a_later_version() {
    let folder = Folder::new("later");
    written(folder.path());
    let path = folder.path().join("0000000000000001.wal");
    let bytes = fs::read(&path).expect("it is there");
    for at in [8, 4096 + 8] {
        let mut later = bytes.clone();
        later[at] = 2;
        fs::write(&path, &later).expect("it is written");
        let error = refused(folder.path(), small());
        assert!(matches!(&error, Error::Unsupported { what: "segment version", .. }), "{error}");
        assert!(
            error.to_string().contains("0000000000000001.wal has version 2, this release reads 1"),
            "{error}"
        );
        assert!(fs::read(&path).expect("it is there") == later, "nothing was changed");
    }
    fs::write(&path, &bytes).expect("it is written");
    check(folder.path());
}

#[test]
fn one_that_is_no_directory_or_has_no_name() {
    let folder = Folder::new("odd");
    let file = folder.path().join("file");
    fs::write(&file, "a letter").expect("it is written");
    for path in [file.as_path(), &file.join("below"), Path::new("/proc/trimtab")] {
        let error = refused(path, small());
        assert!(matches!(&error, Error::Io { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "a letter");
    // Nobody writes to it: who opened it would wait for ever.
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("there is mkfifo");
    assert!(made.success());
    for path in [&file, &pipe] {
        let told = refused(path, small()).to_string();
        assert!(told.contains("Not a directory") && told.contains(&path.display().to_string()), "{told}");
        let told = backup::verify(path).expect_err("it is none").to_string();
        assert!(told.contains("Not a directory") && told.contains(&path.display().to_string()), "{told}");
    }
    for (path, what) in [("", "is empty"), ("data\0base", "a NUL as byte 4")] {
        let to = folder.path().join("backup");
        for error in [
            refused(Path::new(path), small()),
            backup::verify(path).expect_err("it is none"),
            backup::backup_closed(path, &to, &backup::Options::default()).expect_err("it is none"),
        ] {
            assert!(matches!(&error, Error::InvalidArgument { what: "directory", .. }), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
        assert!(!to.exists());
    }
}

pub(crate) fn read_only(dir: &Path) {
    written(dir);
    let done = Command::new("mount").args(["-o", "remount,ro"]).arg(dir).status().expect("mount can be run");
    assert!(done.success());
    let error = refused(dir, small());
    assert!(matches!(&error, Error::Io { code: 30, .. }), "{error}");
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    assert!(error.to_string().contains("; mount it for reading and writing, or name "), "{error}");
    // To be backed up it need only be read.
    let (to, restored) = (Folder::new("read-only-backup"), Folder::new("read-only-restored"));
    let report = backup::backup_closed(dir, to.path(), &backup::Options::default()).expect("it is read");
    assert!(report.sequence > 0);
    backup::restore(to.path(), restored.path(), &RestoreOptions::default()).expect("it is whole");
    let store = Store::open(restored.path(), small()).expect("it opens");
    assert_eq!(value_of(&store, b"a"), Some(b"1".to_vec()));
    let done = Command::new("mount").args(["-o", "remount,rw"]).arg(dir).status().expect("mount can be run");
    assert!(done.success());
    check(dir);
}

#[test]
fn one_that_cannot_be_written_to() {
    let folder = Folder::new("read-only");
    run(child_on_small_disk("read-only", folder.path(), 4 << 20));
}

/// One that belongs to somebody else, or could as well: the rights of root do not count.
pub(crate) fn forbidden(dir: &Path) {
    let data = dir.join("data");
    written(&data);
    for (mode, path, what) in
        [(0o555, dir.join("new"), "make"), (0o555, data.clone(), "lock"), (0, data, "open")]
    {
        let (parent, old) = (path.parent().expect("it has one"), fs::Permissions::from_mode(0o755));
        let closed = if what == "make" { parent } else { &path };
        // What a lock file of its own allows is another matter.
        let _ = fs::remove_file(path.join("lock"));
        fs::set_permissions(closed, fs::Permissions::from_mode(mode)).expect("it is ours");
        let error = refused(&path, small());
        fs::set_permissions(closed, old).expect("it is ours");
        assert!(matches!(&error, Error::Io { code: 13, .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains(&format!("{what} ")) && told.contains(&path.display().to_string()), "{told}");
        assert!(told.contains("; give the directory to the user that this runs as (chown, chmod)"), "{told}");
    }
    check(&dir.join("data"));
}

#[test]
fn one_that_nobody_has_given_us() {
    let folder = Folder::new("forbidden");
    run(child_without_rights("forbidden", folder.path()));
}
