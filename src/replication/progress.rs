//! [`Progress`]: how far other nodes are, as they say themselves. Each tells those who have asked for it, over the links and
//! every [`TELL_INTERVAL`], up to where it has applied the log and how old that is. Nothing is told where nobody asks.
//!
//! A node that asks holds what it is told against what it knows itself when it comes: what was committed meanwhile does not
//! make the other one look as if it were behind. Who falls silent is known by [`Known::heard_at`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::time::Instant;

/// How often a node tells how far it is.
pub const TELL_INTERVAL: Duration = Duration::from_millis(100);

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The last entry that it has applied.
    pub applied: u64,
    /// The last that is committed, as far as it knows.
    pub committed: u64,
    /// How old what it has applied may be; `None`: that is not known.
    pub age: Option<Duration>,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// As of when what it has applied was all there was, by this node's clock; `None`: it does not know.
    pub fresh_since: Option<Instant>,
    /// How many entries it lacked that it or this node knew to be committed.
    pub behind: u64,
    /// When it said so.
    pub heard_at: Instant,
}

impl Known {
    /// What a report says that comes at `now`, to a node that knows of `committed`.
    pub fn new(report: &Report, committed: u64, now: Instant) -> Self {
        Self {
            fresh_since: report.age.and_then(|age| {
                // Older than the clock is not known.
                now.as_nanos().checked_sub(u64::try_from(age.as_nanos()).ok()?).map(Instant::from_nanos)
            }),
            behind: report.committed.max(committed).saturating_sub(report.applied),
            heard_at: now,
        }
    }
}

/// See the module. Nodes go by their numbers.
#[derive(Debug)]
pub struct Progress {
    /// This node asks.
    wants: bool,
    /// Who has asked this node, over the link that is up.
    askers: BTreeSet<u64>,
    /// With up to where the node knows the log to be committed.
    known: BTreeMap<u64, (Known, u64)>,
    /// Not before then.
    tells_at: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self { wants: false, askers: BTreeSet::new(), known: BTreeMap::new(), tells_at: Instant::START }
    }
}

impl Progress {
    /// From now on this node asks. Whether it did not before: then all who are linked are to be asked.
    pub fn want(&mut self) -> bool {
        !std::mem::replace(&mut self.wants, true)
    }

    /// Whether somebody to whom a link comes up is to be asked.
    pub fn wants(&self) -> bool {
        self.wants
    }

    /// Another node asks.
    pub fn handle_asked(&mut self, from: u64) {
        self.askers.insert(from);
    }

    /// Another node tells; `committed` is what this one knows of. What nobody here asked for is not kept.
    pub fn handle_report(&mut self, from: u64, report: &Report, committed: u64, now: Instant) {
        if self.wants {
            self.known.insert(from, (Known::new(report, committed, now), report.committed));
        }
    }

    /// The link to a node is over: it asks anew, and nothing is known of it.
    pub fn handle_down(&mut self, node: u64) {
        self.askers.remove(&node);
        self.known.remove(&node);
    }

    /// Who is to be told now.
    pub fn poll_askers(&mut self, now: Instant) -> Vec<u64> {
        if self.askers.is_empty() || now < self.tells_at {
            return Vec::new();
        }
        self.tells_at = now.saturating_add(TELL_INTERVAL);
        self.askers.iter().copied().collect()
    }

    /// What is known of a node.
    pub fn of(&self, node: u64) -> Option<Known> {
        self.known.get(&node).map(|(known, _)| *known)
    }

    /// Up to where the others know the log to be committed, by what they have said last; 0 where they have said nothing.
    pub fn committed(&self) -> u64 {
        self.known.values().map(|(_, committed)| *committed).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn who_has_asked_is_told_now_and_then_until_the_link_is_over() {
        let mut progress = Progress::default();
        assert_eq!(progress.poll_askers(at(0)), Vec::<u64>::new(), "nobody has asked");
        progress.handle_asked(3);
        progress.handle_asked(2);
        progress.handle_asked(3);
        assert_eq!(progress.poll_askers(at(5)), [2, 3]);
        assert_eq!(progress.poll_askers(at(104)), Vec::<u64>::new());
        assert_eq!(progress.poll_askers(at(105)), [2, 3]);
        progress.handle_down(3);
        assert_eq!(progress.poll_askers(at(205)), [2]);
        progress.handle_down(2);
        assert_eq!(progress.poll_askers(at(1_000)), Vec::<u64>::new());
        assert!(progress.want() && !progress.want() && progress.wants());
    }

    #[test]
    fn what_is_told_is_held_against_what_is_known_here() {
        let mut progress = Progress::default();
        let report = Report { applied: 90, committed: 95, age: Some(Duration::from_millis(40)) };
        progress.handle_report(2, &report, 100, at(1_000));
        assert_eq!(progress.of(2), None, "nobody wanted to know");
        progress.want();
        progress.handle_report(2, &report, 100, at(1_000));
        let known = Known { fresh_since: Some(at(960)), behind: 10, heard_at: at(1_000) };
        assert_eq!((progress.of(2), progress.committed()), (Some(known), 95));
        // It knows more than this node.
        progress.handle_report(2, &report, 80, at(1_100));
        assert_eq!(progress.of(2).map(|it| it.behind), Some(5));
        progress.handle_report(2, &Report { committed: 80, ..report }, 80, at(1_100));
        assert_eq!(progress.of(2).map(|it| it.behind), Some(0));
        for age in [None, Some(Duration::from_secs(2)), Some(Duration::MAX)] {
            progress.handle_report(2, &Report { age, ..report }, 0, at(1_200));
            assert_eq!(progress.of(2).unwrap().fresh_since, None, "{age:?}");
        }
        progress.handle_down(2);
        assert_eq!((progress.of(2), progress.committed()), (None, 0));
    }
}
