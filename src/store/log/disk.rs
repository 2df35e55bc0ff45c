//! What a log asks of a disk. The ring does it with files, the simulator with files that tear and lie.

use std::io;

use super::names::File;

/// One directory. All calls block until they are done.
pub trait Disk {
    /// Takes the directory for this log alone; [`WouldBlock`](io::ErrorKind::WouldBlock) when it is taken. It is
    /// given back when the disk is dropped.
    fn lock(&self) -> io::Result<()>;

    /// The files whose names are a log's, in any order.
    fn list(&self) -> io::Result<Vec<File>>;

    /// The length of a file, in bytes.
    fn bytes(&self, file: File) -> io::Result<u64>;

    /// Reads from `offset` on, fewer bytes than `into` has only at the end of the file. Gives how many.
    fn read(&self, file: File, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Makes an empty file, in place of one of that name, and reserves `bytes` for it. Where that cannot be done its
    /// length stays 0, and writing makes it longer.
    fn create(&self, file: File, bytes: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    fn write(&self, file: File, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when what was written to a file is durable, and its length. Not its name: see `sync_names`.
    fn sync(&self, file: File) -> io::Result<()>;

    /// Gives a file another name; a file that had it is gone.
    fn rename(&self, from: File, to: File) -> io::Result<()>;

    /// Takes a file away.
    fn remove(&self, file: File) -> io::Result<()>;

    /// Returns when what was created, renamed and removed is durable.
    fn sync_names(&self) -> io::Result<()>;

    /// How many bytes there is still room for; `None`: it cannot say.
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// What a file is called in messages.
    fn name(&self, file: File) -> String {
        file.to_string()
    }
}
