//! An order for any weights, which may change while it is read. Weights are intervals laid end to end over
//! [0, 1), and turn `n` goes to whoever owns the fractional part of `n` times the golden ratio.
//!
//! That additive recurrence (Weyl's) spreads turns evenly: by Slater's theorem ("Gaps and steps for the
//! sequence n*theta mod 1", 1967) the gaps between visits to one interval take at most three lengths, the
//! greatest being the sum of the other two, and for the golden ratio they are Fibonacci numbers near the
//! ideal gap. So no member is starved and none gets a burst. After `n` turns a member is off its exact share
//! by O(log n) turns at worst, in practice by one or two.
//!
//! The owner of a fraction is found by the cutpoint method (Chen and Asau, "On generating random variates
//! from an empirical distribution", AIIE Transactions 6, 1974): as many equal buckets as members, each
//! naming the first interval that reaches into it. Departure: the bucket also holds where that interval
//! ends, so that a pick mostly reads one word, and the rest of a crowded bucket is searched by halving, so
//! that no pick is slow.

use std::sync::Arc;

use crate::balance::draw::MEMBERS_MAX;
use crate::rng::GAMMA;
use crate::sync::{AtomicU64, Ordering};

/// Intervals of [0, 1) visited at golden-ratio steps. A clone is another handle to the same weights.
///
/// Any thread may call any method at any time; nothing blocks or allocates. Every access is relaxed, since
/// each word is meaningful by itself: a pick that runs during [`update`](Self::update) may be placed by a
/// mixture of old and new weights, but always within range and within the same number of steps. Two
/// updates at once leave such a mixture behind until the next one.
#[derive(Clone, Debug)]
pub(crate) struct Golden {
    /// Where each interval ends, exclusive, in units of 2^-64. The last is `u64::MAX` and owns that too.
    ends: Arc<[AtomicU64]>,
    /// For each bucket, from the low bit: the index of the first interval (16 bits), whether more than two
    /// reach into the bucket ([`MANY`]), and how much of the bucket the first one owns (47 bits, in units
    /// of 2^-46 of it). The last interval owns its bucket to the end, so the index after it is never taken.
    guide: Arc<[AtomicU64]>,
    /// 64 less the binary logarithm of the number of buckets.
    shift: u32,
}

impl Golden {
    /// `len` members of equal weight. 0 counts as 1; the most is [`MEMBERS_MAX`].
    pub(crate) fn new(len: usize) -> Self {
        assert!(len <= MEMBERS_MAX);
        let len = len.max(1);
        let buckets = len.next_power_of_two().max(BUCKETS_MIN);
        let zeros = |len| (0..len).map(|_| AtomicU64::new(0)).collect();
        let golden = Self { ends: zeros(len), guide: zeros(buckets), shift: 64 - buckets.trailing_zeros() };
        golden.lay_out(len as u64, |_| 1);
        golden
    }

    /// Members of these weights (1 to 6,553,500).
    pub(crate) fn from_weights(weights: &[u32]) -> Self {
        let golden = Self::new(weights.len());
        let total = weights.iter().map(|&weight| u64::from(weight)).sum();
        if total > 0 {
            golden.lay_out(total, |index| u64::from(weights[index]));
        }
        golden
    }

    /// Replaces all weights; only their ratios matter. A weight that is not a number, is not above zero or
    /// is below 2^-24 of the greatest counts as that fraction of it, so that every member keeps a turn now
    /// and then; infinity counts as the greatest finite one. `weight` is asked three times for each member.
    pub(crate) fn update(&self, weight: impl Fn(usize) -> f64) {
        let len = self.ends.len();
        let finite = (0..len).map(&weight).filter(|weight| weight.is_finite());
        let greatest = finite.fold(0.0, f64::max);
        // In units of 2^-40 of the greatest: 65,536 of them add up to 2^56 at most.
        let units = |index: usize| match weight(index) {
            weight if weight > 0.0 && weight >= greatest => UNITS,
            weight if weight > 0.0 => ((weight / greatest * UNITS as f64) as u64).max(UNITS >> 24),
            _ => UNITS >> 24,
        };
        // What `weight` reads may change between the passes. Then the last interval takes up what is
        // missing, or the last ones are cut short, until the next update.
        self.lay_out((0..len).map(units).sum(), units);
    }

    /// Whether it is another handle to the weights of `other`.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ends, &other.ends)
    }

    /// Whose turn it is at `position`.
    #[inline]
    pub(crate) fn at(&self, position: u64) -> u32 {
        let fraction = position.wrapping_mul(GAMMA);
        let bucket = (fraction >> self.shift) as usize;
        let entry = self.guide[bucket].load(Ordering::Relaxed);
        let within = (fraction << (64 - self.shift)) >> WITHIN_SHIFT;
        let first = entry as u16 as u32;
        let beyond = within >= entry >> OWNED_SHIFT;
        if beyond & (entry & MANY != 0) {
            return self.search(first + 1, bucket, fraction);
        }
        first + u32::from(beyond)
    }

    /// The present share of `index`: the length of its interval, 0 to 1.
    pub(crate) fn share(&self, index: u32) -> f64 {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1].load(Ordering::Relaxed) };
        self.ends[index].load(Ordering::Relaxed).saturating_sub(start) as f64 / TWO_POW_64
    }

    /// The interval that owns `fraction`, from `low` to the first one of the next bucket.
    fn search(&self, low: u32, bucket: usize, fraction: u64) -> u32 {
        let last = self.ends.len() - 1;
        let mut low = (low as usize).min(last);
        // During an update the two buckets may belong to different weights, hence the clamp.
        let mut high = match self.guide.get(bucket + 1) {
            Some(next) => usize::from(next.load(Ordering::Relaxed) as u16).clamp(low, last),
            None => last,
        };
        while low < high {
            let middle = low.midpoint(high);
            if self.ends[middle].load(Ordering::Relaxed) > fraction {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low as u32
    }

    fn lay_out(&self, total: u64, units: impl Fn(usize) -> u64) {
        let last = self.ends.len() - 1;
        let scale = TWO_POW_64 / total as f64;
        let mut sum = 0;
        for (index, end) in self.ends.iter().enumerate() {
            sum += units(index);
            let value = if index == last { u64::MAX } else { (sum as f64 * scale) as u64 };
            end.store(value, Ordering::Relaxed);
        }

        let width = 1u64 << self.shift;
        let mut first = 0;
        for (bucket, entry) in self.guide.iter().enumerate() {
            let start = (bucket as u64) << self.shift;
            while first < last && self.ends[first].load(Ordering::Relaxed) <= start {
                first += 1;
            }
            let reaches_over = |index: usize| {
                index >= last || self.ends[index].load(Ordering::Relaxed).saturating_sub(start) >= width
            };
            let owned = if reaches_over(first) {
                1 << (64 - WITHIN_SHIFT)
            } else {
                let owned = self.ends[first].load(Ordering::Relaxed).saturating_sub(start);
                (owned << (64 - self.shift)) >> WITHIN_SHIFT
            };
            let many = if reaches_over(first + 1) { 0 } else { MANY };
            entry.store(owned << OWNED_SHIFT | many | first as u64, Ordering::Relaxed);
        }
    }
}

/// Fewer buckets would save nothing: these fill two cache lines.
const BUCKETS_MIN: usize = 16;
const MANY: u64 = 1 << 16;
const OWNED_SHIFT: u32 = 17;
/// 46 bits of the place within a bucket are kept, so that all of it fits the 47 bits of an entry.
const WITHIN_SHIFT: u32 = 18;
const UNITS: u64 = 1 << 40;
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering as StdOrdering};

    use proptest::prelude::*;

    use super::*;

    /// The owner by a plain walk over the intervals.
    fn owner(golden: &Golden, position: u64) -> u32 {
        let fraction = position.wrapping_mul(GAMMA);
        let ends: Vec<_> = golden.ends.iter().map(|end| end.load(Ordering::Relaxed)).collect();
        ends.iter().position(|&end| fraction < end).unwrap_or(ends.len() - 1) as u32
    }

    fn longest_gap(golden: &Golden, member: u32, turns: u64) -> u64 {
        let mut since = 0;
        let mut longest = 0;
        for position in 0..turns {
            since += 1;
            if golden.at(position) == member {
                longest = longest.max(since);
                since = 0;
            }
        }
        longest.max(since)
    }

    #[test]
    fn equal_weights_take_turns_evenly() {
        for len in [1, 2, 3, 10, 100, 1000] {
            let golden = Golden::new(len);
            let mut turns = vec![0u64; len];
            for position in 0..len as u64 * 100 {
                turns[golden.at(position) as usize] += 1;
            }
            assert!(turns.iter().all(|turns| (97..=103).contains(turns)), "{len}: {turns:?}");
        }
        assert_eq!(Golden::new(0).at(7), 0);
    }

    /// Nobody is starved: the gap between turns stays within four times the ideal one, and no shorter than
    /// a quarter of it.
    #[test]
    fn the_light_wait_no_longer_than_a_few_ideal_gaps() {
        for (weights, member) in [
            (vec![1, 65_535], 0),
            (vec![65_535, 1], 1),
            ([vec![7; 500], vec![1], vec![7; 500]].concat(), 500),
            (vec![3; 10_000], 1234),
        ] {
            let golden = Golden::from_weights(&weights);
            let total = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>();
            let ideal = total / u64::from(weights[member]);
            let longest = longest_gap(&golden, member as u32, ideal * 40);
            assert!(longest <= ideal * 4, "{longest} turns where {ideal} are ideal");
        }
    }

    #[test]
    fn gaps_take_three_lengths() {
        let golden = Golden::from_weights(&[13, 29, 58]);
        for member in 0..3 {
            let visits: Vec<u64> = (0..20_000).filter(|&position| golden.at(position) == member).collect();
            let mut gaps: Vec<u64> = visits.windows(2).map(|pair| pair[1] - pair[0]).collect();
            gaps.sort_unstable();
            gaps.dedup();
            assert!(gaps.len() <= 3, "{gaps:?}");
            if let [a, b, c] = gaps[..] {
                assert_eq!(a + b, c);
            }
        }
    }

    #[test]
    fn crowded_buckets_are_searched() {
        // Half of all members share one bucket.
        let weights = [vec![65_535; 3000], vec![1; 3000], vec![65_535; 1]].concat();
        let golden = Golden::from_weights(&weights);
        let start = golden.ends[2999].load(Ordering::Relaxed);
        let inverse = inverse_of_gamma();
        for index in 3000..6000u32 {
            let end = golden.ends[index as usize].load(Ordering::Relaxed);
            let begin = golden.ends[index as usize - 1].load(Ordering::Relaxed);
            for fraction in [begin, begin.midpoint(end), end - 1] {
                assert!(fraction >= start);
                assert_eq!(golden.at(fraction.wrapping_mul(inverse)), index);
            }
        }
        assert_eq!(golden.at(u64::MAX.wrapping_mul(inverse)), 6000);
    }

    /// The position that visits a fraction is the fraction times this (Newton's iteration modulo 2^64).
    fn inverse_of_gamma() -> u64 {
        (0..6).fold(GAMMA, |x, _| x.wrapping_mul(2u64.wrapping_sub(GAMMA.wrapping_mul(x))))
    }

    #[test]
    fn odd_weights_are_bent_into_range() {
        let golden = Golden::new(5);
        golden.update(|index| [1.0, f64::NAN, 0.0, -3.0, f64::INFINITY][index]);
        assert!((golden.share(0) - 0.5).abs() < 1e-6 && (golden.share(4) - 0.5).abs() < 1e-6);
        for index in 1..4 {
            assert!(golden.share(index) > 0.0 && golden.share(index) < 1e-7);
        }
        for weights in [[0.0; 5], [f64::NAN; 5], [f64::INFINITY; 5], [f64::MIN_POSITIVE; 5], [f64::MAX; 5]] {
            golden.update(|index| weights[index]);
            for index in 0..5 {
                assert!((golden.share(index) - 0.2).abs() < 1e-9, "{weights:?}");
            }
        }
        golden.update(|index| [1e300, 3e300, 1e-300, 1e300, 1e300][index]);
        assert!((golden.share(1) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn an_update_lays_out_as_a_build_does() {
        let weights: Vec<u32> = (0..777).map(|index| 1 + index * index % 991).collect();
        let built = Golden::from_weights(&weights);
        let updated = Golden::new(weights.len());
        updated.update(|index| f64::from(weights[index]) * 0.125);
        for index in 0..777 {
            assert!((built.share(index) - updated.share(index)).abs() < 1e-10);
        }
    }

    #[test]
    fn picks_during_updates_stay_in_range() {
        for len in [1, 2, 3, 17, 1000] {
            let golden = Golden::new(len);
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let picker = scope.spawn(|| {
                    let mut position = 0u64;
                    while !done.load(StdOrdering::Acquire) || position < 1000 {
                        assert!((golden.at(position) as usize) < len);
                        position += 1;
                    }
                });
                let mut rng = crate::rng::Rng::new(len as u64);
                let mut weights = vec![0.0; len];
                for _ in 0..2000_usize.min(200_000 / len) {
                    for weight in &mut weights {
                        *weight = rng.unit().powi(8);
                    }
                    golden.update(|index| weights[index]);
                }
                done.store(true, StdOrdering::Release);
                picker.join().expect("the picks stay in range");
            });
            golden.update(|_| 1.0);
            for position in 0..1000 {
                assert_eq!(golden.at(position), Golden::new(len).at(position));
            }
        }
    }

    #[test]
    fn weights_that_change_between_passes_stay_in_range() {
        for direction in [1.0, -1.0] {
            let golden = Golden::new(100);
            let asked = std::cell::Cell::new(0);
            golden.update(|_| {
                asked.set(asked.get() + 1);
                (direction * f64::from(asked.get()) / 20.0).exp()
            });
            assert!((0..10_000).all(|position| golden.at(position) < 100));
        }
    }

    /// What an interrupted update leaves: words of two layouts, in any mixture.
    #[test]
    fn any_mixture_of_two_layouts_stays_in_range() {
        let mut rng = crate::rng::Rng::new(5);
        for len in [2usize, 5, 40, 300] {
            for _ in 0..50 {
                let golden = Golden::new(len);
                let mut layout = |golden: &Golden| {
                    let weights: Vec<_> = (0..len).map(|_| rng.unit().powi(12)).collect();
                    golden.update(|index| weights[index]);
                };
                layout(&golden);
                let other = Golden::new(len);
                layout(&other);
                let mut rng = crate::rng::Rng::new(len as u64);
                for (mine, theirs) in golden
                    .ends
                    .iter()
                    .zip(other.ends.iter())
                    .chain(golden.guide.iter().zip(other.guide.iter()))
                {
                    if rng.below(2) == 0 {
                        mine.store(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                }
                for _ in 0..2000 {
                    assert!((golden.at(rng.next_u64()) as usize) < len);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_guide_agrees_with_a_walk(weights in proptest::collection::vec(1u32..=65_535, 1..200),
            skew in 0u32..3, positions in proptest::collection::vec(any::<u64>(), 64)) {
            let skewed = |weight: &u32| (weight >> (7 * (weight % (skew + 1)))).max(1);
            let weights: Vec<u32> = weights.iter().map(skewed).collect();
            let golden = Golden::from_weights(&weights);
            let total = weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
            for (index, &weight) in weights.iter().enumerate() {
                prop_assert!((golden.share(index as u32) - f64::from(weight) / total).abs() < 1e-12);
            }
            for position in positions {
                prop_assert_eq!(golden.at(position), owner(&golden, position));
            }
        }

        #[test]
        fn shares_are_exact_up_to_a_logarithm(weights in proptest::collection::vec(1u32..1000, 1..40)) {
            let golden = Golden::from_weights(&weights);
            let total = weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
            let mut turns = vec![0f64; weights.len()];
            for position in 0..10_000u64 {
                turns[golden.at(position) as usize] += 1.0;
                if position % 97 == 0 {
                    let bound = 2.0 + 1.5 * ((position + 2) as f64).ln();
                    for (turns, &weight) in turns.iter().zip(&weights) {
                        let exact = (position + 1) as f64 * f64::from(weight) / total;
                        prop_assert!((turns - exact).abs() <= bound, "{} for {}", turns, exact);
                    }
                }
            }
        }
    }
}
