//! What an engine takes, and what it refuses at once.

use smallvec::smallvec;

use super::clock::Now;
use super::durability::Durability;
use super::own::Room;
use super::pending::{Entry, What};
use super::{Completion, Done, Engine, Submitted, Sync, Ticket};
use crate::error::{Error, Result};
use crate::store::index::{
    Command, Condition, Lifetime, Malformed, Operation, Outcome, Refusal, Step, Timestamp, evict,
    forecast::growth,
};
use crate::store::log::Appended;
use crate::store::log::record::record_bytes;

impl Engine {
    /// Takes a command: it is in the log at once, and [`Engine::poll_completion`] gives its ticket back with what came
    /// of it. Its time is replaced by `now`, or by the latest time before when the clock has stepped back.
    ///
    /// - `durability`: what is to be reached before it is seen and answered; `None`: the store's default.
    ///
    /// A request that is on its way already is not taken twice: both get the same answer, at the higher of the two
    /// durabilities.
    ///
    /// # Errors
    ///
    /// Nothing was done then, and there is no ticket: `InvalidArgument` for a command that is malformed or longer than
    /// the settings or a record allow, `Unsupported` for a durability that needs replication, `Capacity` when too much
    /// waits for the disk, `disk_bytes_max` is reached, or keys are to go first (see [`Engine::is_worth_waiting`]), `Io` when the disk is full, or has failed before, `State` after [`Engine::close`].
    pub fn submit(
        &mut self,
        command: &Command<'_>,
        durability: Option<Durability>,
        now: Now,
    ) -> Result<Ticket> {
        let ticket = match self.submit_now(command, durability, now)? {
            Submitted::UnderWay(ticket) => ticket,
            Submitted::Done(done) => {
                let ticket = self.next_ticket();
                self.completions.push_back(Completion { ticket, result: Ok(done) });
                ticket
            }
        };
        Ok(ticket)
    }

    /// [`Engine::submit`] for one who takes the answer at once where there is one by now: a `memory` write that waits for
    /// nothing. Readers see it when [`Engine::poll_completion`] was called, which nobody is to be told before.
    ///
    /// # Errors
    ///
    /// As for [`Engine::submit`].
    pub fn submit_now(
        &mut self,
        command: &Command<'_>,
        durability: Option<Durability>,
        now: Now,
    ) -> Result<Submitted> {
        let result = self.try_submit(command, durability.unwrap_or(self.options.durability), now);
        match &result {
            Ok(_) => self.counts.submitted += 1,
            Err(_) => self.counts.refused += 1,
        }
        result
    }

    /// [`Engine::submit`] for a command encoded as [`Command::encode`] does.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`].
    pub fn submit_encoded(
        &mut self,
        command: &[u8],
        durability: Option<Durability>,
        now: Now,
    ) -> Result<Ticket> {
        let settings = *self.index.state().settings();
        let command = Command::decode(command, &settings).map_err(malformed)?;
        self.submit(&command, durability, now)
    }

    /// Has all that was taken so far go to disk without further waiting.
    pub fn want_flush(&mut self) {
        self.flushing.want(&self.log, self.log.last_ticket());
    }

    /// Asks to be told when all that was taken so far is on disk.
    ///
    /// # Errors
    ///
    /// `Io` when the log has stopped.
    pub fn submit_sync(&mut self) -> Result<Ticket> {
        if let Some(failure) = self.log.failure() {
            return Err(failure.clone());
        }
        let ticket = self.next_ticket();
        self.flushing.want(&self.log, self.log.last_ticket());
        let (record, sequence) = (self.log.last_ticket(), self.log.state().last.0);
        self.syncs.push_back(Sync { record, sequence, ticket });
        self.apply_ready();
        Ok(ticket)
    }

    fn try_submit(&mut self, command: &Command<'_>, durability: Durability, now: Now) -> Result<Submitted> {
        durability.check()?;
        if self.replica.is_some() {
            return Err(Error::State { what: "store", detail: "is in a cluster: propose it there".into() });
        }
        if let Some(failure) = self.log.failure() {
            return Err(failure.clone());
        }
        if let Some(request) = &command.request {
            let ticket = Ticket(self.tickets + 1);
            if let Some(record) = self.pending.join(request, durability, ticket) {
                self.tickets += 1;
                self.counts.joined += 1;
                if durability >= Durability::Local {
                    self.flushing.want(&self.log, record);
                }
                return Ok(Submitted::UnderWay(ticket));
            }
        }
        if let Some(refusal) = self.hopeless(command) {
            return Ok(Submitted::Done(self.refused(refusal)));
        }
        self.check_growth(command, 0)?;
        // Before keys go for it: what could not be read back is not taken.
        command.check(self.index.state().settings()).map_err(malformed)?;
        let bound = self.bound(command);
        let plan = match self.make_room_in_memory(command, bound, now)? {
            Room::Ample => None,
            Room::Made(plan) => Some(plan),
            Room::None { limit } => return Ok(Submitted::Done(self.refused(Refusal::MemoryFull { limit }))),
        };
        let time = self.time.at(now);
        let mut encoded = self.buffers.pop().unwrap_or_default();
        encoded.clear();
        command.encode_at(time, &mut encoded);
        let appended = match self.append(&encoded, now) {
            Ok(appended) => appended,
            Err(error) => {
                self.keep_buffer(encoded);
                return Err(error);
            }
        };
        self.time.take(now);
        self.note_uses(&command.operation, now);
        if durability >= Durability::Local {
            self.flushing.want(&self.log, appended.ticket);
        } else if self.pending.is_empty() {
            self.counts.applied += 1;
            self.is_unseen = true;
            let outcome = self
                .index
                .apply_command_at(appended.sequence.0, time, command)
                .expect("the log numbers entries one after the other");
            self.snapshots.applied(0, true);
            self.keep_buffer(encoded);
            return Ok(Submitted::Done(Done {
                outcome: Some(outcome),
                sequence: appended.sequence.0,
                durability: Durability::Memory,
            }));
        }
        let ticket = self.next_ticket();
        let entry = Entry {
            sequence: appended.sequence.0,
            record: appended.ticket,
            durability,
            what: What::Command(encoded),
            waiting: smallvec![ticket],
            request: command.request,
            bound,
        };
        self.pending.push(entry, plan);
        Ok(Submitted::UnderWay(ticket))
    }

    /// Puts an encoded command into the log.
    pub(super) fn append(&mut self, encoded: &[u8], now: Now) -> Result<Appended> {
        let appended = self.log.append(self.epoch, self.time.clock_ms(now), encoded)?;
        let bytes = record_bytes(encoded.len()) as u64;
        self.flushing.appended(&self.log, bytes, now.instant);
        self.snapshots.appended(bytes);
        Ok(appended)
    }

    /// Refuses what may make the state grow where the next snapshot may leave less of `disk_bytes_max` than the log needs, and where
    /// what is left of the log is left for what makes the state smaller. That is still taken: what is there, and how long, is known when
    /// a write is applied.
    ///
    /// - `bytes`: of what is to be appended before it.
    ///
    /// # Errors
    ///
    /// `Capacity`, and those of [`Log::check_growth`](crate::store::log::Log::check_growth).
    pub fn check_growth(&self, command: &Command<'_>, bytes: u64) -> Result<()> {
        let growth = growth(&command.operation);
        if growth == 0 {
            return Ok(());
        }
        self.check_disk_limit(bytes + growth)?;
        self.log.check_growth(bytes + growth)
    }

    /// Why a command would be refused as sure as anything, so that it need not be written down: a plain put into a full
    /// memory, when nothing is under way that may change that.
    fn hopeless(&self, command: &Command<'_>) -> Option<Refusal> {
        let state = self.index.state();
        let limit = state.settings().memory_max;
        let is_decided = limit > 0
            && self.options.eviction == evict::Eviction::Refuse
            && self.pending.is_empty()
            && command.request.is_none();
        let Operation::Step(Step::Put { key, value, condition: Condition::Always, lifetime, .. }) =
            &command.operation
        else {
            return None;
        };
        if !is_decided
            || matches!(lifetime, Lifetime::Keep | Lifetime::Lease(_))
            || value.len() as u64 > state.settings().value_max
        {
            return None;
        }
        // Something that has expired and lies there still makes room when it is taken out.
        let is_there = state.get(key, Timestamp::default()).is_some();
        let new = evict::footprint(key.len(), value.len(), matches!(lifetime, Lifetime::Until(_)));
        (!is_there && state.memory() + new > limit).then_some(Refusal::MemoryFull { limit })
    }

    fn refused(&self, refusal: Refusal) -> Done {
        let sequence = self.index.state().sequence();
        let outcome = Outcome { sequence, is_repeated: false, answer: Err(refusal) };
        Done { outcome: Some(outcome), sequence, durability: Durability::Local }
    }
}

pub(super) fn malformed(malformed: Malformed) -> Error {
    match malformed {
        Malformed::TooLarge { what: "key_max", limit } => Error::invalid(
            "command",
            format!("longer than key_max = {limit}, which is fixed; make the key shorter"),
        ),
        Malformed::TooLarge { what, limit } => {
            Error::invalid("command", format!("longer than {what} = {limit}; split it, or raise the limit"))
        }
        other => Error::invalid("command", other.to_string()),
    }
}
