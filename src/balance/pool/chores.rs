//! What a pool does from time to time, in whoever's call comes first after it is due: weighing what was measured,
//! the steps of a slow start, judging outliers, adaptive limits.

use std::sync::Arc;

use super::Pool;
use crate::balance::adaptive::{Limiter, Subject};
use crate::balance::member::Member;
use crate::balance::outlier::Outliers;
use crate::balance::pick::{Outcome, Timings};
use crate::balance::policy::Plan;
use crate::time::Instant;

impl Pool {
    /// Does what is due: weighs anew if fastest, observed or predictive have a tick due, takes the next step of a
    /// slow start, ejects outliers and takes them back, sets adaptive limits anew. `pick` and `done` do the same; a
    /// loop of its own calls this at [`next_deadline`](Self::next_deadline) to keep most of that off their path. Errors
    /// in a row stay there: the `done` that makes too many of them judges at once.
    pub fn handle_timeout(&self, now: Instant) {
        self.attend(now);
    }

    /// When `handle_timeout` is next of use; `None` when nothing is to be done.
    pub fn next_deadline(&self) -> Option<Instant> {
        let measure = self.is_measured.then(|| self.measures.next());
        let step = (self.starts_slowly && self.table.load().is_starting).then(|| self.steps.next());
        let judge = self.outliers.as_ref().map(Outliers::due);
        let adapt = self.limiter.as_ref().map(Limiter::due);
        let is_near = |due: &Instant| due.as_nanos() < u64::MAX;
        [measure, step, judge, adapt].into_iter().flatten().filter(is_near).min()
    }

    /// Does what is due.
    #[inline]
    pub(super) fn attend(&self, now: Instant) {
        if !self.is_attended {
            return;
        }
        if self.is_measured && now >= self.measures.next() {
            self.measure(now);
        }
        if self.has_chores {
            self.do_chores(now);
        }
    }

    #[inline(never)]
    fn do_chores(&self, now: Instant) {
        if self.starts_slowly && now >= self.steps.next() {
            self.step(now);
        }
        if let Some(outliers) = &self.outliers
            && now >= outliers.due()
        {
            self.judge(outliers, now);
        }
        if let Some(limiter) = &self.limiter
            && now >= limiter.due()
        {
            self.adapt(limiter, now);
        }
    }

    /// Counts how a pick went for whoever looks at that from time to time.
    #[inline]
    pub(super) fn note(&self, slot: u32, outcome: Outcome, timings: &Timings, now: Instant) {
        if let Some(outliers) = &self.outliers {
            outliers.count(slot, outcome, now);
        }
        if let Some(limiter) = &self.limiter {
            limiter.count(slot, outcome, timings, now);
        }
    }

    #[cold]
    fn adapt(&self, limiter: &Limiter, now: Instant) {
        let Some(claimed) = limiter.claim(now) else { return };
        let table = self.table.load();
        let of_pool = [Subject { slot: 0, id: None, in_flight: self.gate.places().occupied() }];
        let of_backend = |member: &Arc<Member>| {
            let in_flight = self.shared.at(member.slot).places.occupied();
            Subject { slot: member.slot, id: Some(member.id), in_flight }
        };
        let of_backends: Vec<Subject>;
        let subjects = if limiter.is_for_the_pool() {
            &of_pool[..]
        } else {
            of_backends = table.members().iter().map(of_backend).collect();
            &of_backends
        };
        let mut has_grown = false;
        limiter.run(claimed, subjects, now, |slot, limit| {
            let places =
                if limiter.is_for_the_pool() { self.gate.places() } else { &self.shared.at(slot).places };
            has_grown |= places.set_ceiling(limit);
        });
        if has_grown {
            self.watch.freed();
        }
    }

    #[cold]
    fn judge(&self, outliers: &Outliers, now: Instant) {
        let Some(claimed) = outliers.claim(now) else { return };
        let streaks = outliers.take(self.table.load().members());
        let done = self.update(|edit| {
            edit.judge(&streaks, now);
            Ok(())
        });
        debug_assert_eq!(done, Ok(()), "a judgement refuses nothing");
        let table = self.table.load();
        let next = table.judge().and_then(|judge| judge.detector().next_deadline());
        outliers.settle(claimed, table.members().len(), next, now);
    }

    #[cold]
    fn step(&self, now: Instant) {
        if self.steps.claim(&self.options, now) && self.table.load().is_starting {
            let done = self.update(|edit| {
                edit.step(now);
                Ok(())
            });
            debug_assert_eq!(done, Ok(()), "a step changes weights and refuses nothing");
        }
    }

    #[cold]
    fn measure(&self, now: Instant) {
        let table = self.table.load();
        let tiers = table.tiers().filter_map(|tier| match &tier.plan {
            Plan::Measured(turns) => Some((&*tier.hot, turns)),
            _ => None,
        });
        self.measures.run(tiers, &self.lanes, &self.options, now);
    }
}
