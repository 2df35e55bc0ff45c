//! Maglev hashing (Eisenbud et al., NSDI 2016), section 3.4: every member fills slots of a table in the
//! order of its own permutation, taking turns. Weights as in Katran's `MaglevHashV2`: a member gathers its
//! weight each round and takes a slot when it has the greatest weight together.
//!
//! A lookup is one multiplication and one read, and shares are even to about a percent; in exchange some
//! keys of other members move when one leaves. Departures:
//!
//! - The table size is the least of [`SIZES`] with 100 slots a member, so it grows with the pool. Where a
//!   pool passes from one size to the next nearly every key moves: at 656, 2622 and 10,486 members.
//! - Members fill the table in the order of their names, so that how they are listed does not matter.
//! - A hash is mapped to its slot by multiplication instead of a remainder; the spread is the same.
//! - A member whose share is less than a slot may get none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use std::sync::Arc;

use crate::balance::draw::MEMBERS_MAX;
use crate::balance::hashing::Place;
use crate::balance::hashing::key::hash64;
use crate::rng::{GAMMA, below};

/// A filled table.
#[derive(Clone, Debug)]
pub(crate) struct Maglev {
    slots: Arc<[u16]>,
}

impl Maglev {
    /// The table of `places` under `seed`. 65,536 members take about a second.
    pub(crate) fn build(places: &[Place<'_>], seed: u64) -> Self {
        assert!(places.len() <= MEMBERS_MAX);
        let greatest = places.iter().map(|place| place.weight).max().unwrap_or(0);
        if greatest == 0 {
            return Self { slots: Arc::default() };
        }
        let wanted = places.len() as u32 * SLOTS_PER_MEMBER;
        let size = SIZES.into_iter().find(|size| *size >= wanted).unwrap_or(SIZES[SIZES.len() - 1]);

        let mut fillers: Vec<Filler> = (0..places.len())
            .filter(|index| places[*index].weight > 0)
            .map(|index| Filler::new(places, index, size, seed))
            .collect();
        fillers.sort_unstable_by_key(|filler| (places[usize::from(filler.member)].name, filler.member));

        let mut table =
            Table { slots: vec![0; size as usize], taken: vec![0; size as usize / 64 + 1], free: size };
        if places.iter().all(|place| place.weight == greatest) {
            for rank in (0..fillers.len()).cycle().take(size as usize) {
                table.fill(&mut fillers[rank]);
            }
        } else {
            fill_by_weight(&mut table, &mut fillers, greatest);
        }
        Self { slots: table.slots.into() }
    }

    /// Whether it has its slots from `other`.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.slots, &other.slots)
    }

    /// The slot of a key's 64-bit hash. 0 when there are none.
    #[inline]
    pub(crate) fn locate(&self, hash: u64) -> u32 {
        below(hash, self.slots.len() as u64) as u32
    }

    /// Whose slot it is. `slot` must be below [`slots`](Self::slots).
    #[inline]
    pub(crate) fn member(&self, slot: u32) -> u32 {
        u32::from(self.slots[slot as usize])
    }

    /// How many slots there are; 0 for a table without members.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }
}

/// A member on its way through its permutation: `offset + j * skip` modulo the table size.
struct Filler {
    next: u32,
    skip: u32,
    weight: u32,
    member: u16,
    /// Slots it has been given turns for.
    turns: u32,
}

impl Filler {
    fn new(places: &[Place<'_>], index: usize, size: u32, seed: u64) -> Self {
        let Place { name, weight } = places[index];
        let offset = hash64(name, seed) % u64::from(size);
        let skip = hash64(name, seed.wrapping_add(GAMMA)) % u64::from(size - 1) + 1;
        Self { next: offset as u32, skip: skip as u32, weight, member: index as u16, turns: 0 }
    }

    /// The round, from 1, in which the member takes its next slot: by then it has gathered its weight often
    /// enough for one slot more than it has had turns.
    fn next_round(&self, greatest: u32) -> u64 {
        (u64::from(self.turns + 1) * u64::from(greatest)).div_ceil(u64::from(self.weight))
    }
}

struct Table {
    slots: Vec<u16>,
    /// One bit a slot: small enough to stay in the cache while the slots are not.
    taken: Vec<u64>,
    free: u32,
}

impl Table {
    /// Gives `filler` the next slot of its permutation that is free. There must be one; the size is prime,
    /// so the permutation comes to it.
    fn fill(&mut self, filler: &mut Filler) {
        let size = self.slots.len() as u32;
        loop {
            let slot = filler.next as usize;
            filler.next += filler.skip;
            if filler.next >= size {
                filler.next -= size;
            }
            if self.taken[slot / 64] >> (slot % 64) & 1 == 0 {
                self.taken[slot / 64] |= 1 << (slot % 64);
                self.slots[slot] = filler.member;
                self.free -= 1;
                return;
            }
        }
    }
}

/// Katran walks all members every round, most of which only gather weight; with one heavy member among
/// many light ones that is no longer feasible. A queue by round, and by rank within it, visits the same
/// turns in the same order.
fn fill_by_weight(table: &mut Table, fillers: &mut [Filler], greatest: u32) {
    let key = |filler: &Filler, rank: u64| Reverse(filler.next_round(greatest) << 16 | rank);
    let mut queue: BinaryHeap<_> =
        fillers.iter().enumerate().map(|(rank, filler)| key(filler, rank as u64)).collect();
    while table.free > 0 {
        let mut due = queue.peek_mut().expect("a member is queued until the table is full");
        let rank = due.0 & 0xffff;
        let filler = &mut fillers[rank as usize];
        table.fill(filler);
        filler.turns += 1;
        *due = key(filler, rank);
    }
}

/// The paper's advice: 100 slots a member keep shares within about a percent.
const SLOTS_PER_MEMBER: u32 = 100;

/// Table sizes, all prime. They grow by four, since each step moves keys. The first is the paper's, the
/// last holds 100 slots for each of 65,536 members.
const SIZES: [u32; 4] = [65_537, 262_147, 1_048_583, 6_553_621];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(count: u32, weight: impl Fn(u32) -> u32) -> Vec<(String, u32)> {
        (0..count).map(|n| (format!("10.{}.{}.{}:80", n >> 16, n >> 8 & 255, n & 255), weight(n))).collect()
    }

    fn maglev(members: &[(String, u32)], seed: u64) -> Maglev {
        let places: Vec<_> =
            members.iter().map(|(name, weight)| Place { name: name.as_bytes(), weight: *weight }).collect();
        Maglev::build(&places, seed)
    }

    fn owners<'a>(maglev: &Maglev, members: &'a [(String, u32)]) -> Vec<&'a str> {
        (0..maglev.slots()).map(|slot| members[maglev.member(slot) as usize].0.as_str()).collect()
    }

    fn counts(maglev: &Maglev, len: usize) -> Vec<u32> {
        let mut counts = vec![0; len];
        for slot in 0..maglev.slots() {
            counts[maglev.member(slot) as usize] += 1;
        }
        counts
    }

    /// Katran's loop, round after round over the members in order of their names.
    fn katran(members: &[(String, u32)], seed: u64, size: u32) -> Vec<u32> {
        let mut ranked: Vec<usize> = (0..members.len()).collect();
        ranked.sort_by_key(|index| &members[*index].0);
        let greatest = members.iter().map(|member| member.1).max().expect("there are members");
        let mut table = vec![u32::MAX; size as usize];
        let mut gathered = vec![0u32; members.len()];
        let mut steps = vec![0u64; members.len()];
        let mut free = size;
        loop {
            for &index in &ranked {
                let (name, weight) = &members[index];
                gathered[index] += weight;
                if gathered[index] < greatest {
                    continue;
                }
                gathered[index] -= greatest;
                let offset = hash64(name.as_bytes(), seed) % u64::from(size);
                let skip = hash64(name.as_bytes(), seed.wrapping_add(GAMMA)) % u64::from(size - 1) + 1;
                loop {
                    let slot = ((offset + steps[index] * skip) % u64::from(size)) as usize;
                    steps[index] += 1;
                    if table[slot] == u32::MAX {
                        table[slot] = index as u32;
                        break;
                    }
                }
                free -= 1;
                if free == 0 {
                    return table;
                }
            }
        }
    }

    #[test]
    fn sizes_are_prime_and_ascend() {
        assert!(SIZES.is_sorted());
        for size in SIZES {
            assert!((2..).take_while(|divisor| divisor * divisor <= size).all(|divisor| size % divisor != 0));
        }
        assert!(SIZES[SIZES.len() - 1] >= MEMBERS_MAX as u32 * SLOTS_PER_MEMBER);
    }

    #[test]
    fn a_table_of_nobody_has_no_slots() {
        let maglev = Maglev::build(&[], 0);
        assert_eq!((maglev.slots(), maglev.locate(u64::MAX)), (0, 0));
    }

    #[test]
    fn hashes_reach_every_slot_and_none_beyond() {
        let maglev = maglev(&members(3, |_| 1), 0);
        assert_eq!(maglev.slots(), 65_537);
        assert_eq!(maglev.locate(0), 0);
        assert_eq!(maglev.locate(u64::MAX), 65_536);
    }

    #[test]
    fn equal_weights_have_equal_slots() {
        for count in [1, 3, 10, 655, 656] {
            let maglev = maglev(&members(count, |_| 7), 1);
            let counts = counts(&maglev, count as usize);
            let least = maglev.slots() / count;
            assert!(counts.iter().all(|slots| (least..=least + 1).contains(slots)));
        }
    }

    #[test]
    fn slots_follow_the_weights() {
        let members = members(50, |n| 1 + n * 7 % 13);
        let maglev = maglev(&members, 2);
        let total = members.iter().map(|member| f64::from(member.1)).sum::<f64>();
        for (slots, (_, weight)) in counts(&maglev, 50).into_iter().zip(&members) {
            let exact = f64::from(maglev.slots()) * f64::from(*weight) / total;
            assert!((f64::from(slots) - exact).abs() <= 2.0, "{slots} slots where {exact} are due");
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        for weight in [|_| 5, |n: u32| 1 + n % 5] {
            let members = members(30, weight);
            let reversed: Vec<_> = members.iter().rev().cloned().collect();
            let (one, other) = (maglev(&members, 3), maglev(&reversed, 3));
            assert_eq!(owners(&one, &members), owners(&other, &reversed));
        }
    }

    #[test]
    fn the_seed_matters() {
        let members = members(10, |_| 1);
        let (one, other) = (maglev(&members, 3), maglev(&members, 4));
        let same =
            owners(&one, &members).iter().zip(owners(&other, &members)).filter(|(a, b)| **a == *b).count();
        assert!((5000..8500).contains(&same), "about a tenth agree by chance, not {same}");
    }

    /// Few keys of others move when a member leaves, and all come back with it.
    #[test]
    fn few_keys_of_others_move() {
        for (count, bound) in [(3, 0.005), (10, 0.01), (50, 0.02)] {
            let members = members(count, |_| 1);
            let whole = maglev(&members, 0);
            let mut rest = members.clone();
            let (name, weight) = rest.remove(1);
            let without = maglev(&rest, 0);
            let (before, after) = (owners(&whole, &members), owners(&without, &rest));
            let moved = before.iter().zip(&after).filter(|(a, b)| a != b && **a != name).count();
            assert!((moved as f64) < bound * before.len() as f64, "{moved} of {count} members");
            rest.push((name, weight));
            let back = maglev(&rest, 0);
            assert_eq!(owners(&back, &rest), before);
        }
    }

    #[test]
    fn one_giant_among_many_is_feasible() {
        let members = members(3000, |n| if n == 5 { 65_535 } else { 1 });
        let counts = counts(&maglev(&members, 0), 3000);
        let exact = f64::from(SIZES[2]) * 65_535.0 / (65_535.0 + 2999.0);
        assert!((f64::from(counts[5]) - exact).abs() < 4000.0, "{} where {exact} are due", counts[5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn is_the_table_of_katran(
            weights in proptest::collection::vec(1u32..50, 1..12), seed in any::<u64>(),
        ) {
            let members = members(weights.len() as u32, |n| weights[n as usize]);
            let maglev = maglev(&members, seed);
            let expected = katran(&members, seed, maglev.slots());
            for (slot, member) in expected.into_iter().enumerate() {
                prop_assert_eq!(maglev.member(slot as u32), member);
            }
        }
    }
}
