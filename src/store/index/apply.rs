//! What each operation does to the state.

use super::command::{
    Comparison, Condition, Lifetime, LifetimeCondition, OnRefusal, Operand, Operation, Range, Relation, Step,
    Transaction,
};
use super::entry::{Entry, Found};
use super::evict::footprint;
use super::history::EventKind;
use super::outcome::{Answer, Head, Refusal};
use super::state::{Lease, number_at};
use super::writer::{NewValue, Writer};

type Answered = Result<Answer, Refusal>;

/// One command on its way through.
pub(super) struct Run<'a> {
    pub(super) writer: Writer<'a>,
    /// Bytes that answers may still have.
    room: u64,
}

/// Keys taken out of a range before it is looked at again.
const SWEEP: usize = 256;

impl<'a> Run<'a> {
    pub(super) fn new(writer: Writer<'a>) -> Self {
        let room = writer.state.settings.value_max * 4;
        Self { writer, room }
    }

    pub(super) fn operation(&mut self, operation: &Operation<'_>) -> Answered {
        let now = self.writer.now();
        match operation {
            Operation::Step(step) => self.step(step),
            Operation::Transaction(transaction) => self.transaction(transaction),
            Operation::LeaseGrant { id, ttl_ms } => {
                if let Some(old) = self.writer.state.lease_of(*id) {
                    if old.deadline > now {
                        return Err(Refusal::LeaseExists { id: *id });
                    }
                    self.writer.end_lease(*id, old, EventKind::Expired);
                }
                self.live_on(*id, *ttl_ms)
            }
            Operation::LeaseKeepAlive { id } => {
                let lease = self.writer.state.lease(*id, now).ok_or(Refusal::NoLease { id: *id })?;
                self.live_on(*id, lease.ttl_ms)
            }
            Operation::LeaseRevoke { id } => {
                let lease = self.writer.state.lease(*id, now).ok_or(Refusal::NoLease { id: *id })?;
                Ok(Answer::Revoked { keys: self.writer.end_lease(*id, lease, EventKind::Revoked) })
            }
            Operation::Expire { limit } => Ok(self.expire(*limit)),
            Operation::Evict { keys } => {
                let mut count = 0;
                for (key, version) in keys {
                    let is_same = self
                        .writer
                        .state
                        .entries
                        .get(key)
                        .is_some_and(|cell| Entry::of(cell).version == *version);
                    count += u64::from(is_same && self.writer.remove(key, EventKind::Evicted));
                }
                Ok(Answer::Evicted { keys: count })
            }
            Operation::Configure(settings) => {
                self.writer.configure(*settings);
                Ok(Answer::Configured)
            }
        }
    }

    fn step(&mut self, step: &Step<'_>) -> Answered {
        match *step {
            Step::Put { key, value, condition, lifetime, previous } => {
                if let Some(not_met) = self.not_met(key, condition, previous)? {
                    return Ok(not_met);
                }
                let previous = self.previous(key, previous)?;
                let lifetime = self.lifetime(key, lifetime)?;
                self.writer.put(key, NewValue::Bytes(value), lifetime, EventKind::Put)?;
                Ok(Answer::Put { previous })
            }
            Step::Delete { key, condition, previous } => {
                if let Some(not_met) = self.not_met(key, condition, previous)? {
                    return Ok(not_met);
                }
                let previous = self.previous(key, previous)?;
                let is_live = self.writer.get(key).is_some();
                let kind = if is_live { EventKind::Deleted } else { EventKind::Expired };
                self.writer.remove(key, kind);
                Ok(Answer::Deleted { count: u64::from(is_live), previous, more: false })
            }
            Step::Increment { key, by } => {
                let number = match self.writer.get(key) {
                    Some(entry) => {
                        parse_number(entry.value).ok_or_else(|| Refusal::NotANumber(Head::of(entry.value)))?
                    }
                    None => 0,
                };
                let sum = number.checked_add(by).ok_or(Refusal::Overflow)?;
                let lifetime = self.lifetime(key, Lifetime::Keep)?;
                let value = sum.to_string();
                self.writer.put(key, NewValue::Bytes(value.as_bytes()), lifetime, EventKind::Incremented)?;
                Ok(Answer::Number(sum))
            }
            Step::Append { key, value } => {
                let lifetime = self.lifetime(key, Lifetime::Keep)?;
                let limit = self.writer.state.settings.value_max;
                let before = self.writer.get(key).map_or(&[][..], |entry| entry.value);
                let length = (before.len() + value.len()) as u64;
                if length > limit {
                    return Err(Refusal::TooLarge { limit });
                }
                let whole = [before, value].concat();
                self.writer.put(key, NewValue::Bytes(&whole), lifetime, EventKind::Appended)?;
                Ok(Answer::Length(length))
            }
            Step::SetLifetime { key, lifetime, condition } => self.set_lifetime(key, lifetime, condition),
            Step::DeleteRange { range, limit } => Ok(self.delete_range(&range, limit)),
            Step::Get { key } => Ok(Answer::Got(self.previous(key, true)?)),
            Step::Range { range, limit, reverse } => {
                let bytes_max = self.writer.state.settings.value_max.min(self.room);
                let page = self.writer.state.range(&range, limit, bytes_max, reverse, self.writer.now());
                let (entries, more) = (page.to_found(), page.more);
                let bytes = entries.iter().map(|(key, found)| key.len() + found.value.len()).sum::<usize>();
                self.charge(bytes)?;
                Ok(Answer::Range { entries, more })
            }
        }
    }

    fn transaction(&mut self, transaction: &Transaction<'_>) -> Answered {
        let is_met = transaction
            .conditions
            .iter()
            .all(|comparison| holds(self.writer.get(comparison.key).as_ref(), comparison));
        let steps = if is_met { &transaction.then } else { &transaction.otherwise };
        let aborts = transaction.on_refusal == OnRefusal::Abort;
        // Kept only if it may be gone back to: all that is changed while it is there is copied.
        let before = (aborts && self.may_go_back(steps)).then(|| self.writer.state.clone());
        let events = self.writer.events.mark();
        let mut answers = Vec::with_capacity(steps.len());
        for step in steps {
            let answer = self.step(step);
            if let (Err(refusal), true) = (&answer, aborts) {
                if let Some(before) = before {
                    *self.writer.state = before;
                }
                self.writer.events.go_back(&events);
                return Err(*refusal);
            }
            answers.push(answer);
        }
        Ok(Answer::Transaction { is_met, answers })
    }

    /// Whether one of `steps` may be refused when something was changed already. The first is refused before it changes
    /// anything, unless it is for want of memory: what has expired was taken out then.
    fn may_go_back(&self, steps: &[Step<'_>]) -> bool {
        let state = &*self.writer.state;
        let limit = state.settings.memory_max;
        let may_be_full =
            limit > 0 && steps.iter().map(growth).sum::<u64>() > limit.saturating_sub(state.memory);
        may_be_full || steps.iter().skip(1).any(may_be_refused)
    }

    /// The answer if `condition` does not hold.
    fn not_met(
        &mut self,
        key: &[u8],
        condition: Condition,
        previous: bool,
    ) -> Result<Option<Answer>, Refusal> {
        if condition == Condition::Always {
            return Ok(None);
        }
        let version = self.writer.get(key).map_or(0, |entry| entry.version);
        let is_met = match condition {
            Condition::Always => true,
            Condition::Absent => version == 0,
            Condition::Present => version > 0,
            Condition::Version(expected) => version == expected,
        };
        if is_met {
            return Ok(None);
        }
        Ok(Some(Answer::NotMet { version, previous: self.previous(key, previous)? }))
    }

    fn previous(&mut self, key: &[u8], is_asked: bool) -> Result<Option<Found>, Refusal> {
        let found = is_asked.then(|| self.writer.get(key)).flatten().map(|entry| entry.to_found());
        self.charge(found.as_ref().map_or(0, |found| found.value.len()))?;
        Ok(found)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Refusal> {
        let limit = self.writer.state.settings.value_max * 4;
        self.room = self.room.checked_sub(bytes as u64).ok_or(Refusal::AnswerTooLarge { limit })?;
        Ok(())
    }

    /// What `lifetime` means for `key`.
    fn lifetime(&self, key: &[u8], lifetime: Lifetime) -> Result<Lifetime, Refusal> {
        match lifetime {
            Lifetime::Keep => Ok(self.writer.get(key).map_or(Lifetime::Unbounded, |entry| entry.lifetime)),
            Lifetime::Lease(id) if self.writer.state.lease(id, self.writer.now()).is_none() => {
                Err(Refusal::NoLease { id })
            }
            other => Ok(other),
        }
    }

    fn set_lifetime(&mut self, key: &[u8], lifetime: Lifetime, condition: LifetimeCondition) -> Answered {
        let new = self.lifetime(key, lifetime)?;
        let Some(entry) = self.writer.get(key) else {
            return Ok(Answer::NotMet { version: 0, previous: None });
        };
        let is_met = lifetime_is_met(entry.lifetime, new, condition);
        if !is_met {
            return Ok(Answer::NotMet { version: entry.version, previous: None });
        }
        if lifetime == Lifetime::Keep {
            return Ok(Answer::LifetimeSet);
        }
        match entry.shared.cloned() {
            Some(shared) => self.writer.put(key, NewValue::Shared(&shared), new, EventKind::LifetimeSet)?,
            None => {
                let value = entry.value.to_vec();
                self.writer.put(key, NewValue::Bytes(&value), new, EventKind::LifetimeSet)?;
            }
        }
        Ok(Answer::LifetimeSet)
    }

    fn delete_range(&mut self, range: &Range<'_>, limit: u64) -> Answer {
        let limit = if limit == 0 { u64::MAX } else { limit };
        let mut count = 0;
        loop {
            let state = &*self.writer.state;
            let mut keys = Vec::new();
            let _ = state.entries.scan(range.start, range.end, false, |key, cell| {
                if keys.len() == SWEEP {
                    return std::ops::ControlFlow::Break(());
                }
                keys.push((key.to_vec(), state.is_live(&Entry::of(cell), state.time)));
                std::ops::ControlFlow::Continue(())
            });
            if keys.is_empty() {
                return Answer::Deleted { count, previous: None, more: false };
            }
            for (key, is_live) in keys {
                if is_live && count == limit {
                    return Answer::Deleted { count, previous: None, more: true };
                }
                let kind = if is_live { EventKind::Deleted } else { EventKind::Expired };
                self.writer.remove(&key, kind);
                count += u64::from(is_live);
            }
        }
    }

    fn live_on(&mut self, id: u64, ttl_ms: u64) -> Answered {
        let deadline = self.writer.now().saturating_add(ttl_ms);
        self.writer.put_lease(id, Lease { ttl_ms, deadline })?;
        Ok(Answer::Lease { deadline })
    }

    fn expire(&mut self, limit: u64) -> Answer {
        let limit = if limit == 0 { u64::MAX } else { limit };
        let now = self.writer.now().as_millis();
        let (mut keys, mut leases) = (0, 0);
        loop {
            let next_key = self.writer.state.deadlines.first_from(b"").map(|(key, _)| key);
            let next_lease = self.writer.state.lease_deadlines.first_from(b"").map(|(key, _)| key);
            let more = keys == limit;
            if let Some(due) = next_key.filter(|due| number_at(due, 0) <= now) {
                if more {
                    return Answer::Expired { keys, leases, more };
                }
                self.writer.remove(&due[8..], EventKind::Expired);
                keys += 1;
            } else if let Some(due) = next_lease.filter(|due| number_at(due, 0) <= now) {
                let id = number_at(&due, 8);
                match self.writer.key_of_lease(id) {
                    Some(_) if more => return Answer::Expired { keys, leases, more },
                    Some(key) => {
                        self.writer.remove(&key, EventKind::Expired);
                        keys += 1;
                    }
                    None => {
                        let lease = self.writer.state.lease_of(id).expect("its deadline is there");
                        self.writer.end_lease(id, lease, EventKind::Expired);
                        leases += 1;
                    }
                }
            } else {
                return Answer::Expired { keys, leases, more: false };
            }
        }
    }
}

/// Whether it holds for a key that has this.
pub(super) fn holds(entry: Option<&Entry<'_>>, comparison: &Comparison<'_>) -> bool {
    let number = |of: fn(&Entry<'_>) -> u64| entry.map_or(0, of);
    let order = match comparison.operand {
        Operand::Version(version) => number(|entry| entry.version).cmp(&version),
        Operand::Created(version) => number(|entry| entry.created).cmp(&version),
        Operand::Changes(changes) => number(|entry| entry.changes).cmp(&changes),
        Operand::Lease(id) => number(|entry| entry.lease().unwrap_or(0)).cmp(&id),
        Operand::Value(value) => entry.map(|entry| entry.value).cmp(&Some(value)),
    };
    match comparison.relation {
        Relation::Equal => order.is_eq(),
        Relation::NotEqual => order.is_ne(),
        Relation::Less => order.is_lt(),
        Relation::Greater => order.is_gt(),
    }
}

/// Whether a lifetime may be changed from `before` to `new`.
pub(super) fn lifetime_is_met(before: Lifetime, new: Lifetime, condition: LifetimeCondition) -> bool {
    // No deadline is one after all others.
    let moment = |lifetime| match lifetime {
        Lifetime::Until(deadline) => u128::from(deadline.as_millis()),
        _ => u128::MAX,
    };
    let (before, after) = (moment(before), moment(new));
    match condition {
        LifetimeCondition::Always => true,
        LifetimeCondition::NoDeadline => before == u128::MAX,
        LifetimeCondition::Deadline => before < u128::MAX,
        LifetimeCondition::Later => after > before,
        LifetimeCondition::Earlier => after < before,
    }
}

/// By how much a step may make the state grow, at most.
fn growth(step: &Step<'_>) -> u64 {
    match step {
        Step::Put { key, value, .. } | Step::Append { key, value } => footprint(key.len(), value.len(), true),
        Step::Increment { key, .. } => footprint(key.len(), 20, true),
        Step::SetLifetime { key, .. } => footprint(key.len(), 0, true),
        Step::Delete { .. } | Step::DeleteRange { .. } | Step::Get { .. } | Step::Range { .. } => 0,
    }
}

/// Whether a step may be refused though there is memory for it.
fn may_be_refused(step: &Step<'_>) -> bool {
    match step {
        Step::Put { lifetime, previous, .. } => *previous || matches!(lifetime, Lifetime::Lease(_)),
        Step::SetLifetime { lifetime, .. } => matches!(lifetime, Lifetime::Lease(_)),
        Step::Delete { previous, .. } => *previous,
        Step::DeleteRange { .. } => false,
        Step::Increment { .. } | Step::Append { .. } | Step::Get { .. } | Step::Range { .. } => true,
    }
}

/// A whole number in its one form: no plus, no zeros before it, no minus zero.
pub(super) fn parse_number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= 20)?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}
