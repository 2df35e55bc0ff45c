//! What goes into a pick and what comes out of it.

use crate::balance::backend::{Address, BackendId};
use crate::balance::member::Serving;
use crate::time::Instant;

/// A question: which backend?
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Where the pick is counted.
    pub lane: Lane,
    /// What the hash policies place: at most [`KEY_MAX`](crate::balance::options::KEY_MAX) bytes, empty is
    /// a key like any other. `source` takes the client's address: 4 or 16 bytes in network order.
    pub key: &'a [u8],
    /// The caller's time, from one clock for the whole pool.
    pub now: Instant,
    /// Backends tried already. One of these is picked only when no other can be, and never by
    /// [`Pool::pick_other`](super::Pool::pick_other).
    pub avoid: &'a [BackendId],
}

/// Where a call counts. Threads with lanes of their own touch no cache line that another one writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// On a lane that any number of threads share.
    #[default]
    Shared,
    /// On the lane of this number, which the caller promises to use from one thread at a time: counts of
    /// two at once would be lost. A number the pool has no lane for is shared, and needs no such promise.
    Own(u32),
}

/// The answer. It counts as in flight on its backend until its token is given to `done`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Which backend.
    pub backend: BackendId,
    /// Where it listens.
    pub address: Address,
    /// The owner's number for it.
    pub tag: u64,
    /// What `done` takes.
    pub token: Token,
}

impl Pick {
    #[inline]
    pub(super) fn of(serving: &Serving, token: Token) -> Self {
        Self { backend: serving.id, address: serving.address.clone(), tag: serving.tag, token }
    }
}

/// Names one pick of one pool; good for one `done`.
///
/// ```text
/// 63          32 31  24 23     0
/// | generation  | lane | place |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    pub(crate) const fn new(lane: u32, place: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | (lane as u64) << 24 | place as u64)
    }

    pub(crate) const fn lane(self) -> usize {
        (self.0 >> 24 & 0xff) as usize
    }

    pub(crate) const fn place(self) -> u32 {
        (self.0 & 0xff_ffff) as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The token as C carries it.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The token that C carried. A made-up number is refused by `done`.
    pub const fn from_u64(token: u64) -> Self {
        Self(token)
    }
}

/// How a pick went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The backend answered.
    Success,
    /// It could not be reached.
    ConnectFailed,
    /// It answered with an error, or broke off.
    Failed,
    /// It did not answer in time.
    TimedOut,
    /// The client left, which says nothing about the backend.
    Cancelled,
}

/// How long a pick took, from when it began; `None` for what was not measured or never came.
///
/// The response time that policies use is the first of `first_byte`, `total` and `connect` that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Until the connection stood, in nanoseconds.
    pub connect: Option<u64>,
    /// Until the first byte of the answer, in nanoseconds.
    pub first_byte: Option<u64>,
    /// Until the last, in nanoseconds.
    pub total: Option<u64>,
}

impl Timings {
    /// The response time, in nanoseconds.
    #[inline]
    pub fn response(&self) -> Option<u64> {
        self.first_byte.or(self.total).or(self.connect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_what_it_was_made_of() {
        let token = Token::new(255, (1 << 24) - 1, u32::MAX);
        assert_eq!((token.lane(), token.place(), token.generation()), (255, (1 << 24) - 1, u32::MAX));
        assert_eq!(Token::from_u64(token.as_u64()), token);
    }
}
