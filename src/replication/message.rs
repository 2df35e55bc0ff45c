//! What is in a frame: [`Body`]. Messages of the consensus library have an encoding of our own; what it would not survive
//! is refused here, or where it is taken in.

use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use super::frame::Fault;
use super::membership::Change;
use super::wire::{Reader, put_bytes, put_u32, put_u64};
use crate::store::engine::SNAPSHOT_PIECE_BYTES;
use crate::store::engine::replicated::is_command;

/// The most entries of one message.
const ENTRIES_MAX: usize = 1 << 20;
/// The longest membership in an offer.
const MEMBERSHIP_BYTES_MAX: usize = 64 << 10;

/// Why a node is told that it takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was removed.
    Removed,
    /// Another one was promoted by force since.
    OldGeneration,
    /// Another process with its number came later.
    Retired,
}

/// A snapshot being sent: which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotId {
    /// The last entry in it.
    pub sequence: u64,
    /// Its epoch.
    pub epoch: u64,
}

/// The most nodes between the primary and one that is fed.
pub(super) const PATH_MAX: usize = 8;

/// Committed entries that a node which is not primary passes on, in the name of whom its header says it follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// All between the primary and the sender, the nearest to the sender first; at most eight.
    pub path: Vec<u64>,
    /// The process of the receiver that it is for.
    pub boot: u64,
    /// A stamp of the receiver's: what the sender had applied is all that was committed then; 0: it cannot say so.
    pub echo: u64,
    /// The last entry that the sender had applied.
    pub through: u64,
    /// Sequence and epoch of the entry before the first.
    pub before: (u64, u64),
    /// The entries. All are committed.
    pub entries: Vec<Entry>,
}

/// What is in a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A message of the consensus library; snapshots come in pieces instead.
    Consensus(Message),
    /// A snapshot is to come.
    Offer {
        /// Which.
        id: SnapshotId,
        /// When it was made, by its sender's clock, in milliseconds since 1970.
        clock_ms: u64,
        /// Who is in the cluster, as of it.
        membership: Vec<u8>,
    },
    /// A piece of it.
    Piece {
        /// Of which.
        id: SnapshotId,
        /// Its number, from 0.
        number: u64,
        /// There is none behind it.
        is_last: bool,
        /// What [`SnapshotJob`](crate::store::engine::SnapshotJob) would write, at most [`SNAPSHOT_PIECE_BYTES`].
        bytes: Vec<u8>,
    },
    /// Up to where pieces have come, and are on disk.
    Want {
        /// Of which.
        id: SnapshotId,
        /// The next one.
        next: u64,
    },
    /// What the sender had come to at a sequence.
    Hash {
        /// The sequence.
        sequence: u64,
        /// The hash of the state there.
        state: u128,
        /// The hash of who was in the cluster there.
        membership: u64,
    },
    /// The receiver takes no part.
    Told {
        /// Why.
        verdict: Verdict,
        /// The process that is meant.
        boot: u64,
        /// The generation of the sender.
        generation: u64,
    },
    /// Nothing: the header says it all.
    Ping,
    /// Who feeds the sender: the receiver is to, or need not.
    Follow {
        /// Who does; 0: the primary is to.
        source: u64,
        /// Up to where the sender has what is committed.
        sequence: u64,
    },
    /// What feeds it.
    Feed(Feed),
    /// The sender wants the state as a whole: what its log begins with may be another cluster's beginning.
    Whole,
}

impl Body {
    pub(super) fn code(&self) -> u8 {
        match self {
            Body::Consensus(_) => 1,
            Body::Offer { .. } => 2,
            Body::Piece { .. } => 3,
            Body::Want { .. } => 4,
            Body::Hash { .. } => 5,
            Body::Told { .. } => 6,
            Body::Ping => 7,
            Body::Follow { .. } => 8,
            Body::Feed(_) => 9,
            Body::Whole => 10,
        }
    }

    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        let put_id = |to: &mut Vec<u8>, id: &SnapshotId| {
            put_u64(to, id.sequence);
            put_u64(to, id.epoch);
        };
        match self {
            Body::Consensus(message) => encode_consensus(to, message),
            Body::Offer { id, clock_ms, membership } => {
                put_id(to, id);
                put_u64(to, *clock_ms);
                put_bytes(to, membership);
            }
            Body::Piece { id, number, is_last, bytes } => {
                put_id(to, id);
                put_u64(to, *number);
                to.push(u8::from(*is_last));
                put_bytes(to, bytes);
            }
            Body::Want { id, next } => {
                put_id(to, id);
                put_u64(to, *next);
            }
            Body::Hash { sequence, state, membership } => {
                put_u64(to, *sequence);
                to.extend_from_slice(&state.to_le_bytes());
                put_u64(to, *membership);
            }
            Body::Told { verdict, boot, generation } => {
                to.push(match verdict {
                    Verdict::Removed => 1,
                    Verdict::OldGeneration => 2,
                    Verdict::Retired => 3,
                });
                put_u64(to, *boot);
                put_u64(to, *generation);
            }
            Body::Ping | Body::Whole => {}
            Body::Follow { source, sequence } => {
                put_u64(to, *source);
                put_u64(to, *sequence);
            }
            Body::Feed(feed) => encode_feed(to, feed),
        }
    }

    pub(super) fn decode(kind: u8, bytes: &[u8]) -> Result<Self, Fault> {
        let mut from = Reader(bytes);
        let id = |from: &mut Reader<'_>| Ok(SnapshotId { sequence: from.u64()?, epoch: from.u64()? });
        let body = match kind {
            1 => Body::Consensus(decode_consensus(&mut from)?),
            2 => {
                let (id, clock_ms, membership) = (id(&mut from)?, from.u64()?, from.bytes()?.to_vec());
                if membership.len() > MEMBERSHIP_BYTES_MAX {
                    return Err(Fault::Malformed("the membership is too long"));
                }
                Body::Offer { id, clock_ms, membership }
            }
            3 => {
                let (id, number) = (id(&mut from)?, from.u64()?);
                let is_last = flag(&mut from)?;
                let bytes = from.bytes()?.to_vec();
                if bytes.is_empty() || bytes.len() > SNAPSHOT_PIECE_BYTES || bytes[0] > 1 {
                    return Err(Fault::Malformed("the piece is none of a snapshot"));
                }
                Body::Piece { id, number, is_last, bytes }
            }
            4 => Body::Want { id: id(&mut from)?, next: from.u64()? },
            5 => Body::Hash { sequence: from.u64()?, state: from.u128()?, membership: from.u64()? },
            6 => {
                let verdict = match from.u8()? {
                    1 => Verdict::Removed,
                    2 => Verdict::OldGeneration,
                    3 => Verdict::Retired,
                    _ => return Err(Fault::Malformed("the verdict is of no known kind")),
                };
                Body::Told { verdict, boot: from.u64()?, generation: from.u64()? }
            }
            7 => Body::Ping,
            8 => {
                let (source, sequence) = (from.u64()?, from.u64()?);
                if sequence >= u64::MAX / 2 {
                    return Err(Fault::Malformed("there are not so many entries"));
                }
                Body::Follow { source, sequence }
            }
            9 => Body::Feed(decode_feed(&mut from)?),
            10 => Body::Whole,
            _ => return Err(Fault::Malformed("the body is of no known kind")),
        };
        from.end()?;
        Ok(body)
    }
}

fn flag(from: &mut Reader<'_>) -> Result<bool, Fault> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::Malformed("a flag is neither 0 nor 1")),
    }
}

/// The kinds of messages that cross the wire. Proposals and reads do not: who is not primary says so to its caller.
const KINDS: [MessageType; 9] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTimeoutNow,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

/// Whether a message of the library is one that is sent.
pub(super) fn is_sent(message: &Message) -> bool {
    KINDS.contains(&message.get_msg_type())
}

/// What of an entry goes into the log and over the wire.
pub(super) fn payload(entry: &Entry) -> &[u8] {
    match entry.get_entry_type() {
        EntryType::EntryNormal => &entry.data,
        // The encoding of our own: beside it lies the library's, for itself.
        _ => &entry.context,
    }
}

/// An entry as the library has it.
pub(super) fn entry(sequence: u64, epoch: u64, payload: &[u8]) -> Entry {
    let mut entry = Entry { index: sequence, term: epoch, ..Entry::default() };
    if payload.is_empty() || is_command(payload) {
        entry.data = payload.to_vec().into();
    } else {
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        entry.context = payload.to_vec().into();
    }
    entry
}

const TRANSFER: u8 = 1;
const REJECT: u8 = 2;

fn encode_consensus(to: &mut Vec<u8>, message: &Message) {
    let kind = KINDS.iter().position(|kind| *kind == message.get_msg_type());
    to.push(kind.expect("only those are sent") as u8);
    let is_transfer = !message.context.is_empty();
    to.push((if is_transfer { TRANSFER } else { 0 }) | (if message.reject { REJECT } else { 0 }));
    for number in [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
    ] {
        put_u64(to, number);
    }
    encode_entries(to, &message.entries);
}

fn encode_entries(to: &mut Vec<u8>, entries: &[Entry]) {
    put_u32(to, entries.len() as u32);
    for entry in entries {
        put_u64(to, entry.term);
        put_bytes(to, payload(entry));
    }
}

fn encode_feed(to: &mut Vec<u8>, feed: &Feed) {
    to.push(feed.path.len() as u8);
    feed.path.iter().for_each(|node| put_u64(to, *node));
    for number in [feed.boot, feed.echo, feed.through, feed.before.0, feed.before.1] {
        put_u64(to, number);
    }
    encode_entries(to, &feed.entries);
}

fn decode_feed(from: &mut Reader<'_>) -> Result<Feed, Fault> {
    let count = usize::from(from.u8()?);
    if count > PATH_MAX {
        return Err(Fault::Malformed("there are too many nodes on the way"));
    }
    let path = (0..count).map(|_| from.u64()).collect::<Result<_, _>>()?;
    let (boot, echo, through) = (from.u64()?, from.u64()?, from.u64()?);
    let before = (from.u64()?, from.u64()?);
    if before.0 >= u64::MAX / 2 || before.1 >= u64::MAX / 2 {
        return Err(Fault::Malformed("there are not so many entries"));
    }
    let entries = decode_entries(from, before, u64::MAX / 2)?;
    Ok(Feed { path, boot, echo, through, before, entries })
}

fn decode_consensus(from: &mut Reader<'_>) -> Result<Message, Fault> {
    let mut message = Message::default();
    let kind =
        KINDS.get(usize::from(from.u8()?)).ok_or(Fault::Malformed("the message is of no known kind"))?;
    message.set_msg_type(*kind);
    let flags = from.u8()?;
    if flags & !(TRANSFER | REJECT) != 0 {
        return Err(Fault::Malformed("the message has flags that none has"));
    }
    message.reject = flags & REJECT != 0;
    if flags & TRANSFER != 0 {
        if *kind != MessageType::MsgRequestVote {
            return Err(Fault::Malformed("only a request for a vote is of a handover"));
        }
        message.context = raft::CAMPAIGN_TRANSFER.to_vec().into();
    }
    message.term = from.u64()?;
    message.log_term = from.u64()?;
    message.index = from.u64()?;
    message.commit = from.u64()?;
    message.commit_term = from.u64()?;
    message.reject_hint = from.u64()?;
    if message.term == 0 || message.term >= u64::MAX / 2 || message.index >= u64::MAX / 2 {
        return Err(Fault::Malformed("the message is of no epoch"));
    }
    let entries = decode_entries(from, (message.index, message.log_term), message.term)?;
    if !entries.is_empty() && *kind != MessageType::MsgAppend {
        return Err(Fault::Malformed("the message has entries that it cannot have"));
    }
    message.set_entries(entries.into());
    Ok(message)
}

/// Entries that come after the one `before`, which has a sequence and an epoch, of epochs up to `most`.
fn decode_entries(from: &mut Reader<'_>, before: (u64, u64), most: u64) -> Result<Vec<Entry>, Fault> {
    let count = from.count(12)?;
    if count > ENTRIES_MAX {
        return Err(Fault::Malformed("the message has entries that it cannot have"));
    }
    let mut entries = Vec::with_capacity(count);
    let mut epoch = before.1;
    for at in 0..count as u64 {
        let term = from.u64()?;
        if term < epoch || term > most || term == 0 {
            return Err(Fault::Malformed("the epochs of the entries are out of order"));
        }
        epoch = term;
        let payload = from.bytes()?;
        if !payload.is_empty() && !is_command(payload) {
            // One of a later release goes into the log as it is, and stops the node when it counts.
            match Change::decode(payload) {
                Ok(_) | Err(Fault::Newer { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        entries.push(entry(before.0 + 1 + at, term, payload));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Header, decode, encode};
    use super::*;

    fn round(body: &Body) -> Body {
        let mut bytes = Vec::new();
        let header = Header { from: 1, ..Header::default() };
        encode(&mut bytes, &header, body);
        decode(&bytes).unwrap().1
    }

    #[test]
    fn bodies_read_back() {
        let id = SnapshotId { sequence: 7, epoch: 2 };
        for body in [
            Body::Offer { id, clock_ms: 5, membership: vec![1, 2] },
            Body::Piece { id, number: 3, is_last: true, bytes: vec![1, 9, 9] },
            Body::Want { id, next: 4 },
            Body::Hash { sequence: 9, state: u128::MAX - 1, membership: 3 },
            Body::Told { verdict: Verdict::Retired, boot: 8, generation: 1 },
            Body::Ping,
            Body::Follow { source: 3, sequence: 12 },
            Body::Feed(Feed {
                path: vec![4, 5],
                boot: 6,
                echo: 7,
                through: 45,
                before: (40, 3),
                entries: vec![entry(41, 3, b""), entry(42, 4, b"\x01put")],
            }),
        ] {
            assert_eq!(round(&body), body);
        }
    }

    #[test]
    fn messages_read_back_as_they_count() {
        for kind in KINDS {
            let mut message = Message::default();
            message.set_msg_type(kind);
            message.term = 9;
            message.log_term = 3;
            message.index = 40;
            message.commit = 39;
            message.reject = kind == MessageType::MsgAppendResponse;
            if kind == MessageType::MsgAppend {
                let change = Change::Promote { node: 4 }.encode();
                let entries = vec![entry(41, 3, b""), entry(42, 4, b"\x01put"), entry(43, 9, &change)];
                message.set_entries(entries.into());
            }
            assert_eq!(round(&Body::Consensus(message.clone())), Body::Consensus(message));
        }
    }

    #[test]
    fn entries_out_of_order_are_refused() {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        (message.term, message.log_term, message.index) = (5, 3, 1);
        for terms in [[4, 3], [2, 3], [3, 6]] {
            let entries = vec![entry(2, terms[0], b""), entry(3, terms[1], b"")];
            message.set_entries(entries.into());
            let mut bytes = Vec::new();
            encode_consensus(&mut bytes, &message);
            assert!(Body::decode(1, &bytes).is_err(), "{terms:?}");
        }
    }
}
