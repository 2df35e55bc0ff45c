//! What a store is told.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::engine;
use crate::store::log::Identity;

/// How a store is opened.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `identity` | | node from 1 | what the directory says; a new one: a random cluster, node 1 | a store of one node needs no name |
/// | `timeout` | time | 1 ms to 24 h | 30 s | a call that waits for a disk which hangs is to say so |
/// | `waiting_max` | calls | 1 to 2^24 | 65,536 | what may come together while a new segment is made |
/// | `scrub_interval` | time | 1 ms to 366 days, or none | 24 h | what rots is found while there still is another copy |
/// | `scrub_bytes_per_second` | bytes | 64 KiB to 2^40 | 8 MiB | a gigabyte in two minutes, and a disk hardly notices |
/// | `is_hosted` | | | no | threads of its own need nothing of the host |
/// | `engine` | | see [`engine::Options`] | | |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whose store it is. A directory of another is refused.
    pub identity: Option<Identity>,
    /// How long a call waits that does not say so itself.
    pub timeout: Duration,
    /// How many calls may wait until the log takes them; more are refused with `Capacity`.
    pub waiting_max: usize,
    /// How long after one pass over all that lies on disk the next one begins, which finds what has rotted; `None`: there
    /// is one only when it is asked for.
    pub scrub_interval: Option<Duration>,
    /// How much of it is read in a second, averaged over a MiB.
    pub scrub_bytes_per_second: u64,
    /// Whether it has no threads of its own: what is due is done in [`Store::turn`](super::Store::turn), and by calls that wait,
    /// on the caller's thread.
    pub is_hosted: bool,
    /// What the store promises, and its bounds.
    pub engine: engine::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: None,
            timeout: Duration::from_secs(30),
            waiting_max: 65_536,
            scrub_interval: Some(Duration::from_secs(86_400)),
            scrub_bytes_per_second: 8 << 20,
            is_hosted: false,
            engine: engine::Options::default(),
        }
    }
}

impl Options {
    /// `InvalidArgument` for the first that is out of range.
    pub fn check(&self) -> Result<()> {
        if !(1..=1 << 24).contains(&self.waiting_max) {
            return Err(Error::invalid(
                "waiting_max",
                format!("{} is outside 1 to 16777216", self.waiting_max),
            ));
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(86_400));
        if !(least..=most).contains(&self.timeout) {
            return Err(Error::invalid("timeout", format!("{:?} is outside 1ms to 24h", self.timeout)));
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(366 * 86_400));
        if let Some(interval) = self.scrub_interval.filter(|interval| !(least..=most).contains(interval)) {
            return Err(Error::invalid("scrub_interval", format!("{interval:?} is outside 1ms to 366 days")));
        }
        if !(64 << 10..=1 << 40).contains(&self.scrub_bytes_per_second) {
            return Err(Error::invalid(
                "scrub_bytes_per_second",
                format!("{} is outside 65536 to 1099511627776", self.scrub_bytes_per_second),
            ));
        }
        self.engine.check()
    }
}
