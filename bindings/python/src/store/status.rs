//! How a store is, and what opening found, as the tuples of `trimtab._store_types`.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use trimtab::Error;
use trimtab::embedded::Status;
use trimtab::store::engine::Report;

use crate::errors;

/// A `trimtab.StoreStatus`.
pub(crate) fn described<'py>(py: Python<'py>, status: &Status) -> PyResult<Bound<'py, PyAny>> {
    let failed = |error: &Option<Error>| exception(py, error);
    let counts = &status.counts;
    let counts = errors::class(py, TYPES, "StoreCounts")?.call1((
        counts.submitted,
        counts.joined,
        counts.refused,
        counts.applied,
        counts.flushes,
        counts.flushed_bytes,
        counts.clock_steps,
        counts.expiries,
        counts.evictions,
        counts.snapshots,
        counts.snapshots_failed,
    ))?;
    // A tuple of Rust's has twelve at most.
    let scrub = &status.scrub;
    let rest = PyDict::new(py);
    rest.set_item("scrub_passes", scrub.passes)?;
    rest.set_item("scrub_bytes", scrub.verified_bytes)?;
    let finished = (scrub.finished_ms > 0).then(|| scrub.finished_ms as f64 / 1e3);
    rest.set_item("scrub_finished", finished)?;
    rest.set_item("scrub_damages", scrub.damages)?;
    rest.set_item("scrub_mended", scrub.mended)?;
    rest.set_item("scrub_failure", failed(&scrub.damage))?;
    let first = (
        failed(&status.failure),
        failed(&status.problem),
        failed(&status.snapshot_error),
        status.sequence,
        status.durable,
        status.applied,
        status.snapshot,
        status.keys,
        status.memory_bytes,
        status.disk_bytes,
        status.pending_bytes,
        counts,
    );
    errors::class(py, TYPES, "StoreStatus")?.call(first, Some(&rest))
}

/// A `trimtab.StoreReport`.
pub(crate) fn reported<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyAny>> {
    let log = &report.log;
    // A tuple of Rust's has twelve at most.
    let rest = PyDict::new(py);
    rest.set_item("torn_bytes", log.torn.as_ref().map_or(0, |torn| torn.bytes))?;
    rest.set_item("covered", log.covered.as_ref().map(|covered| (&covered.file, covered.offset)))?;
    rest.set_item("covered_segments", log.covered.as_ref().map_or(0, |covered| covered.segments))?;
    let first = (
        log.segments,
        log.records,
        log.bytes,
        log.first.map(|sequence| sequence.0),
        log.last.0,
        log.snapshot.map(|sequence| sequence.0),
        log.torn.as_ref().map(|torn| (&torn.file, torn.offset)),
        log.is_closed,
        report.replayed,
        report.ahead_ms as f64 / 1e3,
        exception(py, &report.settings_refused),
    );
    errors::class(py, TYPES, "StoreReport")?.call(first, Some(&rest))
}

fn exception(py: Python<'_>, error: &Option<Error>) -> Option<Py<PyAny>> {
    error.as_ref().map(|error| errors::raised(py, error).into_value(py).into_any())
}

pub(crate) const TYPES: &str = "trimtab._store_types";
