//! Fastest, observed and predictive: backends take turns by weights measured tick by tick.
//!
//! The names are F5's, the formulas ours (`docs/policies.md` quotes both). With `C` the connections in
//! flight for the weight, averaged over a tick, `L` the response time, averaged over ticks, `c = C / mean C`,
//! `l = L / mean L`, `S = blend * c + (1 - blend) * l`:
//!
//! - fastest: whoever is within 5 % of the shortest `L` shares what is left when every other backend has
//!   had its `floor`;
//! - observed: weight `base / S`, between a quarter and four times `base`;
//! - predictive: the same times `1 - gain * n * slope / mean S`, where `slope` is the least-squares slope of
//!   the last `n` scores. Steady scores make it equal to observed.
//!
//! With the formula `f5-k6406` only connection counts matter: observed has ratio 3 below the average count
//! and 2 above; predictive moves a ratio within 1 to 4, up when the count fell, down when it rose.
//!
//! Whoever picks or reports first after an eighth of a tick samples, and at each eighth sample weighs: no
//! thread of ours, no allocation, no lock, O(backends) for that one caller.

use crate::balance::chunks::Chunks;
use crate::balance::draw::golden::Golden;
use crate::balance::lane::{self, Lane};
use crate::balance::member::Hot;
use crate::balance::options::{Formula, HISTORY_MAX, Options, Policy};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::Instant;

/// When to measure next, and what was measured, per slot.
#[derive(Debug)]
pub(crate) struct Measures {
    next: AtomicU64,
    /// Samples taken since the last weighing.
    samples: AtomicU32,
    slots: Chunks<Measure>,
}

/// What is measured of one backend. Written by one measuring caller at a time; a reader may see some
/// fields newer than others, which moves a share for one tick at most.
#[derive(Debug, Default)]
struct Measure {
    /// Average connections in flight per weight; `f64` bits, as are the next three.
    connections: AtomicU64,
    /// Average response time in nanoseconds; 0 while there was none.
    latency: AtomicU64,
    /// The weight measured, relative to the configured one; 0 while nothing was measured.
    share: AtomicU64,
    /// F5's dynamic ratio.
    ratio: AtomicU64,
    /// What the counters showed at the last weighing.
    latency_sum: AtomicU64,
    latency_count: AtomicU64,
    in_flight: AtomicU64,
    /// When a response time last came in.
    fresh: AtomicU64,
    /// The last scores as `f32` bits, newest at `(scores - 1) % n`.
    history: [AtomicU32; HISTORY_MAX],
    scores: AtomicU32,
}

impl Measures {
    pub(crate) fn new() -> Self {
        Self { next: AtomicU64::new(0), samples: AtomicU32::new(0), slots: Chunks::new() }
    }

    pub(crate) fn grow(&self, slots: u32) {
        self.slots.grow(slots);
    }

    /// Forgets what the slot's last owner showed.
    pub(crate) fn restart(&self, slot: u32, latency_sum: u64, latency_count: u64) {
        let measure = self.slots.at(slot);
        for cell in [&measure.connections, &measure.latency, &measure.share, &measure.ratio, &measure.fresh] {
            cell.store(0, Ordering::Relaxed);
        }
        measure.in_flight.store(0, Ordering::Relaxed);
        measure.scores.store(0, Ordering::Relaxed);
        measure.latency_sum.store(latency_sum, Ordering::Relaxed);
        measure.latency_count.store(latency_count, Ordering::Relaxed);
    }

    /// The weight measured, relative to the configured one.
    pub(crate) fn share(&self, slot: u32) -> f64 {
        match load(&self.slots.at(slot).share) {
            0.0 => 1.0,
            share => share,
        }
    }

    /// When the next sample is due; [`Instant::START`] before the first.
    #[inline]
    pub(crate) fn next(&self) -> Instant {
        Instant::from_nanos(self.next.load(Ordering::Relaxed))
    }

    /// Takes the sample that is due at `now`, once however many threads call, and weighs anew when a tick
    /// is complete. Backends are compared with those of their own tier.
    #[cold]
    pub(crate) fn run<'a>(
        &self,
        tiers: impl Iterator<Item = (&'a [Hot], &'a Golden)> + Clone,
        lanes: &[Lane],
        options: &Options,
        now: Instant,
    ) {
        let due = self.next.load(Ordering::Relaxed);
        let later = now.saturating_add(options.tick / SAMPLES).as_nanos();
        if now.as_nanos() < due
            || self.next.compare_exchange(due, later, Ordering::AcqRel, Ordering::Relaxed).is_err()
            || due == 0
        {
            return;
        }
        for backend in tiers.clone().flat_map(|(backends, _)| backends) {
            let measure = self.slots.at(backend.slot);
            let in_flight = lane::in_flight(lanes, backend.slot) as f64 / f64::from(backend.weight);
            let before = load(&measure.connections);
            store(&measure.connections, before + (in_flight - before) / f64::from(SAMPLES));
        }
        if self.samples.fetch_add(1, Ordering::Relaxed) + 1 < SAMPLES {
            return;
        }
        self.samples.store(0, Ordering::Relaxed);
        for (backends, turns) in tiers {
            self.weigh(backends, lanes, options, now);
            turns.update(|index| f64::from(backends[index].weight) * self.share(backends[index].slot));
        }
    }

    fn weigh(&self, backends: &[Hot], lanes: &[Lane], options: &Options, now: Instant) {
        for backend in backends {
            self.take_latency(backend.slot, lanes, options, now);
        }
        match (options.policy, options.formula) {
            (Policy::Fastest, _) => self.weigh_fastest(backends, options),
            (_, Formula::F5K6406) => self.weigh_f5(backends, lanes, options),
            (_, Formula::Trimtab) => self.weigh_scores(backends, options),
        }
    }

    fn take_latency(&self, slot: u32, lanes: &[Lane], options: &Options, now: Instant) {
        let measure = self.slots.at(slot);
        let (mut sum, mut count) = (0u64, 0u64);
        for lane in lanes {
            count += lane.cell(slot).latency_count.load(Ordering::Acquire);
            sum = sum.wrapping_add(lane.cell(slot).latency_sum.load(Ordering::Relaxed));
        }
        let new = count.saturating_sub(measure.latency_count.swap(count, Ordering::Relaxed));
        let spent = sum.wrapping_sub(measure.latency_sum.swap(sum, Ordering::Relaxed));
        let average = load(&measure.latency);
        if new > 0 {
            let mean = (spent as f64 / new as f64).max(1.0);
            store(
                &measure.latency,
                if average == 0.0 { mean } else { average + SMOOTHING * (mean - average) },
            );
            measure.fresh.store(now.as_nanos(), Ordering::Relaxed);
            return;
        }
        let fresh = Instant::from_nanos(measure.fresh.load(Ordering::Relaxed));
        if options.policy == Policy::Fastest && average > 0.0 && now.duration_since(fresh) >= options.stale {
            store(&measure.latency, (average / 2.0).max(1.0));
            measure.fresh.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    fn weigh_fastest(&self, backends: &[Hot], options: &Options) {
        let latency = |backend: &Hot| load(&self.slots.at(backend.slot).latency);
        let known = backends.iter().map(&latency).filter(|&latency| latency > 0.0);
        let Some(best) = known.reduce(f64::min) else { return };
        let is_fast = |backend: &Hot| {
            let latency = latency(backend);
            latency > 0.0 && latency <= best * NEAR
        };
        let slow = backends.iter().filter(|backend| !is_fast(backend)).count();
        let fast_weight: f64 =
            backends.iter().filter(|backend| is_fast(backend)).map(|backend| f64::from(backend.weight)).sum();
        // The floors together never take more than half.
        let floor = options.floor.min(0.5 / slow.max(1) as f64);
        let rest = 1.0 - floor * slow as f64;
        for backend in backends {
            let weight = f64::from(backend.weight);
            let part = if is_fast(backend) { rest * weight / fast_weight } else { floor };
            store(&self.slots.at(backend.slot).share, part / weight);
        }
    }

    fn weigh_scores(&self, backends: &[Hot], options: &Options) {
        let count = backends.len() as f64;
        let measure = |backend: &Hot| self.slots.at(backend.slot);
        let mean_connections = backends.iter().map(|b| load(&measure(b).connections)).sum::<f64>() / count;
        let latencies =
            || backends.iter().map(|b| load(&measure(b).latency)).filter(|&latency| latency > 0.0);
        let mean_latency = latencies().sum::<f64>() / latencies().count().max(1) as f64;
        // 1 is average, and so is whoever nothing is known of.
        let relative = |value: f64, mean: f64| if value > 0.0 || mean > 0.0 { value / mean } else { 1.0 };
        let mut sum = 0.0;
        for backend in backends {
            let measure = measure(backend);
            let latency = load(&measure.latency);
            let connections = relative(load(&measure.connections), mean_connections);
            let latency = if latency > 0.0 { latency / mean_latency } else { 1.0 };
            let score = options.blend * connections + (1.0 - options.blend) * latency;
            measure.push_score(score, options.history);
            sum += score;
        }
        let mean = sum / count;
        for backend in backends {
            let measure = measure(backend);
            let score = f64::from(measure.newest_score(options.history));
            let trend = match options.policy {
                Policy::Predictive if mean > 0.0 => {
                    let n = f64::from(measure.scores.load(Ordering::Relaxed).min(options.history));
                    1.0 - options.gain * n * measure.slope(options.history) / mean
                }
                _ => 1.0,
            };
            store(&measure.share, (trend / score).clamp(SHARE_MIN, SHARE_MAX));
        }
    }

    fn weigh_f5(&self, backends: &[Hot], lanes: &[Lane], options: &Options) {
        let counts = || backends.iter().map(|backend| lane::in_flight(lanes, backend.slot));
        let mean = counts().sum::<u64>() as f64 / backends.len() as f64;
        for (backend, count) in backends.iter().zip(counts()) {
            let measure = self.slots.at(backend.slot);
            let before = measure.in_flight.swap(count, Ordering::Relaxed);
            let ratio = if options.policy == Policy::Observed {
                if count as f64 > mean { 2.0 } else { 3.0 }
            } else {
                let ratio = match load(&measure.ratio) {
                    0.0 => F5_START,
                    ratio => ratio,
                };
                let step = (before > count) as i32 - (before < count) as i32;
                (ratio + f64::from(step)).clamp(1.0, 4.0)
            };
            store(&measure.ratio, ratio);
            store(&measure.share, ratio);
        }
    }
}

impl Measure {
    fn push_score(&self, score: f64, history: u32) {
        let scores = self.scores.load(Ordering::Relaxed);
        self.history[(scores % history) as usize].store((score as f32).to_bits(), Ordering::Relaxed);
        // Past the first round only the place matters: stay within one more round.
        let next = if scores + 1 >= 2 * history { scores + 1 - history } else { scores + 1 };
        self.scores.store(next, Ordering::Relaxed);
    }

    /// The score `back` ticks ago.
    fn score(&self, back: u32, history: u32) -> f32 {
        let newest = self.scores.load(Ordering::Relaxed) + history - 1;
        f32::from_bits(self.history[((newest - back) % history) as usize].load(Ordering::Relaxed))
    }

    fn newest_score(&self, history: u32) -> f32 {
        self.score(0, history)
    }

    /// Least-squares slope of the scores kept, per tick; 0 for fewer than two.
    fn slope(&self, history: u32) -> f64 {
        let n = self.scores.load(Ordering::Relaxed).min(history);
        if n < 2 {
            return 0.0;
        }
        let middle = f64::from(n - 1) / 2.0;
        let (mut covariance, mut variance) = (0.0, 0.0);
        for back in 0..n {
            let x = f64::from(n - 1 - back) - middle;
            covariance += x * f64::from(self.score(back, history));
            variance += x * x;
        }
        covariance / variance
    }
}

fn load(cell: &AtomicU64) -> f64 {
    f64::from_bits(cell.load(Ordering::Relaxed))
}

fn store(cell: &AtomicU64, value: f64) {
    cell.store(value.to_bits(), Ordering::Relaxed);
}

/// Samples of connections in flight per tick.
pub(crate) const SAMPLES: u32 = 8;
/// How much of the new mean an average response time takes over each tick.
const SMOOTHING: f64 = 0.3;
/// Response times within this factor of the best count as equal to it.
const NEAR: f64 = 1.05;
const SHARE_MIN: f64 = 0.25;
const SHARE_MAX: f64 = 4.0;
/// Where F5's ratio starts.
const F5_START: f64 = 2.0;
