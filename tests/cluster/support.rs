//! Clusters in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use trimtab::embedded::{
    Beginning, ClusterEvent, ClusterOptions, MemberOptions, Options, Read, ReadLevel, Store,
};
use trimtab::peer::Security;
use trimtab::replication::{self, Role};
use trimtab::store::{engine, log};

use crate::address::own_address;
use crate::folder::Folder;

/// How long anything may take, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const LOCAL: Read = Read { level: Some(ReadLevel::Local), token: None, timeout: None };

/// An address that nobody else has.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from((own_address(), 7400))
}

/// Folders and addresses of the nodes of a cluster, and the stores that are open.
pub(crate) struct Cluster {
    pub(crate) members: Vec<MemberOptions>,
    pub(crate) stores: Vec<Option<Store>>,
    pub(crate) tune: fn(&mut ClusterOptions),
    /// What their stores are told.
    pub(crate) options: Options,
    /// Goes last.
    pub(crate) folder: Folder,
}

/// Small segments, so that they come and go.
pub(crate) fn options() -> Options {
    let log = log::Options { segment_bytes: 256 << 10, ..log::Options::default() };
    let engine = engine::Options { snapshot_bytes: 512 << 10, log, ..engine::Options::default() };
    Options { timeout: PATIENCE, engine, ..Options::default() }
}

pub(crate) fn member(name: &str, is_learner: bool) -> MemberOptions {
    MemberOptions { name: name.parse().unwrap(), address: Some(free_address()), is_learner }
}

impl Cluster {
    /// Voters `a`, `b`, … and learners behind them, all open.
    pub(crate) fn new(voters: usize, learners: usize) -> Self {
        Self::with(voters, learners, |_| {})
    }

    pub(crate) fn with(voters: usize, learners: usize, tune: fn(&mut ClusterOptions)) -> Self {
        let mut cluster = Self::closed(voters, learners, tune);
        (0..cluster.members.len()).for_each(|at| cluster.open(at));
        cluster
    }

    /// Likewise, none of them open.
    pub(crate) fn closed(voters: usize, learners: usize, tune: fn(&mut ClusterOptions)) -> Self {
        let names = ["a", "b", "c", "d", "e"];
        let members: Vec<MemberOptions> =
            (0..voters + learners).map(|at| member(names[at], at >= voters)).collect();
        let count = members.len();
        let stores = (0..count).map(|_| None).collect();
        Self { folder: Folder::new(), members, stores, tune, options: options() }
    }

    pub(crate) fn dir(&self, at: usize) -> PathBuf {
        self.folder.path().join(self.members[at].name.as_str())
    }

    pub(crate) fn name(&self, at: usize) -> &str {
        self.members[at].name.as_str()
    }

    pub(crate) fn options_of(&self, at: usize) -> ClusterOptions {
        let mut options = ClusterOptions::new(
            self.members[at].name.clone(),
            self.members.clone(),
            Security::InsecurePlaintext,
        );
        options.replication = replication::Options { message_bytes: 16 << 10, ..options.replication };
        options.patience = PATIENCE;
        (self.tune)(&mut options);
        options
    }

    pub(crate) fn open(&mut self, at: usize) {
        let store = Store::join(self.dir(at), self.options.clone(), self.options_of(at));
        self.stores[at] = Some(store.unwrap_or_else(|error| panic!("{}: {error}", self.name(at))));
    }

    /// Adds a node to what is configured, and opens it; it is still to be added.
    pub(crate) fn open_new(&mut self, name: &str) -> usize {
        self.members.push(member(name, true));
        self.stores.push(None);
        let at = self.members.len() - 1;
        let options_here = ClusterOptions { beginning: Beginning::Join, ..self.options_of(at) };
        let store = Store::join(self.dir(at), options(), options_here);
        self.stores[at] = Some(store.unwrap_or_else(|error| panic!("{name}: {error}")));
        at
    }

    /// Drops a node without a word to the others.
    pub(crate) fn drop(&mut self, at: usize) {
        self.stores[at].take().expect("it is open");
    }

    pub(crate) fn store(&self, at: usize) -> &Store {
        self.stores[at].as_ref().expect("it is open")
    }

    pub(crate) fn open_ones(&self) -> impl Iterator<Item = (usize, &Store)> {
        self.stores.iter().enumerate().filter_map(|(at, store)| Some((at, store.as_ref()?)))
    }

    /// Waits until all that are open know one primary among them; gives it.
    pub(crate) fn primary(&self) -> usize {
        self.primary_after(0)
    }

    /// Likewise, in a later epoch than this.
    pub(crate) fn primary_after(&self, epoch_before: u64) -> usize {
        let open: Vec<usize> = self.open_ones().map(|(at, _)| at).collect();
        loop {
            let told: Vec<(u64, Option<String>)> =
                open.iter().map(|at| self.wait_for_primary(*at, epoch_before)).collect();
            let (epoch, name) = told.iter().max_by_key(|it| it.0).cloned().expect("some are open");
            let at = self.members.iter().position(|it| Some(it.name.as_str()) == name.as_deref());
            if told.iter().all(|it| it.0 == epoch)
                && let Some(at) = at.filter(|at| open.contains(at))
            {
                return at;
            }
        }
    }

    fn wait_for_primary(&self, at: usize, epoch_before: u64) -> (u64, Option<String>) {
        let store = self.store(at);
        let mut events = store.cluster_events().unwrap();
        loop {
            let status = store.cluster().unwrap();
            let is_there = status.primary.as_ref().is_some_and(|name| {
                let found = self.members.iter().position(|it| it.name.as_str() == name);
                found.is_some_and(|at| self.stores[at].is_some())
            });
            if status.epoch > epoch_before && is_there {
                return (status.epoch, status.primary);
            }
            let told = events.next(PATIENCE);
            assert!(told.is_ok(), "{} finds no primary: {status:?}", self.name(at));
        }
    }

    pub(crate) fn epoch(&self, at: usize) -> u64 {
        self.store(at).cluster().unwrap().epoch
    }

    /// One that is open and not primary.
    pub(crate) fn replica(&self) -> usize {
        let primary = self.primary();
        self.open_ones().map(|(at, _)| at).find(|at| *at != primary && !self.members[*at].is_learner).unwrap()
    }

    /// Waits until a node shows `key` with `value`, as its watcher tells.
    pub(crate) fn wait_shown(&self, at: usize, key: &[u8], value: &[u8]) {
        let store = self.store(at);
        let end = [key, &[0]].concat();
        let range = trimtab::store::index::Range { start: key, end: Some(&end) };
        let mut watcher = store.watch(&range, None).unwrap();
        while store.get_at(key, &LOCAL).unwrap().is_none_or(|found| *found.value != *value) {
            watcher.next(PATIENCE).unwrap_or_else(|error| {
                panic!("{} does not show {:?}: {error}: {:?}", self.name(at), key, store.cluster())
            });
        }
    }
}

/// Waits until a store is told that it has this role.
pub(crate) fn wait_role(store: &Store, wanted: Role) {
    let mut events = store.cluster_events().unwrap();
    while store.cluster().unwrap().role != wanted {
        events
            .find(PATIENCE, |event| matches!(event, ClusterEvent::Role { .. }).then_some(()))
            .unwrap_or_else(|error| panic!("it is not {wanted:?}: {error}: {:?}", store.cluster()));
    }
}
