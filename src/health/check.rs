//! Decides whether a backend is fit to receive traffic. One [`Check`] follows one backend: the driver runs each
//! probe, reports the verdict, then takes actions until there are none left.
//!
//! ```text
//!             rise good verdicts in a row
//!            ┌──────────────────────────┐
//!  Unknown ──┤                          ├─► Up ──┐
//!            └──────────────────────────┘        │ fall bad ones in a row
//!            ┌──────────────────────────┐        │
//!  Unknown ──┤ fall bad ones in a row   ├─► Down ◄┘   and back by rise good ones
//!            └──────────────────────────┘
//! ```
//!
//! Verdicts in a row are counted, good and bad apart; one of the other sort begins the count anew. There is no
//! other way from state to state.
//!
//! A probe has a number. Only the verdict of the probe under way counts: one that comes late, twice or never was
//! asked for is ignored. A probe that is still under way at its timeout is a bad verdict, and its connection is
//! to be closed. A verdict that comes after its timeout but before [`Check::handle_timeout`] counts: a loop that
//! was late is not the backend's fault.

use std::sync::Arc;

use crate::health::facts::Facts;
use crate::health::options::{Initial, Settings};
use crate::health::probe::Progress;
use crate::health::reason::{Reason, Source};
use crate::rng::Rng;
use crate::time::Instant;

/// What a check knows of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Too little to say. Serves.
    Unknown,
    /// Fit.
    Up,
    /// Not fit.
    Down,
}

/// The number of a probe: each check counts its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(u64);

impl ProbeId {
    /// The number itself, from 0.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer was good.
    Good(Facts),
    /// The answer was not good, or there was no connection.
    Bad(Reason),
    /// There was no answer in time.
    TimedOut,
}

impl Verdict {
    /// The verdict of a dialogue that is over.
    pub fn of(progress: Progress) -> Option<Self> {
        match progress {
            Progress::More => None,
            Progress::Good(facts) => Some(Verdict::Good(facts)),
            Progress::Bad(reason) => Some(Verdict::Bad(reason)),
        }
    }
}

/// What the driver is to do, or to tell others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect and run the dialogue; then call [`Check::handle_verdict`] with this number.
    Start(ProbeId),
    /// Close the probe's connection. A verdict on it would be ignored.
    Cancel(ProbeId),
    /// The state changed.
    Change(Change),
    /// A good probe learnt something new: [`Check::facts`].
    Facts,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub at: Instant,
}

/// Why a state changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many good verdicts in a row.
    Rise(u32),
    /// So many bad verdicts in a row, of which this is the last one's reason.
    Fall(u32, Reason),
}

/// A bad verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Instant,
}

/// How many of a check's probes came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Probes begun.
    pub started: u64,
    /// Good verdicts.
    pub good: u64,
    /// Bad verdicts, timeouts included.
    pub bad: u64,
    /// Timeouts.
    pub timed_out: u64,
}

/// Follows one backend.
#[derive(Debug)]
pub struct Check {
    settings: Arc<Settings>,
    state: State,
    since: Instant,
    /// Verdicts in a row; one of the two is 0.
    good: u32,
    bad: u32,
    phase: Phase,
    /// Draws the length of the interval after this beat.
    drawn: u64,
    next_probe: u64,
    facts: Facts,
    last_change: Option<Box<Change>>,
    last_failure: Option<Box<Failure>>,
    counts: Counts,
    pending: Pending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next probe begins at `beat`; the one before it had the beat `before`.
    Waiting {
        beat: Instant,
        before: Instant,
    },
    Probing {
        probe: ProbeId,
        beat: Instant,
        deadline: Instant,
        is_connected: bool,
    },
    /// No probes until resumed.
    Paused,
}

/// Actions not taken yet. Each kind has one place, so a driver that takes none costs no memory.
#[derive(Debug, Default)]
struct Pending {
    cancel: Option<ProbeId>,
    change: Option<Box<Change>>,
    facts: bool,
    start: Option<ProbeId>,
}

impl Check {
    /// Starts in the [`Initial`] state; the first probe falls due within one `interval` of `now`.
    pub fn new(settings: Arc<Settings>, now: Instant, rng: &mut Rng) -> Self {
        let offset = rng.below(settings.interval());
        Self::beginning(settings, now, after(now, offset))
    }

    /// As [`Check::new`], with the first probe at `beat`.
    pub(super) fn beginning(settings: Arc<Settings>, now: Instant, beat: Instant) -> Self {
        let state = match settings.options().initial {
            Initial::Unknown => State::Unknown,
            Initial::Up => State::Up,
            Initial::Down => State::Down,
        };
        Self {
            settings,
            state,
            since: now,
            good: 0,
            bad: 0,
            phase: Phase::Waiting { beat, before: now },
            drawn: 0,
            next_probe: 0,
            facts: Facts::default(),
            last_change: None,
            last_failure: None,
            counts: Counts::default(),
            pending: Pending::default(),
        }
    }

    /// Takes the outcome of the probe numbered `probe`. A verdict for an older probe is ignored.
    pub fn handle_verdict(&mut self, probe: ProbeId, verdict: Verdict, now: Instant) {
        let Phase::Probing { probe: current, beat, is_connected, .. } = self.phase else { return };
        if probe != current {
            return;
        }
        match verdict {
            Verdict::Good(facts) => {
                let objection = self.settings.objection(&facts);
                if facts != self.facts {
                    self.facts = facts;
                    self.pending.facts = true;
                }
                match objection {
                    None => self.count_good(now),
                    Some(reason) => self.count_bad(reason, now),
                }
            }
            Verdict::Bad(reason) => self.count_bad(reason, now),
            Verdict::TimedOut => self.time_out(is_connected, now),
        }
        self.wait(beat, now);
    }

    /// The probe has its connection; should it time out now, the answer is what was missing.
    pub fn handle_connected(&mut self, probe: ProbeId) {
        if let Phase::Probing { probe: current, is_connected, .. } = &mut self.phase
            && *current == probe
        {
            *is_connected = true;
        }
    }

    /// The probe could not be made for a reason of our own, such as a want of descriptors. It is no verdict;
    /// the next beat tries again.
    pub fn handle_abandoned(&mut self, probe: ProbeId, now: Instant) {
        if let Phase::Probing { probe: current, beat, .. } = self.phase
            && current == probe
        {
            self.wait(beat, now);
        }
    }

    /// Traffic gave cause for doubt: the next probe comes as soon as `interval_transition` allows. It is no
    /// verdict, and however often it is said the backend is not asked more often than that.
    pub fn handle_suspicion(&mut self, now: Instant) {
        let Phase::Waiting { beat, before } = self.phase else { return };
        let soon = self.settings.interval_in(State::Unknown, false);
        let sooner = after(before, self.settings.stretch(soon, self.drawn)).max(now);
        self.phase = Phase::Waiting { beat: beat.min(sooner), before };
    }

    /// Stops probing, for as long as the backend is in maintenance. The state stays as it is.
    pub fn handle_pause(&mut self) {
        self.abort();
        self.phase = Phase::Paused;
    }

    /// Probes again; verdicts in a row are counted anew.
    pub fn handle_resume(&mut self, now: Instant, rng: &mut Rng) {
        if self.phase == Phase::Paused {
            self.begin_anew(now, rng);
        }
    }

    /// Other settings from now on. The state stays as it is, whatever `initial` says; verdicts in a row are
    /// counted anew, and a probe under way is given up.
    pub fn set_settings(&mut self, settings: Arc<Settings>, now: Instant, rng: &mut Rng) {
        self.settings = settings;
        if self.phase == Phase::Paused {
            (self.good, self.bad) = (0, 0);
            return;
        }
        self.abort();
        self.begin_anew(now, rng);
    }

    /// Does what is due at or before `now`. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        if let Phase::Probing { beat, deadline, is_connected, .. } = self.phase
            && now >= deadline
        {
            self.abort();
            self.time_out(is_connected, now);
            self.wait(beat, now);
            // The next beat is yet to come; and whoever bounds probes decides whether it may.
            return;
        }
        if let Phase::Waiting { beat, .. } = self.phase
            && now >= beat
        {
            let probe = ProbeId(self.next_probe);
            self.next_probe += 1;
            self.drawn = rng.next_u64();
            self.counts.started += 1;
            let deadline = now.saturating_add(self.settings.options().timeout);
            self.phase = Phase::Probing { probe, beat, deadline, is_connected: false };
            self.pending.start = Some(probe);
        }
    }

    /// The oldest action not yet taken, or `None` when the driver may wait. A change that follows an untaken one
    /// takes its place, and keeps the state before.
    pub fn poll_action(&mut self) -> Option<Action> {
        let pending = &mut self.pending;
        if let Some(probe) = pending.cancel.take() {
            return Some(Action::Cancel(probe));
        }
        if let Some(change) = pending.change.take() {
            return Some(Action::Change(*change));
        }
        if std::mem::take(&mut pending.facts) {
            return Some(Action::Facts);
        }
        pending.start.take().map(Action::Start)
    }

    /// Whether [`Check::poll_action`] has one.
    pub(super) fn has_action(&self) -> bool {
        let Pending { cancel, change, facts, start } = &self.pending;
        cancel.is_some() || change.is_some() || *facts || start.is_some()
    }

    /// Ends the check: the probe whose connection is to be closed, if there is one.
    pub(super) fn end(mut self) -> Option<ProbeId> {
        self.abort();
        self.pending.cancel
    }

    /// When `handle_timeout` is next needed; `None` while paused.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { beat, .. } => Some(beat),
            Phase::Probing { deadline, .. } => Some(deadline),
            Phase::Paused => None,
        }
    }

    /// What is known of the backend.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when it is in this state.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Verdicts in a row: good, bad. One of the two is 0.
    pub fn in_a_row(&self) -> (u32, u32) {
        (self.good, self.bad)
    }

    /// What the last good probe learnt.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The last change of state.
    pub fn last_change(&self) -> Option<&Change> {
        self.last_change.as_deref()
    }

    /// The last bad verdict, though good ones may have followed.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_deref()
    }

    /// How many probes came to what.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What it runs by.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The probe under way.
    pub fn probe(&self) -> Option<ProbeId> {
        match self.phase {
            Phase::Probing { probe, .. } => Some(probe),
            _ => None,
        }
    }

    fn count_good(&mut self, now: Instant) {
        self.counts.good += 1;
        self.bad = 0;
        self.good = self.good.saturating_add(1);
        if self.good >= self.settings.options().rise {
            self.change(State::Up, Cause::Rise(self.good), now);
        }
    }

    fn count_bad(&mut self, reason: Reason, now: Instant) {
        self.counts.bad += 1;
        self.good = 0;
        self.bad = self.bad.saturating_add(1);
        if self.bad >= self.settings.options().fall {
            self.change(State::Down, Cause::Fall(self.bad, reason.clone()), now);
        }
        self.last_failure = Some(Box::new(Failure { reason, at: now }));
    }

    fn time_out(&mut self, is_connected: bool, now: Instant) {
        self.counts.timed_out += 1;
        let what = if is_connected { "connected, but no answer" } else { "no connection" };
        let timeout = self.settings.options().timeout;
        self.count_bad(Reason::new(Source::Timeout, format!("{what} within {timeout:?}")), now);
    }

    fn change(&mut self, to: State, cause: Cause, now: Instant) {
        if self.state == to {
            return;
        }
        let change = Change { from: self.state, to, cause, at: now };
        self.state = to;
        self.since = now;
        let from = self.pending.change.as_ref().map_or(change.from, |untaken| untaken.from);
        self.pending.change =
            Some(Box::new(Change { from, ..change.clone() })).filter(|change| change.from != to);
        self.last_change = Some(Box::new(change));
    }

    /// Whether the last verdict agrees with the state.
    fn is_settled(&self) -> bool {
        match self.state {
            State::Up => self.bad == 0,
            State::Down => self.good == 0,
            State::Unknown => false,
        }
    }

    /// The probe of `beat` is over: the next one comes an interval after that beat. Beats that were missed
    /// meanwhile are left out, so checks that once were apart stay apart.
    fn wait(&mut self, beat: Instant, now: Instant) {
        let usual = self.settings.interval_in(self.state, self.is_settled());
        let interval = self.settings.stretch(usual, self.drawn).max(1);
        let since = now.nanos_since(beat);
        let beats = since / interval + 1;
        self.phase = Phase::Waiting { beat: after(beat, beats.saturating_mul(interval)), before: beat };
        self.pending.start = None;
    }

    /// Gives up the probe under way.
    fn abort(&mut self) {
        let Phase::Probing { probe, .. } = self.phase else { return };
        // One that nobody began needs no end.
        if self.pending.start.take().is_none() {
            self.pending.cancel = Some(probe);
        }
    }

    fn begin_anew(&mut self, now: Instant, rng: &mut Rng) {
        (self.good, self.bad) = (0, 0);
        self.drawn = rng.next_u64();
        let offset = rng.below(self.settings.interval_in(State::Unknown, false));
        self.phase = Phase::Waiting { beat: after(now, offset), before: now };
    }
}

/// The moment so many nanoseconds later, at most the last one that fits.
fn after(now: Instant, nanos: u64) -> Instant {
    Instant::from_nanos(now.as_nanos().saturating_add(nanos))
}

#[cfg(test)]
mod tests;
