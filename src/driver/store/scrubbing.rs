//! [`Scrubbing`]: when what lies on disk is read again, and what was found.

use std::time::Duration;

use crate::error::Error;
use crate::time::Instant;

/// What reading everything again has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubStatus {
    /// Passes over all of the log and its snapshot that came to their end.
    pub passes: u64,
    /// Bytes found good, of all passes.
    pub verified_bytes: u64,
    /// When the last pass ended, in milliseconds since 1970; 0: none has.
    pub finished_ms: u64,
    /// How often something was found damaged, or could not be read.
    pub damages: u64,
    /// How often a snapshot took the place of what was found damaged; in a cluster also, whether opening did without what
    /// was.
    pub mended: u64,
    /// What was found last, with file and offset; `None` once a later pass has found everything good.
    pub damage: Option<Error>,
}

/// One pass after the other, with a pause in between.
#[derive(Debug)]
pub(super) struct Scrubbing {
    interval: Option<Duration>,
    /// When the next pass begins; `None` while one is under way, or when none is to.
    begins_at: Option<Instant>,
    /// Passes begun.
    begun: u64,
    /// What the pass under way has found, the first of it.
    found: Option<Error>,
    status: ScrubStatus,
    /// Of the last pass.
    result: Option<Error>,
}

impl Scrubbing {
    pub(super) fn new(interval: Option<Duration>, now: Instant) -> Self {
        Self {
            interval,
            begins_at: interval.map(|interval| now.saturating_add(interval)),
            begun: 0,
            found: None,
            status: ScrubStatus::default(),
            result: None,
        }
    }

    pub(super) fn status(&self) -> &ScrubStatus {
        &self.status
    }

    /// Asks for a pass that begins after this; gives its number.
    pub(super) fn want(&mut self, now: Instant) -> u64 {
        if !self.is_under_way() {
            self.begins_at = Some(now);
        }
        self.begun + 1
    }

    /// Whether this pass is over: what it has found.
    pub(super) fn outcome(&self, pass: u64) -> Option<Result<(), Error>> {
        (self.status.passes >= pass).then(|| self.result.clone().map_or(Ok(()), Err))
    }

    /// Whether somebody waits for a pass that has not begun.
    pub(super) fn is_wanted(&self, pass: u64) -> bool {
        self.begun < pass
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.begun > self.status.passes
    }

    /// When the next pass begins, while none is under way.
    pub(super) fn begins_at(&self) -> Option<Instant> {
        self.begins_at.filter(|_| !self.is_under_way())
    }

    pub(super) fn begin(&mut self) {
        self.begun += 1;
        self.begins_at = None;
        self.found = None;
    }

    /// How a step went.
    pub(super) fn stepped(&mut self, verified_bytes: u64, result: Result<(), Error>) {
        self.status.verified_bytes += verified_bytes;
        if let Err(error) = result {
            self.status.damages += 1;
            self.status.damage = Some(error.clone());
            self.found.get_or_insert(error);
        }
    }

    /// The pass is over. Gives what it has found.
    pub(super) fn end(&mut self, now: Instant, clock_ms: u64) -> Option<Error> {
        self.status.passes = self.begun;
        self.status.finished_ms = clock_ms;
        self.result = self.found.take();
        if self.result.is_none() {
            self.status.damage = None;
        }
        self.begins_at = self.interval.map(|interval| now.saturating_add(interval));
        self.result.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_follow_each_other_and_tell_what_they_found() {
        let now = Instant::START;
        let hour = Duration::from_secs(3600);
        let mut scrubbing = Scrubbing::new(Some(hour), now);
        assert_eq!(scrubbing.begins_at(), Some(now.saturating_add(hour)));
        let first = scrubbing.want(now);
        assert_eq!(scrubbing.begins_at(), Some(now));
        scrubbing.begin();
        // Who asks now is told of the one after.
        let second = scrubbing.want(now);
        assert_eq!((first, second, scrubbing.begins_at()), (1, 2, None));
        let damage = Error::TimedOut { what: "damage" };
        scrubbing.stepped(10, Err(damage.clone()));
        scrubbing.stepped(5, Ok(()));
        assert_eq!(scrubbing.outcome(first), None);
        assert_eq!(scrubbing.end(now, 77), Some(damage.clone()));
        assert_eq!((scrubbing.outcome(first), scrubbing.outcome(second)), (Some(Err(damage.clone())), None));
        assert_eq!(scrubbing.status().damage, Some(damage));
        assert!(scrubbing.is_wanted(second));
        scrubbing.begin();
        assert_eq!(scrubbing.end(now, 78), None);
        let status = scrubbing.status();
        assert_eq!((status.passes, status.verified_bytes, status.damages), (2, 15, 1));
        assert_eq!(
            (status.finished_ms, &status.damage, scrubbing.outcome(second)),
            (78, &None, Some(Ok(())))
        );
        assert_eq!(Scrubbing::new(None, now).begins_at(), None);
    }
}
