//! The write-ahead log in simulated worlds. `SEEDS=N` plays that many, `SEED=N` (or `TRIMTAB_SIM_SEED=N`) replays one.
#![cfg(feature = "sim")]

use trimtab::sim::log::{Summary, Trouble, run};

/// How many worlds a test run plays.
const SEEDS: u64 = 256;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn what_must_hold_holds_in_every_world() {
    let one = number("SEED").or_else(|| number("TRIMTAB_SIM_SEED"));
    let seeds = one.map_or(0..number("SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let is_whole = seeds.end - seeds.start >= SEEDS;
    let mut sum = Summary::default();
    for seed in seeds {
        match run(seed, Trouble::of(seed)) {
            Ok(summary) => sum.add(&summary),
            Err(what) => panic!("{what}\nagain with: SEED={seed} cargo test --features sim --test sim_wal"),
        }
    }
    println!("{sum:?}");
    if is_whole {
        // The worlds are worth something only if all of this happens in them.
        assert!(sum.appended > 50_000 && sum.opened > 1_000 && sum.segments > 1_000, "{sum:?}");
        assert!(sum.torn > 20 && sum.more_than_told > 100 && sum.refused > 10, "{sum:?}");
        assert!(sum.covered > 5, "{sum:?}");
        assert!(sum.full > 100 && sum.snapshots > 500 && sum.replaced > 1_000, "{sum:?}");
        assert!(sum.failed > 10 && sum.read > 10_000, "{sum:?}");
        assert!(sum.upkeep_failed > 50 && sum.snapshots_failed > 50 && sum.left > 200, "{sum:?}");
    }
}

/// A disk that acknowledges before it syncs loses what it told, sooner or later; the checker has to see it.
#[test]
fn the_canary_is_caught() {
    let caught = (0..64).filter(|seed| run(*seed, Trouble::Canary).is_err()).count();
    assert!(caught > 32, "{caught} of 64");
}

/// A seed is a whole world: it goes the same way each time.
#[test]
fn a_seed_replays() {
    for seed in 0..8 {
        assert_eq!(run(seed, Trouble::of(seed)), run(seed, Trouble::of(seed)));
    }
}
