//! From the library's errors to Python's exceptions.

use std::any::Any;

use pyo3::prelude::*;
use pyo3::types::PyType;
use trimtab::Error;

/// The exception for `error`. One that this binding has no class for, because the library is newer, is a
/// plain `TrimtabError`.
#[cold]
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error {
        Error::InvalidArgument { .. } => "InvalidArgumentError",
        Error::Exists { .. } => "ExistsError",
        Error::NotFound { .. } => "NotFoundError",
        Error::Capacity { .. } => "CapacityError",
        Error::NoBackend(_) => "NoBackendError",
        Error::StalePick => "StalePickError",
        Error::TimedOut { .. } => "TimedOutError",
        Error::Io { .. } => "IoError",
        Error::Config(_) => "ConfigError",
        Error::State { .. } => "StateError",
        Error::Forked { .. } => "ForkedError",
        _ => "TrimtabError",
    };
    new(py, class, error.to_string())
}

/// An argument that cannot be right, in the words the library would use.
#[cold]
pub(crate) fn invalid(py: Python<'_>, what: &'static str, detail: String) -> PyErr {
    raised(py, &Error::InvalidArgument { what, detail: detail.into() })
}

/// There is no such backend; `id` is what was given.
#[cold]
pub(crate) fn no_backend_of_id(py: Python<'_>, id: &Bound<'_, PyAny>) -> PyErr {
    raised(py, &Error::NotFound { what: "backend", value: id.to_string() })
}

#[cold]
pub(crate) fn closed(py: Python<'_>) -> PyErr {
    new(py, "ClosedError", "the pool is closed".into())
}

/// A bug of ours that was caught; the pool it happened in is closed.
#[cold]
pub(crate) fn panicked(py: Python<'_>, panic: &(dyn Any + Send)) -> PyErr {
    let said = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "for a reason it did not put in words",
    };
    new(py, "PanicError", format!("trimtab panicked: {said}; the pool is closed"))
}

/// A class that the package defines in Python.
pub(crate) fn class<'py>(py: Python<'py>, module: &str, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py.import(module)?.getattr(name)?.cast_into()?)
}

fn new(py: Python<'_>, name: &str, text: String) -> PyErr {
    match class(py, "trimtab._errors", name) {
        Ok(class) => PyErr::from_type(class, (text,)),
        // Only a package whose Python half is missing comes here.
        Err(error) => error,
    }
}
