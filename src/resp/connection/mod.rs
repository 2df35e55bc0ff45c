//! [`Connection`]: one client, from the bytes it sends to the bytes it is sent.
//!
//! Requests are taken one after the other and answered in that order. What only reads is answered from a view at
//! once, after the connection's own writes under way have completed: it sees them. A write is submitted; while it is
//! under way, further writes that need not read first are submitted too, up to `pending_max`. A write that must read
//! first is made up over a view ([`World`]) and submitted with the versions of what it has read; if somebody has
//! changed any of it meanwhile, it is made up anew, up to `attempts_max` times.

mod answer;
mod asking;
mod control;
mod job;
mod position;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use smallvec::SmallVec;

use self::answer::{LAPSED, READ_ONLY, STALE, answer, refused_write};
use self::job::{Job, Part, Queued, Rest};
use self::position::Bound;
use crate::resp::command::blind::{self, Expects};
use crate::resp::command::{self, Args, Context, Control, Data, Run, Spec, failure};
use crate::resp::hub::{Hub, Message};
use crate::resp::keys::{Completed, Durability, Keys, Sight, Submitted, Ticket};
use crate::resp::reply::{Protocol, Reply};
use crate::resp::request::{Limits, Parsed, Parser};
use crate::resp::world::{Failure, World, fail};
use crate::store::index::{Command, Operation, Timestamp};

/// What one connection may take.
///
/// | option | unit | range | default | why |
/// |---|---|---|---|---|
/// | `limits` | | | [`Limits`] | of requests |
/// | `durability` | | | local | when a write is answered |
/// | `pending_max` | writes | from 1 | 1,024 | under way at once; then no request is taken |
/// | `output_pause` | bytes | from 1 | 1 MiB | with so much not yet read by the client, no request is taken |
/// | `output_max` | bytes | from `output_pause` | 256 MiB | a client with more is cut: one answer is too long |
/// | `messages_max` | bytes | up to `output_max` | 32 MiB, as Redis | a subscriber that has so much to read when a message comes is cut |
/// | `age_max` | time | any | none | how old what a replica answers may be |
/// | `quorum_wait` | time | any | 3 s | how long a read waits on a primary that has just been elected, or has lost its quorum; as writes do |
/// | `queue_max` | bytes | from 1 | 64 MiB | of requests between `MULTI` and `EXEC` |
/// | `attempts_max` | attempts | from 1 | 100 | of a write that reads first, if what it reads is changed meanwhile |
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What requests may be.
    pub limits: Limits,
    /// When writes are answered.
    pub durability: Durability,
    /// Writes under way at once.
    pub pending_max: usize,
    /// Bytes to be sent from which on no request is taken.
    pub output_pause: usize,
    /// Bytes to be sent at most.
    pub output_max: usize,
    /// Bytes to be sent to a subscriber at most.
    pub messages_max: usize,
    /// How old what a replica answers may be; `None`: as old as it is.
    pub age_max: Option<Duration>,
    /// How long a read waits for a primary's quorum.
    pub quorum_wait: Duration,
    /// Bytes of queued requests.
    pub queue_max: usize,
    /// How often a write is made up.
    pub attempts_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            durability: Durability::default(),
            pending_max: 1_024,
            output_pause: 1 << 20,
            output_max: 256 << 20,
            messages_max: 32 << 20,
            age_max: None,
            quorum_wait: Duration::from_secs(3),
            queue_max: 64 << 20,
            attempts_max: 100,
        }
    }
}

/// See the module. Bytes go in by [`Connection::handle_bytes`] and are looked at by [`Connection::advance`], which is
/// also to be called after output was consumed and after the hub's deliveries were made.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    options: Options,
    intake: Intake,
    output: Vec<u8>,
    /// Answers not yet in the output, in order.
    slots: VecDeque<Slot>,
    busy: Option<Busy>,
    queue: Option<Queue>,
    watched: BTreeMap<Vec<u8>, Watched>,
    /// The last sequence that a write of this connection got.
    written: u64,
    /// How fresh what it reads has to be.
    bound: Option<Bound>,
    /// Until when the next request waits for more of the log.
    behind: Option<Timestamp>,
    /// Until when it waits for a quorum.
    lapsed: Option<Timestamp>,
    /// The next request waits for the answers before it.
    is_held: bool,
    is_closing: bool,
    is_cut: bool,
}

#[derive(Debug)]
struct Intake {
    parser: Parser,
    bytes: Vec<u8>,
    at: usize,
    /// Bytes behind `at` before which it is not worth looking.
    wanted: usize,
}

#[derive(Debug)]
enum Slot {
    Ready(Vec<u8>),
    Pending(Ticket, Expects),
    /// Where in the log all before it is.
    Position,
}

/// What holds all further requests up.
#[derive(Debug)]
enum Busy {
    /// A write that reads first is under way.
    Write { ticket: Ticket, job: Job, parts: Vec<Part>, attempts: u32 },
    /// Something was asked of clients on other loops; and what is left to be done of a transaction then.
    Asking { number: u64, rest: Option<Rest> },
    /// `WAIT` or `WAITAOF`.
    Wait { is_local: bool, local: u64, replicas: u64, deadline: Option<Timestamp> },
    /// The next request waits for more of the log.
    Behind { until: Timestamp },
}

#[derive(Debug, Default)]
struct Queue {
    requests: Vec<Queued>,
    bytes: usize,
    is_broken: bool,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    version: u64,
    sequence: u64,
}

/// Whether a request was dealt with.
#[derive(PartialEq, Eq)]
enum Taken {
    Yes,
    /// Not before what is under way has completed.
    Later,
}

impl Connection {
    /// One for a client that has just connected from `address` to this end's address `local`.
    pub fn new(options: Options, address: &str, local: &str, hub: &mut Hub, now: Timestamp) -> Self {
        let id = hub.connect(address, local, now);
        let mut parser = Parser::new(options.limits);
        parser.set_stranger(!hub.client(id).is_authenticated);
        Self {
            id,
            options,
            intake: Intake { parser, bytes: Vec::new(), at: 0, wanted: 0 },
            output: Vec::new(),
            slots: VecDeque::new(),
            busy: None,
            queue: None,
            watched: BTreeMap::new(),
            written: 0,
            bound: None,
            behind: None,
            lapsed: None,
            is_held: false,
            is_closing: false,
            is_cut: false,
        }
    }

    /// By which the hub knows it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Takes what the client has sent; [`Connection::advance`] looks at it.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if !self.is_closing && !self.is_cut {
            self.intake.bytes.extend_from_slice(bytes);
        }
    }

    /// Takes requests as far as that is possible now.
    pub fn advance(&mut self, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) {
        self.check_wait(hub, keys, now);
        if matches!(self.busy, Some(Busy::Behind { .. })) {
            // The request is looked at once more.
            self.busy = None;
        }
        self.check_answer(hub, keys, now);
        if self.has_requests(hub) {
            let mut intake = std::mem::replace(&mut self.intake, Intake::empty(self.options.limits));
            while self.takes_requests(hub) && self.next_request(&mut intake, hub, keys, now) {}
            intake.shrink();
            self.intake = intake;
        }
        if self.is_closing || self.is_cut {
            self.intake.bytes = Vec::new();
            self.intake.at = 0;
        }
    }

    /// Takes what came of a write that was submitted, and goes on.
    pub fn handle_completion(
        &mut self,
        ticket: Ticket,
        completed: Completed,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) {
        self.take_completion(ticket, completed, hub, keys, now);
        self.advance(hub, keys, now);
    }

    /// The same without going on: [`Connection::advance`] is to follow.
    pub fn take_completion(
        &mut self,
        ticket: Ticket,
        completed: Completed,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) {
        if let Ok(outcome) = &completed {
            self.written = self.written.max(outcome.sequence);
        }
        let is_job = matches!(&self.busy, Some(Busy::Write { ticket: own, .. }) if *own == ticket);
        if is_job {
            let Some(Busy::Write { job, parts, attempts, .. }) = self.busy.take() else { return };
            self.finish_job(job, parts, attempts, completed, hub, keys, now);
            return;
        }
        let is_own = |slot: &Slot| matches!(slot, Slot::Pending(own, _) if *own == ticket);
        let Some(at) = self.slots.iter().position(is_own) else { return };
        let protocol = hub.client(self.id).protocol;
        let mut written = Vec::new();
        // Mostly the first is done first, and goes straight to the output.
        let out = if at == 0 { &mut self.output } else { &mut written };
        let mut reply = Reply::new(out, protocol);
        let Slot::Pending(_, expects) = &self.slots[at] else { return };
        if let Err(Failure(text)) = answer(completed, expects, keys, now, &mut reply) {
            hub.counters.errors += 1;
            reply.error_bytes(&text);
        }
        if at == 0 {
            self.slots.pop_front();
            self.flush_slots(hub, keys);
        } else {
            self.slots[at] = Slot::Ready(written);
        }
    }

    /// Takes a message the hub has for this connection.
    pub fn handle_message(&mut self, message: &Message, hub: &mut Hub) {
        if self.is_closing || self.is_cut {
            return;
        }
        let protocol = hub.client(self.id).protocol;
        let mut reply = Reply::bounded(&mut self.output, protocol, self.options.messages_max);
        message.write(&mut reply);
        let is_over = reply.is_over();
        self.check_output(is_over, hub);
    }

    /// When [`Connection::handle_timeout`] is next needed.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.busy {
            Some(Busy::Wait { deadline, .. }) => *deadline,
            Some(Busy::Behind { until }) => Some(*until),
            _ => None,
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) {
        self.advance(hub, keys, now);
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Takes away what was sent, `len` bytes of the output.
    pub fn consume_output(&mut self, len: usize) {
        if len < self.output.len() {
            self.output.drain(..len);
        } else if self.output.capacity() > KEPT_MAX {
            self.output = Vec::new();
        } else {
            self.output.clear();
        }
    }

    /// Whether more of what the client sends is of use now; if not, it should be left unread.
    pub fn wants_bytes(&self, hub: &Hub) -> bool {
        self.takes_requests(hub) && !self.is_held
    }

    /// Whether there are bytes that [`Connection::advance`] may make something of.
    pub fn has_requests(&self, hub: &Hub) -> bool {
        let left = self.intake.bytes.len() - self.intake.at;
        left > 0 && left >= self.intake.wanted && !self.is_held && self.takes_requests(hub)
    }

    /// Whether something is to come of what the client has sent, without its sending more. `WAIT` does not count.
    pub fn is_at_work(&self, hub: &Hub) -> bool {
        let is_busy =
            matches!(self.busy, Some(Busy::Write { .. } | Busy::Asking { .. } | Busy::Behind { .. }));
        is_busy || !self.slots.is_empty() || self.is_held || self.has_requests(hub)
    }

    /// Whether `WAIT` or `WAITAOF` holds all further requests up.
    pub fn is_waiting(&self) -> bool {
        matches!(self.busy, Some(Busy::Wait { .. }))
    }

    /// Whether `WAIT` or `WAITAOF` waits for other nodes.
    pub fn waits_for_nodes(&self) -> bool {
        matches!(self.busy, Some(Busy::Wait { replicas: 1.., .. }))
    }

    /// Whether it waits for other nodes, and has not said how long.
    pub fn waits_without_end(&self) -> bool {
        matches!(self.busy, Some(Busy::Wait { replicas: 1.., deadline: None, .. }))
    }

    /// Whether `WAITAOF` waits for what was written to be on this disk.
    pub fn waits_for_disk(&self) -> bool {
        matches!(self.busy, Some(Busy::Wait { local: 1.., .. }))
    }

    /// Whether it waits for more of the log.
    pub fn waits_for_log(&self) -> bool {
        matches!(self.busy, Some(Busy::Behind { .. }))
    }

    /// Whether it waits for messages of channels.
    pub fn is_subscriber(&self, hub: &mut Hub) -> bool {
        hub.client(self.id).subscriptions() > 0
    }

    /// Whether nothing more will come: to be closed, after the output was sent unless [`Connection::is_cut`].
    pub fn is_finished(&self) -> bool {
        self.is_cut || (self.is_closing && self.slots.is_empty() && self.busy.is_none())
    }

    /// Whether it is to be closed at once, with the output unsent.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Has it be closed at once: somebody has said so.
    pub fn kill(&mut self, hub: &mut Hub) {
        self.drop_all(hub);
    }

    /// Takes it out of the hub: the client has gone, or is to go. Writes under way are done all the same.
    pub fn close(mut self, hub: &mut Hub) {
        self.drop_busy(hub);
        hub.disconnect(self.id);
    }

    fn takes_requests(&self, hub: &Hub) -> bool {
        !self.is_closing
            && !self.is_cut
            && self.busy.is_none()
            && self.slots.len() < self.options.pending_max
            && self.output.len() < self.options.output_pause
            && !hub.is_crowded()
    }

    /// Takes one request; says whether it may be worth going on.
    fn next_request(
        &mut self,
        intake: &mut Intake,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) -> bool {
        let bytes = &intake.bytes[intake.at..];
        if bytes.is_empty() || bytes.len() < intake.wanted || self.is_held {
            return false;
        }
        intake.wanted = 0;
        match intake.parser.parse(bytes) {
            Ok(Parsed::Nothing(len)) => intake.at += len,
            Ok(Parsed::Incomplete { wanted }) => {
                intake.wanted = wanted;
                return false;
            }
            Err(error) => {
                hub.counters.protocol_errors += 1;
                self.refuse(failure(format!("ERR {error}")), hub);
                self.is_closing = true;
                return false;
            }
            Ok(Parsed::Request(request, len)) => {
                let args: SmallVec<[&[u8]; 8]> = request.iter().collect();
                let taken = self.take(&args, hub, keys, now);
                drop(args);
                if taken == Taken::Later {
                    // The same bytes are parsed once more then.
                    return false;
                }
                intake.at += len;
                if hub.options.password.is_some() {
                    intake.parser.set_stranger(!hub.client(self.id).is_authenticated);
                }
            }
        }
        true
    }

    fn take(&mut self, args: Args<'_>, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) -> Taken {
        let spec = match command::of_request(args) {
            Ok(spec) => spec,
            Err(failure) => return self.reject(failure, hub),
        };
        let client = hub.client(self.id);
        if !client.is_authenticated && spec.flags & command::NO_AUTH == 0 {
            return self.reject(fail("NOAUTH Authentication required."), hub);
        }
        if client.subscriptions() > 0 && client.protocol == Protocol::Resp2 && !is_for_subscribers(spec) {
            return self.reject(
                failure(format!(
                    "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
                     allowed in this context",
                    full_name(spec, args)
                )),
                hub,
            );
        }
        if let Run::Control(Control::Trimtab) = spec.run {
            return self.trimtab(args, hub, keys, now);
        }
        if let Some(failure) = out_of_place(spec, args, hub) {
            return self.reject(failure, hub);
        }
        if let Some(queue) = &mut self.queue {
            let is_at_once = matches!(
                spec.run,
                Run::Control(
                    Control::Multi
                        | Control::Exec
                        | Control::Discard
                        | Control::Watch
                        | Control::Quit
                        | Control::Reset
                )
            );
            if !is_at_once {
                let bytes: usize = args.iter().map(|arg| arg.len() + 48).sum();
                if queue.bytes + bytes > self.options.queue_max {
                    let max = self.options.queue_max;
                    let text =
                        format!("ERR the requests of a transaction have more than {max} bytes; split it");
                    return self.reject(failure(text), hub);
                }
                queue.bytes += bytes;
                queue.requests.push(Queued { spec, args: args.iter().map(|arg| arg.to_vec()).collect() });
                let client = hub.client(self.id);
                client.queued = queue.requests.len() as i64;
                client.active = now;
                (client.last_command, client.last_subcommand) = (spec.name, spec.subcommand(args));
                self.respond(hub, |reply| {
                    reply.simple("QUEUED");
                    Ok(())
                });
                return Taken::Yes;
            }
        }
        if let (Run::Data(_), true) = (spec.run, spec.is_write())
            && let Some(taken) = self.take_blind(spec, args, hub, keys, now)
        {
            return taken;
        }
        // From here on what was asked for before has to be done.
        if !self.slots.is_empty() {
            self.is_held = true;
            return Taken::Later;
        }
        if self.bound.is_some()
            && spec.flags & command::READONLY != 0
            && let Some(taken) = self.check_age(hub, keys, now)
        {
            return taken;
        }
        self.behind = None;
        let client = hub.client(self.id);
        client.active = now;
        client.last_command = spec.name;
        client.last_subcommand = spec.subcommand(args);
        hub.counters.commands += 1;
        match spec.run {
            Run::Session(_) if let Some(question) = self.question(spec, args) => match question {
                Ok(question) => self.ask(question, hub, now),
                Err(failure) => self.refuse(failure, hub),
            },
            Run::Control(Control::Exec) if self.waits_for_quorum(keys.look(), hub, now) => {
                return Taken::Later;
            }
            Run::Control(control) => self.control(control, args, hub, keys, now),
            Run::Session(_)
                if spec.flags & command::READONLY != 0 && self.waits_for_quorum(keys.look(), hub, now) =>
            {
                return Taken::Later;
            }
            Run::Session(run) => {
                let view = keys.view();
                if let Some(failure) =
                    self.unseen(keys.sight(), hub).filter(|_| spec.flags & command::READONLY != 0)
                {
                    self.refuse(failure, hub);
                    return Taken::Yes;
                }
                let now = now.max(view.time());
                let mut context = Context { id: self.id, hub, view: &view, now };
                let protocol = context.hub.client(self.id).protocol;
                let start = self.output.len();
                let mut reply = Reply::bounded(&mut self.output, protocol, self.options.output_max);
                let result = run(&mut context, args, &mut reply);
                let is_over = reply.is_over();
                self.conclude(start, result, is_over, hub);
            }
            Run::Data(run) if !spec.is_write() => {
                note_uses(spec, args, keys);
                let sight = keys.look();
                if self.waits_for_quorum(sight, hub, now) {
                    return Taken::Later;
                }
                if let Some(failure) = self.unseen(sight, hub) {
                    self.refuse(failure, hub);
                    return Taken::Yes;
                }
                let random = hub.rng.next_u64();
                keys.read(|state| {
                    let mut world = World::new(state, now.max(state.time()), false, random);
                    self.read(run, &mut world, args, hub);
                });
            }
            Run::Data(_) => {
                let args = args.iter().map(|arg| arg.to_vec()).collect();
                let job = Job { requests: vec![Queued { spec, args }], is_transaction: false };
                self.start_job(job, 1, hub, keys, now);
            }
        }
        Taken::Yes
    }

    /// Whether the request is looked at again later: this primary has just been elected, or has lost its quorum, and it is
    /// seen soon what comes of that.
    fn waits_for_quorum(&mut self, sight: Sight, hub: &mut Hub, now: Timestamp) -> bool {
        if sight != Sight::Lapsed || hub.client(self.id).takes_any {
            self.lapsed = None;
            return false;
        }
        let wait = u64::try_from(self.options.quorum_wait.as_millis()).unwrap_or(u64::MAX);
        let until = *self.lapsed.get_or_insert(now.saturating_add(wait));
        if until <= now {
            self.lapsed = None;
            return false;
        }
        // It is counted when it is answered.
        hub.counters.commands -= 1;
        self.busy = Some(Busy::Behind { until });
        true
    }

    /// Why what is seen is not told, if so.
    fn unseen(&self, sight: Sight, hub: &mut Hub) -> Option<Failure> {
        let why = match sight {
            Sight::Whole => return None,
            Sight::Lapsed => LAPSED,
            Sight::Past(age) => {
                let age_max = self.options.age_max?;
                if age.is_some_and(|age| age <= age_max) {
                    return None;
                }
                STALE
            }
        };
        (!hub.client(self.id).takes_any).then_some(why)
    }

    fn read(&mut self, run: Data, world: &mut World<'_>, args: Args<'_>, hub: &mut Hub) {
        let protocol = hub.client(self.id).protocol;
        let start = self.output.len();
        let mut reply = Reply::bounded(&mut self.output, protocol, self.options.output_max);
        let result = run(world, args, &mut reply);
        let is_over = reply.is_over();
        self.conclude(start, result, is_over, hub);
    }

    /// Submits a write that need not read first, or is refused by what it is alone.
    fn take_blind(
        &mut self,
        spec: &'static Spec,
        args: Args<'_>,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) -> Option<Taken> {
        let (time, value_max) = keys.present();
        let now = now.max(time);
        let (step, expects) = match blind::plan(spec.name, args, value_max, now) {
            Ok(planned) => planned?,
            Err(failure) => {
                self.refuse(failure, hub);
                return Some(Taken::Yes);
            }
        };
        if args.get(1).is_some_and(|key| keys.is_contested(key, now)) {
            return None;
        }
        hub.counters.commands += 1;
        let client = hub.client(self.id);
        client.active = now;
        (client.last_command, client.last_subcommand) = (spec.name, None);
        let command = Command { time: now, request: None, operation: Operation::Step(step) };
        match keys.submit(&command, self.options.durability, None) {
            Ok(Submitted::UnderWay(ticket)) => self.slots.push_back(Slot::Pending(ticket, expects)),
            Ok(Submitted::Done(outcome)) => {
                self.written = self.written.max(outcome.sequence);
                self.respond(hub, |reply| answer(Ok(outcome), &expects, keys, now, reply));
            }
            Err(error) => self.refuse(refused_write(&error), hub),
        }
        Some(Taken::Yes)
    }

    fn ok(&mut self, hub: &mut Hub) {
        self.respond(hub, |reply| {
            reply.simple("OK");
            Ok(())
        });
    }

    /// Refuses a request before it is run: a transaction it belongs to is lost.
    fn reject(&mut self, failure: Failure, hub: &mut Hub) -> Taken {
        if let Some(queue) = &mut self.queue {
            queue.is_broken = true;
        }
        self.refuse(failure, hub);
        Taken::Yes
    }

    fn refuse(&mut self, failure: Failure, hub: &mut Hub) {
        self.respond(hub, |_| Err(failure));
    }

    /// Writes an answer behind those that are to come before it.
    fn respond(&mut self, hub: &mut Hub, write: impl FnOnce(&mut Reply<'_>) -> Result<(), Failure>) {
        let protocol = hub.client(self.id).protocol;
        let mut later = Vec::new();
        let out = if self.slots.is_empty() { &mut self.output } else { &mut later };
        let mut reply = Reply::new(out, protocol);
        if let Err(Failure(text)) = write(&mut reply) {
            hub.counters.errors += 1;
            reply.error_bytes(&text);
        }
        if self.slots.is_empty() {
            self.check_output(false, hub);
        } else {
            self.slots.push_back(Slot::Ready(later));
        }
    }

    /// Leaves what was written behind `start` as it is, or an error instead.
    fn conclude(&mut self, start: usize, result: Result<(), Failure>, is_over: bool, hub: &mut Hub) {
        if let Err(Failure(text)) = result {
            hub.counters.errors += 1;
            self.output.truncate(start);
            let protocol = hub.client(self.id).protocol;
            Reply::new(&mut self.output, protocol).error_bytes(&text);
            self.check_output(false, hub);
        } else {
            self.check_output(is_over, hub);
        }
    }

    fn flush_slots(&mut self, hub: &mut Hub, keys: &mut impl Keys) {
        loop {
            match self.slots.front() {
                Some(Slot::Ready(bytes)) => self.output.extend_from_slice(bytes),
                Some(Slot::Position) => self.tell_position(hub, keys),
                Some(Slot::Pending(..)) | None => break,
            }
            self.slots.pop_front();
        }
        self.is_held &= !self.slots.is_empty();
        self.check_output(false, hub);
    }

    fn check_output(&mut self, is_over: bool, hub: &mut Hub) {
        if is_over || self.output.len() > self.options.output_max {
            self.cut(hub);
        }
    }

    fn drop_busy(&mut self, hub: &mut Hub) {
        match self.busy.take() {
            Some(Busy::Asking { number, .. }) => hub.forget_question(number),
            Some(Busy::Write { .. } | Busy::Wait { .. } | Busy::Behind { .. }) | None => {}
        }
    }

    fn cut(&mut self, hub: &mut Hub) {
        if !self.is_cut {
            hub.counters.slow_readers += 1;
        }
        self.drop_all(hub);
    }

    fn drop_all(&mut self, hub: &mut Hub) {
        self.is_cut = true;
        self.output = Vec::new();
        self.slots.clear();
        self.is_held = false;
        self.drop_busy(hub);
        self.queue = None;
    }
}

/// Bytes of memory that a connection keeps while it has nothing to hold.
const KEPT_MAX: usize = 4 << 10;

impl Intake {
    fn empty(limits: Limits) -> Self {
        Self { parser: Parser::new(limits), bytes: Vec::new(), at: 0, wanted: 0 }
    }

    /// Lets go of what was looked at.
    fn shrink(&mut self) {
        if self.at < self.bytes.len() {
            self.bytes.drain(..self.at);
        } else if self.bytes.capacity() > KEPT_MAX {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        self.at = 0;
    }
}

/// Has the keys that a command reads be known as used.
fn note_uses(spec: &Spec, args: Args<'_>, keys: &mut impl Keys) {
    let (first, last, step) = spec.keys;
    let Ok(step) = usize::try_from(step) else { return };
    if first < 1 || step == 0 {
        return;
    }
    let last = if last < 0 { args.len() as i32 + last } else { last };
    for at in (first..=last).step_by(step) {
        if let Some(key) = args.get(at as usize) {
            keys.note_use(key);
        }
    }
}

/// Why a command is not for this node, in a cluster or out of one.
fn out_of_place(spec: &Spec, args: Args<'_>, hub: &Hub) -> Option<Failure> {
    match hub.topology() {
        None => (spec.flags & command::MEMBER != 0).then(|| command::unknown(args)),
        Some(topology) => {
            (spec.is_write() && !topology.forwards && !topology.is_primary()).then_some(READ_ONLY)
        }
    }
}

fn is_for_subscribers(spec: &Spec) -> bool {
    matches!(
        spec.name,
        "ping" | "subscribe" | "psubscribe" | "unsubscribe" | "punsubscribe" | "quit" | "reset"
    )
}

fn full_name(spec: &Spec, args: Args<'_>) -> String {
    spec.subcommand(args).map_or_else(|| spec.name.to_owned(), |sub| format!("{}|{sub}", spec.name))
}

#[cfg(test)]
mod tests;
