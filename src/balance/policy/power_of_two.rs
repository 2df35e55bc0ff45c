//! Two choices (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001): draw two
//! different backends by weight, take the one with the smaller load for its weight. On a tie the first
//! drawn wins, so that an idle pool is shared by weight.

use super::{Ask, TRIES, onward};
use crate::balance::draw::alias::Alias;
use crate::balance::explain::Trace;

#[inline(always)]
pub(super) fn choose<L: Load>(
    alias: &Alias,
    load: impl Fn(u32) -> L,
    weight: impl Fn(u32) -> u32,
    ask: &Ask<'_>,
    eligible: impl Fn(u32) -> bool,
    trace: &mut impl Trace,
) -> Option<u32> {
    let mut last = 0;
    for further in 0..TRIES / 2 {
        // The second draw turns the first's bits about: indices take 16 bits from the top, so the two
        // come from different ones.
        let random = ask.turn.random(further * DRAWS);
        let mut draws = 0;
        let (first, second) = alias.draw_two(|| {
            draws += 1;
            match draws {
                1 => random,
                2 => random.rotate_left(32),
                _ => ask.turn.random(further * DRAWS + draws),
            }
        });
        last = second;
        match (eligible(first), eligible(second)) {
            (true, true) => {
                let (one, other) = (load(first), load(second));
                trace.considered(first, one.per(weight(first)));
                trace.considered(second, other.per(weight(second)));
                let is_lighter = other.times(weight(first)) < one.times(weight(second));
                // Whichever it is cannot be foreseen: no branch.
                return Some(first ^ ((first ^ second) & 0u32.wrapping_sub(u32::from(is_lighter))));
            }
            (true, false) => return Some(first),
            (false, true) => return Some(second),
            (false, false) => {}
        }
    }
    onward(ask.backends.len(), last, eligible)
}

/// A load that can be compared for weights without a division.
pub(super) trait Load: Copy + PartialOrd {
    fn times(self, weight: u32) -> Self;
    fn per(self, weight: u32) -> f64;
}

impl Load for u64 {
    #[inline(always)]
    fn times(self, weight: u32) -> Self {
        // Loads stay far below 2^48: a pool has at most 2^31 picks in flight.
        self * u64::from(weight)
    }

    #[inline(always)]
    fn per(self, weight: u32) -> f64 {
        self as f64 / f64::from(weight)
    }
}

impl Load for f64 {
    #[inline(always)]
    fn times(self, weight: u32) -> Self {
        self * f64::from(weight)
    }

    #[inline(always)]
    fn per(self, weight: u32) -> f64 {
        self / f64::from(weight)
    }
}

/// Above how many random numbers one drawing of two may take.
const DRAWS: u64 = 16;
