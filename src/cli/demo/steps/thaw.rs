//! A backend that stood still goes on, and its check brings it back.

use super::{Judgement, Step, are_shares_seen, judge_shares};
use crate::balance::Observed;
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::plan::BACKENDS;
use crate::cli::demo::stage::Stage;
use crate::error::Result;

pub(super) struct Thaw {
    pub(super) backend: usize,
}

impl Step for Thaw {
    fn name(&self) -> String {
        format!("{} thawed", BACKENDS[self.backend])
    }

    fn weight(&self) -> u32 {
        2
    }

    fn announce(&self) -> String {
        format!("{} goes on where it stood", BACKENDS[self.backend])
    }

    fn act(&mut self, stage: &mut Stage) -> Result<()> {
        stage.backends[self.backend].thaw();
        stage.wait_until(self.backend, Observed::Up)
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        are_shares_seen(ledger)
    }

    fn judge(&mut self, _: &Stage, counts: &Counts) -> Result<Judgement> {
        Ok(judge_shares(counts))
    }
}
