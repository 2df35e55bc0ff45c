//! Reading all of a backup, and holding it against its manifest.

use crate::error::{Error, Result};
use crate::store::log::{Disk, SnapshotReader};

use super::entries::{EntriesReader, damaged, in_backup};
use super::manifest::{Kind, Manifest, Part};

/// Reads each file that the manifest names, all of it. Changes nothing. Blocks for the disk.
///
/// # Errors
///
/// `Corrupt` for the first that is not what was written, or not there; `Unsupported`; `InvalidArgument` when one is of
/// another store; `Io`.
pub fn verify(disk: &impl Disk, manifest: &Manifest) -> Result<()> {
    for part in &manifest.parts {
        let file = part.file();
        match disk.bytes(file) {
            Ok(bytes) if bytes == part.bytes => {}
            Ok(bytes) => {
                let why = format!("it has {bytes} bytes, and {} as the manifest says", part.bytes);
                return Err(damaged(disk, file, bytes.min(part.bytes), why));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged(disk, file, 0, "it is not there"));
            }
            Err(error) => return Err(Error::io(format!("read {}", disk.name(file)), &error)),
        }
        match part.kind {
            Kind::Snapshot => snapshot(disk, manifest, part).map_err(in_backup)?,
            Kind::Entries => entries(disk, manifest, part)?,
        }
    }
    Ok(())
}

fn snapshot(disk: &impl Disk, manifest: &Manifest, part: &Part) -> Result<()> {
    let mut reader = SnapshotReader::open(disk, part.file(), manifest.identity)?;
    let header = *reader.header();
    if (header.sequence.0, header.epoch.0, header.clock_ms)
        != (part.last, part.last_epoch, part.last_clock_ms)
    {
        return Err(damaged(disk, part.file(), 40, "it is another snapshot than the manifest names"));
    }
    while reader.next(disk)?.is_some() {}
    Ok(())
}

fn entries(disk: &impl Disk, manifest: &Manifest, part: &Part) -> Result<()> {
    let mut reader = EntriesReader::open(disk, part.file(), manifest.identity)?;
    let mut last = None;
    while let Some(entry) = reader.next(disk)? {
        last = Some((entry.sequence.0, entry.epoch.0, entry.clock_ms));
    }
    if last != Some((part.last, part.last_epoch, part.last_clock_ms)) {
        let why = "it ends with another entry than the manifest says";
        return Err(damaged(disk, part.file(), reader.offset(), why));
    }
    Ok(())
}
