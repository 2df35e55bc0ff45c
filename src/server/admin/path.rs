//! Paths: which one means what, and names within them.

use crate::server::admin::standing::Lag;
use crate::server::config::suggest::{nearest_or_all, shown};
use crate::server::journal::Start;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Status,
    Pool(String),
    Backend {
        pool: String,
        backend: String,
    },
    Events(Wanted),
    Primary,
    Replica(Lag),
    StoreBackup,
    /// With a change: what comes of it.
    StoreCluster {
        change: Option<u64>,
    },
    Drain,
    Stop,
}

/// Which events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) start: Start,
    /// Whether those to come are, too.
    pub(super) goes_on: bool,
}

/// Why a path leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// It cannot be a path.
    Malformed(String),
    /// There is no such thing.
    Unknown(String),
}

const KNOWN: &str = "/v1/status, /v1/pools/{pool}, /v1/pools/{pool}/backends/{backend}, /v1/events, /v1/store/backup, \
                     /v1/store/cluster, /v1/drain, /v1/stop, /primary, /replica";

impl Resource {
    /// Reads the target of a request, which begins with `/`.
    pub(super) fn parse(target: &str) -> Result<Self, Nowhere> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut segments = Vec::new();
        for segment in path.split('/').skip(1) {
            let name =
                decode(segment).map_err(|why| Nowhere::Malformed(format!("{}: {why}", shown(path))))?;
            segments.push(name);
        }
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        if !query.is_empty() && !TAKES_QUERY.contains(&&names[..]) {
            let query = shown(query);
            return Err(Nowhere::Malformed(format!(
                "the query {query} means nothing here; changes go in a JSON body"
            )));
        }
        match names[..] {
            ["primary"] => Ok(Resource::Primary),
            ["replica"] => Ok(Resource::Replica(Lag::parse(query).map_err(Nowhere::Malformed)?)),
            ["v1", "status"] => Ok(Resource::Status),
            ["v1", "events"] => Ok(Resource::Events(Wanted::parse(query).map_err(Nowhere::Malformed)?)),
            ["v1", "store", "backup"] => Ok(Resource::StoreBackup),
            ["v1", "store", "cluster"] => {
                Ok(Resource::StoreCluster { change: change(query).map_err(Nowhere::Malformed)? })
            }
            ["v1", "drain"] => Ok(Resource::Drain),
            ["v1", "stop"] => Ok(Resource::Stop),
            ["v1", "pools", pool] if !pool.is_empty() => Ok(Resource::Pool(pool.into())),
            ["v1", "pools", pool, "backends", backend] if !pool.is_empty() && !backend.is_empty() => {
                Ok(Resource::Backend { pool: pool.into(), backend: backend.into() })
            }
            ["v1", "pools", _, "backends", _, _, ..] => Err(Nowhere::Unknown(format!(
                "there is nothing at {}; a / within a name is written %2F",
                shown(path)
            ))),
            _ => Err(Nowhere::Unknown(format!("there is nothing at {}; there are {KNOWN}", shown(path)))),
        }
    }

    /// Whether it is for anybody who may know how the store's node stands.
    pub(super) fn is_about_standing(&self) -> bool {
        matches!(self, Resource::Primary | Resource::Replica(_))
    }

    /// The methods it takes, as the field `Allow` has them.
    pub(super) fn allowed(&self) -> &'static str {
        match self {
            Resource::Status
            | Resource::Pool(_)
            | Resource::Events(_)
            | Resource::Primary
            | Resource::Replica(_) => "GET, HEAD",
            Resource::Backend { .. } => "GET, HEAD, POST, PUT, DELETE",
            Resource::StoreBackup | Resource::StoreCluster { .. } => "GET, HEAD, POST",
            Resource::Drain | Resource::Stop => "POST",
        }
    }
}

/// What takes a query.
const TAKES_QUERY: [&[&str]; 3] = [&["v1", "events"], &["v1", "store", "cluster"], &["replica"]];

fn number(key: &str, value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(number) if value.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err(format!("{key} {} is not a whole number", shown(value))),
    }
}

/// The keys of a query with their values, percent-encoded or not.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = Result<(String, String), String>> {
    query.split('&').filter(|one| !one.is_empty()).map(|one| {
        let (key, value) = one.split_once('=').unwrap_or((one, ""));
        let decoded = |text| decode(text).map_err(|why| format!("the query {}: {why}", shown(one)));
        Ok((decoded(key)?, decoded(value)?))
    })
}

/// Reads a query: `change=3`, or nothing.
fn change(query: &str) -> Result<Option<u64>, String> {
    if query.is_empty() {
        return Ok(None);
    }
    let mut pairs = pairs(query);
    match (pairs.next().transpose()?, pairs.next()) {
        (Some((key, value)), None) if key == "change" && query.contains('=') => {
            number("change", &value).map(Some)
        }
        _ => Err(format!("the query {} means nothing here; change=NUMBER does", shown(query))),
    }
}

impl Wanted {
    /// Reads a query: `recent=20`, `since=17`, `follow=false`. Without any, what is to come.
    fn parse(query: &str) -> Result<Self, String> {
        let (mut recent, mut since, mut follow) = (None, None, None);
        for one in pairs(query) {
            let (key, value) = one?;
            let slot = match &*key {
                "recent" => &mut recent,
                "since" => &mut since,
                "follow" => &mut follow,
                _ => {
                    let hint = nearest_or_all(&key, "known", ["recent", "since", "follow"]);
                    return Err(format!("unknown {} in the query; {hint}", shown(&key)));
                }
            };
            if slot.replace(value).is_some() {
                return Err(format!("the query has {key} twice"));
            }
        }
        let start = match (recent, since) {
            (Some(_), Some(_)) => return Err("the query has recent and since; ask for one of them".into()),
            (Some(count), None) => Start::Recent(number("recent", &count)?),
            (None, Some(sequence)) => Start::Since(number("since", &sequence)?),
            (None, None) => Start::Recent(0),
        };
        let goes_on = match follow.as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(format!("follow {} is neither true nor false", shown(other))),
        };
        Ok(Self { start, goes_on })
    }
}

/// `name` as one segment of a path: all but letters, digits, `-`, `_` and `~` percent-encoded. A dot too, or a
/// name of dots alone would be taken for the way up.
#[cfg(any(test, feature = "cli"))]
pub(crate) fn encode(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// The name that one segment of a path stands for.
pub(super) fn decode(segment: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err("after a % come two hexadecimal digits; a % itself is written %25"),
        }
    }
    String::from_utf8(bytes).map_err(|_| "what is percent-encoded is not UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backend(pool: &str, backend: &str) -> Resource {
        Resource::Backend { pool: pool.into(), backend: backend.into() }
    }

    #[test]
    fn paths_lead_to_what_they_name() {
        for (path, resource) in [
            ("/v1/status", Resource::Status),
            ("/v1/status?", Resource::Status),
            ("/v1/%73tatus", Resource::Status),
            ("/v1/store/backup", Resource::StoreBackup),
            ("/v1/drain", Resource::Drain),
            ("/v1/events", Resource::Events(Wanted { start: Start::Recent(0), goes_on: true })),
            ("/v1/events?&", Resource::Events(Wanted { start: Start::Recent(0), goes_on: true })),
            ("/v1/events?recent=20", Resource::Events(Wanted { start: Start::Recent(20), goes_on: true })),
            (
                "/v1/events?follow=false&since=18446744073709551615",
                Resource::Events(Wanted { start: Start::Since(u64::MAX), goes_on: false }),
            ),
            (
                "/v1/events?follow=true&recent=0",
                Resource::Events(Wanted { start: Start::Recent(0), goes_on: true }),
            ),
            (
                "/v1/events?%72ecent=%320",
                Resource::Events(Wanted { start: Start::Recent(20), goes_on: true }),
            ),
            ("/v1/store/cluster?change=%33", Resource::StoreCluster { change: Some(3) }),
            ("/replica?lag=%31s", Resource::Replica(Lag::Age(std::time::Duration::from_secs(1)))),
            ("/v1/stop", Resource::Stop),
            ("/v1/store/cluster", Resource::StoreCluster { change: None }),
            ("/v1/store/cluster?change=3", Resource::StoreCluster { change: Some(3) }),
            ("/v1/pools/app", Resource::Pool("app".into())),
            ("/v1/pools/a%20p%C3%A9", Resource::Pool("a pé".into())),
            ("/v1/pools/app/backends/web-01", backend("app", "web-01")),
            ("/v1/pools/app/backends/10.0.0.1:80", backend("app", "10.0.0.1:80")),
            ("/v1/pools/app/backends/unix:%2frun%2Fa.sock", backend("app", "unix:/run/a.sock")),
            ("/v1/pools/backends/backends/backends", backend("backends", "backends")),
            ("/v1/pools/app/backends/50%25", backend("app", "50%")),
            ("/v1/pools/app/backends/%2E%2e", backend("app", "..")),
        ] {
            assert_eq!(Resource::parse(path), Ok(resource), "{path}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_told_why() {
        for (path, part) in [
            ("/", "there are /v1/status"),
            ("/v1", "there are /v1/status"),
            ("/v1/", "there are /v1/status"),
            ("/v2/status", "there are /v1/status"),
            ("/v1/status/", "there are /v1/status"),
            ("//v1/status", "there are /v1/status"),
            ("/V1/status", "there are /v1/status"),
            ("/v1/pools/", "there are /v1/status"),
            ("/v1/pools/app/", "there are /v1/status"),
            ("/v1/pools/app/backends", "there are /v1/status"),
            ("/v1/pools/app/backends/", "there are /v1/status"),
            ("/v1/pools//backends/a", "there are /v1/status"),
            ("/v1/pools/app/backends/unix:/run/a.sock", "written %2F"),
        ] {
            let Err(Nowhere::Unknown(why)) = Resource::parse(path) else { panic!("{path}") };
            assert!(why.contains(part), "{path}: {why}");
        }
        for (path, part) in [
            ("/v1/pools/%", "two hexadecimal"),
            ("/v1/pools/a%2", "two hexadecimal"),
            ("/v1/pools/a%+1", "two hexadecimal"),
            ("/v1/pools/50%/backends/a", "two hexadecimal"),
            ("/v1/pools/%ff", "UTF-8"),
            ("/v1/pools/%C3", "UTF-8"),
            ("/v1/pools/app/backends/a?weight=5", "JSON body"),
            ("/v1/status?recent=5", "JSON body"),
            ("/primary?lag=1s", "JSON body"),
            ("/replica?lag=soon", "or write a whole number"),
            ("/replica?lag=%3", "the query \"lag=%3\": after a % come two hexadecimal"),
            ("/v1/events?recent=%C3", "UTF-8"),
            ("/v1/store/cluster?change=1&change=2", "change=NUMBER does"),
            ("/v1/events?recnet=5", "did you mean \"recent\"?"),
            ("/v1/events?x", "known: \"recent\", \"since\", \"follow\""),
            ("/v1/events?recent", "recent \"\" is not a whole number"),
            ("/v1/events?recent=-1", "not a whole number"),
            ("/v1/events?since=%2B1", "not a whole number"),
            ("/v1/events?since=+1", "not a whole number"),
            ("/v1/events?since=18446744073709551616", "not a whole number"),
            ("/v1/events?since=1&recent=1", "one of them"),
            ("/v1/events?since=1&since=1", "since twice"),
            ("/v1/events?follow=no", "neither true nor false"),
            ("/v1/store/cluster?chnage=3", "change=NUMBER does"),
            ("/v1/store/cluster?change", "change=NUMBER does"),
            ("/v1/store/cluster?change=x", "not a whole number"),
        ] {
            let Err(Nowhere::Malformed(why)) = Resource::parse(path) else { panic!("{path}") };
            assert!(why.contains(part), "{path}: {why}");
        }
    }

    proptest! {
        #[test]
        fn every_name_survives_its_path(pool in ".{1,20}", name in "\\PC{1,40}|[./%?#&+ ]{1,5}") {
            let path = format!("/v1/pools/{}/backends/{}", encode(&pool), encode(&name));
            prop_assert!(path.is_ascii());
            prop_assert_eq!(Resource::parse(&path), Ok(backend(&pool, &name)));
        }

        #[test]
        fn any_path_is_taken_or_refused_in_one_line(
            path in "/[ -~]{0,60}|/v1/pools/\\PC{0,80}|/v1/events\\?(recent|since|follow|\\PC|&|=){0,8}",
        ) {
            if let Err(Nowhere::Malformed(why) | Nowhere::Unknown(why)) = Resource::parse(&path) {
                prop_assert_eq!(why.lines().count(), 1);
            }
        }
    }
}
