//! [`Degrading`]: whether writes are answered with fewer nodes than they asked for, as `degrade_after` has it.
//!
//! It begins with a write that is so answered while a node lacks it that counts (a voter, or, where a number of nodes was asked for,
//! any), and ends when what it asked for is reached after all,
//! for the last write that was so answered, or when this node is primary no longer.

use super::{Event, Level, Node};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Degrading {
    /// Writes so answered since the node was opened.
    writes: u64,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    /// The last write so answered.
    sequence: u64,
    /// What it asked for.
    level: Level,
    /// How many there were.
    writes: u64,
}

impl Degrading {
    pub(super) fn is_current(&self) -> bool {
        self.current.is_some()
    }
}

impl Node {
    /// Writes answered with fewer nodes than they asked for, since the node was opened.
    pub fn degraded_writes(&self) -> u64 {
        self.degrading.writes
    }

    /// The voters that are not known to have an entry on their disks. For a primary.
    pub(super) fn lacking(&self, sequence: u64) -> impl Iterator<Item = u64> {
        self.members
            .nodes()
            .filter(move |node| self.members.is_voter(*node) && !self.has_entry(*node, sequence))
    }

    /// The nodes for which a write waits that asked for `level`; none when it has that, or can never have it.
    fn lacking_at(&self, level: Level, sequence: u64) -> impl Iterator<Item = u64> {
        let (is_counted, is_waiting) = match level {
            Level::AtLeast(least) => {
                let can_be_had = self.members.nodes().count() >= least as usize;
                (true, can_be_had && self.nodes_with(sequence) < least)
            }
            _ => (false, true),
        };
        let counts = move |node: &u64| is_waiting && (is_counted || self.members.is_voter(*node));
        self.members.nodes().filter(move |node| counts(node) && !self.has_entry(*node, sequence))
    }

    /// A write was answered with fewer nodes than it asked for.
    pub(super) fn degraded(&mut self, sequence: u64, level: Level) {
        self.degrading.writes += 1;
        let lacking: Vec<u64> = self.lacking_at(level, sequence).filter(|_| self.is_primary()).collect();
        if lacking.is_empty() {
            // It asked for more nodes than there are, or nobody is primary here any more.
            return;
        }
        let writes = self.degrading.current.as_ref().map_or(0, |it| it.writes) + 1;
        if writes == 1 {
            self.events.push_back(Event::Degraded { nodes: lacking, sequence });
        }
        self.degrading.current = Some(Current { sequence, level, writes });
    }

    /// Looks whether it is over.
    pub(super) fn follow_degrading(&mut self) {
        let Some(Current { sequence, level, writes }) = self.degrading.current else { return };
        // A number of nodes that there are not any more is not reached.
        let is_hopeless =
            matches!(level, Level::AtLeast(least) if self.members.nodes().count() < least as usize);
        let is_reached =
            !self.is_primary() || !is_hopeless && self.lacking_at(level, sequence).next().is_none();
        if is_reached {
            self.degrading.current = None;
            self.events.push_back(Event::Recovered { writes });
        }
    }
}
