//! What a store gives back: [`StoreResult`] and [`Entry`].

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use trimtab::Error;
use trimtab::embedded::Done;
use trimtab::store::engine::Durability;
use trimtab::store::index::{Answer, Found, Lifetime};

use crate::store::arguments::seconds_of;
use crate::{convert, errors};

/// What a key has.
#[pyclass(frozen, module = "trimtab")]
pub(crate) struct Entry {
    key: Py<PyBytes>,
    value: Py<PyBytes>,
    version: u64,
    created: u64,
    changes: u64,
    lifetime: Lifetime,
}

#[pymethods]
impl Entry {
    /// The key; b'' where whoever asked named it.
    #[getter]
    fn key(&self, py: Python<'_>) -> Py<PyBytes> {
        self.key.clone_ref(py)
    }

    /// The value.
    #[getter]
    fn value(&self, py: Python<'_>) -> Py<PyBytes> {
        self.value.clone_ref(py)
    }

    /// The sequence of its last change.
    #[getter]
    fn version(&self) -> u64 {
        self.version
    }

    /// The sequence that created it.
    #[getter]
    fn created(&self) -> u64 {
        self.created
    }

    /// How often it was changed since, its creation included.
    #[getter]
    fn changes(&self) -> u64 {
        self.changes
    }

    /// When it expires, as time.time() has it; None: not by itself.
    #[getter]
    fn deadline(&self) -> Option<f64> {
        match self.lifetime {
            Lifetime::Until(deadline) => Some(seconds_of(deadline)),
            _ => None,
        }
    }

    /// The id of the lease it goes with; None: none.
    #[getter]
    fn lease(&self) -> Option<u64> {
        match self.lifetime {
            Lifetime::Lease(id) => Some(id),
            _ => None,
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        // No stored data: these lines go into logs.
        let bytes = self.value.bind(py).as_bytes().len();
        Ok(format!("<trimtab.Entry version={} bytes={bytes}>", self.version))
    }
}

impl Entry {
    pub(crate) fn new(py: Python<'_>, key: &[u8], found: &Found) -> Self {
        Self {
            key: PyBytes::new(py, key).unbind(),
            value: PyBytes::new(py, &found.value).unbind(),
            version: found.version,
            created: found.created,
            changes: found.changes,
            lifetime: found.lifetime,
        }
    }
}

/// What came of a call, or of a step of a transaction. It is true when it was done.
#[pyclass(frozen, module = "trimtab")]
pub(crate) struct StoreResult {
    sequence: u64,
    durability: Durability,
    is_repeated: bool,
    nodes: u32,
    is_degraded: bool,
    position: (u64, u64),
    /// `Err`: a step that was refused, in a transaction that goes on even so.
    answer: Result<Answer, Error>,
}

#[pymethods]
impl StoreResult {
    /// Whether the condition held and it was done. Of a deletion: whether there was something to delete; of a
    /// transaction: whether all conditions held; of what reads a key: whether it is there.
    #[getter]
    pub(crate) fn is_done(&self) -> bool {
        match &self.answer {
            Ok(Answer::NotMet { .. }) | Err(_) => false,
            Ok(Answer::Deleted { count, .. }) => *count > 0,
            Ok(Answer::Got(found)) => found.is_some(),
            Ok(Answer::Transaction { is_met, .. }) => *is_met,
            Ok(_) => true,
        }
    }

    fn __bool__(&self) -> bool {
        self.is_done()
    }

    /// What was reached, what was asked for or more, as a Durability.
    #[getter]
    fn durability<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        errors::class(py, "trimtab._enums", "Durability")?.call1((convert::number(self.durability),))
    }

    /// Where in the log it is. For a request sent again, that of the first time.
    #[getter]
    fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The version of the key now, which is the sequence of its last change; 0: it is not there.
    #[getter]
    fn version(&self) -> u64 {
        match &self.answer {
            Ok(Answer::Put { .. } | Answer::Number(_) | Answer::Length(_) | Answer::LifetimeSet) => {
                self.sequence
            }
            Ok(Answer::NotMet { version, .. }) => *version,
            Ok(Answer::Got(Some(found))) => found.version,
            _ => 0,
        }
    }

    /// The sum, of an increment; else 0.
    #[getter]
    fn number(&self) -> i64 {
        match &self.answer {
            Ok(Answer::Number(number)) => *number,
            _ => 0,
        }
    }

    /// How many keys were deleted, or went with a lease; how many bytes the value has, after appending; how many steps
    /// of a transaction were done; else 0.
    #[getter]
    fn count(&self) -> u64 {
        match &self.answer {
            Ok(Answer::Deleted { count, .. } | Answer::Revoked { keys: count } | Answer::Length(count)) => {
                *count
            }
            Ok(Answer::Transaction { answers, .. }) => answers.len() as u64,
            _ => 0,
        }
    }

    /// When the lease ends without a keep-alive, as time.time() has it; else None.
    #[getter]
    fn deadline(&self) -> Option<f64> {
        match &self.answer {
            Ok(Answer::Lease { deadline }) => Some(seconds_of(*deadline)),
            _ => None,
        }
    }

    /// Whether it had been done before, by an earlier sending of the same request, and this is its answer.
    #[getter]
    fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// On how many nodes' disks it is known to be; 0 for what is in memory.
    #[getter]
    fn nodes(&self) -> u32 {
        self.nodes
    }

    /// Whether it is, in a cluster, on fewer nodes than was asked for, since the others did not answer in time.
    #[getter]
    fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// Where it is, in a cluster: the epoch and the entry of the log, for reads that are to see it.
    #[getter]
    fn position(&self) -> (u64, u64) {
        self.position
    }

    /// Whether a limit left some of the range.
    #[getter]
    fn more(&self) -> bool {
        matches!(&self.answer, Ok(Answer::Deleted { more: true, .. } | Answer::Range { more: true, .. }))
    }

    /// What was there before, or is there if it was not done, if that was asked for; else None.
    #[getter]
    fn previous(&self, py: Python<'_>) -> Option<Entry> {
        match &self.answer {
            Ok(
                Answer::Put { previous } | Answer::NotMet { previous, .. } | Answer::Deleted { previous, .. },
            ) => previous.as_ref().map(|found| Entry::new(py, b"", found)),
            _ => None,
        }
    }

    /// Of what reads a key: its Entry, or None when it is not there.
    #[getter]
    fn entry(&self, py: Python<'_>) -> Option<Entry> {
        match &self.answer {
            Ok(Answer::Got(found)) => found.as_ref().map(|found| Entry::new(py, b"", found)),
            _ => None,
        }
    }

    /// Of what reads a key: its value, or None when it is not there.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        match &self.answer {
            Ok(Answer::Got(found)) => found.as_ref().map(|found| PyBytes::new(py, &found.value)),
            _ => None,
        }
    }

    /// Of what reads a range: an Entry for each key, in the order asked for.
    #[getter]
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match &self.answer {
            Ok(Answer::Range { entries, .. }) => {
                PyTuple::new(py, entries.iter().map(|(key, found)| Entry::new(py, key, found)))
            }
            _ => Ok(PyTuple::empty(py)),
        }
    }

    /// Of a transaction: what came of each step of the branch that was done, in order.
    #[getter]
    fn steps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Ok(Answer::Transaction { answers, .. }) = &self.answer else { return Ok(PyTuple::empty(py)) };
        let steps = answers.iter().map(|answer| Self {
            sequence: self.sequence,
            durability: self.durability,
            is_repeated: self.is_repeated,
            nodes: self.nodes,
            is_degraded: self.is_degraded,
            position: self.position,
            answer: answer.clone().map_err(Error::from),
        });
        PyTuple::new(py, steps)
    }

    /// Of a step that was refused, in a transaction that goes on even so: why, as an exception; else None.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = self.answer.as_ref().err()?;
        Some(errors::raised(py, error).into_value(py).into_any())
    }

    fn __repr__(&self) -> String {
        let (sequence, durability) = (self.sequence, self.durability.name());
        format!(
            "<trimtab.StoreResult is_done={} sequence={sequence} durability={durability}>",
            self.is_done()
        )
    }
}

impl StoreResult {
    pub(crate) fn new(done: Done) -> Self {
        Self {
            sequence: done.sequence,
            durability: done.durability,
            is_repeated: done.is_repeated,
            nodes: done.nodes,
            is_degraded: done.is_degraded,
            position: (done.epoch, done.entry),
            answer: Ok(done.answer),
        }
    }

    /// What it was made of; `None` for a step that failed.
    pub(crate) fn done(&self) -> Option<Done> {
        let (epoch, entry) = self.position;
        Some(Done {
            sequence: self.sequence,
            durability: self.durability,
            nodes: self.nodes,
            is_degraded: self.is_degraded,
            epoch,
            entry,
            is_repeated: self.is_repeated,
            answer: self.answer.clone().ok()?,
        })
    }
}
