//! `[store]`

use std::path::PathBuf;
use std::time::Duration;

use crate::health::secret::Secret;
#[cfg(feature = "replication")]
use crate::server::config::cluster;
use crate::server::config::duration::show as show_duration;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::size::show;
use crate::server::config::{
    Bind, CLIENTS_MAX, OUTPUT_MAX, OUTPUT_MIN, STORE_BYTES_MAX, Store, TIMEOUT_MAX, TIMEOUT_MIN, listener,
};
use crate::store::engine::Durability;
use crate::store::index::evict::Eviction;

const CLIENTS_DEFAULT: u32 = 10_000;
const OUTPUT_DEFAULT: u64 = 256 << 20;
/// Four segments of the log: three it cannot do without, and a snapshot.
const DISK_MIN: u64 = 256 << 20;
const MEMORY_MIN: u64 = 64 << 10;

/// The keys that make a store a member of a cluster, and those that are of use in one alone.
const MEMBER_KEYS: [&str; 4] = ["peers", "learners", "listen", "peer_tls"];
const CLUSTER_KEYS: [&str; 10] = [
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
];

/// Reads it; `None` when `dir` was told as a problem. The addresses of `resp` and `health` are the caller's to compare with
/// others.
pub(super) fn read(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<(Store, Vec<At<Bind>>)> {
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
    let durability = fields.choice("durability", &Durability::NAMES, &[], problems);
    if let Some(At { at, value: value @ (Durability::Quorum | Durability::All) }) = durability
        && !is_member
    {
        let message = format!("durability \"{}\" needs other nodes, and there are none", value.name());
        problems.add(at, message, "add node, peers and peer_tls, or write \"local\"");
    }
    let default = if is_member { Durability::Quorum } else { Durability::default() };
    for key in CLUSTER_KEYS.iter().filter(|key| !is_member && fields.has(key)) {
        let message = format!("{key} is for clusters, and there are no other nodes");
        problems.add(fields.value_at(key), message, "add node, peers and peer_tls, or take it out");
    }
    #[cfg(feature = "replication")]
    let cluster = match is_member {
        true => cluster::read(fields, resp.as_ref().map(|resp| &resp.value), problems),
        false => None,
    };
    #[cfg(not(feature = "replication"))]
    if let Some(key) = MEMBER_KEYS.iter().find(|key| fields.has(key)) {
        let message = format!("{key} is for clusters, and this build has none");
        problems.add(fields.value_at(key), message, "take it out, or build with the feature replication");
    }
    let flushes = [("refuse", false), ("allow", true)];
    let flush = fields.choice("flush", &flushes, &[], problems);
    let eviction = fields.choice("eviction", &Eviction::NAMES, &[], problems);
    let memory_max = fields.size("memory_max", problems);
    let memory_max = bounded("memory_max", memory_max, MEMORY_MIN, STORE_BYTES_MAX, true, problems);
    let disk_bytes_max = fields.size("disk_bytes_max", problems);
    let disk_bytes_max = bounded("disk_bytes_max", disk_bytes_max, DISK_MIN, STORE_BYTES_MAX, true, problems);
    let kept_bytes = fields.size("kept_bytes", problems);
    let kept_bytes = bounded("kept_bytes", kept_bytes, 0, STORE_BYTES_MAX, false, problems);
    if let Some(At { at, value: Eviction::Lru | Eviction::Ttl }) = eviction
        && memory_max.is_none_or(|max| max == 0)
        && !fields.has("memory_max")
    {
        problems.add(at, "eviction needs memory_max, at which it begins", "add memory_max = \"1GiB\"");
    }
    let maxclients = fields.integer("maxclients", 1..=i128::from(CLIENTS_MAX), problems);
    let output_max = fields.size("output_max", problems);
    let output_max = bounded("output_max", output_max, OUTPUT_MIN, OUTPUT_MAX, false, problems);
    let idle = fields.duration("idle", problems).and_then(|idle| idle_time(idle, problems));
    let password = fields.text("password", problems);
    let password_file = fields.text("password_file", problems);
    if let (Some(_), Some(file)) = (password, password_file) {
        problems.add(file.at, "there are password and password_file", "take one out");
    }
    if let Some(At { at, value: "" }) = password {
        problems.add(at, "password is empty, which lets everybody in", "take it out, or write one");
    }
    for key in ["maxclients", "output_max", "idle", "password", "password_file", "flush"] {
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
        durability: durability.map_or(default, |durability| durability.value),
        #[cfg(feature = "replication")]
        cluster,
        maxclients: maxclients.map_or(CLIENTS_DEFAULT, |max| max.value),
        allows_flush: flush.is_some_and(|flush| flush.value),
        memory_max: memory_max.unwrap_or(0),
        eviction: eviction.map_or(Eviction::default(), |eviction| eviction.value),
        disk_bytes_max: disk_bytes_max.filter(|max| *max > 0),
        kept_bytes: kept_bytes.unwrap_or_default(),
        password: password.map(|password| Secret::from(password.value)),
        password_file: password_file.map(|file| PathBuf::from(file.value)),
        password_at: problems.position(fields.value_at("password_file")),
        output_max: output_max.unwrap_or(OUTPUT_DEFAULT),
        idle: idle.unwrap_or_default(),
    };
    Some((store, resp.into_iter().chain(health).collect()))
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

/// The size if it is in its range; 0 is off where `may_be_off`.
fn bounded(
    key: &str,
    size: Option<At<u64>>,
    least: u64,
    most: u64,
    may_be_off: bool,
    problems: &mut Problems<'_>,
) -> Option<u64> {
    let At { at, value } = size?;
    if (least..=most).contains(&value) || (may_be_off && value == 0) {
        return Some(value);
    }
    let message = format!("{key} {} is outside {} to {}", show(value), show(least), show(most));
    problems.add(at, message, if may_be_off { "0 is no limit" } else { "" });
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
