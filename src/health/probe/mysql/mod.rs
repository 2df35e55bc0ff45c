//! MySQL and MariaDB, protocol 10 (the documentation of both, "Client/Server Protocol").
//!
//! | options | good is |
//! |---|---|
//! | no `user` | a greeting, and an answer to a login by nobody, which is mostly a refusal: it speaks the protocol |
//! | `user` | a login |
//! | `user`, `role` | a login, and answers to the queries of `replica` |
//!
//! A connection that ends without a login counts against its host, which the server shuts out after
//! `max_connect_errors` of them; a login that is refused does not. Hence nobody's.
//!
//! | plugin | answer |
//! |---|---|
//! | `mysql_native_password` | the hash |
//! | `caching_sha2_password` | the hash; when the server has nothing to compare it with, it wants the password itself, which would need TLS: refused |
//! | `mysql_clear_password`, `client_ed25519`, others | refused: not known here |
//!
//! `read_only` tells the role: 0 is a primary. Replicas must have it set; a replica that takes writes is a
//! primary to whoever asks it. What the server tells of its replication needs the right `REPLICATION CLIENT`
//! (MariaDB: `REPLICA MONITOR`); without it the role is known and the lag is not.
//!
//! | file | owns |
//! |---|---|
//! | `mod` | what is told |
//! | `dialogue` | the steps |
//! | `packets` | framing, the greeting, the login, errors |
//! | `rows` | the rows of an answer |
//! | `password` | proofs of a password |
//! | `replica` | the queries, and what their answers mean |

use std::fmt;

use crate::error::{Error, Result};
use crate::health::secret::Secret;

mod dialogue;
mod packets;
mod password;
mod replica;
mod rows;

pub(super) use dialogue::Dialogue;

/// The longest packet of a server, in bytes: one row of `SHOW REPLICA STATUS` with long sets of GTIDs.
pub const PACKET_MAX: usize = 65_536;
/// The most columns of an answer; `SHOW REPLICA STATUS` has about 60.
pub const COLUMNS_MAX: usize = 256;
/// The longest user name and password, in bytes.
pub const NAME_MAX: usize = 255;

/// What a MySQL probe is told.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `user` | bytes | 1 to 255, no NUL | none | the protocol is an answer too |
/// | `password` | bytes | 1 to 255 | none | a user may have none |
/// | `role` | | yes or no | no | costs two queries; needs a user |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The user to log in as.
    pub user: Option<String>,
    /// The password to log in with.
    pub password: Option<Secret>,
    /// Whether to ask for the role and the lag.
    pub role: bool,
}

/// What to say to MySQL.
#[derive(Clone, PartialEq, Eq)]
pub struct Mysql {
    user: Option<String>,
    password: Option<Secret>,
    role: bool,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").field("user", &self.user).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Mysql {
    /// Refuses what is out of range.
    pub fn new(options: Options) -> Result<Self> {
        let is_good = |user: &String| (1..=NAME_MAX).contains(&user.len()) && !user.contains('\0');
        if options.user.as_ref().is_some_and(|user| !is_good(user)) {
            return Err(Error::invalid("user", format!("1 to {NAME_MAX} bytes without NUL fit")));
        }
        let fits = |password: &Secret| (1..=NAME_MAX).contains(&password.bytes().len());
        if options.password.as_ref().is_some_and(|password| !fits(password)) {
            return Err(Error::invalid("password", format!("1 to {NAME_MAX} bytes fit")));
        }
        if options.user.is_none() && (options.role || options.password.is_some()) {
            let what = if options.role { "role" } else { "password" };
            return Err(Error::invalid(what, "it needs a login: give a user beside it"));
        }
        Ok(Self { user: options.user, password: options.password, role: options.role })
    }

    pub(super) fn tells_role(&self) -> bool {
        self.role
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_at_their_limits_and_passwords_unseen() {
        let good =
            || Options { user: Some("check".into()), password: Some("hunter2".into()), ..Options::default() };
        assert!(!format!("{:?} {:?}", good(), Mysql::new(good()).unwrap()).contains("hunter2"));
        for (what, options) in [
            ("user", Options { user: Some("".into()), ..good() }),
            ("user", Options { user: Some("a\0b".into()), ..good() }),
            ("user", Options { user: Some("x".repeat(256)), ..good() }),
            ("password", Options { password: Some("".into()), ..good() }),
            ("password", Options { password: Some("x".repeat(256).as_str().into()), ..good() }),
            ("password", Options { user: None, ..good() }),
            ("role", Options { role: true, ..Options::default() }),
        ] {
            let error = Mysql::new(options).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { what: named, .. } if named == what), "{error}");
        }
        let longest = "x".repeat(255);
        let options =
            Options { user: Some(longest.clone()), password: Some(longest.as_str().into()), role: true };
        assert!(Mysql::new(options).is_ok());
    }
}
