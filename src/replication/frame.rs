//! What goes from node to node, byte by byte (`docs/replication.md`): a header with a checksum of all that follows it.
//!
//! A frame says whose it is, and of which cluster; in which epoch its sender is and whom that follows; and it carries the
//! stamps by which leases and the age of reads are known, see `lease`. A frame that is cut, changed, of
//! another cluster or of a later release is refused before anything of it is believed.

use std::fmt;

use super::message::Body;
use super::wire::{Reader, put_u64};

/// The version that is written, the only one read.
pub const VERSION: u16 = 1;
/// The bytes of a frame before its body.
pub const HEADER_BYTES: usize = 128;
/// The longest frame, in bytes: one entry as long as a record may be, and what goes with it.
pub const FRAME_BYTES_MAX: usize = (64 << 20) + (64 << 10);

const MAGIC: u16 = 0x7454;
/// What the checksum is of begins here.
const CHECKED_AT: usize = 8;

/// Why a frame was not taken.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends before it should.
    Cut,
    /// It says that it is longer than any is.
    TooLong {
        /// How long it says it is.
        bytes: u64,
    },
    /// It is no frame, or was changed on its way.
    Damaged,
    /// It is as it was sent, and cannot be.
    Malformed(&'static str),
    /// A later release wrote it.
    Newer {
        /// Its version.
        version: u16,
    },
    /// It belongs to another cluster.
    OtherCluster {
        /// That one.
        cluster: [u8; 16],
    },
    /// It is for another node.
    NotForUs {
        /// The node it is for.
        to: u64,
    },
    /// Its sender was removed from the cluster.
    Removed {
        /// The sender.
        from: u64,
    },
    /// It is of a generation before the last promotion by force.
    OldGeneration {
        /// The sender.
        from: u64,
        /// Its generation.
        generation: u64,
    },
    /// It is of a generation after a promotion by force of which this node has not heard by its log.
    NewGeneration {
        /// The sender.
        from: u64,
        /// Its generation.
        generation: u64,
    },
    /// It comes from a process that another one with the same number has taken the place of: sent late, or again, or two
    /// run at once.
    Retired {
        /// The sender.
        from: u64,
    },
    /// Its sender says that it leads or is led, where only the receiver may be primary.
    Stranger {
        /// The sender.
        from: u64,
    },
    /// It contradicts what is committed here.
    Diverged {
        /// The sender.
        from: u64,
        /// Where.
        sequence: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Cut => f.write_str("the frame is cut"),
            Fault::TooLong { bytes } => {
                write!(f, "the frame says it has {bytes} bytes, more than {FRAME_BYTES_MAX}")
            }
            Fault::Damaged => f.write_str("the frame is none, or was changed on its way"),
            Fault::Malformed(what) => write!(f, "the frame cannot be: {what}"),
            Fault::Newer { version } => {
                write!(f, "the frame has version {version}, this release reads {VERSION}; update this node")
            }
            Fault::OtherCluster { cluster } => {
                f.write_str("the frame is of another cluster, ")?;
                cluster.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("; check the addresses of peers")
            }
            Fault::NotForUs { to } => write!(f, "the frame is for node {to}; check the addresses of peers"),
            Fault::Removed { from } => {
                write!(f, "node {from} was removed from the cluster; add it under a number never used before")
            }
            Fault::OldGeneration { from, generation } => write!(
                f,
                "node {from} is of generation {generation}, and another was promoted since; take its directory away \
                 and add it anew"
            ),
            Fault::NewGeneration { from, generation } => write!(
                f,
                "node {from} is of generation {generation}, which was promoted by force: this node waits to hear whether its log goes on there"
            ),
            Fault::Retired { from } => write!(
                f,
                "the frame is of an earlier process of node {from}; if both run, give one another number and directory"
            ),
            Fault::Stranger { from } => write!(
                f,
                "node {from} has a primary, and here only this node votes: two clusters have one name; end one of them, and \
                 begin it anew under another"
            ),
            Fault::Diverged { from, sequence } => write!(
                f,
                "node {from} has another entry {sequence} than the one committed here; take this node's directory \
                 away and add it anew"
            ),
        }
    }
}

impl std::error::Error for Fault {}

/// What a frame says beside its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The cluster.
    pub cluster: [u8; 16],
    /// Who sends it.
    pub from: u64,
    /// For whom it is.
    pub to: u64,
    /// The process of the sender: a random number, drawn when its directory was opened.
    pub boot: u64,
    /// The generation the sender is in.
    pub generation: u64,
    /// The epoch the sender is in.
    pub epoch: u64,
    /// Whom it follows in that; itself when it is primary; 0 when it knows none.
    pub leader: u64,
    /// A number that rises with each frame the sender sends in its life: when, by its clock.
    pub stamp: u64,
    /// The highest stamp of the receiver's that the sender has taken in, 0 when it has none: see `lease`.
    pub echo: u64,
    /// What was committed when this was sent, and one; 0 when the sender cannot vouch for it.
    pub attest: u64,
    /// The number under which the sender asks to be taken in again, since it has forgotten something; 0 when it has not.
    pub forgot: u64,
}

/// Encodes a frame into `to`, which is emptied before.
pub fn encode(to: &mut Vec<u8>, header: &Header, body: &Body) {
    to.clear();
    to.extend_from_slice(&[0; 8]);
    to.extend_from_slice(&MAGIC.to_le_bytes());
    to.extend_from_slice(&VERSION.to_le_bytes());
    to.push(body.code());
    to.extend_from_slice(&[0; 3]);
    to.extend_from_slice(&header.cluster);
    for number in [
        header.from,
        header.to,
        header.boot,
        header.generation,
        header.epoch,
        header.leader,
        header.stamp,
        header.echo,
        header.attest,
        header.forgot,
    ] {
        put_u64(to, number);
    }
    to.resize(HEADER_BYTES, 0);
    body.encode(to);
    seal(to);
}

/// Fills in the length and the checksum of a frame that is otherwise complete, at least a header long. For tests that make
/// up what no release writes.
pub fn seal(frame: &mut [u8]) {
    let len = (frame.len() as u32).to_le_bytes();
    frame[..4].copy_from_slice(&len);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&len), &frame[CHECKED_AT..]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// How long the frame at the beginning of `bytes` is; `None` while that cannot be told yet.
///
/// # Errors
///
/// `TooLong` and `Cut` for a length that none has: nothing behind it can be read.
pub fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(len) = bytes.get(..4) else { return Ok(None) };
    let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
    match len {
        _ if len < HEADER_BYTES => Err(Fault::Cut),
        _ if len > FRAME_BYTES_MAX => Err(Fault::TooLong { bytes: len as u64 }),
        _ => Ok(Some(len)),
    }
}

/// What a frame says: all of `bytes` is one.
///
/// # Errors
///
/// The fault of the first thing that is wrong.
pub fn decode(bytes: &[u8]) -> Result<(Header, Body), Fault> {
    let len = frame_bytes(bytes)?.ok_or(Fault::Cut)?;
    if len != bytes.len() {
        return Err(if len > bytes.len() {
            Fault::Cut
        } else {
            Fault::Malformed("it is followed by something")
        });
    }
    let crc = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
    if crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[CHECKED_AT..]) != crc {
        return Err(Fault::Damaged);
    }
    if bytes[8..10] != MAGIC.to_le_bytes() {
        return Err(Fault::Damaged);
    }
    let version = u16::from_le_bytes([bytes[10], bytes[11]]);
    if version != VERSION {
        return Err(Fault::Newer { version });
    }
    let kind = bytes[12];
    let mut from = Reader(&bytes[16..]);
    let cluster = from.take(16)?.try_into().expect("sixteen bytes");
    let header = Header {
        cluster,
        from: from.u64()?,
        to: from.u64()?,
        boot: from.u64()?,
        generation: from.u64()?,
        epoch: from.u64()?,
        leader: from.u64()?,
        stamp: from.u64()?,
        echo: from.u64()?,
        attest: from.u64()?,
        forgot: from.u64()?,
    };
    if header.from == 0 || bytes[13..16] != [0; 3] || bytes[112..HEADER_BYTES].iter().any(|byte| *byte != 0) {
        return Err(Fault::Malformed("its header has what no release writes"));
    }
    Ok((header, Body::decode(kind, &bytes[HEADER_BYTES..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            cluster: *b"a cluster of one",
            from: 1,
            to: 2,
            boot: 3,
            epoch: 4,
            stamp: 5,
            ..Header::default()
        }
    }

    #[test]
    fn a_frame_reads_back() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &header(), &Body::Ping);
        assert_eq!(decode(&bytes), Ok((header(), Body::Ping)));
        assert_eq!(frame_bytes(&bytes), Ok(Some(bytes.len())));
    }

    #[test]
    fn every_bit_counts_and_so_does_every_byte() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &header(), &Body::Ping);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &header(), &Body::Ping);
        bytes[10] = 2;
        seal(&mut bytes);
        assert_eq!(decode(&bytes), Err(Fault::Newer { version: 2 }));
    }
}
