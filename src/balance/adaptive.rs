//! Adaptive limits in a pool: response times in, limits out. The algorithm is `gradient.rs`'s.
//!
//! Threads that report write a response time into a ring of its backend. Whoever picks or reports first after a
//! window is over takes it: O(backends) for that one caller. What the gradients know is one value that is replaced
//! whole, so nobody waits, and a child made by `fork` goes on with it.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::balance::backend::BackendId;
use crate::balance::chunks::Chunks;
use crate::balance::gradient::{Adaptive, Gradient, SAMPLES, Scope, TIMED_OUT, Window};
use crate::balance::options::Options;
use crate::balance::pick::{Outcome, Timings};
use crate::rng::{self, Rng};
use crate::sync::{AtomicU64, Ordering, Swap};
use crate::time::Instant;

/// What threads share about it.
pub(crate) struct Limiter {
    options: Adaptive,
    /// When a window is over; `u64::MAX` while nothing came in.
    due: AtomicU64,
    state: Swap<State>,
    /// By slot, or the first for the pool.
    recent: Chunks<CachePadded<Recent>>,
}

/// The last response times.
#[derive(Debug)]
struct Recent {
    /// How many came, ever.
    count: AtomicU64,
    /// How many of them were of the slot's last owner.
    of_last_owner: AtomicU64,
    nanos: [AtomicU64; SAMPLES],
}

/// What the gradients know, by slot.
#[derive(Clone)]
struct State {
    gradients: Vec<Option<Known>>,
    rng: Rng,
}

#[derive(Clone)]
struct Known {
    /// Whose it is; none for the pool.
    id: Option<BackendId>,
    gradient: Gradient,
    /// How many response times it has seen.
    seen: u64,
}

/// Whose limit it is.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) slot: u32,
    pub(crate) id: Option<BackendId>,
    pub(crate) in_flight: u32,
}

impl Limiter {
    /// `None` when limits are fixed.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        let adaptive = options.adaptive?;
        let state = State { gradients: Vec::new(), rng: Rng::new(rng::mix(options.seed ^ STREAM)) };
        let limiter = Self {
            options: adaptive,
            due: AtomicU64::new(u64::MAX),
            state: Swap::new(Arc::new(state)),
            recent: Chunks::new(),
        };
        limiter.recent.grow(1);
        Some(limiter)
    }

    pub(crate) fn grow(&self, slots: u32) {
        if self.options.scope == Scope::Backend {
            self.recent.grow(slots);
        }
    }

    /// The slot has another owner.
    pub(crate) fn restart(&self, slot: u32) {
        if self.options.scope == Scope::Backend {
            let recent = self.recent.at(slot);
            recent.of_last_owner.store(recent.count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Whether the pool has one limit for all.
    pub(crate) fn is_for_the_pool(&self) -> bool {
        self.options.scope == Scope::Pool
    }

    /// The limit of whoever nothing is known of.
    pub(crate) fn first(&self) -> u32 {
        self.options.min
    }

    /// Takes in how a pick went: the time to the first byte, else to the connection, else to the end.
    #[inline]
    pub(crate) fn count(&self, slot: u32, outcome: Outcome, timings: &Timings, now: Instant) {
        let nanos = match outcome {
            Outcome::Success => timings.first_byte.or(timings.connect).or(timings.total),
            Outcome::TimedOut => Some(TIMED_OUT),
            Outcome::ConnectFailed | Outcome::Failed | Outcome::Cancelled => None,
        };
        let Some(nanos) = nanos else { return };
        let recent = self.recent.at(if self.is_for_the_pool() { 0 } else { slot });
        let place = recent.count.fetch_add(1, Ordering::Relaxed);
        recent.nanos[place as usize % SAMPLES].store(nanos, Ordering::Relaxed);
        if self.due.load(Ordering::Relaxed) == u64::MAX {
            let over = now.saturating_add(self.options.window).as_nanos();
            self.due.fetch_min(over, Ordering::Relaxed);
        }
    }

    /// When a window is over.
    #[inline]
    pub(crate) fn due(&self) -> Instant {
        Instant::from_nanos(self.due.load(Ordering::Relaxed))
    }

    /// Makes the caller the one to take the window that is over at `now`, and gives what [`run`](Self::run) takes.
    /// Whoever never comes to its end, in a process that forked meanwhile, delays the next by one window.
    pub(crate) fn claim(&self, now: Instant) -> Option<u64> {
        let due = self.due.load(Ordering::Relaxed);
        let later = now.saturating_add(self.options.window).as_nanos();
        let is_ours = now.as_nanos() >= due
            && self.due.compare_exchange(due, later, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        is_ours.then_some(later)
    }

    /// Takes the window that was `claimed`, and tells the limits.
    pub(crate) fn run(
        &self,
        claimed: u64,
        subjects: &[Subject],
        now: Instant,
        mut tell: impl FnMut(u32, u32),
    ) {
        let before = self.state.load_full();
        let mut after = State::clone(&before);
        let mut has_news = false;
        for subject in subjects {
            has_news |= after.take(self, subject, now);
        }
        let limits: Vec<(u32, u32)> = subjects.iter().map(|subject| after.limit(subject.slot)).collect();
        if !self.state.replace(&before, Arc::new(after)) {
            // Another caller took a later window, with what this one saw.
            return;
        }
        limits.into_iter().for_each(|(slot, limit)| tell(slot, limit));
        if !has_news {
            let _ = self.due.compare_exchange(claimed, u64::MAX, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

impl State {
    /// Whether something came in.
    fn take(&mut self, limiter: &Limiter, subject: &Subject, now: Instant) -> bool {
        let at = subject.slot as usize;
        if self.gradients.len() <= at {
            self.gradients.resize(at + 1, None);
        }
        let recent = limiter.recent.at(subject.slot);
        let count = recent.count.load(Ordering::Relaxed);
        let known = match &mut self.gradients[at] {
            Some(known) if known.id == subject.id => known,
            place => {
                let seen = recent.of_last_owner.load(Ordering::Relaxed);
                place.insert(Known { id: subject.id, gradient: Gradient::new(&limiter.options), seen })
            }
        };
        let news = count.wrapping_sub(known.seen);
        if news == 0 {
            return false;
        }
        known.seen = count;
        let newest: Vec<u64> = (1..=count.min(SAMPLES as u64))
            .map(|back| recent.nanos[(count - back) as usize % SAMPLES].load(Ordering::Relaxed))
            .collect();
        let window = Window { newest: &newest, count: news, in_flight: subject.in_flight };
        known.gradient.handle_window(&limiter.options, window, now, &mut self.rng);
        true
    }

    fn limit(&self, slot: u32) -> (u32, u32) {
        let known = self.gradients[slot as usize].as_ref();
        (slot, known.expect("it was made for every subject").gradient.limit())
    }
}

impl Default for Recent {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self { count: zero(), of_last_owner: zero(), nanos: std::array::from_fn(|_| zero()) }
    }
}

/// Sets the draws of measurements apart from others of the same seed.
const STREAM: u64 = 0x6164_6170_7469_7665;
