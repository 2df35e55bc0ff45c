//! What the handles and threads of a store share: the engine behind a lock, and who waits for what.
//!
//! Whoever submits takes the lock, puts the command into the log and, where that is all it asks for, has its answer at
//! once: no other thread is woken for it. Three threads work beside: one writes and syncs, all that has come meanwhile
//! with one sync; one makes segments, and has the clock; one writes snapshots. None of them holds the lock while it
//! waits for the disk. Readers never take it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::driver::lock::{Condvar, Mutex, MutexGuard};

use super::answer::{self, Done};
#[cfg(feature = "proxy")]
use super::lane::{self, Lanes};
use super::queue;
use super::watcher::Bell;
use crate::driver::log::FileDisk;
use crate::error::{Error, Result};
use crate::store::engine::{self, Durability, Engine, Now, SnapshotJob, Ticket};
use crate::store::index::{Command, Timestamp};
use crate::store::log::{Disk, Upkeep};
use crate::sync::{AtomicU32, Ordering};
use crate::time::{Clock, Instant};

pub(super) struct Shared {
    pub(super) core: Mutex<Core>,
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
}

pub(super) struct Core {
    pub(super) engine: Engine,
    /// Calls the log could not take yet, oldest first.
    waiting: VecDeque<Waiting>,
    owners: HashMap<Ticket, Owner>,
    bells: Vec<Weak<Bell>>,
    #[cfg(feature = "proxy")]
    pub(super) lanes: Lanes,
    /// Up to where watchers were told.
    told: u64,
    /// Work for the tending thread, and for the one that writes snapshots.
    upkeep: Option<Upkeep>,
    job: Option<SnapshotJob>,
    /// The last snapshot that failed said this.
    pub(super) snapshot_error: Option<Error>,
    /// When the tending thread wakes by itself.
    tends_at: Option<Instant>,
    is_flusher_idle: bool,
    is_tender_idle: bool,
    is_ending: bool,
    pub(super) is_over: bool,
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
    /// A submitted one, with its user data.
    Queue(Arc<queue::Shared>, u64),
    /// One of a loop's.
    #[cfg(feature = "proxy")]
    Lane(lane::Place),
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

    /// The answer, once it is there.
    pub(super) fn wait(&self, deadline: Instant) -> Result<Done> {
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
            Owner::Queue(queue, user_data) => queue.complete(user_data, answer::of(result)),
            #[cfg(feature = "proxy")]
            Owner::Lane(place) => self.lanes.complete(place, result),
        }
    }
}

/// The present, by both clocks.
pub(super) fn now() -> Now {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    Now { instant: Clock.now(), clock: Timestamp::from_millis(millis) }
}

impl Shared {
    pub(super) fn new(engine: Engine, waiting_max: usize) -> Self {
        let told = engine.state().sequence();
        let core = Core {
            engine,
            waiting: VecDeque::new(),
            owners: HashMap::new(),
            bells: Vec::new(),
            #[cfg(feature = "proxy")]
            lanes: Lanes::default(),
            told,
            upkeep: None,
            job: None,
            snapshot_error: None,
            tends_at: None,
            is_flusher_idle: false,
            is_tender_idle: false,
            is_ending: false,
            is_over: false,
        };
        Self {
            core: Mutex::new(core),
            flush: Condvar::new(),
            tend: Condvar::new(),
            snapshot: Condvar::new(),
            snapshotted: Condvar::new(),
            closed: AtomicU32::new(0),
            waiting_max,
        }
    }

    pub(super) fn check_open(&self) -> Result<()> {
        // Relaxed: a call beside a close may be answered either way.
        if self.closed.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(closed()) }
    }

    /// Submits a command for a call.
    pub(super) fn submit(&self, command: &Command<'_>, durability: Option<Durability>) -> Result<Arc<Slot>> {
        let slot = Arc::new(Slot::default());
        let mut core = self.core.lock();
        let now = now();
        self.take(&mut core, command, durability, Owner::Call(Arc::clone(&slot)), now)?;
        self.settle(&mut core, now);
        Ok(slot)
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
        if core.is_ending {
            return Err(closed());
        }
        if core.waiting.is_empty() {
            let before = core.engine.last_sequence();
            match core.engine.submit(command, durability, now) {
                Ok(ticket) => {
                    // What was answered without being written down has none.
                    let sequence = core.engine.last_sequence();
                    core.owners.insert(ticket, owner((sequence > before).then_some(sequence)));
                    return Ok(());
                }
                Err(error) if core.engine.is_worth_waiting(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(failure) = core.engine.failure() {
            return Err(failure.clone());
        }
        if core.waiting.len() >= self.waiting_max {
            return Err(Error::Capacity { what: "waiting_max", limit: self.waiting_max as u64 });
        }
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        core.waiting.push_back(Waiting { command: Some(encoded), durability, owner: owner(None) });
        core.engine.want_flush();
        Ok(())
    }

    /// Waits until all that was taken so far is on disk.
    pub(super) fn sync(&self) -> Result<Arc<Slot>> {
        let slot = Arc::new(Slot::default());
        let mut core = self.core.lock();
        self.take_sync(&mut core, Owner::Call(Arc::clone(&slot)))?;
        self.settle(&mut core, now());
        Ok(slot)
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
            self.snapshotted.wait_for(&mut core, left);
        }
    }

    /// Brings everybody up to date after the engine was changed: who waited for their turn, who is answered, who
    /// watches, and the threads.
    pub(super) fn settle(&self, core: &mut Core, now: Now) {
        loop {
            self.answer(core);
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
    }

    fn answer(&self, core: &mut Core) {
        while let Some(completion) = core.engine.poll_completion() {
            if let Some(owner) = core.owners.remove(&completion.ticket) {
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

    /// The thread that writes snapshots.
    pub(super) fn run_snapshots(&self, disk: &FileDisk) {
        let mut core = self.core.lock();
        while !core.is_over {
            let Some(mut job) = core.job.take() else {
                self.snapshot.wait(&mut core);
                continue;
            };
            let result = loop {
                match MutexGuard::unlocked(&mut core, || job.step(disk)) {
                    Ok(None) if core.is_ending => break None,
                    Ok(None) => {}
                    Ok(Some(written)) => break Some(Ok(written)),
                    Err(error) => break Some(Err(error)),
                }
            };
            // Half of a snapshot is taken away by the next open.
            let Some(result) = result else { continue };
            let now = now();
            core.snapshot_error = core.engine.handle_snapshot(&job, result, now).err();
            self.settle(&mut core, now);
            self.snapshotted.notify_all();
        }
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
        self.answer(&mut core);
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
