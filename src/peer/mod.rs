//! The links between the nodes of a cluster: state machines without I/O. [`Link`] is one connection as each of its
//! ends sees it, over bytes that somebody else carries and may encrypt; [`Roster`] knows who may be at the other end.
//! `docs/peer-links.md` has every byte and every refusal.
//!
//! | file | owns |
//! |---|---|
//! | `link` | one connection from its first byte to its end |
//! | `hello` | what two nodes say of themselves, and why one is refused |
//! | `roster` | who belongs to the cluster, who dials whom, who is linked |
//! | `frame` | the header of frames; frames out of a stream of bytes |
//! | `outbox`, `inbox` | messages waiting to go and waiting to be taken, by class, within bounds |
//! | `turns` | which class comes next |
//! | `pace`, `backoff` | bytes a second; how long to wait before dialling again |
//! | `options`, `security`, `name`, `end` | bounds and times; how links are secured; names of nodes; why a link ended |
//!
//! There is one link for each pair of nodes, and it carries messages both ways. A message is bytes, of whose meaning
//! nothing is known here, and of a [`Class`]: what decides who is primary goes before entries, and those before
//! snapshots. A message goes in fragments of 16 KiB at most, between which those of other classes go, so a heartbeat
//! waits for one fragment and not for a snapshot. Order holds within a class, and not between two.
//!
//! Nothing is kept without a bound. What waits to go is bounded by the sender ([`Options::queue_bytes`]), what has come
//! and was not taken by the receiver's windows ([`Options::window_bytes`]): who sends beyond them is cut off. What was
//! under way when a link ends is lost, as it would be in a network; consensus is made for that.

mod backoff;
mod end;
mod frame;
mod hello;
mod inbox;
mod link;
mod name;
mod options;
mod outbox;
mod pace;
mod roster;
mod security;
mod turns;

pub use backoff::Backoff;
pub use end::{End, Fault};
pub use frame::{FRAME_BYTES_MAX, Frame, HEADER_BYTES, Kind, PREAMBLE, Splitter};
pub use hello::{ClusterId, Hello, PROTOCOL_VERSION, Reason, Refusal};
pub use link::{Counters, Event, Link, Message, NotSent, Side};
pub use name::NodeName;
pub use options::Options;
pub use roster::{Identity, Linked, Roster};
pub use security::Security;

/// How urgent a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Votes, heartbeats and their answers: first, always.
    Urgent,
    /// Entries of the log and their answers.
    Normal,
    /// Snapshots: with what the others leave, and a fifth at least; may be paced.
    Bulk,
}

impl Class {
    /// All of them, the most urgent first.
    pub const ALL: [Class; 3] = [Class::Urgent, Class::Normal, Class::Bulk];

    /// Its name in counters and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Urgent => "urgent",
            Class::Normal => "normal",
            Class::Bulk => "bulk",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }

    const fn from_wire(code: u8) -> Option<Self> {
        match code {
            0 => Some(Class::Urgent),
            1 => Some(Class::Normal),
            2 => Some(Class::Bulk),
            _ => None,
        }
    }
}

/// What a message counts for in windows and queues beside its own bytes, so that a great many small ones are bounded
/// too.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 64;

/// What a message of `len` bytes counts for.
const fn charge(len: usize) -> u64 {
    len as u64 + MESSAGE_OVERHEAD_BYTES
}
