//! [`View`]: the store at one moment, and [`Scan`], which goes through a range of it.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use trimtab::embedded;
use trimtab::store::index::{self, Timestamp};

use crate::convert::Key;
use crate::errors;
use crate::store::Store;
use crate::store::answer::Entry;
use crate::store::arguments::{self, Keys};

/// The store as it was when this was made, whatever is written meanwhile: reads that agree with each other. What has been
/// replaced since stays in memory until it is closed, or dropped. A key that expires later is still there.
///
/// It is a context manager, and reads as the store does. Any thread may use it. Nothing here blocks.
#[pyclass(frozen, weakref, name = "StoreView", module = "trimtab")]
pub(crate) struct View {
    /// `None` once closed.
    view: RwLock<Option<Arc<index::View>>>,
    now: Timestamp,
    /// Dropped last: it may be the last that has the store.
    store: Py<Store>,
}

#[pymethods]
impl View {
    /// The sequence of what it sees. A watch from the next one on misses nothing.
    #[getter]
    fn sequence(&self, py: Python<'_>) -> PyResult<u64> {
        self.read(py, |view| view.sequence())
    }

    /// The value of a key; default when it is not there.
    #[pyo3(signature = (key, default = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: Key<'_>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.value(py, &key)?.map(Bound::into_any).or(default))
    }

    /// All that a key has, as an Entry; None when it is not there.
    fn entry(&self, py: Python<'_>, key: Key<'_>) -> PyResult<Option<Entry>> {
        self.read(py, |view| {
            view.get(&key.0, self.now).map(|entry| Entry::new(py, &key.0, &entry.to_found()))
        })
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: Key<'_>) -> PyResult<Bound<'py, PyBytes>> {
        self.value(py, &key)?.ok_or_else(|| no_key(py, &key))
    }

    fn __contains__(&self, py: Python<'_>, key: Key<'_>) -> PyResult<bool> {
        self.read(py, |view| view.get(&key.0, self.now).is_some())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.read(py, |view| view.count(&Keys::ALL.range(), self.now) as usize)
    }

    fn __bool__(&self) -> bool {
        true
    }

    /// How many keys a range has. See Store.count.
    #[pyo3(signature = (start = None, end = None, *, prefix = None))]
    fn count(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let keys = Keys::new(py, start, end, prefix)?;
        self.read(py, |view| view.count(&keys.range(), self.now))
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<Scan> {
        slf.get().scan(slf.py(), &Keys::ALL, false, 0, Gives::Keys)
    }

    fn __reversed__(slf: &Bound<'_, Self>) -> PyResult<Scan> {
        slf.get().scan(slf.py(), &Keys::ALL, true, 0, Gives::Keys)
    }

    /// The keys of a range. See Store.items.
    #[pyo3(signature = (start = None, end = None, *, prefix = None, reverse = false, limit = None))]
    fn keys(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: bool,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Scan> {
        let keys = Keys::new(py, start, end, prefix)?;
        self.scan(py, &keys, reverse, arguments::limit(limit)?, Gives::Keys)
    }

    /// The values of a range. See Store.items.
    #[pyo3(signature = (start = None, end = None, *, prefix = None, reverse = false, limit = None))]
    fn values(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: bool,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Scan> {
        let keys = Keys::new(py, start, end, prefix)?;
        self.scan(py, &keys, reverse, arguments::limit(limit)?, Gives::Values)
    }

    /// Keys of a range with their values. See Store.items.
    #[pyo3(signature = (start = None, end = None, *, prefix = None, reverse = false, limit = None))]
    fn items(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: bool,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Scan> {
        let keys = Keys::new(py, start, end, prefix)?;
        self.scan(py, &keys, reverse, arguments::limit(limit)?, Gives::Items)
    }

    /// Keys of a range, each with all that it has, as an Entry. See Store.items.
    #[pyo3(signature = (start = None, end = None, *, prefix = None, reverse = false, limit = None))]
    fn entries(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: bool,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Scan> {
        let keys = Keys::new(py, start, end, prefix)?;
        self.scan(py, &keys, reverse, arguments::limit(limit)?, Gives::Entries)
    }

    /// Lets go of what it keeps in memory; once is enough, and more does no harm.
    fn close(&self) {
        let view = self.view.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(view);
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) {
        self.close();
    }
}

impl View {
    pub(crate) fn new(store: &Bound<'_, Store>, read: embedded::Read) -> PyResult<Self> {
        let py = store.py();
        let view = store.get().view_at(py, &read)?;
        let now = store.get().now_in(py, &view)?;
        Ok(Self { view: RwLock::new(Some(view)), now, store: store.clone().unbind() })
    }

    fn value<'py>(&self, py: Python<'py>, key: &Key<'_>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.read(py, |view| view.get(&key.0, self.now).map(|entry| PyBytes::new(py, entry.value)))
    }

    fn scan(&self, py: Python<'_>, keys: &Keys, reverse: bool, limit: u64, gives: Gives) -> PyResult<Scan> {
        let core = self.store.get().core(py)?;
        let view = self.read_view(py)?;
        let scan = core.store.scan_in(view, self.now, &keys.range(), limit, reverse);
        Ok(Scan::new(py, scan, gives, &self.store))
    }

    fn read<T>(&self, py: Python<'_>, read: impl FnOnce(&index::View) -> T) -> PyResult<T> {
        let view = self.read_view(py)?;
        Ok(read(&view))
    }

    fn read_view(&self, py: Python<'_>) -> PyResult<Arc<index::View>> {
        self.store.get().check(py)?;
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.clone().ok_or_else(|| errors::closed(py, "view"))
    }
}

/// What a scan gives of each key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Keys,
    Values,
    Items,
    Entries,
}

/// Goes through a range, as it was when this was made. What was replaced since stays in memory until it has come to its
/// end, or is dropped.
#[pyclass(frozen, name = "StoreScan", module = "trimtab")]
pub(crate) struct Scan {
    /// `None` behind the last key. Locked only by the thread that Python runs.
    scan: Mutex<Option<embedded::Scan>>,
    gives: Gives,
    sequence: u64,
    store: Py<Store>,
}

#[pymethods]
impl Scan {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some((key, found)) = self.next_entry(py)? else { return Ok(None) };
        Ok(Some(match self.gives {
            Gives::Keys => PyBytes::new(py, &key).into_any(),
            Gives::Values => PyBytes::new(py, &found.value).into_any(),
            Gives::Items => {
                PyTuple::new(py, [PyBytes::new(py, &key), PyBytes::new(py, &found.value)])?.into_any()
            }
            Gives::Entries => Bound::new(py, Entry::new(py, &key, &found))?.into_any(),
        }))
    }

    /// The sequence of what it sees. A watch from the next one on misses nothing.
    #[getter]
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Scan {
    /// The lock is let go of before anything of Python's is made, which may run its garbage collector.
    fn next_entry(&self, py: Python<'_>) -> PyResult<Option<(Vec<u8>, index::Found)>> {
        self.store.get().check(py)?;
        let mut scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(going) = &mut *scan else { return Ok(None) };
        let next = going.next_entry().map_err(|error| Store::raised(py, &error))?;
        if next.is_none() {
            *scan = None;
        }
        Ok(next)
    }

    pub(crate) fn new(py: Python<'_>, scan: embedded::Scan, gives: Gives, store: &Py<Store>) -> Self {
        let sequence = scan.sequence();
        Self { scan: Mutex::new(Some(scan)), gives, sequence, store: store.clone_ref(py) }
    }
}

/// As a dict says it.
#[cold]
pub(crate) fn no_key(py: Python<'_>, key: &Key<'_>) -> PyErr {
    PyKeyError::new_err(PyBytes::new(py, &key.0).unbind())
}
