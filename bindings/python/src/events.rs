//! From a server's events to calls of a Python function, on whatever thread they happen.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use trimtab::balance::ChangeKind;
use trimtab::server::{ClusterKind, Event, EventKind};

use crate::{convert, errors, exit};

/// Who is told of a server's events, until the server is closed.
pub(crate) struct Listener {
    /// Locked only by the thread that Python runs, and not while the function does.
    function: RwLock<Option<Py<PyAny>>>,
    calls: Mutex<Calls>,
    /// Told when the last call has ended.
    ended: Condvar,
}

struct Calls {
    /// In the function, or waiting for the interpreter to begin.
    count: usize,
    /// The interpreter is about to end: no call begins.
    is_over: bool,
}

impl Listener {
    pub(crate) fn new(function: Py<PyAny>) -> Arc<Self> {
        let listener = Arc::new(Self {
            function: RwLock::new(Some(function)),
            calls: Mutex::new(Calls { count: 0, is_over: exit::has_begun() }),
            ended: Condvar::new(),
        });
        exit::watch_listener(&listener);
        listener
    }

    /// Waits for the interpreter and calls the function. What it raises goes to `sys.unraisablehook`.
    pub(crate) fn tell(&self, event: &Event) {
        {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            if calls.is_over {
                return;
            }
            calls.count += 1;
        }
        self.call(event);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.count -= 1;
        if calls.count == 0 {
            self.ended.notify_all();
        }
    }

    fn call(&self, event: &Event) {
        Python::try_attach(|py| {
            let Some(function) = self.function(py) else { return };
            if let Err(error) = described(py, event).and_then(|event| function.call1((event,))) {
                error.write_unraisable(py, Some(&function));
            }
        });
    }

    fn function<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let function = self.function.read().unwrap_or_else(PoisonError::into_inner);
        function.as_ref().map(|function| function.bind(py).clone())
    }

    /// Tells nothing any more. A call that is under way on another thread goes on.
    pub(crate) fn close(&self) {
        let function = self.function.write().unwrap_or_else(PoisonError::into_inner).take();
        // After the lock was let go: its end may run Python code.
        drop(function);
    }

    /// Begins no call any more: who waits for an interpreter that ends, or is in it then, is lost.
    pub(crate) fn end(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
    }

    /// Waits until no call is under way, at most for `timeout`. `false`: one is.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_timeout_while(calls, timeout, |calls| calls.count > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.count == 0
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.function.try_read() {
            Ok(function) => visit.call(&*function),
            Err(_) => Ok(()),
        }
    }
}

/// `event` as a `trimtab.Event`.
fn described<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyAny>> {
    // The members are named like the events.
    let name = event.kind.name().replace('-', "_").to_ascii_uppercase();
    let kind = errors::class(py, "trimtab._enums", "EventKind")?.getattr(name.as_str())?;
    let value = match event.kind {
        EventKind::Pool(change) => changed_to(py, change)?,
        EventKind::PanicBegan(tier) | EventKind::PanicEnded(tier) => Some(tier.into_pyobject(py)?.into_any()),
        EventKind::SessionsCut(number)
        | EventKind::StoreBackupEnded(number)
        | EventKind::StoreBackupFailed(number)
        | EventKind::StoreMended(number)
        | EventKind::Cluster(
            ClusterKind::Primary(number)
            | ClusterKind::Differs(number)
            | ClusterKind::Installed(number)
            | ClusterKind::Degraded(number)
            | ClusterKind::Recovered(number)
            | ClusterKind::Missed(number),
        ) => Some(number.into_pyobject(py)?.into_any()),
        EventKind::Cluster(ClusterKind::Role(role)) => Some(crate::store::cluster::role(py, role)?),
        _ => None,
    };
    errors::class(py, "trimtab._types", "Event")?.call1((
        kind,
        event.listener.as_deref(),
        event.pool.as_deref(),
        event.backend.as_deref(),
        value,
        &event.detail,
        event.node.as_deref(),
    ))
}

pub(crate) fn changed_to(py: Python<'_>, change: ChangeKind) -> PyResult<Option<Bound<'_, PyAny>>> {
    let member = |name, number: i64| errors::class(py, "trimtab._enums", name)?.call1((number,)).map(Some);
    match change {
        ChangeKind::Added | ChangeKind::Removed => Ok(None),
        ChangeKind::Admin(admin) => member("Admin", convert::number(admin)),
        ChangeKind::Observed(observed) => member("Observed", convert::number(observed)),
        ChangeKind::Weight(number) | ChangeKind::Maxconn(number) => {
            Ok(Some(number.into_pyobject(py)?.into_any()))
        }
        ChangeKind::Tier(tier) => Ok(Some(tier.into_pyobject(py)?.into_any())),
    }
}
