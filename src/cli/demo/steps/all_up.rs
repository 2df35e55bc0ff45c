//! Nothing happens: all backends are up.

use super::{Judgement, Step, are_shares_seen, judge_shares};
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::stage::Stage;
use crate::error::Result;

pub(super) struct AllUp;

impl Step for AllUp {
    fn name(&self) -> String {
        "all up".into()
    }

    fn weight(&self) -> u32 {
        3
    }

    fn announce(&self) -> String {
        "all three backends are up".into()
    }

    fn act(&mut self, _: &mut Stage) -> Result<()> {
        Ok(())
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        are_shares_seen(ledger)
    }

    fn judge(&mut self, _: &Stage, counts: &Counts) -> Result<Judgement> {
        Ok(judge_shares(counts))
    }
}
