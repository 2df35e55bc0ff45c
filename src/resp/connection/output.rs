//! What a client is sent: answers, in the order of its requests.

use super::Connection;
use crate::resp::command::blind::Expects;
use crate::resp::command::failure;
use crate::resp::hub::Hub;
use crate::resp::keys::{Keys, Ticket};
use crate::resp::reply::Reply;
use crate::resp::world::Failure;

/// An answer, or what it waits for.
#[derive(Debug)]
pub(super) enum Slot {
    Ready(Vec<u8>),
    /// A write of so many bytes.
    Pending(Ticket, Expects, usize),
    /// Where in the log all before it is.
    Position,
}

impl Connection {
    /// What is to be sent next: all there is, or the rest of what was sent in part, behind which there may be more.
    pub fn output(&self) -> &[u8] {
        self.sending.front(&self.output)
    }

    /// Takes away what was sent, `len` bytes of [`Connection::output`].
    pub fn consume_output(&mut self, len: usize) {
        self.sending.consume(&mut self.output, len);
    }

    /// Bytes to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.sending.len() + self.output.len()
    }

    pub(super) fn ok(&mut self, hub: &mut Hub) {
        self.respond(hub, |reply| {
            reply.simple("OK");
            Ok(())
        });
    }

    pub(super) fn refuse(&mut self, failure: Failure, hub: &mut Hub) {
        self.respond(hub, |_| Err(failure));
    }

    /// Writes an answer behind those that are to come before it.
    pub(super) fn respond(
        &mut self,
        hub: &mut Hub,
        write: impl FnOnce(&mut Reply<'_>) -> Result<(), Failure>,
    ) {
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

    /// Whether it speaks for several clients, as a balancer's does that has said `TRIMTAB BOUND`: it is not cut for what one of
    /// them has asked for.
    pub(super) fn is_shared(&self) -> bool {
        self.bound.is_some()
    }

    /// The length to which an answer that begins at `start` in the output may bring it. What others have not read yet does not
    /// count against it.
    pub(super) fn answer_end(&self, start: usize) -> usize {
        let others = if self.is_shared() { start } else { 0 };
        self.options.output_max.saturating_add(others)
    }

    /// What is told in place of an answer that is too long, to who is not cut for it.
    pub(super) fn too_long(&self) -> Failure {
        failure(format!("TOOLONG this answer has more than {} bytes", self.options.output_max))
    }

    /// Leaves what was written behind `start` as it is, or an error instead.
    pub(super) fn conclude(
        &mut self,
        start: usize,
        result: Result<(), Failure>,
        is_over: bool,
        hub: &mut Hub,
    ) {
        let is_too_long = self.is_shared() && (is_over || self.output.len() > self.answer_end(start));
        let result = if is_too_long { Err(self.too_long()) } else { result };
        if let Err(Failure(text)) = result {
            hub.counters.errors += 1;
            self.output.truncate(start);
            if self.output.capacity() > self.options.output_max {
                self.output.shrink_to(self.output.len());
            }
            let protocol = hub.client(self.id).protocol;
            Reply::new(&mut self.output, protocol).error_bytes(&text);
            self.check_output(false, hub);
        } else {
            self.check_output(is_over, hub);
        }
    }

    pub(super) fn flush_slots(&mut self, hub: &mut Hub, keys: &mut impl Keys) {
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

    pub(super) fn check_output(&mut self, is_over: bool, hub: &mut Hub) {
        // An answer comes behind what others have not read yet.
        let most = self.answer_end(self.options.output_max);
        if is_over || self.unsent() > most {
            self.cut(hub);
        }
    }
}
