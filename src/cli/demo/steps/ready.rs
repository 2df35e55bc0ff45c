//! A backend that was drained is made ready again.

use super::{Judgement, Step, are_shares_seen, judge_shares};
use crate::balance::Admin;
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::plan::BACKENDS;
use crate::cli::demo::stage::Stage;
use crate::error::Result;

pub(super) struct Ready {
    pub(super) backend: usize,
}

impl Step for Ready {
    fn name(&self) -> String {
        format!("{} ready", BACKENDS[self.backend])
    }

    fn weight(&self) -> u32 {
        2
    }

    fn announce(&self) -> String {
        format!("{} is made ready again", BACKENDS[self.backend])
    }

    fn act(&mut self, stage: &mut Stage) -> Result<()> {
        stage.pool.set_admin(stage.id(self.backend)?, Admin::Ready)
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        are_shares_seen(ledger)
    }

    fn judge(&mut self, _: &Stage, counts: &Counts) -> Result<Judgement> {
        Ok(judge_shares(counts))
    }
}
