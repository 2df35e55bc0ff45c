//! [`Hub`]: what the connections of one loop share: who is connected, who has subscribed to what, scans under way,
//! what is counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::clients::{Client, Part, Question};
use super::glob::{self, Glob};
use super::inbox::Message;
use super::notify::Notifications;
use super::peers::Peers;
use super::reply::Protocol;
use super::scans::{ScanTable, Scans, cursor_of, mark_of, marks, number_of};
use super::topology::{ClientAddress, Topology};
use super::world::Lookups;
use crate::rng::Rng;
use crate::store::index::Timestamp;

/// What all connections have in common.
///
/// | option | unit | range | default | why |
/// |---|---|---|---|---|
/// | `password` | bytes | any | none: nobody logs in | as Redis' `requirepass` |
/// | `allows_flush` | | | false | one word must not delete everything by accident |
/// | `clients_max` | connections | from 1 | 10,000, as Redis | told by `CONFIG GET`; the one who accepts enforces it |
/// | `scans_max`, `scan_bytes_max` | | | | see [`ScanTable`] |
/// | `subscriptions_max` | channels and patterns of a connection | from 1 | 65,536 | they lie in memory |
/// | `id_first`, `id_step` | | from 1 | 1, 1 | numbers of connections: of several loops each has its own |
/// | `idle` | | from 0 | 0: never | told by `CONFIG GET timeout`, in seconds; the one who has the connections enforces it |
/// | `set` | | any | `trimtab` | what Sentinel clients call the primary and its replicas |
/// | `deliveries_max` | messages | from 1 | 4,096 | no connection takes requests while more are to be delivered |
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// What clients must log in with, as the user `default`.
    pub password: Option<Vec<u8>>,
    /// Whether `FLUSHALL` and `FLUSHDB` do something.
    pub allows_flush: bool,
    /// The most connections.
    pub clients_max: u64,
    /// How long a client may say nothing; zero: for ever.
    pub idle: Duration,
    /// The most steps of scans remembered.
    pub scans_max: usize,
    /// The most bytes of keys remembered for them.
    pub scan_bytes_max: usize,
    /// The most channels and patterns of one connection.
    pub subscriptions_max: usize,
    /// The name of the set, by which Sentinel clients ask for the primary.
    pub set: String,
    /// Messages that may wait to be delivered.
    pub deliveries_max: usize,
    /// The number of the first connection.
    pub id_first: u64,
    /// From one number to the next.
    pub id_step: u64,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            password: None,
            allows_flush: false,
            clients_max: 10_000,
            idle: Duration::ZERO,
            scans_max: 16_384,
            scan_bytes_max: 16 << 20,
            subscriptions_max: 65_536,
            set: "trimtab".to_owned(),
            deliveries_max: 4_096,
            id_first: 1,
            id_step: 1,
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections so far.
    pub connections: u64,
    /// Commands so far.
    pub commands: u64,
    /// Commands answered with an error.
    pub errors: u64,
    /// Keys that commands which only read have looked up, and found.
    pub hits: u64,
    /// Likewise, and were not there.
    pub misses: u64,
    /// Connections cut because they did not read what they had asked for.
    pub slow_readers: u64,
    /// Connections closed because of what they sent.
    pub protocol_errors: u64,
    /// Connections cut because keyspace notifications for them were left out.
    pub left_out: u64,
    /// Writes done again because somebody else had changed what they had read.
    pub retries: u64,
    /// Messages published.
    pub messages: u64,
}

impl Counters {
    pub(super) fn looked_up(&mut self, lookups: Lookups) {
        self.hits += lookups.hits;
        self.misses += lookups.misses;
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            commands: self.commands + other.commands,
            errors: self.errors + other.errors,
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            slow_readers: self.slow_readers + other.slow_readers,
            protocol_errors: self.protocol_errors + other.protocol_errors,
            left_out: self.left_out + other.left_out,
            retries: self.retries + other.retries,
            messages: self.messages + other.messages,
        }
    }

    /// What others have counted may be told a little late.
    fn less(&self, other: &Self) -> Self {
        Self {
            connections: self.connections.saturating_sub(other.connections),
            commands: self.commands.saturating_sub(other.commands),
            errors: self.errors.saturating_sub(other.errors),
            hits: self.hits.saturating_sub(other.hits),
            misses: self.misses.saturating_sub(other.misses),
            slow_readers: self.slow_readers.saturating_sub(other.slow_readers),
            protocol_errors: self.protocol_errors.saturating_sub(other.protocol_errors),
            left_out: self.left_out.saturating_sub(other.left_out),
            retries: self.retries.saturating_sub(other.retries),
            messages: self.messages.saturating_sub(other.messages),
        }
    }
}

type Subscribers = BTreeMap<Arc<[u8]>, BTreeSet<u64>>;

/// See the module. One owner, who hands it to each connection in turn.
#[derive(Debug)]
pub struct Hub {
    pub(super) options: HubOptions,
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) channels: Subscribers,
    pub(super) patterns: Subscribers,
    pub(super) counters: Counters,
    /// What was counted when that was reset last, if there are no loops beside.
    base: Counters,
    pub(super) notifications: Notifications,
    pub(super) started: Timestamp,
    /// 40 hexadecimal digits that name this run.
    pub(super) run_id: String,
    pub(super) rng: Rng,
    /// Those for whom messages wait.
    called: VecDeque<u64>,
    /// How many wait.
    deliveries: usize,
    scans: Box<dyn Scans>,
    /// The mark of this node in cursors.
    mark: u8,
    id_next: u64,
    pub(super) peers: Option<Box<dyn Peers>>,
    asks: Asks,
    /// Connections that are to go when they are answered.
    dismissed: VecDeque<u64>,
    parting: VecDeque<u64>,
    topology: Option<Arc<Topology>>,
    /// This node was the last primary that it knew of.
    was_primary: bool,
    /// Where the last primary is, or was, that was told of.
    last_primary: Option<ClientAddress>,
    orders: VecDeque<Order>,
}

/// What a client wants done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// This node, which is primary, is to hand over to the one with this name.
    HandOver(String),
    /// The clients of other nodes are to have this message: its channel, and what it says.
    Publish(Arc<[u8]>, Arc<[u8]>),
}

/// What clients ask of all clients.
#[derive(Debug, Default)]
struct Asks {
    next: u64,
    /// Asked here, and not yet answered by all loops.
    open: BTreeMap<u64, Asked>,
    /// Connections that have their answers.
    answered: VecDeque<u64>,
    /// Asked elsewhere, and answered: the loop, its number there, and the answer.
    given: Vec<(usize, u64, Part)>,
    /// Connections that are to go.
    killed: VecDeque<u64>,
}

#[derive(Debug)]
struct Asked {
    question: Arc<Question>,
    part: Part,
    /// So many loops have not answered.
    left: usize,
}

impl Hub {
    /// One for a server that starts at `now`.
    pub fn new(options: HubOptions, now: Timestamp, mut rng: Rng) -> Self {
        let id_next = options.id_first;
        let run_id = (0..40).map(|_| char::from(b"0123456789abcdef"[rng.below(16) as usize])).collect();
        let scans = ScanTable::new(options.scans_max, options.scan_bytes_max, Rng::new(rng.next_u64()));
        Self {
            options,
            clients: BTreeMap::new(),
            channels: BTreeMap::new(),
            patterns: BTreeMap::new(),
            counters: Counters::default(),
            base: Counters::default(),
            notifications: Notifications::default(),
            started: now,
            run_id,
            rng,
            called: VecDeque::new(),
            deliveries: 0,
            scans: Box::new(scans),
            mark: 0,
            id_next,
            peers: None,
            asks: Asks::default(),
            dismissed: VecDeque::new(),
            parting: VecDeque::new(),
            topology: None,
            was_primary: false,
            last_primary: None,
            orders: VecDeque::new(),
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The next message to be delivered, and the connection it is for, by
    /// [`Connection::handle_message`](super::Connection::handle_message).
    pub fn poll_delivery(&mut self) -> Option<(u64, Message)> {
        while let Some(id) = self.called.front().copied() {
            if let Some(inbox) = self.clients.get_mut(&id).map(|client| &mut client.inbox)
                && let Some(message) = inbox.pop()
            {
                self.deliveries -= 1;
                return Some((id, message));
            }
            self.called.pop_front();
        }
        None
    }

    /// Whether connections wait with further requests until messages have been delivered.
    pub fn is_crowded(&self) -> bool {
        self.deliveries > self.options.deliveries_max
    }

    /// Has it know of the loops beside its own, before the first connection.
    pub fn set_peers(&mut self, peers: Box<dyn Peers>) {
        self.peers = Some(peers);
    }

    /// Has it share its scans with the loops beside its own, before the first connection.
    pub fn set_scans(&mut self, scans: Box<dyn Scans>) {
        self.scans = scans;
    }

    /// Publishes to all who are connected, here, to other loops, and in a cluster to other nodes; says to how many on this
    /// node.
    pub fn publish(&mut self, channel: &[u8], payload: &[u8]) -> u64 {
        self.counters.messages += 1;
        let (channel, payload): (Arc<[u8]>, Arc<[u8]>) = (Arc::from(channel), Arc::from(payload));
        if self.topology.is_some() {
            self.orders.push_back(Order::Publish(channel.clone(), payload.clone()));
        }
        self.publish_on_node(&channel, &payload)
    }

    /// Publishes to all who are connected to this node.
    pub fn publish_on_node(&mut self, channel: &Arc<[u8]>, payload: &Arc<[u8]>) -> u64 {
        let others = self.peers.as_mut().map_or(0, |peers| peers.publish(channel, payload));
        self.publish_here(channel, payload) + others
    }

    /// Publishes to those connected here, and says to how many.
    pub fn publish_here(&mut self, channel: &Arc<[u8]>, payload: &Arc<[u8]>) -> u64 {
        let mut count = 0;
        let mut deliver = |ids: &BTreeSet<u64>, pattern: Option<&Arc<[u8]>>| {
            for id in ids {
                let Some(client) = self.clients.get_mut(id) else { continue };
                let before = client.inbox.len();
                let (channel, payload) = (channel.clone(), payload.clone());
                client.inbox.push(Message { pattern: pattern.cloned(), channel, payload });
                if before == 0 {
                    self.called.push_back(*id);
                }
                self.deliveries = self.deliveries + client.inbox.len() - before;
                count += 1;
            }
        };
        if let Some(ids) = self.channels.get(&**channel) {
            deliver(ids, None);
        }
        for (pattern, ids) in self.patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel)) {
            deliver(ids, Some(pattern));
        }
        count
    }

    /// `messages_max` bounds the bytes of messages that wait for it.
    pub(super) fn connect(&mut self, address: &str, local: &str, messages_max: usize, now: Timestamp) -> u64 {
        let id = self.id_next;
        self.id_next += self.options.id_step;
        self.counters.connections += 1;
        let is_open = self.options.password.is_none();
        self.clients
            .insert(id, Client::new(address.to_owned(), local.to_owned(), is_open, messages_max, now));
        id
    }

    pub(super) fn disconnect(&mut self, id: u64) {
        self.unsubscribe_all(id);
        self.deliveries -= self.clients.remove(&id).map_or(0, |client| client.inbox.len());
    }

    /// How the cluster is now. Who has subscribed to Sentinel's channels here is told what has changed; and when another node
    /// is primary in place of this one, clients have to go, as Sentinel has it: they look for the new one. Where this one passes no
    /// writes on they are dismissed; where it does, they go as soon as what they have asked for is answered, and those that read from any
    /// node stay. Balancers do too: they look for it by themselves, and closed before would not know what came of a write that is on
    /// its way.
    pub fn set_topology(&mut self, topology: Arc<Topology>) {
        let before = self.topology.take();
        let news = topology.news(before.as_deref(), &self.options.set, &mut self.last_primary);
        if topology.is_primary() {
            self.was_primary = true;
        } else if topology.primary.is_some() && std::mem::take(&mut self.was_primary) {
            for (id, client) in self.clients.iter_mut().filter(|(_, client)| client.stays_with_its_node()) {
                if !topology.forwards {
                    client.is_killed = true;
                    self.dismissed.push_back(*id);
                } else if !client.takes_any {
                    self.parting.push_back(*id);
                }
            }
        }
        let names = topology.nodes.iter().map(|node| node.name.as_str());
        self.mark = marks(names).get(topology.own().name.as_str()).copied().unwrap_or(0);
        self.topology = Some(topology);
        for (channel, text) in news {
            self.publish_here(&Arc::from(channel.as_bytes()), &Arc::from(text.into_bytes()));
        }
    }

    /// How the cluster is; `None` outside of one.
    pub(super) fn topology(&self) -> Option<&Arc<Topology>> {
        self.topology.as_ref()
    }

    /// Where the last primary is, or was.
    pub(super) fn last_primary(&self) -> Option<&ClientAddress> {
        self.last_primary.as_ref()
    }

    pub(super) fn order(&mut self, order: Order) {
        self.orders.push_back(order);
    }

    /// The next thing that a client wants done to the cluster.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Asks something of all clients. What they are told when others have to be asked too is the number under which
    /// [`Hub::take_answer`] has the answer, once [`Hub::poll_answered`] has given the connection.
    pub(super) fn ask(&mut self, question: Question, now: Timestamp) -> Result<Part, u64> {
        let part = self.answer(&question, now);
        let Some(peers) = &mut self.peers else { return Ok(part) };
        let (number, question) = (self.asks.next, Arc::new(question));
        self.asks.next += 1;
        match peers.ask(number, &question) {
            0 => Ok(part),
            left => {
                self.asks.open.insert(number, Asked { question, part, left });
                Err(number)
            }
        }
    }

    /// Another loop's client asks something of all, which this one knows by `number`. The answer is given to it by
    /// [`Hub::give_answers`].
    pub fn handle_question(&mut self, loop_number: usize, number: u64, question: &Question, now: Timestamp) {
        let part = self.answer(question, now);
        self.asks.given.push((loop_number, number, part));
    }

    /// Hands what other loops have asked for over to them. To be called when those that were to go are gone.
    pub fn give_answers(&mut self) {
        let Some(peers) = &mut self.peers else { return };
        for (loop_number, number, part) in self.asks.given.drain(..) {
            peers.answer(loop_number, number, part);
        }
    }

    /// The loop ends, and its clients have. Other loops do not wait for it any more.
    pub fn leave(&mut self) {
        if let Some(peers) = &mut self.peers {
            peers.leave();
        }
    }

    /// A loop has answered what was asked here under `number`.
    pub fn handle_part(&mut self, number: u64, part: Part) {
        // Who asked may have gone.
        let Some(asked) = self.asks.open.get_mut(&number) else { return };
        asked.part.add(part);
        asked.left -= 1;
        if asked.left == 0 {
            self.asks.answered.push_back(asked.question.asker);
        }
    }

    /// The next connection that has its answer: [`Connection::advance`](super::Connection::advance) gives it.
    pub fn poll_answered(&mut self) -> Option<u64> {
        self.asks.answered.pop_front()
    }

    /// The next connection that is to go, by [`Connection::kill`](super::Connection::kill).
    pub fn poll_killed(&mut self) -> Option<u64> {
        self.asks.killed.pop_front()
    }

    /// The next connection that is to go once all that has come from it is answered.
    pub fn poll_parting(&mut self) -> Option<u64> {
        self.parting.pop_front()
    }

    /// The next connection that is to go, by [`Connection::dismiss`](super::Connection::dismiss).
    pub fn poll_dismissed(&mut self) -> Option<u64> {
        self.dismissed.pop_front()
    }

    /// The answer to what was asked under `number`, once it is there.
    pub(super) fn take_answer(&mut self, number: u64) -> Option<(Arc<Question>, Part)> {
        if self.asks.open.get(&number)?.left > 0 {
            return None;
        }
        self.asks.open.remove(&number).map(|asked| (asked.question, asked.part))
    }

    /// Nobody waits for that answer any more.
    pub(super) fn forget_question(&mut self, number: u64) {
        self.asks.open.remove(&number);
    }

    fn answer(&mut self, question: &Question, now: Timestamp) -> Part {
        let clients = self.clients.iter_mut().map(|(id, client)| (*id, client));
        let (part, killed) = question.answer(clients, now);
        self.asks.killed.extend(killed);
        part
    }

    /// Keyspace notifications are left out: who listens to them is to go, and to begin anew.
    pub(super) fn cut_listeners(&mut self) {
        for (id, client) in self.clients.iter_mut().filter(|(_, client)| client.hears_of_keys()) {
            client.is_killed = true;
            self.asks.killed.push_back(*id);
            self.counters.left_out += 1;
        }
    }

    /// As a new connection is; it stays connected.
    pub(super) fn reset(&mut self, id: u64) {
        self.unsubscribe_all(id);
        let is_open = self.options.password.is_none();
        let client = self.client(id);
        client.name.clear();
        client.protocol = Protocol::Resp2;
        client.is_authenticated = is_open;
        client.queued = -1;
        client.is_no_evict = false;
        client.is_no_touch = false;
        client.takes_any = false;
        client.is_balancer = false;
    }

    pub(super) fn client(&mut self, id: u64) -> &mut Client {
        self.clients.get_mut(&id).expect("a connection is known until it ends")
    }

    /// Says whether it is new.
    pub(super) fn subscribe(&mut self, id: u64, name: &[u8], is_pattern: bool) -> bool {
        let client = self.clients.get_mut(&id).expect("a connection is known until it ends");
        let (own, all) = match is_pattern {
            false => (&mut client.channels, &mut self.channels),
            true => (&mut client.patterns, &mut self.patterns),
        };
        // The same bytes wherever the name is kept.
        let name = all.get_key_value(name).map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name));
        let ids = all.entry(name.clone()).or_default();
        ids.insert(id);
        if let Some(peers) = &mut self.peers {
            peers.subscribed(&name, is_pattern, ids.len() as u64);
        }
        own.insert(name)
    }

    pub(super) fn unsubscribe(&mut self, id: u64, name: &[u8], is_pattern: bool) {
        let client = self.clients.get_mut(&id).expect("a connection is known until it ends");
        let (own, all) = match is_pattern {
            false => (&mut client.channels, &mut self.channels),
            true => (&mut client.patterns, &mut self.patterns),
        };
        own.remove(name);
        if let Some(ids) = all.get_mut(name) {
            ids.remove(&id);
            if let Some(peers) = &mut self.peers {
                peers.subscribed(&Arc::from(name), is_pattern, ids.len() as u64);
            }
            if ids.is_empty() {
                all.remove(name);
            }
        }
    }

    fn unsubscribe_all(&mut self, id: u64) {
        for is_pattern in [false, true] {
            let client = self.client(id);
            let names = if is_pattern { &client.patterns } else { &client.channels };
            for name in names.clone() {
                self.unsubscribe(id, &name, is_pattern);
            }
        }
    }

    /// How many have subscribed to a channel, here or elsewhere.
    pub(super) fn subscribers_of(&self, channel: &[u8]) -> u64 {
        let others = self.peers.as_ref().map_or(0, |peers| peers.subscribers_of(channel));
        self.channels.get(channel).map_or(0, |ids| ids.len() as u64) + others
    }

    /// How many channels, or patterns, somebody has subscribed to, here or elsewhere.
    pub(super) fn names(&self, is_pattern: bool) -> usize {
        match &self.peers {
            Some(peers) => peers.names(is_pattern),
            None if is_pattern => self.patterns.len(),
            None => self.channels.len(),
        }
    }

    /// The channels that somebody has subscribed to and that fit.
    pub(super) fn channels_of(&self, pattern: &mut Glob<'_>) -> BTreeSet<Arc<[u8]>> {
        let mut found = BTreeSet::new();
        let mut look = |name: &Arc<[u8]>| {
            if pattern.matches(name) {
                found.insert(Arc::clone(name));
            }
        };
        match &self.peers {
            Some(peers) => peers.each_channel(&mut look),
            None => self.channels.keys().for_each(look),
        }
        found
    }

    /// How many clients there are, and what was counted, by all loops.
    pub(super) fn totals(&self) -> (u64, Counters) {
        let (clients, others) = self.peers.as_ref().map_or((0, Counters::default()), |peers| peers.totals());
        (clients + self.clients.len() as u64, self.counters.plus(&others).less(&self.base()))
    }

    /// Has all loops count from here on, for who asks; what each has counted goes on for its owner.
    pub(super) fn reset_totals(&mut self) {
        let others = self.peers.as_ref().map_or(Counters::default(), |peers| peers.totals().1);
        let base = self.counters.plus(&others);
        match &mut self.peers {
            Some(peers) => peers.set_base(base),
            None => self.base = base,
        }
    }

    /// What was counted when that was reset last.
    fn base(&self) -> Counters {
        self.peers.as_ref().map_or(self.base, |peers| peers.base())
    }

    /// A step of a scan that went on from the cursor `from` (0: it began) is done, and goes on behind a key, or is at its end.
    /// Gives the cursor for that.
    pub(super) fn step_scan(&mut self, from: u64, behind: Option<Vec<u8>>) -> u64 {
        let from = (from != 0).then(|| number_of(from));
        match self.scans.step(from, behind) {
            0 => 0,
            number => cursor_of(self.mark, number),
        }
    }

    /// Behind which key the scan goes on. A cursor may be used again, as in Redis.
    pub(super) fn find_scan(&mut self, cursor: u64) -> Option<Vec<u8>> {
        // What another node has given is of no use here, whatever the number is.
        let is_own = mark_of(cursor) == u64::from(self.mark);
        is_own.then(|| self.scans.find(number_of(cursor))).flatten()
    }
}
