//! The store's primary is killed as by `kill -9`, with a count on its way; another node takes over.

use super::{Judgement, Step};
use crate::cli::demo::judge::number;
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::plan::{BACKENDS, COUNTS_AFTER_KILL, READS_AFTER_KILL, STORE_NODES};
use crate::cli::demo::stage::Stage;
use crate::cli::demo::store::Failover;
use crate::error::Result;
use crate::time::Clock;

#[derive(Default)]
pub(super) struct FailOver {
    victim: usize,
    /// Counts that were acknowledged when it was gone, and reads of the replica that were answered.
    before: (u64, u64),
    after: Option<Failover>,
}

impl Step for FailOver {
    fn name(&self) -> String {
        "primary killed".into()
    }

    fn weight(&self) -> u32 {
        2
    }

    fn announce(&self) -> String {
        "the primary of the store that counts the answers is killed with -9".into()
    }

    fn is_moment(&self, ledger: &Ledger) -> bool {
        // The worst there is: it is in the midst of a write.
        ledger.tally.is_on_the_way()
    }

    fn act(&mut self, stage: &mut Stage) -> Result<()> {
        self.victim = stage.store.primary()?;
        stage.store.kill(self.victim)?;
        let gone = Clock.now();
        {
            let ledger = stage.desk.ledger();
            self.before = (ledger.tally.acknowledged(), ledger.freshness.reads);
        }
        self.after = Some(stage.store.fail_over(gone)?);
        Ok(())
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        // It goes on counting, and the replica is as fresh as it has to be.
        let (counts, reads) = self.before;
        ledger.tally.acknowledged() >= counts + COUNTS_AFTER_KILL
            && ledger.freshness.reads >= reads + READS_AFTER_KILL
    }

    fn judge(&mut self, stage: &Stage, _: &Counts) -> Result<Judgement> {
        let counted = stage.counted()?;
        let stale = stage.stale();
        let after = self.after.as_ref().expect("it was killed");
        let cost = format!(
            "{} took over from {} after {} ms; {} acknowledged before, {} lost",
            STORE_NODES[after.primary],
            STORE_NODES[self.victim],
            after.nanos / 1_000_000,
            number(self.before.0, "count"),
            counted.lost(),
        );
        Ok(Judgement { cost, wrong: counted.wrong(&BACKENDS).into_iter().chain(stale).collect() })
    }
}
