//! [`Scanner`]: where one answer of a node ends, in RESP2 and RESP3, without looking at what it says.

use crate::resp::parse_integer;

/// The longest head of a value (its first line), in bytes: an error's text is in it.
pub const HEAD_MAX: usize = 64 << 10;
/// The most values of an answer, those of nested ones too.
pub const VALUES_MAX: u64 = 1 << 32;

/// Why what a node sends is no answer. The connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A value begins with this byte, which no value does.
    Kind(u8),
    /// A head of more than [`HEAD_MAX`] bytes.
    LongHead,
    /// A length that is no number, or out of range.
    Length,
    /// More than [`VALUES_MAX`] values.
    TooMany,
    /// A string that does not end where it should.
    Unended,
}

/// What a piece of an answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// How many bytes of the piece belong to the answer.
    pub len: usize,
    /// Whether it ends there.
    pub is_whole: bool,
}

/// Follows one answer after the other through the pieces in which they come. Each byte is looked at once, those of
/// strings are passed over, and nothing is kept but a head that has come by half.
#[derive(Debug)]
pub struct Scanner {
    /// Values still to come, this one among them.
    values: u64,
    /// Bytes of a string still to come, with the two that end it.
    string: u64,
    /// A head without its end.
    head: Vec<u8>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { values: 1, string: 0, head: Vec::new() }
    }
}

impl Scanner {
    /// Looks at what comes next, up to the end of the answer.
    ///
    /// # Errors
    ///
    /// It is no answer; every later call is without meaning.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scanned, Fault> {
        let mut at = 0;
        loop {
            if self.string > 0 {
                let taken = self.string.min((bytes.len() - at) as u64);
                self.check_end(&bytes[at..at + taken as usize])?;
                self.string -= taken;
                at += taken as usize;
                if self.string > 0 {
                    return Ok(Scanned { len: at, is_whole: false });
                }
                self.values -= 1;
            }
            if self.values == 0 {
                self.values = 1;
                return Ok(Scanned { len: at, is_whole: true });
            }
            let rest = &bytes[at..];
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                if self.head.len() + rest.len() > HEAD_MAX {
                    return Err(Fault::LongHead);
                }
                self.head.extend_from_slice(rest);
                return Ok(Scanned { len: bytes.len(), is_whole: false });
            };
            at += end + 1;
            if self.head.is_empty() {
                self.begin(&rest[..end])?;
            } else {
                let mut head = std::mem::take(&mut self.head);
                head.extend_from_slice(&rest[..end]);
                self.begin(&head)?;
            }
        }
    }

    /// Whether nothing of an answer has come.
    pub fn is_between(&self) -> bool {
        self.values == 1 && self.string == 0 && self.head.is_empty()
    }

    /// Takes a head, without its line feed.
    fn begin(&mut self, head: &[u8]) -> Result<(), Fault> {
        let Some(head) = head.strip_suffix(b"\r") else { return Err(Fault::Unended) };
        if head.len() > HEAD_MAX {
            return Err(Fault::LongHead);
        }
        let Some((kind, text)) = head.split_first() else { return Err(Fault::Kind(b'\r')) };
        let length = || parse_integer(text).filter(|length| *length >= -1).ok_or(Fault::Length);
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => self.values -= 1,
            b'$' | b'=' | b'!' => match length()? {
                -1 => self.values -= 1,
                length => self.string = length as u64 + 2,
            },
            b'*' | b'~' | b'>' => self.add(length()?.max(0) as u64)?,
            b'%' => self.add(length()?.max(0) as u64 * 2)?,
            // What is said about the value comes before it.
            b'|' => self.add((length()?.max(0) as u64).saturating_mul(2).saturating_add(1))?,
            other => return Err(Fault::Kind(*other)),
        }
        Ok(())
    }

    /// One value turned out to be of so many.
    fn add(&mut self, values: u64) -> Result<(), Fault> {
        self.values = (self.values - 1).saturating_add(values);
        if self.values > VALUES_MAX { Err(Fault::TooMany) } else { Ok(()) }
    }

    /// Checks what of `piece` is the end of the string.
    fn check_end(&self, piece: &[u8]) -> Result<(), Fault> {
        let left = self.string;
        let is_right = |distance: u64, expected: u8| {
            // `distance` from the end of the string; in this piece or not.
            let at = left.checked_sub(distance).and_then(|at| piece.get(usize::try_from(at).ok()?));
            at.is_none_or(|byte| *byte == expected)
        };
        if is_right(2, b'\r') && is_right(1, b'\n') { Ok(()) } else { Err(Fault::Unended) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis_protocol::resp2::types::{OwnedFrame as Resp2, Resp2Frame as _};
    use redis_protocol::resp3::types::OwnedFrame as Resp3;

    use super::*;

    /// The lengths of the answers in `bytes`, fed in pieces of `size`.
    fn lengths(bytes: &[u8], size: usize) -> Result<Vec<usize>, Fault> {
        let mut scanner = Scanner::default();
        let (mut lengths, mut length) = (Vec::new(), 0);
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let scanned = scanner.scan(piece)?;
                length += scanned.len;
                if scanned.is_whole {
                    lengths.push(std::mem::take(&mut length));
                    assert!(scanner.is_between());
                }
                piece = &piece[scanned.len..];
            }
        }
        Ok(lengths)
    }

    #[test]
    fn answers_end_where_they_end() {
        let answers: [&[u8]; 14] = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":-7\r\n",
            b"$0\r\n\r\n",
            b"$5\r\na\r\nbc\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            b"_\r\n",
            b"%1\r\n+a\r\n#t\r\n",
            b"|1\r\n+ttl\r\n:3\r\n$1\r\na\r\n",
            b"=7\r\ntxt:abc\r\n",
            b">2\r\n+a\r\n,1.5\r\n",
        ];
        let expected: Vec<usize> = answers.iter().map(|answer| answer.len()).collect();
        let all = answers.concat();
        for size in 1..all.len() {
            assert_eq!(lengths(&all, size).unwrap(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_answer_is_found_out() {
        for (bytes, fault) in [
            (&b"hello\r\n"[..], Fault::Kind(b'h')),
            (b"\r\n", Fault::Kind(b'\r')),
            (b"+OK\n", Fault::Unended),
            (b"$x\r\n", Fault::Length),
            (b"$-2\r\n", Fault::Length),
            (b"$1\r\nabc", Fault::Unended),
            (b"$?\r\n", Fault::Length),
            (b"*9223372036854775807\r\n", Fault::TooMany),
        ] {
            for size in 1..=bytes.len() {
                assert_eq!(lengths(bytes, size), Err(fault), "{}", bytes.escape_ascii());
            }
        }
        let long = vec![b'+'; HEAD_MAX + 2];
        assert_eq!(lengths(&long, 1000), Err(Fault::LongHead));
    }

    fn value2() -> impl Strategy<Value = Resp2> {
        let leaf = prop_oneof![
            "[a-z ]{0,9}".prop_map(|text| Resp2::SimpleString(text.into_bytes())),
            "[A-Z ]{1,9}".prop_map(Resp2::Error),
            any::<i64>().prop_map(Resp2::Integer),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Resp2::BulkString),
            Just(Resp2::Null),
        ];
        leaf.prop_recursive(3, 30, 5, |inner| prop::collection::vec(inner, 0..5).prop_map(Resp2::Array))
    }

    proptest! {
        #[test]
        fn it_agrees_with_another_implementation(values in prop::collection::vec(value2(), 1..6), size in 1_usize..40) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for value in &values {
                let mut one = vec![0; value.encode_len(false)];
                let len = redis_protocol::resp2::encode::encode(&mut one, value, false).unwrap();
                expected.push(len);
                bytes.extend_from_slice(&one[..len]);
            }
            prop_assert_eq!(lengths(&bytes, size), Ok(expected));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..40) {
            let told = lengths(&bytes, size);
            // What the other implementation takes as one answer, this one does.
            if let Ok(Some((_, len))) = redis_protocol::resp3::decode::complete::decode(&bytes) {
                let frame = redis_protocol::resp3::decode::complete::decode(&bytes).unwrap().unwrap().0;
                if !matches!(frame, Resp3::ChunkedString(_) | Resp3::Hello { .. }) {
                    prop_assert!(told.map_or(true, |told| told.first() == Some(&len)));
                }
            }
        }
    }
}
