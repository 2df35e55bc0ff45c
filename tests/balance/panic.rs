//! Panic: when health is ignored, and that it is not where a user would not expect it.

use trimtab::balance::{Admin, Backups, Observed, Options, Policy, Request, Verdict};
use trimtab::error::{Error, NoBackend};

use crate::support::*;

fn request() -> Request<'static> {
    Request { lane: LANE, now: NOW, ..Request::default() }
}

/// A user who stops two backends of three loses nothing: the third takes all, under every policy.
#[test]
fn by_default_the_last_of_three_takes_all() {
    for (name, policy) in Policy::NAMES {
        let (pool, ids) = pool(Options { policy, ..Options::default() }, &[1, 1, 1]);
        pool.set_observed(ids[0], Observed::Down).unwrap();
        pool.set_observed(ids[2], Observed::Ejected).unwrap();
        assert_eq!(counts(&pool, &ids, 200), [0, 200, 0], "{name}");
        assert!(!pool.statistics().panic && !pool.explain(&request()).unwrap().panic);
        pool.set_observed(ids[1], Observed::Down).unwrap();
        let refused = pool.pick(&request()).unwrap_err();
        assert_eq!(refused, Error::NoBackend(NoBackend::Unusable { backends: 3 }), "{name}");
    }
}

#[test]
fn below_the_threshold_all_ready_ones_share() {
    let (pool, ids) = pool(Options { panic_threshold: 50, ..Options::default() }, &[1, 1, 1, 1, 1]);
    pool.set_admin(ids[4], Admin::Drain).unwrap();
    pool.set_observed(ids[0], Observed::Down).unwrap();
    pool.set_observed(ids[1], Observed::Ejected).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [0, 0, 50, 50, 0], "two of four are not below half");
    pool.set_observed(ids[2], Observed::Down).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [25, 25, 25, 25, 0], "never the drained one");
    assert!(pool.statistics().panic);
    let why = pool.explain(&request()).unwrap();
    assert!(why.panic);
    let passed = |at: usize| matches!(why.backends[at].verdict, Verdict::Picked | Verdict::Passed);
    assert!((0..4).all(passed) && why.backends[4].verdict == Verdict::Drain, "{why:?}");
    assert!(pool.backend(ids[0]).unwrap().serving);
    // What the operator takes out is not counted as lost.
    pool.set_admin(ids[0], Admin::Maintenance).unwrap();
    pool.set_admin(ids[1], Admin::Maintenance).unwrap();
    assert_eq!(counts(&pool, &ids, 100), [0, 0, 0, 100, 0], "one of two is not below half");
    assert!(!pool.statistics().panic);
}

#[test]
fn standby_tiers_that_carry_all_keep_panic_away() {
    for backups in [Backups::One, Backups::All] {
        let options = Options { panic_threshold: 50, backups, ..Options::default() };
        let (pool, ids) = pool(options, &[1; 6]);
        pool.update(|edit| ids[3..].iter().try_for_each(|&id| edit.set_tier(id, 1))).unwrap();
        pool.set_observed(ids[0], Observed::Down).unwrap();
        pool.set_observed(ids[1], Observed::Down).unwrap();
        assert_eq!(counts(&pool, &ids, 60), [0, 0, 60, 0, 0, 0]);
        // 46 % and 46 %: no longer all of it.
        pool.set_observed(ids[3], Observed::Down).unwrap();
        pool.set_observed(ids[4], Observed::Down).unwrap();
        assert_eq!(counts(&pool, &ids, 60), [20, 20, 20, 0, 0, 0]);
        // The standby tier panics in its turn, unless one is what is wanted of it.
        pool.set_observed(ids[2], Observed::Down).unwrap();
        let expected = if backups == Backups::One { [0, 0, 0, 0, 0, 60] } else { [0, 0, 0, 20, 20, 20] };
        assert_eq!(counts(&pool, &ids, 60), expected);
    }
}

#[test]
fn a_pool_may_fail_open_when_nobody_is_usable() {
    let (pool, ids) = pool(Options { fail_open: true, ..Options::default() }, &[1; 4]);
    pool.set_tier(ids[3], 1).unwrap();
    pool.set_admin(ids[0], Admin::Drain).unwrap();
    pool.set_observed(ids[1], Observed::Down).unwrap();
    pool.set_observed(ids[2], Observed::Down).unwrap();
    assert_eq!(counts(&pool, &ids, 10), [0, 0, 0, 10], "while there is a usable one");
    pool.set_observed(ids[3], Observed::Down).unwrap();
    assert_eq!(counts(&pool, &ids, 10), [0, 5, 5, 0], "then the lowest tier with ready ones");
    pool.set_admin(ids[1], Admin::Maintenance).unwrap();
    pool.set_admin(ids[2], Admin::Maintenance).unwrap();
    assert_eq!(counts(&pool, &ids, 10), [0, 0, 0, 10]);
    pool.set_admin(ids[3], Admin::Drain).unwrap();
    let refused = pool.pick(&request()).unwrap_err();
    assert_eq!(refused, Error::NoBackend(NoBackend::Unusable { backends: 4 }), "never who is not ready");
}

/// The table of docs/failure.md: admin, observed, panic.
#[test]
fn the_truth_table() {
    use Observed::*;
    for panic in [false, true] {
        for admin in [Admin::Ready, Admin::Drain, Admin::Maintenance] {
            for observed in [Up, Unknown, Down, Ejected] {
                // Under a threshold of 100 the second backend, which is down, makes the tier panic; without
                // one it only stands there.
                let options = Options { panic_threshold: if panic { 100 } else { 0 }, ..Options::default() };
                let (pool, ids) = pool(options, &[1, 1]);
                pool.set_observed(ids[1], Down).unwrap();
                pool.set_admin(ids[0], admin).unwrap();
                pool.set_observed(ids[0], observed).unwrap();
                let picked = admin == Admin::Ready && (panic || matches!(observed, Up | Unknown));
                let (serving, case) = (pool.backend(ids[0]).unwrap().serving, (panic, admin, observed));
                assert_eq!(serving, picked, "{case:?}");
                assert_eq!(pool.statistics().panic, panic, "{case:?}");
                if pool.statistics().serving > 0 {
                    assert_eq!(counts(&pool, &ids, 10)[0] > 0, picked, "{case:?}");
                }
            }
        }
    }
}
