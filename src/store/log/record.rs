//! Records, byte by byte (`docs/wal-format.md`): what is appended to a segment, one after the other.
//!
//! A record's checksum covers where it lies (the segment's salt and the offset) beside what it says, so bytes of a
//! segment's former life, or written to the wrong place, are never taken for a record; and it names the
//! checksum of the record before, so none can be missing in between.

use super::bytes::{padded, put, u16_at, u32_at, u64_at};
use super::names::{Epoch, Sequence};

/// The bytes of a record before its payload.
pub const RECORD_HEADER_BYTES: usize = 44;

/// The longest payload, in bytes. A segment may have less room (see [`Options`](super::Options)).
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// Where the header's own checksum lies, of all before it. With it a length is known to be one before so many bytes
/// are looked at; and whoever chooses payloads cannot make recovery try lengths that are none.
const CHECK_AT: usize = 42;

/// Where a record's kind lies; 0 is none.
pub(super) const KIND_AT: usize = 40;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// An entry: bytes of the log's user.
    Entry(&'a [u8]),
    /// For whom this node voted.
    Vote(Vote),
    /// Who is in the cluster: bytes of the log's user, the last one counts.
    Membership(&'a [u8]),
    /// All entries up to this one are committed.
    Commit(Sequence),
    /// The entries from this one on are replaced by those that follow.
    Replace(Sequence),
    /// A snapshot is durable; entries up to its sequence need not be replayed.
    Snapshot(SnapshotMark),
    /// The log was opened: a number never used before, so that nothing left behind by a crash fits after it, and
    /// how many bytes recovery cut off.
    Open {
        /// The number.
        nonce: u64,
        /// The bytes of the torn tail; 0 when there was none.
        cut_bytes: u64,
    },
    /// The log was closed in order: everything before it had been written.
    Close,
}

/// A vote. Both 0: none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// The epoch it counts for.
    pub epoch: Epoch,
    /// The node voted for; 0 for none.
    pub node: u64,
}

/// Which snapshot a log goes on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMark {
    /// The last entry that is in it.
    pub sequence: Sequence,
    /// The epoch of that entry.
    pub epoch: Epoch,
    /// The log's own entries no longer count: the next entry is the one after the snapshot's.
    pub is_restart: bool,
}

impl Body<'_> {
    /// The number on disk.
    pub const fn code(&self) -> u8 {
        match self {
            Body::Entry(_) => 1,
            Body::Vote(_) => 2,
            Body::Membership(_) => 3,
            Body::Commit(_) => 4,
            Body::Replace(_) => 5,
            Body::Snapshot(_) => 6,
            Body::Open { .. } => 7,
            Body::Close => 8,
        }
    }

    /// What it is called in what is printed.
    pub const fn name(&self) -> &'static str {
        match self {
            Body::Entry(_) => "entry",
            Body::Vote(_) => "vote",
            Body::Membership(_) => "membership",
            Body::Commit(_) => "commit",
            Body::Replace(_) => "replace",
            Body::Snapshot(_) => "snapshot",
            Body::Open { .. } => "open",
            Body::Close => "close",
        }
    }

    /// The length of the payload, in bytes.
    pub const fn len(&self) -> usize {
        match self {
            Body::Entry(payload) | Body::Membership(payload) => payload.len(),
            Body::Vote(_) | Body::Open { .. } => 16,
            Body::Commit(_) | Body::Replace(_) => 8,
            Body::Snapshot(_) => 24,
            Body::Close => 0,
        }
    }

    /// Whether the payload has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn write(&self, to: &mut Vec<u8>) {
        let mut numbers = |numbers: &[u64]| {
            for number in numbers {
                to.extend_from_slice(&number.to_le_bytes());
            }
        };
        match *self {
            Body::Entry(payload) | Body::Membership(payload) => to.extend_from_slice(payload),
            Body::Vote(vote) => numbers(&[vote.epoch.0, vote.node]),
            Body::Commit(sequence) | Body::Replace(sequence) => numbers(&[sequence.0]),
            Body::Snapshot(mark) => numbers(&[mark.sequence.0, mark.epoch.0, u64::from(mark.is_restart)]),
            Body::Open { nonce, cut_bytes } => numbers(&[nonce, cut_bytes]),
            Body::Close => {}
        }
    }

    /// What the payload of a record of this kind says; `None` when no release writes such a one.
    fn read(code: u8, payload: &[u8]) -> Option<Body<'_>> {
        let number = |at: usize| u64_at(payload, at * 8);
        Some(match (code, payload.len()) {
            (1, _) => Body::Entry(payload),
            (2, 16) => Body::Vote(Vote { epoch: Epoch(number(0)), node: number(1) }),
            (3, _) => Body::Membership(payload),
            (4, 8) => Body::Commit(Sequence(number(0))),
            (5, 8) => Body::Replace(Sequence(number(0))),
            (6, 24) if number(2) <= 1 => Body::Snapshot(SnapshotMark {
                sequence: Sequence(number(0)),
                epoch: Epoch(number(1)),
                is_restart: number(2) == 1,
            }),
            (7, 16) => Body::Open { nonce: number(0), cut_bytes: number(1) },
            (8, 0) => Body::Close,
            _ => return None,
        })
    }
}

/// A record as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its checksum, which the next record names.
    pub crc: u32,
    /// The checksum of the record before.
    pub previous: u32,
    /// How many bytes of its batch lie before it. A batch is written when the one before is durable.
    pub batch_bytes: u32,
    /// The epoch of the entry; for other records that of the last entry that counts when the record does.
    pub epoch: Epoch,
    /// The entry's own sequence; for other records that of the last entry that counts when the record does.
    pub sequence: Sequence,
    /// The writer's clock in milliseconds since 1970; it may step back.
    pub clock_ms: u64,
    /// What it says.
    pub body: Body<'a>,
    /// Its bytes on disk, header and padding included.
    pub bytes: usize,
}

/// Where a record lies, as far as its checksum is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment's salt.
    pub salt: u64,
    /// Bytes from the beginning of the file.
    pub offset: u64,
}

impl Place {
    fn seed(self) -> u32 {
        crc32c::crc32c(&(self.salt ^ self.offset).to_le_bytes())
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They end before the record does.
    Short {
        /// How many there must be to know more.
        bytes: usize,
    },
    /// They say nothing: zeros, or what was there before.
    Nothing(&'static str),
    /// They are what was written, by a release that knows more than this one.
    Unknown {
        /// The record's kind.
        code: u8,
        /// Its flags.
        flags: u8,
    },
}

/// The bytes of a record with such a payload.
pub const fn record_bytes(payload_bytes: usize) -> usize {
    padded(RECORD_HEADER_BYTES + payload_bytes)
}

/// What goes into a record's header beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Heading {
    /// As in [`Record::previous`].
    pub previous: u32,
    /// As in [`Record::batch_bytes`].
    pub batch_bytes: u32,
    /// As in [`Record::epoch`].
    pub epoch: Epoch,
    /// As in [`Record::sequence`].
    pub sequence: Sequence,
    /// As in [`Record::clock_ms`].
    pub clock_ms: u64,
}

/// Appends a record to `to` and gives its checksum. The payload is at most [`PAYLOAD_BYTES_MAX`] long.
pub fn encode(to: &mut Vec<u8>, place: Place, heading: &Heading, body: &Body<'_>) -> u32 {
    let start = to.len();
    let payload_bytes = body.len();
    debug_assert!(payload_bytes <= PAYLOAD_BYTES_MAX);
    let mut header = [0; RECORD_HEADER_BYTES];
    put(&mut header, 4, &heading.previous.to_le_bytes());
    put(&mut header, 8, &(payload_bytes as u32).to_le_bytes());
    put(&mut header, 12, &heading.batch_bytes.to_le_bytes());
    put(&mut header, 16, &heading.epoch.0.to_le_bytes());
    put(&mut header, 24, &heading.sequence.0.to_le_bytes());
    put(&mut header, 32, &heading.clock_ms.to_le_bytes());
    header[40] = body.code();
    let crc = crc32c::crc32c_append(place.seed(), &header[4..CHECK_AT]);
    put(&mut header, CHECK_AT, &(crc as u16).to_le_bytes());
    to.extend_from_slice(&header);
    body.write(to);
    to.resize(start + record_bytes(payload_bytes), 0);
    let crc = crc32c::crc32c_append(crc, &to[start + CHECK_AT..]);
    put(to, start, &crc.to_le_bytes());
    crc
}

/// How long the record at the beginning of `bytes` says it is, when its header is whole.
pub fn claimed_bytes(bytes: &[u8], place: Place) -> Result<usize, Fault> {
    Ok(claim(bytes, place)?.0)
}

/// The length of the record, and the checksum of its header as far as [`CHECK_AT`].
fn claim(bytes: &[u8], place: Place) -> Result<(usize, u32), Fault> {
    if bytes.len() < RECORD_HEADER_BYTES {
        return Err(Fault::Short { bytes: RECORD_HEADER_BYTES });
    }
    let length = u32_at(bytes, 8) as usize;
    if bytes[40] == 0 {
        return Err(Fault::Nothing("there is no record"));
    }
    let crc = crc32c::crc32c_append(place.seed(), &bytes[4..CHECK_AT]);
    if crc as u16 != u16_at(bytes, CHECK_AT) {
        return Err(Fault::Nothing("the record's header does not match its checksum"));
    }
    if length > PAYLOAD_BYTES_MAX {
        return Err(Fault::Nothing("the record's length is beyond the limit"));
    }
    Ok((record_bytes(length), crc))
}

/// Whether bytes that are no record look like the rest of one: all but one of a header's fields are what they would
/// be in the record after the one with the checksum `chain`, the last entry being `last`. Gives how long it was, if
/// that can be told.
pub fn looks_torn(bytes: &[u8], place: Place, chain: u32, last: Sequence, batch_bytes: u64) -> Option<usize> {
    if bytes.len() < RECORD_HEADER_BYTES {
        return None;
    }
    let sequence = u64_at(bytes, 24);
    let batch = u64::from(u32_at(bytes, 12));
    let signs = [
        u32_at(bytes, 4) == chain,
        batch == 0 || batch == batch_bytes,
        sequence == last.0 || sequence == last.next().0,
        (1..=8).contains(&bytes[40]),
        bytes[41] == 0,
        claim(bytes, place).is_ok(),
    ];
    let is_header = signs.iter().filter(|sign| **sign).count() + 1 >= signs.len()
        || (!signs[5] && signs.iter().filter(|sign| **sign).count() + 2 >= signs.len());
    let length = u32_at(bytes, 8) as usize;
    is_header.then(|| if length <= PAYLOAD_BYTES_MAX { record_bytes(length) } else { RECORD_HEADER_BYTES })
}

/// The record at the beginning of `bytes`, when its checksum holds at this place. Whether it follows the
/// record before is the caller's to see.
pub fn decode(bytes: &[u8], place: Place) -> Result<Record<'_>, Fault> {
    let (total, header_crc) = claim(bytes, place)?;
    if bytes.len() < total {
        return Err(Fault::Short { bytes: total });
    }
    let crc = u32_at(bytes, 0);
    if crc32c::crc32c_append(header_crc, &bytes[CHECK_AT..total]) != crc {
        return Err(Fault::Nothing("the record's checksum does not match"));
    }
    let (code, flags) = (bytes[40], bytes[41]);
    let payload = &bytes[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + u32_at(bytes, 8) as usize];
    let body = match Body::read(code, payload) {
        Some(body) if flags == 0 => body,
        _ => return Err(Fault::Unknown { code, flags }),
    };
    Ok(Record {
        crc,
        previous: u32_at(bytes, 4),
        batch_bytes: u32_at(bytes, 12),
        epoch: Epoch(u64_at(bytes, 16)),
        sequence: Sequence(u64_at(bytes, 24)),
        clock_ms: u64_at(bytes, 32),
        body,
        bytes: total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { salt: 0x5a17, offset: 8192 };
    const HEADING: Heading =
        Heading { previous: 7, batch_bytes: 0, epoch: Epoch(3), sequence: Sequence(9), clock_ms: 1_234 };

    fn bodies() -> [Body<'static>; 10] {
        [
            Body::Entry(b"hello"),
            Body::Entry(b""),
            Body::Entry(b"four"),
            Body::Vote(Vote { epoch: Epoch(4), node: 2 }),
            Body::Membership(b"one two three"),
            Body::Commit(Sequence(8)),
            Body::Replace(Sequence(9)),
            Body::Snapshot(SnapshotMark { sequence: Sequence(5), epoch: Epoch(2), is_restart: true }),
            Body::Open { nonce: 77, cut_bytes: 12 },
            Body::Close,
        ]
    }

    #[test]
    fn what_is_written_reads_back() {
        for body in bodies() {
            let mut bytes = Vec::new();
            let crc = encode(&mut bytes, PLACE, &HEADING, &body);
            let record = decode(&bytes, PLACE).unwrap();
            assert_eq!((record.body, record.crc, record.bytes), (body, crc, bytes.len()));
            assert_eq!((record.previous, record.epoch, record.sequence), (7, Epoch(3), Sequence(9)));
            assert_eq!((record.clock_ms, record.batch_bytes), (1_234, 0));
            assert_eq!(bytes.len() % 8, 0);
        }
    }

    #[test]
    fn every_bit_counts() {
        for body in bodies() {
            let mut bytes = Vec::new();
            encode(&mut bytes, PLACE, &HEADING, &body);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&bytes, PLACE).is_err(), "{body:?} bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_record_counts_only_where_it_was_written() {
        let mut bytes = Vec::new();
        encode(&mut bytes, PLACE, &HEADING, &Body::Entry(b"hello"));
        for place in [Place { salt: 1, ..PLACE }, Place { offset: 16_384, ..PLACE }] {
            assert!(matches!(decode(&bytes, place), Err(Fault::Nothing(_))));
        }
    }

    #[test]
    fn what_ends_early_says_how_much_is_missing() {
        let mut bytes = Vec::new();
        encode(&mut bytes, PLACE, &HEADING, &Body::Entry(b"hello"));
        for len in 0..bytes.len() {
            let wanted = if len < RECORD_HEADER_BYTES { RECORD_HEADER_BYTES } else { bytes.len() };
            assert_eq!(decode(&bytes[..len], PLACE), Err(Fault::Short { bytes: wanted }));
        }
    }

    #[test]
    fn a_later_release_s_record_is_told_from_damage() {
        for (at, value) in [(40, 9), (41, 1)] {
            let mut bytes = Vec::new();
            encode(&mut bytes, PLACE, &HEADING, &Body::Entry(b"hello"));
            bytes[at] = value;
            let check = crc32c::crc32c_append(PLACE.seed(), &bytes[4..CHECK_AT]) as u16;
            put(&mut bytes, CHECK_AT, &check.to_le_bytes());
            let crc = crc32c::crc32c_append(PLACE.seed(), &bytes[4..]);
            put(&mut bytes, 0, &crc.to_le_bytes());
            assert!(matches!(decode(&bytes, PLACE), Err(Fault::Unknown { .. })));
        }
    }
}
