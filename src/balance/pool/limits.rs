//! The limits of a pool: places and rates that a pick takes, who may wait, who may try again.

use super::{Avoid, Pool};
use crate::balance::backend::BackendId;
use crate::balance::lane;
use crate::balance::member::Serving;
use crate::balance::pick::Request;
use crate::balance::retry::{Limit, Retry};
use crate::balance::table::Table;
use crate::balance::tickets::Held;
use crate::error::{Error, NoBackend, Result};
use crate::sync::Ordering;
use crate::time::Instant;

impl Pool {
    /// Says that somebody waits for a place, as [`Pool::want`] does, unless `pending_max` do already.
    ///
    /// Errors: `Capacity`.
    pub fn try_want(&self) -> Result<()> {
        let most = match self.options.pending_max {
            0 => usize::MAX,
            most => most as usize,
        };
        if self.watch.try_want(most) {
            return Ok(());
        }
        Err(Error::Capacity { what: "pending_max", limit: u64::from(self.options.pending_max) })
    }

    /// One less waits for a place, as [`Pool::unwant`], for who may be wrong about it.
    ///
    /// Errors: `State` when nobody waits.
    pub fn try_unwant(&self) -> Result<()> {
        if self.watch.try_unwant() {
            return Ok(());
        }
        Err(Error::State {
            what: "pool",
            detail: "has nobody waiting; each try_want is good for one unwant".into(),
        })
    }

    /// How many wait for a place.
    pub fn pending(&self) -> usize {
        self.watch.wanted()
    }

    /// Begins a retry: another pick, or another try at a connection, for what failed. It is in flight until its
    /// token is given to [`Pool::retry_end`]; so many may be as the retry budget has.
    ///
    /// Errors: `Capacity` names the limit that is reached: `retry_budget`, `retries_max` or `retries`. Nothing is in
    /// flight then, and what failed should fail.
    pub fn retry_begin(&self, now: Instant) -> Result<Retry> {
        loop {
            let limit = self.retry_limit(now);
            if let Some(begun) = self.retries.begin(limit, self.salt) {
                return begun;
            }
            // Others began meanwhile what is within the budget at any load: now it has to be counted.
            if limit.is_counted {
                return Err(self.retries.refuse(limit));
            }
        }
    }

    /// Ends a retry, however it went.
    ///
    /// Errors: `StalePick` when it ended before or is none of this pool's.
    pub fn retry_end(&self, retry: Retry) -> Result<()> {
        self.retries.end(retry, self.salt)
    }

    /// Whether [`Pool::retry_begin`] would find room in the budget now. Another thread may take it first.
    pub fn may_retry(&self, now: Instant) -> bool {
        u64::from(self.retries.in_flight()) < self.retry_limit(now).most
    }

    fn retry_limit(&self, now: Instant) -> Limit {
        let table = self.table.load();
        let lanes = &self.lanes[..self.lanes_used.load(Ordering::Acquire)];
        let cells = table.members().len() * lanes.len();
        let active = || table.members().iter().map(|member| lane::in_flight(lanes, member.slot)).sum();
        self.retries.limit(&self.options, self.pending() as u64, cells, active, now)
    }

    /// Whether the backend of `slot` has room and is within its rate.
    #[inline]
    pub(super) fn has_room(&self, serving: &Serving, slot: u32, now: Instant) -> bool {
        let shared = self.shared.at(slot);
        serving.most.is_none_or(|most| shared.places.has_room(most))
            && serving.pace.is_none_or(|pace| shared.bucket.wait(pace, now).is_zero())
    }

    /// Takes what the chosen backend and the pool limit, all of it or nothing: whether a place is held, or `None`
    /// when another thread took the last of something since it was looked at.
    #[inline]
    pub(super) fn reserve(&self, serving: &Serving, slot: u32, now: Instant) -> Option<bool> {
        let reserved = match serving.most {
            None => false,
            Some(most) => {
                if !self.shared.at(slot).places.reserve(most) {
                    return None;
                }
                true
            }
        };
        if !self.is_gated && serving.pace.is_none() {
            return Some(reserved);
        }
        self.reserve_further(serving, slot, now, reserved)
    }

    #[inline(never)]
    fn reserve_further(&self, serving: &Serving, slot: u32, now: Instant, reserved: bool) -> Option<bool> {
        let shared = self.shared.at(slot);
        let is_in = !self.is_gated || self.gate.enter(now);
        if is_in && serving.pace.is_none_or(|pace| shared.bucket.take(pace, now)) {
            return Some(reserved);
        }
        let has_entered = is_in && self.is_gated;
        if has_entered {
            self.gate.put_back();
            self.gate.leave();
        }
        if reserved {
            shared.places.release();
        }
        if has_entered || reserved {
            // Whoever looked for a place or for the rate meanwhile found none.
            self.watch.freed();
        }
        None
    }

    /// Gives back what a pick holds, and says so to who wants a place.
    #[inline]
    pub(super) fn release(&self, slot: u32) {
        self.shared.at(slot).places.release();
        if self.is_gated {
            self.gate.leave();
        }
        self.watch.freed();
    }

    /// Gives back all that a pick took which came to nothing.
    pub(super) fn unreserve(&self, serving: &Serving, held: Held) {
        if let Some(pace) = serving.pace {
            self.shared.at(held.slot).bucket.put_back(pace);
        }
        if self.is_gated {
            self.gate.put_back();
        }
        if held.reserved {
            self.release(held.slot);
        } else if serving.pace.is_some() || self.is_gated {
            // A rate has room sooner than who waits for it was told.
            self.watch.freed();
        }
    }

    /// Why a pick like `request` found no backend in `table`.
    #[cold]
    pub(super) fn why_nobody(&self, table: &Table, request: &Request<'_>, avoid: Avoid) -> NoBackend {
        let backends = table.members().len() as u32;
        match (backends, table.serving()) {
            (0, _) => NoBackend::Empty,
            (_, 0) => NoBackend::Unusable { backends },
            (_, backends) => {
                let avoided = if avoid == Avoid::Always { request.avoid } else { &[] };
                self.why_no_room(table, backends, avoided, request.now)
            }
        }
    }

    /// Why none of those that serve, so many, may be picked, apart from those avoided.
    fn why_no_room(&self, table: &Table, serve: u32, avoided: &[BackendId], now: Instant) -> NoBackend {
        let serving = table.tiers().flat_map(|tier| tier.serving.iter().zip(&tier.hot));
        let others = serving.filter(|(serving, _)| !avoided.contains(&serving.id));
        let backends = others.clone().count() as u32;
        if backends == 0 {
            return NoBackend::Avoided { backends: serve };
        }
        if self.is_gated
            && let Some(closed) = self.gate.closed(now)
        {
            return closed;
        }
        let waits = others.filter_map(|(serving, hot)| {
            let shared = self.shared.at(hot.slot);
            let has_place = serving.most.is_none_or(|most| shared.places.has_room(most));
            serving.pace.filter(|_| has_place).map(|pace| shared.bucket.wait(pace, now))
        });
        match waits.min() {
            Some(wait) => NoBackend::RateLimited { backends, wait },
            None => NoBackend::Full { backends },
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::balance::backend::{Address, Backend};
    use crate::balance::observer::{Change, Observer};
    use crate::balance::options::Options;

    /// Counts how often a place may have come free.
    struct Rooms(Arc<AtomicU32>);

    impl Observer for Rooms {
        fn handle_room(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn handle_change(&self, _: &Change) {}
    }

    /// Whoever looks for a place while one is held that comes to nothing is told that it is free again.
    #[test]
    fn a_place_taken_in_vain_is_told_of() {
        let now = Instant::from_millis(1_000);
        let backend = Backend::new(Address::Inet(([10, 0, 0, 1], 80).into()));
        let one_a_second = Backend { maxconn: 1, connection_rate: 1, connection_burst: 1, ..backend.clone() };
        let gated = Options { maxconn: 1, connection_rate: 1, connection_burst: 1, ..Options::default() };
        for (options, backend) in [(Options::default(), one_a_second), (gated, backend)] {
            let (pool, rooms) = watched(options, backend);
            let table = pool.table.load();
            let (serving, slot) = (&table.front.serving[0], table.front.hot[0].slot);
            assert_eq!(pool.reserve(serving, slot, now), Some(true));
            pool.release(slot);
            pool.want();
            assert_eq!(pool.reserve(serving, slot, now), None, "the rate is used up");
            assert_eq!(rooms.load(Ordering::Relaxed), 1);
            assert_eq!(pool.shared.at(slot).places.occupied() + pool.gate.places().occupied(), 0);
        }
    }

    /// Whoever was told to wait for a rate is told when what was counted against it is given back.
    #[test]
    fn a_rate_used_in_vain_is_told_of() {
        let now = Instant::from_millis(1_000);
        let backend = Backend::new(Address::Inet(([10, 0, 0, 1], 80).into()));
        let paced = Backend { connection_rate: 1, connection_burst: 1, ..backend.clone() };
        let gated = Options { connection_rate: 1, connection_burst: 1, ..Options::default() };
        let one_pick = Options { picks_max: 1, lanes: 1, ..Options::default() };
        // A pick that found no ticket, under either rate, and one that the pool let through and its backend did not.
        for (options, backend) in [
            (one_pick.clone(), paced.clone()),
            (Options { picks_max: 1, lanes: 1, ..gated.clone() }, backend),
        ] {
            let (pool, rooms) = watched(options, backend);
            let table = pool.table.load();
            let (serving, slot) = (&table.front.serving[0], table.front.hot[0].slot);
            assert_eq!(pool.reserve(serving, slot, now), Some(false));
            let request = Request { now, ..Request::default() };
            assert!(matches!(
                pool.pick(&request),
                Err(Error::NoBackend(NoBackend::RateLimited { .. } | NoBackend::PoolRateLimited { .. }))
            ));
            pool.want();
            pool.unreserve(serving, Held { slot, reserved: false });
            assert_eq!(rooms.load(Ordering::Relaxed), 1, "the rate has room again");
            assert!(pool.pick(&request).is_ok());
        }
        let (pool, rooms) = watched(Options { connection_burst: 2, ..gated }, paced);
        let table = pool.table.load();
        let (serving, slot) = (&table.front.serving[0], table.front.hot[0].slot);
        assert_eq!(pool.reserve(serving, slot, now), Some(false));
        pool.want();
        assert_eq!(pool.reserve(serving, slot, now), None, "the backend's rate is used up");
        assert_eq!(rooms.load(Ordering::Relaxed), 1, "the pool's was put back");
    }

    fn watched(options: Options, backend: Backend) -> (Pool, Arc<AtomicU32>) {
        let pool = Pool::new(options).unwrap();
        pool.add(backend).unwrap();
        let rooms = Arc::new(AtomicU32::new(0));
        assert!(pool.observe(Box::new(Rooms(Arc::clone(&rooms)))));
        (pool, rooms)
    }
}
