//! PROXY headers of version 1, and bytes of any kind: an answer once given stands whatever comes behind, no
//! more is asked for than the limit, and what was read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab::proxy::proxy_protocol::{Addresses, HEADER_MAX, LINE_MAX, Version, parse, write};

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same behind what every line begins with.
    check(&[b"PROXY TCP6 ", bytes].concat());
});

fn check(bytes: &[u8]) {
    let mut decided = None;
    for length in 0..=bytes.len().min(HEADER_MAX + 1) {
        let answer = parse(&bytes[..length]);
        match &decided {
            Some(before) => assert_eq!(before, &answer, "{length} bytes"),
            None if answer == Ok(None) => {
                let longest = if bytes[..length].first() == Some(&b'P') { LINE_MAX } else { HEADER_MAX };
                assert!(length < longest);
            }
            None => decided = Some(answer),
        }
    }
    match decided {
        Some(Err(invalid)) => assert_eq!(invalid.to_string().lines().count(), 1),
        Some(Ok(Some((header, length)))) => {
            assert!(length <= bytes.len());
            let mut line = Vec::new();
            write(Version::V1, &header.addresses, &header.tlvs, &mut line);
            assert!(line.len() <= LINE_MAX);
            let (again, end) = parse(&line).expect("it is ours").expect("it is whole");
            assert_eq!(end, line.len());
            if !matches!(header.addresses, Addresses::Unix(_)) {
                assert_eq!(again.addresses, header.addresses);
            }
        }
        _ => {}
    }
}
