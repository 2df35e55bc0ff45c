//! Writers fill a disk that has a bound: what is deleted then is taken, and once there is less, what is put is taken again. The disk
//! never has more than it may.

use super::World;
use crate::store::engine::Durability;
use crate::store::index::{Command, Condition, Lifetime, Operation, Step, Timestamp};
use crate::store::log::{Disk, File};

/// For how long writes are refused where the bound is reached; and within what time what is to be taken is taken.
const SOON_MS: u64 = 3_000;
/// More writes than fit any bound.
const WRITES_MAX: u64 = 5_000;
const VALUE_BYTES_MAX: u64 = 4_000;
/// What is left when the rest was deleted, and written over and over then: more often than fits the log.
const KEYS_LEFT: u64 = 2;
const WRITES_LATER: u64 = 400;

impl World {
    pub(super) fn fill_to_the_bound(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            self.open_again()?;
            let count = self.fill_up()?;
            self.hold_to_the_bound()?;
            match self.rng.below(4) {
                0 => self.crash(),
                1 => self.close()?,
                _ => {}
            }
            let bound = self.options.log.disk_bytes_max;
            if self.engine.is_none() && self.rng.below(2) == 0 {
                // Less than is there.
                self.options.log.disk_bytes_max = Some(4 * self.options.log.segment_bytes);
            }
            self.open_again()?;
            for number in KEYS_LEFT..count {
                self.insist(Step::Delete {
                    key: key(number).as_bytes(),
                    condition: Condition::Always,
                    previous: false,
                })?;
                self.keep_up(1)?;
            }
            self.hold_to_the_bound()?;
            if self.options.log.disk_bytes_max != bound {
                self.close()?;
                self.options.log.disk_bytes_max = bound;
                self.open_again()?;
            }
            for number in 0..WRITES_LATER {
                let value = self.value();
                self.insist(put(key(number % KEYS_LEFT).as_bytes(), &value))?;
                self.check_disk()?;
            }
        }
        Ok(())
    }

    /// Writes faster than the disk can, until nothing is taken any more; gives how many keys that may be.
    fn fill_up(&mut self) -> Result<u64, String> {
        let (mut count, mut refused_ms) = (0, 0);
        while refused_ms < SOON_MS {
            let before = self.summary.submitted;
            for _ in 0..=self.rng.below(24) {
                let value = self.value();
                let taken = self.summary.submitted;
                self.submit_step(put(key(count).as_bytes(), &value))?;
                count += self.summary.submitted - taken;
            }
            refused_ms = if self.summary.submitted > before { 0 } else { refused_ms + 20 };
            for _ in 0..self.rng.below(3) {
                self.begin();
                self.finish()?;
                self.complete()?;
            }
            self.pass(20)?;
            self.complete()?;
            self.check_disk()?;
            if count > WRITES_MAX {
                return Err(format!("{count} writes were taken, and the bound is never reached"));
            }
        }
        Ok(count)
    }

    /// Has it taken, soon.
    fn insist(&mut self, step: Step<'_>) -> Result<(), String> {
        let before = self.summary.submitted;
        for _ in 0..SOON_MS / 5 {
            self.submit_step(step.clone())?;
            if self.summary.submitted > before {
                return Ok(());
            }
            self.keep_up(5)?;
        }
        let problem = self.engine.as_ref().and_then(|engine| engine.problem());
        Err(format!("{step:?} is refused: {problem:?}, {}", self.lies_there()))
    }

    fn submit_step(&mut self, step: Step<'_>) -> Result<(), String> {
        let mut bytes = Vec::new();
        let operation = Operation::Step(step);
        Command { time: Timestamp::default(), request: None, operation }.encode(&mut bytes);
        self.submit_this(None, bytes, Some(Durability::Local))
    }

    /// Lets all that is under way be done, and looks then.
    fn hold_to_the_bound(&mut self) -> Result<(), String> {
        for _ in 0..50 {
            self.keep_up(1)?;
        }
        let segment_bytes = self.options.log.segment_bytes;
        let snapshots = self.snapshots().iter().sum::<u64>();
        let most = (self.limit() + segment_bytes).max(snapshots + 2 * segment_bytes);
        match self.disk.used_bytes() <= most {
            true => Ok(()),
            false => Err(format!("more than {most} bytes are there: {}", self.lies_there())),
        }
    }

    /// A snapshot may be written beyond the bound, and lies there until what it stands for is gone; beside it a segment at most is
    /// beyond. No snapshot is so long that the log has no room.
    fn check_disk(&self) -> Result<(), String> {
        let (limit, segment_bytes) = (self.limit(), self.options.log.segment_bytes);
        let largest = self.snapshots().into_iter().max().unwrap_or(0);
        let is_long = largest + 2 * segment_bytes > limit;
        let is_much = self.disk.used_bytes() > limit + segment_bytes + largest;
        match is_long || is_much {
            false => Ok(()),
            true => Err(format!("beyond {limit}: {}", self.lies_there())),
        }
    }

    fn limit(&self) -> u64 {
        self.options.log.disk_bytes_max.expect("this world has a bound")
    }

    /// How long snapshots are, those that are being written included.
    fn snapshots(&self) -> Vec<u64> {
        let files = self.disk.list().unwrap_or_default();
        let snapshots = files.iter().filter(|it| matches!(it, File::Snapshot(_) | File::Unfinished(_)));
        snapshots.filter_map(|it| self.disk.bytes(*it).ok()).collect()
    }

    fn lies_there(&self) -> String {
        let files = self.disk.list().unwrap_or_default();
        let told = files.iter().map(|it| format!("{it} {}", self.disk.bytes(*it).unwrap_or(0)));
        format!("{:?} may be there, {}", self.options.log.disk_bytes_max, told.collect::<Vec<_>>().join(", "))
    }

    fn value(&mut self) -> Vec<u8> {
        let len = self.rng.below(VALUE_BYTES_MAX);
        (0..len).map(|_| self.rng.below(256) as u8).collect()
    }
}

fn key(number: u64) -> String {
    format!("fill-{number}")
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Step<'a> {
    let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
    Step::Put { key, value, condition, lifetime, previous: false }
}
