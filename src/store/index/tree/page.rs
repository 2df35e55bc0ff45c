//! A sorted run of byte strings with a payload each, packed into one allocation. Nobody else sees a change: one that
//! others hold too is copied whole first.
//!
//! ```text
//! [count] [length of the prefix] [where the records begin] [bytes of records that are gone]: u32 LE each
//! [prefix] [slot 0] … [slot n-1] [free] [records, in any order, to the end]
//! slot:   u64 LE: in its high half the head (the first four bytes of the suffix as a big-endian number, padded
//!         with zeros), in its low half the offset of the record from the page's beginning
//! record: length of the suffix (varint), length of the payload (varint), spare bytes (u8), suffix, payload, spare bytes
//! ```
//!
//! What all keys begin with is stored once. A search counts the slots with a lesser head, all of them in a row: their
//! lines come from memory together, where a binary search would wait for one after the other, and the offset has come
//! with the head. Then it looks at the records whose heads are equal, one as a rule.
//!
//! Slots grow up and records down towards each other, so a change writes one record and moves slots at most. A record
//! that grows by more than its spare bytes is written anew; what it leaves behind is gathered when the page has no room
//! left, and only then do the others move.

use std::cmp::Ordering;
use std::ops::Range;

use triomphe::Arc;

use crate::store::index::wire::{put_varint, take_varint, varint_bytes};
use crate::sys::prefetch::prefetch;

const SLOT: usize = 8;
const HEADER: usize = 16;
/// How much of a record is asked for at once, before its length is known.
const RECORD_FETCHED: usize = 192;
/// How much of a page's beginning is asked for at once, where its slots are.
const SLOTS_FETCHED: usize = 256;
/// A page has room to grow by this share of the next power of two.
const SHARES: usize = 8;
/// The least that it grows by.
const GRAIN: usize = 16;
/// Spare bytes of a new record: by so much the numbers of an entry grow that is put again and again.
const SPARE: usize = 4;
/// The most spare bytes.
const SPARE_MAX: usize = 255;

#[derive(Clone)]
pub(super) struct Page {
    bytes: Arc<[u8]>,
}

/// Where pages are put together before they get memory of their own. One is kept by whoever changes trees,
/// so that a change allocates only what stays.
#[derive(Debug, Default)]
pub(in crate::store::index) struct Scratch {
    slots: Vec<u8>,
    records: Vec<u8>,
    payload: Vec<u8>,
    whole: Vec<u8>,
}

/// The numbers at a page's beginning.
#[derive(Clone, Copy)]
struct Header {
    count: usize,
    prefix: usize,
    /// Where the records begin.
    records: usize,
    /// Bytes of records that are gone.
    dead: usize,
}

impl Header {
    #[inline]
    fn of(bytes: &[u8]) -> Self {
        let numbers = bytes[..HEADER].as_chunks::<4>().0;
        let number = |at: usize| u32::from_le_bytes(numbers[at]) as usize;
        Self { count: number(0), prefix: number(1), records: number(2), dead: number(3) }
    }

    fn write(self, bytes: &mut [u8]) {
        let Self { count, prefix, records, dead } = self;
        for (to, number) in bytes.chunks_exact_mut(4).zip([count, prefix, records, dead]) {
            to.copy_from_slice(&(number as u32).to_le_bytes());
        }
    }

    fn slots(self) -> usize {
        HEADER + self.prefix
    }

    fn slots_end(self) -> usize {
        self.slots() + self.count * SLOT
    }
}

impl Page {
    pub(super) fn empty() -> Self {
        let mut bytes = [0; HEADER];
        Header { count: 0, prefix: 0, records: HEADER, dead: 0 }.write(&mut bytes);
        Self { bytes: Arc::from(&bytes[..]) }
    }

    pub(super) fn len(&self) -> usize {
        self.header().count
    }

    /// How many pages share this one's memory; asked for to have its first line fetched.
    pub(super) fn holders(&self) -> usize {
        Arc::count(&self.bytes)
    }

    /// Has the slots fetched.
    pub(super) fn prefetch_slots(&self) {
        prefetch(&self.bytes[..], SLOTS_FETCHED);
    }

    /// Has the record fetched that `key` most likely has, or would be put before. Waits for the slots.
    pub(super) fn prefetch_record(&self, key: &[u8]) {
        let (prefix, slots) = self.parts();
        let Some(suffix) = key.strip_prefix(prefix) else { return };
        let least = u64::from(head(suffix)) << 32;
        let before = slots.iter().filter(|slot| u64::from_le_bytes(**slot) < least).count();
        if let Some(slot) = slots.get(before) {
            prefetch(&self.bytes[u64::from_le_bytes(*slot) as u32 as usize..], RECORD_FETCHED);
        }
    }

    /// Bytes of what is in it.
    pub(super) fn size(&self) -> usize {
        let header = self.header();
        header.slots_end() + self.bytes.len() - header.records - header.dead
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.bytes[HEADER..self.header().slots()]
    }

    /// Where `key` is, or where it would go.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.look_up(key).map(|(at, _)| at)
    }

    /// What `key` has, if it is there.
    pub(super) fn find(&self, key: &[u8]) -> Option<&[u8]> {
        self.look_up(key).ok().map(|(_, payload)| payload)
    }

    /// Where `key` is and what it has, or where it would go.
    #[inline]
    pub(super) fn look_up(&self, key: &[u8]) -> Result<(usize, &[u8]), usize> {
        let (prefix, slots) = self.parts();
        let Some(suffix) = key.strip_prefix(prefix) else {
            return Err(if key < prefix { 0 } else { slots.len() });
        };
        let head = head(suffix);
        let least = u64::from(head) << 32;
        let before = slots.iter().filter(|slot| u64::from_le_bytes(**slot) < least).count();
        for (at, slot) in slots.iter().enumerate().skip(before) {
            let slot = u64::from_le_bytes(*slot);
            if (slot >> 32) as u32 != head {
                return Err(at);
            }
            let record = &self.bytes[slot as u32 as usize..];
            // All of its lines together: what follows reads the first one to know what to read of the others.
            prefetch(record, RECORD_FETCHED);
            let (found, payload) = split_record(record);
            match found.cmp(suffix) {
                Ordering::Less => {}
                Ordering::Equal => return Ok((at, payload)),
                Ordering::Greater => return Err(at),
            }
        }
        Err(slots.len())
    }

    /// How many of its keys are at or before `key`: which child of an inner node has it.
    pub(super) fn child(&self, key: &[u8]) -> usize {
        match self.search(key) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }

    pub(super) fn suffix(&self, at: usize) -> &[u8] {
        split_record(self.record_on(at)).0
    }

    pub(super) fn payload(&self, at: usize) -> &[u8] {
        split_record(self.record_on(at)).1
    }

    /// Appends the key at `at` to `out`.
    pub(super) fn key_into(&self, at: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix());
        out.extend_from_slice(self.suffix(at));
    }

    /// Bytes of the record at `at`.
    pub(super) fn bytes_of(&self, at: usize) -> usize {
        record_bytes(self.record_on(at)).0
    }

    /// Puts `key` in before `at`; the caller has looked for it.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], payload: &[&[u8]], scratch: &mut Scratch) {
        let common = common_prefix(self.prefix(), key);
        if common < self.prefix().len() {
            // A key that begins otherwise: all get longer suffixes first.
            *self = Page::assemble(&[(self, 0..self.len())], common, scratch, |_, payload, out| {
                out.extend_from_slice(payload);
            });
        }
        let record = Record::new(&key[common..], payload);
        let bytes = record.bytes();
        let header = self.header();
        if bytes + SLOT > header.records - header.slots_end() {
            self.gather(None, bytes + SLOT, scratch);
        }
        let (whole, mut header) = self.own();
        let slots = header.slots();
        whole.copy_within(slots + at * SLOT..header.slots_end(), slots + (at + 1) * SLOT);
        header.count += 1;
        record.put(whole, header, at);
    }

    /// Puts another payload at `at`, where `key` is.
    pub(super) fn replace(&mut self, at: usize, key: &[u8], payload: &[&[u8]], scratch: &mut Scratch) {
        let header = self.header();
        let record = Record::new(&key[header.prefix..], payload);
        let before = self.bytes_of(at);
        if let Some(spare) = before.checked_sub(record.bytes_least()) {
            let offset = self.offset(at);
            let (whole, mut header) = self.own();
            let record = Record { spare: spare.min(SPARE_MAX), ..record };
            let bytes = record.bytes();
            header.dead += before - bytes;
            header.write(whole);
            record.write(&mut whole[offset..offset + bytes]);
            return;
        }
        if record.bytes() > header.records - header.slots_end() {
            self.gather(Some(at), record.bytes(), scratch);
            let (whole, header) = self.own();
            return record.put(whole, header, at);
        }
        let (whole, mut header) = self.own();
        header.dead += before;
        record.put(whole, header, at);
    }

    pub(super) fn remove(&mut self, at: usize, scratch: &mut Scratch) {
        let bytes = self.bytes_of(at);
        let (whole, mut header) = self.own();
        let slots = header.slots();
        whole.copy_within(slots + (at + 1) * SLOT..header.slots_end(), slots + at * SLOT);
        header.count -= 1;
        header.dead += bytes;
        header.write(whole);
        if header.count == 0 {
            *self = Page::empty();
        } else if self.size() * 2 < self.bytes.len() {
            self.gather(None, 0, scratch);
        }
    }

    /// The records of `parts` in a row, with `prefix` bytes of the first key as prefix, which all have in
    /// common. `copy` writes each payload: from which part, and what it was.
    pub(super) fn assemble(
        parts: &[(&Page, Range<usize>)],
        prefix: usize,
        scratch: &mut Scratch,
        mut copy: impl FnMut(usize, &[u8], &mut Vec<u8>),
    ) -> Page {
        let Scratch { slots, records, payload: copied, whole } = scratch;
        slots.clear();
        records.clear();
        whole.clear();
        whole.extend_from_slice(&[0; HEADER]);
        let mut count = 0;
        for (from, (page, range)) in parts.iter().enumerate() {
            for at in range.clone() {
                let (suffix, payload) = split_record(page.record_on(at));
                let old_prefix = page.prefix();
                if count == 0 {
                    whole.extend(old_prefix.iter().chain(suffix).take(prefix));
                }
                // What of the old prefix goes into the suffix, and what of the suffix into the prefix.
                let kept = &old_prefix[prefix.min(old_prefix.len())..];
                let rest = &suffix[prefix.saturating_sub(old_prefix.len())..];
                let start = records.len();
                copied.clear();
                copy(from, payload, copied);
                put_varint(records, (kept.len() + rest.len()) as u64);
                put_varint(records, copied.len() as u64);
                let spare = spare(copied.len());
                records.push(spare as u8);
                let suffix_at = records.len();
                records.extend_from_slice(kept);
                records.extend_from_slice(rest);
                slots.extend_from_slice(&slot(head(&records[suffix_at..]), start));
                records.extend_from_slice(copied);
                records.extend_from_slice(&[0; SPARE][..spare]);
                count += 1;
            }
        }
        debug_assert_eq!(whole.len(), HEADER + if count == 0 { 0 } else { prefix });
        let prefix = whole.len() - HEADER;
        let capacity = capacity(whole.len() + slots.len() + records.len());
        let begin = capacity - records.len();
        for slot in slots.as_chunks_mut::<SLOT>().0 {
            // The sum stays below 2^32, for it is an offset: nothing carries into the head.
            *slot = (u64::from_le_bytes(*slot) + begin as u64).to_le_bytes();
        }
        whole.extend_from_slice(slots);
        whole.resize(begin, 0);
        whole.extend_from_slice(records);
        Header { count, prefix, records: begin, dead: 0 }.write(whole);
        Page { bytes: Arc::from(whole.as_slice()) }
    }

    /// The records of a range as they lie, with the same prefix. `None` where one has more to spare than a new one would.
    pub(super) fn cut(&self, range: Range<usize>, scratch: &mut Scratch) -> Option<Page> {
        let header = self.header();
        let mut bytes = 0;
        for at in range.clone() {
            let (all, spare) = record_bytes(self.record_on(at));
            if spare > SPARE {
                return None;
            }
            bytes += all;
        }
        let slots_end = header.slots() + range.len() * SLOT;
        let capacity = capacity(slots_end + bytes);
        let begin = capacity - bytes;
        let whole = &mut scratch.whole;
        whole.clear();
        whole.extend_from_slice(&self.bytes[..header.slots()]);
        whole.extend_from_slice(&self.bytes[header.slots() + range.start * SLOT..][..range.len() * SLOT]);
        whole.resize(begin, 0);
        for (nth, at) in range.clone().enumerate() {
            let record = self.record_on(at);
            // The low half of the slot.
            let (place, offset) = (header.slots() + nth * SLOT, whole.len() as u32);
            whole[place..place + 4].copy_from_slice(&offset.to_le_bytes());
            whole.extend_from_slice(&record[..record_bytes(record).0]);
        }
        Header { count: range.len(), records: begin, dead: 0, ..header }.write(whole);
        Some(Page { bytes: Arc::from(whole.as_slice()) })
    }

    /// How many bytes the first key of `self` and the last of `last` have in common: a prefix of all between.
    pub(super) fn common_with(&self, first_at: usize, last: &Page, last_at: usize) -> usize {
        let (mut first_key, mut last_key) = (Vec::new(), Vec::new());
        self.key_into(first_at, &mut first_key);
        last.key_into(last_at, &mut last_key);
        common_prefix(&first_key, &last_key)
    }

    /// Moves the records together, all but that of `without`, whose slot is to be written then. There is room for
    /// `room` more bytes afterwards.
    fn gather(&mut self, without: Option<usize>, room: usize, scratch: &mut Scratch) {
        let mut header = self.header();
        let gone = header.dead + without.map_or(0, |at| self.bytes_of(at));
        let live = self.bytes.len() - header.records - gone;
        let capacity = capacity(header.slots_end() + live + room);
        let begin = capacity - live;
        let whole = &mut scratch.whole;
        whole.clear();
        whole.extend_from_slice(&self.bytes[..header.slots_end()]);
        whole.resize(begin, 0);
        if gone == 0 {
            whole.extend_from_slice(&self.bytes[header.records..]);
            let slots = whole[header.slots()..header.slots_end()].as_chunks_mut::<SLOT>().0;
            let moved = (begin as u64).wrapping_sub(header.records as u64);
            for slot in slots {
                // The sum stays below 2^32, for it is an offset: nothing carries into the head.
                *slot = u64::from_le_bytes(*slot).wrapping_add(moved).to_le_bytes();
            }
        } else {
            for at in (0..header.count).filter(|at| Some(*at) != without) {
                let offset = whole.len() as u32;
                whole.extend_from_slice(&self.record_on(at)[..self.bytes_of(at)]);
                // The low half of the slot.
                let place = header.slots() + at * SLOT;
                whole[place..place + 4].copy_from_slice(&offset.to_le_bytes());
            }
        }
        header.records = begin;
        header.dead = 0;
        header.write(whole);
        match Arc::get_mut(&mut self.bytes) {
            Some(bytes) if bytes.len() == capacity => bytes.copy_from_slice(whole),
            _ => self.bytes = Arc::from(whole.as_slice()),
        }
    }

    /// Its bytes, to be changed: a copy unless nobody else holds them.
    fn own(&mut self) -> (&mut [u8], Header) {
        if !self.bytes.is_unique() {
            self.bytes = Arc::from(&self.bytes[..]);
        }
        let bytes = Arc::get_mut(&mut self.bytes).expect("nobody else holds it");
        let header = Header::of(bytes);
        (bytes, header)
    }

    #[inline]
    fn header(&self) -> Header {
        Header::of(&self.bytes)
    }

    /// Prefix and slots.
    #[inline]
    fn parts(&self) -> (&[u8], &[[u8; SLOT]]) {
        let header = self.header();
        let (prefix, rest) = self.bytes[HEADER..].split_at(header.prefix);
        (prefix, rest[..header.count * SLOT].as_chunks().0)
    }

    fn offset(&self, at: usize) -> usize {
        u64::from_le_bytes(self.parts().1[at]) as u32 as usize
    }

    /// The record at `at`, and what lies behind it.
    fn record_on(&self, at: usize) -> &[u8] {
        &self.bytes[self.offset(at)..]
    }
}

/// Suffix and payload of what begins with a record.
#[inline]
fn split_record(mut record: &[u8]) -> (&[u8], &[u8]) {
    let suffix = take_varint(&mut record).expect("a page is written by us") as usize;
    let payload = take_varint(&mut record).expect("a page is written by us") as usize;
    record[1..=suffix + payload].split_at(suffix)
}

/// Bytes of what begins with a record, and how many of them are spare.
#[inline]
fn record_bytes(record: &[u8]) -> (usize, usize) {
    let mut rest = record;
    let suffix = take_varint(&mut rest).expect("a page is written by us") as usize;
    let payload = take_varint(&mut rest).expect("a page is written by us") as usize;
    let spare = usize::from(rest[0]);
    (record.len() - rest.len() + 1 + spare + suffix + payload, spare)
}

/// A record to be written.
#[derive(Clone, Copy)]
struct Record<'a> {
    suffix: &'a [u8],
    payload: &'a [&'a [u8]],
    payload_bytes: usize,
    spare: usize,
}

impl<'a> Record<'a> {
    fn new(suffix: &'a [u8], payload: &'a [&'a [u8]]) -> Self {
        let payload_bytes = payload.iter().map(|part| part.len()).sum();
        Self { suffix, payload, payload_bytes, spare: spare(payload_bytes) }
    }

    /// Bytes it takes.
    fn bytes(&self) -> usize {
        self.bytes_least() + self.spare
    }

    /// Bytes it would take with none to spare.
    fn bytes_least(&self) -> usize {
        bytes_least(self.suffix.len(), self.payload_bytes)
    }

    /// Writes it where there is room for it, and the slot at `at`.
    fn put(&self, whole: &mut [u8], mut header: Header, at: usize) {
        let end = header.records;
        header.records -= self.bytes();
        header.write(whole);
        self.write(&mut whole[header.records..end]);
        let place = header.slots() + at * SLOT;
        whole[place..place + SLOT].copy_from_slice(&slot(head(self.suffix), header.records));
    }

    /// Writes it where it fits.
    fn write(&self, mut out: &mut [u8]) {
        let mut put = |bytes: &[u8]| {
            let (to, rest) = std::mem::take(&mut out).split_at_mut(bytes.len());
            to.copy_from_slice(bytes);
            out = rest;
        };
        for mut number in [self.suffix.len(), self.payload_bytes] {
            while number >= 0x80 {
                put(&[number as u8 | 0x80]);
                number >>= 7;
            }
            put(&[number as u8]);
        }
        put(&[self.spare as u8]);
        put(self.suffix);
        self.payload.iter().for_each(|part| put(part));
    }
}

/// Spare bytes of a new record. A payload of one byte says that there is none, and will not grow.
fn spare(payload_bytes: usize) -> usize {
    if payload_bytes > 1 { SPARE } else { 0 }
}

fn bytes_least(suffix: usize, payload: usize) -> usize {
    varint_bytes(suffix as u64) + varint_bytes(payload as u64) + 1 + suffix + payload
}

/// How many bytes a page gets that has to have `needed`. They come in few sizes, so that one that is given back is taken
/// again as it is.
fn capacity(needed: usize) -> usize {
    needed.next_multiple_of((needed.next_power_of_two() / SHARES).max(GRAIN))
}

/// The first four bytes as a number that orders as they do, zeros where there are fewer.
pub(super) fn head(suffix: &[u8]) -> u32 {
    match suffix.first_chunk::<4>() {
        Some(four) => u32::from_be_bytes(*four),
        None => suffix.iter().enumerate().fold(0, |head, (n, byte)| head | u32::from(*byte) << (24 - 8 * n)),
    }
}

fn slot(head: u32, offset: usize) -> [u8; SLOT] {
    (u64::from(head) << 32 | offset as u64).to_le_bytes()
}

pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_order_as_their_strings_do() {
        let mut strings: Vec<&[u8]> = vec![b"", b"\0", b"a", b"a\0", b"ab", b"abcd", b"abcde", b"b", b"\xff"];
        strings.sort_unstable();
        assert!(strings.is_sorted_by_key(|string| head(string)));
    }

    #[test]
    fn a_key_that_begins_otherwise_shortens_the_prefix() {
        let mut scratch = Scratch::default();
        let mut page = Page::empty();
        for key in [&b"user:10"[..], b"user:11", b"user:2"] {
            let at = page.search(key).unwrap_err();
            page.insert(at, key, &[b"p:", key], &mut scratch);
        }
        let common = page.common_with(0, &page, 2);
        page = Page::assemble(&[(&page, 0..3)], common, &mut scratch, |_, payload, out| out.extend(payload));
        assert_eq!(page.prefix(), b"user:");
        assert_eq!(page.search(b"user:11"), Ok(1));
        assert_eq!(page.search(b"use"), Err(0));
        assert_eq!(page.search(b"v"), Err(3));
        page.insert(0, b"u", &[b"short"], &mut scratch);
        assert_eq!((page.prefix(), page.len()), (&b"u"[..], 4));
        for (at, key) in [&b"u"[..], b"user:10", b"user:11", b"user:2"].into_iter().enumerate() {
            assert_eq!(page.search(key), Ok(at));
        }
        assert_eq!(page.payload(3), b"p:user:2");
    }

    #[test]
    fn records_grow_and_shrink_where_they_lie() {
        let mut scratch = Scratch::default();
        let mut page = Page::empty();
        let keys: Vec<Vec<u8>> = (0..20).map(|n| format!("key:{n:02}").into_bytes()).collect();
        for (at, key) in keys.iter().enumerate() {
            page.insert(at, key, &[b"p:", &[7; 40]], &mut scratch);
        }
        let (before, held) = (page.bytes.as_ptr(), page.clone());
        page.replace(3, &keys[3], &[b"copied"], &mut scratch);
        assert_ne!(page.bytes.as_ptr(), before, "somebody else holds it");
        assert_eq!((page.payload(3), held.payload(3).len()), (&b"copied"[..], 42));
        let before = page.bytes.as_ptr();
        for len in [1, 40, 44, 2, 45, 300, 0, 46] {
            page.replace(5, &keys[5], &[&vec![9; len]], &mut scratch);
            assert_eq!(page.payload(5), vec![9; len]);
        }
        page.replace(6, &keys[6], &[&[8; 44]], &mut scratch);
        page.replace(6, &keys[6], &[&[8; 46]], &mut scratch);
        for at in (0..20).filter(|at| ![3, 5, 6].contains(at)) {
            assert_eq!((page.payload(at), page.search(&keys[at])), (held.payload(at), Ok(at)));
        }
        assert_eq!(page.payload(6), [8; 46]);
        assert_ne!(page.bytes.as_ptr(), before, "300 bytes more had no room");
        // What is gone counts no more, and the page becomes small with what is in it.
        let sum: usize = (0..20).map(|at| page.bytes_of(at) + SLOT).sum();
        assert_eq!(page.size(), HEADER + sum);
        for at in (1..20).rev() {
            page.remove(at, &mut scratch);
        }
        assert_eq!(page.payload(0), held.payload(0));
        assert!(page.bytes.len() < 4 * page.size(), "{} {}", page.bytes.len(), page.size());
        page.remove(0, &mut scratch);
        assert_eq!((page.len(), page.bytes.len()), (0, HEADER));
    }
}
