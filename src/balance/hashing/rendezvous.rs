//! Weighted rendezvous hashing, also called highest random weight (Thaler and Ravishankar 1998; weights as
//! in Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005): every member scores
//! `-weight / ln(u)` for the key, where `u` in (0, 1) comes from hashing key and name, and the greatest
//! score wins. A member's share is exactly its weight's, and only the keys of a member that changed move.
//! A pick looks at every member, so it is for pools of up to some hundreds.
//!
//! `ln` of the standard library is that of the platform, and two platforms may differ in the last bit. Here
//! it is written out in additions, multiplications and divisions, each of which IEEE 754 defines to the
//! bit and the compiler neither reorders nor fuses, so that every machine (with 64-bit floating point
//! registers, which all but the oldest x86 have) agrees on every key.

use std::sync::Arc;

use crate::balance::draw::MEMBERS_MAX;
use crate::balance::hashing::Place;
use crate::balance::hashing::key::hash64;
use crate::rng::mix;

/// The members to be scored.
#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    names: Arc<[u64]>,
    /// One over the weight. Empty when all weights are equal: then the greatest hash has the best score.
    inverses: Arc<[f64]>,
    /// The weight all members have, if `inverses` is empty.
    weight: u32,
}

impl Rendezvous {
    /// The members at `places` under `seed`.
    pub(crate) fn build(places: &[Place<'_>], seed: u64) -> Self {
        assert!(places.len() <= MEMBERS_MAX);
        let weight = places.first().map_or(1, |place| place.weight);
        let inverse = |place: &Place<'_>| 1.0 / f64::from(place.weight);
        let equal = places.iter().all(|place| place.weight == weight);
        Self {
            names: places.iter().map(|place| hash64(place.name, seed)).collect(),
            inverses: if equal { Arc::default() } else { places.iter().map(inverse).collect() },
            weight,
        }
    }

    /// The eligible member with the greatest score for a key's 64-bit hash; `None` when none is eligible.
    /// `eligible` is asked only about members that lead so far.
    #[inline]
    pub(crate) fn best(&self, key_hash: u64, eligible: impl Fn(u32) -> bool) -> Option<u32> {
        // The smallest cost, one over the score, wins; of equal costs the greater hash does.
        let mut best = None;
        let (mut best_hash, mut best_cost) = (0, f64::INFINITY);
        if self.inverses.is_empty() {
            for (index, &name) in self.names.iter().enumerate() {
                let hash = mix(key_hash ^ name);
                if hash >= best_hash && eligible(index as u32) {
                    (best, best_hash) = (Some(index as u32), hash);
                }
            }
            return best;
        }
        for (index, (&name, &inverse)) in self.names.iter().zip(self.inverses.iter()).enumerate() {
            let hash = mix(key_hash ^ name);
            let u = unit(hash);
            // -ln(u) is at least 1 - u, and nearly every member is out by that alone. The margin is far
            // wider than the rounding of either side.
            if (1.0 - u) * inverse > best_cost * SKIP_MARGIN {
                continue;
            }
            let cost = negative_ln(u) * inverse;
            if (cost < best_cost || (cost == best_cost && hash > best_hash)) && eligible(index as u32) {
                (best, best_hash, best_cost) = (Some(index as u32), hash, cost);
            }
        }
        best
    }

    /// The score of the member at `index` for a key's hash.
    pub(crate) fn score(&self, key_hash: u64, index: u32) -> f64 {
        let index = index as usize;
        let inverse = self.inverses.get(index).copied().unwrap_or(1.0 / f64::from(self.weight));
        1.0 / (negative_ln(unit(mix(key_hash ^ self.names[index]))) * inverse)
    }
}

/// The middle of one of 2^52 equal parts of (0, 1). Exact, as is one minus it.
#[inline]
fn unit(hash: u64) -> f64 {
    ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// `-ln(u)` for `u` in (0, 1), to about 15 digits. `u` is split into 2^e * m with m in [sqrt(1/2), sqrt(2)],
/// and `ln(m) = 2 * (s + s^3/3 + s^5/5 + ...)` with `s = (m - 1) / (m + 1)`; s is below 0.172, so the terms
/// after s^21/21 are below 2^-53.
#[inline]
fn negative_ln(u: f64) -> f64 {
    let bits = u.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    // Even and odd terms apart: two chains of half the length run side by side.
    let fourth = square * square;
    let even = EVEN_TERMS.into_iter().fold(0.0, |sum, term| sum * fourth + term);
    let odd = ODD_TERMS.into_iter().fold(0.0, |sum, term| sum * fourth + term);
    let series = even + odd * square;
    -(2.0 * s * series + f64::from(exponent) * std::f64::consts::LN_2)
}

/// The factors of s^20, s^16 and so on.
const EVEN_TERMS: [f64; 6] = [1.0 / 21.0, 1.0 / 17.0, 1.0 / 13.0, 1.0 / 9.0, 1.0 / 5.0, 1.0];
/// The factors of s^18, s^14 and so on, less the s^2 that is multiplied in at the end.
const ODD_TERMS: [f64; 5] = [1.0 / 19.0, 1.0 / 15.0, 1.0 / 11.0, 1.0 / 7.0, 1.0 / 3.0];

/// Many times what rounding can take from either side of the comparison.
const SKIP_MARGIN: f64 = 1.0 + 1.0 / (1u64 << 40) as f64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(count: u32, weight: impl Fn(u32) -> u32) -> Vec<(String, u32)> {
        (0..count).map(|n| (format!("10.0.{}.{}:80", n >> 8, n & 255), weight(n))).collect()
    }

    fn rendezvous(members: &[(String, u32)], seed: u64) -> Rendezvous {
        let places: Vec<_> =
            members.iter().map(|(name, weight)| Place { name: name.as_bytes(), weight: *weight }).collect();
        Rendezvous::build(&places, seed)
    }

    fn owner<'a>(rendezvous: &Rendezvous, members: &'a [(String, u32)], key: u64) -> &'a str {
        &members[rendezvous.best(hash64(&key.to_le_bytes(), 0), |_| true).expect("all are eligible") as usize]
            .0
    }

    #[test]
    fn the_logarithm_is_a_logarithm() {
        let mut hash = 1;
        for _ in 0..100_000 {
            hash = mix(hash);
            for u in [unit(hash), unit(hash >> (hash & 63)), unit(u64::MAX - (hash >> (hash & 63)))] {
                assert!(u > 0.0 && u < 1.0);
                let (ours, theirs) = (negative_ln(u), -u.ln());
                assert!((ours - theirs).abs() <= 4e-15 * theirs, "{u}: {ours} and {theirs}");
                assert!(ours * SKIP_MARGIN >= 1.0 - u, "the shortcut holds");
            }
        }
        for u in [unit(0), unit(u64::MAX)] {
            assert!((negative_ln(u) + u.ln()).abs() <= 1e-15 * -u.ln());
        }
    }

    #[test]
    fn nobody_is_none() {
        assert_eq!(Rendezvous::build(&[], 0).best(1, |_| true), None);
        let rendezvous = rendezvous(&members(3, |n| n + 1), 0);
        assert_eq!(rendezvous.best(1, |_| false), None);
        assert_eq!(rendezvous.best(1, |index| index == 2), Some(2));
    }

    #[test]
    fn keys_follow_the_weights() {
        for members in [members(10, |_| 3), members(10, |n| 1 + n * n), members(2, |n| 1 + n * 65_534)] {
            let rendezvous = rendezvous(&members, 5);
            let total = members.iter().map(|member| f64::from(member.1)).sum::<f64>();
            let mut counts = vec![0u32; members.len()];
            for key in 0..100_000u64 {
                let best = rendezvous.best(hash64(&key.to_le_bytes(), 0), |_| true);
                counts[best.expect("all are eligible") as usize] += 1;
            }
            for (count, (_, weight)) in counts.into_iter().zip(&members) {
                let expected = 100_000.0 * f64::from(*weight) / total;
                assert!(
                    (f64::from(count) - expected).abs() <= 5.0 * expected.sqrt() + 1.0,
                    "{count} {expected}"
                );
            }
        }
    }

    #[test]
    fn only_the_keys_of_a_leaver_move() {
        for weight in [|_| 1, |n: u32| 1 + n % 4] {
            let members = members(20, weight);
            let whole = rendezvous(&members, 0);
            let mut rest = members.clone();
            let (name, weight) = rest.remove(7);
            let without = rendezvous(&rest, 0);
            rest.push((name.clone(), weight));
            let back = rendezvous(&rest, 0);
            let mut moved = 0;
            for key in 0..20_000 {
                let before = owner(&whole, &members, key);
                moved += u32::from(before == name);
                assert!(before == name || before == owner(&without, &rest, key));
                assert_eq!(before, owner(&back, &rest, key));
                let failed =
                    whole.best(hash64(&key.to_le_bytes(), 0), |index| index != 7).expect("others are");
                assert_eq!(members[failed as usize].0, owner(&without, &rest, key), "down is as gone");
            }
            let share = f64::from(weight) / members.iter().map(|member| f64::from(member.1)).sum::<f64>();
            assert!((f64::from(moved) / 20_000.0 / share - 1.0).abs() < 0.15, "{moved} for {share}");
        }
    }

    /// More weight draws keys towards a member and moves none between others.
    #[test]
    fn a_heavier_member_only_gains() {
        let light = members(10, |n| 2 + n);
        let heavy = members(10, |n| if n == 4 { 13 } else { 2 + n });
        let (before, after) = (rendezvous(&light, 0), rendezvous(&heavy, 0));
        for key in 0..20_000 {
            let (before, after) = (owner(&before, &light, key), owner(&after, &heavy, key));
            assert!(before == after || after == light[4].0);
        }
    }

    proptest! {
        #[test]
        fn the_best_has_the_greatest_score(
            weights in proptest::collection::vec(1u32..=65_535, 1..50),
            key in any::<u64>(),
            seed in any::<u64>(),
        ) {
            let members = members(weights.len() as u32, |n| weights[n as usize]);
            let rendezvous = rendezvous(&members, seed);
            for eligible in [1, 2, 3] {
                let best = rendezvous.best(key, |index| index % eligible == 0).expect("0 is eligible");
                prop_assert_eq!(best % eligible, 0);
                for index in (0..weights.len() as u32).step_by(eligible as usize) {
                    prop_assert!(rendezvous.score(key, index) <= rendezvous.score(key, best));
                }
            }
        }
    }
}
