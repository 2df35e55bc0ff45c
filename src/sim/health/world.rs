//! [`World`]: everything there is, what happens next, and what is done then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{
    Address, Admin, Backend, BackendId, Backups, Lane, Observed, Options as PoolOptions, Outcome, Policy,
    Pool, Request, Retry, Timings, Token,
};
use crate::checks::{self, Action, Checks};
use crate::discovery::exchange::Exchange;
use crate::discovery::file::MembersFile;
use crate::discovery::members::{Roster, Template};
use crate::discovery::options::{Families, Hold, Options as NameOptions};
use crate::discovery::watch::{self, Trouble, Watch};
use crate::error::Error;
use crate::health::options::{Initial, Options};
use crate::health::probe::{http, redis};
use crate::health::{CheckId, Entropy, Kind, ProbeId, Verdict, passive};
use crate::rng::Rng;
use crate::sim::health::model::{self, Follows};
use crate::sim::health::names::{self, FORGED, Owned, Resolver};
use crate::sim::health::servers::{Event, Mode};
use crate::sim::health::{Mutant, Summary};
use crate::time::Instant;

/// How far a run goes before everything is mended.
const STEPS: u32 = 1_000;
/// Simulated threads with lanes of their own.
const LANES: u32 = 3;
/// Picks in flight at once.
const LIVE_MAX: usize = 40;
/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) step: u32,
    pub(super) mutant: Option<Mutant>,
    /// As they are said to be; a mutant's pool has others.
    pub(super) options: PoolOptions,
    pub(super) pool: Arc<Pool>,
    pub(super) checks: Checks,
    pub(super) follows: Follows,
    pub(super) servers: BTreeMap<SocketAddr, Server>,
    /// Connections of probes that are open.
    open: BTreeMap<CheckId, ProbeId>,
    coming: BTreeMap<(Instant, u64), Arrival>,
    sequence: u64,
    resolver: Resolver,
    pub(super) watch: Watch,
    pub(super) hold: Duration,
    exchanges: BTreeSet<Exchange>,
    /// When a true answer said that there is nothing, since the last lookup that found something.
    negative_at: Option<Instant>,
    found: u64,
    ever: BTreeSet<IpAddr>,
    roster: Roster,
    file: MembersFile,
    /// What the file says, and which members that means; none when it is no whole file.
    text: (String, Option<BTreeSet<SocketAddr>>),
    is_text_new: bool,
    look: Instant,
    pub(super) fixed: BTreeSet<SocketAddr>,
    pub(super) listed: BTreeSet<SocketAddr>,
    pub(super) extras: BTreeSet<SocketAddr>,
    pub(super) admins: BTreeMap<BackendId, Admin>,
    pub(super) ids: BTreeMap<SocketAddr, BackendId>,
    pub(super) counts: BTreeMap<BackendId, Counted>,
    pub(super) live: Vec<Live>,
    pub(super) retries: u64,
    /// When the clock last jumped.
    pub(super) jumped: Instant,
    is_told: bool,
    pub(super) summary: Summary,
}

/// One server of the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) mode: Mode,
    /// Since when probes of it are bad; meaningless while they are good.
    pub(super) since: Instant,
}

/// What was counted of one backend.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) picks: u64,
    pub(super) in_flight: u64,
    pub(super) successes: u64,
    pub(super) streak: u32,
    /// The longest row of errors since it was last ejected.
    pub(super) most: u32,
    pub(super) ejected: Option<Instant>,
}

/// A pick in flight.
pub(super) struct Live {
    token: Token,
    pub(super) backend: BackendId,
    address: SocketAddr,
    retry: Option<Retry>,
}

enum Arrival {
    Probe(CheckId, ProbeId, Event),
    /// A verdict that comes when nobody waits for it any more.
    Stale(CheckId, ProbeId, bool),
    Dns(Exchange, Owned, bool),
    PoolChanged,
}

/// Plays one world.
pub(super) fn play(seed: u64, mutant: Option<Mutant>) -> Result<Summary, String> {
    let mut world = World::new(seed, mutant);
    let mut play = || -> Result<(), String> {
        world.begin()?;
        while world.step < STEPS {
            world.step += 1;
            world.happen()?;
            world.check()?;
        }
        world.wind_down()
    };
    let played = play();
    played.map_err(|what| {
        format!("seed {seed}, step {}, {} ms: {what}", world.step, world.now.as_nanos() / 1_000_000)
    })?;
    let Follows { stale, ups, downs, .. } = world.follows;
    Ok(Summary { stale, ups, downs, ..world.summary })
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn pool_options(seed: u64, rng: &mut Rng) -> PoolOptions {
    let policies =
        [Policy::RoundRobin, Policy::LeastConnections, Policy::Random, Policy::PowerOfTwo, Policy::Hash];
    let ejection_time = ms(500 + rng.below(2_000));
    let outlier = passive::Options {
        consecutive_errors: Some(2 + rng.below(3) as u32),
        interval: ms(500 + rng.below(2_000)),
        ejection_time,
        ejection_time_max: ejection_time * (1 + rng.below(3) as u32),
        ejection_jitter: ms(rng.below(300)),
        ejection_percent_max: [0, 10, 30, 50, 100][rng.below(5) as usize],
        success_rate: None,
        failure_percentage: None,
    };
    PoolOptions {
        policy: policies[rng.below(5) as usize],
        backups: [Backups::One, Backups::All, Backups::Spill][rng.below(3) as usize],
        panic_threshold: [0, 0, 30, 50, 100][rng.below(5) as usize],
        fail_open: rng.below(4) == 0,
        slow_start: [Duration::ZERO, ms(1_000)][rng.below(2) as usize],
        retry_budget: [None, Some(0.0), Some(0.2), Some(0.5)][rng.below(4) as usize],
        retry_min: rng.below(4) as u32,
        retries_max: [0, 5][rng.below(2) as usize],
        outlier: (rng.below(4) > 0).then_some(outlier),
        lanes: LANES,
        seed,
        ..PoolOptions::default()
    }
}

fn check_options(rng: &mut Rng) -> Options {
    let interval = ms(100 + rng.below(900));
    let kind = match rng.below(3) {
        0 => Kind::Tcp,
        1 => Kind::Http(Arc::new(http::Http::new(http::Options::default()).expect("the default is good"))),
        _ => {
            Kind::Redis(Arc::new(redis::Redis::new(&redis::Options::default()).expect("the default is good")))
        }
    };
    Options {
        kind,
        interval,
        interval_transition: (rng.below(2) == 0).then(|| ms(50 + rng.below(200))),
        interval_down: (rng.below(2) == 0).then(|| ms(100 + rng.below(1_500))),
        timeout: ms(20 + rng.below(400)),
        rise: 1 + rng.below(4) as u32,
        fall: 1 + rng.below(4) as u32,
        initial: Initial::NAMES[rng.below(3) as usize].1,
        jitter: [0.0, 0.1, 0.5][rng.below(3) as usize],
        ..Options::default()
    }
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut rng = Rng::new(seed);
        let now = Instant::from_millis(1 + rng.below(100_000));
        let options = pool_options(seed, &mut rng);
        let told = check_options(&mut rng);
        let probes_max = if rng.below(3) == 0 { 1 + rng.below(4) as u32 } else { 1_024 };

        // What is really used, where something is not as it is said.
        let (mut is, mut has, mut most) = (told.clone(), options.clone(), probes_max);
        match mutant {
            Some(Mutant::FallOffByOne) => is.fall += 1,
            Some(Mutant::RiseOffByOne) => is.rise += 1,
            Some(Mutant::ProbesMaxOffByOne) => most += 1,
            Some(Mutant::SlowChecks) => {
                is.interval *= 2;
                is.interval_transition = is.interval_transition.map(|interval| interval * 2);
            }
            Some(Mutant::OtherPanic) => has.panic_threshold = if has.panic_threshold > 0 { 0 } else { 60 },
            Some(Mutant::CapExceeded) => {
                if let Some(outlier) = &mut has.outlier {
                    outlier.ejection_percent_max = 100;
                }
            }
            Some(Mutant::BudgetExceeded) => has.retry_min += 2,
            _ => {}
        }

        let pool = Arc::new(Pool::new(has).expect("these options are in range"));
        let fixed: BTreeSet<SocketAddr> =
            (0..1 + rng.below(4)).map(|n| SocketAddr::from(([10, 5, 0, n as u8], 80))).collect();
        let mut roster = Roster::new();
        let backends: Vec<Backend> = fixed
            .iter()
            .map(|&address| Backend { tier: rng.below(4) as u8 / 3, ..Backend::new(address.into()) })
            .collect();
        roster.set(0, backends.clone());
        pool.add_all(&backends).expect("all differ");

        let settings = Arc::new(is.parse().expect("these options are in range"));
        let pools = vec![(Arc::clone(&pool), Some(settings))];
        let checks = Checks::new(pools, most, rng.next_u64(), Entropy::seeded(&mut rng)).expect("in range");
        let follows = Follows {
            options: told,
            probes_max: probes_max as usize,
            all: BTreeMap::new(),
            stale: 0,
            ups: 0,
            downs: 0,
        };

        let resolver = Resolver::new(&mut rng);
        let hold = ms([0, 2_000, 5_000][rng.below(3) as usize]);
        let names = NameOptions {
            families: Families::V4,
            ttl_max: Duration::from_secs(10),
            ttl_negative_max: Duration::from_secs(4),
            hold: Hold::For(hold),
            retry_min: ms(500),
            retry_max: ms(3_000),
            lookup_max: Duration::from_secs(8),
            ..NameOptions::default()
        };
        let watch = Watch::new(resolver.name.clone(), resolver.environment(), names, now, &mut rng)
            .expect("these options are in range");
        let mut world = Self {
            rng,
            now,
            step: 0,
            mutant,
            options,
            pool,
            checks,
            follows,
            servers: BTreeMap::new(),
            open: BTreeMap::new(),
            coming: BTreeMap::new(),
            sequence: 0,
            resolver,
            watch,
            hold,
            exchanges: BTreeSet::new(),
            negative_at: None,
            found: 0,
            ever: BTreeSet::new(),
            roster,
            file: MembersFile::new("members"),
            text: ("empty\n".to_string(), Some(BTreeSet::new())),
            is_text_new: true,
            look: now,
            fixed,
            listed: BTreeSet::new(),
            extras: BTreeSet::new(),
            admins: BTreeMap::new(),
            ids: BTreeMap::new(),
            counts: BTreeMap::new(),
            live: Vec::new(),
            retries: 0,
            jumped: now,
            is_told: false,
            summary: Summary::default(),
        };
        world.remember_zone();
        world
    }

    fn begin(&mut self) -> Result<(), String> {
        self.take_in_members()?;
        self.pool_changed()?;
        self.follow_watch()?;
        self.serve()
    }

    /// One thing happens somewhere.
    fn happen(&mut self) -> Result<(), String> {
        match self.rng.below(200) {
            0..50 => self.pick(&[]).map(drop)?,
            50..95 => self.finish_one()?,
            95..102 => self.change_server(),
            102..106 => self.operate()?,
            106..108 => self.add_or_remove()?,
            108 => {
                self.resolver.change(&mut self.rng);
                self.remember_zone();
            }
            109..111 => self.resolver.break_something(&mut self.rng),
            111..113 => self.write_file(),
            113 => self.jump(),
            _ => self.pass(ms(120)),
        }
        self.serve()
    }

    /// Time passes: up to what comes next, or less. A reading of the clock that is earlier than one before is the one
    /// before, as [`crate::time::Clock`] never steps back.
    fn pass(&mut self, most: Duration) {
        if self.rng.below(20) == 0 {
            let earlier = Instant::from_nanos(self.now.as_nanos().saturating_sub(self.rng.below(1 << 30)));
            self.now = self.now.max(earlier);
            return;
        }
        let limit = self.now.saturating_add(most.mul_f64(self.rng.unit()));
        let arrival = self.coming.first_key_value().map(|((at, _), _)| *at);
        let deadlines =
            [arrival, self.checks.next_deadline(), self.watch.next_deadline(), self.pool.next_deadline()];
        let next = deadlines.into_iter().flatten().min().unwrap_or(limit).min(limit).min(self.look);
        self.now = self.now.max(next);
    }

    /// The machine was asleep, or the loop stood still.
    fn jump(&mut self) {
        self.now = self.now.saturating_add(ms(self.rng.below(20_000)));
        self.jumped = self.now;
        self.summary.jumps += 1;
    }

    /// Does what is due now, the clock first or what came first.
    fn serve(&mut self) -> Result<(), String> {
        let is_clock_first = self.rng.below(2) == 0;
        if is_clock_first {
            self.time_has_come()?;
        }
        while let Some(entry) = self.coming.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let arrival = entry.remove();
            self.arrive(arrival)?;
        }
        if !is_clock_first {
            self.time_has_come()?;
        }
        Ok(())
    }

    fn time_has_come(&mut self) -> Result<(), String> {
        self.summary.timed_out += self.follows.time(self.now);
        self.checks.handle_timeout(self.now);
        self.follow_checks()?;
        self.pool.handle_timeout(self.now);
        if self.watch.next_deadline().is_some_and(|due| due <= self.now) {
            self.watch.handle_timeout(self.now, &mut self.rng);
            self.follow_watch()?;
        }
        if self.now >= self.look {
            self.look = self.now.saturating_add(LOOK_EVERY);
            self.look_at_file()?;
        }
        Ok(())
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), String> {
        match arrival {
            Arrival::Probe(check, probe, event) => {
                // Sockets that are closed hear nothing.
                if self.open.get(&check) == Some(&probe) {
                    self.hear(check, probe, event)?;
                }
            }
            Arrival::Stale(check, probe, is_good) => {
                let verdict = match is_good {
                    true => Verdict::Good(Default::default()),
                    false => checks::broken(&"late"),
                };
                self.follows.verdict(check, probe, is_good);
                let is_mutant = self.mutant == Some(Mutant::StaleCounts);
                let given = self.open.get(&check).copied().filter(|_| is_mutant).unwrap_or(probe);
                self.checks.handle_verdict(check, given, verdict, self.now);
                self.follow_checks()?;
            }
            Arrival::Dns(exchange, event, is_negative) => {
                if self.exchanges.contains(&exchange) {
                    if is_negative {
                        self.negative_at.get_or_insert(self.now);
                    }
                    self.watch.handle_event(exchange, event.event(), self.now, &mut self.rng);
                    self.follow_watch()?;
                }
            }
            Arrival::PoolChanged => {
                self.is_told = false;
                self.pool_changed()?;
            }
        }
        Ok(())
    }

    // --- checks -----------------------------------------------------------------------------------------

    /// Something happens on the connection of a probe.
    fn hear(&mut self, check: CheckId, probe: ProbeId, event: Event) -> Result<(), String> {
        let mut out = Vec::new();
        if matches!(event, Event::Connected) {
            self.checks.handle_connected(check, probe);
        }
        let dialogue = self.checks.dialogue(check).ok_or("a check without a dialogue")?;
        let progress = match event {
            Event::Connected => dialogue.begin(&mut out),
            Event::Bytes(bytes) => dialogue.handle_bytes(&bytes, &mut out),
            Event::End => dialogue.handle_end(),
            Event::Broken => return self.conclude(check, probe, checks::broken(&"reset by peer")),
            Event::Refused => {
                let target: Address = "10.0.0.1:80".parse().expect("it is an address");
                return self.conclude(check, probe, checks::unreachable(&target, &"connection refused"));
            }
        };
        match Verdict::of(progress) {
            Some(verdict) => self.conclude(check, probe, verdict),
            None => Ok(()),
        }
    }

    /// A probe has its verdict.
    fn conclude(&mut self, check: CheckId, probe: ProbeId, verdict: Verdict) -> Result<(), String> {
        let is_good = matches!(verdict, Verdict::Good(_));
        if let Some(known) = self.follows.all.get(&check).and_then(|follow| follow.probe)
            && self.now < known.deadline
            && is_good != known.fault.is_none()
        {
            return Err(format!("a probe that should come to {:?} came to {verdict:?}", known.fault));
        }
        self.open.remove(&check);
        self.follows.verdict(check, probe, is_good);
        self.checks.handle_verdict(check, probe, verdict, self.now);
        self.maybe_late(check, probe);
        self.follow_checks()
    }

    /// Now and then another verdict of a probe that is over comes later.
    fn maybe_late(&mut self, check: CheckId, probe: ProbeId) {
        if self.rng.below(8) == 0 {
            let (after, is_good) = (ms(self.rng.below(2_000)), self.rng.below(2) == 0);
            self.later(after, Arrival::Stale(check, probe, is_good));
        }
    }

    fn later(&mut self, after: Duration, arrival: Arrival) {
        self.sequence += 1;
        self.coming.insert((self.now.saturating_add(after), self.sequence), arrival);
    }

    /// Does what the checks say.
    fn follow_checks(&mut self) -> Result<(), String> {
        while let Some(action) = self.checks.poll_action(self.now) {
            match action {
                Action::Start { check, probe, target } => {
                    let mode = self.servers.get(&inet(&target)).map_or(Mode::Fine, |server| server.mode);
                    let kind = self.follows.options.kind.clone();
                    self.follows.start(check, probe, mode.fault(&kind), self.now)?;
                    self.summary.probes += 1;
                    if self.rng.below(100) == 0 {
                        // No descriptor left.
                        self.follows.abandon(check, self.now);
                        self.checks.handle_abandoned(check, probe, self.now);
                        continue;
                    }
                    self.open.insert(check, probe);
                    for (after, event) in mode.play(&kind, self.follows.options.timeout, &mut self.rng) {
                        self.later(after, Arrival::Probe(check, probe, event));
                    }
                }
                Action::Close { check, probe } => {
                    if self.open.remove(&check) != Some(probe) {
                        return Err(format!("probe {} is to be closed and is not open", probe.get()));
                    }
                    self.maybe_late(check, probe);
                }
                Action::Known { .. } => {
                    if self.mutant == Some(Mutant::VagueReasons) {
                        self.blur_reasons();
                    }
                }
                Action::Forget { backend, .. } => {
                    if self.pool.ids().contains(&backend) {
                        return Err(format!("backend {backend} is there, and checked no more"));
                    }
                }
            }
        }
        Ok(())
    }

    fn blur_reasons(&self) {
        for backend in self.pool.backends().iter().filter(|backend| backend.observed == Observed::Down) {
            let _ = self.pool.set_observed_with(backend.id, Observed::Down, "it is down", self.now);
        }
    }

    /// Those who look after the checks hear that the pool has changed.
    fn pool_changed(&mut self) -> Result<(), String> {
        self.checks.handle_pool_changed(0, self.now);
        let members = self.pool.members();
        self.follows.all.retain(|_, follow| members.iter().any(|member| member.id == follow.backend));
        for member in &members {
            let check = self.checks.check_of(0, member.id).ok_or("a member is not checked")?;
            if !self.follows.all.contains_key(&check) {
                self.follows.add(check, member.id, self.now);
            }
            self.follows.pause(check, member.admin == Admin::Maintenance, self.now);
        }
        self.follow_checks()
    }

    /// The pool has changed, which is heard of a little later.
    fn tell(&mut self) {
        if !std::mem::replace(&mut self.is_told, true) {
            let after = ms(self.rng.below(30));
            self.later(after, Arrival::PoolChanged);
        }
    }

    fn change_server(&mut self) {
        let at = self.rng.below(self.ids.len() as u64) as usize;
        let Some(&address) = self.ids.keys().nth(at) else { return };
        let mode = match self.rng.below(2) {
            0 => Mode::Fine,
            _ => Mode::ALL[self.rng.below(Mode::ALL.len() as u64) as usize],
        };
        let kind = &self.follows.options.kind;
        let was_bad = self.servers.get(&address).is_some_and(|server| server.mode.fault(kind).is_some());
        let since = if was_bad { self.servers[&address].since } else { self.now };
        self.servers.insert(address, Server { mode, since });
    }

    // --- picks ------------------------------------------------------------------------------------------

    /// Asks for a backend; its place among those in flight.
    fn pick(&mut self, avoid: &[BackendId]) -> Result<Option<usize>, String> {
        if self.live.len() >= LIVE_MAX {
            return Ok(None);
        }
        let lane = self.lane();
        let key = self.rng.next_u64().to_le_bytes();
        // Another thread read the clock a little earlier.
        let now = Instant::from_nanos(self.now.as_nanos().saturating_sub(self.rng.below(3_000_000)));
        let picked = self.pool.pick(&Request { lane, key: &key, now, avoid });
        let (serving, _) = model::serving(&self.options, &self.pool.backends());
        match picked {
            Ok(mut pick) => {
                let drained = self.admins.iter().find(|(_, admin)| **admin == Admin::Drain);
                if let Some((&drained, _)) = drained.filter(|_| self.mutant == Some(Mutant::PicksDrained)) {
                    pick.backend = drained;
                }
                if !serving.contains(&pick.backend) {
                    return Err(format!("backend {} was picked; {serving:?} serve", pick.backend));
                }
                let counted = self.counts.entry(pick.backend).or_default();
                counted.picks += 1;
                counted.in_flight += 1;
                self.summary.picks += 1;
                let address = inet(&pick.address);
                self.live.push(Live { token: pick.token, backend: pick.backend, address, retry: None });
                Ok(Some(self.live.len() - 1))
            }
            Err(Error::NoBackend(_)) if serving.is_empty() => {
                self.summary.refused += 1;
                Ok(None)
            }
            Err(error) => Err(format!("no pick, though {serving:?} serve: {error}")),
        }
    }

    fn lane(&mut self) -> Lane {
        match self.rng.below(u64::from(LANES) + 1) as u32 {
            LANES => Lane::Shared,
            lane => Lane::Own(lane),
        }
    }

    /// A pick comes to its end, and may be tried again elsewhere.
    fn finish_one(&mut self) -> Result<(), String> {
        if self.live.is_empty() {
            return Ok(());
        }
        let at = self.rng.below(self.live.len() as u64) as usize;
        let Live { token, backend, address, retry } = self.live.swap_remove(at);
        let mode = self.servers.get(&address).map_or(Mode::Fine, |server| server.mode);
        let outcome = match mode {
            _ if self.rng.below(30) == 0 => Outcome::Cancelled,
            Mode::Fine => Outcome::Success,
            Mode::Refuses | Mode::Lost => Outcome::ConnectFailed,
            Mode::Frozen | Mode::Slow | Mode::Trickles => Outcome::TimedOut,
            _ => Outcome::Failed,
        };
        let counted = self.counts.entry(backend).or_default();
        counted.in_flight -= 1;
        match outcome {
            Outcome::Success => {
                counted.successes += 1;
                counted.streak = 0;
            }
            Outcome::Cancelled => {}
            _ => {
                counted.streak += 1;
                counted.most = counted.most.max(counted.streak);
            }
        }
        let timings = Timings { first_byte: Some(1 + self.rng.below(1 << 24)), ..Timings::default() };
        let lane = self.lane();
        self.pool.done(lane, token, outcome, &timings, self.now).map_err(|error| error.to_string())?;
        if let Some(retry) = retry {
            self.end_retry(retry)?;
        }
        if matches!(outcome, Outcome::ConnectFailed | Outcome::Failed) {
            self.checks.handle_suspicion(0, backend, self.now);
            self.follow_checks()?;
            self.try_again(backend)?;
        }
        Ok(())
    }

    fn try_again(&mut self, failed: BackendId) -> Result<(), String> {
        let is_there = |live: &&Live| self.admins.contains_key(&live.backend);
        let in_flight = self.live.iter().filter(is_there).count() as u64;
        let most = model::retries_max(&self.options, in_flight);
        match self.pool.retry_begin(self.now) {
            Ok(retry) => {
                if self.retries >= most {
                    return Err(format!("a retry beside {} others, {most} may be", self.retries));
                }
                self.retries += 1;
                self.summary.retries += 1;
                match self.pick(&[failed])? {
                    Some(at) => self.live[at].retry = Some(retry),
                    None => self.end_retry(retry)?,
                }
            }
            Err(Error::Capacity { .. }) if self.retries >= most => self.summary.retries_refused += 1,
            Err(error) => return Err(format!("no retry beside {} of {most}: {error}", self.retries)),
        }
        Ok(())
    }

    fn end_retry(&mut self, retry: Retry) -> Result<(), String> {
        self.retries -= 1;
        self.pool.retry_end(retry).map_err(|error| error.to_string())
    }

    // --- members ----------------------------------------------------------------------------------------

    /// An operator orders something.
    fn operate(&mut self) -> Result<(), String> {
        let at = self.rng.below(self.admins.len() as u64) as usize;
        let Some(&id) = self.admins.keys().nth(at) else { return Ok(()) };
        if self.rng.below(3) == 0 {
            let weight = 1 + self.rng.below(20) as u32;
            return self.pool.set_weight(id, weight).map_err(|error| error.to_string());
        }
        let admin =
            [Admin::Ready, Admin::Ready, Admin::Drain, Admin::Maintenance][self.rng.below(4) as usize];
        self.pool.set_admin(id, admin).map_err(|error| error.to_string())?;
        self.admins.insert(id, admin);
        self.tell();
        Ok(())
    }

    /// An operator adds a backend, or takes one of their own out again.
    fn add_or_remove(&mut self) -> Result<(), String> {
        let address = SocketAddr::from(([10, 3, 0, self.rng.below(3) as u8], 80));
        let done = match self.ids.get(&address) {
            Some(&id) => {
                self.extras.remove(&address);
                self.pool.remove(id)
            }
            None => {
                self.extras.insert(address);
                let tier = self.rng.below(3) as u8 / 2;
                self.pool.add(Backend { tier, ..Backend::new(address.into()) }).map(drop)
            }
        };
        done.map_err(|error| error.to_string())?;
        self.take_in_members()
    }

    /// A source has these members now.
    fn set(&mut self, source: usize, members: Vec<Backend>) -> Result<(), String> {
        let changes = self.roster.set(source, members);
        if changes.is_empty() {
            return Ok(());
        }
        self.summary.refreshes += 1;
        changes.apply(&self.pool).map_err(|error| error.to_string())?;
        if self.mutant == Some(Mutant::LosesIdentity) {
            for member in self.roster.members().cloned().collect::<Vec<_>>() {
                let id = self.pool.find(&member.name.clone().unwrap_or(member.address.to_string()));
                let _ = id.and_then(|id| self.pool.remove(id)).and_then(|()| self.pool.add(member));
            }
        }
        self.take_in_members()
    }

    /// Who is in the pool has changed. Whoever was there and is there is who it was.
    fn take_in_members(&mut self) -> Result<(), String> {
        let members = self.pool.members();
        let ids: BTreeMap<SocketAddr, BackendId> =
            members.iter().map(|member| (inet(&member.address), member.id)).collect();
        for (address, id) in &self.ids {
            if ids.get(address).is_some_and(|now| now != id) {
                return Err(format!("{address} was backend {id} and is {}", ids[address]));
            }
        }
        self.admins.retain(|id, _| members.iter().any(|member| member.id == *id));
        for member in &members {
            self.admins.entry(member.id).or_insert(Admin::Ready);
        }
        self.ids = ids;
        self.tell();
        Ok(())
    }

    /// Does what the watch says.
    fn follow_watch(&mut self) -> Result<(), String> {
        let found = self.watch.statistics().found;
        if found > self.found {
            (self.found, self.negative_at) = (found, None);
        }
        while let Some(action) = self.watch.poll_action() {
            match action {
                watch::Action::Io(io) => {
                    let exchange = names::exchange(&io);
                    if matches!(io, crate::discovery::exchange::Io::Close { .. }) {
                        self.exchanges.remove(&exchange);
                    } else {
                        self.exchanges.insert(exchange);
                    }
                    for coming in self.resolver.act(&io, &mut self.rng) {
                        self.later(coming.after, Arrival::Dns(exchange, coming.event, coming.is_negative));
                    }
                }
                watch::Action::Members(endpoints) => {
                    if let Some(other) = endpoints.iter().find(|it| !self.ever.contains(&it.address.ip())) {
                        return Err(format!("{} was never in the zone", other.address));
                    }
                    if endpoints.is_empty() {
                        self.summary.emptied += 1;
                        self.may_empty()?;
                    }
                    let template = Template {
                        name: "app".to_string(),
                        weight: 2,
                        tier: 0,
                        maxconn: 0,
                        connection_rate: 0,
                        connection_burst: 0,
                        admin: Admin::Ready,
                    };
                    self.set(1, template.members(&endpoints))?;
                }
                watch::Action::Trouble(trouble) => {
                    if trouble.to_string().is_empty() || trouble.to_string().contains('\n') {
                        return Err(format!("trouble that nobody can read: {trouble:?}"));
                    }
                    if matches!(trouble, Trouble::Failed { .. }) && !self.watch.members().is_empty() {
                        self.summary.held += 1;
                        if self.mutant == Some(Mutant::ForgetsMembers) {
                            self.set(1, Vec::new())?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a name may have no members any more.
    fn may_empty(&self) -> Result<(), String> {
        let ends = self.negative_at.map(|at| at.saturating_add(self.hold));
        match ends {
            None => Err("the members went, though no answer said that there are none".to_string()),
            Some(ends) if self.now < ends => {
                Err(format!("the members went before the hold of {:?}", self.hold))
            }
            Some(_) => Ok(()),
        }
    }

    fn remember_zone(&mut self) {
        self.ever.extend(self.resolver.zone.nodes.values().flat_map(|node| &node.addresses));
        assert!(!self.ever.contains(&FORGED));
    }

    /// The file of members says something else.
    fn write_file(&mut self) {
        let mut members = BTreeSet::new();
        for _ in 0..self.rng.below(4) {
            // Some of them the name has too.
            let net = if self.rng.below(3) == 0 { 1 } else { 4 };
            members.insert(SocketAddr::from(([10, net, 0, 1 + self.rng.below(4) as u8], 80)));
        }
        let lines: Vec<String> = members.iter().map(|member| format!("{member} weight=3\n")).collect();
        let mut text = if lines.is_empty() { "empty\n".to_string() } else { lines.concat() };
        let mut means = Some(members);
        match self.rng.below(6) {
            0 => {
                // Only begun, or cut within the last line.
                text.truncate(self.rng.below(5) as usize);
                means = None;
            }
            1 => {
                text.push_str("app.example:80 wheight=1\n");
                means = None;
            }
            _ => {}
        }
        self.text = (text, means);
        self.is_text_new = true;
    }

    fn look_at_file(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.is_text_new) {
            return Ok(());
        }
        let (text, means) = self.text.clone();
        match (self.file.handle_text(&text), means) {
            (Ok(_), Some(members)) => {
                self.listed = members;
                self.set(2, self.file.members().to_vec())
            }
            (Err(_), None) => {
                self.summary.bad_files += 1;
                Ok(())
            }
            (said, means) => Err(format!("the file {text:?}, which means {means:?}, came to {said:?}")),
        }
    }

    /// Who should be in the pool.
    pub(super) fn expected_members(&self) -> BTreeSet<SocketAddr> {
        let named = self.watch.members().iter().map(|endpoint| endpoint.address);
        let mut all: BTreeSet<SocketAddr> = named.collect();
        all.extend(self.fixed.iter().chain(&self.listed).chain(&self.extras));
        all
    }

    // --- the end ----------------------------------------------------------------------------------------

    /// Nothing but time, until then. Little happens, so everything is looked at now and then only.
    fn go_on(&mut self, until: Instant) -> Result<(), String> {
        while self.now < until {
            for _ in 0..16 {
                self.pass(ms(1_000));
                self.serve()?;
            }
            self.check()?;
        }
        Ok(())
    }

    /// Everything is mended: in the end everybody is there, up, and has no more picks.
    fn wind_down(&mut self) -> Result<(), String> {
        self.resolver.heal();
        for server in self.servers.values_mut() {
            server.mode = Mode::Fine;
        }
        for (&id, admin) in &mut self.admins {
            *admin = Admin::Ready;
            self.pool.set_admin(id, Admin::Ready).map_err(|error| error.to_string())?;
        }
        self.tell();
        while !self.live.is_empty() {
            self.finish_one()?;
        }
        // A lookup and its back-off, the longest life of what it found, another lookup, the hold.
        let named = self.now.saturating_add(ms(8_000 + 3_000 + 11_000 + 8_000 + 5_000));
        self.go_on(named)?;
        let truth = self.resolver.truth();
        if self.watch.members() != truth {
            let is_service = self.resolver.is_service();
            let members = self.watch.members();
            return Err(format!(
                "members in the end: {members:?}, the zone has {truth:?} (service: {is_service})"
            ));
        }
        // Who came last is up soon, and nobody is ejected any more.
        let options = &self.follows.options;
        let longest = [Some(options.interval), options.interval_transition, options.interval_down];
        let longest = longest.into_iter().flatten().max().expect("one is there").mul_f64(1.5);
        let waits = if self.follows.probes_max < 100 { 20 } else { 1 };
        let all_up = self.now.saturating_add((longest + options.timeout) * (options.rise + 2) * waits);
        self.go_on(all_up)?;
        for member in self.pool.backends() {
            if member.observed != Observed::Up || member.in_flight > 0 {
                return Err(format!("in the end: {member:?}"));
            }
        }
        Ok(())
    }
}

/// Where a backend of the world listens.
pub(super) fn inet(address: &Address) -> SocketAddr {
    match address {
        Address::Inet(address) => *address,
        Address::Unix(_) => unreachable!("there are none in this world"),
    }
}
