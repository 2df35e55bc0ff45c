//! The write-ahead log on real files, and its format as it was recorded.
#![cfg(feature = "store")]

#[path = "../shared/bad_disk.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod bad_disk;
mod batches;
mod child;
#[cfg(feature = "cli")]
mod command;
mod covered;
mod flips;
mod golden;
mod kill;
#[path = "../shared/memory.rs"]
mod memory;
mod missing;
mod refusals;
mod room;
mod support;
mod sync;
