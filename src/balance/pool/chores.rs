//! What a pool does from time to time, in whoever's call comes first after it is due: weighing what was measured,
//! the steps of a slow start, judging outliers.

use super::Pool;
use crate::balance::outlier::Outliers;
use crate::balance::pick::Outcome;
use crate::balance::policy::Plan;
use crate::time::Instant;

impl Pool {
    /// Does what is due: weighs anew if fastest, observed or predictive have a tick due, takes the next step of a
    /// slow start, ejects outliers and takes them back. `pick` and `done` do the same; a loop of its own calls this at
    /// [`next_deadline`](Self::next_deadline) to keep that off their path.
    pub fn handle_timeout(&self, now: Instant) {
        self.attend(now);
    }

    /// When `handle_timeout` is next of use; `None` when nothing is to be done.
    pub fn next_deadline(&self) -> Option<Instant> {
        let measure = self.is_measured.then(|| self.measures.next());
        let step = (self.starts_slowly && self.table.load().is_starting).then(|| self.steps.next());
        let judge = self.outliers.as_ref().map(Outliers::due).filter(|due| due.as_nanos() < u64::MAX);
        [measure, step, judge].into_iter().flatten().min()
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
        if self.starts_slowly && now >= self.steps.next() {
            self.step(now);
        }
        if let Some(outliers) = &self.outliers
            && now >= outliers.due()
        {
            self.judge(outliers, now);
        }
    }

    /// Counts how a pick went for whoever looks at that from time to time.
    #[inline]
    pub(super) fn note(&self, slot: u32, outcome: Outcome, now: Instant) {
        if let Some(outliers) = &self.outliers {
            outliers.count(slot, outcome, now);
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
