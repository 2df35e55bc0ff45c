//! A store without threads: its host turns it. What is due is done in [`Shared::turn`], a bounded piece of each kind at a
//! time, or by whoever waits for an answer, on that thread.
//!
//! The work is of two kinds, and one thread at a time does each: one flushes, all that has come meanwhile with one sync;
//! one makes segments, writes snapshots and reads again what lies on disk. So several threads that wait for a sync have it
//! together, and none of them has the lock while it waits for the disk.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use super::answer::Done;
use super::owner::Slot;
use super::shared::{Core, Shared, closed, now};
use crate::driver::lock::{Condvar, MutexGuard};
use crate::driver::log::FileDisk;
use crate::error::{Error, Result};
use crate::store::engine::Now;
use crate::store::log::{Disk, File, Scrub, Upkeep};
use crate::sys::eventfd::EventFd;
use crate::time::{Clock, Instant};

/// How much of a new segment is written between two syncs, so that none of them takes long. A multiple of what is
/// filled at a time.
const SYNC_BYTES: u64 = 4 << 20;

/// What there is to wait with.
pub(super) struct Host {
    /// Readable while a turn has something to do.
    event: EventFd,
    /// Something was done, or there is something to do, for those that wait in a call.
    pub(super) worked: Condvar,
}

/// Who does what. Part of what the store's lock guards.
pub(super) struct Hosted {
    /// `None` once the store is closed.
    disk: Option<Arc<FileDisk>>,
    /// A thread writes and syncs.
    is_flushing: bool,
    /// A thread does the other work.
    is_tending: bool,
    /// A thread is in [`Shared::turn`], and whether it is past waiting.
    is_turning: bool,
    is_at_work: bool,
    /// The event was signalled.
    is_rung: bool,
    /// When the host turns it by itself, as it was last told.
    wakes_at: Option<Instant>,
    /// How many wait in a call.
    waiters: u32,
    /// The pass under way over what lies on disk.
    pass: Option<Scrub>,
}

impl Host {
    pub(super) fn new() -> Result<Self> {
        let event = EventFd::new().map_err(|error| Error::io("make a descriptor to wait with", &error))?;
        Ok(Self { event, worked: Condvar::new() })
    }
}

impl Hosted {
    pub(super) fn new(disk: &Arc<FileDisk>) -> Self {
        Self {
            disk: Some(Arc::clone(disk)),
            is_flushing: false,
            is_tending: false,
            is_turning: false,
            is_at_work: false,
            is_rung: false,
            wakes_at: None,
            waiters: 0,
            pass: None,
        }
    }
}

impl Core {
    fn host(&mut self) -> &mut Hosted {
        self.hosted.as_mut().expect("only a store without threads comes here")
    }

    /// When there is something to do that nobody does; `None` while there is not and nothing is pending.
    fn next_due(&self, now: Now) -> Option<Instant> {
        let hosted = self.hosted.as_ref()?;
        hosted.disk.as_ref()?;
        if !hosted.is_flushing && self.engine().is_flush_wanted() {
            return Some(now.instant);
        }
        let timeout = self.ground.next_deadline(now);
        if hosted.is_tending {
            return timeout;
        }
        if self.upkeep.is_some() || self.job.is_some() && !self.is_ending {
            return Some(now.instant);
        }
        [timeout, self.next_scrub(hosted, now)].into_iter().flatten().min()
    }

    fn next_scrub(&self, hosted: &Hosted, now: Now) -> Option<Instant> {
        match &hosted.pass {
            _ if self.is_ending => None,
            Some(pass) => Some(pass.next_deadline().unwrap_or(now.instant)),
            None => self.scrubbing.begins_at(),
        }
    }

    fn is_due(&self, now: Now) -> bool {
        self.next_due(now).is_some_and(|at| at <= now.instant)
    }
}

impl Shared {
    fn hosting(&self) -> Result<&Host> {
        self.host.as_ref().ok_or_else(|| state("runs on threads of its own; open it hosted to turn it"))
    }

    /// The descriptor that is readable while a turn has something to do.
    pub(super) fn poll_fd(&self) -> Result<RawFd> {
        use std::os::fd::AsFd;
        Ok(self.hosting()?.event.as_fd().as_raw_fd())
    }

    /// When a turn is needed even if the descriptor is not readable.
    pub(super) fn next_deadline(&self) -> Result<Option<Instant>> {
        self.hosting()?;
        let mut core = self.core.lock();
        let due = core.next_due(now());
        core.host().wakes_at = due;
        Ok(due)
    }

    /// Does what is due, a bounded piece of each kind, after waiting for it for at most `timeout` (`None`: until there is
    /// something). Gives how many pieces there were.
    pub(super) fn turn(&self, timeout: Option<Duration>) -> Result<usize> {
        let host = self.hosting()?;
        let mut core = self.core.lock();
        if core.is_ending {
            return Err(closed());
        }
        if core.host().is_turning {
            return Err(state("is being turned already; one thread turns it at a time"));
        }
        core.host().is_turning = true;
        self.wait_for_work(&mut core, host, timeout);
        let result = if core.is_ending { Err(closed()) } else { Ok(self.take_turn(&mut core)) };
        let hosted = core.host();
        (hosted.is_turning, hosted.is_at_work) = (false, false);
        // When it is due later it says so when it is asked, as it is after each turn.
        let is_due = core.is_due(now());
        ring(core.host(), host, is_due);
        result
    }

    fn wait_for_work(&self, core: &mut MutexGuard<'_, Core>, host: &Host, timeout: Option<Duration>) {
        let now = now();
        let due = core.next_due(now);
        let until_due = due.map(|at| at.duration_since(now.instant));
        let wait = [until_due, timeout].into_iter().flatten().min().unwrap_or(Duration::MAX);
        core.host().wakes_at = due;
        if !wait.is_zero() {
            MutexGuard::unlocked(core, || host.event.wait(wait));
        }
        core.host().is_at_work = true;
    }

    fn take_turn(&self, core: &mut MutexGuard<'_, Core>) -> usize {
        self.handle_timeout(core);
        // All that was taken by now: one flush, or one more for each segment that begins.
        let last = core.engine().log().last_ticket();
        let mut count = 0;
        while core.engine().log().durable() < last && self.flush_once(core) {
            count += 1;
        }
        let done = [self.keep_up(core), self.step_snapshot(core), self.step_scrub(core)];
        count + done.into_iter().filter(|is_done| *is_done).count()
    }

    fn handle_timeout(&self, core: &mut MutexGuard<'_, Core>) {
        let now = now();
        if core.ground.next_deadline(now).is_some_and(|at| at <= now.instant) {
            core.ground.handle_timeout(now);
            self.settle(core, now);
        }
    }

    /// Where a call waits for `worked`, or here, on a store without threads, does a piece of what is to be done. Until
    /// `deadline` at most, and it may return early.
    pub(super) fn pause(&self, core: &mut MutexGuard<'_, Core>, worked: &Condvar, deadline: Instant) {
        match &self.host {
            Some(host) => self.work_or_wait(core, host, deadline),
            None => {
                worked.wait_for(core, deadline.duration_since(Clock.now()));
            }
        }
    }

    fn work_or_wait(&self, core: &mut MutexGuard<'_, Core>, host: &Host, deadline: Instant) {
        self.handle_timeout(core);
        if self.flush_once(core) || self.tend_once(core) {
            return;
        }
        let now = now();
        let until = core.next_due(now).map_or(deadline, |at| at.min(deadline));
        core.host().waiters += 1;
        host.worked.wait_for(core, until.duration_since(now.instant));
        core.host().waiters -= 1;
    }

    /// Works and waits until `look` finds what it looks for, or until `deadline`.
    pub(super) fn drive<T>(
        &self,
        deadline: Instant,
        mut look: impl FnMut(&mut Core) -> Option<T>,
    ) -> Option<T> {
        let host = self.host.as_ref().expect("only a store without threads comes here");
        let mut core = self.core.lock();
        let mut has_waited = false;
        loop {
            if let Some(found) = look(&mut core) {
                // A host that only ever waits has its segments and snapshots too: each wait does a piece.
                if has_waited {
                    self.tend_once(&mut core);
                }
                return Some(found);
            }
            if Clock.now() >= deadline {
                return None;
            }
            self.work_or_wait(&mut core, host, deadline);
            has_waited = true;
        }
    }

    /// The answer to a call, once it is there.
    pub(super) fn drive_for(&self, slot: &Slot, deadline: Instant) -> Result<Done> {
        self.drive(deadline, |_| slot.take()).unwrap_or(Err(Error::TimedOut { what: "write" }))
    }

    /// After a call was refused, on a store without threads: does a piece of what may make room, for the next one.
    pub(super) fn catch_up(&self) {
        if self.host.is_some() {
            let mut core = self.core.lock();
            self.handle_timeout(&mut core);
            self.tend_once(&mut core);
        }
    }

    /// Writes and syncs all that was taken, if that is wanted and nobody does.
    fn flush_once(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        let Some(disk) = core.host().disk.clone() else { return false };
        let Some(flush) = core.ground.poll_flush(now()) else { return false };
        core.host().is_flushing = true;
        let result = MutexGuard::unlocked(core, || flush.run(&*disk));
        core.host().is_flushing = false;
        let now = now();
        core.ground.handle_flushed(flush, result, now, &disk);
        self.settle(core, now);
        true
    }

    /// A piece of the other work, if there is some and nobody does it.
    fn tend_once(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        self.keep_up(core) || self.step_snapshot(core) || self.step_scrub(core)
    }

    /// A step of making a segment, or a file taken away.
    fn keep_up(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        let Some(disk) = core.begin_to_tend() else { return false };
        let Some(work) = core.upkeep.take().or_else(|| core.ground.poll_upkeep()) else { return false };
        core.host().is_tending = true;
        let result = MutexGuard::unlocked(core, || {
            work.run(&*disk)?;
            match work {
                Upkeep::Fill { spare, offset, bytes } if (offset + bytes).is_multiple_of(SYNC_BYTES) => {
                    disk.sync(File::Spare(spare))
                }
                _ => Ok(()),
            }
        });
        core.host().is_tending = false;
        let now = now();
        core.ground.handle_upkeep(&work, result, now, &disk);
        self.settle(core, now);
        true
    }

    /// The next chunk of a snapshot.
    fn step_snapshot(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        let Some(disk) = core.begin_to_tend() else { return false };
        if core.is_ending {
            return false;
        }
        let Some(mut job) = core.job.take() else { return false };
        core.host().is_tending = true;
        let result = MutexGuard::unlocked(core, || job.step(&*disk));
        core.host().is_tending = false;
        match result.transpose() {
            None => {
                core.job = Some(job);
                self.settle(core, now());
            }
            Some(result) => {
                let mut pass = core.host().pass.take();
                self.end_snapshot(core, &job, result, pass.as_mut());
                core.host().pass = pass;
            }
        }
        true
    }

    /// The next piece of reading again what lies on disk, if it is due.
    fn step_scrub(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        let Some(disk) = core.begin_to_tend() else { return false };
        let now = now();
        let hosted = core.hosted.as_ref().expect("it was just looked at");
        if core.next_scrub(hosted, now).is_none_or(|at| at > now.instant) {
            return false;
        }
        core.host().is_tending = true;
        let mut pass = core.host().pass.take();
        self.scrub_a_little(core, &disk, &mut pass);
        core.host().pass = pass;
        core.host().is_tending = false;
        self.settle(core, now);
        true
    }

    /// After whatever was changed: tells those that wait in a call, and the host.
    pub(super) fn tell_host(&self, core: &mut Core, now: Now) {
        let Some(host) = &self.host else { return };
        if core.upkeep.is_none() {
            core.upkeep = core.ground.poll_upkeep();
        }
        if core.host().waiters > 0 {
            host.worked.notify_all();
        }
        let due = core.next_due(now);
        let is_ending = core.is_ending;
        let hosted = core.host();
        if hosted.is_at_work {
            // The turn tells at its end.
            return;
        }
        let is_due = due.is_some_and(|at| at <= now.instant || hosted.wakes_at.is_none_or(|told| at < told));
        let is_called = if is_ending { hosted.is_turning } else { is_due };
        ring(hosted, host, is_called);
    }

    /// Writes all that was taken, once nothing more is, and lets go of the disk.
    pub(super) fn drain(&self) {
        let Some(host) = &self.host else { return };
        let mut core = self.core.lock();
        while core.host().disk.is_some() {
            let is_idle = !core.host().is_flushing && !core.host().is_tending;
            if !core.engine().is_drained() {
                self.handle_timeout(&mut core);
                if self.flush_once(&mut core) || self.keep_up(&mut core) {
                    continue;
                }
            } else if is_idle {
                // Half of a snapshot is taken away by the next open.
                core.job = None;
                core.is_over = true;
                let hosted = core.host();
                (hosted.disk, hosted.pass) = (None, None);
                ring(hosted, host, hosted.is_turning);
                return;
            }
            let now = now();
            let until = core.ground.next_deadline(now).filter(|at| *at > now.instant);
            core.host().waiters += 1;
            match until {
                Some(at) => {
                    host.worked.wait_for(&mut core, at.duration_since(now.instant));
                }
                None => host.worked.wait(&mut core),
            }
            core.host().waiters -= 1;
        }
    }
}

impl Core {
    /// The disk, if it is there and nobody tends.
    fn begin_to_tend(&mut self) -> Option<Arc<FileDisk>> {
        let hosted = self.host();
        if hosted.is_tending { None } else { hosted.disk.clone() }
    }
}

fn ring(hosted: &mut Hosted, host: &Host, is_due: bool) {
    match (is_due, hosted.is_rung) {
        (true, false) => host.event.signal(),
        (false, true) => host.event.clear(),
        _ => {}
    }
    hosted.is_rung = is_due;
}

fn state(detail: &'static str) -> Error {
    Error::State { what: "store", detail: detail.into() }
}
