//! Random commands against the model, and on two nodes.

use trimtab::rng::Rng;
use trimtab::store::index::{
    Answer, Command, Condition, Index, KEY_MAX, Lifetime, LifetimeCondition, Malformed, Operation, Options,
    Range, Refusal, RequestId, Settings, Step, Timestamp, prefix_end,
};

use crate::commands::{Course, Words};
use crate::harness::{run, run_on};
use crate::model::Model;

const SEEDS: u64 = 256;

#[test]
fn answers_content_and_accounts_are_the_models() {
    let words = Words::new();
    for seed in 0..SEEDS {
        println!("seed {seed}");
        run(&words, 400, &mut Rng::new(seed));
    }
}

#[test]
fn a_long_run_is_the_models() {
    run(&Words::new(), 20_000, &mut Rng::new(1));
}

#[test]
fn two_nodes_that_apply_the_same_have_the_same_hash() {
    let words = Words::new();
    for seed in 0..SEEDS / 4 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let (mut a, mut b) = (Index::new(&Options::default()), Index::new(&Options { history_bytes_max: 0 }));
        assert_eq!(a.state().hash(), b.state().hash());
        let (mut course, mut held, mut hashes) = (Course::new(), Vec::new(), Vec::new());
        for sequence in 1..400 {
            course.version = sequence;
            let mut encoded = Vec::new();
            course.command(&words, &mut rng).encode(&mut encoded);
            let before = a.state().changes();
            assert_eq!(a.apply(sequence, &encoded).unwrap(), b.apply(sequence, &encoded).unwrap());
            // One publishes after each and is read all the time, the other never.
            a.publish();
            held.push(a.reader().view());
            assert_eq!(a.state().hash(), b.state().hash());
            if a.state().changes() != before {
                hashes.push(a.state().hash());
            }
        }
        hashes.sort_unstable();
        let (all, ()) = (hashes.len(), hashes.dedup());
        // Deleting what was put comes back to an earlier state; other changes never do.
        assert!(hashes.len() * 10 > all * 8, "{} of {all}", hashes.len());
        // Views that were held have stayed what they were: the last of them too.
        for view in held {
            let page = view.range(&Range::ALL, 0, u64::MAX, false, Timestamp::from_millis(0));
            assert_eq!(page.entries.len() as u64, view.len());
        }
    }
}

#[test]
fn the_hash_depends_on_content_not_on_the_way_to_it() {
    let put = |index: &mut Index, sequence, key: &[u8], value: &[u8]| {
        let step = Step::Put {
            key,
            value,
            condition: Condition::Always,
            lifetime: Lifetime::Unbounded,
            previous: false,
        };
        step_at(index, sequence, step)
    };
    let (mut a, mut b) = (Index::new(&Options::default()), Index::new(&Options::default()));
    put(&mut a, 1, b"x", b"1").unwrap();
    put(&mut a, 2, b"y", b"2").unwrap();
    put(&mut b, 2, b"y", b"2").unwrap();
    assert_ne!(a.state().hash(), b.state().hash());
    step_at(&mut a, 3, Step::Delete { key: b"x", condition: Condition::Always, previous: false }).unwrap();
    assert_eq!(a.state().hash(), b.state().hash());
    put(&mut b, 3, b"y", b"2").unwrap();
    assert_ne!(a.state().hash(), b.state().hash(), "the version counts too");
}

#[test]
fn a_command_is_checked_in_memory_as_it_would_be_when_read() {
    let (words, mut rng) = (Words::new(), Rng::new(3));
    let mut course = Course::new();
    let tight = Settings { value_max: 20, operations_max: 2, ..Settings::default() };
    let (mut right, mut wrong) = (0, 0);
    let mut same = |command: &Command<'_>, settings: &Settings| {
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        let read = Command::decode(&encoded, settings).map(|read| assert_eq!(&read, command));
        assert_eq!(command.check(settings), read, "{command:?}");
        *if read.is_ok() { &mut right } else { &mut wrong } += 1;
    };
    for _ in 0..4_000 {
        let command = course.command(&words, &mut rng);
        same(&command, &Settings::default());
        same(&command, &tight);
    }
    let long = vec![b'k'; KEY_MAX + 1];
    let (value, unbounded) = (&b"v"[..], Lifetime::Unbounded);
    let put =
        |key, lifetime| Step::Put { key, value, condition: Condition::Always, lifetime, previous: false };
    let range = |start, end| Step::Range { range: Range { start, end }, limit: 0, reverse: false };
    let steps = [
        put(&long, unbounded),
        put(b"k", Lifetime::Lease(0)),
        range(&long, None),
        range(b"", Some(&long)),
        Step::Append { key: &long, value },
        Step::Delete { key: &long, condition: Condition::Always, previous: false },
        Step::SetLifetime { key: b"k", lifetime: Lifetime::Lease(0), condition: LifetimeCondition::Always },
    ];
    let operations = [
        Operation::LeaseGrant { id: 0, ttl_ms: 1 },
        Operation::LeaseGrant { id: 1, ttl_ms: 0 },
        Operation::LeaseGrant { id: 1, ttl_ms: (1 << 48) + 1 },
        Operation::LeaseKeepAlive { id: 0 },
        Operation::LeaseRevoke { id: 0 },
        Operation::Evict { keys: vec![(&long, 1)] },
        Operation::Configure(Settings { value_max: 0, ..Settings::default() }),
        Operation::Configure(Settings { memory_max: 1, ..Settings::default() }),
    ];
    for operation in steps.into_iter().map(Operation::Step).chain(operations) {
        same(&Command { time: Timestamp::from_millis(1), request: None, operation }, &Settings::default());
    }
    assert!(right > 5_000 && wrong > 200, "{right} right, {wrong} wrong");
}

#[test]
fn an_index_goes_on_where_it_is_cloned() {
    let (words, mut rng) = (Words::new(), Rng::new(5));
    let (index, mut model) = run(&words, 300, &mut rng);
    let mut copy = Index::from_state(index.state().clone(), &Options::default());
    let mut course = Course::new();
    course.time = model.time;
    run_on(&mut copy, &mut model, &mut course, &words, 300, &mut rng);
}

#[test]
fn a_sequence_comes_once() {
    let mut index = Index::new(&Options::default());
    step_at(&mut index, 7, Step::Get { key: b"k" }).unwrap();
    let mut encoded = Vec::new();
    Command {
        time: Timestamp::from_millis(1),
        request: None,
        operation: Operation::Step(Step::Get { key: b"k" }),
    }
    .encode(&mut encoded);
    for sequence in [0, 6, 7] {
        let error = index.apply(sequence, &encoded).unwrap_err().to_string();
        assert!(error.contains("is not behind 7"), "{error}");
    }
    assert_eq!(index.state().sequence(), 7);
    assert!(index.apply(9, &encoded).is_ok());
}

#[test]
fn what_is_no_command_is_refused_alike_and_changes_nothing() {
    let mut index = Index::new(&Options::default());
    let hash = index.state().hash();
    let outcome = index.apply(1, b"\x00").unwrap();
    assert_eq!(outcome.answer, Err(Refusal::Malformed(Malformed::Version { found: 0 })));
    // What a later version wrote others have done: this node must not go on without it.
    let error = index.apply(2, b"\x02").unwrap_err().to_string();
    assert!(error.contains("version 2") && error.contains("update"), "{error}");
    assert_eq!((index.state().sequence(), index.state().hash()), (1, hash));
    let value = vec![b'x'; (16 << 20) + 1];
    let mut encoded = Vec::new();
    let put = Step::Put {
        key: b"k",
        value: &value,
        condition: Condition::Always,
        lifetime: Lifetime::Unbounded,
        previous: false,
    };
    let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(put) };
    command.encode(&mut encoded);
    let outcome = index.apply(2, &encoded).unwrap();
    let limit = 16 << 20;
    assert_eq!(outcome.answer, Err(Refusal::Malformed(Malformed::TooLarge { what: "value_max", limit })));
}

#[test]
fn a_retry_gets_its_first_answer_even_from_another_node() {
    let (mut index, time) = (Index::new(&Options::default()), Timestamp::from_millis(1));
    let count = |index: &mut Index, sequence, number| {
        let request = Some(RequestId { client: *b"a client of mine", number });
        let operation = Operation::Step(Step::Increment { key: b"n", by: 1 });
        index.apply_command(sequence, &Command { time, request, operation }).unwrap()
    };
    let first = count(&mut index, 1, 10);
    assert_eq!((first.answer.clone(), first.is_repeated), (Ok(Answer::Number(1)), false));
    assert_eq!(count(&mut index, 2, 11).answer, Ok(Answer::Number(2)));
    let mut other = Index::from_state(index.state().clone(), &Options::default());
    let again = count(&mut other, 3, 10);
    assert_eq!((again.sequence, again.answer, again.is_repeated), (1, Ok(Answer::Number(1)), true));
    // One that was not done before may still come, as long as the window has it.
    assert_eq!(count(&mut index, 3, 9).answer, Ok(Answer::Number(3)));
    assert_eq!(count(&mut index, 4, 60).answer, Ok(Answer::Number(4)));
    assert_eq!(count(&mut index, 5, 28).answer, Err(Refusal::StaleRequest { lowest: 29 }));
    assert_eq!(count(&mut index, 6, 29).answer, Ok(Answer::Number(5)));
}

#[test]
fn memory_is_refused_at_its_limit_and_what_does_not_grow_goes_on() {
    let mut index = Index::new(&Options::default());
    let settings = Settings { memory_max: 65_536, ..Settings::default() };
    let configure =
        Command { time: Timestamp::default(), request: None, operation: Operation::Configure(settings) };
    index.apply_command(1, &configure).unwrap();
    let put = |key, value| Step::Put {
        key,
        value,
        condition: Condition::Always,
        lifetime: Lifetime::Unbounded,
        previous: false,
    };
    let large = vec![b'v'; 30_000];
    step_at(&mut index, 2, put(b"a", &large)).unwrap();
    step_at(&mut index, 3, put(b"b", &large)).unwrap();
    assert_eq!(index.state().memory(), 2 * (64 + 1 + 30_000));
    let hash = index.state().hash();
    let refused = step_at(&mut index, 4, put(b"c", &large)).unwrap_err();
    assert_eq!(refused, Refusal::MemoryFull { limit: 65_536 });
    assert_eq!(index.state().hash(), hash);
    step_at(&mut index, 5, put(b"a", b"small")).unwrap();
    step_at(&mut index, 6, put(b"c", &large)).unwrap();
}

#[test]
fn the_end_of_a_prefix_is_the_first_string_behind() {
    assert_eq!(prefix_end(b"user:").as_deref(), Some(&b"user;"[..]));
    assert_eq!(prefix_end(b"a\xff\xff").as_deref(), Some(&b"b"[..]));
    assert_eq!(prefix_end(b""), None);
    assert_eq!(prefix_end(b"\xff\xff"), None);
}

/// Checks that a model with nothing in it answers as an index with nothing in it.
#[test]
fn nothing_has_nothing() {
    let (index, model) = (Index::new(&Options::default()), Model::default());
    assert!(index.state().is_empty() && model.entries.is_empty());
    assert_eq!(index.state().next_deadline(), None);
    assert_eq!(index.reader().get(b"", Timestamp::default()), None);
    assert_eq!(index.reader().count(&Range::ALL, Timestamp::default()), 0);
}

fn step_at(index: &mut Index, sequence: u64, step: Step<'_>) -> Result<Answer, Refusal> {
    let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
    index.apply_command(sequence, &command).expect("the sequence rises").answer
}
