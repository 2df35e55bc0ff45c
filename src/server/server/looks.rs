//! What a server shows of itself.

use std::sync::Arc;

#[cfg(feature = "store")]
use super::State;
use super::{Inner, Server, state};
use crate::balance;
#[cfg(feature = "store")]
use crate::embedded::Store;
use crate::error::{Error, Result};
use crate::proxy::options::Bind;
use crate::server::admin::{Dialogue, Instance, Reach};
#[cfg(feature = "replication")]
use crate::server::split::SplitStatus;
use crate::server::statistics::{AdminStatistics, ListenerStatistics, PoolStatus, ServerStatistics, Status};
#[cfg(feature = "store")]
use crate::server::store::StoreStatus;

impl Server {
    /// Where a listener listens, with the port that the system chose if it was asked to.
    ///
    /// Errors: `NotFound`, `State` before it is started.
    pub fn address(&self, listener: &str) -> Result<Bind> {
        self.inner.check_process()?;
        #[cfg(feature = "replication")]
        if let Some(at) = self.inner.config.splits.iter().position(|split| split.name == listener) {
            let life = self.inner.life.lock();
            return life.splits.get(at).map(|split| split.0.clone()).ok_or_else(|| state("is not started"));
        }
        let index = self.inner.listener_index(listener)?;
        let life = self.inner.life.lock();
        life.addresses.get(index).cloned().ok_or_else(|| state("is not started"))
    }

    /// Where the admin socket listens; `None` when the configuration asks for none.
    ///
    /// Errors: `State` before it is started.
    pub fn admin_address(&self) -> Result<Option<Bind>> {
        self.inner.check_process()?;
        if self.inner.config.admin.is_none() {
            return Ok(None);
        }
        let admin = self.inner.life.lock().admin.clone();
        admin.map(Some).ok_or_else(|| state("is not started"))
    }

    /// Where Redis clients are served; `None` when the configuration asks for no store, or says not where.
    ///
    /// Errors: `State` before it is started.
    #[cfg(feature = "store")]
    pub fn resp_address(&self) -> Result<Option<Bind>> {
        self.inner.check_process()?;
        if self.inner.config.store.as_ref().is_none_or(|store| store.resp.is_none()) {
            return Ok(None);
        }
        let resp = self.inner.life.lock().resp.clone();
        resp.map(Some).ok_or_else(|| state("is not started"))
    }

    /// Where balancers ask which node of the store this is; `None` when the configuration says nowhere.
    ///
    /// Errors: `State` before it is started.
    #[cfg(feature = "store")]
    pub fn health_address(&self) -> Result<Option<Bind>> {
        self.inner.check_process()?;
        if self.inner.config.store.as_ref().is_none_or(|store| store.health.is_none()) {
            return Ok(None);
        }
        let health = self.inner.life.lock().health.clone();
        health.map(Some).ok_or_else(|| state("is not started"))
    }

    /// A pool, to add, remove and change backends while the server runs, to pick from, to ask.
    pub fn pool(&self, name: &str) -> Result<Arc<balance::Pool>> {
        self.inner.check_process()?;
        let pool = Instance::pool(&*self.inner, name);
        pool.ok_or_else(|| Error::NotFound { what: "pool", value: format!("{name:?}") })
    }

    /// The admin interface for one client, for a host that gives access to it by a transport of its own: it
    /// takes the client's bytes and gives what to answer, as the admin socket does. Who may be a client is the
    /// host's to say.
    pub fn admin(&self) -> Dialogue {
        let weak = Arc::downgrade(&self.inner);
        Dialogue::new(weak, Reach::All)
    }

    /// What it counted, all listeners together.
    pub fn statistics(&self) -> Result<ServerStatistics> {
        self.inner.check_process()?;
        let shared = self.inner.life.lock().shared.clone();
        Ok(shared.map(|shared| ServerStatistics::read(&shared)).unwrap_or_default())
    }

    /// What one listener counted.
    pub fn listener_statistics(&self, name: &str) -> Result<ListenerStatistics> {
        self.inner.check_process()?;
        let index = self.inner.listener_index(name)?;
        let (shared, address) = {
            let life = self.inner.life.lock();
            (life.shared.clone(), life.addresses.get(index).cloned())
        };
        match (shared, address) {
            (Some(shared), Some(address)) => {
                Ok(ListenerStatistics::read(&shared, index, address.to_string()))
            }
            _ => Err(state("is not started")),
        }
    }

    /// The store in it, which is open from its start until its end: what is done by it and by Redis clients is done to
    /// the same keys. Only the server closes it; whatever is called of it afterwards says `State`.
    ///
    /// Errors: `NotFound` when the configuration has no `[store]`, `State` before it is started and once it has ended.
    #[cfg(feature = "store")]
    pub fn store(&self) -> Result<Store> {
        self.inner.store()
    }

    /// Reads the certificates of the links of its store's cluster anew, from the files that the configuration names: links made
    /// from now on use them. Blocks while files are read.
    ///
    /// Errors: those of [`Store::reload_certificates`](crate::embedded::Store::reload_certificates), and of
    /// [`Server::store`]; all is as before then.
    #[cfg(feature = "replication")]
    pub fn reload_certificates(&self) -> Result<()> {
        self.inner.member()?.reload_certificates()
    }

    /// Everything there is to see.
    pub fn status(&self) -> Result<Status> {
        self.inner.check_process()?;
        Ok(self.inner.status())
    }
}

impl Inner {
    pub(super) fn addresses(&self) -> String {
        let life = self.life.lock();
        let names = self.config.listeners.iter().map(|listener| &*listener.name);
        let listeners = names.zip(&life.addresses);
        #[cfg(feature = "store")]
        let listeners = listeners
            .chain(life.resp.iter().map(|bind| ("store", bind)))
            .chain(life.health.iter().map(|bind| ("health", bind)));
        #[cfg(feature = "replication")]
        let listeners = listeners
            .chain(self.config.splits.iter().zip(&life.splits).map(|(from, split)| (&*from.name, &split.0)));
        let listeners = listeners.chain(life.admin.iter().map(|bind| ("admin", bind)));
        listeners.map(|(name, bind)| format!("{name} on {bind}")).collect::<Vec<_>>().join(", ")
    }

    #[cfg(feature = "store")]
    pub(super) fn store_status(&self) -> Option<StoreStatus> {
        let (store, clients, resp) = {
            let life = self.life.lock();
            (life.store.clone()?, life.clients.clone(), life.resp.clone())
        };
        let clients = clients.as_deref().zip(resp.map(|resp| resp.to_string()));
        StoreStatus::read(self.config.store.as_ref()?, &store, clients, self.backups.status())
    }

    #[cfg(feature = "store")]
    pub(super) fn store(&self) -> Result<Store> {
        self.check_process()?;
        if self.config.store.is_none() {
            return Err(Error::NotFound { what: "store", value: "[store] in the configuration".into() });
        }
        let life = self.life.lock();
        life.store.as_ref().map(Store::lend).ok_or_else(|| match self.state() {
            State::New => state("is not started"),
            _ => state("has ended, and its store is closed"),
        })
    }

    /// The store of a configuration that has it in a cluster. Who asks a server for that is told what to write there.
    #[cfg(feature = "replication")]
    pub(super) fn member(&self) -> Result<Store> {
        let store = self.store()?;
        match self.config.store.as_ref().is_some_and(|store| store.cluster.is_some()) {
            true => Ok(store),
            false => Err(Error::State {
                what: "store",
                detail: "is in no cluster; node and peers in [store] make it a node of one, with what it has where there is \
                         adopt = true"
                    .into(),
            }),
        }
    }

    pub(super) fn status(&self) -> Status {
        let (shared, addresses, workers) = {
            let life = self.life.lock();
            (life.shared.clone(), life.addresses.clone(), life.workers)
        };
        #[cfg(feature = "store")]
        let store = self.store_status();
        #[cfg(feature = "replication")]
        let splits = {
            let life = self.life.lock();
            let splits = life.splits.iter();
            splits.map(|(bind, shared)| SplitStatus::read(shared, bind.to_string())).collect()
        };
        let pools = self.config.pools.iter().zip(&self.pools).enumerate();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            state: self.state().name(),
            pid: self.pid,
            workers,
            totals: shared.as_ref().map(|shared| ServerStatistics::read(shared)).unwrap_or_default(),
            admin: AdminStatistics::read(shared.as_deref(), &self.journal),
            #[cfg(feature = "store")]
            store,
            #[cfg(feature = "replication")]
            splits,
            listeners: match &shared {
                None => Vec::new(),
                Some(shared) => addresses
                    .iter()
                    .enumerate()
                    .map(|(index, address)| ListenerStatistics::read(shared, index, address.to_string()))
                    .collect(),
            },
            pools: pools
                .map(|(index, (from, pool))| {
                    PoolStatus::read(&from.name, pool, shared.as_ref().map(|shared| &shared.pools[index]))
                })
                .collect(),
        }
    }
}
