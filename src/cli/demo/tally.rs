//! [`Tally`]: what the clients counted in the store, and what it said to that. Pure.
//!
//! A count whose answer never came may be in the store or not, so it is not sent again, and the store is right either
//! way. What it has acknowledged it must have.

use super::judge::number;

/// For each backend, the answers that were counted in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    sent: Vec<u64>,
    acknowledged: Vec<u64>,
    /// Requests to the store without an answer yet.
    on_the_way: u64,
}

impl Tally {
    pub(super) fn new(backends: usize) -> Self {
        Self { sent: vec![0; backends], acknowledged: vec![0; backends], on_the_way: 0 }
    }

    /// So many answers of `backend` are about to be counted, with one request.
    pub(super) fn send(&mut self, backend: usize, count: u64) {
        self.sent[backend] += count;
        self.on_the_way += 1;
    }

    /// The store has them.
    pub(super) fn acknowledge(&mut self, backend: usize, count: u64) {
        self.acknowledged[backend] += count;
        self.on_the_way -= 1;
    }

    /// No answer will come.
    pub(super) fn give_up(&mut self) {
        self.on_the_way -= 1;
    }

    pub(super) fn is_on_the_way(&self) -> bool {
        self.on_the_way > 0
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.iter().sum()
    }
}

/// What the store was found to have, between two looks at the tally.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// What it had acknowledged before it was asked.
    pub(super) acknowledged: Vec<u64>,
    /// What it said it has.
    pub(super) found: Vec<u64>,
    /// What was sent to it by the time it answered.
    pub(super) sent: Vec<u64>,
}

impl Counted {
    pub(super) fn new(before: &Tally, found: Vec<u64>, after: &Tally) -> Self {
        Self { acknowledged: before.acknowledged.clone(), found, sent: after.sent.clone() }
    }

    /// Acknowledged, and not there.
    pub(super) fn lost(&self) -> u64 {
        self.acknowledged.iter().zip(&self.found).map(|(had, has)| had.saturating_sub(*has)).sum()
    }

    /// What is wrong: something is missing, or there that nobody counted.
    pub(super) fn wrong(&self, names: &[&str]) -> Option<String> {
        let each = self.acknowledged.iter().zip(&self.found).zip(&self.sent).zip(names);
        each.into_iter().find_map(|(((acknowledged, found), sent), name)| {
            if found < acknowledged {
                let lost = number(acknowledged - found, "count");
                return Some(format!(
                    "the store lost {lost} of {acknowledged} that it acknowledged for {name}"
                ));
            }
            (found > sent).then(|| format!("the store has {found} for {name}, and {sent} were ever sent"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["web-01", "web-02"];

    #[test]
    fn what_is_acknowledged_must_be_there_and_what_was_given_up_may_be() {
        let mut tally = Tally::new(2);
        tally.send(0, 1);
        tally.send(1, 3);
        assert!(tally.is_on_the_way());
        tally.acknowledge(1, 3);
        tally.give_up();
        assert!(!tally.is_on_the_way());
        assert_eq!(tally.acknowledged(), 3);
        for (found, lost, wrong) in [
            ([0, 3], 0, None),
            ([1, 3], 0, None),
            ([1, 2], 1, Some("the store lost 1 count of 3 that it acknowledged for web-02")),
            ([0, 0], 3, Some("the store lost 3 counts of 3 that it acknowledged for web-02")),
            ([2, 3], 0, Some("the store has 2 for web-01, and 1 were ever sent")),
        ] {
            let counted = Counted::new(&tally, found.to_vec(), &tally);
            assert_eq!((counted.lost(), counted.wrong(&NAMES).as_deref()), (lost, wrong), "{found:?}");
        }
    }

    #[test]
    fn what_comes_while_the_store_is_asked_is_no_mistake() {
        let mut tally = Tally::new(1);
        tally.send(0, 1);
        let before = tally.clone();
        tally.acknowledge(0, 1);
        tally.send(0, 1);
        for found in 0..=2 {
            let counted = Counted::new(&before, vec![found], &tally);
            assert_eq!(counted.wrong(&NAMES[..1]), None, "{found}");
        }
    }
}
