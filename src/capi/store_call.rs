//! What each call of a store may be told beside its own arguments, and what it tells: `trimtab_store_call` and
//! `trimtab_store_result`.

use std::time::Duration;

use crate::capi::handle::{self, OutStruct, Sized32};
use crate::capi::pool_options::choice;
use crate::capi::status::Failure;
use crate::capi::store_options::{DURABILITIES, TRIMTAB_DURABILITY_DEFAULT};
use crate::embedded::{Call, Done, Store};
use crate::store::engine::Durability;
use crate::store::index::{Answer, Operation, RequestId, Step};

/// How a call that writes is to go. NULL in its place, and 0 in each field, is the default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_call {
    /// `sizeof(trimtab_store_call)`, set by the caller before the call.
    pub struct_size: u32,
    /// What is to be reached before it is answered: one of `TRIMTAB_DURABILITY_...`; 0: what the store was opened with.
    pub durability: i32,
    /// How long to wait for the answer, in milliseconds; 0: the store's `timeout_ms`, negative: for ever. What is
    /// submitted to a queue does not wait, and leaves it unread.
    pub timeout_ms: i64,
    /// The request's number, counted up by the client, one for each request. Read only if `client` is not all 0. It names that
    /// one request for good: whoever sends it again sends the same operation. No more is compared than which kind of answer
    /// that has: where another kind is remembered, as of a deletion for an increment, the call is `TRIMTAB_E_STATE`; where it
    /// is the same kind, as of a put for a put of another key, nothing is done and the answer is what came of the first,
    /// `is_repeated`.
    pub number: u64,
    /// Who asks, so that the call may be sent again without being done twice: any 16 bytes that no other client uses.
    /// All 0: it will not be sent again.
    pub client: [u8; 16],
    /// In a cluster, on how many nodes' disks it is to be, learners among them, beside those of a quorum; 0: as `durability`
    /// says.
    pub nodes: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_store_call {
    const FIRST_SIZE: usize = 40;
    const UNSAID: Self = Self {
        struct_size: 0,
        durability: TRIMTAB_DURABILITY_DEFAULT,
        timeout_ms: 0,
        number: 0,
        client: [0; 16],
        nodes: 0,
        reserved: 0,
    };
}

/// What came of a call, or of a step of a transaction.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_result {
    /// `sizeof(trimtab_store_result)`, set by the caller before the call.
    pub struct_size: u32,
    /// What was reached, what was asked for or more: one of `TRIMTAB_DURABILITY_...`; the last two in a cluster alone. Of
    /// `trimtab_store_get`, which does not ask how durable what it finds is: `TRIMTAB_DURABILITY_MEMORY`.
    pub durability: i32,
    /// Where in the log it is. For a request sent again, that of the first time.
    pub sequence: u64,
    /// The version of the key now, which is the sequence of its last change; 0: it is not there.
    pub version: u64,
    /// The sum, of an increment; else 0.
    pub number: i64,
    /// How many keys were deleted, or went with a lease; how many bytes the value has, after appending; how many steps of
    /// a transaction were done; else 0.
    pub count: u64,
    /// When the lease ends without a keep-alive, in milliseconds since the beginning of 1970 in UTC; else 0.
    pub deadline_ms: u64,
    /// How many entries the answer has: what was there before, or what was read.
    pub entries: u64,
    /// 1: the condition held and it was done; 0: it did not, and nothing was changed. Of a deletion: whether there was
    /// something to delete; of a transaction: whether all comparisons held; of what reads a key: whether it is there.
    pub is_done: i32,
    /// 1: it had been done before, by an earlier sending of the same request, and this is its answer; else 0.
    pub is_repeated: i32,
    /// 1: a limit left some of the range; else 0.
    pub more: i32,
    /// 0.
    pub reserved: u32,
    /// On how many nodes' disks it is known to be; 0 for what is in memory, and for what was read.
    pub nodes: u32,
    /// 1: in a cluster, it is on fewer nodes than was asked for, since the others did not answer in time; else 0.
    pub is_degraded: i32,
    /// In a cluster, the epoch it was written in; with `entry` it is where it is, for `trimtab_store_read`.
    pub epoch: u64,
    /// The entry of the log that this sending came to; another than `sequence` for a request sent again.
    pub entry: u64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_store_result {
    const FIRST_SIZE: usize = 72;
    const UNSAID: Self = Self {
        struct_size: 0,
        durability: 0,
        sequence: 0,
        version: 0,
        number: 0,
        count: 0,
        deadline_ms: 0,
        entries: 0,
        is_done: 0,
        is_repeated: 0,
        more: 0,
        reserved: 0,
        nodes: 0,
        is_degraded: 0,
        epoch: 0,
        entry: 0,
    };
}

/// What the caller wants of a call.
///
/// # Safety
/// `call` is null or as large as its `struct_size` says.
pub(super) unsafe fn call_of(call: *const trimtab_store_call) -> Result<Call, Failure> {
    // SAFETY: passed on to the caller.
    let Some(call) = unsafe { handle::in_struct(call, "call") }? else { return Ok(Call::default()) };
    let durability = choice("durability", call.durability, &DURABILITIES)?;
    let timeout = match call.timeout_ms {
        0 => None,
        millis => Some(wait(millis)),
    };
    let has_request = call.client.iter().any(|byte| *byte != 0);
    let request = has_request.then_some(RequestId { client: call.client, number: call.number });
    Ok(Call { durability, nodes: call.nodes, timeout, request })
}

/// How long to wait; negative is for ever.
pub(super) fn wait(timeout_ms: i64) -> Duration {
    u64::try_from(timeout_ms).map_or(Duration::MAX, Duration::from_millis)
}

/// Where a result goes, if it is wanted.
///
/// # Safety
/// `result_out` is null or as large as its `struct_size` says.
pub(super) unsafe fn place<'a>(
    result_out: *mut trimtab_store_result,
) -> Result<Option<OutStruct<'a, trimtab_store_result>>, Failure> {
    if result_out.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on to the caller.
    Ok(Some(unsafe { handle::out_struct(result_out, "result_out") }?))
}

/// Does one step, and tells what came of it.
pub(super) fn do_step(
    store: &Store,
    step: Step<'_>,
    call: &Call,
    place: Option<OutStruct<'_, trimtab_store_result>>,
) -> Result<(), Failure> {
    do_operation(store, &Operation::Step(step), call, place)
}

/// Does an operation, and tells what came of it.
pub(super) fn do_operation(
    store: &Store,
    operation: &Operation<'_>,
    call: &Call,
    place: Option<OutStruct<'_, trimtab_store_result>>,
) -> Result<(), Failure> {
    let done = store.call(operation, call)?;
    if let Some(place) = place {
        let struct_size = place.size();
        place.write(trimtab_store_result { struct_size, ..result_of(&done, &done.answer) });
    }
    Ok(())
}

/// The number of what was reached.
pub(super) fn durability_number(durability: Durability) -> i32 {
    let known = DURABILITIES.iter().find(|(_, known)| *known == Some(durability));
    known.map_or(TRIMTAB_DURABILITY_DEFAULT, |(number, _)| *number)
}

/// `answer`, that of `done` or of a step of it, in C's terms.
pub(super) fn result_of(done: &Done, answer: &Answer) -> trimtab_store_result {
    let sequence = done.sequence;
    let mut result = trimtab_store_result {
        durability: durability_number(done.durability),
        sequence,
        is_done: 1,
        is_repeated: i32::from(done.is_repeated),
        nodes: done.nodes,
        is_degraded: i32::from(done.is_degraded),
        epoch: done.epoch,
        entry: done.entry,
        ..trimtab_store_result::UNSAID
    };
    match answer {
        Answer::Put { previous } => {
            result.version = sequence;
            result.entries = u64::from(previous.is_some());
        }
        Answer::NotMet { version, previous } => {
            result.is_done = 0;
            result.version = *version;
            result.entries = u64::from(previous.is_some());
        }
        Answer::Deleted { count, previous, more } => {
            result.is_done = i32::from(*count > 0);
            result.count = *count;
            result.entries = u64::from(previous.is_some());
            result.more = i32::from(*more);
        }
        Answer::Number(number) => (result.version, result.number) = (sequence, *number),
        Answer::Length(length) => (result.version, result.count) = (sequence, *length),
        Answer::LifetimeSet => result.version = sequence,
        Answer::Got(found) => {
            result.is_done = i32::from(found.is_some());
            result.version = found.as_ref().map_or(0, |found| found.version);
            result.entries = u64::from(found.is_some());
        }
        Answer::Range { entries, more } => {
            result.entries = entries.len() as u64;
            result.more = i32::from(*more);
        }
        Answer::Transaction { is_met, answers } => {
            result.is_done = i32::from(*is_met);
            result.count = answers.len() as u64;
        }
        Answer::Lease { deadline } => result.deadline_ms = deadline.as_millis(),
        Answer::Revoked { keys } | Answer::Expired { keys, .. } | Answer::Evicted { keys } => {
            result.count = *keys;
        }
        Answer::Configured => {}
    }
    result
}
