//! [`Read`]: how fresh what a read sees is to be, and the wait for it.

use std::sync::Arc;
use std::time::Duration;

use super::ReadLevel;
use crate::driver::store::answer;
use crate::driver::store::owner::{Owner, Slot, Submitted};
use crate::driver::store::shared::{Shared, deadline, now};
use crate::driver::store::{Listing, Scan, Store, listing};
use crate::error::{Error, Result};
use crate::replication::{Bound, Denied, Position};
use crate::store::index::{Found, Range, Timestamp, View};
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
/// A store of one node sees all that was written whatever is asked for. The errors beside those of the other reads:
///
/// - `NotPrimary`: what is here is not as fresh as was asked by the end of the time, and the primary is another node; for
///   [`ReadLevel::Primary`] it is told at once, by a node that does not forward;
/// - `NoQuorum`: no primary was found in time, or it does not hold its quorum;
/// - `State`: the write that the token speaks of was lost with a primary, or the node takes no part any more;
/// - `TimedOut`.
impl Store {
    /// A copy of what `key` has.
    pub fn get_at(&self, key: &[u8], read: &Read) -> Result<Option<Found>> {
        self.note_use(key);
        self.see(read, |view, time| view.get(key, time).map(|entry| entry.to_found()))
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
        self.see(read, |view, time| listing(view, range, limit, bytes_max, reverse, time))
    }

    /// How many keys `range` has.
    pub fn count_at(&self, range: &Range<'_>, read: &Read) -> Result<u64> {
        self.see(read, |view, time| view.count(range, time))
    }

    /// Goes through the keys of `range`, as [`Store::scan`] does.
    pub fn scan_at(&self, range: &Range<'_>, limit: u64, reverse: bool, read: &Read) -> Result<Scan> {
        let view = self.view_at(read)?;
        let time = self.time_in(&view);
        Ok(self.scan_in(view, time, range, limit, reverse))
    }

    /// All of it, for several reads that agree: what was asked for at the time of the call.
    pub fn view_at(&self, read: &Read) -> Result<Arc<View>> {
        self.wait_fresh(read)?;
        Ok(self.reader()?.view())
    }

    /// What `look` makes of a view that is as fresh as `read` asks, and of the time by which keys in it expire.
    pub(in crate::driver::store) fn see<T>(
        &self,
        read: &Read,
        look: impl FnOnce(&View, Timestamp) -> T,
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
        self.wait_fresh(read)?;
        let look = look.take().expect("it was not looked");
        Ok(self.inner.reader.with(|view| look(view, self.time_in(view))))
    }

    fn level_of(&self, read: &Read) -> ReadLevel {
        read.level.unwrap_or(self.inner.read_level)
    }

    /// Waits until what is here is as fresh as `read` asks.
    fn wait_fresh(&self, read: &Read) -> Result<()> {
        let shared = self.shared()?;
        let level = self.level_of(read);
        if shared.sight.is_none() || (level == ReadLevel::Local && read.token.is_none()) {
            return Ok(());
        }
        let timeout = read.timeout.unwrap_or(self.inner.options.timeout);
        let submitted = shared.submit_read(level, read.token, deadline(timeout))?;
        match submitted.into_answer(shared, timeout) {
            Ok(_) => match read.token.filter(|_| level == ReadLevel::Primary) {
                Some(token) => shared.check_lost(token),
                None => Ok(()),
            },
            Err(Error::TimedOut { .. }) => Err(Error::TimedOut { what: "read" }),
            Err(error) => Err(error),
        }
    }
}

impl Shared {
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
    fn submit_read(&self, level: ReadLevel, token: Option<Position>, deadline: Instant) -> Result<Submitted> {
        let mut core = self.core.lock();
        if core.is_ending {
            return Err(super::super::shared::closed());
        }
        let now = now();
        let member = core.member()?;
        let ticket = match level {
            ReadLevel::Primary => member.submit_read(deadline, now)?,
            ReadLevel::Replica { age_max } => {
                let bound = Bound { age: Some(age_max), token };
                member.submit_read_here(bound, deadline, now)?
            }
            ReadLevel::Local => member.submit_read_here(Bound { age: None, token }, deadline, now)?,
        };
        if let Some(result) = self.settle_for(&mut core, Some(ticket), now) {
            return answer::of(result).map(Submitted::Done);
        }
        let slot = Arc::new(Slot::default());
        core.owners.insert(ticket, Owner::Call(Arc::clone(&slot)));
        Ok(Submitted::Waits(slot))
    }
}
