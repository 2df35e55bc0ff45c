//! What a connection asks of all clients, on whichever loop they are: asked, waited for, answered.

use super::job::Rest;
use super::{Busy, Connection};
use crate::resp::clients::{Part, Question};
use crate::resp::command::{ASKING, Args, Spec, client};
use crate::resp::hub::Hub;
use crate::resp::keys::Keys;
use crate::resp::reply::Reply;
use crate::resp::world::Failure;
use crate::store::index::Timestamp;

impl Connection {
    /// The question that a request is, if it is one.
    pub(super) fn question(&self, spec: &Spec, args: Args<'_>) -> Option<Result<Question, Failure>> {
        if spec.flags & ASKING == 0 {
            return None;
        }
        client::question(args, self.id)
    }

    /// Asks, and answers at once if no other loop has to be asked too.
    pub(super) fn ask(&mut self, question: Question, hub: &mut Hub, now: Timestamp) {
        match hub.ask(question.clone(), now) {
            Ok(part) => self.write_part(part, &question, hub),
            Err(number) => self.busy = Some(Busy::Asking { number, rest: None }),
        }
    }

    /// Answers what was asked, if all have answered, and does what is left of a transaction.
    pub(super) fn check_answer(&mut self, hub: &mut Hub, keys: &mut impl Keys, now: Timestamp) {
        let Some(Busy::Asking { number, .. }) = &self.busy else { return };
        let Some((question, part)) = hub.take_answer(*number) else { return };
        let Some(Busy::Asking { rest, .. }) = self.busy.take() else { return };
        let Some(Rest { written, requests, parts }) = rest else {
            return self.write_part(part, &question, hub);
        };
        let start = self.output.len();
        self.output.extend_from_slice(&written);
        self.write_part(part, &question, hub);
        self.write_rest(start, requests, parts, hub, keys, now);
    }

    pub(super) fn write_part(&mut self, part: Part, question: &Question, hub: &mut Hub) {
        self.is_closing |= part.is_own_end;
        let protocol = hub.client(self.id).protocol;
        let start = self.output.len();
        let end = self.answer_end(start);
        let mut reply = Reply::bounded(&mut self.output, protocol, end);
        let result = part.write(question, &mut reply);
        let is_over = reply.is_over();
        self.conclude(start, result, is_over, hub);
    }
}
