//! [`Look`]: a read as one node has another do it, and what it finds there.

use super::frame::Fault;
use super::wire::{Reader, put_bytes, put_u64};
use crate::store::index::{Answer, Outcome, Range, Recalled, RequestId, State};

/// The most bytes of keys and values that one look finds; the rest is told as left.
const FOUND_BYTES_MAX: u64 = 8 << 20;

/// A read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// What a key has. [`Answer::Got`].
    Get {
        /// The key.
        key: Vec<u8>,
    },
    /// The keys of a range, and what they have. [`Answer::Range`].
    Range {
        /// The first key.
        start: Vec<u8>,
        /// The first key behind it; `None`: all from `start` on.
        end: Option<Vec<u8>>,
        /// The most keys; 0: no limit.
        limit: u64,
        /// The most bytes of keys and values, but one key in any case; 8 MiB are enough.
        bytes_max: u64,
        /// From the last key to the first.
        reverse: bool,
    },
    /// How many keys a range has. [`Answer::Length`].
    Count {
        /// The first key.
        start: Vec<u8>,
        /// The first key behind it; `None`: all from `start` on.
        end: Option<Vec<u8>>,
    },
    /// What came of a request: the outcome of before, told as repeated. Otherwise [`Answer::Configured`] when it was not
    /// done, and [`Answer::NotMet`] with the lowest number that is remembered when that is forgotten.
    Request(RequestId),
}

impl Look {
    /// Looks. What has expired by the time in the state is not found.
    pub fn at(&self, state: &State) -> Outcome {
        let (sequence, time) = (state.sequence(), state.time());
        let found = |answer| Outcome { sequence, is_repeated: false, answer: Ok(answer) };
        match self {
            Look::Get { key } => found(Answer::Got(state.get(key, time).map(|it| it.to_found()))),
            Look::Range { start, end, limit, bytes_max, reverse } => {
                let range = Range { start, end: end.as_deref() };
                let page = state.range(&range, *limit, (*bytes_max).min(FOUND_BYTES_MAX), *reverse, time);
                let entries = page.entries.iter().map(|(key, entry)| (key.clone(), entry.to_found()));
                found(Answer::Range { entries: entries.collect(), more: page.more })
            }
            Look::Count { start, end } => {
                found(Answer::Length(state.count(&Range { start, end: end.as_deref() }, time)))
            }
            Look::Request(request) => match state.recall(request) {
                Recalled::Done(outcome) => outcome,
                Recalled::NotDone => found(Answer::Configured),
                Recalled::Forgotten { lowest } => found(Answer::NotMet { version: lowest, previous: None }),
            },
        }
    }

    /// How many bytes it has to itself.
    pub fn bytes(&self) -> usize {
        match self {
            Look::Get { key } => key.len(),
            Look::Range { start, end, .. } | Look::Count { start, end } => {
                start.len() + end.as_ref().map_or(0, Vec::len)
            }
            Look::Request(_) => 24,
        }
    }

    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Look::Get { key } => {
                to.push(1);
                put_bytes(to, key);
            }
            Look::Range { start, end, limit, bytes_max, reverse } => {
                to.push(2);
                put_range(to, start, end.as_deref());
                put_u64(to, *limit);
                put_u64(to, *bytes_max);
                to.push(u8::from(*reverse));
            }
            Look::Count { start, end } => {
                to.push(3);
                put_range(to, start, end.as_deref());
            }
            Look::Request(RequestId { client, number }) => {
                to.push(4);
                to.extend_from_slice(client);
                put_u64(to, *number);
            }
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(match from.u8()? {
            1 => Look::Get { key: from.bytes()?.to_vec() },
            2 => {
                let (start, end) = range(from)?;
                let (limit, bytes_max) = (from.u64()?, from.u64()?);
                Look::Range { start, end, limit, bytes_max, reverse: from.flag()? }
            }
            3 => {
                let (start, end) = range(from)?;
                Look::Count { start, end }
            }
            4 => {
                let client = from.take(16)?.try_into().expect("sixteen bytes");
                Look::Request(RequestId { client, number: from.u64()? })
            }
            _ => return Err(Fault::Malformed("the read is of no known kind")),
        })
    }
}

fn put_range(to: &mut Vec<u8>, start: &[u8], end: Option<&[u8]>) {
    put_bytes(to, start);
    to.push(u8::from(end.is_some()));
    if let Some(end) = end {
        put_bytes(to, end);
    }
}

fn range(from: &mut Reader<'_>) -> Result<(Vec<u8>, Option<Vec<u8>>), Fault> {
    let start = from.bytes()?.to_vec();
    let end = if from.flag()? { Some(from.bytes()?.to_vec()) } else { None };
    Ok((start, end))
}
