//! [`Watch`]: the changes of a range, as they come.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use trimtab::Error;
use trimtab::embedded::{self, Watched};
use trimtab::store::index::{Event, EventKind};

use crate::convert::{self, Timeout};
use crate::descriptor;
use crate::errors;
use crate::store::Store;
use crate::store::arguments::Keys;
use crate::wait::Until;

/// Follows the keys of a range. It holds a position and a descriptor: one that is slow costs no memory and delays nobody.
#[pyclass(frozen, subclass, weakref, name = "_Watch", module = "trimtab")]
pub(crate) struct Watch {
    /// Locked by the thread that waits, without the interpreter: others only try.
    following: Arc<Mutex<Following>>,
    is_closed: AtomicBool,
    descriptor: AtomicI32,
    store: Py<Store>,
}

struct Following {
    /// `None` once closed.
    watcher: Option<embedded::Watcher>,
    /// Told by the watcher, and not given out yet.
    events: VecDeque<Event>,
    /// Told that what comes next is not kept any more.
    is_compacted: bool,
}

/// What is next.
enum Next {
    Change(Event, bool),
    Compacted(u64),
    Nothing,
    /// Behind `Compacted`, or closed.
    End,
}

#[pymethods]
impl Watch {
    #[new]
    #[pyo3(signature = (store, start, end, prefix, sequence))]
    fn new(
        store: &Bound<'_, Store>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        sequence: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let sequence = sequence.map(|given| convert::whole("sequence", 64, given)).transpose()?;
        let keys = Keys::new(store.py(), start, end, prefix)?;
        let watcher = store.get().detached(store.py(), |store| store.watch(&keys.range(), sequence))?;
        let descriptor = AtomicI32::new(watcher.as_fd().as_raw_fd());
        let following = Following { watcher: Some(watcher), events: VecDeque::new(), is_compacted: false };
        Ok(Self {
            following: Arc::new(Mutex::new(following)),
            is_closed: AtomicBool::new(false),
            descriptor,
            store: store.clone().unbind(),
        })
    }

    /// Waits for the next change and gives it. Ctrl-C ends the wait.
    ///
    /// - timeout: seconds or timedelta; 0 (default) only looks, None waits as long as it takes.
    ///
    /// Gives a Change; a Compacted when what comes next is not kept any more, and None ever after; None when the time is
    /// over, or the watch is closed. Raises StateError while another thread waits in it.
    #[pyo3(signature = (timeout = Timeout::NONE), text_signature = "($self, timeout=0.0)")]
    fn poll<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Option<Bound<'py, PyAny>>> {
        described(py, self.next(py, &Until::new(&timeout))?)
    }

    /// All changes that are there, at least those of one command, as poll gives them; waits like it for the first.
    #[pyo3(signature = (timeout = Timeout::NONE), text_signature = "($self, timeout=0.0)")]
    fn take<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let mut next = self.next(py, &Until::new(&timeout))?;
        while let Some(change) = described(py, next)? {
            list.append(change)?;
            let mut following = self.following(py)?;
            if following.events.is_empty() {
                break;
            }
            next = following.next();
        }
        Ok(list)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        described(py, self.next(py, &Until::new(&Timeout::EVER))?)
    }

    /// The sequence up to which everything was given is the one before this: where to watch on from later.
    #[getter]
    fn next_sequence(&self, py: Python<'_>) -> PyResult<u64> {
        let following = self.following(py)?;
        let Some(watcher) = &following.watcher else { return Err(errors::closed(py, "watch")) };
        Ok(following.events.front().map_or_else(|| watcher.next_sequence(), Event::sequence))
    }

    /// Whether nothing more will come: it is closed, or told Compacted.
    #[getter]
    fn is_over(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.is_closed.load(Ordering::Acquire) || self.following(py)?.is_compacted)
    }

    /// Whether poll has something to give without asking the store.
    #[getter]
    fn _is_buffered(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(!self.following(py)?.events.is_empty())
    }

    /// The descriptor, readable when poll is worth a call; -1 once it is closed. It is the watch's: neither read nor close
    /// it.
    fn fileno(&self) -> RawFd {
        self.descriptor.load(Ordering::Acquire)
    }

    /// A duplicate of the descriptor, for a loop that goes on watching it, also when this is closed meanwhile; -1 once it is
    /// closed. It is the caller's to close.
    fn _duplicate(&self, py: Python<'_>) -> PyResult<RawFd> {
        if self.is_closed.load(Ordering::Acquire) {
            return Ok(-1);
        }
        // Whoever closes it has to wait for the lock.
        match &self.following(py)?.watcher {
            Some(watcher) => descriptor::given(py, watcher.as_fd(), "duplicate the descriptor of a watch"),
            None => Ok(-1),
        }
    }

    /// Ends it; a wait on another thread ends too. Once is enough, and more does no harm.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.descriptor.store(-1, Ordering::Release);
        // Who waits in it takes it down when the wait ends.
        if !self.store.get().is_foreign()
            && let Ok(mut following) = self.following.try_lock()
        {
            following.end();
        }
    }

    /// Whether close was called.
    #[getter]
    fn closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        // As a subclass has it.
        slf.call_method0("close").map(drop)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::stays("StoreWatch"))
    }
}

impl Watch {
    fn next(&self, py: Python<'_>, until: &Until) -> PyResult<Next> {
        loop {
            if self.is_closed.load(Ordering::Acquire) {
                self.close();
                return Ok(Next::End);
            }
            {
                let mut following = self.following(py)?;
                match following.next() {
                    Next::Nothing => {}
                    next => return Ok(next),
                }
            }
            let (following, slice) = (Arc::clone(&self.following), until.slice());
            let told = self.store.get().detached(py, move |_| {
                let mut following = following.lock().unwrap_or_else(PoisonError::into_inner);
                following.follow(slice)
            })?;
            match told {
                Next::Nothing => py.check_signals()?,
                next => return Ok(next),
            }
            if until.is_over() {
                return Ok(Next::Nothing);
            }
        }
    }

    /// What there is, unless another thread waits for more. A child made by fork comes no further.
    fn following(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Following>> {
        self.store.get().check(py)?;
        match self.following.try_lock() {
            Ok(following) => Ok(following),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(errors::raised(
                py,
                &Error::State {
                    what: "watch",
                    detail: "is waited in by another thread; make one for each thread".into(),
                },
            )),
        }
    }
}

impl Following {
    fn next(&mut self) -> Next {
        let Some(event) = self.events.pop_front() else {
            let is_over = self.is_compacted || self.watcher.is_none();
            return if is_over { Next::End } else { Next::Nothing };
        };
        let more = self.events.front().is_some_and(|next| next.sequence() == event.sequence());
        Next::Change(event, more)
    }

    fn follow(&mut self, timeout: std::time::Duration) -> trimtab::Result<Next> {
        if !self.events.is_empty() {
            // Another thread has been here.
            return Ok(self.next());
        }
        let Some(watcher) = &mut self.watcher else { return Ok(Next::End) };
        match watcher.next(timeout) {
            Ok(Watched::Events(events)) => {
                self.events = events.into();
                Ok(self.next())
            }
            Ok(Watched::Compacted { first }) => {
                self.is_compacted = true;
                Ok(Next::Compacted(first))
            }
            Err(Error::TimedOut { .. }) => Ok(Next::Nothing),
            Err(error) => Err(error),
        }
    }

    fn end(&mut self) {
        self.watcher = None;
        self.events.clear();
    }
}

/// One change of one key.
#[pyclass(frozen, module = "trimtab")]
pub(crate) struct Change {
    event: Event,
    more: bool,
}

#[pymethods]
impl Change {
    /// Why it came about, as a ChangeKind.
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        kind(py, number(self.event.kind()))
    }

    /// Where in the log it is: the version the key has then. Changes of one command have the same.
    #[getter]
    fn sequence(&self) -> u64 {
        self.event.sequence()
    }

    /// The sequence that created the key.
    #[getter]
    fn created(&self) -> u64 {
        self.event.created()
    }

    /// The key.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.event.key())
    }

    /// The value the key has then; None: it is gone.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.event.value().map(|value| PyBytes::new(py, value))
    }

    /// Whether the next change is of the same command, and seen together with this one.
    #[getter]
    fn more(&self) -> bool {
        self.more
    }

    fn __repr__(&self) -> String {
        format!("<trimtab.Change kind={:?} sequence={}>", self.event.kind(), self.event.sequence())
    }
}

/// What a watch gives when what comes next is not kept any more. Nothing comes behind it. To go on, read the range in a
/// view and watch from behind the view's sequence.
#[pyclass(frozen, module = "trimtab")]
pub(crate) struct Compacted {
    first: u64,
}

#[pymethods]
impl Compacted {
    /// ChangeKind.COMPACTED.
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        kind(py, 0)
    }

    /// The first sequence that can still be watched from.
    #[getter]
    fn first(&self) -> u64 {
        self.first
    }

    fn __repr__(&self) -> String {
        format!("<trimtab.Compacted first={}>", self.first)
    }
}

fn described(py: Python<'_>, next: Next) -> PyResult<Option<Bound<'_, PyAny>>> {
    Ok(match next {
        Next::Change(event, more) => Some(Bound::new(py, Change { event, more })?.into_any()),
        Next::Compacted(first) => Some(Bound::new(py, Compacted { first })?.into_any()),
        Next::Nothing | Next::End => None,
    })
}

fn kind(py: Python<'_>, number: u32) -> PyResult<Bound<'_, PyAny>> {
    errors::class(py, "trimtab._enums", "ChangeKind")?.call1((number,))
}

fn number(kind: EventKind) -> u32 {
    match kind {
        EventKind::Put => 1,
        EventKind::Incremented => 2,
        EventKind::Appended => 3,
        EventKind::LifetimeSet => 4,
        EventKind::Deleted => 5,
        EventKind::Expired => 6,
        EventKind::Evicted => 7,
        EventKind::Revoked => 8,
    }
}
