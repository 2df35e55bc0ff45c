//! Folders, stores and child processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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

/// Waits until `condition` holds.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// This test program again, to play the part of a child: see `child`.
pub(super) fn child(part: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own path"));
    arguments(&mut command, part, dir);
    command
}

fn arguments(command: &mut Command, part: &str, dir: &Path) {
    command
        .args(["--exact", "child::plays_its_part", "--nocapture", "--test-threads=1"])
        .env("TRIMTAB_STORE_PART", part)
        .env("TRIMTAB_STORE_DIR", dir);
}

/// The same, with a file system of `bytes` in memory at `dir`, in mount and user namespaces of its own.
pub(super) fn child_on_small_disk(part: &str, dir: &Path, bytes: u64) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size={bytes} tmpfs \"$TRIMTAB_STORE_DIR\" && exec \"$0\" \"$@\"");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    command.arg(std::env::current_exe().expect("a test knows its own path"));
    arguments(&mut command, part, dir);
    command
}

/// The same, without what root may beyond others.
pub(super) fn child_without_rights(part: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{} \"$0\" \"$@\"", crate::bad_disk::without_rights())]);
    command.arg(std::env::current_exe().expect("a test knows its own path"));
    arguments(&mut command, part, dir);
    command
}

/// Has a command preload what is built from a C file, in `tools`, and tells it of a file there that triggers it.
pub(super) fn preloaded(command: &mut Command, source: &str, tools: &Folder) {
    let shim = tools.path().join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let built = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([shim.as_os_str(), source.as_os_str()])
        .arg("-ldl")
        .status()
        .expect("there is a C compiler");
    assert!(built.success());
    command.env("LD_PRELOAD", &shim).env("TRIMTAB_SHIM", tools.path().join("trigger"));
}

/// Runs a child to its end, which must be a good one.
pub(super) fn run(mut command: Command) {
    let output = command.output().expect("the child can be started");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("part: done"), "{}\n{out}\n{err}", output.status);
}
