//! Where in the text something stands, and how to show it.

use crate::error::Problem;
use crate::server::config::Position;

/// The most characters of a line that an excerpt shows.
const SHOWN_MAX: usize = 100;
/// How many of them stand before the caret when the line is cut.
const BEFORE: usize = 60;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Where each line of a text begins.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        // The mark some editors write at the head is no character of the first line.
        let first = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(first).chain(breaks).collect() }
    }

    /// The line of the byte at `offset`, from 1.
    pub(super) fn line(&self, offset: usize) -> u32 {
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// The place of the byte at `offset`; that behind the end when there are fewer.
    pub(super) fn position(&self, offset: usize) -> Position {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let line = self.line(end);
        let start = self.starts[line as usize - 1].min(end);
        let column = u32::try_from(self.text[start..end].chars().count() + 1).unwrap_or(u32::MAX);
        Position { line, column }
    }
}

/// The line of `text` that `problem` is about, and below it a caret at the column:
///
/// ```text
///    4 | bind = "*:80"
///      |        ^
/// ```
///
/// Two lines without an end of line behind the second; empty when the problem is not at one place of `text`.
/// What a terminal would not print is shown as a blank or `?`, and of a line above 100 characters the part
/// around the caret.
pub fn excerpt(text: &str, problem: &Problem) -> String {
    let (Some(above), Some(before)) = (problem.line.checked_sub(1), problem.column.checked_sub(1)) else {
        return String::new();
    };
    let Some(line) = text.split('\n').nth(above as usize) else { return String::new() };
    let line = if above == 0 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
    let line = line.strip_suffix('\r').unwrap_or(line);
    let before = before as usize;
    // One look at a line that may be the whole file in one.
    let is_long = line.chars().nth(SHOWN_MAX).is_some();
    let skipped = if is_long && before > BEFORE { before - BEFORE } else { 0 };
    let mut shown = String::new();
    if skipped > 0 {
        shown.push('…');
    }
    let mut rest = line.chars().skip(skipped);
    shown.extend(rest.by_ref().take(SHOWN_MAX).map(printable));
    if rest.next().is_some() {
        shown.push('…');
    }
    let caret = before - skipped + usize::from(skipped > 0);
    format!("{:>5} | {}\n{:>5} | {:caret$}^", problem.line, shown.trim_end(), "", "")
}

/// `c`, or what stands for it in the same width.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '"' | '\'' | '\\' => c,
        _ if c.escape_debug().len() == 1 => c,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: u32, column: u32) -> Problem {
        Problem { source: "t".into(), line, column, message: String::new(), hint: String::new() }
    }

    #[test]
    fn offsets_become_lines_and_columns_in_characters() {
        let lines = Lines::new("ab\n\u{e9}\u{4e16}x\r\n\nlast");
        for (offset, line, column) in [
            (0, 1, 1),
            (2, 1, 3),
            (3, 2, 1),
            (4, 2, 1),
            (5, 2, 2),
            (8, 2, 3),
            (9, 2, 4),
            (11, 3, 1),
            (12, 4, 1),
            (16, 4, 5),
            (99, 4, 5),
        ] {
            assert_eq!(lines.position(offset), Position { line, column }, "{offset}");
        }
        assert_eq!(Lines::new("").position(0), Position { line: 1, column: 1 });
        assert_eq!(Lines::new("\u{feff}a").position(3), Position { line: 1, column: 1 });
        assert_eq!(Lines::new("\u{feff}a").position(0), Position { line: 1, column: 1 });
    }

    #[test]
    fn an_excerpt_has_the_line_and_a_caret_below_the_column() {
        let text = "[[listener]]\r\n\tbind = \"*:80\"\r\n";
        assert_eq!(excerpt(text, &problem(2, 9)), "    2 |  bind = \"*:80\"\n      |         ^");
        assert_eq!(excerpt("\u{feff}x y", &problem(1, 3)), "    1 | x y\n      |   ^");
        assert_eq!(excerpt("\u{1b}[31mx", &problem(1, 6)), "    1 | ?[31mx\n      |      ^");
        // Behind the end of the line, as when a bracket is missing.
        assert_eq!(excerpt("a = [", &problem(1, 6)), "    1 | a = [\n      |      ^");
        for (line, column) in [(0, 0), (0, 1), (1, 0), (4, 1)] {
            assert_eq!(excerpt(text, &problem(line, column)), "", "{line}:{column}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let fits = "x".repeat(SHOWN_MAX);
        assert_eq!(excerpt(&fits, &problem(1, 100)), format!("    1 | {fits}\n      | {:99}^", ""));
        let long = format!("{}Y{}", "x".repeat(500), "x".repeat(500));
        let shown = excerpt(&long, &problem(1, 501));
        let (above, below) = shown.split_once('\n').unwrap();
        assert_eq!(above.chars().count(), 8 + 2 + SHOWN_MAX);
        let at = below.chars().position(|c| c == '^').unwrap();
        assert_eq!(above.chars().nth(at), Some('Y'));
        let early = excerpt(&long, &problem(1, 3));
        assert!(early.starts_with("    1 | xxx") && early.ends_with("|   ^"), "{early}");
    }
}
