//! What the connection itself answers: transactions begun and ended, keys watched, waiting, the end.

use super::job::Job;
use super::position::lost;
use super::{Busy, Connection, Queue, Watched};
use crate::resp::command::{Args, Control, failure, integer};
use crate::resp::hub::Hub;
use crate::resp::keys::{Has, Keys, Position};
use crate::resp::parse_integer;
use crate::resp::reply::Reply;
use crate::resp::world::{Failure, fail};
use crate::store::index::Timestamp;

impl Connection {
    pub(super) fn control(
        &mut self,
        control: Control,
        args: Args<'_>,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) {
        match control {
            Control::Multi if self.queue.is_some() => {
                self.refuse(fail("ERR MULTI calls can not be nested"), hub)
            }
            Control::Multi => {
                self.queue = Some(Queue::default());
                hub.client(self.id).queued = 0;
                self.ok(hub);
            }
            Control::Watch if self.queue.is_some() => {
                self.refuse(fail("ERR WATCH inside MULTI is not allowed"), hub);
            }
            Control::Watch => {
                let view = keys.view();
                let now = view.present(now, keys.follows());
                for key in &args[1..] {
                    let version = view.get(key, now).map_or(0, |entry| entry.version);
                    let watched = Watched { version, sequence: view.sequence() };
                    self.watched.entry(key.to_vec()).or_insert(watched);
                }
                self.ok(hub);
            }
            Control::Unwatch => {
                self.watched.clear();
                self.ok(hub);
            }
            Control::Discard => match self.queue.take() {
                None => self.refuse(fail("ERR DISCARD without MULTI"), hub),
                Some(_) => {
                    self.end_multi(hub);
                    self.ok(hub);
                }
            },
            Control::Exec => match self.queue.take() {
                None => self.refuse(fail("ERR EXEC without MULTI"), hub),
                Some(queue) if queue.is_broken => {
                    self.end_multi(hub);
                    let text = "EXECABORT Transaction discarded because of previous errors.";
                    self.refuse(fail(text), hub);
                }
                Some(queue) => {
                    hub.client(self.id).queued = -1;
                    let job = Job { requests: queue.requests, is_transaction: true, is_whole: false };
                    self.start_job(job, 1, hub, keys, now);
                }
            },
            Control::Quit => {
                self.ok(hub);
                self.is_closing = true;
            }
            Control::Reset => {
                self.queue = None;
                self.watched.clear();
                self.bound = None;
                self.follows_primary = false;
                self.refused = None;
                hub.reset(self.id);
                self.respond(hub, |reply| {
                    reply.simple("RESET");
                    Ok(())
                });
            }
            // Dealt with before anything is queued or held.
            Control::Trimtab => {}
            Control::Wait | Control::WaitAof
                if hub.topology().is_some_and(|topology| !topology.is_primary() && !topology.forwards) =>
            {
                self.refuse(of_primary(control), hub);
            }
            Control::Wait | Control::WaitAof => match waiting(control, args, now) {
                Err(failure) => self.refuse(failure, hub),
                Ok(mut busy) => {
                    if let Busy::Wait { asks_primary, .. } = &mut busy {
                        *asks_primary = !hub.topology().is_some_and(|topology| topology.follows());
                    }
                    self.busy = Some(busy);
                    self.check_wait(hub, keys, now);
                }
            },
        }
    }

    pub(super) fn end_multi(&mut self, hub: &mut Hub) {
        self.watched.clear();
        hub.client(self.id).queued = -1;
    }

    /// Answers `WAIT` or `WAITAOF` if that is possible now. What a primary was asked that is none any more might never be: it
    /// does not hear of each node. Of what is lost no node has anything, whatever is in its place.
    pub(super) fn check_wait(&mut self, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) {
        let Some(Busy::Wait { is_local, local, replicas, deadline, asks_primary }) = &self.busy else {
            return;
        };
        let (own, others) = match progress(keys, self.written) {
            Ok(progress) => progress,
            Err(failure) => {
                self.busy = None;
                return self.refuse(failure, hub);
            }
        };
        let is_late = deadline.is_some_and(|deadline| deadline <= now);
        if (own >= *local && others >= *replicas) || is_late {
            let is_local = *is_local;
            self.busy = None;
            self.respond(hub, |reply| {
                told_progress(is_local, own, others, reply);
                Ok(())
            });
            return;
        }
        let Some(topology) = hub.topology().filter(|topology| topology.follows()) else { return };
        let known = topology.known_elsewhere();
        let failure = if *asks_primary {
            fail(UNBLOCKED)
        } else if deadline.is_none() && *replicas > known {
            let primary = topology.primary().and_then(|it| it.address.as_ref());
            let primary = primary.map_or("the primary".into(), ToString::to_string);
            failure(format!(
                "ERR this node is not primary, and knows of {known} other nodes at most; give a timeout, or ask {primary}"
            ))
        } else {
            return;
        };
        self.busy = None;
        self.refuse(failure, hub);
    }
}

/// As by Redis.
const UNBLOCKED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";

/// What `WAIT` is answered on a replica, as by Redis.
fn of_primary(control: Control) -> Failure {
    match control {
        Control::WaitAof => fail(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to \
                                  replicas are just local and are not propagated.",
        ),
        _ => fail(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica \
                   is configured to be writable (which is not the default) writes to replicas are just local and are \
                   not propagated.",
        ),
    }
}

/// What a `WAIT` waits for.
pub(super) fn waiting(control: Control, args: Args<'_>, now: Timestamp) -> Result<Busy, Failure> {
    let is_local = control == Control::WaitAof;
    let number = |at: usize| integer(args[at]);
    let (local, replicas, timeout) = match is_local {
        false => (0, number(1)?, 2),
        true => (number(1)?, number(2)?, 3),
    };
    let timeout =
        parse_integer(args[timeout]).ok_or(fail("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| fail("ERR timeout is negative"))?;
    if is_local && !(0..=1).contains(&local) {
        return Err(fail("ERR value is out of range, must be between 0 and 1"));
    }
    if is_local && replicas < 0 {
        return Err(fail("ERR value is out of range, must be positive"));
    }
    let deadline = (timeout > 0).then(|| now.saturating_add(timeout));
    let (local, replicas) = (local as u64, replicas.max(0) as u64);
    Ok(Busy::Wait { is_local, local, replicas, deadline, asks_primary: false })
}

/// 1 if all that was written up to `written` is on this disk, otherwise 0; and how many other nodes have it.
///
/// # Errors
///
/// It is lost.
pub(super) fn progress(keys: &mut impl Keys, written: Position) -> Result<(u64, u64), Failure> {
    if written.epoch > 0 && keys.has(written) == Has::Lost {
        return Err(lost(written));
    }
    Ok((u64::from(keys.durable() >= written.sequence), keys.replicas_with(written)))
}

pub(super) fn told_progress(is_local: bool, own: u64, others: u64, reply: &mut Reply<'_>) {
    if is_local {
        reply.array(2);
        reply.integer(own as i64);
    }
    reply.integer(others as i64);
}
