//! Snapshots: what is read is what was written, in chunks of any size, from wherever it was cut off; and what was
//! changed on its way is noticed.

use std::sync::Arc;

use trimtab::rng::Rng;
use trimtab::store::index::snapshot::{Position, SnapshotError, SnapshotReader, SnapshotWriter};
use trimtab::store::index::{Index, Options, Range, RequestId, State, Timestamp, View};

use crate::commands::{Course, Words};
use crate::harness::{run, run_on};

fn chunks(view: &Arc<View>, bytes: usize) -> Vec<Vec<u8>> {
    let mut writer = SnapshotWriter::new(Arc::clone(view));
    let mut chunks = Vec::new();
    loop {
        let mut chunk = Vec::new();
        if !writer.next_chunk(bytes, &mut chunk) {
            assert!(chunk.is_empty());
            return chunks;
        }
        chunks.push(chunk);
    }
}

fn read(chunks: &[Vec<u8>]) -> Result<State, SnapshotError> {
    let mut reader = SnapshotReader::new();
    for chunk in chunks {
        reader.chunk(chunk)?;
    }
    reader.finish()
}

fn same(a: &State, b: &State) {
    assert_eq!((a.hash(), a.memory(), a.sequence()), (b.hash(), b.memory(), b.sequence()));
    assert_eq!((a.time(), a.changes(), a.settings()), (b.time(), b.changes(), b.settings()));
    assert_eq!((a.len(), a.lease_count(), a.client_count()), (b.len(), b.lease_count(), b.client_count()));
    assert_eq!((a.client_bytes(), a.next_deadline()), (b.client_bytes(), b.next_deadline()));
    let unknown = RequestId { client: *b"one never heard.", number: 1 };
    assert_eq!(a.recall(&unknown), b.recall(&unknown));
    let all = |state: &State| {
        let page = state.range(&Range::ALL, 0, u64::MAX, false, Timestamp::default());
        page.entries.iter().map(|(key, entry)| (key.clone(), entry.to_found())).collect::<Vec<_>>()
    };
    assert_eq!(all(a), all(b));
}

#[test]
fn a_state_comes_back_and_goes_on_as_it_was() {
    let words = Words::new();
    for seed in 0..48 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let (mut index, mut model) = run(&words, 50 * seed.min(8), &mut rng);
        index.publish();
        let view = index.reader().view();
        // Smaller than any record, about ten records, all in one.
        for bytes in [0, 500, usize::MAX / 2] {
            let chunks = chunks(&view, bytes);
            assert!(bytes < 1_000 || chunks.len() == 1);
            let state = read(&chunks).unwrap();
            same(&state, &view);
            if bytes == 500 {
                let mut restored = Index::from_state(state, &Options::default());
                let mut course = Course::new();
                course.time = model.time;
                run_on(&mut restored, &mut model, &mut course, &words, 100, &mut rng);
            }
        }
    }
}

#[test]
fn it_is_written_while_the_index_goes_on_and_resumes_at_any_chunk() {
    let (words, mut rng) = (Words::new(), Rng::new(3));
    let (mut index, mut model) = run(&words, 600, &mut rng);
    index.publish();
    let view = index.reader().view();
    let mut course = Course::new();
    course.time = model.time;
    let (mut reader, mut writer) = (SnapshotReader::new(), SnapshotWriter::new(Arc::clone(&view)));
    let mut sent = 0;
    loop {
        run_on(&mut index, &mut model, &mut course, &words, 5, &mut rng);
        let mut chunk = Vec::new();
        if !writer.next_chunk(40, &mut chunk) {
            break;
        }
        sent += 1;
        // One in three is lost, and whoever sends begins anew from what the reader says.
        if sent % 3 == 0 {
            let mut encoded = Vec::new();
            reader.position().encode(&mut encoded);
            let position = Position::decode(&encoded).unwrap();
            assert_eq!(&position, reader.position());
            writer = SnapshotWriter::resume(Arc::clone(&view), &position).unwrap();
            continue;
        }
        reader.chunk(&chunk).unwrap();
        assert_eq!(reader.position(), writer.position());
        // What comes twice is said to be the wrong one, and does no harm.
        let error = reader.chunk(&chunk).unwrap_err();
        let chunk = reader.position().chunk;
        assert_eq!(error, SnapshotError::OutOfOrder { expected: chunk, found: chunk - 1 });
    }
    assert!(sent > 20 && reader.is_complete());
    let position = reader.position().clone();
    same(&reader.finish().unwrap(), &view);
    index.publish();
    let gone = SnapshotWriter::resume(index.reader().view(), &position).unwrap_err();
    assert_eq!(gone, SnapshotError::Gone { sequence: view.sequence() });
}

#[test]
fn every_bit_and_every_cut_is_noticed() {
    let (mut index, _) = run(&Words::new(), 60, &mut Rng::new(9));
    index.publish();
    let chunks = chunks(&index.reader().view(), 120);
    assert!(chunks.len() > 3);
    for (at, chunk) in chunks.iter().enumerate() {
        let mut reader = SnapshotReader::new();
        chunks[..at].iter().for_each(|chunk| reader.chunk(chunk).unwrap());
        for bit in 0..chunk.len() * 8 {
            let mut changed = chunk.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = reader.chunk(&changed).unwrap_err();
            let is_known = matches!(
                error,
                SnapshotError::NotASnapshot | SnapshotError::Version { .. } | SnapshotError::Damaged { .. }
            );
            assert!(is_known, "{error}");
        }
        for len in 0..chunk.len() {
            reader.chunk(&chunk[..len]).unwrap_err();
        }
        let error = reader.chunk(&[chunk.as_slice(), b"x"].concat()).unwrap_err();
        assert_eq!(error, SnapshotError::Damaged { chunk: at as u64 });
        // None of it did harm.
        reader.chunk(chunk).unwrap();
    }
}

#[test]
fn chunks_of_two_snapshots_do_not_mix() {
    let (words, mut rng) = (Words::new(), Rng::new(4));
    let (mut index, mut model) = run(&words, 200, &mut rng);
    index.publish();
    let first = chunks(&index.reader().view(), 400);
    let mut course = Course::new();
    course.time = model.time;
    let expected = index.state().sequence();
    run_on(&mut index, &mut model, &mut course, &words, 50, &mut rng);
    index.publish();
    let second = chunks(&index.reader().view(), 400);
    let mut reader = SnapshotReader::new();
    reader.chunk(&first[0]).unwrap();
    let found = index.state().sequence();
    assert_eq!(reader.chunk(&second[1]).unwrap_err(), SnapshotError::Other { expected, found });
    reader.chunk(&first[1]).unwrap();
    assert_eq!(reader.finish().unwrap_err(), SnapshotError::Incomplete { expected: 2 });
    let mut late = SnapshotReader::new();
    assert_eq!(late.chunk(&first[1]).unwrap_err(), SnapshotError::OutOfOrder { expected: 0, found: 1 });
}

/// A chunk whose sum is right may still have been made by somebody else.
#[test]
fn what_cannot_be_is_refused_and_ends_it() {
    let sealed_as = |version: u8, body: &[u8]| {
        let mut chunk = [b"TTSS", &[version][..], b"\x09\x00", body].concat();
        let sum = xxhash_rust::xxh3::xxh3_64(&chunk);
        chunk.extend_from_slice(&sum.to_le_bytes());
        chunk
    };
    let sealed = |body: &[u8]| sealed_as(1, body);
    let header = b"\x01\x05\x07\x00\x80\x80\x80\x08\x90\x4e\x90\x4e\x80\x80\x80\x20";
    let with = |records: &[u8]| sealed(&[&header[..], records].concat());
    for (chunk, what) in [
        (sealed(b""), "no record"),
        (sealed(b"\x03\x01k\x01\x00\x00"), "the header is not the first record"),
        (sealed(&header[..5]), "the header is cut"),
        (with(&header[..]), "the header is not the first record"),
        (sealed_as(2, &header[..]), "the header is cut"),
        (sealed_as(2, &[&header[..], b"\x02"].concat()), "the header has a flag of an unknown kind"),
        (with(b"\x06"), "a record of an unknown kind"),
        (with(b"\x03\x05k"), "a record is cut"),
        (with(b"\x03\x01k\x01\x00\x02"), "a value that is neither small nor large"),
        (with(b"\x03\x01k\x01\x00\x00"), "an entry is wrong"),
        (with(b"\x03\x01k\x04\x00\x08\x08\x01\x00"), "an entry cannot be"),
        (with(b"\x03\x01k\x04\x00\x0a\x00\x01\x00"), "an entry cannot be"),
        (with(b"\x03\x01k\x04\x00\x08\x00\x00\x00"), "an entry cannot be"),
        (with(b"\x03\x01k\x05\x02\x08\x00\x01\x06\x00"), "an entry has a lease that is not there"),
        (with(b"\x03\x01k\x04\x00\x08\x00\x01\x00\x03\x01k\x04\x00\x08\x00\x01\x00"), "records out of order"),
        (with(b"\x03\x01k\x04\x00\x08\x00\x01\x00\x02\x01k\x00\x00"), "records out of order"),
        (with(b"\x02\x01k\x02\x01\x01\x00"), "a lease is wrong"),
        (with(b"\x04\x01k\x02\x01\x00\x00"), "a client is wrong"),
        (with(b"\x05\x00\x01\x00\x00"), "the counts at its end are not those of its records"),
        (with(b"\x05\x00\x00\x00\x000123456789abcdef"), "its hash is not that of its records"),
    ] {
        let mut reader = SnapshotReader::new();
        let error = SnapshotError::Invalid { chunk: 0, what };
        assert_eq!(reader.chunk(&chunk).unwrap_err(), error);
        assert_eq!(reader.chunk(&with(b"")).unwrap_err(), error, "it takes nothing more");
        assert_eq!(error.to_string().lines().count(), 1);
        assert_eq!(reader.finish().unwrap_err(), error);
    }
    let mut reader = SnapshotReader::new();
    assert_eq!(reader.chunk(b"TTSS\x03").unwrap_err(), SnapshotError::Version { found: 3 });
    assert_eq!(reader.chunk(b"RDB").unwrap_err(), SnapshotError::NotASnapshot);
}
