//! The steps of the demo, one file each. A step acts, says when enough was seen, and judges what was counted;
//! the time, the load and the report are others' affair. Another step is a file here and a line in [`all`].

mod all_up;
mod back;
mod drain;
mod fail_over;
mod freeze;
mod kill;
mod ready;
mod stop;
mod thaw;

use super::judge;
use super::ledger::{Counts, Ledger};
use super::plan::{BACKENDS, CONNECTIONS_FOR_SHARES, TOLERANCE};
use super::stage::Stage;
use crate::error::Result;

/// One step.
pub(super) trait Step {
    /// What tables call it.
    fn name(&self) -> String;

    /// Its part of the time, in comparison to the other steps'.
    fn weight(&self) -> u32;

    /// What it is about to do, in a sentence.
    fn announce(&self) -> String;

    /// Whether this is a moment to act at. When none comes it acts all the same. Asked with the ledger
    /// locked.
    fn is_moment(&self, _: &Ledger) -> bool {
        true
    }

    /// Does it. When this returns it is done: connections begun from then on are judged by it.
    fn act(&mut self, stage: &mut Stage) -> Result<()>;

    /// Whether enough has happened since to judge it by. Asked with the ledger locked.
    fn is_seen(&self, ledger: &Ledger) -> bool;

    /// What it cost, and what is wrong.
    fn judge(&mut self, stage: &Stage, counts: &Counts) -> Result<Judgement>;

    /// How many connections it broke on purpose, at most.
    fn broke(&self) -> u64 {
        0
    }
}

/// What is to be said about a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// What it cost, in a sentence.
    pub(super) cost: String,
    /// What should not be; nothing is good. That nothing may fail goes without saying.
    pub(super) wrong: Vec<String>,
}

/// The steps, in their order.
pub(super) fn all() -> Vec<Box<dyn Step>> {
    let (frozen, stopped, drained) = (0, 1, 2);
    vec![
        Box::new(all_up::AllUp),
        Box::new(stop::Stop::new(stopped)),
        Box::new(back::Back { backend: stopped }),
        Box::new(drain::Drain::new(drained)),
        Box::new(ready::Ready { backend: drained }),
        Box::new(freeze::Freeze::new(frozen)),
        Box::new(thaw::Thaw { backend: frozen }),
        Box::new(fail_over::FailOver::default()),
        Box::new(kill::Kill::default()),
    ]
}

/// Whether there is enough to judge equal shares by.
fn are_shares_seen(ledger: &Ledger) -> bool {
    ledger.counts().connections_sum() >= CONNECTIONS_FOR_SHARES
}

/// Judges that all backends have equal shares.
fn judge_shares(counts: &Counts) -> Judgement {
    let mut given = counts.connections.iter().map(u64::to_string).collect::<Vec<_>>();
    let last = given.pop().unwrap_or_default();
    Judgement {
        cost: format!(
            "nothing: {} and {last} new connections, each within {TOLERANCE} of an equal share",
            given.join(", ")
        ),
        wrong: judge::equal_shares(counts, &BACKENDS, TOLERANCE).into_iter().collect(),
    }
}
