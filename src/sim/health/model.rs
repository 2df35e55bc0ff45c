//! What should be, worked out a second time and in another way: verdicts in a row, who serves, who may be ejected, how
//! many retries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::balance::{Admin, BackendId, BackendStatistics, Backups, Observed, Options as PoolOptions};
use crate::health::options::{Initial, Options};
use crate::health::{CheckId, ProbeId, State};
use crate::time::Instant;

/// One check as it should be.
#[derive(Clone, Debug)]
pub(super) struct Follow {
    pub(super) backend: BackendId,
    pub(super) state: State,
    pub(super) good: u32,
    pub(super) bad: u32,
    pub(super) probe: Option<Probe>,
    /// The least number that the next probe may have.
    next: u64,
    pub(super) is_paused: bool,
    /// Since when nothing keeps it from finding out how its backend is.
    pub(super) since: Instant,
    /// What the reason must say while it is down.
    pub(super) why: &'static str,
}

/// A probe under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) id: ProbeId,
    pub(super) deadline: Instant,
    /// What its reason must say, if it is bad.
    pub(super) fault: Option<&'static str>,
}

/// All checks as they should be.
#[derive(Debug)]
pub(super) struct Follows {
    pub(super) options: Options,
    pub(super) probes_max: usize,
    pub(super) all: BTreeMap<CheckId, Follow>,
    pub(super) stale: u64,
    pub(super) ups: u64,
    pub(super) downs: u64,
}

impl Follows {
    pub(super) fn add(&mut self, check: CheckId, backend: BackendId, now: Instant) {
        let state = match self.options.initial {
            Initial::Unknown => State::Unknown,
            Initial::Up => State::Up,
            Initial::Down => State::Down,
        };
        let follow = Follow {
            backend,
            state,
            good: 0,
            bad: 0,
            probe: None,
            next: 0,
            is_paused: false,
            since: now,
            why: "down until proven up",
        };
        self.all.insert(check, follow);
    }

    pub(super) fn pause(&mut self, check: CheckId, is_paused: bool, now: Instant) {
        let follow = self.all.get_mut(&check).expect("it is followed");
        if follow.is_paused == is_paused {
            return;
        }
        follow.is_paused = is_paused;
        follow.probe = None;
        follow.since = now;
        if !is_paused {
            (follow.good, follow.bad) = (0, 0);
        }
    }

    /// A probe begins.
    pub(super) fn start(
        &mut self,
        check: CheckId,
        id: ProbeId,
        fault: Option<&'static str>,
        now: Instant,
    ) -> Result<(), String> {
        let deadline = now.saturating_add(self.options.timeout);
        let follow = self.all.get_mut(&check).ok_or("a probe begins of a check that is gone")?;
        if follow.is_paused || follow.probe.is_some() || id.get() < follow.next {
            return Err(format!("probe {} begins out of turn: {follow:?}", id.get()));
        }
        follow.next = id.get() + 1;
        follow.probe = Some(Probe { id, deadline, fault });
        let probing = self.all.values().filter(|follow| follow.probe.is_some()).count();
        if probing > self.probes_max {
            return Err(format!("{probing} probes are under way, {} may be", self.probes_max));
        }
        Ok(())
    }

    /// A probe came to nothing, for a reason of our own.
    pub(super) fn abandon(&mut self, check: CheckId, now: Instant) {
        if let Some(follow) = self.all.get_mut(&check) {
            follow.probe = None;
            follow.since = now;
        }
    }

    /// A verdict comes.
    pub(super) fn verdict(&mut self, check: CheckId, id: ProbeId, is_good: bool) {
        let (rise, fall) = (self.options.rise, self.options.fall);
        let follow =
            self.all.get_mut(&check).filter(|follow| follow.probe.is_some_and(|probe| probe.id == id));
        let Some(follow) = follow else {
            self.stale += 1;
            return;
        };
        let fault = follow.probe.take().and_then(|probe| probe.fault);
        let before = follow.state;
        follow.count(is_good, rise, fall, fault.unwrap_or_default());
        self.note(before, check);
    }

    /// Time has come so far: who is silent for too long is bad.
    pub(super) fn time(&mut self, now: Instant) -> u64 {
        let (rise, fall) = (self.options.rise, self.options.fall);
        let is_over = |follow: &Follow| follow.probe.is_some_and(|probe| probe.deadline <= now);
        let over: Vec<CheckId> =
            self.all.iter().filter(|(_, follow)| is_over(follow)).map(|(&check, _)| check).collect();
        for &check in &over {
            let follow = self.all.get_mut(&check).expect("it is followed");
            let probe = follow.probe.take().expect("it is under way");
            // When the clock jumped an answer may have been there that nobody had looked at.
            let fault = probe.fault.filter(|fault| probe.deadline == now && fault.starts_with("timeout"));
            let before = follow.state;
            follow.count(false, rise, fall, fault.unwrap_or("timeout: "));
            self.note(before, check);
        }
        over.len() as u64
    }

    fn note(&mut self, before: State, check: CheckId) {
        let after = self.all[&check].state;
        self.ups += u64::from(before != after && after == State::Up);
        self.downs += u64::from(before != after && after == State::Down);
    }

    /// How long after it began to fail a backend is down at the latest.
    pub(super) fn bound(&self) -> Duration {
        let options = &self.options;
        let interval = options.interval.max(options.interval_transition.unwrap_or_default());
        let longest = interval.mul_f64(1.0 + options.jitter);
        // Beats that pass while a probe is under way are left out.
        let shortest = options.interval.min(options.interval_transition.unwrap_or(options.interval));
        let is_long = options.timeout >= shortest.mul_f64(1.0 - options.jitter);
        let gap = if is_long { longest + options.timeout } else { longest };
        gap * options.fall + options.timeout
    }
}

impl Follow {
    fn count(&mut self, is_good: bool, rise: u32, fall: u32, why: &'static str) {
        if is_good {
            (self.good, self.bad) = (self.good + 1, 0);
            if self.good >= rise {
                self.state = State::Up;
            }
        } else {
            (self.good, self.bad) = (0, self.bad + 1);
            if self.bad >= fall {
                if self.state != State::Down {
                    self.why = why;
                }
                self.state = State::Down;
            }
        }
    }
}

/// Who may be picked by what is ordered and observed, and whether a tier that serves panics.
pub(super) fn serving(options: &PoolOptions, members: &[BackendStatistics]) -> (BTreeSet<BackendId>, bool) {
    let is_usable = |member: &BackendStatistics| matches!(member.observed, Observed::Up | Observed::Unknown);
    let mut tiers: BTreeMap<u8, Vec<&BackendStatistics>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.admin == Admin::Ready) {
        tiers.entry(member.tier).or_default().push(member);
    }
    let usable = |tier: &[&BackendStatistics]| tier.iter().filter(|member| is_usable(member)).count();
    if tiers.values().all(|tier| usable(tier) == 0) {
        // All are down: the lowest tier serves whatever was observed, or nobody does.
        let opens = options.fail_open || options.panic_threshold > 0;
        return match tiers.first_key_value().filter(|_| opens) {
            Some((&number, tier)) => {
                let takes_one = number > 0 && options.backups == Backups::One;
                let count = if takes_one { 1 } else { tier.len() };
                (tier.iter().take(count).map(|member| member.id).collect(), true)
            }
            None => (BTreeSet::new(), false),
        };
    }
    let capacity = |tier: &[&BackendStatistics]| (1.4 * usable(tier) as f64 / tier.len() as f64).min(1.0);
    let all: f64 = tiers.values().map(|tier| capacity(tier)).sum();
    let mut left = 1.0;
    let (mut serving, mut panics) = (BTreeSet::new(), false);
    for (&number, tier) in &tiers {
        let part = (capacity(tier) / all.min(1.0)).min(left);
        if part <= 1e-9 {
            continue;
        }
        let takes_one = number > 0 && options.backups == Backups::One;
        let is_below = 100 * usable(tier) < options.panic_threshold as usize * tier.len();
        let is_panicking = is_below && all < 1.0 - 1e-9 && !takes_one;
        panics |= is_panicking;
        let chosen = tier.iter().filter(|member| is_panicking || is_usable(member));
        serving.extend(chosen.take(if takes_one { 1 } else { usize::MAX }).map(|member| member.id));
        if options.backups != Backups::Spill {
            break;
        }
        left -= part;
    }
    (serving, panics)
}

/// How many backends may be ejected at once.
pub(super) fn ejected_max(percent: u32, members: &[BackendStatistics]) -> usize {
    let count = members
        .iter()
        .filter(|member| member.admin == Admin::Ready && member.observed != Observed::Down)
        .count();
    match percent {
        0 => 0,
        100 => count,
        percent => (count * percent as usize / 100).max(1).min(count.saturating_sub(1)),
    }
}

/// How many retries may be in flight, while so many picks are.
pub(super) fn retries_max(options: &PoolOptions, in_flight: u64) -> u64 {
    let fixed = if options.retries_max > 0 { u64::from(options.retries_max) } else { 65_536 };
    let budget = options.retry_budget.map_or(u64::MAX, |share| {
        // In hundredths, as the shares of the worlds are.
        let hundredths = (share * 100.0).round() as u64;
        (hundredths * in_flight / 100).max(u64::from(options.retry_min))
    });
    fixed.min(budget)
}
