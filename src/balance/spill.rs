//! Spill-over: tiers share the load by how many of their backends are usable, in place of standing by until
//! the tiers below have none.
//!
//! After Envoy's priority levels (`priority.rst`): a tier carries 140 % of its usable share, at most all, and
//! each tier takes what those below it leave. When they carry less than all together, each takes in proportion.
//! Departures: parts per million in place of whole percents, and what rounding leaves goes to the lowest tier.
//!
//! Which tier a pick goes to is drawn from its lane's turn by the multiples of the square root of 2: they are as
//! even as the golden ratio's, which place turns within a tier, and independent of them. Under the hash policies
//! the key decides, so that a key stays in its tier while the loads stay.

use crate::balance::tier::{Health, Tier, WHOLE};

/// The tiers above the lowest that serves, and which of all takes a pick.
#[derive(Debug)]
pub(crate) struct Spill {
    pub(crate) others: Box<[Tier]>,
    /// Where the part of each tier but the last ends, the lowest first, in units of 2^-64.
    ends: Box<[u64]>,
}

impl Spill {
    /// Spills from `front` to `others`; `None` when there are none.
    pub(crate) fn new(front: &Tier, others: Vec<Tier>) -> Option<Self> {
        let mut sum = 0u64;
        let mut ends = Vec::with_capacity(others.len());
        for tier in std::iter::once(front).chain(&others).take(others.len()) {
            sum += u64::from(tier.part);
            // Below 2^64: the last tier has a part too.
            ends.push(((u128::from(sum) << 64) / u128::from(WHOLE)) as u64);
        }
        (!others.is_empty()).then(|| Self { others: others.into(), ends: ends.into() })
    }

    /// Which tier takes the pick at `fraction` of the load, in units of 2^-64: 0 is the lowest, then the others.
    pub(crate) fn draw(&self, fraction: u64) -> usize {
        self.ends.iter().take_while(|end| fraction >= **end).count()
    }
}

/// Where the turn at `position` falls, in units of 2^-64.
pub(crate) fn fraction(position: u64) -> u64 {
    position.wrapping_mul(ROOT_TWO)
}

/// What part of the load each of `tiers` takes, in parts of [`WHOLE`]; they add up to it unless nobody is usable.
pub(crate) fn parts(tiers: &[Health]) -> Vec<u32> {
    let capacity: u64 = tiers.iter().map(|tier| u64::from(tier.capacity())).sum();
    let total = capacity.min(u64::from(WHOLE));
    if total == 0 {
        return vec![0; tiers.len()];
    }
    let mut left = u64::from(WHOLE);
    let mut parts: Vec<u32> = tiers
        .iter()
        .map(|tier| {
            let part = (u64::from(tier.capacity()) * u64::from(WHOLE) / total).min(left);
            left -= part;
            part as u32
        })
        .collect();
    if let Some(lowest) = parts.iter_mut().find(|part| **part > 0) {
        *lowest += left as u32;
    }
    parts
}

/// The fraction of the square root of 2, in units of 2^-64, made odd.
const ROOT_TWO: u64 = 0x6a09_e667_f3bc_c909;

#[cfg(test)]
mod tests {
    use super::*;

    /// In whole percents, of tiers of a hundred.
    fn percents(usable: &[u32]) -> Vec<u32> {
        let tiers: Vec<_> =
            (0..).zip(usable).map(|(number, &usable)| Health { number, ready: 100, usable }).collect();
        let parts = parts(&tiers);
        assert_eq!(parts.iter().sum::<u32>(), if usable.iter().any(|&n| n > 0) { WHOLE } else { 0 });
        parts.iter().map(|part| (part + 5_000) / 10_000).collect()
    }

    /// The tables of Envoy's `priority.rst`.
    #[test]
    fn follows_envoys_tables() {
        let cases: [(&[u32], &[u32]); 15] = [
            (&[100, 100], &[100, 0]),
            (&[72, 100], &[100, 0]),
            (&[71, 100], &[99, 1]),
            (&[50, 100], &[70, 30]),
            (&[25, 100], &[35, 65]),
            (&[0, 100], &[0, 100]),
            (&[72, 72], &[100, 0]),
            (&[71, 71], &[99, 1]),
            (&[50, 50], &[70, 30]),
            (&[25, 25], &[50, 50]),
            (&[5, 65], &[7, 93]),
            (&[0, 0], &[0, 0]),
            (&[50, 50, 100], &[70, 30, 0]),
            (&[25, 25, 100], &[35, 35, 30]),
            (&[25, 25, 20], &[36, 36, 29]),
        ];
        for (usable, expected) in cases {
            // Envoy's percents are whole and add up to 100; the nearest whole ones need not.
            assert_eq!(percents(usable), expected, "{usable:?}");
        }
    }

    #[test]
    fn turns_are_even() {
        let tier = |number, part| Tier { part, ..Tier::nobody(number) };
        let (front, others) = (tier(0, 700_000), vec![tier(1, 200_000), tier(2, 100_000)]);
        let spill = Spill::new(&front, others).unwrap();
        let mut counts = [0u32; 3];
        for position in 0..1_000 {
            counts[spill.draw(fraction(position))] += 1;
            let due = [0.7, 0.2, 0.1].map(|part| part * f64::from(position as u32 + 1));
            for (had, due) in counts.iter().zip(due) {
                assert!((f64::from(*had) - due).abs() < 3.0, "{counts:?} after {position}");
            }
        }
        assert_eq!((spill.draw(0), spill.draw(u64::MAX)), (0, 2));
    }
}
