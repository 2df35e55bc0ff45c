//! How a node begins: what its directory says, the first entry of a cluster, promotion by force; and what it writes down
//! about itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use raft::eraftpb::HardState;
use raft::{Config, RawNode, ReadOnlyOption, StateRole};

use super::founding::{FOUNDING, Founding};
use super::{Calls, Degrading, Event, Feeding, Fence, Fetching, Node, Room, Source, Standing};
use crate::error::{Error, Result};
use crate::replication::frame::Fault;
use crate::replication::hashes::Hashes;
use crate::replication::lease::Stamps;
use crate::replication::membership::{Change, Membership};
use crate::replication::message::entry;
use crate::replication::options::Options;
#[cfg(feature = "sim")]
use crate::replication::planted::Plant;
use crate::replication::storage::Storage;
use crate::replication::wire::{Reader, put_u64};
use crate::rng::Rng;
use crate::store::engine::replicated::{Found, Uncommitted, open_replicated};
use crate::store::engine::{self, Engine, Now};
use crate::store::log::record::Vote;
use crate::store::log::{self, Disk, Epoch, File, Identity, Sequence};

/// By how many epochs a promotion by force goes on, for each generation: more than others can have begun unheard since, and in each
/// generation another number, for two nodes may be promoted from one epoch.
const PROMOTED_EPOCHS: u64 = 1 << 20;

/// How a node begins.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Who is in a new cluster: each node's number, whether it votes, what is said about it (its address). Every one of
    /// them is given the same. It counts only where there is nothing yet; a node that is added later is given none, and
    /// waits to be told. Where one node has a store of its own already, it alone is named.
    pub nodes: Vec<(u64, bool, Vec<u8>)>,
    /// Whose the log in the directory says it is, where that is not this node: a store of one node that became, or is to
    /// become, the first of a cluster. The log keeps its label.
    pub label: Option<Identity>,
    /// The directory is an old copy, or may be, or was lost: the node votes for nobody until the others have taken it in
    /// again.
    pub is_copy: bool,
    /// The directory was damaged, and what was of no use any more was taken away ([`damage`](crate::replication::damage)): the node votes
    /// for nobody until the others have taken it in again, whoever it believes them to be.
    pub is_damaged: bool,
    /// Makes this node primary by force, with what it has: it alone votes from now on, and those who voted before are out,
    /// together with what they had and this one has not. For when they are gone for good. Promote one node only.
    pub is_promoted: bool,
}

/// What opening a node found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the store's engine says.
    pub store: engine::Report,
    /// The last entry that is known to be committed.
    pub committed: u64,
    /// Entries behind it.
    pub uncommitted: u64,
    /// Who is in the cluster if all that the log has counts.
    pub expected: Membership,
}

impl Node {
    /// Opens a node in a directory. Blocks while it reads, and for what it writes down about its beginning.
    ///
    /// - `seed`: a random number that no other opening had; the node's randomness comes from it.
    ///
    /// # Errors
    ///
    /// Those of [`engine::open`]; `InvalidArgument` for options out of range, and for a beginning that cannot be;
    /// `Unsupported` when a later release wrote who is in the cluster; `Corrupt` when that is not what was written.
    pub fn open(
        disk: &impl Disk,
        store: engine::Options,
        options: Options,
        identity: Identity,
        start: &Start,
        seed: u64,
        now: Now,
    ) -> Result<(Self, Report)> {
        options.check(store.log.segment_bytes)?;
        let mut rng = Rng::new(seed);
        let boot = rng.next_u64() | 1;
        let (mut engine, report, mut found) =
            open_replicated(disk, store, start.label.unwrap_or(identity), rng.next_u64(), now)?;
        let mut members = membership_in(disk, &found)?;
        let of_log = Local::decode(&found.membership).map_err(|fault| unreadable(disk, &fault))?;
        let mut local = of_log.clone();
        make_room(&mut engine, disk, found.membership.len() as u64 + (8 << 10), now);
        let is_begun = members != Membership::default();
        if is_begun {
            // Who is in the cluster is written down behind the change that made it so, and may not have come to disk.
            let proven = proven(&found.uncommitted);
            #[cfg(feature = "sim")]
            let proven = proven.filter(|_| options.planted != Some(Plant::UnprovenChange));
            if let Some(through) = proven {
                engine.apply_found(&mut found, through)?;
            }
            members = take_changes(found.changes.iter(), &members, &options, identity.node);
        }
        if is_begun && let Some((epoch, change)) = begun_before(&found) {
            // All of the beginning is there but that it counts.
            take_initial(&mut engine, &mut found, &members, Sequence(1), epoch, &change, now)?;
        }
        // What has forgotten something is no beginning, even if it has forgotten who is in the cluster.
        let is_forgetful = start.is_damaged || local.incarnation != 0;
        // Who has no vote writes down no beginning: those that have tell it of theirs.
        let follows = start.nodes.iter().any(|(node, is_voter, _)| *node == identity.node && !is_voter);
        if !is_begun && !start.nodes.is_empty() && !is_forgetful && !follows {
            members = begin(&mut engine, &mut found, identity.node, &start.nodes, now)?;
            if members.voters.len() > 1 {
                local.incarnation = FOUNDING;
            }
        } else if start.is_promoted {
            if let (false, Some((_, change))) = (is_begun, initial_in(&found)) {
                // It has entries, and had not heard yet that any counts.
                members.take_initial(1, &change);
            }
            members =
                promote(&mut engine, &mut found, &members, &options, local.put_out, identity.node, now)?;
            local.incarnation = 0;
        }
        if local.put_out <= members.generation {
            local.put_out = 0;
        }
        if members.readmitted.get(&identity.node) == Some(&local.incarnation) {
            // There was no room to write down that it is taken in again; the snapshot says so.
            local.incarnation = 0;
        }
        let is_alone = members.voters.len() == 1 && members.voters.contains(&identity.node);
        // Where nothing is left, it may be all that was forgotten.
        let may_have_forgotten = is_begun || start.nodes.is_empty();
        let is_copy = start.is_copy && may_have_forgotten && !is_alone;
        if (is_copy || start.is_damaged) && !start.is_promoted {
            local.incarnation = boot;
        }
        let standing = match local.incarnation {
            _ if local.put_out > 0 => Standing::Fenced(Fence::OldGeneration { generation: local.put_out }),
            0 => Standing::Active,
            FOUNDING => Standing::Founding,
            incarnation => Standing::Forgetful { incarnation },
        };
        #[cfg(feature = "sim")]
        let standing = match options.planted {
            Some(Plant::TrustedCopy) => {
                local.incarnation = 0;
                Standing::Active
            }
            Some(Plant::TrustedFounder) if standing == Standing::Founding => {
                local.incarnation = 0;
                Standing::Active
            }
            _ => standing,
        };
        local.membership = members.clone();
        let encoded = local.encode();
        let is_written = encoded == found.membership;
        // What the entries say can be read there again; all else has to be written down.
        let is_needed = !is_begun || start.is_promoted || !of_log.is_of_same(&local);
        let is_left_out = !is_needed && !engine.has_room_for_membership(encoded.len());
        if is_written || is_left_out {
            engine.set_membership(&members.encode());
        } else {
            engine.append_membership(&encoded, &members.encode(), now)?;
        }
        // Behind it: of a beginning that is cut off before, nothing counts as committed.
        engine.note_commit(found.applied, now);
        while let Some(flush) = engine.poll_flush() {
            let result = flush.run(disk);
            engine.handle_flushed(flush, result, |file| disk.name(file));
            if let Some(failure) = engine.failure() {
                return Err(failure.clone());
            }
        }
        let uncommitted = found.uncommitted.len() as u64;
        let expected = take_changes(found.uncommitted.iter(), &members, &options, identity.node);
        let raw = raw_node(&options, identity.node, &found, &members, start.is_promoted);
        // Who is in the cluster is written down behind what made this node answer a primary, and may not have come to disk.
        let promised = match found.is_new || start.is_promoted {
            true => Duration::ZERO,
            false => options.promise(),
        };
        let reported = Report { store: report, committed: found.applied.0, uncommitted, expected };
        let mut node = Self {
            boot,
            engine,
            raw,
            members,
            standing,
            put_out: local.put_out,
            next_tick: now.instant.saturating_add(options.tick),
            votes_from: now.instant.saturating_add(promised),
            seen: (0, 0, StateRole::Follower),
            attempts: 0,
            drawn: (0, StateRole::Leader, 0),
            election_ticks: 0,
            elected_at: now.instant,
            reign_from: 0,
            stamps: Stamps::default(),
            persisting: VecDeque::new(),
            outbox: super::outbox::Outbox::default(),
            long_entries: super::long_entries::LongEntries::default(),
            processes: BTreeMap::new(),
            forgetful: BTreeMap::new(),
            flagged: BTreeSet::new(),
            founding: Founding::default(),
            tellers: BTreeSet::new(),
            leaving_ticks: 0,
            members_at: (is_written || !is_left_out).then(log::Ticket::default),
            calls: Calls::default(),
            transfer: None,
            outgoing: BTreeMap::new(),
            incoming: None,
            failed_install: None,
            installed: None,
            fetching: Fetching::default(),
            source: Source::default(),
            feeding: Feeding::default(),
            pace: super::pace::Pace::new(now.instant),
            hashes: Hashes::default(),
            room: Room::default(),
            degrading: Degrading::default(),
            expiring: None,
            flush_since: None,
            hands_over_from: crate::time::Instant::START,
            failed_handovers: 0,
            summons: None,
            kept: VecDeque::new(),
            appended_bytes: 0,
            rate: (now.instant, 0),
            events: VecDeque::new(),
            rng,
            now,
            options,
            identity,
        };
        #[cfg(feature = "sim")]
        if node.options.planted == Some(Plant::HastyVote) {
            node.votes_from = now.instant;
        }
        node.seen.0 = node.raw.raft.term;
        node.draw();
        if let Standing::Fenced(fence) = &node.standing {
            node.events.push_back(Event::Fenced(fence.clone()));
        }
        if node.is_alone() {
            // Nobody else could be primary.
            node.campaign();
        }
        node.advance(now);
        Ok((node, reported))
    }
}

/// Has a segment made where there is no room for what opening writes down. What stands in the way is told when that is
/// appended.
fn make_room(engine: &mut Engine, disk: &impl Disk, bytes: u64, now: Now) {
    while !engine.has_room(bytes)
        && let Some(work) = engine.poll_upkeep()
    {
        let result = work.run(disk);
        let is_failed = result.is_err();
        engine.handle_upkeep(&work, result, now.instant, |file| disk.name(file));
        if is_failed {
            return;
        }
    }
}

/// What a node writes down about itself beside who is in the cluster: in the log's membership records.
#[derive(Clone, Debug, Default)]
pub(super) struct Local {
    /// It has forgotten something, and asks to be taken in under this number; 0: it has not; [`FOUNDING`]: it does not know.
    pub(super) incarnation: u64,
    /// The generation of a promotion by force that put it out; 0: of none.
    pub(super) put_out: u64,
    pub(super) membership: Membership,
}

impl Local {
    /// Version 1 where nothing put it out: a release that knows no other must not open the rest.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = vec![if self.put_out == 0 { 1 } else { 2 }];
        put_u64(&mut to, self.incarnation);
        if self.put_out > 0 {
            put_u64(&mut to, self.put_out);
        }
        to.extend_from_slice(&self.membership.encode());
        to
    }

    /// The most bytes it may take with one more node, about which so many are said, whatever happens to each of them. Taking one out
    /// makes it no longer.
    pub(super) fn bytes_max_with(members: &Membership, about_bytes: usize) -> usize {
        // A node can be among those to be learners, the voters of before, those that return, and with its number those taken in again.
        let in_lists = 8 * (members.outgoing.len() + members.returning.len() + members.learners_next.len())
            + 16 * members.readmitted.len();
        let count = members.nodes().count() + 1;
        let of_new = 8 + 12 + about_bytes;
        // Before it: version, incarnation, generation.
        17 + members.encode().len() - in_lists + 40 * count + of_new
    }

    /// Whether another one says the same of the node itself, whoever is in the cluster.
    fn is_of_same(&self, other: &Self) -> bool {
        (self.incarnation, self.put_out) == (other.incarnation, other.put_out)
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, Fault> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut from = Reader(bytes);
        let version = from.u8()?;
        if !(1..=2).contains(&version) {
            return Err(Fault::Newer { version: u16::from(version) });
        }
        let incarnation = from.u64()?;
        let put_out = if version == 2 { from.u64()? } else { 0 };
        Ok(Self { incarnation, put_out, membership: Membership::decode(from.0)? })
    }
}

/// Who was in the cluster, by a record of a node's log; `None` where that cannot be read.
pub(in crate::replication) fn membership_in_record(bytes: &[u8]) -> Option<Membership> {
    Local::decode(bytes).ok().map(|local| local.membership)
}

/// Who is in the cluster, by the log or by the snapshot, whichever is later.
fn membership_in(disk: &impl Disk, found: &Found) -> Result<Membership> {
    let of_log = Local::decode(&found.membership).map_err(|fault| unreadable(disk, &fault))?.membership;
    let of_snapshot =
        Membership::decode(&found.snapshot_membership).map_err(|fault| unreadable(disk, &fault))?;
    Ok(if of_snapshot.sequence > of_log.sequence { of_snapshot } else { of_log })
}

fn unreadable(disk: &impl Disk, fault: &Fault) -> Error {
    let what = "membership";
    match fault {
        Fault::Newer { version } => {
            let detail =
                format!("version {version} in the log of {}; use a later release", disk.name(File::Lock));
            Error::Unsupported { what, detail: detail.into() }
        }
        other => Error::invalid(what, format!("the log has one that cannot be read: {other}")),
    }
}

/// Writes down the first entry of a cluster.
fn begin(
    engine: &mut Engine,
    found: &mut Found,
    node: u64,
    nodes: &[(u64, bool, Vec<u8>)],
    now: Now,
) -> Result<Membership> {
    let mut nodes = nodes.to_vec();
    nodes.sort();
    if !nodes.iter().any(|(number, ..)| *number == node) {
        return Err(Error::invalid(
            "nodes",
            format!("node {node} is not among those that begin the cluster"),
        ));
    }
    let is_alone = nodes.len() == 1;
    if let Some((epoch, change)) = begun_before(found) {
        return take_initial(engine, found, &Membership::default(), Sequence(1), epoch, &change, now);
    }
    if !is_alone && found.last != Sequence(0) {
        let why = "there is a store in the directory already: begin with this node alone, and add the others";
        return Err(Error::invalid("nodes", why));
    }
    let change = Change::Initial { generation: 1, nodes };
    Change::decode(&change.encode()).map_err(|fault| Error::invalid("nodes", fault.to_string()))?;
    write_initial(engine, found, &Membership::default(), 1, &change, now)
}

/// The beginning that a process wrote down that ended amidst it, before anybody was told of it: its epoch, and what it says.
fn begun_before(found: &Found) -> Option<(Epoch, Change)> {
    initial_in(found).filter(|_| found.last == Sequence(1))
}

/// The beginning of the cluster, where it is the first of what is not known to be committed.
fn initial_in(found: &Found) -> Option<(Epoch, Change)> {
    let first = found.uncommitted.front().filter(|it| it.sequence == Sequence(1))?;
    let change = Change::decode(&first.payload).ok()?;
    matches!(change, Change::Initial { .. }).then_some((first.epoch, change))
}

/// Writes down that this node alone votes from now on, in a generation after the one that `put_out` this node, too.
fn promote(
    engine: &mut Engine,
    found: &mut Found,
    members: &Membership,
    options: &Options,
    put_out: u64,
    node: u64,
    now: Now,
) -> Result<Membership> {
    // All that is here counts, changes of the cluster too: every other node applies them before what is written down now.
    let counted = take_changes(found.uncommitted.iter(), members, options, node);
    if !members.nodes().chain(counted.nodes()).any(|it| it == node) {
        let why =
            "the node of this directory has heard of no cluster, so it cannot be made the primary of one";
        return Err(Error::invalid("promote", why));
    }
    // Whether what is not known to be committed was is not known here. A learner that was to be taken out, or to vote, may have
    // all that this one has: it stays, as a learner.
    let learners: BTreeSet<u64> = members.learners.union(&counted.learners).copied().collect();
    let follows = |it: &&u64| **it != node && !members.is_voter(**it);
    let about =
        |it: &u64| counted.about.get(it).or_else(|| members.about.get(it)).cloned().unwrap_or_default();
    let mut nodes: Vec<_> = learners.iter().filter(follows).map(|it| (*it, false, about(it))).collect();
    nodes.push((node, true, about(&node)));
    nodes.sort();
    let generation = members.generation.max(counted.generation).max(put_out).saturating_add(1);
    let change = Change::Initial { generation, nodes };
    // The others may have held elections of which this one has not heard, and an entry is known by its epoch.
    let leap = generation.saturating_mul(PROMOTED_EPOCHS);
    write_initial(engine, found, &counted, leap, &change, now)
}

/// Up to which entry all are committed, for the log itself proves it: a primary proposes a change of the cluster once it has
/// applied the one before, so where there is a later one the one before counts. Without that a node could answer for two changes,
/// go by neither after a crash, and be elected by voters that no longer are any. A promotion by force takes for committed what may
/// not be, and its entry, which is on disk before anybody is told, proves nothing.
pub(super) fn proven(uncommitted: &VecDeque<Uncommitted>) -> Option<Sequence> {
    let changes = uncommitted.iter().filter_map(|it| Some((it.sequence, Change::decode(&it.payload).ok()?)));
    let mut changes = changes.rev().skip_while(|(_, it)| matches!(it, Change::Initial { .. })).skip(1);
    changes.next().map(|(sequence, _)| sequence)
}

/// What the changes among some entries make of a membership, as on a node that applies them.
fn take_changes<'e>(
    entries: impl Iterator<Item = &'e Uncommitted>,
    members: &Membership,
    options: &Options,
    node: u64,
) -> Membership {
    let mut members = members.clone();
    for entry in entries {
        // The membership may be ahead of the state.
        if entry.sequence.0 <= members.sequence {
            continue;
        }
        let Ok(change) = Change::decode(&entry.payload) else { continue };
        let Some(for_raft) = change.for_raft() else {
            members.take_initial(entry.sequence.0, &change);
            continue;
        };
        let conf = members.for_raft();
        let storage = Storage::new(1, 0, vec![(0, 0)], HardState::default(), conf, 0);
        // One that cannot be is none, on every node alike.
        if let Ok(state) = library(options, node, storage, 0).apply_conf_change(&for_raft) {
            members.take(entry.sequence.0, &change, &state);
        }
    }
    members
}

/// Appends it, so many epochs on, takes all before it for committed, and applies that. That it is committed is to be noted once it is.
fn write_initial(
    engine: &mut Engine,
    found: &mut Found,
    before: &Membership,
    leap: u64,
    change: &Change,
    now: Now,
) -> Result<Membership> {
    let epoch = Epoch(found.vote.epoch.max(engine.log().state().epoch).0.saturating_add(leap));
    let payload = change.encode();
    let sequence = engine.append_entry(epoch, &payload, now)?.sequence;
    for entry in std::mem::take(&mut found.uncommitted) {
        engine.apply_entry(entry.sequence, entry.epoch, &entry.payload)?;
    }
    found.epochs.push((sequence, epoch));
    take_initial(engine, found, before, sequence, epoch, change, now)
}

/// Applies what is the last entry.
fn take_initial(
    engine: &mut Engine,
    found: &mut Found,
    before: &Membership,
    sequence: Sequence,
    epoch: Epoch,
    change: &Change,
    now: Now,
) -> Result<Membership> {
    engine.append_vote(Vote { epoch, node: 0 }, now)?;
    found.uncommitted.clear();
    engine.apply_entry(sequence, epoch, &change.encode())?;
    engine.publish();
    (found.last, found.applied) = (sequence, sequence);
    found.vote = Vote { epoch, node: 0 };
    let mut members = before.clone();
    members.take_initial(sequence.0, change);
    Ok(members)
}

fn raw_node(
    options: &Options,
    node: u64,
    found: &Found,
    members: &Membership,
    is_promoted: bool,
) -> RawNode<Storage> {
    let mut hard = HardState::default();
    let last_epoch = found.epochs.last().map_or(0, |(_, epoch)| epoch.0);
    hard.term = found.vote.epoch.0.max(last_epoch);
    hard.vote = if found.vote.epoch.0 == hard.term && !is_promoted { found.vote.node } else { 0 };
    hard.commit = found.applied.0;
    let epochs = found.epochs.iter().map(|(from, epoch)| (from.0, epoch.0)).collect();
    let mut storage =
        Storage::new(found.first.0, found.last.0, epochs, hard, members.for_raft(), found.applied.0);
    for it in &found.uncommitted {
        storage.found(entry(it.sequence.0, it.epoch.0, &it.payload));
    }
    library(options, node, storage, found.applied.0)
}

fn library(options: &Options, node: u64, storage: Storage, applied: u64) -> RawNode<Storage> {
    let config = Config {
        id: node,
        election_tick: options.election_ticks as usize,
        heartbeat_tick: options.heartbeat_ticks as usize,
        applied,
        max_size_per_msg: options.message_bytes,
        max_inflight_msgs: options.inflight_messages as usize,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        max_uncommitted_size: options.uncommitted_bytes_max.max(options.message_bytes),
        max_committed_size_per_ready: raft::NO_LIMIT,
        ..Config::default()
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&config, storage, &logger).expect("options and membership were checked")
}
