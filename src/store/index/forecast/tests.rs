//! What was forecast against what comes of it: cases one by one, and small worlds at random.

use super::*;
use crate::rng::Rng;
use crate::store::index::evict::{Eviction, Uses, victims};
use crate::store::index::{
    self, Condition, Index, LifetimeCondition, Operand, Relation, Settings, Transaction,
};

const LONG: [u8; 1_000] = [b'v'; 1_000];

fn at<'a>(millis: u64, operation: Operation<'a>) -> Command<'a> {
    Command { time: Timestamp::from_millis(millis), request: None, operation }
}

fn step(step: Step<'_>) -> Command<'_> {
    at(1, Operation::Step(step))
}

fn by(client: u8, number: u64, command: Command<'_>) -> Command<'_> {
    Command { request: Some(RequestId { client: [client; 16], number }), ..command }
}

fn put_for<'a>(key: &'a [u8], value: &'a [u8], condition: Condition, lifetime: Lifetime) -> Step<'a> {
    Step::Put { key, value, condition, lifetime, previous: false }
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Step<'a> {
    put_for(key, value, Condition::Always, Lifetime::Unbounded)
}

fn delete(key: &[u8]) -> Step<'_> {
    Step::Delete { key, condition: Condition::Always, previous: false }
}

fn until(millis: u64) -> Lifetime {
    Lifetime::Until(Timestamp::from_millis(millis))
}

/// `then`, if `key` has been written.
fn if_there<'a>(key: &'a [u8], then: Vec<Step<'a>>, on_refusal: OnRefusal) -> Command<'a> {
    let conditions = vec![Comparison { key, relation: Relation::Greater, operand: Operand::Version(0) }];
    at(1, Operation::Transaction(Transaction { conditions, then, otherwise: Vec::new(), on_refusal }))
}

fn copy(index: &Index) -> Index {
    Index::from_state(index.state().clone(), &index::Options { history_bytes_max: 0 })
}

/// What is under way, with what is forecast of it.
struct Line<'a> {
    index: Index,
    forecast: Forecast,
    under_way: VecDeque<(u64, u64, Command<'a>)>,
    sequence: u64,
}

impl<'a> Line<'a> {
    fn new(settings: Settings) -> Self {
        let index = Index::new(&index::Options { history_bytes_max: 0 });
        let mut line = Self { index, forecast: Forecast::default(), under_way: VecDeque::new(), sequence: 0 };
        line.push(at(0, Operation::Configure(settings)), None);
        line.apply();
        line
    }

    fn push(&mut self, command: Command<'a>, plan: Option<Plan>) {
        self.sequence += 1;
        let bound = if plan.is_some() { 0 } else { bound(&command) };
        match plan {
            Some(plan) => self.forecast.take(self.sequence, plan),
            None => self.forecast.push(bound),
        }
        self.under_way.push_back((self.sequence, bound, command));
    }

    fn look(&mut self) {
        let unseen = self.under_way.len() - self.forecast.unseen()..;
        for (sequence, bound, command) in self.under_way.range(unseen) {
            self.forecast.look(self.index.state(), *sequence, Some(command), *bound);
        }
    }

    /// Applies the first; whether it was refused for want of memory.
    fn apply(&mut self) -> bool {
        let (sequence, bound, command) = self.under_way.pop_front().expect("something is under way");
        let outcome = self.index.apply_command(sequence, &command).unwrap();
        self.forecast.applied(self.index.state(), sequence, bound);
        format!("{:?}", outcome.answer).contains("MemoryFull")
    }

    /// What is wrong with what the memory comes to, if something is.
    fn fault(&self) -> Option<String> {
        let total = self.forecast.total(self.index.state());
        let mut index = copy(&self.index);
        for (sequence, _, command) in &self.under_way {
            index.apply_command(*sequence, command).unwrap();
        }
        let (is, is_exact) = (index.state().memory(), self.forecast.is_exact());
        let is_exact = is_exact && self.forecast.unseen() == 0;
        (total < is || is_exact && total != is).then(|| {
            let under_way: Vec<_> = self.under_way.iter().map(|(sequence, _, it)| (sequence, it)).collect();
            format!("exact: {is_exact}, total {total}, is {is}, under way: {under_way:?}")
        })
    }
}

/// Has `done` applied, and `under_way` looked at: one after the other, applied as late as can be and as early.
fn check(done: &[Command<'_>], under_way: &[Command<'_>]) {
    check_with(Settings { clients_max: 2, ..Settings::default() }, done, under_way);
}

fn check_with(settings: Settings, done: &[Command<'_>], under_way: &[Command<'_>]) {
    for ahead in 1..=under_way.len() {
        let mut line = Line::new(settings);
        for command in done {
            line.push(command.clone(), None);
            line.apply();
        }
        for command in under_way {
            line.push(command.clone(), None);
            line.look();
            assert_eq!(line.fault(), None, "{ahead} ahead, behind {command:?}");
            if line.under_way.len() == ahead {
                line.apply();
                assert_eq!(line.fault(), None, "{ahead} ahead, applied before {command:?}");
            }
        }
        while !line.under_way.is_empty() {
            line.apply();
            assert_eq!(line.fault(), None, "{ahead} ahead, at the end");
        }
    }
}

/// What takes keys out without naming them leaves nothing to be taken off for them.
#[test]
fn what_a_range_has_taken_out_is_taken_off_once() {
    let all = Step::DeleteRange { range: Range::ALL, limit: 0 };
    check(&[step(put(b"key", &LONG))], &[step(all.clone()), step(put(b"key", b"v"))]);
    check(&[step(put(b"key", &LONG))], &[step(all), step(Step::Append { key: b"key", value: b"v" })]);
}

#[test]
fn what_may_be_deleted_is_looked_at_when_it_was() {
    let deletion = if_there(b"key", vec![delete(b"key")], OnRefusal::Abort);
    check(&[], &[step(put(b"key", &LONG)), deletion.clone(), step(put(b"key", &LONG))]);
    let other = if_there(b"other", vec![delete(b"key")], OnRefusal::Continue);
    let again = step(put(b"key", b"v"));
    check(&[step(put(b"key", &LONG))], &[step(put(b"other", b"v")), other, again]);
}

#[test]
fn a_lease_may_be_prolonged_begun_or_ended_by_what_is_under_way() {
    let grant = |millis, ttl_ms| at(millis, Operation::LeaseGrant { id: 1, ttl_ms });
    let kept = |millis| at(millis, Operation::LeaseKeepAlive { id: 1 });
    let revoke = |millis| at(millis, Operation::LeaseRevoke { id: 1 });
    let leased = || at(1, Operation::Step(put_for(b"key", &LONG, Condition::Always, Lifetime::Lease(1))));
    let append = |millis| at(millis, Operation::Step(Step::Append { key: b"key", value: b"more" }));
    let lease = || vec![grant(1, 10), leased()];
    check(&lease(), &[kept(9), append(12), append(30)]);
    check(&lease(), &[append(9), append(12)]);
    check(&lease(), &[revoke(2), grant(2, 10)]);
    check(&lease(), &[revoke(2), grant(2, 10), grant(20, 10), append(21)]);
    check(&lease(), &[grant(20, 10), append(20)]);
    check(&lease(), &[append(2), grant(20, 10), append(20)]);
    check(&lease(), &[at(20, Operation::Expire { limit: 0 }), grant(20, 10), append(20)]);
    check(&[], &[grant(1, 10), leased(), append(2), append(20)]);
}

#[test]
fn what_was_guessed_of_a_key_stays_a_guess() {
    let condition = Condition::Version(9);
    let guessed = step(put_for(b"key", &LONG, condition, Lifetime::Unbounded));
    let append = || step(Step::Append { key: b"key", value: b"more" });
    let certain = step(put(b"key", b"v"));
    check(&[step(put(b"key", b"v"))], &[append(), guessed, append(), append(), certain, append()]);
}

#[test]
fn what_will_have_expired_by_then_counts_so() {
    let append = |millis, value| at(millis, Operation::Step(Step::Append { key: b"key", value }));
    let add = |millis, by| at(millis, Operation::Step(Step::Increment { key: b"key", by }));
    let mortal = |value| at(1, Operation::Step(put_for(b"key", value, Condition::Always, until(10))));
    check(&[], &[mortal(&LONG), append(9, b"one"), append(10, b"two")]);
    check(&[], &[mortal(b"5"), add(9, 1), add(10, -6)]);
    check(&[mortal(b"5")], &[add(10, -5), add(11, 1)]);
    // Something later is under way already.
    check(&[mortal(&LONG)], &[at(20, Operation::Step(put(b"other", b"v"))), append(9, b"one")]);
    check(&[mortal(&LONG)], &[append(2, b"one"), at(20, Operation::Expire { limit: 0 }), append(20, b"two")]);
}

#[test]
fn a_request_may_be_one_that_is_done() {
    let put = |value| step(put(b"key", value));
    let long = || put(&LONG);
    // Its first try is under way.
    check(&[long()], &[by(1, 1, step(delete(b"key"))), long(), by(1, 1, step(delete(b"key")))]);
    // It comes too late.
    check(&[long()], &[by(1, 90, put(b"a")), by(1, 3, step(delete(b"key"))), by(1, 91, long())]);
    // It is done, and its client is forgotten before it comes.
    let others = || [by(2, 1, put(b"a")), by(3, 1, put(b"b")), by(1, 1, long())];
    check(&[by(1, 1, put(b"c"))], &others());
    // What was done is not done again.
    check(&[by(1, 1, step(delete(b"key"))), long()], &[by(1, 1, step(delete(b"key")))]);
}

#[test]
fn what_may_find_the_memory_full_may_not_be_done() {
    let settings = Settings { memory_max: 2_500, ..Settings::default() };
    let done = [step(put(b"key", &LONG)), step(put(b"other", &LONG))];
    for on_refusal in [OnRefusal::Abort, OnRefusal::Continue] {
        let steps = vec![put(b"third", &LONG), delete(b"key"), put(b"other", b"v")];
        let full = at(
            1,
            Operation::Transaction(Transaction {
                conditions: Vec::new(),
                then: steps,
                otherwise: Vec::new(),
                on_refusal,
            }),
        );
        check_with(settings, &done, &[full, step(put(b"key", b"short")), step(put(b"key", &LONG))]);
    }
    let leases = (1..9).map(|id| at(1, Operation::LeaseGrant { id, ttl_ms: 9 })).collect::<Vec<_>>();
    check_with(settings, &done, &leases);
}

/// A key may have less than is counted for it, and grows in truth where that shrinks.
#[test]
fn what_may_grow_needs_room_though_less_is_counted_for_it() {
    let mut line = Line::new(Settings { memory_max: 2_500, ..Settings::default() });
    line.push(step(put(b"key", b"v")), None);
    line.apply();
    let rest = &LONG[..900];
    let maybe = step(put_for(b"key", &LONG, Condition::Version(9), Lifetime::Unbounded));
    for command in [step(Step::Append { key: b"key", value: b"v" }), maybe, step(put(b"other", rest))] {
        line.push(command, None);
    }
    line.look();
    let grown = step(put(b"key", rest));
    let mut plan = Plan::default();
    plan.add(&line.forecast, line.index.state(), &grown);
    assert_eq!(plan.shortage(&line.forecast, line.index.state()), 0);
    line.push(step(put(b"third", rest)), None);
    line.look();
    let mut plan = Plan::default();
    plan.add(&line.forecast, line.index.state(), &grown);
    let shortage = plan.shortage(&line.forecast, line.index.state());
    assert!(shortage > 0);
    line.push(grown, Some(plan));
    let is_full = std::iter::from_fn(|| (!line.under_way.is_empty()).then(|| line.apply()));
    assert!(is_full.last().unwrap());
}

const KEYS: [&[u8]; 5] = [b"a", b"bb", b"ccc", b"dddd", b"eeeee"];

/// A store as small as can be, whose writes, times and moments of applying are drawn.
struct World<'r> {
    rng: &'r mut Rng,
    line: Line<'static>,
    eviction: Eviction,
    now: u64,
    numbers: [u64; 4],
    /// Whether clocks, leases, sweeps and requests come in.
    kinds: [bool; 4],
    evictions: VecDeque<u64>,
    /// Those that may be refused for want of memory.
    doubted: BTreeSet<u64>,
    /// What may be remembered beyond the limit.
    waived: u64,
}

impl World<'_> {
    fn key(&mut self) -> &'static [u8] {
        KEYS[self.rng.below(5) as usize]
    }

    fn value(&mut self) -> &'static [u8] {
        match self.rng.below(5) {
            0 => b"5",
            1 => b"9223372036854775807",
            2 => &LONG[..self.rng.below(50) as usize],
            _ => &LONG[..self.rng.below(600) as usize],
        }
    }

    fn lifetime(&mut self) -> Lifetime {
        match self.rng.below(5) {
            0 | 1 => Lifetime::Unbounded,
            2 => Lifetime::Keep,
            3 if self.kinds[1] => Lifetime::Lease(1 + self.rng.below(3)),
            _ if self.kinds[0] => until(self.now + self.rng.below(30)),
            _ => until(1_000_000),
        }
    }

    fn condition(&mut self) -> Condition {
        match self.rng.below(8) {
            0 => Condition::Absent,
            1 => Condition::Present,
            2 => Condition::Version(self.rng.below(self.line.sequence + 2)),
            _ => Condition::Always,
        }
    }

    fn range(&mut self) -> Range<'static> {
        let ranges = [(&b""[..], None), (b"b", None), (b"", Some(&b"c"[..]))];
        let (start, end) = ranges[self.rng.below(3) as usize];
        Range { start, end }
    }

    fn step(&mut self) -> Step<'static> {
        let previous = self.rng.below(4) == 0;
        let key = self.key();
        match self.rng.below(if self.kinds[2] { 12 } else { 11 }) {
            0..=3 => {
                let (value, condition, lifetime) = (self.value(), self.condition(), self.lifetime());
                Step::Put { key, value, condition, lifetime, previous }
            }
            4 | 5 => Step::Delete { key, condition: self.condition(), previous },
            6 => Step::Increment { key, by: [1, -1_000][self.rng.below(2) as usize] },
            7 => Step::Append { key, value: self.value() },
            8 => {
                use LifetimeCondition::{Always, Deadline, Earlier, Later, NoDeadline};
                let condition = [Always, NoDeadline, Deadline, Later, Earlier][self.rng.below(5) as usize];
                Step::SetLifetime { key, lifetime: self.lifetime(), condition }
            }
            9 => Step::Get { key },
            10 => {
                let (range, limit) = (self.range(), self.rng.below(3));
                Step::Range { range, limit, reverse: self.rng.below(2) == 0 }
            }
            _ => Step::DeleteRange { range: self.range(), limit: self.rng.below(3) },
        }
    }

    fn steps(&mut self) -> Vec<Step<'static>> {
        (0..self.rng.below(4)).map(|_| self.step()).collect()
    }

    fn comparison(&mut self) -> Comparison<'static> {
        use Relation::{Equal, Greater, Less, NotEqual};
        let relation = [Equal, NotEqual, Less, Greater][self.rng.below(4) as usize];
        let operand = match self.rng.below(5) {
            0 => Operand::Version(self.rng.below(self.line.sequence + 2)),
            1 => Operand::Created(self.rng.below(self.line.sequence + 2)),
            2 => Operand::Changes(self.rng.below(3)),
            3 => Operand::Lease(self.rng.below(3)),
            _ => Operand::Value(b"5"),
        };
        Comparison { key: self.key(), relation, operand }
    }

    fn operation(&mut self) -> Operation<'static> {
        let id = 1 + self.rng.below(3);
        match self.rng.below(20) {
            0..=4 => Operation::Transaction(Transaction {
                conditions: (0..self.rng.below(3)).map(|_| self.comparison()).collect(),
                then: self.steps(),
                otherwise: self.steps(),
                on_refusal: [OnRefusal::Abort, OnRefusal::Continue][self.rng.below(2) as usize],
            }),
            5 if self.kinds[1] => Operation::LeaseGrant { id, ttl_ms: 1 + self.rng.below(30) },
            6 if self.kinds[1] => Operation::LeaseKeepAlive { id },
            7 if self.kinds[1] => Operation::LeaseRevoke { id },
            8 if self.kinds[2] => Operation::Expire { limit: self.rng.below(3) },
            _ => Operation::Step(self.step()),
        }
    }

    fn command(&mut self) -> Command<'static> {
        if self.kinds[0] {
            self.now += self.rng.below(12);
        }
        // A clock that stands behind another's that was primary before.
        let command = at(self.now.saturating_sub(self.rng.below(8)), self.operation());
        if !self.kinds[3] || self.rng.below(2) == 0 {
            return command;
        }
        let client = self.rng.below(4) as usize;
        self.numbers[client] += [0, 1, 1, 1, 40][self.rng.below(5) as usize];
        let number = self.numbers[client].saturating_sub(self.rng.below(4) / 3).max(1);
        by(client as u8, number, command)
    }

    /// As an engine takes a command: there is room for it, or it waits, or it may be refused when it is applied.
    fn submit(&mut self, command: Command<'static>) {
        let limit = self.line.index.state().settings().memory_max;
        let bound = bound(&command);
        let needs_room = self.eviction != Eviction::Refuse || command.request.is_some();
        let fits = self.line.forecast.total(self.line.index.state()).saturating_add(bound) <= limit;
        if bound == 0 || !needs_room || fits {
            if !fits {
                self.doubted.insert(self.line.sequence + 1);
            }
            return self.line.push(command, None);
        }
        loop {
            self.line.look();
            let Line { index, forecast, under_way, .. } = &self.line;
            let state = index.state();
            let mut plan = Plan::default();
            plan.add(forecast, state, &command);
            let shortage = plan.shortage(forecast, state);
            let is_refused = command.request.is_some() && plan.is_too_much(forecast, state);
            let may_evict = plan.can_fit(state) && self.eviction != Eviction::Refuse;
            if shortage > 0 {
                let is_exact = forecast.is_exact() && plan.is_exact();
                if !self.evictions.is_empty() || !is_exact && !under_way.is_empty() {
                    return;
                }
                let uses = Uses::new(1, Timestamp::default());
                let spared = |key: &[u8]| plan.has(key) || forecast.has(key);
                let victims = victims(state, self.eviction, &uses, shortage, 8, spared, self.rng);
                if may_evict && !victims.is_empty() {
                    let keys = victims.into_iter().map(|(key, version)| {
                        (*KEYS.iter().find(|it| **it == key).expect("one of these"), version)
                    });
                    let keys = keys.collect();
                    self.evictions.push_back(self.line.sequence + 1);
                    self.line.push(at(self.now, Operation::Evict { keys }), None);
                    continue;
                }
                if is_refused || may_evict && !under_way.is_empty() {
                    return;
                }
                plan.doubt(forecast, state, &command);
                self.doubted.insert(self.line.sequence + 1);
            }
            if command.request.is_some() && growth(&command.operation) == 0 {
                self.waived += REMEMBERED_BYTES;
            }
            return self.line.push(command, Some(plan));
        }
    }

    /// Some that fit together, of which some are taken back.
    fn submit_together(&mut self, count: u64) {
        self.line.look();
        let mut plan = Plan::default();
        let mut commands = Vec::new();
        for _ in 0..count {
            let command = self.command();
            plan.add(&self.line.forecast, self.line.index.state(), &command);
            let shortage = plan.shortage(&self.line.forecast, self.line.index.state());
            if shortage > 0 || self.rng.below(4) == 0 {
                plan.undo();
                continue;
            }
            commands.push(command);
        }
        let first = self.line.sequence + 1;
        self.line.forecast.take(first, plan);
        for command in commands {
            if command.request.is_some() && growth(&command.operation) == 0 {
                self.waived += REMEMBERED_BYTES;
            }
            self.line.sequence += 1;
            self.line.under_way.push_back((self.line.sequence, 0, command));
        }
    }

    fn apply(&mut self) -> Option<String> {
        let (sequence, _, command) = self.line.under_way.front()?.clone();
        let is_full = self.line.apply();
        self.evictions.pop_front_if(|at| *at == sequence);
        let state = self.line.index.state();
        let memory = state.memory();
        if is_full && !self.doubted.contains(&sequence) {
            return Some(format!("there was room for {sequence}, which was refused: {command:?}"));
        }
        let is_beyond = memory > state.settings().memory_max + self.waived;
        is_beyond.then(|| format!("the memory is {memory} behind {sequence}, {command:?}"))
    }

    fn run(&mut self, events: u32) -> Option<String> {
        for _ in 0..events {
            let fault = match self.rng.below(6) {
                0 => (0..1 + self.rng.below(4)).find_map(|_| self.apply()),
                1 if self.line.under_way.len() < 6 => {
                    let count = 1 + self.rng.below(4);
                    self.submit_together(count);
                    self.line.fault()
                }
                _ if self.line.under_way.len() < 6 => {
                    let command = self.command();
                    self.submit(command);
                    None
                }
                _ => {
                    self.line.look();
                    self.line.fault()
                }
            };
            if fault.is_some() {
                return fault;
            }
        }
        while !self.line.under_way.is_empty() {
            let fault = self.apply().or_else(|| self.line.fault());
            if fault.is_some() {
                return fault;
            }
        }
        None
    }
}

/// Runs one world to its end.
fn run(seed: u64) -> Option<String> {
    let mut rng = Rng::new(seed);
    let settings = Settings {
        memory_max: [600, 1_200, 2_500, 1 << 20][rng.below(4) as usize],
        value_max: 600,
        clients_max: 1 + rng.below(3),
        client_bytes_max: 512,
        ..Settings::default()
    };
    let kinds = [(); 4].map(|()| rng.below(2) == 0);
    let eviction = [Eviction::Refuse, Eviction::Lru, Eviction::Ttl][rng.below(3) as usize];
    World {
        rng: &mut rng,
        line: Line::new(settings),
        eviction,
        now: 1_000,
        numbers: [1; 4],
        kinds,
        evictions: VecDeque::new(),
        doubted: BTreeSet::new(),
        waived: 0,
    }
    .run(24)
}

/// Nothing that was taken with room for it finds the memory full, and the memory comes to no more than was forecast, and to that
/// where it was said to be certain. `TRIMTAB_FORECAST_SEEDS=from..to` runs others than the usual, or one of them.
#[test]
fn worlds_at_random_come_to_what_was_forecast() {
    let given = std::env::var("TRIMTAB_FORECAST_SEEDS").ok();
    let given = given.map(|given| {
        let (from, to) = given.split_once("..").expect("two seeds");
        (from.parse::<u64>().expect("a seed"), to.parse::<u64>().expect("a seed"))
    });
    let (from, to) = given.unwrap_or((0, 2_000));
    let faults: Vec<_> = (from..to).filter_map(|seed| Some((seed, run(seed)?))).collect();
    let first =
        faults.first().map(|(seed, fault)| format!("TRIMTAB_FORECAST_SEEDS={seed}..{}: {fault}", seed + 1));
    assert!(first.is_none(), "{} of {} fail; {}", faults.len(), to - from, first.unwrap_or_default());
}
