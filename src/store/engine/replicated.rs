//! The engine in a cluster: what is in the log, what counts and what is committed is then decided by consensus, in
//! `replication`, and no longer by [`Engine::submit`].
//!
//! An entry is appended at the epoch it was proposed in, may be replaced as long as it is not committed, and is applied
//! when it is told to be committed. Nothing is seen before that. Entries that are none of the index' own (those that begin
//! a reign, changes of who is in the cluster) are applied as nothing, so that every entry has its sequence.

use std::collections::VecDeque;

use super::Engine;
use super::clock::Now;
use super::options::Options;
use super::own::HEADROOM;
use super::recover::{Report, check_command};
use super::snapshot::{Restored, Snapshots, restore};
use super::submit::malformed;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::store::index::evict::Eviction;
use crate::store::index::forecast;
use crate::store::index::{Command, FETCH_MAX, Index, Operation, Outcome, State, Timestamp};
use crate::store::log::record::{Vote, record_bytes};
use crate::store::log::{self, Appended, Disk, Epoch, File, Identity, Plan, Replayed, Sequence, Written};
use crate::time::Instant;

/// What an engine in a cluster knows beside the rest.
#[derive(Debug, Default)]
pub(super) struct Replica {
    /// Who is in the cluster, as of the last entry applied: goes into snapshots.
    pub(super) membership: Vec<u8>,
    /// The last entry applied that is a command.
    last_command: u64,
}

/// An entry found when a log was opened that is not known to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncommitted {
    /// Its number.
    pub sequence: Sequence,
    /// Its epoch.
    pub epoch: Epoch,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// What a replicated log held, as consensus wants to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The entries from here on can be read.
    pub first: Sequence,
    /// The last entry applied: all up to it are committed.
    pub applied: Sequence,
    /// The last entry; behind `applied` lie the uncommitted ones.
    pub last: Sequence,
    /// Where each epoch begins, from that of the entry before `first` on, which is at the sequence before `first`.
    pub epochs: Vec<(Sequence, Epoch)>,
    /// Of the entries up to `applied`, behind the snapshot, those that are none of the index' own and say something: changes of who
    /// is in the cluster.
    pub changes: Vec<Uncommitted>,
    /// The entries behind `applied`.
    pub uncommitted: VecDeque<Uncommitted>,
    /// The last vote.
    pub vote: Vote,
    /// The last membership in the log; empty when there is none.
    pub membership: Vec<u8>,
    /// The membership in the snapshot; empty when there is none.
    pub snapshot_membership: Vec<u8>,
    /// Nothing was there before.
    pub is_new: bool,
}

/// Whether an entry is a command of the index. All others are for consensus alone.
pub fn is_command(payload: &[u8]) -> bool {
    payload.first().is_some_and(|version| *version < CHANGE)
}

/// The first byte of an entry that is no command. Versions of commands stay below.
pub const CHANGE: u8 = 0xc0;

/// Opens the store in a directory for a cluster, or makes one there. What is committed is applied, what is not is given
/// back. Blocks while it reads.
///
/// - `seed`: a random number that no other opening had.
///
/// # Errors
///
/// Those of [`open`](super::open).
pub fn open_replicated(
    disk: &impl Disk,
    options: Options,
    identity: Identity,
    seed: u64,
    now: Now,
) -> Result<(Engine, Report, Found)> {
    open_committed(disk, options, identity, seed, now, Sequence(0))
}

/// Opens the store in a directory only to look at the state that it was left with, whether it was one of several or
/// not: no command is added. Blocks while it reads.
///
/// - `is_replicated`: what is not known to be committed does not count.
/// - `seed`: a random number that no other opening had.
///
/// # Errors
///
/// Those of [`open`](super::open).
pub fn open_to_view(
    disk: &impl Disk,
    options: Options,
    identity: Identity,
    is_replicated: bool,
    seed: u64,
    now: Now,
) -> Result<Engine> {
    let committed = if is_replicated { Sequence(0) } else { Sequence(u64::MAX) };
    open_committed(disk, options, identity, seed, now, committed).map(|(engine, ..)| engine)
}

/// - `committed`: the entries up to this one are, whatever the log says.
fn open_committed(
    disk: &impl Disk,
    options: Options,
    identity: Identity,
    seed: u64,
    now: Now,
    committed: Sequence,
) -> Result<(Engine, Report, Found)> {
    options.check()?;
    let mut rng = Rng::new(seed);
    let mut replay = Replay {
        index: Index::new(&options.index),
        found: Found { first: Sequence(1), epochs: vec![(Sequence(0), Epoch(0))], ..Found::default() },
        committed,
        replayed: 0,
        bytes: 0,
        wrong: None,
    };
    let (mut log, report) =
        log::open(disk, options.log.clone(), identity, rng.next_u64(), &mut |replayed| {
            replay.take(disk, identity, &options, replayed);
        })?;
    replay.committed = replay.committed.max(log.state().commit);
    replay.apply_committed();
    if let Some(wrong) = replay.wrong {
        return Err(wrong);
    }
    let Replay { mut index, mut found, replayed, bytes, .. } = replay;
    found.last = log.state().last;
    found.vote = log.state().vote;
    found.membership = log.state().membership.clone();
    found.is_new = report.records == 0 && report.snapshot.is_none();
    let snapshot_bytes = match report.snapshot {
        Some(sequence) => disk.bytes(File::Snapshot(sequence)).unwrap_or(0),
        None => 0,
    };
    let snapshots = Snapshots::new(options.snapshot_bytes, options.snapshot_retry, bytes, snapshot_bytes);
    index.opened();
    let ahead_ms = index.state().time().as_millis().saturating_sub(now.clock.as_millis());
    log.follow();
    let mut engine = Engine::recovered(options, identity, log, index, snapshots, rng, now);
    let membership =
        if found.snapshot_membership.is_empty() { &found.membership } else { &found.snapshot_membership };
    engine.replica = Some(Replica { membership: membership.clone(), last_command: 0 });
    engine.epoch = found.epoch_of(found.applied).unwrap_or_default();
    let report = Report { log: report, replayed, ahead_ms, settings_refused: None };
    Ok((engine, report, found))
}

impl Found {
    /// The epoch of an entry from the one before `first` on.
    pub fn epoch_of(&self, sequence: Sequence) -> Option<Epoch> {
        let after = self.epochs.partition_point(|(from, _)| *from <= sequence);
        self.epochs[..after].last().map(|(_, epoch)| *epoch)
    }

    fn note(&mut self, sequence: Sequence, epoch: Epoch) {
        if self.epochs.last().is_none_or(|(_, last)| *last != epoch) {
            self.epochs.push((sequence, epoch));
        }
    }

    /// An entry was applied.
    fn note_applied(&mut self, entry: Uncommitted) {
        self.applied = entry.sequence;
        if !entry.payload.is_empty() && !is_command(&entry.payload) {
            self.changes.push(entry);
        }
    }

    fn cut(&mut self, from: Sequence) {
        while self.epochs.len() > 1 && self.epochs.last().is_some_and(|(first, _)| *first >= from) {
            self.epochs.pop();
        }
        while self.uncommitted.back().is_some_and(|entry| entry.sequence >= from) {
            self.uncommitted.pop_back();
        }
    }
}

struct Replay {
    index: Index,
    found: Found,
    committed: Sequence,
    replayed: u64,
    bytes: u64,
    wrong: Option<Error>,
}

impl Replay {
    fn take(&mut self, disk: &impl Disk, identity: Identity, options: &Options, replayed: Replayed<'_>) {
        if self.wrong.is_some() {
            return;
        }
        match replayed {
            Replayed::Snapshot(header) => match restore(disk, header.sequence, identity) {
                Ok(Restored { state, membership }) => {
                    self.index = Index::from_state(state, &options.index);
                    self.found.first = header.sequence.next();
                    self.found.applied = header.sequence;
                    self.found.epochs = vec![(header.sequence, header.epoch)];
                    self.found.snapshot_membership = membership;
                    self.found.changes.clear();
                    self.committed = self.committed.max(header.sequence);
                }
                Err(error) => self.wrong = Some(error),
            },
            Replayed::Entry(entry) => {
                self.bytes += record_bytes(entry.payload.len()) as u64;
                self.found.note(entry.sequence, entry.epoch);
                self.found.uncommitted.push_back(Uncommitted {
                    sequence: entry.sequence,
                    epoch: entry.epoch,
                    payload: entry.payload.to_vec(),
                });
                self.apply_committed();
            }
            // What is meant lies before the snapshot, or is cut off here.
            Replayed::Replaced(from) => self.found.cut(from.max(self.found.first)),
            Replayed::Committed(through) => {
                self.committed = self.committed.max(through);
                self.apply_committed();
            }
        }
    }

    fn apply_committed(&mut self) {
        let mut fetched = 0;
        while self.wrong.is_none()
            && let Some(entry) = self.found.uncommitted.front()
            && entry.sequence <= self.committed
        {
            if fetched == 0 {
                fetched = FETCH_MAX;
                self.index.fetch_encoded(self.found.uncommitted.iter().map(|entry| &entry.payload[..]));
            }
            fetched -= 1;
            let entry = self.found.uncommitted.pop_front().expect("there is a first");
            let settings = *self.index.state().settings();
            let payload = if is_command(&entry.payload) { &entry.payload[..] } else { &[] };
            let checked = match payload {
                [] => Ok(()),
                payload => check_command(entry.sequence.0, payload, &settings),
            };
            match checked.and_then(|()| self.index.apply(entry.sequence.0, payload).map(drop)) {
                Ok(()) => {
                    self.replayed += 1;
                    self.found.note_applied(entry);
                }
                Err(error) => self.wrong = Some(error),
            }
        }
    }
}

impl Engine {
    /// Appends an entry that was proposed in this epoch.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`](log::Log::append).
    pub fn append_entry(&mut self, epoch: Epoch, payload: &[u8], now: Now) -> Result<Appended> {
        let clock_ms = self.time.clock_ms(now);
        let appended = self.log.append(epoch, clock_ms, payload)?;
        let bytes = record_bytes(payload.len()) as u64;
        self.flushing.appended(&self.log, bytes, now.instant);
        self.flushing.want(&self.log, appended.ticket);
        self.snapshots.appended(bytes);
        Ok(appended)
    }

    /// Has the next entry be the one numbered `from`, in place of those that were; `epoch` is that of the entry before.
    ///
    /// # Errors
    ///
    /// Those of [`Log::replace`](log::Log::replace): none of the entries is committed.
    pub fn replace_entries(&mut self, from: Sequence, epoch: Epoch, now: Now) -> Result<Appended> {
        let appended = self.log.replace(from, epoch, self.time.clock_ms(now))?;
        self.flushing.want(&self.log, appended.ticket);
        Ok(appended)
    }

    /// Appends for whom this node votes.
    ///
    /// # Errors
    ///
    /// Those of [`Log::vote`](log::Log::vote).
    pub fn append_vote(&mut self, vote: Vote, now: Now) -> Result<Appended> {
        let appended = self.log.vote(vote, self.time.clock_ms(now))?;
        self.flushing.want(&self.log, appended.ticket);
        Ok(appended)
    }

    /// Appends who is in the cluster. `of_state` is what the next snapshot says.
    ///
    /// # Errors
    ///
    /// Those of [`Log::membership`](log::Log::membership).
    pub fn append_membership(&mut self, bytes: &[u8], of_state: &[u8], now: Now) -> Result<Appended> {
        let appended = self.log.membership(bytes, self.time.clock_ms(now))?;
        self.flushing.want(&self.log, appended.ticket);
        self.set_membership(of_state);
        Ok(appended)
    }

    /// Says who is in the cluster, for the next snapshot.
    pub fn set_membership(&mut self, of_state: &[u8]) {
        if let Some(replica) = &mut self.replica {
            replica.membership = of_state.to_vec();
        }
    }

    /// Notes in the log that entries up to this one are committed, with the next write: nobody waits for it.
    pub fn note_commit(&mut self, sequence: Sequence, now: Now) {
        let state = self.log.state();
        if sequence > state.commit && sequence <= state.last && self.log.has_room(64) {
            let _ = self.log.commit(sequence, self.time.clock_ms(now));
        }
    }

    /// Has the memory fetched that applying these entries one after the other will need, of [`FETCH_MAX`] of them at most.
    pub fn fetch<'p>(&self, payloads: impl IntoIterator<Item = &'p [u8]>) {
        self.index.fetch_encoded(payloads);
    }

    /// Applies a committed entry. Readers see it after [`Engine::publish`]. `None` for one that is no command.
    ///
    /// # Errors
    ///
    /// Those of [`Index::apply`]: the node must stop.
    pub fn apply_entry(
        &mut self,
        sequence: Sequence,
        epoch: Epoch,
        payload: &[u8],
    ) -> Result<Option<Outcome>> {
        let is_command = is_command(payload);
        if is_command {
            self.note_applied(payload);
        }
        let outcome = self.index.apply(sequence.0, if is_command { payload } else { &[] })?;
        self.note_in_state(payload);
        self.epoch = epoch;
        self.counts.applied += 1;
        self.is_unseen = true;
        self.time.lift(self.index.state().time());
        if let Some(replica) = &mut self.replica
            && is_command
        {
            replica.last_command = sequence.0;
        }
        Ok(is_command.then_some(outcome))
    }

    /// Applies those of the entries found that turn out to be committed: up to `through`.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::apply_entry`].
    pub fn apply_found(&mut self, found: &mut Found, through: Sequence) -> Result<()> {
        while let Some(entry) = found.uncommitted.pop_front_if(|entry| entry.sequence <= through) {
            self.apply_entry(entry.sequence, entry.epoch, &entry.payload)?;
            found.note_applied(entry);
        }
        self.publish();
        Ok(())
    }

    /// Shows readers all that was applied.
    pub fn publish(&mut self) {
        if std::mem::take(&mut self.is_unseen) {
            self.index.offer();
        }
    }

    /// Encodes a command with the time it is taken at; checks it.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a command that is malformed or longer than settings or a record allow.
    pub fn encode_command(&mut self, command: &Command<'_>, now: Now) -> Result<Vec<u8>> {
        let settings = self.index.state().settings();
        command.check(settings).map_err(malformed)?;
        let mut encoded = Vec::new();
        command.encode_at(self.time.at(now), &mut encoded);
        let most = self.options.log.payload_bytes_max();
        if encoded.len() > most {
            let why = format!(
                "{} bytes are more than the {most} that fit a segment; write less at once, or make segments longer (segment_bytes)",
                encoded.len()
            );
            return Err(Error::invalid("command", why));
        }
        self.time.take(now);
        Ok(encoded)
    }

    /// A command that takes out what has expired, when something has: for the primary to propose.
    pub fn expiry(&mut self, now: Now) -> Option<Vec<u8>> {
        let due = self.index.state().next_deadline()?;
        if due > self.time.at(now) {
            return None;
        }
        self.encode_command(
            &Command {
                time: Timestamp::default(),
                request: None,
                operation: Operation::Expire { limit: 1_000 },
            },
            now,
        )
        .ok()
    }

    /// Counts one that was proposed.
    pub fn note_expiry(&mut self) {
        self.counts.expiries += 1;
    }

    /// Counts what [`Engine::evict_for`] gave, and was proposed.
    pub fn note_eviction(&mut self) {
        self.counts.evictions += 1;
    }

    /// By how much a command may make the state grow, at most, and whether there has to be room in memory for it before it is proposed,
    /// if there is a limit: it is not only refused when it is applied.
    pub fn growth(&self, command: &Command<'_>) -> (u64, bool) {
        let growth = forecast::bound(command);
        (growth, growth > 0 && self.needs_room(command))
    }

    /// Whether a full memory has keys taken out.
    pub fn evicts(&self) -> bool {
        self.options.eviction != Eviction::Refuse
    }

    /// A command that takes keys out which together have `bytes`, and a little more so that not each write needs one, as far as
    /// one command can, and none that are `spared`. For the primary to propose. `None`: there is nothing to take out.
    pub fn evict_for(&mut self, bytes: u64, spared: impl Fn(&[u8]) -> bool, now: Now) -> Option<Vec<u8>> {
        let headroom = self.index.state().settings().memory_max / HEADROOM;
        let evicted = self.eviction(bytes + headroom, spared, now)?;
        self.time.take(now);
        Some(evicted)
    }

    /// Notes the keys that an applied command is about as used: for when this node is the one to evict.
    fn note_applied(&self, payload: &[u8]) {
        if self.options.eviction == Eviction::Lru
            && let Ok(command) = Command::decode(payload, self.index.state().settings())
        {
            self.note_uses_at(&command.operation, command.time);
        }
    }

    /// When [`Engine::expiry`] may next give something.
    pub fn expiry_due(&self, now: Now) -> Option<Instant> {
        self.expiry_deadline(now)
    }

    /// Takes the state of a snapshot that came from another node and is durable here, in place of everything.
    ///
    /// # Errors
    ///
    /// Those of [`Log::handle_snapshot`](log::Log::handle_snapshot): it lacks what is committed here.
    pub fn install(&mut self, written: &Written, state: State, now: Now) -> Result<()> {
        self.log.handle_snapshot(written, true, self.time.clock_ms(now))?;
        self.index.replace(state);
        self.epoch = written.header.epoch;
        self.time.lift(self.index.state().time());
        self.snapshots.installed(written.bytes);
        self.is_unseen = false;
        Ok(())
    }

    /// Keeps entries of the log for somebody who is to read them, see [`Log::keep`](log::Log::keep).
    pub fn keep_entries(&mut self, from: Option<Sequence>) {
        self.log.keep(from);
    }

    /// Whether records of so many bytes can be appended now.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.log.has_room(bytes)
    }

    /// Whether a membership of so many bytes can be appended now.
    pub fn has_room_for_membership(&self, bytes: usize) -> bool {
        bytes <= self.options.log.membership_bytes_max() && self.has_room(bytes as u64)
    }

    /// Where durable entries lie.
    ///
    /// # Errors
    ///
    /// Those of [`Log::plan`](log::Log::plan).
    pub fn plan(&self, from: Sequence, to: Sequence) -> Result<Plan> {
        self.log.plan(from, to)
    }

    /// What it was told.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The epoch of the last entry applied.
    pub fn applied_epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last entry applied that is a command; 0 when none was since the opening.
    pub fn last_command(&self) -> Sequence {
        Sequence(self.replica.as_ref().map_or(0, |replica| replica.last_command))
    }
}
