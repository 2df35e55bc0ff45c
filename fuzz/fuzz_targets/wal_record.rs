//! Records, headers and chunks: whatever decodes is written back to the same bytes, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab::store::log::record::Body;
use trimtab::store::log::record::{Heading, Place, decode, encode, looks_torn};
use trimtab::store::log::segment::{Label, Start};
use trimtab::store::log::snapshot_format::{SnapshotHeader, decode_chunk, encode_chunk};
use trimtab::store::log::{Epoch, Sequence};

fuzz_target!(|input: (u64, u64, u32, &[u8])| {
    let (salt, offset, chain, bytes) = input;
    let place = Place { salt, offset };
    if let Ok(record) = decode(bytes, place) {
        let heading = Heading {
            previous: record.previous,
            batch_bytes: record.batch_bytes,
            epoch: record.epoch,
            sequence: record.sequence,
            clock_ms: record.clock_ms,
        };
        let mut again = Vec::new();
        assert_eq!(encode(&mut again, place, &heading, &record.body), record.crc);
        assert_eq!(decode(&again, place), Ok(record));
    }
    let _ = looks_torn(bytes, place, chain, Sequence(offset), salt);
    if let Ok(label) = Label::decode(bytes) {
        assert_eq!(Label::decode(&label.encode()), Ok(label));
    }
    if let Ok(start) = Start::decode(bytes) {
        assert_eq!(Start::decode(&start.encode()), Ok(start));
    }
    if let Ok((header, crc)) = SnapshotHeader::decode(bytes) {
        assert_eq!(header.encode().1, crc);
    }
    if let Ok((chunk, crc, _)) = decode_chunk(bytes, offset, chain) {
        let mut again = Vec::new();
        assert_eq!(encode_chunk(&mut again, offset, chain, &chunk), crc);
    }

    // The fuzzer does not guess checksums: what it makes up is written, and read back.
    let heading = Heading {
        previous: chain,
        batch_bytes: 0,
        epoch: Epoch(salt),
        sequence: Sequence(offset),
        clock_ms: 0,
    };
    let mut written = Vec::new();
    let crc = encode(&mut written, place, &heading, &Body::Entry(bytes));
    let record = decode(&written, place).expect("what is written reads back");
    assert!(record.crc == crc && record.body == Body::Entry(bytes));
});
