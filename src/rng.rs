//! The seeded generator that every random decision draws from.
//!
//! SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014): one
//! addition and one mix per draw, every seed good, and a stream can be named by its start alone.
//! It is not for secrets.

/// The odd constant the state steps by: 2^64 divided by the golden ratio.
pub const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function: spreads every bit of `state` over the result. A bijection.
pub const fn mix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Maps `random`, uniform over 64 bits, to `0..bound` by multiplication. The bias is below
/// `bound / 2^64`. `bound` 0 gives 0.
pub const fn below(random: u64, bound: u64) -> u64 {
    ((random as u128 * bound as u128) >> 64) as u64
}

/// A stream of random numbers, the same for the same seed on every machine and in every release.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The stream of `seed`. Nearby seeds give unrelated streams.
    pub const fn new(seed: u64) -> Self {
        Self { state: mix(seed ^ GAMMA) }
    }

    /// The next 64 uniform bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        below(self.next_u64(), bound)
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub const fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference implementation's first outputs for the state 1234567.
    #[test]
    fn follows_the_reference() {
        let mut state = 1_234_567u64;
        let mut next = || {
            state = state.wrapping_add(GAMMA);
            mix(state)
        };
        assert_eq!(next(), 6_457_827_717_110_365_317);
        assert_eq!(next(), 3_203_168_211_198_807_973);
        assert_eq!(next(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn bounds_hold() {
        let mut rng = Rng::new(0);
        for bound in [1, 2, 3, 1000, u64::MAX] {
            for _ in 0..1000 {
                assert!(rng.below(bound) < bound);
                assert!((0.0..1.0).contains(&rng.unit()));
            }
        }
        assert_eq!(rng.below(0), 0);
    }
}
