//! A write-ahead log on a disk that crashes, tears, lies, rots and fills up. Checked all along:
//!
//! - recovery ends in the state that some prefix of what was appended explains, and that prefix has everything that was
//!   told to be durable;
//! - no entry reads as another than the one that was appended, from the disk or on replay;
//! - what is damaged is refused, or was of the last batch alone and is reported; with a disk that lies it may be less,
//!   but never wrong;
//! - a full disk loses nothing and refuses until there is room, and then no longer.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::rng::Rng;
use crate::sim::disk::{Faults, SimDisk};
use crate::store::log::record::Vote;
use crate::store::log::snapshot_format::SnapshotHeader;
use crate::store::log::{
    Appended, Disk, Epoch, File, Flush, Identity, Log, Options, Part, Replayed, Scrub, Sequence,
    SnapshotReader, SnapshotWriter, Ticket, Upkeep, open,
};
use crate::time::Instant;

/// What came of a run, to see that it was not an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries appended.
    pub appended: u64,
    /// Times the log was opened again.
    pub opened: u64,
    /// Of these, times that a torn tail was cut.
    pub torn: u64,
    /// Of these, times that something not told durable was there even so.
    pub more_than_told: u64,
    /// Times that damage was refused.
    pub refused: u64,
    /// Times that a snapshot stood for what was damaged.
    pub covered: u64,
    /// Appends refused for want of room.
    pub full: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Entries replaced by others.
    pub replaced: u64,
    /// Syncs that failed.
    pub failed: u64,
    /// Entries read back by number.
    pub read: u64,
    /// Segments begun.
    pub segments: u64,
    /// Pieces of work on files that failed, and were done anew.
    pub upkeep_failed: u64,
    /// Snapshots that could not be written.
    pub snapshots_failed: u64,
    /// Times that the process ended and the machine went on.
    pub left: u64,
}

impl Summary {
    /// Adds another run's.
    pub fn add(&mut self, other: &Summary) {
        self.appended += other.appended;
        self.opened += other.opened;
        self.torn += other.torn;
        self.more_than_told += other.more_than_told;
        self.refused += other.refused;
        self.covered += other.covered;
        self.full += other.full;
        self.snapshots += other.snapshots;
        self.replaced += other.replaced;
        self.failed += other.failed;
        self.read += other.read;
        self.segments += other.segments;
        self.upkeep_failed += other.upkeep_failed;
        self.snapshots_failed += other.snapshots_failed;
        self.left += other.left;
    }
}

/// What is wrong with a world's disk beside crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Syncs that fail.
    FailedSyncs,
    /// Any call that fails: writes, files made, renamed and taken away, syncs of both kinds.
    FailedCalls,
    /// Room that comes and goes.
    Full,
    /// Syncs that lie, of files and of names.
    Lies,
    /// A bit that flips while the log is closed.
    Rot,
    /// Syncs acknowledged before they are done. The checker is not told: it has to find out.
    Canary,
}

impl Trouble {
    /// The one of this seed.
    pub fn of(seed: u64) -> Self {
        match seed % 8 {
            0 | 1 => Trouble::None,
            2 => Trouble::FailedCalls,
            3 => Trouble::FailedSyncs,
            4 | 5 => Trouble::Full,
            6 => Trouble::Lies,
            _ => Trouble::Rot,
        }
    }
}

const IDENTITY: Identity = Identity { cluster: *b"simulated-world1", node: 1 };

/// What a log is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// Entries by number: epoch and what makes the payload.
    entries: BTreeMap<u64, (u64, u64)>,
    last: u64,
    epoch: u64,
    commit: u64,
    vote: Vote,
    membership: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Op {
    Entry { epoch: u64, id: u64 },
    Replace { from: u64, epoch: u64 },
    Vote(Vote),
    Membership(Vec<u8>),
    Commit(u64),
    Snapshot(u64),
    Restart { sequence: u64, epoch: u64 },
}

impl Model {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Entry { epoch, id } => {
                self.last += 1;
                self.epoch = *epoch;
                self.entries.insert(self.last, (*epoch, *id));
            }
            Op::Replace { from, epoch } => {
                self.entries.split_off(from);
                self.last = from - 1;
                self.epoch = *epoch;
            }
            Op::Vote(vote) => self.vote = *vote,
            Op::Membership(bytes) => self.membership.clone_from(bytes),
            Op::Commit(sequence) => self.commit = *sequence,
            Op::Snapshot(sequence) => self.commit = self.commit.max(*sequence),
            Op::Restart { sequence, epoch } => {
                self.restart(*sequence, *epoch);
                (self.last, self.epoch) = (*sequence, *epoch);
                self.commit = self.commit.max(*sequence);
            }
        }
    }

    /// What recovery is to give of this when there is a snapshot of `sequence`; entries that are in it may still be
    /// in the log.
    fn behind(&self, sequence: u64, epoch: u64) -> Model {
        let mut model = self.clone();
        let is_other = model.epoch_of(sequence).is_some_and(|it| it != epoch);
        if model.last < sequence || is_other {
            model.restart(sequence, epoch);
            (model.last, model.epoch) = (sequence, epoch);
        }
        model.commit = model.commit.max(sequence);
        model
    }

    /// Entries before the snapshot's last may still be in the log: whether its mark came to last does not matter.
    fn restart(&mut self, sequence: u64, epoch: u64) {
        let is_same = self.epoch_of(sequence) == Some(epoch);
        self.entries.split_off(&(sequence + u64::from(is_same)));
    }

    fn epoch_of(&self, sequence: u64) -> Option<u64> {
        self.entries.get(&sequence).map(|(epoch, _)| *epoch)
    }
}

fn payload(id: u64) -> Vec<u8> {
    let mut rng = Rng::new(id);
    let len = match rng.below(20) {
        0 => 0,
        1 => rng.below(6_000),
        2 => 4096,
        _ => rng.below(300),
    };
    let mut bytes = Vec::with_capacity(len as usize);
    while bytes.len() < len as usize {
        bytes.extend_from_slice(&rng.next_u64().to_le_bytes());
    }
    bytes.truncate(len as usize);
    bytes
}

struct World {
    rng: Rng,
    trouble: Trouble,
    disk: SimDisk,
    options: Options,
    now: Instant,
    clock_ms: u64,
    log: Option<Log>,
    flush: Option<Flush>,
    upkeep: Option<Upkeep>,
    /// What recovery gave last, and what was appended since, each with its ticket.
    base: Model,
    ops: Vec<(Ticket, Op)>,
    model: Model,
    /// How many of `ops` were told to be durable, and how many before the last flush.
    told: usize,
    told_before: usize,
    /// The snapshots that may be the newest: sequence, epoch, and what is in them.
    snapshots: Vec<(u64, u64, Vec<u8>)>,
    next_id: u64,
    /// The highest epoch ever; an entry that takes another's place has a higher one, as consensus has it.
    epoch_max: u64,
    is_new_reign: bool,
    summary: Summary,
}

/// Plays the world of a seed. `Err` says what did not hold.
pub fn run(seed: u64, trouble: Trouble) -> Result<Summary, String> {
    let mut rng = Rng::new(seed);
    let faults = match trouble {
        Trouble::FailedSyncs => Faults { sync_fails: 30, names_fail: 30, ..Faults::default() },
        Trouble::FailedCalls => Faults::failing(15),
        Trouble::Lies => Faults { sync_lies: 100, names_lie: 100, ..Faults::default() },
        Trouble::Canary => Faults { sync_late: true, ..Faults::default() },
        _ => Faults::default(),
    };
    let segment_bytes = 16_384 + 4096 * rng.below(6);
    let options = Options {
        segment_bytes,
        pending_bytes_max: 64 << 10,
        disk_bytes_max: (rng.below(4) == 0).then_some(segment_bytes * (4 + rng.below(6))),
        kept_bytes: segment_bytes * (seed % 4),
        ..Options::default()
    };
    let mut world = World {
        disk: SimDisk::new(rng.next_u64(), faults),
        rng,
        trouble,
        options,
        now: Instant::START,
        clock_ms: 1_000_000,
        log: None,
        flush: None,
        upkeep: None,
        base: Model::default(),
        ops: Vec::new(),
        model: Model::default(),
        told: 0,
        told_before: 0,
        snapshots: Vec::new(),
        next_id: seed.wrapping_mul(1_000_003),
        epoch_max: 0,
        is_new_reign: false,
        summary: Summary::default(),
    };
    world
        .play()
        .map_err(|why| format!("seed {seed} ({trouble:?}), opened {} times: {why}", world.summary.opened))?;
    Ok(world.summary)
}

impl World {
    fn play(&mut self) -> Result<(), String> {
        let lives = 3 + self.rng.below(5);
        for life in 0..lives {
            if !self.open()? {
                return Ok(());
            }
            let steps = 50 + self.rng.below(400);
            if self.rng.below(3) > 0 {
                self.disk.crash_in(self.rng.below(steps / 2));
            }
            if self.trouble == Trouble::Full {
                let most = self.disk.used_bytes() + self.rng.below(6 * self.options.segment_bytes);
                self.disk.set_bytes_max(Some(most));
            }
            for _ in 0..steps {
                self.step()?;
                if self.disk.is_crashed() || self.log.is_none() {
                    break;
                }
            }
            if self.trouble == Trouble::Full && !self.disk.is_crashed() && self.log.is_some() {
                self.gain_room()?;
            }
            self.end(life)?;
        }
        self.open()?;
        Ok(())
    }

    /// One thing happens.
    fn step(&mut self) -> Result<(), String> {
        self.now = Instant::from_nanos(self.now.as_nanos() + self.rng.below(100_000_000));
        // Clocks step back, too.
        self.clock_ms = self.clock_ms + self.rng.below(100) - self.rng.below(20);
        match self.rng.below(100) {
            0..=49 => self.append(),
            50..=52 => self.vote(),
            53..=54 => self.membership(),
            55..=59 => self.commit(),
            60..=63 => self.replace(),
            64..=66 => self.snapshot(),
            67..=82 => self.write(),
            83..=92 => self.keep_up(),
            93..=98 => self.read(),
            _ => self.scrub(),
        }
    }

    /// Whether calls fail on their own.
    fn is_failing(&self) -> bool {
        matches!(self.trouble, Trouble::FailedSyncs | Trouble::FailedCalls)
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("a log is open while steps are taken")
    }

    fn took(&mut self, result: Result<Appended, Error>, op: Op) -> Result<bool, String> {
        match result {
            Ok(appended) => {
                self.model.apply(&op);
                self.ops.push((appended.ticket, op));
                if appended.sequence.0 != self.model.last {
                    return Err(format!("sequence {} where {} is next", appended.sequence, self.model.last));
                }
                Ok(true)
            }
            Err(Error::Capacity { .. }) => {
                self.summary.full += 1;
                Ok(false)
            }
            Err(Error::Io { code, .. }) if code == libc::ENOSPC => {
                self.summary.full += 1;
                match self.trouble {
                    Trouble::Full => Ok(false),
                    _ => Err("the disk is full though it has no bound".into()),
                }
            }
            Err(error) if self.log().failure() == Some(&error) || self.log().problem() == Some(&error) => {
                Ok(false)
            }
            Err(error) => Err(format!("{op:?} was refused: {error}")),
        }
    }

    fn append(&mut self) -> Result<(), String> {
        if self.is_new_reign || self.rng.below(30) == 0 {
            self.epoch_max += 1;
        }
        let epoch = if self.is_new_reign { self.epoch_max } else { self.model.epoch.max(self.epoch_max) };
        let id = self.next_id;
        self.next_id += 1;
        let clock_ms = self.clock_ms;
        let bytes = payload(id);
        let result = self.log().append(Epoch(epoch), clock_ms, &bytes);
        if self.took(result, Op::Entry { epoch, id })? {
            self.summary.appended += 1;
            self.is_new_reign = false;
        }
        Ok(())
    }

    fn vote(&mut self) -> Result<(), String> {
        let vote =
            Vote { epoch: Epoch(self.model.vote.epoch.0 + self.rng.below(3)), node: self.rng.below(4) };
        let clock_ms = self.clock_ms;
        let result = self.log().vote(vote, clock_ms);
        self.took(result, Op::Vote(vote)).map(|_| ())
    }

    fn membership(&mut self) -> Result<(), String> {
        let bytes = vec![self.rng.next_u64() as u8; self.rng.below(100) as usize];
        let clock_ms = self.clock_ms;
        let result = self.log().membership(&bytes, clock_ms);
        self.took(result, Op::Membership(bytes)).map(|_| ())
    }

    fn commit(&mut self) -> Result<(), String> {
        let commit = self.model.commit + self.rng.below(self.model.last - self.model.commit + 1);
        let clock_ms = self.clock_ms;
        let result = self.log().commit(Sequence(commit), clock_ms);
        self.took(result, Op::Commit(commit)).map(|_| ())
    }

    fn replace(&mut self) -> Result<(), String> {
        if self.model.last == self.model.commit {
            return Ok(());
        }
        let from = self.model.commit + 1 + self.rng.below((self.model.last - self.model.commit).min(30));
        let Some(epoch) = self.model.epoch_of(from - 1) else { return Ok(()) };
        let clock_ms = self.clock_ms;
        let gone = self.model.last + 1 - from;
        let result = self.log().replace(Sequence(from), Epoch(epoch), clock_ms);
        if self.took(result, Op::Replace { from, epoch })? {
            self.summary.replaced += gone;
            self.is_new_reign = true;
        }
        Ok(())
    }

    /// A snapshot of what is committed, of all that is there, or one that comes from elsewhere.
    fn snapshot(&mut self) -> Result<(), String> {
        let newest = self.log().state().snapshot.sequence.0;
        let is_restart = self.rng.below(8) == 0;
        let (sequence, epoch) = if is_restart {
            (self.model.last + self.rng.below(20), self.model.epoch)
        } else {
            let sequence = if self.rng.below(4) == 0 { self.model.last } else { self.model.commit };
            let Some(epoch) = self.model.epoch_of(sequence) else { return Ok(()) };
            (sequence, epoch)
        };
        if sequence <= newest {
            return Ok(());
        }
        let header = SnapshotHeader {
            identity: IDENTITY,
            sequence: Sequence(sequence),
            epoch: Epoch(epoch),
            clock_ms: 1,
        };
        let state = payload(sequence ^ 0x5a5a);
        self.snapshots.push((sequence, epoch, state.clone()));
        let written = SnapshotWriter::begin(&self.disk, header).and_then(|mut writer| {
            writer.membership(&self.disk, b"one")?;
            for piece in state.chunks(1000) {
                writer.data(&self.disk, piece)?;
            }
            writer.finish(&self.disk)
        });
        let Ok(written) = written else {
            // The name may have come to last, or not.
            if !self.disk.is_crashed() {
                self.summary.snapshots_failed += 1;
                // A process that goes on may replace what is not committed: consensus has a snapshot of none of that.
                self.log = self.log.take().filter(|_| sequence <= self.model.commit);
            }
            return Ok(());
        };
        self.summary.snapshots += 1;
        // From here on it is there after any crash, unless the sync of its name was a lie.
        self.snapshots.retain(|(it, ..)| *it >= sequence || self.trouble == Trouble::Lies);
        let clock_ms = self.clock_ms;
        let op = match is_restart {
            true => Op::Restart { sequence, epoch },
            false => Op::Snapshot(sequence),
        };
        self.log()
            .handle_snapshot(&written, is_restart, clock_ms)
            .map_err(|error| format!("{op:?} was refused: {error}"))?;
        self.model.apply(&op);
        // Durable with its file, whenever its mark is.
        let ticket = self.log().last_ticket();
        self.ops.push((ticket, op));
        Ok(())
    }

    /// A flush begins, or ends.
    fn write(&mut self) -> Result<(), String> {
        let Some(flush) = self.flush.take() else {
            self.flush = self.log().poll_flush();
            return Ok(());
        };
        let result = flush.run(&self.disk);
        let is_failed = result.is_err();
        self.log().handle_flushed(flush, result, |file| file.to_string());
        if is_failed {
            if self.disk.is_crashed() {
                return Ok(());
            }
            if !self.is_failing() {
                return Err("a flush failed".into());
            }
            self.summary.failed += 1;
            let clock_ms = self.clock_ms;
            if self.log().append(Epoch(u64::MAX), clock_ms, b"").is_ok() {
                return Err("an append was taken after a failed sync".into());
            }
            if self.log().poll_flush().is_some() {
                return Err("there is a flush after a failed one".into());
            }
            // The process ends; the disk has lost what it has lost.
            self.log = None;
            return Ok(());
        }
        let durable = self.log().durable();
        let told = self.ops.partition_point(|(ticket, _)| *ticket <= durable);
        if told != self.told {
            (self.told_before, self.told) = (self.told, told);
        }
        Ok(())
    }

    /// Upkeep begins, or ends.
    fn keep_up(&mut self) -> Result<(), String> {
        let now = self.now;
        self.log().handle_timeout(now);
        let Some(work) = self.upkeep.take() else {
            self.upkeep = self.log().poll_upkeep();
            return Ok(());
        };
        let result = work.run(&self.disk);
        match result {
            Ok(()) => self.summary.segments += u64::from(matches!(work, Upkeep::Prepare { .. })),
            Err(_) => self.summary.upkeep_failed += u64::from(self.is_failing()),
        }
        self.log().handle_upkeep(&work, result, now, |file| file.to_string());
        Ok(())
    }

    fn read(&mut self) -> Result<(), String> {
        let first = self.log().first().0;
        let durable = self.log().durable_sequence().0;
        if durable < first {
            return Ok(());
        }
        let from = first + self.rng.below(durable - first + 1);
        let to = from + self.rng.below(40);
        let plan =
            self.log().plan(Sequence(from), Sequence(to)).map_err(|error| format!("no plan: {error}"))?;
        let mut next = from;
        let mut wrong = None;
        let result = plan.read(&self.disk, |entry| {
            let expected = self.model.entries.get(&next);
            let is_right = entry.sequence.0 == next
                && expected
                    .is_some_and(|(epoch, id)| *epoch == entry.epoch.0 && payload(*id) == entry.payload);
            if !is_right {
                wrong = Some(format!("entry {next} reads as {}: {expected:?}", entry.sequence));
            }
            next += 1;
            is_right
        });
        self.summary.read += next - from;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        match result {
            _ if self.disk.is_crashed() => Ok(()),
            Ok(()) if next == to.min(durable) + 1 => Ok(()),
            Ok(()) => Err(format!("{from} to {to} read up to {next}")),
            Err(error) => Err(format!("cannot read {from} to {to}: {error}")),
        }
    }

    /// A whole pass, while nothing else happens.
    fn scrub(&mut self) -> Result<(), String> {
        let now = self.now;
        let mut scrub = Scrub::new(self.log(), IDENTITY, 1 << 20, now);
        let log = self.log.as_ref().expect("it was just begun on");
        while let Some(at) = scrub.next_deadline() {
            let result = scrub.step(&self.disk, at).and_then(|()| scrub.missing(log, &self.disk));
            if self.disk.is_crashed() {
                return Ok(());
            }
            match result {
                Ok(()) => {}
                // A label whose start is whole is of no consequence for opening; the scrub sees that it has rotted.
                Err(Error::Corrupt(_)) if self.trouble == Trouble::Rot => {}
                Err(error) => return Err(format!("scrub: {error}")),
            }
        }
        Ok(())
    }

    /// There is room again: appends are taken before long, without opening anything anew.
    fn gain_room(&mut self) -> Result<(), String> {
        self.disk.set_bytes_max(None);
        self.disk.abandon_crash();
        for _ in 0..400 {
            let before = self.summary.appended;
            self.append()?;
            if self.summary.appended > before && self.log().problem().is_none() {
                return Ok(());
            }
            if matches!(self.log().problem(), Some(Error::Capacity { .. })) {
                // Its own bound, not the disk's: a snapshot makes room.
                return Ok(());
            }
            self.now = Instant::from_nanos(self.now.as_nanos() + 100_000_000);
            self.write()?;
            self.keep_up()?;
        }
        Err(format!("there is room, and appends are refused: {:?}", self.log().problem()))
    }

    /// A life ends: with the power, or in order.
    fn end(&mut self, life: u64) -> Result<(), String> {
        let is_orderly = !self.disk.is_crashed() && self.log.is_some() && self.rng.below(3) == 0;
        if is_orderly {
            self.disk.abandon_crash();
            if self.trouble == Trouble::Full {
                self.disk.set_bytes_max(None);
            }
            let clock_ms = self.clock_ms;
            let mut closed = self.log().close(clock_ms).is_ok();
            while self.flush.is_some() || closed {
                let had = self.flush.is_some();
                self.write()?;
                if self.log.is_none() {
                    closed = false;
                } else if !had && self.flush.is_none() {
                    break;
                }
            }
        }
        self.log = None;
        self.upkeep = None;
        self.disk.abandon_crash();
        // A disk that lies has less than was read of it: what a process then goes on from is nobody's word.
        let may_leave = !self.disk.is_crashed() && self.trouble != Trouble::Lies;
        if may_leave && self.rng.below(2) == 0 {
            // The process is killed, maybe in the midst of a write.
            if let Some(flush) = self.flush.take() {
                let some = self.rng.below(flush.bytes().len() as u64 + 1) as usize;
                let _ = self.disk.write(flush.file(), flush.offset(), &flush.bytes()[..some]);
            }
            self.disk.leave();
            self.summary.left += 1;
        } else {
            self.disk.restart();
        }
        self.flush = None;
        self.disk.set_bytes_max(None);
        if self.trouble == Trouble::Rot && life > 0 {
            self.disk.rot(|file| matches!(file, File::Segment(_) | File::Snapshot(_)));
        }
        Ok(())
    }

    /// Opens the log and holds what it gives against the model. `false` when it was refused, and may be.
    fn open(&mut self) -> Result<bool, String> {
        let mut snapshot = None;
        let mut entries: BTreeMap<u64, (u64, Vec<u8>)> = BTreeMap::new();
        let seed = self.rng.next_u64();
        let mut last = 0;
        let mut wrong = None;
        let opened = open(&self.disk, self.options.clone(), IDENTITY, seed, &mut |replayed| match replayed {
            Replayed::Snapshot(header) => {
                snapshot = Some(*header);
                last = header.sequence.0;
            }
            Replayed::Entry(entry) => {
                let sequence = entry.sequence.0;
                if sequence != last + 1 && last != 0 {
                    wrong = Some(format!("entry {sequence} comes after {last}"));
                }
                last = sequence;
                entries.insert(sequence, (entry.epoch.0, entry.payload.to_vec()));
            }
            Replayed::Replaced(from) => {
                entries.split_off(&from.0);
                last = last.min(from.0 - 1).max(snapshot.map_or(0, |header| header.sequence.0));
            }
            Replayed::Committed(_) => {}
        });
        self.summary.opened += 1;
        let (log, report) = match opened {
            Ok(opened) => opened,
            Err(Error::Corrupt(_) | Error::Unsupported { .. } | Error::InvalidArgument { .. })
                if matches!(self.trouble, Trouble::Lies | Trouble::Rot) =>
            {
                self.summary.refused += 1;
                return Ok(false);
            }
            Err(error) if self.is_failing() && matches!(error, Error::Io { .. }) => {
                // Making the first segment takes syncs, too, and so does going on from what a process left.
                self.disk.restart();
                return Ok(false);
            }
            Err(error) => return Err(format!("cannot open: {error}")),
        };
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        self.summary.torn += u64::from(report.torn.is_some());
        if report.covered.is_some() && !matches!(self.trouble, Trouble::Lies | Trouble::Rot) {
            return Err(format!("nothing was damaged, and even so: {report:?}"));
        }
        self.summary.covered += u64::from(report.covered.is_some());
        let (covered, epoch) = snapshot.map_or((0, 0), |header| (header.sequence.0, header.epoch.0));
        if covered != 0 && !self.read_snapshot(covered, epoch)? {
            return Ok(false);
        }
        let state = log.state();
        let found = Model {
            entries: BTreeMap::new(),
            last: state.last.0,
            epoch: state.epoch.0,
            commit: state.commit.0,
            vote: state.vote,
            membership: state.membership.clone(),
        };
        let least = match self.trouble {
            Trouble::Lies => 0,
            // The last batch may have rotted, and then looks like one that was torn.
            Trouble::Rot if report.torn.is_some() => self.told_before,
            _ => self.told,
        };
        let mut model = self.base.clone();
        let mut matched = None;
        for prefix in 0..=self.ops.len() {
            if prefix > 0 {
                model.apply(&self.ops[prefix - 1].1);
            }
            let is_near = model.vote == found.vote && model.membership == found.membership;
            if prefix >= least && is_near && model.last.max(covered) >= found.last {
                let expected = model.behind(covered, epoch);
                let replayed = || expected.entries.range(covered + 1..);
                let is_same = Model { entries: BTreeMap::new(), ..expected.clone() } == found
                    && replayed().count() == entries.len()
                    && replayed().zip(&entries).all(|((at, (epoch, id)), (found_at, found))| {
                        at == found_at && *epoch == found.0 && payload(*id) == found.1
                    });
                if is_same {
                    // They differ, if at all, in whether entries that the snapshot stands for can still be read.
                    let fuller = matched.take().map(|(_, before): (usize, Model)| before);
                    let fuller = fuller.filter(|before| before.entries.len() > expected.entries.len());
                    matched = Some((prefix, fuller.unwrap_or(expected)));
                }
            }
        }
        let Some((prefix, expected)) = matched else {
            return Err(format!(
                "no prefix of {} operations from {least} on explains {found:?} with entries {:?} behind snapshot \
                 {covered}; {} were told durable; report {report:?}",
                self.ops.len(),
                entries.keys().next().zip(entries.keys().next_back()),
                self.told
            ));
        };
        self.summary.more_than_told += u64::from(prefix > self.told);
        self.snapshots.retain(|(sequence, ..)| *sequence == covered);
        self.base = expected.clone();
        self.model = expected;
        self.ops.clear();
        (self.told, self.told_before) = (0, 0);
        self.log = Some(log);
        // What was lost is not known to be lost by all: nobody writes in its epoch again.
        self.is_new_reign = true;
        Ok(true)
    }

    /// Whether the snapshot is one that was written, whole.
    fn read_snapshot(&mut self, sequence: u64, epoch: u64) -> Result<bool, String> {
        let file = File::Snapshot(Sequence(sequence));
        let read = || -> Result<Vec<u8>, Error> {
            let mut reader = SnapshotReader::open(&self.disk, file, IDENTITY)?;
            let mut state = Vec::new();
            while let Some(part) = reader.next(&self.disk)? {
                if let Part::Data(bytes) = part {
                    state.extend_from_slice(bytes);
                }
            }
            Ok(state)
        };
        match read() {
            Ok(state) => {
                let is_known = self.snapshots.iter().any(|(it, its_epoch, its_state)| {
                    (*it, *its_epoch) == (sequence, epoch) && *its_state == state
                });
                if is_known { Ok(true) } else { Err(format!("nobody wrote the snapshot of {sequence}")) }
            }
            Err(Error::Corrupt(_)) if matches!(self.trouble, Trouble::Lies | Trouble::Rot) => {
                self.summary.refused += 1;
                Ok(false)
            }
            Err(error) => Err(format!("cannot read the snapshot: {error}")),
        }
    }
}
