//! All nodes of the store are killed as by `kill -9`, with a count on its way, and started again on what they wrote.

use std::time::Duration;

use super::{Judgement, Step};
use crate::cli::demo::judge::number;
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::plan::{BACKENDS, COUNTS_AFTER_KILL};
use crate::cli::demo::stage::Stage;
use crate::error::Result;
use crate::time::Clock;

#[derive(Default)]
pub(super) struct Kill {
    /// Counts that it had acknowledged when it was gone.
    before: u64,
    /// From the order to kill them until one of them was primary again.
    took: Duration,
}

impl Step for Kill {
    fn name(&self) -> String {
        "store killed".into()
    }

    fn weight(&self) -> u32 {
        2
    }

    fn announce(&self) -> String {
        "all nodes of the store are killed with -9, and started again".into()
    }

    fn is_moment(&self, ledger: &Ledger) -> bool {
        // The worst there is: it is in the midst of a write.
        ledger.tally.is_on_the_way()
    }

    fn act(&mut self, stage: &mut Stage) -> Result<()> {
        let begun = Clock.now();
        stage.store.kill_all()?;
        self.before = stage.desk.ledger().tally.acknowledged();
        stage.store.start_again()?;
        self.took = Clock.now().duration_since(begun);
        Ok(())
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        // It goes on counting.
        ledger.tally.acknowledged() >= self.before + COUNTS_AFTER_KILL
    }

    fn judge(&mut self, stage: &Stage, _: &Counts) -> Result<Judgement> {
        let counted = stage.counted()?;
        let cost = format!(
            "{} acknowledged before, {} lost; they were away for {} ms",
            number(self.before, "count"),
            counted.lost(),
            self.took.as_millis(),
        );
        Ok(Judgement { cost, wrong: counted.wrong(&BACKENDS).into_iter().collect() })
    }
}
