//! A sorted run of byte strings with a payload each, packed into one allocation, and never changed once
//! made: every edit writes the next page.
//!
//! ```text
//! [count: u32 LE] [length of the prefix: u32 LE] [prefix] [slot 0] … [slot n-1] [record 0] … [record n-1]
//! slot:   u64 LE: in its high half the head (the first four bytes of the suffix as a big-endian number, padded
//!         with zeros), in its low half the offset of the record from the first record
//! record: length of the suffix (varint), suffix, payload up to the next record
//! ```
//!
//! What all keys begin with is stored once. A search counts the slots with a lesser head, all of them in a row: their
//! lines come from memory together, where a binary search would wait for one after the other, and the offset has come
//! with the head. Then it looks at the records whose heads are equal, one as a rule.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::store::index::wire::{put_varint, take_varint};

const SLOT: usize = 8;
const HEADER: usize = 8;
/// What memory is read by.
const LINE: usize = 64;
/// How much of a record is asked for at once.
const FETCH_BYTES: usize = 1_024;

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
    whole: Vec<u8>,
}

impl Page {
    pub(super) fn empty() -> Self {
        Self { bytes: Arc::from([0; HEADER]) }
    }

    pub(super) fn len(&self) -> usize {
        self.number(0)
    }

    /// How many pages share this one's memory; asked for to have its first line fetched.
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.bytes)
    }

    /// Bytes it takes, without the allocation's own.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.bytes[HEADER..HEADER + self.number(4)]
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
    fn look_up(&self, key: &[u8]) -> Result<(usize, &[u8]), usize> {
        let (prefix, slots, records) = self.parts();
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
            let end =
                slots.get(at + 1).map_or(records.len(), |next| u64::from_le_bytes(*next) as u32 as usize);
            let record = &records[slot as u32 as usize..end];
            fetch(record);
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
        self.record(at).0
    }

    pub(super) fn payload(&self, at: usize) -> &[u8] {
        self.record(at).1
    }

    /// Appends the key at `at` to `out`.
    pub(super) fn key_into(&self, at: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix());
        out.extend_from_slice(self.suffix(at));
    }

    /// Bytes from the first record to record `at`.
    pub(super) fn bytes_before(&self, at: usize) -> usize {
        if at == self.len() { self.records().len() } else { self.offset(at) }
    }

    /// Bytes of all records.
    pub(super) fn bytes_of_records(&self) -> usize {
        self.records().len()
    }

    /// The page with `key` put in before `at`; the caller has looked for it.
    pub(super) fn insert(&self, at: usize, key: &[u8], payload: &[&[u8]], scratch: &mut Scratch) -> Page {
        let common = common_prefix(self.prefix(), key);
        if common < self.prefix().len() {
            // A key that begins otherwise: all get longer suffixes first.
            let wider = Page::assemble(&[(self, 0..self.len())], common, scratch, |_, payload, out| {
                out.extend_from_slice(payload);
            });
            return wider.insert(at, key, payload, scratch);
        }
        self.splice(at, 0, Some((&key[common..], payload)), scratch)
    }

    /// The page with another payload at `at`.
    pub(super) fn replace(&self, at: usize, payload: &[&[u8]], scratch: &mut Scratch) -> Page {
        self.splice(at, 1, Some((self.suffix(at), payload)), scratch)
    }

    pub(super) fn remove(&self, at: usize, scratch: &mut Scratch) -> Page {
        self.splice(at, 1, None, scratch)
    }

    /// The records of `parts` in a row, with `prefix` bytes of the first key as prefix, which all have in
    /// common. `copy` writes each payload: from which part, and what it was.
    pub(super) fn assemble(
        parts: &[(&Page, Range<usize>)],
        prefix: usize,
        scratch: &mut Scratch,
        mut copy: impl FnMut(usize, &[u8], &mut Vec<u8>),
    ) -> Page {
        let Scratch { slots, records, whole } = scratch;
        slots.clear();
        records.clear();
        whole.clear();
        whole.extend_from_slice(&[0; HEADER]);
        let mut count = 0u32;
        for (from, (page, range)) in parts.iter().enumerate() {
            for at in range.clone() {
                let (old_prefix, suffix) = (page.prefix(), page.suffix(at));
                if count == 0 {
                    whole.extend(old_prefix.iter().chain(suffix).take(prefix));
                }
                // What of the old prefix goes into the suffix, and what of the suffix into the prefix.
                let kept = &old_prefix[prefix.min(old_prefix.len())..];
                let rest = &suffix[prefix.saturating_sub(old_prefix.len())..];
                let start = records.len();
                put_varint(records, (kept.len() + rest.len()) as u64);
                let suffix_at = records.len();
                records.extend_from_slice(kept);
                records.extend_from_slice(rest);
                slots.extend_from_slice(&slot(head(&records[suffix_at..]), start));
                copy(from, page.payload(at), records);
                count += 1;
            }
        }
        debug_assert_eq!(whole.len(), HEADER + if count == 0 { 0 } else { prefix });
        let prefix = (whole.len() - HEADER) as u32;
        whole[..HEADER].copy_from_slice(&header(count, prefix));
        whole.extend_from_slice(slots);
        whole.extend_from_slice(records);
        Page { bytes: Arc::from(whole.as_slice()) }
    }

    /// How many bytes the first key of `self` and the last of `last` have in common: a prefix of all between.
    pub(super) fn common_with(&self, first_at: usize, last: &Page, last_at: usize) -> usize {
        let (mut first_key, mut last_key) = (Vec::new(), Vec::new());
        self.key_into(first_at, &mut first_key);
        last.key_into(last_at, &mut last_key);
        common_prefix(&first_key, &last_key)
    }

    fn splice(
        &self,
        at: usize,
        removed: usize,
        added: Option<(&[u8], &[&[u8]])>,
        scratch: &mut Scratch,
    ) -> Page {
        let (slots, records) = (self.slots(), self.records());
        let (cut, resume) = (self.bytes_before(at), self.bytes_before(at + removed));
        let out = &mut scratch.whole;
        let count = self.len() - removed + usize::from(added.is_some());
        out.clear();
        out.extend_from_slice(&header(count as u32, self.prefix().len() as u32));
        out.extend_from_slice(self.prefix());
        out.extend_from_slice(slots[..at].as_flattened());
        if let Some((suffix, _)) = added {
            out.extend_from_slice(&slot(head(suffix), cut));
        }
        let moved = out.len();
        out.extend_from_slice(slots[at + removed..].as_flattened());
        let end_of_slots = out.len();
        out.extend_from_slice(&records[..cut]);
        if let Some((suffix, payload)) = added {
            put_varint(out, suffix.len() as u64);
            out.extend_from_slice(suffix);
            for part in payload {
                out.extend_from_slice(part);
            }
        }
        let shift = ((out.len() - end_of_slots) as u64).wrapping_sub(resume as u64);
        out.extend_from_slice(&records[resume..]);
        for slot in out[moved..end_of_slots].as_chunks_mut::<SLOT>().0 {
            // The sum stays below 2^32, for it is an offset: nothing carries into the head.
            *slot = u64::from_le_bytes(*slot).wrapping_add(shift).to_le_bytes();
        }
        Page { bytes: Arc::from(out.as_slice()) }
    }

    /// One of the two numbers at its beginning.
    fn number(&self, at: usize) -> usize {
        u32::from_le_bytes(*self.bytes[at..].first_chunk().expect("a page is written by us")) as usize
    }

    fn slots(&self) -> &[[u8; SLOT]] {
        let start = HEADER + self.number(4);
        self.bytes[start..start + self.len() * SLOT].as_chunks().0
    }

    fn records(&self) -> &[u8] {
        &self.bytes[HEADER + self.number(4) + self.len() * SLOT..]
    }

    fn offset(&self, at: usize) -> usize {
        u64::from_le_bytes(self.slots()[at]) as u32 as usize
    }

    fn record(&self, at: usize) -> (&[u8], &[u8]) {
        split_record(&self.records()[self.offset(at)..self.bytes_before(at + 1)])
    }

    /// Prefix, slots and records.
    #[inline]
    fn parts(&self) -> (&[u8], &[[u8; SLOT]], &[u8]) {
        let (count, rest) = self.bytes.split_first_chunk::<4>().expect("a page is written by us");
        let (prefix, rest) = rest.split_first_chunk::<4>().expect("a page is written by us");
        let (prefix, rest) = rest.split_at(u32::from_le_bytes(*prefix) as usize);
        let (slots, records) = rest.split_at(u32::from_le_bytes(*count) as usize * SLOT);
        (prefix, slots.as_chunks().0, records)
    }
}

/// Asks for all lines of a record, so that they come from memory together: what follows reads its first one to know
/// what to read of the others.
#[inline]
fn fetch(record: &[u8]) {
    let lines = record.iter().take(FETCH_BYTES).step_by(LINE);
    std::hint::black_box(lines.fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
}

/// Suffix and payload.
#[inline]
fn split_record(mut record: &[u8]) -> (&[u8], &[u8]) {
    let len = take_varint(&mut record).expect("a page is written by us") as usize;
    record.split_at(len)
}

/// The first four bytes as a number that orders as they do, zeros where there are fewer.
pub(super) fn head(suffix: &[u8]) -> u32 {
    match suffix.first_chunk::<4>() {
        Some(four) => u32::from_be_bytes(*four),
        None => suffix.iter().enumerate().fold(0, |head, (n, byte)| head | u32::from(*byte) << (24 - 8 * n)),
    }
}

fn header(count: u32, prefix: u32) -> [u8; HEADER] {
    (u64::from(prefix) << 32 | u64::from(count)).to_le_bytes()
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
            page = page.insert(at, key, &[b"p:", key], &mut scratch);
        }
        let common = page.common_with(0, &page, 2);
        page = Page::assemble(&[(&page, 0..3)], common, &mut scratch, |_, payload, out| out.extend(payload));
        assert_eq!(page.prefix(), b"user:");
        assert_eq!(page.search(b"user:11"), Ok(1));
        assert_eq!(page.search(b"use"), Err(0));
        assert_eq!(page.search(b"v"), Err(3));
        let page = page.insert(0, b"u", &[b"short"], &mut scratch);
        assert_eq!((page.prefix(), page.len()), (&b"u"[..], 4));
        for (at, key) in [&b"u"[..], b"user:10", b"user:11", b"user:2"].into_iter().enumerate() {
            assert_eq!(page.search(key), Ok(at));
        }
        assert_eq!(page.payload(3), b"p:user:2");
    }
}
