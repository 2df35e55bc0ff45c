//! A transaction, put together piece by piece: `trimtab_txn`.

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle};
use crate::capi::pool_options::choice;
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_answer::{answer_of, trimtab_store_answer};
use crate::capi::store_call::{call_of, trimtab_store_call};
use crate::capi::store_operation::{Asked, trimtab_store_operation};
use crate::capi::text::trimtab_bytes;
use crate::store::index::{Comparison, OnRefusal, Operand, Operation, Relation, Timestamp, Transaction};

/// The sequence of the key's last change; 0: it is not there.
pub const TRIMTAB_COMPARE_VERSION: i32 = 0;
/// The sequence that created the key; 0: it is not there.
pub const TRIMTAB_COMPARE_CREATED: i32 = 1;
/// How often it was changed, its creation included; 0: it is not there.
pub const TRIMTAB_COMPARE_CHANGES: i32 = 2;
/// The key's lease; 0: none.
pub const TRIMTAB_COMPARE_LEASE: i32 = 3;

/// What the key has is the same.
pub const TRIMTAB_RELATION_EQUAL: i32 = 0;
/// It is not the same.
pub const TRIMTAB_RELATION_NOT_EQUAL: i32 = 1;
/// What the key has is less.
pub const TRIMTAB_RELATION_LESS: i32 = 2;
/// What the key has is greater.
pub const TRIMTAB_RELATION_GREATER: i32 = 3;

/// What compares a key's number with that of the caller.
type MakeOperand = fn(u64) -> Operand<'static>;

const OPERANDS: [(i32, MakeOperand); 4] = [
    (TRIMTAB_COMPARE_VERSION, Operand::Version),
    (TRIMTAB_COMPARE_CREATED, Operand::Created),
    (TRIMTAB_COMPARE_CHANGES, Operand::Changes),
    (TRIMTAB_COMPARE_LEASE, Operand::Lease),
];
const RELATIONS: [(i32, Relation); 4] = [
    (TRIMTAB_RELATION_EQUAL, Relation::Equal),
    (TRIMTAB_RELATION_NOT_EQUAL, Relation::NotEqual),
    (TRIMTAB_RELATION_LESS, Relation::Less),
    (TRIMTAB_RELATION_GREATER, Relation::Greater),
];

/// Operations on several keys that are seen whole or not at all: if all comparisons hold, those of `then`, in order, if
/// not, those of `otherwise`. Each sees what those before it have done.
///
/// It is the caller's, belongs to no store, and may be committed as often as wanted. One thread at a time may change it.
pub struct trimtab_txn {
    _opaque: (),
}

impl Handle for trimtab_txn {
    type Value = Txn;
    const LIVE: u32 = 0x7474_7828;
}

/// What the handle stands for.
#[derive(Default)]
pub(super) struct Txn {
    comparisons: Vec<(Vec<u8>, Relation, Kept)>,
    then: Vec<Asked<'static>>,
    otherwise: Vec<Asked<'static>>,
    continues: bool,
}

/// What is compared with.
enum Kept {
    Number(Operand<'static>),
    Value(Vec<u8>),
}

impl Txn {
    /// What it asks for; times from now on count from `now`.
    pub(super) fn operation(&self, now: Timestamp) -> Result<Operation<'_>, Failure> {
        let conditions = self.comparisons.iter().map(|(key, relation, kept)| {
            let operand = match kept {
                Kept::Number(operand) => *operand,
                Kept::Value(value) => Operand::Value(value),
            };
            Comparison { key, relation: *relation, operand }
        });
        Ok(Operation::Transaction(Transaction {
            conditions: conditions.collect(),
            then: self.then.iter().map(|asked| asked.step(now)).collect::<Result<_, _>>()?,
            otherwise: self.otherwise.iter().map(|asked| asked.step(now)).collect::<Result<_, _>>()?,
            on_refusal: if self.continues { OnRefusal::Continue } else { OnRefusal::Abort },
        }))
    }
}

/// Makes a transaction without comparisons and operations.
///
/// - `txn_out`: written on success only; end it with `trimtab_txn_free`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_txn_new(txn_out: *mut *mut trimtab_txn) -> trimtab_status {
    guard(|| {
        // SAFETY: `txn_out` is null or writable; null is refused.
        let txn_out = unsafe { handle::out(txn_out, "txn_out") }?;
        txn_out.write(handle::give(Txn::default()));
        Ok(())
    })
}

/// Ends a transaction. What was committed or submitted of it goes on.
///
/// - `txn`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `txn`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_txn_free(txn: *mut trimtab_txn) {
    guard_value((), || {
        // SAFETY: `txn` is null or a live result of `trimtab_txn_new` that nobody else uses.
        unsafe { handle::free(txn) }
    })
}

/// Adds a comparison of a number.
///
/// - `key`: copied before return.
/// - `what`: which number of the key: one of `TRIMTAB_COMPARE_...`.
/// - `relation`: how it must stand to `number`: one of `TRIMTAB_RELATION_...`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `txn`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_txn_compare(
    txn: *mut trimtab_txn,
    key: trimtab_bytes,
    what: i32,
    relation: i32,
    number: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `txn` is null or live and no other call uses it; null is refused.
        let mut txn = unsafe { handle::borrow_mut(txn, "txn") }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        let operand = choice("what", what, &OPERANDS)?;
        let relation = choice("relation", relation, &RELATIONS)?;
        txn.comparisons.push((key.to_vec(), relation, Kept::Number(operand(number))));
        Ok(())
    })
}

/// Adds a comparison of a value, byte by byte. That of a key that is not there is less than any.
///
/// - `key`, `value`: copied before return.
/// - `relation`: how the key's value must stand to `value`: one of `TRIMTAB_RELATION_...`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `txn`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_txn_compare_value(
    txn: *mut trimtab_txn,
    key: trimtab_bytes,
    relation: i32,
    value: trimtab_bytes,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `txn` is null or live and no other call uses it; null is refused.
        let mut txn = unsafe { handle::borrow_mut(txn, "txn") }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: the caller keeps `value.data` readable for `value.len` bytes during the call.
        let value = unsafe { value.bytes("value") }?;
        let relation = choice("relation", relation, &RELATIONS)?;
        txn.comparisons.push((key.to_vec(), relation, Kept::Value(value.to_vec())));
        Ok(())
    })
}

/// Adds an operation for when all comparisons hold, which they do when there is none.
///
/// - `operation`: what to do; any but those on leases. Copied before return; `user_data` is not looked at.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `txn`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_txn_then(
    txn: *mut trimtab_txn,
    operation: *const trimtab_store_operation,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `txn` is null or live and no other call uses it; null is refused.
        let mut txn = unsafe { handle::borrow_mut(txn, "txn") }?;
        // SAFETY: `operation` is null or as large as its `struct_size` says, and what it points to readable.
        let asked = unsafe { Asked::read(operation) }?;
        asked.step(Timestamp::default())?;
        txn.then.push(asked.into_owned());
        Ok(())
    })
}

/// Adds an operation for when a comparison does not hold.
///
/// - `operation`: as for `trimtab_txn_then`.
///
/// Returns what `trimtab_txn_then` does.
/// Thread safety: one thread at a time for the same `txn`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_txn_otherwise(
    txn: *mut trimtab_txn,
    operation: *const trimtab_store_operation,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `txn` is null or live and no other call uses it; null is refused.
        let mut txn = unsafe { handle::borrow_mut(txn, "txn") }?;
        // SAFETY: `operation` is null or as large as its `struct_size` says, and what it points to readable.
        let asked = unsafe { Asked::read(operation) }?;
        asked.step(Timestamp::default())?;
        txn.otherwise.push(asked.into_owned());
        Ok(())
    })
}

/// Sets what an operation that is refused (a value that is no number, one that is too long) means for the others.
///
/// - `continues`: 0, the default: nothing of the transaction is done, and the refusal is the answer. Not 0: the others are
///   done, and `trimtab_store_answer_step_read` tells the refusal.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `txn`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_txn_set_continue(txn: *mut trimtab_txn, continues: i32) -> trimtab_status {
    guard(|| {
        // SAFETY: `txn` is null or live and no other call uses it; null is refused.
        let mut txn = unsafe { handle::borrow_mut(txn, "txn") }?;
        txn.continues = continues != 0;
        Ok(())
    })
}

/// Does a transaction, and blocks until it is as durable as it asked to be. `is_done` of the answer's result tells whether
/// the comparisons held; `trimtab_store_answer_step_read` tells what came of each operation.
///
/// - `txn`: nothing of it is changed.
/// - `call`: how it is to go; NULL for the defaults.
/// - `answer_out`: gets the answer; end it with `trimtab_store_answer_free`. Written on success only.
///
/// Returns `TRIMTAB_OK`, also when the comparisons did not hold, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each
/// write may (see `trimtab_store`); more comparisons and operations than `operations_max` are
/// `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, while none changes `txn`. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_commit(
    store: *const trimtab_store,
    txn: *const trimtab_txn,
    call: *const trimtab_store_call,
    answer_out: *mut *mut trimtab_store_answer,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `txn` is null or live and no other call changes it; null is refused.
        let txn = unsafe { handle::borrow(txn, "txn") }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `answer_out` is null or writable; null is refused.
        let answer_out = unsafe { handle::out(answer_out, "answer_out") }?;
        let operation = txn.operation(store.present()?)?;
        answer_out.write(answer_of(store.call(&operation, &call)?));
        Ok(())
    })
}
