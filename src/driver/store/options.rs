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
/// | `engine` | | see [`engine::Options`] | | |
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose store it is. A directory of another is refused.
    pub identity: Option<Identity>,
    /// How long a call waits that does not say so itself.
    pub timeout: Duration,
    /// How many calls may wait until the log takes them; more are refused with `Capacity`.
    pub waiting_max: usize,
    /// What the store promises, and its bounds.
    pub engine: engine::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: None,
            timeout: Duration::from_secs(30),
            waiting_max: 65_536,
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
        self.engine.check()
    }
}
