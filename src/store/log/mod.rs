//! The write-ahead log: what is appended lasts, in order, and is read back as it was or not at all.
//!
//! [`Log`] is a state machine without a disk: it says what to write, and is told how that went. [`open`] makes one from
//! what lies in a directory; [`Plan`] reads entries by their numbers, [`SnapshotWriter`] and [`SnapshotReader`] are for
//! snapshots, [`Scrub`] reads everything again to find what has rotted. All they ask of a disk is [`Disk`].
//!
//! | file | owns |
//! |---|---|
//! | `names` | sequences, epochs, identities, the files of a directory |
//! | `record`, `segment`, `snapshot_format` | the formats, byte by byte; `docs/wal-format.md` describes them |
//! | `state` | what records add up to, and which may come next |
//! | `log` | batches: what is gathered, on its way, durable |
//! | `segments` | the life of files: made, filled, prepared, started, used again |
//! | `marks`, `read` | where entries lie; reading a range of them |
//! | `directory` | whose log lies there, and what its headers say |
//! | `scan`, `recover` | reading records one by one; opening a log |
//! | `cut` | where a damaged log can be cut off |
//! | `inspect` | looking at a log that is not open, and mending it |
//! | `snapshot`, `scrub` | writing and reading snapshots; looking for rot |
//! | `options` | what a log is told: units, ranges, defaults |

pub(super) mod bytes;
mod cut;
mod directory;
mod disk;
mod inspect;
#[allow(clippy::module_inception)]
mod log;
mod marks;
mod names;
mod options;
mod read;
pub mod record;
mod recover;
mod scan;
mod scrub;
pub mod segment;
mod segments;
mod snapshot;
pub mod snapshot_format;
mod state;
mod upkeep;

pub(super) use directory::check_identity;
pub use directory::{find_identity, find_label, lock};
pub use disk::Disk;
pub use inspect::{Repair, dump};
pub use log::{Appended, Flush, Log};
pub use names::{Epoch, File, Identity, Sequence, Ticket};
pub use options::Options;
pub use read::{Entry, Plan};
pub use recover::{Covered, Replayed, Report, Torn, check, open};
pub use scrub::Scrub;
pub use snapshot::{Part, SnapshotReader, SnapshotWriter, Written};
pub use state::State;
pub use upkeep::Upkeep;
