//! The end of the interpreter. A thread that is in Python then, or comes to it later, is lost, and takes the
//! process with it if Rust is on its stack; so servers and their callbacks end first, while Python still runs, and stores after them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::events::Listener;
use crate::server::Core;
use crate::store;
use crate::wait::SLICE;

/// Only the main interpreter may have the module: what ends with an interpreter is kept once for the process, and threads of
/// ours that call Python do so in the main one.
pub(crate) fn check_interpreter() -> PyResult<()> {
    #[expect(unsafe_code, reason = "what numbers interpreters is in C alone")]
    // SAFETY: a module is made by an interpreter, which the thread that does so is attached to.
    let number = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    // The number of the main one, whatever has been before.
    if number == 0 {
        return Ok(());
    }
    let detail = "trimtab runs in the main interpreter alone, and this is a subinterpreter; import it in the main one \
                  (mod_wsgi: WSGIApplicationGroup %{GLOBAL})";
    Err(PyImportError::new_err(detail))
}

/// Has Python stop all servers and close all stores at its exit.
pub(crate) fn register(py: Python<'_>) -> PyResult<()> {
    let stop = pyo3::wrap_pyfunction!(stop_all, py)?;
    py.import("atexit")?.call_method1("register", (stop,))?;
    let born = PyDict::new(py);
    born.set_item("after_in_child", pyo3::wrap_pyfunction!(begin_child, py)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&born))?;
    Ok(())
}

/// Takes note of a server that is started.
pub(crate) fn watch(core: &Arc<Core>) {
    SERVERS.add(core);
}

/// Takes note of a function that a server calls.
pub(crate) fn watch_listener(listener: &Arc<Listener>) {
    LISTENERS.add(listener);
}

/// Whether servers were stopped for the exit.
pub(crate) fn has_begun() -> bool {
    HAS_BEGUN.load(Ordering::Acquire)
}

/// Runs in a child made by fork, before anything else does.
#[pyfunction]
fn begin_child() {
    store::forget_calls();
}

/// Stops what still runs, waits for it and for calls that are under way. Events are told meanwhile, and none
/// afterwards. Then it closes stores.
#[pyfunction]
fn stop_all(py: Python<'_>) -> PyResult<()> {
    let (running, listeners) = (SERVERS.take(), LISTENERS.take());
    for core in &running {
        core.order_stop(py);
    }
    let ended = running.iter().try_for_each(|core| core.wait_after_stop(py));
    HAS_BEGUN.store(true, Ordering::Release);
    for listener in &listeners {
        listener.end();
    }
    let returned = ended.and_then(|()| {
        listeners.iter().try_for_each(|listener| {
            while !py.detach(|| listener.wait(SLICE)) {
                py.check_signals()?;
            }
            Ok(())
        })
    });
    py.detach(|| drop(running));
    let closed = store::close_all(py);
    returned.and(closed)
}

/// What is to end with the interpreter, each with the process that made it: a child made by fork has its
/// parent's too, and must not touch them. Locked only by the thread that Python runs, so a fork finds it free.
pub(crate) struct Noted<T>(Mutex<Vec<(u32, Weak<T>)>>);

impl<T> Noted<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(crate) fn add(&self, one: &Arc<T>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are gone are let go in as many steps as there were additions.
        if noted.len() == noted.capacity() {
            noted.retain(|(_, known)| known.strong_count() > 0);
        }
        noted.push((std::process::id(), Arc::downgrade(one)));
    }

    /// Those of this process that are still there.
    pub(crate) fn take(&self) -> Vec<Arc<T>> {
        let noted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let here = std::process::id();
        noted.iter().filter(|(pid, _)| *pid == here).filter_map(|(_, known)| known.upgrade()).collect()
    }
}

static SERVERS: Noted<Core> = Noted::new();
static LISTENERS: Noted<Listener> = Noted::new();
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);
