//! [`Ground`]: what a store stands on: an engine of its own, or a node of a cluster. The one place that tells them apart.

use std::io;
use std::sync::Arc;

#[cfg(all(feature = "proxy", feature = "replication"))]
use super::member::Member;
use crate::driver::log::FileDisk;
use crate::error::{Error, Result};
use crate::store::engine::{self, Durability, Engine, Now, SnapshotJob, Ticket};
use crate::store::index::{Command, Outcome, Timestamp, View};
use crate::store::log::{Disk, Flush, Upkeep, Written};
use crate::time::Instant;

/// See the module.
pub(in crate::driver) enum Ground {
    /// One node, which decides alone.
    Lone(Box<Engine>),
    /// One of several.
    #[cfg(all(feature = "proxy", feature = "replication"))]
    Member(Box<Member>),
}

/// Who has its writes done in the order in which they were asked for, without waiting for one before the next is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A connection of Redis'.
    #[cfg_attr(not(feature = "proxy"), expect(dead_code, reason = "of loops that have clients"))]
    Client { lane: usize, client: u64 },
    /// A queue, by where it lies in memory.
    Queue(usize),
}

/// Whether whoever asks for a write is there to be told what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// As far as is known.
    Waits,
    /// It has ended its half, and may have gone: what has to wait is not to be done later.
    #[cfg_attr(not(feature = "proxy"), expect(dead_code, reason = "of loops that have clients"))]
    MayHaveLeft,
    /// It has, and has waited since for longer than who listens may be thought to: nothing more of it is begun.
    #[cfg_attr(not(feature = "proxy"), expect(dead_code, reason = "of loops that have clients"))]
    HasGivenUp,
}

/// What a write asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// What is to be reached before it is answered; `None`: the store's default.
    pub(super) durability: Option<Durability>,
    /// On how many nodes' disks it is to be; 0: as the durability says.
    pub(super) nodes: u32,
    /// When nobody waits for it any more. A store of one node does not look at it.
    #[cfg_attr(
        not(all(feature = "proxy", feature = "replication")),
        expect(dead_code, reason = "of clusters")
    )]
    pub(super) deadline: Instant,
    /// It is done by this node as primary, or not at all. A store of one node does not look at it.
    #[cfg_attr(
        not(all(feature = "proxy", feature = "replication")),
        expect(dead_code, reason = "of clusters")
    )]
    pub(super) stays: bool,
    /// Whose order it is to keep; `None`: nobody's. A store of one node keeps that of all.
    #[cfg_attr(
        not(all(feature = "proxy", feature = "replication")),
        expect(dead_code, reason = "of clusters")
    )]
    pub(super) source: Option<Source>,
    /// Whether somebody waits for it. A store of one node does not look at it.
    #[cfg_attr(
        not(all(feature = "proxy", feature = "replication")),
        expect(dead_code, reason = "of clusters")
    )]
    pub(super) caller: Caller,
}

/// What was done, and what was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// What came of the command; `None` for what was none.
    pub(super) outcome: Option<Outcome>,
    pub(super) sequence: u64,
    /// The epoch it was done in; 0 on one node.
    pub(super) epoch: u64,
    pub(super) durability: Durability,
    /// On how many nodes' disks it is known to be.
    pub(super) nodes: u32,
    /// It is less than was asked for.
    pub(super) is_degraded: bool,
}

/// What [`Ground::submit_now`] gives.
pub(super) enum Submitted {
    Done(Reply),
    UnderWay(Ticket),
}

impl From<engine::Done> for Reply {
    fn from(done: engine::Done) -> Self {
        let engine::Done { outcome, sequence, durability } = done;
        let nodes = u32::from(durability > Durability::Memory);
        Self { outcome, sequence, epoch: 0, durability, nodes, is_degraded: false }
    }
}

/// Does the same on either ground, by the node's name for it and the engine's.
macro_rules! either {
    ($ground:expr, $lone:ident => $of_lone:expr, $member:ident => $of_member:expr) => {
        match $ground {
            Ground::Lone($lone) => $of_lone,
            #[cfg(all(feature = "proxy", feature = "replication"))]
            Ground::Member($member) => $of_member,
        }
    };
}

impl Ground {
    /// The engine, to be looked at.
    pub(in crate::driver) fn engine(&self) -> &Engine {
        either!(self, engine => engine, member => member.engine())
    }

    /// The last entry of the log, with those that are on their way into it.
    pub(super) fn last_taken(&self) -> u64 {
        either!(self, engine => engine.last_sequence(), member => member.last_taken())
    }

    /// Whether nobody can have been told of a sequence by this history: it lies behind the last entry there is, and behind those on
    /// their way. Numbers of writes that a crash took are given again. `false` also where that is not known: on a replica, which
    /// may be behind, and on a primary that does not hold its quorum, or has not applied what came before its reign.
    pub(super) fn is_unheard_of(&mut self, sequence: u64, now: Now) -> bool {
        let _ = now;
        let is_known = either!(self, _engine => true, member => member.node().reign(now.instant).is_some());
        is_known && sequence > self.last_taken()
    }

    /// What readers see, made for who asks while nobody has read for a while.
    pub(in crate::driver) fn view(&mut self) -> Arc<View> {
        either!(self, engine => engine.view(), member => member.node().view())
    }

    /// Takes a command. The ticket comes back with what came of it, from [`Ground::poll_reply`].
    pub(super) fn submit(&mut self, command: &Command<'_>, wanted: &Wanted, now: Now) -> Result<Ticket> {
        either!(
            self,
            engine => {
                check_nodes(wanted)?;
                engine.submit(command, wanted.durability, now)
            },
            member => member.submit(command, wanted, now)
        )
    }

    /// Likewise, with the answer if there is one at once.
    pub(super) fn submit_now(
        &mut self,
        command: &Command<'_>,
        wanted: &Wanted,
        now: Now,
    ) -> Result<Submitted> {
        either!(
            self,
            engine => {
                check_nodes(wanted)?;
                Ok(match engine.submit_now(command, wanted.durability, now)? {
                    engine::Submitted::Done(done) => Submitted::Done(done.into()),
                    engine::Submitted::UnderWay(ticket) => Submitted::UnderWay(ticket),
                })
            },
            member => member.submit(command, wanted, now).map(Submitted::UnderWay)
        )
    }

    /// Likewise, for a command that had to wait.
    pub(super) fn submit_encoded(&mut self, command: &[u8], wanted: &Wanted, now: Now) -> Result<Ticket> {
        either!(
            self,
            engine => engine.submit_encoded(command, wanted.durability, now),
            member => {
                let settings = *member.engine().state().settings();
                let command = Command::decode(command, &settings)
                    .map_err(|malformed| Error::invalid("command", malformed.to_string()))?;
                member.submit(&command, wanted, now)
            }
        )
    }

    /// Asks to be told when all that this node's log has is on its disk.
    pub(super) fn submit_sync(&mut self) -> Result<Ticket> {
        either!(self, engine => engine.submit_sync(), member => member.submit_sync())
    }

    /// The oldest answer not yet taken.
    pub(super) fn poll_reply(&mut self) -> Option<(Ticket, Result<Reply>)> {
        either!(
            self,
            engine => engine.poll_completion().map(|it| (it.ticket, it.result.map(Reply::from))),
            member => member.poll_reply()
        )
    }

    /// Does what follows from all that was told since the last time.
    pub(super) fn advance(&mut self, now: Now) {
        let _ = now;
        either!(self, _engine => {}, member => member.advance(now))
    }

    /// Whether a refused submission may be taken when what is under way is done.
    pub(super) fn is_worth_waiting(&self, error: &Error) -> bool {
        let _ = error;
        // A member has its own way to have calls wait.
        either!(self, engine => engine.is_worth_waiting(error), _member => false)
    }

    pub(super) fn want_flush(&mut self) {
        either!(self, engine => engine.want_flush(), _member => {});
    }

    pub(super) fn poll_flush(&mut self, now: Now) -> Option<Flush> {
        let _ = now;
        either!(self, engine => engine.poll_flush(), member => member.node().poll_flush(now))
    }

    pub(super) fn handle_flushed(&mut self, flush: Flush, result: io::Result<()>, now: Now, disk: &FileDisk) {
        let _ = now;
        either!(
            self,
            engine => engine.handle_flushed(flush, result, |file| disk.name(file)),
            member => member.node().handle_flushed(flush, result, now, |file| disk.name(file))
        );
    }

    pub(super) fn poll_upkeep(&mut self) -> Option<Upkeep> {
        either!(self, engine => engine.poll_upkeep(), member => member.node().poll_upkeep())
    }

    pub(super) fn handle_upkeep(&mut self, work: &Upkeep, result: io::Result<()>, now: Now, disk: &FileDisk) {
        either!(
            self,
            engine => engine.handle_upkeep(work, result, now.instant, |file| disk.name(file)),
            member => member.node().handle_upkeep(work, result, now, |file| disk.name(file))
        );
    }

    pub(super) fn poll_snapshot(&mut self, now: Now) -> Option<SnapshotJob> {
        either!(self, engine => engine.poll_snapshot(now), member => member.node().poll_snapshot(now))
    }

    pub(super) fn handle_snapshot(
        &mut self,
        job: &SnapshotJob,
        result: Result<Written>,
        now: Now,
    ) -> Result<()> {
        either!(
            self,
            engine => engine.handle_snapshot(job, result, now),
            member => member.node().handle_snapshot(job, result, now)
        )
    }

    pub(super) fn want_snapshot(&mut self) {
        either!(self, engine => engine.want_snapshot(), member => member.node().want_snapshot());
    }

    /// Something that lies on disk was found damaged; `segment`: the last that is, if it is one.
    pub(super) fn handle_damage(&mut self, segment: Option<u64>, found: &Error, now: Now) {
        let _ = found;
        either!(
            self,
            engine => engine.handle_damage(segment, now),
            member => member.handle_damage(segment, found, now)
        );
    }

    /// How often what was damaged was replaced since it was opened, and by opening.
    pub(super) fn mended(&self) -> u64 {
        either!(self, engine => engine.counts().mended, member => member.engine().counts().mended + member.mended)
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        either!(self, engine => engine.handle_timeout(now), member => member.handle_timeout(now));
    }

    pub(super) fn next_deadline(&self, now: Now) -> Option<Instant> {
        either!(self, engine => engine.next_deadline(now), member => member.next_deadline(now))
    }

    /// A snapshot to be written elsewhere.
    pub(super) fn view_job(&mut self, now: Now) -> SnapshotJob {
        either!(self, engine => engine.view_job(now), member => member.node().view_job(now))
    }

    /// Takes nothing more.
    pub(super) fn close(&mut self, now: Now) {
        either!(self, engine => engine.close(now), member => member.close(now));
    }

    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub(super) fn as_member(&self) -> Option<&Member> {
        match self {
            Ground::Lone(_) => None,
            Ground::Member(member) => Some(member),
        }
    }

    #[cfg(all(feature = "proxy", feature = "replication"))]
    pub(super) fn member(&mut self) -> Option<&mut Member> {
        match self {
            Ground::Lone(_) => None,
            Ground::Member(member) => Some(member),
        }
    }
}

fn check_nodes(wanted: &Wanted) -> Result<()> {
    match wanted.nodes {
        0 | 1 => Ok(()),
        nodes => Err(Error::Unsupported {
            what: "durability",
            detail: format!("{nodes} nodes need replication, and this store is on one node").into(),
        }),
    }
}

/// The time by which keys in `view` expire: this machine's, or the latest that a command had if that is later. In a
/// cluster only the log says what has expired, on all nodes alike.
pub(super) fn time_in(view: &View, is_member: bool, clock: Timestamp) -> Timestamp {
    if is_member { view.time() } else { clock.max(view.time()) }
}
