//! The relay's state machines under simulated worlds. `TRIMTAB_SIM_SEED=N` replays one.
#![cfg(feature = "sim")]

use std::collections::BTreeMap;

use trimtab::proxy::session::Cause;
use trimtab::sim::relay;

/// How many worlds a test run plays.
const SEEDS: u64 = 256;

#[test]
fn what_must_hold_holds_in_every_world() {
    let seeds = match std::env::var("TRIMTAB_SIM_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("TRIMTAB_SIM_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    let is_whole = seeds.end - seeds.start == SEEDS;
    let mut ended: BTreeMap<Cause, u64> = BTreeMap::new();
    let (mut queued, mut delivered, mut paced, mut retries, mut passed_on) = (0, 0, 0, 0, 0);
    for seed in seeds {
        match relay::run(seed) {
            Ok(summary) => {
                for (cause, count) in summary.ended {
                    *ended.entry(cause).or_default() += count;
                }
                queued += summary.queued;
                delivered += summary.delivered;
                paced += summary.paced;
                retries += summary.retries;
                passed_on += summary.passed_on;
            }
            Err(what) => panic!(
                "{what}\nagain with: TRIMTAB_SIM_SEED={seed} cargo test --features sim --test sim_relay"
            ),
        }
    }
    if is_whole {
        // The worlds are worth something only if all of this happens in them.
        for cause in [
            Cause::Finished,
            Cause::ClientReset,
            Cause::BackendReset,
            Cause::ClientLeft,
            Cause::ConnectFailed,
            Cause::QueueFull,
            Cause::QueueTimeout,
            Cause::IdleTimeout,
            Cause::HalfClosedTimeout,
            Cause::NoBackend,
            Cause::RetryRefused,
            Cause::PendingFull,
            Cause::BackendDown,
        ] {
            assert!(ended.get(&cause).is_some_and(|count| *count > 20), "{cause:?} is rare: {ended:?}");
        }
        assert!(paced > 1_000 && retries > 1_000, "{paced} waits for a rate, {retries} retries");
        assert!(passed_on > 1_000, "{passed_on} offers passed on");
        assert!(queued > 1_000 && delivered > 1_000_000, "{queued} queued, {delivered} bytes");
    }
}
