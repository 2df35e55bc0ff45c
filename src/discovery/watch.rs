//! [`Watch`]: keeps the members of one name fresh for as long as it lives.
//!
//! | a lookup ends with | members | the next lookup |
//! |---|---|---|
//! | addresses | these | when they have lived: the time to live, within `ttl_min` and `ttl_max` |
//! | addresses, and a part that failed | these, and of the part those it had before | then, or after the back-off |
//! | "there are none" (NXDOMAIN, no records) | kept for `hold`, then none | the zone's time for that, within `ttl_min` and `ttl_negative_max` |
//! | a failure | kept, for ever | after the back-off |
//!
//! - **Jitter**: a tenth of the time to live at most is added to it at random, so that a thousand names do not
//!   align. Nothing is taken off: a resolver's cache would give the same records again with what is left.
//! - **Back-off**: `retry_min` after the first failure, twice as long after each further one, up to `retry_max`;
//!   between half and the whole of that at random.
//! - **Hold** begins with the first answer that there are none. Failures meanwhile do not prolong it, for the
//!   last that is known is that answer; members do, by being there again.
//! - [`Action::Members`] comes when the set has changed, and never otherwise.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::discovery::exchange::{Event, Exchange, Io};
use crate::discovery::found::Found;
use crate::discovery::lookup::{self, Environment, Lookup, LookupError, Outcome};
use crate::discovery::members::Endpoint;
use crate::discovery::message::Negative;
use crate::discovery::name::WatchedName;
use crate::discovery::options::{Hold, Options};
use crate::discovery::query::Failure;
use crate::error::Result;
use crate::rng::Rng;
use crate::time::Instant;

/// What to do next for a watched name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Something with the network.
    Io(Io),
    /// The name has these members now and no others: in their order, each address once.
    Members(Vec<Endpoint>),
    /// Something an operator may act on. It may come again with every lookup.
    Trouble(Trouble),
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A lookup found nothing out; the members are kept.
    Failed {
        /// Why.
        error: LookupError,
        /// When it is tried again.
        again: Duration,
    },
    /// A part of a lookup failed; what that part had before is kept.
    Partial {
        /// Why; of several the first.
        failure: Failure,
        /// When it is tried again.
        again: Duration,
    },
    /// The name has no members.
    Nothing {
        /// How so.
        negative: Negative,
        /// For how long those it had are kept; `None` when that is for ever, or there were none.
        held: Option<Duration>,
    },
    /// There are more members than the name may have.
    Dropped {
        /// How many were left out.
        endpoints: usize,
    },
    /// Some of the addresses are none that one can connect to.
    Unusable {
        /// How many.
        addresses: usize,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Failed { again, .. } | Trouble::Partial { again, .. } => {
                write!(f, "{}; again in {again:.1?}", self.cause())
            }
            Trouble::Nothing { held: Some(held), .. } => {
                write!(f, "{}; its members are kept for {held:.1?}", self.cause())
            }
            Trouble::Nothing { held: None, .. } => f.write_str(&self.cause()),
            Trouble::Dropped { endpoints } => {
                write!(f, "{endpoints} members are left out; endpoints_max allows no more")
            }
            Trouble::Unusable { addresses } => {
                write!(f, "{addresses} of its addresses are unspecified, multicast or link-local")
            }
        }
    }
}

impl Trouble {
    /// What it is, without the times, which differ from lookup to lookup: for who tells the same once.
    pub fn cause(&self) -> String {
        match self {
            Trouble::Failed { error, .. } => error.to_string(),
            Trouble::Partial { failure, .. } => failure.to_string(),
            Trouble::Nothing { negative, .. } => negative.to_string(),
            other => other.to_string(),
        }
    }
}

/// What was counted since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Lookups that found members, those with a part that failed too.
    pub found: u64,
    /// Lookups that ended with a failure, or had a part that did.
    pub failed: u64,
    /// Lookups by which there are no members.
    pub nothing: u64,
    /// How often the set changed.
    pub changes: u64,
    /// What came from the network and was none of ours: see [`crate::discovery::query`].
    pub ignored: u64,
}

/// One name and its members.
#[derive(Debug)]
pub struct Watch {
    name: WatchedName,
    environment: Environment,
    options: Options,
    phase: Phase,
    next_query: u64,
    /// What the members were made of.
    last: Option<Found>,
    members: Vec<Endpoint>,
    /// When the members go, once an answer said that there are none.
    ends: Option<Instant>,
    /// Lookups in a row that failed in whole or in part.
    failures: u32,
    is_settled: bool,
    is_well: bool,
    actions: VecDeque<Action>,
    statistics: Statistics,
}

#[derive(Debug)]
enum Phase {
    Looking(Box<Lookup>),
    Waiting(Instant),
    Cancelled,
}

impl Watch {
    /// Begins with a lookup at `now`.
    ///
    /// Errors: `InvalidArgument` as of [`Options::check`].
    pub fn new(
        name: WatchedName,
        environment: Environment,
        options: Options,
        now: Instant,
        rng: &mut Rng,
    ) -> Result<Self> {
        options.check()?;
        let mut watch = Self {
            name,
            environment,
            options,
            phase: Phase::Cancelled,
            next_query: 0,
            last: None,
            members: Vec::new(),
            ends: None,
            failures: 0,
            is_settled: false,
            is_well: false,
            actions: VecDeque::new(),
            statistics: Statistics::default(),
        };
        watch.look(now, rng);
        Ok(watch)
    }

    /// Takes what happened on an exchange. One that is over, or of another watch, is ignored and counted.
    pub fn handle_event(&mut self, exchange: Exchange, event: Event<'_>, now: Instant, rng: &mut Rng) {
        match &mut self.phase {
            Phase::Looking(lookup) => lookup.handle_event(exchange, event, now, rng),
            Phase::Waiting(_) | Phase::Cancelled => self.statistics.ignored += 1,
        }
        self.settle(now, rng);
    }

    /// Does what is due at or before `now`. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        if self.ends.is_some_and(|ends| now >= ends) {
            self.ends = None;
            self.last = None;
            self.publish(Vec::new());
        }
        match &mut self.phase {
            Phase::Looking(lookup) => lookup.handle_timeout(now, rng),
            Phase::Waiting(due) if now >= *due => self.look(now, rng),
            Phase::Waiting(_) | Phase::Cancelled => return,
        }
        self.settle(now, rng);
    }

    /// The system's files say something else: the next lookup goes by that. It comes within `retry_min` when
    /// the last one failed.
    pub fn handle_environment(&mut self, environment: Environment, now: Instant, rng: &mut Rng) {
        self.environment = environment;
        if let Phase::Waiting(due) = &mut self.phase
            && self.failures > 0
        {
            *due = (*due).min(now.saturating_add(self.options.retry_min.mul_f64(rng.unit())));
        }
    }

    /// Stops for good: the exchanges are closed, and nothing comes behind that. The members are the owner's to
    /// keep or take out.
    pub fn cancel(&mut self) {
        if let Phase::Looking(mut lookup) = std::mem::replace(&mut self.phase, Phase::Cancelled) {
            lookup.cancel();
            self.pass_on(&mut lookup);
        }
        self.ends = None;
    }

    /// The oldest action not yet taken, or `None` when the driver may wait.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` is next needed; `None` once it is cancelled.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = match &self.phase {
            Phase::Looking(lookup) => lookup.next_deadline(),
            Phase::Waiting(due) => Some(*due),
            Phase::Cancelled => None,
        };
        due.into_iter().chain(self.ends).min()
    }

    /// The name.
    pub fn name(&self) -> &WatchedName {
        &self.name
    }

    /// The members, as the last [`Action::Members`] gave them.
    pub fn members(&self) -> &[Endpoint] {
        &self.members
    }

    /// Whether a first lookup has ended, however it did: a start need not wait any longer.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Whether the last lookup that ended found members, in every part.
    pub fn is_well(&self) -> bool {
        self.is_well
    }

    /// What was counted.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.statistics;
        if let Phase::Looking(lookup) = &self.phase {
            statistics.ignored += lookup.ignored();
        }
        statistics
    }

    fn look(&mut self, now: Instant, rng: &mut Rng) {
        let (environment, options) = (self.environment.clone(), self.options.clone());
        let lookup = Lookup::new(&self.name, environment, options, self.next_query, now, rng);
        self.phase = Phase::Looking(Box::new(lookup));
        self.settle(now, rng);
    }

    /// Passes on what the lookup wants done, and takes its outcome when it is over.
    fn settle(&mut self, now: Instant, rng: &mut Rng) {
        let Phase::Looking(lookup) = &mut self.phase else { return };
        while let Some(action) = lookup.poll_action() {
            let result = match action {
                lookup::Action::Io(io) => {
                    self.actions.push_back(Action::Io(io));
                    continue;
                }
                lookup::Action::Done(result) => result,
            };
            self.next_query = lookup.next_query();
            self.statistics.ignored += lookup.ignored();
            let wait = self.take(result, now, rng);
            self.phase = Phase::Waiting(now.saturating_add(wait));
            return;
        }
    }

    fn pass_on(&mut self, lookup: &mut Lookup) {
        self.statistics.ignored += lookup.ignored();
        while let Some(action) = lookup.poll_action() {
            if let lookup::Action::Io(io) = action {
                self.actions.push_back(Action::Io(io));
            }
        }
    }

    /// Takes how a lookup ended; gives the time to the next.
    fn take(
        &mut self,
        result: std::result::Result<Outcome, LookupError>,
        now: Instant,
        rng: &mut Rng,
    ) -> Duration {
        self.is_settled = true;
        self.is_well = matches!(&result, Ok(Outcome::Found(found)) if found.failure.is_none());
        match result {
            Ok(Outcome::Found(found)) => self.take_found(found, rng),
            Ok(Outcome::Nothing { negative, ttl }) => {
                self.statistics.nothing += 1;
                self.failures = 0;
                self.take_nothing(negative, now);
                later(ttl, rng)
            }
            Err(error) => {
                let again = self.back_off(rng);
                self.actions.push_back(Action::Trouble(Trouble::Failed { error, again }));
                again
            }
        }
    }

    fn take_found(&mut self, mut found: Found, rng: &mut Rng) -> Duration {
        self.statistics.found += 1;
        self.ends = None;
        let mut wait = later(found.ttl, rng);
        match found.failure.take() {
            None => self.failures = 0,
            Some(failure) => {
                let again = self.back_off(rng).min(wait);
                wait = again;
                self.actions.push_back(Action::Trouble(Trouble::Partial { failure, again }));
            }
        }
        if let Some(last) = &self.last {
            found.complete_from(last);
        }
        let (endpoints, dropped) = found.endpoints(self.options.families, self.options.endpoints_max);
        if endpoints != self.members {
            if dropped > 0 {
                self.actions.push_back(Action::Trouble(Trouble::Dropped { endpoints: dropped }));
            }
            if found.unusable > 0 {
                self.actions.push_back(Action::Trouble(Trouble::Unusable { addresses: found.unusable }));
            }
        }
        self.last = Some(found);
        self.publish(endpoints);
        wait
    }

    /// An answer says that there are no members.
    fn take_nothing(&mut self, negative: Negative, now: Instant) {
        let mut held = None;
        if !self.members.is_empty()
            && let Hold::For(hold) = self.options.hold
        {
            let ends = *self.ends.get_or_insert(now.saturating_add(hold));
            held = Some(ends.duration_since(now));
        }
        self.actions.push_back(Action::Trouble(Trouble::Nothing { negative, held }));
    }

    fn publish(&mut self, endpoints: Vec<Endpoint>) {
        if endpoints != self.members {
            self.statistics.changes += 1;
            self.members.clone_from(&endpoints);
            self.actions.push_back(Action::Members(endpoints));
        }
    }

    /// One more failure in a row: the time to the next lookup.
    fn back_off(&mut self, rng: &mut Rng) -> Duration {
        self.statistics.failed += 1;
        let doubled = self.options.retry_min.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.options.retry_max).mul_f64(0.5 + rng.unit() / 2.0)
    }
}

/// From 100 ms on as many doublings lead beyond every `retry_max`.
const DOUBLINGS_MAX: u32 = 16;

/// A tenth of the time to live at most is added to it.
fn later(ttl: Duration, rng: &mut Rng) -> Duration {
    ttl + ttl.mul_f64(rng.unit() / 10.0)
}
