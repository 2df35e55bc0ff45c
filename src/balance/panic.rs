//! Panic: so few of a tier are usable that those few would be overrun one after another, or that the checks are
//! more likely wrong than the backends. Then health is ignored and all ready backends of the tier share.
//!
//! After Envoy (`panic_threshold.rst`): a tier panics when the share of its ready backends that are usable is
//! below the threshold, unless the tiers together can still carry all of the load. A drained backend and one in
//! maintenance are not ready: they are neither counted nor picked.
//!
//! Departures. The default is off, where Envoy's is 50 %: in a pool of three, one survivor is below 50 %, and a
//! user who stops two backends to work on them expects the third to take all, as with HAProxy and nginx, and
//! not two picks of three on servers that are not there. A threshold is for pools so large that losing half says
//! more about the checks than about the backends. When no backend of the pool is usable, Envoy panics as well;
//! here that is an option of its own, `fail_open`, which a threshold includes.

use crate::balance::options::Options;
use crate::balance::tier::{Health, WHOLE};

/// Whether `tier`, one of `tiers`, serves whatever was observed of its backends.
pub(crate) fn is_panicking(tier: &Health, tiers: &[Health], options: &Options) -> bool {
    if tiers.iter().all(|tier| tier.usable == 0) {
        return fails_open(options);
    }
    let is_below = u64::from(tier.usable) * 100 < u64::from(options.panic_threshold) * u64::from(tier.ready);
    is_below && !carry_all(tiers)
}

/// Whether a pool without a usable backend picks one all the same.
pub(crate) fn fails_open(options: &Options) -> bool {
    options.fail_open || options.panic_threshold > 0
}

/// Whether the usable backends of all tiers together can carry the load.
fn carry_all(tiers: &[Health]) -> bool {
    tiers.iter().map(|tier| u64::from(tier.capacity())).sum::<u64>() >= u64::from(WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tiers of a hundred, so many of each usable.
    fn tiers(usable: &[u32]) -> Vec<Health> {
        (0..).zip(usable).map(|(number, &usable)| Health { number, ready: 100, usable }).collect()
    }

    fn panics(usable: &[u32], options: &Options) -> Vec<bool> {
        let tiers = tiers(usable);
        tiers.iter().map(|tier| is_panicking(tier, &tiers, options)).collect()
    }

    /// The two tables of Envoy's `panic_threshold.rst`.
    #[test]
    fn follows_envoys_tables() {
        let options = Options { panic_threshold: 50, ..Options::default() };
        for usable in [[72, 100], [71, 100], [50, 100], [25, 100], [0, 100], [72, 72], [71, 71], [50, 60]] {
            assert_eq!(panics(&usable, &options), [false, false], "{usable:?}");
        }
        assert_eq!(panics(&[25, 25], &options), [true, true]);
        assert_eq!(panics(&[5, 65], &options), [true, false]);
        assert_eq!(panics(&[0, 0], &options), [true, true]);
    }

    #[test]
    fn the_threshold_is_the_first_share_that_does_not_panic() {
        let options = Options { panic_threshold: 50, ..Options::default() };
        assert_eq!(panics(&[50], &options), [false]);
        assert_eq!(panics(&[49], &options), [true]);
        let all = Options { panic_threshold: 100, ..Options::default() };
        assert_eq!(panics(&[71], &all), [true]);
        assert_eq!(panics(&[72], &all), [false], "72 of 100 carry all of the load");
    }

    #[test]
    fn off_is_off_until_nobody_is_left() {
        assert_eq!(panics(&[1], &Options::default()), [false]);
        assert_eq!(panics(&[0], &Options::default()), [false]);
        let open = Options { fail_open: true, ..Options::default() };
        assert_eq!(panics(&[1], &open), [false]);
        assert_eq!(panics(&[0, 0], &open), [true, true]);
    }
}
