//! A store on a disk that crashes, tears, lies, rots, is slow, fills up and fails. Checked all along:
//!
//! - after a crash the store is in the state that some beginning of what was submitted explains (equal hashes), and that
//!   beginning has all that was answered as being on disk;
//! - nothing that asked for `local` is seen and then vanishes; of `memory` writes the last ones may go;
//! - what is read, and what each command answers, is what an index without a disk says at that place of the log;
//! - a request sent again is done once, whether the first one is under way, done, or was taken by a crash;
//! - after a failed sync nothing more is taken, all that waited are told, and reading goes on;
//! - a full disk refuses, and takes again when there is room, soon and from then on if there is as much as a store needs; one whose calls fail costs no more than a failed sync does;
//! - at the bound of the disk what is deleted is taken, and in the end what is put; there is never more on it than it says in the docs;
//! - what a process that was killed left, and the next one has opened, is there when the power fails later;
//! - a bit that rots is found, or was of the last batch alone and is reported.

mod bounded;
mod filled;
mod host;
mod summary;
mod talk;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::summary::Summary;
use self::talk::{CLIENTS, KEYS};
use crate::error::Error;
use crate::rng::Rng;
use crate::sim::disk::{Faults, SimDisk};
use crate::store::engine::{Durability, Engine, Now, Options, SnapshotJob, Ticket, open};
use crate::store::index::{self, Command, Index, Operation, Outcome, RequestId, Settings, State, Timestamp};
use crate::store::log::{self, Disk, File, Flush, Identity, Upkeep};
use crate::time::Instant;

/// What is wrong with a world beside crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Syncs that fail.
    FailedSyncs,
    /// Any call that fails: writes, files made, renamed and taken away, syncs of both kinds.
    FailedCalls,
    /// A disk that is slow at times.
    Slow,
    /// A bit that flips while the store is closed.
    Rot,
    /// Room that comes and goes.
    Full,
    /// As much room as a store needs, which something else takes, and gives back.
    Filled,
    /// A bound of the disk, which writers fill.
    Bounded,
    /// Syncs that lie, of files and of names: what was answered may be gone, but what is there is right.
    Lies,
    /// A disk that acknowledges a sync before it does it. The checker is not told: it has to find out.
    LateDisk,
    /// An engine that is told of a flush before it is done. The checker is not told either.
    EarlyAnswer,
    /// [`Trouble::Filled`], of a disk that does not say how much room there is: none can be left for a snapshot.
    FilledUntold,
}

impl Trouble {
    /// The one of this seed.
    pub fn of(seed: u64) -> Self {
        match seed % 8 {
            0 if seed % 16 == 8 => Trouble::Bounded,
            6 if seed % 16 == 14 => Trouble::Filled,
            0 | 1 => Trouble::None,
            2 => Trouble::Rot,
            3 => Trouble::Slow,
            4 => Trouble::FailedSyncs,
            5 => Trouble::FailedCalls,
            6 => Trouble::Full,
            _ => Trouble::Lies,
        }
    }

    fn faults(self) -> Faults {
        match self {
            Trouble::FailedSyncs => Faults { sync_fails: 20, names_fail: 20, ..Faults::default() },
            Trouble::FailedCalls => Faults::failing(10),
            Trouble::Lies => Faults { sync_lies: 100, names_lie: 100, ..Faults::default() },
            Trouble::LateDisk => Faults { sync_late: true, ..Faults::default() },
            _ => Faults::default(),
        }
    }
}

const IDENTITY: Identity = Identity { cluster: *b"simulated-world2", node: 1 };
const STEPS: u64 = 500;
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
    /// Where the last batch that was written went, and how long it is.
    last_flush: Option<(File, u64, u64)>,
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
    /// Up to here everything was told to be on disk; and was, before the last batch was written.
    told: u64,
    told_before: u64,
    /// So many steps the disk does nothing.
    slow_steps: u64,
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
            disk_bytes_max: (rng.below(4) == 0 || trouble == Trouble::Bounded)
                .then_some(segment_bytes * (5 + rng.below(6)))
                .filter(|_| !matches!(trouble, Trouble::Filled | Trouble::FilledUntold)),
            kept_bytes: segment_bytes * (seed % 4),
            ..log::Options::default()
        },
        ..Options::default()
    };
    let oracle = Index::new(&index::Options::default());
    let mut world = World {
        disk: SimDisk::new(rng.next_u64(), trouble.faults()),
        rng,
        trouble,
        options,
        now: Now { instant: Instant::from_millis(1), clock: Timestamp::from_millis(1_000_000) },
        latest: Timestamp::default(),
        engine: None,
        flush: None,
        last_flush: None,
        early: None,
        upkeep: None,
        snapshot: None,
        base: oracle.state().clone(),
        entries: Vec::new(),
        oracle,
        waiting: BTreeMap::new(),
        told: 0,
        told_before: 0,
        slow_steps: 0,
        seen: 0,
        numbers: [0; CLIENTS as usize],
        requests: Vec::new(),
        summary: Summary::default(),
    };
    if trouble == Trouble::FilledUntold {
        world.disk.mute();
    }
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
            self.slow_down();
            match self.rng.below(100) {
                0..=44 => self.submit()?,
                45..=49 => self.submit_sync()?,
                50..=61 => self.begin(),
                62..=78 => self.finish()?,
                79..=86 => self.pass_time()?,
                87..=89 => self.full(),
                90..=93 => self.read()?,
                94..=95 => self.disk.crash_in(self.rng.below(30)),
                96 => match self.rng.below(2) {
                    0 => self.crash(),
                    _ => self.kill(),
                },
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
        if matches!(self.trouble, Trouble::Filled | Trouble::FilledUntold) {
            self.fill_and_give_back()?;
        }
        if self.trouble == Trouble::Bounded {
            self.fill_to_the_bound()?;
        }
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
            Err(Error::Corrupt(_) | Error::Unsupported { .. } | Error::InvalidArgument { .. })
                if matches!(self.trouble, Trouble::Lies | Trouble::Rot) =>
            {
                // Begin anew: a disk that lies may leave something that is recognised as being damaged.
                self.summary.damaged += 1;
                self.disk = SimDisk::new(self.rng.next_u64(), self.trouble.faults());
                *self = World {
                    entries: Vec::new(),
                    told: 0,
                    told_before: 0,
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
        self.summary.covered += u64::from(report.log.covered.is_some());
        let recovered = report.log.last.0;
        let last = self.last();
        if recovered > last {
            return Err(format!("recovered up to {recovered}, of {last} entries"));
        }
        // The last batch may have rotted, and then looks like one that was torn.
        let is_cut = self.trouble == Trouble::Rot && report.log.torn.is_some();
        let least = if is_cut { self.told_before } else { self.told };
        if recovered < least && self.trouble != Trouble::Lies {
            return Err(format!("recovered up to {recovered}, and up to {least} was told to be on disk"));
        }
        self.summary.rotted += u64::from(recovered < self.told && is_cut);
        let told = self.told.min(recovered);
        self.summary.more_than_told += recovered - told;
        self.summary.vanished += self.seen.saturating_sub(recovered);
        if self.trouble != Trouble::Lies && !is_cut {
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
        (self.told, self.told_before) = (recovered, least.min(recovered));
        self.seen = engine.last_sequence();
        while engine.poll_completion().is_some() {}
        self.engine = Some(engine);
        Ok(())
    }

    fn is_troubled(&self) -> bool {
        use Trouble::{FailedCalls, FailedSyncs, Filled, FilledUntold, Full};
        matches!(self.trouble, Full | Filled | FilledUntold | FailedSyncs | FailedCalls)
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
            last_flush: None,
            early: None,
            upkeep: None,
            snapshot: None,
            base: oracle.state().clone(),
            entries: Vec::new(),
            oracle,
            waiting: BTreeMap::new(),
            told: 0,
            told_before: 0,
            slow_steps: 0,
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
        self.submit_this(request, bytes, durability)
    }

    fn submit_this(
        &mut self,
        request: Option<RequestId>,
        bytes: Vec<u8>,
        durability: Option<Durability>,
    ) -> Result<(), String> {
        let is_troubled = self.is_troubled();
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
                    || is_troubled
                    || engine.is_worth_waiting(&error)
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
        match (self.trouble, self.rng.below(16), self.last_flush) {
            (Trouble::Rot, 0, _) => {
                self.disk.rot(|file| matches!(file, File::Segment(_) | File::Snapshot(_)));
            }
            (Trouble::Rot, 1, Some((file, offset, bytes))) => {
                self.disk.flip(file, offset + self.rng.below(bytes), 1 << self.rng.below(8));
            }
            _ => {}
        }
    }

    /// The process is killed, maybe in the midst of a write; the machine goes on.
    fn kill(&mut self) {
        // A disk that lies has less than is read of it: what a process then goes on from is nobody's word.
        if self.trouble == Trouble::Lies || self.disk.is_crashed() {
            return self.crash();
        }
        self.disk.abandon_crash();
        if let Some(flush) = self.flush.take() {
            let some = self.rng.below(flush.bytes().len() as u64 + 1) as usize;
            let _ = self.disk.write(flush.file(), flush.offset(), &flush.bytes()[..some]);
        }
        self.leave();
        self.disk.leave();
        self.summary.killed += 1;
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
        loop {
            if let Some(flush) = self.flush.take().or_else(|| engine.poll_flush()) {
                let result = flush.run(&self.disk);
                engine.handle_flushed(flush, result, |file| file.to_string());
            } else if engine.is_drained() {
                break;
            } else if let Some(work) = self.upkeep.take().or_else(|| engine.poll_upkeep()) {
                // The record that closes it may need a further segment.
                let result = work.run(&self.disk);
                engine.handle_upkeep(&work, result, self.now.instant, |file| file.to_string());
            } else {
                break;
            }
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
}
