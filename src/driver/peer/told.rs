//! What the owner of [`Links`](super::Links) is told, and what was counted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::peer::{ClusterId, Counters, End, Message, NodeName};

/// What the owner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something happened to a link.
    Notice(Notice),
    /// A message came.
    Message {
        /// From whom.
        from: NodeName,
        /// What it is.
        message: Message,
    },
}

/// What happened to a link.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A link is up.
    Up {
        /// With whom.
        peer: NodeName,
        /// Its number in the cluster, as it says; 0: it has none yet.
        number: u64,
        /// Its process: a random number.
        boot: u64,
        /// Its cluster; `None`: it belongs to none yet.
        cluster: Option<ClusterId>,
        /// The version of the protocol that is spoken.
        version: u16,
    },
    /// A link that was up is over.
    Down {
        /// With whom.
        peer: NodeName,
        /// Why.
        end: End,
    },
    /// An attempt to dial a node came to nothing. It will be tried again.
    Failed {
        /// Whom.
        peer: NodeName,
        /// Where it was dialled.
        address: SocketAddr,
        /// How many attempts in a row came to nothing, this one too.
        attempts: u32,
        /// Why.
        end: End,
    },
    /// Somebody connected, and no link came of it.
    Refused {
        /// Who it said it is, if it came to that.
        peer: Option<NodeName>,
        /// From where.
        from: Option<SocketAddr>,
        /// Why.
        end: End,
    },
    /// Connections cannot be accepted for now, in the system's words. It will be tried again.
    AcceptPaused {
        /// The system's words.
        detail: String,
    },
}

/// What is known of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// Whether there is a link to it.
    pub is_up: bool,
    /// How long its last answer took.
    pub round_trip: Option<Duration>,
    /// How many messages wait to go, for each class.
    pub waiting: [usize; 3],
    /// How many links to it came up, one after the other.
    pub links: u64,
    /// How many attempts to dial it came to nothing.
    pub failures: u64,
    /// Messages that were not taken because there was no link.
    pub down: u64,
    /// What went over all its links.
    pub counters: Counters,
}

/// What was counted for the node as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub accepted: u64,
    /// Of these, those that no link came of.
    pub refused: u64,
    /// Of these, those that made room for newer ones.
    pub displaced: u64,
    /// Connections that could not be accepted.
    pub accept_errors: u64,
    /// Notices that were dropped since nobody took them.
    pub notices_dropped: u64,
}

/// Ends the wait of a [`turn`](super::Links::turn), from any thread.
#[derive(Clone, Debug)]
pub struct Waker(pub(super) Arc<mio::Waker>);

impl Waker {
    /// Ends the wait under way, or the next one. Does not block.
    ///
    /// # Errors
    ///
    /// `Io` where the system refuses.
    pub fn wake(&self) -> Result<()> {
        self.0.wake().map_err(|error: io::Error| Error::io("wake the loop of links", &error))
    }
}
