//! What the log says is to be written, and when: on a directory in memory, a step at a time.

use trimtab::Error;
use trimtab::store::log::record::Vote;
use trimtab::store::log::snapshot_format::SnapshotHeader;
use trimtab::store::log::{Epoch, File, Log, Options, Replayed, Scrub, Sequence, SnapshotWriter, open};
use trimtab::time::Instant;

use crate::memory::Memory;
use crate::support::{IDENTITY, payload};

fn options() -> Options {
    Options { segment_bytes: 64 << 10, pending_bytes_max: 64 << 10, ..Options::default() }
}

fn opened(disk: &Memory, options: Options) -> Log {
    open(disk, options, IDENTITY, 7, &mut |_| {}).expect("it opens").0
}

fn flush(log: &mut Log, disk: &Memory) -> bool {
    let Some(flush) = log.poll_flush() else { return false };
    let result = flush.run(disk);
    log.handle_flushed(flush, result, |file| file.to_string());
    true
}

fn keep_up(log: &mut Log, disk: &Memory) {
    while let Some(work) = log.poll_upkeep() {
        let result = work.run(disk);
        log.handle_upkeep(&work, result, Instant::START, |file| file.to_string());
    }
}

fn append(log: &mut Log) -> Result<Sequence, Error> {
    let next = log.state().last.next();
    log.append(Epoch(1), 0, &payload(next)).map(|appended| appended.sequence)
}

fn snapshot(log: &mut Log, disk: &Memory, sequence: u64, is_restart: bool) -> Result<(), Error> {
    let header =
        SnapshotHeader { identity: IDENTITY, sequence: Sequence(sequence), epoch: Epoch(1), clock_ms: 0 };
    let mut writer = SnapshotWriter::begin(disk, header)?;
    writer.data(disk, b"state")?;
    let written = writer.finish(disk)?;
    log.handle_snapshot(&written, is_restart, 0)
}

fn segments(disk: &Memory) -> usize {
    disk.0.borrow().keys().filter(|file| matches!(file, File::Segment(_) | File::Spare(_))).count()
}

#[test]
fn what_gathers_while_a_write_is_under_way_is_one_write() {
    let disk = Memory::default();
    let mut log = opened(&disk, options());
    for sequence in 1..=50 {
        assert_eq!(append(&mut log), Ok(Sequence(sequence)));
    }
    // The start of the first segment, and then all of it.
    assert!(flush(&mut log, &disk));
    assert_eq!(log.durable_sequence(), Sequence(0));
    let under_way = log.poll_flush().expect("there is a batch");
    for _ in 0..50 {
        append(&mut log).expect("it is taken meanwhile");
    }
    assert!(log.poll_flush().is_none(), "one write is under way at a time");
    assert_eq!(log.durable_sequence(), Sequence(0));
    let result = under_way.run(&disk);
    log.handle_flushed(under_way, result, |file| file.to_string());
    assert_eq!(log.durable_sequence(), Sequence(50));
    assert!(flush(&mut log, &disk));
    assert_eq!((log.durable_sequence(), log.durable()), (Sequence(100), log.last_ticket()));
    assert!(!flush(&mut log, &disk) && log.pending_bytes() == 0);
}

#[test]
fn what_is_out_of_bounds_is_refused_and_changes_nothing() {
    let disk = Memory::default();
    let mut log = opened(&disk, options());
    let long = vec![0; options().payload_bytes_max() + 1];
    let refused = log.append(Epoch(1), 0, &long);
    assert!(matches!(refused, Err(Error::InvalidArgument { what: "payload", .. })), "{refused:?}");
    let long = vec![0; options().membership_bytes_max() + 1];
    let refused = log.membership(&long, 0);
    assert!(matches!(refused, Err(Error::InvalidArgument { what: "membership", .. })), "{refused:?}");
    let full = loop {
        match append(&mut log) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Capacity { .. }) && log.is_stalled(), "{full}");
    let last = log.state().last;
    keep_up(&mut log, &disk);
    while flush(&mut log, &disk) {}
    assert_eq!((log.durable_sequence(), append(&mut log)), (last, Ok(last.next())));
    let refused = log.append(Epoch(0), 0, b"");
    assert!(matches!(refused, Err(Error::InvalidArgument { what: "entry", .. })), "{refused:?}");
    let refused = log.commit(last.next().next(), 0);
    assert!(matches!(refused, Err(Error::InvalidArgument { what: "commit", .. })), "{refused:?}");
    log.commit(last, 0).expect("it is in the log");
    let refused = log.replace(last, Epoch(1), 0);
    assert!(matches!(refused, Err(Error::InvalidArgument { what: "replace", .. })), "{refused:?}");
}

#[test]
fn a_suffix_is_replaced_and_read_as_it_is_now() {
    let disk = Memory::default();
    let mut log = opened(&disk, options());
    for _ in 0..30 {
        append(&mut log).expect("there is room");
    }
    while flush(&mut log, &disk) {}
    log.vote(Vote { epoch: Epoch(2), node: 3 }, 0).expect("it is taken");
    log.replace(Sequence(21), Epoch(1), 0).expect("it is not committed");
    assert_eq!(log.durable_sequence(), Sequence(20));
    for sequence in 21..=25 {
        log.append(Epoch(2), 0, format!("new {sequence}").as_bytes()).expect("there is room");
    }
    while flush(&mut log, &disk) {}
    let mut read = Vec::new();
    let plan = log.plan(Sequence(19), Sequence(99)).expect("they are there");
    plan.read(&disk, |entry| {
        read.push((entry.sequence.0, entry.epoch.0, entry.payload.to_vec()));
        true
    })
    .expect("they read");
    assert_eq!(
        read.iter().map(|it| (it.0, it.1)).collect::<Vec<_>>(),
        [(19, 1), (20, 1), (21, 2), (22, 2), (23, 2), (24, 2), (25, 2)]
    );
    assert_eq!(read[2].2, b"new 21");
    drop(log);
    let mut replaced = 0;
    let (log, report) = open(&disk, options(), IDENTITY, 8, &mut |replayed| {
        replaced += u64::from(replayed == Replayed::Replaced(Sequence(21)));
    })
    .expect("it opens");
    assert_eq!((replaced, report.last, log.state().epoch), (1, Sequence(25), Epoch(2)));
    assert_eq!(log.state().vote, Vote { epoch: Epoch(2), node: 3 });
}

#[test]
fn a_snapshot_lets_go_of_segments_and_their_files_are_used_again() {
    let disk = Memory::default();
    let mut log = opened(&disk, Options { disk_bytes_max: Some(5 * (64 << 10)), ..options() });
    log.membership(b"voters 1", 0).expect("it is taken");
    let mut most = 0;
    for round in 1..=2_000u64 {
        append(&mut log).expect("there is room");
        while flush(&mut log, &disk) {}
        keep_up(&mut log, &disk);
        if round.is_multiple_of(200) {
            snapshot(&mut log, &disk, round, false).expect("it is taken");
            keep_up(&mut log, &disk);
        }
        most = most.max(segments(&disk));
    }
    assert!(most <= 5, "{most} files");
    assert!(log.first() > Sequence(1_000) && log.first() <= Sequence(2_001), "{}", log.first());
    let gone = log.plan(Sequence(1), Sequence(10)).map(|_| ());
    assert!(matches!(gone, Err(Error::NotFound { what: "entry", .. })), "{gone:?}");
    let snapshots = disk.0.borrow().keys().filter(|file| matches!(file, File::Snapshot(_))).count();
    assert_eq!(snapshots, 1);
    drop(log);
    let (log, report) = open(&disk, options(), IDENTITY, 8, &mut |_| {}).expect("it opens");
    assert_eq!((report.snapshot, report.last), (Some(Sequence(2_000)), Sequence(2_000)));
    assert_eq!(log.state().membership, b"voters 1", "it was said again");
}

#[test]
fn the_bound_of_the_disk_holds_until_a_snapshot_makes_room() {
    let disk = Memory::default();
    let bound = 3 * (64 << 10);
    let mut log = opened(&disk, Options { disk_bytes_max: Some(bound), ..options() });
    let refused = loop {
        while flush(&mut log, &disk) {}
        keep_up(&mut log, &disk);
        match append(&mut log) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Error::Capacity { what: "disk_bytes_max", limit: bound });
    assert!(log.disk_bytes() <= bound && segments(&disk) == 3);
    let last = log.state().last;
    snapshot(&mut log, &disk, last.0, false).expect("it is taken");
    keep_up(&mut log, &disk);
    assert_eq!(append(&mut log), Ok(last.next()));
}

#[test]
fn a_snapshot_from_elsewhere_takes_the_place_of_the_log() {
    let disk = Memory::default();
    let mut log = opened(&disk, options());
    for _ in 0..10 {
        append(&mut log).expect("there is room");
    }
    while flush(&mut log, &disk) {}
    snapshot(&mut log, &disk, 500, true).expect("it is taken");
    assert_eq!(append(&mut log), Ok(Sequence(501)));
    while flush(&mut log, &disk) {}
    drop(log);
    let mut entries = Vec::new();
    let (log, report) = open(&disk, options(), IDENTITY, 8, &mut |replayed| match replayed {
        Replayed::Entry(entry) => entries.push(entry.sequence),
        Replayed::Snapshot(header) => assert_eq!(header.sequence, Sequence(500)),
        Replayed::Replaced(_) | Replayed::Committed(_) => {}
    })
    .expect("it opens");
    assert_eq!(
        (entries, report.last, log.state().commit),
        (vec![Sequence(501)], Sequence(501), Sequence(500))
    );
}

#[test]
fn a_scrub_keeps_its_pace_and_finds_what_has_rotted() {
    let disk = Memory::default();
    let mut log = opened(&disk, options());
    for _ in 0..600 {
        append(&mut log).expect("there is room");
        while flush(&mut log, &disk) {}
        keep_up(&mut log, &disk);
    }
    snapshot(&mut log, &disk, 5, false).expect("it is taken");
    while flush(&mut log, &disk) {}
    let pass = |log: &Log| {
        let mut scrub = Scrub::new(log, IDENTITY, 100_000, Instant::START);
        let (mut found, mut end) = (Vec::new(), Instant::START);
        while let Some(at) = scrub.next_deadline() {
            end = at;
            found.extend(scrub.step(&disk, at).err());
        }
        (found, scrub.verified_bytes(), end)
    };
    let (found, bytes, end) = pass(&log);
    assert_eq!(found, []);
    // The pause after the last step is nobody's.
    assert!(
        bytes > 100_000 && end.as_nanos() > (bytes - 64_000) / 100_000 * 1_000_000_000,
        "{bytes} {end:?}"
    );
    for (file, at) in [(File::Segment(1), 9_000), (File::Segment(2), 20), (File::Snapshot(Sequence(5)), 90)] {
        disk.0.borrow_mut().get_mut(&file).expect("it is there")[at] ^= 4;
        let (found, ..) = pass(&log);
        disk.0.borrow_mut().get_mut(&file).expect("it is there")[at] ^= 4;
        let [Error::Corrupt(damage)] = &found[..] else { panic!("{file} at {at}: {found:?}") };
        assert_eq!(damage.file, file.to_string());
    }
}
