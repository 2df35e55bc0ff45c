//! [`Lines`]: an answer without an end, line by line.

use std::time::Duration;

use crate::cli::ctl::client::{Connection, Deadline, Trouble};
use crate::server::admin::FOLLOW_SILENCE_MAX;

/// The lines of an answer in chunks.
pub(in crate::cli) struct Lines {
    connection: Connection,
    chunks: Chunks,
    /// What came and was not given.
    text: Vec<u8>,
    has_ended: bool,
}

/// Takes an answer's bytes out of its chunks.
#[derive(Debug, Default)]
struct Chunks {
    /// How much of the chunk under way is to come.
    left: u64,
    /// The end of its line is, too.
    is_closing: bool,
}

/// The longest line that is taken, in bytes.
const LINE_MAX: usize = 1 << 20;
/// The longest line that says how long a chunk is.
const SIZE_LINE_MAX: usize = 64;
/// After this much silence the server is gone: it says something more often than that.
const SILENCE_MAX: Duration = FOLLOW_SILENCE_MAX.saturating_mul(3);

impl Lines {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, chunks: Chunks::default(), text: Vec::new(), has_ended: false }
    }

    /// The next line, without its end; empty ones are left out. `None`: the server has ended it.
    pub(in crate::cli) fn next_line(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        loop {
            while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                if line.len() > 1 {
                    return Ok(Some(line[..end].to_vec()));
                }
            }
            if self.has_ended {
                return Ok(None);
            }
            if self.text.len() > LINE_MAX {
                return Err(Trouble::TooLong);
            }
            let (used, has_ended) = self.chunks.take(&self.connection.read, &mut self.text)?;
            self.connection.read.drain(..used);
            self.has_ended = has_ended;
            if used == 0 && !has_ended && !self.connection.read_more(Deadline::after(SILENCE_MAX))? {
                return Err(Trouble::Gone);
            }
        }
    }
}

impl Chunks {
    /// Appends to `to` what of `bytes` belongs to the answer. Gives how many are used, and whether that was
    /// the end.
    fn take(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> Result<(usize, bool), Trouble> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if self.left > 0 {
                let now = rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                to.extend_from_slice(&rest[..now]);
                used += now;
                self.left -= now as u64;
                self.is_closing = self.left == 0;
                if self.left > 0 {
                    return Ok((used, false));
                }
                continue;
            }
            if self.is_closing {
                match rest {
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        self.is_closing = false;
                        continue;
                    }
                    [] | [b'\r'] => return Ok((used, false)),
                    _ => return Err(Trouble::Stranger(String::new())),
                }
            }
            match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete((_, 0))) => return Ok((bytes.len(), true)),
                Ok(httparse::Status::Complete((length, size))) => {
                    used += length;
                    self.left = size;
                }
                Ok(httparse::Status::Partial) if rest.len() < SIZE_LINE_MAX => return Ok((used, false)),
                Ok(httparse::Status::Partial) | Err(_) => return Err(Trouble::Stranger(String::new())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_in_any_pieces() {
        let whole = b"5\r\nhello\r\n1\r\n\n\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
        for size in 1..=whole.len() {
            let (mut chunks, mut text, mut pending, mut ended) =
                (Chunks::default(), Vec::new(), Vec::new(), false);
            for piece in whole.chunks(size) {
                assert!(!ended || piece == b"\n" || piece == b"\r\n" || piece == b"\r");
                pending.extend_from_slice(piece);
                if !ended {
                    let (used, has_ended) = chunks.take(&pending, &mut text).unwrap();
                    pending.drain(..used);
                    ended = has_ended;
                }
            }
            assert_eq!((text.as_slice(), ended), (&b"hello\nabcdefghijklmnopqrstuvwxyz"[..], true), "{size}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bytes in [&b"x\r\n"[..], b"5\r\nhelloXX", b"5\r\nhello\rX", b"-1\r\n", b"11111111111111111\r\n"] {
            assert!(Chunks::default().take(bytes, &mut Vec::new()).is_err(), "{}", bytes.escape_ascii());
        }
        let endless = [b"5;".to_vec(), vec![b'x'; SIZE_LINE_MAX]].concat();
        assert!(Chunks::default().take(&endless, &mut Vec::new()).is_err());
    }
}
