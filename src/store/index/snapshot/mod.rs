//! A state as a stream of chunks: [`SnapshotWriter`] and [`SnapshotReader`]. `docs/store-commands.md` has the
//! encoding byte by byte.
//!
//! The writer holds a view, so nothing pauses and nothing is copied at once; each chunk is made when it is asked
//! for. A reader that was cut off tells where it stands, and any writer over the same view goes on from there.

mod read;
mod write;

use std::fmt;

pub use self::read::SnapshotReader;
pub use self::write::SnapshotWriter;
use super::wire::{put_bytes, put_varint, take_bytes, take_varint};

/// The latest version of chunks. Version 1 is written where it says all there is to say, so that releases which know no other
/// read it.
pub const SNAPSHOT_VERSION: u8 = 2;
/// The version without flags in the header.
const WITHOUT_FLAGS: u8 = 1;
/// The flag of a state that may have forgotten clients, and does not show it by their number or size.
const MAY_HAVE_FORGOTTEN: u64 = 1;
/// The version of positions.
const POSITION_VERSION: u8 = 1;

const MAGIC: &[u8; 4] = b"TTSS";

const HEADER: u8 = 1;
const LEASE: u8 = 2;
const ENTRY: u8 = 3;
const CLIENT: u8 = 4;
const END: u8 = 5;

/// Where in a snapshot a reader stands: behind which chunk, and behind which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The sequence of the snapshot; 0 before its first chunk.
    pub sequence: u64,
    /// The next chunk.
    pub chunk: u64,
    /// The kind of the last record, 0 before the first.
    kind: u8,
    /// Its key.
    key: Vec<u8>,
}

impl Position {
    /// Before everything.
    pub const START: Position = Position { sequence: 0, chunk: 0, kind: 0, key: Vec::new() };

    /// Appends an encoding to `out`, to be sent to who has the view.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(POSITION_VERSION);
        put_varint(out, self.sequence);
        put_varint(out, self.chunk);
        out.push(self.kind);
        put_bytes(out, &self.key);
    }

    /// The position that `bytes` are, if they are one.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        bytes = rest;
        let (sequence, chunk) = (take_varint(&mut bytes)?, take_varint(&mut bytes)?);
        let (kind, rest) = bytes.split_first()?;
        bytes = rest;
        let key = take_bytes(&mut bytes)?.to_vec();
        let is_one = *version == POSITION_VERSION && *kind <= END && bytes.is_empty();
        is_one.then_some(Self { sequence, chunk, kind: *kind, key })
    }
}

/// Why a chunk was not taken.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// These bytes are no chunk of a snapshot.
    NotASnapshot,
    /// A later version of this library wrote it.
    Version {
        /// The version it has.
        found: u8,
    },
    /// A chunk was changed or cut on its way; it can be asked for again.
    Damaged {
        /// Which chunk was expected.
        chunk: u64,
    },
    /// Another chunk is due; it can be asked for.
    OutOfOrder {
        /// Which is due.
        expected: u64,
        /// Which has come.
        found: u64,
    },
    /// A chunk of another snapshot.
    Other {
        /// The sequence of the one begun.
        expected: u64,
        /// The sequence of the one it belongs to.
        found: u64,
    },
    /// A chunk came as it was sent and is wrong all the same. Nothing more is taken: begin anew.
    Invalid {
        /// Which chunk.
        chunk: u64,
        /// What is wrong in it.
        what: &'static str,
    },
    /// It is not complete; more chunks are due.
    Incomplete {
        /// Which is due.
        expected: u64,
    },
    /// The view is not the one the position is in: begin anew.
    Gone {
        /// The sequence of the snapshot begun.
        sequence: u64,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::NotASnapshot => f.write_str("this is no snapshot of a store"),
            SnapshotError::Version { found } => write!(
                f,
                "the snapshot has version {found}, this library reads versions up to {SNAPSHOT_VERSION}; update it"
            ),
            SnapshotError::Damaged { chunk } => {
                write!(f, "chunk {chunk} of the snapshot is damaged or cut; fetch it again")
            }
            SnapshotError::OutOfOrder { expected, found } => {
                write!(f, "chunk {found} of the snapshot came where chunk {expected} is due")
            }
            SnapshotError::Other { expected, found } => write!(
                f,
                "a chunk of the snapshot at sequence {found} came amidst the one at sequence {expected}; begin anew"
            ),
            SnapshotError::Invalid { chunk, what } => {
                write!(f, "chunk {chunk} of the snapshot is wrong ({what}); take another snapshot")
            }
            SnapshotError::Incomplete { expected } => {
                write!(f, "the snapshot is not complete: chunk {expected} is missing")
            }
            SnapshotError::Gone { sequence } => {
                write!(f, "the snapshot at sequence {sequence} is not kept any more; begin anew")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}
