//! Where entries lie: a mark for each 64 KiB of them, and wherever reading has to go on elsewhere.

use super::names::Sequence;

/// How many bytes of records one mark stands for.
const STRIDE_BYTES: u64 = 64 << 10;

/// Where an entry's record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) sequence: Sequence,
    pub(super) ordinal: u64,
    pub(super) offset: u64,
}

/// Sequences and positions both go up. From a mark, entries follow in the file without one that does not count,
/// up to the sequence of the next mark: there reading goes on at that one.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: Vec<Mark>,
    /// The next entry does not lie behind the last one that counts.
    is_broken: bool,
}

impl Marks {
    /// An entry was appended, or read.
    #[inline]
    pub(super) fn note(&mut self, mark: Mark) {
        if let Some(last) = self.marks.last()
            && !self.is_broken
            && last.ordinal == mark.ordinal
            && mark.offset - last.offset < STRIDE_BYTES
        {
            return;
        }
        self.is_broken = false;
        self.marks.push(mark);
    }

    /// The entries from this one on no longer count.
    pub(super) fn replace(&mut self, from: Sequence) {
        let keep = self.marks.partition_point(|mark| mark.sequence < from);
        self.marks.truncate(keep);
        self.is_broken = true;
    }

    /// None of the entries counts.
    pub(super) fn clear(&mut self) {
        self.marks.clear();
    }

    /// The segments before `ordinal` are gone.
    pub(super) fn release(&mut self, ordinal: u64) {
        let gone = self.marks.partition_point(|mark| mark.ordinal < ordinal);
        self.marks.drain(..gone);
    }

    /// The first entry that can be read.
    pub(super) fn first(&self) -> Option<Sequence> {
        self.marks.first().map(|mark| mark.sequence)
    }

    /// The first segment with an entry that can be read; `None`: there is none in any.
    pub(super) fn first_ordinal(&self) -> Option<u64> {
        self.marks.first().map(|mark| mark.ordinal)
    }

    /// The marks from the last one at or before `from` on; empty when there is none.
    pub(super) fn from(&self, from: Sequence) -> &[Mark] {
        let after = self.marks.partition_point(|mark| mark.sequence <= from);
        after.checked_sub(1).map_or(&[], |at| &self.marks[at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_where_the_entries_are() {
        let mut marks = Marks::default();
        let mark = |sequence, ordinal, offset| Mark { sequence: Sequence(sequence), ordinal, offset };
        for at in 0..100 {
            marks.note(mark(at + 1, 1, 8192 + at * 8192));
        }
        assert_eq!(marks.from(Sequence(1))[..2], [mark(1, 1, 8192), mark(9, 1, 8192 + 65_536)]);
        assert_eq!(marks.from(Sequence(12))[0], mark(9, 1, 8192 + 65_536));
        assert_eq!(marks.from(Sequence(0)), []);
        marks.replace(Sequence(12));
        assert_eq!(marks.from(Sequence(50)), [mark(9, 1, 8192 + 65_536)]);
        marks.note(mark(12, 1, 900_000));
        marks.note(mark(13, 1, 900_100));
        marks.note(mark(14, 2, 8192));
        let expected = [mark(9, 1, 8192 + 65_536), mark(12, 1, 900_000), mark(14, 2, 8192)];
        assert_eq!(marks.from(Sequence(10)), expected);
        marks.release(2);
        assert_eq!(marks.first(), Some(Sequence(14)));
        assert_eq!(marks.from(Sequence(13)), []);
    }
}
