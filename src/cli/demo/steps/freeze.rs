//! A backend stands still: the system takes connections for it, and nobody answers. Its check finds out.

use std::time::Duration;

use super::{Judgement, Step};
use crate::balance::Observed;
use crate::cli::demo::judge::{self, number};
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::plan::{BACKENDS, CONNECTIONS_FOR_NONE};
use crate::cli::demo::stage::Stage;
use crate::error::Result;
use crate::time::Clock;

pub(super) struct Freeze {
    backend: usize,
    /// Connections that were open to it when it froze, or were made before its check found out.
    open: u64,
    /// From then until it was known.
    took: Duration,
}

impl Freeze {
    pub(super) fn new(backend: usize) -> Self {
        Self { backend, open: 0, took: Duration::ZERO }
    }
}

impl Step for Freeze {
    fn name(&self) -> String {
        format!("{} frozen", BACKENDS[self.backend])
    }

    fn weight(&self) -> u32 {
        3
    }

    fn announce(&self) -> String {
        format!("{} stands still: it takes connections and does not answer", BACKENDS[self.backend])
    }

    fn is_moment(&self, ledger: &Ledger) -> bool {
        ledger.is_asked(self.backend)
    }

    fn act(&mut self, stage: &mut Stage) -> Result<()> {
        stage.desk.ledger().excuse(self.backend);
        let before = stage.statistics(self.backend)?;
        let begun = Clock.now();
        stage.backends[self.backend].freeze();
        // Until its check finds out nobody can know. So what hung is what the pool counted in flight before, and
        // what it gave to the backend until then.
        stage.wait_until(self.backend, Observed::Down)?;
        self.took = Clock.now().duration_since(begun);
        let after = stage.statistics(self.backend)?;
        self.open = before.in_flight + after.picks.saturating_sub(before.picks);
        Ok(())
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        // Every client whose connection hung was cut loose.
        ledger.counts().connections_sum() >= CONNECTIONS_FOR_NONE && !ledger.has_older(self.backend)
    }

    fn judge(&mut self, _: &Stage, counts: &Counts) -> Result<Judgement> {
        let cost = format!(
            "{} hung, for {:.1} s at most, until the check found out and cut them",
            number(counts.cut, "request"),
            self.took.as_secs_f64(),
        );
        let name = BACKENDS[self.backend];
        let wrong = [judge::cut_within(counts, self.open), judge::nothing_new(counts, self.backend, name)];
        Ok(Judgement { cost, wrong: wrong.into_iter().flatten().collect() })
    }

    fn broke(&self) -> u64 {
        self.open
    }
}
