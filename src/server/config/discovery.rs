//! `[discovery]`: how names of members are looked up.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::discovery::domain::DomainName;
use crate::discovery::options::{Families, Hold, Options};
use crate::discovery::resolv_conf::Resolvers;
use crate::server::config::Discovery;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::suggest::shown;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// Where a resolver listens when no port is given.
const PORT: u16 = 53;

impl Default for Discovery {
    fn default() -> Self {
        Self {
            resolv_conf: RESOLV_CONF.into(),
            hosts: HOSTS.into(),
            nameservers: Vec::new(),
            search: None,
            options: Options::default(),
        }
    }
}

/// Reads the table.
pub(super) fn read(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Discovery {
    let mut read = Discovery::default();
    if let Some(path) = fields.text("resolv_conf", problems) {
        read.resolv_conf = PathBuf::from(path.value);
    }
    if let Some(path) = fields.text("hosts", problems) {
        read.hosts = PathBuf::from(path.value);
    }
    let at = fields.value_at("nameservers");
    for text in fields.texts("nameservers", problems).unwrap_or_default() {
        let whole = text.parse::<SocketAddr>().ok();
        match whole.or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, PORT))) {
            Some(server) => read.nameservers.push(server),
            None => {
                let hint = "write [\"10.0.0.2\", \"10.0.0.3:5353\"]";
                problems.add(at, format!("{} is no address of a resolver", shown(&text)), hint);
            }
        }
    }
    let at = fields.value_at("search");
    if let Some(suffixes) = fields.texts("search", problems) {
        let mut search = Vec::new();
        for text in suffixes {
            match DomainName::parse(&text) {
                Ok(name) => search.push(name),
                Err(error) => problems.add(at, format!("search: {}", error.into_detail()), ""),
            }
        }
        read.search = Some(search);
    }
    let resolvers = Resolvers {
        servers: if read.nameservers.is_empty() {
            Resolvers::default().servers
        } else {
            read.nameservers.clone()
        },
        search: read.search.clone().unwrap_or_default(),
        ..Resolvers::default()
    };
    if let Err(error) = resolvers.check() {
        problems.add(fields.at(), error.to_string(), "");
    }
    options(fields, &mut read.options, problems);
    read
}

fn options(fields: &Fields<'_, '_>, options: &mut Options, problems: &mut Problems<'_>) {
    if let Some(families) = fields.choice("families", &Families::NAMES, &[], problems) {
        options.families = families.value;
    }
    if let Some(At { at, value }) = fields.integer::<usize>("endpoints_max", 1..=i128::MAX, problems) {
        set(options, at, "endpoints_max", problems, |options| options.endpoints_max = value);
    }
    if fields.text_is("hold", "forever") {
        options.hold = Hold::Forever;
    } else if let Some(At { at, value }) = fields.duration("hold", problems) {
        set(options, at, "hold", problems, |options| options.hold = Hold::For(value));
    }
    type Set = fn(&mut Options, Duration);
    let durations: [(&'static str, Set); 6] = [
        ("ttl_min", |options, value| options.ttl_min = value),
        ("ttl_max", |options, value| options.ttl_max = value),
        ("ttl_negative_max", |options, value| options.ttl_negative_max = value),
        ("retry_min", |options, value| options.retry_min = value),
        ("retry_max", |options, value| options.retry_max = value),
        ("lookup_max", |options, value| options.lookup_max = value),
    ];
    // Both ends of a range may move past each other's default, so all are set before they are looked at together.
    let mut all = options.clone();
    let mut last = None;
    for (key, change) in durations {
        if let Some(At { at, value }) = fields.duration(key, problems) {
            change(&mut all, value);
            last = Some((at, key));
        }
    }
    match (all.check(), last) {
        (Err(error), Some((at, _))) => problems.add(at, error.to_string(), ""),
        _ => *options = all,
    }
}

/// Makes a change when it is in range.
fn set(
    options: &mut Options,
    at: usize,
    key: &str,
    problems: &mut Problems<'_>,
    change: impl FnOnce(&mut Options),
) {
    let mut changed = options.clone();
    change(&mut changed);
    match changed.check() {
        Ok(()) => *options = changed,
        Err(error) => problems.add(at, format!("{key}: {}", error.into_detail()), ""),
    }
}
