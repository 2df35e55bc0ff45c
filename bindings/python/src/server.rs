//! [`Server`]: the library's server with a door that can be shut, and the ways Python waits for it.
//!
//! Whatever may wait lets go of the interpreter first, for the server's threads may be waiting for it, to call
//! `on_event`. That holds for the last drop too.

use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pyo3::exceptions::PyResourceWarning;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use trimtab::Error;
use trimtab::embedded;
use trimtab::server::{self, Config, State};
use trimtab::time::{Clock, Instant};

use crate::convert::{self, Timeout};
use crate::events::Listener;
use crate::pool::Pool;
use crate::wait::Until;
use crate::{descriptor, errors, exit};

/// Listeners that relay connections to pools, made from one configuration: the TOML text that the command
/// trimtab takes as a file.
///
/// It runs on threads of its own (start, or a with statement) or in a loop that Python has (start_hosted,
/// trimtab.aio). Leaving its with block closes it. Any thread may call anything at any time; whatever waits
/// lets other threads run. Making one opens nothing and starts no thread.
///
/// - config: TOML. source: what errors call it.
/// - on_event: called with each Event, on the thread that made it happen: one of the server's own, or one that
///   is in a call here or on one of its pools. Two threads may be in it at once. It must not wait for long:
///   that thread's sessions wait too. It may call anything here but turn; wait is refused on a thread of the
///   server's own. What it raises goes to sys.unraisablehook.
///
/// Raises ConfigError, whose problems tell all that is wrong. After a fork the server is the parent's: in the
/// child everything but close, closed and repr raises ForkedError, and nothing waits.
#[pyclass(frozen, weakref, module = "trimtab")]
pub(crate) struct Server {
    /// `None` once closed. Locked for moments only, and only by the thread that Python runs; who works without
    /// the interpreter has an `Arc` of its own and drops it before it takes the interpreter back.
    core: RwLock<Option<Arc<Core>>>,
    listener: Option<Arc<Listener>>,
    /// Who is called, once, when a hosted server has ended. Locked like `core`.
    host: RwLock<Option<Py<PyAny>>>,
    pid: u32,
}

/// The server, for as long as somebody uses it.
pub(crate) struct Core {
    server: server::Server,
    is_hosted: AtomicBool,
    /// Somebody brings it to its end, in which a hosted server is turned.
    is_closing: AtomicBool,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (config, *, source = None, on_event = None),
        text_signature = "(config, *, source='<string>', on_event=None)")]
    fn new(
        config: &Bound<'_, PyAny>,
        source: Option<&Bound<'_, PyAny>>,
        on_event: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let text = convert::text("config", config)?;
        let source = source.map_or(Ok("<string>"), |source| convert::text("source", source))?;
        Self::made(config.py(), on_event, || Config::parse(text, source))
    }

    /// Makes one from a configuration's file. Blocks while it is read. Raises ConfigError, or IoError when it
    /// cannot be read.
    #[staticmethod]
    #[pyo3(signature = (path, *, on_event = None))]
    fn from_file(py: Python<'_>, path: PathBuf, on_event: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        Self::made(py, on_event, || Config::read(&path))
    }

    /// Listens, and relays on threads of its own, as many as runtime.workers says; none of them takes signals.
    /// Every listener listens when this returns. At the interpreter's exit it is stopped.
    ///
    /// Raises IoError for what could not be bound, after which it may be tried again; StateError when it was
    /// started before.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core(py)?;
        exit::watch(&core);
        self.detached(py, core, |core| core.server.start())
    }

    /// Listens, and relays in turn only, on the thread that calls that: no thread is made. A loop waits until
    /// the server is readable, as select and selectors do with the object itself, for next_timeout at most;
    /// calls turn; and goes on until state is STOPPED. trimtab.aio does so in asyncio. Raises what start does.
    ///
    /// Its store has no threads either: turn does its work too, and waits for the disk where that writes. Only a node of a
    /// cluster has threads of its own, and a backup ordered through the admin interface one while it is made.
    fn start_hosted(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core(py)?;
        exit::watch(&core);
        self.detached(py, core, |core| {
            core.server.start_hosted()?;
            core.is_hosted.store(true, Ordering::Release);
            Ok(())
        })
    }

    /// The descriptor of a hosted server, readable when turn has something to do; -1 once it has ended. It is
    /// the server's: neither read nor close it, and take it out of a selector when state is STOPPED. Raises
    /// StateError when it is not hosted.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        if self.is_closed() {
            return Ok(-1);
        }
        self.detached(py, self.core(py)?, |core| match core.server.poll_fd() {
            // As of a socket that is closed, so that it can still be taken out of a selector.
            Err(Error::State { .. }) if core.is_hosted.load(Ordering::Acquire) => Ok(-1),
            descriptor => descriptor,
        })
    }

    /// Handles what has happened on a hosted server and tells how much there was.
    ///
    /// - timeout: waits for something to happen so many seconds at most (or a timedelta); 0 (default) only
    ///   looks, None waits as long as it takes. Ctrl-C ends the wait.
    ///
    /// Raises StateError when it is not hosted, has ended, or is being turned already, by another thread or
    /// around this call, in on_event; IoError when the system refuses to wait, which ends it.
    #[pyo3(signature = (timeout = Timeout::NONE), text_signature = "($self, timeout=0.0)")]
    fn turn(&self, py: Python<'_>, timeout: Timeout) -> PyResult<usize> {
        let core = self.core(py)?;
        let count = self.turned(py, &core, &Until::new(&timeout));
        py.detach(|| drop(core));
        count
    }

    /// When turn is needed even if nothing happens, in seconds on the clock of time.monotonic(); None while
    /// nothing is pending. Ask again after each turn. Raises StateError when it is not hosted or has ended.
    fn next_deadline(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        Ok(self.due(py)?.map(convert::seconds_of))
    }

    /// The same as select takes it: seconds from now, 0.0 for at once.
    fn next_timeout(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        Ok(self.due(py)?.map(|deadline| deadline.duration_since(Clock.now()).as_secs_f64()))
    }

    /// Accepts nothing new and lets sessions end by themselves; those that have not when timeout is over are
    /// cut. Does not wait: wait does, and turn for a hosted server. Called again it sets the time anew.
    ///
    /// - timeout: seconds or timedelta; None takes the longest timeouts.drain of the listeners.
    ///
    /// Raises StateError before it is started; nothing when it has ended.
    #[pyo3(signature = (timeout = Timeout::EVER), text_signature = "($self, timeout=None)")]
    fn drain(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.detached(py, self.core(py)?, |core| core.server.drain(timeout.0))
    }

    /// Ends it: every session is cut. Does not wait: wait does. A hosted server ends in its next turn, for
    /// which it becomes readable, or when it is closed. Good in any state; a server that was not started never
    /// will be.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.detached(py, self.core(py)?, |core| core.server.stop())?;
        self.told_host(py);
        Ok(())
    }

    /// Waits until it has ended and its threads are gone. Ctrl-C ends the wait, not the server.
    ///
    /// - timeout: seconds or timedelta; None (default) waits as long as it takes.
    ///
    /// Raises TimedOutError; StateError when it is not started, when it is hosted and has not ended, and on a
    /// thread of the server's own, in on_event.
    #[pyo3(signature = (timeout = Timeout::EVER), text_signature = "($self, timeout=None)")]
    fn wait(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        let core = self.core(py)?;
        let ended = core.wait(py, &Until::new(&timeout));
        py.detach(|| drop(core));
        self.settled(py, ended?)
    }

    /// Stops it, waits for its threads and gives back all it has; once is enough, and more does no harm. What
    /// is called afterwards raises ClosedError, and no event is told any more. Its pools go on.
    ///
    /// Ctrl-C ends the wait and leaves it open. It does not wait for a thread that turns it, nor in on_event
    /// on a thread of its own. In a child made by fork it lets go of the parent's server.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(core) = core else { return Ok(()) };
        if !self.is_foreign() {
            core.order_stop(py);
            let ended = core.wait_after_stop(py);
            self.told_host(py);
            if ended.is_err() {
                py.detach(|| drop(core));
                return ended;
            }
        }
        self.shut(py);
        py.detach(|| drop(core));
        Ok(())
    }

    /// Whether close was called, or a panic closed the server.
    #[getter]
    fn closed(&self) -> bool {
        self.is_closed()
    }

    /// Starts it on threads of its own, unless it is started already.
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let py = slf.py();
        if matches!(slf.get().core(py)?.server.state(), State::New | State::Stopped) {
            slf.get().start(py)?;
        }
        Ok(slf)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    /// What it does, as a ServerState.
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let number = self.core(py)?.server.state() as u8;
        errors::class(py, "trimtab._enums", "ServerState")?.call1((number,))
    }

    /// Where a listener listens, as the configuration writes addresses, with the port that the system chose
    /// where it was asked to. Raises NotFoundError, or StateError before it is started.
    fn address(&self, py: Python<'_>, listener: &Bound<'_, PyAny>) -> PyResult<String> {
        let name = convert::text("listener", listener)?;
        self.detached(py, self.core(py)?, |core| Ok(core.server.address(name)?.to_string()))
    }

    /// Where the admin socket listens; None when the configuration has no admin. Raises StateError before it
    /// is started.
    #[getter]
    fn admin_address(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.detached(py, self.core(py)?, |core| {
            Ok(core.server.admin_address()?.map(|address| address.to_string()))
        })
    }

    /// A pool of the server, to add, remove and change backends while it runs, to pick from, to ask. Changes
    /// hold for the relay at once. It is good beyond the server's end. Raises NotFoundError.
    fn pool(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Pool> {
        let name = convert::text("name", name)?;
        let pool = self.detached(py, self.core(py)?, |core| core.server.pool(name))?;
        Ok(Pool::of_server(pool, self.pid))
    }

    /// The store of the configuration, as a Store: the same keys that Redis clients see. Each time another handle of it,
    /// which need not be closed: closing it, or leaving its with block, lets go of the handle alone. The server closes the
    /// store when it ends, and what is called of it afterwards raises ClosedError.
    ///
    /// Raises NotFoundError when the configuration has no [store]; StateError before it is started, and when it has ended.
    #[getter]
    fn store<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        errors::class(slf.py(), "trimtab._store", "Store")?.call_method1("_of_server", (slf,))
    }

    /// Hands over a socket that listens already, in place of the listener's bind: from a service manager, or
    /// from the process that this one replaces.
    ///
    /// - socket: a socket or a descriptor. The server takes a duplicate: the caller's stays the caller's, to
    ///   close now or later. Both are one socket, which does not block any more. It stays open as long as one
    ///   of them is.
    ///
    /// Raises NotFoundError for the listener, InvalidArgumentError for a closed socket, IoError for what is no
    /// stream socket that listens, StateError once it is started.
    fn adopt(&self, py: Python<'_>, listener: &Bound<'_, PyAny>, socket: &Bound<'_, PyAny>) -> PyResult<()> {
        let core = self.core(py)?;
        let name = convert::text("listener", listener)?;
        let descriptor = descriptor::duplicate(socket, &format!("adopt a socket for {name}"))?;
        self.detached(py, core, move |core| core.server.adopt(name, descriptor))
    }

    /// What it counted since it was started, all listeners together, as a ServerStatistics.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let counted = self.detached(py, self.core(py)?, |core| core.server.statistics())?;
        errors::class(py, "trimtab._types", "ServerStatistics")?.call1((
            counted.sessions,
            counted.waiting,
            counted.accepted,
            counted.finished,
            counted.failed,
            counted.retries,
            counted.bytes_to_backends,
            counted.bytes_to_clients,
        ))
    }

    /// What it counted of one listener, as a ListenerStatistics. Raises NotFoundError, or StateError before it
    /// is started.
    fn listener_statistics<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'_, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = convert::text("name", name)?;
        let counted = self.detached(py, self.core(py)?, |core| core.server.listener_statistics(name))?;
        let closed = PyDict::new(py);
        for (cause, count) in &counted.closed {
            closed.set_item(cause, count)?;
        }
        errors::class(py, "trimtab._types", "ListenerStatistics")?.call1((
            counted.name,
            counted.address,
            counted.pool,
            counted.maxconn,
            counted.sessions,
            counted.accepted,
            counted.accept_errors,
            counted.retries,
            counted.queued,
            counted.bytes_to_backends,
            counted.bytes_to_clients,
            closed,
        ))
    }

    /// Everything there is to see, as a dict (Status): its state, totals, listeners, pools and their backends.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let text = self.detached(py, self.core(py)?, |core| {
            let status = core.server.status()?;
            Ok(serde_json::to_string(&status).expect("its keys are text and it lives in memory"))
        })?;
        py.import("json")?.call_method1("loads", (text,))
    }

    /// Names who is called, without arguments and once, when the hosted server has ended, by the thread that
    /// ended it; at once when it has. For trimtab.aio.
    fn _set_host(&self, py: Python<'_>, host: Option<Bound<'_, PyAny>>) {
        let before = std::mem::replace(
            &mut *self.host.write().unwrap_or_else(PoisonError::into_inner),
            host.map(Bound::unbind),
        );
        drop(before);
        self.told_host(py);
    }

    fn __repr__(&self) -> String {
        if self.is_foreign() {
            return "<trimtab.Server of another process>".into();
        }
        match &*self.core.read().unwrap_or_else(PoisonError::into_inner) {
            Some(core) => {
                let (state, config) = (core.server.state().name(), core.server.config());
                let listeners: Vec<_> = config.listeners.iter().map(|listener| &*listener.name).collect();
                format!("<trimtab.Server state={state} listeners={}>", listeners.join(","))
            }
            None => "<trimtab.Server closed>".into(),
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::stays("Server"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(listener) = &self.listener {
            listener.traverse(&visit)?;
        }
        match self.host.try_read() {
            Ok(host) => visit.call(&*host),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        if let Some(listener) = &self.listener {
            listener.close();
        }
        let host = self.host.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(host);
    }

    /// Panics inside the server.
    #[cfg(feature = "test-hook")]
    fn _test_panic(&self, py: Python<'_>) -> PyResult<()> {
        self.detached(py, self.core(py)?, |_| panic!("asked to"))
    }
}

impl Server {
    fn made(
        py: Python<'_>,
        on_event: Option<Bound<'_, PyAny>>,
        read: impl FnOnce() -> trimtab::Result<Config> + Send,
    ) -> PyResult<Self> {
        if let Some(function) = &on_event
            && !function.is_callable()
        {
            return Err(convert::wrong_argument("on_event", "a function of one Event", function));
        }
        let listener = on_event.map(|function| Listener::new(function.unbind()));
        let told = listener.clone();
        let make = || {
            let config = read()?;
            match told {
                Some(listener) => server::Server::with_events(config, move |event| listener.tell(event)),
                None => server::Server::new(config),
            }
        };
        let made = py
            .detach(|| catch_unwind(AssertUnwindSafe(make)))
            .map_err(|panic| errors::panicked(py, "server", &*panic))?
            .map_err(|error| errors::raised(py, &error))?;
        let core =
            Core { server: made, is_hosted: AtomicBool::new(false), is_closing: AtomicBool::new(false) };
        Ok(Self {
            core: RwLock::new(Some(Arc::new(core))),
            listener,
            host: RwLock::new(None),
            pid: std::process::id(),
        })
    }

    /// The store, for who makes a handle of it.
    pub(crate) fn store_of_it(&self, py: Python<'_>) -> PyResult<embedded::Store> {
        self.detached(py, self.core(py)?, |core| core.server.store())
    }

    fn is_closed(&self) -> bool {
        self.core.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Whether the server is the parent's, and this a child made by fork.
    fn is_foreign(&self) -> bool {
        self.pid != std::process::id()
    }

    /// What there is to call. Drop it without the interpreter, but for what was only looked at.
    fn core(&self, py: Python<'_>) -> PyResult<Arc<Core>> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner);
        let Some(core) = &*core else { return Err(errors::closed(py, "server")) };
        if self.is_foreign() { Err(errors::forked(py, "server")) } else { Ok(Arc::clone(core)) }
    }

    /// Calls into the server while other Python threads run.
    fn detached<R: Send>(
        &self,
        py: Python<'_>,
        core: Arc<Core>,
        call: impl FnOnce(&Core) -> trimtab::Result<R> + Send,
    ) -> PyResult<R> {
        let result = py.detach(move || {
            let result = catch_unwind(AssertUnwindSafe(|| call(&core)));
            drop(core);
            result
        });
        self.settled(py, result)
    }

    fn settled<R>(&self, py: Python<'_>, result: std::thread::Result<trimtab::Result<R>>) -> PyResult<R> {
        match result {
            Ok(result) => result.map_err(|error| errors::raised(py, &error)),
            Err(panic) => {
                self.shut(py);
                Err(errors::panicked(py, "server", &*panic))
            }
        }
    }

    /// When it is due; `None` also while another thread closes it.
    fn due(&self, py: Python<'_>) -> PyResult<Option<Instant>> {
        self.detached(py, self.core(py)?, |core| match core.server.next_deadline() {
            // Another thread closes it, and has just done what there was to do.
            Err(Error::State { .. }) if core.is_closing() && core.server.state() != State::Stopped => {
                Ok(None)
            }
            due => due,
        })
    }

    /// Turns it in slices, between which signals are seen to.
    fn turned(&self, py: Python<'_>, core: &Arc<Core>, until: &Until) -> PyResult<usize> {
        let mut is_first = true;
        loop {
            let slice = until.slice();
            let turn = move |core: &Core| {
                // A deadline within the slice ends the wait too, and is nothing that is counted.
                let deadline = core.server.next_deadline()?;
                let is_due = deadline.is_some_and(|at| at.duration_since(Clock.now()) <= slice);
                Ok((core.server.turn(Some(slice))?, is_due))
            };
            let (count, is_due) = self.detached(py, Arc::clone(core), move |core| match turn(core) {
                // Another thread ended it between two slices of one wait.
                Err(Error::State { .. }) if !is_first && core.server.state() == State::Stopped => {
                    Ok((0, true))
                }
                // Another thread closes it, and does what there was to do.
                Err(Error::State { .. }) if core.is_closing() && core.server.state() != State::Stopped => {
                    Ok((0, true))
                }
                turned => turned,
            })?;
            is_first = false;
            py.check_signals()?;
            let is_over = self.told_host(py);
            if count > 0 || is_due || is_over || until.is_over() {
                return Ok(count);
            }
        }
    }

    /// Shuts the door. If nobody is in a call, the server ends with this.
    fn shut(&self, py: Python<'_>) {
        let core = self.core.write().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| drop(core));
        if let Some(listener) = &self.listener {
            listener.close();
        }
    }

    /// Whether it has ended. If so, and it was not yet, its host is told.
    fn told_host(&self, py: Python<'_>) -> bool {
        let is_over = match &*self.core.read().unwrap_or_else(PoisonError::into_inner) {
            Some(core) => core.server.state() == State::Stopped,
            None => true,
        };
        if is_over {
            let host = self.host.write().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(host) = host
                && let Err(error) = host.call0(py)
            {
                error.write_unraisable(py, Some(host.bind(py)));
            }
        }
        is_over
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(core) = self.core.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if self.is_foreign() {
            return;
        }
        let is_running = matches!(core.server.state(), State::Running | State::Draining);
        if !is_running {
            // Nothing to wait for, nor anything to tell.
            if let Some(listener) = &self.listener {
                listener.close();
            }
            return;
        }
        if exit::has_begun() {
            // It did not end when it was asked to: a callback hangs. The process is about to end it.
            std::mem::forget(core);
            return;
        }
        let mut core = Some(core);
        Python::try_attach(|py| {
            // Objects end at any time, also while an exception is on its way.
            let pending = PyErr::take(py);
            if let Err(error) = warn_unclosed(py) {
                error.write_unraisable(py, None);
            }
            let core = core.take();
            py.detach(|| drop(core));
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
        // Without an interpreter nobody can wait for it.
        drop(core);
    }
}

impl Core {
    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Orders it to end, for who brings it there.
    pub(crate) fn order_stop(&self, py: Python<'_>) {
        self.is_closing.store(true, Ordering::Release);
        // All that it can answer is that it is the parent's.
        let _ = py.detach(|| self.server.stop());
    }

    /// Brings a hosted server to its end, and waits for the threads of any other.
    pub(crate) fn wait_after_stop(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_hosted.load(Ordering::Acquire) {
            // Unless somebody is turning it already.
            let turn = || self.server.turn(Some(Duration::ZERO)).is_ok();
            py.detach(|| while self.server.state() != State::Stopped && turn() {});
            return Ok(());
        }
        // What it cannot wait for is on this thread: one of its own, in its function.
        self.wait(py, &Until::new(&Timeout::EVER)).map(|_| ())
    }

    /// Waits in slices, between which signals are seen to.
    fn wait(&self, py: Python<'_>, until: &Until) -> PyResult<std::thread::Result<trimtab::Result<()>>> {
        loop {
            let slice = until.slice();
            let ended = py.detach(|| catch_unwind(AssertUnwindSafe(|| self.server.wait(Some(slice)))));
            match ended {
                Ok(Err(Error::TimedOut { .. })) if !until.is_over() => py.check_signals()?,
                ended => return Ok(ended),
            }
        }
    }
}

fn warn_unclosed(py: Python<'_>) -> PyResult<()> {
    const TEXT: &std::ffi::CStr = c"a trimtab.Server that runs was dropped, which stops it; call close()";
    PyErr::warn(py, &py.get_type::<PyResourceWarning>(), TEXT, 1)
}
