//! What a key has: its value, its versions and how long it lives. Packed for the tree, and as seen by readers.
//!
//! The small part of a cell:
//!
//! ```text
//! flags     bits 0 and 1: 0 no lifetime, 1 a deadline, 2 a lease; bit 2: the value is the large part
//! version   varint: the sequence of the last change
//! age       varint: version less the sequence that created the key
//! changes   varint: how often it was changed, its creation included
//! lifetime  varint, with a deadline or lease only
//! value     what remains, unless it is the large part
//! ```

use std::sync::Arc;

use super::command::Lifetime;
use super::time::Timestamp;
use super::tree::Cell;
use super::wire::{put_varint, take_varint};

/// Values up to this length lie in the leaf and are copied with it; longer ones are shared.
pub(super) const INLINE_MAX: usize = 1_024;

/// What a key has, borrowed from a view.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The value in memory of its own, if it is a long one: to be kept without a copy.
    pub shared: Option<&'a Arc<[u8]>>,
    /// The sequence of the last change.
    pub version: u64,
    /// The sequence that created the key.
    pub created: u64,
    /// How often it was changed since, its creation included.
    pub changes: u64,
    /// How long it lives; never [`Lifetime::Keep`].
    pub lifetime: Lifetime,
}

/// What a key has, to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Arc<[u8]>,
    /// The sequence of the last change.
    pub version: u64,
    /// The sequence that created the key.
    pub created: u64,
    /// How often it was changed since, its creation included.
    pub changes: u64,
    /// How long it lives; never [`Lifetime::Keep`].
    pub lifetime: Lifetime,
}

impl<'a> Entry<'a> {
    /// A copy to keep. A long value is shared, not copied.
    pub fn to_found(&self) -> Found {
        let Entry { version, created, changes, lifetime, .. } = *self;
        let value = self.shared.cloned().unwrap_or_else(|| Arc::from(self.value));
        Found { value, version, created, changes, lifetime }
    }

    /// When it expires by itself.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.lifetime {
            Lifetime::Until(deadline) => Some(deadline),
            _ => None,
        }
    }

    /// The lease it goes with.
    pub fn lease(&self) -> Option<u64> {
        match self.lifetime {
            Lifetime::Lease(id) => Some(id),
            _ => None,
        }
    }

    /// The entry that `cell` is, or `None` for one we did not write.
    pub(super) fn parse(cell: Cell<'a>) -> Option<Self> {
        let (flags, mut rest) = cell.small.split_first()?;
        let version = take_varint(&mut rest)?;
        let created = version.checked_sub(take_varint(&mut rest)?)?;
        let changes = take_varint(&mut rest)?;
        let lifetime = match flags & 0b11 {
            0 => Lifetime::Unbounded,
            1 => Lifetime::Until(Timestamp::from_millis(take_varint(&mut rest)?)),
            2 => Lifetime::Lease(take_varint(&mut rest)?),
            _ => return None,
        };
        let is_large = flags & 0b100 != 0;
        if *flags > 0b111 || is_large != cell.large.is_some() || (is_large && !rest.is_empty()) {
            return None;
        }
        let value = cell.large.map_or(rest, |large| large);
        Some(Entry { value, shared: cell.large, version, created, changes, lifetime })
    }

    pub(super) fn of(cell: Cell<'a>) -> Self {
        Self::parse(cell).expect("an entry is written by us")
    }

    /// Writes the small part into `out`, and gives the value back if it belongs beside it.
    pub(super) fn pack(&self, out: &mut Vec<u8>) -> Option<Arc<[u8]>> {
        let is_large = self.value.len() > INLINE_MAX;
        let (kind, lifetime) = match self.lifetime {
            Lifetime::Unbounded | Lifetime::Keep => (0, None),
            Lifetime::Until(deadline) => (1, Some(deadline.as_millis())),
            Lifetime::Lease(id) => (2, Some(id)),
        };
        out.clear();
        out.push(kind | u8::from(is_large) << 2);
        put_varint(out, self.version);
        put_varint(out, self.version - self.created);
        put_varint(out, self.changes);
        if let Some(lifetime) = lifetime {
            put_varint(out, lifetime);
        }
        if is_large {
            return Some(self.shared.cloned().unwrap_or_else(|| Arc::from(self.value)));
        }
        out.extend_from_slice(self.value);
        None
    }
}
