//! Smooth weighted round robin as nginx does it (`ngx_http_upstream_get_peer`), written down once as a table
//! of turns so that a pick is one look-up: weights 5, 1, 1 give `a a b a c a a`.

use std::sync::Arc;

use crate::balance::draw::MEMBERS_MAX;

/// One whole period of turns. Every member appears exactly `weight / gcd` times in it.
#[derive(Clone, Debug)]
pub(crate) struct Smooth {
    turns: Arc<[u16]>,
    period: u64,
    /// `floor((2^64 - 1) / period)`, to divide by multiplication.
    inverse: u64,
}

impl Smooth {
    /// The order of `weights` (1 to 6,553,500 each). `None` when there are none, when the period (the sum of
    /// the weights divided by their greatest common divisor) exceeds [`PERIOD_MAX`], or when it would take
    /// more than [`BUILD_STEPS_MAX`] steps to write down.
    ///
    /// nginx looks at every member for every turn. Here only one member of each distinct weight competes,
    /// because members of equal weight take turns in cyclic order: after `t` turns a member of weight `w`
    /// that had `s` of them stands at `t * w - s * total`. So among equals whoever had fewer turns is ahead,
    /// and of those the lowest index wins. By induction the counts in a class are `k + 1` for the members
    /// before some point and `k` from it on, and the member at that point is the one nginx would compare
    /// with the other classes. The proptest below holds the two against each other.
    pub(crate) fn build(weights: &[u32]) -> Option<Self> {
        assert!(weights.len() <= MEMBERS_MAX);
        let divisor = weights.iter().fold(0, |gcd, &weight| common_divisor(gcd, weight));
        if divisor == 0 {
            return None;
        }
        let period = weights.iter().map(|&weight| u64::from(weight / divisor)).sum::<u64>();
        if period > PERIOD_MAX {
            return None;
        }

        let mut members: Vec<(u32, u16)> = Vec::with_capacity(weights.len());
        for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            members.push((weight / divisor, index as u16));
        }
        members.sort_unstable();
        let mut classes: Vec<Class> = Vec::new();
        for (at, &(weight, index)) in members.iter().enumerate() {
            match classes.last_mut() {
                Some(class) if class.weight == i64::from(weight) => class.end = at + 1,
                _ => classes.push(Class {
                    weight: i64::from(weight),
                    current: 0,
                    front: index,
                    at,
                    start: at,
                    end: at + 1,
                }),
            }
        }
        if period * classes.len() as u64 > BUILD_STEPS_MAX {
            return None;
        }

        let mut turns = Vec::with_capacity(period as usize);
        for _ in 0..period {
            let mut best = 0;
            for index in 0..classes.len() {
                classes[index].current += classes[index].weight;
                let (class, leader) = (&classes[index], &classes[best]);
                if class.current > leader.current
                    || (class.current == leader.current && class.front < leader.front)
                {
                    best = index;
                }
            }
            let class = &mut classes[best];
            turns.push(class.front);
            class.at += 1;
            if class.at == class.end {
                class.at = class.start;
                class.current -= period as i64;
            }
            class.front = members[class.at].1;
        }
        Some(Self { turns: turns.into(), period, inverse: u64::MAX / period })
    }

    /// Whose turn it is at `position`, counted from 0 and taken modulo the period.
    #[inline]
    pub(crate) fn at(&self, position: u64) -> u32 {
        // A 64-bit division costs more than the rest of the pick. `inverse` falls short of 2^64 / period by
        // at most 1, so the quotient falls short by at most 1 and one subtraction corrects the remainder.
        let quotient = ((u128::from(position) * u128::from(self.inverse)) >> 64) as u64;
        let rest = position - quotient * self.period;
        let rest = if rest >= self.period { rest - self.period } else { rest };
        u32::from(self.turns[rest as usize])
    }

    /// After how many turns the order repeats.
    #[cfg(test)]
    pub(crate) fn period(&self) -> u64 {
        self.period
    }
}

/// The members of one weight, and how far the one in front stands.
struct Class {
    weight: i64,
    current: i64,
    front: u16,
    at: usize,
    start: usize,
    end: usize,
}

fn common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The longest period kept as a table: 128 KiB, which stays in a second-level cache.
pub(crate) const PERIOD_MAX: u64 = 65_536;

/// The most steps (turns times distinct weights) spent on building: some ten milliseconds.
pub(crate) const BUILD_STEPS_MAX: u64 = 1 << 22;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// nginx's loop, without failures.
    fn nginx(weights: &[u32], turns: usize) -> Vec<u32> {
        let total = weights.iter().map(|&weight| i64::from(weight)).sum::<i64>();
        let mut current = vec![0i64; weights.len()];
        (0..turns)
            .map(|_| {
                let mut best = 0;
                for index in 0..weights.len() {
                    current[index] += i64::from(weights[index]);
                    if current[index] > current[best] {
                        best = index;
                    }
                }
                current[best] -= total;
                best as u32
            })
            .collect()
    }

    #[test]
    fn five_one_one_is_spread() {
        let order = Smooth::build(&[5, 1, 1]).expect("a short period");
        let turns: Vec<_> = (0..7).map(|position| order.at(position)).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(order.period(), 7);
    }

    #[test]
    fn weights_are_divided_by_what_they_share() {
        let order = Smooth::build(&[50_000, 10_000, 10_000]).expect("a short period");
        assert_eq!(order.period(), 7);
        assert_eq!(Smooth::build(&[65_535; 10_000]).expect("equal weights").period(), 10_000);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Smooth::build(&[]).is_none());
        assert!(Smooth::build(&[65_535, 1]).is_some());
        assert!(Smooth::build(&[65_535, 2]).is_none());
        let many: Vec<u32> = (1..=300).collect();
        assert!(many.iter().sum::<u32>() <= PERIOD_MAX as u32);
        assert!(Smooth::build(&many).is_none(), "too many distinct weights for the period");
        assert!(Smooth::build(&vec![1; MEMBERS_MAX]).is_some());
    }

    #[test]
    fn positions_wrap_exactly() {
        for weights in [&[1][..], &[1, 1], &[5, 1, 1], &[9, 4, 3, 3], &[65_535, 1], &[32_768, 3, 3]] {
            let order = Smooth::build(weights).expect("a short period");
            let period = order.period();
            for near in [0, period, period * 1000, 1 << 32, 1 << 63, u64::MAX - 2 * period] {
                for position in (near..near + 2 * period).step_by(1 + period as usize / 500) {
                    assert_eq!(order.at(position), order.at(position % period), "{weights:?} {position}");
                }
            }
            assert_eq!(order.at(u64::MAX), order.at(u64::MAX % period));
        }
    }

    proptest! {
        #[test]
        fn is_the_order_of_nginx(weights in prop_oneof![
            proptest::collection::vec(1u32..8, 1..40),
            proptest::collection::vec(1u32..500, 1..12),
        ]) {
            let order = Smooth::build(&weights).expect("a short period");
            let period = order.period();
            let expected = nginx(&weights, 2 * period as usize);
            for (position, expected) in expected.into_iter().enumerate() {
                prop_assert_eq!(order.at(position as u64), expected);
            }
        }

        #[test]
        fn each_period_serves_every_member_its_weight(
            weights in proptest::collection::vec(1u32..200, 1..100),
        ) {
            let order = Smooth::build(&weights).expect("a short period");
            let mut served = vec![0u64; weights.len()];
            for position in 0..order.period() {
                served[order.at(position) as usize] += 1;
            }
            let total = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>();
            for (served, &weight) in served.iter().zip(&weights) {
                prop_assert_eq!(served * total, u64::from(weight) * order.period());
            }
        }
    }
}
