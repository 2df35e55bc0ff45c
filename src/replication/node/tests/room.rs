//! A full memory, and a log whose next segment is still being made.

use super::*;
use crate::error::Error;
use crate::store::index::Settings;
use crate::store::index::evict::Eviction;

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
