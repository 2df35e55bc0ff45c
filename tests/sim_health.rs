//! Checks, a pool and discovery under simulated worlds. `TRIMTAB_SIM_SEED=N` replays one.
#![cfg(feature = "sim")]

use trimtab::sim::health::{self, Mutant, Summary};

/// How many worlds a test run plays.
const SEEDS: u64 = 256;
/// In one of so many worlds every mutant must be found out.
const MUTANT_SEEDS: u64 = 32;

fn seeds() -> std::ops::Range<u64> {
    match std::env::var("TRIMTAB_SIM_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("TRIMTAB_SIM_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    }
}

fn again(seed: u64) -> String {
    format!("again with: TRIMTAB_SIM_SEED={seed} cargo test --features sim --test sim_health")
}

#[test]
fn what_must_hold_holds_in_every_world() {
    let mut sum = Summary::default();
    for seed in seeds() {
        match health::run(seed) {
            Ok(summary) => sum.add(&summary),
            Err(what) => panic!("{what}\n{}", again(seed)),
        }
    }
    if seeds() == (0..SEEDS) {
        // The worlds are worth something only if all of this happens in them.
        for (what, count, least) in [
            ("picks", sum.picks, 20_000),
            ("refused picks", sum.refused, 200),
            ("panics", sum.panics, 1_000),
            ("probes", sum.probes, 100_000),
            ("timeouts", sum.timed_out, 2_000),
            ("stale verdicts", sum.stale, 2_000),
            ("ups", sum.ups, 1_000),
            ("downs", sum.downs, 500),
            ("ejections", sum.ejections, 100),
            ("ejections at the cap", sum.capped, 100),
            ("retries", sum.retries, 500),
            ("refused retries", sum.retries_refused, 100),
            ("refreshes", sum.refreshes, 500),
            ("held members", sum.held, 50),
            ("members that went", sum.emptied, 50),
            ("bad files", sum.bad_files, 50),
            ("jumps", sum.jumps, 500),
        ] {
            assert!(count >= least, "{what} are rare: {count} of {least}; {sum:?}");
        }
    }
}

/// No bursts: first probes are placed evenly, and beats stay apart.
#[test]
fn probes_of_many_checks_do_not_align() {
    for seed in seeds() {
        if let Err(what) = health::herd(seed, false) {
            panic!("{what}\n{}", again(seed));
        }
    }
    assert!((0..8).all(|seed| health::herd(seed, true).is_err()), "a driver that aligns them is found out");
}

/// What is checked can fail: a world in which one thing is not as it should be is found out.
#[test]
fn every_mutant_is_found_out() {
    for mutant in Mutant::ALL {
        let found = (0..MUTANT_SEEDS).find_map(|seed| health::run_mutant(seed, mutant).err());
        let found = found.unwrap_or_else(|| panic!("{mutant:?} is never found out"));
        println!("{mutant:?}: {found}");
    }
}

/// The same seed, the same run.
#[test]
fn a_run_can_be_repeated() {
    for seed in 0..4 {
        assert_eq!(health::run(seed), health::run(seed));
    }
}
