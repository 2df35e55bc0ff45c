//! What a member of a cluster is told.

use std::net::SocketAddr;
use std::time::Duration;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::error::{Error, Result, within};
use crate::peer::{self, NodeName, Security};
use crate::replication::{self, NODES_MAX};
use crate::store::engine::Durability;
use crate::store::log::Identity;

/// How a store is a member of a cluster.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `cluster` | | 1 to 255 bytes | `trimtab` | nodes of another are refused; name yours where there are several |
/// | `node`, `members`, `security` | | | | no node can guess them |
/// | `listen` | | | its address in `members` | |
/// | `beginning` | | | `New` | a cluster that is there is joined by who says so |
/// | `directory` | | | `Detect` | what was put back from a copy is nearly always seen |
/// | `durability` | | | `quorum` | what was answered stays, whichever node is lost |
/// | `nodes` | nodes | 0 to 64 | 0: as `durability` says | a quorum is enough for most |
/// | `read` | | | `Primary` | a read sees all that was answered before it, on any node |
/// | `forwards` | | | yes | a store on any node takes writes |
/// | `patience` | time | 0 to 1 h | 3 s | an election takes less than one; writes wait for it |
/// | `forward_max` | calls | 1 to 2^24 | 65,536 | calls that wait for a primary, and that each other node may have here |
/// | `feed_from` | nodes | up to 8 | none | the primary feeds all; how long one may be lost is `replication.feed_timeout` |
/// | `client_address` | | up to 128 bytes | none | where other nodes send Redis clients |
/// | `reached_at` | | up to 128 bytes | `client_address` | a name is looked up by clients, not by nodes |
/// | `replication`, `links` | | see [`replication::Options`], [`peer::Options`] | | |
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The name of the cluster, the same on all its nodes.
    pub cluster: String,
    /// The name of this node. A name is used once: what was removed comes back under another.
    pub node: NodeName,
    /// Where it listens for the others; `None`: at its address in `members`, or nowhere when that has none.
    pub listen: Option<SocketAddr>,
    /// All nodes, this one too. A new cluster begins with them, and all of them are told the same; later on who is in the
    /// cluster is in its log, and these are where the others are found.
    pub members: Vec<MemberOptions>,
    /// How links are secured.
    pub security: Security,
    /// What a node does that has nothing yet.
    pub beginning: Beginning,
    /// Whether the directory is the one that the node left.
    pub directory: Directory,
    /// What a write gets that asks for nothing.
    pub durability: Durability,
    /// On how many nodes' disks such a write is to be, learners among them, beside a quorum; 0: as `durability` says. As
    /// [`Call::nodes`](crate::embedded::Call::nodes).
    pub nodes: u32,
    /// What a read gets that asks for nothing.
    pub read: ReadLevel,
    /// Whether a node that is not primary passes writes and reads of the primary on to it; otherwise they are refused with
    /// [`Error::NotPrimary`].
    pub forwards: bool,
    /// How long a call waits for a primary before it is refused with [`Error::NoQuorum`].
    pub patience: Duration,
    /// The most calls that wait for a primary or are passed on, and the most that each other node may have passed on to
    /// this one.
    pub forward_max: u32,
    /// By whom this node is fed as long as it is a learner, instead of by the primary: the best first. When none of them is
    /// up to date the primary feeds it.
    pub feed_from: Vec<NodeName>,
    /// Where clients of this node reach it, for the other nodes to tell theirs.
    pub client_address: Option<String>,
    /// Where the other nodes' servers reach it for their clients, where `client_address` is a name, which they do not look up:
    /// `ip:port`, or `unix:` and a path.
    pub reached_at: Option<String>,
    /// Consensus. Its `feed_from` is made of the names above.
    pub replication: replication::Options,
    /// Links.
    pub links: peer::Options,
}

/// A node of a cluster, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberOptions {
    /// Its name.
    pub name: NodeName,
    /// Where it listens; `None`: nowhere, so that it dials the others.
    pub address: Option<SocketAddr>,
    /// It follows without a vote.
    pub is_learner: bool,
}

/// What a node does that is in no cluster yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    /// It begins a new cluster, with all others that are told so.
    #[default]
    New,
    /// The cluster is there already: it waits to be added, or, when it is a member whose directory was lost, to be taken in
    /// again. It votes for nobody until then.
    Join,
    /// The directory has a store of one node, which becomes the first node of a new cluster, with all it has; the others are
    /// added to it ([`Store::add`](crate::embedded::Store::add)), and opened with [`Beginning::Join`]. Of no
    /// account later on.
    Adopt,
}

/// What is known of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directory {
    /// What the file system says of it: one that was copied is seen, one that a snapshot of the whole volume brought back is
    /// not.
    #[default]
    Detect,
    /// It is as the node left it, though it was moved.
    Original,
    /// It was put back from a copy: the node votes for nobody until the others have taken it in again.
    Copy,
    /// It is to be the primary, by force, with what is in it; all who voted before are out. For when they are gone for good.
    /// It must not have been copied either. To be said once.
    Promoted,
}

/// How fresh what a read sees is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadLevel {
    /// Everything that was answered at `quorum` before the read was asked for.
    #[default]
    Primary,
    /// What is here, no older than this.
    Replica {
        /// The bound.
        age_max: Duration,
    },
    /// What is here, however old.
    Local,
}

impl ClusterOptions {
    /// The defaults, and what has none.
    pub fn new(node: NodeName, members: Vec<MemberOptions>, security: Security) -> Self {
        Self {
            cluster: "trimtab".into(),
            node,
            listen: None,
            members,
            security,
            beginning: Beginning::default(),
            directory: Directory::default(),
            durability: Durability::Quorum,
            nodes: 0,
            read: ReadLevel::default(),
            forwards: true,
            patience: Duration::from_secs(3),
            forward_max: 65_536,
            feed_from: Vec::new(),
            client_address: None,
            reached_at: None,
            replication: replication::Options::default(),
            links: peer::Options::default(),
        }
    }

    /// `InvalidArgument` for the first that is out of range or cannot be.
    ///
    /// - `segment_bytes`: of the log they are for.
    pub fn check(&self, segment_bytes: u64) -> Result<()> {
        if self.cluster.is_empty() || self.cluster.len() > 255 {
            let why = format!("{} bytes, and 1 to 255 are allowed", self.cluster.len());
            return Err(Error::invalid("cluster", why));
        }
        if self.cluster.chars().any(char::is_control) {
            return Err(Error::invalid("cluster", "there are control characters in it"));
        }
        let mut numbers: Vec<(u64, &NodeName)> =
            self.members.iter().map(|it| (number_of(&it.name), &it.name)).collect();
        numbers.sort();
        if let Some(two) = numbers.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(Error::invalid("members", format!("{} and {} are one", two[0].1, two[1].1)));
        }
        within("members", self.members.len(), 1, NODES_MAX)?;
        let mut addresses: Vec<(SocketAddr, &NodeName)> =
            self.members.iter().filter_map(|it| Some((it.address?, &it.name))).collect();
        addresses.sort();
        if let Some(two) = addresses.windows(2).find(|two| two[0].0 == two[1].0) {
            let why = format!(
                "{} and {} are both at {}; give each node an address of its own",
                two[0].1, two[1].1, two[0].0
            );
            return Err(Error::invalid("members", why));
        }
        if let Some((address, name)) = addresses.iter().find(|it| it.0.port() == 0) {
            let why = format!("{name} is at {address}, where nobody would find it; choose a port, as 7400");
            return Err(Error::invalid("members", why));
        }
        if self.members.iter().all(|it| it.is_learner) {
            return Err(Error::invalid("members", "all are learners, and nobody votes"));
        }
        if self.own().is_none() {
            return Err(Error::invalid("members", format!("{} is not among them; add this node", self.node)));
        }
        if self.beginning == Beginning::Adopt && self.own().is_some_and(|it| it.is_learner) {
            let why = "a store of one node becomes the one that votes first, and this node is a learner";
            return Err(Error::invalid("beginning", why));
        }
        within("patience", self.patience, Duration::ZERO, Duration::from_secs(3_600))?;
        within("nodes", self.nodes, 0, NODES_MAX as u32)?;
        within("forward_max", self.forward_max, 1, 1 << 24)?;
        let is_wrong = |it: &String| it.len() > 128 || it.chars().any(char::is_control);
        if self.client_address.as_ref().is_some_and(is_wrong) {
            return Err(Error::invalid("client_address", "longer than 128 bytes, or has control characters"));
        }
        if self.reached_at.as_ref().is_some_and(is_wrong) {
            return Err(Error::invalid("reached_at", "longer than 128 bytes, or has control characters"));
        }
        for (at, source) in self.feed_from.iter().enumerate() {
            if *source == self.node || self.feed_from[..at].contains(source) {
                let why = format!("{source} is this node, or named twice");
                return Err(Error::invalid("feed_from", why));
            }
        }
        self.consensus().check(segment_bytes)?;
        self.links.check()
    }

    /// What the node is told of consensus.
    pub(super) fn consensus(&self) -> replication::Options {
        let feed_from = self.feed_from.iter().map(number_of).collect();
        replication::Options { feed_from, ..self.replication.clone() }
    }

    /// This node among the members.
    pub(super) fn own(&self) -> Option<&MemberOptions> {
        self.members.iter().find(|it| it.name == self.node)
    }

    /// Where it listens.
    pub(super) fn listens_at(&self) -> Option<SocketAddr> {
        self.listen.or_else(|| self.own().and_then(|it| it.address))
    }

    /// Whose the log is.
    pub(super) fn identity(&self) -> Identity {
        identity_of(&self.cluster, &self.node)
    }
}

/// What numbers and clusters are made of; on disk and on the wire, so it never changes.
const SEED: u64 = 0x7472_696d_7461_6231;

/// What a node of a cluster is known by.
pub(super) fn identity_of(cluster: &str, node: &NodeName) -> Identity {
    let cluster = xxh3_128_with_seed(cluster.as_bytes(), SEED).to_le_bytes();
    Identity { cluster, node: number_of(node) }
}

/// The number of a node: of its name, so that all nodes have the same without asking.
pub(crate) fn number_of(name: &NodeName) -> u64 {
    // Below what the consensus library counts with, and never 0.
    (xxh3_64_with_seed(name.as_str().as_bytes(), SEED) >> 8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, is_learner: bool) -> MemberOptions {
        MemberOptions { name: name.parse().unwrap(), address: None, is_learner }
    }

    fn options(node: &str, members: Vec<MemberOptions>) -> ClusterOptions {
        ClusterOptions::new(node.parse().unwrap(), members, Security::InsecurePlaintext)
    }

    #[test]
    fn numbers_and_clusters_are_frozen() {
        let identity = options("db-1", vec![member("db-1", false)]).identity();
        assert_eq!(identity.node, 0x0006_431a_fe53_d685);
        assert_eq!(identity.cluster[..4], [0x60, 0x4b, 0xc8, 0x9c]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let good = options("a", vec![member("a", false), member("b", true)]);
        assert!(good.check(64 << 20).is_ok());
        let at = |addresses: [&str; 2]| {
            let mut bad = good.clone();
            for (member, address) in bad.members.iter_mut().zip(addresses) {
                member.address = Some(address.parse().unwrap());
            }
            bad
        };
        for (bad, why) in [
            (ClusterOptions { cluster: String::new(), ..good.clone() }, "0 bytes"),
            (options("a", vec![member("b", false)]), "not among"),
            (options("a", vec![member("a", true)]), "nobody votes"),
            (options("a", vec![member("a", false), member("a", true)]), "are one"),
            (ClusterOptions { feed_from: vec!["a".parse().unwrap()], ..good.clone() }, "is this node"),
            (at(["127.0.0.1:7400", "127.0.0.1:7400"]), "a and b are both at 127.0.0.1:7400"),
            (at(["127.0.0.1:7400", "127.0.0.1:0"]), "b is at 127.0.0.1:0"),
            (ClusterOptions { forward_max: 0, ..good.clone() }, "outside"),
            (ClusterOptions { nodes: 65, ..good.clone() }, "outside"),
            (ClusterOptions { client_address: Some("a\nb".into()), ..good.clone() }, "control"),
            (ClusterOptions { reached_at: Some("a\nb".into()), ..good.clone() }, "reached_at"),
        ] {
            let told = bad.check(64 << 20).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}
