//! From what changes in a pool to calls of a Python function, by the thread that made it happen once its call on the
//! pool is over: no lock of the pool's door is held then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use trimtab::balance::{Change, ChangeKind, Observer};

use crate::{errors, events};

/// What happened and was not told yet, and who is told.
pub(crate) struct Events {
    queue: Arc<Queue>,
    /// Locked only by the thread that Python runs, and not while the function does.
    function: RwLock<Option<Py<PyAny>>>,
}

/// Locked only by the thread that Python runs, so a fork finds it free.
#[derive(Default)]
struct Queue(Mutex<VecDeque<Happened>>);

enum Happened {
    Changed(Change),
    Panic { tier: u8, panics: bool },
    Room,
}

/// The pool's side.
struct Teller(Arc<Queue>);

impl Queue {
    fn put(&self, happened: Happened) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(happened);
    }

    fn take(&self) -> Option<Happened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Observer for Teller {
    fn handle_room(&self) {
        self.0.put(Happened::Room);
    }

    fn handle_change(&self, change: &Change) {
        self.0.put(Happened::Changed(change.clone()));
    }

    fn handle_panic(&self, tier: u8, panics: bool) {
        self.0.put(Happened::Panic { tier, panics });
    }
}

impl Events {
    /// Events for `function`, and who puts them there.
    pub(crate) fn new(function: Py<PyAny>) -> (Self, Box<dyn Observer>) {
        let queue = Arc::new(Queue::default());
        let teller = Box::new(Teller(Arc::clone(&queue)));
        (Self { queue, function: RwLock::new(Some(function)) }, teller)
    }

    /// Tells what happened. What the function raises goes to `sys.unraisablehook`.
    pub(crate) fn tell(&self, py: Python<'_>) {
        while let Some(happened) = self.queue.take() {
            let Some(function) = self.function(py) else { return };
            if let Err(error) = described(py, &happened).and_then(|event| function.call1((event,))) {
                error.write_unraisable(py, Some(&function));
            }
        }
    }

    fn function<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let function = self.function.read().unwrap_or_else(PoisonError::into_inner);
        function.as_ref().map(|function| function.bind(py).clone())
    }

    /// Tells nothing any more.
    pub(crate) fn close(&self) {
        let function = self.function.write().unwrap_or_else(PoisonError::into_inner).take();
        // After the lock was let go: its end may run Python code.
        drop(function);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.function.try_read() {
            Ok(function) => visit.call(&*function),
            Err(_) => Ok(()),
        }
    }
}

/// `happened` as a `trimtab.PoolEvent`.
fn described<'py>(py: Python<'py>, happened: &Happened) -> PyResult<Bound<'py, PyAny>> {
    let kind = |name: &str| errors::class(py, "trimtab._enums", "EventKind")?.getattr(name);
    let event = errors::class(py, "trimtab._types", "PoolEvent")?;
    let nothing = None::<u64>;
    match happened {
        Happened::Room => event.call1((kind("ROOM")?, nothing, nothing, nothing, nothing)),
        Happened::Panic { tier, panics } => {
            let kind = kind(if *panics { "PANIC_BEGAN" } else { "PANIC_ENDED" })?;
            event.call1((kind, nothing, nothing, *tier, nothing))
        }
        Happened::Changed(change) => {
            let name = match change.kind {
                ChangeKind::Added => "BACKEND_ADDED",
                ChangeKind::Removed => "BACKEND_REMOVED",
                ChangeKind::Admin(_) => "BACKEND_ADMIN",
                ChangeKind::Observed(_) => "BACKEND_OBSERVED",
                ChangeKind::Weight(_) => "BACKEND_WEIGHT",
                ChangeKind::Maxconn(_) => "BACKEND_MAXCONN",
                ChangeKind::Tier(_) => "BACKEND_TIER",
            };
            let value = events::changed_to(py, change.kind)?;
            let reason = change.reason.as_deref();
            event.call1((kind(name)?, change.backend.as_u64(), &*change.name, value, reason))
        }
    }
}
