//! [`Node`]: one node of a cluster.

mod calls;
mod care;
mod catchup;
mod drive;
mod outbox;
mod pace;
mod receive;
#[cfg(all(test, feature = "sim"))]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use raft::eraftpb::{HardState, Message};
use raft::{Config, RawNode, ReadOnlyOption, StateRole};

pub use self::calls::{Answer, Bound, Completion, Denied, Done, Granted, Level, Position, Reached, Ticket};
use self::calls::{Calls, Transfer};
pub use self::catchup::{Fetch, InstallJob};
use self::catchup::{Fetching, Incoming, Outgoing};
use self::outbox::Outbox;
use self::pace::Pace;
use super::frame::{self, Fault, Header};
use super::hashes::Hashes;
use super::lease::Stamps;
use super::membership::{Change, Membership};
use super::message::{Body, entry};
use super::options::Options;
use super::storage::Storage;
use super::wire::{Reader, put_u64};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::store::engine::replicated::{Found, open_replicated};
use crate::store::engine::{self, Engine, Now, SnapshotJob};
use crate::store::index::{self, State};
use crate::store::log::record::Vote;
use crate::store::log::{self, Disk, Epoch, File, Flush, Identity, Sequence, Upkeep, Written};
use crate::time::Instant;

/// How a node begins.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Who is in a new cluster: each node's number, whether it votes, what is said about it (its address). Every one of
    /// them is given the same. It counts only where there is nothing yet; a node that is added later is given none, and
    /// waits to be told. Where one node has a store of its own already, it alone is named.
    pub nodes: Vec<(u64, bool, Vec<u8>)>,
    /// The directory is an old copy, or may be, or was lost: the node votes for nobody until the others have taken it in
    /// again.
    pub is_copy: bool,
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
}

/// What a node is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Orders the writes.
    Primary,
    /// Follows, and votes.
    Replica,
    /// Asks for votes.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Takes no part: it belongs to no cluster yet, or to none any more, or its log has stopped.
    Idle,
}

/// Why a node takes no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It was removed.
    Removed,
    /// Another one was promoted by force since.
    OldGeneration {
        /// The generation that counts.
        generation: u64,
    },
    /// Another process with its number came later.
    Retired,
    /// What is committed here is not what is committed there.
    Diverged {
        /// From which entry on.
        sequence: u64,
        /// Who says so.
        from: u64,
    },
    /// It has come to another state than more than half of the voters.
    Differs {
        /// At this sequence, or before.
        sequence: u64,
    },
}

/// Whether a node may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes part.
    Active,
    /// It has forgotten something that it promised: it follows, and votes for nobody, until it is taken in again.
    Forgetful {
        /// The number under which it asks to be.
        incarnation: u64,
    },
    /// It takes no part any more.
    Fenced(Fence),
    /// Its log has stopped, or it met something that only a later release knows.
    Failed(Error),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The role, the epoch or the primary changed.
    Role {
        /// What this node is.
        role: Role,
        /// The epoch.
        epoch: u64,
        /// The primary; `None` while none is known.
        primary: Option<u64>,
    },
    /// Who is in the cluster has changed.
    Members(Membership),
    /// This node takes no part any more.
    Fenced(Fence),
    /// This node has forgotten something, and asks to be taken in again.
    Forgetful,
    /// It was.
    Readmitted,
    /// A node has come to another state than the others.
    Differs {
        /// Which.
        node: u64,
        /// At this sequence, or before.
        sequence: u64,
    },
    /// Two processes run as one node.
    TwoProcesses {
        /// The node.
        node: u64,
    },
    /// This primary's disk is slow: it hands over.
    SlowDisk {
        /// To whom.
        to: u64,
    },
    /// A state from another node has taken the place of this one's.
    Installed {
        /// The last entry in it.
        sequence: u64,
    },
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub role: Role,
    /// The epoch.
    pub epoch: u64,
    /// The primary, as far as it knows.
    pub primary: Option<u64>,
    /// The last entry of its log.
    pub last: u64,
    /// The last that is committed, as far as it knows.
    pub committed: u64,
    /// The last that is applied.
    pub applied: u64,
    /// The last that is on its disk.
    pub durable: u64,
    /// How old what is applied may be; `None` when that is not known. Zero on a primary that holds its quorum.
    pub age: Option<Duration>,
    /// What each other node is known to have on disk; on a primary only.
    pub matched: Vec<(u64, u64)>,
    /// Bytes of entries kept in memory.
    pub tail_bytes: u64,
}

/// What waits until the log is durable that far.
#[derive(Debug)]
struct Persisting {
    number: u64,
    ticket: log::Ticket,
    messages: Vec<Message>,
}

/// What is known of another node's process.
#[derive(Debug, Default)]
struct Process {
    boot: u64,
    /// Earlier ones, and the lowest stamp each had since a later one was heard.
    retired: VecDeque<(u64, u64)>,
    /// Frames of those that were sent when they should not run any more.
    late: u32,
}

/// One node of a cluster: see the module for what it promises and how it is driven. One owner calls it; views are read by
/// any thread, see [`Node::reader`].
pub struct Node {
    options: Options,
    identity: Identity,
    boot: u64,
    engine: Engine,
    raw: RawNode<Storage>,
    members: Membership,
    standing: Standing,
    rng: Rng,
    now: Now,
    next_tick: Instant,
    /// Before that nobody gets a vote: what was promised before the opening is not known.
    votes_from: Instant,
    /// Term, leader and role as they were seen last.
    seen: (u64, u64, StateRole),
    attempts: u64,
    drawn: (u64, StateRole, u64),
    election_ticks: usize,
    /// Since when this is primary.
    elected_at: Instant,
    /// The first entry of its reign: once it is applied, reads are answered.
    reign_from: u64,
    stamps: Stamps,
    persisting: VecDeque<Persisting>,
    outbox: Outbox,
    processes: BTreeMap<u64, Process>,
    /// Nodes that have said that they have forgotten something, and the number they gave.
    forgetful: BTreeMap<u64, u64>,
    /// Nodes that said so last.
    flagged: BTreeSet<u64>,
    /// Who has said that this node was taken out.
    tellers: BTreeSet<u64>,
    /// Ticks since this node, on its way out, last asked whether the others know.
    leaving_ticks: u32,
    /// Where in the log who is in the cluster was last written down; `None`: there was no room.
    members_at: Option<log::Ticket>,
    calls: Calls,
    transfer: Option<Transfer>,
    outgoing: BTreeMap<u64, Outgoing>,
    incoming: Option<Incoming>,
    installed: Option<(Written, State, Membership)>,
    fetching: Fetching,
    pace: Pace,
    hashes: Hashes,
    /// An expiry proposed and not applied.
    expiring: Option<(u64, u64)>,
    flush_since: Option<Instant>,
    handed_over_at: Option<Instant>,
    kept: VecDeque<(u64, u64)>,
    appended_bytes: u64,
    rate: (Instant, u64),
    events: VecDeque<Event>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("node", &self.identity.node)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
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
        let (mut engine, report, mut found) = open_replicated(disk, store, identity, rng.next_u64(), now)?;
        let mut members = membership_in(disk, &found)?;
        let mut local = Local::decode(&found.membership).map_err(|fault| unreadable(disk, &fault))?;
        let is_begun = members != Membership::default();
        if !is_begun && !start.nodes.is_empty() {
            members = begin(&mut engine, &mut found, &start.nodes, now)?;
        } else if start.is_promoted {
            members = promote(&mut engine, &mut found, &members, identity.node, now)?;
            local.incarnation = 0;
        }
        let is_alone = members.voters.len() == 1 && members.voters.contains(&identity.node);
        // Where nothing is left, it may be all that was forgotten.
        let may_have_forgotten = is_begun || start.nodes.is_empty();
        if start.is_copy && may_have_forgotten && !start.is_promoted && !is_alone {
            local.incarnation = boot;
        }
        let standing = match local.incarnation {
            0 => Standing::Active,
            incarnation => Standing::Forgetful { incarnation },
        };
        #[cfg(feature = "sim")]
        let standing = match options.planted {
            Some(super::planted::Plant::TrustedCopy) => {
                local.incarnation = 0;
                Standing::Active
            }
            _ => standing,
        };
        local.membership = members.clone();
        if local.encode() == found.membership {
            engine.set_membership(&members.encode());
        } else {
            engine.append_membership(&local.encode(), &members.encode(), now)?;
        }
        while let Some(flush) = engine.poll_flush() {
            let result = flush.run(disk);
            engine.handle_flushed(flush, result, |file| disk.name(file));
            if let Some(failure) = engine.failure() {
                return Err(failure.clone());
            }
        }
        let uncommitted = found.uncommitted.len() as u64;
        let raw = raw_node(&options, identity.node, &found, &members, start.is_promoted);
        let promised = if is_begun && !start.is_promoted { options.promise() } else { Duration::ZERO };
        let reported = Report { store: report, committed: found.applied.0, uncommitted };
        let mut node = Self {
            boot,
            engine,
            raw,
            members,
            standing,
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
            outbox: Outbox::default(),
            processes: BTreeMap::new(),
            forgetful: BTreeMap::new(),
            flagged: BTreeSet::new(),
            tellers: BTreeSet::new(),
            leaving_ticks: 0,
            members_at: Some(log::Ticket::default()),
            calls: Calls::default(),
            transfer: None,
            outgoing: BTreeMap::new(),
            incoming: None,
            installed: None,
            fetching: Fetching::default(),
            pace: Pace::new(now.instant),
            hashes: Hashes::default(),
            expiring: None,
            flush_since: None,
            handed_over_at: None,
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
        if node.options.planted == Some(super::planted::Plant::HastyVote) {
            node.votes_from = now.instant;
        }
        node.seen.0 = node.raw.raft.term;
        node.draw();
        if node.is_alone() {
            // Nobody else could be primary.
            node.campaign();
        }
        node.advance(now);
        Ok((node, reported))
    }

    /// Does what follows from all that was told since the last time: to be called after the others, before the `poll_*`.
    pub fn advance(&mut self, now: Now) {
        self.pass(now);
        self.drive();
    }

    /// Does what is due at or before `now`. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        self.pass(now);
        self.engine.handle_timeout(now);
        self.drive();
    }

    /// When [`Node::handle_timeout`] is next needed.
    pub fn next_deadline(&self, now: Now) -> Option<Instant> {
        if matches!(self.standing, Standing::Failed(_)) {
            return None;
        }
        let engine = self.engine.next_deadline(now);
        Some(engine.map_or(self.next_tick, |at| at.min(self.next_tick)))
    }

    /// The next frame to send, into `into`, and the node it is for. A frame that cannot be sent at once may be dropped:
    /// what it said is said again. To be sent soon, for it tells the time.
    pub fn poll_frame(&mut self, into: &mut Vec<u8>, now: Now) -> Option<u64> {
        if !self.takes_part() {
            self.outbox.retain(|body| matches!(body, Body::Told { .. }));
        }
        let (to, body) = self.outbox.pop()?;
        self.now.instant = self.now.instant.max(now.instant);
        let header = self.header(to);
        frame::encode(into, &header, &body);
        Some(to)
    }

    /// A node cannot be reached: what was sent to it may be lost.
    pub fn handle_unreachable(&mut self, node: u64) {
        self.raw.report_unreachable(node);
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next write to disk, when one is wanted and none is under way; see [`Engine::poll_flush`].
    pub fn poll_flush(&mut self, now: Now) -> Option<Flush> {
        let flush = self.engine.poll_flush()?;
        self.flush_since = Some(now.instant);
        Some(flush)
    }

    /// How a write to disk went; `name` is [`Disk::name`].
    pub fn handle_flushed(
        &mut self,
        flush: Flush,
        result: io::Result<()>,
        now: Now,
        name: impl Fn(File) -> String,
    ) {
        self.now = now;
        self.flush_since = None;
        self.engine.handle_flushed(flush, result, name);
        if let Some(failure) = self.engine.failure().cloned() {
            self.fail(failure);
            return;
        }
        self.persisted();
    }

    /// The next work on files beside the records, see [`Engine::poll_upkeep`].
    pub fn poll_upkeep(&mut self) -> Option<Upkeep> {
        self.engine.poll_upkeep()
    }

    /// How it went.
    pub fn handle_upkeep(
        &mut self,
        work: &Upkeep,
        result: io::Result<()>,
        now: Now,
        name: impl Fn(File) -> String,
    ) {
        self.engine.handle_upkeep(work, result, now.instant, name);
    }

    /// A snapshot to be written, see [`Engine::poll_snapshot`].
    pub fn poll_snapshot(&mut self, now: Now) -> Option<SnapshotJob> {
        self.engine.poll_snapshot(now)
    }

    /// How it went. The log lets go of what the snapshot stands for, and nobody is behind by.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::handle_snapshot`].
    pub fn handle_snapshot(&mut self, job: &SnapshotJob, result: Result<Written>, now: Now) -> Result<()> {
        self.keep();
        let taken = self.engine.handle_snapshot(job, result, now);
        let first = self.engine.log().first().0;
        self.raw.mut_store().compact(first);
        taken
    }

    /// A snapshot of what is applied now, to be written elsewhere, see [`Engine::view_job`].
    pub fn view_job(&mut self, now: Now) -> SnapshotJob {
        self.engine.view_job(now)
    }

    /// Something that lies on disk was found damaged: a snapshot is written of what is in memory, see
    /// [`Engine::handle_damage`].
    pub fn handle_damage(&mut self) {
        self.engine.handle_damage();
    }

    /// Has a snapshot written, however short the log is.
    pub fn want_snapshot(&mut self) {
        self.engine.want_snapshot();
    }

    /// By which other threads read. What they may rely on is what [`Granted`] says.
    pub fn reader(&self) -> index::Reader {
        self.engine.reader()
    }

    /// The state with all that is applied, kept as it is. Readers see it too from now on.
    pub fn view(&mut self) -> Arc<index::View> {
        self.engine.view()
    }

    /// The state with all that is applied.
    pub fn state(&self) -> &State {
        self.engine.state()
    }

    /// The engine, for what it counts.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Who is in the cluster.
    pub fn members(&self) -> &Membership {
        &self.members
    }

    /// Whether this node may be believed.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether this is primary, and nobody else is, for certain, at `now`.
    pub fn holds_lease(&self, now: Instant) -> bool {
        self.is_primary() && self.lease_until(now).is_some_and(|until| now < until)
    }

    /// The epoch of this primary's reign, and until when nobody else can be primary: `None` for one who is none, does not hold
    /// its quorum, or has not applied all that came before its reign. As long as it lasts, each view taken shows every write
    /// that was answered at `quorum` before.
    pub fn reign(&self, now: Instant) -> Option<(u64, Instant)> {
        let until = self.lease_until(now).filter(|until| now < *until)?;
        self.is_settled().then_some((self.raw.raft.term, until))
    }

    /// As of when what is applied here is all that was committed, by this node's clock, as far as that is known.
    pub fn fresh_since(&self) -> Option<Instant> {
        self.stamps.fresh_since()
    }

    /// The sequence that the write submitted last will have, unless something comes between: an election, an entry of the
    /// primary's own.
    pub fn last_proposed(&self) -> u64 {
        self.raw.raft.raft_log.last_index() + self.calls.proposed() as u64
    }

    /// Whether there is a frame to send.
    pub fn has_frame(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The epoch of an entry, as far as it is known: the log may have let go of it.
    pub fn epoch_of(&self, sequence: u64) -> Option<u64> {
        let raft = &self.raw.raft.raft_log;
        if sequence > raft.last_index() || sequence + 1 < raft.first_index() {
            return None;
        }
        raft.term(sequence).ok()
    }

    /// How the node stands.
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let age = if self.holds_lease(self.now.instant) && self.is_settled() {
            Some(Duration::ZERO)
        } else {
            self.stamps.fresh_since().map(|since| self.now.instant.duration_since(since))
        };
        let mut matched = Vec::new();
        if self.is_primary() {
            for node in self.members.nodes().filter(|node| *node != self.identity.node) {
                matched.push((node, raft.prs().get(node).map_or(0, |it| it.matched)));
            }
        }
        Status {
            role: self.role(),
            epoch: raft.term,
            primary: self.primary(),
            last: raft.raft_log.last_index(),
            committed: raft.raft_log.committed,
            applied: self.engine.state().sequence(),
            durable: self.engine.durable_sequence(),
            age,
            matched,
            tail_bytes: self.raw.store().tail_bytes(),
        }
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        if !self.takes_part() {
            return Role::Idle;
        }
        match self.raw.raft.state {
            StateRole::Leader => Role::Primary,
            _ if self.members.learners.contains(&self.identity.node) => Role::Learner,
            _ if !self.members.is_voter(self.identity.node) => Role::Idle,
            StateRole::Follower => Role::Replica,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        }
    }

    /// The primary, as far as this node knows.
    pub fn primary(&self) -> Option<u64> {
        match self.raw.raft.leader_id {
            0 => None,
            _ if !self.takes_part() => None,
            node => Some(node),
        }
    }

    /// Closes the log in order; what is in it is still to be flushed. A primary hands over before, or the others wait for
    /// its promises to end.
    pub fn close(&mut self, now: Now) {
        self.engine.note_commit(Sequence(self.engine.state().sequence()), now);
        self.calls.end_all(&Denied::Refused(Error::State { what: "node", detail: "was closed".into() }));
        self.engine.close(now);
    }

    /// Whether all that the log took is on disk, or it has stopped.
    pub fn is_drained(&self) -> bool {
        self.engine.is_drained()
    }

    fn is_primary(&self) -> bool {
        self.takes_part() && self.raw.raft.state == StateRole::Leader
    }

    fn takes_part(&self) -> bool {
        matches!(self.standing, Standing::Active | Standing::Forgetful { .. })
    }

    /// Nobody else votes.
    fn is_alone(&self) -> bool {
        self.members.voters.len() == 1
            && self.members.voters.contains(&self.identity.node)
            && !self.members.is_joint()
            && self.standing == Standing::Active
    }

    /// Whether the first entry of this primary's reign is applied.
    fn is_settled(&self) -> bool {
        self.is_primary() && self.engine.state().sequence() >= self.reign_from
    }

    fn lease_until(&self, now: Instant) -> Option<Instant> {
        self.stamps.lease_until(&self.members, self.identity.node, self.options.lease(), now)
    }

    fn header(&mut self, to: u64) -> Header {
        let stamp = self.stamps.next(self.now.instant);
        let raft = &self.raw.raft;
        let vouches = self.holds_lease(self.now.instant) && self.is_settled();
        #[cfg(feature = "sim")]
        let vouches =
            vouches || (self.is_planted(super::planted::Plant::FreshByHearsay) && self.is_primary());
        Header {
            cluster: self.identity.cluster,
            from: self.identity.node,
            to,
            boot: self.boot,
            generation: self.members.generation,
            epoch: raft.term,
            leader: raft.leader_id,
            stamp,
            echo: self.stamps.echo_for(to),
            attest: if vouches { raft.raft_log.committed + 1 } else { 0 },
            forgot: match self.standing {
                Standing::Forgetful { incarnation } => incarnation,
                _ => 0,
            },
        }
    }

    fn fail(&mut self, error: Error) {
        if matches!(self.standing, Standing::Failed(_)) {
            return;
        }
        self.calls.end_all(&Denied::Refused(error.clone()));
        self.standing = Standing::Failed(error);
        self.leave_part();
    }

    fn fence(&mut self, fence: Fence) {
        if !self.takes_part() {
            return;
        }
        self.standing = Standing::Fenced(fence.clone());
        self.calls.end_all(&Denied::Fenced(fence.clone()));
        self.events.push_back(Event::Fenced(fence));
        self.leave_part();
    }

    fn leave_part(&mut self) {
        self.transfer = None;
        self.outgoing.clear();
        self.persisting.clear();
        let (role, epoch) = (self.role(), self.raw.raft.term);
        self.events.push_back(Event::Role { role, epoch, primary: None });
    }

    #[cfg(feature = "sim")]
    fn is_planted(&self, plant: super::planted::Plant) -> bool {
        self.options.planted == Some(plant)
    }
}

/// What a node writes down about itself beside who is in the cluster: in the log's membership records.
#[derive(Debug, Default)]
struct Local {
    /// It has forgotten something, and asks to be taken in under this number; 0: it has not.
    incarnation: u64,
    membership: Membership,
}

impl Local {
    fn encode(&self) -> Vec<u8> {
        let mut to = vec![1];
        put_u64(&mut to, self.incarnation);
        to.extend_from_slice(&self.membership.encode());
        to
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, Fault> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut from = Reader(bytes);
        match from.u8()? {
            1 => {}
            version => return Err(Fault::Newer { version: u16::from(version) }),
        }
        let incarnation = from.u64()?;
        Ok(Self { incarnation, membership: Membership::decode(from.0)? })
    }
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
    nodes: &[(u64, bool, Vec<u8>)],
    now: Now,
) -> Result<Membership> {
    let node = engine.identity().node;
    let mut nodes = nodes.to_vec();
    nodes.sort();
    if !nodes.iter().any(|(number, ..)| *number == node) {
        return Err(Error::invalid(
            "nodes",
            format!("node {node} is not among those that begin the cluster"),
        ));
    }
    let is_alone = nodes.len() == 1;
    if !is_alone && found.last != Sequence(0) {
        let why = "there is a store in the directory already: begin with this node alone, and add the others";
        return Err(Error::invalid("nodes", why));
    }
    let change = Change::Initial { generation: 1, nodes };
    Change::decode(&change.encode()).map_err(|fault| Error::invalid("nodes", fault.to_string()))?;
    write_initial(engine, found, &Membership::default(), &change, now)
}

/// Writes down that this node alone votes from now on.
fn promote(
    engine: &mut Engine,
    found: &mut Found,
    members: &Membership,
    node: u64,
    now: Now,
) -> Result<Membership> {
    if !members.nodes().any(|it| it == node) {
        let why = format!("node {node} is in no cluster, so it cannot be made its primary");
        return Err(Error::invalid("promote", why));
    }
    let about = |it: &u64| members.about.get(it).cloned().unwrap_or_default();
    let learners = members.learners.iter().filter(|it| **it != node);
    let mut nodes: Vec<_> = learners.map(|it| (*it, false, about(it))).collect();
    nodes.push((node, true, about(&node)));
    nodes.sort();
    let change = Change::Initial { generation: members.generation + 1, nodes };
    write_initial(engine, found, members, &change, now)
}

/// Appends it, takes all before it for committed, and applies that.
fn write_initial(
    engine: &mut Engine,
    found: &mut Found,
    before: &Membership,
    change: &Change,
    now: Now,
) -> Result<Membership> {
    let epoch = Epoch(found.vote.epoch.max(engine.log().state().epoch).0 + 1);
    let payload = change.encode();
    let sequence = engine.append_entry(epoch, &payload, now)?.sequence;
    engine.append_vote(Vote { epoch, node: 0 }, now)?;
    engine.note_commit(sequence, now);
    for entry in std::mem::take(&mut found.uncommitted) {
        engine.apply_entry(entry.sequence, entry.epoch, &entry.payload)?;
    }
    engine.apply_entry(sequence, epoch, &payload)?;
    engine.publish();
    found.epochs.push((sequence, epoch));
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
    let config = Config {
        id: node,
        election_tick: options.election_ticks as usize,
        heartbeat_tick: options.heartbeat_ticks as usize,
        applied: found.applied.0,
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
