//! [`DurableWaits`]: who is to be told once the log is on disk up to a sequence.

use std::collections::BTreeMap;

use super::owner::Owner;
use super::queue::WaitPlace;
use crate::error::{Error, Result};

/// Where one waits: by the sequence, and in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64, u64);

/// Those who wait, by the sequence they wait for; those of one in the order in which they came.
#[derive(Default)]
pub(super) struct DurableWaits {
    waits: BTreeMap<Place, Owner>,
    /// Counts all that ever came.
    count: u64,
}

impl DurableWaits {
    /// Has `owner` wait for `sequence`. Beyond `most` of them, those go that nobody is interested in any more; when none
    /// is, `Capacity` with `waiting_max`.
    pub(super) fn insert(&mut self, sequence: u64, owner: Owner, most: usize) -> Result<()> {
        if self.waits.len() >= most {
            self.waits.retain(|_, owner| !owner.is_gone());
        }
        if self.waits.len() >= most {
            return Err(Error::Capacity { what: "waiting_max", limit: most as u64 });
        }
        self.count += 1;
        let place = Place(sequence, self.count);
        if let Owner::Wait(queue, wait) = &owner {
            queue.note_place(*wait, WaitPlace::Durable(place));
        }
        self.waits.insert(place, owner);
        Ok(())
    }

    /// Whoever waits there does so no more.
    pub(super) fn remove(&mut self, place: Place) {
        self.waits.remove(&place);
    }

    /// One who waits for a sequence up to `durable`, the lowest first.
    pub(super) fn pop(&mut self, durable: u64) -> Option<Owner> {
        let first = self.waits.first_entry()?;
        (first.key().0 <= durable).then(|| first.remove())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::owner::Slot;
    use super::*;

    fn slot_of(owner: Option<Owner>) -> Arc<Slot> {
        match owner {
            Some(Owner::Call(slot)) => slot,
            _ => panic!("it is a call's"),
        }
    }

    #[test]
    fn the_lowest_goes_first_and_none_too_soon() {
        let slots: Vec<_> = (0..4).map(|_| Arc::new(Slot::default())).collect();
        let mut waits = DurableWaits::default();
        for (sequence, slot) in [7, 3, 7, 5].into_iter().zip(&slots) {
            waits.insert(sequence, Owner::Call(Arc::clone(slot)), 9).unwrap();
        }
        assert!(waits.pop(2).is_none());
        for at in [1, 3] {
            assert!(Arc::ptr_eq(&slot_of(waits.pop(6)), &slots[at]));
        }
        assert!(waits.pop(6).is_none() && !waits.is_empty());
        for at in [0, 2] {
            assert!(Arc::ptr_eq(&slot_of(waits.pop(7)), &slots[at]));
        }
        assert!(waits.pop(u64::MAX).is_none() && waits.is_empty());
    }

    #[test]
    fn who_has_given_up_makes_room() {
        let kept = Arc::new(Slot::default());
        let mut waits = DurableWaits::default();
        waits.insert(1, Owner::Call(Arc::clone(&kept)), 2).unwrap();
        let second = Arc::new(Slot::default());
        waits.insert(1, Owner::Call(Arc::clone(&second)), 2).unwrap();
        let more = || Owner::Call(Arc::new(Slot::default()));
        let refused = waits.insert(1, more(), 2).unwrap_err();
        assert!(matches!(refused, Error::Capacity { what: "waiting_max", limit: 2 }), "{refused}");
        drop(second);
        waits.insert(1, more(), 2).unwrap();
        waits.remove(Place(1, waits.count));
        waits.insert(1, more(), 2).unwrap();
        assert!(Arc::ptr_eq(&slot_of(waits.pop(1)), &kept));
    }
}
