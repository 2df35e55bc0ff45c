//! What nodes ask of the primary: any bytes at all are no panic, and what decodes means the same when it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab::replication::relay::{decode, encode, is_relay};

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let _ = (is_relay(bytes), decode(bytes));
    // The fuzzer need not find the header.
    let whole = [&[0x74, 0x72, 1, kind, 9, 0, 0, 0, 0, 0, 0, 0], bytes].concat();
    assert!(is_relay(&whole) || whole.len() < 12 || whole[8..10] == [0x54, 0x74]);
    if let Ok((id, relay)) = decode(&whole) {
        let again = encode(id, &relay);
        assert_eq!(decode(&again), Ok((id, relay)));
    }
});
