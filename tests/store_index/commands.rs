//! Commands at random: few keys, so that they meet; all operations; times that step back now and then.

use trimtab::store::index::{
    Command, Comparison, Condition, Lifetime, LifetimeCondition, OnRefusal, Operand, Operation, Range,
    Relation, RequestId, Settings, Step, Timestamp, Transaction,
};

/// Where random numbers come from: a generator, or a fuzzer's bytes.
pub(crate) trait Draw {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64;

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

impl Draw for trimtab::rng::Rng {
    fn below(&mut self, bound: u64) -> u64 {
        trimtab::rng::Rng::below(self, bound)
    }
}

/// What commands borrow from.
pub(crate) struct Words {
    keys: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Words {
    pub(crate) fn new() -> Self {
        let mut keys: Vec<Vec<u8>> = (0..60u32).map(|n| format!("key:{n:04}").into_bytes()).collect();
        keys.extend((0..12).map(|n| format!("number:{n}").into_bytes()));
        keys.extend([b"".to_vec(), vec![0], vec![0xff], vec![0xff, 0xff], vec![b'k'; 300]]);
        Self { keys, bytes: (0..6_000u32).map(|n| (n * 7 % 251) as u8).collect() }
    }

    pub(crate) fn key(&self, draw: &mut impl Draw) -> &[u8] {
        &self.keys[draw.below(self.keys.len() as u64) as usize]
    }

    fn value(&self, draw: &mut impl Draw) -> &[u8] {
        match draw.below(12) {
            0 => &self.bytes[..draw.below(6_000) as usize],
            1 => b"41",
            2 => b"-9223372036854775808",
            3 => b"9223372036854775807",
            4 => b"007",
            _ => &self.bytes[..draw.below(24) as usize],
        }
    }

    pub(crate) fn range(&self, draw: &mut impl Draw) -> Range<'_> {
        let end = (!draw.one_in(4)).then(|| self.key(draw));
        Range { start: self.key(draw), end }
    }
}

/// How a run of commands goes on.
pub(crate) struct Course {
    pub(crate) time: u64,
    pub(crate) version: u64,
    numbers: [u64; 6],
}

impl Course {
    pub(crate) fn new() -> Self {
        Self { time: 1_000_000, version: 0, numbers: [0; 6] }
    }

    pub(crate) fn command<'a>(&mut self, words: &'a Words, draw: &mut impl Draw) -> Command<'a> {
        self.time += if draw.one_in(3) { draw.below(400) } else { 0 };
        let back = if draw.one_in(8) { draw.below(500) } else { 0 };
        let request = draw.one_in(4).then(|| {
            let client = draw.below(6) as usize;
            let number = &mut self.numbers[client];
            let request_number = match draw.below(8) {
                0 => number.saturating_sub(draw.below(50)),
                1 => *number + draw.below(40),
                _ => *number + 1,
            };
            *number = request_number.max(*number);
            RequestId { client: [client as u8; 16], number: request_number }
        });
        let operation = self.operation(words, draw);
        Command { time: Timestamp::from_millis(self.time - back), request, operation }
    }

    fn operation<'a>(&mut self, words: &'a Words, draw: &mut impl Draw) -> Operation<'a> {
        match draw.below(40) {
            0 => Operation::LeaseGrant { id: 1 + draw.below(5), ttl_ms: 1 + draw.below(3_000) },
            1 => Operation::LeaseKeepAlive { id: 1 + draw.below(5) },
            2 if draw.one_in(2) => Operation::LeaseRevoke { id: 1 + draw.below(5) },
            3 | 4 => Operation::Expire { limit: draw.below(4) },
            5 => {
                let count = draw.below(4);
                let mut keys = Vec::new();
                for _ in 0..count {
                    keys.push((words.key(draw), self.version(draw)));
                }
                Operation::Evict { keys }
            }
            6 if draw.one_in(4) => Operation::Configure(Settings {
                memory_max: [0, 65_536, 70_000][draw.below(3) as usize],
                value_max: [8_000, 7_000][draw.below(2) as usize],
                clients_max: 2 + draw.below(6),
                client_bytes_max: 1_024 + draw.below(60_000),
                ..Settings::default()
            }),
            7..12 => Operation::Transaction(self.transaction(words, draw)),
            _ => Operation::Step(self.step(words, draw)),
        }
    }

    fn transaction<'a>(&mut self, words: &'a Words, draw: &mut impl Draw) -> Transaction<'a> {
        let mut conditions = Vec::new();
        for _ in 0..draw.below(3) {
            let relation = [Relation::Equal, Relation::NotEqual, Relation::Less, Relation::Greater]
                [draw.below(4) as usize];
            let operand = match draw.below(5) {
                0 => Operand::Version(self.version(draw)),
                1 => Operand::Created(self.version(draw)),
                2 => Operand::Changes(draw.below(4)),
                3 => Operand::Lease(draw.below(5)),
                _ => Operand::Value(words.value(draw)),
            };
            conditions.push(Comparison { key: words.key(draw), relation, operand });
        }
        let mut steps = |draw: &mut _| (0..Draw::below(draw, 5)).map(|_| self.step(words, draw)).collect();
        let (then, otherwise) = (steps(draw), steps(draw));
        let on_refusal = if draw.one_in(3) { OnRefusal::Continue } else { OnRefusal::Abort };
        Transaction { conditions, then, otherwise, on_refusal }
    }

    fn step<'a>(&mut self, words: &'a Words, draw: &mut impl Draw) -> Step<'a> {
        let key = words.key(draw);
        match draw.below(24) {
            0..8 => Step::Put {
                key,
                value: words.value(draw),
                condition: self.condition(draw),
                lifetime: self.lifetime(draw),
                previous: draw.one_in(3),
            },
            8..11 => Step::Delete { key, condition: self.condition(draw), previous: draw.one_in(3) },
            11..15 => Step::Increment { key, by: [1, -1, 7, i64::MAX, i64::MIN][draw.below(5) as usize] },
            15..17 => Step::Append { key, value: words.value(draw) },
            17..20 => {
                let condition = [
                    LifetimeCondition::Always,
                    LifetimeCondition::NoDeadline,
                    LifetimeCondition::Deadline,
                    LifetimeCondition::Later,
                    LifetimeCondition::Earlier,
                ][draw.below(5) as usize];
                Step::SetLifetime { key, lifetime: self.lifetime(draw), condition }
            }
            20 => Step::DeleteRange { range: words.range(draw), limit: draw.below(6) },
            21 => Step::Range { range: words.range(draw), limit: draw.below(6), reverse: draw.one_in(2) },
            _ => Step::Get { key },
        }
    }

    fn condition(&mut self, draw: &mut impl Draw) -> Condition {
        match draw.below(8) {
            0 => Condition::Absent,
            1 => Condition::Present,
            2 => Condition::Version(self.version(draw)),
            _ => Condition::Always,
        }
    }

    fn lifetime(&mut self, draw: &mut impl Draw) -> Lifetime {
        match draw.below(10) {
            0..2 => Lifetime::Until(Timestamp::from_millis(self.time + draw.below(4_000) - 500)),
            2..4 => Lifetime::Lease(1 + draw.below(5)),
            4..6 => Lifetime::Keep,
            _ => Lifetime::Unbounded,
        }
    }

    /// A version that some key may have.
    fn version(&mut self, draw: &mut impl Draw) -> u64 {
        self.version.saturating_sub(draw.below(12))
    }
}
