//! Random operations on a schedule of checks: no more probes than may be are under way, the driver's picture of
//! them stays right, what is due begins as long as there is room, and each state is what verdicts in a row say.

#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::{
    Action, CheckId, Facts, Initial, Options, ProbeId, Reason, Schedule, Settings, Source, State, Verdict,
};
use trimtab::rng::Rng;
use trimtab::time::Instant;

#[derive(Arbitrary, Debug)]
struct Run {
    seed: u64,
    probes_max: u8,
    options: [Written; 3],
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
struct Written {
    interval_ms: u16,
    transition_ms: Option<u16>,
    down_ms: Option<u16>,
    timeout_ms: u16,
    rise: u8,
    fall: u8,
    initial: u8,
    jitter: u8,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Add(u8),
    Remove(u8),
    Wait(u16),
    Jump(u64),
    Back(u32),
    Verdict(u8, u8),
    Stale(u8, u8, u8),
    Connected(u8),
    Abandon(u8),
    Suspect(u8),
    Pause(u8),
    Resume(u8),
    Settings(u8, u8),
    Leave,
}

/// What the driver knows of a check.
struct Known {
    id: CheckId,
    settings: Arc<Settings>,
    state: State,
    goods: u32,
    bads: u32,
    open: Option<ProbeId>,
    is_paused: bool,
}

impl Known {
    fn judge(&mut self, is_good: bool) {
        (self.goods, self.bads) = if is_good { (self.goods + 1, 0) } else { (0, self.bads + 1) };
        if self.goods >= self.settings.options().rise {
            self.state = State::Up;
        } else if self.bads >= self.settings.options().fall {
            self.state = State::Down;
        }
    }
}

fuzz_target!(|run: Run| {
    let mut rng = Rng::new(run.seed);
    let probes_max = u32::from(run.probes_max % 8) + 1;
    let mut schedule = Schedule::new(probes_max, &mut rng).expect("it is within the range");
    let settings =
        run.options.map(|written| Arc::new(written.options().parse().expect("it is within the ranges")));
    let mut now = Instant::START;
    let mut known: Vec<Known> = Vec::new();
    let mut gone: Vec<CheckId> = Vec::new();
    for step in run.steps {
        let pick = |at: u8| if known.is_empty() { None } else { Some(usize::from(at) % known.len()) };
        let mut is_left = false;
        match step {
            Step::Add(which) => {
                let settings = &settings[usize::from(which) % 3];
                let id = schedule.add(Arc::clone(settings), now);
                let state = schedule.check(id).expect("it was added").state();
                let settings = Arc::clone(settings);
                known.push(Known { id, settings, state, goods: 0, bads: 0, open: None, is_paused: false });
            }
            Step::Remove(at) => {
                if let Some(at) = pick(at) {
                    let check = known.swap_remove(at);
                    assert_eq!(schedule.remove(check.id), check.open);
                    gone.push(check.id);
                }
            }
            Step::Wait(millis) => now = now.saturating_add(Duration::from_millis(millis.into())),
            Step::Jump(nanos) => now = Instant::from_nanos(now.as_nanos().saturating_add(nanos)),
            Step::Back(nanos) => now = Instant::from_nanos(now.as_nanos().saturating_sub(nanos.into())),
            Step::Verdict(at, kind) => {
                if let Some(at) = pick(at)
                    && let Some(probe) = known[at].open.take()
                {
                    known[at].judge(kind % 3 == 0);
                    let verdict = match kind % 3 {
                        0 => Verdict::Good(Facts::default()),
                        1 => Verdict::Bad(Reason::new(Source::Answer, "no")),
                        _ => Verdict::TimedOut,
                    };
                    schedule.handle_verdict(known[at].id, probe, verdict, now);
                }
            }
            Step::Stale(of, at, to) => {
                if let (Some(of), Some(to)) = (pick(of), pick(to)) {
                    // A check that is gone, or the number of another one's probe.
                    let probe = known[of].open;
                    let id = gone.get(usize::from(at)).copied().unwrap_or(known[to].id);
                    if let Some(probe) = probe.filter(|probe| {
                        known.iter().all(|check| check.id != id || check.open != Some(*probe))
                    }) {
                        schedule.handle_verdict(id, probe, Verdict::Good(Facts::default()), now);
                    }
                }
            }
            Step::Connected(at) => {
                if let Some(at) = pick(at)
                    && let Some(probe) = known[at].open
                {
                    schedule.handle_connected(known[at].id, probe);
                }
            }
            Step::Abandon(at) => {
                if let Some(at) = pick(at)
                    && let Some(probe) = known[at].open.take()
                {
                    schedule.handle_abandoned(known[at].id, probe, now);
                }
            }
            Step::Suspect(at) => {
                if let Some(at) = pick(at) {
                    schedule.handle_suspicion(known[at].id, now);
                }
            }
            Step::Pause(at) => {
                if let Some(at) = pick(at) {
                    schedule.handle_pause(known[at].id);
                    known[at].is_paused = true;
                }
            }
            Step::Resume(at) => {
                if let Some(at) = pick(at) {
                    schedule.handle_resume(known[at].id, now, &mut rng);
                    if std::mem::take(&mut known[at].is_paused) {
                        (known[at].goods, known[at].bads) = (0, 0);
                    }
                }
            }
            Step::Settings(at, which) => {
                if let Some(at) = pick(at) {
                    let settings = &settings[usize::from(which) % 3];
                    schedule.set_settings(known[at].id, Arc::clone(settings), now, &mut rng);
                    known[at].settings = Arc::clone(settings);
                    (known[at].goods, known[at].bads) = (0, 0);
                }
            }
            Step::Leave => is_left = true,
        }
        if is_left {
            continue;
        }
        let timed_out: BTreeMap<CheckId, u64> =
            known.iter().map(|check| (check.id, counts(&schedule, check.id))).collect();
        schedule.handle_timeout(now, &mut rng);
        for check in &mut known {
            for _ in timed_out[&check.id]..counts(&schedule, check.id) {
                check.judge(false);
            }
        }
        while let Some(action) = schedule.poll_action() {
            let check = known.iter_mut().find(|check| check.id == action.check).expect("it is there");
            match action.action {
                Action::Start(probe) => assert_eq!(check.open.replace(probe), None),
                Action::Cancel(probe) => assert_eq!(check.open.take(), Some(probe)),
                Action::Change(change) => assert_ne!(change.from, change.to),
                Action::Facts => {}
            }
        }
        let statistics = schedule.statistics(now);
        assert!(statistics.probing <= probes_max && statistics.checks == known.len());
        assert!(statistics.waiting == 0 || statistics.probing == probes_max);
        assert_eq!(known.iter().filter(|check| check.open.is_some()).count(), statistics.probing as usize);
        for check in &known {
            let truth = schedule.check(check.id).expect("it is there");
            assert_eq!(
                (truth.state(), truth.in_a_row(), truth.probe()),
                (check.state, (check.goods, check.bads), check.open)
            );
        }
    }
});

fn counts(schedule: &Schedule, id: CheckId) -> u64 {
    schedule.check(id).expect("it is there").counts().timed_out
}

impl Written {
    fn options(&self) -> Options {
        let interval = |millis: u16| Duration::from_millis(u64::from(millis).max(50));
        Options {
            interval: interval(self.interval_ms),
            interval_transition: self.transition_ms.map(interval),
            interval_down: self.down_ms.map(interval),
            timeout: Duration::from_millis(u64::from(self.timeout_ms).max(10)),
            rise: u32::from(self.rise) % 100 + 1,
            fall: u32::from(self.fall) % 100 + 1,
            initial: Initial::NAMES[usize::from(self.initial) % 3].1,
            jitter: f64::from(self.jitter) / 510.0,
            ..Options::default()
        }
    }
}
