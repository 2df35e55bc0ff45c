//! Connections over an index whose writes are applied when the test says so.

mod bounds;
mod channels;
mod cluster;
mod elsewhere;
mod keys;
mod own;
mod transactions;
mod writes;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::error::Error;
use crate::resp::Topology;
use crate::resp::ahead::{Ahead, Leaves, Trace};
use crate::resp::errand::Errand;
use crate::resp::hub::HubOptions;
use crate::resp::keys::{Done, Durability, Has, Sight, Submitted, Ticket, Told};
use crate::rng::Rng;
use crate::store::index::{self, Answer, Command, Index, Operation, Settings, State, View};

/// A store whose writes are applied when the test says so.
struct Store {
    index: Index,
    submitted: u64,
    applied: u64,
    log: VecDeque<(Vec<u8>, Option<Trace>)>,
    ahead: Ahead,
    is_stopped: bool,
    durable: u64,
    replicas: u64,
    sight: Sight,
    follows: bool,
    /// The epoch it is primary of.
    reign: Option<u64>,
    /// There is a primary to be asked.
    has_primary: bool,
    /// What it was asked and has not told.
    asked: VecDeque<Asked>,
    questions: u64,
    /// Of its entries.
    epoch: u64,
    /// What is not applied is lost with a primary.
    is_lost: bool,
}

/// A question to the primary.
type Asked = (Ticket, Option<Errand>, Option<Position>);

impl Keys for Store {
    type Seen = Arc<View>;

    fn view(&mut self) -> Arc<View> {
        self.index.reader().view()
    }

    fn read_ahead<T>(&mut self, read: impl FnOnce(&State, &Ahead) -> T) -> T {
        read(self.index.state(), &self.ahead)
    }

    fn contest(&mut self, key: &[u8], now: Timestamp) {
        self.ahead.contest(key, now);
    }

    fn is_contested(&mut self, key: &[u8], now: Timestamp) -> bool {
        self.ahead.is_contested(key, now)
    }

    fn is_turn(&mut self, key: &[u8], who: u64, begins: bool, now: Timestamp) -> bool {
        self.ahead.is_turn(key, who, begins, now)
    }

    fn leave_line(&mut self, key: &[u8], who: u64) {
        self.ahead.leave_line(key, who);
    }

    fn submit(
        &mut self,
        command: &Command<'_>,
        _: Durability,
        _: bool,
        leaves: Option<Leaves>,
    ) -> Result<Submitted, Error> {
        if self.is_stopped {
            return Err(Error::State { what: "log", detail: "has stopped".into() });
        }
        self.submitted += 1;
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        let ticket = Ticket(self.submitted);
        self.log.push_back((bytes, leaves.as_ref().map(|leaves| leaves.trace(ticket))));
        // What is passed on has no sequence yet.
        if let Some(leaves) = leaves.filter(|_| !self.follows) {
            self.ahead.put(ticket, leaves);
        }
        Ok(Submitted::UnderWay(ticket))
    }

    fn sight(&mut self) -> Sight {
        self.sight
    }

    fn reign(&mut self) -> Option<u64> {
        self.reign
    }

    fn follows(&mut self) -> bool {
        self.follows
    }

    fn ask(&mut self, errand: Option<&Errand>, position: Option<Position>, wait: Duration) -> Option<Ticket> {
        assert_eq!(wait, Options::default().quorum_wait / 2);
        if !self.has_primary {
            return None;
        }
        self.questions += 1;
        let ticket = Ticket(1 << 63 | self.questions);
        self.asked.push_back((ticket, errand.cloned(), position));
        Some(ticket)
    }

    fn has(&mut self, position: Position) -> Has {
        match self.view().sequence() >= position.sequence {
            _ if self.is_lost => Has::Lost,
            true => Has::All,
            false => Has::NotYet,
        }
    }

    fn durable(&mut self) -> u64 {
        self.durable
    }

    fn replicas_with(&self, _: Position) -> u64 {
        self.replicas
    }
}

struct World {
    store: Store,
    hub: Hub,
    connections: Vec<Connection>,
    now: Timestamp,
}

impl World {
    fn new(hub_options: HubOptions, options: Options, connections: usize) -> Self {
        let index = Index::new(&index::Options::default());
        let store = Store {
            index,
            submitted: 0,
            applied: 0,
            log: VecDeque::new(),
            ahead: Ahead::default(),
            is_stopped: false,
            durable: 0,
            replicas: 0,
            sight: Sight::Whole,
            follows: false,
            reign: None,
            has_primary: false,
            asked: VecDeque::new(),
            questions: 0,
            epoch: 0,
            is_lost: false,
        };
        let now = Timestamp::from_millis(1_000_000);
        let mut hub = Hub::new(hub_options, now, Rng::new(7));
        let connections = (0..connections)
            .map(|_| Connection::new(options, "[::1]:1", "[::1]:6379", &mut hub, now))
            .collect();
        Self { store, hub, connections, now }
    }

    fn plain(connections: usize) -> Self {
        Self::new(HubOptions::default(), Options::default(), connections)
    }

    /// Sends lines; nothing is applied.
    fn send(&mut self, at: usize, lines: &str) {
        for line in lines.lines() {
            self.connections[at].handle_bytes(format!("{}\r\n", line.trim()).as_bytes());
        }
        self.advance(at);
    }

    fn advance(&mut self, at: usize) {
        self.connections[at].advance(&mut self.hub, &mut self.store, self.now);
    }

    /// Applies the oldest write; says whether there was one.
    fn apply(&mut self) -> bool {
        let Some((bytes, trace)) = self.store.log.pop_front() else { return false };
        self.store.applied += 1;
        let outcome = self.store.index.apply(self.store.applied, &bytes).unwrap();
        let is_met = matches!(outcome.answer, Ok(Answer::Transaction { is_met: true, .. }));
        trace.iter().for_each(|trace| self.store.ahead.forget(trace, is_met));
        self.store.index.publish();
        for connection in &mut self.connections {
            let ticket = Ticket(self.store.applied);
            connection.handle_completion(
                ticket,
                Ok(Done { outcome: outcome.clone(), epoch: self.store.epoch }),
                &mut self.hub,
                &mut self.store,
                self.now,
            );
        }
        true
    }

    fn deliver(&mut self) {
        let view = self.store.view();
        loop {
            let has_more = self.hub.handle_view(&view);
            while let Some((id, message)) = self.hub.poll_delivery() {
                let to = self.connections.iter_mut().find(|connection| connection.id() == id).unwrap();
                to.handle_message(&message, &mut self.hub);
            }
            if !has_more {
                return;
            }
        }
    }

    /// What the connection has to send, and takes it away.
    fn told(&mut self, at: usize) -> String {
        let output = String::from_utf8(self.connections[at].output().to_vec()).unwrap();
        self.connections[at].consume_output(output.len());
        output.replace("\r\n", " ").trim_end().to_owned()
    }

    /// Sends one request of these words, and gives what is said once everything is done.
    fn ask_words(&mut self, at: usize, words: &[&str]) -> String {
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        self.connections[at].handle_bytes(request.as_bytes());
        self.advance(at);
        while self.apply() {}
        self.told(at)
    }

    /// What it has to send before anything is done.
    fn ask_at_once(&mut self, at: usize, lines: &str) -> String {
        self.send(at, lines);
        self.told(at)
    }

    /// What it has to send once everything is done.
    fn ask(&mut self, at: usize, lines: &str) -> String {
        self.send(at, lines);
        while self.apply() {}
        self.told(at)
    }
}
