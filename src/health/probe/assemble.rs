//! Units of a protocol put together from the pieces they come in, within a bound.
//!
//! Both take from the front of the input only what belongs to the unit at hand, so what comes of a dialogue
//! does not depend on where the pieces were cut.

use crate::health::reason::{Reason, shown};

/// A line, up to its LF.
#[derive(Debug, Default)]
pub(super) struct Line {
    bytes: Vec<u8>,
    is_whole: bool,
}

impl Line {
    /// Takes what is missing of the line off `input`. Gives the line without its LF or CRLF once it is whole;
    /// the next call begins the next one. A line of more than `max` bytes before its LF is refused.
    pub(super) fn take(&mut self, input: &mut &[u8], max: usize) -> Result<Option<&[u8]>, Reason> {
        if self.is_whole {
            self.clear();
        }
        let end = input.iter().position(|byte| *byte == b'\n');
        let part = &input[..end.unwrap_or(input.len())];
        if part.len() > max - self.bytes.len() {
            self.bytes.extend_from_slice(&part[..max - self.bytes.len()]);
            return Err(Reason::answer(format!(
                "a line of more than {max} bytes begins with {}",
                shown(&self.bytes)
            )));
        }
        self.bytes.extend_from_slice(part);
        let Some(end) = end else {
            *input = &[];
            return Ok(None);
        };
        *input = &input[end + 1..];
        self.is_whole = true;
        Ok(Some(self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes)))
    }

    /// What came of a line that is not whole yet.
    pub(super) fn part(&self) -> &[u8] {
        if self.is_whole { &[] } else { &self.bytes }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.is_whole = false;
    }
}

/// A packet that is whole: its header, its body.
type Whole<'a, const HEADER: usize> = (&'a [u8; HEADER], &'a [u8]);

/// A packet: a header of `HEADER` bytes, which tells how many follow.
#[derive(Debug, Default)]
pub(super) struct Packet<const HEADER: usize> {
    bytes: Vec<u8>,
    /// How long it is with its header, once that is whole.
    length: Option<usize>,
    is_whole: bool,
}

impl<const HEADER: usize> Packet<HEADER> {
    /// Takes what is missing of the packet off `input`. `length` reads from the header how many bytes follow,
    /// or refuses. Gives header and body once all is there; the next call begins the next packet.
    pub(super) fn take(
        &mut self,
        input: &mut &[u8],
        length: impl FnOnce(&[u8; HEADER]) -> Result<usize, Reason>,
    ) -> Result<Option<Whole<'_, HEADER>>, Reason> {
        if self.is_whole {
            self.clear();
        }
        self.fill(input, HEADER);
        let Some(header) = self.bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let whole = match self.length {
            Some(whole) => whole,
            None => *self.length.insert(HEADER + length(header)?),
        };
        self.fill(input, whole);
        self.is_whole = self.bytes.len() == whole;
        Ok(if self.is_whole { self.bytes.split_first_chunk() } else { None })
    }

    /// What came of a packet that is not whole yet.
    pub(super) fn part(&self) -> &[u8] {
        if self.is_whole { &[] } else { &self.bytes }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.length = None;
        self.is_whole = false;
    }

    fn fill(&mut self, input: &mut &[u8], to: usize) {
        let (taken, rest) = input.split_at(to.saturating_sub(self.bytes.len()).min(input.len()));
        self.bytes.extend_from_slice(taken);
        *input = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_any_pieces() {
        let text = b"220 one\r\n\ntwo\nrest";
        for size in 1..=text.len() {
            let mut line = Line::default();
            let mut lines = Vec::new();
            for piece in text.chunks(size) {
                let mut input = piece;
                while let Some(whole) = line.take(&mut input, 8).unwrap() {
                    lines.push(whole.to_vec());
                }
            }
            assert_eq!(lines, [b"220 one".to_vec(), b"".to_vec(), b"two".to_vec()], "{size}");
            assert_eq!(line.part(), b"rest");
        }
    }

    #[test]
    fn a_line_is_refused_beyond_its_bound_however_it_comes() {
        let refused = |text: &[u8], size: usize| {
            let mut line = Line::default();
            for piece in text.chunks(size) {
                let mut input = piece;
                match line.take(&mut input, 4) {
                    Ok(Some(_)) => return None,
                    Ok(None) => {}
                    Err(reason) => return Some(reason.to_string()),
                }
            }
            None
        };
        for size in 1..=6 {
            assert_eq!(refused(b"1234\n", size), None);
            let text = refused(b"12345\n", size).unwrap();
            assert_eq!(text, "answer: a line of more than 4 bytes begins with \"1234\"");
        }
    }

    #[test]
    fn packets_come_in_any_pieces() {
        let bytes = [2, b'a', b'b', 0, 1, b'c', 3, b'd'];
        for size in 1..=bytes.len() {
            let mut packet = Packet::<1>::default();
            let mut bodies = Vec::new();
            for piece in bytes.chunks(size) {
                let mut input = piece;
                while let Some((_, body)) = packet.take(&mut input, |[n]| Ok(usize::from(*n))).unwrap() {
                    bodies.push(body.to_vec());
                }
            }
            assert_eq!(bodies, [b"ab".to_vec(), b"".to_vec(), b"c".to_vec()], "{size}");
            assert_eq!(packet.part(), [3, b'd']);
        }
        let mut packet = Packet::<1>::default();
        let refused = packet.take(&mut &bytes[..], |_| Err(Reason::answer("no")));
        assert_eq!(refused.unwrap_err().text(), "no");
    }
}
