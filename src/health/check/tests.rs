use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::health::facts::{Operational, Orders};
use crate::health::options::Options;
use crate::rng::Rng;

const SECOND: u64 = 1000;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn settings(options: Options) -> Arc<Settings> {
    Arc::new(options.parse().unwrap())
}

/// Interval 2 s, in transition 200 ms, down 5 s, no jitter.
fn steady() -> Options {
    Options {
        interval_transition: Some(Duration::from_millis(200)),
        interval_down: Some(Duration::from_secs(5)),
        jitter: 0.0,
        ..Options::default()
    }
}

fn good() -> Verdict {
    Verdict::Good(Facts::default())
}

fn bad(text: &str) -> Verdict {
    Verdict::Bad(Reason::new(Source::Connection, text))
}

/// A check, its moments and its random numbers.
struct Driven {
    check: Check,
    rng: Rng,
}

impl Driven {
    fn new(options: Options) -> Self {
        let mut rng = Rng::new(1);
        let check = Check::beginning(settings(options), at(0), at(0));
        let _ = rng.next_u64();
        Self { check, rng }
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.check.poll_action()).collect()
    }

    /// Goes to the next deadline and begins the probe that is due there.
    fn begin(&mut self) -> (ProbeId, Instant) {
        let now = self.check.next_deadline().unwrap();
        self.check.handle_timeout(now, &mut self.rng);
        let actions = self.actions();
        let Some(Action::Start(probe)) = actions.last() else { panic!("{actions:?}") };
        (*probe, now)
    }

    /// One probe with this verdict, at once; what was to be done then.
    fn probe(&mut self, verdict: Verdict) -> Vec<Action> {
        let (probe, now) = self.begin();
        self.check.handle_verdict(probe, verdict, now);
        self.actions()
    }
}

fn is_change(action: &Action, from: State, to: State) -> bool {
    matches!(action, Action::Change(change) if change.from == from && change.to == to)
}

#[test]
fn rise_and_fall_are_exact() {
    let mut driven = Driven::new(steady());
    assert_eq!(driven.check.state(), State::Unknown);
    assert_eq!(driven.probe(good()), []);
    let up = driven.probe(good());
    assert!(is_change(&up[0], State::Unknown, State::Up) && up.len() == 1, "{up:?}");
    assert_eq!(driven.probe(bad("a")), []);
    assert_eq!(driven.probe(bad("b")), []);
    assert_eq!(driven.probe(good()), [], "a good one begins the count anew");
    assert_eq!(driven.probe(bad("c")), []);
    assert_eq!(driven.probe(bad("d")), []);
    let down = driven.probe(bad("e"));
    assert!(is_change(&down[0], State::Up, State::Down), "{down:?}");
    let change = driven.check.last_change().unwrap();
    assert_eq!(change.cause, Cause::Fall(3, Reason::new(Source::Connection, "e")));
    assert_eq!(driven.check.in_a_row(), (0, 3));
    assert_eq!(driven.probe(bad("f")), []);
    assert_eq!(driven.probe(good()), []);
    assert_eq!(driven.probe(bad("g")), []);
    assert_eq!(driven.probe(good()), []);
    let up = driven.probe(good());
    assert!(is_change(&up[0], State::Down, State::Up), "{up:?}");
    assert_eq!(driven.check.last_change().unwrap().cause, Cause::Rise(2));
    assert_eq!(driven.check.last_failure().unwrap().reason.text(), "g", "it is kept");
    assert_eq!(driven.check.counts(), Counts { started: 13, good: 6, bad: 7, timed_out: 0 });
}

#[test]
fn it_begins_where_it_was_told() {
    for (initial, state) in
        [(Initial::Unknown, State::Unknown), (Initial::Up, State::Up), (Initial::Down, State::Down)]
    {
        let mut driven = Driven::new(Options { initial, ..steady() });
        assert_eq!(driven.check.state(), state);
        assert_eq!(driven.actions(), []);
        for _ in 0..2 {
            assert_eq!(driven.probe(bad("no")), []);
        }
        assert_eq!(driven.probe(bad("no")).len(), usize::from(state != State::Down), "{state:?}");
        assert_eq!(driven.check.state(), State::Down);
    }
    let mut driven = Driven::new(Options { initial: Initial::Up, rise: 1, ..steady() });
    assert_eq!(driven.probe(good()), [], "it was up already");
}

#[test]
fn the_first_probe_comes_within_one_interval() {
    let settings = settings(Options::default());
    let mut rng = Rng::new(3);
    let mut offsets: Vec<u64> = (0..1000)
        .map(|_| Check::new(Arc::clone(&settings), at(500), &mut rng).next_deadline().unwrap())
        .map(|deadline| deadline.nanos_since(at(500)) / 1_000_000)
        .collect();
    offsets.sort_unstable();
    assert!(offsets[0] < 20 && offsets[999] < 2000 && offsets[999] > 1980, "{offsets:?}");
}

#[test]
fn the_interval_follows_the_state() {
    let mut driven = Driven::new(Options { rise: 2, fall: 2, ..steady() });
    let mut beats = Vec::new();
    for is_good in [true, true, true, false, true, false, false, false, true, true, true] {
        beats.push(driven.check.next_deadline().unwrap().as_nanos() / 1_000_000);
        driven.probe(if is_good { good() } else { bad("no") });
    }
    let gaps: Vec<u64> = beats.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [200, 2000, 2000, 200, 2000, 200, 5000, 5000, 200, 2000]);
}

#[test]
fn a_probe_that_outlives_its_timeout_is_cancelled_and_bad() {
    let mut driven = Driven::new(Options { fall: 2, ..steady() });
    let (first, _) = driven.begin();
    assert_eq!(driven.check.next_deadline(), Some(at(1000)));
    driven.check.handle_timeout(Instant::from_nanos(999_999_999), &mut driven.rng);
    assert_eq!(driven.actions(), [], "too early changes nothing");
    driven.check.handle_timeout(at(1000), &mut driven.rng);
    assert_eq!(driven.actions(), [Action::Cancel(first)]);
    let failure = driven.check.last_failure().unwrap();
    assert_eq!(failure.reason.to_string(), "timeout: no connection within 1s");
    assert_eq!(failure.at, at(1000));
    driven.check.handle_verdict(first, good(), at(1001));
    assert_eq!(driven.check.in_a_row(), (0, 1), "a verdict that comes late is none");

    // Beats at 200, 400, 600 and 800 ms went by.
    assert_eq!(driven.check.next_deadline(), Some(at(1200)));
    let (second, _) = driven.begin();
    driven.check.handle_connected(first);
    driven.check.handle_connected(second);
    driven.check.handle_timeout(at(2200), &mut driven.rng);
    let actions = driven.actions();
    assert_eq!(actions[0], Action::Cancel(second));
    assert!(is_change(&actions[1], State::Unknown, State::Down), "{actions:?}");
    let text = driven.check.last_failure().unwrap().reason.text().to_string();
    assert_eq!(text, "connected, but no answer within 1s");
    assert_eq!(driven.check.counts().timed_out, 2);
}

#[test]
fn a_verdict_counts_until_its_timeout_is_handled() {
    let mut driven = Driven::new(steady());
    let (probe, _) = driven.begin();
    driven.check.handle_verdict(probe, good(), at(5000));
    assert_eq!(driven.check.in_a_row(), (1, 0));
    driven.check.handle_verdict(probe, good(), at(5000));
    assert_eq!(driven.check.in_a_row(), (1, 0), "the same once more is none");
    let (probe, now) = driven.begin();
    driven.check.handle_verdict(probe, Verdict::TimedOut, now);
    assert_eq!((driven.check.in_a_row(), driven.check.counts().timed_out), ((0, 1), 1));
    assert_eq!(driven.actions(), []);
}

#[test]
fn beats_are_kept_however_late_a_probe_was() {
    let mut driven = Driven::new(Options { interval_transition: None, ..steady() });
    for (begun, over, next) in
        [(0, 100, 2000), (2500, 3999, 4000), (4000, 6000, 8000), (31_000, 31_001, 32_000)]
    {
        driven.check.handle_timeout(at(begun), &mut driven.rng);
        let Some(Action::Start(probe)) = driven.check.poll_action() else { panic!() };
        driven.check.handle_verdict(probe, good(), at(over));
        driven.actions();
        assert_eq!(driven.check.next_deadline(), Some(at(next)), "{begun}");
    }
}

#[test]
fn a_clock_at_either_end_of_time_breaks_nothing() {
    let mut driven = Driven::new(steady());
    let end = Instant::from_nanos(u64::MAX);
    driven.check.handle_timeout(end, &mut driven.rng);
    let Some(Action::Start(probe)) = driven.check.poll_action() else { panic!() };
    assert_eq!(driven.check.next_deadline(), Some(end));
    driven.check.handle_verdict(probe, good(), at(0));
    assert!(driven.check.next_deadline().unwrap() > at(0));
    driven.check.handle_suspicion(end);
    driven.check.handle_timeout(end, &mut driven.rng);
    driven.check.handle_timeout(end, &mut driven.rng);
    assert_eq!(driven.check.counts().timed_out, 1);
}

#[test]
fn a_suspicion_brings_the_next_probe_forward_but_not_without_end() {
    let mut driven = Driven::new(Options { initial: Initial::Up, ..steady() });
    driven.probe(good());
    assert_eq!(driven.check.next_deadline(), Some(at(2 * SECOND)));
    for millis in [10, 20, 30] {
        driven.check.handle_suspicion(at(millis));
        assert_eq!(driven.check.next_deadline(), Some(at(200)));
    }
    driven.probe(good());
    driven.check.handle_suspicion(at(1500));
    assert_eq!(driven.check.next_deadline(), Some(at(1500)), "the last one was long ago");
    let (probe, _) = driven.begin();
    driven.check.handle_suspicion(at(1500));
    assert_eq!(driven.check.probe(), Some(probe));

    let mut slow = Driven::new(Options { initial: Initial::Up, interval_transition: None, ..steady() });
    slow.probe(good());
    slow.check.handle_suspicion(at(10));
    assert_eq!(slow.check.next_deadline(), Some(at(2 * SECOND)));
    assert_eq!(slow.check.in_a_row(), (1, 0), "it is no verdict");
}

#[test]
fn a_probe_that_could_not_be_made_says_nothing() {
    let mut driven = Driven::new(steady());
    let (probe, now) = driven.begin();
    driven.check.handle_abandoned(probe, now);
    assert_eq!((driven.check.in_a_row(), driven.check.last_failure()), ((0, 0), None));
    assert_eq!(driven.check.next_deadline(), Some(at(200)));
    let (next, now) = driven.begin();
    driven.check.handle_abandoned(probe, now);
    assert_eq!(driven.check.probe(), Some(next), "an old one is ignored");
}

#[test]
fn maintenance_stops_probes_and_keeps_the_state() {
    let mut driven = Driven::new(Options { rise: 2, ..steady() });
    driven.probe(good());
    let (probe, now) = driven.begin();
    driven.check.handle_pause();
    assert_eq!(driven.actions(), [Action::Cancel(probe)]);
    assert_eq!(driven.check.next_deadline(), None);
    driven.check.handle_timeout(at(9_000), &mut driven.rng);
    driven.check.handle_verdict(probe, good(), now);
    driven.check.handle_suspicion(now);
    assert_eq!((driven.actions(), driven.check.state()), (vec![], State::Unknown));
    driven.check.handle_resume(at(10_000), &mut driven.rng);
    let due = driven.check.next_deadline().unwrap();
    assert!(due >= at(10_000) && due < at(10_200), "{due:?}");
    assert_eq!(driven.check.in_a_row(), (0, 0));
    driven.check.handle_resume(at(20_000), &mut driven.rng);
    assert_eq!(driven.check.next_deadline(), Some(due));
    // One that was not begun needs no cancelling.
    driven.check.handle_timeout(due, &mut driven.rng);
    driven.check.handle_pause();
    assert_eq!(driven.actions(), []);
}

#[test]
fn other_settings_keep_the_state() {
    let mut driven = Driven::new(Options { rise: 1, ..steady() });
    driven.probe(good());
    let (probe, now) = driven.begin();
    let other = settings(Options { fall: 1, initial: Initial::Down, ..steady() });
    driven.check.set_settings(Arc::clone(&other), now, &mut driven.rng);
    assert_eq!(driven.actions(), [Action::Cancel(probe)]);
    assert_eq!(driven.check.state(), State::Up);
    assert!(driven.check.next_deadline().unwrap() < now.saturating_add(Duration::from_millis(200)));
    let down = driven.probe(bad("no"));
    assert!(is_change(&down[0], State::Up, State::Down), "{down:?}");
    driven.check.handle_pause();
    driven.check.set_settings(other, now, &mut driven.rng);
    assert_eq!(driven.check.next_deadline(), None, "a paused one stays so");
}

#[test]
fn facts_are_told_when_they_are_new() {
    let facts = |percent| Facts {
        orders: Some(Orders { weight_percent: Some(percent), ..Orders::default() }),
        ..Facts::default()
    };
    let mut driven = Driven::new(steady());
    assert_eq!(driven.probe(Verdict::Good(facts(50))), [Action::Facts]);
    assert_eq!(driven.check.facts(), &facts(50));
    assert_eq!(driven.probe(Verdict::Good(facts(50))).len(), 1, "up, and nothing new");
    assert_eq!(driven.probe(bad("no")), []);
    assert_eq!(driven.check.facts(), &facts(50), "a bad one learns nothing");
    assert_eq!(driven.probe(Verdict::Good(facts(60))), [Action::Facts]);
}

#[test]
fn an_agent_that_says_down_is_a_bad_verdict_with_facts() {
    let orders = Orders {
        operational: Some(Operational::Down),
        weight_percent: Some(10),
        comment: "disk".into(),
        ..Orders::default()
    };
    let mut driven = Driven::new(Options { fall: 1, ..steady() });
    let actions = driven.probe(Verdict::Good(Facts { orders: Some(orders), ..Facts::default() }));
    assert!(
        is_change(&actions[0], State::Unknown, State::Down) && actions[1] == Action::Facts,
        "{actions:?}"
    );
    assert_eq!(driven.check.last_failure().unwrap().reason.to_string(), "agent: down: disk");
}

#[test]
fn actions_not_taken_stay_bounded_and_true() {
    let mut driven = Driven::new(Options { rise: 1, fall: 1, ..steady() });
    // Nobody takes an action, so nobody begins a probe: each times out.
    for _ in 0..1000 {
        let now = driven.check.next_deadline().unwrap();
        driven.check.handle_timeout(now, &mut driven.rng);
    }
    let actions = driven.actions();
    assert_eq!(actions.len(), 1, "{actions:?}");
    assert!(is_change(&actions[0], State::Unknown, State::Down));
    // Down and up again while nobody looked is no change.
    for verdict in [good(), bad("no")] {
        let now = driven.check.next_deadline().unwrap();
        driven.check.handle_timeout(now, &mut driven.rng);
        let probe = driven.check.probe().unwrap();
        driven.check.handle_verdict(probe, verdict, now);
    }
    assert_eq!(driven.actions(), []);
    assert_eq!(driven.check.last_change().unwrap().from, State::Up);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Jump(u64),
    Back(u64),
    Verdict { back: u64, kind: u8 },
    Abandon { back: u64 },
    Suspect,
    Pause,
    Resume,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u64..3000).prop_map(Step::Wait),
        1 => any::<u64>().prop_map(Step::Jump),
        1 => any::<u64>().prop_map(Step::Back),
        10 => (0u64..3, 0u8..4).prop_map(|(back, kind)| Step::Verdict { back: back.saturating_sub(1), kind }),
        1 => (0u64..2).prop_map(|back| Step::Abandon { back }),
        1 => Just(Step::Suspect),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// A model that does nothing but count verdicts that count, against any order of events: stale verdicts,
    /// clocks that jump, timeouts, pauses.
    #[test]
    fn the_state_is_what_the_last_verdicts_in_a_row_say(
        steps in steps(),
        rise in 1u32..5,
        fall in 1u32..5,
        initial in 0usize..3,
        jitter in 0.0f64..0.5,
        seed: u64,
    ) {
        let initial = Initial::NAMES[initial].1;
        let options = Options { rise, fall, initial, jitter, ..steady() };
        let mut rng = Rng::new(seed);
        let mut check = Check::new(settings(options), at(0), &mut rng);
        let mut now = at(0);
        // The model: the state, verdicts in a row, the probe under way and its deadline.
        let mut state = check.state();
        let (mut goods, mut bads) = (0, 0);
        let mut under_way: Option<(ProbeId, Instant)> = None;
        let mut told = state;
        let mut is_paused = false;
        for step in steps {
            let mut verdict = None;
            match step {
                Step::Wait(millis) => now = now.saturating_add(Duration::from_millis(millis)),
                Step::Jump(nanos) => now = Instant::from_nanos(now.as_nanos().saturating_add(nanos >> 20)),
                Step::Back(nanos) => now = Instant::from_nanos(now.as_nanos().saturating_sub(nanos >> 24)),
                Step::Verdict { back, kind } => {
                    let probe = ProbeId(check.counts().started.wrapping_sub(1 + back));
                    let what = match kind {
                        0 | 1 => good(),
                        2 => bad("no"),
                        _ => Verdict::TimedOut,
                    };
                    if under_way.is_some_and(|(current, _)| current == probe) {
                        verdict = Some(kind < 2);
                        under_way = None;
                    }
                    check.handle_verdict(probe, what, now);
                }
                Step::Abandon { back } => {
                    let probe = ProbeId(check.counts().started.wrapping_sub(1 + back));
                    if under_way.is_some_and(|(current, _)| current == probe) {
                        under_way = None;
                    }
                    check.handle_abandoned(probe, now);
                }
                Step::Suspect => check.handle_suspicion(now),
                Step::Pause => {
                    check.handle_pause();
                    under_way = None;
                    is_paused = true;
                }
                Step::Resume => {
                    check.handle_resume(now, &mut rng);
                    if is_paused {
                        (goods, bads) = (0, 0);
                    }
                    is_paused = false;
                }
            }
            let mut judge = |is_good: bool| {
                (goods, bads) = if is_good { (goods + 1, 0) } else { (0, bads + 1) };
                if goods >= rise {
                    state = State::Up;
                } else if bads >= fall {
                    state = State::Down;
                }
            };
            if let Some(is_good) = verdict {
                judge(is_good);
            }
            if under_way.is_some_and(|(_, deadline)| now >= deadline) {
                judge(false);
                under_way = None;
            }
            let due = check.next_deadline();
            prop_assert_eq!(due.is_none(), is_paused);
            check.handle_timeout(now, &mut rng);
            while let Some(action) = check.poll_action() {
                match action {
                    Action::Start(probe) => {
                        prop_assert!(under_way.is_none() && due.is_some_and(|due| due <= now));
                        under_way = Some((probe, now.saturating_add(Duration::from_secs(1))));
                    }
                    Action::Change(change) => {
                        prop_assert_eq!(change.from, told);
                        prop_assert_ne!(change.from, change.to);
                        told = change.to;
                    }
                    Action::Cancel(_) | Action::Facts => {}
                }
            }
            prop_assert_eq!(check.state(), state);
            prop_assert_eq!(told, state, "whoever listens knows the state");
            prop_assert_eq!(check.in_a_row(), (goods, bads));
            prop_assert_eq!(check.probe(), under_way.map(|(probe, _)| probe));
        }
    }
}
