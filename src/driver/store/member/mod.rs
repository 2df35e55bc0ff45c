//! [`Member`]: a node of a cluster as what a store stands on: its consensus, the calls that are for the primary, who the
//! others are.
//!
//! It is behind the store's lock, and touches neither disk nor socket: threads take what is to be done and say how it went,
//! as with a store of one node; one more has the links (`peers`), and one reads old entries and writes snapshots that come
//! from others (`catching`). None of them has the lock while it works.
//!
//! | file | owns |
//! |---|---|
//! | `options` | what a member is told; numbers of nodes |
//! | `place` | whose a directory is, and whether it is a copy |
//! | `messages` | what clients publish, to other nodes and from them |
//! | `certificates` | certificates that are renewed |
//! | `calls` | who asked for what, and where it is |
//! | `held` | calls that wait to be sent, those of each connection in its order |
//! | `passed` | writes of other nodes' that wait until this primary has room |
//! | `routing` | the way of a call: here, held, passed on, back |
//! | `people` | names, addresses, who is linked |
//! | `peers` | the thread that has the links |
//! | `catching` | the thread for what nodes that are behind need |
//! | `joining` | opening |
//! | `mending` | a directory that is damaged when it is opened |
//! | `marking` | what is said of a directory that nobody has open |
//! | `forgetting` | a directory whose log is cut off by hand |
//! | `promoting` | promotion by force of a directory that nobody has open |
//! | `deciding` | who waits until what was answered here is decided |
//! | `looking` | reads that are done here, or by the primary |
//! | `changes` | who is in the cluster, who is primary: asked for and told |
//! | `reads` | how fresh what a read sees is |
//! | `sight` | whether readers may do without the lock |
//! | `refusals` | who was not let in, whose frames were not taken, and why |
//! | `progress` | how far other nodes are, and telling them |
//! | `telling` | what Redis clients are told of the cluster |
//! | `trouble` | what is wrong with the node, in words |
//! | `news` | what happens, for those who follow it |

mod calls;
mod catching;
mod certificates;
mod changes;
mod deciding;
#[cfg(feature = "cli")]
mod forgetting;
mod held;
mod joining;
mod kept;
mod looking;
mod marking;
mod mending;
mod messages;
mod news;
mod options;
mod passed;
mod peers;
mod people;
mod place;
mod progress;
mod promoting;
mod reads;
mod refusals;
mod routing;
mod sight;
mod telling;
mod trouble;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use self::calls::{Calls, Left, Local, READ};
use self::certificates::Renewals;
use self::changes::Held;
pub use self::changes::{ClusterStatus, NodeStatus};
use self::deciding::Deciding;
#[cfg(feature = "cli")]
pub(crate) use self::forgetting::{Forgetting, forgetting, mark_forgetting};
use self::kept::{Answered, What};
pub use self::marking::{Marked, look_at_directory, mark_directory};
use self::messages::Messages;
use self::news::News;
pub use self::news::{ClusterEvent, ClusterEvents};
pub use self::options::{Beginning, ClusterOptions, Directory, MemberOptions, ReadLevel};
use self::peers::Outbound;
use self::people::People;
pub use self::promoting::{Promoted, promote_directory};
pub use self::reads::Read;
use self::refusals::Refusals;
pub(super) use self::sight::{Noticed, Sight, Standpoint};
use super::ground::Reply;
use crate::driver::peer::Waker;
use crate::error::{Error, Result};
use crate::peer::Class;
use crate::replication::progress::Progress;
use crate::replication::relay::{self, Relay};
use crate::replication::{Answer, Completion, Denied, Event, Fetch, InstallJob, Node, Position, Role};
use crate::store::engine::{Durability, Engine, Now, Ticket};
use crate::store::index::{self, Command, Operation, Outcome, Settings, Timestamp};
use crate::store::log;
use crate::time::Instant;

/// See the module.
pub(in crate::driver) struct Member {
    node: Node,
    own: u64,
    options: ClusterOptions,
    /// What the primary gives the cluster's settings to be.
    settings: Settings,
    people: People,
    calls: Calls,
    syncs: VecDeque<(log::Ticket, u64, Ticket)>,
    replies: VecDeque<(Ticket, Result<Reply>)>,
    /// For other nodes, beside the node's own frames.
    out: VecDeque<Outbound>,
    messages: Messages,
    pub(super) news: News,
    sight: Arc<Sight>,
    held: Option<Held>,
    deciding: Deciding,
    pub(super) fetches: VecDeque<Fetch>,
    pub(super) install: Option<InstallJob>,
    waker: Waker,
    /// The thread with the links was woken, or looks by itself.
    is_rung: bool,
    /// When deadlines are looked at next.
    sweeps_at: Instant,
    /// Since when this node's writes wait for a primary to decide on them.
    lapsed_at: Option<Instant>,
    /// Nothing is passed on before then.
    routes_at: Instant,
    /// By lane: since which standing still of the process its loop has looked who of its clients has left.
    looked: BTreeMap<usize, u64>,
    /// When others are asked next who is primary, where this node has forgotten that.
    asks_at: Instant,
    /// The settings are to be compared with the primary's.
    is_newly_primary: bool,
    /// The role that was told last.
    told_role: Role,
    /// Whether it held its quorum as primary when that was told last.
    told_reign: bool,
    /// What Redis clients are told of the cluster has changed.
    is_topology_new: bool,
    /// How many writes were degraded when that was told last.
    told_degraded: u64,
    /// How far the others were when that was told last.
    told_progress: u64,
    progress: Progress,
    renewals: Renewals,
    /// Other nodes have said how far they are.
    is_reported: bool,
    /// The time in the log that readers know.
    shown_time: Timestamp,
    is_closed: bool,
    /// The system has failed the thread with the links.
    is_cut_off: bool,
    refusals: Refusals,
    unsent_frames: u64,
    /// Something on disk was found damaged, and that was not told to be over.
    was_mending: bool,
    /// Openings at which the directory was damaged, and was mended.
    pub(super) mended: u64,
}

/// How many reads of old entries wait to be done.
const FETCHES_MAX: usize = 2;

impl Member {
    pub(super) fn engine(&self) -> &Engine {
        self.node.engine()
    }

    /// The last entry of the log, with those that are on their way into it.
    pub(super) fn last_taken(&self) -> u64 {
        self.node.last_proposed()
    }

    pub(super) fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Tells a caller.
    fn reply(&mut self, ticket: Ticket, result: Result<Reply>) {
        if let Ok(Reply { epoch: epoch @ 1.., sequence, .. }) = result {
            self.deciding.note(Position { epoch, sequence });
        }
        self.replies.push_back((ticket, result));
    }

    pub(super) fn poll_reply(&mut self) -> Option<(Ticket, Result<Reply>)> {
        self.replies.pop_front()
    }

    /// Asks to be told when all that the log has is on this disk.
    pub(super) fn submit_sync(&mut self) -> Result<Ticket> {
        if let Some(failure) = self.engine().failure() {
            return Err(failure.clone());
        }
        let ticket = self.calls.ticket();
        // Entries are on their way in any case; what stands beside them waits for company.
        self.node.want_flush();
        let log = self.node.engine().log();
        let (record, sequence) = (log.last_ticket(), self.node.engine().last_sequence());
        self.syncs.push_back((record, sequence, ticket));
        Ok(ticket)
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        if !self.is_closed {
            self.node.handle_timeout(now);
        }
    }

    pub(super) fn next_deadline(&self, now: Now) -> Option<Instant> {
        if self.is_closed { None } else { self.node.next_deadline(now) }
    }

    /// Takes nothing more, and tells all who wait.
    pub(super) fn close(&mut self, now: Now) {
        self.is_closed = true;
        self.sight.set(None);
        self.refuse_passed();
        self.node.close(now);
        self.take_completions(now);
        if let Some(ticket) = self.take_held_change() {
            self.reply(ticket, Err(super::shared::closed()));
        }
        for ticket in self.deciding.take_all() {
            self.reply(ticket, Err(super::shared::closed()));
        }
        for (ticket, is_doubtful) in self.calls.take_all() {
            let why = if is_doubtful { Error::UnknownOutcome } else { super::shared::closed() };
            self.reply(ticket, Err(why));
        }
    }

    /// Does what follows from all that was told since the last time.
    pub(super) fn advance(&mut self, now: Now) {
        if !self.is_closed {
            self.node.advance(now);
            self.people.note_generation(self.node.durable_generation());
            self.take_events();
            self.take_completions(now);
            self.change_when_ready(now);
            if self.route(now) {
                self.node.advance(now);
                self.take_completions(now);
            }
            self.configure(now);
            self.follow_mending();
            self.follow_deciding(now.instant);
            self.seek_primary(now.instant);
            if self.is_cut_off {
                self.drop_out(now);
            }
            self.sweep(now.instant);
            self.show(now);
            self.report(now.instant);
            while self.fetches.len() < FETCHES_MAX
                && let Some(fetch) = self.node.poll_fetch()
            {
                self.fetches.push_back(fetch);
            }
            if self.install.is_none() {
                self.install = self.node.poll_install();
            }
        }
        let applied = self.node.state().sequence();
        while let Some((ticket, reply)) = self.calls.arrived(applied) {
            self.reply(ticket, Ok(reply));
        }
        self.answer_syncs();
    }

    /// One that has forgotten something, or has nothing, may be linked with others than the primary alone.
    fn seek_primary(&mut self, now: Instant) {
        if now >= self.asks_at && self.node.seeks_primary() {
            let replication = &self.options.replication;
            self.asks_at = now.saturating_add(replication.tick * replication.election_ticks);
            for number in self.people.linked().collect::<Vec<_>>() {
                self.node.ask_for_primary(number);
            }
        }
    }

    /// Shows readers what they see without the lock.
    fn show(&mut self, now: Now) {
        match self.node.next_deadline(now) {
            // Each loop is to look who has left meanwhile.
            Some(_) => self.is_topology_new |= self.sight.beat(now.instant),
            // It has no turns any more.
            None => self.sight.rest(),
        }
        self.sight.set(self.node.reign(now.instant));
        let is_primary = self.node.role() == Role::Primary;
        self.sight.set_standing(is_primary, self.node.fresh_since());
        self.sight.set_alone(self.node.members().voters.iter().eq([&self.own]));
        let time = self.node.state().time();
        if time > self.shown_time {
            self.shown_time = time;
            self.sight.set_clock(time, now.instant);
        }
        let reigns = self.sight.reign().is_some();
        self.is_topology_new |= std::mem::replace(&mut self.told_reign, reigns) != reigns;
        let degraded = self.node.degraded_writes();
        self.is_topology_new |= std::mem::replace(&mut self.told_degraded, degraded) != degraded;
    }

    /// Whether the thread with the links has something to send.
    pub(super) fn has_out(&self) -> bool {
        !self.out.is_empty() || !self.people.orders.is_empty() || self.node.has_frame()
    }

    /// Wakes the thread with the links, if it has something to do and does not know.
    pub(super) fn ring(&mut self, is_over: bool) {
        if is_over || (!self.is_rung && self.has_out()) {
            self.is_rung = true;
            // It refuses only when the loop is gone.
            let _ = self.waker.wake();
        }
    }

    /// Something that lies on disk was found damaged by reading it again.
    pub(super) fn handle_damage(&mut self, segment: Option<u64>, found: &Error, now: Now) {
        self.node.handle_damage(segment, now);
        self.was_mending = true;
        let why = "a snapshot of what is in memory takes its place, once all that lies there is committed";
        let (file, offset, what) = match found {
            Error::Corrupt(damage) => (damage.file.clone(), damage.offset, damage.what.to_string()),
            other => (String::new(), 0, other.to_string()),
        };
        self.tell(ClusterEvent::Damaged { file, offset, detail: format!("{what}; {why}") });
    }

    /// Tells once what was damaged is so no more.
    fn follow_mending(&mut self) {
        if self.was_mending && !self.engine().is_mending() {
            self.was_mending = false;
            let sequence = self.engine().snapshot_sequence();
            self.tell(ClusterEvent::Mended { sequence });
        }
    }

    fn answer_syncs(&mut self) {
        let engine = self.node.engine();
        let (durable, failure) = (engine.log().durable(), engine.failure().cloned());
        while let Some((record, sequence, ticket)) = self.syncs.front().copied() {
            let result = match &failure {
                Some(failure) => Err(failure.clone()),
                None if record <= durable => Ok(plain(sequence, 0, Durability::Local)),
                None => return,
            };
            self.syncs.pop_front();
            self.reply(ticket, result);
        }
    }

    /// A primary sees to it that the cluster's settings are its own, and its time is known.
    fn configure(&mut self, now: Now) {
        if !self.is_newly_primary || self.node.reign(now.instant).is_none() {
            return;
        }
        self.is_newly_primary = false;
        // Even if they are: all nodes learn what time it is.
        let operation = Operation::Configure(self.settings);
        let command = Command { time: Timestamp::default(), request: None, operation };
        // If it comes to nothing the next primary does it.
        let _ = self.node.submit(&command, None, None, now);
    }

    fn take_completions(&mut self, now: Now) {
        while let Some(Completion { ticket, result }) = self.node.poll_completion() {
            match self.calls.local.remove(&ticket) {
                None => {}
                Some(Local::Write { ticket }) => {
                    if result.is_ok() {
                        self.calls.note_done(now.instant);
                    }
                    let result = result.map(reply_of).map_err(|why| self.error(why));
                    self.reply(ticket, result);
                }
                Some(Local::Other { ticket, what }) => {
                    let result = result.map(reply_of).map_err(|why| match why {
                        Denied::TimedOut => Error::TimedOut { what },
                        why if what == READ => self.not_read(why),
                        why => self.error(why),
                    });
                    self.reply(ticket, result);
                }
                Some(Local::Read(call)) => match result {
                    Ok(answer) => self.reply(call.ticket, Ok(reply_of(answer))),
                    Err(why) => self.came_to_nothing(call, why, now.instant),
                },
                Some(Local::Here(call)) => match result {
                    Ok(answer) => self.reply(call.ticket, Ok(reply_of(answer))),
                    Err(why) => self.look_elsewhere(*call, why, now),
                },
                Some(Local::Look { call, is_granted }) => self.looked(call, is_granted, result, now),
                Some(Local::RemoteLook { node, id, looking, deadline, is_granted }) => {
                    self.served_look((node, id), looking, deadline, is_granted, result, now);
                }
                Some(Local::Remote { node, id, is_read, until }) => {
                    self.calls.end_remote(node);
                    let relay = self.answer_for(result, is_read);
                    self.say_answer(node, Answered { id, is_read, until }, &relay);
                }
            }
        }
    }

    /// What another node is told.
    fn answer_for(&self, result: std::result::Result<Answer, Denied>, is_read: bool) -> Relay {
        match result {
            Ok(Answer::Written(done)) => Relay::Written(Ok(done)),
            Ok(Answer::Read(granted)) => Relay::Granted(Ok(self.place_of(granted.sequence))),
            Ok(Answer::Changed(_) | Answer::HandedOver) => Relay::Written(Err(Denied::Unknown)),
            Err(why) if is_read => Relay::Granted(Err(why)),
            Err(why) => Relay::Written(Err(why)),
        }
    }

    /// Tells another node something.
    ///
    /// - `id`: the number of the call of that one's which it answers; 0: none.
    fn say(&mut self, to: u64, id: u64, relay: &Relay) {
        self.send(to, What::Word, id, relay);
    }

    /// Tells another node what came of a call of its.
    fn say_answer(&mut self, to: u64, answer: Answered, relay: &Relay) {
        self.send(to, What::Answer(answer), answer.id, relay);
    }

    fn send(&mut self, to: u64, what: What, id: u64, relay: &Relay) {
        self.out.push_back(Outbound { to, what, class: Class::Normal, bytes: relay::encode(id, relay) });
    }

    /// Nobody waits for a read any more.
    pub(in crate::driver::store) fn forget_read(&mut self, ticket: Ticket) {
        match self.calls.forget_read(ticket) {
            None => {}
            Some(Left::Here(ticket)) => self.node.forget_read(ticket),
            Some(Left::There { node, id }) => self.say(node, id, &Relay::Forget),
        }
    }

    /// Passes a call of this node's on.
    fn ask(&mut self, to: u64, id: u64, relay: &Relay) {
        self.send(to, What::Call(id), id, relay);
    }

    fn take_events(&mut self) {
        while let Some(event) = self.node.poll_event() {
            let name = |number| self.people.name(number);
            let told = match event {
                Event::Role { role, epoch, primary } => {
                    self.told_role = role;
                    self.is_newly_primary |= role == Role::Primary;
                    let primary_name = primary.map(name);
                    self.primary_changed(primary);
                    ClusterEvent::Role { role, epoch, primary: primary_name }
                }
                Event::Members(members) => {
                    self.people.take(&members);
                    let name = |number: &u64| self.people.name(*number);
                    ClusterEvent::Members {
                        voters: members.voters.iter().map(name).collect(),
                        learners: members.learners.iter().map(name).collect(),
                    }
                }
                Event::Fenced(fence) => ClusterEvent::Fenced { detail: fence.describe() },
                Event::Forgetful => ClusterEvent::Forgetful,
                Event::Readmitted => ClusterEvent::Readmitted,
                Event::Differs { node, sequence } => ClusterEvent::Differs { node: name(node), sequence },
                Event::TwoProcesses { node } => ClusterEvent::TwoProcesses { node: name(node) },
                Event::SlowDisk { to } => ClusterEvent::SlowDisk { to: name(to) },
                Event::Degraded { nodes, sequence } => {
                    ClusterEvent::Degraded { nodes: nodes.into_iter().map(name).collect(), sequence }
                }
                Event::Recovered { writes } => ClusterEvent::Recovered { writes },
                Event::Source { node } => ClusterEvent::Source { node: node.map(name) },
                Event::Installed { sequence } => ClusterEvent::Installed { sequence },
                Event::InstallFailed { from, error } => ClusterEvent::Refused {
                    node: Some(name(from)),
                    detail: format!("the snapshot that it sends cannot be kept here: {error}"),
                },
            };
            self.tell(told);
        }
        // A learner with a vote is a replica, though nothing but the membership has changed.
        let role = self.node.role();
        if role != self.told_role {
            self.told_role = role;
            let status = self.node.status();
            let primary = status.primary.map(|it| self.people.name(it));
            self.tell(ClusterEvent::Role { role, epoch: status.epoch, primary });
        }
    }

    fn tell(&mut self, event: ClusterEvent) {
        self.is_topology_new = true;
        self.news.tell(event);
    }

    /// What a refusal is to a caller.
    fn error(&self, why: Denied) -> Error {
        let state = |detail: String| Error::State { what: "node", detail: detail.into() };
        match why {
            Denied::NotPrimary { primary } => {
                Error::NotPrimary { primary: primary.map(|it| self.people.name(it)) }
            }
            Denied::NoQuorum => Error::NoQuorum,
            Denied::Busy(what) => {
                Error::State { what: "cluster", detail: format!("is busy with {what}; ask again").into() }
            }
            Denied::Refused(error) => error,
            Denied::Superseded => Error::Superseded,
            Denied::Unknown => Error::UnknownOutcome,
            Denied::TimedOut => Error::TimedOut { what: "write" },
            Denied::Lost => Error::State {
                what: "position",
                detail: "was lost with a primary: what it speaks of had been answered at memory or local, or a node without it was \
                         promoted by force"
                    .into(),
            },
            Denied::Fenced(fence) => state(fence.describe()),
        }
    }
}

/// What an answer of the node is to a caller.
fn reply_of(answer: Answer) -> Reply {
    match answer {
        Answer::Written(done) => {
            let sequence = done.position.sequence;
            // Answered before it was applied: it is none whose answer says more.
            let early = || Outcome {
                sequence,
                is_repeated: false,
                answer: Ok(index::Answer::Put { previous: None }),
            };
            Reply {
                outcome: Some(done.outcome.unwrap_or_else(early)),
                sequence,
                epoch: done.position.epoch,
                durability: done.reached.durability,
                nodes: done.reached.nodes,
                is_degraded: done.reached.is_degraded,
            }
        }
        Answer::Read(granted) => plain(granted.sequence, 0, Durability::Quorum),
        Answer::Changed(position) => plain(position.sequence, position.epoch, Durability::Quorum),
        Answer::HandedOver => plain(0, 0, Durability::Quorum),
    }
}

/// A reply to what was no command.
fn plain(sequence: u64, epoch: u64, durability: Durability) -> Reply {
    Reply { outcome: None, sequence, epoch, durability, nodes: 0, is_degraded: false }
}
