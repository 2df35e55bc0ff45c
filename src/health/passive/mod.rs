//! Passive health: a backend is judged by how traffic to it goes. One [`Detector`] looks after one pool.
//!
//! The algorithm is Envoy's outlier detection, from its published description
//! (`docs/root/intro/arch_overview/upstream/outlier.rst` and the fields of `outlier_detection.proto`). It
//! ejects for three reasons:
//!
//! | reason | when | ejected is |
//! |---|---|---|
//! | consecutive errors | at once | who fails `consecutive_errors` times in a row |
//! | success rate | each `interval` | whose rate is below `mean - factor * stdev`, over those with `requests_min` and when there are `hosts_min` of them |
//! | failure percentage | each `interval` | who fails in `percent` of `requests_min` or more, when there are `hosts_min` with so many |
//!
//! An ejection lasts `ejection_time` times how often it happened in a row, up to `ejection_time_max`, and up to
//! `ejection_jitter` more. The count comes down by one with each whole interval without an ejection. A check
//! that comes up ends an ejection at once.
//!
//! No more than `ejection_percent_max` of the backends are ejected, rounded down, but one may always be. That holds
//! when backends are removed too: then those whose time ends soonest come back.
//!
//! A connection that failed, broke or took too long is an error. An answer by which a gateway says that it got none
//! (502, 503, 504) counts once HTTP reports it; today nobody here reads answers, and a host that does may report it as
//! failed. What was refused here, before any backend was asked, is no outcome at all: a limit that is reached must not
//! eject a backend. Outcomes of an ejected backend are of connections from before, and do not count.
//!
//! Departures from Envoy:
//!
//! - Of two that should go where one may, the one with the lower rate goes. Envoy takes them as they come.
//! - Who fails on and was spared by the cap is ejected as soon as the cap allows. Envoy counts to the limit anew.
//! - An ejection ends at its time, not at the end of an interval.
//! - The count comes down for whole intervals in health. Envoy also counts down where an interval ends in health, so
//!   ejections by rates, which come at such ends, do not grow there.
//! - The last backend that is not ejected stays, unless the cap is 100. Envoy ejects a lone one and panics.
//! - Errors are of one sort: Envoy can count those of its own side apart.
//!
//! | option | unit | range | default | why that default |
//! |---|---|---|---|---|
//! | `consecutive_errors` | errors | 1 to 10,000, or off | 5 | Envoy's |
//! | `interval` | time | 100 ms to 1 h | 10 s | Envoy's |
//! | `ejection_time` | time | 100 ms to 1 day | 30 s | Envoy's |
//! | `ejection_time_max` | time | `ejection_time` to 1 day | 300 s | Envoy's |
//! | `ejection_jitter` | time | 0 to 1 h | 1 s | who was ejected together does not come back together; Envoy's is 0 |
//! | `ejection_percent_max` | percent | 0 (never) to 100 | 10 | Envoy's |
//! | `success_rate.factor` | | 0 to 10 | 1.9 | Envoy's |
//! | `success_rate.hosts_min` | backends | 2 to 65,536 | 5 | Envoy's |
//! | `success_rate.requests_min` | outcomes | 1 to 2^32 - 1 | 100 | Envoy's |
//! | `failure_percentage` | | | off | Envoy's |
//! | `failure_percentage.percent` | percent | 1 to 100 | 85 | Envoy's |
//! | `failure_percentage.hosts_min` | backends | 1 to 65,536 | 5 | Envoy's |
//! | `failure_percentage.requests_min` | outcomes | 1 to 2^32 - 1 | 50 | Envoy's |
//!
//! | file | owns |
//! |---|---|
//! | `mod` | what is told |
//! | `detector` | backends, the cap, ejections and their ends |
//! | `outlier` | who is one, by the rates of an interval |

use std::time::Duration;

use crate::error::{Result, within};

mod detector;
mod outlier;

pub use detector::{Action, Detector, EjectCause, RestoreCause, Statistics, Tally};

/// How to judge backends by their traffic. Ranges, defaults and their reasons stand in the module's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How many errors in a row eject; `None` for any.
    pub consecutive_errors: Option<u32>,
    /// How often rates are compared, and how fast the count of ejections comes down.
    pub interval: Duration,
    /// How long the first ejection lasts.
    pub ejection_time: Duration,
    /// How long an ejection lasts at most, but for the jitter.
    pub ejection_time_max: Duration,
    /// How much longer an ejection may last, at random.
    pub ejection_jitter: Duration,
    /// How many of the backends may be ejected.
    pub ejection_percent_max: u32,
    /// Whether and how rates are compared with each other.
    pub success_rate: Option<SuccessRate>,
    /// Whether and how rates are compared with a fixed one.
    pub failure_percentage: Option<FailurePercentage>,
}

/// How success rates are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRate {
    /// How many standard deviations below the mean are too many.
    pub factor: f64,
    /// How many backends must have had enough outcomes.
    pub hosts_min: u32,
    /// How many outcomes in an interval are enough.
    pub requests_min: u32,
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { factor: 1.9, hosts_min: 5, requests_min: 100 }
    }
}

/// How failures are compared with a fixed share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    /// Which share of failures is too much.
    pub percent: u32,
    /// How many backends must have had enough outcomes.
    pub hosts_min: u32,
    /// How many outcomes in an interval are enough.
    pub requests_min: u32,
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self { percent: 85, hosts_min: 5, requests_min: 50 }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            consecutive_errors: Some(5),
            interval: Duration::from_secs(10),
            ejection_time: Duration::from_secs(30),
            ejection_time_max: Duration::from_secs(300),
            ejection_jitter: Duration::from_secs(1),
            ejection_percent_max: 10,
            success_rate: Some(SuccessRate::default()),
            failure_percentage: None,
        }
    }
}

impl Options {
    /// Refuses what is out of range, naming the option, what was given and what is allowed.
    pub fn check(&self) -> Result<()> {
        const DAY: Duration = Duration::from_secs(86_400);
        const HOUR: Duration = Duration::from_secs(3600);
        const SHORTEST: Duration = Duration::from_millis(100);
        if let Some(errors) = self.consecutive_errors {
            within("consecutive_errors", errors, 1, 10_000)?;
        }
        within("interval", self.interval, SHORTEST, HOUR)?;
        within("ejection_time", self.ejection_time, SHORTEST, DAY)?;
        within("ejection_time_max", self.ejection_time_max, self.ejection_time, DAY)?;
        within("ejection_jitter", self.ejection_jitter, Duration::ZERO, HOUR)?;
        within("ejection_percent_max", self.ejection_percent_max, 0, 100)?;
        if let Some(rate) = self.success_rate {
            within("success_rate.factor", rate.factor, 0.0, 10.0)?;
            within("success_rate.hosts_min", rate.hosts_min, 2, 65_536)?;
            within("success_rate.requests_min", rate.requests_min, 1, u32::MAX)?;
        }
        if let Some(failure) = self.failure_percentage {
            within("failure_percentage.percent", failure.percent, 1, 100)?;
            within("failure_percentage.hosts_min", failure.hosts_min, 1, 65_536)?;
            within("failure_percentage.requests_min", failure.requests_min, 1, u32::MAX)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn each_limit_holds_at_the_limit() {
        let good = Options::default;
        let ms = Duration::from_millis;
        let day = Duration::from_secs(86_400);
        let rate = |factor, hosts_min, requests_min| Options {
            success_rate: Some(SuccessRate { factor, hosts_min, requests_min }),
            ..good()
        };
        let failure = |percent, hosts_min, requests_min| {
            let failure_percentage = Some(FailurePercentage { percent, hosts_min, requests_min });
            Options { failure_percentage, ..good() }
        };
        for (what, options, fits) in [
            ("", good(), true),
            ("", Options { consecutive_errors: None, success_rate: None, ..good() }, true),
            ("consecutive_errors", Options { consecutive_errors: Some(1), ..good() }, true),
            ("consecutive_errors", Options { consecutive_errors: Some(0), ..good() }, false),
            ("consecutive_errors", Options { consecutive_errors: Some(10_001), ..good() }, false),
            ("interval", Options { interval: ms(100), ..good() }, true),
            ("interval", Options { interval: ms(99), ..good() }, false),
            ("interval", Options { interval: ms(3_600_001), ..good() }, false),
            ("ejection_time", Options { ejection_time: ms(99), ..good() }, false),
            (
                "ejection_time_max",
                Options { ejection_time: ms(5001), ejection_time_max: ms(5000), ..good() },
                false,
            ),
            ("ejection_time_max", Options { ejection_time: day, ejection_time_max: day, ..good() }, true),
            ("ejection_time_max", Options { ejection_time_max: day + ms(1), ..good() }, false),
            ("ejection_jitter", Options { ejection_jitter: ms(0), ..good() }, true),
            ("ejection_jitter", Options { ejection_jitter: ms(3_600_001), ..good() }, false),
            ("ejection_percent_max", Options { ejection_percent_max: 100, ..good() }, true),
            ("ejection_percent_max", Options { ejection_percent_max: 101, ..good() }, false),
            ("success_rate.factor", rate(10.0, 2, 1), true),
            ("success_rate.factor", rate(10.1, 2, 1), false),
            ("success_rate.factor", rate(f64::NAN, 2, 1), false),
            ("success_rate.hosts_min", rate(1.0, 1, 1), false),
            ("success_rate.hosts_min", rate(1.0, 65_537, 1), false),
            ("success_rate.requests_min", rate(1.0, 2, 0), false),
            ("failure_percentage.percent", failure(100, 1, 1), true),
            ("failure_percentage.percent", failure(101, 1, 1), false),
            ("failure_percentage.percent", failure(0, 1, 1), false),
            ("failure_percentage.hosts_min", failure(1, 0, 1), false),
            ("failure_percentage.requests_min", failure(1, 1, 0), false),
        ] {
            match options.check() {
                Ok(()) => assert!(fits, "{what} should be refused: {options:?}"),
                Err(Error::InvalidArgument { what: named, .. }) => {
                    assert!(!fits && named == what, "{what}: {named}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}
