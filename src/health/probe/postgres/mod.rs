//! PostgreSQL, protocol 3.0 (its documentation, part "Frontend/Backend Protocol"), version 10 and later for the
//! role.
//!
//! | options | good is |
//! |---|---|
//! | no `user` | the server asks for a login, or refuses one because of who asks: it speaks the protocol |
//! | `user` | a login |
//! | `user`, `role` | a login, and an answer to the query of `query` |
//!
//! | the server asks for | answer |
//! |---|---|
//! | nothing (`trust`) | |
//! | `scram-sha-256` | as RFC 5802 and RFC 7677 have it, and the server must prove that it knows the password |
//! | `md5` | the hash |
//! | a password in clear text | refused, unless `allow_cleartext` |
//! | GSSAPI, SSPI, other SASL mechanisms | refused: not known here |
//!
//! | file | owns |
//! |---|---|
//! | `mod` | what is told, the first message |
//! | `dialogue` | the steps |
//! | `messages` | framing, errors, rows |
//! | `password`, `scram` | proofs of a password |
//! | `query` | the query for the role, and what its answer means |

use std::fmt;

use crate::error::{Error, Result};
use crate::health::secret::Secret;

mod dialogue;
mod messages;
mod password;
mod query;
mod scram;

pub(super) use dialogue::Dialogue;

/// The longest message of a server, in bytes.
pub const MESSAGE_MAX: usize = 32_768;
/// The most rounds that a server may ask SCRAM to hash: sixteen times PostgreSQL's own 4,096. The loop that runs
/// the probe stands still meanwhile, some tens of milliseconds at the limit; what came of it is kept for the next
/// probe.
pub const ROUNDS_MAX: u32 = 65_536;
/// The longest user name, database and password, in bytes.
pub const NAME_MAX: usize = 255;
/// The longest password, in bytes.
pub const PASSWORD_MAX: usize = 1024;

/// What a PostgreSQL probe is told.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `user` | bytes | 1 to 255, no NUL | none | the protocol is an answer too |
/// | `password` | bytes | 1 to 1,024, no NUL | none | `trust` wants none |
/// | `database` | bytes | 1 to 255, no NUL | the user's name | PostgreSQL's own |
/// | `role` | | yes or no | no | costs a query; needs a user, and no rights |
/// | `allow_cleartext` | | yes or no | no | whoever listens has the password then |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The user to log in as.
    pub user: Option<String>,
    /// The password to log in with.
    pub password: Option<Secret>,
    /// The database to log in to.
    pub database: Option<String>,
    /// Whether to ask for the role and the lag.
    pub role: bool,
    /// Whether the password may be sent as it is.
    pub allow_cleartext: bool,
}

/// What to say to PostgreSQL.
#[derive(Clone, PartialEq, Eq)]
pub struct Postgres {
    startup: Vec<u8>,
    user: Option<String>,
    password: Option<Secret>,
    role: bool,
    allow_cleartext: bool,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("user", &self.user).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Who asks where no user is given. It need not exist.
const NOBODY: &str = "trimtab";

impl Postgres {
    /// Refuses what is out of range.
    pub fn new(options: Options) -> Result<Self> {
        for (what, text) in [("user", &options.user), ("database", &options.database)] {
            let is_good = |text: &String| (1..=NAME_MAX).contains(&text.len()) && !text.contains('\0');
            if text.as_ref().is_some_and(|text| !is_good(text)) {
                return Err(Error::invalid(what, format!("1 to {NAME_MAX} bytes without NUL fit")));
            }
        }
        if let Some(password) = &options.password {
            let bytes = password.bytes();
            if !(1..=PASSWORD_MAX).contains(&bytes.len()) || bytes.contains(&0) {
                return Err(Error::invalid("password", format!("1 to {PASSWORD_MAX} bytes without NUL fit")));
            }
        }
        if options.user.is_none() {
            let what = if options.role {
                Some("role")
            } else if options.password.is_some() {
                Some("password")
            } else {
                options.database.as_ref().map(|_| "database")
            };
            if let Some(what) = what {
                return Err(Error::invalid(what, "it needs a login: give a user beside it"));
            }
        }
        let user = options.user.as_deref().unwrap_or(NOBODY);
        let mut startup = vec![0; 4];
        startup.extend_from_slice(&[0, 3, 0, 0]);
        for (key, value) in [
            ("user", user),
            ("database", options.database.as_deref().unwrap_or(user)),
            ("application_name", "trimtab"),
        ] {
            for text in [key, value] {
                startup.extend_from_slice(text.as_bytes());
                startup.push(0);
            }
        }
        startup.push(0);
        let length = u32::try_from(startup.len()).expect("names are bounded");
        startup[..4].copy_from_slice(&length.to_be_bytes());
        Ok(Self {
            startup,
            user: options.user,
            password: options.password,
            role: options.role,
            allow_cleartext: options.allow_cleartext,
        })
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
        assert!(!format!("{:?} {:?}", good(), Postgres::new(good()).unwrap()).contains("hunter2"));
        let longest = |max: usize| "x".repeat(max);
        for (what, options) in [
            ("user", Options { user: Some("".into()), ..good() }),
            ("user", Options { user: Some("a\0b".into()), ..good() }),
            ("user", Options { user: Some(longest(256)), ..good() }),
            ("database", Options { database: Some("".into()), ..good() }),
            ("password", Options { password: Some("".into()), ..good() }),
            ("password", Options { password: Some("a\0b".into()), ..good() }),
            ("password", Options { password: Some(longest(1025).as_str().into()), ..good() }),
            ("password", Options { user: None, ..good() }),
            ("role", Options { role: true, ..Options::default() }),
            ("database", Options { database: Some("x".into()), ..Options::default() }),
        ] {
            let error = Postgres::new(options).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { what: named, .. } if named == what), "{error}");
        }
        let options = Options {
            user: Some(longest(255)),
            password: Some(longest(1024).as_str().into()),
            database: Some(longest(255)),
            ..good()
        };
        assert!(Postgres::new(options).is_ok());
    }

    #[test]
    fn the_startup_message_names_user_and_database() {
        let startup = |options| Postgres::new(options).unwrap().startup;
        let nobody = startup(Options::default());
        let expected = b"\0\0\0\x40\0\x03\0\0user\0trimtab\0database\0trimtab\0application_name\0trimtab\0\0";
        assert_eq!(nobody, expected);
        let named =
            Options { user: Some("check".into()), database: Some("app".into()), ..Options::default() };
        assert!(startup(named).windows(28).any(|part| part == b"user\0check\0database\0app\0appl"));
    }
}
