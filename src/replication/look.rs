//! [`Look`]: a read as one node has another do it, and what it finds there.

use super::frame::Fault;
use super::wire::{Reader, put_bytes, put_u32, put_u64};
use crate::store::index::{Answer, Found, Lifetime, Outcome, Range, Recalled, RequestId, State};

/// The most bytes of keys and values that one look finds; the rest is told as left.
const FOUND_BYTES_MAX: u64 = 8 << 20;
/// The most arguments that a client's command has, its name among them.
pub const ARGUMENTS_MAX: usize = 1_024;
/// The most bytes of these together.
pub const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

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
    /// What a client is to be sent. [`Answer::Got`] with that as value, and nothing else; without, when it is not
    /// told that way.
    Client(ClientCommand),
}

/// A command of a client of Redis' that only reads, with [`ARGUMENTS_MAX`] arguments and [`ARGUMENTS_BYTES_MAX`]
/// bytes at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCommand {
    /// The answer is for RESP3.
    pub is_resp3: bool,
    /// For what is drawn.
    pub random: u64,
    /// The command, its name first.
    pub arguments: Vec<Vec<u8>>,
}

impl Look {
    /// Looks. What has expired by the time in the state is not found.
    ///
    /// - `tell`: what a client is to be sent, for whoever knows its commands.
    pub fn at(&self, state: &State, tell: impl FnOnce(&ClientCommand) -> Option<Vec<u8>>) -> Outcome {
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
            Look::Client(command) => found(Answer::Got(tell(command).map(|told| Found {
                value: told.into(),
                version: 0,
                created: 0,
                changes: 0,
                lifetime: Lifetime::Unbounded,
            }))),
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
            Look::Client(command) => command.arguments.iter().map(|it| it.len() + size_of::<Vec<u8>>()).sum(),
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
            Look::Client(ClientCommand { is_resp3, random, arguments }) => {
                to.push(5);
                to.push(u8::from(*is_resp3));
                put_u64(to, *random);
                put_u32(to, arguments.len() as u32);
                arguments.iter().for_each(|argument| put_bytes(to, argument));
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
            5 => {
                let (is_resp3, random) = (from.flag()?, from.u64()?);
                Look::Client(ClientCommand { is_resp3, random, arguments: arguments(from)? })
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

fn arguments(from: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Fault> {
    let count = from.count(4)?;
    if !(1..=ARGUMENTS_MAX).contains(&count) {
        return Err(Fault::Malformed("the command has no argument or too many"));
    }
    let mut left = ARGUMENTS_BYTES_MAX;
    let mut arguments = Vec::with_capacity(count);
    for _ in 0..count {
        let argument = from.bytes()?;
        left = left.checked_sub(argument.len()).ok_or(Fault::Malformed("the command is too long"))?;
        arguments.push(argument.to_vec());
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(arguments: Vec<Vec<u8>>) -> Result<Look, Fault> {
        let look = Look::Client(ClientCommand { is_resp3: true, random: 3, arguments });
        let mut bytes = Vec::new();
        look.encode(&mut bytes);
        let mut from = Reader(&bytes);
        let read = Look::decode(&mut from)?;
        from.end()?;
        assert_eq!(read, look);
        Ok(read)
    }

    #[test]
    fn a_command_of_a_client_has_bounds() {
        for arguments in [
            vec![Vec::new()],
            vec![b"k".to_vec(); ARGUMENTS_MAX],
            vec![vec![b'k'; ARGUMENTS_BYTES_MAX - 3], b"get".to_vec()],
        ] {
            read_back(arguments).unwrap();
        }
        for arguments in [
            Vec::new(),
            vec![b"k".to_vec(); ARGUMENTS_MAX + 1],
            vec![vec![b'k'; ARGUMENTS_BYTES_MAX - 2], b"get".to_vec()],
        ] {
            assert!(matches!(read_back(arguments), Err(Fault::Malformed(_))));
        }
    }
}
