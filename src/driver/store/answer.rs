//! What calls give back.

use crate::error::{Error, Result};
use crate::store::engine::{self, Durability};
use crate::store::index::{Answer, Refusal};

/// What was done, and what was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Where in the log it is: the version of what was put. For a request sent again, that of the first time.
    pub sequence: u64,
    /// What was reached: what was asked for, or more.
    pub durability: Durability,
    /// Whether this is the answer to an earlier sending of the same request.
    pub is_repeated: bool,
    /// The answer.
    pub answer: Answer,
}

/// What an engine's completion means to a caller.
pub(super) fn of(result: Result<engine::Done>) -> Result<Done> {
    let done = result?;
    let Some(outcome) = done.outcome else {
        // A sync: nothing was changed.
        let (sequence, durability) = (done.sequence, done.durability);
        return Ok(Done { sequence, durability, is_repeated: false, answer: Answer::Configured });
    };
    Ok(Done {
        sequence: outcome.sequence,
        durability: done.durability,
        is_repeated: outcome.is_repeated,
        answer: outcome.answer.map_err(Error::from)?,
    })
}

impl From<Refusal> for Error {
    /// The caller's view of a refusal: by who can mend it.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(_) => Error::invalid("command", refusal.to_string()),
            Refusal::NotANumber => Error::invalid("value", refusal.to_string()),
            Refusal::Overflow => Error::invalid("by", refusal.to_string()),
            Refusal::TooLarge { .. } => Error::invalid("value", refusal.to_string()),
            Refusal::AnswerTooLarge { .. } => Error::invalid("transaction", refusal.to_string()),
            Refusal::MemoryFull { limit } => Error::Capacity { what: "memory_max", limit },
            Refusal::StaleRequest { .. } => {
                Error::State { what: "request", detail: refusal.to_string().into() }
            }
            Refusal::NoLease { id } => Error::NotFound { what: "lease", value: id.to_string() },
            Refusal::LeaseExists { .. } => Error::invalid("lease", refusal.to_string()),
        }
    }
}
