//! What the engine itself appends: expiry when it is due, eviction before there is no room.

use std::time::Duration;

use smallvec::SmallVec;

use super::Engine;
use super::clock::Now;
use super::durability::Durability;
use super::pending::{Entry, What};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::store::index::evict::{self, Eviction, Uses};
use crate::store::index::{Command, Operation, Step, Timestamp};
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

    /// Appends evictions while `growth` more bytes do not fit. One is under way at a time, since the keys for the next
    /// are chosen from what it leaves: `Capacity` until it is done, when it does not make enough room for this too.
    pub(super) fn make_room_in_memory(&mut self, growth: u64, now: Now) -> Result<()> {
        let limit = self.index.state().settings().memory_max;
        // What can never fit takes nothing out.
        if growth == 0 || growth > limit || self.options.eviction == Eviction::Refuse {
            return Ok(());
        }
        loop {
            let state = self.index.state();
            let (more, room) = self.pending.growth_and_room();
            let shortage = evict::shortage(state, growth + more).saturating_sub(room);
            if shortage == 0 {
                return Ok(());
            }
            if self.pending.is_evicting() {
                return Err(Error::Capacity { what: "memory_max", limit });
            }
            // When there is nothing to take out, or no room to say so, the write itself is refused.
            if !self.evict(shortage + limit / HEADROOM, now) {
                return Ok(());
            }
        }
    }

    fn evict(&mut self, bytes: u64, now: Now) -> bool {
        let Some((encoded, freed)) = self.eviction(bytes, now) else { return false };
        let is_taken = self.push_own(What::Evict(encoded, freed), now);
        self.counts.evictions += u64::from(is_taken);
        is_taken
    }

    /// A command that takes out keys which together have `bytes` or more, as far as one command can, and how many bytes
    /// that frees; `None` when there is nothing to take out.
    pub(super) fn eviction(&mut self, bytes: u64, now: Now) -> Option<(Vec<u8>, u64)> {
        let state = self.index.state();
        let most = state.settings().operations_max as usize;
        let mut victims =
            evict::victims(state, self.options.eviction, &self.own.uses, bytes, most, &mut self.own.rng);
        // It is a record like others.
        let key_bytes_max = KEY_BYTES_MAX.min(self.options.log.payload_bytes_max() / 2);
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
        let freed = |(key, _): &(Vec<u8>, u64)| {
            let entry = state.get(key, Timestamp::default())?;
            Some(evict::footprint(key.len(), entry.value.len(), entry.deadline().is_some()))
        };
        let freed = victims.iter().filter_map(freed).sum();
        let keys = victims.iter().map(|(key, version)| (&key[..], *version)).collect();
        let mut encoded = Vec::new();
        Command { time: self.time.at(now), request: None, operation: Operation::Evict { keys } }
            .encode(&mut encoded);
        Some((encoded, freed))
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
        self.pending.push(Entry {
            sequence: appended.sequence.0,
            record: appended.ticket,
            durability: Durability::Memory,
            what,
            waiting: SmallVec::new(),
            request: None,
            growth: 0,
        });
        self.apply_ready();
        true
    }
}
