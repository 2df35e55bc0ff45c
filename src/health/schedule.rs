//! [`Schedule`]: the checks of one worker. It says which probe begins when, and keeps their number within a
//! bound.
//!
//! | option | unit | range | default | why that default |
//! |---|---|---|---|---|
//! | `probes_max` | probes | 1 to 65,536 | 1,024 | each holds a descriptor; enough for 10,000 checks at 2 s of which one in six runs into a timeout of 1 s |
//!
//! **Spread.** First probes are placed over one interval by the golden ratio, which keeps any number of them about
//! evenly apart (Slater's three-gap theorem; `balance::draw` uses the same). From then on each check keeps to its
//! own beats, which the jitter moves little by little. So probes begin evenly, and even after a loop stood still:
//! what is overdue begins at once, within the bound, and the beats after that are where they would have been. The
//! bound that the tests hold 10,000 checks at 2 s to: no 10 ms begin more than 100 probes, twice the mean.
//!
//! **Bound.** While `probes_max` probes are under way nothing begins. What is due waits, the longest overdue first,
//! so no check is left out; an interval is then as long as it takes. [`Schedule::statistics`] tells how many wait.
//!
//! **Cost.** O(log n) for each event; O(1) for an action.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::health::check::{self, Check, ProbeId, Verdict};
use crate::health::options::Settings;
use crate::rng::{self, Rng};
use crate::time::Instant;

/// The most that `probes_max` can be.
pub const PROBES_MAX: u32 = 65_536;
/// The default of `probes_max`.
pub const PROBES_DEFAULT: u32 = 1024;

/// Names a check within its schedule; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId {
    slot: u32,
    generation: u32,
}

/// What the driver is to do for a check, or to tell others of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Whose check.
    pub check: CheckId,
    /// What.
    pub action: check::Action,
}

/// How a schedule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Checks, paused ones included.
    pub checks: usize,
    /// Probes under way.
    pub probing: u32,
    /// Probes that are due and wait for another one to end.
    pub waiting: usize,
    /// How long the longest waits already, in nanoseconds.
    pub overdue_nanos: u64,
}

/// The checks of one worker.
#[derive(Debug)]
pub struct Schedule {
    slots: Vec<Slot>,
    free: Vec<u32>,
    checks: usize,
    /// Checks that wait for their beat, the soonest first.
    beats: BTreeSet<(Instant, u32)>,
    /// Checks with a probe under way, by their timeout.
    timeouts: BTreeSet<(Instant, u32)>,
    /// Slots whose checks have actions, each once.
    active: VecDeque<u32>,
    probes_max: u32,
    /// Where the next first probe is placed, as a share of 2^64 of its interval.
    phase: u64,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
    /// Whether it is among the active ones.
    is_active: bool,
}

#[derive(Debug)]
struct Entry {
    check: Check,
    queued: Queued,
}

/// Where a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queued {
    Nowhere,
    Beat(Instant),
    Timeout(Instant),
}

impl Schedule {
    /// A schedule of at most `probes_max` probes at once.
    pub fn new(probes_max: u32, rng: &mut Rng) -> Result<Self> {
        if !(1..=PROBES_MAX).contains(&probes_max) {
            return Err(Error::invalid("probes_max", format!("{probes_max} is outside 1 to {PROBES_MAX}")));
        }
        Ok(Self {
            slots: Vec::new(),
            free: Vec::new(),
            checks: 0,
            beats: BTreeSet::new(),
            timeouts: BTreeSet::new(),
            active: VecDeque::new(),
            probes_max,
            phase: rng.next_u64(),
        })
    }

    /// Adds a check, whose first probe falls due within one interval of `now`.
    pub fn add(&mut self, settings: Arc<Settings>, now: Instant) -> CheckId {
        self.phase = self.phase.wrapping_add(rng::GAMMA);
        let offset = rng::below(self.phase, settings.interval());
        let beat = Instant::from_nanos(now.as_nanos().saturating_add(offset));
        let entry = Entry { check: Check::beginning(settings, now, beat), queued: Queued::Nowhere };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None, is_active: false });
            u32::try_from(self.slots.len() - 1).expect("memory ends before 2^32 checks")
        });
        let place = &mut self.slots[slot as usize];
        place.entry = Some(entry);
        let id = CheckId { slot, generation: place.generation };
        self.checks += 1;
        self.settle(slot);
        id
    }

    /// Removes a check; actions of it that were not taken are gone. Gives the probe whose connection is to be
    /// closed, if there is one.
    pub fn remove(&mut self, id: CheckId) -> Option<ProbeId> {
        self.entry(id)?;
        let place = &mut self.slots[id.slot as usize];
        let entry = place.entry.take()?;
        // A generation that came round would let an old number name a new check: the slot is given up.
        if let Some(next) = place.generation.checked_add(1) {
            place.generation = next;
            self.free.push(id.slot);
        }
        self.checks -= 1;
        self.take_out(id.slot, entry.queued);
        entry.check.end()
    }

    /// As [`Check::handle_verdict`].
    pub fn handle_verdict(&mut self, id: CheckId, probe: ProbeId, verdict: Verdict, now: Instant) {
        self.change(id, |check| check.handle_verdict(probe, verdict, now));
    }

    /// As [`Check::handle_connected`].
    pub fn handle_connected(&mut self, id: CheckId, probe: ProbeId) {
        self.change(id, |check| check.handle_connected(probe));
    }

    /// As [`Check::handle_abandoned`].
    pub fn handle_abandoned(&mut self, id: CheckId, probe: ProbeId, now: Instant) {
        self.change(id, |check| check.handle_abandoned(probe, now));
    }

    /// As [`Check::handle_suspicion`].
    pub fn handle_suspicion(&mut self, id: CheckId, now: Instant) {
        self.change(id, |check| check.handle_suspicion(now));
    }

    /// As [`Check::handle_pause`].
    pub fn handle_pause(&mut self, id: CheckId) {
        self.change(id, Check::handle_pause);
    }

    /// As [`Check::handle_resume`].
    pub fn handle_resume(&mut self, id: CheckId, now: Instant, rng: &mut Rng) {
        self.change(id, |check| check.handle_resume(now, rng));
    }

    /// As [`Check::set_settings`].
    pub fn set_settings(&mut self, id: CheckId, settings: Arc<Settings>, now: Instant, rng: &mut Rng) {
        self.change(id, |check| check.set_settings(settings, now, rng));
    }

    /// Does what is due at or before `now`: ends probes that took too long, begins those that are due, as many
    /// as may be under way. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        while let Some(&(deadline, slot)) = self.timeouts.first()
            && deadline <= now
        {
            self.turn(slot, now, rng);
        }
        while let Some(&(beat, slot)) = self.beats.first()
            && beat <= now
            && self.has_room()
        {
            self.turn(slot, now, rng);
        }
    }

    /// The next action of any check, or `None` when the driver may wait. Those of one check come in its order.
    pub fn poll_action(&mut self) -> Option<Action> {
        while let Some(&slot) = self.active.front() {
            let place = &mut self.slots[slot as usize];
            if let Some(entry) = &mut place.entry
                && let Some(action) = entry.check.poll_action()
            {
                let check = CheckId { slot, generation: place.generation };
                return Some(Action { check, action });
            }
            place.is_active = false;
            self.active.pop_front();
        }
        None
    }

    /// When `handle_timeout` is next needed, the past included; `None` while nothing is pending. While no more
    /// probes may begin that is when one of them takes too long; any other end changes it.
    pub fn next_deadline(&self) -> Option<Instant> {
        let timeout = self.timeouts.first().map(|(deadline, _)| *deadline);
        let beat = self.beats.first().map(|(beat, _)| *beat).filter(|_| self.has_room());
        match (timeout, beat) {
            (Some(timeout), Some(beat)) => Some(timeout.min(beat)),
            (one, other) => one.or(other),
        }
    }

    /// A check, to be looked at.
    pub fn check(&self, id: CheckId) -> Option<&Check> {
        self.entry(id).map(|entry| &entry.check)
    }

    /// How it does at `now`. O(checks that wait).
    pub fn statistics(&self, now: Instant) -> Statistics {
        Statistics {
            checks: self.checks,
            probing: self.probing(),
            waiting: self.beats.iter().take_while(|(beat, _)| *beat <= now).count(),
            overdue_nanos: self.beats.first().map_or(0, |(beat, _)| now.nanos_since(*beat)),
        }
    }

    fn probing(&self) -> u32 {
        u32::try_from(self.timeouts.len()).expect("probes_max bounds it")
    }

    fn has_room(&self) -> bool {
        self.probing() < self.probes_max
    }

    fn entry(&self, id: CheckId) -> Option<&Entry> {
        let place = self.slots.get(id.slot as usize)?;
        place.entry.as_ref().filter(|_| place.generation == id.generation)
    }

    /// Lets something happen to a check; nothing when it is gone.
    fn change(&mut self, id: CheckId, event: impl FnOnce(&mut Check)) {
        if self.entry(id).is_none() {
            return;
        }
        if let Some(entry) = &mut self.slots[id.slot as usize].entry {
            event(&mut entry.check);
        }
        self.settle(id.slot);
    }

    fn turn(&mut self, slot: u32, now: Instant, rng: &mut Rng) {
        if let Some(entry) = &mut self.slots[slot as usize].entry {
            entry.check.handle_timeout(now, rng);
        }
        self.settle(slot);
    }

    /// A check was changed: puts it where it belongs now.
    fn settle(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        let Some(entry) = &mut place.entry else { return };
        if entry.check.has_action() && !std::mem::replace(&mut place.is_active, true) {
            self.active.push_back(slot);
        }
        let queued = match entry.check.next_deadline() {
            None => Queued::Nowhere,
            Some(deadline) if entry.check.probe().is_some() => Queued::Timeout(deadline),
            Some(beat) => Queued::Beat(beat),
        };
        let before = std::mem::replace(&mut entry.queued, queued);
        if before == queued {
            return;
        }
        self.take_out(slot, before);
        match queued {
            Queued::Nowhere => {}
            Queued::Beat(beat) => assert!(self.beats.insert((beat, slot)), "a check waits once"),
            Queued::Timeout(deadline) => {
                assert!(self.timeouts.insert((deadline, slot)), "a check probes once")
            }
        }
    }

    fn take_out(&mut self, slot: u32, queued: Queued) {
        let was_there = match queued {
            Queued::Nowhere => true,
            Queued::Beat(beat) => self.beats.remove(&(beat, slot)),
            Queued::Timeout(deadline) => self.timeouts.remove(&(deadline, slot)),
        };
        assert!(was_there, "a check stands where it says");
    }
}

#[cfg(test)]
mod tests;
