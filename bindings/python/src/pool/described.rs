//! What a pool counts, as the tuples of `trimtab._types`.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use trimtab::balance::BackendStatistics;
use trimtab::time::Instant;

use crate::{convert, errors};

/// Makes statistics into Python's tuples.
pub(super) struct Described<'py> {
    tuple: Bound<'py, pyo3::types::PyType>,
    admin: Bound<'py, pyo3::types::PyType>,
    observed: Bound<'py, pyo3::types::PyType>,
}

impl<'py> Described<'py> {
    pub(super) fn new(py: Python<'py>) -> PyResult<Self> {
        Ok(Self {
            tuple: errors::class(py, "trimtab._types", "BackendStatistics")?,
            admin: errors::class(py, "trimtab._enums", "Admin")?,
            observed: errors::class(py, "trimtab._enums", "Observed")?,
        })
    }

    pub(super) fn backend(&self, counted: &BackendStatistics) -> PyResult<Bound<'py, PyAny>> {
        const NANOS: f64 = 1e9;
        let py = self.tuple.py();
        let response_mean = (counted.response_mean_ns > 0).then(|| counted.response_mean_ns as f64 / NANOS);
        let fields: [Bound<'py, PyAny>; 26] = [
            counted.id.as_u64().into_pyobject(py)?.into_any(),
            PyString::new(py, &counted.name).into_any(),
            PyString::new(py, &counted.address).into_any(),
            counted.weight.into_pyobject(py)?.into_any(),
            counted.maxconn.into_pyobject(py)?.into_any(),
            counted.tier.into_pyobject(py)?.into_any(),
            counted.tag.into_pyobject(py)?.into_any(),
            self.admin.call1((convert::number(counted.admin),))?,
            self.observed.call1((convert::number(counted.observed),))?,
            counted.serving.into_pyobject(py)?.to_owned().into_any(),
            counted.picks.into_pyobject(py)?.into_any(),
            counted.in_flight.into_pyobject(py)?.into_any(),
            counted.outcomes.success.into_pyobject(py)?.into_any(),
            counted.outcomes.connect_failed.into_pyobject(py)?.into_any(),
            counted.outcomes.failed.into_pyobject(py)?.into_any(),
            counted.outcomes.timed_out.into_pyobject(py)?.into_any(),
            counted.outcomes.cancelled.into_pyobject(py)?.into_any(),
            response_mean.into_pyobject(py)?.into_any(),
            counted.share.into_pyobject(py)?.into_any(),
            counted.limit.into_pyobject(py)?.into_any(),
            counted.consecutive_errors.into_pyobject(py)?.into_any(),
            counted.connection_rate.into_pyobject(py)?.into_any(),
            counted.connection_burst.into_pyobject(py)?.into_any(),
            counted
                .observed_since_ns
                .map(|since| convert::seconds_of(Instant::from_nanos(since)))
                .into_pyobject(py)?
                .into_any(),
            counted.slow_start.into_pyobject(py)?.into_any(),
            counted.reason.as_deref().into_pyobject(py)?.into_any(),
        ];
        self.tuple.call1(PyTuple::new(py, fields)?)
    }
}
