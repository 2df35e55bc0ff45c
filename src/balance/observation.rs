//! What was observed of a backend, since when, and why. The reason may hold what a peer sent, so it is cut
//! and its control characters are replaced.

use std::sync::Arc;

use crate::balance::backend::Observed;
pub use crate::health::reason::REASON_MAX;
use crate::health::reason::cleaned;
use crate::time::Instant;

/// One backend's observed state.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) observed: Observed,
    /// When that came to be; `None` while nobody has said.
    pub(crate) since: Option<Instant>,
    pub(crate) reason: Option<Arc<str>>,
    /// What it was before the pool ejected it as an outlier, while that lasts.
    before: Option<Observed>,
}

impl Observation {
    pub(crate) fn new(observed: Observed) -> Self {
        Self { observed, since: None, reason: None, before: None }
    }

    /// Takes note. The same state again keeps its `since`, and its reason unless there is a new one. A state
    /// without a reason forgets the last state's. Whatever is noted is the owner's word, so an ejection of the
    /// pool's is over.
    pub(crate) fn set(&mut self, observed: Observed, reason: Option<&str>, now: Option<Instant>) {
        let is_new = self.observed != observed;
        self.observed = observed;
        self.before = None;
        if is_new {
            self.since = now;
            self.reason = None;
        }
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.reason = Some(cleaned(reason).into());
        }
    }
}

impl Observation {
    /// Whether the pool itself ejected it.
    pub(crate) fn is_set_aside(&self) -> bool {
        self.before.is_some()
    }

    /// The pool ejects it.
    pub(crate) fn set_aside(&mut self, reason: &str, now: Instant) {
        let before = self.observed;
        self.set(Observed::Ejected, Some(reason), Some(now));
        self.before = Some(before);
    }

    /// An ejection of the pool's is over: it is what it was.
    pub(crate) fn take_back(&mut self, now: Option<Instant>) {
        if let Some(before) = self.before {
            self.set(before, None, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: Option<Instant> = Some(Instant::from_millis(1));
    const LATE: Option<Instant> = Some(Instant::from_millis(2));

    #[test]
    fn the_same_state_again_keeps_when_it_began() {
        let mut seen = Observation::new(Observed::Unknown);
        seen.set(Observed::Down, Some("refused"), EARLY);
        assert_eq!((seen.since, seen.reason.as_deref()), (EARLY, Some("refused")));
        seen.set(Observed::Down, None, LATE);
        assert_eq!((seen.since, seen.reason.as_deref()), (EARLY, Some("refused")));
        seen.set(Observed::Down, Some("timed out"), LATE);
        assert_eq!((seen.since, seen.reason.as_deref()), (EARLY, Some("timed out")));
        seen.set(Observed::Up, None, LATE);
        assert_eq!((seen.since, seen.reason.as_deref()), (LATE, None));
        seen.set(Observed::Down, Some(""), None);
        assert_eq!((seen.since, seen.reason.as_deref()), (None, None), "nobody said when or why");
    }
}
