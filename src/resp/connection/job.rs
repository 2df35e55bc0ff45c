//! [`Job`]: a write that reads first, from being made up to its answer.

use std::vec::IntoIter;

use super::control::{progress, told_progress, waiting};
use super::take::tells_others;
use super::{Busy, Connection, Watched};
use crate::resp::ahead::LOOK_MS;
use crate::resp::command::server::flush_refused;
use crate::resp::command::{Context, Control, GUARDED, READONLY, Run, Spec, failure, persistence};
use crate::resp::connection::answer::{LAPSED, refused, refused_write};
use crate::resp::hub::Hub;
use crate::resp::keys::{Completed, Keys, Submitted};
use crate::resp::reply::{Protocol, Reply};
use crate::resp::world::{Failure, Lookups, World, fail};
use crate::store::index::{Answer, Command, EventKind, Range, Timestamp, View, Watch};

/// One command, or those of a transaction.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) requests: Vec<Queued>,
    pub(super) is_transaction: bool,
    /// What is here has all that was answered before it was asked for.
    pub(super) is_whole: bool,
}

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) spec: &'static Spec,
    pub(super) args: Vec<Vec<u8>>,
}

impl Queued {
    /// Whether it reads other keys than it names: SCAN, DBSIZE and such.
    fn is_at_large(&self) -> bool {
        self.spec.flags & READONLY != 0 && self.spec.keys.0 == 0
    }

    /// The first key it names.
    fn first_key(&self) -> Option<&[u8]> {
        let place = usize::try_from(self.spec.keys.0).ok().filter(|place| *place > 0)?;
        self.args.get(place).map(|key| &key[..])
    }

    pub(super) fn args(&self) -> Vec<&[u8]> {
        self.args.iter().map(|arg| &arg[..]).collect()
    }
}

/// What is left of a job while something is asked of clients on other loops.
#[derive(Debug)]
pub(super) struct Rest {
    /// The beginning of the answer, to which nothing else comes in between.
    pub(super) written: Vec<u8>,
    pub(super) requests: IntoIter<Queued>,
    pub(super) parts: IntoIter<Part>,
}

/// The answer to one command of a job, or that it is to be run once the others are done.
#[derive(Debug)]
pub(super) enum Part {
    /// And what it counts as looked up.
    Written(Vec<u8>, Lookups),
    Later,
}

impl Connection {
    /// Goes on with a job that stands in a line, if it is its turn.
    pub(super) fn check_line(&mut self, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) {
        if matches!(self.busy, Some(Busy::Line { .. }))
            && let Some(Busy::Line { job, attempts, .. }) = self.busy.take()
        {
            self.start_job(job, attempts, hub, keys, now);
        }
        self.leave_line(keys);
    }

    /// Has others have their turn, unless a job of this one still needs its own.
    pub(super) fn leave_line(&mut self, keys: &mut impl Keys) {
        if !matches!(self.busy, Some(Busy::Write { .. } | Busy::Line { .. }))
            && let Some(key) = self.line.take()
        {
            keys.leave_line(&key, self.id);
        }
    }

    /// Whether a job has to wait for others, on a node that does not foresee what they will have written: there they stand in a
    /// line once one has found a key changed.
    fn stands_in_line(&mut self, job: &Job, attempts: u32, keys: &mut impl Keys, now: Timestamp) -> bool {
        if !keys.follows() {
            return false;
        }
        let written = job.requests.iter().filter(|queued| queued.spec.is_write());
        // One line for each job, so that no two wait for each other.
        let Some(key) = written.filter_map(Queued::first_key).next() else { return false };
        // One that was done at once has left another one behind.
        if let Some(before) = self.line.take_if(|before| before.as_slice() != key) {
            keys.leave_line(&before, self.id);
        }
        self.line.get_or_insert_with(|| key.to_vec());
        !keys.is_turn(key, self.id, attempts > 1, now)
    }

    /// Makes up what a job comes to over the present view, and submits it if that changes something.
    pub(super) fn start_job(
        &mut self,
        job: Job,
        attempts: u32,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) {
        if self.stands_in_line(&job, attempts, keys, now) {
            let until = now.saturating_add(LOOK_MS);
            self.busy = Some(Busy::Line { until, job, attempts });
            return;
        }
        if job.requests.iter().any(|queued| tells_others(queued.spec))
            && let Some(failure) = self.outlived(keys)
        {
            return self.fail_job(job.is_transaction, failure, hub);
        }
        let lapsed = self.lapsed.take();
        if job.is_transaction && !self.watched.is_empty() {
            let view = keys.view();
            let now = view.present(now, keys.follows());
            if self.watched.iter().any(|(key, watched)| is_touched(key, watched, &view, now)) {
                self.watched.clear();
                self.respond(hub, |reply| {
                    reply.null_array();
                    Ok(())
                });
                return;
            }
        }
        let random = hub.rng.next_u64();
        let allows_flush = hub.options.allows_flush;
        let protocol = hub.clients[&self.id].protocol;
        let output_max = self.options.output_max;
        let follows = keys.follows();
        let (made, now, max) = keys.read_ahead(|state, ahead| {
            let now = state.present(now, follows);
            let mut world = World::new(state, now, true, random);
            if job.is_transaction && !self.watched.is_empty() {
                // What is watched must be as it was, not as it will be.
                self.watched.iter().for_each(|(key, watched)| world.demand(key, watched.version));
            } else {
                world.read_ahead(ahead);
            }
            let mut parts = made_up(&job, &mut world, protocol, output_max, allows_flush);
            if !world.draft().has_changes() && world.draft().root().is_some() {
                // An answer must not rest on what may not come about.
                world = World::new(state, now, true, random);
                parts = made_up(&job, &mut world, protocol, output_max, allows_flush);
            }
            (parts.map(|parts| (parts, world.into_draft())), now, state.settings().operations_max)
        });
        let Some((parts, mut draft)) = made else {
            match self.is_shared() {
                true => self.fail_job(job.is_transaction, self.too_long(), hub),
                false => self.cut(hub),
            }
            return;
        };
        if let Some(failure) = draft.failure() {
            return self.fail_job(job.is_transaction, failure.clone(), hub);
        }
        // What is changed demands that what was read of keys is still so.
        let rests_on_view = if draft.has_changes() { reads_at_large(&job) } else { reads(&job) };
        if rests_on_view && !job.is_whole {
            let sight = keys.sight();
            if let Some(failure) = self.unseen(sight, hub, keys) {
                // EXEC has waited before.
                self.lapsed = lapsed;
                if failure == LAPSED
                    && !job.is_transaction
                    && let Some(until) = self.lapses_until(now)
                {
                    self.busy = Some(Busy::Line { until, job, attempts });
                    return;
                }
                self.lapsed = None;
                return self.seek_whole(job, attempts, failure, hub, keys);
            }
        }
        if !draft.has_changes() {
            self.write_job(job, parts, hub, keys, now);
            return;
        }
        if draft.operations() > max {
            self.fail_job(
                job.is_transaction,
                failure(format!(
                    "ERR more than {max} keys are read and written at once, those that are both counted twice; split it"
                )),
                hub,
            );
            return;
        }
        if attempts > 1 {
            draft.read().for_each(|key| keys.contest(key, now));
        }
        let leaves = (draft.written() <= AHEAD_MAX).then(|| draft.take_leaves());
        let command = Command { time: now, request: None, operation: draft.operation() };
        match keys.submit(&command, self.options.durability, self.follows_primary, leaves) {
            Ok(Submitted::UnderWay(ticket)) => {
                self.busy = Some(Busy::Write { ticket, job, parts, attempts });
            }
            Ok(Submitted::Done(done)) => {
                self.written = self.written.max(done.position());
                self.finish_job(job, parts, attempts, Ok(done), hub, keys, now);
            }
            Err(error) => self.fail_job(job.is_transaction, refused_write(&error), hub),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a job consists of, and where it is done")]
    pub(super) fn finish_job(
        &mut self,
        job: Job,
        parts: Vec<Part>,
        attempts: u32,
        completed: Completed,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) {
        let failure = match completed.map(|done| done.outcome.answer) {
            Ok(Ok(Answer::Transaction { is_met: true, .. })) => {
                self.write_job(job, parts, hub, keys, now);
                return;
            }
            Ok(Ok(_)) if attempts < self.options.attempts_max => {
                hub.counters.retries += 1;
                self.start_job(job, attempts + 1, hub, keys, now);
                return;
            }
            Ok(Ok(_)) => fail("TRYAGAIN others keep changing what this command reads; nothing was done"),
            Ok(Err(refusal)) => refused(&refusal),
            Err(error) => refused_write(&error),
        };
        self.fail_job(job.is_transaction, failure, hub);
    }

    pub(super) fn fail_job(&mut self, is_transaction: bool, failure: Failure, hub: &mut Hub) {
        if is_transaction {
            self.watched.clear();
        }
        self.note_refused(&failure);
        self.refuse(failure, hub);
    }

    /// Runs what a job has that is not about keys, and writes its answer.
    pub(super) fn write_job(
        &mut self,
        job: Job,
        parts: Vec<Part>,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) {
        let start = self.output.len();
        if job.is_transaction {
            self.watched.clear();
            let protocol = hub.client(self.id).protocol;
            Reply::new(&mut self.output, protocol).array(parts.len());
        }
        self.write_rest(start, job.requests.into_iter(), parts.into_iter(), hub, keys, now);
    }

    /// Goes on with the answer to a job that begins at `from` in the output.
    pub(super) fn write_rest(
        &mut self,
        from: usize,
        mut requests: IntoIter<Queued>,
        mut parts: IntoIter<Part>,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) {
        // HELLO among them changes it behind EXEC.
        let protocol = hub.client(self.id).protocol;
        let mut view = None;
        while let (Some(queued), Some(part)) = (requests.next(), parts.next()) {
            let start = self.output.len();
            let question = match part {
                Part::Later => self.question(queued.spec, &queued.args()),
                Part::Written(..) => None,
            };
            if let Some(Ok(question)) = &question {
                let view = view.get_or_insert_with(|| keys.view());
                match hub.ask(question.clone(), now.max(view.time())) {
                    Ok(part) => self.write_part(part, question, hub),
                    Err(number) => {
                        let written = self.output.split_off(from);
                        self.busy =
                            Some(Busy::Asking { number, rest: Some(Rest { written, requests, parts }) });
                        return;
                    }
                }
                continue;
            }
            let end = self.answer_end(from);
            let mut reply = Reply::bounded(&mut self.output, protocol, end);
            let mut result = Ok(());
            match (part, queued.spec.run) {
                (Part::Written(bytes, lookups), _) => {
                    hub.counters.looked_up(lookups);
                    hub.counters.errors += u64::from(bytes.starts_with(b"-"));
                    reply.written(&bytes);
                }
                (Part::Later, Run::Session(_)) if let Some(Err(failure)) = question => result = Err(failure),
                (Part::Later, Run::Session(run)) => {
                    let view = view.get_or_insert_with(|| keys.view());
                    let now = now.max(view.time());
                    let persistence = persistence(queued.spec, keys);
                    let mut context = Context { id: self.id, hub, view, now, persistence };
                    result = run(&mut context, &queued.args(), &mut reply);
                }
                (Part::Later, Run::Control(control @ (Control::Wait | Control::WaitAof))) => {
                    let is_local = control == Control::WaitAof;
                    result = waiting(control, &queued.args(), now)
                        .and_then(|_| progress(keys, self.written))
                        .map(|(own, others)| told_progress(is_local, own, others, &mut reply));
                }
                // Nothing is watched any more.
                (Part::Later, _) => reply.simple("OK"),
            }
            let is_over = reply.is_over();
            if is_over && self.is_shared() {
                return self.conclude(from, Ok(()), true, hub);
            }
            self.conclude(start, result, is_over, hub);
            if self.is_cut {
                return;
            }
        }
    }
}

/// Whether any of it is about keys.
fn reads(job: &Job) -> bool {
    job.requests.iter().any(|queued| matches!(queued.spec.run, Run::Data(_)) || queued.is_at_large())
}

/// Whether any of it reads other keys than it names.
fn reads_at_large(job: &Job) -> bool {
    job.requests.iter().any(Queued::is_at_large)
}

/// Bytes up to which others may read what a write under way has changed.
const AHEAD_MAX: u64 = 1 << 20;

/// Runs what a job has about keys; `None`: the answers would be too long.
fn made_up(
    job: &Job,
    world: &mut World<'_>,
    protocol: Protocol,
    mut room: usize,
    allows_flush: bool,
) -> Option<Vec<Part>> {
    let mut parts = Vec::with_capacity(job.requests.len());
    for queued in &job.requests {
        let Run::Data(run) = queued.spec.run else {
            parts.push(Part::Later);
            continue;
        };
        let mut out = Vec::new();
        let mut reply = Reply::bounded(&mut out, protocol, room);
        let result = match queued.spec.flags & GUARDED != 0 && !allows_flush {
            true => Err(flush_refused(queued.spec.name)),
            false => run(world, &queued.args(), &mut reply),
        };
        if reply.is_over() {
            return None;
        }
        if let Err(Failure(text)) = result {
            out.clear();
            Reply::new(&mut out, protocol).error_bytes(&text);
        }
        room -= out.len().min(room);
        parts.push(Part::Written(out, world.take_lookups(queued.spec.is_write())));
    }
    world.put_all_edited();
    Some(parts)
}

/// Whether `key` was changed since it was watched, even if it is as it was.
pub(super) fn is_touched(key: &[u8], watched: &Watched, view: &View, now: Timestamp) -> bool {
    let version = view.get(key, now).map_or(0, |entry| entry.version);
    if version != watched.version {
        return true;
    }
    if version > 0 || view.sequence() == watched.sequence {
        return false;
    }
    // Not there before and not now; it may have come and gone. What goes only by having expired was gone before.
    let end = [key, &[0]].concat();
    let range = Range { start: key, end: Some(&end) };
    match Watch::new(&range, watched.sequence + 1).next(view, usize::MAX, usize::MAX) {
        Ok(events) => events.iter().any(|event| event.kind() != EventKind::Expired),
        Err(_) => true,
    }
}
