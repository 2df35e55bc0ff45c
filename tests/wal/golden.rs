//! The format of version 1, as `tests/data/wal-v1` has it: it is read, and it is written, to the byte.

use std::path::PathBuf;

use trimtab::store::log::record::{
    Body, Heading, Place, SnapshotMark, Vote, decode as decode_record, encode as encode_record,
};
use trimtab::store::log::segment::{Label, RECORDS_OFFSET, START_OFFSET, Start};
use trimtab::store::log::snapshot_format::{Chunk, SnapshotHeader, decode_chunk, encode_chunk};
use trimtab::store::log::{Epoch, File, Identity, Sequence};

const IDENTITY: Identity = Identity { cluster: *b"golden-cluster-1", node: 3 };
const SEGMENT_BYTES: usize = 16_384;
const CLOCK_MS: u64 = 1_764_115_200_000;

/// What the first segment says: epoch, sequence, batch and body of each record. A batch begins where the flag is set.
fn first() -> Vec<(u64, u64, bool, Body<'static>)> {
    let mark = SnapshotMark { sequence: Sequence(2), epoch: Epoch(1), is_restart: false };
    vec![
        (0, 0, true, Body::Open { nonce: 0x0123_4567_89ab_cdef, cut_bytes: 0 }),
        (0, 0, false, Body::Vote(Vote { epoch: Epoch(1), node: 3 })),
        (0, 0, false, Body::Membership(b"voters 1 2 3")),
        (1, 1, true, Body::Entry(b"put a=1")),
        (1, 2, false, Body::Entry(b"")),
        (1, 3, true, Body::Entry(&[0xff; 300])),
        (1, 3, false, Body::Commit(Sequence(2))),
        (1, 3, true, Body::Snapshot(mark)),
    ]
}

/// What the second says: the uncommitted entry 3 is replaced by one of a later epoch.
fn second() -> Vec<(u64, u64, bool, Body<'static>)> {
    vec![
        (1, 3, true, Body::Vote(Vote { epoch: Epoch(2), node: 1 })),
        (1, 2, false, Body::Replace(Sequence(3))),
        (2, 3, false, Body::Entry(b"put b=2")),
        (2, 4, false, Body::Entry(b"del a")),
        (2, 4, true, Body::Commit(Sequence(4))),
        (2, 4, true, Body::Close),
    ]
}

fn segment(start: &Start, records: &[(u64, u64, bool, Body<'_>)]) -> (Vec<u8>, u32, u64) {
    let mut chain = start.chain;
    let mut bytes = Vec::new();
    let mut batch_start = 0;
    for (epoch, sequence, begins, body) in records {
        if *begins {
            batch_start = bytes.len();
        }
        let place = Place { salt: start.label.salt, offset: RECORDS_OFFSET + bytes.len() as u64 };
        let heading = Heading {
            previous: chain,
            batch_bytes: (bytes.len() - batch_start) as u32,
            epoch: Epoch(*epoch),
            sequence: Sequence(*sequence),
            clock_ms: CLOCK_MS + sequence,
        };
        chain = encode_record(&mut bytes, place, &heading, body);
    }
    let mut file = vec![0; SEGMENT_BYTES];
    file[..72].copy_from_slice(&start.label.encode());
    let at = START_OFFSET as usize;
    file[at..at + 96].copy_from_slice(&start.encode());
    let at = RECORDS_OFFSET as usize;
    file[at..at + bytes.len()].copy_from_slice(&bytes);
    (file, chain, RECORDS_OFFSET + bytes.len() as u64)
}

fn snapshot() -> Vec<u8> {
    let header =
        SnapshotHeader { identity: IDENTITY, sequence: Sequence(2), epoch: Epoch(1), clock_ms: CLOCK_MS + 2 };
    let (bytes, mut chain) = header.encode();
    let mut file = bytes.to_vec();
    let chunks =
        [Chunk::Membership(b"voters 1 2 3"), Chunk::Data(b"a=1"), Chunk::End { chunks: 2, bytes: 15 }];
    for chunk in chunks {
        let offset = file.len() as u64;
        chain = encode_chunk(&mut file, offset, chain, &chunk);
    }
    file
}

fn files() -> Vec<(File, Vec<u8>)> {
    let label = Label {
        identity: IDENTITY,
        ordinal: 1,
        salt: 0x1111_2222_3333_4444,
        segment_bytes: SEGMENT_BYTES as u64,
    };
    let start = Start { label, first: Sequence(1), epoch: Epoch(0), chain: 0, previous_end: 0 };
    let (one, chain, previous_end) = segment(&start, &first());
    let label = Label { ordinal: 2, salt: 0x5555_6666_7777_8888, ..label };
    let start = Start { label, first: Sequence(4), epoch: Epoch(1), chain, previous_end };
    let (two, _, _) = segment(&start, &second());
    let label = Label { ordinal: 3, salt: 0x9999_aaaa_bbbb_cccc, ..label };
    let mut three = vec![0; SEGMENT_BYTES];
    three[..72].copy_from_slice(&label.encode());
    vec![
        (File::Segment(1), one),
        (File::Segment(2), two),
        (File::Segment(3), three),
        (File::Snapshot(Sequence(2)), snapshot()),
    ]
}

pub(super) fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/wal-v1")
}

/// To record another version, change the folder's name and run with `TRIMTAB_RECORD=1`.
#[test]
fn what_is_written_is_what_was_recorded() {
    for (file, bytes) in files() {
        let path = dir().join(file.to_string());
        if std::env::var_os("TRIMTAB_RECORD").is_some() {
            std::fs::write(&path, &bytes).expect("the folder can be written to");
        }
        let recorded = std::fs::read(&path).expect("the file is recorded");
        assert!(recorded == bytes, "{file} is not written as it was recorded");
    }
}

#[test]
fn what_was_recorded_reads_back() {
    let read = |file: File| std::fs::read(dir().join(file.to_string())).expect("the file is recorded");
    let mut chain = 0;
    for (ordinal, records) in [(1, first()), (2, second())] {
        let bytes = read(File::Segment(ordinal));
        let label = Label::decode(&bytes).expect("a label");
        let start = Start::decode(&bytes[START_OFFSET as usize..]).expect("a start");
        assert_eq!((start.label, label.identity, start.chain), (label, IDENTITY, chain));
        let mut offset = RECORDS_OFFSET;
        for (epoch, sequence, begins, body) in records {
            let place = Place { salt: label.salt, offset };
            let record = decode_record(&bytes[offset as usize..], place).expect("a record");
            assert_eq!((record.body, record.previous), (body, chain));
            assert_eq!((record.epoch, record.sequence), (Epoch(epoch), Sequence(sequence)));
            assert_eq!((record.clock_ms, record.batch_bytes == 0), (CLOCK_MS + sequence, begins));
            chain = record.crc;
            offset += record.bytes as u64;
        }
    }
    let bytes = read(File::Segment(3));
    assert!(Label::decode(&bytes).is_ok() && Start::decode(&bytes[START_OFFSET as usize..]).is_err());

    let bytes = read(File::Snapshot(Sequence(2)));
    let (header, mut chain) = SnapshotHeader::decode(&bytes).expect("a header");
    assert_eq!((header.identity, header.sequence, header.epoch), (IDENTITY, Sequence(2), Epoch(1)));
    let mut at = 72;
    let mut chunks = Vec::new();
    while at < bytes.len() {
        let (chunk, crc, length) = decode_chunk(&bytes[at..], at as u64, chain).expect("a chunk");
        chunks.push(chunk);
        (chain, at) = (crc, at + length);
    }
    let expected =
        [Chunk::Membership(b"voters 1 2 3"), Chunk::Data(b"a=1"), Chunk::End { chunks: 2, bytes: 15 }];
    assert_eq!(chunks, expected);
}
