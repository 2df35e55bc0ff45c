//! What a pool is told when it is made.
//!
//! | option | unit | range | default | why that default |
//! |---|---|---|---|---|
//! | `policy` | | [`Policy`] | round robin | needs no measuring and surprises nobody |
//! | `hash` | | [`enum@Hash`] | ring | the placement nginx and memcached clients share |
//! | `bounded_load` | times the mean | 1.01 to 10 | off | affinity first; 1.25 to 2 is sensible when on |
//! | `backups` | | [`Backups`] | one | active-passive: one standby takes over |
//! | `panic_threshold` | percent | 0 to 100 | 0: off | one survivor of three takes all, as users expect |
//! | `fail_open` | | | false | a backend that is known to be down gets nothing |
//! | `slow_start` | time | 0, 100 ms to 1 h | 0: off | most backends serve at full speed at once |
//! | `slow_start_aggression` | | 0.1 to 10 | 1 | a straight line, HAProxy's and Envoy's default |
//! | `slow_start_min` | share | 0.01 to 1 | 0.1 | Envoy's: enough traffic to warm up with |
//! | `maxconn` | picks | 0 to 1,073,741,824 | 0: no limit | backends have limits of their own |
//! | `connection_rate` | picks a second | 0 to 1,000,000 | 0: no limit | as above |
//! | `connection_burst` | picks | 0 to 1,000,000 | 0: one second's | as above |
//! | `pending_max` | waiting | 0 to 1,073,741,824 | 0: no limit | whoever queues has a bound of its own |
//! | `retry_budget` | share | 0 to 1, or none | 0.2 | Envoy's: retries must not double the load on what fails |
//! | `retry_min` | retries | 0 to 65,536 | 100 | all whom a dying backend refuses at one moment are sent on; Envoy has 3 |
//! | `retries_max` | retries | 0 to 65,536 | 0: no limit | the budget grows with the load, as it should |
//! | `adaptive` | | [`Adaptive`] | off | refuses picks while it learns |
//! | `outlier` | | [`passive::Options`] | off | what counts as an error depends on the protocol |
//! | `formula` | | [`Formula`] | trimtab | connections and latency; F5's counts connections only |
//! | `tick` | time | 10 ms to 60 s | 1 s | the interval F5 publishes for predictive |
//! | `blend` | share | 0 to 1 | 0.5 | connections and latency weigh the same |
//! | `gain` | | 0 to 4 | 1 | leads a crossing by seconds; 2 begins to oscillate |
//! | `history` | ticks | 2 to 32 | 8 | a slope over fewer follows noise |
//! | `floor` | share | 0.001 to 0.2 | 0.02 | one pick in fifty finds a recovered server |
//! | `stale` | time | 100 ms to 1 h | 10 s | a latency nobody measured since then is halved |
//! | `decay` | time | 1 ms to 10 min | 10 s | Finagle's default for peak EWMA |
//! | `seed` | | any | 0 | a run can be repeated; C and the bindings draw one per pool |
//! | `hash_seed` | | any | 0 | balancers agree on placement unless told otherwise |
//! | `lanes` | threads | 0 to 64 | 0: one per core | each such thread counts on lines of its own |
//! | `picks_max` | picks per lane | 1 to 16,777,216 | 262,144 | above the descriptors a process has |

use std::time::Duration;

use crate::balance::edit::MAXCONN_MAX;
use crate::balance::gradient::{Adaptive, Scope};
use crate::balance::pace::CONNECTION_RATE_MAX;
use crate::balance::retry::RETRIES_MAX;
use crate::balance::slow_start;
use crate::error::{Error, Result, within};
use crate::health::passive;

/// How a pool picks. `docs/policies.md` tells each one's source and cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Smooth weighted round robin; weights may change while in use.
    #[default]
    RoundRobin,
    /// The same order over the weights the backends were added with; a change of weight is refused.
    Static,
    /// The first backend, in the order added, that has room below its `maxconn`.
    First,
    /// At random, by weight.
    Random,
    /// Fewest connections in flight for its weight, exact up to [`SCAN_MAX`] backends and by two choices
    /// beyond; ties in turn, by weight.
    LeastConnections,
    /// The less loaded of two drawn at random, by weight.
    PowerOfTwo,
    /// Two choices by Finagle's peak EWMA of response time, times connections in flight.
    PeakEwma,
    /// Shortest response time, with a floor share for every other backend.
    Fastest,
    /// Shares in proportion to connections and response time together.
    Observed,
    /// Observed, and the trend of the ranking: who improves gets more.
    Predictive,
    /// By hash of the client's address, given as the key.
    Source,
    /// By hash of the key.
    Hash,
}

/// How [`Policy::Source`] and [`Policy::Hash`] place keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Hash {
    /// Consistent hash ring, the placement of ketama as nginx has it.
    #[default]
    Ring,
    /// Maglev lookup table.
    Maglev,
    /// Rendezvous (highest random weight): O(backends) a pick, no table.
    Rendezvous,
}

/// Which backends of a tier above 0 serve when the tiers below have none usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Backups {
    /// The first usable one, in the order added.
    #[default]
    One,
    /// All usable ones of the tier.
    All,
    /// All usable ones of every tier, which share by how many of its backends each has usable: a tier takes
    /// over what those below it cannot carry, before they have none.
    Spill,
}

/// Which reading of observed and predictive is meant. F5 published two that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Formula {
    /// Connections and response time together, shares in proportion (after F5 DevCentral's text).
    #[default]
    Trimtab,
    /// F5 article K6406: ratios by connection counts alone.
    F5K6406,
}

/// How to make a pool. Ranges, defaults and their reasons stand in the module's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How to pick.
    pub policy: Policy,
    /// How the hash policies place keys.
    pub hash: Hash,
    /// The most load a backend may have under a hash policy, in times its share of the mean.
    pub bounded_load: Option<f64>,
    /// How many backups take over.
    pub backups: Backups,
    /// Below which share of a tier's ready backends being usable health is ignored; 0 for never.
    pub panic_threshold: u32,
    /// Whether health is ignored when no backend of the pool is usable.
    pub fail_open: bool,
    /// Over how long a backend that comes into service reaches its weight; zero for at once.
    pub slow_start: Duration,
    /// How steeply it begins: above 1 more steeply than a straight line, below 1 less.
    pub slow_start_aggression: f64,
    /// The part of its weight it begins with.
    pub slow_start_min: f64,
    /// The most picks in flight on all backends together; 0 for no limit.
    pub maxconn: u32,
    /// The most picks a second on all backends together; 0 for no limit.
    pub connection_rate: u32,
    /// How many of them may come at once; 0 for one second's.
    pub connection_burst: u32,
    /// How many may wait for a place at once; 0 for no limit.
    pub pending_max: u32,
    /// The most retries in flight, in parts of the picks in flight and waiting; `None` for no limit.
    pub retry_budget: Option<f64>,
    /// So many retries in flight are within the budget always.
    pub retry_min: u32,
    /// The most retries in flight, whatever the load; 0 for no limit.
    pub retries_max: u32,
    /// Whether and how the most picks in flight are found by response times.
    pub adaptive: Option<Adaptive>,
    /// Whether and how backends that fail more than others are ejected.
    pub outlier: Option<passive::Options>,
    /// Which reading of observed and predictive.
    pub formula: Formula,
    /// How often fastest, observed and predictive weigh anew.
    pub tick: Duration,
    /// The connections' part of the score of observed and predictive; the rest is response time's.
    pub blend: f64,
    /// How strongly predictive follows the trend.
    pub gain: f64,
    /// Over how many ticks predictive fits the trend.
    pub history: u32,
    /// The share of traffic that fastest leaves to each backend that is not the fastest.
    pub floor: f64,
    /// After how long without a sample fastest halves a backend's response time.
    pub stale: Duration,
    /// The time constant of peak EWMA.
    pub decay: Duration,
    /// Where random draws and the first turn start.
    pub seed: u64,
    /// Moves every key of Maglev and rendezvous; ketama has none.
    pub hash_seed: u64,
    /// How many threads can have a lane of their own; further threads share half as many more.
    pub lanes: u32,
    /// The most picks of one lane that may await their `done`.
    pub picks_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            hash: Hash::default(),
            bounded_load: None,
            backups: Backups::default(),
            panic_threshold: 0,
            fail_open: false,
            slow_start: Duration::ZERO,
            slow_start_aggression: 1.0,
            slow_start_min: 0.1,
            maxconn: 0,
            connection_rate: 0,
            connection_burst: 0,
            pending_max: 0,
            retry_budget: Some(0.2),
            retry_min: 100,
            retries_max: 0,
            adaptive: None,
            outlier: None,
            formula: Formula::default(),
            tick: Duration::from_secs(1),
            blend: 0.5,
            gain: 1.0,
            history: 8,
            floor: 0.02,
            stale: Duration::from_secs(10),
            decay: Duration::from_secs(10),
            seed: 0,
            hash_seed: 0,
            lanes: 0,
            picks_max: 262_144,
        }
    }
}

/// The most backends a pool takes.
pub const BACKENDS_MAX: usize = 65_536;
/// The heaviest weight; the lightest is 1.
pub const WEIGHT_MAX: u32 = 65_535;
/// The longest key, in bytes.
pub const KEY_MAX: usize = 1 << 20;
/// Up to how many serving backends least connections looks at every one.
pub const SCAN_MAX: usize = 256;
/// The most lanes.
pub const LANES_MAX: u32 = 64;
/// The most that `picks_max` can be.
pub const PICKS_MAX: u32 = 1 << 24;
/// The longest that `history` can be.
pub(crate) const HISTORY_MAX: usize = 32;

impl Options {
    /// Refuses what is out of range, naming the option, what was given and what is allowed.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(factor) = self.bounded_load {
            within("bounded_load", factor, 1.01, 10.0)?;
            if !self.is_hashed() {
                return Err(Error::invalid(
                    "bounded_load",
                    "it applies to the policies source and hash; leave it out, or choose one of them",
                ));
            }
        }
        within("panic_threshold", self.panic_threshold, 0, 100)?;
        if !self.slow_start.is_zero() {
            let hour = Duration::from_secs(3600);
            within("slow_start", self.slow_start, Duration::from_millis(100), hour)?;
        }
        within("slow_start_aggression", self.slow_start_aggression, 0.1, 10.0)?;
        within("slow_start_min", self.slow_start_min, 0.01, 1.0)?;
        let limits = [
            ("maxconn", self.maxconn, MAXCONN_MAX),
            ("connection_rate", self.connection_rate, CONNECTION_RATE_MAX),
            ("connection_burst", self.connection_burst, CONNECTION_RATE_MAX),
            ("pending_max", self.pending_max, MAXCONN_MAX),
            ("retry_min", self.retry_min, RETRIES_MAX),
            ("retries_max", self.retries_max, RETRIES_MAX),
        ];
        for (what, value, most) in limits {
            within(what, value, 0, most)?;
        }
        within("retry_budget", self.retry_budget.unwrap_or(0.0), 0.0, 1.0)?;
        if let Some(outlier) = &self.outlier {
            outlier.check()?;
        }
        if let Some(adaptive) = &self.adaptive {
            adaptive.check()?;
        }
        within("blend", self.blend, 0.0, 1.0)?;
        within("gain", self.gain, 0.0, 4.0)?;
        within("floor", self.floor, 0.001, 0.2)?;
        within("history", self.history, 2, HISTORY_MAX as u32)?;
        within("tick", self.tick, Duration::from_millis(10), Duration::from_secs(60))?;
        within("stale", self.stale, Duration::from_millis(100), Duration::from_secs(3600))?;
        within("decay", self.decay, Duration::from_millis(1), Duration::from_secs(600))?;
        within("lanes", self.lanes, 0, LANES_MAX)?;
        within("picks_max", self.picks_max, 1, PICKS_MAX)
    }

    pub(crate) fn is_hashed(&self) -> bool {
        matches!(self.policy, Policy::Source | Policy::Hash)
    }

    /// Whether the pool does something from time to time, or has a rate: then every pick and every done needs the
    /// present time, as those of a pool with a rate for a backend do. Else only some policies look at it.
    pub fn needs_time(&self) -> bool {
        self.is_measured() || self.has_chores() || self.connection_rate > 0
    }

    /// Whether the pool does something from time to time beside measuring.
    pub(crate) fn has_chores(&self) -> bool {
        slow_start::is_on(self) || self.outlier.is_some() || self.adaptive.is_some()
    }

    /// Whether the pool as a whole has a limit that a pick looks at.
    pub(crate) fn is_gated(&self) -> bool {
        let is_adaptive = self.adaptive.is_some_and(|adaptive| adaptive.scope == Scope::Pool);
        self.maxconn > 0 || self.connection_rate > 0 || is_adaptive
    }

    /// Whether every backend's picks in flight are counted in one place, whether it has a `maxconn` or not.
    pub(crate) fn counts_all(&self) -> bool {
        self.maxconn > 0 || self.adaptive.is_some()
    }

    /// Whether the policy weighs by what it measured, tick by tick.
    pub(crate) fn is_measured(&self) -> bool {
        matches!(self.policy, Policy::Fastest | Policy::Observed | Policy::Predictive)
    }
}

impl Policy {
    /// Every policy with its name in configuration.
    pub const NAMES: [(&'static str, Policy); 12] = [
        ("round-robin", Policy::RoundRobin),
        ("static", Policy::Static),
        ("first", Policy::First),
        ("random", Policy::Random),
        ("least-connections", Policy::LeastConnections),
        ("power-of-two", Policy::PowerOfTwo),
        ("peak-ewma", Policy::PeakEwma),
        ("fastest", Policy::Fastest),
        ("observed", Policy::Observed),
        ("predictive", Policy::Predictive),
        ("source", Policy::Source),
        ("hash", Policy::Hash),
    ];

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Policy> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy)
    }

    /// The name in configuration.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, policy)| *policy == self)
            .map(|(name, _)| *name)
            .expect("NAMES holds every policy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        Options::default().check().unwrap();
    }

    #[test]
    fn each_limit_holds_at_the_limit() {
        let good = Options::default;
        let cases = [
            ("panic_threshold", Options { panic_threshold: 100, ..good() }, true),
            ("panic_threshold", Options { panic_threshold: 101, ..good() }, false),
            ("slow_start", Options { slow_start: Duration::from_millis(100), ..good() }, true),
            ("slow_start", Options { slow_start: Duration::from_millis(99), ..good() }, false),
            ("slow_start_aggression", Options { slow_start_aggression: 10.1, ..good() }, false),
            ("slow_start_min", Options { slow_start_min: 0.0, ..good() }, false),
            ("maxconn", Options { maxconn: MAXCONN_MAX + 1, ..good() }, false),
            ("connection_rate", Options { connection_rate: 1_000_000, ..good() }, true),
            ("connection_rate", Options { connection_rate: 1_000_001, ..good() }, false),
            ("retry_budget", Options { retry_budget: Some(1.1), ..good() }, false),
            ("retry_budget", Options { retry_budget: None, ..good() }, true),
            ("retries_max", Options { retries_max: RETRIES_MAX + 1, ..good() }, false),
            ("blend", Options { blend: 1.0, ..good() }, true),
            ("blend", Options { blend: 1.0001, ..good() }, false),
            ("blend", Options { blend: f64::NAN, ..good() }, false),
            ("gain", Options { gain: -0.1, ..good() }, false),
            ("floor", Options { floor: 0.2, ..good() }, true),
            ("floor", Options { floor: 0.0, ..good() }, false),
            ("history", Options { history: 1, ..good() }, false),
            ("history", Options { history: 32, ..good() }, true),
            ("tick", Options { tick: Duration::from_millis(9), ..good() }, false),
            ("decay", Options { decay: Duration::from_secs(601), ..good() }, false),
            ("lanes", Options { lanes: 65, ..good() }, false),
            ("picks_max", Options { picks_max: 0, ..good() }, false),
            ("picks_max", Options { picks_max: PICKS_MAX, ..good() }, true),
            ("bounded_load", Options { bounded_load: Some(1.0), policy: Policy::Hash, ..good() }, false),
        ];
        for (what, options, fits) in cases {
            match options.check() {
                Ok(()) => assert!(fits, "{what} should be refused: {options:?}"),
                Err(Error::InvalidArgument { what: named, .. }) => {
                    assert!(!fits && named == what, "{what}: {options:?}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        let text = Options { bounded_load: Some(1.5), ..good() }.check().unwrap_err().to_string();
        assert!(text.contains("source and hash"), "{text}");
    }

    #[test]
    fn names_go_both_ways() {
        for (name, policy) in Policy::NAMES {
            assert_eq!(Policy::from_name(name), Some(policy));
            assert_eq!(policy.name(), name);
        }
        assert_eq!(Policy::from_name("round robin"), None);
    }
}
