//! What the engine itself appends: expiry when it is due, eviction before there is no room.

use std::time::Duration;

use smallvec::SmallVec;

use super::clock::Now;
use super::durability::Durability;
use super::pending::{Entry, What};
use super::{Engine, Options};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::store::index::evict::{self, Eviction, Uses};
use crate::store::index::forecast::{self, Plan};
use crate::store::index::{Command, Operation, State, Step, Timestamp};
use crate::time::Instant;

/// The most keys that one command takes out: what is due beyond goes with the next, after what came meanwhile.
const EXPIRE_MAX: u64 = 1_000;
/// The longest wait for the clock, which may step meanwhile.
const CLOCK_WAIT: Duration = Duration::from_secs(1);
/// How soon a refused expiry is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// One eviction makes this part of `memory_max` free beyond what is needed, so that not each write needs one.
pub(super) const HEADROOM: u64 = 64;
/// The most bytes of keys in one eviction, unless one key is longer.
const KEY_BYTES_MAX: usize = 64 << 10;

/// What the engine's own commands need to know.
#[derive(Debug)]
pub(super) struct Own {
    rng: Rng,
    uses: Uses,
    /// An expiry was refused; not before then again.
    retry_at: Option<Instant>,
}

/// Whether there is room for a command.
pub(super) enum Room {
    /// There is, at a glance.
    Ample,
    /// There is, or it is to be refused when it is applied; this is what it does.
    Made(Plan),
    /// There is none for what would be remembered of it.
    None { limit: u64 },
}

impl Own {
    pub(super) fn new(rng: Rng, uses: Uses) -> Self {
        Self { rng, uses, retry_at: None }
    }
}

impl Engine {
    /// When keys were used, for who reads: see [`Uses::note`]. It counts with `lru` alone.
    pub fn uses(&self) -> Uses {
        self.own.uses.clone()
    }

    /// Takes out what has expired, if something has. What is left of it is due again at once.
    pub(super) fn handle_expiry(&mut self, now: Now) {
        if self.replica.is_some() || self.expiry_deadline(now).is_none_or(|at| at > now.instant) {
            return;
        }
        self.own.retry_at = None;
        let mut encoded = Vec::new();
        let operation = Operation::Expire { limit: EXPIRE_MAX };
        Command { time: self.time.at(now), request: None, operation }.encode(&mut encoded);
        if self.push_own(What::Expire(encoded), now) {
            self.counts.expiries += 1;
        } else {
            self.own.retry_at = Some(now.instant.saturating_add(RETRY));
        }
    }

    /// When something expires. One expiry is under way at a time.
    pub(super) fn expiry_deadline(&self, now: Now) -> Option<Instant> {
        if self.pending.is_expiring() || self.log.failure().is_some() || self.is_closed {
            return None;
        }
        let due = self.index.state().next_deadline()?;
        let wait = due.as_millis().saturating_sub(self.time.at(now).as_millis());
        let at = now.instant.saturating_add(Duration::from_millis(wait).min(CLOCK_WAIT));
        Some(self.own.retry_at.map_or(at, |retry| at.max(retry)))
    }

    /// By how much a command may make the state grow, at most; 0 where there is no limit.
    pub(super) fn bound(&self, command: &Command<'_>) -> u64 {
        if self.index.state().settings().memory_max == 0 { 0 } else { forecast::bound(command) }
    }

    /// Whether there has to be room for a command before it is in the log: keys are to go for it, or what is remembered of it is
    /// not looked at when it is applied.
    pub(super) fn needs_room(&self, command: &Command<'_>) -> bool {
        self.options.eviction != Eviction::Refuse || command.request.is_some()
    }

    /// Appends evictions while a command that may grow by `bound` does not fit. One is under way at a time, since the keys for the
    /// next are chosen from what it leaves: `Capacity` until it is done, when it does not make enough room for this too. `Capacity`
    /// also while it is not known how much room is needed, before what is under way is applied.
    pub(super) fn make_room_in_memory(
        &mut self,
        command: &Command<'_>,
        bound: u64,
        now: Now,
    ) -> Result<Room> {
        let limit = self.index.state().settings().memory_max;
        if bound == 0 || !self.needs_room(command) {
            return Ok(Room::Ample);
        }
        if self.pending.forecast().total(self.index.state()).saturating_add(bound) <= limit {
            return Ok(Room::Ample);
        }
        let command = Command { time: self.time.at(now), ..command.clone() };
        loop {
            let state = self.index.state();
            self.pending.look(state);
            let forecast = self.pending.forecast();
            let mut plan = Plan::default();
            plan.add(forecast, state, &command);
            let shortage = plan.shortage(forecast, state);
            if shortage == 0 {
                return Ok(Room::Made(plan));
            }
            let is_exact = forecast.is_exact() && plan.is_exact();
            if self.pending.is_evicting() || !is_exact && !self.pending.is_empty() {
                return Err(Error::Capacity { what: "memory_max", limit });
            }
            // What can never fit takes nothing out.
            let is_refused = command.request.is_some() && plan.is_too_much(forecast, state);
            let can_fit = plan.can_fit(state);
            if can_fit && self.evict(shortage + limit / HEADROOM, &plan, now) {
                continue;
            }
            // When there is nothing to take out, or no room to say so, the write itself is refused. What is under way can be taken
            // out later.
            let may_evict = can_fit && self.options.eviction != Eviction::Refuse;
            if (is_refused || may_evict) && !self.pending.is_empty() {
                return Err(Error::Capacity { what: "memory_max", limit });
            }
            if is_refused {
                return Ok(Room::None { limit });
            }
            plan.doubt(self.pending.forecast(), self.index.state(), &command);
            return Ok(Room::Made(plan));
        }
    }

    fn evict(&mut self, bytes: u64, plan: &Plan, now: Now) -> bool {
        let forecast = self.pending.forecast();
        let spared = |key: &[u8]| plan.has(key) || forecast.has(key);
        let Some(encoded) =
            eviction(self.index.state(), &self.options, &mut self.own, bytes, spared, self.time.at(now))
        else {
            return false;
        };
        let is_taken = self.push_own(What::Evict(encoded), now);
        self.counts.evictions += u64::from(is_taken);
        is_taken
    }

    /// A command that takes out keys which together have `bytes` or more, as far as one command can, and none that are `spared`;
    /// `None` when there is nothing to take out.
    pub(super) fn eviction(
        &mut self,
        bytes: u64,
        spared: impl Fn(&[u8]) -> bool,
        now: Now,
    ) -> Option<Vec<u8>> {
        eviction(self.index.state(), &self.options, &mut self.own, bytes, spared, self.time.at(now))
    }

    /// Notes the keys that a command is about as used.
    pub(super) fn note_uses(&self, operation: &Operation<'_>, now: Now) {
        self.note_uses_at(operation, now.clock);
    }

    /// Likewise, by this clock.
    pub(super) fn note_uses_at(&self, operation: &Operation<'_>, clock: Timestamp) {
        if self.options.eviction != Eviction::Lru {
            return;
        }
        let note = |step: &Step<'_>| match step {
            Step::Put { key, .. }
            | Step::Increment { key, .. }
            | Step::Append { key, .. }
            | Step::SetLifetime { key, .. }
            | Step::Get { key } => self.own.uses.note(key, clock),
            Step::Delete { .. } | Step::DeleteRange { .. } | Step::Range { .. } => {}
        };
        match operation {
            Operation::Step(step) => note(step),
            Operation::Transaction(transaction) => {
                transaction.then.iter().chain(&transaction.otherwise).for_each(note);
            }
            _ => {}
        }
    }

    /// Appends a command of the engine's own. Nobody waits for it, and nobody needs it on disk for its own sake.
    fn push_own(&mut self, what: What, now: Now) -> bool {
        let Ok(appended) = self.append(what.command(), now) else { return false };
        self.time.take(now);
        let entry = Entry {
            sequence: appended.sequence.0,
            record: appended.ticket,
            durability: Durability::Memory,
            what,
            waiting: SmallVec::new(),
            request: None,
            bound: 0,
        };
        self.pending.push(entry, None);
        self.apply_ready();
        true
    }
}

fn eviction(
    state: &State,
    options: &Options,
    own: &mut Own,
    bytes: u64,
    spared: impl Fn(&[u8]) -> bool,
    time: Timestamp,
) -> Option<Vec<u8>> {
    let most = state.settings().operations_max as usize;
    let mut victims = evict::victims(state, options.eviction, &own.uses, bytes, most, spared, &mut own.rng);
    // It is a record like others.
    let key_bytes_max = KEY_BYTES_MAX.min(options.log.payload_bytes_max() / 2);
    let mut key_bytes = 0;
    let fit = victims.iter().take_while(|(key, _)| {
        let is_first = key_bytes == 0;
        key_bytes += key.len() + 16;
        is_first || key_bytes <= key_bytes_max
    });
    let fit = fit.count();
    victims.truncate(fit);
    if victims.is_empty() {
        return None;
    }
    let keys = victims.iter().map(|(key, version)| (&key[..], *version)).collect();
    let mut encoded = Vec::new();
    Command { time, request: None, operation: Operation::Evict { keys } }.encode(&mut encoded);
    Some(encoded)
}
