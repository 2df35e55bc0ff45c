//! Slow start: a backend that comes into service gets its share of new picks little by little, so that one
//! with empty caches is not overrun.
//!
//! Its weight counts as `weight * max(minimum, (age / window) ^ (1 / aggression))`, as Envoy has it
//! (`slow_start.rst`); with aggression 1 that is HAProxy's straight line. It begins when a backend becomes
//! usable while the pool is in use: added, up or unknown after down or ejected, ready after drain or
//! maintenance. Before the pool's first pick nothing starts slowly.
//!
//! Whoever picks or reports first after a step is due takes it: the next member table is built with the
//! weights of that moment, [`STEPS`] times in a window at most however many backends start.

use crate::balance::options::{Options, Policy};
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Instant, nanos};

/// How far one backend has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Start {
    /// `None` until somebody says what time it is.
    began: Option<Instant>,
    /// The part of its weight that counts, in percent.
    percent: u32,
}

impl Start {
    /// Begins, where the options say so.
    pub(crate) fn begin(options: &Options, now: Option<Instant>) -> Option<Self> {
        is_on(options).then(|| Self { began: now, percent: percent(options, 0.0) })
    }

    /// Where it stands at `now`; `None` when it is over.
    pub(crate) fn at(self, options: &Options, now: Instant) -> Option<Self> {
        let began = self.began.unwrap_or(now);
        let age = now.nanos_since(began) as f64 / nanos(options.slow_start) as f64;
        (age < 1.0).then(|| Self { began: Some(began), percent: percent(options, age) })
    }

    /// The part of the weight that counts.
    pub(crate) fn part(self) -> f64 {
        f64::from(self.percent) / f64::from(WHOLE)
    }
}

/// Whether backends of such a pool start slowly. Where weights decide nothing there is nothing to be gained;
/// the weights of static are nobody's to change, and those of the hash policies place keys, which must not
/// move twice.
pub(crate) fn is_on(options: &Options) -> bool {
    let weighs = !matches!(options.policy, Policy::Static | Policy::First | Policy::Source | Policy::Hash);
    weighs && !options.slow_start.is_zero()
}

/// The weight that counts. In a pool with slow start every weight is given in percent, so that a weight of 1
/// has parts.
pub(crate) fn weight(options: &Options, weight: u32, start: Option<Start>) -> u32 {
    if is_on(options) { weight * start.map_or(WHOLE, |start| start.percent) } else { weight }
}

fn percent(options: &Options, age: f64) -> u32 {
    let part = age.powf(1.0 / options.slow_start_aggression).max(options.slow_start_min);
    // Not all of it: that is for whoever is through.
    ((part * f64::from(WHOLE)).round() as u32).clamp(1, WHOLE - 1)
}

/// When the next step is due.
#[derive(Debug)]
pub(crate) struct Steps {
    next: AtomicU64,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { next: AtomicU64::new(0) }
    }

    /// When a step is due, if a backend is starting.
    #[inline]
    pub(crate) fn next(&self) -> Instant {
        Instant::from_nanos(self.next.load(Ordering::Relaxed))
    }

    /// Whether the caller is the one to take the step that is due at `now`. A caller that never comes to
    /// taking it, in a process that forked meanwhile, delays it by one step.
    pub(crate) fn claim(&self, options: &Options, now: Instant) -> bool {
        let due = self.next.load(Ordering::Relaxed);
        let later = now.saturating_add(options.slow_start / STEPS).as_nanos();
        now.as_nanos() >= due
            && self.next.compare_exchange(due, later, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// How often in a window weights are set anew, as HAProxy does.
pub(crate) const STEPS: u32 = 20;
/// All of a weight.
const WHOLE: u32 = 100;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn options(aggression: f64) -> Options {
        let slow_start = Duration::from_secs(10);
        Options { slow_start, slow_start_aggression: aggression, ..Options::default() }
    }

    /// The percentages at each tenth of the window.
    fn curve(options: &Options) -> Vec<u32> {
        let start = Start::begin(options, Some(Instant::from_millis(500))).unwrap();
        (0..10)
            .map(|second| start.at(options, Instant::from_millis(500 + second * 1_000)).unwrap().percent)
            .collect()
    }

    #[test]
    fn follows_envoys_formula() {
        assert_eq!(curve(&options(1.0)), [10, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
        assert_eq!(curve(&options(2.0)), [10, 32, 45, 55, 63, 71, 77, 84, 89, 95]);
        assert_eq!(curve(&options(0.5)), [10, 10, 10, 10, 16, 25, 36, 49, 64, 81]);
        let tiny = Options { slow_start_min: 0.01, ..options(0.1) };
        assert_eq!(curve(&tiny), [1, 1, 1, 1, 1, 1, 1, 3, 11, 35]);
    }

    #[test]
    fn ends_with_the_window_and_begins_when_the_time_is_told() {
        let options = options(1.0);
        let start = Start::begin(&options, None).unwrap();
        let told = start.at(&options, Instant::from_millis(5_000)).unwrap();
        assert_eq!(told.percent, 10);
        assert_eq!(told.at(&options, Instant::from_millis(10_000)).unwrap().percent, 50);
        assert!(told.at(&options, Instant::from_millis(14_999)).unwrap().part() < 1.0);
        assert_eq!(told.at(&options, Instant::from_millis(15_000)), None);
    }

    #[test]
    fn one_caller_takes_a_step_and_it_is_not_due_again_at_once() {
        let options = options(1.0);
        let steps = Steps::new();
        let at = Instant::from_millis;
        assert!(steps.claim(&options, at(3)) && !steps.claim(&options, at(3)));
        assert!(!steps.claim(&options, at(502)) && steps.claim(&options, at(503)));
        assert_eq!(steps.next(), at(1_003));
    }

    #[test]
    fn weights_stay_what_they_are_without_it() {
        assert_eq!(weight(&Options::default(), 7, None), 7);
        assert_eq!(weight(&options(1.0), 7, None), 700);
        assert_eq!(weight(&options(1.0), 7, Start::begin(&options(1.0), None)), 70);
        for policy in [Policy::Static, Policy::First, Policy::Source, Policy::Hash] {
            let options = Options { policy, ..options(1.0) };
            assert_eq!((weight(&options, 7, None), Start::begin(&options, None)), (7, None));
        }
    }
}
