//! Keywords to [`Options`].

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use trimtab::embedded::Options;
use trimtab::store::engine::Durability;
use trimtab::store::index::evict::Eviction;
use trimtab::store::log::Identity;

use crate::convert::{self, Chosen};
use crate::errors;

/// What a store is told, by the names that Python has for it. The library checks ranges.
pub(crate) fn read(given: &Bound<'_, PyDict>) -> PyResult<Options> {
    let mut options = Options::default();
    for (name, value) in given.iter() {
        if value.is_none() {
            // The default, which of two is no limit.
            continue;
        }
        let name: String = name.extract()?;
        set(&mut options, &name, &value)?;
    }
    Ok(options)
}

fn set(options: &mut Options, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let bytes = |what| convert::whole::<u64>(what, 64, value);
    let count = |what| convert::whole::<usize>(what, 64, value);
    let span = |what| convert::span(what, value);
    let engine = &mut options.engine;
    match name {
        "identity" => options.identity = Some(identity(value)?),
        "timeout" => options.timeout = span("timeout")?,
        "hosted" => options.is_hosted = value.extract()?,
        "waiting_max" => options.waiting_max = count("waiting_max")?,
        "durability" => engine.durability = value.extract::<Chosen<Durability>>()?.0,
        "flush_interval" => engine.flush_interval = span("flush_interval")?,
        "flush_bytes" => engine.flush_bytes = bytes("flush_bytes")?,
        "snapshot_bytes" => engine.snapshot_bytes = bytes("snapshot_bytes")?,
        "snapshot_retry" => engine.snapshot_retry = span("snapshot_retry")?,
        "eviction" => engine.eviction = value.extract::<Chosen<Eviction>>()?.0,
        "eviction_places" => engine.eviction_places = count("eviction_places")?,
        "memory_max" => engine.settings.memory_max = bytes("memory_max")?,
        "value_max" => engine.settings.value_max = bytes("value_max")?,
        "operations_max" => engine.settings.operations_max = bytes("operations_max")?,
        "clients_max" => engine.settings.clients_max = bytes("clients_max")?,
        "client_bytes_max" => engine.settings.client_bytes_max = bytes("client_bytes_max")?,
        "segment_bytes" => engine.log.segment_bytes = bytes("segment_bytes")?,
        "pending_bytes_max" => engine.log.pending_bytes_max = bytes("pending_bytes_max")?,
        "disk_bytes_max" => engine.log.disk_bytes_max = Some(bytes("disk_bytes_max")?),
        "kept_bytes" => engine.log.kept_bytes = bytes("kept_bytes")?,
        "disk_retry" => engine.log.retry = span("disk_retry")?,
        // No time is no pass, but when it is asked for.
        "scrub_interval" => {
            options.scrub_interval = Some(span("scrub_interval")?).filter(|interval| !interval.is_zero());
        }
        "scrub_bytes_per_second" => options.scrub_bytes_per_second = bytes("scrub_bytes_per_second")?,
        "history_bytes_max" => engine.index.history_bytes_max = bytes("history_bytes_max")?,
        other => return Err(PyTypeError::new_err(format!("Store has no keyword {other:?}"))),
    }
    Ok(())
}

/// A cluster's 16 bytes and a node's number.
fn identity(given: &Bound<'_, PyAny>) -> PyResult<Identity> {
    let (cluster, node): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
        given.extract().map_err(|_| convert::wrong_argument("identity", "a cluster and a node", given))?;
    let cluster = convert::bytes("identity.cluster", cluster.as_borrowed())?;
    let cluster = cluster.as_ref().try_into().map_err(|_| {
        let detail = format!("it has {} bytes, and 16 are wanted", cluster.len());
        errors::invalid(given.py(), "identity.cluster", detail)
    })?;
    Ok(Identity { cluster, node: convert::whole("identity.node", 64, &node)? })
}
