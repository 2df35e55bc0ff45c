//! [`Cuts`]: which of a worker's sessions are cut because their backend went down.
//!
//! An idle session must cost no memory for this, so there is no list of a backend's sessions: a round looks at each of
//! the worker's places once, from the last to the first, and takes as many turns as its driver likes. What is ordered
//! meanwhile waits for the next round, which looks for all of it at once. So however many backends go down, and
//! however often, there is one look at a place for each round.
//!
//! A session is cut when it picked the backend before that went down. Whoever picks it later, for it came back or
//! because nobody else is left, is not: each session bears the [`Moment`] at which it began to pick, each order the one
//! up to which it counts.

use std::collections::BTreeMap;

use crate::balance::BackendId;

/// How many orders a pool had: what was picked before one is told by it from what was picked after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// A backend of a pool, by the pool's number.
pub type Whose = (usize, BackendId);

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The number of the pool.
    pub pool: usize,
    /// Which went down.
    pub backend: BackendId,
    /// How many sessions were cut.
    pub count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    /// Whoever picked up to then.
    until: Moment,
    count: u64,
}

/// The orders of one worker.
#[derive(Debug, Default)]
pub struct Cuts {
    /// For the next round.
    ordered: BTreeMap<Whose, Order>,
    /// Looked for in this round.
    sought: BTreeMap<Whose, Order>,
    /// Places that this round has not looked at: those below.
    left: usize,
}

impl Cuts {
    /// Nothing ordered.
    pub fn new() -> Self {
        Self::default()
    }

    /// This backend went down: whoever picked it up to this moment is to be cut.
    pub fn order(&mut self, pool: usize, backend: BackendId, until: Moment) {
        let order = self.ordered.entry((pool, backend)).or_insert(Order { until, count: 0 });
        order.until = order.until.max(until);
    }

    /// Whether there is something to look for.
    pub fn is_ordered(&self) -> bool {
        !self.ordered.is_empty() || !self.sought.is_empty()
    }

    /// The next place to look at, below `places`; `None` at the end of a round, whose outcome [`Cuts::finish`] tells.
    pub fn next(&mut self, places: usize) -> Option<usize> {
        if self.sought.is_empty() {
            self.sought = std::mem::take(&mut self.ordered);
            self.left = if self.sought.is_empty() { 0 } else { places };
        }
        self.left = self.left.checked_sub(1)?;
        Some(self.left)
    }

    /// Whether the session looked at, which picked this backend at this moment, is to be cut. It is counted.
    pub fn takes(&mut self, pool: usize, backend: BackendId, picked: Moment) -> bool {
        let order = self.sought.get_mut(&(pool, backend)).filter(|order| picked <= order.until);
        order.map(|order| order.count += 1).is_some()
    }

    /// What the round that has come to its end did, order by order.
    pub fn finish(&mut self) -> impl Iterator<Item = Cut> + use<> {
        debug_assert_eq!(self.left, 0, "a round ends when every place was looked at");
        let sought = std::mem::take(&mut self.sought);
        sought.into_iter().map(|((pool, backend), Order { count, .. })| Cut { pool, backend, count })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: BackendId = BackendId::from_u64(1);
    const B: BackendId = BackendId::from_u64(2);

    fn round(cuts: &mut Cuts, sessions: &mut [Option<(usize, BackendId, Moment)>]) -> Vec<Cut> {
        while let Some(place) = cuts.next(sessions.len()) {
            if let Some((pool, backend, picked)) = sessions[place]
                && cuts.takes(pool, backend, picked)
            {
                sessions[place] = None;
            }
        }
        cuts.finish().collect()
    }

    #[test]
    fn those_of_the_backend_and_nobody_else() {
        let mut cuts = Cuts::new();
        let (before, after) = (Moment(0), Moment(1));
        assert!(!cuts.is_ordered() && cuts.next(9).is_none());
        cuts.order(0, A, before);
        let mut sessions =
            [Some((0, A, before)), Some((0, B, before)), None, Some((1, A, before)), Some((0, A, after))];
        assert_eq!(round(&mut cuts, &mut sessions), [Cut { pool: 0, backend: A, count: 1 }]);
        assert_eq!(sessions.map(|session| session.is_some()), [false, true, false, true, true]);
        assert!(!cuts.is_ordered());
        // Down again: now it is their turn.
        cuts.order(0, A, after);
        assert_eq!(round(&mut cuts, &mut sessions)[0].count, 1);
        assert_eq!(sessions[4], None);
    }

    #[test]
    fn what_is_ordered_during_a_round_has_a_round_of_its_own() {
        let mut cuts = Cuts::new();
        let picked = Moment(0);
        let mut sessions = vec![Some((0, B, picked)), Some((0, A, picked)), Some((0, B, picked))];
        cuts.order(0, A, picked);
        assert_eq!(cuts.next(3), Some(2));
        cuts.order(0, B, Moment(1));
        assert!(!cuts.takes(0, B, picked), "its round has not begun");
        assert_eq!(round(&mut cuts, &mut sessions), [Cut { pool: 0, backend: A, count: 1 }]);
        assert!(cuts.is_ordered());
        assert_eq!(round(&mut cuts, &mut sessions), [Cut { pool: 0, backend: B, count: 2 }]);
        assert_eq!((sessions, cuts.is_ordered()), (vec![None; 3], false));
    }

    proptest! {
        /// In whatever order backends go down, sessions come and go and places are looked at: cut is who picked before
        /// the order, and nobody else.
        #[test]
        fn whatever_the_order(steps in prop::collection::vec((0..4u8, 0..8usize, 0..3u64), 1..200)) {
            let (mut cuts, mut now) = (Cuts::new(), Moment(0));
            // Each with whether its backend went down since.
            let mut sessions: Vec<Option<(BackendId, Moment, bool)>> = vec![None; 8];
            let look = |cuts: &mut Cuts, sessions: &mut [Option<(BackendId, Moment, bool)>]| {
                let Some(place) = cuts.next(8) else {
                    let _ = cuts.finish();
                    return Ok(());
                };
                if let Some((backend, picked, is_doomed)) = sessions[place]
                    && cuts.takes(0, backend, picked)
                {
                    prop_assert!(is_doomed, "{place} is cut for nothing");
                    sessions[place] = None;
                }
                Ok(())
            };
            for (what, place, backend) in steps {
                let backend = BackendId::from_u64(backend);
                match what {
                    0 => sessions[place] = Some((backend, now, false)),
                    1 => {
                        cuts.order(0, backend, now);
                        now.0 += 1;
                        for session in sessions.iter_mut().flatten().filter(|session| session.0 == backend) {
                            session.2 = true;
                        }
                    }
                    _ => look(&mut cuts, &mut sessions)?,
                }
            }
            while cuts.is_ordered() {
                look(&mut cuts, &mut sessions)?;
            }
            prop_assert!(sessions.iter().flatten().all(|session| !session.2), "{sessions:?}");
        }
    }
}
