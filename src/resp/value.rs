//! How values of Redis' types lie in the store, whose values are bytes.
//!
//! A string is its own bytes. What begins with the mark `fe 54 54` is something else: `fe 54 54 48` (`H`) a hash,
//! `fe 54 54 53` (`S`) a string whose own bytes, those behind it, begin with the mark. A value that begins with the
//! mark and is neither is a string as it is: somebody else has written it.
//!
//! A hash has behind its four bytes the number of fields and so many times a field and its value, in the order in
//! which the fields came about. Numbers and lengths are LEB128, as in `docs/store-commands.md`; a hash has one field
//! at least.

use std::borrow::Cow;

const MARK: &[u8] = b"\xfeTT";
const HASH: u8 = b'H';
const STRING: u8 = b'S';

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    String(&'a [u8]),
    Hash(Pairs<'a>),
}

impl<'a> Value<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        let Some(rest) = bytes.strip_prefix(MARK) else { return Value::String(bytes) };
        match rest {
            [STRING, own @ ..] if own.starts_with(MARK) => Value::String(own),
            [HASH, pairs @ ..] => Pairs::parse(pairs).map_or(Value::String(bytes), Value::Hash),
            _ => Value::String(bytes),
        }
    }

    /// As `TYPE` says it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::Hash(_) => "hash",
        }
    }
}

/// What a string is in the store.
pub(super) fn of_string(string: &[u8]) -> Cow<'_, [u8]> {
    match needs_mark(string) {
        true => Cow::Owned([MARK, &[STRING], string].concat()),
        false => Cow::Borrowed(string),
    }
}

/// Whether a string must not lie in the store as it is.
pub(super) fn needs_mark(string: &[u8]) -> bool {
    string.starts_with(MARK)
}

/// Whether a value that begins with this is a hash, as all are that Redis' clients have made.
pub(super) fn is_hash(head: [u8; 4]) -> bool {
    head.strip_prefix(MARK) == Some(&[HASH])
}

/// What fields and their values are in the store.
pub(super) fn of_pairs<'a>(pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut out = [MARK, &[HASH]].concat();
    put_number(&mut out, pairs.len());
    for (field, value) in pairs {
        for bytes in [field, value] {
            put_number(&mut out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
    out
}

/// How long that is: with so many fields, which have so many [`pair_bytes`] together.
pub(super) fn pairs_bytes(len: usize, bytes: usize) -> usize {
    MARK.len() + 1 + number_bytes(len) + bytes
}

/// How much of it a field and its value are.
pub(super) fn pair_bytes(field: &[u8], value: &[u8]) -> usize {
    let bytes = |part: &[u8]| number_bytes(part.len()) + part.len();
    bytes(field) + bytes(value)
}

fn number_bytes(number: usize) -> usize {
    number.max(1).ilog2() as usize / 7 + 1
}

/// The fields of a hash and their values, where they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pairs<'a> {
    len: usize,
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let len = take_number(&mut bytes)?;
        let pairs = Pairs { len, rest: bytes };
        for _ in 0..len {
            take_bytes(&mut bytes)?;
            take_bytes(&mut bytes)?;
        }
        (len > 0 && bytes.is_empty()).then_some(pairs)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.rest;
        (0..self.len).map_while(move |_| Some((take_bytes(&mut rest)?, take_bytes(&mut rest)?)))
    }

    pub(super) fn value(&self, field: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(name, _)| *name == field).map(|(_, value)| value)
    }
}

fn put_number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0u64;
    // Five bytes hold every length there is; a longer form is not ours.
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (*byte > 0 || shift == 0).then_some(number as usize);
        }
    }
    None
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_number(bytes)?;
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_their_bytes_but_for_the_mark() {
        for string in [&b""[..], b"a", b"\xfeT", b"\xfeTU"] {
            assert_eq!(&*of_string(string), string);
            assert_eq!(Value::parse(string), Value::String(string));
        }
        for string in [&b"\xfeTT"[..], b"\xfeTTH", b"\xfeTTS", b"\xfeTTH\x01\x01a\x01b", b"\xfeTTS\xfeTT"] {
            let stored = of_string(string);
            assert_eq!(&stored[..4], b"\xfeTTS");
            assert_eq!(Value::parse(&stored), Value::String(string));
        }
    }

    #[test]
    fn hashes_keep_their_order_and_have_one_encoding() {
        let long = vec![7; 300];
        let pairs: [(&[u8], &[u8]); 3] = [(b"b", b""), (b"", b"1"), (b"a", &long)];
        let stored = of_pairs(pairs.into_iter());
        assert_eq!(&stored[..12], b"\xfeTTH\x03\x01b\x00\x00\x011\x01");
        let Value::Hash(hash) = Value::parse(&stored) else { panic!("a hash") };
        assert_eq!(hash.iter().collect::<Vec<_>>(), pairs);
        assert_eq!((hash.len(), hash.value(b"a"), hash.value(b"c")), (3, Some(&long[..]), None));
    }

    #[test]
    fn what_is_no_hash_of_ours_is_a_string() {
        let stored = of_pairs([(&b"a"[..], &b"b"[..])].into_iter());
        for end in 0..stored.len() {
            assert_eq!(Value::parse(&stored[..end]), Value::String(&stored[..end]));
        }
        for bytes in
            [&b"\xfeTTH\x00"[..], b"\xfeTTH\x01\x01a\x01bx", b"\xfeTTH\x81\x00\x01a\x01b", b"\xfeTTSa"]
        {
            assert_eq!(Value::parse(bytes), Value::String(bytes), "{}", bytes.escape_ascii());
        }
    }
}
