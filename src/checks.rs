//! [`Checks`]: the active checks of pools. It says which backend of which pool is asked when and where, holds the
//! dialogue with it, and tells the pool what the verdicts mean. Whoever drives it has the sockets: the event loop of a
//! server, a loop of the host's own, a simulator.
//!
//! - **Who is checked.** Everybody in a pool that has settings, from [`Checks::handle_pool_changed`] on, until gone.
//!   Who is in maintenance is left alone; only an agent is still heard, for it must be able to end what it ordered.
//! - **What the pool is told.** How the check begins, when that is up or down; each change of state, with the reason;
//!   what an agent ordered. A backend that was removed meanwhile is told nothing of.
//! - **A verdict counts for its own probe only.** A check that was removed, paused or timed out knows its old probe no
//!   more, and a backend that is added again has another check: see [`health::check`](crate::health).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::balance::options::WEIGHT_MAX;
use crate::balance::{Address, Admin, BackendId, MAXCONN_MAX, Observed, Pool};
use crate::error::Result;
use crate::health::facts::{Ordered, Orders};
use crate::health::options::{Initial, Settings, Target};
use crate::health::schedule::Statistics;
use crate::health::{
    self, Cause, Change, Check, CheckId, Dialogue, Entropy, Kind, ProbeId, Reason, Schedule, State, Verdict,
    reason,
};
use crate::rng::Rng;
use crate::time::Instant;

/// The checks of some pools, which are named by their place in the list.
pub struct Checks {
    schedule: Schedule,
    rng: Rng,
    entropy: Entropy,
    pools: Vec<Checked>,
    subjects: BTreeMap<CheckId, Subject>,
    actions: VecDeque<Action>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Connect to `target`; then [`Checks::handle_connected`], run the [`Checks::dialogue`], and report what came of
    /// it by [`Checks::handle_verdict`].
    Start {
        /// Whose.
        check: CheckId,
        /// Its number.
        probe: ProbeId,
        /// Where to.
        target: Address,
    },
    /// Close the connection of this probe; nothing on it would count any more.
    Close {
        /// Whose. It may be gone.
        check: CheckId,
        /// Its number.
        probe: ProbeId,
    },
    /// More, or something else, is known of a backend: [`Checks::check`].
    Known {
        /// Its check.
        check: CheckId,
        /// Its pool.
        pool: usize,
        /// The backend.
        backend: BackendId,
    },
    /// A backend is checked no more.
    Forget {
        /// Its pool.
        pool: usize,
        /// The backend.
        backend: BackendId,
    },
}

/// One pool, and how its backends are checked; `None` for not at all.
struct Checked {
    pool: Arc<Pool>,
    settings: Option<Arc<Settings>>,
    checks: BTreeMap<BackendId, CheckId>,
}

/// One backend under check.
struct Subject {
    pool: usize,
    backend: BackendId,
    address: Address,
    dialogue: Dialogue,
    is_paused: bool,
    /// What the agent's percentages are of.
    weight: u32,
    /// The agent had it drained.
    is_drained: bool,
}

impl Checks {
    /// The checks of these pools, `probes_max` at once at most. Nobody is checked before the first
    /// [`Checks::handle_pool_changed`]. `seed` spreads them; `entropy` goes into what logins must not repeat.
    pub fn new(
        pools: Vec<(Arc<Pool>, Option<Arc<Settings>>)>,
        probes_max: u32,
        seed: u64,
        entropy: Entropy,
    ) -> Result<Self> {
        let mut rng = Rng::new(seed);
        let checked = |(pool, settings)| Checked { pool, settings, checks: BTreeMap::new() };
        Ok(Self {
            schedule: Schedule::new(probes_max, &mut rng)?,
            rng,
            entropy,
            pools: pools.into_iter().map(checked).collect(),
            subjects: BTreeMap::new(),
            actions: VecDeque::new(),
        })
    }

    /// A pool has changed: who came is checked from now on, who went no longer, and who is in maintenance is left
    /// alone.
    pub fn handle_pool_changed(&mut self, pool: usize, now: Instant) {
        let checked = &mut self.pools[pool];
        let Some(settings) = checked.settings.clone() else { return };
        let members = checked.pool.members();
        let present: BTreeSet<BackendId> = members.iter().map(|member| member.id).collect();
        let gone: Vec<(BackendId, CheckId)> = (checked.checks.iter())
            .filter(|(id, _)| !present.contains(id))
            .map(|(&id, &check)| (id, check))
            .collect();
        for (backend, check) in gone {
            checked.checks.remove(&backend);
            self.subjects.remove(&check);
            if let Some(probe) = self.schedule.remove(check) {
                self.actions.push_back(Action::Close { check, probe });
            }
            self.actions.push_back(Action::Forget { pool, backend });
        }
        for member in members {
            // An agent must be heard to end what it ordered itself.
            let is_paused =
                member.admin == Admin::Maintenance && !matches!(settings.options().kind, Kind::Agent(_));
            let check = match checked.checks.get(&member.id) {
                Some(&check) => check,
                None => {
                    let check = self.schedule.add(Arc::clone(&settings), now);
                    checked.checks.insert(member.id, check);
                    match settings.options().initial {
                        Initial::Unknown => {}
                        Initial::Up => {
                            note(&checked.pool, member.id, Observed::Up, "up until proven down", now);
                        }
                        Initial::Down => {
                            note(&checked.pool, member.id, Observed::Down, "down until proven up", now);
                        }
                    }
                    let authority = member.address.to_string();
                    let entropy = self.entropy.varied(member.id.as_u64() << 16 | pool as u64);
                    let subject = Subject {
                        pool,
                        backend: member.id,
                        dialogue: settings.options().kind.dialogue(&authority, entropy),
                        address: member.address,
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
                    self.schedule.handle_resume(check, now, &mut self.rng);
                }
            }
        }
    }

    /// Traffic could not reach this backend: its next probe is not to wait for its beat.
    pub fn handle_suspicion(&mut self, pool: usize, backend: BackendId, now: Instant) {
        if let Some(&check) = self.pools[pool].checks.get(&backend) {
            self.schedule.handle_suspicion(check, now);
        }
    }

    /// As [`Check::handle_connected`].
    pub fn handle_connected(&mut self, check: CheckId, probe: ProbeId) {
        self.schedule.handle_connected(check, probe);
    }

    /// As [`Check::handle_verdict`].
    pub fn handle_verdict(&mut self, check: CheckId, probe: ProbeId, verdict: Verdict, now: Instant) {
        self.schedule.handle_verdict(check, probe, verdict, now);
        self.actions.extend(self.known(check));
    }

    /// As [`Check::handle_abandoned`].
    pub fn handle_abandoned(&mut self, check: CheckId, probe: ProbeId, now: Instant) {
        self.schedule.handle_abandoned(check, probe, now);
    }

    /// As [`Schedule::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.schedule.handle_timeout(now, &mut self.rng);
    }

    /// The oldest action not yet taken, or `None` when the driver may wait. What changed is told to the pool on the
    /// way, as of `now`.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            let next = self.schedule.poll_action()?;
            let check = next.check;
            match next.action {
                health::Action::Start(probe) => {
                    if let Some(target) = self.target(check) {
                        return Some(Action::Start { check, probe, target });
                    }
                }
                health::Action::Cancel(probe) => {
                    self.actions.extend(self.known(check));
                    return Some(Action::Close { check, probe });
                }
                health::Action::Change(change) => {
                    self.tell(check, &change, now);
                    self.actions.extend(self.known(check));
                }
                health::Action::Facts => {
                    self.obey(check);
                    self.actions.extend(self.known(check));
                }
            }
        }
    }

    /// As [`Schedule::next_deadline`].
    pub fn next_deadline(&self) -> Option<Instant> {
        self.schedule.next_deadline()
    }

    /// The dialogue of a check; `None` when it is gone. One at a time: it belongs to the probe under way.
    pub fn dialogue(&mut self, check: CheckId) -> Option<&mut Dialogue> {
        self.subjects.get_mut(&check).map(|subject| &mut subject.dialogue)
    }

    /// A check, to be looked at.
    pub fn check(&self, check: CheckId) -> Option<&Check> {
        self.schedule.check(check)
    }

    /// The check of a backend.
    pub fn check_of(&self, pool: usize, backend: BackendId) -> Option<CheckId> {
        self.pools[pool].checks.get(&backend).copied()
    }

    /// How the schedule does at `now`. O(checks that wait).
    pub fn statistics(&self, now: Instant) -> Statistics {
        self.schedule.statistics(now)
    }

    fn known(&self, check: CheckId) -> Option<Action> {
        let Subject { pool, backend, .. } = *self.subjects.get(&check)?;
        Some(Action::Known { check, pool, backend })
    }

    /// Where the probes of a check go.
    fn target(&self, check: CheckId) -> Option<Address> {
        let subject = self.subjects.get(&check)?;
        let settings = self.pools[subject.pool].settings.as_ref()?;
        Some(target(&settings.options().target, &subject.address))
    }

    fn tell(&mut self, check: CheckId, change: &Change, now: Instant) {
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
        note(&self.pools[subject.pool].pool, subject.backend, observed, &why, now);
    }

    /// A good probe learnt something new, perhaps an order.
    fn obey(&mut self, check: CheckId) {
        let orders = self.schedule.check(check).and_then(|check| check.facts().orders.clone());
        if let Some(orders) = orders
            && let Some(subject) = self.subjects.get_mut(&check)
        {
            subject.obey(&orders, &self.pools[subject.pool].pool);
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

/// The verdict on a backend that no connection could be made to; `why` in the system's words.
pub fn unreachable(target: &Address, why: &dyn fmt::Display) -> Verdict {
    Verdict::Bad(Reason::new(reason::Source::Connection, format!("cannot connect to {target}: {why}")))
}

/// The verdict on a backend whose connection failed in the middle; `why` in the system's words.
pub fn broken(why: &dyn fmt::Display) -> Verdict {
    Verdict::Bad(Reason::new(reason::Source::Connection, format!("the connection broke: {why}")))
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
