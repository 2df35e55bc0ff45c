//! From the library's errors to Python's exceptions.

use std::any::Any;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};
use trimtab::Error;
use trimtab::error::Problem;

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
        Error::Io { code: 0, .. } => "IoError",
        // With two arguments it has an errno.
        Error::Io { code, .. } => return with(py, "IoError", (*code, error.to_string())),
        Error::Config(problems) => return wrong_configuration(py, problems, error.to_string()),
        Error::State { .. } => "StateError",
        Error::Unsupported { .. } => "UnsupportedError",
        Error::Corrupt(_) => "CorruptError",
        Error::Forked { .. } => "ForkedError",
        Error::NotPrimary { .. } => "NotPrimaryError",
        Error::NoQuorum => "NoQuorumError",
        Error::Superseded => "SupersededError",
        Error::UnknownOutcome => "UnknownOutcomeError",
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

/// `what` is the pool, the server or the store.
#[cold]
pub(crate) fn closed(py: Python<'_>, what: &str) -> PyErr {
    new(py, "ClosedError", format!("the {what} is closed"))
}

/// `what`, the server or the store, is the parent's; this is a child made by fork.
#[cold]
pub(crate) fn forked(py: Python<'_>, what: &'static str) -> PyErr {
    raised(py, &Error::Forked { what })
}

/// Somebody wants to pickle it or to copy it: `multiprocessing` does, where it does not fork.
#[cold]
pub(crate) fn stays(what: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "a trimtab.{what} stays in the process that made it; make one in each process instead"
    ))
}

/// A bug of ours that was caught; what it happened in, the pool or the server, is closed.
#[cold]
pub(crate) fn panicked(py: Python<'_>, what: &str, panic: &(dyn Any + Send)) -> PyErr {
    let said = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "for a reason it did not put in words",
    };
    new(py, "PanicError", format!("trimtab panicked: {said}; the {what} is closed"))
}

/// A class that the package defines in Python.
pub(crate) fn class<'py>(py: Python<'py>, module: &str, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py.import(module)?.getattr(name)?.cast_into()?)
}

fn wrong_configuration(py: Python<'_>, problems: &[Problem], text: String) -> PyErr {
    let described = || -> PyResult<_> {
        let class = class(py, "trimtab._types", "Problem")?;
        let described = problems
            .iter()
            .map(|it| class.call1((&it.source, it.line, it.column, &it.message, &it.hint)))
            .collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, described)
    };
    match described() {
        Ok(problems) => with(py, "ConfigError", (text, problems.unbind())),
        Err(error) => error,
    }
}

fn new(py: Python<'_>, name: &str, text: String) -> PyErr {
    with(py, name, (text,))
}

fn with<A>(py: Python<'_>, name: &str, arguments: A) -> PyErr
where
    A: pyo3::PyErrArguments + Send + Sync + 'static,
{
    match class(py, "trimtab._errors", name) {
        Ok(class) => PyErr::from_type(class, arguments),
        // Only a package whose Python half is missing comes here.
        Err(error) => error,
    }
}
