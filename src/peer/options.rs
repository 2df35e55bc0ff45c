//! [`Options`]: bounds and times of links.

use std::time::Duration;

use crate::error::{Error, Result, within};
use crate::peer::Class;

/// Bounds and times of links. The three numbers of a list are for [`Class::ALL`], in that order.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `hello_max` | time | 10 ms to 1 min | 5 s | a handshake across the world takes one |
/// | `ping_interval` | time | 10 ms to 1 min | 1 s | cheap, and a dead link is found soon after |
/// | `silence_max` | time | `ping_interval` to 10 min | 3 s | three packets in a row are rarely lost |
/// | `backoff_min` | time | 1 ms to `backoff_max` | 50 ms | a restarted node is back at once |
/// | `backoff_max` | time | up to 10 min | 2 s | the most a node that is back waits for its links |
/// | `refused_backoff` | time | 1 ms to 1 h | 5 s | who was refused is refused again until somebody acts |
/// | `message_bytes_max` | bytes | 1 KiB to 1 GiB | 64 MiB + 64 KiB | the longest frame of replication |
/// | `queue_bytes` | bytes, each | 1 KiB to 4 GiB | 1 MiB, 32 MiB, 8 MiB | twice what may be under way |
/// | `window_bytes` | bytes, each | 1 KiB to 1 GiB | 1 MiB, 16 MiB, 4 MiB | what replication has under way to one replica |
/// | `bulk_rate` | bytes a second | 0: no limit | 0 | a node that catches up should |
/// | `pending_max` | connections | 1 to 65,536 | 128 | who has not said who it is costs memory |
///
/// A message counts for its bytes and [`MESSAGE_OVERHEAD_BYTES`](crate::peer::MESSAGE_OVERHEAD_BYTES). One that is
/// longer than its queue or its window goes alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// From the connection to its being up, TLS too.
    pub hello_max: Duration,
    /// How often the other end is asked whether it is there.
    pub ping_interval: Duration,
    /// How long it may take to answer that.
    pub silence_max: Duration,
    /// The first wait before dialling again; each further one is twice as long.
    pub backoff_min: Duration,
    /// The longest wait before dialling again.
    pub backoff_max: Duration,
    /// The wait before dialling one who refused.
    pub refused_backoff: Duration,
    /// The longest message taken, and the longest sent.
    pub message_bytes_max: u32,
    /// What may wait to go over one link, for each class.
    pub queue_bytes: [u64; 3],
    /// What may have come over one link and not been taken, for each class.
    pub window_bytes: [u32; 3],
    /// The most bytes of bulk a second over one link; 0: no limit.
    pub bulk_rate: u64,
    /// The most connections at once that have not said who they are; beyond it the oldest goes.
    pub pending_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hello_max: Duration::from_secs(5),
            ping_interval: Duration::from_secs(1),
            silence_max: Duration::from_secs(3),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            refused_backoff: Duration::from_secs(5),
            message_bytes_max: (64 << 20) + (64 << 10),
            queue_bytes: [1 << 20, 32 << 20, 8 << 20],
            window_bytes: [1 << 20, 16 << 20, 4 << 20],
            bulk_rate: 0,
            pending_max: 128,
        }
    }
}

impl Options {
    /// `InvalidArgument` for the first that is out of range.
    pub fn check(&self) -> Result<()> {
        let (ms, minute) = (Duration::from_millis(1), Duration::from_secs(60));
        within("hello_max", self.hello_max, 10 * ms, minute)?;
        within("ping_interval", self.ping_interval, 10 * ms, minute)?;
        within("silence_max", self.silence_max, self.ping_interval, 10 * minute)?;
        within("backoff_max", self.backoff_max, ms, 10 * minute)?;
        within("backoff_min", self.backoff_min, ms, self.backoff_max)?;
        within("refused_backoff", self.refused_backoff, ms, 60 * minute)?;
        within("message_bytes_max", self.message_bytes_max, 1 << 10, 1 << 30)?;
        for class in Class::ALL {
            within("queue_bytes", self.queue_bytes[class.index()], 1 << 10, 4 << 30)?;
            within("window_bytes", self.window_bytes[class.index()], 1 << 10, 1 << 30)?;
        }
        if self.bulk_rate > 0 && self.bulk_rate < 1_024 {
            return Err(Error::invalid(
                "bulk_rate",
                format!("{} is below 1024; 0 is no limit", self.bulk_rate),
            ));
        }
        within("pending_max", self.pending_max, 1, 65_536)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold() {
        let good = Options::default();
        assert!(good.check().is_ok());
        for bad in [
            Options { hello_max: Duration::ZERO, ..good.clone() },
            Options { silence_max: good.ping_interval / 2, ..good.clone() },
            Options { backoff_min: good.backoff_max * 2, ..good.clone() },
            Options { message_bytes_max: 1, ..good.clone() },
            Options { window_bytes: [1 << 20, 0, 1 << 20], ..good.clone() },
            Options { queue_bytes: [1 << 20, 1 << 20, 0], ..good.clone() },
            Options { bulk_rate: 7, ..good.clone() },
            Options { pending_max: 0, ..good.clone() },
        ] {
            assert!(matches!(bad.check(), Err(Error::InvalidArgument { .. })), "{bad:?}");
        }
    }
}
