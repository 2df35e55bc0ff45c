//! A backend is drained through the pool: nothing new, and what it has goes on.

use super::{Judgement, Step};
use crate::balance::Admin;
use crate::cli::demo::judge::{self, number};
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::plan::{BACKENDS, CONNECTIONS_FOR_NONE};
use crate::cli::demo::stage::Stage;
use crate::error::Result;

pub(super) struct Drain {
    backend: usize,
    /// Connections that were open to it when it was drained.
    open: u64,
}

impl Drain {
    pub(super) fn new(backend: usize) -> Self {
        Self { backend, open: 0 }
    }
}

impl Step for Drain {
    fn name(&self) -> String {
        format!("{} drained", BACKENDS[self.backend])
    }

    fn weight(&self) -> u32 {
        2
    }

    fn announce(&self) -> String {
        format!("{} is drained: nothing new for it, what it has goes on", BACKENDS[self.backend])
    }

    fn is_moment(&self, ledger: &Ledger) -> bool {
        // The worst there is: it is in the midst of an answer.
        ledger.is_asked(self.backend)
    }

    fn act(&mut self, stage: &mut Stage) -> Result<()> {
        stage.pool.set_admin(stage.id(self.backend)?, Admin::Drain)?;
        self.open = stage.statistics(self.backend)?.in_flight;
        Ok(())
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        // Its connections were closed, each by its client.
        ledger.counts().connections_sum() >= CONNECTIONS_FOR_NONE && !ledger.has_older(self.backend)
    }

    fn judge(&mut self, _: &Stage, counts: &Counts) -> Result<Judgement> {
        let cost = format!(
            "nothing: {} open to it went on, with {}, until the clients closed them",
            number(self.open, "connection"),
            number(counts.answers[self.backend], "more answer"),
        );
        // That none of them was cut is the ledger's to notice: it would have failed.
        let wrong = judge::nothing_new(counts, self.backend, BACKENDS[self.backend]);
        Ok(Judgement { cost, wrong: wrong.into_iter().collect() })
    }
}
