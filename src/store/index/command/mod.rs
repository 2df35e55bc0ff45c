//! What can be asked of the index, as it stands in the log: [`Command`]. `docs/store-commands.md` has the
//! encoding byte by byte.
//!
//! A command borrows its keys and values: decoding copies none of them.

mod check;
mod decode;
mod encode;
mod limits;

pub use self::decode::Malformed;
pub(in crate::store::index) use self::decode::first_key;
pub use self::limits::{KEY_MAX, Settings};
use super::time::Timestamp;

/// The version that [`Command::encode`] writes, the first byte of a command.
pub const VERSION: u8 = 1;

/// One entry of the log: what is to be done, and all that deciding it needs, so that every node comes to the
/// same state and the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// When the primary took it in. The index' own time is the latest it has seen: a clock that steps back
    /// holds it, and never turns it back.
    pub time: Timestamp,
    /// Who asks, for a request that may be sent again.
    pub request: Option<RequestId>,
    /// What to do.
    pub operation: Operation<'a>,
}

/// Makes a retry harmless: a request that was done before gets its first answer again and changes nothing.
///
/// The index remembers the answers to the [`WINDOW`](super::WINDOW) highest numbers of each client. Numbers may
/// come out of order within that; a lower one is refused. A refusal is not remembered: it changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// Any 16 bytes that no other client uses.
    pub client: [u8; 16],
    /// Counted up by the client, one for each request.
    pub number: u64,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// One step.
    Step(Step<'a>),
    /// Steps on several keys, seen whole or not at all.
    Transaction(Transaction<'a>),
    /// Begins a lease. Keys put with it go when it ends.
    LeaseGrant {
        /// Its number, chosen by the caller; not 0, and not one that is alive.
        id: u64,
        /// How long it lives without a keep-alive, in milliseconds; 1 to 2^48.
        ttl_ms: u64,
    },
    /// Prolongs a lease to its whole time from now.
    LeaseKeepAlive {
        /// The lease.
        id: u64,
    },
    /// Ends a lease and deletes its keys.
    LeaseRevoke {
        /// The lease.
        id: u64,
    },
    /// Takes out what has expired, the longest due first: keys, then leases with their keys. The primary says
    /// so when [`State::next_deadline`](super::State::next_deadline) has come. Nobody sees an expired key
    /// before either; this frees its memory and tells watchers.
    Expire {
        /// The most keys to take out; 0: all that are due.
        limit: u64,
    },
    /// Takes keys out to make room: those the primary chose, each unless it has changed since.
    Evict {
        /// Keys and the versions they had.
        keys: Vec<(&'a [u8], u64)>,
    },
    /// Replaces the settings.
    Configure(Settings),
}

/// One thing to do to a key or a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Puts a value: put, compare-and-set, get-and-set.
    Put {
        /// The key, at most [`KEY_MAX`] bytes; it may be empty.
        key: &'a [u8],
        /// The value, at most [`Settings::value_max`] bytes.
        value: &'a [u8],
        /// When to do so.
        condition: Condition,
        /// How long the key lives from now on.
        lifetime: Lifetime,
        /// Whether the answer has what was there before.
        previous: bool,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: &'a [u8],
        /// When to do so.
        condition: Condition,
        /// Whether the answer has what was there before.
        previous: bool,
    },
    /// Adds to a number: a value that is an `i64` in decimal digits, a `-` before it if it is negative. No
    /// value is 0. The key's lifetime stays.
    Increment {
        /// The key.
        key: &'a [u8],
        /// What to add. A sum beyond an `i64` is refused.
        by: i64,
    },
    /// Appends to a value; no value is an empty one. The key's lifetime stays.
    Append {
        /// The key.
        key: &'a [u8],
        /// What to append.
        value: &'a [u8],
    },
    /// Changes when a key expires, and nothing else but its version.
    SetLifetime {
        /// The key.
        key: &'a [u8],
        /// [`Lifetime::Keep`] changes nothing.
        lifetime: Lifetime,
        /// When to do so.
        condition: LifetimeCondition,
    },
    /// Deletes the keys of a range.
    DeleteRange {
        /// Which.
        range: Range<'a>,
        /// The most to delete, the first ones; 0: all.
        limit: u64,
    },
    /// Reads a key, in its place among the other steps.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Reads a range, in its place among the other steps.
    Range {
        /// Which.
        range: Range<'a>,
        /// The most entries to give; 0: as many as have [`Settings::value_max`] bytes together.
        limit: u64,
        /// From the last to the first.
        reverse: bool,
    },
}

/// Keys at or after `start` and before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// The first key that may be in it.
    pub start: &'a [u8],
    /// The first key that is behind it; `None`: no end.
    pub end: Option<&'a [u8]>,
}

impl Range<'_> {
    /// All keys.
    pub const ALL: Range<'static> = Range { start: b"", end: None };

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start && self.end.is_none_or(|end| key < end)
    }
}

/// The first string behind all that begin with `prefix`; `None` when there is no such string: the prefix is
/// empty or nothing but bytes of 255.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// When a put or a deletion is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    Always,
    /// If the key is not there.
    Absent,
    /// If the key is there.
    Present,
    /// If the key has this version; 0: if it is not there.
    Version(u64),
}

/// How long a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is deleted.
    Unbounded,
    /// As long as before; a new key until it is deleted.
    Keep,
    /// Until a moment; one in the past means that it is gone at once.
    Until(Timestamp),
    /// As long as a lease does.
    Lease(u64),
}

/// When a lifetime is changed. A key without a deadline has one after all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeCondition {
    /// In any case.
    Always,
    /// If it has no deadline.
    NoDeadline,
    /// If it has a deadline.
    Deadline,
    /// If the new deadline is later.
    Later,
    /// If the new deadline is earlier.
    Earlier,
}

/// Steps on several keys: `then` if all conditions hold, `otherwise` if not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// What must hold, all of it; none is true.
    pub conditions: Vec<Comparison<'a>>,
    /// What is done then.
    pub then: Vec<Step<'a>>,
    /// What is done otherwise.
    pub otherwise: Vec<Step<'a>>,
    /// What a refused step means for the others.
    pub on_refusal: OnRefusal,
}

/// What a refused step means for the others of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRefusal {
    /// Nothing of the transaction is done, and the refusal is the answer.
    Abort,
    /// The others are done; the refusal is the answer of this one.
    Continue,
}

/// Something a transaction asks of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison<'a> {
    /// The key.
    pub key: &'a [u8],
    /// How what the key has stands to `operand`.
    pub relation: Relation,
    /// What is compared, and with what.
    pub operand: Operand<'a>,
}

/// How the left side stands to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// Lesser.
    Less,
    /// Greater.
    Greater,
}

/// What of a key is compared with what. Numbers of an absent key are 0; its value is less than any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand<'a> {
    /// The sequence of its last change.
    Version(u64),
    /// The sequence that created it.
    Created(u64),
    /// How often it was changed since it was created, which is the first time.
    Changes(u64),
    /// Its value, byte by byte.
    Value(&'a [u8]),
    /// Its lease; 0: none.
    Lease(u64),
}
