//! What the handles and threads of a store share: the engine behind a lock, and who waits for what.
//!
//! Whoever submits takes the lock, puts the command into the log and, where that is all it asks for, has its answer at
//! once: no other thread is woken for it. Three threads work beside, see `threads`. Readers take the lock only where nobody
//! has read for a while, to have a view made. A store that its host turns has no threads: see `hosted`.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::driver::lock::{Condvar, Mutex};

use super::answer;
use super::durable::DurableWaits;
use super::ground::{self, Caller, Ground, Reply, Wanted};
use super::hosted::{Host, Hosted};
#[cfg(feature = "proxy")]
use super::lane::Lanes;
#[cfg(all(feature = "proxy", feature = "replication"))]
use super::member::{Member, Sight};
use super::options::Options;
use super::owner::{Owner, Owners, Slot, Submitted};
use super::queue::{self, WaitPlace};
use super::scrubbing::Scrubbing;
use super::syncing::Syncing;
use super::watcher::Bell;
use crate::error::{Error, Result};
use crate::store::engine::{Durability, Engine, Now, SnapshotJob, Ticket};
use crate::store::index::{Command, Timestamp};
use crate::store::log::Upkeep;
use crate::sync::{AtomicU32, Ordering};
use crate::time::{Clock, Instant};

pub(in crate::driver) struct Shared {
    pub(in crate::driver) core: Mutex<Core>,
    /// There is something to flush.
    pub(super) flush: Condvar,
    /// There may be something to make or to take away, or the clock has to be looked at sooner.
    pub(super) tend: Condvar,
    /// There is a snapshot to write.
    pub(super) snapshot: Condvar,
    /// A snapshot was written, or has failed.
    pub(super) snapshotted: Condvar,
    /// There are entries to be read for others, or pieces of a snapshot to be written.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub(super) catching: Condvar,
    /// Of a member of a cluster: whether readers see what they should.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub(super) sight: Option<Arc<Sight>>,
    /// 1: closed. For readers, who do not take the lock.
    closed: AtomicU32,
    waiting_max: usize,
    pub(super) scrub_bytes_per_second: u64,
    /// Of a store without threads.
    pub(super) host: Option<Host>,
}

pub(in crate::driver) struct Core {
    pub(super) ground: Ground,
    /// Calls the log could not take yet, oldest first.
    waiting: VecDeque<Waiting>,
    pub(super) owners: Owners,
    durable_waits: DurableWaits,
    bells: Vec<Weak<Bell>>,
    queues: Vec<Weak<queue::Shared>>,
    /// Those of who follows the cluster.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub(super) news_bells: Vec<Weak<Bell>>,
    #[cfg(feature = "proxy")]
    pub(super) lanes: Lanes,
    /// Up to where watchers were told.
    pub(super) told: u64,
    /// Work for the tending thread, and for the one that writes snapshots.
    pub(super) upkeep: Option<Upkeep>,
    pub(super) job: Option<SnapshotJob>,
    pub(super) scrubbing: Scrubbing,
    pub(super) syncing: Syncing,
    /// The last snapshot that failed said this.
    pub(super) snapshot_error: Option<Error>,
    /// When the last one was written, by the wall clock; before that, when the store was opened.
    pub(super) snapshotted_at: Timestamp,
    /// When the tending thread wakes by itself.
    pub(super) tends_at: Option<Instant>,
    pub(super) is_flusher_idle: bool,
    pub(super) is_tender_idle: bool,
    pub(super) is_ending: bool,
    pub(super) is_over: bool,
    /// It is closed, and all calls are answered.
    has_ended: bool,
    /// Of a store without threads.
    pub(super) hosted: Option<Hosted>,
}

struct Waiting {
    /// `None`: a sync.
    command: Option<Vec<u8>>,
    wanted: Wanted,
    owner: Owner,
}

impl Core {
    /// The engine, to be looked at.
    pub(in crate::driver) fn engine(&self) -> &Engine {
        self.ground.engine()
    }

    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub(super) fn member(&mut self) -> Result<&mut Member> {
        self.ground.member().ok_or_else(|| Error::State {
            what: "store",
            detail: "is in no cluster; open it as a member of one".into(),
        })
    }

    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub(super) fn ring_news(&mut self) {
        self.news_bells.retain(|bell| {
            bell.upgrade().is_some_and(|bell| {
                bell.ring();
                true
            })
        });
    }

    /// Tells one who has nothing to wait for.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub(super) fn tell(&mut self, owner: Owner) {
        let durable = self.engine().durable_sequence();
        self.give(owner, Ok(durable_to(durable)));
    }

    /// Whoever was there waits no more.
    pub(super) fn forget_wait(&mut self, place: WaitPlace) {
        match place {
            WaitPlace::Durable(place) => self.durable_waits.remove(place),
            WaitPlace::Ticket(ticket) => {
                drop(self.owners.remove(ticket));
                #[cfg(all(feature = "proxy", feature = "replication"))]
                if let Some(member) = self.ground.member() {
                    member.forget_read(ticket);
                }
            }
        }
    }

    fn give(&mut self, owner: Owner, result: Result<Reply>) {
        match owner {
            Owner::Call(slot) => slot.fill(answer::of(result)),
            Owner::Queue(queue, user_data, expected) => {
                queue.complete(user_data, answer::of(result).and_then(|done| expected.check(done)));
            }
            Owner::Wait(queue, wait) => queue.complete_wait(wait, answer::of(result)),
            #[cfg(feature = "proxy")]
            Owner::Lane(place) => self.lanes.complete(place, result),
        }
    }
}

/// The present, by both clocks.
pub(in crate::driver) fn now() -> Now {
    Now { instant: Clock.now(), clock: clock() }
}

/// The present, by which keys expire.
pub(super) fn clock() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    Timestamp::from_millis(millis)
}

impl Shared {
    /// With `host`, it is turned by that and has no threads.
    pub(super) fn new(
        ground: Ground,
        options: &Options,
        syncing: Syncing,
        host: Option<(Host, Hosted)>,
    ) -> Self {
        let (host, hosted) = host.unzip();
        let told = ground.engine().state().sequence();
        let core = Core {
            ground,
            waiting: VecDeque::new(),
            owners: Owners::default(),
            durable_waits: DurableWaits::default(),
            bells: Vec::new(),
            queues: Vec::new(),
            #[cfg(all(feature = "proxy", feature = "replication"))]
            news_bells: Vec::new(),
            #[cfg(feature = "proxy")]
            lanes: Lanes::default(),
            told,
            upkeep: None,
            job: None,
            scrubbing: Scrubbing::new(options.scrub_interval, Clock.now()),
            syncing,
            snapshot_error: None,
            snapshotted_at: clock(),
            tends_at: None,
            is_flusher_idle: false,
            is_tender_idle: false,
            is_ending: false,
            is_over: false,
            has_ended: false,
            hosted,
        };
        Self {
            core: Mutex::new(core),
            flush: Condvar::new(),
            tend: Condvar::new(),
            snapshot: Condvar::new(),
            snapshotted: Condvar::new(),
            #[cfg(all(feature = "proxy", feature = "replication"))]
            catching: Condvar::new(),
            #[cfg(all(feature = "proxy", feature = "replication"))]
            sight: None,
            closed: AtomicU32::new(0),
            waiting_max: options.waiting_max,
            scrub_bytes_per_second: options.scrub_bytes_per_second,
            host,
        }
    }

    /// Has readers ask for a view where there is none for them.
    pub(super) fn serve_readers(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        self.core.lock().ground.engine().serve(move || {
            let shared = shared.upgrade().expect("who reads has the store");
            shared.core.lock().ground.view()
        });
    }

    pub(in crate::driver) fn check_open(&self) -> Result<()> {
        // Relaxed: a call beside a close may be answered either way.
        if self.closed.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(closed()) }
    }

    /// Whether it is a member of a cluster.
    #[inline]
    pub(super) fn is_member(&self) -> bool {
        #[cfg(all(feature = "proxy", feature = "replication"))]
        return self.sight.is_some();
        #[cfg(not(all(feature = "proxy", feature = "replication")))]
        false
    }

    /// The time in the store.
    pub(in crate::driver) fn clock_ms(&self) -> u64 {
        self.core.lock().engine().clock_ms(now())
    }

    /// A snapshot to be written elsewhere.
    pub(in crate::driver) fn view_job(&self) -> SnapshotJob {
        self.core.lock().ground.view_job(now())
    }

    /// Submits a command for a call.
    pub(super) fn submit(&self, command: &Command<'_>, wanted: &Wanted) -> Result<Submitted> {
        let mut core = self.core.lock();
        let now = now();
        let ticket = if core.is_ending || !core.waiting.is_empty() {
            None
        } else {
            match core.ground.submit_now(command, wanted, now) {
                Ok(ground::Submitted::Done(reply)) => {
                    self.settle(&mut core, now);
                    return answer::of(Ok(reply)).map(Submitted::Done);
                }
                Ok(ground::Submitted::UnderWay(ticket)) => Some(ticket),
                Err(error) if core.ground.is_worth_waiting(&error) => None,
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
                self.hold(&mut core, command, wanted, owner)?;
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
        wanted: &Wanted,
        owner: Owner,
        now: Now,
    ) -> Result<()> {
        self.take_by(
            core,
            command,
            wanted,
            |_| owner,
            |ground| ground.submit(command, wanted, now).map(ground::Submitted::UnderWay),
        )
        .map(drop)
    }

    /// The same; `owner` is told the sequence, where that is known by now. What is done at once is given back, and has none.
    #[cfg(feature = "proxy")]
    pub(super) fn take_now(
        &self,
        core: &mut Core,
        command: &Command<'_>,
        wanted: &Wanted,
        owner: impl FnOnce(Option<u64>) -> Owner,
        now: Now,
    ) -> Result<Option<Reply>> {
        self.take_by(core, command, wanted, owner, |ground| ground.submit_now(command, wanted, now))
    }

    fn take_by(
        &self,
        core: &mut Core,
        command: &Command<'_>,
        wanted: &Wanted,
        owner: impl FnOnce(Option<u64>) -> Owner,
        submit: impl FnOnce(&mut Ground) -> Result<ground::Submitted>,
    ) -> Result<Option<Reply>> {
        if core.is_ending {
            return Err(closed());
        }
        if core.waiting.is_empty() {
            let before = core.ground.last_taken();
            match submit(&mut core.ground) {
                Ok(ground::Submitted::Done(reply)) => return Ok(Some(reply)),
                Ok(ground::Submitted::UnderWay(ticket)) => {
                    // What was answered without being written down has none.
                    let sequence = core.ground.last_taken();
                    core.owners.insert(ticket, owner((sequence > before).then_some(sequence)));
                    return Ok(None);
                }
                Err(error) if core.ground.is_worth_waiting(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.hold(core, command, wanted, owner(None)).map(|()| None)
    }

    /// Has a command wait for its turn.
    fn hold(&self, core: &mut Core, command: &Command<'_>, wanted: &Wanted, owner: Owner) -> Result<()> {
        if core.is_ending {
            return Err(closed());
        }
        if let Some(failure) = core.engine().failure() {
            return Err(failure.clone());
        }
        if core.waiting.len() >= self.waiting_max {
            return Err(Error::Capacity { what: "waiting_max", limit: self.waiting_max as u64 });
        }
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        core.waiting.push_back(Waiting { command: Some(encoded), wanted: *wanted, owner });
        core.ground.want_flush();
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
            let ticket = core.ground.submit_sync()?;
            core.owners.insert(ticket, owner);
        } else {
            let wanted = Wanted {
                durability: None,
                nodes: 0,
                deadline: Instant::START,
                stays: false,
                source: None,
                caller: Caller::Waits,
            };
            core.waiting.push_back(Waiting { command: None, wanted, owner });
        }
        Ok(())
    }

    /// Waits until the log is on this disk up to `sequence`.
    pub(super) fn wait_durable(&self, sequence: u64) -> Result<Submitted> {
        let slot = Arc::new(Slot::default());
        self.take_durable(&mut self.core.lock(), sequence, Owner::Call(Arc::clone(&slot)))?;
        Ok(Submitted::Waits(slot))
    }

    /// Has `owner` answered once the log is on this disk up to `sequence`; at once if it is.
    pub(super) fn take_durable(&self, core: &mut Core, sequence: u64, owner: Owner) -> Result<()> {
        if core.is_ending {
            return Err(closed());
        }
        let durable = core.engine().durable_sequence();
        if sequence <= durable {
            core.give(owner, Ok(durable_to(durable)));
            return Ok(());
        }
        if let Some(failure) = core.engine().failure() {
            return Err(failure.clone());
        }
        core.durable_waits.insert(sequence, owner, self.waiting_max)
    }

    /// Answers those who wait for what is on disk by now, and all when nothing more comes there.
    fn tell_durable(core: &mut Core, is_over: bool) {
        if core.durable_waits.is_empty() {
            return;
        }
        let durable = core.engine().durable_sequence();
        while let Some(owner) = core.durable_waits.pop(durable) {
            core.give(owner, Ok(durable_to(durable)));
        }
        let failure = core.engine().failure().cloned().or_else(|| is_over.then(closed));
        let Some(failure) = failure else { return };
        while let Some(owner) = core.durable_waits.pop(u64::MAX) {
            core.give(owner, Err(failure.clone()));
        }
    }

    /// Whether a sequence lies behind all that was ever taken, as far as this is known here.
    pub(super) fn is_unheard_of(&self, sequence: u64) -> bool {
        self.core.lock().ground.is_unheard_of(sequence, now())
    }

    pub(super) fn add_bell(&self, bell: &Arc<Bell>) {
        let mut core = self.core.lock();
        core.bells.retain(|bell| bell.strong_count() > 0);
        core.bells.push(Arc::downgrade(bell));
    }

    pub(super) fn add_queue(&self, queue: &Arc<queue::Shared>) {
        let mut core = self.core.lock();
        core.queues.retain(|queue| queue.strong_count() > 0);
        core.queues.push(Arc::downgrade(queue));
        if core.has_ended {
            queue.close();
        }
    }

    /// Waits for a snapshot of what is applied now; gives its sequence.
    pub(super) fn snapshot(&self, deadline: Instant) -> Result<u64> {
        let mut core = self.core.lock();
        let (wanted, failed) = (core.engine().state().sequence(), core.engine().counts().snapshots_failed);
        loop {
            if core.engine().snapshot_sequence() >= wanted {
                return Ok(core.engine().snapshot_sequence());
            }
            if core.is_ending {
                return Err(closed());
            }
            if let Some(failure) = core.engine().failure() {
                return Err(failure.clone());
            }
            if core.engine().counts().snapshots_failed > failed
                && let Some(error) = &core.snapshot_error
            {
                return Err(error.clone());
            }
            let left = deadline.duration_since(Clock.now());
            if left.is_zero() {
                return Err(Error::TimedOut { what: "snapshot" });
            }
            // One that is under way may be of an earlier state: then another one follows.
            core.ground.want_snapshot();
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
    pub(super) fn settle_for(&self, core: &mut Core, own: Option<Ticket>, now: Now) -> Option<Result<Reply>> {
        let mut answer = None;
        core.ground.advance(now);
        loop {
            self.answer(core, own, &mut answer);
            let Some(next) = core.waiting.pop_front() else { break };
            let submitted = match &next.command {
                Some(command) => core.ground.submit_encoded(command, &next.wanted, now),
                None => core.ground.submit_sync(),
            };
            match submitted {
                Ok(ticket) => {
                    core.owners.insert(ticket, next.owner);
                }
                Err(error) if core.ground.is_worth_waiting(&error) => {
                    core.waiting.push_front(next);
                    core.ground.want_flush();
                    break;
                }
                Err(error) => core.give(next.owner, Err(error)),
            }
        }
        Self::tell_durable(core, core.is_over);
        let sequence = core.engine().state().sequence();
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
        // Whoever writes and syncs settles when that is done.
        let is_free = !core.syncing.is_claimed() && !core.engine().log().is_writing();
        if core.is_flusher_idle
            && ((is_free && core.engine().is_flush_wanted())
                || (core.is_ending && core.engine().is_drained()))
        {
            core.is_flusher_idle = false;
            self.flush.notify_one();
        }
        if core.job.is_none()
            && !core.is_ending
            && let Some(job) = core.ground.poll_snapshot(now)
        {
            core.job = Some(job);
            self.snapshot.notify_one();
        }
        if core.is_tender_idle {
            let next = core.ground.next_deadline(now);
            let is_sooner = next.is_some_and(|next| core.tends_at.is_none_or(|at| next < at));
            if core.upkeep.is_none() {
                core.upkeep = core.ground.poll_upkeep();
            }
            if is_sooner || core.upkeep.is_some() {
                core.is_tender_idle = false;
                self.tend.notify_one();
            }
        }
        #[cfg(all(feature = "proxy", feature = "replication"))]
        self.tell_peers(core);
        self.tell_host(core, now);
        answer
    }

    /// In a cluster: wakes the threads that have to do with other nodes, and who follows it.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    fn tell_peers(&self, core: &mut Core) {
        let is_over = core.is_over;
        let Some(member) = core.ground.member() else { return };
        member.ring(is_over);
        if member.has_catching() || is_over {
            self.catching.notify_one();
        }
        if member.news.take_fresh() || is_over {
            core.ring_news();
        }
        core.tell_lanes();
    }

    fn answer(&self, core: &mut Core, own: Option<Ticket>, answer: &mut Option<Result<Reply>>) {
        while let Some((ticket, result)) = core.ground.poll_reply() {
            if own == Some(ticket) {
                *answer = Some(result);
            } else if let Some(owner) = core.owners.remove(ticket) {
                core.give(owner, result);
            }
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
        core.ground.close(now);
        self.settle(&mut core, now);
        for bell in core.bells.iter().filter_map(Weak::upgrade) {
            bell.ring();
        }
        #[cfg(all(feature = "proxy", feature = "replication"))]
        core.ring_news();
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
        Self::tell_durable(&mut core, true);
        core.has_ended = true;
        core.queues.drain(..).filter_map(|queue| queue.upgrade()).for_each(|queue| queue.close());
        if let Some(host) = &self.host {
            host.worked.notify_all();
        }
        core.engine().failure().cloned().map_or(Ok(()), Err)
    }
}

/// The answer to who waits for the log to be on disk so far.
fn durable_to(sequence: u64) -> Reply {
    Reply { outcome: None, sequence, epoch: 0, durability: Durability::Local, nodes: 1, is_degraded: false }
}

pub(super) fn closed() -> Error {
    Error::State { what: "store", detail: "is closed; open it again".into() }
}

/// The moment `timeout` from now.
pub(super) fn deadline(timeout: Duration) -> Instant {
    Clock.now().saturating_add(timeout)
}
