//! Patterns with `*`, `?`, `[a-z]`, `[^a]` and `\` before a byte that means itself, as Redis has them.
//!
//! A pattern is walked along the text, back to behind its last star where it does not fit. That is quick for whatever is
//! meant to be found, and takes the product of the lengths for what is made to be slow; where it has taken more than some
//! steps for each byte, all places are followed at once instead, a bit for each (shift-and, Baeza-Yates and Gonnet, CACM
//! 1992, with stars as places that are not left): then 64 bytes of the pattern cost one step for each byte of the text.

use super::command::failure;
use super::world::Failure;

/// Bytes of a pattern that is matched against channels, keys and fields, at most.
pub(super) const PATTERN_MAX: usize = 4_096;

/// Whether all of `text` fits `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    Glob::new(pattern).matches(text)
}

/// The pattern, unless it is longer than what is matched.
pub(super) fn bounded(pattern: &[u8]) -> Result<&[u8], Failure> {
    match pattern.len() <= PATTERN_MAX {
        true => Ok(pattern),
        false => Err(failure(format!("ERR a pattern has more than {PATTERN_MAX} bytes; use a shorter one"))),
    }
}

/// A pattern for any number of texts.
#[derive(Debug)]
pub(super) struct Glob<'a> {
    pattern: &'a [u8],
    /// Bytes of what it stands for besides stars: no shorter text fits.
    least: usize,
    /// Steps it may be walked for, from text to text.
    steps: usize,
    places: Option<Places>,
    /// Whether a text without a byte fits.
    takes_empty: bool,
}

/// Steps for each byte of a text: with one star before a word there are no more than two for each, mostly.
const STEPS: usize = 16;
/// Steps beside those of each byte.
const STEPS_LEAST: usize = 64;

impl<'a> Glob<'a> {
    pub(super) fn new(pattern: &'a [u8]) -> Self {
        let mut least = 0;
        let mut rest = pattern;
        while let Some((part, behind)) = next(rest) {
            least += usize::from(part != Part::Star);
            rest = behind;
        }
        Self { pattern, least, steps: pattern.len(), places: None, takes_empty: pattern.is_empty() }
    }

    /// One for keys and fields, of which a star alone takes each, an empty one too.
    pub(super) fn of_keys(pattern: &'a [u8]) -> Self {
        let takes_empty = matches!(pattern, [] | [b'*']);
        Self { takes_empty, ..Self::new(pattern) }
    }

    /// Whether all of `text` fits.
    pub(super) fn matches(&mut self, text: &[u8]) -> bool {
        // As Redis has it, whose stars are looked at only where there is something to look at.
        if text.is_empty() {
            return self.takes_empty;
        }
        if text.len() < self.least {
            return false;
        }
        if self.places.is_none() {
            self.steps = self.steps.saturating_add(STEPS * text.len() + STEPS_LEAST);
            if let Some(is_match) = walk(self.pattern, text, &mut self.steps) {
                return is_match;
            }
        }
        self.places.get_or_insert_with(|| Places::new(self.pattern, self.least)).matches(text)
    }
}

/// `None`: there are not steps enough to say.
fn walk(mut pattern: &[u8], mut text: &[u8], steps: &mut usize) -> Option<bool> {
    // Where to go on if what comes behind the last star does not fit: with one byte more for the star. One place is
    // enough.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        let fits = match next(pattern) {
            None if text.is_empty() => return Some(true),
            None => false,
            Some((part, rest)) => {
                *steps = steps.checked_sub(pattern.len() - rest.len())?;
                if part == Part::Star {
                    // The last of several is enough.
                    star = Some((rest, text));
                    pattern = rest;
                    continue;
                }
                match text {
                    [byte, behind @ ..] if part.takes(*byte) => {
                        (pattern, text) = (rest, behind);
                        true
                    }
                    _ => false,
                }
            }
        };
        if fits {
            continue;
        }
        let Some((behind, [_, from @ ..])) = star else { return Some(false) };
        star = Some((behind, from));
        (pattern, text) = (behind, from);
    }
}

/// What a pattern consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Star,
    Any,
    Byte(u8),
    /// What is within the brackets, the last one perhaps with it.
    Class(&'a [u8]),
}

/// The first part of `pattern`, and what is behind it.
fn next(pattern: &[u8]) -> Option<(Part<'_>, &[u8])> {
    Some(match pattern {
        [] => return None,
        [b'*', rest @ ..] => (Part::Star, rest),
        [b'?', rest @ ..] => (Part::Any, rest),
        [b'[', within @ ..] => {
            let rest = class(within, |_, _| {}).1;
            (Part::Class(&within[..within.len() - rest.len()]), rest)
        }
        [b'\\', escaped, rest @ ..] => (Part::Byte(*escaped), rest),
        [own, rest @ ..] => (Part::Byte(*own), rest),
    })
}

impl Part<'_> {
    /// Whether `byte` alone fits.
    fn takes(self, byte: u8) -> bool {
        match self {
            Part::Star | Part::Any => true,
            Part::Byte(own) => own == byte,
            Part::Class(within) => {
                let mut is_in = false;
                let is_not = class(within, |low, high| is_in |= (low..=high).contains(&byte)).0;
                is_in != is_not
            }
        }
    }
}

/// Tells the ranges of a class, and answers whether those are meant that are in none, and what is behind it. One that is not
/// closed ends with the pattern.
fn class(mut pattern: &[u8], mut range: impl FnMut(u8, u8)) -> (bool, &[u8]) {
    let is_not = pattern.first() == Some(&b'^');
    if is_not {
        pattern = &pattern[1..];
    }
    loop {
        pattern = match pattern {
            [] => return (is_not, pattern),
            [b']', rest @ ..] => return (is_not, rest),
            [b'\\', escaped, rest @ ..] => {
                range(*escaped, *escaped);
                rest
            }
            [low, b'-', high, rest @ ..] => {
                range(*low.min(high), *low.max(high));
                rest
            }
            [own, rest @ ..] => {
                range(*own, *own);
                rest
            }
        };
    }
}

/// All places in a pattern that a text may have come to, as bits: behind so many parts that are no stars.
#[derive(Debug)]
struct Places {
    /// Words of bits.
    words: usize,
    /// For each byte the places that it leads on from.
    from: Vec<u64>,
    /// The places before a star: any byte stays there.
    stays: Vec<u64>,
    /// The last one.
    end: usize,
    at: Vec<u64>,
}

impl Places {
    /// `end`: how many parts are no stars.
    fn new(pattern: &[u8], end: usize) -> Self {
        let words = end / 64 + 1;
        let mut places =
            Self { words, from: vec![0; 256 * words], stays: vec![0; words], end, at: vec![0; words] };
        let (mut place, mut rest) = (0, pattern);
        while let Some((part, behind)) = next(rest) {
            let (word, bit) = (place / 64, 1 << (place % 64));
            match part {
                Part::Star => places.stays[word] |= bit,
                Part::Byte(byte) => places.from[usize::from(byte) * words + word] |= bit,
                Part::Any | Part::Class(_) => {
                    for byte in part.bytes() {
                        places.from[usize::from(byte) * words + word] |= bit;
                    }
                }
            }
            place += usize::from(part != Part::Star);
            rest = behind;
        }
        places
    }

    fn matches(&mut self, text: &[u8]) -> bool {
        self.at.fill(0);
        self.at[0] = 1;
        for byte in text {
            let from = &self.from[usize::from(*byte) * self.words..][..self.words];
            let (mut carry, mut any) = (0, 0);
            for ((at, from), stays) in self.at.iter_mut().zip(from).zip(&self.stays) {
                let leaves = *at & from;
                *at = leaves << 1 | carry | (*at & stays);
                carry = leaves >> 63;
                any |= *at;
            }
            if any == 0 {
                return false;
            }
        }
        self.at[self.end / 64] >> (self.end % 64) & 1 == 1
    }
}

impl Part<'_> {
    /// All bytes that fit.
    fn bytes(self) -> Vec<u8> {
        let mut is_in = [matches!(self, Part::Any); 256];
        if let Part::Class(within) = self {
            // Ranges may be many: from each byte on, how many more are within one.
            let mut edges = [0i32; 257];
            let is_not = class(within, |low, high| {
                edges[usize::from(low)] += 1;
                edges[usize::from(high) + 1] -= 1;
            })
            .0;
            let mut open = 0;
            for (is_in, edge) in is_in.iter_mut().zip(edges) {
                open += edge;
                *is_in = (open > 0) != is_not;
            }
        }
        (0..=u8::MAX).filter(|byte| is_in[usize::from(*byte)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_fit_as_in_redis() {
        for (pattern, text, is_match) in [
            ("", "", true),
            ("", "a", false),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*b*c", "abcbc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a]x", "bx", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
            ("[ab", "b", true),
            ("[", "b", false),
            ("[^", "b", true),
            ("h[ae]llo", "hello", true),
            ("**", "x", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), is_match, "{pattern} {text}");
            assert_eq!(at_once(pattern.as_bytes(), text.as_bytes()), is_match, "{pattern} {text}");
        }
    }

    /// By all places at once.
    fn at_once(pattern: &[u8], text: &[u8]) -> bool {
        let least = Glob::new(pattern).least;
        Places::new(pattern, least).matches(text)
    }

    proptest! {
        /// However long it is walked, and whichever text comes next.
        #[test]
        fn both_ways_say_the_same(
            pattern in "[ab*?\\[\\]^\\\\-]{0,90}",
            texts in proptest::collection::vec("[ab\\[\\]-]{0,90}", 1..4),
        ) {
            let mut glob = Glob::new(pattern.as_bytes());
            glob.steps = 0;
            for text in &texts {
                let (pattern, text, mut steps) = (pattern.as_bytes(), text.as_bytes(), usize::MAX);
                let walked = walk(pattern, text, &mut steps).expect("there are steps enough");
                prop_assert_eq!(at_once(pattern, text), walked);
                let is_match = if text.is_empty() { pattern.is_empty() } else { walked };
                prop_assert_eq!(glob.matches(text), is_match);
            }
        }
    }

    #[test]
    fn nothing_fits_no_star_but_one_for_keys() {
        for (pattern, of_channels, of_keys) in [
            ("", true, true),
            ("*", false, true),
            ("**", false, false),
            ("?", false, false),
            ("*?", false, false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), b""), of_channels, "{pattern}");
            assert_eq!(Glob::of_keys(pattern.as_bytes()).matches(b""), of_keys, "{pattern}");
        }
    }

    /// What is made to be slow is not walked for long, alone or with many short texts.
    #[test]
    fn the_time_for_each_byte_of_the_texts_is_bounded() {
        let middle = PATTERN_MAX - 2;
        for (pattern, text, times) in [
            (["*", &"a".repeat(middle), "b"].concat(), "a".repeat(65_536), 1),
            (["*", &"?".repeat(middle), "b"].concat(), "a".repeat(65_536), 1),
            (["*", &"[aaaaaaaaaaaaaa]".repeat(200), "b"].concat(), "a".repeat(5_000), 1),
            (["[", &"b".repeat(middle - 1), "]*"].concat(), "a".repeat(9), 3),
            ("*".repeat(PATTERN_MAX - 1) + "b", "a".repeat(9), 3),
        ] {
            assert!(pattern.len() <= PATTERN_MAX);
            let mut glob = Glob::new(pattern.as_bytes());
            (0..times).for_each(|_| assert!(!glob.matches(text.as_bytes())));
            assert!(glob.places.is_some(), "{pattern}");
        }
        let mut sane = Glob::new(b"session:*:[0-9]*:user");
        for at in 0..10_000 {
            assert!(sane.matches(format!("session:{at}:{at}:user").as_bytes()));
        }
        assert!(sane.places.is_none());
        let mut stars = "a*".repeat(2_000);
        stars.push('b');
        assert!(!matches(stars.as_bytes(), "a".repeat(65_536).as_bytes()));
    }

    #[test]
    fn patterns_that_are_too_long_are_refused() {
        assert!(bounded(&[b'a'; PATTERN_MAX]).is_ok());
        let Err(Failure(text)) = bounded(&[b'a'; PATTERN_MAX + 1]) else { panic!("it is refused") };
        assert!(text.starts_with(b"ERR a pattern has more than 4096 bytes"));
    }
}
