//! The cluster of `[store]`: `node`, `listen`, `peers`, `learners`, `peer_tls`.
//!
//! | key | what | default |
//! |---|---|---|
//! | `node` | this node's name, one of `peers` or `learners` | required |
//! | `peers` | names of nodes and where they listen, the same on all nodes | required |
//! | `learners` | nodes without a vote; one that is not in `peers` has no address, and dials | none |
//! | `listen` | where this node listens | its address in `peers` |
//! | `cluster` | the cluster's name; nodes of another are refused | `"trimtab"` |
//! | `join` | whether the cluster is there already: a node with an empty directory waits to be added | `false` |
//! | `adopt` | whether the store of one node in `dir` becomes the first of a new cluster | `false` |
//! | `forward` | whether a node that is not primary passes writes on | `true` |
//! | `degrade_after` | after how long a write is answered though fewer nodes have it than were asked for | never |
//! | `feed_from` | who feeds this node as long as it is a learner, instead of the primary; the best first | none |
//! | `feed_timeout` | after how long without anything new from there the primary feeds it again | 2 s |
//! | `stale_max` | how old what a replica tells Redis clients may be | 10 s |
//! | `announce` | where Redis clients reach this node | `resp`; for all addresses of the machine, that in `peers` with its port |
//! | `sentinel` | what Sentinel clients call the primary and its replicas | the cluster's name |
//! | `patience` | how long a call waits for a primary | 3 s |
//! | `forward_max` | calls that wait for a primary, and that each other node may have here | 65,536 |
//! | those of `consensus` | what its node of consensus is told | |
//! | `peer_tls` | `{ certificates = […], key = …, ca = … }`, `"insecure-plaintext"` or `"insecure-plaintext-anywhere"` | required where there is another node |

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::peer::{NodeName, Security};
use crate::replication;
use crate::resp;
use crate::server::config::consensus;
use crate::server::config::duration::show as show_duration;
use crate::server::config::engine::Reader;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::schema::PEER_TLS;
use crate::server::config::suggest::{nearest_or_all, shown};
use crate::server::config::{Bind, Position};

/// Who is in the cluster, as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// This node.
    pub node: NodeName,
    /// Where it listens; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// All nodes, this one too, in the order of their names.
    pub members: BTreeMap<NodeName, Member>,
    /// How links are secured; plaintext on loopback where there is no other node.
    pub security: Security,
    /// Where in the text its files are named.
    pub security_at: SecurityPlaces,
    /// The cluster is there already: with an empty directory this node waits to be added.
    pub joins: bool,
    /// The store of one node in the directory becomes the first of a new cluster.
    pub adopts: bool,
    /// A node that is not primary passes writes on.
    pub forwards: bool,
    /// How long a call waits for a primary.
    pub patience: Duration,
    /// Calls that wait for a primary, and that each other node may have here, at most.
    pub forward_max: u32,
    /// By whom this node is fed as long as it is a learner; the best first.
    pub feed_from: Vec<NodeName>,
    /// What its node of consensus is told. Who feeds it is not in there.
    pub replication: replication::Options,
    /// How old what a replica tells Redis clients may be; `None`: as old as it likes.
    pub stale_max: Option<Duration>,
    /// Where Redis clients reach this node.
    pub announce: Option<String>,
    /// Where other nodes reach what `announce` has a name for; `None`: that is an address, or nothing.
    pub reached_at: Option<String>,
    /// What Sentinel clients call the primary and its replicas.
    pub sentinel: String,
}

const STALE_DEFAULT: Duration = Duration::from_secs(10);
/// The time in which an election begins.
const FEED_TIMEOUT_MIN: Duration = Duration::from_millis(400);
const FEED_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// The most nodes by which one is fed.
const FEED_FROM_MAX: usize = 8;
const DEGRADE_MIN: Duration = Duration::from_millis(1);
/// An hour.
const DEGRADE_MAX: Duration = Duration::from_secs(3_600);

/// Where in the text the files of [`Cluster::security`] are named; all at the beginning for who has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecurityPlaces {
    /// `peer_tls`.
    pub table: Position,
    /// Its `certificates`.
    pub certificates: Position,
    /// Its `key`; where it has none, as `certificates`.
    pub key: Position,
    /// Its `ca`.
    pub ca: Position,
}

impl SecurityPlaces {
    /// The place of the option that is called so; the table for any other.
    pub(in crate::server) fn of(&self, what: &str) -> Position {
        match what {
            "certificates" => self.certificates,
            "key" => self.key,
            "ca" => self.ca,
            _ => self.table,
        }
    }
}

/// A node of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it listens; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// It has no vote.
    pub is_learner: bool,
}

/// The most nodes of a cluster: what consensus is made for, and some.
const MEMBERS_MAX: usize = 64;

const TLS_EXAMPLE: &str =
    "add peer_tls = { certificates = [\"node.pem\"], key = \"node.key\", ca = \"ca.pem\" }";
const PLAINTEXT: &str = "insecure-plaintext";
const PLAINTEXT_ANYWHERE: &str = "insecure-plaintext-anywhere";

/// Reads it from the table that has the keys, and where that says that this node listens; `None` when something was told as
/// a problem.
///
/// - `resp`: where this node serves Redis clients.
/// - `segment_bytes`: of the log.
pub(super) fn read(
    fields: &Fields<'_, '_>,
    resp: Option<&Bind>,
    segment_bytes: u64,
    problems: &mut Problems<'_>,
) -> Option<(Cluster, Option<At<Bind>>)> {
    let others = Others::read(fields, problems);
    let cluster = read_members(fields, problems);
    let Others { name, joins, adopts, forwards, degrade_after, feed_timeout, stale_max, announce, sentinel } =
        others;
    let (mut patience, mut forward_max) = (Duration::from_secs(3), 65_536);
    let mut reader = Reader { fields, problems };
    reader.time("patience", Duration::ZERO, Duration::from_secs(3_600), &mut patience);
    reader.count("forward_max", 1, 1 << 24, &mut forward_max);
    let default = replication::Options::default();
    let replication = replication::Options {
        degrade_after,
        feed_timeout: feed_timeout.unwrap_or(default.feed_timeout),
        ..default
    };
    let sources = cluster.as_ref().map_or(0, |(cluster, _)| cluster.feed_from.len());
    let replication = consensus::read(replication, sources, segment_bytes, fields, problems);
    let (mut cluster, listens_at) = cluster?;
    let own = cluster.members.get(&cluster.node).and_then(|own| own.address);
    if let Some(said) = &announce
        && is_name(said.value)
    {
        cluster.reached_at = reached_from_nodes(said.value, resp, own, &cluster);
        if cluster.reached_at.is_none() {
            let message = format!(
                "announce {} is a name, which clients look up and nodes do not, and nothing says where nodes reach them",
                shown(said.value)
            );
            problems.add(said.at, message, "write an address, bind resp to one, or add this node to peers");
        }
    }
    if let Some(resp) = resp.filter(|resp| !fields.has("announce") && is_of_this_machine(resp)) {
        // Others would look for this node at home, and find themselves.
        if let Some(far) = cluster.beyond_this_machine() {
            let message = format!(
                "resp {resp} is of this machine alone, and nodes on others, as {far}, would send clients there"
            );
            let port = match resp {
                Bind::Inet(address) => address.port(),
                Bind::Unix(_) => 6_379,
            };
            let hint = match own.filter(|own| !own.ip().to_canonical().is_loopback()) {
                Some(own) => {
                    let address = SocketAddr::new(own.ip(), port);
                    format!(
                        "write resp = \"{address}\", or say with announce where clients elsewhere reach it"
                    )
                }
                None => "bind resp to an address that they reach, or say one with announce".to_owned(),
            };
            problems.add(fields.value_at("resp"), message, hint);
        }
    }
    let default = || resp.and_then(|resp| reached_at(resp, own, &cluster));
    cluster.announce = announce.map(|it| it.value.to_owned()).or_else(default);
    let cluster = Cluster {
        name,
        joins,
        adopts,
        forwards,
        patience,
        forward_max,
        replication,
        stale_max,
        sentinel,
        ..cluster
    };
    Some((cluster, listens_at))
}

impl Cluster {
    /// A node that is not on this machine, by where it listens.
    fn beyond_this_machine(&self) -> Option<SocketAddr> {
        let addresses = || self.members.iter().filter_map(|(name, member)| Some((name, member.address?)));
        let is_far = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        let of_others = addresses().filter(|(name, _)| **name != self.node).map(|it| it.1);
        of_others.chain(addresses().map(|it| it.1)).find(is_far)
    }
}

/// Whether nobody on another machine reaches who listens there.
fn is_of_this_machine(bind: &Bind) -> bool {
    match bind {
        Bind::Inet(address) => address.ip().to_canonical().is_loopback(),
        Bind::Unix(_) => true,
    }
}

/// Where clients reach a node that serves them at `resp`: with an address that stands for all of the machine's, at the one
/// that other nodes have for it; `None`: not from where the others are.
fn reached_at(resp: &Bind, own: Option<SocketAddr>, cluster: &Cluster) -> Option<String> {
    if is_of_this_machine(resp) && cluster.beyond_this_machine().is_some() {
        return None;
    }
    match resp {
        Bind::Inet(address) if !address.ip().is_unspecified() => Some(address.to_string()),
        Bind::Inet(address) => own.map(|own| SocketAddr::new(own.ip(), address.port()).to_string()),
        // Of use on this machine alone, and there it is.
        other => Some(other.to_string()),
    }
}

/// Whether what is announced has to be looked up.
fn is_name(announce: &str) -> bool {
    let told = resp::ClientAddress::parse(announce);
    told.is_some_and(|it| it.port > 0 && it.host.parse::<IpAddr>().is_err())
}

/// Where other nodes reach what clients are told a name of: the node's own door, which listeners that split reads from writes
/// and pools of the nodes connect to; without one, its address with the port that is announced.
fn reached_from_nodes(
    announce: &str,
    resp: Option<&Bind>,
    own: Option<SocketAddr>,
    cluster: &Cluster,
) -> Option<String> {
    match resp {
        Some(resp) => reached_at(resp, own, cluster),
        None => {
            let port = resp::ClientAddress::parse(announce)?.port;
            own.map(|own| SocketAddr::new(own.ip(), port).to_string())
        }
    }
}

/// What has a default.
struct Others<'a> {
    name: String,
    joins: bool,
    adopts: bool,
    forwards: bool,
    degrade_after: Option<Duration>,
    feed_timeout: Option<Duration>,
    stale_max: Option<Duration>,
    announce: Option<At<&'a str>>,
    sentinel: String,
}

impl<'a> Others<'a> {
    fn read(fields: &Fields<'a, '_>, problems: &mut Problems<'_>) -> Self {
        let name = fields.text("cluster", problems).filter(|name| {
            let is_right = (1..=255).contains(&name.value.len()) && !name.value.chars().any(char::is_control);
            if !is_right {
                let message = "cluster is empty, longer than 255 bytes, or has control characters";
                problems.add(name.at, message, "write cluster = \"orders\"");
            }
            is_right
        });
        let degrade_after = fields.duration("degrade_after", problems).filter(|after| {
            let is_right = (DEGRADE_MIN..=DEGRADE_MAX).contains(&after.value);
            if !is_right {
                let message = format!("degrade_after {} is outside 1ms to 1h", show_duration(after.value));
                problems.add(
                    after.at,
                    message,
                    "take it out, and nothing is answered with less than was asked for",
                );
            }
            is_right
        });
        let feed_timeout = fields.duration("feed_timeout", problems).filter(|after| {
            let is_right = (FEED_TIMEOUT_MIN..=FEED_TIMEOUT_MAX).contains(&after.value);
            if !is_right {
                let message = format!("feed_timeout {} is outside 400ms to 1h", show_duration(after.value));
                problems.add(after.at, message, "take it out, and it is 2s");
            }
            is_right
        });
        let stale_max = fields.duration("stale_max", problems).map(|most| most.value);
        let announce = fields.text("announce", problems).filter(|text| {
            let is_right = resp::ClientAddress::parse(text.value).is_some() && text.value.len() <= 128;
            let is_any =
                |told: resp::ClientAddress| told.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
            let is_any = resp::ClientAddress::parse(text.value).is_some_and(is_any);
            if !is_right || is_any {
                let why = if is_any { "no address to reach a node at" } else { "no host:port" };
                let message = format!("announce: {} is {why}", shown(text.value));
                problems.add(text.at, message, "write announce = \"10.0.0.5:6379\"");
            }
            is_right && !is_any
        });
        let sentinel = fields.text("sentinel", problems).filter(|set| {
            let is_right =
                (1..=255).contains(&set.value.len()) && set.value.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_right {
                let message =
                    format!("sentinel {} is no name of a set: letters, digits and signs", shown(set.value));
                problems.add(set.at, message, "write sentinel = \"mymaster\"");
            }
            is_right
        });
        let joins = fields.boolean("join", problems).is_some_and(|join| join.value);
        let adopts = fields.boolean("adopt", problems).is_some_and(|adopt| adopt.value);
        if joins && adopts {
            let message = "adopt begins a cluster, and join says that there is one";
            problems.add(fields.value_at("adopt"), message, "take out one of them");
        }
        let name = name.map_or("trimtab", |name| name.value);
        Self {
            sentinel: sentinel.map_or(name, |set| set.value).to_owned(),
            name: name.to_owned(),
            joins,
            adopts,
            forwards: fields.boolean("forward", problems).is_none_or(|forward| forward.value),
            degrade_after: degrade_after.map(|after| after.value),
            feed_timeout: feed_timeout.map(|after| after.value),
            stale_max: Some(stale_max.unwrap_or(STALE_DEFAULT)).filter(|most| !most.is_zero()),
            announce,
        }
    }
}

/// Who is in it, and where this one listens. The rest is the caller's.
fn read_members(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<(Cluster, Option<At<Bind>>)> {
    let node = fields.required_text("node", problems);
    let node = node.and_then(|node| name("node", node, problems).map(|value| At { at: node.at, value }));
    let peers = peers(fields, problems);
    let learners = learners(fields, problems);
    let listen = fields
        .text("listen", problems)
        .and_then(|text| address("listen", text, true, problems).map(|value| At { at: text.at, value }));
    let security = security(fields, problems);
    let (node, peers) = (node?, peers?);
    let members = members(&peers, &learners, fields, problems)?;

    let feed_from = feed_from(&node.value, &members, fields, problems);
    let own = members.get(&node.value).copied();
    if own.is_none() {
        let message = format!("node {} is neither in peers nor in learners", shown(node.value.as_str()));
        let known = members.keys().map(NodeName::as_str);
        problems.add_with(node.at, message, || nearest_or_all(node.value.as_str(), "there are", known));
    }
    if let (Some(listen), Some(Member { address: None, .. })) = (&listen, own) {
        let message = format!("listen is given, and peers has no address for {}", node.value);
        problems.add(
            listen.at,
            message,
            "add it to peers on all nodes, or take listen out: it dials the others then",
        );
    }
    if members.len() > 1 && security.is_none() && !fields.has("peer_tls") {
        problems.add(fields.at(), "peer_tls is missing, and there are other nodes", TLS_EXAMPLE);
    }
    let (security, security_at) = match security {
        Some(security) => security,
        None if members.len() == 1 && !fields.has("peer_tls") => {
            (Security::InsecurePlaintext, SecurityPlaces::default())
        }
        None => return None,
    };
    let mut is_allowed = true;
    let mut check = |what, at, address: &SocketAddr| {
        if let Err(error) = security.check(what, address) {
            is_allowed = false;
            problems.add(at, error.into_detail(), "");
        }
    };
    if members.len() > 1 {
        peers.iter().for_each(|peer| check("peers", peer.at, &peer.value.1));
        listen.iter().for_each(|listen| check("listen", listen.at, &listen.value));
    }
    let own = own?;
    let own_peer = peers.iter().find(|peer| peer.value.0 == node.value);
    let listen = listen.or(own_peer.map(|peer| At { at: peer.at, value: peer.value.1 }));
    let listens_at = listen.as_ref().map(|it| At { at: it.at, value: Bind::Inet(it.value) });
    let listen = listen.map(|listen| listen.value);
    let cluster = (is_allowed && own.address.is_some() == listen.is_some()).then_some(Cluster {
        name: String::new(),
        node: node.value,
        listen,
        members,
        security,
        security_at,
        joins: false,
        adopts: false,
        forwards: true,
        patience: Duration::ZERO,
        forward_max: 0,
        feed_from,
        replication: replication::Options::default(),
        stale_max: None,
        sentinel: String::new(),
        announce: None,
        reached_at: None,
    })?;
    Some((cluster, listens_at))
}

/// The nodes with an address; an empty list where there is none to be told of.
fn peers(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<Vec<At<(NodeName, SocketAddr)>>> {
    if !fields.has("peers") {
        problems.add(fields.at(), "peers is missing in [store]", "add peers = { db-1 = \"10.0.0.5:7400\" }");
        return None;
    }
    let entries = fields.pairs("peers", problems)?;
    if entries.is_empty() {
        problems.add(
            fields.value_at("peers"),
            "peers names nobody",
            "add peers = { db-1 = \"10.0.0.5:7400\" }",
        );
        return None;
    }
    let mut peers: Vec<At<(NodeName, SocketAddr)>> = Vec::new();
    let mut is_right = true;
    for (key, text) in entries {
        let (name, address) = (name("peers", key, problems), address("peers", text, false, problems));
        let (Some(name), Some(address)) = (name, address) else {
            is_right = false;
            continue;
        };
        if let Some(same) = peers.iter().find(|peer| peer.value.1 == address) {
            let message = format!("{} and {name} have the same address {address}", same.value.0);
            problems.add(text.at, message, "give each node its own");
            is_right = false;
        }
        peers.push(At { at: text.at, value: (name, address) });
    }
    is_right.then_some(peers)
}

fn learners(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Vec<NodeName> {
    let at = fields.value_at("learners");
    let mut learners = Vec::new();
    for text in fields.texts("learners", problems).unwrap_or_default() {
        let Some(name) = name("learners", At { at, value: &text }, problems) else { continue };
        if learners.contains(&name) {
            problems.add(at, format!("learners names {name} twice"), "take one out");
        } else {
            learners.push(name);
        }
    }
    learners
}

/// By whom this node is fed: others of the cluster.
fn feed_from(
    own: &NodeName,
    members: &BTreeMap<NodeName, Member>,
    fields: &Fields<'_, '_>,
    problems: &mut Problems<'_>,
) -> Vec<NodeName> {
    let at = fields.value_at("feed_from");
    let mut sources = Vec::new();
    for text in fields.texts("feed_from", problems).unwrap_or_default() {
        let Some(source) = name("feed_from", At { at, value: &text }, problems) else { continue };
        if source == *own {
            problems.add(at, format!("feed_from names {source}, and that is this node"), "name others");
        } else if !members.contains_key(&source) {
            let message = format!(
                "feed_from names {}, which is neither in peers nor in learners",
                shown(source.as_str())
            );
            let known = members.keys().filter(|it| *it != own).map(NodeName::as_str);
            problems.add_with(at, message, || nearest_or_all(source.as_str(), "there are", known));
        } else if sources.contains(&source) {
            problems.add(at, format!("feed_from names {source} twice"), "take one out");
        } else {
            sources.push(source);
        }
    }
    if sources.len() > FEED_FROM_MAX {
        let message = format!("feed_from names {} nodes, and {FEED_FROM_MAX} are the most", sources.len());
        problems.add(at, message, "two or three are enough");
        sources.clear();
    }
    sources
}

fn members(
    peers: &[At<(NodeName, SocketAddr)>],
    learners: &[NodeName],
    fields: &Fields<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<NodeName, Member>> {
    let member = |peer: &At<(NodeName, SocketAddr)>| {
        let (name, address) = &peer.value;
        (name.clone(), Member { address: Some(*address), is_learner: learners.contains(name) })
    };
    let mut members: BTreeMap<NodeName, Member> = peers.iter().map(member).collect();
    for learner in learners {
        members.entry(learner.clone()).or_insert(Member { address: None, is_learner: true });
    }
    if members.values().all(|member| member.is_learner) {
        let at = fields.value_at("learners");
        problems.add(at, "all nodes are learners, and nobody votes", "take those that vote out of learners");
        return None;
    }
    if members.len() > MEMBERS_MAX {
        let message = format!("there are {} nodes, and {MEMBERS_MAX} are the most", members.len());
        problems.add(fields.value_at("peers"), message, "three or five vote in most clusters");
        return None;
    }
    Some(members)
}

fn security(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<(Security, SecurityPlaces)> {
    if !fields.has("peer_tls") {
        return None;
    }
    if !fields.is_table("peer_tls") {
        let known = [
            (PLAINTEXT, Security::InsecurePlaintext),
            (PLAINTEXT_ANYWHERE, Security::InsecurePlaintextAnywhere),
        ];
        let text = fields.text("peer_tls", problems)?;
        let found = known.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let message = format!("unknown peer_tls {}", shown(text.value));
            let names = known.iter().map(|(name, _)| *name);
            problems.add_with(text.at, message, || {
                nearest_or_all(text.value, "a table of files, or one of", names)
            });
        }
        return found.map(|(_, security)| (security.clone(), SecurityPlaces::default()));
    }
    let at = fields.value_at("peer_tls");
    if cfg!(not(feature = "tls")) {
        problems.add(at, "this build has no TLS", "build it with the feature tls");
        return None;
    }
    let table = fields.table("peer_tls", &PEER_TLS, problems)?;
    let certificates = table.texts("certificates", problems);
    if certificates.as_ref().map_or(!table.has("certificates"), Vec::is_empty) {
        let message = "peer_tls has no certificates";
        problems.add(table.value_at("certificates"), message, "add certificates = [\"node.pem\"]");
    }
    let key = table.text("key", problems).map(|key| PathBuf::from(key.value));
    let ca = table.required_text("ca", problems).map(|ca| PathBuf::from(ca.value));
    let certificates = certificates.filter(|certificates| !certificates.is_empty())?;
    let place = |key: &str| problems.position(table.value_at(key));
    let places = SecurityPlaces {
        table: problems.position(at),
        certificates: place("certificates"),
        key: place(if table.has("key") { "key" } else { "certificates" }),
        ca: place("ca"),
    };
    let certificates = certificates.into_iter().map(PathBuf::from).collect();
    Some((Security::Tls { certificates, key, ca: ca? }, places))
}

fn name(key: &str, text: At<&str>, problems: &mut Problems<'_>) -> Option<NodeName> {
    text.value
        .parse()
        .map_err(|error: Error| problems.add(text.at, format!("{key}: {}", error.into_detail()), ""))
        .ok()
}

/// An address to listen on, or to be reached at.
fn address(key: &str, text: At<&str>, may_be_any: bool, problems: &mut Problems<'_>) -> Option<SocketAddr> {
    let At { at, value } = text;
    let Ok(address) = value.parse::<SocketAddr>() else {
        let hint = match value.rsplit_once(':') {
            _ if value.parse::<std::net::IpAddr>().is_ok() => format!("it has no port; write {value}:7400"),
            Some((host, _)) if host.parse::<std::net::Ipv6Addr>().is_ok() => format!("write [{host}]:port"),
            Some((host, _)) if host.contains(char::is_alphabetic) => {
                "a host name cannot be given yet; write the address it stands for".to_string()
            }
            _ => "write 10.0.0.5:7400 or [fd00::5]:7400".to_string(),
        };
        problems.add(at, format!("{key}: {} is no ip:port", shown(value)), hint);
        return None;
    };
    if address.port() == 0 {
        problems.add(
            at,
            format!("{key}: {address} has port 0, where nobody would find it"),
            "choose a port, as 7400",
        );
        return None;
    }
    if address.ip().is_unspecified() && !may_be_any {
        let hint = "write the address that the other nodes reach it at; listen may be another";
        problems.add(at, format!("{key}: {address} is no address to reach a node at"), hint);
        return None;
    }
    Some(address)
}
