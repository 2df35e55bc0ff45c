//! What the index answers, as Redis says it.

use super::position::BEHIND;
use crate::resp::command::blind::Expects;
use crate::resp::command::{OVERFLOW, failure};
use crate::resp::keys::{Completed, Keys};
use crate::resp::reply::Reply;
use crate::resp::value::{Value, is_hash};
use crate::resp::world::{Failure, NOT_AN_INTEGER, TOO_LONG, WRONG_TYPE, fail};
use crate::store::index::{Answer, Refusal, Timestamp};

/// Writes the answer to a step.
pub(super) fn answer(
    completed: Completed,
    expects: &Expects,
    keys: &mut impl Keys,
    now: Timestamp,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    let answer = completed.map_err(|error| refused_write(&error))?.outcome.answer;
    match (answer, expects) {
        (Ok(Answer::Put { .. }), Expects::Ok) => reply.simple("OK"),
        (Ok(Answer::NotMet { .. }), Expects::Ok) => reply.null(),
        (Ok(Answer::Put { .. }), _) => reply.integer(1),
        (Ok(Answer::Deleted { count, .. }), _) => reply.integer(count as i64),
        (Ok(Answer::Transaction { answers, .. }), _) => {
            let count = |answer| if let Ok(Answer::Deleted { count, .. }) = answer { count } else { 0 };
            reply.integer(answers.into_iter().map(count).sum::<u64>() as i64);
        }
        (Ok(Answer::Number(number)), _) => reply.integer(number),
        (Ok(_), _) => reply.integer(0),
        // What came from another node does not say what it was, so what is there now has to do.
        (Err(Refusal::NotANumber(head)), Expects::Sum(key)) if head.bytes().is_none() => {
            let view = keys.view();
            let entry = view.get(key, view.present(now, keys.follows()));
            let is_string = entry.is_none_or(|entry| matches!(Value::parse(entry.value), Value::String(_)));
            return Err(if is_string { NOT_AN_INTEGER } else { WRONG_TYPE });
        }
        (Err(refusal), _) => return Err(refused(&refusal)),
    }
    Ok(())
}

pub(super) fn refused(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::NotANumber(head) if head.bytes().is_some_and(is_hash) => WRONG_TYPE,
        Refusal::NotANumber(_) => NOT_AN_INTEGER,
        Refusal::Overflow => OVERFLOW,
        Refusal::TooLarge { .. } => TOO_LONG,
        Refusal::MemoryFull { .. } => fail("OOM command not allowed when used memory > 'maxmemory'."),
        other => failure(format!("ERR {other}")),
    }
}

pub(super) fn refused_write(error: &crate::error::Error) -> Failure {
    use crate::error::Error;
    match error {
        Error::NotPrimary { .. } => return READ_ONLY,
        Error::NoQuorum => return NO_QUORUM,
        Error::Superseded => return SUPERSEDED,
        // Others are taken.
        Error::State { what: "cluster", .. } => {
            return failure(format!("TRYAGAIN nothing was written: {error}"));
        }
        Error::UnknownOutcome | Error::TimedOut { .. } => return failure(format!("UNKNOWN {error}")),
        // What was sent is to blame, and other writes are taken.
        Error::InvalidArgument { .. } => return failure(format!("ERR nothing was written: {error}")),
        _ => {}
    }
    failure(format!("MISCONF the store takes no writes: {error}"))
}

/// What a write is answered on a node that is not primary, word by word as by Redis: clients that know Sentinel look for the
/// primary then.
pub(super) const READ_ONLY: Failure = fail("READONLY You can't write against a read only replica.");

/// The same of who goes to the primary by itself, when it has not said so to this one as the primary that it is.
pub(super) const OUTLIVED: Failure =
    fail("READONLY this node has become primary since it was told TRIMTAB BOUND; nothing was done");

/// What a read is answered on a replica that is too far behind, as by Redis.
pub(super) const STALE: Failure =
    fail("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");

/// What a write is answered when no primary holds a quorum.
const NO_QUORUM: Failure =
    fail("CLUSTERDOWN no primary holds a quorum at present; nothing was written: ask again");

/// What a write is answered that another primary's took the place of.
const SUPERSEDED: Failure =
    fail("TRYAGAIN another primary took over before this write was safe; it was not done: send it again");

/// Whether what was refused so may be done by another primary, or by this one later; nothing was done here.
pub(super) fn is_for_another(failure: &Failure) -> bool {
    [READ_ONLY, OUTLIVED, STALE, NO_QUORUM, SUPERSEDED, LAPSED, BEHIND].contains(failure)
}

/// What a read is answered on a primary that has lost its quorum.
pub(super) const LAPSED: Failure =
    fail("CLUSTERDOWN this primary has lost its quorum; ask again, or another node");
