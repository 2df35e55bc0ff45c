//! Durations as they are written: `200ms`, `5s`, `1m30s`, `1h`, `1d`.

use std::time::Duration;

use crate::server::config::suggest::shown;

/// The units with their milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// What a duration looks like.
pub(crate) const FORM: &str =
    "write whole numbers with the units d, h, m, s, ms: \"200ms\", \"5s\", \"1m30s\"";

/// Reads one or more whole numbers, each with its unit, from large units to small, without blanks.
///
/// Gives what is wrong with it otherwise.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = |why: &str| format!("{} is not a duration: {why}", shown(text));
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut units_left = &UNITS[..];
    if rest.is_empty() {
        return Err(wrong("it is empty"));
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if number.is_empty() || (unit.is_empty() && !after.is_empty()) {
            return Err(wrong("it is not made of whole numbers and units alone"));
        }
        if unit.is_empty() {
            return Err(wrong("a number has no unit"));
        }
        let Some(at) = units_left.iter().position(|(name, _)| *name == unit) else {
            let is_known = UNITS.iter().any(|(name, _)| *name == unit);
            return Err(wrong(if is_known {
                "units go from large to small, each once"
            } else {
                "it has a unit that is none"
            }));
        };
        let sum = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(units_left[at].1))
            .and_then(|part| millis.checked_add(part));
        millis = sum.ok_or_else(|| wrong("it is longer than anything"))?;
        units_left = &units_left[at + 1..];
        rest = after;
    }
    Ok(Duration::from_millis(millis))
}

/// The shortest text that [`parse`] takes for `duration`, which is of whole milliseconds.
pub(super) fn show(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    let mut text = String::new();
    for (name, factor) in UNITS {
        let count = millis / u128::from(factor);
        if count > 0 {
            text.push_str(&format!("{count}{name}"));
            millis %= u128::from(factor);
        }
    }
    if text.is_empty() { "0s".to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in [
            ("1ms", 1),
            ("200ms", 200),
            ("5s", 5000),
            ("1m", 60_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("90s", 90_000),
            ("007s", 7000),
            ("0s", 0),
            ("18446744073709551615ms", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told_why() {
        for (text, why) in [
            ("", "empty"),
            ("5", "no unit"),
            ("1m30", "no unit"),
            ("s", "whole numbers"),
            ("-5s", "whole numbers"),
            ("+5s", "whole numbers"),
            ("1.5s", "whole numbers"),
            ("1 s", "whole numbers"),
            ("5s ", "whole numbers"),
            (" 5s", "whole numbers"),
            ("٣s", "whole numbers"),
            ("5sec", "a unit that is none"),
            ("5S", "a unit that is none"),
            ("5us", "a unit that is none"),
            ("30s1m", "from large to small"),
            ("1s1s", "from large to small"),
            ("18446744073709551616ms", "longer than anything"),
            ("213503982335d", "longer than anything"),
            ("18446744073709551615ms1ms", "from large to small"),
            ("18446744073709551s999ms", "longer than anything"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in "[0-9a-z.µ]{0,12}|.{0,80}") {
            if let Err(error) = parse(&text) {
                prop_assert_eq!(error.lines().count(), 1);
            }
        }
    }
}
