//! How urgent a frame of replication is.

use crate::peer::Class;

/// Where a frame of replication says what it is.
const KIND_AT: usize = 12;
const OFFER: u8 = 2;
const PIECE: u8 = 3;
/// The longest of those without entries: votes, heartbeats, answers.
const SMALL_BYTES_MAX: usize = 256;

/// How urgent a frame of [`replication`](crate::replication) is: snapshots are bulk, and what has entries is normal, by
/// its length; all else is small and decides who is primary. Consensus lives with the order that comes of it: it takes
/// the highest of what it hears of anything that rises.
pub fn class_of(frame: &[u8]) -> Class {
    match frame.get(KIND_AT) {
        Some(&(OFFER | PIECE)) => Class::Bulk,
        _ if frame.len() <= SMALL_BYTES_MAX => Class::Urgent,
        _ => Class::Normal,
    }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::{Entry, Message, MessageType};

    use super::*;
    use crate::peer::Options;
    use crate::replication::frame::{self, Header};
    use crate::replication::{Body, SnapshotId};

    #[test]
    fn each_body_has_its_class() {
        let consensus = |kind, entries: usize| {
            let mut message = Message::default();
            message.set_msg_type(kind);
            let entry = Entry { data: vec![7; 300].into(), ..Entry::default() };
            message.entries = vec![entry; entries].into();
            Body::Consensus(message)
        };
        let id = SnapshotId::default();
        for (body, class) in [
            (consensus(MessageType::MsgHeartbeat, 0), Class::Urgent),
            (consensus(MessageType::MsgRequestVote, 0), Class::Urgent),
            (consensus(MessageType::MsgAppendResponse, 0), Class::Urgent),
            (consensus(MessageType::MsgAppend, 1), Class::Normal),
            (Body::Offer { id, clock_ms: 1, membership: vec![1] }, Class::Bulk),
            (Body::Piece { id, number: 0, is_last: true, bytes: vec![1] }, Class::Bulk),
            (Body::Piece { id, number: 0, is_last: false, bytes: vec![1; 9_000] }, Class::Bulk),
            (Body::Want { id, next: 4 }, Class::Urgent),
            (Body::Hash { sequence: 1, state: 2, membership: 3 }, Class::Urgent),
            (Body::Ping, Class::Urgent),
            (Body::Follow { source: 1, sequence: 2 }, Class::Urgent),
        ] {
            let mut bytes = Vec::new();
            frame::encode(&mut bytes, &Header::default(), &body);
            assert_eq!(class_of(&bytes), class, "{body:?}");
        }
    }

    #[test]
    fn the_longest_frame_is_a_message() {
        assert_eq!(Options::default().message_bytes_max as usize, frame::FRAME_BYTES_MAX);
    }
}
