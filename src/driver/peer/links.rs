//! [`Links`]: one node's links, its listener and its loop.

mod accepting;
mod dialling;
mod meeting;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use self::accepting::Listener;
use self::dialling::Dial;
use self::meeting::{linked, linked_mut};
use crate::driver::peer::connection::{After, Connection};
use crate::driver::peer::secured::Secured;
use crate::driver::peer::told::{Event, Notice, PeerStatus, Totals, Waker};
use crate::error::{Error, Result};
use crate::peer::{
    self, Backoff, Class, ClusterId, Counters, End, Identity, NodeName, NotSent, Options, Roster, Security,
};
use crate::rng::Rng;
use crate::sys::fork;
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

/// How many notices are kept for the owner; the oldest goes for a new one beyond that.
const NOTICES_MAX: usize = 1_024;
const READ_BYTES: usize = 64 << 10;

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

    /// What [`send`](Self::send) would say to a message of so many bytes now.
    ///
    /// # Errors
    ///
    /// Why it would be dropped: [`NotSent`].
    pub fn check_room(&self, to: &NodeName, class: Class, bytes: usize) -> std::result::Result<(), NotSent> {
        if !self.dials.contains_key(to) {
            return Err(NotSent::Unknown);
        }
        let (_, connection) = linked(&self.roster, &self.connections, to).ok_or(NotSent::Down)?;
        connection.link.check_room(class, bytes)
    }

    /// What waits in the link to a node to go, in bytes as the link counts them; 0 where there is no link.
    pub fn waiting(&self, to: &NodeName, class: Class) -> u64 {
        let linked = linked(&self.roster, &self.connections, to);
        linked.map_or(0, |(_, connection)| connection.link.waiting(class).1)
    }

    /// Has all go that the system takes now, before the next [`turn`](Self::turn).
    pub fn flush(&mut self) {
        self.run_pending(Clock.now());
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

    /// A node that was put out of the cluster by a promotion by force: it is refused, and told of the generation that counts
    /// ([`Reason::OldGeneration`](crate::peer::Reason)). For that it is dialled as before where it does not dial itself.
    pub fn put_out(&mut self, name: &NodeName) {
        self.roster.put_out(name);
        let now = Clock.now();
        let is_its =
            |connection: &Connection| connection.peer.as_ref() == Some(name) && connection.link.is_up();
        let indices: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_its(c)).map(|(index, _)| index).collect();
        for index in indices {
            self.connections[index].link.close(End::Closed);
            self.run(index, now);
        }
    }

    /// The generation of the cluster, which counts promotions by force; 0, as at first: it is not known.
    pub fn set_generation(&mut self, generation: u64) {
        self.roster.set_generation(generation);
    }

    /// Numbers whose nodes were taken out of the cluster for good: all of them.
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

    /// The same with files that somebody else has read: nothing here waits for a disk.
    pub(in crate::driver) fn secure(&mut self, secured: Secured) {
        self.secured = secured;
    }

    /// Ends all links with a word to the other nodes, listens and dials no more, and waits up to `wait` for the words to
    /// be said.
    ///
    /// # Errors
    ///
    /// `Io` where the system fails the loop.
    pub fn close(&mut self, wait: Duration) -> Result<()> {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
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
        self.listener.as_ref()?.address()
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
        self.dial_due(now);
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

impl Drop for Links {
    fn drop(&mut self) {
        for connection in self.connections.drain() {
            connection.close();
        }
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
    }
}

impl AsRawFd for Links {
    /// The descriptor that becomes readable when [`turn`](Links::turn) has something to do, for a host's own loop.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}
