//! Which keys to take out to make room: decided on the primary alone, done by a command that every node
//! applies alike.
//!
//! Least recently used is an approximation, as in Redis: of a few keys at random the one that was read or
//! written longest ago goes. When that was is kept beside the index, in a table of fixed size that readers write
//! to without waiting: it is no part of the state, and a new primary begins with what it saw as a replica.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::command::Lifetime;
use super::entry::Entry;
use super::state::{State, entry_memory};
use super::time::Timestamp;
use crate::rng::Rng;
use crate::sync::{AtomicU32, Ordering};

/// What the primary does when a write would go beyond `memory_max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// Nothing is taken out: the write is refused.
    #[default]
    Refuse,
    /// Keys go that were not used for long; those of leases stay.
    Lru,
    /// Keys with a deadline go, the next due first; others stay.
    Ttl,
}

impl Eviction {
    /// Each with its name in configurations.
    pub const NAMES: [(&'static str, Eviction); 3] =
        [("refuse", Eviction::Refuse), ("lru", Eviction::Lru), ("ttl", Eviction::Ttl)];
}

/// When keys were used last, to be asked by [`victims`]. Keys that share a place are both as young as the younger:
/// a key may stay longer than it should, and none goes for another's sake. A clone is the same table.
#[derive(Clone, Debug)]
pub struct Uses {
    /// Ticks of 16 ms since `start`, 1 at least; 0: never.
    places: Arc<[AtomicU32]>,
    start: Timestamp,
}

impl Uses {
    /// A table of `places` (rounded up to a power of two, at most 2^28), four bytes each; as many as there will be
    /// keys serve well.
    pub fn new(places: usize, now: Timestamp) -> Self {
        let places = places.clamp(1, 1 << 28).next_power_of_two();
        Self { places: (0..places).map(|_| AtomicU32::new(0)).collect(), start: now }
    }

    /// Notes that `key` is used. Any thread; one plain write, and none within the same 16 milliseconds.
    pub fn note(&self, key: &[u8], now: Timestamp) {
        let place = self.place(key);
        let tick = self.tick(now);
        // Relaxed: one number stands for itself, and a lost one costs nothing but precision.
        if place.load(Ordering::Relaxed) < tick {
            place.store(tick, Ordering::Relaxed);
        }
    }

    fn last(&self, key: &[u8]) -> u32 {
        self.place(key).load(Ordering::Relaxed)
    }

    fn place(&self, key: &[u8]) -> &AtomicU32 {
        &self.places[xxhash_rust::xxh3::xxh3_64(key) as usize & (self.places.len() - 1)]
    }

    /// Ticks of 16 milliseconds from 1 on; they last for two years.
    fn tick(&self, now: Timestamp) -> u32 {
        let ticks = now.as_millis().saturating_sub(self.start.as_millis()) / 16;
        u32::try_from(ticks.saturating_add(1)).unwrap_or(u32::MAX)
    }
}

/// Keys looked at for each that goes.
const SAMPLE: u64 = 8;
/// Looks in vain before giving up: what may go is rare then.
const MISSES_MAX: u32 = 64;

/// Keys, with their versions, whose going frees `bytes` or more, at most `keys_max`; fewer when there are no
/// more. They are for an [`Evict`](super::Operation::Evict). None is one that `spared` names: what the room is for.
pub fn victims(
    state: &State,
    eviction: Eviction,
    uses: &Uses,
    bytes: u64,
    keys_max: usize,
    spared: impl Fn(&[u8]) -> bool,
    rng: &mut Rng,
) -> Vec<(Vec<u8>, u64)> {
    let mut chosen: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut freed = 0;
    match eviction {
        Eviction::Refuse => {}
        Eviction::Ttl => {
            let _ = state.deadlines.scan(b"", None, false, |due, _| {
                if freed >= bytes || chosen.len() >= keys_max {
                    return ControlFlow::Break(());
                }
                let key = &due[8..];
                if spared(key) {
                    return ControlFlow::Continue(());
                }
                let entry = Entry::of(state.entries.get(key).expect("each deadline has its key"));
                freed += entry_memory(key, &entry);
                chosen.push((key.to_vec(), entry.version));
                ControlFlow::Continue(())
            });
        }
        Eviction::Lru => {
            let mut taken = std::collections::BTreeSet::new();
            let mut misses = 0;
            while freed < bytes && chosen.len() < keys_max && misses < MISSES_MAX {
                let sample = (0..SAMPLE.min(state.len())).filter_map(|_| state.nth(rng.below(state.len())));
                let oldest = sample
                    .filter(|(key, entry)| {
                        !matches!(entry.lifetime, Lifetime::Lease(_)) && !taken.contains(key) && !spared(key)
                    })
                    .min_by_key(|(key, entry)| (uses.last(key), entry.version));
                let Some((key, entry)) = oldest else {
                    misses += 1;
                    continue;
                };
                misses = 0;
                freed += entry_memory(&key, &entry);
                taken.insert(key.clone());
                chosen.push((key, entry.version));
            }
        }
    }
    chosen
}

/// How many bytes must go before `growth` more fit below `memory_max`: 0 when they do, or when there is no limit.
pub fn shortage(state: &State, growth: u64) -> u64 {
    match state.settings().memory_max {
        0 => 0,
        limit => state.memory().saturating_add(growth).saturating_sub(limit),
    }
}

/// What a key and a value of these lengths come to, by the formula of [`State::memory`].
pub fn footprint(key_len: usize, value_len: usize, is_bounded: bool) -> u64 {
    (64 + key_len + value_len + if is_bounded { 32 + key_len } else { 0 }) as u64
}
