//! [`Pool`]: the backends of one service, and which of them takes the next connection.
//!
//! Any thread may call anything at any time. `pick` and `done` take no lock, allocate nothing and make no
//! system call, except where the pool has chores: with `slow_start`, `outlier` or `adaptive` the first call after
//! something is due does it. That takes O(backends), allocates and may call the observer. A loop that calls
//! `handle_timeout` takes over most of it; not errors in a row, which the `done` that reports the last of them judges.
//! Changes build the next member table and publish it whole; when two threads change a pool at once, one of them
//! builds again. After `fork` parent and child go on with a pool each.

mod chores;
mod limits;
mod telling;

use std::sync::Arc;

#[cfg(not(loom))]
use atomic_refcell::AtomicRefCell;
use crossbeam_utils::CachePadded;

use crate::balance::adaptive::Limiter;
use crate::balance::backend::{Admin, Backend, BackendId, Observed};
use crate::balance::chunks::Chunks;
use crate::balance::edit::{Counters, Edit};
use crate::balance::explain::{Trace, Untraced};
use crate::balance::gate::Gate;
use crate::balance::hashing::key::hash64;
use crate::balance::lane::{self, Lane, View};
use crate::balance::limit::Shared;
use crate::balance::member::{Member, Serving};
use crate::balance::observer::{Observer, Watch};
use crate::balance::options::{KEY_MAX, LANES_MAX, Options, Policy};
use crate::balance::outlier::{Counted, Outliers};
use crate::balance::pick::{Lane as LaneChoice, Outcome, Pick, Request, Timings, Token};
use crate::balance::policy::measured::Measures;
use crate::balance::policy::{Ask, peak_ewma};
use crate::balance::retry::Retries;
use crate::balance::slow_start::{self, Steps};
use crate::balance::spill;
use crate::balance::statistics::Totals;
use crate::balance::table::Table;
use crate::balance::tickets::{Held, Ticket};
use crate::balance::tier::Tier;
use crate::error::{Error, Result};
use crate::rng;
use crate::sync::{self, AtomicU64, AtomicUsize, Ordering, Swap};
use crate::time::Instant;

/// What becomes of a request when only backends that it avoids have room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Avoid {
    /// One of them is better than none.
    IfOthersHaveRoom,
    /// None is better than one of them.
    Always,
}

/// A set of backends a policy picks from.
pub struct Pool {
    options: Options,
    /// Whether there is something to do from time to time: one test tells a pick that there is not.
    is_attended: bool,
    /// Whether there is more to it than measuring.
    has_chores: bool,
    /// Whether somebody looks at how picks went, one by one.
    is_noted: bool,
    is_measured: bool,
    starts_slowly: bool,
    /// Whether the pool as a whole has a limit.
    is_gated: bool,
    /// Peak EWMA's time constants per nanosecond, when that is the policy.
    decay_per_nano: Option<f64>,
    /// Whether picks in flight are summed over the pool, for bounded loads.
    is_bounded: bool,
    table: Swap<Table>,
    /// The generation of the newest table whose change has taken effect: a pick from an older one is
    /// undone. Ahead of it, never behind, is `table`.
    generation: CachePadded<AtomicU64>,
    /// First those of one thread each, then those that threads share.
    lanes: Box<[Lane]>,
    lanes_own: usize,
    /// For each lane of one thread's own, the table its last pick read: reading it again takes one
    /// exchange where taking part in the swap takes several. An idle lane keeps its table.
    #[cfg(not(loom))]
    kept: Box<[CachePadded<AtomicRefCell<Arc<Table>>>]>,
    /// How many of the lanes were ever picked on: the first so many.
    lanes_used: CachePadded<AtomicUsize>,
    shared: Chunks<CachePadded<Shared>>,
    measures: Measures,
    steps: Steps,
    outliers: Option<Outliers>,
    limiter: Option<Limiter>,
    watch: Watch,
    gate: Gate,
    retries: Retries,
    /// Mixed into tokens, so that another pool's are refused.
    salt: u32,
}

impl Pool {
    /// Makes an empty pool. `InvalidArgument` names the option that is out of range.
    pub fn new(options: Options) -> Result<Self> {
        options.check()?;
        let own = match options.lanes {
            0 => sync::cores().min(LANES_MAX as usize),
            lanes => lanes as usize,
        };
        let lane = |index| Lane::new(index, index < own, options.seed, options.picks_max);
        let table = Arc::new(Table::empty(&options));
        Ok(Self {
            #[cfg(not(loom))]
            kept: (0..own).map(|_| CachePadded::new(AtomicRefCell::new(Arc::clone(&table)))).collect(),
            table: Swap::new(table),
            is_attended: options.is_measured() || options.has_chores(),
            has_chores: options.has_chores(),
            is_noted: options.outlier.is_some() || options.adaptive.is_some(),
            is_measured: options.is_measured(),
            starts_slowly: slow_start::is_on(&options),
            is_gated: options.is_gated(),
            gate: Gate::new(&options),
            retries: Retries::new(&options),
            decay_per_nano: (options.policy == Policy::PeakEwma).then(|| peak_ewma::per_nano(options.decay)),
            is_bounded: options.bounded_load.is_some(),
            generation: CachePadded::new(AtomicU64::new(0)),
            lanes: (0..own + own.div_ceil(SHARED_PER_OWN)).map(lane).collect(),
            lanes_own: own,
            lanes_used: CachePadded::new(AtomicUsize::new(0)),
            shared: Chunks::new(),
            measures: Measures::new(),
            steps: Steps::new(),
            outliers: Outliers::new(&options),
            limiter: Limiter::new(&options),
            watch: Watch::new(),
            // The top bit keeps a token of zero, as in a struct never filled in, from being good.
            salt: (rng::mix(options.seed) >> 32) as u32 | 1 << 31,
            options,
        })
    }

    /// What the pool was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Changes the pool: `change` works on a copy, and when it returns `Ok` everything it did takes effect
    /// at once. It runs again when another thread's change came first, so it must not rely on running once.
    /// When this returns, no pick that contradicts the change is handed out any more: a removed or drained
    /// backend gets nothing new.
    pub fn update<R>(&self, mut change: impl FnMut(&mut Edit<'_>) -> Result<R>) -> Result<R> {
        loop {
            let before = self.table.load_full();
            let mut edit = before.edit(&self.options, self);
            let result = change(&mut edit)?;
            let after = Arc::new(edit.finish());
            if !self.table.replace(&before, Arc::clone(&after)) {
                continue;
            }
            self.generation.fetch_max(after.generation, Ordering::AcqRel);
            // Pairs with the barrier in `pick`: whoever does not see the new generation there has counted
            // its pick where we look for it now.
            sync::fence(Ordering::SeqCst);
            self.count_in_newly_limited(&before, &after);
            self.forget_other_rates(&before, &after);
            self.watch.changed(&before, &after);
            if let Some(outliers) = &self.outliers {
                let next = after.judge().and_then(|judge| judge.detector().next_deadline());
                outliers.changed(before.members(), after.members(), next);
            }
            return Ok(result);
        }
    }

    /// Adds a backend. See [`Edit::add`] for errors.
    pub fn add(&self, backend: Backend) -> Result<BackendId> {
        self.update(|edit| edit.add(backend.clone()))
    }

    /// Adds all of these or none, in one change, which is far quicker than one by one.
    pub fn add_all(&self, backends: &[Backend]) -> Result<Vec<BackendId>> {
        self.update(|edit| backends.iter().map(|backend| edit.add(backend.clone())).collect())
    }

    /// Takes a backend out. Its picks in flight may still be reported done.
    pub fn remove(&self, id: BackendId) -> Result<()> {
        self.update(|edit| edit.remove(id))
    }

    /// Changes a weight. See [`Edit::set_weight`].
    pub fn set_weight(&self, id: BackendId, weight: u32) -> Result<()> {
        self.update(|edit| edit.set_weight(id, weight))
    }

    /// Changes the most picks in flight. Exact once this has returned.
    pub fn set_maxconn(&self, id: BackendId, maxconn: u32) -> Result<()> {
        self.update(|edit| edit.set_maxconn(id, maxconn))
    }

    /// Changes the most picks a second, and how many may come at once. See [`Edit::set_connection_rate`].
    pub fn set_connection_rate(&self, id: BackendId, rate: u32, burst: u32) -> Result<()> {
        self.update(|edit| edit.set_connection_rate(id, rate, burst))
    }

    /// Changes the tier.
    pub fn set_tier(&self, id: BackendId, tier: u8) -> Result<()> {
        self.update(|edit| edit.set_tier(id, tier))
    }

    /// Carries out an operator's order.
    pub fn set_admin(&self, id: BackendId, admin: Admin) -> Result<()> {
        self.update(|edit| edit.set_admin(id, admin))
    }

    /// Takes note of what was observed. Whoever knows when, says so: [`Pool::set_observed_at`].
    pub fn set_observed(&self, id: BackendId, observed: Observed) -> Result<()> {
        self.update(|edit| edit.set_observed(id, observed))
    }

    /// Takes note of what was observed, and when.
    pub fn set_observed_at(&self, id: BackendId, observed: Observed, now: Instant) -> Result<()> {
        self.update(|edit| edit.set_observed_at(id, observed, now))
    }

    /// Takes note of what was observed, when and why. See [`Edit::set_observed_with`].
    pub fn set_observed_with(
        &self,
        id: BackendId,
        observed: Observed,
        reason: &str,
        now: Instant,
    ) -> Result<()> {
        self.update(|edit| edit.set_observed_with(id, observed, reason, now))
    }

    /// Changes the owner's own number.
    pub fn set_tag(&self, id: BackendId, tag: u64) -> Result<()> {
        self.update(|edit| edit.set_tag(id, tag))
    }

    /// Names who is told what changes and when a place comes free. `false` when somebody is already.
    pub fn observe(&self, observer: Box<dyn Observer>) -> bool {
        self.watch.set(observer)
    }

    /// Says that somebody waits for a place below a `maxconn`: the observer is told when one may have come
    /// free, from now until as many [`Pool::unwant`]. Look for a place once more after this.
    pub fn want(&self) {
        self.watch.want();
    }

    /// One less waits for a place.
    pub fn unwant(&self) {
        self.watch.unwant();
    }

    /// Whether somebody waits for a place.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.watch.is_wanted()
    }

    /// The backend of this name.
    pub fn find(&self, name: &str) -> Result<BackendId> {
        let table = self.table.load();
        let member = table.members().iter().find(|member| &*member.name == name);
        member
            .map(|member| member.id)
            .ok_or_else(|| Error::NotFound { what: "backend", value: format!("{name:?}") })
    }

    /// The ids of all backends, in the order added.
    pub fn ids(&self) -> Vec<BackendId> {
        self.table.load().members().iter().map(|member| member.id).collect()
    }

    /// Picks a backend.
    ///
    /// Errors: `NoBackend` says why there is none, `InvalidArgument` for a key above
    /// [`KEY_MAX`], `Capacity` when `picks_max` of this lane's picks were never reported done.
    #[inline]
    pub fn pick(&self, request: &Request<'_>) -> Result<Pick> {
        self.pick_with(request, Pick::of)
    }

    /// Picks a backend other than those to avoid, or none, where [`Pool::pick`] falls back to one of them.
    ///
    /// Errors: those of `pick`. `Full` and `RateLimited` tell that one that is not to avoid may have room later,
    /// `Avoided` that there is no such one.
    pub fn pick_other(&self, request: &Request<'_>) -> Result<Pick> {
        self.pick_as(request, Avoid::Always, Pick::of)
    }

    /// Picks, and answers with what `answer` makes of the backend where it lies. For who fills a layout of its
    /// own: a `Pick` built only to be taken apart costs half as much as the pick.
    #[inline]
    pub(crate) fn pick_with<R>(
        &self,
        request: &Request<'_>,
        answer: impl FnOnce(&Serving, Token) -> R,
    ) -> Result<R> {
        self.pick_as(request, Avoid::IfOthersHaveRoom, answer)
    }

    #[inline]
    fn pick_as<R>(
        &self,
        request: &Request<'_>,
        avoid: Avoid,
        answer: impl FnOnce(&Serving, Token) -> R,
    ) -> Result<R> {
        if request.key.len() > KEY_MAX {
            return Err(key_too_long(request.key.len()));
        }
        self.attend(request.now);
        let index = self.lane_index(request.lane);
        #[cfg(not(loom))]
        let index = match self.kept.get(index) {
            None => index,
            Some(kept) => {
                if let Ok(mut table) = kept.try_borrow_mut() {
                    loop {
                        if table.generation < self.generation.load(Ordering::Acquire) {
                            *table = self.table.load_full();
                        }
                        if let Some((chosen, token)) = self.try_pick(&table, index, request, avoid)? {
                            return Ok(answer(chosen, token));
                        }
                    }
                }
                // Two threads on one lane, against the promise: the second counts where that is allowed.
                self.lane_index(LaneChoice::Shared)
            }
        };
        loop {
            let table = self.table.load();
            if let Some((chosen, token)) = self.try_pick(&table, index, request, avoid)? {
                return Ok(answer(chosen, token));
            }
        }
    }

    /// One try on one table: which of its serving backends, or `None` when another thread came between.
    #[inline(always)]
    fn try_pick<'t>(
        &self,
        table: &'t Table,
        index: usize,
        request: &Request<'_>,
        avoid: Avoid,
    ) -> Result<Option<(&'t Serving, Token)>> {
        let lane = &self.lanes[index];
        let turn = lane.next_turn();
        let ask = self.ask(table, request, index, turn);
        let Some((tier, chosen)) = self.choose(table, &ask, request.avoid, avoid, &mut Untraced) else {
            lane.count_refused();
            return Err(Error::NoBackend(self.why_nobody(table, request, avoid)));
        };
        let serving = &tier.serving[chosen as usize];
        let slot = tier.hot[chosen as usize].slot;
        let mut held = Held { slot, reserved: false };
        if table.is_limited {
            let Some(reserved) = self.reserve(serving, slot, request.now) else { return Ok(None) };
            held.reserved = reserved;
        }
        let cell = lane.cell(slot);
        lane.count_pick(cell, self.is_bounded);
        let Some(ticket) = lane.tickets.take(turn.position(), held) else {
            lane.uncount_pick(cell, self.is_bounded);
            self.unreserve(serving, held);
            return Err(Error::Capacity { what: "picks_max", limit: u64::from(self.options.picks_max) });
        };
        // Pairs with the fence in `update`: either the change sees this pick counted, or the pick sees the
        // change.
        sync::barrier_after_write();
        if self.generation.load(Ordering::Relaxed) > table.generation {
            self.undo(lane, ticket, serving);
            return Ok(None);
        }
        let token = Token::new(index as u32, ticket.place, ticket.generation ^ self.salt);
        Ok(Some((serving, token)))
    }

    /// Reports how a pick went, which takes it out of flight. Also for backends removed since, and from any
    /// thread: `lane` is the caller's, not the pick's.
    ///
    /// Errors: `StalePick` when the pick was reported before or is none of this pool's; nothing is
    /// counted then.
    #[inline]
    pub fn done(
        &self,
        lane: LaneChoice,
        token: Token,
        outcome: Outcome,
        timings: &Timings,
        now: Instant,
    ) -> Result<()> {
        let picked_on = self.lanes.get(token.lane()).ok_or(Error::StalePick)?;
        let ticket = Ticket { place: token.place(), generation: token.generation() ^ self.salt };
        let held = picked_on.tickets.give_back(ticket).ok_or(Error::StalePick)?;
        let lane = &self.lanes[self.lane_index(lane)];
        let cell = lane.cell(held.slot);
        // The client's leaving tells nothing of the backend's speed.
        if let Some(nanos) = timings.response()
            && outcome != Outcome::Cancelled
        {
            let failed = outcome != Outcome::Success;
            if let Some(per_nano) = self.decay_per_nano {
                peak_ewma::observe(cell, nanos, failed, now, per_nano);
            }
            if !failed {
                lane.count_latency(cell, nanos);
            }
        }
        if outcome != Outcome::Success {
            let kind = outcome as usize - Outcome::ConnectFailed as usize;
            self.shared.at(held.slot).unsuccessful[kind].fetch_add(1, Ordering::Relaxed);
        }
        if self.is_noted {
            self.note(held.slot, outcome, timings, now);
        }
        // Last but for the place: whoever sees this pick out of flight sees all that was counted of it.
        lane.count_done(cell, self.is_bounded);
        if held.reserved {
            self.release(held.slot);
        }
        self.attend(now);
        Ok(())
    }

    #[inline]
    fn lane_index(&self, lane: LaneChoice) -> usize {
        let index = match lane {
            LaneChoice::Own(number) if (number as usize) < self.lanes_own => number as usize,
            LaneChoice::Own(number) => self.lanes_own + number as usize % (self.lanes.len() - self.lanes_own),
            LaneChoice::Shared => self.lanes_own,
        };
        if index >= self.lanes_used.load(Ordering::Acquire) {
            self.lanes_used.fetch_max(index + 1, Ordering::AcqRel);
        }
        index
    }

    #[inline]
    fn ask<'a>(&'a self, table: &'a Table, request: &Request<'a>, lane: usize, turn: lane::Turn) -> Ask<'a> {
        let used = self.lanes_used.load(Ordering::Relaxed).max(lane + 1);
        Ask {
            backends: &table.front.hot,
            total_weight: table.front.total_weight,
            view: View::new(&self.lanes[..used], lane, turn, request.now),
            turn,
            key: request.key,
            now: request.now,
        }
    }

    /// Which backend, as a tier and a place in it.
    #[inline(always)]
    fn choose<'t>(
        &self,
        table: &'t Table,
        ask: &Ask<'_>,
        avoid: &[BackendId],
        how: Avoid,
        trace: &mut impl Trace,
    ) -> Option<(&'t Tier, u32)> {
        if table.is_plain && avoid.is_empty() {
            return table.front.plan.choose(ask, |_| true, trace).map(|chosen| (&table.front, chosen));
        }
        self.choose_among(table, ask, avoid, how, trace)
    }

    #[inline(never)]
    fn choose_among<'t>(
        &self,
        table: &'t Table,
        ask: &Ask<'_>,
        avoid: &[BackendId],
        how: Avoid,
        trace: &mut impl Trace,
    ) -> Option<(&'t Tier, u32)> {
        // Only those to avoid are left: better one of them than none.
        let falls_back = how == Avoid::IfOthersHaveRoom && !avoid.is_empty();
        if self.is_gated && self.gate.closed(ask.now).is_some() {
            return None;
        }
        if table.spill.is_none() {
            let tier = &table.front;
            let chosen = self
                .choose_in(tier, ask, avoid, trace)
                .or_else(|| if falls_back { self.choose_in(tier, ask, &[], trace) } else { None });
            return chosen.map(|chosen| (tier, chosen));
        }
        let tiers = table.tiers_from(self.fraction(ask));
        let mut choose = |avoid: &[BackendId]| {
            tiers.clone().find_map(|tier| {
                trace.tier(tier.number);
                let ask = Ask { backends: &tier.hot, total_weight: tier.weight_of_all(), ..*ask };
                self.choose_in(tier, &ask, avoid, trace).map(|chosen| (tier, chosen))
            })
        };
        choose(avoid).or_else(|| if falls_back { choose(&[]) } else { None })
    }

    /// Which backend of `tier`, with room and not to avoid.
    #[inline]
    fn choose_in(
        &self,
        tier: &Tier,
        ask: &Ask<'_>,
        avoid: &[BackendId],
        trace: &mut impl Trace,
    ) -> Option<u32> {
        let has_room = |index: u32| {
            let (serving, slot) = (&tier.serving[index as usize], tier.hot[index as usize].slot);
            self.has_room(serving, slot, ask.now)
        };
        let is_new = |index: u32| !avoid.contains(&tier.serving[index as usize].id);
        tier.plan.choose(ask, |index| has_room(index) && is_new(index), trace)
    }

    /// Where a pick falls among the tiers that share: by its key where keys have places, else by its turn.
    fn fraction(&self, ask: &Ask<'_>) -> u64 {
        if self.options.is_hashed() {
            hash64(ask.key, self.options.hash_seed ^ rng::GAMMA)
        } else {
            spill::fraction(ask.turn.position())
        }
    }

    /// Takes back a pick that a change of the pool overtook.
    #[cold]
    fn undo(&self, lane: &Lane, ticket: Ticket, serving: &Serving) {
        let held = lane.tickets.give_back(ticket).expect("nobody else has seen this ticket's token");
        lane.uncount_pick(lane.cell(held.slot), self.is_bounded);
        self.unreserve(serving, held);
    }

    /// Counts picks made before their backend had a limit towards the limit it has now.
    fn count_in_newly_limited(&self, before: &Table, after: &Table) {
        for member in after.members().iter().filter(|member| member.is_limited) {
            if before.member(member.id).is_ok_and(|earlier| !earlier.is_limited) {
                let picks = self.lanes.iter().map(|lane| lane.tickets.adopt(member.slot)).sum();
                self.shared.at(member.slot).places.adopt(picks);
            }
        }
    }

    /// Lets a rate that was changed begin with a full bucket: what was used of another one may be hours of it.
    fn forget_other_rates(&self, before: &Table, after: &Table) {
        let rate = |member: &Member| (member.connection_rate, member.connection_burst);
        for member in after.members().iter().filter(|member| member.connection_rate > 0) {
            if before.member(member.id).is_ok_and(|earlier| rate(earlier) != rate(member)) {
                self.shared.at(member.slot).bucket.reset();
            }
        }
    }
}

impl Counters for Pool {
    fn in_flight(&self, slot: u32) -> u64 {
        lane::in_flight(&self.lanes, slot)
    }

    fn grow(&self, slots: u32) {
        self.lanes.iter().for_each(|lane| lane.grow(slots));
        self.shared.grow(slots);
        if self.is_measured {
            self.measures.grow(slots);
        }
        if let Some(outliers) = &self.outliers {
            outliers.grow(slots);
        }
        if let Some(limiter) = &self.limiter {
            limiter.grow(slots);
        }
    }

    fn restart(&self, slot: u32) -> Totals {
        for lane in &self.lanes {
            lane.cell(slot).cost.store(0, Ordering::Relaxed);
            lane.cell(slot).stamp.store(0, Ordering::Relaxed);
        }
        self.shared.at(slot).bucket.reset();
        if let Some(outliers) = &self.outliers {
            outliers.reset(slot);
        }
        if let Some(limiter) = self.limiter.as_ref().filter(|limiter| !limiter.is_for_the_pool()) {
            limiter.restart(slot);
            self.shared.at(slot).places.set_ceiling(limiter.first());
        }
        let totals = Totals::read(&self.lanes, slot, &self.shared.at(slot).unsuccessful);
        if self.is_measured {
            self.measures.restart(slot, totals.latency_sum, totals.latency_count);
        }
        totals
    }

    fn measured_share(&self, slot: u32) -> f64 {
        self.measures.share(slot)
    }

    fn has_begun(&self) -> bool {
        self.lanes.iter().any(Lane::has_begun)
    }

    fn counted(&self, slot: u32) -> Counted {
        let totals = Totals::read(&self.lanes, slot, &self.shared.at(slot).unsuccessful);
        let outcomes = totals.outcomes();
        let failures = outcomes.connect_failed + outcomes.failed + outcomes.timed_out;
        Counted { successes: outcomes.success, failures }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("options", &self.options)
            .field("statistics", &self.statistics())
            .finish()
    }
}

/// So many lanes of threads' own come with one that threads share.
const SHARED_PER_OWN: usize = 2;

#[cold]
fn key_too_long(len: usize) -> Error {
    Error::invalid("key", format!("it has {len} bytes; {KEY_MAX} fit (hash it down first)"))
}
