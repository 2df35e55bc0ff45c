//! Where a damaged log can be cut off, so that what is left is a log.

use crate::error::{Damage, Error, Result};

use super::directory::read_headers;
use super::disk::Disk;
use super::names::File;
use super::segment::RECORDS_OFFSET;

/// What goes when a log is cut off where it is damaged.
pub(super) struct Cut {
    /// The segment that is cut, and where.
    pub(super) at: Option<(File, u64)>,
    /// The segments that go, oldest first.
    pub(super) removed: Vec<File>,
}

impl Cut {
    /// `None` when nothing would be left, or when the damage is in no segment: a log behind a damaged snapshot is of
    /// no use.
    pub(super) fn plan(disk: &impl Disk, damage: &Damage) -> Result<Option<Self>> {
        let mut files = disk.list().map_err(|error| Error::io("list the directory", &error))?;
        files.sort();
        let damaged = files.iter().copied().find(|file| disk.name(*file) == damage.file);
        let Some(File::Segment(ordinal)) = damaged else { return Ok(None) };
        let is_cut = damage.offset >= RECORDS_OFFSET && matches!(read_headers(disk, ordinal)?, (_, Ok(_)));
        let first_gone = if is_cut { ordinal + 1 } else { ordinal };
        let segments = files.iter().copied().filter(|file| matches!(file, File::Segment(_)));
        if !is_cut && segments.clone().next() == Some(File::Segment(ordinal)) {
            return Ok(None);
        }
        let removed = segments.filter(|file| *file >= File::Segment(first_gone)).collect();
        Ok(Some(Self { at: is_cut.then_some((File::Segment(ordinal), damage.offset)), removed }))
    }
}

/// Has what is said of damage found on opening name the command that cuts the log off, where that can be done.
pub(super) fn advise(disk: &impl Disk, error: Error) -> Error {
    let Error::Corrupt(mut damage) = error else { return error };
    if matches!(Cut::plan(disk, &damage), Ok(Some(_))) {
        damage.hint.push_str("; \"trimtab wal repair\" cuts the log off here, and what came later is lost");
    }
    Error::Corrupt(damage)
}
