//! [`Joints`]: a worker's sessions with their sockets. A session says what to do next; this does it.

mod cut;
mod moving;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::event::Event;
use slab::Slab;
use socket2::Socket;

use crate::driver::net;
use crate::driver::pipes::Pipe;
use crate::driver::shared::{Shared, add};
use crate::driver::timer::TimerId;
use crate::driver::token::{GENERATION_MASK, Key, Side, Source};
use crate::driver::worker::{Core, Timer};
use crate::proxy::cuts::{Cuts, Moment as CutMoment};
use crate::proxy::options::SendProxy;
use crate::proxy::queue::Place;
use crate::proxy::session::{Cause, Context, Direction, Next, Session};
use crate::sys::fork::Moment;
use crate::time::Instant;

/// A session and its two sockets.
struct Joint {
    session: Session,
    client: Socket,
    backend: Option<Socket>,
    /// Pipes with bytes in them, one for each direction.
    to_backend: Option<Box<Pipe>>,
    to_client: Option<Box<Pipe>>,
    timer: Option<TimerId>,
    armed: Instant,
    place: Option<Place>,
    /// When it began to pick its backend.
    picked: CutMoment,
    listener: u32,
    generation: u32,
    /// Before its sockets were made.
    since: Moment,
    /// Somebody sent urgent data: a read that stops short need not be the last.
    has_urgent: bool,
    /// Whether the client's socket is registered for writing too.
    is_client_writable_asked: bool,
    /// Whether the backend's socket was told of small writes to come, and of bulk.
    is_tuned_for_messages: bool,
    is_tuned_for_bulk: bool,
}

/// What an idle session costs beside its sockets. Nothing that only some sessions need has a field of its own.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Joint>() <= 224);

/// A worker's sessions.
pub(crate) struct Joints {
    table: Slab<Joint>,
    shared: Arc<Shared>,
    generation: u32,
    /// Sessions that wait for a descriptor, those that wait longest first; some may be gone.
    starved: VecDeque<Key>,
    cuts: Cuts,
}

impl Joints {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { table: Slab::new(), shared, generation: 0, starved: VecDeque::new(), cuts: Cuts::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether sessions wait for a descriptor: then no client more is to be accepted.
    pub(crate) fn is_starved(&self) -> bool {
        !self.starved.is_empty()
    }

    /// Descriptors may be free again.
    pub(crate) fn feed(&mut self, core: &mut Core) {
        while let Some(key) = self.starved.pop_front() {
            if self.get(key).is_none_or(|joint| !joint.session.is_starved()) {
                continue;
            }
            let next = self.decide(core, key, |session, context| session.handle_descriptor(context));
            self.follow(core, key, next);
            if self.starved.back() == Some(&key) {
                // There is none. It keeps its place, and the others would have no better luck.
                self.starved.rotate_right(1);
                return;
            }
        }
    }

    /// Begins a session with a client that was accepted and counted in.
    pub(crate) fn open(
        &mut self,
        core: &mut Core,
        listener: usize,
        client: Socket,
        source: Option<SocketAddr>,
        since: Moment,
    ) {
        let shared = &self.shared.listeners[listener];
        add(&shared.counters(core.index).accepted, 1);
        let destination = match shared.options.send_proxy {
            SendProxy::Off => None,
            _ => client.local_addr().ok().and_then(|address| address.as_socket()),
        };
        self.generation = (self.generation + 1) & GENERATION_MASK;
        let generation = self.generation;
        let index = self.table.vacant_key();
        let key = Key { index: index as u32, generation };
        // A fresh socket has room to write, which is no news: that is asked for once it has had none.
        let registered = core.register_for_reading(&client, Source::Session(key, Side::Client));
        self.table.insert(Joint {
            session: Session::new(source, destination, core.now),
            client,
            backend: None,
            to_backend: None,
            to_client: None,
            timer: None,
            armed: Instant::START,
            place: None,
            picked: CutMoment::default(),
            listener: listener as u32,
            generation,
            since,
            has_urgent: false,
            is_client_writable_asked: false,
            is_tuned_for_messages: false,
            is_tuned_for_bulk: false,
        });
        if registered.is_err() {
            return self.close(core, key, Cause::NoDescriptor);
        }
        let next = self.decide(core, key, |session, context| session.begin(context));
        self.follow(core, key, next);
    }

    /// Something happened to one of a session's sockets.
    #[inline]
    pub(crate) fn handle_event(&mut self, core: &mut Core, key: Key, side: Side, event: &Event) {
        let Some(joint) = self.get(key) else { return };
        let (from, to) = match side {
            Side::Client => (Direction::ToBackend, Direction::ToClient),
            Side::Backend => (Direction::ToClient, Direction::ToBackend),
        };
        let is_error = event.is_error();
        // A read stops before urgent data, so a short one does not mean that nothing is left.
        let is_ending = event.is_read_closed() || is_error || event.is_priority();
        if event.is_readable() || is_ending {
            joint.session.flow(from).handle_source_ready(is_ending);
        }
        if event.is_priority() {
            joint.has_urgent = true;
        }
        if event.is_read_closed() && !is_error && !event.is_write_closed() && !joint.has_urgent {
            joint.session.flow(from).handle_end_known();
        }
        if event.is_writable() || is_error {
            joint.session.flow(to).handle_sink_ready();
        }
        if joint.session.is_relaying() {
            return self.run(core, key);
        }
        match side {
            Side::Backend => self.handle_connection(core, key, event),
            Side::Client if joint.session.is_in_header() => self.follow(core, key, Next::Header),
            Side::Client => {
                // It takes no answer any more; what it said before that is delivered all the same.
                let is_closed = event.is_read_closed() && event.is_write_closed();
                let is_waiting = joint.session.is_queued() || joint.session.is_starved();
                let may_have_left = is_closed || (is_waiting && event.is_read_closed());
                if is_error || (may_have_left && self.has_left(key)) {
                    self.close(core, key, Cause::ClientLeft);
                }
            }
        }
    }

    /// A session had more to do than its share of the last turn.
    pub(crate) fn go_on(&mut self, core: &mut Core, key: Key) {
        if let Some(joint) = self.get(key)
            && joint.session.is_relaying()
        {
            self.run(core, key);
        }
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core, key: Key) {
        let Some(joint) = self.get(key) else { return };
        joint.timer = None;
        let is_too_slow = self.step(core, key, |session, context| {
            session.is_connecting() && session.next_deadline(context.options) <= context.now
        });
        if is_too_slow {
            // It goes before its place is given back.
            let joint = &mut self.table[key.index as usize];
            if let Some(backend) = joint.backend.take() {
                net::close(backend, joint.since);
            }
            let next = self.retry(core, key);
            return self.follow(core, key, next);
        }
        match self.step(core, key, |session, context| session.handle_timeout(context)) {
            None => self.arm(core, key),
            Some(next) => self.follow(core, key, next),
        }
    }

    /// Offers places that came free to this worker's sessions that wait for this pool.
    pub(crate) fn take_offers(&mut self, core: &mut Core, index: usize) {
        let shared = Arc::clone(&self.shared);
        let (room, pool) = (&shared.pools[index].room, &*shared.pools[index].pool);
        room.begin(core.index);
        while let Some(offer) = room.take_offer(core.index) {
            let key = offer.waiter.token;
            let is_waiting = self.get(key).is_some_and(|joint| joint.place == Some(offer.place));
            if !is_waiting {
                // It left after the offer was made.
                room.settle(pool);
                continue;
            }
            match self.decide(core, key, |session, context| session.handle_offer(context)) {
                Next::Queue(wake) => {
                    // Nobody else has better luck until another place comes free, or the rate has room, but for who
                    // would have one that this one has tried.
                    if self.get(key).is_some_and(|joint| joint.session.is_choosy()) {
                        room.pass_on(offer);
                    } else {
                        room.put_back(offer);
                    }
                    if let Some(at) = wake {
                        core.wake_room(index, at);
                    }
                    continue;
                }
                next => {
                    if let Some(joint) = self.get(key) {
                        joint.place = None;
                    }
                    room.settle(pool);
                    self.follow(core, key, next);
                }
            }
        }
    }

    /// Ends every session.
    pub(crate) fn close_all(&mut self, core: &mut Core, cause: Cause) {
        let keys: Vec<Key> = self
            .table
            .iter()
            .map(|(index, joint)| Key { index: index as u32, generation: joint.generation })
            .collect();
        for key in keys {
            self.close(core, key, cause);
        }
    }

    #[inline]
    fn get(&mut self, key: Key) -> Option<&mut Joint> {
        self.table.get_mut(key.index as usize).filter(|joint| joint.generation == key.generation)
    }

    /// Takes one step of a session that is there.
    fn step<R>(&mut self, core: &Core, key: Key, step: impl FnOnce(&mut Session, &Context<'_>) -> R) -> R {
        let joint = &mut self.table[key.index as usize];
        let listener = &self.shared.listeners[joint.listener as usize];
        let context = Context {
            pool: &self.shared.pools[listener.pool].pool,
            lane: core.lane,
            options: &listener.options,
            now: core.now,
        };
        step(&mut joint.session, &context)
    }

    /// Takes a step in which a session may pick a backend, and notes when it began to.
    fn decide(
        &mut self,
        core: &Core,
        key: Key,
        step: impl FnOnce(&mut Session, &Context<'_>) -> Next,
    ) -> Next {
        let before = self.moment(key);
        let next = self.step(core, key, step);
        if let Next::Connect(_) = next {
            self.table[key.index as usize].picked = before;
        }
        next
    }

    fn moment(&self, key: Key) -> CutMoment {
        let listener = &self.shared.listeners[self.table[key.index as usize].listener as usize];
        let cutting = self.shared.pools[listener.pool].cutting.as_ref();
        cutting.map(|cutting| cutting.moment()).unwrap_or_default()
    }

    /// Does what a session says, until it waits for something.
    fn follow(&mut self, core: &mut Core, key: Key, mut next: Next) {
        loop {
            next = match next {
                Next::Header => match self.read_header(core, key) {
                    Some(next) => next,
                    None => return self.arm(core, key),
                },
                Next::Connect(address) => match net::connect(&address) {
                    Ok(socket) => match core.register(&socket, Source::Session(key, Side::Backend)) {
                        Ok(()) => {
                            self.table[key.index as usize].backend = Some(socket);
                            return self.arm(core, key);
                        }
                        Err(_) => Next::Close(Cause::NoDescriptor),
                    },
                    Err(error) if net::is_starved(&error) => {
                        if core.pipes.release() {
                            Next::Connect(address)
                        } else {
                            self.step(core, key, |session, context| session.handle_no_descriptor(context))
                        }
                    }
                    Err(_) => self.retry(core, key),
                },
                Next::Starve => {
                    self.starved.push_back(key);
                    core.starve();
                    return self.arm(core, key);
                }
                // The offer that comes of this finds out when a rate has room.
                Next::Queue(_) => {
                    // It may have left while something else was waited for.
                    let joint = &mut self.table[key.index as usize];
                    if joint.session.flow(Direction::ToBackend).is_source_ending() && self.has_left(key) {
                        return self.close(core, key, Cause::ClientLeft);
                    }
                    let joint = &mut self.table[key.index as usize];
                    let listener = &self.shared.listeners[joint.listener as usize];
                    let pool = &self.shared.pools[listener.pool];
                    match pool.room.enter(&pool.pool, core.index, key) {
                        Ok(place) => {
                            add(&listener.counters(core.index).queued, 1);
                            joint.place = Some(place);
                            return self.arm(core, key);
                        }
                        Err(cause) => Next::Close(cause),
                    }
                }
                Next::Relay => {
                    self.arm(core, key);
                    return self.run(core, key);
                }
                Next::Close(cause) => return self.close(core, key, cause),
            }
        }
    }

    fn retry(&mut self, core: &mut Core, key: Key) -> Next {
        let suspect = self.table[key.index as usize].session.backend();
        let next = self.decide(core, key, |session, context| session.handle_connect_failed(context));
        if let Some(backend) = suspect {
            let listener = self.table[key.index as usize].listener as usize;
            self.shared.suspect(self.shared.listeners[listener].pool, backend);
        }
        self.count_retry(core, key, &next);
        next
    }

    fn count_retry(&self, core: &Core, key: Key, next: &Next) {
        if matches!(next, Next::Connect(_) | Next::Queue(_)) {
            let listener = self.table[key.index as usize].listener as usize;
            add(&self.shared.listeners[listener].counters(core.index).retries, 1);
        }
    }

    /// `None` while more of the header is to come.
    fn read_header(&mut self, core: &mut Core, key: Key) -> Option<Next> {
        let before = self.moment(key);
        loop {
            let joint = &mut self.table[key.index as usize];
            let flow = joint.session.flow(Direction::ToBackend);
            if !flow.is_source_ready() {
                return None;
            }
            match net::read(&joint.client, &mut core.buffer) {
                Err(_) => return Some(Next::Close(Cause::ClientLeft)),
                Ok(None) => flow.handle_source_blocked(),
                Ok(Some(bytes)) => {
                    if bytes > 0 {
                        flow.handle_read(bytes, core.buffer.len());
                    }
                    let bytes = &core.buffer[..bytes];
                    let listener = &self.shared.listeners[joint.listener as usize];
                    let context = Context {
                        pool: &self.shared.pools[listener.pool].pool,
                        lane: core.lane,
                        options: &listener.options,
                        now: core.now,
                    };
                    match joint.session.handle_header_bytes(bytes, &context) {
                        Next::Header => {}
                        next => {
                            joint.picked = before;
                            return Some(next);
                        }
                    }
                }
            }
        }
    }

    /// A backend's socket tells how the attempt to connect went.
    #[cold]
    fn handle_connection(&mut self, core: &mut Core, key: Key, event: &Event) {
        let joint = &mut self.table[key.index as usize];
        if !joint.session.is_connecting() {
            return;
        }
        let Some(backend) = &joint.backend else { return };
        let failed = event.is_error() && !matches!(backend.take_error(), Ok(None));
        let next = if failed {
            joint.backend = None;
            self.retry(core, key)
        } else if event.is_writable() {
            self.step(core, key, |session, context| session.handle_connected(context))
        } else {
            return;
        };
        self.follow(core, key, next);
    }

    /// Whether a client that ended its half while it waits is taken to have left.
    fn has_left(&mut self, key: Key) -> bool {
        let joint = &mut self.table[key.index as usize];
        let options = &self.shared.listeners[joint.listener as usize].options;
        options.abort_on_close
            || (joint.session.flow(Direction::ToBackend).kept().is_empty() && net::is_at_end(&joint.client))
    }

    /// Sees to it that a timer comes when the session's next deadline does, or before.
    fn arm(&mut self, core: &mut Core, key: Key) {
        let joint = &mut self.table[key.index as usize];
        let deadline = joint.session.next_deadline(&self.shared.listeners[joint.listener as usize].options);
        // A timer that comes too early looks again; so bytes that move need not touch it.
        if joint.timer.is_none() || deadline < joint.armed {
            joint.armed = deadline;
            core.set_timer(&mut joint.timer, deadline, Timer::Session(key));
        }
    }

    fn close(&mut self, core: &mut Core, key: Key, cause: Cause) {
        let joint = &mut self.table[key.index as usize];
        // The backend's connection goes before its place is given back: another worker may take it at once.
        if let Some(backend) = joint.backend.take() {
            let close = if cause.resets_backend() { net::reset } else { net::close };
            close(backend, joint.since);
        }
        self.step(core, key, |session, context| session.close(cause, context));
        let joint = self.table.remove(key.index as usize);
        let index = joint.listener as usize;
        let listener = &self.shared.listeners[index];
        if let Some(place) = joint.place {
            let pool = &self.shared.pools[listener.pool];
            pool.room.leave(&pool.pool, place);
        }
        if let Some(timer) = joint.timer {
            core.wheel.cancel(timer);
        }
        for pipe in [joint.to_backend, joint.to_client].into_iter().flatten() {
            core.pipes.give(*pipe);
        }
        listener.counters(core.index).count_closed(cause);
        let close = if cause.resets_client() { net::reset } else { net::close };
        close(joint.client, joint.since);
        listener.leave(index, &self.shared.senders);
        core.has_freed = true;
    }
}
