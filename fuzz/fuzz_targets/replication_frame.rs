//! Frames between nodes: any bytes at all are no panic, and what decodes is written back to the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab::replication::frame::{HEADER_BYTES, Header, decode, encode, frame_bytes, seal};
use trimtab::replication::{Body, Change, Membership};

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let _ = frame_bytes(bytes);
    let _ = decode(bytes);
    if let Ok(change) = Change::decode(bytes) {
        assert_eq!(Change::decode(&change.encode()), Ok(change));
    }
    if let Ok(members) = Membership::decode(bytes) {
        assert_eq!(Membership::decode(&members.encode()), Ok(members));
    }

    // The fuzzer does not guess checksums: they are put right, and the rest is as it comes.
    let header = Header { from: 1, to: 2, ..Header::default() };
    let mut frame = Vec::new();
    encode(&mut frame, &header, &Body::Ping);
    frame[12] = kind;
    frame.extend_from_slice(bytes);
    assert!(frame.len() >= HEADER_BYTES);
    seal(&mut frame);
    if let Ok((header, body)) = decode(&frame) {
        let mut again = Vec::new();
        encode(&mut again, &header, &body);
        assert_eq!(again, frame);
    }
});
