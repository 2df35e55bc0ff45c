//! Opening: the newest snapshot into the index, the log behind it on top.
//!
//! It has two halves. [`read`] reads the log, holds it against its checksums and hands it on in batches; [`Build`] makes
//! the index of them. [`open`] does one after the other, batch by batch; two threads may do one each, with a queue between
//! them, and [`Build::finish`] joins what came of it. Either way the same comes out.

use smallvec::SmallVec;

use super::clock::{Now, Time};
use super::flush::Flushing;
use super::options::Options;
use super::own::Own;
use super::pending::Pending;
use super::replicated::is_command;
use super::snapshot::{Snapshots, restore};
use super::{Counts, Durability, Engine};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::store::index::evict::{Eviction, Uses};
use crate::store::index::{Command, FETCH_MAX, Index, Malformed, Operation, Settings};
use crate::store::log::record::{Vote, record_bytes};
use crate::store::log::{self, Disk, Epoch, File, Identity, Log, Replayed, Sequence};

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the log says: a torn tail, if one was cut off, is in it.
    pub log: log::Report,
    /// Entries that were applied on top of the snapshot.
    pub replayed: u64,
    /// By how much the latest time in the store is ahead of the clock, in milliseconds: until the clock has come there,
    /// time stands still in the store.
    pub ahead_ms: u64,
    /// Why the settings asked for are not in force, if so: those of before are.
    pub settings_refused: Option<Error>,
}

/// Bytes of commands in a batch, give or take one command.
const BATCH_BYTES: usize = 256 << 10;
/// What a batch has of them, and of all else that was read, at most.
const BATCH_PARTS: usize = 4_096;

/// Opens the store in a directory, or makes one there. Blocks while it reads.
///
/// - `seed`: a random number that no other opening had.
///
/// # Errors
///
/// Those of [`log::open`] and [`Options::check`]; `Corrupt` when a snapshot is not what was written, `Unsupported` when a
/// later release wrote commands this one does not know. Nothing was changed then, unless it was `Io`.
pub fn open(
    disk: &impl Disk,
    options: Options,
    identity: Identity,
    seed: u64,
    now: Now,
) -> Result<(Engine, Report)> {
    let mut build = Build::new(&options, identity);
    let found = read(disk, &options, identity, seed, &mut |mut batch| {
        build.take(disk, &mut batch);
        batch
    })?;
    build.finish(disk, found, now)
}

/// What was read of a log, for [`Build::take`], in the order in which it was read.
#[derive(Debug, Default)]
pub struct Batch {
    /// Commands, one behind the other.
    commands: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// There is a snapshot.
    Snapshot(Sequence),
    /// A command, which ends there.
    Entry { sequence: u64, end: usize },
    /// The entries from this one on do not count.
    Replaced(Sequence),
}

impl Batch {
    fn put(&mut self, replayed: Replayed<'_>) {
        self.parts.push(match replayed {
            Replayed::Snapshot(header) => Part::Snapshot(header.sequence),
            Replayed::Committed(_) => return,
            Replayed::Entry(entry) => {
                self.commands.extend_from_slice(entry.payload);
                Part::Entry { sequence: entry.sequence.0, end: self.commands.len() }
            }
            Replayed::Replaced(from) => Part::Replaced(from),
        });
    }

    fn is_full(&self) -> bool {
        self.commands.len() >= BATCH_BYTES || self.parts.len() >= BATCH_PARTS
    }

    fn clear(&mut self) {
        self.commands.clear();
        self.parts.clear();
    }
}

/// The log that [`read`] has read.
#[derive(Debug)]
pub struct Found {
    log: Log,
    report: log::Report,
    rng: Rng,
}

/// Reads the log in a directory, or makes one there. `hand` takes each batch for [`Build::take`], and gives an empty one
/// back, of which the memory is used again. Blocks while it reads.
///
/// # Errors
///
/// Those of [`log::open`] and [`Options::check`]. What was handed on counts for nothing then.
pub fn read(
    disk: &impl Disk,
    options: &Options,
    identity: Identity,
    seed: u64,
    hand: &mut dyn FnMut(Batch) -> Batch,
) -> Result<Found> {
    options.check()?;
    let mut rng = Rng::new(seed);
    let mut batch = Batch::default();
    let (log, report) = log::open(disk, options.log.clone(), identity, rng.next_u64(), &mut |replayed| {
        batch.put(replayed);
        if batch.is_full() {
            batch = hand(std::mem::take(&mut batch));
        }
    })?;
    hand(batch);
    Ok(Found { log, report, rng })
}

/// An index being made of what [`read`] hands on.
#[derive(Debug)]
pub struct Build {
    options: Options,
    identity: Identity,
    index: Index,
    replayed: u64,
    /// Of the records they lie in.
    bytes: u64,
    wrong: Option<Error>,
}

/// Commands in a row: the sequence, the bytes, and what they say unless that is too long.
type Group<'b> = SmallVec<[(u64, &'b [u8], Option<Command<'b>>); FETCH_MAX]>;

impl Build {
    /// Of nothing yet.
    pub fn new(options: &Options, identity: Identity) -> Self {
        let index = Index::new(&options.index);
        Self { options: options.clone(), identity, index, replayed: 0, bytes: 0, wrong: None }
    }

    /// Takes the next batch, and empties it. What is wrong is told by [`Build::finish`]. Blocks while it reads a snapshot.
    pub fn take(&mut self, disk: &impl Disk, batch: &mut Batch) {
        if self.wrong.is_none() {
            self.wrong = self.try_take(disk, batch).err();
        }
        batch.clear();
    }

    /// The engine on the log and the index.
    ///
    /// # Errors
    ///
    /// What was wrong with a batch: see [`open`].
    pub fn finish(self, disk: &impl Disk, found: Found, now: Now) -> Result<(Engine, Report)> {
        let Self { options, identity, mut index, replayed, bytes, wrong } = self;
        let Found { log, report, rng } = found;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        // Which of its entries count, its cluster knows; and what it promised is the others' too.
        if log.state().vote != Vote::default() {
            return Err(of_cluster("it has voted"));
        }
        if !log.state().membership.is_empty() {
            return Err(of_cluster("it says who is in the cluster"));
        }
        let snapshot_bytes = match report.snapshot {
            Some(sequence) => disk.bytes(File::Snapshot(sequence)).unwrap_or(0),
            None => 0,
        };
        let snapshots = Snapshots::new(options.snapshot_bytes, options.snapshot_retry, bytes, snapshot_bytes);
        index.opened();
        let latest = index.state().time();
        let ahead_ms = latest.as_millis().saturating_sub(now.clock.as_millis());
        let mut engine = Engine::recovered(options, identity, log, index, snapshots, rng, now);
        let settings_refused = engine.configure(now).err();
        Ok((engine, Report { log: report, replayed, ahead_ms, settings_refused }))
    }

    fn try_take(&mut self, disk: &impl Disk, batch: &Batch) -> Result<()> {
        let mut group = Group::new();
        let mut from = 0;
        for part in &batch.parts {
            if let Part::Entry { sequence, end } = *part {
                let payload = &batch.commands[from..end];
                from = end;
                // What consensus has between the commands takes a sequence, and changes nothing.
                let payload = if is_command(payload) { payload } else { &[] };
                let command = match payload {
                    [] => None,
                    payload => decode(sequence, payload, self.index.state().settings())?,
                };
                // What comes behind new settings is read by them.
                let is_last = matches!(&command, Some(Command { operation: Operation::Configure(_), .. }));
                group.push((sequence, payload, command));
                if is_last || group.len() == FETCH_MAX {
                    self.apply(&mut group)?;
                }
                continue;
            }
            self.apply(&mut group)?;
            match *part {
                Part::Snapshot(sequence) => {
                    let restored = restore(disk, sequence, self.identity)?;
                    self.index = Index::from_state(restored.state, &self.options.index);
                }
                // The log went on behind a snapshot there: of the entries meant none had been read, or all are in
                // the snapshot that is read now.
                Part::Replaced(from) if self.replayed == 0 || from.0 > self.index.state().sequence() => {}
                Part::Replaced(from) => {
                    return Err(of_cluster(&format!("entries from {from} on were replaced by others")));
                }
                Part::Entry { .. } => {}
            }
        }
        self.apply(&mut group)
    }

    /// Applies commands that were read one behind the other. What they need of the index is asked for at once.
    fn apply(&mut self, group: &mut Group<'_>) -> Result<()> {
        self.index.fetch(group.iter().filter_map(|(_, _, command)| command.as_ref()));
        for (sequence, payload, command) in group.drain(..) {
            self.replayed += 1;
            self.bytes += record_bytes(payload.len()) as u64;
            match command {
                Some(command) => self.index.apply_command(sequence, &command)?,
                None => self.index.apply(sequence, payload)?,
            };
        }
        Ok(())
    }
}

fn of_cluster(why: &str) -> Error {
    let detail = format!(
        "it is that of a node of a cluster: {why}; open it as that node, or for a store of its own restore a backup of it \
         (\"trimtab store backup\", \"trimtab store restore\")"
    );
    Error::Unsupported { what: "log", detail: detail.into() }
}

/// The command that was written down. What was taken under other settings may be too long by now, here as when it was
/// applied first, and is `None`. Anything else is of a release that knows more.
fn decode<'b>(sequence: u64, payload: &'b [u8], settings: &Settings) -> Result<Option<Command<'b>>> {
    match Command::decode(payload, settings) {
        Ok(command) => Ok(Some(command)),
        Err(Malformed::TooLarge { .. }) => Ok(None),
        Err(malformed) => {
            let detail = format!("entry {sequence} of the log: {malformed}; use a later release");
            Err(Error::Unsupported { what: "command", detail: detail.into() })
        }
    }
}

/// Whether a later release wrote it, which is an error.
pub(super) fn check_command(sequence: u64, payload: &[u8], settings: &Settings) -> Result<()> {
    decode(sequence, payload, settings).map(drop)
}

impl Engine {
    pub(super) fn recovered(
        options: Options,
        identity: Identity,
        log: Log,
        index: Index,
        snapshots: Snapshots,
        rng: Rng,
        now: Now,
    ) -> Self {
        let places = if options.eviction == Eviction::Lru { options.eviction_places } else { 1 };
        Self {
            // One node orders its writes in one reign.
            epoch: log.state().epoch.max(Epoch(1)),
            time: Time::new(index.state().time()),
            flushing: Flushing::new(options.flush_interval, options.flush_bytes),
            own: Own::new(rng, Uses::new(places, now.clock)),
            snapshots,
            options,
            identity,
            log,
            index,
            pending: Pending::default(),
            syncs: Default::default(),
            completions: Default::default(),
            tickets: 0,
            is_unseen: false,
            is_failed: false,
            is_closed: false,
            replica: None,
            counts: Counts::default(),
            buffers: Vec::new(),
        }
    }

    /// Has the settings of the options in force, by a command if they are not.
    fn configure(&mut self, now: Now) -> Result<()> {
        let settings = self.options.settings;
        if *self.index.state().settings() == settings {
            return Ok(());
        }
        let operation = Operation::Configure(settings);
        let command = Command { time: now.clock, request: None, operation };
        self.submit(&command, Some(Durability::Memory), now)?;
        while self.poll_completion().is_some() {}
        Ok(())
    }
}
