//! Patterns with `*`, `?`, `[a-z]`, `[^a]` and `\` before a byte that means itself, as Redis has them.

/// Whether all of `text` fits `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on if what comes behind the last star does not fit: with one byte more for the star. One place is
    // enough, so the time is bounded by the product of the lengths.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, text));
            pattern = rest;
            continue;
        }
        if text.is_empty() && pattern.is_empty() {
            return true;
        }
        match step(pattern, text) {
            Some(rest) => {
                pattern = rest;
                text = &text[1..];
            }
            None => match star {
                Some((behind, [_, from @ ..])) => {
                    star = Some((behind, from));
                    (pattern, text) = (behind, from);
                }
                _ => return false,
            },
        }
    }
}

/// What is left of `pattern`, which does not begin with a star, behind what fits the first byte of `text`.
fn step<'a>(pattern: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    let byte = *text.first()?;
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', escaped, rest @ ..] => (*escaped == byte).then_some(rest),
        [own, rest @ ..] => (*own == byte).then_some(rest),
    }
}

/// What is left behind a class, if `byte` is in it. One that is not closed ends with the pattern.
fn class(mut pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let is_not = pattern.first() == Some(&b'^');
    if is_not {
        pattern = &pattern[1..];
    }
    let mut is_in = false;
    loop {
        pattern = match pattern {
            [] => break,
            [b']', rest @ ..] => {
                pattern = rest;
                break;
            }
            [b'\\', escaped, rest @ ..] => {
                is_in |= *escaped == byte;
                rest
            }
            [low, b'-', high, rest @ ..] => {
                is_in |= (*low.min(high)..=*low.max(high)).contains(&byte);
                rest
            }
            [own, rest @ ..] => {
                is_in |= *own == byte;
                rest
            }
        };
    }
    (is_in != is_not).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_redis() {
        for (pattern, text, is_match) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
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
            ("h[ae]llo", "hello", true),
            ("**", "x", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), is_match, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = "a*".repeat(2_000);
        assert!(!matches(format!("{pattern}b").as_bytes(), "a".repeat(4_000).as_bytes()));
    }
}
