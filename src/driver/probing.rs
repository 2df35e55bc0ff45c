//! [`Probing`]: the active checks of a server, on one worker. The schedule says which probe begins when and the
//! dialogue what to send; this connects, reads, writes, and tells the pool what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use slab::Slab;
use socket2::Socket;

use crate::balance::options::WEIGHT_MAX;
use crate::balance::{Address, Admin, BackendId, MAXCONN_MAX, Observed, Pool};
use crate::driver::net::{self, Outgoing};
use crate::driver::standing::Standing;
use crate::driver::timer::TimerId;
use crate::driver::token::{GENERATION_MASK, Key, Source};
use crate::driver::worker::{Core, Timer};
use crate::health::facts::{Ordered, Orders};
use crate::health::options::{Initial, Settings, Target};
use crate::health::reason;
use crate::health::{
    Action, Cause, Change, CheckId, Dialogue, Entropy, Kind, ProbeId, Progress, Reason, Schedule, State,
    Verdict,
};
use crate::rng::Rng;
use crate::sys::fork::Moment;
use crate::time::Instant;

/// The checks of one server.
pub(crate) struct Probing {
    schedule: Schedule,
    rng: Rng,
    entropy: Entropy,
    pools: Vec<Checked>,
    subjects: BTreeMap<CheckId, Subject>,
    table: Slab<Talk>,
    generation: u32,
    timer: Option<TimerId>,
}

/// One pool, and how its backends are checked; `None` for not at all.
pub(crate) struct Checked {
    pub(crate) pool: Arc<Pool>,
    pub(crate) settings: Option<Arc<Settings>>,
    pub(crate) standing: Arc<Standing>,
    checks: BTreeMap<BackendId, CheckId>,
}

/// One backend under check.
struct Subject {
    pool: usize,
    backend: BackendId,
    address: Address,
    dialogue: Dialogue,
    talk: Option<usize>,
    is_paused: bool,
    /// What the agent's percentages are of.
    weight: u32,
    /// The agent had it drained.
    is_drained: bool,
}

/// The connection of a probe under way.
struct Talk {
    socket: Socket,
    check: CheckId,
    probe: ProbeId,
    /// Before it was made.
    since: Moment,
    out: Outgoing,
    is_connected: bool,
    generation: u32,
}

impl Checked {
    pub(crate) fn new(pool: Arc<Pool>, settings: Option<Arc<Settings>>, standing: Arc<Standing>) -> Self {
        Self { pool, settings, standing, checks: BTreeMap::new() }
    }
}

impl Probing {
    /// The checks of these pools, `probes_max` at once at most. `seed` spreads them; `entropy` goes into what
    /// logins must not repeat.
    pub(crate) fn new(
        pools: Vec<Checked>,
        probes_max: u32,
        seed: u64,
        entropy: [u8; 32],
    ) -> crate::error::Result<Self> {
        let mut rng = Rng::new(seed);
        Ok(Self {
            schedule: Schedule::new(probes_max, &mut rng)?,
            rng,
            entropy: Entropy::new(entropy),
            pools,
            subjects: BTreeMap::new(),
            table: Slab::new(),
            generation: 0,
            timer: None,
        })
    }

    /// Takes in who is in the pools now.
    pub(crate) fn begin(&mut self, core: &mut Core) {
        for pool in 0..self.pools.len() {
            self.reconcile(core, pool);
        }
        self.run(core);
    }

    /// A pool has changed: who came is checked from now on, who went no longer, and who is in maintenance is left
    /// alone.
    pub(crate) fn handle_pool_changed(&mut self, core: &mut Core, pool: usize) {
        self.reconcile(core, pool);
        self.run(core);
    }

    /// Sessions could not reach some backends of this pool: their next probes are not to wait for their beats.
    pub(crate) fn handle_suspects(&mut self, core: &mut Core, pool: usize) {
        let pool = &self.pools[pool];
        for backend in pool.standing.take_suspects() {
            if let Some(&check) = pool.checks.get(&backend) {
                self.schedule.handle_suspicion(check, core.now);
            }
        }
        self.run(core);
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core) {
        self.timer = None;
        self.run(core);
    }

    /// Something happened to the connection of a probe.
    pub(crate) fn handle_event(&mut self, core: &mut Core, key: Key, event: &Event) {
        let index = key.index as usize;
        let Some(talk) = self.table.get_mut(index).filter(|talk| talk.generation == key.generation) else {
            return;
        };
        if !talk.is_connected {
            match talk.socket.take_error() {
                Ok(None) if event.is_writable() && !event.is_error() => {}
                Ok(None) if !event.is_error() => return,
                Ok(error) => return self.fail(core, index, error),
                Err(error) => return self.fail(core, index, Some(error)),
            }
        }
        self.talk(core, index);
        self.run(core);
    }

    /// Ends every probe. Nothing is told.
    pub(crate) fn close_all(&mut self, core: &mut Core) {
        for talk in self.table.drain() {
            net::close(talk.socket, talk.since);
        }
        self.subjects.clear();
        if let Some(timer) = self.timer.take() {
            core.wheel.cancel(timer);
        }
    }

    fn reconcile(&mut self, core: &mut Core, index: usize) {
        let checked = &mut self.pools[index];
        let Some(settings) = &checked.settings else { return };
        let members = checked.pool.members();
        let present: BTreeSet<BackendId> = members.iter().map(|member| member.id).collect();
        let gone: Vec<_> = checked
            .checks
            .iter()
            .filter(|(id, _)| !present.contains(id))
            .map(|(&id, &check)| (id, check))
            .collect();
        for (id, check) in gone {
            checked.checks.remove(&id);
            checked.standing.forget(id);
            self.schedule.remove(check);
            if let Some(talk) = self.subjects.remove(&check).and_then(|subject| subject.talk) {
                let talk = self.table.remove(talk);
                net::close(talk.socket, talk.since);
            }
        }
        for member in members {
            // An agent must be heard to end what it ordered itself.
            let is_paused =
                member.admin == Admin::Maintenance && !matches!(settings.options().kind, Kind::Agent(_));
            let check = match checked.checks.get(&member.id) {
                Some(&check) => check,
                None => {
                    let check = self.schedule.add(Arc::clone(settings), core.now);
                    checked.checks.insert(member.id, check);
                    let authority = member.address.to_string();
                    match settings.options().initial {
                        Initial::Unknown => {}
                        Initial::Up => {
                            note(&checked.pool, member.id, Observed::Up, "up until proven down", core.now);
                        }
                        Initial::Down => {
                            note(&checked.pool, member.id, Observed::Down, "down until proven up", core.now);
                        }
                    }
                    let subject = Subject {
                        pool: index,
                        backend: member.id,
                        dialogue: settings.options().kind.dialogue(
                            &authority,
                            self.entropy.varied(member.id.as_u64() << 16 | index as u64),
                        ),
                        address: member.address,
                        talk: None,
                        is_paused: false,
                        weight: member.weight,
                        is_drained: false,
                    };
                    self.subjects.insert(check, subject);
                    check
                }
            };
            let subject = self.subjects.get_mut(&check).expect("every check has its subject");
            if subject.is_paused != is_paused {
                subject.is_paused = is_paused;
                if is_paused {
                    self.schedule.handle_pause(check);
                } else {
                    self.schedule.handle_resume(check, core.now, &mut self.rng);
                }
            }
        }
    }

    /// Does what is due, and what the schedule says.
    fn run(&mut self, core: &mut Core) {
        self.schedule.handle_timeout(core.now, &mut self.rng);
        while let Some(next) = self.schedule.poll_action() {
            match next.action {
                Action::Start(probe) => self.start(core, next.check, probe),
                Action::Cancel(_) => {
                    if let Some(talk) =
                        self.subjects.get_mut(&next.check).and_then(|subject| subject.talk.take())
                    {
                        let talk = self.table.remove(talk);
                        net::close(talk.socket, talk.since);
                    }
                    self.tell_standing(next.check);
                }
                Action::Change(change) => self.change(core, next.check, &change),
                Action::Facts => self.learn(next.check),
            }
        }
        match self.schedule.next_deadline() {
            Some(deadline) => core.set_timer(&mut self.timer, deadline, Timer::Probing),
            None => {
                if let Some(timer) = self.timer.take() {
                    core.wheel.cancel(timer);
                }
            }
        }
    }

    fn start(&mut self, core: &mut Core, check: CheckId, probe: ProbeId) {
        let Some(subject) = self.subjects.get_mut(&check) else { return };
        let Some(settings) = &self.pools[subject.pool].settings else { return };
        let target = target(&settings.options().target, &subject.address);
        self.generation = (self.generation + 1) & GENERATION_MASK;
        let since = Moment::now();
        let key = Key { index: self.table.vacant_key() as u32, generation: self.generation };
        let opened = net::connect(&target).and_then(|socket| {
            core.register(&socket, Source::Probe(key))?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => {
                subject.talk = Some(self.table.insert(Talk {
                    socket,
                    check,
                    probe,
                    since,
                    out: Outgoing::default(),
                    is_connected: false,
                    generation: self.generation,
                }));
            }
            // Our own want is not the backend's fault.
            Err(error) if net::is_starved(&error) => self.schedule.handle_abandoned(check, probe, core.now),
            Err(error) => {
                self.schedule.handle_verdict(check, probe, unreachable(&target, &error), core.now);
                self.tell_standing(check);
            }
        }
    }

    /// The connection broke, or was never made.
    fn fail(&mut self, core: &mut Core, index: usize, error: Option<io::Error>) {
        let talk = &self.table[index];
        let Some(subject) = self.subjects.get(&talk.check) else { return };
        let error = error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
        let verdict = if talk.is_connected {
            Verdict::Bad(Reason::new(reason::Source::Connection, format!("the connection broke: {error}")))
        } else {
            let settings = self.pools[subject.pool].settings.as_ref();
            let at = settings.map_or_else(
                || subject.address.clone(),
                |settings| target(&settings.options().target, &subject.address),
            );
            unreachable(&at, &error)
        };
        self.finish(core, index, verdict);
        self.run(core);
    }

    /// Sends, reads and hands over as far as it goes.
    fn talk(&mut self, core: &mut Core, index: usize) {
        let talk = &mut self.table[index];
        let Some(subject) = self.subjects.get_mut(&talk.check) else { return };
        let mut progress = Progress::More;
        if !talk.is_connected {
            talk.is_connected = true;
            self.schedule.handle_connected(talk.check, talk.probe);
            progress = subject.dialogue.begin(&mut talk.out.bytes);
        }
        loop {
            if let Err(error) = talk.out.send(&talk.socket)
                && progress == Progress::More
            {
                return self.fail(core, index, Some(error));
            }
            if let Some(verdict) = Verdict::of(progress) {
                return self.finish(core, index, verdict);
            }
            progress = match net::read(&talk.socket, &mut core.buffer) {
                Ok(None) => return,
                Ok(Some(0)) => subject.dialogue.handle_end(),
                Ok(Some(bytes)) => subject.dialogue.handle_bytes(&core.buffer[..bytes], &mut talk.out.bytes),
                Err(error) => return self.fail(core, index, Some(error)),
            };
        }
    }

    fn finish(&mut self, core: &mut Core, index: usize, verdict: Verdict) {
        let talk = self.table.remove(index);
        if let Some(subject) = self.subjects.get_mut(&talk.check) {
            subject.talk = None;
            let settings = self.pools[subject.pool].settings.as_ref();
            if settings.is_some_and(|settings| matches!(settings.options().kind, Kind::Tcp)) {
                // Nothing was said that could be lost, and thousands of connections a second would otherwise each
                // hold a port for a minute.
                let _ = talk.socket.set_linger(Some(Duration::ZERO));
            }
        }
        net::close(talk.socket, talk.since);
        self.schedule.handle_verdict(talk.check, talk.probe, verdict, core.now);
        self.tell_standing(talk.check);
    }

    fn change(&mut self, core: &mut Core, check: CheckId, change: &Change) {
        let Some(subject) = self.subjects.get(&check) else { return };
        let observed = match change.to {
            State::Unknown => Observed::Unknown,
            State::Up => Observed::Up,
            State::Down => Observed::Down,
        };
        let why = match &change.cause {
            Cause::Rise(count) => format!("{count} good probes in a row"),
            Cause::Fall(count, reason) => format!("{count} bad probes in a row, the last: {reason}"),
        };
        note(&self.pools[subject.pool].pool, subject.backend, observed, &why, core.now);
        self.tell_standing(check);
    }

    /// A good probe learnt something new.
    fn learn(&mut self, id: CheckId) {
        let Some(orders) = self.schedule.check(id).and_then(|check| check.facts().orders.clone()) else {
            return self.tell_standing(id);
        };
        if let Some(subject) = self.subjects.get_mut(&id) {
            subject.obey(&orders, &self.pools[subject.pool].pool);
        }
        self.tell_standing(id);
    }

    /// Writes down how a check stands, for who asks.
    fn tell_standing(&self, id: CheckId) {
        if let (Some(subject), Some(check)) = (self.subjects.get(&id), self.schedule.check(id)) {
            self.pools[subject.pool].standing.note(subject.backend, check);
        }
    }
}

impl Subject {
    /// Does what the agent beside the backend ordered. A backend removed meanwhile is left alone.
    fn obey(&mut self, orders: &Orders, pool: &Pool) {
        let mut admin = orders.admin.map(|ordered| match ordered {
            Ordered::Ready => Admin::Ready,
            Ordered::Drain => Admin::Drain,
            Ordered::Maintenance => Admin::Maintenance,
        });
        match orders.weight_percent {
            // No weight is how an agent asks to be left alone.
            Some(0) => {
                self.is_drained = true;
                admin = admin.or(Some(Admin::Drain));
            }
            Some(percent) => {
                let weight = u64::from(self.weight) * u64::from(percent) / 100;
                let weight = weight.clamp(1, u64::from(WEIGHT_MAX)) as u32;
                let _ = pool.set_weight(self.backend, weight);
                if std::mem::take(&mut self.is_drained) {
                    admin = admin.or(Some(Admin::Ready));
                }
            }
            None => {}
        }
        if let Some(admin) = admin {
            let _ = pool.set_admin(self.backend, admin);
        }
        if let Some(maxconn) = orders.maxconn {
            let _ = pool.set_maxconn(self.backend, maxconn.min(MAXCONN_MAX));
        }
    }
}

/// Tells the pool; a backend removed meanwhile is none of its any more.
fn note(pool: &Pool, backend: BackendId, observed: Observed, why: &str, now: Instant) {
    let _ = pool.set_observed_with(backend, observed, why, now);
}

/// Where a probe of the backend at `address` connects to.
fn target(target: &Target, address: &Address) -> Address {
    match (target, address) {
        (Target::Unix(path), _) => Address::Unix(Arc::clone(path)),
        (_, Address::Inet(inet)) => Address::Inet(target.inet(*inet).unwrap_or(*inet)),
        (Target::Inet(inet), Address::Unix(_)) => Address::Inet(*inet),
        // A unix socket has no ports; the configuration refuses to ask for one.
        (Target::Backend | Target::Port(_), Address::Unix(_)) => address.clone(),
    }
}

fn unreachable(target: &Address, error: &io::Error) -> Verdict {
    Verdict::Bad(Reason::new(reason::Source::Connection, format!("cannot connect to {target}: {error}")))
}
