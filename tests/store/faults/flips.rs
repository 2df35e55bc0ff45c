//! Every bit of what a small store has written is flipped in turn: opening it finds that, or it changes nothing. Of a store that
//! was not closed in order, the last batch may be taken for one that never became durable, and that is told; there it is done in
//! the newest segment, since the others are read alike. Of the zeros that fill up the headers' blocks, and of those behind the last
//! record, all bits within 8 bytes of something else are flipped, and one of every 128th byte.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use trimtab::store::engine::{Durability, Engine, Now, Options, open};
use trimtab::store::index::{Command, Condition, Lifetime, Operation, Step, Timestamp};
use trimtab::store::log::{self, Disk, File, Identity};
use trimtab::time::Instant;

use crate::memory::Memory;

const IDENTITY: Identity = Identity { cluster: *b"tests/store-----", node: 1 };
const RECORDS: usize = log::segment::RECORDS_OFFSET as usize;
const NOW: Now = Now { instant: Instant::START, clock: Timestamp::from_millis(1_000_000) };

fn options() -> Options {
    Options { log: log::Options { segment_bytes: 16 << 10, ..log::Options::default() }, ..Options::default() }
}

fn settle(engine: &mut Engine, disk: &Memory) {
    loop {
        if let Some(flush) = engine.poll_flush() {
            let result = flush.run(disk);
            engine.handle_flushed(flush, result, |file| disk.name(file));
        } else if let Some(work) = engine.poll_upkeep() {
            let result = work.run(disk);
            engine.handle_upkeep(&work, result, NOW.instant, |file| disk.name(file));
        } else if let Some(mut job) = engine.poll_snapshot(NOW) {
            let written = loop {
                if let Some(written) = job.step(disk).expect("memory has room") {
                    break written;
                }
            };
            engine.handle_snapshot(&job, Ok(written), NOW).expect("it is taken");
        } else {
            while engine.poll_completion().is_some() {}
            return;
        }
    }
}

/// Segments with a snapshot in between, and the state's hash after each entry.
fn written(is_closed: bool) -> (Memory, BTreeMap<u64, u128>) {
    let disk = Memory::default();
    let (mut engine, _) = open(&disk, options(), IDENTITY, 7, NOW).expect("it opens");
    let mut hashes = BTreeMap::from([(0, engine.state().hash())]);
    for number in 0..14_u64 {
        let key = format!("key/{}", number % 6);
        // Long ones of zeros fill the segments, short ones have bits.
        let value = if number % 3 == 1 { vec![0; 2_800] } else { vec![number as u8; 5 + number as usize] };
        let step = match number {
            9 => Step::Increment { key: b"count", by: 3 },
            _ => Step::Put {
                key: key.as_bytes(),
                value: &value,
                condition: Condition::Always,
                lifetime: if number == 3 {
                    Lifetime::Until(Timestamp::from_millis(9_000_000))
                } else {
                    Lifetime::Unbounded
                },
                previous: false,
            },
        };
        let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
        engine.submit(&command, Some(Durability::Local), NOW).expect("there is room");
        if number == 5 {
            settle(&mut engine, &disk);
            engine.want_snapshot();
        }
        settle(&mut engine, &disk);
        hashes.insert(engine.state().sequence(), engine.state().hash());
    }
    if is_closed {
        engine.close(NOW);
        settle(&mut engine, &disk);
    }
    (disk, hashes)
}

/// The last byte of a file that is not zero.
fn end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Flips what is to be flipped, on two threads. Gives how often it was refused, harmless, and told as a torn tail.
fn flip_all(is_closed: bool) -> [u64; 3] {
    let (disk, hashes) = written(is_closed);
    let (_, whole) = hashes.last_key_value().expect("there are entries");
    let files: Vec<(File, usize)> =
        disk.0.borrow().iter().map(|(file, bytes)| (*file, bytes.len())).collect();
    let segments = files.iter().filter(|(file, _)| matches!(file, File::Segment(_))).count();
    let snapshots = files.iter().filter(|(file, _)| matches!(file, File::Snapshot(_))).count();
    assert!(segments > 2 && snapshots == 1, "{files:?}");
    let newest = files
        .iter()
        .rev()
        .find(|(file, _)| matches!(file, File::Segment(_)) && end(&disk.0.borrow()[file]) > RECORDS);
    let newest = newest.expect("a segment has records").0;
    let ends: BTreeMap<File, usize> =
        disk.0.borrow().iter().map(|(file, bytes)| (*file, end(bytes))).collect();
    let counts = [const { AtomicU64::new(0) }; 3];
    let flips = |disk: &Memory, turn: usize| {
        for (file, length) in &files {
            // What a close changes is what happens to the last records.
            let from = match is_closed {
                true => 0,
                false if *file == newest => 0,
                false => *length,
            };
            for byte in (from + turn..*length).step_by(2) {
                let is_written = match file {
                    File::Segment(_) => (RECORDS..ends[file]).contains(&byte),
                    _ => true,
                };
                let near = byte.saturating_sub(8)..(byte + 8).min(*length);
                let is_whole = is_written || disk.0.borrow()[file][near].iter().any(|byte| *byte != 0);
                let bits = if is_whole { 8 } else { u32::from((byte / 2).is_multiple_of(64)) };
                for bit in 0..bits {
                    let place = format!("{file} byte {byte} bit {bit}");
                    let flip = || {
                        let mut files = disk.0.borrow_mut();
                        files.get_mut(file).expect("it is there")[byte] ^= 1 << ((bit + byte as u32 / 2) % 8);
                    };
                    flip();
                    // Opening changes nothing in a directory that has a segment.
                    let count = match open(disk, options(), IDENTITY, 8, NOW) {
                        Err(_) => 0,
                        Ok((engine, _)) if engine.state().hash() == *whole => 1,
                        Ok((engine, report)) => {
                            assert!(
                                report.log.torn.is_some(),
                                "{place}: something is gone, and nobody says so"
                            );
                            assert!(!is_closed, "{place}: something of a closed store is gone");
                            let state = engine.state();
                            assert_eq!(hashes.get(&state.sequence()), Some(&state.hash()), "{place}");
                            2
                        }
                    };
                    counts[count].fetch_add(1, Ordering::Relaxed);
                    flip();
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let other = Memory(std::cell::RefCell::new(disk.0.borrow().clone()));
        scope.spawn(move || flips(&other, 0));
        let disk = Memory(std::cell::RefCell::new(disk.0.borrow().clone()));
        scope.spawn(move || flips(&disk, 1));
    });
    counts.map(AtomicU64::into_inner)
}

#[test]
fn a_flipped_bit_in_a_closed_store_is_found_or_harmless() {
    let [refused, harmless, told] = flip_all(true);
    assert!(refused > 50_000 && harmless > 500 && told == 0, "{refused} {harmless} {told}");
}

#[test]
fn a_flipped_bit_in_a_store_that_was_not_closed_is_found_or_told_or_harmless() {
    let [refused, harmless, told] = flip_all(false);
    assert!(refused > 500 && told > 1_000, "{refused} {harmless} {told}");
}
