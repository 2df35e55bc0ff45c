//! Damage in segments that a snapshot stands for, which were not taken away before the process died: they are left out, where
//! what lies behind them proves that nothing is lost, and nowhere else.

use trimtab::Error;
use trimtab::store::log::record::{Body, Vote};
use trimtab::store::log::segment::{RECORDS_OFFSET, START_OFFSET, Start};
use trimtab::store::log::snapshot_format::SnapshotHeader;
use trimtab::store::log::{
    Covered, Epoch, File, Log, Options, Repair, Replayed, Report, Sequence, SnapshotWriter, State, check,
    dump, open,
};
use trimtab::time::Instant;

use crate::memory::Memory;
use crate::support::IDENTITY;

const VOTE: Vote = Vote { epoch: Epoch(3), node: 1 };
pub(super) const LAST: u64 = 14;
pub(super) const COMMITTED: u64 = 12;

pub(super) fn options() -> Options {
    Options { segment_bytes: 16 << 10, ..Options::default() }
}

pub(super) fn payload(sequence: u64) -> Vec<u8> {
    vec![sequence as u8; 1_900]
}

pub(super) fn flush(log: &mut Log, disk: &Memory) {
    while let Some(flush) = log.poll_flush() {
        let result = flush.run(disk);
        log.handle_flushed(flush, result, |file| file.to_string());
    }
}

pub(super) fn keep_up(log: &mut Log, disk: &Memory) {
    while let Some(work) = log.poll_upkeep() {
        let result = work.run(disk);
        log.handle_upkeep(&work, result, Instant::START, |file| file.to_string());
    }
}

/// Entries in four segments, with a vote and who is in the cluster, which only the first says, and its successors say again.
/// A snapshot stands for the entries up to `covered`; then the process died, before a segment had gone.
pub(super) fn written(covered: u64) -> Memory {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(), IDENTITY, 7, &mut |_| {}).expect("it opens");
    log.vote(VOTE, 0).expect("it is appended");
    log.membership(b"voters 1", 0).expect("it is appended");
    for sequence in 1..=LAST {
        log.append(Epoch(1), sequence, &payload(sequence)).expect("it is appended");
        log.commit(Sequence(sequence.min(COMMITTED)), sequence).expect("it is appended");
        flush(&mut log, &disk);
        keep_up(&mut log, &disk);
    }
    if covered > 0 {
        let header =
            SnapshotHeader { identity: IDENTITY, sequence: Sequence(covered), epoch: Epoch(1), clock_ms: 0 };
        let mut writer = SnapshotWriter::begin(&disk, header).expect("a snapshot");
        writer.data(&disk, b"state").expect("a snapshot");
        let snapshot = writer.finish(&disk).expect("a snapshot");
        log.handle_snapshot(&snapshot, false, 0).expect("it is taken");
        flush(&mut log, &disk);
    }
    assert_eq!(starts(&disk).len(), 4);
    disk
}

/// The starts of its segments.
fn starts(disk: &Memory) -> Vec<Start> {
    let files = disk.0.borrow();
    let segments = files.iter().filter(|(file, _)| matches!(file, File::Segment(_)));
    segments.filter_map(|(_, bytes)| Start::decode(&bytes[START_OFFSET as usize..]).ok()).collect()
}

/// The first entry of the segment with this ordinal, from 1.
pub(super) fn first(disk: &Memory, ordinal: usize) -> u64 {
    starts(disk)[ordinal - 1].first.0
}

fn change(disk: &Memory, ordinal: u64, with: impl FnOnce(&mut Vec<u8>)) {
    with(disk.0.borrow_mut().get_mut(&File::Segment(ordinal)).expect("it is there"));
}

fn flip(disk: &Memory, ordinal: u64, at: usize) {
    change(disk, ordinal, |bytes| bytes[at] ^= 0x10);
}

/// What befalls a file.
type Harm = dyn Fn(&mut Vec<u8>);

/// A byte in the payload of an entry.
const IN_RECORDS: usize = RECORDS_OFFSET as usize + 1_000;

/// The entries behind the snapshot, and what else is there.
fn read(disk: &Memory) -> Result<(Vec<u64>, State, Report), Error> {
    let mut entries = Vec::new();
    let (_, state, report) = check(disk, Some(IDENTITY), &mut |replayed| match replayed {
        Replayed::Entry(entry) => {
            assert_eq!(entry.payload, payload(entry.sequence.0), "an entry reads as another");
            entries.push(entry.sequence.0);
        }
        Replayed::Replaced(from) => entries.retain(|it| *it < from.0),
        _ => {}
    })?;
    Ok((entries, state, report))
}

/// Reads the log, in which all is to be there but for these segments.
fn is_passed(disk: &Memory, covered: u64, segments: u64) -> Covered {
    let (entries, state, report) = read(disk).expect("it reads");
    assert_eq!(entries, (covered + 1..=LAST).collect::<Vec<u64>>());
    assert_eq!((state.vote, state.commit), (VOTE, Sequence(COMMITTED)));
    assert_eq!(state.membership, b"voters 1");
    assert_eq!((report.last, report.segments), (Sequence(LAST), 4 - segments));
    assert_eq!(Repair::plan(disk), Ok(None), "there is nothing to repair");
    let covered = report.covered.expect("it is told");
    assert_eq!(covered.segments, segments);
    covered
}

fn is_refused(disk: &Memory, ordinal: u64) {
    let error = read(disk).expect_err("it is refused");
    let Error::Corrupt(damage) = &error else { panic!("{error}") };
    assert_eq!(damage.file, File::Segment(ordinal).to_string(), "{error}");
    let before = disk.0.borrow().clone();
    let opened = open(disk, options(), IDENTITY, 8, &mut |_| {});
    assert_eq!(opened.err(), Some(error));
    let changed = |(file, bytes): &(&File, &Vec<u8>)| before.get(file) != Some(bytes);
    assert!(!disk.0.borrow().iter().any(|it| changed(&it) && *it.0 != File::Lock), "nothing was changed");
}

#[test]
fn what_a_snapshot_stands_for_may_be_damaged() {
    let second = first(&written(0), 2);
    for covered in second - 1..=COMMITTED {
        let disk = written(covered);
        flip(&disk, 1, IN_RECORDS);
        let told = is_passed(&disk, covered, 1);
        assert_eq!(told.file, File::Segment(1).to_string());
        assert!((RECORDS_OFFSET..IN_RECORDS as u64).contains(&told.offset), "{told:?}");
    }
    // One entry less, and it is in the damaged one alone.
    let disk = written(second - 2);
    flip(&disk, 1, IN_RECORDS);
    is_refused(&disk, 1);
    let disk = written(0);
    flip(&disk, 1, IN_RECORDS);
    is_refused(&disk, 1);
}

#[test]
fn it_goes_and_the_log_goes_on() {
    let covered = first(&written(0), 2) - 1;
    let disk = written(covered);
    flip(&disk, 1, IN_RECORDS);
    let (mut log, report) = open(&disk, options(), IDENTITY, 8, &mut |_| {}).expect("it opens");
    assert!(report.covered.is_some());
    assert_eq!(log.first(), Sequence(covered + 1));
    log.append(Epoch(3), 0, &payload(LAST + 1)).expect("it goes on");
    flush(&mut log, &disk);
    keep_up(&mut log, &disk);
    assert!(!disk.0.borrow().contains_key(&File::Segment(1)), "it is gone");
    drop(log);
    let (entries, state, report) = read(&disk).expect("it reads");
    assert_eq!(entries, (covered + 1..=LAST + 1).collect::<Vec<u64>>());
    assert_eq!((report.covered, state.vote, &state.membership[..]), (None, VOTE, &b"voters 1"[..]));
}

#[test]
fn headers_too_and_a_file_that_is_cut() {
    let whole = written(0);
    let covered = first(&whole, 3) - 1;
    let damages: [&Harm; 5] = [
        &|bytes| bytes[START_OFFSET as usize + 64] ^= 1,
        &|bytes| {
            bytes[10] ^= 1;
            bytes[START_OFFSET as usize + 10] ^= 1;
        },
        &|bytes| bytes.truncate(9_000),
        &|bytes| bytes.clear(),
        // It looks like one that was prepared for later.
        &|bytes| bytes[START_OFFSET as usize..].fill(0),
    ];
    for (at, damage) in damages.iter().enumerate() {
        for ordinal in [1, 2] {
            let disk = written(covered);
            change(&disk, ordinal, damage);
            let told = is_passed(&disk, covered, ordinal);
            assert_eq!(told.file, File::Segment(ordinal).to_string(), "{at}: {told:?}");
            // One entry less, and it is in the damaged one alone.
            let disk = written(first(&whole, ordinal as usize + 1) - 2);
            change(&disk, ordinal, damage);
            is_refused(&disk, ordinal);
        }
    }
}

#[test]
fn several_may_be_damaged_and_the_first_is_told() {
    let whole = written(0);
    let covered = first(&whole, 4) - 1;
    for (damaged, gone) in [(vec![1, 2], 2), (vec![1, 3], 3), (vec![2, 3], 3), (vec![1, 2, 3], 3)] {
        let disk = written(covered);
        damaged.iter().for_each(|ordinal| flip(&disk, *ordinal, IN_RECORDS));
        let told = is_passed(&disk, covered, gone);
        assert_eq!(told.file, File::Segment(damaged[0]).to_string());
    }
    // Headers of one, and records of the one behind it.
    let disk = written(covered);
    change(&disk, 1, |bytes| bytes.clear());
    flip(&disk, 2, IN_RECORDS);
    assert_eq!(is_passed(&disk, covered, 2).file, File::Segment(1).to_string());
    // One is covered, and one is not: that is what has to be looked at.
    let disk = written(first(&whole, 2) - 1);
    flip(&disk, 1, IN_RECORDS);
    flip(&disk, 3, IN_RECORDS);
    is_refused(&disk, 3);
}

/// The last segment has promises that nothing else says.
#[test]
fn the_last_one_may_not_be_damaged() {
    let disk = written(COMMITTED);
    flip(&disk, 4, IN_RECORDS);
    is_refused(&disk, 4);
    flip(&disk, 1, IN_RECORDS);
    is_refused(&disk, 4);
    let disk = written(COMMITTED);
    change(&disk, 4, |bytes| bytes[START_OFFSET as usize + 64] ^= 1);
    is_refused(&disk, 4);
}

/// What the segments before said is said again at the beginning of the last one. Where that may have been torn, the damaged
/// one may be the only one that says it.
#[test]
fn a_last_one_that_may_be_torn_at_its_beginning_proves_nothing() {
    let covered = first(&written(0), 4) - 1;
    let whole = written(covered);
    let mut records = Vec::new();
    dump(&whole, &mut |file, offset, record| {
        if file == File::Segment(4) {
            records.push((offset as usize, matches!(record.body, Body::Commit(_) | Body::Entry(_))));
        }
        true
    })
    .expect("it reads");
    let (mut refused, mut passed) = (0, 0);
    for (at, (offset, _)) in records.iter().enumerate() {
        let disk = written(covered);
        flip(&disk, 3, IN_RECORDS);
        change(&disk, 4, |bytes| bytes[*offset..].fill(0));
        if records[..at].iter().any(|(_, is_behind)| *is_behind) {
            let (_, state, report) = read(&disk).expect("it reads");
            assert_eq!((state.vote, &state.membership[..]), (VOTE, &b"voters 1"[..]));
            assert_eq!(report.covered.expect("it is told").segments, 3);
            passed += 1;
        } else {
            is_refused(&disk, 3);
            refused += 1;
        }
    }
    assert!(refused >= 3 && passed >= 3, "{refused} {passed}");
    // Another one behind it says that it was durable.
    let covered = first(&whole, 3) - 1;
    let disk = written(covered);
    flip(&disk, 2, IN_RECORDS);
    change(&disk, 4, |bytes| bytes[RECORDS_OFFSET as usize..].fill(0));
    let (_, state, report) = read(&disk).expect("it reads");
    assert_eq!((state.vote, &state.membership[..]), (VOTE, &b"voters 1"[..]));
    assert_eq!(report.covered.expect("it is told").segments, 2);
}

/// Whatever bit it is, all is there, and nothing else.
#[test]
fn a_flipped_bit_in_what_is_covered_is_harmless() {
    let covered = first(&written(0), 3) - 1;
    let disk = written(covered);
    let length = disk.0.borrow()[&File::Segment(1)].len();
    let (mut told, mut unseen) = (0, 0);
    for ordinal in [1, 2] {
        for byte in (0..length).filter(|byte| byte % 4_096 < 104 || byte % 29 == 0) {
            let mask = 1 << (byte % 8);
            // A version of its own is not damage.
            let is_version = [8, START_OFFSET as usize + 8].contains(&(byte & !1));
            if is_version {
                continue;
            }
            change(&disk, ordinal, |bytes| bytes[byte] ^= mask);
            let (entries, state, report) = read(&disk).expect("it reads");
            assert_eq!(entries, (covered + 1..=LAST).collect::<Vec<u64>>(), "{ordinal} {byte}");
            assert_eq!((state.vote, &state.membership[..]), (VOTE, &b"voters 1"[..]));
            match report.covered {
                Some(_) => told += 1,
                None => unseen += 1,
            }
            change(&disk, ordinal, |bytes| bytes[byte] ^= mask);
        }
    }
    assert!(told > 300 && unseen > 300, "{told} {unseen}");
}
