//! [`Check`]: a health check of one backend in the hands of a loop that Python has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use trimtab::balance::{Address, Admin};
use trimtab::health::{Ordered, Role, State, Step};
use trimtab::server::Checker;
use trimtab::time::{Clock, Instant};

use crate::convert::{self, Key};
use crate::errors;

/// A health check of one backend, for a program that runs probes on its own loop. It has no socket, clock or thread:
/// the loop tells what happened to the probe's connection, of which there is one at a time, and takes steps until one
/// is Step.WAIT, or Step.WRITE and the socket takes no more. Then it waits for the connection, until the step's
/// deadline at most.
///
/// - config: TOML, the keys check, role and lag_max as a [[pool]] of a configuration has them:
///   'check = { kind = "http", path = "/up" }'.
/// - address: the backend's, as for Pool.add.
/// - now, here and in all methods: seconds on one clock; None reads that of time.monotonic().
///
/// The first probe falls due within one interval of now. Raises ConfigError, InvalidArgumentError, or IoError when a
/// password cannot be read, which is what making one may block for.
#[pyclass(frozen, weakref, module = "trimtab")]
pub(crate) struct Check {
    /// Locked for moments only, and only by the thread that Python runs.
    checker: Mutex<Checker>,
    target: Address,
}

#[pymethods]
impl Check {
    #[new]
    #[pyo3(signature = (config, address, *, now = None))]
    fn new(
        py: Python<'_>,
        config: &Bound<'_, PyAny>,
        address: &Bound<'_, PyAny>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (config, address) = (convert::text("config", config)?, convert::text("address", address)?);
        let now = time(now)?;
        let made = py
            .detach(|| catch_unwind(|| Checker::new(config, address, now)))
            .map_err(|panic| errors::panicked(py, "check", &*panic))?;
        let checker = made.map_err(|error| errors::raised(py, &error))?;
        let target = checker.target().clone();
        Ok(Self { checker: Mutex::new(checker), target })
    }

    /// Where the probes connect, as an address is written: the backend's address, or what the check asks for.
    #[getter]
    fn target(&self) -> String {
        self.target.to_string()
    }

    /// The IP address that probes connect to; of a unix socket the path.
    #[getter]
    fn host<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        convert::host(py, &self.target)
    }

    /// The port that probes connect to; 0 of a unix socket.
    #[getter]
    fn port(&self) -> u16 {
        convert::port(&self.target)
    }

    /// What kind of address the target is, as a Family.
    #[getter]
    fn family<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::family(py, &self.target)
    }

    /// Does what is due, and says what to do next, as a CheckStep.
    #[pyo3(signature = (now = None))]
    fn take_step<'py>(
        &self,
        py: Python<'py>,
        now: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let now = time(now)?;
        let (step, deadline, data) = self.with(py, |checker| {
            let prober = checker.prober_mut();
            let step = prober.take_step(now);
            let is_for_data = matches!(step, Step::Write | Step::Close);
            let data = if is_for_data { prober.outgoing().to_vec() } else { Vec::new() };
            (step, prober.next_deadline(), data)
        })?;
        let number = match step {
            Step::Wait => 0,
            Step::Connect => 1,
            Step::Write => 2,
            Step::Close => 3,
            Step::Change => 4,
            Step::Learn => 5,
        };
        let kind = errors::class(py, "trimtab._enums", "Step")?.call1((number,))?;
        let deadline = deadline.map(convert::seconds_of);
        errors::class(py, "trimtab._types", "CheckStep")?.call1((kind, deadline, PyBytes::new(py, &data)))
    }

    /// The probe's connection stands.
    #[pyo3(signature = (now = None))]
    fn handle_connected(&self, py: Python<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let now = time(now)?;
        self.with(py, |checker| checker.prober_mut().handle_connected(now))
    }

    /// The socket took so many bytes of a step's data.
    fn handle_written(&self, count: &Bound<'_, PyAny>) -> PyResult<()> {
        let written = convert::whole::<usize>("count", 64, count)?;
        self.with(count.py(), |checker| checker.prober_mut().handle_written(written))
    }

    /// This came on the probe's connection, in whatever pieces.
    #[pyo3(signature = (data, now = None))]
    fn handle_bytes(&self, py: Python<'_>, data: Key<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let now = time(now)?;
        self.with(py, |checker| checker.prober_mut().handle_bytes(&data.0, now))
    }

    /// The backend ended its half of the probe's connection: nothing more will come.
    #[pyo3(signature = (now = None))]
    fn handle_end(&self, py: Python<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let now = time(now)?;
        self.with(py, |checker| checker.prober_mut().handle_end(now))
    }

    /// The probe's connection could not be made, or broke: a bad verdict. why is one line.
    #[pyo3(signature = (why, now = None))]
    fn handle_failed(&self, why: &Bound<'_, PyAny>, now: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let (text, now) = (convert::text("why", why)?, time(now)?);
        self.with(why.py(), |checker| checker.prober_mut().handle_failed(text, now))
    }

    /// The probe could not be made for a reason of the program's own, such as a want of descriptors. It is no verdict.
    #[pyo3(signature = (now = None))]
    fn handle_abandoned(&self, py: Python<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let now = time(now)?;
        self.with(py, |checker| checker.prober_mut().handle_abandoned(now))
    }

    /// Traffic gave cause for doubt: the next probe comes as soon as interval_transition allows.
    #[pyo3(signature = (now = None))]
    fn handle_suspicion(&self, py: Python<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let now = time(now)?;
        self.with(py, |checker| checker.prober_mut().handle_suspicion(now))
    }

    /// How the backend stands, as a CheckState.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        let why = checker.prober().why();
        let check = checker.prober().check();
        let (observed, since) = (check.state(), convert::seconds_of(check.since()));
        let ((good, bad), counts, facts) = (check.in_a_row(), check.counts(), check.facts().clone());
        let failure = check.last_failure().map(|failure| failure.reason.to_string()).unwrap_or_default();
        drop(checker);
        let observed = match observed {
            State::Unknown => 0,
            State::Up => 1,
            State::Down => 2,
        };
        let role = match facts.role {
            None => 0,
            Some(Role::Primary) => 1,
            Some(Role::Replica) => 2,
        };
        let orders = facts.orders.unwrap_or_default();
        let admin = orders.admin.map(|ordered| match ordered {
            Ordered::Ready => Admin::Ready,
            Ordered::Drain => Admin::Drain,
            Ordered::Maintenance => Admin::Maintenance,
        });
        let admin_class = errors::class(py, "trimtab._enums", "Admin")?;
        let admin = admin.map(|admin| admin_class.call1((convert::number(admin),))).transpose()?;
        let lag = facts.lag.map(|lag| lag.as_secs_f64());
        // No tuple of Rust's is long enough for all.
        let standing = (
            errors::class(py, "trimtab._enums", "Observed")?.call1((observed,))?,
            since,
            good,
            bad,
            counts.started,
            counts.bad,
            errors::class(py, "trimtab._enums", "Role")?.call1((role,))?,
            lag,
            facts.lag_bytes,
            why,
            failure,
        )
            .into_pyobject(py)?;
        let ordered = (admin, orders.weight_percent, orders.maxconn).into_pyobject(py)?;
        let fields: Vec<_> = standing.iter().chain(ordered.iter()).collect();
        errors::class(py, "trimtab._types", "CheckState")?.call1(PyTuple::new(py, fields)?)
    }

    fn __repr__(&self) -> String {
        format!("<trimtab.Check target={}>", self.target)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::stays("Check"))
    }
}

impl Check {
    fn with<R>(&self, py: Python<'_>, call: impl FnOnce(&mut Checker) -> R) -> PyResult<R> {
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        catch_unwind(AssertUnwindSafe(|| call(&mut checker)))
            .map_err(|panic| errors::panicked(py, "check", &*panic))
    }
}

fn time(now: Option<&Bound<'_, PyAny>>) -> PyResult<Instant> {
    now.map_or_else(|| Ok(Clock.now()), convert::moment)
}
