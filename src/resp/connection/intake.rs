//! What a client has sent, and what is made of it: one request after the other.

use smallvec::SmallVec;

use super::take::Taken;
use super::{Connection, KEPT_MAX};
use crate::resp::command::{self, Spec};
use crate::resp::hub::Hub;
use crate::resp::keys::{Durability, Keys};
use crate::resp::request::{Limits, Parsed, Parser, ProtocolError, peek};
use crate::resp::world::Failure;
use crate::store::index::{FETCH_MAX, Timestamp};

#[derive(Debug)]
pub(super) struct Intake {
    pub(super) parser: Parser,
    pub(super) bytes: Vec<u8>,
    pub(super) at: usize,
    /// Bytes behind `at` before which it is not worth looking.
    pub(super) wanted: usize,
    /// Where the requests end whose keys were asked for.
    pub(super) fetched: usize,
}

impl Connection {
    /// Whether more of what the client sends is of use now; if not, it should be left unread.
    pub fn wants_bytes(&self, hub: &Hub) -> bool {
        self.takes_requests(hub) && !self.is_held
    }

    /// Whether there are bytes that [`Connection::advance`] may make something of.
    pub fn has_requests(&self, hub: &Hub) -> bool {
        let left = self.intake.bytes.len() - self.intake.at;
        left > 0 && left >= self.intake.wanted && !self.is_held && self.takes_requests(hub)
    }

    pub(super) fn takes_requests(&self, hub: &Hub) -> bool {
        !self.is_closing
            && !self.is_cut
            && self.busy.is_none()
            && self.slots.len() < self.options.pending_max
            && self.pending_bytes < self.options.pending_bytes
            && self.unsent() < self.options.output_pause
            && !hub.is_crowded()
    }

    /// Takes one request; says whether it may be worth going on.
    pub(super) fn next_request(
        &mut self,
        intake: &mut Intake,
        hub: &mut Hub,
        keys: &mut impl Keys,
        now: Timestamp,
    ) -> bool {
        let left = intake.bytes.len() - intake.at;
        if left == 0 || left < intake.wanted || self.is_held {
            return false;
        }
        intake.wanted = 0;
        if intake.at > 0 && intake.at >= intake.fetched {
            self.fetch_ahead(intake, hub, keys);
        }
        let bytes = &intake.bytes[intake.at..];
        match intake.parser.parse(bytes) {
            Ok(Parsed::Nothing(len)) => intake.at += len,
            Ok(Parsed::Incomplete { wanted }) => {
                intake.wanted = wanted;
                return false;
            }
            Err(error) => {
                hub.counters.protocol_errors += 1;
                if error == ProtocolError::Http {
                    self.drop_all(hub);
                    return false;
                }
                self.refuse(Failure(error.reply().into()), hub);
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
                self.heard = None;
                intake.at += len;
                if hub.options.password.is_some() {
                    intake.parser.set_stranger(!hub.client(self.id).is_authenticated);
                }
            }
        }
        true
    }

    /// Has the memory fetched that the next requests need: they would wait for it one after the other. Called behind a
    /// request, so it costs nothing where they come one by one.
    fn fetch_ahead(&self, intake: &mut Intake, hub: &mut Hub, keys: &mut impl Keys) {
        let bytes = &intake.bytes[..];
        intake.fetched = bytes.len();
        if self.queue.is_some() || !hub.client(self.id).is_authenticated {
            return;
        }
        // Writes that are not done at once touch what they change later.
        let are_writes_done = self.options.durability == Durability::Memory && hub.topology().is_none();
        let mut wanted: SmallVec<[&[u8]; FETCH_MAX]> = SmallVec::new();
        let mut at = intake.at;
        while wanted.len() < FETCH_MAX
            && let Some(peeked) = peek(bytes, at)
        {
            let has_key = |spec: &&Spec| spec.keys.0 == 1 && (are_writes_done || !spec.is_write());
            if command::find(&bytes[peeked.name]).filter(has_key).is_some() {
                wanted.push(&bytes[peeked.first]);
            }
            at = peeked.end;
            intake.fetched = at;
        }
        if wanted.len() > 1 {
            keys.read(|state| state.fetch(wanted));
        }
    }
}

impl Intake {
    pub(super) fn empty(limits: Limits) -> Self {
        Self { parser: Parser::new(limits), bytes: Vec::new(), at: 0, wanted: 0, fetched: 0 }
    }

    /// Lets go of what was looked at.
    pub(super) fn shrink(&mut self) {
        if self.at < self.bytes.len() {
            self.bytes.drain(..self.at);
        } else if self.bytes.capacity() > KEPT_MAX {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        (self.at, self.fetched) = (0, 0);
    }
}
