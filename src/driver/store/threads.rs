//! The threads of a store: one writes and syncs, all that has come meanwhile with one sync; one makes segments, and has
//! the clock; one writes snapshots, and reads again what lies on disk. None of them holds the lock while it waits for the
//! disk.

use crate::driver::lock::MutexGuard;

use super::shared::{Core, Shared, now};
use crate::driver::log::FileDisk;
use crate::error::Result;
use crate::store::engine::SnapshotJob;
use crate::store::log::{Scrub, Written};
use crate::time::{Clock, Instant};

impl Shared {
    /// The thread that writes and syncs.
    pub(super) fn run_flusher(&self, disk: &FileDisk) {
        let mut core = self.core.lock();
        loop {
            if let Some(flush) = core.ground.poll_flush(now()) {
                self.sync_by(&mut core, flush, disk);
                continue;
            }
            if core.is_ending && core.engine().is_drained() {
                core.is_over = true;
                self.tend.notify_all();
                self.snapshot.notify_all();
                // Those of a cluster, too.
                self.settle(&mut core, now());
                return;
            }
            core.is_flusher_idle = true;
            self.flush.wait(&mut core);
            core.is_flusher_idle = false;
        }
    }

    /// The thread that makes segments and looks at the clock.
    pub(super) fn run_tender(&self, disk: &FileDisk) {
        let mut core = self.core.lock();
        while !core.is_over {
            let now = now();
            core.ground.handle_timeout(now);
            self.settle(&mut core, now);
            // Behind it, since what had waited may need a segment.
            if let Some(work) = core.upkeep.take().or_else(|| core.ground.poll_upkeep()) {
                let result = MutexGuard::unlocked(&mut core, || work.run(disk));
                let now = self::now();
                core.ground.handle_upkeep(&work, result, now, disk);
                continue;
            }
            core.tends_at = core.ground.next_deadline(now);
            core.is_tender_idle = true;
            match core.tends_at {
                Some(at) => {
                    self.tend.wait_for(&mut core, at.duration_since(now.instant));
                }
                None => self.tend.wait(&mut core),
            }
            core.is_tender_idle = false;
        }
    }

    /// The thread that writes snapshots, and reads again what lies on disk.
    pub(super) fn run_snapshots(&self, disk: &FileDisk) {
        let mut core = self.core.lock();
        let mut pass: Option<Scrub> = None;
        while !core.is_over {
            if let Some(job) = core.job.take() {
                self.write_snapshot(&mut core, disk, job, pass.as_mut());
                continue;
            }
            let wakes_at =
                if core.is_ending { None } else { self.scrub_a_little(&mut core, disk, &mut pass) };
            if core.job.is_some() || core.is_over {
                continue;
            }
            match wakes_at {
                Some(at) => {
                    self.snapshot.wait_for(&mut core, at.duration_since(Clock.now()));
                }
                None => self.snapshot.wait(&mut core),
            }
        }
    }

    fn write_snapshot(
        &self,
        core: &mut MutexGuard<'_, Core>,
        disk: &FileDisk,
        mut job: SnapshotJob,
        pass: Option<&mut Scrub>,
    ) {
        let result = loop {
            match MutexGuard::unlocked(core, || job.step(disk)) {
                Ok(None) if core.is_ending => break None,
                Ok(None) => {}
                Ok(Some(written)) => break Some(Ok(written)),
                Err(error) => break Some(Err(error)),
            }
        };
        // Half of a snapshot is taken away by the next open.
        let Some(result) = result else { return };
        self.end_snapshot(core, &job, result, pass);
    }

    /// A snapshot was written, or has failed.
    pub(super) fn end_snapshot(
        &self,
        core: &mut Core,
        job: &SnapshotJob,
        result: Result<Written>,
        pass: Option<&mut Scrub>,
    ) {
        if let Some(pass) = pass {
            pass.forget_snapshot(job.header().sequence);
        }
        let now = now();
        core.snapshot_error = core.ground.handle_snapshot(job, result, now).err();
        if core.snapshot_error.is_none() {
            core.snapshotted_at = now.clock;
        }
        self.settle(core, now);
        self.snapshotted.notify_all();
    }

    /// Takes the next step of reading everything again, if one is due. Gives when the next one is.
    pub(super) fn scrub_a_little(
        &self,
        core: &mut MutexGuard<'_, Core>,
        disk: &FileDisk,
        pass: &mut Option<Scrub>,
    ) -> Option<Instant> {
        let now = now();
        if pass.is_none() {
            let at = core.scrubbing.begins_at()?;
            if at > now.instant {
                return Some(at);
            }
            core.scrubbing.begin();
            let (log, identity) = (core.engine().log(), core.engine().identity());
            *pass = Some(Scrub::new(log, identity, self.scrub_bytes_per_second, now.instant));
            // What the system has in memory is not what lies on disk.
            MutexGuard::unlocked(core, || disk.forget_cached());
        }
        let scrub = pass.as_mut().expect("it was just begun if there was none");
        match scrub.next_deadline() {
            Some(at) if at > now.instant => return Some(at),
            Some(at) => {
                let before = scrub.verified_bytes();
                let result = MutexGuard::unlocked(core, || scrub.step(disk, now.instant));
                let result = result.and_then(|()| scrub.missing(core.engine().log(), disk));
                core.scrubbing.stepped(scrub.verified_bytes() - before, result);
                return Some(scrub.next_deadline().unwrap_or(at));
            }
            None => {}
        }
        let segment = scrub.damaged_segment();
        *pass = None;
        if let Some(found) = core.scrubbing.end(now.instant, now.clock.as_millis()) {
            core.ground.handle_damage(segment, &found, now);
            self.settle(core, now);
        }
        self.snapshotted.notify_all();
        core.scrubbing.begins_at()
    }
}
