//! [`Read`]: how fresh what a read sees is to be, and the wait for it.

use std::sync::Arc;
use std::time::Duration;

use super::{Member, ReadLevel};
use crate::driver::store::answer::{self, Done, Expected};
use crate::driver::store::calls::unexpected;
use crate::driver::store::owner::{Owner, Slot, Submitted};
use crate::driver::store::shared::{Core, Shared, deadline, now};
use crate::driver::store::{Listing, Pending, RequestOutcome, Scan, Store, listing};
use crate::error::{Error, Result};
use crate::replication::look::Look;
use crate::replication::{Bound, Denied, Position};
use crate::resp;
use crate::store::engine::{Now, Ticket};
use crate::store::index::{Answer, Found, Lease, Range, RequestId, Timestamp, View};
use crate::time::Instant;

/// How a call that reads is to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Read {
    /// How fresh what it sees is to be; `None`: the store's default.
    pub level: Option<ReadLevel>,
    /// What it has to see: where a write was, see [`Done::position`](crate::embedded::Done::position). With
    /// [`ReadLevel::Primary`] it sees all that was answered anyhow, and the position says only whether it is lost.
    pub token: Option<Position>,
    /// How long to wait for that; `None`: the store's `timeout`.
    pub timeout: Option<Duration>,
}

/// # Reads in a cluster
///
/// A read that asks for an age or a position waits here for that for half of its time, and an election's time (400 ms) at most.
/// When what is here is not as fresh by then, the primary does it, unless this node does not forward: [`Store::get_at`],
/// [`Store::range_at`] (of 8 MiB at most) and [`Store::count_at`] ask it for what they read. [`Store::view_at`] and
/// [`Store::scan_at`], which give what is here, wait on until this node has all that was answered when it was asked.
///
/// A store of one node sees all that was written whatever is asked for. The errors beside those of the other reads:
///
/// - `NotPrimary`: what is here is not as fresh as was asked by the end of the time, and the primary is another node, which was
///   not reached in time, or was not to be asked: by a node that does not forward. For [`ReadLevel::Primary`] such a node
///   tells it at once;
/// - `NoQuorum`: no primary was found in time, or it does not hold its quorum;
/// - `State`: the write that the token speaks of was lost with a primary, or the node takes no part any more;
/// - `TimedOut`.
impl Store {
    /// A copy of what `key` has.
    pub fn get_at(&self, key: &[u8], read: &Read) -> Result<Option<Found>> {
        self.note_use(key);
        self.see(
            read,
            || Some(Look::Get { key: key.to_vec() }),
            |view, time| view.get(key, time).map(|entry| entry.to_found()),
            |answer| match answer {
                Answer::Got(found) => Ok(found),
                other => Err(unexpected(&other)),
            },
        )
    }

    /// The keys of `range`, as [`Store::range`] gives them.
    pub fn range_at(
        &self,
        range: &Range<'_>,
        limit: u64,
        bytes_max: u64,
        reverse: bool,
        read: &Read,
    ) -> Result<Listing> {
        self.see(
            read,
            || {
                let (start, end) = (range.start.to_vec(), range.end.map(<[u8]>::to_vec));
                Some(Look::Range { start, end, limit, bytes_max, reverse })
            },
            |view, time| listing(view, range, limit, bytes_max, reverse, time),
            |answer| match answer {
                Answer::Range { entries, more } => Ok(Listing { entries, more }),
                other => Err(unexpected(&other)),
            },
        )
    }

    /// How many keys `range` has.
    pub fn count_at(&self, range: &Range<'_>, read: &Read) -> Result<u64> {
        self.see(
            read,
            || Some(Look::Count { start: range.start.to_vec(), end: range.end.map(<[u8]>::to_vec) }),
            |view, time| view.count(range, time),
            |answer| match answer {
                Answer::Length(count) => Ok(count),
                other => Err(unexpected(&other)),
            },
        )
    }

    /// A lease, if it is alive. It is of this node, as what [`Store::view_at`] gives.
    pub fn lease_at(&self, id: u64, read: &Read) -> Result<Option<Lease>> {
        let told = |other| Err(unexpected(&other));
        self.see(read, || None, |view, time| view.lease(id, time), told)
    }

    /// Goes through the keys of `range`, as [`Store::scan`] does.
    pub fn scan_at(&self, range: &Range<'_>, limit: u64, reverse: bool, read: &Read) -> Result<Scan> {
        let view = self.view_at(read)?;
        let time = self.time_in(&view);
        Ok(self.scan_in(view, time, range, limit, reverse))
    }

    /// All of it, for several reads that agree: what was asked for at the time of the call.
    pub fn view_at(&self, read: &Read) -> Result<Arc<View>> {
        self.wait_fresh(read, None)?;
        Ok(self.reader()?.view())
    }

    /// Begins to wait until what is here is as fresh as `read` asks, for one who waits in several goes, and reads with
    /// [`ReadLevel::Local`] once that is answered; `None` where there is nothing to wait for. A `token` is waited for alone: whether
    /// it was lost [`Store::check_position`] tells. Does not block.
    pub fn begin_fresh(&self, read: &Read) -> Result<Option<Pending>> {
        if !self.must_wait(read)? {
            return Ok(None);
        }
        let timeout = read.timeout.unwrap_or(self.inner.options.timeout);
        let submitted =
            self.shared()?.submit_read(self.level_of(read), read.token, None, deadline(timeout))?;
        Ok(Some(self.pending(submitted, Expected::Any)))
    }

    /// Whether who reads with [`ReadLevel::Local`] from now on sees what `read` asks for, as far as that can be told at a glance: on
    /// a primary that holds its quorum, where what is here is no older than was asked, and where it is that which is asked for.
    /// `false` where it may have to be waited for. Does not block.
    pub fn is_fresh(&self, read: &Read) -> Result<bool> {
        if !self.must_wait(read)? {
            return Ok(true);
        }
        let shared = self.shared()?;
        let Some(sight) = shared.sight.as_ref().filter(|_| read.token.is_none()) else { return Ok(false) };
        // A view that is taken later shows no less.
        Ok(match (sight.of(sight.standpoint()), self.level_of(read)) {
            (resp::Sight::Whole, _) => true,
            (resp::Sight::Past(Some(age)), ReadLevel::Replica { age_max }) => age <= age_max,
            _ => false,
        })
    }

    /// `State` when the write at this position was lost with a primary.
    pub fn check_position(&self, position: Position) -> Result<()> {
        let shared = self.shared()?;
        if shared.sight.is_none() { Ok(()) } else { shared.check_lost(position) }
    }

    /// Whether a read may have to wait.
    pub(in crate::driver::store) fn must_wait(&self, read: &Read) -> Result<bool> {
        let is_member = self.shared()?.sight.is_some();
        Ok(is_member && (self.level_of(read) != ReadLevel::Local || read.token.is_some()))
    }

    /// What `look` makes of a view that is as fresh as `read` asks, and of the time by which keys in it expire; or what `told`
    /// makes of what the primary finds.
    ///
    /// - `asked`: what the primary is asked to read; `None`: that is done here in any case.
    pub(in crate::driver::store) fn see<T>(
        &self,
        read: &Read,
        mut asked: impl FnMut() -> Option<Look>,
        look: impl FnOnce(&View, Timestamp) -> T,
        told: impl FnOnce(Answer) -> Result<T>,
    ) -> Result<T> {
        let mut look = Some(look);
        let shared = self.shared()?;
        if self.level_of(read) == ReadLevel::Primary
            && read.token.is_none()
            && let Some(sight) = &shared.sight
            && let Some(reign) = sight.reign()
        {
            let seen = self.inner.reader.with(|view| {
                // Behind the view: it was true when that was taken.
                if !sight.lasts(reign) {
                    return None;
                }
                look.take().map(|look| look(view, self.time_in(view)))
            });
            if let Some(seen) = seen {
                return Ok(seen);
            }
        }
        if let Some(answer) = self.wait_fresh(read, Some(&mut asked))? {
            return told(answer);
        }
        let look = look.take().expect("it was not looked");
        Ok(self.inner.reader.with(|view| look(view, self.time_in(view))))
    }

    pub(in crate::driver::store) fn level_of(&self, read: &Read) -> ReadLevel {
        read.level.unwrap_or(self.inner.read_level)
    }

    /// Waits until what is here is as fresh as `read` asks; gives what the primary has found, where that was asked.
    fn wait_fresh(
        &self,
        read: &Read,
        asked: Option<&mut dyn FnMut() -> Option<Look>>,
    ) -> Result<Option<Answer>> {
        if !self.must_wait(read)? {
            return Ok(None);
        }
        let (shared, level) = (self.shared()?, self.level_of(read));
        let timeout = read.timeout.unwrap_or(self.inner.options.timeout);
        let look = asked.filter(|_| level != ReadLevel::Primary).and_then(|asked| asked());
        let submitted = shared.submit_read(level, read.token, look, deadline(timeout))?;
        match submitted.into_answer(shared, timeout) {
            // Of what was found here it is none.
            Ok(Done { answer: Answer::Configured, .. }) => {
                read.token.map_or(Ok(()), |token| shared.check_lost(token))?;
                Ok(None)
            }
            Ok(done) => Ok(Some(done.answer)),
            Err(Error::TimedOut { .. }) => Err(Error::TimedOut { what: "read" }),
            Err(error) => Err(error),
        }
    }
}

impl Shared {
    /// What the primary remembers of a request.
    pub(in crate::driver::store) fn outcome_of(
        &self,
        request: &RequestId,
        timeout: Duration,
    ) -> Result<RequestOutcome> {
        let look = Look::Request(*request);
        let submitted = self.submit_with(|member, now| member.submit_look(look, deadline(timeout), now))?;
        match submitted.into_answer(self, timeout) {
            Ok(done) => Ok(RequestOutcome::of(done)),
            Err(Error::TimedOut { .. }) => Err(Error::TimedOut { what: "read" }),
            Err(error) => Err(error),
        }
    }

    /// `State` when what is at a position is lost with a primary.
    fn check_lost(&self, token: Position) -> Result<()> {
        let mut core = self.core.lock();
        let member = core.member()?;
        match member.is_lost(token) {
            true => Err(member.error(Denied::Lost)),
            false => Ok(()),
        }
    }

    /// Asks to read in a cluster.
    fn submit_read(
        &self,
        level: ReadLevel,
        token: Option<Position>,
        look: Option<Look>,
        deadline: Instant,
    ) -> Result<Submitted> {
        self.submit_with(|member, now| ask_to_read(member, level, token, look, deadline, now))
    }

    /// Asks to read in a cluster; `owner` is told once what is here is as fresh, or what the primary finds for `look` where it is
    /// not in time.
    pub(in crate::driver::store) fn take_read(
        &self,
        core: &mut Core,
        (level, token): (ReadLevel, Option<Position>),
        look: Option<Look>,
        deadline: Instant,
        owner: Owner,
    ) -> Result<()> {
        let now = now();
        // What the primary's freshness is asked of is read here in any case.
        let look = look.filter(|_| level != ReadLevel::Primary);
        self.take_with(core, owner, now, |member| ask_to_read(member, level, token, look, deadline, now))
    }

    /// Asks the primary what it remembers of a request; `owner` is told.
    pub(in crate::driver::store) fn take_outcome(
        &self,
        core: &mut Core,
        request: &RequestId,
        deadline: Instant,
        owner: Owner,
    ) -> Result<()> {
        let now = now();
        self.take_with(core, owner, now, |member| member.submit_look(Look::Request(*request), deadline, now))
    }

    fn take_with(
        &self,
        core: &mut Core,
        owner: Owner,
        now: Now,
        ask: impl FnOnce(&mut Member) -> Result<Ticket>,
    ) -> Result<()> {
        if core.is_ending {
            return Err(super::super::shared::closed());
        }
        let ticket = ask(core.member()?)?;
        core.owners.insert(ticket, owner);
        self.settle(core, now);
        Ok(())
    }

    /// Asks the primary for a client of Redis'; `owner` is told.
    pub(in crate::driver::store) fn take_errand(
        &self,
        core: &mut Core,
        errand: Option<&resp::Errand>,
        token: Option<resp::Position>,
        deadline: Instant,
        owner: Owner,
        now: Now,
    ) -> Result<()> {
        if core.is_ending {
            return Err(super::super::shared::closed());
        }
        let token = token.map(|resp::Position { epoch, sequence }| Position { epoch, sequence });
        let ticket = core.member()?.submit_errand(errand, token, deadline, now)?;
        core.owners.insert(ticket, owner);
        Ok(())
    }

    /// Asks a member for something.
    fn submit_with(&self, ask: impl FnOnce(&mut Member, Now) -> Result<Ticket>) -> Result<Submitted> {
        let mut core = self.core.lock();
        if core.is_ending {
            return Err(super::super::shared::closed());
        }
        let now = now();
        let ticket = ask(core.member()?, now)?;
        if let Some(result) = self.settle_for(&mut core, Some(ticket), now) {
            return answer::of(result).map(Submitted::Done);
        }
        let slot = Arc::new(Slot::default());
        core.owners.insert(ticket, Owner::Call(Arc::clone(&slot)));
        Ok(Submitted::Waits(slot))
    }
}

fn ask_to_read(
    member: &mut Member,
    level: ReadLevel,
    token: Option<Position>,
    look: Option<Look>,
    deadline: Instant,
    now: Now,
) -> Result<Ticket> {
    match level {
        ReadLevel::Primary => member.submit_read(deadline, now),
        ReadLevel::Replica { age_max } => {
            member.submit_bounded(Bound { age: Some(age_max), token }, look, deadline, now)
        }
        ReadLevel::Local => member.submit_bounded(Bound { age: None, token }, look, deadline, now),
    }
}
