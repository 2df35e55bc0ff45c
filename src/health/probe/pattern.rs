//! What an answer must hold: bytes, or a regular expression over bytes.
//!
//! Expressions are those of the crate `regex`, which takes time linear in what it looks at. They match bytes:
//! `.` is a byte, `\w`, `\d` and `(?i)` are ASCII's, and characters beyond ASCII may stand in a pattern but not in a
//! class.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Look;

use crate::error::{Error, Result};

/// The longest pattern, in bytes.
pub const PATTERN_MAX: usize = 1024;

/// How much memory a compiled expression may take, in bytes. Enough for any of [`PATTERN_MAX`] without huge
/// repetitions.
const COMPILED_MAX: usize = 1 << 20;

/// What an answer must hold.
#[derive(Clone)]
pub struct Pattern(Matcher);

#[derive(Clone)]
enum Matcher {
    Bytes(Box<[u8]>),
    Regex(Regex),
}

impl Pattern {
    /// These bytes, anywhere. 1 to [`PATTERN_MAX`].
    pub fn bytes(bytes: impl Into<Box<[u8]>>) -> Result<Self> {
        let bytes = bytes.into();
        check_length(bytes.len())?;
        Ok(Self(Matcher::Bytes(bytes)))
    }

    /// The bytes that `hex` stands for: two digits each, blanks between bytes as one likes.
    pub fn hex(hex: &str) -> Result<Self> {
        Self::bytes(bytes_of_hex(hex)?)
    }

    /// A match of this expression, anywhere unless it is anchored.
    pub fn regex(expression: &str) -> Result<Self> {
        check_length(expression.len())?;
        let regex = RegexBuilder::new(expression)
            .unicode(false)
            .size_limit(COMPILED_MAX)
            .dfa_size_limit(COMPILED_MAX)
            .build()
            .map_err(|error| Error::invalid("pattern", last_line(&error.to_string())))?;
        Ok(Self(Matcher::Regex(regex)))
    }

    /// Refuses a pattern for which it matters where what came so far ends: over a stream that goes on, `$`
    /// and `\b` would match by chance.
    pub(super) fn check_for_stream(&self) -> Result<()> {
        let Matcher::Regex(regex) = &self.0 else { return Ok(()) };
        let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(regex.as_str());
        let parsed = parsed.map_err(|error| Error::invalid("pattern", last_line(&error.to_string())))?;
        let looks_ahead = |look: Look| !matches!(look, Look::Start | Look::StartLF);
        if parsed.properties().look_set().iter().any(looks_ahead) {
            return Err(Error::invalid(
                "pattern",
                "it asks for an end of the text or a boundary of a word, and an answer in a script has none: \
                 more may come; write what follows, such as \\r\\n",
            ));
        }
        Ok(())
    }

    /// Whether `bytes` hold it.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        match &self.0 {
            Matcher::Bytes(wanted) => find(bytes, wanted).is_some(),
            Matcher::Regex(regex) => regex.is_match(bytes),
        }
    }

    /// The end of the shortest beginning of `bytes` that holds it: where a look after each byte would have
    /// found it. For patterns that [`Pattern::check_for_stream`] took. Nothing before `from` holds it.
    pub(super) fn first_end(&self, bytes: &[u8], from: usize) -> Option<usize> {
        match &self.0 {
            Matcher::Bytes(wanted) => {
                let start = from.saturating_sub(wanted.len() - 1);
                find(&bytes[start..], wanted).map(|at| start + at + wanted.len())
            }
            Matcher::Regex(regex) => {
                if !regex.is_match(bytes) {
                    return None;
                }
                // What holds it goes on to hold it as bytes are added, so the first end can be halved in on.
                let (mut without, mut with) = (from, bytes.len());
                while without < with {
                    let middle = without + (with - without) / 2;
                    if regex.is_match(&bytes[..middle]) { with = middle } else { without = middle + 1 }
                }
                Some(with)
            }
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Matcher::Bytes(a), Matcher::Bytes(b)) => a == b,
            (Matcher::Regex(a), Matcher::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Matcher::Bytes(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Matcher::Regex(regex) => write!(f, "/{}/", regex.as_str()),
        }
    }
}

fn check_length(length: usize) -> Result<()> {
    if length == 0 || length > PATTERN_MAX {
        return Err(Error::invalid("pattern", format!("it has {length} bytes; 1 to {PATTERN_MAX} fit")));
    }
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Reads `0d 0a ff` or `0d0aff`.
pub(super) fn bytes_of_hex(hex: &str) -> Result<Vec<u8>> {
    let wrong = |at: usize| Error::invalid("hex", format!("byte {at} is none of two hexadecimal digits"));
    let mut bytes = Vec::new();
    for run in hex.split_ascii_whitespace() {
        for pair in run.as_bytes().chunks(2) {
            let value = match pair {
                [high, low] => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
                _ => None,
            };
            bytes.push(value.ok_or_else(|| wrong(bytes.len() + 1))?);
        }
    }
    Ok(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The crate draws a picture of what is wrong; its last line says it.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_bytes() {
        for (pattern, good, bad) in [
            (Pattern::bytes(*b"ok").unwrap(), b"it is ok".as_slice(), b"o k".as_slice()),
            (Pattern::hex("00 ff0A").unwrap(), b"\x01\x00\xff\n", b"\x00\xff"),
            (Pattern::regex("^[23]..$").unwrap(), b"2\xff3", b"400"),
            (Pattern::regex("(?i)ready").unwrap(), b"READY", b"red"),
            (Pattern::regex("grün").unwrap(), "ganz grün".as_bytes(), b"gr\xfcn"),
            (Pattern::regex(r"^\w+$").unwrap(), b"abc_1", "ä".as_bytes()),
        ] {
            assert!(pattern.is_in(good) && !pattern.is_in(bad), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_in_a_line() {
        for (error, part) in [
            (Pattern::bytes([]).unwrap_err(), "0 bytes"),
            (Pattern::bytes([0; PATTERN_MAX + 1]).unwrap_err(), "1025 bytes"),
            (Pattern::hex("0").unwrap_err(), "byte 1 is none"),
            (Pattern::hex("00 1x").unwrap_err(), "byte 2 is none"),
            (Pattern::hex("+1").unwrap_err(), "byte 1 is none"),
            (Pattern::regex("a(b").unwrap_err(), "unclosed group"),
            (Pattern::regex("[ä]").unwrap_err(), "Unicode"),
            (Pattern::regex("((a{900}){900}){9}").unwrap_err(), "size limit"),
            (Pattern::regex("").unwrap_err(), "0 bytes"),
        ] {
            let text = error.to_string();
            assert!(text.contains(part) && text.lines().count() == 1, "{text}");
        }
        assert!(Pattern::bytes([0; PATTERN_MAX]).is_ok());
    }

    #[test]
    fn ends_and_boundaries_are_refused_in_a_stream() {
        for good in ["^220", r"\Aok", "(?m)^ok\r\n", "a+b", "(?i)x|y"] {
            Pattern::regex(good).unwrap().check_for_stream().unwrap();
        }
        Pattern::bytes(*b"$").unwrap().check_for_stream().unwrap();
        for bad in ["ok$", r"ok\z", r"\bok\b", r"(?m)ok$", "(?R)(?m)^ok", r"a\Bb", r"ok\b{end}"] {
            let error = Pattern::regex(bad).unwrap().check_for_stream().unwrap_err().to_string();
            assert!(error.contains("more may come"), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn the_first_end_is_where_a_look_after_each_byte_finds_it(
            bytes in "[abc]{0,40}",
            pattern in prop_oneof!["[abc]{1,4}", Just("a+b".into()), Just("^.c|ba*".into()), Just("(?m)^a".into())],
            is_regex: bool,
        ) {
            let bytes = bytes.as_bytes();
            let pattern = if is_regex { Pattern::regex(&pattern) } else { Pattern::bytes(pattern.as_bytes()) };
            let pattern = pattern.unwrap();
            let slowly = (0..=bytes.len()).find(|end| pattern.is_in(&bytes[..*end]));
            for from in 0..slowly.unwrap_or(bytes.len()) {
                prop_assert_eq!(pattern.first_end(bytes, from), slowly, "{} from {}", pattern, from);
            }
        }
    }
}
