//! [`Loss`]: what a client has written is lost with a primary, until it has written again.

use crate::resp::Position;

/// See the module. An answer alone does not tell whether a write has written something; the position that is told behind it does.
#[derive(Debug)]
pub(super) struct Loss {
    /// Where what is lost was.
    pub(super) of: Position,
    /// Where the log was since, before the client has written; `None`: that is not known.
    before: Option<Position>,
    /// A write was answered since, and the position behind it is that of this seek or a later one.
    seek: Option<u64>,
}

impl Loss {
    pub(super) fn new(of: Position) -> Self {
        Self { of, before: None, seek: None }
    }

    /// Whether the position is yet to come that tells of a write.
    pub(super) fn is_open(&self) -> bool {
        self.seek.is_some()
    }

    /// A write was answered, after so many seeks. What says that there was nothing to do counts only if it can be told from what others
    /// have written.
    pub(super) fn handle_write(&mut self, answer: &[u8], seeks: u64) {
        if self.before.is_some() || !EMPTY.contains(&answer) {
            self.seek = Some(seeks);
        }
    }

    /// A position was told. Whether the client has written again.
    pub(super) fn handle_position(&mut self, seek: u64, position: Position) -> bool {
        match self.seek {
            Some(behind) if seek < behind => return false,
            Some(_) if self.before.is_none_or(|before| position > before) => return true,
            _ => {}
        }
        self.seek = None;
        self.before = self.before.max(Some(position));
        false
    }
}

/// What writes are answered for which there was nothing to do; some that have done something are too.
const EMPTY: [&[u8]; 6] = [b":0\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"*0\r\n", b"#f\r\n"];
