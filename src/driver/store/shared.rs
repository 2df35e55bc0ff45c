//! What the handles and threads of a store share: the engine behind a lock, and who waits for what.
//!
//! Whoever submits takes the lock, puts the command into the log and, where that is all it asks for, has its answer at
//! once: no other thread is woken for it. Three threads work beside: one writes and syncs, all that has come meanwhile
//! with one sync; one makes segments, and has the clock; one writes snapshots. None of them holds the lock while it
//! waits for the disk. Readers take it only where nobody has read for a while, to have a view made. A store that its host turns has none of them: see `hosted`.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::driver::lock::{Condvar, Mutex, MutexGuard};

use super::answer::{self, Done, Expected};
use super::hosted::{Host, Hosted};
#[cfg(feature = "proxy")]
use super::lane::{self, Lanes};
use super::options::Options;
use super::queue;
use super::scrubbing::Scrubbing;
use super::watcher::Bell;
use crate::driver::log::FileDisk;
use crate::error::{Error, Result};
use crate::store::engine::{self, Durability, Engine, Now, SnapshotJob, Ticket};
use crate::store::index::{Command, Timestamp};
use crate::store::log::{Disk, Scrub, Upkeep, Written};
use crate::sync::{AtomicU32, Ordering};
use crate::time::{Clock, Instant};

pub(in crate::driver) struct Shared {
    pub(in crate::driver) core: Mutex<Core>,
    /// There is something to flush.
    flush: Condvar,
    /// There may be something to make or to take away, or the clock has to be looked at sooner.
    tend: Condvar,
    /// There is a snapshot to write.
    snapshot: Condvar,
    /// A snapshot was written, or has failed.
    snapshotted: Condvar,
    /// 1: closed. For readers, who do not take the lock.
    closed: AtomicU32,
    waiting_max: usize,
    scrub_bytes_per_second: u64,
    /// Of a store without threads.
    pub(super) host: Option<Host>,
}

pub(in crate::driver) struct Core {
    pub(in crate::driver) engine: Engine,
    /// Calls the log could not take yet, oldest first.
    waiting: VecDeque<Waiting>,
    owners: Owners,
    bells: Vec<Weak<Bell>>,
    #[cfg(feature = "proxy")]
    pub(super) lanes: Lanes,
    /// Up to where watchers were told.
    pub(super) told: u64,
    /// Work for the tending thread, and for the one that writes snapshots.
    pub(super) upkeep: Option<Upkeep>,
    pub(super) job: Option<SnapshotJob>,
    pub(super) scrubbing: Scrubbing,
    /// The last snapshot that failed said this.
    pub(super) snapshot_error: Option<Error>,
    /// When the tending thread wakes by itself.
    tends_at: Option<Instant>,
    is_flusher_idle: bool,
    is_tender_idle: bool,
    pub(super) is_ending: bool,
    pub(super) is_over: bool,
    /// Of a store without threads.
    pub(super) hosted: Option<Hosted>,
}

struct Waiting {
    /// `None`: a sync.
    command: Option<Vec<u8>>,
    durability: Option<Durability>,
    owner: Owner,
}

/// Whose a ticket is.
pub(super) enum Owner {
    /// A call that waits.
    Call(Arc<Slot>),
    /// A submitted one, with its user data, and which answers it may get.
    Queue(Arc<queue::Shared>, u64, Expected),
    /// One of a loop's.
    #[cfg(feature = "proxy")]
    Lane(lane::Place),
}

/// Who waits for which ticket. Tickets rise, and are answered nearly in order: so a queue will do, and no hashing.
#[derive(Default)]
struct Owners {
    /// Rising tickets; `None` where it was answered before others that came earlier.
    queue: VecDeque<(Ticket, Option<Owner>)>,
}

impl Owners {
    fn insert(&mut self, ticket: Ticket, owner: Owner) {
        debug_assert!(self.queue.back().is_none_or(|(last, _)| *last < ticket), "tickets rise");
        self.queue.push_back((ticket, Some(owner)));
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Owner> {
        let at = match self.queue.front() {
            Some((first, _)) if *first == ticket => 0,
            _ => self.queue.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?,
        };
        let owner = self.queue[at].1.take();
        while self.queue.front().is_some_and(|(_, owner)| owner.is_none()) {
            self.queue.pop_front();
        }
        owner
    }
}

/// What a submitted call gives.
pub(super) enum Submitted {
    /// The answer, at once.
    Done(Done),
    /// Where it will be.
    Waits(Arc<Slot>),
}

impl Submitted {
    /// The answer, once it is there, for `timeout` at most. Where it was waited for, it is given once.
    pub(super) fn wait(&self, shared: &Shared, timeout: Duration) -> Result<Done> {
        match self {
            Submitted::Done(done) => Ok(done.clone()),
            Submitted::Waits(slot) if shared.host.is_some() => shared.drive_for(slot, deadline(timeout)),
            Submitted::Waits(slot) => slot.wait(deadline(timeout)),
        }
    }

    /// Likewise, for one who asks once: what is there is not copied.
    pub(super) fn into_answer(self, shared: &Shared, timeout: Duration) -> Result<Done> {
        match self {
            Submitted::Done(done) => Ok(done),
            waits @ Submitted::Waits(_) => waits.wait(shared, timeout),
        }
    }
}

/// Where a call finds its answer.
#[derive(Default)]
pub(super) struct Slot {
    result: Mutex<Option<Result<Done>>>,
    filled: Condvar,
}

impl Slot {
    fn fill(&self, result: Result<Done>) {
        *self.result.lock() = Some(result);
        self.filled.notify_one();
    }

    /// The answer, if it is there.
    pub(super) fn take(&self) -> Option<Result<Done>> {
        self.result.lock().take()
    }

    /// The answer, once it is there.
    fn wait(&self, deadline: Instant) -> Result<Done> {
        let mut result = self.result.lock();
        loop {
            if let Some(result) = result.take() {
                return result;
            }
            let left = deadline.duration_since(Clock.now());
            if left.is_zero() {
                return Err(Error::TimedOut { what: "write" });
            }
            self.filled.wait_for(&mut result, left);
        }
    }
}

impl Core {
    fn give(&mut self, owner: Owner, result: Result<engine::Done>) {
        match owner {
            Owner::Call(slot) => slot.fill(answer::of(result)),
            Owner::Queue(queue, user_data, expected) => {
                queue.complete(user_data, answer::of(result).and_then(|done| expected.check(done)));
            }
            #[cfg(feature = "proxy")]
            Owner::Lane(place) => self.lanes.complete(place, result),
        }
    }
}

/// The present, by both clocks.
pub(super) fn now() -> Now {
    Now { instant: Clock.now(), clock: clock() }
}

/// The present, by which keys expire.
pub(super) fn clock() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    Timestamp::from_millis(millis)
}

impl Shared {
    /// With `host`, it is turned by that and has no threads.
    pub(super) fn new(engine: Engine, options: &Options, host: Option<(Host, Hosted)>) -> Self {
        let (host, hosted) = host.unzip();
        let told = engine.state().sequence();
        let core = Core {
            engine,
            waiting: VecDeque::new(),
            owners: Owners::default(),
            bells: Vec::new(),
            #[cfg(feature = "proxy")]
            lanes: Lanes::default(),
            told,
            upkeep: None,
            job: None,
            scrubbing: Scrubbing::new(options.scrub_interval, Clock.now()),
            snapshot_error: None,
            tends_at: None,
            is_flusher_idle: false,
            is_tender_idle: false,
            is_ending: false,
            is_over: false,
            hosted,
        };
        Self {
            core: Mutex::new(core),
            flush: Condvar::new(),
            tend: Condvar::new(),
            snapshot: Condvar::new(),
            snapshotted: Condvar::new(),
            closed: AtomicU32::new(0),
            waiting_max: options.waiting_max,
            scrub_bytes_per_second: options.scrub_bytes_per_second,
            host,
        }
    }

    /// Has readers ask for a view where there is none for them.
    pub(super) fn serve_readers(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        self.core.lock().engine.serve(move || {
            let shared = shared.upgrade().expect("who reads has the store");
            shared.core.lock().engine.view()
        });
    }

    pub(in crate::driver) fn check_open(&self) -> Result<()> {
        // Relaxed: a call beside a close may be answered either way.
        if self.closed.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(closed()) }
    }

    /// The time in the store.
    pub(in crate::driver) fn clock_ms(&self) -> u64 {
        self.core.lock().engine.clock_ms(now())
    }

    /// A snapshot to be written elsewhere.
    pub(in crate::driver) fn view_job(&self) -> SnapshotJob {
        self.core.lock().engine.view_job(now())
    }

    /// Submits a command for a call.
    pub(super) fn submit(&self, command: &Command<'_>, durability: Option<Durability>) -> Result<Submitted> {
        let mut core = self.core.lock();
        let now = now();
        let ticket = if core.is_ending || !core.waiting.is_empty() {
            None
        } else {
            match core.engine.submit(command, durability, now) {
                Ok(ticket) => Some(ticket),
                Err(error) if core.engine.is_worth_waiting(&error) => None,
                Err(error) => return Err(error),
            }
        };
        // What is done on this thread is answered on it, and nobody is woken for it.
        if let Some(ticket) = ticket
            && let Some(result) = self.settle_for(&mut core, Some(ticket), now)
        {
            return answer::of(result).map(Submitted::Done);
        }
        let slot = Arc::new(Slot::default());
        let owner = Owner::Call(Arc::clone(&slot));
        match ticket {
            Some(ticket) => core.owners.insert(ticket, owner),
            None => {
                self.hold(&mut core, command, durability, owner)?;
                self.settle(&mut core, now);
            }
        }
        Ok(Submitted::Waits(slot))
    }

    /// Submits a command, or has it wait for its turn; for several under one lock. [`Shared::settle`] comes behind.
    pub(super) fn take(
        &self,
        core: &mut Core,
        command: &Command<'_>,
        durability: Option<Durability>,
        owner: Owner,
        now: Now,
    ) -> Result<()> {
        self.take_as(core, command, durability, |_| owner, now)
    }

    /// The same; `owner` is told the sequence, where that is known by now.
    pub(super) fn take_as(
        &self,
        core: &mut Core,
        command: &Command<'_>,
        durability: Option<Durability>,
        owner: impl FnOnce(Option<u64>) -> Owner,
        now: Now,
    ) -> Result<()> {
        self.take_now(core, command, durability, owner, now, false).map(|_| ())
    }

    /// The same; with `is_taken`, what is done at once is given back, and has no owner.
    pub(super) fn take_now(
        &self,
        core: &mut Core,
        command: &Command<'_>,
        durability: Option<Durability>,
        owner: impl FnOnce(Option<u64>) -> Owner,
        now: Now,
        is_taken: bool,
    ) -> Result<Option<engine::Done>> {
        if core.is_ending {
            return Err(closed());
        }
        if core.waiting.is_empty() {
            let before = core.engine.last_sequence();
            let submitted = match is_taken {
                true => core.engine.submit_now(command, durability, now),
                false => core.engine.submit(command, durability, now).map(engine::Submitted::UnderWay),
            };
            match submitted {
                Ok(engine::Submitted::Done(done)) => return Ok(Some(done)),
                Ok(engine::Submitted::UnderWay(ticket)) => {
                    // What was answered without being written down has none.
                    let sequence = core.engine.last_sequence();
                    core.owners.insert(ticket, owner((sequence > before).then_some(sequence)));
                    return Ok(None);
                }
                Err(error) if core.engine.is_worth_waiting(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.hold(core, command, durability, owner(None)).map(|()| None)
    }

    /// Has a command wait for its turn.
    fn hold(
        &self,
        core: &mut Core,
        command: &Command<'_>,
        durability: Option<Durability>,
        owner: Owner,
    ) -> Result<()> {
        if core.is_ending {
            return Err(closed());
        }
        if let Some(failure) = core.engine.failure() {
            return Err(failure.clone());
        }
        if core.waiting.len() >= self.waiting_max {
            return Err(Error::Capacity { what: "waiting_max", limit: self.waiting_max as u64 });
        }
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        core.waiting.push_back(Waiting { command: Some(encoded), durability, owner });
        core.engine.want_flush();
        Ok(())
    }

    /// Waits until all that was taken so far is on disk.
    pub(super) fn sync(&self) -> Result<Submitted> {
        let slot = Arc::new(Slot::default());
        let mut core = self.core.lock();
        self.take_sync(&mut core, Owner::Call(Arc::clone(&slot)))?;
        self.settle(&mut core, now());
        Ok(Submitted::Waits(slot))
    }

    /// Has `owner` answered once all that was taken so far is on disk. [`Shared::settle`] comes behind.
    pub(super) fn take_sync(&self, core: &mut Core, owner: Owner) -> Result<()> {
        if core.is_ending {
            return Err(closed());
        }
        if core.waiting.is_empty() {
            let ticket = core.engine.submit_sync()?;
            core.owners.insert(ticket, owner);
        } else {
            core.waiting.push_back(Waiting { command: None, durability: None, owner });
        }
        Ok(())
    }

    pub(super) fn add_bell(&self, bell: &Arc<Bell>) {
        let mut core = self.core.lock();
        core.bells.retain(|bell| bell.strong_count() > 0);
        core.bells.push(Arc::downgrade(bell));
    }

    /// Waits for a snapshot of what is applied now; gives its sequence.
    pub(super) fn snapshot(&self, deadline: Instant) -> Result<u64> {
        let mut core = self.core.lock();
        let (wanted, failed) = (core.engine.state().sequence(), core.engine.counts().snapshots_failed);
        loop {
            if core.engine.snapshot_sequence() >= wanted {
                return Ok(core.engine.snapshot_sequence());
            }
            if core.is_ending {
                return Err(closed());
            }
            if let Some(failure) = core.engine.failure() {
                return Err(failure.clone());
            }
            if core.engine.counts().snapshots_failed > failed
                && let Some(error) = &core.snapshot_error
            {
                return Err(error.clone());
            }
            let left = deadline.duration_since(Clock.now());
            if left.is_zero() {
                return Err(Error::TimedOut { what: "snapshot" });
            }
            // One that is under way may be of an earlier state: then another one follows.
            core.engine.want_snapshot();
            self.settle(&mut core, now());
            self.pause(&mut core, &self.snapshotted, deadline);
        }
    }

    /// Asks for everything on disk to be read again; gives the number of the pass that does so.
    pub(super) fn begin_scrub(&self) -> u64 {
        let mut core = self.core.lock();
        let pass = core.scrubbing.want(Clock.now());
        self.snapshot.notify_one();
        pass
    }

    /// Waits for a pass over everything on disk. What was found damaged is the error.
    pub(super) fn wait_scrub(&self, pass: u64, deadline: Instant) -> Result<()> {
        let mut core = self.core.lock();
        loop {
            if let Some(outcome) = core.scrubbing.outcome(pass) {
                return outcome;
            }
            if core.is_ending {
                return Err(closed());
            }
            if core.scrubbing.is_wanted(pass) {
                // One that is under way had begun before: then another one follows.
                core.scrubbing.want(Clock.now());
                self.snapshot.notify_one();
            }
            let left = deadline.duration_since(Clock.now());
            if left.is_zero() {
                return Err(Error::TimedOut { what: "scrub" });
            }
            self.pause(&mut core, &self.snapshotted, deadline);
        }
    }

    /// Brings everybody up to date after the engine was changed: who waited for their turn, who is answered, who
    /// watches, and the threads.
    pub(super) fn settle(&self, core: &mut Core, now: Now) {
        self.settle_for(core, None, now);
    }

    /// Likewise; gives back the answer to `own`, if there is one, instead of passing it on.
    fn settle_for(&self, core: &mut Core, own: Option<Ticket>, now: Now) -> Option<Result<engine::Done>> {
        let mut answer = None;
        loop {
            self.answer(core, own, &mut answer);
            let Some(next) = core.waiting.pop_front() else { break };
            let submitted = match &next.command {
                Some(command) => core.engine.submit_encoded(command, next.durability, now),
                None => core.engine.submit_sync(),
            };
            match submitted {
                Ok(ticket) => {
                    core.owners.insert(ticket, next.owner);
                }
                Err(error) if core.engine.is_worth_waiting(&error) => {
                    core.waiting.push_front(next);
                    core.engine.want_flush();
                    break;
                }
                Err(error) => core.give(next.owner, Err(error)),
            }
        }
        let sequence = core.engine.state().sequence();
        if sequence > core.told {
            core.told = sequence;
            core.bells.retain(|bell| {
                bell.upgrade().is_some_and(|bell| {
                    bell.ring();
                    true
                })
            });
            #[cfg(feature = "proxy")]
            core.lanes.note_news();
        }
        #[cfg(feature = "proxy")]
        core.lanes.ring();
        if core.is_flusher_idle && core.engine.is_flush_wanted() {
            core.is_flusher_idle = false;
            self.flush.notify_one();
        }
        if core.job.is_none()
            && !core.is_ending
            && let Some(job) = core.engine.poll_snapshot(now)
        {
            core.job = Some(job);
            self.snapshot.notify_one();
        }
        if core.is_tender_idle {
            let next = core.engine.next_deadline(now);
            let is_sooner = next.is_some_and(|next| core.tends_at.is_none_or(|at| next < at));
            if core.upkeep.is_none() {
                core.upkeep = core.engine.poll_upkeep();
            }
            if is_sooner || core.upkeep.is_some() {
                core.is_tender_idle = false;
                self.tend.notify_one();
            }
        }
        self.tell_host(core, now);
        answer
    }

    fn answer(&self, core: &mut Core, own: Option<Ticket>, answer: &mut Option<Result<engine::Done>>) {
        while let Some(completion) = core.engine.poll_completion() {
            if own == Some(completion.ticket) {
                *answer = Some(completion.result);
            } else if let Some(owner) = core.owners.remove(completion.ticket) {
                core.give(owner, completion.result);
            }
        }
    }

    /// The thread that writes and syncs.
    pub(super) fn run_flusher(&self, disk: &FileDisk) {
        let mut core = self.core.lock();
        loop {
            if let Some(flush) = core.engine.poll_flush() {
                let result = MutexGuard::unlocked(&mut core, || flush.run(disk));
                core.engine.handle_flushed(flush, result, |file| disk.name(file));
                self.settle(&mut core, now());
                continue;
            }
            if core.is_ending && core.engine.is_drained() {
                core.is_over = true;
                self.tend.notify_all();
                self.snapshot.notify_all();
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
            core.engine.handle_timeout(now);
            self.settle(&mut core, now);
            // Behind it, since what had waited may need a segment.
            if let Some(work) = core.upkeep.take().or_else(|| core.engine.poll_upkeep()) {
                let result = MutexGuard::unlocked(&mut core, || work.run(disk));
                core.engine.handle_upkeep(&work, result, Clock.now(), |file| disk.name(file));
                continue;
            }
            core.tends_at = core.engine.next_deadline(now);
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
        core.snapshot_error = core.engine.handle_snapshot(job, result, now).err();
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
            let (log, identity) = (core.engine.log(), core.engine.identity());
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
                core.scrubbing.stepped(scrub.verified_bytes() - before, result);
                return Some(scrub.next_deadline().unwrap_or(at));
            }
            None => {}
        }
        *pass = None;
        if core.scrubbing.end(now.instant, now.clock.as_millis()) {
            core.engine.handle_damage();
            self.settle(core, now);
        }
        self.snapshotted.notify_all();
        core.scrubbing.begins_at()
    }

    /// Takes nothing more, and has the threads end when all is on disk.
    pub(super) fn begin_end(&self) {
        let mut core = self.core.lock();
        self.closed.store(1, Ordering::Relaxed);
        if core.is_ending {
            return;
        }
        core.is_ending = true;
        for waiting in std::mem::take(&mut core.waiting) {
            core.give(waiting.owner, Err(closed()));
        }
        let now = now();
        core.engine.close(now);
        self.settle(&mut core, now);
        for bell in core.bells.iter().filter_map(Weak::upgrade) {
            bell.ring();
        }
        #[cfg(feature = "proxy")]
        core.lanes.ring();
        self.flush.notify_all();
        self.snapshot.notify_all();
        self.snapshotted.notify_all();
    }

    /// How it ended: whether all was written.
    pub(super) fn end(&self) -> Result<()> {
        let mut core = self.core.lock();
        self.answer(&mut core, None, &mut None);
        core.engine.failure().cloned().map_or(Ok(()), Err)
    }
}

pub(super) fn closed() -> Error {
    Error::State { what: "store", detail: "is closed; open it again".into() }
}

/// The moment `timeout` from now.
pub(super) fn deadline(timeout: Duration) -> Instant {
    Clock.now().saturating_add(timeout)
}
