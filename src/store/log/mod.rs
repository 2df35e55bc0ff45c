//! The write-ahead log: what is appended lasts, in order, and is read back as it was or not at all.
//!
//! | file | owns |
//! |---|---|
//! | `names` | sequences, epochs, identities, the files of a directory |
//! | `record`, `segment`, `snapshot_format` | the formats, byte by byte; `docs/wal-format.md` describes them |

mod bytes;
mod names;
pub mod record;
pub mod segment;
pub mod snapshot_format;

pub use names::{Epoch, File, Identity, Sequence, Ticket};
