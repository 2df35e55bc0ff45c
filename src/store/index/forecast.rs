//! What the memory will come to once all that is under way is applied: for the primary, which makes room before a write that
//! needs it, or refuses to remember what there is no room for.
//!
//! An upper bound is known of each command at a glance: [`bound`], as if all its keys were new. As long as the sum of those fits,
//! nothing more is asked. When it does not, what is under way is looked at, each command once, and counted by key: what a key will
//! have less what it has now. A command then costs one look into the index for each of its keys.
//!
//! What a key will have is either known for certain or a guess that is not too small, and stays a guess until something certain is
//! written over it, or nothing about the key is under way. Certain is only what follows from the state and from what is certain
//! itself. A guess is made of a key that a step may or may not change, and of one that is changed by what it may have: where a
//! condition is about a key that is being written, where keys are taken out that are not named, while leases begin and end, where a
//! request may be one that is done already, and where a command may find the memory full. Then the sum is an upper bound too, and
//! [`Forecast::is_exact`] and [`Plan::is_exact`] say so.
//!
//! What a key has now is read again when a command is applied that names it as one it may change, whether it did or not.

mod bound;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use self::bound::{ANSWER_BYTES, FOUND_BYTES};
pub use self::bound::{REMEMBERED_BYTES, bound, growth};
use self::value::{Held, Value};
use super::apply::{holds, lifetime_is_met, parse_number};
use super::clients;
use super::command::{
    Command, Comparison, KEY_MAX, Lifetime, OnRefusal, Operation, Range, RequestId, Step, Transaction,
};
use super::entry::Entry;
use super::state::{CLIENT_MEMORY, LEASE_MEMORY, State, entry_memory};
use super::time::Timestamp;

/// What is counted at most for a command that cannot be read: as much as any limit.
const UNKNOWN_MAX: u64 = 1 << 48;

/// What commands that are under way, in the order of the log, will have made of the memory.
#[derive(Debug, Default)]
pub struct Forecast {
    /// The last ones, that were not looked at: how many, and the sum of their bounds.
    unseen: usize,
    unseen_bytes: u128,
    /// Those before them, with their sequences.
    seen: VecDeque<(u64, Part)>,
    keys: BTreeMap<Arc<[u8]>, Expected>,
    /// What these keys come to at most, and what they have now.
    high: u64,
    now: u64,
    /// Of how many that is a guess.
    guesses: usize,
    beside: u64,
    /// By client: how many requests, and the highest of their numbers.
    clients: BTreeMap<[u8; 16], (usize, u64)>,
    requests: usize,
    sweeps: usize,
    leases: usize,
    rough: usize,
    /// The latest time of all: what comes behind is done at that time or later.
    time: Timestamp,
}

/// What one command does to the memory.
#[derive(Debug, Default)]
struct Part {
    /// Those that it may change, as far as it names them.
    keys: Vec<Arc<[u8]>>,
    /// Bytes that are no key's: leases, and what is remembered.
    beside: u64,
    /// That is a guess.
    is_rough: bool,
    request: Option<RequestId>,
    /// It may take out keys that it does not name.
    is_sweep: bool,
    /// It is about leases: which are alive is known when it is applied.
    is_about_leases: bool,
}

/// What a key will have.
#[derive(Debug)]
struct Expected {
    value: Value,
    high: u64,
    now: u64,
    /// The last command about it.
    last: u64,
}

/// What commands would do to the memory, one after the other, behind what is under way.
#[derive(Debug, Default)]
pub struct Plan {
    keys: BTreeMap<Arc<[u8]>, (Value, u64)>,
    /// Keys that are read, or compared with something.
    read: BTreeSet<Arc<[u8]>>,
    parts: Vec<Part>,
    sums: Sums,
    /// What the last command found: to go back to.
    before: Box<(Sums, Found)>,
    /// Of the command that is being added: the most that its answer takes, and whether a step may be refused.
    answer: u64,
    may_fail: bool,
    is_doubted: bool,
}

/// What keys had in the plan, if they were in it.
type Found = BTreeMap<Arc<[u8]>, Option<(Value, u64)>>;

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    total: i64,
    /// The most that it was when something may have grown.
    peak: Option<i64>,
    /// How much of that is no reason for a refusal.
    waived: i64,
    requests: usize,
    sweeps: usize,
    leases: usize,
    /// Not all of it is certain.
    is_guess: bool,
    time: Timestamp,
}

/// What a command is added to.
#[derive(Clone, Copy)]
struct Ground<'a> {
    forecast: &'a Forecast,
    state: &'a State,
    /// When it will be done.
    now: Timestamp,
    /// No key is taken out before that is not named.
    keeps_keys: bool,
    /// No lease is begun, prolonged or ended before.
    keeps_leases: bool,
}

impl Forecast {
    /// A command was put into the log, and is to be looked at only if need be.
    pub fn push(&mut self, bound: u64) {
        self.unseen += 1;
        self.unseen_bytes += u128::from(bound);
    }

    /// How many of the last ones were not looked at.
    pub fn unseen(&self) -> usize {
        self.unseen
    }

    /// Looks at the first that was not: `command` as it is in the log at `sequence`, with the `bound` that it was pushed with.
    /// `None`: it is none by the settings of now, which were others.
    pub fn look(&mut self, state: &State, sequence: u64, command: Option<&Command<'_>>, bound: u64) {
        let mut plan = Plan::default();
        match command {
            Some(command) => {
                plan.add(self, state, command);
                // It may have been taken without room for it.
                if plan.shortage(self, state) > 0 {
                    plan.doubt(self, state, command);
                }
            }
            None => plan.add_unknown(bound),
        }
        self.unseen_bytes -= u128::from(bound);
        self.unseen -= 1;
        self.append(sequence, plan);
    }

    /// What was planned was put into the log, from `first` on. Nothing is unseen.
    pub fn take(&mut self, first: u64, plan: Plan) {
        assert_eq!(self.unseen, 0, "a plan begins with what was looked at");
        self.append(first, plan);
    }

    fn append(&mut self, first: u64, plan: Plan) {
        self.time = self.time.max(plan.sums.time);
        for (key, (value, now)) in plan.keys {
            let expected = Expected { high: value.footprint(&key), value, now, last: first };
            self.count(&expected);
            if let Some(before) = self.keys.insert(key, expected) {
                self.discount(&before);
            }
        }
        for (sequence, part) in (first..).zip(plan.parts) {
            for key in &part.keys {
                self.keys.get_mut(key).expect("it was put in").last = sequence;
            }
            self.beside += part.beside;
            if let Some(RequestId { client, number }) = part.request {
                let (count, highest) = self.clients.entry(client).or_default();
                (*count, *highest) = (*count + 1, number.max(*highest));
            }
            self.requests += usize::from(part.request.is_some());
            self.sweeps += usize::from(part.is_sweep);
            self.leases += usize::from(part.is_about_leases);
            self.rough += usize::from(part.is_rough);
            self.seen.push_back((sequence, part));
        }
    }

    /// The first was applied: the one at `sequence`, pushed with this bound if it was pushed.
    pub fn applied(&mut self, state: &State, sequence: u64, bound: u64) {
        let Some((_, part)) = self.seen.pop_front_if(|(at, _)| *at == sequence) else {
            self.unseen -= 1;
            self.unseen_bytes -= u128::from(bound);
            return;
        };
        for key in &part.keys {
            let Some(mut expected) = self.keys.remove(key) else { continue };
            self.discount(&expected);
            if expected.last > sequence {
                expected.now = memory_of(state, key);
                self.count(&expected);
                self.keys.insert(Arc::clone(key), expected);
            }
        }
        if part.is_sweep {
            self.now = 0;
            for (key, expected) in &mut self.keys {
                expected.now = memory_of(state, key);
                self.now += expected.now;
            }
        }
        self.beside -= part.beside;
        if let Some(RequestId { client, .. }) = part.request {
            let (count, _) = self.clients.get_mut(&client).expect("it was counted");
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
        self.requests -= usize::from(part.request.is_some());
        self.sweeps -= usize::from(part.is_sweep);
        self.leases -= usize::from(part.is_about_leases);
        self.rough -= usize::from(part.is_rough);
    }

    fn count(&mut self, expected: &Expected) {
        (self.high, self.now) = (self.high + expected.high, self.now + expected.now);
        self.guesses += usize::from(!expected.value.is_known());
    }

    fn discount(&mut self, expected: &Expected) {
        (self.high, self.now) = (self.high - expected.high, self.now - expected.now);
        self.guesses -= usize::from(!expected.value.is_known());
    }

    /// What the memory comes to at most.
    pub fn total(&self, state: &State) -> u64 {
        let total = u128::from(self.seen_total(state)) + self.unseen_bytes;
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    /// Likewise, by what was looked at.
    fn seen_total(&self, state: &State) -> u64 {
        (state.memory() + self.high + self.beside).saturating_sub(self.now)
    }

    /// Whether it is that and no less, as far as was looked.
    pub fn is_exact(&self) -> bool {
        self.guesses == 0 && self.sweeps == 0 && self.rough == 0
    }

    /// Whether something that was looked at is about `key`.
    pub fn has(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }
}

impl Plan {
    /// Adds a command, behind what is under way and those before it. All that is under way was looked at.
    pub fn add(&mut self, forecast: &Forecast, state: &State, command: &Command<'_>) {
        *self.before = (self.sums, BTreeMap::new());
        (self.answer, self.may_fail) = (0, self.is_doubted);
        self.parts.push(Part::default());
        self.sums.time = self.sums.time.max(command.time);
        let ground = Ground {
            forecast,
            state,
            now: self.sums.time.max(forecast.time).max(state.time()),
            keeps_keys: forecast.sweeps + self.sums.sweeps == 0,
            keeps_leases: forecast.leases + self.sums.leases == 0,
        };
        let is_new = command.request.map_or(Some(true), |request| self.is_new(ground, &request));
        if is_new == Some(false) {
            return;
        }
        let is_done = is_new.is_some() && !self.is_doubted;
        if let Operation::LeaseGrant { .. }
        | Operation::LeaseKeepAlive { .. }
        | Operation::LeaseRevoke { .. }
        | Operation::Expire { .. } = &command.operation
        {
            self.part().is_about_leases = true;
            self.sums.leases += 1;
        }
        match &command.operation {
            Operation::Step(step) => self.step(ground, step, is_done),
            Operation::Transaction(transaction) => self.transaction(ground, transaction, is_done),
            Operation::LeaseGrant { id, .. } => self.grant(ground, *id, is_done),
            Operation::LeaseRevoke { .. } | Operation::Expire { .. } => self.sweep(),
            Operation::Evict { keys } => {
                for (key, version) in keys {
                    let before = self.touch(ground, key);
                    let is_same = before.held().is_some_and(|held| held.version == Some(*version));
                    if is_same || !before.is_known() {
                        self.set(ground, key, before, Value::GONE, is_done && is_same);
                    }
                }
            }
            Operation::LeaseKeepAlive { .. } | Operation::Configure(_) => {}
        }
        if let Some(request) = &command.request {
            self.remember(ground, request, growth(&command.operation) == 0);
        }
    }

    /// Adds one of which no more is known than by how much the state may grow.
    fn add_unknown(&mut self, bound: u64) {
        self.parts.push(Part::default());
        self.is_doubted = true;
        self.grow_beside(bound.min(UNKNOWN_MAX), false);
        self.sweep();
    }

    /// Of one command of which nothing is known.
    pub fn unknown() -> Self {
        let mut plan = Self::default();
        plan.add_unknown(0);
        plan
    }

    /// Takes the last command out again.
    pub fn undo(&mut self) {
        let (sums, keys) = std::mem::take(&mut *self.before);
        self.sums = sums;
        self.parts.pop();
        for (key, before) in keys {
            match before {
                Some(before) => self.keys.insert(key, before),
                None => self.keys.remove(&key),
            };
        }
    }

    /// It does not fit, and is put into the log to be refused there, it or a part of it; or it fits then. `command` is the only one.
    pub fn doubt(&mut self, forecast: &Forecast, state: &State, command: &Command<'_>) {
        *self = Self { is_doubted: true, ..Self::default() };
        self.add(forecast, state, command);
    }

    /// Whether it may be refused for want of memory when it is applied.
    pub fn is_doubted(&self) -> bool {
        self.is_doubted
    }

    /// How many bytes must go before it fits; 0 where there is no limit.
    pub fn shortage(&self, forecast: &Forecast, state: &State) -> u64 {
        let (Some(peak), limit @ 1..) = (self.sums.peak, state.settings().memory_max) else { return 0 };
        forecast.seen_total(state).saturating_add_signed(peak).saturating_sub(limit)
    }

    /// Whether it is beyond the limit though it might do without: what is remembered of who puts nothing may go beyond it.
    pub fn is_too_much(&self, forecast: &Forecast, state: &State) -> bool {
        let grown = self.sums.peak.map_or(0, |peak| peak - self.sums.waived);
        grown > 0 && self.shortage(forecast, state) > self.sums.waived.unsigned_abs()
    }

    /// Whether it could fit if all else were taken out that can be.
    pub fn can_fit(&self, state: &State) -> bool {
        let keys = self.keys.iter().map(|(key, (value, _))| value.footprint(key)).sum::<u64>();
        let beside = self.parts.iter().map(|part| part.beside).sum::<u64>();
        let clients = state.client_bytes() + CLIENT_MEMORY * state.client_count();
        keys + beside + clients + LEASE_MEMORY * state.lease_count() <= state.settings().memory_max
    }

    /// Whether no less may be needed.
    pub fn is_exact(&self) -> bool {
        !self.sums.is_guess
    }

    /// Whether a command of it is about `key`.
    pub fn has(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key) || self.read.contains(key)
    }

    /// Whether a request was not done before, if that is known.
    fn is_new(&self, ground: Ground<'_>, request: &RequestId) -> Option<bool> {
        let Ground { forecast, state, .. } = ground;
        let others = forecast.requests + self.sums.requests;
        if clients::is_known(state, request) {
            // Its client may be forgotten meanwhile.
            let bytes = forecast.beside + self.parts.iter().map(|part| part.beside).sum::<u64>();
            return (others == 0 || !clients::may_forget(state, others as u64, bytes)).then_some(false);
        }
        let under_way = forecast.clients.get(&request.client).map(|(_, highest)| *highest);
        let planned = self.parts.iter().filter_map(|part| part.request);
        let planned = planned.filter(|it| it.client == request.client).map(|it| it.number).max();
        // Behind a higher one of the client's it may come too late, or be that one's retry.
        (under_way.max(planned) < Some(request.number)).then_some(true)
    }

    /// What is remembered of the command counts.
    fn remember(&mut self, ground: Ground<'_>, request: &RequestId, puts_nothing: bool) {
        let answer = self.answer + ANSWER_BYTES;
        let remembered = if ground.forecast.requests + self.sums.requests == 0 {
            clients::growth(ground.state, request, answer)
        } else {
            // What others leave to be remembered is not known yet.
            clients::ADDED_MAX + answer as i64
        };
        self.part().request = Some(*request);
        self.sums.requests += 1;
        // The answer may be shorter, and nothing is forgotten for one that is refused.
        (self.part().is_rough, self.sums.is_guess) = (true, true);
        if remembered > 0 {
            self.grow_beside(remembered.unsigned_abs(), false);
            self.sums.waived += if puts_nothing { remembered.min(REMEMBERED_BYTES as i64) } else { 0 };
        }
    }

    fn grant(&mut self, ground: Ground<'_>, id: u64, is_done: bool) {
        let old = ground.state.lease_of(id);
        if ground.keeps_leases && old.is_some_and(|old| old.deadline > ground.now) {
            return;
        }
        // Keys go with an old one that has ended.
        if old.is_some() || !ground.keeps_leases {
            self.sweep();
        }
        let is_new = old.is_none() || !ground.keeps_leases;
        self.grow_beside(if is_new { LEASE_MEMORY } else { 0 }, is_done && ground.keeps_leases);
    }

    fn transaction(&mut self, ground: Ground<'_>, transaction: &Transaction<'_>, is_done: bool) {
        let mut is_met = Some(true);
        for comparison in &transaction.conditions {
            self.read.insert(comparison.key.into());
            is_met = match (is_met, self.compare(ground, comparison)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
        }
        let is_done = is_done && is_met.is_some();
        let run = |plan: &mut Self, steps: &[Step<'_>]| {
            steps.iter().for_each(|step| plan.step(ground, step, is_done));
        };
        match is_met {
            Some(true) => run(self, &transaction.then),
            Some(false) => run(self, &transaction.otherwise),
            None => {
                run(self, &transaction.then);
                let answer = std::mem::take(&mut self.answer);
                run(self, &transaction.otherwise);
                self.answer = self.answer.max(answer);
            }
        }
        if self.may_fail && transaction.on_refusal == OnRefusal::Abort {
            // It is done, or nothing of it.
            self.sums.is_guess = true;
            self.sums.total = self.before.0.total;
            for (key, before) in &self.before.1 {
                let before = before.map_or_else(|| ground.value(key).0, |(value, _)| value);
                let (value, _) = self.keys.get_mut(key).expect("it was touched");
                *value = before.or(*value);
                self.sums.total += value.footprint(key) as i64 - before.footprint(key) as i64;
            }
        }
    }

    /// Whether it holds, if that is known.
    fn compare(&self, ground: Ground<'_>, comparison: &Comparison<'_>) -> Option<bool> {
        let value = self.value(ground, comparison.key);
        if !ground.is_live(value)? {
            return Some(holds(None, comparison));
        }
        let version = value.held()?.version?;
        let entry = ground.state.get(comparison.key, ground.now).filter(|entry| entry.version == version)?;
        Some(holds(Some(&entry), comparison))
    }

    fn step(&mut self, ground: Ground<'_>, step: &Step<'_>, is_done: bool) {
        let value_max = ground.state.settings().value_max;
        self.answer += ANSWER_BYTES;
        match *step {
            Step::Put { key, value, condition, lifetime, previous } => {
                let before = self.touch(ground, key);
                let is_live = ground.is_live(before);
                let is_answered = self.answer_with(ground, before, previous);
                let is_met = before.meets(is_live, condition);
                if is_met == Some(false) {
                    return;
                }
                let is_lease = matches!(lifetime, Lifetime::Lease(_));
                self.may_fail |= is_lease;
                let new_lifetime = match lifetime {
                    Lifetime::Keep => ground.kept(before),
                    other => Some(other),
                };
                let may_be_bounded = before.size().is_bounded;
                let new =
                    Value::written(value.len() as u64, new_lifetime, parse_number(value), may_be_bounded);
                self.set(ground, key, before, new, is_done && is_met.is_some() && is_answered && !is_lease);
            }
            Step::Delete { key, condition, previous } => {
                let before = self.touch(ground, key);
                let is_answered = self.answer_with(ground, before, previous);
                let is_met = before.meets(ground.is_live(before), condition);
                if is_met != Some(false) {
                    self.set(ground, key, before, Value::GONE, is_done && is_met.is_some() && is_answered);
                }
            }
            Step::Increment { key, by } => {
                let before = self.touch(ground, key);
                let held = before.held().filter(|_| ground.is_live(before) == Some(true));
                let number = match ground.is_live(before) {
                    Some(false) => Some(0),
                    _ => held.and_then(|held| held.number),
                };
                let sum = number.and_then(|number| number.checked_add(by));
                self.may_fail |= sum.is_none();
                // What is no number, or too large, stays as it is.
                let is_refused = number.is_some() || held.is_some_and(|held| held.version.is_some());
                if sum.is_none() && is_refused {
                    return;
                }
                let length = sum.map_or(20, |sum| sum.to_string().len() as u64);
                let new = Value::written(length, ground.kept(before), sum, before.size().is_bounded);
                self.set(ground, key, before, new, is_done && sum.is_some());
            }
            Step::Append { key, value } => {
                let before = self.touch(ground, key);
                let is_live = ground.is_live(before);
                let there = if is_live == Some(false) { 0 } else { before.size().length };
                let length = there + value.len() as u64;
                let is_too_long = length > value_max;
                self.may_fail |= is_too_long;
                if is_too_long && is_live.is_some() {
                    return;
                }
                let may_be_bounded = before.size().is_bounded;
                let new = Value::written(length.min(value_max), ground.kept(before), None, may_be_bounded);
                self.set(ground, key, before, new, is_done && !is_too_long);
            }
            Step::SetLifetime { key, lifetime, condition } => {
                let before = self.touch(ground, key);
                let is_lease = matches!(lifetime, Lifetime::Lease(_));
                self.may_fail |= is_lease;
                let is_live = ground.is_live(before);
                let held = before.held().filter(|_| is_live == Some(true));
                let is_met = held.map(|held| lifetime_is_met(held.lifetime, lifetime, condition));
                if is_live == Some(false) || lifetime == Lifetime::Keep || is_met == Some(false) {
                    return;
                }
                let length = before.size().length;
                let number = held.and_then(|held| held.number);
                let new = Value::written(length, Some(lifetime), number, true);
                self.set(ground, key, before, new, is_done && is_met.is_some() && !is_lease);
            }
            Step::DeleteRange { .. } => self.sweep(),
            Step::Get { key } => {
                let value = self.value(ground, key);
                self.answer_with(ground, value, true);
                self.read.insert(key.into());
            }
            Step::Range { range, limit, reverse } => self.range(ground, &range, limit, reverse),
        }
    }

    /// Whether there is room in the answer for sure.
    fn answer_with(&mut self, ground: Ground<'_>, value: Value, is_asked: bool) -> bool {
        if !is_asked || !value.size().is_there {
            return true;
        }
        self.answer += FOUND_BYTES + value.size().length;
        let fits = self.answer <= 4 * ground.state.settings().value_max;
        self.may_fail |= !fits;
        fits
    }

    fn range(&mut self, ground: Ground<'_>, range: &Range<'_>, limit: u64, reverse: bool) {
        let bytes_max = ground.state.settings().value_max;
        if ground.forecast.seen.is_empty() && self.parts.len() == 1 && self.keys.is_empty() {
            let page = ground.state.range(range, limit, bytes_max, reverse, ground.now);
            let found = page.entries.iter().map(|(key, entry)| key.len() + entry.value.len()).sum::<usize>();
            self.answer += found as u64 + (FOUND_BYTES + 10) * page.entries.len() as u64;
        } else {
            let count = ground.state.len() + (ground.forecast.keys.len() + self.keys.len()) as u64;
            let count = if limit > 0 { count.min(limit) } else { count };
            self.answer += bytes_max + KEY_MAX as u64 + (FOUND_BYTES + 10) * count;
        }
        self.may_fail |= self.answer > 4 * bytes_max;
    }

    /// What `key` has by then.
    fn value(&self, ground: Ground<'_>, key: &[u8]) -> Value {
        let value = self.keys.get(key).map_or_else(|| ground.value(key).0, |(value, _)| *value);
        if ground.keeps_keys && self.sums.sweeps == self.before.0.sweeps { value } else { value.or_gone() }
    }

    /// What `key` has by then, which the command may change.
    fn touch(&mut self, ground: Ground<'_>, key: &[u8]) -> Value {
        let value = self.value(ground, key);
        let key: Arc<[u8]> = key.into();
        let old = self.keys.get(&key).copied();
        if !self.before.1.contains_key(&key) {
            self.part().keys.push(Arc::clone(&key));
            self.before.1.insert(Arc::clone(&key), old);
        }
        let now = old.map_or_else(|| ground.value(&key).1, |(_, now)| now);
        self.keys.insert(key, (value, now));
        value
    }

    /// `key`, which was touched, gets `new`, or may get it.
    fn set(&mut self, ground: Ground<'_>, key: &[u8], before: Value, new: Value, is_sure: bool) {
        let next = if is_sure { new } else { before.or(new) };
        self.sums.is_guess |= !next.is_known();
        let (less, more) = (before.footprint(key), next.footprint(key));
        self.sums.total += more as i64 - less as i64;
        // What may have less than is counted may grow where that shrinks; what has expired is taken out before, and grows from nothing.
        if new.size().is_there && (more > less || ground.is_live(before) != Some(true)) {
            self.note_peak();
        }
        self.keys.get_mut(key).expect("it was touched").0 = next;
    }

    /// Keys may be taken out that are not named.
    fn sweep(&mut self) {
        self.part().is_sweep = true;
        self.sums.sweeps += 1;
        self.sums.is_guess = true;
    }

    fn grow_beside(&mut self, bytes: u64, is_sure: bool) {
        let part = self.part();
        part.beside += bytes;
        part.is_rough |= !is_sure;
        self.sums.is_guess |= !is_sure;
        self.sums.total += bytes as i64;
        self.note_peak();
    }

    fn note_peak(&mut self) {
        self.sums.peak = Some(self.sums.peak.map_or(self.sums.total, |peak| peak.max(self.sums.total)));
    }

    fn part(&mut self) -> &mut Part {
        self.parts.last_mut().expect("a command is being added")
    }
}

impl Ground<'_> {
    /// What `key` has before the plan, and what its memory is now.
    fn value(&self, key: &[u8]) -> (Value, u64) {
        if let Some(expected) = self.forecast.keys.get(key) {
            return (expected.value, expected.now);
        }
        let Some(entry) = self.state.entries.get(key).map(Entry::of) else { return (Value::GONE, 0) };
        let held = Held {
            length: entry.value.len() as u64,
            lifetime: entry.lifetime,
            number: parse_number(entry.value),
            version: Some(entry.version),
        };
        (Value::Known(Some(held)), entry_memory(key, &entry))
    }

    /// Whether it is there and has not expired, if that is known.
    fn is_live(&self, value: Value) -> Option<bool> {
        let Value::Known(held) = value else { return None };
        let Some(held) = held else { return Some(false) };
        match held.lifetime {
            Lifetime::Unbounded | Lifetime::Keep => Some(true),
            Lifetime::Until(deadline) => Some(deadline > self.now),
            Lifetime::Lease(id) => self.keeps_leases.then(|| self.state.lease(id, self.now).is_some()),
        }
    }

    /// The lifetime that a step leaves it, if that is known.
    fn kept(&self, value: Value) -> Option<Lifetime> {
        let is_live = self.is_live(value)?;
        Some(value.held().filter(|_| is_live).map_or(Lifetime::Unbounded, |held| held.lifetime))
    }
}

fn memory_of(state: &State, key: &[u8]) -> u64 {
    state.entries.get(key).map_or(0, |cell| entry_memory(key, &Entry::of(cell)))
}
