//! What came of a command: [`Outcome`], and its encoding, in which answers are remembered for retries.

use std::fmt;
use std::sync::Arc;

use super::command::{Lifetime, Malformed};
use super::entry::Found;
use super::time::Timestamp;
use super::wire::{put_bytes, put_varint, take_bytes, take_varint, unzigzag, zigzag};

/// What came of a command; the same on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The sequence at which it was done: that of the first time, for a request that was sent again.
    pub sequence: u64,
    /// Whether this is the answer to an earlier sending of the same request.
    pub is_repeated: bool,
    /// The answer, or why nothing was done.
    pub answer: Result<Answer, Refusal>,
}

/// The answer to what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value was put; its version is the outcome's sequence.
    Put {
        /// What was there before, if it was asked for.
        previous: Option<Found>,
    },
    /// The condition does not hold; nothing was changed.
    NotMet {
        /// The version of what is there; 0: nothing.
        version: u64,
        /// What is there, if it was asked for.
        previous: Option<Found>,
    },
    /// Keys were deleted.
    Deleted {
        /// How many.
        count: u64,
        /// What was there before, if it was asked for.
        previous: Option<Found>,
        /// Whether the limit left some.
        more: bool,
    },
    /// The number there is now.
    Number(i64),
    /// The length there is now.
    Length(u64),
    /// The lifetime was changed.
    LifetimeSet,
    /// What the key has.
    Got(Option<Found>),
    /// What the range has.
    Range {
        /// Keys and what they have, in the order asked for.
        entries: Vec<(Vec<u8>, Found)>,
        /// Whether a limit left some.
        more: bool,
    },
    /// The transaction was done.
    Transaction {
        /// Whether the conditions held, and `then` was done.
        is_met: bool,
        /// What came of each step.
        answers: Vec<Result<Answer, Refusal>>,
    },
    /// The lease lives.
    Lease {
        /// Until when, without a keep-alive.
        deadline: Timestamp,
    },
    /// The lease has ended.
    Revoked {
        /// How many keys went with it.
        keys: u64,
    },
    /// What had expired was taken out.
    Expired {
        /// How many keys.
        keys: u64,
        /// How many leases.
        leases: u64,
        /// Whether the limit left some.
        more: bool,
    },
    /// Keys were taken out to make room.
    Evicted {
        /// How many.
        keys: u64,
    },
    /// The settings are in force.
    Configured,
}

/// Why nothing was done.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are no command.
    Malformed(Malformed),
    /// The value is no `i64` in decimal digits.
    NotANumber(Head),
    /// The sum is beyond an `i64`.
    Overflow,
    /// The value would be longer than `value_max`.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// What the steps of a transaction would answer is longer than four times `value_max`.
    AnswerTooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// It would take the index beyond its `memory_max`.
    MemoryFull {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The number of the request is so far below the client's highest that its answer is forgotten: whether it was
    /// done is unknown.
    StaleRequest {
        /// The lowest number that may still come.
        lowest: u64,
    },
    /// The lease has ended, or never began.
    NoLease {
        /// The lease.
        id: u64,
    },
    /// A lease with this number is alive.
    LeaseExists {
        /// The lease.
        id: u64,
    },
}

/// What a value began with when it was refused, for who tells values apart by that. It is known where the refusal was made, and
/// no part of the answer: not of one that is remembered, or comes from another node. So all of them are equal.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Head(Option<[u8; 4]>);

impl Head {
    /// Nothing is known of it.
    pub const UNKNOWN: Self = Self(None);

    pub(in crate::store::index) fn of(value: &[u8]) -> Self {
        let mut head = [0; 4];
        let len = value.len().min(4);
        head[..len].copy_from_slice(&value[..len]);
        Self(Some(head))
    }

    /// Its first four bytes, with zeroes behind one that is shorter; `None`: they are not known.
    pub fn bytes(&self) -> Option<[u8; 4]> {
        self.0
    }
}

impl PartialEq for Head {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(malformed) => malformed.fmt(f),
            Refusal::NotANumber(_) => f.write_str("the value is not a whole number from -2^63 to 2^63 - 1"),
            Refusal::Overflow => f.write_str("the sum is outside -2^63 to 2^63 - 1"),
            Refusal::TooLarge { limit } => {
                write!(f, "the value would be longer than value_max = {limit} bytes")
            }
            Refusal::AnswerTooLarge { limit } => {
                write!(f, "the answers would be longer than {limit} bytes; read less in one transaction")
            }
            Refusal::MemoryFull { limit } => {
                write!(
                    f,
                    "the store is full: memory_max = {limit} bytes; delete something, raise it, or evict"
                )
            }
            Refusal::StaleRequest { lowest } => write!(
                f,
                "the answer to this request is forgotten; numbers below {lowest} come too late, read before you \
                 write again"
            ),
            Refusal::NoLease { id } => write!(f, "there is no lease {id} (any more); grant one"),
            Refusal::LeaseExists { id } => write!(f, "there is a lease {id} already; choose another number"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Outcome {
    /// Appends the encoding to `out`, for another node: any answer and any refusal.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.sequence);
        out.push(u8::from(self.is_repeated));
        match &self.answer {
            Ok(answer) => answer.encode(out),
            Err(Refusal::StaleRequest { lowest }) => {
                out.push(0x90);
                put_varint(out, *lowest);
            }
            Err(Refusal::LeaseExists { id }) => {
                out.push(0x91);
                put_varint(out, *id);
            }
            Err(Refusal::Malformed(malformed)) => {
                // What the settings of now do not allow any more; all else was refused before it was in the log.
                let limit = match malformed {
                    Malformed::TooLarge { limit, .. } => *limit,
                    _ => 0,
                };
                out.push(0x92);
                put_varint(out, limit);
            }
            Err(refusal) => put_refusal(out, refusal),
        }
    }

    /// The outcome that begins `bytes`; `None` for what no release has written.
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let sequence = take_varint(bytes)?;
        let is_repeated = take_flag(bytes)?;
        let refusal = match bytes.first()? {
            0x90 => |lowest| Refusal::StaleRequest { lowest },
            0x91 => |id| Refusal::LeaseExists { id },
            0x92 => |limit| Refusal::Malformed(Malformed::TooLarge { what: "value_max", limit }),
            _ => {
                let answer = take_answer(bytes, 1)?;
                return Some(Self { sequence, is_repeated, answer });
            }
        };
        take_byte(bytes)?;
        let answer = Err(refusal(take_varint(bytes)?));
        Some(Self { sequence, is_repeated, answer })
    }
}

impl Answer {
    /// Appends the encoding to `out`. Answers to commands that are not remembered have none but their kind.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Put { previous } => {
                out.push(1);
                put_found(out, previous.as_ref());
            }
            Answer::NotMet { version, previous } => {
                out.push(2);
                put_varint(out, *version);
                put_found(out, previous.as_ref());
            }
            Answer::Deleted { count, previous, more } => {
                out.push(3);
                put_varint(out, *count);
                put_found(out, previous.as_ref());
                out.push(u8::from(*more));
            }
            Answer::Number(number) => {
                out.push(4);
                put_varint(out, zigzag(*number));
            }
            Answer::Length(length) => {
                out.push(5);
                put_varint(out, *length);
            }
            Answer::LifetimeSet => out.push(6),
            Answer::Got(found) => {
                out.push(7);
                put_found(out, found.as_ref());
            }
            Answer::Range { entries, more } => {
                out.push(8);
                out.push(u8::from(*more));
                put_varint(out, entries.len() as u64);
                for (key, found) in entries {
                    put_bytes(out, key);
                    put_found(out, Some(found));
                }
            }
            Answer::Transaction { is_met, answers } => {
                out.push(9);
                out.push(u8::from(*is_met));
                put_varint(out, answers.len() as u64);
                for answer in answers {
                    match answer {
                        Ok(answer) => answer.encode(out),
                        Err(refusal) => put_refusal(out, refusal),
                    }
                }
            }
            Answer::Lease { deadline } => {
                out.push(10);
                put_varint(out, deadline.as_millis());
            }
            Answer::Revoked { keys } => {
                out.push(11);
                put_varint(out, *keys);
            }
            Answer::Expired { keys, leases, more } => {
                out.push(12);
                put_varint(out, *keys);
                put_varint(out, *leases);
                out.push(u8::from(*more));
            }
            Answer::Evicted { keys } => {
                out.push(13);
                put_varint(out, *keys);
            }
            Answer::Configured => out.push(14),
        }
    }

    /// The answer that begins `bytes`; `None` for what we did not write.
    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        take_answer(bytes, 1)?.ok()
    }
}

fn take_answer(bytes: &mut &[u8], depth: u32) -> Option<Result<Answer, Refusal>> {
    Some(Ok(match take_byte(bytes)? {
        1 => Answer::Put { previous: take_found(bytes)? },
        2 => Answer::NotMet { version: take_varint(bytes)?, previous: take_found(bytes)? },
        3 => Answer::Deleted {
            count: take_varint(bytes)?,
            previous: take_found(bytes)?,
            more: take_flag(bytes)?,
        },
        4 => Answer::Number(unzigzag(take_varint(bytes)?)),
        5 => Answer::Length(take_varint(bytes)?),
        6 => Answer::LifetimeSet,
        7 => Answer::Got(take_found(bytes)?),
        8 => {
            let more = take_flag(bytes)?;
            let mut entries = Vec::new();
            for _ in 0..take_varint(bytes)? {
                entries.push((take_bytes(bytes)?.to_vec(), take_found(bytes)??));
            }
            Answer::Range { entries, more }
        }
        9 if depth > 0 => {
            let is_met = take_flag(bytes)?;
            let mut answers = Vec::new();
            for _ in 0..take_varint(bytes)? {
                answers.push(take_answer(bytes, depth - 1)?);
            }
            Answer::Transaction { is_met, answers }
        }
        10 => Answer::Lease { deadline: Timestamp::from_millis(take_varint(bytes)?) },
        11 => Answer::Revoked { keys: take_varint(bytes)? },
        12 => Answer::Expired {
            keys: take_varint(bytes)?,
            leases: take_varint(bytes)?,
            more: take_flag(bytes)?,
        },
        13 => Answer::Evicted { keys: take_varint(bytes)? },
        14 => Answer::Configured,
        0x81 => return Some(Err(Refusal::NotANumber(Head::UNKNOWN))),
        0x82 => return Some(Err(Refusal::Overflow)),
        0x83 => return Some(Err(Refusal::TooLarge { limit: take_varint(bytes)? })),
        0x84 => return Some(Err(Refusal::MemoryFull { limit: take_varint(bytes)? })),
        0x85 => return Some(Err(Refusal::NoLease { id: take_varint(bytes)? })),
        0x86 => return Some(Err(Refusal::AnswerTooLarge { limit: take_varint(bytes)? })),
        _ => return None,
    }))
}

/// What a step may be refused for. The others concern a command, and refusals of commands are not remembered.
fn put_refusal(out: &mut Vec<u8>, refusal: &Refusal) {
    match refusal {
        Refusal::NotANumber(_) => out.push(0x81),
        Refusal::Overflow => out.push(0x82),
        Refusal::TooLarge { limit } => {
            out.push(0x83);
            put_varint(out, *limit);
        }
        Refusal::MemoryFull { limit } => {
            out.push(0x84);
            put_varint(out, *limit);
        }
        Refusal::NoLease { id } => {
            out.push(0x85);
            put_varint(out, *id);
        }
        Refusal::AnswerTooLarge { limit } => {
            out.push(0x86);
            put_varint(out, *limit);
        }
        Refusal::Malformed(_) | Refusal::StaleRequest { .. } | Refusal::LeaseExists { .. } => {
            unreachable!("no step is refused for this")
        }
    }
}

fn put_found(out: &mut Vec<u8>, found: Option<&Found>) {
    let Some(found) = found else { return out.push(0) };
    let (kind, lifetime) = match found.lifetime {
        Lifetime::Unbounded | Lifetime::Keep => (1, None),
        Lifetime::Until(deadline) => (2, Some(deadline.as_millis())),
        Lifetime::Lease(id) => (3, Some(id)),
    };
    out.push(kind);
    put_varint(out, found.version);
    put_varint(out, found.created);
    put_varint(out, found.changes);
    if let Some(lifetime) = lifetime {
        put_varint(out, lifetime);
    }
    put_bytes(out, &found.value);
}

fn take_found(bytes: &mut &[u8]) -> Option<Option<Found>> {
    let kind = take_byte(bytes)?;
    if kind == 0 {
        return Some(None);
    }
    let (version, created, changes) = (take_varint(bytes)?, take_varint(bytes)?, take_varint(bytes)?);
    let lifetime = match kind {
        1 => Lifetime::Unbounded,
        2 => Lifetime::Until(Timestamp::from_millis(take_varint(bytes)?)),
        3 => Lifetime::Lease(take_varint(bytes)?),
        _ => return None,
    };
    let value = Arc::from(take_bytes(bytes)?);
    Some(Some(Found { value, version, created, changes, lifetime }))
}

fn take_flag(bytes: &mut &[u8]) -> Option<bool> {
    match take_byte(bytes)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}
