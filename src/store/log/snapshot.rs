//! Writing and reading snapshots: state in pieces, in a file that gets its name when it is whole.

use std::io;

use crate::error::{Damage, Error, Result};

use super::disk::Disk;
use super::names::{File, Identity};
use super::segment::HeaderFault;
use super::snapshot_format::{
    CHUNK_BYTES_MAX, CHUNK_HEADER_BYTES, Chunk, ChunkFault, SNAPSHOT_HEADER_BYTES, SnapshotHeader,
    decode_chunk, encode_chunk,
};

/// How much is gathered before it is written.
const PIECE_BYTES: usize = 1 << 20;

/// A snapshot that is durable: what [`Log::handle_snapshot`](super::Log::handle_snapshot) is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it is of.
    pub header: SnapshotHeader,
    /// The length of its file.
    pub bytes: u64,
}

/// A snapshot being written. Dropped before it is finished it leaves a file that the next open takes away.
#[derive(Debug)]
pub struct SnapshotWriter {
    header: SnapshotHeader,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    offset: u64,
    chain: u32,
    chunks: u64,
    payload_bytes: u64,
}

impl SnapshotWriter {
    /// Begins a file. `Io` when the system refuses.
    pub fn begin(disk: &impl Disk, header: SnapshotHeader) -> Result<Self> {
        let file = File::Unfinished(header.sequence);
        disk.create(file, 0).map_err(|error| Error::io(format!("make {}", disk.name(file)), &error))?;
        let (bytes, chain) = header.encode();
        let mut buffer = Vec::with_capacity(PIECE_BYTES + (64 << 10));
        buffer.extend_from_slice(&bytes);
        Ok(Self { header, buffer, offset: 0, chain, chunks: 0, payload_bytes: 0 })
    }

    /// Adds bytes of the state, at most [`CHUNK_BYTES_MAX`] of them. They are read back in the same pieces.
    pub fn data(&mut self, disk: &impl Disk, bytes: &[u8]) -> Result<()> {
        self.add(disk, &Chunk::Data(bytes), bytes)
    }

    /// Adds who is in the cluster.
    pub fn membership(&mut self, disk: &impl Disk, bytes: &[u8]) -> Result<()> {
        self.add(disk, &Chunk::Membership(bytes), bytes)
    }

    /// Ends the file, makes it durable and gives it its name. Blocks for the syncs.
    pub fn finish(mut self, disk: &impl Disk) -> Result<Written> {
        let end = Chunk::End { chunks: self.chunks, bytes: self.payload_bytes };
        let offset = self.offset + self.buffer.len() as u64;
        encode_chunk(&mut self.buffer, offset, self.chain, &end);
        self.write(disk)?;
        let (from, to) = (File::Unfinished(self.header.sequence), File::Snapshot(self.header.sequence));
        let is_new = disk.bytes(to).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let done = disk
            .sync(from)
            .and_then(|()| disk.rename(from, to))
            .and_then(|()| {
                disk.sync_names().inspect_err(|_| {
                    // The log takes no account of it: it would lie there beside the next one, and the one after that.
                    if is_new {
                        let _ = disk.remove(to);
                    }
                })
            })
            .map_err(|error| Error::io(format!("write {} durably", disk.name(to)), &error));
        done.map(|()| Written { header: self.header, bytes: self.offset })
    }

    fn add(&mut self, disk: &impl Disk, chunk: &Chunk<'_>, payload: &[u8]) -> Result<()> {
        if payload.len() > CHUNK_BYTES_MAX {
            return Err(Error::invalid(
                "chunk",
                format!("{} bytes are more than {CHUNK_BYTES_MAX}; give them in several", payload.len()),
            ));
        }
        let offset = self.offset + self.buffer.len() as u64;
        self.chain = encode_chunk(&mut self.buffer, offset, self.chain, chunk);
        self.chunks += 1;
        self.payload_bytes += payload.len() as u64;
        if self.buffer.len() >= PIECE_BYTES {
            self.write(disk)?;
        }
        Ok(())
    }

    fn write(&mut self, disk: &impl Disk) -> Result<()> {
        let file = File::Unfinished(self.header.sequence);
        disk.write(file, self.offset, &self.buffer)
            .map_err(|error| Error::io(format!("write {}", disk.name(file)), &error))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// A snapshot being read: its chunks come one by one, each checked, and the end says whether that were all.
#[derive(Debug)]
pub struct SnapshotReader {
    file: File,
    header: SnapshotHeader,
    buffer: Vec<u8>,
    /// Where in the buffer the next chunk begins.
    at: usize,
    /// Where in the file it begins.
    offset: u64,
    chain: u32,
    chunks: u64,
    payload_bytes: u64,
    is_done: bool,
}

/// A chunk as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Bytes of the state.
    Data(&'a [u8]),
    /// Who is in the cluster.
    Membership(&'a [u8]),
}

impl SnapshotReader {
    /// Opens a snapshot of this node. `Corrupt`, `Unsupported`, `InvalidArgument` when it is another node's, `Io`.
    pub fn open(disk: &impl Disk, file: File, identity: Identity) -> Result<Self> {
        let (header, chain) = read_header(disk, file)?;
        super::directory::check_identity(identity, header.identity, || disk.name(file))?;
        let is_named = match file {
            File::Snapshot(sequence) | File::Unfinished(sequence) => sequence == header.sequence,
            _ => true,
        };
        if !is_named {
            return Err(damaged(disk, file, 40, "the snapshot is of another sequence than its name says"));
        }
        let offset = SNAPSHOT_HEADER_BYTES as u64;
        let (buffer, is_done) = (Vec::new(), false);
        Ok(Self { file, header, buffer, at: 0, offset, chain, chunks: 0, payload_bytes: 0, is_done })
    }

    /// Whose a snapshot is.
    pub(super) fn identity(disk: &impl Disk, file: File) -> Result<Identity> {
        read_header(disk, file).map(|(header, _)| header.identity)
    }

    /// What it is of.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// How many bytes were read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next chunk; `None` after the last, when it is known that none is missing. `Corrupt` when one is not what
    /// was written.
    pub fn next(&mut self, disk: &impl Disk) -> Result<Option<Part<'_>>> {
        if self.is_done {
            return Ok(None);
        }
        let offset = self.offset;
        let mut wanted = CHUNK_HEADER_BYTES;
        let (kind, payload_bytes, crc, total) = loop {
            let have = self.fill(disk, wanted)?;
            match decode_chunk(&self.buffer[self.at..], offset, self.chain) {
                Ok((Chunk::Data(payload), crc, total)) => break (Kind::Data, payload.len(), crc, total),
                Ok((Chunk::Membership(payload), crc, total)) => {
                    break (Kind::Membership, payload.len(), crc, total);
                }
                Ok((Chunk::End { chunks, bytes }, crc, total)) => {
                    if (chunks, bytes) != (self.chunks, self.payload_bytes) {
                        return Err(damaged(disk, self.file, offset, "the snapshot lacks chunks"));
                    }
                    break (Kind::End, 0, crc, total);
                }
                Err(ChunkFault::Short { bytes }) if have >= wanted && bytes > wanted => wanted = bytes,
                Err(ChunkFault::Short { .. }) => {
                    return Err(damaged(disk, self.file, offset, "the snapshot ends early"));
                }
                Err(ChunkFault::Bad(why)) => return Err(damaged(disk, self.file, offset, why)),
            }
        };
        let start = self.at + CHUNK_HEADER_BYTES;
        self.at += total;
        self.offset += total as u64;
        self.chain = crc;
        if let Kind::End = kind {
            self.is_done = true;
            if self.fill(disk, 1)? > 0 {
                return Err(damaged(
                    disk,
                    self.file,
                    self.offset,
                    "there is something behind the snapshot's end",
                ));
            }
            return Ok(None);
        }
        self.chunks += 1;
        self.payload_bytes += payload_bytes as u64;
        let payload = &self.buffer[start..start + payload_bytes];
        Ok(Some(if let Kind::Data = kind { Part::Data(payload) } else { Part::Membership(payload) }))
    }

    /// Sees to it that `wanted` bytes of the next chunk are in the buffer; gives how many there are.
    fn fill(&mut self, disk: &impl Disk, wanted: usize) -> Result<usize> {
        let have = self.buffer.len() - self.at;
        if have >= wanted {
            return Ok(have);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let target = wanted.max(PIECE_BYTES);
        if have == 0 {
            // From the system, which need not write the zeros.
            self.buffer = vec![0; target];
        } else {
            self.buffer.resize(target, 0);
        }
        let read = read_full(disk, self.file, self.offset + have as u64, &mut self.buffer[have..])?;
        self.buffer.truncate(have + read);
        Ok(self.buffer.len())
    }
}

enum Kind {
    Data,
    Membership,
    End,
}

/// Reads until `into` is full or the file ends.
pub(super) fn read_full(disk: &impl Disk, file: File, offset: u64, into: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        let got = disk
            .read(file, offset + filled as u64, &mut into[filled..])
            .map_err(|error| Error::io(format!("read {}", disk.name(file)), &error))?;
        if got == 0 {
            break;
        }
        filled += got;
    }
    Ok(filled)
}

/// The header, and its checksum.
fn read_header(disk: &impl Disk, file: File) -> Result<(SnapshotHeader, u32)> {
    let mut head = [0; SNAPSHOT_HEADER_BYTES];
    let read = read_full(disk, file, 0, &mut head)?;
    SnapshotHeader::decode(&head[..read]).map_err(|fault| match fault {
        HeaderFault::Nothing => damaged(disk, file, 0, "the snapshot's header is not what was written"),
        HeaderFault::Version(version) => unknown_version(disk, file, version),
    })
}

fn damaged(disk: &impl Disk, file: File, offset: u64, what: &str) -> Error {
    Error::Corrupt(Box::new(Damage {
        file: disk.name(file),
        offset,
        what: what.into(),
        hint: "restore the directory from a backup, or fetch the state from another node".into(),
    }))
}

fn unknown_version(disk: &impl Disk, file: File, version: u16) -> Error {
    Error::Unsupported {
        what: "snapshot version",
        detail: format!(
            "{} has version {version}, this release reads 1; use a later release",
            disk.name(file)
        )
        .into(),
    }
}
