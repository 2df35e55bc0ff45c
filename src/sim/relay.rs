//! Sessions under a random world: clients and backends that talk, dawdle, end, break off and refuse; backends that
//! are drained, limited and freed; time that passes. Checked all along:
//!
//! - what arrives is what was sent, byte by byte and in order, and after a clean end all of it has arrived;
//! - an end is passed on only behind everything that came before it;
//! - a flow keeps one read at most;
//! - no backend has more sessions than its `maxconn`, nor the pool; one that is drained or down gets nothing new;
//! - no rate is passed; nobody waits in the queue while a backend that it has not tried has room, within the rates, and
//!   no offer is under way, and who waits longest goes first; as many wait as may, and no more;
//! - no session tries a backend twice, nor gives up while there is one that it has not tried and may;
//! - a retry begins when it is within the budget, and only then;
//! - when a backend goes down and sessions are cut then, those that had picked it are, and nobody else;
//! - every pick is reported done once, and no session outlives its deadlines.

mod checker;
mod flows;
mod operator;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::balance::{
    Address, Admin, Backend, BackendId, Change, Lane, Observed, Observer, Options as PoolOptions, Policy,
    Pool,
};
use crate::proxy::cuts::{Cuts, Moment};
use crate::proxy::options::{AcceptProxy, OnDown, Options, SendProxy, Timeouts};
use crate::proxy::queue::{Place, Queue, Waiter};
use crate::proxy::session::{Cause, Context, Next, Session};
use crate::rng::Rng;
use crate::sim::limits::Limits;
use crate::sim::socket::Socket;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

/// What came of a run, to see that it was not an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sessions by the cause of their end.
    pub ended: BTreeMap<Cause, u64>,
    /// Sessions that waited in the queue.
    pub queued: u64,
    /// How often a rate had room again for who waited.
    pub paced: u64,
    /// Offers that were passed on by sessions that had tried what had room, or found none.
    pub passed_on: u64,
    /// Connections that were tried again.
    pub retries: u64,
    /// Bytes that reached a peer.
    pub delivered: u64,
}

/// Counts the places that came free, for the world to offer, and keeps the changes.
#[derive(Default)]
struct Seen {
    freed: AtomicU64,
    changes: Mutex<Vec<Change>>,
}

impl Observer for Arc<Seen> {
    fn handle_room(&self) {
        self.freed.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_change(&self, change: &Change) {
        self.changes.lock().push(change.clone());
    }
}

struct Live {
    session: Session,
    client: Socket,
    backend: Option<Socket>,
    address: Option<Address>,
    /// Which backends it has tried in vain, by number.
    tried: Vec<usize>,
    place: Option<Place>,
    worker: usize,
    /// When it picked its backend.
    picked: Moment,
    /// Its backend went down since, and it is to be cut.
    is_doomed: bool,
    /// What a simulated pipe holds, for each direction.
    pipes: [Vec<u8>; 2],
}

struct World {
    rng: Rng,
    now: Instant,
    pool: Pool,
    backends: Vec<(BackendId, Address)>,
    maxconns: Vec<u32>,
    admins: Vec<Admin>,
    observed: Vec<Observed>,
    limits: Limits,
    on_down: OnDown,
    /// Of each worker.
    cuts: Vec<Cuts>,
    /// Counts their orders.
    moment: Moment,
    /// When a rate that is waited for has room.
    wake: Option<Instant>,
    options: Options,
    queue: Queue<u64>,
    seen: Arc<Seen>,
    live: BTreeMap<u64, Live>,
    next: u64,
    buffer: Vec<u8>,
    summary: Summary,
    step: u32,
}

/// How far a run goes.
const STEPS: u32 = 4_000;
/// Simulated workers.
const WORKERS: usize = 3;
/// Sessions at once.
const SESSIONS_MAX: usize = 24;
/// The simulated worker's buffer. Small, so that reads fill it.
const BUFFER: usize = 256;
/// The longest queue.
const QUEUE_MAX: usize = 6;

/// Plays one world. An error says what did not hold, and at which step.
pub fn run(seed: u64) -> Result<Summary, String> {
    let mut world = World::new(seed);
    let mut play = || -> Result<(), String> {
        while world.step < STEPS {
            world.step += 1;
            world.happen()?;
            world.check()?;
        }
        world.wind_down()
    };
    let played = play();
    played.map_err(|what| format!("seed {seed}, step {}: {what}", world.step))?;
    Ok(world.summary)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let policies = [Policy::RoundRobin, Policy::LeastConnections, Policy::Random, Policy::PowerOfTwo];
        let policy = policies[rng.below(4) as usize];
        let mut limits = Limits::draw(&mut rng);
        let on_down = [OnDown::Keep, OnDown::Close][rng.below(2) as usize];
        let options = PoolOptions { policy, seed, lanes: WORKERS as u32, ..PoolOptions::default() };
        let pool = Pool::new(limits.apply(options)).expect("these options are in range");
        let seen = Arc::new(Seen::default());
        let mut backends = Vec::new();
        let mut maxconns = Vec::new();
        for number in 0..1 + rng.below(4) {
            let mut backend = Backend::parse(&format!("10.0.0.{}:80", number + 1)).expect("it is an address");
            backend.maxconn = rng.below(5) as u32;
            maxconns.push(backend.maxconn);
            limits.limit(&mut backend, &mut rng);
            let address = backend.address.clone();
            backends.push((pool.add(backend).expect("names and addresses differ"), address));
        }
        assert!(pool.observe(Box::new(Arc::clone(&seen))));
        let second = Duration::from_secs(1);
        let timeouts = Timeouts {
            connect: second,
            header: second,
            idle: 10 * second,
            half_closed: 5 * second,
            queue: 3 * second,
            drain: second,
        };
        let options = Options {
            accept_proxy: AcceptProxy::Off,
            send_proxy: SendProxy::Off,
            abort_on_close: false,
            attempts: 1 + rng.below(4) as u32,
            timeouts,
        };
        Self {
            admins: vec![Admin::Ready; backends.len()],
            observed: vec![Observed::Unknown; backends.len()],
            maxconns,
            on_down,
            cuts: (0..WORKERS).map(|_| Cuts::new()).collect(),
            moment: Moment::default(),
            wake: None,
            rng,
            now: Instant::from_millis(1),
            pool,
            backends,
            limits,
            options,
            queue: Queue::new(QUEUE_MAX, WORKERS),
            seen,
            live: BTreeMap::new(),
            next: 0,
            buffer: vec![0; BUFFER],
            summary: Summary::default(),
            step: 0,
        }
    }

    /// One thing happens somewhere.
    fn happen(&mut self) -> Result<(), String> {
        match self.rng.below(100) {
            0..8 if self.live.len() < SESSIONS_MAX => self.arrive()?,
            8..14 => {
                self.now = self.now.saturating_add(Duration::from_millis(self.rng.below(400)));
                self.time_passes()?;
            }
            14..16 => self.operate()?,
            16..24 => self.answer_a_connection()?,
            _ => self.a_peer_acts()?,
        }
        if self.rng.below(4) == 0 {
            self.cut()?;
        }
        self.offer_rooms()
    }

    fn arrive(&mut self) -> Result<(), String> {
        let key = self.next;
        self.next += 1;
        let capacity = 64 << self.rng.below(5);
        let session = Session::new(None, None, self.now);
        let worker = self.rng.below(WORKERS as u64) as usize;
        self.live.insert(
            key,
            Live {
                session,
                client: Socket::new(capacity),
                backend: None,
                address: None,
                tried: Vec::new(),
                place: None,
                worker,
                picked: self.moment,
                is_doomed: false,
                pipes: [Vec::new(), Vec::new()],
            },
        );
        let next = self.with(key, |session, context| session.begin(context))?;
        self.follow(key, next)
    }

    /// A step in which a session may try another backend. It does when that is within the budget.
    fn try_another(
        &mut self,
        key: u64,
        step: impl FnOnce(&mut Session, &Context<'_>) -> Next,
    ) -> Result<Next, String> {
        let others =
            self.live.iter().filter(|(other, live)| **other != key && live.session.is_retrying()).count();
        let statistics = self.pool.statistics();
        // Its own pick is over by then.
        let load = statistics.in_flight - 1 + statistics.pending;
        let may = (others as u64) < self.limits.retries(load);
        let live = self.live.get_mut(&key).expect("the caller has just seen it");
        if live.session.is_connecting() {
            let tried = live.address.as_ref();
            let at = self.backends.iter().position(|(_, known)| Some(known) == tried);
            live.tried.push(at.expect("it connects to one of the pool's"));
        }
        let next = self.with(key, step)?;
        let is_retrying = self.live.get(&key).is_some_and(|live| live.session.is_retrying());
        if is_retrying && !may {
            return Err(format!("{others} retries are in flight, and one more begins at a load of {load}"));
        }
        if next == Next::Close(Cause::RetryRefused) && may {
            return Err(format!("a retry is refused at a load of {load} with {others} others in flight"));
        }
        self.summary.retries += u64::from(is_retrying);
        Ok(next)
    }

    /// An attempt to connect comes to an end, or does not.
    fn answer_a_connection(&mut self) -> Result<(), String> {
        let connecting: Vec<u64> =
            self.live.iter().filter(|(_, live)| live.session.is_connecting()).map(|(key, _)| *key).collect();
        if connecting.is_empty() {
            return Ok(());
        }
        let key = connecting[self.rng.below(connecting.len() as u64) as usize];
        let next = if self.rng.below(4) == 0 {
            self.try_another(key, |session, context| session.handle_connect_failed(context))?
        } else {
            let capacity = 64 << self.rng.below(5);
            if let Some(live) = self.live.get_mut(&key) {
                live.backend = Some(Socket::new(capacity));
            }
            self.with(key, |session, context| session.handle_connected(context))?
        };
        self.follow(key, next)
    }

    fn time_passes(&mut self) -> Result<(), String> {
        if self.wake.is_some_and(|wake| wake <= self.now) {
            self.wake = None;
            self.queue.free();
            self.summary.paced += 1;
        }
        let keys: Vec<u64> = self.live.keys().copied().collect();
        for key in keys {
            let Some(live) = self.live.get(&key) else { continue };
            if live.session.next_deadline(&self.options) <= self.now {
                let due = |session: &mut Session, context: &Context<'_>| {
                    session.handle_timeout(context).expect("its deadline has come")
                };
                let next = if live.session.is_connecting() {
                    self.try_another(key, due)?
                } else {
                    self.with(key, due)?
                };
                self.follow(key, next)?;
            } else if self.with(key, |session, context| session.handle_timeout(context))?.is_some() {
                return Err("a session does not wait for its deadline".into());
            }
            let Some(live) = self.live.get(&key) else { continue };
            if live.session.next_deadline(&self.options) <= self.now {
                return Err("a session outlives its deadline".into());
            }
        }
        Ok(())
    }

    fn with<R>(&mut self, key: u64, step: impl FnOnce(&mut Session, &Context<'_>) -> R) -> Result<R, String> {
        let live = self.live.get_mut(&key).expect("the caller has just seen it");
        let lane = Lane::Own(live.worker as u32);
        let context = Context { pool: &self.pool, lane, options: &self.options, now: self.now };
        let result = step(&mut live.session, &context);
        for (at, (id, _)) in self.backends.iter().enumerate() {
            let picks = self.pool.backend(*id).map_err(|error| error.to_string())?.picks;
            self.limits.see(at, picks, self.now)?;
        }
        Ok(result)
    }

    fn follow(&mut self, key: u64, next: Next) -> Result<(), String> {
        match next {
            Next::Header | Next::Starve => Err(format!("{next:?} is none of this world's")),
            Next::Connect(address) => {
                let at = self.backends.iter().position(|(_, known)| *known == address);
                if at.is_none_or(|at| !self.is_usable(at)) {
                    return Err(format!(
                        "{address} gets a session and is out of service, or none of the pool's"
                    ));
                }
                if let Some(live) = self.live.get_mut(&key) {
                    if live.tried.iter().any(|tried| Some(*tried) == at) {
                        return Err(format!("{address} is tried twice by one session"));
                    }
                    live.picked = self.moment;
                    live.is_doomed = false;
                    live.address = Some(address);
                    live.backend = None;
                }
                Ok(())
            }
            Next::Queue(_) => {
                let waiting = self.pool.pending() as u64;
                let Some(live) = self.live.get_mut(&key) else { return Ok(()) };
                live.address = None;
                live.is_doomed = false;
                let may = self.limits.pending_max == 0 || waiting < self.limits.pending_max;
                match (self.pool.try_want(), may) {
                    (Ok(()), true) => {}
                    (Err(_), false) => return self.close(key, Cause::PendingFull),
                    (wants, _) => {
                        return Err(format!("{waiting} wait for the pool, and one more: {wants:?}"));
                    }
                }
                match self.queue.push(Waiter { worker: live.worker, token: key }) {
                    Some(place) => {
                        live.place = Some(place);
                        self.queue.free();
                        self.summary.queued += 1;
                        Ok(())
                    }
                    None => {
                        self.pool.unwant();
                        self.close(key, Cause::QueueFull)
                    }
                }
            }
            Next::Relay => {
                if let Some(live) = self.live.get_mut(&key) {
                    live.client.readable_edge = true;
                }
                self.deliver(key)
            }
            Next::Close(cause) => self.close(key, cause),
        }
    }

    fn close(&mut self, key: u64, cause: Cause) -> Result<(), String> {
        self.with(key, |session, context| session.close(cause, context))?;
        let Some(mut live) = self.live.remove(&key) else { return Ok(()) };
        let has_untried = (0..self.backends.len()).any(|at| self.is_usable(at) && !live.tried.contains(&at));
        if cause == Cause::ConnectFailed && has_untried && live.tried.len() < self.options.attempts as usize {
            return Err(format!("a session gives up having tried {:?} alone", live.tried));
        }
        if cause == Cause::BackendDown && !live.is_doomed {
            return Err("a session is cut though its backend did not go down".into());
        }
        if let Some(place) = live.place
            && self.queue.leave(place)
        {
            self.pool.unwant();
        }
        *self.summary.ended.entry(cause).or_default() += 1;
        if let (Cause::Finished, Some(backend)) = (cause, &mut live.backend) {
            let sent = [live.client.sent, backend.sent];
            for (sent, to) in sent.into_iter().zip([backend, &mut live.client]) {
                to.peer_reads(to.unread_by_peer())?;
                if to.received != sent && !to.peer_reset {
                    return Err(format!("{} of {sent} bytes arrived, and the end was clean", to.received));
                }
            }
        }
        if let Some(backend) = &live.backend {
            self.summary.delivered += backend.received + live.client.received;
        }
        Ok(())
    }

    /// Passes on what the pool said of places that came free, in a random order of workers.
    fn offer_rooms(&mut self) -> Result<(), String> {
        for _ in 0..1_000 {
            for _ in 0..self.seen.freed.swap(0, Ordering::Relaxed) {
                self.queue.free();
            }
            let first = self.rng.below(WORKERS as u64) as usize;
            let offer = (0..WORKERS).find_map(|step| self.queue.take_offer((first + step) % WORKERS));
            let Some(offer) = offer else { return Ok(()) };
            let key = offer.waiter.token;
            if self.live.get(&key).is_none_or(|live| live.place != Some(offer.place)) {
                self.pool.unwant();
                self.queue.settle();
                continue;
            }
            match self.with(key, |session, context| session.handle_offer(context))? {
                Next::Queue(wake) => {
                    if self.live.get(&key).is_some_and(|live| live.session.is_choosy()) {
                        self.queue.pass_on(offer);
                        self.summary.passed_on += 1;
                    } else {
                        self.queue.put_back(offer);
                    }
                    if let Some(wake) = wake {
                        let wake = wake.max(self.now.saturating_add(Duration::from_millis(1)));
                        self.wake = Some(self.wake.map_or(wake, |earlier| earlier.min(wake)));
                    }
                }
                next => {
                    if let Some(live) = self.live.get_mut(&key) {
                        live.place = None;
                    }
                    self.pool.unwant();
                    self.queue.settle();
                    self.follow(key, next)?;
                }
            }
        }
        Err("offers go round in circles".into())
    }

    /// Everybody goes; nothing is left behind.
    fn wind_down(&mut self) -> Result<(), String> {
        for _ in 0..100 {
            self.now = self.now.saturating_add(Duration::from_secs(2));
            self.time_passes()?;
            self.cut()?;
            self.offer_rooms()?;
        }
        if !self.live.is_empty() {
            return Err(format!("{} sessions outlive every deadline", self.live.len()));
        }
        let counted = self.pool.statistics();
        if counted.in_flight != 0 || counted.retries != 0 || !self.queue.is_empty() || self.pool.is_wanted() {
            return Err(format!("something is left behind: {counted:?}, {} wait", self.queue.len()));
        }
        Ok(())
    }
}
