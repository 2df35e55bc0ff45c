//! Source and hash: the key's place decides. When the backend there may not be picked, the next one in
//! hash order takes the key, so that the key goes to the same substitute every time.
//!
//! With `bounded_load` a backend takes at most that many times its share of the connections in flight
//! (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with Bounded Loads", 2018).

use super::{Ask, onward};
use crate::balance::explain::Trace;
use crate::balance::hashing::Place;
use crate::balance::hashing::bounded;
use crate::balance::hashing::key::{hash32, hash64};
use crate::balance::hashing::maglev::Maglev;
use crate::balance::hashing::rendezvous::Rendezvous;
use crate::balance::hashing::ring::Ring;
use crate::balance::member::Member;
use crate::balance::options::{Hash, Options};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    table: Table,
    hash_seed: u64,
    /// `bounded_load` in percent.
    factor_percent: Option<u32>,
}

#[derive(Clone, Debug)]
enum Table {
    Ring(Ring),
    Maglev(Maglev),
    Rendezvous(Rendezvous),
}

impl Plan {
    pub(super) fn build(options: &Options, serving: &[&Member]) -> Self {
        let places: Vec<Place<'_>> = serving
            .iter()
            .map(|member| Place { name: member.address_text.as_bytes(), weight: member.weight })
            .collect();
        let table = match options.hash {
            Hash::Ring => Table::Ring(Ring::build(&places)),
            Hash::Maglev => Table::Maglev(Maglev::build(&places, options.hash_seed)),
            Hash::Rendezvous => Table::Rendezvous(Rendezvous::build(&places, options.hash_seed)),
        };
        let factor_percent = options.bounded_load.map(|factor| (factor * 100.0).round() as u32);
        Self { table, hash_seed: options.hash_seed, factor_percent }
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn is_clone_of(&self, other: &Self) -> bool {
        match (&self.table, &other.table) {
            (Table::Maglev(maglev), Table::Maglev(other)) => maglev.is_clone_of(other),
            _ => false,
        }
    }

    #[inline(always)]
    pub(super) fn choose(
        &self,
        ask: &Ask<'_>,
        eligible: impl Fn(u32) -> bool,
        trace: &mut impl Trace,
    ) -> Option<u32> {
        match self.factor_percent {
            None => self.place(ask, eligible, trace),
            Some(factor) => self.place_bounded(factor, ask, eligible, trace),
        }
    }

    #[inline(never)]
    fn place_bounded(
        &self,
        factor: u32,
        ask: &Ask<'_>,
        eligible: impl Fn(u32) -> bool,
        trace: &mut impl Trace,
    ) -> Option<u32> {
        let total = ask.view.total();
        trace.draw("in flight", total);
        let below_bound = |index: u32| {
            let backend = ask.backends[index as usize];
            let allowed = bounded::allowed(total, factor, backend.weight, ask.total_weight);
            ask.view.in_flight(backend.slot) < allowed
        };
        self.place(ask, |index| eligible(index) && below_bound(index), trace)
            // Every backend below its bound is at its maxconn: the bound gives way.
            .or_else(|| self.place(ask, eligible, trace))
    }

    #[inline]
    fn place(&self, ask: &Ask<'_>, eligible: impl Fn(u32) -> bool, trace: &mut impl Trace) -> Option<u32> {
        match &self.table {
            Table::Ring(ring) => {
                let hash = hash32(ask.key);
                trace.draw("hash", u64::from(hash));
                let mut point = ring.locate(hash);
                let first = ring.member(point);
                if eligible(first) {
                    return Some(first);
                }
                for _ in 0..WALK_MAX {
                    point = ring.next(point);
                    if eligible(ring.member(point)) {
                        return Some(ring.member(point));
                    }
                }
                onward(ask.backends.len(), first, eligible)
            }
            Table::Maglev(maglev) => {
                let hash = hash64(ask.key, self.hash_seed);
                trace.draw("hash", hash);
                let slot = maglev.locate(hash);
                let first = maglev.member(slot);
                if eligible(first) {
                    return Some(first);
                }
                for further in 1..WALK_MAX {
                    let member = maglev.member((slot + further) % maglev.slots());
                    if eligible(member) {
                        return Some(member);
                    }
                }
                onward(ask.backends.len(), first, eligible)
            }
            Table::Rendezvous(rendezvous) => {
                let hash = hash64(ask.key, self.hash_seed);
                trace.draw("hash", hash);
                if trace.is_on() {
                    for index in 0..ask.backends.len() as u32 {
                        trace.considered(index, rendezvous.score(hash, index));
                    }
                }
                rendezvous.best(hash, eligible)
            }
        }
    }
}

/// How far a full backend's key walks before it takes the next eligible backend in the order added.
const WALK_MAX: u32 = 4096;
