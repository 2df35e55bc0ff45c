//! The gradient: how many picks in flight a backend takes before it becomes slower, found from response times.
//!
//! Envoy's gradient controller (`adaptive_concurrency_filter.rst`, issue 7908), which follows Netflix's
//! concurrency-limits. Now and then the response time of a backend that is hardly used is measured (`min rtt`); each
//! window's is compared with it:
//!
//! ```text
//! gradient = min rtt * (1 + rtt_buffer) / sample rtt         within 0.5 to 2
//! limit    = limit * gradient + sqrt(limit * gradient)       within min to max
//! ```
//!
//! The root is what makes the limit grow while nothing gets slower. Measuring pins the limit to `min` until
//! `rtt_requests` have come, or, with `rtt_pins` off, looks at the traffic as it is. It begins at first, every
//! `rtt_interval` and a random part of `rtt_jitter` more, and after five windows at `min`, which may mean that the
//! backend is slower now than it ever was.
//!
//! Departures. A limit less than half of which is in use does not grow (Netflix has that; Envoy's grows to `max` in
//! an idle pool and protects nothing when the load comes). Nothing is measured while nobody asks. Of more than
//! [`SAMPLES`] response times in a window the last so many count. What timed out counts as slower than anything; what
//! failed fast does not count at all.
//!
//! | option | unit | range | default | why that default |
//! |---|---|---|---|---|
//! | `scope` | | [`Scope`] | backend | backends differ |
//! | `min` | picks | 1 to 1,000,000 | 3 | Envoy's |
//! | `max` | picks | `min` to 1,000,000 | 1,000 | Envoy's |
//! | `window` | time | 10 ms to 60 s | 100 ms | the one in Envoy's example |
//! | `percentile` | share | 0.01 to 1 | 0.5 | Envoy's: the median cares for no single slow one |
//! | `rtt_interval` | time | 1 s to 1 day | 60 s | the one in Envoy's example |
//! | `rtt_jitter` | share | 0 to 1 | 0.15 | Envoy's: backends are not all pinned at once |
//! | `rtt_requests` | picks | 1 to 1,000,000 | 50 | Envoy's |
//! | `rtt_buffer` | share | 0 to 10 | 0.25 | Envoy's: so much slower is no reason |
//! | `rtt_pins` | | | true | Envoy's: what a busy backend takes is not what it could |

use std::time::Duration;

use crate::error::{Result, within};
use crate::rng::Rng;
use crate::time::{Instant, nanos};

/// Finds the most picks in flight by response times. Ranges, defaults and their reasons stand in the module's table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// Whose picks are limited.
    pub scope: Scope,
    /// The least the limit is, and where it starts.
    pub min: u32,
    /// The most it is.
    pub max: u32,
    /// How often it is set anew.
    pub window: Duration,
    /// Which of a window's response times stands for them.
    pub percentile: f64,
    /// How often the response time of a backend that is hardly used is measured.
    pub rtt_interval: Duration,
    /// How much later than that it may be, at random.
    pub rtt_jitter: f64,
    /// How many response times that takes.
    pub rtt_requests: u32,
    /// How much slower than that is no reason for a lower limit.
    pub rtt_buffer: f64,
    /// Whether the limit is `min` meanwhile.
    pub rtt_pins: bool,
}

/// Whose picks in flight an adaptive limit is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Each backend has one of its own.
    #[default]
    Backend,
    /// The pool has one.
    Pool,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            min: 3,
            max: 1_000,
            window: Duration::from_millis(100),
            percentile: 0.5,
            rtt_interval: Duration::from_secs(60),
            rtt_jitter: 0.15,
            rtt_requests: 50,
            rtt_buffer: 0.25,
            rtt_pins: true,
        }
    }
}

impl Adaptive {
    /// Refuses what is out of range, naming the option, what was given and what is allowed.
    pub fn check(&self) -> Result<()> {
        within("adaptive.min", self.min, 1, LIMIT_MAX)?;
        within("adaptive.max", self.max, self.min, LIMIT_MAX)?;
        within("adaptive.window", self.window, Duration::from_millis(10), Duration::from_secs(60))?;
        within("adaptive.percentile", self.percentile, 0.01, 1.0)?;
        let day = Duration::from_secs(86_400);
        within("adaptive.rtt_interval", self.rtt_interval, Duration::from_secs(1), day)?;
        within("adaptive.rtt_jitter", self.rtt_jitter, 0.0, 1.0)?;
        within("adaptive.rtt_requests", self.rtt_requests, 1, LIMIT_MAX)?;
        within("adaptive.rtt_buffer", self.rtt_buffer, 0.0, 10.0)
    }
}

/// What came in since the last window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// Response times in nanoseconds, the newest first: the last [`SAMPLES`] at most, older windows' among them.
    pub(crate) newest: &'a [u64],
    /// How many came in this window.
    pub(crate) count: u64,
    /// Picks in flight now.
    pub(crate) in_flight: u32,
}

/// The limit of one backend, or of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Gradient {
    limit: u32,
    /// 0 while nothing is known.
    min_rtt: u64,
    measuring: Option<Measuring>,
    /// When to measure next.
    next: Instant,
    /// Windows in a row that left the limit at `min`.
    lowest: u32,
}

/// A measurement under way.
#[derive(Clone, Copy, Debug)]
struct Measuring {
    /// The limit to go on with.
    limit: u32,
    /// How many response times are of picks from before.
    skip: u64,
    count: u64,
}

impl Gradient {
    /// Begins at `min`, with a measurement.
    pub(crate) fn new(options: &Adaptive) -> Self {
        let measuring = Some(Measuring { limit: options.min, skip: 0, count: 0 });
        Self { limit: options.min, min_rtt: 0, measuring, next: Instant::START, lowest: 0 }
    }

    /// The most picks in flight.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes in a window in which something came.
    pub(crate) fn handle_window(
        &mut self,
        options: &Adaptive,
        window: Window<'_>,
        now: Instant,
        rng: &mut Rng,
    ) {
        match &mut self.measuring {
            Some(measuring) => {
                measuring.count += window.count;
                let measuring = *measuring;
                let count = measuring.count.saturating_sub(measuring.skip);
                if count < u64::from(options.rtt_requests) {
                    return;
                }
                let rtt = percentile(window.newest, count, options.percentile);
                if rtt == TIMED_OUT && self.min_rtt == 0 {
                    // There is nothing to go by yet.
                    self.measuring = Some(Measuring { skip: 0, count: 0, ..measuring });
                    return;
                }
                if rtt != TIMED_OUT {
                    self.min_rtt = rtt.max(1);
                }
                self.measuring = None;
                self.limit = measuring.limit;
                let jitter = (nanos(options.rtt_interval) as f64 * options.rtt_jitter) as u64;
                let jitter = Duration::from_nanos(rng.below(jitter.saturating_add(1)));
                self.next = now.saturating_add(options.rtt_interval + jitter);
            }
            None if now >= self.next => self.measure(options, window.in_flight),
            None => self.follow(options, window),
        }
    }

    fn measure(&mut self, options: &Adaptive, in_flight: u32) {
        self.measuring = Some(Measuring { limit: self.limit, skip: u64::from(in_flight), count: 0 });
        self.lowest = 0;
        if options.rtt_pins {
            self.limit = options.min;
        }
    }

    fn follow(&mut self, options: &Adaptive, window: Window<'_>) {
        let rtt = percentile(window.newest, window.count, options.percentile);
        let gradient = self.min_rtt as f64 * (1.0 + options.rtt_buffer) / rtt.max(1) as f64;
        let limit = f64::from(self.limit) * gradient.clamp(0.5, 2.0);
        let limit = ((limit + limit.sqrt()) as u32).clamp(options.min, options.max);
        // Little's law tells how many were in flight on the mean; the window's end may find fewer.
        let mean = window.count as f64 * rtt as f64 / nanos(options.window) as f64;
        let is_in_use = mean.max(f64::from(window.in_flight)) * 2.0 >= f64::from(self.limit);
        if limit > self.limit && !is_in_use {
            return;
        }
        self.lowest = if limit == options.min && self.limit == options.min { self.lowest + 1 } else { 0 };
        self.limit = limit;
        if self.lowest >= LOWEST_WINDOWS {
            self.measure(options, window.in_flight);
        }
    }
}

/// The nearest-rank percentile of the newest `count` of `newest`.
fn percentile(newest: &[u64], count: u64, percentile: f64) -> u64 {
    let mut sorted = newest[..newest.len().min(count as usize)].to_vec();
    sorted.sort_unstable();
    let rank = (percentile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(TIMED_OUT)
}

/// A response time that never came.
pub(crate) const TIMED_OUT: u64 = u64::MAX;
/// How many response times are kept of each backend.
pub(crate) const SAMPLES: usize = 128;
/// Windows at `min` after which the response time is measured anew, as in Envoy.
const LOWEST_WINDOWS: u32 = 5;
/// The highest limit.
const LIMIT_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// A backend that serves so many at once in `base` nanoseconds, and more of them as much slower.
    struct Server {
        base: f64,
        capacity: f64,
    }

    struct Run {
        gradient: Gradient,
        options: Adaptive,
        rng: Rng,
        now: Instant,
    }

    impl Run {
        fn new(options: Adaptive) -> Self {
            let (rng, now) = (Rng::new(7), Instant::from_millis(1_000));
            Self { gradient: Gradient::new(&options), options, rng, now }
        }

        /// `windows` of `demand` clients, each asking again as soon as it is answered. Gives the limits.
        fn load(&mut self, server: &Server, demand: u32, windows: u32) -> Vec<u32> {
            (0..windows)
                .map(|_| {
                    let in_flight = demand.min(self.gradient.limit());
                    let slower = (f64::from(in_flight) / server.capacity).max(1.0);
                    let rtt = server.base * slower;
                    let count =
                        (f64::from(in_flight) * nanos(self.options.window) as f64 / rtt).ceil() as u64;
                    // Within five percent of each other.
                    let newest: Vec<u64> = (0..count.min(SAMPLES as u64))
                        .map(|_| (rtt * (0.95 + 0.1 * self.rng.unit())) as u64)
                        .collect();
                    self.now = self.now.saturating_add(self.options.window);
                    let window = Window { newest: &newest, count, in_flight };
                    self.gradient.handle_window(&self.options, window, self.now, &mut self.rng);
                    self.gradient.limit()
                })
                .collect()
        }
    }

    const MS: f64 = 1e6;

    fn options() -> Adaptive {
        // Measured once: what comes after is the gradient's alone.
        Adaptive { rtt_interval: Duration::from_secs(3_600), ..Adaptive::default() }
    }

    #[test]
    fn a_step_of_load_finds_what_the_server_takes() {
        let mut run = Run::new(options());
        let server = Server { base: 10.0 * MS, capacity: 50.0 };
        run.load(&server, 5, 100);
        assert!(run.gradient.limit() <= 20, "five clients are no reason for {}", run.gradient.limit());
        let limits = run.load(&server, 1_000, 200);
        // At rest: limit = 1.25 * capacity + its root.
        assert!(limits[100..].iter().all(|limit| (60..=80).contains(limit)), "{:?}", &limits[100..]);
        assert!(run.gradient.min_rtt.abs_diff(10_000_000) < 500_000, "{}", run.gradient.min_rtt);
    }

    #[test]
    fn a_slow_server_gets_less_and_a_recovered_one_gets_it_back() {
        let mut run = Run::new(options());
        let well = Server { base: 10.0 * MS, capacity: 50.0 };
        run.load(&well, 1_000, 200);
        let slow = Server { base: 10.0 * MS, capacity: 10.0 };
        let limits = run.load(&slow, 1_000, 100);
        assert!(limits[50..].iter().all(|limit| (12..=18).contains(limit)), "{limits:?}");
        let limits = run.load(&well, 1_000, 100);
        assert!(limits[60..].iter().all(|limit| (60..=80).contains(limit)), "{limits:?}");
    }

    /// A server that is four times as slow at any load, for good: the limit falls to the least, is measured there,
    /// and grows again by the new measure.
    #[test]
    fn what_is_slower_for_good_is_measured_anew() {
        let mut run = Run::new(options());
        run.load(&Server { base: 10.0 * MS, capacity: 50.0 }, 1_000, 200);
        let slower = Server { base: 40.0 * MS, capacity: 50.0 };
        let limits = run.load(&slower, 1_000, 300);
        assert!(limits.contains(&run.options.min), "{limits:?}");
        assert!(limits[250..].iter().all(|limit| (55..=85).contains(limit)), "{limits:?}");
        assert!(run.gradient.min_rtt > 30_000_000);
    }

    #[test]
    fn measuring_pins_the_limit_for_a_while() {
        let often = Adaptive { rtt_interval: Duration::from_secs(5), ..Adaptive::default() };
        let server = Server { base: 10.0 * MS, capacity: 50.0 };
        let mut pinned = Run::new(often);
        let limits = pinned.load(&server, 1_000, 600);
        let dips = limits[100..].windows(2).filter(|pair| pair[0] > 3 && pair[1] == 3).count();
        assert!((8..=11).contains(&dips), "{dips} measurements in 50 s");
        let mut live = Run::new(Adaptive { rtt_pins: false, ..often });
        let limits = live.load(&server, 1_000, 600);
        assert!(limits[100..].iter().all(|limit| *limit > 30), "{limits:?}");
    }

    #[test]
    fn what_times_out_is_slower_than_anything() {
        let mut run = Run::new(options());
        run.load(&Server { base: 10.0 * MS, capacity: 50.0 }, 1_000, 100);
        let before = run.gradient.limit();
        let window = Window { newest: &[TIMED_OUT; 10], count: 10, in_flight: before };
        run.gradient.handle_window(&run.options, window, run.now, &mut run.rng);
        assert_eq!(run.gradient.limit(), before / 2 + f64::from(before / 2).sqrt() as u32);
        // One that answers nothing at first is no measure.
        let mut fresh = Gradient::new(&run.options);
        for _ in 0..100 {
            fresh.handle_window(&run.options, window, run.now, &mut run.rng);
        }
        assert_eq!((fresh.limit(), fresh.min_rtt), (3, 0));
    }

    #[test]
    fn picks_from_before_are_no_part_of_a_measurement() {
        let mut run = Run::new(Adaptive { rtt_requests: 10, ..options() });
        run.load(&Server { base: 10.0 * MS, capacity: 50.0 }, 1_000, 100);
        run.gradient.next = run.now;
        let slow = [90_000_000; SAMPLES];
        let window = |newest, count| Window { newest, count, in_flight: 60 };
        run.gradient.handle_window(&run.options, window(&slow, 60), run.now, &mut run.rng);
        run.gradient.handle_window(&run.options, window(&slow, 60), run.now, &mut run.rng);
        assert_eq!(run.gradient.limit(), 3, "sixty were in flight when it began");
        let mut mixed = slow;
        mixed[..10].fill(7_000_000);
        run.gradient.handle_window(&run.options, window(&mixed, 10), run.now, &mut run.rng);
        assert_eq!(run.gradient.min_rtt, 7_000_000);
        assert!(run.gradient.limit() > 3);
    }

    #[test]
    fn percentiles_are_by_rank() {
        assert_eq!(percentile(&[5, 1, 4, 2, 3], 5, 0.5), 3);
        assert_eq!(percentile(&[5, 1, 4, 2, 3], 5, 1.0), 5);
        assert_eq!(percentile(&[5, 1, 4, 2, 3], 2, 0.01), 1);
        assert_eq!(percentile(&[7], 100, 0.9), 7);
    }

    #[test]
    fn each_limit_holds_at_the_limit() {
        let good = Adaptive::default;
        for (what, options, fits) in [
            ("", good(), true),
            ("adaptive.min", Adaptive { min: 0, ..good() }, false),
            ("adaptive.max", Adaptive { min: 5, max: 5, ..good() }, true),
            ("adaptive.max", Adaptive { min: 5, max: 4, ..good() }, false),
            ("adaptive.window", Adaptive { window: Duration::from_millis(9), ..good() }, false),
            ("adaptive.percentile", Adaptive { percentile: 0.0, ..good() }, false),
            ("adaptive.percentile", Adaptive { percentile: f64::NAN, ..good() }, false),
            ("adaptive.rtt_interval", Adaptive { rtt_interval: Duration::from_millis(999), ..good() }, false),
            ("adaptive.rtt_jitter", Adaptive { rtt_jitter: 1.1, ..good() }, false),
            ("adaptive.rtt_requests", Adaptive { rtt_requests: 0, ..good() }, false),
            ("adaptive.rtt_buffer", Adaptive { rtt_buffer: 10.0, ..good() }, true),
        ] {
            match options.check() {
                Ok(()) => assert!(fits, "{what} should be refused"),
                Err(Error::InvalidArgument { what: named, .. }) => assert!(!fits && named == what, "{named}"),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}
