//! Duplicates of descriptors: of a socket that Python has, for the server; of what a loop that Python has is to watch.

use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use pyo3::exceptions::{PyAttributeError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyInt;
use trimtab::Error;

use crate::{convert, errors};

/// Duplicates the descriptor that `socket` is or has. `purpose` is what errors say was tried.
pub(crate) fn duplicate(socket: &Bound<'_, PyAny>, purpose: &str) -> PyResult<OwnedFd> {
    let py = socket.py();
    let number = number(socket)?;
    if number < 0 {
        return Err(errors::invalid(py, "socket", format!("{number} is no descriptor; was it closed?")));
    }
    let copy: RawFd = match py.import("os")?.call_method1("dup", (number,)) {
        Ok(copy) => copy.extract()?,
        Err(error) if error.is_instance_of::<PyOSError>(py) => {
            let refused = error.value(py);
            let code = refused.getattr("errno")?.extract().unwrap_or(0);
            let detail = refused.getattr("strerror")?.str()?.to_string();
            return Err(errors::raised(py, &Error::Io { what: purpose.into(), code, detail }));
        }
        Err(error) => return Err(error),
    };
    // SAFETY: `os.dup` opened it just now and gave its number to nobody else.
    #[expect(unsafe_code, reason = "Python hands descriptors over as numbers")]
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    Ok(copy)
}

/// A duplicate that is the caller's to close. `purpose` is what errors say was tried.
pub(crate) fn given(py: Python<'_>, descriptor: BorrowedFd<'_>, purpose: &str) -> PyResult<RawFd> {
    descriptor.try_clone_to_owned().map(IntoRawFd::into_raw_fd).map_err(|error| {
        let (code, detail) = (error.raw_os_error().unwrap_or(0), error.to_string());
        errors::raised(py, &Error::Io { what: purpose.into(), code, detail })
    })
}

fn number(socket: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let number = if socket.is_instance_of::<PyInt>() {
        socket.clone()
    } else {
        match socket.call_method0("fileno") {
            Ok(number) => number,
            Err(error) if error.is_instance_of::<PyAttributeError>(socket.py()) => {
                return Err(convert::wrong_argument("socket", "a socket or its descriptor", socket));
            }
            Err(error) => return Err(error),
        }
    };
    number.extract().map_err(|_| errors::invalid(socket.py(), "socket", format!("{number} is no descriptor")))
}
