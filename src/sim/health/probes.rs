//! [`Probes`]: the checks of the world's pool, the connections of their probes, and the servers they ask.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::{Address, Admin, Observed, Pool};
use crate::checks::{self, Action, Checks};
use crate::health::options::{Initial, Options};
use crate::health::probe::{http, redis};
use crate::health::{CheckId, Entropy, Kind, ProbeId, Verdict};
use crate::rng::Rng;
use crate::sim::health::Mutant;
use crate::sim::health::model::Follows;
use crate::sim::health::servers::{Event, Mode};
use crate::sim::health::world::{Arrival, World, inet, ms};
use crate::time::Instant;

pub(super) struct Probes {
    pub(super) checks: Checks,
    pub(super) follows: Follows,
    pub(super) servers: BTreeMap<SocketAddr, Server>,
    /// Connections of probes that are open.
    pub(super) open: BTreeMap<CheckId, ProbeId>,
    /// Those who look after the checks will hear that the pool has changed.
    pub(super) is_told: bool,
}

/// One server of the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) mode: Mode,
    /// Since when probes of it are bad; meaningless while they are good.
    pub(super) since: Instant,
}

/// Options of a world's checks.
pub(super) fn options(rng: &mut Rng) -> Options {
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

impl Probes {
    /// Checks by `is`, of which `told` is said, of whom `most` may be under way and `probes_max` are said to.
    pub(super) fn new(
        pool: &Arc<Pool>,
        told: Options,
        is: Options,
        probes_max: u32,
        most: u32,
        rng: &mut Rng,
    ) -> Self {
        let settings = Arc::new(is.parse().expect("these options are in range"));
        let pools = vec![(Arc::clone(pool), Some(settings))];
        let checks = Checks::new(pools, most, rng.next_u64(), Entropy::seeded(rng)).expect("in range");
        let follows = Follows {
            options: told,
            probes_max: probes_max as usize,
            all: BTreeMap::new(),
            stale: 0,
            ups: 0,
            downs: 0,
        };
        Self { checks, follows, servers: BTreeMap::new(), open: BTreeMap::new(), is_told: false }
    }
}

impl World {
    /// Something happens on the connection of a probe.
    pub(super) fn hear(&mut self, check: CheckId, probe: ProbeId, event: Event) -> Result<(), String> {
        let mut out = Vec::new();
        if matches!(event, Event::Connected) {
            self.probes.checks.handle_connected(check, probe);
        }
        let dialogue = self.probes.checks.dialogue(check).ok_or("a check without a dialogue")?;
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
    pub(super) fn conclude(
        &mut self,
        check: CheckId,
        probe: ProbeId,
        verdict: Verdict,
    ) -> Result<(), String> {
        let is_good = matches!(verdict, Verdict::Good(_));
        if let Some(known) = self.probes.follows.all.get(&check).and_then(|follow| follow.probe)
            && self.now < known.deadline
            && is_good != known.fault.is_none()
        {
            return Err(format!("a probe that should come to {:?} came to {verdict:?}", known.fault));
        }
        self.probes.open.remove(&check);
        self.probes.follows.verdict(check, probe, is_good);
        self.probes.checks.handle_verdict(check, probe, verdict, self.now);
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

    /// Does what the checks say.
    pub(super) fn follow_checks(&mut self) -> Result<(), String> {
        while let Some(action) = self.probes.checks.poll_action(self.now) {
            match action {
                Action::Start { check, probe, target } => {
                    let mode =
                        self.probes.servers.get(&inet(&target)).map_or(Mode::Fine, |server| server.mode);
                    let kind = self.probes.follows.options.kind.clone();
                    self.probes.follows.start(check, probe, mode.fault(&kind), self.now)?;
                    self.summary.probes += 1;
                    if self.rng.below(100) == 0 {
                        // No descriptor left.
                        self.probes.follows.abandon(check, self.now);
                        self.probes.checks.handle_abandoned(check, probe, self.now);
                        continue;
                    }
                    self.probes.open.insert(check, probe);
                    for (after, event) in mode.play(&kind, self.probes.follows.options.timeout, &mut self.rng)
                    {
                        self.later(after, Arrival::Probe(check, probe, event));
                    }
                }
                Action::Close { check, probe } => {
                    if self.probes.open.remove(&check) != Some(probe) {
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
    pub(super) fn pool_changed(&mut self) -> Result<(), String> {
        self.probes.checks.handle_pool_changed(0, self.now);
        let members = self.pool.members();
        self.probes.follows.all.retain(|_, follow| members.iter().any(|member| member.id == follow.backend));
        for member in &members {
            let check = self.probes.checks.check_of(0, member.id).ok_or("a member is not checked")?;
            if !self.probes.follows.all.contains_key(&check) {
                self.probes.follows.add(check, member.id, self.now);
            }
            self.probes.follows.pause(check, member.admin == Admin::Maintenance, self.now);
        }
        self.follow_checks()
    }

    /// The pool has changed, which is heard of a little later.
    pub(super) fn tell(&mut self) {
        if !std::mem::replace(&mut self.probes.is_told, true) {
            let after = ms(self.rng.below(30));
            self.later(after, Arrival::PoolChanged);
        }
    }

    pub(super) fn change_server(&mut self) {
        let at = self.rng.below(self.ids.len() as u64) as usize;
        let Some(&address) = self.ids.keys().nth(at) else { return };
        let mode = match self.rng.below(2) {
            0 => Mode::Fine,
            _ => Mode::ALL[self.rng.below(Mode::ALL.len() as u64) as usize],
        };
        let kind = &self.probes.follows.options.kind;
        let was_bad =
            self.probes.servers.get(&address).is_some_and(|server| server.mode.fault(kind).is_some());
        let since = if was_bad { self.probes.servers[&address].since } else { self.now };
        self.probes.servers.insert(address, Server { mode, since });
    }
}
