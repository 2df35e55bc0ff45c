//! Ejection of backends that fail more than others, for hosts that only pick and report.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use trimtab::balance::{
    Admin, BackendId, Change, ChangeKind, Lane, Observed, Observer, Options, Outcome, Policy, Pool, Request,
    Timings,
};
use trimtab::health::passive::{self, FailurePercentage, SuccessRate};
use trimtab::time::Instant;

use crate::support::*;

/// Three errors in a row, for a second each time, half of the backends at most.
fn quick() -> passive::Options {
    passive::Options {
        consecutive_errors: Some(3),
        interval: Duration::from_secs(10),
        ejection_time: Duration::from_secs(1),
        ejection_jitter: Duration::ZERO,
        ejection_percent_max: 50,
        success_rate: None,
        ..passive::Options::default()
    }
}

fn ejecting(outlier: passive::Options) -> Options {
    Options { outlier: Some(outlier), ..Options::default() }
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn observed(pool: &Pool, id: BackendId) -> Observed {
    pool.backend(id).unwrap().observed
}

/// One pick of `id`, however many others come before, which are reported cancelled; it goes as told.
fn one(pool: &Pool, id: BackendId, outcome: Outcome, now: Instant) {
    for _ in 0..1_000 {
        let pick = pool.pick(&Request { lane: LANE, now, ..Request::default() }).unwrap();
        let is_it = pick.backend == id;
        let outcome = if is_it { outcome } else { Outcome::Cancelled };
        pool.done(LANE, pick.token, outcome, &Timings::default(), now).unwrap();
        if is_it {
            return;
        }
    }
    panic!("{id} is not picked");
}

fn ejected(pool: &Pool) -> Vec<BackendId> {
    let is_ejected = |backend: &trimtab::balance::BackendStatistics| backend.observed == Observed::Ejected;
    pool.backends().into_iter().filter(is_ejected).map(|backend| backend.id).collect()
}

#[test]
fn errors_in_a_row_eject_and_time_takes_back() {
    let (pool, ids) = pool(ejecting(quick()), &[1, 1, 1]);
    pool.set_observed(ids[1], Observed::Up).unwrap();
    let fail = |id, now| one(&pool, id, Outcome::Failed, now);
    fail(ids[1], at(1_000));
    one(&pool, ids[1], Outcome::ConnectFailed, at(1_000));
    one(&pool, ids[1], Outcome::Success, at(1_000));
    fail(ids[1], at(1_000));
    one(&pool, ids[1], Outcome::TimedOut, at(1_000));
    one(&pool, ids[1], Outcome::Cancelled, at(1_000));
    assert_eq!(
        (observed(&pool, ids[1]), pool.backend(ids[1]).unwrap().consecutive_errors),
        (Observed::Up, 2)
    );
    fail(ids[1], at(1_001));
    let told = pool.backend(ids[1]).unwrap();
    assert_eq!((told.observed, told.serving), (Observed::Ejected, false));
    assert_eq!(told.reason.as_deref(), Some("3 errors in a row"));
    assert_eq!(told.observed_since_ns, Some(at(1_001).as_nanos()));
    assert_eq!(counts(&pool, &ids, 90)[1], 0);
    // Whoever picks after its time takes it back, to what it was.
    let pick_at = |now| pool.pick(&Request { lane: LANE, now, ..Request::default() }).unwrap();
    pick_at(at(2_000));
    assert_eq!(observed(&pool, ids[1]), Observed::Ejected);
    pick_at(at(2_001));
    let told = pool.backend(ids[1]).unwrap();
    assert_eq!((told.observed, told.reason, told.consecutive_errors), (Observed::Up, None, 0));
    // The second time in a row it stays out twice as long.
    (0..3).for_each(|_| fail(ids[1], at(2_002)));
    pick_at(at(4_001));
    assert_eq!(observed(&pool, ids[1]), Observed::Ejected);
    pick_at(at(4_002));
    assert_eq!((observed(&pool, ids[1]), pool.statistics().ejections), (Observed::Up, 2));
}

/// What was refused here is no outcome: no limit that is reached ejects a backend.
#[test]
fn what_is_refused_here_does_not_count() {
    let (pool, ids) = pool(ejecting(quick()), &[1, 1]);
    pool.set_maxconn(ids[0], 1).unwrap();
    pool.set_maxconn(ids[1], 1).unwrap();
    let held = [pick(&pool), pick(&pool)];
    for ms in 0..100 {
        assert!(pool.pick(&Request { lane: LANE, now: at(1_000 + ms), ..Request::default() }).is_err());
    }
    for pick in held {
        pool.done(LANE, pick.token, Outcome::Cancelled, &Timings::default(), at(2_000)).unwrap();
    }
    pool.handle_timeout(at(20_000));
    assert_eq!((ejected(&pool), pool.statistics().ejections), (Vec::new(), 0));
}

#[test]
fn a_loop_of_its_own_is_told_when() {
    let (pool, ids) = pool(ejecting(quick()), &[1, 1]);
    pool.handle_timeout(at(1_000));
    (0..3).for_each(|_| one(&pool, ids[0], Outcome::Failed, at(1_500)));
    assert_eq!(ejected(&pool), [ids[0]]);
    assert_eq!(pool.next_deadline(), Some(at(2_500)));
    pool.handle_timeout(at(2_499));
    assert_eq!(ejected(&pool), [ids[0]]);
    pool.handle_timeout(at(2_500));
    assert_eq!(ejected(&pool), []);
    let next = pool.next_deadline().unwrap();
    assert!(next > at(2_500), "{next:?}");
}

#[test]
fn rates_are_compared_at_the_end_of_an_interval() {
    let rates = passive::Options {
        consecutive_errors: None,
        success_rate: Some(SuccessRate::default()),
        failure_percentage: Some(FailurePercentage { percent: 60, hosts_min: 5, requests_min: 50 }),
        ejection_percent_max: 40,
        ..quick()
    };
    let (pool, ids) = pool(ejecting(rates), &[1; 6]);
    pool.handle_timeout(at(10_000));
    let run = |until: u64, failing: &[usize]| {
        for n in 0..1_200u64 {
            let pick = pool.pick(&Request { lane: LANE, now: at(until), ..Request::default() }).unwrap();
            let index = index_of(&ids, pick.backend);
            let outcome =
                if failing.contains(&index) && n % 10 < 7 { Outcome::Failed } else { Outcome::Success };
            pool.done(LANE, pick.token, outcome, &Timings::default(), at(until)).unwrap();
        }
    };
    run(19_000, &[2]);
    assert_eq!(ejected(&pool), [], "not before the interval is over");
    pool.handle_timeout(at(20_000));
    assert_eq!(ejected(&pool), [ids[2]]);
    let reason = pool.backend(ids[2]).unwrap().reason.unwrap();
    assert!(reason.contains("success rate of") || reason.contains("failed in"), "{reason}");
    pool.handle_timeout(at(21_000));
    assert_eq!(ejected(&pool), []);
    run(29_000, &[]);
    pool.handle_timeout(at(30_000));
    assert_eq!(ejected(&pool), [], "what came before counts no more");
}

#[test]
fn the_last_one_that_serves_stays() {
    let all = passive::Options { ejection_percent_max: 99, ..quick() };
    let (pool, ids) = pool(ejecting(all), &[1, 1, 1, 1]);
    pool.set_admin(ids[2], Admin::Drain).unwrap();
    pool.set_observed(ids[3], Observed::Down).unwrap();
    for ms in 0..50 {
        let pick = pool.pick(&Request { lane: LANE, now: at(1_000 + ms), ..Request::default() }).unwrap();
        pool.done(LANE, pick.token, Outcome::Failed, &Timings::default(), at(1_000 + ms)).unwrap();
    }
    assert_eq!(ejected(&pool).len(), 1, "one of the two that serve");
    let (lone, ids) = self::pool(ejecting(quick()), &[1]);
    (0..50).for_each(|ms| one(&lone, ids[0], Outcome::Failed, at(1_000 + ms)));
    assert_eq!(ejected(&lone), []);
}

/// What others observe or order goes first, and the detector follows.
#[test]
fn checks_and_operators_have_the_last_word() {
    let eject = |pool: &Pool, id, now| {
        (0..3).for_each(|_| one(pool, id, Outcome::Failed, now));
        assert_eq!(observed(pool, id), Observed::Ejected);
    };
    let (pool, ids) = pool(ejecting(quick()), &[1; 4]);
    // A check that passes takes it back at once, and the old end means nothing any more.
    eject(&pool, ids[0], at(1_000));
    pool.set_observed_at(ids[0], Observed::Up, at(1_100)).unwrap();
    assert_eq!(pool.backend(ids[0]).unwrap().consecutive_errors, 0);
    pool.handle_timeout(at(5_000));
    assert_eq!(observed(&pool, ids[0]), Observed::Up);
    // One that fails takes it down, and its time does not bring it up.
    eject(&pool, ids[0], at(5_500));
    pool.set_observed_with(ids[0], Observed::Down, "refused", at(5_600)).unwrap();
    pool.handle_timeout(at(30_000));
    assert_eq!(observed(&pool, ids[0]), Observed::Down);
    pool.set_observed_at(ids[0], Observed::Up, at(30_000)).unwrap();
    // Whoever is drained is none of its own, and comes back as it was.
    eject(&pool, ids[0], at(31_000));
    pool.set_admin(ids[0], Admin::Drain).unwrap();
    assert_eq!(observed(&pool, ids[0]), Observed::Up);
    pool.set_admin(ids[0], Admin::Ready).unwrap();
    pool.handle_timeout(at(40_000));
    assert_eq!((observed(&pool, ids[0]), ejected(&pool)), (Observed::Up, vec![]));
    // What somebody else ejected is theirs to take back, also when the pool had ejected it before.
    pool.set_observed(ids[1], Observed::Ejected).unwrap();
    pool.handle_timeout(at(400_000));
    assert_eq!(ejected(&pool), [ids[1]]);
    eject(&pool, ids[3], at(401_000));
    pool.set_observed_with(ids[3], Observed::Ejected, "by hand", at(401_100)).unwrap();
    pool.handle_timeout(at(401_900));
    let told = pool.backend(ids[3]).unwrap();
    assert_eq!((told.observed, told.reason.as_deref()), (Observed::Ejected, Some("by hand")));
    assert_eq!(told.observed_since_ns, Some(at(401_000).as_nanos()), "it is out since then");
    pool.handle_timeout(at(800_000));
    assert_eq!(ejected(&pool), [ids[1], ids[3]]);
    pool.set_observed(ids[3], Observed::Up).unwrap();
    // A removed one leaves nothing behind.
    eject(&pool, ids[2], at(801_000));
    pool.remove(ids[2]).unwrap();
    pool.handle_timeout(at(900_000));
    assert_eq!(ejected(&pool), [ids[1]]);
}

/// Fewer backends, fewer that may be ejected: the one whose time ends first comes back.
#[test]
fn the_cap_holds_when_backends_leave() {
    let (pool, ids) = pool(ejecting(quick()), &[1; 4]);
    (0..3).for_each(|_| one(&pool, ids[0], Outcome::Failed, at(1_000)));
    (0..3).for_each(|_| one(&pool, ids[1], Outcome::Failed, at(1_100)));
    assert_eq!(ejected(&pool), [ids[0], ids[1]]);
    pool.set_observed(ids[3], Observed::Down).unwrap();
    assert_eq!(ejected(&pool), [ids[1]], "one of three at most");
}

#[test]
fn whoever_comes_back_starts_slowly() {
    let options = Options { slow_start: Duration::from_secs(10), ..ejecting(quick()) };
    let (pool, ids) = pool(options, &[1, 1]);
    (0..3).for_each(|_| one(&pool, ids[0], Outcome::Failed, at(1_000)));
    pool.handle_timeout(at(2_000));
    assert_eq!((observed(&pool, ids[0]), pool.backend(ids[0]).unwrap().slow_start), (Observed::Unknown, 0.1));
}

/// Keeps why backends were ejected.
#[derive(Clone, Default)]
struct Reasons(Arc<Mutex<Vec<String>>>);

impl Observer for Reasons {
    fn handle_room(&self) {}

    fn handle_change(&self, change: &Change) {
        if change.kind == ChangeKind::Observed(Observed::Ejected) {
            self.0.lock().unwrap().push(change.reason.as_deref().unwrap_or_default().to_string());
        }
    }
}

/// Says when its thread is done, also when it panics.
struct Running<'a>(&'a AtomicU32);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Threads that all fail eject as many as may be and never one more; when all is well again, so is the pool.
#[test]
fn threads_eject_within_the_cap() {
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastConnections] {
        let capped = passive::Options { ejection_percent_max: 25, ..quick() };
        let pool = Pool::new(Options { policy, lanes: 4, ..ejecting(capped) }).unwrap();
        pool.add_all(&(0..12).map(|n| backend(n, 1)).collect::<Vec<_>>()).unwrap();
        let reasons = Reasons::default();
        assert!(pool.observe(Box::new(reasons.clone())));
        let run = |from: u64, to: u64, is_bad: bool| {
            let running = AtomicU32::new(4);
            std::thread::scope(|scope| {
                for lane in (0..4).map(Lane::Own) {
                    let (pool, running) = (&pool, &running);
                    scope.spawn(move || {
                        let _running = Running(running);
                        for ms in from..to {
                            let request = Request { lane, now: at(ms), ..Request::default() };
                            let pick = pool.pick(&request).unwrap();
                            let fails = is_bad && pick.backend.as_u64() % 2 == 0;
                            let outcome = if fails { Outcome::Failed } else { Outcome::Success };
                            pool.done(lane, pick.token, outcome, &Timings::default(), at(ms)).unwrap();
                        }
                    });
                }
                // One answer is of one table, so it is exact at every moment.
                while running.load(Ordering::SeqCst) > 0 {
                    assert!(ejected(&pool).len() <= 3, "a quarter of twelve");
                }
            });
        };
        run(1_000, 6_000, true);
        assert!(pool.statistics().ejections >= 3, "{policy:?}");
        assert!(reasons.0.lock().unwrap().iter().all(|reason| reason.ends_with("errors in a row")));
        run(6_000, 7_000, false);
        pool.handle_timeout(at(400_000));
        assert_eq!((ejected(&pool), pool.statistics().in_flight), (vec![], 0), "{policy:?}");
    }
}

proptest! {
    /// Whatever happens in whatever order: no more are ejected than the cap has, a drained or down backend gets
    /// nothing, and once all is well for long enough nobody is ejected.
    #[test]
    fn the_cap_holds(percent in 0..=100u32, errors in 1..4u32, seed in any::<u64>(),
                     steps in prop::collection::vec((0..10u8, 0..8usize, 0..2_000u64), 1..150)) {
        let options = passive::Options {
            consecutive_errors: Some(errors), ejection_percent_max: percent, success_rate: None, ..quick()
        };
        let options = Options { policy: Policy::Random, seed, ..ejecting(options) };
        let (pool, _) = pool(options, &[1; 4]);
        let (mut now, mut added) = (1_000, 4);
        for (what, which, wait) in steps {
            now += wait;
            let ids = pool.ids();
            let id = ids.get(which % ids.len().max(1)).copied();
            match (what, id) {
                (0, _) if ids.len() < 8 => {
                    pool.add(backend(added, 1)).unwrap();
                    added += 1;
                }
                (1, Some(id)) => pool.remove(id).unwrap(),
                (2, Some(id)) => {
                    pool.set_admin(id, [Admin::Ready, Admin::Drain, Admin::Maintenance][which % 3]).unwrap();
                }
                (3, Some(id)) => {
                    let state = [Observed::Up, Observed::Down, Observed::Unknown][which % 3];
                    pool.set_observed_at(id, state, at(now)).unwrap();
                }
                _ => {
                    for _ in 0..4 {
                        let request = Request { lane: LANE, now: at(now), ..Request::default() };
                        let Ok(pick) = pool.pick(&request) else { continue };
                        let picked = pool.backend(pick.backend).unwrap();
                        prop_assert!(picked.admin == Admin::Ready);
                        prop_assert!(matches!(picked.observed, Observed::Up | Observed::Unknown));
                        let outcome = if what < 8 { Outcome::Failed } else { Outcome::Success };
                        pool.done(LANE, pick.token, outcome, &Timings::default(), at(now)).unwrap();
                    }
                }
            }
            let backends = pool.backends();
            let served = |b: &&trimtab::balance::BackendStatistics| {
                b.admin == Admin::Ready && b.observed != Observed::Down
            };
            let count = backends.iter().filter(served).count();
            let most = match percent {
                0 => 0,
                100 => count,
                percent => (count * percent as usize / 100).max(1).min(count.saturating_sub(1)),
            };
            let out = backends.iter().filter(|b| b.observed == Observed::Ejected).count();
            prop_assert!(out <= most, "{out} of {count} at {percent} %");
        }
        for second in 0..20 {
            let now = at(now + 1_000_000 + second * 1_000);
            while let Ok(pick) = pool.pick(&Request { lane: LANE, now, ..Request::default() }) {
                pool.done(LANE, pick.token, Outcome::Success, &Timings::default(), now).unwrap();
                let backends = pool.backends();
                if backends.iter().filter(|b| b.serving).all(|b| b.consecutive_errors == 0) {
                    break;
                }
            }
        }
        prop_assert_eq!(ejected(&pool), vec![]);
    }
}
