//! [`Upkeep`]: a piece of work on segments and spare files, beside the writing of records.

use std::fmt;
use std::io;

use super::disk::Disk;
use super::names::File;
use super::segment::{Label, RECORDS_OFFSET};

/// How many zeros are written at once.
pub(super) const FILL_BYTES: u64 = 1 << 20;

static ZEROS: [u8; FILL_BYTES as usize] = [0; FILL_BYTES as usize];

/// A piece of work on files that hold no record anybody needs. Whoever drives the log does it and tells how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// Make a spare file of this length.
    Create {
        /// Its number.
        spare: u64,
        /// Its length.
        bytes: u64,
        /// So many bytes of the disk must be left then, as far as the disk can say.
        reserve: u64,
    },
    /// See whether so many bytes of the disk are free, for a snapshot that found no room.
    Look {
        /// How many.
        bytes: u64,
    },
    /// Write zeros, so that records later overwrite blocks that are there.
    Fill {
        /// The file.
        spare: u64,
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// Make a spare file the segment of this label, without a start.
    Prepare {
        /// The file.
        spare: u64,
        /// The label.
        label: Label,
    },
    /// Make a segment a spare file.
    Retire {
        /// The segment.
        ordinal: u64,
        /// The number it gets.
        spare: u64,
    },
    /// Take a file away; one that is not there is none too many.
    Remove(File),
}

impl Upkeep {
    /// Does it. Blocks, for a sync of the disk at most.
    pub fn run(&self, disk: &impl Disk) -> io::Result<()> {
        match self {
            Upkeep::Create { spare, bytes, reserve } => {
                let free = disk.free_bytes();
                let needed = bytes.saturating_add(*reserve);
                if let Some(free) = free.filter(|free| *reserve > 0 && *free < needed) {
                    return Err(Full { free }.into());
                }
                disk.create(File::Spare(*spare), *bytes).map_err(|error| match free {
                    Some(free) if error.raw_os_error() == Some(libc::ENOSPC) => Full { free }.into(),
                    _ => error,
                })
            }
            Upkeep::Look { bytes } => match disk.free_bytes() {
                Some(free) if free < *bytes => Err(Full { free }.into()),
                Some(_) => Ok(()),
                None => Err(io::ErrorKind::Unsupported.into()),
            },
            Upkeep::Fill { spare, offset, bytes } => {
                disk.write(File::Spare(*spare), *offset, &ZEROS[..*bytes as usize])
            }
            Upkeep::Prepare { spare, label } => {
                let spare = File::Spare(*spare);
                let mut head = [0; RECORDS_OFFSET as usize];
                let bytes = label.encode();
                head[..bytes.len()].copy_from_slice(&bytes);
                disk.write(spare, 0, &head)?;
                disk.sync(spare)?;
                disk.rename(spare, File::Segment(label.ordinal))?;
                disk.sync_names()
            }
            Upkeep::Retire { ordinal, spare } => {
                disk.rename(File::Segment(*ordinal), File::Spare(*spare))?;
                // Before the file is written to: its old name must not come back with another label in it.
                disk.sync_names()
            }
            Upkeep::Remove(file) => match disk.remove(*file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                // Where it was taken away before, that may not be durable yet.
                _ => disk.sync_names(),
            },
        }
    }

    /// What it does, to which file: in words, for an error.
    pub(super) fn object(&self, disk_name: impl Fn(File) -> String) -> String {
        match self {
            Upkeep::Create { spare, .. } => format!("make {}", disk_name(File::Spare(*spare))),
            Upkeep::Look { .. } => "look for room".into(),
            Upkeep::Fill { spare, .. } => format!("fill {}", disk_name(File::Spare(*spare))),
            Upkeep::Prepare { label, .. } => format!("prepare {}", disk_name(File::Segment(label.ordinal))),
            Upkeep::Retire { ordinal, .. } => format!("retire {}", disk_name(File::Segment(*ordinal))),
            Upkeep::Remove(file) => format!("remove {}", disk_name(*file)),
        }
    }
}

/// There is no room for what is to be written and what is to be left, but only for so many bytes.
#[derive(Debug)]
pub(super) struct Full {
    pub(super) free: u64,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(libc::ENOSPC).fmt(f)
    }
}

impl std::error::Error for Full {}

impl From<Full> for io::Error {
    fn from(full: Full) -> Self {
        io::Error::new(io::ErrorKind::StorageFull, full)
    }
}

/// Whether what was refused was refused for want of room.
pub(super) fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
