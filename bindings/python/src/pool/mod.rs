//! [`Pool`]: the library's pool with a door that can be shut.
//!
//! | file | owns |
//! |---|---|
//! | `arguments` | backends, ids and times, as Python passes them |
//! | `door` | how a closed, panicked or forked pool refuses; calls with and without the interpreter |
//! | `described` | statistics as tuples |

mod arguments;
mod described;
mod door;

use std::panic::catch_unwind;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use trimtab::balance::{
    self, Admin, Backend, BackendId, Backups, Formula, Hash, Lane, Observed, Options, Outcome, Policy,
    Request, Retry, Token,
};
use trimtab::time::Clock;

pub(crate) use self::arguments::timings;
use self::arguments::{backend, ids, random_seed, time};
use self::described::Described;
use self::door::{OWN_LANE, needs_time};
use crate::convert::{self, Budget, Chosen, Key};
use crate::errors;
use crate::pick::Pick;
use crate::pool_events::Events;

/// A set of backends that a policy picks from.
///
/// Any thread may call anything at any time. A pool is its own context manager: leaving the block closes
/// it. Options out of range raise InvalidArgumentError. Server.pool gives one that the server picks from as
/// well: closing that shuts this door to it, not the pool. All are keywords but the first:
///
/// - policy (default round-robin), hash (ring), backups (one), formula (trimtab): a member of the
///   enumeration, its number, or its name in configuration.
/// - bounded_load: times the mean, 1.01 to 10; None (default) for off. Policies source and hash only.
/// - tick: 0.01 to 60 seconds (1); stale: 0.1 to 3600 seconds (10); decay: 0.001 to 600 seconds (10);
///   each also as a timedelta.
/// - blend: 0 to 1 (0.5); gain: 0 to 4 (1); history: 2 to 32 ticks (8); floor: 0.001 to 0.2 (0.02).
/// - seed: where draws and turns start; None (default) draws one, so that processes do not walk in step.
///   0 gives the exact sequences that the documentation shows.
/// - hash_seed: moves every key of Maglev and rendezvous (0).
/// - lanes: sets of counters, up to 64; 0 (default) for one per core. Python uses the first alone: its
///   threads pick one at a time, in one order.
/// - picks_max: picks that may await their done, up to 16,777,216 (262,144).
/// - panic_threshold: percent (0: off); fail_open (False): when health is ignored.
/// - slow_start: 0.1 to 3600 seconds (0: off); slow_start_aggression: 0.1 to 10 (1); slow_start_min: 0.01 to 1 (0.1).
/// - maxconn: picks in flight on all backends; connection_rate, connection_burst: picks a second, and at once, up to
///   1,000,000; pending_max: how many may wait (try_want). 0 (default) for no limit.
/// - retry_budget: retries in flight, in parts of the picks in flight and waiting, 0 to 1 (0.2), None for off;
///   retry_min: 0 to 65,536 (100) always may; retries_max: up to 65,536; 0 (default) for no limit.
/// - outlier: an Outlier, to eject backends that fail more than others; adaptive: an Adaptive, to find the most picks
///   in flight by response times. None (default) for off.
/// - on_event: called with each PoolEvent by a thread that is in a call on the pool, after what happened took effect and
///   before that call returns; two threads may be in it at once. It may call anything here. It must not wait for long.
///   What it raises goes to sys.unraisablehook.
#[pyclass(frozen, weakref, module = "trimtab")]
pub(crate) struct Pool {
    /// `None` once closed. Whoever works without the interpreter's lock holds an `Arc` of its own; the lock
    /// here is held for the length of one pick at most, and only ever by the thread that Python runs.
    core: RwLock<Option<Arc<balance::Pool>>>,
    /// Whether the policy looks at the time. Where it does not, no clock is read.
    needs_time: AtomicBool,
    /// Who is told what happens.
    events: Option<Events>,
    /// Where picks count.
    lane: Lane,
    /// The process of the server that the pool belongs to, if it belongs to one.
    owner: Option<u32>,
    /// Where the pool is, also when this door to it is closed. A later one that comes to lie there refuses the
    /// tokens of this one.
    identity: usize,
}

#[pymethods]
impl Pool {
    #[new]
    #[pyo3(
        signature = (policy = None, *, hash = None, bounded_load = None, backups = None, formula = None,
            tick = None, blend = None, gain = None, history = None, floor = None, stale = None, decay = None,
            seed = None, hash_seed = None, lanes = None, picks_max = None, panic_threshold = None, fail_open = false,
            slow_start = None, slow_start_aggression = None, slow_start_min = None, maxconn = None,
            connection_rate = None, connection_burst = None, pending_max = None, retry_budget = Budget::USUAL,
            retry_min = None, retries_max = None, outlier = None, adaptive = None, on_event = None),
        text_signature = "(policy=..., *, hash=..., bounded_load=None, backups=..., formula=..., tick=1.0, \
            blend=0.5, gain=1.0, history=8, floor=0.02, stale=10.0, decay=10.0, seed=None, hash_seed=0, \
            lanes=0, picks_max=262144, panic_threshold=0, fail_open=False, slow_start=0.0, \
            slow_start_aggression=1.0, slow_start_min=0.1, maxconn=0, connection_rate=0, connection_burst=0, \
            pending_max=0, retry_budget=0.2, retry_min=100, retries_max=0, outlier=None, adaptive=None, \
            on_event=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        policy: Option<Chosen<Policy>>,
        hash: Option<Chosen<Hash>>,
        bounded_load: Option<f64>,
        backups: Option<Chosen<Backups>>,
        formula: Option<Chosen<Formula>>,
        tick: Option<&Bound<'_, PyAny>>,
        blend: Option<f64>,
        gain: Option<f64>,
        history: Option<&Bound<'_, PyAny>>,
        floor: Option<f64>,
        stale: Option<&Bound<'_, PyAny>>,
        decay: Option<&Bound<'_, PyAny>>,
        seed: Option<&Bound<'_, PyAny>>,
        hash_seed: Option<&Bound<'_, PyAny>>,
        lanes: Option<&Bound<'_, PyAny>>,
        picks_max: Option<&Bound<'_, PyAny>>,
        panic_threshold: Option<&Bound<'_, PyAny>>,
        fail_open: bool,
        slow_start: Option<&Bound<'_, PyAny>>,
        slow_start_aggression: Option<f64>,
        slow_start_min: Option<f64>,
        maxconn: Option<&Bound<'_, PyAny>>,
        connection_rate: Option<&Bound<'_, PyAny>>,
        connection_burst: Option<&Bound<'_, PyAny>>,
        pending_max: Option<&Bound<'_, PyAny>>,
        retry_budget: Budget,
        retry_min: Option<&Bound<'_, PyAny>>,
        retries_max: Option<&Bound<'_, PyAny>>,
        outlier: Option<&Bound<'_, PyAny>>,
        adaptive: Option<&Bound<'_, PyAny>>,
        on_event: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        type Given<'a, 'py> = Option<&'a Bound<'py, PyAny>>;
        let whole = |what, usual, given: Given<'_, '_>| {
            given.map_or(Ok(usual), |number| convert::whole::<u32>(what, 32, number))
        };
        let usual = Options::default();
        let options = Options {
            policy: policy.map_or(usual.policy, |chosen| chosen.0),
            hash: hash.map_or(usual.hash, |chosen| chosen.0),
            bounded_load,
            backups: backups.map_or(usual.backups, |chosen| chosen.0),
            formula: formula.map_or(usual.formula, |chosen| chosen.0),
            tick: tick.map_or(Ok(usual.tick), |span| convert::span("tick", span))?,
            blend: blend.unwrap_or(usual.blend),
            gain: gain.unwrap_or(usual.gain),
            history: history.map_or(Ok(usual.history), |number| convert::whole("history", 32, number))?,
            floor: floor.unwrap_or(usual.floor),
            stale: stale.map_or(Ok(usual.stale), |span| convert::span("stale", span))?,
            decay: decay.map_or(Ok(usual.decay), |span| convert::span("decay", span))?,
            seed: seed.map_or_else(|| Ok(random_seed()), |number| convert::whole("seed", 64, number))?,
            hash_seed: hash_seed
                .map_or(Ok(usual.hash_seed), |number| convert::whole("hash_seed", 64, number))?,
            lanes: lanes.map_or(Ok(usual.lanes), |number| convert::whole("lanes", 32, number))?,
            picks_max: picks_max
                .map_or(Ok(usual.picks_max), |number| convert::whole("picks_max", 32, number))?,
            panic_threshold: whole("panic_threshold", usual.panic_threshold, panic_threshold)?,
            fail_open,
            slow_start: slow_start.map_or(Ok(usual.slow_start), |span| convert::span("slow_start", span))?,
            slow_start_aggression: slow_start_aggression.unwrap_or(usual.slow_start_aggression),
            slow_start_min: slow_start_min.unwrap_or(usual.slow_start_min),
            maxconn: whole("maxconn", usual.maxconn, maxconn)?,
            connection_rate: whole("connection_rate", usual.connection_rate, connection_rate)?,
            connection_burst: whole("connection_burst", usual.connection_burst, connection_burst)?,
            pending_max: whole("pending_max", usual.pending_max, pending_max)?,
            retry_budget: retry_budget.0,
            retry_min: whole("retry_min", usual.retry_min, retry_min)?,
            retries_max: whole("retries_max", usual.retries_max, retries_max)?,
            outlier: outlier.map(convert::outlier).transpose()?,
            adaptive: adaptive.map(convert::adaptive).transpose()?,
        };
        let needs_time = needs_time(options.policy) || options.needs_time();
        let made = catch_unwind(|| balance::Pool::new(options))
            .map_err(|panic| errors::panicked(py, "pool", &*panic))?
            .map_err(|error| errors::raised(py, &error))?;
        let mut door = Self::new_door(Arc::new(made), needs_time, OWN_LANE, None);
        if let Some(function) = on_event {
            let (events, teller) = Events::new(function);
            door.detached(py, |core| Ok(core.observe(teller)))?;
            door.events = Some(events);
        }
        Ok(door)
    }

    /// Ends the pool and frees what it holds. Whatever is called afterwards raises ClosedError, except for
    /// close itself and leaving the block of a pick.
    fn close(&self) {
        self.core.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(events) = &self.events {
            events.close();
        }
    }

    /// Whether close was called, or a panic closed the pool.
    #[getter]
    fn closed(&self) -> bool {
        self.is_closed()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        if slf.get().is_closed() {
            return Err(errors::closed(slf.py(), "pool"));
        }
        Ok(slf)
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) {
        self.close();
    }

    /// Adds a backend and gives its id.
    ///
    /// - address: "ip:port", "[ipv6]:port" or "unix:/path"; unique in the pool.
    /// - name: unique in the pool, 1 to 255 bytes; the address when None.
    /// - weight: 1 to 65535, relative to the others. maxconn: the most picks in flight; 0 for no limit.
    /// - tier: 0 serves, 1 to 255 stand by. tag: a number of the caller's, handed out with each pick.
    /// - admin, observed: what an operator ordered, what was seen.
    /// - connection_rate: the most picks a second, connection_burst: how many may come at once; up to 1,000,000,
    ///   0 for no limit and for one second's.
    ///
    /// Raises InvalidArgumentError, ExistsError, or CapacityError at BACKENDS_MAX.
    #[pyo3(
        signature = (address, *, name = None, weight = None, maxconn = None, tier = None, tag = None,
            admin = None, observed = None, connection_rate = None, connection_burst = None),
        text_signature = "($self, address, *, name=None, weight=1, maxconn=0, tier=0, tag=0, admin=..., \
            observed=..., connection_rate=0, connection_burst=0)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn add(
        &self,
        py: Python<'_>,
        address: &Bound<'_, PyAny>,
        name: Option<&Bound<'_, PyAny>>,
        weight: Option<&Bound<'_, PyAny>>,
        maxconn: Option<&Bound<'_, PyAny>>,
        tier: Option<&Bound<'_, PyAny>>,
        tag: Option<&Bound<'_, PyAny>>,
        admin: Option<Chosen<Admin>>,
        observed: Option<Chosen<Observed>>,
        connection_rate: Option<&Bound<'_, PyAny>>,
        connection_burst: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let mut backend =
            Backend::parse(convert::text("address", address)?).map_err(|error| errors::raised(py, &error))?;
        backend.name = name.map(|name| convert::text("name", name).map(str::to_owned)).transpose()?;
        backend.weight = weight.map_or(Ok(backend.weight), |number| convert::whole("weight", 32, number))?;
        backend.maxconn =
            maxconn.map_or(Ok(backend.maxconn), |number| convert::whole("maxconn", 32, number))?;
        backend.tier = tier.map_or(Ok(backend.tier), |number| convert::whole("tier", 8, number))?;
        backend.tag = tag.map_or(Ok(backend.tag), |number| convert::whole("tag", 64, number))?;
        backend.admin = admin.map_or(backend.admin, |chosen| chosen.0);
        backend.observed = observed.map_or(backend.observed, |chosen| chosen.0);
        let rate = |what, given: Option<&Bound<'_, PyAny>>| {
            given.map_or(Ok(0), |number| convert::whole::<u32>(what, 32, number))
        };
        backend.connection_rate = rate("connection_rate", connection_rate)?;
        backend.connection_burst = rate("connection_burst", connection_burst)?;
        self.watch_rate(backend.connection_rate);
        self.detached(py, |core| core.add(backend)).map(BackendId::as_u64)
    }

    /// Adds all of these Backend objects or none, in one change, which is far quicker than one by one.
    /// Gives their ids in the same order. Raises what add raises.
    fn add_all(&self, backends: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
        let py = backends.py();
        let class = errors::class(py, "trimtab._types", "Backend")?;
        let mut described = Vec::new();
        for item in backends.try_iter()? {
            let item = item?;
            if !item.is_instance(&class)? {
                return Err(convert::wrong_type("trimtab.Backend", &item));
            }
            let backend = backend(&item)?;
            self.watch_rate(backend.connection_rate);
            described.push(backend);
        }
        let ids = self.detached(py, |core| core.add_all(&described))?;
        Ok(ids.into_iter().map(BackendId::as_u64).collect())
    }

    /// Takes a backend out. Its picks in flight may still be reported done. Raises NotFoundError.
    fn remove(&self, id: &Bound<'_, PyAny>) -> PyResult<()> {
        let backend = convert::id(id)?;
        self.detached(id.py(), |core| core.remove(backend))
    }

    /// Changes a weight: 1 to 65535. Under the policy static it is refused.
    fn set_weight(&self, id: &Bound<'_, PyAny>, weight: &Bound<'_, PyAny>) -> PyResult<()> {
        let (backend, weight) = (convert::id(id)?, convert::whole("weight", 32, weight)?);
        self.detached(id.py(), |core| core.set_weight(backend, weight))
    }

    /// Changes the most picks in flight; 0 lifts the limit. Picks beyond a lowered limit go on.
    fn set_maxconn(&self, id: &Bound<'_, PyAny>, maxconn: &Bound<'_, PyAny>) -> PyResult<()> {
        let (backend, maxconn) = (convert::id(id)?, convert::whole("maxconn", 32, maxconn)?);
        self.detached(id.py(), |core| core.set_maxconn(backend, maxconn))
    }

    /// Changes the tier: 0 serves, 1 to 255 stand by.
    fn set_tier(&self, id: &Bound<'_, PyAny>, tier: &Bound<'_, PyAny>) -> PyResult<()> {
        let (backend, tier) = (convert::id(id)?, convert::whole("tier", 8, tier)?);
        self.detached(id.py(), |core| core.set_tier(backend, tier))
    }

    /// Changes the caller's own number.
    fn set_tag(&self, id: &Bound<'_, PyAny>, tag: &Bound<'_, PyAny>) -> PyResult<()> {
        let (backend, tag) = (convert::id(id)?, convert::whole("tag", 64, tag)?);
        self.detached(id.py(), |core| core.set_tag(backend, tag))
    }

    /// Carries out an operator's order. A drained backend gets nothing new once this has returned.
    fn set_admin(&self, id: &Bound<'_, PyAny>, admin: Chosen<Admin>) -> PyResult<()> {
        let backend = convert::id(id)?;
        self.detached(id.py(), |core| core.set_admin(backend, admin.0))
    }

    /// Takes note of what was observed: the program's own verdict. With reason, one line of at most 200 bytes, or
    /// now, the backend's statistics tell why and since when; now alone None reads the clock then.
    #[pyo3(signature = (id, observed, *, reason = None, now = None))]
    fn set_observed(
        &self,
        id: &Bound<'_, PyAny>,
        observed: Chosen<Observed>,
        reason: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let backend = convert::id(id)?;
        if reason.is_none() && now.is_none() {
            return self.detached(id.py(), |core| core.set_observed(backend, observed.0));
        }
        let reason = reason.map_or(Ok(""), |reason| convert::text("reason", reason))?;
        let now = time(now)?;
        self.detached(id.py(), |core| core.set_observed_with(backend, observed.0, reason, now))
    }

    /// Changes the most picks a second, and how many may come at once: up to 1,000,000, 0 for no limit and for one
    /// second's. Another rate than before begins with all that may come at once.
    #[pyo3(signature = (id, rate, burst = None), text_signature = "($self, id, rate, burst=0)")]
    fn set_connection_rate(
        &self,
        id: &Bound<'_, PyAny>,
        rate: &Bound<'_, PyAny>,
        burst: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (backend, rate) = (convert::id(id)?, convert::whole("connection_rate", 32, rate)?);
        let burst = burst.map_or(Ok(0), |burst| convert::whole("connection_burst", 32, burst))?;
        self.watch_rate(rate);
        self.detached(id.py(), |core| core.set_connection_rate(backend, rate, burst))
    }

    /// Begins a retry: another pick, or another try at a connection, for what failed. It is in flight until the number
    /// this gives is given to retry_end, and so many may be as the retry budget has.
    ///
    /// Raises CapacityError, which names the limit: do not try again then.
    #[pyo3(signature = (now = None))]
    fn retry_begin(&self, py: Python<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
        let now = time(now)?;
        self.held(py, |core| core.retry_begin(now)).map(Retry::as_u64)
    }

    /// Ends a retry, however it went. Raises StalePickError when it ended before or is none of this pool's.
    fn retry_end(&self, retry: &Bound<'_, PyAny>) -> PyResult<()> {
        let number = retry.extract().map_err(|_| match retry.is_instance_of::<pyo3::types::PyInt>() {
            true => errors::raised(retry.py(), &trimtab::Error::StalePick),
            false => convert::wrong_argument("retry", "a number that retry_begin gave", retry),
        })?;
        self.held(retry.py(), |core| core.retry_end(Retry::from_u64(number)))
    }

    /// Whether retry_begin would find room in the budget now. Nothing is taken.
    #[pyo3(signature = (now = None))]
    fn may_retry(&self, py: Python<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let now = time(now)?;
        self.held(py, |core| Ok(core.may_retry(now)))
    }

    /// Says that one more waits for a place below a limit: it counts for the retry budget, and EventKind.ROOM is told
    /// when one may have come free. Pick once more after this. Raises CapacityError when pending_max wait already.
    fn try_want(&self, py: Python<'_>) -> PyResult<()> {
        self.held(py, balance::Pool::try_want)
    }

    /// Says that one less waits. Raises StateError when nobody does.
    fn unwant(&self, py: Python<'_>) -> PyResult<()> {
        self.held(py, balance::Pool::try_unwant)
    }

    /// The id of the backend of this name. Raises NotFoundError.
    fn find(&self, name: &Bound<'_, PyAny>) -> PyResult<u64> {
        let text = convert::text("name", name)?;
        self.detached(name.py(), |core| core.find(text)).map(BackendId::as_u64)
    }

    /// The ids of all backends, in the order added.
    fn ids(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        let ids = self.held(py, |core| Ok(core.ids()))?;
        Ok(ids.into_iter().map(BackendId::as_u64).collect())
    }

    /// Picks a backend. The pick counts as in flight until it is reported done, which leaving its with
    /// block does, or Pick.done, or Pool.done.
    ///
    /// - key: what the policies source and hash place; bytes-like, at most KEY_MAX bytes. For source it is
    ///   the client's packed address: ipaddress.ip_address(text).packed.
    /// - now: seconds on one clock for the whole pool; None reads that of time.monotonic(), and only under
    ///   a policy that looks at the time.
    /// - avoid: ids tried already; one of them is picked only when no other can be.
    ///
    /// Raises NoBackendError, which says why; InvalidArgumentError for a key too long; CapacityError when
    /// picks_max picks were never reported done.
    #[pyo3(signature = (key = None, *, now = None, avoid = None),
        text_signature = "($self, key=b'', *, now=None, avoid=())")]
    #[inline]
    fn pick<'py>(
        slf: &Bound<'py, Self>,
        key: Option<Key<'_>>,
        now: Option<&Bound<'_, PyAny>>,
        avoid: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, Pick>> {
        let (py, pool) = (slf.py(), slf.get());
        let avoid = avoid.map(ids).transpose()?;
        let request = Request {
            lane: pool.lane,
            key: key.as_ref().map_or(&[], |key| &key.0),
            now: pool.now(now)?,
            avoid: avoid.as_deref().unwrap_or_default(),
        };
        let pick = pool.held(py, |core| core.pick(&request))?;
        Bound::new(py, Pick::new(pick, slf.clone().unbind()))
    }

    /// Reports how a pick went, which takes it out of flight; also for backends removed since.
    ///
    /// - pick: the Pick, or its token.
    /// - connect, first_byte, total: how long it took from its beginning until the connection stood, the
    ///   first byte of the answer, the last; seconds or timedelta; None for what was not measured.
    ///
    /// Raises StalePickError when it was reported before or is none of this pool's; nothing is counted then.
    #[pyo3(signature = (pick, outcome = None, *, connect = None, first_byte = None, total = None, now = None),
        text_signature = "($self, pick, outcome=..., *, connect=None, first_byte=None, total=None, now=None)")]
    #[inline]
    fn done(
        slf: &Bound<'_, Self>,
        pick: &Bound<'_, PyAny>,
        outcome: Option<Chosen<Outcome>>,
        connect: Option<&Bound<'_, PyAny>>,
        first_byte: Option<&Bound<'_, PyAny>>,
        total: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (py, pool) = (slf.py(), slf.get());
        let outcome = outcome.map_or(Outcome::Success, |chosen| chosen.0);
        let timings = timings(connect, first_byte, total)?;
        if let Ok(pick) = pick.cast::<Pick>() {
            return pick.get().report(py, Some(slf), outcome, &timings, pool.now(now)?);
        }
        let token = match pick.extract() {
            Ok(token) => Token::from_u64(token),
            Err(_) if pick.is_instance_of::<pyo3::types::PyInt>() => {
                return Err(errors::raised(py, &trimtab::Error::StalePick));
            }
            Err(_) => return Err(convert::wrong_type("a trimtab.Pick or its token", pick)),
        };
        pool.report(py, token, outcome, &timings, pool.now(now)?)
    }

    /// What the next pick with this key by this thread would come to, and why, as a dict (Explanation).
    /// Nothing is counted.
    #[pyo3(signature = (key = None, *, now = None, avoid = None),
        text_signature = "($self, key=b'', *, now=None, avoid=())")]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        key: Option<Key<'_>>,
        now: Option<&Bound<'py, PyAny>>,
        avoid: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let avoid = avoid.map(ids).transpose()?;
        let key = key.as_ref().map_or(&[][..], |key| &key.0);
        let (lane, avoid) = (self.lane, avoid.as_deref().unwrap_or_default());
        let request = Request { lane, key, now: self.now(now)?, avoid };
        let text = self.detached(py, |core| {
            let explanation = core.explain(&request)?;
            Ok(serde_json::to_string(&explanation).expect("its keys are text and it lives in memory"))
        })?;
        py.import("json")?.call_method1("loads", (text,))
    }

    /// What the pool counted, as a PoolStatistics.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let counted = self.detached(py, |core| Ok(core.statistics()))?;
        errors::class(py, "trimtab._types", "PoolStatistics")?.call1((
            counted.backends,
            counted.serving,
            counted.picks,
            counted.in_flight,
            counted.refused,
            counted.limit,
            counted.panic,
            counted.pending,
            counted.retries,
            counted.ejected,
            counted.retries_refused,
            counted.ejections,
        ))
    }

    /// What is known and was counted of one backend, as a BackendStatistics. Raises NotFoundError.
    fn backend<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let backend = convert::id(id)?;
        let counted = self.held(id.py(), |core| core.backend(backend))?;
        Described::new(id.py())?.backend(&counted)
    }

    /// The same of every backend, in the order added.
    fn backends<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let counted = self.detached(py, |core| Ok(core.backends()))?;
        let described = Described::new(py)?;
        counted.iter().map(|counted| described.backend(counted)).collect()
    }

    /// Does what is due: weighs anew if fastest, observed or predictive have a tick due, takes the next step of a slow
    /// start, ejects outliers and takes them back, sets adaptive limits anew. pick and done do the same; calling this at
    /// next_deadline keeps most of that off their path. now is in seconds; None reads the clock.
    #[pyo3(signature = (now = None))]
    fn handle_timeout(&self, py: Python<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let now = now.map_or_else(|| Ok(Clock.now()), convert::moment)?;
        self.detached(py, |core| {
            core.handle_timeout(now);
            Ok(())
        })
    }

    /// When handle_timeout is next of use, in seconds on the pool's clock; None when nothing is to
    /// be done.
    fn next_deadline(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        Ok(self.held(py, |core| Ok(core.next_deadline()))?.map(convert::seconds_of))
    }

    fn __repr__(&self) -> String {
        match &*self.core.read().unwrap_or_else(PoisonError::into_inner) {
            Some(core) => {
                let (policy, backends) = (core.options().policy.name(), core.statistics().backends);
                format!("<trimtab.Pool policy={policy} backends={backends}>")
            }
            None => "<trimtab.Pool closed>".into(),
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::stays("Pool"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.events.as_ref().map_or(Ok(()), |events| events.traverse(&visit))
    }

    fn __clear__(&self) {
        if let Some(events) = &self.events {
            events.close();
        }
    }

    /// Panics inside the pool.
    #[cfg(feature = "test-hook")]
    fn _test_panic(&self, py: Python<'_>, detached: bool) -> PyResult<()> {
        if detached {
            self.detached(py, |_| panic!("asked to"))
        } else {
            self.held(py, |_| panic!("asked to"))
        }
    }
}
