//! Reads that are done where they can be: here, as soon as what is here is as fresh as was asked; otherwise by the primary.
//!
//! A read of a replica waits here for half of its time, and an election's time at most. Then, if this node forwards, the
//! primary is asked: to read, where what is read can be said in a frame ([`Look`]); otherwise up to where to read, for which
//! the read waits here on. The primary reads as for one who asks it at the [level](super::ReadLevel) `Primary`, and once it
//! shows the position that was asked for: so the answer is no older than was asked.
//!
//! A client of Redis' is not waited for here: its connection has found what is here too old. What it asks is an
//! [`Errand`], which the primary does as a read of its own clients, or it is done here once this node has all that
//! was answered before.

use std::time::Duration;

use super::calls::{Asked, Call, Local, Looking};
use super::kept::Answered;
use super::{Member, reply_of};
use crate::error::{Error, Result};
use crate::replication::look::{self, ClientCommand, Look};
use crate::replication::relay::Relay;
use crate::replication::{self, Answer, Bound, Denied, Done, Position, Reached, Role};
use crate::resp::{Errand, Protocol};
use crate::store::engine::{Durability, Now, Ticket};
use crate::time::Instant;

// What is an errand can be told to the primary.
const _: () =
    assert!(Errand::ARGUMENTS_MAX <= look::ARGUMENTS_MAX && Errand::BYTES_MAX <= look::ARGUMENTS_BYTES_MAX);

/// What came of something asked of the node.
type Told = std::result::Result<Answer, Denied>;

impl Member {
    /// Asks to read here as soon as what is here is within `bound`, or else of the primary.
    ///
    /// - `look`: what is read, if the primary can do it.
    pub(super) fn submit_bounded(
        &mut self,
        bound: Bound,
        look: Option<Look>,
        deadline: Instant,
        now: Now,
    ) -> Result<Ticket> {
        let waits = match self.options.forwards {
            true => (deadline.duration_since(now.instant) / 2).min(self.election_time()),
            false => deadline.duration_since(now.instant),
        };
        let until = now.instant.saturating_add(waits);
        let local = self.node.read_here(bound, Some(until), now).map_err(|why| self.error(why))?;
        let ticket = self.calls.ticket();
        let asked = Asked::Look(Looking { token: bound.token, look });
        let call = Call { ticket, asked, gives_up: deadline, deadline, is_doubtful: false };
        self.calls.local.insert(local, Local::Here(Box::new(call)));
        Ok(ticket)
    }

    /// Asks the primary to read.
    pub(super) fn submit_look(&mut self, look: Look, deadline: Instant, now: Now) -> Result<Ticket> {
        let why = if self.node.role() == Role::Primary { None } else { Some(self.not_primary()) };
        if let Some(why) = why.filter(|why| !self.may_hold(why)) {
            return Err(self.error(why));
        }
        self.calls.check_room(self.options.forward_max)?;
        Ok(self.hold(Asked::Look(Looking { token: None, look: Some(look) }), deadline, now))
    }

    /// Asks the primary for a client of Redis', which is not shown what is here: to do an errand, or up to where to
    /// read. At once refused unless there is a primary that can be reached: the client may do better at another node.
    pub(in crate::driver::store) fn submit_errand(
        &mut self,
        errand: Option<&Errand>,
        token: Option<Position>,
        deadline: Instant,
        now: Now,
    ) -> Result<Ticket> {
        let primary = self.node.primary();
        let is_there = primary.is_some_and(|it| it == self.own || self.people.is_linked(it));
        if !is_there || !self.options.forwards {
            let why = self.not_primary();
            return Err(self.error(why));
        }
        self.calls.check_room(self.options.forward_max)?;
        let look = errand.map(|errand| {
            let Errand { protocol, random, arguments } = errand.clone();
            Look::Client(ClientCommand { is_resp3: protocol == Protocol::Resp3, random, arguments })
        });
        Ok(self.hold(Asked::Look(Looking { token, look }), deadline, now))
    }

    /// What is here is not as fresh as a read asks, or it cannot be done at all.
    pub(super) fn look_elsewhere(&mut self, call: Call, why: Denied, now: Now) {
        let is_late = matches!(why, Denied::NotPrimary { .. });
        let has_room = self.calls.check_room(self.options.forward_max).is_ok();
        if is_late && self.options.forwards && has_room && call.deadline > now.instant {
            let gives_up = call.deadline.min(now.instant.saturating_add(self.options.patience));
            self.calls.hold(Call { gives_up, ..call });
            return;
        }
        let why = self.not_read(why);
        self.reply(call.ticket, Err(why));
    }

    /// Asks this node to read, as the primary.
    pub(super) fn look_here(
        &mut self,
        call: &Call,
        looking: &Looking,
        now: Now,
    ) -> std::result::Result<(), Denied> {
        let local = self.node.read(Some(call.deadline), now)?;
        let &Call { ticket, gives_up, deadline, is_doubtful, .. } = call;
        let call =
            Box::new(Call { ticket, asked: Asked::Look(looking.clone()), gives_up, deadline, is_doubtful });
        self.calls.local.insert(local, Local::Look { call, is_granted: false });
        Ok(())
    }

    /// What came of that. Whoever asked looks at what is here then, unless what is read was said.
    pub(super) fn looked(&mut self, call: Box<Call>, is_granted: bool, told: Told, now: Now) {
        let token = match &call.asked {
            Asked::Look(looking) => looking.token,
            _ => None,
        };
        match (told, token) {
            (Ok(_), Some(token)) if !is_granted => match self.wait_for_token(token, call.deadline, now) {
                Ok(local) => {
                    self.calls.local.insert(local, Local::Look { call, is_granted: true });
                }
                Err(why) => self.came_to_nothing(*call, why, now.instant),
            },
            (Ok(answer), _) => {
                let found = match &call.asked {
                    Asked::Look(looking) if looking.look.is_some() => {
                        Answer::Written(self.find(looking, now))
                    }
                    _ => answer,
                };
                self.reply(call.ticket, Ok(reply_of(found)));
            }
            (Err(why), _) => self.came_to_nothing(*call, why, now.instant),
        }
    }

    /// Asks this node to read for another one.
    pub(super) fn serve_look(&mut self, node: u64, id: u64, looking: Looking, deadline: Instant, now: Now) {
        let asked = self.submit_remote(node, |member| member.node.read(Some(deadline), now));
        match asked {
            Ok(local) => {
                let looking = Box::new(looking);
                let look = Local::RemoteLook { node, id, looking, deadline, is_granted: false };
                self.calls.local.insert(local, look);
            }
            Err(why) => self.say(node, id, &Relay::Written(Err(why))),
        }
    }

    /// What came of that.
    pub(super) fn served_look(
        &mut self,
        (node, id): (u64, u64),
        looking: Box<Looking>,
        deadline: Instant,
        is_granted: bool,
        told: Told,
        now: Now,
    ) {
        let told = match (told, looking.token) {
            (Ok(_), Some(token)) if !is_granted => match self.wait_for_token(token, deadline, now) {
                Ok(local) => {
                    let look = Local::RemoteLook { node, id, looking, deadline, is_granted: true };
                    self.calls.local.insert(local, look);
                    return;
                }
                Err(why) => Err(why),
            },
            (Ok(_), _) => Ok(self.find(&looking, now)),
            (Err(why), _) => Err(why),
        };
        self.calls.end_remote(node);
        self.say_answer(node, Answered { id, is_read: true, until: deadline }, &Relay::Written(told));
    }

    fn wait_for_token(
        &mut self,
        token: Position,
        deadline: Instant,
        now: Now,
    ) -> std::result::Result<replication::Ticket, Denied> {
        self.node.read_here(Bound { age: None, token: Some(token) }, Some(deadline), now)
    }

    /// What a read finds here.
    fn find(&self, looking: &Looking, now: Now) -> Done {
        let state = self.node.state();
        let tell = |command: &ClientCommand| {
            let ClientCommand { is_resp3, random, arguments } = command.clone();
            let protocol = if is_resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
            Errand { protocol, random, arguments }.answer(state, now.clock)
        };
        let outcome = looking.look.as_ref().map(|look| look.at(state, tell));
        let position = self.place_of(state.sequence());
        let nodes = self.node.members().voters.len() as u32 / 2 + 1;
        let reached = Reached { durability: Durability::Quorum, nodes, is_degraded: false };
        Done { outcome, position, reached }
    }

    /// What a read is told that nobody did in time: who is primary, if another node is known to be and was not reached.
    pub(super) fn not_looked(&self) -> Error {
        self.not_read(self.not_primary())
    }

    /// The same, of a read that was refused. A node that does not forward tells only what it is.
    pub(super) fn not_read(&self, why: Denied) -> Error {
        match why {
            Denied::NotPrimary { primary: None } if self.options.forwards => Error::NoQuorum,
            why => self.error(why),
        }
    }

    pub(super) fn election_time(&self) -> Duration {
        self.options.replication.tick * self.options.replication.election_ticks
    }
}
