//! What calls give back.

use super::ground::Reply;
use crate::error::{Error, Result};
use crate::store::engine::Durability;
use crate::store::index::{Answer, Operation, Refusal, Step};

/// What was done, and what was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Where in the log it is: the version of what was put. For a request sent again, that of the first time.
    pub sequence: u64,
    /// What was reached: what was asked for, or more.
    pub durability: Durability,
    /// On how many nodes' disks it is known to be; 0 for what is in memory.
    pub nodes: u32,
    /// In a cluster: it is on fewer nodes than was asked for, since the others did not answer in time.
    pub is_degraded: bool,
    /// The epoch it was written in; 0 outside a cluster.
    pub epoch: u64,
    /// The entry of the log that this sending came to; another than `sequence` for a request sent again.
    pub entry: u64,
    /// Whether this is the answer to an earlier sending of the same request.
    pub is_repeated: bool,
    /// The answer.
    pub answer: Answer,
}

impl Done {
    /// Where it is, for reads that are to see it.
    #[cfg(feature = "replication")]
    pub fn position(&self) -> crate::replication::Position {
        crate::replication::Position { epoch: self.epoch, sequence: self.entry }
    }
}

/// Which answers an operation may get. A request whose number was used for another operation before gets that one's, which
/// is none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Put,
    Deleted,
    RangeDeleted,
    Number,
    Length,
    LifetimeSet,
    Got,
    Range,
    Transaction,
    Lease,
    Revoked,
    /// Of what no caller asks for under a number.
    Any,
}

impl Expected {
    pub(super) fn of(operation: &Operation<'_>) -> Self {
        match operation {
            Operation::Step(step) => match step {
                Step::Put { .. } => Self::Put,
                Step::Delete { .. } => Self::Deleted,
                Step::DeleteRange { .. } => Self::RangeDeleted,
                Step::Increment { .. } => Self::Number,
                Step::Append { .. } => Self::Length,
                Step::SetLifetime { .. } => Self::LifetimeSet,
                Step::Get { .. } => Self::Got,
                Step::Range { .. } => Self::Range,
            },
            Operation::Transaction(_) => Self::Transaction,
            Operation::LeaseGrant { .. } | Operation::LeaseKeepAlive { .. } => Self::Lease,
            Operation::LeaseRevoke { .. } => Self::Revoked,
            Operation::Expire { .. } | Operation::Evict { .. } | Operation::Configure(_) => Self::Any,
        }
    }

    /// The same, or the error for the answer of another operation: one that was done before, or one on its way that this
    /// has joined.
    pub(super) fn check(self, done: Done) -> Result<Done> {
        if self.fits(&done.answer) {
            return Ok(done);
        }
        let detail = "was used for another operation before, and this is not its answer; count its number up";
        Err(Error::State { what: "request", detail: detail.into() })
    }

    fn fits(self, answer: &Answer) -> bool {
        match self {
            Self::Put => matches!(answer, Answer::Put { .. } | Answer::NotMet { .. }),
            Self::Deleted => matches!(answer, Answer::Deleted { .. } | Answer::NotMet { .. }),
            Self::RangeDeleted => matches!(answer, Answer::Deleted { .. }),
            Self::Number => matches!(answer, Answer::Number(_)),
            Self::Length => matches!(answer, Answer::Length(_)),
            Self::LifetimeSet => matches!(answer, Answer::LifetimeSet | Answer::NotMet { .. }),
            Self::Got => matches!(answer, Answer::Got(_)),
            Self::Range => matches!(answer, Answer::Range { .. }),
            Self::Transaction => matches!(answer, Answer::Transaction { .. }),
            Self::Lease => matches!(answer, Answer::Lease { .. }),
            Self::Revoked => matches!(answer, Answer::Revoked { .. }),
            Self::Any => true,
        }
    }
}

/// What a reply means to a caller.
pub(super) fn of(result: Result<Reply>) -> Result<Done> {
    let Reply { outcome, sequence, epoch, durability, nodes, is_degraded } = result?;
    let entry = sequence;
    let (sequence, is_repeated, answer) = match outcome {
        // A sync and the like: nothing was changed.
        None => (sequence, false, Answer::Configured),
        Some(outcome) => (outcome.sequence, outcome.is_repeated, outcome.answer.map_err(Error::from)?),
    };
    Ok(Done { sequence, durability, nodes, is_degraded, epoch, entry, is_repeated, answer })
}

impl From<Refusal> for Error {
    /// The caller's view of a refusal: by who can mend it.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(_) => Error::invalid("command", refusal.to_string()),
            Refusal::NotANumber(_) => Error::invalid("value", refusal.to_string()),
            Refusal::Overflow => Error::invalid("by", refusal.to_string()),
            Refusal::TooLarge { .. } => Error::invalid("value", refusal.to_string()),
            Refusal::AnswerTooLarge { .. } => Error::invalid("transaction", refusal.to_string()),
            Refusal::MemoryFull { limit } => Error::Capacity { what: "memory_max", limit },
            Refusal::StaleRequest { lowest } => {
                let detail = format!(
                    "came too late, and its answer is forgotten: the lowest number that is remembered is {lowest}; read \
                     before you write again"
                );
                Error::State { what: "request", detail: detail.into() }
            }
            Refusal::NoLease { id } => Error::NotFound { what: "lease", value: id.to_string() },
            Refusal::LeaseExists { .. } => Error::invalid("lease", refusal.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_answer_is_told_in_one_sentence() {
        let error = Error::from(Refusal::StaleRequest { lowest: 7 });
        assert_eq!(
            error.to_string(),
            "the request came too late, and its answer is forgotten: the lowest number that is remembered is 7; read before \
             you write again"
        );
    }

    /// Beyond C, which has one code for both, a number that is used up is told from a store that is closed by that.
    #[test]
    fn only_what_is_wrong_with_a_request_names_it() {
        let used = super::super::calls::unexpected(&Answer::Number(5));
        for error in [Error::from(Refusal::StaleRequest { lowest: 7 }), used] {
            assert!(error.to_string().contains("the request "), "{error}");
        }
        let closed = super::super::shared::closed().to_string();
        assert!(!closed.contains("the request "), "{closed}");
    }
}
