//! Faults under a whole store: bits, disks, clocks, and directories that are not what they should be.

pub(super) mod clock;
pub(super) mod directories;
pub(super) mod files;
mod flips;
pub(super) mod room;
pub(super) mod sync;
