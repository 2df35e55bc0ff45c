//! [`Detector`]: backends, the cap, ejections and their ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Options;
use super::outlier::{self, Outlier, Sample};
use crate::error::Result;
use crate::rng::Rng;
use crate::time::{self, Instant};

/// Looks after the backends of one pool. A backend is named by its owner's number.
#[derive(Clone, Debug)]
pub struct Detector {
    options: Options,
    backends: BTreeMap<u64, Backend>,
    /// Ejections by their end.
    ends: BTreeSet<(Instant, u64)>,
    /// Backends of which there may be something to tell.
    untold: BTreeSet<u64>,
    /// When rates are compared next.
    evaluation: Instant,
    spared: u64,
    ejections: u64,
}

/// What the pool is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Set the backend aside.
    Eject {
        /// Which one.
        backend: u64,
        /// Why.
        cause: EjectCause,
        /// Until when, unless something ends it before.
        until: Instant,
    },
    /// Take it back.
    Restore {
        /// Which one.
        backend: u64,
        /// Why.
        cause: RestoreCause,
    },
}

/// Why a backend was ejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EjectCause {
    /// So many errors in a row.
    ConsecutiveErrors(u32),
    /// Its success rate was below the others'. Both in percent.
    SuccessRate {
        /// Its own.
        rate: f64,
        /// The least it should have been.
        threshold: f64,
    },
    /// It failed too often. In percent.
    FailurePercentage {
        /// How often.
        percent: f64,
    },
}

/// Why an ejection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreCause {
    /// Its time was over.
    Elapsed,
    /// A check passed.
    CheckPassed,
    /// Backends were removed, and more were ejected than may be.
    Cap,
}

/// How a detector does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Backends it looks after.
    pub backends: usize,
    /// Backends that are ejected.
    pub ejected: usize,
    /// Ejections so far.
    pub ejections: u64,
    /// How often one should have been ejected and the cap kept it in.
    pub spared: u64,
}

/// How connections or requests to one backend went, as its owner counted them since it last told. What was refused
/// before any backend was asked is none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many went well.
    pub successes: u64,
    /// How many did not.
    pub failures: u64,
    /// Errors in a row, now.
    pub errors: u32,
    /// The most errors in a row there were since.
    pub errors_most: u32,
}

#[derive(Clone, Debug)]
struct Backend {
    successes: u64,
    failures: u64,
    /// Errors in a row.
    errors: u32,
    ejection: Option<Ejection>,
    /// Ejections in a row: the next one lasts one more time `ejection_time`.
    times: u32,
    /// Whether it was ejected at some time of this interval.
    is_interval_broken: bool,
    /// Why the last ejection ended.
    restored: RestoreCause,
    /// The end of the ejection that was told, if one was.
    told: Option<Instant>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    cause: EjectCause,
    until: Instant,
}

impl Detector {
    /// A detector without backends. Refuses options out of range.
    pub fn new(options: Options, now: Instant) -> Result<Self> {
        options.check()?;
        let evaluation = now.saturating_add(options.interval);
        Ok(Self {
            options,
            backends: BTreeMap::new(),
            ends: BTreeSet::new(),
            untold: BTreeSet::new(),
            evaluation,
            spared: 0,
            ejections: 0,
        })
    }

    /// Looks after a backend from now on. One that is known stays as it is.
    pub fn add(&mut self, backend: u64, rng: &mut Rng) {
        let seed = rng.next_u64();
        self.backends.entry(backend).or_insert_with(|| Backend {
            successes: 0,
            failures: 0,
            errors: 0,
            ejection: None,
            times: 0,
            is_interval_broken: false,
            restored: RestoreCause::Elapsed,
            told: None,
            rng: Rng::new(seed),
        });
    }

    /// Forgets a backend, its ejection too.
    pub fn remove(&mut self, backend: u64) {
        let Some(gone) = self.backends.remove(&backend) else { return };
        self.untold.remove(&backend);
        if let Some(ejection) = gone.ejection {
            self.ends.remove(&(ejection.until, backend));
        }
        while self.ends.len() > self.ejected_max()
            && let Some(&(_, soonest)) = self.ends.first()
        {
            self.restore(soonest, RestoreCause::Cap);
        }
    }

    /// Connections or requests to a backend went so, since its owner last told. One whose errors reached the limit
    /// meanwhile is ejected although others went well since. Those of an ejected backend do not count.
    pub fn handle_tally(&mut self, backend: u64, tally: Tally, now: Instant) {
        let Some(state) = self.backends.get_mut(&backend).filter(|state| state.ejection.is_none()) else {
            return;
        };
        state.successes = state.successes.saturating_add(tally.successes);
        state.failures = state.failures.saturating_add(tally.failures);
        state.errors = tally.errors_most;
        self.eject_by_errors(backend, now);
        if let Some(state) = self.backends.get_mut(&backend) {
            state.errors = tally.errors;
        }
    }

    /// A check of the backend passed: if it is ejected, it is taken back.
    pub fn handle_check_passed(&mut self, backend: u64) {
        self.restore(backend, RestoreCause::CheckPassed);
    }

    /// Does what is due at or before `now`: ends ejections, compares rates. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(until, backend)) = self.ends.first()
            && until <= now
        {
            self.restore(backend, RestoreCause::Elapsed);
        }
        if now >= self.evaluation {
            self.evaluate(now);
            self.evaluation = now.saturating_add(self.options.interval);
        }
    }

    /// Something to tell, or `None` until something happens. A backend that was ejected and taken back before
    /// anybody asked is not told of.
    pub fn poll_action(&mut self) -> Option<Action> {
        while let Some(backend) = self.untold.pop_first() {
            let Some(state) = self.backends.get_mut(&backend) else { continue };
            let until = state.ejection.map(|ejection| ejection.until);
            if state.told == until {
                continue;
            }
            state.told = until;
            return Some(match state.ejection {
                Some(Ejection { cause, until }) => Action::Eject { backend, cause, until },
                None => Action::Restore { backend, cause: state.restored },
            });
        }
        None
    }

    /// When `handle_timeout` is next needed; `None` while there are no backends.
    pub fn next_deadline(&self) -> Option<Instant> {
        let end = self.ends.first().map(|(until, _)| *until);
        let evaluation = (!self.backends.is_empty()).then_some(self.evaluation);
        end.into_iter().chain(evaluation).min()
    }

    /// Whether a backend is ejected.
    pub fn is_ejected(&self, backend: u64) -> bool {
        self.backends.get(&backend).is_some_and(|state| state.ejection.is_some())
    }

    /// How many backends may be ejected at once.
    pub fn ejected_max(&self) -> usize {
        let all = self.backends.len();
        match self.options.ejection_percent_max {
            0 => 0,
            100 => all,
            percent => (all * percent as usize / 100).max(1).min(all.saturating_sub(1)),
        }
    }

    /// How it does.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            backends: self.backends.len(),
            ejected: self.ends.len(),
            ejections: self.ejections,
            spared: self.spared,
        }
    }

    /// An interval is over.
    fn evaluate(&mut self, now: Instant) {
        let mut samples = Vec::new();
        let mut failing = Vec::new();
        let limit = self.options.consecutive_errors.unwrap_or(u32::MAX);
        for (&backend, state) in &mut self.backends {
            if state.ejection.is_some() {
                continue;
            }
            samples.push(Sample { backend, successes: state.successes, failures: state.failures });
            (state.successes, state.failures) = (0, 0);
            if state.errors >= limit {
                failing.push(backend);
            }
        }
        // Those that the cap spared before.
        for backend in failing {
            self.eject_by_errors(backend, now);
        }
        if let Some(options) = &self.options.success_rate {
            for Outlier { backend, rate, threshold } in outlier::by_success_rate(&samples, options) {
                self.eject(backend, EjectCause::SuccessRate { rate, threshold }, now);
            }
        }
        if let Some(options) = &self.options.failure_percentage {
            for Outlier { backend, rate, .. } in outlier::by_failure_percentage(&samples, options) {
                self.eject(backend, EjectCause::FailurePercentage { percent: 100.0 - rate }, now);
            }
        }
        for state in self.backends.values_mut().filter(|state| state.ejection.is_none()) {
            if !std::mem::take(&mut state.is_interval_broken) {
                state.times = state.times.saturating_sub(1);
            }
        }
    }

    fn eject_by_errors(&mut self, backend: u64, now: Instant) {
        let errors = self.backends.get(&backend).map_or(0, |state| state.errors);
        if self.options.consecutive_errors.is_some_and(|limit| errors >= limit) {
            self.eject(backend, EjectCause::ConsecutiveErrors(errors), now);
        }
    }

    /// Ejects a backend, unless it is or the cap keeps it in.
    fn eject(&mut self, backend: u64, cause: EjectCause, now: Instant) {
        let has_room = self.ends.len() < self.ejected_max();
        let Some(state) = self.backends.get_mut(&backend).filter(|state| state.ejection.is_none()) else {
            return;
        };
        if !has_room {
            self.spared += 1;
            return;
        }
        let base = time::nanos(self.options.ejection_time);
        let most = time::nanos(self.options.ejection_time_max);
        // Counted no higher than makes a difference, so that it comes down again as soon.
        let times_max = most.div_ceil(base);
        state.times = state.times.saturating_add(1).min(u32::try_from(times_max).unwrap_or(u32::MAX));
        let jitter = state.rng.below(time::nanos(self.options.ejection_jitter).saturating_add(1));
        let nanos = base.saturating_mul(u64::from(state.times)).min(most).saturating_add(jitter);
        let until = now.saturating_add(Duration::from_nanos(nanos));
        state.ejection = Some(Ejection { cause, until });
        state.is_interval_broken = true;
        self.ends.insert((until, backend));
        self.untold.insert(backend);
        self.ejections += 1;
    }

    /// Ends an ejection. What came before it does not count any more.
    fn restore(&mut self, backend: u64, cause: RestoreCause) {
        let Some(state) = self.backends.get_mut(&backend) else { return };
        let Some(ejection) = state.ejection.take() else { return };
        (state.successes, state.failures, state.errors) = (0, 0, 0);
        state.restored = cause;
        self.ends.remove(&(ejection.until, backend));
        self.untold.insert(backend);
    }
}

#[cfg(test)]
mod tests;
