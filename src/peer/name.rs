//! [`NodeName`]: what a node is called, in the configuration, in its certificate and in every message about it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Result};

/// The name of a node: 1 to 63 bytes of `a` to `z`, `0` to `9`, `-`, `_` and `.`, a letter or digit at both ends and
/// around each dot, and a letter behind the last one. So it can stand in a certificate as a DNS name, and is told from
/// an address. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

/// The longest name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 63;

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| Err(Error::invalid("node name", format!("{text:.80?} {why}")));
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return refuse(&format!("has {} bytes, and 1 to {NAME_BYTES_MAX} are allowed", text.len()));
        }
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if !text.bytes().all(is_allowed) {
            return refuse("has other characters than a to z, 0 to 9, '-', '_' and '.'; write db-1");
        }
        let is_framed = |label: &str| {
            let ends = [label.bytes().next(), label.bytes().next_back()];
            ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        };
        if !text.split('.').all(is_framed) {
            return refuse("has no letter or digit at one end, or beside a dot; write db-1");
        }
        let last = text.rsplit('.').next().unwrap_or_default();
        if !last.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return refuse("could be an address or a number; have it end with a letter in it, as db-1");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_certificate_can_bear() {
        let longest = "a".repeat(63);
        for good in ["a", "db-1", "db_1", "1a", "db.rack-2.example", "10.0.0.a1", longest.as_str()] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        let longer = "a".repeat(64);
        for (bad, why) in [
            ("", "has 0 bytes"),
            (longer.as_str(), "has 64 bytes"),
            ("DB-1", "other characters"),
            ("db 1", "other characters"),
            ("dé", "other characters"),
            ("-db", "at one end"),
            ("db-", "at one end"),
            ("db..x", "beside a dot"),
            (".db", "beside a dot"),
            ("a-.b", "beside a dot"),
            ("10.0.0.1", "could be an address"),
            ("7", "could be an address"),
        ] {
            let told = bad.parse::<NodeName>().unwrap_err().to_string();
            assert!(told.starts_with("invalid node name: ") && told.contains(why), "{bad}: {told}");
        }
    }
}
