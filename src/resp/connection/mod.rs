//! [`Connection`]: one client, from the bytes it sends to the bytes it is sent.
//!
//! Requests are taken one after the other and answered in that order. What only reads is answered from a view at
//! once, after the connection's own writes under way have completed: it sees them. A write is submitted; while it is
//! under way, further writes that need not read first are submitted too, up to `pending_max`. A write that must read
//! first is made up over the newest state, and what writes under way will have made of that
//! ([`World`](super::world::World), [`Ahead`](super::ahead::Ahead)), and submitted with the versions of what it has read;
//! if somebody has changed any of it meanwhile, it is made up anew, up to `attempts_max` times. Where what is here is
//! too old, the primary is asked (`elsewhere`).

mod answer;
mod asking;
mod control;
mod elsewhere;
mod intake;
mod job;
mod options;
mod output;
mod position;
mod take;

use std::collections::{BTreeMap, VecDeque};

use self::answer::answer;
use self::elsewhere::Heard;
use self::intake::Intake;
use self::job::{Job, Part, Queued, Rest};
pub use self::options::Options;
use self::output::Slot;
use self::position::Bound;
use crate::resp::hub::Hub;
use crate::resp::inbox::Message;
use crate::resp::keys::{Completed, Keys, Position, Ticket};
use crate::resp::reply::Reply;
use crate::resp::request::Parser;
use crate::resp::sending::Sending;
use crate::resp::world::Failure;
use crate::store::index::Timestamp;

/// Bytes of memory that a connection keeps while it has nothing to hold.
const KEPT_MAX: usize = 4 << 10;

/// See the module. Bytes go in by [`Connection::handle_bytes`] and are looked at by [`Connection::advance`], which is
/// also to be called after output was consumed and after the hub's deliveries were made.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    options: Options,
    intake: Intake,
    /// What is to be sent behind `sending`.
    output: Vec<u8>,
    sending: Sending,
    /// Answers not yet in the output, in order.
    slots: VecDeque<Slot>,
    busy: Option<Busy>,
    queue: Option<Queue>,
    watched: BTreeMap<Vec<u8>, Watched>,
    /// Where the last write of this connection is in the log.
    written: Position,
    /// Up to where the primary has read for it: it is not told what is older than that.
    seen: Position,
    /// What came of asking the primary, for the next request.
    heard: Option<Heard>,
    /// How fresh what it reads has to be.
    bound: Option<Bound>,
    /// Until when the next request waits for more of the log.
    behind: Option<Timestamp>,
    /// Until when it waits for a quorum.
    lapsed: Option<Timestamp>,
    /// Bytes of writes under way.
    pending_bytes: usize,
    /// Until when it waits for what this connection has written.
    own: Option<Timestamp>,
    /// The key in whose line this stands.
    line: Option<Vec<u8>>,
    /// The next request waits for the answers before it.
    is_held: bool,
    /// It has asked for what a balancer does of a primary: positions, or reads of what is newest.
    follows_primary: bool,
    /// Why a write was refused that another primary may do. So are those behind it, which follow it there in their order.
    refused: Option<Failure>,
    is_closing: bool,
    is_cut: bool,
}

/// What holds all further requests up.
#[derive(Debug)]
enum Busy {
    /// A write that reads first is under way.
    Write { ticket: Ticket, job: Job, parts: Vec<Part>, attempts: u32 },
    /// Something was asked of clients on other loops; and what is left to be done of a transaction then.
    Asking { number: u64, rest: Option<Rest> },
    /// `WAIT` or `WAITAOF`.
    Wait { is_local: bool, local: u64, replicas: u64, deadline: Option<Timestamp>, asks_primary: bool },
    /// The next request waits for more of the log.
    Behind { until: Timestamp },
    /// The primary was asked, for the next request or for a write that has come to none, which is told the failure
    /// otherwise.
    Elsewhere { ticket: Ticket, is_errand: bool, job: Option<(Job, u32, Failure)> },
    /// A write that reads first stands in the line of its key, or waits for a quorum.
    Line { until: Timestamp, job: Job, attempts: u32 },
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

impl Connection {
    /// One for a client that has just connected from `address` to this end's address `local`.
    pub fn new(options: Options, address: &str, local: &str, hub: &mut Hub, now: Timestamp) -> Self {
        let id = hub.connect(address, local, options.messages_max, now);
        let mut parser = Parser::new(options.limits);
        parser.set_stranger(!hub.client(id).is_authenticated);
        Self {
            id,
            options,
            intake: Intake { parser, ..Intake::empty(options.limits) },
            output: Vec::new(),
            sending: Sending::default(),
            slots: VecDeque::new(),
            busy: None,
            queue: None,
            watched: BTreeMap::new(),
            written: Position::default(),
            own: None,
            seen: Position::default(),
            heard: None,
            bound: None,
            behind: None,
            lapsed: None,
            pending_bytes: 0,
            line: None,
            is_held: false,
            follows_primary: false,
            refused: None,
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
        self.check_line(hub, keys, now);
        if self.has_requests(hub) {
            let mut intake = std::mem::replace(&mut self.intake, Intake::empty(self.options.limits));
            while self.takes_requests(hub) && self.next_request(&mut intake, hub, keys, now) {}
            intake.shrink();
            self.intake = intake;
            self.leave_line(keys);
        }
        if self.is_closing || self.is_cut {
            self.intake.bytes = Vec::new();
            (self.intake.at, self.intake.fetched) = (0, 0);
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
        if let Ok(done) = &completed {
            self.written = self.written.max(done.position());
        }
        let is_job = matches!(&self.busy, Some(Busy::Write { ticket: own, .. }) if *own == ticket);
        if is_job {
            let Some(Busy::Write { job, parts, attempts, .. }) = self.busy.take() else { return };
            self.finish_job(job, parts, attempts, completed, hub, keys, now);
            return;
        }
        let is_own = |slot: &Slot| matches!(slot, Slot::Pending(own, ..) if *own == ticket);
        let Some(at) = self.slots.iter().position(is_own) else { return };
        let protocol = hub.client(self.id).protocol;
        let mut written = Vec::new();
        // Mostly the first is done first, and goes straight to the output.
        let out = if at == 0 { &mut self.output } else { &mut written };
        let mut reply = Reply::new(out, protocol);
        let Slot::Pending(_, expects, bytes) = &self.slots[at] else { return };
        self.pending_bytes -= bytes;
        if let Err(Failure(text)) = answer(completed, expects, keys, now, &mut reply) {
            hub.counters.errors += 1;
            reply.error_bytes(&text);
            self.note_refused(&Failure(text));
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
        let client = hub.client(self.id);
        if client.inbox.is_over() {
            return self.cut(hub);
        }
        let protocol = client.protocol;
        let max = self.options.messages_max.saturating_sub(self.sending.len());
        let mut reply = Reply::bounded(&mut self.output, protocol, max);
        message.write(&mut reply);
        let is_over = reply.is_over();
        self.check_output(is_over, hub);
    }

    /// When [`Connection::handle_timeout`] is next needed.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.busy {
            Some(Busy::Wait { deadline, .. }) => *deadline,
            Some(Busy::Behind { until } | Busy::Line { until, .. }) => Some(*until),
            _ => None,
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) {
        self.advance(hub, keys, now);
    }

    /// Whether something is to come of what the client has sent, without its sending more. `WAIT` does not count.
    pub fn is_at_work(&self, hub: &Hub) -> bool {
        let is_busy = matches!(
            self.busy,
            Some(
                Busy::Write { .. }
                    | Busy::Asking { .. }
                    | Busy::Behind { .. }
                    | Busy::Elsewhere { .. }
                    | Busy::Line { .. }
            )
        );
        is_busy || !self.slots.is_empty() || self.is_held || self.has_requests(hub)
    }

    /// Whether something that the client has asked for goes on: a write, what the primary is asked for, or `WAIT`. What stands in a
    /// line, or waits for a quorum or for more of the log, is not begun.
    pub fn is_under_way(&self) -> bool {
        let is_busy =
            matches!(self.busy, Some(Busy::Write { .. } | Busy::Elsewhere { .. } | Busy::Wait { .. }));
        is_busy || !self.slots.is_empty()
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

    /// Whether it waits for more of the log, or for others to have written what it would write.
    pub fn waits_for_log(&self) -> bool {
        matches!(self.busy, Some(Busy::Behind { .. } | Busy::Line { .. }))
    }

    /// Whether it writes as a balancer does, which goes to another primary by itself.
    pub fn follows_primary(&self) -> bool {
        self.follows_primary
    }

    /// Whether it waits for messages of channels.
    pub fn is_subscriber(&self, hub: &mut Hub) -> bool {
        hub.client(self.id).subscriptions() > 0
    }

    /// Whether it is one of a balancer's, as `TRIMTAB BOUND` and `POSITION` say.
    pub fn is_balancer(&self, hub: &mut Hub) -> bool {
        hub.client(self.id).is_balancer
    }

    /// Whether nothing more will come: to be closed, after the output was sent unless [`Connection::is_cut`].
    pub fn is_finished(&self) -> bool {
        self.is_cut || (self.is_closing && self.slots.is_empty() && self.busy.is_none())
    }

    /// Whether it is closed for what it has sent. It may send on, and does not read why if the connection breaks off meanwhile.
    pub fn may_send_on(&self) -> bool {
        self.intake.parser.has_failed() && !self.is_cut
    }

    /// Whether it is to be closed at once, with the output unsent.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Has it be closed at once: somebody has said so.
    pub fn kill(&mut self, hub: &mut Hub) {
        self.drop_all(hub);
    }

    /// Has it be closed when what it has been told to do is done and answered: writes that are under way. What it has asked
    /// behind them is not looked at.
    pub fn dismiss(&mut self, hub: &mut Hub) {
        self.is_closing = true;
        self.is_held = false;
        self.queue = None;
        if !matches!(self.busy, Some(Busy::Write { .. })) {
            self.drop_busy(hub);
        }
    }

    /// Takes it out of the hub: the client has gone, or is to go. Writes under way are done all the same.
    pub fn close(mut self, hub: &mut Hub) {
        self.drop_busy(hub);
        hub.disconnect(self.id);
    }

    fn drop_busy(&mut self, hub: &mut Hub) {
        if let Some(Busy::Asking { number, .. }) = self.busy.take() {
            hub.forget_question(number);
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
        self.sending = Sending::default();
        self.slots.clear();
        self.is_held = false;
        self.drop_busy(hub);
        self.queue = None;
    }
}

#[cfg(test)]
mod tests;
