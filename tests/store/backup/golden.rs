//! The format of version 1, as `tests/data/backup-v1` has it: it is read, and it is written, to the byte.

use std::path::PathBuf;

use trimtab::backup::{Kind, Manifest, Part};
use trimtab::store::backup::{EntriesReader, EntriesWriter, verify};
use trimtab::store::log::snapshot_format::SnapshotHeader;
use trimtab::store::log::{Disk, Entry, Epoch, File, Identity, Sequence, SnapshotWriter};

use crate::memory::Memory;

const IDENTITY: Identity = Identity { cluster: *b"golden-cluster-1", node: 3 };
const CLOCK_MS: u64 = 1_764_115_200_000;
const SALT: u64 = 0x0123_4567_89ab_cdef;

fn entries() -> [Entry<'static>; 3] {
    let entry = |sequence, epoch, payload| Entry {
        sequence: Sequence(sequence),
        epoch: Epoch(epoch),
        clock_ms: CLOCK_MS + sequence,
        payload,
    };
    [entry(3, 1, b"put a=1"), entry(4, 2, b""), entry(5, 2, &[0xff; 20])]
}

/// A snapshot of entry 2, and entries 3 to 5.
fn written() -> Memory {
    let disk = Memory::default();
    let header =
        SnapshotHeader { identity: IDENTITY, sequence: Sequence(2), epoch: Epoch(1), clock_ms: CLOCK_MS + 2 };
    let mut writer = SnapshotWriter::begin(&disk, header).expect("memory has room");
    writer.data(&disk, b"state").expect("memory has room");
    let snapshot = writer.finish(&disk).expect("memory has room");
    let mut writer = EntriesWriter::begin(&disk, IDENTITY, Sequence(3), SALT).expect("memory has room");
    for entry in entries() {
        writer.entry(&disk, &entry).expect("memory has room");
    }
    let part = writer.finish(&disk, CLOCK_MS + 100).expect("memory has room").expect("there are entries");
    let base = Part {
        kind: Kind::Snapshot,
        first: 2,
        last: 2,
        last_epoch: 1,
        first_clock_ms: CLOCK_MS + 2,
        last_clock_ms: CLOCK_MS + 2,
        through_ms: CLOCK_MS + 2,
        bytes: snapshot.bytes,
        last_payload_crc32c: None,
    };
    let manifest = Manifest { parts: vec![base, part], ..Manifest::new(IDENTITY, 65_536) };
    manifest.write(&disk).expect("memory has room");
    disk
}

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/backup-v1")
}

/// To record another version, change the folder's name and run with `TRIMTAB_RECORD=1`.
#[test]
fn what_is_written_is_what_was_recorded() {
    let disk = written();
    let files = disk.0.borrow();
    assert_eq!(files.len(), 3);
    for (file, bytes) in files.iter() {
        let path = dir().join(file.to_string());
        if std::env::var_os("TRIMTAB_RECORD").is_some() {
            std::fs::write(&path, bytes).expect("the folder can be written to");
        }
        let recorded = std::fs::read(&path).expect("it was recorded");
        assert!(*bytes == recorded, "{file}");
    }
}

#[test]
fn what_was_recorded_is_read() {
    let disk = Memory::default();
    for file in [File::Manifest, File::Snapshot(Sequence(2)), File::Entries(Sequence(3))] {
        let bytes = std::fs::read(dir().join(file.to_string())).expect("it was recorded");
        disk.create(file, 0).expect("memory has room");
        disk.write(file, 0, &bytes).expect("memory has room");
    }
    let manifest = Manifest::read(&disk).expect("it is read").expect("it is there");
    verify(&disk, &manifest).expect("it is whole");
    assert_eq!(
        (manifest.identity, manifest.segment_bytes, manifest.is_replicated),
        (IDENTITY, 65_536, false)
    );
    let spans: Vec<_> = manifest.spans().iter().map(|span| (span.first, span.last)).collect();
    assert_eq!(spans, [(2, 5)]);
    let mut reader = EntriesReader::open(&disk, File::Entries(Sequence(3)), IDENTITY).expect("it is read");
    for entry in entries() {
        assert_eq!(reader.next(&disk).expect("it is whole"), Some(entry));
    }
    assert_eq!(reader.next(&disk).expect("it is whole"), None);
    // A number is where the document says.
    let bytes = std::fs::read(dir().join("0000000000000003.entries")).expect("it was recorded");
    assert_eq!(
        (&bytes[..8], &bytes[8..10], &bytes[16..32]),
        (&b"trimtabE"[..], &[1, 0][..], &IDENTITY.cluster[..])
    );
    assert_eq!((bytes[32], bytes[40]), (3, 3));
    assert_eq!(bytes[48..56], SALT.to_le_bytes());
    assert_eq!(bytes[60..64], crc32c(&bytes[..60]).to_le_bytes());
    assert_eq!((bytes[64 + 24], bytes[64 + 40]), (3, 1), "the first record's sequence and kind");
}

/// Bit by bit, so that it is another than the one that is tested.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
