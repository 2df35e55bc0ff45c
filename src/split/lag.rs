//! [`LagBound`]: how far behind a node may be for a pool of the store's nodes, and [`Lag`], which holds one node against it.
//!
//! A node that is farther behind than the bound is late, and is so until it is within half of it: how old it is grows until
//! it has heard from the primary again, so a node that is about as far behind as it may be would come and go else.
//!
//! | option | unit | range | default | |
//! |---|---|---|---|---|
//! | `lag_max` | time | 500 ms to 1 day | any | how old what a node shows may be |
//! | `lag_entries_max` | entries | 0 to 2^53 | any | how many entries a node may lack |
//!
//! Below 500 ms a node that is as near as can be would be late: it hears from the primary every 40 ms, and tells so every
//! 100 ms.

use std::time::Duration;

use crate::resp::Freshness;
use crate::time::Instant;

/// How long what a node has said of the entries that it lacks is believed.
pub const SILENCE_MAX: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LagBound {
    /// How old what a node shows may be; `None`: any age.
    pub lag_max: Option<Duration>,
    /// How many entries it may lack; `None`: any number.
    pub lag_entries_max: Option<u64>,
}

/// Why a node is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// How far it is is not known.
    Unknown,
    /// What it shows is too old.
    Age,
    /// It lacks too many entries.
    Entries,
}

/// One node of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// It was too far behind, and was not near enough since.
    is_late: bool,
}

impl LagBound {
    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.lag_max.is_some() || self.lag_entries_max.is_some()
    }
}

impl Lag {
    /// Whether the node is near enough at `now`, and until when that is so if nothing is heard of it.
    pub fn judge(
        &mut self,
        bound: &LagBound,
        known: Option<&Freshness>,
        now: Instant,
    ) -> (Result<(), Late>, Option<Instant>) {
        if !bound.is_set() {
            return (Ok(()), None);
        }
        let Some(known) = known else { return (Err(Late::Unknown), None) };
        let part = if self.is_late { 2 } else { 1 };
        let mut until: Option<Instant> = None;
        let mut holds_until = |at: Instant| until = Some(until.map_or(at, |until| until.min(at)));
        if let Some(most) = bound.lag_max {
            let Some(since) = known.fresh_since else { return (Err(Late::Unknown), None) };
            if now.duration_since(since) > most / part {
                self.is_late = true;
                return (Err(Late::Age), None);
            }
            holds_until(since.saturating_add(most));
        }
        if let Some(most) = bound.lag_entries_max {
            if now.duration_since(known.heard_at) > SILENCE_MAX {
                return (Err(Late::Unknown), None);
            }
            if known.behind > most / u64::from(part) {
                self.is_late = true;
                return (Err(Late::Entries), None);
            }
            holds_until(known.heard_at.saturating_add(SILENCE_MAX));
        }
        self.is_late = false;
        // At that moment it is near enough still.
        (Ok(()), until.map(|until| until.saturating_add(Duration::from_nanos(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Fresh as of `fresh`, with `behind` entries to go, as heard at `heard`.
    fn known(fresh: u64, behind: u64, heard: u64) -> Freshness {
        Freshness { fresh_since: Some(at(fresh)), behind, heard_at: at(heard) }
    }

    const NEXT: Duration = Duration::from_nanos(1);

    #[test]
    fn without_a_bound_everybody_is_near_enough() {
        let bound = LagBound::default();
        assert_eq!(Lag::default().judge(&bound, None, at(9)), (Ok(()), None));
        assert_eq!(Lag::default().judge(&bound, Some(&known(0, 99, 0)), at(1 << 40)), (Ok(()), None));
    }

    #[test]
    fn who_is_too_old_comes_back_within_half_of_the_bound() {
        let bound = LagBound { lag_max: Some(ms(1_000)), lag_entries_max: None };
        let mut lag = Lag::default();
        let mut judge = |known: &Freshness, now| lag.judge(&bound, Some(known), now);
        let until = at(6_000).saturating_add(NEXT);
        // However many entries it lacks, and however long ago it said so.
        assert_eq!(judge(&known(5_000, 1 << 40, 100), at(5_500)), (Ok(()), Some(until)));
        assert_eq!(judge(&known(5_000, 0, 5_000), at(6_000)), (Ok(()), Some(until)));
        assert_eq!(judge(&known(5_000, 0, 5_000), until), (Err(Late::Age), None));
        assert_eq!(judge(&known(5_499, 0, 6_000), at(6_000)), (Err(Late::Age), None), "not near enough yet");
        let again = at(6_500).saturating_add(NEXT);
        assert_eq!(judge(&known(5_500, 0, 6_000), at(6_000)), (Ok(()), Some(again)));
        assert_eq!(judge(&known(5_500, 0, 6_000), at(6_400)), (Ok(()), Some(again)), "and all of it then");
    }

    #[test]
    fn who_lacks_too_many_entries_comes_back_within_half_of_the_bound() {
        let bound = LagBound { lag_max: None, lag_entries_max: Some(100) };
        let mut lag = Lag::default();
        let mut judge = |behind, now| lag.judge(&bound, Some(&known(0, behind, now)), at(now)).0;
        assert_eq!(judge(100, 5_000), Ok(()));
        assert_eq!(judge(101, 5_100), Err(Late::Entries));
        assert_eq!(judge(51, 5_200), Err(Late::Entries));
        assert_eq!(judge(50, 5_300), Ok(()));
        assert_eq!(judge(100, 5_400), Ok(()));
        let none = LagBound { lag_entries_max: Some(0), ..bound };
        let mut lag = Lag::default();
        for (behind, expected) in [(0, Ok(())), (1, Err(Late::Entries)), (0, Ok(()))] {
            assert_eq!(lag.judge(&none, Some(&known(0, behind, 1)), at(1)).0, expected);
        }
    }

    #[test]
    fn who_says_nothing_is_not_believed_to_be_where_it_was() {
        let bound = LagBound { lag_max: None, lag_entries_max: Some(100) };
        let mut lag = Lag::default();
        let silent = at(2_000).saturating_add(NEXT);
        assert_eq!(lag.judge(&bound, None, at(0)), (Err(Late::Unknown), None));
        assert_eq!(lag.judge(&bound, Some(&known(0, 99, 1_000)), at(2_000)), (Ok(()), Some(silent)));
        assert_eq!(lag.judge(&bound, Some(&known(0, 99, 1_000)), silent), (Err(Late::Unknown), None));
        // It was not late, so the whole bound counts.
        assert_eq!(lag.judge(&bound, Some(&known(0, 99, 2_500)), at(2_500)).0, Ok(()));
        let unknown = Freshness { fresh_since: None, ..known(0, 0, 0) };
        let aged = LagBound { lag_max: Some(ms(500)), lag_entries_max: None };
        assert_eq!(lag.judge(&aged, Some(&unknown), at(0)), (Err(Late::Unknown), None));
    }

    #[test]
    fn of_two_bounds_both_count_and_the_sooner_ends_it() {
        let bound = LagBound { lag_max: Some(ms(1_500)), lag_entries_max: Some(10) };
        let judge = |known: &Freshness, now| Lag::default().judge(&bound, Some(known), at(now));
        let until = |millis| Some(at(millis).saturating_add(NEXT));
        assert_eq!(judge(&known(1_000, 10, 1_100), 1_200), (Ok(()), until(2_100)));
        assert_eq!(judge(&known(200, 10, 1_100), 1_200), (Ok(()), until(1_700)));
        assert_eq!(judge(&known(1_000, 11, 1_100), 1_200).0, Err(Late::Entries));
        assert_eq!(judge(&known(1_000, 0, 1_100), 2_600).0, Err(Late::Age));
    }
}
