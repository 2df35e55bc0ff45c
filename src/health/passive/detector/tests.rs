use proptest::prelude::*;

use super::super::{FailurePercentage, SuccessRate};
use super::*;
use crate::rng::Rng;

const SECOND: u64 = 1000;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Half may be ejected, no jitter.
fn steady() -> Options {
    Options { ejection_percent_max: 50, ejection_jitter: Duration::ZERO, ..Options::default() }
}

fn detector(backends: u64, options: Options) -> Detector {
    let mut detector = Detector::new(options, at(0)).unwrap();
    let mut rng = Rng::new(1);
    (0..backends).for_each(|backend| detector.add(backend, &mut rng));
    detector
}

/// One outcome, told at once.
fn tell(detector: &mut Detector, backend: u64, is_good: bool, now: Instant) {
    let before = detector.backends.get(&backend).map_or(0, |state| state.errors);
    let errors = if is_good { 0 } else { before.saturating_add(1) };
    let (successes, failures) = (u64::from(is_good), u64::from(!is_good));
    detector.handle_tally(backend, Tally { successes, failures, errors, errors_most: errors }, now);
}

fn fail(detector: &mut Detector, backend: u64, times: u32, now: Instant) {
    (0..times).for_each(|_| tell(detector, backend, false, now));
}

fn outcomes(detector: &mut Detector, backend: u64, successes: u32, failures: u32, now: Instant) {
    // A success last: no errors in a row.
    for _ in 0..failures {
        tell(detector, backend, false, now);
        tell(detector, backend, true, now);
    }
    (failures..successes).for_each(|_| tell(detector, backend, true, now));
}

fn actions(detector: &mut Detector) -> Vec<Action> {
    std::iter::from_fn(|| detector.poll_action()).collect()
}

fn ejected(detector: &Detector) -> Vec<u64> {
    detector.backends.keys().copied().filter(|backend| detector.is_ejected(*backend)).collect()
}

#[test]
fn errors_in_a_row_eject_and_time_restores() {
    let mut detector = detector(4, steady());
    fail(&mut detector, 1, 4, at(0));
    tell(&mut detector, 1, true, at(0));
    fail(&mut detector, 1, 4, at(0));
    assert_eq!(actions(&mut detector), [], "a success begins the count anew");
    fail(&mut detector, 1, 1, at(100));
    let cause = EjectCause::ConsecutiveErrors(5);
    assert_eq!(actions(&mut detector), [Action::Eject { backend: 1, cause, until: at(30_100) }]);
    assert_eq!(detector.next_deadline(), Some(at(10_000)));
    detector.handle_timeout(at(10_000));
    assert_eq!(detector.next_deadline(), Some(at(20_000)));
    detector.handle_timeout(Instant::from_nanos(at(30_100).as_nanos() - 1));
    assert_eq!(actions(&mut detector), [], "too early changes nothing");
    detector.handle_timeout(at(30_100));
    assert_eq!(actions(&mut detector), [Action::Restore { backend: 1, cause: RestoreCause::Elapsed }]);
    fail(&mut detector, 1, 4, at(30_200));
    assert!(ejected(&detector).is_empty(), "errors from before do not count");
}

#[test]
fn nothing_new_never_counts() {
    let mut detector = detector(4, steady());
    fail(&mut detector, 1, 4, at(0));
    for _ in 0..1000 {
        detector.handle_tally(1, Tally { errors: 4, errors_most: 4, ..Tally::default() }, at(0));
    }
    assert!(ejected(&detector).is_empty());
    fail(&mut detector, 1, 1, at(0));
    assert_eq!(ejected(&detector), [1], "nor does it break a row");
    fail(&mut detector, 99, 5, at(0));
    detector.handle_check_passed(99);
    assert_eq!(detector.statistics().backends, 4, "one that is not known is nobody's");
}

#[test]
fn ejections_grow_to_their_most_and_come_down_again() {
    let options = Options { ejection_time_max: Duration::from_secs(70), ..steady() };
    let mut detector = detector(4, options);
    let mut now = 0;
    let mut lasted = Vec::new();
    for _ in 0..5 {
        fail(&mut detector, 2, 5, at(now));
        let Some(Action::Eject { until, .. }) = actions(&mut detector).pop() else { panic!() };
        lasted.push((until.as_nanos() - at(now).as_nanos()) / 1_000_000_000);
        // No interval ends in health between two of them.
        detector.evaluation = until.saturating_add(Duration::from_secs(1));
        detector.handle_timeout(until);
        now = until.as_nanos() / 1_000_000;
    }
    assert_eq!(lasted, [30, 60, 70, 70, 70]);
    assert_eq!(detector.backends[&2].times, 3, "no higher than makes a difference");
    // The first of them began with it ejected.
    for left in [3, 2, 1, 0, 0] {
        let evaluation = detector.evaluation;
        detector.handle_timeout(evaluation);
        assert_eq!(detector.backends[&2].times, left);
    }
    let now = detector.evaluation;
    fail(&mut detector, 2, 5, now);
    let Some(Action::Eject { until, .. }) = actions(&mut detector).pop() else { panic!() };
    assert_eq!(until.duration_since(now), Duration::from_secs(30));
}

#[test]
fn jitter_makes_an_ejection_longer_by_its_most_at_most() {
    let options =
        || Options { ejection_percent_max: 100, ejection_jitter: Duration::from_secs(5), ..steady() };
    let ends = |seed: u64| {
        let mut detector = Detector::new(options(), at(0)).unwrap();
        let mut rng = Rng::new(seed);
        (0..200).for_each(|backend| detector.add(backend, &mut rng));
        (0..200).for_each(|backend| fail(&mut detector, backend, 5, at(0)));
        let mut millis: Vec<u64> =
            detector.ends.iter().map(|(until, _)| until.as_nanos() / 1_000_000).collect();
        millis.sort_unstable();
        millis
    };
    let one = ends(1);
    assert_eq!(one, ends(1));
    assert_ne!(one, ends(2));
    assert!(one[0] < 30_200 && one[0] >= 30_000 && one[199] > 34_800 && one[199] <= 35_000, "{one:?}");
}

#[test]
fn no_more_are_ejected_than_may_be_and_one_always_may() {
    for (backends, percent, most) in [
        (100, 10, 10),
        (19, 10, 1),
        (5, 10, 1),
        (2, 10, 1),
        (1, 10, 0),
        (1, 99, 0),
        (1, 100, 1),
        (10, 99, 9),
        (10, 100, 10),
        (10, 0, 0),
        (0, 50, 0),
    ] {
        let mut detector = detector(backends, Options { ejection_percent_max: percent, ..steady() });
        assert_eq!(detector.ejected_max(), most, "{backends} {percent}");
        (0..backends).for_each(|backend| fail(&mut detector, backend, 5, at(0)));
        let statistics = detector.statistics();
        assert_eq!((statistics.ejected, statistics.spared), (most, backends - most as u64));
    }
}

#[test]
fn who_was_spared_goes_when_there_is_room() {
    let mut detector = detector(4, Options { ejection_percent_max: 25, ..steady() });
    fail(&mut detector, 0, 5, at(0));
    fail(&mut detector, 1, 7, at(0));
    assert_eq!(ejected(&detector), [0]);
    detector.handle_check_passed(0);
    let all = actions(&mut detector);
    assert_eq!(all, [], "ejected and taken back while nobody looked");
    detector.handle_timeout(at(10_000));
    let cause = EjectCause::ConsecutiveErrors(7);
    assert_eq!(actions(&mut detector), [Action::Eject { backend: 1, cause, until: at(40_000) }]);
    // And at its next error, without waiting for the interval.
    fail(&mut detector, 2, 5, at(11_000));
    detector.handle_timeout(at(40_000));
    fail(&mut detector, 2, 1, at(40_001));
    assert_eq!(ejected(&detector), [2]);
}

#[test]
fn a_check_that_passes_ends_an_ejection() {
    let mut detector = detector(4, steady());
    fail(&mut detector, 3, 5, at(0));
    actions(&mut detector);
    tell(&mut detector, 3, true, at(1));
    assert_eq!(ejected(&detector), [3], "traffic from before does not");
    detector.handle_check_passed(3);
    assert_eq!(actions(&mut detector), [Action::Restore { backend: 3, cause: RestoreCause::CheckPassed }]);
    detector.handle_check_passed(3);
    assert_eq!(actions(&mut detector), []);
    assert_eq!(detector.next_deadline(), Some(at(10_000)), "its end is no deadline any more");
}

#[test]
fn an_ejection_that_follows_another_is_told_with_its_own_end() {
    let mut detector = detector(4, steady());
    fail(&mut detector, 0, 5, at(0));
    actions(&mut detector);
    detector.handle_timeout(at(30_000));
    fail(&mut detector, 0, 5, at(30_000));
    let all = actions(&mut detector);
    let [Action::Eject { until, .. }] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(*until, at(90_000), "the interval's end between the two was none in health");
}

#[test]
fn ejections_by_rate_grow_too() {
    let mut detector = detector(10, steady());
    let mut lasted = Vec::new();
    while lasted.len() < 3 {
        for backend in 0..10 {
            outcomes(&mut detector, backend, 100, if backend == 7 { 90 } else { 1 }, at(0));
        }
        let now = detector.next_deadline().unwrap();
        detector.handle_timeout(now);
        for action in actions(&mut detector) {
            if let Action::Eject { until, .. } = action {
                lasted.push(until.duration_since(now).as_secs());
            }
        }
    }
    assert_eq!(lasted, [30, 60, 90]);
}

#[test]
fn the_cap_holds_when_backends_are_removed() {
    let mut detector = detector(10, Options { ejection_percent_max: 30, ..steady() });
    for backend in [4, 5, 6] {
        fail(&mut detector, backend, 5, at(backend * 100));
    }
    actions(&mut detector);
    detector.remove(0);
    assert_eq!(ejected(&detector), [5, 6], "two of nine");
    assert_eq!(actions(&mut detector), [Action::Restore { backend: 4, cause: RestoreCause::Cap }]);
    detector.remove(5);
    assert_eq!(ejected(&detector), [6]);
    for backend in [1, 2, 3, 4, 7, 8] {
        detector.remove(backend);
    }
    assert_eq!((ejected(&detector), detector.ejected_max()), (vec![6], 1));
    detector.remove(9);
    assert!(ejected(&detector).is_empty(), "the last one serves");
    detector.remove(6);
    assert_eq!((actions(&mut detector), detector.next_deadline()), (vec![], None));
    assert_eq!(detector.statistics().backends, 0);
}

#[test]
fn rates_are_compared_at_the_end_of_each_interval() {
    let mut detector = detector(10, steady());
    for backend in 0..10 {
        outcomes(&mut detector, backend, 100, if backend == 7 { 90 } else { 1 }, at(5));
    }
    detector.handle_timeout(at(9_999));
    assert!(ejected(&detector).is_empty());
    detector.handle_timeout(at(10_000));
    let all = actions(&mut detector);
    let [Action::Eject { backend: 7, cause: EjectCause::SuccessRate { rate, threshold }, until }] = all[..]
    else {
        panic!("{all:?}")
    };
    assert!(rate < threshold && until == at(40_000), "{all:?}");
    // The next interval has nothing of this one.
    detector.handle_timeout(at(20_000));
    assert_eq!(actions(&mut detector), []);
}

#[test]
fn a_fixed_share_ejects_even_when_all_fail_alike() {
    let options = Options {
        consecutive_errors: None,
        success_rate: Some(SuccessRate::default()),
        failure_percentage: Some(FailurePercentage { percent: 50, ..FailurePercentage::default() }),
        ..steady()
    };
    let mut detector = detector(6, options);
    for backend in 0..6 {
        outcomes(&mut detector, backend, 60, 60, at(0));
    }
    detector.handle_timeout(at(10_000));
    assert_eq!(ejected(&detector), [0, 1, 2], "as many as may");
    let cause = EjectCause::FailurePercentage { percent: 50.0 };
    assert!(
        actions(&mut detector)
            .iter()
            .all(|action| matches!(action, Action::Eject { cause: given, .. } if *given == cause))
    );
    assert_eq!(detector.statistics().spared, 3);
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64),
    Remove(u64),
    Outcomes(u64, bool, u8),
    Sum(u64, Tally),
    Wait(u64),
    Jump(u64),
    Passed(u64),
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..12).prop_map(Step::Add),
        1 => (0u64..12).prop_map(Step::Remove),
        12 => (0u64..12, any::<bool>(), any::<u8>())
            .prop_map(|(backend, is_good, times)| Step::Outcomes(backend, is_good, times)),
        6 => (0u64..12, tally()).prop_map(|(backend, tally)| Step::Sum(backend, tally)),
        8 => (0u64..20 * SECOND).prop_map(Step::Wait),
        1 => any::<u64>().prop_map(Step::Jump),
        1 => (0u64..12).prop_map(Step::Passed),
        6 => Just(Step::Poll),
    ]
}

fn tally() -> impl Strategy<Value = Tally> {
    let outcomes = || prop_oneof![9 => 0u64..200, 1 => any::<u64>()];
    let errors = || prop_oneof![9 => 0u32..10, 1 => any::<u32>()];
    (outcomes(), outcomes(), errors(), errors()).prop_map(|(successes, failures, errors, most)| Tally {
        successes,
        failures,
        errors,
        errors_most: most.max(errors),
    })
}

proptest! {
    /// Whatever happens, no more are ejected than may be, and whoever listens knows which.
    #[test]
    fn the_cap_holds_and_the_listener_knows(
        steps in proptest::collection::vec(step(), 0..200),
        percent in 0u32..=100,
        errors in proptest::option::of(1u32..8),
        failure in proptest::option::of(1u32..=100),
        seed: u64,
    ) {
        let options = Options {
            consecutive_errors: errors,
            ejection_percent_max: percent,
            success_rate: Some(SuccessRate { factor: 1.0, hosts_min: 2, requests_min: 10 }),
            failure_percentage: failure.map(|percent| FailurePercentage { percent, hosts_min: 1, requests_min: 5 }),
            ..Options::default()
        };
        let (base, most) = (options.ejection_time, options.ejection_time_max + options.ejection_jitter);
        let mut rng = Rng::new(seed);
        let mut detector = Detector::new(options, at(0)).unwrap();
        let mut now = at(0);
        let mut listener: BTreeSet<u64> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Add(backend) => detector.add(backend, &mut rng),
                Step::Remove(backend) => {
                    detector.remove(backend);
                    listener.remove(&backend);
                }
                Step::Outcomes(backend, is_good, times) => {
                    let was = detector.is_ejected(backend);
                    (0..times).for_each(|_| tell(&mut detector, backend, is_good, now));
                    prop_assert!(!is_good || detector.is_ejected(backend) == was);
                }
                Step::Sum(backend, tally) => {
                    let was = detector.is_ejected(backend);
                    detector.handle_tally(backend, tally, now);
                    let reaches = errors.is_some_and(|limit| tally.errors_most >= limit);
                    prop_assert!(reaches || detector.is_ejected(backend) == was);
                }
                Step::Wait(millis) => now = now.saturating_add(Duration::from_millis(millis)),
                Step::Jump(nanos) => now = Instant::from_nanos(now.as_nanos().saturating_add(nanos >> 8)),
                Step::Passed(backend) => {
                    detector.handle_check_passed(backend);
                    prop_assert!(!detector.is_ejected(backend));
                }
                Step::Poll => while let Some(action) = detector.poll_action() {
                    match action {
                        Action::Eject { backend, until, .. } => {
                            listener.insert(backend);
                            let lasts = until.duration_since(now);
                            prop_assert!(lasts <= most);
                        }
                        Action::Restore { backend, .. } => prop_assert!(listener.remove(&backend)),
                    }
                    let known: BTreeSet<u64> = detector.untold.iter().copied().collect();
                    let truth: BTreeSet<u64> = ejected(&detector).into_iter().collect();
                    prop_assert!(listener.symmetric_difference(&truth).all(|backend| known.contains(backend)));
                },
            }
            detector.handle_timeout(now);
            let statistics = detector.statistics();
            prop_assert!(statistics.ejected <= detector.ejected_max());
            prop_assert_eq!(statistics.ejected, ejected(&detector).len());
            let allowed = statistics.backends * percent as usize / 100;
            prop_assert!(statistics.ejected <= allowed.max(1));
            prop_assert!(percent == 100 || statistics.backends == 0 || statistics.ejected < statistics.backends);
            for ejection in detector.backends.values().filter_map(|state| state.ejection) {
                prop_assert!(now.as_nanos() == u64::MAX || ejection.until > now);
                prop_assert!(ejection.until.duration_since(now) <= most && base <= most);
            }
            prop_assert!(now.as_nanos() == u64::MAX || detector.next_deadline().is_none_or(|deadline| deadline > now));
        }
    }
}

/// Told in sums, it decides as if it were told one by one.
#[test]
fn sums_count_like_outcomes() {
    let rates = Options {
        success_rate: Some(SuccessRate { factor: 1.0, hosts_min: 4, requests_min: 10 }),
        ..steady()
    };
    let (mut singly, mut summed) = (detector(4, rates.clone()), detector(4, rates));
    for (backend, failures) in [(0, 1), (1, 0), (2, 9), (3, 1)] {
        outcomes(&mut singly, backend, 10, failures, at(1));
        let tally = Tally { successes: 10, failures: u64::from(failures), errors: 0, errors_most: 1 };
        summed.handle_tally(backend, tally, at(1));
    }
    for detector in [&mut singly, &mut summed] {
        detector.handle_timeout(at(10 * SECOND));
    }
    let told = actions(&mut summed);
    assert_eq!((told.len(), &told), (1, &actions(&mut singly)));

    // Errors that reached the limit eject although a success came since; those of an ejected backend do not count.
    let mut detector = detector(4, steady());
    detector.handle_tally(0, Tally { errors_most: 4, ..Tally::default() }, at(1));
    detector.handle_tally(1, Tally { errors_most: 5, ..Tally::default() }, at(1));
    assert_eq!(ejected(&detector), [1]);
    detector.handle_tally(1, Tally { failures: 100, errors: 100, errors_most: 100, successes: 0 }, at(2));
    detector.handle_timeout(at(100 * SECOND));
    assert_eq!((ejected(&detector), detector.statistics().ejections), (vec![], 1));
}
