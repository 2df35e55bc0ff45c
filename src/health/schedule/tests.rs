use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::health::check::{Action as Do, State};
use crate::health::facts::Facts;
use crate::health::options::{Initial, Options};
use crate::health::reason::{Reason, Source};
use crate::rng::Rng;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn settings(options: Options) -> Arc<Settings> {
    Arc::new(options.parse().unwrap())
}

fn good() -> Verdict {
    Verdict::Good(Facts::default())
}

fn bad() -> Verdict {
    Verdict::Bad(Reason::new(Source::Connection, "refused"))
}

/// What a simulated backend does with a probe: a verdict after so many nanoseconds, or silence.
type Answer = Option<(u64, bool)>;

/// Checks, backends that answer, and how many probes began in each bucket of 10 ms.
struct World {
    schedule: Schedule,
    rng: Rng,
    now: Instant,
    /// Verdicts to come.
    coming: BTreeMap<(Instant, CheckId, ProbeId), bool>,
    starts: Vec<u32>,
    most_probing: u32,
}

const BUCKET_NANOS: u64 = 10_000_000;

impl World {
    fn new(checks: usize, probes_max: u32, seed: u64, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let mut schedule = Schedule::new(probes_max, &mut rng).unwrap();
        let settings = settings(options);
        for _ in 0..checks {
            schedule.add(Arc::clone(&settings), at(0));
        }
        let coming = BTreeMap::new();
        Self { schedule, rng, now: at(0), coming, starts: Vec::new(), most_probing: 0 }
    }

    /// Runs until `end`. `answer` is what the backend of this number says.
    fn run(&mut self, end: Instant, mut answer: impl FnMut(u32, &mut Rng) -> Answer) {
        loop {
            let verdict = self.coming.first_key_value().map(|((at, ..), _)| *at);
            let due = self.schedule.next_deadline();
            let next = verdict.into_iter().chain(due).min().unwrap_or(end);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            while let Some((&(at, check, probe), &is_good)) = self.coming.first_key_value()
                && at <= self.now
            {
                self.coming.pop_first();
                let verdict = if is_good { good() } else { bad() };
                self.schedule.handle_verdict(check, probe, verdict, self.now);
            }
            self.schedule.handle_timeout(self.now, &mut self.rng);
            while let Some(Action { check, action }) = self.schedule.poll_action() {
                let Do::Start(probe) = action else { continue };
                let bucket = (self.now.as_nanos() / BUCKET_NANOS) as usize;
                self.starts.resize(self.starts.len().max(bucket + 1), 0);
                self.starts[bucket] += 1;
                if let Some((nanos, is_good)) = answer(check.slot, &mut self.rng) {
                    let at = Instant::from_nanos(self.now.as_nanos() + nanos);
                    self.coming.insert((at, check, probe), is_good);
                }
            }
            self.most_probing = self.most_probing.max(self.schedule.probing());
        }
        self.now = end;
    }

    fn most(&self, from_bucket: usize) -> u32 {
        self.starts[from_bucket..].iter().copied().max().unwrap()
    }
}

/// A good answer within 1 to 50 ms.
fn quick(_: u32, rng: &mut Rng) -> Answer {
    Some((1_000_000 + rng.below(49_000_000), true))
}

#[test]
fn ten_thousand_checks_begin_evenly() {
    for seed in [1, 2, 3] {
        let mut world = World::new(10_000, PROBES_DEFAULT, seed, Options::default());
        world.run(at(20_000), quick);
        let first: u32 = world.starts[..200].iter().sum();
        // Some come round a second time within the interval, by the jitter.
        assert!((10_200..10_300).contains(&first), "{first}");
        let evenly = world.starts[..180].iter().copied().max().unwrap();
        assert!(evenly <= 53, "first probes are placed, not drawn: {evenly}");
        assert!(world.most(0) <= 100, "seed {seed}: {}", world.most(0));
        let all: u32 = world.starts.iter().sum();
        assert!((99_000..101_000).contains(&all), "{all}");
    }
}

#[test]
fn a_loop_that_stood_still_makes_one_burst_and_no_second() {
    let mut world = World::new(10_000, 300, 4, Options::default());
    world.run(at(6_000), quick);
    // For a second nothing is told: 5,000 probes are overdue.
    world.now = at(7_000);
    world.run(at(20_000), quick);
    assert!(world.most_probing <= 300);
    assert!(world.starts[700] >= 290, "what is overdue begins at once: {}", world.starts[700]);
    assert!(world.most(800) <= 100, "{}", world.most(800));
}

#[test]
fn backends_that_fall_together_are_not_asked_together() {
    let options = Options { interval_transition: Some(Duration::from_millis(500)), ..Options::default() };
    let mut world = World::new(10_000, 4096, 5, options);
    world.run(at(6_000), quick);
    world.run(at(9_500), |_, _| Some((500_000, false)));
    // Three bad verdicts each: for a while the mean is 200 in 10 ms.
    assert!(world.most(0) <= 400, "{}", world.most(0));
    let down = world
        .schedule
        .slots
        .iter()
        .flat_map(|slot| &slot.entry)
        .filter(|entry| entry.check.state() == State::Down);
    assert_eq!(down.count(), 10_000);
    world.run(at(20_000), quick);
    assert!(world.most(1_200) <= 100, "{}", world.most(1_200));
}

#[test]
fn silent_backends_hold_places_but_keep_nobody_out() {
    // A hundred places, and half of 300 checks hold theirs for a whole second.
    let mut world = World::new(300, 100, 6, Options::default());
    let mut asked = vec![0u32; 300];
    world.run(at(60_000), |check, rng| {
        asked[check as usize] += 1;
        if check % 2 == 0 { None } else { quick(check, rng) }
    });
    assert!(world.most_probing <= 100);
    // 150 silent ones every 2 s want 75 places: there is room for all.
    assert!(asked.iter().all(|times| (28..=33).contains(times)), "{asked:?}");

    // With ten places there is not: what is due waits its turn, and all wait alike.
    let mut world = World::new(300, 10, 7, Options::default());
    let mut asked = vec![0u32; 300];
    world.run(at(120_000), |check, _| {
        asked[check as usize] += 1;
        None
    });
    let statistics = world.schedule.statistics(at(120_000));
    assert_eq!((statistics.checks, statistics.probing), (300, 10));
    assert!(statistics.waiting > 200 && statistics.overdue_nanos > 0, "{statistics:?}");
    let (least, most) = (asked.iter().min().unwrap(), asked.iter().max().unwrap());
    assert!(*least >= 3 && most - least <= 2, "{asked:?}");
}

#[test]
fn without_room_the_next_deadline_is_a_timeout() {
    let mut rng = Rng::new(8);
    let mut schedule = Schedule::new(1, &mut rng).unwrap();
    let settings = settings(Options { jitter: 0.0, ..Options::default() });
    let checks = [schedule.add(Arc::clone(&settings), at(0)), schedule.add(settings, at(0))];
    schedule.handle_timeout(at(1_999), &mut rng);
    let Some(Action { check, action: Do::Start(probe) }) = schedule.poll_action() else { panic!() };
    assert_eq!(schedule.poll_action(), None);
    assert_eq!(schedule.next_deadline(), Some(at(2_999)));
    schedule.handle_timeout(at(2_500), &mut rng);
    assert_eq!(schedule.poll_action(), None);
    schedule.handle_verdict(check, probe, good(), at(2_500));
    assert!(schedule.next_deadline().unwrap() < at(2_000), "the other one is overdue");
    schedule.handle_timeout(at(2_500), &mut rng);
    let other = schedule.poll_action().unwrap();
    assert!(other.check != check && checks.contains(&other.check));
}

#[test]
fn a_removed_check_is_gone_and_its_number_with_it() {
    let mut rng = Rng::new(9);
    let mut schedule = Schedule::new(8, &mut rng).unwrap();
    let settings = settings(Options::default());
    let old = schedule.add(Arc::clone(&settings), at(0));
    assert_eq!(schedule.remove(old), None);
    let first = schedule.add(Arc::clone(&settings), at(0));
    assert!(first.slot == old.slot && first != old, "the place is used again");
    schedule.handle_timeout(at(2_000), &mut rng);
    let Some(Action { action: Do::Start(probe), .. }) = schedule.poll_action() else { panic!() };
    assert_eq!(schedule.remove(first), Some(probe));
    assert_eq!(schedule.remove(first), None);
    let second = schedule.add(Arc::clone(&settings), at(2_000));
    schedule.handle_verdict(first, probe, good(), at(2_000));
    schedule.handle_pause(first);
    assert!(schedule.check(first).is_none());
    assert_eq!(schedule.check(second).unwrap().in_a_row(), (0, 0));
    assert!(schedule.next_deadline().is_some());

    // A probe that was not begun needs no closing, one that is to be cancelled does.
    schedule.handle_timeout(at(4_000), &mut rng);
    assert_eq!(schedule.remove(second), None);
    let third = schedule.add(settings, at(4_000));
    schedule.handle_timeout(at(6_000), &mut rng);
    let Some(Action { action: Do::Start(probe), .. }) = schedule.poll_action() else { panic!() };
    schedule.handle_timeout(at(7_000), &mut rng);
    assert_eq!(schedule.remove(third), Some(probe));
    assert_eq!((schedule.poll_action(), schedule.next_deadline()), (None, None));
}

#[test]
fn the_bound_has_bounds() {
    let mut rng = Rng::new(0);
    for (probes_max, fits) in [(0, false), (1, true), (PROBES_MAX, true), (PROBES_MAX + 1, false)] {
        assert_eq!(Schedule::new(probes_max, &mut rng).is_ok(), fits, "{probes_max}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Remove(u8),
    Wait(u32),
    Jump(u64),
    Verdict { at: u8, is_good: bool },
    Stale(u8),
    Abandon(u8),
    Suspect(u8),
    Pause(u8),
    Resume(u8),
    Settings(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<u8>().prop_map(Step::Add),
        2 => any::<u8>().prop_map(Step::Remove),
        12 => (0u32..900).prop_map(Step::Wait),
        1 => any::<u64>().prop_map(Step::Jump),
        10 => (any::<u8>(), any::<bool>()).prop_map(|(at, is_good)| Step::Verdict { at, is_good }),
        1 => any::<u8>().prop_map(Step::Stale),
        1 => any::<u8>().prop_map(Step::Abandon),
        2 => any::<u8>().prop_map(Step::Suspect),
        1 => any::<u8>().prop_map(Step::Pause),
        2 => any::<u8>().prop_map(Step::Resume),
        1 => any::<u8>().prop_map(Step::Settings),
    ]
}

proptest! {
    /// The driver's picture (which connections are open) stays the schedule's, within the bound, whatever the
    /// order of events.
    #[test]
    fn the_driver_and_the_schedule_agree(
        steps in proptest::collection::vec(step(), 0..250),
        probes_max in 1u32..6,
        seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let mut schedule = Schedule::new(probes_max, &mut rng).unwrap();
        let all: Vec<Arc<Settings>> = [(2000, 1000), (300, 1000), (1000, 50)]
            .map(|(interval, timeout)| settings(Options {
                interval: Duration::from_millis(interval),
                timeout: Duration::from_millis(timeout),
                rise: 1,
                initial: Initial::Down,
                ..Options::default()
            }))
            .into();
        let mut now = at(0);
        let (mut checks, mut gone) = (Vec::new(), Vec::new());
        let mut open: BTreeMap<CheckId, ProbeId> = BTreeMap::new();
        for step in steps {
            let pick = |at: u8| (!checks.is_empty()).then(|| checks[usize::from(at) % checks.len()]);
            match step {
                Step::Add(which) => {
                    checks.push(schedule.add(Arc::clone(&all[usize::from(which) % 3]), now));
                }
                Step::Remove(at) => if let Some(check) = pick(at) {
                    checks.retain(|other| *other != check);
                    prop_assert_eq!(schedule.remove(check), open.remove(&check));
                    gone.push(check);
                }
                Step::Wait(millis) => now = now.saturating_add(Duration::from_millis(millis.into())),
                Step::Jump(nanos) => now = Instant::from_nanos(now.as_nanos().saturating_add(nanos >> 8)),
                Step::Verdict { at, is_good } => {
                    let keys: Vec<CheckId> = open.keys().copied().collect();
                    if !keys.is_empty() {
                        let check = keys[usize::from(at) % keys.len()];
                        let probe = open.remove(&check).unwrap();
                        schedule.handle_connected(check, probe);
                        schedule.handle_verdict(check, probe, if is_good { good() } else { bad() }, now);
                    }
                }
                Step::Stale(at) => if let (Some(check), Some((_, probe))) = (gone.get(usize::from(at)), open.first_key_value()) {
                    schedule.handle_verdict(*check, *probe, good(), now);
                }
                Step::Abandon(at) => if let Some(check) = pick(at) && let Some(probe) = open.remove(&check) {
                    schedule.handle_abandoned(check, probe, now);
                }
                Step::Suspect(at) => if let Some(check) = pick(at) { schedule.handle_suspicion(check, now) }
                Step::Pause(at) => if let Some(check) = pick(at) { schedule.handle_pause(check) }
                Step::Resume(at) => if let Some(check) = pick(at) { schedule.handle_resume(check, now, &mut rng) }
                Step::Settings(at) => if let Some(check) = pick(at) {
                    schedule.set_settings(check, Arc::clone(&all[usize::from(at) % 3]), now, &mut rng);
                }
            }
            schedule.handle_timeout(now, &mut rng);
            while let Some(Action { check, action }) = schedule.poll_action() {
                prop_assert!(checks.contains(&check));
                match action {
                    Do::Start(probe) => prop_assert_eq!(open.insert(check, probe), None),
                    Do::Cancel(probe) => prop_assert_eq!(open.remove(&check), Some(probe)),
                    Do::Change(_) | Do::Facts => {}
                }
            }
            let statistics = schedule.statistics(now);
            prop_assert_eq!(statistics.probing as usize, open.len());
            prop_assert!(statistics.probing <= probes_max);
            prop_assert_eq!(statistics.checks, checks.len());
            prop_assert!(statistics.waiting == 0 || statistics.probing == probes_max, "nothing waits beside room");
            for check in &checks {
                prop_assert_eq!(schedule.check(*check).unwrap().probe(), open.get(check).copied());
            }
            // At the end of time what is due now is due for ever.
            let is_end = now.as_nanos() == u64::MAX;
            prop_assert!(is_end || schedule.next_deadline().is_none_or(|deadline| deadline > now));
        }
    }
}
