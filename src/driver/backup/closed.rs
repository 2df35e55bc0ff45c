//! The backup of a directory that nobody has open.

use std::path::Path;

use super::{Options, Report, clock_ms, folder, not_there, random, seed};
use crate::driver::log::FileDisk;
use crate::driver::store::now;
use crate::error::{Error, Result};
use crate::store::backup::{Added, Target, last_payload_crc};
use crate::store::engine::replicated::open_to_view;
use crate::store::engine::{self, Engine};
use crate::store::log::record::Vote;
use crate::store::log::{Log, Options as LogOptions, Sequence, Written, find_label, open};

/// Backs up the store in the directory `from`, which nobody has open, to the directory `to`: all of it, or what came since
/// the last time. Takes the lock of `from`, and changes nothing there. The backup is made if it is not there; if
/// this stops midway it is as it was before. Blocks for the disk.
///
/// # Errors
///
/// `State` when somebody has the store open, or adds to the backup; when that takes no more; when the store is behind the backup, or has gone
/// another way since. `InvalidArgument` when there is something else in `to`, a backup of another store, or when it is in `from`.
/// `NotFound` when there is no store in `from`. `Corrupt` when either is damaged, `Io`.
pub fn backup_closed(from: impl AsRef<Path>, to: impl AsRef<Path>, options: &Options) -> Result<Report> {
    // One that is not there is not made, and one that cannot be written is read.
    let source =
        FileDisk::existing(from.as_ref()).map_err(|error| not_there(error, "store", from.as_ref()))?;
    let label = find_label(&source)?;
    let random = random()?;
    let log_options = LogOptions { segment_bytes: label.segment_bytes, ..LogOptions::default() };
    // What it writes, it would write later.
    let (log, report) = open(&source, log_options.clone(), label.identity, seed(&random), &mut |_| {})?;
    folder::check_backup(to.as_ref())?;
    folder::check_apart(from.as_ref(), to.as_ref())?;
    let disk = FileDisk::new(to.as_ref())?;
    let mut target = Target::open(&disk, label.identity, label.segment_bytes)?;
    let before = target.manifest().clone();
    let (state, snapshot) = (log.state(), report.snapshot.unwrap_or_default());
    let is_replicated = !state.membership.is_empty() || state.vote != Vote::default();
    // With others, what is not committed may yet be replaced.
    let last = if is_replicated { state.commit } else { state.last };
    check_last(last, target.last())?;
    let through_ms = clock_ms();
    let extend = |target: &mut Target<'_, FileDisk>, from: Sequence| -> Result<Added> {
        if from > last {
            return Ok(Added::Done);
        }
        let Some(plan) = plan(&log, from, last)? else { return Ok(Added::Gone) };
        target.entries(&source, &plan, through_ms, seed(&random), &mut || Ok(()))
    };
    let from = target.last().max(Sequence(1));
    let is_new = last > target.last();
    let is_anew = options.is_full && last > Sequence(0);
    // Also without anything new: the last entry of both is held against each other.
    let added = extend(&mut target, from)?;
    if is_anew || added == Added::Gone && is_new {
        // The log's own is read and written as it is, and of the state there is none yet.
        let is_copied = snapshot == last || !is_anew && snapshot > target.last();
        let base = if is_copied { snapshot } else { last };
        if !target.manifest().has_snapshot(base) {
            let entry = plan(&log, base, base)?;
            let crc = entry.and_then(|entry| last_payload_crc(&source, &entry));
            match is_copied {
                true => target.copy_snapshot(&source, base, crc)?,
                false => {
                    target.check_room()?;
                    let options = engine::Options { log: log_options, ..engine::Options::default() };
                    let engine =
                        open_to_view(&source, options, label.identity, is_replicated, seed(&random), now())?;
                    target.snapshot(&write_view(engine, &disk)?, crc);
                }
            }
            if added == Added::Gone {
                extend(&mut target, base.next())?;
            }
        }
    }
    let manifest = target.finish(through_ms, is_replicated)?;
    Ok(Report::new(&before, manifest))
}

/// Writes the state that an engine was opened with.
fn write_view(mut engine: Engine, disk: &FileDisk) -> Result<Written> {
    let mut job = engine.view_job(now());
    loop {
        if let Some(written) = job.step(disk)? {
            return Ok(written);
        }
    }
}

/// Where the entries lie; `None` when the log has not all of them.
pub(super) fn plan(log: &Log, from: Sequence, to: Sequence) -> Result<Option<crate::store::log::Plan>> {
    match log.plan(from, to) {
        Ok(plan) => Ok(Some(plan)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A store that is behind its backup has lost something, or is not the one that was backed up.
pub(super) fn check_last(store: Sequence, backup: Sequence) -> Result<()> {
    if store >= backup {
        return Ok(());
    }
    Err(Error::State {
        what: "store",
        detail: format!(
            "is at entry {store}, behind the backup, which has {backup}; so it has lost something or gone another way: \
             take another directory"
        )
        .into(),
    })
}
