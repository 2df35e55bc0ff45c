//! Outlier ejection: who fails more than others is set aside for a while. The judgement is
//! [`health::passive`](crate::health::passive)'s; here is what feeds it and what follows from it.
//!
//! Threads count as they report: totals on their lanes, errors in a row in one word per backend, which a success
//! only reads while there are none. The detector is part of the member table: it judges in a change of the pool,
//! on a copy, and what it decides takes effect together with it. So its cap holds whatever other threads change
//! meanwhile, no lock exists, and a child made by `fork` goes on from a whole table.
//!
//! It looks after the backends that are ready and usable, or ejected by itself: one that is down, drained or
//! ejected by somebody else is none of its own, so the last one that serves is not ejected. Whoever reports the
//! error that makes too many in a row judges at once, unless that was done a moment ago; else whoever picks or
//! reports first after a deadline.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::balance::backend::{Admin, BackendId};
use crate::balance::chunks::Chunks;
use crate::balance::member::Member;
use crate::balance::options::Options;
use crate::balance::pick::Outcome;
use crate::health::passive::{Action, Detector, EjectCause, Tally};
use crate::rng::{self, Rng};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::Instant;

/// What threads share about it.
#[derive(Debug)]
pub(crate) struct Outliers {
    /// So many errors in a row are to be judged at once.
    limit: u32,
    /// When to judge next.
    due: AtomicU64,
    /// Before that it is too soon, even for errors in a row.
    earliest: AtomicU64,
    streaks: Chunks<CachePadded<Streak>>,
}

/// Errors of one backend in a row.
#[derive(Debug, Default)]
struct Streak {
    now: AtomicU32,
    /// The most since it was judged.
    most: AtomicU32,
}

/// Errors in a row, taken out to be judged.
pub(crate) struct Streaks(Vec<(BackendId, u32, u32)>);

impl Outliers {
    /// `None` when nobody is to be ejected.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        Some(Self {
            limit: options.outlier.as_ref()?.consecutive_errors.unwrap_or(u32::MAX),
            due: AtomicU64::new(u64::MAX),
            earliest: AtomicU64::new(0),
            streaks: Chunks::new(),
        })
    }

    pub(crate) fn grow(&self, slots: u32) {
        self.streaks.grow(slots);
    }

    /// Forgets errors in a row.
    pub(crate) fn reset(&self, slot: u32) {
        let streak = self.streaks.at(slot);
        streak.now.store(0, Ordering::Relaxed);
        streak.most.store(0, Ordering::Relaxed);
    }

    /// Errors in a row, now.
    pub(crate) fn errors(&self, slot: u32) -> u32 {
        self.streaks.at(slot).now.load(Ordering::Relaxed)
    }

    /// Counts how a pick went.
    #[inline]
    pub(crate) fn count(&self, slot: u32, outcome: Outcome, now: Instant) {
        let streak = self.streaks.at(slot);
        match outcome {
            Outcome::Cancelled => {}
            Outcome::Success => {
                if streak.now.load(Ordering::Relaxed) != 0 {
                    streak.now.store(0, Ordering::Relaxed);
                }
            }
            Outcome::ConnectFailed | Outcome::Failed | Outcome::TimedOut => self.count_error(streak, now),
        }
    }

    #[cold]
    fn count_error(&self, streak: &Streak, now: Instant) {
        let errors = streak.now.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        streak.most.fetch_max(errors, Ordering::Relaxed);
        if errors == self.limit {
            let due = now.as_nanos().max(self.earliest.load(Ordering::Relaxed));
            self.due.fetch_min(due, Ordering::AcqRel);
        }
    }

    /// When to judge next.
    #[inline]
    pub(crate) fn due(&self) -> Instant {
        Instant::from_nanos(self.due.load(Ordering::Relaxed))
    }

    /// Makes the caller the one to judge at `now`, and gives what [`settle`](Self::settle) takes. If it never gets
    /// there, in a process that forked meanwhile, another one may after [`HELD`].
    pub(crate) fn claim(&self, now: Instant) -> Option<u64> {
        let due = self.due.load(Ordering::Acquire);
        let held = now.saturating_add(HELD).as_nanos();
        let is_ours = now.as_nanos() >= due
            && self.due.compare_exchange(due, held, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        is_ours.then_some(held)
    }

    /// Takes the errors in a row out.
    pub(crate) fn take(&self, members: &[Arc<Member>]) -> Streaks {
        let take = |member: &Arc<Member>| {
            let streak = self.streaks.at(member.slot);
            (member.id, streak.now.load(Ordering::Relaxed), streak.most.swap(0, Ordering::Relaxed))
        };
        Streaks(members.iter().map(take).collect())
    }

    /// The judgement `claimed` is done: it is next due at `next`, or sooner if somebody asked for it meanwhile.
    pub(crate) fn settle(&self, claimed: u64, backends: usize, next: Option<Instant>, now: Instant) {
        let rest = Duration::from_nanos(REST_NANOS.saturating_mul(backends as u64));
        self.earliest.store(now.saturating_add(rest).as_nanos(), Ordering::Relaxed);
        let next = next.map_or(u64::MAX, Instant::as_nanos);
        let _ = self.due.compare_exchange(claimed, next, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The pool went from one table to the next.
    pub(crate) fn changed(&self, before: &[Arc<Member>], after: &[Arc<Member>], next: Option<Instant>) {
        for member in before.iter().filter(|member| member.observation.is_set_aside()) {
            let is_back = |at: usize| !after[at].observation.is_set_aside();
            if after.binary_search_by_key(&member.id, |member| member.id).is_ok_and(is_back) {
                self.reset(member.slot);
            }
        }
        if let Some(next) = next {
            self.due.fetch_min(next.as_nanos(), Ordering::AcqRel);
        }
    }
}

impl Streaks {
    fn of(&self, id: BackendId) -> (u32, u32) {
        let at = self.0.binary_search_by_key(&id, |(id, ..)| *id);
        at.map_or((0, 0), |at| (self.0[at].1, self.0[at].2))
    }
}

/// The detector and what it was told so far.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    detector: Detector,
    known: Vec<Known>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    id: BackendId,
    slot: u32,
    counted: Counted,
}

/// Outcomes of a slot, ever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
}

impl Judge {
    /// `None` when nobody is to be ejected.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        let detector = Detector::new(options.outlier.clone()?, Instant::START);
        Some(Self {
            detector: detector.expect("the options of a pool are checked when it is made"),
            known: Vec::new(),
            rng: Rng::new(rng::mix(options.seed ^ STREAM)),
        })
    }

    /// How the detector does.
    pub(crate) fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Whether who is looked after and who is set aside agree with the list.
    pub(crate) fn agrees(&self, members: &[Arc<Member>]) -> bool {
        let wanted = members.iter().filter(|member| is_looked_after(member));
        wanted.clone().map(|member| member.id).eq(self.known.iter().map(|known| known.id))
            && wanted.into_iter().all(|member| {
                self.detector.is_ejected(member.id.as_u64()) == member.observation.is_set_aside()
            })
    }

    /// Follows the list: whoever left it is forgotten, who is new begins, and who was taken back by somebody else is
    /// no longer ejected.
    pub(crate) fn follow(&mut self, members: &[Arc<Member>], counted: impl Fn(u32) -> Counted) {
        let wanted: Vec<&Arc<Member>> = members.iter().filter(|member| is_looked_after(member)).collect();
        let is_wanted = |id: BackendId| wanted.binary_search_by_key(&id, |member| member.id).is_ok();
        for gone in self.known.iter().filter(|known| !is_wanted(known.id)) {
            self.detector.remove(gone.id.as_u64());
        }
        let mut known = Vec::with_capacity(wanted.len());
        for member in wanted {
            let (id, slot) = (member.id, member.slot);
            match self.known.binary_search_by_key(&id, |known| known.id) {
                Ok(at) => known.push(self.known[at]),
                Err(_) => {
                    self.detector.add(id.as_u64(), &mut self.rng);
                    known.push(Known { id, slot, counted: counted(slot) });
                }
            }
            if !member.observation.is_set_aside() && self.detector.is_ejected(id.as_u64()) {
                self.detector.handle_check_passed(id.as_u64());
            }
        }
        self.known = known;
    }

    /// Tells the detector what was counted since the last time.
    pub(crate) fn feed(&mut self, streaks: &Streaks, counted: impl Fn(u32) -> Counted, now: Instant) {
        for known in &mut self.known {
            let next = counted(known.slot);
            let (errors, errors_most) = streaks.of(known.id);
            let tally = Tally {
                successes: next.successes.saturating_sub(known.counted.successes),
                failures: next.failures.saturating_sub(known.counted.failures),
                errors,
                errors_most: errors_most.max(errors),
            };
            known.counted = Counted {
                // What is under way may be seen failed and not yet done.
                successes: next.successes.max(known.counted.successes),
                failures: next.failures,
            };
            self.detector.handle_tally(known.id.as_u64(), tally, now);
        }
        self.detector.handle_timeout(now);
    }

    /// What is to be done to which backend, in order.
    pub(crate) fn decide(&mut self) -> Vec<(BackendId, Decision)> {
        std::iter::from_fn(|| self.detector.poll_action())
            .map(|action| match action {
                Action::Eject { backend, cause, .. } => (backend, Decision::SetAside(reason(cause))),
                Action::Restore { backend, .. } => (backend, Decision::TakeBack),
            })
            .map(|(backend, decision)| (BackendId::from_u64(backend), decision))
            .collect()
    }
}

/// What follows for one backend.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is ejected, for this reason.
    SetAside(String),
    TakeBack,
}

/// Whether the detector looks after it.
fn is_looked_after(member: &Member) -> bool {
    member.is_usable() || (member.admin == Admin::Ready && member.observation.is_set_aside())
}

fn reason(cause: EjectCause) -> String {
    match cause {
        EjectCause::ConsecutiveErrors(errors) => format!("{errors} errors in a row"),
        EjectCause::SuccessRate { rate, threshold } => {
            format!("a success rate of {rate:.1} %, below {threshold:.1} %")
        }
        EjectCause::FailurePercentage { percent } => format!("failed in {percent:.1} %"),
    }
}

/// For how long a judgement is one caller's.
const HELD: Duration = Duration::from_millis(100);
/// From one judgement to the next there are so many nanoseconds for each backend, so that errors in a row, however
/// many, cost a small part of a thread.
const REST_NANOS: u64 = 20_000;
/// Sets the draws of the detector apart from others of the same seed.
const STREAM: u64 = 0x6f75_746c_6965_7273;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::health::passive;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn outliers() -> Outliers {
        let outlier = passive::Options { consecutive_errors: Some(2), ..passive::Options::default() };
        let outliers = Outliers::new(&Options { outlier: Some(outlier), ..Options::default() }).unwrap();
        outliers.grow(1);
        outliers
    }

    #[test]
    fn errors_in_a_row_ask_for_a_judgement_and_not_too_often() {
        let outliers = outliers();
        let fail = |now| outliers.count(0, Outcome::Failed, now);
        fail(at(1_000));
        assert_eq!(outliers.claim(at(1_000)), None);
        fail(at(1_000));
        let claimed = outliers.claim(at(1_000)).unwrap();
        assert_eq!(outliers.claim(at(1_000)), None, "one caller judges");
        outliers.settle(claimed, 100, Some(at(9_000)), at(1_000));
        assert_eq!(outliers.due(), at(9_000));
        outliers.count(0, Outcome::Success, at(1_001));
        outliers.count(0, Outcome::Cancelled, at(1_001));
        assert_eq!(outliers.errors(0), 0);
        fail(at(1_001));
        fail(at(1_001));
        assert_eq!(outliers.due(), at(1_002), "a hundred backends rest for two milliseconds");
    }

    /// A caller that never comes to its end, as in a child made by `fork`, holds nobody up for long.
    #[test]
    fn a_claim_that_came_to_nothing_is_taken_again() {
        let outliers = outliers();
        outliers.due.store(0, Ordering::Relaxed);
        let lost = outliers.claim(at(1_000)).unwrap();
        assert_eq!(outliers.claim(at(1_099)), None);
        let claimed = outliers.claim(at(1_100)).unwrap();
        // And when it comes to its end after all, it does not take the other's deadline away.
        outliers.settle(lost, 1, None, at(1_100));
        assert_eq!(outliers.due(), at(1_200));
        outliers.settle(claimed, 1, Some(at(5_000)), at(1_100));
        assert_eq!(outliers.due(), at(5_000));
    }

    /// What comes while a judgement is under way is looked at after it.
    #[test]
    fn errors_during_a_judgement_are_not_lost() {
        let outliers = outliers();
        outliers.due.store(0, Ordering::Relaxed);
        let claimed = outliers.claim(at(1_000)).unwrap();
        outliers.count(0, Outcome::Failed, at(1_001));
        outliers.count(0, Outcome::Failed, at(1_001));
        outliers.settle(claimed, 1, Some(at(9_000)), at(1_000));
        assert_eq!(outliers.due(), at(1_001));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::health::passive;
    use loom::sync::Arc;
    use loom::thread;

    /// An error that comes while others are judged is judged with them or asks for the next judgement.
    #[test]
    fn loom_no_error_is_forgotten() {
        loom::model(|| {
            let outlier = passive::Options { consecutive_errors: Some(1), ..passive::Options::default() };
            let options = Options { outlier: Some(outlier), ..Options::default() };
            let outliers = Arc::new(Outliers::new(&options).unwrap());
            outliers.grow(1);
            outliers.due.store(0, Ordering::Relaxed);
            let (now, later) = (Instant::from_millis(10), Instant::from_millis(100_000));
            let judge = {
                let outliers = Arc::clone(&outliers);
                thread::spawn(move || {
                    let claimed = outliers.claim(now)?;
                    let seen = outliers.streaks.at(0).most.swap(0, Ordering::Relaxed);
                    outliers.settle(claimed, 1, Some(later), now);
                    Some(seen)
                })
            };
            outliers.count(0, Outcome::Failed, now);
            let seen = judge.join().unwrap();
            assert!(seen == Some(1) || outliers.due() < later, "{seen:?}");
        });
    }
}
