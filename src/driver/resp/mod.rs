//! Redis clients in a loop: their sockets, and the turn in which they are served.
//!
//! A turn reads once from each client that has sent something, has all requests of all of them done in one batch of
//! the store's, gives what came of earlier ones out, and writes once to each client that is to be told something. So
//! the store is locked once and its disk woken once, however many clients there are; and no client's disk is waited
//! for.
//!
//! | file | owns |
//! |---|---|
//! | `client` | one client: its socket, what it has read and written |
//! | `patience` | how long who has ended its half is thought to wait |
//! | `farewell` | clients that are closed when they have read why |
//! | `exchange` | messages of channels between loops, and who has subscribed where |
//! | `listening` | where clients come in, and why it pauses |
//! | `watch` | what the owner is told of the store |
//! | `cluster_watch` | and of its cluster |
//! | `scans` | the scans of all loops |
//! | `shared` | what loops share: how many there are, what was counted |

mod client;
#[cfg(feature = "replication")]
mod cluster_watch;
mod exchange;
pub(crate) mod farewell;
pub(crate) mod listening;
mod patience;
pub(crate) mod scans;
pub(crate) mod shared;
pub(crate) mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::event::Event;
use slab::Slab;
use socket2::Socket;

use self::client::Client;
use self::exchange::Others;
use self::listening::{Door, Guest};
use self::patience::Patience;
use self::shared::SharedClients;
use crate::driver::listening::{ListeningSocket, Verdict};
use crate::driver::mailbox::Sender;
use crate::driver::net;
use crate::driver::shared::add;
use crate::driver::store::{Finished, Lane, Store};
use crate::driver::token::{GENERATION_MASK, Key, Source};
use crate::driver::worker::{Core, Message, Timer};
use crate::error::Result;
use crate::resp::{Connection, Done, Hub, Order};
use crate::rng::Rng;
use crate::sys::fork::Moment;
use crate::time::Instant;

/// What a loop serves Redis clients with.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) shared: Arc<SharedClients>,
    pub(crate) socket: ListeningSocket,
    pub(crate) sender: Sender<Message>,
    /// What clients on a unix socket are called.
    pub(crate) path: Option<Arc<str>>,
    pub(crate) seed: u64,
}

/// A loop's Redis clients.
pub(crate) struct Clients {
    worker: usize,
    shared: Arc<SharedClients>,
    lane: Lane,
    hub: Hub,
    door: Option<Door>,
    path: Option<Arc<str>>,
    table: Slab<Client>,
    /// By the number that the hub has for it.
    places: HashMap<u64, Key>,
    generation: u32,
    /// Those that this turn is about.
    called: Vec<Key>,
    /// Those with more to do in the next turn.
    again: Vec<Key>,
    done: Vec<Finished>,
    /// The store may have something for us.
    has_mail: bool,
    /// A sync is under way that `WAITAOF` waits for.
    is_syncing: bool,
    /// Whose it is.
    waiting: Vec<Key>,
    /// Those that wait for other nodes.
    following: Vec<Key>,
    /// Those that wait for more of the log.
    behind: Vec<Key>,
    /// Something was applied that clients may have asked to be told of.
    has_news: bool,
    /// Whether the store was told that they have.
    wants_news: bool,
    is_draining: bool,
    /// Until then who follows the primary may go by itself, once another node is that.
    parts_until: Option<Instant>,
}

/// Batches of a turn: a client that sends reads and writes in turn needs one for each write.
const ROUNDS_MAX: usize = 64;
/// How long, at most, a balancer that follows the primary may take to go to another.
const PARTING: Duration = Duration::from_secs(5);

impl Clients {
    pub(crate) fn open(parts: Parts, index: usize, core: &Core) -> Result<Self> {
        let Parts { store, shared, socket, sender, path, seed } = parts;
        let waking = (Arc::clone(&shared), core.index);
        let mut lane = Lane::new(&store, move || {
            if waking.0.begin_tell(waking.1) {
                // The mailbox has a place for it, and refuses only when the loop is gone.
                let _ = sender.try_send(Message::Store);
            }
        })?;
        lane.want_messages();
        let workers = core.shared.senders.len();
        let mut options = shared.options.hub.clone();
        (options.id_first, options.id_step) = (core.index as u64 + 1, workers as u64);
        let mut hub = Hub::new(options, lane.now(), Rng::new(seed));
        if workers > 1 {
            let others =
                Others { worker: core.index, clients: Arc::clone(&shared), shared: Arc::clone(&core.shared) };
            hub.set_peers(Box::new(others));
        }
        // What is no class was refused before.
        let _ = hub.configure(&shared.options.notify, &lane.view());
        let wants_news = hub.wants_news();
        if wants_news {
            lane.want_news(true);
        }
        hub.set_scans(Box::new(shared.scans.clone()));
        let door = Door::open(index, socket, core)
            .map_err(|error| crate::error::Error::io("register a listening socket", &error))?;
        lane.rest();
        Ok(Self {
            worker: core.index,
            shared,
            lane,
            hub,
            door: Some(door),
            path,
            table: Slab::new(),
            places: HashMap::new(),
            generation: 0,
            called: Vec::new(),
            again: Vec::new(),
            done: Vec::new(),
            has_mail: false,
            is_syncing: false,
            waiting: Vec::new(),
            following: Vec::new(),
            behind: Vec::new(),
            has_news: false,
            wants_news,
            is_draining: false,
            parts_until: None,
        })
    }

    /// Whether `index` is the number of its listener.
    pub(crate) fn is_listener(&self, index: usize) -> bool {
        self.door.as_ref().is_some_and(|door| door.index == index)
    }

    pub(crate) fn is_starved(&self) -> Option<usize> {
        self.door.as_ref().filter(|door| door.is_starved()).map(|door| door.index)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether the next turn has something to do even if nothing happens.
    pub(crate) fn is_pressed(&self) -> bool {
        !self.called.is_empty() || !self.again.is_empty() || self.has_mail || self.has_news
    }

    pub(crate) fn accept(&mut self, core: &mut Core) {
        let Some(mut door) = self.door.take() else { return };
        let shared = Arc::clone(&self.shared);
        match door.accept(core, &shared, |core, guest| self.begin(core, guest)) {
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
        self.generation = (self.generation + 1) & GENERATION_MASK;
        let key = Key { index: self.table.vacant_key() as u32, generation: self.generation };
        if core.register(&socket, Source::Client(key)).is_err() {
            self.shared.leave();
            return net::close(socket, since);
        }
        let name = match (address, &self.path) {
            (Some(address), _) => address.to_string(),
            (None, path) => format!("{}:0", path.as_deref().unwrap_or_default()),
        };
        let local = match socket.local_addr().ok().and_then(|local| local.as_socket()) {
            Some(local) => local.to_string(),
            None => name.clone(),
        };
        let options = self.shared.options.connection;
        let now = self.lane.now();
        let connection = Connection::new(options, &name, &local, &mut self.hub, now);
        self.places.insert(connection.id(), key);
        self.table.insert(Client {
            socket,
            connection,
            generation: key.generation,
            // What it says may be there already. Whether it has gone since is told with what it said.
            is_readable: !self.lane.has_stood_still(),
            is_ending: false,
            patience: Patience::default(),
            is_late: false,
            is_parting: false,
            has_ended: false,
            is_writable: true,
            is_called: false,
            touched: core.now,
            timer: None,
            since,
        });
        add(&self.shared.counters(core.index).accepted, 1);
        self.call(key);
    }

    pub(crate) fn handle_event(&mut self, key: Key, event: &Event) {
        let Some(client) = find(&mut self.table, key) else { return };
        client.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        if (event.is_read_closed() || event.is_error()) && !client.is_ending {
            client.is_ending = true;
            client.is_late = self.lane.has_stood_still();
            self.lane.forsake(number_of(key));
        }
        client.is_writable |= event.is_writable() || event.is_error();
        self.call(key);
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core, key: Key) {
        let Some(client) = find(&mut self.table, key) else { return };
        client.timer = None;
        let idle = self.shared.options.idle;
        let is_idle = is_bound_by_idle(client, &mut self.hub, idle)
            && core.now.duration_since(client.touched) >= idle
            && !client.connection.is_at_work(&self.hub);
        if is_idle {
            add(&self.shared.counters(core.index).idle, 1);
            return self.end(core, key);
        }
        self.call(key);
    }

    /// The store has something for us.
    pub(crate) fn handle_mail(&mut self, core: &Core) {
        self.shared.told(core.index);
        self.has_mail = true;
    }

    /// Serves all that this turn is about. To be called once at the end of each. `is_alone`: nobody else has to do with this
    /// loop, and it may wait for a disk that is quick.
    pub(crate) fn serve(&mut self, core: &mut Core, is_alone: bool) {
        for key in std::mem::take(&mut self.again) {
            self.call(key);
        }
        if self.called.is_empty() && !self.has_mail && !self.has_news {
            return;
        }
        let looks_again = self.lane.note_turn();
        if looks_again && self.lane.has_stood_still() {
            for (_, client) in &mut self.table {
                if client.is_ending {
                    client.patience.give_up();
                }
            }
        }
        let mut gone = Vec::new();
        for &key in &self.called {
            let Some(client) = find(&mut self.table, key) else { continue };
            // A balancer that has left has given up what it sent last, and may have asked for other things elsewhere.
            let mut has_left = client.is_ending && client.connection.follows_primary();
            if client.is_late {
                // So may others that gave up while nothing went on here. What is under way is answered.
                has_left |= client.connection.has_requests(&self.hub);
                (client.is_readable, client.has_ended) = (false, true);
            }
            if has_left || client.read(&mut core.buffer, &self.hub, core.now).is_err() {
                gone.push(key);
            }
        }
        // Whoever broke off is told nothing, and done for all the same.
        for key in gone {
            self.end(core, key);
        }
        self.run_rounds(is_alone, core.now);
        self.has_mail |= looks_again;
        // Who waits for other nodes from now on looks once more: they may have come further in between.
        self.has_mail |= self.lane.poll_progress(!self.following.is_empty());
        let mut published = Vec::new();
        while let Some(order) = self.hub.poll_order() {
            match order {
                // It was answered; what comes of it is seen by who is primary.
                Order::HandOver(to) => drop(self.lane.hand_over(&to)),
                Order::Publish(channel, payload) => published.push((channel, payload)),
            }
        }
        if !published.is_empty() {
            self.lane.publish(&published);
        }
        self.tell_news();
        self.write(core);
        // Those that were to go have gone.
        self.hub.give_answers();
        self.count(core);
        self.lane.rest();
    }

    /// Has requests done until none is left that can be done without waiting.
    fn run_rounds(&mut self, is_alone: bool, at: Instant) {
        if std::mem::take(&mut self.has_mail) {
            self.has_news |= self.lane.take(&mut self.done);
            for (channel, payload) in self.lane.take_heard() {
                self.hub.publish_on_node(&channel, &payload);
                self.deliver_if_crowded();
            }
            let mail = self.shared.exchange.take(self.worker);
            for (channel, payload) in mail.sent {
                self.hub.publish_here(&channel, &payload);
                self.deliver_if_crowded();
            }
            if let Some(classes) = mail.classes {
                self.hub.configure(&classes, &self.lane.view());
            }
            let now = self.lane.now();
            for (worker, number, question) in mail.questions {
                self.hub.handle_question(worker, number, &question, now);
            }
            for (number, part) in mail.parts {
                self.hub.handle_part(number, part);
            }
            self.deliver();
        }
        if let Some(topology) = self.lane.poll_topology() {
            self.hub.set_topology(topology);
            self.deliver();
            // Whoever waits for a quorum, or for one that is primary no more.
            for key in std::mem::take(&mut self.behind) {
                self.call(key);
            }
            for key in std::mem::take(&mut self.following) {
                self.call(key);
            }
        }
        if self.lane.poll_progress(!self.following.is_empty()) {
            for key in std::mem::take(&mut self.following) {
                self.call(key);
            }
        }
        // Once a turn is enough: others want to be heard.
        let mut may_wait = is_alone;
        for _ in 0..ROUNDS_MAX {
            let mut is_idle = self.done.is_empty();
            let now = self.lane.now();
            let mut batch = self.lane.batch(&mut may_wait);
            let mut done = std::mem::take(&mut self.done);
            for finished in done.drain(..) {
                match finished {
                    Finished::Write { client, ticket, completed } => {
                        let key = key_of(client);
                        let Some(client) = find(&mut self.table, key) else { continue };
                        if !std::mem::replace(&mut client.is_called, true) {
                            self.called.push(key);
                        }
                        let keys = batch.of(number_of(key), client.caller(at));
                        if completed.as_ref().is_ok_and(Done::is_met) {
                            client.patience.note_done(at);
                        }
                        client.connection.take_completion(ticket, completed, &mut self.hub, keys, now);
                    }
                    Finished::Told { client, ticket, told } => {
                        let key = key_of(client);
                        let Some(client) = find(&mut self.table, key) else { continue };
                        if !std::mem::replace(&mut client.is_called, true) {
                            self.called.push(key);
                        }
                        let keys = batch.of(number_of(key), client.caller(at));
                        if told.is_ok() {
                            client.patience.note_done(at);
                        }
                        client.connection.take_told(ticket, told, &mut self.hub, keys, now);
                    }
                    Finished::Sync => {
                        self.is_syncing = false;
                        for key in self.waiting.drain(..) {
                            let Some(client) = find(&mut self.table, key) else { continue };
                            if !std::mem::replace(&mut client.is_called, true) {
                                self.called.push(key);
                            }
                        }
                    }
                }
            }
            self.done = done;
            for &key in &self.called {
                let Some(client) = find(&mut self.table, key) else { continue };
                is_idle &= !client.connection.has_requests(&self.hub);
                let keys = batch.of(number_of(key), client.caller(at));
                client.connection.advance(&mut self.hub, keys, now);
                if client.connection.waits_for_disk() && !self.waiting.contains(&key) {
                    self.waiting.push(key);
                }
                if client.connection.waits_for_log() && !self.behind.contains(&key) {
                    self.behind.push(key);
                }
                if client.connection.waits_for_nodes() && !self.following.contains(&key) {
                    self.following.push(key);
                }
            }
            if !self.waiting.is_empty() && !self.is_syncing {
                // A log that has stopped answers nobody any more: they have the time they gave.
                self.is_syncing = batch.sync().is_ok();
            }
            self.has_news |= batch.finish(&mut self.done);
            let has_delivered = self.deliver();
            if is_idle && !has_delivered && self.done.is_empty() {
                return;
            }
        }
        self.has_mail |= !self.done.is_empty();
    }

    /// Tells what has happened to keys, a part at a time.
    fn tell_news(&mut self) {
        let wants_news = self.hub.wants_news() || !self.behind.is_empty();
        if wants_news != self.wants_news {
            self.wants_news = wants_news;
            self.lane.want_news(self.wants_news);
            // What came in between was told to nobody.
            self.has_news = self.wants_news;
        }
        if std::mem::take(&mut self.has_news) {
            self.again.append(&mut self.behind);
            self.has_news = self.hub.handle_view(&self.lane.view());
            self.deliver();
        }
    }

    /// Has no more wait to be delivered than may.
    fn deliver_if_crowded(&mut self) {
        if self.hub.is_crowded() {
            self.deliver();
        }
    }

    /// Gives messages of channels to those they are for, and sees to those who have an answer, or are to go.
    fn deliver(&mut self) -> bool {
        let mut has_delivered = false;
        while let Some(id) = self.hub.poll_killed() {
            let Some(&key) = self.places.get(&id) else { continue };
            let Some(client) = find(&mut self.table, key) else { continue };
            client.connection.kill(&mut self.hub);
            self.call(key);
        }
        while let Some(id) = self.hub.poll_parting() {
            let Some(&key) = self.places.get(&id) else { continue };
            let Some(client) = find(&mut self.table, key) else { continue };
            client.is_parting = true;
            // Whether there is something unread is looked at once more.
            client.is_readable = true;
            self.call(key);
        }
        while let Some(id) = self.hub.poll_dismissed() {
            let Some(&key) = self.places.get(&id) else { continue };
            let Some(client) = find(&mut self.table, key) else { continue };
            client.connection.dismiss(&mut self.hub);
            self.call(key);
        }
        while let Some(id) = self.hub.poll_answered() {
            let Some(&key) = self.places.get(&id) else { continue };
            self.call(key);
            has_delivered = true;
        }
        while let Some((id, message)) = self.hub.poll_delivery() {
            let Some(&key) = self.places.get(&id) else { continue };
            let Some(client) = find(&mut self.table, key) else { continue };
            client.connection.handle_message(&message, &mut self.hub);
            has_delivered = true;
            if !std::mem::replace(&mut client.is_called, true) {
                self.called.push(key);
            }
        }
        has_delivered
    }

    /// Writes to each client once, ends those that are over, and sees to when the others are to be looked at.
    fn write(&mut self, core: &mut Core) {
        let may_part = self.parts_until.is_some_and(|until| core.now < until);
        for key in std::mem::take(&mut self.called) {
            let Some(client) = find(&mut self.table, key) else { continue };
            client.is_called = false;
            let is_draining =
                client.is_parting || self.is_draining && !(may_part && client.connection.follows_primary());
            if client.write().is_err() {
                self.end(core, key);
                continue;
            }
            if client.is_over(&self.hub, is_draining) {
                match client.may_send_on() {
                    true => self.see_off(core, key),
                    false => self.end(core, key),
                }
                continue;
            }
            if client.has_more(&self.hub) {
                self.again.push(key);
            }
            self.set_timer(core, key);
        }
    }

    fn set_timer(&mut self, core: &mut Core, key: Key) {
        let idle = self.shared.options.idle;
        let Some(client) = find(&mut self.table, key) else { return };
        let waits = client.connection.next_deadline();
        let is_bound = is_bound_by_idle(client, &mut self.hub, idle);
        let follows = client.connection.follows_primary();
        let parts = self.parts_until.filter(|until| core.now < *until && follows);
        if waits.is_none() && parts.is_none() && !is_bound {
            if let Some(timer) = client.timer.take() {
                core.wheel.cancel(timer);
            }
            return;
        }
        let now = self.lane.now();
        let waits = waits.map(|deadline| {
            let left = deadline.as_millis().saturating_sub(now.as_millis());
            core.now.saturating_add(Duration::from_millis(left))
        });
        let idles = is_bound.then(|| client.touched.saturating_add(idle));
        if let Some(at) = waits.into_iter().chain(idles).chain(parts).min() {
            core.set_timer(&mut client.timer, at, Timer::Client(key));
        }
    }

    /// Takes no clients any more, and ends those there are once what they have asked for is answered. A balancer that follows
    /// the primary goes by itself when it hears of another: closed before, it would not know what came of a write that was
    /// on its way.
    pub(crate) fn drain(&mut self, core: &mut Core) {
        self.close_door(core);
        self.is_draining = true;
        self.parts_until = self.lane.follows_another().then(|| core.now.saturating_add(PARTING));
        let keys: Vec<Key> = keys(&self.table).collect();
        for key in keys {
            if let Some(client) = find(&mut self.table, key) {
                // Whether there is something unread is looked at once more.
                client.is_readable = true;
            }
            self.call(key);
        }
    }

    pub(crate) fn close_door(&mut self, core: &Core) {
        if let Some(door) = self.door.take() {
            door.close(core, &self.shared);
        }
    }

    pub(crate) fn close_all(&mut self, core: &mut Core) {
        self.close_door(core);
        let keys: Vec<Key> = keys(&self.table).collect();
        for key in keys {
            self.end(core, key);
        }
        self.hub.leave();
    }

    fn end(&mut self, core: &mut Core, key: Key) {
        if let Some((socket, since)) = self.take_out(core, key) {
            net::close(socket, since);
            self.shared.leave();
            core.has_freed = true;
        }
    }

    /// The same as soon as it has read what it was told last. Until then it has its place.
    fn see_off(&mut self, core: &mut Core, key: Key) {
        if let Some((socket, since)) = self.take_out(core, key) {
            core.see_off(socket, since, Arc::clone(&self.shared));
        }
    }

    /// Forgets a client, but for its socket and that it has a place.
    fn take_out(&mut self, core: &mut Core, key: Key) -> Option<(Socket, Moment)> {
        find(&mut self.table, key)?;
        let client = self.table.remove(key.index as usize);
        if let Some(timer) = client.timer {
            core.wheel.cancel(timer);
        }
        if !client.is_ending {
            self.lane.forsake(number_of(key));
        }
        self.places.remove(&client.connection.id());
        client.connection.close(&mut self.hub);
        Some((client.socket, client.since))
    }

    fn call(&mut self, key: Key) {
        if let Some(client) = find(&mut self.table, key)
            && !std::mem::replace(&mut client.is_called, true)
        {
            self.called.push(key);
        }
    }

    /// Has the others see what the hub counted.
    fn count(&self, core: &Core) {
        let (own, shared) = (self.hub.counters(), self.shared.counters(core.index));
        for (to, from) in [
            (&shared.slow, own.slow_readers),
            (&shared.commands, own.commands),
            (&shared.errors, own.errors),
            (&shared.hits, own.hits),
            (&shared.misses, own.misses),
            (&shared.protocol_errors, own.protocol_errors),
            (&shared.left_out, own.left_out),
            (&shared.retries, own.retries),
            (&shared.messages, own.messages),
            (&shared.present, self.table.len() as u64),
        ] {
            to.store(from, Ordering::Relaxed);
        }
    }
}

/// Whether `idle` bounds its silence: it does not for who waits for messages or for `WAIT`, nor for a balancer, which has
/// clients of its own that come and go.
fn is_bound_by_idle(client: &Client, hub: &mut Hub, idle: Duration) -> bool {
    !idle.is_zero()
        && !client.connection.is_waiting()
        && !client.connection.is_subscriber(hub)
        && !client.connection.is_balancer(hub)
}

fn find(table: &mut Slab<Client>, key: Key) -> Option<&mut Client> {
    table.get_mut(key.index as usize).filter(|client| client.generation == key.generation)
}

fn keys(table: &Slab<Client>) -> impl Iterator<Item = Key> {
    table.iter().map(|(index, client)| Key { index: index as u32, generation: client.generation })
}

/// A key as the number that the store gives back.
fn number_of(key: Key) -> u64 {
    u64::from(key.generation) << 32 | u64::from(key.index)
}

fn key_of(number: u64) -> Key {
    Key { index: number as u32, generation: (number >> 32) as u32 }
}
