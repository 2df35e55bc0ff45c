//! [`Node`]: one node of a cluster.

mod calls;
mod care;
mod catchup;
mod changes;
mod degrading;
mod drive;
mod feeding;
mod founding;
mod incoming;
mod long_entries;
mod open;
mod outbox;
mod outgoing;
mod pace;
mod reads;
mod receive;
mod room;
mod source;
mod status;
#[cfg(all(test, feature = "sim"))]
mod tests;
mod transfer;
mod writes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use raft::{RawNode, StateRole};

use self::calls::Calls;
pub use self::calls::{Answer, Bound, Completion, Denied, Done, Granted, Level, Position, Reached, Ticket};
pub use self::catchup::Fetch;
use self::catchup::Fetching;
use self::degrading::Degrading;
use self::drive::Persisting;
use self::feeding::Feeding;
use self::founding::Founding;
pub use self::incoming::InstallJob;
use self::incoming::{FailedInstall, Incoming};
use self::long_entries::LongEntries;
pub(super) use self::open::membership_in_record;
pub use self::open::{Report, Start};
use self::outbox::Outbox;
use self::outgoing::Outgoing;
use self::pace::Pace;
use self::receive::Process;
use self::room::Room;
use self::source::Source;
pub use self::status::{Event, Fence, Role, Standing, Status};
use self::transfer::{Summons, Transfer};
use super::frame::{self, Header};
use super::hashes::Hashes;
use super::lease::Stamps;
use super::membership::{Change, Membership};
use super::message::Body;
use super::options::Options;
use super::storage::Storage;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::store::engine::{Engine, Now, SnapshotJob};
use crate::store::index::{self, State};
use crate::store::log::{self, File, Flush, Identity, Sequence, Upkeep, Written};
use crate::time::Instant;

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
    /// The generation of a promotion by force that put this node out, as far as it knows; 0: of none.
    put_out: u64,
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
    long_entries: LongEntries,
    processes: BTreeMap<u64, Process>,
    /// Nodes that have said that they have forgotten something, and the number they gave.
    forgetful: BTreeMap<u64, u64>,
    /// Nodes that said so last.
    flagged: BTreeSet<u64>,
    founding: Founding,
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
    failed_install: Option<FailedInstall>,
    installed: Option<(Written, State, Membership)>,
    fetching: Fetching,
    /// Who feeds this node.
    source: Source,
    /// Whom this node feeds.
    feeding: Feeding,
    pace: Pace,
    hashes: Hashes,
    room: Room,
    degrading: Degrading,
    /// An expiry proposed and not applied.
    expiring: Option<(u64, u64)>,
    flush_since: Option<Instant>,
    /// This primary hands over by itself no earlier than then.
    hands_over_from: Instant,
    /// How many that it began by itself in a row came to nothing.
    failed_handovers: u32,
    /// It was told to take over, and could not yet.
    summons: Option<Summons>,
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
        self.handle_link(node);
        self.handle_unsent(node);
    }

    /// The link to a node is a new one, or gone: nothing is on its way to it.
    pub fn handle_link(&mut self, node: u64) {
        self.long_entries.forget(node);
        self.refeed(node);
    }

    /// A frame for a node did not leave. Others may be on their way.
    pub fn handle_unsent(&mut self, node: u64) {
        self.raw.report_unreachable(node);
        self.snapshot_unreachable(node);
        self.source_unreachable(node);
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

    /// How a write to disk went; `name` is [`Disk::name`](log::Disk::name).
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
        self.drop_overtaken();
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
    ///
    /// - `segment`: the last that is damaged; `None`: it is the snapshot.
    pub fn handle_damage(&mut self, segment: Option<u64>, now: Now) {
        self.engine.handle_damage(segment, now);
    }

    /// Has all that the log took written to disk now, that too which nobody waits for.
    pub fn want_flush(&mut self) {
        self.engine.want_flush();
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

    /// The epoch of which this node is primary, whether it holds its quorum or not; `None`: it is none.
    pub fn ruled_epoch(&self) -> Option<u64> {
        (self.role() == Role::Primary).then_some(self.raw.raft.term)
    }

    /// As of when what is applied here is all that was committed, by this node's clock, as far as that is known.
    pub fn fresh_since(&self) -> Option<Instant> {
        self.stamps.fresh_since()
    }

    /// The sequence that the write submitted last will have, unless something comes between: an election, an entry of the
    /// primary's own.
    pub fn last_proposed(&self) -> u64 {
        self.raw.raft.raft_log.last_index() + self.calls.writes.proposed() as u64
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

    /// Closes the log in order; what is in it is still to be flushed. A primary hands over before, or the others wait for
    /// its promises to end.
    pub fn close(&mut self, now: Now) {
        self.engine.note_commit(Sequence(self.engine.state().sequence()), now);
        let why = Denied::Refused(Error::State { what: "node", detail: "was closed".into() });
        self.end_transfer(why.clone());
        self.calls.end_all(&why);
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
        matches!(self.standing, Standing::Active | Standing::Founding | Standing::Forgetful { .. })
    }

    /// Nobody else votes.
    fn is_alone(&self) -> bool {
        self.members.voters.len() == 1
            && self.members.voters.contains(&self.identity.node)
            && !self.members.is_joint()
            && self.standing == Standing::Active
    }

    /// Whether this is a primary, and the first entry of its reign is still to be applied.
    pub fn is_settling(&self) -> bool {
        self.is_primary() && !self.is_settled()
    }

    /// Whether the first entry of this primary's reign is applied.
    fn is_settled(&self) -> bool {
        self.is_primary() && self.engine.state().sequence() >= self.reign_from
    }

    /// Whether a node's vote is to be counted on, as far as this one knows: a primary has heard of each since it is primary.
    /// Who has forgotten what it promised, or may yet say so, has none.
    pub fn has_vote(&self, node: u64) -> bool {
        if !self.members.is_voter(node) {
            return false;
        }
        if node == self.identity.node {
            return self.standing == Standing::Active;
        }
        let has_answered = || self.raw.raft.prs().get(node).is_some_and(|it| it.matched >= self.reign_from);
        !self.forgetful.contains_key(&node) && (!self.is_primary() || has_answered())
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
        if let Fence::OldGeneration { generation } = fence {
            self.note_put_out(generation);
        }
        self.calls.end_all(&Denied::Fenced(fence.clone()));
        self.events.push_back(Event::Fenced(fence));
        self.leave_part();
    }

    /// Writes down that a promotion by force put this node out: it may be started again where nobody is there to tell it. What it has
    /// seen as committed is written down too, since nothing comes to be committed then.
    fn note_put_out(&mut self, generation: u64) {
        #[cfg(feature = "sim")]
        if self.is_planted(super::planted::Plant::ForgottenFence) {
            return;
        }
        self.put_out = generation;
        self.engine.note_commit(Sequence(self.engine.state().sequence()), self.now);
        self.write_membership();
    }

    fn leave_part(&mut self) {
        self.end_transfer(self.not_primary());
        self.outgoing.clear();
        self.feeding.clear();
        self.persisting.clear();
        let (role, epoch) = (self.role(), self.raw.raft.term);
        self.events.push_back(Event::Role { role, epoch, primary: None });
    }

    #[cfg(feature = "sim")]
    fn is_planted(&self, plant: super::planted::Plant) -> bool {
        self.options.planted == Some(plant)
    }
}
