//! [`World`]: everything there is, what happens next, and what is done then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{
    Address, Admin, Backend, BackendId, Backups, Observed, Options as PoolOptions, Policy, Pool,
};
use crate::checks;
use crate::discovery::exchange::Exchange;
use crate::discovery::members::Roster;
use crate::health::{CheckId, ProbeId, Verdict, passive};
use crate::rng::Rng;
use crate::sim::health::model::Follows;
use crate::sim::health::names::Owned;
use crate::sim::health::probes::{self, Probes};
use crate::sim::health::servers::{Event, Mode};
use crate::sim::health::sources::Sources;
use crate::sim::health::traffic::{LANES, Traffic};
use crate::sim::health::{Mutant, Summary};
use crate::time::Instant;

/// How far a run goes before everything is mended.
const STEPS: u32 = 1_000;

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) step: u32,
    pub(super) mutant: Option<Mutant>,
    /// As they are said to be; a mutant's pool has others.
    pub(super) options: PoolOptions,
    pub(super) pool: Arc<Pool>,
    pub(super) probes: Probes,
    pub(super) traffic: Traffic,
    pub(super) sources: Sources,
    coming: BTreeMap<(Instant, u64), Arrival>,
    sequence: u64,
    pub(super) admins: BTreeMap<BackendId, Admin>,
    pub(super) ids: BTreeMap<SocketAddr, BackendId>,
    /// When the clock last jumped.
    pub(super) jumped: Instant,
    pub(super) summary: Summary,
}

pub(super) enum Arrival {
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
    let Follows { stale, ups, downs, .. } = world.probes.follows;
    Ok(Summary { stale, ups, downs, ..world.summary })
}

pub(super) fn ms(millis: u64) -> Duration {
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

impl World {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut rng = Rng::new(seed);
        let now = Instant::from_millis(1 + rng.below(100_000));
        let options = pool_options(seed, &mut rng);
        let told = probes::options(&mut rng);
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

        let probes = Probes::new(&pool, told, is, probes_max, most, &mut rng);
        let sources = Sources::new(fixed, roster, now, &mut rng);
        Self {
            rng,
            now,
            step: 0,
            mutant,
            options,
            pool,
            probes,
            traffic: Traffic::default(),
            sources,
            coming: BTreeMap::new(),
            sequence: 0,
            admins: BTreeMap::new(),
            ids: BTreeMap::new(),
            jumped: now,
            summary: Summary::default(),
        }
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
            108 => self.sources.change_records(&mut self.rng),
            109..111 => self.sources.break_something(&mut self.rng),
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
        let deadlines = [arrival, self.probes.checks.next_deadline(), self.pool.next_deadline()];
        let next = deadlines.into_iter().flatten().min().unwrap_or(limit).min(limit);
        let next = next.min(self.sources.next_deadline());
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
        self.summary.timed_out += self.probes.follows.time(self.now);
        self.probes.checks.handle_timeout(self.now);
        self.follow_checks()?;
        self.pool.handle_timeout(self.now);
        self.ask_sources()
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), String> {
        match arrival {
            Arrival::Probe(check, probe, event) => {
                // Sockets that are closed hear nothing.
                if self.probes.open.get(&check) == Some(&probe) {
                    self.hear(check, probe, event)?;
                }
            }
            Arrival::Stale(check, probe, is_good) => {
                let verdict = match is_good {
                    true => Verdict::Good(Default::default()),
                    false => checks::broken(&"late"),
                };
                self.probes.follows.verdict(check, probe, is_good);
                let is_mutant = self.mutant == Some(Mutant::StaleCounts);
                let given = self.probes.open.get(&check).copied().filter(|_| is_mutant).unwrap_or(probe);
                self.probes.checks.handle_verdict(check, given, verdict, self.now);
                self.follow_checks()?;
            }
            Arrival::Dns(exchange, event, is_negative) => self.hear_answer(exchange, &event, is_negative)?,
            Arrival::PoolChanged => {
                self.probes.is_told = false;
                self.pool_changed()?;
            }
        }
        Ok(())
    }

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

    pub(super) fn later(&mut self, after: Duration, arrival: Arrival) {
        self.sequence += 1;
        self.coming.insert((self.now.saturating_add(after), self.sequence), arrival);
    }

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
        self.sources.heal();
        for server in self.probes.servers.values_mut() {
            server.mode = Mode::Fine;
        }
        for (&id, admin) in &mut self.admins {
            *admin = Admin::Ready;
            self.pool.set_admin(id, Admin::Ready).map_err(|error| error.to_string())?;
        }
        self.tell();
        while !self.traffic.live.is_empty() {
            self.finish_one()?;
        }
        // A lookup and its back-off, the longest life of what it found, another lookup, the hold.
        let named = self.now.saturating_add(ms(8_000 + 3_000 + 11_000 + 8_000 + 5_000));
        self.go_on(named)?;
        self.sources.check_truth()?;
        // Who came last is up soon, and nobody is ejected any more.
        let options = &self.probes.follows.options;
        let longest = [Some(options.interval), options.interval_transition, options.interval_down];
        let longest = longest.into_iter().flatten().max().expect("one is there").mul_f64(1.5);
        let waits = if self.probes.follows.probes_max < 100 { 20 } else { 1 };
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
