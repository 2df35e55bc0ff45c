//! What a watched name is told. What comes from the system's files is in `resolv_conf` and `hosts`.
//!
//! | option | unit | range | default | why that default |
//! |---|---|---|---|---|
//! | `families` | | [`Families`] | both | what a name has is what it means |
//! | `ttl_min` | time | 1 s to 1 h | 1 s | a record with TTL 0 must not be asked for without end |
//! | `ttl_max` | time | 1 s to 7 d | 1 h | a mistake with a long TTL is forgotten within the hour |
//! | `ttl_negative_max` | time | 1 s to 1 h | 30 s | a name that comes to be is noticed soon, whatever its zone says |
//! | `hold` | time | 0 s to 7 d, or for ever | 30 s | as HAProxy's `hold nx`: a slip in a zone is mended, an end is obeyed |
//! | `retry_min` | time | 100 ms to 1 h | 1 s | most failures are over by then |
//! | `retry_max` | time | 100 ms to 1 h | 30 s | a resolver that is back is noticed soon |
//! | `lookup_max` | time | 1 s to 1 h | 60 s | twice what three resolvers asked twice can take |
//! | `endpoints_max` | members | 1 to 10,000 | 10,000 | no limit that anybody meets, but one |

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::{Error, Result};

/// The most members that one name can have.
pub const ENDPOINTS_MAX: usize = 10_000;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const TENTH: Duration = Duration::from_millis(100);

/// One of the two kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// Which addresses of a name become members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Families {
    /// All.
    #[default]
    Both,
    /// IPv4 alone; AAAA records are not asked for.
    V4,
    /// IPv6 alone; A records are not asked for.
    V6,
    /// IPv4, or IPv6 where a host has no IPv4 address.
    PreferV4,
    /// IPv6, or IPv4 where a host has no IPv6 address.
    PreferV6,
}

impl Families {
    /// Every choice with its name in a configuration.
    pub const NAMES: [(&'static str, Families); 5] = [
        ("both", Families::Both),
        ("ipv4", Families::V4),
        ("ipv6", Families::V6),
        ("prefer-ipv4", Families::PreferV4),
        ("prefer-ipv6", Families::PreferV6),
    ];

    /// What is asked for, in this order.
    pub(super) fn wanted(self) -> &'static [Family] {
        match self {
            Families::Both | Families::PreferV4 => &[Family::V4, Family::V6],
            Families::PreferV6 => &[Family::V6, Family::V4],
            Families::V4 => &[Family::V4],
            Families::V6 => &[Family::V6],
        }
    }

    /// Whether a host that has addresses of `family` needs no others.
    pub(super) fn is_enough(self, family: Family) -> bool {
        match self {
            Families::Both => false,
            Families::V4 | Families::PreferV4 => family == Family::V4,
            Families::V6 | Families::PreferV6 => family == Family::V6,
        }
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, families)| families == self).map_or("both", |(name, _)| name);
        f.write_str(name)
    }
}

/// How long a name's members are kept once an answer says that it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// This long; zero lets them go at once.
    For(Duration),
    /// Until there are others.
    Forever,
}

/// What a watched name is told: see the table at the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which addresses become members.
    pub families: Families,
    /// The shortest time between an answer and the next question, whatever the records say.
    pub ttl_min: Duration,
    /// The longest.
    pub ttl_max: Duration,
    /// The longest after an answer that there is nothing.
    pub ttl_negative_max: Duration,
    /// How long members are kept once an answer says that there are none.
    pub hold: Hold,
    /// How long after a first failure it is tried again; twice as long after each further one.
    pub retry_min: Duration,
    /// The longest time from a failure to the next try.
    pub retry_max: Duration,
    /// How long one lookup may take, all its questions together.
    pub lookup_max: Duration,
    /// The most members; of more the first in order are taken.
    pub endpoints_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            families: Families::Both,
            ttl_min: SECOND,
            ttl_max: HOUR,
            ttl_negative_max: Duration::from_secs(30),
            hold: Hold::For(Duration::from_secs(30)),
            retry_min: SECOND,
            retry_max: Duration::from_secs(30),
            lookup_max: Duration::from_secs(60),
            endpoints_max: ENDPOINTS_MAX,
        }
    }
}

impl Options {
    /// Refuses what is out of range: `InvalidArgument` that names the option.
    pub fn check(&self) -> Result<()> {
        within("ttl_min", self.ttl_min, SECOND..=HOUR)?;
        within("ttl_max", self.ttl_max, SECOND..=WEEK)?;
        within("ttl_negative_max", self.ttl_negative_max, SECOND..=HOUR)?;
        if let Hold::For(hold) = self.hold {
            within("hold", hold, Duration::ZERO..=WEEK)?;
        }
        within("retry_min", self.retry_min, TENTH..=HOUR)?;
        within("retry_max", self.retry_max, TENTH..=HOUR)?;
        within("lookup_max", self.lookup_max, SECOND..=HOUR)?;
        if !(1..=ENDPOINTS_MAX).contains(&self.endpoints_max) {
            let detail = format!("{} is outside 1 to {ENDPOINTS_MAX}", self.endpoints_max);
            return Err(Error::invalid("endpoints_max", detail));
        }
        for (what, least, most) in [
            ("ttl_max", self.ttl_min, self.ttl_max),
            ("ttl_negative_max", self.ttl_min, self.ttl_negative_max),
            ("retry_max", self.retry_min, self.retry_max),
        ] {
            if most < least {
                let detail =
                    format!("{most:?} is below the least, which is {least:?}; raise it or lower that");
                return Err(Error::invalid(what, detail));
            }
        }
        Ok(())
    }
}

fn within(what: &'static str, value: Duration, range: RangeInclusive<Duration>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(what, format!("{value:?} is outside {:?} to {:?}", range.start(), range.end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(Options::default().check(), Ok(()));
    }

    #[test]
    fn ranges_hold_at_their_ends() {
        type Set = fn(&mut Options, Duration);
        let base = || Options {
            ttl_min: SECOND,
            ttl_max: WEEK,
            ttl_negative_max: HOUR,
            retry_min: TENTH,
            retry_max: HOUR,
            ..Options::default()
        };
        let cases: [(&str, Set, Duration, Duration); 7] = [
            ("ttl_min", |options, value| options.ttl_min = value, SECOND, HOUR),
            ("ttl_max", |options, value| options.ttl_max = value, SECOND, WEEK),
            ("ttl_negative_max", |options, value| options.ttl_negative_max = value, SECOND, HOUR),
            ("hold", |options, value| options.hold = Hold::For(value), Duration::ZERO, WEEK),
            ("retry_min", |options, value| options.retry_min = value, TENTH, HOUR),
            ("retry_max", |options, value| options.retry_max = value, TENTH, HOUR),
            ("lookup_max", |options, value| options.lookup_max = value, SECOND, HOUR),
        ];
        let nano = Duration::from_nanos(1);
        for (what, set, least, most) in cases {
            let check = |value| {
                let mut options = base();
                set(&mut options, value);
                options.check()
            };
            assert_eq!((check(least), check(most)), (Ok(()), Ok(())), "{what}");
            for value in least.checked_sub(nano).into_iter().chain([most + nano]) {
                let told = check(value).unwrap_err().to_string();
                assert!(told.starts_with(&format!("invalid {what}: ")) && told.contains("outside"), "{told}");
            }
        }
        for (endpoints_max, is_good) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
            assert_eq!(Options { endpoints_max, ..base() }.check().is_ok(), is_good);
        }
    }

    #[test]
    fn a_most_is_not_below_its_least() {
        let options = Options { ttl_min: HOUR, ttl_max: HOUR, ttl_negative_max: HOUR, ..Options::default() };
        assert_eq!(options.check(), Ok(()));
        for options in [
            Options { ttl_max: HOUR - SECOND, ..options.clone() },
            Options { ttl_negative_max: HOUR - SECOND, ..options.clone() },
            Options { retry_min: HOUR, retry_max: HOUR - SECOND, ..options },
        ] {
            assert!(options.check().unwrap_err().to_string().contains("below the least"), "{options:?}");
        }
    }

    #[test]
    fn families_are_asked_for_in_their_order() {
        assert_eq!(Families::default().wanted(), [Family::V4, Family::V6]);
        assert_eq!(Families::PreferV6.wanted(), [Family::V6, Family::V4]);
        for (name, families) in Families::NAMES {
            assert_eq!(families.to_string(), name);
            let first = families.wanted()[0];
            assert_eq!(families.is_enough(first), families != Families::Both);
            assert!(families.wanted()[1..].iter().all(|&second| !families.is_enough(second)));
        }
    }
}
