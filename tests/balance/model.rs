//! Random operations against a model so simple that it can be read: a list of backends and counts.

use std::time::Duration;

use proptest::prelude::*;
use trimtab::balance::{
    Admin, BackendId, Backups, Hash, Lane, Observed, Options, Outcome, Pick, Policy, Pool, Request, Timings,
};
use trimtab::error::{Error, NoBackend};
use trimtab::time::Instant;

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Add { address: usize, weight: u32, maxconn: u32, tier: u8 },
    Remove(usize),
    Weight(usize, u32),
    Maxconn(usize, u32),
    Tier(usize, u8),
    Admin(usize, u8),
    Observed(usize, u8),
    Pick { key: u8, avoid: bool, lane: u32 },
    Done(usize, u8),
    DoneTwice(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..8usize;
    prop_oneof![
        3 => (0..12usize, 1..6u32, prop_oneof![Just(0u32), 1..4u32], 0..3u8)
            .prop_map(|(address, weight, maxconn, tier)| Step::Add { address, weight, maxconn, tier }),
        1 => at.clone().prop_map(Step::Remove),
        1 => (at.clone(), 0..6u32).prop_map(|(at, weight)| Step::Weight(at, weight)),
        1 => (at.clone(), 0..4u32).prop_map(|(at, maxconn)| Step::Maxconn(at, maxconn)),
        1 => (at.clone(), 0..3u8).prop_map(|(at, tier)| Step::Tier(at, tier)),
        1 => (at.clone(), 0..3u8).prop_map(|(at, state)| Step::Admin(at, state)),
        1 => (at, 0..4u8).prop_map(|(at, state)| Step::Observed(at, state)),
        8 => (any::<u8>(), any::<bool>(), 0..5u32).prop_map(|(key, avoid, lane)| Step::Pick { key, avoid, lane }),
        6 => (0..64usize, 0..5u8).prop_map(|(at, outcome)| Step::Done(at, outcome)),
        1 => (0..64usize).prop_map(Step::DoneTwice),
        1 => (0..3_000u64).prop_map(Step::Wait),
    ]
}

struct Known {
    id: BackendId,
    address: usize,
    weight: u32,
    maxconn: u32,
    tier: u8,
    admin: Admin,
    observed: Observed,
    picks: u64,
    in_flight: u32,
}

impl Known {
    fn is_usable(&self) -> bool {
        self.admin == Admin::Ready && matches!(self.observed, Observed::Up | Observed::Unknown)
    }
}

/// Who may be picked, by index: written from the documentation, not from the code.
fn serving(known: &[Known], options: &Options) -> Vec<usize> {
    let is_ready = |k: &&Known| k.admin == Admin::Ready;
    let count = |tier: u8, of: &dyn Fn(&&Known) -> bool| {
        known.iter().filter(|k| k.tier == tier).filter(|k| of(k)).count() as f64
    };
    let share = |tier: u8| count(tier, &|k| k.is_usable()) / count(tier, &is_ready).max(1.0);
    // What the tiers below one carry together.
    let below = |tier: u8| (0..tier).map(|tier| (1.4 * share(tier)).min(1.0)).sum::<f64>();
    let usable_tier = known.iter().filter(|k| k.is_usable()).map(|k| k.tier).min();
    let fails_open = options.fail_open || options.panic_threshold > 0;
    let open_tier = known.iter().filter(is_ready).map(|k| k.tier).min().filter(|_| fails_open);
    let Some(tier) = usable_tier.or(open_tier) else { return Vec::new() };
    let takes_one = tier > 0 && options.backups == Backups::One;
    let is_panicking = |tier: u8| {
        let is_below = share(tier) * 100.0 < f64::from(options.panic_threshold);
        usable_tier.is_none() || (is_below && below(3) < 0.999_999 && !takes_one)
    };
    let spills = options.backups == Backups::Spill && usable_tier.is_some();
    let has_part = |of: u8| of == tier || (spills && share(of) > 0.0 && below(of) < 0.999_999);
    let serves = |k: &Known| has_part(k.tier) && (k.is_usable() || (is_panicking(k.tier) && is_ready(&k)));
    let mut serving: Vec<_> = (0..known.len()).filter(|&at| serves(&known[at])).collect();
    if takes_one {
        serving.truncate(1);
    }
    serving
}

const ADMIN: [Admin; 3] = [Admin::Ready, Admin::Drain, Admin::Maintenance];
const OBSERVED: [Observed; 4] = [Observed::Unknown, Observed::Up, Observed::Down, Observed::Ejected];
const OUTCOMES: [Outcome; 5] =
    [Outcome::Success, Outcome::ConnectFailed, Outcome::Failed, Outcome::TimedOut, Outcome::Cancelled];

fn run(options: Options, steps: &[Step]) -> Result<(), TestCaseError> {
    let pool = Pool::new(Options { lanes: 3, ..options.clone() }).unwrap();
    let mut known: Vec<Known> = Vec::new();
    let mut held: Vec<Pick> = Vec::new();
    let mut refused = 0;
    let mut now_ms = 1_000;
    for step in steps {
        let now = Instant::from_millis(now_ms);
        match step.clone() {
            Step::Add { address, weight, maxconn, tier } => {
                let new = trimtab::balance::Backend { maxconn, tier, ..backend(address, weight) };
                let result = pool.add(new);
                if known.iter().any(|k| k.address == address) {
                    let exists = matches!(result, Err(Error::Exists { what: "address", .. }));
                    prop_assert!(exists, "the address is in the pool");
                } else {
                    known.push(Known {
                        id: result.unwrap(),
                        address,
                        weight,
                        maxconn,
                        tier,
                        admin: Admin::Ready,
                        observed: Observed::Unknown,
                        picks: 0,
                        in_flight: 0,
                    });
                }
            }
            Step::Remove(at) if at < known.len() => pool.remove(known.remove(at).id).unwrap(),
            Step::Weight(at, weight) if at < known.len() => {
                let result = pool.set_weight(known[at].id, weight);
                let takes = weight > 0 && options.policy != Policy::Static;
                prop_assert_eq!(result.is_ok(), takes);
                if takes {
                    known[at].weight = weight;
                }
            }
            Step::Maxconn(at, maxconn) if at < known.len() => {
                pool.set_maxconn(known[at].id, maxconn).unwrap();
                known[at].maxconn = maxconn;
            }
            Step::Tier(at, tier) if at < known.len() => {
                pool.set_tier(known[at].id, tier).unwrap();
                known[at].tier = tier;
            }
            Step::Admin(at, state) if at < known.len() => {
                known[at].admin = ADMIN[state as usize];
                pool.set_admin(known[at].id, known[at].admin).unwrap();
            }
            Step::Observed(at, state) if at < known.len() => {
                known[at].observed = OBSERVED[state as usize];
                pool.set_observed(known[at].id, known[at].observed).unwrap();
            }
            Step::Pick { key, avoid, lane } => {
                let lane = if lane == 0 { Lane::Shared } else { Lane::Own(lane) };
                let avoid: Vec<_> =
                    if avoid { known.iter().take(2).map(|k| k.id).collect() } else { Vec::new() };
                let serving = serving(&known, &options);
                let is_full = options.maxconn > 0 && held.len() >= options.maxconn as usize;
                let room: Vec<_> = serving
                    .iter()
                    .copied()
                    .filter(|_| !is_full)
                    .filter(|&at| known[at].maxconn == 0 || known[at].in_flight < known[at].maxconn)
                    .collect();
                match pool.pick(&Request { lane, key: &[key], now, avoid: &avoid }) {
                    Ok(pick) => {
                        let at = known.iter().position(|k| k.id == pick.backend).unwrap();
                        prop_assert!(room.contains(&at), "{at} of {room:?}");
                        let others = room.iter().any(|&at| !avoid.contains(&known[at].id));
                        prop_assert!(!others || !avoid.contains(&pick.backend));
                        known[at].picks += 1;
                        known[at].in_flight += 1;
                        held.push(pick);
                    }
                    Err(Error::NoBackend(why)) => {
                        prop_assert_eq!(&room, &Vec::<usize>::new());
                        let backends = known.len() as u32;
                        prop_assert_eq!(
                            why,
                            match (known.len(), serving.len()) {
                                (0, _) => NoBackend::Empty,
                                (_, 0) => NoBackend::Unusable { backends },
                                _ if is_full => NoBackend::PoolFull { maxconn: options.maxconn },
                                (_, full) => NoBackend::Full { backends: full as u32 },
                            }
                        );
                        refused += 1;
                    }
                    Err(other) => prop_assert!(false, "{other:?}"),
                }
            }
            Step::Done(at, outcome) if at < held.len() => {
                let pick = held.swap_remove(at);
                let outcome = OUTCOMES[outcome as usize];
                pool.done(LANE, pick.token, outcome, &took(1_000_000), now).unwrap();
                if let Some(k) = known.iter_mut().find(|k| k.id == pick.backend) {
                    k.in_flight -= 1;
                }
            }
            Step::DoneTwice(at) if at < held.len() => {
                let pick = held.swap_remove(at);
                done(&pool, pick.token);
                let again = pool.done(LANE, pick.token, Outcome::Failed, &Timings::default(), now);
                prop_assert_eq!(again, Err(Error::StalePick));
                if let Some(k) = known.iter_mut().find(|k| k.id == pick.backend) {
                    k.in_flight -= 1;
                }
            }
            Step::Wait(ms) => now_ms += ms,
            _ => {}
        }
    }
    let statistics = pool.backends();
    prop_assert_eq!(statistics.len(), known.len());
    for (had, k) in statistics.iter().zip(&known) {
        prop_assert_eq!((had.id, had.picks, had.in_flight), (k.id, k.picks, u64::from(k.in_flight)));
        prop_assert_eq!((had.weight, had.maxconn, had.tier), (k.weight, k.maxconn, k.tier));
    }
    prop_assert_eq!(pool.statistics().refused, refused);
    Ok(())
}

fn options() -> impl Strategy<Value = Options> {
    let hash = prop_oneof![Just(Hash::Ring), Just(Hash::Maglev), Just(Hash::Rendezvous)];
    let backups = prop_oneof![Just(Backups::One), Just(Backups::All), Just(Backups::Spill)];
    let maxconn = prop_oneof![2 => Just(0u32), 1 => 1..8u32];
    let starts = (maxconn, prop_oneof![Just(0u64), Just(1_000u64)]);
    let panic = (prop_oneof![2 => Just(0u32), 1 => Just(50u32), 1 => Just(100u32)], any::<bool>());
    (0..Policy::NAMES.len(), hash, backups, any::<bool>(), panic, starts, any::<u64>()).prop_map(
        |(policy, hash, backups, bounded, (panic_threshold, fail_open), (maxconn, starts), seed)| {
            let policy = Policy::NAMES[policy].1;
            let bounded_load = (bounded && matches!(policy, Policy::Source | Policy::Hash)).then_some(1.25);
            Options {
                policy,
                hash,
                backups,
                bounded_load,
                panic_threshold,
                fail_open,
                maxconn,
                slow_start: Duration::from_millis(starts),
                seed,
                ..Options::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn a_pool_does_what_the_model_does(options in options(), steps in prop::collection::vec(step(), 1..120)) {
        run(options, &steps)?;
    }
}
