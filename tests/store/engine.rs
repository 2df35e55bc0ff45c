//! The engine, driven by hand: each flush when the test says so.

use std::io;

use trimtab::Error;
use trimtab::embedded::{self, Store};
use trimtab::store::engine::{Completion, Durability, Engine, Now, Options, Report, Ticket, open};
use trimtab::store::index::evict::Eviction;
use trimtab::store::index::{
    Answer, Command, Condition, Lifetime, OnRefusal, Operation, Refusal, RequestId, Settings, State, Step,
    Timestamp, Transaction,
};
use trimtab::store::log::{self, Disk, Epoch, Flush, Identity};
use trimtab::time::Instant;
use trimtab::wal::FileDisk;

use crate::support::Folder;

const IDENTITY: Identity = Identity { cluster: *b"tests/store-----", node: 1 };

/// The moment `millis` milliseconds after the beginning, by both clocks.
pub(super) fn at(millis: u64) -> Now {
    Now { instant: Instant::from_millis(millis), clock: Timestamp::from_millis(1_000_000 + millis) }
}

pub(super) fn options() -> Options {
    Options { log: log::Options { segment_bytes: 64 << 10, ..log::Options::default() }, ..Options::default() }
}

pub(super) fn open_in(folder: &Folder, options: Options) -> (Engine, Report, FileDisk) {
    let disk = FileDisk::new(folder.path()).unwrap();
    let (engine, report) = open(&disk, options, IDENTITY, 1, at(0)).unwrap();
    (engine, report, disk)
}

fn put<'a>(key: &'a [u8], value: &'a [u8], lifetime: Lifetime) -> Operation<'a> {
    Operation::Step(Step::Put { key, value, condition: Condition::Always, lifetime, previous: false })
}

fn submit(engine: &mut Engine, key: &str, durability: Durability, now: Now) -> Ticket {
    let operation = put(key.as_bytes(), b"value", Lifetime::Unbounded);
    let command = Command { time: Timestamp::default(), request: None, operation };
    engine.submit(&command, Some(durability), now).unwrap()
}

pub(super) fn completions(engine: &mut Engine) -> Vec<Completion> {
    std::iter::from_fn(|| engine.poll_completion()).collect()
}

/// The tickets that are answered, and at which durability.
fn answered(engine: &mut Engine) -> Vec<(Ticket, Durability)> {
    completions(engine).into_iter().map(|it| (it.ticket, it.result.unwrap().durability)).collect()
}

/// Has the first segment begun, which is a flush of its own, so that those to come are of commands.
fn begin(engine: &mut Engine, disk: &FileDisk) {
    let sync = engine.submit_sync().unwrap();
    assert_eq!(answered(engine), [(sync, Durability::Local)]);
    submit(engine, "begun", Durability::Local, at(0));
    settle(engine, disk, at(0));
    assert_eq!(completions(engine).len(), 1);
}

fn finish(engine: &mut Engine, flush: Flush, disk: &FileDisk) {
    let result = flush.run(disk);
    engine.handle_flushed(flush, result, |file| disk.name(file));
}

/// Does all there is to do on files.
pub(super) fn settle(engine: &mut Engine, disk: &FileDisk, now: Now) {
    loop {
        if let Some(flush) = engine.poll_flush() {
            finish(engine, flush, disk);
        } else if let Some(work) = engine.poll_upkeep() {
            let result = work.run(disk);
            engine.handle_upkeep(&work, result, now.instant, |file| disk.name(file));
        } else if let Some(mut job) = engine.poll_snapshot(now) {
            let written = loop {
                if let Some(written) = job.step(disk).unwrap() {
                    break written;
                }
            };
            engine.handle_snapshot(&job, Ok(written), now).unwrap();
        } else {
            return;
        }
    }
}

fn is_seen(engine: &Engine, key: &str, now: Now) -> bool {
    engine.reader().get(key.as_bytes(), now.clock).is_some()
}

#[test]
fn nothing_is_seen_before_what_came_earlier_and_asked_for_more() {
    let folder = Folder::new("seen");
    let (mut engine, _, disk) = open_in(&folder, options());
    begin(&mut engine, &disk);
    let flushes = engine.counts().flushes;
    let first = submit(&mut engine, "first", Durability::Memory, at(0));
    assert_eq!(answered(&mut engine), [(first, Durability::Memory)]);
    assert!(is_seen(&engine, "first", at(0)));

    let local = submit(&mut engine, "local", Durability::Local, at(0));
    let behind = submit(&mut engine, "behind", Durability::Memory, at(0));
    assert_eq!(answered(&mut engine), []);
    assert!(!is_seen(&engine, "local", at(0)) && !is_seen(&engine, "behind", at(0)));

    // One flush takes all three. What comes meanwhile goes with the next.
    let flush = engine.poll_flush().unwrap();
    let late = submit(&mut engine, "late", Durability::Local, at(0));
    let last = submit(&mut engine, "last", Durability::Memory, at(0));
    assert!(engine.poll_flush().is_none());
    assert_eq!(answered(&mut engine), []);
    finish(&mut engine, flush, &disk);
    assert_eq!(answered(&mut engine), [(local, Durability::Local), (behind, Durability::Local)]);
    assert!(is_seen(&engine, "behind", at(0)) && !is_seen(&engine, "late", at(0)));

    let flush = engine.poll_flush().unwrap();
    finish(&mut engine, flush, &disk);
    assert_eq!(answered(&mut engine), [(late, Durability::Local), (last, Durability::Local)]);
    assert!(engine.poll_flush().is_none() && engine.counts().flushes == flushes + 2);
}

#[test]
fn memory_writes_go_to_disk_after_the_interval_or_when_there_are_enough() {
    let folder = Folder::new("interval");
    let (mut engine, _, disk) = open_in(&folder, Options { flush_bytes: 4_096, ..options() });
    begin(&mut engine, &disk);
    assert_eq!(engine.next_deadline(at(5)), None);
    submit(&mut engine, "a", Durability::Memory, at(5));
    submit(&mut engine, "b", Durability::Memory, at(500));
    assert_eq!(engine.next_deadline(at(500)), Some(at(1_005).instant));
    engine.handle_timeout(at(1_004));
    assert!(engine.poll_flush().is_none());
    engine.handle_timeout(at(1_005));
    let flush = engine.poll_flush().unwrap();
    finish(&mut engine, flush, &disk);
    assert_eq!((engine.durable_sequence(), engine.next_deadline(at(1_005))), (3, None));

    // Once something asks for the disk, all before goes with it: nobody has to look at the clock.
    submit(&mut engine, "a", Durability::Memory, at(1_500));
    submit(&mut engine, "b", Durability::Local, at(1_600));
    assert!(engine.is_flush_wanted() && engine.next_deadline(at(1_600)).is_none());
    submit(&mut engine, "c", Durability::Memory, at(1_700));
    assert_eq!(engine.next_deadline(at(1_700)), Some(at(2_700).instant));
    settle(&mut engine, &disk, at(1_700));

    let mut count = 0;
    while !engine.is_flush_wanted() {
        submit(&mut engine, "c", Durability::Memory, at(2_000));
        count += 1;
    }
    assert!((20..200).contains(&count), "{count}");
    settle(&mut engine, &disk, at(2_000));
    assert_eq!(engine.next_deadline(at(2_000)), None);

    // Whoever asks is told when all before is there.
    completions(&mut engine);
    submit(&mut engine, "d", Durability::Memory, at(2_000));
    completions(&mut engine);
    let sync = engine.submit_sync().unwrap();
    assert_eq!(answered(&mut engine), []);
    // It holds nobody up.
    let other = submit(&mut engine, "e", Durability::Memory, at(2_000));
    assert_eq!(answered(&mut engine), [(other, Durability::Memory)]);
    settle(&mut engine, &disk, at(2_000));
    assert_eq!(answered(&mut engine), [(sync, Durability::Local)]);
    let sync = engine.submit_sync().unwrap();
    assert_eq!(answered(&mut engine), [(sync, Durability::Local)]);
}

#[test]
fn a_request_under_way_is_joined_and_one_done_is_answered_again() {
    let folder = Folder::new("join");
    let (mut engine, _, disk) = open_in(&folder, options());
    begin(&mut engine, &disk);
    let increment = |number| Command {
        time: Timestamp::default(),
        request: Some(RequestId { client: [9; 16], number }),
        operation: Operation::Step(Step::Increment { key: b"n", by: 1 }),
    };
    submit(&mut engine, "before", Durability::Local, at(0));
    let first = engine.submit(&increment(1), Some(Durability::Memory), at(0)).unwrap();
    let flush = engine.poll_flush().unwrap();
    let other = engine.submit(&increment(2), Some(Durability::Memory), at(0)).unwrap();
    // Asked for again, and for more.
    let again = engine.submit(&increment(2), Some(Durability::Local), at(0)).unwrap();
    assert_eq!(engine.last_sequence(), 4);
    finish(&mut engine, flush, &disk);
    let done = completions(&mut engine);
    assert_eq!(done.last().unwrap().ticket, first);
    let flush = engine.poll_flush().unwrap();
    finish(&mut engine, flush, &disk);
    let done = completions(&mut engine);
    assert_eq!(done.iter().map(|it| it.ticket).collect::<Vec<_>>(), [other, again]);
    assert!(done[0].result == done[1].result);
    let outcome = done[0].result.as_ref().unwrap().outcome.as_ref().unwrap();
    assert_eq!((outcome.sequence, &outcome.answer), (4, &Ok(Answer::Number(2))));

    engine.submit(&increment(1), Some(Durability::Memory), at(0)).unwrap();
    let done = completions(&mut engine).pop().unwrap().result.unwrap();
    let outcome = done.outcome.unwrap();
    assert!(outcome.is_repeated && outcome.sequence == 3 && outcome.answer == Ok(Answer::Number(1)));
    assert_eq!(engine.counts().joined, 1);
}

#[test]
fn a_failed_flush_stops_all_writing_and_no_reading() {
    let folder = Folder::new("failed");
    let (mut engine, _, disk) = open_in(&folder, options());
    submit(&mut engine, "seen", Durability::Memory, at(0));
    completions(&mut engine);
    let lost = submit(&mut engine, "lost", Durability::Local, at(0));
    let flush = engine.poll_flush().unwrap();
    let behind = submit(&mut engine, "behind", Durability::Memory, at(0));
    let sync = engine.submit_sync().unwrap();
    engine.handle_flushed(flush, Err(io::Error::from_raw_os_error(libc::EIO)), |file| disk.name(file));
    let failure = engine.failure().unwrap().clone();
    assert!(matches!(&failure, Error::Io { code: libc::EIO, .. }), "{failure}");
    let mut told = Vec::new();
    for completion in completions(&mut engine) {
        assert_eq!(completion.result, Err(failure.clone()));
        told.push(completion.ticket);
    }
    assert_eq!(told, [lost, behind, sync]);
    let operation = put(b"k", b"v", Lifetime::Unbounded);
    let command = Command { time: Timestamp::default(), request: None, operation };
    assert_eq!(engine.submit(&command, Some(Durability::Memory), at(0)), Err(failure.clone()));
    assert_eq!(engine.submit_sync(), Err(failure));
    assert!(is_seen(&engine, "seen", at(0)) && !is_seen(&engine, "lost", at(0)));
    engine.want_snapshot();
    engine.handle_timeout(at(10_000));
    assert!(engine.poll_flush().is_none() && engine.poll_snapshot(at(10_000)).is_none());
    assert!(engine.is_drained() && engine.next_deadline(at(10_000)).is_none());
}

#[test]
fn time_in_the_store_does_not_run_backwards() {
    let folder = Folder::new("clock");
    let (mut engine, report, disk) = open_in(&folder, options());
    assert_eq!(report.ahead_ms, 0);
    submit(&mut engine, "a", Durability::Memory, at(5_000));
    submit(&mut engine, "b", Durability::Memory, Now { instant: at(6_000).instant, clock: at(1_000).clock });
    assert_eq!((engine.state().time(), engine.counts().clock_steps), (at(5_000).clock, 1));
    engine.close(at(0));
    settle(&mut engine, &disk, at(0));
    assert!(engine.is_drained());
    drop(disk);
    let (engine, report, _disk) = open_in(&folder, options());
    assert!(report.log.is_closed && report.replayed == 2 && report.ahead_ms == 5_000);
    assert_eq!(engine.state().time(), at(5_000).clock);
}

#[test]
fn what_has_expired_is_taken_out_once() {
    let folder = Folder::new("expiry");
    let (mut engine, _, disk) = open_in(&folder, options());
    let operation = put(b"k", b"v", Lifetime::Until(at(700).clock));
    let command = Command { time: Timestamp::default(), request: None, operation };
    engine.submit(&command, Some(Durability::Memory), at(0)).unwrap();
    completions(&mut engine);
    assert_eq!(engine.next_deadline(at(100)), Some(at(700).instant));
    engine.handle_timeout(at(699));
    assert_eq!(engine.last_sequence(), 1);
    // A local write is under way: the expiry waits behind it, and there is no second one.
    submit(&mut engine, "local", Durability::Local, at(699));
    engine.handle_timeout(at(700));
    engine.handle_timeout(at(900));
    assert_eq!((engine.last_sequence(), engine.state().len()), (3, 1));
    settle(&mut engine, &disk, at(900));
    assert_eq!(completions(&mut engine).len(), 1);
    assert_eq!((engine.state().len(), engine.counts().expiries), (1, 1));
    assert!(!is_seen(&engine, "k", at(900)) && is_seen(&engine, "local", at(900)));
}

#[test]
fn a_full_memory_refuses_or_makes_room() {
    for (eviction, lifetime) in [
        (Eviction::Refuse, Lifetime::Unbounded),
        (Eviction::Lru, Lifetime::Unbounded),
        (Eviction::Ttl, Lifetime::Until(at(1_000_000).clock)),
    ] {
        let folder = Folder::new("full");
        let settings = Settings { memory_max: 65_536, ..Settings::default() };
        let (mut engine, report, disk) = open_in(&folder, Options { eviction, settings, ..options() });
        assert_eq!(report.settings_refused, None);
        let (mut refused, mut longest, mut waited) = (0, 0, 0);
        for number in 0..2_000u64 {
            // In bursts that ask for the disk, so that evictions wait behind writes.
            let durability = if number % 100 < 50 { Durability::Local } else { Durability::Memory };
            let key = format!("key-{number:06}");
            let operation = put(key.as_bytes(), &[1; 100], lifetime);
            let command = Command { time: Timestamp::default(), request: None, operation };
            if let Err(error) = engine.submit(&command, Some(durability), at(number)) {
                assert!(engine.is_worth_waiting(&error), "{error}");
                waited += 1;
                settle(&mut engine, &disk, at(number));
                engine.submit(&command, Some(durability), at(number)).unwrap();
            }
            if number % 10 == 0 {
                settle(&mut engine, &disk, at(number));
            }
            for completion in completions(&mut engine) {
                match completion.result.unwrap().outcome.unwrap().answer {
                    Ok(_) => {}
                    Err(Refusal::MemoryFull { limit: 65_536 }) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            assert!(engine.state().memory() <= 65_536);
            longest = longest.max(engine.state().len());
        }
        settle(&mut engine, &disk, at(2_000));
        assert!(longest > 250, "{eviction:?}: {longest} keys at most");
        if eviction == Eviction::Refuse {
            assert!(refused > 1_500, "{refused}");
            // Most of these did not even come into the log.
            assert!(engine.last_sequence() < 1_200, "{}", engine.last_sequence());
        } else {
            assert!(refused == 0 && waited > 0, "{eviction:?}: {refused} refused, {waited} waited");
            assert!(engine.counts().evictions > 20 && is_seen(&engine, "key-001999", at(2_000)));
            assert!(!is_seen(&engine, "key-000000", at(2_000)));
        }
    }
}

#[test]
fn a_snapshot_brings_back_what_is_longer_than_its_pieces() {
    let folder = Folder::new("pieces");
    let options = Options {
        log: log::Options { segment_bytes: 4 << 20, ..log::Options::default() },
        snapshot_bytes: 1 << 20,
        ..options()
    };
    let (mut engine, _, disk) = open_in(&folder, options.clone());
    for (key, length) in [("empty", 0), ("piece", 262_143), ("pieces", 1_048_576), ("more", 1_500_001)] {
        let value: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
        let operation = put(key.as_bytes(), &value, Lifetime::Unbounded);
        let command = Command { time: Timestamp::default(), request: None, operation };
        engine.submit(&command, Some(Durability::Local), at(0)).unwrap();
        settle(&mut engine, &disk, at(0));
        completions(&mut engine);
    }
    engine.want_snapshot();
    settle(&mut engine, &disk, at(0));
    assert!(engine.counts().snapshots >= 2 && engine.snapshot_sequence() == 4);
    let hash = engine.state().hash();
    drop((engine, disk));
    let (engine, report, disk) = open_in(&folder, options.clone());
    assert_eq!((engine.state().hash(), report.replayed), (hash, 0));
    drop((engine, disk));

    // What was changed in it is refused, and nothing comes of it.
    let name = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|it| it == "snapshot"))
        .unwrap();
    let mut bytes = std::fs::read(&name).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&name, &bytes).unwrap();
    let disk = FileDisk::new(folder.path()).unwrap();
    let error = open(&disk, options, IDENTITY, 1, at(0)).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)) && error.to_string().contains("snapshot"), "{error}");
}

#[test]
fn settings_are_replaced_by_those_asked_for() {
    let folder = Folder::new("settings");
    let settings = Settings { value_max: 10, ..Settings::default() };
    let (mut engine, _, disk) = open_in(&folder, Options { settings, ..options() });
    assert_eq!((engine.state().settings(), engine.last_sequence()), (&settings, 1));
    engine.close(at(0));
    settle(&mut engine, &disk, at(0));
    drop((engine, disk));
    let (engine, _, disk) = open_in(&folder, Options { settings, ..options() });
    assert_eq!(engine.last_sequence(), 1);
    drop((engine, disk));
    let (engine, _, _disk) = open_in(&folder, options());
    assert_eq!((engine.state().settings(), engine.last_sequence()), (&Settings::default(), 2));
}

/// One of several kinds of commands on a few keys, put together from its number. What lives for a time lives on.
fn submit_one_of_many(engine: &mut Engine, n: u64, now: Now) {
    let key = format!("{:03}", n * 7_919 % 397);
    let key = key.as_bytes();
    let value = vec![b'v'; (n * 31 % 900) as usize];
    let lifetime = match n % 11 {
        0 => Lifetime::Until(Timestamp::from_millis((1 << 50) + n)),
        1 => Lifetime::Lease(n / 100 * 100 + 1),
        _ => Lifetime::Keep,
    };
    let step = match n % 7 {
        0 => Step::Delete { key, condition: Condition::Always, previous: false },
        1 => Step::Increment { key, by: 3 },
        2 => Step::Append { key, value: b"more" },
        _ => Step::Put { key, value: &value, condition: Condition::Always, lifetime, previous: false },
    };
    let operation = match n % 100 {
        0 => Operation::LeaseGrant { id: n + 1, ttl_ms: 1 << 48 },
        50 => {
            let other = Step::Put {
                key: b"other",
                value: &value,
                condition: Condition::Always,
                lifetime: Lifetime::Unbounded,
                previous: false,
            };
            Operation::Transaction(Transaction {
                conditions: Vec::new(),
                then: vec![step, other],
                otherwise: Vec::new(),
                on_refusal: OnRefusal::Continue,
            })
        }
        _ => Operation::Step(step),
    };
    let request = n.is_multiple_of(13).then_some(RequestId { client: [7; 16], number: n });
    let command = Command { time: Timestamp::default(), request, operation };
    // What is too long by the settings is refused.
    let _ = engine.submit(&command, Some(Durability::Memory), now);
}

#[test]
fn an_index_made_of_the_log_is_the_one_that_was_there() {
    let folder = Folder::new("again");
    let limits = [1 << 20, 300, 600];
    let options = |value_max| {
        let engine = options();
        Options { settings: Settings { value_max, ..engine.settings }, ..engine }
    };
    let mut before = None;
    for (value_max, round) in limits.into_iter().zip(0..) {
        let (mut engine, _, disk) = open_in(&folder, options(value_max));
        if let Some(before) = before {
            assert_eq!(engine.last_sequence(), before + 1, "the new settings");
        }
        for n in round * 2_000..(round + 1) * 2_000 {
            submit_one_of_many(&mut engine, n, at(n));
            settle(&mut engine, &disk, at(n));
            completions(&mut engine);
        }
        engine.close(at(0));
        settle(&mut engine, &disk, at(0));
        let state = engine.state().clone();
        drop((engine, disk));

        let is_same = |again: &State| {
            let of = |state: &State| {
                (state.hash(), state.len(), state.memory(), state.sequence(), state.changes())
            };
            assert!(again.len() > 100);
            assert_eq!(of(again), of(&state));
        };
        let (engine, report, disk) = open_in(&folder, options(value_max));
        assert_eq!(report.replayed, state.sequence());
        is_same(engine.state());
        drop((engine, disk));
        // By two threads, and by none.
        for is_hosted in [false, true] {
            let store = embedded::Options {
                identity: Some(IDENTITY),
                engine: options(value_max),
                is_hosted,
                ..embedded::Options::default()
            };
            let store = Store::open(folder.path(), store).unwrap();
            is_same(&store.view().unwrap());
        }
        before = Some(state.sequence());
    }
}

#[test]
fn commands_of_a_later_release_are_refused() {
    let folder = Folder::new("later");
    let disk = FileDisk::new(folder.path()).unwrap();
    let (mut log, _) = log::open(&disk, options().log, IDENTITY, 1, &mut |_| {}).unwrap();
    log.append(Epoch(1), 0, &[99, 0, 0]).unwrap();
    while let Some(flush) = log.poll_flush() {
        let result = flush.run(&disk);
        log.handle_flushed(flush, result, |file| disk.name(file));
    }
    drop((log, disk));
    let disk = FileDisk::new(folder.path()).unwrap();
    let error = open(&disk, options(), IDENTITY, 1, at(0)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "command", .. }), "{error}");
}

#[test]
fn a_long_value_has_many_keys_evicted_and_one_that_never_fits_none() {
    let folder = Folder::new("long");
    // A hundred keys in one eviction, less than a long value needs.
    let settings = Settings { memory_max: 200_000, operations_max: 100, ..Settings::default() };
    let options = Options { eviction: Eviction::Lru, settings, ..options() };
    let (mut engine, _, disk) = open_in(&folder, options);
    let put_one = |engine: &mut Engine, key: &str, value: &[u8], durability, now| {
        let operation = put(key.as_bytes(), value, Lifetime::Unbounded);
        let command = Command { time: Timestamp::default(), request: None, operation };
        engine.submit(&command, Some(durability), now)
    };
    for number in 0..2_000u64 {
        put_one(&mut engine, &format!("{number:08}"), b"12345678", Durability::Memory, at(number)).unwrap();
        // What is used stays.
        engine.uses().note(b"00000000", at(number).clock);
        settle(&mut engine, &disk, at(number));
    }
    assert_eq!(engine.state().len(), 2_000);
    let too_long = vec![1; 200_000];
    for _ in 0..2 {
        let error = put_one(&mut engine, "never", &too_long, Durability::Memory, at(2_000)).map(drop);
        assert!(matches!(error, Err(Error::InvalidArgument { .. })), "{error:?}");
    }
    assert_eq!(engine.state().len(), 2_000);
    completions(&mut engine);
    // With writes under way the evictions wait, one after the other.
    for durability in [Durability::Memory, Durability::Local] {
        submit(&mut engine, "before", durability, at(2_001));
        let name = format!("long-{durability:?}");
        let mut waited = 0;
        while let Err(error) = put_one(&mut engine, &name, &[1; 40_000], durability, at(2_001)) {
            assert!(engine.is_worth_waiting(&error) && waited < 100, "{error}");
            settle(&mut engine, &disk, at(2_001));
            waited += 1;
        }
        settle(&mut engine, &disk, at(2_001));
        for completion in completions(&mut engine) {
            assert!(completion.result.unwrap().outcome.unwrap().answer.is_ok());
        }
        assert!(is_seen(&engine, &name, at(2_001)) && is_seen(&engine, "00000000", at(2_001)));
    }
    assert!(engine.counts().evictions >= 5, "{:?}", engine.counts());
}

/// Puts ten thousand bytes at one of eight keys, `number` of all; then none of them is under way.
fn overwrite(engine: &mut Engine, number: u32) -> trimtab::error::Result<()> {
    let (key, value) = ((number % 8).to_be_bytes(), vec![number as u8; 10_000]);
    let operation = put(&key, &value, Lifetime::Unbounded);
    let command = Command { time: Timestamp::default(), request: None, operation };
    engine.submit(&command, Some(Durability::Memory), at(0))?;
    completions(engine);
    Ok(())
}

#[test]
fn who_waits_for_a_bounded_disk_is_not_left_alone() {
    // What is kept of the log, if anything, makes no difference to that.
    for kept_bytes in [0, 64 << 10, 1 << 40] {
        write_to_a_bounded_disk(kept_bytes);
    }
}

fn write_to_a_bounded_disk(kept_bytes: u64) {
    let folder = Folder::new("alone");
    let bounded = Options {
        snapshot_bytes: 1 << 40,
        log: log::Options { disk_bytes_max: Some(5 * (64 << 10)), kept_bytes, ..options().log },
        ..options()
    };
    let (mut engine, _, disk) = open_in(&folder, bounded);
    let mut number = 0;
    for _ in 0..40 {
        // As fast as it goes, with nobody looking after files: to the end of the segment, and of the one that is
        // prepared behind it.
        let error = loop {
            match overwrite(&mut engine, number) {
                Ok(()) => number += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Capacity { .. }) && engine.is_worth_waiting(&error), "{error}");
        // All that was written comes to disk, and then there is something to do: one step of it.
        engine.want_flush();
        while let Some(flush) = engine.poll_flush() {
            finish(&mut engine, flush, &disk);
        }
        if overwrite(&mut engine, number).is_ok() {
            number += 1;
            continue;
        }
        if let Some(mut job) = engine.poll_snapshot(at(0)) {
            let written = loop {
                if let Some(written) = job.step(&disk).unwrap() {
                    break written;
                }
            };
            engine.handle_snapshot(&job, Ok(written), at(0)).unwrap();
            continue;
        }
        let work = engine.poll_upkeep().expect("who waits has something to wait for");
        let result = work.run(&disk);
        engine.handle_upkeep(&work, result, at(0).instant, |file| disk.name(file));
    }
    assert!(engine.counts().snapshots > 1 && engine.log().disk_bytes() <= 6 * (64 << 10));
}

#[test]
fn a_log_that_is_full_when_it_is_closed_says_so_once_there_is_room() {
    for is_made in [true, false] {
        // What is left of the segment is now more and now less than the last record takes.
        let waited = (0..64).step_by(8).filter(|bytes| is_closed_when_full(*bytes, is_made)).count();
        assert!((1..8).contains(&waited), "{waited}");
    }
}

/// Whether it had to wait for a segment.
fn is_closed_when_full(bytes: usize, is_made: bool) -> bool {
    let folder = Folder::new("closed-full");
    let options = || Options { snapshot_bytes: 1 << 40, ..options() };
    let (mut engine, _, disk) = open_in(&folder, options());
    let mut number = 0;
    let value = [0; 64];
    let lengths = std::iter::once(bytes).chain(std::iter::repeat(0));
    for len in lengths {
        let operation = put(b"key", &value[..len], Lifetime::Unbounded);
        let command = Command { time: Timestamp::default(), request: None, operation };
        if engine.submit(&command, Some(Durability::Memory), at(0)).is_err() {
            break;
        }
        completions(&mut engine);
        number += 1;
    }
    engine.close(at(0));
    while let Some(flush) = engine.poll_flush() {
        assert!(!engine.is_drained());
        finish(&mut engine, flush, &disk);
    }
    let waits = engine.log().is_closing();
    assert_eq!(engine.is_drained(), !waits);
    while !engine.is_drained() {
        let work = engine.poll_upkeep().expect("a segment is to be made");
        let result = if is_made { work.run(&disk) } else { Err(io::Error::from_raw_os_error(28)) };
        engine.handle_upkeep(&work, result, at(0).instant, |file| disk.name(file));
        while let Some(flush) = engine.poll_flush() {
            finish(&mut engine, flush, &disk);
        }
    }
    // Where there is no room it is not waited for.
    assert!(engine.is_drained() && !engine.log().is_closing());
    drop((engine, disk));
    let (engine, report, _) = open_in(&folder, options());
    assert_eq!((report.log.is_closed, report.log.torn), (is_made || !waits, None));
    assert_eq!(engine.last_sequence(), number);
    waits
}
