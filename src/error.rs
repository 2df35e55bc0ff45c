//! [`Error`]: what can go wrong, grouped by who can mend it.

use std::borrow::Cow;
use std::fmt;

/// The result of a call that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. The variants carry facts; `Display` is one line that says what, where and what to
/// do instead. Match on the variant, never on the text.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The caller passed something that cannot be right. Nothing was changed.
    InvalidArgument {
        /// The argument or option, by its name in the interface.
        what: &'static str,
        /// What is wrong with it, and what would be right.
        detail: Cow<'static, str>,
    },
    /// Something with this name or address is there already. Nothing was changed.
    Exists {
        /// `"name"` or `"address"`.
        what: &'static str,
        /// The one given.
        value: String,
    },
    /// There is nothing with this name or number (any more).
    NotFound {
        /// What was looked for: `"backend"`.
        what: &'static str,
        /// The name or number given.
        value: String,
    },
    /// A named limit is reached. Nothing was changed; it can be tried again when something was given back.
    Capacity {
        /// The limit, by its name in the interface.
        what: &'static str,
        /// Its value.
        limit: u64,
    },
    /// No backend may take this connection now.
    NoBackend(NoBackend),
    /// The pick was reported done before, or is none of this pool's. Nothing was counted.
    StalePick,
}

/// Why no backend could be picked. `Pool::explain` tells it backend by backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBackend {
    /// The pool has no backends.
    Empty,
    /// None of its backends is usable: each is drained, in maintenance, down or ejected.
    Unusable {
        /// How many backends the pool has.
        backends: u32,
    },
    /// Every usable backend of the serving tier is at its `maxconn`.
    Full {
        /// How many backends are at their limit.
        backends: u32,
    },
}

impl Error {
    pub(crate) fn invalid(what: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::InvalidArgument { what, detail: detail.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument { what, detail } => write!(f, "invalid {what}: {detail}"),
            Error::Exists { what, value } => {
                write!(f, "a backend with the {what} {value:?} is in the pool already")
            }
            Error::NotFound { what, value } => write!(f, "no {what} {value} in the pool"),
            Error::Capacity { what, limit } => write!(f, "the limit {what} = {limit} is reached"),
            Error::NoBackend(reason) => write!(f, "no backend: {reason}"),
            Error::StalePick => {
                f.write_str("this pick was reported done before, or was not made by this pool")
            }
        }
    }
}

impl fmt::Display for NoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoBackend::Empty => f.write_str("the pool is empty; add one"),
            NoBackend::Unusable { backends } => write!(
                f,
                "none of the {backends} in the pool is usable (drained, in maintenance, down or ejected); \
                 explain tells which is what"
            ),
            NoBackend::Full { backends } => write!(
                f,
                "all {backends} usable ones are at their maxconn; wait for one to finish or raise it"
            ),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_says_what_to_do() {
        let error =
            Error::invalid("weight", "0 is outside 1 to 65535; to stop new traffic, drain the backend");
        let text = error.to_string();
        assert!(text.starts_with("invalid weight: 0 is outside"), "{text}");
        for error in [
            error,
            Error::NoBackend(NoBackend::Full { backends: 2 }),
            Error::Capacity { what: "picks_max", limit: 5 },
            Error::StalePick,
        ] {
            assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
