//! Backups: one that was changed is refused or restored as it was, and any bytes at all are no panic.

#![no_main]

#[path = "../common/directory.rs"]
mod directory;

use arbitrary::Arbitrary;
use directory::{Memory, tamper};
use libfuzzer_sys::fuzz_target;
use trimtab::store::backup::{EntriesReader, EntriesWriter, Manifest, Point, restore, verify};
use trimtab::store::engine::replicated::is_command;
use trimtab::store::log::{Disk, Entry, Epoch, File, Identity, Replayed, Sequence, check};

#[derive(Arbitrary, Debug)]
struct Input {
    payloads: Vec<Vec<u8>>,
    /// In which of the two files.
    file: u8,
    changes: Vec<(u16, u8)>,
    bytes: Option<Vec<u8>>,
    point: Option<u64>,
    /// A manifest whose checksum is right.
    manifest: String,
}

const IDENTITY: Identity = Identity { cluster: [7; 16], node: 1 };
const OTHER: Identity = Identity { cluster: [8; 16], node: 1 };

fn backup(payloads: &[Vec<u8>]) -> Memory {
    let disk = Memory::default();
    let mut writer = EntriesWriter::begin(&disk, IDENTITY, Sequence(1), 9).expect("there is room");
    for (at, payload) in payloads.iter().enumerate() {
        let number = at as u64 + 1;
        let entry = Entry { sequence: Sequence(number), epoch: Epoch(1), clock_ms: number, payload };
        writer.entry(&disk, &entry).expect("there is room");
    }
    let part = writer.finish(&disk, 0).expect("there is room");
    let manifest = Manifest { parts: part.into_iter().collect(), ..Manifest::new(IDENTITY, 1 << 16) };
    manifest.write(&disk).expect("there is room");
    disk
}

/// The payloads of a log.
fn payloads(disk: &Memory) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    check(disk, Some(OTHER), &mut |replayed| {
        if let Replayed::Entry(entry) = replayed {
            payloads.push(entry.payload.to_vec());
        }
    })
    .expect("what was restored is whole");
    payloads
}

fuzz_target!(|input: Input| {
    let disk = backup(&input.payloads);
    let whole = Manifest::read(&disk).expect("it is whole").expect("it is there");
    verify(&disk, &whole).expect("it is whole");
    tamper(&disk, usize::from(input.file % 2), |bytes| {
        for (offset, change) in &input.changes {
            if !bytes.is_empty() {
                let at = *offset as usize % bytes.len();
                bytes[at] ^= change;
            }
        }
        if let Some(other) = &input.bytes {
            bytes.clone_from(other);
        }
    });
    let mut all = Vec::new();
    if let Ok(mut reader) = EntriesReader::open(&disk, File::Entries(Sequence(1)), IDENTITY) {
        while let Ok(Some(entry)) = reader.next(&disk) {
            all.push(entry.payload.to_vec());
        }
    }
    assert!(input.payloads.starts_with(&all));

    let point = input
        .point
        .map_or(Point::End, |at| if at % 2 == 0 { Point::Sequence(at / 2) } else { Point::Time(at / 2) });
    if let Ok(Some(manifest)) = Manifest::read(&disk) {
        let to = Memory::default();
        match restore(&disk, &manifest, point, &to, OTHER, 1) {
            Ok(restored) => {
                let given = payloads(&to);
                assert_eq!(given.len() as u64, restored.sequence);
                // What is no command is consensus' own, of which the number alone is kept.
                let is_kept = |(given, payload): (&Vec<u8>, &Vec<u8>)| {
                    given == payload || (given.is_empty() && !is_command(payload))
                };
                assert!(given.len() <= input.payloads.len());
                assert!(given.iter().zip(&input.payloads).all(is_kept));
            }
            Err(_) => assert!(to.list().expect("it is in memory").iter().all(|file| *file == File::Lock)),
        }
    }

    let mut bytes = input.manifest.into_bytes();
    bytes.push(b'\n');
    let line = format!("crc32c {:08x}\n", crc32c(&bytes));
    bytes.extend_from_slice(line.as_bytes());
    if let Ok(manifest) = Manifest::decode(&bytes) {
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        let (_, _) = (manifest.spans(), manifest.bytes());
        let _ = verify(&disk, &manifest);
        let _ = restore(&disk, &manifest, point, &Memory::default(), OTHER, 1);
    }
});

/// Bit by bit: the library's own is not to be had from here.
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
