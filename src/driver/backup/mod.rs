//! Backups of a store, in directories: taken while it is open ([`Store::backup`](crate::embedded::Store::backup)) or of a
//! directory that nobody has open ([`backup_closed`]), read again ([`verify`]), and made into a directory anew
//! ([`restore`]).
//!
//! ```no_run
//! use trimtab::backup::{self, RestoreOptions};
//! use trimtab::embedded::{Options, Store};
//!
//! let store = Store::open("data", Options::default())?;
//! store.backup("/mnt/backup/data", &backup::Options::default())?;
//! backup::restore("/mnt/backup/data", "restored", &RestoreOptions::default())?;
//! # Ok::<(), trimtab::Error>(())
//! ```
//!
//! `docs/store.md` says what a backup promises, `docs/backup-format.md` has its files.

mod closed;
mod folder;
pub(super) mod open;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::driver::log::FileDisk;
use crate::error::{Error, Result};
use crate::store::backup as pure;
use crate::store::log::Identity;
use crate::sys::entropy;

pub use self::closed::backup_closed;
pub use crate::store::backup::{Kind, Manifest, Part, Point, Restored, Span};

/// How a backup is taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Begin anew with a snapshot, also when the log has all that came since the last time. Restoring is then quicker.
    pub is_full: bool,
}

/// What a backup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The last entry that is in the backup.
    pub sequence: u64,
    /// The sequence of the snapshot that was added; 0: none.
    pub snapshot: u64,
    /// How many entries were added.
    pub entries: u64,
    /// How many bytes.
    pub bytes: u64,
    /// All that the backup holds now.
    pub manifest: Manifest,
}

impl Report {
    fn new(before: &Manifest, manifest: Manifest) -> Self {
        let added =
            manifest.parts.iter().filter(|part| !before.parts.iter().any(|it| it.file() == part.file()));
        let entries = added.clone().filter(|part| part.kind == Kind::Entries);
        let snapshots = added.clone().filter(|part| part.kind == Kind::Snapshot);
        Self {
            sequence: manifest.last().0,
            snapshot: snapshots.map(|part| part.last).max().unwrap_or(0),
            entries: entries.map(|part| part.last - part.first + 1).fold(0, u64::saturating_add),
            bytes: added.map(|part| part.bytes).fold(0, u64::saturating_add),
            manifest,
        }
    }
}

/// How a backup is restored.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// Where to go back to.
    pub point: Point,
    /// Whose the restored store is to be; `None`: that of a new cluster, node 1, which no node and no configuration of the
    /// old one takes for the store it was.
    pub identity: Option<Identity>,
}

/// Makes a store in the directory `to` of the backup in `from`. The directory is made if it is not there; nothing may be in
/// it but what an earlier restore left that did not come to its end. Until this has come to its end the directory is
/// not opened by anybody. Blocks for the disk.
///
/// # Errors
///
/// `NotFound` when there is no backup in `from`; `InvalidArgument` when something is in `to`, for a point that the backup
/// does not hold (it says what it holds), or for the identity of a store that replicates; `Corrupt` when the backup is
/// damaged: which file, at which byte; `Unsupported` when a later release wrote it; `Io`. There is nothing in `to` then,
/// as before.
pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>, options: &RestoreOptions) -> Result<Restored> {
    let from = existing(from.as_ref())?;
    let manifest = read(&from)?;
    let random = random()?;
    let new = Identity { cluster: *random.first_chunk().expect("32 bytes begin with 16"), node: 1 };
    folder::check_restored(to.as_ref())?;
    let target = FileDisk::new(to.as_ref())?;
    let identity = options.identity.unwrap_or(new);
    pure::restore(&from, &manifest, options.point, &target, identity, seed(&random))
}

/// What the backup in a directory holds, as its manifest says.
///
/// # Errors
///
/// `NotFound` when there is none; `Corrupt`, `Unsupported`, `Io`.
pub fn read_manifest(from: impl AsRef<Path>) -> Result<Manifest> {
    read(&existing(from.as_ref())?)
}

/// Reads all of the backup in a directory, and gives what it holds. Blocks for the disk.
///
/// # Errors
///
/// `NotFound` when there is none; `Corrupt` for the first file that is damaged, at which byte; `Unsupported`; `Io`.
pub fn verify(from: impl AsRef<Path>) -> Result<Manifest> {
    let from = existing(from.as_ref())?;
    let manifest = read(&from)?;
    pure::verify(&from, &manifest)?;
    Ok(manifest)
}

/// The directory of a backup.
fn existing(dir: &Path) -> Result<FileDisk> {
    FileDisk::read_only(dir).map_err(|error| not_there(error, "backup", dir))
}

/// Where there is no directory there is no backup in it, and no store.
fn not_there(error: Error, what: &'static str, dir: &Path) -> Error {
    match error {
        Error::Io { code: libc::ENOENT, .. } => {
            Error::NotFound { what, value: format!("in {}: there is no such directory", dir.display()) }
        }
        error => error,
    }
}

fn read(disk: &FileDisk) -> Result<Manifest> {
    Manifest::read(disk)?.ok_or_else(|| Error::NotFound {
        what: "backup",
        value: format!("in {}: there is no manifest.json", disk.dir().display()),
    })
}

fn random() -> Result<[u8; 32]> {
    entropy::bytes().map_err(|error| Error::io("read random bytes", &error))
}

fn seed(random: &[u8; 32]) -> u64 {
    u64::from_le_bytes(*random.last_chunk().expect("32 bytes end with 8"))
}

fn clock_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
