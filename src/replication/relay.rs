//! What a node asks of the primary for its callers, and what it is answered: writes that are passed on, positions to read
//! at; where its clients reach it, and how far it is. These go over the same links as frames, beside them ([`is_relay`] tells them
//! apart), and never into consensus.
//!
//! ```text
//! 0   2  0x7274          numbers are little-endian
//! 2   1  version: 1
//! 3   1  kind
//! 4   8  the asking node's number for it; 0 where nothing is answered
//! 12     the body
//! ```
//!
//! | kind | | body |
//! |---|---|---|
//! | 1 | write | level (1), count of nodes (4), milliseconds it may take (4), the command |
//! | 2 | written | 0, epoch, sequence (8 each), durability (1), nodes (4), degraded (1), whether there is an outcome (1), the outcome; or 1 and why not |
//! | 3 | read | milliseconds it may take (4) |
//! | 4 | granted | 0, epoch, sequence (8 each); or 1 and why not |
//! | 5 | card | where clients of Redis reach the node, as text |
//! | 6 | message | length of the channel (4), the channel, what is published there |
//! | 7 | ask | nothing: the other one is to tell how far it is, as long as the link is up |
//! | 8 | report | the last entry applied, the last that is committed as far as the node knows (8 each), whether it knows how old what it shows is (1), and if so that in milliseconds (8) |
//! | 9 | door | where nodes reach what a card has a name for, as text |
//! | 10 | look | milliseconds it may take (4), the position to be seen, or zeros (8, 8), what is read; the answer is of kind 2 |
//! | 11 | forget | nothing: nobody waits for what has the number any more: a read, or a write that is not begun |
//!
//! The links have checksums, and have seen to it that both ends belong to one cluster.

use std::time::Duration;

use super::frame::Fault;
use super::look::Look;
use super::node::{Denied, Done, Fence, Level, Position, Reached};
use super::progress::Report;
use super::wire::{Reader, put_bytes, put_u32, put_u64};
use crate::error::Error;
use crate::store::engine::Durability;
use crate::store::index::Outcome;

const MAGIC: u16 = 0x7274;
const VERSION: u8 = 1;
/// The bytes before the body.
const HEADER_BYTES: usize = 12;
const WRITTEN: u8 = 2;
/// The longest address on a card.
const CARD_BYTES_MAX: usize = 128;

/// What one node says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relay {
    /// A write for the primary.
    Write {
        /// How safe it is to be.
        level: Level,
        /// How long it may take.
        millis: u32,
        /// The command, encoded.
        command: Vec<u8>,
    },
    /// What came of it.
    Written(Result<Done, Denied>),
    /// Up to where everything is that was answered before.
    Read {
        /// How long it may take.
        millis: u32,
    },
    /// That.
    Granted(Result<Position, Denied>),
    /// A read for the primary to do, as of now, and once it shows a position. Answered as a write is, with what is found.
    Look {
        /// How long it may take.
        millis: u32,
        /// What it has to see.
        token: Option<Position>,
        /// What is read.
        look: Look,
    },
    /// Where clients reach the node.
    Card {
        /// As they would write it; empty: nowhere.
        address: String,
    },
    /// A client has published something.
    Message {
        /// The channel.
        channel: Vec<u8>,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Where other nodes reach what the card has a name for.
    Door {
        /// An address; empty: nowhere.
        address: String,
    },
    /// The other one is to tell how far it is, now and then.
    Ask,
    /// How far the node is.
    Report(Report),
    /// Nobody waits for a read any more, or for a write: if that is not begun, it is not to be.
    Forget,
}

/// Whether bytes from a link are one of these and no frame.
pub fn is_relay(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes[..2] == MAGIC.to_le_bytes()
        && bytes.get(8..10) != Some(&[0x54, 0x74])
}

/// The bytes of `relay`, which its asker has the number `id` for.
pub fn encode(id: u64, relay: &Relay) -> Vec<u8> {
    let mut to = Vec::with_capacity(64);
    to.extend_from_slice(&MAGIC.to_le_bytes());
    to.push(VERSION);
    to.push(match relay {
        Relay::Write { .. } => 1,
        Relay::Written(_) => WRITTEN,
        Relay::Read { .. } => 3,
        Relay::Granted(_) => 4,
        Relay::Card { .. } => 5,
        Relay::Message { .. } => 6,
        Relay::Ask => 7,
        Relay::Report(_) => 8,
        Relay::Door { .. } => 9,
        Relay::Look { .. } => 10,
        Relay::Forget => 11,
    });
    put_u64(&mut to, id);
    match relay {
        Relay::Write { level, millis, command } => {
            let (code, count) = match *level {
                Level::Memory => (0, 0),
                Level::Local => (1, 0),
                Level::Quorum => (2, 0),
                Level::All => (3, 0),
                Level::AtLeast(count) => (4, count),
            };
            to.push(code);
            put_u32(&mut to, count);
            put_u32(&mut to, *millis);
            to.extend_from_slice(command);
        }
        Relay::Written(Ok(done)) => {
            to.push(0);
            put_u64(&mut to, done.position.epoch);
            put_u64(&mut to, done.position.sequence);
            to.push(done.reached.durability as u8);
            put_u32(&mut to, done.reached.nodes);
            to.push(u8::from(done.reached.is_degraded));
            to.push(u8::from(done.outcome.is_some()));
            if let Some(outcome) = &done.outcome {
                outcome.encode(&mut to);
            }
        }
        Relay::Read { millis } => put_u32(&mut to, *millis),
        Relay::Granted(Ok(position)) => {
            to.push(0);
            put_u64(&mut to, position.epoch);
            put_u64(&mut to, position.sequence);
        }
        Relay::Written(Err(why)) | Relay::Granted(Err(why)) => {
            to.push(1);
            put_denied(&mut to, why);
        }
        Relay::Look { millis, token, look } => {
            put_u32(&mut to, *millis);
            let Position { epoch, sequence } = token.unwrap_or_default();
            put_u64(&mut to, epoch);
            put_u64(&mut to, sequence);
            look.encode(&mut to);
        }
        Relay::Card { address } | Relay::Door { address } => put_bytes(&mut to, address.as_bytes()),
        Relay::Message { channel, payload } => {
            put_bytes(&mut to, channel);
            to.extend_from_slice(payload);
        }
        Relay::Ask | Relay::Forget => {}
        Relay::Report(report) => {
            put_u64(&mut to, report.applied);
            put_u64(&mut to, report.committed);
            to.push(u8::from(report.age.is_some()));
            if let Some(age) = report.age {
                // Rather older than it is.
                let millis = age.as_nanos().div_ceil(1_000_000);
                put_u64(&mut to, u64::try_from(millis).unwrap_or(u64::MAX));
            }
        }
    }
    to
}

/// What bytes say, and the number their asker has for it.
///
/// # Errors
///
/// `Newer`, `Cut` and `Malformed`: nothing of it is to be believed.
pub fn decode(bytes: &[u8]) -> Result<(u64, Relay), Fault> {
    let mut from = Reader(bytes);
    if from.take(2)? != MAGIC.to_le_bytes() {
        return Err(Fault::Damaged);
    }
    let version = from.u8()?;
    if version != VERSION {
        return Err(Fault::Newer { version: u16::from(version) });
    }
    let kind = from.u8()?;
    let id = from.u64()?;
    let relay = match kind {
        1 => {
            let (code, count, millis) = (from.u8()?, from.u32()?, from.u32()?);
            let level = match code {
                0 => Level::Memory,
                1 => Level::Local,
                2 => Level::Quorum,
                3 => Level::All,
                4 => Level::AtLeast(count),
                _ => return Err(Fault::Malformed("the level is none")),
            };
            return Ok((id, Relay::Write { level, millis, command: from.0.to_vec() }));
        }
        WRITTEN if is_good(&mut from)? => {
            let position = Position { epoch: from.u64()?, sequence: from.u64()? };
            let durability = match from.u8()? {
                0 => Durability::Memory,
                1 => Durability::Local,
                2 => Durability::Quorum,
                3 => Durability::All,
                _ => return Err(Fault::Malformed("the durability is none")),
            };
            let nodes = from.u32()?;
            let is_degraded = from.flag()?;
            let outcome = match from.flag()? {
                true => Some(Outcome::decode(&mut from.0).ok_or(Fault::Malformed("the outcome is none"))?),
                false => None,
            };
            Relay::Written(Ok(Done {
                outcome,
                position,
                reached: Reached { durability, nodes, is_degraded },
            }))
        }
        WRITTEN => Relay::Written(Err(denied(&mut from)?)),
        3 => Relay::Read { millis: from.u32()? },
        4 if is_good(&mut from)? => {
            Relay::Granted(Ok(Position { epoch: from.u64()?, sequence: from.u64()? }))
        }
        4 => Relay::Granted(Err(denied(&mut from)?)),
        5 | 9 => {
            let text = text(&mut from)?;
            if text.len() > CARD_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(Fault::Malformed("the card's address is none"));
            }
            if kind == 5 { Relay::Card { address: text } } else { Relay::Door { address: text } }
        }
        6 => {
            let channel = from.bytes()?.to_vec();
            return Ok((id, Relay::Message { channel, payload: from.0.to_vec() }));
        }
        7 => Relay::Ask,
        11 => Relay::Forget,
        8 => {
            let (applied, committed) = (from.u64()?, from.u64()?);
            let age = match from.flag()? {
                true => Some(Duration::from_millis(from.u64()?)),
                false => None,
            };
            Relay::Report(Report { applied, committed, age })
        }
        10 => {
            let millis = from.u32()?;
            let token = Position { epoch: from.u64()?, sequence: from.u64()? };
            let token = Some(token).filter(|it| *it != Position::default());
            Relay::Look { millis, token, look: Look::decode(&mut from)? }
        }
        _ => return Err(Fault::Malformed("the message is of no known kind")),
    };
    from.end()?;
    Ok((id, relay))
}

/// Whether a result is a good one; what follows is read accordingly.
fn is_good(from: &mut Reader<'_>) -> Result<bool, Fault> {
    Ok(!from.flag()?)
}

fn text(from: &mut Reader<'_>) -> Result<String, Fault> {
    let bytes = from.bytes()?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Fault::Malformed("a text is not UTF-8"))
}

/// Limits that a primary refuses a write for, by their names.
const LIMITS: [&str; 7] = [
    "waiting_max",
    "uncommitted_bytes_max",
    "memory_max",
    "disk_bytes_max",
    "pending_bytes_max",
    "segment_bytes",
    "forward_max",
];

/// What a primary's own reason follows, where it is told by another node.
const REFUSED: &str = "refused it: ";

fn put_denied(to: &mut Vec<u8>, why: &Denied) {
    match why {
        Denied::NotPrimary { primary } => {
            to.push(1);
            put_u64(to, primary.unwrap_or(0));
        }
        Denied::NoQuorum => to.push(2),
        Denied::Busy(_) => to.push(3),
        Denied::Superseded => to.push(4),
        Denied::Unknown => to.push(5),
        Denied::TimedOut => to.push(6),
        Denied::Lost => to.push(7),
        Denied::Fenced(_) => to.push(8),
        Denied::Refused(error) => match error {
            Error::Capacity { what, limit } if LIMITS.contains(what) => {
                let at = LIMITS.iter().position(|it| it == what).expect("it is among them");
                to.extend_from_slice(&[9, at as u8]);
                put_u64(to, *limit);
            }
            Error::Io { what, code, detail } => {
                to.push(10);
                put_u32(to, *code as u32);
                put_bytes(to, what.as_bytes());
                put_bytes(to, detail.as_bytes());
            }
            Error::InvalidArgument { detail, .. } => {
                to.push(11);
                put_bytes(to, detail.as_bytes());
            }
            // As another primary told it already.
            Error::State { what: "primary", detail } if detail.starts_with(REFUSED) => {
                to.push(12);
                put_bytes(to, &detail.as_bytes()[REFUSED.len()..]);
            }
            other => {
                to.push(12);
                put_bytes(to, other.to_string().as_bytes());
            }
        },
    }
}

fn denied(from: &mut Reader<'_>) -> Result<Denied, Fault> {
    Ok(match from.u8()? {
        1 => Denied::NotPrimary { primary: Some(from.u64()?).filter(|node| *node != 0) },
        2 => Denied::NoQuorum,
        3 => Denied::Busy("something that the primary is at"),
        4 => Denied::Superseded,
        5 => Denied::Unknown,
        6 => Denied::TimedOut,
        7 => Denied::Lost,
        // Its own fence is nobody else's: to this node it is none to ask.
        8 => Denied::NotPrimary { primary: None },
        9 => {
            let at = from.u8()?;
            let what = *LIMITS.get(usize::from(at)).ok_or(Fault::Malformed("the limit is none"))?;
            Denied::Refused(Error::Capacity { what, limit: from.u64()? })
        }
        10 => {
            let code = from.u32()? as i32;
            Denied::Refused(Error::Io { what: text(from)?, code, detail: text(from)? })
        }
        11 => Denied::Refused(Error::InvalidArgument { what: "command", detail: text(from)?.into() }),
        12 => Denied::Refused(Error::State {
            what: "primary",
            detail: format!("{REFUSED}{}", text(from)?).into(),
        }),
        _ => return Err(Fault::Malformed("the reason is of no known kind")),
    })
}

impl Fence {
    /// What to tell an operator: one line.
    pub fn describe(&self) -> String {
        match self {
            Fence::Removed => {
                "was removed from the cluster; add it under another name, with an empty directory".into()
            }
            Fence::OldGeneration { generation } => format!(
                "is of a time before another node was promoted by force (generation {generation}); take its directory \
                 away and add it under another name"
            ),
            Fence::Retired => {
                "is run by another process that began later; stop this one, or give one another name and directory"
                    .into()
            }
            Fence::Diverged { sequence, from } => format!(
                "has another entry {sequence} than node {from}, and both say it is committed; keep its directory for \
                 looking into it, and add the node under another name"
            ),
            Fence::TwoClusters { .. } => "is the only voter of its cluster, and another cluster of that name has it as a member. To \
                                          make it a member there, take its directory away and start it with join = true, and \
                                          without adopt; to keep what it has, end the other cluster and start this node again"
                .into(),
            Fence::Differs { sequence } => format!(
                "has come to another state than most others at entry {sequence}; keep its directory for looking into \
                 it, and add the node under another name"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{self, Header};
    use super::super::look::ClientCommand;
    use super::super::message::Body;
    use super::*;
    use crate::store::index::{Answer, Refusal, RequestId};

    fn all() -> Vec<Relay> {
        let position = Position { epoch: 3, sequence: 9 };
        let reached = Reached { durability: Durability::All, nodes: 3, is_degraded: true };
        let outcome = |answer| Some(Outcome { sequence: 9, is_repeated: true, answer });
        let mut all = vec![
            Relay::Write { level: Level::AtLeast(2), millis: 7, command: vec![1, 2, 3] },
            Relay::Write { level: Level::Quorum, millis: u32::MAX, command: Vec::new() },
            Relay::Written(Ok(Done { outcome: None, position, reached })),
            Relay::Written(Ok(Done { outcome: outcome(Ok(Answer::Number(-4))), position, reached })),
            Relay::Written(Ok(Done {
                outcome: outcome(Err(Refusal::LeaseExists { id: 4 })),
                position,
                reached,
            })),
            Relay::Read { millis: 10 },
            Relay::Granted(Ok(position)),
            Relay::Look { millis: 5, token: None, look: Look::Get { key: b"key".to_vec() } },
            Relay::Look { millis: 5, token: Some(position), look: Look::Get { key: Vec::new() } },
            Relay::Look {
                millis: 0,
                token: None,
                look: Look::Range {
                    start: b"a".to_vec(),
                    end: Some(b"b".to_vec()),
                    limit: 3,
                    bytes_max: 1 << 20,
                    reverse: true,
                },
            },
            Relay::Look { millis: 1, token: None, look: Look::Count { start: b"a".to_vec(), end: None } },
            Relay::Look {
                millis: 1,
                token: None,
                look: Look::Request(RequestId { client: [7; 16], number: 9 }),
            },
            Relay::Look {
                millis: 1,
                token: Some(position),
                look: Look::Client(ClientCommand {
                    is_resp3: true,
                    random: u64::MAX,
                    arguments: vec![b"GET".to_vec(), Vec::new()],
                }),
            },
            Relay::Card { address: "10.0.0.1:6379".into() },
            Relay::Message { channel: b"news".to_vec(), payload: b"he\0llo".to_vec() },
            Relay::Message { channel: Vec::new(), payload: Vec::new() },
            Relay::Door { address: "10.0.0.1:6379".into() },
            Relay::Ask,
            Relay::Forget,
            Relay::Report(Report { applied: 9, committed: 12, age: Some(Duration::from_millis(40)) }),
            Relay::Report(Report { applied: 0, committed: u64::MAX, age: None }),
        ];
        for why in [
            Denied::NotPrimary { primary: Some(3) },
            Denied::NotPrimary { primary: None },
            Denied::NoQuorum,
            Denied::Superseded,
            Denied::Unknown,
            Denied::TimedOut,
            Denied::Lost,
            Denied::Refused(Error::Capacity { what: "memory_max", limit: 5 }),
            Denied::Refused(Error::Io { what: "write".into(), code: 28, detail: "full".into() }),
            Denied::Refused(Error::InvalidArgument { what: "command", detail: "no".into() }),
            Denied::Refused(Error::State {
                what: "primary",
                detail: "refused it: the store is closed".into(),
            }),
        ] {
            all.push(Relay::Written(Err(why.clone())));
            all.push(Relay::Granted(Err(why)));
        }
        all
    }

    #[test]
    fn each_reads_back_and_is_told_from_a_frame() {
        for relay in all() {
            let bytes = encode(77, &relay);
            assert!(is_relay(&bytes), "{relay:?}");
            assert_eq!(decode(&bytes), Ok((77, relay)));
        }
        // A frame whose length is what ours begin with.
        let mut frame = Vec::new();
        frame::encode(&mut frame, &Header { from: 1, ..Header::default() }, &Body::Ping);
        frame[..2].copy_from_slice(&MAGIC.to_le_bytes());
        assert!(!is_relay(&frame));
    }

    #[test]
    fn what_is_cut_or_longer_is_refused() {
        for relay in all() {
            let bytes = encode(1, &relay);
            // Of some the rest is all there is.
            let fixed = match &relay {
                Relay::Write { .. } => Some(HEADER_BYTES + 9),
                Relay::Message { channel, .. } => Some(HEADER_BYTES + 4 + channel.len()),
                _ => None,
            };
            for len in 0..bytes.len() {
                assert_eq!(
                    decode(&bytes[..len]).is_ok(),
                    fixed.is_some_and(|it| len >= it),
                    "{relay:?} {len}"
                );
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(decode(&longer).is_ok(), fixed.is_some(), "{relay:?}");
        }
    }
}
