//! [`RequestOutcome`]: what came of a write whose answer did not arrive, asked by client and number without sending it again.

use std::time::Duration;

use super::Store;
use super::answer::Done;
use crate::error::Result;
use crate::store::engine::{Durability, Engine};
#[cfg(all(feature = "proxy", feature = "replication"))]
use crate::store::index::Answer;
use crate::store::index::{Recalled, RequestId};

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It was done; with what its retry would be told. In a cluster it stays, and [`Done::position`] is a place in the log that
    /// has it; a store of one node says by `durability` whether it is on its disk yet.
    Applied(Done),
    /// It was not, as of now: it was refused, was lost, or has not come yet. One that is still under way may be done later; sent
    /// again it is done once.
    NotApplied,
    /// That is not known any more: its number is too far below the client's highest, or nothing is remembered of the client
    /// where others may have been forgotten (`clients_max`, `client_bytes_max`).
    Forgotten {
        /// The lowest number of this client's that can be told of; 0: nothing is remembered of it.
        lowest: u64,
    },
}

impl RequestOutcome {
    /// What the answer means that is given to who asked through a queue, see
    /// [`Queue::submit_outcome`](super::Queue::submit_outcome).
    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub fn of(done: Done) -> Self {
        match done {
            done @ Done { is_repeated: true, .. } => Self::Applied(done),
            Done { answer: Answer::NotMet { version, .. }, .. } => Self::Forgotten { lowest: version },
            _ => Self::NotApplied,
        }
    }
}

impl Store {
    /// What came of the request with this client and number, as of now: every write that was answered at `quorum` before is
    /// seen. Changes nothing.
    ///
    /// - `timeout`: how long to wait for that; `None`: the store's `timeout`.
    ///
    /// In a cluster the primary is asked, as by a read of the level [`ReadLevel::Primary`](super::ReadLevel::Primary), and it
    /// blocks until that has answered, with the errors of such a read. A store of one node answers at once. Errors: `State` once
    /// the store is closed, `Forked`.
    pub fn outcome(&self, request: &RequestId, timeout: Option<Duration>) -> Result<RequestOutcome> {
        let shared = self.shared()?;
        #[cfg(all(feature = "proxy", feature = "replication"))]
        if self.is_member() {
            return shared.outcome_of(request, timeout.unwrap_or(self.inner.options.timeout));
        }
        let _ = timeout;
        let core = shared.core.lock();
        if core.is_ending {
            return Err(super::shared::closed());
        }
        Ok(recalled(core.engine(), request))
    }
}

/// What a store of one node remembers.
fn recalled(engine: &Engine, request: &RequestId) -> RequestOutcome {
    match engine.state().recall(request) {
        Recalled::NotDone => RequestOutcome::NotApplied,
        Recalled::Forgotten { lowest } => RequestOutcome::Forgotten { lowest },
        Recalled::Done(outcome) => {
            let sequence = outcome.sequence;
            let is_durable = sequence <= engine.durable_sequence();
            RequestOutcome::Applied(Done {
                sequence,
                durability: if is_durable { Durability::Local } else { Durability::Memory },
                nodes: u32::from(is_durable),
                is_degraded: false,
                epoch: 0,
                entry: sequence,
                is_repeated: outcome.is_repeated,
                answer: outcome.answer.expect("only answers are remembered"),
            })
        }
    }
}
