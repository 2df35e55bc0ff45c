//! What might have been meant.

pub(in crate::server) use crate::error::shown;

/// The longest word a suggestion is sought for, in characters: nothing known is nearly as long.
const WORD_MAX: usize = 64;
/// How many known words are compared: those of a file can be thousands, and each may be asked after.
const COMPARED_MAX: usize = 1024;
/// How many known words are listed when none is near.
const LISTED_MAX: usize = 20;

/// The one of `known` that `word` was most likely meant to be: equal but for case, dashes and underscores,
/// its beginning or end when that says enough, else the one with the fewest typing errors.
pub(in crate::server) fn nearest<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    if word.chars().nth(WORD_MAX).is_some() {
        return None;
    }
    let word = folded(word);
    let errors_max = match word.len() {
        0 => return None,
        1..=3 => 1,
        4..=6 => 2,
        _ => 3,
    };
    let mut best: Option<(usize, &str)> = None;
    for candidate in known.into_iter().take(COMPARED_MAX) {
        if candidate.chars().nth(WORD_MAX).is_some() {
            continue;
        }
        let folded = folded(candidate);
        let distance = if word.len() >= PART_MIN && (folded.starts_with(&word) || folded.ends_with(&word)) {
            Some(usize::from(word != folded))
        } else {
            distance(&word, &folded, errors_max)
        };
        // Of two as near the first: the order of `known` is that of the documentation.
        if let Some(distance) = distance
            && distance < folded.len()
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `did you mean "…"?`, or the list of what there is.
pub(in crate::server) fn nearest_or_all<'k>(
    word: &str,
    what: &str,
    known: impl IntoIterator<Item = &'k str> + Clone,
) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("did you mean {}?", shown(near)),
        None => all(what, known),
    }
}

/// What there is, quoted and separated by commas.
pub(in crate::server) fn all<'k>(what: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let mut known = known.into_iter();
    let listed: Vec<String> = known.by_ref().take(LISTED_MAX).map(shown).collect();
    let rest = known.count();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{what}: {}{more}", listed.join(", "))
}

/// From how many characters on the beginning or the end of a word stands for it.
const PART_MIN: usize = 4;

fn folded(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours that lead from one
/// word to the other; `None` above `max`. Only what lies within `max` of the diagonal can be as near
/// (Ukkonen), so the rest is not looked at.
fn distance(from: &[char], to: &[char], max: usize) -> Option<usize> {
    if from.len().abs_diff(to.len()) > max {
        return None;
    }
    let far = max + 1;
    let mut before_last: Vec<usize> = vec![far; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).map(|errors| errors.min(far)).collect();
    let mut row = vec![far; to.len() + 1];
    for (i, a) in from.iter().enumerate() {
        let band = i.saturating_sub(max)..to.len().min(i + max + 1);
        row.fill(far);
        if i < max {
            row[0] = i + 1;
        }
        for j in band {
            let b = &to[j];
            let mut least = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before_last[j - 1] + 1);
            }
            row[j + 1] = least.min(far);
        }
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last.last().copied().filter(|&errors| errors <= max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICIES: [&str; 5] = ["round-robin", "least-connections", "power-of-two", "peak-ewma", "hash"];

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        for (word, meant) in [
            ("round_robin", Some("round-robin")),
            ("RoundRobin", Some("round-robin")),
            ("leastconn", Some("least-connections")),
            ("least_conn", Some("least-connections")),
            ("ewma", Some("peak-ewma")),
            ("hahs", Some("hash")),
            ("has", Some("hash")),
            ("power of two", Some("power-of-two")),
            ("pwoer-of-tow", Some("power-of-two")),
            ("", None),
            ("x", None),
            ("conn", None),
            ("uri", None),
        ] {
            assert_eq!(nearest(word, POLICIES), meant, "{word:?}");
        }
        assert_eq!(nearest("ab", ["x", "y"]), None);
        assert_eq!(nearest("a", ["b"]), None);
        assert_eq!(nearest(&"n".repeat(64), ["n".repeat(63).as_str()]).map(str::len), Some(63));
        assert_eq!(nearest(&"n".repeat(65), ["n".repeat(64).as_str()]), None);
        assert_eq!(nearest(&"n".repeat(64), ["n".repeat(65).as_str()]), None);
        let many = |before: usize| std::iter::repeat_n("far-away", before).chain(["near"]);
        assert_eq!(nearest("naer", many(COMPARED_MAX - 1)), Some("near"));
        assert_eq!(nearest("naer", many(COMPARED_MAX)), None);
    }

    #[test]
    fn distances_count_each_typing_error_once() {
        let chars = |word: &str| word.chars().collect::<Vec<_>>();
        for (from, to, errors) in
            [("", "", 0), ("ab", "ba", 1), ("kitten", "sitting", 3), ("abc", "", 3), ("pool", "poool", 1)]
        {
            assert_eq!(distance(&chars(from), &chars(to), 3), Some(errors), "{from} {to}");
            assert_eq!(distance(&chars(to), &chars(from), 3), Some(errors), "{to} {from}");
        }
        assert_eq!(distance(&chars("kitten"), &chars("sitting"), 2), None);
        assert_eq!(distance(&chars("abcdef"), &chars("cdefab"), 3), None);
    }

    /// The whole matrix, without the bound.
    fn distance_by_definition(from: &[char], to: &[char]) -> usize {
        let mut matrix = vec![vec![0; to.len() + 1]; from.len() + 1];
        for i in 0..=from.len() {
            for j in 0..=to.len() {
                matrix[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let substituted = matrix[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                    let least = substituted.min(matrix[i - 1][j] + 1).min(matrix[i][j - 1] + 1);
                    let is_swap = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                    if is_swap { least.min(matrix[i - 2][j - 2] + 1) } else { least }
                };
            }
        }
        matrix[from.len()][to.len()]
    }

    proptest! {
        #[test]
        fn what_is_not_looked_at_does_not_matter(from in "[abc]{0,8}", to in "[abc]{0,8}", max in 0..4usize) {
            let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
            let errors = distance_by_definition(&from, &to);
            prop_assert_eq!(distance(&from, &to, max), (errors <= max).then_some(errors));
        }
    }

    #[test]
    fn hints_are_short_and_harmless() {
        assert_eq!(nearest_or_all("pol", "pools", ["pool"]), "did you mean \"pool\"?");
        assert_eq!(nearest_or_all("x", "pools", ["aaaa", "b\n"]), "pools: \"aaaa\", \"b\\n\"");
        let many: Vec<String> = (0..LISTED_MAX + 3).map(|n| format!("name{n}")).collect();
        assert!(all("pools", many.iter().map(String::as_str)).ends_with("\"name19\" and 3 more"));
        let exactly = all("pools", many[..LISTED_MAX].iter().map(String::as_str));
        assert!(exactly.ends_with("\"name19\""), "{exactly}");
        assert_eq!(shown(&"é".repeat(60)), format!("\"{}\"", "é".repeat(60)));
        assert_eq!(shown(&"é".repeat(61)), format!("\"{}\"…", "é".repeat(60)));
        assert_eq!(shown("\u{1b}[0m\u{202e}"), "\"\\u{1b}[0m\\u{202e}\"");
    }
}
