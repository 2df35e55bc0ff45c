//! [`Parser`]: what clients send.

mod peek;

use std::fmt;
use std::ops::Range;

pub(super) use self::peek::peek;

use super::inline;
use super::number::parse_integer;
use crate::store::index::KEY_MAX;

/// What a client may send at most.
///
/// | limit | unit | range | default | why |
/// |---|---|---|---|---|
/// | `inline_max` | bytes | from 1 | 64 KiB, as Redis | a line, or the head of an argument, without its end |
/// | `arguments_max` | arguments | 1 to 2^31 - 1 | 1,048,576 | Redis' is 2^31 - 1, which lets a client announce what no memory holds |
/// | `argument_max` | bytes | from 1 | 16 MiB | the longest value the store takes by default; Redis' is 512 MiB |
/// | `request_max` | bytes | from 1 | 256 MiB | one request as a whole; Redis' query buffer is 1 GiB |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a line without its end.
    pub inline_max: usize,
    /// Arguments of a request.
    pub arguments_max: usize,
    /// Bytes of an argument.
    pub argument_max: usize,
    /// Bytes of a request.
    pub request_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { inline_max: 64 << 10, arguments_max: 1 << 20, argument_max: 16 << 20, request_max: 256 << 20 }
    }
}

/// Before a client has logged in: arguments of a request, and bytes of one. As Redis.
const STRANGER_ARGUMENTS_MAX: i64 = 10;
const STRANGER_ARGUMENT_MAX: i64 = 16_384;

/// Why a connection must be closed, after the text was sent as an error; for [`ProtocolError::Http`] at once, with nothing sent.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line by hand that does not end within `inline_max`.
    BigInline,
    /// Quotes that are not balanced.
    Quotes,
    /// A head `*…` that does not end within `inline_max`.
    BigCount,
    /// `*` and no number, or more than `arguments_max`.
    Count,
    /// More than ten arguments before logging in.
    StrangersCount,
    /// A head `$…` that does not end within `inline_max`.
    BigLength,
    /// An argument that does not begin with `$`.
    NoDollar(u8),
    /// `$` and no number.
    Length,
    /// More than `argument_max`, which is this.
    LongArgument(usize),
    /// An argument of more than 16,384 bytes before logging in.
    StrangersLength,
    /// More than `request_max`.
    BigRequest,
    /// `POST`, or `Host:`: a browser was made to send this, by a page that is not to be answered.
    Http,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            ProtocolError::BigInline => f.write_str("too big inline request"),
            ProtocolError::Quotes => f.write_str("unbalanced quotes in request"),
            ProtocolError::BigCount => f.write_str("too big mbulk count string"),
            ProtocolError::Count => f.write_str("invalid multibulk length"),
            ProtocolError::StrangersCount => f.write_str("unauthenticated multibulk length"),
            ProtocolError::BigLength => f.write_str("too big bulk count string"),
            // Redis writes errors with the bytes that would end them replaced.
            ProtocolError::NoDollar(b'\r' | b'\n') => f.write_str("expected '$', got ' '"),
            ProtocolError::NoDollar(byte) => write!(f, "expected '$', got '{}'", char::from(*byte)),
            ProtocolError::Length => f.write_str("invalid bulk length"),
            // Beginning as Redis says it, by which clients know it.
            ProtocolError::LongArgument(most) => {
                write!(f, "invalid bulk length: an argument has at most {most} bytes")?;
                // As many as a key they are whatever is configured.
                f.write_str(if *most > KEY_MAX { " (value_max)" } else { "" })
            }
            ProtocolError::StrangersLength => f.write_str("unauthenticated bulk length"),
            ProtocolError::BigRequest => f.write_str("too big request"),
            ProtocolError::Http => f.write_str("a request of HTTP"),
        }
    }
}

impl std::error::Error for ProtocolError {}

impl ProtocolError {
    /// What the client is sent as an error before its connection is closed, byte by byte as Redis sends it: a
    /// wrong byte is sent back as it is.
    pub fn reply(&self) -> Vec<u8> {
        match self {
            ProtocolError::NoDollar(byte @ 0x80..) => {
                [b"ERR Protocol error: expected '$', got '", &[*byte][..], b"'"].concat()
            }
            other => format!("ERR {other}").into_bytes(),
        }
    }
}

/// What is at the beginning of what was sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A request, and how many bytes it has.
    Request(Request<'a>, usize),
    /// Nothing to do, in so many bytes: an empty line, or a request without arguments.
    Nothing(usize),
    /// Less than one request.
    Incomplete {
        /// How many bytes must be there before it is worth asking again: one more, or a long argument's end.
        wanted: usize,
    },
}

/// The arguments of a request; there is one at least.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    bytes: &'a [u8],
    arguments: &'a [Range<usize>],
    is_plain: bool,
}

impl<'a> Request<'a> {
    /// Whether it was sent as requests are written: heads and arguments that end in `\r\n`. Redis takes any byte behind the
    /// `\r` of a head, and any two behind an argument, so lines need not end there where `\n` is.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// How many there are, the command's name among them.
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Never: a request has one argument at least.
    pub fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// The argument at `at`, the command's name being at 0.
    pub fn argument(&self, at: usize) -> Option<&'a [u8]> {
        self.arguments.get(at).map(|range| &self.bytes[range.clone()])
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.arguments.iter().map(move |range| &bytes[range.clone()])
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(<[u8]>::escape_ascii)).finish()
    }
}

impl PartialEq for Request<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Request<'_> {}

/// Finds one request after the other in what a client sends. It remembers how far it came in one that is not
/// complete, so bytes are looked at once however small the pieces in which they come.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    /// Whether requests are limited as those of somebody unknown.
    is_stranger: bool,
    /// Bytes of the request under way that are dealt with.
    at: usize,
    /// Bytes behind `at` in which no line ends.
    searched: usize,
    /// Arguments still to come; `None`: not known yet.
    remaining: Option<usize>,
    /// Length of the argument whose head has been read.
    length: Option<usize>,
    arguments: Vec<Range<usize>>,
    /// Each head and argument so far ended in `\r\n`.
    is_plain: bool,
    /// The words of a line, without their quotes.
    words: Vec<u8>,
    failed: Option<ProtocolError>,
}

impl Parser {
    /// One for a new connection, of somebody who has logged in, or need not.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            is_stranger: false,
            at: 0,
            searched: 0,
            remaining: None,
            length: None,
            arguments: Vec::new(),
            is_plain: true,
            words: Vec::new(),
            failed: None,
        }
    }

    /// Whether requests are limited as those of somebody who has yet to log in: ten arguments of 16,384 bytes.
    pub fn set_stranger(&mut self, is_stranger: bool) {
        self.is_stranger = is_stranger;
    }

    /// Whether [`Parser::parse`] has found what a connection must be closed for.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// What `bytes` begin with: all that was sent and not consumed. After a request or nothing, the caller calls
    /// again with the bytes behind it; after `Incomplete`, with the same bytes and more.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::reply`] is to be sent as an error, and the connection closed; for [`ProtocolError::Http`] it is to be cut.
    /// Every later call says the same.
    pub fn parse<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Parsed<'a>, ProtocolError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let step = if self.remaining.is_none() { self.begin(bytes) } else { Ok(Step::More) };
        let step = match step {
            Ok(Step::More) => self.arguments(bytes),
            other => other,
        };
        match step.and_then(|step| self.refuse_http(bytes, step)) {
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
            Ok(Step::Incomplete { wanted }) => Ok(Parsed::Incomplete { wanted }),
            Ok(step) => {
                let consumed = self.at;
                self.at = 0;
                self.searched = 0;
                self.remaining = None;
                let (bytes, is_plain) = match step {
                    Step::Line => (&self.words[..], false),
                    _ => (bytes, self.is_plain),
                };
                let arguments = &self.arguments[..];
                match arguments.is_empty() {
                    true => Ok(Parsed::Nothing(consumed)),
                    false => Ok(Parsed::Request(Request { bytes, arguments, is_plain }, consumed)),
                }
            }
        }
    }

    /// Reads a line by hand whole, or the head of a request.
    fn begin(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        self.arguments.clear();
        self.is_plain = true;
        match bytes.first() {
            None => Ok(Step::Incomplete { wanted: 1 }),
            Some(b'*') => {
                let Some(head) = self.head(bytes, ProtocolError::BigCount)? else {
                    return Ok(Step::Incomplete { wanted: bytes.len() + 1 });
                };
                let count = parse_integer(&head[1..]).ok_or(ProtocolError::Count)?;
                if count > self.limits.arguments_max as i64 {
                    return Err(ProtocolError::Count);
                }
                if self.is_stranger && count > STRANGER_ARGUMENTS_MAX {
                    return Err(ProtocolError::StrangersCount);
                }
                if count <= 0 {
                    return Ok(Step::Done);
                }
                self.remaining = Some(count as usize);
                Ok(Step::More)
            }
            Some(_) => self.line(bytes),
        }
    }

    fn line(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        let Some(found) = bytes[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = bytes.len();
            if bytes.len() > self.limits.inline_max {
                return Err(ProtocolError::BigInline);
            }
            return Ok(Step::Incomplete { wanted: bytes.len() + 1 });
        };
        let end = self.searched + found;
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        if line.len() > self.limits.request_max {
            return Err(ProtocolError::BigRequest);
        }
        self.words.clear();
        inline::split(line, &mut self.words, &mut self.arguments).ok_or(ProtocolError::Quotes)?;
        self.at = end + 1;
        Ok(Step::Line)
    }

    fn arguments(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        while let Some(remaining) = self.remaining.filter(|remaining| *remaining > 0) {
            let length = match self.length {
                Some(length) => length,
                None => {
                    // Redis looks for the end of the head first, and at its first byte then.
                    let Some(head) = self.head(bytes, ProtocolError::BigLength)? else {
                        return Ok(Step::Incomplete { wanted: bytes.len() + 1 });
                    };
                    match head {
                        [b'$', number @ ..] => self.length(number)?,
                        [other, ..] => return Err(ProtocolError::NoDollar(*other)),
                        [] => return Err(ProtocolError::NoDollar(b'\r')),
                    }
                }
            };
            self.length = Some(length);
            // What ends the argument is taken without a look, as Redis does.
            let wanted = self.at + length + 2;
            if wanted > self.limits.request_max {
                return Err(ProtocolError::BigRequest);
            }
            if bytes.len() < wanted {
                return Ok(Step::Incomplete { wanted });
            }
            self.is_plain &= bytes[wanted - 2..wanted] == *b"\r\n";
            self.arguments.push(self.at..self.at + length);
            self.at = wanted;
            self.length = None;
            self.remaining = Some(remaining - 1);
        }
        Ok(Step::Done)
    }

    /// Whoever visits a page can be made to send HTTP to where only he can connect: what begins like that is followed by what
    /// the page has chosen. As Redis, which has no commands of these names.
    fn refuse_http(&self, bytes: &[u8], step: Step) -> Result<Step, ProtocolError> {
        let from = match step {
            Step::Line => &self.words[..],
            Step::Done => bytes,
            Step::More | Step::Incomplete { .. } => return Ok(step),
        };
        let name = self.arguments.first().map_or(&[][..], |range| &from[range.clone()]);
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            return Err(ProtocolError::Http);
        }
        Ok(step)
    }

    fn length(&self, number: &[u8]) -> Result<usize, ProtocolError> {
        let length = parse_integer(number).ok_or(ProtocolError::Length)?;
        if length < 0 {
            return Err(ProtocolError::Length);
        }
        if length > self.limits.argument_max as i64 {
            return Err(ProtocolError::LongArgument(self.limits.argument_max));
        }
        if self.is_stranger && length > STRANGER_ARGUMENT_MAX {
            return Err(ProtocolError::StrangersLength);
        }
        Ok(length as usize)
    }

    /// The head at `at`, without its end, and moves behind it; `None` while the end has not come.
    fn head<'a>(
        &mut self,
        bytes: &'a [u8],
        too_big: ProtocolError,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let rest = &bytes[self.at..];
        match rest[self.searched..].iter().position(|byte| *byte == b'\r') {
            Some(found) if self.searched + found + 2 <= rest.len() => {
                let end = self.searched + found;
                self.searched = 0;
                self.is_plain &= rest[end + 1] == b'\n';
                self.at += end + 2;
                Ok(Some(&rest[..end]))
            }
            // The end has come by half.
            Some(found) => {
                self.searched += found;
                Ok(None)
            }
            None if rest.len() > self.limits.inline_max => Err(too_big),
            None => {
                self.searched = rest.len();
                Ok(None)
            }
        }
    }
}

/// How far a call came.
enum Step {
    /// The arguments are next.
    More,
    /// The request is whole, its arguments where they were sent.
    Done,
    /// The request is whole, its arguments are words of a line.
    Line,
    Incomplete {
        wanted: usize,
    },
}

#[cfg(test)]
mod tests;
