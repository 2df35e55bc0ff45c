//! What `[store]` would run.

use std::io::{self, Write};

use serde::Serialize;

#[cfg(feature = "replication")]
use self::cluster::{ClusterTold, print as print_cluster};
use crate::server::config::Store;
use crate::server::config::size::show as show_size;
use crate::store::index::evict::Eviction;

/// What is told as JSON.
#[derive(Serialize)]
pub(super) struct StoreTold<'a> {
    dir: String,
    node: Option<&'a str>,
    /// Where Redis clients are served.
    resp: Option<String>,
    /// Whether they have to log in.
    has_password: bool,
    maxclients: u32,
    health: Option<String>,
    durability: &'static str,
    /// On how many nodes' disks a write is beside that; 0: as `durability` says.
    nodes: u32,
    /// Bytes; 0: no limit.
    memory_max: u64,
    eviction: &'static str,
    /// Bytes; 0: no limit.
    disk_bytes_max: u64,
    #[cfg(feature = "replication")]
    cluster: Option<ClusterTold<'a>>,
}

impl<'a> StoreTold<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        let engine = &store.options.engine;
        Self {
            dir: store.dir.display().to_string(),
            node: store.node.as_deref(),
            resp: store.resp.as_ref().map(ToString::to_string),
            has_password: has_password(store),
            maxclients: store.maxclients,
            health: store.health.as_ref().map(ToString::to_string),
            durability: store.durability.name(),
            nodes: store.nodes,
            memory_max: engine.settings.memory_max,
            eviction: name_of(engine.eviction),
            disk_bytes_max: engine.log.disk_bytes_max.unwrap_or(0),
            #[cfg(feature = "replication")]
            cluster: store.cluster.as_ref().map(ClusterTold::new),
        }
    }
}

/// Lines of text.
pub(super) fn print(store: &Store, out: &mut impl Write) -> io::Result<()> {
    let engine = &store.options.engine;
    write!(out, "  store in {}", store.dir.display())?;
    if let Some(node) = &store.node {
        write!(out, ", node {node}")?;
    }
    write!(out, ", durability {}", store.durability.name())?;
    if store.nodes > 0 {
        write!(out, " and {} nodes", store.nodes)?;
    }
    if engine.settings.memory_max > 0 {
        write!(out, ", at most {} of memory", show_size(engine.settings.memory_max))?;
        match engine.eviction {
            Eviction::Refuse => {}
            eviction => write!(out, " (eviction {})", name_of(eviction))?,
        }
    }
    if let Some(most) = engine.log.disk_bytes_max {
        write!(out, ", at most {} of disk", show_size(most))?;
    }
    writeln!(out)?;
    match &store.resp {
        Some(resp) => {
            let password = if has_password(store) { "with a password" } else { "without a password" };
            writeln!(out, "  Redis clients on {resp}, {password}, at most {}", store.maxclients)?;
        }
        None => {
            write!(out, "  no Redis clients: the store has no resp")?;
            #[cfg(feature = "replication")]
            if store.cluster.as_ref().is_some_and(cluster::may_be_primary) {
                write!(
                    out,
                    "; while this node is primary, listeners of mode resp-split and pools of the primary have nobody to write to"
                )?;
            }
            writeln!(out)?;
        }
    }
    if let Some(health) = &store.health {
        writeln!(out, "  health on {health}")?;
    }
    #[cfg(feature = "replication")]
    if let Some(cluster) = &store.cluster {
        print_cluster(cluster, out)?;
    }
    Ok(())
}

fn has_password(store: &Store) -> bool {
    store.password.is_some() || store.password_file.is_some()
}

fn name_of(eviction: Eviction) -> &'static str {
    Eviction::NAMES.iter().find(|(_, it)| *it == eviction).map_or("", |(name, _)| name)
}

#[cfg(feature = "replication")]
mod cluster {
    use std::io::{self, Write};

    use serde::Serialize;

    use crate::peer::{NodeName, Security};
    use crate::server::config::{Cluster, Member};

    #[derive(Serialize)]
    pub(super) struct ClusterTold<'a> {
        name: &'a str,
        /// `new`, `join` or `adopt`: how a node begins that is in no cluster yet.
        beginning: &'static str,
        listen: Option<String>,
        links: &'static str,
        members: Vec<MemberTold<'a>>,
        feed_from: Vec<&'a str>,
        forward: bool,
        /// 0: as old as it likes.
        stale_max_ms: u128,
        announce: Option<&'a str>,
        sentinel: &'a str,
    }

    #[derive(Serialize)]
    struct MemberTold<'a> {
        name: &'a str,
        address: Option<String>,
        is_learner: bool,
    }

    impl<'a> ClusterTold<'a> {
        pub(super) fn new(cluster: &'a Cluster) -> Self {
            let member = |(name, member): (&'a NodeName, &Member)| MemberTold {
                name: name.as_str(),
                address: member.address.map(|address| address.to_string()),
                is_learner: member.is_learner,
            };
            Self {
                name: &cluster.name,
                beginning: match (cluster.joins, cluster.adopts) {
                    (true, _) => "join",
                    (_, true) => "adopt",
                    _ => "new",
                },
                listen: cluster.listen.map(|address| address.to_string()),
                links: links(cluster),
                members: cluster.members.iter().map(member).collect(),
                feed_from: cluster.feed_from.iter().map(NodeName::as_str).collect(),
                forward: cluster.forwards,
                stale_max_ms: cluster.stale_max.map_or(0, |most| most.as_millis()),
                announce: cluster.announce.as_deref(),
                sentinel: &cluster.sentinel,
            }
        }
    }

    /// Whether this node has a vote.
    pub(super) fn may_be_primary(cluster: &Cluster) -> bool {
        !cluster.members.get(&cluster.node).is_some_and(|own| own.is_learner)
    }

    pub(in crate::cli::check) fn print(cluster: &Cluster, out: &mut impl Write) -> io::Result<()> {
        let what = if may_be_primary(cluster) { "voter" } else { "learner" };
        write!(out, "  {what} {} of the cluster {}", cluster.node, cluster.name)?;
        match cluster.listen {
            Some(address) => write!(out, " on {address}")?,
            None => write!(out, ", which dials the others")?,
        }
        let others = cluster.members.iter().filter(|(name, _)| **name != cluster.node);
        let others = others.map(|(name, member)| match (member.address, member.is_learner) {
            (Some(address), false) => format!("{name} ({address})"),
            (Some(address), true) => format!("{name} ({address}, a learner)"),
            (None, _) => format!("{name} (a learner, which dials)"),
        });
        let others: Vec<String> = others.collect();
        match others.is_empty() {
            true => write!(out, ", alone")?,
            false => write!(out, ", by {} with {}", links(cluster), others.join(", "))?,
        }
        if !cluster.feed_from.is_empty() {
            let sources: Vec<&str> = cluster.feed_from.iter().map(NodeName::as_str).collect();
            write!(out, ", fed from {} while it is a learner", sources.join(" or "))?;
        }
        if cluster.joins {
            write!(out, "; with an empty directory it waits to be added")?;
        }
        if cluster.adopts {
            write!(out, "; the store in the directory becomes the first node")?;
        }
        writeln!(out)
    }

    fn links(cluster: &Cluster) -> &'static str {
        match cluster.security {
            Security::Tls { .. } => "TLS",
            Security::InsecurePlaintext | Security::InsecurePlaintextAnywhere => "plaintext",
        }
    }
}
