//! What an engine is told.

use std::time::Duration;

use super::durability::Durability;
use crate::error::{Error, Result};
use crate::store::index::evict::Eviction;
use crate::store::index::{self, Command, Operation, Settings, Timestamp};
use crate::store::log;

/// How a store keeps its promises, and what bounds it.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `durability` | | `memory`, `local` | `local` | what was answered is there after a crash |
/// | `flush_interval` | time | 1 ms to 1 h | 1 s | what a crash may take of `memory` writes, as with Redis' `everysec` |
/// | `flush_bytes` | bytes | 4 KiB to 4 GiB | 8 MiB | a burst of `memory` writes does not wait for the interval |
/// | `snapshot_bytes` | bytes | 64 KiB to 2^48 | 256 MiB | the log is let grow to this, or to the length of the last snapshot, before the next one: what is written while one is made is copied in memory first, and this is read in half a second |
/// | `snapshot_retry` | time | 1 ms to 24 h | 10 s | how soon a failed snapshot is tried again, unless it is seen before that there is room for it |
/// | `eviction` | | `refuse`, `lru`, `ttl` | `refuse` | nothing goes that nobody asked to go |
/// | `eviction_places` | keys | 1 to 2^28 | 1,048,576 | four bytes each, with `lru` alone; as many as there will be keys |
/// | `settings` | | see [`Settings`] | | replicated: a change is a command in the log |
/// | `log` | | see [`log::Options`] | | |
/// | `index` | | see [`index::Options`] | | |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What a write gets that asks for nothing.
    pub durability: Durability,
    /// After how long `memory` writes go to disk at the latest.
    pub flush_interval: Duration,
    /// How much of them may come together before that.
    pub flush_bytes: u64,
    /// How long the log may get before a snapshot is written.
    pub snapshot_bytes: u64,
    /// How long after a snapshot that failed the next is tried.
    pub snapshot_retry: Duration,
    /// What goes when `memory_max` is reached.
    pub eviction: Eviction,
    /// How many places there are to remember when keys were used.
    pub eviction_places: usize,
    /// What is replicated of the settings.
    pub settings: Settings,
    /// The log's.
    pub log: log::Options,
    /// The index'.
    pub index: index::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Local,
            flush_interval: Duration::from_secs(1),
            flush_bytes: 8 << 20,
            snapshot_bytes: 256 << 20,
            snapshot_retry: Duration::from_secs(10),
            eviction: Eviction::Refuse,
            eviction_places: 1 << 20,
            settings: Settings::default(),
            log: log::Options::default(),
            index: index::Options::default(),
        }
    }
}

impl Options {
    /// `InvalidArgument` for the first that is out of range, `Unsupported` for a durability that needs replication.
    pub fn check(&self) -> Result<()> {
        self.durability.check()?;
        in_range("flush_bytes", self.flush_bytes, 4 << 10, 4 << 30)?;
        in_range("snapshot_bytes", self.snapshot_bytes, 64 << 10, 1 << 48)?;
        in_range("eviction_places", self.eviction_places as u64, 1, 1 << 28)?;
        let millisecond = Duration::from_millis(1);
        for (what, value, most) in [
            ("flush_interval", self.flush_interval, Duration::from_secs(3600)),
            ("snapshot_retry", self.snapshot_retry, Duration::from_secs(86_400)),
        ] {
            if !(millisecond..=most).contains(&value) {
                return Err(Error::invalid(what, format!("{value:?} is outside 1ms to {most:?}")));
            }
        }
        self.check_settings()?;
        self.log.check()
    }
}

impl Options {
    /// Settings go into the log as a command, so what is no command is refused here.
    fn check_settings(&self) -> Result<()> {
        let mut encoded = Vec::new();
        let operation = Operation::Configure(self.settings);
        Command { time: Timestamp::default(), request: None, operation }.encode(&mut encoded);
        Command::decode(&encoded, &Settings::default())
            .map(drop)
            .map_err(|malformed| Error::invalid("settings", malformed.to_string()))
    }
}

fn in_range(what: &'static str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(what, format!("{value} is outside {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold() {
        let good = Options::default();
        assert!(good.check().is_ok());
        for bad in [
            Options { flush_bytes: 1, ..good.clone() },
            Options { snapshot_bytes: 1, ..good.clone() },
            Options { eviction_places: 0, ..good.clone() },
            Options { settings: Settings { value_max: 0, ..Settings::default() }, ..good.clone() },
            Options { flush_interval: Duration::ZERO, ..good.clone() },
            Options { snapshot_retry: Duration::from_secs(1 << 20), ..good.clone() },
            Options { log: log::Options { segment_bytes: 1, ..log::Options::default() }, ..good.clone() },
        ] {
            assert!(matches!(bad.check(), Err(Error::InvalidArgument { .. })), "{bad:?}");
        }
        let bad = Options { durability: Durability::Quorum, ..good };
        assert!(matches!(bad.check(), Err(Error::Unsupported { .. })));
    }
}
