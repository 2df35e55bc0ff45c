//! [`Error`]: what can go wrong, grouped by who can mend it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

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
        /// What was looked for: `"backend"`, `"pool"`, `"listener"`.
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
    /// A configuration that cannot be: where it is wrong and what would be right. Nothing was started.
    Config(Vec<Problem>),
    /// The system refused something.
    Io {
        /// What was tried, with its object: `bind 0.0.0.0:80 for the listener web`.
        what: String,
        /// The system's number for it (`errno`), 0 when it gave none.
        code: i32,
        /// The system's words for it.
        detail: String,
    },
    /// A wait reached its deadline; what was waited for goes on.
    TimedOut {
        /// What was waited for.
        what: &'static str,
    },
    /// The call does not fit the state: started twice, turned after its end.
    State {
        /// What is in this state: `"server"`.
        what: &'static str,
        /// The state it is in, and what may be called then.
        detail: Cow<'static, str>,
    },
    /// The process forked since this was made: in the child it can only be freed.
    Forked {
        /// What the parent keeps: `"server"`.
        what: &'static str,
    },
    /// What was asked for, or what lies on disk, is of a kind this release does not know.
    Unsupported {
        /// What it is: `"segment version"`.
        what: &'static str,
        /// Which one it is, where, and what would do.
        detail: Cow<'static, str>,
    },
    /// Data on disk are not what was written there. Nothing was changed.
    Corrupt(Box<Damage>),
    /// This node is not the cluster's primary, and was not to pass the call on. Nothing was changed.
    NotPrimary {
        /// The name of who is, as far as this node knows.
        primary: Option<String>,
    },
    /// The primary does not hold its quorum, or no primary was found in time. Nothing was changed.
    NoQuorum,
    /// Another primary's writes took the place of this one: it was not done, and will not be.
    Superseded,
    /// Whether a write was or will be done is not known: its primary was lost before it could say. With a client and a
    /// number the same request may be sent again, and tells; without, only what is there does.
    UnknownOutcome,
}

/// Data on disk that are not what was written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, with its directory where that is known.
    pub file: String,
    /// The first byte that cannot be trusted, counted from 0.
    pub offset: u64,
    /// What is wrong there, in one line.
    pub what: String,
    /// What to do about it, in one line.
    pub hint: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at byte {}: {}; {}", self.file, self.offset, self.what, self.hint)
    }
}

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or what the caller named the text.
    pub source: String,
    /// The line, from 1; 0 when the problem is not at one place of the text.
    pub line: u32,
    /// The column in characters, from 1; 0 with line 0.
    pub column: u32,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do instead, in one line; empty when the message says it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
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
    /// Every backend that serves is one that the request avoids, which [`Pool::pick_other`] picks none of.
    ///
    /// [`Pool::pick_other`]: crate::balance::Pool::pick_other
    Avoided {
        /// How many serve.
        backends: u32,
    },
    /// The pool is at its own `maxconn`.
    PoolFull {
        /// The most picks in flight on all backends together.
        maxconn: u32,
    },
    /// Every usable backend that has room is at its `connection_rate`.
    RateLimited {
        /// How many backends there are to pick from.
        backends: u32,
        /// After how long one may be picked again, if nobody picks meanwhile.
        wait: Duration,
    },
    /// The pool is at its own `connection_rate`.
    PoolRateLimited {
        /// The most picks a second on all backends together.
        rate: u32,
        /// After how long a pick may come again, if nobody picks meanwhile.
        wait: Duration,
    },
}

impl Error {
    pub(crate) fn invalid(what: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Error::InvalidArgument { what, detail: detail.into() }
    }

    /// What it says of a single argument, without the argument's name.
    #[cfg(feature = "proxy")]
    pub(crate) fn into_detail(self) -> String {
        match self {
            Error::InvalidArgument { detail, .. } => detail.into_owned(),
            other => other.to_string(),
        }
    }

    /// What `error` says of an attempt to `what`.
    #[cfg(any(feature = "proxy", feature = "store"))]
    pub(crate) fn io(what: impl Into<String>, error: &std::io::Error) -> Self {
        Error::Io { what: what.into(), code: error.raw_os_error().unwrap_or(0), detail: error.to_string() }
    }

    /// What the system said of a directory that is to be written to, and what can be done where it may not be.
    #[cfg(feature = "store")]
    pub(crate) fn io_in_directory(what: impl Into<String>, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "; give the directory to the user that this runs as (chown, chmod), or name another one"
            }
            std::io::ErrorKind::ReadOnlyFilesystem => {
                "; mount it for reading and writing, or name a directory on another file system"
            }
            _ => "",
        };
        Error::Io {
            what: what.into(),
            code: error.raw_os_error().unwrap_or(0),
            detail: format!("{error}{hint}"),
        }
    }
}

/// Refuses what is not within `low` to `high`; NaN is within nothing.
pub(crate) fn within<T: PartialOrd + fmt::Debug>(
    what: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    // A duration has no other form than that for debugging, in which a whole float has a `.0`.
    let show = |number: T| {
        let text = format!("{number:?}");
        text.strip_suffix(".0").map(String::from).unwrap_or(text)
    };
    Err(Error::invalid(what, format!("{} is outside {} to {}", show(value), show(low), show(high))))
}

/// `text` in quotes, without anything a terminal would act on, cut when it is long.
#[cfg(feature = "proxy")]
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument { what, detail } => write!(f, "invalid {what}: {detail}"),
            Error::Exists { what, value } => {
                write!(f, "a backend with the {what} {value:?} is in the pool already")
            }
            Error::NotFound { what: what @ "backend", value } => write!(f, "no {what} {value} in the pool"),
            Error::NotFound { what, value } => write!(f, "there is no {what} {value}"),
            Error::Capacity { what: what @ "disk_bytes_max", limit } => {
                write!(f, "the limit {what} = {limit} is reached: delete what is not needed, or raise it")
            }
            Error::Capacity { what, limit } => write!(f, "the limit {what} = {limit} is reached"),
            Error::NoBackend(reason) => write!(f, "no backend: {reason}"),
            Error::StalePick => {
                f.write_str("this pick was reported done before, or was not made by this pool")
            }
            Error::Config(problems) => match problems.as_slice() {
                [] => f.write_str("the configuration is wrong"),
                [only] => only.fmt(f),
                [first, rest @ ..] => write!(f, "{first} (and {} more)", rest.len()),
            },
            Error::Io { what, detail, .. } => write!(f, "cannot {what}: {detail}"),
            Error::TimedOut { what } => write!(f, "timed out waiting for {what}"),
            Error::State { what, detail } => write!(f, "the {what} {detail}"),
            Error::Forked { what } => write!(
                f,
                "this {what} belongs to the process that made it; a child made by fork can only free it and \
                 make its own"
            ),
            Error::Unsupported { what, detail } => write!(f, "unsupported {what}: {detail}"),
            Error::Corrupt(damage) => damage.fmt(f),
            Error::NotPrimary { primary: Some(primary) } => {
                write!(f, "this node is not primary; {primary} is: ask there")
            }
            Error::NotPrimary { primary: None } => {
                f.write_str("this node is not primary, and knows of none at present; ask again")
            }
            Error::NoQuorum => f.write_str(
                "no primary holds a quorum of the cluster at present; nothing was done: ask again when more nodes are up",
            ),
            Error::Superseded => {
                f.write_str("another primary took over before this write was safe; it was not done: send it again")
            }
            Error::UnknownOutcome => f.write_str(
                "the primary was lost before it said what came of this write; it may have been done: with a client and \
                 a number it may be sent again, otherwise read what is there",
            ),
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
            NoBackend::Avoided { backends } => write!(f, "all {backends} usable ones were tried; give up"),
            NoBackend::PoolFull { maxconn } => {
                write!(f, "the pool is at its maxconn = {maxconn}; wait for a pick to finish or raise it")
            }
            NoBackend::RateLimited { backends, wait } => write!(
                f,
                "all {backends} usable ones are at their connection_rate or maxconn; wait {wait:?} or raise them"
            ),
            NoBackend::PoolRateLimited { rate, wait } => {
                write!(f, "the pool is at its connection_rate = {rate}; wait {wait:?} or raise it")
            }
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_at_its_ends() {
        let text = |result: Result<()>| result.unwrap_err().to_string();
        assert_eq!((within("n", 1, 1, 3), within("n", 3, 1, 3)), (Ok(()), Ok(())));
        assert_eq!(text(within("n", 0, 1, 3)), "invalid n: 0 is outside 1 to 3");
        assert_eq!(text(within("share", 1.5, 0.0, 1.0)), "invalid share: 1.5 is outside 0 to 1");
        assert_eq!(text(within("share", 2.0, 0.25, 1.0)), "invalid share: 2 is outside 0.25 to 1");
        assert_eq!(text(within("share", f64::NAN, 0.0, 1.0)), "invalid share: NaN is outside 0 to 1");
        let ms = Duration::from_millis;
        assert_eq!(text(within("wait", ms(9), ms(10), ms(1_000))), "invalid wait: 9ms is outside 10ms to 1s");
    }

    #[test]
    fn a_message_is_one_line_and_says_what_to_do() {
        let error =
            Error::invalid("weight", "0 is outside 1 to 65535; to stop new traffic, drain the backend");
        let text = error.to_string();
        assert!(text.starts_with("invalid weight: 0 is outside"), "{text}");
        for error in [
            error,
            Error::NoBackend(NoBackend::Full { backends: 2 }),
            Error::NoBackend(NoBackend::Avoided { backends: 2 }),
            Error::NoBackend(NoBackend::PoolFull { maxconn: 2 }),
            Error::NoBackend(NoBackend::RateLimited { backends: 2, wait: Duration::from_millis(3) }),
            Error::NoBackend(NoBackend::PoolRateLimited { rate: 2, wait: Duration::from_millis(3) }),
            Error::Capacity { what: "picks_max", limit: 5 },
            Error::StalePick,
            Error::NotPrimary { primary: Some("db-2".into()) },
            Error::NotPrimary { primary: None },
            Error::NoQuorum,
            Error::Superseded,
            Error::UnknownOutcome,
            Error::Unsupported { what: "segment version", detail: "2; this release reads 1".into() },
            Error::Corrupt(Box::new(Damage {
                file: "data/0000000000000001.wal".into(),
                offset: 8192,
                what: "the record's checksum does not match".into(),
                hint: "restore the directory from a backup".into(),
            })),
        ] {
            assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
