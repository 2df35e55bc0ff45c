//! Room in memory: keys that go for what is written, where `eviction` says so. The primary chooses them and proposes an entry
//! that takes them out, before the entries that need the room; all nodes apply it alike.
//!
//! What is chosen depends on what is applied, so one such entry is under way at a time. What it does not make room for waits
//! until it is applied; when there is nothing more to take out it goes into the log all the same, and is refused there, on all
//! nodes alike. What needs room behind settings waits until those are applied: they say how much there is.

use std::collections::VecDeque;

use raft::eraftpb::Entry;

use super::Node;
use crate::store::index::forecast::{Forecast, Plan};
use crate::store::index::{Command, State};

/// What the entries of this reign that are not applied yet do to the size of the state.
#[derive(Debug, Default)]
pub(super) struct Room {
    under_way: VecDeque<UnderWay>,
    forecast: Forecast,
    evictions: usize,
    /// Where settings stand that are not in force yet, the last ones.
    settings: Option<u64>,
}

#[derive(Debug)]
struct UnderWay {
    sequence: u64,
    /// Bytes by which the state may grow, at most.
    bound: u64,
    /// As it is in the log, in the same memory.
    entry: Entry,
    is_eviction: bool,
}

/// Whether there is room.
pub(super) enum Made {
    /// For this.
    Room(Plan),
    /// It has to wait: for an eviction that is under way, for what it depends on, for what came before this reign, or for room in
    /// the log.
    Wait,
    /// There is none for what would be remembered.
    None,
}

impl Room {
    /// An entry was put into the log.
    pub(super) fn push(&mut self, sequence: u64, bound: u64, entry: Entry) {
        self.forecast.push(bound);
        self.under_way.push_back(UnderWay { sequence, bound, entry, is_eviction: false });
    }

    /// Entries that were planned were put into the log, from `first` on.
    pub(super) fn take(&mut self, first: u64, plan: Plan, entries: impl Iterator<Item = Entry>) {
        self.forecast.take(first, plan);
        for (sequence, entry) in (first..).zip(entries) {
            self.under_way.push_back(UnderWay { sequence, bound: 0, entry, is_eviction: false });
        }
    }

    /// An entry with settings was put into the log.
    pub(super) fn note_settings(&mut self, sequence: u64) {
        self.settings = Some(sequence);
    }

    /// Whether what comes next is judged by settings that are not in force yet.
    pub(super) fn has_settings(&self) -> bool {
        self.settings.is_some()
    }

    /// Entries up to this one are applied.
    pub(super) fn applied(&mut self, state: &State, sequence: u64) {
        self.settings = self.settings.filter(|settings| *settings > sequence);
        while let Some(first) = self.under_way.pop_front_if(|first| first.sequence <= sequence) {
            self.forecast.applied(state, first.sequence, first.bound);
            self.evictions -= usize::from(first.is_eviction);
        }
    }

    /// Nothing is under way: this is no primary, or has just become one.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the memory comes to by what is under way.
    pub(super) fn total(&self, state: &State) -> u64 {
        self.forecast.total(state)
    }

    /// Adds one to a plan, if it fits too; else the plan is as it was.
    pub(super) fn add(&self, state: &State, plan: &mut Plan, payload: &[u8]) -> bool {
        let Ok(command) = Command::decode(payload, state.settings()) else { return false };
        plan.add(&self.forecast, state, &command);
        let fits = plan.shortage(&self.forecast, state) == 0;
        if !fits {
            plan.undo();
        }
        fits
    }

    fn look(&mut self, state: &State) {
        let unseen = self.under_way.len() - self.forecast.unseen()..;
        for UnderWay { sequence, bound, entry, .. } in self.under_way.range(unseen) {
            let command = Command::decode(&entry.data, state.settings());
            self.forecast.look(state, *sequence, command.ok().as_ref(), *bound);
        }
    }
}

impl Node {
    /// Has keys taken out, if need be, for a proposal.
    pub(super) fn make_room_in_memory(&mut self, payload: &[u8]) -> Made {
        loop {
            let state = self.engine.state();
            self.room.look(state);
            let forecast = &self.room.forecast;
            let Ok(command) = Command::decode(payload, state.settings()) else {
                // By the settings of now, which were others: it is refused when it is applied.
                return Made::Room(Plan::unknown());
            };
            let mut plan = Plan::default();
            plan.add(forecast, state, &command);
            let shortage = plan.shortage(forecast, state);
            if shortage == 0 {
                return Made::Room(plan);
            }
            let is_idle = self.room.under_way.is_empty();
            let is_exact = forecast.is_exact() && plan.is_exact();
            if self.room.evictions > 0 || !is_exact && !is_idle {
                return Made::Wait;
            }
            let is_refused = command.request.is_some() && plan.is_too_much(forecast, state);
            let spared = |key: &[u8]| plan.has(key) || forecast.has(key);
            // What can never fit takes nothing out.
            let may_evict = plan.can_fit(state) && self.engine.evicts();
            let eviction = may_evict.then(|| self.engine.evict_for(shortage, spared, self.now));
            let Some(payload) = eviction.flatten() else {
                // There is nothing to take out: the write itself is refused. What is under way can be taken out later.
                if (is_refused || may_evict) && !is_idle {
                    return Made::Wait;
                }
                if is_refused {
                    return Made::None;
                }
                plan.doubt(&self.room.forecast, self.engine.state(), &command);
                return Made::Room(plan);
            };
            let entry = Entry { data: payload.into(), ..Entry::default() };
            let Some(sequence) = self.propose_own(entry.clone()) else { return Made::Wait };
            self.engine.note_eviction();
            self.room.evictions += 1;
            self.room.forecast.push(0);
            let (bound, is_eviction) = (0, true);
            self.room.under_way.push_back(UnderWay { sequence, bound, entry, is_eviction });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_is_under_way_no_more() {
        let (state, mut room) = (State::default(), Room::default());
        room.push(3, 100, Entry::default());
        room.push(5, 0, Entry::default());
        room.push(6, 20, Entry::default());
        assert_eq!(room.total(&state), 120);
        room.applied(&state, 2);
        assert_eq!(room.total(&state), 120);
        room.applied(&state, 5);
        assert_eq!((room.total(&state), room.under_way.len()), (20, 1));
        room.clear();
        room.applied(&state, 9);
        assert_eq!((room.total(&state), room.under_way.len()), (0, 0));
    }
}
