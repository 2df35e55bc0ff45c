//! What a node is told.

use std::time::Duration;

use crate::error::{Error, Result, within};

/// How a node keeps time, and what bounds it.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `tick` | time | 1 ms to 1 s | 20 ms | the grain of all that follows |
/// | `heartbeat_ticks` | ticks | 1 to 100 | 2 | 40 ms: a lease is renewed nine times before it ends |
/// | `election_ticks` | ticks | 5 × `heartbeat_ticks` to 10,000 | 20 | 400 ms without a primary begin an election, 800 at most: writes go on within a second |
/// | `clock_drift_permille` | 1/1000 | 0 to 200 | 10 | how far two clocks' rates may differ; a hundred times what crystals do |
/// | `message_bytes` | bytes | 1 KiB to 16 MiB, an eighth of a segment | 256 KiB | entries in one message, unless one is longer |
/// | `inflight_messages` | messages | 1 to 4,096 | 64 | what a replica may be sent before it answers |
/// | `uncommitted_bytes_max` | bytes | 64 KiB to 4 GiB | 64 MiB | proposals that are not committed; more is refused |
/// | `tail_bytes` | bytes | 0 to 4 GiB | 16 MiB | entries kept in memory for replicas that are a little behind |
/// | `kept_bytes_max` | bytes | 0 to 2^48 | 256 MiB | of the log that a snapshot stands for, kept for a replica that is behind |
/// | `waiting_max` | calls | 1 to 2^24 | 65,536 | reads and writes that wait for an answer |
/// | `snapshot_window` | pieces | 1 to 1,024 | 16 | pieces of a snapshot on their way to one replica, 256 KiB each; fewer over a slow link |
/// | `snapshot_rate` | bytes a second | 0: no limit | 0 | what a replica that catches up may take of the network |
/// | `snapshot_retry` | time | 10 ms to 1 h | 1 s | how soon it is asked what of a snapshot has come when nothing is heard, beside twice the time that the last piece took |
/// | `snapshot_timeout` | time | `snapshot_retry` to 24 h | 30 s | without progress a transfer is given up, and begun anew |
/// | `transfer_timeout` | time | 10 ms to 1 h | 2 s | a handover that takes longer is called off. Writes wait for an election's time of it at most before they have their turn |
/// | `slow_flush` | time | 10 ms to 1 h; none | 1 s | a primary whose disk takes longer hands over to one whose does not |
/// | `handover_pause` | time | 1 s to 24 h | 30 s | after such a handover, before the next |
/// | `degrade_after` | time | none | none | after how long an answer comes with less than was asked for, and says so |
/// | `feed_from` | nodes | up to 8 | none | the primary feeds all; a learner that is far from it may be fed by one nearby |
/// | `feed_timeout` | time | 10 ms to 1 h, with `feed_from` an election's time at least | 2 s | a learner that gets nothing new from its source goes back to the primary; an election is over by then |
/// | `hash_interval` | entries | 1 to 2^32 | 4,096 | how often replicas compare what they have come to |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The grain of time.
    pub tick: Duration,
    /// After how many ticks a primary says that it is there.
    pub heartbeat_ticks: u32,
    /// After how many ticks without a primary an election begins; twice as many at most.
    pub election_ticks: u32,
    /// How far the rates of two nodes' clocks may differ.
    pub clock_drift_permille: u32,
    /// The most bytes of entries in one message, unless one entry is longer.
    pub message_bytes: u64,
    /// The most messages with entries on their way to one replica.
    pub inflight_messages: u32,
    /// The most bytes proposed and not committed.
    pub uncommitted_bytes_max: u64,
    /// The most bytes of applied entries kept in memory.
    pub tail_bytes: u64,
    /// The most bytes of the log kept for replicas beyond what a snapshot stands for.
    pub kept_bytes_max: u64,
    /// The most reads and writes that wait for an answer.
    pub waiting_max: u32,
    /// The most pieces of a snapshot on their way to one replica.
    pub snapshot_window: u32,
    /// The most bytes of snapshots sent a second, to all replicas together; 0: no limit.
    pub snapshot_rate: u64,
    /// After how long without a word it is asked which pieces have come.
    pub snapshot_retry: Duration,
    /// After how long without progress a transfer is given up.
    pub snapshot_timeout: Duration,
    /// After how long a handover is called off.
    pub transfer_timeout: Duration,
    /// How long a flush may take before the primary hands over; `None`: for ever.
    pub slow_flush: Option<Duration>,
    /// The least time between two handovers for a slow disk.
    pub handover_pause: Duration,
    /// After how long a write that is committed is answered though fewer nodes have it than were asked for; `None`: never.
    pub degrade_after: Option<Duration>,
    /// By whom this node is fed as long as it is a learner, instead of by the primary: the best first. Numbers of nodes.
    pub feed_from: Vec<u64>,
    /// After how long without anything new from there the primary feeds it again.
    pub feed_timeout: Duration,
    /// Each time so many entries are applied, replicas compare.
    pub hash_interval: u64,
    /// Bugs planted on purpose.
    #[cfg(feature = "sim")]
    pub planted: Option<super::planted::Plant>,
}

/// The most nodes by which one may be fed.
const FEED_FROM_MAX: usize = 8;

impl Default for Options {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(20),
            heartbeat_ticks: 2,
            election_ticks: 20,
            clock_drift_permille: 10,
            message_bytes: 256 << 10,
            inflight_messages: 64,
            uncommitted_bytes_max: 64 << 20,
            tail_bytes: 16 << 20,
            kept_bytes_max: 256 << 20,
            waiting_max: 65_536,
            snapshot_window: 16,
            snapshot_rate: 0,
            snapshot_retry: Duration::from_secs(1),
            snapshot_timeout: Duration::from_secs(30),
            transfer_timeout: Duration::from_secs(2),
            slow_flush: Some(Duration::from_secs(1)),
            handover_pause: Duration::from_secs(30),
            degrade_after: None,
            feed_from: Vec::new(),
            feed_timeout: Duration::from_secs(2),
            hash_interval: 4_096,
            #[cfg(feature = "sim")]
            planted: None,
        }
    }
}

impl Options {
    /// `InvalidArgument` for the first that is out of range.
    ///
    /// - `segment_bytes`: of the log they are for.
    pub fn check(&self, segment_bytes: u64) -> Result<()> {
        let (millisecond, hour, day) =
            (Duration::from_millis(1), Duration::from_secs(3_600), Duration::from_secs(86_400));
        within("tick", self.tick, millisecond, Duration::from_secs(1))?;
        within("heartbeat_ticks", self.heartbeat_ticks, 1, 100)?;
        within("election_ticks", self.election_ticks, 5 * self.heartbeat_ticks, 10_000)?;
        within("clock_drift_permille", self.clock_drift_permille, 0, 200)?;
        within("message_bytes", self.message_bytes, 1 << 10, 16 << 20)?;
        if self.message_bytes > segment_bytes / 8 {
            let why =
                format!("{} is more than an eighth of segment_bytes = {segment_bytes}", self.message_bytes);
            return Err(Error::invalid("message_bytes", why));
        }
        within("inflight_messages", self.inflight_messages, 1, 4_096)?;
        within("uncommitted_bytes_max", self.uncommitted_bytes_max, 64 << 10, 4 << 30)?;
        within("tail_bytes", self.tail_bytes, 0, 4 << 30)?;
        within("kept_bytes_max", self.kept_bytes_max, 0, 1 << 48)?;
        within("waiting_max", self.waiting_max, 1, 1 << 24)?;
        within("snapshot_window", self.snapshot_window, 1, 1_024)?;
        within("snapshot_retry", self.snapshot_retry, 10 * millisecond, hour)?;
        within("snapshot_timeout", self.snapshot_timeout, self.snapshot_retry, day)?;
        within("transfer_timeout", self.transfer_timeout, 10 * millisecond, hour)?;
        if let Some(slow_flush) = self.slow_flush {
            within("slow_flush", slow_flush, 10 * millisecond, hour)?;
        }
        within("handover_pause", self.handover_pause, Duration::from_secs(1), day)?;
        within("feed_from", self.feed_from.len(), 0, FEED_FROM_MAX)?;
        // Who is fed by the primary alone need not know.
        let election = if self.feed_from.is_empty() { millisecond } else { self.tick * self.election_ticks };
        within("feed_timeout", self.feed_timeout, election.max(10 * millisecond), hour)?;
        within("hash_interval", self.hash_interval, 1, 1 << 32)
    }

    /// How long, by its own clock, a primary may take it that nobody else is, from when it sent the message that a quorum
    /// has answered. A replica that has heard from it promises to elect nobody for `election_ticks` less one, since its
    /// next tick may come at once, by a clock that may go faster by the drift, while the primary's goes slower.
    pub fn lease(&self) -> Duration {
        let promise = self.tick * (self.election_ticks - 1);
        let drift = self.clock_drift_permille;
        let lease = promise * (1_000 - drift) / (1_000 + drift);
        #[cfg(feature = "sim")]
        if self.planted == Some(super::planted::Plant::LongLease) {
            return lease * 6;
        }
        lease
    }

    /// How long a node that has forgotten what it promised waits before it votes.
    pub fn promise(&self) -> Duration {
        let drift = self.clock_drift_permille;
        self.tick * self.election_ticks * (1_000 + drift) / (1_000 - drift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold() {
        let good = Options::default();
        assert!(good.check(64 << 20).is_ok());
        for bad in [
            Options { tick: Duration::ZERO, ..good.clone() },
            Options { heartbeat_ticks: 0, ..good.clone() },
            Options { election_ticks: 9, ..good.clone() },
            Options { clock_drift_permille: 500, ..good.clone() },
            Options { message_bytes: 16 << 20, ..good.clone() },
            Options { snapshot_timeout: Duration::from_millis(20), ..good.clone() },
            Options { slow_flush: Some(Duration::ZERO), ..good.clone() },
            Options { hash_interval: 0, ..good.clone() },
            Options { feed_from: vec![1; 9], ..good.clone() },
            Options { feed_from: vec![1], feed_timeout: Duration::from_millis(399), ..good.clone() },
            Options { feed_timeout: Duration::from_millis(9), ..good.clone() },
        ] {
            assert!(matches!(bad.check(64 << 20), Err(Error::InvalidArgument { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_lease_ends_before_the_shortest_promise_whatever_the_clocks_do() {
        for drift in [0, 1, 10, 100, 200] {
            let options = Options { clock_drift_permille: drift, ..Options::default() };
            let rate = f64::from(drift) / 1_000.0;
            // The primary's clock goes slow, so its lease lasts long; the replica's goes fast.
            let lease = options.lease().as_secs_f64() / (1.0 - rate);
            let promise = (options.tick * (options.election_ticks - 1)).as_secs_f64() / (1.0 + rate);
            assert!(lease <= promise + 1e-9, "{drift}: {lease} {promise}");
        }
    }
}
