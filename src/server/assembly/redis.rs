//! Where Redis clients come in: the store's own door, and the listeners that split reads from writes.

use std::io;
use std::sync::Arc;

use socket2::Socket;

use super::descriptors::Descriptors;
use super::{Files, at, seed};
#[cfg(feature = "replication")]
use crate::balance;
use crate::driver::listening::ListeningSocket;
use crate::driver::mailbox::Sender;
use crate::driver::net;
use crate::driver::resp;
use crate::driver::resp::shared::{ClientOptions, SharedClients};
#[cfg(feature = "replication")]
use crate::driver::shared::{CHECKER, Shared, SharedPool};
#[cfg(feature = "replication")]
use crate::driver::split::pools::{Follower, StorePools, Wanted};
#[cfg(feature = "replication")]
use crate::driver::split::{self, shared::SharedSplit};
use crate::driver::worker::Message;
use crate::embedded::Store;
use crate::error::{Error, Result};
use crate::proxy::options::Bind;
use crate::server::config::Config;
#[cfg(feature = "replication")]
use crate::server::config::StoreRole;
#[cfg(feature = "replication")]
use crate::server::split::split_options;
use crate::server::store::client_options;
#[cfg(feature = "replication")]
use crate::split::lag::LagBound;
use crate::sys::fork::Moment;

const RESP_BACKLOG: u32 = 4096;

/// Who is granted clients, and who is told where those are fewer than were asked for.
pub(super) struct Share<'a> {
    pub(super) descriptors: &'a Descriptors,
    pub(super) lowered: &'a mut Vec<String>,
}

impl Share<'_> {
    fn grant(&mut self, what: &str, key: &str, options: &mut ClientOptions) -> Result<()> {
        let granted = self.descriptors.grant(what, key, options.clients_max)?;
        options.limit(granted.clients);
        self.lowered.extend(granted.lowered);
        Ok(())
    }
}

/// Where the clients of one listener come in: a socket for each worker.
struct Entrance {
    address: Bind,
    sockets: std::vec::IntoIter<Socket>,
    is_shared: bool,
    since: Moment,
}

impl Entrance {
    /// Listens there for `who`.
    fn open(bind: &Bind, who: &str, workers: usize, backlog: u32, files: &mut Files) -> Result<Self> {
        let failed = |error: io::Error| Error::io(format!("listen on {bind} for {who}"), &error);
        let since = Moment::now();
        let sockets = net::bind(bind, who, workers)?;
        files.note(bind);
        for socket in &sockets {
            net::start(socket, backlog).map_err(failed)?;
        }
        Ok(Self {
            address: net::local_bind(&sockets[0]).map_err(failed)?,
            is_shared: sockets.len() > 1 && matches!(bind, Bind::Unix(_)),
            sockets: sockets.into_iter(),
            since,
        })
    }

    /// What the next worker listens on.
    fn next(&mut self) -> Option<ListeningSocket> {
        let socket = self.sockets.next()?;
        Some(ListeningSocket { socket, is_shared: self.is_shared, is_adopted: false, since: self.since })
    }

    fn path(&self) -> Option<Arc<str>> {
        match &self.address {
            Bind::Unix(path) => Some(path.clone()),
            Bind::Inet(_) => None,
        }
    }
}

/// Where and how Redis clients are served.
pub(super) struct Resp {
    store: Store,
    pub(super) shared: Arc<SharedClients>,
    entrance: Entrance,
}

impl Resp {
    pub(super) fn address(&self) -> &Bind {
        &self.entrance.address
    }

    /// What the next worker serves them with.
    pub(super) fn parts(&mut self, sender: &Sender<Message>) -> Result<Option<resp::Parts>> {
        let Some(socket) = self.entrance.next() else { return Ok(None) };
        Ok(Some(resp::Parts {
            store: self.store.clone(),
            shared: Arc::clone(&self.shared),
            socket,
            sender: sender.clone(),
            path: self.entrance.path(),
            seed: seed()?,
        }))
    }
}

/// Binds where Redis clients are served; `None`: nowhere.
pub(super) fn clients(
    config: &Config,
    from: &crate::server::config::Store,
    store: &Store,
    workers: usize,
    files: &mut Files,
    share: &mut Share<'_>,
) -> Result<Option<Resp>> {
    let Some(bind) = &from.resp else { return Ok(None) };
    let mut options = client_options(config, from)?;
    share.grant("the store", "maxclients", &mut options)?;
    let who = at(config, "the store", from.resp_at);
    Ok(Some(Resp {
        store: store.clone(),
        shared: Arc::new(SharedClients::new("store", options, workers, seed()?)),
        entrance: Entrance::open(bind, &who, workers, RESP_BACKLOG, files)?,
    }))
}

/// Where and how one listener splits reads from writes.
#[cfg(feature = "replication")]
pub(super) struct Split {
    store: Store,
    pub(super) shared: Arc<SharedSplit>,
    entrance: Entrance,
}

#[cfg(feature = "replication")]
impl Split {
    pub(super) fn address(&self) -> &Bind {
        &self.entrance.address
    }

    /// What the next worker serves it with.
    pub(super) fn parts(&mut self, sender: &Sender<Message>) -> Result<Option<split::Parts>> {
        let Some(socket) = self.entrance.next() else { return Ok(None) };
        Ok(Some(split::Parts {
            socket,
            shared: Arc::clone(&self.shared),
            store: self.store.clone(),
            sender: sender.clone(),
            path: self.entrance.path(),
            seed: seed()?,
        }))
    }
}

/// Binds the listeners that split reads from writes.
#[cfg(feature = "replication")]
pub(super) fn splits(
    config: &Config,
    from: &crate::server::config::Store,
    store: &Store,
    own: Option<&balance::Address>,
    workers: usize,
    files: &mut Files,
    share: &mut Share<'_>,
) -> Result<Vec<Split>> {
    let mut splits = Vec::with_capacity(config.splits.len());
    for listener in &config.splits {
        let who = at(config, &format!("the listener {}", listener.name), listener.bind_at);
        let (mut clients, mut options) = split_options(config, from, listener)?;
        share.grant(&format!("the listener {}", listener.name), "maxconn", &mut clients)?;
        options.hub.clients_max = clients.hub.clients_max;
        let entrance = Entrance::open(&listener.bind, &who, workers, listener.backlog, files)?;
        let clients = SharedClients::new(&listener.name, clients, workers, seed()?);
        splits.push(Split {
            store: store.clone(),
            shared: Arc::new(SharedSplit::new(clients, options, own.cloned(), workers)),
            entrance,
        });
    }
    Ok(splits)
}

/// The pools whose backends are the store's nodes, for one of the workers.
#[cfg(feature = "replication")]
pub(super) fn store_pools(
    config: &Config,
    shared: &Shared,
    store: &Store,
    own: Option<balance::Address>,
) -> Result<Option<StorePools>> {
    let follower = |(from, pool): (&crate::server::config::Pool, &SharedPool)| {
        let members = from.store?;
        Some(Follower {
            pool: Arc::clone(&pool.pool),
            wanted: match members.role {
                StoreRole::Primary => Wanted::Primary,
                StoreRole::Replicas => Wanted::Replicas,
                StoreRole::Any => Wanted::Any,
            },
            port: members.port,
            bound: LagBound { lag_max: members.lag_max, lag_entries_max: members.lag_entries_max },
        })
    };
    let followers: Vec<Follower> = config.pools.iter().zip(&shared.pools).filter_map(follower).collect();
    if followers.is_empty() {
        return Ok(None);
    }
    StorePools::new(store, own, shared.senders[CHECKER].clone(), followers).map(Some)
}
