//! What a host does for a simulated store: it writes, in pieces and at times of its own, and lets time pass.

use std::time::Duration;

use super::{EXPIRE_MAX, Trouble, World};
use crate::store::engine::Durability;
use crate::store::index::{Command, Operation, Timestamp};
use crate::store::log::Disk;

impl World {
    /// Takes what there is to do for the disk.
    pub(super) fn begin(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        if self.flush.is_none() && self.early.is_none() {
            self.flush = engine.poll_flush();
            if let Some(flush) = self.flush.take_if(|_| self.trouble == Trouble::EarlyAnswer) {
                // The planted fault: told first, done later.
                self.early = Some((flush.file(), flush.offset(), flush.bytes().to_vec()));
                engine.handle_flushed(flush, Ok(()), |file| file.to_string());
            }
        }
        if self.upkeep.is_none() {
            self.upkeep = engine.poll_upkeep();
        }
        if self.snapshot.is_none() {
            self.snapshot = engine.poll_snapshot(self.now);
        }
    }

    /// Does some of it.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        if self.slow_steps > 0 {
            self.summary.slow += 1;
            return Ok(());
        }
        let name = |file| self.disk.name(file);
        if self.rng.below(2) == 0
            && let Some(flush) = self.flush.take()
        {
            let result = flush.run(&self.disk);
            if self.disk.is_crashed() {
                return Ok(());
            }
            self.told_before = self.told;
            self.last_flush = Some((flush.file(), flush.offset(), flush.bytes().len() as u64));
            engine.handle_flushed(flush, result, name);
        }
        if let Some((file, offset, bytes)) = self.early.take() {
            let _ = self.disk.write(file, offset, &bytes).and_then(|()| self.disk.sync(file));
        }
        if let Some(work) = self.upkeep.take() {
            let result = work.run(&self.disk);
            if self.disk.is_crashed() {
                return Ok(());
            }
            engine.handle_upkeep(&work, result, self.now.instant, name);
        }
        if let Some(mut job) = self.snapshot.take() {
            let result = match job.step(&self.disk) {
                _ if self.disk.is_crashed() => return Ok(()),
                Ok(None) => {
                    self.snapshot = Some(job);
                    return Ok(());
                }
                Ok(Some(written)) => Ok(written),
                Err(error) => Err(error),
            };
            let is_written = result.is_ok();
            match engine.handle_snapshot(&job, result, self.now) {
                Ok(()) => self.summary.snapshots += 1,
                Err(error) if is_written => return Err(format!("the log refuses the snapshot: {error}")),
                Err(_) if self.is_troubled() => {}
                Err(error) => return Err(format!("no snapshot: {error}")),
            }
        }
        Ok(())
    }

    pub(super) fn pass_time(&mut self) -> Result<(), String> {
        let step_ms = [1, 10, 100, 1_000][self.rng.below(4) as usize] * (1 + self.rng.below(9));
        self.pass(step_ms)
    }

    /// Lets so much time pass; the clock may step back meanwhile.
    pub(super) fn pass(&mut self, step_ms: u64) -> Result<(), String> {
        self.now.instant = self.now.instant.saturating_add(Duration::from_millis(step_ms));
        let clock = self.now.clock.as_millis();
        self.now.clock = Timestamp::from_millis(match self.rng.below(6) {
            0 => clock - self.rng.below(2_000).min(clock),
            _ => clock + step_ms,
        });
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let is_due = engine.next_deadline(self.now).is_some_and(|at| at <= self.now.instant);
        let before = (engine.last_sequence(), engine.counts().expiries);
        engine.handle_timeout(self.now);
        let after = (engine.last_sequence(), engine.counts().expiries);
        if after == before {
            return Ok(());
        }
        if !is_due {
            return Err("an expiry before it was due".into());
        }
        if after != (before.0 + 1, before.1 + 1) {
            return Err(format!("a timeout led from {before:?} to {after:?}"));
        }
        self.summary.expiries += 1;
        let mut bytes = Vec::new();
        let time = self.now.clock.max(self.latest);
        Command { time, request: None, operation: Operation::Expire { limit: EXPIRE_MAX } }
            .encode(&mut bytes);
        self.note(after.0, &bytes, Durability::Memory, None);
        Ok(())
    }

    /// Now and then the disk is slow for a while.
    pub(super) fn slow_down(&mut self) {
        self.slow_steps = self.slow_steps.saturating_sub(1);
        if self.trouble == Trouble::Slow && self.slow_steps == 0 && self.rng.below(60) == 0 {
            self.slow_steps = 10 + self.rng.below(60);
        }
    }

    pub(super) fn full(&mut self) {
        if self.trouble != Trouble::Full {
            return;
        }
        let used = self.disk.used_bytes();
        let bytes = (self.rng.below(3) > 0).then(|| used + self.rng.below(60_000));
        self.disk.set_bytes_max(bytes);
    }
}
