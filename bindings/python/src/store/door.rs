//! [`Door`]: the store until it is closed. How a closed, panicked or forked store refuses, how calls wait without the
//! interpreter, and what its end does with stores that are open.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use trimtab::Error;
use trimtab::embedded::{self, Done, Pending};

use crate::convert::Timeout;
use crate::errors;
use crate::exit::Noted;
use crate::store::arguments::Wait;
use crate::wait::{SLICE, Until};

/// The store, for as long as somebody uses it.
pub(crate) struct Core {
    pub(crate) store: embedded::Store,
    /// How long a call waits that does not say so itself.
    timeout: Duration,
}

pub(crate) struct Door {
    /// `None` once closed. Locked for a read at most, and only by the thread that Python runs; who works without the
    /// interpreter has an `Arc` of its own and drops it before it takes the interpreter back.
    core: RwLock<Option<Arc<Core>>>,
    pid: u32,
}

impl Door {
    pub(crate) fn new(store: embedded::Store, timeout: Duration) -> Self {
        let core = Arc::new(Core { store, timeout });
        // A server's is closed with the server.
        if !core.store.is_lent() {
            STORES.add(&core);
        }
        Self { core: RwLock::new(Some(core)), pid: std::process::id() }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.core.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Whether the store is the parent's, and this a child made by fork.
    pub(crate) fn is_foreign(&self) -> bool {
        self.pid != std::process::id()
    }

    pub(crate) fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.core(py).map(drop)
    }

    /// What there is to call.
    pub(crate) fn core(&self, py: Python<'_>) -> PyResult<Arc<Core>> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner);
        let Some(core) = &*core else { return Err(errors::closed(py, "store")) };
        if self.is_foreign() { Err(errors::forked(py, "store")) } else { Ok(Arc::clone(core)) }
    }

    /// Reads with the interpreter at hand. The store itself sees to forks.
    #[inline]
    pub(crate) fn read<T>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&embedded::Store) -> trimtab::Result<T>,
    ) -> PyResult<T> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner);
        let Some(core) = &*core else { return Err(errors::closed(py, "store")) };
        read(&core.store).map_err(|error| raised(py, &error))
    }

    /// Calls into the store while other Python threads run.
    pub(crate) fn detached<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&embedded::Store) -> trimtab::Result<R> + Send,
    ) -> PyResult<R> {
        let core = self.core(py)?;
        let result = without(py, move || {
            let result = catch_unwind(AssertUnwindSafe(|| call(&core.store)));
            drop(core);
            result
        });
        self.settled(py, result)
    }

    /// Begins a write and waits for its answer, as [`Door::waited`] does.
    pub(crate) fn answer(
        &self,
        py: Python<'_>,
        begin: impl FnOnce(&embedded::Store) -> trimtab::Result<Pending> + Send,
        timeout: Wait,
    ) -> PyResult<Done> {
        self.waited(py, "write", begin, timeout)
    }

    /// Waits, in a cluster, until what is here is as fresh as `read` asks, as [`Door::waited`] does.
    pub(crate) fn freshen(&self, py: Python<'_>, read: &embedded::Read) -> PyResult<()> {
        let timeout = read.timeout.map_or(Wait::Usual, |timeout| Wait::For(Some(timeout)));
        let Some(pending) = self.detached(py, |store| store.begin_fresh(read))? else { return Ok(()) };
        self.waited(py, "read", |_| Ok(pending), timeout)?;
        match read.token {
            Some(position) => self.detached(py, |store| store.check_position(position)),
            None => Ok(()),
        }
    }

    /// Begins a call and waits for its answer, in slices, between which signals are seen to.
    fn waited(
        &self,
        py: Python<'_>,
        what: &'static str,
        begin: impl FnOnce(&embedded::Store) -> trimtab::Result<Pending> + Send,
        timeout: Wait,
    ) -> PyResult<Done> {
        let core = self.core(py)?;
        let until = core.until(timeout);
        let slice = until.slice();
        let first = without(py, move || {
            let first = catch_unwind(AssertUnwindSafe(|| {
                let pending = begin(&core.store)?;
                Ok(match pending.wait(slice) {
                    Err(Error::TimedOut { .. }) => Err(pending),
                    answer => Ok(answer?),
                })
            }));
            drop(core);
            first
        });
        let pending = match self.settled(py, first)? {
            Ok(done) => return Ok(done),
            Err(pending) => pending,
        };
        loop {
            py.check_signals()?;
            if until.is_over() {
                return Err(errors::raised(py, &Error::TimedOut { what }));
            }
            let slice = until.slice();
            match without(py, || pending.wait(slice)) {
                Err(Error::TimedOut { .. }) => {}
                answer => return answer.map_err(|error| raised(py, &error)),
            }
        }
    }

    /// Waits, in slices, for a snapshot of what is there now.
    pub(crate) fn snapshot(&self, py: Python<'_>, timeout: Wait) -> PyResult<u64> {
        let until = self.core(py)?.until(timeout);
        let before = self.detached(py, embedded::Store::status)?;
        loop {
            let slice = until.slice();
            let written = self.detached(py, move |store| match store.snapshot(Some(slice)) {
                // With writes going on, the next slice would ask for a later one.
                Err(Error::TimedOut { .. }) => {
                    let status = store.status()?;
                    if status.snapshot >= before.applied {
                        return Ok(Some(status.snapshot));
                    }
                    match status.snapshot_error {
                        Some(error) if status.counts.snapshots_failed > before.counts.snapshots_failed => {
                            Err(error)
                        }
                        _ => Ok(None),
                    }
                }
                written => written.map(Some),
            })?;
            if let Some(sequence) = written {
                return Ok(sequence);
            }
            py.check_signals()?;
            if until.is_over() {
                return Err(errors::raised(py, &Error::TimedOut { what: "snapshot" }));
            }
        }
    }

    /// Waits, in slices, for a pass over all that lies on the disk, which begins after this.
    pub(crate) fn scrub(&self, py: Python<'_>, timeout: Wait) -> PyResult<()> {
        let until = self.core(py)?.until(timeout);
        let pass = self.detached(py, embedded::Store::begin_scrub)?;
        loop {
            let slice = until.slice();
            let is_over = self.detached(py, move |store| match store.scrubbed(pass, slice) {
                Err(Error::TimedOut { .. }) => Ok(false),
                found => found.map(|()| true),
            })?;
            if is_over {
                return Ok(());
            }
            py.check_signals()?;
            if until.is_over() {
                return Err(errors::raised(py, &Error::TimedOut { what: "scrub" }));
            }
        }
    }

    /// Calls what takes long and cannot be waited for in slices, as [`aside`] does. A panic closes the store.
    pub(crate) fn aside<R: Send + 'static>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&embedded::Store) -> trimtab::Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let core = self.core(py)?;
        let result = waited_for(py, move || call(&core.store))?;
        self.settled(py, result)
    }

    /// Calls what may complain of another state than that the store is closed.
    pub(crate) fn stated<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&embedded::Store) -> trimtab::Result<R> + Send,
    ) -> PyResult<R> {
        let answer = self.detached(py, move |store| told_apart(store, call(store)))?;
        answer.map_err(|error| errors::raised(py, &error))
    }

    /// The same as [`Door::aside`].
    pub(crate) fn stated_aside<R: Send + 'static>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&embedded::Store) -> trimtab::Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let answer = self.aside(py, move |store| told_apart(store, call(store)))?;
        answer.map_err(|error| errors::raised(py, &error))
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(core) = core else { return Ok(()) };
        let result = if self.is_foreign() || core.store.is_lent() {
            Ok(Ok(()))
        } else {
            without(py, || catch_unwind(AssertUnwindSafe(|| core.store.close())))
        };
        self.shut(py);
        py.detach(|| drop(core));
        self.settled(py, result)
    }

    /// Nobody has the store any more, and it was not closed.
    pub(crate) fn drop_open(&mut self) {
        let Some(core) = self.core.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if self.is_foreign() || IS_ENDING.load(Ordering::Acquire) {
            // The parent's, or closed for the exit.
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
        // Without an interpreter nobody can be told.
        drop(core);
    }

    fn settled<R>(&self, py: Python<'_>, result: Caught<R>) -> PyResult<R> {
        match result {
            Ok(result) => result.map_err(|error| raised(py, &error)),
            Err(panic) => {
                self.shut(py);
                Err(errors::panicked(py, "store", &*panic))
            }
        }
    }

    fn shut(&self, py: Python<'_>) {
        let core = self.core.write().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| drop(core));
    }
}

impl Core {
    fn until(&self, timeout: Wait) -> Until {
        Until::new(&Timeout(match timeout {
            Wait::Usual => Some(self.timeout),
            Wait::For(timeout) => timeout,
        }))
    }
}

type Caught<R> = Result<trimtab::Result<R>, Box<dyn Any + Send>>;

/// What an open store complains of, inside; that it is closed, outside.
fn told_apart<R>(store: &embedded::Store, answer: trimtab::Result<R>) -> trimtab::Result<trimtab::Result<R>> {
    match answer {
        Err(error @ Error::State { .. }) if store.status().is_ok() => Ok(Err(error)),
        answer => answer.map(Ok),
    }
}

/// The exception for an error of a store that was opened.
#[cold]
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        // It has no other state to complain of.
        Error::State { what: "store", .. } => errors::closed(py, "store"),
        error => errors::raised(py, error),
    }
}

/// Calls what is not yet a store, or may panic, while other Python threads run.
pub(crate) fn guarded<R: Send>(py: Python<'_>, call: impl FnOnce() -> R + Send) -> PyResult<R> {
    without(py, || catch_unwind(AssertUnwindSafe(call)))
        .map_err(|panic| errors::panicked(py, "store", &*panic))
}

/// Calls what takes long on a thread of its own, and waits for it in slices, between which signals are seen to. When one of
/// them ends the wait the call goes on, until it is done or the process ends.
pub(crate) fn aside<R: Send + 'static>(
    py: Python<'_>,
    call: impl FnOnce() -> R + Send + 'static,
) -> PyResult<R> {
    waited_for(py, call)?.map_err(|panic| errors::panicked(py, "store", &*panic))
}

fn waited_for<R: Send + 'static>(
    py: Python<'_>,
    call: impl FnOnce() -> R + Send + 'static,
) -> PyResult<thread::Result<R>> {
    let (sender, mut receiver) = mpsc::sync_channel(1);
    let run = move || {
        // Nobody may wait any more.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(call)));
    };
    thread::Builder::new().name("trimtab-backup".into()).spawn(run).map_err(|error| {
        let (code, detail) = (error.raw_os_error().unwrap_or(0), error.to_string());
        errors::raised(py, &Error::Io { what: "start the thread trimtab-backup".into(), code, detail })
    })?;
    loop {
        let (next, back) = without(py, move || (receiver.recv_timeout(SLICE), receiver));
        receiver = back;
        match next {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends what came of the call"),
        }
    }
}

/// Lets other Python threads run, and is counted: the interpreter does not end meanwhile.
pub(crate) fn without<R: Send>(py: Python<'_>, call: impl FnOnce() -> R + Send) -> R {
    let _call = Call::begin();
    py.detach(call)
}

/// A call without the interpreter. A thread that comes back to one that has ended is lost.
struct Call;

impl Call {
    fn begin() -> Self {
        CALLS.fetch_add(1, Ordering::AcqRel);
        Self
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        CALLS.fetch_sub(1, Ordering::AcqRel);
        if IS_ENDING.load(Ordering::Acquire) {
            let _lock = ENDED.0.lock().unwrap_or_else(PoisonError::into_inner);
            ENDED.1.notify_all();
        }
    }
}

/// Closes what is open, for the end of the interpreter, and waits until no thread is in a call: their waits end with the
/// stores. What could not be written is told.
pub(crate) fn close_all(py: Python<'_>) -> PyResult<()> {
    IS_ENDING.store(true, Ordering::Release);
    let mut closed = Ok(());
    for core in STORES.take() {
        let result = py.detach(|| core.store.close());
        closed = closed.and(result.map_err(|error| errors::raised(py, &error)));
        py.detach(|| drop(core));
    }
    let none_left = || {
        let lock = ENDED.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = ENDED.1.wait_timeout_while(lock, SLICE, |()| CALLS.load(Ordering::Acquire) > 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    };
    while !py.detach(none_left) {
        py.check_signals()?;
    }
    closed
}

/// A child made by fork begins without calls: of its threads there is only the one that forked, which was in none.
pub(crate) fn forget_calls() {
    CALLS.store(0, Ordering::Release);
}

fn warn_unclosed(py: Python<'_>) -> PyResult<()> {
    const TEXT: &std::ffi::CStr = c"a trimtab.Store that is open was dropped, which closes it; call close()";
    PyErr::warn(py, &py.get_type::<PyResourceWarning>(), TEXT, 1)
}

static STORES: Noted<Core> = Noted::new();
static CALLS: AtomicUsize = AtomicUsize::new(0);
static IS_ENDING: AtomicBool = AtomicBool::new(false);
static ENDED: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
