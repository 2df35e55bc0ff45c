//! A bounded memory: what grows is counted by what is there, and nothing goes, or is refused, while the outcome fits.

use std::collections::BTreeMap;

use trimtab::Error;
use trimtab::rng::Rng;
use trimtab::store::engine::{Durability, Engine, Options};
use trimtab::store::index::evict::{Eviction, footprint};
use trimtab::store::index::{
    Answer, Command, Condition, Lifetime, OnRefusal, Operation, Range, Refusal, RequestId, Settings, Step,
    Timestamp, Transaction,
};
use trimtab::wal::FileDisk;

use crate::engine::{at, completions, open_in, options, settle};
use crate::support::Folder;

const LIMIT: u64 = 128 << 10;

fn open(folder: &Folder, eviction: Eviction) -> (Engine, FileDisk) {
    let settings = Settings { memory_max: LIMIT, ..Settings::default() };
    let log = trimtab::store::log::Options { segment_bytes: 1 << 20, ..options().log };
    let (engine, _, disk) = open_in(folder, Options { eviction, settings, log, ..options() });
    (engine, disk)
}

fn put<'a>(key: &'a [u8], value: &'a [u8], lifetime: Lifetime) -> Step<'a> {
    Step::Put { key, value, condition: Condition::Always, lifetime, previous: false }
}

fn together(then: Vec<Step<'_>>) -> Operation<'_> {
    let (conditions, otherwise, on_refusal) = (Vec::new(), Vec::new(), OnRefusal::Abort);
    Operation::Transaction(Transaction { conditions, then, otherwise, on_refusal })
}

/// Submits, again when it was to wait.
fn submit(
    engine: &mut Engine,
    disk: &FileDisk,
    request: Option<RequestId>,
    operation: Operation<'_>,
    durability: Durability,
    now: u64,
) {
    let command = Command { time: Timestamp::default(), request, operation };
    for _ in 0..100 {
        match engine.submit(&command, Some(durability), at(now)) {
            Ok(_) => return,
            Err(error @ Error::Capacity { what: "memory_max", .. }) => {
                assert!(engine.is_worth_waiting(&error));
                settle(engine, disk, at(now));
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it waits for ever");
}

/// What is refused of what was answered.
fn refusals(engine: &mut Engine) -> Vec<Refusal> {
    let answers = completions(engine).into_iter().map(|it| it.result.unwrap().outcome.unwrap().answer);
    answers.filter_map(Result::err).collect()
}

fn fill(engine: &mut Engine, disk: &FileDisk, count: u64) {
    for number in 0..count {
        let key = format!("cold-{number:06}");
        let operation = Operation::Step(put(key.as_bytes(), &[b'x'; 40], Lifetime::Unbounded));
        submit(engine, disk, None, operation, Durability::Memory, number);
    }
    assert_eq!(refusals(engine), []);
}

#[test]
fn a_put_in_place_of_another_has_nothing_evicted() {
    for (eviction, durability) in [
        (Eviction::Lru, Durability::Memory),
        (Eviction::Lru, Durability::Local),
        (Eviction::Refuse, Durability::Local),
    ] {
        let folder = Folder::new("in-place");
        let (mut engine, disk) = open(&folder, eviction);
        fill(&mut engine, &disk, 300);
        let long = vec![b'y'; 70_000];
        let hot: Vec<String> = (0..10).map(|at| format!("hot-{at}")).collect();
        for key in &hot {
            let operation = Operation::Step(put(key.as_bytes(), &[b'z'; 1_000], Lifetime::Unbounded));
            submit(&mut engine, &disk, None, operation, durability, 301);
        }
        let operation = Operation::Step(put(b"a", &long, Lifetime::Unbounded));
        submit(&mut engine, &disk, None, operation, durability, 302);
        settle(&mut engine, &disk, at(302));
        assert_eq!(engine.state().len(), 311);
        // Many under way, which together are far more than there is room for.
        for number in 0..400 {
            let key = hot[number % 10].as_bytes();
            let operation = Operation::Step(put(key, &[b'w'; 1_000], Lifetime::Unbounded));
            submit(&mut engine, &disk, None, operation, durability, 303);
        }
        for _ in 0..3 {
            let operation = Operation::Step(put(b"a", &long, Lifetime::Unbounded));
            submit(&mut engine, &disk, None, operation, durability, 304);
        }
        // What one is deleted for makes room for the other.
        for (from, to) in [(&b"a"[..], &b"b"[..]), (b"b", b"a")] {
            let delete = Step::Delete { key: from, condition: Condition::Always, previous: false };
            let operation = together(vec![delete, put(to, &long, Lifetime::Unbounded)]);
            submit(&mut engine, &disk, None, operation, durability, 305);
        }
        settle(&mut engine, &disk, at(306));
        assert_eq!(refusals(&mut engine), []);
        assert_eq!(
            (engine.state().len(), engine.counts().evictions),
            (311, 0),
            "{eviction:?} {durability:?}"
        );
        if eviction == Eviction::Refuse {
            continue;
        }
        // What is written is not what goes for it, even if nothing else is as old.
        engine.uses().note(b"a", at(1).clock);
        let operation = Operation::Step(Step::Append { key: b"a", value: &[b'v'; 30_000] });
        submit(&mut engine, &disk, None, operation, durability, 307);
        settle(&mut engine, &disk, at(308));
        assert_eq!(refusals(&mut engine), []);
        let length = engine.state().get(b"a", at(308).clock).map(|entry| entry.value.len());
        assert_eq!(length, Some(100_000));
        assert!(engine.counts().evictions > 0 && engine.state().memory() <= LIMIT);
    }
}

#[test]
fn what_is_remembered_is_counted_before_it_is() {
    for (eviction, durability) in [
        (Eviction::Refuse, Durability::Memory),
        (Eviction::Refuse, Durability::Local),
        (Eviction::Lru, Durability::Memory),
        (Eviction::Lru, Durability::Local),
    ] {
        let folder = Folder::new("remembered");
        let (mut engine, disk) = open(&folder, eviction);
        fill(&mut engine, &disk, 300);
        let value = vec![b'y'; 25_000];
        let mut refused = 0;
        for number in 1..=80 {
            let request = Some(RequestId { client: [7; 16], number });
            let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
            let operation =
                Operation::Step(Step::Put { key: b"v", value: &value, condition, lifetime, previous: true });
            submit(&mut engine, &disk, request, operation, durability, 300 + number);
            if number % 3 == 0 {
                settle(&mut engine, &disk, at(300 + number));
            }
            assert!(engine.state().memory() <= LIMIT, "{number}: {}", engine.state().memory());
            let refusals = refusals(&mut engine);
            assert!(
                refusals.iter().all(|it| matches!(it, Refusal::MemoryFull { limit: LIMIT })),
                "{refusals:?}"
            );
            refused += refusals.len();
        }
        settle(&mut engine, &disk, at(400));
        // Those that were done are remembered no more when the numbers have gone on, and others are done.
        assert!((20..78).contains(&refused), "{refused} refused");
        assert!(engine.state().memory() <= LIMIT);
        // Others write, and who puts nothing is not refused.
        completions(&mut engine);
        let operation = Operation::Step(put(b"n", b"1", Lifetime::Unbounded));
        submit(&mut engine, &disk, None, operation, durability, 401);
        for number in 1..20u8 {
            let request = Some(RequestId { client: [number; 16], number: 100 });
            let key = format!("cold-{number:06}");
            let (condition, previous) = (Condition::Always, false);
            let operation = Operation::Step(Step::Delete { key: key.as_bytes(), condition, previous });
            submit(&mut engine, &disk, request, operation, durability, 402);
        }
        settle(&mut engine, &disk, at(403));
        assert_eq!(refusals(&mut engine), []);
    }
}

#[test]
fn a_request_that_was_done_needs_no_room() {
    let folder = Folder::new("again");
    let (mut engine, disk) = open(&folder, Eviction::Lru);
    let value = vec![b'y'; 60_000];
    let request = Some(RequestId { client: [7; 16], number: 1 });
    let operation = Operation::Step(put(b"v", &value, Lifetime::Unbounded));
    submit(&mut engine, &disk, request, operation.clone(), Durability::Memory, 1);
    fill(&mut engine, &disk, 500);
    let keys = engine.state().len();
    submit(&mut engine, &disk, request, operation, Durability::Memory, 501);
    let done = completions(&mut engine).pop().unwrap().result.unwrap().outcome.unwrap();
    assert!(done.is_repeated && matches!(done.answer, Ok(Answer::Put { .. })), "{done:?}");
    assert_eq!((engine.state().len(), engine.counts().evictions), (keys, 0));
}

/// What keys have, and whether they have a deadline.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, bool)>;

fn memory(model: &Model) -> u64 {
    model.iter().map(|(key, (value, is_bounded))| footprint(key.len(), value.len(), *is_bounded)).sum()
}

/// Does a step; whether there is room for it.
fn step(model: &mut Model, step: &Step<'_>) -> bool {
    let before = memory(model);
    match *step {
        Step::Put { key, value, lifetime, .. } => {
            let keeps =
                lifetime == Lifetime::Keep && model.get(key).is_some_and(|(_, is_bounded)| *is_bounded);
            model.insert(key.to_vec(), (value.to_vec(), keeps || matches!(lifetime, Lifetime::Until(_))));
        }
        Step::Delete { key, .. } => drop(model.remove(key)),
        Step::Append { key, value } => model.entry(key.to_vec()).or_default().0.extend(value),
        Step::Increment { key, by } => {
            let number = &mut model.entry(key.to_vec()).or_default().0;
            let before = if number.is_empty() { 0 } else { str::from_utf8(number).unwrap().parse().unwrap() };
            *number = (before + by).to_string().into_bytes();
        }
        Step::SetLifetime { key, lifetime, .. } => {
            if let Some((_, is_bounded)) = model.get_mut(key) {
                *is_bounded = lifetime != Lifetime::Unbounded;
            }
        }
        _ => unreachable!("none of these"),
    }
    memory(model) <= before || memory(model) <= LIMIT
}

#[test]
fn nothing_goes_and_nothing_is_refused_while_the_outcome_fits() {
    let far = Lifetime::Until(at(1 << 40).clock);
    for seed in 0..24 {
        let mut rng = Rng::new(seed);
        let eviction = [Eviction::Refuse, Eviction::Lru, Eviction::Ttl][seed as usize % 3];
        let folder = Folder::new("outcome");
        let (mut engine, disk) = open(&folder, eviction);
        let mut model = Model::new();
        let (mut fitting, mut others) = (0, 0);
        for number in 0..400 {
            let value = vec![b'v'; [10, 1_000, 20_000][rng.below(3) as usize] + rng.below(20) as usize];
            let names: Vec<_> = (0..4).map(|_| format!("key-{:03}", rng.below(60)).into_bytes()).collect();
            let counter = format!("number-{:03}", rng.below(20)).into_bytes();
            let mut draw = |key| match rng.below(10) {
                0..4 => put(key, &value, [Lifetime::Unbounded, Lifetime::Keep, far][rng.below(3) as usize]),
                4..6 => Step::Append { key, value: &value[..value.len() / 10] },
                6..8 => Step::Delete { key, condition: Condition::Always, previous: false },
                8 => Step::Increment { key: &counter, by: 3_i64.pow(rng.below(20) as u32) },
                _ => {
                    let lifetime = [Lifetime::Unbounded, far][rng.below(2) as usize];
                    Step::SetLifetime {
                        key,
                        lifetime,
                        condition: trimtab::store::index::LifetimeCondition::Always,
                    }
                }
            };
            let steps: Vec<Step<'_>> = names.iter().map(|key| draw(key)).collect();
            let steps = if rng.below(2) == 0 { steps[..1].to_vec() } else { steps };
            let mut next = model.clone();
            let fits = steps.iter().all(|it| step(&mut next, it));
            let operation =
                if steps.len() == 1 { Operation::Step(steps[0].clone()) } else { together(steps) };
            let durability = [Durability::Memory, Durability::Local][rng.below(2) as usize];
            let evictions = engine.counts().evictions;
            submit(&mut engine, &disk, None, operation, durability, number);
            assert!(engine.state().memory() <= LIMIT);
            if rng.below(8) == 0 || !fits {
                settle(&mut engine, &disk, at(number));
                assert!(engine.state().memory() <= LIMIT);
            }
            let refusals = refusals(&mut engine);
            if fits {
                assert_eq!((refusals, engine.counts().evictions), (vec![], evictions), "{seed} {number}");
                model = next;
                fitting += 1;
            } else {
                assert!(eviction != Eviction::Lru || refusals.is_empty(), "{seed} {number}: {refusals:?}");
                let page = engine.state().range(&Range::ALL, 0, u64::MAX, false, at(number).clock);
                let entries = page.entries.into_iter();
                model =
                    entries.map(|(key, it)| (key, (it.value.to_vec(), it.deadline().is_some()))).collect();
                others += 1;
            }
        }
        settle(&mut engine, &disk, at(401));
        assert_eq!((memory(&model), refusals(&mut engine)), (engine.state().memory(), vec![]), "{seed}");
        assert!(fitting > 100 && others > 5, "{seed}: {fitting} fitting, {others} others");
    }
}
