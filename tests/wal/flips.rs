//! Every bit of what a small log has written is flipped in turn: that is found out, or it changes nothing. Of a log that was not
//! closed it is done in the newest segment. Of the zeros that fill up the headers' blocks, and of those behind the last record, all
//! bits within 8 bytes of something else are flipped, and one of every 64th byte.

use trimtab::Error;
use trimtab::store::log::segment::RECORDS_OFFSET;
use trimtab::store::log::snapshot_format::SnapshotHeader;
use trimtab::store::log::{Epoch, File, Log, Options, Replayed, Sequence, SnapshotWriter, check, open};
use trimtab::time::Instant;

use crate::memory::Memory;
use crate::support::IDENTITY;

const RECORDS: usize = RECORDS_OFFSET as usize;

fn options() -> Options {
    Options { segment_bytes: 16 << 10, ..Options::default() }
}

/// Short ones, but for two that fill a segment with zeros.
fn payload(sequence: Sequence) -> Vec<u8> {
    match sequence.0 {
        4 | 8 => vec![0; 4_200],
        number => vec![number as u8; 5 + number as usize],
    }
}

fn settle(log: &mut Log, disk: &Memory) {
    loop {
        let flush = log.poll_flush();
        let work = log.poll_upkeep();
        if flush.is_none() && work.is_none() {
            return;
        }
        if let Some(flush) = flush {
            let result = flush.run(disk);
            log.handle_flushed(flush, result, |file| file.to_string());
        }
        if let Some(work) = work {
            let result = work.run(disk);
            log.handle_upkeep(&work, result, Instant::START, |file| file.to_string());
        }
    }
}

/// Entries 1 to 9 in two segments, with a snapshot of the first 5.
fn written(is_closed: bool) -> Memory {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(), IDENTITY, 7, &mut |_| {}).expect("it opens");
    log.membership(b"voters 1", 0).expect("it is appended");
    for sequence in 1..=9 {
        log.append(Epoch(1), sequence, &payload(Sequence(sequence))).expect("it is appended");
        if sequence % 3 == 0 {
            settle(&mut log, &disk);
        }
    }
    if is_closed {
        let header =
            SnapshotHeader { identity: IDENTITY, sequence: Sequence(5), epoch: Epoch(1), clock_ms: 0 };
        let mut writer = SnapshotWriter::begin(&disk, header).expect("a snapshot");
        writer.data(&disk, b"state").expect("a snapshot");
        let snapshot = writer.finish(&disk).expect("a snapshot");
        log.handle_snapshot(&snapshot, false, 0).expect("it is taken");
        log.close(0).expect("it closes");
    }
    settle(&mut log, &disk);
    disk
}

/// The entries of a log, or why it is not read; and whether a torn tail is told.
fn read(disk: &Memory) -> Result<(Vec<Sequence>, bool), Error> {
    let mut entries = Vec::new();
    let (_, state, report) = check(disk, Some(IDENTITY), &mut |replayed| {
        if let Replayed::Entry(entry) = replayed {
            assert_eq!(entry.payload, payload(entry.sequence), "an entry reads as another");
            entries.push(entry.sequence);
        }
    })?;
    assert!(report.torn.is_some() || state.membership == b"voters 1");
    Ok((entries, report.torn.is_some()))
}

fn flip_all(is_closed: bool) -> (u64, u64, u64) {
    let disk = written(is_closed);
    let (whole, _) = read(&disk).expect("it is whole");
    assert_eq!(whole.last(), Some(&Sequence(9)));
    let files: Vec<(File, usize)> =
        disk.0.borrow().iter().map(|(file, bytes)| (*file, bytes.len())).collect();
    assert!(files.iter().filter(|(file, _)| matches!(file, File::Segment(_))).count() > 1, "{files:?}");
    let (mut refused, mut harmless, mut told) = (0, 0, 0);
    let newest = files.iter().rev().find(|(file, _)| {
        matches!(file, File::Segment(_)) && {
            let bytes = &disk.0.borrow()[file];
            bytes[RECORDS..].iter().any(|byte| *byte != 0)
        }
    });
    let newest = newest.expect("a segment has records").0;
    for (file, length) in files {
        let end = disk.0.borrow()[&file].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // What a close changes is what happens to the last records.
        let from = match is_closed {
            true => 0,
            false if file == newest => 0,
            false => length,
        };
        for byte in from..length {
            let is_written = match file {
                File::Segment(_) => (RECORDS..end).contains(&byte),
                _ => true,
            };
            let near = byte.saturating_sub(8)..(byte + 8).min(length);
            let is_whole = is_written || disk.0.borrow()[&file][near].iter().any(|byte| *byte != 0);
            let bits = if is_whole { 8 } else { u32::from(byte % 64 == 0) };
            for bit in 0..bits {
                let flip = |disk: &Memory| {
                    disk.0.borrow_mut().get_mut(&file).expect("it is there")[byte] ^=
                        1 << ((bit + byte as u32) % 8);
                };
                flip(&disk);
                match read(&disk) {
                    Err(_) => refused += 1,
                    Ok((entries, _)) if entries == whole => harmless += 1,
                    Ok((entries, is_told)) => {
                        assert!(
                            is_told,
                            "{file} byte {byte} bit {bit}: entries are gone, and nobody says so"
                        );
                        assert!(!is_closed, "{file} byte {byte} bit {bit}: an entry of a closed log is gone");
                        assert!(whole.starts_with(&entries));
                        told += 1;
                    }
                }
                flip(&disk);
            }
        }
    }
    (refused, harmless, told)
}

#[test]
fn a_flipped_bit_in_a_closed_log_is_found_or_harmless() {
    let (refused, harmless, told) = flip_all(true);
    assert!(refused > 30_000 && harmless > 500 && told == 0, "{refused} {harmless} {told}");
}

#[test]
fn a_flipped_bit_in_a_log_that_was_not_closed_is_found_or_told_or_harmless() {
    let (refused, harmless, told) = flip_all(false);
    assert!(refused > 500 && told > 10_000, "{refused} {harmless} {told}");
}
