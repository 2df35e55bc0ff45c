//! Folders, logs and child processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use trimtab::store::log::{Identity, Options, Replayed, Report, Sequence};
use trimtab::time::{Clock, Instant};
use trimtab::wal::{Mode, Wal};

pub(super) const IDENTITY: Identity = Identity { cluster: *b"tests/wal-------", node: 1 };

/// A folder that goes when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("trimtab-wal-{name}-{}-{number}", std::process::id()));
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

pub(super) fn small() -> Options {
    Options { segment_bytes: 256 << 10, retry: Duration::from_millis(10), ..Options::default() }
}

pub(super) fn soon() -> Instant {
    Clock.now().saturating_add(Duration::from_secs(30))
}

/// What each entry says: its number tells.
pub(super) fn payload(sequence: Sequence) -> Vec<u8> {
    let length = 20 + (sequence.0 * 37 % 300) as usize;
    (0..length).map(|at| (sequence.0.wrapping_mul(31).wrapping_add(at as u64) % 251) as u8).collect()
}

/// Opens a log whose entries are as `payload` says. Gives it with what was found and the snapshot's sequence.
pub(super) fn open_checked(dir: &Path, options: Options, mode: Mode) -> (Wal, Report, Sequence) {
    let mut covered = Sequence(0);
    let mut next = None;
    let (wal, report) = Wal::open(dir, options, IDENTITY, mode, &mut |_, replayed| match replayed {
        Replayed::Snapshot(header) => {
            covered = header.sequence;
            next = Some(header.sequence.next());
        }
        Replayed::Entry(entry) => {
            assert_eq!(entry.sequence, next.unwrap_or(Sequence(1)));
            assert_eq!(entry.payload, payload(entry.sequence));
            next = Some(entry.sequence.next());
        }
        Replayed::Replaced(from) => panic!("{from} was replaced by nobody"),
        // What a snapshot stands for is committed, and nothing else here.
        Replayed::Committed(through) => assert!(through <= covered, "{through} was committed by nobody"),
    })
    .expect("the log opens");
    assert_eq!(report.last, next.map_or(Sequence(0), Sequence::before));
    (wal, report, covered)
}

/// This test program again, to play the part of a child: see `child`.
pub(super) fn child(part: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own path"));
    arguments(&mut command, part, dir);
    command
}

fn arguments(command: &mut Command, part: &str, dir: &Path) {
    command.args(["--exact", "child::plays_its_part", "--nocapture", "--test-threads=1"]);
    command.env("TRIMTAB_WAL_PART", part).env("TRIMTAB_WAL_DIR", dir);
}

/// The same, with a file system of `bytes` in memory at `dir`, in mount and user namespaces of its own.
pub(super) fn child_on_small_disk(part: &str, dir: &Path, bytes: u64) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size={bytes} tmpfs \"$TRIMTAB_WAL_DIR\" && exec \"$0\" \"$@\"");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    command.arg(std::env::current_exe().expect("a test knows its own path"));
    arguments(&mut command, part, dir);
    command
}

/// Runs a child to its end, which must be a good one.
pub(super) fn run(mut command: Command) {
    let output = command.output().expect("the child can be started");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("part: done"), "{}\n{out}\n{err}", output.status);
}
