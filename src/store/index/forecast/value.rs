//! What a key will have, as far as that is known.

use super::super::command::{Condition, Lifetime};
use super::super::evict::footprint;

/// What a key has when what is under way is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing, or this and nothing else.
    Known(Option<Held>),
    /// No more than this.
    AtMost(Size),
}

/// What a key is known to have. What has expired may lie there still: whether it has is for who looks to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) length: u64,
    /// Never [`Lifetime::Keep`].
    pub(super) lifetime: Lifetime,
    /// What it says, if that is known and a number.
    pub(super) number: Option<i64>,
    /// If it is as it is in the state: nothing under way changes it.
    pub(super) version: Option<u64>,
}

/// What counts towards the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) is_there: bool,
    pub(super) is_bounded: bool,
    pub(super) length: u64,
}

impl Value {
    pub(super) const GONE: Self = Self::Known(None);

    /// What a step writes; `lifetime` is `None` where it depends on what is not known.
    pub(super) fn written(
        length: u64,
        lifetime: Option<Lifetime>,
        number: Option<i64>,
        may_be_bounded: bool,
    ) -> Self {
        match lifetime {
            Some(lifetime) => Self::Known(Some(Held { length, lifetime, number, version: None })),
            None => Self::AtMost(Size { is_there: true, is_bounded: may_be_bounded, length }),
        }
    }

    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    pub(super) fn held(&self) -> Option<Held> {
        match self {
            Self::Known(held) => *held,
            Self::AtMost(_) => None,
        }
    }

    pub(super) fn size(&self) -> Size {
        match *self {
            Self::Known(None) => Size::default(),
            Self::Known(Some(Held { length, lifetime, .. })) => {
                Size { is_there: true, is_bounded: lifetime != Lifetime::Unbounded, length }
            }
            Self::AtMost(size) => size,
        }
    }

    pub(super) fn footprint(&self, key: &[u8]) -> u64 {
        let Size { is_there, is_bounded, length } = self.size();
        if is_there { footprint(key.len(), length as usize, is_bounded) } else { 0 }
    }

    /// One or the other.
    pub(super) fn or(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        let (one, two) = (self.size(), other.size());
        Self::AtMost(Size {
            is_there: one.is_there || two.is_there,
            is_bounded: one.is_bounded || two.is_bounded,
            length: one.length.max(two.length),
        })
    }

    /// This, or nothing any more.
    pub(super) fn or_gone(self) -> Self {
        self.or(Self::GONE)
    }

    /// Whether `condition` holds; `is_live`: whether it is there and has not expired.
    pub(super) fn meets(&self, is_live: Option<bool>, condition: Condition) -> Option<bool> {
        match (condition, is_live) {
            (Condition::Always, _) => Some(true),
            (Condition::Absent | Condition::Version(0), is_live) => is_live.map(|is_live| !is_live),
            (Condition::Present, is_live) => is_live,
            (Condition::Version(_), None) => None,
            (Condition::Version(_), Some(false)) => Some(false),
            (Condition::Version(expected), Some(true)) => {
                self.held().and_then(|held| held.version).map(|version| version == expected)
            }
        }
    }
}
