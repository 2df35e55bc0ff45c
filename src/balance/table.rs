//! The member table: one immutable view of a pool, built whole and swapped whole.
//!
//! Pickers read a [`Tier`]; writers copy the list of members, change the copy
//! ([`Edit`]) and publish a new table. Nothing in a table changes after it is published, apart from the
//! weights that fastest, observed and predictive measure, which are atomics of their plan.

use std::collections::HashSet;
use std::sync::Arc;

use crate::balance::backend::{self, Admin, Backend, BackendId, Observed};
use crate::balance::chunks::SLOTS_MAX;
use crate::balance::member::Member;
use crate::balance::observation::Observation;
use crate::balance::options::{BACKENDS_MAX, Backups, Options, Policy};
use crate::balance::pace::CONNECTION_RATE_MAX;
use crate::balance::panic;
use crate::balance::slow_start::Start;
use crate::balance::spill::{self, Spill};
use crate::balance::statistics::Totals;
use crate::balance::tier::{Health, Tier, WHOLE};
use crate::error::{Error, Result};
use crate::time::Instant;

/// A published view.
#[derive(Debug)]
pub(crate) struct Table {
    /// One more than that of the table before.
    pub(crate) generation: u64,
    /// Every backend, in the order added, which is the order of their ids.
    pub(crate) members: Vec<Arc<Member>>,
    /// The tier that serves, the lowest where several do; an empty one when none does.
    pub(crate) front: Tier,
    /// The other tiers that serve.
    pub(crate) spill: Option<Spill>,
    /// Whether a pick that avoids nobody may take whomever the front's policy chooses.
    pub(crate) is_plain: bool,
    /// Whether some serving backend, or the pool, has a `maxconn` or a rate.
    pub(crate) is_limited: bool,
    /// Whether some backend starts slowly.
    pub(crate) is_starting: bool,
    slots: Slots,
    next_id: u64,
}

/// Which counter slots are in use. A removed backend's slot waits until its last pick is done.
#[derive(Clone, Debug, Default)]
struct Slots {
    used: u32,
    waiting: Vec<u32>,
}

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
}

impl Table {
    pub(crate) fn empty(options: &Options) -> Self {
        Self::build(0, Vec::new(), Slots::default(), 1, options, &[], &|_| 1.0)
    }

    fn build(
        generation: u64,
        members: Vec<Arc<Member>>,
        slots: Slots,
        next_id: u64,
        options: &Options,
        before: &[&Tier],
        measured_share: &dyn Fn(u32) -> f64,
    ) -> Self {
        let (front, spill) = serve(&members, options, before, measured_share);
        let others = spill.as_ref().map_or(&[][..], |spill| &spill.others);
        let is_limited = std::iter::once(&front)
            .chain(others)
            .flat_map(|tier| &tier.serving)
            .any(|serving| serving.maxconn.is_some() || serving.pace.is_some());
        let is_limited = is_limited || options.is_gated();
        let is_plain = !is_limited && spill.is_none();
        let is_starting = members.iter().any(|member| member.start.is_some());
        Self { generation, members, front, spill, is_plain, is_limited, is_starting, slots, next_id }
    }

    /// The tiers that serve, the lowest first; an empty one when none does.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = &Tier> + Clone {
        std::iter::once(&self.front).chain(self.others())
    }

    /// The tiers that serve, first the one that the pick at `fraction` of the load goes to, then the others from
    /// the lowest on, for when it has no room.
    pub(crate) fn tiers_from(&self, fraction: u64) -> impl Iterator<Item = &Tier> + Clone {
        let drawn = self.spill.as_ref().map_or(0, |spill| spill.draw(fraction));
        let rest = self.tiers().enumerate().filter(move |(at, _)| *at != drawn);
        self.tiers().skip(drawn).take(1).chain(rest.map(|(_, tier)| tier))
    }

    fn others(&self) -> &[Tier] {
        self.spill.as_ref().map_or(&[], |spill| &spill.others)
    }

    /// How many backends may be picked.
    pub(crate) fn serving(&self) -> u32 {
        self.tiers().map(|tier| tier.serving.len() as u32).sum()
    }

    /// In which tier `member` may be picked, and where it stands there.
    pub(crate) fn place_of(&self, member: &Member) -> Option<(&Tier, u32)> {
        let tier = self.tiers().find(|tier| tier.number == member.tier)?;
        tier.place_of(member).map(|place| (tier, place))
    }

    /// The member of this id.
    pub(crate) fn member(&self, id: BackendId) -> Result<&Arc<Member>> {
        let index = index_of(&self.members, id)?;
        Ok(&self.members[index])
    }

    /// Begins a change.
    pub(crate) fn edit<'a>(&'a self, options: &'a Options, counters: &'a dyn Counters) -> Edit<'a> {
        Edit {
            before: self,
            members: self.members.clone(),
            slots: self.slots.clone(),
            next_id: self.next_id,
            generation: self.generation + 1,
            additions: 0,
            known: None,
            options,
            counters,
        }
    }
}

/// The tiers that serve: where they spill over those that have a part of the load, else the lowest with a usable
/// backend. A pool without any that fails open takes the lowest with a ready one.
fn serve(
    members: &[Arc<Member>],
    options: &Options,
    before: &[&Tier],
    measured_share: &dyn Fn(u32) -> f64,
) -> (Tier, Option<Spill>) {
    let tiers = Health::survey(members);
    let parts = match options.backups {
        _ if tiers.iter().all(|tier| tier.usable == 0) => {
            vec![WHOLE; usize::from(panic::fails_open(options))]
        }
        Backups::Spill => spill::parts(&tiers),
        Backups::One | Backups::All => {
            tiers.iter().map(|tier| if tier.usable > 0 { WHOLE } else { 0 }).collect()
        }
    };
    let serving = tiers.iter().zip(parts).filter(|(_, part)| *part > 0);
    let count = if options.backups == Backups::Spill { usize::MAX } else { 1 };
    let build = |(tier, part): (&Health, u32)| {
        let takes_one = tier.number > 0 && options.backups == Backups::One;
        // Where one is enough to serve, one that is usable is enough not to panic.
        let is_panicking = panic::is_panicking(tier, &tiers, options) && !(takes_one && tier.usable > 0);
        let mut chosen: Vec<&Member> = members
            .iter()
            .map(|member| &**member)
            .filter(|member| member.tier == tier.number && member.serves(is_panicking))
            .collect();
        if takes_one {
            chosen.truncate(1);
        }
        Tier::build(tier.number, part, is_panicking, &chosen, options, before, measured_share)
    };
    let mut built = serving.take(count).map(build);
    let front = built.next().unwrap_or_else(|| Tier::nobody(0));
    let spill = Spill::new(&front, built.collect());
    (front, spill)
}

fn index_of(members: &[Arc<Member>], id: BackendId) -> Result<usize> {
    members
        .binary_search_by_key(&id, |m| m.id)
        .map_err(|_| Error::NotFound { what: "backend", value: id.to_string() })
}

/// A change to a pool in the making. Nothing of it is seen until all of it is.
pub struct Edit<'a> {
    before: &'a Table,
    members: Vec<Arc<Member>>,
    slots: Slots,
    next_id: u64,
    generation: u64,
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
        if self.members.len() >= BACKENDS_MAX {
            return Err(Error::Capacity { what: "backends", limit: BACKENDS_MAX as u64 });
        }
        let address_text: Arc<str> = backend.address.to_string().into();
        let name: Arc<str> = match &backend.name {
            Some(name) => name.as_str().into(),
            None => Arc::clone(&address_text),
        };
        self.check_unique(&name, &address_text)?;
        let slot = self.take_slot()?;
        let id = BackendId::from_u64(self.next_id);
        self.next_id += 1;
        let is_usable = backend::is_usable(backend.admin, backend.observed);
        let start = (is_usable && self.counters.has_begun()).then(|| Start::begin(self.options, None));
        self.members.push(Arc::new(Member {
            id,
            slot,
            name,
            address: backend.address,
            address_text,
            weight: backend.weight,
            first_weight: backend.weight,
            maxconn: backend.maxconn,
            is_limited: backend.maxconn > 0 || self.options.maxconn > 0,
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
        let index = index_of(&self.members, id)?;
        let member = self.members.remove(index);
        self.slots.waiting.push(member.slot);
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
            index_of(&self.members, id)?;
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

    /// Changes the most picks a second, 0 for no limit, and how many may come at once, 0 for one second's.
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
    /// [`REASON_MAX`](crate::balance::observation::REASON_MAX) bytes is kept; an empty one is none.
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
        for member in self.members.iter_mut() {
            if let Some(start) = member.start {
                Arc::make_mut(member).start = start.at(self.options, now);
            }
        }
    }

    pub(crate) fn finish(self) -> Table {
        let share = |slot| self.counters.measured_share(slot);
        let before: Vec<&Tier> = self.before.tiers().collect();
        Table::build(self.generation, self.members, self.slots, self.next_id, self.options, &before, &share)
    }

    fn change(&mut self, id: BackendId, change: impl FnOnce(&mut Member)) -> Result<()> {
        let index = index_of(&self.members, id)?;
        change(Arc::make_mut(&mut self.members[index]));
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
                self.members.iter().any(|m| m.address_text == *address),
                self.members.iter().any(|m| m.name == *name),
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
                names: self.members.iter().map(|m| Arc::clone(&m.name)).collect(),
                addresses: self.members.iter().map(|m| Arc::clone(&m.address_text)).collect(),
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
        let looked_at = self.slots.waiting.len().min(SLOTS_LOOKED_AT);
        let free = (0..looked_at).find(|&at| self.counters.in_flight(self.slots.waiting[at]) == 0);
        if let Some(at) = free {
            return Ok(self.slots.waiting.remove(at));
        }
        if self.slots.used as usize == SLOTS_MAX {
            let rest = looked_at..self.slots.waiting.len();
            let free = rest.into_iter().find(|&at| self.counters.in_flight(self.slots.waiting[at]) == 0);
            return match free {
                Some(at) => Ok(self.slots.waiting.remove(at)),
                None => Err(Error::Capacity {
                    what: "removed backends with picks not done",
                    limit: SLOTS_MAX as u64,
                }),
            };
        }
        self.slots.used += 1;
        self.counters.grow(self.slots.used);
        Ok(self.slots.used - 1)
    }
}

fn check_rate(rate: u32, burst: u32) -> Result<()> {
    for (what, value) in [("connection_rate", rate), ("connection_burst", burst)] {
        if value > CONNECTION_RATE_MAX {
            return Err(Error::invalid(what, format!("{value} is outside 0 to {CONNECTION_RATE_MAX}")));
        }
    }
    Ok(())
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
