//! What is sent behind a request, looked at without taking it: which keys will be asked for next.

use std::ops::Range;

use crate::resp::number::parse_integer;

/// Digits of a count or a length that are looked at.
const DIGITS_MAX: usize = 10;
/// Arguments of a request that is looked at. What names more keys than one has them fetched by itself.
const ARGUMENTS_MAX: usize = 16;

/// The name and the first argument of a request, and where the next begins.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::resp) struct Peeked {
    pub(in crate::resp) name: Range<usize>,
    pub(in crate::resp) first: Range<usize>,
    pub(in crate::resp) end: usize,
}

/// The request at `at`, if it has two arguments at least, and all of it is there. Nothing is said of what is odd about
/// it: the parser does that when its turn comes.
pub(in crate::resp) fn peek(bytes: &[u8], mut at: usize) -> Option<Peeked> {
    let count = head(bytes, &mut at, b'*').filter(|count| (2..=ARGUMENTS_MAX).contains(count))?;
    let name = argument(bytes, &mut at)?;
    let first = argument(bytes, &mut at)?;
    for _ in 2..count {
        argument(bytes, &mut at)?;
    }
    Some(Peeked { name, first, end: at })
}

fn argument(bytes: &[u8], at: &mut usize) -> Option<Range<usize>> {
    let length = head(bytes, at, b'$')?;
    let argument = *at..at.checked_add(length)?;
    *at = argument.end.checked_add(2)?;
    (*at <= bytes.len()).then_some(argument)
}

/// The number behind `mark`, and moves behind its line.
fn head(bytes: &[u8], at: &mut usize, mark: u8) -> Option<usize> {
    let line = bytes.get(*at..)?.strip_prefix(&[mark])?;
    let digits = line.iter().take(DIGITS_MAX).position(|byte| *byte == b'\r')?;
    let number = parse_integer(&line[..digits])?;
    *at += 1 + digits + 2;
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_request_is_seen_as_the_parser_will_see_it() {
        let sent = b"*2\r\n$3\r\nGET\r\n$2\r\nab\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\nrest";
        let one = peek(sent, 0).unwrap();
        assert_eq!((&sent[one.name], &sent[one.first]), (&b"GET"[..], &b"ab"[..]));
        let two = peek(sent, one.end).unwrap();
        assert_eq!(
            (&sent[two.name], &sent[two.first], &sent[two.end..]),
            (&b"SET"[..], &b"k"[..], &b"rest"[..])
        );
        assert_eq!(peek(sent, two.end), None);
    }

    #[test]
    fn what_is_cut_odd_or_without_a_key_is_nothing() {
        let whole = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
        for end in 0..whole.len() {
            assert_eq!(peek(&whole[..end], 0), None, "{end}");
        }
        assert_eq!(peek(whole, whole.len() + 1), None);
        for odd in [
            &b"*1\r\n$4\r\nPING\r\n"[..],
            b"*-1\r\n",
            b"*17\r\n$4\r\nMGET\r\n",
            b"*2\r\n$3\r\nGET\r\n$-1\r\n",
            b"*2\r\n$3\r\nGET\r\n:1\r\n",
            b"*2\r\n$9999999999999999999\r\nGET\r\n",
            b"*2\r\n$9223372036854775807\r\nGET\r\n",
            b"PING\r\nPING\r\n",
        ] {
            assert_eq!(peek(odd, 0), None, "{}", odd.escape_ascii());
        }
    }
}
