//! What a log is told.

use std::time::Duration;

use crate::error::{Error, Result};

use super::record::{PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES};
use super::segment::RECORDS_OFFSET;

/// How a log uses its disk.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `segment_bytes` | bytes | 16 KiB to 1 GiB, a multiple of 4096 | 64 MiB | a new one each 300,000 small records; filled in a tenth of a second |
/// | `pending_bytes_max` | bytes | 64 KiB to 4 GiB | 64 MiB | what a slow disk may make wait in memory |
/// | `disk_bytes_max` | bytes | three segments or more | none | the disk's owner knows |
/// | `kept_bytes` | bytes | up to 2^48 | 0 | a log that is kept takes room and time to open; see [`Options::kept_bytes`] |
/// | `retry` | time | 1 ms to 1 h | 1 s | how soon it is seen that a full disk has room again |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The length of a segment's file. A directory keeps the one it was made with.
    pub segment_bytes: u64,
    /// How much may be appended and not be durable yet; more is refused with `Capacity`.
    pub pending_bytes_max: u64,
    /// The most that segments and snapshots may take together; appends that would need more are refused with
    /// `Capacity`. A snapshot is written even so, since it is what makes room, and beside it the log has two segments whatever it
    /// takes: in them is room for what makes the next one smaller. But for a node of a cluster, which takes what the primary has
    /// taken: it stops where its snapshot alone is more.
    pub disk_bytes_max: Option<u64>,
    /// How much of the log is kept though a snapshot stands for it, in whole segments: so an incremental backup, or a
    /// watcher that was away, goes on from where it was. It is read when the log is opened. Where `disk_bytes_max` or the
    /// disk itself leaves no room for what is to be written, it goes first.
    pub kept_bytes: u64,
    /// How long after the system refused a new segment it is asked again.
    pub retry: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            pending_bytes_max: 64 << 20,
            disk_bytes_max: None,
            kept_bytes: 0,
            retry: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// `InvalidArgument` for the first that is out of range.
    pub fn check(&self) -> Result<()> {
        if !(16 << 10..=1 << 30).contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(4096) {
            return Err(Error::invalid(
                "segment_bytes",
                format!("{} is no multiple of 4096 from 16384 to 1073741824", self.segment_bytes),
            ));
        }
        if !(64 << 10..=4 << 30).contains(&self.pending_bytes_max) {
            return Err(Error::invalid(
                "pending_bytes_max",
                format!("{} is outside 65536 to 4294967296", self.pending_bytes_max),
            ));
        }
        let least = 3 * self.segment_bytes;
        if let Some(bytes) = self.disk_bytes_max.filter(|bytes| *bytes < least) {
            return Err(Error::invalid(
                "disk_bytes_max",
                format!("{bytes} is less than three segments, which are {least}"),
            ));
        }
        if self.kept_bytes > 1 << 48 {
            return Err(Error::invalid("kept_bytes", format!("{} is more than 2^48", self.kept_bytes)));
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&self.retry) {
            return Err(Error::invalid("retry", format!("{:?} is outside 1ms to 1h", self.retry)));
        }
        Ok(())
    }

    /// The longest payload of an entry, in bytes: a quarter of a segment is kept for what is said again at its
    /// beginning.
    pub fn payload_bytes_max(&self) -> usize {
        let room = (self.segment_bytes - RECORDS_OFFSET) as usize;
        (room - room / 4 - RECORD_HEADER_BYTES - 4).min(PAYLOAD_BYTES_MAX)
    }

    /// The longest membership, in bytes.
    pub fn membership_bytes_max(&self) -> usize {
        let room = (self.segment_bytes - RECORDS_OFFSET) as usize;
        (room / 8).min(64 << 10)
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
            Options { segment_bytes: 12_288, ..good.clone() },
            Options { segment_bytes: 65_537, ..good.clone() },
            Options { segment_bytes: 2 << 30, ..good.clone() },
            Options { pending_bytes_max: 1, ..good.clone() },
            Options { disk_bytes_max: Some(1), ..good.clone() },
            Options { kept_bytes: (1 << 48) + 1, ..good.clone() },
            Options { retry: Duration::ZERO, ..good.clone() },
        ] {
            assert!(matches!(bad.check(), Err(Error::InvalidArgument { .. })), "{bad:?}");
        }
    }
}
