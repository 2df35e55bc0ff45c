//! [`Socket`]: a simulated connection between the relay and one peer, seen by both.

use std::collections::VecDeque;

use crate::rng::Rng;

/// What a call on a socket came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// So many bytes; none of a read means the end.
    Bytes(usize),
    /// Nothing now.
    Blocked,
    /// The other side broke off.
    Broken,
}

/// A connection. Bytes are numbered by their place in the stream, so what arrives can be checked by itself.
#[derive(Debug)]
pub(super) struct Socket {
    /// From the peer, not read by the relay yet.
    inbox: VecDeque<u8>,
    /// From the relay, not read by the peer yet.
    outbox: VecDeque<u8>,
    capacity: usize,
    /// The peer has ended its half; what is in the inbox comes before.
    pub(super) peer_ended: bool,
    /// The peer broke off: reads fail once the inbox is empty, writes at once.
    pub(super) peer_reset: bool,
    /// The relay has ended its half.
    pub(super) relay_ended: bool,
    /// Events the relay has not been told of: it may read, it may write.
    pub(super) readable_edge: bool,
    pub(super) writable_edge: bool,
    /// A write found no room, so room makes an event.
    wants_room: bool,
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// The byte at a place of a stream.
pub(super) fn byte_at(place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9) >> 13) as u8
}

impl Socket {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            capacity,
            peer_ended: false,
            peer_reset: false,
            relay_ended: false,
            readable_edge: false,
            writable_edge: false,
            wants_room: false,
            sent: 0,
            received: 0,
        }
    }

    /// The peer sends up to `bytes`, as far as there is room.
    pub(super) fn peer_sends(&mut self, bytes: usize) {
        if self.peer_ended || self.peer_reset {
            return;
        }
        let bytes = bytes.min(self.capacity - self.inbox.len());
        for _ in 0..bytes {
            self.inbox.push_back(byte_at(self.sent));
            self.sent += 1;
        }
        self.readable_edge |= bytes > 0;
    }

    pub(super) fn peer_ends(&mut self) {
        self.peer_ended = true;
        self.readable_edge = true;
    }

    pub(super) fn peer_resets(&mut self) {
        self.peer_reset = true;
        self.readable_edge = true;
        self.writable_edge = true;
    }

    /// The peer reads up to `bytes`; an error names the first that is not the next of the stream, which the
    /// relay read from the other side.
    pub(super) fn peer_reads(&mut self, bytes: usize) -> Result<(), String> {
        for _ in 0..bytes.min(self.outbox.len()) {
            let byte = self.outbox.pop_front().unwrap_or_default();
            if byte != byte_at(self.received) {
                return Err(format!("byte {} is another than was sent", self.received));
            }
            self.received += 1;
        }
        if self.wants_room && self.outbox.len() < self.capacity {
            self.wants_room = false;
            self.writable_edge = true;
        }
        Ok(())
    }

    /// What the peer has not read yet.
    pub(super) fn unread_by_peer(&self) -> usize {
        self.outbox.len()
    }

    /// The relay reads: any part of what there is, now and then in pieces.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Got {
        if self.inbox.is_empty() {
            return match (self.peer_reset, self.peer_ended) {
                (true, _) => Got::Broken,
                (_, true) => Got::Bytes(0),
                _ => Got::Blocked,
            };
        }
        let bytes = buffer.len().min(self.inbox.len());
        for place in &mut buffer[..bytes] {
            *place = self.inbox.pop_front().unwrap_or_default();
        }
        Got::Bytes(bytes)
    }

    /// The relay writes: as much as there is room for, sometimes less.
    pub(super) fn write(&mut self, bytes: &[u8], rng: &mut Rng) -> Got {
        assert!(!self.relay_ended, "nothing is written after the end");
        if self.peer_reset {
            return Got::Broken;
        }
        let room = self.capacity - self.outbox.len();
        let mut taken = bytes.len().min(room);
        if taken > 1 && rng.below(4) == 0 {
            taken = 1 + rng.below(taken as u64 - 1) as usize;
        }
        self.outbox.extend(&bytes[..taken]);
        if taken < bytes.len() {
            self.wants_room = true;
            // What was refused for no reason but chance is room again at once.
            if taken < room {
                self.writable_edge = true;
            }
        }
        if taken == 0 { Got::Blocked } else { Got::Bytes(taken) }
    }
}
