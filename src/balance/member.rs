//! One backend as a pool knows it: as configured, and cut down to what a pick reads.

use std::sync::Arc;

use crate::balance::backend::{self, Address, Admin, BackendId};
use crate::balance::limit::Most;
use crate::balance::observation::Observation;
use crate::balance::pace::Pace;
use crate::balance::slow_start::Start;
use crate::balance::statistics::Totals;

/// One backend as configured.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: BackendId,
    /// Where its counters are.
    pub(crate) slot: u32,
    pub(crate) name: Arc<str>,
    pub(crate) address: Address,
    pub(crate) address_text: Arc<str>,
    pub(crate) weight: u32,
    /// The weight it was added with: that of the policy static.
    pub(crate) first_weight: u32,
    pub(crate) maxconn: u32,
    /// Whether its picks are counted against a `maxconn`: from the moment it first has
    /// one, or always where the pool asks for it.
    pub(crate) is_limited: bool,
    pub(crate) connection_rate: u32,
    pub(crate) connection_burst: u32,
    pub(crate) tier: u8,
    pub(crate) tag: u64,
    pub(crate) admin: Admin,
    pub(crate) observation: Observation,
    /// How far its slow start has come; `None` when it is over.
    pub(crate) start: Option<Start>,
    /// What its slot's counters showed when it took the slot.
    pub(crate) base: Totals,
}

/// What a policy reads of a backend that may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hot {
    pub(crate) slot: u32,
    /// In percent where backends start slowly.
    pub(crate) weight: u32,
}

/// A backend that may be picked: what its picks are answered with, in one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Serving {
    pub(crate) address: Address,
    pub(crate) id: BackendId,
    pub(crate) tag: u64,
    /// `None`: not counted.
    pub(crate) most: Option<Most>,
    /// Its connection rate, when it has one.
    pub(crate) pace: Option<Pace>,
}

impl Serving {
    pub(crate) fn of(member: &Member) -> Self {
        Self {
            address: member.address.clone(),
            id: member.id,
            tag: member.tag,
            most: member.is_limited.then_some(Most::of(member.maxconn)),
            pace: Pace::new(member.connection_rate, member.connection_burst),
        }
    }
}

impl Member {
    pub(crate) fn is_usable(&self) -> bool {
        backend::is_usable(self.admin, self.observation.observed)
    }

    /// Whether it may be picked while its tier serves, panicking or not.
    pub(crate) fn serves(&self, is_panicking: bool) -> bool {
        if is_panicking { self.admin == Admin::Ready } else { self.is_usable() }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_answers_a_pick_is_one_cache_line() {
        assert_eq!(size_of::<super::Serving>(), 64);
    }
}
