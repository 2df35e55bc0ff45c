//! How a pool is to be made: `trimtab_pool_options`. Each setter refuses what is out of range at once; the
//! ranges themselves are those of [`Options`].

use std::time::Duration;

use crate::balance::{Backups, Formula, Hash, Options, Policy};
use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle};
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::text::trimtab_str;
use crate::error::Error;

/// Smooth weighted round robin; weights may change while in use. The default.
pub const TRIMTAB_POLICY_ROUND_ROBIN: i32 = 0;
/// The same order over the weights the backends were added with; a change of weight is refused.
pub const TRIMTAB_POLICY_STATIC: i32 = 1;
/// The first backend, in the order added, that has room below its `maxconn`.
pub const TRIMTAB_POLICY_FIRST: i32 = 2;
/// At random, by weight.
pub const TRIMTAB_POLICY_RANDOM: i32 = 3;
/// Fewest connections in flight for its weight.
pub const TRIMTAB_POLICY_LEAST_CONNECTIONS: i32 = 4;
/// The less loaded of two drawn at random, by weight.
pub const TRIMTAB_POLICY_POWER_OF_TWO: i32 = 5;
/// Two choices by peak EWMA of response time, times connections in flight.
pub const TRIMTAB_POLICY_PEAK_EWMA: i32 = 6;
/// Shortest response time, with a floor share for every other backend.
pub const TRIMTAB_POLICY_FASTEST: i32 = 7;
/// Shares in proportion to connections and response time together.
pub const TRIMTAB_POLICY_OBSERVED: i32 = 8;
/// Observed, and the trend of the ranking: who improves gets more.
pub const TRIMTAB_POLICY_PREDICTIVE: i32 = 9;
/// By hash of the client's address, which the key holds as 4 or 16 bytes in network order.
pub const TRIMTAB_POLICY_SOURCE: i32 = 10;
/// By hash of the key.
pub const TRIMTAB_POLICY_HASH: i32 = 11;

/// Consistent hash ring, the placement of ketama as nginx has it. The default.
pub const TRIMTAB_HASH_RING: i32 = 0;
/// Maglev lookup table.
pub const TRIMTAB_HASH_MAGLEV: i32 = 1;
/// Rendezvous (highest random weight); its cost grows with the number of backends.
pub const TRIMTAB_HASH_RENDEZVOUS: i32 = 2;

/// One backup serves: the first usable one of the tier, in the order added. The default.
pub const TRIMTAB_BACKUPS_ONE: i32 = 0;
/// All usable ones of the tier serve.
pub const TRIMTAB_BACKUPS_ALL: i32 = 1;
/// All usable ones of every tier serve, which share by how many of its backends each has usable: a tier takes over
/// what those below it cannot carry, before they have none.
pub const TRIMTAB_BACKUPS_SPILL: i32 = 2;

/// Connections and response time together. The default.
pub const TRIMTAB_FORMULA_TRIMTAB: i32 = 0;
/// F5's article K6406: ratios by connection counts alone.
pub const TRIMTAB_FORMULA_F5_K6406: i32 = 1;

const POLICIES: [(i32, Policy); 12] = [
    (TRIMTAB_POLICY_ROUND_ROBIN, Policy::RoundRobin),
    (TRIMTAB_POLICY_STATIC, Policy::Static),
    (TRIMTAB_POLICY_FIRST, Policy::First),
    (TRIMTAB_POLICY_RANDOM, Policy::Random),
    (TRIMTAB_POLICY_LEAST_CONNECTIONS, Policy::LeastConnections),
    (TRIMTAB_POLICY_POWER_OF_TWO, Policy::PowerOfTwo),
    (TRIMTAB_POLICY_PEAK_EWMA, Policy::PeakEwma),
    (TRIMTAB_POLICY_FASTEST, Policy::Fastest),
    (TRIMTAB_POLICY_OBSERVED, Policy::Observed),
    (TRIMTAB_POLICY_PREDICTIVE, Policy::Predictive),
    (TRIMTAB_POLICY_SOURCE, Policy::Source),
    (TRIMTAB_POLICY_HASH, Policy::Hash),
];
const HASHES: [(i32, Hash); 3] = [
    (TRIMTAB_HASH_RING, Hash::Ring),
    (TRIMTAB_HASH_MAGLEV, Hash::Maglev),
    (TRIMTAB_HASH_RENDEZVOUS, Hash::Rendezvous),
];
const BACKUPS: [(i32, Backups); 3] = [
    (TRIMTAB_BACKUPS_ONE, Backups::One),
    (TRIMTAB_BACKUPS_ALL, Backups::All),
    (TRIMTAB_BACKUPS_SPILL, Backups::Spill),
];
const FORMULAS: [(i32, Formula); 2] =
    [(TRIMTAB_FORMULA_TRIMTAB, Formula::Trimtab), (TRIMTAB_FORMULA_F5_K6406, Formula::F5K6406)];

/// How a pool is to be made. Set what differs from the defaults, hand it to `trimtab_pool_new` as often as
/// needed, free it. A pool keeps nothing of it.
pub struct trimtab_pool_options {
    _opaque: (),
}

impl Handle for trimtab_pool_options {
    type Value = PoolOptions;
    const LIVE: u32 = 0x7474_6f02;
}

/// What the handle stands for.
pub(super) struct PoolOptions {
    options: Options,
    /// Whether each pool draws a seed of its own.
    draws_seed: bool,
}

impl PoolOptions {
    pub(super) fn with_defaults() -> Self {
        Self { options: Options::default(), draws_seed: true }
    }

    /// What a pool made now is told.
    pub(super) fn for_a_pool(&self) -> Options {
        let mut options = self.options.clone();
        if self.draws_seed {
            options.seed = draw_seed();
        }
        options
    }

    /// Takes over `change` if each option is in its range then.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Options)) -> Result<(), Failure> {
        let mut changed = self.options.clone();
        change(&mut changed);
        // Setters come in any order, so whether a bounded load goes with the policy is asked at the end, by
        // `trimtab_pool_new`; here it is one with which it does.
        Options { policy: Policy::Hash, ..changed.clone() }.check()?;
        self.options = changed;
        Ok(())
    }
}

/// A number that other pools and other processes do not have, a forked child among them: its thread's
/// `RandomState` goes on from where the parent's stood.
fn draw_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(crate::time::Clock.now().as_nanos());
    hasher.finish()
}

/// The Rust value of a number from C.
pub(super) fn choice<T: Copy>(what: &'static str, given: i32, known: &[(i32, T)]) -> Result<T, Failure> {
    known.iter().find(|(number, _)| *number == given).map(|(_, value)| *value).ok_or_else(|| {
        let last = known.len() - 1;
        Error::invalid(what, format!("{given} is none of its constants, 0 to {last}")).into()
    })
}

/// Makes options that hold the defaults.
///
/// - `options_out`: written on success only; end it with `trimtab_pool_options_free`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_new(
    options_out: *mut *mut trimtab_pool_options,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options_out` is null or writable; null is refused.
        let options_out = unsafe { handle::out(options_out, "options_out") }?;
        options_out.write(handle::give(PoolOptions::with_defaults()));
        Ok(())
    })
}

/// Ends options. Pools made with them go on.
///
/// - `options`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_free(options: *mut trimtab_pool_options) {
    guard_value((), || {
        // SAFETY: `options` is null or a live result of `trimtab_pool_options_new` that nobody else uses.
        unsafe { handle::free(options) }
    })
}

/// Sets how the pool picks.
///
/// - `policy`: one of `TRIMTAB_POLICY_...`; default `TRIMTAB_POLICY_ROUND_ROBIN`, which needs no measuring
///   and surprises nobody.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_policy(
    options: *mut trimtab_pool_options,
    policy: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let policy = choice("policy", policy, &POLICIES)?;
        options.change(|options| options.policy = policy)
    })
}

/// Sets how the pool picks, by the policy's name in configuration files.
///
/// - `name`: `round-robin`, `static`, `first`, `random`, `least-connections`, `power-of-two`, `peak-ewma`,
///   `fastest`, `observed`, `predictive`, `source` or `hash`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or `TRIMTAB_E_INVALID_ARGUMENT` for another
/// name; the detail lists them.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_policy_name(
    options: *mut trimtab_pool_options,
    name: trimtab_str,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name = unsafe { name.text("name") }?;
        let policy = Policy::from_name(name).ok_or_else(|| {
            let names: Vec<&str> = Policy::NAMES.iter().map(|(name, _)| *name).collect();
            let shown: String = name.chars().take(40).collect();
            Error::invalid("policy", format!("{shown:?} is none of {}", names.join(", ")))
        })?;
        options.change(|options| options.policy = policy)
    })
}

/// Sets how the policies source and hash place keys.
///
/// - `hash`: one of `TRIMTAB_HASH_...`; default `TRIMTAB_HASH_RING`, the placement nginx and memcached
///   clients share.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_hash(
    options: *mut trimtab_pool_options,
    hash: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let hash = choice("hash", hash, &HASHES)?;
        options.change(|options| options.hash = hash)
    })
}

/// Sets the most load a backend may have under the policies source and hash; a key whose backend has more
/// goes on to the next one.
///
/// - `factor`: in times the backend's share of the mean, 1.01 to 10; 1.25 to 2 is sensible. 0, the default,
///   is off: affinity first. `trimtab_pool_new` refuses it under another policy.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_bounded_load(
    options: *mut trimtab_pool_options,
    factor: f64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.bounded_load = (factor != 0.0).then_some(factor))
    })
}

/// Sets which backends of a tier above 0 serve, and when: when the tiers below have none usable, or, with
/// `TRIMTAB_BACKUPS_SPILL`, when they cannot carry everything.
///
/// - `backups`: one of `TRIMTAB_BACKUPS_...`; default `TRIMTAB_BACKUPS_ONE`: one standby takes over.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_backups(
    options: *mut trimtab_pool_options,
    backups: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let backups = choice("backups", backups, &BACKUPS)?;
        options.change(|options| options.backups = backups)
    })
}

/// Sets which reading of the policies observed and predictive is meant; F5 published two.
///
/// - `formula`: one of `TRIMTAB_FORMULA_...`; default `TRIMTAB_FORMULA_TRIMTAB`: connections and response
///   time, where the other counts connections only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_formula(
    options: *mut trimtab_pool_options,
    formula: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let formula = choice("formula", formula, &FORMULAS)?;
        options.change(|options| options.formula = formula)
    })
}

/// Sets how often fastest, observed and predictive weigh anew.
///
/// - `tick_ms`: milliseconds, 10 to 60000; default 1000, the interval F5 publishes for predictive.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_tick_ms(
    options: *mut trimtab_pool_options,
    tick_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.tick = Duration::from_millis(tick_ms))
    })
}

/// Sets the connections' part of the score of observed and predictive; the rest is response time's.
///
/// - `blend`: a share, 0 to 1; default 0.5: both weigh the same.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_blend(
    options: *mut trimtab_pool_options,
    blend: f64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.blend = blend)
    })
}

/// Sets how strongly predictive follows the trend.
///
/// - `gain`: 0 to 4; default 1, which leads a crossing by seconds. From 2 on it begins to oscillate.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_gain(
    options: *mut trimtab_pool_options,
    gain: f64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.gain = gain)
    })
}

/// Sets over how many ticks predictive fits the trend.
///
/// - `history`: ticks, 2 to 32; default 8: a slope over fewer follows noise.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_history(
    options: *mut trimtab_pool_options,
    history: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.history = history)
    })
}

/// Sets the share of traffic that fastest leaves to each backend that is not the fastest.
///
/// - `floor`: a share, 0.001 to 0.2; default 0.02: one pick in fifty finds a recovered server.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_floor(
    options: *mut trimtab_pool_options,
    floor: f64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.floor = floor)
    })
}

/// Sets after how long without a sample fastest halves a backend's response time.
///
/// - `stale_ms`: milliseconds, 100 to 3600000; default 10000.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_stale_ms(
    options: *mut trimtab_pool_options,
    stale_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.stale = Duration::from_millis(stale_ms))
    })
}

/// Sets the time constant of peak EWMA: how fast a peak is forgotten.
///
/// - `decay_ms`: milliseconds, 1 to 600000; default 10000, Finagle's.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_decay_ms(
    options: *mut trimtab_pool_options,
    decay_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.decay = Duration::from_millis(decay_ms))
    })
}

/// Sets where random draws and the first turn start.
///
/// - `seed`: any; 0 gives the documented sequences from their beginning. Default: each pool draws one, so
///   that many processes with the same backends do not walk in step.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_seed(
    options: *mut trimtab_pool_options,
    seed: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.draws_seed = false;
        options.change(|options| options.seed = seed)
    })
}

/// Moves every key of Maglev and rendezvous. The ring, ketama's, has no seed.
///
/// - `hash_seed`: any; default 0: balancers agree on placement unless told otherwise.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_hash_seed(
    options: *mut trimtab_pool_options,
    hash_seed: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.hash_seed = hash_seed)
    })
}

/// Sets how many threads count on a lane of their own, which is quicker than sharing one. Threads beyond
/// these share half as many more. Each lane goes through the policy's order by itself.
///
/// - `lanes`: 1 to 64; 0, the default, is one per core.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_lanes(
    options: *mut trimtab_pool_options,
    lanes: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.lanes = lanes)
    })
}

/// Sets the most picks of one lane that may await their done; beyond it a pick is refused with
/// `TRIMTAB_E_CAPACITY`.
///
/// - `picks_max`: picks, 1 to 16777216; default 262144, above the descriptors a process has. Eight bytes
///   each, of which only those ever used are touched.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_options_set_picks_max(
    options: *mut trimtab_pool_options,
    picks_max: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.picks_max = picks_max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_means_what_its_name_says() {
        for (number, policy) in POLICIES {
            assert_eq!(choice("policy", number, &POLICIES).unwrap(), policy);
            assert_eq!(number, policy as i32);
        }
        assert_eq!(POLICIES.map(|(_, policy)| policy), Policy::NAMES.map(|(_, policy)| policy));
        for wrong in [-1, 12, i32::MIN, i32::MAX] {
            assert!(choice("policy", wrong, &POLICIES).unwrap_err().to_string().contains("0 to 11"));
        }
    }

    #[test]
    fn each_pool_draws_its_own_seed() {
        let options = PoolOptions::with_defaults();
        assert_ne!(options.for_a_pool().seed, options.for_a_pool().seed);
    }

    #[test]
    fn a_refused_value_changes_nothing() {
        let mut options = PoolOptions::with_defaults();
        options.change(|options| options.bounded_load = Some(1.5)).unwrap();
        options.change(|options| options.bounded_load = Some(0.5)).unwrap_err();
        assert_eq!(options.options.bounded_load, Some(1.5));
    }
}
