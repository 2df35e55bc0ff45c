//! A backend stops abruptly, as in a crash: it listens no more and its connections are cut.

use super::{Judgement, Step};
use crate::cli::demo::judge::{self, number};
use crate::cli::demo::ledger::{Counts, Ledger};
use crate::cli::demo::plan::{BACKENDS, CONNECTIONS_FOR_NONE};
use crate::cli::demo::stage::Stage;
use crate::error::Result;

pub(super) struct Stop {
    backend: usize,
    /// Connections that were open to it, or about to be, when it stopped.
    open: u64,
    retries_before: u64,
}

impl Stop {
    pub(super) fn new(backend: usize) -> Self {
        Self { backend, open: 0, retries_before: 0 }
    }
}

impl Step for Stop {
    fn name(&self) -> String {
        format!("{} stopped", BACKENDS[self.backend])
    }

    fn weight(&self) -> u32 {
        3
    }

    fn announce(&self) -> String {
        format!("{} is stopped: its connections are cut, and it refuses new ones", BACKENDS[self.backend])
    }

    fn is_moment(&self, ledger: &Ledger) -> bool {
        // The worst there is: it is in the midst of an answer.
        ledger.is_asked(self.backend)
    }

    fn act(&mut self, stage: &mut Stage) -> Result<()> {
        self.retries_before = stage.retries()?;
        stage.desk.ledger().excuse(self.backend);
        let before = stage.statistics(self.backend)?;
        stage.backends[self.backend].stop();
        // Whoever is sent to it from now on is refused. So what was open is what the pool counted in flight
        // before, and what it gave to the backend until here.
        let after = stage.statistics(self.backend)?;
        self.open = before.in_flight + after.picks.saturating_sub(before.picks);
        Ok(())
    }

    fn is_seen(&self, ledger: &Ledger) -> bool {
        // Every client has noticed whose connection was cut.
        ledger.counts().connections_sum() >= CONNECTIONS_FOR_NONE && !ledger.has_older(self.backend)
    }

    fn judge(&mut self, stage: &Stage, counts: &Counts) -> Result<Judgement> {
        let retries = stage.retries()? - self.retries_before;
        let cost = format!(
            "of {} {} cut in mid-request, {} idle; {retries} more found it gone and were sent on",
            number(self.open, "open connection"),
            was(counts.cut),
            counts.closed_idle,
        );
        let name = BACKENDS[self.backend];
        let wrong = [judge::cut_within(counts, self.open), judge::nothing_new(counts, self.backend, name)];
        Ok(Judgement { cost, wrong: wrong.into_iter().flatten().collect() })
    }

    fn broke(&self) -> u64 {
        self.open
    }
}

fn was(count: u64) -> String {
    format!("{count} {}", if count == 1 { "was" } else { "were" })
}
