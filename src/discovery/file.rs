//! [`MembersFile`]: the members that a file lists, one on a line.
//!
//! ```text
//! # address           and what differs from the defaults
//! 10.0.0.1:80         weight=2 name=web-01
//! [2001:db8::2]:80    maxconn=500
//! unix:/run/app.sock  tier=1 admin=drain
//! ```
//!
//! Keys, ranges and defaults are those of `[[pool.backend]]`: `name`, `weight`, `maxconn`, `connection_rate`,
//! `connection_burst`, `tier`, `backup`, `admin`. `#` at the beginning of a word begins a comment. An address and a
//! name hold no blank. Addresses are ready to connect to; names that DNS knows stand in the configuration, where they
//! are watched.
//!
//! Lines rather than TOML, for it is scripts that write such files: a line is appended, or taken out by
//! `grep -v`, without a parser. A file that is being written must not be taken for a shorter one:
//!
//! - the last line must have its end,
//! - a file without members must say `empty` on a line, which stands alone.
//!
//! A text with anything wrong changes nothing: the last good set stays, and everything wrong is told with line
//! and column.

use std::collections::HashMap;
use std::fmt::Display;

use crate::balance::backend::check_name;
use crate::balance::options::{BACKENDS_MAX, WEIGHT_MAX};
use crate::balance::{Address, Admin, Backend, CONNECTION_RATE_MAX, MAXCONN_MAX};
use crate::discovery::name::Source;
use crate::error::{Error, Problem, Result, shown};

/// The longest text, in bytes.
pub const TEXT_MAX: usize = 16 << 20;
/// The most problems that are told; what is beyond is counted.
pub const PROBLEMS_MAX: usize = 100;

/// The members of the last text that was good.
#[derive(Clone, Debug)]
pub struct MembersFile {
    source: String,
    members: Vec<Backend>,
}

impl MembersFile {
    /// No members yet. `source` is what problems call the file.
    pub fn new(source: &str) -> Self {
        let source = source.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Self { source, members: Vec::new() }
    }

    /// Takes what the file says now; whether the members are others than before.
    ///
    /// Errors: `Config` with everything found wrong, at most [`PROBLEMS_MAX`]; the members stay as they were.
    pub fn handle_text(&mut self, text: &str) -> Result<bool> {
        let members = parse(text, &self.source)?;
        let is_changed = members != self.members;
        self.members = members;
        Ok(is_changed)
    }

    /// The members, in the order of the file.
    pub fn members(&self) -> &[Backend] {
        &self.members
    }
}

/// Reads one text; `source` is what problems call it.
fn parse(text: &str, source: &str) -> Result<Vec<Backend>> {
    let mut problems = Problems { source, found: Vec::new(), dropped: 0 };
    if text.len() > TEXT_MAX {
        problems.add((0, 0), format!("it has more than {TEXT_MAX} bytes"), "is it the right file?");
        return Err(problems.into_error());
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut members = Members::default();
    let mut empty = None;
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let mut words = words(line).map(|(column, word)| ((number, column), word)).peekable();
        match words.peek() {
            None => {}
            Some(&(place, "empty")) => {
                empty = empty.or(Some(place));
                for (place, word) in words.skip(1).take(1) {
                    problems.add(place, format!("{} stands behind empty", shown(word)), "empty stands alone");
                }
            }
            Some(_) if members.list.len() == BACKENDS_MAX => {
                let message = format!("a pool takes {BACKENDS_MAX} backends; this is one more");
                problems.add((number, 1), message, "divide them among pools");
                break;
            }
            Some(_) => members.read(words, &mut problems),
        }
        at = number;
    }
    match empty {
        Some(place) if !members.list.is_empty() => {
            problems.add(
                place,
                "it says empty, and there are members".to_string(),
                "take out the one or the other",
            );
        }
        None if members.list.is_empty() && problems.found.is_empty() => {
            let message = "there are no members; is it still being written?".to_string();
            problems.add((0, 0), message, "a file that means to have none has the line: empty");
        }
        _ => {}
    }
    if !text.is_empty() && !text.ends_with('\n') {
        let message = "the last line has no end; is it still being written?".to_string();
        problems.add((at, 1), message, "end it, best by renaming a whole file into place");
    }
    if problems.found.is_empty() { Ok(members.list) } else { Err(problems.into_error()) }
}

/// A line and a column, from 1.
type Place = (u32, u32);

/// The words of a line up to a comment, each with its column.
fn words(line: &str) -> impl Iterator<Item = (u32, &str)> {
    let mut rest = line;
    let mut column = 1;
    std::iter::from_fn(move || {
        let start = rest.find(|c: char| !c.is_ascii_whitespace())?;
        // Blanks are one byte each.
        column += start as u32;
        let word = &rest[start..];
        if word.starts_with('#') {
            return None;
        }
        let (word, behind) =
            word.split_at(word.find(|c: char| c.is_ascii_whitespace()).unwrap_or(word.len()));
        rest = behind;
        let at = column;
        column = column.saturating_add(u32::try_from(word.chars().count()).unwrap_or(u32::MAX));
        Some((at, word))
    })
}

/// What was read so far.
#[derive(Default)]
struct Members {
    list: Vec<Backend>,
    /// From what is taken to the line where it was.
    addresses: HashMap<Address, u32>,
    names: HashMap<String, u32>,
}

impl Members {
    /// Reads one line.
    fn read<'l>(&mut self, mut words: impl Iterator<Item = (Place, &'l str)>, problems: &mut Problems<'_>) {
        let Some((place, text)) = words.next() else { return };
        let address = match text.parse::<Source>() {
            Ok(Source::Fixed(address)) => Some(address),
            Ok(Source::Watched(_)) => {
                let message = format!("{} is a name; a members file lists addresses", shown(text));
                problems.add(place, message, "put it into the configuration, as the address of a backend");
                None
            }
            Err(error) => {
                problems.add(place, format!("address {}", error.into_detail()), "");
                None
            }
        };
        let first = address.as_ref().and_then(|address| self.addresses.insert(address.clone(), place.0));
        if let Some(first) = first {
            let message = format!("{} is there already, on line {first}", shown(text));
            problems.add(place, message, "take one out; a weight gives a backend a larger share");
        }
        let is_good = address.is_some() && first.is_none();
        // Without an address, which was told, the rest is read for what else is wrong.
        let mut backend = Backend::new(address.unwrap_or_else(|| Address::Unix("".into())));
        let mut given: Vec<&str> = Vec::new();
        for (place, word) in words {
            let Some((key, value)) = word.split_once('=') else {
                let message = format!("{} is no key=value", shown(word));
                problems.add(place, message, "blanks stand between words, and around no =");
                break;
            };
            if given.contains(&key) {
                problems.add(place, format!("{key} is there twice on this line"), "take one out");
                continue;
            }
            if matches!(key, "tier" | "backup") && given.iter().any(|key| matches!(*key, "tier" | "backup")) {
                problems.add(
                    place,
                    "a backend has backup or tier, not both".to_string(),
                    "backup=true means tier=1",
                );
            }
            if let Err((message, hint)) = set(&mut backend, key, value) {
                problems.add(place, message, hint);
            } else {
                given.push(key);
            }
        }
        // As in the pool itself: who has no name goes by the address.
        let name = backend.name.clone().or_else(|| is_good.then(|| backend.address.to_string()));
        if let Some(name) = name
            && let Some(first) = self.names.insert(name.clone(), place.0)
        {
            let message = format!("a backend named {} is there already, on line {first}", shown(&name));
            problems.add(place, message, "choose another name");
        }
        self.list.push(backend);
    }
}

/// Sets one key; what is wrong with it, and what to do.
fn set(backend: &mut Backend, key: &str, value: &str) -> std::result::Result<(), (String, &'static str)> {
    match key {
        "name" => {
            check_name(value).map_err(|error| (format!("this is no name: {}", error.into_detail()), ""))?;
            backend.name = Some(value.to_string());
        }
        "weight" => {
            let hint = if value == "0" { "to stop new traffic, set admin=drain" } else { "" };
            backend.weight = number(key, value, 1, WEIGHT_MAX).map_err(|message| (message, hint))?;
        }
        "maxconn" => backend.maxconn = number(key, value, 0, MAXCONN_MAX).map_err(|message| (message, ""))?,
        "connection_rate" | "connection_burst" => {
            let value = number(key, value, 0, CONNECTION_RATE_MAX).map_err(|message| (message, ""))?;
            let place = match key {
                "connection_rate" => &mut backend.connection_rate,
                _ => &mut backend.connection_burst,
            };
            *place = value;
        }
        "tier" => {
            let tier = number(key, value, 0, u32::from(u8::MAX)).map_err(|message| (message, ""))?;
            backend.tier = u8::try_from(tier).unwrap_or(u8::MAX);
        }
        "backup" => match value {
            "true" => backend.tier = 1,
            "false" => {}
            _ => return Err((format!("backup is {}, where true or false is expected", shown(value)), "")),
        },
        "admin" => match Admin::NAMES.iter().find(|(name, _)| *name == value) {
            Some((_, admin)) => backend.admin = *admin,
            None => {
                return Err((format!("unknown admin {}", shown(value)), "known: ready, drain, maintenance"));
            }
        },
        _ => {
            let message = format!("unknown key {}", shown(key));
            return Err((
                message,
                "known: name, weight, maxconn, connection_rate, connection_burst, tier, backup, admin",
            ));
        }
    }
    Ok(())
}

fn number(key: &str, value: &str, least: u32, most: u32) -> std::result::Result<u32, String> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse::<u32>() {
        Ok(number) if is_number && (least..=most).contains(&number) => Ok(number),
        _ if is_number => Err(format!("{key} {} is outside {least} to {most}", cut(value))),
        _ => Err(format!("{key} is {}, where a whole number is expected", shown(value))),
    }
}

/// The first digits of a number that may have a million of them.
fn cut(digits: &str) -> &str {
    &digits[..digits.len().min(40)]
}

/// Everything found wrong, within a bound.
struct Problems<'s> {
    source: &'s str,
    found: Vec<Problem>,
    dropped: u64,
}

impl Problems<'_> {
    fn add(&mut self, (line, column): Place, message: impl Display, hint: &str) {
        if self.found.len() == PROBLEMS_MAX {
            self.dropped += 1;
            return;
        }
        let (message, hint) = (message.to_string(), hint.to_string());
        self.found.push(Problem { source: self.source.to_string(), line, column, message, hint });
    }

    fn into_error(mut self) -> Error {
        self.found.sort_by_key(|problem| (problem.line, problem.column));
        if self.dropped > 0 {
            let message = format!("{} more problems", self.dropped);
            let hint = "correct the first ones and look again".to_string();
            self.found.push(Problem { source: self.source.to_string(), line: 0, column: 0, message, hint });
        }
        Error::Config(self.found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(text: &str) -> Vec<String> {
        match parse(text, "members") {
            Ok(members) => panic!("{text:?} is taken: {members:?}"),
            Err(Error::Config(problems)) => problems.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_are_members() {
        let text = "\u{feff}# the servers\r\n\
                    10.0.0.1:80\r\n\
                    \t[2001:db8::2]:80  weight=2 maxconn=500 # the big one\n\
                    \n\
                    unix:/run/app#1.sock tier=3 name=é=1 admin=drain\n\
                    10.0.0.4:80 backup=true\n\
                    10.0.0.5:80 backup=false admin=maintenance";
        let members = parse(&format!("{text}\n"), "members").unwrap();
        let expected = [
            Backend::parse("10.0.0.1:80").unwrap(),
            Backend { weight: 2, maxconn: 500, ..Backend::parse("[2001:db8::2]:80").unwrap() },
            Backend {
                tier: 3,
                name: Some("é=1".to_string()),
                admin: Admin::Drain,
                ..Backend::parse("unix:/run/app#1.sock").unwrap()
            },
            Backend { tier: 1, ..Backend::parse("10.0.0.4:80").unwrap() },
            Backend { admin: Admin::Maintenance, ..Backend::parse("10.0.0.5:80").unwrap() },
        ];
        assert_eq!(members, expected);
    }

    #[test]
    fn numbers_hold_at_their_limits() {
        for (key, least, most) in [
            ("weight", 1, 65_535),
            ("maxconn", 0, 1 << 30),
            ("connection_rate", 0, 1_000_000),
            ("connection_burst", 0, 1_000_000),
            ("tier", 0, 255),
        ] {
            for value in [least, most] {
                assert_eq!(parse(&format!("10.0.0.1:80 {key}={value}\n"), "m").unwrap().len(), 1);
            }
            for value in [least - 1, most + 1, i64::MAX] {
                let told = told(&format!("10.0.0.1:80 {key}={value}\n"));
                let expected = if value < 0 {
                    format!("members:1:13: {key} is \"-1\", where a whole number is expected")
                } else {
                    format!("members:1:13: {key} {value} is outside {least} to {most}")
                };
                assert!(told[0].starts_with(&expected), "{told:?}");
            }
        }
        assert!(told("10.0.0.1:80 weight=0\n")[0].ends_with("; to stop new traffic, set admin=drain"));
        assert!(told(&format!("10.0.0.1:80 weight={}\n", "9".repeat(1000)))[0].len() < 120);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, expected) in [
            ("app.test:80\n", "1:1: \"app.test:80\" is a name; a members file lists addresses; put it into"),
            ("srv:_a._tcp.test\n", "1:1: \"srv:_a._tcp.test\" is a name"),
            ("# a\n  10.0.0.1\n", "2:3: address \"10.0.0.1\" has no port; write 10.0.0.1:80"),
            ("10.0.0.1:80 weigth=2\n", "1:13: unknown key \"weigth\"; known: name, weight"),
            ("10.0.0.1:80 weight = 2\n", "1:13: \"weight\" is no key=value; blanks stand between words"),
            ("10.0.0.1:80 weight=\n", "1:13: weight is \"\", where a whole number is expected"),
            ("10.0.0.1:80 weight=2 weight=3\n", "1:22: weight is there twice on this line; take one out"),
            ("10.0.0.1:80 tier=1 backup=true\n", "1:20: a backend has backup or tier, not both"),
            ("10.0.0.1:80 backup=yes\n", "1:13: backup is \"yes\", where true or false is expected"),
            ("10.0.0.1:80 admin=off\n", "1:13: unknown admin \"off\"; known: ready, drain, maintenance"),
            ("10.0.0.1:80 name=\n", "1:13: this is no name: it has 0 bytes"),
            ("10.0.0.1:80\n\n10.0.0.1:80\n", "3:1: \"10.0.0.1:80\" is there already, on line 1"),
            (
                "10.0.0.1:80 name=é\n10.0.0.2:80 name=é\n",
                "2:1: a backend named \"é\" is there already, on line 1",
            ),
            (
                "10.0.0.1:80 name=10.0.0.2:80\n10.0.0.2:80\n",
                "2:1: a backend named \"10.0.0.2:80\" is there already",
            ),
            ("10.0.0.1:80 name=é x\n", "1:20: \"x\" is no key=value"),
            ("10.0.0.1:80", "1:1: the last line has no end; is it still being written?"),
            ("10.0.0.1:80\n10.0.0.2:8", "2:1: the last line has no end; is it still being written?"),
            ("", "members: there are no members; is it still being written?; a file that means to have none"),
            ("# none\n", "members: there are no members"),
            ("empty\n10.0.0.1:80\n", "1:1: it says empty, and there are members"),
            ("empty x\n", "1:7: \"x\" stands behind empty"),
            ("\u{1b}[31m:80\n", "1:1: address "),
        ] {
            let all = told(text);
            assert_eq!(all.len(), 1, "{text:?}: {all:?}");
            assert!(all[0].contains(expected), "{text:?}: {all:?}");
            assert!(all[0].lines().count() == 1 && !all[0].contains('\u{1b}'), "{all:?}");
        }
        let all = told("10.0.0.1 weight=0\n10.0.0.1:80 x\nempty\nsrv:a");
        let places: Vec<&str> = all.iter().map(|told| &told[..12]).collect();
        assert_eq!(
            places,
            ["members:1:1:", "members:1:10", "members:2:13", "members:3:1:", "members:4:1:", "members:4:1:"]
        );
    }

    #[test]
    fn a_file_may_say_that_it_is_empty() {
        for text in ["empty\n", "# x\n\n empty # y\n", "empty\nempty\n"] {
            assert_eq!(parse(text, "m"), Ok(Vec::new()));
        }
    }

    #[test]
    fn what_is_broken_changes_nothing() {
        let mut file = MembersFile::new("mem\nbers");
        assert_eq!(file.handle_text("10.0.0.1:80\n10.0.0.2:80\n"), Ok(true));
        for text in ["", "10.0.0.1:80", "10.0.0.1:80\n10.0.0.2\n", "\0\n"] {
            let told = file.handle_text(text).unwrap_err().to_string();
            assert!(told.starts_with("mem?bers"), "{told}");
            assert_eq!(file.members().len(), 2);
        }
        assert_eq!(file.handle_text("10.0.0.1:80 # first\n10.0.0.2:80\n"), Ok(false));
        assert_eq!(file.handle_text("10.0.0.1:80\n"), Ok(true));
        assert_eq!(file.handle_text("empty\n"), Ok(true));
        assert_eq!(file.members(), []);
    }

    #[test]
    fn texts_and_problems_have_their_limits() {
        let many = |count: usize| -> String {
            (0..count).map(|n| format!("10.{}.{}.{}:80\n", n >> 16, (n >> 8) & 255, n & 255)).collect()
        };
        assert_eq!(parse(&many(BACKENDS_MAX), "m").unwrap().len(), BACKENDS_MAX);
        assert_eq!(
            told(&many(BACKENDS_MAX + 1)),
            ["members:65537:1: a pool takes 65536 backends; this is one more; divide them among pools"]
        );
        let fits = format!("10.0.0.1:80\n{}\n", "#".repeat(TEXT_MAX - 13));
        assert_eq!((fits.len(), parse(&fits, "m").unwrap().len()), (TEXT_MAX, 1));
        assert_eq!(
            told(&format!("{fits}\n")),
            ["members: it has more than 16777216 bytes; is it the right file?"]
        );
        assert_eq!(told(&"x\n".repeat(PROBLEMS_MAX)).len(), PROBLEMS_MAX);
        let all = told(&"x\n".repeat(PROBLEMS_MAX + 5));
        assert_eq!(all.len(), PROBLEMS_MAX + 1);
        assert!(all.contains(&"members: 5 more problems; correct the first ones and look again".to_string()));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_told(
            parts in prop::collection::vec(
                "10\\.0\\.0\\.[1-9]:80|unix:/a| |\n|\t|#|empty|(weight|tier|maxconn|connection_rate|connection_burst|name|backup|admin)=[0-9a-z]{0,3}|\\PC",
                0..30,
            ),
        ) {
            let text = parts.concat();
            match parse(&text, "m") {
                Ok(members) => {
                    let addresses: std::collections::HashSet<_> =
                        members.iter().map(|member| member.address.clone()).collect();
                    prop_assert_eq!(addresses.len(), members.len());
                }
                Err(Error::Config(problems)) => {
                    for problem in problems {
                        prop_assert_eq!(problem.to_string().lines().count(), 1);
                        if problem.line > 0 {
                            let line = text.split('\n').nth(problem.line as usize - 1).unwrap();
                            prop_assert!(problem.column as usize <= line.chars().count().max(1));
                        }
                    }
                }
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
