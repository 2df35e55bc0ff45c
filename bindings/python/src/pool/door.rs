//! The pool until it is closed: how a closed, panicked or forked one refuses, who is told what happens, which time counts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use pyo3::prelude::*;
use trimtab::balance::{self, Lane, Outcome, Policy, Timings, Token};
use trimtab::time::{Clock, Instant};

use super::Pool;
use crate::{convert, errors};

impl Pool {
    /// The pool of a server in the process `owner`, whose threads pick from it too.
    pub(crate) fn of_server(pool: Arc<balance::Pool>, owner: u32) -> Self {
        Self::new_door(pool, true, Lane::Shared, Some(owner))
    }

    pub(super) fn new_door(
        pool: Arc<balance::Pool>,
        needs_time: bool,
        lane: Lane,
        owner: Option<u32>,
    ) -> Self {
        let identity = Arc::as_ptr(&pool).addr();
        let needs_time = AtomicBool::new(needs_time);
        Self { core: RwLock::new(Some(pool)), needs_time, events: None, lane, owner, identity }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.core.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Whether nothing can be reported any more: it is closed, or the parent's.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_closed() || self.is_foreign()
    }

    /// Whether both are doors to one pool.
    #[inline]
    pub(crate) fn is_same(&self, other: &Pool) -> bool {
        self.identity == other.identity
    }

    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        self.owner.is_some_and(|owner| owner != std::process::id())
    }

    /// Refuses a server's pool in a child made by fork: what its changes set off are the parent's threads.
    #[inline]
    pub(super) fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_foreign() { Err(errors::forked(py, "server")) } else { Ok(()) }
    }

    /// Reports a pick by its token.
    #[inline]
    pub(crate) fn report(
        &self,
        py: Python<'_>,
        token: Token,
        outcome: Outcome,
        timings: &Timings,
        now: Instant,
    ) -> PyResult<()> {
        self.held(py, |core| core.done(self.lane, token, outcome, timings, now))
    }

    /// The caller's time, or the clock's where the policy looks at it.
    #[inline]
    pub(crate) fn now(&self, given: Option<&Bound<'_, PyAny>>) -> PyResult<Instant> {
        match given {
            Some(now) => convert::moment(now),
            None if self.needs_time.load(Ordering::Relaxed) => Ok(Clock.now()),
            None => Ok(Instant::START),
        }
    }

    /// Calls into the pool with the interpreter held: for what takes less time than letting go of it.
    /// `call` must not run Python code.
    #[inline]
    pub(super) fn held<R>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&balance::Pool) -> trimtab::Result<R>,
    ) -> PyResult<R> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner);
        let Some(pool) = &*core else { return Err(errors::closed(py, "pool")) };
        self.check_process(py)?;
        let result = catch_unwind(AssertUnwindSafe(|| call(pool)));
        drop(core);
        self.tell(py);
        self.settled(py, result)
    }

    /// Calls into the pool while other Python threads run, unless somebody is told its events.
    pub(super) fn detached<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&balance::Pool) -> trimtab::Result<R> + Send,
    ) -> PyResult<R> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(pool) = core else { return Err(errors::closed(py, "pool")) };
        self.check_process(py)?;
        let call = || catch_unwind(AssertUnwindSafe(|| call(&pool)));
        // What happens is queued behind a lock, which a fork by another thread must find free: so it is only ever
        // taken by the thread that Python runs.
        let result = if self.events.is_some() { call() } else { py.detach(call) };
        self.tell(py);
        self.settled(py, result)
    }

    /// Tells what happened, with no lock held: the function may call anything here.
    #[inline]
    fn tell(&self, py: Python<'_>) {
        if let Some(events) = &self.events {
            events.tell(py);
        }
    }

    /// A backend is to have this rate: from now on picks need the time.
    pub(super) fn watch_rate(&self, rate: u32) {
        if rate > 0 {
            self.needs_time.store(true, Ordering::Relaxed);
        }
    }

    #[inline]
    fn settled<R>(&self, py: Python<'_>, result: std::thread::Result<trimtab::Result<R>>) -> PyResult<R> {
        match result {
            Ok(result) => result.map_err(|error| errors::raised(py, &error)),
            Err(panic) => {
                self.close();
                Err(errors::panicked(py, "pool", &*panic))
            }
        }
    }
}

/// Whether `pick` or `done` of this policy look at the time. One that this binding does not know may.
/// Least connections and power of two do for what other lanes count; only a server's pool has any.
pub(super) fn needs_time(policy: Policy) -> bool {
    !matches!(
        policy,
        Policy::RoundRobin
            | Policy::Static
            | Policy::First
            | Policy::Random
            | Policy::LeastConnections
            | Policy::PowerOfTwo
            | Policy::Source
            | Policy::Hash
    )
}

/// Where every pick counts, but those of a server's pool: its threads count without the interpreter's lock, on
/// lanes of their own, so Python counts on one that is shared. Elsewhere the lock lets one thread at a time in,
/// which is all that a lane of one's own asks for; so there is one order of turns and one exact count of what
/// is in flight, however many threads there are. Nothing that runs without the lock counts there.
pub(super) const OWN_LANE: Lane = Lane::Own(0);
