//! [`Body`]: where a body ends, and its first bytes.

use super::super::assemble::Line;
use super::BODY_MAX;
use crate::health::reason::{Reason, shown};

/// How a body's end is told (RFC 9112, section 6.3).
#[derive(Debug)]
enum Framing {
    /// So many bytes are to come.
    Length(u64),
    Chunks(Chunks),
    /// With the connection.
    Close,
}

#[derive(Debug)]
enum Chunks {
    Size(Line),
    Data(u64),
    /// The line end behind a chunk's data, and whether its CR came.
    End {
        has_cr: bool,
    },
}

/// The longest line of a chunk's size, with its extensions, in bytes.
const SIZE_LINE_MAX: usize = 1024;

/// A body as it comes.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    kept: Vec<u8>,
}

impl Body {
    /// The body behind a head of these values of `Transfer-Encoding` and `Content-Length`.
    pub(super) fn new(codings: &[&[u8]], lengths: &[&[u8]]) -> Result<Self, Reason> {
        let framing = if !codings.is_empty() {
            if codings.len() > 1 || !codings[0].eq_ignore_ascii_case(b"chunked") {
                return Err(Reason::answer(format!(
                    "the transfer coding {} is not understood",
                    shown(&codings.join(b", ".as_slice()))
                )));
            }
            Framing::Chunks(Chunks::Size(Line::default()))
        } else if let Some((first, others)) = lengths.split_first() {
            let length = decimal(first).filter(|_| others.iter().all(|other| other == first));
            let told = || Reason::answer(format!("no length: {}", shown(&lengths.join(b", ".as_slice()))));
            Framing::Length(length.ok_or_else(told)?)
        } else {
            Framing::Close
        };
        Ok(Self { framing, kept: Vec::new() })
    }

    /// The body of an answer that has none.
    pub(super) fn none() -> Self {
        Self { framing: Framing::Length(0), kept: Vec::new() }
    }

    /// Its first bytes.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Takes what came; `true` when enough is there: all of it, or [`BODY_MAX`].
    pub(super) fn take(&mut self, mut input: &[u8]) -> Result<bool, Reason> {
        loop {
            let is_full = self.kept.len() == BODY_MAX;
            match &mut self.framing {
                Framing::Length(0) => return Ok(true),
                _ if is_full => return Ok(true),
                Framing::Close if input.is_empty() => return Ok(false),
                Framing::Length(_) | Framing::Chunks(Chunks::Data(_)) if input.is_empty() => {
                    return Ok(false);
                }
                Framing::Close => {
                    keep(&mut self.kept, &mut input, u64::MAX);
                }
                Framing::Length(left) => *left -= keep(&mut self.kept, &mut input, *left),
                Framing::Chunks(chunks) => match chunks {
                    Chunks::Size(line) => {
                        let Some(line) = line.take(&mut input, SIZE_LINE_MAX)? else { return Ok(false) };
                        match size(line)? {
                            0 => return Ok(true),
                            size => *chunks = Chunks::Data(size),
                        }
                    }
                    Chunks::Data(left) => {
                        *left -= keep(&mut self.kept, &mut input, *left);
                        if *left == 0 {
                            *chunks = Chunks::End { has_cr: false };
                        }
                    }
                    Chunks::End { has_cr } => {
                        let Some((&byte, rest)) = input.split_first() else { return Ok(false) };
                        input = rest;
                        match byte {
                            b'\n' => *chunks = Chunks::Size(Line::default()),
                            b'\r' if !*has_cr => *has_cr = true,
                            _ => {
                                let byte = shown(&[byte]);
                                return Err(Reason::answer(format!(
                                    "a chunk goes on behind its end with {byte}"
                                )));
                            }
                        }
                    }
                },
            }
        }
    }

    /// The connection ended: whether that is where the body does.
    pub(super) fn ends(&self) -> Result<(), Reason> {
        match &self.framing {
            Framing::Close | Framing::Length(0) => Ok(()),
            Framing::Length(left) => {
                Err(Reason::answer(format!("the connection was closed {left} bytes before the body's end")))
            }
            Framing::Chunks(_) => Err(Reason::answer("the connection was closed before the last chunk")),
        }
    }
}

/// Moves up to `most` bytes over, as far as there is room; how many.
fn keep(kept: &mut Vec<u8>, input: &mut &[u8], most: u64) -> u64 {
    let room = (BODY_MAX - kept.len()).min(input.len());
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(room);
    let (taken, rest) = input.split_at(count);
    kept.extend_from_slice(taken);
    *input = rest;
    count as u64
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The size of a chunk, before its extensions.
fn size(line: &[u8]) -> Result<u64, Reason> {
    let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_hex)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Reason::answer(format!("no size of a chunk: {}", shown(line))))
}
