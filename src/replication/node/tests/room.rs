//! A full memory, and a log whose next segment is still being made.

use super::*;
use crate::error::Error;
use crate::rng::Rng;
use crate::store::index::evict::Eviction;
use crate::store::index::{Comparison, OnRefusal, Operand, Range, Refusal, Relation, Settings, Transaction};

fn put_long(node: &mut Node, number: usize, len: usize, now: Now) -> std::result::Result<Ticket, Denied> {
    let key = format!("{number:06}{}", "k".repeat(len));
    let step = Step::Put {
        key: key.as_bytes(),
        value: &vec![b'v'; len],
        condition: Condition::Always,
        lifetime: Lifetime::Unbounded,
        previous: false,
    };
    let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
    node.submit(&command, Some(Level::Quorum), None, now)
}

/// Does all there is to do but to make segments.
fn flush(node: &mut Node, disk: &SimDisk, now: Now) {
    node.advance(now);
    while let Some(flush) = node.poll_flush(now) {
        let result = flush.run(disk);
        node.handle_flushed(flush, result, now, |file| disk.name(file));
        node.advance(now);
    }
}

#[test]
fn an_eviction_and_what_needs_it_wait_for_the_next_segment() {
    let settings = Settings { memory_max: 64 << 10, ..Settings::default() };
    let mut ended_full = 0;
    for shift in 0..40 {
        let disk = SimDisk::new(1, Faults::default());
        let store = engine::Options {
            eviction: Eviction::Lru,
            settings,
            log: log::Options { segment_bytes: 256 << 10, ..log::Options::default() },
            ..store()
        };
        let identity = Identity { cluster: CLUSTER, node: 1 };
        let (mut node, _) =
            Node::open(&disk, store, options(None), identity, &begin(1, 0), 77, at(0)).unwrap();
        settle(&mut node, &disk, at(1));
        let operation = Operation::Configure(settings);
        let command = Command { time: Timestamp::default(), request: None, operation };
        node.submit(&command, None, None, at(1)).unwrap();
        settle(&mut node, &disk, at(1));
        // The next segment is begun, and takes for ever.
        let upkeep: Vec<_> = std::iter::from_fn(|| node.poll_upkeep()).collect();
        for number in 0..160 {
            let now = at(2 + number as u64);
            // So that the end of the segment is met in each place of the two entries.
            let count = if number == 70 { shift } else { 0 };
            for _ in 0..count {
                let _ = put_long(&mut node, 0, 16, now);
                flush(&mut node, &disk, now);
            }
            let _ = put_long(&mut node, number, 1_500, now);
            flush(&mut node, &disk, now);
            assert_eq!(*node.standing(), Standing::Active, "shift {shift}, write {number}");
        }
        assert!(node.engine().counts().evictions > 0);
        ended_full += usize::from(node.calls.writes.count() > 0);
        // It is made in the end, and all goes on.
        for work in upkeep {
            let result = work.run(&disk);
            node.handle_upkeep(&work, result, at(200), |file| disk.name(file));
        }
        settle(&mut node, &disk, at(200));
        assert_eq!((node.calls.writes.count(), node.standing()), (0, &Standing::Active), "shift {shift}");
    }
    assert!(ended_full > 30, "{ended_full}");
}

/// Whether writes have come to be done, each of them.
fn are_done(node: &mut Node, tickets: &[Ticket]) -> bool {
    let done: BTreeMap<Ticket, _> =
        std::iter::from_fn(|| node.poll_completion()).map(|it| (it.ticket, it.result)).collect();
    tickets.iter().all(|ticket| match &done[ticket] {
        Ok(Answer::Written(done)) => done.outcome.as_ref().is_some_and(|it| it.answer.is_ok()),
        _ => false,
    })
}

#[test]
fn what_comes_behind_a_lower_limit_has_room_made_by_that() {
    let low = Settings { memory_max: 64 << 10, ..Settings::default() };
    let configure =
        Command { time: Timestamp::default(), request: None, operation: Operation::Configure(low) };
    // Without a limit before, and with a higher one; put into the log by this primary, and by one before it.
    for (former, is_left_over) in [(0, false), (256 << 10, false), (0, true), (256 << 10, true)] {
        let case = format!("{former} bytes before, left over: {is_left_over}");
        let disk = SimDisk::new(1, Faults::default());
        let settings = Settings { memory_max: former, ..low };
        let store = engine::Options { eviction: Eviction::Lru, settings, ..store() };
        let identity = Identity { cluster: CLUSTER, node: 1 };
        let open =
            |now| Node::open(&disk, store.clone(), options(None), identity, &begin(1, 0), 77, now).unwrap().0;
        let mut node = open(at(0));
        settle(&mut node, &disk, at(1));
        let before = Command { operation: Operation::Configure(settings), ..configure.clone() };
        node.submit(&before, None, None, at(1)).unwrap();
        let filling: Vec<_> =
            (0..300).map(|number| put_long(&mut node, number, 200, at(1)).unwrap()).collect();
        settle(&mut node, &disk, at(1));
        assert!(are_done(&mut node, &filling), "{case}");
        assert!(node.state().memory() > 2 * low.memory_max, "{case}");
        node.submit(&configure, None, None, at(2)).unwrap();
        if is_left_over {
            // It is on disk, and not applied when the next reign begins.
            node.advance(at(2));
            let flush = node.poll_flush(at(2)).expect("it is to be on disk");
            flush.run(&disk).unwrap();
            drop(node);
            disk.restart();
            node = open(at(3));
            while !node.is_primary() {
                if let Some(flush) = node.poll_flush(at(3)) {
                    let result = flush.run(&disk);
                    node.handle_flushed(flush, result, at(3), |file| disk.name(file));
                }
                node.advance(at(3));
            }
            assert_eq!(node.state().settings().memory_max, former, "{case}");
        }
        let now = at(3);
        let writes: Vec<_> =
            (300..320).map(|number| put_long(&mut node, number, 200, now).unwrap()).collect();
        settle(&mut node, &disk, now);
        assert!(are_done(&mut node, &writes), "{case}");
        assert_eq!(*node.state().settings(), low, "{case}");
        assert!(node.state().memory() <= low.memory_max && node.engine().counts().evictions > 0, "{case}");
    }
}

/// Does all there is to do, snapshots too.
fn keep_up(node: &mut Node, disk: &SimDisk, now: Now) {
    settle(node, disk, now);
    while let Some(mut job) = node.poll_snapshot(now) {
        let result = write(&mut job, disk);
        node.handle_snapshot(&job, result, now).expect("it counts");
        settle(node, disk, now);
    }
}

/// What may make the state grow is refused before a snapshot would leave nothing of the bound to the log; what is deleted is not.
#[test]
fn what_is_deleted_gets_through_at_the_bound_of_the_disk() {
    let limit = 8 * (64 << 10);
    let log = log::Options { disk_bytes_max: Some(limit), ..store().log };
    let disk = SimDisk::new(1, Faults::default());
    let identity = Identity { cluster: CLUSTER, node: 1 };
    let store = engine::Options { log, ..store() };
    let (mut node, _) = Node::open(&disk, store, options(None), identity, &begin(1, 0), 77, at(0)).unwrap();
    settle(&mut node, &disk, at(1));
    let mut number = 0;
    let mut refused = None;
    // Writers are faster than the disk: what is under way counts too.
    while refused.is_none() {
        assert!(number < 1_000, "it is never refused");
        for _ in 0..40 {
            match put_long(&mut node, number, 1_500, at(2)) {
                Ok(_) => number += 1,
                Err(Denied::Busy(_)) => {}
                Err(error) => refused = Some(error),
            }
        }
        keep_up(&mut node, &disk, at(2));
        let is_refused = put_long(&mut node, number, 1_500, at(2)).map(|_| number += 1).err();
        refused = refused.and(is_refused);
    }
    let is_bound =
        |it: &Denied| matches!(it, Denied::Refused(Error::Capacity { what: "disk_bytes_max", .. }));
    assert!(refused.as_ref().is_some_and(is_bound), "{refused:?}");
    node.want_snapshot();
    keep_up(&mut node, &disk, at(3));
    assert!(node.engine().log().disk_bytes() <= limit && node.engine().snapshot_sequence() > 0);
    for at_ in 0..number {
        let key = format!("{at_:06}{}", "k".repeat(1_500));
        let step = Step::Delete { key: key.as_bytes(), condition: Condition::Always, previous: false };
        let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
        node.submit(&command, Some(Level::Quorum), None, at(4)).expect("it is taken");
        keep_up(&mut node, &disk, at(4));
    }
    assert!(node.state().is_empty());
    for number in 0..1_000 {
        put_long(&mut node, number % 10, 1_500, at(5)).expect("there is room");
        keep_up(&mut node, &disk, at(5));
    }
    assert!(node.engine().log().disk_bytes() <= limit);
}

fn open_full(disk: &SimDisk, id: u64, voters: u64, settings: Settings) -> Node {
    let log = log::Options { segment_bytes: 1 << 20, ..log::Options::default() };
    let store = engine::Options { eviction: Eviction::Lru, settings, log, ..store() };
    let identity = Identity { cluster: CLUSTER, node: id };
    Node::open(disk, store, options(None), identity, &begin(voters, 0), id, at(0)).unwrap().0
}

fn submit(node: &mut Node, operation: Operation<'_>, now: Now) {
    let command = Command { time: Timestamp::default(), request: None, operation };
    node.submit(&command, Some(Level::Quorum), None, now).unwrap();
}

fn put<'a>(key: &'a [u8], value: &'a [u8], lifetime: Lifetime) -> Step<'a> {
    Step::Put { key, value, condition: Condition::Always, lifetime, previous: false }
}

/// Whether something was refused for want of memory.
fn is_refused(node: &mut Node) -> bool {
    let done = std::iter::from_fn(|| node.poll_completion()).filter_map(|it| match it.result {
        Ok(Answer::Written(Done { outcome: Some(outcome), .. })) => Some(outcome.answer),
        _ => None,
    });
    done.filter(|it| matches!(it, Err(Refusal::MemoryFull { .. }))).count() > 0
}

/// What an expiry takes out while a write of the same key is under way is not taken off a second time.
#[test]
fn an_expiry_that_is_under_way_counts_towards_the_room() {
    let settings = Settings { memory_max: 128 << 10, ..Settings::default() };
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open_full(&disk, 1, 1, settings);
    settle(&mut node, &disk, at(1));
    submit(&mut node, Operation::Configure(settings), at(1));
    for number in 0..300 {
        let key = format!("cold-{number:06}");
        submit(&mut node, Operation::Step(put(key.as_bytes(), &[b'v'; 40], Lifetime::Unbounded)), at(1));
    }
    let long = [b'v'; 30_000];
    let until = Lifetime::Until(at(50).clock);
    submit(&mut node, Operation::Step(put(b"mortal", &long, until)), at(1));
    submit(&mut node, Operation::Step(put(b"other", &long, Lifetime::Unbounded)), at(1));
    settle(&mut node, &disk, at(1));
    node.handle_timeout(at(2_000));
    node.advance(at(2_000));
    let flush = node.poll_flush(at(2_000)).expect("the expiry is to be flushed");
    for key in [b"mortal", b"second"] {
        submit(&mut node, Operation::Step(put(key, &long, Lifetime::Unbounded)), at(2_000));
        node.advance(at(2_000));
    }
    let before = node.engine().state().memory();
    let result = flush.run(&disk);
    node.handle_flushed(flush, result, at(2_001), |file| disk.name(file));
    node.advance(at(2_001));
    assert!(node.engine().state().memory() + 30_000 < before, "it has expired, and no more is done");
    submit(&mut node, Operation::Step(put(b"third", &long, Lifetime::Unbounded)), at(2_001));
    settle(&mut node, &disk, at(2_001));
    assert!(!is_refused(&mut node));
    assert!(node.engine().counts().evictions > 0);
}

/// Writes at random, of which some are in the log and some are not when others come, on one node and on three.
#[test]
fn what_finds_room_is_not_refused_and_all_come_to_the_same() {
    let settings = Settings { memory_max: 64 << 10, ..Settings::default() };
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let mut net = Net::empty(None);
        let voters = [1, 3][seed as usize % 2];
        for id in 1..=voters {
            let disk = SimDisk::new(id, Faults::default());
            let node = open_full(&disk, id, voters, settings);
            net.nodes.insert(id, (disk, Some(node)));
        }
        let id = net.primary();
        let now = at(net.millis);
        submit(net.node(id), Operation::Configure(settings), now);
        net.talk();
        for _ in 0..300 {
            let now = at(net.millis);
            let keys = [(); 3].map(|()| format!("{:02}", rng.below(40)).into_bytes());
            let value = vec![b'v'; rng.below(6_000) as usize];
            let until = Lifetime::Until(Timestamp::from_millis(now.clock.as_millis() + 1 + rng.below(300)));
            let lifetime = if rng.below(3) == 0 { until } else { Lifetime::Unbounded };
            let deletion = |key| Step::Delete { key, condition: Condition::Always, previous: false };
            let operation = match rng.below(10) {
                0 => Operation::Step(deletion(&keys[0])),
                1 => Operation::Step(Step::Append { key: &keys[0], value: b"more" }),
                2 => {
                    let range = Range { start: &keys[0], end: None };
                    Operation::Step(Step::DeleteRange { range, limit: 2 })
                }
                3 | 4 => Operation::Transaction(Transaction {
                    conditions: vec![Comparison {
                        key: &keys[0],
                        relation: Relation::Greater,
                        operand: Operand::Version(0),
                    }],
                    then: vec![deletion(&keys[0]), put(&keys[1], &value, lifetime)],
                    otherwise: vec![put(&keys[0], &value, lifetime), deletion(&keys[2])],
                    on_refusal: OnRefusal::Abort,
                }),
                _ => Operation::Step(put(&keys[0], &value, lifetime)),
            };
            submit(net.node(id), operation, now);
            net.node(id).advance(now);
            match rng.below(8) {
                0 => net.pass(10 * (1 + rng.below(5))),
                1 | 2 => net.talk(),
                _ => {}
            }
            let node = net.node(id);
            assert!(!is_refused(node), "seed {seed}");
            assert!(node.engine().state().memory() <= settings.memory_max, "seed {seed}");
        }
        net.pass(1_000);
        let node = net.node(id);
        assert!(!is_refused(node) && node.engine().counts().evictions > 0, "seed {seed}");
        assert_eq!(node.calls.writes.count(), 0, "seed {seed}");
        let of = |node: &Node| (node.state().sequence(), node.state().hash(), node.state().memory());
        let is = of(node);
        assert!((1..=voters).all(|other| of(net.node(other)) == is), "seed {seed}");
    }
}
