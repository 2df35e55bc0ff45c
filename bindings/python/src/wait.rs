//! Waiting in slices, between which signals are seen to.

use std::time::{Duration, Instant};

use crate::convert::Timeout;

/// The end of a wait.
pub(crate) struct Until(Option<Instant>);

impl Until {
    pub(crate) fn new(timeout: &Timeout) -> Self {
        // What is too far away to be a moment is never.
        Self(timeout.0.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// How long to wait before the next look at signals.
    pub(crate) fn slice(&self) -> Duration {
        self.0.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()).min(SLICE))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_some_and(|until| until <= Instant::now())
    }
}

/// How long a signal may wait to be seen to: a wait for a lock or for descriptors does not always end with one.
pub(crate) const SLICE: Duration = Duration::from_millis(50);
