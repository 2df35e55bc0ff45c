//! Segments that are not there: what is left is opened where a snapshot stands for what is missing, and refused
//! otherwise. It is never taken away because something else is missing.

use trimtab::Error;
use trimtab::store::log::segment::{RECORDS_OFFSET, START_OFFSET};
use trimtab::store::log::snapshot_format::SnapshotHeader;
use trimtab::store::log::{
    Epoch, File, Log, Repair, Replayed, Sequence, SnapshotWriter, Upkeep, check, find_identity, open,
};
use trimtab::time::Instant;

use crate::covered::{COMMITTED, LAST, first, flush, keep_up, options, payload, written};
use crate::memory::Memory;
use crate::support::IDENTITY;

/// The segments of `written`: four with a start, and one that is prepared.
const SEGMENTS: u64 = 5;

/// The entries behind the snapshot, by opening a copy of it.
fn opened(disk: &Memory) -> Result<Vec<u64>, Error> {
    let mut entries = Vec::new();
    open(&disk.clone(), options(), IDENTITY, 8, &mut |replayed| match replayed {
        Replayed::Entry(entry) => entries.push(entry.sequence.0),
        Replayed::Replaced(from) => entries.retain(|it| *it < from.0),
        _ => {}
    })
    .map(|_| entries)
}

/// The entries behind the snapshot that lie in a segment of `whole`.
fn within(whole: &Memory, ordinal: u64, covered: u64) -> Vec<u64> {
    let end = match ordinal {
        1..=3 => first(whole, ordinal as usize + 1),
        4 => LAST + 1,
        _ => return Vec::new(),
    };
    (first(whole, ordinal as usize)..end).filter(|it| *it > covered).collect()
}

/// It is refused, nothing is changed, and the message names the command that mends it only if that can.
fn is_refused(disk: &Memory, what: &str) {
    let before = disk.0.borrow().clone();
    let error = opened(disk).expect_err(what);
    assert!(matches!(error, Error::Corrupt(_)), "{what}: {error}");
    assert_eq!(check(disk, Some(IDENTITY), &mut |_| {}).err().as_ref(), Some(&error), "{what}");
    assert_eq!(*disk.0.borrow(), before, "{what}: nothing was changed");
    let is_advised = error.to_string().contains("trimtab wal repair");
    match Repair::plan(disk) {
        Ok(Some(repair)) => {
            assert!(is_advised, "{what}: {error}");
            let mended = disk.clone();
            repair.apply(&mended).expect(what);
            assert!(disk.0.borrow().len() > mended.0.borrow().len(), "{what}: {repair:?}");
        }
        other => {
            // Where nothing says whose log it is, that is what is told.
            let is_nobodys = matches!(other, Err(Error::NotFound { .. }));
            assert!(is_nobodys || other.as_ref().err() == Some(&error), "{what}: {other:?}");
            assert!(!is_advised, "{what}: {error}");
        }
    }
}

#[test]
fn whichever_are_missing_what_is_left_is_kept_or_refused() {
    let whole = written(0);
    assert!(whole.0.borrow().contains_key(&File::Segment(SEGMENTS)), "the next one is prepared");
    let (mut good, mut refused) = (0, 0);
    for covered in
        [0, first(&whole, 2) - 1, first(&whole, 2), first(&whole, 3) - 1, first(&whole, 4) - 1, COMMITTED]
    {
        let all = written(covered);
        for left in 0_u32..1 << SEGMENTS {
            let has = |ordinal: u64| left & (1 << (ordinal - 1)) != 0;
            let disk = all.clone();
            disk.0.borrow_mut().retain(|file, _| !matches!(file, File::Segment(it) if !has(*it)));
            let what = format!("covered {covered}, left {left:05b}");
            if left == 0 && covered == 0 {
                assert_eq!(opened(&disk), Ok(Vec::new()), "an empty directory is a new log");
                continue;
            }
            // The last ones without a gap.
            let newest = (1..=SEGMENTS).rfind(|it| has(*it)).unwrap_or(0);
            let oldest = (1..=newest).rev().take_while(|it| has(*it)).last().unwrap_or(0);
            let goes_on = (1..SEGMENTS).contains(&oldest) && first(&whole, oldest as usize) <= covered + 1;
            if !goes_on {
                is_refused(&disk, &what);
                refused += 1;
                continue;
            }
            let entries = opened(&disk).expect(&what);
            for ordinal in (1..=SEGMENTS).filter(|it| has(*it)) {
                let there = within(&whole, ordinal, covered);
                assert!(
                    there.iter().all(|it| entries.contains(it)),
                    "{what}: of {there:?} {entries:?} are left"
                );
            }
            good += 1;
        }
    }
    assert!(good > 40 && refused > 80, "{good} {refused}");
}

/// Besides what is missing, the headers of one that is there are damaged.
#[test]
fn with_damaged_headers_too() {
    let whole = written(0);
    for covered in [0, first(&whole, 2) - 1, first(&whole, 3) - 1, first(&whole, 4) - 1] {
        let all = written(covered);
        for left in 1_u32..1 << SEGMENTS {
            let has = |ordinal: u64| left & (1 << (ordinal - 1)) != 0;
            for damaged in (1..=SEGMENTS).filter(|it| has(*it)) {
                let disk = all.clone();
                disk.0.borrow_mut().retain(|file, _| !matches!(file, File::Segment(it) if !has(*it)));
                disk.0.borrow_mut().get_mut(&File::Segment(damaged)).expect("it is there")
                    [..RECORDS_OFFSET as usize]
                    .fill(0);
                let what = format!("covered {covered}, left {left:05b}, damaged {damaged}");
                let Ok(entries) = opened(&disk) else {
                    is_refused(&disk, &what);
                    continue;
                };
                for ordinal in (1..=SEGMENTS).filter(|it| has(*it)) {
                    let there = within(&whole, ordinal, covered);
                    let is_there = there.iter().all(|it| entries.contains(it));
                    assert!(is_there, "{what}: of {there:?} {entries:?} are left");
                }
            }
        }
    }
}

#[test]
fn the_newest_is_missed_by_the_one_prepared_behind_it() {
    let disk = written(0);
    disk.0.borrow_mut().remove(&File::Segment(4));
    let told = opened(&disk).expect_err("it is refused").to_string();
    assert!(told.contains("0000000000000005.wal"), "{told}");
    assert!(told.contains("the segment before it, 0000000000000004.wal, is missing"), "{told}");
    let repair = Repair::plan(&disk).expect("it can be mended").expect("it needs it");
    assert_eq!((repair.cut, &repair.removed[..]), (None, &[File::Segment(5)][..]));
    repair.apply(&disk).expect("it is mended");
    assert_eq!(opened(&disk), Ok((1..first(&written(0), 4)).collect()));
}

/// Segments that lost their end, wherever that is: what is left of the log is a log again, with what came before.
#[test]
fn a_segment_that_was_cut_short_is_mended() {
    let whole = written(0);
    for ordinal in [1, 3, 4] {
        let file = File::Segment(ordinal);
        let bytes = whole.0.borrow()[&file].len();
        for left in [RECORDS_OFFSET as usize, RECORDS_OFFSET as usize + 1, bytes / 2 + 3, bytes - 1] {
            let disk = whole.clone();
            disk.0.borrow_mut().get_mut(&file).expect("it is there").truncate(left);
            let what = format!("segment {ordinal}, {left} bytes left");
            is_refused(&disk, &what);
            let repair = Repair::plan(&disk).expect(&what).expect(&what);
            repair.apply(&disk).expect(&what);
            assert_eq!(Repair::plan(&disk), Ok(None), "{what}: once is enough");
            let entries = opened(&disk).expect(&what);
            assert_eq!(entries, (1..=entries.len() as u64).collect::<Vec<_>>(), "{what}");
            assert!(entries.len() as u64 + 1 >= first(&whole, ordinal as usize), "{what}: {entries:?}");
        }
    }
}

#[test]
fn a_snapshot_alone_says_whose_it_is() {
    let disk = written(COMMITTED);
    disk.0.borrow_mut().retain(|file, _| !matches!(file, File::Segment(_)));
    assert_eq!(find_identity(&disk), Ok(IDENTITY));
    let told = check(&disk, None, &mut |_| {}).expect_err("it is refused").to_string();
    assert!(told.contains("there is a snapshot, but no segment that goes on from it"), "{told}");
    assert!(!told.contains("repair"), "{told}");
}

/// What a snapshot stands for that the logs below go on from.
const BASE: u64 = 100;

/// A log of `before` entries, the place of which a snapshot takes that came from elsewhere, with `behind` entries behind that;
/// and a snapshot of its own up to `again`, if that is not 0, after which the process died.
fn restarted(before: u64, behind: u64, again: u64) -> Memory {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(), IDENTITY, 7, &mut |_| {}).expect("it opens");
    let snapshot = |log: &mut Log, sequence, is_restart| {
        let header =
            SnapshotHeader { identity: IDENTITY, sequence: Sequence(sequence), epoch: Epoch(1), clock_ms: 0 };
        let mut writer = SnapshotWriter::begin(&disk, header).expect("a snapshot");
        writer.data(&disk, b"state").expect("a snapshot");
        let written = writer.finish(&disk).expect("a snapshot");
        log.handle_snapshot(&written, is_restart, 0).expect("it is taken");
        flush(log, &disk);
    };
    let append = |log: &mut Log, from: u64, to: u64| {
        for sequence in from..=to {
            log.append(Epoch(1), sequence, &payload(sequence)).expect("it is appended");
            flush(log, &disk);
            keep_up(log, &disk);
        }
    };
    append(&mut log, 1, before);
    snapshot(&mut log, BASE, true);
    append(&mut log, BASE + 1, BASE + behind);
    if again > 0 {
        snapshot(&mut log, again, false);
    }
    disk
}

/// Whatever is missing of a log that goes on from a snapshot: it opens with all there is in it, or not at all.
#[test]
fn a_snapshot_that_the_log_goes_on_from_is_missed() {
    let (mut good, mut refused) = (0, 0);
    for (before, behind, again) in [
        (0, 1, 0),
        (0, 7, 0),
        (3, 1, 0),
        (3, 6, 0),
        (9, 3, 0),
        (9, 9, 0),
        (0, 7, 102),
        (3, 9, 107),
        (0, 3, 103),
    ] {
        let all = restarted(before, behind, again);
        let files: Vec<File> =
            all.0.borrow().keys().copied().filter(|it| !matches!(it, File::Lock)).collect();
        let last = BASE + behind;
        let newest = {
            let disk = all.0.borrow();
            let is_started = |bytes: &Vec<u8>| bytes[START_OFFSET as usize..][..8] == *b"trimtabS";
            let mut segments = disk.iter().filter(|(file, _)| matches!(file, File::Segment(_)));
            *segments.rfind(|(_, bytes)| is_started(bytes)).expect("one is written to").0
        };
        for left in 1_u32..1 << files.len() {
            let kept: Vec<File> =
                files.iter().enumerate().filter(|(at, _)| left & (1 << at) != 0).map(|(_, it)| *it).collect();
            let disk = all.clone();
            disk.0.borrow_mut().retain(|file, _| kept.contains(file));
            let what = format!("{before} before, {behind} behind, again {again}: {kept:?} of {files:?}");
            // No log can tell that its end is missing with the segment prepared behind it.
            if !kept.iter().any(|it| matches!(it, File::Segment(_)) && *it >= newest) {
                continue;
            }
            let snapshots =
                kept.iter().filter_map(|it| if let File::Snapshot(it) = it { Some(it.0) } else { None });
            let covered = snapshots.max().unwrap_or(0);
            let Ok(entries) = opened(&disk) else {
                is_refused(&disk, &what);
                refused += 1;
                continue;
            };
            assert!(covered >= BASE, "{what}: {entries:?} are all that is left");
            assert_eq!(entries, (covered + 1..=last).collect::<Vec<_>>(), "{what}");
            good += 1;
        }
    }
    assert!(good > 10 && refused > 20, "{good} {refused}");
}

#[test]
fn what_is_said_of_a_missing_snapshot_names_it() {
    let disk = restarted(3, 2, 0);
    disk.0.borrow_mut().remove(&File::Snapshot(Sequence(BASE)));
    let told = opened(&disk).expect_err("it is refused").to_string();
    assert!(told.contains("0000000000000064.snapshot"), "{told}");
    assert!(told.contains("the snapshot is missing"), "{told}");
    assert!(told.contains("restore the directory from a backup or another node"), "{told}");
}

/// Segments are made, prepared, started, and used again, with a snapshot now and then: after each write, and after
/// each step of that work, what lies there is whole.
#[test]
fn each_step_of_the_work_on_segments_leaves_a_log() {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(), IDENTITY, 7, &mut |_| {}).expect("it opens");
    let (mut steps, mut gaps) = (0, 0);
    let mut look = |log: &Log, disk: &Memory| {
        let (_, _, report) = check(disk, Some(IDENTITY), &mut |_| {}).expect("it is whole");
        assert_eq!(report.last, log.durable_sequence());
        steps += 1;
    };
    for sequence in 1..=60 {
        log.append(Epoch(1), sequence, &payload(sequence)).expect("it is appended");
        flush(&mut log, &disk);
        look(&log, &disk);
        if sequence % 20 == 0 {
            let header = SnapshotHeader {
                identity: IDENTITY,
                sequence: Sequence(sequence - 3),
                epoch: Epoch(1),
                clock_ms: 0,
            };
            let mut writer = SnapshotWriter::begin(&disk, header).expect("a snapshot");
            writer.data(&disk, b"state").expect("a snapshot");
            let snapshot = writer.finish(&disk).expect("a snapshot");
            log.handle_snapshot(&snapshot, false, 0).expect("it is taken");
            flush(&mut log, &disk);
        }
        let mut is_refused = sequence == 40;
        while let Some(work) = log.poll_upkeep() {
            // The system refuses to take the oldest away once, and takes others: there is a gap.
            let is_going = matches!(work, Upkeep::Retire { .. } | Upkeep::Remove(File::Segment(_)));
            let result = match is_going && std::mem::take(&mut is_refused) {
                true => Err(std::io::ErrorKind::PermissionDenied.into()),
                false => work.run(&disk),
            };
            log.handle_upkeep(&work, result, Instant::START, |file| file.to_string());
            log.handle_timeout(Instant::START.saturating_add(options().retry));
            look(&log, &disk);
            let there: Vec<u64> = disk
                .0
                .borrow()
                .keys()
                .filter_map(|file| if let File::Segment(ordinal) = file { Some(*ordinal) } else { None })
                .collect();
            gaps += usize::from(there.windows(2).any(|pair| pair[0] + 1 != pair[1]));
        }
    }
    assert!(steps > 100 && gaps > 0, "{steps} {gaps}");
}
