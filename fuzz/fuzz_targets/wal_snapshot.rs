//! Snapshots: one that was changed is refused or gives what was written, and any bytes at all are no panic.

#![no_main]

#[path = "../common/directory.rs"]
mod directory;

use arbitrary::Arbitrary;
use directory::{Memory, tamper};
use libfuzzer_sys::fuzz_target;
use trimtab::store::log::snapshot_format::SnapshotHeader;
use trimtab::store::log::{Epoch, File, Identity, Part, Sequence, SnapshotReader, SnapshotWriter};

#[derive(Arbitrary, Debug)]
struct Input {
    chunks: Vec<Vec<u8>>,
    changes: Vec<(u16, u8)>,
    bytes: Option<Vec<u8>>,
}

const IDENTITY: Identity = Identity { cluster: [7; 16], node: 1 };

fn read(disk: &Memory, file: File) -> trimtab::Result<Vec<Vec<u8>>> {
    let mut reader = SnapshotReader::open(disk, file, IDENTITY)?;
    let mut chunks = Vec::new();
    while let Some(part) = reader.next(disk)? {
        let (Part::Data(bytes) | Part::Membership(bytes)) = part;
        chunks.push(bytes.to_vec());
    }
    Ok(chunks)
}

fuzz_target!(|input: Input| {
    let disk = Memory::default();
    let header = SnapshotHeader { identity: IDENTITY, sequence: Sequence(9), epoch: Epoch(1), clock_ms: 0 };
    let mut writer = SnapshotWriter::begin(&disk, header).expect("there is room");
    for chunk in &input.chunks {
        writer.data(&disk, chunk).expect("there is room");
    }
    writer.finish(&disk).expect("there is room");
    let file = File::Snapshot(Sequence(9));
    assert_eq!(read(&disk, file).as_ref(), Ok(&input.chunks));
    tamper(&disk, 0, |bytes| {
        for (offset, change) in &input.changes {
            let at = *offset as usize % bytes.len();
            bytes[at] ^= change;
        }
        if let Some(other) = &input.bytes {
            bytes.clone_from(other);
        }
    });
    if let Ok(chunks) = read(&disk, file) {
        assert_eq!(chunks, input.chunks);
    }
});
