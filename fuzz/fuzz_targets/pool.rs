//! Random operations on a pool: nothing panics, a pick is of a backend that serves, limits hold, and the
//! counters add up.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::balance::{
    Admin, Backend, BackendId, Backups, Formula, Hash, Lane, Observed, Options, Outcome, Pick, Policy, Pool,
    Request, Timings, Token,
};
use trimtab::error::Error;
use trimtab::time::Instant;

#[derive(Arbitrary, Debug)]
struct Run {
    policy: u8,
    hash: u8,
    all_backups: bool,
    f5: bool,
    bounded_load: Option<u8>,
    seed: u64,
    hash_seed: u64,
    picks_max: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Add { host: u8, weight: u16, maxconn: u8, tier: u8 },
    Remove(u8),
    Weight(u8, u16),
    Maxconn(u8, u8),
    Tier(u8, u8),
    Admin(u8, u8),
    Observed(u8, u8),
    Pick { key: Vec<u8>, lane: u8, avoid: u8 },
    Done { at: u8, outcome: u8, nanos: u64, lane: u8 },
    Forged(u64),
    Explain(Vec<u8>),
    Wait(u32),
}

const ADMIN: [Admin; 3] = [Admin::Ready, Admin::Drain, Admin::Maintenance];
const OBSERVED: [Observed; 4] = [Observed::Unknown, Observed::Up, Observed::Down, Observed::Ejected];
const OUTCOMES: [Outcome; 5] =
    [Outcome::Success, Outcome::ConnectFailed, Outcome::Failed, Outcome::TimedOut, Outcome::Cancelled];

fuzz_target!(|run: Run| {
    let policy = Policy::NAMES[run.policy as usize % Policy::NAMES.len()].1;
    let is_hashed = matches!(policy, Policy::Source | Policy::Hash);
    let options = Options {
        policy,
        hash: [Hash::Ring, Hash::Maglev, Hash::Rendezvous][run.hash as usize % 3],
        backups: if run.all_backups { Backups::All } else { Backups::One },
        formula: if run.f5 { Formula::F5K6406 } else { Formula::Trimtab },
        bounded_load: run.bounded_load.filter(|_| is_hashed).map(|more| 1.01 + f64::from(more) / 32.0),
        seed: run.seed,
        hash_seed: run.hash_seed,
        picks_max: u32::from(run.picks_max).max(1),
        lanes: 2,
        ..Options::default()
    };
    let pool = Pool::new(options).expect("in range");
    let mut ids: Vec<BackendId> = Vec::new();
    let mut held: Vec<Pick> = Vec::new();
    let mut now = Instant::from_millis(1);
    for step in run.steps.into_iter().take(500) {
        let at = |index: u8| ids.get(index as usize % ids.len().max(1)).copied();
        match step {
            Step::Add { host, weight, maxconn, tier } => {
                let address = ([10, 0, 0, host % 32], 80).into();
                let backend = Backend {
                    weight: u32::from(weight),
                    maxconn: u32::from(maxconn),
                    tier,
                    ..Backend::new(trimtab::balance::Address::Inet(address))
                };
                if let Ok(id) = pool.add(backend) {
                    ids.push(id);
                }
            }
            Step::Remove(index) => {
                if let Some(id) = at(index) {
                    pool.remove(id).expect("it is there");
                    ids.retain(|&known| known != id);
                }
            }
            Step::Weight(index, weight) => {
                at(index).map(|id| pool.set_weight(id, u32::from(weight)));
            }
            Step::Maxconn(index, maxconn) => {
                at(index).map(|id| pool.set_maxconn(id, u32::from(maxconn)));
            }
            Step::Tier(index, tier) => {
                at(index).map(|id| pool.set_tier(id, tier));
            }
            Step::Admin(index, state) => {
                at(index).map(|id| pool.set_admin(id, ADMIN[state as usize % 3]));
            }
            Step::Observed(index, state) => {
                at(index).map(|id| pool.set_observed(id, OBSERVED[state as usize % 4]));
            }
            Step::Pick { key, lane, avoid } => {
                let avoid = &ids[..(avoid as usize % 4).min(ids.len())];
                let request = Request { lane: Lane::Own(u32::from(lane % 4)), key: &key, now, avoid };
                match pool.pick(&request) {
                    Ok(pick) => {
                        let backend = pool.backend(pick.backend).expect("a pick is of a backend in the pool");
                        assert!(backend.serving);
                        assert!(backend.maxconn == 0 || backend.in_flight <= u64::from(backend.maxconn));
                        held.push(pick);
                    }
                    Err(Error::NoBackend(_) | Error::Capacity { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            Step::Done { at, outcome, nanos, lane } => {
                if held.is_empty() {
                    continue;
                }
                let pick = held.swap_remove(at as usize % held.len());
                let timings = Timings { total: Some(nanos), ..Timings::default() };
                let lane = Lane::Own(u32::from(lane % 4));
                let report = |outcome| pool.done(lane, pick.token, outcome, &timings, now);
                assert_eq!(report(OUTCOMES[outcome as usize % 5]), Ok(()));
                assert_eq!(report(Outcome::Success), Err(Error::StalePick));
            }
            Step::Forged(token) => {
                let token = Token::from_u64(token);
                if held.iter().all(|pick| pick.token != token) {
                    let result = pool.done(Lane::Shared, token, Outcome::Success, &Timings::default(), now);
                    assert_eq!(result, Err(Error::StalePick));
                }
            }
            Step::Explain(key) => {
                let request = Request { lane: Lane::Own(0), key: &key, now, avoid: &[] };
                let why = pool.explain(&request).expect("the key is short");
                assert_eq!(why.picked.is_none(), why.refused.is_some());
                assert_eq!(why.backends.len(), ids.len());
            }
            Step::Wait(millis) => {
                now = now.saturating_add(std::time::Duration::from_millis(u64::from(millis % 5_000)))
            }
        }
    }
    for pick in held.drain(..) {
        assert_eq!(pool.done(Lane::Shared, pick.token, Outcome::Success, &Timings::default(), now), Ok(()));
    }
    let statistics = pool.statistics();
    assert_eq!(statistics.in_flight, 0);
    for backend in pool.backends() {
        let o = backend.outcomes;
        let done = o.success + o.connect_failed + o.failed + o.timed_out + o.cancelled;
        assert_eq!((backend.picks, backend.in_flight), (done, 0));
    }
});
