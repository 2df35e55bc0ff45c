//! [`Pending`]: what was appended and is not applied yet, in the order of the log, and when it may be.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::Ticket;
use super::durability::Durability;
use crate::store::index::forecast::{Forecast, Plan};
use crate::store::index::{Command, RequestId, State};
use crate::store::log;

/// One entry of the log on its way into the index.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number in the log.
    pub(super) sequence: u64,
    /// What the log says when it is durable.
    pub(super) record: log::Ticket,
    /// What it has to be before it is applied: the most that anybody asked for.
    pub(super) durability: Durability,
    pub(super) what: What,
    /// Who waits for the answer: more than one when the same request came again meanwhile.
    pub(super) waiting: SmallVec<[Ticket; 1]>,
    pub(super) request: Option<RequestId>,
    /// Bytes by which it may make the index grow, at most.
    pub(super) bound: u64,
}

impl Entry {
    fn is_ready(&self, durable: log::Ticket) -> bool {
        self.durability == Durability::Memory || self.record <= durable
    }
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum What {
    /// A command of a caller's, encoded.
    Command(Vec<u8>),
    /// The engine's own: keys that have expired.
    Expire(Vec<u8>),
    /// The engine's own: keys that make room.
    Evict(Vec<u8>),
}

impl What {
    /// Its memory, to be used again.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            What::Command(bytes) | What::Expire(bytes) | What::Evict(bytes) => bytes,
        }
    }

    pub(super) fn command(&self) -> &[u8] {
        match self {
            What::Command(bytes) | What::Expire(bytes) | What::Evict(bytes) => bytes,
        }
    }
}

/// The queue between log and index. The first may be applied when it is as durable as it asks to be; so everything is
/// applied in the order of the log, and nothing before what asked for more and came earlier.
#[derive(Debug, Default)]
pub(super) struct Pending {
    entries: VecDeque<Entry>,
    /// How many were taken out since the beginning: the place of the first.
    taken: u64,
    /// Client and number to place.
    requests: BTreeMap<([u8; 16], u64), u64>,
    forecast: Forecast,
    is_expiring: bool,
    evictions: u32,
}

impl Pending {
    /// Takes an entry, with what it was found to do to the memory if that was looked at.
    pub(super) fn push(&mut self, entry: Entry, plan: Option<Plan>) {
        if let Some(request) = &entry.request {
            let place = self.taken + self.entries.len() as u64;
            self.requests.insert((request.client, request.number), place);
        }
        match plan {
            Some(plan) => self.forecast.take(entry.sequence, plan),
            None => self.forecast.push(entry.bound),
        }
        match &entry.what {
            What::Expire(_) => self.is_expiring = true,
            What::Evict(_) => self.evictions += 1,
            What::Command(_) => {}
        }
        self.entries.push_back(entry);
    }

    /// Those that may be applied, when everything up to `durable` is on disk.
    pub(super) fn ready(&self, durable: log::Ticket) -> impl Iterator<Item = &Entry> {
        self.entries.iter().take_while(move |entry| entry.is_ready(durable))
    }

    /// The first, ready or not: it is to be applied now, and [`Pending::applied`] to be told.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        if let Some(request) = &entry.request
            && self.requests.get(&(request.client, request.number)) == Some(&self.taken)
        {
            self.requests.remove(&(request.client, request.number));
        }
        self.taken += 1;
        match &entry.what {
            What::Expire(_) => self.is_expiring = false,
            What::Evict(_) => self.evictions -= 1,
            What::Command(_) => {}
        }
        Some(entry)
    }

    /// Has `ticket` wait for the answer to the same request, which is on its way. Gives the record that it then
    /// waits for, or `None` when the request is not there.
    pub(super) fn join(
        &mut self,
        request: &RequestId,
        durability: Durability,
        ticket: Ticket,
    ) -> Option<log::Ticket> {
        let place = *self.requests.get(&(request.client, request.number))?;
        let entry = &mut self.entries[(place - self.taken) as usize];
        entry.waiting.push(ticket);
        entry.durability = entry.durability.max(durability);
        Some(entry.record)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What was taken out is in the state.
    pub(super) fn applied(&mut self, state: &State, sequence: u64, bound: u64) {
        self.forecast.applied(state, sequence, bound);
    }

    /// What the memory comes to by what is here.
    pub(super) fn forecast(&self) -> &Forecast {
        &self.forecast
    }

    /// Looks at all that was not yet.
    pub(super) fn look(&mut self, state: &State) {
        let unseen = self.entries.len() - self.forecast.unseen()..;
        for entry in self.entries.range(unseen) {
            let command = Command::decode(entry.what.command(), state.settings());
            self.forecast.look(state, entry.sequence, command.ok().as_ref(), entry.bound);
        }
    }

    pub(super) fn is_expiring(&self) -> bool {
        self.is_expiring
    }

    pub(super) fn is_evicting(&self) -> bool {
        self.evictions > 0
    }
}
