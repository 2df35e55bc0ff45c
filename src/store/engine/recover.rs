//! Opening: the newest snapshot into the index, the log behind it on top.

use super::clock::{Now, Time};
use super::flush::Flushing;
use super::options::Options;
use super::own::Own;
use super::pending::Pending;
use super::snapshot::{Snapshots, restore};
use super::{Counts, Durability, Engine};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::store::index::evict::{Eviction, Uses};
use crate::store::index::{Command, Index, Malformed, Operation, Settings};
use crate::store::log::record::record_bytes;
use crate::store::log::{self, Disk, Epoch, File, Identity, Log, Replayed};

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
    options.check()?;
    let mut rng = Rng::new(seed);
    let mut replay = Replay { index: Index::new(&options.index), replayed: 0, bytes: 0, wrong: None };
    let (log, report) = log::open(disk, options.log.clone(), identity, rng.next_u64(), &mut |replayed| {
        replay.take(disk, identity, &options, replayed);
    })?;
    if let Some(wrong) = replay.wrong {
        return Err(wrong);
    }
    let Replay { mut index, replayed, bytes, .. } = replay;
    let snapshot_bytes = match report.snapshot {
        Some(sequence) => disk.bytes(File::Snapshot(sequence)).unwrap_or(0),
        None => 0,
    };
    let snapshots = Snapshots::new(options.snapshot_bytes, options.snapshot_retry, bytes, snapshot_bytes);
    index.publish();
    let latest = index.state().time();
    let ahead_ms = latest.as_millis().saturating_sub(now.clock.as_millis());
    let mut engine = Engine::recovered(options, identity, log, index, snapshots, rng, now);
    let settings_refused = engine.configure(now).err();
    Ok((engine, Report { log: report, replayed, ahead_ms, settings_refused }))
}

struct Replay {
    index: Index,
    replayed: u64,
    /// Of the records they lie in.
    bytes: u64,
    wrong: Option<Error>,
}

impl Replay {
    fn take(&mut self, disk: &impl Disk, identity: Identity, options: &Options, replayed: Replayed<'_>) {
        if self.wrong.is_some() {
            return;
        }
        let taken = match replayed {
            Replayed::Snapshot(header) => restore(disk, header.sequence, identity)
                .map(|restored| self.index = Index::from_state(restored.state, &options.index)),
            Replayed::Committed(_) => Ok(()),
            Replayed::Entry(entry) => self.entry(entry.sequence.0, entry.payload),
            // The log went on behind a snapshot there: of the entries meant none had been read, or all are in the
            // snapshot that is read now.
            Replayed::Replaced(from) if self.replayed == 0 || from.0 > self.index.state().sequence() => Ok(()),
            Replayed::Replaced(from) => Err(Error::Unsupported {
                what: "log",
                detail: format!(
                    "entries from {from} on were replaced by others, as replication does; open it with replication"
                )
                .into(),
            }),
        };
        self.wrong = taken.err();
    }

    fn entry(&mut self, sequence: u64, payload: &[u8]) -> Result<()> {
        check_command(sequence, payload, self.index.state().settings())?;
        self.replayed += 1;
        self.bytes += record_bytes(payload.len()) as u64;
        self.index.apply(sequence, payload).map(drop)
    }
}

/// What was taken under other settings may be too long by now, here as when it was applied first. Anything else is of a
/// release that knows more.
pub(super) fn check_command(sequence: u64, payload: &[u8], settings: &Settings) -> Result<()> {
    match Command::decode(payload, settings) {
        Ok(_) | Err(Malformed::TooLarge { .. }) => Ok(()),
        Err(malformed) => {
            let detail = format!("entry {sequence} of the log: {malformed}; use a later release");
            Err(Error::Unsupported { what: "command", detail: detail.into() })
        }
    }
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
