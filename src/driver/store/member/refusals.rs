//! [`Refusals`]: who was not let in, whose frames were not taken, and why. Of each node the last reason is kept with it
//! ([`Person`](super::people::Person)); what comes again and again is told once.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;

use super::people::Order;
use super::{ClusterEvent, Member};
use crate::driver::store::shared::now;
use crate::peer::{End, NodeName, Reason, Refusal};
use crate::replication::frame::Fault;
use crate::store::engine::Now;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    frames: u64,
    peers: u64,
    last: Option<String>,
    /// Somebody says that this node was removed, in these words, and no link has come up since.
    removed: Option<String>,
    /// What was told of a node's frames since its link came up.
    told: BTreeMap<u64, Discriminant<Fault>>,
    /// What was told of nodes that a promotion by force put out. They come again and again, or are asked to.
    put_out: BTreeSet<String>,
}

/// After so many attempts in a row a second process under the name of one that is linked is told of: before that it may have
/// taken the place of the other, whose end is not noticed yet.
const DOUBLES: u32 = 3;
/// So many different refusals of nodes that were put out are told once each; then it begins anew.
const PUT_OUT_MAX: usize = 256;

impl Refusals {
    /// Frames that were not taken.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Connections that were not.
    pub(super) fn peers(&self) -> u64 {
        self.peers
    }

    /// The last of those: who, from where, why.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Why this node is let in nowhere, if it was removed.
    pub(super) fn removed(&self) -> Option<&str> {
        self.removed.as_deref()
    }

    /// A link to a node is up: what is refused from now on is told anew.
    pub(super) fn forget(&mut self, number: u64) {
        self.removed = None;
        self.told.remove(&number);
    }

    /// Whether this, of a node that was put out, has not been told.
    fn is_news(&mut self, why: &str) -> bool {
        if self.put_out.len() >= PUT_OUT_MAX {
            self.put_out.clear();
        }
        self.put_out.insert(why.to_owned())
    }
}

impl Member {
    /// Keeps the last that was wrong with a node.
    pub(super) fn troubled(&mut self, number: u64, why: String) {
        if let Some(person) = self.people.get_mut(number) {
            person.trouble = Some(why);
        }
    }

    /// Something that came from a node was not taken.
    pub(super) fn frame_refused(&mut self, from: u64, fault: &Fault) {
        if let Fault::Stranger { from } = fault {
            self.node.handle_stranger(*from, now());
        }
        self.refusals.frames += 1;
        let why = format!("what it sent was refused: {}", self.words_of(fault));
        self.troubled(from, why.clone());
        if self.refusals.told.insert(from, discriminant(fault)) != Some(discriminant(fault)) {
            self.tell(ClusterEvent::Refused { node: Some(self.people.name(from)), detail: why });
        }
    }

    /// Why a frame was not taken, with names of nodes.
    fn words_of(&self, fault: &Fault) -> String {
        match fault {
            Fault::Removed { .. } => {
                "it was removed from the cluster; add it under another name, with an empty directory".into()
            }
            Fault::OldGeneration { generation, .. } => format!(
                "it is of generation {generation}, and another was promoted since; take its directory away and add it \
                 under another name"
            ),
            Fault::Retired { .. } => {
                "it is of an earlier process of that node; if both run, give one another name and directory"
                    .into()
            }
            Fault::Stranger { .. } => {
                "it follows a primary, and by this node's log only this node votes: there are two clusters of one name. To make \
                 this node a member of the other one, take its directory away and start it with join"
                    .into()
            }
            Fault::Diverged { sequence, .. } => format!(
                "it has another entry {sequence} than the one committed here; keep this node's directory for looking \
                 into it, and add the node under another name"
            ),
            other => other.to_string(),
        }
    }

    /// A link was refused. When that is since a promotion by force put this node out, its consensus is told.
    pub(super) fn hear_of_promotion(&mut self, end: &End, now: Now) {
        if let End::Refused(Refusal { reason: Reason::OldGeneration { cluster, generation }, .. }) = end {
            self.node.handle_put_out(*cluster, *generation, now);
        }
    }

    /// A node could not be dialled. Gives what is to be told: the first of several alike, and each that asks for somebody to
    /// act.
    pub(super) fn dial_failed(
        &mut self,
        peer: &NodeName,
        address: SocketAddr,
        attempts: u32,
        end: &End,
    ) -> Option<ClusterEvent> {
        let why = match end {
            End::Io { detail, .. } => format!("it cannot be reached at {address}: {detail}"),
            end => end.to_string(),
        };
        let number = super::options::number_of(peer);
        if let End::Refused(Refusal { reason: Reason::RemovedNode, .. }) = end {
            self.refusals.removed = Some(format!("{peer}: {why}"));
        }
        self.troubled(number, why.clone());
        let is_told = match reason_of(end) {
            Some(Reason::OldGeneration { .. }) => {
                if let End::RefusedHere(_) = end {
                    self.refusals.peers += 1;
                    self.refusals.last = Some(format!("{peer}, at {}: {end}", address.ip()));
                }
                self.refusals.is_news(&why)
            }
            Some(Reason::RemovedNode) if self.people.get(number).is_none() => {
                // It was dialled to be told of a promotion, and is out for another reason, which it knows or now does.
                self.people.orders.push(Order::Remove(peer.clone()));
                true
            }
            _ => attempts == 1 || end.is_refusal(),
        };
        is_told.then(|| ClusterEvent::Refused { node: Some(peer.to_string()), detail: why })
    }

    /// Somebody who dialled this node was not let in.
    pub(super) fn caller_refused(
        &mut self,
        peer: Option<&NodeName>,
        from: Option<SocketAddr>,
        end: &End,
    ) -> Option<ClusterEvent> {
        let is_refusal = matches!(end, End::Refused(_) | End::RefusedHere(_)) || end.is_refusal();
        if !is_refusal {
            // It broke off, or said nothing: whoever looks whether a port is open does so.
            return None;
        }
        self.refusals.peers += 1;
        let who = peer.map_or("somebody who did not say who it is", NodeName::as_str);
        let place = from.map_or(String::new(), |from| format!(", from {}", from.ip()));
        self.refusals.last = Some(format!("{who}{place}: {end}"));
        let person = peer.and_then(|peer| self.people.get_mut(super::options::number_of(peer)));
        let mut is_told = end.is_refusal();
        if let Some(person) = person {
            person.trouble = Some(end.to_string());
            if !is_told {
                person.doubles += 1;
                is_told = person.doubles == DOUBLES;
            }
        }
        if let Some(Reason::OldGeneration { .. }) = reason_of(end) {
            is_told = self.refusals.is_news(&format!("{who}: {end}"));
        }
        let node = peer.map(|it| it.to_string());
        is_told.then(|| ClusterEvent::Refused { node, detail: format!("{end}{place}") })
    }
}

/// Why either side refused the other, if it did.
fn reason_of(end: &End) -> Option<Reason> {
    match end {
        End::Refused(refusal) | End::RefusedHere(refusal) => Some(refusal.reason),
        _ => None,
    }
}
