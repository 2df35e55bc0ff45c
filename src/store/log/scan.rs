//! Records of one segment, one after the other, read in pieces and held against the chain.

use std::io;

use super::disk::Disk;
use super::names::{File, Sequence};
use super::record::{Fault, KIND_AT, Place, RECORD_HEADER_BYTES, Record, claimed_bytes, decode, looks_torn};
use super::segment::RECORDS_OFFSET;

/// How much is read at once, unless a record is longer.
const PIECE_BYTES: usize = 256 << 10;

/// A reader of one segment's records.
pub(super) struct Scanner<'d, D> {
    disk: &'d D,
    file: File,
    salt: u64,
    /// Where the records end, at most.
    limit: u64,
    buffer: Vec<u8>,
    /// Where the buffer's bytes lie in the file.
    buffered: u64,
    /// Where the next record begins.
    pub(super) offset: u64,
    /// The checksum it has to name as the one before; `None` when that is not known.
    pub(super) chain: Option<u32>,
    /// Where the batch of the last record begins; `None` at the beginning.
    pub(super) batch: Option<u64>,
}

/// What lies at a place.
pub(super) enum Found<'a> {
    /// A record, at this offset.
    Record(u64, Record<'a>),
    /// None.
    Nothing(&'static str),
    /// One of a later release.
    Unknown { code: u8, flags: u8 },
}

/// What lies behind the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing that was written to this log's end.
    Nothing,
    /// The rest of a batch that never became durable; so many bytes.
    Torn(u64),
    /// A record that was written when the place in question was durable.
    Later(u64),
}

impl<'d, D: Disk> Scanner<'d, D> {
    /// From the record at `offset` on, up to `limit`.
    pub(super) fn new(disk: &'d D, file: File, salt: u64, offset: u64, limit: u64) -> Self {
        let (buffer, chain, batch) = (Vec::new(), None, None);
        Self { disk, file, salt, limit, buffer, buffered: offset, offset, chain, batch }
    }

    /// The next record.
    pub(super) fn next(&mut self) -> io::Result<Found<'_>> {
        let offset = self.offset;
        let place = Place { salt: self.salt, offset };
        let mut wanted = RECORD_HEADER_BYTES;
        // Twice at most: with the header, the length is known.
        loop {
            if self.read(offset, wanted)? < wanted {
                return Ok(Found::Nothing("the segment ends"));
            }
            match claimed_bytes(self.at(offset), place) {
                Ok(bytes) if bytes > wanted => wanted = bytes,
                _ => break,
            }
        }
        // Only to have the borrow end before the buffer is looked at for good.
        let at = (offset - self.buffered) as usize;
        let record = match decode(&self.buffer[at..], place) {
            Ok(record) => record,
            Err(Fault::Nothing(why)) => return Ok(Found::Nothing(why)),
            Err(Fault::Short { .. }) => return Ok(Found::Nothing("the segment ends")),
            Err(Fault::Unknown { code, flags }) => return Ok(Found::Unknown { code, flags }),
        };
        if self.chain.is_some_and(|chain| chain != record.previous) {
            return Ok(Found::Nothing("the record does not follow the one before"));
        }
        if let Some(batch) = self.batch
            && record.batch_bytes != 0
            && u64::from(record.batch_bytes) != offset - batch
        {
            return Ok(Found::Nothing("the record is of another batch"));
        }
        self.batch = Some(offset - u64::from(record.batch_bytes).min(offset));
        self.chain = Some(record.crc);
        self.offset += record.bytes as u64;
        Ok(Found::Record(offset, record))
    }

    /// Looks through what lies behind the place where `next` found nothing; `last` is the last entry before.
    pub(super) fn behind(&mut self, last: Sequence) -> io::Result<Behind> {
        let end = self.offset;
        let batch_bytes = self.batch.map_or(0, |batch| end - batch);
        let mut torn = 0;
        if self.read(end, RECORD_HEADER_BYTES)? >= RECORD_HEADER_BYTES {
            let place = Place { salt: self.salt, offset: end };
            let chain = self.chain.unwrap_or(0);
            if let Some(bytes) = looks_torn(self.at(end), place, chain, last, batch_bytes) {
                torn = (bytes as u64).min(self.limit - end);
            }
        }
        let mut offset = end;
        while offset < self.limit {
            if self.read(offset, RECORD_HEADER_BYTES)? < RECORD_HEADER_BYTES {
                break;
            }
            let place = Place { salt: self.salt, offset };
            let Ok(bytes) = claimed_bytes(self.at(offset), place) else {
                offset = self.skip(offset);
                continue;
            };
            let batch_bytes = match self.read(offset, bytes)? >= bytes {
                true => match decode(self.at(offset), place) {
                    Ok(record) => Some(record.batch_bytes),
                    // Written by a later release, but written.
                    Err(Fault::Unknown { .. }) => Some(0),
                    Err(_) => None,
                },
                false => None,
            };
            match batch_bytes {
                Some(batch_bytes) if offset - u64::from(batch_bytes).min(offset) > end => {
                    return Ok(Behind::Later(offset));
                }
                Some(_) => {
                    offset += bytes as u64;
                    torn = torn.max(offset - end);
                }
                None => offset += 8,
            }
        }
        Ok(if torn > 0 { Behind::Torn(torn) } else { Behind::Nothing })
    }

    /// Whether there is any record of this life of the file, and where.
    pub(super) fn any(&mut self) -> io::Result<Option<u64>> {
        let mut offset = RECORDS_OFFSET;
        while self.read(offset, RECORD_HEADER_BYTES)? >= RECORD_HEADER_BYTES {
            let place = Place { salt: self.salt, offset };
            if let Ok(bytes) = claimed_bytes(self.at(offset), place)
                && self.read(offset, bytes)? >= bytes
                && !matches!(decode(self.at(offset), place), Err(Fault::Nothing(_) | Fault::Short { .. }))
            {
                return Ok(Some(offset));
            }
            offset = self.skip(offset);
        }
        Ok(None)
    }

    /// The next place after this one that is worth a look: zeros are not.
    fn skip(&self, offset: u64) -> u64 {
        let mut at = (offset - self.buffered) as usize + 8;
        while at + RECORD_HEADER_BYTES <= self.buffer.len() && self.buffer[at + KIND_AT] == 0 {
            at += 8;
        }
        self.buffered + at as u64
    }

    fn at(&self, offset: u64) -> &[u8] {
        &self.buffer[(offset - self.buffered) as usize..]
    }

    /// Sees to it that `wanted` bytes from `offset` on are in the buffer, and gives how many there are: fewer at the
    /// end.
    fn read(&mut self, offset: u64, wanted: usize) -> io::Result<usize> {
        let held_to = self.buffered + self.buffer.len() as u64;
        if offset >= self.buffered && offset + wanted as u64 <= held_to {
            return Ok((held_to - offset) as usize);
        }
        if (self.buffered..=held_to).contains(&offset) {
            self.buffer.drain(..(offset - self.buffered) as usize);
        } else {
            self.buffer.clear();
        }
        self.buffered = offset;
        let room = self.limit.saturating_sub(offset);
        let target = (wanted.max(PIECE_BYTES) as u64).min(room) as usize;
        let have = self.buffer.len();
        if have < target {
            self.buffer.resize(target, 0);
            let mut filled = have;
            while filled < target {
                let got = self.disk.read(self.file, offset + filled as u64, &mut self.buffer[filled..])?;
                if got == 0 {
                    break;
                }
                filled += got;
            }
            self.buffer.truncate(filled);
        }
        Ok(self.buffer.len())
    }
}
