//! From a key to a value of the right type and range.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::server::config::duration;
use crate::server::config::problems::Problems;
use crate::server::config::schema::Schema;
#[cfg(feature = "store")]
use crate::server::config::size;
use crate::server::config::suggest::{all, nearest_or_all, shown};

/// One table of the text. Every getter gives `None` when the key is not there, and when its value is wrong,
/// in which case a problem was added.
pub(super) struct Fields<'a, 't> {
    entries: &'a DeTable<'t>,
    schema: &'static Schema,
    /// The byte at which it begins.
    at: usize,
}

/// A value and the byte at which it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

impl<'a, 't> Fields<'a, 't> {
    /// Looks through the keys of `entries` and adds a problem for each that `schema` does not have.
    pub(super) fn new(
        entries: &'a DeTable<'t>,
        schema: &'static Schema,
        at: usize,
        problems: &mut Problems<'_>,
    ) -> Self {
        for key in entries.keys() {
            let (at, name) = (key.span().start, key.get_ref().as_ref());
            if schema.key(name).is_some() {
                continue;
            }
            if schema.later.contains(&name) {
                let message = format!("{} {} is not in this version yet", shown(name), schema.place);
                problems.add(at, message, "take it out");
            } else {
                let message = format!("unknown key {} {}", shown(name), schema.place);
                problems.add_with(at, message, || nearest_or_all(name, "known here", schema.names()));
            }
        }
        Self { entries, schema, at }
    }

    /// The byte at which the table begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Text of any kind.
    pub(super) fn text(&self, key: &str, problems: &mut Problems<'_>) -> Option<At<&'a str>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At { at: value.span().start, value: text.as_ref() }),
            _ => self.wrong_type(key, value, "text", problems),
        }
    }

    /// Text that must be there.
    pub(super) fn required_text(&self, key: &str, problems: &mut Problems<'_>) -> Option<At<&'a str>> {
        if self.get(key).is_none() {
            let message = format!("{key} is missing {}", self.schema.place);
            problems.add(self.at, message, format!("add {}", self.example(key)));
        }
        self.text(key, problems)
    }

    /// The value that one of `names` stands for. `later` are names that later versions have.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        names: &[(&'static str, T)],
        later: &[&str],
        problems: &mut Problems<'_>,
    ) -> Option<At<T>> {
        let At { at, value: name } = self.text(key, problems)?;
        if let Some((_, value)) = names.iter().find(|(known, _)| *known == name) {
            return Some(At { at, value: *value });
        }
        let known = names.iter().map(|(name, _)| *name);
        if later.contains(&name) {
            let message = format!("{key} {} is not in this version yet", shown(name));
            problems.add(at, message, all("this version has", known));
        } else {
            problems.add(at, format!("unknown {key} {}", shown(name)), nearest_or_all(name, "known", known));
        }
        None
    }

    /// Whether the key is there with this very text.
    pub(super) fn text_is(&self, key: &str, text: &str) -> bool {
        matches!(self.get(key).map(Spanned::get_ref), Some(DeValue::String(found)) if found == text)
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str, problems: &mut Problems<'_>) -> Option<Vec<String>> {
        let value = self.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_type(key, value, "a list of texts", problems);
        };
        let text = |item: &Spanned<DeValue<'t>>| match item.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => self.wrong_type(key, item, "a text", problems),
        };
        items.iter().map(text).collect()
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str, problems: &mut Problems<'_>) -> Option<At<bool>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(At { at: value.span().start, value: *boolean }),
            _ => self.wrong_type(key, value, "true or false", problems),
        }
    }

    /// A whole number in `range`.
    pub(super) fn integer<T: TryFrom<i128>>(
        &self,
        key: &str,
        range: RangeInclusive<i128>,
        problems: &mut Problems<'_>,
    ) -> Option<At<T>> {
        self.integer_with(key, range, |_| "", problems)
    }

    /// A whole number in `range`; `hint` says what to do about one that is not.
    pub(super) fn integer_with<T: TryFrom<i128>>(
        &self,
        key: &str,
        range: RangeInclusive<i128>,
        hint: impl FnOnce(i128) -> &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<At<T>> {
        let value = self.get(key)?;
        let at = value.span().start;
        let DeValue::Integer(digits) = value.get_ref() else {
            return self.wrong_type(key, value, "a whole number", problems);
        };
        // Beyond i128 is beyond every range; which way does not matter to the message.
        let number = number(digits).unwrap_or(i128::MAX);
        if range.contains(&number)
            && let Ok(value) = T::try_from(number)
        {
            return Some(At { at, value });
        }
        let given = cut(&digits.to_string());
        let message = format!("{key} {given} is outside {} to {}", range.start(), range.end());
        problems.add(at, message, hint(number));
        None
    }

    /// A number, whole or not; which range it must be in is the caller's to say.
    pub(super) fn number(&self, key: &str, problems: &mut Problems<'_>) -> Option<At<f64>> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Float(digits) => digits.as_str().parse().ok(),
            DeValue::Integer(digits) => Some(number(digits).map_or(f64::INFINITY, |number| number as f64)),
            _ => None,
        };
        match number {
            Some(number) => Some(At { at: value.span().start, value: number }),
            None => self.wrong_type(key, value, "a number", problems),
        }
    }

    /// A size of any bytes: a whole number of them, or text with a unit.
    #[cfg(feature = "store")]
    pub(super) fn size(&self, key: &str, problems: &mut Problems<'_>) -> Option<At<u64>> {
        let value = self.get(key)?;
        let at = value.span().start;
        match value.get_ref() {
            // One that is too long for any range is told by who knows that of the key.
            DeValue::Integer(digits) => match number(digits).unwrap_or(i128::MAX) {
                ..0 => {
                    let message = format!("{key} {} is less than nothing", cut(&digits.to_string()));
                    problems.add(at, message, size::FORM);
                    None
                }
                bytes => Some(At { at, value: u64::try_from(bytes).unwrap_or(u64::MAX) }),
            },
            DeValue::String(text) => match size::parse(text) {
                Ok(value) => Some(At { at, value }),
                Err(message) => {
                    problems.add(at, format!("{key}: {message}"), size::FORM);
                    None
                }
            },
            _ => self.wrong_type(key, value, "a size", problems),
        }
    }

    /// A duration of any length.
    pub(super) fn duration(&self, key: &str, problems: &mut Problems<'_>) -> Option<At<Duration>> {
        let value = self.get(key)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(text) => match duration::parse(text) {
                Ok(value) => Some(At { at, value }),
                Err(message) => {
                    problems.add(at, format!("{key}: {message}"), duration::FORM);
                    None
                }
            },
            _ => self.wrong_type(key, value, "a duration", problems),
        }
    }

    /// A table within this one.
    pub(super) fn table(
        &self,
        key: &str,
        schema: &'static Schema,
        problems: &mut Problems<'_>,
    ) -> Option<Fields<'a, 't>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(Fields::new(entries, schema, value.span().start, problems)),
            _ => self.wrong_type(key, value, "a table", problems),
        }
    }

    /// The tables of `[[key]]`. A single `[key]` is told and read all the same, for what else is wrong in it.
    pub(super) fn tables(
        &self,
        key: &str,
        schema: &'static Schema,
        problems: &mut Problems<'_>,
    ) -> Vec<Fields<'a, 't>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| match item.get_ref() {
                    DeValue::Table(entries) => {
                        Some(Fields::new(entries, schema, item.span().start, problems))
                    }
                    _ => self.wrong_type(key, item, "a table", problems),
                })
                .collect(),
            DeValue::Table(entries) => {
                let path = schema.place.trim_start_matches("in ");
                let message = format!("{key} is one table, where a list of tables is expected");
                problems.add(at, message, format!("write {path}"));
                vec![Fields::new(entries, schema, at, problems)]
            }
            _ => {
                self.wrong_type::<()>(key, value, "a list of tables", problems);
                Vec::new()
            }
        }
    }

    /// A table whose keys are names of the user's, each with a text: names and texts in the order of the names.
    #[cfg(feature = "replication")]
    #[cfg_attr(not(feature = "replication"), allow(dead_code, reason = "of clusters"))]
    pub(super) fn pairs(
        &self,
        key: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Vec<(At<&'a str>, At<&'a str>)>> {
        let value = self.get(key)?;
        let DeValue::Table(entries) = value.get_ref() else {
            return self.wrong_type(key, value, "a table", problems);
        };
        let mut pairs = Vec::new();
        let mut is_right = true;
        for (name, value) in entries {
            let name = At { at: name.span().start, value: name.get_ref().as_ref() };
            match value.get_ref() {
                DeValue::String(text) => {
                    let at = value.span().start;
                    pairs.push((name, At { at, value: text.as_ref() }));
                }
                _ => {
                    is_right = false;
                    self.wrong_type::<()>(&format!("{key}.{}", name.value), value, "text", problems);
                }
            }
        }
        is_right.then_some(pairs)
    }

    /// Whether the value of `key` is a table.
    #[cfg(feature = "replication")]
    #[cfg_attr(not(feature = "replication"), allow(dead_code, reason = "of clusters"))]
    pub(super) fn is_table(&self, key: &str) -> bool {
        matches!(self.get(key).map(Spanned::get_ref), Some(DeValue::Table(_)))
    }

    /// Whether the value of `key` is a whole number.
    #[cfg(feature = "store")]
    pub(super) fn is_integer(&self, key: &str) -> bool {
        matches!(self.get(key).map(Spanned::get_ref), Some(DeValue::Integer(_)))
    }

    /// Whether the key is there, with whatever value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether a key is there that there may be no such of.
    #[cfg(feature = "store")]
    pub(super) fn has_known(&self, key: &str) -> bool {
        self.schema.key(key).is_some() && self.has(key)
    }

    /// Whether the value of `key` is a list of nothing.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        matches!(self.get(key).map(Spanned::get_ref), Some(DeValue::Array(items)) if items.is_empty())
    }

    /// Where the value of `key` begins; the table when it is not there.
    pub(super) fn value_at(&self, key: &str) -> usize {
        self.get(key).map_or(self.at, |value| value.span().start)
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'t>>> {
        debug_assert!(self.schema.key(key).is_some(), "{key} is asked for and in no schema");
        self.entries.get(key)
    }

    fn example(&self, key: &str) -> String {
        // One that is the user's own is the name of a text.
        let example = self.schema.key(key).map_or("\"…\"", |key| key.example);
        format!("{key} = {example}")
    }

    fn wrong_type<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'t>>,
        expected: &str,
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(text) => format!("the text {}", shown(text)),
            DeValue::Integer(digits) => format!("the whole number {}", cut(&digits.to_string())),
            DeValue::Float(digits) => format!("the number {}", cut(digits.as_str())),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::Datetime(_) => "a date or time".to_string(),
            DeValue::Array(_) => "a list".to_string(),
            DeValue::Table(_) => "a table".to_string(),
        };
        let message = format!("{key} is {found}, where {expected} is expected");
        problems.add(value.span().start, message, format!("for example {}", self.example(key)));
        None
    }
}

/// The number that `digits` spell; `None` beyond 128 bits.
fn number(digits: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(digits.as_str(), digits.radix()).ok()
}

/// The first digits of a number that may have a million of them.
fn cut(digits: &str) -> String {
    const SHOWN_MAX: usize = 40;
    match digits.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &digits[..end]),
        None => digits.to_string(),
    }
}
