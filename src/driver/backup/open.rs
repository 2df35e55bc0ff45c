//! The backup of a store that is open, beside everything else.

use std::path::Path;

use super::closed::{check_last, plan};
use super::{Options, Report, folder, random, seed};
use crate::driver::log::FileDisk;
use crate::driver::store::Shared;
use crate::error::{Error, Result};
use crate::store::backup::{Added, Target, last_payload_crc};
use crate::store::log::record::Vote;
use crate::store::log::{Disk, File, Identity, Sequence};

/// A backup being taken.
pub(in crate::driver) struct Job<'s> {
    pub(in crate::driver) shared: &'s Shared,
    /// The store's directory, with descriptors of its own: the store may be closed meanwhile.
    pub(in crate::driver) source: FileDisk,
    pub(in crate::driver) identity: Identity,
    pub(in crate::driver) segment_bytes: u64,
    /// Waits until all that was taken so far is on disk.
    pub(in crate::driver) sync: &'s dyn Fn() -> Result<u64>,
    /// Waits until all that was answered so far is committed, or never will be.
    pub(in crate::driver) decided: &'s dyn Fn() -> Result<()>,
}

impl Job<'_> {
    /// Takes it.
    pub(in crate::driver) fn run(&self, to: &Path, options: &Options) -> Result<Report> {
        folder::check_backup(to)?;
        folder::check_apart(self.source.dir(), to)?;
        let disk = FileDisk::new(to)?;
        let mut target = Target::open(&disk, self.identity, self.segment_bytes)?;
        let before = target.manifest().clone();
        let source = &self.source;
        let salt = seed(&random()?);
        let through_ms = self.shared.clock_ms();
        (self.decided)()?;
        (self.sync)()?;
        let last = self.last();
        check_last(last, target.last())?;
        let from = target.last().max(Sequence(1));
        let is_new = last > target.last();
        let extend = |target: &mut Target<'_, FileDisk>, from: Sequence| {
            self.extend(target, source, from, through_ms, salt)
        };
        let is_anew = options.is_full && last > Sequence(0);
        // Also without anything new: the last entry of both is held against each other.
        if is_anew || extend(&mut target, from)? == Added::Gone && is_new {
            let base = self.snapshot(&mut target, &disk, source)?;
            let is_joined = before.last() > Sequence(0) && extend(&mut target, from)? == Added::Done;
            if !is_joined && let Some(base) = base {
                extend(&mut target, base.next())?;
            }
        }
        let manifest = target.finish(through_ms, self.is_replicated())?;
        Ok(Report::new(&before, manifest))
    }

    /// Adds the entries from `from` on, as far as there are some that will stay.
    fn extend(
        &self,
        target: &mut Target<'_, FileDisk>,
        source: &FileDisk,
        from: Sequence,
        through_ms: u64,
        salt: u64,
    ) -> Result<Added> {
        let last = self.last();
        if from > last {
            return Ok(Added::Done);
        }
        let plan = plan(self.shared.core.lock().engine().log(), from, last)?;
        let Some(plan) = plan else { return Ok(Added::Gone) };
        target.entries(source, &plan, through_ms, salt, &mut || self.shared.check_open())
    }

    /// Adds the state as it is now, once all of it is on the store's disk; gives its sequence, `None` when that of the
    /// same is there already.
    fn snapshot(
        &self,
        target: &mut Target<'_, FileDisk>,
        disk: &FileDisk,
        source: &FileDisk,
    ) -> Result<Option<Sequence>> {
        let mut job = self.shared.view_job();
        let sequence = job.header().sequence;
        if target.manifest().has_snapshot(sequence) {
            return Ok(None);
        }
        target.check_room()?;
        // A backup of what a crash then takes from the store would be of another history.
        (self.sync)()?;
        // Now, while the log still has the entry.
        let entry = plan(self.shared.core.lock().engine().log(), sequence, sequence)?;
        let last_payload_crc = entry.and_then(|entry| last_payload_crc(source, &entry));
        let file = File::Unfinished(job.header().sequence);
        let written = loop {
            self.shared.check_open().inspect_err(|_| {
                // If it stays, the next backup takes it away.
                let _ = disk.remove(file);
            })?;
            if let Some(written) = job.step(disk)? {
                break written;
            }
        };
        target.snapshot(&written, last_payload_crc);
        Ok(Some(sequence))
    }

    /// The last entry that is durable and applied: with others, that is committed.
    fn last(&self) -> Sequence {
        let core = self.shared.core.lock();
        Sequence(core.engine().durable_sequence().min(core.engine().state().sequence()))
    }

    fn is_replicated(&self) -> bool {
        let core = self.shared.core.lock();
        let state = core.engine().log().state();
        !state.membership.is_empty() || state.vote != Vote::default()
    }
}

/// The directory of a store that is open, to be read by a backup.
pub(in crate::driver) fn source(disk: Option<&FileDisk>) -> Result<FileDisk> {
    let closed = || Error::State { what: "store", detail: "is closed; open it again".into() };
    disk.ok_or_else(closed)?.again()
}
