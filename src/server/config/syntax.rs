//! From text to TOML's tables, every key and value with its place.

use toml::de::DeTable;
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use crate::server::config::problems::Problems;
use crate::server::config::suggest::shown;

/// How many brackets and braces may be open at once; the schema needs three.
const NESTING_MAX: usize = 16;
/// How many parts a dotted key may have; the schema needs three.
const KEY_PARTS_MAX: usize = 16;

/// Parses `text`; `None`, with one problem added, when it is no TOML.
pub(super) fn parse<'t>(text: &'t str, problems: &mut Problems<'t>) -> Option<DeTable<'t>> {
    if let Err(TooDeep { at, message, first }) = check_depth(text) {
        let hint = match first {
            Some(first) => format!("the first is on line {}: close it, or nest less", problems.line(first)),
            None => "nothing in a configuration lies that deep".to_string(),
        };
        problems.add(at, message, hint);
        return None;
    }
    match DeTable::parse(text) {
        Ok(root) => Some(root.into_inner()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let message: String = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            problems.add(at, message, hint(text, at));
            None
        }
    }
}

/// Where a text nests too deep.
struct TooDeep {
    at: usize,
    message: String,
    /// The first of the brackets that are open.
    first: Option<usize>,
}

/// Refuses text whose tables would nest so deep that to walk them, or to drop them, could overflow the
/// stack. The parser bounds brackets and dots each on its own, and loses count of brackets where one is out
/// of place. The tokens are the parser's own, so what is a string or a comment here is one there.
fn check_depth(text: &str) -> Result<(), TooDeep> {
    let mut open: Vec<(TokenKind, usize)> = Vec::new();
    let mut parts = 1;
    for token in Source::new(text).lex() {
        let (kind, at) = (token.kind(), token.span().start());
        let is_last_open = |bracket| open.last().is_some_and(|(last, _)| *last == bracket);
        match kind {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                open.push((kind, at));
                if open.len() > NESTING_MAX {
                    let message = format!("more than {NESTING_MAX} brackets are open");
                    return Err(TooDeep { at, message, first: Some(open[0].1) });
                }
            }
            // One that closes nothing is left to the parser to tell: it must not make room for more.
            TokenKind::RightSquareBracket if is_last_open(TokenKind::LeftSquareBracket) => {
                open.pop();
            }
            TokenKind::RightCurlyBracket if is_last_open(TokenKind::LeftCurlyBracket) => {
                open.pop();
            }
            TokenKind::Dot => {
                parts += 1;
                if parts > KEY_PARTS_MAX {
                    let message = format!("a key has more than {KEY_PARTS_MAX} parts");
                    return Err(TooDeep { at, message, first: None });
                }
                continue;
            }
            TokenKind::Atom
            | TokenKind::Whitespace
            | TokenKind::BasicString
            | TokenKind::LiteralString
            | TokenKind::MlBasicString
            | TokenKind::MlLiteralString => continue,
            _ => {}
        }
        parts = 1;
    }
    Ok(())
}

/// What to do about an error the parser found at the byte `at`: the two that everybody makes.
fn hint(text: &str, at: usize) -> String {
    let floor = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let start = text[..floor].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or("");
    let Some((key, value)) = line.split_once('=') else {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        return match line.split_once(':') {
            Some((key, _)) if !key.trim().is_empty() && key.trim().chars().all(is_word) => {
                format!("a key and its value are joined by =: write {} = …", key.trim())
            }
            _ => String::new(),
        };
    };
    let value = value.trim_start();
    let bare = &value[..value.find([' ', '\t', '#', ',', '}', ']', '\r']).unwrap_or(value.len())];
    let is_text = !bare.is_empty()
        && !bare.starts_with(['"', '\'', '[', '{'])
        && bare
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | ':' | '/' | '*' | '@' | '-' | '_' | '%'));
    // Only for what the parser stumbled over: the value that begins at or before the place it names.
    let value_at = start + line.len() - line.split_once('=').map_or(0, |(_, value)| value.trim_start().len());
    let is_there = (value_at..=value_at + bare.len()).contains(&at);
    if is_text && is_there && !key.contains(['"', '\'', '{', '[', '#']) {
        return format!("text stands in quotes: write {} = {}", key.trim(), shown(bare));
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        let mut problems = Problems::new(text, "t");
        let parsed = parse(text, &mut problems).is_some();
        let problems = problems.finish();
        assert_eq!(parsed, problems.is_empty(), "{text:?}");
        assert!(problems.len() <= 1, "{problems:?}");
        problems.first().map(ToString::to_string)
    }

    #[test]
    fn the_errors_everybody_makes_have_a_hint() {
        for (text, expected) in [
            (
                "bind = 0.0.0.0:80\n",
                "t:1:11: invalid float, expected nothing; text stands in quotes: write bind = \"0.0.0.0:80\"",
            ),
            ("a = 1\nidle = 5s\n", "text stands in quotes: write idle = \"5s\""),
            ("policy = hash # comment\n", "text stands in quotes: write policy = \"hash\""),
            ("bind = unix:/run/a.sock", "write bind = \"unix:/run/a.sock\""),
            ("policy: hash\n", "a key and its value are joined by =: write policy = …"),
            ("[[listener]\nname = 'a'\n", "unclosed array table"),
            ("name = 'a\n", "t:1:10: "),
            ("name = 'a'\nname = 'b'\n", "t:2:1: duplicate key"),
            ("a = \"x\" y\n", "t:1:9: "),
        ] {
            let told = told(text).unwrap_or_else(|| panic!("{text:?} is taken"));
            assert!(told.contains(expected), "{text:?}: {told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
        let told = told("a = \"x\" y\n").unwrap();
        assert!(!told.contains("in quotes"), "{told}");
    }

    #[test]
    fn depth_is_bounded_at_the_limit() {
        let keys = |parts: usize| format!("{} = 1", vec!["a"; parts].join("."));
        assert_eq!(told(&keys(KEY_PARTS_MAX)), None);
        assert_eq!(
            told(&keys(KEY_PARTS_MAX + 1)).unwrap(),
            "t:1:32: a key has more than 16 parts; nothing in a configuration lies that deep"
        );
        let quoted = vec!["\"=.\""; KEY_PARTS_MAX + 1].join(" . ");
        assert!(told(&format!("{quoted} = 1")).unwrap().contains("more than 16 parts"));
        let nested = |depth: usize| format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(told(&nested(NESTING_MAX)), None);
        assert_eq!(
            told(&nested(NESTING_MAX + 1)).unwrap(),
            "t:1:21: more than 16 brackets are open; the first is on line 1: close it, or nest less"
        );
        // Neither counts inside of strings and comments, nor over lines.
        let deep = format!("{}{}", "[".repeat(NESTING_MAX + 1), ".".repeat(KEY_PARTS_MAX + 1));
        assert_eq!(told(&format!("a = '{deep}'\nb = \"\"\"{deep}\n{deep}\"\"\"\n# {deep}\n")), None);
        assert_eq!(told(&"[[a]]\nb.c = 1.5\nd = [1.5, 2.5, { e.f = 1 }]\n".repeat(100)), None);
    }

    #[test]
    fn the_deepest_text_taken_fits_a_small_stack() {
        let key = vec!["a"; KEY_PARTS_MAX].join(".");
        let deepest = format!(
            "[{key}]\n{}{key} = 1{}\n",
            format!("{key} = {{ ").repeat(NESTING_MAX),
            " }".repeat(NESTING_MAX)
        );
        // Brackets out of place, by which the parser's own count goes astray.
        let mut texts = vec![deepest];
        for first in ["a = ", "a = [", "a = {", "[", ""] {
            for close in ["]", "}", "[]", "{}", "]}", "}]", "[]]", "{}}", "\n]", "\na=]"] {
                for open in ["[", "{a=", "[{a=", "{a.a.a="] {
                    texts.push(format!("{first}{}\nb = {}", close.repeat(2000), open.repeat(2000)));
                }
            }
        }
        let small = std::thread::Builder::new().stack_size(512 << 10);
        let thread = small.spawn(move || texts.iter().filter(|text| told(text).is_none()).count()).unwrap();
        assert_eq!(thread.join().unwrap(), 1, "the deepest one is taken");
    }
}
