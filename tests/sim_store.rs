//! The store in simulated worlds. `SEEDS=N` plays that many, `SEED=N` (or `TRIMTAB_SIM_SEED=N`) replays one.
#![cfg(feature = "sim")]

use trimtab::sim::store::{Summary, Trouble, run};

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
            Err(what) => panic!("{what}\nagain with: SEED={seed} cargo test --features sim --test sim_store"),
        }
    }
    println!("{sum:?}");
    if is_whole {
        // The worlds are worth something only if all of this happens in them.
        assert!(sum.submitted > 20_000 && sum.answered > 10_000 && sum.local > 3_000, "{sum:?}");
        assert!(sum.opened > 1_000 && sum.from_snapshot > 100 && sum.snapshots > 100, "{sum:?}");
        assert!(sum.vanished > 100 && sum.more_than_told > 100 && sum.read > 10_000, "{sum:?}");
        assert!(sum.repeated > 100 && sum.joined > 100 && sum.expiries > 100, "{sum:?}");
        assert!(sum.refused > 100 && sum.failed > 10 && sum.clock_steps > 100, "{sum:?}");
        assert!(sum.killed > 200 && sum.slow > 500 && sum.damaged > 20 && sum.rotted > 0, "{sum:?}");
    }
}

/// Whoever acknowledges before it is durable loses what was told, sooner or later; the checker has to see it.
#[test]
fn the_canaries_are_caught() {
    for trouble in [Trouble::LateDisk, Trouble::EarlyAnswer] {
        let caught = (0..64).filter(|seed| run(*seed, trouble).is_err()).count();
        assert!(caught > 32, "{trouble:?}: {caught} of 64");
    }
}

/// Whoever deletes is heard at the bound, whatever writers did on the way there.
#[test]
fn a_bound_of_the_disk_is_kept_and_left_again() {
    let wrong: Vec<String> = (0..24).filter_map(|seed| run(seed, Trouble::Bounded).err()).collect();
    assert!(wrong.is_empty(), "{} of 24:\n{}", wrong.len(), wrong.join("\n"));
}

/// Where room for a snapshot cannot be left the log takes it, and there is never room again; the checker has to see that.
#[test]
fn a_disk_that_fills_up_with_log_is_caught() {
    let caught = (0..32).filter(|seed| run(*seed, Trouble::FilledUntold).is_err()).count();
    assert!(caught > 16, "{caught} of 32");
}

/// A seed is a whole world: it goes the same way each time.
#[test]
fn a_seed_replays() {
    for seed in 0..8 {
        assert_eq!(run(seed, Trouble::of(seed)), run(seed, Trouble::of(seed)));
    }
}
