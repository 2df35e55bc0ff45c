//! What a node says of itself: [`Status`], [`Role`], [`Standing`], and [`Event`].

use std::time::Duration;

use raft::StateRole;

use super::Node;
use crate::error::Error;
use crate::replication::membership::Membership;

/// What a node is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Orders the writes.
    Primary,
    /// Follows, and votes.
    Replica,
    /// Asks for votes.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Takes no part: it belongs to no cluster yet, or to none any more, or its log has stopped.
    Idle,
}

impl Role {
    /// Its name, in JSON and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
            Role::Candidate => "candidate",
            Role::Learner => "learner",
            Role::Idle => "idle",
        }
    }
}

/// Why a node takes no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It was removed.
    Removed,
    /// Another one was promoted by force since.
    OldGeneration {
        /// The generation that counts.
        generation: u64,
    },
    /// Another process with its number came later.
    Retired,
    /// What is committed here is not what is committed there.
    Diverged {
        /// From which entry on.
        sequence: u64,
        /// Who says so.
        from: u64,
    },
    /// Only this node votes here, and another cluster of the same name has it as a member.
    TwoClusters {
        /// The other one's primary.
        primary: u64,
    },
    /// It has come to another state than more than half of the voters.
    Differs {
        /// At this sequence, or before.
        sequence: u64,
    },
}

/// Whether a node may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes part.
    Active,
    /// It begins a new cluster with others, and does not know yet that enough of them are new too: it votes for nobody.
    Founding,
    /// It has forgotten something that it promised: it follows, and votes for nobody, until it is taken in again.
    Forgetful {
        /// The number under which it asks to be.
        incarnation: u64,
    },
    /// It takes no part any more.
    Fenced(Fence),
    /// Its log has stopped, or it met something that only a later release knows.
    Failed(Error),
}

impl Standing {
    /// Its name, in JSON and in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Active => "active",
            Standing::Founding => "founding",
            Standing::Forgetful { .. } => "forgetful",
            Standing::Fenced(_) => "fenced",
            Standing::Failed(_) => "failed",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The role, the epoch or the primary changed.
    Role {
        /// What this node is.
        role: Role,
        /// The epoch.
        epoch: u64,
        /// The primary; `None` while none is known.
        primary: Option<u64>,
    },
    /// Who is in the cluster has changed.
    Members(Membership),
    /// This node takes no part any more.
    Fenced(Fence),
    /// This node has forgotten something, and asks to be taken in again.
    Forgetful,
    /// It was.
    Readmitted,
    /// A node has come to another state than the others.
    Differs {
        /// Which.
        node: u64,
        /// At this sequence, or before.
        sequence: u64,
    },
    /// Two processes run as one node.
    TwoProcesses {
        /// The node.
        node: u64,
    },
    /// This primary's disk is slow: it hands over.
    SlowDisk {
        /// To whom.
        to: u64,
    },
    /// Writes begin to be answered with fewer nodes than they asked for: see `degrade_after` of the options.
    Degraded {
        /// The voters that lack the first of them.
        nodes: Vec<u64>,
        /// That one.
        sequence: u64,
    },
    /// They do so no longer: the nodes that lacked them have them, or this node is primary no longer.
    Recovered {
        /// How many were so answered.
        writes: u64,
    },
    /// This learner is fed by another node than before.
    Source {
        /// Which; `None`: the primary.
        node: Option<u64>,
    },
    /// A state from another node has taken the place of this one's.
    Installed {
        /// The last entry in it.
        sequence: u64,
    },
    /// A state from another node could not be kept here. It is taken again later.
    InstallFailed {
        /// Who sent it.
        from: u64,
        /// Why.
        error: Error,
    },
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub role: Role,
    /// The epoch.
    pub epoch: u64,
    /// The primary, as far as it knows.
    pub primary: Option<u64>,
    /// The last entry of its log.
    pub last: u64,
    /// The last that is committed, as far as it knows.
    pub committed: u64,
    /// The last that is applied.
    pub applied: u64,
    /// The last that is on its disk.
    pub durable: u64,
    /// How old what is applied may be; `None` when that is not known. Zero on a primary that holds its quorum.
    pub age: Option<Duration>,
    /// What each other node is known to have on disk; on a primary only.
    pub matched: Vec<(u64, u64)>,
    /// Who feeds this learner instead of the primary; `None`: the primary does.
    pub source: Option<u64>,
    /// Whom this node feeds instead of the primary, and what each is known to have.
    pub followers: Vec<(u64, u64)>,
    /// On a primary: who is fed by somebody else, and by whom.
    pub chained: Vec<(u64, u64)>,
    /// Bytes of entries kept in memory.
    pub tail_bytes: u64,
    /// Writes answered with fewer nodes than they asked for, since the node was opened.
    pub degraded_writes: u64,
    /// Whether that is so at present: the last one is not where it asked to be yet.
    pub is_degraded: bool,
}

impl Node {
    /// How the node stands.
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let age = if self.holds_lease(self.now.instant) && self.is_settled() {
            Some(Duration::ZERO)
        } else {
            self.stamps.fresh_since().map(|since| self.now.instant.duration_since(since))
        };
        let mut matched = Vec::new();
        if self.is_primary() {
            for node in self.members.nodes().filter(|node| *node != self.identity.node) {
                matched.push((node, raft.prs().get(node).map_or(0, |it| it.matched)));
            }
        }
        Status {
            role: self.role(),
            epoch: raft.term,
            primary: self.primary(),
            last: raft.raft_log.last_index(),
            committed: raft.raft_log.committed,
            applied: self.engine.state().sequence(),
            durable: self.engine.durable_sequence(),
            age,
            matched,
            source: self.source.current(),
            followers: self.feeding.followers().collect(),
            chained: self.feeding.elsewhere(self.now.instant).collect(),
            tail_bytes: self.raw.store().tail_bytes(),
            degraded_writes: self.degraded_writes(),
            is_degraded: self.degrading.is_current() && self.is_primary(),
        }
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        if !self.takes_part() {
            return Role::Idle;
        }
        match self.raw.raft.state {
            StateRole::Leader => Role::Primary,
            _ if self.members.learners.contains(&self.identity.node) => Role::Learner,
            _ if !self.members.is_voter(self.identity.node) => Role::Idle,
            StateRole::Follower => Role::Replica,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        }
    }

    /// The primary, as far as this node knows.
    pub fn primary(&self) -> Option<u64> {
        match self.raw.raft.leader_id {
            0 => None,
            _ if !self.takes_part() => None,
            node => Some(node),
        }
    }
}
