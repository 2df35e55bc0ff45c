//! How a pool changes: each change builds the next member table and publishes it whole.

use std::sync::Arc;

use super::Pool;
use crate::balance::backend::{Admin, Backend, BackendId, Observed};
use crate::balance::edit::{Counters, Edit};
use crate::balance::lane::{self, Lane};
use crate::balance::member::Member;
use crate::balance::outlier::Counted;
use crate::balance::statistics::Totals;
use crate::balance::table::Table;
use crate::error::Result;
use crate::sync::{self, Ordering};
use crate::time::Instant;

impl Pool {
    /// Changes the pool: `change` works on a copy, and when it returns `Ok` everything it did takes effect
    /// at once. It runs again when another thread's change came first, so it must not rely on running once.
    /// When this returns, no pick that contradicts the change is handed out any more: a removed or drained
    /// backend gets nothing new.
    pub fn update<R>(&self, mut change: impl FnMut(&mut Edit<'_>) -> Result<R>) -> Result<R> {
        loop {
            let before = self.table.load_full();
            let mut edit = before.edit(&self.options, self);
            let result = change(&mut edit)?;
            let after = Arc::new(edit.finish());
            if !self.table.replace(&before, Arc::clone(&after)) {
                continue;
            }
            self.generation.fetch_max(after.generation, Ordering::AcqRel);
            // Pairs with the barrier in `pick`: whoever does not see the new generation there has counted
            // its pick where we look for it now.
            sync::fence(Ordering::SeqCst);
            self.count_in_newly_limited(&before, &after);
            self.forget_other_rates(&before, &after);
            self.watch.changed(&before, &after);
            if let Some(outliers) = &self.outliers {
                let next = after.judge().and_then(|judge| judge.detector().next_deadline());
                outliers.changed(before.members(), after.members(), next);
            }
            return Ok(result);
        }
    }

    /// Adds a backend. See [`Edit::add`] for errors.
    pub fn add(&self, backend: Backend) -> Result<BackendId> {
        self.update(|edit| edit.add(backend.clone()))
    }

    /// Adds all of these or none, in one change, which is far quicker than one by one.
    pub fn add_all(&self, backends: &[Backend]) -> Result<Vec<BackendId>> {
        self.update(|edit| backends.iter().map(|backend| edit.add(backend.clone())).collect())
    }

    /// Takes a backend out. Its picks in flight may still be reported done.
    pub fn remove(&self, id: BackendId) -> Result<()> {
        self.update(|edit| edit.remove(id))
    }

    /// Changes a weight. See [`Edit::set_weight`].
    pub fn set_weight(&self, id: BackendId, weight: u32) -> Result<()> {
        self.update(|edit| edit.set_weight(id, weight))
    }

    /// Changes the most picks in flight. Exact once this has returned.
    pub fn set_maxconn(&self, id: BackendId, maxconn: u32) -> Result<()> {
        self.update(|edit| edit.set_maxconn(id, maxconn))
    }

    /// Changes the most picks a second, and how many may come at once. See [`Edit::set_connection_rate`].
    pub fn set_connection_rate(&self, id: BackendId, rate: u32, burst: u32) -> Result<()> {
        self.update(|edit| edit.set_connection_rate(id, rate, burst))
    }

    /// Changes the tier.
    pub fn set_tier(&self, id: BackendId, tier: u8) -> Result<()> {
        self.update(|edit| edit.set_tier(id, tier))
    }

    /// Carries out an operator's order.
    pub fn set_admin(&self, id: BackendId, admin: Admin) -> Result<()> {
        self.update(|edit| edit.set_admin(id, admin))
    }

    /// Takes note of what was observed. Whoever knows when, says so: [`Pool::set_observed_at`].
    pub fn set_observed(&self, id: BackendId, observed: Observed) -> Result<()> {
        self.update(|edit| edit.set_observed(id, observed))
    }

    /// Takes note of what was observed, and when.
    pub fn set_observed_at(&self, id: BackendId, observed: Observed, now: Instant) -> Result<()> {
        self.update(|edit| edit.set_observed_at(id, observed, now))
    }

    /// Takes note of what was observed, when and why. See [`Edit::set_observed_with`].
    pub fn set_observed_with(
        &self,
        id: BackendId,
        observed: Observed,
        reason: &str,
        now: Instant,
    ) -> Result<()> {
        self.update(|edit| edit.set_observed_with(id, observed, reason, now))
    }

    /// Changes the owner's own number.
    pub fn set_tag(&self, id: BackendId, tag: u64) -> Result<()> {
        self.update(|edit| edit.set_tag(id, tag))
    }

    /// Counts picks made before their backend had a limit towards the limit it has now.
    fn count_in_newly_limited(&self, before: &Table, after: &Table) {
        for member in after.members().iter().filter(|member| member.is_limited) {
            if before.member(member.id).is_ok_and(|earlier| !earlier.is_limited) {
                let picks = self.lanes.iter().map(|lane| lane.tickets.adopt(member.slot)).sum();
                self.shared.at(member.slot).places.adopt(picks);
            }
        }
    }

    /// Lets a rate that was changed begin with a full bucket: what was used of another one may be hours of it.
    fn forget_other_rates(&self, before: &Table, after: &Table) {
        let rate = |member: &Member| (member.connection_rate, member.connection_burst);
        for member in after.members().iter().filter(|member| member.connection_rate > 0) {
            if before.member(member.id).is_ok_and(|earlier| rate(earlier) != rate(member)) {
                self.shared.at(member.slot).bucket.reset();
            }
        }
    }
}

impl Counters for Pool {
    fn in_flight(&self, slot: u32) -> u64 {
        lane::in_flight(&self.lanes, slot)
    }

    fn grow(&self, slots: u32) {
        self.lanes.iter().for_each(|lane| lane.grow(slots));
        self.shared.grow(slots);
        if self.is_measured {
            self.measures.grow(slots);
        }
        if let Some(outliers) = &self.outliers {
            outliers.grow(slots);
        }
        if let Some(limiter) = &self.limiter {
            limiter.grow(slots);
        }
    }

    fn restart(&self, slot: u32) -> Totals {
        for lane in &self.lanes {
            lane.cell(slot).cost.store(0, Ordering::Relaxed);
            lane.cell(slot).stamp.store(0, Ordering::Relaxed);
        }
        self.shared.at(slot).bucket.reset();
        if let Some(outliers) = &self.outliers {
            outliers.reset(slot);
        }
        if let Some(limiter) = self.limiter.as_ref().filter(|limiter| !limiter.is_for_the_pool()) {
            limiter.restart(slot);
            self.shared.at(slot).places.set_ceiling(limiter.first());
        }
        let totals = Totals::read(&self.lanes, slot, &self.shared.at(slot).unsuccessful);
        if self.is_measured {
            self.measures.restart(slot, totals.latency_sum, totals.latency_count);
        }
        totals
    }

    fn measured_share(&self, slot: u32) -> f64 {
        self.measures.share(slot)
    }

    fn has_begun(&self) -> bool {
        self.lanes.iter().any(Lane::has_begun)
    }

    fn counted(&self, slot: u32) -> Counted {
        let totals = Totals::read(&self.lanes, slot, &self.shared.at(slot).unsuccessful);
        let outcomes = totals.outcomes();
        let failures = outcomes.connect_failed + outcomes.failed + outcomes.timed_out;
        Counted { successes: outcomes.success, failures }
    }
}
