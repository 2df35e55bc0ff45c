//! Sizes as they are written: a whole number of bytes, or `64KiB`, `512MiB`, `2GiB`, `1TiB`.

use crate::server::config::suggest::shown;

/// The units with their bytes, the largest first.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// What a size looks like.
pub(super) const FORM: &str = "write bytes, or a whole number with the unit KiB, MiB, GiB or TiB: \"512MiB\"";

/// Reads a whole number and its unit, without blanks. Gives what is wrong with it otherwise.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let wrong = |why: &str| format!("{} is not a size: {why}", shown(text));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(wrong("it does not begin with a whole number"));
    }
    if unit.is_empty() {
        return Err(wrong("a number in quotes needs a unit"));
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(wrong("it has a unit that is none"));
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    bytes.ok_or_else(|| wrong("it is larger than anything"))
}

/// The shortest text that stands for so many bytes.
pub(crate) fn show(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(name, factor)| format!("{}{name}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_both_ways() {
        for (text, bytes) in [("1KiB", 1 << 10), ("64MiB", 64 << 20), ("3GiB", 3 << 30), ("16TiB", 16 << 40)]
        {
            assert_eq!(parse(text), Ok(bytes));
            assert_eq!(show(bytes), text);
        }
        assert_eq!(parse("2048KiB"), Ok(2 << 20));
        assert_eq!(parse("0KiB"), Ok(0));
        assert_eq!(show(1_000), "1000");
        assert_eq!(show(0), "0");
    }

    #[test]
    fn what_is_no_size_is_told() {
        for (text, why) in [
            ("", "it does not begin with a whole number"),
            ("MiB", "it does not begin with a whole number"),
            ("-1MiB", "it does not begin with a whole number"),
            ("5", "a number in quotes needs a unit"),
            ("5MB", "it has a unit that is none"),
            ("5 MiB", "it has a unit that is none"),
            ("1.5GiB", "it has a unit that is none"),
            ("5mib", "it has a unit that is none"),
            ("16777216TiB", "it is larger than anything"),
            ("99999999999999999999KiB", "it is larger than anything"),
        ] {
            assert_eq!(parse(text), Err(format!("\"{text}\" is not a size: {why}")));
        }
    }
}
