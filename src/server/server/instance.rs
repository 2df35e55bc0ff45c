//! What the admin interface asks of a running server, and orders it to do.

#[cfg(feature = "store")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Inner, State, state};
#[cfg(feature = "store")]
use crate::backup;
use crate::balance::{self, BackendStatistics};
use crate::driver::event::EventKind;
use crate::error::Result;
use crate::server::admin;
#[cfg(feature = "store")]
use crate::server::backups::RecentBackups;
#[cfg(all(feature = "store", feature = "replication"))]
use crate::server::changes::{ClusterOrder, ClusterTold, FollowedChange};
use crate::server::journal::{Follower, Start};
use crate::server::statistics::{BackendStatus, PoolStatus, Status};
#[cfg(feature = "store")]
use crate::server::store;
use crate::time::Clock;

impl admin::Instance for Inner {
    fn check(&self) -> Result<()> {
        self.check_process()
    }

    fn status(&self) -> Status {
        Inner::status(self)
    }

    fn pool_names(&self) -> Vec<&str> {
        self.config.pools.iter().map(|pool| &*pool.name).collect()
    }

    fn pool(&self, name: &str) -> Option<Arc<balance::Pool>> {
        self.pool_index(name).map(|at| Arc::clone(&self.pools[at]))
    }

    fn is_of_store(&self, pool: &str) -> bool {
        self.pool_index(pool).is_some_and(|at| self.config.pools[at].store.is_some())
    }

    fn backend_status(&self, pool: &str, statistics: BackendStatistics) -> BackendStatus {
        let shared = self.life.lock().shared.clone();
        let pool = self.pool_index(pool).and_then(|at| shared.as_ref().map(|shared| &shared.pools[at]));
        BackendStatus::read(statistics, pool)
    }

    fn pool_status(&self, name: &str) -> Option<PoolStatus> {
        let at = self.pool_index(name)?;
        let shared = self.life.lock().shared.clone();
        Some(PoolStatus::read(name, &self.pools[at], shared.as_ref().map(|shared| &shared.pools[at])))
    }

    fn follow(&self, start: Start, goes_on: bool) -> Result<Follower> {
        self.journal.follow(start, goes_on)
    }

    #[cfg(feature = "store")]
    fn standing(&self) -> Result<admin::Standing> {
        store::standing(&self.store()?)
    }

    #[cfg(all(feature = "store", feature = "replication"))]
    fn cluster(&self) -> Result<ClusterTold> {
        Ok(ClusterTold::new(self.member()?.cluster()?, self.changes.recent()))
    }

    #[cfg(all(feature = "store", feature = "replication"))]
    fn change_cluster(&self, order: ClusterOrder, timeout: Option<Duration>) -> Result<u64> {
        self.changes.begin(order, timeout, self.member()?, Arc::clone(&self.journal))
    }

    #[cfg(all(feature = "store", feature = "replication"))]
    fn abort_transfer(&self) -> Result<bool> {
        self.member()?.abort_transfer()
    }

    #[cfg(all(feature = "store", feature = "replication"))]
    fn follow_change(&self, number: u64) -> Result<FollowedChange> {
        self.changes.follow(number)
    }

    #[cfg(feature = "store")]
    fn back_up(&self, to: &str, is_full: bool) -> Result<u64> {
        let store = self.store()?;
        let take = move |to: &Path, options: &backup::Options| store.backup(to, options);
        self.backups.begin(to, is_full, Arc::clone(&self.sink), take)
    }

    #[cfg(feature = "store")]
    fn recent_backups(&self) -> Result<RecentBackups> {
        self.store()?;
        Ok(self.backups.recent())
    }

    fn drain(&self, timeout: Option<Duration>) -> Result<()> {
        self.check_process()?;
        let configured = || self.config.drain();
        let timeout = timeout.unwrap_or_else(configured);
        let until = Clock.now().saturating_add(timeout);
        let shared = {
            let life = self.life.lock();
            match self.state() {
                State::New => return Err(state("is not started")),
                State::Stopped => return Ok(()),
                State::Running => self.set_state(State::Draining),
                State::Draining => {}
            }
            life.shared.clone()
        };
        self.tell(EventKind::Draining, "");
        if let Some(shared) = shared
            && !self.drains_behind_a_handover(&shared, until)
        {
            shared.order_drain(until);
        }
        Ok(())
    }

    fn stop(&self) -> Result<()> {
        self.check_process()?;
        let shared = {
            let life = self.life.lock();
            if self.state() == State::New {
                self.set_state(State::Stopped);
                drop(life);
                self.tell(EventKind::Stopped, "");
                return Ok(());
            }
            life.shared.clone()
        };
        if let Some(shared) = shared {
            shared.order_stop();
        }
        Ok(())
    }
}
