//! Whether a node that begins a new cluster is one of a new cluster at all: a directory that was lost looks just like one
//! that never was.
//!
//! A founder tells the others that it is there. It votes, and asks for votes, once more than half of all voters, itself among
//! them, have said that they are new too, and it has that on disk: an election needs the votes of as many, so none is held
//! before. One that first hears of an epoch behind the first has lost its directory, or came late; what it had promised is not
//! known, and it has itself taken in again as any that has forgotten something. Since nobody leaves the first epoch before more
//! than half have it on disk that they are new, there are always enough to do so.

use std::collections::BTreeSet;

use raft::eraftpb::{Message, MessageType};

use super::{Fence, Node, Standing};
use crate::replication::frame::Header;
use crate::replication::message::Body;
use crate::store::engine::Now;

/// What a founder writes down in place of the number of one that has forgotten something, which is odd.
pub(super) const FOUNDING: u64 = 2;
/// The epoch in which a cluster is written down, and in which nobody is primary.
const FIRST_EPOCH: u64 = 1;

/// What a founder has heard.
#[derive(Debug, Default)]
pub(super) struct Founding {
    /// Others that are new.
    new: BTreeSet<u64>,
    ticks: u32,
    /// Who is primary, as the last of the others said that knows.
    leader: Option<u64>,
}

impl Node {
    /// Takes in what another node's frame says of how far that is.
    pub(super) fn hear_of_founding(&mut self, header: &Header) {
        if header.leader != 0 {
            self.founding.leader = Some(header.leader);
        } else if self.raw.raft.leader_id != 0 && !self.is_primary() {
            // One that has forgotten something, or has nothing, looks for who takes it in: this header says who that is.
            let is_lost = header.forgot != 0 || (header.epoch <= FIRST_EPOCH && self.is_beyond_founding());
            if is_lost {
                self.outbox.push(header.from, Body::Ping);
            }
        }
        if self.standing != Standing::Founding {
            return;
        }
        if header.generation > 1 || header.epoch > FIRST_EPOCH {
            return self.forget();
        }
        let is_new = header.generation == 1 && header.epoch == FIRST_EPOCH && header.forgot == 0;
        if is_new && self.members.voters.contains(&header.from) {
            self.founding.new.insert(header.from);
            if self.founding.new.len() + 1 > self.members.voters.len() / 2 {
                self.standing = Standing::Active;
                self.write_membership();
            }
        }
    }

    /// Who is primary, as others say to one that has forgotten something, or has nothing yet; it may not be linked with that one.
    pub fn primary_by_hearsay(&self) -> Option<u64> {
        self.founding.leader.filter(|it| *it != self.identity.node)
    }

    /// Whether this node waits for a primary that takes it in, and hears of none.
    pub fn seeks_primary(&self) -> bool {
        let has_nothing = self.members.nodes().next().is_none();
        self.takes_part() && self.primary().is_none() && (has_nothing || self.standing != Standing::Active)
    }

    /// Asks another node, whether that is primary or not, who is.
    pub fn ask_for_primary(&mut self, node: u64) {
        self.outbox.push(node, Body::Ping);
    }

    /// Tells the others that it is there, as long as nobody has left the first epoch.
    pub(super) fn tick_founding(&mut self) {
        if self.is_beyond_founding() || !self.members.voters.contains(&self.identity.node) {
            return;
        }
        self.founding.ticks += 1;
        if self.founding.ticks >= self.options.heartbeat_ticks {
            self.founding.ticks = 0;
            let others = self.members.voters.iter().filter(|it| **it != self.identity.node);
            others.for_each(|it| self.outbox.push(*it, Body::Ping));
        }
    }

    /// Whether all that this node has is the beginning of a cluster that it wrote down itself, and the cluster is older than
    /// that: it need not have begun so, and no epoch tells.
    pub(super) fn has_doubtful_beginning(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        matches!(self.standing, Standing::Forgetful { .. })
            && log.last_index() == 1
            && self.epoch_of(1) == Some(FIRST_EPOCH)
    }

    /// Another node's beginning is in doubt: it is sent the state as a whole, in place of entries.
    pub(super) fn handle_whole(&mut self, header: &Header) {
        let raft = &self.raw.raft;
        let Some(progress) = raft.prs().get(header.from) else { return };
        if !self.is_primary() || header.forgot == 0 || progress.state == raft::ProgressState::Snapshot {
            return;
        }
        let mut message = Message { term: raft.term, from: header.from, to: raft.id, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppendResponse);
        message.reject = true;
        message.index = progress.next_idx - 1;
        message.request_snapshot = raft.raft_log.committed.max(1);
        let _ = self.raw.step(message);
        self.append_ready();
    }

    /// A primary has this node as a member, and here only this node votes ([`Fault::Stranger`]): there are two clusters of one
    /// name, as when a store that was restored was adopted in place of a member. Both would take writes that the other never
    /// gets, so this one, which is alone, takes none any more.
    ///
    /// [`Fault::Stranger`]: crate::replication::frame::Fault::Stranger
    pub fn handle_stranger(&mut self, primary: u64, now: Now) {
        self.pass(now);
        // A learner of its own leads nobody, but for one that was promoted by force, and that says so.
        if self.is_alone() && !self.members.learners.contains(&primary) {
            self.fence(Fence::TwoClusters { primary });
        }
    }

    /// Whether it is settled, and on disk, that this node may take part in elections.
    pub(super) fn may_elect(&self) -> bool {
        self.standing == Standing::Active && (self.is_beyond_founding() || self.are_members_durable())
    }

    fn is_beyond_founding(&self) -> bool {
        self.raw.raft.term > FIRST_EPOCH
    }
}
