//! [`Pick`]: the backend that was picked, and what leaving its `with` block reports.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::exceptions::{PyConnectionRefusedError, PyException, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use trimtab::Error;
use trimtab::balance::{self, Outcome, Timings};
use trimtab::time::{Clock, Instant};

use crate::convert::{self, Chosen};
use crate::errors;
use crate::pool::{self, Pool};

/// The answer of Pool.pick. It counts as in flight on its backend until it is reported done.
///
/// In a with statement, leaving the block reports it, with the time since the block was entered as its
/// total, unless it was reported inside. Success when nothing was raised; timed-out for TimeoutError,
/// connect-failed for ConnectionRefusedError, failed for any other Exception; cancelled for what is raised
/// to end the work and says nothing about the backend: asyncio.CancelledError, KeyboardInterrupt,
/// SystemExit, GeneratorExit. Nothing is held back. A pool closed meanwhile is told nothing, nor one of a
/// server by a child made by fork.
#[pyclass(frozen, module = "trimtab")]
pub(crate) struct Pick {
    inner: balance::Pick,
    pool: Py<Pool>,
    /// When its block was entered, in nanoseconds; 0 when it was not.
    entered: AtomicU64,
    /// Whether it was reported: what the end of the block asks.
    is_reported: AtomicBool,
}

#[pymethods]
impl Pick {
    /// The id of the backend.
    #[getter]
    fn backend(&self) -> u64 {
        self.inner.backend.as_u64()
    }

    /// The number its owner gave the backend.
    #[getter]
    fn tag(&self) -> u64 {
        self.inner.tag
    }

    /// What Pool.done takes in place of the pick; good once.
    #[getter]
    fn token(&self) -> u64 {
        self.inner.token.as_u64()
    }

    /// Where the backend listens, as Pool.add takes it.
    #[getter]
    fn address(&self) -> String {
        self.inner.address.to_string()
    }

    /// The IP address, with the scope of a link-local one; of a unix socket the path.
    #[getter]
    fn host<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        convert::host(py, &self.inner.address)
    }

    /// The port; 0 of a unix socket.
    #[getter]
    fn port(&self) -> u16 {
        convert::port(&self.inner.address)
    }

    /// What kind of address it is, as a Family.
    #[getter]
    fn family<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::family(py, &self.inner.address)
    }

    /// Reports how the pick went. See Pool.done.
    #[pyo3(signature = (outcome = None, *, connect = None, first_byte = None, total = None, now = None),
        text_signature = "($self, outcome=..., *, connect=None, first_byte=None, total=None, now=None)")]
    #[inline]
    fn done(
        &self,
        py: Python<'_>,
        outcome: Option<Chosen<Outcome>>,
        connect: Option<&Bound<'_, PyAny>>,
        first_byte: Option<&Bound<'_, PyAny>>,
        total: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let outcome = outcome.map_or(Outcome::Success, |chosen| chosen.0);
        let timings = pool::timings(connect, first_byte, total)?;
        self.report(py, None, outcome, &timings, self.pool.get().now(now)?)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf.get().entered.store(Clock.now().as_nanos(), Ordering::Relaxed);
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if self.is_reported.load(Ordering::Relaxed) || self.pool.get().is_gone() {
            return Ok(());
        }
        let outcome = outcome_of(error);
        let now = Clock.now();
        let entered = Instant::from_nanos(self.entered.load(Ordering::Relaxed));
        let timings = Timings { total: Some(now.nanos_since(entered)), ..Timings::default() };
        self.report(py, None, outcome, &timings, now)
    }

    fn __repr__(&self) -> String {
        format!("<trimtab.Pick backend={} address={}>", self.inner.backend, self.inner.address)
    }
}

impl Pick {
    #[inline]
    pub(crate) fn new(inner: balance::Pick, pool: Py<Pool>) -> Self {
        Self { inner, pool, entered: AtomicU64::new(0), is_reported: AtomicBool::new(false) }
    }

    /// Reports the pick to its pool. `asked` is the one that was asked to: another pool refuses.
    #[inline]
    pub(crate) fn report(
        &self,
        py: Python<'_>,
        asked: Option<&Bound<'_, Pool>>,
        outcome: Outcome,
        timings: &Timings,
        now: Instant,
    ) -> PyResult<()> {
        let pool = asked.map_or(self.pool.get(), |asked| asked.get());
        if !pool.is_same(self.pool.get()) {
            return Err(errors::raised(py, &Error::StalePick));
        }
        pool.report(py, self.inner.token, outcome, timings, now)?;
        self.is_reported.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// What the way a block was left says of the backend.
fn outcome_of(error: &Bound<'_, PyAny>) -> Outcome {
    if error.is_none() {
        Outcome::Success
    } else if error.is_instance_of::<PyTimeoutError>() {
        Outcome::TimedOut
    } else if error.is_instance_of::<PyConnectionRefusedError>() {
        Outcome::ConnectFailed
    } else if error.is_instance_of::<PyException>() {
        Outcome::Failed
    } else {
        Outcome::Cancelled
    }
}
