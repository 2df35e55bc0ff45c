//! A snapshot file, byte by byte (`docs/wal-format.md`): a header, chunks, and an end that counts them.

use super::bytes::{padded, put, u32_at, u64_at};
use super::names::{Epoch, Identity, Sequence};
use super::record::PAYLOAD_BYTES_MAX;
use super::segment::{HeaderFault, VERSION, check};

/// The bytes of a snapshot's header.
pub const SNAPSHOT_HEADER_BYTES: usize = 72;
/// The bytes of a chunk before its payload.
pub const CHUNK_HEADER_BYTES: usize = 16;
/// The longest payload of a chunk, in bytes.
pub const CHUNK_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;

const MAGIC: [u8; 8] = *b"trimtabP";

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Whose log it belongs to.
    pub identity: Identity,
    /// The last entry that is in it.
    pub sequence: Sequence,
    /// The epoch of that entry.
    pub epoch: Epoch,
    /// The writer's clock in milliseconds since 1970.
    pub clock_ms: u64,
}

impl SnapshotHeader {
    /// Its bytes. Their checksum is what the first chunk names as the one before.
    pub fn encode(&self) -> ([u8; SNAPSHOT_HEADER_BYTES], u32) {
        let mut bytes = [0; SNAPSHOT_HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 16, &self.identity.cluster);
        put(&mut bytes, 32, &self.identity.node.to_le_bytes());
        put(&mut bytes, 40, &self.sequence.0.to_le_bytes());
        put(&mut bytes, 48, &self.epoch.0.to_le_bytes());
        put(&mut bytes, 56, &self.clock_ms.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..64]);
        put(&mut bytes, 64, &crc.to_le_bytes());
        (bytes, crc)
    }

    /// The header at the beginning of `bytes`, and its checksum.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u32), HeaderFault> {
        check(bytes, MAGIC, SNAPSHOT_HEADER_BYTES, 64)?;
        let cluster = bytes[16..32].try_into().expect("sixteen bytes");
        let header = Self {
            identity: Identity { cluster, node: u64_at(bytes, 32) },
            sequence: Sequence(u64_at(bytes, 40)),
            epoch: Epoch(u64_at(bytes, 48)),
            clock_ms: u64_at(bytes, 56),
        };
        Ok((header, u32_at(bytes, 64)))
    }
}

/// A piece of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Bytes of the log's user.
    Data(&'a [u8]),
    /// Who is in the cluster, as in the log.
    Membership(&'a [u8]),
    /// There is no more.
    End {
        /// How many chunks came before.
        chunks: u64,
        /// The bytes of their payloads together.
        bytes: u64,
    },
}

impl Chunk<'_> {
    const fn code(&self) -> u8 {
        match self {
            Chunk::Data(_) => 1,
            Chunk::Membership(_) => 2,
            Chunk::End { .. } => 3,
        }
    }
}

/// The bytes of a chunk with such a payload.
pub const fn chunk_bytes(payload_bytes: usize) -> usize {
    padded(CHUNK_HEADER_BYTES + payload_bytes)
}

/// Appends a chunk that lies at `offset` of the file to `to`, and gives its checksum. `previous` is that of the
/// chunk before, or of the header.
pub fn encode_chunk(to: &mut Vec<u8>, offset: u64, previous: u32, chunk: &Chunk<'_>) -> u32 {
    let start = to.len();
    let numbers;
    let payload = match *chunk {
        Chunk::Data(payload) | Chunk::Membership(payload) => payload,
        Chunk::End { chunks, bytes } => {
            let mut both = [0; 16];
            put(&mut both, 0, &chunks.to_le_bytes());
            put(&mut both, 8, &bytes.to_le_bytes());
            numbers = both;
            &numbers
        }
    };
    debug_assert!(payload.len() <= CHUNK_BYTES_MAX);
    let mut header = [0; CHUNK_HEADER_BYTES];
    put(&mut header, 4, &previous.to_le_bytes());
    put(&mut header, 8, &(payload.len() as u32).to_le_bytes());
    header[12] = chunk.code();
    to.extend_from_slice(&header);
    to.extend_from_slice(payload);
    to.resize(start + chunk_bytes(payload.len()), 0);
    let crc = crc32c::crc32c_append(seed(offset), &to[start + 4..]);
    put(to, start, &crc.to_le_bytes());
    crc
}

/// Why bytes are no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkFault {
    /// They end before the chunk does.
    Short {
        /// How many there must be to know more.
        bytes: usize,
    },
    /// They are not what was written.
    Bad(&'static str),
}

/// The chunk at the beginning of `bytes`, which lie at `offset` of the file; its checksum, and its length in the
/// file.
pub fn decode_chunk(bytes: &[u8], offset: u64, previous: u32) -> Result<(Chunk<'_>, u32, usize), ChunkFault> {
    if bytes.len() < CHUNK_HEADER_BYTES {
        return Err(ChunkFault::Short { bytes: CHUNK_HEADER_BYTES });
    }
    let length = u32_at(bytes, 8) as usize;
    if length > CHUNK_BYTES_MAX {
        return Err(ChunkFault::Bad("the chunk's length is beyond the limit"));
    }
    let total = chunk_bytes(length);
    if bytes.len() < total {
        return Err(ChunkFault::Short { bytes: total });
    }
    let crc = u32_at(bytes, 0);
    if crc32c::crc32c_append(seed(offset), &bytes[4..total]) != crc {
        return Err(ChunkFault::Bad("the chunk's checksum does not match"));
    }
    if u32_at(bytes, 4) != previous {
        return Err(ChunkFault::Bad("the chunk does not follow the one before"));
    }
    let payload = &bytes[CHUNK_HEADER_BYTES..CHUNK_HEADER_BYTES + length];
    let chunk = match (bytes[12], length) {
        (1, _) => Chunk::Data(payload),
        (2, _) => Chunk::Membership(payload),
        (3, 16) => Chunk::End { chunks: u64_at(payload, 0), bytes: u64_at(payload, 8) },
        _ => return Err(ChunkFault::Bad("the chunk is of a kind this release does not know")),
    };
    Ok((chunk, crc, total))
}

fn seed(offset: u64) -> u32 {
    crc32c::crc32c(&offset.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_every_bit_counts() {
        let header = SnapshotHeader {
            identity: Identity { cluster: [7; 16], node: 1 },
            sequence: Sequence(12),
            epoch: Epoch(2),
            clock_ms: 55,
        };
        let (mut bytes, crc) = header.encode();
        assert_eq!(SnapshotHeader::decode(&bytes), Ok((header, crc)));
        for bit in 0..68 * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SnapshotHeader::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for chunk in [Chunk::Data(b"state"), Chunk::Membership(b""), Chunk::End { chunks: 2, bytes: 5 }] {
            let mut bytes = Vec::new();
            let crc = encode_chunk(&mut bytes, 72, 9, &chunk);
            assert_eq!(decode_chunk(&bytes, 72, 9), Ok((chunk, crc, bytes.len())));
            assert!(decode_chunk(&bytes, 80, 9).is_err() && decode_chunk(&bytes, 72, 8).is_err());
            for len in 0..bytes.len() {
                assert!(matches!(decode_chunk(&bytes[..len], 72, 9), Err(ChunkFault::Short { .. })));
            }
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(decode_chunk(&bytes, 72, 9).is_err(), "{chunk:?} bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}
