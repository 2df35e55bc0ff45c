//! How the store's node stands, for balancers that ask over HTTP: `/primary` and `/replica`.
//!
//! | request | 200 when |
//! |---|---|
//! | `GET /primary` | it is primary and holds its quorum: it takes writes |
//! | `GET /replica` | it follows a primary |
//! | `GET /replica?lag=500ms` | the same, and what it shows is no older |
//! | `GET /replica?lag=1000` | the same, and it lacks no more entries than that, as far as it knows |
//!
//! Otherwise it is 503. Either way the body says why.

use std::time::Duration;

use serde::Serialize;

use crate::server::admin::path::pairs;
use crate::server::config::duration;
use crate::server::config::suggest::{nearest_or_all, shown};

/// How the store's node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// `primary`, `replica`, `learner`, `candidate` or `idle`.
    pub role: &'static str,
    /// It is primary and holds its quorum; a store of its own is as long as it takes writes.
    pub is_primary: bool,
    /// It follows a primary.
    pub is_following: bool,
    /// How old what it shows may be, in milliseconds; `None`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// How many entries it knows of and does not show.
    pub behind: u64,
    /// The last entry that it shows.
    pub sequence: u64,
    /// The epoch; `None` for a store of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Where clients reach the primary, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
}

/// How far a replica may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lag {
    /// As far as it is.
    Any,
    Age(Duration),
    Entries(u64),
}

impl Lag {
    /// Reads a query: `lag=500ms`, `lag=1000`, or nothing.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut lag = Self::Any;
        for (at, one) in pairs(query).enumerate() {
            let (key, value) = one?;
            if key != "lag" {
                let hint = nearest_or_all(&key, "known", ["lag"]);
                return Err(format!("unknown {} in the query; {hint}", shown(&key)));
            }
            if at > 0 {
                return Err("the query has lag twice".into());
            }
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            lag = match value.parse() {
                Ok(entries) if is_number => Self::Entries(entries),
                _ => Self::Age(
                    duration::parse(&value)
                        .map_err(|why| format!("lag {why}; or write a whole number of entries"))?,
                ),
            };
        }
        Ok(lag)
    }

    /// Whether the node is one to read from.
    pub(super) fn takes(self, standing: &Standing) -> bool {
        let age = standing.age_ms.map(Duration::from_millis);
        standing.is_following
            && match self {
                Self::Any => true,
                Self::Age(most) => age.is_some_and(|age| age <= most),
                Self::Entries(most) => age.is_some() && standing.behind <= most,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_read_and_held_against_what_is() {
        assert_eq!(Lag::parse(""), Ok(Lag::Any));
        assert_eq!(Lag::parse("lag=500ms"), Ok(Lag::Age(Duration::from_millis(500))));
        assert_eq!(Lag::parse("lag=1000"), Ok(Lag::Entries(1_000)));
        for (wrong, part) in [
            ("lag=", "lag"),
            ("lag=x", "or write a whole number of entries"),
            ("lag=-1", "or write a whole number"),
            ("lag=99999999999999999999", "or write a whole number"),
            ("lag=1s&lag=2s", "lag twice"),
            ("log=1s", "did you mean \"lag\"?"),
        ] {
            let why = Lag::parse(wrong).unwrap_err();
            assert!(why.contains(part), "{wrong}: {why}");
        }
        let standing = Standing {
            role: "replica",
            is_primary: false,
            is_following: true,
            age_ms: Some(100),
            behind: 7,
            sequence: 50,
            epoch: Some(3),
            primary: None,
        };
        let age = |millis| Lag::Age(Duration::from_millis(millis));
        for (lag, takes) in [
            (Lag::Any, true),
            (age(100), true),
            (age(99), false),
            (Lag::Entries(7), true),
            (Lag::Entries(6), false),
        ] {
            assert_eq!(lag.takes(&standing), takes, "{lag:?}");
        }
        let lost = Standing { age_ms: None, ..standing.clone() };
        assert!(Lag::Any.takes(&lost) && !age(1 << 40).takes(&lost) && !Lag::Entries(u64::MAX).takes(&lost));
        let primary = Standing { is_primary: true, is_following: false, ..standing };
        assert!(!Lag::Any.takes(&primary));
    }
}
