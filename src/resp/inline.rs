//! A request typed by hand: words on one line, with quotes as in Redis.
//!
//! Within double quotes `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` and a backslash before anything else; within single
//! quotes `\'` only. A closing quote must end its word.

use std::ops::Range;

/// Appends the words of `line` to `out`, and where each is to `words`. `None`: quotes are not balanced.
pub(super) fn split(line: &[u8], out: &mut Vec<u8>, words: &mut Vec<Range<usize>>) -> Option<()> {
    let mut rest = line;
    loop {
        let blank = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = &rest[blank..];
        // A zero byte ends the line, as it does a string in C.
        if matches!(rest, [] | [0, ..]) {
            return Some(());
        }
        let start = out.len();
        rest = word(rest, out)?;
        words.push(start..out.len());
    }
}

/// Takes one word off the front.
fn word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [0, ..] => return Some(rest),
            // Between words others part too, and these within one.
            [b' ' | b'\t' | b'\n' | b'\r', ..] => return Some(rest),
            [b'"', after @ ..] => return quoted(after, b'"', out),
            [b'\'', after @ ..] => return quoted(after, b'\'', out),
            [byte, after @ ..] => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

/// Takes up to the closing quote, which must be the end of the word.
fn quoted<'a>(mut rest: &'a [u8], quote: u8, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'\\', b'x', high, low, after @ ..] if quote == b'"' && is_hex(*high) && is_hex(*low) => {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                };
                (byte, after)
            }
            [b'\\', b'\'', after @ ..] if quote == b'\'' => (b'\'', after),
            [byte, after @ ..] if *byte == quote => {
                return after.first().is_none_or(|next| is_space(*next) || *next == 0).then_some(after);
            }
            [] | [0, ..] => return None,
            [byte, after @ ..] => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).map_or(0, |value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let (mut out, mut words) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut out, &mut words)?;
        Some(words.into_iter().map(|word| out[word].to_vec()).collect())
    }

    #[test]
    fn words_are_split_and_quotes_taken_off() {
        for (line, expected) in [
            ("", vec![]),
            ("  \t ", vec![]),
            ("PING", vec!["PING"]),
            (" set  k\tv ", vec!["set", "k", "v"]),
            (r#"set "a b" 'c d'"#, vec!["set", "a b", "c d"]),
            (r#""\n\x41\\\"\q" '\n\''"#, vec!["\nA\\\"q", "\\n'"]),
            (r#"a"b" "" ''"#, vec!["ab", "", ""]),
            (r#""\xzz""#, vec!["xzz"]),
            ("a\0b", vec!["a"]),
            ("\x0b\x0ca\x0bb\x0c \"c\"\x0bd", vec!["a\x0bb\x0c", "c", "d"]),
        ] {
            let expected: Vec<Vec<u8>> = expected.into_iter().map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(words(line), Some(expected), "{line}");
        }
        for line in [r#"""#, r#""a"#, "'a", r#""a"b"#, "'a'b", r#"'a\'"#, "\"a\0\"", r#""a\"#] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
