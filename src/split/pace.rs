//! [`Pace`]: how many requests of a client may be under way at once. Nodes answer all that they are asked, and what a client does
//! not read is kept for it: so one that asks for long values in one go is not asked for more of them than can be kept, and begins
//! with few, since nobody knows how long answers are before they come.

/// How many may be under way in the beginning.
const FIRST: usize = 8;
/// Bytes of answers that may be under way, as far as their length can be foreseen; one answer always may.
const BYTES: usize = 8 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// Bytes of the answer that is coming.
    coming: usize,
    /// How long answers were lately, the longest before others.
    length: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { most: FIRST, coming: 0, length: 0 }
    }
}

impl Pace {
    /// A part of an answer has come.
    pub(super) fn note_piece(&mut self, bytes: usize) {
        self.coming += bytes;
    }

    /// All of it has.
    pub(super) fn note_answer(&mut self) {
        self.length = std::mem::take(&mut self.coming).max(self.length - self.length / 8);
        self.most = self.most.saturating_add(1);
    }

    /// How many may be under way.
    pub(super) fn window(&self) -> usize {
        let length = self.length.max(self.coming).max(1);
        self.most.min(BYTES / length).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_under_way_as_can_be_kept() {
        let mut pace = Pace::default();
        assert_eq!(pace.window(), FIRST);
        for _ in 0..1_000 {
            pace.note_piece(7);
            pace.note_answer();
        }
        assert_eq!(pace.window(), FIRST + 1_000, "short answers are no reason");
        // It is seen before it is whole, and remembered for a while.
        pace.note_piece(1 << 20);
        pace.note_piece(1 << 20);
        assert_eq!(pace.window(), 4);
        pace.note_answer();
        assert_eq!(pace.window(), 4);
        for _ in 0..100 {
            pace.note_answer();
        }
        assert_eq!(pace.window(), FIRST + 1_101);
        pace.note_piece(1 << 30);
        assert_eq!(pace.window(), 1, "one always is");
    }
}
