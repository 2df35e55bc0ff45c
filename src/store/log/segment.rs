//! A segment's two headers, byte by byte (`docs/wal-format.md`).
//!
//! The label is written, and durable, before the file gets a segment's name; the start when the log comes to it,
//! and it is durable before the first record. They lie in blocks of their own, so what tears one spares the
//! other. A segment with a label alone is prepared for later and holds nothing.

use super::bytes::{put, u16_at, u32_at, u64_at};
use super::names::{Epoch, Identity, Sequence};

/// The version that this release writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// Where the start lies, in bytes from the beginning of the file; the label lies at 0.
pub const START_OFFSET: u64 = 4096;
/// Where the first record lies.
pub const RECORDS_OFFSET: u64 = 8192;
/// The bytes of a label.
pub const LABEL_BYTES: usize = 72;
/// The bytes of a start.
pub const START_BYTES: usize = 96;

const LABEL_MAGIC: [u8; 8] = *b"trimtabL";
const START_MAGIC: [u8; 8] = *b"trimtabS";

/// Which segment a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Whose log it belongs to.
    pub identity: Identity,
    /// Its place in the log, from 1.
    pub ordinal: u64,
    /// A random number, another one for each life of the file.
    pub salt: u64,
    /// The length of the file, in bytes.
    pub segment_bytes: u64,
}

/// How a segment goes on from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// As in the file's label.
    pub label: Label,
    /// The sequence of the next entry, unless the entries from an earlier one on are replaced.
    pub first: Sequence,
    /// The epoch of the last entry before.
    pub epoch: Epoch,
    /// The checksum of the last record before.
    pub chain: u32,
    /// Where the records of the segment before end; 0 in a log's first segment.
    pub previous_end: u64,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// They say nothing, or what they say is not what was written.
    Nothing,
    /// They are of another version.
    Version(u16),
}

impl Label {
    /// Its bytes.
    pub fn encode(&self) -> [u8; LABEL_BYTES] {
        let mut bytes = [0; LABEL_BYTES];
        self.write(&mut bytes, LABEL_MAGIC);
        let crc = crc32c::crc32c(&bytes[..64]);
        put(&mut bytes, 64, &crc.to_le_bytes());
        bytes
    }

    /// The label at the beginning of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        check(bytes, LABEL_MAGIC, LABEL_BYTES, 64)?;
        Ok(Self::read(bytes))
    }

    fn write(&self, bytes: &mut [u8], magic: [u8; 8]) {
        put(bytes, 0, &magic);
        put(bytes, 8, &VERSION.to_le_bytes());
        put(bytes, 16, &self.identity.cluster);
        put(bytes, 32, &self.identity.node.to_le_bytes());
        put(bytes, 40, &self.ordinal.to_le_bytes());
        put(bytes, 48, &self.salt.to_le_bytes());
        put(bytes, 56, &self.segment_bytes.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let cluster = bytes[16..32].try_into().expect("sixteen bytes");
        Self {
            identity: Identity { cluster, node: u64_at(bytes, 32) },
            ordinal: u64_at(bytes, 40),
            salt: u64_at(bytes, 48),
            segment_bytes: u64_at(bytes, 56),
        }
    }
}

impl Start {
    /// Its bytes.
    pub fn encode(&self) -> [u8; START_BYTES] {
        let mut bytes = [0; START_BYTES];
        self.label.write(&mut bytes, START_MAGIC);
        put(&mut bytes, 12, &self.chain.to_le_bytes());
        put(&mut bytes, 64, &self.first.0.to_le_bytes());
        put(&mut bytes, 72, &self.epoch.0.to_le_bytes());
        put(&mut bytes, 80, &self.previous_end.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..88]);
        put(&mut bytes, 88, &crc.to_le_bytes());
        bytes
    }

    /// The start at the beginning of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        check(bytes, START_MAGIC, START_BYTES, 88)?;
        Ok(Self {
            label: Label::read(bytes),
            first: Sequence(u64_at(bytes, 64)),
            epoch: Epoch(u64_at(bytes, 72)),
            chain: u32_at(bytes, 12),
            previous_end: u64_at(bytes, 80),
        })
    }
}

/// Magic and version lie at the same place in all versions. What has another version is told as that even when its
/// checksum fails, since where another release has it cannot be known.
pub(in crate::store) fn check(
    bytes: &[u8],
    magic: [u8; 8],
    len: usize,
    crc_at: usize,
) -> Result<(), HeaderFault> {
    if bytes.len() < len || bytes[..8] != magic {
        return Err(HeaderFault::Nothing);
    }
    match u16_at(bytes, 8) {
        VERSION if crc32c::crc32c(&bytes[..crc_at]) == u32_at(bytes, crc_at) => Ok(()),
        // No release writes 0: a header that was torn behind its magic has it.
        0 | VERSION => Err(HeaderFault::Nothing),
        other => Err(HeaderFault::Version(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label = Label {
        identity: Identity { cluster: *b"0123456789abcdef", node: 3 },
        ordinal: 2,
        salt: 0xfeed,
        segment_bytes: 16_384,
    };

    #[test]
    fn headers_read_back_and_every_bit_counts() {
        let start =
            Start { label: LABEL, first: Sequence(10), epoch: Epoch(4), chain: 99, previous_end: 12_000 };
        assert_eq!(Label::decode(&LABEL.encode()), Ok(LABEL));
        assert_eq!(Start::decode(&start.encode()), Ok(start));
        assert_eq!(Label::decode(&start.encode()), Err(HeaderFault::Nothing));
        let mut bytes = LABEL.encode();
        for bit in 0..68 * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Label::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let mut bytes = start.encode();
        for bit in 0..92 * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Start::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn another_version_is_told_from_nothing() {
        let mut bytes = LABEL.encode();
        bytes[8] = 2;
        assert_eq!(Label::decode(&bytes), Err(HeaderFault::Version(2)));
        let crc = crc32c::crc32c(&bytes[..64]);
        put(&mut bytes, 64, &crc.to_le_bytes());
        assert_eq!(Label::decode(&bytes), Err(HeaderFault::Version(2)));
        assert_eq!(Label::decode(&[0; 4096]), Err(HeaderFault::Nothing));
        assert_eq!(Label::decode(&[]), Err(HeaderFault::Nothing));
    }
}
