//! `[store]`

use std::path::PathBuf;
use std::time::Duration;

use crate::health::secret::Secret;
use crate::resp;
use crate::server::config::duration::show as show_duration;
use crate::server::config::engine::Reader;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::size::show;
use crate::server::config::suggest::shown;
use crate::server::config::{
    Bind, CLIENTS_MAX, OUTPUT_MAX, OUTPUT_MIN, Store, TIMEOUT_MAX, TIMEOUT_MIN, Timeouts, engine, listener,
};
#[cfg(feature = "replication")]
use crate::server::config::{cluster, consensus};
use crate::store::engine::Durability;

const CLIENTS_DEFAULT: u32 = 10_000;
const OUTPUT_DEFAULT: u64 = 256 << 20;
/// The most nodes that a write may be asked to be on.
const NODES_MAX: i128 = 64;

/// The keys that make a store a member of a cluster, and those that are of use in one alone.
const MEMBER_KEYS: [&str; 4] = ["peers", "learners", "listen", "peer_tls"];
const CLUSTER_KEYS: [&str; 12] = [
    "cluster",
    "join",
    "adopt",
    "forward",
    "degrade_after",
    "feed_from",
    "feed_timeout",
    "stale_max",
    "announce",
    "sentinel",
    "patience",
    "forward_max",
];

/// Where it listens, and who does there.
pub(super) type Listening = (At<Bind>, &'static str);

/// Reads it; `None` when `dir` was told as a problem. Where it listens, and who does there, is the caller's to compare with
/// others.
pub(super) fn read(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<(Store, Vec<Listening>)> {
    let dir = fields.required_text("dir", problems);
    let dir = dir.filter(|dir| {
        if dir.value.is_empty() {
            problems.add(dir.at, "dir is empty", "name a directory; it is made if it is not there");
        }
        !dir.value.is_empty()
    });
    let is_member = MEMBER_KEYS.iter().any(|key| fields.has(key));
    let node = fields.text("node", problems);
    // In a cluster it has a form of its own.
    let node = node.filter(|name| is_member || listener::check_name(*name, problems));
    let resp = address("resp", fields, problems);
    let health = address("health", fields, problems);
    let (durability, nodes) = durability(is_member, fields, problems);
    #[cfg(feature = "replication")]
    let of_consensus = consensus::KEYS.iter();
    #[cfg(not(feature = "replication"))]
    let of_consensus = [].iter();
    for key in CLUSTER_KEYS.iter().chain(of_consensus).filter(|key| !is_member && fields.has(key)) {
        let message = format!("{key} is for clusters, and there are no other nodes");
        problems.add(fields.value_at(key), message, "add node, peers and peer_tls, or take it out");
    }
    let options = engine::read(fields, problems);
    #[cfg(feature = "replication")]
    let cluster = match is_member {
        true => {
            let segment_bytes = options.engine.log.segment_bytes;
            cluster::read(fields, resp.as_ref().map(|resp| &resp.value), segment_bytes, problems)
        }
        false => None,
    };
    #[cfg(feature = "replication")]
    let (cluster, listens_at) = cluster.map_or((None, None), |(cluster, at)| (Some(cluster), at));
    #[cfg(not(feature = "replication"))]
    let listens_at = None;
    #[cfg(feature = "replication")]
    if let Some(cluster) = &cluster
        && nodes as usize > cluster.members.len()
    {
        let message =
            format!("durability {nodes} needs as many nodes, and there are {}", cluster.members.len());
        problems.add(
            fields.value_at("durability"),
            message,
            "no write would be answered; name more of them, or ask for less",
        );
    }
    #[cfg(not(feature = "replication"))]
    if let Some(key) = MEMBER_KEYS.iter().find(|key| fields.has(key)) {
        let message = format!("{key} is for clusters, and this build has none");
        problems.add(fields.value_at(key), message, "take it out, or build with the feature replication");
    }
    let flushes = [("refuse", false), ("allow", true)];
    let flush = fields.choice("flush", &flushes, &[], problems);
    let maxclients = fields.integer("maxclients", 1..=i128::from(CLIENTS_MAX), problems);
    let mut output_max = OUTPUT_DEFAULT;
    Reader { fields, problems }.size("output_max", OUTPUT_MIN, OUTPUT_MAX, &mut output_max);
    let value_max = options.engine.settings.value_max;
    if fields.has("resp") && fields.has("value_max") && value_max > output_max {
        let message =
            format!("value_max {} is more than output_max, which is {}", show(value_max), show(output_max));
        let at = fields.value_at("value_max");
        problems.add(at, message, "a client that reads such a value would be cut: raise output_max");
    }
    let notify = notify(fields, problems);
    let idle = fields.duration("idle", problems).and_then(|idle| idle_time(idle, problems));
    let drain = fields.duration("drain", problems).and_then(|drain| drain_time(drain, problems));
    let password = fields.text("password", problems);
    let password_file = fields.text("password_file", problems);
    if let (Some(_), Some(file)) = (password, password_file) {
        problems.add(file.at, "there are password and password_file", "take one out");
    }
    if let Some(At { at, value: "" }) = password {
        problems.add(at, "password is empty, which lets everybody in", "take it out, or write one");
    }
    for key in ["maxclients", "output_max", "idle", "password", "password_file", "flush", "notify"] {
        if fields.has(key) && !fields.has("resp") {
            let message = format!("{key} is for Redis clients, and there is no resp for them");
            problems.add(fields.value_at(key), message, "add resp = \"127.0.0.1:6379\", or take it out");
        }
    }
    let store = Store {
        dir: PathBuf::from(dir?.value),
        dir_at: problems.position(fields.value_at("dir")),
        node: node.map(|node| node.value.to_string()),
        resp: resp.as_ref().map(|resp| resp.value.clone()),
        resp_at: problems.position(fields.value_at("resp")),
        health: health.as_ref().map(|health| health.value.clone()),
        health_at: problems.position(fields.value_at("health")),
        durability,
        nodes,
        options,
        notify,
        #[cfg(feature = "replication")]
        cluster,
        maxclients: maxclients.map_or(CLIENTS_DEFAULT, |max| max.value),
        allows_flush: flush.is_some_and(|flush| flush.value),
        password: password.map(|password| Secret::from(password.value)),
        password_file: password_file.map(|file| PathBuf::from(file.value)),
        password_at: problems.position(fields.value_at("password_file")),
        output_max,
        idle: idle.unwrap_or_default(),
        drain: drain.unwrap_or(Timeouts::default().drain),
    };
    // The node's first: it is the same in all configurations of the cluster, and the other is to be changed.
    let addresses = [(listens_at, "this node of the cluster"), (resp, "the store"), (health, "the store")];
    Some((store, addresses.into_iter().filter_map(|(at, who)| Some((at?, who))).collect()))
}

fn address(key: &str, fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<At<Bind>> {
    let At { at, value: text } = fields.text(key, problems)?;
    match text.parse::<Bind>() {
        Ok(value) => Some(At { at, value }),
        Err(error) => {
            problems.add(at, format!("{key} {}", error.into_detail()), "");
            None
        }
    }
}

/// By a name, or in a cluster a number of nodes: a quorum, and so many.
fn durability(is_member: bool, fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> (Durability, u32) {
    let default = if is_member { Durability::Quorum } else { Durability::default() };
    let needed;
    let chosen = if fields.is_integer("durability") {
        let nodes = fields.integer::<u32>("durability", 1..=NODES_MAX, problems).map(|nodes| nodes.value);
        needed = nodes.map(|nodes| nodes.to_string());
        (default, nodes.unwrap_or_default())
    } else {
        let chosen = fields.choice("durability", &Durability::NAMES, &[], problems);
        let chosen = chosen.map_or(default, |chosen| chosen.value);
        needed = (chosen > Durability::Local).then(|| format!("\"{}\"", chosen.name()));
        (chosen, 0)
    };
    if let Some(what) = needed.filter(|_| !is_member) {
        let message = format!("durability {what} needs other nodes, and there are none");
        let at = fields.value_at("durability");
        problems.add(at, message, "add node, peers and peer_tls, or write \"local\"");
    }
    chosen
}

/// Classes of notifications.
fn notify(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> String {
    let Some(At { at, value: classes }) = fields.text("notify", problems) else { return String::new() };
    if !resp::are_classes(classes.as_bytes()) {
        let message = format!("notify {} has a character that is no class", shown(classes));
        problems.add(at, message, "as in Redis: K, E and A, or some of g$lshzxetdmn in place of A");
    } else if !classes.is_empty() && !classes.contains(['K', 'E']) {
        let message = format!("notify {} has neither K nor E, so nothing is told", shown(classes));
        problems.add(at, message, "write notify = \"KEA\"");
    }
    classes.to_owned()
}

fn drain_time(drain: At<Duration>, problems: &mut Problems<'_>) -> Option<Duration> {
    let At { at, value } = drain;
    if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&value) {
        return Some(value);
    }
    let (least, most) = (show_duration(TIMEOUT_MIN), show_duration(TIMEOUT_MAX));
    problems.add(at, format!("drain {} is outside {least} to {most}", show_duration(value)), "");
    None
}

fn idle_time(idle: At<Duration>, problems: &mut Problems<'_>) -> Option<Duration> {
    let At { at, value } = idle;
    if value.is_zero() || (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&value) {
        return Some(value);
    }
    let (least, most) = (show_duration(TIMEOUT_MIN), show_duration(TIMEOUT_MAX));
    let message = format!("idle {} is outside {least} to {most}", show_duration(value));
    problems.add(at, message, "\"0s\" is no limit");
    None
}
