//! The index as it would be if nothing mattered but that it can be read: maps that are copied whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use trimtab::store::index::{
    Answer, Command, Comparison, Condition, Found, Head, Lifetime, LifetimeCondition, OnRefusal, Operand,
    Operation, Outcome, Range, Refusal, Relation, Settings, Step, Timestamp, Transaction, WINDOW,
};

type Key = Vec<u8>;
type Answers = BTreeMap<u64, (u64, Answer)>;

#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<Key, Found>,
    pub(crate) leases: BTreeMap<u64, (u64, u64)>,
    /// Client to the sequence of its last request, and number to sequence and answer.
    pub(crate) clients: BTreeMap<[u8; 16], (u64, Answers)>,
    pub(crate) settings: Settings,
    pub(crate) time: u64,
    pub(crate) sequence: u64,
    /// What is remembered of clients counts towards the memory; the index tells how much it is.
    pub(crate) client_memory: u64,
    room: u64,
}

impl Model {
    pub(crate) fn apply(&mut self, sequence: u64, command: &Command<'_>) -> Outcome {
        self.sequence = sequence;
        self.time = self.time.max(command.time.as_millis());
        self.room = self.settings.value_max * 4;
        if let Some(request) = &command.request
            && let Some((_, answers)) = self.clients.get(&request.client)
        {
            if let Some((sequence, answer)) = answers.get(&request.number) {
                return Outcome { sequence: *sequence, is_repeated: true, answer: Ok(answer.clone()) };
            }
            let lowest = answers.keys().last().unwrap().saturating_sub(WINDOW - 1);
            if request.number < lowest {
                let answer = Err(Refusal::StaleRequest { lowest });
                return Outcome { sequence, is_repeated: false, answer };
            }
        }
        let answer = self.operation(&command.operation);
        if let (Some(request), Ok(answer)) = (&command.request, &answer) {
            let (last, answers) = self.clients.entry(request.client).or_default();
            *last = sequence;
            answers.insert(request.number, (sequence, answer.clone()));
            let lowest = answers.keys().last().unwrap().saturating_sub(WINDOW - 1);
            answers.retain(|number, _| *number >= lowest);
        }
        Outcome { sequence, is_repeated: false, answer }
    }

    /// The index forgets clients by the size of an encoding which the model does not have: it is told who is
    /// left, and sees to it that those who asked longest ago went.
    pub(crate) fn forget_clients(&mut self, count: u64) {
        while self.clients.len() as u64 > count {
            let oldest = *self.clients.iter().min_by_key(|(_, (last, _))| *last).unwrap().0;
            self.clients.remove(&oldest);
        }
        assert_eq!(self.clients.len() as u64, count);
    }

    pub(crate) fn is_live(&self, found: &Found, now: u64) -> bool {
        match found.lifetime {
            Lifetime::Until(deadline) => deadline.as_millis() > now,
            Lifetime::Lease(id) => self.leases.get(&id).is_some_and(|(_, deadline)| *deadline > now),
            _ => true,
        }
    }

    pub(crate) fn get(&self, key: &[u8], now: u64) -> Option<&Found> {
        self.entries.get(key).filter(|found| self.is_live(found, now))
    }

    pub(crate) fn live(&self, range: &Range<'_>, now: u64) -> Vec<(Key, Found)> {
        let is_in = |key: &[u8]| key >= range.start && range.end.is_none_or(|end| key < end);
        let live = self.entries.iter().filter(|(key, found)| is_in(key) && self.is_live(found, now));
        live.map(|(key, found)| (key.clone(), found.clone())).collect()
    }

    pub(crate) fn memory(&self) -> u64 {
        let entries = self.entries.iter().map(|(key, found)| {
            let bounded = if found.lifetime == Lifetime::Unbounded { 0 } else { 32 + key.len() };
            (64 + key.len() + found.value.len() + bounded) as u64
        });
        entries.sum::<u64>() + 128 * self.leases.len() as u64 + self.client_memory
    }

    fn operation(&mut self, operation: &Operation<'_>) -> Result<Answer, Refusal> {
        match operation {
            Operation::Step(step) => self.step(step),
            Operation::Transaction(transaction) => self.transaction(transaction),
            Operation::LeaseGrant { id, ttl_ms } => {
                match self.leases.get(id) {
                    Some((_, deadline)) if *deadline > self.time => {
                        return Err(Refusal::LeaseExists { id: *id });
                    }
                    _ => self.end_lease(*id),
                };
                let limit = self.settings.memory_max;
                if limit > 0 && self.memory() + 128 > limit {
                    return Err(Refusal::MemoryFull { limit });
                }
                self.leases.insert(*id, (*ttl_ms, self.time + ttl_ms));
                Ok(Answer::Lease { deadline: Timestamp::from_millis(self.time + ttl_ms) })
            }
            Operation::LeaseKeepAlive { id } => {
                let (ttl_ms, _) = *self.lease(*id)?;
                self.leases.insert(*id, (ttl_ms, self.time + ttl_ms));
                Ok(Answer::Lease { deadline: Timestamp::from_millis(self.time + ttl_ms) })
            }
            Operation::LeaseRevoke { id } => {
                self.lease(*id)?;
                Ok(Answer::Revoked { keys: self.end_lease(*id) })
            }
            Operation::Expire { limit } => Ok(self.expire(*limit)),
            Operation::Evict { keys } => {
                let before = self.entries.len();
                for (key, version) in keys {
                    if self.entries.get(*key).is_some_and(|found| found.version == *version) {
                        self.entries.remove(*key);
                    }
                }
                Ok(Answer::Evicted { keys: (before - self.entries.len()) as u64 })
            }
            Operation::Configure(settings) => {
                self.settings = *settings;
                Ok(Answer::Configured)
            }
        }
    }

    fn lease(&self, id: u64) -> Result<&(u64, u64), Refusal> {
        self.leases.get(&id).filter(|(_, deadline)| *deadline > self.time).ok_or(Refusal::NoLease { id })
    }

    fn end_lease(&mut self, id: u64) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|_, found| found.lifetime != Lifetime::Lease(id));
        self.leases.remove(&id);
        (before - self.entries.len()) as u64
    }

    fn expire(&mut self, limit: u64) -> Answer {
        let (mut keys, mut leases) = (0, 0);
        let mut due: Vec<(u64, Key)> = Vec::new();
        for (key, found) in &self.entries {
            if let Lifetime::Until(deadline) = found.lifetime
                && deadline.as_millis() <= self.time
            {
                due.push((deadline.as_millis(), key.clone()));
            }
        }
        due.sort();
        let mut ended: Vec<(u64, u64)> =
            self.leases.iter().map(|(id, (_, deadline))| (*deadline, *id)).collect();
        ended.retain(|(deadline, _)| *deadline <= self.time);
        ended.sort_unstable();
        for (_, key) in due {
            if limit > 0 && keys == limit {
                return Answer::Expired { keys, leases, more: true };
            }
            self.entries.remove(&key);
            keys += 1;
        }
        for (_, id) in ended {
            let of_lease: Vec<Key> = self
                .entries
                .iter()
                .filter(|(_, found)| found.lifetime == Lifetime::Lease(id))
                .map(|(key, _)| key.clone())
                .collect();
            for key in of_lease {
                if limit > 0 && keys == limit {
                    return Answer::Expired { keys, leases, more: true };
                }
                self.entries.remove(&key);
                keys += 1;
            }
            self.leases.remove(&id);
            leases += 1;
        }
        Answer::Expired { keys, leases, more: false }
    }

    fn transaction(&mut self, transaction: &Transaction<'_>) -> Result<Answer, Refusal> {
        let is_met = transaction.conditions.iter().all(|comparison| self.holds(comparison));
        let steps = if is_met { &transaction.then } else { &transaction.otherwise };
        let before = self.clone();
        let mut answers = Vec::new();
        for step in steps {
            let answer = self.step(step);
            if let (Err(refusal), OnRefusal::Abort) = (&answer, transaction.on_refusal) {
                *self = before;
                return Err(*refusal);
            }
            answers.push(answer);
        }
        Ok(Answer::Transaction { is_met, answers })
    }

    fn holds(&self, comparison: &Comparison<'_>) -> bool {
        let found = self.get(comparison.key, self.time);
        let order = match comparison.operand {
            Operand::Version(n) => found.map_or(0, |found| found.version).cmp(&n),
            Operand::Created(n) => found.map_or(0, |found| found.created).cmp(&n),
            Operand::Changes(n) => found.map_or(0, |found| found.changes).cmp(&n),
            Operand::Lease(n) => match found.map(|found| found.lifetime) {
                Some(Lifetime::Lease(id)) => id.cmp(&n),
                _ => 0.cmp(&n),
            },
            Operand::Value(value) => match found {
                Some(found) => found.value[..].cmp(value),
                None => std::cmp::Ordering::Less,
            },
        };
        match comparison.relation {
            Relation::Equal => order.is_eq(),
            Relation::NotEqual => order.is_ne(),
            Relation::Less => order.is_lt(),
            Relation::Greater => order.is_gt(),
        }
    }

    fn step(&mut self, step: &Step<'_>) -> Result<Answer, Refusal> {
        let now = self.time;
        match *step {
            Step::Put { key, value, condition, lifetime, previous } => {
                let (version, before) = self.before(key, previous);
                if !is_met(condition, version) {
                    return Ok(Answer::NotMet { version, previous: self.charged(before)? });
                }
                let before = self.charged(before)?;
                let lifetime = self.lifetime(key, lifetime)?;
                self.put(key, value, lifetime)?;
                Ok(Answer::Put { previous: before })
            }
            Step::Delete { key, condition, previous } => {
                let (version, before) = self.before(key, previous);
                let before = self.charged(before)?;
                if !is_met(condition, version) {
                    return Ok(Answer::NotMet { version, previous: before });
                }
                self.entries.remove(key);
                Ok(Answer::Deleted { count: u64::from(version > 0), previous: before, more: false })
            }
            Step::Increment { key, by } => {
                let number = match self.get(key, now) {
                    Some(found) => {
                        let text = std::str::from_utf8(&found.value)
                            .map_err(|_| Refusal::NotANumber(Head::UNKNOWN))?;
                        let digits = text.strip_prefix('-').unwrap_or(text);
                        let is_plain = text == "0" || (!digits.starts_with('0') && !digits.starts_with('+'));
                        if !is_plain {
                            return Err(Refusal::NotANumber(Head::UNKNOWN));
                        }
                        text.parse::<i64>().map_err(|_| Refusal::NotANumber(Head::UNKNOWN))?
                    }
                    None => 0,
                };
                let sum =
                    i64::try_from(i128::from(number) + i128::from(by)).map_err(|_| Refusal::Overflow)?;
                let lifetime = self.lifetime(key, Lifetime::Keep)?;
                self.put(key, sum.to_string().as_bytes(), lifetime)?;
                Ok(Answer::Number(sum))
            }
            Step::Append { key, value } => {
                let mut whole = self.get(key, now).map_or(Vec::new(), |found| found.value.to_vec());
                whole.extend_from_slice(value);
                if whole.len() as u64 > self.settings.value_max {
                    return Err(Refusal::TooLarge { limit: self.settings.value_max });
                }
                let lifetime = self.lifetime(key, Lifetime::Keep)?;
                self.put(key, &whole, lifetime)?;
                Ok(Answer::Length(whole.len() as u64))
            }
            Step::SetLifetime { key, lifetime, condition } => {
                let new = self.lifetime(key, lifetime)?;
                let Some(found) = self.get(key, now).cloned() else {
                    return Ok(Answer::NotMet { version: 0, previous: None });
                };
                let deadline = |lifetime| match lifetime {
                    Lifetime::Until(deadline) => Some(deadline),
                    _ => None,
                };
                let is_met = match (condition, deadline(found.lifetime), deadline(new)) {
                    (LifetimeCondition::Always, ..) => true,
                    (LifetimeCondition::NoDeadline, before, _) => before.is_none(),
                    (LifetimeCondition::Deadline, before, _) => before.is_some(),
                    (LifetimeCondition::Later, Some(before), Some(after)) => after > before,
                    (LifetimeCondition::Later, before, after) => before.is_some() && after.is_none(),
                    (LifetimeCondition::Earlier, Some(before), Some(after)) => after < before,
                    (LifetimeCondition::Earlier, before, after) => before.is_none() && after.is_some(),
                };
                if !is_met {
                    return Ok(Answer::NotMet { version: found.version, previous: None });
                }
                if lifetime != Lifetime::Keep {
                    self.put(key, &found.value, new)?;
                }
                Ok(Answer::LifetimeSet)
            }
            Step::DeleteRange { range, limit } => {
                let live: Vec<Key> = self.live(&range, now).into_iter().map(|(key, _)| key).collect();
                let take = if limit == 0 { live.len() } else { live.len().min(limit as usize) };
                let stop = live.get(take).cloned();
                // What has expired goes with them, up to the first that stays.
                let is_in = |key: &[u8]| {
                    key >= range.start
                        && range.end.is_none_or(|end| key < end)
                        && stop.as_ref().is_none_or(|stop| key < stop.as_slice())
                };
                self.entries.retain(|key, _| !is_in(key));
                Ok(Answer::Deleted { count: take as u64, previous: None, more: stop.is_some() })
            }
            Step::Get { key } => {
                let found = self.get(key, now).cloned();
                Ok(Answer::Got(self.charged(found)?))
            }
            Step::Range { range, limit, reverse } => {
                let mut live = self.live(&range, now);
                if reverse {
                    live.reverse();
                }
                let (mut entries, mut bytes, mut more) = (Vec::new(), 0, false);
                for (key, found) in live {
                    let size = (key.len() + found.value.len()) as u64;
                    let is_full = limit > 0 && entries.len() as u64 == limit;
                    let bytes_max = self.settings.value_max.min(self.room);
                    if is_full || (!entries.is_empty() && bytes + size > bytes_max) {
                        more = true;
                        break;
                    }
                    bytes += size;
                    entries.push((key, found));
                }
                self.charge(bytes)?;
                Ok(Answer::Range { entries, more })
            }
        }
    }

    fn before(&self, key: &[u8], is_asked: bool) -> (u64, Option<Found>) {
        let found = self.get(key, self.time);
        (found.map_or(0, |found| found.version), found.filter(|_| is_asked).cloned())
    }

    fn charged(&mut self, found: Option<Found>) -> Result<Option<Found>, Refusal> {
        self.charge(found.as_ref().map_or(0, |found| found.value.len() as u64))?;
        Ok(found)
    }

    fn charge(&mut self, bytes: u64) -> Result<(), Refusal> {
        let limit = self.settings.value_max * 4;
        if bytes > self.room {
            return Err(Refusal::AnswerTooLarge { limit });
        }
        self.room -= bytes;
        Ok(())
    }

    fn lifetime(&self, key: &[u8], lifetime: Lifetime) -> Result<Lifetime, Refusal> {
        match lifetime {
            Lifetime::Keep => {
                Ok(self.get(key, self.time).map_or(Lifetime::Unbounded, |found| found.lifetime))
            }
            Lifetime::Lease(id) => self.lease(id).map(|_| lifetime),
            other => Ok(other),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], lifetime: Lifetime) -> Result<(), Refusal> {
        if self.entries.contains_key(key) && self.get(key, self.time).is_none() {
            self.entries.remove(key);
        }
        let old = self.entries.get(key);
        let new = Found {
            value: Arc::from(value),
            version: self.sequence,
            created: old.map_or(self.sequence, |old| old.created),
            changes: old.map_or(1, |old| old.changes + 1),
            lifetime,
        };
        let memory_before = self.memory();
        let old = self.entries.insert(key.to_vec(), new);
        let limit = self.settings.memory_max;
        if limit > 0 && self.memory() > memory_before && self.memory() > limit {
            match old {
                Some(old) => self.entries.insert(key.to_vec(), old),
                None => self.entries.remove(key),
            };
            return Err(Refusal::MemoryFull { limit });
        }
        Ok(())
    }
}

fn is_met(condition: Condition, version: u64) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Absent => version == 0,
        Condition::Present => version != 0,
        Condition::Version(expected) => version == expected,
    }
}
