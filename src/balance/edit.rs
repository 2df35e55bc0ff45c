//! [`Edit`]: the next member table in the making.

use std::collections::HashSet;
use std::sync::Arc;

use crate::balance::backend::{self, Admin, Backend, BackendId, Observed};
use crate::balance::chunks::SLOTS_MAX;
use crate::balance::member::Member;
use crate::balance::observation::Observation;
use crate::balance::options::{BACKENDS_MAX, Options, Policy};
use crate::balance::outlier::{Counted, Decision, Streaks};
use crate::balance::pace::CONNECTION_RATE_MAX;
use crate::balance::slow_start::Start;
use crate::balance::statistics::Totals;
use crate::balance::table::{Roster, Table, index_of};
use crate::balance::tier::Tier;
use crate::error::{Error, Result, within};
use crate::time::Instant;

/// How an [`Edit`] asks the pool about counters.
pub(crate) trait Counters {
    /// Picks in flight on `slot`, over all lanes, now.
    fn in_flight(&self, slot: u32) -> u64;
    /// Makes the slots below `slots` exist.
    fn grow(&self, slots: u32);
    /// Clears what the slot's last owner measured, and reads its totals.
    fn restart(&self, slot: u32) -> Totals;
    /// The weight measured for `slot` by fastest, observed or predictive, relative to its own.
    fn measured_share(&self, slot: u32) -> f64;
    /// Whether the pool is in use: something was picked of it, or would have been.
    fn has_begun(&self) -> bool;
    /// Outcomes of `slot`, ever.
    fn counted(&self, slot: u32) -> Counted;
}

/// A change to a pool in the making. Nothing of it is seen until all of it is.
pub struct Edit<'a> {
    before: &'a Table,
    roster: Roster,
    additions: usize,
    known: Option<Known>,
    options: &'a Options,
    counters: &'a dyn Counters,
}

/// Names and addresses in use.
struct Known {
    names: HashSet<Arc<str>>,
    addresses: HashSet<Arc<str>>,
}

impl<'a> Edit<'a> {
    /// A change of `before`, on a copy of its roster.
    pub(crate) fn new(
        before: &'a Table,
        roster: Roster,
        options: &'a Options,
        counters: &'a dyn Counters,
    ) -> Self {
        Self { before, roster, additions: 0, known: None, options, counters }
    }
}

impl Edit<'_> {
    /// Adds a backend and gives its id.
    ///
    /// Errors: `InvalidArgument` for a weight, name, `maxconn` or rate out of range, `Exists` when its name or
    /// address is in the pool, `Capacity` at [`BACKENDS_MAX`].
    pub fn add(&mut self, backend: Backend) -> Result<BackendId> {
        backend::check_weight(backend.weight)?;
        check_maxconn(backend.maxconn)?;
        check_rate(backend.connection_rate, backend.connection_burst)?;
        if let Some(name) = &backend.name {
            backend::check_name(name)?;
        }
        if self.roster.members.len() >= BACKENDS_MAX {
            return Err(Error::Capacity { what: "backends", limit: BACKENDS_MAX as u64 });
        }
        let address_text: Arc<str> = backend.address.to_string().into();
        let name: Arc<str> = match &backend.name {
            Some(name) => name.as_str().into(),
            None => Arc::clone(&address_text),
        };
        self.check_unique(&name, &address_text)?;
        let slot = self.take_slot()?;
        let id = BackendId::from_u64(self.roster.next_id);
        self.roster.next_id += 1;
        let is_usable = backend::is_usable(backend.admin, backend.observed);
        let start = (is_usable && self.counters.has_begun()).then(|| Start::begin(self.options, None));
        self.roster.members.push(Arc::new(Member {
            id,
            slot,
            name,
            address: backend.address,
            address_text,
            weight: backend.weight,
            first_weight: backend.weight,
            maxconn: backend.maxconn,
            is_limited: backend.maxconn > 0 || self.options.counts_all(),
            connection_rate: backend.connection_rate,
            connection_burst: backend.connection_burst,
            tier: backend.tier,
            tag: backend.tag,
            admin: backend.admin,
            observation: Observation::new(backend.observed),
            start: start.flatten(),
            base: self.counters.restart(slot),
        }));
        Ok(id)
    }

    /// Takes a backend out. Its picks in flight may still be reported done.
    pub fn remove(&mut self, id: BackendId) -> Result<()> {
        let index = index_of(&self.roster.members, id)?;
        let member = self.roster.members.remove(index);
        self.roster.slots.waiting.push(member.slot);
        if let Some(known) = &mut self.known {
            known.names.remove(&member.name);
            known.addresses.remove(&member.address_text);
        }
        Ok(())
    }

    /// Changes a weight: 1 to 65,535. Under the policy static it is refused.
    pub fn set_weight(&mut self, id: BackendId, weight: u32) -> Result<()> {
        backend::check_weight(weight)?;
        if self.options.policy == Policy::Static {
            index_of(&self.roster.members, id)?;
            return Err(Error::invalid(
                "weight",
                "the policy static keeps the weights backends were added with; round-robin takes changes",
            ));
        }
        self.change(id, |member| member.weight = weight)
    }

    /// Changes the most picks in flight; 0 lifts the limit. Picks beyond a lowered limit go on.
    pub fn set_maxconn(&mut self, id: BackendId, maxconn: u32) -> Result<()> {
        check_maxconn(maxconn)?;
        self.change(id, |member| {
            member.maxconn = maxconn;
            member.is_limited |= maxconn > 0;
        })
    }

    /// Changes the most picks a second, 0 for no limit, and how many may come at once, 0 for one second's. Another rate
    /// than before begins with all that may come at once.
    pub fn set_connection_rate(&mut self, id: BackendId, rate: u32, burst: u32) -> Result<()> {
        check_rate(rate, burst)?;
        self.change(id, |member| {
            member.connection_rate = rate;
            member.connection_burst = burst;
        })
    }

    /// Changes the tier.
    pub fn set_tier(&mut self, id: BackendId, tier: u8) -> Result<()> {
        self.change(id, |member| member.tier = tier)
    }

    /// Carries out an operator's order.
    pub fn set_admin(&mut self, id: BackendId, admin: Admin) -> Result<()> {
        self.change_state(id, None, |member| member.admin = admin)
    }

    /// Takes note of what was observed, at a time nobody says and for no reason given.
    pub fn set_observed(&mut self, id: BackendId, observed: Observed) -> Result<()> {
        self.change_state(id, None, |member| member.observation.set(observed, None, None))
    }

    /// Takes note of what was observed, and when.
    pub fn set_observed_at(&mut self, id: BackendId, observed: Observed, now: Instant) -> Result<()> {
        self.change_state(id, Some(now), |member| member.observation.set(observed, None, Some(now)))
    }

    /// Takes note of what was observed, when and why. Of `reason` one line of
    /// [`REASON_MAX`](crate::health::reason::REASON_MAX) bytes is kept; an empty one is none.
    pub fn set_observed_with(
        &mut self,
        id: BackendId,
        observed: Observed,
        reason: &str,
        now: Instant,
    ) -> Result<()> {
        self.change_state(id, Some(now), |member| member.observation.set(observed, Some(reason), Some(now)))
    }

    /// Changes the owner's own number.
    pub fn set_tag(&mut self, id: BackendId, tag: u64) -> Result<()> {
        self.change(id, |member| member.tag = tag)
    }

    /// Gives those that start slowly the weights of `now`.
    pub(crate) fn step(&mut self, now: Instant) {
        for member in self.roster.members.iter_mut() {
            if let Some(start) = member.start {
                Arc::make_mut(member).start = start.at(self.options, now);
            }
        }
    }

    /// Has the judge look at what was counted, and does as it says.
    pub(crate) fn judge(&mut self, streaks: &Streaks, now: Instant) {
        let Some(judge) = &mut self.roster.judge else { return };
        let judge = Arc::make_mut(judge);
        judge.feed(streaks, |slot| self.counters.counted(slot), now);
        self.carry_out(Some(now));
    }

    /// Does what the judge decided.
    fn carry_out(&mut self, now: Option<Instant>) {
        let Some(judge) = &mut self.roster.judge else { return };
        for (id, decision) in Arc::make_mut(judge).decide() {
            let change = |member: &mut Member| match (&decision, now) {
                (Decision::SetAside(reason), Some(now)) => member.observation.set_aside(reason, now),
                (_, now) => member.observation.take_back(now),
            };
            let done = self.change_state(id, now, change);
            debug_assert_eq!(done, Ok(()), "the judge looks after the list");
        }
    }

    /// Has the judge follow changes of the list. Whoever was taken out of service comes back as what it was before it
    /// was ejected; and with fewer to look after, fewer may be ejected.
    fn follow(&mut self) {
        let Some(judge) = &self.roster.judge else { return };
        let is_out = |member: &Arc<Member>| member.admin != Admin::Ready && member.observation.is_set_aside();
        for member in self.roster.members.iter_mut().filter(|member| is_out(member)) {
            Arc::make_mut(member).observation.take_back(None);
        }
        if judge.agrees(&self.roster.members) {
            return;
        }
        let judge = Arc::make_mut(self.roster.judge.as_mut().expect("it was there a moment ago"));
        judge.follow(&self.roster.members, |slot| self.counters.counted(slot));
        self.carry_out(None);
    }

    pub(crate) fn finish(mut self) -> Table {
        self.follow();
        let share = |slot| self.counters.measured_share(slot);
        let before: Vec<&Tier> = self.before.tiers().collect();
        Table::build(self.before.generation + 1, self.roster, self.options, &before, &share)
    }

    fn change(&mut self, id: BackendId, change: impl FnOnce(&mut Member)) -> Result<()> {
        let index = index_of(&self.roster.members, id)?;
        change(Arc::make_mut(&mut self.roster.members[index]));
        Ok(())
    }

    /// Makes a change by which the backend may come into service or go out of it.
    fn change_state(
        &mut self,
        id: BackendId,
        now: Option<Instant>,
        change: impl FnOnce(&mut Member),
    ) -> Result<()> {
        let (options, has_begun) = (self.options, self.counters.has_begun());
        self.change(id, |member| {
            let was_usable = member.is_usable();
            change(member);
            if !member.is_usable() {
                member.start = None;
            } else if !was_usable && has_begun {
                member.start = Start::begin(options, now);
            }
        })
    }

    fn check_unique(&mut self, name: &Arc<str>, address: &Arc<str>) -> Result<()> {
        let (same_address, same_name) = match &self.known {
            Some(known) => (known.addresses.contains(address), known.names.contains(name)),
            None => (
                self.roster.members.iter().any(|m| m.address_text == *address),
                self.roster.members.iter().any(|m| m.name == *name),
            ),
        };
        if same_address {
            return Err(Error::Exists { what: "address", value: address.to_string() });
        }
        if same_name {
            return Err(Error::Exists { what: "name", value: name.to_string() });
        }
        // One addition looks through the list; from the second one of an edit an index is worth while.
        if self.additions == 1 {
            self.known = Some(Known {
                names: self.roster.members.iter().map(|m| Arc::clone(&m.name)).collect(),
                addresses: self.roster.members.iter().map(|m| Arc::clone(&m.address_text)).collect(),
            });
        }
        if let Some(known) = &mut self.known {
            known.names.insert(Arc::clone(name));
            known.addresses.insert(Arc::clone(address));
        }
        self.additions += 1;
        Ok(())
    }

    /// A slot nobody counts on any more, or a new one.
    fn take_slot(&mut self) -> Result<u32> {
        // The newest first would be found used soonest; the oldest has had the longest to finish.
        let looked_at = self.roster.slots.waiting.len().min(SLOTS_LOOKED_AT);
        let free = (0..looked_at).find(|&at| self.counters.in_flight(self.roster.slots.waiting[at]) == 0);
        if let Some(at) = free {
            return Ok(self.roster.slots.waiting.remove(at));
        }
        if self.roster.slots.used as usize == SLOTS_MAX {
            let rest = looked_at..self.roster.slots.waiting.len();
            let free =
                rest.into_iter().find(|&at| self.counters.in_flight(self.roster.slots.waiting[at]) == 0);
            return match free {
                Some(at) => Ok(self.roster.slots.waiting.remove(at)),
                None => Err(Error::Capacity {
                    what: "removed backends with picks not done",
                    limit: SLOTS_MAX as u64,
                }),
            };
        }
        self.roster.slots.used += 1;
        self.counters.grow(self.roster.slots.used);
        Ok(self.roster.slots.used - 1)
    }
}

/// Refuses a rate or a burst out of range.
pub(crate) fn check_rate(rate: u32, burst: u32) -> Result<()> {
    within("connection_rate", rate, 0, CONNECTION_RATE_MAX)?;
    within("connection_burst", burst, 0, CONNECTION_RATE_MAX)
}

fn check_maxconn(maxconn: u32) -> Result<()> {
    if maxconn <= MAXCONN_MAX {
        return Ok(());
    }
    Err(Error::invalid("maxconn", format!("{maxconn} is outside 0 (no limit) to {MAXCONN_MAX}")))
}

/// The largest `maxconn`: as many picks as can ever be in flight.
pub const MAXCONN_MAX: u32 = 1 << 30;
/// How many waiting slots an addition looks at before it takes a new one.
const SLOTS_LOOKED_AT: usize = 32;
