//! What the memory will come to once all that is under way is applied: for the primary, which makes room before a write that
//! needs it, or refuses to remember what there is no room for.
//!
//! An upper bound is known of each command at a glance: [`bound`], as if all its keys were new. As long as the sum of those fits,
//! nothing more is asked. When it does not, what is under way is looked at, each command once, and counted by key: what a key will
//! have less what it has now. A command then costs one look into the index for each of its keys. That is exact but where it depends
//! on what is not applied yet (a condition on a key that is being written, say); then it is an upper bound too, and
//! [`Plan::is_exact`] says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::apply::{holds, parse_number};
use super::clients;
use super::command::{
    Command, Condition, KEY_MAX, Lifetime, LifetimeCondition, OnRefusal, Operation, Range, Step, Transaction,
};
use super::entry::Entry;
use super::evict::footprint;
use super::state::{CLIENT_MEMORY, LEASE_MEMORY, State, entry_memory};
use super::time::Timestamp;

/// A client that nothing is remembered of yet, and a short answer to it.
pub const REMEMBERED_BYTES: u64 = CLIENT_MEMORY + 64;
/// The most that an answer to a step has beside keys and values.
const ANSWER_BYTES: u64 = 24;
/// The most that a value has beside it in an answer.
const FOUND_BYTES: u64 = 56;

/// By how much a command may make the state grow, at most: as if all its keys and its client were new. `u64::MAX` when only what is
/// there can say: its answer has values in it, and is remembered.
pub fn bound(command: &Command<'_>) -> u64 {
    let growth = growth(&command.operation);
    if command.request.is_none() {
        return growth;
    }
    let steps = match &command.operation {
        Operation::Step(only) => std::slice::from_ref(only).iter().chain(&[]),
        Operation::Transaction(transaction) => transaction.then.iter().chain(&transaction.otherwise),
        _ => [].iter().chain(&[]),
    };
    if steps.clone().any(has_values) {
        return u64::MAX;
    }
    growth + REMEMBERED_BYTES + ANSWER_BYTES * steps.count() as u64
}

/// [`bound`] without what is remembered. Where it is 0, the command puts nothing.
pub fn growth(operation: &Operation<'_>) -> u64 {
    let step = |step: &Step<'_>| match step {
        Step::Put { key, value, lifetime, .. } => {
            footprint(key.len(), value.len(), !matches!(lifetime, Lifetime::Unbounded))
        }
        Step::Append { key, value } => footprint(key.len(), value.len(), false),
        Step::Increment { key, .. } => footprint(key.len(), 20, false),
        Step::SetLifetime { key, .. } => 32 + key.len() as u64,
        Step::Delete { .. } | Step::DeleteRange { .. } | Step::Get { .. } | Step::Range { .. } => 0,
    };
    match operation {
        Operation::Step(only) => step(only),
        Operation::Transaction(transaction) => {
            let sum = |steps: &[Step<'_>]| steps.iter().map(step).sum::<u64>();
            sum(&transaction.then).max(sum(&transaction.otherwise))
        }
        Operation::LeaseGrant { .. } => LEASE_MEMORY,
        _ => 0,
    }
}

fn has_values(step: &Step<'_>) -> bool {
    match step {
        Step::Put { previous, .. } | Step::Delete { previous, .. } => *previous,
        Step::Get { .. } | Step::Range { .. } => true,
        _ => false,
    }
}

/// What commands that are under way, in the order of the log, will have made of the memory.
#[derive(Debug, Default)]
pub struct Forecast {
    /// The last ones, that were not looked at: how many, and the sum of their bounds.
    unseen: usize,
    unseen_bytes: u64,
    /// Those before them, with their sequences.
    seen: VecDeque<(u64, Part)>,
    keys: BTreeMap<Arc<[u8]>, Expected>,
    /// What these keys come to at most, and what they have now.
    high: u64,
    now: u64,
    beside: u64,
    requests: usize,
    sweeps: usize,
    inexact: usize,
}

/// What one command does to the memory.
#[derive(Debug, Default)]
struct Part {
    keys: Vec<Arc<[u8]>>,
    /// Bytes that are no key's: leases, and what is remembered.
    beside: u64,
    is_request: bool,
    /// It takes out keys that it does not name.
    is_sweep: bool,
    is_inexact: bool,
}

/// What a key will have at most.
#[derive(Debug)]
struct Expected {
    value: Value,
    high: u64,
    now: u64,
    /// The last command about it.
    last: u64,
}

/// What a key may have at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Value {
    is_there: bool,
    /// What has expired may lie there still.
    is_live: bool,
    is_bounded: bool,
    length: u64,
    /// What it says, if it is known and a number.
    number: Option<i64>,
    /// If it is known; 0: it is not there, or has expired.
    version: Option<u64>,
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
    before: (Sums, Found),
    /// Of the command that is being added: the most that its answer takes, and whether a step may be refused.
    answer: u64,
    may_fail: bool,
}

/// What keys had in the plan, if they were in it.
type Found = BTreeMap<Arc<[u8]>, Option<(Value, u64)>>;

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    total: i64,
    /// The most that it was when something had grown.
    peak: Option<i64>,
    /// How much of that is no reason for a refusal.
    waived: i64,
}

/// What a plan begins with.
#[derive(Clone, Copy)]
struct Ground<'a> {
    forecast: &'a Forecast,
    state: &'a State,
    now: Timestamp,
}

impl Forecast {
    /// A command was put into the log, and is to be looked at only if need be.
    pub fn push(&mut self, bound: u64) {
        self.unseen += 1;
        self.unseen_bytes = self.unseen_bytes.saturating_add(bound);
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
            Some(command) => plan.add(self, state, command),
            None => plan.parts.push(Part { beside: bound, is_inexact: true, ..Part::default() }),
        }
        self.unseen_bytes -= bound;
        self.unseen -= 1;
        self.append(sequence, plan);
    }

    /// What was planned was put into the log, from `first` on. Nothing is unseen.
    pub fn take(&mut self, first: u64, plan: Plan) {
        assert_eq!(self.unseen, 0, "a plan begins with what was looked at");
        self.append(first, plan);
    }

    fn append(&mut self, first: u64, plan: Plan) {
        for (key, (value, now)) in plan.keys {
            let high = value.footprint(&key);
            if let Some(before) = self.keys.insert(key, Expected { value, high, now, last: first }) {
                (self.high, self.now) = (self.high - before.high, self.now - before.now);
            }
            (self.high, self.now) = (self.high + high, self.now + now);
        }
        for (sequence, part) in (first..).zip(plan.parts) {
            for key in &part.keys {
                self.keys.get_mut(key).expect("it was put in").last = sequence;
            }
            self.beside += part.beside;
            self.requests += usize::from(part.is_request);
            self.sweeps += usize::from(part.is_sweep);
            self.inexact += usize::from(part.is_inexact);
            self.seen.push_back((sequence, part));
        }
    }

    /// The first was applied: the one at `sequence`, pushed with this bound if it was pushed.
    pub fn applied(&mut self, state: &State, sequence: u64, bound: u64) {
        let Some((_, part)) = self.seen.pop_front_if(|(at, _)| *at == sequence) else {
            self.unseen -= 1;
            self.unseen_bytes -= bound;
            return;
        };
        for key in &part.keys {
            let Some(expected) = self.keys.get_mut(key) else { continue };
            self.now -= expected.now;
            if expected.last <= sequence {
                self.high -= expected.high;
                self.keys.remove(key);
            } else {
                expected.now = memory_of(state, key);
                self.now += expected.now;
            }
        }
        if part.is_sweep {
            // Keys are gone that it did not name.
            for (key, expected) in &mut self.keys {
                self.now -= expected.now;
                expected.now = memory_of(state, key);
                self.now += expected.now;
            }
        }
        self.beside -= part.beside;
        self.requests -= usize::from(part.is_request);
        self.sweeps -= usize::from(part.is_sweep);
        self.inexact -= usize::from(part.is_inexact);
    }

    /// What the memory comes to at most.
    pub fn total(&self, state: &State) -> u64 {
        // A request that was taken for one that is done may be done after all, when its client was forgotten meanwhile.
        let seen = (state.memory() + self.high + self.beside).saturating_sub(self.now);
        seen.saturating_add(self.unseen_bytes)
    }

    /// Whether it may be less than that, as far as was looked.
    pub fn is_exact(&self) -> bool {
        self.inexact == 0
    }

    /// Whether something that was looked at is about `key`.
    pub fn has(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }
}

impl Plan {
    /// Adds a command, behind what is under way and those before it. All that is under way was looked at.
    pub fn add(&mut self, forecast: &Forecast, state: &State, command: &Command<'_>) {
        self.before = (self.sums, BTreeMap::new());
        (self.answer, self.may_fail) = (0, false);
        self.parts.push(Part::default());
        let ground = Ground { forecast, state, now: command.time.max(state.time()) };
        if command.request.is_some_and(|request| clients::is_known(state, &request)) {
            return;
        }
        match &command.operation {
            Operation::Step(step) => self.step(ground, step, true),
            Operation::Transaction(transaction) => self.transaction(ground, transaction),
            Operation::LeaseGrant { id, .. } => {
                if state.lease(*id, ground.now).is_none() {
                    self.grow_beside(LEASE_MEMORY);
                }
            }
            Operation::LeaseRevoke { .. } | Operation::Expire { .. } => {
                (self.part().is_sweep, self.part().is_inexact) = (true, true);
            }
            Operation::Evict { keys } => {
                for (key, version) in keys {
                    let before = self.value(ground, key);
                    if state.entries.get(key).is_some_and(|cell| Entry::of(cell).version == *version) {
                        self.set(ground, key, before, Value::gone(), true);
                    }
                }
            }
            Operation::LeaseKeepAlive { .. } | Operation::Configure(_) => {}
        }
        if let Some(request) = &command.request {
            self.part().is_request = true;
            let answer = self.answer + ANSWER_BYTES;
            let others = forecast.requests + self.parts.iter().filter(|part| part.is_request).count() - 1;
            let remembered = if others == 0 {
                clients::growth(state, request, answer)
            } else {
                // What others leave to be remembered is not known yet.
                self.part().is_inexact = true;
                clients::ADDED_MAX + answer as i64
            };
            self.sums.total += remembered;
            if remembered > 0 {
                self.part().beside += remembered.unsigned_abs();
                self.note_peak();
                let puts_nothing = growth(&command.operation) == 0;
                self.sums.waived += if puts_nothing { remembered.min(REMEMBERED_BYTES as i64) } else { 0 };
            }
        }
    }

    /// Of one command of which nothing is known.
    pub fn unknown() -> Self {
        Self { parts: vec![Part { is_inexact: true, ..Part::default() }], ..Self::default() }
    }

    /// Takes the last command out again.
    pub fn undo(&mut self) {
        let (sums, keys) = std::mem::take(&mut self.before);
        self.sums = sums;
        self.parts.pop();
        for (key, before) in keys {
            match before {
                Some(before) => self.keys.insert(key, before),
                None => self.keys.remove(&key),
            };
        }
    }

    /// How many bytes must go before it fits; 0 where there is no limit.
    pub fn shortage(&self, forecast: &Forecast, state: &State) -> u64 {
        let (Some(peak), limit @ 1..) = (self.sums.peak, state.settings().memory_max) else { return 0 };
        forecast.total(state).saturating_add_signed(peak).saturating_sub(limit)
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
        self.parts.iter().all(|part| !part.is_inexact)
    }

    /// It does not fit, and is put into the log to be refused there; or it fits then.
    pub fn doubt(&mut self) {
        self.parts.iter_mut().for_each(|part| part.is_inexact = true);
    }

    /// Whether a command of it is about `key`.
    pub fn has(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key) || self.read.contains(key)
    }

    fn transaction(&mut self, ground: Ground<'_>, transaction: &Transaction<'_>) {
        let mut is_met = Some(true);
        for comparison in &transaction.conditions {
            self.read.insert(comparison.key.into());
            let is_known = self.value(ground, comparison.key).version.is_some()
                && !ground.forecast.has(comparison.key)
                && !self.keys.contains_key(comparison.key);
            let holds =
                is_known.then(|| holds(ground.state.get(comparison.key, ground.now).as_ref(), comparison));
            is_met = match (is_met, holds) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
        }
        let run = |plan: &mut Self, steps: &[Step<'_>]| {
            for step in steps {
                plan.step(ground, step, is_met.is_some());
            }
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
            self.part().is_inexact = true;
            self.sums.total = self.before.0.total;
            for (key, before) in &self.before.1 {
                let before = before.map_or_else(|| ground.value(key).0, |(value, _)| value);
                let (value, _) = self.keys.get_mut(key).expect("it was changed");
                *value = before.or(*value);
                self.sums.total += value.footprint(key) as i64 - before.footprint(key) as i64;
            }
        }
    }

    fn step(&mut self, ground: Ground<'_>, step: &Step<'_>, is_done: bool) {
        let value_max = ground.state.settings().value_max;
        self.answer += ANSWER_BYTES;
        match *step {
            Step::Put { key, value, condition, lifetime, previous } => {
                let before = self.value(ground, key);
                self.answer_with(ground, before, previous);
                let is_met = before.meets(condition);
                if is_met == Some(false) {
                    self.read.insert(key.into());
                    return;
                }
                let is_lease = matches!(lifetime, Lifetime::Lease(_));
                self.may_fail |= is_lease;
                let new = Value {
                    is_there: true,
                    is_live: true,
                    is_bounded: match lifetime {
                        Lifetime::Unbounded => false,
                        Lifetime::Keep => before.is_live && before.is_bounded,
                        Lifetime::Until(_) | Lifetime::Lease(_) => true,
                    },
                    length: value.len() as u64,
                    number: parse_number(value),
                    version: None,
                };
                self.set(ground, key, before, new, is_done && is_met.is_some() && !is_lease);
            }
            Step::Delete { key, condition, previous } => {
                let before = self.value(ground, key);
                self.answer_with(ground, before, previous);
                let is_done = is_done && before.meets(condition) == Some(true);
                if is_done || before.meets(condition).is_none() {
                    self.set(ground, key, before, Value::gone(), is_done);
                }
            }
            Step::Increment { key, by } => {
                let before = self.value(ground, key);
                let number = if before.version == Some(0) { Some(0) } else { before.number };
                let sum = number.and_then(|number| number.checked_add(by));
                self.may_fail |= sum.is_none();
                let new = Value {
                    is_there: true,
                    is_live: true,
                    is_bounded: before.is_live && before.is_bounded,
                    length: sum.map_or(20, |sum| sum.to_string().len() as u64),
                    number: sum,
                    version: None,
                };
                // What is known, and no number, stays as it is.
                if sum.is_some() || before.version.is_none() {
                    self.set(ground, key, before, new, is_done && sum.is_some());
                } else {
                    self.read.insert(key.into());
                }
            }
            Step::Append { key, value } => {
                let before = self.value(ground, key);
                let there = if before.is_live { before.length } else { 0 };
                let length = there + value.len() as u64;
                self.may_fail |= length > value_max;
                let new = Value {
                    is_there: true,
                    is_live: true,
                    is_bounded: before.is_live && before.is_bounded,
                    length: length.min(value_max),
                    number: None,
                    version: None,
                };
                self.set(ground, key, before, new, is_done && length <= value_max);
            }
            Step::SetLifetime { key, lifetime, condition } => {
                let before = self.value(ground, key);
                let is_lease = matches!(lifetime, Lifetime::Lease(_));
                self.may_fail |= is_lease;
                if before.version == Some(0) || lifetime == Lifetime::Keep {
                    self.read.insert(key.into());
                    return;
                }
                let new = Value { is_bounded: lifetime != Lifetime::Unbounded, version: None, ..before };
                let is_sure = condition == LifetimeCondition::Always && !is_lease && before.version.is_some();
                self.set(ground, key, before, new, is_done && is_sure);
            }
            Step::DeleteRange { .. } => {
                (self.part().is_sweep, self.part().is_inexact) = (true, true);
            }
            Step::Get { key } => {
                let value = self.value(ground, key);
                self.answer_with(ground, value, true);
                self.read.insert(key.into());
            }
            Step::Range { range, limit, reverse } => self.range(ground, &range, limit, reverse),
        }
    }

    fn answer_with(&mut self, ground: Ground<'_>, value: Value, is_asked: bool) {
        if is_asked && value.is_there {
            self.answer += FOUND_BYTES + value.length;
            self.may_fail |= self.answer > 4 * ground.state.settings().value_max;
        }
    }

    fn range(&mut self, ground: Ground<'_>, range: &Range<'_>, limit: u64, reverse: bool) {
        let bytes_max = ground.state.settings().value_max;
        if ground.forecast.keys.is_empty() && ground.forecast.sweeps == 0 && self.keys.is_empty() {
            let page = ground.state.range(range, limit, bytes_max, reverse, ground.now);
            let found = page.entries.iter().map(|(key, entry)| key.len() + entry.value.len()).sum::<usize>();
            self.answer += found as u64 + (FOUND_BYTES + 10) * page.entries.len() as u64;
        } else {
            let count = ground.state.len() + (ground.forecast.keys.len() + self.keys.len()) as u64;
            let count = if limit > 0 { count.min(limit) } else { count };
            self.answer += bytes_max + KEY_MAX as u64 + (FOUND_BYTES + 10) * count;
            self.part().is_inexact = true;
        }
        self.may_fail |= self.answer > 4 * bytes_max;
    }

    /// What `key` has by then.
    fn value(&self, ground: Ground<'_>, key: &[u8]) -> Value {
        let mut value = self.keys.get(key).map_or_else(|| ground.value(key).0, |(value, _)| *value);
        if ground.forecast.sweeps > 0 || self.parts.iter().rev().take(1).any(|part| part.is_sweep) {
            (value.version, value.number) = (None, None);
        }
        value
    }

    /// `key` gets `new`, or may get it.
    fn set(&mut self, ground: Ground<'_>, key: &[u8], before: Value, new: Value, is_sure: bool) {
        let new = if is_sure { new } else { before.or(new) };
        self.part().is_inexact |= !is_sure;
        let key: Arc<[u8]> = key.into();
        let (old, now) = match self.keys.get(&key) {
            Some((value, now)) => (Some((*value, *now)), *now),
            None => (None, ground.value(&key).1),
        };
        if !self.before.1.contains_key(&key) {
            self.part().keys.push(Arc::clone(&key));
            self.before.1.insert(Arc::clone(&key), old);
        }
        let (less, more) = (before.footprint(&key), new.footprint(&key));
        self.sums.total += more as i64 - less as i64;
        if more > less {
            self.note_peak();
        }
        self.keys.insert(key, (new, now));
    }

    fn grow_beside(&mut self, bytes: u64) {
        self.part().beside += bytes;
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
        let Some(entry) = self.state.entries.get(key).map(Entry::of) else { return (Value::gone(), 0) };
        let is_live = self.state.is_live(&entry, self.now);
        let value = Value {
            is_there: true,
            is_live,
            is_bounded: matches!(entry.lifetime, Lifetime::Until(_) | Lifetime::Lease(_)),
            length: entry.value.len() as u64,
            number: parse_number(entry.value).filter(|_| is_live),
            version: Some(if is_live { entry.version } else { 0 }),
        };
        (value, entry_memory(key, &entry))
    }
}

impl Value {
    fn gone() -> Self {
        Self { version: Some(0), ..Self::default() }
    }

    fn footprint(&self, key: &[u8]) -> u64 {
        if self.is_there { footprint(key.len(), self.length as usize, self.is_bounded) } else { 0 }
    }

    /// One or the other.
    fn or(self, other: Self) -> Self {
        Self {
            is_there: self.is_there || other.is_there,
            is_live: self.is_live || other.is_live,
            is_bounded: self.is_bounded || other.is_bounded,
            length: self.length.max(other.length),
            number: None,
            version: None,
        }
    }

    fn meets(&self, condition: Condition) -> Option<bool> {
        match condition {
            Condition::Always => Some(true),
            Condition::Absent => self.version.map(|version| version == 0),
            Condition::Present => self.version.map(|version| version > 0),
            Condition::Version(expected) => self.version.map(|version| version == expected),
        }
    }
}

fn memory_of(state: &State, key: &[u8]) -> u64 {
    state.entries.get(key).map_or(0, |cell| entry_memory(key, &Entry::of(cell)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::{self, Index};

    fn command(step: Step<'_>) -> Command<'_> {
        Command { time: Timestamp::from_millis(1), request: None, operation: Operation::Step(step) }
    }

    fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Command<'a> {
        let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
        command(Step::Put { key, value, condition, lifetime, previous: false })
    }

    /// What takes keys out without naming them leaves nothing to be taken off for them.
    #[test]
    fn what_a_range_has_taken_out_is_taken_off_once() {
        let mut index = Index::new(&index::Options::default());
        index.apply_command(1, &put(b"key", &[b'v'; 1_000])).unwrap();
        let (all, small) = (command(Step::DeleteRange { range: Range::ALL, limit: 0 }), put(b"key", b"v"));
        let mut forecast = Forecast::default();
        for (sequence, command) in [(2, &all), (3, &small)] {
            forecast.push(0);
            forecast.look(index.state(), sequence, Some(command), 0);
        }
        index.apply_command(2, &all).unwrap();
        forecast.applied(index.state(), 2, 0);
        assert_eq!(index.state().memory(), 0);
        let comes_to = forecast.total(index.state());
        index.apply_command(3, &small).unwrap();
        assert!((index.state().memory()..1_200).contains(&comes_to), "{comes_to}");
        forecast.applied(index.state(), 3, 0);
        assert_eq!(forecast.total(index.state()), index.state().memory());
    }
}
