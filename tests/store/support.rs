//! Folders, stores and child processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use trimtab::embedded::{Call, Options, Store};
use trimtab::store::engine::{self, Durability};
use trimtab::store::log;

/// Long enough for any machine; nothing waits so long that goes right.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A folder that goes when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("trimtab-store-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the folder can be made");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Small segments, so that they come and go.
pub(super) fn small() -> Options {
    let log = log::Options { segment_bytes: 256 << 10, ..log::Options::default() };
    let engine = engine::Options { snapshot_bytes: 512 << 10, log, ..engine::Options::default() };
    Options { timeout: LONG, engine, ..Options::default() }
}

pub(super) fn open(folder: &Folder) -> Store {
    Store::open(folder.path(), small()).expect("the store opens")
}

pub(super) fn memory() -> Call {
    Call { durability: Some(Durability::Memory), ..Call::default() }
}

pub(super) fn local() -> Call {
    Call { durability: Some(Durability::Local), ..Call::default() }
}

pub(super) fn value_of(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    store.get(key).expect("the store is open").map(|found| found.value.to_vec())
}

/// This test program again, to play the part of a child: see `child`.
pub(super) fn child(part: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own path"));
    command
        .args(["--exact", "child::plays_its_part", "--nocapture", "--test-threads=1"])
        .env("TRIMTAB_STORE_PART", part)
        .env("TRIMTAB_STORE_DIR", dir);
    command
}
