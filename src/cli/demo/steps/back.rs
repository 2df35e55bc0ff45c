//! A backend that was stopped comes back on the same address.

use super::{Judgement, Step, are_shares_seen, judge_shares};
use crate::balance::Observed;
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::plan::BACKENDS;
use crate::cli::demo::stage::Stage;
use crate::error::Result;

pub(super) struct Back {
    pub(super) backend: usize,
}

impl Step for Back {
    fn name(&self) -> String {
        format!("{} back", BACKENDS[self.backend])
    }

    fn weight(&self) -> u32 {
        2
    }

    fn announce(&self) -> String {
        format!("{} is started again on the same address", BACKENDS[self.backend])
    }

    fn act(&mut self, stage: &mut Stage) -> Result<()> {
        // Not before it is known to be down: what is known of it then is of what it is now.
        stage.wait_until(self.backend, Observed::Down)?;
        stage.backends[self.backend].start_again()?;
        stage.wait_until(self.backend, Observed::Up)
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        are_shares_seen(ledger)
    }

    fn judge(&mut self, _: &Stage, counts: &Counts) -> Result<Judgement> {
        Ok(judge_shares(counts))
    }
}
