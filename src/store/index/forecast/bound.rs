//! By how much a command may make the state grow, by what it says alone.

use super::super::command::{Command, Lifetime, Operation, Step};
use super::super::evict::footprint;
use super::super::state::{CLIENT_MEMORY, LEASE_MEMORY};

/// A client that nothing is remembered of yet, and a short answer to it.
pub const REMEMBERED_BYTES: u64 = CLIENT_MEMORY + 64;
/// The most that an answer to a step has beside keys and values.
pub(super) const ANSWER_BYTES: u64 = 24;
/// The most that a value has beside it in an answer.
pub(super) const FOUND_BYTES: u64 = 56;

/// By how much a command may make the state grow, at most: as if all its keys and its client were new. `u64::MAX` when only what is
/// there can say: its answer has values in it, and is remembered.
pub fn bound(command: &Command<'_>) -> u64 {
    let growth = growth(&command.operation);
    if command.request.is_none() {
        return growth;
    }
    let steps = match &command.operation {
        Operation::Step(only) => std::slice::from_ref(only).iter().chain(&[]),
        Operation::Transaction(transaction) => transaction.then.iter().chain(&transaction.otherwise),
        _ => [].iter().chain(&[]),
    };
    if steps.clone().any(has_values) {
        return u64::MAX;
    }
    growth + REMEMBERED_BYTES + ANSWER_BYTES * steps.count() as u64
}

/// [`bound`] without what is remembered. Where it is 0, the command puts nothing.
pub fn growth(operation: &Operation<'_>) -> u64 {
    let step = |step: &Step<'_>| match step {
        Step::Put { key, value, lifetime, .. } => {
            footprint(key.len(), value.len(), !matches!(lifetime, Lifetime::Unbounded))
        }
        Step::Append { key, value } => footprint(key.len(), value.len(), false),
        Step::Increment { key, .. } => footprint(key.len(), 20, false),
        Step::SetLifetime { key, .. } => 32 + key.len() as u64,
        Step::Delete { .. } | Step::DeleteRange { .. } | Step::Get { .. } | Step::Range { .. } => 0,
    };
    match operation {
        Operation::Step(only) => step(only),
        Operation::Transaction(transaction) => {
            let sum = |steps: &[Step<'_>]| steps.iter().map(step).sum::<u64>();
            sum(&transaction.then).max(sum(&transaction.otherwise))
        }
        Operation::LeaseGrant { .. } => LEASE_MEMORY,
        _ => 0,
    }
}

fn has_values(step: &Step<'_>) -> bool {
    match step {
        Step::Put { previous, .. } | Step::Delete { previous, .. } => *previous,
        Step::Get { .. } | Step::Range { .. } => true,
        _ => false,
    }
}
