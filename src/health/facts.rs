//! [`Facts`]: what a good probe learnt besides that it was good.

use std::fmt;
use std::time::Duration;

use crate::health::reason::{Reason, Source};

/// What a good probe learnt. A field is `None` where the kind of probe does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it takes writes.
    pub role: Option<Role>,
    /// How far it has applied its log: what a primary wrote, what a replica replayed.
    pub position: Option<Position>,
    /// How far a replica is behind, in time.
    pub lag: Option<Duration>,
    /// How far a replica is behind what it has received, in bytes of log.
    pub lag_bytes: Option<u64>,
    /// Whether a replica receives from its primary.
    pub link: Option<Link>,
    /// What an agent ordered.
    pub orders: Option<Orders>,
}

/// Who orders writes and who follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes writes.
    Primary,
    /// Follows a primary.
    Replica,
}

impl Role {
    /// The name in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
        }
    }
}

/// A replica's connection to its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// It receives.
    Up,
    /// It does not, so its lag grows unseen.
    Down,
}

/// A place in a log. Two of one kind can be compared, within one history of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Bytes since the log's start (PostgreSQL's LSN, Redis' replication offset).
    Bytes(u64),
    /// A byte in a file of the primary's log (MySQL, MariaDB).
    File {
        /// The file's name, of at most [`FILE_MAX`] bytes.
        file: Box<str>,
        /// The byte.
        offset: u64,
    },
}

/// The longest name of a log file that is kept, in bytes.
pub const FILE_MAX: usize = 128;

/// What an agent ordered. What it does not mention is not to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Whether the backend is to be picked.
    pub admin: Option<Ordered>,
    /// Whether the backend is fit.
    pub operational: Option<Operational>,
    /// The weight, in percent of the configured one.
    pub weight_percent: Option<u32>,
    /// The most connections.
    pub maxconn: Option<u32>,
    /// What stood behind the `#`, as [`Reason`] would clean it; empty when nothing did.
    pub comment: Box<str>,
}

/// An administrative order of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ordered {
    /// May be picked.
    Ready,
    /// No new picks.
    Drain,
    /// Out of service.
    Maintenance,
}

/// An agent's word for how the backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operational {
    /// Fit.
    Up,
    /// Not fit.
    Down,
    /// Not fit: something failed.
    Fail,
    /// Not fit: it was stopped.
    Stopped,
}

impl Operational {
    /// The word an agent says it by.
    pub fn word(self) -> &'static str {
        match self {
            Operational::Up => "up",
            Operational::Down => "down",
            Operational::Fail => "fail",
            Operational::Stopped => "stopped",
        }
    }
}

impl Orders {
    /// Why the backend is not fit, when the agent said so.
    pub fn failure(&self) -> Option<Reason> {
        let word = self.operational.filter(|word| *word != Operational::Up)?.word();
        let text =
            if self.comment.is_empty() { word.to_string() } else { format!("{word}: {}", self.comment) };
        Some(Reason::new(Source::Agent, text))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Bytes(bytes) => bytes.fmt(f),
            Position::File { file, offset } => write!(f, "{file}:{offset}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_says_up_or_nothing_gives_no_failure() {
        let said =
            |operational| Orders { operational, comment: "disk".into(), ..Orders::default() }.failure();
        assert_eq!(said(None), None);
        assert_eq!(said(Some(Operational::Up)), None);
        for (word, text) in [
            (Operational::Down, "agent: down: disk"),
            (Operational::Fail, "agent: fail: disk"),
            (Operational::Stopped, "agent: stopped: disk"),
        ] {
            assert_eq!(said(Some(word)).unwrap().to_string(), text);
        }
        let silent = Orders { operational: Some(Operational::Down), ..Orders::default() };
        assert_eq!(silent.failure().unwrap().to_string(), "agent: down");
    }
}
