//! [`Pool`]: the backends of one service, and which of them takes the next connection.
//!
//! Any thread may call anything at any time. `pick` and `done` take no lock, allocate nothing and make no
//! system call, except where the pool has chores: with `slow_start`, `outlier` or `adaptive` the first call after
//! something is due does it. That takes O(backends), allocates and may call the observer. A loop that calls
//! `handle_timeout` takes over most of it; not errors in a row, which the `done` that reports the last of them judges.
//! Changes build the next member table and publish it whole; when two threads change a pool at once, one of them
//! builds again. After `fork` parent and child go on with a pool each.

mod changing;
mod chores;
mod limits;
mod telling;

use std::sync::Arc;

#[cfg(not(loom))]
use atomic_refcell::AtomicRefCell;
use crossbeam_utils::CachePadded;

use crate::balance::adaptive::Limiter;
use crate::balance::backend::BackendId;
use crate::balance::chunks::Chunks;
use crate::balance::explain::{Trace, Untraced};
use crate::balance::gate::Gate;
use crate::balance::hashing::key::hash64;
use crate::balance::lane::{self, Lane, View};
use crate::balance::limit::Shared;
use crate::balance::member::Serving;
use crate::balance::observer::{Observer, Watch};
use crate::balance::options::{KEY_MAX, LANES_MAX, Options, Policy};
use crate::balance::outlier::Outliers;
use crate::balance::pick::{Lane as LaneChoice, Outcome, Pick, Request, Timings, Token};
use crate::balance::policy::measured::Measures;
use crate::balance::policy::{Ask, peak_ewma};
use crate::balance::retry::Retries;
use crate::balance::slow_start::{self, Steps};
use crate::balance::spill;
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
