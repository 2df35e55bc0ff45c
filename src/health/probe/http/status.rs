//! [`Statuses`]: a set of status codes.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

const LOW: u16 = 100;
const HIGH: u16 = 599;

/// A set of status codes from 100 to 599. Written as codes and ranges: `200`, `200-399`, `200, 204, 300-302`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Statuses([u64; 8]);

impl Statuses {
    /// No status at all.
    pub const fn none() -> Self {
        Self([0; 8])
    }

    /// Adds those from `first` to `last`.
    pub fn add(&mut self, first: u16, last: u16) -> Result<()> {
        if first < LOW || last > HIGH || first > last {
            let detail = format!("{first}-{last} is no range within {LOW} to {HIGH}");
            return Err(Error::invalid("statuses", detail));
        }
        for status in first..=last {
            let bit = usize::from(status - LOW);
            self.0[bit / 64] |= 1 << (bit % 64);
        }
        Ok(())
    }

    /// Whether `status` is one of them.
    pub fn holds(&self, status: u16) -> bool {
        if !(LOW..=HIGH).contains(&status) {
            return false;
        }
        let bit = usize::from(status - LOW);
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// Whether no status is one of them.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 8]
    }
}

/// 200 to 399.
impl Default for Statuses {
    fn default() -> Self {
        let mut statuses = Self::none();
        statuses.add(200, 399).expect("the range is within the limits");
        statuses
    }
}

impl FromStr for Statuses {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut statuses = Self::none();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Some(first), Some(last)) = (code(first.trim()), code(last.trim())) else {
                let shown: String = part.chars().take(40).collect();
                let detail = format!("{shown:?} is no status and no range; write 200, 204 or 200-399");
                return Err(Error::invalid("statuses", detail));
            };
            statuses.add(first, last)?;
        }
        Ok(statuses)
    }
}

/// Three digits: `+200` and `0200` are nobody's status.
fn code(text: &str) -> Option<u16> {
    if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut status = LOW;
        let mut is_first = true;
        while status <= HIGH {
            let first = status;
            while self.holds(status) {
                status += 1;
            }
            if status > first {
                let comma = if is_first { "" } else { ", " };
                is_first = false;
                match status - 1 {
                    last if last == first => write!(f, "{comma}{first}")?,
                    last => write!(f, "{comma}{first}-{last}")?,
                }
            }
            status += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statuses({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_and_written() {
        for (text, shown, holds, not) in [
            ("200", "200", vec![200], vec![199, 201]),
            ("200-399", "200-399", vec![200, 399], vec![199, 400]),
            (" 204 , 200-201,301 - 302 ", "200-201, 204, 301-302", vec![201, 204, 302], vec![202, 303]),
            ("100-599", "100-599", vec![100, 599], vec![99, 600, 0, u16::MAX]),
        ] {
            let statuses: Statuses = text.parse().unwrap();
            assert_eq!(statuses.to_string(), shown);
            assert_eq!(shown.parse::<Statuses>().unwrap(), statuses);
            assert!(holds.iter().all(|status| statuses.holds(*status)), "{text}");
            assert!(!not.iter().any(|status| statuses.holds(*status)), "{text}");
        }
        assert_eq!(Statuses::default().to_string(), "200-399");
        assert!(Statuses::none().is_empty() && !Statuses::default().is_empty());
    }

    #[test]
    fn what_is_no_set_is_told() {
        for text in
            ["", "ok", "200,", "20", "2000", "+20", "099", "600", "399-200", "200-", "-200", "200--300"]
        {
            let error = text.parse::<Statuses>().unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { what: "statuses", .. }), "{text}: {error}");
        }
    }
}
