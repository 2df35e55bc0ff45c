//! [`ClusterEvents`]: what happens to a cluster, as it happens.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::driver::store::Store;
use crate::driver::store::shared::{Shared, closed, deadline, now};
use crate::driver::store::watcher::Bell;
use crate::error::{Error, Result};
use crate::replication::Role;
use crate::time::Clock;

/// Something that happened, with names.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// The role, the epoch or the primary changed.
    Role {
        /// What this node is.
        role: Role,
        /// The epoch.
        epoch: u64,
        /// The primary; `None` while none is known.
        primary: Option<String>,
    },
    /// Who is in the cluster has changed.
    Members {
        /// Who votes.
        voters: Vec<String>,
        /// Who follows without a vote.
        learners: Vec<String>,
    },
    /// This node takes no part any more.
    Fenced {
        /// Why, and what to do.
        detail: String,
    },
    /// This node has forgotten something, and asks to be taken in again.
    Forgetful,
    /// It was.
    Readmitted,
    /// A node has come to another state than the others.
    Differs {
        /// Which.
        node: String,
        /// At this entry, or before.
        sequence: u64,
    },
    /// Two processes run as one node.
    TwoProcesses {
        /// The node.
        node: String,
    },
    /// This primary's disk is slow: it hands over.
    SlowDisk {
        /// To whom.
        to: String,
    },
    /// This learner is fed by another node than before.
    Source {
        /// Which; `None`: the primary.
        node: Option<String>,
    },
    /// A state from another node has taken the place of this one's: watchers begin anew.
    Installed {
        /// The last entry in it.
        sequence: u64,
    },
    /// A link to a node is up.
    LinkUp {
        /// Which.
        node: String,
    },
    /// A link to a node is over.
    LinkDown {
        /// Which.
        node: String,
        /// Why.
        detail: String,
    },
    /// A node is not let in, or does not let this one in, or its frames are not taken: somebody has to act. Also when a node
    /// cannot be reached, once until it was.
    Refused {
        /// Which, as far as it said.
        node: Option<String>,
        /// Why, and what to do.
        detail: String,
    },
    /// Writes begin to be answered with fewer nodes than they asked for, as `degrade_after` has it.
    Degraded {
        /// The voters that lack the first of them.
        nodes: Vec<String>,
        /// That one.
        sequence: u64,
    },
    /// They do so no longer: those nodes have caught up, or this one is primary no longer.
    Recovered {
        /// How many were so answered.
        writes: u64,
    },
    /// Something that lies on this node's disk was found damaged.
    Damaged {
        /// The file; empty where none is to blame.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong, and what is done about it.
        detail: String,
    },
    /// What was found damaged is not needed any more: a snapshot stands for it.
    Mended {
        /// The last entry in that.
        sequence: u64,
    },
    /// Events that nobody took went by.
    Missed {
        /// How many.
        count: u64,
    },
}

/// How many events are kept for those who follow; the oldest goes for a new one.
const KEPT: usize = 1_024;

/// The latest events. Part of what the store's lock guards.
#[derive(Debug, Default)]
pub(in crate::driver::store) struct News {
    /// The number of the first that is kept.
    first: u64,
    kept: VecDeque<ClusterEvent>,
    is_fresh: bool,
}

impl News {
    pub(super) fn tell(&mut self, event: ClusterEvent) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(event);
        self.is_fresh = true;
    }

    /// Whether something came since this was asked last.
    pub(in crate::driver::store) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh)
    }

    /// The number of the next event.
    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn from(&self, next: &mut u64) -> Option<ClusterEvent> {
        if *next < self.first {
            let count = self.first - *next;
            *next = self.first;
            return Some(ClusterEvent::Missed { count });
        }
        let event = self.kept.get((*next - self.first) as usize)?;
        *next += 1;
        Some(event.clone())
    }
}

/// Follows what happens to the cluster. It holds a position and a descriptor; a slow one costs no memory and delays nobody:
/// of more than 1,024 events that it did not take it is told how many.
#[derive(Debug)]
pub struct ClusterEvents {
    store: Store,
    next: u64,
    bell: Arc<Bell>,
}

impl Store {
    /// Follows what happens to the cluster, from what is kept of it on: a role is told at once.
    ///
    /// # Errors
    ///
    /// `State` when it is in no cluster, or closed; `Io` when there is no descriptor; `Forked`.
    pub fn cluster_events(&self) -> Result<ClusterEvents> {
        let shared = self.shared()?;
        let bell = Arc::new(Bell::new()?);
        let mut core = shared.core.lock();
        let next = core.member()?.news.first;
        core.news_bells.push(Arc::downgrade(&bell));
        drop(core);
        // There may be something already.
        bell.ring();
        Ok(ClusterEvents { store: self.clone(), next, bell })
    }
}

impl Shared {
    /// Tells where the directory was damaged when it was opened, and was mended.
    pub(super) fn tell_damage(&self, damage: Vec<ClusterEvent>) {
        let mut core = self.core.lock();
        if let Ok(member) = core.member() {
            member.mended += 1;
            damage.into_iter().for_each(|event| member.tell(event));
        }
        self.settle(&mut core, now());
    }
}

impl ClusterEvents {
    /// The next event. Waits for it, at most `timeout`; zero does not wait.
    ///
    /// # Errors
    ///
    /// `TimedOut`; `State` once the store is closed and all was told; `Forked`.
    pub fn next(&mut self, timeout: Duration) -> Result<ClusterEvent> {
        let deadline = deadline(timeout);
        loop {
            self.store.check_process()?;
            self.bell.arm();
            let mut core = self.store.inner.shared.core.lock();
            let is_over = core.is_ending;
            if let Some(event) = core.member()?.news.from(&mut self.next) {
                let more = core.member()?.news.end() > self.next;
                drop(core);
                if more {
                    self.bell.ring();
                }
                return Ok(event);
            }
            drop(core);
            if is_over {
                return Err(closed());
            }
            let left = deadline.duration_since(Clock.now());
            if left.is_zero() {
                return Err(Error::TimedOut { what: "event" });
            }
            self.bell.wait(left);
        }
    }

    /// Takes events until `look` finds what it looks for in one; at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`ClusterEvents::next`].
    pub fn find<T>(
        &mut self,
        timeout: Duration,
        mut look: impl FnMut(ClusterEvent) -> Option<T>,
    ) -> Result<T> {
        let deadline = deadline(timeout);
        loop {
            if let Some(found) = look(self.next(deadline.duration_since(Clock.now()))?) {
                return Ok(found);
            }
        }
    }
}

impl AsFd for ClusterEvents {
    /// Readable when [`ClusterEvents::next`] is worth a call.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slow_is_told_how_much_went_by() {
        let mut news = News::default();
        let mut next = 0;
        assert_eq!(news.from(&mut next), None);
        for sequence in 0..KEPT as u64 + 3 {
            news.tell(ClusterEvent::Installed { sequence });
        }
        assert!(news.take_fresh() && !news.take_fresh());
        assert_eq!(news.from(&mut next), Some(ClusterEvent::Missed { count: 3 }));
        assert_eq!(news.from(&mut next), Some(ClusterEvent::Installed { sequence: 3 }));
        next = news.end();
        assert_eq!(news.from(&mut next), None);
    }
}
