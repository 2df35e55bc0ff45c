//! The way of a call: to the node, if that is primary; passed on to who is; held until somebody is; and back.
//!
//! A call that came to nothing for certain is sent again by itself, for as long as its caller has patience. One of which that
//! is not known is sent again only if it has a client and a number, by which it is done once.
//!
//! What was asked for by who has left since is not sent again, nor is what had to wait: whoever gives up may ask elsewhere, and what it
//! asked for before would be done behind what it was answered there.

use std::time::Duration;

use super::calls::{Asked, CHANGE, Call, Local, Looking, READ};
use super::kept::What;
use super::passed::Write;
use super::peers::Outbound;
use super::{Member, reply_of};
use crate::driver::store::ground::{Caller, Source, Wanted};
use crate::error::{Error, Result};
use crate::peer::Class;
use crate::replication::look::Look;
use crate::replication::relay::{self, Relay};
use crate::replication::{Answer, Bound, Denied, Done, Level, Position, Role};
use crate::store::engine::{Durability, Now, Ticket};
use crate::store::index::{Command, Condition, Operation, Step};
use crate::time::Instant;

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_millis(10);
/// What a caller that has left asked for less than so long ago is still sent for the first time.
const LATE: Duration = Duration::from_millis(100);
/// What a write waits for whose turn has not come.
const BEFORE: &str = "what was asked for before";
/// How long nothing is passed on to a primary that was none, or had no time, unless another one is found.
const PAUSE: Duration = Duration::from_millis(10);

impl Member {
    /// Takes a command.
    pub(in crate::driver::store) fn submit(
        &mut self,
        command: &Command<'_>,
        wanted: &Wanted,
        now: Now,
    ) -> Result<Ticket> {
        // Whatever a client writes comes by here: said just now, at its turn in a line, or made up anew.
        if wanted.caller == Caller::HasGivenUp {
            return Err(self.error(Denied::Busy(BEFORE)));
        }
        let level = self.level_of(command, wanted);
        let is_clear = self.is_clear(wanted.source);
        let is_behind = wanted.source.is_some_and(|source| self.calls.held.has_before(source));
        let why = if self.node.role() == Role::Primary && (is_behind || !is_clear) {
            Denied::Busy(BEFORE)
        } else if self.node.role() == Role::Primary && !self.calls.passed.is_empty() {
            Denied::Busy("what others asked for before")
        } else if self.node.role() == Role::Primary {
            match self.node.submit(command, Some(level), Some(wanted.deadline), now) {
                Ok(local) => {
                    let ticket = self.calls.ticket();
                    self.calls.local.insert(local, Local::Write { ticket });
                    return Ok(ticket);
                }
                Err(why) => why,
            }
        } else {
            self.not_primary()
        };
        let is_elsewhere = matches!(why, Denied::NotPrimary { .. });
        if !self.may_hold(&why) || (wanted.stays && is_elsewhere) {
            return Err(self.error(why));
        }
        self.calls.check_room(self.options.forward_max)?;
        // What no primary would take is refused here.
        command
            .check(self.node.state().settings())
            .map_err(|malformed| Error::invalid("command", malformed.to_string()))?;
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        let (is_repeatable, stays, source) = (command.request.is_some(), wanted.stays, wanted.source);
        if let Some(source) = source.filter(|_| wanted.caller == Caller::MayHaveLeft) {
            self.calls.note_forsaken(source, wanted.deadline);
        }
        let asked = Asked::Write { command: encoded, level, is_repeatable, stays, source };
        Ok(self.hold(asked, wanted.deadline, now))
    }

    /// Asks up to where to read, so that all is seen that was answered before.
    pub(super) fn submit_read(&mut self, deadline: Instant, now: Now) -> Result<Ticket> {
        let why = if self.node.role() == Role::Primary {
            match self.node.read(Some(deadline), now) {
                Ok(local) => {
                    let ticket = self.calls.ticket();
                    let gives_up = now.instant.saturating_add(self.options.patience);
                    let call = Call { ticket, asked: Asked::Read, gives_up, deadline, is_doubtful: false };
                    self.calls.local.insert(local, Local::Read(call));
                    return Ok(ticket);
                }
                Err(why) => why,
            }
        } else {
            self.not_primary()
        };
        if !self.may_hold(&why) {
            return Err(self.error(why));
        }
        self.calls.check_room(self.options.forward_max)?;
        Ok(self.hold(Asked::Read, deadline, now))
    }

    pub(super) fn not_primary(&self) -> Denied {
        match self.node.standing() {
            crate::replication::Standing::Fenced(fence) => Denied::Fenced(fence.clone()),
            crate::replication::Standing::Failed(error) => Denied::Refused(error.clone()),
            _ => Denied::NotPrimary { primary: self.node.primary().filter(|it| *it != self.own) },
        }
    }

    /// Whether a call that this node does not do now may be done later, or elsewhere.
    pub(super) fn may_hold(&self, why: &Denied) -> bool {
        match why {
            Denied::NotPrimary { .. } => self.options.forwards,
            Denied::NoQuorum | Denied::Busy(_) => true,
            _ => false,
        }
    }

    pub(super) fn hold(&mut self, asked: Asked, deadline: Instant, now: Now) -> Ticket {
        let ticket = self.calls.ticket();
        let gives_up = now.instant.saturating_add(self.options.patience);
        self.calls.hold(Call { ticket, asked, gives_up, deadline, is_doubtful: false });
        ticket
    }

    /// What an early answer cannot tell is answered when it can be told.
    fn level_of(&self, command: &Command<'_>, wanted: &Wanted) -> Level {
        let is_plain = matches!(
            command.operation,
            Operation::Step(Step::Put { condition: Condition::Always, previous: false, .. })
        );
        let usual = (self.options.nodes, self.options.durability);
        let (nodes, durability) = match (wanted.nodes, wanted.durability) {
            (0, None) => usual,
            (nodes, durability) => (nodes, durability.unwrap_or(self.options.durability)),
        };
        match (nodes, durability) {
            (nodes @ 1.., _) => Level::AtLeast(nodes),
            (_, Durability::Memory | Durability::Local) if !is_plain => Level::Quorum,
            (_, durability) => durability.into(),
        }
    }

    /// Sends calls that are held where they can be done. Whether the node got some.
    pub(super) fn route(&mut self, now: Now) -> bool {
        let line_first = self.calls.passed.goes_first();
        let mut has_submitted = line_first && self.submit_passed(now);
        has_submitted |= self.route_held(now);
        has_submitted |= !line_first && self.submit_passed(now);
        if has_submitted {
            self.calls.passed.note_turn();
        }
        has_submitted
    }

    fn route_held(&mut self, now: Now) -> bool {
        let mut aside = Vec::new();
        let has_submitted = self.route_clear(&mut aside, now);
        aside.into_iter().for_each(|call| self.calls.hold(call));
        has_submitted
    }

    /// The same, but for calls that are not to be sent yet, which are put `aside`.
    fn route_clear(&mut self, aside: &mut Vec<Call>, now: Now) -> bool {
        let mut has_submitted = false;
        if self.node.role() != Role::Primary {
            for call in self.calls.take_staying() {
                let why = self.error(Denied::NotPrimary { primary: self.node.primary() });
                self.refuse(&call, why);
            }
        }
        while !self.calls.held.is_settled() {
            let is_primary = self.node.role() == Role::Primary;
            if !is_primary && now.instant < self.routes_at {
                return has_submitted;
            }
            let to = self.node.primary().filter(|it| *it != self.own && self.people.is_linked(*it));
            if !is_primary && (to.is_none() || !self.options.forwards) {
                let is_hopeless =
                    !is_primary && (!self.options.forwards || !self.may_hold(&self.not_primary()));
                if !is_hopeless {
                    return has_submitted;
                }
                let Some(call) = self.calls.take_held(None) else { break };
                let why = self.not_primary();
                let why = self.error(why);
                self.refuse(&call, why);
                continue;
            }
            let to = to.filter(|_| !is_primary);
            if to.is_some_and(|to| !self.calls.may_send(to)) {
                return has_submitted;
            }
            let Some(call) = self.calls.take_held(to) else { break };
            if self.is_late(&call, now.instant) {
                let why = self.error(Denied::Busy(BEFORE));
                self.refuse(&call, why);
                continue;
            }
            if !self.is_clear(call.asked.source()) {
                aside.push(call);
                continue;
            }
            if let Some(to) = to {
                self.pass_on(to, call, now);
                continue;
            }
            match self.submit_held(&call, now) {
                Ok(()) => has_submitted = true,
                Err(why) if self.may_hold(&why) => {
                    self.calls.hold(call);
                    return has_submitted;
                }
                Err(why) => {
                    let why = self.error(why);
                    self.refuse(&call, why);
                }
            }
        }
        has_submitted
    }

    /// Who asked for a call that has had to wait has left.
    fn is_late(&self, call: &Call, now: Instant) -> bool {
        let asked_at = call.gives_up.as_nanos().saturating_sub(self.options.patience.as_nanos() as u64);
        let asked_at = Instant::from_nanos(asked_at);
        let has_waited = asked_at.saturating_add(LATE) <= now || self.sight.is_shortly_after(asked_at);
        self.calls.is_forsaken(call) && has_waited
    }

    /// Whether what a source asks for may be sent: what a client has asked for before the process stood still is not, until its loop has
    /// looked whether it is there.
    pub(super) fn is_clear(&self, source: Option<Source>) -> bool {
        let Some(Source::Client { lane, .. }) = source else { return true };
        let resumed = self.sight.resumed();
        let has_looked = resumed == 0 || self.looked.get(&lane) == Some(&resumed);
        has_looked && !self.sight.stands()
    }

    /// The same of a call that was passed on, and lies here still.
    pub(super) fn may_leave(&self, id: u64) -> bool {
        self.calls.sent.get(&id).is_none_or(|(_, call)| self.is_clear(call.asked.source()))
    }

    /// A loop has looked who of its clients has left since the process stood still, and has told.
    pub(in crate::driver::store) fn note_looked(&mut self, lane: usize, resumed: u64) {
        self.looked.insert(lane, resumed);
    }

    /// A source has left. What of it waits at the primary is not done there either.
    /// Gives whether something is to be said to that.
    pub(in crate::driver::store) fn forsake(&mut self, source: Source, until: Instant) -> bool {
        let away = self.calls.forsake(source, until);
        for (node, id) in &away {
            self.say(*node, *id, &Relay::Forget);
        }
        !away.is_empty()
    }

    /// Nothing comes of a call any more. What was passed on before, and is refused now, may have been done all the same.
    fn refuse(&mut self, call: &Call, why: Error) {
        self.reply(call.ticket, Err(if call.is_doubtful { Error::UnknownOutcome } else { why }));
    }

    /// A call was done, or may have been: what its source asked for before, and has come back, would be done behind it, so
    /// it is not done.
    ///
    /// - `is_done`: it was. Otherwise what may have been done as well may be asked for again, in its order.
    fn pass_over(&mut self, call: &Call, is_done: bool) {
        for before in self.calls.take_before(call, is_done) {
            let why = self.error(Denied::Superseded);
            self.refuse(&before, why);
        }
    }

    fn submit_held(&mut self, call: &Call, now: Now) -> std::result::Result<(), Denied> {
        let deadline = Some(call.deadline);
        match &call.asked {
            Asked::Write { command, level, .. } => {
                let local = self.submit_encoded(command, *level, deadline, now)?;
                self.calls.local.insert(local, Local::Write { ticket: call.ticket });
            }
            Asked::Read => {
                let local = self.node.read(deadline, now)?;
                let &Call { ticket, gives_up, deadline, is_doubtful, .. } = call;
                let call = Call { ticket, asked: Asked::Read, gives_up, deadline, is_doubtful };
                self.calls.local.insert(local, Local::Read(call));
            }
            Asked::Look(looking) => self.look_here(call, looking, now)?,
        }
        Ok(())
    }

    fn submit_encoded(
        &mut self,
        command: &[u8],
        level: Level,
        deadline: Option<Instant>,
        now: Now,
    ) -> std::result::Result<crate::replication::Ticket, Denied> {
        let settings = *self.node.state().settings();
        let command = Command::decode(command, &settings)
            .map_err(|it| Denied::Refused(Error::invalid("command", it.to_string())))?;
        self.node.submit(&command, Some(level), deadline, now)
    }

    fn pass_on(&mut self, to: u64, call: Call, now: Now) {
        let left = call.deadline.duration_since(now.instant).as_millis();
        let millis = u32::try_from(left).unwrap_or(u32::MAX);
        let relay = match &call.asked {
            Asked::Write { command, level, .. } => {
                Relay::Write { level: *level, millis, command: command.clone() }
            }
            Asked::Look(Looking { token, look: Some(look) }) => {
                Relay::Look { millis, token: *token, look: look.clone() }
            }
            Asked::Read | Asked::Look(_) => Relay::Read { millis },
        };
        let id = self.calls.send(to, call);
        self.ask(to, id, &relay);
    }

    /// Something came from another node beside its frames.
    pub(super) fn handle_relay(&mut self, from: u64, bytes: &[u8], now: Now) {
        let (id, relay) = match relay::decode(bytes) {
            Ok(decoded) => decoded,
            Err(fault) => return self.frame_refused(from, &fault),
        };
        match relay {
            Relay::Write { level, millis, command } => {
                let deadline = now.instant.saturating_add(Duration::from_millis(u64::from(millis)));
                self.take_write(Write { from, id, command, level, deadline }, now);
            }
            Relay::Read { millis } => {
                let deadline = now.instant.saturating_add(Duration::from_millis(u64::from(millis)));
                let result = self.submit_remote(from, |member| member.node.read(Some(deadline), now));
                self.serve(from, (id, true, deadline), result);
            }
            Relay::Look { millis, token, look } => {
                let deadline = now.instant.saturating_add(Duration::from_millis(u64::from(millis)));
                self.serve_look(from, id, Looking { token, look: Some(look) }, deadline, now);
            }
            Relay::Written(result) => {
                if let Some(call) = self.calls.take_sent(from, id) {
                    self.written(call, result, now);
                }
            }
            Relay::Granted(result) => {
                if let Some(call) = self.calls.take_sent(from, id) {
                    self.granted(call, result, now);
                }
            }
            Relay::Message { channel, payload } => self.hear(channel, payload),
            Relay::Ask => self.progress.handle_asked(from),
            Relay::Forget => {
                self.calls.passed.withdraw(from, id);
                self.calls.forget_remote(from, id);
            }
            Relay::Report(report) => self.take_report(from, &report, now.instant),
            Relay::Door { address } => {
                if let Some(person) = self.people.get_mut(from) {
                    person.reached_at = Some(address).filter(|it| !it.is_empty());
                    self.is_topology_new = true;
                }
            }
            Relay::Card { address } => {
                if let Some(person) = self.people.get_mut(from) {
                    // What is said of a door comes behind.
                    person.reached_at = None;
                    person.client_address = Some(address).filter(|it| !it.is_empty());
                    self.is_topology_new = true;
                }
            }
        }
    }

    /// Takes a write of another node's: it is done behind those that wait.
    fn take_write(&mut self, write: Write, now: Now) {
        let Write { from, id, deadline: until, .. } = write;
        let is_behind = !self.calls.passed.is_empty();
        let admitted = self.submit_remote(from, |member| {
            if is_behind {
                return Err(Denied::Busy(BEFORE));
            }
            member.submit_encoded(&write.command, write.level, Some(write.deadline), now)
        });
        if matches!(admitted, Err(Denied::Busy(_))) && self.calls.admit_remote(from, self.options.forward_max)
        {
            self.calls.passed.push(write);
        } else {
            self.serve(from, (id, false, until), admitted);
        }
    }

    /// Writes of other nodes' that waited are done as far as there is room; refused if they are not to be done here. Whether the
    /// node got some.
    fn submit_passed(&mut self, now: Now) -> bool {
        let mut has_submitted = false;
        while let Some((write, is_withdrawn)) = self.calls.passed.take() {
            if is_withdrawn {
                self.withdraw(&write);
                continue;
            }
            let result = match self.node.role() {
                Role::Primary => self.submit_encoded(&write.command, write.level, Some(write.deadline), now),
                _ => Err(self.not_primary()),
            };
            match result {
                Err(Denied::Busy(_)) => {
                    self.calls.passed.put_back(write);
                    break;
                }
                Err(_) => self.calls.end_remote(write.from),
                Ok(_) => has_submitted = true,
            }
            self.serve(write.from, (write.id, false, write.deadline), result);
        }
        has_submitted
    }

    /// A write that waited is not done.
    fn withdraw(&mut self, write: &Write) {
        self.calls.end_remote(write.from);
        self.say(write.from, write.id, &Relay::Written(Err(Denied::Busy(BEFORE))));
    }

    /// Nothing more is taken in: what waits is done by another primary, if by any.
    pub(super) fn refuse_passed(&mut self) {
        let why = self.not_primary();
        while let Some((write, _)) = self.calls.passed.take() {
            self.calls.end_remote(write.from);
            self.say(write.from, write.id, &Relay::Written(Err(why.clone())));
        }
    }

    fn let_go_forgotten(&mut self) {
        for ticket in self.calls.take_forgotten() {
            self.node.forget_read(ticket);
        }
    }

    /// Takes a call of another node's, as many as may be.
    pub(super) fn submit_remote(
        &mut self,
        from: u64,
        submit: impl FnOnce(&mut Self) -> std::result::Result<crate::replication::Ticket, Denied>,
    ) -> std::result::Result<crate::replication::Ticket, Denied> {
        let most = self.options.forward_max;
        let mut is_admitted = self.calls.admit_remote(from, most);
        if !is_admitted {
            self.let_go_forgotten();
            is_admitted = self.calls.admit_remote(from, most);
        }
        if !is_admitted {
            let limit = u64::from(most);
            return Err(Denied::Refused(Error::Capacity { what: "forward_max", limit }));
        }
        submit(self).inspect_err(|_| self.calls.end_remote(from))
    }

    fn serve(
        &mut self,
        from: u64,
        (id, is_read, until): (u64, bool, Instant),
        result: std::result::Result<crate::replication::Ticket, Denied>,
    ) {
        match result {
            Ok(local) => {
                self.calls.local.insert(local, Local::Remote { node: from, id, is_read, until });
            }
            Err(why) => {
                let answer = self.answer_for(Err(why), is_read);
                self.say(from, id, &answer);
            }
        }
    }

    /// What came of a write that was passed on.
    fn written(&mut self, call: Call, result: std::result::Result<Done, Denied>, now: Now) {
        match result {
            Ok(done) => {
                self.calls.note_done(now.instant);
                self.pass_over(&call, true);
                let reply = reply_of(Answer::Written(done));
                if call.asked.is_read() {
                    self.reply(call.ticket, Ok(reply));
                } else if reply.durability >= Durability::Quorum {
                    // Whoever is answered sees it here from then on, unless this node does not come so far in time.
                    let most = now.instant.saturating_add(self.options.patience);
                    self.calls.arrive(call.ticket, reply, call.deadline.min(most));
                } else {
                    self.reply(call.ticket, Ok(reply));
                }
            }
            Err(why) => self.came_to_nothing(call, why, now.instant),
        }
    }

    fn granted(&mut self, call: Call, result: std::result::Result<Position, Denied>, now: Now) {
        match result {
            Ok(position) => {
                // Beside what was answered before, a read may have to see something that was not.
                let token = match &call.asked {
                    Asked::Look(Looking { token: Some(token), .. }) if token.sequence > position.sequence => {
                        *token
                    }
                    _ => position,
                };
                let bound = Bound { age: None, token: Some(token) };
                match self.node.read_here(bound, Some(call.deadline), now) {
                    Ok(local) => {
                        self.calls.local.insert(local, Local::Other { ticket: call.ticket, what: READ });
                    }
                    Err(why) => {
                        let why = self.error(why);
                        self.reply(call.ticket, Err(why));
                    }
                }
            }
            Err(why) => self.came_to_nothing(call, why, now.instant),
        }
    }

    /// A call that was passed on came to nothing, or it is not known what came of it.
    pub(super) fn came_to_nothing(&mut self, mut call: Call, why: Denied, now: Instant) {
        let (is_read, is_repeatable) = match &call.asked {
            Asked::Write { is_repeatable, .. } => (false, *is_repeatable),
            Asked::Read | Asked::Look(_) => (true, true),
        };
        if !is_read && matches!(why, Denied::Unknown | Denied::TimedOut) {
            self.pass_over(&call, false);
        }
        call.is_doubtful |= !is_read && why == Denied::Unknown;
        let again = match &why {
            Denied::NotPrimary { .. } | Denied::NoQuorum | Denied::Busy(_) | Denied::Superseded => true,
            Denied::Unknown => is_repeatable,
            _ => false,
        };
        if again && !self.calls.is_forsaken(&call) {
            self.routes_at = now.saturating_add(PAUSE);
            self.calls.hold(call);
            return;
        }
        let why = match self.error(why) {
            Error::TimedOut { .. } if is_read => Error::TimedOut { what: READ },
            other => other,
        };
        self.refuse(&call, why);
    }

    /// A link is over: what was passed on over it does not come back, what came over it is not begun, and nobody is answered for
    /// it. The other end sees it as over too before there is another link, so even the same process waits for no answer.
    pub(super) fn lose(&mut self, to: u64, now: Instant) {
        for ticket in self.calls.lose_remote(to) {
            self.node.forget_read(ticket);
        }
        // What has not left was for the process that was there.
        self.out.retain(|it| it.to != to || matches!(it.what, What::Call(_)) || it.class == Class::Bulk);
        self.take_back(to, None);
        for id in self.calls.sent_to(to) {
            if let Some(call) = self.calls.take_sent(to, id) {
                self.came_to_nothing(call, Denied::Unknown, now);
            }
        }
    }

    /// A call that was to be passed on is longer than the links take.
    pub(super) fn too_long(&mut self, to: u64, id: u64) {
        if let Some(call) = self.calls.take_sent(to, id) {
            let why =
                "it is longer than the message_bytes_max of the links to the primary; ask that one itself";
            self.refuse(&call, Error::invalid("command", why));
        }
    }

    /// A call that was to be passed on did not leave. Nor do those that were to go behind it.
    pub(super) fn not_sent(&mut self, to: u64, id: u64) {
        self.take_back(to, Some(id));
    }

    /// Holds a call that did not leave, and all for that node that are to leave yet.
    fn take_back(&mut self, to: u64, first: Option<u64>) {
        let call_of = |it: &Outbound| match it.what {
            What::Call(id) if it.to == to => Some(id),
            _ => None,
        };
        let behind: Vec<u64> = self.out.iter().filter_map(call_of).collect();
        self.out.retain(|it| call_of(it).is_none());
        for id in first.into_iter().chain(behind) {
            if let Some(call) = self.calls.take_sent(to, id) {
                self.calls.hold(call);
            }
        }
    }

    /// Another one is primary: what was passed on to the one before, and may be sent twice, is not waited for.
    pub(super) fn primary_changed(&mut self, primary: Option<u64>) {
        let Some(primary) = primary else { return };
        self.routes_at = Instant::START;
        let elsewhere = self.calls.sent.iter().filter(|(_, (to, call))| {
            let is_write = matches!(call.asked, Asked::Write { is_repeatable: false, .. });
            *to != primary && !is_write
        });
        let elsewhere: Vec<(u64, u64)> = elsewhere.map(|(id, it)| (*id, it.0)).collect();
        for (id, to) in elsewhere {
            if let Some(mut call) = self.calls.take_sent(to, id) {
                self.pass_over(&call, false);
                call.is_doubtful = !call.asked.is_read();
                if self.calls.is_forsaken(&call) {
                    self.refuse(&call, Error::UnknownOutcome);
                } else {
                    self.calls.hold(call);
                }
            }
        }
    }

    /// Ends writes that are in the log of a primary that is one no longer, or holds no quorum, and that nobody has taken up for
    /// as long as a call waits for a primary: what comes of them is decided once there is one, and is to be asked then.
    fn end_doubtful(&mut self, now: Instant) {
        let is_doubtful = |it: &Local| match it {
            Local::Write { .. } | Local::Remote { is_read: false, .. } => true,
            Local::Other { what, .. } => *what == CHANGE,
            _ => false,
        };
        if self.node.reign(now).is_some() || !self.calls.local.values().any(is_doubtful) {
            self.lapsed_at = None;
            return;
        }
        let since = *self.lapsed_at.get_or_insert(now);
        if since.saturating_add(self.options.patience.max(self.election_time())) > now {
            return;
        }
        self.lapsed_at = None;
        for what in
            self.calls.local.extract_if(.., |_, it| is_doubtful(it)).map(|it| it.1).collect::<Vec<_>>()
        {
            match what {
                Local::Write { ticket } | Local::Other { ticket, .. } => {
                    self.reply(ticket, Err(Error::UnknownOutcome));
                }
                Local::Remote { node, id, .. } => {
                    self.calls.end_remote(node);
                    self.say(node, id, &Relay::Written(Err(Denied::Unknown)));
                }
                _ => unreachable!("it is no write"),
            }
        }
    }

    /// Ends what has waited for too long.
    pub(super) fn sweep(&mut self, now: Instant) {
        if now < self.sweeps_at {
            return;
        }
        self.sweeps_at = now.saturating_add(SWEEP);
        self.end_doubtful(now);
        for write in self.calls.passed.take_late(now) {
            self.withdraw(&write);
        }
        self.let_go_forgotten();
        let (done, sent, held) = self.calls.late(self.options.patience, now);
        for (ticket, reply) in done {
            self.reply(ticket, Ok(reply));
        }
        for call in sent {
            self.pass_over(&call, false);
            let what = if call.asked.is_read() { READ } else { "write" };
            self.reply(call.ticket, Err(Error::TimedOut { what }));
        }
        for call in held {
            // It is nowhere now, and nothing was done unless it was somewhere before.
            let why = match &call.asked {
                // Only the primary knows: there is nothing here that would not be fresh enough.
                Asked::Look(Looking { look: Some(Look::Request(_)), .. }) => Error::NoQuorum,
                Asked::Look(_) => self.not_looked(),
                Asked::Write { .. } | Asked::Read => Error::NoQuorum,
            };
            self.refuse(&call, why);
        }
    }
}
