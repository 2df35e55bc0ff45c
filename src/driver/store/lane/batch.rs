//! [`Batch`]: what the clients of a loop ask for in one turn.

use std::time::Duration;

use super::sight::{READINGS_MAX, Seen, Sight};
use super::{Finished, Place, done_of};
use crate::driver::lock::MutexGuard;
use crate::driver::store::ground::{Caller, Source, Wanted};
use crate::driver::store::owner::Owner;
use crate::driver::store::shared::{Core, Shared};
use crate::error::Result;
use crate::resp::{self, Ahead, Durability, Keys, Leaves, Persistence, Submitted, Ticket};
use crate::store::engine::{self, Now};
use crate::store::index::evict::Uses;
use crate::store::index::{Command, State, Timestamp};

/// The writes of a turn. What it submits is seen and told when it is finished.
pub(crate) struct Batch<'a> {
    pub(super) shared: &'a Shared,
    pub(super) uses: Option<&'a Uses>,
    pub(super) sight: &'a mut Sight,
    pub(super) unnumbered: &'a mut u64,
    pub(super) lane: usize,
    pub(super) core: Option<MutexGuard<'a, Core>>,
    pub(super) now: Now,
    /// How long a write may take.
    pub(super) timeout: Duration,
    pub(super) client: u64,
    /// Whether it waits for what comes of them.
    pub(super) caller: Caller,
    pub(super) is_writing: bool,
    pub(super) may_wait: &'a mut bool,
}

impl Batch<'_> {
    /// Whose the writes are that follow, and whether it waits for what comes of them.
    pub(crate) fn of(&mut self, client: u64, caller: Caller) -> &mut Self {
        (self.client, self.caller) = (client, caller);
        self
    }

    /// Asks for a [`Finished::Sync`] once all that was written so far is on disk.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.is_writing = true;
        let place = Place { lane: self.lane, client: 0, ticket: None, trace: None, is_asked: false };
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        self.shared.take_sync(core, Owner::Lane(place))
    }

    /// Has everything taken in, and puts what is done already behind what is in `done`. Says whether something was
    /// applied, if the lane wants to know.
    pub(crate) fn finish(mut self, done: &mut Vec<Finished>) -> bool {
        let Some(mut core) = self.core.take() else { return false };
        // A lock that was taken to read only is not needed while there is a view.
        self.sight.readings = if self.is_writing { 0 } else { self.sight.readings + 1 };
        if self.sight.readings == READINGS_MAX {
            self.sight.readings = 0;
            core.ground.view();
        }
        // What is done is taken here: nobody need be woken for it.
        core.lanes.posts[self.lane].is_rung = true;
        if *self.may_wait {
            self.shared.claim_sync(&mut core);
        }
        self.shared.settle(&mut core, self.now);
        *self.may_wait &= !self.shared.sync_here(&mut core);
        let is_news = core.lanes.posts[self.lane].take(done);
        // What else has come is taken later.
        core.lanes.ring();
        drop(core);
        self.sight.view = None;
        is_news
    }
}

/// The mark of a ticket without a sequence; sequences do not come that far.
const UNNUMBERED: u64 = 1 << 63;

impl Keys for Batch<'_> {
    type Seen = Seen;

    fn view(&mut self) -> Seen {
        match &mut self.core {
            None => self.sight.view(),
            // Whoever holds the lock must not ask for a view as others do, who take it for that.
            Some(core) => self.sight.view_by(|_| core.ground.view()),
        }
    }

    fn present(&mut self) -> (Timestamp, u64) {
        (self.sight.reader.time(), self.sight.reader.value_max())
    }

    fn persistence(&mut self) -> Persistence {
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        let engine = core.engine();
        Persistence {
            is_failing: engine.failure().is_some() || engine.problem().is_some(),
            has_snapshot_failed: core.snapshot_error.is_some(),
            is_snapshotting: engine.is_snapshotting(),
            snapshotted_at: core.snapshotted_at,
            changes: engine.last_sequence().saturating_sub(engine.snapshot_sequence()),
            bytes: engine.log().disk_bytes(),
        }
    }

    fn sight(&mut self) -> resp::Sight {
        self.sight.of_view()
    }

    #[cfg(feature = "replication")]
    fn follows(&mut self) -> bool {
        self.sight.of_member.as_ref().is_some_and(|of_member| !of_member.sight.is_primary())
    }

    #[cfg(feature = "replication")]
    fn place_of(&mut self, sequence: u64) -> resp::Position {
        if self.sight.of_member.is_some() {
            let core = self.core.get_or_insert_with(|| self.shared.core.lock());
            if let Ok(member) = core.member() {
                let crate::replication::Position { epoch, sequence } = member.place_of(sequence);
                return resp::Position { epoch, sequence };
            }
        }
        resp::Position { epoch: 0, sequence }
    }

    #[cfg(feature = "replication")]
    fn has(&mut self, position: resp::Position) -> resp::Has {
        let has_all = self.view().sequence() >= position.sequence;
        if position.epoch > 0 && self.sight.of_member.is_some() {
            let resp::Position { epoch, sequence } = position;
            let core = self.core.get_or_insert_with(|| self.shared.core.lock());
            if core.member().is_ok_and(|it| it.is_lost(crate::replication::Position { epoch, sequence })) {
                return resp::Has::Lost;
            }
        }
        if has_all { resp::Has::All } else { resp::Has::NotYet }
    }

    fn look(&mut self) -> resp::Sight {
        if self.shared.is_member() {
            self.view();
            self.sight()
        } else {
            resp::Sight::Whole
        }
    }

    fn read<T>(&mut self, read: impl FnOnce(&State) -> T) -> T {
        if self.shared.is_member() {
            // What is seen in a cluster goes with what is known of the view.
            return read(&self.view());
        }
        let seen = match self.core {
            // What is there lies under the lock, and nothing need be kept of it.
            Some(_) => None,
            None => self.sight.view_if_any(),
        };
        match seen {
            Some(seen) => read(&seen),
            None => read(self.core.get_or_insert_with(|| self.shared.core.lock()).engine().state()),
        }
    }

    fn read_ahead<T>(&mut self, read: impl FnOnce(&State, &Ahead) -> T) -> T {
        // What was looked at before may be older.
        self.sight.view = None;
        #[cfg(feature = "replication")]
        self.sight.stand();
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        read(core.ground.engine().state(), &core.lanes.ahead)
    }

    fn contest(&mut self, key: &[u8], now: Timestamp) {
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        core.lanes.ahead.contest(key, now);
    }

    fn is_contested(&mut self, key: &[u8], now: Timestamp) -> bool {
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        core.lanes.ahead.is_contested(key, now)
    }

    fn is_turn(&mut self, key: &[u8], who: u64, begins: bool, now: Timestamp) -> bool {
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        core.lanes.ahead.is_turn(key, who, begins, now)
    }

    fn leave_line(&mut self, key: &[u8], who: u64) {
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        if core.lanes.ahead.leave_line(key, who) {
            // What was applied may have been told before.
            core.lanes.note_news();
        }
    }

    #[cfg(feature = "replication")]
    fn reign(&mut self) -> Option<u64> {
        self.sight.of_member.as_ref()?;
        // Held until the batch is finished, so it is the same when it comes to submitting.
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        core.member().ok()?.reign()
    }

    fn submit(
        &mut self,
        command: &Command<'_>,
        durability: Durability,
        stays: bool,
        leaves: Option<Leaves>,
    ) -> Result<Submitted> {
        let (durability, nodes) = match durability {
            Durability::Memory => (engine::Durability::Memory, 0),
            Durability::Local => (engine::Durability::Local, 0),
            Durability::Quorum => (engine::Durability::Quorum, 0),
            Durability::AtLeast(nodes) => (engine::Durability::Quorum, nodes),
            Durability::All => (engine::Durability::All, 0),
        };
        let mut ticket = Ticket(0);
        let owner = |sequence: Option<u64>| {
            ticket = Ticket(sequence.unwrap_or_else(|| {
                *self.unnumbered += 1;
                UNNUMBERED | *self.unnumbered
            }));
            // Of what has no sequence yet nobody can say which version it will be.
            let trace = leaves.as_ref().filter(|_| sequence.is_some()).map(|leaves| leaves.trace(ticket));
            Owner::Lane(Place {
                lane: self.lane,
                client: self.client,
                ticket: Some(ticket),
                trace,
                is_asked: false,
            })
        };
        self.is_writing = true;
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        let deadline = self.now.instant.saturating_add(self.timeout);
        let source = Some(Source::Client { lane: self.lane, client: self.client });
        let wanted =
            Wanted { durability: Some(durability), nodes, deadline, stays, source, caller: self.caller };
        match self.shared.take_now(core, command, &wanted, owner, self.now)? {
            None => {
                if let Some(leaves) = leaves
                    && ticket.0 & UNNUMBERED == 0
                {
                    core.lanes.ahead.put(ticket, leaves);
                }
                Ok(Submitted::UnderWay(ticket))
            }
            Some(reply) => {
                // What was looked at before lacks it.
                self.sight.view = None;
                Ok(Submitted::Done(done_of(reply)))
            }
        }
    }

    #[cfg(feature = "replication")]
    fn ask(
        &mut self,
        errand: Option<&resp::Errand>,
        position: Option<resp::Position>,
        wait: Duration,
    ) -> Option<Ticket> {
        self.sight.of_member.as_ref()?;
        *self.unnumbered += 1;
        let ticket = Ticket(UNNUMBERED | *self.unnumbered);
        let (lane, client) = (self.lane, self.client);
        let owner = Owner::Lane(Place { lane, client, ticket: Some(ticket), trace: None, is_asked: true });
        let core = self.core.get_or_insert_with(|| self.shared.core.lock());
        let deadline = self.now.instant.saturating_add(wait);
        self.shared.take_errand(core, errand, position, deadline, owner, self.now).ok()?;
        Some(ticket)
    }

    fn durable(&mut self) -> u64 {
        self.core.get_or_insert_with(|| self.shared.core.lock()).engine().durable_sequence()
    }

    #[cfg(feature = "replication")]
    fn replicas_with(&self, resp::Position { epoch, sequence }: resp::Position) -> u64 {
        let position = crate::replication::Position { epoch, sequence };
        let of = |core: &Core| core.ground.as_member().map_or(0, |member| member.replicas_with(position));
        match &self.core {
            Some(core) => of(core),
            None => of(&self.shared.core.lock()),
        }
    }

    #[cfg(not(feature = "replication"))]
    fn replicas_with(&self, _: resp::Position) -> u64 {
        0
    }

    fn note_use(&mut self, key: &[u8]) {
        if let Some(uses) = self.uses {
            uses.note(key, self.now.clock);
        }
    }
}
