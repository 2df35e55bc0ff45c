//! [`Links`]: one node's links, its listener and its loop.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::Socket;

use crate::balance::Address;
use crate::driver::net::{self, Accepted};
use crate::driver::peer::connection::{After, Connection};
use crate::driver::peer::secured::Secured;
use crate::driver::peer::told::{Event, Notice, PeerStatus, Totals, Waker};
use crate::error::{Error, Result};
use crate::peer::{
    self, Backoff, Class, ClusterId, Counters, End, Hello, Identity, Link, Linked, NodeName, NotSent,
    Options, Reason, Refusal, Roster, Security,
};
use crate::proxy::options::Bind;
use crate::rng::Rng;
use crate::sys::fork::{self, Moment};
use crate::time::{Clock, Instant};

/// What a node's links are made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who this node is.
    pub identity: Identity,
    /// Where it listens; `None`: nowhere, so that it dials everybody.
    pub listen: Option<SocketAddr>,
    /// Everybody else.
    pub peers: Vec<PeerAddress>,
    /// How links are secured.
    pub security: Security,
    /// Bounds and times.
    pub options: Options,
    /// What waits are drawn from.
    pub seed: u64,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Its name.
    pub name: NodeName,
    /// Where it listens; `None`: nowhere, so that it dials.
    pub address: Option<SocketAddr>,
    /// Its number in the cluster; 0: not known.
    pub number: u64,
}

/// One node's links. It belongs to one thread at a time, which calls [`turn`](Self::turn) and takes what
/// [`poll_event`](Self::poll_event) gives; [`Waker`] is for other threads. Nothing but `turn` waits, and nothing but
/// [`open`](Self::open) and [`reload`](Self::reload) reads files.
///
/// Dropping it breaks all connections off; [`close`](Self::close) says so to the other nodes first.
pub struct Links {
    poll: Poll,
    events: Events,
    waker: Waker,
    listener: Option<Listener>,
    secured: Secured,
    security: Security,
    roster: Roster,
    options: Options,
    connections: Slab<Connection>,
    /// The number of the next connection.
    next_id: u64,
    dials: BTreeMap<NodeName, Dial>,
    /// Connections to be looked at before the next wait.
    pending: Vec<usize>,
    /// Connections with messages to be taken.
    ready: VecDeque<usize>,
    notices: VecDeque<Notice>,
    totals: Totals,
    rng: Rng,
    buffer: Vec<u8>,
}

struct Listener {
    socket: Socket,
    since: Moment,
    /// Somebody may be there.
    is_ready: bool,
    /// No descriptor was left: not before then.
    paused_until: Option<Instant>,
}

/// What is known of a node beside its link.
struct Dial {
    backoff: Backoff,
    /// When it is to be dialled; `None` while it is linked or being dialled, and for those who dial.
    next: Option<Instant>,
    /// The connection that is being made, or was.
    connection: Option<usize>,
    links: u64,
    failures: u64,
    down: u64,
    /// Of links that are over.
    counters: Counters,
}

/// How many notices are kept for the owner; the oldest goes for a new one beyond that.
const NOTICES_MAX: usize = 1_024;
/// How many connections are accepted before others have their turn.
const ACCEPTS_PER_TURN: usize = 64;
/// How soon it is tried again to accept when no descriptor was left.
const STARVED_PAUSE: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 64 << 10;
const BACKLOG: u32 = 1_024;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;

impl Links {
    /// Listens, and begins to dial. Blocks while files are read.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for options out of range, certificates that the other nodes would not take, and addresses that
    /// `security` does not allow; `Io` for files that cannot be read and addresses that cannot be listened on;
    /// `Unsupported` for TLS in a build without it.
    pub fn open(setup: Setup) -> Result<Self> {
        fork::watch();
        setup.options.check()?;
        let secured = Secured::load(&setup.security, &setup.identity.name)?;
        let poll = Poll::new().map_err(|error| Error::io("make a loop for links", &error))?;
        let waker = mio::Waker::new(poll.registry(), WAKER)
            .map_err(|error| Error::io("make a loop for links", &error))?;
        let listener = match setup.listen {
            Some(address) => {
                setup.security.check("listen", &address)?;
                Some(Listener::open(address, &poll)?)
            }
            None => None,
        };
        let now = Clock.now();
        let mut links = Self {
            poll,
            events: Events::with_capacity(256),
            waker: Waker(Arc::new(waker)),
            listener,
            secured,
            security: setup.security,
            roster: Roster::new(setup.identity),
            options: setup.options,
            connections: Slab::new(),
            next_id: 1,
            dials: BTreeMap::new(),
            pending: Vec::new(),
            ready: VecDeque::new(),
            notices: VecDeque::new(),
            totals: Totals::default(),
            rng: Rng::new(setup.seed),
            buffer: vec![0; READ_BYTES],
        };
        for peer in setup.peers {
            links.add_peer_at(peer, now)?;
        }
        Ok(links)
    }

    /// Does what there is to do, and waits for more: up to `wait`, for ever with `None`, and not at all while there is
    /// something to be taken with [`poll_event`](Self::poll_event).
    ///
    /// # Errors
    ///
    /// `Io` where the system fails the loop itself; it cannot go on then.
    pub fn turn(&mut self, wait: Option<Duration>) -> Result<()> {
        let now = Clock.now();
        self.run_pending(now);
        let wait = self.wait_from(wait, Clock.now());
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(Error::io("wait for links", &error));
            }
            _ => {}
        }
        let now = Clock.now();
        self.handle_events();
        self.accept(now);
        // Before timers: what came while this process stood still was in time.
        self.run_pending(now);
        self.handle_timeouts(now);
        self.run_pending(now);
        Ok(())
    }

    /// What the owner is to know next: what happened to links first, then messages, one of each link in turn, the urgent
    /// ones of a link first.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(notice) = self.notices.pop_front() {
            return Some(Event::Notice(notice));
        }
        while let Some(index) = self.ready.pop_front() {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            let Some(from) = connection.peer.clone().filter(|_| connection.link.is_up()) else { continue };
            let Some(message) = connection.link.take() else { continue };
            if connection.link.has_message() {
                self.ready.push_back(index);
            }
            if connection.link.owes_credit() && !self.pending.contains(&index) {
                self.pending.push(index);
            }
            return Some(Event::Message { from, message });
        }
        None
    }

    /// Has a message go to a node with the next [`turn`](Self::turn).
    ///
    /// # Errors
    ///
    /// Why it was dropped: [`NotSent`].
    pub fn send(
        &mut self,
        to: &NodeName,
        class: Class,
        message: Vec<u8>,
    ) -> std::result::Result<(), NotSent> {
        let Some(dial) = self.dials.get_mut(to) else { return Err(NotSent::Unknown) };
        let Some((index, connection)) = linked_mut(&self.roster, &mut self.connections, to) else {
            dial.down += 1;
            return Err(NotSent::Down);
        };
        connection.link.send(class, message)?;
        if !self.pending.contains(&index) {
            self.pending.push(index);
        }
        Ok(())
    }

    /// A node that belongs to the cluster from now on, or its new address or number.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for this node itself, for an address that `security` does not allow, and where neither could
    /// dial the other.
    pub fn add_peer(&mut self, peer: PeerAddress) -> Result<()> {
        self.add_peer_at(peer, Clock.now())
    }

    /// A node that does not belong to the cluster any more: its link ends, and it is refused.
    pub fn remove_peer(&mut self, name: &NodeName) {
        self.roster.remove(name);
        self.dials.remove(name);
        let now = Clock.now();
        let is_its = |connection: &Connection| {
            let dialled = connection.dialled.as_ref().map(|(name, _)| name);
            connection.peer.as_ref() == Some(name) || dialled == Some(name)
        };
        let indices: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_its(c)).map(|(index, _)| index).collect();
        for index in indices {
            self.connections[index].link.close(End::Closed);
            self.run(index, now);
        }
    }

    /// Numbers whose nodes were taken out of the cluster for good.
    pub fn set_removed(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.roster.set_removed(numbers);
    }

    /// This node belongs to a cluster from now on. Links that are up stay.
    pub fn set_cluster(&mut self, cluster: ClusterId, number: u64) {
        self.roster.set_cluster(cluster, number);
    }

    /// Another bound for the bulk on each link, in bytes a second; 0: none.
    pub fn set_bulk_rate(&mut self, rate: u64) {
        self.options.bulk_rate = rate;
        for (index, connection) in &mut self.connections {
            connection.link.set_bulk_rate(rate);
            self.pending.push(index);
        }
    }

    /// Reads certificates, key and authorities anew; links made from now on use them, those that are up stay. Blocks while
    /// files are read.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open); then all is as before.
    pub fn reload(&mut self) -> Result<()> {
        self.secured = Secured::load(&self.security, &self.roster.own().name)?;
        Ok(())
    }

    /// Ends all links with a word to the other nodes, listens and dials no more, and waits up to `wait` for the words to
    /// be said.
    ///
    /// # Errors
    ///
    /// `Io` where the system fails the loop.
    pub fn close(&mut self, wait: Duration) -> Result<()> {
        self.listener = None;
        self.dials.values_mut().for_each(|dial| dial.next = None);
        let now = Clock.now();
        let until = now.saturating_add(wait);
        let indices: Vec<usize> = self.connections.iter().map(|(index, _)| index).collect();
        for index in indices {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.link.close(End::Closed);
                self.run(index, now);
            }
            self.dials.values_mut().for_each(|dial| dial.next = None);
        }
        loop {
            let now = Clock.now();
            if self.connections.is_empty() || now >= until {
                return Ok(());
            }
            self.notices.clear();
            self.turn(Some(until.duration_since(now)))?;
            self.dials.values_mut().for_each(|dial| dial.next = None);
        }
    }

    /// Ends a wait from another thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.socket.local_addr().ok()?.as_socket()
    }

    /// When [`turn`](Self::turn) has something to do that waits for nothing but time.
    pub fn next_deadline(&self) -> Option<Instant> {
        let now = Clock.now();
        let connections = self.connections.iter().filter_map(|(_, connection)| connection.next_deadline(now));
        let dials = self.dials.values().filter_map(|dial| dial.next);
        let paused = self.listener.as_ref().and_then(|listener| listener.paused_until);
        connections.chain(dials).chain(paused).min()
    }

    /// What is known of a node.
    pub fn status(&self, name: &NodeName) -> Option<PeerStatus> {
        let dial = self.dials.get(name)?;
        let mut status = PeerStatus {
            links: dial.links,
            failures: dial.failures,
            down: dial.down,
            counters: dial.counters,
            ..PeerStatus::default()
        };
        let id = self.roster.linked(name).map(|linked| linked.connection);
        let up = self.connections.iter().find(|(_, connection)| Some(connection.id) == id);
        if let Some((_, connection)) = up {
            status.is_up = connection.link.is_up();
            status.round_trip = connection.link.round_trip();
            status.waiting = Class::ALL.map(|class| connection.link.waiting(class).0);
            status.counters.add(connection.link.counters());
        }
        Some(status)
    }

    /// What was counted for the node as a whole.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Everybody else, in the order of their names.
    pub fn peers(&self) -> impl Iterator<Item = &NodeName> {
        self.roster.names()
    }

    fn add_peer_at(&mut self, peer: PeerAddress, now: Instant) -> Result<()> {
        if let Some(address) = &peer.address {
            self.security.check("peers", address)?;
        }
        self.roster.add(peer.name.clone(), peer.address, peer.number)?;
        let is_idle = self.roster.linked(&peer.name).is_none();
        let dials = self.roster.dials(&peer.name).is_some();
        let dial = self.dials.entry(peer.name).or_insert_with(|| Dial {
            backoff: Backoff::new(self.options.backoff_min, self.options.backoff_max),
            next: None,
            connection: None,
            links: 0,
            failures: 0,
            down: 0,
            counters: Counters::default(),
        });
        if !dials {
            dial.next = None;
        } else if is_idle && dial.connection.is_none() {
            dial.next = Some(now);
        }
        Ok(())
    }

    /// How long the system may sleep.
    fn wait_from(&self, wait: Option<Duration>, now: Instant) -> Option<Duration> {
        let is_busy = !self.pending.is_empty()
            || !self.notices.is_empty()
            || !self.ready.is_empty()
            || self
                .listener
                .as_ref()
                .is_some_and(|listener| listener.is_ready && listener.paused_until.is_none());
        if is_busy {
            return Some(Duration::ZERO);
        }
        let due = self.next_deadline().map(|due| due.duration_since(now));
        match (wait, due) {
            (Some(wait), Some(due)) => Some(wait.min(due)),
            (one, other) => one.or(other),
        }
    }

    fn handle_events(&mut self) {
        for event in &self.events {
            match event.token() {
                LISTENER => {
                    if let Some(listener) = &mut self.listener {
                        listener.is_ready = true;
                    }
                }
                WAKER => {}
                Token(token) => {
                    let index = token - FIRST_CONNECTION;
                    let Some(connection) = self.connections.get_mut(index) else { continue };
                    let is_broken = event.is_error();
                    connection.handle_ready(
                        event.is_readable() || is_broken,
                        event.is_writable() || is_broken,
                        event.is_read_closed() || is_broken,
                    );
                    if !self.pending.contains(&index) {
                        self.pending.push(index);
                    }
                }
            }
        }
    }

    /// Runs the connections that have something to do; those whose share is used up come again with the next turn.
    fn run_pending(&mut self, now: Instant) {
        for index in std::mem::take(&mut self.pending) {
            self.run(index, now);
        }
    }

    /// Reads, has the link say what it has to, and writes.
    fn run(&mut self, index: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let read = connection.read(&mut self.buffer, now);
        self.handle_link(index, now);
        let Some(connection) = self.connections.get_mut(index) else { return };
        let wrote = connection.write(now);
        let has_message = connection.link.is_up() && connection.link.has_message();
        self.handle_link(index, now);
        if read == After::Done || wrote == After::Done {
            return self.drop_connection(index);
        }
        if has_message && !self.ready.contains(&index) {
            self.ready.push_back(index);
        }
        if (read == After::More || wrote == After::More) && !self.pending.contains(&index) {
            self.pending.push(index);
        }
    }

    /// Takes what a link has to say.
    fn handle_link(&mut self, index: usize, now: Instant) {
        while let Some(event) = self.connections.get_mut(index).and_then(Connection::poll_event) {
            match event {
                peer::Event::Hello(hello) => self.judge(index, &hello, now),
                peer::Event::Up { version } => self.rise(index, version, now),
                peer::Event::Over(end) => self.end(index, end, now),
            }
        }
    }

    /// Takes the other side, or refuses it.
    fn judge(&mut self, index: usize, hello: &Hello, now: Instant) {
        let connection = &mut self.connections[index];
        let judged = match &connection.dialled {
            Some((name, address)) if *name != hello.name => {
                let detail =
                    format!("{} answered at {address}, the address of {name}; check peers", hello.name);
                Err(Refusal::new(Reason::WrongNode, detail))
            }
            _ => connection
                .certify(&hello.name)
                .and_then(|()| self.roster.judge(hello, connection.link.side())),
        };
        match judged {
            Ok(()) => {
                connection.peer = Some(hello.name.clone());
                connection.link.accept(self.roster.hello(&hello.name, &self.options), now);
            }
            Err(refusal) => {
                if refusal.reason == Reason::DuplicateName {
                    self.probe(&hello.name, now);
                }
                let connection = &mut self.connections[index];
                if connection.dialled.is_none() {
                    connection.peer = Some(hello.name.clone());
                }
                connection.link.refuse(refusal);
            }
        }
    }

    /// Asks whether the process that is linked under a name is there: if not, the next attempt of the other one succeeds.
    fn probe(&mut self, name: &NodeName, now: Instant) {
        if let Some((index, connection)) = linked_mut(&self.roster, &mut self.connections, name) {
            connection.link.probe(now);
            if !self.pending.contains(&index) {
                self.pending.push(index);
            }
        }
    }

    fn rise(&mut self, index: usize, version: u16, now: Instant) {
        let connection = &mut self.connections[index];
        let Some(hello) = connection.link.remote().cloned() else { return };
        // Since it was judged another may have come, or the node may have gone.
        if let Err(refusal) = self.roster.judge(&hello, connection.link.side()) {
            connection.link.close(End::RefusedHere(refusal));
            return;
        }
        connection.up_since = Some(now);
        let linked = Linked { connection: connection.id, boot: hello.boot, address: hello.address };
        let before = self.roster.link(&hello.name, linked);
        if let Some(dial) = self.dials.get_mut(&hello.name) {
            dial.links += 1;
            dial.next = None;
        }
        let Hello { name, number, boot, cluster, .. } = hello;
        self.tell(Notice::Up { peer: name, number, boot, cluster, version });
        let old = before.and_then(|old| self.connections.iter().find(|(_, c)| c.id == old.connection));
        if let Some(old) = old.map(|(index, _)| index) {
            self.connections[old].link.close(End::Replaced);
            self.run(old, now);
        }
    }

    /// A link is over, whether it was up or not.
    fn end(&mut self, index: usize, end: End, now: Instant) {
        let connection = &mut self.connections[index];
        connection.begin_closing(now);
        if !self.pending.contains(&index) {
            self.pending.push(index);
        }
        let (id, dialled, from) = (connection.id, connection.dialled.clone(), connection.from);
        let (name, up_since) = (connection.peer.clone(), connection.up_since);
        let counters = *connection.link.counters();
        if let Some(name) = &name {
            self.roster.unlink(name, id);
        }
        if let (Some(name), Some(_)) = (&name, up_since) {
            if let Some(dial) = self.dials.get_mut(name) {
                dial.counters.add(&counters);
            }
            self.tell(Notice::Down { peer: name.clone(), end: end.clone() });
        }
        if let Some((name, address)) = dialled {
            self.dial_later(&name, address, index, up_since, end, now);
        } else if up_since.is_none() {
            self.totals.refused += 1;
            self.tell(Notice::Refused { peer: name, from, end });
        }
    }

    /// An attempt to dial, or a link that came of one, has ended.
    fn dial_later(
        &mut self,
        name: &NodeName,
        address: SocketAddr,
        index: usize,
        up_since: Option<Instant>,
        end: End,
        now: Instant,
    ) {
        let Some(dial) = self.dials.get_mut(name) else { return };
        if dial.connection != Some(index) {
            return;
        }
        dial.connection = None;
        // A link that did not last is no reason to hurry.
        if up_since.is_some_and(|since| now.duration_since(since) >= self.options.backoff_max) {
            dial.backoff.reset();
        }
        let wait = dial.backoff.next(&mut self.rng);
        let wait = if end.is_refusal() {
            Backoff::jittered(self.options.refused_backoff, &mut self.rng)
        } else {
            wait
        };
        dial.next = self.roster.dials(name).map(|_| now.saturating_add(wait));
        if up_since.is_none() {
            dial.failures += 1;
            let attempts = dial.backoff.attempts();
            self.tell(Notice::Failed { peer: name.clone(), address, attempts, end });
        }
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let is_due = |connection: &Connection| connection.next_deadline(now).is_some_and(|due| due <= now);
        let due: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_due(c)).map(|(index, _)| index).collect();
        for index in due {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            if connection.has_lingered(now) {
                self.drop_connection(index);
                continue;
            }
            connection.link.handle_timeout(now);
            self.run(index, now);
        }
        let due: Vec<NodeName> = self
            .dials
            .iter()
            .filter(|(_, dial)| dial.next.is_some_and(|next| next <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.dial(name, now);
        }
    }

    fn dial(&mut self, name: NodeName, now: Instant) {
        let Some(address) = self.roster.dials(&name) else { return };
        let since = Moment::now();
        let hello = self.roster.hello(&name, &self.options);
        let link = Link::dialler(hello, &self.options, now);
        let connected = net::connect(&Address::Inet(address))
            .and_then(|socket| Connection::tune(&socket, self.options.silence_max).map(|()| socket))
            .map_err(|error| End::Io { code: error.raw_os_error().unwrap_or(0), detail: error.to_string() });
        let made = connected.and_then(|socket| {
            let to = (name.clone(), address);
            Connection::dialler(socket, self.next_id, to, link, &self.secured, since)
                .map_err(|error| End::Tls(error.to_string()))
        });
        let index = self.connections.vacant_key();
        if let Some(dial) = self.dials.get_mut(&name) {
            dial.next = None;
            dial.connection = Some(index);
        }
        match made.and_then(|connection| self.insert(connection)) {
            Ok(_) => {}
            Err(end) => self.dial_later(&name, address, index, None, end, now),
        }
    }

    fn accept(&mut self, now: Instant) {
        let Some(listener) = &mut self.listener else { return };
        if listener.paused_until.is_some_and(|until| now < until) {
            return;
        }
        listener.paused_until = None;
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_mut().filter(|listener| listener.is_ready) else { return };
            let since = Moment::now();
            match net::accept(&listener.socket) {
                Accepted::One(socket, from) => {
                    self.totals.accepted += 1;
                    self.take_in(socket, from, since, now);
                }
                Accepted::Gone => self.totals.accept_errors += 1,
                Accepted::None => listener.is_ready = false,
                Accepted::Starved(error) | Accepted::Broken(error) => {
                    listener.paused_until = Some(now.saturating_add(STARVED_PAUSE));
                    self.totals.accept_errors += 1;
                    self.tell(Notice::AcceptPaused { detail: error.to_string() });
                    return;
                }
            }
        }
    }

    fn take_in(&mut self, socket: Socket, from: Option<SocketAddr>, since: Moment, now: Instant) {
        self.make_room(now);
        let link = Link::acceptor(&self.options, now);
        let made = Connection::tune(&socket, self.options.silence_max)
            .map_err(|error| End::Io { code: error.raw_os_error().unwrap_or(0), detail: error.to_string() })
            .and_then(|()| {
                Connection::acceptor(socket, self.next_id, from, link, &self.secured, since)
                    .map_err(|error| End::Tls(error.to_string()))
            });
        match made.and_then(|connection| self.insert(connection)) {
            Ok(index) => self.pending.push(index),
            Err(end) => {
                self.totals.refused += 1;
                self.tell(Notice::Refused { peer: None, from, end });
            }
        }
    }

    /// Ends the oldest connection that came and is not up, where there are as many of them as may be.
    fn make_room(&mut self, now: Instant) {
        let is_unknown = |connection: &Connection| {
            connection.dialled.is_none() && (connection.is_closing() || !connection.link.is_up())
        };
        let unknown = self.connections.iter().filter(|(_, connection)| is_unknown(connection));
        let count = unknown.clone().count();
        if count < self.options.pending_max as usize {
            return;
        }
        let oldest = unknown.min_by_key(|(_, connection)| connection.id).map(|(index, _)| index);
        if let Some(index) = oldest {
            self.totals.displaced += 1;
            self.connections[index].link.close(End::Displaced);
            self.handle_link(index, now);
            self.drop_connection(index);
        }
    }

    fn insert(&mut self, connection: Connection) -> std::result::Result<usize, End> {
        let index = self.connections.vacant_key();
        let fd = connection.socket().as_raw_fd();
        let token = Token(index + FIRST_CONNECTION);
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), token, Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| End::Io {
                code: error.raw_os_error().unwrap_or(0),
                detail: error.to_string(),
            })?;
        self.next_id += 1;
        Ok(self.connections.insert(connection))
    }

    fn drop_connection(&mut self, index: usize) {
        if self.connections.contains(index) {
            self.pending.retain(|&pending| pending != index);
            self.ready.retain(|&ready| ready != index);
            self.connections.remove(index).close();
        }
    }

    fn tell(&mut self, notice: Notice) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices.pop_front();
            self.totals.notices_dropped += 1;
        }
        self.notices.push_back(notice);
    }
}

/// The connection that is linked to a node.
fn linked_mut<'a>(
    roster: &Roster,
    connections: &'a mut Slab<Connection>,
    name: &NodeName,
) -> Option<(usize, &'a mut Connection)> {
    let id = roster.linked(name)?.connection;
    connections.iter_mut().find(|(_, connection)| connection.id == id)
}

impl Listener {
    fn open(address: SocketAddr, poll: &Poll) -> Result<Self> {
        let what = || format!("listen on {address} for peers");
        let since = Moment::now();
        let mut sockets = net::bind(&Bind::Inet(address), "peers", 1)?;
        let socket = sockets.pop().expect("one was asked for");
        net::start(&socket, BACKLOG).map_err(|error| Error::io(what(), &error))?;
        let fd = socket.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), LISTENER, Interest::READABLE)
            .map_err(|error| Error::io(what(), &error))?;
        Ok(Self { socket, since, is_ready: true, paused_until: None })
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for connection in self.connections.drain() {
            connection.close();
        }
        if let Some(listener) = self.listener.take() {
            net::close(listener.socket, listener.since);
        }
    }
}

impl AsRawFd for Links {
    /// The descriptor that becomes readable when [`turn`](Links::turn) has something to do, for a host's own loop.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}
