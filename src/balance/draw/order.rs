//! The order of round robin: smooth and exact where its period is short enough to write down, golden-ratio
//! turns where it is not.

use crate::balance::draw::golden::Golden;
use crate::balance::draw::smooth::Smooth;

/// A fixed order in proportion to weights.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// nginx's order: every period gives each member exactly its weight.
    Smooth(Smooth),
    /// The same proportions in the long run, at any time within a few turns.
    Golden(Golden),
}

impl Order {
    /// The order of `weights` (1 to 6,553,500 each, at most 65,536 of them). No weights give an order that
    /// always names index 0.
    pub(crate) fn build(weights: &[u32]) -> Self {
        match Smooth::build(weights) {
            Some(smooth) => Self::Smooth(smooth),
            None => Self::Golden(Golden::from_weights(weights)),
        }
    }

    /// Whose turn it is at `position`.
    #[inline]
    pub(crate) fn at(&self, position: u64) -> u32 {
        match self {
            Self::Smooth(smooth) => smooth.at(position),
            Self::Golden(golden) => golden.at(position),
        }
    }

    /// Whether each period gives every member exactly its weight.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::Smooth(_))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn short_periods_are_exact_and_long_ones_are_close() {
        assert!(Order::build(&[5, 1, 1]).is_exact());
        assert!(Order::build(&vec![17; 65_536]).is_exact());
        let order = Order::build(&[65_521, 65_519, 3]);
        assert!(!order.is_exact());
        let mut turns = [0u32; 3];
        for position in 0..131_043 {
            turns[order.at(position) as usize] += 1;
        }
        for (turns, weight) in turns.into_iter().zip([65_521, 65_519, 3]) {
            assert!(turns.abs_diff(weight) <= 3, "{turns} for {weight}");
        }
    }

    #[test]
    fn nobody_is_index_zero() {
        assert_eq!(Order::build(&[]).at(u64::MAX), 0);
    }
}
