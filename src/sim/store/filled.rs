//! Something else fills the disk, and gives the room back: from then on the store is to go on as if nothing had been.

use super::World;
use crate::store::engine::Durability;
use crate::store::index::{Command, Condition, Lifetime, Operation, Step, Timestamp};

/// How much of the disk a store is promised to do with, beside two snapshots.
const SEGMENTS: u64 = 3;
/// Within what time of there being room writes are to be taken; and longer than any snapshot takes.
const SOON_MS: u64 = 3_000;
/// How many writes are taken then: of more bytes than the disk has.
const WRITES: u64 = 600;
const VALUE_BYTES: usize = 4_000;
const LARGE_KEYS: u64 = 8;

impl World {
    pub(super) fn fill_and_give_back(&mut self) -> Result<(), String> {
        self.open_again()?;
        // It may have to do with less than it has been given until now.
        self.disk.set_bytes_max(None);
        for _ in 0..2 * LARGE_KEYS {
            self.put_large()?;
            self.keep_up(10)?;
        }
        let room = self.room();
        for _ in 0..2 {
            self.disk.set_bytes_max(Some(room));
            for _ in 0..self.rng.below(60) {
                self.put_large()?;
                self.keep_up(10)?;
            }
            // Nothing is left, or hardly anything.
            let left = [0, self.rng.below(60_000)][self.rng.below(2) as usize];
            self.disk.set_bytes_max(Some(room.min(self.disk.used_bytes() + left)));
            for _ in 0..self.rng.below(100) {
                self.put_large()?;
                self.keep_up(50)?;
            }
            if self.rng.below(3) == 0 {
                self.crash();
                self.open_again()?;
            }
            self.disk.set_bytes_max(Some(room));
            self.go_on()?;
        }
        Ok(())
    }

    /// Writes as fast as can be; no pause may be long.
    fn go_on(&mut self) -> Result<(), String> {
        let (mut taken, mut refused_ms) = (0, 0);
        while taken < WRITES {
            let before = self.last();
            self.put_large()?;
            let is_taken = self.last() > before;
            taken += u64::from(is_taken);
            self.keep_up(5)?;
            let problem = self.engine.as_ref().and_then(|engine| engine.problem());
            refused_ms = if is_taken && problem.is_none() { 0 } else { refused_ms + 5 };
            if refused_ms > SOON_MS {
                return Err(format!(
                    "there is room, and it is not used: {taken} writes were taken, {problem:?}"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn open_again(&mut self) -> Result<(), String> {
        while self.engine.is_none() {
            self.open()?;
        }
        Ok(())
    }

    /// What it says in the docs that a store needs, and some margin for the estimate.
    fn room(&self) -> u64 {
        let memory = self.oracle.state().memory();
        2 * (memory + memory / 4 + (32 << 10)) + (SEGMENTS + 1) * self.options.log.segment_bytes
    }

    fn put_large(&mut self) -> Result<(), String> {
        let key = format!("large-{}", self.rng.below(LARGE_KEYS));
        let value: Vec<u8> = (0..VALUE_BYTES).map(|_| self.rng.below(256) as u8).collect();
        let operation = Operation::Step(Step::Put {
            key: key.as_bytes(),
            value: &value,
            condition: Condition::Always,
            lifetime: Lifetime::Unbounded,
            previous: false,
        });
        let mut bytes = Vec::new();
        Command { time: Timestamp::default(), request: None, operation }.encode(&mut bytes);
        self.submit_this(None, bytes, Some(Durability::Local))
    }

    /// Does what there is to do for the disk, and lets time pass.
    pub(super) fn keep_up(&mut self, step_ms: u64) -> Result<(), String> {
        for _ in 0..4 {
            self.begin();
            self.finish()?;
            self.complete()?;
        }
        self.pass(step_ms)?;
        self.complete()
    }
}
