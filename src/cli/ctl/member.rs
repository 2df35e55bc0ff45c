//! `POOL/BACKEND`, and the paths it has on the admin interface.

use crate::cli::Failure;
use crate::server::admin::encode;

/// One backend of one pool, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pool: String,
    pub(super) backend: String,
}

impl Member {
    /// Reads `POOL/BACKEND`. The name of a pool holds no `/`, so the first one is where it ends, whatever the
    /// backend's name holds.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((pool, backend)) if !pool.is_empty() && !backend.is_empty() => {
                Ok(Self { pool: pool.into(), backend: backend.into() })
            }
            _ => Err("it is no member; write POOL/BACKEND, such as app/web-01".into()),
        }
    }

    pub(super) fn path(&self) -> String {
        format!("{}/backends/{}", pool_path(&self.pool), encode(&self.backend))
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.pool, self.backend)
    }
}

pub(super) fn pool_path(pool: &str) -> String {
    format!("/v1/pools/{}", encode(pool))
}

/// What `ctl status` is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Server,
    Pool(String),
    Backend(Member),
}

impl Target {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        match text {
            None => Ok(Target::Server),
            Some(text) if text.contains('/') => Member::parse(text)
                .map(Target::Backend)
                .map_err(|why| Failure::Misused(format!("{text:?}: {why}"))),
            Some("") => Err(Failure::Misused("\"\": it is no pool's name".into())),
            Some(pool) => Ok(Target::Pool(pool.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slash_ends_the_pool() {
        for (text, pool, backend, path) in [
            ("app/web-01", "app", "web-01", "/v1/pools/app/backends/web-01"),
            (
                "app/unix:/run/a.sock",
                "app",
                "unix:/run/a.sock",
                "/v1/pools/app/backends/unix%3A%2Frun%2Fa%2Esock",
            ),
            ("a b/ c%/d", "a b", " c%/d", "/v1/pools/a%20b/backends/%20c%25%2Fd"),
            ("é/..", "é", "..", "/v1/pools/%C3%A9/backends/%2E%2E"),
        ] {
            let member = Member::parse(text).unwrap();
            assert_eq!((&*member.pool, &*member.backend, &*member.path()), (pool, backend, path));
            assert_eq!(member.to_string(), text);
        }
        for text in ["", "/", "app", "app/", "/web-01"] {
            assert!(Member::parse(text).unwrap_err().contains("POOL/BACKEND"), "{text}");
        }
    }

    #[test]
    fn a_target_is_the_server_a_pool_or_a_backend() {
        assert_eq!(Target::parse(None).ok(), Some(Target::Server));
        assert_eq!(Target::parse(Some("app")).ok(), Some(Target::Pool("app".into())));
        let member = Member { pool: "app".into(), backend: "a/b".into() };
        assert_eq!(Target::parse(Some("app/a/b")).ok(), Some(Target::Backend(member)));
        assert!(Target::parse(Some("")).is_err() && Target::parse(Some("app/")).is_err());
    }
}
