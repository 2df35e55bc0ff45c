//! What Python passes to a pool, as the library takes it.

use std::hash::{BuildHasher, RandomState};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use trimtab::balance::{Admin, Backend, BackendId, Observed, Timings};
use trimtab::time::{Clock, Instant};

use crate::convert::{self, Chosen};
use crate::errors;
use crate::pick::Pick;

/// Reads a `trimtab.Backend`.
pub(super) fn backend(described: &Bound<'_, PyAny>) -> PyResult<Backend> {
    let py = described.py();
    let address = described.getattr("address")?;
    let mut backend =
        Backend::parse(convert::text("address", &address)?).map_err(|error| errors::raised(py, &error))?;
    let name = described.getattr("name")?;
    if !name.is_none() {
        backend.name = Some(convert::text("name", &name)?.to_owned());
    }
    backend.weight = convert::whole("weight", 32, &described.getattr("weight")?)?;
    backend.maxconn = convert::whole("maxconn", 32, &described.getattr("maxconn")?)?;
    backend.tier = convert::whole("tier", 8, &described.getattr("tier")?)?;
    backend.tag = convert::whole("tag", 64, &described.getattr("tag")?)?;
    backend.admin = described.getattr("admin")?.extract::<Chosen<Admin>>()?.0;
    backend.observed = described.getattr("observed")?.extract::<Chosen<Observed>>()?.0;
    backend.connection_rate = convert::whole("connection_rate", 32, &described.getattr("connection_rate")?)?;
    backend.connection_burst =
        convert::whole("connection_burst", 32, &described.getattr("connection_burst")?)?;
    Ok(backend)
}

/// Backends to avoid. Numbers that no backend can have avoid nothing.
pub(super) fn ids(given: &Bound<'_, PyAny>) -> PyResult<Vec<BackendId>> {
    let mut ids = Vec::new();
    let items = given.try_iter().map_err(|_| convert::wrong_type("an iterable of backend ids", given))?;
    for item in items {
        let item = item?;
        if item.is_instance_of::<Pick>() {
            return Err(PyTypeError::new_err("ids wanted, not Pick; write avoid=[pick.backend]"));
        }
        ids.push(convert::id(&item)?);
    }
    Ok(ids)
}

#[inline]
pub(crate) fn timings(
    connect: Option<&Bound<'_, PyAny>>,
    first_byte: Option<&Bound<'_, PyAny>>,
    total: Option<&Bound<'_, PyAny>>,
) -> PyResult<Timings> {
    Ok(Timings {
        connect: convert::span_nanos("connect", connect)?,
        first_byte: convert::span_nanos("first_byte", first_byte)?,
        total: convert::span_nanos("total", total)?,
    })
}

pub(super) fn time(now: Option<&Bound<'_, PyAny>>) -> PyResult<Instant> {
    now.map_or_else(|| Ok(Clock.now()), convert::moment)
}

/// So that processes do not walk in step.
pub(super) fn random_seed() -> u64 {
    RandomState::new().hash_one(())
}
