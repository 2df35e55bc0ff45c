//! [`Table`]: columns that line up.

use std::io::{self, Write};

/// Rows under headings, each column as wide as its widest cell.
pub(in crate::cli) struct Table<const COLUMNS: usize> {
    headings: [(&'static str, Side); COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

/// Where a cell stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(in crate::cli) fn new(headings: [(&'static str, Side); COLUMNS]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    pub(in crate::cli) fn push(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| printable(&cell)));
    }

    /// Writes it, each line behind `indent`.
    pub(in crate::cli) fn print(&self, indent: &str, out: &mut impl Write) -> io::Result<()> {
        let width = |text: &str| text.chars().count();
        let widths: [usize; COLUMNS] = std::array::from_fn(|at| {
            let widest = self.rows.iter().map(|row| width(&row[at])).max().unwrap_or(0);
            widest.max(width(self.headings[at].0))
        });
        let headings = self.headings.map(|(heading, _)| heading);
        let rows = self.rows.iter().map(|row| row.each_ref().map(String::as_str));
        for row in std::iter::once(headings).chain(rows) {
            let mut line = indent.to_string();
            for ((cell, (_, side)), columns) in row.into_iter().zip(self.headings).zip(widths) {
                match side {
                    Side::Left => line.push_str(&format!("{cell:columns$}  ")),
                    Side::Right => line.push_str(&format!("{cell:>columns$}  ")),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Without anything a terminal would act on.
pub(in crate::cli) fn printable(text: &str) -> String {
    let is_harmless = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_harmless(c) { c } else { '\u{fffd}' }).collect()
}

/// A number of bytes, to two digits at least.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut scaled = count as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024 is 1 of the next.
    while scaled >= 1023.5 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(scaled < 9.95);
    format!("{scaled:.digits$} {}", UNITS[unit])
}

/// A time, to two digits at least; `-` for none.
pub(super) fn time(nanos: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    if nanos == 0 {
        return "-".into();
    }
    let fits = |(_, size): &&(&str, f64)| nanos as f64 / size < 999.5;
    let (unit, size) = UNITS.iter().find(fits).unwrap_or(&UNITS[3]);
    let scaled = nanos as f64 / size;
    let digits = usize::from(scaled < 9.95 && *size > 1.0);
    format!("{scaled:.digits$} {unit}")
}

/// A limit; `-` for none.
pub(super) fn limit(limit: u64) -> String {
    if limit == 0 { "-".into() } else { limit.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_with_their_text() {
        let mut table = Table::new([("name", Side::Left), ("picks", Side::Right), ("note", Side::Left)]);
        table.push(["é".into(), "7".into(), "a longer one".into()]);
        table.push(["web-01".into(), "1234567".into(), String::new()]);
        let mut out = Vec::new();
        table.print("  ", &mut out).unwrap();
        let expected = "  name      picks  note\n  é             7  a longer one\n  web-01  1234567\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn an_empty_table_is_its_headings() {
        let mut out = Vec::new();
        Table::<2>::new([("a", Side::Right), ("b", Side::Right)]).print("", &mut out).unwrap();
        assert_eq!(out, b"a  b\n");
    }

    #[test]
    fn a_terminal_is_told_nothing() {
        assert_eq!(printable("a\u{1b}[2J\u{202e}é\n"), "a\u{fffd}[2J\u{fffd}é\u{fffd}");
    }

    #[test]
    fn quantities_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_188, "9.9 KiB"),
            (10_189, "10 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
        for (nanos, text) in [
            (0, "-"),
            (1, "1 ns"),
            (999, "999 ns"),
            (1_000, "1.0 µs"),
            (12_345, "12 µs"),
            (999_499, "999 µs"),
            (999_500, "1.0 ms"),
            (1_500_000_000, "1.5 s"),
            (7_200_000_000_000, "7200 s"),
        ] {
            assert_eq!(time(nanos), text, "{nanos}");
        }
        assert_eq!((limit(0), limit(5)), ("-".into(), "5".into()));
    }
}
