//! [`Sight`]: whether what readers see is what the primary has said, without the store's lock.
//!
//! A reader asks for the reign before it takes a view, and once it has it whether this node was primary without a doubt
//! until then. If it was, in the same epoch, nobody else had answered a write by the time the view was taken; and what this
//! node had answered was in the view before it was.

use crate::sync::{AtomicU64, Ordering};
use crate::time::{Clock, Instant};

/// See the module. Written with the store's lock held.
#[derive(Debug, Default)]
pub(in crate::driver::store) struct Sight {
    /// The epoch of this node's reign; 0: it has none, or has not applied all that came before it.
    reign: AtomicU64,
    /// Until when nobody else can be primary.
    until: AtomicU64,
}

impl Sight {
    /// The reign, `None` where this node is not primary.
    #[inline]
    pub(in crate::driver::store) fn reign(&self) -> Option<u64> {
        // Acquire: pairs with the Releases in `set`, so that what is read behind it is of this reign or later.
        Some(self.reign.load(Ordering::Acquire)).filter(|reign| *reign != 0)
    }

    /// Whether `reign` has lasted up to now.
    #[inline]
    pub(in crate::driver::store) fn lasts(&self, reign: u64) -> bool {
        let until = self.until.load(Ordering::Acquire);
        // Behind `until`: a bound of another reign is never taken for one of this.
        self.reign.load(Ordering::Acquire) == reign && Clock.now() < Instant::from_nanos(until)
    }

    pub(super) fn set(&self, reign: Option<(u64, Instant)>) {
        let (reign, until) = reign.map_or((0, Instant::START), |it| it);
        if self.reign.load(Ordering::Relaxed) != reign {
            self.reign.store(0, Ordering::Release);
            self.until.store(until.as_nanos(), Ordering::Release);
            self.reign.store(reign, Ordering::Release);
        } else {
            self.until.store(until.as_nanos(), Ordering::Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reign_lasts_until_its_lease_ends_or_another_begins() {
        let sight = Sight::default();
        assert_eq!(sight.reign(), None);
        let soon = Clock.now().saturating_add(Duration::from_secs(600));
        sight.set(Some((3, soon)));
        assert_eq!(sight.reign(), Some(3));
        assert!(sight.lasts(3) && !sight.lasts(2));
        sight.set(Some((3, Clock.now())));
        assert!(!sight.lasts(3));
        sight.set(Some((4, soon)));
        assert!(!sight.lasts(3) && sight.lasts(4));
        sight.set(None);
        assert!(!sight.lasts(4));
        assert_eq!(sight.reign(), None);
    }
}
