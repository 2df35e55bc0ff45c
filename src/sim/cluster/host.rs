//! A machine: its disk, its clock, its node, and what the disk is at.

use std::time::Duration;

use crate::replication::damage::Cut;
use crate::replication::planted::Plant;
use crate::replication::{Fetch, InstallJob, Node, Options, Position, Start};
use crate::rng::Rng;
use crate::sim::disk::{Faults, SimDisk};
use crate::store::engine::{self, Now, SnapshotJob};
use crate::store::index::evict::Eviction;
use crate::store::index::{self, Timestamp};
use crate::store::log::{self, Disk, Flush, Identity, Scrub, Upkeep, check};
use crate::time::Instant;

use super::links::{MS, US};
use super::work::Work;

pub(super) const CLUSTER: [u8; 16] = *b"simulated-worlds";

/// A machine.
pub(super) struct Host {
    pub(super) id: u64,
    pub(super) disk: SimDisk,
    pub(super) node: Option<Node>,
    /// Counts openings: what was under way in an earlier one is void.
    pub(super) boots: u64,
    /// By how much its clock goes faster, in millionths.
    rate_ppm: i64,
    offset: u64,
    wall_skew_ms: i64,
    pub(super) flush: Option<Flush>,
    pub(super) upkeep: Option<Upkeep>,
    pub(super) snapshot: Option<SnapshotJob>,
    pub(super) fetch: Option<Fetch>,
    pub(super) install: Option<InstallJob>,
    /// Until when its disk is slow, and how slow.
    pub(super) slow_until: u64,
    pub(super) slow_by: u64,
    /// The next timeout asked for.
    pub(super) timer: Option<u64>,
    /// It was taken out, or is to stay down.
    pub(super) is_retired: bool,
    /// It has written down that a promotion by force put it out.
    pub(super) knows_it_is_out: bool,
    /// It told that it answers writes with fewer nodes than they asked for.
    pub(super) is_degraded: bool,
    /// An old copy of its directory.
    pub(super) copy: Option<Vec<(log::File, Vec<u8>)>>,
    /// The next opening is from such a copy.
    pub(super) is_copy: bool,
    /// By whom it is fed as long as it has no vote.
    pub(super) feed_from: Vec<u64>,
    /// It was found damaged, and has not been opened since.
    pub(super) is_damaged: bool,
    /// A bit was flipped, and whether reading the disk again has found it.
    pub(super) rotten: Option<bool>,
    /// Openings that found damage for which a snapshot stands.
    pub(super) covered: u64,
    /// How often its disk refused what opening it takes.
    pub(super) refused: u64,
    /// How often it was opened without what was damaged.
    pub(super) cuts: u64,
    /// What reads its disk again.
    pub(super) scrub: Option<Scrub>,
    /// It came first when the cluster was made.
    pub(super) is_first: bool,
    /// It is to be opened as the primary, by force.
    pub(super) is_promoted: bool,
    /// It stays away until another one is.
    pub(super) is_held: bool,
    /// The power fails when its disk is at this next.
    pub(super) fails_in: Option<Work>,
    /// Up to which entry its log is on disk, or was when it was last seen to be whole.
    pub(super) durable: u64,
    /// Its writes that were answered before they were committed, as long as it may not lose them.
    pub(super) early: Vec<Early>,
}

/// A write that was answered before it was committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Early {
    pub(super) position: Position,
    /// It is on this disk, not only in memory.
    pub(super) is_local: bool,
}

/// What all hosts are told.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) store: engine::Options,
    pub(super) options: Options,
    pub(super) nodes: Vec<(u64, bool, Vec<u8>)>,
    /// What the disks do wrong, those of nodes that come later and of directories that are put back too.
    pub(super) faults: Faults,
}

impl Settings {
    pub(super) fn new(rng: &mut Rng, planted: Option<Plant>, nodes: Vec<(u64, bool, Vec<u8>)>) -> Self {
        let segment_bytes = 16_384 + 4_096 * rng.below(5);
        // Keys with a deadline go, and there are enough of those; what the checks are about has none.
        let memory_max = [0, 64 << 10][rng.below(2) as usize];
        let eviction = if memory_max > 0 { Eviction::Ttl } else { Eviction::Refuse };
        let store = engine::Options {
            settings: index::Settings { memory_max, ..index::Settings::default() },
            eviction,
            snapshot_bytes: 64 << 10,
            log: log::Options { segment_bytes, pending_bytes_max: 64 << 10, ..log::Options::default() },
            ..engine::Options::default()
        };
        let options = Options {
            tick: Duration::from_millis(50),
            heartbeat_ticks: 2,
            election_ticks: 10,
            clock_drift_permille: 10,
            message_bytes: 2_048,
            inflight_messages: 8,
            tail_bytes: 2_000 * rng.below(3),
            kept_bytes_max: [0, 4_000, 40_000][rng.below(3) as usize],
            uncommitted_bytes_max: 64 << 10,
            snapshot_window: 2,
            snapshot_retry: Duration::from_millis(200),
            snapshot_timeout: Duration::from_secs(3),
            transfer_timeout: Duration::from_millis(1_500),
            slow_flush: Some(Duration::from_millis(400)),
            handover_pause: Duration::from_secs(2),
            // Well before clients give up.
            degrade_after: (rng.below(2) == 0).then_some(Duration::from_millis(100)),
            feed_timeout: Duration::from_millis(800),
            hash_interval: 16,
            planted,
            ..Options::default()
        };
        let faults = match rng.below(4) {
            0 => Faults { sync_fails: 2, ..Faults::default() },
            1 => Faults::failing(1),
            _ => Faults::default(),
        };
        Self { store, options, nodes, faults }
    }

    fn voters(&self) -> usize {
        self.nodes.iter().filter(|(_, votes, _)| *votes).count()
    }
}

impl Host {
    pub(super) fn new(id: u64, rng: &mut Rng, settings: &Settings, is_first: bool) -> Self {
        Self {
            id,
            disk: SimDisk::new(rng.next_u64(), settings.faults.clone()),
            node: None,
            boots: 0,
            rate_ppm: rng.below(20_000) as i64 - 10_000,
            offset: rng.below(1 << 40),
            wall_skew_ms: rng.below(7_200_000) as i64 - 3_600_000,
            flush: None,
            upkeep: None,
            snapshot: None,
            fetch: None,
            install: None,
            slow_until: 0,
            slow_by: 0,
            timer: None,
            is_retired: false,
            knows_it_is_out: false,
            is_degraded: false,
            copy: None,
            is_copy: false,
            feed_from: Vec::new(),
            is_damaged: false,
            rotten: None,
            covered: 0,
            refused: 0,
            cuts: 0,
            scrub: None,
            is_first,
            is_promoted: false,
            is_held: false,
            fails_in: None,
            durable: 0,
            early: Vec::new(),
        }
    }

    /// The time by its clocks.
    pub(super) fn now(&self, at: u64) -> Now {
        let drifted = at as i128 + at as i128 * i128::from(self.rate_ppm) / 1_000_000;
        let clock = 1_700_000_000_000 + (at / MS) as i64 + self.wall_skew_ms;
        Now {
            instant: Instant::from_nanos(self.offset + drifted as u64),
            clock: Timestamp::from_millis(clock as u64),
        }
    }

    /// When its clock will show this.
    pub(super) fn when(&self, instant: Instant) -> u64 {
        let local = i128::from(instant.as_nanos().saturating_sub(self.offset));
        (local * 1_000_000 / (1_000_000 + i128::from(self.rate_ppm))) as u64 + 1
    }

    pub(super) fn jump(&mut self, by_ms: i64) {
        self.wall_skew_ms = (self.wall_skew_ms + by_ms).clamp(-4_000_000, 4_000_000);
    }

    /// How long the disk takes for a write and a sync.
    pub(super) fn latency(&self, rng: &mut Rng, at: u64) -> u64 {
        let usual = 100 * US + rng.below(3 * MS);
        if at < self.slow_until { usual + self.slow_by / 2 + rng.below(self.slow_by) } else { usual }
    }

    /// Opens its node. `Err` for what should not be.
    pub(super) fn open(&mut self, settings: &Settings, rng: &mut Rng, at: u64) -> Result<bool, String> {
        self.boots += 1;
        // The clock of a machine starts anew with it.
        self.offset = rng.below(1 << 40);
        let now = self.now(at);
        let start = Start {
            nodes: if self.is_first { settings.nodes.clone() } else { Vec::new() },
            is_copy: std::mem::take(&mut self.is_copy),
            is_damaged: self.is_damaged,
            is_promoted: self.is_promoted,
            ..Start::default()
        };
        let options = Options { feed_from: self.feed_from.clone(), ..settings.options.clone() };
        let identity = Identity { cluster: CLUSTER, node: self.id };
        let opened =
            Node::open(&self.disk, settings.store.clone(), options, identity, &start, rng.next_u64(), now);
        match opened {
            Ok((node, report)) => {
                self.covered += u64::from(report.store.log.covered.is_some());
                self.node = Some(node);
                self.is_damaged = false;
                // If there was something, it is not there any more.
                self.rotten = None;
                Ok(true)
            }
            Err(error @ crate::error::Error::Corrupt(_)) if self.rotten.is_some() || self.is_damaged => {
                let cut = Cut::plan(&self.disk, &error).map_err(|it| it.to_string())?;
                let cut = cut.ok_or("what is damaged is not")?;
                if !cut.is_mendable(self.id, settings.voters()) {
                    return Err(format!("node {} cannot be taken in again: {error}", self.id));
                }
                self.is_damaged = true;
                self.is_copy = start.is_copy;
                self.rotten = None;
                self.cuts += 1;
                // It may be cut short, and is done again then.
                let _ = cut.run(&self.disk);
                self.disk.restart();
                Ok(false)
            }
            Err(crate::error::Error::Io { .. }) => {
                self.is_copy = start.is_copy;
                if !self.disk.is_crashed() {
                    self.refused += 1;
                    self.disk.leave();
                }
                Ok(false)
            }
            Err(error) => Err(format!("node {} does not open: {error}", self.id)),
        }
    }

    /// Flips a bit where reading the log again sees it, if there is one to flip. Nothing is on its way to the disk.
    pub(super) fn rot(&mut self, settings: &Settings) -> bool {
        let is_ours = |file| matches!(file, log::File::Segment(_) | log::File::Snapshot(_));
        let Some((file, at, bit)) = self.disk.rot_bit(is_ours) else { return false };
        // In the last batch it looks like a write that was cut off, and nobody could tell.
        let is_told = match check(&self.disk, None, &mut |_| {}) {
            // A snapshot stands for it, so nobody is needed.
            Ok((_, _, report)) => report.covered.is_some(),
            Err(found) => Cut::plan(&self.disk, &found)
                .ok()
                .flatten()
                .is_some_and(|it| it.is_mendable(self.id, settings.voters())),
        };
        if !is_told {
            self.disk.flip(file, at, bit);
            return false;
        }
        self.rotten = Some(false);
        self.knows_it_is_out = false;
        self.early.clear();
        true
    }

    /// Whether this entry is on its disk, or was when it was last seen to be whole.
    pub(super) fn has(&self, position: Position) -> bool {
        let there = self.node.as_ref().and_then(|it| it.epoch_of(position.sequence));
        self.durable >= position.sequence && there.is_none_or(|it| it == 0 || it == position.epoch)
    }

    /// Whether nothing on its disk is damaged, or was and is not given to it again.
    pub(super) fn is_whole(&self) -> bool {
        self.rotten.is_none() && !self.is_damaged
    }

    /// The power fails, or the process is killed and the machine goes on: of what was on its way to the disk any part may be
    /// there.
    pub(super) fn crash(&mut self, rng: &mut Rng, is_power: bool) {
        self.node = None;
        self.early.retain(|it| it.is_local);
        self.is_degraded = false;
        if let Some(flush) = self.flush.take()
            && rng.below(2) == 0
        {
            let some = rng.below(flush.bytes().len() as u64 + 1) as usize;
            let _ = self.disk.write(flush.file(), flush.offset(), &flush.bytes()[..some]);
        }
        self.upkeep = None;
        self.snapshot = None;
        self.fetch = None;
        self.install = None;
        self.scrub = None;
        self.timer = None;
        match is_power || self.disk.is_crashed() {
            true => self.disk.restart(),
            false => self.disk.leave(),
        }
    }

    /// Keeps a copy of the directory as it is.
    pub(super) fn keep_copy(&mut self) {
        let Ok(files) = self.disk.list() else { return };
        let copy = files.into_iter().filter(|file| *file != log::File::Lock);
        let copy = copy.filter_map(|file| Some((file, self.disk.contents(file)?))).collect();
        self.copy = Some(copy);
    }

    /// Loses the directory. Who was there in the beginning is opened as in the beginning.
    pub(super) fn lose(&mut self, rng: &mut Rng, faults: Faults) {
        self.disk = SimDisk::new(rng.next_u64(), faults);
        self.is_copy = !self.is_first;
        self.early.clear();
    }

    /// Puts the copy in place of the directory.
    pub(super) fn put_back(&mut self, rng: &mut Rng, faults: Faults) -> bool {
        let Some(copy) = self.copy.take() else { return false };
        self.disk = SimDisk::new(rng.next_u64(), faults);
        self.early.clear();
        for (file, bytes) in copy {
            self.disk.place(file, bytes);
        }
        self.is_copy = true;
        true
    }
}
