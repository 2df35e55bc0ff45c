//! The backup of a directory that nobody has open.

use std::path::Path;

use super::{Options, Report, clock_ms, folder, random, seed};
use crate::driver::log::FileDisk;
use crate::error::{Error, Result};
use crate::store::backup::{Added, Target};
use crate::store::log::record::Vote;
use crate::store::log::{Log, Options as LogOptions, Sequence, find_label, open};

/// Backs up the store in the directory `from`, which nobody has open, to the directory `to`: all of it, or what came since
/// the last time. Takes the lock of `from`, and changes nothing there. The backup is made if it is not there; if
/// this stops midway it is as it was before. Blocks for the disk.
///
/// # Errors
///
/// `State` when somebody has the store open, or adds to the backup; when the store is behind the backup, or has gone
/// another way since. `InvalidArgument` when there is something else in `to`, or a backup of another store. `NotFound` when
/// there is no store in `from`. `Corrupt` when either is damaged, `Io`.
pub fn backup_closed(from: impl AsRef<Path>, to: impl AsRef<Path>, options: &Options) -> Result<Report> {
    // Only to look: the other kind makes the directory if it is not there.
    find_label(&FileDisk::read_only(from.as_ref())?)?;
    let source = FileDisk::new(from.as_ref())?;
    let label = find_label(&source)?;
    let random = random()?;
    let log_options = LogOptions { segment_bytes: label.segment_bytes, ..LogOptions::default() };
    // What it writes, it would write later.
    let (log, report) = open(&source, log_options, label.identity, seed(&random), &mut |_| {})?;
    folder::check_backup(to.as_ref())?;
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
        let Some(plan) = plan(&log, from, last)? else { return Ok(Added::Gone) };
        target.entries(&source, &plan, through_ms, seed(&random), &mut || Ok(()))
    };
    let from = target.last().max(Sequence(1));
    let is_new = last > target.last();
    let is_anew = options.is_full && snapshot > target.last();
    if is_new && (is_anew || extend(&mut target, from)? == Added::Gone) {
        target.copy_snapshot(&source, snapshot)?;
        let is_joined = from > Sequence(1) && extend(&mut target, from)? == Added::Done;
        if !is_joined && last > snapshot {
            extend(&mut target, snapshot.next())?;
        }
    }
    let manifest = target.finish(through_ms, is_replicated)?;
    Ok(Report::new(&before, manifest))
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
