//! Places in the log, for who reads here what was written elsewhere: `TRIMTAB POSITION`, `AFTER` and `BOUND`.

use std::time::Duration;

use super::answer::{OUTLIVED, is_for_another};
use super::output::Slot;
use super::take::Taken;
use super::{Busy, Connection};
use crate::resp::command::{self, Args, Control, READONLY, Run, failure, is};
use crate::resp::hub::Hub;
use crate::resp::keys::{Has, Keys, Position, Sight};
use crate::resp::parse_integer;
use crate::resp::reply::Reply;
use crate::resp::world::{Failure, fail};
use crate::store::index::Timestamp;

/// How old what a connection reads may be, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    age: u64,
    wait: u64,
    /// Of which epoch this node was primary when it was said.
    reign: Option<u64>,
}

impl Bound {
    /// Whether what was there so long ago will do; `None`: it is not known how long.
    pub(super) fn takes(self, past: Option<Duration>) -> bool {
        self.age > 0 && past.is_some_and(|past| past <= Duration::from_millis(self.age))
    }
}

impl Connection {
    /// Does what `TRIMTAB` asks for.
    pub(super) fn trimtab(
        &mut self,
        args: Args<'_>,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) -> Taken {
        if self.queue.is_some() {
            return self.reject(fail("ERR TRIMTAB inside MULTI is not allowed"), hub);
        }
        if is(args[1], "after") {
            return self.after(args, hub, keys, now);
        }
        hub.counters.commands += 1;
        hub.client(self.id).is_balancer |= is(args[1], "position") || is(args[1], "bound");
        if is(args[1], "position") {
            self.follows_primary = true;
            if self.slots.is_empty() {
                self.tell_position(hub, keys);
            } else {
                self.slots.push_back(Slot::Position);
            }
        } else if is(args[1], "bound") {
            match bound(args) {
                Ok(mut bound) => {
                    if let Some(bound) = bound.as_mut().filter(|bound| bound.age == 0) {
                        bound.reign = keys.reign();
                    }
                    // Who reads only what is newest does so where it writes.
                    self.follows_primary |= bound.as_ref().is_some_and(|bound| bound.age == 0);
                    // Without a bound it is served as any other.
                    self.follows_primary &= bound.is_some();
                    self.bound = bound;
                    self.refused = None;
                    self.ok(hub);
                }
                Err(failure) => self.refuse(failure, hub),
            }
        } else {
            self.respond(hub, |reply| {
                command::help("trimtab", command::TRIMTAB, reply);
                Ok(())
            });
        }
        Taken::Yes
    }

    /// A write was not done. If that may be done elsewhere, who goes to the primary by itself has all writes behind it
    /// refused too: one of them that was done here, by a node that has become primary meanwhile, would have overtaken it.
    pub(super) fn note_refused(&mut self, failure: &Failure) {
        let is_bound = self.bound.is_some_and(|bound| bound.age == 0);
        if is_bound && self.refused.is_none() && is_for_another(failure) {
            self.refused = Some(failure.clone());
        }
    }

    /// Why nothing that others see is done for who goes to the primary by itself, if this node has become that since it was told so. What was
    /// said before may have been given up since and come late: another primary has done what came behind it.
    pub(super) fn outlived(&self, keys: &mut impl Keys) -> Option<Failure> {
        let bound = self.bound.filter(|bound| bound.age == 0)?;
        let reign = keys.reign()?;
        (bound.reign != Some(reign)).then_some(OUTLIVED)
    }

    /// Answers with a place in the log behind all that this connection has been told.
    pub(super) fn tell_position(&mut self, hub: &mut Hub, keys: &mut impl Keys) {
        let sequence = keys.view().sequence();
        let shown = keys.place_of(sequence);
        // What was written may not be shown yet; and only the primary had what it has read for this connection.
        let Position { epoch, sequence } = shown.max(self.written).max(self.seen);
        let protocol = hub.client(self.id).protocol;
        let mut reply = Reply::new(&mut self.output, protocol);
        reply.array(2);
        reply.integer(epoch as i64);
        reply.integer(sequence as i64);
        self.check_output(false, hub);
    }

    /// Does a command once this node has all up to a position.
    fn after(&mut self, args: Args<'_>, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) -> Taken {
        let (position, wait) = match place(args) {
            Ok(place) => place,
            Err(failure) => return self.reject(failure, hub),
        };
        let inner = &args[5..];
        let spec = match command::of_request(inner) {
            Ok(spec) => spec,
            Err(failure) => return self.reject(failure, hub),
        };
        let reads = spec.flags & READONLY != 0;
        if !reads && !matches!(spec.run, Run::Control(Control::Wait | Control::WaitAof)) {
            return self.reject(fail("ERR TRIMTAB AFTER takes a command that only reads, or WAIT"), hub);
        }
        match keys.has(position) {
            Has::All => {
                // Who says what is to be there does not ask for what is lost of what this connection was told before.
                let is_behind = self.written <= position || keys.has(self.written) == Has::Lost;
                self.written = if is_behind { position } else { self.written };
                self.take(inner, hub, keys, now)
            }
            Has::Lost => {
                self.behind = None;
                self.reject(lost(position), hub)
            }
            // What was asked for before has to be done.
            Has::NotYet if reads && !self.slots.is_empty() => {
                self.is_held = true;
                Taken::Later
            }
            Has::NotYet if self.heard.is_none() && self.keeps_waiting(wait, now) => Taken::Later,
            Has::NotYet if reads => {
                let taken = self.read_elsewhere(spec, inner, Some(position), BEHIND, hub, keys);
                taken.unwrap_or_else(|| self.reject(BEHIND, hub))
            }
            Has::NotYet => self.reject(BEHIND, hub),
        }
    }

    /// Whether what is here is as fresh as this connection asks; if not, what comes of the request.
    pub(super) fn check_age(&mut self, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) -> Option<Taken> {
        if let Some(bound) = self.bound
            && !is_young(keys, bound)
        {
            if self.keeps_waiting(bound.wait, now) {
                return Some(Taken::Later);
            }
            if self.queue.take().is_some() {
                self.end_multi(hub);
                self.note_refused(&BEHIND);
            }
            self.refuse(BEHIND, hub);
            return Some(Taken::Yes);
        }
        self.behind = None;
        None
    }

    /// Whether the request is looked at again when there is more of the log, or its time is over; `false`: it is.
    fn keeps_waiting(&mut self, wait: u64, now: Timestamp) -> bool {
        let until = *self.behind.get_or_insert(now.saturating_add(wait));
        if until > now {
            self.busy = Some(Busy::Behind { until });
            return true;
        }
        self.behind = None;
        false
    }
}

/// What a read is answered that is to see more than there is here.
pub(super) const BEHIND: Failure = fail("BEHIND this node is not as fresh as was asked; nothing was done");

/// What is answered where what was written is lost, for who waits for it.
pub(super) fn lost(Position { epoch, sequence }: Position) -> Failure {
    failure(format!("LOST what was written at {epoch}:{sequence} is lost"))
}

/// Whether what is seen now is as fresh as that.
fn is_young(keys: &mut impl Keys, bound: Bound) -> bool {
    let view = keys.view();
    let sight = keys.sight();
    drop(view);
    match sight {
        Sight::Whole => true,
        Sight::Past(past) => bound.takes(past),
        Sight::Lapsed => false,
    }
}

fn place(args: Args<'_>) -> Result<(Position, u64), Failure> {
    let number = |at: usize, what: &str| {
        let number = parse_integer(args[at]).and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| failure(format!("ERR the {what} is no whole number from 0 on")))
    };
    let position = Position { epoch: number(2, "epoch")?, sequence: number(3, "sequence")? };
    Ok((position, number(4, "time to wait in milliseconds")?))
}

fn bound(args: Args<'_>) -> Result<Option<Bound>, Failure> {
    let number = |at: usize| args.get(at).map_or(Some(0), |arg| parse_integer(arg));
    match (number(2), number(3).and_then(|wait| u64::try_from(wait).ok())) {
        (Some(-1), Some(_)) => Ok(None),
        (Some(age), Some(wait)) if age >= 0 => Ok(Some(Bound { age: age as u64, wait, reign: None })),
        _ => Err(fail("ERR TRIMTAB BOUND takes milliseconds, or -1 for no bound, and how many to wait")),
    }
}
