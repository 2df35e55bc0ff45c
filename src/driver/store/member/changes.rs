//! Who is in the cluster, and who is primary: asked for, and told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Member;
use super::calls::{CHANGE, HANDOVER, Local};
use super::options::number_of;
use super::people::about;
use crate::driver::store::Store;
use crate::driver::store::answer;
use crate::driver::store::owner::{Owner, Slot, Submitted};
use crate::driver::store::shared::{closed, deadline, now};
use crate::error::{Error, Result};
use crate::peer::NodeName;
use crate::replication::{Change, Denied, Position, Role, Standing};
use crate::store::engine::{Now, Ticket};
use crate::time::Instant;

/// How a cluster is, as this node sees it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// The cluster's name.
    pub cluster: String,
    /// This node's name.
    pub node: String,
    /// What it is.
    pub role: Role,
    /// Whether it may be believed.
    pub standing: Standing,
    /// Why it takes no part, and what to do, if so.
    pub trouble: Option<String>,
    /// The epoch.
    pub epoch: u64,
    /// Counts promotions by force.
    pub generation: u64,
    /// The primary, as far as it knows.
    pub primary: Option<String>,
    /// Where clients reach that, as far as it said.
    pub primary_address: Option<String>,
    /// The last entry of the log.
    pub last: u64,
    /// The last that is committed, as far as it knows.
    pub committed: u64,
    /// The last that is applied: what this node shows.
    pub applied: u64,
    /// The last that is on its disk.
    pub durable: u64,
    /// How old what is applied may be; `None` when that is not known. Zero on a primary that holds its quorum.
    pub age: Option<Duration>,
    /// How long nobody else can be primary; `None` when this node is not, or does not hold its quorum.
    pub lease: Option<Duration>,
    /// All nodes, this one too, in the order of their numbers.
    pub nodes: Vec<NodeStatus>,
    /// Calls that wait for a primary.
    pub held: usize,
    /// Calls passed on to the primary and not answered.
    pub forwarded: usize,
    /// Frames of other nodes that were refused; `trouble` of the node says why.
    pub refused_frames: u64,
    /// Frames that did not leave, since there was no link or too much waited.
    pub unsent_frames: u64,
    /// Connections of others that were refused for what they said, or for what this node is: see `last_refusal`.
    pub refused_peers: u64,
    /// Who was refused last, from where and why.
    pub last_refusal: Option<String>,
    /// Writes answered with fewer nodes than they asked for, since this node was opened: see `degrade_after`.
    pub degraded_writes: u64,
    /// Whether that is so at present: this primary's last such write is not yet on as many nodes as it asked for.
    pub is_degraded: bool,
}

/// A node of the cluster, as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Where it listens; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// Where its clients reach it, as far as it said.
    pub client_address: Option<String>,
    /// It votes.
    pub is_voter: bool,
    /// It is the primary.
    pub is_primary: bool,
    /// There is a link to it, or it is this node.
    pub is_linked: bool,
    /// The last entry known to be on its disk; on a primary, and of this node, only.
    pub matched: Option<u64>,
    /// How many entries it is behind; on a primary only.
    pub lag: Option<u64>,
    /// Who feeds it instead of the primary, as far as this node knows: a primary, the one that is fed, and the one that feeds
    /// do.
    pub source: Option<String>,
    /// Why there is no link to it, or why its frames, or others that came under its name, were refused last; `None` once a
    /// link has come up since.
    pub trouble: Option<String>,
}

/// A change that is made as soon as it can be: a learner gets its vote when it has caught up, and nothing is changed before what
/// a reign begins with is committed.
#[derive(Debug)]
pub(super) struct Held {
    change: Change,
    ticket: Ticket,
    deadline: Instant,
}

/// # Clusters
///
/// Errors of all: `State` when it is in no cluster, or closed; `Forked`. Those that change something are asked of the primary,
/// one at a time, and wait while what its reign begins with is not committed: `NotPrimary` from others, `NoQuorum`, `State`
/// while it is busy with another change, `TimedOut` and `UnknownOutcome` when it is not known what came of it, `NotFound` for a
/// node that is not known.
impl Store {
    /// How the cluster is.
    pub fn cluster(&self) -> Result<ClusterStatus> {
        let mut core = self.shared()?.core.lock();
        Ok(core.member()?.status(now().instant))
    }

    /// Hands over to another voter, which has all of the log by then. Writes wait while that one is about to take over; while it
    /// does not answer, or is far behind, they go on. It is called off when it takes longer than `transfer_timeout` of the
    /// options, and by [`Store::abort_transfer`]; when `timeout` is over before, it goes on.
    ///
    /// `TimedOut` of a handover, for both; `State` when it was called off. It may have happened all the same:
    /// [`Store::cluster`] tells.
    pub fn transfer(&self, to: &str, timeout: Option<Duration>) -> Result<()> {
        self.ask_member(HANDOVER, timeout, |member, _, now| {
            let number = member.people.number(to)?;
            let local = member.node.transfer(number, now).map_err(|why| member.error(why))?;
            Ok(member.wait_for(local, HANDOVER))
        })
        .map(drop)
    }

    /// Calls off the handover that is under way; gives whether there was one. Whoever waits for it is told so, and writes go on.
    /// The other node may take over all the same, when it had been told to already; if it does not, this one is elected anew
    /// first, and until then there is no primary. `NotPrimary` from another node than the
    /// primary. Does not block.
    pub fn abort_transfer(&self) -> Result<bool> {
        let shared = self.shared()?;
        let mut core = shared.core.lock();
        if core.is_ending {
            return Err(closed());
        }
        let now = now();
        let member = core.member()?;
        let was_under_way = member.node.abort_transfer(now).map_err(|why| member.error(why))?;
        shared.settle(&mut core, now);
        Ok(was_under_way)
    }

    /// Takes a node in, which follows without a vote: see [`Store::promote_learner`]. It is opened with
    /// [`Beginning::Join`](super::Beginning::Join), before or after.
    ///
    /// - `address`: where it listens; `None`: nowhere, it dials the others.
    pub fn add(
        &self,
        name: &str,
        address: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Result<Position> {
        self.ask_member(CHANGE, timeout, |member, deadline, now| {
            let name: NodeName = name.parse()?;
            let node = number_of(&name);
            if let Some(address) = &address {
                member.people.check_address(node, *address)?;
                member.options.security.check("address", address)?;
            }
            if member.node.members().removed.contains(&node) {
                let why =
                    format!("{name} was removed, and each name is used once; choose another, as {name}b");
                return Err(Error::invalid("name", why));
            }
            let change = Change::AddLearner { node, about: about(&name, address) };
            member.change(change, deadline, now)
        })
    }

    /// Gives a learner a vote, as soon as it has caught up; waits for that until the time is over.
    pub fn promote_learner(&self, name: &str, timeout: Option<Duration>) -> Result<Position> {
        self.ask_member(CHANGE, timeout, |member, deadline, now| {
            let node = member.people.number(name)?;
            if !member.node.members().learners.contains(&node) {
                return Err(Error::invalid("node", format!("{name} is no learner")));
            }
            member.hold_change(Change::Promote { node }, deadline, now)
        })
    }

    /// Takes a node out, for good: its name is not used again. A primary is not taken out: have it hand over first.
    pub fn remove(&self, name: &str, timeout: Option<Duration>) -> Result<Position> {
        self.ask_member(CHANGE, timeout, |member, deadline, now| {
            let node = member.people.number(name)?;
            member.change(Change::Remove { node }, deadline, now)
        })
    }

    /// Gives the vote of a node that is lost to a learner that has caught up, and takes the other out: one change.
    pub fn replace(&self, lost: &str, with: &str, timeout: Option<Duration>) -> Result<Position> {
        self.ask_member(CHANGE, timeout, |member, deadline, now| {
            let (old, new) = (member.people.number(lost)?, member.people.number(with)?);
            member.change(Change::Replace { old, new }, deadline, now)
        })
    }

    pub(super) fn ask_member(
        &self,
        what: &'static str,
        timeout: Option<Duration>,
        ask: impl FnOnce(&mut Member, Instant, Now) -> Result<Ticket>,
    ) -> Result<Position> {
        let shared = self.shared()?;
        let timeout = timeout.unwrap_or(self.inner.options.timeout);
        let submitted = {
            let mut core = shared.core.lock();
            if core.is_ending {
                return Err(closed());
            }
            let now = now();
            let ticket = ask(core.member()?, deadline(timeout), now)?;
            match shared.settle_for(&mut core, Some(ticket), now) {
                Some(result) => Submitted::Done(answer::of(result)?),
                None => {
                    let slot = Arc::new(Slot::default());
                    core.owners.insert(ticket, Owner::Call(Arc::clone(&slot)));
                    Submitted::Waits(slot)
                }
            }
        };
        match submitted.into_answer(shared, timeout) {
            Ok(done) => Ok(done.position()),
            Err(Error::TimedOut { .. }) => Err(Error::TimedOut { what }),
            Err(error) => Err(error),
        }
    }

    /// Before it is closed a primary hands over to whoever can take over at once, if there is somebody. What comes of it
    /// does not matter: without it the others wait for this node's lease to end. Blocks until then, for twice an election's
    /// time at most.
    pub(crate) fn hand_over(&self) {
        let Ok(shared) = self.shared() else { return };
        let successor = {
            let mut core = shared.core.lock();
            core.member().ok().and_then(|member| {
                let options = &member.options.replication;
                Some((member.successor()?, 2 * options.tick * options.election_ticks))
            })
        };
        if let Some((name, most)) = successor {
            let _ = self.transfer(&name, Some(most.min(self.inner.options.timeout)));
        }
    }
}

impl Member {
    fn wait_for(&mut self, local: crate::replication::Ticket, what: &'static str) -> Ticket {
        let ticket = self.calls.ticket();
        self.calls.local.insert(local, Local::Other { ticket, what });
        ticket
    }

    fn change(&mut self, change: Change, deadline: Instant, now: Now) -> Result<Ticket> {
        if self.node.is_settling() {
            return self.hold_change(change, deadline, now);
        }
        match self.node.change(&change, Some(deadline), now) {
            Ok(local) => Ok(self.wait_for(local, CHANGE)),
            Err(why) => Err(self.refusal(why, &change)),
        }
    }

    /// Why a change is not made, by names: consensus knows numbers alone.
    fn refusal(&self, why: Denied, change: &Change) -> Error {
        if !matches!(why, Denied::Refused(_)) {
            return self.error(why);
        }
        let members = self.node.members();
        let is_known = |node: u64| members.nodes().any(|it| it == node);
        let name = |node: u64| self.people.name(node);
        let said = match change {
            Change::AddLearner { node, .. } if is_known(*node) && !self.people.is_linked(*node) => {
                let (name, own) = (name(*node), &self.options.node);
                let place = self.options.own().and_then(|it| it.address);
                let place = place.map(|it| format!(" = \"{it}\"")).unwrap_or_default();
                format!(
                    "{name} is in the cluster already, and there is no link to it. If its directory was lost, it is taken in again \
                     once it reaches this node, the primary: name that in its peers ({own}{place}). For another node choose \
                     another name, as {name}b"
                )
            }
            Change::AddLearner { node, .. } if is_known(*node) => {
                let name = name(*node);
                format!(
                    "{name} is in the cluster already, and each name is used once; choose another, as {name}b"
                )
            }
            Change::Remove { node } | Change::Replace { old: node, .. } if *node == self.own => {
                format!(
                    "{} is the primary, which is not taken out; transfer first, and ask the next one",
                    name(*node)
                )
            }
            Change::Remove { node } | Change::Replace { old: node, .. } if !is_known(*node) => {
                format!("{} is not in the cluster, so it cannot be taken out", name(*node))
            }
            Change::Replace { old, .. } if !members.voters.contains(old) => {
                format!("{} has no vote to give; remove takes it out", name(*old))
            }
            Change::Promote { node } | Change::Replace { new: node, .. } => {
                match members.learners.contains(node) {
                    true if !self.node.is_heard(*node) => {
                        format!(
                            "{} is not heard, and would be counted on; wait until it is back",
                            name(*node)
                        )
                    }
                    true if self.node.has_caught_up(*node) => return self.error(why),
                    true => format!("{} is too far behind to vote; wait until it has caught up", name(*node)),
                    false => format!("{} is no learner", name(*node)),
                }
            }
            _ => return self.error(why),
        };
        Error::invalid("node", said)
    }

    fn hold_change(&mut self, change: Change, deadline: Instant, now: Now) -> Result<Ticket> {
        if self.held.is_some() {
            return Err(self.error(Denied::Busy("a change of the cluster")));
        }
        let ticket = self.calls.ticket();
        self.held = Some(Held { change, ticket, deadline });
        self.change_when_ready(now);
        Ok(ticket)
    }

    /// Takes out the change that is held.
    pub(super) fn take_held_change(&mut self) -> Option<Ticket> {
        self.held.take().map(|held| held.ticket)
    }

    /// Makes the change that is held, if there is one and its time has come.
    pub(super) fn change_when_ready(&mut self, now: Now) {
        let Some(Held { change, ticket, deadline }) = self.held.take() else { return };
        match self.node.change(&change, Some(deadline), now) {
            Ok(local) => {
                self.calls.local.insert(local, Local::Other { ticket, what: CHANGE });
            }
            Err(why) => {
                let is_early = match (&why, &change) {
                    (Denied::Busy(_), _) => true,
                    (Denied::Refused(_), Change::Promote { node }) => {
                        self.node.members().learners.contains(node)
                    }
                    _ => false,
                };
                if is_early && deadline > now.instant {
                    self.held = Some(Held { change, ticket, deadline });
                    return;
                }
                let why = self.refusal(why, &change);
                self.reply(ticket, Err(why));
            }
        }
    }

    /// Who takes over best: of the other voters that are linked the one that has most.
    fn successor(&self) -> Option<String> {
        let status = self.node.status();
        let voters = &self.node.members().voters;
        let able = status.matched.iter().filter(|(it, _)| voters.contains(it) && self.people.is_linked(*it));
        let best = able.max_by_key(|(node, matched)| (*matched, *node))?;
        Some(self.people.name(best.0))
    }

    /// Who feeds a node instead of the primary, as far as this one knows.
    pub(super) fn source_of(&self, status: &crate::replication::Status, number: u64) -> Option<u64> {
        if number == self.own {
            return status.source;
        }
        let chained = status.chained.iter().find(|it| it.0 == number).map(|it| it.1);
        let is_ours = status.followers.iter().any(|it| it.0 == number);
        chained.or(is_ours.then_some(self.own))
    }

    fn status(&mut self, now: Instant) -> ClusterStatus {
        let status = self.node.status();
        let members = self.node.members();
        let trouble = self.trouble(status.role);
        let is_primary = status.role == Role::Primary;
        let nodes = members.nodes().map(|number| {
            let person = self.people.get(number);
            let is_own = number == self.own;
            let matched = match is_own {
                true => Some(status.durable),
                false => status.matched.iter().find(|it| it.0 == number).map(|it| it.1),
            };
            let source = self.source_of(&status, number);
            NodeStatus {
                name: self.people.name(number),
                number,
                address: person.and_then(|it| it.address),
                client_address: person.and_then(|it| it.client_address.clone()),
                is_voter: members.is_voter(number),
                is_primary: status.primary == Some(number),
                is_linked: is_own || self.people.is_linked(number),
                matched,
                source: source.map(|it| self.people.name(it)),
                trouble: person.and_then(|it| it.trouble.clone()),
                lag: matched.filter(|_| is_primary).map(|it| status.last.saturating_sub(it)),
            }
        });
        let primary = status.primary;
        ClusterStatus {
            cluster: self.options.cluster.clone(),
            node: self.options.node.to_string(),
            role: status.role,
            standing: self.node.standing().clone(),
            trouble,
            epoch: status.epoch,
            generation: members.generation,
            primary: primary.map(|it| self.people.name(it)),
            primary_address: primary.and_then(|it| self.people.get(it)?.client_address.clone()),
            last: status.last,
            committed: status.committed,
            applied: status.applied,
            durable: status.durable,
            age: status.age,
            lease: self.node.reign(now).map(|(_, until)| until.duration_since(now)),
            nodes: nodes.collect(),
            held: self.calls.held.len(),
            forwarded: self.calls.sent.len(),
            refused_frames: self.refusals.frames(),
            unsent_frames: self.unsent_frames,
            refused_peers: self.refusals.peers(),
            last_refusal: self.refusals.last().map(str::to_owned),
            degraded_writes: status.degraded_writes,
            is_degraded: status.is_degraded,
        }
    }
}
