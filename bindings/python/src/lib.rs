//! The extension module `trimtab._trimtab`: the Rust API of trimtab as Python objects.
//!
//! | file | owns |
//! |---|---|
//! | `pool` | `Pool`, and how a closed or panicked one refuses |
//! | `pick` | `Pick`, and what leaving its `with` block reports |
//! | `pool_events` | from what changes in a pool to calls of a Python function |
//! | `check` | `Check`, for a loop that Python has |
//! | `server` | `Server`: its life, and who waits for it how |
//! | `events` | from a server's events to calls of a Python function |
//! | `exit` | the end of the interpreter, which no server's thread may outlive, and for which stores are closed |
//! | `store/` | `Store` and what is made of it |
//! | `wait` | waiting in slices, between which signals are seen to |
//! | `descriptor` | a socket that Python has, for the server |
//! | `convert` | arguments: keys, times, numbers, names of choices |
//! | `errors` | from the library's errors to the exceptions of `trimtab._errors` |
//!
//! The binding decides nothing, tries nothing again and keeps nothing. Exceptions, enumerations and the
//! tuples that statistics come in are Python classes, looked up by name when they are needed.

mod check;
mod convert;
mod descriptor;
mod errors;
mod events;
mod exit;
mod pick;
mod pool;
mod pool_events;
mod server;
mod store;
mod wait;

/// What `import trimtab._trimtab` gives; the package `trimtab` re-exports it.
///
/// `gil_used`: picks count on one lane, which the interpreter's lock keeps to one thread at a time, and what
/// servers and their callbacks keep is locked by it too.
#[pyo3::pymodule(gil_used = true)]
mod _trimtab {
    use pyo3::prelude::*;
    use pyo3::types::PyFrozenSet;

    #[pymodule_export]
    use crate::check::Check;
    #[pymodule_export]
    use crate::pick::Pick;
    #[pymodule_export]
    use crate::pool::Pool;
    #[pymodule_export]
    use crate::server::Server;
    #[pymodule_export]
    use crate::store::{
        Change, ClusterEvents, Compacted, Completion, Entry, Operation, Queue, Scan, Store, StoreResult,
        View, Watch,
    };
    #[pymodule_export]
    use crate::store::{backup_closed, backup_verify, promote_directory, restore};

    #[pymodule_export]
    const BACKENDS_MAX: usize = trimtab::balance::options::BACKENDS_MAX;
    #[pymodule_export]
    const WEIGHT_MAX: u32 = trimtab::balance::options::WEIGHT_MAX;
    #[pymodule_export]
    const KEY_MAX: usize = trimtab::balance::options::KEY_MAX;
    #[pymodule_export]
    const MAXCONN_MAX: u32 = trimtab::balance::MAXCONN_MAX;
    #[pymodule_export]
    const CONNECTION_RATE_MAX: u32 = trimtab::balance::CONNECTION_RATE_MAX;
    #[pymodule_export]
    const RETRIES_MAX: u32 = trimtab::balance::RETRIES_MAX;

    /// The parts of trimtab that this build has.
    #[pyfunction]
    fn features(py: Python<'_>) -> PyResult<Bound<'_, PyFrozenSet>> {
        // Of the library's optional features the manifest here takes all but the first.
        PyFrozenSet::new(py, ["balance", "proxy", "replication", "store", "tls"])
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::exit::check_interpreter()?;
        crate::exit::register(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
