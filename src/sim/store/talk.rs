//! What clients of a simulated store ask for.

use super::World;
use crate::store::index::{
    Command, Comparison, Condition, Lifetime, LifetimeCondition, OnRefusal, Operand, Operation, Range,
    Relation, RequestId, Step, Timestamp, Transaction,
};

pub(super) const KEYS: u64 = 24;
pub(super) const CLIENTS: u64 = 3;

impl World {
    /// A random command, or one that was sent before.
    pub(super) fn command(&mut self) -> (Option<RequestId>, Vec<u8>) {
        if self.rng.below(8) == 0 && !self.requests.is_empty() {
            let (request, bytes) = &self.requests[self.rng.below(self.requests.len() as u64) as usize];
            return (Some(*request), bytes.clone());
        }
        let mut request = None;
        if self.rng.below(2) == 0 {
            let client = self.rng.below(CLIENTS);
            let number = &mut self.numbers[client as usize];
            *number += 1;
            request = Some(RequestId { client: [client as u8; 16], number: *number });
        }
        let mut bytes = Vec::new();
        let texts: Vec<Vec<u8>> = (0..12).map(|_| self.text()).collect();
        let keys: Vec<String> = (0..6).map(|_| format!("key-{}", self.rng.below(KEYS))).collect();
        let operation = self.operation(&texts, &keys);
        Command { time: Timestamp::default(), request, operation }.encode(&mut bytes);
        if let Some(request) = request {
            self.requests.push((request, bytes.clone()));
            if self.requests.len() > 8 {
                self.requests.remove(0);
            }
        }
        (request, bytes)
    }

    pub(super) fn text(&mut self) -> Vec<u8> {
        let len = match self.rng.below(40) {
            0 => self.rng.below(8_000),
            1..=9 => return self.rng.below(1_000).to_string().into_bytes(),
            _ => self.rng.below(60),
        };
        (0..len).map(|_| self.rng.below(256) as u8).collect()
    }

    pub(super) fn operation<'a>(&mut self, texts: &'a [Vec<u8>], keys: &'a [String]) -> Operation<'a> {
        let id = 1 + self.rng.below(4);
        match self.rng.below(20) {
            0 => Operation::LeaseGrant { id, ttl_ms: 1 + self.rng.below(5_000) },
            1 => Operation::LeaseKeepAlive { id },
            2 => Operation::LeaseRevoke { id },
            3..=5 => {
                let condition = Comparison {
                    key: keys[0].as_bytes(),
                    relation: if self.rng.below(2) == 0 { Relation::Less } else { Relation::Greater },
                    operand: Operand::Version(self.rng.below(self.last() + 1)),
                };
                let on_refusal = if self.rng.below(2) == 0 { OnRefusal::Abort } else { OnRefusal::Continue };
                let then = (0..3).map(|at| self.step(&texts[at], keys[at].as_bytes())).collect();
                let otherwise = (3..5).map(|at| self.step(&texts[at], keys[at].as_bytes())).collect();
                let conditions = vec![condition];
                Operation::Transaction(Transaction { conditions, then, otherwise, on_refusal })
            }
            _ => Operation::Step(self.step(&texts[5], keys[5].as_bytes())),
        }
    }

    pub(super) fn step<'a>(&mut self, value: &'a [u8], key: &'a [u8]) -> Step<'a> {
        let deadline = Timestamp::from_millis(self.now.clock.as_millis() + self.rng.below(20_000));
        let lifetime = match self.rng.below(8) {
            0 | 1 => Lifetime::Until(deadline),
            2 => Lifetime::Lease(1 + self.rng.below(4)),
            3 => Lifetime::Keep,
            _ => Lifetime::Unbounded,
        };
        let condition = match self.rng.below(6) {
            0 => Condition::Absent,
            1 => Condition::Present,
            _ => Condition::Always,
        };
        let previous = self.rng.below(3) == 0;
        match self.rng.below(16) {
            0 | 1 => Step::Delete { key, condition, previous },
            2 => Step::Increment { key, by: self.rng.below(100) as i64 - 50 },
            3 => Step::Append { key, value },
            4 => Step::SetLifetime { key, lifetime, condition: LifetimeCondition::Always },
            5 => Step::DeleteRange {
                range: Range { start: key, end: Some(b"key-5") },
                limit: self.rng.below(4),
            },
            6 => Step::Get { key },
            7 => Step::Range { range: Range { start: key, end: None }, limit: 3, reverse: previous },
            _ => Step::Put { key, value, condition, lifetime, previous },
        }
    }
}
