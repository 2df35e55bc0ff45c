//! Bytes as chunks of a snapshot: what is taken is a state that is written and read again as the same.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::store::index::snapshot::{Position, SnapshotReader, SnapshotWriter};
use trimtab::store::index::{Index, Options, Range, Timestamp};

#[derive(Arbitrary, Debug)]
struct Run {
    sequence: u8,
    chunks: Vec<Vec<u8>>,
    /// As they are, or each with a head and a sum that are right.
    is_raw: bool,
    is_ended: bool,
    position: Vec<u8>,
}

fn sealed(sequence: u8, number: usize, body: &[u8]) -> Vec<u8> {
    let mut chunk = b"TTSS\x01".to_vec();
    chunk.extend_from_slice(&[sequence & 0x7f, number as u8 & 0x7f]);
    chunk.extend_from_slice(body);
    let sum = xxhash_rust::xxh3::xxh3_64(&chunk);
    chunk.extend_from_slice(&sum.to_le_bytes());
    chunk
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fuzz_target!(|run: Run| {
    if let Some(position) = Position::decode(&run.position) {
        let mut encoded = Vec::new();
        position.encode(&mut encoded);
        assert_eq!(encoded, run.position);
        // A position out of nowhere is refused, or goes on somewhere.
        let view = Index::new(&Options::default()).reader().view();
        if let Ok(mut writer) = SnapshotWriter::resume(view, &position) {
            writer.next_chunk(10, &mut Vec::new());
        }
    }
    let mut reader = SnapshotReader::new();
    for (number, chunk) in run.chunks.iter().take(100).enumerate() {
        let chunk = if run.is_raw { chunk.clone() } else { sealed(run.sequence, number, chunk) };
        let before = reader.position().clone();
        match reader.chunk(&chunk) {
            Ok(()) => assert_eq!(reader.position().chunk, before.chunk + 1),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1),
        }
    }
    if run.is_ended && !reader.is_complete() {
        // Nobody guesses a hash: the end is written by whoever knows it.
        let state = reader.so_far();
        let mut body = vec![5];
        for count in [state.lease_count(), state.len(), state.client_count(), state.memory()] {
            put_varint(&mut body, count);
        }
        body.extend_from_slice(&state.hash().to_le_bytes());
        let chunk = reader.position().chunk as usize;
        let _ = reader.chunk(&sealed(run.sequence, chunk, &body));
    }
    let Ok(state) = reader.finish() else { return };
    let (hash, memory) = (state.hash(), state.memory());
    let page = state.range(&Range::ALL, 0, u64::MAX, false, Timestamp::default());
    assert!(page.entries.len() as u64 <= state.len());
    let _ = (state.count(&Range::ALL, Timestamp::from_millis(u64::MAX)), state.next_deadline());
    let mut writer = SnapshotWriter::new(Index::from_state(state, &Options::default()).reader().view());
    let mut reader = SnapshotReader::new();
    let mut chunk = Vec::new();
    while writer.next_chunk(100, &mut chunk) {
        reader.chunk(&chunk).expect("we wrote it");
        chunk.clear();
    }
    let state = reader.finish().expect("we wrote it");
    assert_eq!((state.hash(), state.memory()), (hash, memory));
});
