//! [`ClusterWatch`]: tells a server's owner what happens to the cluster of its store.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::driver::event::{ClusterKind, Event, EventKind, Sink};
use crate::driver::token::Source;
use crate::driver::worker::Core;
use crate::embedded::{ClusterEvent, ClusterEvents, Store};
use crate::error::{Error, Result};
use crate::replication::Role;
use crate::time::Instant;

/// See the module. On one worker of a server, whose loop waits for what happens along with its own.
pub(super) struct ClusterWatch {
    events: ClusterEvents,
    told: Told,
}

/// How many events one turn tells.
const EVENTS_MAX: usize = 64;

impl ClusterWatch {
    /// `None`: the store is in no cluster.
    pub(super) fn new(store: &Store) -> Result<Option<Self>> {
        if !store.is_member() {
            return Ok(None);
        }
        Ok(Some(Self { events: store.cluster_events()?, told: Told::default() }))
    }

    /// Has the loop told when something happens.
    pub(super) fn begin(&self, core: &Core) -> Result<()> {
        use std::os::fd::AsFd;
        let descriptor = self.events.as_fd().as_raw_fd();
        core.register_descriptor(descriptor, Source::Cluster, mio::Interest::READABLE)
            .map_err(|error| Error::io("register the cluster's descriptor", &error))
    }

    /// Tells what has happened. When there is more than fits a turn the descriptor says so again.
    pub(super) fn handle_event(&mut self, sink: &Sink, now: Instant) {
        for _ in 0..EVENTS_MAX {
            // There is none now, or the store is closed.
            let Ok(event) = self.events.next(Duration::ZERO) else { return };
            self.told.tell(event, now, &mut |event| sink(event));
        }
    }
}

/// What was told, so that it is not told again.
#[derive(Default)]
struct Told {
    role: Option<Role>,
    /// The epoch, and who is primary in it.
    primary: Option<(u64, Option<String>)>,
    /// Who was refused and why, and when that was told.
    refused: VecDeque<(Instant, Option<String>, String)>,
}

/// For so long the same refusal is told once: a node that is refused asks again and again.
const REFUSED_AGAIN: Duration = Duration::from_secs(600);
/// So many refusals are told in that time: whoever reaches the port may make up names.
const REFUSED_MAX: usize = 64;

impl Told {
    fn tell(&mut self, event: ClusterEvent, now: Instant, sink: &mut dyn FnMut(&Event)) {
        match &event {
            ClusterEvent::Role { role, epoch, primary } => {
                if self.role.replace(*role) != Some(*role) {
                    let kind = EventKind::Cluster(ClusterKind::Role(*role));
                    sink(&Event::of_server(kind, format!("epoch {epoch}")));
                }
                let primary = Some((*epoch, primary.clone()));
                if self.primary == primary {
                    return;
                }
                self.primary = primary;
            }
            ClusterEvent::LinkUp { node } => {
                self.refused.retain(|(_, who, _)| who.as_ref() != Some(node));
            }
            ClusterEvent::Refused { node, detail } if !self.is_new(node.as_deref(), detail, now) => return,
            _ => {}
        }
        sink(&Event::of_cluster(event));
    }

    /// Whether a refusal is to be told.
    fn is_new(&mut self, node: Option<&str>, detail: &str, now: Instant) -> bool {
        while self.refused.front().is_some_and(|it| it.0.saturating_add(REFUSED_AGAIN) <= now) {
            self.refused.pop_front();
        }
        let is_known = self.refused.iter().any(|it| it.1.as_deref() == node && it.2 == detail);
        if is_known || self.refused.len() >= REFUSED_MAX {
            return false;
        }
        self.refused.push_back((now, node.map(str::to_owned), detail.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(told: &mut Told, events: Vec<ClusterEvent>, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        events.into_iter().for_each(|it| told.tell(it, now, &mut |it| lines.push(it.to_string())));
        lines
    }

    #[test]
    fn a_role_and_a_primary_are_told_when_they_change() {
        let role = |role, epoch, primary: Option<&str>| ClusterEvent::Role {
            role,
            epoch,
            primary: primary.map(str::to_owned),
        };
        let events = vec![
            role(Role::Replica, 3, Some("a")),
            role(Role::Candidate, 4, None),
            role(Role::Candidate, 4, None),
            role(Role::Replica, 4, Some("b")),
            role(Role::Primary, 5, Some("c")),
        ];
        assert_eq!(
            lines(&mut Told::default(), events, Instant::START),
            [
                "cluster-role value=replica detail=\"epoch 3\"",
                "cluster-primary node=a value=3",
                "cluster-role value=candidate detail=\"epoch 4\"",
                "cluster-primary value=4",
                "cluster-role value=replica detail=\"epoch 4\"",
                "cluster-primary node=b value=4",
                "cluster-role value=primary detail=\"epoch 5\"",
                "cluster-primary node=c value=5",
            ]
        );
    }

    #[test]
    fn the_same_refusal_is_told_once_in_a_while() {
        let refused = |node: &str, why: &str| ClusterEvent::Refused {
            node: (!node.is_empty()).then(|| node.to_owned()),
            detail: why.to_owned(),
        };
        let mut told = Told::default();
        let mut count = |event, now| lines(&mut told, vec![event], now).len();
        let begin = Instant::START;
        assert_eq!(count(refused("a", "x"), begin), 1);
        assert_eq!(count(refused("a", "x"), begin), 0);
        assert_eq!(count(refused("a", "y"), begin), 1);
        assert_eq!(count(refused("", "x"), begin), 1);
        assert_eq!(count(ClusterEvent::LinkUp { node: "a".into() }, begin), 1);
        assert_eq!(count(refused("a", "x"), begin), 1);
        let later = begin.saturating_add(REFUSED_AGAIN);
        assert_eq!(count(refused("a", "x"), later), 1);
        // Names that somebody makes up do not fill the journal.
        let told = (0..1_000).map(|at| count(refused(&format!("n{at}"), "x"), later)).sum::<usize>();
        assert_eq!(told, REFUSED_MAX - 1);
    }
}
