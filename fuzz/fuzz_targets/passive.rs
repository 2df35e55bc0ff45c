//! Random operations on a detector: no more backends are ejected than may be, and whoever listens knows which.

#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::passive::{Action, Detector, FailurePercentage, Options, SuccessRate, Tally};
use trimtab::rng::Rng;
use trimtab::time::Instant;

#[derive(Arbitrary, Debug)]
struct Run {
    seed: u64,
    errors: Option<u8>,
    percent_max: u8,
    interval_ms: u16,
    ejection_ms: u16,
    jitter_ms: u16,
    rate: Option<(u8, u8)>,
    failure: Option<(u8, u8)>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Add(u8),
    Remove(u8),
    /// Successes, failures, errors in a row, and how many more there were at most.
    Tally(u8, u64, u64, u32, u8),
    Wait(u32),
    Jump(u64),
    Passed(u8),
    Leave,
}

fuzz_target!(|run: Run| {
    let ejection_time = Duration::from_millis(u64::from(run.ejection_ms).max(100));
    let options = Options {
        consecutive_errors: run.errors.map(|errors| u32::from(errors).max(1)),
        interval: Duration::from_millis(u64::from(run.interval_ms).max(100)),
        ejection_time,
        ejection_time_max: ejection_time * 4,
        ejection_jitter: Duration::from_millis(run.jitter_ms.into()),
        ejection_percent_max: u32::from(run.percent_max) % 101,
        success_rate: run.rate.map(|(factor, requests)| SuccessRate {
            factor: f64::from(factor) / 25.6,
            hosts_min: 2,
            requests_min: u32::from(requests).max(1),
        }),
        failure_percentage: run.failure.map(|(percent, requests)| FailurePercentage {
            percent: u32::from(percent) % 100 + 1,
            hosts_min: 1,
            requests_min: u32::from(requests).max(1),
        }),
    };
    let percent = options.ejection_percent_max as usize;
    let limit = options.consecutive_errors;
    let longest = options.ejection_time_max + options.ejection_jitter;
    let mut detector = Detector::new(options, Instant::START).expect("it is within the ranges");
    let mut rng = Rng::new(run.seed);
    let mut now = Instant::START;
    let mut all = BTreeSet::new();
    let mut listener = BTreeSet::new();
    for step in run.steps {
        let mut is_left = false;
        match step {
            Step::Add(backend) => {
                detector.add(backend.into(), &mut rng);
                all.insert(u64::from(backend));
            }
            Step::Remove(backend) => {
                detector.remove(backend.into());
                all.remove(&u64::from(backend));
                listener.remove(&u64::from(backend));
            }
            Step::Tally(backend, successes, failures, errors, more) => {
                let was_ejected = detector.is_ejected(backend.into());
                let errors_most = errors.saturating_add(more.into());
                let tally = Tally { successes, failures, errors, errors_most };
                detector.handle_tally(backend.into(), tally, now);
                let is_ejected = detector.is_ejected(backend.into());
                assert!(is_ejected >= was_ejected);
                assert!(is_ejected == was_ejected || limit.is_some_and(|limit| errors_most >= limit));
            }
            Step::Wait(millis) => now = now.saturating_add(Duration::from_millis((millis % 100_000).into())),
            Step::Jump(nanos) => now = Instant::from_nanos(now.as_nanos().saturating_add(nanos)),
            Step::Passed(backend) => detector.handle_check_passed(backend.into()),
            Step::Leave => is_left = true,
        }
        detector.handle_timeout(now);
        let statistics = detector.statistics();
        assert_eq!(statistics.backends, all.len());
        assert!(statistics.ejected <= (all.len() * percent / 100).max(1));
        assert!(statistics.ejected <= detector.ejected_max());
        assert!(percent == 100 || all.is_empty() || statistics.ejected < all.len());
        if is_left {
            continue;
        }
        while let Some(action) = detector.poll_action() {
            match action {
                Action::Eject { backend, until, .. } => {
                    assert!(until.duration_since(now) <= longest);
                    listener.insert(backend);
                }
                Action::Restore { backend, .. } => assert!(listener.remove(&backend)),
            }
        }
        let ejected: BTreeSet<u64> =
            all.iter().copied().filter(|backend| detector.is_ejected(*backend)).collect();
        assert_eq!(listener, ejected);
        assert_eq!(ejected.len(), statistics.ejected);
    }
});
