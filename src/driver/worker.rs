//! [`Worker`]: one loop. It owns its sessions, timers, listening sockets and pipes, and shares with other
//! workers only what [`Shared`] holds. The thread is somebody else's: the server's own, or the host's.

mod core;
mod ending;
#[cfg(feature = "store")]
mod turning;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll};

pub(crate) use self::core::Core;
#[cfg(feature = "store")]
use self::turning::Turning;
use crate::balance::Lane;
use crate::driver::conversation::{Bell, Conversations, Listener as ConversationListener};
use crate::driver::discovering::Discovering;
use crate::driver::joint::Joints;
use crate::driver::listening::{Listening, ListeningSocket, Verdict};
use crate::driver::mailbox::Receiver;
use crate::driver::pipes::Pipes;
use crate::driver::probing::Probing;
#[cfg(feature = "store")]
use crate::driver::resp::{self, Clients, farewell::Farewells, watch::StoreWatch};
use crate::driver::shared::{Presence, Shared};
#[cfg(feature = "replication")]
use crate::driver::split::{self, Splitter, pools::StorePools};
use crate::driver::timer::{TimerId, Wheel};
use crate::driver::token::{Key, Source};
#[cfg(feature = "store")]
use crate::embedded::Store;
use crate::error::{Error, Result};
use crate::time::{Clock, Instant};

/// What a worker is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// An offer awaits one of its sessions that queue for this pool.
    Room(usize),
    /// This listener may have room below its `maxconn`.
    Resume(usize),
    /// Who is in this pool, or what was ordered of them, has changed.
    Pool(usize),
    /// Sessions could not reach some backends of this pool.
    Suspects(usize),
    /// Backends of this pool went down, and their sessions are to be cut.
    Cut(usize),
    /// The owner gave an order: see [`Orders`](crate::driver::shared::Orders).
    Order,
    /// There is news for those who follow.
    News,
    /// The store has something for its clients.
    #[cfg(feature = "store")]
    Store,
    /// What is known of the store's nodes has changed.
    #[cfg(feature = "replication")]
    Nodes,
    /// No other worker is left.
    Alone,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    Session(Key),
    Conversation(Key),
    #[cfg(feature = "store")]
    Client(Key),
    /// A Redis client has had the time to read why its connection ends.
    #[cfg(feature = "store")]
    Farewell(Key),
    /// The store is to be looked at.
    #[cfg(feature = "store")]
    Store,
    /// A splitting listener, by its number.
    #[cfg(feature = "replication")]
    Split(u32),
    /// Pools whose backends are the store's nodes.
    #[cfg(feature = "replication")]
    StorePools,
    /// Try again to accept: there was no descriptor.
    Accept(u32),
    /// Try again to connect sessions: there was no descriptor.
    Starved,
    /// A rate that sessions of this pool wait for has room.
    Room(u32),
    /// A lookup or a look at a file is due.
    Discovering,
    /// Something of the checks is due.
    Probing,
    /// The end of the drain.
    Drain,
}

pub(crate) struct Worker {
    core: Core,
    events: Events,
    joints: Joints,
    listening: Vec<Listening>,
    conversations: Conversations,
    /// Of the store, where there is one.
    #[cfg(feature = "store")]
    clients: Option<Clients>,
    /// What is told of it, on one worker of the server.
    #[cfg(feature = "store")]
    store_watch: Option<StoreWatch>,
    /// The store itself, where it has no threads.
    #[cfg(feature = "store")]
    turning: Option<Turning>,
    /// Listeners that split reads from writes.
    #[cfg(feature = "replication")]
    splitters: Vec<Splitter>,
    /// Pools whose backends are the store's nodes, on one worker of the server.
    #[cfg(feature = "replication")]
    store_pools: Option<StorePools>,
    /// The checks, on one worker of the server.
    probing: Option<Probing>,
    /// Members from elsewhere, likewise.
    discovering: Option<Discovering>,
    inbox: Receiver<Message>,
    phase: Phase,
    drain_timer: Option<TimerId>,
    /// Until it is over.
    presence: Option<Presence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Draining,
    Over,
}

/// The size of the buffer that reads land in, and so of what a flow keeps at most. Reads that fill it are
/// moved by splice from then on.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;
/// Events taken from the system at once.
const EVENTS_MAX: usize = 512;

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) poll: Poll,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Receiver<Message>,
    /// The listening sockets, one for each listener.
    pub(crate) sockets: Vec<ListeningSocket>,
    pub(crate) conversations: Vec<ConversationListener>,
    /// What tells its conversations that there is news.
    pub(crate) bell: Option<Bell>,
    #[cfg(feature = "store")]
    pub(crate) clients: Option<resp::Parts>,
    #[cfg(feature = "store")]
    pub(crate) store_watch: Option<StoreWatch>,
    /// A store without threads.
    #[cfg(feature = "store")]
    pub(crate) hosted_store: Option<Store>,
    #[cfg(feature = "replication")]
    pub(crate) splits: Vec<split::Parts>,
    #[cfg(feature = "replication")]
    pub(crate) store_pools: Option<StorePools>,
    pub(crate) probing: Option<Probing>,
    pub(crate) discovering: Option<Discovering>,
    pub(crate) is_hosted: bool,
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        let now = Clock.now();
        let rooms = parts.shared.pools.iter().map(|_| None).collect();
        let core = Core {
            index: parts.index,
            poll: parts.poll,
            shared: parts.shared,
            wheel: Wheel::new(now),
            pipes: Pipes::new(),
            buffer: vec![0; BUFFER_BYTES].into(),
            now,
            lane: Lane::Own(crate::thread::number()),
            again: Vec::new(),
            accept_again: Vec::new(),
            talk_again: Vec::new(),
            #[cfg(feature = "store")]
            farewells: Farewells::default(),
            paused: Vec::new(),
            is_starved: false,
            rooms,
            cut_again: false,
            mask: None,
            is_hosted: parts.is_hosted,
            has_freed: false,
        };
        let mut listening = Vec::with_capacity(parts.sockets.len());
        for (index, socket) in parts.sockets.into_iter().enumerate() {
            listening.push(Listening::open(index, socket, &core).map_err(unregistered)?);
        }
        #[cfg(feature = "store")]
        let behind = listening.len() + parts.conversations.len();
        let conversations = Conversations::open(parts.conversations, parts.bell, listening.len(), &core)
            .map_err(unregistered)?;
        #[cfg(feature = "store")]
        let clients = parts.clients.map(|clients| Clients::open(clients, behind, &core)).transpose()?;
        #[cfg(feature = "store")]
        let turning = parts.hosted_store.map(|store| Turning::open(store, &core)).transpose()?;
        #[cfg(feature = "replication")]
        let splitters = {
            let first = behind + usize::from(clients.is_some());
            let parts = parts.splits.into_iter().enumerate();
            parts
                .map(|(number, parts)| Splitter::open(parts, number, first + number, &core))
                .collect::<Result<Vec<_>>>()?
        };
        let mut worker = Self {
            events: Events::with_capacity(EVENTS_MAX),
            joints: Joints::new(Arc::clone(&core.shared)),
            listening,
            conversations,
            #[cfg(feature = "store")]
            clients,
            #[cfg(feature = "store")]
            store_watch: parts.store_watch,
            #[cfg(feature = "store")]
            turning,
            #[cfg(feature = "replication")]
            splitters,
            #[cfg(feature = "replication")]
            store_pools: parts.store_pools,
            probing: parts.probing,
            discovering: parts.discovering,
            inbox: parts.inbox,
            phase: Phase::Running,
            drain_timer: None,
            presence: Some(Presence::new(&core.shared)),
            core,
        };
        if let Some(discovering) = &mut worker.discovering {
            discovering.begin(&mut worker.core);
        }
        if let Some(probing) = &mut worker.probing {
            probing.begin(&mut worker.core);
        }
        #[cfg(feature = "replication")]
        if let Some(pools) = &mut worker.store_pools {
            pools.handle_news(&mut worker.core);
        }
        #[cfg(feature = "store")]
        if let Some(watch) = &worker.store_watch {
            watch.begin(&mut worker.core)?;
        }
        Ok(worker)
    }

    /// The descriptor to poll for reading: it is readable when a turn has something to do.
    pub(crate) fn poll_fd(&self) -> RawFd {
        self.core.poll.as_raw_fd()
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// When a turn is needed even if nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let Core { again, accept_again, talk_again, cut_again, .. } = &self.core;
        if !again.is_empty() || !accept_again.is_empty() || !talk_again.is_empty() || *cut_again {
            return Some(Instant::START);
        }
        #[cfg(feature = "store")]
        if self.core.farewells.is_pressed() || self.clients.as_ref().is_some_and(Clients::is_pressed) {
            return Some(Instant::START);
        }
        #[cfg(feature = "replication")]
        if self.splitters.iter().any(Splitter::is_pressed) {
            return Some(Instant::START);
        }
        let due = self.core.wheel.next_deadline();
        #[cfg(feature = "store")]
        if let Some(turning) = &self.turning {
            return [due, turning.next_deadline()].into_iter().flatten().min();
        }
        due
    }

    /// Waits for events, at most for `timeout` or until the next deadline, and handles one batch of them.
    /// Answers how many there were.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let due = match self.next_deadline() {
            Some(Instant::START) => Some(Duration::ZERO),
            // To the next whole millisecond, which is what the system counts in: to wake before the deadline
            // would be to turn in vain.
            Some(deadline) => {
                Some(deadline.duration_since(Clock.now()).saturating_add(Duration::from_nanos(999_999)))
            }
            None => None,
        };
        let wait = match (timeout, due) {
            (Some(timeout), Some(due)) => Some(timeout.min(due)),
            (timeout, due) => timeout.or(due),
        };
        match self.core.poll.poll(&mut self.events, wait) {
            Ok(()) => {}
            // A host's thread takes signals: it may want to see to that now.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.core.begin();
        let again = std::mem::take(&mut self.core.again);
        let accept_again = std::mem::take(&mut self.core.accept_again);
        let talk_again = std::mem::take(&mut self.core.talk_again);
        let mut count = again.len() + accept_again.len() + talk_again.len();
        #[cfg(feature = "store")]
        let farewells_again = self.core.farewells.take_again();
        let mut is_mail = false;
        // Sessions first: they give descriptors and places back that new ones can use.
        for event in &self.events {
            count += 1;
            match Source::from_token(event.token()) {
                Source::Session(key, side) => self.joints.handle_event(&mut self.core, key, side, event),
                Source::Mailbox => is_mail = true,
                #[cfg(feature = "store")]
                Source::Store => self.turning.iter_mut().for_each(Turning::handle_event),
                #[cfg(not(feature = "store"))]
                Source::Store => {}
                #[cfg(feature = "replication")]
                Source::Cluster => {
                    if let Some(watch) = &mut self.store_watch {
                        watch.handle_event(&self.core);
                    }
                }
                #[cfg(not(feature = "replication"))]
                Source::Cluster => {}
                Source::Conversation(key) => self.conversations.handle_event(&mut self.core, key),
                #[cfg(feature = "store")]
                Source::Client(key) => {
                    if let Some(clients) = &mut self.clients {
                        clients.handle_event(key, event);
                    }
                }
                #[cfg(feature = "store")]
                Source::Farewell(key) => self.core.go_on_with_farewell(key),
                #[cfg(not(feature = "store"))]
                Source::Client(_) | Source::Farewell(_) => {}
                #[cfg(feature = "replication")]
                Source::SplitClient(key) => {
                    if let Some(splitter) = self.splitters.get_mut(Splitter::number_of(key)) {
                        splitter.handle_client_event(key, event);
                    }
                }
                #[cfg(feature = "replication")]
                Source::SplitLink(key) => {
                    if let Some(splitter) = self.splitters.get_mut(Splitter::number_of(key)) {
                        splitter.handle_link_event(key, event);
                    }
                }
                #[cfg(not(feature = "replication"))]
                Source::SplitClient(_) | Source::SplitLink(_) => {}
                Source::Probe(key) => {
                    if let Some(probing) = &mut self.probing {
                        probing.handle_event(&mut self.core, key, event);
                    }
                }
                Source::Lookup(key) => {
                    if let Some(discovering) = &mut self.discovering {
                        discovering.handle_event(&mut self.core, key, event);
                    }
                }
                Source::Listener(_) => {}
            }
        }
        for key in again {
            self.joints.go_on(&mut self.core, key);
        }
        if std::mem::take(&mut self.core.cut_again) {
            self.joints.cut(&mut self.core);
        }
        for key in talk_again {
            self.conversations.handle_event(&mut self.core, key);
        }
        #[cfg(feature = "store")]
        for key in farewells_again {
            count += 1;
            self.core.go_on_with_farewell(key);
        }
        for event in &self.events {
            if let Source::Listener(index) = Source::from_token(event.token()) {
                self.core.accept_again.push(index);
            }
        }
        let fresh = std::mem::take(&mut self.core.accept_again);
        for index in fresh.into_iter().chain(accept_again) {
            self.accept(index as usize);
        }
        if is_mail {
            self.read_mail();
        }
        self.handle_timers();
        #[cfg(feature = "store")]
        if let Some(clients) = &mut self.clients {
            let is_alone = self.joints.is_empty();
            #[cfg(feature = "replication")]
            let is_alone = is_alone && self.splitters.iter().all(Splitter::is_empty);
            clients.serve(&mut self.core, is_alone);
        }
        #[cfg(feature = "replication")]
        for splitter in &mut self.splitters {
            splitter.serve(&mut self.core);
        }
        #[cfg(feature = "store")]
        if let Some(turning) = &mut self.turning {
            turning.turn(Clock.now());
        }
        if std::mem::take(&mut self.core.has_freed) {
            self.core.pipes.refill();
            self.joints.feed(&mut self.core);
            for index in 0..self.listening.len() {
                if self.listening[index].is_starved() {
                    self.accept(index);
                }
            }
            #[cfg(feature = "store")]
            if let Some(index) = self.clients.as_ref().and_then(Clients::is_starved) {
                self.accept(index);
            }
            #[cfg(feature = "replication")]
            for index in self.splitters.iter().filter_map(Splitter::is_starved).collect::<Vec<_>>() {
                self.accept(index);
            }
        }
        self.core.mask = None;
        self.end_if_drained();
        Ok(count)
    }

    fn accept(&mut self, index: usize) {
        if self.conversations.is_listener(index) {
            return self.conversations.accept(&mut self.core, index);
        }
        #[cfg(feature = "store")]
        if let Some(clients) = self.clients.as_mut().filter(|clients| clients.is_listener(index)) {
            return clients.accept(&mut self.core);
        }
        #[cfg(feature = "replication")]
        if let Some(splitter) = self.splitters.iter_mut().find(|splitter| splitter.is_listener(index)) {
            return splitter.accept(&mut self.core);
        }
        // After the drain has begun there is none.
        let Some(listening) = self.listening.get_mut(index) else { return };
        let joints = &mut self.joints;
        let verdict = listening.accept(&mut self.core, joints.is_starved(), |core, socket, source, since| {
            joints.open(core, index, socket, source, since);
            joints.is_starved()
        });
        match verdict {
            Verdict::Emptied => {}
            Verdict::More => {
                if !self.core.accept_again.contains(&(index as u32)) {
                    self.core.accept_again.push(index as u32);
                }
            }
            Verdict::Starved => self.core.pause(index as u32),
        }
    }

    fn read_mail(&mut self) {
        self.inbox.drain_begin();
        while let Some(message) = self.inbox.try_recv() {
            match message {
                Message::Room(pool) => self.joints.take_offers(&mut self.core, pool),
                Message::Resume(listener) => {
                    self.core.shared.listeners[listener].resume(self.core.index);
                    self.accept(listener);
                }
                Message::Pool(pool) => {
                    self.core.shared.pools[pool].begin_change();
                    if let Some(probing) = &mut self.probing {
                        probing.handle_pool_changed(&mut self.core, pool);
                    }
                }
                Message::Suspects(pool) => {
                    if let Some(probing) = &mut self.probing {
                        probing.handle_suspects(&mut self.core, pool);
                    }
                }
                Message::Cut(pool) => self.joints.cut_all_of(&mut self.core, pool),
                Message::Order => self.obey(),
                Message::News => self.conversations.handle_news(&mut self.core),
                #[cfg(feature = "store")]
                Message::Store => {
                    if let Some(clients) = &mut self.clients {
                        clients.handle_mail(&self.core);
                    }
                }
                #[cfg(feature = "replication")]
                Message::Nodes => {
                    self.splitters.iter_mut().for_each(Splitter::handle_news);
                    if let Some(pools) = &mut self.store_pools {
                        pools.handle_news(&mut self.core);
                    }
                }
                // Whether that ends it is looked at after every turn.
                Message::Alone => {}
            }
        }
    }

    /// Does what the owner ordered.
    pub(crate) fn obey(&mut self) {
        // Who orders may do so on a thread of its own, long after the last turn.
        self.core.begin();
        if self.core.shared.orders.is_stopped() {
            self.stop();
        } else if let Some(until) = self.core.shared.orders.drain_until() {
            self.drain(until);
        }
    }

    fn handle_timers(&mut self) {
        while let Some(timer) = self.core.wheel.expire(self.core.now) {
            match timer {
                Timer::Session(key) => self.joints.handle_timeout(&mut self.core, key),
                Timer::Conversation(key) => self.conversations.handle_timeout(&mut self.core, key),
                #[cfg(feature = "store")]
                Timer::Client(key) => {
                    if let Some(clients) = &mut self.clients {
                        clients.handle_timeout(&mut self.core, key);
                    }
                }
                #[cfg(feature = "store")]
                Timer::Farewell(key) => self.core.end_farewell(key),
                #[cfg(feature = "store")]
                Timer::Store => {
                    if let Some(watch) = &mut self.store_watch {
                        watch.handle_timeout(&mut self.core);
                    }
                }
                #[cfg(feature = "replication")]
                Timer::Split(number) => {
                    if let Some(splitter) = self.splitters.get_mut(number as usize) {
                        splitter.handle_timeout();
                    }
                }
                #[cfg(feature = "replication")]
                Timer::StorePools => {
                    if let Some(pools) = &mut self.store_pools {
                        pools.handle_timeout(&mut self.core);
                    }
                }
                Timer::Discovering => {
                    if let Some(discovering) = &mut self.discovering {
                        discovering.handle_timeout(&mut self.core);
                    }
                }
                Timer::Probing => {
                    if let Some(probing) = &mut self.probing {
                        probing.handle_timeout(&mut self.core);
                    }
                }
                Timer::Accept(index) => {
                    self.core.paused.retain(|&paused| paused != index);
                    self.accept(index as usize);
                }
                Timer::Room(pool) => {
                    let pool = pool as usize;
                    self.core.rooms[pool] = None;
                    self.core.shared.pools[pool].room.free();
                }
                Timer::Starved => {
                    self.core.is_starved = false;
                    self.joints.feed(&mut self.core);
                    if self.joints.is_starved() {
                        self.core.starve();
                    }
                }
                Timer::Drain => {
                    self.drain_timer = None;
                    self.stop();
                }
            }
        }
    }
}

fn unregistered(error: io::Error) -> Error {
    Error::io("register a listening socket", &error)
}
