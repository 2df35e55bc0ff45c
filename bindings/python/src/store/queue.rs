//! [`Queue`]: operations submitted, and completed through a descriptor.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use trimtab::Error;
use trimtab::embedded::{self, Submission};

use crate::convert::{self, Timeout};
use crate::errors;
use crate::store::answer::StoreResult;
use crate::store::arguments::{Reach, Request, Wait};
use crate::store::cluster;
use crate::store::operation::Operation;
use crate::store::{Store, door};
use crate::wait::Until;

/// Operations that are submitted without waiting for them, for a loop of your own: select and selectors take the queue
/// itself, which is readable while something is done and not taken. trimtab.aio has it in asyncio.
///
/// Each operation that was taken is completed once. Any thread may use it at any time. A context manager: leaving the
/// block closes it. What is under way then is done even so, and nobody is told.
#[pyclass(frozen, weakref, name = "StoreQueue", module = "trimtab")]
pub(crate) struct Queue {
    /// `None` once closed. Locked for moments only, and only by the thread that Python runs.
    queue: RwLock<Option<Arc<embedded::Queue>>>,
    store: Py<Store>,
}

#[pymethods]
impl Queue {
    /// Submits one operation. Does not block.
    ///
    /// - user_data: comes back with the completion; 0 to 2^64 - 1.
    /// - durability, request: as for Store.put.
    ///
    /// Raises CapacityError when as many are under way, or done and not taken, as the queue was made for.
    #[pyo3(signature = (operation, user_data = None, *, durability = None, request = None),
        text_signature = "($self, operation, user_data=0, *, durability=None, request=None)")]
    fn submit(
        &self,
        py: Python<'_>,
        operation: PyRef<'_, Operation>,
        user_data: Option<&Bound<'_, PyAny>>,
        durability: Option<Reach>,
        request: Option<Request>,
    ) -> PyResult<()> {
        let user_data = user_data.map_or(Ok(0), |data| convert::whole("user_data", 64, data))?;
        self.submitted(py, &[Submitted { operation, user_data, reach: durability, request }]).map(drop)
    }

    /// Submits several operations at once, in order, as far as it can be; says how many were taken. Does not block.
    ///
    /// - submissions: an iterable of Submission, or of tuples like it.
    ///
    /// Raises why the first was not taken if none was: submit those that are left to see why they were not.
    fn submit_all(&self, py: Python<'_>, submissions: &Bound<'_, PyAny>) -> PyResult<usize> {
        let given = submissions.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let mut read = Vec::with_capacity(given.len());
        for one in &given {
            match Submitted::read(one) {
                Ok(one) => read.push(one),
                Err(error) if read.is_empty() => return Err(error),
                // Those before it are submitted; it is told when it is the first.
                Err(_) => break,
            }
        }
        self.submitted(py, &read)
    }

    /// Asks to be told once the log is on this disk up to sequence, as Store.wait_durable. The completion's result has the
    /// sequence up to which it is by then. Does not block.
    ///
    /// - user_data: comes back with the completion; 0 to 2^64 - 1.
    ///
    /// Raises CapacityError when as many are under way, or done and not taken, as the queue was made for.
    #[pyo3(signature = (sequence, user_data = None), text_signature = "($self, sequence, user_data=0)")]
    fn submit_durable(
        &self,
        py: Python<'_>,
        sequence: &Bound<'_, PyAny>,
        user_data: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let sequence = convert::whole("sequence", 64, sequence)?;
        let user_data = user_data.map_or(Ok(0), |data| convert::whole("user_data", 64, data))?;
        let queue = self.queue(py)?;
        self.store.get().detached(py, move |_| queue.submit_durable(sequence, user_data))
    }

    /// Asks, in a cluster, to be told once what is on this node is as fresh as is asked, as Store.view. Does not block.
    #[pyo3(signature = (user_data, level = None, age_max = None, position = None))]
    fn _submit_fresh(
        &self,
        py: Python<'_>,
        user_data: u64,
        level: Option<&Bound<'_, PyAny>>,
        age_max: Option<&Bound<'_, PyAny>>,
        position: Option<cluster::At>,
    ) -> PyResult<()> {
        let read = cluster::read(py, level, age_max, position, Wait::Usual)?;
        let queue = self.queue(py)?;
        self.store.get().detached(py, move |_| queue.submit_fresh(&read, user_data))
    }

    /// Asks, in a cluster, what came of a request, as Store.outcome. Store._outcome_of reads the result. Does not block.
    fn _submit_outcome(&self, py: Python<'_>, user_data: u64, request: Request) -> PyResult<()> {
        let queue = self.queue(py)?;
        self.store.get().detached(py, move |_| queue.submit_outcome(&request.0, None, user_data))
    }

    /// Takes back what only waits and is not done: of what was submitted with this user_data, what submit_durable was asked.
    /// It is never completed, and its place is free. Gives how many there were. Writes are done and completed as ever, and
    /// what is done is to be taken: neither is counted. Does not block.
    #[pyo3(signature = (user_data = None), text_signature = "($self, user_data=0)")]
    fn cancel(&self, py: Python<'_>, user_data: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let user_data = user_data.map_or(Ok(0), |data| convert::whole("user_data", 64, data))?;
        let queue = self.queue(py)?;
        door::without(py, move || queue.cancel(user_data)).map_err(|error| Store::raised(py, &error))
    }

    /// What is done, at most max (1 to 65,536) of it, as Completions in the order in which it was done. Does not block.
    #[pyo3(signature = (max = None), text_signature = "($self, max=256)")]
    fn take<'py>(&self, py: Python<'py>, max: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyList>> {
        let max = most(max)?;
        completions(py, self.queue(py)?.take(max))
    }

    /// Waits until something is done, and takes it. Ctrl-C ends the wait.
    ///
    /// - timeout: seconds or timedelta; None (default) waits as long as it takes.
    ///
    /// Raises TimedOutError.
    #[pyo3(signature = (max = None, timeout = Timeout::EVER), text_signature = "($self, max=256, timeout=None)")]
    fn wait<'py>(
        &self,
        py: Python<'py>,
        max: Option<&Bound<'py, PyAny>>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyList>> {
        let max = most(max)?;
        let until = Until::new(&timeout);
        loop {
            let (queue, slice) = (self.queue(py)?, until.slice());
            // Closed here or by its server; what was under way is answered first.
            let closed = self.store.get().read(py, embedded::Store::present).err();
            let is_last = closed.is_some() && queue.under_way() == 0;
            let slice = if is_last { Duration::ZERO } else { slice };
            match door::without(py, move || queue.wait(max, slice)) {
                Err(Error::TimedOut { .. }) => {}
                waited => {
                    return completions(py, waited.map_err(|error| Store::raised(py, &error))?);
                }
            }
            if let Some(closed) = closed.filter(|_| is_last) {
                return Err(closed);
            }
            py.check_signals()?;
            if until.is_over() {
                return Err(errors::raised(py, &Error::TimedOut { what: "completion" }));
            }
        }
    }

    /// How many were submitted and are not done.
    #[getter]
    fn under_way(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.queue(py)?.under_way())
    }

    /// The descriptor, readable while something is done and not taken; -1 once the queue is closed. It is the queue's:
    /// neither read nor close it.
    fn fileno(&self) -> RawFd {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(-1, |queue| queue.as_fd().as_raw_fd())
    }

    /// Gives the descriptor back; once is enough, and more does no harm.
    fn close(&self, py: Python<'_>) {
        let queue = self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
        // What waits in the store is taken out of it.
        py.detach(|| drop(queue));
    }

    /// Whether close was called.
    #[getter]
    fn closed(&self) -> bool {
        self.queue.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) {
        self.close(py);
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::stays("StoreQueue"))
    }
}

impl Queue {
    pub(crate) fn new(store: &Bound<'_, Store>, capacity: usize) -> PyResult<Self> {
        let queue = store.get().detached(store.py(), move |store| store.queue(capacity))?;
        Ok(Self { queue: RwLock::new(Some(Arc::new(queue))), store: store.clone().unbind() })
    }

    /// What there is to call, also when the store is closed, which completes what was under way. A child made by fork
    /// comes no further: its parent may have been amidst a completion.
    fn queue(&self, py: Python<'_>) -> PyResult<Arc<embedded::Queue>> {
        if self.store.get().is_foreign() {
            return Err(errors::forked(py, "store"));
        }
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.clone().ok_or_else(|| errors::closed(py, "queue"))
    }

    fn submitted(&self, py: Python<'_>, submissions: &[Submitted<'_>]) -> PyResult<usize> {
        let queue = self.queue(py)?;
        let now = match submissions.iter().any(|one| one.operation.needs_time()) {
            true => self.store.get().read(py, embedded::Store::present)?,
            false => Default::default(),
        };
        let batch: Vec<_> = submissions
            .iter()
            .map(|one| Submission {
                operation: one.operation.at(now),
                request: one.request.map(|request| request.0),
                durability: one.reach.as_ref().and_then(|reach| reach.durability),
                nodes: one.reach.as_ref().map_or(0, |reach| reach.nodes),
                user_data: one.user_data,
            })
            .collect();
        let (taken, result) = self.store.get().detached(py, |_| Ok(queue.submit(&batch)))?;
        match result {
            Err(error) if taken == 0 => Err(Store::raised(py, &error)),
            _ => Ok(taken),
        }
    }
}

/// One submission, as Python gave it.
struct Submitted<'py> {
    operation: PyRef<'py, Operation>,
    user_data: u64,
    reach: Option<Reach>,
    request: Option<Request>,
}

impl<'py> Submitted<'py> {
    fn read(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        let wrong = || convert::wrong_argument("submissions", "a Submission in it", given);
        let tuple = given.cast::<PyTuple>().map_err(|_| wrong())?;
        let item = |at| tuple.get_item(at);
        if !(1..=4).contains(&tuple.len()) {
            return Err(wrong());
        }
        let rest = |at: usize| if at < tuple.len() { item(at).map(Some) } else { Ok(None) };
        Ok(Self {
            operation: item(0)?.extract::<PyRef<'py, Operation>>().map_err(|_| wrong())?,
            user_data: rest(1)?.map_or(Ok(0), |data| convert::whole("user_data", 64, &data))?,
            reach: rest(2)?.map_or(Ok(None), |given| given.extract())?,
            request: rest(3)?.map_or(Ok(None), |given| given.extract())?,
        })
    }
}

/// What came of a submission.
#[pyclass(frozen, module = "trimtab")]
pub(crate) struct Completion {
    user_data: u64,
    result: Option<Py<StoreResult>>,
    error: Option<Py<PyAny>>,
}

#[pymethods]
impl Completion {
    /// As it was submitted.
    #[getter]
    fn user_data(&self) -> u64 {
        self.user_data
    }

    /// What was done; None when it failed.
    #[getter]
    fn result(&self, py: Python<'_>) -> Option<Py<StoreResult>> {
        self.result.as_ref().map(|result| result.clone_ref(py))
    }

    /// Why it failed, as an exception; None when it was done.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.error.as_ref().map(|error| error.clone_ref(py))
    }

    fn __repr__(&self) -> String {
        let how = if self.error.is_some() { "failed" } else { "done" };
        format!("<trimtab.Completion user_data={} {how}>", self.user_data)
    }
}

fn most(max: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
    let max = max.map_or(Ok(256), |given| convert::within("max", 1..=65_536, given))?;
    Ok(usize::try_from(max).expect("65,536 fits"))
}

fn completions(py: Python<'_>, done: Vec<embedded::Completed>) -> PyResult<Bound<'_, PyList>> {
    let completions = done.into_iter().map(|completed| {
        let (result, error) = match completed.result {
            Ok(done) => (Some(Py::new(py, StoreResult::new(done))?), None),
            Err(error) => (None, Some(Store::raised(py, &error).into_value(py).into_any())),
        };
        Bound::new(py, Completion { user_data: completed.user_data, result, error })
    });
    PyList::new(py, completions.collect::<PyResult<Vec<_>>>()?)
}
