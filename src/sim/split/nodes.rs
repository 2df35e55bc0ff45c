//! Nodes: real connections and keys, on a log that is a list.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::error::Error;
use crate::resp::{
    self, Connection, Done, Durability, Hub, HubOptions, Keys, Leaves, Position, Sight, Submitted, Ticket,
};
use crate::rng::Rng;
use crate::split::LinkId;
use crate::split::planted::Plant;
use crate::store::index::{self, Answer, Command, Index, Outcome, Timestamp, View};
use crate::time::Instant;

/// What all nodes agree on.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The epoch and the command of each entry, the first being that of sequence 1.
    pub(super) entries: Vec<(u64, Vec<u8>)>,
}

impl Log {
    /// The commands that have changed something, as text: a transaction whose conditions did not hold has not.
    pub(super) fn done(&self) -> Vec<String> {
        let mut index = Index::new(&index::Options::default());
        let mut done = Vec::new();
        for (sequence, (_, bytes)) in (1..).zip(&self.entries) {
            let outcome = index.apply(sequence, bytes).expect("a node submitted it");
            if !matches!(outcome.answer, Err(_) | Ok(Answer::Transaction { is_met: false, .. })) {
                done.push(String::from_utf8_lossy(bytes).into_owned());
            }
        }
        done
    }
}

/// A write that is not committed yet.
#[derive(Debug)]
pub(super) struct Proposed {
    pub(super) link: LinkId,
    ticket: Ticket,
    pub(super) bytes: Vec<u8>,
    due: Instant,
}

pub(super) struct Node {
    pub(super) index: Index,
    hub: Hub,
    pub(super) connections: BTreeMap<LinkId, Connection>,
    pub(super) proposed: VecDeque<Proposed>,
    tickets: u64,
    /// It takes itself for the primary of this epoch.
    pub(super) reign: Option<u64>,
    /// From when on it takes writes: it hears later than others that it is primary.
    pub(super) takes_from: Instant,
    pub(super) is_up: bool,
    pub(super) is_frozen: bool,
    /// It applies fewer than so many entries in a step.
    pub(super) pace: u64,
    /// If not 0: it applies all there is, once in so many steps.
    pub(super) lag: u64,
    /// It hears nothing of what is committed.
    pub(super) is_cut: bool,
    /// Until when nothing comes to it that listeners send.
    pub(super) hears_from: Instant,
    /// When it last had all that was committed.
    fresh_at: Option<Instant>,
    /// A planted bug: connections do not hear which epoch it is primary of.
    forgets_reign: bool,
}

struct View1<'a> {
    index: &'a Index,
    log: &'a Log,
    proposed: &'a mut VecDeque<Proposed>,
    tickets: &'a mut u64,
    is_primary: bool,
    /// Of which epoch it takes itself for the primary, as it tells connections.
    reign: Option<u64>,
    sight: Sight,
    link: LinkId,
    due: Instant,
}

impl Keys for View1<'_> {
    type Seen = Arc<View>;

    fn view(&mut self) -> Arc<View> {
        self.index.reader().view()
    }

    fn reign(&mut self) -> Option<u64> {
        self.reign
    }

    fn submit(
        &mut self,
        command: &Command<'_>,
        _: Durability,
        _: bool,
        _: Option<Leaves>,
    ) -> Result<Submitted, Error> {
        if !self.is_primary {
            return Err(Error::NotPrimary { primary: None });
        }
        *self.tickets += 1;
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        let ticket = Ticket(*self.tickets << 32);
        self.proposed.push_back(Proposed { link: self.link, ticket, bytes, due: self.due });
        Ok(Submitted::UnderWay(ticket))
    }

    fn durable(&mut self) -> u64 {
        self.index.reader().view().sequence()
    }

    fn replicas_with(&self, position: Position) -> u64 {
        u64::from(self.log.entries.len() as u64 >= position.sequence)
    }

    fn place_of(&mut self, sequence: u64) -> Position {
        let at = (sequence as usize).checked_sub(1);
        let epoch = at.and_then(|at| self.log.entries.get(at)).map_or(0, |entry| entry.0);
        Position { epoch, sequence }
    }

    fn sight(&mut self) -> Sight {
        self.sight
    }
}

pub(super) fn wall(now: Instant) -> Timestamp {
    Timestamp::from_millis(1_000_000 + now.as_nanos() / 1_000_000)
}

impl Node {
    pub(super) fn new(rng: &mut Rng, planted: Option<Plant>) -> Self {
        Self {
            index: Index::new(&index::Options::default()),
            hub: Hub::new(HubOptions::default(), wall(Instant::START), Rng::new(rng.next_u64())),
            connections: BTreeMap::new(),
            proposed: VecDeque::new(),
            tickets: 0,
            reign: None,
            takes_from: Instant::START,
            is_up: true,
            is_frozen: false,
            pace: 2 + rng.below(5),
            lag: if rng.below(3) == 0 { 10 + rng.below(50) } else { 0 },
            is_cut: false,
            hears_from: Instant::START,
            fresh_at: None,
            forgets_reign: planted == Some(Plant::LateWrite),
        }
    }

    pub(super) fn applied(&self) -> u64 {
        self.index.reader().view().sequence()
    }

    pub(super) fn connect(&mut self, link: LinkId, now: Instant) {
        let connection =
            Connection::new(resp::Options::default(), "sim:1", "sim:2", &mut self.hub, wall(now));
        self.connections.insert(link, connection);
    }

    pub(super) fn disconnect(&mut self, link: LinkId) {
        if let Some(connection) = self.connections.remove(&link) {
            connection.close(&mut self.hub);
        }
    }

    /// It dies, and all of its connections; the writes that nobody else has are lost.
    pub(super) fn die(&mut self) -> Vec<LinkId> {
        self.is_up = false;
        self.is_frozen = false;
        self.reign = None;
        self.proposed.clear();
        self.fresh_at = None;
        let links: Vec<LinkId> = self.connections.keys().copied().collect();
        links.iter().for_each(|link| self.disconnect(*link));
        links
    }

    /// It comes back with what it had applied up to `sequence`.
    pub(super) fn restart(&mut self, log: &Log, sequence: u64) {
        self.is_up = true;
        self.is_cut = false;
        self.index = Index::new(&index::Options::default());
        self.apply(log, sequence);
    }

    /// Applies the log up to `sequence`; answers what came of the last entry.
    pub(super) fn apply(&mut self, log: &Log, sequence: u64) -> Option<Outcome> {
        let from = self.applied();
        let mut last = None;
        for at in from..sequence.min(log.entries.len() as u64) {
            let (_, bytes) = &log.entries[at as usize];
            last = Some(self.index.apply(at + 1, bytes).expect("a node submitted it"));
        }
        self.index.publish();
        last
    }

    /// Hears what is committed, and applies at most `max` of it.
    pub(super) fn follow(&mut self, log: &Log, max: u64, now: Instant) {
        if !self.is_up || self.is_frozen || self.is_cut || self.reign.is_some() {
            return;
        }
        let to = (self.applied() + max).min(log.entries.len() as u64);
        self.apply(log, to);
        if self.applied() == log.entries.len() as u64 {
            self.fresh_at = Some(now);
        }
    }

    /// Commits what is due, if this is the primary of `epoch`.
    pub(super) fn commit(&mut self, log: &mut Log, epoch: u64, now: Instant, delay: Instant) {
        if !self.is_up || self.is_frozen || self.is_cut || self.reign != Some(epoch) {
            return;
        }
        self.fresh_at = Some(now);
        while self.proposed.front().is_some_and(|proposed| proposed.due <= now) {
            let Some(proposed) = self.proposed.pop_front() else { break };
            self.commit_one(log, proposed, epoch, now, delay);
        }
    }

    /// Commits one write and answers it.
    fn commit_one(&mut self, log: &mut Log, proposed: Proposed, epoch: u64, now: Instant, delay: Instant) {
        let Proposed { link, ticket, bytes, .. } = proposed;
        log.entries.push((epoch, bytes));
        let outcome = self.apply(log, log.entries.len() as u64).expect("one entry was new");
        self.complete(link, ticket, Ok(Done { outcome, epoch }), log, epoch, now, delay);
    }

    /// It is primary no longer, and knows: what was not committed is refused, and not done.
    pub(super) fn abdicate(&mut self, log: &Log, epoch: u64, now: Instant) {
        self.reign = None;
        for proposed in std::mem::take(&mut self.proposed) {
            self.complete(proposed.link, proposed.ticket, Err(Error::Superseded), log, epoch, now, now);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what came of a write, and where")]
    fn complete(
        &mut self,
        link: LinkId,
        ticket: Ticket,
        completed: resp::Completed,
        log: &Log,
        epoch: u64,
        now: Instant,
        delay: Instant,
    ) {
        let Some(mut connection) = self.connections.remove(&link) else { return };
        self.with_keys(link, log, epoch, now, delay, |keys, hub| {
            connection.handle_completion(ticket, completed, hub, keys, wall(now));
        });
        self.connections.insert(link, connection);
    }

    fn with_keys(
        &mut self,
        link: LinkId,
        log: &Log,
        epoch: u64,
        now: Instant,
        due: Instant,
        then: impl FnOnce(&mut View1<'_>, &mut Hub),
    ) {
        let is_primary = self.reign == Some(epoch) && !self.is_cut;
        let sight = match (is_primary, self.reign) {
            (true, _) => Sight::Whole,
            (false, Some(_)) => Sight::Lapsed,
            (false, None) => Sight::Past(self.fresh_at.map(|at| now.duration_since(at))),
        };
        let is_primary = is_primary && self.takes_from <= now;
        let mut keys = View1 {
            index: &self.index,
            log,
            proposed: &mut self.proposed,
            tickets: &mut self.tickets,
            is_primary,
            reign: self.reign.filter(|_| !self.forgets_reign),
            sight,
            link,
            due,
        };
        then(&mut keys, &mut self.hub);
    }

    /// Goes on with a connection that was sent `bytes`; answers what it says. `None`: it is over.
    pub(super) fn talk(
        &mut self,
        link: LinkId,
        bytes: &[u8],
        log: &Log,
        epoch: u64,
        now: Instant,
        due: Instant,
    ) -> Option<Vec<u8>> {
        let mut connection = self.connections.remove(&link)?;
        connection.handle_bytes(bytes);
        self.with_keys(link, log, epoch, now, due, |keys, hub| connection.advance(hub, keys, wall(now)));
        let output = connection.output().to_vec();
        connection.consume_output(output.len());
        let is_over = connection.is_finished();
        self.connections.insert(link, connection);
        if is_over {
            self.disconnect(link);
            return None;
        }
        Some(output)
    }

    /// Gives messages to those who have subscribed.
    pub(super) fn deliver(&mut self) {
        while let Some((id, message)) = self.hub.poll_delivery() {
            let to = self.connections.values_mut().find(|connection| connection.id() == id);
            if let Some(connection) = to {
                connection.handle_message(&message, &mut self.hub);
            }
        }
    }

    /// The position of the last write it has applied.
    pub(super) fn position(&self, log: &Log) -> Position {
        let sequence = self.applied();
        let epoch = (sequence as usize).checked_sub(1).map_or(0, |at| log.entries[at].0);
        Position { epoch, sequence }
    }
}
