//! [`Outbox`]: what is to be sent, to each node in its order.

use std::collections::{BTreeMap, VecDeque};

use crate::replication::message::Body;

/// Messages to others. Nodes take turns, a message each, so that what a node that is behind is sent, megabytes of it, holds
/// up nobody else: writes wait for the answers of the others.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queues: BTreeMap<u64, VecDeque<Body>>,
    /// Nodes that are sent something, in the order of their turns.
    turns: VecDeque<u64>,
}

impl Outbox {
    pub(super) fn push(&mut self, to: u64, body: Body) {
        let queue = self.queues.entry(to).or_default();
        if queue.is_empty() {
            self.turns.push_back(to);
        }
        queue.push_back(body);
    }

    pub(super) fn pop(&mut self) -> Option<(u64, Body)> {
        let to = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&to)?;
        let body = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&to);
        } else {
            self.turns.push_back(to);
        }
        Some((to, body))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Keeps only these.
    pub(super) fn retain(&mut self, keep: impl Fn(&Body) -> bool) {
        self.queues.retain(|_, queue| {
            queue.retain(&keep);
            !queue.is_empty()
        });
        self.turns.retain(|to| self.queues.contains_key(to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_take_turns_and_each_has_its_order() {
        let mut outbox = Outbox::default();
        let want = |next| Body::Want { id: Default::default(), next };
        (0..3).for_each(|next| outbox.push(2, want(next)));
        outbox.push(3, Body::Ping);
        outbox.push(2, want(3));
        let mut order = Vec::new();
        while let Some((to, body)) = outbox.pop() {
            order.push(match body {
                Body::Want { next, .. } => (to, next),
                _ => (to, 9),
            });
            if order.len() == 3 {
                outbox.push(3, Body::Ping);
            }
        }
        assert_eq!(order, [(2, 0), (3, 9), (2, 1), (2, 2), (3, 9), (2, 3)]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_not_kept_leaves_nothing_behind() {
        let mut outbox = Outbox::default();
        outbox.push(2, Body::Ping);
        outbox.push(3, Body::Want { id: Default::default(), next: 1 });
        outbox.push(3, Body::Ping);
        outbox.retain(|body| matches!(body, Body::Want { .. }));
        assert!(matches!(outbox.pop(), Some((3, Body::Want { .. }))));
        assert!(outbox.pop().is_none() && outbox.is_empty());
    }
}
