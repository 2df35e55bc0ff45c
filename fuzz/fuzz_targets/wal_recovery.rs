//! A log whose files are changed at will: it is refused, or what it gives is a prefix of what was appended; and then it
//! goes on.

#![no_main]

#[path = "../common/directory.rs"]
mod directory;

use arbitrary::Arbitrary;
use directory::{Memory, tamper};
use libfuzzer_sys::fuzz_target;
use trimtab::store::log::{Epoch, Identity, Log, Options, Replayed, Sequence, open};
use trimtab::time::Instant;

#[derive(Arbitrary, Debug)]
struct Input {
    payloads: Vec<Vec<u8>>,
    is_closed: bool,
    changes: Vec<(u8, u16, u8)>,
    cut: Option<u16>,
}

const IDENTITY: Identity = Identity { cluster: [7; 16], node: 1 };

fn options() -> Options {
    Options { segment_bytes: 16 << 10, ..Options::default() }
}

fn settle(log: &mut Log, disk: &Memory) {
    while let Some(flush) = log.poll_flush() {
        let result = flush.run(disk);
        log.handle_flushed(flush, result, |file| file.to_string());
    }
    while let Some(work) = log.poll_upkeep() {
        let result = work.run(disk);
        log.handle_upkeep(&work, result, Instant::START, |file| file.to_string());
    }
}

fuzz_target!(|input: Input| {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(), IDENTITY, 1, &mut |_| {}).expect("an empty directory opens");
    let mut payloads = Vec::new();
    for payload in input.payloads.iter().take(64) {
        let payload = &payload[..payload.len().min(options().payload_bytes_max())];
        if log.append(Epoch(1), 0, payload).is_ok() {
            payloads.push(payload);
        }
        settle(&mut log, &disk);
    }
    if input.is_closed {
        let _ = log.close(0);
        settle(&mut log, &disk);
    }
    drop(log);
    for (file, offset, change) in &input.changes {
        tamper(&disk, *file as usize, |bytes| {
            let at = *offset as usize % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= change;
            }
        });
    }
    if let Some(cut) = input.cut {
        tamper(&disk, cut as usize, |bytes| bytes.truncate(cut as usize));
    }
    let mut next = 1;
    let opened = open(&disk, options(), IDENTITY, 2, &mut |replayed| {
        if let Replayed::Entry(entry) = replayed {
            assert_eq!(entry.sequence, Sequence(next));
            assert_eq!(entry.payload, payloads[next as usize - 1]);
            next += 1;
        }
    });
    match opened {
        Ok((mut log, report)) => {
            assert_eq!(report.last, Sequence(next - 1));
            settle(&mut log, &disk);
            log.append(Epoch(2), 0, b"on").expect("it goes on");
            settle(&mut log, &disk);
            assert_eq!(log.durable_sequence(), Sequence(next));
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1),
    }
});
