//! `LCS`: what two strings have in common, in the same order.
//!
//! The table of the textbook (Wagner and Fischer, "The String-to-String Correction Problem", JACM 21, 1974): for each pair of
//! beginnings the length of the longest string that both contain in its order. It is walked back from its end, as Redis does,
//! so that of several longest ones, and several ways to cut one into runs, the same is told.

use super::super::reply::Reply;
use super::super::world::{Failure, SYNTAX, World, fail};
use super::{Args, READONLY, Spec, integer, is};

pub(super) const TABLE: &[Spec] = &[Spec::data("lcs", -3, READONLY, (1, 2, 1), lcs)];

#[derive(Debug, Default)]
struct Options {
    length: bool,
    runs: bool,
    run_lengths: bool,
    /// Shorter runs are not told.
    run_min: u64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut rest = args;
        while let [option, values @ ..] = rest {
            rest = values;
            match values {
                _ if is(option, "idx") => options.runs = true,
                _ if is(option, "len") => options.length = true,
                _ if is(option, "withmatchlen") => options.run_lengths = true,
                [least, values @ ..] if is(option, "minmatchlen") => {
                    options.run_min = u64::try_from(integer(least)?).unwrap_or(0);
                    rest = values;
                }
                _ => return Err(SYNTAX),
            }
        }
        if options.runs && options.length {
            return Err(fail("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// For each pair of beginnings of two strings, the length of the longest they have in common.
struct Table {
    lengths: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Self {
        let width = b.len() + 1;
        let mut lengths = vec![0; (a.len() + 1) * width];
        for (row, left) in a.iter().enumerate() {
            let (above, own) = lengths[row * width..(row + 2) * width].split_at_mut(width);
            for (at, right) in b.iter().enumerate() {
                own[at + 1] = if left == right { above[at] + 1 } else { above[at + 1].max(own[at]) };
            }
        }
        Self { lengths, width }
    }

    fn at(&self, row: usize, column: usize) -> u32 {
        self.lengths[row * self.width + column]
    }

    fn length(&self) -> u32 {
        self.lengths.last().copied().unwrap_or(0)
    }
}

/// So many bytes from these places on are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

/// The runs of the longest string in common, the last one first.
fn runs(a: &[u8], b: &[u8], table: &Table) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut row, mut column) = (a.len(), b.len());
    while row > 0 && column > 0 {
        if a[row - 1] == b[column - 1] {
            (row, column) = (row - 1, column - 1);
            match runs.last_mut() {
                Some(run) if run.a == row + 1 && run.b == column + 1 => {
                    *run = Run { a: row, b: column, len: run.len + 1 };
                }
                _ => runs.push(Run { a: row, b: column, len: 1 }),
            }
        } else if table.at(row - 1, column) > table.at(row, column - 1) {
            row -= 1;
        } else {
            column -= 1;
        }
    }
    runs
}

/// Bytes of the table for two strings of these lengths.
fn table_bytes(a: usize, b: usize) -> u64 {
    ((a as u64 + 1).saturating_mul(b as u64 + 1)).saturating_mul(4)
}

fn lcs(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let mut strings = [Vec::new(), Vec::new()];
    for (string, key) in strings.iter_mut().zip(&args[1..3]) {
        let found = world.string(key, |found| found.map(<[u8]>::to_vec));
        let found = found.map_err(|_| fail("ERR The specified keys must contain string values"))?;
        *string = found.unwrap_or_default();
    }
    let [a, b] = &strings;
    let options = Options::parse(&args[3..])?;
    if table_bytes(a.len(), b.len()) > world.value_max() {
        return Err(fail("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let table = Table::new(a, b);
    if options.length {
        reply.integer(i64::from(table.length()));
        return Ok(());
    }
    let mut runs = runs(a, b, &table);
    if !options.runs {
        let common: Vec<u8> = runs.iter().rev().flat_map(|run| &a[run.a..run.a + run.len]).copied().collect();
        reply.bulk(&common);
        return Ok(());
    }
    runs.retain(|run| run.len as u64 >= options.run_min);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(runs.len());
    for run in runs {
        reply.array(2 + usize::from(options.run_lengths));
        for start in [run.a, run.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + run.len - 1) as i64);
        }
        if options.run_lengths {
            reply.integer(run.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(i64::from(table.length()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_are_told_from_the_end() {
        let (a, b) = (b"ohmytext", b"mynewtext");
        let table = Table::new(a, b);
        assert_eq!(table.length(), 6);
        assert_eq!(runs(a, b, &table), [Run { a: 4, b: 5, len: 4 }, Run { a: 2, b: 0, len: 2 }]);
        assert_eq!(Table::new(b"", b"x").length(), 0);
    }

    #[test]
    fn the_table_has_a_bound() {
        assert_eq!(table_bytes(2047, 2047), 16 << 20);
        assert_eq!(table_bytes(usize::MAX - 1, usize::MAX - 1), u64::MAX);
    }

    /// The longest there is, by trying.
    fn longest(a: &[u8], b: &[u8]) -> u32 {
        match (a, b) {
            ([left, a @ ..], [right, b @ ..]) if left == right => 1 + longest(a, b),
            ([_, less_a @ ..], [_, less_b @ ..]) => longest(less_a, b).max(longest(a, less_b)),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn it_is_the_longest_and_runs_are_in_both(
            a in prop::collection::vec(0_u8..3, 0..9),
            b in prop::collection::vec(0_u8..3, 0..9),
        ) {
            let table = Table::new(&a, &b);
            prop_assert_eq!(table.length(), longest(&a, &b));
            let runs = runs(&a, &b, &table);
            prop_assert_eq!(runs.iter().map(|run| run.len).sum::<usize>() as u32, table.length());
            prop_assert!(runs.iter().all(|run| a[run.a..run.a + run.len] == b[run.b..run.b + run.len]));
            prop_assert!(runs.windows(2).all(|two| two[0].a >= two[1].a + two[1].len && two[0].b >= two[1].b + two[1].len));
        }
    }
}
