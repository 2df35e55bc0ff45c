//! What an event is about, in the 64 bits that travel through the system.
//!
//! ```text
//! 63 62  61    60       32 31     0
//! | kind | side | generation | index |
//! ```
//!
//! The generation tells a session from an earlier one in the same place: an event that was under way when its
//! session ended finds nobody.

use mio::Token;

/// A place in a worker's table of sessions or conversations, and which of its tenants is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Which connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Backend,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The mailbox.
    Mailbox,
    /// The store that the loop turns.
    Store,
    /// What happens to the store's cluster.
    Cluster,
    /// A listening socket, by its index.
    Listener(u32),
    /// A connection of a session.
    Session(Key, Side),
    /// A connection answered from memory. Its index is below 2^31.
    Conversation(Key),
    /// The connection of a Redis client that is closed when that has read why; likewise.
    Farewell(Key),
    /// The connection of a probe.
    Probe(Key),
    /// A socket of a lookup.
    Lookup(Key),
    /// The connection of a Redis client.
    Client(Key),
    /// The connection of a client of a listener that splits reads from writes. Its generation is never 0.
    SplitClient(Key),
    /// A connection of such a listener to a node; likewise.
    SplitLink(Key),
}

/// Generations count within this.
pub(crate) const GENERATION_MASK: u32 = (1 << 29) - 1;

const KIND_SHIFT: u32 = 62;
const SIDE: u64 = 1 << 61;
/// In the index.
const IS_FAREWELL: u64 = 1 << 31;
/// The mailbox, the store and its cluster, told apart by the index, and, with a generation, clients of splitting listeners; on the
/// other side, Redis clients.
const MAILBOX: u64 = 0;
const STORE_INDEX: u64 = 1;
const CLUSTER_INDEX: u64 = 2;
/// Listeners and, with a generation, connections of splitting ones to nodes; on the other side, lookups.
const LISTENER: u64 = 1;
const SESSION: u64 = 2;
/// Conversations, with a bit of the index set farewells and, on the other side, probes.
const CONVERSATION: u64 = 3;

impl Source {
    #[inline]
    pub(crate) fn to_token(self) -> Token {
        let pack = |key: Key| u64::from(key.generation & GENERATION_MASK) << 32 | u64::from(key.index);
        let bits = match self {
            Source::Mailbox => MAILBOX << KIND_SHIFT,
            Source::Store => MAILBOX << KIND_SHIFT | STORE_INDEX,
            Source::Cluster => MAILBOX << KIND_SHIFT | CLUSTER_INDEX,
            Source::SplitClient(key) => MAILBOX << KIND_SHIFT | pack(key),
            Source::SplitLink(key) => LISTENER << KIND_SHIFT | pack(key),
            Source::Client(key) => MAILBOX << KIND_SHIFT | SIDE | pack(key),
            Source::Listener(index) => LISTENER << KIND_SHIFT | u64::from(index),
            Source::Session(key, Side::Client) => SESSION << KIND_SHIFT | pack(key),
            Source::Session(key, Side::Backend) => SESSION << KIND_SHIFT | SIDE | pack(key),
            Source::Conversation(key) => CONVERSATION << KIND_SHIFT | pack(key),
            Source::Farewell(key) => CONVERSATION << KIND_SHIFT | IS_FAREWELL | pack(key),
            Source::Lookup(key) => LISTENER << KIND_SHIFT | SIDE | pack(key),
            Source::Probe(key) => CONVERSATION << KIND_SHIFT | SIDE | pack(key),
        };
        Token(bits as usize)
    }

    #[inline]
    pub(crate) fn from_token(token: Token) -> Self {
        let bits = token.0 as u64;
        let key = Key { index: bits as u32, generation: (bits >> 32) as u32 & GENERATION_MASK };
        match bits >> KIND_SHIFT {
            LISTENER if bits & SIDE == 0 && key.generation == 0 => Source::Listener(bits as u32),
            LISTENER if bits & SIDE == 0 => Source::SplitLink(key),
            LISTENER => Source::Lookup(key),
            SESSION if bits & SIDE == 0 => Source::Session(key, Side::Client),
            SESSION => Source::Session(key, Side::Backend),
            CONVERSATION if bits & (SIDE | IS_FAREWELL) == 0 => Source::Conversation(key),
            CONVERSATION if bits & SIDE == 0 => {
                Source::Farewell(Key { index: key.index & !(IS_FAREWELL as u32), ..key })
            }
            CONVERSATION => Source::Probe(key),
            _ if bits & SIDE != 0 => Source::Client(key),
            _ if key.generation != 0 => Source::SplitClient(key),
            _ if u64::from(key.index) == STORE_INDEX => Source::Store,
            _ if u64::from(key.index) == CLUSTER_INDEX => Source::Cluster,
            _ => Source::Mailbox,
        }
    }
}

const _: () = assert!(size_of::<usize>() == 8, "tokens are 64 bits wide");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_both_ways() {
        let key = Key { index: u32::MAX, generation: GENERATION_MASK };
        let low = Key { index: u32::MAX >> 1, ..key };
        for source in [
            Source::Mailbox,
            Source::Store,
            Source::Cluster,
            Source::Listener(0),
            Source::Listener(u32::MAX),
            Source::Session(key, Side::Client),
            Source::Session(key, Side::Backend),
            Source::Session(Key { index: 0, generation: 1 }, Side::Backend),
            Source::Conversation(low),
            Source::Farewell(low),
            Source::Probe(key),
            Source::Lookup(key),
            Source::Client(key),
            Source::Client(Key { index: 0, generation: 0 }),
            Source::SplitClient(key),
            Source::SplitClient(Key { index: 0, generation: 1 }),
            Source::SplitLink(key),
            Source::SplitLink(Key { index: 0, generation: 1 }),
        ] {
            assert_eq!(Source::from_token(source.to_token()), source);
        }
    }
}
