//! A log's directory in memory, whose files can be changed.

#[path = "../../tests/shared/memory.rs"]
mod memory;

pub(crate) use memory::Memory;

/// Has the bytes of one of the files changed.
pub(crate) fn tamper(disk: &Memory, file: usize, change: impl FnOnce(&mut Vec<u8>)) {
    let mut files = disk.0.borrow_mut();
    let count = files.len().max(1);
    if let Some(bytes) = files.values_mut().nth(file % count) {
        change(bytes);
    }
}
