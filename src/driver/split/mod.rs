//! Listeners that split reads from writes, in a loop: sockets of clients and to nodes, around [`crate::split`].
//!
//! A turn reads from the sockets on which something has come, has the state machine say what follows, and writes once to
//! each socket that is to be told something.
//!
//! | file | owns |
//! |---|---|
//! | `pools` | pools whose backends are the nodes |
//! | `shared` | what loops share: who may come in, what is known of the nodes, what was counted |
//! | `nodes` | what is known of the nodes, from what the store tells |

pub(crate) mod nodes;
pub(crate) mod pools;
pub(crate) mod shared;

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use socket2::Socket;

use self::nodes::Nodes;
use self::shared::SharedSplit;
use crate::driver::listening::{ListeningSocket, Verdict};
use crate::driver::mailbox::Sender;
use crate::driver::net;
use crate::driver::resp::listening::{Door, Guest};
use crate::driver::shared::add;
use crate::driver::store::Store;
use crate::driver::timer::TimerId;
use crate::driver::token::{Key, Source};
use crate::driver::worker::{Core, Message, Timer};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::split::{Action, ClientId, LinkId, Split};
use crate::store::index::Timestamp;
use crate::sys::fork::Moment;
use crate::time::Instant;

/// What a loop serves one such listener with.
pub(crate) struct Parts {
    pub(crate) socket: ListeningSocket,
    pub(crate) shared: Arc<SharedSplit>,
    pub(crate) store: Store,
    pub(crate) sender: Sender<Message>,
    /// What clients on a unix socket are called.
    pub(crate) path: Option<Arc<str>>,
    pub(crate) seed: u64,
}

/// A client or a connection to a node.
struct Peer {
    socket: Socket,
    generation: u32,
    /// There may be something to read.
    is_readable: bool,
    /// The other side ended its half, and what it sent before may still be unread.
    is_ending: bool,
    /// It did while this process stood still.
    is_late: bool,
    has_ended: bool,
    /// The socket took all it was given.
    is_writable: bool,
    /// Of a connection to a node: it does not stand yet.
    is_connecting: bool,
    /// Of a connection to a node: its half was ended.
    is_said: bool,
    /// It is among those that this turn is about.
    is_called: bool,
    /// When a client last said something.
    touched: Instant,
    since: Moment,
}

impl Peer {
    fn new(socket: Socket, generation: u32, is_connecting: bool, now: Instant, since: Moment) -> Self {
        Self {
            socket,
            generation,
            is_readable: true,
            is_ending: false,
            is_late: false,
            has_ended: false,
            is_writable: true,
            is_connecting,
            is_said: false,
            is_called: false,
            touched: now,
            since,
        }
    }

    fn note(&mut self, event: &Event) {
        self.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.is_ending |= event.is_read_closed() || event.is_error();
        self.is_writable |= event.is_writable() || event.is_error();
    }
}

/// Peers by the place that the state machine has for them.
#[derive(Default)]
struct Peers(Vec<Option<Peer>>);

impl Peers {
    fn get(&mut self, index: u32, generation: u32) -> Option<&mut Peer> {
        self.0.get_mut(index as usize)?.as_mut().filter(|peer| peer.generation == generation)
    }

    fn put(&mut self, index: u32, peer: Peer) {
        let index = index as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(peer);
    }

    fn take(&mut self, index: u32, generation: u32) -> Option<Peer> {
        self.get(index, generation)?;
        self.0[index as usize].take()
    }
}

/// A loop's part of one listener.
pub(crate) struct Splitter {
    number: u32,
    shared: Arc<SharedSplit>,
    split: Split,
    nodes: Nodes,
    door: Option<Door>,
    path: Option<Arc<str>>,
    clients: Peers,
    links: Peers,
    called_clients: Vec<ClientId>,
    called_links: Vec<LinkId>,
    /// What is known of the nodes is to be looked at.
    has_news: bool,
    timer: Option<TimerId>,
    /// When silent clients are looked for next.
    sweeps_at: Instant,
    present: usize,
    is_draining: bool,
}

/// A server has 32 such listeners at most.
const NUMBER_SHIFT: u32 = 27;
const INDEX_MASK: u32 = (1 << NUMBER_SHIFT) - 1;
/// Reads of one socket in a turn.
const READS_MAX: usize = 16;
/// Rounds of a turn: what is written may make room for more.
const ROUNDS_MAX: usize = 16;

impl Splitter {
    pub(crate) fn open(parts: Parts, number: usize, listener: usize, core: &Core) -> Result<Self> {
        let Parts { socket, shared, store, sender, path, seed } = parts;
        let nodes = Nodes::new(&store, shared.own.clone(), sender)?;
        let mut options = shared.options.clone();
        let workers = core.shared.senders.len() as u64;
        (options.hub.id_first, options.hub.id_step) = (core.index as u64 + 1, workers);
        let split = Split::new(options, wall(core.now), Rng::new(seed));
        let door = Door::open(listener, socket, core)
            .map_err(|error| Error::io("register a listening socket", &error))?;
        Ok(Self {
            number: number as u32,
            shared,
            split,
            nodes,
            door: Some(door),
            path,
            clients: Peers::default(),
            links: Peers::default(),
            called_clients: Vec::new(),
            called_links: Vec::new(),
            has_news: true,
            timer: None,
            sweeps_at: core.now,
            present: 0,
            is_draining: false,
        })
    }

    /// Whose a key is.
    pub(crate) fn number_of(key: Key) -> usize {
        (key.index >> NUMBER_SHIFT) as usize
    }

    fn key(&self, index: u32, generation: u32) -> Key {
        Key { index: self.number << NUMBER_SHIFT | index, generation }
    }

    /// Whether `index` is the number of its listener.
    pub(crate) fn is_listener(&self, index: usize) -> bool {
        self.door.as_ref().is_some_and(|door| door.index == index)
    }

    pub(crate) fn is_starved(&self) -> Option<usize> {
        self.door.as_ref().filter(|door| door.is_starved()).map(|door| door.index)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Whether the next turn has something to do even if nothing happens.
    pub(crate) fn is_pressed(&self) -> bool {
        !self.called_clients.is_empty() || !self.called_links.is_empty() || self.has_news
    }

    pub(crate) fn accept(&mut self, core: &mut Core) {
        let Some(mut door) = self.door.take() else { return };
        let shared = Arc::clone(&self.shared);
        match door.accept(core, &shared.clients, |core, guest| self.begin(core, guest)) {
            Verdict::Emptied => {}
            Verdict::More => {
                if !core.accept_again.contains(&(door.index as u32)) {
                    core.accept_again.push(door.index as u32);
                }
            }
            Verdict::Starved => core.pause(door.index as u32),
        }
        self.door = Some(door);
    }

    fn begin(&mut self, core: &mut Core, guest: Guest) {
        let Guest { socket, address, since } = guest;
        let name = match (address, &self.path) {
            (Some(address), _) => address.to_string(),
            (None, path) => format!("{}:0", path.as_deref().unwrap_or_default()),
        };
        let local = match socket.local_addr().ok().and_then(|local| local.as_socket()) {
            Some(local) => local.to_string(),
            None => name.clone(),
        };
        let id = self.split.open_client(&name, &local, wall(core.now));
        let key = self.key(id.index, id.generation);
        if id.index > INDEX_MASK || core.register(&socket, Source::SplitClient(key)).is_err() {
            self.split.close_client(id, core.now);
            self.shared.clients.leave();
            return net::close(socket, since);
        }
        let mut peer = Peer::new(socket, id.generation, false, core.now, since);
        // Whether it has gone since is told with what it said.
        peer.is_readable = !self.nodes.has_stood_still();
        self.clients.put(id.index, peer);
        self.present += 1;
        add(&self.shared.clients.counters(core.index).accepted, 1);
        self.call_client(id);
    }

    pub(crate) fn handle_client_event(&mut self, key: Key, event: &Event) {
        let id = ClientId { index: key.index & INDEX_MASK, generation: key.generation };
        if let Some(peer) = self.clients.get(id.index, id.generation) {
            let was_ending = peer.is_ending;
            peer.note(event);
            // Who gave up while nothing went on here may have asked elsewhere since.
            peer.is_late |= peer.is_ending && !was_ending && self.nodes.has_stood_still();
            self.call_client(id);
        }
    }

    pub(crate) fn handle_link_event(&mut self, key: Key, event: &Event) {
        let id = LinkId { index: key.index & INDEX_MASK, generation: key.generation };
        if let Some(peer) = self.links.get(id.index, id.generation) {
            peer.note(event);
            self.call_link(id);
        }
    }

    /// Something of the nodes has changed.
    pub(crate) fn handle_news(&mut self) {
        self.has_news = true;
    }

    pub(crate) fn handle_timeout(&mut self) {
        self.timer = None;
    }

    /// Serves all that this turn is about. To be called once at the end of each.
    pub(crate) fn serve(&mut self, core: &mut Core) {
        if std::mem::take(&mut self.has_news)
            && let Some(topology) = self.nodes.poll()
        {
            self.split.handle_topology(&topology, core.now);
        }
        if self.split.next_deadline().is_some_and(|at| at <= core.now) {
            self.split.handle_timeout(core.now);
        }
        for id in std::mem::take(&mut self.called_links) {
            self.read_link(core, id);
        }
        for id in std::mem::take(&mut self.called_clients) {
            self.read_client(core, id);
        }
        for _ in 0..ROUNDS_MAX {
            self.split.finish();
            if !self.act(core) {
                break;
            }
        }
        self.sweep(core);
        self.set_timer(core);
        self.shared.count(core.index, &self.split);
        let counters = self.shared.clients.counters(core.index);
        counters.present.store(self.present as u64, std::sync::atomic::Ordering::Relaxed);
    }

    fn read_link(&mut self, core: &mut Core, id: LinkId) {
        let Some(peer) = self.links.get(id.index, id.generation) else { return };
        peer.is_called = false;
        if peer.is_connecting {
            match peer.socket.take_error() {
                Ok(None) if peer.is_writable && peer.socket.peer_addr().is_ok() => {
                    peer.is_connecting = false;
                    net::tune_for_messages(&peer.socket);
                    self.split.handle_link_up(id, core.now);
                }
                Ok(None) if !peer.is_ending => return,
                _ => return self.lose_link(core, id),
            }
        }
        for _ in 0..READS_MAX {
            let Some(peer) = self.links.get(id.index, id.generation) else { return };
            if !peer.is_readable {
                break;
            }
            match net::read(&peer.socket, &mut core.buffer) {
                Ok(None) => peer.is_readable = false,
                Ok(Some(0)) | Err(_) => return self.lose_link(core, id),
                Ok(Some(bytes)) => {
                    peer.is_readable = bytes == core.buffer.len() || peer.is_ending;
                    self.split.handle_link_bytes(id, &core.buffer[..bytes], core.now);
                }
            }
        }
        self.write_link(core, id);
        if self.links.get(id.index, id.generation).is_some_and(|peer| peer.is_readable) {
            self.call_link(id);
        }
    }

    /// A connection to a node is over.
    fn lose_link(&mut self, core: &mut Core, id: LinkId) {
        if let Some(peer) = self.links.take(id.index, id.generation) {
            net::close(peer.socket, peer.since);
            core.has_freed = true;
        }
        self.split.handle_link_down(id, core.now);
    }

    fn read_client(&mut self, core: &mut Core, id: ClientId) {
        let Some(peer) = self.clients.get(id.index, id.generation) else { return };
        peer.is_called = false;
        if std::mem::take(&mut peer.is_late) && !peer.has_ended {
            // What it has said since is not looked at.
            (peer.is_readable, peer.has_ended) = (false, true);
            self.split.handle_client_left(id, core.now);
            self.split.handle_client_end(id, core.now);
        }
        let is_draining = self.is_draining;
        for _ in 0..READS_MAX {
            let wants = self.split.wants_client_bytes(id);
            let Some(peer) = self.clients.get(id.index, id.generation) else { return };
            if !wants || !peer.is_readable || peer.has_ended {
                break;
            }
            match net::read(&peer.socket, &mut core.buffer) {
                Ok(None) => peer.is_readable = false,
                Ok(Some(0)) => {
                    peer.is_readable = false;
                    peer.has_ended = true;
                    self.split.handle_client_end(id, core.now);
                }
                Ok(Some(bytes)) => {
                    peer.touched = core.now;
                    // A short read has emptied the socket, but for an end that is there already.
                    peer.is_readable = bytes == core.buffer.len() || peer.is_ending;
                    self.split.handle_client_bytes(id, &core.buffer[..bytes], core.now);
                    // Others have their turn; what is left is read in the next one.
                    break;
                }
                Err(_) => return self.end_client(core, id),
            }
        }
        let Some(peer) = self.clients.get(id.index, id.generation) else { return };
        if peer.is_ending {
            self.split.handle_client_left(id, core.now);
        }
        if is_draining && !peer.is_readable && !peer.has_ended {
            peer.has_ended = true;
            self.split.handle_client_end(id, core.now);
        } else if (is_draining || peer.is_ending) && !peer.has_ended {
            // Its end is not read while it waits.
            self.split.handle_client_leaving(id, core.now);
        }
        self.write_client(core, id);
    }

    /// Takes what the state machine wants done; says whether there was something.
    fn act(&mut self, core: &mut Core) -> bool {
        let mut is_active = false;
        while let Some(action) = self.split.poll_action() {
            is_active = true;
            match action {
                Action::Connect { link, address } => {
                    let since = Moment::now();
                    let key = self.key(link.index, link.generation);
                    let made = net::connect(&address).and_then(|socket| {
                        core.register(&socket, Source::SplitLink(key))?;
                        Ok(socket)
                    });
                    match made {
                        Ok(socket) if link.index <= INDEX_MASK => {
                            let mut peer = Peer::new(socket, link.generation, true, core.now, since);
                            peer.is_writable = false;
                            self.links.put(link.index, peer);
                        }
                        _ => self.split.handle_link_down(link, core.now),
                    }
                }
                Action::CloseLink(id) => {
                    if let Some(peer) = self.links.take(id.index, id.generation) {
                        net::close(peer.socket, peer.since);
                        core.has_freed = true;
                    }
                }
                Action::ResetLink(id) => {
                    if let Some(peer) = self.links.take(id.index, id.generation) {
                        // What the system has yet to send, again and again perhaps, it sends no more.
                        net::reset(peer.socket, peer.since);
                        core.has_freed = true;
                    }
                }
                Action::SendLink(id) => self.write_link(core, id),
                Action::SendClient(id) => self.write_client(core, id),
                Action::CutClient(id) => self.end_client(core, id),
            }
        }
        is_active
    }

    fn write_link(&mut self, core: &mut Core, id: LinkId) {
        loop {
            let Some(peer) = self.links.get(id.index, id.generation) else { return };
            let output = self.split.link_output(id);
            if output.is_empty() && self.split.is_link_said(id) && !std::mem::replace(&mut peer.is_said, true)
            {
                // A connection that is over already says so where it is read.
                let _ = peer.socket.shutdown(Shutdown::Write);
            }
            if !peer.is_writable || peer.is_connecting || output.is_empty() {
                return;
            }
            match net::write(&peer.socket, output) {
                Ok(0) => peer.is_writable = false,
                Ok(bytes) => self.split.consume_link_output(id, bytes, core.now),
                Err(_) => return self.lose_link(core, id),
            }
        }
    }

    fn write_client(&mut self, core: &mut Core, id: ClientId) {
        loop {
            let Some(peer) = self.clients.get(id.index, id.generation) else { return };
            let output = self.split.client_output(id);
            if !peer.is_writable || output.is_empty() {
                break;
            }
            match net::write(&peer.socket, output) {
                Ok(0) => peer.is_writable = false,
                Ok(bytes) => self.split.consume_client_output(id, bytes, core.now),
                Err(_) => return self.end_client(core, id),
            }
        }
        if self.split.is_client_finished(id) && self.split.client_output(id).is_empty() {
            return match self.split.may_client_send_on(id) {
                true => self.see_off(core, id),
                false => self.end_client(core, id),
            };
        }
        let wants = self.split.wants_client_bytes(id);
        if wants
            && self
                .clients
                .get(id.index, id.generation)
                .is_some_and(|peer| peer.is_readable && !peer.has_ended)
        {
            self.call_client(id);
        }
    }

    fn end_client(&mut self, core: &mut Core, id: ClientId) {
        if let Some(peer) = self.take_out(core, id) {
            net::close(peer.socket, peer.since);
            self.shared.clients.leave();
            core.has_freed = true;
        }
    }

    /// The same as soon as it has read what it was told last. Until then it has its place.
    fn see_off(&mut self, core: &mut Core, id: ClientId) {
        if let Some(peer) = self.take_out(core, id) {
            core.see_off(peer.socket, peer.since, Arc::clone(&self.shared.clients));
        }
    }

    /// Forgets a client, but for its socket and that it has a place.
    fn take_out(&mut self, core: &Core, id: ClientId) -> Option<Peer> {
        let peer = self.clients.take(id.index, id.generation)?;
        self.split.close_client(id, core.now);
        self.present -= 1;
        Some(peer)
    }

    /// Ends those who have said nothing for too long; now and then.
    fn sweep(&mut self, core: &mut Core) {
        let idle = self.shared.clients.options.idle;
        if idle.is_zero() || core.now < self.sweeps_at {
            return;
        }
        self.sweeps_at = core.now.saturating_add((idle / 4).max(SWEEP_MIN));
        let silent: Vec<ClientId> = (0..)
            .zip(&self.clients.0)
            .filter_map(|(index, peer)| {
                let peer = peer.as_ref()?;
                let is_silent = core.now.duration_since(peer.touched) >= idle;
                is_silent.then_some(ClientId { index, generation: peer.generation })
            })
            .filter(|id| !self.split.is_client_at_work(*id))
            .collect();
        for id in silent {
            add(&self.shared.clients.counters(core.index).idle, 1);
            self.end_client(core, id);
        }
    }

    fn set_timer(&mut self, core: &mut Core) {
        let has_idle = !self.shared.clients.options.idle.is_zero() && self.present > 0;
        let sweep = has_idle.then_some(self.sweeps_at);
        match self.split.next_deadline().into_iter().chain(sweep).min() {
            Some(at) => core.set_timer(&mut self.timer, at, Timer::Split(self.number)),
            None => {
                if let Some(timer) = self.timer.take() {
                    core.wheel.cancel(timer);
                }
            }
        }
    }

    /// Takes no clients any more, and ends those there are once what they have asked for is answered.
    pub(crate) fn drain(&mut self, core: &mut Core) {
        self.close_door(core);
        self.is_draining = true;
        for id in self.all_clients() {
            if let Some(peer) = self.clients.get(id.index, id.generation) {
                // Whether there is something unread is looked at once more.
                peer.is_readable = true;
            }
            self.call_client(id);
        }
    }

    pub(crate) fn close_door(&mut self, core: &Core) {
        if let Some(door) = self.door.take() {
            door.close(core, &self.shared.clients);
        }
    }

    pub(crate) fn close_all(&mut self, core: &mut Core) {
        self.close_door(core);
        for id in self.all_clients() {
            self.end_client(core, id);
        }
        for peer in std::mem::take(&mut self.links.0).into_iter().flatten() {
            net::close(peer.socket, peer.since);
        }
        if let Some(timer) = self.timer.take() {
            core.wheel.cancel(timer);
        }
    }

    fn all_clients(&self) -> Vec<ClientId> {
        let all = (0..).zip(&self.clients.0);
        all.filter_map(|(index, peer)| Some(ClientId { index, generation: peer.as_ref()?.generation }))
            .collect()
    }

    fn call_client(&mut self, id: ClientId) {
        if let Some(peer) = self.clients.get(id.index, id.generation)
            && !std::mem::replace(&mut peer.is_called, true)
        {
            self.called_clients.push(id);
        }
    }

    fn call_link(&mut self, id: LinkId) {
        if let Some(peer) = self.links.get(id.index, id.generation)
            && !std::mem::replace(&mut peer.is_called, true)
        {
            self.called_links.push(id);
        }
    }
}

/// How often silent clients are looked for at most.
const SWEEP_MIN: Duration = Duration::from_millis(100);

/// Clients are told how long they are there, and no date.
fn wall(now: Instant) -> Timestamp {
    Timestamp::from_millis(now.as_nanos() / 1_000_000)
}
