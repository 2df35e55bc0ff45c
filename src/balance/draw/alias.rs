//! Independent draws by weight in constant time: the alias method (Walker 1977) built as Vose describes ("A
//! linear algorithm for generating random numbers with a given distribution", IEEE TSE 17, 1991).
//! Departure: integers instead of floating point, so that every machine builds the same table and nothing
//! is lost to rounding but the last step.

use std::sync::Arc;

use crate::balance::draw::MEMBERS_MAX;
use crate::rng::below;

/// A table of columns, each shared by its own member and one alias.
#[derive(Clone, Debug)]
pub(crate) struct Alias {
    len: u64,
    /// Per column, from the low bit: the alias (16 bits), and how much of the column is its owner's (48
    /// bits, in units of 2^-48). Empty when all weights are equal: then the column is the answer.
    columns: Arc<[u64]>,
}

impl Alias {
    /// The draw for `weights` (1 to 6,553,500 each). Chances are exact to 2^-48. No weights give a draw that
    /// always names index 0.
    pub(crate) fn build(weights: &[u32]) -> Self {
        assert!(weights.len() <= MEMBERS_MAX);
        let len = weights.len().max(1) as u64;
        let capacity = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>();
        if capacity == 0 || weights.iter().all(|weight| *weight == weights[0]) {
            return Self { len, columns: Arc::default() };
        }

        // Everything times `len`: a column holds the sum of the weights, and a member brings its weight
        // `len` times. Below 2^55 in all.
        let mut left: Vec<u64> = weights.iter().map(|&weight| u64::from(weight) * len).collect();
        let (mut small, mut large): (Vec<u16>, Vec<u16>) =
            (0..=(len - 1) as u16).partition(|&index| left[usize::from(index)] < capacity);
        // A column nobody shares keeps itself as its alias, so how it is divided does not matter.
        let mut columns: Vec<u64> = (0..len).collect();
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            let owned = left[usize::from(poor)];
            let parts = ((u128::from(owned) << 48) / u128::from(capacity)) as u64;
            columns[usize::from(poor)] = parts << 16 | u64::from(rich);
            let rest = &mut left[usize::from(rich)];
            *rest -= capacity - owned;
            if *rest < capacity {
                large.pop();
                small.push(rich);
            }
        }
        Self { len, columns: columns.into() }
    }

    /// The member that `random`, uniform over 64 bits, stands for.
    #[inline]
    pub(crate) fn draw(&self, random: u64) -> u32 {
        // The whole part of `random * len / 2^64` picks the column, the fraction decides within it.
        let product = u128::from(random) * u128::from(self.len);
        let column = (product >> 64) as u64;
        if self.columns.is_empty() {
            return column as u32;
        }
        let entry = self.columns[column as usize];
        let owned = entry & !0xffff;
        let within = product as u64;
        (if within < owned { column } else { entry & 0xffff }) as u32
    }

    /// Two members drawn by weight, distinct when there are at least two. `random` gives fresh uniform
    /// numbers; at most [`REDRAWS_MAX`] + 3 are taken.
    ///
    /// The second is drawn until it differs from the first. When that many draws repeat it, which takes a
    /// member that holds nearly all the weight, the second is any of the others with equal chance.
    #[inline]
    pub(crate) fn draw_two(&self, mut random: impl FnMut() -> u64) -> (u32, u32) {
        let first = self.draw(random());
        if self.len < 2 {
            return (first, first);
        }
        if !self.columns.is_empty() {
            for _ in 0..=REDRAWS_MAX {
                let second = self.draw(random());
                if second != first {
                    return (first, second);
                }
            }
        }
        let other = below(random(), self.len - 1) as u32;
        (first, other + u32::from(other >= first))
    }
}

/// How often the second of two is drawn again. With a member of half the weight, one pair in 128 comes
/// to the even choice.
pub(crate) const REDRAWS_MAX: u32 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    /// Each member's chance, read off the table in units of 2^-48 of a column.
    fn chances(alias: &Alias) -> Vec<u64> {
        let mut chances = vec![0; alias.len as usize];
        for (column, &entry) in alias.columns.iter().enumerate() {
            chances[column] += entry >> 16;
            chances[(entry & 0xffff) as usize] += (1 << 48) - (entry >> 16);
        }
        chances
    }

    /// Within six standard deviations of the expected count.
    fn is_near(count: u64, expected: f64) -> bool {
        (count as f64 - expected).abs() <= 6.0 * expected.sqrt() + 1.0
    }

    #[test]
    fn draws_follow_the_weights() {
        for weights in [vec![5, 1, 1], vec![65_535, 1, 300], (1..=100).collect(), vec![2; 7], vec![9]] {
            let alias = Alias::build(&weights);
            let total = weights.iter().sum::<u32>();
            let mut rng = Rng::new(1);
            let mut counts = vec![0u64; weights.len()];
            let draws = 500_000;
            for _ in 0..draws {
                counts[alias.draw(rng.next_u64()) as usize] += 1;
            }
            for (&count, &weight) in counts.iter().zip(&weights) {
                let expected = f64::from(draws) * f64::from(weight) / f64::from(total);
                assert!(is_near(count, expected), "{count} draws where {expected} are due");
            }
        }
    }

    #[test]
    fn extremes_of_the_random_number_stay_in_range() {
        for len in [1usize, 2, 3, 1000, MEMBERS_MAX] {
            for weights in [vec![3; len], (0..len as u32).map(|index| 1 + index % 65_535).collect()] {
                let alias = Alias::build(&weights);
                assert_eq!(alias.draw(0), alias.draw(1));
                assert!((alias.draw(u64::MAX) as usize) < len);
            }
        }
        assert_eq!(Alias::build(&[]).draw(u64::MAX), 0);
        assert_eq!(Alias::build(&[]).draw_two(|| 5), (0, 0));
    }

    #[test]
    fn two_are_distinct_and_drawn_by_weight() {
        let weights = [4, 3, 2, 1];
        let alias = Alias::build(&weights);
        let mut rng = Rng::new(2);
        let mut pairs = [[0u64; 4]; 4];
        let draws = 400_000;
        for _ in 0..draws {
            let (first, second) = alias.draw_two(|| rng.next_u64());
            pairs[first as usize][second as usize] += 1;
        }
        for first in 0..4 {
            assert_eq!(pairs[first][first], 0);
            for second in (0..4).filter(|&second| second != first) {
                let (a, b) = (f64::from(weights[first]) / 10.0, f64::from(weights[second]) / 10.0);
                // All redraws fail with chance a^6; the even choice follows.
                let expected = a * (b / (1.0 - a) * (1.0 - a.powi(6)) + a.powi(6) / 3.0);
                let expected = expected * f64::from(draws);
                assert!(is_near(pairs[first][second], expected), "{first} {second} {expected}");
            }
        }
    }

    #[test]
    fn two_of_equals_are_even() {
        let alias = Alias::build(&[7; 5]);
        let mut rng = Rng::new(3);
        let mut pairs = [[0u64; 5]; 5];
        for _ in 0..200_000 {
            let (first, second) = alias.draw_two(|| rng.next_u64());
            pairs[first as usize][second as usize] += 1;
        }
        for (first, row) in pairs.iter().enumerate() {
            for (second, &count) in row.iter().enumerate() {
                assert!(is_near(count, if first == second { 0.0 } else { 10_000.0 }));
            }
        }
    }

    #[test]
    fn two_are_distinct_beside_a_giant_or_a_stuck_generator() {
        for weights in [vec![65_535, 1], vec![1, 65_535], vec![1, 1], vec![65_535, 1, 1]] {
            let alias = Alias::build(&weights);
            for stuck in [0, 1 << 62, u64::MAX / 2, u64::MAX] {
                let mut taken = 0;
                let (first, second) = alias.draw_two(|| {
                    taken += 1;
                    stuck
                });
                assert_ne!(first, second);
                assert!((first.max(second) as usize) < weights.len());
                assert!(taken <= REDRAWS_MAX + 3);
            }
        }
    }

    proptest! {
        #[test]
        fn the_table_holds_the_exact_chances(weights in proptest::collection::vec(1u32..=65_535, 2..300)) {
            let alias = Alias::build(&weights);
            let total = weights.iter().map(|&weight| u128::from(weight)).sum::<u128>();
            let len = weights.len() as u128;
            if !alias.columns.is_empty() {
                for (chance, &weight) in chances(&alias).into_iter().zip(&weights) {
                    let exact = ((u128::from(weight) * len) << 48) / total;
                    // Each column that names the member rounds by less than one unit.
                    prop_assert!(u128::from(chance).abs_diff(exact) <= len + 1);
                }
            }
        }
    }
}
