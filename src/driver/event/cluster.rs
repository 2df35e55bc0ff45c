//! [`ClusterKind`]: what a server tells of its store's cluster.

use super::{Event, EventKind};
use crate::embedded::ClusterEvent;
use crate::replication::Role;

/// What happened to the store's cluster, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterKind {
    /// This node has another role.
    Role(Role),
    /// Another node is primary, or the same in another epoch, this one; the event names it. No name: none is known.
    Primary(u64),
    /// Who is in the cluster has changed; the detail has who votes and who learns.
    Members,
    /// This node takes no part any more; the detail says why, and what to do.
    Fenced,
    /// This node has forgotten something that it promised, and votes for nobody until it is taken in again.
    Forgetful,
    /// It was.
    Readmitted,
    /// A node has come to another state than the others, at this entry or before.
    Differs(u64),
    /// Two processes run as one node.
    TwoProcesses,
    /// This primary's disk is slow: it hands over to the node.
    SlowDisk,
    /// This learner is fed by the node from now on. No name: by the primary.
    Source,
    /// A state from another node has taken the place of this one's, up to this entry.
    Installed(u64),
    /// A link to a node is up.
    LinkUp,
    /// A link to a node is over; the detail says why.
    LinkDown,
    /// A node is not let in, does not let this one in or cannot be reached, or what it sends is not taken; the detail says
    /// why, and what to do.
    Refused,
    /// From this entry on writes are answered with fewer nodes than they asked for; the detail says which lack it.
    Degraded(u64),
    /// They are so no longer; so many were.
    Recovered(u64),
    /// So many things that happened went by untold, for too many happened at once.
    Missed(u64),
}

impl ClusterKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            ClusterKind::Role(_) => "cluster-role",
            ClusterKind::Primary(_) => "cluster-primary",
            ClusterKind::Members => "cluster-members",
            ClusterKind::Fenced => "cluster-fenced",
            ClusterKind::Forgetful => "cluster-forgetful",
            ClusterKind::Readmitted => "cluster-readmitted",
            ClusterKind::Differs(_) => "cluster-differs",
            ClusterKind::TwoProcesses => "cluster-two-processes",
            ClusterKind::SlowDisk => "cluster-slow-disk",
            ClusterKind::Source => "cluster-source",
            ClusterKind::Installed(_) => "cluster-installed",
            ClusterKind::LinkUp => "cluster-link-up",
            ClusterKind::LinkDown => "cluster-link-down",
            ClusterKind::Refused => "cluster-refused",
            ClusterKind::Degraded(_) => "cluster-degraded",
            ClusterKind::Recovered(_) => "cluster-recovered",
            ClusterKind::Missed(_) => "cluster-missed",
        }
    }

    pub(super) fn value(self) -> String {
        match self {
            ClusterKind::Role(role) => role.name().into(),
            ClusterKind::Primary(number)
            | ClusterKind::Differs(number)
            | ClusterKind::Installed(number)
            | ClusterKind::Degraded(number)
            | ClusterKind::Recovered(number)
            | ClusterKind::Missed(number) => number.to_string(),
            _ => String::new(),
        }
    }
}

impl Event {
    /// What is told of something that happened to the cluster; of a role, who is primary.
    pub(crate) fn of_cluster(event: ClusterEvent) -> Self {
        let (kind, node, detail) = match event {
            ClusterEvent::Role { epoch, primary, .. } => {
                (ClusterKind::Primary(epoch), primary, String::new())
            }
            ClusterEvent::Members { voters, learners } => {
                let list =
                    |names: Vec<String>| if names.is_empty() { "none".into() } else { names.join(", ") };
                let detail = format!("voters: {}; learners: {}", list(voters), list(learners));
                (ClusterKind::Members, None, detail)
            }
            ClusterEvent::Fenced { detail } => (ClusterKind::Fenced, None, format!("this node {detail}")),
            ClusterEvent::Forgetful => {
                let detail = "this node has forgotten what it promised, and votes for nobody until the others have \
                              taken it in again";
                (ClusterKind::Forgetful, None, detail.into())
            }
            ClusterEvent::Readmitted => (ClusterKind::Readmitted, None, String::new()),
            ClusterEvent::Differs { node, sequence } => {
                let detail = "it has come to another state than the others, at this entry or before";
                (ClusterKind::Differs(sequence), Some(node), detail.into())
            }
            ClusterEvent::TwoProcesses { node } => {
                let detail =
                    "two processes run as this node; stop one, or give one another name and directory";
                (ClusterKind::TwoProcesses, Some(node), detail.into())
            }
            ClusterEvent::SlowDisk { to } => {
                (ClusterKind::SlowDisk, Some(to), "the disk is slow here: hands over to it".into())
            }
            ClusterEvent::Source { node } => (ClusterKind::Source, node, String::new()),
            ClusterEvent::Installed { sequence } => (ClusterKind::Installed(sequence), None, String::new()),
            ClusterEvent::LinkUp { node } => (ClusterKind::LinkUp, Some(node), String::new()),
            ClusterEvent::LinkDown { node, detail } => (ClusterKind::LinkDown, Some(node), detail),
            ClusterEvent::Refused { node, detail } => (ClusterKind::Refused, node, detail),
            ClusterEvent::Degraded { nodes, sequence } => {
                let detail =
                    format!("not on as many nodes as asked for in time; lacking: {}", nodes.join(", "));
                (ClusterKind::Degraded(sequence), None, detail)
            }
            ClusterEvent::Recovered { writes } => (ClusterKind::Recovered(writes), None, String::new()),
            ClusterEvent::Missed { count } => (ClusterKind::Missed(count), None, String::new()),
            ClusterEvent::Damaged { file, offset, detail } => {
                let place =
                    if file.is_empty() { String::new() } else { format!("{file} at byte {offset}: ") };
                return Self::of_server(EventKind::StoreDamaged, format!("{place}{detail}"));
            }
            ClusterEvent::Mended { sequence } => {
                return Self::of_server(EventKind::StoreMended(sequence), String::new());
            }
        };
        Self { node: node.map(Into::into), ..Self::of_server(EventKind::Cluster(kind), detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_to_a_cluster_is_one_line() {
        let told = |event| Event::of_cluster(event).to_string();
        let name = || "db-2".to_owned();
        assert_eq!(
            told(ClusterEvent::Refused { node: Some(name()), detail: "why".into() }),
            "cluster-refused node=db-2 detail=\"why\""
        );
        let none = ClusterEvent::Role { role: Role::Replica, epoch: 3, primary: None };
        assert_eq!(told(none), "cluster-primary value=3");
        assert_eq!(
            told(ClusterEvent::Degraded { nodes: vec![name(), "db-3".into()], sequence: 9 }),
            "cluster-degraded value=9 detail=\"not on as many nodes as asked for in time; lacking: db-2, db-3\""
        );
        let damaged =
            ClusterEvent::Damaged { file: "00.wal".into(), offset: 7, detail: "a bit; mended".into() };
        assert_eq!(told(damaged), "store-damaged detail=\"00.wal at byte 7: a bit; mended\"");
        let damaged = ClusterEvent::Damaged { file: String::new(), offset: 0, detail: "gone".into() };
        assert_eq!(told(damaged), "store-damaged detail=\"gone\"");
    }

    #[test]
    fn json_names_the_node() {
        let told = Event::of_cluster(ClusterEvent::LinkUp { node: "db-3".into() }).to_json();
        assert_eq!(told, r#"{"event":"cluster-link-up","node":"db-3"}"#);
    }
}
