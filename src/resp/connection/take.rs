//! One request: what becomes of it, and when.

use smallvec::SmallVec;

use super::answer::{LAPSED, READ_ONLY, STALE, answer, refused_write};
use super::job::{Job, Queued};
use super::output::Slot;
use super::position::BEHIND;
use super::{Busy, Connection, Queue};
use crate::resp::command::blind::{self, Expects};
use crate::resp::command::{self, Args, Context, Control, Data, Run, Spec, failure, is};
use crate::resp::hub::Hub;
use crate::resp::keys::{Has, Keys, Position, Sight, Submitted};
use crate::resp::reply::{Protocol, Reply};
use crate::resp::world::{Failure, World, fail};
use crate::store::index::{Command, FETCH_MAX, Operation, State, Timestamp};

/// Whether a request was dealt with.
#[derive(PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// Not before what is under way has completed.
    Later,
}

impl Connection {
    /// Says what is wrong with a request. If that is `EXEC`, its transaction is over.
    fn reject_request(&mut self, args: Args<'_>, failure: Failure, hub: &mut Hub) -> Taken {
        if !is(args[0], "exec") {
            return self.reject(failure, hub);
        }
        self.queue = None;
        self.end_multi(hub);
        let Failure(text) = failure;
        let reason = text.strip_prefix(b"ERR ").unwrap_or(&text);
        let text = [b"EXECABORT Transaction discarded because of: ", reason].concat();
        self.refuse(Failure(text.into()), hub);
        Taken::Yes
    }

    pub(super) fn take(
        &mut self,
        args: Args<'_>,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) -> Taken {
        let spec = match command::of_request(args) {
            Ok(spec) => spec,
            Err(failure) => return self.reject_request(args, failure, hub),
        };
        let client = hub.client(self.id);
        if !client.is_authenticated && spec.flags & command::NO_AUTH == 0 {
            return self.reject_request(args, fail("NOAUTH Authentication required."), hub);
        }
        if client.subscriptions() > 0 && client.protocol == Protocol::Resp2 && !is_for_subscribers(spec) {
            return self.reject_request(
                args,
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
        if let Some(failure) = out_of_place(spec, args, self.follows_primary, hub) {
            self.note_refused(&failure);
            return self.reject(failure, hub);
        }
        let is_exec = matches!(spec.run, Run::Control(Control::Exec));
        let is_told = tells_others(spec) || is_exec && self.queue.is_some();
        if is_told && let Some(failure) = self.outlived(keys) {
            self.note_refused(&failure);
        }
        if let Some(failure) = self.refused.clone().filter(|_| is_told) {
            if is_exec {
                self.queue = None;
                self.end_multi(hub);
            }
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
        let reads_queued =
            |queue: &Queue| queue.requests.iter().any(|it| it.spec.flags & command::READONLY != 0);
        let reads = spec.flags & command::READONLY != 0;
        if self.bound.is_some()
            && (reads || is_exec && self.queue.as_ref().is_some_and(reads_queued))
            && let Some(taken) = self.check_age(hub, keys, now)
        {
            return taken;
        }
        self.behind = None;
        let sees = reads || is_exec || matches!(spec.run, Run::Data(_) | Run::Control(Control::Watch));
        let may_ask = reads && !hub.client(self.id).is_balancer;
        if sees && self.waits_for_own(may_ask, keys, now) {
            return Taken::Later;
        }
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
                let sight = keys.sight();
                if spec.flags & command::READONLY != 0
                    && let Some(failure) = self.unseen(sight, hub, keys)
                    && let Some(taken) =
                        self.read_elsewhere(spec, args, self.not_shown(keys), failure, hub, keys)
                {
                    return counted(taken, hub);
                }
                let now = now.max(view.time());
                let persistence = command::persistence(spec, keys);
                let mut context = Context { id: self.id, hub, view: &view, now, persistence };
                let protocol = context.hub.client(self.id).protocol;
                let start = self.output.len();
                let end = self.answer_end(start);
                let mut reply = Reply::bounded(&mut self.output, protocol, end);
                let result = run(&mut context, args, &mut reply);
                let is_over = reply.is_over();
                self.conclude(start, result, is_over, hub);
            }
            Run::Data(run) if !spec.is_write() => {
                spec.keys_of(args).for_each(|key| keys.note_use(key));
                let sight = keys.look();
                if self.waits_for_quorum(sight, hub, now) {
                    return Taken::Later;
                }
                if let Some(failure) = self.unseen(sight, hub, keys)
                    && let Some(taken) =
                        self.read_elsewhere(spec, args, self.not_shown(keys), failure, hub, keys)
                {
                    return counted(taken, hub);
                }
                let random = hub.rng.next_u64();
                let follows = keys.follows();
                keys.read(|state| {
                    if spec.keys.1 != spec.keys.0 {
                        fetch(spec, args, state);
                    }
                    let mut world = World::new(state, state.present(now, follows), false, random);
                    self.read(run, &mut world, args, hub);
                });
            }
            Run::Data(_) => {
                let args = args.iter().map(|arg| arg.to_vec()).collect();
                let job =
                    Job { requests: vec![Queued { spec, args }], is_transaction: false, is_whole: false };
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
        let Some(until) = self.lapses_until(now) else { return false };
        // It is counted when it is answered.
        hub.counters.commands -= 1;
        self.busy = Some(Busy::Behind { until });
        true
    }

    /// Until when it is waited for what comes of a primary that has no quorum; `None`: no longer.
    pub(super) fn lapses_until(&mut self, now: Timestamp) -> Option<Timestamp> {
        let until = *self.lapsed.get_or_insert(now.saturating_add(self.options.quorum_wait_ms()));
        if until <= now {
            self.lapsed = None;
            return None;
        }
        Some(until)
    }

    /// Where the last write of this connection is, if what is seen lacks it and will have it.
    fn not_shown(&self, keys: &mut impl Keys) -> Option<Position> {
        let is_answered_early = self.written.epoch > 0 && keys.view().sequence() < self.written.sequence;
        (is_answered_early && keys.has(self.written) == Has::NotYet).then_some(self.written)
    }

    /// Whether the request is looked at again when what this connection has written is seen, which may have been answered
    /// before that. On a replica the primary is asked at once, if it `may_ask`: there may be no room here for what was written.
    fn waits_for_own(&mut self, may_ask: bool, keys: &mut impl Keys, now: Timestamp) -> bool {
        let until = match self.heard.is_none().then(|| self.not_shown(keys)).flatten() {
            None => now,
            Some(_) if may_ask && matches!(keys.sight(), Sight::Past(_)) => now,
            Some(_) => *self.own.get_or_insert(now.saturating_add(self.options.quorum_wait_ms())),
        };
        if until <= now {
            self.own = None;
            return false;
        }
        self.busy = Some(Busy::Behind { until });
        true
    }

    /// Why what is seen is not told, if so.
    pub(super) fn unseen(&self, sight: Sight, hub: &mut Hub, keys: &mut impl Keys) -> Option<Failure> {
        let why = match sight {
            Sight::Lapsed => LAPSED,
            Sight::Past(age) if self.bound.is_some_and(|bound| !bound.takes(age)) => return Some(BEHIND),
            _ if self.not_shown(keys).is_some() => STALE,
            Sight::Whole => return None,
            Sight::Past(age) => {
                let is_old = self.options.age_max.is_some_and(|most| age.is_none_or(|age| age > most));
                // What the primary has read for it was newer.
                let is_back = self.seen.sequence > 0 && keys.view().sequence() < self.seen.sequence;
                if !is_old && !is_back {
                    return None;
                }
                STALE
            }
        };
        (!hub.client(self.id).takes_any).then_some(why)
    }

    pub(super) fn read(&mut self, run: Data, world: &mut World<'_>, args: Args<'_>, hub: &mut Hub) {
        let protocol = hub.client(self.id).protocol;
        let start = self.output.len();
        let end = self.answer_end(start);
        let mut reply = Reply::bounded(&mut self.output, protocol, end);
        let result = run(world, args, &mut reply);
        hub.counters.looked_up(world.take_lookups(false));
        let is_over = reply.is_over();
        self.conclude(start, result, is_over, hub);
    }

    /// Submits a write that need not read first, or is refused by what it is alone.
    pub(super) fn take_blind(
        &mut self,
        spec: &'static Spec,
        args: Args<'_>,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) -> Option<Taken> {
        let (time, value_max) = keys.present();
        let now = now.max(time);
        let (operation, expects) = match blind::plan(spec.name, args, value_max, now) {
            Ok(Some(_)) if args.get(1).is_some_and(|key| keys.is_contested(key, now)) => return None,
            Ok(Some((step, expects))) => (Operation::Step(step), expects),
            Ok(None) if args.len() > 2 && matches!(spec.name, "del" | "unlink") => {
                let max = keys.read(|state| state.settings().operations_max);
                (blind::sweep(spec.name, args, max)?, Expects::Count)
            }
            Ok(None) => return None,
            Err(failure) => {
                self.refuse(failure, hub);
                return Some(Taken::Yes);
            }
        };
        hub.counters.commands += 1;
        let client = hub.client(self.id);
        client.active = now;
        (client.last_command, client.last_subcommand) = (spec.name, None);
        let command = Command { time: now, request: None, operation };
        match keys.submit(&command, self.options.durability, self.follows_primary, None) {
            Ok(Submitted::UnderWay(ticket)) => {
                let bytes = args.iter().map(|arg| arg.len()).sum();
                self.pending_bytes += bytes;
                self.slots.push_back(Slot::Pending(ticket, expects, bytes));
            }
            Ok(Submitted::Done(done)) => {
                self.written = self.written.max(done.position());
                self.respond(hub, |reply| answer(Ok(done), &expects, keys, now, reply));
            }
            Err(error) => {
                let failure = refused_write(&error);
                self.note_refused(&failure);
                self.refuse(failure, hub);
            }
        }
        Some(Taken::Yes)
    }

    /// Refuses a request before it is run: a transaction it belongs to is lost.
    pub(super) fn reject(&mut self, failure: Failure, hub: &mut Hub) -> Taken {
        if let Some(queue) = &mut self.queue {
            queue.is_broken = true;
        }
        self.refuse(failure, hub);
        Taken::Yes
    }
}

/// A request that is looked at again counts when it is answered.
fn counted(taken: Taken, hub: &mut Hub) -> Taken {
    hub.counters.commands -= u64::from(taken == Taken::Later);
    taken
}

/// Has the memory fetched that a command needs which reads several keys.
fn fetch(spec: &Spec, args: Args<'_>, state: &State) {
    let mut keys = spec.keys_of(args);
    loop {
        let group: SmallVec<[&[u8]; FETCH_MAX]> = keys.by_ref().take(FETCH_MAX).collect();
        if group.len() < 2 {
            return;
        }
        state.fetch(group);
    }
}

/// Whether others see what it does: it writes, or publishes.
pub(super) fn tells_others(spec: &Spec) -> bool {
    spec.is_write() || spec.name == "publish"
}

/// Why a command is not for this node, in a cluster or out of one.
///
/// - `follows_primary`: it writes where the primary is, and is told where that is not here: passed on, a write that it has
///   given up might be done behind later ones of it.
fn out_of_place(spec: &Spec, args: Args<'_>, follows_primary: bool, hub: &Hub) -> Option<Failure> {
    if spec.name == "debug" {
        return Some(command::NO_DEBUG);
    }
    match hub.topology() {
        None => (spec.flags & command::MEMBER != 0).then(|| command::unknown(args)),
        Some(topology) => {
            let forwards = topology.forwards && !follows_primary;
            (spec.is_write() && !forwards && !topology.is_primary()).then_some(READ_ONLY)
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
