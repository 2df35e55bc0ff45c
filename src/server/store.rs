//! The store of a server: from `[store]` to what is opened, and how Redis clients are served from it.

use std::path::PathBuf;

use serde::Serialize;

use crate::driver::resp::shared::{ClientOptions, SharedClients};
use crate::embedded::{self, Store};
use crate::error::{Error, Result};
use crate::health::secret::Secret;
use crate::resp;
use crate::server::admin::Standing;
use crate::server::assembly::{at, read_password};
use crate::server::backups::BackupStatus;
use crate::server::config::{self, Config};
use crate::store::engine::Durability;
use crate::store::index::Settings;

/// Opens it. Blocks while the log is read. On a hosted server it has no threads either, unless it is a node of a cluster.
pub(super) fn open(config: &Config, from: &config::Store, is_hosted: bool) -> Result<Store> {
    let mut options = embedded::Options { is_hosted, ..embedded::Options::default() };
    // In a cluster it is the cluster's.
    options.engine.durability = from.durability.min(Durability::Local);
    options.engine.eviction = from.eviction;
    options.engine.settings = Settings { memory_max: from.memory_max, ..Settings::default() };
    options.engine.log.disk_bytes_max = from.disk_bytes_max;
    options.engine.log.kept_bytes = from.kept_bytes;
    #[cfg(feature = "replication")]
    let opened = match &from.cluster {
        Some(cluster) => {
            let options = embedded::Options { is_hosted: false, ..options };
            Store::join(&from.dir, options, member_options(from, cluster))
        }
        None => Store::open(&from.dir, options),
    };
    #[cfg(not(feature = "replication"))]
    let opened = Store::open(&from.dir, options);
    let what = || at(config, &format!("open the store in {}", from.dir.display()), from.dir_at);
    opened.map_err(|error| match error {
        // Where the configuration asks for it is of use only with what the system refused.
        Error::Io { what: step, code, detail } => {
            Error::Io { what: what(), code, detail: format!("cannot {step}: {detail}") }
        }
        other => other,
    })
}

/// How it is a member of its cluster.
#[cfg(feature = "replication")]
fn member_options(from: &config::Store, cluster: &config::Cluster) -> embedded::ClusterOptions {
    let member = |(name, member): (&crate::peer::NodeName, &config::Member)| embedded::MemberOptions {
        name: name.clone(),
        address: member.address,
        is_learner: member.is_learner,
    };
    let members = cluster.members.iter().map(member).collect();
    let mut options = embedded::ClusterOptions::new(cluster.node.clone(), members, cluster.security.clone());
    options.cluster.clone_from(&cluster.name);
    options.listen = cluster.listen;
    options.durability = from.durability;
    options.forwards = cluster.forwards;
    options.client_address.clone_from(&cluster.announce);
    options.feed_from.clone_from(&cluster.feed_from);
    options.replication.feed_timeout = cluster.feed_timeout;
    options.replication.degrade_after = cluster.degrade_after;
    if cluster.joins {
        options.beginning = embedded::Beginning::Join;
    } else if cluster.adopts {
        options.beginning = embedded::Beginning::Adopt;
    }
    options
}

/// How its Redis clients are served; the password is read.
pub(super) fn client_options(config: &Config, from: &config::Store) -> Result<ClientOptions> {
    let read = |path: &PathBuf| read_password(config, path, from.password_at);
    let password = from.password_file.as_ref().map(read).transpose()?.or_else(|| from.password.clone());
    let connection = resp::Options {
        durability: match from.durability {
            Durability::Memory => resp::Durability::Memory,
            Durability::Local => resp::Durability::Local,
            Durability::Quorum => resp::Durability::Quorum,
            Durability::All => resp::Durability::All,
        },
        #[cfg(feature = "replication")]
        age_max: from.cluster.as_ref().and_then(|cluster| cluster.stale_max),
        output_max: usize::try_from(from.output_max).unwrap_or(usize::MAX),
        ..resp::Options::default()
    };
    let connection = resp::Options {
        messages_max: connection.messages_max.min(connection.output_max),
        // Behind what is left unread there is room for an answer.
        output_pause: connection.output_pause.min(connection.output_max / 4),
        ..connection
    };
    let hub = resp::HubOptions {
        password: password.as_ref().map(|password: &Secret| password.bytes().to_vec()),
        allows_flush: from.allows_flush,
        clients_max: u64::from(from.maxclients),
        idle: from.idle,
        #[cfg(feature = "replication")]
        set: from.cluster.as_ref().map_or_else(|| "trimtab".to_owned(), |cluster| cluster.sentinel.clone()),
        ..resp::HubOptions::default()
    };
    Ok(ClientOptions { clients_max: from.maxclients, idle: from.idle, connection, hub })
}

/// How its node stands.
pub(super) fn standing(store: &Store) -> Result<Standing> {
    let status = store.status()?;
    #[cfg(feature = "replication")]
    if let Ok(cluster) = store.cluster() {
        use crate::replication::Role;
        let is_primary = cluster.lease.is_some();
        let follows = matches!(cluster.role, Role::Replica | Role::Learner);
        return Ok(Standing {
            role: crate::server::changes::role_name(cluster.role),
            is_primary,
            is_following: follows && cluster.primary.is_some(),
            age_ms: cluster.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            behind: cluster.committed.saturating_sub(cluster.applied),
            sequence: cluster.applied,
            epoch: Some(cluster.epoch),
            primary: cluster.primary_address,
        });
    }
    Ok(Standing {
        role: "primary",
        is_primary: status.failure.is_none(),
        is_following: false,
        age_ms: Some(0),
        behind: 0,
        sequence: status.applied,
        epoch: None,
        primary: None,
    })
}

/// What a store and its Redis clients come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoreStatus {
    /// The name of this node, where the configuration gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The directory.
    pub dir: String,
    /// What a write reaches before it is answered.
    pub durability: &'static str,
    /// The last entry of the log.
    pub sequence: u64,
    /// The last one on disk.
    pub durable: u64,
    /// The last one applied.
    pub applied: u64,
    /// The sequence of the last snapshot; 0: none.
    pub snapshot: u64,
    /// Keys.
    pub keys: u64,
    /// Bytes of the index.
    pub memory_bytes: u64,
    /// The most of them; 0: no limit.
    pub memory_max: u64,
    /// Bytes of segments and snapshots.
    pub disk_bytes: u64,
    /// Bytes that wait to be on disk.
    pub pending_bytes: u64,
    /// Writes to disk, each with a sync.
    pub flushes: u64,
    /// Why nothing is taken any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Why there is no room for more at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What the last snapshot failed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_error: Option<String>,
    /// How its backups stand; `None` when none was asked for since the server started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// Its Redis clients, where they are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientsStatus>,
}

/// The Redis clients of a [`StoreStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientsStatus {
    /// Where they are served.
    pub address: String,
    /// There at present.
    pub present: u32,
    /// The most at once.
    pub maxclients: u32,
    /// Taken in so far.
    pub accepted: u64,
    /// Turned away, for there were as many as may be.
    pub refused: u64,
    /// Attempts to accept that failed.
    pub accept_errors: u64,
    /// Commands done.
    pub commands: u64,
    /// Commands answered with an error.
    pub errors: u64,
    /// Cut for what they sent.
    pub protocol_errors: u64,
    /// Cut for not reading what they had asked for.
    pub slow: u64,
    /// Ended for having said nothing for too long.
    pub idle: u64,
    /// Writes made up anew, for others had changed what they had read.
    pub retries: u64,
}

impl StoreStatus {
    /// `None` once it is closed.
    pub(super) fn read(
        from: &config::Store,
        store: &Store,
        clients: Option<(&SharedClients, String)>,
        backup: Option<BackupStatus>,
    ) -> Option<Self> {
        let status = store.status().ok()?;
        let told = |error: Option<Error>| error.map(|error| error.to_string());
        Some(Self {
            node: from.node.clone(),
            dir: from.dir.display().to_string(),
            durability: from.durability.name(),
            sequence: status.sequence,
            durable: status.durable,
            applied: status.applied,
            snapshot: status.snapshot,
            keys: status.keys,
            memory_bytes: status.memory_bytes,
            memory_max: from.memory_max,
            disk_bytes: status.disk_bytes,
            pending_bytes: status.pending_bytes,
            flushes: status.counts.flushes,
            failure: told(status.failure),
            problem: told(status.problem),
            snapshot_error: told(status.snapshot_error),
            backup,
            clients: clients.map(|(shared, address)| ClientsStatus::read(shared, address)),
        })
    }
}

impl ClientsStatus {
    fn read(shared: &SharedClients, address: String) -> Self {
        Self {
            address,
            present: shared.present(),
            maxclients: shared.options.clients_max,
            accepted: shared.sum(|counters| &counters.accepted),
            refused: shared.sum(|counters| &counters.refused),
            accept_errors: shared.sum(|counters| &counters.accept_errors),
            commands: shared.sum(|counters| &counters.commands),
            errors: shared.sum(|counters| &counters.errors),
            protocol_errors: shared.sum(|counters| &counters.protocol_errors),
            slow: shared.sum(|counters| &counters.slow),
            idle: shared.sum(|counters| &counters.idle),
            retries: shared.sum(|counters| &counters.retries),
        }
    }
}
