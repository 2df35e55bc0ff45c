//! What one connection may take.

use std::time::Duration;

use crate::resp::keys::Durability;
use crate::resp::request::Limits;

/// What one connection may take.
///
/// | option | unit | range | default | why |
/// |---|---|---|---|---|
/// | `limits` | | | [`Limits`] | of requests |
/// | `durability` | | | local | when a write is answered |
/// | `pending_max` | writes | from 1 | 1,024 | under way at once; then no request is taken |
/// | `pending_bytes` | bytes | from 1 | 16 MiB | of writes under way at once; likewise |
/// | `output_pause` | bytes | from 1 | 1 MiB | with so much not yet read by the client, no request is taken |
/// | `output_max` | bytes | from `output_pause` | 256 MiB | a client with more is cut: one answer is too long |
/// | `messages_max` | bytes | up to `output_max` | 32 MiB, as Redis | a subscriber that has so much to read when a message comes is cut, and one for whom so much was published at once, by a transaction, before any of it was delivered |
/// | `age_max` | time | any | none | how old what a replica answers may be |
/// | `quorum_wait` | time | any | 3 s | how long a read waits on a primary that has just been elected, or has lost its quorum; as writes do |
/// | `queue_max` | bytes | from 1 | 64 MiB | of requests between `MULTI` and `EXEC` |
/// | `attempts_max` | attempts | from 1 | 100 | of a write that reads first, if what it reads is changed meanwhile |
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What requests may be.
    pub limits: Limits,
    /// When writes are answered.
    pub durability: Durability,
    /// Writes under way at once.
    pub pending_max: usize,
    /// Bytes of writes under way from which on no request is taken.
    pub pending_bytes: usize,
    /// Bytes to be sent from which on no request is taken.
    pub output_pause: usize,
    /// Bytes to be sent at most.
    pub output_max: usize,
    /// Bytes to be sent to a subscriber at most, and of messages that wait to be among them.
    pub messages_max: usize,
    /// How old what a replica answers may be; `None`: as old as it is.
    pub age_max: Option<Duration>,
    /// How long a read waits for a primary's quorum.
    pub quorum_wait: Duration,
    /// Bytes of queued requests.
    pub queue_max: usize,
    /// How often a write is made up.
    pub attempts_max: u32,
}

impl Options {
    pub(super) fn quorum_wait_ms(&self) -> u64 {
        u64::try_from(self.quorum_wait.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            durability: Durability::default(),
            pending_max: 1_024,
            pending_bytes: 16 << 20,
            output_pause: 1 << 20,
            output_max: 256 << 20,
            messages_max: 32 << 20,
            age_max: None,
            quorum_wait: Duration::from_secs(3),
            queue_max: 64 << 20,
            attempts_max: 100,
        }
    }
}
