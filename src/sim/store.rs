//! A store on a disk that crashes, tears, lies, fills up and fails to sync. Checked all along:
//!
//! - after a crash the store is in the state that some beginning of what was submitted explains (equal hashes), and that
//!   beginning has all that was answered as being on disk;
//! - nothing that asked for `local` is seen and then vanishes; of `memory` writes the last ones may go;
//! - what is read, and what each command answers, is what an index without a disk says at that place of the log;
//! - a request sent again is done once, whether the first one is under way, done, or was taken by a crash;
//! - after a failed sync nothing more is taken, all that waited are told, and reading goes on;
//! - a full disk refuses, and takes again when there is room.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Error;
use crate::rng::Rng;
use crate::sim::disk::{Faults, SimDisk};
use crate::store::engine::{Durability, Engine, Now, Options, SnapshotJob, Ticket, open};
use crate::store::index::{
    self, Command, Comparison, Condition, Index, Lifetime, LifetimeCondition, OnRefusal, Operand, Operation,
    Outcome, Range, Relation, RequestId, Settings, State, Step, Timestamp, Transaction,
};
use crate::store::log::{self, Disk, File, Flush, Identity, Upkeep};
use crate::time::Instant;

/// What came of a run, to see that it was not an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Commands taken.
    pub submitted: u64,
    /// Answers.
    pub answered: u64,
    /// Of these, of writes that asked for `local`.
    pub local: u64,
    /// Times the store was opened again.
    pub opened: u64,
    /// Of these, with a snapshot.
    pub from_snapshot: u64,
    /// `memory` writes that had been seen and that a crash took.
    pub vanished: u64,
    /// Writes that nobody was told of and that were there even so.
    pub more_than_told: u64,
    /// Requests sent again that were answered from memory.
    pub repeated: u64,
    /// Requests sent again that joined the first one.
    pub joined: u64,
    /// Commands refused for want of room, or because too much waited.
    pub refused: u64,
    /// Writes told that the log had stopped.
    pub failed: u64,
    /// Expiries the engine appended.
    pub expiries: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Comparisons of what was read.
    pub read: u64,
    /// Commands for which the clock stood still.
    pub clock_steps: u64,
}

impl Summary {
    /// Adds another run's.
    pub fn add(&mut self, other: &Summary) {
        let pairs = [
            (&mut self.submitted, other.submitted),
            (&mut self.answered, other.answered),
            (&mut self.local, other.local),
            (&mut self.opened, other.opened),
            (&mut self.from_snapshot, other.from_snapshot),
            (&mut self.vanished, other.vanished),
            (&mut self.more_than_told, other.more_than_told),
            (&mut self.repeated, other.repeated),
            (&mut self.joined, other.joined),
            (&mut self.refused, other.refused),
            (&mut self.failed, other.failed),
            (&mut self.expiries, other.expiries),
            (&mut self.snapshots, other.snapshots),
            (&mut self.read, other.read),
            (&mut self.clock_steps, other.clock_steps),
        ];
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }
}

/// What is wrong with a world beside crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Syncs that fail.
    FailedSyncs,
    /// Room that comes and goes.
    Full,
    /// Syncs that lie: what was answered may be gone, but what is there is right.
    Lies,
    /// A disk that acknowledges a sync before it does it. The checker is not told: it has to find out.
    LateDisk,
    /// An engine that is told of a flush before it is done. The checker is not told either.
    EarlyAnswer,
}

impl Trouble {
    /// The one of this seed.
    pub fn of(seed: u64) -> Self {
        match seed % 8 {
            0..=3 => Trouble::None,
            4 => Trouble::FailedSyncs,
            5 | 6 => Trouble::Full,
            _ => Trouble::Lies,
        }
    }
}

const IDENTITY: Identity = Identity { cluster: *b"simulated-world2", node: 1 };
const STEPS: u64 = 500;
const KEYS: u64 = 24;
const CLIENTS: u64 = 3;
/// The most keys an engine's expiry takes out at once.
const EXPIRE_MAX: u64 = 1_000;

/// An entry of the log as the world knows it.
#[derive(Clone, Debug)]
struct Entry {
    durability: Durability,
    request: Option<RequestId>,
    outcome: Outcome,
    /// The state behind it.
    state: State,
}

struct World {
    rng: Rng,
    trouble: Trouble,
    disk: SimDisk,
    options: Options,
    now: Now,
    /// The latest time any command had.
    latest: Timestamp,
    engine: Option<Engine>,
    flush: Option<Flush>,
    /// A flush that was told of before it was done: where it goes.
    early: Option<(File, u64, Vec<u8>)>,
    upkeep: Option<Upkeep>,
    snapshot: Option<SnapshotJob>,
    /// The state that everything began with, at the sequence before the first of `entries`.
    base: State,
    /// What is in the log behind `base`, one after the other.
    entries: Vec<Entry>,
    oracle: Index,
    /// Who waits for which sequence.
    waiting: BTreeMap<Ticket, u64>,
    /// Up to here everything was told to be on disk.
    told: u64,
    /// Up to here everything was seen.
    seen: u64,
    numbers: [u64; CLIENTS as usize],
    /// Requests that may be sent again.
    requests: Vec<(RequestId, Vec<u8>)>,
    summary: Summary,
}

/// Plays the world of a seed. `Err` says what did not hold.
pub fn run(seed: u64, trouble: Trouble) -> Result<Summary, String> {
    let mut rng = Rng::new(seed);
    let faults = Faults {
        sync_fails: if trouble == Trouble::FailedSyncs { 20 } else { 0 },
        sync_lies: if trouble == Trouble::Lies { 100 } else { 0 },
        sync_late: trouble == Trouble::LateDisk,
    };
    let segment_bytes = 32_768 + 4096 * rng.below(8);
    let settings = Settings { value_max: 8 << 10, ..Settings::default() };
    let options = Options {
        durability: if rng.below(2) == 0 { Durability::Local } else { Durability::Memory },
        flush_interval: Duration::from_millis(1 + rng.below(500)),
        flush_bytes: 4096 << rng.below(4),
        snapshot_bytes: 64 << 10,
        settings: if rng.below(2) == 0 { settings } else { Settings::default() },
        log: log::Options {
            segment_bytes,
            pending_bytes_max: 64 << 10,
            disk_bytes_max: (rng.below(4) == 0).then_some(segment_bytes * (5 + rng.below(6))),
            kept_bytes: segment_bytes * (seed % 4),
            ..log::Options::default()
        },
        ..Options::default()
    };
    let oracle = Index::new(&index::Options::default());
    let mut world = World {
        disk: SimDisk::new(rng.next_u64(), faults),
        rng,
        trouble,
        options,
        now: Now { instant: Instant::from_millis(1), clock: Timestamp::from_millis(1_000_000) },
        latest: Timestamp::default(),
        engine: None,
        flush: None,
        early: None,
        upkeep: None,
        snapshot: None,
        base: oracle.state().clone(),
        entries: Vec::new(),
        oracle,
        waiting: BTreeMap::new(),
        told: 0,
        seen: 0,
        numbers: [0; CLIENTS as usize],
        requests: Vec::new(),
        summary: Summary::default(),
    };
    let result = world.play();
    result
        .map_err(|why| format!("seed {seed} ({trouble:?}), opened {} times: {why}", world.summary.opened))?;
    Ok(world.summary)
}

impl World {
    fn play(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            if self.engine.is_none() {
                self.open()?;
            }
            match self.rng.below(100) {
                0..=44 => self.submit()?,
                45..=49 => self.submit_sync()?,
                50..=61 => self.begin(),
                62..=78 => self.finish()?,
                79..=86 => self.pass_time()?,
                87..=89 => self.full(),
                90..=93 => self.read()?,
                94..=95 => self.disk.crash_in(self.rng.below(30)),
                96 => self.crash(),
                97 => self.close()?,
                _ => {
                    if let Some(engine) = &mut self.engine {
                        engine.want_snapshot();
                    }
                }
            }
            if self.disk.is_crashed() {
                self.crash();
            }
            self.complete()?;
        }
        self.disk.abandon_crash();
        self.crash();
        self.disk.set_bytes_max(None);
        self.open()?;
        self.read()
    }

    /// Opens the store and holds it against the beginnings it may be.
    fn open(&mut self) -> Result<(), String> {
        let seed = self.rng.next_u64();
        let (mut engine, report) = match open(&self.disk, self.options.clone(), IDENTITY, seed, self.now) {
            Ok(opened) => opened,
            Err(_) if self.disk.is_crashed() => {
                self.disk.restart();
                return Ok(());
            }
            Err(Error::Io { .. }) if self.is_troubled() => {
                // No room for the first segment, or its sync failed.
                self.disk.set_bytes_max(None);
                self.disk.restart();
                return Ok(());
            }
            Err(Error::Corrupt(_)) if self.trouble == Trouble::Lies => {
                // Begin anew: a disk that lies may leave something that is recognised as being damaged.
                self.disk = SimDisk::new(self.rng.next_u64(), Faults { sync_lies: 100, ..Faults::default() });
                *self = World {
                    entries: Vec::new(),
                    told: 0,
                    seen: 0,
                    ..std::mem::replace(self, World::empty())
                };
                self.oracle = Index::new(&index::Options::default());
                self.base = self.oracle.state().clone();
                return Ok(());
            }
            Err(error) => return Err(format!("does not open: {error}")),
        };
        self.summary.opened += 1;
        self.summary.from_snapshot += u64::from(report.log.snapshot.is_some());
        let recovered = report.log.last.0;
        let last = self.last();
        if recovered > last {
            return Err(format!("recovered up to {recovered}, of {last} entries"));
        }
        if recovered < self.told && self.trouble != Trouble::Lies {
            return Err(format!(
                "recovered up to {recovered}, and up to {} was told to be on disk",
                self.told
            ));
        }
        let told = self.told.min(recovered);
        self.summary.more_than_told += recovered - told;
        self.summary.vanished += self.seen.saturating_sub(recovered);
        if self.trouble != Trouble::Lies {
            for sequence in recovered + 1..=self.seen {
                if self.entry(sequence).durability != Durability::Memory {
                    return Err(format!("entry {sequence} asked for local, was seen, and is gone"));
                }
            }
        }
        self.forget_behind(recovered);
        // The settings may be in by now, as an entry of their own.
        if engine.last_sequence() > recovered {
            let operation = Operation::Configure(self.options.settings);
            let time = self.now.clock.max(self.oracle.state().time());
            let mut bytes = Vec::new();
            Command { time, request: None, operation }.encode(&mut bytes);
            self.note(recovered + 1, &bytes, Durability::Memory, None);
        }
        self.latest = self.oracle.state().time();
        let (ours, theirs) = (self.oracle.state(), engine.state());
        if (ours.sequence(), ours.hash()) != (theirs.sequence(), theirs.hash()) {
            return Err(format!(
                "recovered state {:x} at {}, and the entries up to there give {:x} at {}",
                theirs.hash(),
                theirs.sequence(),
                ours.hash(),
                ours.sequence()
            ));
        }
        if ours.memory() != theirs.memory() || ours.len() != theirs.len() {
            return Err("the hash is right, memory or count of keys is not".into());
        }
        self.told = recovered;
        self.seen = engine.last_sequence();
        while engine.poll_completion().is_some() {}
        self.engine = Some(engine);
        Ok(())
    }

    fn is_troubled(&self) -> bool {
        matches!(self.trouble, Trouble::Full | Trouble::FailedSyncs)
    }

    /// A world to be thrown away.
    fn empty() -> World {
        let oracle = Index::new(&index::Options::default());
        World {
            rng: Rng::new(0),
            trouble: Trouble::None,
            disk: SimDisk::new(0, Faults::default()),
            options: Options::default(),
            now: Now::default(),
            latest: Timestamp::default(),
            engine: None,
            flush: None,
            early: None,
            upkeep: None,
            snapshot: None,
            base: oracle.state().clone(),
            entries: Vec::new(),
            oracle,
            waiting: BTreeMap::new(),
            told: 0,
            seen: 0,
            numbers: [0; CLIENTS as usize],
            requests: Vec::new(),
            summary: Summary::default(),
        }
    }

    fn last(&self) -> u64 {
        self.base.sequence() + self.entries.len() as u64
    }

    fn entry(&self, sequence: u64) -> &Entry {
        &self.entries[(sequence - self.base.sequence() - 1) as usize]
    }

    fn state_at(&self, sequence: u64) -> &State {
        match sequence - self.base.sequence() {
            0 => &self.base,
            at => &self.entries[at as usize - 1].state,
        }
    }

    /// What came after `sequence` never was.
    fn forget_behind(&mut self, sequence: u64) {
        self.entries.truncate((sequence - self.base.sequence()) as usize);
        self.oracle = Index::from_state(self.state_at(sequence).clone(), &index::Options::default());
        self.waiting.clear();
    }

    /// An entry is in the log.
    fn note(&mut self, sequence: u64, bytes: &[u8], durability: Durability, request: Option<RequestId>) {
        let outcome = self.oracle.apply(sequence, bytes).expect("one after the other");
        let state = self.oracle.state().clone();
        self.latest = state.time();
        self.entries.push(Entry { durability, request, outcome, state });
    }

    fn submit(&mut self) -> Result<(), String> {
        let (request, bytes) = self.command();
        let durability = match self.rng.below(4) {
            0 => None,
            1 => Some(Durability::Memory),
            _ => Some(Durability::Local),
        };
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let before = engine.last_sequence();
        let result = engine.submit_encoded(&bytes, durability, self.now);
        let after = engine.last_sequence();
        let is_failed = engine.failure().is_some();
        let ticket = match result {
            Ok(_) if is_failed => return Err("taken although the log has stopped".into()),
            Ok(ticket) => ticket,
            Err(error @ (Error::Capacity { .. } | Error::Io { .. }))
                if is_failed
                    || engine.is_worth_waiting(&error)
                    || self.trouble == Trouble::Full
                    || self.options.log.disk_bytes_max.is_some() =>
            {
                self.summary.refused += 1;
                return Ok(());
            }
            Err(error) => return Err(format!("refused without need: {error}")),
        };
        self.summary.submitted += 1;
        let durability = durability.unwrap_or(self.options.durability);
        if after == before + 1 {
            // The engine has put its own time in.
            let mut stamped = Vec::new();
            let command = Command::decode(&bytes, self.oracle.state().settings()).expect("it was taken");
            Command { time: self.now.clock.max(self.latest), ..command }.encode(&mut stamped);
            self.note(after, &stamped, durability, request);
            self.waiting.insert(ticket, after);
            return self.check_once(request, after);
        }
        // It joined the same request on its way.
        let joined = self.entries.iter().rposition(|entry| request.is_some() && entry.request == request);
        let Some(at) = joined else { return Err(format!("taken without an entry: {before} to {after}")) };
        let entry = &mut self.entries[at];
        entry.durability = entry.durability.max(durability);
        self.waiting.insert(ticket, self.base.sequence() + at as u64 + 1);
        self.summary.joined += 1;
        Ok(())
    }

    /// The request of the entry was done there, or before, and not twice.
    fn check_once(&mut self, request: Option<RequestId>, sequence: u64) -> Result<(), String> {
        if request.is_none() {
            return Ok(());
        }
        let done = |entry: &&Entry| {
            entry.request == request && entry.outcome.answer.is_ok() && !entry.outcome.is_repeated
        };
        if self.entries.iter().filter(done).count() > 1 {
            return Err(format!("entry {sequence} does again what was done before"));
        }
        self.summary.repeated += u64::from(self.entry(sequence).outcome.is_repeated);
        Ok(())
    }

    fn submit_sync(&mut self) -> Result<(), String> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        match engine.submit_sync() {
            Ok(ticket) => {
                self.waiting.insert(ticket, engine.last_sequence());
                Ok(())
            }
            Err(_) if engine.failure().is_some() => Ok(()),
            Err(error) => Err(format!("no sync: {error}")),
        }
    }

    /// Takes what there is to do for the disk.
    fn begin(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        if self.flush.is_none() && self.early.is_none() {
            self.flush = engine.poll_flush();
            if let Some(flush) = self.flush.take_if(|_| self.trouble == Trouble::EarlyAnswer) {
                // The planted fault: told first, done later.
                self.early = Some((flush.file(), flush.offset(), flush.bytes().to_vec()));
                engine.handle_flushed(flush, Ok(()), |file| file.to_string());
            }
        }
        if self.upkeep.is_none() {
            self.upkeep = engine.poll_upkeep();
        }
        if self.snapshot.is_none() {
            self.snapshot = engine.poll_snapshot(self.now);
        }
    }

    /// Does some of it.
    fn finish(&mut self) -> Result<(), String> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let name = |file| self.disk.name(file);
        if self.rng.below(2) == 0
            && let Some(flush) = self.flush.take()
        {
            let result = flush.run(&self.disk);
            if self.disk.is_crashed() {
                return Ok(());
            }
            engine.handle_flushed(flush, result, name);
        }
        if let Some((file, offset, bytes)) = self.early.take() {
            let _ = self.disk.write(file, offset, &bytes).and_then(|()| self.disk.sync(file));
        }
        if let Some(work) = self.upkeep.take() {
            let result = work.run(&self.disk);
            if self.disk.is_crashed() {
                return Ok(());
            }
            engine.handle_upkeep(&work, result, self.now.instant, name);
        }
        if let Some(mut job) = self.snapshot.take() {
            let result = match job.step(&self.disk) {
                _ if self.disk.is_crashed() => return Ok(()),
                Ok(None) => {
                    self.snapshot = Some(job);
                    return Ok(());
                }
                Ok(Some(written)) => Ok(written),
                Err(error) => Err(error),
            };
            let is_written = result.is_ok();
            match engine.handle_snapshot(&job, result, self.now) {
                Ok(()) => self.summary.snapshots += 1,
                Err(error) if is_written => return Err(format!("the log refuses the snapshot: {error}")),
                Err(_) if self.is_troubled() => {}
                Err(error) => return Err(format!("no snapshot: {error}")),
            }
        }
        Ok(())
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let step_ms = [1, 10, 100, 1_000][self.rng.below(4) as usize] * (1 + self.rng.below(9));
        self.now.instant = self.now.instant.saturating_add(Duration::from_millis(step_ms));
        let clock = self.now.clock.as_millis();
        self.now.clock = Timestamp::from_millis(match self.rng.below(6) {
            0 => clock - self.rng.below(2_000).min(clock),
            _ => clock + step_ms,
        });
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let is_due = engine.next_deadline(self.now).is_some_and(|at| at <= self.now.instant);
        let before = (engine.last_sequence(), engine.counts().expiries);
        engine.handle_timeout(self.now);
        let after = (engine.last_sequence(), engine.counts().expiries);
        if after == before {
            return Ok(());
        }
        if !is_due {
            return Err("an expiry before it was due".into());
        }
        if after != (before.0 + 1, before.1 + 1) {
            return Err(format!("a timeout led from {before:?} to {after:?}"));
        }
        self.summary.expiries += 1;
        let mut bytes = Vec::new();
        let time = self.now.clock.max(self.latest);
        Command { time, request: None, operation: Operation::Expire { limit: EXPIRE_MAX } }
            .encode(&mut bytes);
        self.note(after.0, &bytes, Durability::Memory, None);
        Ok(())
    }

    fn full(&mut self) {
        if self.trouble != Trouble::Full {
            return;
        }
        let used = self.disk.used_bytes();
        let bytes = (self.rng.below(3) > 0).then(|| used + self.rng.below(60_000));
        self.disk.set_bytes_max(bytes);
    }

    /// Takes the answers and holds them against what the oracle says.
    fn complete(&mut self) -> Result<(), String> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let mut completions = Vec::new();
        while let Some(completion) = engine.poll_completion() {
            completions.push(completion);
        }
        let seen = engine.reader().view().sequence();
        let failure = engine.failure().cloned();
        if seen < self.seen {
            return Err(format!("seen up to {}, and then only up to {seen}", self.seen));
        }
        self.seen = seen;
        for completion in completions {
            let Some(sequence) = self.waiting.remove(&completion.ticket) else {
                return Err(format!("{:?} was answered twice, or never given", completion.ticket));
            };
            self.summary.answered += 1;
            let done = match completion.result {
                Ok(done) => done,
                Err(error) if Some(&error) == failure.as_ref() => {
                    self.summary.failed += 1;
                    continue;
                }
                Err(error) => return Err(format!("entry {sequence} was answered with {error}")),
            };
            if done.sequence != sequence {
                return Err(format!("entry {sequence} was answered as {}", done.sequence));
            }
            if done.durability == Durability::Local {
                self.told = self.told.max(sequence);
            }
            let Some(outcome) = done.outcome else { continue };
            if outcome != self.entry(sequence).outcome {
                return Err(format!(
                    "entry {sequence}: {outcome:?} is not {:?}",
                    self.entry(sequence).outcome
                ));
            }
            if done.durability < self.entry(sequence).durability {
                return Err(format!("entry {sequence} was answered at {:?}", done.durability));
            }
            if sequence > seen {
                return Err(format!("entry {sequence} was answered before it is seen"));
            }
            self.summary.local += u64::from(self.entry(sequence).durability == Durability::Local);
        }
        if failure.is_some() && !self.waiting.is_empty() {
            return Err(format!("the log has stopped, and {} still wait", self.waiting.len()));
        }
        Ok(())
    }

    /// What readers see is what the oracle had at that sequence.
    fn read(&mut self) -> Result<(), String> {
        let Some(engine) = &self.engine else { return Ok(()) };
        let view = engine.reader().view();
        let state = self.state_at(view.sequence()).clone();
        if view.hash() != state.hash() {
            return Err(format!("what is seen at {} is not what it is", view.sequence()));
        }
        for at in 0..KEYS {
            let key = format!("key-{at}");
            let now = self.now.clock.max(view.time());
            let (seen, right) = (view.get(key.as_bytes(), now), state.get(key.as_bytes(), now));
            if seen.map(|it| it.to_found()) != right.map(|it| it.to_found()) {
                return Err(format!("{key} is seen with another value"));
            }
            self.summary.read += 1;
        }
        Ok(())
    }

    fn crash(&mut self) {
        self.leave();
        self.disk.restart();
    }

    fn leave(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.summary.clock_steps += engine.counts().clock_steps;
        }
        self.flush = None;
        self.early = None;
        self.upkeep = None;
        self.snapshot = None;
    }

    /// Closes the store in order: nothing is lost then, whatever it asked for.
    fn close(&mut self) -> Result<(), String> {
        self.disk.abandon_crash();
        self.snapshot = None;
        let Some(engine) = &mut self.engine else { return Ok(()) };
        engine.close(self.now);
        if let Some((file, offset, bytes)) = self.early.take() {
            let _ = self.disk.write(file, offset, &bytes).and_then(|()| self.disk.sync(file));
        }
        while let Some(flush) = self.flush.take().or_else(|| engine.poll_flush()) {
            let result = flush.run(&self.disk);
            engine.handle_flushed(flush, result, |file| file.to_string());
        }
        if !engine.is_drained() {
            return Err("closed, and not drained".into());
        }
        let (last, is_failed) = (engine.last_sequence(), engine.failure().is_some());
        self.complete()?;
        if !is_failed {
            if !self.waiting.is_empty() {
                return Err("closed, and somebody still waits".into());
            }
            self.told = last;
        }
        self.crash();
        Ok(())
    }

    /// A random command, or one that was sent before.
    fn command(&mut self) -> (Option<RequestId>, Vec<u8>) {
        if self.rng.below(8) == 0 && !self.requests.is_empty() {
            let (request, bytes) = &self.requests[self.rng.below(self.requests.len() as u64) as usize];
            return (Some(*request), bytes.clone());
        }
        let mut request = None;
        if self.rng.below(2) == 0 {
            let client = self.rng.below(CLIENTS);
            let number = &mut self.numbers[client as usize];
            *number += 1;
            request = Some(RequestId { client: [client as u8; 16], number: *number });
        }
        let mut bytes = Vec::new();
        let texts: Vec<Vec<u8>> = (0..12).map(|_| self.text()).collect();
        let keys: Vec<String> = (0..6).map(|_| format!("key-{}", self.rng.below(KEYS))).collect();
        let operation = self.operation(&texts, &keys);
        Command { time: Timestamp::default(), request, operation }.encode(&mut bytes);
        if let Some(request) = request {
            self.requests.push((request, bytes.clone()));
            if self.requests.len() > 8 {
                self.requests.remove(0);
            }
        }
        (request, bytes)
    }

    fn text(&mut self) -> Vec<u8> {
        let len = match self.rng.below(40) {
            0 => self.rng.below(8_000),
            1..=9 => return self.rng.below(1_000).to_string().into_bytes(),
            _ => self.rng.below(60),
        };
        (0..len).map(|_| self.rng.below(256) as u8).collect()
    }

    fn operation<'a>(&mut self, texts: &'a [Vec<u8>], keys: &'a [String]) -> Operation<'a> {
        let id = 1 + self.rng.below(4);
        match self.rng.below(20) {
            0 => Operation::LeaseGrant { id, ttl_ms: 1 + self.rng.below(5_000) },
            1 => Operation::LeaseKeepAlive { id },
            2 => Operation::LeaseRevoke { id },
            3..=5 => {
                let condition = Comparison {
                    key: keys[0].as_bytes(),
                    relation: if self.rng.below(2) == 0 { Relation::Less } else { Relation::Greater },
                    operand: Operand::Version(self.rng.below(self.last() + 1)),
                };
                let on_refusal = if self.rng.below(2) == 0 { OnRefusal::Abort } else { OnRefusal::Continue };
                let then = (0..3).map(|at| self.step(&texts[at], keys[at].as_bytes())).collect();
                let otherwise = (3..5).map(|at| self.step(&texts[at], keys[at].as_bytes())).collect();
                let conditions = vec![condition];
                Operation::Transaction(Transaction { conditions, then, otherwise, on_refusal })
            }
            _ => Operation::Step(self.step(&texts[5], keys[5].as_bytes())),
        }
    }

    fn step<'a>(&mut self, value: &'a [u8], key: &'a [u8]) -> Step<'a> {
        let deadline = Timestamp::from_millis(self.now.clock.as_millis() + self.rng.below(20_000));
        let lifetime = match self.rng.below(8) {
            0 | 1 => Lifetime::Until(deadline),
            2 => Lifetime::Lease(1 + self.rng.below(4)),
            3 => Lifetime::Keep,
            _ => Lifetime::Unbounded,
        };
        let condition = match self.rng.below(6) {
            0 => Condition::Absent,
            1 => Condition::Present,
            _ => Condition::Always,
        };
        let previous = self.rng.below(3) == 0;
        match self.rng.below(16) {
            0 | 1 => Step::Delete { key, condition, previous },
            2 => Step::Increment { key, by: self.rng.below(100) as i64 - 50 },
            3 => Step::Append { key, value },
            4 => Step::SetLifetime { key, lifetime, condition: LifetimeCondition::Always },
            5 => Step::DeleteRange {
                range: Range { start: key, end: Some(b"key-5") },
                limit: self.rng.below(4),
            },
            6 => Step::Get { key },
            7 => Step::Range { range: Range { start: key, end: None }, limit: 3, reverse: previous },
            _ => Step::Put { key, value, condition, lifetime, previous },
        }
    }
}
