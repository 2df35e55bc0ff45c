//! Reading durable entries by their numbers, for replication and for replay.

use crate::error::{Damage, Error, Result};

use super::disk::Disk;
use super::names::{Epoch, File, Sequence};
use super::record::Body;
use super::scan::{Found, Scanner};
use super::segment::Label;

/// An entry as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number.
    pub sequence: Sequence,
    /// Its epoch.
    pub epoch: Epoch,
    /// The writer's clock in milliseconds since 1970.
    pub clock_ms: u64,
    /// What was appended.
    pub payload: &'a [u8],
}

/// Where a range of entries lies: made by [`Log::plan`](super::Log::plan), read without the log.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) from: Sequence,
    pub(super) to: Sequence,
    pub(super) pieces: Vec<Piece>,
}

/// Entries that follow each other in one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) ordinal: u64,
    pub(super) salt: u64,
    pub(super) segment_bytes: u64,
    pub(super) offset: u64,
    pub(super) first: Sequence,
    pub(super) through: Sequence,
}

impl Plan {
    /// The first entry that will be read.
    pub fn from(&self) -> Sequence {
        self.from
    }

    /// The last entry that will be read.
    pub fn to(&self) -> Sequence {
        self.to
    }

    /// Reads the entries in order and gives each to `take`, until that answers `false`. Blocks as long as the disk
    /// does.
    ///
    /// `NotFound` when the segment was let go of meanwhile, since a snapshot stands for its entries; `Corrupt` when
    /// an entry is not what was written; `Io` when the system refuses.
    pub fn read(&self, disk: &impl Disk, mut take: impl FnMut(&Entry<'_>) -> bool) -> Result<()> {
        for piece in &self.pieces {
            let file = File::Segment(piece.ordinal);
            let mut scanner = Scanner::new(disk, file, piece.salt, piece.offset, piece.segment_bytes);
            let mut next = piece.first;
            while next <= piece.through {
                let at = scanner.offset;
                let why = match scanner.next() {
                    Ok(Found::Record(_, record)) => match record.body {
                        Body::Entry(payload) if record.sequence == next => {
                            next = next.next();
                            let (sequence, epoch, clock_ms) =
                                (record.sequence, record.epoch, record.clock_ms);
                            if sequence >= self.from && !take(&Entry { sequence, epoch, clock_ms, payload }) {
                                return Ok(());
                            }
                            continue;
                        }
                        Body::Entry(_) => "the entry is another than the one that was written",
                        _ => continue,
                    },
                    Ok(Found::Nothing(why)) => why,
                    Ok(Found::Unknown { .. }) => "the record is of a kind this release does not know",
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Err(self.gone(piece));
                    }
                    Err(error) => return Err(Error::io(format!("read {}", disk.name(file)), &error)),
                };
                if self.is_gone(disk, piece) {
                    return Err(self.gone(piece));
                }
                return Err(Error::Corrupt(Box::new(Damage {
                    file: disk.name(file),
                    offset: at,
                    what: why.into(),
                    hint: "fetch the entries from another node, or write a snapshot, which does without them"
                        .into(),
                })));
            }
        }
        Ok(())
    }

    /// Whether the file leads another life by now.
    fn is_gone(&self, disk: &impl Disk, piece: &Piece) -> bool {
        let mut head = [0; super::segment::LABEL_BYTES];
        match disk.read(File::Segment(piece.ordinal), 0, &mut head) {
            Ok(read) if read == head.len() => {
                Label::decode(&head).is_ok_and(|label| label.salt != piece.salt)
            }
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    fn gone(&self, piece: &Piece) -> Error {
        let through = piece.through;
        Error::NotFound {
            what: "entry",
            value: format!("{} to {through}: a snapshot stands for them", piece.first),
        }
    }
}
