//! A snapshot that comes from another node: [`Incoming`], and what writes it, [`InstallJob`]. It
//! gets its name on disk when it is whole, and only then counts.
//!
//! From the offer on until it counts or is let go of, the files of its sequence are its own ([`Engine::claim_snapshot`]): neither the
//! node's own snapshot of that sequence nor one that is offered by somebody else is written to them.
//!
//! [`Engine::claim_snapshot`]: crate::store::engine::Engine::claim_snapshot

use std::collections::VecDeque;
use std::time::Duration;

use raft::eraftpb::{Message, MessageType};

use super::outgoing::HAVE_IT;
use super::{Event, Node, Standing};
use crate::error::{Error, Result};
use crate::replication::frame::{Fault, Header};
use crate::replication::membership::Membership;
use crate::replication::message::{Body, SnapshotId};
use crate::store::engine::Now;
use crate::store::index::State;
use crate::store::index::snapshot::SnapshotReader;
use crate::store::log::snapshot_format::SnapshotHeader;
use crate::store::log::{self, Disk, Epoch, File, Sequence, Written};
use crate::time::Instant;

/// How much of a snapshot is written between two syncs.
const SYNC_BYTES: usize = 4 << 20;
/// For how long no snapshot is taken from a node after one from it could not be kept here; twice as long after each further one.
const INSTALL_PAUSE: Duration = Duration::from_secs(1);
/// At the longest.
const INSTALL_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A snapshot that comes from another node.
#[derive(Debug)]
pub(super) struct Incoming {
    from: u64,
    /// In whose name it is sent.
    leader: u64,
    boot: u64,
    id: SnapshotId,
    epoch: u64,
    membership: Membership,
    /// The next piece.
    next: u64,
    written: u64,
    queue: VecDeque<(bool, Vec<u8>)>,
    /// What writes them; `None` while it is at it.
    job: Option<InstallJob>,
}

/// Pieces of a snapshot to be written, without the node: any thread may run it.
#[derive(Debug)]
pub struct InstallJob {
    header: SnapshotHeader,
    membership: Vec<u8>,
    pieces: VecDeque<(bool, Vec<u8>)>,
    count: u64,
    to: Option<log::SnapshotWriter>,
    reader: SnapshotReader,
    chunk: Vec<u8>,
    unsynced_bytes: usize,
}

/// A snapshot that came could not be kept here.
#[derive(Debug)]
pub(super) struct FailedInstall {
    /// Who sent it.
    from: u64,
    sequence: u64,
    error: Error,
    /// How many in a row.
    count: u32,
    /// None is taken from the same node before.
    retry_at: Instant,
}

impl Incoming {
    /// How many pieces are on disk.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

impl InstallJob {
    /// Writes what has come. Gives the state and its file when that was all. Blocks as long as the disk does.
    ///
    /// # Errors
    ///
    /// `Io` when the system refuses; `Corrupt` when the pieces are none of a snapshot; the job is over then, and what it
    /// wrote is taken away.
    pub fn run(&mut self, disk: &impl Disk) -> Result<Option<(Written, State)>> {
        self.write(disk).inspect_err(|_| {
            let _ = disk.remove(File::Unfinished(self.header.sequence));
        })
    }

    fn write(&mut self, disk: &impl Disk) -> Result<Option<(Written, State)>> {
        let mut to = match self.to.take() {
            Some(to) => to,
            None => {
                let mut to = log::SnapshotWriter::begin(disk, self.header)?;
                to.membership(disk, &self.membership)?;
                to
            }
        };
        let file = File::Unfinished(self.header.sequence);
        let wrong = |what: String| Error::invalid("snapshot", format!("{}: {what}", disk.name(file)));
        self.count = self.pieces.len() as u64;
        while let Some((is_last, bytes)) = self.pieces.pop_front() {
            to.data(disk, &bytes)?;
            self.unsynced_bytes += bytes.len();
            self.chunk.extend_from_slice(&bytes[1..]);
            if bytes[0] == 1 {
                self.reader.chunk(&self.chunk).map_err(|error| wrong(error.to_string()))?;
                self.chunk.clear();
            }
            if self.unsynced_bytes >= SYNC_BYTES {
                self.unsynced_bytes = 0;
                disk.sync(file)
                    .map_err(|error| Error::io(format!("write {} durably", disk.name(file)), &error))?;
            }
            if is_last {
                let state =
                    std::mem::take(&mut self.reader).finish().map_err(|error| wrong(error.to_string()))?;
                if state.sequence() != self.header.sequence.0 {
                    return Err(wrong(format!("the state in it is that at sequence {}", state.sequence())));
                }
                return to.finish(disk).map(|written| Some((written, state)));
            }
        }
        self.to = Some(to);
        Ok(None)
    }
}

impl Node {
    /// A snapshot is offered.
    pub(super) fn handle_offer(
        &mut self,
        header: &Header,
        id: SnapshotId,
        clock_ms: u64,
        membership: &[u8],
    ) -> std::result::Result<(), Fault> {
        self.check_may_lead(header)?;
        let membership = Membership::decode(membership)?;
        if !membership.nodes().any(|node| node == self.identity.node) || id.sequence == 0 || id.epoch == 0 {
            return Err(Fault::Malformed("the snapshot is none for this node"));
        }
        let (to, epoch) = (header.from, header.epoch);
        let is_of_primary = header.leader == to;
        if epoch < self.raw.raft.term || !(is_of_primary || self.is_fed_by(header)) {
            return Ok(());
        }
        if id.sequence <= self.raw.raft.raft_log.committed {
            self.outbox.push(to, Body::Want { id, next: HAVE_IT });
            return Ok(());
        }
        let is_put_off = |it: &FailedInstall| it.from == to && self.now.instant < it.retry_at;
        if self.failed_install.as_ref().is_some_and(is_put_off) {
            // It is offered again.
            return Ok(());
        }
        let is_same = |it: &Incoming| (it.from, it.boot, it.id) == (to, header.boot, id);
        if !self.incoming.as_ref().is_some_and(is_same) {
            if !self.make_way(Sequence(id.sequence)) {
                // It is offered again.
                return Ok(());
            }
            let header_here = SnapshotHeader {
                identity: self.engine.identity(),
                sequence: Sequence(id.sequence),
                epoch: Epoch(id.epoch),
                clock_ms,
            };
            let job = InstallJob {
                header: header_here,
                membership: membership.encode(),
                pieces: VecDeque::new(),
                count: 0,
                to: None,
                reader: SnapshotReader::new(),
                chunk: Vec::new(),
                unsynced_bytes: 0,
            };
            self.incoming = Some(Incoming {
                from: to,
                leader: header.leader,
                boot: header.boot,
                id,
                epoch,
                membership,
                next: 0,
                written: 0,
                queue: VecDeque::new(),
                job: Some(job),
            });
        }
        let incoming = self.incoming.as_mut().expect("it was put there");
        (incoming.epoch, incoming.leader) = (epoch, header.leader);
        if incoming.job.is_none() || !incoming.queue.is_empty() {
            // What has come would be taken for lost. What is on disk is told as soon as that is, and it is offered again.
            return Ok(());
        }
        let next = incoming.written;
        self.outbox.push(to, Body::Want { id, next });
        Ok(())
    }

    /// Lets go of the snapshot that was coming, and takes the names of the next one. `false`: somebody else writes files of these
    /// names, or they are still to be taken away.
    fn make_way(&mut self, sequence: Sequence) -> bool {
        let is_same = |it: &Incoming| it.id.sequence == sequence.0 && it.job.is_some();
        if self.incoming.take_if(|it| is_same(it)).is_some() {
            // Nobody writes them, and what is written next begins anew.
            return true;
        }
        if !self.engine.claim_snapshot(sequence) {
            return false;
        }
        if let Some(before) = self.incoming.take() {
            self.let_go(&before);
        }
        true
    }

    /// Has what was written of a snapshot taken away that is not to come any more; while it is being written, once that is over
    /// ([`Node::handle_install`]).
    fn let_go(&mut self, incoming: &Incoming) {
        if incoming.job.is_some() {
            let sequence = Sequence(incoming.id.sequence);
            self.engine.give_back_snapshot(sequence, Some(File::Unfinished(sequence)));
        }
    }

    /// Lets go of a snapshot that was coming of what has come as entries meanwhile.
    pub(super) fn drop_overtaken(&mut self) {
        let committed = self.raw.raft.raft_log.committed;
        let is_overtaken = |it: &Incoming| it.job.is_some() && it.id.sequence <= committed;
        if let Some(incoming) = self.incoming.take_if(|it| is_overtaken(it)) {
            self.let_go(&incoming);
            self.outbox.push(incoming.from, Body::Want { id: incoming.id, next: HAVE_IT });
        }
    }

    /// A piece has come. One out of order is left: it comes again.
    pub(super) fn handle_piece(
        &mut self,
        header: &Header,
        id: SnapshotId,
        number: u64,
        is_last: bool,
        bytes: Vec<u8>,
    ) {
        let most = 4 * self.options.snapshot_window as usize;
        let Some(incoming) = self.incoming.as_mut() else { return };
        let is_same = (incoming.from, incoming.boot, incoming.id) == (header.from, header.boot, id);
        if is_same && number == incoming.next && incoming.queue.len() < most {
            incoming.queue.push_back((is_last, bytes));
            incoming.next += 1;
        }
    }

    /// Pieces of a snapshot to be written. [`Node::handle_install`] is to be told how it went.
    pub fn poll_install(&mut self) -> Option<InstallJob> {
        let incoming = self.incoming.as_mut()?;
        if incoming.queue.is_empty() {
            return None;
        }
        let mut job = incoming.job.take()?;
        job.pieces.append(&mut incoming.queue);
        Some(job)
    }

    /// How it went: what [`InstallJob::run`] gave.
    pub fn handle_install(&mut self, job: InstallJob, result: Result<Option<(Written, State)>>, now: Now) {
        self.pass(now);
        let (sequence, epoch) = (job.header.sequence, job.header.epoch);
        let is_current =
            |it: &Incoming| it.id == SnapshotId { sequence: sequence.0, epoch: epoch.0 } && it.job.is_none();
        let Some(mut incoming) = self.incoming.take_if(|it| is_current(it)) else {
            // Another one was offered meanwhile.
            let file = match result {
                Ok(Some(_)) => File::Snapshot(sequence),
                _ => File::Unfinished(sequence),
            };
            return self.engine.give_back_snapshot(sequence, Some(file));
        };
        match result {
            // It is offered again, and begun anew.
            Err(error) => {
                self.engine.give_back_snapshot(sequence, None);
                self.install_failed(incoming.from, sequence.0, error);
            }
            Ok(None) => {
                incoming.written += job.count;
                let want = Body::Want { id: incoming.id, next: incoming.written };
                self.outbox.push(incoming.from, want);
                incoming.job = Some(job);
                self.incoming = Some(incoming);
                self.drop_overtaken();
            }
            Ok(Some((written, state))) => self.restore(incoming, written, state),
        }
    }

    /// What is sent in vain costs the sender as much as what counts, and its disk is no larger at once: the pauses grow.
    fn install_failed(&mut self, from: u64, sequence: u64, error: Error) {
        let count = self.failed_install.as_ref().map_or(0, |it| it.count).saturating_add(1);
        let pause = INSTALL_PAUSE.saturating_mul(1 << (count - 1).min(16)).min(INSTALL_PAUSE_MAX);
        let retry_at = self.now.instant.saturating_add(pause);
        self.events.push_back(Event::InstallFailed { from, error: error.clone() });
        self.failed_install = Some(FailedInstall { from, sequence, error, count, retry_at });
    }

    /// Why the last snapshot that came could not be kept here, while what is in it has not come in another way.
    pub fn failed_install(&self) -> Option<&Error> {
        let is_missed = |it: &&FailedInstall| it.sequence > self.engine.state().sequence();
        self.failed_install.as_ref().filter(is_missed).map(|it| &it.error)
    }

    /// A snapshot is whole, and on disk: the library decides whether it counts.
    fn restore(&mut self, incoming: Incoming, written: Written, state: State) {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgSnapshot);
        (message.from, message.to) = (incoming.leader, self.identity.node);
        let is_followed = self.raw.raft.leader_id == incoming.leader;
        message.term = if is_followed { self.raw.raft.term } else { incoming.epoch };
        let metadata = message.mut_snapshot().mut_metadata();
        (metadata.index, metadata.term) = (incoming.id.sequence, incoming.id.epoch);
        metadata.set_conf_state(incoming.membership.for_raft());
        let sequence = Sequence(incoming.id.sequence);
        self.installed = Some((written, state, incoming.membership));
        let _ = self.raw.step(message);
        self.observe();
        self.append_ready();
        // What it has was here already, or its sender is primary no more.
        let is_refused = self.installed.take().is_some();
        self.engine.give_back_snapshot(sequence, is_refused.then_some(File::Snapshot(sequence)));
    }

    /// The library has taken a snapshot.
    pub(super) fn install(&mut self, sequence: u64, epoch: u64) -> Result<()> {
        let Some((written, state, members)) = self.installed.take() else {
            return Err(Error::State {
                what: "node",
                detail: "was to install a snapshot that is not there".into(),
            });
        };
        self.overtaken(sequence);
        self.engine.install(&written, state, self.now)?;
        self.failed_install = None;
        self.members = members;
        self.raw.mut_store().restart(sequence, epoch, self.members.for_raft());
        self.kept.clear();
        self.stamps.applied(sequence);
        self.check_readmitted();
        self.write_membership();
        self.events.push_back(Event::Installed { sequence });
        self.events.push_back(Event::Members(self.members.clone()));
        Ok(())
    }

    /// Whether the others have taken this node in again.
    pub(super) fn check_readmitted(&mut self) {
        if let Standing::Forgetful { incarnation } = self.standing
            && self.members.readmitted.get(&self.identity.node) == Some(&incarnation)
        {
            self.standing = Standing::Active;
            self.events.push_back(Event::Readmitted);
        }
    }
}
