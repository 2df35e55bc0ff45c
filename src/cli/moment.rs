//! Times as they are printed, and as they are given.

use toml_datetime::{Datetime, Offset};

use crate::time::civil_from_days;

/// RFC 3339, in UTC.
pub(super) fn rfc3339(unix_ms: u64) -> String {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let (days, ms) = (unix_ms / DAY_MS, unix_ms % DAY_MS);
    let (year, month, day) = civil_from_days(days);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1000)
}

/// RFC 3339 with its offset, or milliseconds since 1970. The days are counted as in Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `days_from_civil`.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    if let Ok(unix_ms) = text.parse() {
        return Ok(unix_ms);
    }
    let wrong = || "write 2026-11-26T04:00:00Z, or milliseconds since 1970".to_string();
    let given: Datetime = text.parse().map_err(|_| wrong())?;
    let (Some(date), Some(time), Some(offset)) = (given.date, given.time, given.offset) else {
        return Err(wrong());
    };
    let offset_minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let (year, month, day) = (i64::from(date.year), i64::from(date.month), i64::from(date.day));
    // From the first of March, so that a leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - offset_minutes;
    let seconds = days * 86_400 + minutes * 60 + i64::from(time.second.unwrap_or(0));
    let unix_ms = seconds * 1000 + i64::from(time.nanosecond.unwrap_or(0) / 1_000_000);
    u64::try_from(unix_ms).map_err(|_| "it is before 1970".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_767_225_599_001, "2025-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), text);
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let mut unix_ms = 0;
        while unix_ms < 4_200_000_000_000 {
            assert_eq!(parse(&rfc3339(unix_ms)), Ok(unix_ms));
            unix_ms += 12_345_678_901;
        }
    }

    #[test]
    fn offsets_count_and_what_is_no_time_is_refused() {
        assert_eq!(parse("2024-02-29T00:00:00Z"), Ok(1_709_164_800_000));
        assert_eq!(parse("2024-02-29T02:00:00.5+02:00"), Ok(1_709_164_800_500));
        assert_eq!(parse("2024-02-28T22:30:00-01:30"), Ok(1_709_164_800_000));
        assert_eq!(parse("1709164800000"), Ok(1_709_164_800_000));
        for text in ["", "yesterday", "2024-02-29", "2024-02-29T00:00:00", "2023-02-30T00:00:00Z", "-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("1969-12-31T23:59:59Z").unwrap_err().contains("before 1970"));
    }
}
