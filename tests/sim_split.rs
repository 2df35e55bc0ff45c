//! The listener that splits reads from writes, under simulated worlds. `TRIMTAB_SIM_SEED=N` replays one.
#![cfg(feature = "sim")]

use trimtab::sim::split;

/// How many worlds a test run plays, unless `SEEDS` says another number.
const SEEDS: u64 = 256;

#[test]
fn what_must_hold_holds_in_every_world() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let seeds = match number("TRIMTAB_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let is_whole = seeds.end - seeds.start >= SEEDS;
    let mut all = split::Summary::default();
    for seed in seeds {
        match split::run(seed) {
            Ok(one) => {
                all.answered += one.answered;
                all.errors += one.errors;
                all.in_doubt += one.in_doubt;
                all.transactions += one.transactions;
                all.aborted += one.aborted;
                all.watched += one.watched;
                all.epochs += one.epochs;
                all.deaths += one.deaths;
                all.cut += one.cut;
                let (to, from) = (&mut all.counters, one.counters);
                to.replica_reads += from.replica_reads;
                to.primary_reads += from.primary_reads;
                to.writes += from.writes;
                to.retries += from.retries;
                to.behind += from.behind;
                to.held += from.held;
                to.unserved += from.unserved;
                to.in_doubt += from.in_doubt;
            }
            Err(what) => panic!(
                "{what}\nagain with: TRIMTAB_SIM_SEED={seed} cargo test --features sim --test sim_split"
            ),
        }
    }
    if is_whole {
        // The worlds are worth something only if all of this happens in them.
        let counters = all.counters;
        assert!(
            all.answered > 50_000 && all.in_doubt > 100 && all.epochs > 500 && all.deaths > 100,
            "{all:?}"
        );
        assert!(all.transactions > 1_000 && all.aborted > 50 && all.watched > 100, "{all:?}");
        assert!(counters.replica_reads > 5_000 && counters.primary_reads > 5_000, "{all:?}");
        assert!(counters.retries > 500 && counters.behind > 200 && counters.held > 500, "{all:?}");
        assert!(all.cut > 0 && counters.unserved > 1_000 && all.errors < all.answered / 5, "{all:?}");
    }
}
