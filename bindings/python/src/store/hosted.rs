//! A store in a loop that Python has: turned in slices, between which signals are seen to; and who turns it.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use trimtab::Error;
use trimtab::embedded;
use trimtab::time::{Clock, Instant};

use crate::errors;
use crate::store::door::Door;
use crate::wait::Until;

/// What there is of it beside the store.
pub(crate) struct Hosted {
    pub(crate) is_hosted: bool,
    /// An asyncio loop turns it.
    is_taken: AtomicBool,
}

impl Hosted {
    pub(crate) fn new(is_hosted: bool) -> Self {
        Self { is_hosted, is_taken: AtomicBool::new(false) }
    }

    /// For a loop that turns it from now on, and nobody else does.
    pub(crate) fn take(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_taken.swap(true, Ordering::AcqRel) {
            let detail = "is attached to a loop already, which turns it; share what attach gave".into();
            return Err(errors::raised(py, &Error::State { what: "store", detail }));
        }
        Ok(())
    }

    pub(crate) fn give_back(&self) {
        self.is_taken.store(false, Ordering::Release);
    }
}

impl Door {
    /// -1 once it is closed.
    pub(crate) fn poll_fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        if self.is_closed() {
            return Ok(-1);
        }
        self.of_hosted(py, embedded::Store::poll_fd)
    }

    pub(crate) fn next_deadline(&self, py: Python<'_>) -> PyResult<Option<Instant>> {
        self.of_hosted(py, embedded::Store::next_deadline)
    }

    /// Turns it in slices.
    pub(crate) fn turn(&self, py: Python<'_>, until: &Until) -> PyResult<usize> {
        loop {
            let slice = until.slice();
            let (count, is_due) = self.of_hosted(py, move |store| {
                // What becomes due within the slice ends the wait too, and is not always counted.
                let deadline = store.next_deadline()?;
                let is_due = deadline.is_some_and(|at| at.duration_since(Clock.now()) <= slice);
                Ok((store.turn(Some(slice))?, is_due))
            })?;
            py.check_signals()?;
            if count > 0 || is_due || until.is_over() {
                return Ok(count);
            }
        }
    }

    /// Calls what may complain of another state than that the store is closed.
    fn of_hosted<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&embedded::Store) -> trimtab::Result<R> + Send,
    ) -> PyResult<R> {
        let answer = self.detached(py, move |store| match call(store) {
            Err(error @ Error::State { .. }) if store.status().is_ok() => Ok(Err(error)),
            answer => answer.map(Ok),
        })?;
        answer.map_err(|error| errors::raised(py, &error))
    }
}
