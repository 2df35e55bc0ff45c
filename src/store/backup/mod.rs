//! Backups: a directory that holds what a store was, and grows by what came since. Nothing here knows a thread or a
//! clock; all that is asked of a disk is [`Disk`](crate::store::log::Disk).
//!
//! A backup is a manifest and the files it names: snapshots, in the format of the log's, and entries, in records as the
//! log's. No file is changed once it is named. So what stops midway, or fails, leaves the backup as it was before.
//!
//! | file | owns |
//! |---|---|
//! | `manifest` | what a backup is made of, and what there is to go back to |
//! | `entries` | a file of entries |
//! | `target` | a backup being added to |
//! | `restore` | a log made of a backup |
//! | `verify` | reading all of it |

mod entries;
mod manifest;
mod restore;
mod target;
mod verify;

pub use entries::{ENTRIES_HEADER_BYTES, EntriesHeader, EntriesReader, EntriesWriter};
pub use manifest::{Kind, MANIFEST_BYTES_MAX, MANIFEST_VERSION, Manifest, ManifestFault, Part, Span};
pub use restore::{Point, Restored, restore};
pub use target::{Added, Target, last_payload_crc};
pub use verify::verify;
