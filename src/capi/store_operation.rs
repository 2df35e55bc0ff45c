//! Whatever a store can be asked to do, as a struct: `trimtab_store_operation`, for what has no function of its own, for
//! transactions and for queues.

use std::borrow::Cow;
use std::ffi::c_void;

use crate::capi::guard::guard;
use crate::capi::handle::{self, Sized32};
use crate::capi::pool_options::choice;
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_answer::{answer_of, trimtab_store_answer};
use crate::capi::store_call::{call_of, trimtab_store_call};
use crate::capi::text::trimtab_bytes;
use crate::error::Error;
use crate::store::index::{
    Condition, Lifetime, LifetimeCondition, Operation, Range, Step, Timestamp, prefix_end,
};

/// Puts `value` at `key`, under `condition`, with `lifetime`; with `previous` the answer has what was there.
pub const TRIMTAB_OPERATION_PUT: i32 = 0;
/// Deletes `key`, under `condition`; with `previous` the answer has what was there.
pub const TRIMTAB_OPERATION_DELETE: i32 = 1;
/// Adds `by` to the number at `key`.
pub const TRIMTAB_OPERATION_INCREMENT: i32 = 2;
/// Appends `value` to what `key` has.
pub const TRIMTAB_OPERATION_APPEND: i32 = 3;
/// Changes how long `key` lives, to `lifetime`, under `condition`.
pub const TRIMTAB_OPERATION_SET_LIFETIME: i32 = 4;
/// Deletes the keys of `range`, at most `limit`.
pub const TRIMTAB_OPERATION_DELETE_RANGE: i32 = 5;
/// Reads `key` in its place among the writes.
pub const TRIMTAB_OPERATION_GET: i32 = 6;
/// Reads `range` in its place among the writes, at most `limit`; with `reverse` from the last to the first.
pub const TRIMTAB_OPERATION_RANGE: i32 = 7;
/// Begins `lease` for `ttl_ms`. Not in a transaction.
pub const TRIMTAB_OPERATION_LEASE_GRANT: i32 = 8;
/// Prolongs `lease`. Not in a transaction.
pub const TRIMTAB_OPERATION_LEASE_KEEP_ALIVE: i32 = 9;
/// Ends `lease`. Not in a transaction.
pub const TRIMTAB_OPERATION_LEASE_REVOKE: i32 = 10;

/// In any case. The default.
pub const TRIMTAB_CONDITION_ALWAYS: i32 = 0;
/// If the key is not there.
pub const TRIMTAB_CONDITION_ABSENT: i32 = 1;
/// If the key is there.
pub const TRIMTAB_CONDITION_PRESENT: i32 = 2;
/// If the key has `version`; 0: if it is not there.
pub const TRIMTAB_CONDITION_VERSION: i32 = 3;
/// Of a lifetime: if the key has no deadline.
pub const TRIMTAB_CONDITION_NO_DEADLINE: i32 = 4;
/// Of a lifetime: if the key has a deadline.
pub const TRIMTAB_CONDITION_DEADLINE: i32 = 5;
/// Of a lifetime: if the new deadline is later. No deadline is after all others.
pub const TRIMTAB_CONDITION_LATER: i32 = 6;
/// Of a lifetime: if the new deadline is earlier.
pub const TRIMTAB_CONDITION_EARLIER: i32 = 7;

/// Until it is deleted. The default.
pub const TRIMTAB_LIFETIME_UNBOUNDED: i32 = 0;
/// As long as before; a new key until it is deleted.
pub const TRIMTAB_LIFETIME_KEEP: i32 = 1;
/// Until `deadline_ms`.
pub const TRIMTAB_LIFETIME_UNTIL: i32 = 2;
/// For `ttl_ms` from when it is asked for: for a transaction, from when that is committed or submitted.
pub const TRIMTAB_LIFETIME_FOR: i32 = 3;
/// As long as `lease` does.
pub const TRIMTAB_LIFETIME_LEASE: i32 = 4;

/// The keys from `start` (of an operation, `key`) on and before `end` (of an operation, `value`); an empty end is none,
/// so both empty is all keys. The default.
pub const TRIMTAB_RANGE_BETWEEN: i32 = 0;
/// The keys that begin with `start` (of an operation, with `key`); `end` (`value`) must be empty.
pub const TRIMTAB_RANGE_PREFIX: i32 = 1;

/// What to do. Set it all to 0, then `struct_size`, `kind` and what that kind reads; other fields are not looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_operation {
    /// `sizeof(trimtab_store_operation)`, set by the caller before the call.
    pub struct_size: u32,
    /// One of `TRIMTAB_OPERATION_...`.
    pub kind: i32,
    /// The key, or where a range begins; copied before return. NULL with a length of 0 is empty.
    pub key: *const c_void,
    /// How many bytes.
    pub key_len: usize,
    /// The value, or where a range ends; copied before return. NULL with a length of 0 is empty.
    pub value: *const c_void,
    /// How many bytes.
    pub value_len: usize,
    /// Which keys `key` and `value` mean, for ranges: one of `TRIMTAB_RANGE_...`.
    pub range: i32,
    /// When to do so: one of `TRIMTAB_CONDITION_...`.
    pub condition: i32,
    /// What the key must have, with `TRIMTAB_CONDITION_VERSION`.
    pub version: u64,
    /// How long the key is to live: one of `TRIMTAB_LIFETIME_...`.
    pub lifetime: i32,
    /// Not 0: the answer has what was there before.
    pub previous: i32,
    /// Milliseconds since the beginning of 1970 in UTC, with `TRIMTAB_LIFETIME_UNTIL`.
    pub deadline_ms: u64,
    /// Milliseconds. With `TRIMTAB_LIFETIME_FOR` any: 0 is gone at once, and what ends later than there is a number for is for
    /// ever. Of a lease that begins: 1 to 2^48.
    pub ttl_ms: u64,
    /// The lease, with `TRIMTAB_LIFETIME_LEASE` and of operations on leases; from 1.
    pub lease: u64,
    /// What to add.
    pub by: i64,
    /// The most keys; 0: all, and of a range that is read as many as have `value_max` bytes together.
    pub limit: u64,
    /// Not 0: from the last to the first.
    pub reverse: i32,
    /// 0.
    pub reserved: u32,
    /// Comes back with the answer of what was submitted to a queue.
    pub user_data: u64,
}

// SAFETY: `repr(C)`, integers and raw pointers only, for which every pattern of bits is a value, and begins with
// `struct_size`.
unsafe impl Sized32 for trimtab_store_operation {
    const FIRST_SIZE: usize = 120;
    const UNSAID: Self = Self {
        struct_size: 0,
        kind: 0,
        key: std::ptr::null(),
        key_len: 0,
        value: std::ptr::null(),
        value_len: 0,
        range: 0,
        condition: 0,
        version: 0,
        lifetime: 0,
        previous: 0,
        deadline_ms: 0,
        ttl_ms: 0,
        lease: 0,
        by: 0,
        limit: 0,
        reverse: 0,
        reserved: 0,
        user_data: 0,
    };
}

/// The keys of a range.
pub(super) struct Keys<'a> {
    start: Cow<'a, [u8]>,
    end: Option<Cow<'a, [u8]>>,
}

impl<'a> Keys<'a> {
    /// # Safety
    /// What `start` and `end` point to is readable and does not change until `'a` ends.
    pub(super) unsafe fn read(range: i32, start: trimtab_bytes, end: trimtab_bytes) -> Result<Self, Failure> {
        // SAFETY: passed on to the caller.
        let start = unsafe { start.bytes("start") }?;
        // SAFETY: passed on to the caller.
        let end = unsafe { end.bytes("end") }?;
        Self::of(range, start, end)
    }

    fn of(range: i32, start: &'a [u8], end: &'a [u8]) -> Result<Self, Failure> {
        let end = match (range, end) {
            (TRIMTAB_RANGE_BETWEEN, []) => None,
            (TRIMTAB_RANGE_BETWEEN, end) => Some(Cow::Borrowed(end)),
            (TRIMTAB_RANGE_PREFIX, []) => prefix_end(start).map(Cow::Owned),
            (TRIMTAB_RANGE_PREFIX, _) => {
                return Err(Error::invalid("end", "must be empty with TRIMTAB_RANGE_PREFIX").into());
            }
            _ => {
                return Err(
                    Error::invalid("range", format!("{range} is none of its constants, 0 to 1")).into()
                );
            }
        };
        Ok(Self { start: Cow::Borrowed(start), end })
    }

    pub(super) fn range(&self) -> Range<'_> {
        Range { start: &self.start, end: self.end.as_deref() }
    }
}

/// An operation with what it points to, borrowed from the caller or kept.
pub(super) struct Asked<'a> {
    raw: trimtab_store_operation,
    key: Cow<'a, [u8]>,
    /// The value; for a range its end.
    value: Cow<'a, [u8]>,
    has_end: bool,
}

impl<'a> Asked<'a> {
    /// # Safety
    /// `operation` is null or as large as its `struct_size` says; what it points to is readable and does not change until
    /// `'a` ends.
    pub(super) unsafe fn read(operation: *const trimtab_store_operation) -> Result<Self, Failure> {
        // SAFETY: passed on to the caller.
        let raw = unsafe { handle::in_struct(operation, "operation") }?;
        let raw = raw.ok_or(Failure::Null { what: "operation" })?;
        // SAFETY: passed on to the caller.
        let key = unsafe { handle::slice(raw.key.cast::<u8>(), raw.key_len, "key") }?;
        // SAFETY: passed on to the caller.
        let value = unsafe { handle::slice(raw.value.cast::<u8>(), raw.value_len, "value") }?;
        let (mut value_or_end, mut has_end) = (Cow::Borrowed(value), false);
        if matches!(raw.kind, TRIMTAB_OPERATION_DELETE_RANGE | TRIMTAB_OPERATION_RANGE) {
            let end = Keys::of(raw.range, key, value)?.end;
            (has_end, value_or_end) = (end.is_some(), end.unwrap_or_default());
        }
        let asked = Self { raw, key: Cow::Borrowed(key), value: value_or_end, has_end };
        // What is wrong with it is told now, not when a transaction is committed.
        asked.operation(Timestamp::default())?;
        Ok(asked)
    }

    /// With copies of what it points to.
    pub(super) fn into_owned(self) -> Asked<'static> {
        Asked {
            raw: self.raw,
            key: Cow::Owned(self.key.into_owned()),
            value: Cow::Owned(self.value.into_owned()),
            has_end: self.has_end,
        }
    }

    pub(super) fn user_data(&self) -> u64 {
        self.raw.user_data
    }

    /// What it asks for; times from now on count from `now`.
    pub(super) fn operation(&self, now: Timestamp) -> Result<Operation<'_>, Failure> {
        let id = self.raw.lease;
        Ok(match self.raw.kind {
            TRIMTAB_OPERATION_LEASE_GRANT => Operation::LeaseGrant { id, ttl_ms: self.raw.ttl_ms },
            TRIMTAB_OPERATION_LEASE_KEEP_ALIVE => Operation::LeaseKeepAlive { id },
            TRIMTAB_OPERATION_LEASE_REVOKE => Operation::LeaseRevoke { id },
            _ => Operation::Step(self.step(now)?),
        })
    }

    /// The same, for a transaction.
    pub(super) fn step(&self, now: Timestamp) -> Result<Step<'_>, Failure> {
        let (key, value, raw) = (&*self.key, &*self.value, &self.raw);
        let range = Range { start: key, end: self.has_end.then_some(value) };
        let (limit, previous) = (raw.limit, raw.previous != 0);
        Ok(match raw.kind {
            TRIMTAB_OPERATION_PUT => Step::Put {
                key,
                value,
                condition: self.condition()?,
                lifetime: self.lifetime(now)?,
                previous,
            },
            TRIMTAB_OPERATION_DELETE => Step::Delete { key, condition: self.condition()?, previous },
            TRIMTAB_OPERATION_INCREMENT => Step::Increment { key, by: raw.by },
            TRIMTAB_OPERATION_APPEND => Step::Append { key, value },
            TRIMTAB_OPERATION_SET_LIFETIME => {
                let condition = choice_of(raw.condition, &LIFETIME_CONDITIONS)?;
                Step::SetLifetime { key, lifetime: self.lifetime(now)?, condition }
            }
            TRIMTAB_OPERATION_DELETE_RANGE => Step::DeleteRange { range, limit },
            TRIMTAB_OPERATION_GET => Step::Get { key },
            TRIMTAB_OPERATION_RANGE => Step::Range { range, limit, reverse: raw.reverse != 0 },
            TRIMTAB_OPERATION_LEASE_GRANT
            | TRIMTAB_OPERATION_LEASE_KEEP_ALIVE
            | TRIMTAB_OPERATION_LEASE_REVOKE => {
                return Err(
                    Error::invalid("kind", "operations on leases stand alone, not in a transaction").into()
                );
            }
            other => {
                return Err(
                    Error::invalid("kind", format!("{other} is none of its constants, 0 to 10")).into()
                );
            }
        })
    }

    fn condition(&self) -> Result<Condition, Failure> {
        let version = self.raw.version;
        choice_of(
            self.raw.condition,
            &[
                (TRIMTAB_CONDITION_ALWAYS, Condition::Always),
                (TRIMTAB_CONDITION_ABSENT, Condition::Absent),
                (TRIMTAB_CONDITION_PRESENT, Condition::Present),
                (TRIMTAB_CONDITION_VERSION, Condition::Version(version)),
            ],
        )
    }

    fn lifetime(&self, now: Timestamp) -> Result<Lifetime, Failure> {
        let trimtab_store_operation { lifetime, deadline_ms, ttl_ms, lease, .. } = self.raw;
        choice(
            "lifetime",
            lifetime,
            &[
                (TRIMTAB_LIFETIME_UNBOUNDED, Lifetime::Unbounded),
                (TRIMTAB_LIFETIME_KEEP, Lifetime::Keep),
                (TRIMTAB_LIFETIME_UNTIL, Lifetime::Until(Timestamp::from_millis(deadline_ms))),
                (TRIMTAB_LIFETIME_FOR, Lifetime::Until(now.saturating_add(ttl_ms))),
                (TRIMTAB_LIFETIME_LEASE, Lifetime::Lease(lease)),
            ],
        )
    }
}

const LIFETIME_CONDITIONS: [(i32, LifetimeCondition); 5] = [
    (TRIMTAB_CONDITION_ALWAYS, LifetimeCondition::Always),
    (TRIMTAB_CONDITION_NO_DEADLINE, LifetimeCondition::NoDeadline),
    (TRIMTAB_CONDITION_DEADLINE, LifetimeCondition::Deadline),
    (TRIMTAB_CONDITION_LATER, LifetimeCondition::Later),
    (TRIMTAB_CONDITION_EARLIER, LifetimeCondition::Earlier),
];

/// The condition of a number from C: of which there are those of keys, and those of lifetimes.
fn choice_of<T: Copy>(given: i32, known: &[(i32, T)]) -> Result<T, Failure> {
    known.iter().find(|(number, _)| *number == given).map(|(_, value)| *value).ok_or_else(|| {
        let fit: Vec<String> = known.iter().map(|(number, _)| number.to_string()).collect();
        Error::invalid("condition", format!("{given} does not go with this kind; {} do", fit.join(", ")))
            .into()
    })
}

/// Does whatever operation, and blocks until it is as durable as it asked to be. A transaction is
/// `trimtab_store_commit`'s.
///
/// - `operation`: what to do; copied before return.
/// - `call`: how it is to go; NULL for the defaults.
/// - `answer_out`: gets the answer; end it with `trimtab_store_answer_free`. Written on success only.
///
/// Returns `TRIMTAB_OK`, also when a condition did not hold, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or what each write
/// may (see `trimtab_store`).
/// Thread safety: any thread, at any time. Blocks until it is as durable as `call` says, or its time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_execute(
    store: *const trimtab_store,
    operation: *const trimtab_store_operation,
    call: *const trimtab_store_call,
    answer_out: *mut *mut trimtab_store_answer,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `operation` is null or as large as its `struct_size` says, and what it points to readable.
        let asked = unsafe { Asked::read(operation) }?;
        // SAFETY: `call` is null or as large as its `struct_size` says.
        let call = unsafe { call_of(call) }?;
        // SAFETY: `answer_out` is null or writable; null is refused.
        let answer_out = unsafe { handle::out(answer_out, "answer_out") }?;
        let operation = asked.operation(store.present()?)?;
        answer_out.write(answer_of(store.call(&operation, &call)?));
        Ok(())
    })
}
