//! What must hold after each step.

use crate::balance::{Admin, Observed};
use crate::sim::relay::World;

impl World {
    /// What holds between any two steps.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let mut with_room = Vec::new();
        let all = self.live.values().filter(|live| live.address.is_some()).count() as u64;
        if self.limits.maxconn > 0 && all > self.limits.maxconn {
            return Err(format!("{all} sessions are in a pool for {}", self.limits.maxconn));
        }
        let has_pool_room = self.limits.maxconn == 0 || all < self.limits.maxconn;
        for (at, (id, address)) in self.backends.iter().enumerate() {
            let sessions =
                self.live.values().filter(|live| live.address.as_ref() == Some(address)).count() as u64;
            let counted = self.pool.backend(*id).map_err(|error| error.to_string())?.in_flight;
            if counted != sessions {
                return Err(format!("{address} has {sessions} sessions and the pool counts {counted}"));
            }
            let limit = u64::from(self.maxconns[at]);
            if has_pool_room
                && self.is_usable(at)
                && (limit == 0 || sessions < limit)
                && self.limits.has_room(at, self.now)
            {
                with_room.push(at);
            }
        }
        let waiting = self.live.values().filter(|live| live.place.is_some()).count();
        if waiting != self.queue.len() {
            return Err(format!("{waiting} sessions wait and the queue has {}", self.queue.len()));
        }
        let statistics = self.pool.statistics();
        let retrying = self.live.values().filter(|live| live.session.is_retrying()).count();
        if (waiting as u64, retrying as u32) != (statistics.pending, statistics.retries) {
            return Err(format!(
                "{waiting} wait and {retrying} try again, and the pool counts {statistics:?}"
            ));
        }
        for live in self.live.values().filter(|live| live.place.is_some()) {
            if let Some(at) = with_room.iter().find(|at| !live.tried.contains(at)) {
                return Err(format!("one of {waiting} waits although {} has room", self.backends[*at].1));
            }
        }
        Ok(())
    }

    pub(super) fn is_usable(&self, at: usize) -> bool {
        self.admins[at] == Admin::Ready && matches!(self.observed[at], Observed::Up | Observed::Unknown)
    }
}
