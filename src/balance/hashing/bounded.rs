//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350): a member that
//! has its fair share and a margin is passed over for the next one.

/// How many requests a member of `weight` may have in flight while the pool has `total_in_flight`: a member
/// with fewer may take one more. At least 1.
///
/// `factor_percent` is the margin over the fair share, 100 to 1000; 125 to 200 are sensible.
/// `total_weight` counts the members that may be picked, this one included.
///
/// `ceil(c * (m + 1) / n)` of the paper, in the integer and weighted form of HAProxy: slots are
/// `ceil((m + 1) * factor / 100)` and a member gets `weight / total_weight` of them. Departure: HAProxy
/// spreads what does not divide evenly by cumulative weight, which depends on the order of members; here
/// every member's part is rounded up, which grants each at most one request more. Either way the parts add
/// up to `m + 1` at least, so some member always has room.
#[inline]
pub(crate) fn allowed(total_in_flight: u64, factor_percent: u32, weight: u32, total_weight: u64) -> u64 {
    let next = total_in_flight.saturating_add(1);
    let factor = u64::from(factor_percent);
    let total_weight = total_weight.max(1);
    let slots = next.checked_mul(factor).map(|product| product.div_ceil(100));
    // Wide arithmetic costs a call, and is for numbers no pool sees.
    match slots.and_then(|slots| slots.checked_mul(u64::from(weight))) {
        Some(product) => product.div_ceil(total_weight).max(1),
        None => {
            let slots = (u128::from(next) * u128::from(factor)).div_ceil(100);
            let part = (slots * u128::from(weight)).div_ceil(u128::from(total_weight));
            u64::try_from(part).unwrap_or(u64::MAX).max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn follows_the_formula() {
        // 8 in flight over 3 equal members at 125 %: ceil(1.25 * 9 / 3) = 4.
        assert_eq!(allowed(8, 125, 1, 3), 4);
        assert_eq!(allowed(0, 100, 1, 1000), 1);
        assert_eq!(allowed(99, 150, 2, 4), 75);
        assert_eq!(allowed(0, 100, 1, 0), 1);
    }

    #[test]
    fn the_greatest_numbers_do_not_overflow() {
        assert_eq!(allowed(u64::MAX, 1000, 65_535, 65_535), u64::MAX);
        assert_eq!(allowed(u64::MAX - 1, 100, 1, 1 << 32), 1 << 32);
        assert_eq!(allowed(1 << 50, 100, 65_535, 65_535), (1 << 50) + 1);
    }

    proptest! {
        #[test]
        fn someone_always_has_room(
            weights in proptest::collection::vec(1u32..=65_535, 1..50),
            total in prop_oneof![0u64..100, any::<u64>()],
            factor in 100u32..=1000,
        ) {
            let total_weight = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>();
            let part = |&weight: &u32| u128::from(allowed(total, factor, weight, total_weight));
            prop_assert!(weights.iter().map(part).sum::<u128>() > u128::from(total));
        }

        #[test]
        fn nobody_gets_more_than_the_margin(
            weight in 1u32..=65_535, others in 0u64..1 << 32, total in 0u64..1 << 40, factor in 100u32..=1000,
        ) {
            let total_weight = u64::from(weight) + others;
            let slots = (total + 1) as f64 * f64::from(factor) / 100.0;
            let fair = slots * f64::from(weight) / total_weight as f64;
            let allowed = allowed(total, factor, weight, total_weight) as f64;
            prop_assert!(allowed >= (fair * 0.999_999).floor() && allowed <= fair * 1.000_001 + 2.0);
        }
    }

    /// Requests placed one by one never find every member full, nor push one past its bound.
    #[test]
    fn a_run_of_requests_finds_room() {
        let weights = [10, 1, 1, 3];
        let mut in_flight = [0u64; 4];
        for total in 0..10_000u64 {
            let start = crate::rng::mix(total) as usize % 4;
            let room = |index: &usize| in_flight[*index] < allowed(total, 125, weights[*index], 15);
            let index = (0..4).map(|step| (start + step) % 4).find(room).expect("someone has room");
            in_flight[index] += 1;
        }
        for (in_flight, weight) in in_flight.into_iter().zip(weights) {
            assert!(in_flight <= allowed(10_000, 125, weight, 15));
        }
    }
}
