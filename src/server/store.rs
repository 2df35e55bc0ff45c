//! The store of a server: from `[store]` to what is opened, and how Redis clients are served from it.

mod status;

use std::path::{Path, PathBuf};

pub(super) use self::status::found_by;
pub use self::status::{ClientsStatus, OpeningStatus, ScrubbingStatus, StoreStatus, TornStatus};
use crate::driver::resp::shared::ClientOptions;
use crate::embedded::{self, Store};
use crate::error::{Error, Problem, Result};
use crate::health::secret::Secret;
use crate::resp;
use crate::server::admin::Standing;
use crate::server::assembly::{at, read_password};
use crate::server::config::{self, Config, Position};
use crate::store::engine::Durability;
use crate::store::index::KEY_MAX;

/// Opens it. Blocks while the log is read. On a hosted server it has no threads either, unless it is a node of a cluster.
pub(super) fn open(config: &Config, from: &config::Store, is_hosted: bool) -> Result<Store> {
    let mut options = embedded::Options { is_hosted, ..from.options.clone() };
    // In a cluster it is the cluster's.
    options.engine.durability = from.durability.min(Durability::Local);
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
    options.nodes = from.nodes;
    options.forwards = cluster.forwards;
    options.client_address.clone_from(&cluster.announce);
    options.reached_at.clone_from(&cluster.reached_at);
    options.feed_from.clone_from(&cluster.feed_from);
    options.patience = cluster.patience;
    options.forward_max = cluster.forward_max;
    options.replication.clone_from(&cluster.replication);
    if cluster.joins {
        options.beginning = embedded::Beginning::Join;
    } else if cluster.adopts {
        options.beginning = embedded::Beginning::Adopt;
    }
    options
}

/// How its Redis clients are served; the password is read.
pub(super) fn client_options(config: &Config, from: &config::Store) -> Result<ClientOptions> {
    let read = |path: &PathBuf| {
        let password = read_password(config, path, from.password_at)?;
        match password.bytes() {
            [] => Err(no_password(config, path, from.password_at)),
            _ => Ok(password),
        }
    };
    let password = from.password_file.as_ref().map(read).transpose()?.or_else(|| from.password.clone());
    let connection = resp::Options {
        durability: match (from.nodes, from.durability) {
            (nodes @ 1.., _) => resp::Durability::AtLeast(nodes),
            (_, Durability::Memory) => resp::Durability::Memory,
            (_, Durability::Local) => resp::Durability::Local,
            (_, Durability::Quorum) => resp::Durability::Quorum,
            (_, Durability::All) => resp::Durability::All,
        },
        #[cfg(feature = "replication")]
        age_max: from.cluster.as_ref().and_then(|cluster| cluster.stale_max),
        output_max: usize::try_from(from.output_max).unwrap_or(usize::MAX),
        ..resp::Options::default()
    };
    let value_max = usize::try_from(from.options.engine.settings.value_max).unwrap_or(usize::MAX);
    // Whatever the values: keys and words of commands are arguments too.
    let argument_max = value_max.max(KEY_MAX);
    let limits = resp::Limits {
        argument_max,
        // One that sets such a value is whole, and so is a transaction that does.
        request_max: connection.limits.request_max.max(2 * argument_max),
        ..connection.limits
    };
    let connection = resp::Options {
        limits,
        queue_max: connection.queue_max.max(2 * argument_max),
        #[cfg(feature = "replication")]
        quorum_wait: from.cluster.as_ref().map_or(connection.quorum_wait, |cluster| cluster.patience),
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
    let notify = from.notify.clone().into_bytes();
    Ok(ClientOptions { clients_max: from.maxclients, idle: from.idle, connection, hub, notify })
}

/// As of an empty `password`.
pub(super) fn no_password(config: &Config, path: &Path, position: Position) -> Error {
    let problem = Problem {
        source: config.source.clone(),
        line: position.line,
        column: position.column,
        message: format!("password_file {} is empty, which lets everybody in", path.display()),
        hint: "write a password into it, or take password_file out".into(),
    };
    Error::Config(vec![problem])
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
            role: cluster.role.name(),
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
