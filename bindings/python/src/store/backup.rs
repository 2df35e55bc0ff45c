//! Backups, and what is made of them: the functions of the module, and what `Store.backup` gives.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use trimtab::backup::{self, Manifest, Options, Point, Report, RestoreOptions, Restored};

use crate::convert;
use crate::errors;
use crate::store::arguments;
use crate::store::door;
use crate::store::status::TYPES;

/// Backs up a store that nobody has open, as Store.backup does. Its directory is not changed.
///
/// - path: the store's directory; to: as there.
/// - full: begin anew with the store's last snapshot, if that is newer than the backup.
///
/// Raises what that does, StateError also when somebody has the store open, NotFoundError when there is none.
#[pyfunction]
#[pyo3(signature = (path, to, *, full = false))]
pub(crate) fn backup_closed<'py>(
    py: Python<'py>,
    path: PathBuf,
    to: PathBuf,
    full: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let report = door::aside(py, move || backup::backup_closed(path, to, &Options { is_full: full }))?;
    reported(py, &report.map_err(|error| errors::raised(py, &error))?)
}

/// Reads all of a backup, and gives what it holds, as a BackupReport of which nothing was added. Lets other threads run;
/// Ctrl-C ends the wait.
///
/// Raises NotFoundError when there is none, CorruptError when it is damaged (it says which file, and where),
/// UnsupportedError when a later release wrote it, IoError.
#[pyfunction]
pub(crate) fn backup_verify(py: Python<'_>, backup: PathBuf) -> PyResult<Bound<'_, PyAny>> {
    let manifest = door::aside(py, move || backup::verify(backup))?;
    held(py, &manifest.map_err(|error| errors::raised(py, &error))?, 0, 0, 0)
}

/// Makes a store in a directory of a backup, and gives what it came to, as a Restored. Nothing may be in the directory but
/// what an earlier restore left that did not come to its end; until this has, nobody opens it. Lets other threads run;
/// Ctrl-C ends the wait, and the restore goes on.
///
/// - backup: the backup's directory; to: the one to restore into, made if it is not there.
/// - sequence: to how it was after this entry; at: to how it was then by the store's clock, as time.time() has it or as a
///   datetime. One at most; none: the last that the backup holds.
/// - same_identity: False (default): it is node 1 of a new cluster, and nobody takes it for what it was. True: it keeps the
///   identity of the store that was backed up, which must then never be opened again; refused for one that has replicated.
///
/// Raises InvalidArgumentError when there is something in the directory, for a point that the backup does not hold (it says
/// what it holds) and for the identity of a store that has replicated; NotFoundError when there is no backup,
/// CorruptError, UnsupportedError when a later release wrote it, IoError. The directory is as it was before then.
#[pyfunction]
#[pyo3(signature = (backup, to, *, sequence = None, at = None, same_identity = false))]
pub(crate) fn restore<'py>(
    py: Python<'py>,
    backup: PathBuf,
    to: PathBuf,
    sequence: Option<&Bound<'_, PyAny>>,
    at: Option<&Bound<'_, PyAny>>,
    same_identity: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let point = match (sequence, at) {
        (None, None) => Point::End,
        (Some(sequence), None) => Point::Sequence(convert::whole("sequence", 64, sequence)?),
        (None, Some(at)) => Point::Time(arguments::moment(at)?.as_millis()),
        (Some(_), Some(_)) => {
            let detail = "of sequence and at only one can be asked for".into();
            return Err(errors::invalid(py, "sequence", detail));
        }
    };
    let restored = door::aside(py, move || {
        let identity = same_identity.then(|| backup::read_manifest(&backup)).transpose()?;
        let identity = identity.map(|manifest| manifest.identity);
        backup::restore(&backup, to, &RestoreOptions { point, identity })
    })?;
    let Restored { identity, sequence, clock_ms, snapshot, entries } =
        restored.map_err(|error| errors::raised(py, &error))?;
    let identity = (PyBytes::new(py, &identity.cluster), identity.node);
    errors::class(py, TYPES, "Restored")?.call1((sequence, seconds(clock_ms), snapshot, entries, identity))
}

/// A `trimtab.BackupReport`.
pub(crate) fn reported<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyAny>> {
    held(py, &report.manifest, report.bytes, report.entries, report.snapshot)
}

fn held<'py>(
    py: Python<'py>,
    manifest: &Manifest,
    bytes: u64,
    entries: u64,
    snapshot: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let spans = manifest.spans();
    let last = spans.last();
    errors::class(py, TYPES, "BackupReport")?.call1((
        spans.len(),
        last.map_or(0, |span| span.first),
        last.map_or(0, |span| span.last),
        last.map(|span| seconds(span.first_ms)),
        last.map(|span| seconds(span.last_ms)),
        manifest.bytes(),
        bytes,
        entries,
        snapshot,
    ))
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}
