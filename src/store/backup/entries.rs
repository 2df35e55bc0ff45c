//! A file of entries, byte by byte (`docs/backup-format.md`): a header, records as in a segment, and a close record
//! behind the last, so that one which was cut short is known for it.

use crate::error::{Damage, Error, Result};
use crate::store::log::bytes::{put, u32_at, u64_at};
use crate::store::log::record::{
    Body, Fault, Heading, Place, RECORD_HEADER_BYTES, Record, decode, encode, record_bytes,
};
use crate::store::log::segment::{HeaderFault, VERSION, check};
use crate::store::log::{Disk, Entry, Epoch, File, Identity, Sequence, check_identity};

use super::manifest::{Kind, Part};

/// The bytes of a header.
pub const ENTRIES_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"trimtabE";

/// How much is gathered before it is written, and read at once.
const PIECE_BYTES: usize = 1 << 20;

/// How much is written between two syncs: one great sync at the end would hold up the log's.
const SYNC_BYTES: u64 = 4 << 20;

/// What a file of entries says at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntriesHeader {
    /// Whose they are.
    pub identity: Identity,
    /// The first one.
    pub first: Sequence,
    /// A number that stands in each record's checksum.
    pub salt: u64,
}

impl EntriesHeader {
    /// Its bytes. Their checksum is what the first record names as the one before.
    pub fn encode(&self) -> ([u8; ENTRIES_HEADER_BYTES], u32) {
        let mut bytes = [0; ENTRIES_HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 16, &self.identity.cluster);
        put(&mut bytes, 32, &self.identity.node.to_le_bytes());
        put(&mut bytes, 40, &self.first.0.to_le_bytes());
        put(&mut bytes, 48, &self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        put(&mut bytes, 60, &crc.to_le_bytes());
        (bytes, crc)
    }

    /// The header at the beginning of `bytes`, and its checksum.
    pub fn decode(bytes: &[u8]) -> std::result::Result<(Self, u32), HeaderFault> {
        check(bytes, MAGIC, ENTRIES_HEADER_BYTES, 60)?;
        let cluster = bytes[16..32].try_into().expect("sixteen bytes");
        let header = Self {
            identity: Identity { cluster, node: u64_at(bytes, 32) },
            first: Sequence(u64_at(bytes, 40)),
            salt: u64_at(bytes, 48),
        };
        Ok((header, u32_at(bytes, 60)))
    }
}

/// A file of entries being written. Dropped before it is finished it leaves a file that the next backup takes away.
#[derive(Debug)]
pub struct EntriesWriter {
    first: Sequence,
    salt: u64,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    offset: u64,
    chain: u32,
    unsynced_bytes: u64,
    /// The first and the last entry.
    ends: Option<(Seen, Seen)>,
}

/// What is noted of an entry.
#[derive(Clone, Copy, Debug)]
struct Seen {
    sequence: Sequence,
    epoch: Epoch,
    clock_ms: u64,
    payload_crc: u32,
}

impl EntriesWriter {
    /// Begins a file. `Io` when the system refuses.
    ///
    /// - `salt`: a random number.
    pub fn begin(disk: &impl Disk, identity: Identity, first: Sequence, salt: u64) -> Result<Self> {
        let file = File::Unfinished(first);
        disk.create(file, 0).map_err(|error| Error::io(format!("make {}", disk.name(file)), &error))?;
        let (bytes, chain) = EntriesHeader { identity, first, salt }.encode();
        let buffer = bytes.to_vec();
        Ok(Self { first, salt, buffer, offset: 0, chain, unsynced_bytes: 0, ends: None })
    }

    /// Adds the next entry.
    pub fn entry(&mut self, disk: &impl Disk, entry: &Entry<'_>) -> Result<()> {
        let Entry { sequence, epoch, clock_ms, payload } = *entry;
        debug_assert_eq!(sequence, self.ends.map_or(self.first, |(_, last)| last.sequence.next()));
        let seen = Seen { sequence, epoch, clock_ms, payload_crc: crc32c::crc32c(payload) };
        self.ends = Some((self.ends.map_or(seen, |(first, _)| first), seen));
        self.record(&seen, &Body::Entry(payload));
        if self.buffer.len() >= PIECE_BYTES {
            self.write(disk)?;
            if self.unsynced_bytes >= SYNC_BYTES {
                self.unsynced_bytes = 0;
                self.sync(disk)?;
            }
        }
        Ok(())
    }

    /// Ends the file, makes it durable and gives it its name; what the manifest is to say of it. `None` when there is
    /// no entry in it: then it is taken away. Blocks for the syncs.
    ///
    /// - `through_ms`: all that there was up to this time is in it.
    pub fn finish(mut self, disk: &impl Disk, through_ms: u64) -> Result<Option<Part>> {
        let Some((first, last)) = self.ends else {
            self.discard(disk);
            return Ok(None);
        };
        self.record(&last, &Body::Close);
        self.write(disk)?;
        let (from, to) = (File::Unfinished(self.first), File::Entries(self.first));
        self.sync(disk)?;
        disk.rename(from, to)
            .and_then(|()| disk.sync_names())
            .map_err(|error| Error::io(format!("write {} durably", disk.name(to)), &error))?;
        Ok(Some(Part {
            kind: Kind::Entries,
            first: first.sequence.0,
            last: last.sequence.0,
            last_epoch: last.epoch.0,
            first_clock_ms: first.clock_ms,
            last_clock_ms: last.clock_ms,
            through_ms: through_ms.max(last.clock_ms),
            bytes: self.offset,
            last_payload_crc32c: Some(last.payload_crc),
        }))
    }

    /// Takes away what was written. If it stays, the next backup takes it away.
    pub fn discard(self, disk: &impl Disk) {
        let _ = disk.remove(File::Unfinished(self.first));
    }

    fn record(&mut self, of: &Seen, body: &Body<'_>) {
        let offset = self.offset + self.buffer.len() as u64;
        let heading = Heading {
            previous: self.chain,
            batch_bytes: 0,
            epoch: of.epoch,
            sequence: of.sequence,
            clock_ms: of.clock_ms,
        };
        self.buffer.reserve(record_bytes(body.len()));
        self.chain = encode(&mut self.buffer, Place { salt: self.salt, offset }, &heading, body);
    }

    fn write(&mut self, disk: &impl Disk) -> Result<()> {
        let file = File::Unfinished(self.first);
        disk.write(file, self.offset, &self.buffer)
            .map_err(|error| Error::io(format!("write {}", disk.name(file)), &error))?;
        self.offset += self.buffer.len() as u64;
        self.unsynced_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&self, disk: &impl Disk) -> Result<()> {
        let file = File::Unfinished(self.first);
        disk.sync(file).map_err(|error| Error::io(format!("write {} durably", disk.name(file)), &error))
    }
}

/// A file of entries being read: each is checked, and the end says whether that were all.
#[derive(Debug)]
pub struct EntriesReader {
    file: File,
    header: EntriesHeader,
    buffer: Vec<u8>,
    /// Where in the buffer the next record begins.
    at: usize,
    /// Where in the file it begins.
    offset: u64,
    chain: u32,
    next: Sequence,
    epoch: Epoch,
    is_done: bool,
}

impl EntriesReader {
    /// Opens one of this node's. `Corrupt`, `Unsupported`, `InvalidArgument` when it is another node's, `Io`.
    pub fn open(disk: &impl Disk, file: File, identity: Identity) -> Result<Self> {
        let mut reader = Self {
            file,
            header: EntriesHeader { identity, first: Sequence(0), salt: 0 },
            buffer: Vec::new(),
            at: 0,
            offset: 0,
            chain: 0,
            next: Sequence(0),
            epoch: Epoch(0),
            is_done: false,
        };
        reader.fill(disk, ENTRIES_HEADER_BYTES)?;
        let (header, chain) = EntriesHeader::decode(&reader.buffer).map_err(|fault| match fault {
            HeaderFault::Nothing => damaged(disk, file, 0, "the header is not what was written"),
            HeaderFault::Version(version) => Error::Unsupported {
                what: "backup version",
                detail: format!(
                    "{} has version {version}, this release reads {VERSION}; use a later release",
                    disk.name(file)
                )
                .into(),
            },
        })?;
        check_identity(identity, header.identity, || disk.name(file))?;
        if matches!(file, File::Entries(first) if first != header.first) || header.first == Sequence(0) {
            return Err(damaged(disk, file, 40, "it begins with another entry than its name says"));
        }
        reader.at = ENTRIES_HEADER_BYTES;
        reader.offset = ENTRIES_HEADER_BYTES as u64;
        (reader.header, reader.chain, reader.next) = (header, chain, header.first);
        Ok(reader)
    }

    /// What it says at its beginning.
    pub fn header(&self) -> &EntriesHeader {
        &self.header
    }

    /// How many bytes were read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry; `None` after the last, when it is known that none is missing. `Corrupt` when one is not what was
    /// written.
    pub fn next(&mut self, disk: &impl Disk) -> Result<Option<Entry<'_>>> {
        if self.is_done {
            return Ok(None);
        }
        let (file, offset) = (self.file, self.offset);
        let place = Place { salt: self.header.salt, offset };
        let mut wanted = RECORD_HEADER_BYTES;
        // Only to have the borrow end before the buffer is looked at for good.
        let (crc, previous, bytes, entry, is_entry, is_close) = loop {
            let have = self.fill(disk, wanted)?;
            match decode(&self.buffer[self.at..], place) {
                Ok(Record { crc, previous, bytes, epoch, sequence, clock_ms, body, .. }) => {
                    let entry = Entry { sequence, epoch, clock_ms, payload: &[] };
                    break (
                        crc,
                        previous,
                        bytes,
                        entry,
                        matches!(body, Body::Entry(_)),
                        matches!(body, Body::Close),
                    );
                }
                Err(Fault::Short { bytes }) if have >= wanted && bytes > wanted => wanted = bytes,
                Err(Fault::Short { .. }) => return Err(damaged(disk, file, offset, "the file ends early")),
                Err(Fault::Nothing(why)) => return Err(damaged(disk, file, offset, why)),
                Err(Fault::Unknown { code, flags }) => {
                    return Err(Error::Unsupported {
                        what: "record",
                        detail: format!(
                            "{} has one of kind {code} with flags {flags} at byte {offset}; use a later release",
                            disk.name(file)
                        )
                        .into(),
                    });
                }
            }
        };
        if previous != self.chain {
            return Err(damaged(disk, file, offset, "the record does not follow the one before"));
        }
        let is_next = entry.sequence == self.next && entry.epoch >= self.epoch && entry.sequence.0 < u64::MAX;
        let is_last = entry.sequence == self.next.before() && self.next > self.header.first;
        if !(is_entry && is_next || is_close && is_last) {
            return Err(damaged(disk, file, offset, "the record cannot come here"));
        }
        (self.chain, self.epoch) = (crc, entry.epoch);
        self.at += bytes;
        self.offset += bytes as u64;
        if is_close {
            self.is_done = true;
            if self.fill(disk, 1)? > 0 {
                return Err(damaged(disk, file, self.offset, "there is something behind the end"));
            }
            return Ok(None);
        }
        self.next = entry.sequence.next();
        let record = &self.buffer[self.at - bytes..self.at];
        let payload = &record[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + u32_at(record, 8) as usize];
        Ok(Some(Entry { payload, ..entry }))
    }

    /// Sees to it that `wanted` bytes of what comes next are in the buffer; gives how many there are.
    fn fill(&mut self, disk: &impl Disk, wanted: usize) -> Result<usize> {
        let have = self.buffer.len() - self.at;
        if have >= wanted {
            return Ok(have);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        if have == 0 {
            // From the system, which need not write the zeros.
            self.buffer = vec![0; wanted.max(PIECE_BYTES)];
        } else {
            self.buffer.resize(wanted.max(PIECE_BYTES), 0);
        }
        let mut filled = have;
        while filled < self.buffer.len() {
            let got = disk
                .read(self.file, self.offset + filled as u64, &mut self.buffer[filled..])
                .map_err(|error| Error::io(format!("read {}", disk.name(self.file)), &error))?;
            if got == 0 {
                break;
            }
            filled += got;
        }
        self.buffer.truncate(filled);
        Ok(filled)
    }
}

/// What to do about damage to a file of a backup.
const HINT: &str = "take another backup, or restore to a point before what is damaged";

/// Damage to a file that is of a log's format, in a backup.
pub(super) fn in_backup(error: Error) -> Error {
    match error {
        Error::Corrupt(damage) => Error::Corrupt(Box::new(Damage { hint: HINT.into(), ..*damage })),
        other => other,
    }
}

pub(super) fn damaged(disk: &impl Disk, file: File, offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt(Box::new(Damage { file: disk.name(file), offset, what: what.into(), hint: HINT.into() }))
}
