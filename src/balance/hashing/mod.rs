//! From a key to a member, the same on every machine and in every release.
//!
//! | Type | Used by | Moves when a member leaves |
//! |---|---|---|
//! | [`Ring`](ring::Ring) | ring hash, compatible with nginx `hash ... consistent` | its keys only |
//! | [`Maglev`](maglev::Maglev) | Maglev | its keys and a few others; nearly all where the table changes size |
//! | [`Rendezvous`](rendezvous::Rendezvous) | rendezvous, for small pools | its keys only |
//! | [`allowed`](bounded::allowed) | bounded loads, on top of any of them | |
//!
//! Placement depends on the members' names and weights, the key and the seed, and on nothing else: not on
//! the order in which members are listed. The members are those that serve, so one that goes down moves keys
//! as one that leaves does. A policy walks on from a member that is full. The files in
//! `tests/data/hashing-v1` record outputs; a release that changes one of them moves its users' keys, so the
//! tests refuse it.

pub(crate) mod bounded;
pub(crate) mod key;
pub(crate) mod maglev;
pub(crate) mod rendezvous;
pub(crate) mod ring;

#[cfg(all(test, not(loom)))]
mod recorded;

/// A member as the hashes see it. There are at most 65,536 in a pool, and names differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// What places it: the address as text, like `10.0.0.1:80` or `[::1]:80`, or a path.
    pub(crate) name: &'a [u8],
    /// 1 to 65,535.
    pub(crate) weight: u32,
}
